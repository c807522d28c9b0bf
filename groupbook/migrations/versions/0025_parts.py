"""Contributions to a booking, splits that members agree on, and who left while it was collected.

Why: somebody outside the party may pay a fixed amount, friends may share their sum by parts, and who leaves may bear
the discount that the others lose. Bookings with any of these are marked, so that the others ask
no question more than before. New tables are empty and the new column has a default, so nothing waits for a lock.
Way back: drops them; portions that were opened for them stay what they are.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0025_parts"
down_revision = "0024_second_person"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("booking", sa.Column("has_parts", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    tenant_table(
        "contribution",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("by_member_id", UUID(), nullable=False),
        sa.Column("for_member_id", UUID()),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reserve", sa.BigInteger(), nullable=False),
        sa.Column("given_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT),
        sa.CheckConstraint("amount >= 0 AND reserve >= 0", name="amount"),
        tenant_key("contribution", "booking_id", "booking"),
        sa.Index("ix_contribution_booking_id", "merchant_id", "booking_id"),
    )
    tenant_table(
        "departure",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.Column("left_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT),
        sa.CheckConstraint("most >= 0", name="most"),
        tenant_key("departure", "booking_id", "booking"),
        sa.Index("ix_departure_booking_id", "merchant_id", "booking_id"),
    )
    tenant_table(
        "split",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("by_member_id", UUID(), nullable=False),
        sa.Column("parts", JSONB(), nullable=False),
        sa.Column("agreed", JSONB(), nullable=False),
        sa.Column("sum_agreed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT),
        sa.CheckConstraint("state IN ('asked', 'agreed', 'refused', 'lapsed')", name="state"),
        tenant_key("split", "booking_id", "booking"),
        sa.Index("ix_split_booking_id", "merchant_id", "booking_id"),
    )


def downgrade() -> None:
    drop_tenant_table("split", "departure", "contribution")
    op.drop_column("booking", "has_parts")
