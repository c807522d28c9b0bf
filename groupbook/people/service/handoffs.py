"""The hand-off: from a login in a top-level window into a merchant's frame (social-and-referral.md, B.3).

The frame keeps a verifier and shows us its challenge; the window shows the person the frame's origin and asks;
the code from the window and the verifier from the frame together open the frame's session, once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import GroupbookError, Unauthenticated
from groupbook.kit.ids import HandoffId, MerchantId, PersonId, new_id
from groupbook.people import domain, repository
from groupbook.people.domain import (
    LIFETIMES,
    EmbedOriginNotRegistered,
    Handoff,
    HandoffCode,
    HandoffCodeWrong,
    HandoffExpired,
    HandoffNotFound,
    HandoffNotOpen,
    HandoffState,
    Lifetimes,
    LoggedIn,
)
from groupbook.people.models import HandoffRow
from groupbook.people.service.guests import Adopt, adopt_guest, adopt_presented
from groupbook.people.service.persons import give_consent, read_person
from groupbook.people.service.sessions import mint_session


def open_handoff(
    database: Database,
    *,
    merchant_id: MerchantId,
    embed_origin: str,
    registered_origins: Collection[str],
    instance: str,
    challenge: str,
) -> Handoff:
    """Begin a hand-off for one frame: bound to merchant, origin, instance and challenge, for 5 minutes.

    Raises:
        EmbedOriginNotRegistered: `embed_origin` is none of the merchant's.
        InvalidChallenge, InvalidInstance: not of the agreed shape.
    """
    domain.check_challenge(challenge)
    domain.check_instance(instance)
    if embed_origin not in registered_origins:
        raise EmbedOriginNotRegistered(pointer="/embed_origin")
    with database.begin(merchant_id) as session:
        now = clock.system_now(session)
        row = HandoffRow(
            merchant_id=merchant_id,
            id=new_id(),
            embed_origin=embed_origin,
            instance=instance,
            challenge=challenge,
            state="open",
            person_id=None,
            code_hash=None,
            match_hash=None,
            code_expires_at=None,
            attempts=0,
            created_at=now,
            expires_at=now + timedelta(seconds=domain.handoff_seconds),
        )
        session.add(row)
    return _handoff_of(row)


def read_handoff(database: Database, handoff_id: HandoffId) -> Handoff:
    """The hand-off as the window may show it: which merchant, which origin, which state.

    Raises:
        HandoffNotFound, HandoffExpired.
    """
    merchant_id = _merchant(database, handoff_id)
    with database.begin(merchant_id) as session:
        row = repository.handoff(session, handoff_id)
        now = clock.system_now(session)
        if row is None:
            raise HandoffNotFound()
        if row.expires_at <= now:
            raise HandoffExpired()
        return _handoff_of(row)


def approve_handoff(database: Database, caller: Caller, handoff_id: HandoffId) -> HandoffCode:
    """The person agreed to continue on the shown origin: mint the code, good for 60 seconds and one use.

    Raises:
        Unauthenticated: only a person logged in at that merchant can agree.
        HandoffNotFound, HandoffExpired, HandoffNotOpen.
    """
    if caller.kind != "person" or caller.subject is None:
        raise Unauthenticated()
    person_id = PersonId(caller.subject)
    code, match_code = domain.mint_token(), domain.mint_match_code()
    with database.begin(caller.merchant_id) as session:
        row = repository.handoff(session, handoff_id, lock=True)
        now = clock.system_now(session)
        if row is None:
            raise HandoffNotFound()
        if row.expires_at <= now:
            raise HandoffExpired()
        if row.state != "open":
            raise HandoffNotOpen(state=row.state)
        row.state = "approved"
        row.person_id = person_id
        row.code_hash, row.match_hash = domain.digest(code), domain.digest(match_code)
        row.code_expires_at = now + timedelta(seconds=domain.handoff_code_seconds)
        give_consent(session, person_id, "embed", row.embed_origin)
        return HandoffCode(handoff_id, code, match_code, row.code_expires_at)


def deny_handoff(database: Database, handoff_id: HandoffId) -> None:
    """The person did not agree: the hand-off can no longer be approved. Twice is once.

    Raises:
        HandoffNotFound.
    """
    with database.begin(_merchant(database, handoff_id)) as session:
        row = repository.handoff(session, handoff_id, lock=True)
        if row is not None and row.state == "open":
            row.state = "denied"


def redeem_handoff(
    database: Database,
    handoff_id: HandoffId,
    *,
    code: str,
    verifier: str,
    guest_tokens: Sequence[str] = (),
    adopt: Adopt = adopt_guest,
    lifetimes: Lifetimes = LIFETIMES,
) -> LoggedIn:
    """Trade code (or the typed match code) and verifier for a bearer session in the frame, once.

    A wrong try is counted even though it fails; the fifth spends the hand-off, so that six letters are enough.

    Raises:
        HandoffNotFound, HandoffExpired (also: the code's 60 seconds are over), HandoffNotOpen, HandoffCodeWrong.
    """
    merchant_id = _merchant(database, handoff_id)
    refusal: GroupbookError | None = None
    with database.begin(merchant_id) as session:
        row = repository.handoff(session, handoff_id, lock=True)
        now = clock.system_now(session)
        if row is None:
            raise HandoffNotFound()
        if row.expires_at <= now:
            raise HandoffExpired()
        if row.state not in ("open", "approved"):
            raise HandoffNotOpen(state=row.state)
        if not _is_right(row, code, verifier):
            row.attempts += 1
            if row.attempts >= domain.handoff_attempts_max:
                row.state = "spent"
            refusal = HandoffCodeWrong(tries_left=domain.handoff_attempts_max - row.attempts)
        elif row.code_expires_at is None or row.person_id is None or row.code_expires_at <= now:
            row.state = "spent"
            refusal = HandoffExpired()
        else:
            row.state, row.code_hash, row.match_hash = "redeemed", None, None
            person = read_person(session, PersonId(row.person_id))
            adopt_presented(session, guest_tokens, person.id, adopt=adopt, now=now)
            minted = mint_session(
                session,
                "bearer",
                now=now,
                person_id=person.id,
                embed_origin=row.embed_origin,
                instance=row.instance,
                lifetimes=lifetimes,
            )
    # Raised after the commit: the wrong try must stay counted.
    if refusal is not None:
        raise refusal
    return LoggedIn(merchant_id=merchant_id, person=person, session=minted, is_new=False)


def _is_right(row: HandoffRow, code: str, verifier: str) -> bool:
    match_code = domain.normal_match_code(code)
    knows_code = domain.is_same(code, row.code_hash) or (
        match_code is not None and domain.is_same(match_code, row.match_hash)
    )
    return domain.proves(verifier, row.challenge) and knows_code


def _merchant(database: Database, handoff_id: HandoffId) -> MerchantId:
    with database.begin_unbound() as session:
        merchant_id = repository.handoff_merchant(session, handoff_id)
    if merchant_id is None:
        raise HandoffNotFound()
    return merchant_id


def _handoff_of(row: HandoffRow) -> Handoff:
    state: HandoffState = row.state  # type: ignore[assignment]  # the column's check allows these values only
    return Handoff(
        id=HandoffId(row.id),
        merchant_id=MerchantId(row.merchant_id),
        embed_origin=row.embed_origin,
        instance=row.instance,
        state=state,
        expires_at=row.expires_at,
    )
