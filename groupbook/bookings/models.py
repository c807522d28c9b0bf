"""Tables of the room: the booking, its timeline, its tickets, its changes, who asked whom to pay, and the policy."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
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
            "look_at",
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
    authorize_at: Mapped[datetime | None]  # saved cards are authorized from then on; None once that was asked for
    shrunk_at: Mapped[datetime | None]
    extended_at: Mapped[datetime | None]
    look_at: Mapped[datetime | None]  # the sweep looks at it from then on; None: at once
    has_parts: Mapped[bool] = mapped_column(default=False)  # somebody gave, shared or left: the tables below know


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
    by: Mapped[str | None] = mapped_column(Text)  # an operator's act: who made it, and why
    why: Mapped[str | None] = mapped_column(Text)
    about: Mapped[UUID | None]
    # Real time beside the merchant's, whose clock may travel: the order among calls and facts.
    recorded_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


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


class ContributionRow(TenantRow, Base):
    """What somebody gives towards one friend's portion, or (`for_member_id` null) everybody's: a portion whose traveler
    has this id. `reserve` is for lost discounts only. Ended ones are in no sum any more.
    """

    __tablename__ = "contribution"
    __table_args__ = (
        _to_booking(),
        CheckConstraint("amount >= 0 AND reserve >= 0", name="amount"),
        Index("ix_contribution_booking_id", "merchant_id", "booking_id"),
    )

    booking_id: Mapped[UUID]
    by_member_id: Mapped[UUID]
    for_member_id: Mapped[UUID | None]
    amount: Mapped[int]
    reserve: Mapped[int]
    given_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    sponsor_link_id: Mapped[UUID | None]
    nonce_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)


class SponsorLinkRow(TenantRow, Base):
    """The organizer asks people who do not travel for `wanted` in all, by one link."""

    __tablename__ = "sponsor_link"
    __table_args__ = (
        _to_booking(),
        CheckConstraint("wanted > 0", name="wanted"),
        Index("uq_sponsor_link_token_sha256", "token_sha256", unique=True),
        Index(
            "uq_sponsor_link_open",
            "merchant_id",
            "booking_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    booking_id: Mapped[UUID]
    wanted: Mapped[int]
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_token: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class DepartureRow(TenantRow, Base):
    """Who left while the booking collected, and the most they bear of what the others lose by it."""

    __tablename__ = "departure"
    __table_args__ = (
        _to_booking(),
        CheckConstraint("most >= 0", name="most"),
        Index("ix_departure_booking_id", "merchant_id", "booking_id"),
    )

    booking_id: Mapped[UUID]
    member_id: Mapped[UUID]
    most: Mapped[int]
    left_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class WaitingRow(TenantRow, Base):
    """Somebody who waits for a place in the trip's party; in the order of ids, first come first."""

    __tablename__ = "waiting"
    __table_args__ = (
        ForeignKeyConstraint(["merchant_id", "trip_id"], ["trip.merchant_id", "trip.id"]),
        Index(
            "uq_waiting_open",
            "merchant_id",
            "trip_id",
            "member_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    trip_id: Mapped[UUID]
    member_id: Mapped[UUID]
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class HandoverRow(TenantRow, Base):
    """A place in the party that its member hands over: by a link for one person, once, until `expires_at`.

    `for_member_id`: whom the waiting list offers it to; None for a link that its member gives to a friend.
    """

    __tablename__ = "handover"
    __table_args__ = (
        _to_booking(),
        Index("uq_handover_token_sha256", "token_sha256", unique=True),
        Index(
            "uq_handover_open",
            "merchant_id",
            "booking_id",
            "member_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_handover_offered",
            "merchant_id",
            "expires_at",
            postgresql_where=text("ended_at IS NULL AND for_member_id IS NOT NULL"),
        ),
    )

    booking_id: Mapped[UUID]
    member_id: Mapped[UUID]
    for_member_id: Mapped[UUID | None]
    for_name: Mapped[str] = mapped_column(Text)
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_token: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    taken_by: Mapped[UUID | None]
    nonce_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    ended_at: Mapped[datetime | None]


class SplitRow(TenantRow, Base):
    """Members who pay their sum by `parts` (hex id -> parts), once every one of them has `agreed` to `sum_agreed`."""

    __tablename__ = "split"
    __table_args__ = (
        _to_booking(),
        CheckConstraint("state IN ('asked', 'agreed', 'refused', 'lapsed')", name="state"),
        Index("ix_split_booking_id", "merchant_id", "booking_id"),
    )

    booking_id: Mapped[UUID]
    by_member_id: Mapped[UUID]
    parts: Mapped[dict[str, Any]]
    agreed: Mapped[list[Any]]
    sum_agreed: Mapped[int]
    state: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class AmendmentRow(TenantRow, Base):
    """One change of one booked member. `portion_id` is what the change is paid with, if anything.

    `total_max`: the most the order may cost afterwards, where whoever asked was told; `returned`: what went back by it,
    by portion (hex id -> minor units), once it is done.
    """

    __tablename__ = "amendment"
    __table_args__ = (
        _to_booking(),
        CheckConstraint("kind IN ('cancel', 'replace', 'surcharge')", name="kind"),
        CheckConstraint("amount >= 0", name="amount"),
        Index(
            "uq_amendment_open",
            "merchant_id",
            "booking_id",
            unique=True,
            postgresql_where=text("stage NOT IN ('done', 'refused')"),
        ),
        Index("ix_amendment_booking_id", "merchant_id", "booking_id"),
    )

    booking_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(Text)
    member_id: Mapped[UUID]
    by_member_id: Mapped[UUID | None]
    amount: Mapped[int]
    total_max: Mapped[int | None]
    returned: Mapped[dict[str, Any] | None]
    stage: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    portion_id: Mapped[UUID | None]
    asked_at: Mapped[datetime]
    pay_by: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class SettlementPolicyRow(Base):
    """One merchant's own settlement settings; what is not named stays with the house."""

    __tablename__ = "settlement_policy"

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    settings: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime]
