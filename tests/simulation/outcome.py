"""What a history is judged by: effects outside, and the violation that ends it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

Side = Literal["provider", "merchant"]


@dataclass(frozen=True, slots=True)
class Effect:
    """Something really happened outside, whoever has heard of it by now.

    Args:
        what: provider: opened, saved, authorized, declined, captured, voided, closed, lapsed (the bank, early),
            expired (by itself), refunded, refund_failed, disputed, dispute_won, dispute_lost.
            merchant: held, extended, released, expired, pending, ordered, canceled, amended.
        subject: the attempt's id, the refund's id, or the merchant's `our_ref`.
        minor: what the page shows (opened, saved), the sum moved, or the order's total.
        key: the idempotency key of our call; None when somebody else did it (a payer, a bank, a dashboard).
        of: the attempt that a refund gives back; the order that an amendment changes.
    """

    side: Side
    what: str
    subject: UUID | str
    at: datetime
    minor: int = 0
    key: str | None = None
    of: UUID | str | None = None
    capture_before: datetime | None = None


class Violation(BaseException):
    """A promise did not hold. Not an Exception: no handler of the production code may swallow it."""

    def __init__(self, invariant: str, what: str, **facts: object) -> None:
        super().__init__(invariant, what)
        self.invariant = invariant
        self.what = what
        self.facts = facts

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{self.invariant}: {self.what}" + (f" ({facts})" if facts else "")
