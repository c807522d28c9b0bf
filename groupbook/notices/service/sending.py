"""The worker sends what is due: claim (own transaction), send with none open, record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook import bookings, merchants, payments, trips
from groupbook.bookings import Awaited
from groupbook.kit import clock, leases
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.i18n import words
from groupbook.kit.ids import BookingId, HandoverId, MemberId, MerchantId, NoticeId, TripId
from groupbook.kit.money import Money, total
from groupbook.notices import reach_repository, reminders
from groupbook.notices.domain import (
    ONLY_BY_MAIL,
    ONLY_WHILE_OWED,
    Message,
    NoticeCode,
    NoticeState,
    retry_at,
    scope_of,
)
from groupbook.notices.letters import Told, message_of
from groupbook.notices.links import AddressLink, EntryLink, StopLink, confirm_token, entry_token, seat_token, stop_token
from groupbook.notices.models import NoticeRow
from groupbook.notices.service.deps import EMAIL, NoticeDeps
from groupbook.notices.service.entering import is_good, is_guest
from groupbook.notices.service.ways import Way, chosen_way, language_and_zone
from groupbook.trips.domain import Member

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Claimed:
    way: Way
    message: Message
    attempts: int


def send(deps: NoticeDeps, merchant_id: MerchantId, notice_id: NoticeId) -> bool:
    """Make one attempt if one is due; True when an attempt was made.

    A notice nobody can carry, or whose reader said no, is shown in the page only; one that is no longer true is gone.
    """
    with deps.database.begin(merchant_id) as session:
        claimed = _claim(session, deps, notice_id)
    if claimed is None:
        return False
    state, error = NoticeState.SENT, None
    try:
        claimed.way.messenger.send(claimed.way.to, claimed.message, key=f"notice:{notice_id.hex}")
    except Refused as refusal:
        state, error = NoticeState.FAILED, refusal.reason
    except (Unavailable, OutcomeUnknown) as trouble:
        said = trouble.params.get("error") or trouble.params.get("status")
        state, error = NoticeState.PENDING, f"{trouble.code}: {said}" if said else trouble.code
        log.warning("notice_delayed", notice_id=str(notice_id), channel=claimed.way.channel, error=error)
    with deps.database.begin(merchant_id) as session:
        _record(session, deps, notice_id, claimed, state, error)
    return True


def sweep(deps: NoticeDeps, merchant_id: MerchantId, *, limit: int = 200) -> int:
    """Send everything that is due; returns how many attempts were made."""
    with deps.database.begin(merchant_id) as session:
        waiting = leases.due(
            session, NoticeRow, now=clock.now(session), system_now=clock.system_now(session), limit=limit
        )
    return leases.send_each(waiting, lambda id: send(deps, merchant_id, NoticeId(id)))


def _claim(session: Session, deps: NoticeDeps, notice_id: NoticeId) -> _Claimed | None:
    row = leases.claim(
        session,
        NoticeRow,
        notice_id,
        now=clock.now(session),
        system_now=clock.system_now(session),
        lease_seconds=deps.lease_seconds,
    )
    if row is None:
        return None
    code = NoticeCode(row.code)
    member = next(iter(trips.seats(session, TripId(row.trip_id), [MemberId(row.member_id)])), None)
    if member is None or not (member.is_present or _moved(session, row, member)):
        _leave(row, NoticeState.SHOWN)
        return None
    locale, zone = language_and_zone(session, member)
    waiting = None
    if code in ONLY_WHILE_OWED:
        waiting = bookings.awaited_of(session, BookingId(UUID(row.params["booking_id"])))
        if waiting is None or member.id not in waiting.owed or waiting.deadline_at <= clock.now(session):
            _leave(row, NoticeState.REPLACED)  # paid, left, decided: nobody is asked for what is not owed
            return None
        since = waiting.since[member.id]
        if code is NoticeCode.PAY_REMINDER and not _is_awake(session, row, since, waiting.deadline_at, zone):
            return None
    if code is NoticeCode.PLACE_OFFERED and not bookings.is_offered(session, _handover(row)):
        _leave(row, NoticeState.REPLACED)
        return None
    if code is NoticeCode.ROOM_FREE and not trips.may_come_in(session, trips.trip_of(session, TripId(row.trip_id))):
        _leave(row, NoticeState.REPLACED)
        return None
    if code is NoticeCode.SEAT_LINK and not is_good(session, deps.sealer, UUID(row.params["link_id"])):
        _leave(row, NoticeState.REPLACED)
        return None
    way = chosen_way(session, deps, member, code)
    if way is None:
        _leave(row, NoticeState.REPLACED if code in ONLY_BY_MAIL else NoticeState.SHOWN)
        return None
    row.channel = way.channel
    told = _told(session, deps, row, member, way, waiting, zone)
    return _Claimed(way, message_of(words(locale), told), row.attempts)


def _leave(row: NoticeRow, state: NoticeState) -> None:
    row.state, row.due_at, row.lease_until = state, None, None


def _is_awake(session: Session, row: NoticeRow, since: datetime, deadline_at: datetime, zone: str) -> bool:
    """A try that failed in the evening is not made up at night."""
    now = clock.now(session)
    settings = reminders.read_settings(reach_repository.read_settings(session))
    at = reminders.awake(now, since=since, deadline_at=deadline_at, settings=settings, zone=zone)
    if at == now:
        return True
    row.lease_until = None
    if at is None or at < now:
        _leave(row, NoticeState.SHOWN)
    else:
        row.due_at = at
    return False


def _told(
    session: Session,
    deps: NoticeDeps,
    row: NoticeRow,
    member: Member,
    way: Way,
    waiting: Awaited | None,
    zone: str,
) -> Told:
    house, code = merchants.read_merchant(session), NoticeCode(row.code)
    trip = trips.trip_of(session, TripId(row.trip_id))
    link = deps.trip_link(trip.id)
    address = AddressLink(house.id, MemberId(member.id), way.mark)
    if code is NoticeCode.CONFIRM_ADDRESS:
        link = deps.mail_link(f"confirm/{confirm_token(deps.sealer, address)}")
    elif code is NoticeCode.SEAT_LINK:
        token = entry_token(deps.sealer, EntryLink(house.id, UUID(row.params["link_id"])))
        link = deps.mail_link(f"enter/{token}")
    elif way.channel == EMAIL and is_guest(member):
        link = deps.mail_link(f"seat/{seat_token(deps.sealer, address)}")
    until = waiting.deadline_at if waiting else None
    if code is NoticeCode.PLACE_OFFERED:
        link = deps.place_link(bookings.place_token(session, deps.sealer, _handover(row)))
        until = bookings.is_offered(session, _handover(row))
    stop = StopLink(house.id, way.channel, way.mark, scope_of(code))
    moved = None if waiting else _moved(session, row, member)
    return Told(
        code=code,
        trip=trip.title,
        merchant=house.name,
        link=link,
        stop_url=deps.mail_link(stop_token(deps.sealer, stop)),
        zone=zone,
        amount=waiting.owed[member.id] if waiting else moved,
        deadline_at=until,
        done=waiting.done if waiting else 0,
        count=waiting.count if waiting else 0,
        receipt_url=deps.receipt_link(trip.id, UUID(row.params["booking_id"])) if moved else "",
    )


def _handover(row: NoticeRow) -> HandoverId:
    return HandoverId(UUID(row.params["handover_id"]))


def _moved(session: Session, row: NoticeRow, member: Member) -> Money | None:
    """The reader's own money that this is about (P6): taken, or on its way back. None where none is."""
    code = NoticeCode(row.code)
    if code is NoticeCode.MONEY_BACK:
        return Money(row.params["amount"], row.params["currency"])
    if code not in (NoticeCode.TICKETS_READY, NoticeCode.PART_TAKEN, NoticeCode.BOOKING_CANCELED):
        return None
    portions = payments.portions_of(session, UUID(row.params["booking_id"]))
    mine = [one for one in portions if one.payer == member.id]
    if not mine:
        return None
    moved = [one.refunded if code is NoticeCode.BOOKING_CANCELED else one.captured for one in mine]
    return total(moved, moved[0].currency) or None


def _record(
    session: Session, deps: NoticeDeps, notice_id: NoticeId, claimed: _Claimed, state: NoticeState, error: str | None
) -> None:
    if error == "not_reachable":
        at = clock.system_now(session)
        reach_repository.change_opt_out(session, claimed.way.channel, claimed.way.mark, refused_at=at)
        log.info("address_refused", channel=claimed.way.channel)
    row = leases.lock(session, NoticeRow, notice_id)
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
    elif error == "not_reachable" and _has_another_way(session, deps, row):
        row.state, row.due_at = NoticeState.PENDING, now


def _has_another_way(session: Session, deps: NoticeDeps, row: NoticeRow) -> bool:
    member = next(iter(trips.seats(session, TripId(row.trip_id), [MemberId(row.member_id)])), None)
    return member is not None and chosen_way(session, deps, member, NoticeCode(row.code)) is not None
