"""The payment sandbox over its wire: strict like Stripe, honest about faults, and still there after kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import stripe

from tests.support.payments import (
    API_KEY,
    CHALLENGED,
    DECLINED,
    OK,
    WEBHOOK_SECRET,
    RunningSandbox,
    nonce_of,
    running,
)

PAGE = {
    "mode": "payment",
    "success_url": "http://localhost:8000/ok?s={CHECKOUT_SESSION_ID}",
    "cancel_url": "http://localhost:8000/back",
    "locale": "fr",
    "metadata[attempt_id]": "att_1",
    "payment_intent_data[capture_method]": "manual",
    "payment_intent_data[metadata][attempt_id]": "att_1",
    "line_items[0][quantity]": "1",
    "line_items[0][price_data][currency]": "eur",
    "line_items[0][price_data][unit_amount]": "3334",
    "line_items[0][price_data][product_data][name]": "Lisbonne <entre> amis",
}


@pytest.fixture(scope="module")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), refund_delay_seconds=0.1) as server:
        yield server


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    yield shared_sandbox
    shared_sandbox.sandbox.store.clear_faults()


def opened(sandbox: RunningSandbox, **changes: str) -> dict[str, Any]:
    answer = sandbox.api("POST", "/v1/checkout/sessions", PAGE | changes)
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    return session


def authorized(sandbox: RunningSandbox, card: str = OK) -> str:
    session = opened(sandbox)
    sandbox.type_card(session["url"], card)
    intent: str = sandbox.api("GET", f"/v1/checkout/sessions/{session['id']}").json()["payment_intent"]
    return intent


def error_of(answer: httpx2.Response) -> tuple[int, str | None, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error.get("code"), error.get("param")


# --- parameters and errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"captre_method": "manual"}, (400, "parameter_unknown", "captre_method")),
        (
            {"payment_intent_data[captre_method]": "manual"},
            (400, "parameter_unknown", "payment_intent_data[captre_method]"),
        ),
        ({"payment_intent_data[capture_method]": "by_hand"}, (400, None, "payment_intent_data[capture_method]")),
        ({"mode": "paymnt"}, (400, None, "mode")),
        (
            {"line_items[0][price_data][unit_amount]": "33.34"},
            (400, "parameter_invalid_integer", "line_items[0][price_data][unit_amount]"),
        ),
        (
            {"line_items[0][price_data][unit_amount]": "-1"},
            (400, "parameter_invalid_integer", "line_items[0]"),
        ),
        ({"line_items[0][price_data][unit_amount]": "49"}, (400, "amount_too_small", None)),
        ({"line_items[0][price_data][unit_amount]": "999999999"}, (400, "amount_too_large", None)),
        ({"line_items[0][price_data][currency]": "€"}, (400, None, "line_items[0][price_data][currency]")),
        ({"success_url": "javascript:alert(1)"}, (400, "url_invalid", "success_url")),
        ({"expires_at": "1"}, (400, None, "expires_at")),
        ({"metadata[attempt_id]": "x" * 501}, (400, None, "metadata")),
        ({"metadata[a][b]": "x"}, (400, None, "metadata")),
        ({"a[b": "x"}, (400, None, "a[b")),
        ({"a" + "[b]" * 20: "x"}, (400, None, "a")),
    ],
)
def test_a_wrong_parameter_is_named(
    sandbox: RunningSandbox, changes: dict[str, str], expected: tuple[int, str | None, str | None]
) -> None:
    before = len(sandbox.sandbox.store.all_of("checkout.session"))
    assert error_of(sandbox.api("POST", "/v1/checkout/sessions", PAGE | changes)) == expected
    assert len(sandbox.sandbox.store.all_of("checkout.session")) == before


def test_a_missing_parameter_is_named(sandbox: RunningSandbox) -> None:
    given = {name: value for name, value in PAGE.items() if "currency" not in name}
    answer = sandbox.api("POST", "/v1/checkout/sessions", given)
    assert error_of(answer) == (400, "parameter_missing", "line_items[0][price_data][currency]")
    bare = {name: value for name, value in PAGE.items() if not name.startswith("line_items")}
    assert error_of(sandbox.api("POST", "/v1/checkout/sessions", bare))[:2] == (400, "parameter_missing")


def test_keys_paths_and_accounts(sandbox: RunningSandbox) -> None:
    assert sandbox.api("GET", "/v1/events", Authorization="Bearer sk_test_other").status_code == 401
    assert sandbox.api("GET", "/v1/events", Authorization="").status_code == 401
    assert sandbox.api("GET", "/v1/events", Stripe_Account="acct_other").status_code == 403
    assert sandbox.api("GET", "/v1/invoices").status_code == 404
    assert error_of(sandbox.api("GET", "/v1/payment_intents/pi_none")) == (404, "resource_missing", "intent")
    assert error_of(sandbox.api("GET", "/v1/events", {"limit": "101"})) == (400, None, "limit")


def test_expanding_and_paging(sandbox: RunningSandbox) -> None:
    intents = [authorized(sandbox) for _ in range(3)]
    first = sandbox.api("GET", "/v1/payment_intents", {"limit": "2", "expand[0]": "data.latest_charge"}).json()
    assert [row["id"] for row in first["data"]] == intents[:0:-1]
    assert first["has_more"]
    card = first["data"][0]["latest_charge"]["payment_method_details"]["card"]
    assert card["last4"] == "4242"
    assert card["capture_before"] > time.time() + 6 * 86_400
    rest = sandbox.api("GET", "/v1/payment_intents", {"limit": "1", "starting_after": intents[1]}).json()
    assert [row["id"] for row in rest["data"]] == intents[:1]
    wrong = sandbox.api("GET", f"/v1/payment_intents/{intents[0]}", {"expand[0]": "nonsense"})
    assert error_of(wrong) == (400, None, "expand")


# --- idempotency ------------------------------------------------------------------------------------------------------


def test_the_same_key_answers_byte_for_byte(sandbox: RunningSandbox) -> None:
    first, again = (sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="same") for _ in range(2))
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"
    other = sandbox.api("POST", "/v1/checkout/sessions", PAGE | {"locale": "en"}, Idempotency_Key="same")
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
    elsewhere = sandbox.api("POST", "/v1/refunds", {"payment_intent": "pi_x"}, Idempotency_Key="same")
    assert elsewhere.json()["error"]["type"] == "idempotency_error"
    assert sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="k" * 256).status_code == 400


def test_a_validation_failure_is_not_kept_under_the_key(sandbox: RunningSandbox) -> None:
    wrong = sandbox.api("POST", "/v1/checkout/sessions", PAGE | {"nope": "1"}, Idempotency_Key="typo")
    assert wrong.status_code == 400
    assert sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="typo").status_code == 200


def test_a_key_in_use_is_a_conflict(sandbox: RunningSandbox) -> None:
    sandbox.fault("slow", "checkout.sessions.create", seconds=1)
    answers: list[int] = []

    def ask() -> None:
        answers.append(sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="busy").status_code)

    worker = threading.Thread(target=ask)
    worker.start()
    time.sleep(0.4)
    second = sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="busy")
    worker.join()
    assert error_of(second)[:2] == (409, "idempotency_key_in_use")
    assert answers == [200]


# --- payments ---------------------------------------------------------------------------------------------------------


def test_states_are_refused_by_name(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox)
    more = sandbox.api("POST", f"/v1/payment_intents/{intent}/capture", {"amount_to_capture": "3335"})
    assert error_of(more) == (400, "amount_too_large", "amount_to_capture")
    captured = sandbox.api("POST", f"/v1/payment_intents/{intent}/capture", {"amount_to_capture": "3000"}).json()
    assert (captured["status"], captured["amount_received"], captured["amount_capturable"]) == ("succeeded", 3000, 0)
    twice = sandbox.api("POST", f"/v1/payment_intents/{intent}/capture", {"amount_to_capture": "1"})
    assert error_of(twice)[:2] == (400, "charge_already_captured")
    cancel = sandbox.api("POST", f"/v1/payment_intents/{intent}/cancel")
    assert error_of(cancel)[:2] == (400, "payment_intent_unexpected_state")
    voided = authorized(sandbox)
    assert sandbox.api("POST", f"/v1/payment_intents/{voided}/cancel").json()["status"] == "canceled"
    assert (
        error_of(sandbox.api("POST", f"/v1/payment_intents/{voided}/capture"))[1] == "payment_intent_unexpected_state"
    )


def test_two_unkeyed_refunds_are_two_refunds(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox)
    sandbox.api("POST", f"/v1/payment_intents/{intent}/capture")
    for _ in range(2):
        sandbox.api("POST", "/v1/refunds", {"payment_intent": intent, "amount": "1000"})
    over = sandbox.api("POST", "/v1/refunds", {"payment_intent": intent, "amount": "1335"})
    assert error_of(over) == (400, None, "amount")
    assert len(sandbox.api("GET", "/v1/refunds", {"payment_intent": intent}).json()["data"]) == 2
    charge = sandbox.api("GET", "/v1/charges", {"payment_intent": intent}).json()["data"][0]
    assert (charge["amount_refunded"], charge["refunded"]) == (2000, False)


@pytest.mark.parametrize(
    ("card", "status", "code", "decline_code"),
    [
        (DECLINED, "requires_payment_method", "card_declined", "generic_decline"),
        ("4000000000009995", "requires_payment_method", "card_declined", "insufficient_funds"),
        ("4000000000000069", "requires_payment_method", "expired_card", "expired_card"),
        ("4000000000000127", "requires_payment_method", "incorrect_cvc", "incorrect_cvc"),
        ("4000000000000119", "requires_payment_method", "processing_error", "processing_error"),
        ("4100000000000019", "requires_payment_method", "card_declined", "fraudulent"),
        ("4000002500003155", "requires_action", None, None),
        (CHALLENGED, "requires_action", None, None),
    ],
)
def test_test_cards_behave_as_documented(
    sandbox: RunningSandbox, card: str, status: str, code: str | None, decline_code: str | None
) -> None:
    intent = sandbox.api("GET", f"/v1/payment_intents/{authorized(sandbox, card)}").json()
    error = intent["last_payment_error"] or {}
    assert (intent["status"], error.get("code"), error.get("decline_code")) == (status, code, decline_code)


@pytest.mark.parametrize(
    ("card", "answer", "status"),
    [
        (CHALLENGED, "confirm", "requires_capture"),
        (CHALLENGED, "refuse", "requires_payment_method"),
        ("4000008260003178", "confirm", "requires_payment_method"),
    ],
)
def test_the_bank_asks_the_payer(sandbox: RunningSandbox, card: str, answer: str, status: str) -> None:
    session = opened(sandbox)
    sandbox.type_card(session["url"], card, answer=answer)
    session = sandbox.api("GET", f"/v1/checkout/sessions/{session['id']}", {"expand[0]": "payment_intent"}).json()
    assert session["payment_intent"]["status"] == status
    assert session["status"] == ("complete" if status == "requires_capture" else "open")


def test_refunds_that_wait_and_refunds_that_fail(sandbox: RunningSandbox) -> None:
    ends = {}
    for card in ("4000000000007726", "4000000000005126"):
        intent = authorized(sandbox, card)
        sandbox.api("POST", f"/v1/payment_intents/{intent}/capture")
        refund = sandbox.api("POST", "/v1/refunds", {"payment_intent": intent}).json()
        deadline = time.time() + 5
        while time.time() < deadline and sandbox.api("GET", f"/v1/refunds/{refund['id']}").json() == refund:
            time.sleep(0.05)
        ends[refund["status"]] = sandbox.api("GET", f"/v1/refunds/{refund['id']}").json()["status"]
    assert ends == {"pending": "succeeded", "succeeded": "failed"}


def test_a_disputed_charge_cannot_be_refunded(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox, "4000000000000259")
    sandbox.api("POST", f"/v1/payment_intents/{intent}/capture")
    refused = sandbox.api("POST", "/v1/refunds", {"payment_intent": intent})
    assert error_of(refused)[:2] == (400, "charge_disputed")


# --- the hosted page --------------------------------------------------------------------------------------------------


def test_the_page_says_what_it_is_and_escapes_what_it_shows(sandbox: RunningSandbox) -> None:
    session = opened(sandbox)
    page = sandbox.read(session["url"])
    assert page.status_code == 200
    assert 'lang="fr"' in page.text
    assert "Bac à sable" in page.text
    assert "33,34" in page.text
    assert "Lisbonne &lt;entre&gt; amis" in page.text
    policy = page.headers["content-security-policy"]
    assert f"script-src 'nonce-{nonce_of(page.text)}'" in policy
    assert "frame-ancestors 'none'" in policy
    assert 'lang="en"' in sandbox.read(session["url"], locale="en").text


def test_paying_goes_back_to_the_merchant_and_twice_changes_nothing(sandbox: RunningSandbox) -> None:
    session = opened(sandbox)
    paid = sandbox.type_card(session["url"], "4242 4242 4242 4242")
    assert (paid.status_code, paid.headers["location"]) == (303, f"http://localhost:8000/ok?s={session['id']}")
    again = sandbox.type_card(session["url"], OK)
    assert again.status_code == 200
    assert len(sandbox.api("GET", "/v1/charges").json()["data"]) >= 1
    intent = sandbox.api("GET", f"/v1/checkout/sessions/{session['id']}").json()["payment_intent"]
    assert len(sandbox.api("GET", "/v1/charges", {"payment_intent": intent}).json()["data"]) == 1


def test_a_declined_payer_stays_on_the_page_and_reads_why(sandbox: RunningSandbox) -> None:
    session = opened(sandbox)
    sandbox.type_card(session["url"], DECLINED)
    page = sandbox.read(session["url"], locale="en").text
    assert 'role="alert"' in page
    assert "Nothing was charged" in page
    sandbox.type_card(session["url"], OK)
    assert sandbox.api("GET", f"/v1/checkout/sessions/{session['id']}").json()["status"] == "complete"


def test_a_real_looking_card_is_refused_and_never_stored(sandbox: RunningSandbox) -> None:
    number = "4111111111111111"
    session = opened(sandbox)
    sandbox.type_card(session["url"], number)
    assert "not a test card" in sandbox.read(session["url"], locale="en").text
    dump = "\n".join(
        json.dumps(row)
        for kind in ("checkout.session", "payment_intent", "charge", "event")
        for row in sandbox.sandbox.store.all_of(kind)
    )
    assert number not in dump
    assert number[-4:] not in json.dumps(sandbox.sandbox.store.find(session["id"]))
    assert OK not in dump


@pytest.mark.parametrize(
    "form",
    [
        {"number": "4242424242424241", "expiry": "12/39", "cvc": "123"},
        {"number": OK, "expiry": "01/20", "cvc": "123"},
        {"number": OK, "expiry": "13/39", "cvc": "123"},
        {"number": OK, "expiry": "12/39", "cvc": "12"},
        {"number": "", "expiry": "", "cvc": ""},
        {"number": "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "expiry": "12/39", "cvc": "123"},
        {"number": "4" * 10_000, "expiry": "12/39", "cvc": "123"},
    ],
)
def test_bad_input_asks_again_and_asks_no_bank(sandbox: RunningSandbox, form: dict[str, str]) -> None:
    session = opened(sandbox)
    with httpx2.Client(trust_env=False) as client:
        answer = client.post(session["url"], data=form)
    assert answer.status_code == 303
    assert "problem=" in answer.headers["location"]
    assert sandbox.api("GET", f"/v1/checkout/sessions/{session['id']}").json()["payment_intent"] is None


def test_an_expired_page_takes_nothing(sandbox: RunningSandbox) -> None:
    session = opened(sandbox)
    assert sandbox.api("POST", f"/v1/checkout/sessions/{session['id']}/expire").json()["status"] == "expired"
    assert sandbox.type_card(session["url"], OK).status_code == 410
    assert error_of(sandbox.api("POST", f"/v1/checkout/sessions/{session['id']}/expire"))[0] == 400
    assert sandbox.read(f"{sandbox.url}/c/pay/cs_test_none").status_code == 404


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_lost_answer_had_its_effect(sandbox: RunningSandbox) -> None:
    sandbox.fault("lost_answer", "checkout.sessions.create")
    with pytest.raises(httpx2.HTTPError):
        sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="lost")
    again = sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="lost")
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_zombie_lands_later(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox)
    sandbox.fault("late_effect", "payment_intents.capture", seconds=0.5)
    with pytest.raises(httpx2.HTTPError):
        sandbox.api("POST", f"/v1/payment_intents/{intent}/capture", Idempotency_Key="zombie")
    assert sandbox.api("GET", f"/v1/payment_intents/{intent}").json()["status"] == "requires_capture"
    deadline = time.time() + 5
    while time.time() < deadline:
        if sandbox.api("GET", f"/v1/payment_intents/{intent}").json()["status"] == "succeeded":
            break
        time.sleep(0.05)
    replay = sandbox.api("POST", f"/v1/payment_intents/{intent}/capture", Idempotency_Key="zombie")
    assert (replay.status_code, replay.headers["Idempotent-Replayed"]) == (200, "true")


def test_a_500_is_kept_for_its_key(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox)
    sandbox.fault("server_error", "payment_intents.capture")
    path = f"/v1/payment_intents/{intent}/capture"
    codes = [sandbox.api("POST", path, Idempotency_Key=key).status_code for key in ("stuck", "stuck", "stuck:2")]
    assert codes == [500, 500, 200]


def test_faults_are_validated_and_cleared(sandbox: RunningSandbox) -> None:
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as client:
        for wrong in ({"fault": "nonsense"}, {"fault": "slow", "times": 0}, {"fault": "slow", "seconds": "x"}, [1]):
            assert client.post("/_faults", json=wrong).status_code == 400
        cross_site = client.post("/_faults", data={"fault": "slow"}, headers={"Sec-Fetch-Site": "cross-site"})
        assert cross_site.status_code == 403
        sandbox.fault("rate_limit", times=3)
        assert sandbox.api("GET", "/v1/events").status_code == 429
        assert client.get("/_faults").json()["faults"][0]["times"] == 2
        assert client.delete("/_faults").json() == {"faults": []}
        assert "Make something go wrong" in client.get("/_faults", headers={"Accept": "text/html"}).text
    assert sandbox.api("GET", "/v1/events").status_code == 200


# --- webhooks ---------------------------------------------------------------------------------------------------------


class Listener:
    """Somebody's webhook endpoint: keeps what came, answers what it is told to."""

    def __init__(self) -> None:
        self.came: list[tuple[str, bytes]] = []
        self.answers: list[int] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.came.append((self.headers["Stripe-Signature"], body))
                self.send_response(listener.answers.pop(0) if listener.answers else 200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.came]

    def wait_for(self, count: int) -> None:
        deadline = time.time() + 10
        while len(self.came) < count and time.time() < deadline:
            time.sleep(0.02)
        assert len(self.came) >= count

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def test_webhooks_are_signed_tried_again_and_can_be_dropped_or_doubled(listener: Listener, tmp_path: Path) -> None:
    with running(tmp_path, webhook_url=listener.url, webhook_secret=WEBHOOK_SECRET) as sandbox:
        listener.answers = [500]
        session = opened(sandbox)
        sandbox.api("POST", f"/v1/checkout/sessions/{session['id']}/expire")
        listener.wait_for(2)
        assert listener.types() == ["checkout.session.expired"] * 2  # refused once, tried again
        for header, body in listener.came:
            event = stripe.Webhook.construct_event(body, header, WEBHOOK_SECRET)
            assert event.data.object["id"] == session["id"]
        listener.came.clear()
        sandbox.fault("drop_webhook", "payment_intent.created")
        sandbox.fault("duplicate_webhook", "payment_intent.amount_capturable_updated")
        authorized(sandbox)
        listener.wait_for(4)
        time.sleep(0.3)
        assert sorted(listener.types()) == [
            "charge.succeeded",
            "checkout.session.completed",
            "payment_intent.amount_capturable_updated",
            "payment_intent.amount_capturable_updated",
        ]
        missed = sandbox.api("GET", "/v1/events", {"type": "payment_intent.created"}).json()["data"]
        assert len(missed) == 1  # the list of events still has what was never delivered


