"""What every verb of a trip begins with: the locked trip, the caller's seat in it, the instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.ids import TripId
from groupbook.trips import repository
from groupbook.trips.domain import (
    Member,
    NotMember,
    NotOrganizer,
    Role,
    RosterFrozen,
    Trip,
    TripCanceled,
    TripChanged,
    TripNotFound,
    TripState,
    sight_of,
)


@dataclass(frozen=True, slots=True)
class Seat:
    """The trip, locked, as one of its members meets it."""

    trip: Trip
    member: Member
    now: datetime


def sit_down(session: Session, trip_id: TripId, caller: Caller) -> Seat:
    """Lock the trip for a member's act.

    Raises:
        Unauthenticated: nobody we know asks.
        TripNotFound: no such trip here, or one that this caller may not even know of.
        NotMember: they may see it, and are not in it.
    """
    if caller.kind == "nobody":
        raise Unauthenticated()
    trip = repository.read_trip(session, trip_id, lock=True)
    member = repository.member_of_caller(session, trip_id, caller)
    if member is None:
        raise NotMember() if may_see(trip, caller, None) else TripNotFound()
    return Seat(trip, member, clock.now(session))


def sit_at_head(session: Session, trip_id: TripId, caller: Caller, *, expected_version: int | None = None) -> Seat:
    """Lock the trip for an organizer's act; `expected_version` is the version they were looking at.

    Raises:
        NotOrganizer: a member, and not the organizer.
        TripChanged: somebody changed the trip meanwhile.
    """
    seat = sit_down(session, trip_id, caller)
    if seat.member.role is not Role.ORGANIZER:
        raise NotOrganizer()
    if expected_version is not None and expected_version != seat.trip.version:
        raise TripChanged(expected_version=expected_version, version=seat.trip.version)
    return seat


def may_see(trip: Trip, caller: Caller, member: Member | None) -> bool:
    """Whether the caller may know that this trip lives. The merchant may; a stranger only when it is public."""
    if caller.kind in ("merchant", "staff"):
        return True
    return sight_of(trip.privacy, member.role if member else None) is not None


def require_living(trip: Trip) -> None:
    """Raises TripCanceled."""
    if trip.state is TripState.CANCELED:
        raise TripCanceled()


def require_thawed(trip: Trip) -> None:
    """Raises RosterFrozen: a booking is being decided, so nobody comes or goes."""
    if trip.frozen_by is not None:
        raise RosterFrozen()
