"""Tables of the room bookings: booking, its timeline, tickets, requests to pay for somebody.

Why: the saga's own row, one current booking per trip (a partial unique index keeps that), and what follows from it.
Way back: drops them with their rows; orders and portions of the rooms below stay, without the booking that joined them.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_key, tenant_table

revision = "0008_bookings"
down_revision = "0007_trips"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "booking",
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("offer_id", UUID(), nullable=False),
        sa.Column("quote_id", UUID(), nullable=False),
        sa.Column("hold_id", UUID()),
        sa.Column("order_id", UUID()),
        sa.Column("opened_by", UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("policy", JSONB(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("resume_state", sa.Text()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("opened_at", _INSTANT),
        sa.Column("deadline_at", _INSTANT),
        sa.Column("frozen_at", _INSTANT),
        sa.Column("confirm_by", _INSTANT),
        sa.Column("budget_at", _INSTANT),
        sa.Column("cancel_asked_at", _INSTANT),
        sa.Column("finished_at", _INSTANT),
        sa.CheckConstraint("total >= 0", name="total"),
        tenant_key("booking", "trip_id", "trip"),
        sa.Index(
            "uq_booking_current",
            "merchant_id",
            "trip_id",
            unique=True,
            postgresql_where=sa.text("state NOT IN ('aborted', 'refunded')"),
        ),
        sa.Index("ix_booking_trip_id", "merchant_id", "trip_id"),
        sa.Index(
            "ix_booking_moving",
            "merchant_id",
            "id",
            postgresql_where=sa.text("state NOT IN ('aborted', 'refunded', 'parked', 'booked')"),
        ),
    )
    tenant_table(
        "booking_step",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("from_state", sa.Text()),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "booking_id", "n", name="pk_booking_step"),
        tenant_key("booking_step", "booking_id", "booking"),
        append_only=True,
    )
    tenant_table(
        "ticket",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("seats", JSONB(), nullable=False),
        sa.Column("issued_at", _INSTANT, nullable=False),
        sa.Column("canceled_at", _INSTANT),
        sa.UniqueConstraint(
            "merchant_id", "booking_id", "member_id", name="uq_ticket_merchant_id_booking_id_member_id"
        ),
        tenant_key("ticket", "booking_id", "booking"),
    )
    tenant_table(
        "pay_request",
        sa.Column("booking_id", UUID(), nullable=False),
        sa.Column("portion_id", UUID(), nullable=False),
        sa.Column("asked_by", UUID(), nullable=False),
        sa.Column("asked_of", UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("answered_at", _INSTANT),
        sa.CheckConstraint("state IN ('asked', 'taken', 'withdrawn')", name="state"),
        tenant_key("pay_request", "booking_id", "booking"),
        sa.Index(
            "uq_pay_request_asked",
            "merchant_id",
            "portion_id",
            "asked_of",
            unique=True,
            postgresql_where=sa.text("state = 'asked'"),
        ),
        sa.Index("ix_pay_request_booking_id", "merchant_id", "booking_id"),
    )


def downgrade() -> None:
    drop_tenant_table("pay_request", "ticket", "booking_step", "booking")
