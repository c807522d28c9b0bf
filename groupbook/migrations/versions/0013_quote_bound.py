"""The proven lower limit of a quote's total.

Why: a price that could not be proven the cheapest says how far it may be from it. Empty for quotes that were recorded
before, and for a supplier's prices, which claim no proof; a column that may be empty needs no rewrite and no scan.
Way back: drops the column; quotes keep whether they were proven.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_quote_bound"
down_revision = "0012_codes"


def upgrade() -> None:
    op.add_column("quote", sa.Column("bound", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("quote", "bound")
