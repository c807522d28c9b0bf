"""The trips room over HTTP. The live stream stands beside the operations, in `stream.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from starlette.responses import Response
from starlette.routing import Route

from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.http import JSON, Call, Edge, Operation, Page, PageQuery, operation
from groupbook.kit.http import routes as _routes
from groupbook.kit.ids import CommentId, InviteId, MemberId, OptionId, TripId, from_wire, to_wire
from groupbook.kit.paging import decode_cursor, page
from groupbook.kit.sealing import Sealer
from groupbook.offers.domain import OccasionNotFound, OfferNotFound
from groupbook.people.domain import GuestAdopted, GuestNotFound, NameEmpty, NameTooLong
from groupbook.trips.domain import (
    BookingOpen,
    CommentNotFound,
    DeadlineInPast,
    DeadlineRequired,
    DecisionNotDue,
    InvalidQuorum,
    InviteExpired,
    InviteNotFound,
    InviteRevoked,
    MemberNotFound,
    NotMember,
    NotOrganizer,
    NotUnanimous,
    OptionDecided,
    OptionNeedsSomething,
    OptionNotFound,
    OrganizerStays,
    QuorumNotReached,
    RosterFrozen,
    TooManyComments,
    TooManyInvites,
    TooManyOptions,
    TripCanceled,
    TripChanged,
    TripFull,
    TripNotFound,
    TripStateForbids,
    TripTextInvalid,
    UndoTooLate,
    VoteChoice,
)
from groupbook.trips.hot import HotRead, HotVote
from groupbook.trips.live import Hub
from groupbook.trips.schemas import (
    AddedOptionOut,
    AddedOptionsOut,
    AddOptionsIn,
    AdoptIn,
    CastVoteIn,
    CastVotesIn,
    ChangePrivacyIn,
    ChangeTripIn,
    CommentIn,
    CommentOut,
    CreateInviteIn,
    DecideIn,
    EventsQuery,
    GoingIn,
    GoingOut,
    InviteOut,
    InvitesOut,
    JoinedOut,
    JoinIn,
    OpenedInviteOut,
    OrganizerActIn,
    PriceOut,
    PricesOut,
    ProposalOut,
    PublicTripOut,
    ReopenIn,
    StartedOut,
    StartTripIn,
    TripEventOut,
    TripEventsOut,
    TripOut,
    TripSummaryOut,
    VoteCastOut,
    VotesCastOut,
)
from groupbook.trips.service import decide as deciding
from groupbook.trips.service import gather, plan, prices, read
from groupbook.trips.stream import stream_routes

_ORGANIZER = (TripNotFound, NotMember, NotOrganizer, TripChanged, TripStateForbids, TripCanceled)
_JOIN = (TripCanceled, TripFull, RosterFrozen, NameEmpty, NameTooLong)
_TEXT = (TripTextInvalid,)
_RULE = (DeadlineRequired, DeadlineInPast, InvalidQuorum)


@dataclass(frozen=True)
class TripDeps:
    """What the room's endpoints need."""

    database: Database
    sealer: Sealer
    hub: Hub
    public_url: str


def _at_the_trip(deps: TripDeps, caller: Caller, trip_id: TripId) -> Caller:
    """A stranger asks at the merchant whose trip it is; everybody else at their own."""
    if caller.kind == "nobody":
        return replace(caller, merchant_id=gather.merchant_of_trip(deps.database, trip_id))
    return caller


# --- the trip -------------------------------------------------------------------------------------------------------


@operation(
    "POST",
    "/v1/trips",
    status=201,
    auth="either",
    scope="trips:write",
    tags=["trips"],
    errors=(
        *_TEXT,
        *_RULE,
        OptionNeedsSomething,
        TooManyOptions,
        OfferNotFound,
        OccasionNotFound,
        NameEmpty,
        NameTooLong,
    ),
)
async def start_trip(call: Call[TripDeps], body: StartTripIn) -> StartedOut:
    """Start a trip from an offer, an occasion, or nothing

    A person organizes it themselves. With an API key a guest named `organizer_name` does; `guest_token` is their key.
    """
    started = await call.run(plan.start_trip, call.deps.database, call.deps.sealer, call.caller, body.plan())
    return StartedOut.of(started, call.deps.public_url)


@operation("GET", "/v1/trips", auth="either", scope="trips:read", tags=["trips"])
async def list_trips(call: Call[TripDeps], query: PageQuery) -> Page[TripSummaryOut]:
    """List trips, newest first: the merchant's, or the asking member's own"""
    found = await call.run(read.list_trips, call.deps.database, call.caller, cursor=query.cursor, limit=query.limit)
    return Page[TripSummaryOut](data=[TripSummaryOut.of(trip) for trip in found.rows], next_cursor=found.next_cursor)


