"""The payment sandbox: cards kept for later, payers who are not there, disputes, reviews, smaller captures, limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.demo.test_payment_sandbox import PAGE, authorized, error_of, opened
from tests.support.payments import CHALLENGED, DECLINED, OK, RunningSandbox, running
from tests.support.rig import wait_until

SAVING = {
    "mode": "setup",
    "currency": "eur",
    "customer_creation": "always",
    "success_url": "http://localhost:8000/ok",
    "cancel_url": "http://localhost:8000/back",
    "locale": "fr",
    "metadata[attempt_id]": "att_1",
    "setup_intent_data[metadata][attempt_id]": "att_1",
    "custom_text[submit][message]": "Lisbonne entre amis · ≤ 33.34 EUR",
}
CHARGE = {
    "amount": "3334",
    "currency": "eur",
    "off_session": "true",
    "confirm": "true",
    "capture_method": "manual",
    "automatic_payment_methods[enabled]": "true",
    "automatic_payment_methods[allow_redirects]": "never",
}
SET_UP, UNLESS_SET_UP, LATER = "4000003800000446", "4000002500003155", "4000000000000341"
POOR_LATER = "4000008260003178"


@pytest.fixture(scope="module")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), refund_delay_seconds=0.1) as server:
        yield server


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    yield shared_sandbox
    shared_sandbox.sandbox.store.clear_faults()


def read(sandbox: RunningSandbox, path: str, **params: str) -> Any:
    return sandbox.api("GET", f"/v1/{path}", params).json()


def to_save(sandbox: RunningSandbox, **changes: str) -> dict[str, Any]:
    answer = sandbox.api("POST", "/v1/checkout/sessions", SAVING | changes)
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    return session


def saved(sandbox: RunningSandbox, card: str, *, answer: str | None = None) -> dict[str, str]:
    """The parameters that charge a card which its owner has just saved."""
    session = to_save(sandbox)
    sandbox.type_card(session["url"], card, answer=answer)
    setup = read(sandbox, f"setup_intents/{session['setup_intent']}")
    assert setup["status"] == "succeeded"
    return CHARGE | {"customer": setup["customer"], "payment_method": setup["payment_method"]}


def until(sandbox: RunningSandbox, path: str, **wanted: Any) -> None:
    wait_until(lambda: wanted.items() <= read(sandbox, path).items(), lambda: str(read(sandbox, path)))


# --- saving -----------------------------------------------------------------------------------------------------------


def test_a_card_is_saved_and_nothing_is_charged(sandbox: RunningSandbox) -> None:
    charges = len(read(sandbox, "charges", limit="100")["data"])
    session = to_save(sandbox)
    assert (session["amount_total"], session["payment_status"]) == (None, "no_payment_required")
    page = sandbox.read(session["url"])
    assert "Enregistrer cette carte" in page.text
    assert "Lisbonne entre amis" in page.text
    paid = sandbox.type_card(session["url"], OK)
    assert (paid.status_code, paid.headers["location"]) == (303, SAVING["success_url"])
    session = read(sandbox, f"checkout/sessions/{session['id']}", **{"expand[0]": "setup_intent.payment_method"})
    setup = session["setup_intent"]
    assert (session["status"], setup["status"], setup["usage"]) == ("complete", "succeeded", "off_session")
    assert setup["payment_method"]["customer"] == setup["customer"] == session["customer"]
    assert setup["payment_method"]["card"]["last4"] == "4242"
    methods = read(sandbox, f"customers/{setup['customer']}/payment_methods")["data"]
    assert [method["id"] for method in methods] == [setup["payment_method"]["id"]]
    assert len(read(sandbox, "charges", limit="100")["data"]) == charges


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"line_items[0][quantity]": "1"}, (400, None, "line_items")),
        ({"payment_intent_data[capture_method]": "manual"}, (400, None, "payment_intent_data")),
        ({"currency": ""}, (400, None, "currency")),
        ({"customer": "cus_none"}, (400, None, None)),
        ({"setup_intent_data[usage]": "off_session"}, (400, "parameter_unknown", "setup_intent_data[usage]")),
    ],
)
def test_a_page_that_saves_takes_only_what_it_needs(
    sandbox: RunningSandbox, changes: dict[str, str], expected: tuple[int, str | None, str | None]
) -> None:
    assert error_of(sandbox.api("POST", "/v1/checkout/sessions", SAVING | changes)) == expected
    bare = {name: value for name, value in SAVING.items() if name != "currency"}
    assert error_of(sandbox.api("POST", "/v1/checkout/sessions", bare)) == (400, "parameter_missing", "currency")


def test_a_card_that_cannot_be_saved_is_asked_for_again(sandbox: RunningSandbox) -> None:
    session = to_save(sandbox)
    sandbox.type_card(session["url"], DECLINED)
    setup = read(sandbox, f"setup_intents/{session['setup_intent']}")
    assert (setup["status"], setup["last_setup_error"]["code"]) == ("requires_payment_method", "card_declined")
    sandbox.type_card(session["url"], CHALLENGED, answer="refuse")
    setup = read(sandbox, f"setup_intents/{session['setup_intent']}")
    assert setup["last_setup_error"]["code"] == "setup_intent_authentication_failure"
    sandbox.type_card(session["url"], CHALLENGED, answer="confirm")
    assert read(sandbox, f"checkout/sessions/{session['id']}")["status"] == "complete"


def test_an_expired_page_saves_nothing_and_a_setup_is_not_canceled_by_hand(sandbox: RunningSandbox) -> None:
    session = to_save(sandbox)
    by_hand = sandbox.api("POST", f"/v1/setup_intents/{session['setup_intent']}/cancel")
    assert error_of(by_hand)[:2] == (400, "setup_intent_unexpected_state")
    sandbox.api("POST", f"/v1/checkout/sessions/{session['id']}/expire")
    assert sandbox.type_card(session["url"], OK).status_code == 410
    assert read(sandbox, f"setup_intents/{session['setup_intent']}")["status"] == "canceled"


def test_a_payment_may_keep_its_card(sandbox: RunningSandbox) -> None:
    session = opened(sandbox, customer_creation="always", **{"payment_intent_data[setup_future_usage]": "off_session"})
    sandbox.type_card(session["url"], UNLESS_SET_UP, answer="confirm")
    intent = read(sandbox, f"checkout/sessions/{session['id']}", **{"expand[0]": "payment_intent.payment_method"})[
        "payment_intent"
    ]
    method = intent["payment_method"]
    assert method["customer"] == intent["customer"]
    again = sandbox.api(
        "POST", "/v1/payment_intents", CHARGE | {"customer": intent["customer"], "payment_method": method["id"]}
    )
    assert (again.status_code, again.json()["status"]) == (200, "requires_capture")


def test_a_payment_that_does_not_keep_its_card_cannot_be_repeated(sandbox: RunningSandbox) -> None:
    intent = read(sandbox, f"payment_intents/{authorized(sandbox)}")
    answer = sandbox.api("POST", "/v1/payment_intents", CHARGE | {"payment_method": intent["payment_method"]})
    assert answer.status_code == 400
    assert "may not be used again" in answer.json()["error"]["message"]


# --- off session ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "answer"), [(OK, None), (SET_UP, "confirm"), (UNLESS_SET_UP, "confirm"), ("5555555555554444", None)]
)
def test_a_saved_card_is_authorized_in_its_owners_absence(
    sandbox: RunningSandbox, card: str, answer: str | None
) -> None:
    charged = sandbox.api(
        "POST", "/v1/payment_intents", saved(sandbox, card, answer=answer) | {"expand[0]": "latest_charge"}
    )
    intent = charged.json()
    assert (intent["status"], intent["amount_capturable"]) == ("requires_capture", 3334)
    # Visa lets go after 4 days and 18 hours when the merchant asks, others after 7 days.
    hours = (intent["latest_charge"]["payment_method_details"]["card"]["capture_before"] - time.time()) / 3600
    assert round(hours) == (168 if card.startswith("5") else 114)


@pytest.mark.parametrize(
    ("card", "answer", "code", "decline_code"),
    [
        (CHALLENGED, "confirm", "authentication_required", "authentication_required"),
        (LATER, None, "card_declined", "generic_decline"),
        (POOR_LATER, "confirm", "card_declined", "insufficient_funds"),
    ],
)
def test_a_banks_no_comes_with_the_payment_it_said_no_to(
    sandbox: RunningSandbox, card: str, answer: str | None, code: str, decline_code: str
) -> None:
    params = saved(sandbox, card, answer=answer)
    first, again = (
        sandbox.api("POST", "/v1/payment_intents", params, Idempotency_Key=params["payment_method"]) for _ in "12"
    )
    error = first.json()["error"]
    assert (first.status_code, error["type"], error["code"], error["decline_code"]) == (
        402,
        "card_error",
        code,
        decline_code,
    )
    assert first.content == again.content  # a no is kept under its key, too
    intent = read(sandbox, f"payment_intents/{error['payment_intent']['id']}")
    assert (intent["status"], intent["last_payment_error"]["code"]) == ("requires_payment_method", code)
    assert len(read(sandbox, "payment_intents", customer=params["customer"])["data"]) == 1
    assert sandbox.api("POST", f"/v1/payment_intents/{intent['id']}/cancel").json()["status"] == "canceled"


def test_a_bank_can_be_told_to_say_no(sandbox: RunningSandbox) -> None:
    params = saved(sandbox, OK)
    for fault, code in (("off_session_asks", "authentication_required"), ("off_session_declined", "card_declined")):
        sandbox.fault(fault)
        assert error_of(sandbox.api("POST", "/v1/payment_intents", params))[:2] == (402, code)
    assert sandbox.api("POST", "/v1/payment_intents", params).status_code == 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"confirm": "false"}, (400, None, "off_session")),
        ({"setup_future_usage": "off_session"}, (400, None, "setup_future_usage")),
        ({"automatic_payment_methods[allow_redirects]": "always"}, (400, None, "return_url")),
        ({"amount": "49"}, (400, "amount_too_small", None)),
        ({"customer": "cus_none"}, (404, "resource_missing", "customer")),
        ({"payment_method": "pm_none"}, (404, "resource_missing", "payment_method")),
        ({"of_session": "true"}, (400, "parameter_unknown", "of_session")),
    ],
)
def test_an_absent_payer_is_charged_only_by_the_rules(
    sandbox: RunningSandbox, changes: dict[str, str], expected: tuple[int, str | None, str | None]
) -> None:
    params = saved(sandbox, OK)
    assert error_of(sandbox.api("POST", "/v1/payment_intents", params | changes)) == expected
    assert read(sandbox, "payment_intents", customer=params["customer"])["data"] == []


def test_a_card_is_charged_for_its_own_customer_only_and_never_after_it_was_given_up(sandbox: RunningSandbox) -> None:
    params, other = saved(sandbox, OK), saved(sandbox, OK)
    stranger = sandbox.api("POST", "/v1/payment_intents", params | {"customer": other["customer"]})
    assert error_of(stranger) == (400, "resource_missing", "payment_method")
    assert sandbox.api("POST", f"/v1/payment_methods/{params['payment_method']}/detach").json()["customer"] is None
    assert sandbox.api("POST", f"/v1/payment_methods/{params['payment_method']}/detach").status_code == 400
    assert sandbox.api("POST", "/v1/payment_intents", params).status_code == 400
    attached = sandbox.api(
        "POST", f"/v1/payment_methods/{params['payment_method']}/attach", {"customer": params["customer"]}
    )
    assert "may not be used again" in attached.json()["error"]["message"]
    assert sandbox.api("DELETE", f"/v1/customers/{other['customer']}").json()["deleted"]
    assert sandbox.api("POST", "/v1/payment_intents", other).status_code == 404


# --- taking less, disputes, reviews -----------------------------------------------------------------------------------


def test_a_smaller_capture_releases_the_rest_as_a_refund_that_moves_nothing(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox)
    sandbox.api("POST", f"/v1/payment_intents/{intent}/capture", {"amount_to_capture": "3000"})
    charge = read(sandbox, "charges", payment_intent=intent)["data"][0]
    assert (charge["amount_captured"], charge["amount_refunded"], charge["refunded"]) == (3000, 334, False)
    (rest,) = read(sandbox, "refunds", payment_intent=intent)["data"]
    assert (rest["amount"], rest["balance_transaction"], rest["metadata"]) == (334, None, {})
    over = sandbox.api("POST", "/v1/refunds", {"payment_intent": intent, "amount": "3001"})
    assert error_of(over) == (400, None, "amount")
    sandbox.api("POST", "/v1/refunds", {"payment_intent": intent})
    moved = [row["amount"] for row in read(sandbox, "balance_transactions", limit="2")["data"]]
    assert moved == [-3000, 3000]
    assert read(sandbox, f"charges/{charge['id']}")["refunded"]


@pytest.mark.parametrize(("words", "end", "net"), [("winning_evidence", "won", 3334), ("losing_evidence", "lost", 0)])
def test_a_dispute_takes_the_money_until_the_bank_decides(
    sandbox: RunningSandbox, words: str, end: str, net: int
) -> None:
    intent = authorized(sandbox, "4000000000000259")
    sandbox.api("POST", f"/v1/payment_intents/{intent}/capture")
    (dispute,) = read(sandbox, "disputes", payment_intent=intent)["data"]
    assert (dispute["status"], dispute["amount"], dispute["is_charge_refundable"]) == ("needs_response", 3334, False)
    answered = sandbox.api("POST", f"/v1/disputes/{dispute['id']}", {"evidence[uncategorized_text]": words}).json()
    assert answered["status"] == "under_review"
    until(sandbox, f"disputes/{dispute['id']}", status=end)
    again = sandbox.api("POST", f"/v1/disputes/{dispute['id']}/close")
    assert again.status_code == 400
    moved = read(sandbox, "balance_transactions", limit="3")["data"]
    assert sum(row["amount"] for row in moved if row["source"] in (dispute["id"], dispute["charge"])) == net
    refund = sandbox.api("POST", "/v1/refunds", {"payment_intent": intent})
    assert (refund.status_code == 200) is (end == "won")


def test_an_inquiry_takes_nothing_and_may_be_refunded(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox, "4000000000001976")
    sandbox.api("POST", f"/v1/payment_intents/{intent}/capture")
    (inquiry,) = read(sandbox, "disputes", payment_intent=intent)["data"]
    assert (inquiry["status"], inquiry["is_charge_refundable"]) == ("warning_needs_response", True)
    assert sandbox.api("POST", "/v1/refunds", {"payment_intent": intent}).status_code == 200


def test_the_operator_opens_and_ends_a_dispute(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox)
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as client:
        assert client.post("/_dispute", json={"payment_intent": intent}).status_code == 400  # nothing was taken yet
        sandbox.api("POST", f"/v1/payment_intents/{intent}/capture")
        assert client.post("/_dispute", json={"payment_intent": intent}).json()["status"] == "needs_response"
        assert client.post("/_dispute", json={"payment_intent": intent, "end": "won"}).json()["status"] == "won"
        assert client.post("/_dispute", json={"payment_intent": "pi_none"}).status_code == 404


def test_a_risky_payment_waits_for_somebody_to_look(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox, "4000000000009235")
    row = read(sandbox, f"payment_intents/{intent}", **{"expand[0]": "review"})
    assert (row["status"], row["review"]["open"]) == ("requires_capture", True)
    assert not sandbox.api("POST", f"/v1/reviews/{row['review']['id']}/approve").json()["open"]
    row = read(sandbox, f"payment_intents/{intent}", **{"expand[0]": "review"})
    assert (row["status"], row["review"]["open"]) == ("requires_capture", False)


def test_a_warning_of_fraud_is_an_event(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox, "4000000000005423")
    sandbox.api("POST", f"/v1/payment_intents/{intent}/capture")
    (warning,) = read(sandbox, "events", type="radar.early_fraud_warning.created")["data"]
    assert warning["data"]["object"]["payment_intent"] == intent


def test_any_refund_can_be_made_to_wait_or_to_fail(sandbox: RunningSandbox) -> None:
    for fault, before, after in (("refund_pending", "pending", "succeeded"), ("refund_fails", "succeeded", "failed")):
        intent = authorized(sandbox)
        sandbox.api("POST", f"/v1/payment_intents/{intent}/capture")
        sandbox.fault(fault, seconds=0.2)
        refund = sandbox.api("POST", "/v1/refunds", {"payment_intent": intent}).json()
        assert refund["status"] == before
        until(sandbox, f"refunds/{refund['id']}", status=after)
    charge = read(sandbox, "charges", payment_intent=intent)["data"][0]
    assert charge["amount_refunded"] == 0
    assert sandbox.api("POST", "/v1/refunds", {"payment_intent": intent}).status_code == 200


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def limited(sandbox: RunningSandbox) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as client:
        yield client
        client.post("/_limits", json={"rate": None, "endpoint_rate": None, "concurrency": None})


def test_too_many_requests_a_second_are_refused_with_the_reason(
    sandbox: RunningSandbox, limited: httpx2.Client
) -> None:
    limited.post("/_limits", json={"endpoint_rate": 0.5})
    answers = [sandbox.api("GET", "/v1/refunds") for _ in range(10)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.headers["Stripe-Rate-Limited-Reason"] for answer in refused} == {"endpoint-rate"}
    assert sandbox.api("GET", "/v1/charges").status_code == 200  # each endpoint has its own
    report = limited.get("/_limits").json()["endpoints"]["refunds.list"]
    assert report["refused"] == len(refused) > 0
    assert 1 <= report["accepted"] == 10 - len(refused)
    limited.post("/_limits", json={"rate": 0.1, "endpoint_rate": None})
    codes = [sandbox.api("GET", path).status_code for path in ("/v1/charges", "/v1/refunds", "/v1/events")]
    assert codes.count(429) >= 1
    assert limited.get("/_limits").json()["limits"]["rate"] == 0.1
    assert limited.post("/_limits", data={"rate": ""}).headers["location"] == "/_faults"
    assert limited.get("/_limits").json()["limits"]["rate"] is None


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": "x"}, {"nope": 1}, [1], {"concurrency": True}])
def test_limits_are_checked(limited: httpx2.Client, wrong: Any) -> None:
    assert limited.post("/_limits", json=wrong).status_code == 400
    assert limited.get("/_limits").json()["limits"] == {"rate": None, "endpoint_rate": None, "concurrency": None}


def wait_for_the_slow_one(sandbox: RunningSandbox) -> None:
    """Until its fault is taken: it is under way then, for the seconds that it was given."""
    wait_until(lambda: not sandbox.sandbox.store.faults(), "the fault is taken")


def test_a_refused_request_has_no_effect_and_its_key_is_free(sandbox: RunningSandbox, limited: httpx2.Client) -> None:
    limited.post("/_limits", json={"concurrency": 1})
    sandbox.fault("slow", "checkout.sessions.create", seconds=2.5)
    before = len(sandbox.sandbox.store.all_of("checkout.session"))
    slow = threading.Thread(target=opened, args=(sandbox,))
    slow.start()
    wait_for_the_slow_one(sandbox)
    refused = sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="busy-limit")
    slow.join()
    assert (refused.status_code, refused.headers["Stripe-Rate-Limited-Reason"]) == (429, "global-concurrency")
    assert len(sandbox.sandbox.store.all_of("checkout.session")) == before + 1
    assert sandbox.api("POST", "/v1/checkout/sessions", PAGE, Idempotency_Key="busy-limit").status_code == 200


def test_an_object_is_changed_by_one_request_at_a_time(sandbox: RunningSandbox) -> None:
    intent = authorized(sandbox)
    sandbox.fault("slow", "payment_intents.capture", seconds=2.5)
    path = f"/v1/payment_intents/{intent}/capture"
    slow = threading.Thread(target=sandbox.api, args=("POST", path), kwargs={"Idempotency_Key": f"{intent}:1"})
    slow.start()
    wait_for_the_slow_one(sandbox)
    second = sandbox.api("POST", path, Idempotency_Key=f"{intent}:2")
    slow.join()
    assert error_of(second)[:2] == (429, "lock_timeout")
    assert read(sandbox, f"payment_intents/{intent}")["status"] == "succeeded"
