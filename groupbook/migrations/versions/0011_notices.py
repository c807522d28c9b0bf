"""Table of notices: what each member was told, once per fact; and what the operator's figures are counted from.

Why: telling people is owed like any outside call; the row is the truth, the message only a nudge. The last room's
migration also lets the application read the revision it stands at (/health/ready) and count what is owed (/metrics).
Way back: drops the table with its rows; unsent notices are lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import (
    APP_ROLE,
    drop_lookup_function,
    drop_tenant_table,
    lookup_function,
    tenant_table,
)

revision = "0011_notices"
down_revision = "0010_webhooks"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "notice",
        sa.Column("fact_id", UUID(), nullable=False),
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("params", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text()),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("due_at", _INSTANT),
        sa.Column("lease_until", _INSTANT),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("sent_at", _INSTANT),
        sa.Column("seen_at", _INSTANT),
        sa.UniqueConstraint("merchant_id", "fact_id", "member_id", name="uq_notice_merchant_id_fact_id_member_id"),
        sa.CheckConstraint("state IN ('pending', 'sent', 'shown', 'failed', 'replaced')", name="state"),
        sa.Index("ix_notice_due", "merchant_id", "due_at", postgresql_where=sa.text("state = 'pending'")),
        sa.Index("ix_notice_member_id", "merchant_id", "member_id"),
    )
    op.execute(f"GRANT SELECT ON alembic_version TO {APP_ROLE}")
    lookup_function(
        "count_pending_rows",
        "",
        "jsonb",
        "SELECT jsonb_build_object("
        "'fact', (SELECT count(*) FROM fact WHERE delivered_at IS NULL), "
        "'intent', (SELECT count(*) FROM intent WHERE state IN ('due', 'calling', 'unknown')), "
        "'intent_parked', (SELECT count(*) FROM intent WHERE state = 'parked'), "
        "'webhook_delivery', (SELECT count(*) FROM webhook_delivery WHERE state = 'pending'), "
        "'notice', (SELECT count(*) FROM notice WHERE state = 'pending'), "
        "'booking_parked', (SELECT count(*) FROM booking WHERE state = 'parked'))",
        reads={
            "fact": ("delivered_at",),
            "intent": ("state",),
            "webhook_delivery": ("state",),
            "notice": ("state",),
            "booking": ("state",),
        },
    )


def downgrade() -> None:
    drop_lookup_function("count_pending_rows", "")
    op.execute(f"REVOKE SELECT ON alembic_version FROM {APP_ROLE}")
    drop_tenant_table("notice")
