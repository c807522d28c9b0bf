"""What Stripe's objects mean to us: sessions, intents, refunds, disputes. No network here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Self, cast

import stripe

from groupbook.kit.errors import InvalidId, InvariantBroken
from groupbook.kit.ids import AttemptId, RefundId, from_wire
from groupbook.payments.domain import STOPPED_BY_DISPUTE, Card, Dispute, DisputeState, RefundState
from groupbook.payments.ports import Movement, Observed, RefundAnswer, Seen
from integrations.payments.stripe.methods import silent_window_seconds
from integrations.payments.stripe.units import from_stripe

# What has to come along with an intent so that it can be understood; each at most four levels deep even in a list.
INTENT_PARTS: Final = ("latest_charge", "payment_method", "review")
SETUP_PARTS: Final = ("payment_method",)
SESSION_PARTS: Final = (*(f"payment_intent.{part}" for part in INTENT_PARTS), "setup_intent.payment_method")

# What a payer may be told. Lost, stolen and suspected cards are simply declined (docs.stripe.com/declines/codes).
_DECLINES: Final = {
    "insufficient_funds": "insufficient_funds",
    "expired_card": "expired_card",
    "incorrect_cvc": "incorrect_cvc",
    "processing_error": "processing_error",
    "payment_intent_authentication_failure": "authentication_failed",
    "setup_intent_authentication_failure": "authentication_failed",
    "authentication_required": "authentication_required",
}
_REFUND_STATES: Final = {
    # https://docs.stripe.com/api/refunds/object: pending, requires_action, succeeded, failed, canceled
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
# https://docs.stripe.com/api/refunds/object#refund_object-failure_reason
_REFUND_FAILURES: Final = {"charge_for_pending_refund_disputed": STOPPED_BY_DISPUTE}
_DISPUTES_LEFT_ALONE: Final = frozenset({"won", "prevented", "warning_closed"})
_WAITING: Final = frozenset({Seen.OPEN, Seen.ACTION, Seen.DECLINED})
# How long a page of ours stays open: as long as one of Checkout's may
# (https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at)
own_page_seconds: Final = 24 * 3600
Intent = stripe.PaymentIntent | stripe.SetupIntent


@dataclass(frozen=True)
class SavedCard:
    """A card that Stripe keeps for us: the payment method, and the customer it is attached to and charged for."""

    customer: str
    method: str

    @classmethod
    def parse(cls, saved_ref: str) -> Self:
        customer, _, method = saved_ref.partition("/")
        if not customer or not method:
            raise InvariantBroken(what="no saved card of Stripe", saved_ref=saved_ref)
        return cls(customer, method)

    @property
    def ref(self) -> str:
        return f"{self.customer}/{self.method}"


def saved_card(method: object) -> SavedCard | None:
    """The card, while it is attached; https://docs.stripe.com/api/payment_methods/detach is for good."""
    if not isinstance(method, stripe.PaymentMethod):
        return None
    customer = id_of(method.customer)
    return SavedCard(customer, method.id) if customer is not None else None


def of_session(session: stripe.checkout.Session) -> Observed:
    """What a hosted page and what was done on it mean. Disputes are read elsewhere: only their existence is here."""
    page: dict[str, Any] = {"page_ref": session.id, "page_url": session.url, "closes_at": instant(session.expires_at)}
    if session.mode == "setup":
        return _of_setup(session, page)
    intent = session.payment_intent
    if intent is None:
        seen = Seen.OPEN if session.status == "open" else Seen.EXPIRED
        return Observed(seen, amount=from_stripe(session.amount_total or 0, session.currency or "eur"), **page)
    if isinstance(intent, str):
        raise InvariantBroken(what="payment intent not expanded", page_ref=session.id)
    return _of_intent(intent, page, has_closed=session.status == "expired")


def of_intent(intent: stripe.PaymentIntent) -> Observed:
    """What a payment made in the payer's absence means: nobody can type another card for it."""
    return _of_intent(intent, {}, has_closed=False)


