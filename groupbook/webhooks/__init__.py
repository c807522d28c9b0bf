"""Webhooks: telling merchants what happened, outgoing only.

Promise: every fact a merchant may know becomes one event, kept thirty days and told at least once to every endpoint
that wants it, signed as Standard Webhooks says, in no promised order; nothing is posted to a private address, no
redirect is followed, no message carries personal data.

    note_event(session, fact)                       the listener, for every name in EVENT_TYPES
    foresee(session)                                step: read early what `note_event` will want
    deliver(deps, merchant_id, delivery_id); sweep(deps, merchant_id)      worker: nudge "deliver_webhook", and beat
    create_endpoint, list_endpoints, read_endpoint, delete_endpoint, enable_endpoint, roll_secret, send_test_event
    list_events, read_event, redeliver, list_deliveries, attempts_of       steps
"""

from groupbook.webhooks.domain import EVENT_TYPES, Delivery, DeliveryState, Endpoint, Event
from groupbook.webhooks.service import (
    NUDGE,
    WebhookDeps,
    attempts_of,
    create_endpoint,
    delete_endpoint,
    deliver,
    enable_endpoint,
    foresee,
    list_deliveries,
    list_endpoints,
    list_events,
    note_event,
    read_endpoint,
    read_event,
    redeliver,
    roll_secret,
    send_test_event,
    sweep,
)

__all__ = [
    "EVENT_TYPES",
    "NUDGE",
    "Delivery",
    "DeliveryState",
    "Endpoint",
    "Event",
    "WebhookDeps",
    "attempts_of",
    "create_endpoint",
    "delete_endpoint",
    "deliver",
    "enable_endpoint",
    "foresee",
    "list_deliveries",
    "list_endpoints",
    "list_events",
    "note_event",
    "read_endpoint",
    "read_event",
    "redeliver",
    "roll_secret",
    "send_test_event",
    "sweep",
]
