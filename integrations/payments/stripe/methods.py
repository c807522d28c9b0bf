"""Which methods a payer is offered, and why not the others.

Everybody's money must be reserved before anybody's is taken, so only methods that can reserve an amount come into
question (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method). Of those, cards with their wallets and
Link share one window of seven days; the others have windows and charges of their own.
"""

from __future__ import annotations

from typing import Final, Literal

from groupbook.payments.ports import MethodOffer

# What a session is limited to: a filter on what the account has switched on
# (https://docs.stripe.com/api/checkout/sessions/create). Apple Pay and Google Pay are cards there.
TYPES: Final[tuple[Literal["card", "link"], ...]] = ("card", "link")
# A charge of Link does not say until when it may be captured; its authorization lasts seven days as a card's does
# (the same page). Only where the charge itself is silent.
silent_window_seconds: Final = 7 * 86_400

_OFFERED: Final = ("Visa, Mastercard, American Express …", "Apple Pay", "Google Pay", "Link")
_CANNOT_RESERVE: Final = (
    "iDEAL", "Bancontact", "SEPA", "EPS", "BLIK", "Przelewy24", "TWINT", "Swish", "Multibanco", "MB WAY", "Pix",
    "Alipay", "WeChat Pay", "ACH, Bacs, BECS",
)  # fmt: skip
_OTHER_TERMS: Final = ("PayPal", "Klarna", "Afterpay / Clearpay", "Affirm", "Amazon Pay", "Revolut Pay", "MobilePay")
METHODS: Final = (
    *(MethodOffer(name, "offered") for name in _OFFERED),
    *(MethodOffer(name, "cannot_reserve") for name in _CANNOT_RESERVE),
    *(MethodOffer(name, "other_terms") for name in _OTHER_TERMS),
)
