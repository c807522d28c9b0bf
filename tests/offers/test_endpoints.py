"""Offers and occasions over HTTP: pushed, renewed, listed, read, refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from groupbook.kit.callers import Caller
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.http import Edge
from groupbook.kit.ids import new_id, to_wire
from groupbook.offers.endpoints import OfferDeps, routes
from tests.offers.conftest import House

SCOPES = frozenset({"offers:read", "offers:write"})
OFFER: dict[str, Any] = {
    "ref": "night-train-1",
    "title": "Paris → Berlin by night",
    "currency": "EUR",
    "legs": [
        {
            "service": "night",
            "number": "475",
            "operator": "kestrel",
            "origin": {"name": "Paris Est", "zone": "Europe/Paris", "city": "Paris"},
            "destination": {"name": "Berlin Hbf", "zone": "Europe/Berlin", "city": "Berlin"},
            "departs_at": "2027-03-01T18:12:00Z",
            "arrives_at": "2027-03-02T07:26:00Z",
            "travel_class": "2",
        }
    ],
    "fares": {"saver": {"amount": 5990, "currency": "EUR"}},
    "valid_until": "2027-03-01T17:00:00Z",
    "metadata": {"shelf": "A7"},
}
OCCASION: dict[str, Any] = {
    "ref": "lanterns-27",
    "title": "🏮 Nuits des lanternes",
    "city": "Lyon",
    "zone": "Europe/Paris",
    "starts_at": "2027-03-05T17:00:00Z",
    "ends_at": "2027-03-07T22:00:00Z",
}


@pytest.fixture
def http(house: House) -> Iterator[TestClient]:
    callers = {
        "merchant": Caller("merchant", house.merchant, subject=new_id(), scopes=SCOPES),
        "reader": Caller("merchant", house.merchant, subject=new_id(), scopes=frozenset({"offers:read"})),
        "other": Caller("merchant", house.other, subject=new_id(), scopes=SCOPES),
        "guest": Caller("guest", house.merchant, subject=new_id()),
    }

    def authenticate(request: Request) -> Caller | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in callers:
            raise Unauthenticated()
        return callers.get(token)

    edge = Edge(database=house.database, authenticate=authenticate, public_url="http://localhost:8000")
    with TestClient(Starlette(routes=list(routes(OfferDeps(house.database), edge)))) as client:
        yield client


def who(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


def test_an_offer_is_pushed_renewed_and_read(http: TestClient) -> None:
    made = http.post("/v1/offers", json=OFFER, headers=who("merchant"))
    assert made.status_code == 201
    offer = made.json()
    assert (offer["version"], offer["livemode"], offer["metadata"]) == (1, False, {"shelf": "A7"})
    assert offer["legs"][0]["departs_at"] == "2027-03-01T18:12:00.000Z"
    again = http.post("/v1/offers", json=OFFER, headers=who("merchant")).json()
    assert (again["id"], again["version"]) == (offer["id"], 1)
    dearer = OFFER | {"fares": {"saver": {"amount": 6990, "currency": "EUR"}}}
    assert http.post("/v1/offers", json=dearer, headers=who("merchant")).json()["version"] == 2
    read = http.get(f"/v1/offers/{offer['id']}", headers=who("guest")).json()
    assert read["fares"] == {"saver": {"amount": 6990, "currency": "EUR"}}
    listed = http.get("/v1/offers", params={"origin": "paris", "on": "2027-03-01"}, headers=who("merchant")).json()
    assert ([one["id"] for one in listed["data"]], listed["next_cursor"]) == ([offer["id"]], None)
    assert http.get("/v1/offers", params={"on": "2027-03-02"}, headers=who("merchant")).json()["data"] == []


def test_an_occasion_is_pushed_and_read(http: TestClient) -> None:
    made = http.post("/v1/occasions", json=OCCASION, headers=who("merchant"))
    assert made.status_code == 201
    assert http.get(f"/v1/occasions/{made.json()['id']}", headers=who("guest")).json()["title"] == OCCASION["title"]
    assert len(http.get("/v1/occasions", headers=who("merchant")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ref", "two words"),
        ("ref", "x" * 121),
        ("title", ""),
        ("title", "x" * 10_000),
        ("currency", "euro"),
        ("legs", []),
        ("legs/0/origin/zone", "Mars/Olympus"),
        ("legs/0/departs_at", "2027-03-01T18:12:00"),
        ("legs/0/departs_at", "0001-01-01T00:00:00+14:00"),
        ("legs/0/departs_at", "9999-12-31T23:59:59-14:00"),
        ("legs/0/arrives_at", "2027-03-01T18:12:00Z"),
        ("fares/saver/amount", -1),
        ("fares/saver/amount", 10**18),
        ("fares/saver/amount", "5990"),
        ("fares/saver/currency", "USD"),
        ("fares", {}),
        ("fares", {"Saver Fare": {"amount": 1, "currency": "EUR"}}),
        ("seats_left", -1),
        ("url", "javascript:alert(1)"),
        ("discount", 5),
    ],
)
def test_a_wrong_offer_is_refused_with_its_field_and_nothing_is_stored(
    http: TestClient, path: str, value: object
) -> None:
    body: Any = copy.deepcopy(OFFER)
    *parents, last = path.split("/")
    target = body
    for parent in parents:
        target = target[int(parent)] if parent.isdigit() else target[parent]
    target[last] = value
    answer = http.post("/v1/offers", json=body, headers=who("merchant"))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(f"/{path.split('/')[0]}")
    assert http.get("/v1/offers", headers=who("merchant")).json()["data"] == []


def test_each_may_only_do_their_own(http: TestClient) -> None:
    offer = http.post("/v1/offers", json=OFFER, headers=who("merchant")).json()
    assert http.post("/v1/offers", json=OFFER).status_code == 401
    assert http.post("/v1/offers", json=OFFER, headers=who("stranger")).status_code == 401
    assert http.post("/v1/offers", json=OFFER, headers=who("guest")).status_code == 403
    assert http.post("/v1/offers", json=OFFER, headers=who("reader")).status_code == 403
    assert http.get(f"/v1/offers/{offer['id']}", headers=who("other")).status_code == 404
    assert http.get("/v1/offers", headers=who("other")).json()["data"] == []
    assert http.get(f"/v1/offers/{to_wire('off', new_id())}", headers=who("merchant")).status_code == 404
    assert http.get(f"/v1/offers/{to_wire('occ', new_id())}", headers=who("merchant")).status_code == 404
    assert http.get("/v1/offers", params={"cursor": "§"}, headers=who("merchant")).status_code == 422
    assert http.get("/v1/offers", params={"limit": 0}, headers=who("merchant")).status_code == 422


def test_lists_are_paged_without_losing_or_repeating(http: TestClient) -> None:
    for number in range(5):
        http.post("/v1/offers", json=OFFER | {"ref": f"train-{number}"}, headers=who("merchant"))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/offers", params=query, headers=who("merchant")).json()
        seen += [offer["ref"] for offer in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"train-{number}" for number in (4, 3, 2, 1, 0)]
