"""The booking's machine, pure: no database, no clock, no network.

Two functions carry the room. `news` looks at the truth of the rooms below (a `Snapshot`) and says what has happened
that this booking must answer; `TABLE` says where that leads and which effects follow. Because `news` reads levels and
not edges, a lost, doubled or late message changes nothing.

    placing ──► open ──► freezing ──► confirming ──► capturing ──► booked ──► unwinding ──► refunding ──► refunded
       │         │  ◄──────┘ │            │   └► tombstoning ┘└────────────────►┘
       └► aborted◄── voiding ◄───────────────────────┘                any of them ──► parked ──► where it was

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── NotFound     booking_not_found, pay_request_not_found
    ├── Forbidden    not_organizer, not_your_booking
    └── Conflict     booking_closed, nothing_decided, nobody_travels, not_payable_now, not_parked
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from groupbook.kit.errors import Conflict, Forbidden, InvariantBroken, NotFound
from groupbook.kit.ids import AttemptId, BookingId, MemberId, OfferId, PayRequestId, PortionId, QuoteId, TripId
from groupbook.kit.money import Money
from groupbook.offers.domain import HoldState, OrderState, PersonPrice, Seat
from groupbook.payments.domain import CLOSED, SETTLED, TAKEN, PortionState


class BookingNotFound(NotFound):
    code = "booking_not_found"


class PayRequestNotFound(NotFound):
    code = "pay_request_not_found"


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


class NotParked(Conflict):
    code = "not_parked"


class NotPayableNow(Conflict):
    code = "not_payable_now"


# --- the machine ------------------------------------------------------------------------------------------------------


class BookingState(StrEnum):
    PLACING = "placing"  # the merchant is asked for places
    OPEN = "open"  # everyone is asked for their portion
    FREEZING = "freezing"  # the last look at provider truth
    CONFIRMING = "confirming"  # the merchant is asked to sell
    TOMBSTONING = "tombstoning"  # the merchant did not answer in time: make sure it never will
    CAPTURING = "capturing"
    BOOKED = "booked"
    VOIDING = "voiding"
    ABORTED = "aborted"  # nobody was charged
    UNWINDING = "unwinding"  # the order is taken back
    REFUNDING = "refunding"
    REFUNDED = "refunded"  # everybody got their money back
    PARKED = "parked"  # a person must look; nothing moves until then


class BookingEvent(StrEnum):
    HOLD_PLACED = "hold_placed"
    HOLD_REFUSED = "hold_refused"
    HOLD_LOST = "hold_lost"
    CANCEL_ASKED = "cancel_asked"
    ALL_SETTLED = "all_settled"
    DEADLINE_REACHED = "deadline_reached"
    LOOKED_COMPLETE = "looked_complete"
    LOOKED_EARLY = "looked_early"  # somebody's authorization is gone and there is still time
    LOOKED_SHORT = "looked_short"
    ORDER_CONFIRMED = "order_confirmed"
    ORDER_REJECTED = "order_rejected"
    CONFIRM_BUDGET_OUT = "confirm_budget_out"
    ORDER_CANCELED = "order_canceled"
    ORDER_STANDS = "order_stands"  # the merchant will not take it back
    ALL_CAPTURED = "all_captured"
    CAPTURE_FAILED = "capture_failed"
    ALL_VOIDED = "all_voided"
    ALL_REFUNDED = "all_refunded"
    BROKEN = "broken"  # a truth that must not be: captured without an order, an order behind a tombstone
    BUDGET_OUT = "budget_out"


class Effect(StrEnum):
    """What a step of the machine makes the rooms below do, in the same transaction."""

    ASK_PORTIONS = "ask_portions"
    LOOK = "look"
    CONFIRM = "confirm"
    CAPTURE = "capture"
    VOID = "void"
    RELEASE_HOLD = "release_hold"
    CANCEL_ORDER = "cancel_order"
    UNWIND = "unwind"
    ISSUE_TICKETS = "issue_tickets"
    REDEEM_CODES = "redeem_codes"
    RELEASE_CODES = "release_codes"
    THAW = "thaw"


def _table() -> Mapping[tuple[BookingState, BookingEvent], tuple[BookingState, tuple[Effect, ...]]]:
    s, e, x = BookingState, BookingEvent, Effect
    undo, over = (x.VOID, x.RELEASE_HOLD), (x.THAW, x.RELEASE_CODES)
    table: dict[tuple[BookingState, BookingEvent], tuple[BookingState, tuple[Effect, ...]]] = {
        (s.PLACING, e.HOLD_PLACED): (s.OPEN, (x.ASK_PORTIONS,)),
        (s.PLACING, e.HOLD_REFUSED): (s.ABORTED, over),
        (s.PLACING, e.CANCEL_ASKED): (s.VOIDING, undo),
        (s.PLACING, e.BUDGET_OUT): (s.VOIDING, undo),
        (s.OPEN, e.ALL_SETTLED): (s.FREEZING, (x.LOOK,)),
        (s.OPEN, e.DEADLINE_REACHED): (s.FREEZING, (x.LOOK,)),
        (s.OPEN, e.CANCEL_ASKED): (s.VOIDING, undo),
        (s.OPEN, e.HOLD_LOST): (s.VOIDING, undo),
        (s.FREEZING, e.LOOKED_COMPLETE): (s.CONFIRMING, (x.CONFIRM,)),
        (s.FREEZING, e.LOOKED_EARLY): (s.OPEN, ()),
        (s.FREEZING, e.LOOKED_SHORT): (s.VOIDING, undo),
        (s.FREEZING, e.HOLD_LOST): (s.VOIDING, undo),
        # The provider could not be read inside the budget: never confirm on a stale belief.
        (s.FREEZING, e.BUDGET_OUT): (s.VOIDING, undo),
        (s.CONFIRMING, e.ORDER_CONFIRMED): (s.CAPTURING, (x.CAPTURE,)),
        (s.CONFIRMING, e.ORDER_REJECTED): (s.VOIDING, undo),
        (s.CONFIRMING, e.CONFIRM_BUDGET_OUT): (s.TOMBSTONING, (x.CANCEL_ORDER,)),
        (s.TOMBSTONING, e.ORDER_CANCELED): (s.VOIDING, undo),
        (s.TOMBSTONING, e.ORDER_CONFIRMED): (s.CAPTURING, (x.CAPTURE,)),
        (s.CAPTURING, e.ALL_CAPTURED): (s.BOOKED, (x.ISSUE_TICKETS, x.REDEEM_CODES)),
        (s.CAPTURING, e.CAPTURE_FAILED): (s.UNWINDING, (x.CANCEL_ORDER,)),
        (s.BOOKED, e.CANCEL_ASKED): (s.UNWINDING, (x.CANCEL_ORDER,)),
        (s.UNWINDING, e.ORDER_CANCELED): (s.REFUNDING, (x.UNWIND,)),
        (s.REFUNDING, e.ALL_REFUNDED): (s.REFUNDED, over),
        (s.VOIDING, e.ALL_VOIDED): (s.ABORTED, over),
    }
    for state in BookingState:
        if state not in (s.ABORTED, s.REFUNDED, s.PARKED):
            table[state, e.BROKEN] = (s.PARKED, ())
    for state in (s.TOMBSTONING, s.CAPTURING, s.VOIDING, s.UNWINDING, s.REFUNDING):
        table[state, e.BUDGET_OUT] = (s.PARKED, ())
    table[s.UNWINDING, e.ORDER_STANDS] = (s.PARKED, ())
    return MappingProxyType(table)


TABLE: Final = _table()
ENDED: Final = frozenset({BookingState.ABORTED, BookingState.REFUNDED})
# A trip has at most one of these at a time.
CURRENT: Final = frozenset(BookingState) - ENDED
# The merchant's and the provider's answers are awaited; the budget of the state runs.
BUDGETED: Final = frozenset(
    {
        BookingState.PLACING,
        BookingState.FREEZING,
        BookingState.TOMBSTONING,
        BookingState.CAPTURING,
        BookingState.VOIDING,
        BookingState.UNWINDING,
        BookingState.REFUNDING,
    }
)


def effects_on_entry(state: BookingState) -> tuple[Effect, ...]:
    """What every way into `state` asks of the rooms below; asked again, it changes nothing."""
    asked = [effects for target, effects in TABLE.values() if target is state and effects]
    return asked[0] if asked else ()


def step(state: BookingState, event: BookingEvent) -> tuple[BookingState, tuple[Effect, ...]]:
    """Where `event` leads and what follows from it.

    Raises:
        InvariantBroken: the table does not know the pair; nothing may be written.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise InvariantBroken(machine="booking", state=state.value, event=event.value) from None


