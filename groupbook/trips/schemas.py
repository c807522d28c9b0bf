"""What the trips room says over the wire."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from groupbook.kit.http import Instant, MoneyWire, WholeNumber, Wire
from groupbook.kit.ids import OccasionId, OfferId, from_wire, to_wire
from groupbook.trips.domain import (
    DecisionRule,
    JoinedVia,
    MembersShown,
    OptionPrice,
    Privacy,
    Proposal,
    PublicTrip,
    RuleKind,
    Trip,
    TripEvent,
    TripOption,
    Visibility,
    VotesShown,
    comment_characters_max,
    label_characters_max,
    members_max,
    options_max,
    title_characters_max,
)
from groupbook.trips.repository import Comment
from groupbook.trips.service.gather import Joined
from groupbook.trips.service.plan import NewOption, ShownInvite, Started, StartTrip

TripRef = Annotated[str, StringConstraints(pattern=r"^trip_[0-9a-f]{32}$")]
MemberRef = Annotated[str, StringConstraints(pattern=r"^mem_[0-9a-f]{32}$")]
OptionRef = Annotated[str, StringConstraints(pattern=r"^opt_[0-9a-f]{32}$")]
OfferRef = Annotated[str, StringConstraints(pattern=r"^off_[0-9a-f]{32}$")]
OccasionRef = Annotated[str, StringConstraints(pattern=r"^occ_[0-9a-f]{32}$")]
InviteRef = Annotated[str, StringConstraints(pattern=r"^inv_[0-9a-f]{32}$")]
CommentRef = Annotated[str, StringConstraints(pattern=r"^cmt_[0-9a-f]{32}$")]
BookingRef = Annotated[str, StringConstraints(pattern=r"^bkg_[0-9a-f]{32}$")]
State = Literal["open", "locked", "decided", "booking", "booked", "canceled"]
RoleName = Literal["organizer", "member", "viewer"]
Choice = Literal["yes", "if_need_be", "no"]
VisibilityName = Literal["secret", "link", "friends", "public"]
Version = Annotated[WholeNumber, Field(ge=1)] | None
# Longer than a name may be, so that the room says what is wrong; shorter than what would hurt.
Name = Annotated[str, StringConstraints(max_length=20_000)]


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _read_day(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not _DAY.fullmatch(value):  # ISO 8601 knows weeks and short forms, too; JSON Schema's `date` does not
        raise ValueError("needs the form 2026-11-21")
    return date.fromisoformat(value)


Day = Annotated[date, BeforeValidator(_read_day), Field(json_schema_extra={"format": "date"})]


# --- asked ----------------------------------------------------------------------------------------------------------


class RuleIn(Wire):
    """How the group decides; fixed when a round starts."""

    kind: Literal["organizer", "quorum_at_deadline", "unanimous"] = "organizer"
    quorum: Annotated[WholeNumber, Field(ge=1, le=members_max)] | None = None
    deadline_at: Instant | None = None

    def rule(self) -> DecisionRule:
        return DecisionRule(RuleKind(self.kind), self.quorum, self.deadline_at)


class PrivacyIn(Wire):
    """What the organizer allows; takes effect at once."""

    visibility: VisibilityName = "link"
    members_shown: Literal["all", "count", "none"] = "all"
    votes_shown: Literal["always", "after_own_vote", "never"] = "always"

    def privacy(self) -> Privacy:
        return Privacy(Visibility(self.visibility), MembersShown(self.members_shown), VotesShown(self.votes_shown))


class NewOptionIn(Wire):
    """Exactly one of: an offer, a date, a place in words."""

    offer_id: OfferRef | None = None
    date: Day | None = None
    place: Annotated[str, StringConstraints(max_length=label_characters_max)] | None = None

    def option(self) -> NewOption:
        offer_id = OfferId(from_wire("off", self.offer_id)) if self.offer_id else None
        return NewOption(offer_id=offer_id, date=self.date, place=self.place)


class StartTripIn(Wire):
    """Begin from an offer, an occasion, or nothing. `organizer_name` is needed unless a person asks."""

    title: Annotated[str, StringConstraints(max_length=title_characters_max)] = ""
    organizer_name: Name | None = None
    occasion_id: OccasionRef | None = None
    starts_on: Day | None = None
    ends_on: Day | None = None
    options: Annotated[list[NewOptionIn], Field(max_length=options_max)] = []
    rule: RuleIn = RuleIn()
    privacy: PrivacyIn = PrivacyIn()
    via: Literal["started", "widget", "launch"] = "started"

    def plan(self) -> StartTrip:
        return StartTrip(
            title=self.title,
            organizer_name=self.organizer_name,
            occasion_id=OccasionId(from_wire("occ", self.occasion_id)) if self.occasion_id else None,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            options=tuple(option.option() for option in self.options),
            rule=self.rule.rule(),
            privacy=self.privacy.privacy(),
            via=JoinedVia(self.via),
        )


class ChangeTripIn(Wire):
    """The trip's title and dates as they shall be."""

    title: Annotated[str, StringConstraints(max_length=title_characters_max)]
    starts_on: Day | None = None
    ends_on: Day | None = None
    expected_version: Version = None


