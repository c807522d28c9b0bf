"""Connect in the sandbox: who is asked, what a code is worth, whose objects are whose, and the platform's part.

https://docs.stripe.com/connect/oauth-reference, https://docs.stripe.com/connect/authentication
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import stripe
import stripe.oauth_error

from integrations.demo.payments.store import Store
from tests.support.payments import API_KEY, RunningSandbox, connected_account, running

BACK = "http://localhost:8000/dashboard/payments/connected"
HELD = {
    "confirm": True,
    "payment_method": "pm_card_visa",
    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
    "capture_method": "manual",
}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    with running(tmp_path, redirect_uris=(BACK,), refund_delay_seconds=0.1) as server:
        yield server


def client_of(sandbox: RunningSandbox, account: str | None = None, key: str = API_KEY) -> stripe.StripeClient:
    bases: Any = {"api": sandbox.url, "connect": sandbox.url}
    return stripe.StripeClient(
        key, stripe_account=account, client_id="ca_sandbox", base_addresses=bases, max_network_retries=0
    )


def answered(sandbox: RunningSandbox, answer: str = "connect", **asked: str) -> tuple[int, dict[str, str]]:
    """The holder's answer on the authorize page: the status, and what the platform is sent back with."""
    query = {"client_id": "ca_sandbox", "response_type": "code", "redirect_uri": BACK, "scope": "read_write"}
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as web:
        page = web.post("/oauth/authorize", params=query | asked, data={"answer": answer, "name": "Harbor Tours"})
    location = page.headers.get("location", "")
    assert location == "" or location.startswith(f"{BACK}?")
    return page.status_code, {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def redeemed(client: stripe.StripeClient, code: str) -> Any:
    return client.oauth.token({"grant_type": "authorization_code", "code": code})


def test_a_yes_comes_back_with_the_state_and_a_code_that_is_worth_one_account(sandbox: RunningSandbox) -> None:
    status, said = answered(sandbox, state="s1")
    assert (status, said["state"], said["scope"]) == (303, "s1", "read_write")
    token = redeemed(client_of(sandbox), said["code"])
    assert (token.scope, token.livemode, token.token_type) == ("read_write", False, "bearer")
    account = client_of(sandbox, token.stripe_user_id).v1.accounts.retrieve_current()
    assert (account.id, account.business_profile and account.business_profile.name) == (
        token.stripe_user_id,
        "Harbor Tours",
    )
    # What is handed over beside it is a key of theirs.
    assert client_of(sandbox, key=token.access_token).v1.accounts.retrieve_current().id == token.stripe_user_id


def test_a_no_and_wrong_questions_come_back_as_errors(sandbox: RunningSandbox) -> None:
    status, said = answered(sandbox, "deny", state="s2")
    assert status == 303
    assert said == {"error": "access_denied", "error_description": "The user denied your request", "state": "s2"}
    assert answered(sandbox, scope="everything")[1] == {"error": "invalid_scope"}
    assert answered(sandbox, response_type="token")[1] == {"error": "unsupported_response_type"}
    assert sandbox.sandbox.engine.connect.accounts() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "ca_other"},
        {"redirect_uri": f"{BACK}/more"},
        {"redirect_uri": f"{BACK}?x=1"},
        {"redirect_uri": "http://localhost:8000.evil.example/dashboard/payments/connected"},
    ],
)
def test_a_wrong_application_or_address_is_sent_nowhere(sandbox: RunningSandbox, wrong: dict[str, str]) -> None:
    assert answered(sandbox, **wrong) == (400, {})


def test_a_code_that_comes_twice_costs_the_connection(sandbox: RunningSandbox) -> None:
    client, code = client_of(sandbox), answered(sandbox)[1]["code"]
    token = redeemed(client, code)
    with pytest.raises(stripe.oauth_error.InvalidGrantError, match="issued with this code have been revoked"):
        redeemed(client, code)
    with pytest.raises(stripe.PermissionError):
        client_of(sandbox, token.stripe_user_id).v1.charges.list()
    with pytest.raises(stripe.AuthenticationError):
        client_of(sandbox, key=token.access_token).v1.charges.list()


