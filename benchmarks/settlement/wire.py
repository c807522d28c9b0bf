"""Commits and round trips, counted at the wire: libpq writes down every message it sends or receives.

A round trip is a Sync of ours (or a simple Query), behind which we wait: statements that are sent together share one.
An answer that came before it, because the server's buffer was full, is not waited for; so how busy the machine is
changes no count.
A commit is a transaction that ended well, one of its own statement included, and *written* when it changed a row.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg import pq
from sqlalchemy import Engine, event

PREPARED_AFTER: Final = 6  # times that psycopg is asked a statement until it has prepared it, which costs a round trip
# An UPDATE of exactly one row is asked so that its answer has this column and no row (groupbook.kit.conversation)
_CHANGES: Final = re.compile(
    rb'^B\t\d+\t(CommandComplete\t "(INSERT 0|UPDATE|DELETE) [1-9]|RowDescription\t 1 "rows_changed")'
)
_WAIT: Final = re.compile(rb"^F\t\d+\t(Sync|Query)\b")
_IDLE: Final = re.compile(rb"^B\t\d+\tReadyForQuery\t I")
_WORK: Final = re.compile(rb'^B\t\d+\tCommandComplete\t "(?!ROLLBACK|SET"|DISCARD|BEGIN)')
_ROW: Final = re.compile(rb"^B\t\d+\tDataRow\t")
_ROLLBACK: Final = re.compile(rb'^B\t\d+\t(CommandComplete\t "ROLLBACK"|ErrorResponse)')


@dataclass(frozen=True)
class Cost:
    """What a piece of work cost: transactions that committed, those of them that wrote, waits for the server, and rows
    that it sent us.
    """

    commits: int = 0
    written: int = 0
    round_trips: int = 0
    rows: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.commits + other.commits,
            self.written + other.written,
            self.round_trips + other.round_trips,
            self.rows + other.rows,
        )


class Wire:
    """Listens to the connections of an engine, or to one connection, from the moment it is told to.

    Use as a context; `take()` says what happened since it was last asked. The pooled connections are opened anew, so
    that none is missed.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self._engine = engine
        self._folder = tempfile.TemporaryDirectory(prefix="groupbook-wire-")
        self._listened: list[tuple[psycopg.Connection[Any], int, int]] = []

    def __enter__(self) -> Self:
        if self._engine is not None:
            event.listen(self._engine, "connect", self._on_connect, insert=True)
            self._engine.dispose()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._engine is not None:
            event.remove(self._engine, "connect", self._on_connect)
            self._engine.dispose()
        for _, handle, _ in self._listened:
            os.close(handle)
        self._folder.cleanup()

    def _on_connect(self, connection: psycopg.Connection[Any], _record: object) -> None:
        self.listen(connection)

    def listen(self, connection: psycopg.Connection[Any]) -> None:
        """Write down the conversation of this connection from here on."""
        path = os.path.join(self._folder.name, str(len(self._listened)))
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._listened.append((connection, handle, 0))
        _trace(connection, handle)

    def take(self) -> Cost:
        """What was said since the last `take`."""
        return sum((_cost(text) for text in self.texts()), Cost())

    def texts(self) -> list[bytes]:
        """The conversations themselves since the last `take`, one per connection: to read what was asked."""
        heard = []
        for index, (connection, handle, read_to) in enumerate(self._listened):
            if not connection.closed:
                connection.pgconn.untrace()  # it writes what is still in its buffer
            size = os.fstat(handle).st_size
            heard.append(os.pread(handle, size - read_to, read_to))
            self._listened[index] = (connection, handle, size)
            if not connection.closed:
                _trace(connection, handle)
        return heard


def _trace(connection: psycopg.Connection[Any], handle: int) -> None:
    connection.pgconn.trace(os.dup(handle))
    connection.pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)


def _cost(text: bytes) -> Cost:
    commits, written, round_trips, rows = 0, 0, 0, 0
    has_work = has_changed = has_failed = False
    for line in text.splitlines():
        round_trips += _WAIT.match(line) is not None
        if not line.startswith(b"B\t"):
            continue  # ours, or the rest of a statement of several lines
        rows += _ROW.match(line) is not None
        has_changed = has_changed or _CHANGES.match(line) is not None
        has_work = has_work or _WORK.match(line) is not None
        has_failed = has_failed or _ROLLBACK.match(line) is not None
        if _IDLE.match(line):
            if has_work and not has_failed:
                commits += 1
                written += has_changed
            has_work = has_changed = has_failed = False
    return Cost(commits, written, round_trips, rows)