class OrganizerActIn(Wire):
    """`expected_version`: the version of the trip the organizer was looking at."""

    expected_version: Version = None


class ReopenIn(Wire):
    """Another round; without `rule` the old one stays."""

    rule: RuleIn | None = None
    expected_version: Version = None


class ChangePrivacyIn(PrivacyIn):
    """All three switches as they shall be."""

    visibility: VisibilityName
    expected_version: Version = None


class AddOptionsIn(Wire):
    """What to put to the vote."""

    options: Annotated[list[NewOptionIn], Field(min_length=1, max_length=options_max)]


class CastVoteIn(Wire):
    """One member's word on one option."""

    choice: Choice


class BallotIn(Wire):
    option_id: OptionRef
    choice: Choice


class CastVotesIn(Wire):
    """One member's word on several options, all or none."""

    votes: Annotated[list[BallotIn], Field(min_length=1, max_length=options_max)]


class DecideIn(Wire):
    """What was decided."""

    option_id: OptionRef
    expected_version: Version = None


class JoinIn(Wire):
    """`name` is needed for guests only."""

    name: Name | None = None


class AdoptIn(Wire):
    """The guest's own token proves whose seat it is."""

    guest_token: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class GoingIn(Wire):
    """Whether one is going."""

    is_going: bool


class CreateInviteIn(Wire):
    """With `for_name` the invite is personal and opens a secret trip too."""

    for_name: Name | None = None
    expires_at: Instant | None = None


class CommentIn(Wire):
    body: Annotated[str, StringConstraints(min_length=1, max_length=comment_characters_max * 2)]


class EventsQuery(Wire):
    """Events after the seq `after`, oldest first."""

    after: Annotated[int, Field(ge=0, le=2**53, strict=False)] = 0
    limit: Annotated[int, Field(ge=1, le=500, strict=False)] = 100


# --- answered -------------------------------------------------------------------------------------------------------


class RuleOut(Wire):
    kind: Literal["organizer", "quorum_at_deadline", "unanimous"]
    quorum: int | None
    deadline_at: Instant | None


class PrivacyOut(Wire):
    visibility: VisibilityName
    members_shown: Literal["all", "count", "none"]
    votes_shown: Literal["always", "after_own_vote", "never"]


class YouOut(Wire):
    """The asking member's own seat."""

    member_id: MemberRef
    name: str
    role: RoleName
    is_going: bool


class MemberOut(Wire):
    id: MemberRef
    name: str
    role: RoleName
    is_going: bool
    is_guest: bool
    joined_at: Instant


class CountsOut(Wire):
    yes: int
    if_need_be: int
    no: int


class VoteOut(Wire):
    member_id: MemberRef
    choice: Choice


