"""The merchant's way in, over real HTTP: the README's commands, a booking read, signed webhooks that arrive."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from groupbook.kit.ids import to_wire
from groupbook.web import quickstart
from groupbook.webhooks.sender import PinnedSender
from tests.support.saga import Saga
from tests.support.site import api, mint_key, receiver, served

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo", sender=PinnedSender(loopback_allowed=True), test_mode=True)
    yield saga
    saga.close()


def shell(script: str) -> str:
    environment = {"PATH": os.environ["PATH"], "no_proxy": "*"}
    done = subprocess.run(
        ["sh", "-eu", "-c", script], check=True, capture_output=True, text=True, timeout=60, env=environment
    )
    return done.stdout


def test_the_first_commands_work_as_they_are_printed(saga: Saga) -> None:
    key = mint_key(saga)
    with served(saga) as url:
        commands = {command.id: command.text for command in quickstart.commands(url, key)}
        remember = "\n".join((commands["keep"], commands["offer"], 'printf %s "$OFFER"'))
        offer = shell(remember)
        assert re.fullmatch(r"off_[0-9a-f]{32}", offer)
        assert shell(remember) == offer  # the same `ref` again renews the offer
        trip = shell("\n".join((commands["keep"], f"OFFER={offer}", commands["trip"])))
        assert re.search(r'"trip_id":"trip_[0-9a-f]{32}".*"invite_url":"[^"]+/i/', trip)
        saga.open()
        saga.run_until_quiet()
        for name in ("ada", "bo"):
            saga.pay(name)
        assert '"state":"booked"' in shell("\n".join((commands["keep"], commands["bookings"])))
        assert '"type":"booking.confirmed"' in shell("\n".join((commands["keep"], commands["events"])))
        refused = shell("\n".join((commands["keep"], commands["webhook"])))
        assert '"secret":"whsec_' in refused


def test_the_readme_prints_the_same_commands() -> None:
    printed = README.read_text(encoding="utf-8")
    for command in quickstart.commands("http://localhost:8000", "gb_test_…"):
        if command.id != "keep":
            assert command.text in printed, f"README.md lacks the command {command.id!r} of groupbook/web/quickstart.py"


def test_a_booking_is_read_listed_and_told(saga: Saga) -> None:
    key = mint_key(saga)
    with receiver() as shop, served(saga) as url, api(url, key) as client:
        wanted = ["booking.confirmed", "booking.canceled"]
        endpoint = client.post("/v1/webhook_endpoints", json={"url": shop.url, "event_types": wanted}).json()
        booking_id = saga.open()
        saga.run_until_quiet()
        for name in ("ada", "bo"):
            saga.pay(name)
        booking = client.get(f"/v1/bookings/{to_wire('bkg', booking_id)}").json()
        assert (booking["state"], booking["total"]) == ("booked", {"amount": 10_000, "currency": "EUR"})
        assert booking["livemode"] is False
        [(headers, body)] = shop.posts
        confirmed = Webhook(endpoint["secret"]).verify(body, headers)
        assert confirmed["type"] == "booking.confirmed"
        assert confirmed["data"]["id"] == booking["id"]
        assert confirmed["data"]["total"] == booking["total"]

        canceled = client.post(f"/v1/bookings/{booking['id']}/cancel", headers={"Idempotency-Key": "cancel-1"})
        assert canceled.status_code < 300, canceled.text
        saga.run_until_quiet()
        assert client.get(f"/v1/bookings/{booking['id']}").json()["state"] == "refunded"
        [_, (headers, body)] = shop.posts
        assert Webhook(endpoint["secret"]).verify(body, headers)["type"] == "booking.canceled"

        listed = client.get("/v1/events", params={"object": booking["id"]}).json()["data"]
        types = [event["type"] for event in listed]
        assert types == ["booking.canceled", "booking.confirmed", "booking.opened", "booking.started"]
        event = listed[0]
        assert client.get(f"/v1/events/{event['id']}").json() == event
        assert {name for _, name in _personal(saga)} & set(str(listed).split()) == set()
        again = client.post(f"/v1/events/{event['id']}/redeliver", json={})
        assert (again.status_code, len(again.json()["data"])) == (202, 1)
        saga.run_until_quiet()
        assert shop.posts[2][1] == shop.posts[1][1]
        deliveries = client.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries").json()["data"]
        assert [one["state"] for one in deliveries] == ["delivered"] * 3


def _personal(saga: Saga) -> list[tuple[str, str]]:
    with saga.database.begin(saga.merchant_id) as session:
        return [(row[0], row[1]) for row in session.execute(text("SELECT id::text, name FROM member"))]


def test_a_key_without_the_scope_and_a_live_key_see_nothing(saga: Saga) -> None:
    narrow = mint_key(saga, scopes=["offers:read"])
    with served(saga) as url, api(url, narrow) as client:
        assert client.get("/v1/offers").status_code == 200
        refused = client.get("/v1/bookings")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert client.get("/v1/bookings", headers={"Authorization": "Bearer gb_live_x"}).status_code == 401
        assert client.get(f"/v1/bookings?key={narrow}", headers={"Authorization": ""}).status_code in (401, 422)


def test_every_answer_names_its_request_and_is_safe(saga: Saga) -> None:
    with served(saga) as url, api(url, mint_key(saga)) as client:
        mine = client.get("/v1/merchant", headers={"X-Request-Id": "my-request-1"})
        assert mine.headers["x-request-id"] == "my-request-1"
        lost = client.get("/v1/nowhere")
        assert lost.headers["content-type"] == "application/problem+json"
        assert lost.json()["request_id"] == lost.headers["x-request-id"]
        for answer in (mine, lost, client.get("/health/live"), client.get("/openapi.json")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert client.put("/v1/merchant").headers["content-type"] == "application/problem+json"
        big = client.post("/v1/offers", content=b"x" * 1_100_000, headers={"Content-Type": "application/json"})
        assert (big.status_code, big.headers["content-type"]) == (413, "application/problem+json")
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]) == (
            200,
            {"database": "ok", "migrations": "ok", "broker": "ok"},
        )
        figures = client.get("/metrics").text
        assert 'groupbook_requests_total{method="GET",route="/v1/merchant",status="200"}' in figures
        assert 'groupbook_rows{kind="intent"}' in figures