def of_own_page(intent: Intent) -> Observed:
    """What an intent that a page of ours shows means. The page is open as long as a card can be typed for it."""
    page: dict[str, Any] = {"page_ref": intent.id, "closes_at": instant(intent.created + own_page_seconds)}
    if isinstance(intent, stripe.SetupIntent):
        seen = _of_setup_intent(intent, page)
    else:
        seen = _of_intent(intent, page, has_closed=False)
    return replace(seen, page_url="") if seen.seen in _WAITING else seen


def _of_intent(intent: stripe.PaymentIntent, page: dict[str, Any], *, has_closed: bool) -> Observed:
    charge = charge_of(intent)
    card = getattr(charge.payment_method_details, "card", None) if charge else None  # Link's payments have none
    capture_before = getattr(card, "capture_before", None)
    if charge is not None and card is None and intent.status == "requires_capture":
        capture_before = charge.created + silent_window_seconds
    seen = seen_of(intent)
    if has_closed and seen in _WAITING:
        seen = Seen.EXPIRED
    reason = _decline_reason(intent.last_payment_error)
    if seen is Seen.DECLINED and reason == "authentication_required":
        seen = Seen.ACTION  # the bank wants the payer, who was not there (docs.stripe.com/payments/save-and-reuse)
    saved = saved_card(intent.payment_method)
    return Observed(
        seen,
        amount=from_stripe(intent.amount, intent.currency),
        captured=from_stripe(intent.amount_received, intent.currency) if seen is Seen.CAPTURED else None,
        refunded=from_stripe(given_back(charge), charge.currency) if charge and seen is Seen.CAPTURED else None,
        capture_before=instant(capture_before) if capture_before else None,
        payment_ref=intent.id,
        decline_reason=reason,
        card=Card(card.brand or "card", card.last4) if card and card.last4 else None,
        is_under_review=_is_under_review(intent),
        saved_ref=saved.ref if saved else None,
        **page,
    )


def _of_setup(session: stripe.checkout.Session, page: dict[str, Any]) -> Observed:
    setup = session.setup_intent
    if not isinstance(setup, stripe.SetupIntent):
        raise InvariantBroken(what="setup intent not expanded", page_ref=session.id)
    seen = _of_setup_intent(setup, page)
    if session.status == "expired" and seen.seen in _WAITING | {Seen.CANCELED}:
        return replace(seen, seen=Seen.EXPIRED)
    return seen


def _of_setup_intent(setup: stripe.SetupIntent, page: dict[str, Any]) -> Observed:
    method = setup.payment_method if isinstance(setup.payment_method, stripe.PaymentMethod) else None
    saved = saved_card(method)
    card = getattr(method, "card", None)
    return Observed(
        _setup_seen(setup, saved),
        decline_reason=_decline_reason(setup.last_setup_error),
        card=Card(card.brand, card.last4) if card and card.last4 else None,
        saved_ref=saved.ref if saved else None,
        **page,
    )


def _setup_seen(setup: stripe.SetupIntent, saved: SavedCard | None) -> Seen:
    # https://docs.stripe.com/payments/setupintents/lifecycle
    if setup.status == "succeeded":
        return Seen.SAVED if saved is not None else Seen.CANCELED
    if setup.status == "canceled":
        return Seen.CANCELED
    if setup.status == "requires_payment_method":
        return Seen.DECLINED if setup.last_setup_error is not None else Seen.OPEN
    return Seen.ACTION


def seen_of(intent: stripe.PaymentIntent) -> Seen:
    # https://docs.stripe.com/payments/paymentintents/lifecycle
    if intent.status == "requires_capture":
        return Seen.AUTHORIZED
    if intent.status == "succeeded":
        return Seen.CAPTURED
    if intent.status == "canceled":
        return Seen.EXPIRED if intent.cancellation_reason in ("automatic", "expired") else Seen.CANCELED
    if intent.status == "requires_payment_method":
        return Seen.DECLINED if intent.last_payment_error is not None else Seen.OPEN
    return Seen.ACTION


