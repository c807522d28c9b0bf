"""The room over HTTP. Money moves only here and at the provider, so every POST that starts it needs a key."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.routing import Route

from groupbook.bookings import service
from groupbook.bookings.domain import (
    BookingClosed,
    BookingNotFound,
    NobodyTravels,
    NothingDecided,
    NotOrganizer,
    NotPayableNow,
    NotYourBooking,
    PayRequestNotFound,
    Policy,
)
from groupbook.bookings.schemas import (
    AskToPay,
    BookingOut,
    PaymentPageOut,
    PayRequestOut,
    StartPayment,
    StepOut,
    TicketOut,
    TicketsOut,
    TimelineOut,
)
from groupbook.discounts.domain import CodeNotUsable
from groupbook.kit.database import Database
from groupbook.kit.errors import Unavailable
from groupbook.kit.http import Call, Edge, Operation, Page, PageQuery, operation
from groupbook.kit.http import routes as _routes
from groupbook.kit.ids import BookingId, MemberId, PayRequestId, PortionId, TripId, from_wire, to_wire
from groupbook.kit.intents import Runner
from groupbook.offers.domain import OfferNotBookable
from groupbook.payments import PaymentRefused
from groupbook.payments.domain import PortionNotFound, PortionNotPayable, PortionTooSmall, TooManyAttempts
from groupbook.trips.domain import BookingOpen, TripNotFound, TripStateForbids


@dataclass(frozen=True)
class BookingDeps:
    """What the room's endpoints need."""

    database: Database
    runner: Runner
    policy: Policy
    public_url: str


@operation(
    "POST",
    "/v1/trips/{trip_id}/bookings",
    status=201,
    auth="either",
    scope="bookings:write",
    tags=["bookings"],
    idempotent=True,
    errors=(
        TripNotFound,
        NotOrganizer,
        NothingDecided,
        NobodyTravels,
        OfferNotBookable,
        PortionTooSmall,
        CodeNotUsable,
        BookingOpen,
        TripStateForbids,
    ),
)
async def open_booking(call: Call[BookingDeps], trip_id: TripId) -> BookingOut:
    """Open the booking of a decided trip

    Prices are frozen in a quote, the merchant is asked for adjacent places, and then everyone for their own portion.
    """
    database, caller = call.deps.database, call.caller
    id = await call.run(service.open_booking, database, caller, trip_id, policy=call.deps.policy)
    return BookingOut.of(await call.run(service.read_booking, database, caller, id), livemode=caller.livemode)


@operation("GET", "/v1/bookings", auth="merchant", scope="bookings:read", tags=["bookings"])
async def list_bookings(call: Call[BookingDeps], query: PageQuery) -> Page[BookingOut]:
    """List bookings, newest first"""
    found = await call.run(
        service.list_bookings, call.deps.database, call.caller, cursor=query.cursor, limit=query.limit
    )
    data = [BookingOut.of(view, livemode=call.caller.livemode) for view in found.rows]
    return Page[BookingOut](data=data, next_cursor=found.next_cursor)


@operation(
    "GET",
    "/v1/bookings/{booking_id}",
    auth="either",
    scope="bookings:read",
    tags=["bookings"],
    errors=(BookingNotFound,),
)
async def read_booking(call: Call[BookingDeps], booking_id: BookingId) -> BookingOut:
    """Read a booking: your own lines, the group's total, the others' state"""
    view = await call.run(service.read_booking, call.deps.database, call.caller, booking_id)
    return BookingOut.of(view, livemode=call.caller.livemode)


@operation(
    "POST",
    "/v1/bookings/{booking_id}/cancel",
    auth="either",
    scope="bookings:write",
    tags=["bookings"],
    idempotent=True,
    errors=(BookingNotFound, NotOrganizer, BookingClosed),
)
async def cancel_booking(call: Call[BookingDeps], booking_id: BookingId) -> BookingOut:
    """Give a booking up

    Before it is decided, everybody is released and nobody is charged; afterwards it is taken back and refunded in full.
    """
    await call.run(service.cancel_booking, call.deps.database, call.caller, booking_id)
    view = await call.run(service.read_booking, call.deps.database, call.caller, booking_id)
    return BookingOut.of(view, livemode=call.caller.livemode)


