"""From a vote to the last of a thousand live listeners (goal F1), beside bare ASGI and, where installed, nginx + nchan.

"vote to last" counts everything: the vote's request, its transaction, the notice, the read, the write to every reader.
"event to last" begins where the event is committed, as goal F1 counts: commit, notice, read, write. The two others fan
out a message that nobody stored. Lag: from sending the vote, commit or message to the last reader's last byte.
"""

from __future__ import annotations

import http.client
import resource
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Protocol
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.load import http as request_bytes
from benchmarks.world import World
from groupbook.kit.database import libpq_url
from groupbook.kit.ids import from_wire

EVENTS = 20
GOAL = 2.5
_END = b"event: vote.cast"


@dataclass
class Audience:
    """Many open streams of one server."""

    port: int
    request: bytes
    size: int
    sockets: list[socket.socket] = field(default_factory=list)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def open(self) -> None:
        for _ in range(self.size):
            reader = socket.create_connection(("127.0.0.1", self.port))
            reader.sendall(self.request)
            reader.setblocking(False)
            self.sockets.append(reader)
            self.selector.register(reader, selectors.EVENT_READ)
        self.drain(1.0)

    def drain(self, quiet_seconds: float) -> None:
        """Read what is under way until nothing comes any more."""
        while ready := self.selector.select(quiet_seconds):
            for key, _ in ready:
                if not _receive(key.fileobj):
                    raise RuntimeError("a stream ended while the benchmark opened it")

    def last(self, publish: Callable[[], None]) -> float:
        """Publish one event; the seconds until the last reader has it."""
        waiting = self.size
        begun = time.perf_counter()
        publish()
        while waiting:
            ready = self.selector.select(10)
            if not ready:
                raise TimeoutError(f"{waiting} readers wait for an event that does not come")
            for key, _ in ready:
                waiting -= _receive(key.fileobj).count(_END)
        return time.perf_counter() - begun

    def close(self) -> None:
        for reader in self.sockets:
            reader.close()
        self.selector.close()


def _receive(reader: object) -> bytes:
    if not isinstance(reader, socket.socket):
        raise TypeError("not a socket")
    return reader.recv(65_536)


class Publisher(Protocol):
    """Makes one event happen, without waiting for what comes of it."""

    def __call__(self) -> None: ...

    def settle(self) -> None:
        """Before the next one."""

    def close(self) -> None: ...


class _Committer:
    """Appends an event to the trip's log by itself, as `trips.append_event` does."""

    def __init__(self, url: str, merchant_id: UUID, trip_id: UUID) -> None:
        self._connection = psycopg.connect(libpq_url(url), autocommit=True)
        self._connection.execute("SELECT set_config('app.merchant_id', %s, false)", [str(merchant_id)])
        self._values = {
            "trip_id": trip_id,
            "merchant_id": merchant_id,
            "address": f"{merchant_id.hex}:{trip_id.hex}",
            "payload": Jsonb({"option_id": "opt_" + "0" * 32, "counts": {"yes": 1, "if_need_be": 2, "no": 3}}),
        }

    def __call__(self) -> None:
        self._connection.execute(
            "WITH bumped AS (UPDATE trip SET event_seq = event_seq + 1 WHERE id = %(trip_id)s RETURNING event_seq), "
            "logged AS (INSERT INTO trip_event (merchant_id, trip_id, seq, type, payload, at) SELECT %(merchant_id)s, "
            "%(trip_id)s, event_seq, 'vote.cast', %(payload)s, now() FROM bumped RETURNING seq) "
            "SELECT pg_notify('trip_event', %(address)s || ':' || seq) FROM logged",
            self._values,
        )

    def settle(self) -> None:
        return None

    def close(self) -> None:
        self._connection.close()


