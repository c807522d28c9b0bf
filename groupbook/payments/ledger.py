"""The ledger: double entry, pure. What moved, between which accounts, and what the balances say.

Every movement is one journal entry with two sides that sum to zero in one currency. Nothing here is ever changed or
deleted: a mistake is set right by another entry. The database refuses what is not so (migration 0005): an entry that
does not balance per currency at commit, and any update or delete.

Payments are direct charges on the merchant's own account at the provider, so what is captured is the merchant's money
at once: there is no transfer, no account of ours and no application fee to keep books of. Authorizations are nobody's
money; they are kept on a pair of memo accounts beside the balance, as two-phase transfers are elsewhere.

    kind                   debited                 credited
    authorized             authorization_memo      authorization_contra     a bank keeps money for us
    authorization_ended    authorization_contra    authorization_memo       captured, released or lapsed
    billed                 payer_receivable        merchant_sales           the order is confirmed; the payer owes
    unbilled               merchant_sales          payer_receivable         … and was undone before the payer paid
    captured               provider_clearing       payer_receivable         the payer's money is at the provider
    covered                guarantee_receivable    payer_receivable         short: the merchant waits for the rest
    cover_returned         payer_receivable        guarantee_receivable     … and the order was taken back
    refunded               refunds                 provider_clearing        money on its way back to the payer
    refund_returned        provider_clearing       refunds                  … and it came back (a card that is gone)
    refunded_elsewhere     refunds                 paid_elsewhere           paid back outside the provider
    dispute_lost           disputes_lost           provider_clearing        the payer's bank took it back
    captured_unasked       provider_clearing       unexpected               money nobody asked for, until it is refunded
    refunded_unasked       unexpected              provider_clearing        … by us, or by a dispute that is lost
    unasked_paid_elsewhere unexpected              paid_elsewhere           … paid back outside the provider
    unasked_returned       provider_clearing       unexpected

Errors: InvariantBroken ── ledger_unbalanced
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from groupbook.kit.errors import InvariantBroken
from groupbook.kit.money import Money, total


class LedgerUnbalanced(InvariantBroken):
    code = "ledger_unbalanced"


class Account(StrEnum):
    """Accounts of one merchant and currency. Debit is positive, credit negative."""

    AUTHORIZATION_MEMO = "authorization_memo"
    AUTHORIZATION_CONTRA = "authorization_contra"
    PAYER_RECEIVABLE = "payer_receivable"
    PROVIDER_CLEARING = "provider_clearing"  # what the merchant's account at the provider kept of our payments
    MERCHANT_SALES = "merchant_sales"
    REFUNDS = "refunds"
    PAID_ELSEWHERE = "paid_elsewhere"  # refunds the merchant paid from another pocket
    GUARANTEE_RECEIVABLE = "guarantee_receivable"  # shortfalls that the merchant took upon itself
    DISPUTES_LOST = "disputes_lost"
    UNEXPECTED = "unexpected"  # money the provider shows and nobody asked for, until it is refunded


class JournalKind(StrEnum):
    AUTHORIZED = "authorized"
    AUTHORIZATION_ENDED = "authorization_ended"
    BILLED = "billed"
    UNBILLED = "unbilled"
    CAPTURED = "captured"
    CAPTURED_UNASKED = "captured_unasked"
    COVERED = "covered"
    COVER_RETURNED = "cover_returned"
    REFUNDED = "refunded"
    REFUNDED_ELSEWHERE = "refunded_elsewhere"
    REFUNDED_UNASKED = "refunded_unasked"
    REFUND_RETURNED = "refund_returned"
    UNASKED_PAID_ELSEWHERE = "unasked_paid_elsewhere"
    UNASKED_RETURNED = "unasked_returned"
    DISPUTE_LOST = "dispute_lost"


_MOVES: Final[Mapping[JournalKind, tuple[Account, Account]]] = MappingProxyType(
    {
        # kind: (debited, credited)
        JournalKind.AUTHORIZED: (Account.AUTHORIZATION_MEMO, Account.AUTHORIZATION_CONTRA),
        JournalKind.AUTHORIZATION_ENDED: (Account.AUTHORIZATION_CONTRA, Account.AUTHORIZATION_MEMO),
        JournalKind.BILLED: (Account.PAYER_RECEIVABLE, Account.MERCHANT_SALES),
        JournalKind.CAPTURED: (Account.PROVIDER_CLEARING, Account.PAYER_RECEIVABLE),
        JournalKind.CAPTURED_UNASKED: (Account.PROVIDER_CLEARING, Account.UNEXPECTED),
        JournalKind.COVERED: (Account.GUARANTEE_RECEIVABLE, Account.PAYER_RECEIVABLE),
        JournalKind.COVER_RETURNED: (Account.PAYER_RECEIVABLE, Account.GUARANTEE_RECEIVABLE),
        JournalKind.UNBILLED: (Account.MERCHANT_SALES, Account.PAYER_RECEIVABLE),
        JournalKind.REFUNDED: (Account.REFUNDS, Account.PROVIDER_CLEARING),
        JournalKind.REFUNDED_ELSEWHERE: (Account.REFUNDS, Account.PAID_ELSEWHERE),
        JournalKind.REFUNDED_UNASKED: (Account.UNEXPECTED, Account.PROVIDER_CLEARING),
        JournalKind.REFUND_RETURNED: (Account.PROVIDER_CLEARING, Account.REFUNDS),
        JournalKind.UNASKED_PAID_ELSEWHERE: (Account.UNEXPECTED, Account.PAID_ELSEWHERE),
        JournalKind.UNASKED_RETURNED: (Account.PROVIDER_CLEARING, Account.UNEXPECTED),
        JournalKind.DISPUTE_LOST: (Account.DISPUTES_LOST, Account.PROVIDER_CLEARING),
    }
)
MEMO: Final = frozenset({Account.AUTHORIZATION_MEMO, Account.AUTHORIZATION_CONTRA})


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of a journal entry: debit positive, credit negative, never zero."""

    account: Account
    amount: Money


@dataclass(frozen=True, slots=True)
class Statement:
    """The money of one reference, read from the ledger (not from the portions, so that the two can be compared).

    `captured + receivable == total` once the reference is billed (P2); `authorized` is a memo, nobody's money.
    """

    reference: UUID
    total: Money
    authorized: Money
    captured: Money
    refunded: Money
    receivable: Money
    disputed: Money
    balances: Mapping[str, Money] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_conserved(self) -> bool:
        return self.captured + self.receivable == self.total

    @property
    def net(self) -> Money:
        """What the merchant keeps of the payers' money."""
        return self.captured - self.refunded - self.disputed


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
    refunded, disputed = sums[Account.REFUNDS], sums[Account.DISPUTES_LOST]
    at_provider = sums[Account.PROVIDER_CLEARING] + sums[Account.UNEXPECTED]
    return Statement(
        reference=reference,
        total=-sums[Account.MERCHANT_SALES],
        authorized=sums[Account.AUTHORIZATION_MEMO],
        captured=at_provider + refunded + sums[Account.PAID_ELSEWHERE] + disputed,
        refunded=refunded,
        receivable=sums[Account.PAYER_RECEIVABLE] + sums[Account.GUARANTEE_RECEIVABLE],
        disputed=disputed,
        balances=MappingProxyType({account.value: amount for account, amount in sums.items() if amount}),
    )
