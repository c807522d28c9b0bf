"""Tables of the room: the booking, its timeline, its tickets, and who asked whom to pay."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow, currency_column

_CURRENT = text("state NOT IN ('aborted', 'refunded')")


def _to_booking() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["merchant_id", "booking_id"], ["booking.merchant_id", "booking.id"])


class BookingRow(TenantRow, Base):
    """One merchant order for the party of a trip. `version` rises with every step."""

    __tablename__ = "booking"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "trip_id"], ["trip.merchant_id", "trip.id"]),
        CheckConstraint("total >= 0", name="total"),
        Index("uq_booking_current", "merchant_id", "trip_id", unique=True, postgresql_where=_CURRENT),
        Index("ix_booking_trip_id", "merchant_id", "trip_id"),
        Index(
            "ix_booking_moving",
            "merchant_id",
            "id",
            postgresql_where=text("state NOT IN ('aborted', 'refunded', 'parked', 'booked')"),
        ),
    )

    trip_id: Mapped[UUID]
    offer_id: Mapped[UUID]
    quote_id: Mapped[UUID]
    hold_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    opened_by: Mapped[UUID]
    state: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    total: Mapped[int]
    currency: Mapped[str] = currency_column()
    policy: Mapped[dict[str, Any]]
    reason: Mapped[str | None] = mapped_column(Text)
    resume_state: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    frozen_at: Mapped[datetime | None]
    confirm_by: Mapped[datetime | None]
    budget_at: Mapped[datetime | None]
    cancel_asked_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class BookingStepRow(Base):
    """The timeline: append-only, one row per step of the machine."""

    __tablename__ = "booking_step"
    __table_args__ = (_to_booking(),)

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    booking_id: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    from_state: Mapped[str | None] = mapped_column(Text)
    event: Mapped[str] = mapped_column(Text)
    to_state: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]


class TicketRow(TenantRow, Base):
    """One member's ticket, as the merchant issued it."""

    __tablename__ = "ticket"
    __table_args__ = (
        _to_booking(),
        UniqueConstraint("merchant_id", "booking_id", "member_id"),
    )

    booking_id: Mapped[UUID]
    member_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    number: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    seats: Mapped[list[Any]]
    issued_at: Mapped[datetime]
    canceled_at: Mapped[datetime | None]


class PayRequestRow(TenantRow, Base):
    """Somebody asked somebody to pay their portion."""

    __tablename__ = "pay_request"
    __table_args__ = (
        _to_booking(),
        CheckConstraint("state IN ('asked', 'taken', 'withdrawn')", name="state"),
        Index(
            "uq_pay_request_asked",
            "merchant_id",
            "portion_id",
            "asked_of",
            unique=True,
            postgresql_where=text("state = 'asked'"),
        ),
        Index("ix_pay_request_booking_id", "merchant_id", "booking_id"),
    )

    booking_id: Mapped[UUID]
    portion_id: Mapped[UUID]
    asked_by: Mapped[UUID]
    asked_of: Mapped[UUID]
    state: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
