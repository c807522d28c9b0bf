"""The whole way over Stripe's wire: our runner, the one adapter, the sandbox's page, its signed webhook back to us."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

from groupbook import merchants, payments
from groupbook.kit.database import Database
from groupbook.kit.errors import Unavailable
from groupbook.kit.http import Edge
from groupbook.kit.money import Money
from groupbook.kit.runner import Runner, RunnerSettings
from groupbook.payments.endpoints import PaymentDeps, routes
from integrations.demo.payments.webhooks import sign
from integrations.payments import stripe
from integrations.payments.twin import Twin
from tests.payments.conftest import SEALER, House
from tests.support.payments import (
    API_KEY,
    CHALLENGED,
    OK,
    POOR,
    WEBHOOK_SECRET,
    RunningSandbox,
    running,
)


@contextmanager
def webhook_endpoint(deps: PaymentDeps) -> Iterator[str]:
    """Our own inbound route on a loopback port."""
    app = Starlette(routes=routes(deps, Edge(deps.database, lambda _: None, "http://localhost:8000")))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/in/stripe/kestrel"
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def story(database: Database, tmp_path: Path) -> Iterator[tuple[House, RunningSandbox, str]]:
    merchant = merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=False)
    made: list[stripe.StripeProvider] = []

    def connect(configuration: dict[str, str], *, livemode: bool) -> stripe.StripeProvider:
        made.append(stripe.connect(configuration, livemode=livemode))
        return made[-1]

    providers = payments.Providers(database, SEALER, {"stripe": connect}, timeout_seconds=5)  # type: ignore[dict-item]
    runner = Runner(
        database, payments.intent_handlers(providers), RunnerSettings(retry_seconds_min=1, retry_seconds_max=60)
    )
    with (
        webhook_endpoint(PaymentDeps(database, providers)) as url,
        running(tmp_path, webhook_url=url, webhook_secret=WEBHOOK_SECRET) as sandbox,
    ):
        configuration = {"secret_key": API_KEY, "webhook_secret": WEBHOOK_SECRET, "api_base": sandbox.url}
        with database.begin(merchant.id) as session:
            merchants.connect(session, SEALER, kind="payment_provider", adapter="stripe", configuration=configuration)
        yield House(database, merchant.id, Twin(), runner, providers), sandbox, url
    for provider in made:
        provider.close()


def until(house: House, states: set[str]) -> None:
    """Let webhooks come in and owed readings run, as the worker does."""
    deadline = time.time() + 15
    while time.time() < deadline and set(house.states.values()) != states:
        house.quiet()
        time.sleep(0.05)
    assert set(house.states.values()) == states


def test_three_friends_settle_over_the_wire(story: tuple[House, RunningSandbox, str]) -> None:
    """One pays, one is declined and tries again, one confirms with the bank; nobody comes back to our page."""
    house, sandbox, _ = story
    house.open(ada=3334, bo=3333, cy=3333)
    sandbox.type_card(house.start("ada").url, OK)
    page = house.start("bo").url
    sandbox.type_card(page, POOR)
    until(house, {"authorized", "declined", "open"})
    assert house.view("bo").decline_reason == "insufficient_funds"
    sandbox.fault("lost_answer", "checkout.sessions.create")
    with pytest.raises(Unavailable):
        house.start("cy")
    house.quiet()
    sandbox.type_card(house.start("cy").url, CHALLENGED, answer="confirm")
    sandbox.type_card(page, OK)
    until(house, {"authorized"})
    assert sandbox.api("GET", "/v1/checkout/sessions").json()["has_more"] is False
    assert len(sandbox.api("GET", "/v1/checkout/sessions").json()["data"]) == 3  # the lost answer opened no second page
    sandbox.fault("server_error", "payment_intents.capture")
    sandbox.fault("lost_answer", "payment_intents.capture")
    house.capture_all()
    until(house, {"captured"})
    intents = sandbox.api("GET", "/v1/payment_intents").json()["data"]
    assert sorted(row["amount_received"] for row in intents) == [3333, 3333, 3334]
    assert house.statement.captured.minor == 10_000
    with house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], Money(3334, "EUR"), reason="member_canceled")
    until(house, {"captured", "refunded"})
    assert house.statement.net.minor == 6666


def test_one_missing_and_nothing_stays_at_the_provider(story: tuple[House, RunningSandbox, str]) -> None:
    house, sandbox, _ = story
    house.open(ada=3334, bo=3333, cy=3333)
    sandbox.type_card(house.start("ada").url, OK)
    sandbox.type_card(house.start("bo").url, CHALLENGED)  # left at the bank's question
    house.start("cy")
    until(house, {"authorized", "authorizing"})
    sandbox.fault("lost_answer", "payment_intents.cancel")
    house.void_all()
    until(house, {"voided"})
    statuses = {row["status"] for row in sandbox.api("GET", "/v1/payment_intents").json()["data"]}
    assert statuses == {"canceled"}
    pages = {row["status"] for row in sandbox.api("GET", "/v1/checkout/sessions").json()["data"]}
    assert pages == {"complete", "expired"}


def test_what_comes_in_is_answered_clearly(story: tuple[House, RunningSandbox, str]) -> None:
    """Attacks 29, 31 and 33 of the catalogue, over HTTP."""
    house, _, url = story
    body = json.dumps(
        {
            "id": "evt_1",
            "object": "event",
            "type": "charge.captured",
            "livemode": False,
            "created": 1,
            "data": {"object": {"id": "ch_1", "object": "charge"}},
        }
    ).encode()
    now = int(time.time())
    live = body.replace(b'"livemode": false', b'"livemode": true')
    cases = [
        (body, sign(body, WEBHOOK_SECRET, now), 200),
        (body, sign(body, WEBHOOK_SECRET, now), 200),  # a replay is a no-op
        (body, sign(body, "whsec_other", now), 400),
        (body, sign(body, WEBHOOK_SECRET, now - 600), 400),
        (body, sign(body, WEBHOOK_SECRET, now + 600), 400),
        (body + b" ", sign(body, WEBHOOK_SECRET, now), 400),
        (b"\xff\xfe", "t=1,v1=0", 400),
        (b"[]", sign(b"[]", WEBHOOK_SECRET, now), 400),
        (b"{}", sign(b"{}", WEBHOOK_SECRET, now), 400),
        (live, sign(live, WEBHOOK_SECRET, now), 400),
        (body, "", 400),
    ]
    with httpx2.Client(trust_env=False) as client:
        for sent, signature, status in cases:
            answer = client.post(url, content=sent, headers={"Stripe-Signature": signature})
            assert (answer.status_code, sent) == (status, sent)
        assert client.post(url.replace("kestrel", "nobody"), content=body).status_code == 404
        assert client.post(url.replace("kestrel", "mch_xyz"), content=body).status_code == 404
    assert house.counts("inbox") == [1]
