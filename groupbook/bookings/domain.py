"""What a booking is, as values: its states, its policy, its errors, and what each caller may see of it.

How it moves is in `machine`.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid      policy_invalid, amendment_incomplete, contribution_invalid, split_invalid,
    │                nonce_missing, reason_missing
    ├── NotFound     booking_not_found, pay_request_not_found, contribution_not_found, split_not_found,
    │                handover_not_found, receipt_not_found, sponsor_link_not_found, amendment_not_found
    ├── Forbidden    not_organizer, not_your_booking
    ├── Gone         portion_gone, handover_over, sponsor_link_over
    └── Conflict     booking_closed, nothing_decided, nobody_travels, not_payable_now, not_traveling, amendment_open,
                     cancel_unsafe, split_changed, already_traveling, handover_open, nobody_waits,
                     terms_changed, amendment_accepted
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal, get_args
from uuid import UUID

from groupbook.bookings.line import offer_seconds_min
from groupbook.bookings.sharing import LOST_DISCOUNT, LostDiscount
from groupbook.kit.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from groupbook.kit.ids import (
    AmendmentId,
    AttemptId,
    BookingId,
    ContributionId,
    MemberId,
    OfferId,
    PayRequestId,
    PortionId,
    QuoteId,
    SplitId,
    TripId,
)
from groupbook.kit.money import Money
from groupbook.offers.domain import PersonPrice, Seat
from groupbook.payments.domain import SETTLED, TAKEN, PortionState


class BookingNotFound(NotFound):
    code = "booking_not_found"


class PayRequestNotFound(NotFound):
    code = "pay_request_not_found"


class ContributionNotFound(NotFound):
    code = "contribution_not_found"


class ReasonMissing(Invalid):
    """Somebody steps in by hand and does not say why."""

    code = "reason_missing"


class ContributionInvalid(Invalid):
    """An amount that cannot be given, or towards somebody who does not travel; `reason` says which."""

    code = "contribution_invalid"


class SponsorLinkNotFound(NotFound):
    code = "sponsor_link_not_found"


class SponsorLinkOver(Gone):
    """The organizer closed it, or nothing more is wanted by it."""

    code = "sponsor_link_over"


class SplitNotFound(NotFound):
    code = "split_not_found"


class SplitInvalid(Invalid):
    """Fewer than two members, somebody who does not travel, parts out of range, or too many splits not answered yet."""

    code = "split_invalid"


class SplitChanged(Conflict):
    """The amount is another than the one they saw, or the split is over: it has to be asked for again."""

    code = "split_changed"


class HandoverNotFound(NotFound):
    code = "handover_not_found"


class HandoverOver(Gone):
    """Somebody took the place, it was taken back, or the time is over."""

    code = "handover_over"


class NonceMissing(Invalid):
    """A guest takes a place without the secret they would ask again by: were the answer lost, so would be the place."""

    code = "nonce_missing"


class HandoverOpen(Conflict):
    """A link for a friend, or an offer to the waiting list, is under way for this place: one at a time."""

    code = "handover_open"


class NobodyWaits(Conflict):
    """Nobody in the waiting list could take the place in time; it stays its member's."""

    code = "nobody_waits"


class AlreadyTraveling(Conflict):
    """They are in the party already, and a place is for somebody else."""

    code = "already_traveling"


class NotOrganizer(Forbidden):
    code = "not_organizer"


class NotYourBooking(Forbidden):
    code = "not_your_booking"


class BookingClosed(Conflict):
    """The booking no longer takes this: it was decided, or its time is over."""

    code = "booking_closed"


class NothingDecided(Conflict):
    """The group has not decided on an offer yet, or what it decided on is not an offer."""

    code = "nothing_decided"


class NobodyTravels(Conflict):
    """Everybody said that they are not traveling."""

    code = "nobody_travels"


class CancelUnsafe(Conflict):
    """An operator may not end the booking here: `reason` says what is in between."""

    code = "cancel_unsafe"


class NotPayableNow(Conflict):
    code = "not_payable_now"


class PortionGone(Gone):
    """Its traveler has left the booking: nobody owes it any more, and an old link to it leads nowhere."""

    code = "portion_gone"


