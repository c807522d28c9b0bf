"""Persons: found by what a network proves, shown as cards, forgotten on request."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import clock, facts
from groupbook.kit.database import merchant_of
from groupbook.kit.ids import PersonId, new_id
from groupbook.people import domain, repository
from groupbook.people.domain import Card, ConsentPurpose, Contact, ExternalIdentity, Person, PersonNotFound
from groupbook.people.models import PersonRow, SocialAccountRow


def person_for(session: Session, identity: ExternalIdentity, *, now: datetime) -> tuple[Person, bool]:
    """A step: the person behind a proven identity, made at the first meeting; says whether it is new.

    Name and picture follow the network. A same e-mail address never joins two identities.
    """
    repository.lock_identity(session, identity)
    name, avatar_url = domain.trim_name(identity.display_name), domain.safe_picture(identity.avatar_url)
    locale = None if identity.locale is None else identity.locale[: domain.locale_characters_max]
    account = repository.account_of(session, identity)
    if account is None:
        row = PersonRow(
            merchant_id=merchant_of(session),
            id=new_id(),
            display_name=name,
            avatar_url=avatar_url,
            locale=locale,
            created_at=now,
            erased_at=None,
        )
        session.add(row)
        session.flush()
        session.add(_account(session, identity, person_id=row.id, now=now))
        session.flush()
        return person_of(row), True
    found = repository.person(session, PersonId(account.person_id), lock=True)
    if found is None:
        raise PersonNotFound()
    found.display_name, found.avatar_url, found.locale = name or found.display_name, avatar_url, locale
    account.email, account.email_verified, account.last_login_at = identity.email, identity.email_verified, now
    session.flush()
    return person_of(found), False


def read_person(session: Session, person_id: PersonId) -> Person:
    row = repository.person(session, person_id)
    if row is None:
        raise PersonNotFound()
    return person_of(row)


def people_cards(session: Session, ids: Collection[UUID]) -> dict[UUID, Card]:
    """Name and picture of persons and guests by id; an adopted guest's card is its person's. Unknown ids are absent."""
    cards: dict[UUID, Card] = {}
    if not ids:
        return cards
    seats = repository.guests(session, ids)
    wanted = {*ids, *(seat.person_id for seat in seats if seat.person_id is not None)}
    known = {
        row.id: Card(row.id, "person", row.display_name, row.avatar_url) for row in repository.persons(session, wanted)
    }
    for seat in seats:
        owner = None if seat.person_id is None else known.get(seat.person_id)
        cards[seat.id] = owner or Card(seat.id, "guest", seat.name)
    for id in ids:
        if id in known:
            cards[id] = known[id]
    return cards


def contacts_of(session: Session, person_ids: Collection[UUID]) -> dict[UUID, list[Contact]]:
    """Where a person can be reached, oldest account first; an e-mail address only when the network verified it."""
    contacts: dict[UUID, list[Contact]] = {}
    for row in repository.accounts_of(session, person_ids) if person_ids else ():
        email = row.email if row.email_verified else None
        contacts.setdefault(row.person_id, []).append(Contact(row.network, row.app_id, row.subject, email))
    return contacts


def give_consent(session: Session, person_id: PersonId, purpose: ConsentPurpose, detail: str = "") -> None:
    """A step: remember that the person agreed. Twice is once."""
    repository.give_consent(session, person_id, purpose, detail, clock.system_now(session))


def withdraw_consent(session: Session, person_id: PersonId, purpose: ConsentPurpose, detail: str = "") -> None:
    """A step: the consent stops standing; that it once stood is kept."""
    row = repository.standing_consent(session, person_id, purpose, detail)
    if row is not None:
        row.withdrawn_at = clock.system_now(session)
        session.flush()


def has_consent(session: Session, person_id: PersonId, purpose: ConsentPurpose, detail: str = "") -> bool:
    return repository.standing_consent(session, person_id, purpose, detail) is not None


def forget(session: Session, person_id: PersonId) -> None:
    """A step: erase who this was. Sessions end, accounts and names go; the row stays as a nameless tombstone.

    Records `person.erased`, by which every room that holds personal data forgets too. Twice is once.

    Raises:
        PersonNotFound: no such person at this merchant.
    """
    row = repository.person(session, person_id, lock=True)
    if row is None:
        raise PersonNotFound()
    if row.erased_at is not None:
        return
    seats = [seat.id.hex for seat in repository.guests_of(session, person_id)]
    repository.forget(session, person_id, clock.system_now(session))
    session.expire_all()
    facts.record(
        session,
        "person.erased",
        subject=person_id,
        payload={"person_id": person_id.hex, "guest_ids": seats},
    )


def person_of(row: PersonRow) -> Person:
    return Person(
        id=PersonId(row.id),
        display_name=row.display_name,
        avatar_url=row.avatar_url,
        locale=row.locale,
        erased=row.erased_at is not None,
    )


def _account(session: Session, identity: ExternalIdentity, *, person_id: UUID, now: datetime) -> SocialAccountRow:
    return SocialAccountRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        person_id=person_id,
        network=identity.network,
        app_id=identity.app_id,
        subject=identity.subject,
        email=identity.email,
        email_verified=identity.email_verified,
        created_at=now,
        last_login_at=now,
    )
