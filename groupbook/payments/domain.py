"""Values and pure decisions about money owed by payers: no database, no clock, no network.

Two machines, each a table `(state, event) -> state`. A pair that is not in the table is refused and nothing is
written. What the provider shows is the truth about *its* effects, so every `seen_…` event has an answer in every
state; what we asked for (`…_asked`) is legal only where the table says so.

    attempt   opening? -> open -> action -> authorized -> capturing? -> captured
              declined (the page is still open), closing?, canceled, expired, failed, orphan
    portion   open -> authorizing -> authorized -> capturing -> captured -> part_refunded -> refunded
              declined, expired (payable again), short -> covered, voiding -> voided, waived

A state marked `?` is unknown by nature: an outside call is owed or under way, and only reading the provider leaves it.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid      portion_too_small, portion_currency
    ├── NotFound     portion_not_found, attempt_not_found, refund_not_found
    ├── Forbidden    not_your_portion
    ├── Conflict     portion_not_payable, illegal_step, refund_too_large, authorization_too_old
    ├── TooMany      too_many_attempts
    └── InvariantBroken  parts_do_not_sum, ledger_unbalanced
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from groupbook.kit.errors import Conflict, Forbidden, Invalid, InvariantBroken, NotFound, TooMany
from groupbook.kit.ids import AttemptId, PortionId, RefundId
from groupbook.kit.money import Money, total

attempts_per_day_max: Final = 5  # payments.md 2.3: DECLINED -> AUTHORIZING at most five times a day
capture_margin_seconds: Final = 600  # I10: no capture is sent this close to the end of the authorization
page_margin_seconds: Final = 120  # a page that closes sooner than this is not worth sending somebody to
portions_per_reference_max: Final = 60


class PortionTooSmall(Invalid):
    code = "portion_too_small"


class PortionCurrency(Invalid):
    code = "portion_currency"


class PortionNotFound(NotFound):
    code = "portion_not_found"


class AttemptNotFound(NotFound):
    code = "attempt_not_found"


class RefundNotFound(NotFound):
    code = "refund_not_found"


class NotYourPortion(Forbidden):
    code = "not_your_portion"


class PortionNotPayable(Conflict):
    code = "portion_not_payable"


class IllegalStep(Conflict):
    code = "illegal_step"


class RefundTooLarge(Conflict):
    code = "refund_too_large"


class AuthorizationTooOld(Conflict):
    code = "authorization_too_old"


class TooManyAttempts(TooMany):
    code = "too_many_attempts"


class PartsDoNotSum(InvariantBroken):
    code = "parts_do_not_sum"


class LedgerUnbalanced(InvariantBroken):
    code = "ledger_unbalanced"


# --- the attempt: one try to get one payer's authorization ------------------------------------------------------------


class AttemptState(StrEnum):
    OPENING = "opening"
    OPEN = "open"
    ACTION = "action"
    DECLINED = "declined"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    CLOSING = "closing"
    CANCELED = "canceled"
    EXPIRED = "expired"
    FAILED = "failed"
    ORPHAN = "orphan"


class AttemptEvent(StrEnum):
    PAGE_OPENED = "page_opened"
    PAGE_REFUSED = "page_refused"
    CLOSE_ASKED = "close_asked"
    CAPTURE_ASKED = "capture_asked"
    CAPTURE_REFUSED = "capture_refused"
    NEVER_LANDED = "never_landed"  # the second look found nothing after the longest time a call can be under way
    SEEN_ABSENT = "seen_absent"
    SEEN_OPEN = "seen_open"
    SEEN_ACTION = "seen_action"
    SEEN_DECLINED = "seen_declined"
    SEEN_AUTHORIZED = "seen_authorized"
    SEEN_CAPTURED = "seen_captured"
    SEEN_CANCELED = "seen_canceled"
    SEEN_EXPIRED = "seen_expired"


def _attempt_table() -> Mapping[tuple[AttemptState, AttemptEvent], AttemptState]:
    s, e = AttemptState, AttemptEvent
    table: dict[tuple[AttemptState, AttemptEvent], AttemptState] = {}

    def row(state: AttemptState, **answers: AttemptState) -> None:
        for event, target in answers.items():
            table[state, AttemptEvent(event)] = target

    looking: dict[str, AttemptState] = {
        "seen_action": s.ACTION,
        "seen_declined": s.DECLINED,
        "seen_authorized": s.AUTHORIZED,
        "seen_captured": s.CAPTURED,
        "seen_canceled": s.CANCELED,
        "seen_expired": s.EXPIRED,
        "close_asked": s.CLOSING,
    }
    row(s.OPENING, page_opened=s.OPEN, page_refused=s.FAILED, seen_absent=s.OPENING, seen_open=s.OPEN, **looking)
    for state in (s.OPEN, s.ACTION, s.DECLINED):
        # A page on which the bank said no is still a page: the same payer may type another card there.
        kept = s.DECLINED if state is s.DECLINED else s.OPEN
        row(state, page_opened=state, seen_absent=state, seen_open=kept, **looking)

    # An authorization never moves backwards because an older reading arrives late (I9).
    for state in (s.AUTHORIZED, s.CAPTURING, s.CAPTURED):
        for event in (e.PAGE_OPENED, e.SEEN_ABSENT, e.SEEN_OPEN, e.SEEN_ACTION, e.SEEN_DECLINED, e.SEEN_AUTHORIZED):
            table[state, event] = state
    row(
        s.AUTHORIZED,
        seen_captured=s.CAPTURED,
        seen_canceled=s.CANCELED,
        seen_expired=s.EXPIRED,
        close_asked=s.CLOSING,
        capture_asked=s.CAPTURING,
    )
    # A refused capture may leave a live authorization behind: it is voided, never left to lapse (H12).
    row(
        s.CAPTURING,
        seen_captured=s.CAPTURED,
        seen_canceled=s.CANCELED,
        seen_expired=s.EXPIRED,
        capture_refused=s.CLOSING,
    )
    row(s.CAPTURED, seen_captured=s.CAPTURED, seen_canceled=s.CAPTURED, seen_expired=s.CAPTURED)

    for event in (e.PAGE_OPENED, e.CLOSE_ASKED, e.CAPTURE_REFUSED, e.SEEN_ABSENT, e.SEEN_OPEN, e.SEEN_ACTION):
        table[s.CLOSING, event] = s.CLOSING
    row(
        s.CLOSING,
        page_refused=s.CANCELED,
        never_landed=s.CANCELED,
        seen_declined=s.CLOSING,
        seen_authorized=s.CLOSING,
        seen_captured=s.CAPTURED,
        seen_canceled=s.CANCELED,
        seen_expired=s.EXPIRED,
    )
    # A zombie: what we had given up lands after all. It is an orphan and gets closed.
    for state in (s.CANCELED, s.EXPIRED, s.FAILED, s.ORPHAN):
        for event in (e.PAGE_OPENED, e.SEEN_OPEN, e.SEEN_ACTION, e.SEEN_DECLINED, e.SEEN_AUTHORIZED):
            table[state, event] = s.ORPHAN
        row(state, close_asked=state, page_refused=state, seen_absent=state, seen_captured=s.CAPTURED)
        row(state, capture_refused=state, never_landed=state, seen_canceled=s.CANCELED, seen_expired=s.EXPIRED)
    table[s.ORPHAN, e.CLOSE_ASKED] = s.CLOSING
    return MappingProxyType(table)


ATTEMPT_TABLE: Final = _attempt_table()
ATTEMPT_OVER: Final = frozenset(
    {AttemptState.CAPTURED, AttemptState.CANCELED, AttemptState.EXPIRED, AttemptState.FAILED}
)
ATTEMPT_PAYABLE: Final = frozenset(
    {AttemptState.OPENING, AttemptState.OPEN, AttemptState.ACTION, AttemptState.DECLINED}
)


def advance_attempt(state: AttemptState, event: AttemptEvent) -> AttemptState:
    """The attempt's next state.

    Raises:
        IllegalStep: the table does not allow the event here; nothing may be written.
    """
    try:
        return ATTEMPT_TABLE[state, event]
    except KeyError:
        raise IllegalStep(machine="attempt", state=state.value, event=event.value) from None


# --- the portion: what one payer owes ---------------------------------------------------------------------------------


class PortionState(StrEnum):
    OPEN = "open"
    AUTHORIZING = "authorizing"
    DECLINED = "declined"
    EXPIRED = "expired"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    SHORT = "short"
    COVERED = "covered"
    PART_REFUNDED = "part_refunded"
    REFUNDED = "refunded"
    VOIDING = "voiding"
    VOIDED = "voided"
    WAIVED = "waived"


class PortionEvent(StrEnum):
    ATTEMPT_STARTED = "attempt_started"
    ATTEMPT_AUTHORIZED = "attempt_authorized"
    ATTEMPT_DECLINED = "attempt_declined"
    ATTEMPT_ENDED = "attempt_ended"  # the page closed without an authorization
    AUTHORIZATION_LAPSED = "authorization_lapsed"
    PAYER_CHANGED = "payer_changed"
    CAPTURE_ASKED = "capture_asked"
    ATTEMPT_CAPTURED = "attempt_captured"
    CAPTURE_REFUSED = "capture_refused"
    COVERED = "covered"
    VOID_ASKED = "void_asked"
    ALL_CLOSED = "all_closed"
    REFUNDED_NOTHING = "refunded_nothing"
    REFUNDED_PART = "refunded_part"
    REFUNDED_WHOLE = "refunded_whole"


def _portion_table() -> Mapping[tuple[PortionState, PortionEvent], PortionState]:
    s = PortionState
    table: dict[tuple[PortionState, PortionEvent], PortionState] = {}

    def row(state: PortionState, **answers: PortionState) -> None:
        for event, target in answers.items():
            table[state, PortionEvent(event)] = target

    for state in (s.OPEN, s.AUTHORIZING, s.DECLINED, s.EXPIRED):
        row(
            state,
            attempt_started=s.AUTHORIZING,
            attempt_authorized=s.AUTHORIZED,
            attempt_declined=s.DECLINED,
            attempt_ended=s.OPEN if state is s.AUTHORIZING else state,
            payer_changed=s.OPEN,
            capture_asked=s.SHORT,  # the order is confirmed and this authorization went away meanwhile
            void_asked=s.VOIDING,
        )
    row(
        s.AUTHORIZED,
        attempt_authorized=s.AUTHORIZED,
        authorization_lapsed=s.EXPIRED,
        capture_asked=s.CAPTURING,
        void_asked=s.VOIDING,
    )
    # Before the freeze a lapsed authorization is asked for again; after it, it is a shortfall (the recovery ladder).
    row(s.CAPTURING, attempt_captured=s.CAPTURED, authorization_lapsed=s.SHORT, capture_refused=s.SHORT)
    row(s.SHORT, attempt_captured=s.CAPTURED, covered=s.COVERED, void_asked=s.VOIDING)
    for state in (s.CAPTURED, s.PART_REFUNDED, s.REFUNDED):
        row(state, refunded_nothing=s.CAPTURED, refunded_part=s.PART_REFUNDED, refunded_whole=s.REFUNDED)
    row(s.VOIDING, void_asked=s.VOIDING, all_closed=s.VOIDED, attempt_ended=s.VOIDING)
    row(s.VOIDED, void_asked=s.VOIDED, all_closed=s.VOIDED)
    row(s.WAIVED, void_asked=s.WAIVED, capture_asked=s.WAIVED)
    return MappingProxyType(table)


PORTION_TABLE: Final = _portion_table()
PAYABLE: Final = frozenset({PortionState.OPEN, PortionState.AUTHORIZING, PortionState.DECLINED, PortionState.EXPIRED})
SETTLED: Final = frozenset({PortionState.AUTHORIZED, PortionState.WAIVED})  # counts towards "everybody is in"
TAKEN: Final = frozenset({PortionState.CAPTURED, PortionState.WAIVED, PortionState.COVERED})
CLOSED: Final = frozenset({PortionState.VOIDED, PortionState.WAIVED})


def advance_portion(state: PortionState, event: PortionEvent) -> PortionState:
    """The portion's next state.

    Raises:
        IllegalStep: the table does not allow the event here; nothing may be written.
    """
    try:
        return PORTION_TABLE[state, event]
    except KeyError:
        raise IllegalStep(machine="portion", state=state.value, event=event.value) from None


# --- refunds ----------------------------------------------------------------------------------------------------------


class RefundState(StrEnum):
    ASKED = "asked"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


REFUND_TABLE: Final[Mapping[tuple[RefundState, RefundState], RefundState]] = MappingProxyType(
    {
        # (what we believe, what the provider shows) -> what we believe next; a success may still fail for 30 days (C6).
        (RefundState.ASKED, RefundState.PENDING): RefundState.PENDING,
        (RefundState.ASKED, RefundState.SUCCEEDED): RefundState.SUCCEEDED,
        (RefundState.ASKED, RefundState.FAILED): RefundState.FAILED,
        (RefundState.PENDING, RefundState.PENDING): RefundState.PENDING,
        (RefundState.PENDING, RefundState.SUCCEEDED): RefundState.SUCCEEDED,
        (RefundState.PENDING, RefundState.FAILED): RefundState.FAILED,
        (RefundState.SUCCEEDED, RefundState.PENDING): RefundState.SUCCEEDED,
        (RefundState.SUCCEEDED, RefundState.SUCCEEDED): RefundState.SUCCEEDED,
        (RefundState.SUCCEEDED, RefundState.FAILED): RefundState.FAILED,
        (RefundState.FAILED, RefundState.PENDING): RefundState.FAILED,
        (RefundState.FAILED, RefundState.SUCCEEDED): RefundState.FAILED,
        (RefundState.FAILED, RefundState.FAILED): RefundState.FAILED,
    }
)


def refund_event(*, captured: Money, refunded: Money) -> PortionEvent:
    """What the sum of refunds means for the portion."""
    if refunded.minor <= 0:
        return PortionEvent.REFUNDED_NOTHING
    return PortionEvent.REFUNDED_WHOLE if refunded >= captured else PortionEvent.REFUNDED_PART


# --- values -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Covered:
    """A line, or a part of one, that a portion pays: `line` is the caller's id of the quote line."""

    line: UUID
    amount: Money


