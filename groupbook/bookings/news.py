"""What has happened that a booking must answer, read from the truth of the rooms below. Pure.

It reads levels and not edges: a message that was lost, doubled, late or out of order changes nothing, because what it
said is never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from groupbook.bookings.domain import AmendmentStage, BookingState
from groupbook.bookings.machine import BookingEvent
from groupbook.offers.domain import HoldState, OrderState, RecheckState
from groupbook.payments.domain import CLOSED, SETTLED, TAKEN, DisputeState, PortionState


@dataclass(frozen=True)
class PortionTruth:
    """What a decision may know of a portion, or of `count` that are alike. `capture_before` is when the authorization
    ends, the first of them; they last together or not at all.
    """

    state: PortionState
    capture_before: datetime | None = None
    refund_failed: bool = False
    dispute: DisputeState = DisputeState.NONE
    count: int = 1

    @property
    def is_back(self) -> bool:
        """The payer has their money, or never gave it; a lost dispute gave it back for us (payments.md C6)."""
        return self.state in _MONEY_BACK or self.dispute is DisputeState.LOST


@dataclass(frozen=True)
class AmendmentTruth:
    """The change under way. `incoming` is the portion of who comes in, `capture_before` when their authorization ends,
    `is_amended` the merchant's answer so far.
    """

    stage: AmendmentStage
    incoming: PortionState | None = None
    capture_before: datetime | None = None
    is_asked_again: bool = False
    is_amended: bool | None = None  # None: no answer yet
    pay_by: datetime | None = None


@dataclass(frozen=True)
class Snapshot:
    """The truth of the rooms below, read under the booking's lock.

    `portions` are those of the party as it is; `dropped` of whoever left it before the freeze: they owe nothing, but
    must be closed before the booking ends.
    """

    now: datetime
    needs_hold: bool
    hold: HoldState | None
    order: OrderState | None
    portions: tuple[PortionTruth, ...]
    dropped: tuple[PortionTruth, ...] = ()
    deadline_at: datetime | None = None
    has_tickets: bool = False  # the merchant's tickets are here, not only its yes
    has_looked: bool = False  # the provider was read since the freeze, for everybody who tries to pay
    recheck: RecheckState | None = None  # in no-hold mode: the merchant's word on price and places since the freeze
    confirm_by: datetime | None = None
    budget_at: datetime | None = None
    cancel_asked: bool = False
    amendment: AmendmentTruth | None = None
    authorize_at: datetime | None = None  # saved cards are authorized from then on; None: that was asked for
    payer_quorum: int | None = None
    extra_settled: int = 0  # settled portions on which nobody travels: no payers of the quorum
    has_shrunk: bool = False
    was_booked: bool = False
    may_extend: bool = False
    hold_earns: bool = False  # places start short, may lapse while nobody pays, and are asked for again when they do
    covers_shortfall: bool = False
    settle_margin: timedelta = timedelta(minutes=15)
    patience: timedelta = timedelta(hours=6)  # after a budget, for what is under way and cannot be called back

    @property
    def all_settled(self) -> bool:
        """Everybody is in, and for long enough to capture after the merchant's answer."""
        return bool(self.portions) and all(self._counts(portion) for portion in self.portions)

    @property
    def has_quorum(self) -> bool:
        """Enough of the party are in, and the party has not been made smaller yet."""
        if self.payer_quorum is None or self.has_shrunk:
            return False
        settled = sum(portion.count for portion in self.portions if self._counts(portion))
        return settled - self.extra_settled >= max(1, self.payer_quorum)

    @property
    def is_kept_too_briefly(self) -> bool:
        """Somebody's bank keeps the money, and not for long enough: it cannot count any more."""
        return any(
            portion.state is PortionState.AUTHORIZED and not self.lasts(portion.capture_before)
            for portion in self.portions
        )

    def _counts(self, portion: PortionTruth) -> bool:
        return portion.state in SETTLED and self.lasts(portion.capture_before)

    def lasts(self, capture_before: datetime | None) -> bool:
        """Whether an authorization that ends then can still be captured after the merchant's answer."""
        return capture_before is None or self.now + self.settle_margin < capture_before

    @property
    def has_lost_hold(self) -> bool:
        """The merchant let the places go, though this booking needs them."""
        return self.needs_hold and self.hold not in _HOLD_KEPT

    @property
    def may_hold_again(self) -> bool:
        """Places that lapsed while the group was collecting are no loss yet: they are asked for again."""
        return self.hold_earns and self.hold in HOLD_LAPSED

    @property
    def authorizations_due(self) -> bool:
        """Somebody's card is only saved, and either the time has come or nobody else is waited for."""
        if self.authorize_at is None or not self.any_in(PortionState.SAVED):
            return False
        return self.is_past(self.authorize_at) or self.all_in(SETTLED | {PortionState.SAVED})

    def any_in(self, *states: PortionState) -> bool:
        return any(portion.state in states for portion in self.portions)

    def all_in(self, states: frozenset[PortionState]) -> bool:
        return all(portion.state in states for portion in self.portions)

    @property
    def is_changing(self) -> bool:
        """A change of the party is under way: the merchant may have made it, and money has to follow."""
        return self.amendment is not None and self.amendment.stage is not AmendmentStage.ASKED

    @property
    def dropped_are_closed(self) -> bool:
        return all(portion.state in CLOSED for portion in self.dropped)

    @property
    def took_money(self) -> bool:
        """Somebody's money was taken, of the party or of who left it."""
        return any(portion.state in _MONEY_TAKEN for portion in (*self.portions, *self.dropped))

    def is_past(self, instant: datetime | None) -> bool:
        return instant is not None and self.now >= instant

    @property
    def is_stuck(self) -> bool:
        """The budget ran out, and so did the patience with what cannot be called back."""
        return self.budget_at is not None and self.now >= self.budget_at + self.patience


