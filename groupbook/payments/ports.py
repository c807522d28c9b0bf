"""What payments asks of a provider. One adapter per provider, one deterministic twin, one contract suite.

Amounts are minor units, times UTC. An adapter calls `kit.database.forbid_in_transaction` before every call, sends our
`key` as its idempotency key and never retries by itself: the runner does, by the row.

Each method that acts raises only:
    Refused: it was asked and answered no; asking again cannot help. `reason` is one of `REFUSALS`.
    Unavailable: nothing was attempted (rate limit, no connection); safe to ask later with the same key.
    OutcomeUnknown: it may have happened (time-out, 5xx); ask with the same key, or observe.
Reading raises Unavailable only: a failed reading has no outcome to be unsure of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from groupbook.kit.errors import Malformed
from groupbook.kit.ids import AttemptId, RefundId
from groupbook.kit.money import Money
from groupbook.payments.domain import Card, RefundState

REFUSALS = frozenset(
    {
        "amount_not_representable",
        "amount_too_small",
        "authorization_gone",
        "card_declined",
        "charge_disputed",
        "credentials_rejected",
        "currency_not_supported",
        "key_reused",
        "nothing_to_refund",
        "not_found",
        "request_rejected",
        "wrong_state",
    }
)


class Seen(StrEnum):
    """What the provider's truth about one attempt is."""

    ABSENT = "absent"
    OPEN = "open"
    ACTION = "action"
    DECLINED = "declined"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    CANCELED = "canceled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """What a payer is asked to authorize. `title` is shown on the hosted page; it names the trip, never a person."""

    attempt_id: AttemptId
    amount: Money
    title: str
    success_url: str
    cancel_url: str
    locale: str
    closes_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """The hosted page: where to send the payer, its name at the provider, and when it closes."""

    url: str
    page_ref: str
    closes_at: datetime
    payment_ref: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """How an attempt is found at the provider. With neither ref it is looked up by `attempt_id` among recent pages."""

    attempt_id: AttemptId
    opened_at: datetime
    page_ref: str | None = None
    payment_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The provider's truth about one attempt, read now. `capture_before` comes from the charge, never from a table."""

    seen: Seen
    amount: Money | None = None
    captured: Money | None = None
    refunded: Money | None = None
    capture_before: datetime | None = None
    page_ref: str | None = None
    payment_ref: str | None = None
    page_url: str | None = None
    closes_at: datetime | None = None
    decline_reason: str | None = None
    card: Card | None = None
    is_under_review: bool = False
    is_disputed: bool = False


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    refund_ref: str
    state: RefundState
    amount: Money
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A verified message from the provider. It only says where to look; its payload is never applied."""

    id: str
    type: str
    livemode: bool
    object_ref: str
    attempt_id: AttemptId | None = None
    payment_ref: str | None = None
    page_ref: str | None = None
    refund_id: RefundId | None = None
    account: str | None = None
    created_at: datetime | None = None


class EventRejected(Malformed):
    """Not a message of our provider: forged, altered, too old, from the future, of another account or mode."""

    code = "event_rejected"


class PaymentProvider(Protocol):
    """One merchant's account at one provider."""

    livemode: bool

    def open_payment(self, order: PaymentOrder, *, key: str, timeout_seconds: float) -> PaymentPage:
        """Open the hosted page on which a payer may authorize `order.amount` (minor units).

        Nothing is reserved yet. Asking again with the same `key` returns the first page.

        Raises:
            Refused: the order is impossible (method, currency, minimum); asking again cannot help.
            Unavailable: nothing was attempted; safe to ask later.
            OutcomeUnknown: it may have happened; ask with the same key, or observe.
        """

    def close_payment(self, ref: PaymentRef, *, key: str, timeout_seconds: float) -> Observed:
        """Close the page so that nobody can authorize on it any more; what is true afterwards.

        Closing what is closed changes nothing. An authorization that landed first is *not* voided: it is seen.

        Raises:
            Refused, Unavailable, OutcomeUnknown: as for `open_payment`.
        """

    def observe(self, ref: PaymentRef, *, timeout_seconds: float) -> Observed:
        """Read the truth about one attempt. `Seen.ABSENT` only when the provider surely has nothing of it.

        Raises:
            Unavailable: it could not be read; whatever was true still is.
        """

    def capture(self, ref: PaymentRef, amount: Money, *, key: str, timeout_seconds: float) -> Observed:
        """Take `amount` (minor units, at most what was authorized) and release the rest; what is true afterwards.

        Capturing what is captured answers the first capture.

        Raises:
            Refused: the authorization is gone, or the bank refuses; no money moved.
            Unavailable, OutcomeUnknown: as for `open_payment`.
        """

    def void(self, ref: PaymentRef, *, key: str, timeout_seconds: float) -> Observed:
        """Release the authorization; what is true afterwards. Voiding what is void changes nothing.

        Raises:
            Refused: it was captured, so there is nothing to void (refund instead).
            Unavailable, OutcomeUnknown: as for `open_payment`.
        """

    def refund(
        self, ref: PaymentRef, amount: Money, *, refund_id: RefundId, key: str, timeout_seconds: float
    ) -> RefundAnswer:
        """Give `amount` (minor units) back to the payer's card. Two keys are two refunds.

        Raises:
            Refused: more than was captured, or disputed (follow the dispute).
            Unavailable, OutcomeUnknown: as for `open_payment`; the lost answer is found by `observe_refund`.
        """

    def observe_refund(self, ref: PaymentRef, refund_id: RefundId, *, timeout_seconds: float) -> RefundAnswer | None:
        """The refund made for `refund_id`, or None when the provider surely has none.

        Raises:
            Unavailable: it could not be read.
        """

    def read_event(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> ProviderEvent:
        """Verify a message (signature, age in both directions, account, mode) and say what it is about.

        `now` is plain system time. `headers` has lower-case names. No network.

        Raises:
            EventRejected: not to be believed; `reason` says why.
        """

    def list_events(self, since: datetime, *, timeout_seconds: float, limit: int = 100) -> list[ProviderEvent]:
        """Messages since `since` (oldest first), for the sweep after lost webhooks.

        Raises:
            Unavailable: it could not be read.
        """


class ProviderFactory(Protocol):
    """Makes a merchant's provider from its sealed configuration (`merchants.Connection.configuration`).

    Entries of `integrations.registry.PAYMENT_PROVIDERS`. Cheap and without network.
    """

    def __call__(self, configuration: Mapping[str, Any], *, livemode: bool) -> PaymentProvider: ...
