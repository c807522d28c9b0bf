"""Facts become notices. A notice is in the member's page from the moment it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import bookings, payments, trips
from groupbook.kit import clock
from groupbook.kit.database import nudge_after_commit
from groupbook.kit.facts import Fact
from groupbook.kit.ids import BookingId, MemberId, NoticeId, PortionId, TripId
from groupbook.notices import reach_repository, repository
from groupbook.notices.domain import CODE_OF_FACT, REPLACES, Notice, NoticeCode
from groupbook.notices.service.deps import NUDGE
from groupbook.trips.domain import Member, Role

_KEPT = ("booking_id", "option_id", "amount", "currency", "handover_id")


def note(session: Session, fact: Fact) -> None:
    """Listener, for every fact in CODE_OF_FACT: one notice per recipient. Hearing it twice changes nothing."""
    code = CODE_OF_FACT.get(fact.name)
    if code is None:
        return
    trip_id = _trip_of(session, fact)
    if trip_id is None:
        return
    params = {name: fact.payload[name] for name in _KEPT if name in fact.payload}
    if "reference" in fact.payload:  # about a portion
        params["booking_id"] = fact.payload["reference"]
    codes = {member.id: _code_for(member, code) for member in _recipients(session, fact, code, trip_id)}
    for each in dict.fromkeys(codes.values()):
        members = [member_id for member_id, mine in codes.items() if mine is each]
        write_each(session, fact.id, members, trip_id, each, params, told_at=fact.recorded_at)


def write(
    session: Session,
    cause: UUID,
    member_id: MemberId,
    trip_id: TripId,
    code: NoticeCode,
    params: Mapping[str, Any],
    *,
    told_at: datetime,
) -> NoticeId | None:
    """One notice per cause and member, in the place of those it makes untrue; None when there is one. A step."""
    return write_each(session, cause, [member_id], trip_id, code, params, told_at=told_at).get(member_id)


def write_each(
    session: Session,
    cause: UUID,
    members: Sequence[MemberId],
    trip_id: TripId,
    code: NoticeCode,
    params: Mapping[str, Any],
    *,
    told_at: datetime,
) -> dict[MemberId, NoticeId]:
    """As `write`, for members who are told the same: the notices there were not. A step."""
    outdated_by = [later for later, earlier in REPLACES.items() if code in earlier]
    replaced = repository.outdated(session, trip_id=trip_id, members=members, by=outdated_by, told_at=told_at)
    ids = repository.insert_notices(
        session,
        fact_id=cause,
        trip_id=trip_id,
        members=members,
        code=code,
        params=params,
        now=clock.now(session),
        told_at=told_at,
        replaced=replaced,
    )
    told = {member_id: id for member_id, id in ids.items() if member_id not in replaced}
    repository.replace(session, trip_id=trip_id, members=list(told), codes=REPLACES[code], told_at=told_at)
    for id in told.values():
        nudge_after_commit(session, NUDGE, id)
    return told


def _trip_of(session: Session, fact: Fact) -> TripId | None:
    if "trip_id" in fact.payload:
        return TripId(UUID(fact.payload["trip_id"]))
    try:
        return bookings.trip_of_booking(session, BookingId(UUID(fact.payload["reference"])))
    except bookings.BookingNotFound:
        return None  # a portion of something that is no booking of ours


def _recipients(session: Session, fact: Fact, code: NoticeCode, trip_id: TripId) -> list[Member]:
    if fact.name.startswith(("place.", "waiting.")):  # about one member
        return trips.seats(session, trip_id, [MemberId(UUID(fact.payload["member_id"]))])
    present = trips.members(session, trip_id)
    match code:
        case NoticeCode.PORTION_DECLINED:
            payers = {payments.portion_view(session, PortionId(fact.subject)).payer}
            return [member for member in present if member.id in payers]
        case NoticeCode.MONEY_BACK:
            # A booking that is taken back as a whole is told once, when everybody has their money.
            if not bookings.is_standing(session, BookingId(UUID(fact.payload["reference"]))):
                return []
            payers = {payments.portion_view(session, PortionId(fact.subject)).payer}
            return trips.seats(session, trip_id, [MemberId(payer) for payer in payers])
        case NoticeCode.PLEASE_PAY if fact.name in ("portion.asked_again", "portion.expired"):
            portion = payments.portion_view(session, PortionId(fact.subject))
            return [member for member in present if member.id == portion.payer and portion.is_payable]
        case NoticeCode.PLEASE_PAY:
            payers = {portion.payer for portion in payments.portions_of(session, fact.subject) if portion.is_payable}
            return [member for member in present if member.id in payers]
        case NoticeCode.TRIP_DECIDED:
            return [member for member in present if member.role is not Role.VIEWER]
        case _:
            going = [member for member in present if member.is_going or member.role is Role.ORGANIZER]
            others = _payers(session, fact.subject) - {member.id for member in going}
            return going + trips.seats(session, trip_id, [MemberId(payer) for payer in sorted(others)])


def _payers(session: Session, booking_id: UUID) -> set[UUID]:
    """Whose money the booking counts on: travelers, and who gives or bears something without going."""
    return {one.payer for one in payments.portions_of(session, booking_id) if one.amount and not one.is_dropped}


def _code_for(member: Member, code: NoticeCode) -> NoticeCode:
    """Who pays and does not travel has no ticket."""
    is_payer_only = code is NoticeCode.TICKETS_READY and not member.is_going and member.role is not Role.ORGANIZER
    return NoticeCode.PART_TAKEN if is_payer_only else code


# --- in the page ------------------------------------------------------------------------------------------------------


def notices_for(session: Session, member_id: MemberId, *, limit: int = 5) -> list[Notice]:
    """What this member is told now, newest first; replaced ones are gone. A step."""
    return repository.visible(session, member_id, limit=limit)


def mark_seen(session: Session, member_id: MemberId) -> None:
    """The member has seen their notices. Twice equals once. A step."""
    repository.mark_seen(session, member_id, clock.now(session))


def forget(session: Session, member_ids: Sequence[MemberId]) -> None:
    """Erasure: remove what these members were told and the addresses they gave. A no they said stays. A step."""
    repository.delete_of(session, member_ids)
    reach_repository.delete_reach(session, member_ids)
    reach_repository.delete_seat_links(session, member_ids)