@operation("GET", "/v1/trips/{trip_id}", auth="optional", scope="trips:read", tags=["trips"], errors=(TripNotFound,))
async def read_trip(call: Call[TripDeps], trip_id: TripId) -> TripOut:
    """Read a trip, as much of it as the asking one may see"""

    def document() -> str:
        caller = _at_the_trip(call.deps, call.caller, trip_id)
        return read.read_trip(call.deps.database, caller, trip_id)

    # The database made the JSON of a TripOut; reading it into objects to write it again would cost most of the call.
    return cast(TripOut, Response(await call.run(document), media_type=JSON))


@operation("GET", "/v1/trips/{trip_id}/public", auth="none", tags=["trips"], errors=(TripNotFound,))
async def read_public_trip(call: Call[TripDeps], trip_id: TripId) -> PublicTripOut:
    """What anybody may see of a trip now, for previews and share pages"""

    def view() -> PublicTripOut:
        with call.deps.database.begin(gather.merchant_of_trip(call.deps.database, trip_id)) as session:
            shown = read.public_view(session, trip_id)
        if shown is None:
            raise TripNotFound()
        return PublicTripOut.of(shown)

    return await call.run(view)


@operation("PATCH", "/v1/trips/{trip_id}", auth="member", tags=["trips"], errors=(*_ORGANIZER, *_TEXT))
async def change_trip(call: Call[TripDeps], trip_id: TripId, body: ChangeTripIn) -> None:
    """Change the title and the dates"""
    await call.run(
        plan.rename_trip,
        call.deps.database,
        call.caller,
        trip_id,
        title=body.title,
        starts_on=body.starts_on,
        ends_on=body.ends_on,
        expected_version=body.expected_version,
    )


@operation("POST", "/v1/trips/{trip_id}/cancel", auth="member", tags=["trips"], errors=(*_ORGANIZER, BookingOpen))
async def cancel_trip(call: Call[TripDeps], trip_id: TripId, body: OrganizerActIn) -> None:
    """End the trip; a booking is canceled first, by its own rules"""
    await call.run(plan.cancel_trip, call.deps.database, call.caller, trip_id, expected_version=body.expected_version)


@operation("PUT", "/v1/trips/{trip_id}/privacy", auth="member", tags=["trips"], errors=_ORGANIZER)
async def change_privacy(call: Call[TripDeps], trip_id: TripId, body: ChangePrivacyIn) -> None:
    """Say who may see what, from now on"""
    await call.run(
        plan.change_privacy,
        call.deps.database,
        call.caller,
        trip_id,
        body.privacy(),
        expected_version=body.expected_version,
    )


# --- members --------------------------------------------------------------------------------------------------------


@operation(
    "GET",
    "/v1/invites/{token}",
    auth="none",
    tags=["members"],
    errors=(InviteNotFound, InviteRevoked, InviteExpired, TripCanceled),
)
async def open_invite(call: Call[TripDeps], token: str) -> OpenedInviteOut:
    """Whether an invite is good now, and whom it is for"""
    address, for_name = await call.run(gather.open_invite, call.deps.database, token)
    return OpenedInviteOut(trip_id=to_wire("trip", address.trip_id), for_name=for_name)


@operation(
    "POST",
    "/v1/invites/{token}/join",
    status=201,
    auth="optional",
    tags=["members"],
    errors=(InviteNotFound, InviteRevoked, InviteExpired, *_JOIN),
)
async def join_by_invite(call: Call[TripDeps], token: str, body: JoinIn) -> JoinedOut:
    """Join by an invite: a person as themselves, anybody else as a guest with a name

    Joining twice answers with the seat one already has.
    """
    joined = await call.run(gather.join_by_invite, call.deps.database, call.caller, token, name=body.name)
    return JoinedOut.of(joined)


@operation(
    "POST",
    "/v1/trips/{trip_id}/join",
    status=201,
    auth="optional",
    tags=["members"],
    errors=(TripNotFound, *_JOIN),
)
async def join_public(call: Call[TripDeps], trip_id: TripId, body: JoinIn) -> JoinedOut:
    """Join a public trip"""
    return JoinedOut.of(await call.run(gather.join_public, call.deps.database, call.caller, trip_id, name=body.name))


