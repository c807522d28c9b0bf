"""Tables of the room trips: trip, member, trip_option, vote, invite, comment and the live log trip_event.

Why: one row to lock per trip (its `event_seq` numbers the log without gaps), votes keyed by option and member so that
the last writer wins, and two look-ups for addresses that come before the merchant is known: a trip's page, an invite.
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

revision = "0007_trips"
down_revision = "0006_offers"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "trip",
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("occasion_id", UUID()),
        sa.Column("starts_on", sa.Date()),
        sa.Column("ends_on", sa.Date()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("quorum", sa.BigInteger()),
        sa.Column("deadline_at", _INSTANT),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("members_shown", sa.Text(), nullable=False),
        sa.Column("votes_shown", sa.Text(), nullable=False),
        sa.Column("organizer_id", UUID(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
        sa.Column("decided_option_id", UUID()),
        sa.Column("decided_at", _INSTANT),
        sa.Column("decided_from", sa.Text()),
        sa.Column("decided_reason", sa.Text()),
        sa.Column("booking_id", UUID()),
        sa.Column("frozen_by", UUID()),
        sa.Column("created_at", _INSTANT, nullable=False),
        tenant_key("trip", "occasion_id", "occasion"),
        sa.CheckConstraint("state IN ('open', 'locked', 'decided', 'booking', 'booked', 'canceled')", name="state"),
        sa.CheckConstraint("visibility IN ('secret', 'link', 'friends', 'public')", name="visibility"),
        sa.Index("ix_trip_id", "id"),
        sa.Index(
            "ix_trip_deadline_at",
            "merchant_id",
            "deadline_at",
            postgresql_where=sa.text("state = 'open' AND deadline_at IS NOT NULL"),
        ),
    )
    tenant_table(
        "member",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("person_id", UUID()),
        sa.Column("guest_id", UUID()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_going", sa.Boolean(), nullable=False),
        sa.Column("joined_via", sa.Text(), nullable=False),
        sa.Column("joined_at", _INSTANT, nullable=False),
        sa.Column("left_at", _INSTANT),
        tenant_key("member", "trip_id", "trip"),
        tenant_key("member", "person_id", "person"),
        tenant_key("member", "guest_id", "guest"),
        sa.UniqueConstraint("merchant_id", "trip_id", "person_id", name="uq_member_merchant_id_trip_id_person_id"),
        sa.UniqueConstraint("merchant_id", "trip_id", "guest_id", name="uq_member_merchant_id_trip_id_guest_id"),
        sa.CheckConstraint("(person_id IS NULL) <> (guest_id IS NULL)", name="one_subject"),
        sa.CheckConstraint("role IN ('organizer', 'member', 'viewer')", name="role"),
        sa.Index("ix_member_person_id", "merchant_id", "person_id"),
        sa.Index("ix_member_guest_id", "merchant_id", "guest_id"),
    )
    tenant_table(
        "trip_option",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("offer_id", UUID()),
        sa.Column("starts_at", _INSTANT),
        sa.Column("snapshot", JSONB(), nullable=False),
        sa.Column("added_by", UUID()),
        sa.Column("added_at", _INSTANT, nullable=False),
        sa.Column("removed_at", _INSTANT),
        tenant_key("trip_option", "trip_id", "trip"),
        tenant_key("trip_option", "offer_id", "offer"),
        sa.UniqueConstraint("merchant_id", "trip_id", "position", name="uq_trip_option_merchant_id_trip_id_position"),
        sa.CheckConstraint("kind IN ('offer', 'date', 'place')", name="kind"),
        sa.CheckConstraint("(kind = 'offer') = (offer_id IS NOT NULL)", name="offer_of_kind"),
    )
    tenant_table(
        "vote",
        sa.Column("option_id", UUID(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("cast_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "option_id", "member_id", name="pk_vote"),
        tenant_key("vote", "option_id", "trip_option"),
        tenant_key("vote", "member_id", "member"),
        tenant_key("vote", "trip_id", "trip"),
        sa.CheckConstraint("choice IN ('yes', 'if_need_be', 'no')", name="choice"),
        sa.Index("ix_vote_trip_id", "merchant_id", "trip_id"),
    )
    tenant_table(
        "invite",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_token", sa.LargeBinary(), nullable=False),
        sa.Column("for_name", sa.Text()),
        sa.Column("created_by", UUID()),
        sa.Column("used_by", UUID()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        tenant_key("invite", "trip_id", "trip"),
        sa.UniqueConstraint("token_sha256", name="uq_invite_token_sha256"),
        sa.Index("ix_invite_trip_id", "merchant_id", "trip_id"),
    )
    tenant_table(
        "comment",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("removed_at", _INSTANT),
        tenant_key("comment", "trip_id", "trip"),
        tenant_key("comment", "member_id", "member"),
        sa.Index("ix_comment_trip_id", "merchant_id", "trip_id", "id"),
    )
    tenant_table(
        "trip_event",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("actor_id", UUID()),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "trip_id", "seq", name="pk_trip_event"),
        tenant_key("trip_event", "trip_id", "trip"),
        append_only=True,
    )
    lookup_function(
        "merchant_of_trip",
        "asked uuid",
        "uuid",
        "SELECT merchant_id FROM trip WHERE id = asked",
        reads={"trip": ["id", "merchant_id"]},
    )
    lookup_function(
        "invite_by_digest",
        "asked bytea",
        "uuid[]",
        "SELECT ARRAY[merchant_id, trip_id, id] FROM invite WHERE token_sha256 = asked",
        reads={"invite": ["id", "merchant_id", "trip_id", "token_sha256"]},
    )
    lookup_function(
        "merchants_with_due_trips",
        "",
        "SETOF uuid",
        "SELECT DISTINCT merchant_id FROM trip WHERE state = 'open' AND deadline_at IS NOT NULL",
        reads={"trip": ["merchant_id", "state", "deadline_at"]},
    )


def downgrade() -> None:
    drop_lookup_function("merchants_with_due_trips", "")
    drop_lookup_function("invite_by_digest", "asked bytea")
    drop_lookup_function("merchant_of_trip", "asked uuid")
    drop_tenant_table("trip_event", "comment", "invite", "vote", "trip_option", "member", "trip")
