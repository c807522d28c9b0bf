"""A dispute is about one payment, not about all that was ever tried for a portion.

Why: where a portion was paid twice (taken by hand, given up, paid anew), the dispute about one payment stood for the
other, too. Existing disputes are of the attempt that holds the portion's money. A constant default rewrites no table;
filling it touches disputed portions only. Row-level security is forced on the owner too, so it steps aside for that
statement, inside this transaction.
Way back: drops the column; a portion keeps what is known of its own money's dispute.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038_dispute_of_attempt"
down_revision = "0037_order_reads"


def upgrade() -> None:
    op.add_column("attempt", sa.Column("dispute", sa.Text(), nullable=False, server_default=sa.text("'none'")))
    op.alter_column("attempt", "dispute", server_default=None)
    for table in ("attempt", "portion"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE attempt SET dispute = portion.dispute FROM portion WHERE portion.merchant_id = attempt.merchant_id "
        "AND portion.id = attempt.portion_id AND portion.dispute <> 'none' AND attempt.is_current"
    )
    for table in ("attempt", "portion"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_column("attempt", "dispute")