@dataclass(frozen=True)
class Policy:
    """The budgets of one booking, in seconds; settings of the merchant."""

    collection_window_seconds: float = 1800.0
    confirm_budget_seconds: float = 900.0
    settle_budget_seconds: float = 6 * 3600.0
    hold_margin_seconds: float = 120.0

    def deadline(self, opened_at: datetime, hold_expires_at: datetime | None) -> datetime:
        """When the group must be complete: the window, or a little before the merchant lets the places go."""
        window = opened_at + timedelta(seconds=self.collection_window_seconds)
        if hold_expires_at is None:
            return window
        length = (hold_expires_at - opened_at).total_seconds()
        margin = min(self.hold_margin_seconds, max(0.0, length / 10))
        return min(window, hold_expires_at - timedelta(seconds=margin))


@dataclass(frozen=True)
class PortionTruth:
    """What a decision may know of a portion. `capture_before` is when its authorization ends."""

    state: PortionState
    capture_before: datetime | None = None


@dataclass(frozen=True)
class Snapshot:
    """The truth of the rooms below, read under the booking's lock."""

    now: datetime
    needs_hold: bool
    hold: HoldState | None
    order: OrderState | None
    portions: tuple[PortionTruth, ...]
    deadline_at: datetime | None = None
    has_tickets: bool = False  # the merchant's tickets are here, not only its yes
    has_looked: bool = False  # the provider was read since the freeze, for everybody who tries to pay
    confirm_by: datetime | None = None
    budget_at: datetime | None = None
    cancel_asked: bool = False
    settle_margin: timedelta = field(default=timedelta(minutes=15))

    @property
    def all_settled(self) -> bool:
        """Everybody is in, and for long enough to capture after the merchant's answer."""
        return bool(self.portions) and all(self._counts(portion) for portion in self.portions)

    def _counts(self, portion: PortionTruth) -> bool:
        if portion.state not in SETTLED:
            return False
        return portion.capture_before is None or self.now + self.settle_margin < portion.capture_before

    @property
    def has_lost_hold(self) -> bool:
        """The merchant let the places go, though this booking needs them."""
        return self.needs_hold and self.hold is not HoldState.LIVE

    def any_in(self, *states: PortionState) -> bool:
        return any(portion.state in states for portion in self.portions)

    def all_in(self, states: frozenset[PortionState]) -> bool:
        return all(portion.state in states for portion in self.portions)

    def is_past(self, instant: datetime | None) -> bool:
        return instant is not None and self.now >= instant


