"""Giving, sharing and handing over through the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from groupbook.kit.ids import to_wire
from groupbook.web.app import build_app
from tests.support.saga import Saga


@pytest.fixture
def client(saga: Callable[..., Saga]) -> Iterator[tuple[Saga, Callable[..., Any]]]:
    house = saga("ada", "bo")
    with TestClient(build_app(house.house), base_url=house.house.settings.public_url) as browser:

        def ask(who: str | None, method: str, path: str, body: object = None) -> Any:
            headers = {"Idempotency-Key": f"{who} {method} {path} {body}"[:200].encode().hex()[:200]}
            if who is not None:
                headers["Authorization"] = f"Bearer {house.tokens[who]}"
            return browser.request(method, path, json=body, headers=headers)

        yield house, ask


def test_the_ways_over_http(client: tuple[Saga, Callable[..., Any]]) -> None:
    house, ask = client
    trip = to_wire("trip", house.trip_id)
    refused = ask("ada", "POST", f"/v1/trips/{trip}/bookings", {"lost_discount": "nobody"})
    assert refused.status_code == 422
    opened = ask("ada", "POST", f"/v1/trips/{trip}/bookings", {"lost_discount": "leaver", "window_seconds": 600})
    assert (opened.status_code, opened.json()["lost_discount"]) == (201, "leaver")
    house.run_until_quiet()
    booking = f"/v1/bookings/{opened.json()['id']}"

    gift = {"amount": {"amount": 2000, "currency": "EUR"}}
    given = ask("bo", "POST", f"{booking}/contributions", gift)
    assert ask("bo", "POST", f"{booking}/contributions", gift).json() == given.json(), "the same key"
    (extra,) = ask("ada", "GET", booking).json()["extras"]
    assert (extra["kind"], extra["contribution"], extra["amount"]) == ("sponsor", given.json()["id"], gift["amount"])
    assert ask("bo", "DELETE", f"/v1/contributions/{given.json()['id']}").status_code == 204
    assert ask("ada", "GET", booking).json()["extras"] == []

    parts = [{"member": to_wire("mem", house.members[name]), "parts": part} for name, part in (("ada", 1), ("bo", 3))]
    split = ask("ada", "POST", f"{booking}/splits", {"parts": parts}).json()["id"]
    wrong = ask("bo", "POST", f"/v1/splits/{split}/answer", {"yes": True, "amount": {"amount": 1, "currency": "EUR"}})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "split_changed")
    for name, amount in (("bo", 7500), ("ada", 2500)):
        (seen,) = ask(name, "GET", booking).json()["splits"]
        assert seen["mine"]["amount"] == amount
        answer = {"yes": True, "amount": {"amount": amount, "currency": "EUR"}}
        assert ask(name, "POST", f"/v1/splits/{split}/answer", answer).status_code == 204
    assert ask("bo", "GET", booking).json()["portions"][1]["amount"]["amount"] == 7500

    found = ask("bo", "GET", f"{booking}/leave").json()
    assert (found["lost_discount"], found["bears"]["amount"], found["is_last"]) == ("leaver", 0, False)
    link = ask("bo", "POST", f"{booking}/handovers", {"name": "Cy"}).json()
    place = f"/v1/places/{link['url'].rpartition('/')[2]}"
    assert ask(None, "GET", place).json()["by"] == "bo"
    nonce = "n" * 22
    bare = ask(None, "POST", f"{place}/take", {})
    assert (bare.status_code, bare.json()["errors"][0]["pointer"]) == (422, "/nonce")
    assert ask(None, "GET", place).json()["by"] == "bo", "nothing has moved"
    lost = ask(None, "POST", f"{place}/take", {"nonce": nonce})
    taken = ask(None, "POST", f"{place}/take", {"nonce": nonce})
    assert (taken.status_code, taken.json()["member_id"]) == (201, lost.json()["member_id"])
    assert ask(None, "POST", f"{place}/take", {"nonce": "short"}).status_code == 422
    assert taken.status_code == 201
    house.tokens["cy"] = taken.json()["guest_token"]
    assert [line["name"] for line in ask("cy", "GET", booking).json()["portions"]] == ["ada", "Cy"]
    gone = ask(None, "POST", f"{place}/take", {"name": "Di", "nonce": "m" * 22})
    assert (gone.status_code, gone.json()["code"]) == (410, "handover_over")
