"""Tables of this room. Entitlements are personal: every query for them names one subject or the party being priced."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow


class RuleCatalogueRow(TenantRow, Base):
    """One version of a merchant's rules. Never changed: a correction is a new version."""

    __tablename__ = "rule_catalogue"
    __table_args__ = (UniqueConstraint("merchant_id", "version"),)

    version: Mapped[int]
    starts_on: Mapped[date]
    document: Mapped[dict[str, Any]]
    rule_count: Mapped[int]
    created_at: Mapped[datetime]


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
    """One card of one subject."""

    __tablename__ = "entitlement"
    __table_args__ = (Index(None, "merchant_id", "subject"),)

    subject: Mapped[UUID]
    position: Mapped[int]
    card_type: Mapped[str] = mapped_column(Text)
    number: Mapped[str | None] = mapped_column(Text)
    valid_from: Mapped[date | None]
    valid_until: Mapped[date | None]
    travel_class: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
