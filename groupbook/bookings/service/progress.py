"""The saga's one motor: read the truth under the booking's lock, take the steps it asks for, in one transaction.

Every listener, every sweep and every use case that could move a booking ends here. Nothing is decided from the content
of a message; so a message that is lost, doubled, late or out of order changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook import discounts, merchants, offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    BUDGETED,
    BookingEvent,
    BookingState,
    Effect,
    Policy,
    PortionTruth,
    Snapshot,
    news,
    step,
)
from groupbook.bookings.models import BookingRow
from groupbook.kit import clock, facts
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import BookingId, MemberId, TripId
from groupbook.kit.money import Money
from groupbook.offers.domain import Quote, Traveler
from groupbook.payments.domain import Covered, PortionDraft

log = structlog.get_logger(__name__)
steps_per_run_max: Final = 16
_FAILING: Final = frozenset({BookingState.VOIDING, BookingState.UNWINDING, BookingState.ABORTED})


def progress(session: Session, booking_id: UUID) -> None:
    """Bring the booking as far as the truth allows. A step; doing it twice is doing it once."""
    row = repository.lock(session, booking_id)
    now = clock.now(session)
    for _ in range(steps_per_run_max):
        event = news(BookingState(row.state), snapshot(session, row, now))
        if event is None:
            return
        apply(session, row, event, now)
    raise InvariantBroken(what="a booking that never rests", booking=str(booking_id), state=row.state)


def snapshot(session: Session, row: BookingRow, now: datetime) -> Snapshot:
    """The truth of the rooms below, as one value."""
    hold = offers.hold_of(session, row.id)
    order = offers.order_of(session, row.id)
    return Snapshot(
        now=now,
        needs_hold=merchants.read_merchant(session).capabilities.holds,
        hold=hold.state if hold else None,
        order=order.state if order else None,
        portions=tuple(
            PortionTruth(portion.state, portion.capture_before) for portion in payments.portions_of(session, row.id)
        ),
        has_tickets=order is not None and bool(order.tickets),
        deadline_at=row.deadline_at,
        has_looked=row.frozen_at is not None and payments.is_observed_since(session, row.id, row.frozen_at),
        confirm_by=row.confirm_by,
        budget_at=row.budget_at,
        cancel_asked=row.cancel_asked_at is not None,
    )


def apply(session: Session, row: BookingRow, event: BookingEvent, now: datetime) -> None:
    """Take one step of the machine and make its effects, in this transaction."""
    target, effects = step(BookingState(row.state), event)
    if target is BookingState.PARKED:
        park(session, row, event.value, now)
        return
    repository.add_step(session, row, event, target, now)
    row.state = target.value
    row.version += 1
    _set_times(row, target, now)
    if target in _FAILING and row.reason is None:
        row.reason = _cause(session, row, event)
    session.flush()
    make_effects(session, row, effects, now)
    if event is not BookingEvent.LOOKED_EARLY:
        announce(session, row, event.value, target, now)


def _set_times(row: BookingRow, target: BookingState, now: datetime) -> None:
    policy = Policy(**row.policy)
    row.budget_at = now + timedelta(seconds=policy.settle_budget_seconds) if target in BUDGETED else None
    if target is BookingState.FREEZING:
        row.frozen_at = now
        row.budget_at = now + timedelta(seconds=policy.confirm_budget_seconds)
    elif target is BookingState.CONFIRMING:
        row.confirm_by = now + timedelta(seconds=policy.confirm_budget_seconds)
    elif target in (BookingState.ABORTED, BookingState.REFUNDED, BookingState.BOOKED):
        row.finished_at = now


def _cause(session: Session, row: BookingRow, event: BookingEvent) -> str:
    """Why it failed, as a code: the merchant's own reason where it gave one (`offers.ports.REFUSALS`)."""
    if event is BookingEvent.HOLD_REFUSED:
        hold = offers.hold_of(session, row.id)
        return (hold.reason if hold else None) or event.value
    if event is BookingEvent.ORDER_REJECTED:
        order = offers.order_of(session, row.id)
        return (order.reason if order else None) or event.value
    return event.value


def make_effects(session: Session, row: BookingRow, effects: Iterable[Effect], now: datetime) -> None:
    for effect in effects:
        _EFFECTS[effect](session, row, now)


def park(session: Session, row: BookingRow, cause: str, now: datetime) -> None:
    """Take a booking out of motion, loudly; `resume_booking` puts it back where it was."""
    repository.add_step(session, row, cause, BookingState.PARKED, now)
    row.resume_state = row.state
    row.state = BookingState.PARKED.value
    row.reason = row.reason or cause
    row.version += 1
    row.budget_at = None
    session.flush()
    announce(session, row, cause, BookingState.PARKED, now)


# --- effects ----------------------------------------------------------------------------------------------------------


def travelers_of(session: Session, row: BookingRow, quote: Quote) -> tuple[Traveler, ...]:
    """The quoted party as the merchant needs to know them."""
    names = {member.id: member.name for member in trips.members(session, TripId(row.trip_id))}
    return tuple(
        Traveler(member_id=person.member_id, name=names.get(MemberId(person.member_id), "")) for person in quote.people
    )


