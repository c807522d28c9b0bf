"""The agency's books: one sqlite file, one transaction per change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS attribution (source TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS station (code TEXT PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, zone TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS station_city ON station (city);
CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY, source TEXT NOT NULL, number TEXT NOT NULL, service TEXT NOT NULL, operator TEXT NOT NULL,
    carrier TEXT NOT NULL, day TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS run_source ON run (source);
CREATE TABLE IF NOT EXISTS call (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, station TEXT NOT NULL, arrives INTEGER NOT NULL,
    departs INTEGER NOT NULL, may_board INTEGER NOT NULL, may_alight INTEGER NOT NULL, PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS call_station ON call (station, departs);
CREATE TABLE IF NOT EXISTS fare (
    carrier TEXT NOT NULL, origin TEXT NOT NULL, destination TEXT NOT NULL, travel_class TEXT NOT NULL,
    low INTEGER NOT NULL, high INTEGER NOT NULL, PRIMARY KEY (carrier, origin, destination, travel_class)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS occasion (ref TEXT PRIMARY KEY, starts INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS hold (
    our_ref TEXT PRIMARY KEY, merchant_ref TEXT NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL,
    seats TEXT NOT NULL, expires INTEGER NOT NULL, created INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS sale (
    our_ref TEXT PRIMARY KEY, merchant_ref TEXT NOT NULL, state TEXT NOT NULL, hold_ref TEXT, body TEXT NOT NULL,
    seats TEXT NOT NULL, tickets TEXT NOT NULL, created INTEGER NOT NULL,
    total INTEGER NOT NULL DEFAULT 0, ready INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS amendment (
    our_ref TEXT PRIMARY KEY, sale TEXT NOT NULL, answer TEXT NOT NULL, created INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS place (
    run_id TEXT NOT NULL, coach TEXT NOT NULL, name TEXT NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
    owner TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS place_run ON place (run_id);
CREATE INDEX IF NOT EXISTS place_owner ON place (owner);
CREATE TABLE IF NOT EXISTS answered (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS provocation (
    id INTEGER PRIMARY KEY, what TEXT NOT NULL, operation TEXT NOT NULL, train TEXT NOT NULL, times INTEGER NOT NULL
);
"""


class Store:
    """Opens the file anew for each transaction, so that threads and the importer may share it."""

    def __init__(self, state: Path) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.path = state / "rail.sqlite3"
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            # Books that an older agency kept.
            known = {row["name"] for row in connection.execute("PRAGMA table_info(sale)")}
            for column in ("total", "ready"):
                if column not in known:
                    connection.execute(f"ALTER TABLE sale ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A consistent view."""
        with self._connect() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes; commits on return, rolls back on raise."""
        with self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        try:
            yield connection
        finally:
            connection.close()


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def meta(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["value"])
