"""Outgoing webhooks: facts become events, events become deliveries, deliveries are posted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from groupbook import merchants
from groupbook.kit import clock, leases
from groupbook.kit.database import Database, nudge_after_commit
from groupbook.kit.facts import Fact, Together
from groupbook.kit.ids import DeliveryId, EndpointId, EventId, MerchantId, new_id, to_wire
from groupbook.kit.paging import Slice, decode_cursor
from groupbook.kit.sealing import Sealer
from groupbook.webhooks import repository
from groupbook.webhooks.domain import (
    ABOUT_A_BOOKING,
    EVENT_TYPES,
    Answer,
    Attempt,
    Delivery,
    DeliveryState,
    Detail,
    Endpoint,
    Event,
    EventNotFound,
    TooManyWebhookEndpoints,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
    check_event_types,
    check_url,
    endpoints_max,
    event_data,
    events_keep_days,
    mint_secret,
    retry_at,
    secret_overlap_seconds,
)
from groupbook.webhooks.models import DeliveryRow
from groupbook.webhooks.ports import Sender

NUDGE: Final = "deliver_webhook"


@dataclass(frozen=True)
class WebhookDeps:
    """What this room needs, built once. `loopback_allowed` is the explicit setting of test machines."""

    database: Database
    sealer: Sealer
    sender: Sender
    loopback_allowed: bool = False
    lease_seconds: float = 60.0


# --- facts become events ----------------------------------------------------------------------------------------------


def _note_events(session: Session, news: Sequence[Fact]) -> None:
    """Tell these facts to every endpoint that wants them. Hearing one twice changes nothing."""
    events: dict[UUID, Event] = {fact.id: _event_of(session, fact) for fact in news if fact.name in EVENT_TYPES}
    if not events:
        return
    repository.add_events(session, events)
    endpoints = repository.endpoints_told(session)
    _owe_new(session, [(event.id, one.id) for event in events.values() for one in endpoints if one.wants(event.type)])


note_event: Final = Together(_note_events)


def foresee(session: Session) -> None:
    """Read whom `note_event` will have to tell, beside something else that is asked. A step."""
    repository.endpoints_told(session)


def _event_of(session: Session, fact: Fact) -> Event:
    kind = EVENT_TYPES[fact.name]
    data = event_data(fact.payload, reference="booking_id" if kind.object in ABOUT_A_BOOKING else "")
    data[f"{kind.object}_id"] = to_wire(kind.prefix, fact.subject)
    return _event(session, fact.name, fact.subject, data, at=fact.recorded_at)


def _event(session: Session, type: str, object_id: UUID, data: Mapping[str, Any], *, at: datetime) -> Event:
    livemode = merchants.read_merchant(session).livemode
    return Event(id=EventId(new_id()), type=type, object_id=object_id, livemode=livemode, data=data, created_at=at)


def _owe_new(session: Session, owed: Sequence[tuple[EventId, EndpointId]]) -> None:
    """Owe the first deliveries of these events. Nothing is owed of one that was no new event, and its nudge is idle."""
    for delivery_id in repository.add_deliveries(session, owed, now=clock.now(session)):
        nudge_after_commit(session, NUDGE, delivery_id)


def _owe_delivery(session: Session, event_id: EventId, endpoint_id: EndpointId) -> Delivery:
    delivery = repository.insert_delivery(session, event_id, endpoint_id, now=clock.now(session))
    nudge_after_commit(session, NUDGE, delivery.id)
    return delivery


# --- endpoints --------------------------------------------------------------------------------------------------------


def create_endpoint(
    session: Session,
    deps: WebhookDeps,
    *,
    url: str,
    event_types: Sequence[str] = ("*",),
    detail: Detail = "full",
) -> tuple[Endpoint, str]:
    """Register where to tell; returns the endpoint and its signing secret. A step.

    Raises:
        InvalidWebhookUrl: not https, private, with credentials.
        InvalidEventType: no such event.
        TooManyWebhookEndpoints: a merchant has at most twenty.
    """
    livemode = merchants.read_merchant(session).livemode
    endpoint = Endpoint(
        id=EndpointId(new_id()),
        url=check_url(url, loopback_allowed=deps.loopback_allowed and not livemode),
        event_types=check_event_types(tuple(event_types)),
        detail=detail,
        disabled_at=None,
        disabled_reason=None,
        created_at=clock.system_now(session),
    )
    if len(repository.list_endpoints(session)) >= endpoints_max:
        raise TooManyWebhookEndpoints(endpoints_max=endpoints_max)
    secret = mint_secret()
    sealed = deps.sealer.seal(_place(endpoint.id), secret.encode("ascii"))
    repository.insert_endpoint(session, endpoint, sealed_secret=sealed)
    return endpoint, secret


def list_endpoints(session: Session) -> list[Endpoint]:
    """This merchant's endpoints, newest first. A step."""
    return repository.list_endpoints(session)


