"""`GET /v1/trips/{trip_id}/events/stream`: the live log as server-sent events, read through `fetch`.

Plain ASGI, because the answer never ends: the request waits for its client to go, and the channel writes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from typing import Any, Final
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from groupbook import merchants, people
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import GroupbookError, Unauthenticated
from groupbook.kit.http import NOBODY, Edge, problem, require_scope
from groupbook.kit.ids import MerchantId, TripId, from_wire
from groupbook.trips.domain import Sight, TripNotFound
from groupbook.trips.live import Channel, Hub, Reader, encode_snapshot, retry_milliseconds
from groupbook.trips.service.gather import merchant_of_trip

PATH: Final = "/v1/trips/{trip_id}/events/stream"
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"vary", b"Authorization, Cookie"),
]
_SEQ: Final = re.compile(r"\d{1,15}")


def last_seen(header: str | None) -> int | None:
    """The seq a reader saw last. None: it starts here. -1: what it says means nothing to us, so it reads afresh."""
    if header is None:
        return None
    return int(header) if header.isascii() and _SEQ.fullmatch(header) else -1


class LiveStream:
    """The endpoint, as an ASGI application."""

    def __init__(self, database: Database, hub: Hub, authenticate: Callable[[Request], Caller | None]) -> None:
        self._database = database
        self._hub = hub
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            opened = await self._open(request)
        except GroupbookError as error:
            await problem(error, request)(scope, receive, send)
            return
        if opened is None:
            await Response(status_code=204)(scope, receive, send)
            return
        channel, caller, sight = opened
        await self._serve(channel, caller, sight, last_seen(request.headers.get("last-event-id")), receive, send)

    async def _open(self, request: Request) -> tuple[Channel, Caller, Sight] | None:
        """The channel and what this caller sees of it; None: they lost access, and need not come back.

        Raises:
            Unauthenticated, Unavailable.
            Forbidden: an API key that may not read trips.
            TripNotFound: no such trip, or never theirs to see.
        """
        trip_id = TripId(from_wire("trip", request.path_params["trip_id"]))
        caller = await run_in_threadpool(self._authenticate, request) or NOBODY
        require_scope(caller, "trips:read")
        merchant_id = caller.merchant_id
        if caller.kind == "nobody":
            merchant_id = await run_in_threadpool(merchant_of_trip, self._database, trip_id)
        channel = await self._hub.channel(merchant_id, trip_id)
        if channel is None or channel.access is None:
            raise TripNotFound()
        sight = channel.access.sight(caller)
        if sight is not None:
            return channel, caller, sight
        if channel.access.had_access(caller) or request.headers.get("last-event-id"):
            return None
        if caller.kind == "nobody":
            raise Unauthenticated()
        raise TripNotFound()

    async def _serve(
        self, channel: Channel, caller: Caller, sight: Sight, seen: int | None, receive: Receive, send: Send
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        greeting = f"retry: {retry_milliseconds}\n\n".encode()
        cursor = channel.latest if seen is None or seen < 0 or seen > channel.latest else seen
        if cursor != seen:
            greeting += encode_snapshot(cursor)
        await send({"type": "http.response.body", "body": greeting, "more_body": True})
        loop = asyncio.get_running_loop()
        reader = Reader(caller, send, sight, cursor, loop.time(), asyncio.current_task())
        joined = self._hub.add(channel, reader)
        try:
            if self._hub.is_closing:  # the stop came while we were opening
                joined.end(reader)
            joined.write(reader)
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if not reader.ended:
                raise
            # The hub let go of a reader that does not read: return, so that the server closes the connection.
        finally:
            self._hub.remove(joined, reader)


def still_good(database: Database, merchant_id: MerchantId, credentials: Collection[UUID]) -> set[UUID]:
    """Of these sessions and API keys, those that still work. A use case of the hub's."""
    with database.begin(merchant_id) as session:
        return people.live_sessions(session, credentials) | merchants.live_credentials(session, credentials)


def stream_routes(database: Database, hub: Hub, edge: Edge) -> list[Route]:
    """The one route of the live log; it stands beside the operations because its answer never ends."""
    endpoint: Any = LiveStream(database, hub, edge.authenticate)
    return [Route(PATH, endpoint, methods=["GET"], name="stream_trip_events")]
