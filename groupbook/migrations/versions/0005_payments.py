"""Tables of payments: portion, attempt, refund; ledger account, journal, posting.

Why: money owed by several payers towards one reference, and a double-entry ledger that the database itself keeps: a
journal entry that does not sum to zero per currency is refused at commit, and no entry is ever changed or deleted.
Way back: drops them with their rows; the provider still knows every payment, the ledger is lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0005_payments"
down_revision = "0004_discounts"

_INSTANT = sa.DateTime(timezone=True)

# An entry without two sides is as wrong as one whose sides differ, so the check hangs on both tables. It runs at
# commit, as the role that wrote, and therefore under that merchant's row-level security.
_CHECK_BALANCE = """
CREATE FUNCTION check_journal_balances() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    entry uuid := to_jsonb(NEW) ->> CASE TG_TABLE_NAME WHEN 'journal' THEN 'id' ELSE 'journal_id' END;
BEGIN
    IF (SELECT count(*) FROM posting WHERE merchant_id = NEW.merchant_id AND journal_id = entry) < 2
       OR EXISTS (SELECT FROM posting WHERE merchant_id = NEW.merchant_id AND journal_id = entry
                  GROUP BY currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'journal entry does not balance'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_balances', DETAIL = entry;
    END IF;
    RETURN NULL;
END $body$
"""
_REFUSE_CHANGE = """
CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'insufficient_privilege';
END $body$
"""


def upgrade() -> None:
    tenant_table(
        "portion",
        sa.Column("reference", UUID(), nullable=False),
        sa.Column("traveler", UUID(), nullable=False),
        sa.Column("payer", UUID(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("covers", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("captured", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("decline_reason", sa.Text()),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", _INSTANT, nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.CheckConstraint("amount >= 0", name="amount"),
        sa.CheckConstraint("captured >= 0 AND captured <= amount", name="captured"),
        sa.CheckConstraint("refunded >= 0 AND refunded <= captured", name="refunded"),
        sa.Index("ix_portion_reference", "merchant_id", "reference"),
        sa.Index("ix_portion_payer", "merchant_id", "payer"),
    )
    tenant_table(
        "attempt",
        sa.Column("portion_id", UUID(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("payer", UUID(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("success_url", sa.Text(), nullable=False),
        sa.Column("cancel_url", sa.Text(), nullable=False),
        sa.Column("page_ref", sa.Text()),
        sa.Column("page_url", sa.Text()),
        sa.Column("payment_ref", sa.Text()),
        sa.Column("closes_at", _INSTANT),
        sa.Column("capture_before", _INSTANT),
        sa.Column("decline_reason", sa.Text()),
        sa.Column("card_brand", sa.Text()),
        sa.Column("card_last4", sa.CHAR(4)),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("authorized_at", _INSTANT),
        sa.Column("capture_asked_at", _INSTANT),
        sa.Column("observed_at", _INSTANT),
        tenant_key("attempt", "portion_id", "portion"),
        sa.UniqueConstraint("merchant_id", "portion_id", "n", name="uq_attempt_merchant_id_portion_id_n"),
        sa.UniqueConstraint("merchant_id", "payment_ref", name="uq_attempt_merchant_id_payment_ref"),
        sa.UniqueConstraint("merchant_id", "page_ref", name="uq_attempt_merchant_id_page_ref"),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index(
        "ix_attempt_one_current",
        "attempt",
        ["merchant_id", "portion_id"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    tenant_table(
        "refund",
        sa.Column("portion_id", UUID(), nullable=False),
        sa.Column("attempt_id", UUID(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("is_unasked", sa.Boolean(), nullable=False),
        sa.Column("refund_ref", sa.Text()),
        sa.Column("failure_reason", sa.Text()),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        tenant_key("refund", "portion_id", "portion"),
        tenant_key("refund", "attempt_id", "attempt"),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.Index("ix_refund_portion_id", "merchant_id", "portion_id"),
    )
    tenant_table(
        "ledger_account",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "code", "currency", name="pk_ledger_account"),
        append_only=True,
    )
    tenant_table(
        "journal",
        sa.Column("reference", UUID(), nullable=False),
        sa.Column("portion_id", UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", UUID(), nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("merchant_id", "kind", "cause", name="uq_journal_merchant_id_kind_cause"),
        sa.Index("ix_journal_reference", "merchant_id", "reference"),
        append_only=True,
    )
    tenant_table(
        "posting",
        sa.Column("journal_id", UUID(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        tenant_key("posting", "journal_id", "journal"),
        sa.ForeignKeyConstraint(
            ["merchant_id", "account", "currency"],
            ["ledger_account.merchant_id", "ledger_account.code", "ledger_account.currency"],
            name="fk_posting_account_ledger_account",
        ),
        sa.CheckConstraint("amount <> 0", name="amount"),
        sa.Index("ix_posting_journal_id", "merchant_id", "journal_id"),
        append_only=True,
    )
    for statement in (_CHECK_BALANCE, _REFUSE_CHANGE):
        op.execute(statement)
    for table in ("journal", "posting"):
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {table}_balances AFTER INSERT ON {table} "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_journal_balances()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()"
        )


def downgrade() -> None:
    drop_tenant_table("posting", "journal", "ledger_account", "refund", "attempt", "portion")
    op.execute("DROP FUNCTION check_journal_balances()")
    op.execute("DROP FUNCTION refuse_ledger_change()")