@operation(
    "POST", "/v1/guests/adopt", status=201, auth="member", tags=["members"], errors=(GuestNotFound, GuestAdopted)
)
async def adopt_guest(call: Call[TripDeps], body: AdoptIn) -> JoinedOut:
    """Take over a guest's seat as a person: its role, votes, comments and cards"""
    return JoinedOut.of(await call.run(gather.adopt, call.deps.database, call.caller, body.guest_token))


@operation(
    "PUT",
    "/v1/trips/{trip_id}/going",
    auth="member",
    tags=["members"],
    errors=(TripNotFound, NotMember, RosterFrozen, TripCanceled),
)
async def set_going(call: Call[TripDeps], trip_id: TripId, body: GoingIn) -> GoingOut:
    """Say whether one is going"""
    member = await call.run(gather.set_going, call.deps.database, call.caller, trip_id, is_going=body.is_going)
    return GoingOut(member_id=to_wire("mem", member.id), is_going=member.is_going)


@operation(
    "DELETE",
    "/v1/trips/{trip_id}/members/{member_id}",
    auth="member",
    tags=["members"],
    errors=(TripNotFound, MemberNotFound, NotMember, NotOrganizer, OrganizerStays, RosterFrozen),
)
async def remove_member(call: Call[TripDeps], trip_id: TripId, member_id: MemberId) -> None:
    """Leave, or as the organizer take somebody off the trip"""
    await call.run(gather.remove_member, call.deps.database, call.caller, trip_id, member_id)


@operation("GET", "/v1/trips/{trip_id}/invites", auth="member", tags=["members"], errors=(TripNotFound, NotMember))
async def list_invites(call: Call[TripDeps], trip_id: TripId) -> InvitesOut:
    """The ways in, to hand out again: all for the organizer, a member's own otherwise"""
    found = await call.run(plan.list_invites, call.deps.database, call.deps.sealer, call.caller, trip_id)
    return InvitesOut(data=[InviteOut.of(shown, call.deps.public_url) for shown in found])


@operation(
    "POST",
    "/v1/trips/{trip_id}/invites",
    status=201,
    auth="member",
    tags=["members"],
    errors=(
        TripNotFound,
        NotMember,
        NotOrganizer,
        TooManyInvites,
        DeadlineInPast,
        NameEmpty,
        NameTooLong,
        TripCanceled,
    ),
)
async def create_invite(call: Call[TripDeps], trip_id: TripId, body: CreateInviteIn) -> InviteOut:
    """Make another way in: for whoever has the link, or for one name"""
    shown = await call.run(
        plan.create_invite,
        call.deps.database,
        call.deps.sealer,
        call.caller,
        trip_id,
        for_name=body.for_name,
        expires_at=body.expires_at,
    )
    return InviteOut.of(shown, call.deps.public_url)


@operation(
    "DELETE",
    "/v1/trips/{trip_id}/invites/{invite_id}",
    auth="member",
    tags=["members"],
    errors=(TripNotFound, InviteNotFound, NotMember, NotOrganizer),
)
async def revoke_invite(call: Call[TripDeps], trip_id: TripId, invite_id: InviteId) -> None:
    """Close a way in, at once"""
    await call.run(plan.revoke_invite, call.deps.database, call.caller, trip_id, invite_id)


# --- options and votes ----------------------------------------------------------------------------------------------

_VOTE = (TripNotFound, NotMember, OptionNotFound, TripStateForbids, TripCanceled)


@operation(
    "POST",
    "/v1/trips/{trip_id}/options",
    status=201,
    auth="member",
    tags=["votes"],
    errors=(
        TripNotFound,
        NotMember,
        OfferNotFound,
        OptionNeedsSomething,
        TooManyOptions,
        TripStateForbids,
        TripCanceled,
        *_TEXT,
    ),
)
async def add_options(call: Call[TripDeps], trip_id: TripId, body: AddOptionsIn) -> AddedOptionsOut:
    """Put offers, dates or places to the vote; an offer already there is answered with its option"""
    added = await call.run(
        plan.add_options, call.deps.database, call.caller, trip_id, [option.option() for option in body.options]
    )
    return AddedOptionsOut(data=[AddedOptionOut.of(option) for option in added])


@operation(
    "DELETE",
    "/v1/trips/{trip_id}/options/{option_id}",
    auth="member",
    tags=["votes"],
    errors=(*_ORGANIZER, OptionNotFound, OptionDecided),
)
async def remove_option(call: Call[TripDeps], trip_id: TripId, option_id: OptionId) -> None:
    """Take an option off the table"""
    await call.run(plan.remove_option, call.deps.database, call.caller, trip_id, option_id)


