"""Every test card that Stripe documents and that matters here behaves as it is documented.

The table is docs/stripe.md's: each row names the place on https://docs.stripe.com/testing it comes from. Each card is
typed into the hosted page, and where Stripe has a name for it (`pm_card_…`) asked for through the API as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integrations.demo.payments.cards import METHODS, TEST_CARDS
from tests.support.payments import RunningSandbox, running

DOCUMENT = Path(__file__).parents[2] / "docs" / "stripe.md"
GOOD = ("requires_capture", None, None)


def declined(code: str, decline_code: str | None = None) -> tuple[str, str, str]:
    return ("requires_payment_method", code, decline_code or code)


@dataclass(frozen=True)
class Row:
    """What Stripe documents about one card.

    `present`: (status, code, decline code) once a payer who is there has confirmed whatever their bank asked.
    `asks`: the bank asks a payer who is there. `absent`: the code of the error when the saved card is charged in its
    owner's absence, "" when that works, None when the card cannot be saved.
    """

    number: str
    place: str
    present: tuple[str, str | None, str | None] = GOOD
    asks: bool = False
    absent: str | None = ""
    after: tuple[str, ...] = ()


ROWS = (
    Row("4242424242424242", "#cards"),
    Row("5555555555554444", "#cards"),
    Row("378282246310005", "#cards"),
    Row("4000002500003155", "#authentication-and-setup", asks=True),
    Row("4000002760003184", "#authentication-and-setup", asks=True, absent="authentication_required"),
    Row("4000003800000446", "#authentication-and-setup", asks=True),
    Row(
        "4000008260003178", "#authentication-and-setup", declined("card_declined", "insufficient_funds"), True,
        "card_declined",
    ),
    Row(
        "4000008400001629", "#three-ds-cards", declined("card_declined", "generic_decline"), True, "card_declined"
    ),
    Row("4000000000003220", "#three-ds-cards", asks=True, absent="authentication_required"),
    Row("4000000000003063", "#three-ds-cards", asks=True, absent="authentication_required"),
    Row("4000000000003055", "#three-ds-cards"),
    Row("4000008400001280", "#three-ds-cards", declined("card_declined", "generic_decline"), absent=None),
    Row("4000000000000002", "#declined-payments", declined("card_declined", "generic_decline"), absent=None),
    Row("4000000000009995", "#declined-payments", declined("card_declined", "insufficient_funds"), absent=None),
    Row("4000000000009987", "#declined-payments", declined("card_declined", "lost_card"), absent=None),
    Row("4000000000009979", "#declined-payments", declined("card_declined", "stolen_card"), absent=None),
    Row("4000000000006975", "#declined-payments", declined("card_declined", "card_velocity_exceeded"), absent=None),
    Row("4000000000000069", "#declined-payments", declined("expired_card"), absent=None),
    Row("4000000000000127", "#declined-payments", declined("incorrect_cvc"), absent=None),
    Row("4000000000000119", "#declined-payments", declined("processing_error"), absent=None),
    Row("4000000000000341", "#declined-payments", declined("card_declined", "generic_decline"), absent="card_declined"),
    Row("4100000000000019", "#fraud-prevention", declined("card_declined", "fraudulent"), absent=None),
    Row("4000000000004954", "#fraud-prevention", declined("card_declined", "fraudulent"), absent=None),
    Row("4000000000009235", "#fraud-prevention", after=("review.opened",)),
    Row("4000000000000259", "#disputes", after=("charge.dispute.created", "charge.dispute.funds_withdrawn")),
    Row("4000000000002685", "#disputes", after=("charge.dispute.created", "charge.dispute.funds_withdrawn")),
    Row("4000000000001976", "#disputes", after=("charge.dispute.created",)),
    Row("4000000000005423", "#disputes", after=("radar.early_fraud_warning.created",)),
    Row("4000000000007726", "#refunds", after=("refund: pending, then succeeded",)),
    Row("4000000000005126", "#refunds", after=("refund: succeeded, then failed",)),
    Row("4000000000000077", "#available-balance"),
)  # fmt: skip
PAGE = {
    "success_url": "http://localhost:8000/ok",
    "cancel_url": "http://localhost:8000/back",
}
PAY = PAGE | {
    "mode": "payment",
    "payment_intent_data[capture_method]": "manual",
    "line_items[0][quantity]": "1",
    "line_items[0][price_data][currency]": "eur",
    "line_items[0][price_data][unit_amount]": "3334",
    "line_items[0][price_data][product_data][name]": "Lisbon",
}
SAVE = PAGE | {"mode": "setup", "currency": "eur", "customer_creation": "always"}
_ids = [row.number for row in ROWS]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), refund_delay_seconds=0.1) as server:
        yield server


def on_page(sandbox: RunningSandbox, params: dict[str, str], row: Row, answer: str | None) -> dict[str, Any]:
    """Type the card; the session as it is afterwards."""
    page = sandbox.api("POST", "/v1/checkout/sessions", params).json()
    sandbox.type_card(page["url"], row.number, answer=answer if row.asks else None)
    wanted = "setup_intent" if params["mode"] == "setup" else "payment_intent"
    found: dict[str, Any] = sandbox.api("GET", f"/v1/checkout/sessions/{page['id']}", {"expand[0]": wanted}).json()
    return found


def state_of(intent: dict[str, Any]) -> tuple[str, str | None, str | None]:
    error = intent["last_payment_error"] or {}
    return (intent["status"], error.get("code"), error.get("decline_code"))


def test_every_card_of_the_sandbox_is_in_the_table_and_in_the_documentation() -> None:
    assert sorted(row.number for row in ROWS) == sorted(TEST_CARDS)
    text = DOCUMENT.read_text()
    missing = [row.number for row in ROWS if f"| {row.number} | `{row.place}` |" not in text]
    assert missing == []


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_a_payer_who_is_there(sandbox: RunningSandbox, row: Row) -> None:
    """Authorized, declined, or asked first; who refuses their bank or walks away has paid nothing."""
    assert state_of(on_page(sandbox, PAY, row, "confirm")["payment_intent"]) == row.present
    if not row.asks:
        return
    refused = on_page(sandbox, PAY, row, "refuse")
    code = "payment_intent_authentication_failure"  # https://docs.stripe.com/error-codes
    assert state_of(refused["payment_intent"]) == ("requires_payment_method", code, None)
    abandoned = on_page(sandbox, PAY, row, None)
    assert (abandoned["status"], state_of(abandoned["payment_intent"])) == ("open", ("requires_action", None, None))
    expired = sandbox.api("POST", f"/v1/checkout/sessions/{abandoned['id']}/expire").json()
    assert expired["status"] == "expired"
    intent = sandbox.api("GET", f"/v1/payment_intents/{abandoned['payment_intent']['id']}").json()
    assert (intent["status"], intent["amount_received"]) == ("canceled", 0)


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_a_payer_who_is_away(sandbox: RunningSandbox, row: Row) -> None:
    """https://docs.stripe.com/payments/save-and-reuse: saved by the payer, charged without them."""
    session = on_page(sandbox, SAVE, row, "confirm")
    setup = session["setup_intent"]
    if row.absent is None:
        assert (session["status"], setup["status"]) == ("open", "requires_payment_method")
        assert setup["last_setup_error"]["code"] == row.present[1]
        return
    assert setup["status"] == "succeeded"
    answer = sandbox.api(
        "POST",
        "/v1/payment_intents",
        {
            "amount": "3334",
            "currency": "eur",
            "customer": session["customer"],
            "payment_method": setup["payment_method"],
            "off_session": "true",
            "confirm": "true",
            "capture_method": "manual",
            "automatic_payment_methods[enabled]": "true",
            "automatic_payment_methods[allow_redirects]": "never",
        },
    )
    if row.absent:
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (402, "card_error", row.absent)
        assert error["payment_intent"]["status"] == "requires_payment_method"
    else:
        assert (answer.status_code, answer.json()["status"]) == (200, "requires_capture")


