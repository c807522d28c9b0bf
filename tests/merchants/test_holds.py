"""Keeping places is the merchant's own choice: opt in, on the merchant's terms, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from groupbook import merchants
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.http import Edge
from groupbook.kit.ids import new_id
from groupbook.kit.sealing import Sealer
from groupbook.merchants.domain import Capabilities
from groupbook.merchants.endpoints import MerchantDeps, routes

TERMS: dict[str, Any] = {
    "offered": True,
    "seconds_max": 7200,
    "seconds_first": 1800,
    "seconds_per_portion": 900,
    "fee_minor": 250,
    "per_organizer_max": 2,
    "per_offer_max": None,
    "memory_seconds": 600,
}


@pytest.fixture
def http(database: Database) -> Iterator[TestClient]:
    kestrel = merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=False).id
    callers = {"staff": Caller("staff", kestrel, subject=new_id()), "key": Caller("merchant", kestrel)}

    def authenticate(request: Request) -> Caller:
        return callers[request.headers["authorization"]]

    deps = MerchantDeps(database, Sealer("a secret of the tests, long enough"))
    edge = Edge(database=database, authenticate=authenticate, public_url="http://localhost:8000")
    with TestClient(Starlette(routes=routes(deps, edge))) as client:
        yield client


def test_places_are_kept_only_where_the_merchant_said_so(http: TestClient) -> None:
    def capabilities() -> dict[str, Any]:
        return dict(http.get("/v1/merchant", headers={"Authorization": "key"}).json()["capabilities"])

    assert Capabilities().holds is False
    assert capabilities()["holds"] is False
    refused = http.put(
        "/v1/merchant/holds", json={"offered": True, "seconds_max": 1}, headers={"Authorization": "staff"}
    )
    assert (refused.status_code, capabilities()["holds"]) == (422, False)
    set_to = http.put("/v1/merchant/holds", json=TERMS, headers={"Authorization": "staff"})
    assert set_to.status_code == 200, set_to.text
    told = capabilities()
    assert set_to.json()["capabilities"] == told
    assert {
        "holds": True,
        "hold_seconds_max": 7200,
        "hold_seconds_first": 1800,
        "hold_seconds_per_portion": 900,
        "hold_fee_minor": 250,
        "holds_per_organizer_max": 2,
        "holds_per_offer_max": None,
        "hold_memory_seconds": 600,
        "pricing": "rules",
        "tombstones": True,
    }.items() <= told.items()
    http.put("/v1/merchant/holds", json={"offered": False}, headers={"Authorization": "staff"})
    assert capabilities()["holds"] is False
