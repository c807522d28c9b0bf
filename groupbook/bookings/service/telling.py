"""What others hear of a booking's step: the rooms above, the group's screens, the operator."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.orm import Session

from groupbook import trips
from groupbook.bookings import repository
from groupbook.bookings.domain import BookingState
from groupbook.bookings.machine import BookingEvent
from groupbook.bookings.models import BookingRow
from groupbook.kit import facts
from groupbook.kit.ids import TripId

log = structlog.get_logger(__name__)

# Upper rooms listen to the facts; the browsers of the group to the event of the same name.
_FACTS: Final = {
    BookingEvent.HOLD_PLACED.value: "booking.opened",
    BookingEvent.ALL_CAPTURED.value: "booking.confirmed",
    BookingEvent.HOLD_REFUSED.value: "booking.aborted",
    BookingEvent.ALL_VOIDED.value: "booking.aborted",
    BookingEvent.AMENDMENT_DONE.value: "booking.amended",
    BookingEvent.ALL_REFUNDED.value: "booking.canceled",
}


def announce(session: Session, row: BookingRow, cause: str, now: datetime) -> None:
    """The fact for the rooms above, the event for the group's screens."""
    tell(session, row, _FACTS.get(cause), now)


def park(session: Session, row: BookingRow, cause: str, now: datetime) -> None:
    """Take a booking out of motion, loudly; `resume_booking` puts it back where it was."""
    repository.add_step(session, row, cause, BookingState.PARKED, now)
    row.resume_state = row.state
    row.state = BookingState.PARKED.value
    row.reason = row.reason or cause
    row.version += 1
    row.budget_at = None
    session.flush()
    log.error("booking_parked", booking_id=str(row.id), cause=cause, resume_state=row.resume_state)
    tell(session, row, "booking.parked", now)


def tell(session: Session, row: BookingRow, name: str | None, now: datetime) -> None:
    """`name` is the fact, if it is one for other rooms; the screens hear in any case that something moved."""
    if name is not None:
        facts.record(session, name, subject=row.id, payload=fact_payload(row))
    payload = {"booking_id": f"bkg_{row.id.hex}", "state": row.state}
    trips.append_event(session, TripId(row.trip_id), name or "booking.moved", payload, now=now)


def fact_payload(row: BookingRow) -> dict[str, object]:
    """What upper rooms may need to know without asking; ids and figures, nothing personal."""
    return {
        "trip_id": row.trip_id.hex,
        "booking_id": row.id.hex,
        "state": row.state,
        "reason": row.reason,
        "amount": row.total,
        "currency": row.currency,
    }
