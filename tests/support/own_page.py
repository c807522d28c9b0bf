"""A merchant whose payers stay on our page: a saga connected to the payment sandbox, and what is on such a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from groupbook import merchants
from groupbook.kit.ids import to_wire
from tests.support.payments import API_KEY, WEBHOOK_SECRET, RunningSandbox
from tests.support.saga import Saga


def own_page_saga(database_url: str, sandbox: RunningSandbox, *names: str, **settings: Any) -> Saga:
    """Friends in a trip of a merchant that has the payment page on our pages."""
    saga = Saga(database_url, *names, stripe_api_base=sandbox.url, **settings)
    configuration = {
        "secret_key": API_KEY,
        "webhook_secret": WEBHOOK_SECRET,
        "api_base": sandbox.url,
        "page": "own",
        "publishable_key": sandbox.sandbox.keys.publishable,
    }
    with saga.database.begin(saga.merchant_id) as session:
        sealer = saga.house.sealer
        merchants.connect(session, sealer, kind="payment_provider", adapter="stripe", configuration=configuration)
    return saga


def seat_cookie(saga: Saga, name: str) -> tuple[str, str]:
    """The cookie by which this friend's browser is known in the trip."""
    return f"gb_seat_{saga.trip_id.hex}", saga.tokens[name]


def trip_path(saga: Saga) -> str:
    return f"/t/{to_wire('trip', saga.trip_id)}"


@dataclass(frozen=True)
class OnPage:
    """What the page gives its own script."""

    key: str
    secret: str
    kind: str
    back: str
    account: str

    def pay(self, sandbox: RunningSandbox, number: str, *, answer: str | None = None) -> dict[str, Any]:
        """Type a card into the provider's fields, as the payer's browser does; what it is told."""
        import httpx2

        shown = {"key": self.key, "client_secret": self.secret}
        with httpx2.Client(base_url=sandbox.url, trust_env=False) as client:
            card = {"number": number, "expiry": "12/39", "cvc": "123"}
            told: dict[str, Any] = client.post("/v3/confirm", json=shown | card).json()
            if answer is not None:
                told = client.post("/v3/answer", json=shown | {"answer": answer}).json()
            return told

    @property
    def returned(self) -> str:
        """Where Stripe.js sends the browser after a yes, with what it adds to the address."""
        intent = self.secret.partition("_secret_")[0]
        kind = "setup_intent" if self.kind == "save" else "payment_intent"
        return f"{self.back}&{kind}={intent}&{kind}_client_secret={self.secret}&redirect_status=succeeded"


def on_page(html: str) -> OnPage:
    found = dict(re.findall(r'data-(key|account|secret|kind|back)="([^"]*)"', html))
    return OnPage(**{name: unescape(value) for name, value in found.items()})
