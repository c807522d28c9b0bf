"""Daily reconciliation with the provider; the accounts that came with it; statements by time.

Why: what the provider's account shows and what our ledger says are compared every day, and each difference is a row
that a person can see, until a later run no longer finds it. Merchants that already have a ledger get the accounts that
came since (disputes lost, credits, paid elsewhere), because an entry may only name accounts that exist. Statements ask
for a merchant's entries by time. New tables and one index on a young table: nothing waits long for a lock.
Way back: the differences and the runs are lost, they would be found again; entries on the new accounts stay, so the
accounts stay.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_table

revision = "0019_reconciliation"
down_revision = "0018_pace"

_INSTANT = sa.DateTime(timezone=True)
_NEW_ACCOUNTS = "('paid_elsewhere'), ('disputes_lost'), ('credits'), ('rewards')"


def upgrade() -> None:
    tenant_table(
        "reconciliation_run",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("lease_until", _INSTANT),
        sa.Column("finished_at", _INSTANT),
        sa.Column("payments", sa.BigInteger(), nullable=False),
        sa.Column("refunds", sa.BigInteger(), nullable=False),
        sa.Column("foreign", sa.BigInteger(), nullable=False),
        sa.Column("differences", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("merchant_id", "day", name="pk_reconciliation_run"),
    )
    tenant_table(
        "reconciliation_difference",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("provider_ref", sa.Text(), nullable=False),
        sa.Column("reference", UUID()),
        sa.Column("portion_id", UUID()),
        sa.Column("attempt_id", UUID()),
        sa.Column("refund_id", UUID()),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False),
        sa.Column("observed", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", _INSTANT, nullable=False),
        sa.Column("resolved_at", _INSTANT),
        sa.Index("ix_reconciliation_difference_first_seen_at", "merchant_id", "first_seen_at"),
    )
    op.create_index(
        "ix_reconciliation_difference_open",
        "reconciliation_difference",
        ["merchant_id", "kind", "provider_ref"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index("ix_journal_recorded_at", "journal", ["merchant_id", "recorded_at", "id"])
    # The owner is bound by row-level security too while it is forced; this is the one statement about all merchants.
    op.execute("ALTER TABLE ledger_account NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "INSERT INTO ledger_account (merchant_id, code, currency) SELECT DISTINCT merchant_id, fresh.code, currency "
        f"FROM ledger_account CROSS JOIN (VALUES {_NEW_ACCOUNTS}) AS fresh (code) ON CONFLICT DO NOTHING"
    )
    op.execute("ALTER TABLE ledger_account FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_index("ix_journal_recorded_at", "journal")
    drop_tenant_table("reconciliation_difference", "reconciliation_run")
