"""Benches for the payment providers' contract: a provider, and the people, banks and networks around it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from groupbook.kit.ids import AttemptId, new_id
from groupbook.kit.money import Money
from groupbook.payments.domain import DisputeState
from groupbook.payments.ports import OwnPage, PaymentOrder, PaymentPage, PaymentProvider, PaymentRef, Seen
from integrations.demo.payments.webhooks import sign
from integrations.payments.stripe import StripeProvider
from integrations.payments.twin import Twin
from tests.support.payments import CHALLENGED, DECLINES_LATER, OK, POOR, WEBHOOK_SECRET, RunningSandbox

SECONDS = 5.0
EUR = "EUR"


# What a bank says of a kept card when its owner is not there, as the port names it.
_SAID = {"no": "card_declined", "come_back": "authentication_required"}


class Bench(Protocol):
    """A provider under test and the people around it."""

    @property
    def provider(self) -> PaymentProvider: ...
    @property
    def closed(self) -> Seen: ...  # what a page is that was closed before anybody paid

    def now(self) -> datetime: ...
    def authorize(self, order: PaymentOrder, page: PaymentPage) -> None: ...
    def decline(self, order: PaymentOrder, page: PaymentPage) -> None: ...
    def challenge(self, order: PaymentOrder, page: PaymentPage) -> None: ...
    def lapse(self, ref: PaymentRef) -> None: ...
    def save(self, order: PaymentOrder, page: PaymentPage, *, bank: Literal["yes", "no", "come_back"]) -> None: ...
    def remove_card(self, ref: PaymentRef, saved_ref: str) -> None: ...
    def dispute(self, ref: PaymentRef, decided: DisputeState | None = None) -> None: ...
    def lose_answer(self, method: str) -> None: ...
    def server_error(self, method: str) -> None: ...
    def rate_limit(self, method: str) -> None: ...
    def message(self, ref: PaymentRef) -> tuple[dict[str, str], bytes]: ...


@dataclass
class TwinBench:
    provider: Twin

    @property
    def closed(self) -> Seen:
        return Seen.CANCELED if self.provider.has_own_page else Seen.EXPIRED

    def now(self) -> datetime:
        return self.provider.clock()

    def authorize(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.provider.authorize(order.attempt_id)

    def decline(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.provider.decline(order.attempt_id)

    def challenge(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.provider.challenge(order.attempt_id)

    def lapse(self, ref: PaymentRef) -> None:
        self.provider.lapse(ref.attempt_id)

    def save(self, order: PaymentOrder, page: PaymentPage, *, bank: Literal["yes", "no", "come_back"]) -> None:
        self.provider.authorize(order.attempt_id)
        if bank != "yes":
            self.provider.refuse_saved(order.attempt_id, _SAID[bank])

    def remove_card(self, ref: PaymentRef, saved_ref: str) -> None:
        self.provider.remove_saved(ref.attempt_id)

    def dispute(self, ref: PaymentRef, decided: DisputeState | None = None) -> None:
        self.provider.dispute(ref.attempt_id)
        if decided is not None:
            self.provider.decide_dispute(ref.attempt_id, decided)

    def lose_answer(self, method: str) -> None:
        self.provider.plan(method, "lost_answer")

    def server_error(self, method: str) -> None:
        self.provider.plan(method, "server_error")

    def rate_limit(self, method: str) -> None:
        self.provider.plan(method, "unavailable")

    def message(self, ref: PaymentRef) -> tuple[dict[str, str], bytes]:
        found = self.provider.list_events(ref.opened_at - timedelta(days=1), timeout_seconds=SECONDS)
        return self.provider.event(next(event for event in found if event.attempt_id == ref.attempt_id))


_OPERATIONS = {
    "open_payment": "checkout.sessions.create",
    "close_payment": "checkout.sessions.expire",
    "observe": "checkout.sessions.retrieve",
    "authorize_saved": "payment_intents.create",
    "capture": "payment_intents.capture",
    "void": "payment_intents.cancel",
    "refund": "refunds.create",
    "list_movements": "payment_intents.list",
}


@dataclass
class StripeBench:
    provider: StripeProvider
    sandbox: RunningSandbox
    operations: Mapping[str, str] = field(default_factory=lambda: _OPERATIONS)
    closed: Seen = Seen.EXPIRED

    def now(self) -> datetime:
        return datetime.now(UTC)

    def authorize(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.type_card(page, OK)

    def decline(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.type_card(page, POOR)

    def challenge(self, order: PaymentOrder, page: PaymentPage) -> None:
        self.type_card(page, CHALLENGED)

    def type_card(self, page: PaymentPage, number: str, *, answer: str | None = None) -> None:
        self.sandbox.type_card(page.url, number, answer=answer)

    def lapse(self, ref: PaymentRef) -> None:
        assert ref.payment_ref is not None
        self.sandbox.lapse(ref.payment_ref)

    def save(self, order: PaymentOrder, page: PaymentPage, *, bank: Literal["yes", "no", "come_back"]) -> None:
        if bank == "come_back":
            self.type_card(page, CHALLENGED, answer="confirm")
        else:
            self.type_card(page, OK if bank == "yes" else DECLINES_LATER)

    def remove_card(self, ref: PaymentRef, saved_ref: str) -> None:
        _, method = saved_ref.split("/")
        account = self.sandbox.sandbox.store.account
        answer = self.sandbox.api("POST", f"/v1/payment_methods/{method}/detach", Stripe_Account=account)
        assert answer.status_code == 200

    def dispute(self, ref: PaymentRef, decided: DisputeState | None = None) -> None:
        assert ref.payment_ref is not None
        self.sandbox.dispute(ref.payment_ref, None if decided is None else decided.value)

    def lose_answer(self, method: str) -> None:
        self.sandbox.fault("lost_answer", self.operations[method])

    def server_error(self, method: str) -> None:
        self.sandbox.fault("server_error", self.operations[method])

    def rate_limit(self, method: str) -> None:
        self.sandbox.fault("rate_limit", self.operations[method])

    def message(self, ref: PaymentRef) -> tuple[dict[str, str], bytes]:

        from integrations.demo.payments.books import public

        event = next(
            row
            for row in self.sandbox.sandbox.store.all_of("event")
            if row["data"]["object"].get("id") == ref.payment_ref
        )
        body = json.dumps(public(event)).encode()
        return {"stripe-signature": sign(body, WEBHOOK_SECRET, int(self.now().timestamp()))}, body


class OwnPageBench(StripeBench):
    """The sandbox's fields on a page of ours: the payer's browser has the client secret and a key for browsers."""

    def __init__(self, provider: StripeProvider, sandbox: RunningSandbox) -> None:
        own = {
            "open_payment": "payment_intents.create",
            "close_payment": "payment_intents.cancel",
            "observe": "payment_intents.retrieve",
        }
        super().__init__(provider, sandbox, _OPERATIONS | own, Seen.CANCELED)
        self._browsers: dict[str, OwnPage] = {}  # pages that payers have had before their eyes

    def type_card(self, page: PaymentPage, number: str, *, answer: str | None = None) -> None:
        ref = PaymentRef(AttemptId(new_id()), self.now(), page.page_ref)
        shown = self.provider.own_page(ref, timeout_seconds=SECONDS)
        shown = self._browsers.setdefault(page.page_ref, shown) if shown else self._browsers.get(page.page_ref)
        if shown is not None:
            self.sandbox.type_card_into(shown, number, answer=answer)


def order_of(
    minor: int = 3334,
    currency: str = EUR,
    *,
    mode: Literal["authorize", "save"] = "authorize",
    keeps_card: bool = False,
) -> PaymentOrder:
    return PaymentOrder(
        attempt_id=AttemptId(new_id()),
        amount=Money(minor, currency),
        title="Lisbon with friends 🎉",
        success_url="http://localhost:8000/back?ok=1",
        cancel_url="http://localhost:8000/back",
        locale="fr",
        mode=mode,
        keeps_card=keeps_card,
    )


def opened(bench: Bench, order: PaymentOrder) -> tuple[PaymentPage, PaymentRef]:
    page = bench.provider.open_payment(order, key=f"open:{order.attempt_id}", timeout_seconds=SECONDS)
    return page, PaymentRef(order.attempt_id, bench.now() - timedelta(minutes=1), page.page_ref)


def authorized(bench: Bench, minor: int = 3334) -> PaymentRef:
    order = order_of(minor)
    page, ref = opened(bench, order)
    bench.authorize(order, page)
    seen = bench.provider.observe(ref, timeout_seconds=SECONDS)
    assert seen.seen is Seen.AUTHORIZED
    return replace(ref, payment_ref=seen.payment_ref)


def look(bench: Bench, ref: PaymentRef) -> Seen:
    return bench.provider.observe(ref, timeout_seconds=SECONDS).seen
