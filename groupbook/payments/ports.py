"""What payments asks of a provider. One adapter per provider, one deterministic twin, one contract suite.

Amounts are minor units, times UTC. An adapter calls `kit.database.forbid_in_transaction` before every call, sends our
`key` as its idempotency key and never retries by itself: the runner does, by the row.

Each method that acts raises only:
    Refused: it was asked and answered no; asking again cannot help. `reason` is one of `REFUSALS`.
    Unavailable: nothing was attempted (rate limit, no connection); safe to ask later with the same key.
    OutcomeUnknown: it may have happened (time-out, 5xx); ask with the same key, or observe.
Reading raises Unavailable only: a failed reading has no outcome to be unsure of. Its `status` is 404 when the provider
was read and knows nothing by the name we kept: of another account, perhaps, so no machine takes that for the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from groupbook.kit.errors import Invalid, Malformed
from groupbook.kit.ids import AttemptId, RefundId
from groupbook.kit.money import Money
from groupbook.payments.domain import Card, Dispute, DisputeState, RefundState

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
    SAVED = "saved"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    CANCELED = "canceled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """What a payer is asked to agree to. `title` is shown on the hosted page; it names the trip, never a person.

    `mode`: "authorize" reserves `amount`; "save" only keeps the card, to authorize at most `amount` later.
    `keeps_card`: what is authorized on the page may be asked for once more in the payer's absence, if taking it fails.
    `needs_hosted`: the page has to be the provider's, whatever the account prefers: this browser runs no script.
    """

    attempt_id: AttemptId
    amount: Money
    title: str
    success_url: str
    cancel_url: str
    locale: str
    closes_at: datetime | None = None
    mode: Literal["authorize", "save"] = "authorize"
    keeps_card: bool = False
    needs_hosted: bool = False


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """The page: where to send the payer, its name at the provider, and when it closes.

    An empty `url` says that the page is ours to show, with the provider's fields in it (`OwnPage`). Such a page closes
    by our hand: whoever finds it open after `closes_at` closes it.
    """

    url: str
    page_ref: str
    closes_at: datetime
    payment_ref: str | None = None


@dataclass(frozen=True, slots=True)
class OwnPage:
    """What the payer's browser needs to show the provider's fields on a page of ours.

    `client_secret` lets whoever has it agree to this one payment: it goes to its payer's browser and nowhere else, and
    is never written down. The origins are what the page has to be opened for beside ours.
    """

    mode: Literal["authorize", "save"]
    client_secret: str = field(repr=False)
    publishable_key: str
    account: str | None
    script_url: str
    script_origins: tuple[str, ...]
    frame_origins: tuple[str, ...]
    connect_origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """How an attempt is found at the provider. With neither ref it is looked up by `attempt_id` among recent pages.

    `saved_ref` is given for an attempt made in the payer's absence: it has no page and is looked up among the payments
    of that card.
    """

    attempt_id: AttemptId
    opened_at: datetime
    page_ref: str | None = None
    payment_ref: str | None = None
    saved_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The provider's truth about one attempt, read now. `capture_before` comes from the charge, never from a table.

    `saved_ref` is the provider's name of a card it keeps for us; it opens nothing outside this merchant's account.
    """

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
    saved_ref: str | None = None
    dispute: Dispute | None = None

    @property
    def is_disputed(self) -> bool:
        return self.dispute is not None and self.dispute.state is not DisputeState.WON


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    refund_ref: str
    state: RefundState
    amount: Money
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """One thing the provider's account shows: a payment, or a refund of one (then `refund_ref` says which).

    `attempt_id` and `refund_id` are ours, as the provider keeps them beside its object; without them nobody here made
    it. `captured` and `refunded` of a payment are what moved so far; `amount` is what was authorized, or the refund's.
    """

    payment_ref: str
    amount: Money
    created_at: datetime
    attempt_id: AttemptId | None = None
    seen: Seen = Seen.ABSENT
    captured: Money | None = None
    refunded: Money | None = None
    is_disputed: bool = False
    refund_ref: str | None = None
    refund_id: RefundId | None = None
    refund_state: RefundState | None = None


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
    ends_access: bool = False  # it says that we may not act for `account` any more


class EventRejected(Malformed):
    """Not a message of our provider: forged, altered, too old, from the future, of another account or mode."""

    code = "event_rejected"


