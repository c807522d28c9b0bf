"""What the webhooks room says over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from groupbook.kit.http import Instant, MoneyWire, PageQuery, WholeNumber, Wire
from groupbook.kit.ids import to_wire
from groupbook.webhooks.domain import (
    EVENT_TYPES,
    EVERYTHING,
    Delivery,
    DeliveryState,
    Detail,
    Endpoint,
    Event,
    endpoints_max,
    url_characters_max,
)

EndpointRef = Annotated[str, StringConstraints(pattern=r"^whk_[0-9a-f]{32}$")]
EventRef = Annotated[str, StringConstraints(pattern=r"^evt_[0-9a-f]{32}$")]
DeliveryRef = Annotated[str, StringConstraints(pattern=r"^dlv_[0-9a-f]{32}$")]
ObjectRef = Annotated[str, StringConstraints(pattern=r"^[a-z]{3,4}_[0-9a-f]{32}$")]
EventName = Annotated[str, Field(json_schema_extra={"enum": sorted(EVENT_TYPES)})]
WantedEvent = Annotated[
    str,
    StringConstraints(min_length=1, max_length=80),
    Field(json_schema_extra={"examples": ["*", "booking.confirmed"]}),
]


class CreateWebhookEndpoint(Wire):
    """Where to tell you, about what, and how much: `thin` is type and ids, `full` adds the event's data."""

    url: Annotated[str, StringConstraints(min_length=8, max_length=url_characters_max)]
    event_types: Annotated[list[WantedEvent], Field(min_length=1, max_length=len(EVENT_TYPES) + 1)] = [EVERYTHING]
    detail: Detail = "full"


class WebhookEndpointOut(Wire):
    """An endpoint. `disabled_reason` is `gone` after an answer 410."""

    id: EndpointRef
    url: str
    event_types: list[str]
    detail: Detail
    disabled_at: Instant | None
    disabled_reason: str | None
    created_at: Instant

    @classmethod
    def of(cls, endpoint: Endpoint) -> WebhookEndpointOut:
        return cls(**_endpoint_fields(endpoint))


class NewWebhookEndpointOut(WebhookEndpointOut):
    """A fresh endpoint with the secret that signs its messages."""

    secret: str

    @classmethod
    def minted(cls, endpoint: Endpoint, secret: str) -> NewWebhookEndpointOut:
        return cls(**_endpoint_fields(endpoint), secret=secret)


def _endpoint_fields(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": to_wire("whk", endpoint.id),
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "detail": endpoint.detail,
        "disabled_at": endpoint.disabled_at,
        "disabled_reason": endpoint.disabled_reason,
        "created_at": endpoint.created_at,
    }


class WebhookEndpointList(Wire):
    """All endpoints, newest first; a merchant has at most twenty."""

    data: Annotated[list[WebhookEndpointOut], Field(max_length=endpoints_max)]


class WebhookSecretOut(Wire):
    """The new signing secret; for a day messages carry the old signature, too."""

    secret: str


class EventDataOut(Wire):
    """What the event is about: `object` and `id` always, the rest as it applies. Read the object for the truth."""

    object: str
    id: ObjectRef
    trip_id: ObjectRef | None = None
    booking_id: ObjectRef | None = None
    member_id: ObjectRef | None = None
    option_id: ObjectRef | None = None
    offer_id: ObjectRef | None = None
    portion_id: ObjectRef | None = None
    order_id: ObjectRef | None = None
    share_id: ObjectRef | None = None
    webhook_id: ObjectRef | None = None
    intent_id: ObjectRef | None = None
    reconciliation_id: ObjectRef | None = None
    total: MoneyWire | None = None
    refunded: MoneyWire | None = None
    expected: MoneyWire | None = None
    observed: MoneyWire | None = None
    reason: str | None = None
    state: str | None = None
    via: str | None = None
    channel: str | None = None
    merchant_ref: str | None = None
    provider_ref: str | None = None
    kind: str | None = None

    @classmethod
    def of(cls, event: Event) -> EventDataOut:
        values: dict[str, Any] = dict(event.data)
        for name in ("total", "refunded", "expected", "observed"):
            if isinstance(values.get(name), Mapping):
                values[name] = MoneyWire(**values[name])
        return cls(**(values | {"object": EVENT_TYPES[event.type].object, "id": event.object_wire}))


class EventOut(Wire):
    """Something that happened. Delivered at least once, in no promised order; `id` is also the `webhook-id`."""

    id: EventRef
    type: EventName
    livemode: bool
    created_at: Instant
    data: EventDataOut

    @classmethod
    def of(cls, event: Event) -> EventOut:
        return cls(
            id=to_wire("evt", event.id),
            type=event.type,
            livemode=event.livemode,
            created_at=event.created_at,
            data=EventDataOut.of(event),
        )


class WebhookMessage(Wire):
    """The body posted to your endpoint, signed as Standard Webhooks says."""

    id: EventRef
    type: EventName
    timestamp: Instant
    livemode: bool
    data: EventDataOut


class EventQuery(PageQuery):
    """Which events: of a type, about an object, since or until an instant (events never change after `created_at`)."""

    type: Annotated[str, StringConstraints(max_length=80)] | None = None
    object: ObjectRef | None = None
    updated_since: Instant | None = None
    updated_until: Instant | None = None


class Redeliver(Wire):
    """To one endpoint, or (null) to all that want it."""

    endpoint_id: EndpointRef | None = None


class DeliveryOut(Wire):
    """One event on its way to one endpoint. `next_attempt_at` is null when there is nothing left to do."""

    id: DeliveryRef
    event_id: EventRef
    endpoint_id: EndpointRef
    state: Literal["pending", "delivered", "failed", "dropped"]
    attempts: WholeNumber
    next_attempt_at: Instant | None
    last_status: WholeNumber | None
    last_error: str | None
    created_at: Instant
    delivered_at: Instant | None

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryOut:
        return cls(
            id=to_wire("dlv", delivery.id),
            event_id=to_wire("evt", delivery.event_id),
            endpoint_id=to_wire("whk", delivery.endpoint_id),
            state=_STATES[delivery.state],
            attempts=delivery.attempts,
            next_attempt_at=delivery.due_at,
            last_status=delivery.last_status,
            last_error=delivery.last_error,
            created_at=delivery.created_at,
            delivered_at=delivery.delivered_at,
        )


_STATES: dict[DeliveryState, Literal["pending", "delivered", "failed", "dropped"]] = {
    DeliveryState.PENDING: "pending",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.FAILED: "failed",
    DeliveryState.DROPPED: "dropped",
}


class DeliveryList(Wire):
    """Deliveries that are now due."""

    data: list[DeliveryOut]
