"""Versions of rules that the merchant took back before their first day.

Why: a version is never changed (the application may not even update the table), so that it was withdrawn is a row of
its own, and its number is never given again. A new table, so nothing waits for a lock.
Way back: drops the withdrawals; versions that were taken back would come into force on their first day.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0014_rule_withdrawal"
down_revision = "0013_quote_bound"


def upgrade() -> None:
    tenant_table(
        "rule_withdrawal",
        sa.Column("catalogue_id", UUID(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "catalogue_id", name="pk_rule_withdrawal"),
        tenant_key("rule_withdrawal", "catalogue_id", "rule_catalogue"),
        append_only=True,
    )


def downgrade() -> None:
    drop_tenant_table("rule_withdrawal")
