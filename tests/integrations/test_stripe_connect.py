"""A platform's key and a connected account: every call is the account's, and the platform's part follows the money."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from typer.testing import CliRunner

from groupbook import merchants, payments
from groupbook.cli import app
from groupbook.kit.errors import GroupbookError, InvariantBroken
from groupbook.kit.ids import AttemptId, RefundId, new_id
from groupbook.kit.money import Money
from groupbook.payments.ports import EventRejected, PaymentOrder, PaymentRef
from integrations.demo.payments.shapes import check, decode
from integrations.demo.payments.webhooks import sign
from integrations.payments.stripe import Platform, StripeProvider, connect
from integrations.payments.stripe.configuration import Configuration
from tests.support.saga import Saga

SECONDS = 5.0
OPERATIONS = {
    "/v1/checkout/sessions": "checkout.sessions.create",
    "/v1/payment_intents": "payment_intents.create",
    "/v1/payment_intents/pi_1/capture": "payment_intents.capture",
    "/v1/refunds": "refunds.create",
}


def charged(fee: int | None) -> dict[str, Any]:
    charge = {"id": "ch_1", "object": "charge", "application_fee_amount": fee}
    return {"id": "pi_1", "object": "payment_intent", "latest_charge": charge}


def asked(
    minor: int = 3334, currency: str = "EUR", *, fee_taken: int | None = None, **configuration: Any
) -> dict[str, dict[str, Any]]:
    """What a provider sends for a page, an absent payer, a capture and a refund, by operation; all of it is refused.

    Args:
        fee_taken: what the platform got of the charge that is refunded, in Stripe's units.
    """
    sent: dict[str, dict[str, Any]] = {}

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            operation = OPERATIONS[request.url.path]
            # The sandbox's own strictness: what the SDK's types do not know would be refused here as there.
            sent[operation] = check(operation, decode(parse_qsl(request.content.decode(), keep_blank_values=True)))
            sent[operation]["account"] = request.headers.get("stripe-account")
        elif request.url.path == "/v1/payment_intents/pi_1":
            assert request.headers.get("stripe-account") == configuration.get("account")
            return httpx2.Response(200, content=json.dumps(charged(fee_taken)))
        return httpx2.Response(429, content=json.dumps({"error": {"code": "rate_limit"}}))

    given = {"secret_key": "sk_test_platform", "api_base": "https://stripe.invalid"} | configuration
    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    provider = StripeProvider(Configuration.parse(given, livemode=False), livemode=False, client=client)
    attempt, amount = AttemptId(new_id()), Money(minor, currency)
    order = PaymentOrder(attempt, amount, "Lisbon", "http://localhost:8000/ok", "http://localhost:8000/b", "en")
    ref, refund_id = PaymentRef(attempt, datetime.now(UTC), "cs_1", "pi_1"), RefundId(new_id())
    for ask in (
        lambda: provider.open_payment(order, key="1", timeout_seconds=SECONDS),
        lambda: provider.authorize_saved(order, "cus_1/pm_1", key="2", timeout_seconds=SECONDS),
        lambda: provider.capture(ref, amount, key="3", timeout_seconds=SECONDS),
        lambda: provider.refund(ref, amount, refund_id=refund_id, key="4", timeout_seconds=SECONDS),
    ):
        with pytest.raises(GroupbookError):
            ask()
    provider.close()
    return sent


def fees(sent: dict[str, dict[str, Any]]) -> tuple[Any, ...]:
    page = sent["checkout.sessions.create"]["payment_intent_data"].get("application_fee_amount")
    absent, capture = (sent[f"payment_intents.{verb}"].get("application_fee_amount") for verb in ("create", "capture"))
    return page, absent, capture, sent["refunds.create"].get("refund_application_fee")


@pytest.mark.parametrize(
    ("minor", "currency", "points", "expected"),
    [
        (3334, "EUR", 250, (83, 83, 83, True)),  # 83.35 cents: rounded down, to the merchant's good
        (50, "EUR", 1, (None, None, None, None)),  # less than a cent is nothing, and nothing of it comes back
        (1200, "JPY", 100, (12, 12, 12, True)),
        (570, "ISK", 100, (500, 500, 500, True)),  # 5 krónur, in Stripe's units
        (12_340, "TND", 100, (120, 120, 120, True)),  # three decimals, of which the last is 0
        (3334, "EUR", 0, (None, None, None, None)),
    ],
)
def test_the_platforms_part_is_exact_and_goes_back_with_a_refund(
    minor: int, currency: str, points: int, expected: tuple[Any, ...]
) -> None:
    sent = asked(minor, currency, fee_taken=expected[2], account="acct_shop", fee_basis_points=points)
    assert fees(sent) == expected
    assert {one["account"] for one in sent.values()} == {"acct_shop"}
    assert len(sent) == 4


@pytest.mark.parametrize(("fee_taken", "points", "expected"), [(None, 150, None), (0, 150, None), (83, 0, True)])
def test_what_comes_back_of_a_fee_follows_the_charge_and_not_todays_terms(
    fee_taken: int | None, points: int, expected: bool | None
) -> None:
    sent = asked(fee_taken=fee_taken, account="acct_shop", fee_basis_points=points)
    assert sent["refunds.create"].get("refund_application_fee") is expected


def test_a_merchants_own_key_knows_no_account_and_no_fee() -> None:
    sent = asked()
    assert (fees(sent), {one["account"] for one in sent.values()}) == ((None,) * 4, {None})


@pytest.mark.parametrize(
    "wrong",
    [
        {"fee_basis_points": 100},
        {"account": "acct_shop", "fee_basis_points": -1},
        {"account": "acct_shop", "fee_basis_points": 10_000},
    ],
)
def test_a_fee_that_cannot_be_is_no_configuration(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvariantBroken):
        Configuration.parse({"secret_key": "sk_test_x"} | wrong, livemode=False)


def test_the_operator_connects_an_account_of_the_platform(database_url: str) -> None:
    saga = Saga(database_url, "ada", public_url="http://localhost:8000")
    environment = {
        "GROUPBOOK_DATABASE_URL": database_url,
        "GROUPBOOK_SECRET_KEY": "a secret of the tests, long enough",
        "GROUPBOOK_STRIPE_SECRET_KEY": "sk_test_platform",
    }
    words = ["connect-account", "--merchant", "kestrel", "--account", "acct_shop", "--fee-basis-points", "150"]
    done = CliRunner().invoke(app, words, env=environment)
    assert (done.exit_code, done.output.strip()) == (0, "kestrel is paid on acct_shop")
    with saga.database.begin(saga.merchant_id) as session:
        account = payments.connected_account(session, saga.house.sealer)
    assert account is not None
    assert (account.account_ref, account.is_platform, account.has_messages) == ("acct_shop", True, False)
    assert CliRunner().invoke(app, [*words[:-1], "10000"], env=environment).exit_code == 1
    # Said again with another fee: what is known of its messages stays.
    assert "secret_key" not in kept(saga)  # the operator's key is a setting, and in no merchant's row
    known = kept(saga) | {"webhook_secret": "whsec_1", "endpoint_ref": "we_1", "account_name": "Shop"}
    with saga.database.begin(saga.merchant_id) as session:
        merchants.connect(session, saga.house.sealer, kind="payment_provider", adapter="stripe", configuration=known)
    assert CliRunner().invoke(app, [*words[:-1], "200"], env=environment).exit_code == 0
    assert kept(saga) == known | {"fee_basis_points": 200, "connected_at": kept(saga)["connected_at"]}
    saga.close()


def test_the_operator_connects_nothing_over_payments_that_are_under_way(database_url: str) -> None:
    saga = Saga(database_url, "ada", public_url="http://localhost:8000")
    saga.open()
    saga.run_until_quiet()
    saga.page("ada")
    environment = {
        "GROUPBOOK_DATABASE_URL": database_url,
        "GROUPBOOK_SECRET_KEY": "a secret of the tests, long enough",
        "GROUPBOOK_STRIPE_SECRET_KEY": "sk_test_platform",
    }
    words = ["connect-account", "--merchant", "kestrel", "--account", "acct_shop"]
    refused = CliRunner().invoke(app, words, env=environment)
    assert (refused.exit_code, "connect this one once they are settled" in refused.output) == (1, True)
    without_key = CliRunner().invoke(app, words, env=environment | {"GROUPBOOK_STRIPE_SECRET_KEY": ""})
    no_account = CliRunner().invoke(app, [*words[:-1], "shop"], env=environment)
    assert (without_key.exit_code, no_account.exit_code) == (2, 2)
    assert kept(saga) == {}
    saga.close()


def kept(saga: Saga) -> dict[str, Any]:
    with saga.database.begin(saga.merchant_id) as session:
        return dict(merchants.read_connection(session, saga.house.sealer, "payment_provider").configuration)


@pytest.mark.parametrize(
    ("known", "named", "is_taken"),
    [
        ({"secret_key": "sk_test_own"}, None, True),
        ({"secret_key": "sk_test_own"}, "acct_other", False),
        ({"secret_key": "sk_test_own", "account_ref": "acct_shop"}, "acct_shop", True),
        ({"secret_key": "sk_test_own", "account_ref": "acct_shop"}, "acct_other", False),
        ({"account": "acct_shop"}, "acct_shop", True),
        ({"account": "acct_shop"}, "acct_other", False),
        ({"account": "acct_shop"}, None, False),
    ],
)
def test_a_message_is_of_our_own_account_or_refused(known: dict[str, Any], named: str | None, is_taken: bool) -> None:
    """https://docs.stripe.com/connect/webhooks: what happens on a connected account names it, all else names none."""
    event = {
        "id": "evt_1",
        "object": "event",
        "created": 1_700_000_000,
        "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
        "livemode": False,
        "type": "payment_intent.succeeded",
    } | ({"account": named} if named else {})
    body = json.dumps(event).encode()
    provider = connect(known | {"webhook_secret": "whsec_1"}, livemode=False, platform=Platform("sk_test_platform"))
    headers = {"stripe-signature": sign(body, "whsec_1", event["created"])}  # type: ignore[arg-type]  # a number
    now = datetime.fromtimestamp(1_700_000_000, UTC)
    if is_taken:
        assert provider.read_event(headers, body, now=now).account == named
    else:
        with pytest.raises(EventRejected) as refused:
            provider.read_event(headers, body, now=now)
        assert refused.value.params["reason"] == "wrong_account"
    provider.close()


@pytest.mark.parametrize(("known", "platform"), [({}, Platform("sk_test_platform")), ({"account": "acct_shop"}, None)])
def test_nobody_pays_the_platform_itself_or_an_account_without_one(
    known: dict[str, Any], platform: Platform | None
) -> None:
    with pytest.raises(InvariantBroken):
        connect(known, livemode=False, platform=platform)


def test_a_live_merchant_has_no_account_on_a_test_platform() -> None:
    with pytest.raises(InvariantBroken):
        connect({"account": "acct_shop"}, livemode=True, platform=Platform("sk_test_platform"))
