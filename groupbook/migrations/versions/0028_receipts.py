"""How merchants sign their receipts.

Why: a receipt says who sold: legal name, address, tax number, whom to ask. A new table is empty, so nothing waits.
Way back: drops it; receipts carry the merchant's name only.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from groupbook.migrations.tenancy import drop_tenant_table, tenant_table

revision = "0028_receipts"
down_revision = "0027_handovers"


def upgrade() -> None:
    tenant_table(
        "merchant_details",
        sa.Column("details", JSONB(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_merchant_details"),
    )


def downgrade() -> None:
    drop_tenant_table("merchant_details")
