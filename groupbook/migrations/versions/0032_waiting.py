"""The waiting list of a trip, and the places that are offered to it.

Why: who cannot come releases the place to whoever waits for one, first come first. An offer is a hand-over whose link
is for one member. The new table is empty, and a column that may be empty needs no rewrite; the index is of offers, of
which there are none yet.
Way back: drops both; open offers become links that their member may still take back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0032_waiting"
down_revision = "0031_asked_at"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "waiting",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT),
        tenant_key("waiting", "trip_id", "trip"),
        sa.Index(
            "uq_waiting_open",
            "merchant_id",
            "trip_id",
            "member_id",
            unique=True,
            postgresql_where=sa.text("ended_at IS NULL"),
        ),
    )
    op.add_column("handover", sa.Column("for_member_id", UUID()))
    op.create_index(
        "ix_handover_offered",
        "handover",
        ["merchant_id", "expires_at"],
        postgresql_where=sa.text("ended_at IS NULL AND for_member_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_handover_offered", "handover")
    op.drop_column("handover", "for_member_id")
    drop_tenant_table("waiting")
