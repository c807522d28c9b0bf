"""The tables of notices. No sentence is stored: codes, ids, states; of people only the address they gave themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow
from groupbook.kit.leases import LeasedRow


class NoticeRow(LeasedRow, Base):
    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("merchant_id", "fact_id", "member_id"),
        CheckConstraint("state IN ('pending', 'sent', 'shown', 'failed', 'replaced')", name="state"),
        Index("ix_notice_due", "merchant_id", "due_at", postgresql_where=text("state = 'pending'")),
        Index("ix_notice_member_id", "merchant_id", "member_id"),
        Index("ix_notice_trip_id", "merchant_id", "trip_id"),
    )

    fact_id: Mapped[UUID]
    trip_id: Mapped[UUID]
    member_id: Mapped[UUID]
    code: Mapped[str] = mapped_column(Text)
    params: Mapped[dict[str, Any]]
    channel: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]


class ReachRow(TenantRow, Base):
    """How one member wants to be reached: an address of their own, their language, their clock."""

    __tablename__ = "reach"
    __table_args__ = (UniqueConstraint("merchant_id", "member_id"),)

    member_id: Mapped[UUID]
    trip_id: Mapped[UUID]
    email: Mapped[str | None] = mapped_column(Text)
    confirmed_at: Mapped[datetime | None]
    locale: Mapped[str | None] = mapped_column(Text)
    timezone: Mapped[str | None] = mapped_column(Text)
    given_at: Mapped[datetime]


class AddressTryRow(TenantRow, Base):
    """A member asked for a letter to an address; kept for two days, so that nobody is flooded. A mark, no address."""

    __tablename__ = "address_try"
    __table_args__ = (Index("ix_address_try_tried_at", "merchant_id", "tried_at"),)

    member_id: Mapped[UUID]
    trip_id: Mapped[UUID | None]  # absent in what was tried before trips were counted
    address_mark: Mapped[bytes] = mapped_column(LargeBinary)
    tried_at: Mapped[datetime]


class SeatLinkRow(TenantRow, Base):
    """A link that opens a guest's seat on another device, once; sent to the address with this mark and nowhere else."""

    __tablename__ = "seat_link"
    __table_args__ = (Index("ix_seat_link_member_id", "merchant_id", "member_id"),)

    member_id: Mapped[UUID]
    address_mark: Mapped[bytes] = mapped_column(LargeBinary)
    asked_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class OptOutRow(TenantRow, Base):
    """What somebody does not want at one address, and whether the address exists. Known by its mark only."""

    __tablename__ = "opt_out"
    __table_args__ = (UniqueConstraint("merchant_id", "channel", "address_mark"),)

    channel: Mapped[str] = mapped_column(Text)
    address_mark: Mapped[bytes] = mapped_column(LargeBinary)
    reminders_at: Mapped[datetime | None]
    all_at: Mapped[datetime | None]
    refused_at: Mapped[datetime | None]  # the address does not exist: nothing more goes there


class ReminderSettingsRow(Base):
    """One merchant's own settings for reminders; what is not named stays with the house."""

    __tablename__ = "reminder_settings"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    settings: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime]
