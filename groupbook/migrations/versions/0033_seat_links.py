"""Links that open a guest's seat on another device, each good once.

Why: a guest's key is in one browser only, and mails are read on another device. The row holds no secret: the link is
signed, and the row says whether it was used.
Way back: drops the table; links that are on their way open nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

from groupbook.migrations.tenancy import tenant_table

revision = "0033_seat_links"
down_revision = "0032_waiting"


def upgrade() -> None:
    tenant_table(
        "seat_link",
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("address_mark", sa.LargeBinary(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_seat_link_member_id", "seat_link", ["merchant_id", "member_id"])


def downgrade() -> None:
    op.drop_table("seat_link")
