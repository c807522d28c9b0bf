"""Whom an open booking waits for, for whoever reminds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import payments
from groupbook.bookings import repository
from groupbook.bookings.domain import STOOD, AmendmentStage, BookingState
from groupbook.bookings.repository import Collecting
from groupbook.kit.ids import BookingId, TripId
from groupbook.kit.money import Money, total
from groupbook.payments.domain import PortionState, PortionView

_batch: Final = 500


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


def awaited(session: Session) -> Iterator[list[Awaited]]:
    """Every booking of this merchant that waits for a payer now, some hundreds at a time. A step; locks nothing.

    What is asked for each batch does not grow with it.
    """
    after: UUID | None = None
    while rows := repository.collecting(session, after=after, limit=_batch):
        after = rows[-1].booking.id
        portions = payments.portions_of_each(session, [row.booking.id for row in rows])
        found = (_awaited(row, portions.get(row.booking.id, [])) for row in rows)
        yield [one for one in found if one is not None]
        if len(rows) < _batch:
            return


def awaited_of(session: Session, booking_id: BookingId) -> Awaited | None:
    """Whom this booking waits for now; None when for nobody. A step; locks nothing."""
    row = repository.collecting_one(session, booking_id)
    return None if row is None else _awaited(row, payments.portions_of(session, booking_id))


def is_standing(session: Session, booking_id: BookingId) -> bool:
    """Whether everybody has paid and has a ticket, and the order is not being taken back. A step.

    Raises:
        BookingNotFound
    """
    return BookingState(repository.read(session, booking_id).state) in STOOD


def _awaited(row: Collecting, portions: Sequence[PortionView]) -> Awaited | None:
    booking, window = row.booking, _window(row)
    if window is None:
        return None
    counted = [one for one in portions if not one.is_dropped]
    late: dict[UUID, list[PortionView]] = {}
    for one in counted:
        # A card that is kept has done its part for now; a page that is open may have been closed unpaid.
        if one.is_payable and one.state is not PortionState.SAVED:
            late.setdefault(one.payer, []).append(one)
    if not late:
        return None
    return Awaited(
        booking_id=BookingId(booking.id),
        trip_id=TripId(booking.trip_id),
        owed={payer: total([one.amount for one in owed], booking.currency) for payer, owed in late.items()},
        since={payer: max(window[0], min(one.asked_at for one in owed)) for payer, owed in late.items()},
        deadline_at=window[1],
        done=sum(not one.is_payable or one.state is PortionState.SAVED for one in counted),
        count=len(counted),
    )


def _window(row: Collecting) -> tuple[datetime, datetime] | None:
    """From the group being asked to the end of the time for it."""
    booking, change = row.booking, row.change
    since: datetime | None = None
    until: datetime | None = None
    if booking.state == BookingState.OPEN.value:
        since, until = booking.extended_at or booking.opened_at, booking.deadline_at
    elif booking.state == BookingState.RECOVERING.value:
        since, until = row.recovering_since, booking.budget_at
    elif booking.state == BookingState.AMENDING.value and change is not None:
        # Once the merchant has changed the order there is no way back: who could not be charged has the budget.
        is_made = change.stage == AmendmentStage.SETTLING.value
        since, until = change.asked_at, booking.budget_at if is_made else change.pay_by
    return None if since is None or until is None else (since, until)
