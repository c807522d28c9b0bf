"""The tables of this room. Tokens, states and codes are SHA-256 digests; see `0003_people` for the policies."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow


class PersonRow(TenantRow, Base):
    __tablename__ = "person"

    display_name: Mapped[str] = mapped_column(Text)
    avatar_url: Mapped[str | None] = mapped_column(Text)
    locale: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]


class SocialAccountRow(TenantRow, Base):
    __tablename__ = "social_account"
    __table_args__ = (
        UniqueConstraint("merchant_id", "network", "app_id", "subject"),
        ForeignKeyConstraint(["merchant_id", "person_id"], ["person.merchant_id", "person.id"]),
        Index(None, "merchant_id", "person_id"),
    )

    person_id: Mapped[UUID]
    network: Mapped[str] = mapped_column(Text)
    app_id: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    email_verified: Mapped[bool]
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime]


class GuestRow(TenantRow, Base):
    __tablename__ = "guest"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "person_id"], ["person.merchant_id", "person.id"]),
        Index(None, "merchant_id", "trip_ref"),
        Index(None, "merchant_id", "person_id"),
    )

    trip_ref: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    person_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    adopted_at: Mapped[datetime | None]


class SessionRow(TenantRow, Base):
    __tablename__ = "session"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "person_id"], ["person.merchant_id", "person.id"]),
        ForeignKeyConstraint(["merchant_id", "guest_id"], ["guest.merchant_id", "guest.id"]),
        CheckConstraint("num_nonnulls(person_id, guest_id) = 1", name="one_subject"),
        CheckConstraint("kind IN ('cookie', 'bearer', 'guest')", name="kind"),
        Index(None, "token_hash"),
        Index(None, "merchant_id", "person_id"),
        Index(None, "merchant_id", "guest_id"),
    )

    kind: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    person_id: Mapped[UUID | None]
    guest_id: Mapped[UUID | None]
    embed_origin: Mapped[str | None] = mapped_column(Text)
    instance: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class LoginStateRow(TenantRow, Base):
    __tablename__ = "login_state"
    __table_args__ = (Index(None, "state_hash"),)

    state_hash: Mapped[bytes] = mapped_column(LargeBinary)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary)
    network: Mapped[str] = mapped_column(Text)
    nonce: Mapped[str] = mapped_column(Text)
    verifier: Mapped[str] = mapped_column(Text)
    redirect_uri: Mapped[str] = mapped_column(Text)
    return_to: Mapped[str] = mapped_column(Text)
    handoff_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class HandoffRow(TenantRow, Base):
    __tablename__ = "handoff"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "person_id"], ["person.merchant_id", "person.id"]),
        CheckConstraint("state IN ('open', 'approved', 'redeemed', 'denied', 'spent')", name="state"),
        Index(None, "id"),
    )

    embed_origin: Mapped[str] = mapped_column(Text)
    instance: Mapped[str] = mapped_column(Text)
    challenge: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    person_id: Mapped[UUID | None]
    code_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    match_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    code_expires_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class LaunchUseRow(TenantRow, Base):
    __tablename__ = "launch_use"
    __table_args__ = (UniqueConstraint("merchant_id", "network", "signature_hash"),)

    network: Mapped[str] = mapped_column(Text)
    signature_hash: Mapped[bytes] = mapped_column(LargeBinary)
    used_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ConsentRow(TenantRow, Base):
    __tablename__ = "consent"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "person_id"], ["person.merchant_id", "person.id"]),
        Index(
            "uq_consent_standing",
            "merchant_id",
            "person_id",
            "purpose",
            "detail",
            unique=True,
            postgresql_where=text("withdrawn_at IS NULL"),
        ),
    )

    person_id: Mapped[UUID]
    purpose: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text)
    granted_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
