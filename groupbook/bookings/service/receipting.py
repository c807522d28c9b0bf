"""A payer's own receipt."""

from __future__ import annotations

from sqlalchemy.orm import Session

from groupbook import offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import BookingNotFound
from groupbook.bookings.models import BookingRow
from groupbook.bookings.receipts import Receipt, ReceiptNotFound, items_of, movements_of, payers_of, sums_of
from groupbook.bookings.service.reading import viewer
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import BookingId, MemberId, OfferId, TripId
from groupbook.payments.domain import Card, PortionView
from groupbook.trips.domain import Member


def read_receipt(database: Database, caller: Caller, booking_id: BookingId) -> Receipt:
    """What the caller paid for this booking and what came back. Nobody reads another's. A use case.

    Raises:
        BookingNotFound: no such booking for this caller, or they are no traveler of it.
        ReceiptNotFound: nothing was taken from them.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        me = viewer(session, row, caller)
        if me is None:
            raise BookingNotFound()
        return receipt_of(session, row, me)


def has_receipt(session: Session, booking_id: BookingId, member_id: MemberId) -> bool:
    """Whether something was taken from this member for this booking. A step."""
    portions = payments.portions_of(session, booking_id)
    return any(portion.payer == member_id and portion.captured for portion in portions)


def receipt_of(session: Session, row: BookingRow, me: Member) -> Receipt:
    """A step. Raises ReceiptNotFound."""
    portions = payments.portions_of(session, row.id)
    mine = [portion for portion in portions if portion.payer == me.id]
    lines = [line for part in payments.statement_of_reference(session, row.id).parts for line in part.lines]
    movements, payers = movements_of(lines, mine), payers_of(lines, portions)
    if me.id not in payers:
        raise ReceiptNotFound()  # money that nobody asked for, and a bank took back, was paid for nothing
    paid, refunded, disputed = sums_of(movements, row.currency)
    quote = offers.read_quote(session, row.quote_id)
    order = offers.order_of(session, row.id)
    covered = {part.line for portion in mine for part in portion.covers} | {portion.traveler for portion in mine}
    seats = trips.seats(session, TripId(row.trip_id), [MemberId(one) for one in covered])
    items = items_of(
        mine,
        payer=me.id,
        names={seat.id: seat.name for seat in seats},
        prices={person.member_id: person for person in quote.people},
        paid=paid,
    )
    order_ref = (order.merchant_ref if order else None) or f"{row.id.hex[-12:]}".upper()
    return Receipt(
        number=f"{order_ref}-{payers.index(me.id) + 1}",
        booking_id=BookingId(row.id),
        trip_id=TripId(row.trip_id),
        offer_id=OfferId(row.offer_id),
        payer=me.id,
        payer_name=me.name,
        order_ref=order_ref,
        people=len(quote.people),
        items=items,
        movements=movements,
        cards=_cards(mine),
        paid=paid,
        refunded=refunded,
        disputed=disputed,
    )


def _cards(portions: list[PortionView]) -> tuple[Card, ...]:
    """The cards that paid, each once, as far as the provider told."""
    cards = (portion.card for portion in portions if portion.captured and portion.card is not None)
    return tuple(dict.fromkeys(cards))
