"""Values and pure decisions of a trip: its machine, who sees what, how votes become a decision. No IO, no clock.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid            trip_text_invalid, deadline_required, deadline_in_past, invalid_quorum,
    │                      option_needs_something
    ├── NotFound           trip_not_found, member_not_found, option_not_found, invite_not_found, comment_not_found
    ├── Forbidden          not_organizer, not_member
    ├── Conflict           trip_state_forbids, trip_changed, trip_full, too_many_options, too_many_invites,
    │                      too_many_comments, option_decided, roster_frozen, booking_open, quorum_not_reached,
    │                      not_unanimous, decision_not_due, undo_too_late, organizer_stays
    └── Gone               invite_expired, invite_revoked, trip_canceled
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from groupbook.kit.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from groupbook.kit.ids import BookingId, GuestId, InviteId, MemberId, OccasionId, OfferId, OptionId, PersonId, TripId
from groupbook.kit.money import Money

# Everything has a limit.
members_max: Final = 60
viewers_max: Final = 120  # who waits for a place, or pays without one
options_max: Final = 40
invites_max: Final = 100
comments_max: Final = 1_000
title_characters_max: Final = 120
label_characters_max: Final = 200
comment_characters_max: Final = 2_000
deadline_days_max: Final = 365
undo_seconds: Final = 10
replay_events_max: Final = 500
invite_bytes: Final = 16  # 128 bits


# --- errors ---------------------------------------------------------------------------------------------------------


class TripTextInvalid(Invalid):
    code = "trip_text_invalid"


class DeadlineRequired(Invalid):
    code = "deadline_required"


class DeadlineInPast(Invalid):
    code = "deadline_in_past"


class InvalidQuorum(Invalid):
    code = "invalid_quorum"


class OptionNeedsSomething(Invalid):
    code = "option_needs_something"


class TripNotFound(NotFound):
    code = "trip_not_found"


class MemberNotFound(NotFound):
    code = "member_not_found"


class OptionNotFound(NotFound):
    code = "option_not_found"


class InviteNotFound(NotFound):
    code = "invite_not_found"


class CommentNotFound(NotFound):
    code = "comment_not_found"


class NotOrganizer(Forbidden):
    code = "not_organizer"


class NotMember(Forbidden):
    code = "not_member"


class TripStateForbids(Conflict):
    code = "trip_state_forbids"


class TripChanged(Conflict):
    code = "trip_changed"


class TripFull(Conflict):
    code = "trip_full"


class NothingToWaitFor(Conflict):
    """There is room, so they can join; or all is booked, so no place comes free."""

    code = "nothing_to_wait_for"


class TooManyOptions(Conflict):
    code = "too_many_options"


class TooManyInvites(Conflict):
    code = "too_many_invites"


class TooManyComments(Conflict):
    code = "too_many_comments"


class OptionDecided(Conflict):
    code = "option_decided"


class RosterFrozen(Conflict):
    code = "roster_frozen"


class BookingOpen(Conflict):
    code = "booking_open"


class QuorumNotReached(Conflict):
    code = "quorum_not_reached"


class NotUnanimous(Conflict):
    code = "not_unanimous"


class DecisionNotDue(Conflict):
    code = "decision_not_due"


class UndoTooLate(Conflict):
    code = "undo_too_late"


class OrganizerStays(Conflict):
    code = "organizer_stays"


class InviteExpired(Gone):
    code = "invite_expired"


class InviteRevoked(Gone):
    code = "invite_revoked"


class TripCanceled(Gone):
    code = "trip_canceled"


# --- words ----------------------------------------------------------------------------------------------------------


class TripState(StrEnum):
    OPEN = "open"
    LOCKED = "locked"  # voting is closed, nothing is decided
    DECIDED = "decided"
    BOOKING = "booking"
    BOOKED = "booked"
    CANCELED = "canceled"


class TripMove(StrEnum):
    """Everything that may happen to a trip's state."""

    LOCK = "lock"
    UNLOCK = "unlock"
    DECIDE = "decide"
    UNDO = "undo"
    REOPEN = "reopen"
    START_BOOKING = "start_booking"
    FAIL_BOOKING = "fail_booking"
    FINISH_BOOKING = "finish_booking"
    CANCEL = "cancel"


