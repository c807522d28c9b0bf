"""What each caller may see of a booking (P6): own lines, the group's total, the others' state."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    BookingNotFound,
    BookingState,
    BookingView,
    PayRequestView,
    PortionLine,
    Step,
    TicketView,
)
from groupbook.bookings.models import BookingRow, PayRequestRow
from groupbook.kit import paging
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import BookingId, MemberId, MerchantId, OfferId, PayRequestId, PortionId, QuoteId, TripId
from groupbook.kit.money import Money
from groupbook.offers.domain import Quote, seats_are_together
from groupbook.payments.domain import PortionView
from groupbook.trips.domain import Member, Role, sight_of


def read_booking(database: Database, caller: Caller, booking_id: BookingId) -> BookingView:
    """A use case.

    Raises:
        BookingNotFound: no such booking for this caller.
    """
    with database.begin(caller.merchant_id) as session:
        return view(session, repository.read(session, booking_id), caller)


def booking_of_trip(database: Database, caller: Caller, trip_id: TripId) -> BookingView | None:
    """The trip's latest booking, whatever became of it. A use case."""
    with database.begin(caller.merchant_id) as session:
        row = repository.latest_of_trip(session, trip_id)
        return None if row is None else view(session, row, caller)


def trip_of_booking(session: Session, booking_id: BookingId) -> TripId:
    """The trip whose party this booking is for. A step.

    Raises:
        BookingNotFound
    """
    return TripId(repository.read(session, booking_id).trip_id)


def list_bookings(
    database: Database, caller: Caller, *, cursor: str | None = None, limit: int = paging.LIMIT_DEFAULT
) -> paging.Slice[BookingView]:
    """The merchant's bookings, newest first. A use case."""
    with database.begin(caller.merchant_id) as session:
        rows = repository.page(session, after=paging.decode_cursor(cursor), limit=limit + 1)
        found = paging.page(rows, [row.id for row in rows], limit)
        return paging.Slice([view(session, row, caller) for row in found.rows], found.next_cursor)


def read_timeline(database: Database, merchant_id: MerchantId, booking_id: BookingId) -> list[Step]:
    """Every step the booking took. For the merchant and the operator. A use case.

    Raises:
        BookingNotFound
    """
    with database.begin(merchant_id) as session:
        repository.read(session, booking_id)
        return repository.timeline(session, booking_id)


def read_tickets(database: Database, caller: Caller, booking_id: BookingId) -> list[TicketView]:
    """The caller's own ticket; the merchant's staff see all of them. A use case.

    Raises:
        BookingNotFound: no such booking for this caller.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        me = viewer(session, row, caller)
        issued = repository.tickets(session, row.id)
        return [ticket for ticket in issued if me is None or ticket.member_id == me.id]


def viewer(session: Session, row: BookingRow, caller: Caller) -> Member | None:
    """The member who looks; None for the merchant.

    Raises:
        BookingNotFound: a stranger, or a member of another trip.
    """
    if caller.kind in ("merchant", "staff"):
        return None
    member = trips.member_of(session, TripId(row.trip_id), caller) if caller.is_traveler else None
    if member is None:
        raise BookingNotFound()
    return member


def view(session: Session, row: BookingRow, caller: Caller) -> BookingView:
    """The booking through this caller's eyes."""
    me = viewer(session, row, caller)
    quote = offers.read_quote(session, row.quote_id)
    hold = offers.hold_of(session, row.id)
    order = offers.order_of(session, row.id)
    requests = repository.open_requests(session, row.id)
    portions = payments.portions_of(session, row.id)
    names = _names(session, TripId(row.trip_id), me, portions, requests)
    seats = order.seats if order and order.seats else hold.seats if hold else ()
    return BookingView(
        id=BookingId(row.id),
        trip_id=TripId(row.trip_id),
        offer_id=OfferId(row.offer_id),
        quote_id=QuoteId(row.quote_id),
        state=BookingState(row.state),
        total=Money(row.total, row.currency),
        portions=_lines(row, quote, portions, me, requests, names),
        created_at=row.created_at,
        deadline_at=row.deadline_at,
        finished_at=row.finished_at,
        reason=row.reason,
        hold_expires_at=hold.expires_at if hold else None,
        merchant_ref=order.merchant_ref if order else None,
        seats=seats,
        seats_are_together=bool(seats) and seats_are_together(seats),
        is_proven=quote.is_proven,
        bound=quote.bound,
        asks=tuple(
            PayRequestView(
                id=PayRequestId(request.id),
                portion_id=PortionId(request.portion_id),
                asked_by=MemberId(request.asked_by),
                asked_of=MemberId(request.asked_of),
                state=request.state,
            )
            for request in requests
            if me is None or me.id in (request.asked_by, request.asked_of)
        ),
        me=me.id if me else None,
        is_organizer=me is not None and me.role is Role.ORGANIZER,
    )


def _names(
    session: Session,
    trip_id: TripId,
    me: Member | None,
    portions: Iterable[PortionView],
    requests: Iterable[PayRequestRow],
) -> dict[UUID, str]:
    """The names this caller may read. Where the organizer keeps them private: one's own, of whom one pays for, of who
    pays for one, and of who asks one to.
    """
    names: dict[UUID, str] = {member.id: member.name for member in trips.members(session, trip_id)}
    if me is None:
        return names
    sight = sight_of(trips.trip_of(session, trip_id).privacy, me.role)
    if sight is not None and sight.member_ids:
        return names
    near = {me.id} | {request.asked_by for request in requests if request.asked_of == me.id}
    for portion in portions:
        if me.id in (portion.traveler, portion.payer):
            near |= {portion.traveler, portion.payer}
    return {member_id: name for member_id, name in names.items() if member_id in near}


def _lines(
    row: BookingRow,
    quote: Quote,
    portions: Iterable[PortionView],
    me: Member | None,
    requests: list[PayRequestRow],
    names: dict[UUID, str],
) -> tuple[PortionLine, ...]:
    """One line per portion, in the party's order; before the portions are asked for, one per quoted person."""
    asked = {request.portion_id for request in requests if me is not None and request.asked_of == me.id}
    by_traveler = {portion.traveler: portion for portion in portions}
    is_open = row.state == BookingState.OPEN.value
    return tuple(
        _line(person.member_id, quote, by_traveler.get(person.member_id), me, asked, names, is_open=is_open)
        for person in quote.people
    )


def _line(
    traveler: UUID,
    quote: Quote,
    portion: PortionView | None,
    me: Member | None,
    asked: set[UUID],
    names: dict[UUID, str],
    *,
    is_open: bool,
) -> PortionLine:
    payer = portion.payer if portion else traveler
    is_mine = me is not None and me.id == traveler
    is_payer = me is not None and me.id == payer
    price = quote.of(traveler)
    sees_amount = me is None or is_mine or is_payer or (portion is not None and portion.id in asked)
    return PortionLine(
        portion_id=portion.id if portion else None,
        traveler=MemberId(traveler),
        name=names.get(traveler, ""),
        payer=MemberId(payer),
        payer_name=names.get(payer, ""),
        state=portion.state if portion else payments.PortionState.OPEN,
        is_mine=is_mine,
        is_payable_by_me=is_open and is_payer and portion is not None and portion.is_payable,
        amount=price.pay if sees_amount else None,
        price=price if me is None else price.told() if is_mine else None,
        attempt_id=portion.attempt_id if portion and is_payer else None,
        decline_reason=portion.decline_reason if portion and is_payer else None,
        card=f"{portion.card.brand} {portion.card.last4}" if portion and portion.card and is_payer else None,
    )