def _ask_portions(session: Session, row: BookingRow, now: datetime) -> None:
    """Everybody owes their own price; the deadline starts now, and ends before the merchant's patience."""
    quote = offers.read_quote(session, row.quote_id)
    hold = offers.hold_of(session, row.id)
    drafts = [
        PortionDraft(
            traveler=person.member_id,
            payer=person.member_id,
            amount=person.pay,
            covers=(Covered(line=person.member_id, amount=person.pay),),
        )
        for person in quote.people
    ]
    payments.open_portions(session, row.id, whole=Money(row.total, row.currency), drafts=drafts, now=now)
    row.opened_at = now
    row.deadline_at = Policy(**row.policy).deadline(now, hold.expires_at if hold else None)
    session.flush()


def _look(session: Session, row: BookingRow, now: datetime) -> None:
    payments.observe_all(session, row.id)


def _confirm(session: Session, row: BookingRow, now: datetime) -> None:
    quote = offers.read_quote(session, row.quote_id)
    order = offers.confirm_order(session, row.id, row.quote_id, travelers_of(session, row, quote), now)
    row.order_id = order.id
    session.flush()


def _capture(session: Session, row: BookingRow, now: datetime) -> None:
    payments.capture_all(session, row.id, now=now)


def _void(session: Session, row: BookingRow, now: datetime) -> None:
    payments.void_all(session, row.id, now=now)


def _release_hold(session: Session, row: BookingRow, now: datetime) -> None:
    offers.release_hold(session, row.id, now)


def _cancel_order(session: Session, row: BookingRow, now: datetime) -> None:
    offers.cancel_order(session, row.id, now)


def _unwind(session: Session, row: BookingRow, now: datetime) -> None:
    repository.cancel_tickets(session, row.id, now)
    payments.unwind_all(session, row.id, reason="booking_canceled", now=now)


def _issue_tickets(session: Session, row: BookingRow, now: datetime) -> None:
    order = offers.order_of(session, row.id)
    if order is None:
        raise InvariantBroken(what="booked without an order", booking=str(row.id))
    names: dict[UUID, str] = {member.id: member.name for member in trips.members(session, TripId(row.trip_id))}
    repository.add_tickets(session, row.id, order.tickets, order.seats, names, now)
    trips.mark_booked(session, TripId(row.trip_id), by=BookingId(row.id), now=now)


def _redeem_codes(session: Session, row: BookingRow, now: datetime) -> None:
    discounts.redeem_codes(session, row.id, now=now)


def _release_codes(session: Session, row: BookingRow, now: datetime) -> None:
    """They count from the opening on, so whoever waits for one gets it once the booking has really come to nothing."""
    discounts.release_codes(session, row.id, now=now)


def _thaw(session: Session, row: BookingRow, now: datetime) -> None:
    """The trip is the group's again: decided, not booked; or over, when a booked one was canceled."""
    if row.state == BookingState.REFUNDED.value and row.reason != BookingEvent.CAPTURE_FAILED.value:
        trips.mark_canceled(session, TripId(row.trip_id), by=BookingId(row.id), now=now)
    else:
        trips.mark_booking_failed(session, TripId(row.trip_id), by=BookingId(row.id), now=now)


_EFFECTS: Final[dict[Effect, Callable[[Session, BookingRow, datetime], None]]] = {
    Effect.ASK_PORTIONS: _ask_portions,
    Effect.LOOK: _look,
    Effect.CONFIRM: _confirm,
    Effect.CAPTURE: _capture,
    Effect.VOID: _void,
    Effect.RELEASE_HOLD: _release_hold,
    Effect.CANCEL_ORDER: _cancel_order,
    Effect.UNWIND: _unwind,
    Effect.ISSUE_TICKETS: _issue_tickets,
    Effect.REDEEM_CODES: _redeem_codes,
    Effect.RELEASE_CODES: _release_codes,
    Effect.THAW: _thaw,
}

# --- telling ----------------------------------------------------------------------------------------------------------

# Upper rooms listen to the facts; the browsers of the group to the event of the same name.
_FACTS: Final = {
    BookingState.OPEN: "booking.opened",
    BookingState.BOOKED: "booking.confirmed",
    BookingState.ABORTED: "booking.aborted",
    BookingState.REFUNDED: "booking.canceled",
    BookingState.PARKED: "booking.parked",
}


def announce(session: Session, row: BookingRow, cause: str, target: BookingState, now: datetime) -> None:
    """The fact for the rooms above, the event for the group's screens, the alert for the operator."""
    if target is BookingState.PARKED:
        log.error("booking_parked", booking_id=str(row.id), cause=cause, resume_state=row.resume_state)
    name = _FACTS.get(target)
    if name is not None:
        facts.record(session, name, subject=row.id, payload=fact_payload(row))
    trips.append_event(
        session,
        TripId(row.trip_id),
        name or "booking.moved",
        {"booking_id": f"bkg_{row.id.hex}", "state": target.value},
        now=now,
    )


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