def test_codes_age_and_only_the_platform_redeems_them(sandbox: RunningSandbox) -> None:
    code, store = answered(sandbox)[1]["code"], sandbox.sandbox.store
    with pytest.raises(stripe.oauth_error.InvalidClientError):
        redeemed(client_of(sandbox, key="sk_test_of_somebody"), code)
    row = store.get("oauth_code", code)
    store.put(row | {"created": int(time.time()) - 301})
    with pytest.raises(stripe.oauth_error.InvalidGrantError, match="expired"):
        redeemed(client_of(sandbox), code)
    with pytest.raises(stripe.oauth_error.InvalidGrantError, match="does not exist: ac_never"):
        redeemed(client_of(sandbox), "ac_never")
    with pytest.raises(stripe.oauth_error.UnsupportedGrantTypeError):
        client_of(sandbox).oauth.token({"grant_type": "password", "code": code})  # type: ignore[typeddict-item]  # wrong


def test_every_account_has_its_own_objects_and_keys(sandbox: RunningSandbox) -> None:
    one, two = connected_account(sandbox), connected_account(sandbox)
    params: Any = HELD | {"amount": 5000, "currency": "eur"}
    ours = [
        client_of(sandbox, account).v1.payment_intents.create(params, {"idempotency_key": "same"})
        for account in (one, two, None)
    ]
    assert len({intent.id for intent in ours}) == 3
    for account, intent in zip((one, two, None), ours, strict=True):
        client = client_of(sandbox, account)
        assert [row.id for row in client.v1.payment_intents.list().data] == [intent.id]
        assert client.v1.payment_intents.create(params, {"idempotency_key": "same"}).id == intent.id
        for other in ours:
            if other.id != intent.id:
                with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent"):
                    client.v1.payment_intents.capture(other.id)


def test_an_account_that_lets_nobody_act_for_it_is_refused_in_stripes_words(sandbox: RunningSandbox) -> None:
    never = sandbox.sandbox.engine.connect.open_account("Alone")["id"]
    mine = connected_account(sandbox)
    other = redeemed(client_of(sandbox), answered(sandbox)[1]["code"])
    for account, key in (
        (never, API_KEY),
        ("acct_made_up", API_KEY),
        (mine, other.access_token),
        ("acct_sandbox", other.access_token),
    ):
        with pytest.raises(stripe.PermissionError) as refused:
            client_of(sandbox, account, key).v1.charges.list()
        said: Any = refused.value.error
        assert (refused.value.http_status, said.code) == (403, "account_invalid")
        assert "(or that account does not exist). Application access may have been revoked." in str(refused.value)


def test_what_happens_on_an_account_names_it_and_goes_to_connect_endpoints(sandbox: RunningSandbox) -> None:
    account = connected_account(sandbox)
    store, endpoints = sandbox.sandbox.store, client_of(sandbox).v1.webhook_endpoints
    own = endpoints.create({"url": "http://127.0.0.1:9/own", "enabled_events": ["*"]})
    hears = endpoints.create({"url": "http://127.0.0.1:9/connect", "enabled_events": ["*"], "connect": True})
    assert (own.application, hears.application) == (None, "ca_sandbox")
    client_of(sandbox, account).v1.customers.create({})
    params: Any = HELD | {"amount": 5000, "currency": "eur"}
    for who in (account, None):
        client_of(sandbox, who).v1.payment_intents.create(params)
    theirs = client_of(sandbox, account).v1.events.list({"type": "charge.succeeded"}).data
    assert [event.account for event in theirs] == [account]
    ours = client_of(sandbox).v1.events.list({"type": "charge.succeeded"}).data
    assert ["account" in event.to_dict() for event in ours] == [False]
    sent = {(row[0], row[1]) for row in store._run("SELECT event_id, endpoint_id FROM delivery")}
    assert {pair for pair in sent if pair[0] in (theirs[0].id, ours[0].id)} == {
        (theirs[0].id, hears.id),
        (ours[0].id, own.id),
    }


