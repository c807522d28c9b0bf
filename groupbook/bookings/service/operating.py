"""What an operator may do about a booking that cannot go on by itself: list, resume, and cancel by force.

Nothing here moves money by hand: each act puts the booking where its own machine goes on, asks for that place's
effects again (what was asked for before is found, not doubled), and lets `progress` read the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook import offers, payments
from groupbook.bookings import repository
from groupbook.bookings.domain import BookingState, Operator, Policy
from groupbook.bookings.machine import ASKED_AGAIN, Effect
from groupbook.bookings.models import BookingRow
from groupbook.bookings.rescue import Cancellation, cancellation, way_back, way_out
from groupbook.bookings.service.effects import make_effects
from groupbook.bookings.service.progress import progress
from groupbook.bookings.service.second_person import is_agreed
from groupbook.bookings.service.story import Stopped, rows_of, stopped_of
from groupbook.kit import clock, history
from groupbook.kit.database import Database
from groupbook.kit.history import Call
from groupbook.kit.ids import BookingId, RefundId, TripId
from groupbook.kit.money import Money
from groupbook.payments import PortionState

log = structlog.get_logger(__name__)
parked_calls_max: Final = 200


@dataclass(frozen=True)
class ParkedBooking:
    """A booking that waits for a person. `given_up`: calls about it that nobody makes any more."""

    id: BookingId
    trip_id: TripId
    total: Money
    stopped: Stopped | None
    given_up: tuple[Call, ...]


@dataclass(frozen=True)
class WaitingForAPerson:
    """Everything of one merchant that goes no further by itself: bookings, and calls that were given up."""

    bookings: tuple[ParkedBooking, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Resumed:
    """What resuming did. `calls`: how many given-up calls are tried again; `stopped`: it parked again at once."""

    state: BookingState
    was_parked: bool
    calls: int
    stopped: Stopped | None


@dataclass(frozen=True)
class Canceled:
    """What canceling by force did, or would do (`is_done` False). `state` is where the booking stands now.

    `needs_second`: it gives back so much that another operator has to say the same; that this one did is written down.
    """

    state: BookingState
    plan: Cancellation
    is_done: bool
    needs_second: bool = False


@dataclass(frozen=True)
class Mended:
    """What became of a refund that had come back. `asked_again_as`: the new refund, where it is asked for once more."""

    asked_again_as: RefundId | None = None
    needs_second: bool = False


def list_parked(database: Database, merchant_id: UUID) -> WaitingForAPerson:
    """What waits for a person at this merchant, oldest first. A use case."""
    with database.begin(merchant_id) as session:
        calls = history.parked_calls(session, limit=parked_calls_max)
        parked = [_parked(session, row, calls) for row in repository.in_state(session, BookingState.PARKED)]
        return WaitingForAPerson(tuple(parked), tuple(calls))


def resume_booking(database: Database, merchant_id: UUID, booking_id: UUID, by: Operator) -> Resumed:
    """What stopped the booking is mended: try what was given up once more, put it back where it was, go on. A use case.

    Idempotent: a booking that moves by itself is left alone, and effects that were asked for before are found.

    Raises:
        BookingNotFound
    """
    with database.begin(merchant_id) as session:
        row = repository.lock(session, booking_id)
        calls = len(history.revive(session, list(rows_of(session, row))))
        if row.state != BookingState.PARKED.value or row.resume_state is None:
            if calls:
                repository.add_step(session, row, "calls_revived", BookingState(row.state), clock.now(session), by=by)
            return Resumed(BookingState(row.state), was_parked=False, calls=calls, stopped=None)
        order = offers.order_of(session, row.id)
        target = way_back(
            BookingState(row.resume_state),
            order=order.state if order else None,
            portions=_portions(session, row),
            was_booked=row.finished_at is not None,
        )
        _enter(session, row, "resumed", target, clock.now(session), by)
        log.warning("booking_resumed", booking_id=str(booking_id), state=row.state, calls=calls)
        stopped = stopped_of(session, row, repository.timeline(session, row.id))
        return Resumed(BookingState(row.state), was_parked=True, calls=calls, stopped=stopped)


def plan_cancel(database: Database, merchant_id: UUID, booking_id: UUID) -> Canceled:
    """What canceling this booking by force would come to; changes nothing. A use case.

    Raises:
        BookingNotFound
        CancelUnsafe: not where it stands now.
    """
    with database.begin(merchant_id) as session:
        row = repository.read(session, booking_id)
        return Canceled(BookingState(row.state), _plan(session, row), is_done=False)


def force_cancel(database: Database, merchant_id: UUID, booking_id: UUID, by: Operator, *, alone_max: int) -> Canceled:
    """End a booking by an operator's decision, in the one safe way its state allows. A use case; idempotent.

    Args:
        alone_max: what one operator may give back, in minor units; for more, a second one has to say the same.
    Raises:
        BookingNotFound
        CancelUnsafe: money or an order is in between; nothing was moved.
    """
    with database.begin(merchant_id) as session:
        row = repository.lock(session, booking_id)
        plan = _plan(session, row)
        if plan in (Cancellation.OVER, Cancellation.UNDER_WAY):
            return Canceled(BookingState(row.state), plan, is_done=True)
        now = clock.now(session)
        at_stake = _at_stake(session, row, plan)
        if not is_agreed(session, row, "cancel_proposed", at_stake, by, now, alone_max=alone_max):
            return Canceled(BookingState(row.state), plan, is_done=False, needs_second=True)
        log.warning("booking_canceled_by_operator", booking_id=str(booking_id), state=row.state, plan=plan.value)
        row.cancel_asked_at = row.cancel_asked_at or now
        if row.state == BookingState.PARKED.value:
            history.revive(session, list(rows_of(session, row)))
            target = way_out(plan, _portions(session, row), was_booked=row.finished_at is not None)
            _enter(session, row, "canceled_by_operator", target, now, by)
            return Canceled(BookingState(row.state), plan, is_done=True)
        repository.add_step(session, row, "canceled_by_operator", BookingState(row.state), now, by=by)
        if plan is Cancellation.STOP_DECIDING:
            _stop_deciding(session, row, now)
        else:
            session.flush()
            progress(session, row.id)
        return Canceled(BookingState(row.state), plan, is_done=True)


def mend_refund(
    database: Database,
    merchant_id: UUID,
    refund_id: RefundId,
    by: Operator,
    *,
    paid_elsewhere: str | None,
    alone_max: int,
) -> Mended:
    """Make a refund good that came back: ask once more, or note how the merchant paid it. A use case; idempotent.

    Args:
        paid_elsewhere: the number of a transfer, say; None to ask again.
        alone_max: as for `force_cancel`.
    Raises:
        RefundNotFound: no such refund at this merchant.
        IllegalStep: it did not come back, or was made good the other way.
        PortionDisputed: the payer's bank is deciding.
    """
    with database.begin(merchant_id) as session:
        reference, amount = payments.refund_amount(session, refund_id)
        row = repository.lock(session, reference)
        now = clock.now(session)
        event = "refund_proposed"
        if not is_agreed(session, row, event, amount, by, now, alone_max=alone_max, about=refund_id):
            return Mended(needs_second=True)
        if paid_elsewhere is None:
            mended = Mended(payments.retry_refund(session, refund_id))
            event = "refund_again"
        else:
            payments.settle_refund_elsewhere(session, refund_id, paid_elsewhere)
            mended, event = Mended(), "refund_elsewhere"
        known = repository.timeline(session, row.id)
        if not any((step.event, step.about) == (event, refund_id) for step in known):
            repository.add_step(session, row, event, BookingState(row.state), now, by=by, about=refund_id)
        return mended


def _at_stake(session: Session, row: BookingRow, plan: Cancellation) -> Money:
    """What canceling gives back of what was taken."""
    if plan not in (Cancellation.TAKE_BACK, Cancellation.GIVE_BACK):
        return Money.zero(row.currency)
    portions = payments.portions_of(session, row.id)
    return Money(sum(one.captured.minor - one.refunded.minor for one in portions), row.currency)


def _parked(session: Session, row: BookingRow, calls: list[Call]) -> ParkedBooking:
    about = rows_of(session, row)
    return ParkedBooking(
        id=BookingId(row.id),
        trip_id=TripId(row.trip_id),
        total=Money(row.total, row.currency),
        stopped=stopped_of(session, row, repository.timeline(session, row.id)),
        given_up=tuple(call for call in calls if call.subject in about),
    )


def _portions(session: Session, row: BookingRow) -> set[PortionState]:
    return {portion.state for portion in payments.portions_of(session, row.id)}


def _plan(session: Session, row: BookingRow) -> Cancellation:
    order = offers.order_of(session, row.id)
    return cancellation(
        BookingState(row.state),
        order=order.state if order else None,
        portions=_portions(session, row),
        was_booked=row.finished_at is not None,
    )


def _enter(session: Session, row: BookingRow, event: str, target: BookingState, now: datetime, by: Operator) -> None:
    """Put a parked booking into `target`, ask for that place's effects again, and go on from there."""
    repository.add_step(session, row, event, target, now, by=by)
    row.state, row.resume_state, row.version = target.value, None, row.version + 1
    policy = Policy(**row.policy)
    row.look_at = None
    row.budget_at = now + timedelta(seconds=policy.settle_budget_seconds)
    if target is BookingState.FREEZING:
        row.frozen_at = now  # what was seen before it was parked is no last look
    elif target is BookingState.CONFIRMING:
        row.confirm_by = min(now + timedelta(seconds=policy.confirm_budget_seconds), _captured_by(session, row, policy))
    session.flush()
    effects = ASKED_AGAIN.get(target, ())
    if target is BookingState.CONFIRMING and row.confirm_by is not None and row.confirm_by <= now:
        effects = ()  # too late to sell: what was asked for is taken back, and nothing is asked for anew
    if target is BookingState.REFUNDING:
        effects = (*effects, Effect.RELEASE_HOLD)  # on this way nobody has asked for it yet
    make_effects(session, row, effects, now)
    progress(session, row.id)


def _captured_by(session: Session, row: BookingRow, policy: Policy) -> datetime:
    """Until when the merchant may answer so that the authorization that ends first can still be captured."""
    ends_at = payments.earliest_capture_before(session, row.id)
    after = policy.settle_margin - timedelta(seconds=policy.confirm_budget_seconds)
    return datetime.max.replace(tzinfo=UTC) if ends_at is None else ends_at - after


def _stop_deciding(session: Session, row: BookingRow, now: datetime) -> None:
    """The waiting times of deciding end now: first the last look's, then the merchant's. The machine does the rest."""
    for _ in range(2):
        if row.state == BookingState.FREEZING.value:
            row.budget_at = now
        elif row.state == BookingState.CONFIRMING.value:
            row.confirm_by = now
        session.flush()
        progress(session, row.id)