_HOLD_GONE: Final = frozenset({HoldState.REFUSED, HoldState.RELEASED, HoldState.EXPIRED})
_HOLD_OVER: Final = _HOLD_GONE | {HoldState.CONSUMED}
_MONEY_BACK: Final = frozenset({PortionState.REFUNDED, PortionState.VOIDED, PortionState.WAIVED})
_MONEY_TAKEN: Final = (PortionState.CAPTURED, PortionState.PART_REFUNDED, PortionState.REFUNDED, PortionState.COVERED)


def news(state: BookingState, seen: Snapshot) -> BookingEvent | None:
    """What has happened that a booking in `state` must answer now; None: wait.

    Total over all states and snapshots, and every event it names is in the table for that state.
    """
    reader = _READERS.get(state)
    return None if reader is None else reader(seen)


def _placing(seen: Snapshot) -> BookingEvent | None:
    if not seen.needs_hold:
        return BookingEvent.HOLD_PLACED
    if seen.hold is HoldState.LIVE:
        return BookingEvent.CANCEL_ASKED if seen.cancel_asked else BookingEvent.HOLD_PLACED
    if seen.hold in _HOLD_GONE:
        return BookingEvent.HOLD_REFUSED
    if seen.cancel_asked:
        return BookingEvent.CANCEL_ASKED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _open(seen: Snapshot) -> BookingEvent | None:
    if seen.any_in(PortionState.CAPTURED):
        return BookingEvent.BROKEN
    if seen.cancel_asked:
        return BookingEvent.CANCEL_ASKED
    if seen.has_lost_hold:
        return BookingEvent.HOLD_LOST
    if seen.all_settled:
        return BookingEvent.ALL_SETTLED
    return BookingEvent.DEADLINE_REACHED if seen.is_past(seen.deadline_at) else None


