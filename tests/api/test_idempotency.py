"""`Idempotency-Key` where money moves: missing 400, at work 409, another body 422, the same again for a replay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from groupbook.kit.ids import to_wire
from groupbook.web.app import OPERATIONS, build_app
from tests.support.saga import Saga
from tests.support.site import mint_key


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo")
    yield saga
    saga.close()


def test_every_post_that_moves_money_needs_a_key() -> None:
    """The list is written out, so that taking the key away from one of them is a decision."""
    keyed = {item.name for item in OPERATIONS if item.idempotent}
    assert keyed >= {"open_booking", "cancel_booking", "start_payment"}
    assert all(item.method == "POST" for item in OPERATIONS if item.idempotent)


def test_the_rules_of_the_key(saga: Saga) -> None:
    opened = f"/v1/trips/{to_wire('trip', saga.trip_id)}/bookings"
    with TestClient(build_app(saga.house)) as client:
        client.headers["Authorization"] = f"Bearer {mint_key(saga)}"

        for bad in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": "k" * 300}, {"Idempotency-Key": "a b"}):
            refused = client.post(opened, headers=bad)
            assert (refused.status_code, refused.json()["code"]) in (
                (400, "idempotency_key_missing"),
                (400, "idempotency_key_invalid"),
            )
        assert saga.count("SELECT count(*) FROM booking") == 0

        first = client.post(opened, headers={"Idempotency-Key": "open-1"})
        assert first.status_code == 201
        assert "idempotent-replayed" not in first.headers
        replay = client.post(opened, headers={"Idempotency-Key": "open-1"})
        assert (replay.status_code, replay.content) == (201, first.content)
        assert replay.headers["idempotent-replayed"] == "true"
        assert saga.count("SELECT count(*) FROM booking") == 1

        other = client.post(opened + "?x=1", headers={"Idempotency-Key": "open-1"}, content=b"{}")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        cancel = f"/v1/bookings/{first.json()['id']}/cancel"
        reused = client.post(cancel, headers={"Idempotency-Key": "open-1"})
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
        assert saga.booking().state.value == first.json()["state"]

        with saga.database.begin(saga.merchant_id) as session:
            session.execute(
                text(
                    "UPDATE idempotency_key SET status = NULL, body = NULL, "
                    "locked_until = clock_timestamp() + interval '1 minute'"
                )
            )
        at_work = client.post(opened, headers={"Idempotency-Key": "open-1"})
        assert (at_work.status_code, at_work.json()["code"]) == (409, "idempotency_key_in_use")

        # The same key of another API key is another key; the trip still has one booking.
        client.headers["Authorization"] = f"Bearer {mint_key(saga)}"
        second = client.post(opened, headers={"Idempotency-Key": "open-1"})
        assert "idempotent-replayed" not in second.headers
        assert second.json()["id"] == first.json()["id"]
        assert saga.count("SELECT count(*) FROM booking") == 1

        # A refusal moved nothing, so its key is free again.
        unknown = f"/v1/bookings/bkg_{'0' * 32}/cancel"
        for _ in range(2):
            refused = client.post(unknown, headers={"Idempotency-Key": "cancel-1"})
            assert (refused.status_code, "idempotent-replayed" in refused.headers) == (404, False)
        accepted = client.post(cancel, headers={"Idempotency-Key": "cancel-1"})
        assert accepted.status_code < 300
