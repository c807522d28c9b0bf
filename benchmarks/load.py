"""A closed loop: so many connections, each asking again as soon as it is answered. One process, no library between."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Request = Callable[[int], bytes]
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (\d+)")


@dataclass
class Figure:
    """One measurement."""

    seconds: float
    latencies: list[float]
    errors: list[int] = field(default_factory=list)
    cpu_seconds: float = 0.0

    @property
    def cpu_us(self) -> float:
        """The server's own processor time per answer."""
        return self.cpu_seconds / max(1, len(self.latencies)) * 1e6

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1_000 if ordered else 0.0


def http(method: str, path: str, *, token: str | None = None, body: bytes = b"") -> bytes:
    """One request as bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAccept: */*, text/event-stream\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class _Asker(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = bytearray()
        self._needed = -1
        self._asked_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream")
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if self._transport is None:
            return
        if time.perf_counter() >= self._run.until:
            self._transport.close()
            return
        self._asked_at = time.perf_counter()
        self._transport.write(self._run.next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._needed < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._buffer, 0, end + 2)
            self._needed = end + 4 + (int(found[1]) if found else 0)
        if len(self._buffer) < self._needed:
            return
        self._run.answered(int(self._buffer[9:12]), time.perf_counter() - self._asked_at)
        del self._buffer[: self._needed]
        self._needed = -1
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._run.left()


class _Run:
    def __init__(self, make: Request, connections: int, seconds: float) -> None:
        self.until = time.perf_counter() + seconds
        self._make = make
        self._open = connections
        self._count = 0
        self.latencies: list[float] = []
        self.errors: list[int] = []
        self.done = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes:
        self._count += 1
        return self._make(self._count)

    def answered(self, status: int, seconds: float) -> None:
        if status >= 400:
            self.errors.append(status)
        else:
            self.latencies.append(seconds)

    def left(self) -> None:
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(None)


def measure(port: int, make: Request, *, connections: int, seconds: float) -> Figure:
    """Ask for `seconds`; `make(n)` gives the n-th request."""

    async def run() -> Figure:
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        state = _Run(make, connections, seconds)
        for _ in range(connections):
            await loop.create_connection(lambda: _Asker(state), "127.0.0.1", port)
        await asyncio.wait_for(state.done, seconds + 60)
        return Figure(time.perf_counter() - started, state.latencies, state.errors)

    return asyncio.run(run())
