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


def test_the_waiting_list_over_http(client: tuple[Saga, Callable[..., Any]]) -> None:
    house, ask = client
    trip = to_wire("trip", house.trip_id)
    wait = f"/v1/invites/{house.invite_token}/wait"
    refused = ask(None, "POST", wait, {"name": "Cy"})
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_wait_for")
    opened = ask("ada", "POST", f"/v1/trips/{trip}/bookings", {"window_seconds": 600})
    house.run_until_quiet()
    release = f"/v1/bookings/{opened.json()['id']}/release"
    alone = ask("bo", "POST", release)
    assert (alone.status_code, alone.json()["code"]) == (409, "nobody_waits")
    for name in ("cy", "di"):
        queued = ask(None, "POST", wait, {"name": name})
        assert (queued.status_code, queued.json()["trip_id"]) == (201, trip)
        house.tokens[name] = queued.json()["guest_token"]
    seen = ask("di", "GET", f"/v1/trips/{trip}/waiting").json()
    assert seen == {"position": 2, "count": 2, "can_come_in": False, "offered": None}
    assert ask("cy", "GET", f"/v1/trips/{trip}").json()["members"] is None, "who waits is shown nobody"
    released = ask("bo", "POST", release)
    assert (released.status_code, ask("bo", "POST", release).json()) == (201, released.json())
    assert ask("cy", "DELETE", f"/v1/trips/{trip}/waiting").status_code == 204
    house.run_until_quiet()
    offered = ask("di", "GET", f"/v1/trips/{trip}/waiting").json()["offered"]
    assert offered["price"] == {"amount": 5000, "currency": "EUR"}
    place = f"/v1/places/{offered['token']}"
    assert (ask(None, "GET", place).json()["by"], ask(None, "GET", place).json()["is_from_line"]) == ("", True)
    taken = ask("di", "POST", f"{place}/take", {})
    assert taken.status_code == 201
    assert [line["name"] for line in ask("di", "GET", f"/v1/bookings/{opened.json()['id']}").json()["portions"]] == [
        "ada",
        "di",
    ]
    assert ask("bo", "DELETE", f"/v1/handovers/{released.json()['id']}").status_code in (204, 410)
    assert ask("cy", "POST", f"/v1/trips/{trip}/waiting").status_code == 204
    assert ask("cy", "GET", f"/v1/trips/{trip}/waiting").json()["position"] == 1


def test_sponsors_over_http(client: tuple[Saga, Callable[..., Any]]) -> None:
    house, ask = client
    trip = to_wire("trip", house.trip_id)
    booking = f"/v1/bookings/{ask('ada', 'POST', f'/v1/trips/{trip}/bookings', {}).json()['id']}"
    house.run_until_quiet()
    wanted = {"wanted": {"amount": 4000, "currency": "EUR"}}
    assert ask("bo", "PUT", f"{booking}/sponsor-link", wanted).json()["code"] == "not_organizer"
    link = ask("ada", "PUT", f"{booking}/sponsor-link", wanted).json()
    assert (link["left"], ask("ada", "PUT", f"{booking}/sponsor-link", wanted).json()["url"]) == (
        wanted["wanted"],
        link["url"],
    )
    gift = f"/v1/gifts/{link['url'].rpartition('/')[2]}"
    found = ask(None, "GET", gift).json()
    assert (found["title"], found["by"], found["travelers"], found["least"]["amount"]) == ("Lights", "ada", 2, 50)
    body = {"amount": {"amount": 1500, "currency": "EUR"}, "name": "Gran"}
    assert ask(None, "POST", f"{gift}/give", body).json()["code"] == "nonce_missing"
    given = ask(None, "POST", f"{gift}/give", body | {"nonce": "n" * 22})
    assert (given.status_code, given.json()["trip_id"]) == (201, trip)
    house.tokens["gran"] = given.json()["guest_token"]
    seen = ask("gran", "GET", booking).json()
    assert (seen["portions"], [one["contribution"] for one in seen["extras"]]) == ([], [given.json()["contribution"]])
    assert ask("gran", "GET", f"/v1/trips/{trip}").json()["members"] is None
    assert ask("ada", "DELETE", f"/v1/sponsor-links/{link['id']}").status_code == 204
    assert ask(None, "GET", gift).json()["code"] == "sponsor_link_over"