def test_endpoints_are_made_read_and_removed(sandbox: RunningSandbox) -> None:
    made = sandbox.api(
        "POST", "/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/in", "enabled_events[0]": "charge.expired"}
    ).json()
    assert made["secret"].startswith("whsec_")
    assert "secret" not in sandbox.api("GET", f"/v1/webhook_endpoints/{made['id']}").json()
    assert sandbox.api("DELETE", f"/v1/webhook_endpoints/{made['id']}").json()["deleted"]
    assert sandbox.api("GET", f"/v1/webhook_endpoints/{made['id']}").status_code == 404


# --- the process ------------------------------------------------------------------------------------------------------


def test_a_killed_sandbox_comes_back_where_it_was(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "integrations.demo.payments", "--port", str(port)]
    command += ["--state", str(tmp_path), "--api-key", API_KEY]

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.time() + 30
        with httpx2.Client(trust_env=False) as client:
            while time.time() < deadline:
                try:
                    if client.get(f"{url}/health").status_code == 200:
                        return process
                except httpx2.HTTPError:
                    time.sleep(0.1)
        raise AssertionError("the sandbox did not start")

    def ask(method: str, path: str, data: dict[str, str] | None = None, key: str = "") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {API_KEY}"} | ({"Idempotency-Key": key} if key else {})
        with httpx2.Client(trust_env=False) as client:
            answer: dict[str, Any] = client.request(method, url + path, data=data, headers=headers).json()
            return answer

    process = start()
    session = ask("POST", "/v1/checkout/sessions", PAGE, key="once")
    with httpx2.Client(trust_env=False) as client:
        client.post(session["url"], data={"number": OK, "expiry": "12/39", "cvc": "123"})
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process = start()
    try:
        assert ask("POST", "/v1/checkout/sessions", PAGE, key="once")["id"] == session["id"]
        intent = ask("GET", f"/v1/checkout/sessions/{session['id']}")["payment_intent"]
        assert ask("GET", f"/v1/payment_intents/{intent}")["status"] == "requires_capture"
        assert (tmp_path / "payments.sqlite3").stat().st_mode & 0o077 == 0
        kept = sqlite3.connect(tmp_path / "payments.sqlite3")
        assert kept.execute("SELECT count(*) FROM idempotency").fetchone() == (1,)
        kept.close()
    finally:
        process.terminate()
        process.wait()
