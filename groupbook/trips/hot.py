"""The two hottest requests, reading a trip and voting, without threads and with the fewest round trips.

Promise: never another answer than the ordinary operation's. This path answers only what is plainly good - a bearer
session, a member, an open vote; whatever else it meets (API keys, cookies, strangers, refusals, malformed bodies) it
undoes and hands to the operation, which knows all the reasons. It binds the merchant as `kit.database` does, so
row-level security holds here too. Why it exists, with figures: docs/decisions/0020-hot-path-of-trips.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groupbook.kit.database import APP_ROLE, libpq_url
from groupbook.kit.errors import InvalidId
from groupbook.kit.ids import from_wire
from groupbook.trips import repository
from groupbook.trips.domain import Role, TripState
from groupbook.trips.schemas import CastVoteIn

_TOKEN: Final = re.compile(rb"[Bb]earer ([A-Za-z0-9_-]{20,128})")
_body_bytes_max: Final = 1_024
_wait_seconds_max: Final = 2.0


def _native(sql: str) -> str:
    """A statement of the repository in psycopg's own notation."""
    return re.sub(r"(?<![:\w]):([a-z_]+)\b", r"%(\1)s", sql.replace("%", "%%"))


# Whose token it is, and at which merchant: bound for the rest of the transaction, and read by the statements after it.
_BIND: Final = (
    "SELECT set_config('app.merchant_id', coalesce(s->>'merchant_id', ''), true), s->>'merchant_id' "
    "FROM lookup_session(%(digest)s) AS s"
)
_WHO: Final = (
    "who AS MATERIALIZED (SELECT (s->>'person_id')::uuid AS person_id, (s->>'guest_id')::uuid AS guest_id "
    "FROM lookup_session(%(digest)s) AS s)"
)


def _as_who(sql: str) -> str:
    return (
        _native(sql)
        .replace("%(person_id)s", "(SELECT person_id FROM who)")
        .replace("%(guest_id)s", "(SELECT guest_id FROM who)")
        .replace("%(is_merchant)s", "false")
    )


_READ: Final = _as_who(repository.DOCUMENT_SQL).replace("WITH seen AS", f"WITH {_WHO}, seen AS", 1)
_LOCK: Final = "SELECT state, round FROM trip WHERE id = %(trip_id)s FOR UPDATE"
_BALLOT: Final = f"WITH {_WHO} {_as_who(repository.BALLOT_SQL)}"
_CAST: Final = _native(repository.CAST_SQL)


class HotPool:
    """A few asynchronous connections of the application role, for this path alone."""

    def __init__(self, url: str, *, size: int = 8) -> None:
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            libpq_url(url),
            min_size=0,
            max_size=size,
            open=False,
            timeout=_wait_seconds_max,
            configure=_become_app_role,
            kwargs={"autocommit": True, "application_name": "groupbook-hot", "prepare_threshold": 0},
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HotPool]:
        async with self._pool:
            yield self

    async def read(self, trip_id: UUID, digest: bytes) -> str | None:
        """The trip's document for this session; None: ask the ordinary way."""
        values = {"trip_id": trip_id, "digest": digest}
        async with self._pool.connection() as connection:
            async with connection.pipeline():  # one round trip; what it sends is one transaction
                await connection.execute(_BIND, values)
                cursor = await connection.execute(_READ, values)
            row = await cursor.fetchone()
        return row[0] if row else None

    async def vote(self, trip_id: UUID, option_id: UUID, choice: str, digest: bytes) -> tuple[int | None] | None:
        """Cast the vote and answer its event's seq (None when it was so already); None: ask the ordinary way."""
        values: dict[str, Any] = {"trip_id": trip_id, "option_id": option_id, "choice": choice, "digest": digest}
        async with self._pool.connection() as connection:
            async with connection.pipeline():
                await connection.execute("BEGIN")
                bound = await connection.execute(_BIND, values)
                locked = await connection.execute(_LOCK, values)
                ballot = await connection.execute(_BALLOT, values)
            merchant, trip, said = await bound.fetchone(), await locked.fetchone(), await ballot.fetchone()
            if merchant is None or trip is None or said is None or not _is_plainly_good(trip, said):
                await connection.execute("ROLLBACK")
                return None
            member_id, _, _, known, now = said
            if known == choice:
                await connection.execute("ROLLBACK")
                return (None,)
            merchant_id = UUID(merchant[1])
            values |= {
                "merchant_id": merchant_id,
                "member_id": member_id,
                "round": trip[1],
                "now": now,
                "address": repository.notice_address(merchant_id, trip_id),
            }
            async with connection.pipeline():
                cursor = await connection.execute(_CAST, values)
                await connection.execute("COMMIT")
            row = await cursor.fetchone()
        return (row[0],) if row else None


def _is_plainly_good(trip: tuple[Any, ...], said: tuple[Any, ...]) -> bool:
    member_id, role, is_option = said[:3]
    return trip[0] == TripState.OPEN and member_id is not None and role != Role.VIEWER and is_option


async def _become_app_role(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute(f"SET ROLE {APP_ROLE}")


class HotRead:
    """`GET /v1/trips/{trip_id}` for bearer sessions."""

    def __init__(self, pool: HotPool, ordinary: ASGIApp) -> None:
        self._pool = pool
        self._ordinary = ordinary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        digest = _digest(scope)
        if digest is not None:
            try:
                trip_id = from_wire("trip", scope["path_params"]["trip_id"])
                document = await self._pool.read(trip_id, digest)
            except (InvalidId, psycopg.Error, PoolTimeout):
                document = None
            if document is not None:
                await _answer(send, document.encode())
                return
        await self._ordinary(scope, receive, send)


class HotVote:
    """`PUT /v1/trips/{trip_id}/options/{option_id}/vote` for bearer sessions."""

    def __init__(self, pool: HotPool, ordinary: ASGIApp) -> None:
        self._pool = pool
        self._ordinary = ordinary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        digest = _digest(scope)
        if digest is None:
            await self._ordinary(scope, receive, send)
            return
        raw = await Request(scope, receive).body()
        answer = await self._try(scope, raw, digest) if len(raw) <= _body_bytes_max else None
        if answer is not None:
            await _answer(send, answer)
            return
        await self._ordinary(scope, _again(raw, receive), send)

    async def _try(self, scope: Scope, raw: bytes, digest: bytes) -> bytes | None:
        parts = scope["path_params"]
        try:
            choice = CastVoteIn.model_validate_json(raw).choice
            trip_id, option_id = from_wire("trip", parts["trip_id"]), from_wire("opt", parts["option_id"])
            cast_now = await self._pool.vote(trip_id, option_id, choice, digest)
        except (InvalidId, ValidationError):
            return None
        except (psycopg.Error, PoolTimeout):
            return None  # nothing was committed, or the same word is said again: twice is once
        if cast_now is None:
            return None
        seq = "null" if cast_now[0] is None else str(cast_now[0])
        return f'{{"option_id":"{parts["option_id"]}","choice":"{choice}","seq":{seq}}}'.encode()


def _digest(scope: Scope) -> bytes | None:
    """The stored form of the session's token; None when the request is not plainly a bearer session's."""
    content_type = b"application/json"
    token = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            found = _TOKEN.fullmatch(value)
            token = found[1] if found and not found[1].startswith(b"gb_") else None
        elif name == b"content-type":
            content_type = value
    if token is None or content_type != b"application/json":
        return None
    return hashlib.sha256(token).digest()


def _again(raw: bytes, receive: Receive) -> Receive:
    """The same request once more, for whoever reads it after us."""
    messages: list[Message] = [{"type": "http.request", "body": raw, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
