"""Stepping out of a booking that still collects, and what that does to the others, before it is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import trips
from groupbook.bookings import repository, sharing
from groupbook.bookings.domain import BookingClosed, BookingNotFound, BookingState, NotTraveling, Policy
from groupbook.bookings.models import BookingRow, DepartureRow
from groupbook.bookings.service import party
from groupbook.bookings.service.effects import NOT_PRICEABLE
from groupbook.bookings.service.offering import end_links_of
from groupbook.bookings.service.progress import progress
from groupbook.bookings.sharing import LostDiscount
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import BookingId, MemberId, TripId, new_id
from groupbook.kit.money import Money, total
from groupbook.payments.domain import PortionState, PortionView


@dataclass(frozen=True)
class LeavePreview:
    """What leaving would do. `others_now`, `others_then`: what those who stay pay together; None: no price without you.

    `policy` says who bears a lost discount; `bears` is what the leaver's own portion is kept for: nothing unless the
    policy says so and their bank had said yes, and at most `bears_most` whatever else happens. `is_last`: nobody stays,
    so the booking is given up.
    """

    yours: Money
    others: int
    others_now: Money
    others_then: Money | None
    is_last: bool
    policy: LostDiscount
    bears: Money
    bears_most: Money


def preview_leave(database: Database, caller: Caller, booking_id: BookingId) -> LeavePreview:
    """What `leave_booking` would do now, to the cent, by the discount engine. Nothing is written. A use case.

    Raises:
        BookingNotFound, BookingClosed, NotTraveling: as for `leave_booking`.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        member_id = member_asking(session, row, caller)
        require_open(row)
        by_traveler = {portion.traveler: portion for portion in party.portions_in(session, row)}
        members = party.members_in(session, row)
        if member_id not in members:
            raise NotTraveling()
        stay = [one for one in members if one != member_id]
        nothing = Money.zero(row.currency)
        policy = Policy(**row.policy).lost_discount
        others_then, bears, most = None, nothing, _bears_most(row, by_traveler[member_id])
        pays = party.prices_of(session, row, stay, clock.now(session)) if stay else None
        if pays is not None:
            shares = _shares_without(session, row, member_id, pays, most, clock.now(session))
            bears = Money(shares.borne.get(member_id, 0), row.currency)
            others_then = Money(sum(shares.own.values()), row.currency)
        return LeavePreview(
            yours=by_traveler[member_id].amount,
            others=len(stay),
            others_now=total((by_traveler[one].amount for one in stay), row.currency),
            others_then=others_then,
            is_last=not stay,
            policy=policy,
            bears=bears,
            bears_most=most if bears else nothing,
        )


def _shares_without(
    session: Session, row: BookingRow, member_id: MemberId, pays: dict[UUID, int], most: Money, now: datetime
) -> sharing.Shares:
    parts = party.parts_of(session, row)
    priced = party.to_share(session, row, pays, parts, now, leaving=member_id)
    return sharing.share_out(replace(priced, leavers=[*priced.leavers, sharing.Leaver(member_id, most.minor)]))


def _bears_most(row: BookingRow, portion: PortionView) -> Money:
    """The most a leaver bears: their own portion, once their bank had said yes to it; before that nobody agreed."""
    bears = Policy(**row.policy).lost_discount == "leaver" and portion.state is PortionState.AUTHORIZED
    return portion.amount if bears else Money.zero(row.currency)


def leave_booking(database: Database, caller: Caller, booking_id: BookingId) -> None:
    """Step out of a booking that is still collecting. A use case.

    Nothing of theirs is captured any more (P4), but for what they had agreed to bear should the others lose a discount
    by it (policy `leaver`, and only once their bank had said yes). The others are priced again; whoever would pay more
    than they agreed to is asked again. When the last one leaves, the booking is given up. Who left stays in the trip
    and is not going. Leaving twice is leaving once.

    Raises:
        BookingNotFound: no such booking for this caller.
        BookingClosed: it is being decided, or was; a booked place is canceled instead.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, booking_id)
        member_id = member_asking(session, row, caller)
        require_open(row)
        _leave(session, row, member_id)


def _leave(session: Session, row: BookingRow, member_id: MemberId) -> None:
    now = clock.now(session)
    members = party.members_in(session, row)
    left = [other for other in members if other != member_id]
    if len(left) == len(members):
        return
    end_links_of(session, row, member_id, now)
    own = next(portion for portion in party.portions_in(session, row) if portion.traveler == member_id)
    try:
        if left:
            _note_departure(session, row, own, now)
            party.reallocate(session, row, left, now)
    except NOT_PRICEABLE:
        left = []  # whoever leaves is free in any case (P4); the rest cannot go at a price that cannot be made
        row.reason = "price_changed"
    if not left:
        row.cancel_asked_at = row.cancel_asked_at or now
    session.flush()
    trips.sit_out(session, TripId(row.trip_id), member_id, now=now)
    progress(session, row.id)


def _note_departure(session: Session, row: BookingRow, own: PortionView, now: datetime) -> None:
    """What a later price has to know: who would still be here, and the most they bear."""
    most = _bears_most(row, own)
    if not most and Policy(**row.policy).lost_discount != "sponsor":
        return
    row.has_parts = True
    session.add(
        DepartureRow(
            merchant_id=row.merchant_id,
            id=new_id(),
            booking_id=row.id,
            member_id=own.traveler,
            most=most.minor,
            left_at=now,
            ended_at=None,
        )
    )
    session.flush()


def member_asking(session: Session, row: BookingRow, caller: Caller) -> MemberId:
    """The caller's seat in the booking's trip. Raises BookingNotFound: they have none."""
    member = trips.member_of(session, TripId(row.trip_id), caller)
    if member is None:
        raise BookingNotFound()
    return member.id


def require_open(row: BookingRow) -> None:
    """Raises BookingClosed: it does not collect any more, so its party and who pays what stay as they are."""
    if row.state != BookingState.OPEN.value:
        raise BookingClosed(state=row.state)
