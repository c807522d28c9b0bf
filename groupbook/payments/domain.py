"""Values of money owed by payers, and the door to this room's pure parts: no database, no clock, no network.

    attempt.py   one try to get an authorization, or a card to keep
    portion.py   what one payer owes
    refund.py    money on its way back: refunds, disputes
    amounts.py   what may be asked of a card, and the falling price
    errors.py    the tree of this room's errors

Two machines, each a table `(state, event) -> state`. A pair that is not in the table is refused and nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from groupbook.kit.ids import AttemptId, PortionId, RefundId
from groupbook.kit.money import Money
from groupbook.payments.amounts import (
    Covered,
    Due,
    PortionDraft,
    check_draft,
    check_drafts,
    fall,
    least_payable,
    may_capture,
    merge_small,
    payable_step,
    portions_per_reference_max,
)
from groupbook.payments.attempt import (
    ATTEMPT_OVER,
    ATTEMPT_PAYABLE,
    ATTEMPT_TABLE,
    NOT_READ,
    AttemptEvent,
    AttemptMode,
    AttemptState,
    advance_attempt,
)
from groupbook.payments.errors import (
    AttemptNotFound,
    AuthorizationTooOld,
    IllegalStep,
    NotYourPortion,
    PartsDoNotSum,
    PortionCurrency,
    PortionDisputed,
    PortionNotFound,
    PortionNotPayable,
    PortionNotRepresentable,
    PortionTooSmall,
    RefundNotFound,
    RefundTooLarge,
    TooManyAttempts,
)
from groupbook.payments.portion import (
    CHANGEABLE,
    CLOSED,
    PAYABLE,
    PORTION_TABLE,
    SETTLED,
    TAKEN,
    PortionEvent,
    PortionState,
    advance_portion,
)
from groupbook.payments.refund import (
    DISPUTE_TABLE,
    REFUND_MOVED,
    REFUND_OVER,
    REFUND_SEEN,
    REFUND_TABLE,
    STOPPED_BY_DISPUTE,
    Dispute,
    DisputeState,
    RefundState,
    Returned,
    dispute_after,
    owed_again,
    refund_event,
)

__all__ = [
    "ATTEMPT_OVER",
    "ATTEMPT_PAYABLE",
    "ATTEMPT_TABLE",
    "CHANGEABLE",
    "CLOSED",
    "DISPUTE_TABLE",
    "NOT_READ",
    "PAYABLE",
    "PORTION_TABLE",
    "REFUND_MOVED",
    "REFUND_OVER",
    "REFUND_SEEN",
    "REFUND_TABLE",
    "SETTLED",
    "STOPPED_BY_DISPUTE",
    "TAKEN",
    "AttemptEvent",
    "AttemptMode",
    "AttemptNotFound",
    "AttemptState",
    "AttemptView",
    "AuthorizationTooOld",
    "Card",
    "Covered",
    "Dispute",
    "DisputeState",
    "Due",
    "IllegalStep",
    "LikePortions",
    "NotYourPortion",
    "PartsDoNotSum",
    "PortionCurrency",
    "PortionDisputed",
    "PortionDraft",
    "PortionEvent",
    "PortionNotFound",
    "PortionNotPayable",
    "PortionNotRepresentable",
    "PortionState",
    "PortionTooSmall",
    "PortionView",
    "RefundNotFound",
    "RefundState",
    "RefundTooLarge",
    "RefundView",
    "Returned",
    "TooManyAttempts",
    "advance_attempt",
    "advance_portion",
    "attempts_per_day_max",
    "check_draft",
    "check_drafts",
    "dispute_after",
    "fall",
    "least_payable",
    "may_capture",
    "merge_small",
    "owed_again",
    "page_margin_seconds",
    "payable_step",
    "portions_per_reference_max",
    "refund_event",
]

attempts_per_day_max: Final = 5  # payments.md 2.3: DECLINED -> AUTHORIZING at most five times a day
page_margin_seconds: Final = 120  # a page that closes sooner than this is not worth sending somebody to


@dataclass(frozen=True, slots=True)
class Card:
    """What may be kept of a card: enough to recognize it, nothing to pay with."""

    brand: str
    last4: str


@dataclass(frozen=True, slots=True)
class PortionView:
    """A portion as callers may read it. `card` and `decline_reason` are for its payer's eyes only (P6).

    `cap` is the most its payer agreed, or is asked to agree, to; `amount` what it comes to now. `asked_at`: since when
    this payer is asked.
    """

    id: PortionId
    reference: UUID
    traveler: UUID
    payer: UUID
    amount: Money
    state: PortionState
    captured: Money
    refunded: Money
    asked_at: datetime
    attempt_id: AttemptId | None = None
    decline_reason: str | None = None
    capture_before: datetime | None = None
    observed_at: datetime | None = None
    card: Card | None = None
    covers: tuple[Covered, ...] = ()
    version: int = 0
    cap: Money | None = None
    is_dropped: bool = False  # its traveler left the party: in no sum any more, though perhaps still being voided
    authorizes_at: datetime | None = None
    is_asked_again: bool = False
    refund_failed: bool = False  # money that should have gone back did not: retry it, or pay it otherwise
    dispute: DisputeState = DisputeState.NONE

    @property
    def is_payable(self) -> bool:
        """Whether its payer may be sent to a page; a short portion only once the recovery asks for it again."""
        if self.is_dropped:
            return False
        return self.state in PAYABLE or (self.state is PortionState.SHORT and self.is_asked_again)

    @property
    def is_disputed(self) -> bool:
        """The payer's bank is deciding, or decided against the merchant: nothing is refunded on top of that."""
        return self.dispute in (DisputeState.OPEN, DisputeState.LOST)

    @property
    def is_settled(self) -> bool:
        """Counts towards "everybody is in": authorized, or nothing to pay."""
        return self.state in SETTLED


@dataclass(frozen=True, slots=True)
class LikePortions:
    """How many portions of a reference are alike, as far as a decision can tell them apart.

    Args:
        capture_before: when the first of their authorizations ends; either all of them last, or none (`tally`).
        is_unread: the provider still has to be read for one of them.
    """

    state: PortionState
    count: int
    capture_before: datetime | None = None
    is_dropped: bool = False
    refund_failed: bool = False
    dispute: DisputeState = DisputeState.NONE
    is_unread: bool = False


@dataclass(frozen=True, slots=True)
class RefundView:
    id: RefundId
    portion_id: PortionId
    amount: Money
    state: RefundState
    reason: str
    asked_at: datetime | None = None
    changed_at: datetime | None = None
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try to get an authorization, for the merchant's and the operator's eyes. `started_at` is real time."""

    id: AttemptId
    portion_id: PortionId
    n: int
    payer: UUID
    amount: Money
    state: AttemptState
    is_current: bool
    started_at: datetime
    authorized_at: datetime | None
    capture_before: datetime | None
    decline_reason: str | None
    card: Card | None
    mode: AttemptMode = AttemptMode.AUTHORIZE
