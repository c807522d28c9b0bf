"""The kit's own tables: what happened here, what we owe the outside, what the outside told us."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow


class MerchantClockRow(Base):
    """How far a test merchant's clock runs ahead of the database's."""

    __tablename__ = "merchant_clock"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    offset_seconds: Mapped[int]


class FactRow(TenantRow, Base):
    """Something that happened here, written by the transaction in which it happened."""

    __tablename__ = "fact"
    __table_args__ = (
        Index("ix_fact_due", "merchant_id", "due_at", postgresql_where=text("delivered_at IS NULL")),
        Index("ix_fact_batch", "merchant_id", "batch", postgresql_where=text("delivered_at IS NULL")),
        Index("ix_fact_subject", "merchant_id", "subject"),
    )

    name: Mapped[str] = mapped_column(Text)
    subject: Mapped[UUID]
    # The first fact of the same transaction: they are told together.
    batch: Mapped[UUID | None]
    payload: Mapped[dict[str, Any]]
    recorded_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    due_at: Mapped[datetime]


class FactDeliveryRow(Base):
    """One listener has seen one fact; written in the listener's own transaction, so twice equals once."""

    __tablename__ = "fact_delivery"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    fact_id: Mapped[UUID] = mapped_column(primary_key=True)
    listener: Mapped[str] = mapped_column(Text, primary_key=True)
    delivered_at: Mapped[datetime]


class IntentRow(TenantRow, Base):
    """An outside call we owe. The row is the truth; the message that woke the worker is not."""

    __tablename__ = "intent"
    __table_args__ = (
        UniqueConstraint("merchant_id", "kind", "once"),
        CheckConstraint("state IN ('due', 'calling', 'unknown', 'done', 'refused', 'parked')", name="state"),
        Index(
            "ix_intent_due", "merchant_id", "due_at", postgresql_where=text("state IN ('due', 'calling', 'unknown')")
        ),
        Index("ix_intent_subject", "merchant_id", "subject"),
        Index("ix_intent_parked", "merchant_id", "id", postgresql_where=text("state = 'parked'")),
    )

    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[UUID]
    # What it belongs to (a booking): calls of one kind and reference are claimed, made and recorded together.
    reference: Mapped[UUID | None]
    # The lower, the earlier in line where calls must wait for their turn.
    rank: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    once: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    fence: Mapped[int] = mapped_column(default=0, server_default="0")
    owed_at: Mapped[datetime]
    due_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    called_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)


class PaceRow(Base):
    """When the next request may go to one endpoint of a merchant's provider account; `*` is the account itself."""

    __tablename__ = "provider_pace"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    endpoint: Mapped[str] = mapped_column(Text, primary_key=True)
    next_at: Mapped[datetime]
    # Of the account only: the turns given in the last second and ahead, as seconds since 1970, in order.
    taken: Mapped[list[Any]]


class InboxRow(TenantRow, Base):
    """A webhook as it came: raw, deduplicated by the sender's own event id."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("merchant_id", "source", "external_id"),
        Index("ix_inbox_due", "merchant_id", "received_at", postgresql_where=text("processed_at IS NULL")),
    )

    source: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    object_ref: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes]
    received_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]


class IdempotencyKeyRow(Base):
    """A caller's key and, once known, the answer it got."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index("ix_idempotency_key_expires_at", "merchant_id", "expires_at"),)

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    method: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    request_hash: Mapped[bytes]
    locked_until: Mapped[datetime | None]
    status: Mapped[int | None]
    body: Mapped[bytes | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
