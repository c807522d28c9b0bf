"""What a guest who takes a handed-over place proves themselves by when they ask again.

Why: the answer that brings their only key can be lost, and the link is good once.
Way back: who lost the answer has lost the seat again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029_handover_nonce"
down_revision = "0028_receipts"


def upgrade() -> None:
    op.add_column("handover", sa.Column("nonce_sha256", sa.LargeBinary()))


def downgrade() -> None:
    op.drop_column("handover", "nonce_sha256")
