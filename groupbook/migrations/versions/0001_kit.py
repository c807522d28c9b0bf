"""Tables of the kit: clock, facts and their deliveries, intents, inbox, idempotency keys.

Why: the three tables of "what happened here", "what we owe the outside" and "what the outside told us" come before
any room, because every room writes them in its own transaction.
Way back: drops them with their rows; nothing else depends on them at this revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_lookup_function, drop_tenant_table, lookup_function, tenant_table

revision = "0001_kit"
down_revision = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "merchant_clock",
        sa.Column("offset_seconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_merchant_clock"),
    )
    tenant_table(
        "fact",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", UUID(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("delivered_at", _INSTANT),
        sa.Column("attempts", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Index("ix_fact_due", "merchant_id", "due_at", postgresql_where=sa.text("delivered_at IS NULL")),
    )
    tenant_table(
        "fact_delivery",
        sa.Column("fact_id", UUID(), nullable=False),
        sa.Column("listener", sa.Text(), nullable=False),
        sa.Column("delivered_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "fact_id", "listener", name="pk_fact_delivery"),
        append_only=True,
    )
    tenant_table(
        "intent",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", UUID(), nullable=False),
        sa.Column("once", sa.Text(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("fence", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("owed_at", _INSTANT, nullable=False),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Column("lease_until", _INSTANT),
        sa.Column("called_at", _INSTANT),
        sa.Column("answered_at", _INSTANT),
        sa.Column("last_error", sa.Text()),
        sa.UniqueConstraint("merchant_id", "kind", "once", name="uq_intent_merchant_id_kind_once"),
        sa.CheckConstraint("state IN ('due', 'calling', 'unknown', 'done', 'refused', 'parked')", name="state"),
        sa.Index(
            "ix_intent_due", "merchant_id", "due_at", postgresql_where=sa.text("state IN ('due', 'calling', 'unknown')")
        ),
        sa.Index("ix_intent_subject", "merchant_id", "subject"),
    )
    tenant_table(
        "inbox",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_ref", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("processed_at", _INSTANT),
        sa.UniqueConstraint("merchant_id", "source", "external_id", name="uq_inbox_merchant_id_source_external_id"),
        sa.Index("ix_inbox_due", "merchant_id", "received_at", postgresql_where=sa.text("processed_at IS NULL")),
    )
    tenant_table(
        "idempotency_key",
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("locked_until", _INSTANT),
        sa.Column("status", sa.BigInteger()),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "actor", "key", name="pk_idempotency_key"),
        sa.Index("ix_idempotency_key_expires_at", "merchant_id", "expires_at"),
    )
    lookup_function(
        "merchants_with_pending_rows",
        "",
        "SETOF uuid",
        "SELECT merchant_id FROM fact WHERE delivered_at IS NULL "
        "UNION SELECT merchant_id FROM intent WHERE state IN ('due', 'calling', 'unknown')",
        reads={"fact": ["merchant_id", "delivered_at"], "intent": ["merchant_id", "state"]},
    )


def downgrade() -> None:
    drop_lookup_function("merchants_with_pending_rows", "")
    drop_tenant_table("idempotency_key", "inbox", "intent", "fact_delivery", "fact", "merchant_clock")
