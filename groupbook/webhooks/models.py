"""The tables of outgoing webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow
from groupbook.kit.leases import LeasedRow


class EndpointRow(TenantRow, Base):
    __tablename__ = "webhook_endpoint"

    url: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    detail: Mapped[str] = mapped_column(Text)
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_until: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]


class EventRow(TenantRow, Base):
    """The API's event. `fact_id` makes hearing a fact twice one event."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("merchant_id", "fact_id"),
        Index("ix_event_created_at", "merchant_id", "created_at"),
        Index("ix_event_object_id", "merchant_id", "object_id"),
    )

    type: Mapped[str] = mapped_column(Text)
    object_id: Mapped[UUID]
    livemode: Mapped[bool]
    data: Mapped[dict[str, Any]]
    fact_id: Mapped[UUID]
    created_at: Mapped[datetime]


class DeliveryRow(LeasedRow, Base):
    __tablename__ = "webhook_delivery"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "event_id"], ["event.merchant_id", "event.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["merchant_id", "endpoint_id"],
            ["webhook_endpoint.merchant_id", "webhook_endpoint.id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("merchant_id", "event_id", "endpoint_id", "round"),
        CheckConstraint("state IN ('pending', 'delivered', 'failed', 'dropped')", name="state"),
        Index("ix_webhook_delivery_due", "merchant_id", "due_at", postgresql_where=text("state = 'pending'")),
        Index("ix_webhook_delivery_endpoint_id", "merchant_id", "endpoint_id"),
    )

    event_id: Mapped[UUID]
    endpoint_id: Mapped[UUID]
    round: Mapped[int]
    attempts: Mapped[int]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]


class DeliveryAttemptRow(TenantRow, Base):
    __tablename__ = "webhook_attempt"
    __table_args__ = (
        ForeignKeyConstraint(
            ["merchant_id", "delivery_id"],
            ["webhook_delivery.merchant_id", "webhook_delivery.id"],
            ondelete="CASCADE",
        ),
        Index("ix_webhook_attempt_delivery_id", "merchant_id", "delivery_id"),
    )

    delivery_id: Mapped[UUID]
    number: Mapped[int]
    at: Mapped[datetime]
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    duration_milliseconds: Mapped[int]
    excerpt: Mapped[str] = mapped_column(Text)
