"""The stand-in for Stripe.js: what it takes, whom it answers, and what stays secret. Browsers: tests/journeys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.payments import API_KEY, RunningSandbox, running

GOOD, ASKED, POOR = "4242424242424242", "4000002500003155", "4000000000009995"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    folder: Path = tmp_path_factory.mktemp("sandbox")
    with running(folder) as server:
        yield server


def made(sandbox: RunningSandbox, **more: Any) -> dict[str, Any]:
    given = {"amount": 5000, "currency": "eur", "capture_method": "manual"} | more
    answer = sandbox.api("POST", "/v1/payment_intents", given)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ask(sandbox: RunningSandbox, path: str, intent: dict[str, Any], **more: str) -> tuple[int, dict[str, Any]]:
    given = {"key": sandbox.sandbox.keys.publishable, "client_secret": intent["client_secret"]} | more
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as web:
        answer = web.post(path, json=given)
    return answer.status_code, answer.json()


def test_a_card_is_authorized_and_the_terminal_intent_is_shown_no_more(sandbox: RunningSandbox) -> None:
    intent = made(sandbox)
    shown = {"object": "payment_intent", "payment_method_types": ["card", "link"]}
    assert ask(sandbox, "/v3/session", intent) == (200, shown)
    status, told = ask(sandbox, "/v3/confirm", intent, number=GOOD, expiry="12/39", cvc="123")
    assert (status, told["intent"]["status"]) == (200, "requires_capture")
    card = {"number": GOOD, "expiry": "12/39", "cvc": "123"}
    questions: list[tuple[str, dict[str, str]]] = [("/v3/session", {}), ("/v3/confirm", card)]
    for path, more in questions:
        status, told = ask(sandbox, path, intent, **more)
        assert (status, told["error"]["code"]) == (400, "payment_intent_unexpected_state")


def test_the_bank_asks_and_may_be_refused_and_asked_again(sandbox: RunningSandbox) -> None:
    intent = made(sandbox)
    card = {"number": ASKED, "expiry": "12/39", "cvc": "123"}
    _, told = ask(sandbox, "/v3/confirm", intent, **card)
    assert (told["intent"]["status"], "€50.00" in told["asks"]) == ("requires_action", True)
    _, told = ask(sandbox, "/v3/answer", intent, answer="refuse")
    assert told["error"]["code"] == "payment_intent_authentication_failure"
    ask(sandbox, "/v3/confirm", intent, **card)
    _, told = ask(sandbox, "/v3/answer", intent, answer="confirm")
    assert told["intent"]["status"] == "requires_capture"
    assert ask(sandbox, "/v3/answer", intent, answer="confirm") == (200, told)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"number": "4242", "expiry": "12/39", "cvc": "123"}, "incorrect_number"),
        ({"number": GOOD, "expiry": "01/20", "cvc": "123"}, "invalid_expiry"),
        ({"number": GOOD, "expiry": "12/39", "cvc": "1"}, "invalid_cvc"),
        ({}, "incorrect_number"),
    ],
)
def test_an_unfinished_card_asks_no_bank(sandbox: RunningSandbox, given: dict[str, str], code: str) -> None:
    intent = made(sandbox)
    _, told = ask(sandbox, "/v3/confirm", intent, **given)
    assert (told["error"]["type"], told["error"]["code"]) == ("validation_error", code)
    now = sandbox.api("GET", f"/v1/payment_intents/{intent['id']}").json()
    assert (now["status"], now["latest_charge"], now["last_payment_error"]) == ("requires_payment_method", None, None)


def test_only_the_key_for_browsers_and_the_right_secret_are_taken(sandbox: RunningSandbox) -> None:
    intent = made(sandbox)
    other = made(sandbox)
    wrong: list[tuple[dict[str, str], int]] = [
        ({"key": API_KEY}, 401),
        ({"key": "pk_test_somebody"}, 401),
        ({"client_secret": intent["client_secret"][:-1]}, 404),
        ({"client_secret": intent["id"]}, 404),
        ({"client_secret": f"{intent['id']}_secret_{other['client_secret'].partition('_secret_')[2]}"}, 404),
        ({"account": "acct_of_somebody"}, 403),
        ({"amount": "1"}, 400),
    ]
    for more, status in wrong:
        assert ask(sandbox, "/v3/session", intent, **more)[0] == status, more
    assert sandbox.api("GET", f"/v1/payment_intents/{intent['id']}").json()["status"] == "requires_payment_method"


def test_a_publishable_key_reads_what_it_has_the_secret_of_and_does_nothing_else(sandbox: RunningSandbox) -> None:
    intent, headers = made(sandbox), {"Authorization": f"Bearer {sandbox.sandbox.keys.publishable}"}
    path = f"/v1/payment_intents/{intent['id']}"
    with httpx2.Client(base_url=sandbox.url, trust_env=False, headers=headers) as web:
        assert web.get(path, params={"client_secret": intent["client_secret"]}).json()["id"] == intent["id"]
        assert web.get(path).status_code == 400
        assert web.get(path, params={"client_secret": f"{intent['id']}_secret_x"}).status_code == 400
        assert web.get("/v1/payment_intents").status_code == 403
        assert web.post(f"{path}/cancel").status_code == 403
        assert web.post("/v1/setup_intents").status_code == 403


def test_a_kept_card_and_its_customer(sandbox: RunningSandbox) -> None:
    """A SetupIntent of its own is canceled while nobody gave a card, and not any more once one is kept."""
    customer = sandbox.api("POST", "/v1/customers").json()["id"]
    given = {"customer": customer, "usage": "off_session"}
    waiting, kept = (sandbox.api("POST", "/v1/setup_intents", given).json() for _ in range(2))
    assert sandbox.api("POST", f"/v1/setup_intents/{waiting['id']}/cancel").json()["status"] == "canceled"
    _, told = ask(sandbox, "/v3/confirm", kept, number=GOOD, expiry="12/39", cvc="123")
    assert told["intent"] == {"id": kept["id"], "object": "setup_intent", "status": "succeeded"}
    refused = sandbox.api("POST", f"/v1/setup_intents/{kept['id']}/cancel")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "setup_intent_unexpected_state")
    methods = sandbox.api("GET", f"/v1/customers/{customer}/payment_methods").json()["data"]
    assert [one["card"]["last4"] for one in methods] == ["4242"]
    _, told = ask(sandbox, "/v3/confirm", waiting, number=GOOD, expiry="12/39", cvc="123")
    assert told["error"]["code"] == "setup_intent_unexpected_state"


def test_the_frames_are_of_this_origin_and_may_be_shown_anywhere(sandbox: RunningSandbox) -> None:
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as web:
        script = web.get("/v3/")
        frames = [web.get(path, params={"locale": "fr", "theme": "night"}) for path in ("/v3/element", "/v3/challenge")]
    assert script.headers["content-type"].startswith("text/javascript")
    for frame in frames:
        policy = frame.headers["content-security-policy"]
        assert ("frame-ancestors *" in policy, "connect-src 'self'" in policy, "unsafe" in policy) == (
            True,
            True,
            False,
        )
        assert (frame.headers["content-language"], re.findall(r"_secret_", frame.text)) == ("fr", [])


def test_nothing_typed_is_kept(sandbox: RunningSandbox) -> None:
    intent = made(sandbox)
    ask(sandbox, "/v3/confirm", intent, number=POOR, expiry="11/38", cvc="747")
    rows = json.dumps(sandbox.sandbox.store._run("SELECT body FROM object"), default=str)
    assert (POOR in rows, "747" in re.findall(r'"cvc[^,]*', rows)) == (False, False)
