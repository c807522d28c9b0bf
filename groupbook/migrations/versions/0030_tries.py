"""In which trip an address was tried.

Why: the questions to addresses nobody has confirmed are bounded per trip. A column that may be empty needs no rewrite;
what was tried before counts for its member, its address and the merchant.
Way back: drops the column; trips are no longer counted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0030_tries"
down_revision = "0029_handover_nonce"


def upgrade() -> None:
    op.add_column("address_try", sa.Column("trip_id", UUID()))


def downgrade() -> None:
    op.drop_column("address_try", "trip_id")