def charge_of(intent: stripe.PaymentIntent) -> stripe.Charge | None:
    return intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None


def given_back(charge: stripe.Charge | None) -> int:
    """What was refunded, in Stripe's units, without the rest that a smaller capture released: Stripe writes that rest
    as an automatic refund, too, though no money moved (docs.stripe.com/api/charges/capture)."""
    if charge is None:
        return 0
    released = charge.amount - charge.amount_captured if charge.captured else 0
    return max(0, charge.amount_refunded - released)


def _is_under_review(intent: stripe.PaymentIntent) -> bool:
    # https://docs.stripe.com/radar/reviews/auth-and-capture: an approved review stays on the payment, closed
    review = intent.review
    return review is not None and (isinstance(review, str) or review.open)


def _decline_reason(error: Any) -> str | None:
    if error is None:
        return None
    for code in (getattr(error, "decline_code", None), getattr(error, "code", None)):
        if code in _DECLINES:
            return _DECLINES[code]
    return "card_declined"


def dispute_of(dispute: stripe.Dispute) -> Dispute:
    # https://docs.stripe.com/api/disputes/object: a closed inquiry or a prevented dispute took nothing
    state = DisputeState.OPEN
    if dispute.status in _DISPUTES_LEFT_ALONE:
        state = DisputeState.WON
    elif dispute.status == "lost":
        state = DisputeState.LOST
    return Dispute(state, from_stripe(dispute.amount, dispute.currency))


def refund_answer(refund: stripe.Refund) -> RefundAnswer:
    reason: str | None = getattr(refund, "failure_reason", None)
    return RefundAnswer(
        refund.id,
        _REFUND_STATES.get(refund.status or "", RefundState.PENDING),
        from_stripe(refund.amount, refund.currency),
        _REFUND_FAILURES.get(reason, reason) if reason is not None else None,
    )


# --- movements --------------------------------------------------------------------------------------------------------


def payment_movement(intent: stripe.PaymentIntent) -> Movement | None:
    """A payment as a movement; None for a page of ours on which nobody has tried a card."""
    charge = charge_of(intent)
    if charge is None and getattr(intent.metadata, "page", None) == "own":
        return None
    return Movement(
        payment_ref=intent.id,
        amount=from_stripe(intent.amount, intent.currency),
        created_at=instant(intent.created),
        attempt_id=attempt_id(getattr(intent.metadata, "attempt_id", None)),
        seen=seen_of(intent),
        captured=from_stripe(intent.amount_received, intent.currency),
        refunded=from_stripe(given_back(charge), intent.currency),
        is_disputed=bool(charge and charge.disputed),
    )


def refund_movement(refund: stripe.Refund) -> Movement | None:
    """A refund as a movement; None for the rest that a smaller capture released, which moved nothing."""
    ours = refund_id(getattr(refund.metadata, "refund_id", None))
    if ours is None and refund.balance_transaction is None and refund.status == "succeeded":
        return None
    answer = refund_answer(refund)
    return Movement(
        payment_ref=id_of(refund.payment_intent) or id_of(refund.charge) or "",
        amount=answer.amount,
        created_at=instant(refund.created),
        refund_ref=answer.refund_ref,
        refund_id=ours,
        refund_state=answer.state,
    )


# --- small things -----------------------------------------------------------------------------------------------------


def attempt_id(text: object) -> AttemptId | None:
    return cast("AttemptId | None", _our_id("att", text))


def refund_id(text: object) -> RefundId | None:
    return cast("RefundId | None", _our_id("ref", text))


def _our_id(prefix: str, text: object) -> Any:
    """Our id out of metadata, which anybody with the account's key could have written."""
    try:
        return from_wire(prefix, text) if isinstance(text, str) else None
    except InvalidId:
        return None


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def id_of(value: Any) -> str | None:
    """The id of what may be expanded (docs.stripe.com/expand)."""
    return value if value is None or isinstance(value, str) else str(value.id)
