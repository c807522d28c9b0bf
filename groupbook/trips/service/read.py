"""Reading a trip: the whole of it as JSON, what a stranger may see, the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import clock, paging
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import MemberId, PersonId, TripId
from groupbook.trips import repository
from groupbook.trips.domain import (
    GATHERING_STATES,
    Member,
    MembersShown,
    NotMember,
    Proposal,
    PublicTrip,
    Role,
    Sight,
    Trip,
    TripEvent,
    TripNotFound,
    TripOption,
    TripState,
    Visibility,
    propose,
    redact,
    sight_of,
)
from groupbook.trips.service.prices import tallies_of


def read_trip(database: Database, caller: Caller, trip_id: TripId) -> str:
    """The trip as this caller may see it: the JSON of `schemas.TripOut`, made by one statement.

    Raises:
        TripNotFound: no such trip, or not for them.
    """
    with database.begin(caller.merchant_id) as session:
        document = repository.trip_document(session, trip_id, caller)
    if document is None:
        raise TripNotFound()
    return document


def list_trips(database: Database, caller: Caller, *, cursor: str | None, limit: int) -> paging.Slice[Trip]:
    """The merchant's trips, or a traveler's own; newest first."""
    after = paging.decode_cursor(cursor)
    with database.begin(caller.merchant_id) as session:
        if caller.is_traveler:
            seats = repository.trips_of(session, **_subject(caller), after=after, limit=limit + 1)
            rows = [trip for trip, _ in seats]
        else:
            rows = repository.trips_page(session, after=after, limit=limit + 1)
    return paging.page(rows, [trip.id for trip in rows], limit)


def trips_of(session: Session, caller: Caller, *, limit: int = 50) -> list[tuple[Trip, Member]]:
    """A step: the trips the caller is in, newest first, with their seat in each."""
    return repository.trips_of(session, **_subject(caller), after=None, limit=limit)


def _subject(caller: Caller) -> dict[str, UUID | None]:
    subject = caller.require_traveler()
    is_person = caller.kind == "person"
    return {"person_id": subject if is_person else None, "guest_id": None if is_person else subject}


def trip_of(session: Session, trip_id: TripId, *, lock: bool = False) -> Trip:
    """A step. Raises TripNotFound."""
    return repository.read_trip(session, trip_id, lock=lock)


def titles(session: Session, trip_ids: Iterable[TripId]) -> dict[TripId, str]:
    """A step: what these trips are called; one that is not this merchant's is left out."""
    return repository.titles(session, trip_ids)


def member_of(session: Session, trip_id: TripId, caller: Caller) -> Member | None:
    """A step: the caller's seat in this trip, or None."""
    return repository.member_of_caller(session, trip_id, caller)


def members(session: Session, trip_id: TripId) -> list[Member]:
    """A step: everybody present, viewers too, in order of joining."""
    return repository.members(session, trip_id)


def seats(session: Session, trip_id: TripId, ids: Collection[MemberId]) -> list[Member]:
    """A step: these seats, left ones too: who left may still have paid."""
    return repository.members_by_id(session, trip_id, ids)


def present(session: Session, ids: Collection[MemberId]) -> set[MemberId]:
    """A step: which of these seats nobody has left, in whatever trips."""
    return repository.present(session, ids)


def members_of_person(session: Session, person_id: PersonId) -> list[Member]:
    """A step: every seat of this person, left ones too (erasure)."""
    return repository.members_of_person(session, person_id)


def options(session: Session, trip_id: TripId) -> list[TripOption]:
    """A step: what is put to the vote, in the order it was added."""
    return repository.options(session, trip_id)


def decided_option(session: Session, trip_id: TripId) -> TripOption | None:
    """A step: what the group decided for, if it has."""
    trip = repository.read_trip(session, trip_id)
    if trip.decided_option_id is None:
        return None
    return repository.read_option(session, trip_id, trip.decided_option_id)


def forget(session: Session, person_id: PersonId) -> None:
    """A step: erase what somebody typed about themselves here; votes stay as counts."""
    repository.forget_names(session, person_id=person_id)


# --- strangers ------------------------------------------------------------------------------------------------------


def public_view(session: Session, trip_id: TripId) -> PublicTrip | None:
    """A step: what anybody may see now, for previews, share pages and pictures; None when there is nothing to see.

    Secret and unlisted trips show no name, date or place: previews are fetched by third parties and kept for weeks.
    """
    trip = repository.find_trip(session, trip_id)
    if trip is None or trip.state is TripState.CANCELED or trip.privacy.visibility is Visibility.SECRET:
        return None
    can_join = trip.frozen_by is None and trip.state in GATHERING_STATES
    if trip.privacy.visibility is not Visibility.PUBLIC:
        return PublicTrip(trip_id, is_generic=True, is_indexable=False, can_join=can_join)
    present = [one for one in repository.members(session, trip_id) if one.role is not Role.VIEWER]
    listed = repository.options(session, trip_id)
    decided = next((option for option in listed if option.id == trip.decided_option_id), None)
    names = tuple(member.name for member in present if member.name)
    return PublicTrip(
        trip_id,
        is_generic=False,
        is_indexable=True,
        title=trip.title,
        starts_on=trip.starts_on,
        ends_on=trip.ends_on,
        state=trip.state,
        member_count=len(present) if trip.privacy.members_shown is not MembersShown.NONE else None,
        member_names=names if trip.privacy.members_shown is MembersShown.ALL else (),
        option_labels=tuple(option.label for option in listed),
        decided_label=decided.label if decided else None,
        decided_starts_at=decided.starts_at if decided else None,
        can_join=can_join,
    )


# --- the proposal ---------------------------------------------------------------------------------------------------


def read_proposal(database: Database, caller: Caller, trip_id: TripId) -> Proposal:
    """What the votes say now.

    Raises:
        TripNotFound: no such trip, or not for them.
        NotMember: the votes are not shown to them.
    """
    with database.begin(caller.merchant_id) as session:
        if not _sight(session, trip_id, caller).votes:
            raise NotMember()
        trip = repository.read_trip(session, trip_id)
        return propose(tallies_of(session, trip, now=clock.now(session)), trip.rule.quorum)


# --- the log --------------------------------------------------------------------------------------------------------


def read_events(
    database: Database, caller: Caller, trip_id: TripId, *, after: int, limit: int
) -> tuple[list[TripEvent], bool]:
    """The live log as this caller may see it, from the event after `after`, and whether there is more.

    Raises:
        TripNotFound: no such trip, or not for them.
    """
    with database.begin(caller.merchant_id) as session:
        sight = _sight(session, trip_id, caller)
        found = repository.events(session, trip_id, after=after, limit=limit + 1)
    shown = [
        TripEvent(e.seq, *redact(e.type, e.payload, sight), e.actor_id if sight.member_ids else None, e.at)
        for e in found[:limit]
    ]
    return shown, len(found) > limit


def _sight(session: Session, trip_id: TripId, caller: Caller) -> Sight:
    trip = repository.read_trip(session, trip_id)
    if caller.kind in ("merchant", "staff"):
        return Sight(member_ids=True, member_count=True, votes=True)
    member = repository.member_of_caller(session, trip_id, caller)
    has_voted = member is not None and repository.has_voted(session, trip, member.id)
    sight = sight_of(trip.privacy, member.role if member else None, has_voted=has_voted)
    if sight is None:
        raise TripNotFound()
    return sight
