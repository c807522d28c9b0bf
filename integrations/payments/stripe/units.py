"""Our minor units and Stripe's (https://docs.stripe.com/currencies#special-cases)."""

from __future__ import annotations

from typing import Final

from groupbook.kit.errors import Refused
from groupbook.kit.money import Money, exponent

# No decimals at heart, two on the wire; and three decimals, of which the last is 0.
_SENT_IN_HUNDREDTHS: Final = frozenset({"ISK", "UGX"})
_THREE_DECIMALS: Final = 3


def to_stripe(amount: Money) -> int:
    """Our minor units as Stripe's.

    Raises:
        Refused: the amount cannot be written in Stripe's units.
    """
    if amount.currency in _SENT_IN_HUNDREDTHS:
        return amount.minor * 100
    if exponent(amount.currency) == _THREE_DECIMALS and amount.minor % 10:
        raise Refused("amount_not_representable", amount=amount.minor, currency=amount.currency)
    return amount.minor


def from_stripe(minor: int, currency: str) -> Money:
    code = currency.upper()
    return Money(minor // 100 if code in _SENT_IN_HUNDREDTHS else minor, code)


def in_figures(amount: Money) -> str:
    """`33.34 EUR`: for the one line of text that Stripe's page shows above its button, in any language."""
    digits = exponent(amount.currency)
    whole, part = divmod(amount.minor, 10**digits)
    return f"{whole}.{part:0{digits}} {amount.currency}" if digits else f"{whole} {amount.currency}"
