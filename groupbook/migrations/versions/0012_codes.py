"""Discount codes, who holds them, what used them; and columns for sealed card numbers.

Why: a code's limits must hold when many bookings open at once, so each code counts its own uses in one row, and a check
on that row stands behind the code that counts. Card numbers were stored as typed; a script has no key to seal them
with, so this one only makes room (two columns that may be empty, and an index of what is left to do), and the sweep
`seal_card_numbers` moves every number there, clearing the old column. Once `entitlement.number` is empty everywhere, a
later script drops it with the index.
Way back: drops the codes with their history, and the sealed numbers; cards whose number was sealed keep their type and
dates, and their holders enter the number again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0012_codes"
down_revision = "0011_notices"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "discount_code",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("owner", UUID()),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("uses_max", sa.BigInteger()),
        sa.Column("uses_per_person_max", sa.BigInteger()),
        sa.Column("starts_at", _INSTANT),
        sa.Column("ends_at", _INSTANT),
        sa.Column("disabled_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("merchant_id", "key", name="uq_discount_code_merchant_id_key"),
        sa.CheckConstraint("uses >= 0 AND (uses_max IS NULL OR uses <= uses_max)", name="uses"),
        sa.Index("ix_discount_code_owner", "merchant_id", "owner", postgresql_where=sa.text("owner IS NOT NULL")),
    )
    tenant_table(
        "held_code",
        sa.Column("subject", UUID(), nullable=False),
        sa.Column("code_id", UUID(), nullable=False),
        sa.Column("added_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "subject", "code_id", name="pk_held_code"),
        tenant_key("held_code", "code_id", "discount_code"),
    )
    tenant_table(
        "code_redemption",
        sa.Column("code_id", UUID(), nullable=False),
        sa.Column("reference", UUID(), nullable=False),
        sa.Column("subject", UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("saved", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("reserved_at", _INSTANT, nullable=False),
        sa.Column("redeemed_at", _INSTANT),
        sa.Column("released_at", _INSTANT),
        tenant_key("code_redemption", "code_id", "discount_code"),
        sa.UniqueConstraint(
            "merchant_id",
            "reference",
            "code_id",
            "subject",
            name="uq_code_redemption_merchant_id_reference_code_id_subject",
        ),
        sa.CheckConstraint("state IN ('reserved', 'redeemed', 'released')", name="state"),
        sa.Index("ix_code_redemption_code_id", "merchant_id", "code_id", "subject"),
        sa.Index("ix_code_redemption_subject", "merchant_id", "subject"),
    )
    op.add_column("entitlement", sa.Column("sealed_number", sa.LargeBinary()))
    op.add_column("entitlement", sa.Column("number_mark", sa.LargeBinary()))
    op.create_index(
        "ix_entitlement_unsealed", "entitlement", ["merchant_id"], postgresql_where=sa.text("number IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_entitlement_unsealed", "entitlement")
    op.drop_column("entitlement", "number_mark")
    op.drop_column("entitlement", "sealed_number")
    drop_tenant_table("code_redemption", "held_code", "discount_code")