def read_endpoint(session: Session, endpoint_id: EndpointId) -> Endpoint:
    """Raises WebhookEndpointNotFound. A step."""
    row = repository.find_endpoint(session, endpoint_id)
    if row is None:
        raise WebhookEndpointNotFound()
    return repository.endpoint_value(row)


def delete_endpoint(session: Session, endpoint_id: EndpointId) -> None:
    """Stop telling, and forget the deliveries. Raises WebhookEndpointNotFound. A step."""
    if not repository.delete_endpoint(session, endpoint_id):
        raise WebhookEndpointNotFound()


def enable_endpoint(session: Session, endpoint_id: EndpointId) -> Endpoint:
    """Tell again an endpoint that was disabled. Twice equals once. Raises WebhookEndpointNotFound. A step."""
    row = repository.find_endpoint(session, endpoint_id, lock=True)
    if row is None:
        raise WebhookEndpointNotFound()
    row.disabled_at = row.disabled_reason = None
    return repository.endpoint_value(row)


def roll_secret(session: Session, deps: WebhookDeps, endpoint_id: EndpointId) -> str:
    """A new signing secret; messages carry both signatures for a day. Raises WebhookEndpointNotFound. A step."""
    row = repository.find_endpoint(session, endpoint_id, lock=True)
    if row is None:
        raise WebhookEndpointNotFound()
    secret = mint_secret()
    row.sealed_previous_secret = row.sealed_secret
    row.previous_secret_until = clock.system_now(session) + timedelta(seconds=secret_overlap_seconds)
    row.sealed_secret = deps.sealer.seal(_place(endpoint_id), secret.encode("ascii"))
    return secret


def send_test_event(session: Session, endpoint_id: EndpointId) -> Event:
    """Send `webhook.test` to one endpoint, whatever events it wants. A step.

    Raises:
        WebhookEndpointNotFound, WebhookEndpointDisabled
    """
    endpoint = read_endpoint(session, endpoint_id)
    if not endpoint.is_enabled:
        raise WebhookEndpointDisabled()
    data = {"webhook_id": to_wire("whk", endpoint_id)}
    event = _event(session, "webhook.test", endpoint_id, data, at=clock.now(session))
    repository.add_events(session, {new_id(): event})
    _owe_new(session, [(event.id, endpoint_id)])
    return event


def _place(endpoint_id: UUID) -> str:
    return f"webhook_endpoint:{endpoint_id}"


# --- the event log ----------------------------------------------------------------------------------------------------