def next_look(seen: Snapshot) -> datetime:
    """When time alone may have made news of a booking that rests on this truth; an hour from now at the latest.

    What the rooms below do comes as a fact. The hour is for what nobody thought of.
    """
    stuck_at = None if seen.budget_at is None else seen.budget_at + seen.patience
    pay_by = None if seen.amendment is None else seen.amendment.pay_by
    kept = [one.capture_before for one in seen.portions if one.state is PortionState.AUTHORIZED and one.capture_before]
    useless_at = min(kept) - seen.settle_margin if kept else None
    moments = (seen.deadline_at, seen.authorize_at, seen.confirm_by, seen.budget_at, stuck_at, pay_by, useless_at)
    return min([at for at in moments if at is not None and at > seen.now] + [seen.now + _look_again_after])


_look_again_after: Final = timedelta(hours=1)
_HOLD_KEPT: Final = frozenset({HoldState.LIVE, HoldState.EXTENDING})
HOLD_LAPSED: Final = frozenset({HoldState.PLACING, HoldState.EXPIRED, HoldState.RELEASED})
_HOLD_GONE: Final = frozenset({HoldState.REFUSED, HoldState.RELEASED, HoldState.EXPIRED})
_HOLD_OVER: Final = _HOLD_GONE | {HoldState.CONSUMED}
_MONEY_BACK: Final = frozenset({PortionState.REFUNDED, PortionState.VOIDED, PortionState.WAIVED})
# Everybody of a booked party, and whoever left it after a change of the order.
_PAID_OR_LEFT: Final = TAKEN | {PortionState.PART_REFUNDED, PortionState.REFUNDED}
_MONEY_TAKEN: Final = (PortionState.CAPTURED, PortionState.PART_REFUNDED, PortionState.REFUNDED, PortionState.COVERED)


def news(state: BookingState, seen: Snapshot) -> BookingEvent | None:
    """What has happened that a booking in `state` must answer now; None: wait.

    Total over all states and snapshots, and every event it names is in the table for that state.
    """
    reader = _READERS.get(state)
    return None if reader is None else reader(seen)


def must_ask_anew(state: BookingState, seen: Snapshot) -> bool:
    """Whether somebody's bank keeps the money too briefly while it is still theirs to ask another: the group collects,
    or who comes in has yet to be in. Afterwards the merchant is asked, and what is kept is all there is to take.
    """
    is_collecting = state is BookingState.OPEN or (
        state is BookingState.AMENDING
        and seen.amendment is not None
        and seen.amendment.stage is AmendmentStage.COLLECTING
    )
    return is_collecting and seen.is_kept_too_briefly


