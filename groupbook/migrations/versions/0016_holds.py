"""Holds that earn time, second looks at the price, amended orders.

Why: a hold may be extended while the group pays, is counted against the caps of its organizer and offer, and may carry
the merchant's fee; an order may wait for a slow merchant, and may be changed once it stands; a merchant who keeps no
places is asked for the price again at the tip. Counting and the two caps read only holds that nobody has paid for, so
their indexes cover only those. The checks of the states are added unproven and then proven, which lets rows be written
meanwhile.
Way back: drops the second looks and the amendments; a hold that is being extended is live again, an order that is being
amended stands as it was, one that is pending is confirming again and is read back from the merchant by our reference.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0016_holds"
down_revision = "0015_portions"

_INSTANT = sa.DateTime(timezone=True)
_HOLDS = "'placing', 'live', 'refused', 'releasing', 'released', 'expired', 'consumed'"
_ORDERS = "'confirming', 'confirmed', 'rejected', 'canceling', 'canceled', 'discrepant'"


def _states(table: str, states: str) -> None:
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_state")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_state CHECK (state IN ({states})) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT ck_{table}_state")


def _hold_indexes(open_states: str, live_states: str) -> None:
    op.drop_index("ix_hold_open_reference", "hold")
    op.create_index(
        "ix_hold_open_reference",
        "hold",
        ["merchant_id", "reference"],
        unique=True,
        postgresql_where=sa.text(f"state IN ({open_states})"),
    )
    op.drop_index("ix_hold_live", "hold")
    op.create_index(
        "ix_hold_live", "hold", ["merchant_id", "expires_at"], postgresql_where=sa.text(f"state IN ({live_states})")
    )


def upgrade() -> None:
    _states("hold", f"{_HOLDS}, 'extending'")
    _states("merchant_order", f"{_ORDERS}, 'pending', 'amending'")
    op.add_column("hold", sa.Column("placed_by", UUID()))
    op.add_column("hold", sa.Column("placed_at", _INSTANT))
    op.add_column("hold", sa.Column("asked_until", _INSTANT))
    op.add_column("hold", sa.Column("settled_at_placing", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("hold", sa.Column("settled", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("hold", sa.Column("fee", sa.BigInteger()))
    op.alter_column("hold", "settled_at_placing", server_default=None)
    op.alter_column("hold", "settled", server_default=None)
    op.execute("UPDATE hold SET placed_at = updated_at WHERE expires_at IS NOT NULL")
    _hold_indexes("'placing', 'live', 'extending'", "'live', 'extending', 'releasing'")
    for column in ("offer_id", "placed_by"):
        op.create_index(
            f"ix_hold_{column}",
            "hold",
            ["merchant_id", column, "updated_at"],
            postgresql_where=sa.text("settled = 0"),
        )
    tenant_table(
        "merchant_amendment",
        sa.Column("reference", UUID(), nullable=False),
        sa.Column("order_id", UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("member_id", UUID()),
        sa.Column("travelers", JSONB(), nullable=False),
        sa.Column("amount_max", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("new_amount", sa.BigInteger()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        tenant_key("merchant_amendment", "order_id", "merchant_order"),
        sa.CheckConstraint("kind IN ('cancel', 'replace', 'reprice')", name="kind"),
        sa.CheckConstraint("state IN ('asked', 'amended', 'refused')", name="state"),
        sa.CheckConstraint("amount_max >= 0", name="amount_max"),
        sa.Index(
            "ix_merchant_amendment_asked",
            "merchant_id",
            "order_id",
            unique=True,
            postgresql_where=sa.text("state = 'asked'"),
        ),
        sa.Index("ix_merchant_amendment_reference", "merchant_id", "reference"),
    )
    tenant_table(
        "recheck",
        sa.Column("reference", UUID(), nullable=False),
        sa.Column("quote_id", UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        tenant_key("recheck", "quote_id", "quote"),
        sa.CheckConstraint("state IN ('pending', 'same', 'lower', 'higher', 'gone')", name="state"),
        sa.Index("ix_recheck_reference", "merchant_id", "reference"),
    )


def downgrade() -> None:
    drop_tenant_table("recheck", "merchant_amendment")
    for column in ("offer_id", "placed_by"):
        op.drop_index(f"ix_hold_{column}", "hold")
    op.execute("UPDATE hold SET state = 'live' WHERE state = 'extending'")
    op.execute("UPDATE merchant_order SET state = 'confirmed' WHERE state = 'amending'")
    op.execute("UPDATE merchant_order SET state = 'confirming' WHERE state = 'pending'")
    _hold_indexes("'placing', 'live'", "'live', 'releasing'")
    for name in ("fee", "settled", "settled_at_placing", "asked_until", "placed_at", "placed_by"):
        op.drop_column("hold", name)
    _states("hold", _HOLDS)
    _states("merchant_order", _ORDERS)
