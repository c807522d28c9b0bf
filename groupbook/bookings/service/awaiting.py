"""Whom an open booking waits for, for whoever reminds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import payments
from groupbook.bookings import repository
from groupbook.bookings.domain import COLLECTING, STOOD, AmendmentStage, BookingState
from groupbook.bookings.models import BookingRow
from groupbook.kit.ids import BookingId, TripId
from groupbook.kit.money import Money, total
from groupbook.payments.domain import PortionState, PortionView


@dataclass(frozen=True, slots=True)
class Awaited:
    """A booking that waits for somebody. `owed` per payer: what they were asked for and have not authorized.

    `since` per payer, when they were asked first for any of it; `deadline_at` is when it is too late. `done` of `count`
    portions are in.
    """

    booking_id: BookingId
    trip_id: TripId
    owed: Mapping[UUID, Money]
    since: Mapping[UUID, datetime]
    deadline_at: datetime
    done: int
    count: int


def awaited(session: Session) -> list[Awaited]:
    """Every booking of this merchant that waits for a payer now. A step; locks nothing."""
    rows = [row for state in COLLECTING for row in repository.in_state(session, state)]
    found = (_awaited(session, row) for row in sorted(rows, key=lambda row: row.id))
    return [one for one in found if one is not None]


def awaited_of(session: Session, booking_id: BookingId) -> Awaited | None:
    """Whom this booking waits for now; None when for nobody. A step; locks nothing.

    Raises:
        BookingNotFound
    """
    return _awaited(session, repository.read(session, booking_id))


def is_standing(session: Session, booking_id: BookingId) -> bool:
    """Whether everybody has paid and has a ticket, and the order is not being taken back. A step.

    Raises:
        BookingNotFound
    """
    return BookingState(repository.read(session, booking_id).state) in STOOD


def _awaited(session: Session, row: BookingRow) -> Awaited | None:
    window = _window(session, row)
    if window is None:
        return None
    portions = [one for one in payments.portions_of(session, row.id) if not one.is_dropped]
    late: dict[UUID, list[PortionView]] = {}
    for one in portions:
        # A card that is kept has done its part for now; a page that is open may have been closed unpaid.
        if one.is_payable and one.state is not PortionState.SAVED:
            late.setdefault(one.payer, []).append(one)
    if not late:
        return None
    return Awaited(
        booking_id=BookingId(row.id),
        trip_id=TripId(row.trip_id),
        owed={payer: total([one.amount for one in owed], row.currency) for payer, owed in late.items()},
        since={payer: max(window[0], min(one.asked_at for one in owed)) for payer, owed in late.items()},
        deadline_at=window[1],
        done=sum(not one.is_payable or one.state is PortionState.SAVED for one in portions),
        count=len(portions),
    )


def _window(session: Session, row: BookingRow) -> tuple[datetime, datetime] | None:
    """From the group being asked to the end of the time for it."""
    since: datetime | None = None
    until: datetime | None = None
    if row.state == BookingState.OPEN.value:
        since, until = row.extended_at or row.opened_at, row.deadline_at
    elif row.state == BookingState.RECOVERING.value:
        steps = repository.timeline(session, BookingId(row.id))
        since = next((step.at for step in reversed(steps) if step.to_state is BookingState.RECOVERING), None)
        until = row.budget_at
    elif row.state == BookingState.AMENDING.value:
        change = repository.open_amendment(session, row.id)
        if change is not None:
            # Once the merchant has changed the order there is no way back: who could not be charged has the budget.
            is_made = change.stage == AmendmentStage.SETTLING.value
            since, until = change.asked_at, row.budget_at if is_made else change.pay_by
    return None if since is None or until is None else (since, until)