def list_events(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    type: str | None = None,
    object_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Slice[Event]:
    """The last thirty days of events, newest first. Raises InvalidCursor. A step."""
    return repository.list_events(
        session,
        limit=limit,
        cursor=decode_cursor(cursor),
        type=type,
        object_id=object_id,
        since=since,
        until=until,
    )


def read_event(session: Session, event_id: EventId) -> Event:
    """Raises EventNotFound. A step."""
    event = repository.find_event(session, event_id)
    if event is None:
        raise EventNotFound()
    return event


def redeliver(session: Session, event_id: EventId, *, endpoint_id: EndpointId | None = None) -> list[Delivery]:
    """Send an event again, to one endpoint or to all that want it; a delivery still pending is brought forward. A step.

    Raises:
        EventNotFound, WebhookEndpointNotFound, WebhookEndpointDisabled
    """
    event = read_event(session, event_id)
    if endpoint_id is not None:
        if not read_endpoint(session, endpoint_id).is_enabled:
            raise WebhookEndpointDisabled()
        return [_owe_delivery(session, event.id, endpoint_id)]
    return [
        _owe_delivery(session, event.id, endpoint.id)
        for endpoint in repository.list_endpoints(session)
        if endpoint.wants(event.type) or (event.object_id == endpoint.id and endpoint.is_enabled)
    ]


def list_deliveries(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    endpoint_id: EndpointId | None = None,
    event_id: EventId | None = None,
) -> Slice[Delivery]:
    """Deliveries, newest first. Raises InvalidCursor. A step."""
    return repository.list_deliveries(
        session, limit=limit, cursor=decode_cursor(cursor), endpoint_id=endpoint_id, event_id=event_id
    )


def attempts_of(session: Session, deliveries: Sequence[Delivery]) -> dict[UUID, list[Attempt]]:
    """What was tried for these deliveries, in order. A step."""
    return repository.attempts_of(session, [delivery.id for delivery in deliveries])


# --- posting ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Claimed:
    """All that one attempt needs, read in one transaction."""

    endpoint_id: UUID
    attempts: int
    url: str
    headers: dict[str, str]
    body: bytes
    loopback_allowed: bool


def deliver(deps: WebhookDeps, merchant_id: MerchantId, delivery_id: DeliveryId) -> bool:
    """Make one attempt if one is due; True when an attempt was made.

    Claim (own transaction), post with no transaction open, record. A crash between them is seen when the lease ends;
    the endpoint may then be told twice, which `webhook-id` lets it notice.
    """
    with deps.database.begin(merchant_id) as session:
        claimed = _claim(session, deps, delivery_id)
    if claimed is None:
        return False
    answer = deps.sender.post(
        claimed.url, headers=claimed.headers, body=claimed.body, loopback_allowed=claimed.loopback_allowed
    )
    with deps.database.begin(merchant_id) as session:
        _record(session, delivery_id, claimed, answer)
    return True


def sweep(deps: WebhookDeps, merchant_id: MerchantId, *, limit: int = 100) -> int:
    """Make every attempt that is due, and forget events past their thirty days; returns how many were made."""
    with deps.database.begin(merchant_id) as session:
        repository.purge_events(session, clock.system_now(session) - timedelta(days=events_keep_days))
        due = leases.due(
            session, DeliveryRow, now=clock.now(session), system_now=clock.system_now(session), limit=limit
        )
    return leases.send_each(due, lambda id: deliver(deps, merchant_id, DeliveryId(id)))


def _claim(session: Session, deps: WebhookDeps, delivery_id: UUID) -> _Claimed | None:
    at = clock.system_now(session)
    row = leases.claim(
        session, DeliveryRow, delivery_id, now=clock.now(session), system_now=at, lease_seconds=deps.lease_seconds
    )
    if row is None:
        return None
    endpoint_row = repository.find_endpoint(session, row.endpoint_id)
    event = repository.find_event(session, row.event_id)
    if endpoint_row is None or event is None or endpoint_row.disabled_at is not None:
        row.state, row.due_at, row.lease_until = DeliveryState.DROPPED, None, None
        return None
    endpoint = repository.endpoint_value(endpoint_row)
    sealed = [endpoint_row.sealed_secret]
    previous, until = endpoint_row.sealed_previous_secret, endpoint_row.previous_secret_until
    if previous is not None and until is not None and at < until:
        sealed.append(previous)
    secrets = [deps.sealer.open(_place(endpoint.id), one).decode("ascii") for one in sealed]
    body = message(event, endpoint.detail)
    return _Claimed(
        endpoint_id=endpoint.id,
        attempts=row.attempts,
        url=endpoint.url,
        headers=signed_headers(event.id, body, secrets, at),
        body=body,
        loopback_allowed=deps.loopback_allowed and not event.livemode,
    )


def message(event: Event, detail: Detail) -> bytes:
    """The body of a message: the same bytes for every attempt."""
    thin = {"object": EVENT_TYPES[event.type].object, "id": event.object_wire}
    document = {
        "id": to_wire("evt", event.id),
        "type": event.type,
        "timestamp": event.created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "livemode": event.livemode,
        "data": {**(event.data if detail == "full" else {}), **thin},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def signed_headers(event_id: EventId, body: bytes, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks; one signature per secret in force."""
    at = at.astimezone(UTC)
    id = to_wire("evt", event_id)
    signatures = [Webhook(secret).sign(id, at, body.decode("utf-8")) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _record(session: Session, delivery_id: UUID, claimed: _Claimed, answer: Answer) -> None:
    row = leases.lock(session, DeliveryRow, delivery_id)
    if row is None or row.attempts != claimed.attempts:
        return  # deleted meanwhile, or our lease ran out and another attempt was recorded
    now = clock.now(session)
    row.attempts += 1
    row.last_status, row.last_error, row.lease_until = answer.status, answer.error, None
    repository.insert_attempt(session, delivery_id, row.attempts, answer, now)
    if answer.is_success:
        row.state, row.due_at, row.delivered_at = DeliveryState.DELIVERED, None, now
    elif answer.is_gone:
        row.state, row.due_at = DeliveryState.FAILED, None
        endpoint = repository.find_endpoint(session, claimed.endpoint_id, lock=True)
        if endpoint is not None:
            endpoint.disabled_at, endpoint.disabled_reason = now, "gone"
        session.flush()
        repository.drop_pending(session, claimed.endpoint_id)
    elif row.state == DeliveryState.PENDING:
        row.due_at = retry_at(delivery_id, row.attempts, now)
        if row.due_at is None:
            row.state = DeliveryState.FAILED