class OptionOut(Wire):
    """`yours` is the asking member's vote, `suggested` the one from an earlier round; hidden parts are null."""

    id: OptionRef
    kind: Literal["offer", "date", "place"]
    label: str
    position: int
    offer_id: OfferRef | None
    starts_at: Instant | None
    snapshot: dict[str, Any]
    yours: Choice | None
    suggested: Choice | None
    counts: CountsOut | None
    votes: list[VoteOut] | None


class DecisionOut(Wire):
    option_id: OptionRef
    decided_at: Instant
    reason: str


class TripOut(Wire):
    """A trip as the asking one may see it; what the organizer hides is null. `seq` is where the live log stands."""

    id: TripRef
    title: str
    state: State
    round: int
    version: int
    seq: int
    created_at: Instant
    occasion_id: OccasionRef | None
    starts_on: date | None
    ends_on: date | None
    rule: RuleOut
    privacy: PrivacyOut
    you: YouOut | None
    member_count: int | None
    going_count: int | None
    members: list[MemberOut] | None
    options: list[OptionOut]
    decision: DecisionOut | None
    booking_id: BookingRef | None
    is_frozen: bool


class TripSummaryOut(Wire):
    """A trip in a list."""

    id: TripRef
    title: str
    state: State
    visibility: VisibilityName
    created_at: Instant
    booking_id: BookingRef | None

    @classmethod
    def of(cls, trip: Trip) -> TripSummaryOut:
        return cls(
            id=to_wire("trip", trip.id),
            title=trip.title,
            state=trip.state.value,
            visibility=trip.privacy.visibility.value,
            created_at=trip.created_at,
            booking_id=to_wire("bkg", trip.booking_id) if trip.booking_id else None,
        )


class StartedOut(Wire):
    """`guest_token` (once, here) is the organizer's key when they are a guest: a bearer token for this trip."""

    trip_id: TripRef
    member_id: MemberRef
    invite_token: str
    invite_url: str
    guest_token: str | None

    @classmethod
    def of(cls, started: Started, public_url: str) -> StartedOut:
        return cls(
            trip_id=to_wire("trip", started.trip_id),
            member_id=to_wire("mem", started.member.id),
            invite_token=started.invite_token,
            invite_url=invite_url(public_url, started.invite_token),
            guest_token=started.guest_token,
        )


def invite_url(public_url: str, token: str) -> str:
    return f"{public_url}/i/{token}"


class JoinedOut(Wire):
    """`guest_token` (once, here) is a new guest's key: a bearer token for this trip."""

    trip_id: TripRef
    member_id: MemberRef
    name: str
    is_new: bool
    guest_token: str | None

    @classmethod
    def of(cls, joined: Joined) -> JoinedOut:
        return cls(
            trip_id=to_wire("trip", joined.trip_id),
            member_id=to_wire("mem", joined.member.id),
            name=joined.member.name,
            is_new=joined.is_new,
            guest_token=joined.guest_token,
        )


class AddedOptionOut(Wire):
    id: OptionRef
    kind: Literal["offer", "date", "place"]
    label: str
    offer_id: OfferRef | None
    starts_at: Instant | None

    @classmethod
    def of(cls, option: TripOption) -> AddedOptionOut:
        return cls(
            id=to_wire("opt", option.id),
            kind=option.kind.value,
            label=option.label,
            offer_id=to_wire("off", option.offer_id) if option.offer_id else None,
            starts_at=option.starts_at,
        )


class AddedOptionsOut(Wire):
    data: list[AddedOptionOut]


class VoteCastOut(Wire):
    """`seq` is the event that told the others; null when nothing changed."""

    option_id: OptionRef
    choice: Choice | None
    seq: int | None


class VotesCastOut(Wire):
    data: list[VoteCastOut]


