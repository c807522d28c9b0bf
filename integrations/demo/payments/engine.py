"""What the sandbox does: checkout sessions, payment intents, charges, refunds, events. No HTTP here.

Pages of Stripe's documentation are cited at the behavior they describe.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from integrations.demo.payments import cards
from integrations.demo.payments.cards import TestCard
from integrations.demo.payments.errors import WireError, missing, unexpected_state
from integrations.demo.payments.store import Store, new_id

API_VERSION: Final = "2026-10-28.endive"
ACCOUNT: Final = "acct_sandbox"

# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts, in the currency's smallest unit
_LEAST: Final = {
    **dict.fromkeys(("eur", "usd", "chf", "cad", "aud", "nzd", "sgd", "brl", "inr"), 50),
    "gbp": 30,
    "dkk": 250,
    "nok": 300,
    "sek": 300,
    "pln": 200,
    "ron": 200,
    "czk": 1500,
    "huf": 17_500,
    "aed": 200,
    "myr": 200,
    "hkd": 400,
    "mxn": 1000,
    "thb": 1000,
    "jpy": 50,
}
# https://docs.stripe.com/currencies#special-cases: sent in hundredths although there are none, or in thousandths
# of which the last digit must be 0
_WHOLE_ONLY: Final = {"isk": 100, "ugx": 100}
_TENS_ONLY: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
_amount_max: Final = 99_999_999

session_seconds_default: Final = 24 * 3600
session_seconds_min: Final = 30 * 60
session_slack_seconds: Final = 60


@dataclass(frozen=True)
class Rules:
    """What the sandbox may be told about its world."""

    public_url: str
    capture_window_seconds: int = 7 * 86_400  # https://docs.stripe.com/payments/place-a-hold-on-a-payment-method
    refund_delay_seconds: float = 2.0


class Engine:
    def __init__(self, store: Store, rules: Rules) -> None:
        self.store = store
        self.rules = rules
        self._card_secret = store.setting("card_secret", new_id("", 40))
        self.operations: dict[str, Callable[[dict[str, Any], dict[str, str]], dict[str, Any]]] = {
            "checkout.sessions.create": self._create_session,
            "checkout.sessions.retrieve": lambda _, path: self._session(path["id"]),
            "checkout.sessions.list": self._list(
                "checkout.session", "/v1/checkout/sessions", "payment_intent", "status"
            ),
            "checkout.sessions.expire": self._expire_session,
            "payment_intents.retrieve": lambda _, path: self._intent(path["id"]),
            "payment_intents.list": self._list("payment_intent", "/v1/payment_intents", "customer"),
            "payment_intents.capture": self._capture,
            "payment_intents.cancel": self._cancel,
            "charges.retrieve": lambda _, path: self.store.get("charge", path["id"]),
            "charges.list": self._list("charge", "/v1/charges", "payment_intent", "customer"),
            "refunds.create": self._create_refund,
            "refunds.retrieve": lambda _, path: self.store.get("refund", path["id"]),
            "refunds.list": self._list("refund", "/v1/refunds", "payment_intent", "charge"),
            "events.retrieve": lambda _, path: self.store.get("event", path["id"]),
            "events.list": self._list_events,
            "webhook_endpoints.create": self._create_endpoint,
            "webhook_endpoints.retrieve": lambda _, path: _public(self.store.get("webhook_endpoint", path["id"])),
            "webhook_endpoints.list": self._list("webhook_endpoint", "/v1/webhook_endpoints"),
            "webhook_endpoints.delete": self._delete_endpoint,
        }

    # --- events (https://docs.stripe.com/api/events/object) ---

    def emit(self, type: str, body: dict[str, Any], key: str | None = None) -> None:
        """Record an event and queue it for every endpoint that wants it, with the fault the operator asked for."""
        event = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "data": {"object": body},
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": new_id("req_", 14), "idempotency_key": key},
            "type": type,
        }
        endpoints = [row for row in self.store.all_of("webhook_endpoint") if _wants(row, type)]
        event["pending_webhooks"] = len(endpoints)
        self.store.put(event)
        fault = self.store.take_fault(frozenset({"drop_webhook", "late_webhook", "reorder_webhook"}), type)
        if fault and fault[0] == "drop_webhook":
            return
        delay = 0.0
        if fault and fault[0] == "late_webhook":
            delay = fault[1]
        elif fault and fault[0] == "reorder_webhook":
            delay = random.uniform(0.2, 2.0)
        for endpoint in endpoints:
            self.store.queue_delivery(str(event["id"]), endpoint["id"], time.time() + delay)

    # --- checkout sessions (https://docs.stripe.com/api/checkout/sessions) ---

    def _session(self, id: str) -> dict[str, Any]:
        return self._aged(self.store.get("checkout.session", id, "session"))

    def _create_session(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        if params.get("mode") != "payment":
            raise WireError(400, "The sandbox only takes payments: mode must be payment.", param="mode")
        for name in ("success_url", "cancel_url"):
            _check_url(params.get(name), name)
        amount, currency, title = _line_amount(params.get("line_items"))
        now = int(time.time())
        expires_at = params.get("expires_at", now + session_seconds_default)
        if not now + session_seconds_min - session_slack_seconds <= expires_at <= now + session_seconds_default + 60:
            raise WireError(
                400,
                "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from now.",
                param="expires_at",
            )
        id = new_id("cs_test_", 58)
        intent_data = params.get("payment_intent_data", {})
        session = {
            "id": id,
            "object": "checkout.session",
            "amount_subtotal": amount,
            "amount_total": amount,
            "cancel_url": params["cancel_url"],
            "client_reference_id": params.get("client_reference_id"),
            "created": now,
            "currency": currency,
            "expires_at": expires_at,
            "livemode": False,
            "locale": params.get("locale"),
            "metadata": params.get("metadata", {}),
            "mode": "payment",
            "payment_intent": None,  # made when the payer confirms, since 2022-08-01
            "payment_method_types": ["card"],
            "payment_status": "unpaid",
            "status": "open",
            "success_url": params["success_url"],
            "ui_mode": "hosted",
            "url": f"{self.rules.public_url}/c/pay/{id}",
            "_title": title,
            "_capture_method": intent_data.get("capture_method", "automatic"),
            "_intent_metadata": intent_data.get("metadata", {}),
            "_description": intent_data.get("description"),
        }
        self.store.put(session)
        return session

    def _expire_session(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        session = self._session(path["id"])
        if session["status"] != "open":
            # https://docs.stripe.com/api/checkout/sessions/expire
            raise WireError(
                400,
                'Only Checkout Sessions with a status in ["open"] can be expired. '
                f"This Checkout Session has a status of {session['status']}.",
                is_executed=True,
            )
        return self._end_session(session)

    def _end_session(self, session: dict[str, Any]) -> dict[str, Any]:
        session |= {"status": "expired", "url": None}
        self.store.put(session)
        if session["payment_intent"] is not None:
            self._end_intent(self.store.get("payment_intent", session["payment_intent"]), "automatic")
        self.emit("checkout.session.expired", session)
        return session

    def _aged(self, session: dict[str, Any]) -> dict[str, Any]:
        if session["status"] == "open" and session["expires_at"] <= time.time():
            return self._end_session(session)
        return session

    # --- the hosted page ---

    def open_session(self, id: str) -> dict[str, Any]:
        with self.store.transaction():
            return self._session(id)

    def pay(self, session_id: str, card: TestCard, *, last4: str, exp_month: int, exp_year: int) -> dict[str, Any]:
        """The payer pressed the button: the session as it is afterwards. A second press changes nothing."""
        with self.store.transaction():
            session = self._session(session_id)
            if session["status"] != "open":
                return session
            intent = self._intent_of(session)
            if intent["status"] == "requires_action":
                intent = self._back_to_card(intent, None)
            intent["_card"] = {
                "number_of": card.label,
                "brand": card.brand,
                "last4": last4,
                "exp_month": exp_month,
                "exp_year": exp_year,
                "fingerprint": cards.fingerprint(self._card_secret, card.number),
            }
            if card.is_challenged:
                intent |= {
                    "status": "requires_action",
                    "last_payment_error": None,
                    "next_action": {
                        "type": "redirect_to_url",
                        "redirect_to_url": {
                            "url": f"{self.rules.public_url}/c/challenge/{session_id}",
                            "return_url": None,
                        },
                    },
                }
                self.store.put(intent)
                self.emit("payment_intent.requires_action", intent)
                return session
            return self._ask_bank(session, intent, card)

    def finish_challenge(self, session_id: str, *, is_confirmed: bool) -> dict[str, Any]:
        """The payer answered their bank. Answering twice changes nothing."""
        with self.store.transaction():
            session = self._session(session_id)
            if session["status"] != "open" or session["payment_intent"] is None:
                return session
            intent = self.store.get("payment_intent", session["payment_intent"])
            if intent["status"] != "requires_action":
                return session
            if not is_confirmed:
                code = "payment_intent_authentication_failure"
                error = {"code": code, "message": cards.MESSAGES[code], "type": "invalid_request_error"}
                self._back_to_card(intent, error)
                return session
            card = next(card for card in cards.TEST_CARDS.values() if card.label == intent["_card"]["number_of"])
            return self._ask_bank(session, intent, card)

    def _intent_of(self, session: dict[str, Any]) -> dict[str, Any]:
        if session["payment_intent"] is not None:
            return self.store.get("payment_intent", session["payment_intent"])
        intent = {
            "id": new_id("pi_"),
            "object": "payment_intent",
            "amount": session["amount_total"],
            "amount_capturable": 0,
            "amount_received": 0,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": session["_capture_method"],
            "client_secret": None,
            "confirmation_method": "automatic",
            "created": int(time.time()),
            "currency": session["currency"],
            "customer": None,
            "description": session["_description"],
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": session["_intent_metadata"],
            "next_action": None,
            "payment_method": None,
            "payment_method_types": ["card"],
            "review": None,
            "status": "requires_payment_method",
            "_session": session["id"],
        }
        session["payment_intent"] = intent["id"]
        self.store.put(intent)
        self.store.put(session)
        self.emit("payment_intent.created", intent)
        return intent

    def _back_to_card(self, intent: dict[str, Any], error: dict[str, Any] | None) -> dict[str, Any]:
        # https://docs.stripe.com/payments/paymentintents/lifecycle: a failed challenge or decline asks for a card again
        intent |= {"status": "requires_payment_method", "last_payment_error": error, "next_action": None}
        self.store.put(intent)
        if error is not None:
            self.emit("payment_intent.payment_failed", intent)
        return intent

    def _ask_bank(self, session: dict[str, Any], intent: dict[str, Any], card: TestCard) -> dict[str, Any]:
        error = cards.error_of(card)
        charge = self._charge(intent, error)
        intent["latest_charge"] = charge["id"]
        if error is not None:
            self.emit("charge.failed", charge)
            self._back_to_card(intent, error | {"charge": charge["id"]})
            return session
        intent |= {
            "status": "requires_capture",
            "amount_capturable": intent["amount"],
            "last_payment_error": None,
            "next_action": None,
            "payment_method": new_id("pm_"),
        }
        session |= {"status": "complete", "url": None}
        self.store.put(intent)
        self.emit("charge.succeeded", charge)
        if intent["capture_method"] == "manual":
            self.emit("payment_intent.amount_capturable_updated", intent)
        else:
            intent, _ = self._take(intent, intent["amount"])
            session["payment_status"] = "paid"
        self.store.put(session)
        self.emit("checkout.session.completed", session)
        return session

    def _charge(self, intent: dict[str, Any], error: dict[str, Any] | None) -> dict[str, Any]:
        now = int(time.time())
        card = intent["_card"]
        details = {name: card[name] for name in ("brand", "last4", "exp_month", "exp_year", "fingerprint")}
        if error is None and intent["capture_method"] == "manual":
            # https://docs.stripe.com/payments/place-a-hold-on-a-payment-method: the truth is on the charge
            details["capture_before"] = now + self.rules.capture_window_seconds
        charge = {
            "id": new_id("ch_"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": 0,
            "amount_refunded": 0,
            "captured": False,
            "created": now,
            "currency": intent["currency"],
            "customer": None,
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
            "payment_method_details": {"type": "card", "card": details},
            "refunded": False,
            "status": "failed" if error else "succeeded",
        }
        self.store.put(charge)
        return charge

    # --- payment intents (https://docs.stripe.com/api/payment_intents) ---

    def _intent(self, id: str) -> dict[str, Any]:
        intent = self.store.get("payment_intent", id, "intent")
        if intent["status"] == "requires_capture":
            charge = self.store.get("charge", intent["latest_charge"])
            if charge["payment_method_details"]["card"].get("capture_before", 1 << 60) <= time.time():
                return self.lapse(intent["id"])
        return intent

    def lapse(self, intent_id: str) -> dict[str, Any]:
        """The authorization ended by itself: the bank released it (docs.stripe.com, place a hold, "expiration")."""
        with self.store.transaction():
            intent = self.store.get("payment_intent", intent_id, "intent")
            if intent["status"] != "requires_capture":
                raise unexpected_state("lapsed", intent, "requires_capture")
            charge = self.store.get("charge", intent["latest_charge"])
            self.emit("charge.expired", charge)
            return self._end_intent(intent, "automatic")

    def _end_intent(self, intent: dict[str, Any], reason: str | None) -> dict[str, Any]:
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
        self.emit("payment_intent.canceled", intent)
        return intent

    def _capture(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        intent = self._intent(path["id"])
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
            self._end_intent(intent, "automatic")
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
        return self._take(intent, amount)[0]

    def _take(self, intent: dict[str, Any], amount: int) -> tuple[dict[str, Any], dict[str, Any]]:
        charge = self.store.get("charge", intent["latest_charge"])
        charge |= {"captured": True, "amount_captured": amount}
        # One capture only; what is not taken is released at once (payments.md H5)
        intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
        label = intent["_card"]["number_of"]
        if label == "dispute":
            charge["disputed"] = True
        self.store.put(charge)
        self.store.put(intent)
        if intent["capture_method"] == "manual":
            self.emit("charge.captured", charge)
        self.emit("payment_intent.succeeded", intent)
        if label == "dispute":
            self.emit("charge.dispute.created", self._dispute(intent, charge))
        return intent, charge

    def _dispute(self, intent: dict[str, Any], charge: dict[str, Any]) -> dict[str, Any]:
        dispute = {
            "id": new_id("du_"),
            "object": "dispute",
            "amount": charge["amount_captured"],
            "charge": charge["id"],
            "created": int(time.time()),
            "currency": charge["currency"],
            "livemode": False,
            "metadata": {},
            "payment_intent": intent["id"],
            "reason": "fraudulent",
            "status": "needs_response",
        }
        self.store.put(dispute)
        return dispute

    def _cancel(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        intent = self._intent(path["id"])
        # https://docs.stripe.com/api/payment_intents/cancel: an intent made by Checkout only in requires_capture
        if intent["status"] != "requires_capture":
            raise unexpected_state("canceled", intent, "requires_capture")
        return self._end_intent(intent, params.get("cancellation_reason"))

    # --- refunds (https://docs.stripe.com/api/refunds) ---

    def _create_refund(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        charge = self._refundable_charge(params)
        left = charge["amount_captured"] - charge["amount_refunded"]
        if left <= 0:
            raise WireError(
                400,
                f"Charge {charge['id']} has already been refunded.",
                code="charge_already_refunded",
                is_executed=True,
            )
        amount = params.get("amount", left)
        if not 0 < amount <= left:
            raise WireError(
                400,
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
                param="amount",
                is_executed=True,
            )
        label = self.store.get("payment_intent", charge["payment_intent"])["_card"]["number_of"]
        refund = {
            "id": new_id("re_"),
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "created": int(time.time()),
            "currency": charge["currency"],
            "failure_reason": None,
            "metadata": params.get("metadata", {}),
            "payment_intent": charge["payment_intent"],
            "reason": params.get("reason"),
            "status": "pending" if label == "refund_pending" else "succeeded",
        }
        self._change_refunded(charge, amount)
        self.store.put(refund)
        self.emit("refund.created", refund)
        self.emit("charge.refunded", charge)
        if label in ("refund_pending", "refund_fails"):
            status = "succeeded" if label == "refund_pending" else "failed"
            due_at = time.time() + self.rules.refund_delay_seconds
            self.store.do_later(due_at, {"do": "refund", "id": refund["id"], "status": status})
        return refund

    def _refundable_charge(self, params: dict[str, Any]) -> dict[str, Any]:
        if "charge" in params:
            charge = self.store.get("charge", params["charge"], "charge")
        elif "payment_intent" in params:
            intent = self._intent_by(params["payment_intent"])
            if intent["status"] != "succeeded":
                raise WireError(
                    400,
                    f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                    code="payment_intent_unexpected_state",
                    is_executed=True,
                )
            charge = self.store.get("charge", intent["latest_charge"])
        else:
            raise WireError(400, "One of the following params should be provided: charge or payment_intent.")
        if charge["disputed"]:
            raise WireError(
                400, f"Charge {charge['id']} has been charged back.", code="charge_disputed", is_executed=True
            )
        return charge

    def _intent_by(self, id: str) -> dict[str, Any]:
        intent = self.store.find(id, "payment_intent")
        if intent is None:
            raise missing("payment_intent", id, "payment_intent")
        return intent

    def _change_refunded(self, charge: dict[str, Any], by: int) -> None:
        charge["amount_refunded"] += by
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
        self.store.put(charge)

    def _finish_refund(self, id: str, status: str) -> None:
        refund = self.store.get("refund", id)
        refund["status"] = status
        if status == "failed":
            refund["failure_reason"] = "expired_or_canceled_card"
            self._change_refunded(self.store.get("charge", refund["charge"]), -refund["amount"])
        self.store.put(refund)
        self.emit("refund.failed" if status == "failed" else "refund.updated", refund)

    # --- webhook endpoints and lists ---

    def _create_endpoint(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        _check_url(params["url"], "url")
        return self.add_endpoint(params["url"], new_id("whsec_", 32), params["enabled_events"])

    def add_endpoint(self, url: str, secret: str, events: list[str], id: str | None = None) -> dict[str, Any]:
        endpoint = {
            "id": id or new_id("we_"),
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "enabled_events": events,
            "livemode": False,
            "metadata": {},
            "secret": secret,
            "status": "enabled",
            "url": url,
        }
        self.store.put(endpoint)
        return endpoint

    def _delete_endpoint(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        endpoint = self.store.get("webhook_endpoint", path["id"])
        self.store.delete(endpoint["id"])
        return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}

    def _list(self, kind: str, url: str, *filters: str) -> Callable[[dict[str, Any], dict[str, str]], dict[str, Any]]:
        def page(params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
            rows, more = self.store.page(kind, params, {name: params.get(name) for name in filters})
            return {"object": "list", "url": url, "has_more": more, "data": [_public(row) for row in rows]}

        return page

    def _list_events(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        rows, more = self.store.page("event", params, {"type": params.get("type")})
        if "types" in params:
            rows = [row for row in rows if row["type"] in params["types"]]
        if "delivery_success" in params:
            failed = self.store.undelivered()
            rows = [row for row in rows if (row["id"] not in failed) == params["delivery_success"]]
        return {"object": "list", "url": "/v1/events", "has_more": more, "data": rows}

    # --- what happens by itself ---

    def do_due(self, run: Callable[[dict[str, Any]], None]) -> None:
        """Let what was planned happen: a refund that settles, a request whose effect came late."""
        for id, what in self.store.due_later(time.time()):
            with self.store.transaction():
                self.store.drop_later(id)
                if what["do"] == "refund":
                    self._finish_refund(what["id"], what["status"])
            if what["do"] == "request":
                run(what)


def expand(store: Store, body: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """https://docs.stripe.com/expand: ids replaced by their objects along each path, at most four deep."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > 4:
            raise WireError(400, f"You cannot expand more than 4 levels of a property: {path}", param="expand")
        _expand(store, body, steps, path)
    return body


