"""A bench for Stripe as the outside reaches it: its public API, its hosted page in a browser, and a line that breaks.

The sandbox is played the same way, so that the bench itself is known to work; `GROUPBOOK_TEST_STRIPE_KEY` plays it on
Stripe (docs/stripe.md).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import httpx2
import pytest

from groupbook.payments.domain import DisputeState
from groupbook.payments.ports import PaymentOrder, PaymentPage, PaymentRef, Seen
from integrations.demo.payments.webhooks import sign
from integrations.payments.stripe import StripeProvider
from integrations.payments.stripe.configuration import Configuration
from tests.support.payments import CHALLENGED, DECLINES_LATER, OK, POOR, WEBHOOK_SECRET, RunningSandbox

_PATHS: Final = {
    "open_payment": ("POST", r"/v1/checkout/sessions"),
    "close_payment": ("POST", r"/v1/checkout/sessions/\w+/expire"),
    "observe": ("GET", r"/v1/checkout/sessions.*"),
    "authorize_saved": ("POST", r"/v1/payment_intents"),
    "capture": ("POST", r"/v1/payment_intents/\w+/capture"),
    "void": ("POST", r"/v1/payment_intents/\w+/cancel"),
    "refund": ("POST", r"/v1/refunds"),
    "list_movements": ("GET", r"/v1/payment_intents"),
}
_PAGE_SECONDS: Final = 20.0


class BreakingLine(httpx2.BaseTransport):
    """The way to the provider, which loses answers, or is answered by somebody who stands in between."""

    def __init__(self) -> None:
        self._inner = httpx2.HTTPTransport()
        self._planned: list[tuple[str, str]] = []
        self._stuck: set[str] = set()  # keys under which a 500 is kept, as Stripe keeps one for a day

    def plan(self, kind: Literal["lost", "server_error", "rate_limit"], operation: str) -> None:
        self._planned.append((kind, operation))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        key = request.headers.get("idempotency-key", "")
        kind = self._take(request)
        if kind == "rate_limit":
            return httpx2.Response(429, json={"error": {"code": "rate_limit", "type": "invalid_request_error"}})
        if kind == "server_error" or key in self._stuck:
            self._stuck |= {key} if key else set()
            return httpx2.Response(500, json={"error": {"type": "api_error", "message": "unknown"}})
        answer = self._inner.handle_request(request)
        if kind == "lost":
            answer.read()
            answer.close()
            raise httpx2.ReadError("the answer was lost")
        return answer

    def _take(self, request: httpx2.Request) -> str:
        for planned in self._planned:
            method, path = _PATHS[planned[1]]
            if request.method == method and re.fullmatch(path, request.url.path):
                self._planned.remove(planned)
                return planned[0]
        return ""

    def close(self) -> None:
        self._inner.close()


@dataclass
class Payer:
    """Somebody at the hosted page: Stripe's ids of the fields, or the sandbox's."""

    browser: Any

    def pay(self, url: str, number: str, *, answer: Literal["confirm"] | None = None) -> None:
        """Type the card and wait until the page has gone on; a page that takes no card any more is left alone."""
        context = self.browser.new_context()
        page = context.new_page()
        page.set_default_timeout(_PAGE_SECONDS * 1000)
        back: list[str] = []

        def note(request: Any) -> None:
            if request.url.startswith("http://localhost:8000/"):  # where nobody need answer
                back.append(request.url)

        page.on("request", note)
        page.goto(url)
        field = page.locator("#cardNumber, #number")
        if self._appears(page, "#cardNumber, #number"):
            field.fill(number)
            page.locator("#cardExpiry, #expiry").fill("12 / 39")
            page.locator("#cardCvc, #cvc").fill("123")
            for optional, text in (("#email", "payer@example.com"), ("#billingName", "A Payer")):
                if page.locator(optional).count():
                    page.locator(optional).fill(text)
            page.locator('[data-testid="hosted-payment-submit-button"], #pay').click()
            self._go_on(page, back, answer)
        context.close()

    def _appears(self, page: Any, selector: str) -> bool:
        for _ in range(int(_PAGE_SECONDS * 5) if "stripe.com" in page.url else 1):
            if page.locator(selector).count():
                return True
            page.wait_for_timeout(200)
        return False

    def _go_on(self, page: Any, back: list[str], answer: str | None) -> None:
        asked = '#test-source-authorize-3ds, button[name="answer"][value="confirm"]'
        for _ in range(int(_PAGE_SECONDS * 5)):
            if back:
                return
            frame = next((one for one in page.frames if one.locator(asked).count()), None)
            if frame is not None and answer is None:
                return  # left at the bank's question
            if frame is not None:
                frame.locator(asked).first.click()
                answer = "confirm"
            elif page.locator('#error, [role="alert"]:visible').count():
                return
            page.wait_for_timeout(200)
        raise AssertionError("the hosted page never went on")


@dataclass
class RemoteBench:
    """Stripe (or the sandbox, as if it were far away)."""

    key: str
    payer: Payer
    api_base: str = "https://api.stripe.com"
    sandbox: RunningSandbox | None = None
    line: BreakingLine = field(default_factory=BreakingLine)
    provider: StripeProvider = field(init=False)
    closed: Seen = Seen.EXPIRED

    def __post_init__(self) -> None:
        given = {"secret_key": self.key, "webhook_secret": WEBHOOK_SECRET, "api_base": self.api_base}
        client = httpx2.Client(transport=self.line)
        self.provider = StripeProvider(Configuration.parse(given, livemode=False), livemode=False, client=client)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def authorize(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.payer.pay(page.url, OK)

    def decline(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.payer.pay(page.url, POOR)

    def challenge(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.payer.pay(page.url, CHALLENGED)

    def lapse(self, ref: PaymentRef) -> None:
        if self.sandbox is None:
            pytest.skip("Stripe has nothing that lets an authorization lapse early (https://docs.stripe.com/testing)")
        assert ref.payment_ref is not None
        self.sandbox.lapse(ref.payment_ref)

    def save(self, order: PaymentOrder, page: PaymentPage, *, bank: Literal["yes", "no", "come_back"]) -> None:
        number = {"yes": OK, "no": DECLINES_LATER, "come_back": CHALLENGED}[bank]
        self.payer.pay(page.url, number, answer="confirm" if bank == "come_back" else None)

    def remove_card(self, ref: PaymentRef, saved_ref: str) -> None:
        self._ask("POST", f"/v1/payment_methods/{saved_ref.split('/')[1]}/detach")

    def dispute(self, ref: PaymentRef, decided: DisputeState | None = None) -> None:
        if self.sandbox is None:
            pytest.skip(
                "Stripe disputes a payment by its card, not afterwards (https://docs.stripe.com/testing#disputes)"
            )
        assert ref.payment_ref is not None
        self.sandbox.dispute(ref.payment_ref, None if decided is None else decided.value)

    def lose_answer(self, method: str) -> None:
        self.line.plan("lost", method)

    def server_error(self, method: str) -> None:
        self.line.plan("server_error", method)

    def rate_limit(self, method: str) -> None:
        self.line.plan("rate_limit", method)

    def message(self, ref: PaymentRef) -> tuple[dict[str, str], bytes]:
        listed = self._ask("GET", "/v1/events?limit=100&type=payment_intent.amount_capturable_updated")["data"]
        event = next(one for one in listed if one["data"]["object"]["id"] == ref.payment_ref)
        body = json.dumps(event).encode()
        return {"stripe-signature": sign(body, WEBHOOK_SECRET, int(self.now().timestamp()))}, body

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        with httpx2.Client(base_url=self.api_base) as client:
            answer = client.request(method, path, headers={"Authorization": f"Bearer {self.key}"})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body
