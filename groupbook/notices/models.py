"""The table of notices. No sentence and no personal data is stored: codes, ids, states."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow


class NoticeRow(TenantRow, Base):
    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("merchant_id", "fact_id", "member_id"),
        CheckConstraint("state IN ('pending', 'sent', 'shown', 'failed', 'replaced')", name="state"),
        Index("ix_notice_due", "merchant_id", "due_at", postgresql_where=text("state = 'pending'")),
        Index("ix_notice_member_id", "merchant_id", "member_id"),
    )

    fact_id: Mapped[UUID]
    trip_id: Mapped[UUID]
    member_id: Mapped[UUID]
    code: Mapped[str] = mapped_column(Text)
    params: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(Text)
    channel: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int]
    due_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
