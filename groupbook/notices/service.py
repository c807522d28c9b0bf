"""Listeners write notices; the worker sends them. A notice is in the member's page from the moment it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook import bookings, merchants, payments, people, trips
from groupbook.kit import clock
from groupbook.kit.database import Database, nudge_after_commit
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.facts import Fact
from groupbook.kit.i18n import negotiate, words
from groupbook.kit.ids import BookingId, MemberId, MerchantId, NoticeId, PersonId, PortionId, TripId
from groupbook.notices import repository
from groupbook.notices.domain import (
    CODE_OF_FACT,
    REPLACES,
    Address,
    Notice,
    NoticeCode,
    NoticeState,
    retry_at,
)
from groupbook.notices.ports import Messenger
from groupbook.notices.sentences import sentence
from groupbook.trips.domain import Member, Role

log = structlog.get_logger(__name__)
NUDGE: Final = "send_notice"


@dataclass(frozen=True)
class NoticeDeps:
    """What this room needs, built once. `trip_link` is the address of a trip's page; messengers in order of taste."""

    database: Database
    messengers: Sequence[Messenger]
    trip_link: Callable[[TripId], str]
    lease_seconds: float = 60.0


# --- facts become notices ---------------------------------------------------------------------------------------------


def note(session: Session, fact: Fact) -> None:
    """Listener, for every fact in CODE_OF_FACT: one notice per recipient. Hearing it twice changes nothing."""
    code = CODE_OF_FACT.get(fact.name)
    if code is None:
        return
    trip_id = _trip_of(session, fact)
    if trip_id is None:
        return
    now, told_at = clock.now(session), fact.recorded_at
    for member in _recipients(session, fact, code, trip_id):
        outdated_by = [later for later, earlier in REPLACES.items() if code in earlier]
        is_replaced = repository.is_outdated(
            session, trip_id=trip_id, member_id=member.id, by=outdated_by, told_at=told_at
        )
        id = repository.insert_notice(
            session,
            fact_id=fact.id,
            trip_id=trip_id,
            member_id=member.id,
            code=code,
            params={name: fact.payload[name] for name in ("booking_id", "option_id") if name in fact.payload},
            now=now,
            told_at=told_at,
            is_replaced=is_replaced,
        )
        if id is None or is_replaced:
            continue
        repository.replace(session, trip_id=trip_id, member_id=member.id, codes=REPLACES[code], told_at=told_at)
        nudge_after_commit(session, NUDGE, id)


def _trip_of(session: Session, fact: Fact) -> TripId | None:
    if "trip_id" in fact.payload:
        return TripId(UUID(fact.payload["trip_id"]))
    try:
        return bookings.trip_of_booking(session, BookingId(UUID(fact.payload["reference"])))
    except bookings.BookingNotFound:
        return None  # a portion of something that is no booking of ours


def _recipients(session: Session, fact: Fact, code: NoticeCode, trip_id: TripId) -> list[Member]:
    present = [one for one in trips.members(session, trip_id) if one.is_present]
    if code is NoticeCode.PORTION_DECLINED:
        payers = {payments.portion_view(session, PortionId(fact.subject)).payer}
        return [member for member in present if member.id in payers]
    if code is NoticeCode.PLEASE_PAY:
        payers = {portion.payer for portion in payments.portions_of(session, fact.subject) if portion.is_payable}
        return [member for member in present if member.id in payers]
    if code is NoticeCode.TRIP_DECIDED:
        return [member for member in present if member.role is not Role.VIEWER]
    return [member for member in present if member.is_going or member.role is Role.ORGANIZER]


# --- in the page ------------------------------------------------------------------------------------------------------


def notices_for(session: Session, member_id: MemberId, *, limit: int = 5) -> list[Notice]:
    """What this member is told now, newest first; replaced ones are gone. A step."""
    return repository.visible(session, member_id, limit=limit)


def mark_seen(session: Session, member_id: MemberId) -> None:
    """The member has seen their notices. Twice equals once. A step."""
    repository.mark_seen(session, member_id, clock.now(session))


