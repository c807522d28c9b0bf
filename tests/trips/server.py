"""The room's addresses on a real server, and a reader of its live stream."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from groupbook import people
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.http import Edge
from groupbook.kit.sealing import Sealer
from groupbook.trips.endpoints import TripDeps, routes
from groupbook.trips.live import Hub

SECRET = "a secret key of the tests"


def build(database: Database, hub: Hub) -> Starlette:
    """The room alone, with sessions as bearer tokens."""

    def authenticate(request: Request) -> Caller | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return None
        caller = people.authenticate(database, token)
        if caller is None:
            raise Unauthenticated()
        return caller

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub.running():
            yield

    edge = Edge(database, authenticate, "http://localhost")
    deps = TripDeps(database, Sealer(SECRET), hub, "http://localhost")
    return Starlette(routes=routes(deps, edge), lifespan=lifespan)


@dataclass
class Server:
    hub: Hub
    port: int
    streams: list[Stream] = field(default_factory=list)

    def ask(
        self, method: str, path: str, token: str | None = None, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = {"content-type": "application/json"} | _bearer(token) | (headers or {})
        connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=sent)
        response = connection.getresponse()
        raw = response.read()
        connection.close()
        return response.status, json.loads(raw) if raw else None

    def open(self, trip: str, token: str | None = None, last_event_id: str | None = None) -> Stream:
        self.streams.append(Stream(self.port, trip, token, last_event_id))
        return self.streams[-1]

    def close(self) -> None:
        for stream in self.streams:
            stream.close()


def _bearer(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


class Stream:
    """One reader. `next` waits for the next event, `None` is the end of the stream."""

    def __init__(self, port: int, trip: str, token: str | None, last_event_id: str | None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = _bearer(token) | ({"last-event-id": last_event_id} if last_event_id is not None else {})
        self._connection.request("GET", f"/v1/trips/{trip}/events/stream", headers=headers)
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.headers = self._response.headers
        self.keep_alives = 0

    def next(self) -> tuple[int | None, str, Any] | None:
        fields: dict[str, str] = {}
        while line := self._response.readline().decode():
            line = line.rstrip("\n")
            if line.startswith(":"):
                self.keep_alives += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                seq = int(fields["id"]) if "id" in fields else None
                return seq, fields["event"], json.loads(fields["data"])
        return None

    def take(self, count: int) -> list[tuple[int | None, str]]:
        found = [self.next() for _ in range(count)]
        return [(event[0], event[1]) for event in found if event is not None]

    def close(self) -> None:
        self._response.close()
        self._connection.close()


@contextmanager
def serving(database: Database, **settings: Any) -> Iterator[Server]:
    """The room on a port of this machine, in a thread."""
    hub = Hub(database.url, **settings)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(build(database, hub), log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        thread.join(0.02)
    running = Server(hub, listener.getsockname()[1])
    try:
        yield running
    finally:
        running.close()
        hub_loop_close(server, hub)
        server.should_exit = True
        thread.join(15)
        listener.close()


def hub_loop_close(server: uvicorn.Server, hub: Hub) -> None:
    """A server in a thread gets no signal, so the streams are ended by hand; see `Hub._end_on_signals`."""
    loop = server.servers[0].get_loop() if server.servers else None
    if loop is not None:
        loop.call_soon_threadsafe(hub.close)


if __name__ == "__main__":
    # A process of its own, for the test that stops it by a signal: python -m tests.trips.server URL PORT
    address = Database(sys.argv[1], pool_size=4, name="test")
    uvicorn.run(build(address, Hub(address.url)), port=int(sys.argv[2]), log_level="warning")
