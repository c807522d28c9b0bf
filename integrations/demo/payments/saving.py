"""Cards kept for later: customers, payment methods, setup intents.

https://docs.stripe.com/payments/save-and-reuse and https://docs.stripe.com/api/setup_intents
"""

from __future__ import annotations

import time
from typing import Any

from integrations.demo.payments import cards
from integrations.demo.payments.books import Books
from integrations.demo.payments.errors import WireError, missing
from integrations.demo.payments.methods import offered
from integrations.demo.payments.store import new_id


class Saving:
    def __init__(self, books: Books) -> None:
        self.books = books
        self.store = books.store

    # --- customers (https://docs.stripe.com/api/customers) ---

    def create_customer(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        return self.new_customer(params)

    def new_customer(self, params: dict[str, Any]) -> dict[str, Any]:
        customer = {
            "id": new_id("cus_", 14),
            "object": "customer",
            "created": int(time.time()),
            "description": params.get("description"),
            "email": params.get("email"),
            "livemode": False,
            "metadata": params.get("metadata", {}),
            "name": params.get("name"),
        }
        self.store.put(customer)
        self.books.emit("customer.created", customer)
        return customer

    def customer(self, id: str, param: str = "customer") -> dict[str, Any]:
        return self.store.get("customer", id, param)

    def update_customer(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        customer = self.customer(path["id"], "id")
        customer |= {name: params[name] for name in ("description", "email", "metadata", "name") if name in params}
        self.store.put(customer)
        self.books.emit("customer.updated", customer)
        return customer

    def delete_customer(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        customer = self.customer(path["id"], "id")
        for method in self.store.all_of("payment_method"):
            if method["customer"] == customer["id"]:
                self._detached(method)
        self.store.delete(customer["id"])
        self.books.emit("customer.deleted", customer)
        return {"id": customer["id"], "object": "customer", "deleted": True}

    # --- payment methods (https://docs.stripe.com/api/payment_methods) ---

    def new_method(self, facts: dict[str, Any]) -> dict[str, Any]:
        method = {
            "id": new_id("pm_"),
            "object": "payment_method",
            "allow_redisplay": "limited",
            **(
                {"link": {"email": "payer@example.com"}}
                if facts.get("wallet") == "link"
                else {
                    "card": {name: facts[name] for name in ("brand", "last4", "exp_month", "exp_year", "fingerprint")}
                }
            ),
            "created": int(time.time()),
            "customer": None,
            "livemode": False,
            "metadata": {},
            "type": "link" if facts.get("wallet") == "link" else "card",
            "_card": facts,
            "_is_set_up": False,
            "_is_used_up": False,
        }
        self.store.put(method)
        return method

    def attach(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        if "customer" not in params:
            raise WireError(400, "Missing required param: customer.", code="parameter_missing", param="customer")
        method = self.store.get("payment_method", path["id"], "payment_method")
        customer = self.customer(params["customer"])
        if method["_is_used_up"]:
            raise _used_up()
        card = cards.card_of(method["_card"]["number_of"])
        if not card.can_be_saved:
            raise WireError(402, **_wire(cards.error_of(card)), is_executed=True)
        return self.keep(method, customer["id"], is_set_up=False)

    def keep(self, method: dict[str, Any], customer_id: str, *, is_set_up: bool) -> dict[str, Any]:
        """Attach the method to the customer (https://docs.stripe.com/api/payment_methods/attach)."""
        method |= {"customer": customer_id, "_is_set_up": method["_is_set_up"] or is_set_up}
        self.store.put(method)
        self.books.emit("payment_method.attached", method)
        return method

    def detach(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        method = self.store.get("payment_method", path["id"], "payment_method")
        if method["customer"] is None:
            raise WireError(
                400, "The payment method you provided is not attached to a customer so detachment is impossible."
            )
        return self._detached(method)

    def _detached(self, method: dict[str, Any]) -> dict[str, Any]:
        # https://docs.stripe.com/api/payment_methods/detach: after detaching it can no longer be used
        method |= {"customer": None, "_is_used_up": True}
        self.store.put(method)
        self.books.emit("payment_method.detached", method)
        return method

    def usable(self, method_id: str, customer_id: str | None) -> dict[str, Any]:
        """The method, if it may be charged for that customer (docs.stripe.com/payments/payment-methods#saving).

        Raises:
            WireError: not attached to this customer, or spent: it was used without being attached, or detached.
        """
        if (card := cards.METHODS.get(method_id)) is not None:
            # https://docs.stripe.com/testing: such a name makes a new payment method each time it is used
            facts = self.books.card_facts(card, last4=card.number[-4:], exp_month=12, exp_year=2039)
            return self.new_method(facts)
        method = self.store.find(method_id, "payment_method")
        if method is None:
            raise missing("PaymentMethod", method_id, "payment_method")
        if method["_is_used_up"]:
            raise _used_up()
        if method["customer"] != customer_id:
            raise WireError(
                400,
                f"The customer does not have a payment method with the ID {method_id}. The payment method must be "
                "attached to the customer.",
                code="resource_missing",
                param="payment_method",
                is_executed=True,
            )
        return method

    def customer_methods(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        customer = self.customer(path["id"], "id")
        rows, more = self.store.page("payment_method", params, {"customer": customer["id"], "type": params.get("type")})
        url = f"/v1/customers/{customer['id']}/payment_methods"
        return {"object": "list", "url": url, "has_more": more, "data": rows}

    # --- setup intents ---

    def create_setup(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        """https://docs.stripe.com/api/setup_intents/create; it is confirmed by Stripe.js in the payer's browser."""
        if params.get("confirm"):
            raise WireError(400, "The sandbox confirms a SetupIntent in the browser only.", param="confirm")
        if params.get("usage", "off_session") != "off_session":
            raise WireError(400, "The sandbox keeps cards for off-session use only.", param="usage")
        customer = params.get("customer")
        return self.new_setup(
            metadata=params.get("metadata", {}),
            description=params.get("description"),
            customer=None if customer is None else self.customer(customer)["id"],
            types=offered(params, is_manual=False, what="SetupIntent"),
        )

    def new_setup(
        self,
        *,
        metadata: dict[str, str],
        description: str | None,
        session_id: str | None = None,
        customer: str | None = None,
        types: list[str] | None = None,
    ) -> dict[str, Any]:
        """A setup intent of its own, or that of a checkout session in setup mode, made with it."""
        id = new_id("seti_")
        setup = {
            "id": id,
            "object": "setup_intent",
            "cancellation_reason": None,
            # https://docs.stripe.com/api/setup_intents/object#setup_intent_object-client_secret
            "client_secret": new_id(f"{id}_secret_") if session_id is None else None,
            "created": int(time.time()),
            "customer": customer,
            "description": description,
            "last_setup_error": None,
            "latest_attempt": None,
            "livemode": False,
            "metadata": metadata,
            "next_action": None,
            "payment_method": None,
            "payment_method_types": types or ["card"],
            "status": "requires_payment_method",
            "usage": "off_session",
            "_session": session_id,
        }
        self.store.put(setup)
        self.books.emit("setup_intent.created", setup)
        return setup

    def challenge(self, setup: dict[str, Any], url: str) -> None:
        setup |= {
            "status": "requires_action",
            "last_setup_error": None,
            "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": None}},
        }
        self.store.put(setup)
        self.books.emit("setup_intent.requires_action", setup)

    def refuse(self, setup: dict[str, Any], error: dict[str, Any] | None) -> None:
        """Back to asking for a card; without an error nothing is told (the payer chose another card)."""
        setup |= {"status": "requires_payment_method", "last_setup_error": error, "next_action": None}
        self.store.put(setup)
        if error is not None:
            self.books.emit("setup_intent.setup_failed", setup)

    def succeed(self, setup: dict[str, Any], customer_id: str | None) -> None:
        method = self.new_method(setup["_card"])
        if customer_id is not None:
            self.keep(method, customer_id, is_set_up=True)
        else:
            method["_is_set_up"] = True
            self.store.put(method)
        setup |= {
            "status": "succeeded",
            "customer": customer_id,
            "last_setup_error": None,
            "next_action": None,
            "payment_method": method["id"],
        }
        self.store.put(setup)
        self.books.emit("setup_intent.succeeded", setup)

    def end(self, setup: dict[str, Any], reason: str | None) -> dict[str, Any]:
        setup |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
        self.store.put(setup)
        self.books.emit("setup_intent.canceled", setup)
        return setup

    def cancel_setup(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        # https://docs.stripe.com/api/setup_intents/cancel: requires_payment_method, _confirmation or _action.
        # https://docs.stripe.com/api/checkout/sessions/object#checkout_session_object-setup_intent: you can't confirm
        # or cancel the SetupIntent of a Checkout Session; expire the session instead.
        setup = self.store.get("setup_intent", path["id"], "intent")
        if setup["_session"] is not None:
            raise _unexpected_state(
                setup, f"You cannot cancel this SetupIntent because it was created by Checkout ({setup['_session']})."
            )
        if setup["status"] in ("succeeded", "canceled", "processing"):
            raise _unexpected_state(
                setup, f"You cannot cancel this SetupIntent because it has a status of {setup['status']}."
            )
        return self.end(setup, params.get("cancellation_reason"))


def _unexpected_state(setup: dict[str, Any], message: str) -> WireError:
    return WireError(400, message, code="setup_intent_unexpected_state", is_executed=True, setup_intent=setup)


def _used_up() -> WireError:
    return WireError(
        400,
        "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with "
        "a connected account without Customer attachment, or was detached from a Customer. It may not be used again. "
        "To use a PaymentMethod multiple times, you must attach it to a Customer first.",
        is_executed=True,
    )


def _wire(error: dict[str, Any] | None) -> dict[str, Any]:
    return dict(error or {})
