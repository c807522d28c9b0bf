"""Tables of the room referrals: shares, visits, hits, and what they brought.

Why: a share is counted by act, a visit by evidence of a person, and who brought whom is written once; joins and
bookings are append-only, because rewards will rest on them.
Way back: drops them with their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import (
    drop_lookup_function,
    drop_tenant_table,
    lookup_function,
    tenant_key,
    tenant_table,
)

revision = "0009_referrals"
down_revision = "0008_bookings"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "share",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("sharer", UUID(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("fields", JSONB(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("revoked_at", _INSTANT),
        tenant_key("share", "trip_id", "trip"),
        sa.Index("ix_share_code", "code", unique=True),
        sa.Index("ix_share_merchant_id_trip_id", "merchant_id", "trip_id"),
        sa.Index("ix_share_merchant_id_sharer", "merchant_id", "sharer"),
    )
    tenant_table(
        "visit",
        sa.Column("share_id", UUID()),
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("origin", UUID(), nullable=False),
        sa.Column("visitor_key", sa.LargeBinary(), nullable=False),
        sa.Column("subject", UUID()),
        sa.Column("reason", sa.Text()),
        sa.Column("first_at", _INSTANT, nullable=False),
        sa.Column("confirmed_at", _INSTANT),
        tenant_key("visit", "share_id", "share"),
        tenant_key("visit", "trip_id", "trip"),
        sa.UniqueConstraint("merchant_id", "origin", "visitor_key", name="uq_visit_merchant_id_origin_visitor_key"),
        sa.Index("ix_visit_id", "id"),
        sa.Index("ix_visit_merchant_id_share_id", "merchant_id", "share_id"),
        sa.Index("ix_visit_subject", "merchant_id", "subject", postgresql_where=sa.text("subject IS NOT NULL")),
    )
    tenant_table(
        "hit",
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("share_id", UUID()),
        sa.Column("visit_id", UUID()),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("fetch_mode", sa.Text()),
        sa.Column("fetch_destination", sa.Text()),
        sa.Column("purpose", sa.Text()),
        sa.Column("agent_class", sa.Text(), nullable=False),
        sa.Column("agent_family", sa.Text(), nullable=False),
        sa.Column("address_truncated", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Index("ix_hit_merchant_id_at", "merchant_id", "at"),
    )
    tenant_table(
        "visit_salt",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "day", name="pk_visit_salt"),
    )
    tenant_table(
        "join_attribution",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("share_id", UUID()),
        sa.Column("visit_id", UUID()),
        sa.Column("is_start", sa.Boolean(), nullable=False),
        sa.Column("joined_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "trip_id", "member_id", name="pk_join_attribution"),
        tenant_key("join_attribution", "share_id", "share"),
        sa.Index("ix_join_attribution_merchant_id_share_id", "merchant_id", "share_id"),
        append_only=True,
    )
    tenant_table(
        "booking_attribution",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("share_id", UUID()),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Text(), nullable=False),
        sa.Column("inputs", JSONB(), nullable=False),
        sa.Column("decided_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "booking_id", name="pk_booking_attribution"),
        tenant_key("booking_attribution", "share_id", "share"),
        sa.Index("ix_booking_attribution_merchant_id_share_id", "merchant_id", "share_id"),
        append_only=True,
    )
    lookup_function(
        "share_by_code",
        "asked text",
        "uuid[]",
        "SELECT ARRAY[merchant_id, id] FROM share WHERE code = asked",
        reads={"share": ["merchant_id", "id", "code"]},
    )
    lookup_function(
        "merchant_of_visit",
        "asked uuid",
        "uuid",
        "SELECT merchant_id FROM visit WHERE id = asked",
        reads={"visit": ["merchant_id", "id"]},
    )


def downgrade() -> None:
    drop_lookup_function("merchant_of_visit", "asked uuid")
    drop_lookup_function("share_by_code", "asked text")
    drop_tenant_table("booking_attribution", "join_attribution", "visit_salt", "hit", "visit", "share")