def _freezing(seen: Snapshot) -> BookingEvent | None:
    if seen.any_in(PortionState.CAPTURED):
        return BookingEvent.BROKEN
    if seen.has_lost_hold:
        return BookingEvent.HOLD_LOST
    if seen.has_looked:
        if seen.all_settled:
            return BookingEvent.LOOKED_COMPLETE
        return BookingEvent.LOOKED_SHORT if seen.is_past(seen.deadline_at) else BookingEvent.LOOKED_EARLY
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _confirming(seen: Snapshot) -> BookingEvent | None:
    if seen.any_in(PortionState.CAPTURED):
        return BookingEvent.BROKEN
    if seen.order is OrderState.CONFIRMED:
        return BookingEvent.ORDER_CONFIRMED
    if seen.order in (OrderState.REJECTED, OrderState.CANCELED):
        return BookingEvent.ORDER_REJECTED
    return BookingEvent.CONFIRM_BUDGET_OUT if seen.is_past(seen.confirm_by) else None


def _tombstoning(seen: Snapshot) -> BookingEvent | None:
    if seen.order is OrderState.DISCREPANT:
        return BookingEvent.BROKEN
    if seen.order is OrderState.CANCELED:
        return BookingEvent.ORDER_CANCELED
    if seen.order is OrderState.CONFIRMED:
        return BookingEvent.ORDER_CONFIRMED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _capturing(seen: Snapshot) -> BookingEvent | None:
    if seen.all_in(TAKEN) and seen.has_tickets:
        return BookingEvent.ALL_CAPTURED
    # Wait for every answer before unwinding: a capture under way cannot be called back.
    if seen.any_in(PortionState.SHORT) and not seen.any_in(PortionState.CAPTURING):
        return BookingEvent.CAPTURE_FAILED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _booked(seen: Snapshot) -> BookingEvent | None:
    return BookingEvent.CANCEL_ASKED if seen.cancel_asked else None


def _unwinding(seen: Snapshot) -> BookingEvent | None:
    if seen.order is OrderState.DISCREPANT:
        return BookingEvent.BROKEN
    if seen.order is OrderState.CANCELED:
        return BookingEvent.ORDER_CANCELED
    if seen.order is OrderState.CONFIRMED:
        return BookingEvent.ORDER_STANDS
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _refunding(seen: Snapshot) -> BookingEvent | None:
    if seen.all_in(_MONEY_BACK):
        return BookingEvent.ALL_REFUNDED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _voiding(seen: Snapshot) -> BookingEvent | None:
    if seen.any_in(*_MONEY_TAKEN):
        return BookingEvent.BROKEN
    if seen.all_in(CLOSED) and (seen.hold is None or seen.hold in _HOLD_OVER):
        return BookingEvent.ALL_VOIDED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


_READERS: Final = MappingProxyType(
    {
        BookingState.PLACING: _placing,
        BookingState.OPEN: _open,
        BookingState.FREEZING: _freezing,
        BookingState.CONFIRMING: _confirming,
        BookingState.TOMBSTONING: _tombstoning,
        BookingState.CAPTURING: _capturing,
        BookingState.BOOKED: _booked,
        BookingState.UNWINDING: _unwinding,
        BookingState.REFUNDING: _refunding,
        BookingState.VOIDING: _voiding,
    }
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


@dataclass(frozen=True)
class PortionLine:
    """A portion as this caller may see it: `amount`, `price`, `decline_reason` are None where they are not theirs."""

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

    @property
    def settled(self) -> int:
        return sum(portion.state in SETTLED or portion.state in TAKEN for portion in self.portions)

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
class Step:
    """One line of a booking's timeline: append-only, in order."""

    n: int
    from_state: BookingState | None
    event: str
    to_state: BookingState
    at: datetime
