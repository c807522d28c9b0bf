"""What whoever changes a booked place was told, and what went back by it.

Why: a change is asked for after a preview, and the merchant may not charge more than that said; afterwards its members
read what it came to. Two columns that may be empty need no rewrite; of changes made before, neither is known.
Way back: drops the columns; changes under way then go on at no higher price than before them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0035_change_terms"
down_revision = "0034_payment_link"


def upgrade() -> None:
    op.add_column("amendment", sa.Column("total_max", sa.BigInteger()))
    op.add_column("amendment", sa.Column("returned", JSONB()))


def downgrade() -> None:
    op.drop_column("amendment", "returned")
    op.drop_column("amendment", "total_max")
