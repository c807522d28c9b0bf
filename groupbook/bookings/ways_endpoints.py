"""The ways a group pays besides everybody their own, over HTTP: contributions, splits, places that change hands."""

from __future__ import annotations

from groupbook.bookings import service
from groupbook.bookings.calls import BookingDeps
from groupbook.bookings.domain import (
    AlreadyTraveling,
    BookingClosed,
    BookingNotFound,
    ContributionInvalid,
    ContributionNotFound,
    HandoverNotFound,
    HandoverOpen,
    HandoverOver,
    NobodyWaits,
    NonceMissing,
    NotOrganizer,
    NotTraveling,
    NotYourBooking,
    SplitChanged,
    SplitInvalid,
    SplitNotFound,
    SponsorLinkNotFound,
    SponsorLinkOver,
)
from groupbook.bookings.schemas import (
    AnswerSplit,
    Contribute,
    ContributionOut,
    GiveByLink,
    GivenOut,
    HandOver,
    HandoverOut,
    OfferedPlaceOut,
    PlaceTakenOut,
    ProposeSplit,
    QueuedOut,
    QueueUp,
    ReleaseOut,
    SplitIdOut,
    SponsorLinkOut,
    TakePlace,
    WaitingOut,
    WantedGiftOut,
    WantGifts,
)
from groupbook.discounts.domain import CodeNotUsable
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.http import Call, Operation, operation
from groupbook.kit.ids import (
    BookingId,
    ContributionId,
    HandoverId,
    MemberId,
    SplitId,
    SponsorLinkId,
    TripId,
    from_wire,
    to_wire,
)
from groupbook.offers.domain import OfferNotBookable
from groupbook.payments.domain import PortionTooSmall
from groupbook.people.domain import NameEmpty, NameTooLong
from groupbook.trips.domain import (
    InviteExpired,
    InviteNotFound,
    InviteRevoked,
    NothingToWaitFor,
    RosterFrozen,
    TripCanceled,
    TripFull,
    TripNotFound,
)


@operation(
    "POST",
    "/v1/bookings/{booking_id}/contributions",
    status=201,
    auth="member",
    tags=["payments"],
    idempotent=True,
    errors=(BookingNotFound, BookingClosed, ContributionInvalid, NotYourBooking, PortionTooSmall),
)
async def give(call: Call[BookingDeps], booking_id: BookingId, body: Contribute) -> ContributionOut:
    """Pay a fixed amount of a friend's portion, or lower everybody's by it

    It counts at once and is then paid like a portion (`extras` of the booking). What is not needed is never taken.
    """
    id = await call.run(
        service.give,
        call.deps.database,
        call.caller,
        booking_id,
        body.amount.money(),
        to=MemberId(from_wire("mem", body.member)) if body.member else None,
        reserve=body.reserve.money() if body.reserve else None,
    )
    return ContributionOut(id=to_wire("ctb", id))


@operation(
    "DELETE",
    "/v1/contributions/{contribution_id}",
    status=204,
    auth="member",
    tags=["payments"],
    errors=(ContributionNotFound, BookingNotFound, NotYourBooking, BookingClosed, PortionTooSmall),
)
async def take_back(call: Call[BookingDeps], contribution_id: ContributionId) -> None:
    """Give a contribution no more: its giver, or the organizer who waits for it in vain

    What the others agreed to stands; whoever agreed to less than they now owe is asked again.
    """
    await call.run(service.take_back, call.deps.database, call.caller, contribution_id)


@operation(
    "POST",
    "/v1/bookings/{booking_id}/splits",
    status=201,
    auth="member",
    tags=["payments"],
    idempotent=True,
    errors=(BookingNotFound, BookingClosed, SplitInvalid),
)
async def propose_split(call: Call[BookingDeps], booking_id: BookingId, body: ProposeSplit) -> SplitIdOut:
    """Ask some of the party, yourself among them, to pay their sum by parts

    Nothing changes until everybody concerned has said yes to their own amount, you last. When prices or the party
    change so that the sum is another, the split lapses and has to be asked for again.
    """
    parts = {MemberId(from_wire("mem", one.member)): one.parts for one in body.parts}
    return SplitIdOut(
        id=to_wire("spl", await call.run(service.propose_split, call.deps.database, call.caller, booking_id, parts))
    )


