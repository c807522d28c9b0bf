"""A merchant connects its own account at a payment provider, step by step.

Why: the key, what it may do, the endpoint for messages and the test authorization are outside calls: each has a row
before it is made. The key is sealed in the row until the account is connected, and only then moves to the connection.
Way back: what was connected stays connected; the story of how is lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from groupbook.migrations.tenancy import tenant_table

revision = "0022_payment_setup"
down_revision = "0021_looks"


def upgrade() -> None:
    tenant_table(
        "payment_setup",
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("key_hint", sa.Text(), nullable=False),
        sa.Column("endpoint_url", sa.Text(), nullable=False),
        sa.Column("sealed_configuration", sa.LargeBinary()),
        sa.Column("plan", JSONB(), nullable=False),
        sa.Column("done", JSONB(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('running', 'failed', 'connected', 'superseded')", name="state"),
    )
    op.create_index("ix_payment_setup_last", "payment_setup", ["merchant_id", "started_at"])


def downgrade() -> None:
    op.drop_table("payment_setup")