@operation("PUT", "/v1/trips/{trip_id}/options/{option_id}/vote", auth="member", tags=["votes"], errors=_VOTE)
async def cast_vote(call: Call[TripDeps], trip_id: TripId, option_id: OptionId, body: CastVoteIn) -> VoteCastOut:
    """Say yes, if need be or no; the last word stands"""
    return _vote_out(
        await call.run(deciding.cast_vote, call.deps.database, call.caller, trip_id, option_id, VoteChoice(body.choice))
    )


@operation("DELETE", "/v1/trips/{trip_id}/options/{option_id}/vote", auth="member", tags=["votes"], errors=_VOTE)
async def withdraw_vote(call: Call[TripDeps], trip_id: TripId, option_id: OptionId) -> VoteCastOut:
    """Take one's vote back"""
    return _vote_out(await call.run(deciding.cast_vote, call.deps.database, call.caller, trip_id, option_id, None))


@operation("PUT", "/v1/trips/{trip_id}/votes", auth="member", tags=["votes"], errors=_VOTE)
async def cast_votes(call: Call[TripDeps], trip_id: TripId, body: CastVotesIn) -> VotesCastOut:
    """Vote on several options at once, all or none"""
    votes = {OptionId(from_wire("opt", vote.option_id)): VoteChoice(vote.choice) for vote in body.votes}
    cast_now = await call.run(deciding.cast_votes, call.deps.database, call.caller, trip_id, votes)
    return VotesCastOut(data=[_vote_out(vote) for vote in cast_now])


def _vote_out(vote: deciding.VoteCast) -> VoteCastOut:
    return VoteCastOut(
        option_id=to_wire("opt", vote.option_id), choice=vote.choice.value if vote.choice else None, seq=vote.seq
    )


@operation("GET", "/v1/trips/{trip_id}/prices", auth="member", tags=["votes"], errors=(TripNotFound,))
async def read_prices(call: Call[TripDeps], trip_id: TripId) -> PricesOut:
    """What the asking member would pay for each option, in the optimum over everybody who is going today"""
    found = await call.run(prices.read_prices, call.deps.database, call.caller, trip_id)
    return PricesOut(data=[PriceOut.of(price) for price in found])


# --- deciding -------------------------------------------------------------------------------------------------------


@operation(
    "GET",
    "/v1/trips/{trip_id}/proposal",
    auth="either",
    scope="trips:read",
    tags=["decisions"],
    errors=(TripNotFound, NotMember),
)
async def read_proposal(call: Call[TripDeps], trip_id: TripId) -> ProposalOut:
    """What the votes say now; refused to whom the votes are not shown"""
    return ProposalOut.of(await call.run(read.read_proposal, call.deps.database, call.caller, trip_id))


@operation(
    "PUT",
    "/v1/trips/{trip_id}/decision",
    auth="member",
    tags=["decisions"],
    errors=(*_ORGANIZER, OptionNotFound, DecisionNotDue, QuorumNotReached, NotUnanimous),
)
async def decide(call: Call[TripDeps], trip_id: TripId, body: DecideIn) -> None:
    """Decide for an option, as the trip's rule allows; can be undone for 10 seconds"""
    await call.run(
        deciding.decide,
        call.deps.database,
        call.caller,
        trip_id,
        OptionId(from_wire("opt", body.option_id)),
        expected_version=body.expected_version,
    )


@operation(
    "DELETE", "/v1/trips/{trip_id}/decision", auth="member", tags=["decisions"], errors=(*_ORGANIZER, UndoTooLate)
)
async def undo_decision(call: Call[TripDeps], trip_id: TripId) -> None:
    """Take the decision back within 10 seconds"""
    await call.run(deciding.undo_decision, call.deps.database, call.caller, trip_id)


@operation("POST", "/v1/trips/{trip_id}/lock", auth="member", tags=["decisions"], errors=_ORGANIZER)
async def lock(call: Call[TripDeps], trip_id: TripId, body: OrganizerActIn) -> None:
    """Close the voting without deciding"""
    await call.run(deciding.lock, call.deps.database, call.caller, trip_id, expected_version=body.expected_version)


@operation("POST", "/v1/trips/{trip_id}/unlock", auth="member", tags=["decisions"], errors=_ORGANIZER)
async def unlock(call: Call[TripDeps], trip_id: TripId, body: OrganizerActIn) -> None:
    """Let the voting go on"""
    await call.run(deciding.unlock, call.deps.database, call.caller, trip_id, expected_version=body.expected_version)


