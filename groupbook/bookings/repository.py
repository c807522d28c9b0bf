"""Every query and lock of the room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from groupbook.bookings.domain import (
    ENDED,
    BookingEvent,
    BookingNotFound,
    BookingState,
    PayRequestNotFound,
    Step,
    TicketView,
)
from groupbook.bookings.models import BookingRow, BookingStepRow, PayRequestRow, TicketRow
from groupbook.kit.database import merchant_of
from groupbook.kit.ids import MemberId, new_id
from groupbook.offers.domain import Seat, Ticket

_RESTING = [state.value for state in (*ENDED, BookingState.PARKED, BookingState.BOOKED)]


def lock(session: Session, booking_id: UUID) -> BookingRow:
    """The booking, locked: the first lock of the order booking, trip, hold, portions.

    Raises:
        BookingNotFound
    """
    row = session.scalar(
        select(BookingRow)
        .where(BookingRow.id == booking_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise BookingNotFound()
    return row


def read(session: Session, booking_id: UUID) -> BookingRow:
    """Raises BookingNotFound."""
    row = session.scalar(select(BookingRow).where(BookingRow.id == booking_id))
    if row is None:
        raise BookingNotFound()
    return row


def find(session: Session, booking_id: UUID) -> BookingRow | None:
    return session.scalar(select(BookingRow).where(BookingRow.id == booking_id))


def latest_of_trip(session: Session, trip_id: UUID) -> BookingRow | None:
    query = select(BookingRow).where(BookingRow.trip_id == trip_id).order_by(BookingRow.id.desc()).limit(1)
    return session.scalar(query)


def page(session: Session, *, after: UUID | None, limit: int) -> list[BookingRow]:
    """Newest first."""
    query = select(BookingRow).order_by(BookingRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(BookingRow.id < after)
    return list(session.scalars(query))


def moving(session: Session, *, limit: int) -> list[UUID]:
    """Bookings that still owe somebody an end, oldest first."""
    query = select(BookingRow.id).where(BookingRow.state.not_in(_RESTING)).order_by(BookingRow.id).limit(limit)
    return list(session.scalars(query))


def in_state(session: Session, state: BookingState) -> list[BookingRow]:
    return list(session.scalars(select(BookingRow).where(BookingRow.state == state.value).order_by(BookingRow.id)))


def add_step(session: Session, row: BookingRow, event: BookingEvent | str, target: BookingState, at: datetime) -> None:
    """Append to the timeline; the booking is locked, so the number is free."""
    last = session.scalar(select(func.max(BookingStepRow.n)).where(BookingStepRow.booking_id == row.id))
    session.add(
        BookingStepRow(
            merchant_id=merchant_of(session),
            booking_id=row.id,
            n=(last or 0) + 1,
            from_state=row.state if last else None,
            event=str(event),
            to_state=target.value,
            at=at,
        )
    )


def timeline(session: Session, booking_id: UUID) -> list[Step]:
    query = select(BookingStepRow).where(BookingStepRow.booking_id == booking_id).order_by(BookingStepRow.n)
    return [
        Step(
            row.n,
            BookingState(row.from_state) if row.from_state else None,
            row.event,
            BookingState(row.to_state),
            row.at,
        )
        for row in session.scalars(query)
    ]


def add_tickets(
    session: Session,
    booking_id: UUID,
    tickets: Sequence[Ticket],
    seats: Sequence[Seat],
    names: dict[UUID, str],
    at: datetime,
) -> None:
    session.add_all(
        TicketRow(
            merchant_id=merchant_of(session),
            id=new_id(),
            booking_id=booking_id,
            member_id=ticket.member_id,
            name=names.get(ticket.member_id, ""),
            number=ticket.number,
            code=ticket.code,
            seats=[
                {"leg": seat.leg, "coach": seat.coach, "place": seat.place}
                for seat in seats
                if seat.member_id == ticket.member_id
            ],
            issued_at=at,
        )
        for ticket in tickets
    )
    session.flush()


def tickets(session: Session, booking_id: UUID) -> list[TicketView]:
    """Valid tickets; canceled ones are kept in the table and not shown."""
    query = (
        select(TicketRow)
        .where(TicketRow.booking_id == booking_id, TicketRow.canceled_at.is_(None))
        .order_by(TicketRow.id)
    )
    return [
        TicketView(
            member_id=MemberId(row.member_id),
            name=row.name,
            number=row.number,
            code=row.code,
            seats=tuple(Seat(row.member_id, seat["leg"], seat["coach"], seat["place"]) for seat in row.seats),
        )
        for row in session.scalars(query)
    ]


def cancel_tickets(session: Session, booking_id: UUID, at: datetime) -> None:
    for row in session.scalars(select(TicketRow).where(TicketRow.booking_id == booking_id)):
        row.canceled_at = row.canceled_at or at


def forget_names(session: Session, member_ids: Sequence[UUID]) -> None:
    """Erasure: the ticket stays a ticket, without a name."""
    for row in session.scalars(select(TicketRow).where(TicketRow.member_id.in_(member_ids))):
        row.name = ""


def open_requests(session: Session, booking_id: UUID) -> list[PayRequestRow]:
    query = (
        select(PayRequestRow)
        .where(PayRequestRow.booking_id == booking_id, PayRequestRow.state == "asked")
        .order_by(PayRequestRow.id)
    )
    return list(session.scalars(query))


def find_request(session: Session, request_id: UUID) -> PayRequestRow:
    """As it is now; the lock that guards it is its booking's. Raises PayRequestNotFound."""
    query = select(PayRequestRow).where(PayRequestRow.id == request_id).execution_options(populate_existing=True)
    row = session.scalar(query)
    if row is None:
        raise PayRequestNotFound()
    return row


def add_request(session: Session, **values: Any) -> PayRequestRow:
    row = PayRequestRow(merchant_id=merchant_of(session), id=new_id(), state="asked", answered_at=None, **values)
    session.add(row)
    session.flush()
    return row
