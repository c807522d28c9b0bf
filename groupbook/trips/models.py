"""The tables of trips. Every one is a tenant's; the live log is append-only."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Date,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow


def _key(table: str, column: str, target: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["merchant_id", column], [f"{target}.merchant_id", f"{target}.id"], name=f"fk_{table}_{column}_{target}"
    )


class TripRow(TenantRow, Base):
    """`event_seq` is the last sequence of the live log; the row's lock is the trip's one lock."""

    __tablename__ = "trip"
    __table_args__ = (
        _key("trip", "occasion_id", "occasion"),
        CheckConstraint("state IN ('open', 'locked', 'decided', 'booking', 'booked', 'canceled')", name="state"),
        CheckConstraint("visibility IN ('secret', 'link', 'friends', 'public')", name="visibility"),
        Index("ix_trip_id", "id"),  # found by id before the merchant is known
        Index(
            "ix_trip_deadline_at",
            "merchant_id",
            "deadline_at",
            postgresql_where=text("state = 'open' AND deadline_at IS NOT NULL"),
        ),
    )
    title: Mapped[str] = mapped_column(Text)
    occasion_id: Mapped[UUID | None]
    starts_on: Mapped[date | None] = mapped_column(Date)
    ends_on: Mapped[date | None] = mapped_column(Date)
    state: Mapped[str] = mapped_column(Text)
    rule: Mapped[str] = mapped_column(Text)
    quorum: Mapped[int | None]
    deadline_at: Mapped[datetime | None]
    visibility: Mapped[str] = mapped_column(Text)
    members_shown: Mapped[str] = mapped_column(Text)
    votes_shown: Mapped[str] = mapped_column(Text)
    organizer_id: Mapped[UUID]
    round: Mapped[int]
    version: Mapped[int]
    event_seq: Mapped[int]
    decided_option_id: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]
    decided_from: Mapped[str | None] = mapped_column(Text)
    decided_reason: Mapped[str | None] = mapped_column(Text)
    booking_id: Mapped[UUID | None]
    frozen_by: Mapped[UUID | None]
    created_at: Mapped[datetime]


class MemberRow(TenantRow, Base):
    """Somebody in one trip: a person or a guest, never both."""

    __tablename__ = "member"
    __table_args__ = (
        _key("member", "trip_id", "trip"),
        _key("member", "person_id", "person"),
        _key("member", "guest_id", "guest"),
        UniqueConstraint("merchant_id", "trip_id", "person_id"),
        UniqueConstraint("merchant_id", "trip_id", "guest_id"),
        CheckConstraint("(person_id IS NULL) <> (guest_id IS NULL)", name="one_subject"),
        CheckConstraint("role IN ('organizer', 'member', 'viewer')", name="role"),
        Index("ix_member_person_id", "merchant_id", "person_id"),
        Index("ix_member_guest_id", "merchant_id", "guest_id"),
    )
    trip_id: Mapped[UUID]
    person_id: Mapped[UUID | None]
    guest_id: Mapped[UUID | None]
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    is_going: Mapped[bool]
    joined_via: Mapped[str] = mapped_column(Text)
    joined_at: Mapped[datetime]
    left_at: Mapped[datetime | None]


class TripOptionRow(TenantRow, Base):
    """Something to vote on: an offer, or a date or place in words."""

    __tablename__ = "trip_option"
    __table_args__ = (
        _key("trip_option", "trip_id", "trip"),
        _key("trip_option", "offer_id", "offer"),
        UniqueConstraint("merchant_id", "trip_id", "position"),
        CheckConstraint("kind IN ('offer', 'date', 'place')", name="kind"),
        CheckConstraint("(kind = 'offer') = (offer_id IS NOT NULL)", name="offer_of_kind"),
    )
    trip_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    position: Mapped[int]
    offer_id: Mapped[UUID | None]
    starts_at: Mapped[datetime | None]
    snapshot: Mapped[dict[str, Any]]
    added_by: Mapped[UUID | None]
    added_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class VoteRow(Base):
    """The last word of one member on one option; an older `round` is a suggestion and does not count."""

    __tablename__ = "vote"
    __table_args__ = (
        PrimaryKeyConstraint("merchant_id", "option_id", "member_id", name="pk_vote"),
        _key("vote", "option_id", "trip_option"),
        _key("vote", "member_id", "member"),
        _key("vote", "trip_id", "trip"),
        CheckConstraint("choice IN ('yes', 'if_need_be', 'no')", name="choice"),
        Index("ix_vote_trip_id", "merchant_id", "trip_id"),
    )
    merchant_id: Mapped[UUID]
    option_id: Mapped[UUID]
    member_id: Mapped[UUID]
    trip_id: Mapped[UUID]
    choice: Mapped[str] = mapped_column(Text)
    round: Mapped[int]
    cast_at: Mapped[datetime]


class InviteRow(TenantRow, Base):
    """A way in. The token is found by its digest and shown again from its seal."""

    __tablename__ = "invite"
    __table_args__ = (
        _key("invite", "trip_id", "trip"),
        UniqueConstraint("token_sha256"),
        Index("ix_invite_trip_id", "merchant_id", "trip_id"),
    )
    trip_id: Mapped[UUID]
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_token: Mapped[bytes] = mapped_column(LargeBinary)
    for_name: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[UUID | None]
    used_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class CommentRow(TenantRow, Base):
    __tablename__ = "comment"
    __table_args__ = (
        _key("comment", "trip_id", "trip"),
        _key("comment", "member_id", "member"),
        Index("ix_comment_trip_id", "merchant_id", "trip_id", "id"),
    )
    trip_id: Mapped[UUID]
    member_id: Mapped[UUID]
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class TripEventRow(Base):
    """The live log: `seq` has no gap within a trip. No foreign key to its subjects, so that it outlives them."""

    __tablename__ = "trip_event"
    __table_args__ = (
        PrimaryKeyConstraint("merchant_id", "trip_id", "seq", name="pk_trip_event"),
        _key("trip_event", "trip_id", "trip"),
    )
    merchant_id: Mapped[UUID]
    trip_id: Mapped[UUID]
    seq: Mapped[int]
    type: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, Any]]
    actor_id: Mapped[UUID | None]
    at: Mapped[datetime]
