"""Tables of the room offers: offer, occasion, quote, hold, merchant_order.

Why: an offer is a dated copy, so that a quote can name the version it priced; a quote may only be added and read,
because people agreed to it; hold and order are the rows behind the two machines of the merchant's side.
Way back: drops them with their rows; the merchant's own books keep holds and orders under our references.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0006_offers"
down_revision = "0005_payments"

_INSTANT = sa.DateTime(timezone=True)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, _INSTANT, nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, JSONB(), nullable=False)


def _currency() -> sa.Column[str]:
    return sa.Column("currency", sa.CHAR(3), nullable=False)


def upgrade() -> None:
    tenant_table(
        "offer",
        _text("ref"),
        _text("title"),
        _currency(),
        _json("legs"),
        _json("fares"),
        sa.Column("bookable", sa.Boolean(), nullable=False),
        _instant("valid_until"),
        _number("seats_left", nullable=True),
        _text("occasion_ref", nullable=True),
        _json("tags"),
        _text("url"),
        _text("image_url"),
        _json("labels"),
        _text("origin"),
        _text("destination"),
        _instant("departs_at"),
        _number("version"),
        _instant("created_at"),
        _instant("updated_at"),
        sa.UniqueConstraint("merchant_id", "ref", name="uq_offer_merchant_id_ref"),
        sa.Index("ix_offer_departs_at", "merchant_id", "departs_at", "id"),
        sa.Index(
            "ix_offer_occasion_ref",
            "merchant_id",
            "occasion_ref",
            postgresql_where=sa.text("occasion_ref IS NOT NULL"),
        ),
    )
    tenant_table(
        "occasion",
        _text("ref"),
        _text("title"),
        _text("city"),
        _text("zone"),
        _text("venue"),
        _instant("starts_at"),
        _instant("ends_at"),
        _text("url"),
        _text("image_url"),
        _json("tags"),
        _instant("created_at"),
        _instant("updated_at"),
        sa.UniqueConstraint("merchant_id", "ref", name="uq_occasion_merchant_id_ref"),
        sa.Index("ix_occasion_starts_at", "merchant_id", "starts_at", "id"),
    )
    tenant_table(
        "quote",
        sa.Column("reference", UUID(), nullable=False),
        sa.Column("offer_id", UUID(), nullable=False),
        _number("offer_version"),
        _number("amount"),
        _currency(),
        _json("people"),
        _text("priced_by"),
        sa.Column("is_proven", sa.Boolean(), nullable=False),
        _instant("valid_until"),
        _instant("created_at"),
        tenant_key("quote", "offer_id", "offer"),
        sa.CheckConstraint("amount >= 0", name="amount"),
        sa.Index("ix_quote_reference", "merchant_id", "reference"),
        append_only=True,
    )
    tenant_table(
        "hold",
        sa.Column("reference", UUID(), nullable=False),
        sa.Column("quote_id", UUID(), nullable=False),
        sa.Column("offer_id", UUID(), nullable=False),
        _text("state"),
        _number("hold_seconds"),
        _json("travelers"),
        _text("merchant_ref", nullable=True),
        _instant("expires_at", nullable=True),
        _json("seats"),
        _text("reason", nullable=True),
        _number("new_amount", nullable=True),
        _currency(),
        _number("version"),
        _instant("created_at"),
        _instant("updated_at"),
        tenant_key("hold", "quote_id", "quote"),
        tenant_key("hold", "offer_id", "offer"),
        sa.CheckConstraint(
            "state IN ('placing', 'live', 'refused', 'releasing', 'released', 'expired', 'consumed')", name="state"
        ),
        sa.Index(
            "ix_hold_open_reference",
            "merchant_id",
            "reference",
            unique=True,
            postgresql_where=sa.text("state IN ('placing', 'live')"),
        ),
        sa.Index("ix_hold_reference", "merchant_id", "reference"),
        sa.Index(
            "ix_hold_live", "merchant_id", "expires_at", postgresql_where=sa.text("state IN ('live', 'releasing')")
        ),
    )
    tenant_table(
        "merchant_order",
        sa.Column("reference", UUID(), nullable=False),
        sa.Column("quote_id", UUID(), nullable=False),
        sa.Column("hold_id", UUID()),
        _number("amount"),
        _currency(),
        _text("state"),
        _json("travelers"),
        _text("merchant_ref", nullable=True),
        _json("seats"),
        _json("tickets"),
        _text("reason", nullable=True),
        _number("new_amount", nullable=True),
        _number("version"),
        _instant("created_at"),
        _instant("updated_at"),
        tenant_key("merchant_order", "quote_id", "quote"),
        tenant_key("merchant_order", "hold_id", "hold"),
        sa.CheckConstraint(
            "state IN ('confirming', 'confirmed', 'rejected', 'canceling', 'canceled', 'discrepant')", name="state"
        ),
        sa.CheckConstraint("amount >= 0", name="amount"),
        sa.Index(
            "ix_merchant_order_open_reference",
            "merchant_id",
            "reference",
            unique=True,
            postgresql_where=sa.text("state <> 'rejected'"),
        ),
        sa.Index("ix_merchant_order_reference", "merchant_id", "reference"),
    )


def downgrade() -> None:
    drop_tenant_table("merchant_order", "hold", "quote", "occasion", "offer")
