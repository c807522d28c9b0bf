"""Tables of this room. Entitlements are personal: every query for them names one subject or the party being priced."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow, currency_column


class RuleCatalogueRow(TenantRow, Base):
    """One version of a merchant's rules. Never changed: a correction is a new version."""

    __tablename__ = "rule_catalogue"
    __table_args__ = (UniqueConstraint("merchant_id", "version"),)

    version: Mapped[int]
    starts_on: Mapped[date]
    document: Mapped[dict[str, Any]]
    rule_count: Mapped[int]
    created_at: Mapped[datetime]


class RuleWithdrawalRow(Base):
    """A version that was taken back before its first day; the version itself stays as it was."""

    __tablename__ = "rule_withdrawal"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    catalogue_id: Mapped[UUID] = mapped_column(primary_key=True)
    withdrawn_at: Mapped[datetime]


class TravelerRow(Base):
    """What a subject said about themselves for pricing."""

    __tablename__ = "traveler"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[UUID] = mapped_column(primary_key=True)
    age: Mapped[int | None]
    age_stated_on: Mapped[date | None]
    changed_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("(age IS NULL) = (age_stated_on IS NULL)", name="age_dated"),)


class EntitlementRow(TenantRow, Base):
    """One card of one subject. Its number is sealed; equal numbers of one type have equal marks."""

    __tablename__ = "entitlement"
    __table_args__ = (Index(None, "merchant_id", "subject"),)

    subject: Mapped[UUID]
    position: Mapped[int]
    card_type: Mapped[str] = mapped_column(Text)
    sealed_number: Mapped[bytes | None] = mapped_column(LargeBinary)
    number_mark: Mapped[bytes | None] = mapped_column(LargeBinary)
    valid_from: Mapped[date | None]
    valid_until: Mapped[date | None]
    travel_class: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]


class DiscountCodeRow(TenantRow, Base):
    """A merchant's code. `uses` counts its reserved and redeemed redemptions; the check is the limit's last guard."""

    __tablename__ = "discount_code"
    __table_args__ = (
        UniqueConstraint("merchant_id", "key"),
        CheckConstraint("uses >= 0 AND (uses_max IS NULL OR uses <= uses_max)", name="uses"),
        Index("ix_discount_code_owner", "merchant_id", "owner", postgresql_where=text("owner IS NOT NULL")),
    )

    key: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    rule: Mapped[str] = mapped_column(Text)
    owner: Mapped[UUID | None]
    uses: Mapped[int]
    uses_max: Mapped[int | None]
    uses_per_person_max: Mapped[int | None]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class HeldCodeRow(Base):
    """A code that a subject entered, kept between trips."""

    __tablename__ = "held_code"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "code_id"], ["discount_code.merchant_id", "discount_code.id"]),
    )

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[UUID] = mapped_column(primary_key=True)
    code_id: Mapped[UUID] = mapped_column(primary_key=True)
    added_at: Mapped[datetime]


class RedemptionRow(TenantRow, Base):
    """One use of a code under the caller's reference. A booking uses each member's code once."""

    __tablename__ = "code_redemption"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "code_id"], ["discount_code.merchant_id", "discount_code.id"]),
        UniqueConstraint("merchant_id", "reference", "code_id", "subject"),
        CheckConstraint("state IN ('reserved', 'redeemed', 'released')", name="state"),
        Index("ix_code_redemption_code_id", "merchant_id", "code_id", "subject"),
        Index("ix_code_redemption_subject", "merchant_id", "subject"),
    )

    code_id: Mapped[UUID]
    reference: Mapped[UUID]
    subject: Mapped[UUID]
    state: Mapped[str] = mapped_column(Text)
    saved: Mapped[int]
    currency: Mapped[str] = currency_column()
    reserved_at: Mapped[datetime]
    redeemed_at: Mapped[datetime | None]
    released_at: Mapped[datetime | None]