@operation(
    "POST",
    "/v1/splits/{split_id}/answer",
    status=204,
    auth="member",
    tags=["payments"],
    idempotent=True,
    errors=(SplitNotFound, BookingNotFound, SplitChanged, BookingClosed, PortionTooSmall),
)
async def answer_split(call: Call[BookingDeps], split_id: SplitId, body: AnswerSplit) -> None:
    """Say yes to your own part of a split, or no to all of it"""
    amount = body.amount.money() if body.amount else None
    await call.run(service.answer_split, call.deps.database, call.caller, split_id, yes=body.yes, amount=amount)


@operation(
    "POST",
    "/v1/bookings/{booking_id}/handovers",
    status=201,
    auth="member",
    tags=["bookings"],
    errors=(BookingNotFound, BookingClosed, NotTraveling, HandoverOpen, NameEmpty, NameTooLong),
)
async def hand_over(call: Call[BookingDeps], booking_id: BookingId, body: HandOver) -> HandoverOut:
    """Hand your place over to a friend, by a link for one person

    The place and what you owe stay yours until it is taken. Asked again, it is the same link.
    """
    deps = call.deps
    made = await call.run(service.hand_over, deps.database, deps.sealer, call.caller, booking_id, for_name=body.name)
    return HandoverOut.of(made, deps.public_url)


@operation(
    "DELETE",
    "/v1/handovers/{handover_id}",
    status=204,
    auth="member",
    tags=["bookings"],
    errors=(HandoverNotFound, HandoverOver),
)
async def keep_place(call: Call[BookingDeps], handover_id: HandoverId) -> None:
    """Take the link, or the release to the waiting list, back and keep the place"""
    await call.run(service.keep_place, call.deps.database, call.caller, handover_id)


@operation(
    "GET",
    "/v1/places/{token}",
    auth="none",
    tags=["bookings"],
    errors=(HandoverNotFound, HandoverOver, BookingClosed),
)
async def open_handover(call: Call[BookingDeps], token: str) -> OfferedPlaceOut:
    """What a hand-over link offers: whose place, its price, until when"""
    return OfferedPlaceOut.of(await call.run(service.open_handover, call.deps.database, token))


@operation(
    "POST",
    "/v1/places/{token}/take",
    status=201,
    auth="optional",
    tags=["bookings"],
    errors=(
        HandoverNotFound,
        HandoverOver,
        BookingClosed,
        AlreadyTraveling,
        NonceMissing,
        Unauthenticated,
        NameEmpty,
        NameTooLong,
        TripFull,
        RosterFrozen,
        TripCanceled,
        OfferNotBookable,
        PortionTooSmall,
        CodeNotUsable,
    ),
)
async def take_place(call: Call[BookingDeps], token: str, body: TakePlace) -> PlaceTakenOut:
    """Take the place: a person as themselves, anybody else as a guest with a name

    You owe its price from now on, and whoever handed it over owes nothing any more. Who took it and asks again, a guest
    with the same `nonce`, has it; so a guest needs one.
    """
    return PlaceTakenOut.of(
        await call.run(service.take_place, call.deps.database, call.caller, token, name=body.name, nonce=body.nonce)
    )


# --- the waiting list -------------------------------------------------------------------------------------------------


@operation(
    "POST",
    "/v1/invites/{token}/wait",
    status=201,
    auth="optional",
    tags=["bookings"],
    errors=(
        InviteNotFound,
        InviteRevoked,
        InviteExpired,
        TripCanceled,
        NothingToWaitFor,
        AlreadyTraveling,
        NameEmpty,
        NameTooLong,
        TripFull,
    ),
)
async def wait_in_line(call: Call[BookingDeps], token: str, body: QueueUp) -> QueuedOut:
    """Queue for a place in a trip that is full or being booked, by its invite

    First come, first served. Who queues is a viewer of the trip: no place, no vote, nothing to pay.
    """
    return QueuedOut.of(await call.run(service.wait_in_line, call.deps.database, call.caller, token, name=body.name))


@operation("GET", "/v1/trips/{trip_id}/waiting", auth="member", tags=["bookings"], errors=(TripNotFound,))
async def read_line(call: Call[BookingDeps], trip_id: TripId) -> WaitingOut:
    """Your position in the waiting list, and the place that is free for you"""
    return WaitingOut.of(await call.run(service.read_line, call.deps.database, call.deps.sealer, call.caller, trip_id))


@operation(
    "POST",
    "/v1/trips/{trip_id}/waiting",
    status=204,
    auth="member",
    tags=["bookings"],
    errors=(TripNotFound, NothingToWaitFor, AlreadyTraveling),
)
async def wait_again(call: Call[BookingDeps], trip_id: TripId) -> None:
    """Queue at the end of the line: you are in the trip and have no place. Twice equals once"""
    await call.run(service.wait_again, call.deps.database, call.caller, trip_id)


