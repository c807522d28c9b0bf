"""Money: whole minor units of one currency, and the one function that divides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from groupbook.kit.errors import Invalid, InvariantBroken

# ISO 4217 exponents that are not 2. A provider's odd exponents live in its adapter.
_EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
MINOR_MAX = 10**12  # a trillion minor units: far above any trip, far below BIGINT


class CurrencyMismatch(Invalid):
    code = "currency_mismatch"


class AmountOutOfRange(Invalid):
    code = "amount_out_of_range"


class NobodyPays(Invalid):
    code = "nobody_pays"


def exponent(currency: str) -> int:
    """How many decimal digits the currency's minor unit has: EUR 2, JPY 0, TND 3 (ISO 4217)."""
    return _EXPONENTS.get(currency, 2)


@dataclass(frozen=True, order=False)
class Money:
    """`minor` whole minor units (cents, yen) of `currency` (ISO 4217, upper case). Never a float."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if not (len(self.currency) == 3 and self.currency.isascii() and self.currency.isupper()):
            raise Invalid(currency=self.currency)
        if abs(self.minor) > MINOR_MAX:
            raise AmountOutOfRange(amount=self.minor)

    def _same(self, other: Money) -> None:
        if other.currency != self.currency:
            raise CurrencyMismatch(left=self.currency, right=other.currency)

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __mul__(self, times: int) -> Money:
        return Money(self.minor * times, self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.minor < other.minor

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.minor <= other.minor

    def __gt__(self, other: Money) -> bool:
        return other < self

    def __ge__(self, other: Money) -> bool:
        return other <= self

    def __bool__(self) -> bool:
        return self.minor != 0

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(0, currency)


def total(parts: Iterable[Money], currency: str) -> Money:
    """The exact sum; zero of `currency` when there are no parts."""
    amount = Money.zero(currency)
    for part in parts:
        amount = amount + part
    return amount


def split(whole: int, weights: Sequence[int]) -> list[int]:
    """Split a whole number so that the parts sum to it exactly.

    Leftover units go to the largest remainders, earlier members first.

    Args:
        whole: how many units; never negative.
        weights: one non-negative weight per member, in the members' order.
    Raises:
        NobodyPays: every weight is zero.
        InvariantBroken: a negative whole or weight; there is no lawful split of those.
    """
    if whole < 0 or any(weight < 0 for weight in weights):
        raise InvariantBroken(whole=whole, weights=list(weights))
    weight_sum = sum(weights)
    if weight_sum == 0:
        raise NobodyPays(amount=whole)
    shares = [divmod(whole * weight, weight_sum) for weight in weights]
    leftover = whole - sum(floor for floor, _ in shares)
    by_remainder = sorted(range(len(shares)), key=lambda member: (-shares[member][1], member))
    lucky = set(by_remainder[:leftover])
    return [floor + (member in lucky) for member, (floor, _) in enumerate(shares)]


def divide(whole: Money, weights: Sequence[int]) -> list[Money]:
    """`split` of an amount: what the group owes, one part per member, in its currency."""
    return [Money(part, whole.currency) for part in split(whole.minor, weights)]
