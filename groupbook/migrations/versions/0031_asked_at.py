"""Since when the payer of a portion is asked, where that was not from the beginning.

Why: reminders count from then. A column that may be empty needs no rewrite: empty is since the portion was opened.
Way back: drops the column; somebody asked late is reminded of what was due before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031_asked_at"
down_revision = "0030_tries"


def upgrade() -> None:
    op.add_column("portion", sa.Column("asked_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("portion", "asked_at")
