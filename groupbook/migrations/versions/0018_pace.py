"""What belongs together is claimed and told together, and the calls to a provider take turns.

Why: a booking of sixty portions must not cost sixty claims, sixty recordings and sixty tellings, so an intent knows
its reference and a fact the transaction it came from. A provider counts requests over all our processes, so the turns
are given out in one row per endpoint of a merchant's account. New columns may be empty and the new indices are partial
(open rows only), so the scripts wait for no long lock; old rows are simply alone.
Way back: drops columns and table; calls are made and facts told one by one again, and at no pace.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_table

revision = "0018_pace"
down_revision = "0017_settlements"


def upgrade() -> None:
    op.add_column("intent", sa.Column("reference", UUID()))
    op.add_column("intent", sa.Column("rank", sa.SmallInteger(), nullable=False, server_default="0"))
    op.create_index(
        "ix_intent_reference",
        "intent",
        ["merchant_id", "reference"],
        postgresql_where=sa.text("state IN ('due', 'calling', 'unknown')"),
    )
    op.add_column("fact", sa.Column("batch", UUID()))
    op.create_index("ix_fact_batch", "fact", ["merchant_id", "batch"], postgresql_where=sa.text("delivered_at IS NULL"))
    tenant_table(
        "provider_pace",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "endpoint", name="pk_provider_pace"),
    )


def downgrade() -> None:
    drop_tenant_table("provider_pace")
    op.drop_index("ix_fact_batch", "fact")
    op.drop_column("fact", "batch")
    op.drop_index("ix_intent_reference", "intent")
    op.drop_column("intent", "rank")
    op.drop_column("intent", "reference")
