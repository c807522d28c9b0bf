"""The room over HTTP. Money moves only here and at the provider, so every POST that starts it needs a key."""

from __future__ import annotations

from starlette.routing import Route

from groupbook.bookings import service, ways_endpoints
from groupbook.bookings.calls import BookingDeps
from groupbook.bookings.domain import (
    AmendmentAccepted,
    AmendmentIncomplete,
    AmendmentNotFound,
    AmendmentOpen,
    BookingClosed,
    BookingNotFound,
    NobodyTravels,
    NothingDecided,
    NotOrganizer,
    NotPayableNow,
    NotTraveling,
    NotYourBooking,
    PayRequestNotFound,
    PolicyInvalid,
    PortionGone,
    TermsChanged,
)
from groupbook.bookings.schemas import (
    AmendmentOut,
    AskAmendment,
    AskChangePreview,
    AskToPay,
    BookingOut,
    ChangePreviewOut,
    LeavePreviewOut,
    OpenBooking,
    PaymentPageOut,
    PayRequestOut,
    SettlementOut,
    SettlementSettings,
    StartPayment,
    TicketOut,
    TicketsOut,
)
from groupbook.bookings.timeline_schemas import TimelineOut
from groupbook.discounts.domain import CodeNotUsable
from groupbook.kit.errors import Unavailable
from groupbook.kit.http import Call, Edge, Operation, Page, PageQuery, operation
from groupbook.kit.http import routes as _routes
from groupbook.kit.ids import AmendmentId, BookingId, MemberId, PayRequestId, PortionId, TripId, from_wire, to_wire
from groupbook.offers.domain import AmendmentNotOffered, OfferNotBookable, TooManyHolds
from groupbook.payments import PaymentRefused
from groupbook.payments.domain import PortionNotFound, PortionNotPayable, PortionTooSmall, TooManyAttempts
from groupbook.trips.domain import BookingOpen, TripNotFound, TripStateForbids


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
        TooManyHolds,
        PortionTooSmall,
        CodeNotUsable,
        BookingOpen,
        TripStateForbids,
        PolicyInvalid,
    ),
)
async def open_booking(call: Call[BookingDeps], trip_id: TripId, body: OpenBooking) -> BookingOut:
    """Open the booking of a decided trip

    Prices are frozen in a quote, the merchant is asked for adjacent places, and then everyone for their own portion.
    """
    database, caller = call.deps.database, call.caller
    policy, choices = call.deps.policy, body.choices()
    id = await call.run(service.open_booking, database, caller, trip_id, policy=policy, choices=choices)
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
    "POST",
    "/v1/bookings/{booking_id}/leave",
    auth="member",
    tags=["bookings"],
    idempotent=True,
    errors=(BookingNotFound, BookingClosed, NotTraveling, OfferNotBookable, PortionTooSmall, CodeNotUsable),
)
async def leave_booking(call: Call[BookingDeps], booking_id: BookingId) -> BookingOut:
    """Step out of a booking that is still collecting

    Nothing of yours is charged any more. The others are priced again; who would pay more is asked again.
    """
    await call.run(service.leave_booking, call.deps.database, call.caller, booking_id)
    view = await call.run(service.read_booking, call.deps.database, call.caller, booking_id)
    return BookingOut.of(view, livemode=call.caller.livemode)


@operation(
    "POST",
    "/v1/bookings/{booking_id}/amendments",
    status=201,
    auth="either",
    scope="bookings:write",
    tags=["bookings"],
    idempotent=True,
    errors=(
        BookingNotFound,
        NotOrganizer,
        BookingClosed,
        AmendmentOpen,
        AmendmentIncomplete,
        AmendmentNotOffered,
        NotTraveling,
        TermsChanged,
        Unavailable,
    ),
)
async def amend_booking(call: Call[BookingDeps], booking_id: BookingId, body: AskAmendment) -> AmendmentOut:
    """Change one booked member: cancel, replace, or ask for a surcharge

    Nobody else's ticket, seat or charge moves. With `terms` it comes to what their preview said, or to nothing.
    """
    change = service.Change(
        kind=body.kind,
        member_id=MemberId(from_wire("mem", body.member)),
        by=MemberId(from_wire("mem", body.by)) if body.by else None,
        surcharge=body.amount.money() if body.amount else None,
    )
    if body.terms is None:
        id = await call.run(service.amend_booking, call.deps.database, call.caller, booking_id, change)
    else:
        adapter_of, sealer = call.deps.adapter_of, call.deps.sealer
        id = await call.run(
            service.confirm_change, call.deps.database, adapter_of, sealer, call.caller, booking_id, change, body.terms
        )
    return AmendmentOut(id=to_wire("amd", id))


