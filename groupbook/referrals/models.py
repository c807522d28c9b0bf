"""Tables of this room. No full address and no full user agent is ever written here."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow


def _key(table: str, column: str, target: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["merchant_id", column], [f"{target}.merchant_id", f"{target}.id"], name=f"fk_{table}_{column}_{target}"
    )


class ShareRow(TenantRow, Base):
    """One share act."""

    __tablename__ = "share"
    __table_args__ = (
        _key("share", "trip_id", "trip"),
        Index("ix_share_code", "code", unique=True),  # found by code before the merchant is known
        Index(None, "merchant_id", "trip_id"),
        Index(None, "merchant_id", "sharer"),
    )

    trip_id: Mapped[UUID]
    code: Mapped[str] = mapped_column(Text)
    sharer: Mapped[UUID]
    channel: Mapped[str] = mapped_column(Text)
    fields: Mapped[list[Any]]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class VisitRow(TenantRow, Base):
    """One visitor of one share (or of a trip without one). Counted when confirmed and no reason speaks against it."""

    __tablename__ = "visit"
    __table_args__ = (
        _key("visit", "share_id", "share"),
        _key("visit", "trip_id", "trip"),
        UniqueConstraint("merchant_id", "origin", "visitor_key"),
        Index("ix_visit_id", "id"),  # found by id before the merchant is known
        Index(None, "merchant_id", "share_id"),
        Index("ix_visit_subject", "merchant_id", "subject", postgresql_where=text("subject IS NOT NULL")),
    )

    share_id: Mapped[UUID | None]
    trip_id: Mapped[UUID]
    origin: Mapped[UUID]
    visitor_key: Mapped[bytes] = mapped_column(LargeBinary)
    subject: Mapped[UUID | None]
    reason: Mapped[str | None] = mapped_column(Text)
    first_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class HitRow(TenantRow, Base):
    """One request for a share or trip page, as reduced. Never changed but by forgetting."""

    __tablename__ = "hit"
    __table_args__ = (Index(None, "merchant_id", "at"),)

    at: Mapped[datetime]
    trip_id: Mapped[UUID]
    share_id: Mapped[UUID | None]
    visit_id: Mapped[UUID | None]
    method: Mapped[str] = mapped_column(Text)
    fetch_mode: Mapped[str | None] = mapped_column(Text)
    fetch_destination: Mapped[str | None] = mapped_column(Text)
    purpose: Mapped[str | None] = mapped_column(Text)
    agent_class: Mapped[str] = mapped_column(Text)
    agent_family: Mapped[str] = mapped_column(Text)
    address_truncated: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)


class VisitSaltRow(Base):
    """The day's salt of anonymous visitor keys. Destroyed after two days, and with it the way back."""

    __tablename__ = "visit_salt"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary)


class JoinAttributionRow(Base):
    """How one member came into one trip. Written once."""

    __tablename__ = "join_attribution"
    __table_args__ = (_key("join_attribution", "share_id", "share"), Index(None, "merchant_id", "share_id"))

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    trip_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    share_id: Mapped[UUID | None]
    visit_id: Mapped[UUID | None]
    is_start: Mapped[bool]
    joined_at: Mapped[datetime]


class BookingAttributionRow(Base):
    """Who brought one booking. Decided once, with the rule and what it saw."""

    __tablename__ = "booking_attribution"
    __table_args__ = (_key("booking_attribution", "share_id", "share"), Index(None, "merchant_id", "share_id"))

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    booking_id: Mapped[UUID] = mapped_column(primary_key=True)
    trip_id: Mapped[UUID]
    share_id: Mapped[UUID | None]
    rule: Mapped[str] = mapped_column(Text)
    rule_version: Mapped[str] = mapped_column(Text)
    inputs: Mapped[dict[str, Any]]
    decided_at: Mapped[datetime]
