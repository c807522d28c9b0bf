"""Shares, beacons and growth over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from groupbook import referrals
from groupbook.kit.callers import Caller
from groupbook.kit.http import Edge, openapi
from groupbook.kit.ids import new_id, to_wire
from groupbook.referrals.endpoints import OPERATIONS, ReferralDeps, routes
from tests.referrals.conftest import Street


@pytest.fixture
def callers(street: Street) -> dict[str, Caller]:
    key = Caller("merchant", street.kestrel, subject=UUID(int=1), scopes=frozenset({"*"}))
    return {"ana": street.person("ana"), "bo": street.person("bo"), "key": key}


@pytest.fixture
def http(street: Street, callers: dict[str, Caller]) -> Iterator[TestClient]:
    def who(request: Request) -> Caller | None:
        return callers.get(request.headers.get("x-as", ""))

    edge = Edge(database=street.database, authenticate=who, public_url="http://localhost:8000")
    deps = ReferralDeps(street.database)
    with TestClient(Starlette(routes=list(routes(deps, edge)))) as client:
        yield client


def test_from_a_share_to_the_figures(street: Street, http: TestClient, callers: dict[str, Caller]) -> None:
    trip_id = street.trip(callers["ana"]).trip_id
    body = {"trip_id": to_wire("trip", trip_id), "channel": "demo", "fields": ["title"]}
    minted = http.post("/v1/shares", json=body, headers={"x-as": "ana"})
    assert minted.status_code == 201
    code = minted.json()["code"]
    assert minted.json()["url"] == f"http://localhost:8000/s/{code}"
    share = referrals.open_share(street.database, code).share
    visit_id = street.hit(share).visit_id
    assert visit_id is not None
    path = f"/v1/visits/{to_wire('vis', visit_id)}/confirm"
    assert http.post(path, json={"visible_seconds": 1}).status_code == 409  # nobody can have looked for a second yet
    street.look(visit_id)
    assert http.post(path, json={"visible_seconds": 3}).json() == {"id": to_wire("vis", visit_id), "is_counted": True}
    growth = http.get("/v1/growth", headers={"x-as": "key"}).json()
    assert growth["shared"] | {"channel": "-"} == {
        "channel": "-",
        "shares": 1,
        "visits": 1,
        "unconfirmed": 0,
        "visits_per_share": 1.0,
        "joins": 0,
        "starts": 0,
        "bookings": 0,
    }


def test_wrong_requests_count_nothing(street: Street, http: TestClient, callers: dict[str, Caller]) -> None:
    trip_id = to_wire("trip", street.trip(callers["ana"]).trip_id)

    def post(**body: object) -> int:
        return http.post("/v1/shares", json=body, headers={"x-as": "bo"}).status_code

    assert post(trip_id=trip_id, channel="demo") == 403  # public, and Bo is not in it
    assert post(trip_id=to_wire("trip", new_id()), channel="demo") == 404
    assert post(trip_id="trip_1", channel="demo") == 422
    assert post(trip_id=trip_id, channel="myspace") == 422
    assert post(trip_id=trip_id, channel="demo", fields=["iban"]) == 422
    assert http.post("/v1/shares", json={}).status_code == 401
    unknown = to_wire("vis", new_id())
    assert http.post(f"/v1/visits/{unknown}/confirm", json={"visible_seconds": 1}).status_code == 404
    assert http.post(f"/v1/visits/{unknown}/confirm", json={"visible_seconds": 0}).status_code == 422
    assert http.get("/v1/growth", headers={"x-as": "ana"}).status_code == 403
    assert referrals.growth(street.database, street.kestrel).shared.shares == 0


def test_the_operations_describe_themselves() -> None:
    document = openapi(OPERATIONS, title="x", version="1", server_url="http://localhost:8000")
    assert set(document["paths"]) == {"/v1/shares", "/v1/visits/{visit_id}/confirm", "/v1/growth"}
