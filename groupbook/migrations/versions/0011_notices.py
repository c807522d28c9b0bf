"""Table of notices: what each member was told, once per fact.

Why: telling people is owed like any outside call; the row is the truth, the message only a nudge.
Way back: drops it with its rows; unsent notices are lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_table

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


def downgrade() -> None:
    drop_tenant_table("notice")
