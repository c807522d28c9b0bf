"""Test cards (docs.stripe.com/testing), and what becomes of a typed number: brand, last four digits, a keyed digest.

A number that is not a test card is refused and forgotten: nobody's real card has any business here.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Final, Literal


@dataclass(frozen=True)
class TestCard:
    """How a test card behaves. `code` and `decline_code` are what the payment's last error will say.

    `asks` says when the bank wants the payer to confirm (docs.stripe.com/testing#authentication-and-setup): never, in
    every payment the payer is present at, off-session too unless the card was set up, or off-session whatever was done.
    """

    number: str
    brand: str
    label: str
    code: str | None = None
    decline_code: str | None = None
    asks: Literal["never", "present", "unless_set_up", "always"] = "never"
    after: str | None = None  # what happens once money was taken: a dispute, a refund that waits or fails
    can_be_saved: bool = True  # docs.stripe.com/testing#declined-payments: most declining cards cannot be attached

    @property
    def is_challenged(self) -> bool:
        """Whether the bank asks a payer who is present."""
        return self.asks != "never"

    def is_challenged_off_session(self, *, is_set_up: bool) -> bool:
        """Whether the bank wants a payer who is not there to confirm."""
        return self.asks == "always" or (self.asks == "unless_set_up" and not is_set_up)


def _declined(number: str, label: str, decline_code: str, *, code: str = "card_declined", **more: Any) -> TestCard:
    return TestCard(number, "visa", label, code, decline_code, **({"can_be_saved": False} | more))


_ALL: Final = (
    TestCard("4242424242424242", "visa", "ok"),
    TestCard("5555555555554444", "mastercard", "ok_mastercard"),
    TestCard("378282246310005", "amex", "ok_amex"),
    TestCard("4000002500003155", "visa", "challenge", asks="unless_set_up"),
    TestCard("4000002760003184", "visa", "challenge_always", asks="always"),
    TestCard("4000003800000446", "visa", "challenge_set_up", asks="present"),
    TestCard("4000000000003220", "visa", "challenge_required", asks="always"),
    TestCard("4000000000003063", "visa", "challenge_required_3ds", asks="always"),
    TestCard("4000000000003055", "visa", "challenge_supported"),  # supported, and not asked for
    _declined("4000000000000002", "declined", "generic_decline"),
    _declined("4000000000009995", "insufficient_funds", "insufficient_funds"),
    _declined("4000000000009987", "lost", "lost_card"),
    _declined("4000000000009979", "stolen", "stolen_card"),
    _declined("4000000000006975", "velocity", "card_velocity_exceeded"),
    _declined("4000000000000069", "expired", "expired_card", code="expired_card"),
    _declined("4000000000000127", "cvc", "incorrect_cvc", code="incorrect_cvc"),
    _declined("4000000000000119", "processing_error", "processing_error", code="processing_error"),
    # "Decline after attaching": it is saved without complaint, and declines when it is charged.
    _declined("4000000000000341", "declined_later", "generic_decline", can_be_saved=True),
    _declined(
        "4000008260003178", "challenge_insufficient", "insufficient_funds", asks="unless_set_up", can_be_saved=True
    ),
    _declined("4000008400001629", "challenge_declined", "generic_decline", asks="unless_set_up", can_be_saved=True),
    _declined("4000008400001280", "challenge_breaks", "generic_decline"),  # the bank's question cannot be asked
    _declined("4100000000000019", "blocked", "fraudulent"),
    _declined("4000000000004954", "highest_risk", "fraudulent"),
    TestCard("4000000000009235", "visa", "elevated_risk", after="review"),
    TestCard("4000000000000077", "visa", "straight_to_balance"),
    TestCard("4000000000000259", "visa", "dispute", after="dispute"),
    TestCard("4000000000002685", "visa", "dispute_not_received", after="dispute_not_received"),
    TestCard("4000000000001976", "visa", "inquiry", after="inquiry"),
    TestCard("4000000000005423", "visa", "fraud_warning", after="fraud_warning"),
    TestCard("4000000000007726", "visa", "refund_pending", after="refund_pending"),
    TestCard("4000000000005126", "visa", "refund_fails", after="refund_fails"),
)
TEST_CARDS: Final = {card.number: card for card in _ALL}
# https://docs.stripe.com/testing: a test card by its PaymentMethod's name, for code that types no numbers.
_METHODS: Final = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_authenticationRequiredSetupForOffSession": "4000003800000446",
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa_chargeDeclinedLostCard": "4000000000009987",
    "pm_card_visa_chargeDeclinedStolenCard": "4000000000009979",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": "4000000000006975",
    "pm_card_chargeDeclinedExpiredCard": "4000000000000069",
    "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
    "pm_card_chargeDeclinedProcessingError": "4000000000000119",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_radarBlock": "4100000000000019",
    "pm_card_riskLevelElevated": "4000000000009235",
    "pm_card_bypassPending": "4000000000000077",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_createDisputeProductNotReceived": "4000000000002685",
    "pm_card_createDisputeInquiry": "4000000000001976",
    "pm_card_createIssuerFraudRecord": "4000000000005423",
    "pm_card_pendingRefund": "4000000000007726",
    "pm_card_refundFail": "4000000000005126",
}
METHODS: Final = {name: TEST_CARDS[number] for name, number in _METHODS.items()}
_BY_LABEL: Final = {card.label: card for card in _ALL}
CHIPS: Final = ("ok", "challenge", "declined", "insufficient_funds", "expired", "challenge_insufficient")
CHIP_CARDS: Final = tuple(_BY_LABEL[label] for label in CHIPS)
UNKNOWN: Final = TestCard("", "unknown", "unknown", "card_declined", "test_mode_live_card", can_be_saved=False)

MESSAGES: Final = {
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "card_declined": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "payment_intent_authentication_failure": "The provided PaymentMethod has failed authentication.",
    "setup_intent_authentication_failure": "The provided PaymentMethod has failed authentication.",
}


def card_of(label: str) -> TestCard:
    """The card that was typed in once, by what was kept of it."""
    return _BY_LABEL.get(label, UNKNOWN)


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


def card_error(code: str, decline_code: str | None = None) -> dict[str, Any]:
    """An error as it stands on an intent (docs.stripe.com/api/payment_intents/object, `last_payment_error`)."""
    return {"code": code, "decline_code": decline_code, "message": MESSAGES[code], "type": "card_error"}


def error_of(card: TestCard) -> dict[str, Any] | None:
    """The payment's last error after this card was tried; None when the bank says yes."""
    return None if card.code is None else card_error(card.code, card.decline_code)