def forget(session: Session, member_ids: Sequence[MemberId]) -> None:
    """Erasure: remove what these members were told. A step."""
    repository.delete_of(session, member_ids)


# --- sending ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Claimed:
    messenger: Messenger
    to: Address
    text: str
    link: str
    attempts: int


def send(deps: NoticeDeps, merchant_id: MerchantId, notice_id: NoticeId) -> bool:
    """Make one attempt if one is due; True when an attempt was made.

    Claim (own transaction), send with no transaction open, record. A notice nobody can carry is shown in the page only.
    """
    with deps.database.begin(merchant_id) as session:
        claimed = _claim(session, deps, notice_id)
    if claimed is None:
        return False
    state, error = NoticeState.SENT, None
    try:
        claimed.messenger.send(claimed.to, text=claimed.text, link=claimed.link, key=f"notice:{notice_id.hex}")
    except Refused as refusal:
        state, error = NoticeState.FAILED, refusal.reason
    except (Unavailable, OutcomeUnknown) as trouble:
        state, error = NoticeState.PENDING, trouble.code
    with deps.database.begin(merchant_id) as session:
        _record(session, notice_id, claimed, state, error)
    return True


def sweep(deps: NoticeDeps, merchant_id: MerchantId, *, limit: int = 200) -> int:
    """Send everything that is due; returns how many attempts were made."""
    with deps.database.begin(merchant_id) as session:
        waiting = repository.due(session, now=clock.now(session), system_now=clock.system_now(session), limit=limit)
    return sum(send(deps, merchant_id, NoticeId(id)) for id in waiting)


def _claim(session: Session, deps: NoticeDeps, notice_id: NoticeId) -> _Claimed | None:
    row = repository.claim(
        session,
        notice_id,
        now=clock.now(session),
        system_now=clock.system_now(session),
        lease_seconds=deps.lease_seconds,
    )
    if row is None:
        return None
    trip = trips.trip_of(session, TripId(row.trip_id))
    member = next((one for one in trips.members(session, trip.id) if one.id == row.member_id), None)
    carrier = None if member is None or not member.is_present else _carrier(session, deps, member)
    if carrier is None or member is None or member.person_id is None:
        row.state, row.due_at, row.lease_until = NoticeState.SHOWN, None, None
        return None
    messenger, address = carrier
    row.channel = messenger.channel
    own, house = people.read_person(session, member.person_id).locale, merchants.read_merchant(session).locale
    return _Claimed(
        messenger=messenger,
        to=address,
        text=sentence(words(negotiate(None, own, house)), NoticeCode(row.code), trip=trip.title),
        link=deps.trip_link(trip.id),
        attempts=row.attempts,
    )


def _carrier(session: Session, deps: NoticeDeps, member: Member) -> tuple[Messenger, Address] | None:
    """The first messenger that reaches this member, by the account they joined with first. Guests have the page."""
    if member.person_id is None:
        return None
    for contact in people.contacts_of(session, [PersonId(member.person_id)]).get(member.person_id, []):
        address = Address(contact.network, contact.app_id, contact.subject, contact.email)
        for messenger in deps.messengers:
            if messenger.reaches(address):
                return messenger, address
    return None


def _record(session: Session, notice_id: NoticeId, claimed: _Claimed, state: NoticeState, error: str | None) -> None:
    row = repository.lock(session, notice_id)
    if row is None or row.attempts != claimed.attempts:
        return
    now = clock.now(session)
    row.attempts += 1
    row.lease_until, row.last_error = None, error
    if state is NoticeState.SENT:
        row.sent_at, row.due_at = now, None
    if row.state == NoticeState.REPLACED:
        return  # sent just before something newer replaced it
    row.state, row.due_at = state, None
    if state is NoticeState.PENDING:
        row.due_at = retry_at(notice_id, row.attempts, now)
        if row.due_at is None:
            row.state = NoticeState.FAILED
            log.warning("notice_given_up", notice_id=str(notice_id), channel=row.channel, error=error)