def _expand(store: Store, place: Any, steps: list[str], path: str) -> None:
    if isinstance(place, list):
        for item in place:
            _expand(store, item, steps, path)
        return
    if not steps or place is None:
        return
    if not isinstance(place, dict) or steps[0] not in place:
        raise WireError(400, f"This property cannot be expanded ({path}).", param="expand")
    value = place[steps[0]]
    if isinstance(value, str):
        found = store.find(value)
        if found is None:
            raise WireError(400, f"This property cannot be expanded ({path}).", param="expand")
        place[steps[0]] = value = _public(found)
    _expand(store, value, steps[1:], path)


def public(body: Any) -> Any:
    """The object as it goes over the wire: without our own notes."""
    if isinstance(body, dict):
        return {name: public(value) for name, value in body.items() if not name.startswith("_")}
    if isinstance(body, list):
        return [public(item) for item in body]
    return body


def _public(body: dict[str, Any]) -> dict[str, Any]:
    # A webhook secret is only shown when the endpoint is made (docs.stripe.com/api/webhook_endpoints/object).
    return {name: value for name, value in body.items() if not (name == "secret" and "url" in body)}


def _wants(endpoint: dict[str, Any], type: str) -> bool:
    return endpoint["status"] == "enabled" and ("*" in endpoint["enabled_events"] or type in endpoint["enabled_events"])


