"""Opening a booking for what the group decided, and giving it up."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from groupbook import discounts, merchants, offers, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    ENDED,
    BookingClosed,
    BookingState,
    NobodyTravels,
    NothingDecided,
    NotOrganizer,
    NotParked,
    Policy,
    effects_on_entry,
)
from groupbook.bookings.models import BookingRow
from groupbook.bookings.service.progress import fact_payload, make_effects, park, progress, travelers_of
from groupbook.kit import clock, facts
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, merchant_of
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import BookingId, TripId, new_id
from groupbook.payments.domain import PortionDraft, check_drafts
from groupbook.trips.domain import Member, Role, TripNotFound

log = structlog.get_logger(__name__)
_RESTING = ENDED | {BookingState.PARKED}
_CANCELABLE = (BookingState.PLACING, BookingState.OPEN, BookingState.BOOKED)


def open_booking(database: Database, caller: Caller, trip_id: TripId, *, policy: Policy) -> BookingId:
    """Freeze the prices of the decided offer and ask the merchant for places; everyone is asked to pay once it holds.

    A second click returns the booking that is already open.

    Raises:
        NotOrganizer: only the organizer, or the merchant itself, starts the booking.
        NothingDecided: no decision, or not on something that can be booked.
        OfferNotBookable, PortionTooSmall: the price of today cannot be asked for.
        CodeNotUsable: somebody else just used up a code that the price counts; asked again, it is made without.
    """
    with database.begin(caller.merchant_id) as session:
        organizer = require_organizer(session, trip_id, caller, lock=True)
        current = repository.latest_of_trip(session, trip_id)
        if current is not None and BookingState(current.state) in (BookingState.PLACING, BookingState.OPEN):
            return BookingId(current.id)
        return _open(session, trip_id, organizer, policy, clock.now(session))


def _open(session: Session, trip_id: TripId, organizer: Member, policy: Policy, now: datetime) -> BookingId:
    id = BookingId(new_id())
    option = trips.decided_option(session, trip_id)
    if option is None or option.offer_id is None:
        raise NothingDecided()
    trips.mark_booking(session, trip_id, by=id, now=now)
    roster = trips.freeze_roster(session, trip_id, by=id, now=now)
    party: dict[UUID, UUID] = {member.id: member.subject for member in roster.members}
    if not party:
        raise NobodyTravels()
    quote = offers.record_quote(session, id, option.offer_id, party, now)
    check_drafts(
        quote.total,
        [PortionDraft(traveler=one.member_id, payer=one.member_id, amount=one.pay) for one in quote.people],
    )
    uses = [(party[one.member_id], use) for one in quote.people for use in one.codes]
    discounts.reserve_codes(session, id, uses, now=now)
    row = BookingRow(
        merchant_id=merchant_of(session),
        id=id,
        trip_id=trip_id,
        offer_id=option.offer_id,
        quote_id=quote.id,
        hold_id=None,
        order_id=None,
        opened_by=organizer.id,
        state=BookingState.PLACING.value,
        version=1,
        total=quote.total.minor,
        currency=quote.total.currency,
        policy=asdict(policy),
        created_at=now,
        budget_at=now + timedelta(seconds=policy.confirm_budget_seconds),
    )
    repository.add_step(session, row, "started", BookingState.PLACING, now)
    session.add(row)
    session.flush()
    if merchants.read_merchant(session).capabilities.holds:
        seconds = math.ceil(policy.collection_window_seconds + policy.hold_margin_seconds)
        party_of = travelers_of(session, row, quote)
        row.hold_id = offers.place_hold(session, id, quote.id, party_of, now, hold_seconds=seconds).id
    facts.record(session, "booking.started", subject=id, payload=fact_payload(row))
    trips.append_event(
        session, trip_id, "booking.started", {"booking_id": f"bkg_{id.hex}", "state": row.state}, now=now
    )
    progress(session, id)
    return id


def cancel_booking(database: Database, caller: Caller, booking_id: BookingId) -> None:
    """Give the booking up. Before the freeze everybody is released; a booked one is taken back and refunded in full.

    Raises:
        NotOrganizer
        BookingClosed: it is being decided right now, or it is over.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, booking_id)
        require_organizer(session, TripId(row.trip_id), caller)
        state = BookingState(row.state)
        if row.cancel_asked_at is not None and state not in _CANCELABLE:
            return
        if state not in _CANCELABLE:
            raise BookingClosed(state=state.value)
        row.cancel_asked_at = clock.now(session)
        session.flush()
        progress(session, booking_id)


def require_organizer(session: Session, trip_id: TripId, caller: Caller, *, lock: bool = False) -> Member:
    """The trip's organizer: the caller, or the one for whom the merchant acts. With `lock`, one at a time.

    Raises:
        TripNotFound, NotOrganizer
    """
    trip = trips.trip_of(session, trip_id, lock=lock)
    if caller.kind in ("merchant", "staff"):
        return next(member for member in trips.members(session, trip_id) if member.id == trip.organizer_id)
    member = trips.member_of(session, trip_id, caller)
    if member is None:
        raise TripNotFound()
    if member.role is not Role.ORGANIZER:
        raise NotOrganizer()
    return member


def sweep(database: Database, merchant_id: UUID, *, limit: int = 200) -> int:
    """Look at every booking that still owes somebody an end: deadlines, budgets, news that got lost."""
    with database.begin(merchant_id) as session:
        ids = repository.moving(session, limit=limit)
    for id in ids:
        _look_at(database, merchant_id, id)
    return len(ids)


def _look_at(database: Database, merchant_id: UUID, booking_id: UUID) -> None:
    """One booking that cannot go on is parked, and holds up no other."""
    try:
        with database.begin(merchant_id) as session:
            progress(session, booking_id)
    except DBAPIError as error:  # a deadlock, a lost connection: the next sweep looks again
        log.warning("booking_not_looked_at", booking_id=str(booking_id), error=repr(error))
    except GroupbookError as error:
        with database.begin(merchant_id) as session:
            row = repository.lock(session, booking_id)
            if BookingState(row.state) not in _RESTING:
                park(session, row, error.code, clock.now(session))


def resume_booking(database: Database, merchant_id: UUID, booking_id: UUID) -> BookingState:
    """An operator has mended what parked the booking: put it back, ask for its effects again, go on. A use case.

    Safe to repeat: effects that were asked for before are found, not doubled.

    Raises:
        BookingNotFound
        NotParked: it moves by itself, or is over.
    """
    with database.begin(merchant_id) as session:
        row = repository.lock(session, booking_id)
        if row.state != BookingState.PARKED.value or row.resume_state is None:
            raise NotParked(state=row.state)
        now = clock.now(session)
        state = BookingState(row.resume_state)
        repository.add_step(session, row, "resumed", state, now)
        row.state, row.resume_state, row.version = state.value, None, row.version + 1
        row.budget_at = now + timedelta(seconds=Policy(**row.policy).settle_budget_seconds)
        session.flush()
        if state not in (BookingState.PLACING, BookingState.OPEN, BookingState.BOOKED):
            make_effects(session, row, effects_on_entry(state), now)
        progress(session, booking_id)
        return BookingState(row.state)


def parked_bookings(database: Database, merchant_id: UUID) -> list[tuple[BookingId, str, str | None]]:
    """Bookings that wait for a person: id, why, and where they were. A use case for the operator."""
    with database.begin(merchant_id) as session:
        return [
            (BookingId(row.id), row.reason or "", row.resume_state)
            for row in repository.in_state(session, BookingState.PARKED)
        ]
