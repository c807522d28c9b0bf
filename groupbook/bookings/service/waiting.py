"""The waiting list: who cannot join queues, who cannot come releases the place, and each place goes down the line."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import offers, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    ENDED,
    STOOD,
    AlreadyTraveling,
    BookingClosed,
    BookingState,
    HandoverOpen,
    NobodyWaits,
    NotTraveling,
)
from groupbook.bookings.line import position_of
from groupbook.bookings.models import BookingRow, HandoverRow
from groupbook.bookings.service import party
from groupbook.bookings.service.leaving import member_asking
from groupbook.bookings.service.offering import line_of, offer_place, tell_one, token_of
from groupbook.bookings.service.progress import progress
from groupbook.kit import clock, facts
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.facts import Fact
from groupbook.kit.ids import BookingId, HandoverId, MemberId, TripId
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.trips.domain import JoinedVia, Member, NotMember, Role, TripNotFound, TripState

_page: Final = 200
_DECIDED: Final = ENDED | STOOD


@dataclass(frozen=True)
class OfferedToMe:
    """A place that is this reader's to take until `expires_at`, by its token. `price`: today's share of the place."""

    token: str
    expires_at: datetime
    price: Money


@dataclass(frozen=True)
class Line:
    """The waiting list as one of the trip sees it. `position` is 1 for the next one, None for who does not wait.

    `can_come_in`: the group has room again, so nobody need wait.
    """

    title: str
    position: int | None
    count: int
    can_come_in: bool
    offered: OfferedToMe | None


@dataclass(frozen=True)
class Release:
    """A place that is offered to the waiting list, for whoever released it: to whom is not told."""

    id: HandoverId
    expires_at: datetime


def wait_in_line(database: Database, caller: Caller | None, invite_token: str, *, name: str | None) -> trips.Joined:
    """Queue for a place in a trip that nobody can join now, by its invite. Queuing twice is queuing once. A use case.

    Whoever queues sits in the trip as a viewer: they neither travel nor vote, and see nothing of the others.

    Raises:
        InviteNotFound, InviteRevoked, InviteExpired, TripCanceled: this way in is closed.
        NothingToWaitFor: they can join, or all is booked. AlreadyTraveling: they have a place.
        NameEmpty, NameTooLong: a guest needs a name. TripFull: too many wait.
    """
    address = trips.find_invite(database, invite_token)
    with database.begin(address.merchant_id) as session:
        joined = trips.wait_by_invite(session, address, caller, name=name)
        _queue(session, address.trip_id, joined.member)
        return joined


def wait_again(database: Database, caller: Caller, trip_id: TripId) -> None:
    """To the end of the line, for who sits in the trip without a place: they missed one, or sat out. A use case.

    Raises:
        TripNotFound, NotMember. NothingToWaitFor, AlreadyTraveling.
    """
    with database.begin(caller.merchant_id) as session:
        member = _member(session, caller, trip_id, lock=True)
        if member.role is Role.VIEWER and member.joined_via is JoinedVia.SPONSOR:
            raise NotMember()  # they were asked to give, not to come
        trips.require_full(session, trips.trip_of(session, trip_id))
        _queue(session, trip_id, member)


def _queue(session: Session, trip_id: TripId, member: Member) -> None:
    row = repository.latest_of_trip(session, trip_id)
    if row is not None and BookingState(row.state) not in ENDED and member.id in _traveling(session, row):
        raise AlreadyTraveling()
    repository.add_waiting(session, trip_id, member.id, clock.now(session))
    trips.append_event(session, trip_id, "waiting.changed", {}, now=clock.now(session))


def _traveling(session: Session, row: BookingRow) -> Collection[UUID]:
    """Who has a place; before anybody is asked for money, whoever was priced."""
    if row.state == BookingState.PLACING.value:
        return [person.member_id for person in offers.read_quote(session, row.quote_id).people]
    return party.members_in(session, row)


def stop_waiting(database: Database, caller: Caller, trip_id: TripId) -> None:
    """Leave the line; what is offered to them goes to the next at once. Twice is once. A use case.

    Raises:
        TripNotFound
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.latest_of_trip(session, trip_id)
        if row is not None:
            row = repository.lock(session, row.id)
        member, now = _member(session, caller, trip_id, lock=True), clock.now(session)
        _leave_line(session, trip_id, row, member.id, now)


def _leave_line(session: Session, trip_id: TripId, row: BookingRow | None, member_id: MemberId, now: datetime) -> None:
    line = _present(session, trip_id)
    if not repository.stop_waiting(session, trip_id, member_id, now):
        return
    room = _room_for(session, trip_id)
    if member_id in line[:room]:  # somebody moves up into it
        _tell_room(session, trip_id, line[room : room + 1])
    for link in repository.open_handovers(session, row.id) if row is not None else ():
        if link.for_member_id == member_id:
            link.expires_at = now  # the sweep passes it on
    trips.append_event(session, trip_id, "waiting.changed", {}, now=now)


