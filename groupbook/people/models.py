"""The tables of this room. Tokens, states and codes are SHA-256 digests; see `0003_people` for the policies."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow


class PersonRow(TenantRow, Base):
    __tablename__ = "person"

    display_name: Mapped[str]
    avatar_url: Mapped[str | None]
    locale: Mapped[str | None]
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
    network: Mapped[str]
    app_id: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str | None]
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
    name: Mapped[str]
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

    kind: Mapped[str]
    token_hash: Mapped[bytes]
    person_id: Mapped[UUID | None]
    guest_id: Mapped[UUID | None]
    embed_origin: Mapped[str | None]
    instance: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class LoginStateRow(TenantRow, Base):
    __tablename__ = "login_state"
    __table_args__ = (Index(None, "state_hash"),)

    state_hash: Mapped[bytes]
    browser_hash: Mapped[bytes]
    network: Mapped[str]
    nonce: Mapped[str]
    verifier: Mapped[str]
    redirect_uri: Mapped[str]
    return_to: Mapped[str]
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

    embed_origin: Mapped[str]
    instance: Mapped[str]
    challenge: Mapped[str]
    state: Mapped[str]
    person_id: Mapped[UUID | None]
    code_hash: Mapped[bytes | None]
    match_hash: Mapped[bytes | None]
    code_expires_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class LaunchUseRow(TenantRow, Base):
    __tablename__ = "launch_use"
    __table_args__ = (UniqueConstraint("merchant_id", "network", "signature_hash"),)

    network: Mapped[str]
    signature_hash: Mapped[bytes]
    used_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ConsentRow(TenantRow, Base):
    __tablename__ = "consent"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "person_id"], ["person.merchant_id", "person.id"]),
        Index("uq_consent_standing", "merchant_id", "person_id", "purpose", "detail", unique=True,
              postgresql_where="withdrawn_at IS NULL"),
    )

    person_id: Mapped[UUID]
    purpose: Mapped[str]
    detail: Mapped[str]
    granted_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