def _placing(seen: Snapshot) -> BookingEvent | None:
    if not seen.needs_hold:
        return BookingEvent.CANCEL_ASKED if seen.cancel_asked else BookingEvent.HOLD_PLACED
    if seen.hold is HoldState.LIVE:
        return BookingEvent.CANCEL_ASKED if seen.cancel_asked else BookingEvent.HOLD_PLACED
    if seen.hold in _HOLD_GONE:
        return BookingEvent.HOLD_REFUSED
    if seen.cancel_asked:
        return BookingEvent.CANCEL_ASKED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _open(seen: Snapshot) -> BookingEvent | None:
    if seen.took_money:
        return BookingEvent.BROKEN
    if seen.cancel_asked:
        return BookingEvent.CANCEL_ASKED
    if seen.has_lost_hold and not seen.may_hold_again:
        return BookingEvent.HOLD_LOST
    if seen.all_settled and not seen.has_lost_hold:
        return BookingEvent.ALL_SETTLED
    if seen.is_past(seen.deadline_at):
        return BookingEvent.DEADLINE_REACHED
    if seen.all_settled and seen.hold is not HoldState.PLACING:
        return BookingEvent.HOLD_WANTED
    return BookingEvent.AUTHORIZATIONS_DUE if seen.authorizations_due else None


def _freezing(seen: Snapshot) -> BookingEvent | None:
    if seen.took_money:
        return BookingEvent.BROKEN
    is_late = seen.is_past(seen.deadline_at)
    if seen.has_lost_hold:
        return BookingEvent.LOOKED_EARLY if seen.may_hold_again and not is_late else BookingEvent.HOLD_LOST
    if not seen.has_looked or (not seen.needs_hold and seen.recheck in (None, RecheckState.PENDING)):
        return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None
    if not seen.needs_hold and seen.recheck is RecheckState.GONE:
        return BookingEvent.SOLD_OUT
    if not seen.needs_hold and seen.recheck is RecheckState.HIGHER:
        return BookingEvent.LOOKED_SHORT if is_late and not seen.may_extend else BookingEvent.PRICE_ROSE
    if seen.all_settled:
        return BookingEvent.LOOKED_COMPLETE
    if not is_late:
        return BookingEvent.LOOKED_EARLY
    if seen.may_extend:
        return BookingEvent.DEADLINE_EXTENDED
    return BookingEvent.LOOKED_QUORUM if seen.has_quorum else BookingEvent.LOOKED_SHORT


def _confirming(seen: Snapshot) -> BookingEvent | None:
    if seen.took_money:
        return BookingEvent.BROKEN
    if seen.order is OrderState.DISCREPANT:
        return BookingEvent.BROKEN
    if seen.order is OrderState.CONFIRMED:
        return BookingEvent.ORDER_CONFIRMED
    if seen.order in (None, OrderState.REJECTED, OrderState.CANCELED):
        return BookingEvent.ORDER_REJECTED  # none: the places were gone before it could be asked for
    return BookingEvent.CONFIRM_BUDGET_OUT if seen.is_past(seen.confirm_by) else None


def _tombstoning(seen: Snapshot) -> BookingEvent | None:
    if seen.order is OrderState.DISCREPANT:
        return BookingEvent.BROKEN
    if seen.order is OrderState.CANCELED:
        return BookingEvent.ORDER_CANCELED
    if seen.order is OrderState.CONFIRMED:
        # Authorizations given back while nobody answered cannot be taken any more: a person has to decide.
        is_closed = seen.any_in(PortionState.VOIDING, PortionState.VOIDED)
        return BookingEvent.BROKEN if is_closed else BookingEvent.ORDER_CONFIRMED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _capturing(seen: Snapshot) -> BookingEvent | None:
    if seen.order is OrderState.DISCREPANT:
        return BookingEvent.BROKEN
    if seen.all_in(TAKEN) and seen.has_tickets:
        return BookingEvent.ALL_CAPTURED
    # Wait for every answer before the ladder: a capture under way cannot be called back.
    if seen.any_in(PortionState.SHORT) and not seen.any_in(PortionState.CAPTURING):
        return BookingEvent.CAPTURE_FAILED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _recovering(seen: Snapshot) -> BookingEvent | None:
    if seen.order is OrderState.DISCREPANT:
        return BookingEvent.BROKEN
    if seen.all_in(TAKEN) and seen.has_tickets:
        return BookingEvent.ALL_CAPTURED
    if seen.any_in(PortionState.CAPTURING) or seen.all_in(TAKEN):
        return BookingEvent.BUDGET_OUT if seen.is_stuck else None
    if seen.cancel_asked:
        return BookingEvent.CANCEL_ASKED
    if not seen.is_past(seen.budget_at):
        return None
    return BookingEvent.SHORTFALL_ACCEPTED if seen.covers_shortfall else BookingEvent.RECOVERY_OUT


