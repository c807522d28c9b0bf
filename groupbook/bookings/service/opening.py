"""Opening a booking for what the group decided, and giving it up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError
from sqlalchemy.orm import Session

from groupbook import discounts, merchants, offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    ENDED,
    BookingClosed,
    BookingState,
    Choices,
    NobodyTravels,
    NothingDecided,
    NotOrganizer,
    Policy,
    choose,
)
from groupbook.bookings.models import BookingRow
from groupbook.bookings.service import party
from groupbook.bookings.service.progress import look_through, progress
from groupbook.bookings.service.telling import park, tell
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, merchant_of, together
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import BookingId, HoldId, TripId, new_id
from groupbook.offers.domain import Quote
from groupbook.payments.domain import check_drafts
from groupbook.trips.domain import Member, Role, Roster, TripNotFound

log = structlog.get_logger(__name__)
_PASSING: Final = (OperationalError, InterfaceError, TimeoutError, OSError)
_release_ahead: Final = timedelta(hours=6)
_WAITING = (BookingState.PARKED, BookingState.TOMBSTONING, BookingState.AMENDING, BookingState.UNWINDING)
_RESTING = ENDED | {BookingState.PARKED}
_CANCELABLE = (BookingState.PLACING, BookingState.OPEN, BookingState.RECOVERING, BookingState.BOOKED)


def open_booking(
    database: Database, caller: Caller, trip_id: TripId, *, policy: Policy, choices: Choices | None = None
) -> BookingId:
    """Freeze the prices of the decided offer and ask the merchant for places; everyone is asked to pay once it holds.

    A second click returns the booking that is already open.

    Args:
        policy: the house's; the merchant's settings come over it, then the organizer's `choices`.
    Raises:
        PolicyInvalid: a choice that the merchant does not leave to the organizer.
        NotOrganizer: only the organizer, or the merchant itself, starts the booking.
        NothingDecided: no decision, or not on something that can be booked.
        OfferNotBookable, PortionTooSmall: the price of today cannot be asked for.
        TooManyHolds: this organizer, or this train, has too many places kept that nobody has paid for.
        CodeNotUsable: somebody else just used up a code that the price counts; asked again, it is made without.
    """
    with database.begin(caller.merchant_id) as session:
        with together(session) as ask:
            organizer = ask(require_organizer, session, trip_id, caller, lock=True)
            latest = ask(repository.latest_of_trip, session, trip_id)
            settings = ask(repository.read_settings, session)
            ask(merchants.read_merchant, session)
        current = latest()
        if current is not None and BookingState(current.state) in (BookingState.PLACING, BookingState.OPEN):
            return BookingId(current.id)
        wanted = partial(choose, policy, settings(), choices or Choices())
        return _open(session, trip_id, organizer(), wanted, clock.now(session))


def _open(
    session: Session, trip_id: TripId, organizer: Member, policy_for: Callable[..., Policy], now: datetime
) -> BookingId:
    id = BookingId(new_id())
    if trips.trip_of(session, trip_id).decided_option_id is None:
        raise NothingDecided()
    trips.mark_booking(session, trip_id, by=id, now=now)
    roster = trips.freeze_roster(session, trip_id, by=id, now=now)
    if roster.offer_id is None:
        raise NothingDecided()
    subjects: dict[UUID, UUID] = {member.id: member.subject for member in roster.members}
    if not subjects:
        raise NobodyTravels()
    policy = policy_for(people=len(subjects))
    quote = offers.record_quote(session, id, roster.offer_id, subjects, now)
    uses = [(subjects[one.member_id], use) for one in quote.people for use in one.codes]
    discounts.reserve_codes(session, id, uses, now=now)
    row = BookingRow(
        merchant_id=merchant_of(session),
        id=id,
        trip_id=trip_id,
        offer_id=roster.offer_id,
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
    check_drafts(quote.total, party.drafts(row, quote))
    repository.add(session, row)
    repository.add_step(session, row, "started", BookingState.PLACING, now)
    if merchants.read_merchant(session).capabilities.holds:
        row.hold_id = _keep_places(session, row, quote, roster, organizer, now)
    tell(session, row, "booking.started", now)
    if row.hold_id is None:  # else the merchant's answer brings it on
        progress(session, id)
    return id


def _keep_places(
    session: Session, row: BookingRow, quote: Quote, roster: Roster, organizer: Member, now: datetime
) -> HoldId:
    policy = Policy(**row.policy)
    seconds = math.ceil(policy.collection_window_seconds + policy.hold_margin_seconds)
    travelers = party.travelers(quote, roster.members)
    hold = offers.place_hold(session, row.id, row.quote_id, travelers, now, hold_seconds=seconds, by=organizer.subject)
    return hold.id


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
    is_desk = caller.kind in ("merchant", "staff")
    with together(session) as ask:
        trip = ask(trips.trip_of, session, trip_id, lock=lock)
        seats = ask(trips.members, session, trip_id) if is_desk else None
        seat = ask(trips.member_of, session, trip_id, caller)
    if seats is not None:
        return next(member for member in seats() if member.id == trip().organizer_id)
    member = seat()
    if member is None:
        raise TripNotFound()
    if member.role is not Role.ORGANIZER:
        raise NotOrganizer()
    return member


def sweep(database: Database, merchant_id: UUID, *, page: int = 200) -> int:
    """Look at every booking whose moment has come: a deadline, a budget, or a while without news. How many there were.

    What happens in between comes as a fact, which has a sweep of its own behind it.
    """
    looked = 0
    for id in _each(database, merchant_id, repository.due, page):
        _look_at(database, merchant_id, id)
        looked += 1
    for id in _each(database, merchant_id, repository.waiting_with_authorizations, page):
        try:
            with database.begin(merchant_id) as session:
                _release_in_time(session, id)
        except Exception as error:  # noqa: BLE001 - the others' authorizations must not lapse for this one
            log.error("authorizations_not_released", booking_id=str(id), error=repr(error))
    return looked


def _each(database: Database, merchant_id: UUID, find: Callable[..., list[UUID]], page: int) -> Iterator[UUID]:
    """Every booking that `find` finds, a page at a time: a merchant may have any number of open groups."""
    after: UUID | None = None
    while True:
        with database.begin(merchant_id) as session:
            ids = find(session, after=after, limit=page)
        yield from ids
        if len(ids) < page:
            return
        after = ids[-1]


def _release_in_time(session: Session, booking_id: UUID) -> None:
    """What banks keep for a booking that is parked, or whose merchant does not say whether the order is off or changed,
    is given back before it would lapse: an authorization that nobody ends costs the merchant a fee and the payer days
    (payments.md H12). Who comes in by a change is then as if their bank had let it lapse: should the merchant make the
    change after all, they are asked again. A step; doing it twice is doing it once.
    """
    row = repository.lock(session, booking_id)
    now = clock.now(session)
    lapses = [one.capture_before for one in payments.portions_of(session, booking_id) if one.capture_before is not None]
    state = BookingState(row.state)
    if state not in _WAITING or not lapses or now < min(lapses) - _release_ahead:
        return
    if repository.open_amendment(session, booking_id) is not None:
        is_released = payments.ask_anew(session, booking_id, lasting=now + _release_ahead, now=now) > 0
    else:
        is_released = payments.void_waiting(session, booking_id, now=now)
    if is_released:
        repository.add_step(session, row, "authorizations_released", state, now)


def _look_at(database: Database, merchant_id: UUID, booking_id: UUID) -> None:
    """One booking that cannot go on is parked, and holds up no other."""
    try:
        with database.begin(merchant_id) as session:
            look_through(session, booking_id)
    except _PASSING as error:  # a deadlock, a lost connection, no connection free: the next sweep looks again
        log.warning("booking_not_looked_at", booking_id=str(booking_id), error=repr(error))
    except Exception as error:  # noqa: BLE001 - a mistake of ours in one booking holds up no other
        log.error("booking_not_moved", booking_id=str(booking_id), error=repr(error))
        cause = error.code if isinstance(error, GroupbookError) else "internal_error"
        with database.begin(merchant_id) as session:
            row = repository.lock(session, booking_id)
            if BookingState(row.state) not in _RESTING:
                park(session, row, cause, clock.now(session))
