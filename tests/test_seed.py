"""Seeding the demo again: what somebody connected since stays, and the demo's own account keeps its messages."""

from __future__ import annotations

from typing import Any

from groupbook import merchants
from groupbook.merchants.domain import mint_secret
from groupbook.seed import DemoPlan, seed_demo
from integrations.demo.rail.rules import rule_catalogue
from tests.support.saga import Saga

OWN = {"secret_key": "sk_test_demo", "webhook_secret": "whsec_demo", "api_base": "http://127.0.0.1:8003"}


def test_seeding_again_mends_the_demos_own_account_and_leaves_any_other(database_url: str) -> None:
    saga = Saga(database_url, "ada", public_url="http://localhost:8000")
    api_key = mint_secret(livemode=False)

    def seeded(**provider: Any) -> dict[str, Any]:
        plan = DemoPlan(
            slug="kestrel",
            name="Kestrel Rail",
            staff_email="desk@kestrel.example",
            staff_password="a long enough password",
            api_key=api_key,
            shop_origin="http://127.0.0.1:8001",
            adapter_configuration={"base_url": "http://127.0.0.1:8001/api/v1", "token": "t"},
            provider_configuration=OWN | provider,
            rules=rule_catalogue(),
        )
        seed_demo(saga.house, plan)
        with saga.database.begin(saga.merchant_id) as session:
            kept = merchants.read_connection(session, saga.house.sealer, "payment_provider").configuration
        return {name: value for name, value in kept.items() if name != "connected_at"}

    def connect(configuration: dict[str, Any]) -> dict[str, Any]:
        with saga.database.begin(saga.merchant_id) as session:
            merchants.connect(
                session, saga.house.sealer, kind="payment_provider", adapter="stripe", configuration=configuration
            )
        return configuration

    connect(OWN)
    assert seeded(api_base="http://127.0.0.1:9003") == OWN | {"api_base": "http://127.0.0.1:9003"}
    # A new signing secret was made on the dashboard: the endpoint is another than the one that is configured.
    rolled = OWN | {"webhook_secret": "whsec_new", "endpoint_ref": "we_1"}
    connect(rolled)
    assert seeded() == rolled
    for other in ({"account": "acct_harbor", "fee_basis_points": 150}, {"secret_key": "rk_test_other"}):
        assert connect(other) == seeded()
    saga.close()
