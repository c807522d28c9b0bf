"""Up to when the provider's own list of messages was read.

Why: a message that was lost on its way stays in the provider's list for a month. What is still to be paid is read by
the sweep anyway; a dispute or a refund that failed later is only told.
Way back: what was not read yet waits for the daily comparison.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from groupbook.migrations.tenancy import tenant_table

revision = "0026_payment_event_cursor"
down_revision = "0025_parts"


def upgrade() -> None:
    tenant_table(
        "payment_event_cursor",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("read_until", sa.DateTime(timezone=True)),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "source", name="pk_payment_event_cursor"),
    )


def downgrade() -> None:
    op.drop_table("payment_event_cursor")
