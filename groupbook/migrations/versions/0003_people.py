"""Tables of people: persons, their accounts at networks, guests, sessions, logins and hand-offs on their way, consent.

Why: everybody who plans, votes or pays is somebody here. Three things are looked up before a merchant is known (a
session token, a login state, a hand-off), each by its own narrow function; tokens are stored as SHA-256 only.
Way back: drops them with their rows; everybody is logged out and every guest loses the seat.
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

revision = "0003_people"
down_revision = "0002_merchants"

_INSTANT = sa.DateTime(timezone=True)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _uuid(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, UUID(), nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, _INSTANT, nullable=nullable)


def upgrade() -> None:
    tenant_table(
        "person",
        _text("display_name"),
        _text("avatar_url", nullable=True),
        _text("locale", nullable=True),
        _instant("created_at"),
        _instant("erased_at", nullable=True),
    )
    tenant_table(
        "social_account",
        _uuid("person_id", nullable=False),
        _text("network"),
        _text("app_id"),
        _text("subject"),
        _text("email", nullable=True),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        _instant("created_at"),
        _instant("last_login_at"),
        sa.UniqueConstraint(
            "merchant_id", "network", "app_id", "subject", name="uq_social_account_merchant_id_network_app_id_subject"
        ),
        tenant_key("social_account", "person_id", "person"),
    )
    tenant_table(
        "guest",
        _uuid("trip_ref", nullable=False),
        _text("name"),
        _uuid("person_id"),
        _instant("created_at"),
        _instant("adopted_at", nullable=True),
        tenant_key("guest", "person_id", "person"),
    )
    tenant_table(
        "session",
        _text("kind"),
        _bytes("token_hash"),
        _uuid("person_id"),
        _uuid("guest_id"),
        _text("embed_origin", nullable=True),
        _text("instance", nullable=True),
        _instant("created_at"),
        _instant("expires_at"),
        _instant("revoked_at", nullable=True),
        sa.CheckConstraint("num_nonnulls(person_id, guest_id) = 1", name="one_subject"),
        sa.CheckConstraint("kind IN ('cookie', 'bearer', 'guest')", name="kind"),
        tenant_key("session", "person_id", "person"),
        tenant_key("session", "guest_id", "guest"),
    )
    tenant_table(
        "login_state",
        _bytes("state_hash"),
        _bytes("browser_hash"),
        _text("network"),
        _text("nonce"),
        _text("verifier"),
        _text("redirect_uri"),
        _text("return_to"),
        _uuid("handoff_id"),
        _instant("created_at"),
        _instant("expires_at"),
    )
    tenant_table(
        "handoff",
        _text("embed_origin"),
        _text("instance"),
        _text("challenge"),
        _text("state"),
        _uuid("person_id"),
        _bytes("code_hash", nullable=True),
        _bytes("match_hash", nullable=True),
        _instant("code_expires_at", nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        _instant("created_at"),
        _instant("expires_at"),
        sa.CheckConstraint("state IN ('open', 'approved', 'redeemed', 'denied', 'spent')", name="state"),
        tenant_key("handoff", "person_id", "person"),
    )
    tenant_table(
        "launch_use",
        _text("network"),
        _bytes("signature_hash"),
        _instant("used_at"),
        _instant("expires_at"),
        sa.UniqueConstraint(
            "merchant_id", "network", "signature_hash", name="uq_launch_use_merchant_id_network_signature_hash"
        ),
    )
    tenant_table(
        "consent",
        _uuid("person_id", nullable=False),
        _text("purpose"),
        _text("detail"),
        _instant("granted_at"),
        _instant("withdrawn_at", nullable=True),
        tenant_key("consent", "person_id", "person"),
    )
    for table, columns in _INDEXES:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
    op.create_index(
        "uq_consent_standing",
        "consent",
        ["merchant_id", "person_id", "purpose", "detail"],
        unique=True,
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )
    lookup_function(
        "lookup_session",
        "wanted_sha256 bytea",
        "jsonb",
        "SELECT jsonb_build_object('merchant_id', s.merchant_id, 'id', s.id, 'kind', s.kind, "
        "'person_id', s.person_id, 'guest_id', s.guest_id, 'livemode', m.livemode) "
        "FROM session s JOIN merchant m ON m.id = s.merchant_id "
        "WHERE s.token_hash = wanted_sha256 AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()",
        reads={
            "session": (
                "merchant_id",
                "id",
                "kind",
                "person_id",
                "guest_id",
                "token_hash",
                "expires_at",
                "revoked_at",
            ),
            "merchant": ("id", "livemode"),
        },
    )
    lookup_function(
        "lookup_login_state",
        "wanted_sha256 bytea",
        "uuid",
        "SELECT merchant_id FROM login_state WHERE state_hash = wanted_sha256",
        reads={"login_state": ("merchant_id", "state_hash")},
    )
    lookup_function(
        "lookup_handoff",
        "wanted_id uuid",
        "uuid",
        "SELECT merchant_id FROM handoff WHERE id = wanted_id",
        reads={"handoff": ("merchant_id", "id")},
    )


_INDEXES = (
    ("social_account", ("merchant_id", "person_id")),
    ("guest", ("merchant_id", "trip_ref")),
    ("guest", ("merchant_id", "person_id")),
    ("session", ("token_hash",)),
    ("session", ("merchant_id", "person_id")),
    ("session", ("merchant_id", "guest_id")),
    ("login_state", ("state_hash",)),
    ("handoff", ("id",)),
)


def downgrade() -> None:
    drop_lookup_function("lookup_handoff", "wanted_id uuid")
    drop_lookup_function("lookup_login_state", "wanted_sha256 bytea")
    drop_lookup_function("lookup_session", "wanted_sha256 bytea")
    drop_tenant_table("consent", "launch_use", "handoff", "login_state", "session", "guest", "social_account", "person")