@dataclass(frozen=True, slots=True)
class PortionDraft:
    """A portion to be opened: whose travel, who pays, how much. `covers` lists lines that sum to it, or nothing."""

    traveler: UUID
    payer: UUID
    amount: Money
    covers: tuple[Covered, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """What may be kept of a card: enough to recognize it, nothing to pay with."""

    brand: str
    last4: str


@dataclass(frozen=True, slots=True)
class PortionView:
    """A portion as callers may read it. `card` and `decline_reason` are for its payer's eyes only (P6)."""

    id: PortionId
    reference: UUID
    traveler: UUID
    payer: UUID
    amount: Money
    state: PortionState
    captured: Money
    refunded: Money
    attempt_id: AttemptId | None = None
    decline_reason: str | None = None
    capture_before: datetime | None = None
    observed_at: datetime | None = None
    card: Card | None = None
    covers: tuple[Covered, ...] = ()
    version: int = 0

    @property
    def is_payable(self) -> bool:
        return self.state in PAYABLE

    @property
    def is_settled(self) -> bool:
        """Counts towards "everybody is in": authorized, or nothing to pay."""
        return self.state in SETTLED


@dataclass(frozen=True, slots=True)
class RefundView:
    id: RefundId
    portion_id: PortionId
    amount: Money
    state: RefundState
    reason: str


@dataclass(frozen=True, slots=True)
class Statement:
    """The money of one reference, read from the ledger (not from the portions, so that the two can be compared).

    `captured - refunded + receivable == total` once the reference is billed; `authorized` is a memo, nobody's money.
    """

    reference: UUID
    total: Money
    authorized: Money
    captured: Money
    refunded: Money
    receivable: Money
    balances: Mapping[str, Money] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_conserved(self) -> bool:
        return self.captured - self.refunded + self.receivable == self.total - self.refunded

    @property
    def net(self) -> Money:
        return self.captured - self.refunded


# --- amounts ----------------------------------------------------------------------------------------------------------

# The least a card may be asked for, in minor units: a provider fact (payments.md A8; docs.stripe.com/currencies), and
# it applies to each portion. Kept here because the split must know it before a provider is asked.
_LEAST_MINOR: Final[Mapping[str, int]] = MappingProxyType(
    {"EUR": 50, "USD": 50, "GBP": 30, "CHF": 50, "CAD": 50, "AUD": 50, "NZD": 50, "SGD": 50, "BRL": 50, "INR": 50}
    | {"DKK": 250, "NOK": 300, "SEK": 300, "PLN": 200, "RON": 200, "CZK": 1500, "HUF": 17_500, "BGN": 100}
    | {"AED": 200, "MYR": 200, "HKD": 400, "MXN": 1000, "THB": 1000, "JPY": 50, "KRW": 50, "ISK": 50, "TND": 500}
)


def least_payable(currency: str) -> Money:
    """The smallest portion a card may be asked for; zero is always allowed (it is waived)."""
    return Money(_LEAST_MINOR.get(currency, 50), currency)


def check_drafts(whole: Money, drafts: Sequence[PortionDraft]) -> None:
    """A settlement's portions must be payable one by one and sum to the whole exactly.

    Raises:
        PortionTooSmall: more than nothing, less than a card may be asked for.
        PortionCurrency: one currency per settlement.
        PartsDoNotSum: the parts are not the whole (P2), or a portion's lines are not its amount.
    """
    least = least_payable(whole.currency)
    if len(drafts) > portions_per_reference_max:
        raise Invalid(portions=len(drafts), portions_max=portions_per_reference_max)
    for draft in drafts:
        if draft.amount.currency != whole.currency:
            raise PortionCurrency(currency=draft.amount.currency, expected=whole.currency)
        if draft.amount.minor < 0 or 0 < draft.amount.minor < least.minor:
            raise PortionTooSmall(amount=draft.amount.minor, least=least.minor, currency=whole.currency)
        if draft.covers and total((part.amount for part in draft.covers), whole.currency) != draft.amount:
            raise PartsDoNotSum(amount=draft.amount.minor)
    parts = total((draft.amount for draft in drafts), whole.currency)
    if parts != whole:
        raise PartsDoNotSum(whole=whole.minor, parts=parts.minor, currency=whole.currency)


def may_capture(capture_before: datetime | None, now: datetime) -> bool:
    """Whether a capture sent now surely arrives inside the authorization (I10)."""
    return capture_before is None or now < capture_before - timedelta(seconds=capture_margin_seconds)


# --- the ledger -------------------------------------------------------------------------------------------------------


class Account(StrEnum):
    """Accounts of one merchant and currency. Debit is positive, credit negative.

    The provider's account is the merchant's own (direct charges), so what is captured is the merchant's at once;
    authorizations are memo accounts beside the balance, as TigerBeetle models two-phase transfers.
    """

    AUTHORIZATION_MEMO = "authorization_memo"
    AUTHORIZATION_CONTRA = "authorization_contra"
    PAYER_RECEIVABLE = "payer_receivable"
    PROVIDER_CLEARING = "provider_clearing"
    MERCHANT_SALES = "merchant_sales"
    REFUNDS = "refunds"
    GUARANTEE_RECEIVABLE = "guarantee_receivable"
    UNEXPECTED = "unexpected"  # money the provider shows and nobody asked for, until it is refunded


class JournalKind(StrEnum):
    AUTHORIZED = "authorized"
    AUTHORIZATION_ENDED = "authorization_ended"
    BILLED = "billed"
    CAPTURED = "captured"
    CAPTURED_UNASKED = "captured_unasked"
    COVERED = "covered"
    REFUNDED = "refunded"
    REFUNDED_UNASKED = "refunded_unasked"
    REFUND_RETURNED = "refund_returned"


_MOVES: Final[Mapping[JournalKind, tuple[Account, Account]]] = MappingProxyType(
    {
        # kind: (debited, credited)
        JournalKind.AUTHORIZED: (Account.AUTHORIZATION_MEMO, Account.AUTHORIZATION_CONTRA),
        JournalKind.AUTHORIZATION_ENDED: (Account.AUTHORIZATION_CONTRA, Account.AUTHORIZATION_MEMO),
        JournalKind.BILLED: (Account.PAYER_RECEIVABLE, Account.MERCHANT_SALES),
        JournalKind.CAPTURED: (Account.PROVIDER_CLEARING, Account.PAYER_RECEIVABLE),
        JournalKind.CAPTURED_UNASKED: (Account.PROVIDER_CLEARING, Account.UNEXPECTED),
        JournalKind.COVERED: (Account.GUARANTEE_RECEIVABLE, Account.PAYER_RECEIVABLE),
        JournalKind.REFUNDED: (Account.REFUNDS, Account.PROVIDER_CLEARING),
        JournalKind.REFUNDED_UNASKED: (Account.UNEXPECTED, Account.PROVIDER_CLEARING),
        JournalKind.REFUND_RETURNED: (Account.PROVIDER_CLEARING, Account.REFUNDS),
    }
)


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of a journal entry: debit positive, credit negative, never zero."""

    account: Account
    amount: Money


def postings(kind: JournalKind, amount: Money) -> tuple[Posting, Posting]:
    """The two sides of one movement of `amount`.

    Raises:
        LedgerUnbalanced: nothing or less than nothing is not a movement.
    """
    if amount.minor <= 0:
        raise LedgerUnbalanced(kind=kind.value, amount=amount.minor)
    debited, credited = _MOVES[kind]
    return Posting(debited, amount), Posting(credited, -amount)


def balances(entries: Iterable[Posting], currency: str) -> Mapping[Account, Money]:
    """The sum per account; every account present, so that a missing one reads as zero."""
    sums = dict.fromkeys(Account, 0)
    for entry in entries:
        sums[entry.account] += entry.amount.minor
    return MappingProxyType({account: Money(minor, currency) for account, minor in sums.items()})


def statement(reference: UUID, currency: str, sums: Mapping[Account, Money]) -> Statement:
    """What the ledger's balances say about one reference.

    Raises:
        LedgerUnbalanced: the balances do not sum to zero; the database should have refused that.
    """
    if total(sums.values(), currency).minor != 0:
        raise LedgerUnbalanced(reference=str(reference))
    refunded = sums[Account.REFUNDS]
    return Statement(
        reference=reference,
        total=-sums[Account.MERCHANT_SALES],
        authorized=sums[Account.AUTHORIZATION_MEMO],
        captured=sums[Account.PROVIDER_CLEARING] + refunded,
        refunded=refunded,
        receivable=sums[Account.PAYER_RECEIVABLE] + sums[Account.GUARANTEE_RECEIVABLE],
        balances=MappingProxyType({account.value: amount for account, amount in sums.items() if amount}),
    )
