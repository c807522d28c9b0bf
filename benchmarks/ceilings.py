"""The bare ceilings: a minimal Starlette application on the same server program, database, driver and SQL shape.

No session is looked up, no row-level security applies, nobody is told anything and nothing is recorded beside the row
itself: what is left is what the answer cannot do without. One process, one asynchronous pool of 8 connections.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, StringConstraints
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from groupbook.kit.database import libpq_url
from groupbook.kit.ids import from_wire, new_id
from groupbook.trips.repository import DOCUMENT_SQL

PLAN = json.loads(os.environ["BENCHMARK_PLAN"])
TRIP = from_wire("trip", PLAN["trip"])
OPTION = from_wire("opt", PLAN["options"][0])
MEMBERS = [from_wire("mem", member) for member in PLAN["members"]]
POOL: AsyncConnectionPool[Any] = AsyncConnectionPool(
    libpq_url(os.environ["GROUPBOOK_DATABASE_URL"]), min_size=8, max_size=8, open=False, kwargs={"autocommit": True}
)
JSON = "application/json"
DOCUMENT = re.sub(r"(?<!:):([a-z_]+)\b(?!')", r"%(\1)s", DOCUMENT_SQL.replace("%", "%%"))
NO_ID = UUID(int=0)


class Vote(BaseModel):
    choice: Literal["yes", "if_need_be", "no"]


class Join(BaseModel):
    name: Annotated[str, StringConstraints(max_length=80)]


async def read(request: Request) -> Response:
    """One SELECT; the JSON is built by PostgreSQL."""
    values = {"trip_id": TRIP, "person_id": NO_ID, "guest_id": NO_ID, "is_merchant": True}
    async with POOL.connection() as connection:
        row = await (await connection.execute(DOCUMENT, values)).fetchone()
    return Response(row[0] if row else "", media_type=JSON)


async def vote(request: Request) -> Response:
    """pydantic and one upsert, committed."""
    said = Vote.model_validate_json(await request.body())
    async with POOL.connection() as connection:
        await connection.execute(
            "INSERT INTO ceiling_vote VALUES (%s, %s, %s) ON CONFLICT (option_id, member_id) "
            "DO UPDATE SET choice = excluded.choice",
            (OPTION, MEMBERS[int(request.path_params["member"])], said.choice),
        )
    return Response(f'{{"choice":"{said.choice}"}}', media_type=JSON)


async def join(request: Request) -> Response:
    """pydantic and one row, committed."""
    said = Join.model_validate_json(await request.body())
    id = new_id()
    async with POOL.connection() as connection:
        await connection.execute("INSERT INTO ceiling_member VALUES (%s, %s, %s)", (id, TRIP, said.name))
    return Response(f'{{"member_id":"{id}"}}', media_type=JSON, status_code=201)


async def quote(request: Request) -> Response:
    """One SELECT of everything a price needs; no price is computed."""
    async with POOL.connection() as connection:
        row = await (
            await connection.execute(
                "SELECT json_build_object('offers', (SELECT json_agg(json_build_object('id', o.id, 'fares', o.fares, "
                "'legs', o.legs)) FROM trip_option t JOIN offer o ON o.id = t.offer_id WHERE t.trip_id = %(trip)s), "
                "'party', (SELECT json_agg(m.id) FROM member m WHERE m.trip_id = %(trip)s))::text",
                {"trip": TRIP},
            )
        ).fetchone()
    return Response(row[0] if row else "", media_type=JSON)


class Fan:
    """Server-sent events as bare ASGI: one shared future, nothing stored, nobody checked."""

    def __init__(self) -> None:
        self.next: asyncio.Future[bytes] | None = None
        self.seq = 0

    def waiter(self) -> asyncio.Future[bytes]:
        if self.next is None:
            self.next = asyncio.get_running_loop().create_future()
        return self.next

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        while True:
            chunk = await self.waiter()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def publish(self, request: Request) -> Response:
        body = await request.body()
        self.seq += 1
        said, self.next = self.waiter(), None
        said.set_result(b"id: %d\nevent: vote.cast\ndata: %s\n\n" % (self.seq, body))
        return Response(status_code=202)


@asynccontextmanager
async def lifespan(application: Starlette) -> AsyncIterator[None]:
    async with POOL as pool:
        async with pool.connection() as connection:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS ceiling_vote (option_id uuid, member_id uuid, choice text, "
                "PRIMARY KEY (option_id, member_id))"
            )
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS ceiling_member (id uuid PRIMARY KEY, trip_id uuid, name text)"
            )
        yield


_fan = Fan()
_stream: Any = _fan
app = Starlette(
    routes=[
        Route("/read", read),
        Route("/vote/{member}", vote, methods=["PUT"]),
        Route("/join", join, methods=["POST"]),
        Route("/quote", quote),
        Route("/stream", _stream, methods=["GET"]),
        Route("/publish", _fan.publish, methods=["POST"]),
    ],
    lifespan=lifespan,
)