class NotTraveling(Conflict):
    """They are not in the party of this booking (any more)."""

    code = "not_traveling"


class AmendmentOpen(Conflict):
    """One change at a time: the one before is still being made."""

    code = "amendment_open"


class AmendmentNotFound(NotFound):
    """No change of a booked place, or none of this caller's."""

    code = "amendment_not_found"


class AmendmentAccepted(Conflict):
    """The change cannot be taken back any more: who comes in has paid, or the merchant was asked, or it is over."""

    code = "amendment_accepted"


class TermsChanged(Conflict):
    """A change would come to something else than was shown, or that was too long ago. Nothing moved: look again."""

    code = "terms_changed"


class AmendmentIncomplete(Invalid):
    """A replacement without the member who comes in, or a surcharge without its amount."""

    code = "amendment_incomplete"


class PolicyInvalid(Invalid):
    code = "policy_invalid"


class BookingState(StrEnum):
    PLACING = "placing"  # the merchant is asked for places
    OPEN = "open"  # everyone is asked for their portion
    FREEZING = "freezing"  # the last look at provider truth
    CONFIRMING = "confirming"  # the merchant is asked to sell
    TOMBSTONING = "tombstoning"  # the merchant did not answer in time: make sure it never will
    CAPTURING = "capturing"
    RECOVERING = "recovering"  # somebody's money did not come, though the order stands: the ladder
    BOOKED = "booked"
    AMENDING = "amending"  # a change of one booked member: who comes in pays first
    VOIDING = "voiding"
    ABORTED = "aborted"  # nobody was charged
    UNWINDING = "unwinding"  # the order is taken back
    REFUNDING = "refunding"
    REFUNDED = "refunded"  # everybody got their money back
    PARKED = "parked"  # a person must look; nothing moves until then


ENDED: Final = frozenset({BookingState.ABORTED, BookingState.REFUNDED})
# A trip has at most one of these at a time.
CURRENT: Final = frozenset(BookingState) - ENDED
# Where somebody may still be asked for money: before the freeze, on the ladder, and for a change of a booked place.
COLLECTING: Final = frozenset({BookingState.OPEN, BookingState.RECOVERING, BookingState.AMENDING})
STOOD: Final = frozenset({BookingState.BOOKED, BookingState.AMENDING})  # everybody has paid and has a ticket


class AmendmentStage(StrEnum):
    ASKED = "asked"
    COLLECTING = "collecting"  # who comes in is asked to authorize
    ORDERING = "ordering"  # the merchant is asked to change the order
    SETTLING = "settling"  # who comes in is captured
    DROPPING = "dropping"  # nothing changes; what was authorized for it is given back
    DONE = "done"
    REFUSED = "refused"


AMENDMENT_OVER: Final = frozenset({AmendmentStage.DONE, AmendmentStage.REFUSED})
Shortfall = Literal["unwind", "receivable"]


