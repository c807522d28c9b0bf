"""What a payer is offered: methods that can reserve an amount, wallets among them, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from groupbook.kit.ids import AttemptId, new_id
from groupbook.kit.money import Money
from groupbook.payments.domain import Card
from groupbook.payments.ports import PaymentOrder, PaymentRef, Seen
from integrations.payments.stripe import connect, onboarding
from tests.support.payments import API_KEY, RunningSandbox, running

SECONDS = 5.0
PAGE = {
    "mode": "payment",
    "success_url": "http://localhost:8000/ok",
    "cancel_url": "http://localhost:8000/back",
    "line_items[0][quantity]": "1",
    "line_items[0][price_data][currency]": "eur",
    "line_items[0][price_data][unit_amount]": "3334",
    "line_items[0][price_data][product_data][name]": "Lisbon",
}
MANUAL = {"payment_intent_data[capture_method]": "manual"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running(tmp_path_factory.mktemp("sandbox")) as server:
        yield server


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ({}, ["card", "link", "ideal", "bancontact", "sepa_debit"]),
        (MANUAL, ["card", "link"]),
        ({"allowed_payment_method_types[0]": "card"}, ["card"]),
        ({"excluded_payment_method_types[0]": "ideal"}, ["card", "link", "bancontact", "sepa_debit"]),
        ({"allowed_payment_method_types[0]": "klarna"}, None),  # not switched on
        ({"allowed_payment_method_types[0]": "ideal"} | MANUAL, None),  # cannot reserve
    ],
)
def test_the_sandbox_offers_what_is_switched_on_allowed_and_able(
    sandbox: RunningSandbox, asked: dict[str, str], offered: list[str] | None
) -> None:
    answer = sandbox.api("POST", "/v1/checkout/sessions", PAGE | asked)
    if offered is None:
        assert answer.status_code == 400
        assert "No valid payment method types" in answer.json()["error"]["message"]
    else:
        assert answer.json()["payment_method_types"] == offered


@pytest.mark.parametrize("wallet", [None, "apple_pay", "google_pay", "link"])
def test_our_pages_offer_cards_wallets_and_link_and_read_all_of_them(
    sandbox: RunningSandbox, wallet: str | None
) -> None:
    provider = connect({"secret_key": API_KEY, "api_base": sandbox.url}, livemode=False)
    order = PaymentOrder(
        AttemptId(new_id()), Money(3334, "EUR"), "Lisbon", "http://localhost:8000/ok", "http://localhost:8000/b", "en"
    )
    page = provider.open_payment(order, key=str(order.attempt_id), timeout_seconds=SECONDS)
    session = sandbox.api("GET", f"/v1/checkout/sessions/{page.page_ref}").json()
    assert session["payment_method_types"] == ["card", "link"]
    if wallet is None:
        sandbox.type_card(page.url, "4242424242424242")
    else:
        with httpx2.Client(trust_env=False) as client:
            client.post(page.url, data={"wallet": wallet})
    ref = PaymentRef(order.attempt_id, datetime.now(UTC), page.page_ref)
    seen = provider.observe(ref, timeout_seconds=SECONDS)
    assert (seen.seen, seen.card) == (Seen.AUTHORIZED, None if wallet == "link" else Card("visa", "4242"))
    assert seen.capture_before is not None  # Link's charge is silent about it: then seven days count
    assert timedelta(days=6, hours=23) < seen.capture_before - datetime.now(UTC) <= timedelta(days=7)
    taken = provider.capture(ref, Money(3334, "EUR"), key=f"c:{order.attempt_id}", timeout_seconds=SECONDS)
    assert (taken.captured, taken.capture_before is not None) == (Money(3334, "EUR"), wallet != "link")
    provider.close()


def test_every_method_has_an_answer_and_what_cannot_reserve_is_not_offered() -> None:
    answers = {one.name: one.answer for one in onboarding().methods}
    assert {name for name, answer in answers.items() if answer == "offered"} == {
        "Visa, Mastercard, American Express …",
        "Apple Pay",
        "Google Pay",
        "Link",
    }
    assert (answers["iDEAL"], answers["SEPA"], answers["Klarna"]) == ("cannot_reserve", "cannot_reserve", "other_terms")
