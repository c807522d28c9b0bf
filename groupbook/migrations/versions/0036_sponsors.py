"""Sponsors who do not travel: the organizer's link for them, and what is given by it.

Why: an employer or a parent gives a fixed amount without an account in the group. A link is found by its digest before
the merchant is known; a lost answer is asked for again by a nonce. New, empty table; columns that may be empty.
Way back: drops them; links that were sent lead nowhere, and what was given by them stands.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

from groupbook.migrations.tenancy import (
    drop_lookup_function,
    drop_tenant_table,
    lookup_function,
    tenant_key,
    tenant_table,
)

revision = "0036_sponsors"
down_revision = "0035_change_terms"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "sponsor_link",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_token", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT),
        sa.CheckConstraint("wanted > 0", name="wanted"),
        tenant_key("sponsor_link", "booking_id", "booking"),
        sa.Index("uq_sponsor_link_token_sha256", "token_sha256", unique=True),
        sa.Index(
            "uq_sponsor_link_open",
            "merchant_id",
            "booking_id",
            unique=True,
            postgresql_where=sa.text("ended_at IS NULL"),
        ),
    )
    lookup_function(
        "sponsor_link_by_digest",
        "asked bytea",
        "uuid[]",
        "SELECT ARRAY[merchant_id, booking_id, id] FROM sponsor_link WHERE token_sha256 = asked",
        reads={"sponsor_link": ["id", "merchant_id", "booking_id", "token_sha256"]},
    )
    op.add_column("contribution", sa.Column("sponsor_link_id", UUID()))
    op.add_column("contribution", sa.Column("nonce_sha256", sa.LargeBinary()))


def downgrade() -> None:
    op.drop_column("contribution", "nonce_sha256")
    op.drop_column("contribution", "sponsor_link_id")
    drop_lookup_function("sponsor_link_by_digest", "asked bytea")
    drop_tenant_table("sponsor_link")
