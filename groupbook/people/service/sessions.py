"""Sessions: an opaque 256-bit token, known to us only by its SHA-256."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, merchant_of
from groupbook.kit.ids import GuestId, PersonId, SessionId, new_id
from groupbook.people import domain, repository
from groupbook.people.domain import LIFETIMES, Device, Lifetimes, MintedSession, SessionKind, SessionNotFound
from groupbook.people.models import SessionRow

_TOKEN_CHARACTERS_MAX = 128
_DEVICES_MAX = 50


def mint_session(
    session: Session,
    kind: SessionKind,
    *,
    now: datetime,
    person_id: PersonId | None = None,
    guest_id: GuestId | None = None,
    embed_origin: str | None = None,
    instance: str | None = None,
    lifetimes: Lifetimes = LIFETIMES,
) -> MintedSession:
    """A step: a new session for exactly one person or guest."""
    token = domain.mint_token()
    row = SessionRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        kind=kind,
        token_hash=domain.digest(token),
        person_id=person_id,
        guest_id=guest_id,
        embed_origin=embed_origin,
        instance=instance,
        created_at=now,
        expires_at=lifetimes.end(kind, now),
        revoked_at=None,
    )
    session.add(row)
    session.flush()
    return MintedSession(SessionId(row.id), kind, token, row.expires_at)


def authenticate(database: Database, token: str) -> Caller | None:
    """Whose token this is: a person's or a guest's, of one merchant; None when unknown, expired or revoked."""
    if not 0 < len(token) <= _TOKEN_CHARACTERS_MAX:
        return None
    with database.begin_unbound() as session:
        known = repository.session_of(session, domain.digest(token))
    if known is None:
        return None
    subject: UUID | None = known.person_id or known.guest_id
    return Caller(
        kind="guest" if known.person_id is None else "person",
        merchant_id=known.merchant_id,
        livemode=known.livemode,
        subject=subject,
        session_id=known.id,
    )


def end_session(database: Database, caller: Caller) -> None:
    """Log out: the caller's session stops working at once. Twice is once."""
    if caller.session_id is None:
        return
    with database.begin(caller.merchant_id) as session:
        repository.revoke_session(session, caller.session_id, clock.system_now(session))


def read_devices(database: Database, caller: Caller) -> list[Device]:
    """Where somebody is known as the caller, the newest first. A use case. Raises Unauthenticated."""
    subject = caller.require_traveler()
    with database.begin(caller.merchant_id) as session:
        rows = repository.sessions_of(session, subject, clock.system_now(session), limit=_DEVICES_MAX)
        return [
            Device(
                id=SessionId(row.id),
                kind=domain.SESSION_KINDS[row.kind],
                embed_origin=row.embed_origin,
                since=row.created_at,
                expires_at=row.expires_at,
                is_current=row.id == caller.session_id,
            )
            for row in rows
        ]


def end_device(database: Database, caller: Caller, session_id: SessionId) -> None:
    """Log the caller out elsewhere, or here: that session stops working at once. A use case; twice is once.

    Raises:
        Unauthenticated. SessionNotFound: none of the caller's.
    """
    subject = caller.require_traveler()
    with database.begin(caller.merchant_id) as session:
        row = repository.session_row(session, session_id)
        if row is None or subject not in (row.person_id, row.guest_id):
            raise SessionNotFound()
        repository.revoke_session(session, session_id, clock.system_now(session))


def live_sessions(session: Session, ids: Collection[UUID]) -> set[UUID]:
    """Of these sessions, those that neither ended nor expired. A step."""
    return repository.live_sessions(session, ids, clock.system_now(session))


def sweep(session: Session) -> int:
    """A step for the worker: delete expired sessions, login states, hand-offs and launch uses."""
    return repository.sweep(session, clock.system_now(session))
