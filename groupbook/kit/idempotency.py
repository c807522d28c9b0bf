"""Idempotency keys of our own API (draft-ietf-httpapi-idempotency-key-header-07, and Stripe's practice).

Scope is (merchant, actor, key). Same key and same request: the first answer again. Same key, another request: 422.
Same key while the first is still at work: 409. Missing where money moves: 400. Only answers that changed something
are kept: a refused request moved nothing and may be tried again with the same key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.clock import system_now
from groupbook.kit.database import merchant_of
from groupbook.kit.errors import Conflict, Invalid, Malformed
from groupbook.kit.models import IdempotencyKeyRow

KEY_LENGTH_MAX = 255
KEEP_DAYS = 30


class IdempotencyKeyMissing(Malformed):
    code = "idempotency_key_missing"


class IdempotencyKeyInvalid(Malformed):
    code = "idempotency_key_invalid"


class IdempotencyKeyInUse(Conflict):
    code = "idempotency_key_in_use"


class IdempotencyKeyReused(Invalid):
    code = "idempotency_key_reused"


@dataclass(frozen=True)
class StoredAnswer:
    status: int
    body: bytes


def check_key(key: str | None) -> str:
    """The header's value, or a clear refusal: 1 to 255 visible ASCII characters."""
    if key is None or key == "":
        raise IdempotencyKeyMissing(header="Idempotency-Key")
    if len(key) > KEY_LENGTH_MAX or not all("!" <= character <= "~" for character in key):
        raise IdempotencyKeyInvalid(header="Idempotency-Key", length_max=KEY_LENGTH_MAX)
    return key


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), body))).digest()


def claim(
    session: Session, *, actor: str, key: str, method: str, path: str, body: bytes, lock_seconds: float
) -> StoredAnswer | None:
    """Take the key for this request, or return the answer it already has.

    Raises:
        IdempotencyKeyReused: the key belongs to another request (422).
        IdempotencyKeyInUse: the same request is still at work (409).
    """
    at = system_now(session)
    digest = fingerprint(method, path, body)
    row = insert(IdempotencyKeyRow).values(
        merchant_id=merchant_of(session),
        actor=actor,
        key=key,
        method=method,
        path=path,
        request_hash=digest,
        locked_until=at + timedelta(seconds=lock_seconds),
        created_at=at,
        expires_at=at + timedelta(days=KEEP_DAYS),
    )
    if session.execute(row.on_conflict_do_nothing().returning(IdempotencyKeyRow.key)).first():
        return None
    query = select(IdempotencyKeyRow).where(IdempotencyKeyRow.actor == actor, IdempotencyKeyRow.key == key)
    known = session.scalars(query.with_for_update()).one_or_none()
    if known is None:
        raise IdempotencyKeyInUse()  # given back between our two looks: the next try finds it free
    if known.request_hash != digest:
        raise IdempotencyKeyReused()
    if known.status is not None and known.body is not None:
        return StoredAnswer(known.status, known.body)
    if known.locked_until is not None and known.locked_until > at:
        raise IdempotencyKeyInUse()
    known.locked_until = at + timedelta(seconds=lock_seconds)
    return None


def finish(session: Session, *, actor: str, key: str, answer: StoredAnswer) -> None:
    """Keep the answer for replays."""
    row = session.get_one(IdempotencyKeyRow, (merchant_of(session), actor, key))
    row.status, row.body, row.locked_until = answer.status, answer.body, None


def release(session: Session, *, actor: str, key: str) -> None:
    """Give the key back after a request that changed nothing."""
    session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.actor == actor, IdempotencyKeyRow.key == key))


def purge(session: Session) -> None:
    """Forget keys past their time."""
    session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.expires_at < system_now(session)))
