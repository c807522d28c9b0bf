"""Places that are handed over by a link while a booking collects.

Why: who cannot come passes the place on to a friend instead of changing everybody's price. A link is found by its
digest before the merchant is known. The table is new and empty, so nothing waits for a lock.
Way back: drops it; links that were sent lead nowhere, and who sent them keeps the place.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from groupbook.migrations.tenancy import (
    drop_lookup_function,
    drop_tenant_table,
    lookup_function,
    tenant_key,
    tenant_table,
)

revision = "0027_handovers"
down_revision = "0026_payment_event_cursor"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "handover",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("for_name", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_token", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("taken_by", UUID()),
        sa.Column("ended_at", _INSTANT),
        tenant_key("handover", "booking_id", "booking"),
        sa.Index("uq_handover_token_sha256", "token_sha256", unique=True),
        sa.Index(
            "uq_handover_open",
            "merchant_id",
            "booking_id",
            "member_id",
            unique=True,
            postgresql_where=sa.text("ended_at IS NULL"),
        ),
    )
    lookup_function(
        "handover_by_digest",
        "asked bytea",
        "uuid[]",
        "SELECT ARRAY[merchant_id, booking_id, id] FROM handover WHERE token_sha256 = asked",
        reads={"handover": ["id", "merchant_id", "booking_id", "token_sha256"]},
    )


def downgrade() -> None:
    drop_lookup_function("handover_by_digest", "asked bytea")
    drop_tenant_table("handover")
