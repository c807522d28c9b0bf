"""Webhook endpoints and the event log over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session
from starlette.routing import Route

from groupbook.kit.http import Call, Edge, Operation, Page, PageQuery, operation
from groupbook.kit.http import routes as kit_routes
from groupbook.kit.ids import EndpointId, EventId, from_wire
from groupbook.kit.paging import InvalidCursor
from groupbook.webhooks import service
from groupbook.webhooks.domain import (
    EventNotFound,
    InvalidEventType,
    InvalidWebhookUrl,
    TooManyWebhookEndpoints,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
)
from groupbook.webhooks.schemas import (
    CreateWebhookEndpoint,
    DeliveryList,
    DeliveryOut,
    EventOut,
    EventQuery,
    NewWebhookEndpointOut,
    Redeliver,
    WebhookEndpointList,
    WebhookEndpointOut,
    WebhookSecretOut,
)
from groupbook.webhooks.service import WebhookDeps

R = TypeVar("R")
WRITE = "webhooks:write"
READ = "events:read"


async def _step(call: Call[WebhookDeps], step: Callable[[Session], R]) -> R:
    def use_case() -> R:
        with call.deps.database.begin(call.caller.merchant_id) as session:
            return step(session)

    return await call.run(use_case)


@operation(
    "POST",
    "/v1/webhook_endpoints",
    status=201,
    auth="merchant",
    scope=WRITE,
    tags=["webhooks"],
    errors=(InvalidWebhookUrl, InvalidEventType, TooManyWebhookEndpoints),
)
async def create_webhook_endpoint(call: Call[WebhookDeps], body: CreateWebhookEndpoint) -> NewWebhookEndpointOut:
    """Register where to be told; the answer holds the signing secret."""
    endpoint, secret = await _step(
        call,
        lambda session: service.create_endpoint(
            session, call.deps, url=body.url, event_types=body.event_types, detail=body.detail
        ),
    )
    return NewWebhookEndpointOut.minted(endpoint, secret)


@operation("GET", "/v1/webhook_endpoints", auth="merchant", scope=WRITE, tags=["webhooks"])
async def list_webhook_endpoints(call: Call[WebhookDeps]) -> WebhookEndpointList:
    """All endpoints, newest first."""
    return WebhookEndpointList(data=[WebhookEndpointOut.of(one) for one in await _step(call, service.list_endpoints)])


@operation(
    "GET",
    "/v1/webhook_endpoints/{endpoint_id}",
    auth="merchant",
    scope=WRITE,
    tags=["webhooks"],
    errors=(WebhookEndpointNotFound,),
)
async def read_webhook_endpoint(call: Call[WebhookDeps], endpoint_id: EndpointId) -> WebhookEndpointOut:
    """One endpoint."""
    return WebhookEndpointOut.of(await _step(call, lambda session: service.read_endpoint(session, endpoint_id)))


@operation(
    "DELETE",
    "/v1/webhook_endpoints/{endpoint_id}",
    auth="merchant",
    scope=WRITE,
    tags=["webhooks"],
    errors=(WebhookEndpointNotFound,),
)
async def delete_webhook_endpoint(call: Call[WebhookDeps], endpoint_id: EndpointId) -> None:
    """Stop telling, and forget the endpoint's deliveries."""
    await _step(call, lambda session: service.delete_endpoint(session, endpoint_id))


@operation(
    "POST",
    "/v1/webhook_endpoints/{endpoint_id}/enable",
    auth="merchant",
    scope=WRITE,
    tags=["webhooks"],
    errors=(WebhookEndpointNotFound,),
)
async def enable_webhook_endpoint(call: Call[WebhookDeps], endpoint_id: EndpointId) -> WebhookEndpointOut:
    """Tell a disabled endpoint again."""
    return WebhookEndpointOut.of(await _step(call, lambda session: service.enable_endpoint(session, endpoint_id)))


