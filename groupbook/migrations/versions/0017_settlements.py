"""Bookings that shrink, extend, authorize late and are amended; the settlement settings of each merchant.

Why: a party may go with its payer quorum, a deadline may move once, cards saved early are authorized late, and a booked
member may leave or be replaced. New columns may be null and new tables are empty, so nothing waits for a lock.
Way back: drops them; open amendments are forgotten (what was authorized for them lapses at the bank).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0017_settlements"
down_revision = "0016_holds"

_INSTANT = sa.DateTime(timezone=True)
_COLUMNS = ("authorize_at", "shrunk_at", "extended_at")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("booking", sa.Column(name, _INSTANT))
    tenant_table(
        "amendment",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("by_member_id", UUID()),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("portion_id", UUID()),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("pay_by", _INSTANT),
        sa.Column("finished_at", _INSTANT),
        sa.CheckConstraint("kind IN ('cancel', 'replace', 'surcharge')", name="kind"),
        sa.CheckConstraint("amount >= 0", name="amount"),
        tenant_key("amendment", "booking_id", "booking"),
        sa.Index(
            "uq_amendment_open",
            "merchant_id",
            "booking_id",
            unique=True,
            postgresql_where=sa.text("stage NOT IN ('done', 'refused')"),
        ),
        sa.Index("ix_amendment_booking_id", "merchant_id", "booking_id"),
    )
    tenant_table(
        "settlement_policy",
        sa.Column("settings", JSONB(), nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_settlement_policy"),
    )


def downgrade() -> None:
    drop_tenant_table("settlement_policy", "amendment")
    for name in _COLUMNS:
        op.drop_column("booking", name)