def _booked(seen: Snapshot) -> BookingEvent | None:
    if seen.cancel_asked:
        return BookingEvent.CANCEL_ASKED
    if seen.order is OrderState.DISCREPANT:
        return BookingEvent.BROKEN
    asked = seen.amendment is not None and seen.amendment.stage is AmendmentStage.ASKED
    return BookingEvent.AMEND_ASKED if asked else None


def _amending(seen: Snapshot) -> BookingEvent | None:
    change = seen.amendment
    if seen.order is OrderState.DISCREPANT or change is None:
        return BookingEvent.BROKEN
    answer = _AMENDMENT_READERS[change.stage](seen, change)
    if answer is None and seen.is_past(seen.budget_at):
        return BookingEvent.BUDGET_OUT
    return answer


def _collecting(seen: Snapshot, change: AmendmentTruth) -> BookingEvent | None:
    if change.incoming in SETTLED and seen.lasts(change.capture_before):
        return BookingEvent.AMENDMENT_PAID
    return BookingEvent.AMENDMENT_UNPAID if seen.is_past(change.pay_by) else None


def _ordering(_seen: Snapshot, change: AmendmentTruth) -> BookingEvent | None:
    if change.is_amended is None:
        return None
    return BookingEvent.ORDER_AMENDED if change.is_amended else BookingEvent.AMENDMENT_REFUSED


def _settling(_seen: Snapshot, change: AmendmentTruth) -> BookingEvent | None:
    if change.incoming is PortionState.SHORT and not change.is_asked_again:
        return BookingEvent.AMENDMENT_SHORT
    return BookingEvent.AMENDMENT_DONE if change.incoming is None or change.incoming in TAKEN else None


def _dropping(_seen: Snapshot, change: AmendmentTruth) -> BookingEvent | None:
    return BookingEvent.AMENDMENT_DROPPED if change.incoming is None or change.incoming in CLOSED else None


def _not_under_way(_seen: Snapshot, _change: AmendmentTruth) -> BookingEvent:
    """An amending booking whose change is not under way contradicts itself."""
    return BookingEvent.BROKEN


_AMENDMENT_READERS: Final = MappingProxyType(
    {
        AmendmentStage.ASKED: _not_under_way,
        AmendmentStage.COLLECTING: _collecting,
        AmendmentStage.ORDERING: _ordering,
        AmendmentStage.SETTLING: _settling,
        AmendmentStage.DROPPING: _dropping,
        AmendmentStage.DONE: _not_under_way,
        AmendmentStage.REFUSED: _not_under_way,
    }
)


def _unwinding(seen: Snapshot) -> BookingEvent | None:
    if seen.order is OrderState.DISCREPANT:
        return BookingEvent.BROKEN
    # A capture under way cannot be called back: its answer comes first.
    if seen.order is OrderState.CANCELED and not seen.any_in(PortionState.CAPTURING):
        return BookingEvent.ORDER_CANCELED
    if seen.order is OrderState.CONFIRMED:
        is_whole = seen.was_booked and seen.all_in(_PAID_OR_LEFT) and not seen.is_changing
        return BookingEvent.CANCEL_REFUSED if is_whole else BookingEvent.ORDER_STANDS
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _refunding(seen: Snapshot) -> BookingEvent | None:
    if all(portion.is_back for portion in seen.portions) and seen.dropped_are_closed:
        return BookingEvent.ALL_REFUNDED
    if any(portion.refund_failed for portion in seen.portions):
        return BookingEvent.REFUND_FAILED
    if any(portion.dispute is DisputeState.OPEN for portion in seen.portions):
        return BookingEvent.DISPUTED
    return BookingEvent.BUDGET_OUT if seen.is_past(seen.budget_at) else None


def _voiding(seen: Snapshot) -> BookingEvent | None:
    if seen.took_money:
        return BookingEvent.BROKEN
    is_closed = seen.all_in(CLOSED) and seen.dropped_are_closed
    if is_closed and (seen.hold is None or seen.hold in _HOLD_OVER):
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
        BookingState.RECOVERING: _recovering,
        BookingState.BOOKED: _booked,
        BookingState.AMENDING: _amending,
        BookingState.UNWINDING: _unwinding,
        BookingState.REFUNDING: _refunding,
        BookingState.VOIDING: _voiding,
    }
)
