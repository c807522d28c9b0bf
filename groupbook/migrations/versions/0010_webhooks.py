"""Tables of outgoing webhooks: endpoints, the event log, deliveries and their attempts.

Why: merchants are told at least once, and can see and repeat what was sent.
Way back: drops them with their rows; the event log and undelivered messages are lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0010_webhooks"
down_revision = "0009_referrals"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "webhook_endpoint",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", ARRAY(sa.Text()), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_previous_secret", sa.LargeBinary()),
        sa.Column("previous_secret_until", _INSTANT),
        sa.Column("disabled_at", _INSTANT),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column("created_at", _INSTANT, nullable=False),
    )
    tenant_table(
        "event",
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", UUID(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("data", JSONB(), nullable=False),
        sa.Column("fact_id", UUID(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("merchant_id", "fact_id", name="uq_event_merchant_id_fact_id"),
        sa.Index("ix_event_created_at", "merchant_id", "created_at"),
        sa.Index("ix_event_object_id", "merchant_id", "object_id"),
    )
    tenant_table(
        "webhook_delivery",
        sa.Column("event_id", UUID(), nullable=False),
        sa.Column("endpoint_id", UUID(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("due_at", _INSTANT),
        sa.Column("lease_until", _INSTANT),
        sa.Column("last_status", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("delivered_at", _INSTANT),
        sa.UniqueConstraint(
            "merchant_id",
            "event_id",
            "endpoint_id",
            "round",
            name="uq_webhook_delivery_merchant_id_event_id_endpoint_id_round",
        ),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed', 'dropped')", name="state"),
        sa.Index("ix_webhook_delivery_due", "merchant_id", "due_at", postgresql_where=sa.text("state = 'pending'")),
        sa.Index("ix_webhook_delivery_endpoint_id", "merchant_id", "endpoint_id"),
        tenant_key("webhook_delivery", "event_id", "event", on_delete="CASCADE"),
        tenant_key("webhook_delivery", "endpoint_id", "webhook_endpoint", on_delete="CASCADE"),
    )
    tenant_table(
        "webhook_attempt",
        sa.Column("delivery_id", UUID(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("status", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("duration_milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("excerpt", sa.Text(), nullable=False),
        sa.Index("ix_webhook_attempt_delivery_id", "merchant_id", "delivery_id"),
        tenant_key("webhook_attempt", "delivery_id", "webhook_delivery", on_delete="CASCADE"),
    )


def downgrade() -> None:
    drop_tenant_table("webhook_attempt", "webhook_delivery", "event", "webhook_endpoint")
