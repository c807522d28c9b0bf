"""The work queue: Celery, with its broker inside the same PostgreSQL unless a URL names Redis or RabbitMQ.

Promise: a message is only a nudge, the row is the truth. A message that is lost, late, doubled or half done loses and
doubles nothing, because `sweep` finds every pending row and each row is claimed by one worker at a time.

Tasks take ids, are plain functions (Celery would "succeed" a coroutine without running it), and are never sent while a
transaction is open: `Database` nudges after the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import structlog
from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import KombuError, OperationalError

from groupbook.kit import pgmq
from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.facts import Deliverer
from groupbook.kit.runner import Runner

log = structlog.get_logger(__name__)

QUEUE = "groupbook"
IN_DATABASE = "pgmq://"

WORKER_ARGUMENTS = ("worker", "--pool", "threads", "--without-gossip", "--without-mingle", "--without-heartbeat")
"""How a worker is started. Threads need a third of the memory of processes; gossip needs queue names pgmq refuses."""


@dataclass(frozen=True)
class Work:
    """What the tasks do, assembled by `worker.py`.

    Args:
        merchants: every merchant's id; sweeps then go merchant by merchant.
        jobs: further work on one row, by the name that `nudge_after_commit` uses: `(merchant_id, row_id)`.
        sweeps: by name, what a room does periodically for one merchant (deadlines, expiries) beside intents and facts.
        apart: which of the sweeps ask somebody outside, and so may take long: each runs in a task of its own.
    """

    runner: Runner
    deliverer: Deliverer
    merchants: Callable[[], Iterable[UUID]]
    jobs: Mapping[str, Callable[[UUID, UUID], object]]
    sweeps: Mapping[str, Callable[[UUID], object]]
    apart: Set[str] = frozenset()


class _Rounds:
    """The rounds this process is on. One that takes longer than its interval is not joined by its successors: on a
    machine that cannot keep up they would leave no thread for the work they find."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going: set[tuple[str, ...]] = set()

    @contextmanager
    def alone(self, *round: str) -> Iterator[bool]:
        """Whether nobody else of this process is on this round; then it is ours until the end of the block."""
        with self._lock:
            is_ours = round not in self._going
            self._going.add(round)
        try:
            yield is_ours
        finally:
            if is_ours:
                with self._lock:
                    self._going.remove(round)


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
        "groupbook",
        broker="pgmq://localhost/" if broker_url.startswith(IN_DATABASE) else broker_url,
        set_as_current=False,
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


