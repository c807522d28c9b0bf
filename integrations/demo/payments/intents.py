"""Payment intents and charges: the bank is asked, an authorization lives and ends, money is taken once.

https://docs.stripe.com/api/payment_intents and https://docs.stripe.com/payments/paymentintents/lifecycle
"""

from __future__ import annotations

import time
from typing import Any, Final

from integrations.demo.payments import cards, fees
from integrations.demo.payments.amounts import check_amount, check_currency
from integrations.demo.payments.books import Books
from integrations.demo.payments.cards import TestCard
from integrations.demo.payments.disputes import Disputes
from integrations.demo.payments.errors import WireError, unexpected_state
from integrations.demo.payments.methods import offered
from integrations.demo.payments.saving import Saving
from integrations.demo.payments.store import new_id

_CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation")
_CANCELABLE: Final = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")


class Intents:
    def __init__(self, books: Books, saving: Saving, disputes: Disputes) -> None:
        self.books = books
        self.store = books.store
        self.saving = saving
        self.disputes = disputes

    # --- reading, and what time does ---

    def find(self, id: str, param: str = "intent") -> dict[str, Any]:
        intent = self.store.get("payment_intent", id, param)
        if intent["status"] == "requires_capture":
            charge = self.store.get("charge", intent["latest_charge"])
            if charge["_capture_before"] <= time.time():
                return self.lapse(intent["id"])
        return intent

    def lapse(self, intent_id: str) -> dict[str, Any]:
        """The authorization ended by itself: the bank released it (docs.stripe.com, place a hold, "expiration")."""
        with self.store.transaction():
            intent = self.store.get("payment_intent", intent_id, "intent")
            if intent["status"] != "requires_capture":
                raise unexpected_state("lapsed", intent, "requires_capture")
            charge = self.store.get("charge", intent["latest_charge"])
            self.books.emit("charge.expired", charge)
            return self.end(intent, "automatic")

    def end(self, intent: dict[str, Any], reason: str | None) -> dict[str, Any]:
        if intent["status"] in ("canceled", "succeeded"):
            return intent
        intent |= {
            "status": "canceled",
            "amount_capturable": 0,
            "canceled_at": int(time.time()),
            "cancellation_reason": reason,
            "next_action": None,
        }
        self.store.put(intent)
        self.books.emit("payment_intent.canceled", intent)
        return intent

    # --- making ---

    def new(
        self,
        *,
        amount: int,
        currency: str,
        capture_method: str,
        metadata: dict[str, str],
        description: str | None = None,
        customer: str | None = None,
        setup_future_usage: str | None = None,
        session_id: str | None = None,
        fee: int | None = None,
        types: list[str] | None = None,
    ) -> dict[str, Any]:
        id = new_id("pi_")
        intent = {
            "id": id,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "application_fee_amount": fee,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": capture_method,
            # https://docs.stripe.com/api/payment_intents/object#payment_intent_object-client_secret; one of Checkout is
            # the session's to use
            "client_secret": new_id(f"{id}_secret_") if session_id is None else None,
            "confirmation_method": "automatic",
            "created": int(time.time()),
            "currency": currency,
            "customer": customer,
            "description": description,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": metadata,
            "next_action": None,
            "payment_method": None,
            "payment_method_types": types or ["card"],
            "review": None,
            "setup_future_usage": setup_future_usage,
            "status": "requires_payment_method",
            "_session": session_id,
            "_is_off_session": False,
        }
        self.store.put(intent)
        self.books.emit("payment_intent.created", intent)
        return intent

    def create(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        """https://docs.stripe.com/api/payment_intents/create; with `confirm`, the bank is asked in the same request."""
        check_currency(params["currency"], "currency")
        check_amount(params["amount"], params["currency"], what="Amount", param="amount")
        fees.check(self.store, params, params["amount"])
        is_off_session = _is_true(params.get("off_session"))
        is_confirmed = params.get("confirm", False)
        if "off_session" in params and not is_confirmed:
            raise WireError(400, "`off_session` can only be passed with `confirm` set to true.", param="off_session")
        if is_off_session and params.get("setup_future_usage"):
            raise WireError(
                400, "You cannot pass both `off_session` and `setup_future_usage`.", param="setup_future_usage"
            )
        if is_confirmed:
            _check_return_url(params)
        if params.get("customer") is not None:
            self.saving.customer(params["customer"])
        method = None
        if params.get("payment_method") is not None:
            method = self.saving.usable(params["payment_method"], params.get("customer"))
        intent = self.new(
            amount=params["amount"],
            currency=params["currency"],
            capture_method=params.get("capture_method", "automatic_async"),
            metadata=params.get("metadata", {}),
            description=params.get("description"),
            customer=params.get("customer"),
            setup_future_usage=params.get("setup_future_usage"),
            fee=params.get("application_fee_amount"),
            types=offered(params, is_manual=params.get("capture_method") == "manual", what="PaymentIntent"),
        )
        if method is not None:
            intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
            self.store.put(intent)
        return self._confirm(intent, params) if is_confirmed else intent

    def confirm(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        """https://docs.stripe.com/api/payment_intents/confirm."""
        intent = self.find(path["id"])
        if intent["_session"] is not None:
            raise WireError(400, "You cannot confirm this PaymentIntent because it was created by Checkout.")
        if intent["status"] not in _CONFIRMABLE:
            raise unexpected_state("confirmed", intent, ", ".join(_CONFIRMABLE))
        if params.get("payment_method") is not None:
            intent["payment_method"] = self.saving.usable(params["payment_method"], intent["customer"])["id"]
        return self._confirm(intent, params)

    def _confirm(self, intent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        if intent["payment_method"] is None:
            raise WireError(
                400,
                "You cannot confirm this PaymentIntent because it's missing a payment method.",
                code="payment_intent_unexpected_state",
                is_executed=True,
                payment_intent=intent,
            )
        method = self.saving.usable(intent["payment_method"], intent["customer"])
        card = cards.card_of(method["_card"]["number_of"])
        intent |= {"_card": method["_card"], "_is_off_session": _is_true(params.get("off_session"))}
        if intent["_is_off_session"]:
            return self._charge_absent_payer(intent, method, card)
        if card.is_challenged and not params.get("error_on_requires_action", False):
            url = f"{self.books.rules.public_url}/c/challenge/{intent['id']}"
            return self.challenge(intent, url)
        if card.is_challenged:
            raise self._declined(intent, method, cards.card_error("authentication_required", "authentication_required"))
        return self._paid_or_declined(intent, method, card)

    def _charge_absent_payer(self, intent: dict[str, Any], method: dict[str, Any], card: TestCard) -> dict[str, Any]:
        """https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method: 402 and a card asked for again
        when the bank declines or wants the payer."""
        fault = self.store.take_fault(frozenset({"off_session_declined", "off_session_asks"}), "payment_intents.create")
        is_asked = card.is_challenged_off_session(is_set_up=method["_is_set_up"])
        if is_asked or (fault and fault[0] == "off_session_asks"):
            raise self._declined(intent, method, cards.card_error("authentication_required", "authentication_required"))
        if fault:
            raise self._declined(intent, method, cards.card_error("card_declined", "generic_decline"))
        return self._paid_or_declined(intent, method, card)

    def _paid_or_declined(self, intent: dict[str, Any], method: dict[str, Any], card: TestCard) -> dict[str, Any]:
        error = cards.error_of(card)
        if error is not None:
            raise self._declined(intent, method, error)
        self.ask_bank(intent, card, method["id"])
        return intent

    def _declined(self, intent: dict[str, Any], method: dict[str, Any], error: dict[str, Any]) -> WireError:
        charge = self.charge(intent, error)
        intent |= {"latest_charge": charge["id"], "payment_method": None}
        self.books.emit("charge.failed", charge)
        self.back_to_card(intent, error | {"charge": charge["id"], "payment_method": method})
        return WireError(
            402, **(error | {"charge": charge["id"]}), is_executed=True, payment_intent=intent, payment_method=method
        )

    # --- the bank ---

    def challenge(self, intent: dict[str, Any], url: str) -> dict[str, Any]:
        intent |= {
            "status": "requires_action",
            "last_payment_error": None,
            "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": None}},
        }
        self.store.put(intent)
        self.books.emit("payment_intent.requires_action", intent)
        return intent

    def back_to_card(self, intent: dict[str, Any], error: dict[str, Any] | None) -> dict[str, Any]:
        # https://docs.stripe.com/payments/paymentintents/lifecycle: a failed challenge or decline asks for a card again
        intent |= {"status": "requires_payment_method", "last_payment_error": error, "next_action": None}
        self.store.put(intent)
        if error is not None:
            self.books.emit("payment_intent.payment_failed", intent)
        return intent

    def ask_bank(self, intent: dict[str, Any], card: TestCard, method_id: str) -> bool:
        """Ask for the amount; whether the bank said yes. Captured at once unless the capture is manual."""
        error = cards.error_of(card)
        charge = self.charge(intent, error)
        intent["latest_charge"] = charge["id"]
        if error is not None:
            self.books.emit("charge.failed", charge)
            self.back_to_card(intent, error | {"charge": charge["id"]})
            return False
        intent |= {
            "status": "requires_capture",
            "amount_capturable": intent["amount"],
            "last_payment_error": None,
            "next_action": None,
            "payment_method": method_id,
        }
        if card.after == "review":
            self._review(intent, charge)
        self.store.put(intent)
        self.books.emit("charge.succeeded", charge)
        if intent["capture_method"] == "manual":
            self.books.emit("payment_intent.amount_capturable_updated", intent)
        else:
            self.take(intent, intent["amount"])
        return True

    def _review(self, intent: dict[str, Any], charge: dict[str, Any]) -> None:
        """https://docs.stripe.com/radar/reviews: an elevated risk waits for somebody to look."""
        review = {
            "id": new_id("prv_"),
            "object": "review",
            "charge": charge["id"],
            "closed_reason": None,
            "created": int(time.time()),
            "livemode": False,
            "open": True,
            "opened_reason": "rule",
            "payment_intent": intent["id"],
            "reason": "rule",
        }
        self.store.put(review)
        intent["review"] = review["id"]
        self.books.emit("review.opened", review)

    def approve_review(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        # https://docs.stripe.com/api/radar/reviews/approve: it closes the review and captures nothing
        review = self.store.get("review", path["id"])
        review |= {"open": False, "closed_reason": "approved", "reason": "approved"}
        self.store.put(review)
        self.books.emit("review.closed", review)
        return review

    def charge(self, intent: dict[str, Any], error: dict[str, Any] | None) -> dict[str, Any]:
        now = int(time.time())
        card = intent["_card"]
        details = {name: card[name] for name in ("brand", "last4", "exp_month", "exp_year", "fingerprint")}
        capture_before = 1 << 60
        if error is None and intent["capture_method"] == "manual":
            # https://docs.stripe.com/payments/place-a-hold-on-a-payment-method: the truth is on the charge
            seconds = self.books.rules.window_seconds(card["brand"], is_off_session=intent["_is_off_session"])
            details["capture_before"] = capture_before = now + seconds
        wallet = card.get("wallet")
        if wallet in ("apple_pay", "google_pay"):
            details["wallet"] = {"type": wallet, "dynamic_last4": None}
        charge = {
            "id": new_id("ch_"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": 0,
            "amount_refunded": 0,
            "application_fee": None,
            "application_fee_amount": intent.get("application_fee_amount"),
            "balance_transaction": None,
            "captured": False,
            "created": now,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "disputed": False,
            "failure_code": error["code"] if error else None,
            "failure_message": error["message"] if error else None,
            "livemode": False,
            "metadata": intent["metadata"],
            "outcome": {
                "network_status": "declined_by_network" if error else "approved_by_network",
                "type": "authorized",
            },
            "paid": error is None,
            "payment_intent": intent["id"],
            "payment_method_details": (
                {"type": "link", "link": {"country": "FR"}} if wallet == "link" else {"type": "card", "card": details}
            ),
            "_capture_before": capture_before,
            "refunded": False,
            "status": "failed" if error else "succeeded",
        }
        self.store.put(charge)
        return charge

    # --- taking and releasing ---

    def capture(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        """https://docs.stripe.com/api/payment_intents/capture."""
        intent = self.find(path["id"])
        if intent["status"] == "succeeded":
            raise WireError(
                400,
                f"Charge {intent['latest_charge']} has already been captured.",
                code="charge_already_captured",
                is_executed=True,
            )
        if intent["status"] != "requires_capture":
            raise unexpected_state("captured", intent, "requires_capture")
        if self.store.take_fault(frozenset({"capture_fails"}), "payment_intents.capture"):
            # No test card does this (payments.md 1.6), a bank can: the authorization is gone when it is wanted.
            self.end(intent, "automatic")
            raise WireError(
                400,
                "The charge has expired and can no longer be captured.",
                code="charge_expired_for_capture",
                is_executed=True,
            )
        amount = params.get("amount_to_capture", intent["amount"])
        if not 0 < amount <= intent["amount_capturable"]:
            raise WireError(
                400,
                f"The amount to capture must be between 1 and {intent['amount_capturable']}.",
                code="amount_too_large",
                param="amount_to_capture",
                is_executed=True,
            )
        # https://docs.stripe.com/api/payment_intents/capture#capture_payment_intent-application_fee_amount
        fee = {"application_fee_amount": intent.get("application_fee_amount")} | params
        fees.check(self.store, fee, amount)
        intent["application_fee_amount"] = fee["application_fee_amount"]
        return self.take(intent, amount)

    def take(self, intent: dict[str, Any], amount: int) -> dict[str, Any]:
        charge = self.store.get("charge", intent["latest_charge"])
        charge |= {"captured": True, "amount_captured": amount}
        fee = fees.collect(self.books, charge, intent.get("application_fee_amount"))
        charge["balance_transaction"] = self.books.move("charge", amount, charge, fee=fee)
        # One capture only; what is not taken is released at once (payments.md H5)
        intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
        self.store.put(intent)
        if amount < charge["amount"]:
            self._release_rest(intent, charge)
        self.store.put(charge)
        if intent["capture_method"] == "manual":
            self.books.emit("charge.captured", charge)
        self.books.emit("payment_intent.succeeded", intent)
        self.disputes.after_capture(intent, charge)
        return intent

    def _release_rest(self, intent: dict[str, Any], charge: dict[str, Any]) -> None:
        """The uncaptured rest stands on the charge as an automatic refund that moves no money
        (docs.stripe.com/api/charges/capture), so `amount_refunded` counts it, too."""
        rest = charge["amount"] - charge["amount_captured"]
        refund = {
            "id": new_id("re_"),
            "object": "refund",
            "amount": rest,
            "balance_transaction": None,
            "charge": charge["id"],
            "created": int(time.time()),
            "currency": charge["currency"],
            "failure_reason": None,
            "metadata": {},
            "payment_intent": intent["id"],
            "reason": None,
            "status": "succeeded",
        }
        self.store.put(refund)
        charge["amount_refunded"] += rest
        self.books.emit("charge.refunded", charge)

    def cancel(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        # https://docs.stripe.com/api/payment_intents/cancel: an intent made by Checkout only in requires_capture
        intent = self.find(path["id"])
        allowed = ("requires_capture",) if intent["_session"] is not None else _CANCELABLE
        if intent["status"] not in allowed:
            raise unexpected_state("canceled", intent, ", ".join(allowed))
        return self.end(intent, params.get("cancellation_reason"))


def _is_true(off_session: Any) -> bool:
    """`off_session` is a boolean or one of two words (docs.stripe.com/api/payment_intents/create)."""
    return off_session in (True, "true", "one_off", "recurring")


def _check_return_url(params: dict[str, Any]) -> None:
    # https://docs.stripe.com/api/payment_intents/create#create_payment_intent-automatic_payment_methods: methods of
    # the Dashboard may redirect, so either a way back is given or redirects are excluded.
    never = params.get("automatic_payment_methods", {}).get("allow_redirects") == "never"
    if not (never or params.get("payment_method_types") or params.get("return_url")):
        raise WireError(
            400,
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`.",
            param="return_url",
        )