@operation(
    "DELETE", "/v1/trips/{trip_id}/waiting", status=204, auth="member", tags=["bookings"], errors=(TripNotFound,)
)
async def stop_waiting(call: Call[BookingDeps], trip_id: TripId) -> None:
    """Leave the line; a place that is offered to you goes to the next. Twice equals once"""
    await call.run(service.stop_waiting, call.deps.database, call.caller, trip_id)


@operation(
    "POST",
    "/v1/trips/{trip_id}/waiting/come-in",
    status=204,
    auth="member",
    tags=["bookings"],
    errors=(TripNotFound, TripFull, RosterFrozen, TripCanceled),
)
async def come_in(call: Call[BookingDeps], trip_id: TripId) -> None:
    """Join the group, which has room again"""
    await call.run(service.come_in, call.deps.database, call.caller, trip_id)


@operation(
    "POST",
    "/v1/bookings/{booking_id}/release",
    status=201,
    auth="member",
    tags=["bookings"],
    errors=(BookingNotFound, BookingClosed, NotTraveling, HandoverOpen, NobodyWaits),
)
async def release_place(call: Call[BookingDeps], booking_id: BookingId) -> ReleaseOut:
    """Release your place to the waiting list

    The place stays yours, with what you owe, until somebody takes it; then it is as if you had handed it over by a
    link. Asked again, it is the same release.
    """
    found = await call.run(service.release_place, call.deps.database, call.deps.sealer, call.caller, booking_id)
    return ReleaseOut.of(found)


# --- sponsors who do not travel ---------------------------------------------------------------------------------------


@operation(
    "PUT",
    "/v1/bookings/{booking_id}/sponsor-link",
    auth="member",
    tags=["payments"],
    errors=(BookingNotFound, BookingClosed, NotOrganizer, TripNotFound, ContributionInvalid),
)
async def want_gifts(call: Call[BookingDeps], booking_id: BookingId, body: WantGifts) -> SponsorLinkOut:
    """Ask people who do not travel for a contribution, by one link

    The organizer's. Asked again it is the same link, with the new amount.
    """
    deps = call.deps
    link = await call.run(service.want_gifts, deps.database, deps.sealer, call.caller, booking_id, body.wanted.money())
    return SponsorLinkOut.of(link, deps.public_url)


@operation(
    "DELETE",
    "/v1/sponsor-links/{sponsor_link_id}",
    status=204,
    auth="member",
    tags=["payments"],
    errors=(SponsorLinkNotFound, NotOrganizer, TripNotFound),
)
async def want_no_gifts(call: Call[BookingDeps], sponsor_link_id: SponsorLinkId) -> None:
    """Close the sponsor link; what was given by it stands"""
    await call.run(service.want_no_gifts, call.deps.database, call.caller, sponsor_link_id)


@operation(
    "GET",
    "/v1/gifts/{token}",
    auth="none",
    tags=["payments"],
    errors=(SponsorLinkNotFound, SponsorLinkOver, BookingClosed),
)
async def open_gift(call: Call[BookingDeps], token: str) -> WantedGiftOut:
    """What a sponsor link asks for"""
    return WantedGiftOut.of(await call.run(service.open_gift, call.deps.database, token))


@operation(
    "POST",
    "/v1/gifts/{token}/give",
    status=201,
    auth="optional",
    tags=["payments"],
    errors=(
        SponsorLinkNotFound,
        SponsorLinkOver,
        BookingClosed,
        ContributionInvalid,
        NonceMissing,
        NameEmpty,
        NameTooLong,
        TripFull,
        TripCanceled,
        PortionTooSmall,
    ),
)
async def give_without_a_place(call: Call[BookingDeps], token: str, body: GiveByLink) -> GivenOut:
    """Give a fixed amount to everybody who travels, without traveling

    It lowers everybody's portion by the same and is paid like one: nobody is charged before everybody is in, what is
    not needed is never taken, and what goes back goes back to you.
    """
    given = await call.run(
        service.give_without_a_place,
        call.deps.database,
        call.caller,
        token,
        body.amount.money(),
        name=body.name,
        nonce=body.nonce,
    )
    return GivenOut.of(given)


OPERATIONS: tuple[Operation, ...] = (
    give,
    take_back,
    propose_split,
    answer_split,
    hand_over,
    keep_place,
    open_handover,
    take_place,
    wait_in_line,
    read_line,
    wait_again,
    stop_waiting,
    come_in,
    release_place,
    want_gifts,
    want_no_gifts,
    open_gift,
    give_without_a_place,
)
