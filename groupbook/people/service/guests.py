"""Guests: a seat in one trip, held by a name and a token; adopted by a person without losing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import clock, facts
from groupbook.kit.database import merchant_of
from groupbook.kit.ids import GuestId, PersonId, new_id
from groupbook.people import domain, repository
from groupbook.people.domain import Guest, GuestAdopted, GuestNotFound, MintedSession, PersonNotFound, SeatedGuest
from groupbook.people.models import GuestRow
from groupbook.people.service.sessions import mint_session

# What moves a seat to its new owner at login. `adopt_guest` alone moves the name; main.py passes a function that
# also lets the trip know, in the same transaction.
Adopt = Callable[[Session, GuestId, PersonId], None]


def add_guest(session: Session, *, trip_ref: UUID, name: str) -> SeatedGuest:
    """A step: give a seat in the trip to a name. The token in the answer is the only key to that seat.

    Raises:
        NameEmpty, NameTooLong: not a name; nothing is stored.
    """
    now = clock.system_now(session)
    row = GuestRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        trip_ref=trip_ref,
        name=domain.clean_name(name),
        person_id=None,
        created_at=now,
        adopted_at=None,
    )
    session.add(row)
    session.flush()
    return SeatedGuest(guest_of(row), mint_session(session, "guest", now=now, guest_id=GuestId(row.id)))


def renew_guest(session: Session, guest_id: GuestId) -> MintedSession:
    """A step: another token for a guest whose first one was lost on its way. An adopted seat is its person's: they
    log in.

    Raises:
        GuestNotFound, GuestAdopted.
    """
    if _locked(session, guest_id).person_id is not None:
        raise GuestAdopted()
    return mint_session(session, "guest", now=clock.system_now(session), guest_id=guest_id)


def rename_guest(session: Session, guest_id: GuestId, name: str) -> Guest:
    """A step. An adopted seat carries its person's name and keeps it.

    Raises:
        NameEmpty, NameTooLong, GuestNotFound, GuestAdopted.
    """
    row = _locked(session, guest_id)
    if row.person_id is not None:
        raise GuestAdopted()
    row.name = domain.clean_name(name)
    session.flush()
    return guest_of(row)


def read_guest(session: Session, guest_id: GuestId) -> Guest:
    row = repository.guest(session, guest_id)
    if row is None:
        raise GuestNotFound()
    return guest_of(row)


def guests_of(session: Session, person_id: PersonId) -> list[Guest]:
    """The seats this person has taken over."""
    return [guest_of(row) for row in repository.guests_of(session, person_id)]


def adopt_guest(session: Session, guest_id: GuestId, person_id: PersonId) -> None:
    """A step: the seat becomes this person's. The guest's token ends; doing it twice changes nothing.

    Records `guest.adopted` with the trip, so that upper rooms can follow.

    Raises:
        GuestNotFound, PersonNotFound: no such seat or person at this merchant.
        GuestAdopted: it already belongs to another person.
    """
    row = _locked(session, guest_id)
    if row.person_id == person_id:
        return
    if row.person_id is not None:
        raise GuestAdopted()
    if repository.person(session, person_id) is None:
        raise PersonNotFound()
    now = clock.system_now(session)
    row.person_id = person_id
    row.adopted_at = now
    session.flush()
    repository.revoke_sessions_of_guest(session, guest_id, now)
    facts.record(
        session,
        "guest.adopted",
        subject=guest_id,
        payload={"guest_id": guest_id.hex, "person_id": person_id.hex, "trip_ref": row.trip_ref.hex},
    )


def adopt_presented(
    session: Session, tokens: Sequence[str], person_id: PersonId, *, adopt: Adopt, now: datetime
) -> None:
    """Adopt every seat whose live token the browser or frame holds; tokens of other merchants are not seen."""
    hashes = [domain.digest(token) for token in tokens[:32]]
    for guest_id in repository.live_guests(session, hashes, now) if hashes else []:
        adopt(session, guest_id, person_id)


def guest_of(row: GuestRow) -> Guest:
    return Guest(
        id=GuestId(row.id),
        trip_ref=row.trip_ref,
        name=row.name,
        person_id=None if row.person_id is None else PersonId(row.person_id),
    )


def _locked(session: Session, guest_id: GuestId) -> GuestRow:
    row = repository.guest(session, guest_id, lock=True)
    if row is None:
        raise GuestNotFound()
    return row
