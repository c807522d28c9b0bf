"""Entitlements and rules over HTTP: who may, and what a wrong request is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from groupbook import merchants
from groupbook.discounts.endpoints import OPERATIONS, DiscountDeps, routes
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.http import Edge, openapi
from groupbook.kit.ids import MerchantId, new_id
from groupbook.kit.sealing import Sealer

RULES = {
    rule["id"]: rule
    for rule in json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))["rules"]
}
MERCHANT = MerchantId(new_id())
ANA, BO = new_id(), new_id()
CALLERS = {
    "ana": Caller("person", MERCHANT, subject=ANA),
    "bo": Caller("guest", MERCHANT, subject=BO),
    "key": Caller("merchant", MERCHANT, subject=UUID(int=1), scopes=frozenset({"*"})),
    "reader": Caller("merchant", MERCHANT, subject=UUID(int=1), scopes=frozenset({"offers:read"})),
}


def who(request: Request) -> Caller | None:
    return CALLERS.get(request.headers.get("x-as", ""))


@pytest.fixture
def http(database: Database) -> Iterator[TestClient]:
    merchants.create_merchant(
        database, slug="kestrel", name="Kestrel Rail", livemode=False, currency="GBP", merchant_id=MERCHANT
    )
    edge = Edge(database=database, authenticate=who, public_url="http://localhost:8000")
    deps = DiscountDeps(database, Sealer("a key of the tests"))
    with TestClient(Starlette(routes=list(routes(deps, edge)))) as client:
        put(client, [RULES["uk.16-25"], RULES["uk.child"]])
        yield client


def put(client: TestClient, rules: list[Any], *, caller: str = "key", **more: Any) -> Any:
    body = {"starts_on": "2026-01-01", "rules": rules, **more}
    return client.put("/v1/rules", json=body, headers={"x-as": caller})


def test_entitlements_are_the_owners_alone(http: TestClient) -> None:
    mine = {"age": 20, "cards": [{"type": "uk.16-25", "number": "A 1", "valid_until": "2027-01-31"}]}
    answer = http.put("/v1/entitlements", json=mine, headers={"x-as": "ana"})
    assert answer.status_code == 200
    read = http.get("/v1/entitlements", headers={"x-as": "ana"}).json()
    assert (read["age"], read["cards"][0]["number"], read["cards"][0]["valid_until"]) == (20, "A 1", "2027-01-31")
    assert http.get("/v1/entitlements", headers={"x-as": "bo"}).json()["cards"] == []
    assert http.get("/v1/entitlements", headers={"x-as": "key"}).status_code == 403
    assert http.get("/v1/entitlements").status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"age": "20"}, 422),
        ({"age": 200}, 422),
        ({"cards": [{"type": "no.such"}]}, 422),
        ({"cards": [{"type": "uk.16-25", "surprise": 1}]}, 422),
        ({"cards": [{"type": "uk.16-25", "valid_until": "soon"}]}, 422),
        ([], 422),
        ("{", 400),
    ],
)
def test_wrong_entitlements_change_nothing(http: TestClient, body: Any, status: int) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    headers = {"x-as": "ana", "content-type": "application/json"}
    assert http.put("/v1/entitlements", content=content, headers=headers).status_code == status
    assert http.get("/v1/entitlements", headers={"x-as": "ana"}).json()["changed_at"] is None


def test_card_types_come_from_the_rules(http: TestClient) -> None:
    answer = http.get("/v1/card-types", headers={"x-as": "bo"}).json()
    assert answer == {"data": [{"type": "uk.16-25", "name": "16-25 Railcard"}]}


def test_rules_are_uploaded_read_and_refused_with_pointers(http: TestClient) -> None:
    second = put(http, [RULES["uk.child"]], starts_on="2027-01-01")
    assert (second.status_code, second.json()["version"]) == (200, 2)
    in_force = http.get("/v1/rules?on=2026-12-31", headers={"x-as": "reader"}).json()
    assert (in_force["version"], len(in_force["rules"])) == (1, 2)
    assert http.get("/v1/rules?on=2025-01-01", headers={"x-as": "reader"}).status_code == 404
    assert http.get("/v1/rules?on=x", headers={"x-as": "reader"}).status_code == 422
    assert put(http, [RULES["uk.child"]], caller="reader").status_code == 403
    assert put(http, [RULES["uk.child"]], caller="ana").status_code == 403
    shrinking = {**RULES["uk.16-25"], "when": [{"fact": "party", "le": 3}]}
    refused = put(http, [RULES["uk.child"], shrinking])
    assert (refused.status_code, refused.json()["code"]) == (422, "catalogue_refused")
    assert [(one["pointer"], one["code"]) for one in refused.json()["errors"]] == [
        ("/rules/1/when/0", "party_maximum_unsupported")
    ]
    broken = put(http, [{**RULES["uk.child"], "effect": {"bp": 5000, "off": 1}}])
    assert [one["pointer"] for one in broken.json()["errors"]] == ["/rules/0/effect"]
    assert put(http, [None]).status_code == 422
    assert http.get("/v1/rules?on=2027-06-01", headers={"x-as": "key"}).json()["version"] == 2


def test_the_operations_describe_themselves() -> None:
    document = openapi(OPERATIONS, title="x", version="1", server_url="http://localhost:8000")
    assert set(document["paths"]) >= {"/v1/entitlements", "/v1/card-types", "/v1/rules", "/v1/codes"}
