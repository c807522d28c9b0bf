"""Checkout sessions and the verbs of their hosted page (https://docs.stripe.com/api/checkout/sessions).

`mode=payment` asks the payer's bank for an amount; `mode=setup` keeps a card for later and charges nothing
(https://docs.stripe.com/payments/checkout/save-and-reuse).
"""

from __future__ import annotations

import time
from typing import Any, Final

from integrations.demo.payments import cards, fees
from integrations.demo.payments.amounts import check_currency, check_url, line_amount
from integrations.demo.payments.books import Books
from integrations.demo.payments.cards import TestCard
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.intents import Intents
from integrations.demo.payments.methods import offered
from integrations.demo.payments.saving import Saving
from integrations.demo.payments.store import new_id

session_seconds_default: Final = 24 * 3600
session_seconds_min: Final = 30 * 60
session_slack_seconds: Final = 60
_ONLY_IN: Final = {"payment_intent_data": "payment", "line_items": "payment", "setup_intent_data": "setup"}


class Checkout:
    def __init__(self, books: Books, saving: Saving, intents: Intents) -> None:
        self.books = books
        self.store = books.store
        self.saving = saving
        self.intents = intents

    # --- the API ---

    def find(self, id: str) -> dict[str, Any]:
        session = self.store.get("checkout.session", id, "session")
        if session["status"] == "open" and session["expires_at"] <= time.time():
            return self._end(session)
        return session

    def create(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        mode = params.get("mode")
        if mode not in ("payment", "setup"):
            raise WireError(400, "The sandbox only takes payments and saves cards.", param="mode")
        for name, where in _ONLY_IN.items():
            if name in params and mode != where:
                raise WireError(400, f"You can not pass `{name}` in `{mode}` mode.", param=name)
        for name in ("success_url", "cancel_url"):
            check_url(params.get(name), name)
        if params.get("customer") is not None and params.get("customer_creation") is not None:
            raise WireError(400, "You may only specify one of these parameters: customer, customer_creation.")
        if params.get("customer") is not None:
            self.saving.customer(params["customer"])
        now = int(time.time())
        expires_at = params.get("expires_at", now + session_seconds_default)
        if not now + session_seconds_min - session_slack_seconds <= expires_at <= now + session_seconds_default + 60:
            raise WireError(
                400,
                "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from now.",
                param="expires_at",
            )
        id = new_id("cs_test_", 58)
        session = {
            "id": id,
            "object": "checkout.session",
            "cancel_url": params["cancel_url"],
            "client_reference_id": params.get("client_reference_id"),
            "created": now,
            "customer": params.get("customer"),
            "customer_creation": params.get("customer_creation"),
            "expires_at": expires_at,
            "livemode": False,
            "locale": params.get("locale"),
            "metadata": params.get("metadata", {}),
            "mode": mode,
            "payment_intent": None,  # made when the payer confirms, since 2022-08-01
            "payment_method_types": offered(params, is_manual=_is_manual(params), what="Checkout Session"),
            "setup_intent": None,
            "status": "open",
            "success_url": params["success_url"],
            "ui_mode": "hosted_page",  # https://docs.stripe.com/changelog/dahlia/2026-03-25
            "url": f"{self.books.rules.public_url}/c/pay/{id}",
            **(self._to_pay(params) if mode == "payment" else self._to_save(params, id)),
        }
        self.store.put(session)
        return session

    def _to_pay(self, params: dict[str, Any]) -> dict[str, Any]:
        amount, currency, title = line_amount(params.get("line_items"))
        data = params.get("payment_intent_data", {})
        fees.check(self.store, data, amount)
        return {
            "amount_subtotal": amount,
            "amount_total": amount,
            "currency": currency,
            "payment_status": "unpaid",
            "_title": title,
            "_capture_method": data.get("capture_method", "automatic_async"),
            "_intent_metadata": data.get("metadata", {}),
            "_description": data.get("description"),
            "_fee": data.get("application_fee_amount"),
            "_setup_future_usage": data.get("setup_future_usage"),
        }

    def _to_save(self, params: dict[str, Any], id: str) -> dict[str, Any]:
        # https://docs.stripe.com/payments/checkout/save-and-reuse: dynamic payment methods need the currency
        if "currency" not in params:
            raise WireError(400, "Missing required param: currency.", code="parameter_missing", param="currency")
        currency = params.get("currency")
        if currency is not None:
            check_currency(currency, "currency")
        data = params.get("setup_intent_data", {})
        title = params.get("custom_text", {}).get("submit", {}).get("message") or data.get("description") or ""
        setup = self.saving.new_setup(
            metadata=data.get("metadata", {}), description=data.get("description"), session_id=id
        )
        return {
            "amount_subtotal": None,
            "amount_total": None,
            "currency": currency,
            "payment_status": "no_payment_required",
            "setup_intent": setup["id"],
            "_title": title,
        }

    def expire(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        session = self.find(path["id"])
        if session["status"] != "open":
            # https://docs.stripe.com/api/checkout/sessions/expire
            raise WireError(
                400,
                'Only Checkout Sessions with a status in ["open"] can be expired. '
                f"This Checkout Session has a status of {session['status']}.",
                is_executed=True,
            )
        return self._end(session)

    def _end(self, session: dict[str, Any]) -> dict[str, Any]:
        session |= {"status": "expired", "url": None}
        self.store.put(session)
        if session["payment_intent"] is not None:
            self.intents.end(self.store.get("payment_intent", session["payment_intent"]), "automatic")
        if session["setup_intent"] is not None:
            self.saving.end(self.store.get("setup_intent", session["setup_intent"]), "abandoned")
        self.books.emit("checkout.session.expired", session)
        return session

    # --- the hosted page ---

    def open(self, id: str) -> dict[str, Any]:
        with self.store.transaction():
            return self.find(id)

    def trying(self, session: dict[str, Any]) -> dict[str, Any] | None:
        """The payment or setup intent that the payer is working on, if there is one yet."""
        return self.store.find(session["setup_intent"] or session["payment_intent"] or "")

    def last_error(self, session: dict[str, Any]) -> dict[str, Any] | None:
        intent = self.trying(session) or {}
        return intent.get("last_payment_error") or intent.get("last_setup_error")

    def submit(
        self,
        session_id: str,
        card: TestCard,
        *,
        last4: str,
        exp_month: int,
        exp_year: int,
        wallet: str | None = None,
    ) -> dict[str, Any]:
        """The payer pressed the button: the session as it is afterwards. A second press changes nothing.

        `wallet`: apple_pay or google_pay (https://docs.stripe.com/apple-pay), or link
        (https://docs.stripe.com/payments/link), whose payments are no card's.
        """
        with self.store.transaction():
            session = self.find(session_id)
            if session["status"] != "open":
                return session
            facts = self.books.card_facts(card, last4=last4, exp_month=exp_month, exp_year=exp_year)
            facts["wallet"] = wallet
            url = f"{self.books.rules.public_url}/c/challenge/{session_id}"
            intent = self.trying(session) if session["mode"] == "setup" else self._intent_of(session)
            if intent is None:
                raise WireError(404, "This session has lost its setup intent.")
            if intent["status"] == "requires_action":
                self._back(session, intent, None)
            intent["_card"] = facts
            # An authentication is what saves a card for off-session use (docs.stripe.com/payments/setup-intents).
            if card.is_challenged:
                (self.saving.challenge if session["mode"] == "setup" else self.intents.challenge)(intent, url)
                return session
            return self._authenticated(session, intent, card)

    def finish_challenge(self, session_id: str, *, is_confirmed: bool) -> dict[str, Any]:
        """The payer answered their bank. Answering twice changes nothing."""
        with self.store.transaction():
            session = self.find(session_id)
            intent = self.trying(session)
            if session["status"] != "open" or intent is None or intent["status"] != "requires_action":
                return session
            if not is_confirmed:
                code = f"{intent['object']}_authentication_failure"
                error = {"code": code, "message": cards.MESSAGES[code], "type": "invalid_request_error"}
                self._back(session, intent, error)
                return session
            return self._authenticated(session, intent, cards.card_of(intent["_card"]["number_of"]))

    def _back(self, session: dict[str, Any], intent: dict[str, Any], error: dict[str, Any] | None) -> None:
        if session["mode"] == "setup":
            self.saving.refuse(intent, error)
        else:
            self.intents.back_to_card(intent, error)

    def _authenticated(self, session: dict[str, Any], intent: dict[str, Any], card: TestCard) -> dict[str, Any]:
        return self._save(session, intent, card) if session["mode"] == "setup" else self._pay(session, intent, card)

    def _save(self, session: dict[str, Any], setup: dict[str, Any], card: TestCard) -> dict[str, Any]:
        if not card.can_be_saved:
            self.saving.refuse(setup, cards.error_of(card))
            return session
        self.saving.succeed(setup, self._customer_of(session))
        return self._complete(session)

    def _pay(self, session: dict[str, Any], intent: dict[str, Any], card: TestCard) -> dict[str, Any]:
        method = self.saving.new_method(intent["_card"])
        customer_id = self._customer_of(session)
        intent["customer"] = customer_id
        if not self.intents.ask_bank(intent, card, method["id"]):
            self.store.put(session)
            return session
        if customer_id is not None and session["_setup_future_usage"] is not None:
            # https://docs.stripe.com/payments/checkout/save-during-payment: attached once the payment went through
            self.saving.keep(method, customer_id, is_set_up=session["_setup_future_usage"] == "off_session")
        else:
            method["_is_used_up"] = True
            self.store.put(method)
        if intent["status"] == "succeeded":
            session["payment_status"] = "paid"
        return self._complete(session)

    def _complete(self, session: dict[str, Any]) -> dict[str, Any]:
        session |= {"status": "complete", "url": None}
        self.store.put(session)
        self.books.emit("checkout.session.completed", session)
        return session

    def _customer_of(self, session: dict[str, Any]) -> str | None:
        """The customer the session was made for, or the one it makes as it is confirmed (`customer_creation`)."""
        if session["customer"] is None and session["customer_creation"] == "always":
            session["customer"] = self.saving.new_customer({})["id"]
        customer_id: str | None = session["customer"]
        return customer_id

    def _intent_of(self, session: dict[str, Any]) -> dict[str, Any]:
        if session["payment_intent"] is not None:
            return self.store.get("payment_intent", session["payment_intent"])
        intent = self.intents.new(
            amount=session["amount_total"],
            currency=session["currency"],
            capture_method=session["_capture_method"],
            metadata=session["_intent_metadata"],
            description=session["_description"],
            customer=session["customer"],
            setup_future_usage=session["_setup_future_usage"],
            session_id=session["id"],
            fee=session.get("_fee"),
        )
        session["payment_intent"] = intent["id"]
        self.store.put(session)
        return intent


def _is_manual(params: dict[str, Any]) -> bool:
    return bool(params.get("payment_intent_data", {}).get("capture_method") == "manual")
