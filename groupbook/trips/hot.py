"""The two hottest requests, reading a trip and voting, without threads and in one round trip each.

Promise: never another answer than the ordinary operation's. This path answers only what is plainly good - a bearer
session, a member, an open vote; whatever else it meets (API keys, cookies, strangers, refusals, malformed bodies)
changes nothing and goes to the operation, which knows all the reasons. It binds the merchant as `kit.database` does, so
row-level security holds here too. Why it exists, with figures: docs/decisions/0012-hot-path-and-live-log-of-trips.md.

A request is one message of several statements, so one implicit transaction: bind the merchant of the session, take the
lock, then the statement that sees what the lock waited for. The statements are prepared per connection; what goes into
the message is an id, a digest or a word of three, each put into text by us.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
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
from groupbook.trips.schemas import CastVoteIn

_TOKEN: Final = re.compile(rb"[Bb]earer ([A-Za-z0-9_-]{20,128})")
_body_bytes_max: Final = 1_024
_wait_seconds_max: Final = 2.0

# Whose token it is. The merchant is bound for the rest of the transaction, and read by the statements after it.
_BIND: Final = "SELECT set_config('app.merchant_id', coalesce(lookup_session(:digest)->>'merchant_id', ''), true)"
_WHO: Final = (
    "WITH who AS MATERIALIZED (SELECT (s->>'person_id')::uuid AS person_id, (s->>'guest_id')::uuid AS guest_id "
    "FROM lookup_session(:digest) AS s),"
)
_LOCK: Final = "SELECT 1 FROM trip WHERE id = :trip_id FOR UPDATE"

# A vote that is plainly good, or no row: what `service.decide` asks one by one.
_SAID: Final = f"""{_WHO}
said AS MATERIALIZED (
  SELECT t.merchant_id, t.id AS trip_id, t.round, m.id AS member_id, clock_timestamp() + make_interval(secs => coalesce(
    (SELECT offset_seconds FROM merchant_clock c WHERE c.merchant_id = t.merchant_id), 0)) AS now
  FROM who JOIN trip t ON t.id = :trip_id AND t.state = 'open'
    JOIN member m ON m.trip_id = t.id AND m.left_at IS NULL AND m.role <> 'viewer'
      AND (m.person_id = who.person_id OR m.guest_id = who.guest_id)
  WHERE EXISTS (SELECT 1 FROM trip_option o WHERE o.trip_id = t.id AND o.id = :option_id AND o.removed_at IS NULL)
    AND NOT EXISTS (SELECT 1 FROM vote v
      WHERE v.option_id = :option_id AND v.member_id = m.id AND v.round = t.round AND v.choice = :choice)),"""
_CHANGE: Final = (
    "INSERT INTO vote (merchant_id, option_id, member_id, trip_id, choice, round, cast_at) "
    "SELECT merchant_id, :option_id, member_id, trip_id, :choice, round, now FROM said "
    "ON CONFLICT (merchant_id, option_id, member_id) DO UPDATE "
    "SET choice = excluded.choice, round = excluded.round, cast_at = excluded.cast_at"
)


def _vote_sql() -> str:
    sql = repository.SAVE_SQL.format(type="vote.cast", change=_CHANGE)
    for name in ("merchant_id", "member_id", "round", "now"):
        sql = re.sub(rf":{name}\b", f"(SELECT {name} FROM said)", sql)
    # Without a good vote there is no trip to count up, and so no event.
    sql = sql.replace("WHERE id = :trip_id RETURNING", "WHERE id = (SELECT trip_id FROM said) RETURNING")
    address = "(SELECT encode(uuid_send(merchant_id), 'hex') || ':' || encode(uuid_send(trip_id), 'hex') FROM said)"
    return sql.replace(":address", address).replace("WITH ", f"{_SAID}\n", 1)


def _read_sql() -> str:
    sql = repository.DOCUMENT_SQL.replace("WITH seen AS", f"{_WHO} seen AS", 1).replace(":is_merchant", "false")
    return sql.replace(":person_id", "(SELECT person_id FROM who)").replace(":guest_id", "(SELECT guest_id FROM who)")


def _prepare(name: str, sql: str, parameters: Sequence[tuple[str, str]]) -> str:
    """`PREPARE name (types) AS sql` with the named parameters numbered."""
    for number, (parameter, _) in enumerate(parameters, start=1):
        sql = re.sub(rf"(?<![:\w]):{parameter}\b", f"${number}", sql)
    return f"PREPARE {name} ({', '.join(type for _, type in parameters)}) AS {sql}"


_DIGEST, _TRIP, _OPTION, _CHOICE = ("digest", "bytea"), ("trip_id", "uuid"), ("option_id", "uuid"), ("choice", "text")
_STATEMENTS: Final = (
    _prepare("hot_bind", _BIND, [_DIGEST]),
    _prepare("hot_read", _read_sql(), [_DIGEST, _TRIP]),
    _prepare("hot_lock", _LOCK, [_TRIP]),
    _prepare("hot_vote", _vote_sql(), [_DIGEST, _TRIP, _OPTION, _CHOICE]),
)


class HotPool:
    """A few asynchronous connections of the application role, for this path alone."""

    def __init__(self, url: str, *, size: int = 8) -> None:
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            libpq_url(url),
            min_size=0,
            max_size=size,
            open=False,
            timeout=_wait_seconds_max,
            configure=_configure,
            kwargs={"autocommit": True, "application_name": "groupbook-hot", "prepare_threshold": None},
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HotPool]:
        async with self._pool:
            yield self

    async def read(self, trip_id: UUID, digest: bytes) -> str | None:
        """The trip's document for this session; None: ask the ordinary way."""
        asker = f"'\\x{digest.hex()}'"
        row = await self._last_row(f"EXECUTE hot_bind({asker}); EXECUTE hot_read({asker}, '{trip_id}')", skip=1)
        return row[0] if row else None

    async def vote(self, trip_id: UUID, option_id: UUID, choice: str, digest: bytes) -> int | None:
        """Cast the vote and answer its event's seq; None: nothing changed, ask the ordinary way."""
        asker = f"'\\x{digest.hex()}'"
        row = await self._last_row(
            f"EXECUTE hot_bind({asker}); EXECUTE hot_lock('{trip_id}'); "
            f"EXECUTE hot_vote({asker}, '{trip_id}', '{option_id}', '{choice}')",
            skip=2,
        )
        return row[0] if row else None

    async def _last_row(self, message: str, *, skip: int) -> tuple[Any, ...] | None:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(message)
            for _ in range(skip):
                cursor.nextset()
            row: tuple[Any, ...] | None = await cursor.fetchone()
        return row


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute(f"SET ROLE {APP_ROLE}")
    for statement in _STATEMENTS:
        await connection.execute(statement)


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
            seq = await self._pool.vote(trip_id, option_id, choice, digest)
        except (InvalidId, ValidationError):
            return None
        except (psycopg.Error, PoolTimeout):
            return None  # nothing was committed, or the operation finds the same word there: twice is once
        if seq is None:
            return None
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