class PaymentProvider(Protocol):
    """One merchant's account at one provider."""

    livemode: bool

    def open_payment(self, order: PaymentOrder, *, key: str, timeout_seconds: float) -> PaymentPage:
        """Open the page on which a payer may authorize `order.amount` (minor units), or save a card for it.

        Nothing is reserved yet. Asking again with the same `key` returns the first page.

        Raises:
            Refused: the order is impossible (method, currency, minimum); asking again cannot help.
            Unavailable: nothing was attempted; safe to ask later.
            OutcomeUnknown: it may have happened; ask with the same key, or observe.
        """

    def own_page(self, ref: PaymentRef, *, timeout_seconds: float) -> OwnPage | None:
        """What a page of ours shows for `ref.page_ref`, read now; None when nothing can be agreed to there any more.

        Raises:
            Unavailable: it could not be read.
        """

    def authorize_saved(self, order: PaymentOrder, saved_ref: str, *, key: str, timeout_seconds: float) -> Observed:
        """Reserve `order.amount` on a saved card in its owner's absence; what is true afterwards.

        A bank's no is an answer, not a refusal: `Seen.DECLINED`, or `Seen.ACTION` with the reason
        `authentication_required` when the payer has to come back. Asking again with the same `key` answers as before.

        Raises:
            Refused: the card is not kept any more, or the order is impossible.
            Unavailable, OutcomeUnknown: as for `open_payment`; found again by the attempt's id before any re-send.
        """

    def close_payment(self, ref: PaymentRef, *, key: str, timeout_seconds: float) -> Observed:
        """Leave nothing on which somebody could still agree; what is true afterwards.

        A page is closed; a saved card is forgotten (`Seen.CANCELED` from then on); a payment that was declined or needs
        its payer is canceled. Closing what is closed changes nothing. An authorization that landed first is *not*
        voided: it is seen.

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

    def list_events(
        self, since: datetime, until: datetime | None = None, *, timeout_seconds: float
    ) -> list[ProviderEvent]:
        """Every message from `since` on and before `until` (oldest first), for the sweep after lost webhooks.

        Plain time, as the provider keeps it; page by page, each page within `timeout_seconds`.

        Raises:
            Unavailable: it could not be read to the end.
        """

    def list_movements(self, since: datetime, until: datetime, *, timeout_seconds: float) -> Iterable[Movement]:
        """Every payment and every refund made from `since` on and before `until`, each once, in any order.

        Whoever made it: ours carry our ids, others do not. Plain time, as the provider keeps it; page by page, each
        page within `timeout_seconds`. A page nobody has paid on yet is no payment.

        Raises:
            Unavailable: it could not be read to the end; what was read is not the whole.
        """


class KeyRejected(Invalid):
    """What was pasted is no key that could work here; seen without asking anybody.

    `reason`: `not_a_key`, `publishable` (the one for browsers), `wrong_mode` (live in test mode or the reverse),
    `not_publishable` (where the one for browsers is wanted).
    """

    code = "provider_key_rejected"


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that a merchant's key must be allowed to do.

    `section`, `row` and `level` are what the provider's own dashboard calls it; `needed_for` is our code of the reason.
    """

    code: str
    section: str
    row: str
    level: Literal["read", "write"]
    needed_for: str


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """The account behind a key, as far as the key may see it."""

    ref: str | None = None
    name: str | None = None
    country: str | None = None
    may_charge: bool | None = None


@dataclass(frozen=True, slots=True)
class MessageEndpoint:
    """Where the provider sends its messages from now on. `secret` signs them; it is told only once."""

    ref: str
    secret: str = field(repr=False)


