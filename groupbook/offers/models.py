"""Tables of what is sold and what the merchant keeps for us."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow, currency_column


class OfferRow(TenantRow, Base):
    """The stored copy of a merchant's offer, found again by the merchant's own name for it."""

    __tablename__ = "offer"
    __table_args__ = (
        UniqueConstraint("merchant_id", "ref"),
        Index("ix_offer_departs_at", "merchant_id", "departs_at", "id"),
        Index(
            "ix_offer_occasion_ref", "merchant_id", "occasion_ref", postgresql_where=text("occasion_ref IS NOT NULL")
        ),
    )

    ref: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = currency_column()
    legs: Mapped[list[Any]]
    fares: Mapped[dict[str, Any]]
    bookable: Mapped[bool]
    valid_until: Mapped[datetime]
    seats_left: Mapped[int | None]
    occasion_ref: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[Any]]
    url: Mapped[str] = mapped_column(Text)
    image_url: Mapped[str] = mapped_column(Text)
    labels: Mapped[dict[str, Any]]
    origin: Mapped[str] = mapped_column(Text)
    destination: Mapped[str] = mapped_column(Text)
    departs_at: Mapped[datetime]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class OccasionRow(TenantRow, Base):
    """A festival, concert or conference that a trip can be anchored to."""

    __tablename__ = "occasion"
    __table_args__ = (
        UniqueConstraint("merchant_id", "ref"),
        Index("ix_occasion_starts_at", "merchant_id", "starts_at", "id"),
    )

    ref: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    city: Mapped[str] = mapped_column(Text)
    zone: Mapped[str] = mapped_column(Text)
    venue: Mapped[str] = mapped_column(Text)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    url: Mapped[str] = mapped_column(Text)
    image_url: Mapped[str] = mapped_column(Text)
    tags: Mapped[list[Any]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class QuoteRow(TenantRow, Base):
    """A frozen price. The application may not change or delete it (the migration grants only reading and adding)."""

    __tablename__ = "quote"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "offer_id"], ["offer.merchant_id", "offer.id"]),
        CheckConstraint("amount >= 0", name="amount"),
        Index("ix_quote_reference", "merchant_id", "reference"),
    )

    reference: Mapped[UUID]
    offer_id: Mapped[UUID]
    offer_version: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str] = currency_column()
    people: Mapped[list[Any]]
    priced_by: Mapped[str] = mapped_column(Text)
    is_proven: Mapped[bool]
    bound: Mapped[int | None]
    valid_until: Mapped[datetime]
    created_at: Mapped[datetime]


class HoldRow(TenantRow, Base):
    """Places asked for or kept. At most one per reference is open at a time."""

    __tablename__ = "hold"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "quote_id"], ["quote.merchant_id", "quote.id"]),
        ForeignKeyConstraint(["merchant_id", "offer_id"], ["offer.merchant_id", "offer.id"]),
        CheckConstraint(
            "state IN ('placing', 'live', 'extending', 'refused', 'releasing', 'released', 'expired', 'consumed')",
            name="state",
        ),
        Index(
            "ix_hold_open_reference",
            "merchant_id",
            "reference",
            unique=True,
            postgresql_where=text("state IN ('placing', 'live', 'extending')"),
        ),
        Index("ix_hold_reference", "merchant_id", "reference"),
        Index(
            "ix_hold_live",
            "merchant_id",
            "expires_at",
            postgresql_where=text("state IN ('live', 'extending', 'releasing')"),
        ),
        Index("ix_hold_offer_id", "merchant_id", "offer_id", "updated_at", postgresql_where=text("settled = 0")),
        Index("ix_hold_placed_by", "merchant_id", "placed_by", "updated_at", postgresql_where=text("settled = 0")),
    )

    reference: Mapped[UUID]
    quote_id: Mapped[UUID]
    offer_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(Text)
    hold_seconds: Mapped[int]
    travelers: Mapped[list[Any]]
    merchant_ref: Mapped[str | None] = mapped_column(Text)
    placed_by: Mapped[UUID | None]
    placed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    asked_until: Mapped[datetime | None]
    settled_at_placing: Mapped[int]
    settled: Mapped[int]
    seats: Mapped[list[Any]]
    fee: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)
    new_amount: Mapped[int | None]
    currency: Mapped[str] = currency_column()
    version: Mapped[int] = mapped_column()
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": version}


class MerchantOrderRow(TenantRow, Base):
    """The order at the merchant's. At most one per reference that was not rejected."""

    __tablename__ = "merchant_order"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "quote_id"], ["quote.merchant_id", "quote.id"]),
        ForeignKeyConstraint(["merchant_id", "hold_id"], ["hold.merchant_id", "hold.id"]),
        CheckConstraint(
            "state IN ('confirming', 'pending', 'confirmed', 'amending', 'rejected', 'canceling', 'canceled', "
            "'discrepant')",
            name="state",
        ),
        CheckConstraint("amount >= 0", name="amount"),
        Index(
            "ix_merchant_order_open_reference",
            "merchant_id",
            "reference",
            unique=True,
            postgresql_where=text("state <> 'rejected'"),
        ),
        Index("ix_merchant_order_reference", "merchant_id", "reference"),
        Index(
            "ix_merchant_order_standing",
            "merchant_id",
            text("coalesce(read_at, updated_at)"),
            postgresql_where=text("state = 'confirmed'"),
        ),
    )

    reference: Mapped[UUID]
    quote_id: Mapped[UUID]
    hold_id: Mapped[UUID | None]
    amount: Mapped[int]
    currency: Mapped[str] = currency_column()
    state: Mapped[str] = mapped_column(Text)
    travelers: Mapped[list[Any]]
    merchant_ref: Mapped[str | None] = mapped_column(Text)
    seats: Mapped[list[Any]]
    tickets: Mapped[list[Any]]
    reason: Mapped[str | None] = mapped_column(Text)
    new_amount: Mapped[int | None]
    version: Mapped[int] = mapped_column()
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    read_at: Mapped[datetime | None]  # when it was last asked for again, with its tickets here
    absent_at: Mapped[datetime | None]  # since when the merchant does not know it, though it stands

    __mapper_args__ = {"version_id_col": version}


