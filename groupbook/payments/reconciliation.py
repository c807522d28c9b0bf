"""Where the provider's account and our books disagree: pure comparison, both ways.

`compare_payment` and `compare_refund` hold what we believe against what the provider shows of the same thing. What is
on one side only is named by the caller, who knows that it looked everywhere: a payment that carries our id and that no
row knows (`unknown_payment`), one without (`foreign_payment`), a refund nobody here asked for (`refund_outside`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from groupbook.kit.errors import Conflict, NotFound
from groupbook.kit.ids import AttemptId, DifferenceId, PortionId, RefundId
from groupbook.kit.money import Money
from groupbook.payments.domain import AttemptState, RefundState
from groupbook.payments.ports import Movement, Observed, RefundAnswer, Seen


class DifferenceNotFound(NotFound):
    code = "difference_not_found"


class DifferenceNotBookable(Conflict):
    """Only a refund made outside can be taken into the books by hand, once, and within what the payer paid."""

    code = "difference_not_bookable"


class DifferenceKind(StrEnum):
    # the provider has it, we do not
    UNKNOWN_PAYMENT = "unknown_payment"
    FOREIGN_PAYMENT = "foreign_payment"
    CAPTURE_OUTSIDE = "capture_outside"
    AUTHORIZATION_ALIVE = "authorization_alive"
    UNKNOWN_REFUND = "unknown_refund"
    REFUND_OUTSIDE = "refund_outside"
    REFUND_ALIVE = "refund_alive"
    DISPUTE_UNSEEN = "dispute_unseen"
    # we believe it, the provider does not show it
    MISSING_PAYMENT = "missing_payment"
    AUTHORIZATION_GONE = "authorization_gone"
    MISSING_REFUND = "missing_refund"
    # both have it, in other amounts
    CAPTURED_AMOUNT = "captured_amount"
    AUTHORIZED_AMOUNT = "authorized_amount"
    REFUND_AMOUNT = "refund_amount"


# Nobody has or lacks money because of these: an authorization is re-read and put right by itself, a dispute is decided
# elsewhere, and what is none of our business stays none.
_NO_MONEY: Final = frozenset(
    {
        DifferenceKind.FOREIGN_PAYMENT,
        DifferenceKind.AUTHORIZATION_ALIVE,
        DifferenceKind.AUTHORIZATION_GONE,
        DifferenceKind.AUTHORIZED_AMOUNT,
        DifferenceKind.DISPUTE_UNSEEN,
    }
)
_LIVE: Final = frozenset({AttemptState.AUTHORIZED, AttemptState.CAPTURING})
_ENDED: Final = frozenset({AttemptState.CANCELED, AttemptState.EXPIRED, AttemptState.FAILED})
_MOVED: Final = frozenset({RefundState.PENDING, RefundState.SUCCEEDED})


@dataclass(frozen=True, slots=True)
class BelievedPayment:
    """What our books say of one attempt; `captured` is the ledger's word, not the attempt's."""

    attempt_id: AttemptId
    portion_id: PortionId
    reference: UUID
    state: AttemptState
    authorized: Money
    captured: Money
    opened_at: datetime
    page_ref: str | None
    payment_ref: str | None
    saved_ref: str | None = None
    is_disputed: bool = False

    @property
    def key(self) -> str:
        return self.payment_ref or f"att_{self.attempt_id.hex}"


@dataclass(frozen=True, slots=True)
class BelievedRefund:
    refund_id: RefundId
    attempt_id: AttemptId
    portion_id: PortionId
    reference: UUID
    state: RefundState
    amount: Money
    refund_ref: str | None

    @property
    def key(self) -> str:
        return self.refund_ref or f"ref_{self.refund_id.hex}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement: what our books say (`expected`) and what the provider shows (`observed`)."""

    kind: DifferenceKind
    provider_ref: str
    expected: Money
    observed: Money
    reference: UUID | None = None
    portion_id: PortionId | None = None
    attempt_id: AttemptId | None = None
    refund_id: RefundId | None = None

    @property
    def is_money(self) -> bool:
        """Whether somebody has or lacks money because of it."""
        return self.kind not in _NO_MONEY

    @property
    def mark(self) -> tuple[DifferenceKind, str]:
        """What makes it the same difference in a later run."""
        return self.kind, self.provider_ref


@dataclass(frozen=True, slots=True)
class StoredDifference:
    """A difference as it is kept: since when it is seen, and since when no longer."""

    id: DifferenceId
    day: date
    difference: Difference
    first_seen_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunView:
    """One day's comparison as it stands: when it ended, what it looked at, or why it could not."""

    day: date
    finished_at: datetime | None
    payments: int
    refunds: int
    foreign: int
    differences: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """What one run saw. `fresh` and `resolved` say what changed; a run that follows at once has neither."""

    day: date
    payments: int
    refunds: int
    foreign: int
    differences: tuple[StoredDifference, ...]
    fresh: int
    resolved: int


