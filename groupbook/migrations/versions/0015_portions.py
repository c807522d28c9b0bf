"""What a payer agreed to at most, cards kept for later, portions that left the party, refunds that failed late.

Why: the settlement carries caps and consent, cards that are saved early and authorized late, parties that change while
they are asked to pay, the recovery of a failed capture, and money that does not find its way back. Existing portions
agreed to exactly their amount. New columns have a constant default or none, so no table is rewritten; filling `cap`
touches each portion once and holds no lock longer than that statement. Row-level security is forced on the owner too,
so it steps aside for that statement, inside this transaction.
Way back: drops the columns. Caps, saved cards and the reasons of failed refunds are forgotten; what was authorized
above an amount is still captured at the amount.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0015_portions"
down_revision = "0014_rule_withdrawal"

_INSTANT = sa.DateTime(timezone=True)
_COLUMNS: tuple[tuple[str, sa.Column[object]], ...] = (
    ("portion", sa.Column("authorizes_at", _INSTANT)),
    ("portion", sa.Column("asked_again_at", _INSTANT)),
    ("portion", sa.Column("dropped_at", _INSTANT)),
    ("attempt", sa.Column("saved_ref", sa.Text())),
    ("attempt", sa.Column("close_asked_at", _INSTANT)),
    ("refund", sa.Column("retry_of", UUID())),
    ("refund", sa.Column("note", sa.Text())),
)
_WITH_DEFAULT: tuple[tuple[str, sa.Column[object], str], ...] = (
    ("portion", sa.Column("keeps_card", sa.Boolean(), nullable=False), "false"),
    ("portion", sa.Column("refund_failed", sa.Boolean(), nullable=False), "false"),
    ("portion", sa.Column("dispute", sa.Text(), nullable=False), "'none'"),
    ("attempt", sa.Column("mode", sa.Text(), nullable=False), "'authorize'"),
)


def upgrade() -> None:
    for table, column in _COLUMNS:
        op.add_column(table, column)
    for table, column, default in _WITH_DEFAULT:
        column.server_default = sa.DefaultClause(sa.text(default))
        op.add_column(table, column)
        op.alter_column(table, column.name, server_default=None)
    op.add_column("portion", sa.Column("cap", sa.BigInteger()))
    op.execute("ALTER TABLE portion NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE portion SET cap = amount")
    op.execute("ALTER TABLE portion FORCE ROW LEVEL SECURITY")
    op.alter_column("portion", "cap", nullable=False)
    op.create_check_constraint("cap", "portion", "cap >= amount")


def downgrade() -> None:
    op.drop_constraint("cap", "portion", type_="check")
    op.drop_column("portion", "cap")
    for table, column, _ in _WITH_DEFAULT:
        op.drop_column(table, column.name)
    for table, column in _COLUMNS:
        op.drop_column(table, column.name)
