"""The work queue: Celery, with its broker inside the same PostgreSQL unless a URL names Redis or RabbitMQ.

Promise: a message is only a nudge, the row is the truth. A message that is lost, late, doubled or half done loses and
doubles nothing, because `sweep` finds every pending row and each row is claimed by one worker at a time.

Tasks take ids, are plain functions (Celery would "succeed" a coroutine without running it), and are never sent while a
transaction is open: `Database` nudges after the commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from pgmq.install import get_embedded_install_sql, install_pgmq_sql
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from groupbook.kit.database import APP_ROLE, forbid_in_transaction, libpq_url
from groupbook.kit.facts import Deliverer
from groupbook.kit.intents import Runner

log = structlog.get_logger(__name__)

QUEUE = "groupbook"
IN_DATABASE = "pgmq://"
_INSTALL_LOCK = 7_246_002  # any constant: two processes that start together install one after the other

WORKER_ARGUMENTS = ("worker", "--pool", "threads", "--without-gossip", "--without-mingle", "--without-heartbeat")
"""How a worker is started. Threads need a third of the memory of processes; gossip needs queue names pgmq refuses."""


@dataclass(frozen=True)
class Work:
    """What the tasks do, assembled by `worker.py`.

    Args:
        merchants: every merchant's id; sweeps then go merchant by merchant.
        sweeps: by name, what a room does periodically for one merchant (deadlines, expiries) beside intents and facts.
    """

    runner: Runner
    deliverer: Deliverer
    merchants: Callable[[], Iterable[UUID]]
    sweeps: Mapping[str, Callable[[UUID], object]]


def celery_app(
    *,
    database_url: str,
    broker_url: str = IN_DATABASE,
    sweep_seconds: float = 15.0,
    visibility_timeout_seconds: float = 300.0,
) -> Celery:
    """The configured application, for workers, beat and whoever publishes.

    Args:
        sweep_seconds: how often `sweep` runs when beat does.
        visibility_timeout_seconds: after this long an unacknowledged message comes back (pgmq, Redis). Longer tasks
            run twice, which every task here survives; due work lives in rows, never in a message's delay.
    """
    app = Celery(
        "groupbook", broker=IN_DATABASE if broker_url.startswith(IN_DATABASE) else broker_url, set_as_current=False
    )
    app.conf.update(
        beat_schedule={
            # A sweep that waited longer than its interval has a successor already.
            "sweep": {"task": "sweep", "schedule": sweep_seconds, "options": {"expires": max(sweep_seconds, 5.0)}}
        },
        beat_scheduler="celery.beat:Scheduler",  # one interval needs no schedule file
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=5,
        broker_transport_options=_transport_options(broker_url, database_url, visibility_timeout_seconds),
        enable_utc=True,
        task_acks_late=True,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_publish_retry=False,  # a sweep is the retry
        task_reject_on_worker_lost=True,
        timezone="UTC",
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_enable_remote_control=False,  # its queue names are too long for pgmq
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=4,  # with 1, pgmq mistakes a full worker for an empty queue and sleeps
    )
    return app


def add_tasks(app: Celery, work: Callable[[], Work]) -> None:
    """Register the tasks. `work` is called inside the worker, at a task's start, and may cache its answer.

    A sweep only finds; each row it finds is a task of its own, so a row that breaks its task holds up no other.
    """
    interval_seconds = app.conf.beat_schedule["sweep"]["schedule"]

    def run_intent(merchant_id: str, intent_id: str) -> None:
        work().runner.run(UUID(merchant_id), UUID(intent_id))

    def deliver_fact(merchant_id: str, fact_id: str) -> None:
        work().deliverer.deliver(UUID(merchant_id), UUID(fact_id))

    def sweep_room(merchant_id: str, name: str) -> None:
        work().sweeps[name](UUID(merchant_id))

    def sweep_merchant(merchant_id: str) -> None:
        expires_seconds = 2 * interval_seconds  # a row still waiting then is found again
        for name in work().sweeps:
            send(app, "sweep_room", merchant_id, name, expires_seconds=expires_seconds)
        for fact_id in work().deliverer.due(UUID(merchant_id)):
            send(app, "deliver_fact", merchant_id, str(fact_id), expires_seconds=expires_seconds)
        for intent_id in work().runner.due(UUID(merchant_id)):
            send(app, "run_intent", merchant_id, str(intent_id), expires_seconds=expires_seconds)

    def sweep() -> None:
        for merchant_id in work().merchants():
            send(app, "sweep_merchant", str(merchant_id), expires_seconds=2 * interval_seconds)

    for task in (run_intent, deliver_fact, sweep_room, sweep_merchant, sweep):
        app.task(name=task.__name__)(task)


def send(app: Celery, task: str, *ids: str, expires_seconds: float | None = None) -> None:
    """Publish one message; a worker drops it unread once it is older than `expires_seconds`.

    Raises:
        OperationalError: the broker cannot be reached.
        InvariantBroken: a transaction is open in this thread.
    """
    forbid_in_transaction(f"publishing {task}")
    app.send_task(task, args=ids, ignore_result=True, expires=expires_seconds)


class CeleryNudger:
    """Wakes a worker after a commit. When the broker is away, the row waits for the next sweep."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        try:
            send(self._app, task, str(merchant_id), str(row_id))
        except (OperationalError, psycopg.Error) as error:
            log.warning("nudge_lost", task=task, row_id=str(row_id), error=repr(error))