class Role(StrEnum):
    ORGANIZER = "organizer"
    MEMBER = "member"
    VIEWER = "viewer"


class Visibility(StrEnum):
    """From the narrowest: named invitees only; whoever has the link; members may invite onward; listed for all."""

    SECRET = "secret"
    LINK = "link"
    FRIENDS = "friends"
    PUBLIC = "public"


class MembersShown(StrEnum):
    ALL = "all"
    COUNT = "count"
    NONE = "none"


class VotesShown(StrEnum):
    ALWAYS = "always"
    AFTER_OWN_VOTE = "after_own_vote"
    NEVER = "never"


class VoteChoice(StrEnum):
    YES = "yes"
    IF_NEED_BE = "if_need_be"
    NO = "no"


class RuleKind(StrEnum):
    ORGANIZER = "organizer"
    QUORUM_AT_DEADLINE = "quorum_at_deadline"
    UNANIMOUS = "unanimous"


class JoinedVia(StrEnum):
    """How a member came in; `share` is credited by referrals."""

    STARTED = "started"
    INVITE = "invite"
    SHARE = "share"
    PUBLIC = "public"
    WIDGET = "widget"
    LAUNCH = "launch"
    SPONSOR = "sponsor"  # gives without traveling


class OptionKind(StrEnum):
    OFFER = "offer"
    DATE = "date"
    PLACE = "place"


# --- the machine ----------------------------------------------------------------------------------------------------

# `undo` leads back to the state in which the decision was made, so it is not in the table; see `next_state`.
_MOVES: Final[Mapping[tuple[TripState, TripMove], TripState]] = MappingProxyType(
    {
        (TripState.OPEN, TripMove.LOCK): TripState.LOCKED,
        (TripState.OPEN, TripMove.DECIDE): TripState.DECIDED,
        (TripState.OPEN, TripMove.CANCEL): TripState.CANCELED,
        (TripState.LOCKED, TripMove.UNLOCK): TripState.OPEN,
        (TripState.LOCKED, TripMove.DECIDE): TripState.DECIDED,
        (TripState.LOCKED, TripMove.REOPEN): TripState.OPEN,
        (TripState.LOCKED, TripMove.CANCEL): TripState.CANCELED,
        (TripState.DECIDED, TripMove.REOPEN): TripState.OPEN,
        (TripState.DECIDED, TripMove.START_BOOKING): TripState.BOOKING,
        (TripState.DECIDED, TripMove.CANCEL): TripState.CANCELED,
        (TripState.BOOKING, TripMove.FAIL_BOOKING): TripState.DECIDED,
        (TripState.BOOKING, TripMove.FINISH_BOOKING): TripState.BOOKED,
        (TripState.BOOKING, TripMove.CANCEL): TripState.CANCELED,
        (TripState.BOOKED, TripMove.FAIL_BOOKING): TripState.DECIDED,
        (TripState.BOOKED, TripMove.CANCEL): TripState.CANCELED,
    }
)
# While the group still talks: options and votes may change.
VOTING_STATES: Final = frozenset({TripState.OPEN})
# Who comes in now may still go; later joiners come to watch or to replace somebody.
GATHERING_STATES: Final = frozenset({TripState.OPEN, TripState.LOCKED, TripState.DECIDED})


def next_state(state: TripState, move: TripMove, *, decided_from: TripState | None = None) -> TripState:
    """Where `move` leads from `state`.

    `decided_from` is the state in which the standing decision was made; only `undo` needs it.

    Raises:
        TripStateForbids: the move is not possible from here.
    """
    if move is TripMove.UNDO and state is TripState.DECIDED and decided_from in (TripState.OPEN, TripState.LOCKED):
        return decided_from
    target = _MOVES.get((state, move))
    if target is None:
        raise TripStateForbids(state=state.value, move=move.value)
    return target