@dataclass(frozen=True)
class Policy:
    """The budgets of one booking, in seconds, and what its merchant accepts; frozen when it opens.

    `authorize_ahead_seconds`: a deadline further away than this collects cards only and authorizes when it is that
    near, because a bank keeps money for days, not for weeks (payments.md 2.1). `shortfall`: what becomes of a capture
    that fails for good after the merchant confirmed: the order is unwound, or the merchant is owed the rest.
    `extension_seconds`: by how much the deadline may move, once, when somebody is missing. `keeps_cards`: payers are
    asked to let the card be charged once more should its capture fail (banks then ask them more often to confirm).
    `waiting_offer_seconds`: how long somebody of the waiting list may think about a place (`line` shortens it).
    `lost_discount`: who bears it when somebody leaves and the others' group discount falls (`sharing`).
    """

    collection_window_seconds: float = 1800.0
    confirm_budget_seconds: float = 900.0
    settle_budget_seconds: float = 6 * 3600.0
    recovery_budget_seconds: float = 24 * 3600.0
    hold_margin_seconds: float = 120.0
    authorize_ahead_seconds: float = 96 * 3600.0
    extension_seconds: float = 0.0
    amendment_window_seconds: float = 24 * 3600.0
    waiting_offer_seconds: float = 2 * 3600.0
    payer_quorum: int | None = None
    shortfall: Shortfall = "unwind"
    keeps_cards: bool = False
    lost_discount: LostDiscount = "group"

    def deadline(self, opened_at: datetime, hold_expires_at: datetime | None) -> datetime:
        """When the group must be complete: the window, or a little before the merchant lets the places go."""
        window = opened_at + timedelta(seconds=self.collection_window_seconds)
        if hold_expires_at is None:
            return window
        length = (hold_expires_at - opened_at).total_seconds()
        margin = min(self.hold_margin_seconds, max(0.0, length / 10))
        return min(window, hold_expires_at - timedelta(seconds=margin))

    def extended(self, now: datetime) -> datetime:
        """The deadline after its one extension."""
        return now + timedelta(seconds=self.extension_seconds)

    def authorize_at(self, opened_at: datetime) -> datetime | None:
        """When saved cards are authorized; None when the window is short enough to authorize at once."""
        if self.collection_window_seconds <= self.authorize_ahead_seconds:
            return None
        return opened_at + timedelta(seconds=self.collection_window_seconds - self.authorize_ahead_seconds)

    @property
    def settle_margin(self) -> timedelta:
        """How long an authorization must still live at the decision: confirm, then capture with its retries."""
        return timedelta(seconds=self.confirm_budget_seconds + self.settle_budget_seconds + _capture_margin_seconds)

    def but(self, settings: Mapping[str, Any]) -> Policy:
        """This policy with a merchant's own settings over it."""
        return replace(self, **settings)

    def settings(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Choices:
    """What the organizer chooses for one booking, before anybody pays. None: as the merchant has it.

    `payer_quorum`: how many are enough to go. A merchant's own window is the longest, its own quorum the smallest, and
    where it says itself who bears a lost discount, that stands.
    """

    window_seconds: float | None = None
    payer_quorum: int | None = None
    lost_discount: LostDiscount | None = None


@dataclass(frozen=True)
class Limits:
    """What the organizer may choose, by the merchant's settings. `payers_min` None: everybody, unless they choose."""

    window_seconds: float
    window_seconds_max: float
    payers_min: int | None
    lost_discount: tuple[LostDiscount, ...]  # the first is what holds unless they choose


def policy_of(house: Policy, settings: Mapping[str, Any]) -> Policy:
    """A merchant's saved settings over the house's policy.

    The house may have changed since they were saved. Where both together contradict themselves now, the house's policy
    holds as it is, until the merchant saves settings that fit.
    """
    policy = house.but(settings)
    return policy if _holds_together(policy) else house


def limits_of(house: Policy, settings: Mapping[str, Any]) -> Limits:
    """A merchant's own window is the longest there is, and its own quorum the smallest."""
    policy = policy_of(house, settings)
    _, most = SETTING_LIMITS["collection_window_seconds"]
    own = settings if policy is not house else {}
    longest = float(own.get("collection_window_seconds", most))
    bears = policy.lost_discount
    others = () if "lost_discount" in own else tuple(one for one in LOST_DISCOUNT if one != bears)
    return Limits(policy.collection_window_seconds, longest, policy.payer_quorum, (bears, *others))


def choose(house: Policy, settings: Mapping[str, Any], choices: Choices, *, people: int) -> Policy:
    """The policy of one booking: the house's, the merchant's settings over it, the organizer's choices within those.

    Raises:
        PolicyInvalid: a choice outside what the merchant allows, or more payers than people.
    """
    policy, limits = policy_of(house, settings), limits_of(house, settings)
    if choices.window_seconds not in (None, policy.collection_window_seconds):  # the offered one is always allowed
        least, most = SETTING_LIMITS["collection_window_seconds"][0], limits.window_seconds_max
        if not least <= choices.window_seconds <= most:
            raise PolicyInvalid(pointer="/window_seconds", reason="out_of_range", least=least, most=most)
        policy = replace(policy, collection_window_seconds=float(choices.window_seconds))
    if choices.payer_quorum is not None:
        fewest = limits.payers_min or 1
        if not fewest <= choices.payer_quorum <= people:
            raise PolicyInvalid(pointer="/payer_quorum", reason="out_of_range", least=fewest, most=people)
        policy = replace(policy, payer_quorum=choices.payer_quorum)
    if choices.lost_discount is not None:
        if choices.lost_discount not in limits.lost_discount:
            raise PolicyInvalid(pointer="/lost_discount", reason="one_of", values=list(limits.lost_discount))
        policy = replace(policy, lost_discount=choices.lost_discount)
    _check_together(policy)
    return policy


_capture_margin_seconds: Final = 600.0  # I10: nothing is captured this close to the end of an authorization
authorization_seconds_min: Final = 114 * 3600.0  # 4 d 18 h: the shortest a card authorization lives (payments.md H1)
window_seconds_max: Final = 60 * 86_400.0
budget_seconds_max: Final = 7 * 86_400.0
# What each length may be, in seconds.
SETTING_LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "collection_window_seconds": (60.0, window_seconds_max),
    "confirm_budget_seconds": (10.0, 86_400.0),
    "settle_budget_seconds": (60.0, budget_seconds_max),
    "recovery_budget_seconds": (0.0, budget_seconds_max),
    "hold_margin_seconds": (0.0, 3600.0),
    "authorize_ahead_seconds": (3600.0, 5 * 86_400.0),  # under the shortest authorization, 4 d 18 h, plus the margin
    "extension_seconds": (0.0, 7 * 86_400.0),
    "amendment_window_seconds": (60.0, 7 * 86_400.0),
    "waiting_offer_seconds": (offer_seconds_min, 86_400.0),
}


