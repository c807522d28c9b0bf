"""The demo agency for tests: the real server on loopback, in a thread, with impatient settings."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import uvicorn

from groupbook.kit import outbound
from integrations.demo.rail import provoke
from integrations.demo.rail.api import Settings
from integrations.demo.rail.app import build
from integrations.demo.rail.store import Store

TOKEN = "test-token"


@dataclass
class Kestrel:
    """A running agency and a hand on its books."""

    url: str
    state: Path

    @property
    def store(self) -> Store:
        return Store(self.state)

    def provoke(self, operation: str, what: str, times: int = 1) -> None:
        with self.store.write() as connection:
            provoke.add(connection, what, operation, times=times)

    def forgive(self) -> None:
        """Nothing is provoked any more."""
        with self.store.write() as connection:
            provoke.clear(connection)

    def states(self, table: str, our_refs: Sequence[str]) -> list[str]:
        """What became of these holds or sales; those that never arrived are left out."""
        with self.store.read() as connection:
            rows = connection.execute(f"SELECT our_ref, state FROM {table}").fetchall()
        return [row["state"] for row in rows if row["our_ref"] in our_refs]

    def get(self, path: str) -> httpx2.Response:
        with outbound.client(self.url) as client:
            return client.get(path)


@contextmanager
def kestrel(
    state: Path, *, lost_answer_seconds: float = 0.6, late_effect_seconds: float = 0.3, groupbook: str = ""
) -> Iterator[Kestrel]:
    """Run the agency until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = build(
            state,
            Settings(
                token=TOKEN,
                public_url=url,
                groupbook_url=groupbook or "http://localhost:9",
                merchant_slug="kestrel",
                lost_answer_seconds=lost_answer_seconds,
                late_effect_seconds=late_effect_seconds,
            ),
        )
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Kestrel(url, state)
        finally:
            server.should_exit = True
            thread.join(timeout=10)