class ProviderSetup(Protocol):
    """A look at one merchant's account before anything depends on it: what its key may do, and whether it works.

    Each method raises only Refused, Unavailable or OutcomeUnknown, as `PaymentProvider` does.
    """

    permissions: tuple[Permission, ...]

    def exchange(self, code: str, *, key: str, timeout_seconds: float) -> str:
        """The account whose holder lets our platform act for it, by the code that their yes came back with.

        A code is worth one exchange: a lost answer is not found again, and asking again ends what the first one made.

        Raises:
            Refused: `not_found`, the code is unknown, used or too old.
        """

    def read_account(self, *, timeout_seconds: float) -> ProviderAccount:
        """The account; what the key may not see of it is None.

        Raises:
            Refused: `credentials_rejected`, the key is no key of this provider, or may not act for this account.
        """

    def may(self, permission: Permission, *, key: str, timeout_seconds: float) -> bool:
        """Whether the key has this permission. Asked so that nothing changes, whatever the answer.

        Raises:
            Refused: `credentials_rejected`, the key itself does not work.
        """

    def add_endpoint(self, url: str, *, key: str, timeout_seconds: float) -> MessageEndpoint:
        """Have messages sent to `url`. Asking again with the same `key` answers the same endpoint.

        Raises:
            Refused: the provider does not take this address, or has too many.
        """

    def remove_endpoints(self, url: str, *, but: str, key: str, timeout_seconds: float) -> int:
        """Remove every other endpoint for this very address; how many there were."""

    def remove_endpoint(self, ref: str, *, key: str, timeout_seconds: float) -> None:
        """Remove this endpoint; one that is gone is removed."""

    def let_go(self, account: str, *, key: str, timeout_seconds: float) -> None:
        """Our platform acts for this account no longer; one for which it does not is let go.

        Raises:
            Refused: `credentials_rejected`, the provider does not know our platform; the account is still connected.
        """

    def try_authorization(self, amount: Money, *, key: str, timeout_seconds: float) -> Observed:
        """Reserve `amount` on the provider's own test card and release it; what was true in between.

        Only in test mode: no test card works in live mode. Asking again with the same `key` reserves nothing more.

        Raises:
            Refused: the account cannot reserve an amount; `reason` says why.
        """

    def try_page(self, *, key: str, timeout_seconds: float) -> None:
        """Open what a page of ours would show, look at it as a payer's browser would, and give it back.

        Nothing is reserved and no card is asked. Asking again with the same `key` opens nothing more.

        Raises:
            Refused: `credentials_rejected`, the key for browsers is none, or is another account's.
        """

    def close(self) -> None:
        """Give the connections back."""


class SetupFactory(Protocol):
    """Makes the look from a configuration that is not stored yet."""

    def __call__(self, configuration: Mapping[str, Any], *, livemode: bool) -> ProviderSetup:
        """Raises KeyRejected: the key cannot work."""


@dataclass(frozen=True, slots=True)
class MethodOffer:
    """A way to pay, by the name people know, and whether payers are offered it.

    `cannot_reserve`: it takes money at once or not at all; `other_terms`: it could reserve, but for another time.
    """

    name: str
    answer: Literal["offered", "cannot_reserve", "other_terms"]


class Platform(Protocol):
    """The operator's own account at a provider, which merchants may let act for theirs.

    `can_ask`: their holders can be sent to the provider to be asked. `hears`: messages of connected accounts reach us.
    `fee_basis_points`: the operator's part of what is taken, in hundredths of a percent. `publishable_key`: its key for
    browsers, empty where pages of ours are not offered to connected accounts.
    """

    @property
    def livemode(self) -> bool: ...
    @property
    def can_ask(self) -> bool: ...
    @property
    def hears(self) -> bool: ...
    @property
    def fee_basis_points(self) -> int: ...
    @property
    def publishable_key(self) -> str: ...

    def authorize_url(self, *, state: str, redirect_uri: str) -> str:
        """Where an account's holder is asked; they come back to `redirect_uri` with `state` and a code, or an error."""

    def read_event(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> ProviderEvent:
        """As `PaymentProvider.read_event`, for a message of any connected account: its `account` is always said.

        Raises:
            EventRejected: not to be believed; `reason` says why.
        """


@dataclass(frozen=True, slots=True)
class Onboarding:
    """How accounts of one provider are connected. Entries of `integrations.registry.PAYMENT_SETUPS`.

    Args:
        keys_page: where a merchant makes a key, by the address of the provider's interface and the mode.
        check_publishable: raises KeyRejected for what cannot be a key for browsers in that mode.
        page_permissions: what a key must be allowed beyond `permissions` where the payment page is ours.
        platform: the operator's own, where there is one.
    """

    look: SetupFactory
    permissions: tuple[Permission, ...]
    keys_page: Callable[[str, bool], str]
    check_publishable: Callable[[str, bool], None]
    page_permissions: tuple[Permission, ...] = ()
    methods: tuple[MethodOffer, ...] = ()
    platform: Platform | None = None


class ProviderFactory(Protocol):
    """Makes a merchant's provider from its sealed configuration (`merchants.Connection.configuration`).

    Entries of `integrations.registry.PAYMENT_PROVIDERS`. Cheap and without network.
    """

    def __call__(self, configuration: Mapping[str, Any], *, livemode: bool) -> PaymentProvider: ...