# --- values ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """Fixed when a round starts. `quorum` is how many members must be able to come (yes or if need be)."""

    kind: RuleKind = RuleKind.ORGANIZER
    quorum: int | None = None
    deadline_at: datetime | None = None

    def checked(self, now: datetime) -> DecisionRule:
        """This rule, made complete, or a refusal.

        Raises:
            DeadlineRequired, DeadlineInPast, InvalidQuorum: it could never decide.
        """
        if self.kind is RuleKind.QUORUM_AT_DEADLINE and self.deadline_at is None:
            raise DeadlineRequired(pointer="/rule/deadline_at")
        if self.deadline_at is not None:
            if self.deadline_at.tzinfo is None:
                raise TripTextInvalid(pointer="/rule/deadline_at", reason="zone_missing")
            if not now < self.deadline_at <= now + timedelta(days=deadline_days_max):
                raise DeadlineInPast(pointer="/rule/deadline_at", days_max=deadline_days_max)
        quorum = self.quorum
        if self.kind is RuleKind.QUORUM_AT_DEADLINE and quorum is None:
            quorum = 2
        if quorum is not None and not 1 <= quorum <= members_max:
            raise InvalidQuorum(pointer="/rule/quorum", quorum_max=members_max)
        return replace(self, quorum=quorum)


@dataclass(frozen=True, slots=True)
class Privacy:
    """What the organizer allows. Takes effect at once: on codes, streams, previews and pictures."""

    visibility: Visibility = Visibility.LINK
    members_shown: MembersShown = MembersShown.ALL
    votes_shown: VotesShown = VotesShown.ALWAYS


