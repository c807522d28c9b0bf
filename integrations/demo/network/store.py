"""Plaza's memory: one SQLite file, every change its own transaction."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS post (
    id TEXT PRIMARY KEY, person TEXT NOT NULL, text TEXT NOT NULL, url TEXT, card TEXT, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS picture (post TEXT PRIMARY KEY, type TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS message (
    id TEXT PRIMARY KEY, person TEXT NOT NULL, sender TEXT NOT NULL, text TEXT NOT NULL, url TEXT,
    key TEXT UNIQUE, at INTEGER NOT NULL, read_at INTEGER);
CREATE TABLE IF NOT EXISTS ask (id TEXT PRIMARY KEY, params TEXT NOT NULL, expires INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS code (
    hash TEXT PRIMARY KEY, person TEXT NOT NULL, params TEXT NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS access (
    hash TEXT PRIMARY KEY, person TEXT NOT NULL, scope TEXT NOT NULL, code TEXT NOT NULL, expires INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS allowed (person TEXT PRIMARY KEY, at INTEGER NOT NULL);
"""


def now_seconds() -> int:
    return int(datetime.now(UTC).timestamp())


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Post:
    id: str
    person: str
    text: str
    url: str | None
    card: dict[str, Any] | None
    at: int


@dataclass(frozen=True)
class Message:
    id: str
    person: str
    sender: str
    text: str
    url: str | None
    at: int
    is_new: bool


@dataclass(frozen=True)
class Grant:
    """What an authorization code stands for."""

    person: str
    params: dict[str, str]
    at: int


