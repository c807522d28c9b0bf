"""Restricted keys of the sandbox: each call asks for its permission, and Stripe's own words say which is missing."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
import stripe

from integrations.demo.payments.cards import METHODS
from integrations.demo.payments.keys import NAMES
from tests.support.payments import RunningSandbox, running


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), refund_delay_seconds=0.1) as server:
        yield server


def client_with(sandbox: RunningSandbox, **levels: str) -> stripe.StripeClient:
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as web:
        made = web.post("/_keys", json=levels)
    assert made.status_code == 201
    return stripe.StripeClient(made.json()["key"], base_addresses={"api": sandbox.url}, max_network_retries=0)


def test_a_key_may_what_was_ticked_and_the_refusal_names_the_rest(sandbox: RunningSandbox) -> None:
    client = client_with(sandbox, payment_intent="read")
    assert client.v1.payment_intents.list().data == []
    with pytest.raises(stripe.PermissionError) as refused:
        client.v1.payment_intents.create({"amount": 500, "currency": "eur"})
    assert refused.value.http_status == 403
    assert "Having the 'rak_payment_intent_write' permission would allow this request" in str(refused.value)
    assert refused.value.code is None
    with pytest.raises(stripe.PermissionError):
        client.v1.webhook_endpoints.list()


def test_writing_includes_reading_and_expanding_needs_its_own(sandbox: RunningSandbox) -> None:
    client = client_with(sandbox, payment_intent="write")
    intent = client.v1.payment_intents.create(
        {
            "amount": 500,
            "currency": "eur",
            "confirm": True,
            "payment_method": "pm_card_visa",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "capture_method": "manual",
        }
    )
    assert (intent.status, client.v1.payment_intents.retrieve(intent.id).id) == ("requires_capture", intent.id)
    with pytest.raises(stripe.PermissionError, match="rak_charge_read"):
        client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})


def test_a_key_that_was_never_made_is_nobodys(sandbox: RunningSandbox) -> None:
    client = stripe.StripeClient("rk_test_made_up", base_addresses={"api": sandbox.url}, max_network_retries=0)
    with pytest.raises(stripe.AuthenticationError):
        client.v1.accounts.retrieve_current()


def test_the_page_shows_a_key_once(sandbox: RunningSandbox) -> None:
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as web:
        page = web.post("/_keys", data=dict.fromkeys(NAMES, "read")).text
        key = page.split('<code id="key">')[1].split("<")[0]
        assert key.startswith("rk_test_")
        again = web.get("/_keys").text
        assert web.post("/_keys", data={"charge": "read"}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert key not in again
    assert f"…{key[-4:]}" in again
    rows = sandbox.sandbox.store._run("SELECT count(*) FROM object WHERE body LIKE ?", f"%{key}%")
    assert rows == [(0,)]


def test_every_named_test_method_is_a_test_card() -> None:
    assert len({card.number for card in METHODS.values()}) == len(METHODS)