@operation(
    "POST",
    "/v1/bookings/{booking_id}/amendments/preview",
    auth="either",
    scope="bookings:read",
    tags=["bookings"],
    errors=(
        BookingNotFound,
        NotOrganizer,
        BookingClosed,
        AmendmentOpen,
        AmendmentIncomplete,
        AmendmentNotOffered,
        NotTraveling,
        Unavailable,
    ),
)
async def preview_change(call: Call[BookingDeps], booking_id: BookingId, body: AskChangePreview) -> ChangePreviewOut:
    """What giving a place back, or to somebody else, would come to, by the merchant's conditions; nothing is changed"""
    by = MemberId(from_wire("mem", body.by)) if body.by else None
    change = service.Change(kind=body.kind, member_id=MemberId(from_wire("mem", body.member)), by=by)
    found = await call.run(
        service.preview_change,
        call.deps.database,
        call.deps.adapter_of,
        call.deps.sealer,
        call.caller,
        booking_id,
        change,
    )
    return ChangePreviewOut.of(found)


@operation(
    "DELETE",
    "/v1/amendments/{amendment_id}",
    status=204,
    auth="either",
    scope="bookings:write",
    tags=["bookings"],
    errors=(AmendmentNotFound, AmendmentAccepted, BookingClosed),
)
async def withdraw_change(call: Call[BookingDeps], amendment_id: AmendmentId) -> None:
    """Take a replacement or a surcharge back, as long as nobody has paid for it

    Of whoever may ask for it; and the member who would come in says no by it.
    """
    await call.run(service.withdraw_change, call.deps.database, call.caller, amendment_id)


@operation(
    "GET",
    "/v1/bookings/{booking_id}/leave",
    auth="member",
    tags=["bookings"],
    errors=(BookingNotFound, BookingClosed, NotTraveling),
)
async def preview_leave(call: Call[BookingDeps], booking_id: BookingId) -> LeavePreviewOut:
    """What leaving a booking would do to the group's price; nothing is changed"""
    found = await call.run(service.preview_leave, call.deps.database, call.caller, booking_id)
    return LeavePreviewOut.of(found)


@operation("GET", "/v1/settlement", auth="merchant", scope="bookings:read", tags=["bookings"])
async def read_settlement(call: Call[BookingDeps]) -> SettlementOut:
    """Read the policy your next booking opens with"""
    policy = await call.run(service.read_policy, call.deps.database, call.caller, call.deps.policy)
    return SettlementOut.of(policy)


@operation(
    "PUT",
    "/v1/settlement",
    auth="merchant",
    scope="bookings:write",
    tags=["bookings"],
    errors=(PolicyInvalid,),
)
async def change_settlement(call: Call[BookingDeps], body: SettlementSettings) -> SettlementOut:
    """Replace your own settlement settings

    Bookings that are open keep the policy they opened with.
    """
    settings = body.model_dump(exclude_none=True)
    policy = await call.run(service.change_policy, call.deps.database, call.caller, call.deps.policy, settings)
    return SettlementOut.of(policy)


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
    """Read the whole story of a booking: steps, events, calls and answers in order, and what is owed now"""
    story = await call.run(service.read_story, call.deps.database, call.caller.merchant_id, booking_id)
    return TimelineOut.of(story)


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
        PortionGone,
        BookingClosed,
        PaymentRefused,
        TooManyAttempts,
        Unavailable,
    ),
)
async def start_payment(call: Call[BookingDeps], portion_id: PortionId, body: StartPayment) -> PaymentPageOut:
    """Start paying a portion: the address of the page, the provider's or ours, as the merchant chose"""
    page = await call.run(
        service.start_payment,
        call.deps.database,
        call.deps.runner,
        call.caller,
        portion_id,
        locale=body.locale[:8],
        public_url=call.deps.public_url,
    )
    merchant_id, public_url = call.caller.merchant_id, call.deps.public_url
    url = service.page_address(call.deps.sealer, merchant_id, page, public_url=public_url)
    return PaymentPageOut(url=url, closes_at=page.closes_at)


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


@operation(
    "POST",
    "/v1/portions/{portion_id}/hand_back",
    status=204,
    auth="member",
    tags=["payments"],
    idempotent=True,
    errors=(PortionNotFound, PortionNotPayable, BookingClosed),
)
async def hand_back(call: Call[BookingDeps], portion_id: PortionId) -> None:
    """Pay for somebody no more: the portion is its traveler's again, as long as no bank has said yes"""
    await call.run(service.hand_back, call.deps.database, call.caller, portion_id)


OPERATIONS: tuple[Operation, ...] = (
    open_booking,
    list_bookings,
    read_booking,
    cancel_booking,
    preview_leave,
    leave_booking,
    preview_change,
    amend_booking,
    withdraw_change,
    read_settlement,
    change_settlement,
    read_tickets,
    read_timeline,
    start_payment,
    ask_to_pay,
    withdraw_ask,
    take_over,
    hand_back,
    *ways_endpoints.OPERATIONS,
)


def routes(deps: BookingDeps, edge: Edge) -> list[Route]:
    return _routes(OPERATIONS, deps, edge)


__all__ = ["OPERATIONS", "BookingDeps", "routes"]
