"""What an operator's step is about, where it is one of several: the refund that a second person has to agree to.

Way back: proposals that nobody agreed to yet are made again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0024_second_person"
down_revision = "0023_reminders"


def upgrade() -> None:
    op.add_column("booking_step", sa.Column("about", UUID()))


def downgrade() -> None:
    op.drop_column("booking_step", "about")
