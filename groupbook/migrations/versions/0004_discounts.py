"""Tables of the room discounts: rule catalogues, and what travelers are entitled to.

Why: a price must be explainable later, so a catalogue version is never changed; what travelers are entitled to is
personal data and has tables of its own, keyed by an opaque subject.
Way back: drops them with their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_table

revision = "0004_discounts"
down_revision = "0003_people"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "rule_catalogue",
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("rule_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("merchant_id", "version", name="uq_rule_catalogue_merchant_id_version"),
        append_only=True,
    )
    tenant_table(
        "traveler",
        sa.Column("subject", UUID(), nullable=False),
        sa.Column("age", sa.BigInteger()),
        sa.Column("age_stated_on", sa.Date()),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "subject", name="pk_traveler"),
        sa.CheckConstraint("(age IS NULL) = (age_stated_on IS NULL)", name="age_dated"),
    )
    tenant_table(
        "entitlement",
        sa.Column("subject", UUID(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("card_type", sa.Text(), nullable=False),
        sa.Column("number", sa.Text()),
        sa.Column("valid_from", sa.Date()),
        sa.Column("valid_until", sa.Date()),
        sa.Column("travel_class", sa.Text()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Index("ix_entitlement_merchant_id_subject", "merchant_id", "subject"),
    )


def downgrade() -> None:
    drop_tenant_table("entitlement", "traveler", "rule_catalogue")