def read_line(database: Database, sealer: Sealer, caller: Caller, trip_id: TripId) -> Line:
    """The line, and what is offered to the caller. A use case.

    Raises:
        TripNotFound: they are not in the trip.
    """
    with database.begin(caller.merchant_id) as session:
        member, trip = _member(session, caller, trip_id), trips.trip_of(session, trip_id)
        present = {one.id for one in trips.members(session, trip_id)}
        line = line_of(session, trip_id)
        position = position_of(line, member.id, present=present)
        return Line(
            title=trip.title,
            position=position,
            count=sum(one.member in present for one in line),
            can_come_in=trips.may_come_in(session, trip),
            offered=_offered(session, sealer, trip_id, member.id) if position is not None else None,
        )


def _offered(session: Session, sealer: Sealer, trip_id: TripId, member_id: MemberId) -> OfferedToMe | None:
    row = repository.latest_of_trip(session, trip_id)
    if row is None or row.state != BookingState.OPEN.value:
        return None
    link = _open_offer(session, row, member_id)
    if link is None:
        return None
    price = offers.read_quote(session, row.quote_id).of(link.member_id).pay
    return OfferedToMe(token_of(link, sealer), link.expires_at, price)


def _open_offer(session: Session, row: BookingRow, member_id: UUID) -> HandoverRow | None:
    now, going = clock.now(session), party.members_in(session, row)
    for link in repository.open_handovers(session, row.id):
        if link.for_member_id == member_id and now < link.expires_at and link.member_id in going:
            return link
    return None


def come_in(database: Database, caller: Caller, trip_id: TripId) -> None:
    """Who waits joins the group, which has room again, and waits no more. A use case.

    Raises:
        TripNotFound: they do not wait. TripFull, RosterFrozen, TripCanceled.
    """
    with database.begin(caller.merchant_id) as session:
        member = _member(session, caller, trip_id, lock=True)
        if not repository.stop_waiting(session, trip_id, member.id, clock.now(session)):
            raise TripNotFound()
        trips.come_in(session, trip_id, caller)


# --- who releases a place ---------------------------------------------------------------------------------------------


def release_place(database: Database, sealer: Sealer, caller: Caller, booking_id: BookingId) -> Release:
    """Offer the caller's place to the first in the line, then to the next. A use case; twice is once.

    The place stays the caller's, with all they owe, until somebody takes it, as by a friend's link (`take_place`).

    Raises:
        BookingNotFound, NotTraveling: no such booking for this caller, or no place in it.
        BookingClosed: it does not collect any more.
        HandoverOpen: a friend's link is good for this place; take it back first.
        NobodyWaits: nobody could take it in time; nothing was changed.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, booking_id)
        member_id = member_asking(session, row, caller)
        if row.state != BookingState.OPEN.value:
            raise BookingClosed(state=row.state)
        if member_id not in party.members_in(session, row):
            raise NotTraveling()
        now = clock.now(session)
        for known in repository.open_handovers(session, row.id):
            if known.member_id == member_id:
                if known.for_member_id is not None:
                    return Release(HandoverId(known.id), known.expires_at)
                if now < known.expires_at:
                    raise HandoverOpen()
                known.ended_at = now
                session.flush()
        link = offer_place(session, sealer, row, member_id, now)
        if link is None:
            raise NobodyWaits()
        return Release(HandoverId(link.id), link.expires_at)


def read_release(database: Database, caller: Caller, booking_id: BookingId) -> Release | None:
    """The caller's own place, while it is offered to the line. A use case. Raises BookingNotFound."""
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        member_id = member_asking(session, row, caller)
        for link in repository.open_handovers(session, row.id):
            if link.member_id == member_id and link.for_member_id is not None and row.state == BookingState.OPEN.value:
                return Release(HandoverId(link.id), link.expires_at)
        return None


def is_offered(session: Session, handover_id: HandoverId) -> datetime | None:
    """Until when this offer stands; None when it does not any more. A step."""
    link = repository.find_handover(session, handover_id)
    row = repository.read(session, link.booking_id)
    if row.state != BookingState.OPEN.value or link.for_member_id is None:
        return None
    found = _open_offer(session, row, link.for_member_id)
    return link.expires_at if found is not None and found.id == link.id else None


def place_token(session: Session, sealer: Sealer, handover_id: HandoverId) -> str:
    """The token of an offer, for the message to whom it is made. A step. Raises HandoverNotFound."""
    return token_of(repository.find_handover(session, handover_id), sealer)