class ProposalOut(Wire):
    """What the votes say now: the best option, by which criterion, and whether the votes alone decide it."""

    option_id: OptionRef | None
    reason: str
    is_clear: bool
    can_come: int
    ranking: list[OptionRef]

    @classmethod
    def of(cls, proposal: Proposal) -> ProposalOut:
        return cls(
            option_id=to_wire("opt", proposal.option_id) if proposal.option_id else None,
            reason=proposal.reason,
            is_clear=proposal.is_clear,
            can_come=proposal.can_come,
            ranking=[to_wire("opt", id) for id in proposal.ranking],
        )


class GoingOut(Wire):
    member_id: MemberRef
    is_going: bool


class InviteOut(Wire):
    id: InviteRef
    for_name: str | None
    url: str
    token: str
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None

    @classmethod
    def of(cls, shown: ShownInvite, public_url: str) -> InviteOut:
        invite = shown.invite
        return cls(
            id=to_wire("inv", invite.id),
            for_name=invite.for_name,
            url=invite_url(public_url, shown.token),
            token=shown.token,
            created_at=invite.created_at,
            expires_at=invite.expires_at,
            revoked_at=invite.revoked_at,
        )


class InvitesOut(Wire):
    data: list[InviteOut]


class OpenedInviteOut(Wire):
    """An invite that is good now."""

    trip_id: TripRef
    for_name: str | None


class CommentOut(Wire):
    id: CommentRef
    member_id: MemberRef
    body: str
    created_at: Instant

    @classmethod
    def of(cls, comment: Comment) -> CommentOut:
        return cls(
            id=to_wire("cmt", comment.id),
            member_id=to_wire("mem", comment.member_id),
            body=comment.body,
            created_at=comment.created_at,
        )


class PriceOut(Wire):
    """What the asking member would pay for one option today. `yours_full` is the cheapest full fare."""

    option_id: OptionRef
    is_bookable: bool
    yours: MoneyWire | None
    yours_alone: MoneyWire | None
    yours_full: MoneyWire | None
    group_total: MoneyWire | None
    reason: str | None

    @classmethod
    def of(cls, price: OptionPrice) -> PriceOut:
        return cls(
            option_id=to_wire("opt", price.option_id),
            is_bookable=price.is_bookable,
            yours=MoneyWire.of(price.yours) if price.yours else None,
            yours_alone=MoneyWire.of(price.yours_alone) if price.yours_alone else None,
            yours_full=MoneyWire.of(price.yours_full) if price.yours_full else None,
            group_total=MoneyWire.of(price.total) if price.total else None,
            reason=price.reason,
        )


class PricesOut(Wire):
    data: list[PriceOut]


class TripEventOut(Wire):
    """One line of the live log, as the stream sends it."""

    seq: int
    type: str
    at: Instant
    actor_id: MemberRef | None
    payload: dict[str, Any]

    @classmethod
    def of(cls, event: TripEvent) -> TripEventOut:
        return cls(
            seq=event.seq,
            type=event.type,
            at=event.at,
            actor_id=to_wire("mem", event.actor_id) if event.actor_id else None,
            payload=dict(event.payload),
        )


class TripEventsOut(Wire):
    """`last_seq` is the `after` of the next page."""

    data: list[TripEventOut]
    last_seq: int
    has_more: bool


class PublicTripOut(Wire):
    """What anybody may see; a generic one says no more than that the trip is there."""

    id: TripRef
    is_generic: bool
    title: str | None
    starts_on: date | None
    ends_on: date | None
    state: State | None
    member_count: int | None
    member_names: list[str]
    option_labels: list[str]
    decided_label: str | None
    decided_starts_at: Instant | None
    can_join: bool

    @classmethod
    def of(cls, trip: PublicTrip) -> PublicTripOut:
        return cls(
            id=to_wire("trip", trip.id),
            is_generic=trip.is_generic,
            title=trip.title,
            starts_on=trip.starts_on,
            ends_on=trip.ends_on,
            state=trip.state.value if trip.state else None,
            member_count=trip.member_count,
            member_names=list(trip.member_names),
            option_labels=list(trip.option_labels),
            decided_label=trip.decided_label,
            decided_starts_at=trip.decided_starts_at,
            can_join=trip.can_join,
        )
