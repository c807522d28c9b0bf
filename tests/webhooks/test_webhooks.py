"""Facts become events, events become signed deliveries, deliveries are retried: on a real database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook, WebhookVerificationError

from groupbook import merchants, webhooks
from groupbook.kit import clock, facts
from groupbook.kit.database import Database
from groupbook.kit.ids import EndpointId, EventId, new_id, to_wire
from groupbook.kit.sealing import Sealer
from groupbook.merchants import Merchant
from groupbook.webhooks import DeliveryState, Endpoint, WebhookDeps
from groupbook.webhooks.domain import (
    RETRY_SECONDS,
    Answer,
    EventNotFound,
    InvalidEventType,
    TooManyWebhookEndpoints,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
    attempts_max,
    event_data,
    retry_at,
)

LISTENERS = {name: [("webhooks", webhooks.note_event)] for name in webhooks.EVENT_TYPES}


@dataclass
class MailboxSender:
    """The twin of the sender: keeps what was posted and answers as told, 204 by default."""

    answers: list[Answer | Exception] = field(default_factory=list)
    posted: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, loopback_allowed: bool) -> Answer:
        self.posted.append((url, dict(headers), body))
        answer = self.answers.pop(0) if self.answers else Answer(204, None)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class House:
    database: Database
    merchant: Merchant
    sender: MailboxSender
    deps: WebhookDeps
    deliverer: facts.Deliverer

    def endpoint(
        self, *event_types: str, url: str = "https://shop.example/hook", **more: object
    ) -> tuple[Endpoint, str]:
        with self.database.begin(self.merchant.id) as session:
            return webhooks.create_endpoint(
                session,
                self.deps,
                url=url,
                event_types=event_types or ("*",),
                detail=more.get("detail", "full"),  # type: ignore[arg-type] # a literal
            )

    def happens(self, name: str, subject: UUID, payload: dict[str, object] | None = None) -> None:
        with self.database.begin(self.merchant.id) as session:
            fact_id = facts.record(session, name, subject=subject, payload=payload)
        assert self.deliverer.deliver(self.merchant.id, fact_id)

    def sweep(self) -> int:
        return webhooks.sweep(self.deps, self.merchant.id)

    def travel(self, seconds: int) -> None:
        with self.database.begin(self.merchant.id) as session:
            ahead = round((clock.now(session) - clock.system_now(session)).total_seconds())
        merchants.travel_time(self.database, self.merchant.id, offset_seconds=ahead + seconds)

    def deliveries(self) -> list[webhooks.Delivery]:
        with self.database.begin(self.merchant.id) as session:
            return webhooks.list_deliveries(session, limit=100).rows


@pytest.fixture
def house(database: Database) -> House:
    merchant = merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=False)
    sender = MailboxSender()
    deps = WebhookDeps(database, Sealer("a test's secret key"), sender)
    return House(database, merchant, sender, deps, facts.Deliverer(database, LISTENERS))


def test_a_confirmed_booking_reaches_the_endpoint_signed(house: House) -> None:
    endpoint, secret = house.endpoint("booking.confirmed")
    booking, trip = new_id(), new_id()
    total = {"amount": 10001, "currency": "EUR"}
    house.happens("booking.confirmed", booking, {"trip_id": trip.hex, "total": total, "email": "ana@example.org"})
    house.happens("trip.started", trip)
    assert house.sweep() == 1
    [(url, headers, body)] = house.sender.posted
    assert url == endpoint.url
    message = Webhook(secret).verify(body, headers)
    assert message["type"] == "booking.confirmed"
    assert message["livemode"] is False
    assert message["data"] == {
        "object": "booking",
        "id": to_wire("bkg", booking),
        "booking_id": to_wire("bkg", booking),
        "trip_id": to_wire("trip", trip),
        "total": total,
    }
    assert headers["webhook-id"] == message["id"]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)
    [delivery] = house.deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_status) == (DeliveryState.DELIVERED, 1, 204)


def test_hearing_a_fact_twice_is_one_event_and_one_delivery(house: House) -> None:
    house.endpoint()
    with house.database.begin(house.merchant.id) as session:
        fact = facts.Fact(
            facts.record(session, "trip.started", subject=new_id()),
            house.merchant.id,
            "trip.started",
            new_id(),
            {},
            clock.now(session),
        )
        webhooks.note_event(session, fact)
        webhooks.note_event(session, fact)
        assert len(webhooks.list_events(session, limit=10).rows) == 1
    assert house.sweep() == 1


def test_thin_messages_say_type_and_ids_only(house: House) -> None:
    house.endpoint(detail="thin")
    booking = new_id()
    house.happens("booking.canceled", booking, {"reason": "canceled_by_group", "trip_id": new_id().hex})
    house.sweep()
    assert json.loads(house.sender.posted[0][2])["data"] == {"object": "booking", "id": to_wire("bkg", booking)}


def test_failures_are_retried_over_three_days_and_then_given_up(house: House) -> None:
    house.endpoint()
    house.sender.answers = [Answer(500, None), Answer(302, None), Answer(None, "timeout"), *[Answer(503, None)] * 20]
    house.happens("booking.confirmed", new_id())
    for number, wait in enumerate((*RETRY_SECONDS, None), start=1):
        assert house.sweep() == 1
        assert house.sweep() == 0  # nothing is due yet
        [delivery] = house.deliveries()
        assert delivery.attempts == number
        if wait is not None:
            house.travel(wait + wait // 5 + 1)
    assert delivery.state is DeliveryState.FAILED
    assert (len(house.sender.posted), attempts_max) == (10, 10)
    assert len({body for _, _, body in house.sender.posted}) == 1
    assert len({headers["webhook-id"] for _, headers, _ in house.sender.posted}) == 1
    with house.database.begin(house.merchant.id) as session:
        [tries] = webhooks.attempts_of(session, [delivery]).values()
    assert [(one.status, one.error) for one in tries][:3] == [(500, None), (302, None), (None, "timeout")]


def test_one_that_breaks_keeps_no_other_waiting(house: House) -> None:
    house.endpoint()
    for _ in range(3):
        house.happens("trip.started", new_id())
    house.sender.answers = [Answer(204, None), RuntimeError("nobody thought of this")]
    with pytest.raises(ExceptionGroup) as broken:
        house.sweep()
    [fault] = broken.value.exceptions
    assert str(fault) == "nobody thought of this"
    assert len(house.sender.posted) == 3
    [left] = [one for one in house.deliveries() if one.state is DeliveryState.PENDING]
    assert fault.__notes__ == [f"sending: {left.id}"]


def test_the_schedule_spreads_by_id_and_never_shrinks(house: House) -> None:
    with house.database.begin(house.merchant.id) as session:
        now = clock.now(session)
    for number, wait in enumerate(RETRY_SECONDS, start=1):
        due = {retry_at(new_id(), number, now) for _ in range(50)}
        assert len(due) > 10
        assert all(at and timedelta(seconds=wait) <= at - now <= timedelta(seconds=wait * 1.2) for at in due)
    id = new_id()
    assert retry_at(id, 3, now) == retry_at(id, 3, now)
    assert retry_at(id, attempts_max, now) is None
    assert 70 * 3600 < sum(RETRY_SECONDS) < 80 * 3600


def test_an_answer_410_disables_the_endpoint_and_drops_what_waits(house: House) -> None:
    endpoint, _ = house.endpoint()
    house.sender.answers = [Answer(500, None), Answer(410, None)]
    house.happens("booking.confirmed", new_id())
    house.sweep()
    house.happens("booking.canceled", new_id())
    house.sweep()
    assert [one.state for one in house.deliveries()] == [DeliveryState.FAILED, DeliveryState.DROPPED]
    with house.database.begin(house.merchant.id) as session:
        disabled = webhooks.read_endpoint(session, endpoint.id)
        assert (disabled.is_enabled, disabled.disabled_reason) == (False, "gone")
        with pytest.raises(WebhookEndpointDisabled):
            webhooks.send_test_event(session, endpoint.id)
    house.happens("booking.parked", new_id())
    assert house.sweep() == 0
    with house.database.begin(house.merchant.id) as session:
        assert webhooks.enable_endpoint(session, endpoint.id).is_enabled


def test_redelivery_sends_the_same_event_again(house: House) -> None:
    _, secret = house.endpoint()
    house.happens("booking.confirmed", new_id())
    house.sweep()
    with house.database.begin(house.merchant.id) as session:
        [event] = webhooks.list_events(session, limit=10).rows
        webhooks.redeliver(session, event.id)
        webhooks.redeliver(session, event.id)  # a double click is one delivery
    assert house.sweep() == 1
    [(_, first, body), (_, second, again)] = house.sender.posted
    assert first["webhook-id"] == second["webhook-id"]
    assert body == again
    assert Webhook(secret).verify(again, second)
    with house.database.begin(house.merchant.id) as session, pytest.raises(EventNotFound):
        webhooks.redeliver(session, EventId(new_id()))


def test_a_rolled_secret_signs_beside_the_old_one_for_a_day(house: House) -> None:
    endpoint, old = house.endpoint()
    with house.database.begin(house.merchant.id) as session:
        new = webhooks.roll_secret(session, house.deps, endpoint.id)
        webhooks.send_test_event(session, endpoint.id)
    house.sweep()
    [(_, headers, body)] = house.sender.posted
    for secret in (old, new):
        assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"
    with house.database.begin(house.merchant.id) as session:
        session.execute(text("UPDATE webhook_endpoint SET previous_secret_until = clock_timestamp()"))
        webhooks.send_test_event(session, endpoint.id)
    house.sweep()
    _, headers, body = house.sender.posted[-1]
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(body, headers)


def test_a_killed_worker_neither_loses_nor_repeats_at_once(house: House) -> None:
    """Killed after the claim: the lease keeps others off, then the sweep makes the attempt."""
    house.endpoint()
    house.happens("booking.confirmed", new_id())
    [delivery] = house.deliveries()
    with house.database.begin(house.merchant.id) as session:
        session.execute(text("UPDATE webhook_delivery SET lease_until = clock_timestamp() + interval '1 minute'"))
    assert house.sweep() == 0
    assert not webhooks.deliver(house.deps, house.merchant.id, delivery.id)
    with house.database.begin(house.merchant.id) as session:
        session.execute(text("UPDATE webhook_delivery SET lease_until = clock_timestamp()"))
    assert house.sweep() == 1
    assert not webhooks.deliver(house.deps, house.merchant.id, delivery.id)
    assert len(house.sender.posted) == 1


def test_bad_input_changes_nothing(house: House) -> None:
    with pytest.raises(InvalidEventType):
        house.endpoint("booking.exploded")
    for _ in range(20):
        house.endpoint()
    with pytest.raises(TooManyWebhookEndpoints):
        house.endpoint()
    with house.database.begin(house.merchant.id) as session:
        assert len(webhooks.list_endpoints(session)) == 20
        for read in (webhooks.read_endpoint, webhooks.delete_endpoint, webhooks.send_test_event):
            with pytest.raises(WebhookEndpointNotFound):
                read(session, EndpointId(new_id()))


def test_old_events_are_forgotten_after_thirty_days(house: House) -> None:
    house.endpoint()
    house.happens("booking.confirmed", new_id())
    house.sweep()
    with house.database.begin(house.merchant.id) as session:
        session.execute(text("UPDATE event SET created_at = created_at - interval '31 days'"))
    house.sweep()
    assert house.deliveries() == []


def test_the_log_pages_by_cursor_and_filters(house: House) -> None:
    bookings = [new_id() for _ in range(5)]
    for booking in bookings:
        house.happens("booking.confirmed", booking)
    house.happens("trip.started", new_id())
    with house.database.begin(house.merchant.id) as session:
        seen: list[UUID] = []
        cursor = None
        for _ in range(3):
            page = webhooks.list_events(session, limit=2, cursor=cursor, type="booking.confirmed")
            seen += [event.object_id for event in page.rows]
            cursor = page.next_cursor
        assert cursor is None
        assert seen == bookings[::-1]
        [one] = webhooks.list_events(session, limit=9, object_id=bookings[2]).rows
        assert webhooks.list_events(session, limit=9, since=one.created_at, until=one.created_at).rows == []


def test_only_known_fields_of_a_fact_leave_the_house() -> None:
    trip = new_id()
    payload = {
        "trip_id": str(trip),
        "name": "Chloé",
        "email": "c@example.org",
        "reason": "deadline",
        "member": "x",
        "amount": 5,
        "currency": "EUR",
    }
    assert event_data(payload) == {
        "trip_id": to_wire("trip", trip),
        "reason": "deadline",
        "total": {"amount": 5, "currency": "EUR"},
    }
