"""What every part of the sandbox shares: the store, the rules of its world, and the events it has to tell.

Pages of Stripe's documentation are cited at the behavior they describe.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from integrations.demo.payments import cards
from integrations.demo.payments.cards import TestCard
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.store import ACCOUNT, Store, new_id

API_VERSION: Final = "2026-10-28.endive"
_WEBHOOK_FAULTS: Final = frozenset({"drop_webhook", "late_webhook", "reorder_webhook"})


@dataclass(frozen=True)
class Rules:
    """What the sandbox may be told about its world."""

    public_url: str
    client_id: str = "ca_sandbox"  # our own platform's (docs.stripe.com/connect/oauth-reference)
    capture_window_seconds: int = 7 * 86_400  # https://docs.stripe.com/payments/place-a-hold-on-a-payment-method
    # The same page: a Visa authorization that the merchant initiates ends after exactly 4 days and 18 hours.
    off_session_visa_seconds: int = 4 * 86_400 + 18 * 3600
    refund_delay_seconds: float = 2.0
    dispute_delay_seconds: float = 2.0

    def window_seconds(self, brand: str, *, is_off_session: bool) -> int:
        """How long a bank keeps an authorization."""
        if is_off_session and brand == "visa":
            return min(self.capture_window_seconds, self.off_session_visa_seconds)
        return self.capture_window_seconds


class Books:
    """The store and the rules; `emit` tells the world what happened."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self.store = store
        self.rules = rules
        self._card_secret = store.setting("card_secret", new_id("", 40))

    def emit(self, type: str, body: dict[str, Any]) -> None:
        """Record an event (docs.stripe.com/api/events/object) and queue it for every endpoint that wants it, with the
        fault the operator asked for.

        What happens on a connected account names it, and goes to the platform's Connect endpoints, too
        (docs.stripe.com/connect/webhooks).
        """
        event = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "data": {"object": body},
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": new_id("req_", 14), "idempotency_key": None},
            "type": type,
        }
        if self.store.account != ACCOUNT:
            event["account"] = self.store.account
        endpoints = [row for row in self._listening() if _wants(row, type)]
        event["pending_webhooks"] = len(endpoints)
        self.store.put(event)
        fault = self.store.take_fault(_WEBHOOK_FAULTS, type)
        if fault and fault[0] == "drop_webhook":
            return
        delay = 0.0
        if fault and fault[0] == "late_webhook":
            delay = fault[1]
        elif fault and fault[0] == "reorder_webhook":
            delay = random.uniform(0.2, 2.0)
        for endpoint in endpoints:
            self.store.queue_delivery(str(event["id"]), endpoint["id"], time.time() + delay)

    def _listening(self) -> list[dict[str, Any]]:
        own = [row for row in self.store.all_of("webhook_endpoint") if not row.get("application")]
        if self.store.account == ACCOUNT or not self.is_connected(self.store.account):
            return own
        with self.store.acting_for(ACCOUNT):
            return own + [row for row in self.store.all_of("webhook_endpoint") if row.get("application")]

    def is_connected(self, account: str) -> bool:
        """Whether this account lets the platform act for it."""
        with self.store.acting_for(ACCOUNT):
            return self.store.find(f"connection_{account}") is not None

    def move(self, kind: str, amount: int, source: dict[str, Any], *, fee: int = 0) -> str:
        """Money moved on the account's balance: one balance transaction (docs.stripe.com/api/balance_transactions).

        `amount` is signed, in the smallest unit. The sandbox itself takes nothing; `fee` is the platform's part of a
        direct charge (docs.stripe.com/connect/direct-charges#collect-fees), below zero when it comes back.
        """
        moved = {
            "id": new_id("txn_"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": int(time.time()),
            "created": int(time.time()),
            "currency": source["currency"],
            "description": None,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [_fee_detail(fee, source["currency"], self.rules.client_id)] if fee else [],
            "net": amount - fee,
            "reporting_category": kind,
            "source": source["id"],
            "status": "available",
            # https://docs.stripe.com/reports/balance-transaction-types
            "type": {"dispute": "adjustment", "dispute_reversal": "adjustment", "refund_failure": "refund_failure"}.get(
                kind, kind
            ),
        }
        self.store.put(moved)
        return str(moved["id"])

    def card_facts(self, card: TestCard, *, last4: str, exp_month: int, exp_year: int) -> dict[str, Any]:
        """What is kept of a card that was typed in; never its number."""
        return {
            "number_of": card.label,
            "brand": card.brand,
            "last4": last4,
            "exp_month": exp_month,
            "exp_year": exp_year,
            "fingerprint": cards.fingerprint(self._card_secret, card.number),
        }


def _fee_detail(amount: int, currency: str, application: str) -> dict[str, Any]:
    return {
        "amount": amount,
        "application": application,
        "currency": currency,
        "description": "application fee",
        "type": "application_fee",
    }


def account(id: str = ACCOUNT, name: str = "Sandbox shop") -> dict[str, Any]:
    """The account that a key belongs to (https://docs.stripe.com/api/accounts/retrieve)."""
    return {
        "id": id,
        "object": "account",
        "business_profile": {"name": name, "url": None},
        "charges_enabled": True,
        "country": "FR",
        "created": 0,
        "default_currency": "eur",
        "details_submitted": True,
        "email": None,
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": name, "timezone": "Europe/Paris"}},
        "type": "standard",
    }


def public(body: Any) -> Any:
    """The object as it goes over the wire: without our own notes."""
    if isinstance(body, dict):
        return {name: public(value) for name, value in body.items() if not name.startswith("_")}
    if isinstance(body, list):
        return [public(item) for item in body]
    return body


def without_secret(body: dict[str, Any]) -> dict[str, Any]:
    # A webhook secret is only shown when the endpoint is made (docs.stripe.com/api/webhook_endpoints/object).
    return {name: value for name, value in body.items() if not (name == "secret" and "url" in body)}


def expand(
    store: Store, body: dict[str, Any], paths: list[str], may_read: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """https://docs.stripe.com/expand: ids replaced by their objects along each path, at most four deep.

    `may_read` is asked about the kind of each object and raises where the key may not read it.
    """
    for path in paths:
        steps = path.split(".")
        if len(steps) > 4:
            raise WireError(400, f"You cannot expand more than 4 levels of a property: {path}", param="expand")
        _expand(store, body, steps, path, may_read)
    return body


def _expand(
    store: Store, place: Any, steps: list[str], path: str, may_read: Callable[[str], None] | None = None
) -> None:
    if isinstance(place, list):
        for item in place:
            _expand(store, item, steps, path, may_read)
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
        if may_read is not None:
            may_read(found["object"])
        place[steps[0]] = value = without_secret(public(found))
    _expand(store, value, steps[1:], path, may_read)


def _wants(endpoint: dict[str, Any], type: str) -> bool:
    return endpoint["status"] == "enabled" and ("*" in endpoint["enabled_events"] or type in endpoint["enabled_events"])
