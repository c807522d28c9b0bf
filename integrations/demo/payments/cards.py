"""Test cards (docs.stripe.com/testing), and what becomes of a typed number: brand, last four digits, a keyed digest.

A number that is not a test card is refused and forgotten: nobody's real card has any business here.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class TestCard:
    """How a test card behaves. `code` and `decline_code` are what the payment's last error will say."""

    number: str
    brand: str
    label: str
    code: str | None = None
    decline_code: str | None = None
    is_challenged: bool = False
    after: str | None = None  # "dispute", "refund_pending", "refund_fails"


def _declined(number: str, label: str, decline_code: str, *, code: str = "card_declined", **more: Any) -> TestCard:
    return TestCard(number, "visa", label, code, decline_code, **more)


_ALL: Final = (
    TestCard("4242424242424242", "visa", "ok"),
    TestCard("5555555555554444", "mastercard", "ok_mastercard"),
    TestCard("378282246310005", "amex", "ok_amex"),
    TestCard("4000002500003155", "visa", "challenge", is_challenged=True),
    TestCard("4000002760003184", "visa", "challenge_always", is_challenged=True),
    TestCard("4000003800000446", "visa", "challenge_set_up", is_challenged=True),
    _declined("4000000000000002", "declined", "generic_decline"),
    _declined("4000000000009995", "insufficient_funds", "insufficient_funds"),
    _declined("4000000000009987", "lost", "lost_card"),
    _declined("4000000000009979", "stolen", "stolen_card"),
    _declined("4000000000000069", "expired", "expired_card", code="expired_card"),
    _declined("4000000000000127", "cvc", "incorrect_cvc", code="incorrect_cvc"),
    _declined("4000000000000119", "processing_error", "processing_error", code="processing_error"),
    _declined("4000000000000341", "declined_later", "generic_decline"),
    _declined("4000008260003178", "challenge_insufficient", "insufficient_funds", is_challenged=True),
    _declined("4000008400001629", "challenge_declined", "generic_decline", is_challenged=True),
    _declined("4100000000000019", "blocked", "fraudulent"),
    TestCard("4000000000009235", "visa", "elevated_risk"),
    TestCard("4000000000000077", "visa", "straight_to_balance"),
    TestCard("4000000000000259", "visa", "dispute", after="dispute"),
    TestCard("4000000000007726", "visa", "refund_pending", after="refund_pending"),
    TestCard("4000000000005126", "visa", "refund_fails", after="refund_fails"),
)
TEST_CARDS: Final = {card.number: card for card in _ALL}
CHIPS: Final = ("ok", "challenge", "declined", "insufficient_funds", "expired", "challenge_insufficient")
CHIP_CARDS: Final = tuple(next(card for card in _ALL if card.label == label) for label in CHIPS)

MESSAGES: Final = {
    "card_declined": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "payment_intent_authentication_failure": "The provided PaymentMethod has failed authentication.",
}


def is_well_formed(number: str) -> bool:
    """Luhn (ISO/IEC 7812-1, annex B)."""
    if not (12 <= len(number) <= 19 and number.isascii() and number.isdigit()):
        return False
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def fingerprint(secret: str, number: str) -> str:
    """The same for the same number, and useless for finding it: keyed by the sandbox's own secret."""
    return hmac.new(secret.encode(), number.encode(), hashlib.sha256).hexdigest()[:16]


def error_of(card: TestCard) -> dict[str, Any] | None:
    """The payment's last error after this card was tried; None when the bank says yes."""
    if card.code is None:
        return None
    return {
        "code": card.code,
        "decline_code": card.decline_code,
        "message": MESSAGES[card.code],
        "type": "card_error",
    }