@operation(
    "POST", "/v1/trips/{trip_id}/reopen", auth="member", tags=["decisions"], errors=(*_ORGANIZER, *_RULE, BookingOpen)
)
async def reopen(call: Call[TripDeps], trip_id: TripId, body: ReopenIn) -> None:
    """Start another round: old votes stay as suggestions"""
    await call.run(
        deciding.reopen,
        call.deps.database,
        call.caller,
        trip_id,
        rule=body.rule.rule() if body.rule else None,
        expected_version=body.expected_version,
    )


# --- comments and the log -------------------------------------------------------------------------------------------


@operation("GET", "/v1/trips/{trip_id}/comments", auth="member", tags=["comments"], errors=(TripNotFound,))
async def list_comments(call: Call[TripDeps], trip_id: TripId, query: PageQuery) -> Page[CommentOut]:
    """The discussion, newest first; for members only"""
    after = decode_cursor(query.cursor)
    rows = await call.run(
        plan.list_comments,
        call.deps.database,
        call.caller,
        trip_id,
        after=CommentId(after) if after else None,
        limit=query.limit,
    )
    found = page(rows, [comment.id for comment in rows], query.limit)
    return Page[CommentOut](data=[CommentOut.of(comment) for comment in found.rows], next_cursor=found.next_cursor)


@operation(
    "POST",
    "/v1/trips/{trip_id}/comments",
    status=201,
    auth="member",
    tags=["comments"],
    errors=(TripNotFound, NotMember, TooManyComments, TripCanceled, *_TEXT),
)
async def add_comment(call: Call[TripDeps], trip_id: TripId, body: CommentIn) -> CommentOut:
    """Say something to the group"""
    return CommentOut.of(await call.run(plan.add_comment, call.deps.database, call.caller, trip_id, body.body))


@operation(
    "DELETE",
    "/v1/trips/{trip_id}/comments/{comment_id}",
    auth="member",
    tags=["comments"],
    errors=(TripNotFound, CommentNotFound, NotMember, NotOrganizer),
)
async def remove_comment(call: Call[TripDeps], trip_id: TripId, comment_id: CommentId) -> None:
    """Take a comment back; the organizer may too"""
    await call.run(plan.remove_comment, call.deps.database, call.caller, trip_id, comment_id)


@operation(
    "GET", "/v1/trips/{trip_id}/events", auth="optional", scope="trips:read", tags=["trips"], errors=(TripNotFound,)
)
async def list_trip_events(call: Call[TripDeps], trip_id: TripId, query: EventsQuery) -> TripEventsOut:
    """The live log, oldest first: what the stream sends, to be read at one's own pace"""

    def log() -> TripEventsOut:
        caller = _at_the_trip(call.deps, call.caller, trip_id)
        found, has_more = read.read_events(call.deps.database, caller, trip_id, after=query.after, limit=query.limit)
        data = [TripEventOut.of(event) for event in found]
        return TripEventsOut(data=data, last_seq=data[-1].seq if data else query.after, has_more=has_more)

    return await call.run(log)


OPERATIONS: tuple[Operation, ...] = (
    start_trip,
    list_trips,
    read_trip,
    read_public_trip,
    change_trip,
    cancel_trip,
    change_privacy,
    open_invite,
    join_by_invite,
    join_public,
    adopt_guest,
    set_going,
    remove_member,
    list_invites,
    create_invite,
    revoke_invite,
    add_options,
    remove_option,
    cast_vote,
    withdraw_vote,
    cast_votes,
    read_prices,
    read_proposal,
    decide,
    undo_decision,
    lock,
    unlock,
    reopen,
    list_comments,
    add_comment,
    remove_comment,
    list_trip_events,
)


def routes(deps: TripDeps, edge: Edge) -> list[Route]:
    """All addresses of the room: the live stream, the two hottest requests, and the ordinary operations behind them."""
    ordinary = _routes(OPERATIONS, deps, edge)
    by_name = {route.name: route for route in ordinary}
    hot: dict[str, Any] = {
        read_trip.name: HotRead(deps.hub.hot, by_name[read_trip.name].app),
        cast_vote.name: HotVote(deps.hub.hot, by_name[cast_vote.name].app),
    }
    first = [Route(by_name[name].path, app, methods=[_method(name)], name=f"{name}_hot") for name, app in hot.items()]
    return [*stream_routes(deps.database, deps.hub, edge), *first, *ordinary]


def _method(name: str) -> str:
    return next(item.method for item in OPERATIONS if item.name == name)