def prepare_broker(database_url: str, broker_url: str = IN_DATABASE) -> None:
    """Install the queue's plain SQL in the database, once; Redis and RabbitMQ need nothing."""
    if not broker_url.startswith(IN_DATABASE):
        return
    with psycopg.connect(libpq_url(database_url)) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_INSTALL_LOCK,))
        if _one(connection, "SELECT to_regclass('pgmq.meta')") is None:
            install_pgmq_sql(get_embedded_install_sql(), conn=connection)
            # Publishers may be plain members of the application's role.
            role = sql.Identifier(APP_ROLE)
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA pgmq TO {}").format(role))
            for kind, right in (("TABLES", "SELECT, INSERT, UPDATE, DELETE"), ("SEQUENCES", "USAGE, SELECT")):
                words = {"right": sql.SQL(right), "kind": sql.SQL(kind), "role": role}
                connection.execute(sql.SQL("GRANT {right} ON ALL {kind} IN SCHEMA pgmq TO {role}").format(**words))
                connection.execute(
                    sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA pgmq GRANT {right} ON {kind} TO {role}").format(**words)
                )
        if _one(connection, "SELECT queue_name FROM pgmq.meta WHERE queue_name = %s", QUEUE) is None:
            connection.execute("SELECT pgmq.create(%s)", (QUEUE,))


def _transport_options(broker_url: str, database_url: str, visibility_timeout_seconds: float) -> dict[str, Any]:
    if broker_url.startswith(IN_DATABASE):
        return {
            "conn_string": _pgmq_conninfo(database_url),
            "init_extension": False,  # the plain SQL is installed; there is no extension to create
            "use_notify": True,
            "notify_throttle_interval_ms": 0,
            "wait_time_seconds": 0,
            "polling_interval": 0.1,
            "visibility_timeout": visibility_timeout_seconds,
            "pool_size": 4,
            "pool_timeout": 5,  # without it a publisher waits 30 s for a database that is away
        }
    if broker_url.startswith(("redis://", "rediss://")):
        return {"visibility_timeout": visibility_timeout_seconds, "socket_connect_timeout": 2.0, "socket_timeout": 30.0}
    return {"confirm_publish": True}


def _pgmq_conninfo(database_url: str) -> str:
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


def _one(connection: psycopg.Connection, query: str, *values: object) -> object:
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]