class MerchantAmendmentRow(TenantRow, Base):
    """One change of an order that stands. The caller names it; at most one per order waits for its answer."""

    __tablename__ = "merchant_amendment"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "order_id"], ["merchant_order.merchant_id", "merchant_order.id"]),
        CheckConstraint("kind IN ('cancel', 'replace', 'reprice')", name="kind"),
        CheckConstraint("state IN ('asked', 'amended', 'refused')", name="state"),
        CheckConstraint("amount_max >= 0", name="amount_max"),
        Index(
            "ix_merchant_amendment_asked",
            "merchant_id",
            "order_id",
            unique=True,
            postgresql_where=text("state = 'asked'"),
        ),
        Index("ix_merchant_amendment_reference", "merchant_id", "reference"),
    )

    reference: Mapped[UUID]
    order_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(Text)
    member_id: Mapped[UUID | None]
    travelers: Mapped[list[Any]]
    amount_max: Mapped[int]
    currency: Mapped[str] = currency_column()
    state: Mapped[str] = mapped_column(Text)
    amount: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)
    new_amount: Mapped[int | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class RecheckRow(TenantRow, Base):
    """One second look at availability and price, for a merchant who keeps no places. The latest one counts."""

    __tablename__ = "recheck"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "quote_id"], ["quote.merchant_id", "quote.id"]),
        CheckConstraint("state IN ('pending', 'same', 'lower', 'higher', 'gone')", name="state"),
        Index("ix_recheck_reference", "merchant_id", "reference"),
    )

    reference: Mapped[UUID]
    quote_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(Text)
    amount: Mapped[int | None]
    currency: Mapped[str] = currency_column()
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