def add_tasks(app: Celery, work: Callable[[], Work], *, jobs: Iterable[str] = ()) -> None:
    """Register the tasks. `work` is called inside the worker, at a task's start, and may cache its answer.

    A sweep only finds; each row it finds is a task of its own, so a row that breaks its task holds up no other. What is
    owed for a moment before the sweep after next is sent ahead, to be run within a second of it; the row stays the
    truth, and a message that comes twice finds it done.

    Args:
        jobs: the names in `Work.jobs`, known before any work is assembled.
    """
    # A row still waiting then is found again; shorter, and a busy worker would drop every sweep unread.
    two_sweeps_seconds = 2 * app.conf.beat_schedule["sweep"]["schedule"]
    lifetime_seconds = max(two_sweeps_seconds, 5.0)

    def run_intent(merchant_id: str, intent_id: str) -> None:
        work().runner.run(UUID(merchant_id), UUID(intent_id))

    def deliver_fact(merchant_id: str, fact_id: str) -> None:
        work().deliverer.deliver(UUID(merchant_id), UUID(fact_id))

    rounds = _Rounds()

    def sweep_apart(merchant_id: str, name: str) -> None:
        with rounds.alone(merchant_id, name) as is_ours:
            if is_ours:
                work().sweeps[name](UUID(merchant_id))

    def sweep_merchant(merchant_id: str) -> None:
        with rounds.alone(merchant_id) as is_ours:
            if is_ours:
                send_what_is_due(merchant_id)
                sweep_rooms(merchant_id)

    def send_what_is_due(merchant_id: str) -> None:
        for fact_id in work().deliverer.due(UUID(merchant_id)):
            send(app, "deliver_fact", merchant_id, str(fact_id), expires_seconds=lifetime_seconds)
        for intent_id in work().runner.due(UUID(merchant_id)):
            send(app, "run_intent", merchant_id, str(intent_id), expires_seconds=lifetime_seconds)
        for intent_id, seconds in work().runner.soon(UUID(merchant_id), within_seconds=two_sweeps_seconds):
            send(app, "run_intent", merchant_id, str(intent_id), delay_seconds=seconds)

    def sweep_rooms(merchant_id: str) -> None:
        faults = []
        for name, sweep in work().sweeps.items():
            if name in work().apart:
                send(app, "sweep_apart", merchant_id, name, expires_seconds=lifetime_seconds)
                continue
            try:
                sweep(UUID(merchant_id))
            except Exception as error:  # noqa: BLE001 - a room that cannot be swept keeps no other from it
                error.add_note(f"sweeping: {name}")
                faults.append(error)
        if faults:
            raise ExceptionGroup("rooms not swept", faults)

    def sweep() -> None:
        for merchant_id in work().merchants():
            send(app, "sweep_merchant", str(merchant_id), expires_seconds=lifetime_seconds)

    for task in (run_intent, deliver_fact, sweep_apart, sweep_merchant, sweep, *(_job(work, name) for name in jobs)):
        app.task(name=task.__name__, shared=False)(task)


def _job(work: Callable[[], Work], name: str) -> Callable[[str, str], None]:
    def job(merchant_id: str, row_id: str) -> None:
        work().jobs[name](UUID(merchant_id), UUID(row_id))

    job.__name__ = name
    return job


def send(
    app: Celery, task: str, *ids: str, expires_seconds: float | None = None, delay_seconds: float | None = None
) -> None:
    """Publish one message; a worker drops it unread once it is older than `expires_seconds`, and waits with it for
    `delay_seconds`: seconds, never minutes, because it waits in the worker's memory.

    Raises:
        OperationalError: the broker cannot be reached.
        InvariantBroken: a transaction is open in this thread.
    """
    forbid_in_transaction(f"publishing {task}")
    app.send_task(task, args=ids, ignore_result=True, expires=expires_seconds, countdown=delay_seconds)


def answers(broker_url: str) -> bool:
    """Whether the broker can be reached within two seconds. The one in the database answers when the database does."""
    if broker_url.startswith(IN_DATABASE):
        return True
    try:
        with Connection(broker_url, connect_timeout=2) as connection:  # type: ignore[no-untyped-call] # kombu has no types
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OSError, KombuError):
        return False
    return True


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
    """Install the queue in the database, once; Redis and RabbitMQ need nothing."""
    if broker_url.startswith(IN_DATABASE):
        pgmq.install(database_url, QUEUE)


def _transport_options(broker_url: str, database_url: str, visibility_timeout_seconds: float) -> dict[str, Any]:
    # A publisher is often a web request: it asks a broker that is away once more, and leaves the rest to the sweep.
    options: dict[str, Any] = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
    if broker_url.startswith(IN_DATABASE):
        options |= {
            "conn_string": pgmq.conninfo(database_url),
            "init_extension": False,  # the plain SQL is installed; there is no extension to create
            "use_notify": True,
            "wait_time_seconds": 0,
            "polling_interval": 0.1,
            "visibility_timeout": visibility_timeout_seconds,
            "pool_size": 4,
            "pool_timeout": 5,  # without it a publisher waits 30 s for a database that is away
        }
    elif broker_url.startswith(("redis://", "rediss://")):
        options |= {"visibility_timeout": visibility_timeout_seconds, "socket_connect_timeout": 2.0}
    else:
        options |= {"confirm_publish": True}
    return options