def day_window(day: date, zone: str) -> tuple[datetime, datetime]:
    """The instants at which a merchant's day begins and ends: 23 to 25 hours apart."""
    midnight = [datetime.combine(one, time(), ZoneInfo(zone)) for one in (day, day + timedelta(days=1))]
    return midnight[0], midnight[1]


def compare_payment(believed: BelievedPayment, shown: Movement | Observed | None) -> Difference | None:
    """Our attempt against the provider's payment; None where they agree. Nothing shown is nothing there."""
    zero = Money.zero(believed.authorized.currency)
    seen = shown.seen if shown is not None else Seen.ABSENT
    taken = (shown.captured or zero) if shown is not None and seen is Seen.CAPTURED else zero

    def differs(kind: DifferenceKind, expected: Money, observed: Money) -> Difference:
        return Difference(
            kind=kind,
            provider_ref=believed.key,
            expected=expected,
            observed=observed,
            reference=believed.reference,
            portion_id=believed.portion_id,
            attempt_id=believed.attempt_id,
        )

    if taken and not believed.captured:
        return differs(DifferenceKind.CAPTURE_OUTSIDE, zero, taken)
    if believed.captured and not taken:
        return differs(DifferenceKind.MISSING_PAYMENT, believed.captured, zero)
    if taken != believed.captured:
        return differs(DifferenceKind.CAPTURED_AMOUNT, believed.captured, taken)
    if taken and shown is not None and shown.is_disputed and not believed.is_disputed:
        return differs(DifferenceKind.DISPUTE_UNSEEN, zero, taken)
    if seen is Seen.AUTHORIZED and shown is not None and shown.amount is not None:
        if believed.state in _ENDED:
            return differs(DifferenceKind.AUTHORIZATION_ALIVE, zero, shown.amount)
        if believed.state in _LIVE and shown.amount != believed.authorized:
            return differs(DifferenceKind.AUTHORIZED_AMOUNT, believed.authorized, shown.amount)
    elif seen is not Seen.CAPTURED and believed.state in _LIVE:
        return differs(DifferenceKind.AUTHORIZATION_GONE, believed.authorized, zero)
    return None


def compare_refund(believed: BelievedRefund, shown: Movement | RefundAnswer | None) -> Difference | None:
    """Our refund against the provider's; None where they agree."""
    zero = Money.zero(believed.amount.currency)
    state = None
    if shown is not None:
        state = shown.refund_state if isinstance(shown, Movement) else shown.state
    there = shown.amount if shown is not None and state in _MOVED else zero
    here = believed.amount if believed.state in _MOVED else zero
    if here == there:
        return None
    if here and there:
        kind = DifferenceKind.REFUND_AMOUNT
    else:
        kind = DifferenceKind.MISSING_REFUND if here else DifferenceKind.REFUND_ALIVE
    return Difference(
        kind=kind,
        provider_ref=believed.key,
        expected=here,
        observed=there,
        reference=believed.reference,
        portion_id=believed.portion_id,
        attempt_id=believed.attempt_id,
        refund_id=believed.refund_id,
    )


def stray_payment(movement: Movement) -> Difference | None:
    """A payment that none of our rows knows; None where no money is taken or kept."""
    if movement.seen not in (Seen.AUTHORIZED, Seen.CAPTURED):
        return None
    zero = Money.zero(movement.amount.currency)
    is_ours = movement.attempt_id is not None
    observed = movement.amount if movement.seen is Seen.AUTHORIZED else (movement.captured or zero)
    return Difference(
        kind=DifferenceKind.UNKNOWN_PAYMENT if is_ours else DifferenceKind.FOREIGN_PAYMENT,
        provider_ref=movement.payment_ref,
        expected=zero,
        observed=observed,
        attempt_id=movement.attempt_id,
    )


def stray_refund(movement: Movement, of: BelievedPayment | None) -> Difference | None:
    """A refund that none of our rows knows, of a payment that is ours (`of`) or carries our id; else None."""
    if movement.refund_state not in _MOVED or movement.refund_ref is None:
        return None
    if of is None and movement.refund_id is None:
        return None  # of the merchant's other business
    return Difference(
        kind=DifferenceKind.UNKNOWN_REFUND if movement.refund_id is not None else DifferenceKind.REFUND_OUTSIDE,
        provider_ref=movement.refund_ref,
        expected=Money.zero(movement.amount.currency),
        observed=movement.amount,
        reference=of.reference if of else None,
        portion_id=of.portion_id if of else None,
        attempt_id=of.attempt_id if of else movement.attempt_id,
        refund_id=movement.refund_id,
    )


def due_days(
    today: date, *, finished: Iterable[tuple[date, datetime]], open_days: Iterable[date], midnight: datetime
) -> list[date]:
    """Which days a daily sweep should compare now: yesterday and every day with an open difference, each once a day.

    Args:
        finished: the days that were compared, with when (plain time).
        midnight: when `today` began, on the merchant's own wall.
    """
    done = {day for day, at in finished if at >= midnight}
    return sorted(({today - timedelta(days=1)} | set(open_days)) - done - {today})
