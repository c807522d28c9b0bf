"""Every query and lock of this room. All but the look-ups run inside a transaction bound to one merchant."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import lookup, merchant_of
from groupbook.kit.ids import GuestId, HandoffId, MerchantId, PersonId, SessionId, new_id
from groupbook.people.domain import ConsentPurpose, ExternalIdentity, SessionKind
from groupbook.people.models import (
    ConsentRow,
    GuestRow,
    HandoffRow,
    LaunchUseRow,
    LoginStateRow,
    PersonRow,
    SessionRow,
    SocialAccountRow,
)


@dataclass(frozen=True, slots=True)
class KnownSession:
    """What the look-up by token digest tells: a live session of some merchant."""

    merchant_id: MerchantId
    id: SessionId
    kind: SessionKind
    person_id: UUID | None
    guest_id: UUID | None
    livemode: bool


# --- look-ups before the merchant is known --------------------------------------------------------------------------


def session_of(session: Session, token_hash: bytes) -> KnownSession | None:
    found = lookup(session, "lookup_session", token_hash)
    if found is None:
        return None
    person_id, guest_id = found["person_id"], found["guest_id"]
    return KnownSession(
        merchant_id=MerchantId(UUID(found["merchant_id"])),
        id=SessionId(UUID(found["id"])),
        kind=found["kind"],
        person_id=None if person_id is None else UUID(person_id),
        guest_id=None if guest_id is None else UUID(guest_id),
        livemode=found["livemode"],
    )


def login_state_merchant(session: Session, state_hash: bytes) -> MerchantId | None:
    found: UUID | None = lookup(session, "lookup_login_state", state_hash)
    return None if found is None else MerchantId(found)


def handoff_merchant(session: Session, handoff_id: HandoffId) -> MerchantId | None:
    found: UUID | None = lookup(session, "lookup_handoff", handoff_id)
    return None if found is None else MerchantId(found)


# --- persons and their accounts -------------------------------------------------------------------------------------


def lock_identity(session: Session, identity: ExternalIdentity) -> None:
    """Two first logins of one human at the same moment must find one person: serialize them by their key."""
    key = "\x1f".join((str(merchant_of(session)), identity.network, identity.app_id, identity.subject))
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


def account_of(session: Session, identity: ExternalIdentity) -> SocialAccountRow | None:
    return session.scalars(
        select(SocialAccountRow).where(
            SocialAccountRow.network == identity.network,
            SocialAccountRow.app_id == identity.app_id,
            SocialAccountRow.subject == identity.subject,
        )
    ).one_or_none()


def accounts_of(session: Session, person_ids: Collection[UUID]) -> Sequence[SocialAccountRow]:
    return session.scalars(
        select(SocialAccountRow).where(SocialAccountRow.person_id.in_(person_ids)).order_by(SocialAccountRow.id)
    ).all()


def person(session: Session, person_id: PersonId, *, lock: bool = False) -> PersonRow | None:
    query = select(PersonRow).where(PersonRow.id == person_id)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def persons(session: Session, ids: Collection[UUID]) -> Sequence[PersonRow]:
    return session.scalars(select(PersonRow).where(PersonRow.id.in_(ids))).all()


def guest(session: Session, guest_id: GuestId, *, lock: bool = False) -> GuestRow | None:
    query = select(GuestRow).where(GuestRow.id == guest_id)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def guests(session: Session, ids: Collection[UUID]) -> Sequence[GuestRow]:
    return session.scalars(select(GuestRow).where(GuestRow.id.in_(ids))).all()


def guests_of(session: Session, person_id: PersonId) -> Sequence[GuestRow]:
    return session.scalars(select(GuestRow).where(GuestRow.person_id == person_id).order_by(GuestRow.id)).all()


# --- sessions -------------------------------------------------------------------------------------------------------


def live_guests(session: Session, token_hashes: Collection[bytes], now: datetime) -> list[GuestId]:
    """The seats whose guest tokens these are, in the order they were taken."""
    found = session.scalars(
        select(SessionRow.guest_id)
        .where(
            SessionRow.token_hash.in_(token_hashes),
            SessionRow.guest_id.is_not(None),
            SessionRow.revoked_at.is_(None),
            SessionRow.expires_at > now,
        )
        .order_by(SessionRow.id)
    )
    return [GuestId(guest_id) for guest_id in found if guest_id is not None]


def live_sessions(session: Session, ids: Collection[UUID], now: datetime) -> set[UUID]:
    return set(
        session.scalars(
            select(SessionRow.id).where(
                SessionRow.id.in_(ids), SessionRow.revoked_at.is_(None), SessionRow.expires_at > now
            )
        )
    )


def sessions_of(session: Session, subject: UUID, now: datetime, *, limit: int) -> Sequence[SessionRow]:
    """The living sessions of a person or guest, the newest first."""
    owned = or_(SessionRow.person_id == subject, SessionRow.guest_id == subject)
    query = select(SessionRow).where(owned, SessionRow.revoked_at.is_(None), SessionRow.expires_at > now)
    return session.scalars(query.order_by(SessionRow.id.desc()).limit(limit)).all()


def session_row(session: Session, session_id: UUID) -> SessionRow | None:
    """Also one that has ended."""
    return session.get(SessionRow, (merchant_of(session), session_id))


def revoke_session(session: Session, session_id: UUID, now: datetime) -> bool:
    done = session.execute(
        update(SessionRow)
        .where(SessionRow.id == session_id, SessionRow.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(SessionRow.id)
    )
    return done.first() is not None


def revoke_sessions_of_guest(session: Session, guest_id: GuestId, now: datetime) -> None:
    session.execute(
        update(SessionRow)
        .where(SessionRow.guest_id == guest_id, SessionRow.revoked_at.is_(None))
        .values(revoked_at=now)
    )


# --- logins, hand-offs, launches ------------------------------------------------------------------------------------


def take_login_state(session: Session, state_hash: bytes) -> LoginStateRow | None:
    """Read and remove: whoever comes second finds nothing."""
    return session.scalars(
        delete(LoginStateRow).where(LoginStateRow.state_hash == state_hash).returning(LoginStateRow)
    ).one_or_none()


def handoff(session: Session, handoff_id: HandoffId, *, lock: bool = False) -> HandoffRow | None:
    query = select(HandoffRow).where(HandoffRow.id == handoff_id)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def use_launch(
    session: Session, network: str, signature_hash: bytes, *, used_at: datetime, expires_at: datetime
) -> bool:
    """Whether this is the first use of the signed payload."""
    done = session.execute(
        insert(LaunchUseRow)
        .values(
            merchant_id=merchant_of(session),
            id=new_id(),
            network=network,
            signature_hash=signature_hash,
            used_at=used_at,
            expires_at=expires_at,
        )
        .on_conflict_do_nothing(index_elements=["merchant_id", "network", "signature_hash"])
        .returning(LaunchUseRow.id)
    )
    return done.first() is not None


# --- consent --------------------------------------------------------------------------------------------------------


def standing_consent(session: Session, person_id: PersonId, purpose: ConsentPurpose, detail: str) -> ConsentRow | None:
    return session.scalars(
        select(ConsentRow).where(
            ConsentRow.person_id == person_id,
            ConsentRow.purpose == purpose,
            ConsentRow.detail == detail,
            ConsentRow.withdrawn_at.is_(None),
        )
    ).one_or_none()


def give_consent(session: Session, person_id: PersonId, purpose: ConsentPurpose, detail: str, now: datetime) -> None:
    session.execute(
        insert(ConsentRow)
        .values(
            merchant_id=merchant_of(session),
            id=new_id(),
            person_id=person_id,
            purpose=purpose,
            detail=detail,
            granted_at=now,
        )
        .on_conflict_do_nothing(
            index_elements=["merchant_id", "person_id", "purpose", "detail"],
            index_where=ConsentRow.withdrawn_at.is_(None),
        )
    )


# --- forgetting -----------------------------------------------------------------------------------------------------


def forget(session: Session, person_id: PersonId, now: datetime) -> None:
    """Remove what tells who somebody was; the row itself stays as a tombstone that other rooms point at."""
    seats = select(GuestRow.id).where(GuestRow.person_id == person_id)
    session.execute(delete(SessionRow).where(or_(SessionRow.person_id == person_id, SessionRow.guest_id.in_(seats))))
    session.execute(delete(HandoffRow).where(HandoffRow.person_id == person_id))
    session.execute(delete(SocialAccountRow).where(SocialAccountRow.person_id == person_id))
    session.execute(delete(ConsentRow).where(ConsentRow.person_id == person_id))
    session.execute(update(GuestRow).where(GuestRow.person_id == person_id).values(name=""))
    session.execute(
        update(PersonRow)
        .where(PersonRow.id == person_id)
        .values(display_name="", avatar_url=None, locale=None, erased_at=now)
    )


def sweep(session: Session, now: datetime) -> int:
    """Delete what time has made useless. Returns how many rows went."""
    gone = 0
    for row in (SessionRow, LoginStateRow, HandoffRow, LaunchUseRow):
        done = session.execute(delete(row).where(row.expires_at < now).returning(row.id))
        gone += len(done.all())
    return gone
