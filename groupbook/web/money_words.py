"""What staff and the operator read of the books: accounts, movements, differences. Codes in, sentences out."""

from __future__ import annotations

from typing import Final

from groupbook.kit.i18n import Words
from groupbook.payments import Account, DifferenceKind, JournalKind, RunView


def account_words(account: Account, say: Words) -> str:
    a = Account
    return {
        a.AUTHORIZATION_MEMO: say("Authorized at banks (nobody's money)"),
        a.AUTHORIZATION_CONTRA: say("Authorized at banks, other side"),
        a.PAYER_RECEIVABLE: say("Owed by payers"),
        a.PROVIDER_CLEARING: say("Your account at the provider"),
        a.MERCHANT_SALES: say("Your sales"),
        a.REFUNDS: say("Paid back"),
        a.PAID_ELSEWHERE: say("Paid back outside the provider"),
        a.GUARANTEE_RECEIVABLE: say("Shortfalls you took upon you"),
        a.DISPUTES_LOST: say("Disputes lost"),
        a.UNEXPECTED: say("Money nobody asked for"),
    }[account]


_CREDIT: Final = frozenset(
    {Account.AUTHORIZATION_CONTRA, Account.MERCHANT_SALES, Account.PAID_ELSEWHERE, Account.UNEXPECTED}
)


def on_its_side(account: Account, minor: int) -> int:
    """A balance as people read it: sales are what was sold, though the books have them as a credit, below zero."""
    return -minor if account in _CREDIT else minor


def movement_words(kind: JournalKind, say: Words) -> str:
    k = JournalKind
    return {
        k.AUTHORIZED: say("A bank keeps the money"),
        k.AUTHORIZATION_ENDED: say("The bank no longer keeps it"),
        k.BILLED: say("Sold"),
        k.UNBILLED: say("Sale undone"),
        k.CAPTURED: say("Paid"),
        k.CAPTURED_UNASKED: say("Taken without our asking"),
        k.COVERED: say("Shortfall taken upon you"),
        k.COVER_RETURNED: say("Shortfall undone"),
        k.REFUNDED: say("Paid back"),
        k.REFUNDED_ELSEWHERE: say("Paid back outside the provider"),
        k.REFUNDED_UNASKED: say("Unasked money paid back"),
        k.REFUND_RETURNED: say("A refund came back"),
        k.UNASKED_RETURNED: say("A refund of unasked money came back"),
        k.UNASKED_PAID_ELSEWHERE: say("Unasked money paid back outside the provider"),
        k.DISPUTE_LOST: say("Dispute lost"),
    }[kind]


def difference_words(kind: DifferenceKind, say: Words) -> str:
    """What is wrong, in one sentence."""
    k = DifferenceKind
    return {
        k.UNKNOWN_PAYMENT: say("The provider has a payment that carries our mark and is in none of our books."),
        k.FOREIGN_PAYMENT: say("The provider has a payment that did not come through us."),
        k.CAPTURE_OUTSIDE: say("The provider took money that we did not ask it to take."),
        k.AUTHORIZATION_ALIVE: say("A bank still keeps money that we let go."),
        k.UNKNOWN_REFUND: say("The provider has a refund that carries our mark and is in none of our books."),
        k.REFUND_OUTSIDE: say("Somebody paid money back at the provider, past our books."),
        k.REFUND_ALIVE: say("The provider pays back what we believe it did not."),
        k.DISPUTE_UNSEEN: say("A payer's bank disputes a payment, and nobody told us."),
        k.MISSING_PAYMENT: say("We believe in a payment that the provider does not show."),
        k.AUTHORIZATION_GONE: say("We believe in an authorization that the provider no longer shows."),
        k.MISSING_REFUND: say("We believe in a refund that the provider does not show."),
        k.CAPTURED_AMOUNT: say("The provider took another amount than our books say."),
        k.AUTHORIZED_AMOUNT: say("The bank keeps another amount than our books say."),
        k.REFUND_AMOUNT: say("The provider paid back another amount than our books say."),
    }[kind]


def run_words(run: RunView, say: Words) -> str:
    """How the comparison of a day went."""
    if run.last_error:
        return say("The provider could not be read; it is tried again by itself.")
    if run.finished_at is None:
        return say("Being compared.")
    return say("Compared.")
