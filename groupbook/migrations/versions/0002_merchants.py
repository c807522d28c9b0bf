"""Tables of merchants: merchant, keys, embed origins, staff and their sessions, sealed connections.

Why: everything else belongs to a merchant. Four things are looked up before one is known (a slug, a key, a staff
e-mail, a staff session), each by its own narrow function; a fifth lists the tenants for the sweeps.
Way back: drops them with their rows; keys and logins are lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from groupbook.migrations.tenancy import (
    drop_lookup_function,
    drop_tenant_table,
    lookup_function,
    tenant_key,
    tenant_table,
)

revision = "0002_merchants"
down_revision = "0001_kit"

_INSTANT = sa.DateTime(timezone=True)
_MERCHANT = (
    "jsonb_build_object('id', m.id, 'slug', m.slug, 'name', m.name, 'livemode', m.livemode, 'locale', m.locale, "
    "'timezone', m.timezone, 'currency', m.currency, 'adapter', m.adapter, 'capabilities', m.capabilities)"
)
_MERCHANT_COLUMNS = (
    "id",
    "slug",
    "name",
    "livemode",
    "locale",
    "timezone",
    "currency",
    "adapter",
    "capabilities",
)


def upgrade() -> None:
    tenant_table(
        "merchant",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("capabilities", JSONB(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("slug", "livemode", name="uq_merchant_slug_livemode"),
        sa.CheckConstraint("id = merchant_id", name="is_its_own_tenant"),
    )
    tenant_table(
        "api_key",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary()),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("scopes", ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("last_used_at", _INSTANT),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.UniqueConstraint("secret_sha256", name="uq_api_key_secret_sha256"),
    )
    tenant_table(
        "embed_origin",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("merchant_id", "origin", name="uq_embed_origin_merchant_id_origin"),
    )
    tenant_table(
        "staff",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("failed_logins", sa.BigInteger(), nullable=False),
        sa.Column("locked_until", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("merchant_id", "email", name="uq_staff_merchant_id_email"),
        sa.Index("ix_staff_email", "email"),
    )
    tenant_table(
        "staff_session",
        sa.Column("staff_id", UUID(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("token_sha256", name="uq_staff_session_token_sha256"),
        tenant_key("staff_session", "staff_id", "staff", on_delete="CASCADE"),
    )
    tenant_table(
        "merchant_connection",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("sealed_configuration", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("merchant_id", "kind", name="uq_merchant_connection_merchant_id_kind"),
    )
    lookup_function(
        "lookup_merchant_by_slug",
        "wanted_slug text, wanted_livemode boolean",
        "jsonb",
        f"SELECT {_MERCHANT} FROM merchant m WHERE m.slug = wanted_slug AND m.livemode = wanted_livemode",
        reads={"merchant": _MERCHANT_COLUMNS},
    )
    lookup_function(
        "lookup_all_merchants",
        "",
        "jsonb",
        f"SELECT coalesce(jsonb_agg({_MERCHANT} ORDER BY m.id), '[]'::jsonb) FROM merchant m",
        reads={"merchant": _MERCHANT_COLUMNS},
    )
    lookup_function(
        "lookup_api_key",
        "wanted_sha256 bytea",
        "jsonb",
        "SELECT jsonb_build_object('merchant_id', k.merchant_id, 'key_id', k.id, 'livemode', k.livemode, "
        "'scopes', to_jsonb(k.scopes), 'is_touch_due', "
        "k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - interval '1 minute') FROM api_key k "
        "WHERE k.secret_sha256 = wanted_sha256 AND k.revoked_at IS NULL "
        "AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())",
        reads={
            "api_key": (
                "merchant_id",
                "id",
                "livemode",
                "scopes",
                "secret_sha256",
                "last_used_at",
                "expires_at",
                "revoked_at",
            )
        },
    )
    lookup_function(
        "lookup_staff_logins",
        "wanted_email text",
        "jsonb",
        "SELECT coalesce(jsonb_agg(jsonb_build_object('merchant_id', s.merchant_id, 'staff_id', s.id) "
        "ORDER BY m.livemode, s.id), '[]'::jsonb) FROM staff s JOIN merchant m ON m.id = s.merchant_id "
        "WHERE s.email = wanted_email",
        reads={"staff": ("merchant_id", "id", "email"), "merchant": ("id", "livemode")},
    )
    lookup_function(
        "lookup_staff_session",
        "wanted_sha256 bytea",
        "jsonb",
        "SELECT jsonb_build_object('merchant_id', s.merchant_id, 'staff_id', s.staff_id, 'session_id', s.id, "
        "'livemode', m.livemode) FROM staff_session s JOIN merchant m ON m.id = s.merchant_id "
        "WHERE s.token_sha256 = wanted_sha256 AND s.expires_at > clock_timestamp()",
        reads={
            "staff_session": ("merchant_id", "id", "staff_id", "token_sha256", "expires_at"),
            "merchant": ("id", "livemode"),
        },
    )


def downgrade() -> None:
    drop_lookup_function("lookup_staff_session", "wanted_sha256 bytea")
    drop_lookup_function("lookup_staff_logins", "wanted_email text")
    drop_lookup_function("lookup_api_key", "wanted_sha256 bytea")
    drop_lookup_function("lookup_all_merchants", "")
    drop_lookup_function("lookup_merchant_by_slug", "wanted_slug text, wanted_livemode boolean")
    drop_tenant_table("merchant_connection", "staff_session", "staff", "embed_origin", "api_key", "merchant")
