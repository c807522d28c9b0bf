"""What Stripe.js does with an intent of its own in the payer's browser: confirm it, and let the bank ask.

https://docs.stripe.com/js/payment_intents/confirm_payment and https://docs.stripe.com/js/setup_intents/confirm_setup;
the states are those of https://docs.stripe.com/payments/paymentintents/lifecycle.
"""

from __future__ import annotations

from typing import Any, Final

from integrations.demo.payments import cards
from integrations.demo.payments.books import Books
from integrations.demo.payments.cards import TestCard
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.intents import Intents
from integrations.demo.payments.saving import Saving

_CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")


class Elements:
    def __init__(self, books: Books, saving: Saving, intents: Intents) -> None:
        self.books = books
        self.store = books.store
        self.saving = saving
        self.intents = intents

    def open(self, client_secret: str) -> dict[str, Any]:
        """The intent of this client secret.

        Raises:
            WireError: there is none. https://docs.stripe.com/api/payment_intents/object says of the secret that whoever
                has it may complete the payment: nothing else is asked.
        """
        intent = self.store.find(client_secret.partition("_secret_")[0])
        if intent is None or "client_secret" not in intent or intent["client_secret"] != client_secret:
            raise WireError(404, "No such intent: the client secret is wrong.", code="resource_missing")
        return self.intents.find(intent["id"]) if intent["object"] == "payment_intent" else intent

    def confirm(
        self, client_secret: str, card: TestCard, *, last4: str, exp_month: int, exp_year: int
    ) -> dict[str, Any]:
        """The payer pressed the button: the intent as it is afterwards, whatever the bank said.

        Raises:
            WireError: it cannot be confirmed any more (`…_unexpected_state`).
        """
        with self.store.transaction():
            intent = self.open(client_secret)
            if intent["status"] not in _CONFIRMABLE:
                raise _unexpected_state(intent)
            if intent["status"] == "requires_action":
                self._back(intent, None)  # another card, while the bank still waited for the first one's payer
            intent["_card"] = self.books.card_facts(card, last4=last4, exp_month=exp_month, exp_year=exp_year)
            if card.is_challenged:
                url = f"{self.books.rules.public_url}/v3/challenge"
                (self.saving.challenge if _is_setup(intent) else self.intents.challenge)(intent, url)
                return intent
            return self._authenticated(intent, card)

    def finish_challenge(self, client_secret: str, *, is_confirmed: bool) -> dict[str, Any]:
        """The payer answered their bank. Answering twice changes nothing."""
        with self.store.transaction():
            intent = self.open(client_secret)
            if intent["status"] != "requires_action":
                return intent
            if is_confirmed:
                return self._authenticated(intent, cards.card_of(intent["_card"]["number_of"]))
            code = f"{intent['object']}_authentication_failure"
            self._back(intent, {"code": code, "message": cards.MESSAGES[code], "type": "invalid_request_error"})
            return intent

    def _back(self, intent: dict[str, Any], error: dict[str, Any] | None) -> None:
        if _is_setup(intent):
            self.saving.refuse(intent, error)
        else:
            self.intents.back_to_card(intent, error)

    def _authenticated(self, intent: dict[str, Any], card: TestCard) -> dict[str, Any]:
        if _is_setup(intent):
            if card.can_be_saved:
                self.saving.succeed(intent, intent["customer"])
            else:
                self.saving.refuse(intent, cards.error_of(card))
            return intent
        method = self.saving.new_method(intent["_card"])
        if not self.intents.ask_bank(intent, card, method["id"]):
            return intent
        if intent["customer"] is not None and intent["setup_future_usage"] is not None:
            # https://docs.stripe.com/payments/save-during-payment: attached once the payment went through
            self.saving.keep(method, intent["customer"], is_set_up=intent["setup_future_usage"] == "off_session")
        else:
            method["_is_used_up"] = True
            self.store.put(method)
        return intent


def last_error(intent: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = intent["last_setup_error" if _is_setup(intent) else "last_payment_error"]
    return found


def _is_setup(intent: dict[str, Any]) -> bool:
    return bool(intent["object"] == "setup_intent")


def _unexpected_state(intent: dict[str, Any]) -> WireError:
    return WireError(
        400,
        f"You cannot confirm this intent because it has a status of {intent['status']}.",
        code=f"{intent['object']}_unexpected_state",
        is_executed=True,
    )