# --- time and ends ----------------------------------------------------------------------------------------------------


def pass_places_on(database: Database, sealer: Sealer, merchant_id: UUID) -> int:
    """Offers that nobody took in time go to the next in the line; how many there were. Twice is once."""
    after: UUID | None = None
    passed = 0
    while True:
        with database.begin(merchant_id) as session:
            ids = repository.offers_run_out(session, after=after, limit=_page)
        for id in ids:
            with database.begin(merchant_id) as session:
                passed += _pass_on(session, sealer, HandoverId(id))
        if len(ids) < _page:
            return passed
        after = ids[-1]


def _pass_on(session: Session, sealer: Sealer, handover_id: HandoverId) -> bool:
    """Whoever let the time pass is out of the line; with nobody behind them the place stays its member's."""
    row = repository.lock(session, repository.find_handover(session, handover_id).booking_id)
    link, now = repository.find_handover(session, handover_id), clock.now(session)
    if link.ended_at is not None or link.for_member_id is None or now < link.expires_at:
        return False
    state = BookingState(row.state)
    if state is not BookingState.OPEN and state not in _DECIDED:
        return False  # being decided, or parked: should it collect again, the place is still offered
    link.ended_at = now
    session.flush()
    if state is not BookingState.OPEN:
        return True  # nobody missed anything
    if repository.stop_waiting(session, row.trip_id, link.for_member_id, now):
        tell_one(session, row, "place.missed", link.for_member_id)
    by = MemberId(link.member_id)
    if by in party.members_in(session, row) and offer_place(session, sealer, row, by, now) is None:
        tell_one(session, row, "place.unwanted", by)
    trips.append_event(session, TripId(row.trip_id), "waiting.changed", {}, now=now)
    return True


def on_booking_over(session: Session, fact: Fact) -> None:
    """booking.confirmed, booking.aborted, booking.canceled: nothing is offered any more. Who waits is told; when all is
    booked, that was the end of the line.
    """
    row, now = repository.lock(session, fact.subject), clock.now(session)
    for link in repository.open_handovers(session, row.id):
        if link.for_member_id is not None:
            link.ended_at = now
    is_booked = fact.name == "booking.confirmed"
    for one in repository.waiting(session, row.trip_id):
        if is_booked:
            one.ended_at = now
        tell_one(session, row, "waiting.over" if is_booked else "waiting.needless", one.member_id)


def on_member_left(session: Session, fact: Fact) -> None:
    """member.left: while the group plans, the first of the line hear that there is room. While the roster is frozen
    only who has no place may leave; whoever does gives no more, too, which `progress` sees.

    As long as the booking collects: what is decided is taken, as from anybody.
    """
    trip_id, member_id = TripId(UUID(fact.payload["trip_id"])), MemberId(UUID(fact.payload["member_id"]))
    row = repository.latest_of_trip(session, trip_id)
    if row is not None:
        row = repository.lock(session, row.id)
    trips.trip_of(session, trip_id, lock=True)
    _leave_line(session, trip_id, row, member_id, clock.now(session))
    if any(seat.role is not Role.VIEWER for seat in trips.seats(session, trip_id, [member_id])):
        _tell_room(session, trip_id, _present(session, trip_id)[: _room_for(session, trip_id)])
    if row is not None and row.has_parts and row.state == BookingState.OPEN.value:
        progress(session, row.id)


def _present(session: Session, trip_id: TripId) -> list[UUID]:
    """The line, without who has left the trip."""
    present = {one.id for one in trips.members(session, trip_id)}
    return [one.member for one in line_of(session, trip_id) if one.member in present]


def _room_for(session: Session, trip_id: TripId) -> int:
    """How many of the line could come in now: while the group plans, nobody offers them a place of theirs."""
    trip = trips.trip_of(session, trip_id)
    is_planning = trip.state not in (TripState.BOOKED, TripState.CANCELED)
    return max(0, trips.room_in(session, trip)) if is_planning else 0


def _tell_room(session: Session, trip_id: TripId, members: Iterable[UUID]) -> None:
    """The group has room for these; nobody keeps it for them."""
    for member_id in members:
        payload = {"trip_id": trip_id.hex, "member_id": member_id.hex}
        facts.record(session, "waiting.room", subject=trip_id, payload=payload)


def _member(session: Session, caller: Caller, trip_id: TripId, *, lock: bool = False) -> Member:
    trips.trip_of(session, trip_id, lock=lock)
    member = trips.member_of(session, trip_id, caller) if caller.is_traveler else None
    if member is None:
        raise TripNotFound()
    return member
