"""The sandbox's memory: one SQLite file. Every change is one transaction, so a killed server forgets nothing half."""

from __future__ import annotations

import json
import secrets
import sqlite3
import string
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from integrations.demo.payments.errors import WireError, missing

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS object (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL,
    created INTEGER NOT NULL, body TEXT NOT NULL, account TEXT NOT NULL DEFAULT 'acct_sandbox');
CREATE INDEX IF NOT EXISTS object_kind ON object (kind, seq);
CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (event_id TEXT NOT NULL, endpoint_id TEXT NOT NULL, attempts INTEGER NOT NULL,
    due_at REAL NOT NULL, status TEXT NOT NULL, PRIMARY KEY (event_id, endpoint_id));
CREATE TABLE IF NOT EXISTS fault (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, operation TEXT NOT NULL,
    times INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS later (id INTEGER PRIMARY KEY AUTOINCREMENT, due_at REAL NOT NULL, what TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
ACCOUNT: Final = "acct_sandbox"  # the one whose secret key the sandbox is started with; the platform of the others
_ACTING: ContextVar[str] = ContextVar("sandbox_account", default=ACCOUNT)
_LETTERS: Final = string.ascii_letters + string.digits
key_life_seconds: Final = 24 * 3600
page_rows_max: Final = 100


@dataclass(frozen=True)
class Kept:
    """The answer kept under an idempotency key."""

    request: str
    status: int
    body: str


def new_id(prefix: str, length: int = 24) -> str:
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(length))


class Store:
    """All state. One lock, one connection: a demo server answers one request at a time and keeps its word.

    Every object is some account's, and nobody sees another's (docs.stripe.com/connect/authentication): what is put,
    found and listed is the account's that `acting_for` names.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        path = folder / "payments.sqlite3"
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)
        if "account" not in {row[1] for row in self._connection.execute("PRAGMA table_info(object)")}:
            # A folder from before there were several accounts.
            self._connection.execute(f"ALTER TABLE object ADD COLUMN account TEXT NOT NULL DEFAULT '{ACCOUNT}'")
        path.chmod(0o600)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @property
    def account(self) -> str:
        return _ACTING.get()

    @contextmanager
    def acting_for(self, account: str) -> Iterator[None]:
        """Whose objects are meant meanwhile, in this thread."""
        token = _ACTING.set(account)
        try:
            yield
        finally:
            _ACTING.reset(token)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; may be nested, the outermost one commits."""
        with self._lock:
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            else:
                self._connection.execute("COMMIT")
            finally:
                self._depth = 0

    def _run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    # --- objects ---

    def put(self, body: dict[str, Any]) -> None:
        self._run(
            "INSERT INTO object (id, kind, created, body, account) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            body["id"],
            body["object"],
            body["created"],
            json.dumps(body),
            self.account,
        )

    def delete(self, id: str) -> None:
        self._run("DELETE FROM object WHERE id = ? AND account = ?", id, self.account)

    def owner_of(self, id: str) -> str:
        """Whose object this is, for pages that are reached by its name alone; ours when there is none."""
        rows = self._run("SELECT account FROM object WHERE id = ?", id)
        return str(rows[0][0]) if rows else ACCOUNT

    def find(self, id: str, kind: str | None = None) -> dict[str, Any] | None:
        rows = self._run("SELECT body, kind FROM object WHERE id = ? AND account = ?", id, self.account)
        if not rows or (kind is not None and rows[0][1] != kind):
            return None
        body: dict[str, Any] = json.loads(rows[0][0])
        return body

    def get(self, kind: str, id: str, param: str = "id") -> dict[str, Any]:
        body = self.find(id, kind)
        if body is None:
            raise missing(kind, id, param)
        return body

    def all_of(self, kind: str) -> list[dict[str, Any]]:
        """Newest first."""
        return [
            json.loads(row[0])
            for row in self._run(
                "SELECT body FROM object WHERE kind = ? AND account = ? ORDER BY seq DESC", kind, self.account
            )
        ]

    def page(self, kind: str, params: dict[str, Any], wanted: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """One page of a list and whether there is more (docs.stripe.com/api/pagination), newest first."""
        limit = params.get("limit", 10)
        if not 1 <= limit <= page_rows_max:
            raise WireError(400, f"Invalid limit: must be between 1 and {page_rows_max}", param="limit")
        rows = [row for row in self.all_of(kind) if _matches(row, params.get("created"), wanted)]
        ids = [row["id"] for row in rows]
        if (after := params.get("starting_after")) is not None:
            if after not in ids:
                raise missing(kind, after, "starting_after")
            rows = rows[ids.index(after) + 1 :]
        elif (before := params.get("ending_before")) is not None:
            if before not in ids:
                raise missing(kind, before, "ending_before")
            earlier = rows[: ids.index(before)]
            return earlier[-limit:], len(earlier) > limit
        return rows[:limit], len(rows) > limit

    # --- idempotency ---

    def scoped(self, key: str) -> str:
        """A key as this account's: one account's mean nothing to another (docs.stripe.com/api/idempotent_requests)."""
        return key if self.account == ACCOUNT else f"{self.account} {key}"

    def kept(self, key: str) -> Kept | None:
        self._run("DELETE FROM idempotency WHERE created < ?", time.time() - key_life_seconds)
        rows = self._run("SELECT request, status, body FROM idempotency WHERE key = ?", self.scoped(key))
        return Kept(*rows[0]) if rows else None

    def keep(self, key: str, request: str, status: int, body: str) -> None:
        self._run(
            "INSERT OR IGNORE INTO idempotency (key, request, status, body, created) VALUES (?, ?, ?, ?, ?)",
            self.scoped(key),
            request,
            status,
            body,
            time.time(),
        )

    # --- deliveries of events ---

    def queue_delivery(self, event_id: str, endpoint_id: str, due_at: float) -> None:
        self._run(
            "INSERT OR REPLACE INTO delivery (event_id, endpoint_id, attempts, due_at, status) "
            "VALUES (?, ?, 0, ?, 'due')",
            event_id,
            endpoint_id,
            due_at,
        )

    def due_deliveries(self, now: float) -> list[tuple[str, str, int]]:
        rows = self._run(
            "SELECT event_id, endpoint_id, attempts FROM delivery WHERE status = 'due' AND due_at <= ? "
            "ORDER BY due_at, rowid LIMIT 50",
            now,
        )
        return [(event_id, endpoint_id, attempts) for event_id, endpoint_id, attempts in rows]

    def note_delivery(self, event_id: str, endpoint_id: str, *, attempts: int, due_at: float, status: str) -> None:
        self._run(
            "UPDATE delivery SET attempts = ?, due_at = ?, status = ? WHERE event_id = ? AND endpoint_id = ?",
            attempts,
            due_at,
            status,
            event_id,
            endpoint_id,
        )

    def deliveries(self, limit: int = 30) -> list[tuple[str, int, str]]:
        rows = self._run("SELECT event_id, attempts, status FROM delivery ORDER BY rowid DESC LIMIT ?", limit)
        return [(event_id, attempts, status) for event_id, attempts, status in rows]

    def undelivered(self) -> set[str]:
        return {row[0] for row in self._run("SELECT event_id FROM delivery WHERE status <> 'done'")}

    # --- faults, and things that happen later ---

    def add_fault(self, kind: str, operation: str, times: int, seconds: float) -> None:
        self._run(
            "INSERT INTO fault (kind, operation, times, seconds) VALUES (?, ?, ?, ?)", kind, operation, times, seconds
        )

    def clear_faults(self) -> None:
        self._run("DELETE FROM fault")

    def faults(self) -> list[dict[str, Any]]:
        rows = self._run("SELECT kind, operation, times, seconds FROM fault ORDER BY id")
        return [{"fault": row[0], "operation": row[1], "times": row[2], "seconds": row[3]} for row in rows]

    def take_fault(self, kinds: frozenset[str], operation: str) -> tuple[str, float] | None:
        """Use up one turn of the oldest fault that fits."""
        for id, kind, pattern, times, seconds in self._run(
            "SELECT id, kind, operation, times, seconds FROM fault ORDER BY id"
        ):
            if kind in kinds and (pattern == "*" or pattern == operation or operation.startswith(pattern + ".")):
                if times <= 1:
                    self._run("DELETE FROM fault WHERE id = ?", id)
                else:
                    self._run("UPDATE fault SET times = times - 1 WHERE id = ?", id)
                return kind, seconds
        return None

    def do_later(self, due_at: float, what: dict[str, Any]) -> None:
        self._run("INSERT INTO later (due_at, what) VALUES (?, ?)", due_at, json.dumps(what | {"of": self.account}))

    def due_later(self, now: float) -> list[tuple[int, dict[str, Any]]]:
        rows = self._run("SELECT id, what FROM later WHERE due_at <= ? ORDER BY due_at, id", now)
        return [(id, json.loads(what)) for id, what in rows]

    def drop_later(self, id: int) -> None:
        self._run("DELETE FROM later WHERE id = ?", id)

    def setting(self, name: str, default: str) -> str:
        """A value made once and kept."""
        self._run("INSERT OR IGNORE INTO setting (name, value) VALUES (?, ?)", name, default)
        return str(self._run("SELECT value FROM setting WHERE name = ?", name)[0][0])


def _matches(row: dict[str, Any], created: Any, wanted: dict[str, Any]) -> bool:
    for name, value in wanted.items():
        if value is not None and row.get(name) != value:
            return False
    if created is None:
        return True
    if isinstance(created, int):
        return bool(row["created"] == created)
    at: int = row["created"]
    return bool(
        at > created.get("gt", -1)
        and at >= created.get("gte", -1)
        and at < created.get("lt", 1 << 60)
        and at <= created.get("lte", 1 << 60)
    )
