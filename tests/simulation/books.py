"""The outside's own books, added up from its effects: what bank and merchant would swear to, whatever we believe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from groupbook.bookings.domain import authorization_seconds_min
from tests.simulation.outcome import Effect


@dataclass(slots=True)
class Paid:
    """One attempt at the provider."""

    consent: int = 0  # the most that a page ever showed its payer
    amount: int = 0
    is_live: bool = False  # the bank keeps the money: authorized, not captured, not released
    authorized_at: datetime | None = None
    capture_before: datetime | None = None
    ended_at: datetime | None = None
    has_expired_by_itself: bool = False
    captured: int = 0
    captured_by_us: int = 0
    refunded: dict[UUID, int] = field(default_factory=dict)
    returned: dict[UUID, int] = field(default_factory=dict)  # refunds that came back: the merchant has it again
    lost: int = 0  # taken back by the payer's bank
    dispute: str = "none"  # what the payer's bank says, and since when
    disputed_at: datetime | None = None

    @property
    def is_brief(self) -> bool:
        """Its bank promised less than the card schemes do: it may lapse while the group is still collecting."""
        if self.authorized_at is None or self.capture_before is None:
            return False
        return (self.capture_before - self.authorized_at).total_seconds() < authorization_seconds_min

    @property
    def net(self) -> int:
        return self.captured - sum(self.refunded.values()) - self.lost


_DISPUTES: Final = {"disputed": "open", "dispute_won": "won", "dispute_lost": "lost"}


@dataclass(slots=True)
class Sold:
    """One order at the merchant's."""

    total: int = 0
    is_live: bool = False
    was_live: bool = False
    is_revoked: bool = False  # the merchant took its yes back by itself, before it had sent the tickets


class Books:
    """Everything that ever had an effect outside.

    `twice` names the first key that had two effects.
    """

    def __init__(self) -> None:
        self.paid: dict[UUID, Paid] = {}
        self.held: dict[str, bool] = {}
        self.sold: dict[str, Sold] = {}
        self.keys: Counter[tuple[str, str]] = Counter()
        self.twice: str | None = None

    def add(self, effect: Effect) -> None:
        if effect.key is not None:
            mark = (effect.what, effect.key)
            self.keys[mark] += 1
            if self.keys[mark] > 1:
                self.twice = self.twice or f"{effect.what} {effect.key}"
        if effect.side == "provider":
            self._pay(effect)
        else:
            self._sell(effect)

    def attempt(self, id: UUID) -> Paid:
        return self.paid.get(id) or self.paid.setdefault(id, Paid())

    def _pay(self, effect: Effect) -> None:
        what = effect.what
        if what in ("refunded", "refund_failed"):
            refund, attempt = effect.subject, effect.of
            if isinstance(refund, UUID) and isinstance(attempt, UUID):
                given = self.attempt(attempt).refunded
                if what == "refunded":
                    given[refund] = given.get(refund, 0) + effect.minor
                else:
                    self.attempt(attempt).returned[refund] = given.pop(refund, 0)
            return
        if not isinstance(effect.subject, UUID):
            return
        paid = self.attempt(effect.subject)
        if what in ("opened", "saved"):
            paid.consent = max(paid.consent, effect.minor)
        elif what == "authorized":
            paid.is_live, paid.amount = True, effect.minor
            paid.authorized_at, paid.capture_before = effect.at, effect.capture_before
        elif what == "captured":
            self._end(paid, effect.at)
            paid.captured += effect.minor
            paid.captured_by_us += effect.minor if effect.key is not None else 0
        elif what in ("voided", "lapsed", "closed"):
            self._end(paid, effect.at)
        elif what in _DISPUTES:
            paid.dispute, paid.disputed_at = _DISPUTES[what], effect.at
            if what == "dispute_lost":
                paid.lost = max(0, paid.net)
        elif what == "expired":
            paid.has_expired_by_itself = paid.is_live
            self._end(paid, effect.at)

    def _end(self, paid: Paid, at: datetime) -> None:
        if paid.is_live:
            paid.is_live, paid.ended_at = False, at

    def _sell(self, effect: Effect) -> None:
        our_ref, what = str(effect.subject), effect.what
        if what in ("held", "extended"):
            self.held[our_ref] = True
        elif what in ("released", "expired"):
            self.held[our_ref] = False
        elif what == "ordered":
            self.sold[our_ref] = Sold(effect.minor, is_live=True, was_live=True)
        elif what in ("canceled", "revoked"):
            sold = self.sold.setdefault(our_ref, Sold())
            sold.is_live, sold.is_revoked = False, what == "revoked"
        elif what == "amended" and effect.minor:  # no total: the price is what it was
            self.sold[str(effect.of or our_ref)].total = effect.minor