class Store:
    """All state, in `folder`/plaza.sqlite3."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "plaza.sqlite3"
        with self._begin() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)

    @contextmanager
    def _begin(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=10)
        db.row_factory = sqlite3.Row
        try:
            with db:
                yield db
        finally:
            db.close()

    # --- posts --------------------------------------------------------------------------------------------------

    def add_post(
        self, person: str, text: str, url: str | None, card: dict[str, Any] | None, picture: tuple[str, bytes] | None
    ) -> str:
        id = secrets.token_hex(8)
        with self._begin() as db:
            db.execute(
                "INSERT INTO post VALUES (?, ?, ?, ?, ?, ?)",
                (id, person, text, url, json.dumps(card) if card else None, now_seconds()),
            )
            if picture is not None:
                db.execute("INSERT INTO picture VALUES (?, ?, ?)", (id, *picture))
        return id

    def posts(self, limit: int = 50) -> list[Post]:
        with self._begin() as db:
            rows = db.execute("SELECT * FROM post ORDER BY at DESC, rowid DESC LIMIT ?", (limit,)).fetchall()
        return [
            Post(r["id"], r["person"], r["text"], r["url"], json.loads(r["card"]) if r["card"] else None, r["at"])
            for r in rows
        ]

    def picture(self, post_id: str) -> tuple[str, bytes] | None:
        with self._begin() as db:
            row = db.execute("SELECT type, body FROM picture WHERE post = ?", (post_id,)).fetchone()
        return None if row is None else (row["type"], row["body"])

    # --- messages -----------------------------------------------------------------------------------------------

    def add_message(self, person: str, sender: str, text: str, url: str | None, key: str | None) -> tuple[str, bool]:
        """The message's id, and whether it is new: the same key twice is one message."""
        id = secrets.token_hex(8)
        with self._begin() as db:
            added = db.execute(
                "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (key) DO NOTHING",
                (id, person, sender, text, url, key, now_seconds()),
            ).rowcount
            if not added:
                id = db.execute("SELECT id FROM message WHERE key = ?", (key,)).fetchone()["id"]
        return id, bool(added)

    def messages(self, person: str) -> list[Message]:
        with self._begin() as db:
            rows = db.execute(
                "SELECT * FROM message WHERE person = ? ORDER BY at DESC, rowid DESC LIMIT 100", (person,)
            ).fetchall()
        return [
            Message(r["id"], r["person"], r["sender"], r["text"], r["url"], r["at"], r["read_at"] is None) for r in rows
        ]

    def unread(self, person: str) -> int:
        with self._begin() as db:
            query = "SELECT count(*) FROM message WHERE person = ? AND read_at IS NULL"
            return int(db.execute(query, (person,)).fetchone()[0])

    def mark_read(self, person: str) -> None:
        with self._begin() as db:
            db.execute("UPDATE message SET read_at = ? WHERE person = ? AND read_at IS NULL", (now_seconds(), person))

    # --- OpenID: questions on their way, codes, access tokens -----------------------------------------------------

    def add_ask(self, params: dict[str, str], seconds: int) -> str:
        id = secrets.token_urlsafe(24)
        with self._begin() as db:
            db.execute("DELETE FROM ask WHERE expires < ?", (now_seconds(),))
            db.execute("INSERT INTO ask VALUES (?, ?, ?)", (id, json.dumps(params), now_seconds() + seconds))
        return id

    def ask(self, id: str) -> dict[str, str] | None:
        with self._begin() as db:
            row = db.execute("SELECT params FROM ask WHERE id = ? AND expires >= ?", (id, now_seconds())).fetchone()
        return None if row is None else json.loads(row["params"])

    def end_ask(self, id: str) -> bool:
        """Whether it was still open: a double click on "Allow" makes one code."""
        with self._begin() as db:
            return bool(db.execute("DELETE FROM ask WHERE id = ?", (id,)).rowcount)

    def add_code(self, person: str, params: dict[str, str], seconds: int) -> str:
        code = secrets.token_urlsafe(32)
        with self._begin() as db:
            db.execute("DELETE FROM code WHERE expires < ?", (now_seconds() - 3600,))
            db.execute(
                "INSERT INTO code VALUES (?, ?, ?, ?, ?, 0)",
                (sha256(code), person, json.dumps(params), now_seconds(), now_seconds() + seconds),
            )
        return code

    def take_code(self, code: str) -> Grant | None:
        """The grant, once. A second use also ends what the first was given (RFC 6749, 4.1.2)."""
        with self._begin() as db:
            taken = db.execute("UPDATE code SET used = used + 1 WHERE hash = ?", (sha256(code),)).rowcount
            row = db.execute("SELECT * FROM code WHERE hash = ?", (sha256(code),)).fetchone()
            if not taken or row is None:
                return None
            if row["used"] > 1:
                db.execute("DELETE FROM access WHERE code = ?", (sha256(code),))
                return None
            if row["expires"] < now_seconds():
                return None
        return Grant(row["person"], json.loads(row["params"]), row["at"])

    def add_access(self, person: str, scope: str, code: str, seconds: int) -> str:
        token = secrets.token_urlsafe(32)
        with self._begin() as db:
            db.execute("DELETE FROM access WHERE expires < ?", (now_seconds(),))
            db.execute(
                "INSERT INTO access VALUES (?, ?, ?, ?, ?)",
                (sha256(token), person, scope, sha256(code), now_seconds() + seconds),
            )
        return token

    def access(self, token: str) -> tuple[str, str] | None:
        with self._begin() as db:
            row = db.execute(
                "SELECT person, scope FROM access WHERE hash = ? AND expires >= ?", (sha256(token), now_seconds())
            ).fetchone()
        return None if row is None else (row["person"], row["scope"])

    # --- who has allowed the app ----------------------------------------------------------------------------------

    def allow(self, person: str) -> None:
        with self._begin() as db:
            db.execute("INSERT OR IGNORE INTO allowed VALUES (?, ?)", (person, now_seconds()))

    def has_allowed(self, person: str) -> bool:
        with self._begin() as db:
            return db.execute("SELECT 1 FROM allowed WHERE person = ?", (person,)).fetchone() is not None