def test_letting_go_is_told_once_and_ends_everything(sandbox: RunningSandbox) -> None:
    account, client = connected_account(sandbox), client_of(sandbox)
    hears = client.v1.webhook_endpoints.create(
        {
            "url": "http://127.0.0.1:9/connect",
            "enabled_events": ["account.application.deauthorized"],
            "connect": True,
        }
    )
    assert client.oauth.deauthorize({"client_id": "ca_sandbox", "stripe_user_id": account}).stripe_user_id == account
    with pytest.raises(stripe.oauth_error.InvalidClientError, match="is not connected to stripe account"):
        client.oauth.deauthorize({"client_id": "ca_sandbox", "stripe_user_id": account})
    with pytest.raises(stripe.PermissionError):
        client_of(sandbox, account).v1.accounts.retrieve_current()
    store = sandbox.sandbox.store
    told = [row[0] for row in store._run("SELECT event_id FROM delivery WHERE endpoint_id = ?", hears.id)]
    with store.acting_for(account):
        events = [store.get("event", id) for id in told]
    assert [(event["type"], event["account"], event["data"]["object"]["id"]) for event in events] == [
        ("account.application.deauthorized", account, "ca_sandbox")
    ]


def test_the_platforms_part_is_taken_with_the_capture_and_goes_back_in_proportion(sandbox: RunningSandbox) -> None:
    account = connected_account(sandbox)
    client, platform = client_of(sandbox, account), client_of(sandbox)
    params: Any = HELD | {"amount": 5000, "currency": "eur", "application_fee_amount": 75}
    intent = client.v1.payment_intents.create(params)
    assert platform.v1.application_fees.list().data == []  # reserved is not taken
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 4000, "application_fee_amount": 4001})
    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 4000, "application_fee_amount": 60})
    (fee,) = platform.v1.application_fees.list().data
    assert (fee.amount, fee.amount_refunded, fee.account) == (60, 0, account)
    moved = client.v1.balance_transactions.list().data
    assert [(one.amount, one.fee, one.net) for one in moved] == [(4000, 60, 3940)]
    for amount in (1000, 3000):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": amount, "refund_application_fee": True})
        fee = platform.v1.application_fees.retrieve(fee.id)
        assert fee.amount_refunded == (15 if amount == 1000 else 60)
    assert fee.refunded
    assert sum(one.net for one in client.v1.balance_transactions.list().data) == 0


def test_a_fee_that_was_never_taken_does_not_go_back(sandbox: RunningSandbox) -> None:
    """The words are Stripe's: github.com/alfio-event/alf.io/issues/739."""
    client = client_of(sandbox, connected_account(sandbox))
    params: Any = HELD | {"amount": 5000, "currency": "eur", "capture_method": "automatic"}
    intent = client.v1.payment_intents.create(params)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": intent.id, "refund_application_fee": True})
    charge = intent.latest_charge
    assert f"Attempting to refund_application_fee on {charge}, but it has no application fee" in str(refused.value)
    assert client.v1.refunds.list().data == []
    assert client.v1.refunds.create({"payment_intent": intent.id}).status == "succeeded"


def test_the_platforms_own_payments_carry_no_fee(sandbox: RunningSandbox) -> None:
    params: Any = HELD | {"amount": 5000, "currency": "eur", "application_fee_amount": 75}
    with pytest.raises(stripe.InvalidRequestError, match="Can only apply an application_fee_amount when"):
        client_of(sandbox).v1.payment_intents.create(params)


def test_a_folder_from_before_there_were_accounts_is_opened_and_its_objects_are_ours(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "payments.sqlite3")
    old.execute(
        "CREATE TABLE object (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, "
        "created INTEGER NOT NULL, body TEXT NOT NULL)"
    )
    body = '{"id": "cus_1", "object": "customer", "created": 1}'
    old.execute("INSERT INTO object (id, kind, created, body) VALUES ('cus_1', 'customer', 1, ?)", (body,))
    old.commit()
    old.close()
    store = Store(tmp_path)
    assert (store.owner_of("cus_1"), store.get("customer", "cus_1")["id"]) == ("acct_sandbox", "cus_1")
    with store.acting_for("acct_other"):
        assert store.find("cus_1") is None
    store.close()
