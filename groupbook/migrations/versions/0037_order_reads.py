"""When an order that stands was last read again.

Why: a cancellation that lands late at the merchant went unnoticed once the tickets were here. A column that may be
empty needs no rewrite: empty is since it last changed.
Way back: drops the column; orders with tickets are read no more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037_order_reads"
down_revision = "0036_sponsors"


def upgrade() -> None:
    op.add_column("merchant_order", sa.Column("read_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_merchant_order_standing",
        "merchant_order",
        ["merchant_id", sa.text("coalesce(read_at, updated_at)")],
        postgresql_where=sa.text("state = 'confirmed'"),
    )


def downgrade() -> None:
    op.drop_index("ix_merchant_order_standing", "merchant_order")
    op.drop_column("merchant_order", "read_at")
