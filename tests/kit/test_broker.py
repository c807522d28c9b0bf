"""The queue's contract, the same for PostgreSQL, Redis and RabbitMQ: a message is a nudge, the row is the truth."""

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from queue import Queue
from uuid import UUID

import psycopg
import pytest
from celery import Celery
from sqlalchemy import select

from groupbook.kit import broker, pgmq
from groupbook.kit.clock import system_now
from groupbook.kit.database import Database, libpq_url
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.facts import Deliverer
from groupbook.kit.ids import new_id
from groupbook.kit.intents import owe
from groupbook.kit.models import FactRow, IntentRow
from groupbook.kit.runner import Runner

ROOT = Path(__file__).resolve().parents[2]
MERCHANT = new_id()


@pytest.fixture(
    params=[
        "pgmq",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
    ]
)
def broker_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    # A queue of this test's own: servers are shared, and messages of a killed worker come back to whoever asks next.
    monkeypatch.setattr(broker, "QUEUE", f"t{new_id().hex[-12:]}")
    if request.param == "pgmq":
        return broker.IN_DATABASE
    return os.environ[f"GROUPBOOK_TEST_{str(request.param).upper()}_URL"]


class Toys:
    """Starts toy workers and looks at what they did to the world."""

    def __init__(self, database_url: str, broker_url: str, world: Path) -> None:
        self.world = world
        self._environment = {
            **os.environ,
            "GROUPBOOK_DATABASE_URL": database_url,
            "GROUPBOOK_BROKER_URL": broker_url,
            "GROUPBOOK_TOY_WORLD": str(world),
            "GROUPBOOK_TOY_MERCHANT": str(MERCHANT),
            "GROUPBOOK_TOY_QUEUE": broker.QUEUE,
        }

    @contextmanager
    def running(
        self, *, beat: bool, call_seconds: float = 0.0, sweep_seconds: float = 0.25
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker in its own process group; whatever is left of the group is killed at the end."""
        program = "import os; from groupbook.kit import broker; broker.QUEUE = os.environ['GROUPBOOK_TOY_QUEUE']; "
        program += "from tests.support.toy_worker import app; import sys; app.worker_main(sys.argv[1:])"
        arguments = [*broker.WORKER_ARGUMENTS, "--concurrency=2", "--loglevel=warning", *(["--beat"] if beat else [])]
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, *arguments],
            cwd=ROOT,
            env={
                **self._environment,
                "GROUPBOOK_TOY_CALL_SECONDS": str(call_seconds),
                "GROUPBOOK_TOY_SWEEP_SECONDS": str(sweep_seconds),
            },
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill(process)

    def lines(self, word: str) -> list[str]:
        lines = self.world.read_text().splitlines() if self.world.exists() else []
        return [key for said, key in map(json.loads, lines) if said == word]


def kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # the whole group has ended already
    process.wait(timeout=10)


@pytest.fixture
def toys(database_url: str, broker_url: str, tmp_path: Path) -> Toys:
    broker.prepare_broker(database_url, broker_url)
    return Toys(database_url, broker_url, tmp_path / "world")


def wait_until(condition: Callable[[], object], *, seconds: float = 90) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {seconds} s: {inspect.getsource(condition)}"
        time.sleep(0.05)


def owe_toy(database: Database, *, in_seconds: float = 0) -> str:
    """Owe one call, now or for a moment; the key under which the world will see it."""
    with database.begin(MERCHANT) as session:
        due_at = system_now(session) + timedelta(seconds=in_seconds) if in_seconds else None
        return f"toy:{owe(session, 'toy', new_id(), due_at=due_at).hex}"


def unfinished(database: Database) -> int:
    with database.begin(MERCHANT) as session:
        intents = session.scalars(select(IntentRow.id).where(IntentRow.state != "done")).all()
        facts = session.scalars(select(FactRow.id).where(FactRow.delivered_at.is_(None))).all()
        return len(intents) + len(facts)


def test_a_nudge_runs_the_intent_and_its_fact_at_once(toys: Toys, database_url: str, broker_url: str) -> None:
    """No beat runs: what happens, happens because a message arrived."""
    app = broker.celery_app(database_url=database_url, broker_url=broker_url)
    database = Database(database_url, nudger=broker.CeleryNudger(app), pool_size=2)
    with toys.running(beat=False):
        keys = [owe_toy(database) for _ in range(3)]
        wait_until(lambda: unfinished(database) == 0)
    assert sorted(toys.lines("done")) == sorted(keys)
    assert len(toys.lines("heard")) == 3
    app.pool.force_close_all()
    app.close()
    database.close()


def test_lost_messages_lose_no_work(toys: Toys, database: Database) -> None:
    """`database` wakes nobody: every message about these rows is lost, as on a broker that forgot them."""
    keys = [owe_toy(database) for _ in range(3)]
    with toys.running(beat=True):
        wait_until(lambda: unfinished(database) == 0)
    assert sorted(toys.lines("done")) == sorted(keys)
    assert len(toys.lines("heard")) == 3


def test_what_is_owed_for_a_moment_is_called_within_a_second_of_it(toys: Toys, database: Database) -> None:
    """Not at the next sweep: places whose time is over are given back at once."""
    owe_toy(database, in_seconds=14)
    with toys.running(beat=True, sweep_seconds=6):
        wait_until(lambda: toys.lines("done"))
    with database.begin(MERCHANT) as session:
        called_at, due_at = session.execute(select(IntentRow.called_at, IntentRow.due_at)).one()
    assert called_at is not None
    assert due_at <= called_at < due_at + timedelta(seconds=1)


def test_kill_9_in_the_middle_of_a_call_neither_loses_nor_doubles_it(toys: Toys, database: Database) -> None:
    key = owe_toy(database)
    with toys.running(beat=True, call_seconds=60) as victim:
        wait_until(lambda: toys.lines("started") == [key])
        kill(victim)
    assert toys.lines("done") == []
    with toys.running(beat=True):
        wait_until(lambda: unfinished(database) == 0)
    assert toys.lines("started") == [key, key]  # asked again, with the same key
    assert toys.lines("done") == [key]
    assert len(toys.lines("heard")) == 1


@pytest.fixture
def app(database_url: str) -> Iterator[Celery]:
    broker.prepare_broker(database_url)
    app = broker.celery_app(database_url=database_url)
    yield app
    app.pool.force_close_all()
    app.close()


def look_after(app: Celery, database: Database, sweeps: Mapping[str, Callable[[UUID], object]]) -> Callable[[], None]:
    """One round for the merchant, in the thread of whoever calls it."""
    work = broker.Work(
        runner=Runner(database, {}), deliverer=Deliverer(database, {}), merchants=list, jobs={}, sweeps=sweeps
    )
    broker.add_tasks(app, lambda: work)
    return lambda: app.tasks["sweep_merchant"](str(MERCHANT))


def test_a_room_that_cannot_be_swept_keeps_no_other_from_it(app: Celery, database: Database) -> None:
    swept: list[UUID] = []

    def broken(merchant_id: UUID) -> object:
        raise LookupError(merchant_id)

    round = look_after(app, database, {"broken": broken, "whole": swept.append})
    with pytest.raises(ExceptionGroup) as raised:
        round()
    assert swept == [MERCHANT]
    assert [(type(one), one.__notes__) for one in raised.value.exceptions] == [(LookupError, ["sweeping: broken"])]


def test_a_round_that_takes_long_is_not_joined_by_its_successors(app: Celery, database: Database) -> None:
    started: Queue[UUID] = Queue()
    may_end = threading.Event()

    def slow(merchant_id: UUID) -> object:
        started.put(merchant_id)
        return may_end.wait(60)

    round = look_after(app, database, {"slow": slow})
    first = threading.Thread(target=round)
    first.start()
    started.get(timeout=60)
    round()
    round()
    assert started.empty()
    may_end.set()
    first.join(60)
    round()
    assert started.qsize() == 1


def test_no_task_is_a_coroutine(database_url: str) -> None:
    """Celery reports an `async def` task as succeeded without running it."""
    app = broker.celery_app(database_url=database_url)
    broker.add_tasks(app, lambda: pytest.fail("registering does no work"), jobs=["ring"])
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert sorted(ours) == ["deliver_fact", "ring", "run_intent", "sweep", "sweep_apart", "sweep_merchant"]
    assert [name for name, task in ours.items() if asyncio.iscoroutinefunction(task.run)] == []


def test_nothing_is_published_while_a_transaction_is_open(database: Database) -> None:
    app = broker.celery_app(database_url=database.url)
    with database.begin_unbound(), pytest.raises(InvariantBroken):
        broker.send(app, "sweep")


def test_a_broker_that_is_away_costs_the_nudge_and_nothing_else(database_url: str) -> None:
    app = broker.celery_app(database_url=database_url, broker_url="redis://127.0.0.1:1/0")
    database = Database(database_url, nudger=broker.CeleryNudger(app), pool_size=1)
    owe_toy(database)
    assert unfinished(database) == 1
    database.close()
    app.close()


def test_the_queue_is_installed_once_however_often_it_is_asked(database_url: str) -> None:
    for _ in range(2):
        broker.prepare_broker(database_url)
    with psycopg.connect(libpq_url(database_url)) as connection:
        rows = connection.execute("SELECT queue_name FROM pgmq.meta").fetchall()
    assert rows == [("groupbook",)]


@pytest.mark.parametrize(
    ("url", "host", "password"),
    [
        ("postgresql+psycopg://ana@/gb?host=%2Ftmp%2Fa%20folder", "/tmp/a folder", ""),
        ("postgresql://ana:it%27s%20me@db.example:6432/gb?sslmode=require", "db.example", "it's me"),
    ],
)
def test_an_address_reaches_pgmq_whole(url: str, host: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pgmq rebuilds the address without quotes and without `sslmode`; folders with spaces and passwords survive."""
    from pgmq.base import PGMQConfig
    from psycopg.conninfo import conninfo_to_dict

    monkeypatch.delenv("PGSSLMODE", raising=False)
    rebuilt = conninfo_to_dict(PGMQConfig(conn_string=pgmq.conninfo(url)).dsn)
    assert (rebuilt["host"], rebuilt["user"], rebuilt["dbname"]) == (host, "ana", "gb")
    assert rebuilt.get("password", "") == password
    assert os.environ.get("PGSSLMODE") == ("require" if "sslmode" in url else None)
    monkeypatch.delenv("PGSSLMODE", raising=False)
