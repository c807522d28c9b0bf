"""Where somebody is known, and logging them out there: of who it is, and of nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from groupbook import people, trips
from groupbook.kit.ids import SessionId, to_wire
from groupbook.people.domain import SessionNotFound
from groupbook.web.app import build_app
from tests.support.saga import Saga


@pytest.fixture
def house(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo")
    yield saga
    saga.close()


def open_elsewhere(house: Saga, name: str) -> str:
    """The guest's seat in another browser."""
    with house.database.begin(house.merchant_id) as session:
        token = trips.sit_again(session, house.trip_id, house.members[name]).guest_token
    assert token is not None
    return token


def test_who_lost_a_device_logs_it_out_from_another(house: Saga) -> None:
    lost = open_elsewhere(house, "bo")
    first, second = people.read_devices(house.database, house.friends["bo"])
    assert [(one.kind, one.embed_origin, one.is_current) for one in (first, second)] == [
        ("guest", None, False),
        ("guest", None, True),
    ]
    assert people.authenticate(house.database, lost) is not None
    for _ in range(2):
        people.end_device(house.database, house.friends["bo"], first.id)
    assert people.authenticate(house.database, lost) is None
    assert people.authenticate(house.database, house.tokens["bo"]) is not None, "only that one"
    assert [one.id for one in people.read_devices(house.database, house.friends["bo"])] == [second.id]


def test_nobody_elses_device_is_seen_or_ended(house: Saga) -> None:
    (ada,) = people.read_devices(house.database, house.friends["ada"])
    for foreign in (ada.id, SessionId(house.trip_id)):
        with pytest.raises(SessionNotFound):
            people.end_device(house.database, house.friends["bo"], foreign)
    assert people.authenticate(house.database, house.tokens["ada"]) is not None


@pytest.fixture
def ask(house: Saga) -> Iterator[Callable[..., Any]]:
    with TestClient(build_app(house.house), base_url=house.house.settings.public_url) as browser:

        def run(token: str, method: str, path: str) -> Any:
            return browser.request(method, path, headers={"Authorization": f"Bearer {token}"})

        yield run


def test_devices_over_http(house: Saga, ask: Callable[..., Any]) -> None:
    lost, kept = open_elsewhere(house, "bo"), house.tokens["bo"]
    found = ask(kept, "GET", "/v1/sessions").json()["data"]
    assert [(one["kind"], one["is_current"]) for one in found] == [("guest", False), ("guest", True)]
    (ada,) = people.read_devices(house.database, house.friends["ada"])
    refused = ask(kept, "DELETE", f"/v1/sessions/{to_wire('ses', ada.id)}")
    assert (refused.status_code, refused.json()["code"]) == (404, "session_not_found")
    assert ask(kept, "DELETE", f"/v1/sessions/{found[0]['id']}").status_code == 204
    assert ask(lost, "GET", "/v1/sessions").status_code == 401
    assert len(ask(kept, "GET", "/v1/sessions").json()["data"]) == 1