class _Publisher:
    """Sends on a kept connection without waiting for the answer, which is read before the next one."""

    def __init__(self, port: int, make: Callable[[], tuple[str, str, bytes, dict[str, str]]]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._make = make
        self._is_waiting = False

    def __call__(self) -> None:
        method, path, body, headers = self._make()
        self._connection.request(method, path, body=body, headers=headers)
        self._is_waiting = True

    def settle(self) -> None:
        if self._is_waiting:
            answer = self._connection.getresponse()
            answer.read()
            self._is_waiting = False
            if answer.status >= 400:
                raise RuntimeError(f"publishing was refused with {answer.status}")

    def close(self) -> None:
        self._connection.close()


@dataclass
class Stage:
    name: str
    audience: Audience
    publisher: Publisher
    lags_ms: list[float] = field(default_factory=list)

    def round(self) -> float:
        lags = []
        for _ in range(EVENTS):
            try:
                lags.append(self.audience.last(self.publisher) * 1_000)
            except TimeoutError as error:
                self.publisher.settle()
                raise RuntimeError(f"{self.name}: {error}") from None
            self.publisher.settle()
        self.lags_ms.append(median(lags))
        return self.lags_ms[-1]


def campaign(world: World, *, rounds: int, readers: int) -> bool:
    """Interleaved rounds of 20 events; whether the goal against nchan (else against bare ASGI) is met."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, readers * 4 + 1_000)), hard))
    with TemporaryDirectory(prefix="groupbook-nchan-") as folder:
        vote = _ours(world, readers)
        committer = _Committer(world.url, world.merchant_id, from_wire("trip", world.plan.id))
        event = Stage("event to last", vote.audience, committer)
        stages = [event, vote, _bare(world, readers), *_nchan(world, Path(folder), readers)]
        try:
            for stage in stages:
                if not stage.audience.sockets:
                    stage.audience.open()
                stage.round()  # warm-up
                stage.lags_ms.clear()
            for _ in range(rounds):
                for stage in stages:
                    stage.round()
        finally:
            for stage in stages:
                stage.publisher.close()
                stage.audience.close()  # closing twice is once
    return _print(stages, rounds=rounds, readers=readers)


def _ours(world: World, readers: int) -> Stage:
    plan, seat, turn = world.plan, world.plan.seats[0], count()
    stream = request_bytes("GET", f"/v1/trips/{plan.id}/events/stream", token=seat.token)

    def vote() -> tuple[str, str, bytes, dict[str, str]]:
        choice = ("no", "yes")[next(turn) % 2]
        headers = {"authorization": f"Bearer {seat.token}", "content-type": "application/json"}
        return (
            "PUT",
            f"/v1/trips/{plan.id}/options/{plan.options[0]}/vote",
            f'{{"choice":"{choice}"}}'.encode(),
            headers,
        )

    port = world.ports["ours"]
    return Stage("vote to last", Audience(port, stream, readers), _Publisher(port, vote))


def _message() -> tuple[str, str, bytes, dict[str, str]]:
    return "POST", "/publish", b'{"seq":1,"type":"vote.cast","payload":"' + b"x" * 200 + b'"}', {}


def _bare(world: World, readers: int) -> Stage:
    port = world.ports["ceiling"]
    return Stage("bare ASGI", Audience(port, request_bytes("GET", "/stream"), readers), _Publisher(port, _message))


def _nchan(world: World, folder: Path, readers: int) -> list[Stage]:
    port = world.nchan(folder / "nginx.conf")
    if port is None:
        print("nginx with nchan is not installed (Debian: libnginx-mod-nchan); the goal is judged against bare ASGI")
        return []

    def message() -> tuple[str, str, bytes, dict[str, str]]:
        method, path, body, _ = _message()
        return method, path, body, {"X-EventSource-Event": "vote.cast"}

    audience = Audience(port, request_bytes("GET", "/stream"), readers)
    return [Stage("nchan", audience, _Publisher(port, message))]


def _print(stages: list[Stage], *, rounds: int, readers: int) -> bool:
    ours = stages[0]  # event to last
    print(f"\nFrom a vote to the last of {readers} listeners; {rounds} interleaved rounds of {EVENTS} events")
    met = True
    for stage in stages:
        line = f"{stage.name:14} {median(stage.lags_ms):7.1f} ms ({min(stage.lags_ms):.1f}-{max(stage.lags_ms):.1f})"
        if stage is not ours and stage.audience is not ours.audience:
            ratios = [mine / theirs for mine, theirs in zip(ours.lags_ms, stage.lags_ms, strict=True)]
            line += f"   event to last is {median(ratios):.2f} times that"
            if stage is stages[-1]:
                met = median(ratios) <= GOAL
                line += f" (goal <= {GOAL:g})"
        print(line, flush=True)
    return met