@dataclass(frozen=True, slots=True)
class Trip:
    """One trip. `version` grows with every change an organizer could collide with; `event_seq` with every event."""

    id: TripId
    title: str
    state: TripState
    rule: DecisionRule
    privacy: Privacy
    organizer_id: MemberId
    round: int
    version: int
    event_seq: int
    created_at: datetime
    occasion_id: OccasionId | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    decided_option_id: OptionId | None = None
    decided_at: datetime | None = None
    decided_from: TripState | None = None
    decided_reason: str | None = None
    booking_id: BookingId | None = None
    frozen_by: BookingId | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A person or a guest in one trip: exactly one of `person_id`, `guest_id`."""

    id: MemberId
    trip_id: TripId
    name: str
    role: Role
    is_going: bool
    joined_via: JoinedVia
    joined_at: datetime
    person_id: PersonId | None = None
    guest_id: GuestId | None = None
    left_at: datetime | None = None

    @property
    def is_present(self) -> bool:
        return self.left_at is None

    @property
    def subject(self) -> UUID:
        """The person's or the guest's id: what the rooms below know this member by."""
        subject = self.person_id or self.guest_id
        if subject is None:  # the table forbids it
            raise MemberNotFound()
        return subject


@dataclass(frozen=True, slots=True)
class TripOption:
    """One thing to vote on. `snapshot` is what the offer looked like when it was added; its price lives in `offers`."""

    id: OptionId
    trip_id: TripId
    kind: OptionKind
    label: str
    position: int
    offer_id: OfferId | None = None
    starts_at: datetime | None = None
    snapshot: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Roster:
    """The party at the moment of freezing: everybody who is going, in order of joining."""

    trip_id: TripId
    option_id: OptionId
    offer_id: OfferId | None
    members: tuple[Member, ...]
    frozen_at: datetime


@dataclass(frozen=True, slots=True)
class PublicTrip:
    """What a stranger may see. `is_generic`: the organizer allows no more than "you are invited"."""

    id: TripId
    is_generic: bool
    is_indexable: bool
    title: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    state: TripState | None = None
    member_count: int | None = None
    member_names: tuple[str, ...] = ()
    option_labels: tuple[str, ...] = ()
    decided_label: str | None = None
    decided_starts_at: datetime | None = None
    can_join: bool = False


@dataclass(frozen=True, slots=True)
class Invite:
    """A way in, known by digest and seal only. `for_name` makes it personal: it also opens a secret trip."""

    id: InviteId
    trip_id: TripId
    for_name: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    created_by: MemberId | None = None
    used_by: MemberId | None = None
    sealed_token: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class TripEvent:
    """One line of the live log. The payload holds ids and counts only; never an amount of one person."""

    seq: int
    type: str
    payload: Mapping[str, Any]
    actor_id: MemberId | None
    at: datetime


@dataclass(frozen=True, slots=True)
class OptionPrice:
    """What one member would pay for one option today, in the optimum over everybody who is going."""

    option_id: OptionId
    is_bookable: bool
    yours: Money | None = None
    yours_alone: Money | None = None
    yours_full: Money | None = None
    total: Money | None = None
    reason: str | None = None


# --- texts ----------------------------------------------------------------------------------------------------------

# Letters of any script, emoji and right-to-left marks are welcome; controls are not, and overrides that would turn
# the rest of the line around are closed by their own isolate on the page.
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cs", "Cn"})


def clean_line(text: str, *, characters_max: int, pointer: str) -> str:
    """One line as typed: normalized (NFC), white space folded, never cut silently.

    Raises:
        TripTextInvalid: too long, or holds control characters.
    """
    folded = " ".join(unicodedata.normalize("NFC", text).split())
    if len(folded) > characters_max:
        raise TripTextInvalid(pointer=pointer, reason="too_long", characters_max=characters_max)
    if any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in folded):
        raise TripTextInvalid(pointer=pointer, reason="control_characters")
    return folded


def clean_comment(body: str) -> str:
    """A comment: lines kept, other controls refused.

    Raises:
        TripTextInvalid: empty, too long, or holds control characters.
    """
    cleaned = unicodedata.normalize("NFC", body.replace("\r\n", "\n")).strip()
    if not cleaned:
        raise TripTextInvalid(pointer="/body", reason="empty")
    if len(cleaned) > comment_characters_max:
        raise TripTextInvalid(pointer="/body", reason="too_long", characters_max=comment_characters_max)
    if any(unicodedata.category(c) in _FORBIDDEN_CATEGORIES for c in cleaned if c not in "\n\t"):
        raise TripTextInvalid(pointer="/body", reason="control_characters")
    return cleaned


# --- invites --------------------------------------------------------------------------------------------------------


def mint_invite_token() -> str:
    """128 random bits, for an address."""
    return secrets.token_urlsafe(invite_bytes)


def is_invite_token(text: str) -> bool:
    """Whether it may be one that `mint_invite_token` made."""
    return re.fullmatch(r"[A-Za-z0-9_-]{22}", text) is not None


def invite_place(invite_id: InviteId) -> str:
    """Where the token is sealed: a seal copied to another row does not open."""
    return f"invite:{invite_id.hex}"


def invite_digest(token: str) -> bytes:
    """What is stored: an invite is found by it, and nobody can go back from it."""
    return hashlib.sha256(token.encode("utf-8")).digest()


# --- who sees what --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sight:
    """What one class of readers may see of a trip now; readers with equal sight share the same bytes."""

    member_ids: bool
    member_count: bool
    votes: bool
    is_member: bool = True


FULL_SIGHT: Final = Sight(member_ids=True, member_count=True, votes=True)
# Keys of an event's payload that only a certain sight reveals; every other key is for all who may read the trip.
_MEMBERS_ONLY: Final = ("portion.", "booking.", "comment.")
_COUNT_KEYS: Final = frozenset({"member_count", "going_count"})
_VOTE_KEYS: Final = frozenset({"counts", "choice", "voter_count"})


def sight_of(privacy: Privacy, role: Role | None, *, has_voted: bool = False) -> Sight | None:
    """What a reader with `role` (None: a stranger) sees; None: nothing, not even that the trip lives.

    The organizer sees everything. A viewer of a trip turned secret, and a stranger to any trip that is not public,
    see nothing; a viewer of any other learns what the plan is, and of the members no more than a stranger.
    """
    if role is Role.ORGANIZER:
        return FULL_SIGHT
    if role is None and privacy.visibility is not Visibility.PUBLIC:
        return None
    if role is Role.VIEWER and privacy.visibility is Visibility.SECRET:
        return None
    if role is Role.VIEWER and privacy.visibility is not Visibility.PUBLIC:
        return Sight(member_ids=False, member_count=False, votes=False, is_member=False)
    votes = privacy.votes_shown is VotesShown.ALWAYS or (privacy.votes_shown is VotesShown.AFTER_OWN_VOTE and has_voted)
    return Sight(
        member_ids=privacy.members_shown is MembersShown.ALL,
        member_count=privacy.members_shown is not MembersShown.NONE,
        votes=votes,
        is_member=role in (Role.ORGANIZER, Role.MEMBER),
    )


def redact(type: str, payload: Mapping[str, Any], sight: Sight) -> tuple[str, dict[str, Any]]:
    """An event's type and payload as this sight may see them: the same filter for replay and live.

    How a group pays is nobody's business but the group's: a stranger to a public trip learns that something changed.
    """
    if not sight.is_member and type.startswith(_MEMBERS_ONLY):
        return "trip.changed", {}
    hidden: set[str] = set()
    if not sight.member_ids:
        hidden |= {key for key, value in payload.items() if isinstance(value, str) and value.startswith("mem_")}
    if not sight.member_count:
        hidden |= _COUNT_KEYS
    if not sight.votes:
        hidden |= _VOTE_KEYS
    return type, {key: value for key, value in payload.items() if key not in hidden}


def may_invite(privacy: Privacy, role: Role) -> bool:
    """The organizer always; members when friends may bring friends, or the trip is open to all."""
    if role is Role.ORGANIZER:
        return True
    return role is Role.MEMBER and privacy.visibility in (Visibility.FRIENDS, Visibility.PUBLIC)


def check_invite(invite: Invite, privacy: Privacy, state: TripState, now: datetime, *, creator: Member | None) -> None:
    """Whether this invite opens the trip now.

    Codes of a wider level die at once: general ones when the trip turns secret, a member's when members may no longer
    invite, and everybody's with their seat. A personal invite opens for one person.

    Raises:
        InviteRevoked, InviteExpired, TripCanceled.
    """
    if state is TripState.CANCELED:
        raise TripCanceled()
    if invite.revoked_at is not None or (invite.for_name is None and privacy.visibility is Visibility.SECRET):
        raise InviteRevoked()
    if creator is None or not may_invite(privacy, creator.role):
        raise InviteRevoked()
    if invite.expires_at is not None and invite.expires_at <= now:
        raise InviteExpired(expired_at=invite.expires_at.isoformat())


# --- deciding -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OptionTally:
    """The votes of today's members on one option."""

    option_id: OptionId
    yes: int = 0
    if_need_be: int = 0
    no: int = 0
    total: Money | None = None
    starts_at: datetime | None = None

    @property
    def can_come(self) -> int:
        return self.yes + self.if_need_be


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the votes say now. `reason` names the criterion that made the difference to the runner-up.

    Reasons: no_votes, quorum_not_reached, only_option, more_can_come (the runner-up misses the quorum), fewest_no,
    most_yes, most_if_need_be, lowest_price, earliest_date, first_listed.
    `is_clear`: the votes alone decide, without the tie-breakers after them.
    """

    option_id: OptionId | None
    reason: str
    is_clear: bool
    can_come: int = 0
    ranking: tuple[OptionId, ...] = ()


def default_quorum(invited: int) -> int:
    """60 % of those invited, at least 2."""
    return max(2, -(-invited * 60 // 100))


_CRITERIA: Final = (
    "more_can_come",
    "fewest_no",
    "most_yes",
    "most_if_need_be",
    "lowest_price",
    "earliest_date",
    "first_listed",
)
_VOTE_CRITERIA: Final = frozenset({"more_can_come", "fewest_no", "most_yes", "most_if_need_be", "only_option"})


def _rank_key(tally: OptionTally, quorum: int) -> tuple[Any, ...]:
    price = (0, tally.total.currency, tally.total.minor) if tally.total else (1, "", 0)
    start = (0, tally.starts_at.timestamp()) if tally.starts_at else (1, 0.0)
    return (tally.can_come < quorum, tally.no, -tally.yes, -tally.if_need_be, price, start, tally.option_id.bytes)


def rank(tallies: Sequence[OptionTally], quorum: int) -> list[OptionTally]:
    """Best first, in a total order that does not depend on the order given: options reaching the quorum, fewest no,
    most yes, most if need be, lowest total price, earliest date, lowest id."""
    return sorted(tallies, key=lambda tally: _rank_key(tally, quorum))


def propose(tallies: Sequence[OptionTally], quorum: int | None) -> Proposal:
    """What the group wants as far as its votes tell. Who has not voted is waited for, never counted as no."""
    needed = quorum or 1
    ranked = rank(tallies, needed)
    ranking = tuple(tally.option_id for tally in ranked)
    if not any(tally.can_come or tally.no for tally in tallies):
        return Proposal(None, "no_votes", is_clear=False, ranking=ranking)
    best = ranked[0]
    if best.can_come < needed:
        return Proposal(None, "quorum_not_reached", is_clear=False, can_come=best.can_come, ranking=ranking)
    if len(ranked) == 1:
        reason = "only_option"
    else:
        pairs = zip(_rank_key(best, needed), _rank_key(ranked[1], needed), strict=True)
        reason = next(name for name, (left, right) in zip(_CRITERIA, pairs, strict=True) if left != right)
    return Proposal(best.option_id, reason, reason in _VOTE_CRITERIA, best.can_come, ranking)


def check_decision(
    rule: DecisionRule, tally: OptionTally, *, voters: int, everybody_voted: bool, now: datetime
) -> None:
    """Whether the organizer may decide for this option now, under the rule fixed at the start.

    `voters` is how many members are going and may vote; `everybody_voted` whether nobody is waited for.

    Raises:
        DecisionNotDue: the vote runs until its deadline and somebody has not voted yet.
        QuorumNotReached: too few can come.
        NotUnanimous: somebody cannot come, or has not said so.
    """
    if rule.kind is RuleKind.QUORUM_AT_DEADLINE:
        if rule.deadline_at is not None and now < rule.deadline_at and not everybody_voted:
            raise DecisionNotDue(deadline_at=rule.deadline_at.isoformat())
        if tally.can_come < (rule.quorum or 1):
            raise QuorumNotReached(quorum=rule.quorum, can_come=tally.can_come)
    if rule.kind is RuleKind.UNANIMOUS and not is_unanimous(tally, voters):
        raise NotUnanimous(voters=voters, can_come=tally.can_come)


def is_unanimous(tally: OptionTally, voters: int) -> bool:
    """Everybody who is going can come; silence is not consent."""
    return voters > 0 and tally.no == 0 and tally.can_come == voters


def automatic_choice(rule: DecisionRule, tallies: Sequence[OptionTally], *, voters: int) -> OptionId | None:
    """What the rule decides by itself at the deadline; None: it cannot, the organizer is asked.

    The quorum decides only when the votes are clear; unanimity when everybody agrees on the best option.
    """
    proposal = propose(tallies, rule.quorum)
    if rule.kind is RuleKind.QUORUM_AT_DEADLINE:
        return proposal.option_id if proposal.is_clear else None
    if rule.kind is RuleKind.UNANIMOUS:
        agreed = [tally for tally in tallies if is_unanimous(tally, voters)]
        return propose(agreed, None).option_id if agreed else None
    return None