@pytest.mark.parametrize("row", [row for row in ROWS if row.after], ids=lambda row: row.number)
def test_what_comes_after_the_money_was_taken(sandbox: RunningSandbox, row: Row) -> None:
    intent = on_page(sandbox, PAY, row, "confirm")["payment_intent"]
    sandbox.api("POST", f"/v1/payment_intents/{intent['id']}/capture")
    if row.after[0].startswith("refund"):
        first, last = row.after[0].removeprefix("refund: ").split(", then ")
        refund = sandbox.api("POST", "/v1/refunds", {"payment_intent": intent["id"]}).json()
        assert refund["status"] == first
        deadline = time.monotonic() + 5
        while refund["status"] != last:
            assert time.monotonic() < deadline, refund
            time.sleep(0.05)
            refund = sandbox.api("GET", f"/v1/refunds/{refund['id']}").json()
        return
    told = [
        event["type"]
        for event in sandbox.sandbox.store.all_of("event")
        if intent["id"] in (event["data"]["object"].get("payment_intent"), event["data"]["object"].get("id"))
    ]
    assert set(row.after) <= set(told)
    if "charge.dispute.created" in row.after:
        (dispute,) = sandbox.api("GET", "/v1/disputes", {"payment_intent": intent["id"]}).json()["data"]
        is_inquiry = row.number == "4000000000001976"
        assert dispute["status"] == ("warning_needs_response" if is_inquiry else "needs_response")
        refund = sandbox.api("POST", "/v1/refunds", {"payment_intent": intent["id"]})
        assert refund.status_code == (200 if is_inquiry else 400)


@pytest.mark.parametrize(("name", "card"), METHODS.items(), ids=list(METHODS))
def test_its_name_for_code_is_the_same_card(sandbox: RunningSandbox, name: str, card: Any) -> None:
    row = next(row for row in ROWS if row.number == card.number)
    answer = sandbox.api(
        "POST",
        "/v1/payment_intents",
        {
            "amount": "3334",
            "currency": "eur",
            "payment_method": name,
            "confirm": "true",
            "capture_method": "manual",
            "return_url": "http://localhost:8000/back",
        },
    )
    body = answer.json()
    if row.asks:
        assert (answer.status_code, body["status"]) == (200, "requires_action")
    elif row.present == GOOD:
        assert (answer.status_code, body["status"]) == (200, "requires_capture")
    else:
        error = body["error"]
        assert (answer.status_code, error["code"], error["decline_code"]) == (402, row.present[1], row.present[2])