def _check_url(url: Any, param: str) -> None:
    if url is None:
        raise WireError(400, f"Missing required param: {param}.", code="parameter_missing", param=param)
    parts = urlsplit(url) if isinstance(url, str) and re.fullmatch(r"[!-~]{1,5000}", url) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise WireError(400, "Not a valid URL", code="url_invalid", param=param)


def _line_amount(items: Any) -> tuple[int, str, str]:
    """Amount, currency and title of the line items (https://docs.stripe.com/api/checkout/sessions/create)."""
    if not items:
        raise WireError(400, "Missing required param: line_items.", code="parameter_missing", param="line_items")
    amount, currencies, titles = 0, set(), []
    for index, item in enumerate(items):
        path = f"line_items[{index}]"
        price = item.get("price_data")
        if price is None or "unit_amount" not in price or "product_data" not in price or "quantity" not in item:
            raise WireError(400, f"The sandbox needs {path} with quantity and price_data.", param=path)
        if price["unit_amount"] < 0 or item["quantity"] < 1:
            raise WireError(400, f"Invalid amount in {path}", code="parameter_invalid_integer", param=path)
        amount += price["unit_amount"] * item["quantity"]
        currencies.add(price["currency"])
        titles.append(price["product_data"]["name"])
    if len(currencies) != 1:
        raise WireError(400, "All line items must have the same currency.", param="line_items")
    currency = currencies.pop()
    if not re.fullmatch("[a-z]{3}", currency):
        raise WireError(400, f"Invalid currency: {currency[:10]}", param="line_items[0][price_data][currency]")
    if amount < _LEAST.get(currency, 50):
        raise WireError(
            400,
            "The Checkout Session's total amount due must add up to at least the minimum of its currency.",
            code="amount_too_small",
        )
    if amount > _amount_max:
        raise WireError(400, "The Checkout Session's total amount is too large.", code="amount_too_large")
    if amount % _WHOLE_ONLY.get(currency, 1) or (currency in _TENS_ONLY and amount % 10):
        raise WireError(400, f"Invalid amount for {currency}: it cannot be charged exactly.", param="line_items")
    return amount, currency, ", ".join(titles)