@operation(
    "GET",
    "/v1/bookings/{booking_id}/tickets",
    auth="either",
    scope="bookings:read",
    tags=["bookings"],
    errors=(BookingNotFound,),
)
async def read_tickets(call: Call[BookingDeps], booking_id: BookingId) -> TicketsOut:
    """Read tickets: a member's own, the merchant's all"""
    found = await call.run(service.read_tickets, call.deps.database, call.caller, booking_id)
    return TicketsOut(data=[TicketOut.of(ticket) for ticket in found])


@operation(
    "GET",
    "/v1/bookings/{booking_id}/timeline",
    auth="merchant",
    scope="bookings:read",
    tags=["bookings"],
    errors=(BookingNotFound,),
)
async def read_timeline(call: Call[BookingDeps], booking_id: BookingId) -> TimelineOut:
    """Read every step a booking took"""
    steps = await call.run(service.read_timeline, call.deps.database, call.caller.merchant_id, booking_id)
    return TimelineOut(data=[StepOut.of(step) for step in steps])


@operation(
    "POST",
    "/v1/portions/{portion_id}/payments",
    status=201,
    auth="member",
    tags=["payments"],
    idempotent=True,
    errors=(
        PortionNotFound,
        PortionNotPayable,
        NotPayableNow,
        BookingClosed,
        PaymentRefused,
        TooManyAttempts,
        Unavailable,
    ),
)
async def start_payment(call: Call[BookingDeps], portion_id: PortionId, body: StartPayment) -> PaymentPageOut:
    """Start paying a portion: the address of the provider's hosted page"""
    page = await call.run(
        service.start_payment,
        call.deps.database,
        call.deps.runner,
        call.caller,
        portion_id,
        locale=body.locale[:8],
        public_url=call.deps.public_url,
    )
    return PaymentPageOut.of(page)


@operation(
    "POST",
    "/v1/portions/{portion_id}/asks",
    status=201,
    auth="member",
    tags=["payments"],
    errors=(PortionNotFound, NotYourBooking, BookingClosed),
)
async def ask_to_pay(call: Call[BookingDeps], portion_id: PortionId, body: AskToPay) -> PayRequestOut:
    """Ask another member to pay your portion"""
    of = MemberId(from_wire("mem", body.member))
    id = await call.run(service.ask_to_pay, call.deps.database, call.caller, portion_id, of)
    return PayRequestOut(id=to_wire("prq", id))


@operation(
    "DELETE",
    "/v1/pay_requests/{request_id}",
    status=204,
    auth="member",
    tags=["payments"],
    errors=(PayRequestNotFound,),
)
async def withdraw_ask(call: Call[BookingDeps], request_id: PayRequestId) -> None:
    """Take a request to pay back, or decline it"""
    await call.run(service.withdraw_ask, call.deps.database, call.caller, request_id)


@operation(
    "POST",
    "/v1/portions/{portion_id}/take_over",
    status=204,
    auth="member",
    tags=["payments"],
    idempotent=True,
    errors=(PortionNotFound, PortionNotPayable, BookingClosed),
)
async def take_over(call: Call[BookingDeps], portion_id: PortionId) -> None:
    """Become the payer of a portion: asked to, organizing, or taking your own back"""
    await call.run(service.take_over, call.deps.database, call.caller, portion_id)


OPERATIONS: tuple[Operation, ...] = (
    open_booking,
    list_bookings,
    read_booking,
    cancel_booking,
    read_tickets,
    read_timeline,
    start_payment,
    ask_to_pay,
    withdraw_ask,
    take_over,
)


def routes(deps: BookingDeps, edge: Edge) -> list[Route]:
    return _routes(OPERATIONS, deps, edge)