@operation(
    "POST",
    "/v1/webhook_endpoints/{endpoint_id}/roll_secret",
    auth="merchant",
    scope=WRITE,
    tags=["webhooks"],
    errors=(WebhookEndpointNotFound,),
)
async def roll_webhook_secret(call: Call[WebhookDeps], endpoint_id: EndpointId) -> WebhookSecretOut:
    """A new signing secret; messages carry both signatures for a day."""
    secret = await _step(call, lambda session: service.roll_secret(session, call.deps, endpoint_id))
    return WebhookSecretOut(secret=secret)


@operation(
    "POST",
    "/v1/webhook_endpoints/{endpoint_id}/test",
    status=202,
    auth="merchant",
    scope=WRITE,
    tags=["webhooks"],
    errors=(WebhookEndpointNotFound, WebhookEndpointDisabled),
)
async def send_test_event(call: Call[WebhookDeps], endpoint_id: EndpointId) -> EventOut:
    """Send `webhook.test` to this endpoint."""
    return EventOut.of(await _step(call, lambda session: service.send_test_event(session, endpoint_id)))


@operation(
    "GET",
    "/v1/webhook_endpoints/{endpoint_id}/deliveries",
    auth="merchant",
    scope=WRITE,
    tags=["webhooks"],
    errors=(WebhookEndpointNotFound, InvalidCursor),
)
async def list_webhook_deliveries(
    call: Call[WebhookDeps], endpoint_id: EndpointId, query: PageQuery
) -> Page[DeliveryOut]:
    """What was sent to this endpoint, newest first."""

    def read(session: Session) -> Page[DeliveryOut]:
        service.read_endpoint(session, endpoint_id)
        found = service.list_deliveries(session, limit=query.limit, cursor=query.cursor, endpoint_id=endpoint_id)
        return Page(data=[DeliveryOut.of(one) for one in found.rows], next_cursor=found.next_cursor)

    return await _step(call, read)


@operation("GET", "/v1/events", auth="merchant", scope=READ, tags=["events"], errors=(InvalidCursor,))
async def list_events(call: Call[WebhookDeps], query: EventQuery) -> Page[EventOut]:
    """The last thirty days of events, newest first."""
    object_id = None if query.object is None else from_wire(query.object.partition("_")[0], query.object)
    found = await _step(
        call,
        lambda session: service.list_events(
            session,
            limit=query.limit,
            cursor=query.cursor,
            type=query.type,
            object_id=object_id,
            since=query.updated_since,
            until=query.updated_until,
        ),
    )
    return Page(data=[EventOut.of(one) for one in found.rows], next_cursor=found.next_cursor)


@operation("GET", "/v1/events/{event_id}", auth="merchant", scope=READ, tags=["events"], errors=(EventNotFound,))
async def read_event(call: Call[WebhookDeps], event_id: EventId) -> EventOut:
    """One event."""
    return EventOut.of(await _step(call, lambda session: service.read_event(session, event_id)))


@operation(
    "POST",
    "/v1/events/{event_id}/redeliver",
    status=202,
    auth="merchant",
    scope=WRITE,
    tags=["events"],
    errors=(EventNotFound, WebhookEndpointNotFound, WebhookEndpointDisabled),
)
async def redeliver_event(call: Call[WebhookDeps], event_id: EventId, body: Redeliver) -> DeliveryList:
    """Send an event again, with the same `webhook-id`."""
    endpoint_id = None if body.endpoint_id is None else EndpointId(from_wire("whk", body.endpoint_id))
    found = await _step(call, lambda session: service.redeliver(session, event_id, endpoint_id=endpoint_id))
    return DeliveryList(data=[DeliveryOut.of(one) for one in found])


OPERATIONS: list[Operation] = [
    create_webhook_endpoint,
    list_webhook_endpoints,
    read_webhook_endpoint,
    delete_webhook_endpoint,
    enable_webhook_endpoint,
    roll_webhook_secret,
    send_test_event,
    list_webhook_deliveries,
    list_events,
    read_event,
    redeliver_event,
]


def routes(deps: WebhookDeps, edge: Edge) -> list[Route]:
    return kit_routes(OPERATIONS, deps, edge)
