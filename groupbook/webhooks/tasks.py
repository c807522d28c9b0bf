"""What the worker runs for this room."""

from __future__ import annotations

from uuid import UUID

from groupbook.kit.ids import DeliveryId, MerchantId
from groupbook.webhooks import service
from groupbook.webhooks.service import WebhookDeps


def deliver_webhook(deps: WebhookDeps, merchant_id: UUID, delivery_id: UUID) -> None:
    """Woken after a commit; the sweep stands behind it."""
    service.deliver(deps, MerchantId(merchant_id), DeliveryId(delivery_id))


def sweep_webhooks(deps: WebhookDeps, merchant_id: UUID) -> int:
    return service.sweep(deps, MerchantId(merchant_id))