def check_settings(settings: Mapping[str, Any], house: Policy) -> dict[str, Any]:
    """A merchant's settlement settings, checked; what is not named stays with the house.

    Raises:
        PolicyInvalid: an unknown name, a wrong type, outside its limits, at odds with the rest; `pointer` says which.
    """
    known = {one.name for one in fields(Policy)}
    for name, value in settings.items():
        pointer = f"/{name}"
        if name not in known:
            raise PolicyInvalid(pointer=pointer, reason="unknown")
        if name == "shortfall":
            if value not in get_args(Shortfall):
                raise PolicyInvalid(pointer=pointer, reason="one_of", values=list(get_args(Shortfall)))
        elif name == "lost_discount":
            if value not in LOST_DISCOUNT:
                raise PolicyInvalid(pointer=pointer, reason="one_of", values=list(LOST_DISCOUNT))
        elif name == "keeps_cards":
            if not isinstance(value, bool):
                raise PolicyInvalid(pointer=pointer, reason="one_of", values=[True, False])
        elif name == "payer_quorum":
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise PolicyInvalid(pointer=pointer, reason="out_of_range", least=1)
        else:
            least, most = SETTING_LIMITS[name]
            if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
                raise PolicyInvalid(pointer=pointer, reason="out_of_range", least=least, most=most)
    _check_together(house.but(settings))
    return dict(settings)


def _holds_together(policy: Policy) -> bool:
    """What is authorized first must still be there when everybody is in, confirmed and captured."""
    waits = min(policy.collection_window_seconds, policy.authorize_ahead_seconds) + policy.extension_seconds
    return waits + policy.settle_margin.total_seconds() <= authorization_seconds_min


def _check_together(policy: Policy) -> None:
    if not _holds_together(policy):
        raise PolicyInvalid(
            pointer="/settle_budget_seconds", reason="authorizations_too_short", most=authorization_seconds_min
        )


# --- what callers see -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PayRequestView:
    """One member asks another to pay their portion; until it is answered the other one sees the amount (P6)."""

    id: PayRequestId
    portion_id: PortionId
    asked_by: MemberId
    asked_of: MemberId
    state: str


# A traveler's own; what is given to one of them, or to all; what somebody who left bears of a lost discount.
PortionKind = Literal["own", "part", "sponsor", "lost_discount"]


@dataclass(frozen=True)
class SplitView:
    """A split as one of those concerned may see it. `mine` is None until it is this caller's turn to say yes (P6)."""

    id: SplitId
    by: MemberId
    parts: Mapping[MemberId, int]
    agreed: frozenset[MemberId]
    state: str
    mine: Money | None
    is_my_turn: bool


