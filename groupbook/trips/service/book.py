"""Steps for bookings: the party frozen and thawed, the trip marked. The caller holds the booking's lock already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from groupbook.kit.database import together
from groupbook.kit.ids import BookingId, MemberId, TripId, to_wire
from groupbook.trips import repository
from groupbook.trips.domain import (
    BookingOpen,
    OptionNotFound,
    Role,
    Roster,
    RosterFrozen,
    Trip,
    TripMove,
    TripState,
    next_state,
)


def freeze_roster(session: Session, trip_id: TripId, *, by: BookingId, now: datetime) -> Roster:
    """Stop joins and leaves while `by` decides, and say who is in. Freezing twice by one booking is once.

    Raises:
        RosterFrozen: another booking holds it.
        OptionNotFound: nothing is decided, so there is no party.
    """
    trip = repository.read_trip(session, trip_id, lock=True)
    if trip.frozen_by not in (None, by):
        raise RosterFrozen()
    if trip.decided_option_id is None:
        raise OptionNotFound()
    with together(session) as ask:
        decided = ask(repository.read_option, session, trip_id, trip.decided_option_id)
        members = ask(repository.members, session, trip_id)
    option = decided()
    if option is None:
        raise OptionNotFound()
    if trip.frozen_by is None:
        repository.change_trip(session, trip, frozen_by=by)
        repository.append_all(session, trip_id, [("roster.frozen", {})], at=now)
    party = [one for one in members() if one.is_going and one.role is not Role.VIEWER]
    return Roster(trip_id, option.id, option.offer_id, tuple(party), now)


def thaw_roster(session: Session, trip_id: TripId, *, by: BookingId, now: datetime) -> None:
    """Let people come and go again. Thawing what this booking does not hold changes nothing."""
    trip = repository.read_trip(session, trip_id, lock=True)
    if trip.frozen_by == by:
        repository.change_trip(session, trip, frozen_by=None)
        repository.append_all(session, trip_id, [("roster.thawed", {})], at=now)


def sit_out(session: Session, trip_id: TripId, member_id: MemberId, *, now: datetime) -> None:
    """Somebody left the booking's party: they stay in the trip and are not going. Twice is once."""
    repository.read_trip(session, trip_id, lock=True)
    member = repository.read_member(session, trip_id, member_id)
    if member is None or not member.is_going:
        return
    repository.change_member(session, member_id, is_going=False)
    payload = {
        "member_id": to_wire("mem", member_id),
        "is_going": False,
        "going_count": repository.headcount(session, trip_id).going,
    }
    repository.append(session, trip_id, "member.going_changed", payload, actor_id=member_id, at=now)


def mark_booking(session: Session, trip_id: TripId, *, by: BookingId, now: datetime) -> Trip:
    """The decided trip is being booked by `by`. Twice is once.

    Raises:
        BookingOpen: another booking runs.
        TripStateForbids: nothing is decided, or it is over.
    """
    trip = repository.read_trip(session, trip_id, lock=True)
    if trip.state is TripState.BOOKING:
        if trip.booking_id != by:
            raise BookingOpen()
        return trip
    state = next_state(trip.state, TripMove.START_BOOKING)
    return _mark(session, trip, state, "trip.booking", by, now, booking_id=by)


def mark_booked(session: Session, trip_id: TripId, *, by: BookingId, now: datetime) -> Trip:
    """The booking stands. Twice is once. Raises BookingOpen, TripStateForbids."""
    return _finish(session, trip_id, TripMove.FINISH_BOOKING, TripState.BOOKED, "trip.booked", by, now)


def mark_booking_failed(session: Session, trip_id: TripId, *, by: BookingId, now: datetime) -> Trip:
    """The booking came to nothing: the trip is decided, and can be booked again. Twice is once.

    Raises:
        BookingOpen, TripStateForbids.
    """
    return _finish(session, trip_id, TripMove.FAIL_BOOKING, TripState.DECIDED, "trip.booking_failed", by, now)


def mark_canceled(session: Session, trip_id: TripId, *, by: BookingId, now: datetime) -> Trip:
    """The booked trip was canceled after all. Twice is once. Raises BookingOpen, TripStateForbids."""
    return _finish(session, trip_id, TripMove.CANCEL, TripState.CANCELED, "trip.canceled", by, now)


def _finish(
    session: Session,
    trip_id: TripId,
    move: TripMove,
    target: TripState,
    event: str,
    by: BookingId,
    now: datetime,
) -> Trip:
    trip = repository.read_trip(session, trip_id, lock=True)
    if trip.booking_id != by:
        raise BookingOpen()
    if trip.state is target:
        return trip
    state = next_state(trip.state, move)
    return _mark(session, trip, state, event, by, now, frozen_by=None)


def _mark(
    session: Session, trip: Trip, state: TripState, event: str, by: BookingId, now: datetime, **values: Any
) -> Trip:
    repository.change_trip(session, trip, state=state.value, **values)
    repository.append_all(session, trip.id, [(event, {"booking_id": to_wire("bkg", by)})], at=now)
    return replace(trip, state=state, version=trip.version + 1, event_seq=trip.event_seq + 1, **values)


def append_events(
    session: Session, trip_id: TripId, news: Sequence[tuple[str, Mapping[str, Any]]], *, now: datetime
) -> None:
    """`append_event` for many (type, payload), in order, in one statement."""
    repository.append_all(session, trip_id, news, at=now)


def append_event(
    session: Session,
    trip_id: TripId,
    type: str,
    payload: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Tell everybody who watches the trip, in this transaction.

    The payload is public within the trip: ids and counts, never one person's amount. Keys that the organizer may hide:
    `member_id`, `member_count`, `going_count`, `counts`, `choice` (`domain.redact`).
    """
    repository.append_all(session, trip_id, [(type, payload)], at=now)
