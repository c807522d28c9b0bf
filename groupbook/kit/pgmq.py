"""The queue inside PostgreSQL (PGMQ, plain SQL, no extension), and kombu's way to it with the sharp edges off.

kombu's own transport declares queue and trigger again with every connection of every publisher and consumer: data
definition under exclusive locks, which deadlocks as soon as two of them start together, and which a plain member of the
application's role may not do at all. Here both are installed once, by `install`, and a connection only uses them.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import pgmq as kombu_pgmq
from pgmq.install import get_embedded_install_sql, install_pgmq_sql
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from groupbook.kit.database import APP_ROLE, libpq_url

_INSTALL_LOCK = 7_246_002  # any constant: two processes that start together install one after the other


class Channel(kombu_pgmq.Channel):
    """A channel that finds queue and trigger in place."""

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._maybe_enable_notify(queue)

    def _maybe_enable_notify(self, queue: str, queue_name: str | None = None) -> None:
        self.connection._register_notify_queue(queue_name or self._queue_name(queue))


class Transport(kombu_pgmq.Transport):
    Channel = Channel


TRANSPORT_ALIASES["pgmq"] = f"{__name__}:Transport"


def install(database_url: str, queue: str) -> None:
    """Install PGMQ's SQL, the queue and its wake-up trigger where they are missing. Safe to ask again and at once.

    The connecting role must own the database's schemas; publishers and workers may then be members of `gb_app`.
    """
    with psycopg.connect(libpq_url(database_url)) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_INSTALL_LOCK,))
        if not _has(connection, "SELECT to_regclass('pgmq.meta') IS NOT NULL"):
            install_pgmq_sql(get_embedded_install_sql(), conn=connection)
        if not _has(connection, "SELECT EXISTS (SELECT FROM pgmq.meta WHERE queue_name = %s)", queue):
            connection.execute("SELECT pgmq.create(%s)", (queue,))
            connection.execute("SELECT pgmq.enable_notify_insert(%s, 0)", (queue,))
            role = sql.Identifier(APP_ROLE)
            for right in (
                "USAGE ON SCHEMA pgmq",
                "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq",
                "USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pgmq",
            ):
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(right), role))


def conninfo(database_url: str) -> str:
    """The address in the one form pgmq understands: key=value, each value quoted once more than libpq needs.

    pgmq takes the string apart, keeps five keys, and puts them together again without quotes; it drops `sslmode` and
    all others, which libpq then reads from the environment. `DATABASE_URL` would win over an address in parts.
    """
    parts = conninfo_to_dict(libpq_url(database_url))
    values = {
        "host": parts.get("host") or "localhost",
        "port": parts.get("port") or "5432",
        "dbname": parts.get("dbname") or "postgres",
        "user": parts.get("user") or "postgres",
        "password": parts.get("password") or "",
    }
    for name in ("sslmode", "sslrootcert", "sslcert", "sslkey"):
        if parts.get(name):
            os.environ.setdefault(f"PG{name.upper()}", str(parts[name]))
    return " ".join(f"{name}={_quoted(_quoted(str(value)))}" for name, value in values.items())


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _has(connection: psycopg.Connection, question: str, *values: object) -> bool:
    return connection.execute(question, values).fetchone() == (True,)