@dataclass(frozen=True)
class PortionLine:
    """A portion as this caller may see it: amounts, `price` and `decline_reason` are None where they are not theirs.

    `cap` is the most its payer agrees to, and what their bank keeps; until `authorizes_at` a card is only kept.
    """

    portion_id: PortionId | None
    traveler: MemberId
    name: str
    payer: MemberId
    payer_name: str
    state: PortionState
    is_mine: bool
    is_payable_by_me: bool
    amount: Money | None = None
    price: PersonPrice | None = None
    attempt_id: AttemptId | None = None
    decline_reason: str | None = None
    card: str | None = None
    cap: Money | None = None
    captured: Money | None = None
    refunded: Money | None = None
    authorizes_at: datetime | None = None
    is_asked_again: bool = False
    refund_failed: bool = False
    kind: PortionKind = "own"
    contribution_id: ContributionId | None = None


@dataclass(frozen=True)
class ChangeView:
    """A change of one booked member, for those it concerns: who goes, who comes, who paid, and the organizer.

    `back` is what went back of the caller's own money, or for their own place; None where nothing was theirs to read.
    `pay_by`: until then who comes in may pay.
    """

    id: AmendmentId
    kind: Literal["cancel", "replace", "surcharge"]
    member_id: MemberId
    name: str
    by: MemberId | None
    by_name: str
    stage: AmendmentStage
    reason: str | None
    back: Money | None
    asked_at: datetime
    pay_by: datetime | None
    finished_at: datetime | None
    can_withdraw: bool  # the caller may take it back, or say no to it

    @property
    def is_over(self) -> bool:
        return self.stage in AMENDMENT_OVER


@dataclass(frozen=True)
class BookingView:
    """A booking as one caller may see it: own lines, the group's total, the others' state (P6)."""

    id: BookingId
    trip_id: TripId
    offer_id: OfferId
    quote_id: QuoteId
    state: BookingState
    total: Money
    portions: tuple[PortionLine, ...]
    created_at: datetime
    deadline_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    hold_expires_at: datetime | None
    merchant_ref: str | None
    seats: tuple[Seat, ...]
    seats_are_together: bool
    is_proven: bool
    bound: Money | None = None
    asks: tuple[PayRequestView, ...] = ()
    me: MemberId | None = None
    is_organizer: bool = False
    payer_quorum: int | None = None
    authorize_at: datetime | None = None
    lost_discount: LostDiscount = "group"
    extras: tuple[
        PortionLine, ...
    ] = ()  # given to or borne for the travelers; `traveler` is whom it is for, or who left
    splits: tuple[SplitView, ...] = ()
    settles_by: datetime | None = None  # until when the merchant and the banks may take over the step under way
    changes: tuple[ChangeView, ...] = ()  # oldest first
    traveling: frozenset[MemberId] = frozenset()  # who has a ticket now; empty before it is booked

    @property
    def settled(self) -> int:
        return sum(portion.state in SETTLED or portion.state in TAKEN for portion in self.portions)

    @property
    def is_standing(self) -> bool:
        return self.state in STOOD

    @property
    def is_collecting(self) -> bool:
        return self.state is BookingState.OPEN


@dataclass(frozen=True)
class TicketView:
    """One member's ticket: `code` is what the QR shows; seats one per leg."""

    member_id: MemberId
    name: str
    number: str
    code: str
    seats: tuple[Seat, ...]


@dataclass(frozen=True)
class Operator:
    """Who steps in by hand, and why, in their own words; both stand in the timeline. `name` is a login, or what the
    command line was told.

    Raises:
        ReasonMissing
    """

    name: str
    why: str

    def __post_init__(self) -> None:
        if not self.why.strip():
            raise ReasonMissing(pointer="/why")


@dataclass(frozen=True)
class Step:
    """One line of a booking's timeline: append-only, in order. `at`: merchant time; `recorded_at`: real time.

    `by` and `why` are there for what an operator did, `about` where it was one of several things of the booking.
    """

    n: int
    from_state: BookingState | None
    event: str
    to_state: BookingState
    at: datetime
    recorded_at: datetime
    by: str | None = None
    why: str | None = None
    about: UUID | None = None
