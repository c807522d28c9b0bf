"""The room's messages on the wire."""

from __future__ import annotations

from groupbook.bookings.domain import BookingView, PortionLine, Step, TicketView
from groupbook.kit.http import Instant, MoneyWire, Wire, wire_id
from groupbook.kit.ids import to_wire
from groupbook.payments import PaymentPage


class LineOut(Wire):
    """One step of a price: `fare:<family>`, a rule's id, or `settle`.

    To a member, what somebody else's card or code brings is `company` or `shared_code`, without its name.
    """

    what: str
    delta: MoneyWire


class PortionOut(Wire):
    """A portion as the caller may see it; `amount` and `lines` are null where they are somebody else's."""

    id: wire_id("por") | None  # type: ignore[valid-type]
    traveler: str
    name: str
    payer: str
    state: str
    is_mine: bool
    is_payable_by_me: bool
    amount: MoneyWire | None
    lines: list[LineOut] | None
    decline_reason: str | None


class SeatOut(Wire):
    """One place on one leg (0 is the way out)."""

    traveler: str
    leg: int
    coach: str
    place: str


class BookingOut(Wire):
    """A booking: one merchant order for the party of a trip, with its all-or-nothing settlement."""

    id: str
    object: str
    livemode: bool
    trip: str
    offer: str
    quote: str
    state: str
    total: MoneyWire
    is_proven: bool
    portions: list[PortionOut]
    seats: list[SeatOut]
    seats_are_together: bool
    merchant_ref: str | None
    reason: str | None
    created_at: Instant
    deadline_at: Instant | None
    finished_at: Instant | None

    @classmethod
    def of(cls, view: BookingView, *, livemode: bool) -> BookingOut:
        return cls(
            id=to_wire("bkg", view.id),
            object="booking",
            livemode=livemode,
            trip=to_wire("trip", view.trip_id),
            offer=to_wire("off", view.offer_id),
            quote=to_wire("quo", view.quote_id),
            state=view.state.value,
            total=MoneyWire.of(view.total),
            is_proven=view.is_proven,
            portions=[_portion(line) for line in view.portions],
            seats=[
                SeatOut(traveler=to_wire("mem", seat.member_id), leg=seat.leg, coach=seat.coach, place=seat.place)
                for seat in view.seats
            ],
            seats_are_together=view.seats_are_together,
            merchant_ref=view.merchant_ref,
            reason=view.reason,
            created_at=view.created_at,
            deadline_at=view.deadline_at,
            finished_at=view.finished_at,
        )


def _portion(line: PortionLine) -> PortionOut:
    return PortionOut(
        id=to_wire("por", line.portion_id) if line.portion_id else None,
        traveler=to_wire("mem", line.traveler),
        name=line.name,
        payer=to_wire("mem", line.payer),
        state=line.state.value,
        is_mine=line.is_mine,
        is_payable_by_me=line.is_payable_by_me,
        amount=MoneyWire.of(line.amount) if line.amount else None,
        lines=[LineOut(what=step.what, delta=MoneyWire.of(step.delta)) for step in line.price.lines]
        if line.price
        else None,
        decline_reason=line.decline_reason,
    )


class TicketOut(Wire):
    """A ticket; `code` is what its QR shows."""

    traveler: str
    name: str
    number: str
    code: str
    seats: list[SeatOut]

    @classmethod
    def of(cls, ticket: TicketView) -> TicketOut:
        return cls(
            traveler=to_wire("mem", ticket.member_id),
            name=ticket.name,
            number=ticket.number,
            code=ticket.code,
            seats=[
                SeatOut(traveler=to_wire("mem", seat.member_id), leg=seat.leg, coach=seat.coach, place=seat.place)
                for seat in ticket.seats
            ],
        )


class TicketsOut(Wire):
    """The tickets the caller may see."""

    data: list[TicketOut]


class StepOut(Wire):
    """One step of the booking's machine."""

    n: int
    from_state: str | None
    event: str
    to_state: str
    at: Instant

    @classmethod
    def of(cls, step: Step) -> StepOut:
        return cls(
            n=step.n,
            from_state=step.from_state.value if step.from_state else None,
            event=step.event,
            to_state=step.to_state.value,
            at=step.at,
        )


class TimelineOut(Wire):
    """Everything a booking went through, in order."""

    data: list[StepOut]


class StartPayment(Wire):
    """`locale` is the language of the hosted page."""

    locale: str = "en"


class PaymentPageOut(Wire):
    """Where to send the payer, top level, never in a frame."""

    url: str
    closes_at: Instant

    @classmethod
    def of(cls, page: PaymentPage) -> PaymentPageOut:
        return cls(url=page.url, closes_at=page.closes_at)


class AskToPay(Wire):
    """The member who is asked; from then on they see the amount."""

    member: wire_id("mem")  # type: ignore[valid-type]


class PayRequestOut(Wire):
    """A request to pay for somebody."""

    id: str
