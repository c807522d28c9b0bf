"""The tables of merchants. Every one is a tenant's; `merchant` itself has `id = merchant_id`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, LargeBinary, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow, currency_column


class MerchantRow(TenantRow, Base):
    __tablename__ = "merchant"
    __table_args__ = (
        UniqueConstraint("slug", "livemode"),
        CheckConstraint("id = merchant_id", name="is_its_own_tenant"),
    )
    slug: Mapped[str] = mapped_column(Text)
    livemode: Mapped[bool]
    name: Mapped[str] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text)
    timezone: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = currency_column()
    adapter: Mapped[str] = mapped_column(Text)
    capabilities: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class ApiKeyRow(TenantRow, Base):
    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("secret_sha256"),)
    name: Mapped[str] = mapped_column(Text)
    livemode: Mapped[bool]
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_secret: Mapped[bytes | None] = mapped_column(LargeBinary)  # test keys only: the dashboard shows them again
    hint: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class EmbedOriginRow(TenantRow, Base):
    __tablename__ = "embed_origin"
    __table_args__ = (UniqueConstraint("merchant_id", "origin"),)
    origin: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class StaffRow(TenantRow, Base):
    __tablename__ = "staff"
    __table_args__ = (UniqueConstraint("merchant_id", "email"),)
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    failed_logins: Mapped[int]
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class StaffSessionRow(TenantRow, Base):
    __tablename__ = "staff_session"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "staff_id"], ["staff.merchant_id", "staff.id"], ondelete="CASCADE"),
        UniqueConstraint("token_sha256"),
    )
    staff_id: Mapped[UUID]
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ConnectionRow(TenantRow, Base):
    __tablename__ = "merchant_connection"
    __table_args__ = (UniqueConstraint("merchant_id", "kind"),)
    kind: Mapped[str] = mapped_column(Text)
    adapter: Mapped[str] = mapped_column(Text)
    sealed_configuration: Mapped[bytes] = mapped_column(LargeBinary)
    updated_at: Mapped[datetime]


class MerchantDetailsRow(Base):
    """How the merchant signs its receipts."""

    __tablename__ = "merchant_details"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    details: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime]
