"""groupbook as processes of its own that a test kills and starts again: web, worker, beat, payment sandbox, database.

The agency and the gate to the outside stay in the test's process. Leases and sweeps run at a sixtieth of their length.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx2
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from groupbook import house as houses
from groupbook.config import Settings
from groupbook.house import House
from groupbook.kit import broker, postgres
from groupbook.kit.database import migrate
from groupbook.main import outside
from tests.support import gate as gates
from tests.support import kestrel as agencies
from tests.support import payments as sandboxes
from tests.support.demo import ROOT, environment

patience_seconds = 300.0
SIXTIETH = {
    "GROUPBOOK_LEASE_SECONDS": "2",
    "GROUPBOOK_RETRY_SECONDS_MIN": "0.05",
    "GROUPBOOK_RETRY_SECONDS_MAX": "0.5",
    "GROUPBOOK_SECOND_LOOK_SECONDS": "5.5",
}
# Calls end inside their lease; the rest is as long as a test may take.
_OTHERS = {
    "GROUPBOOK_PROVIDER_TIMEOUT_SECONDS": "1.5",
    "GROUPBOOK_MERCHANT_TIMEOUT_SECONDS": "1.5",
    # What is held at the gate is tried again and again, on a slow machine for long: no call may be given up meanwhile.
    "GROUPBOOK_CALL_ATTEMPTS_MAX": "1000000",
    "GROUPBOOK_CONFIRM_BUDGET_SECONDS": "3000",
    "GROUPBOOK_COLLECTION_WINDOW_SECONDS": "3000",
    "GROUPBOOK_SECRET_KEY": "a secret of the tests, long enough",
    "GROUPBOOK_TEST_MODE": "true",
}
EVENTS = (
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
    "refund.failed",
    "refund.updated",
)


@cache
def client() -> httpx2.Client:
    """For whoever asks over HTTP here. No connection is kept: the other side may be dead by the next request."""
    kept = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx2.Client(trust_env=False, timeout=30, limits=kept)


def wait_until(condition: Callable[[], object], what: Callable[[], object] | str) -> None:
    give_up_at = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"not in time: {what if isinstance(what, str) else what()}"
        time.sleep(0.15)


@dataclass
class Process:
    """A child that may be killed and started again. It leads a process group, and ends when the test's process does.

    Args:
        lifeline: the reading end of a pipe whose writing end only the test holds (`integrations.demo.child`).
    """

    name: str
    module: str
    arguments: list[str]
    lifeline: int
    environment: Mapping[str, str]
    log: Path
    health: str | None = None
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        child = [sys.executable, "-W", "ignore", "-m", "integrations.demo.child", str(self.lifeline), self.module]
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [*child, *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(self.lifeline,),
            )

    def kill(self) -> None:
        if self.running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait(timeout=20)

    @property
    def is_healthy(self) -> bool:
        if self.running is None or self.running.poll() is not None:
            return False
        if self.health is None:
            return True
        try:
            return client().get(self.health, timeout=5).status_code == 200
        except httpx2.HTTPError:
            return False


@dataclass
class Rig:
    """Everything that runs. `house` is the test's own look at the database."""

    house: House
    gate: gates.Gate
    agency: agencies.Kestrel
    web_url: str
    sandbox_url: str
    processes: dict[str, Process]
    server: postgres.Server
    state: Path
    ended_by_themselves: list[str] = field(default_factory=list)
    webhook_secret: str = ""

    def subscribe(self) -> None:
        """Ask the provider for the messages that groupbook acts on, as a merchant does in the provider's dashboard."""
        asked = {"url": f"{self.web_url}/in/stripe/kestrel"}
        asked |= {f"enabled_events[{index}]": type for index, type in enumerate(EVENTS)}
        answer = client().post(
            f"{self.sandbox_url}/v1/webhook_endpoints",
            data=asked,
            headers={"Authorization": f"Bearer {sandboxes.API_KEY}"},
        )
        self.webhook_secret = str(answer.raise_for_status().json()["secret"])

    def kill(self, victim: str) -> None:
        if victim == "database":
            kill_database(self.server)
        else:
            self.processes[victim].kill()

    def revive(self, victim: str) -> None:
        """Start the victim again, and, as a service manager would, whoever ended because of it."""
        if victim == "database":
            self.server = start_database(self.state)
        else:
            self.processes[victim].start()
        self.look_after()
        wait_until(
            lambda: self.look_after() and all(one.is_healthy for one in self.processes.values()),
            "all are up",
        )

    def look_after(self) -> bool:
        for process in self.processes.values():
            if process.running is not None and process.running.poll() is not None:
                self.ended_by_themselves.append(process.name)
                process.start()
        return True

    def evidence(self) -> str:
        """For whoever reads a failure: what is not answered, and how each process's log ends."""
        asked = text(
            "SELECT kind || ' ' || state || ', ' || attempts || ' attempts, due ' || (due_at - now())::text || ', '"
            " || coalesce(left(last_error, 200), '') FROM intent WHERE state NOT IN ('done', 'refused')"
        )
        lines: list[str] = []
        for merchant_id in self.house.merchant_ids():
            with suppress(SQLAlchemyError), self.house.database.begin(merchant_id) as session:
                lines += session.scalars(asked)
        lines += [
            f"--- {process.name}\n{process.log.read_text(errors='replace')[-3000:]}"
            for process in self.processes.values()
        ]
        return "\n".join(lines)


def kill_database(server: postgres.Server) -> None:
    """SIGKILL to the server and each of its processes at once, as a machine's out-of-memory killer would."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in listed.splitlines()]
    children = [int(pid) for pid, parent in pairs if int(parent) == postmaster]
    for pid in (postmaster, *children):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start_database(state: Path) -> postgres.Server:
    give_up_at = time.monotonic() + patience_seconds
    while True:
        try:
            return postgres.start(state)
        except postgres.PostgresUnavailable:  # a killed server's last process may still hold its memory
            assert time.monotonic() < give_up_at
            time.sleep(0.2)


@contextmanager
def own_database(state: Path) -> Iterator[tuple[postgres.Server, str]]:
    """A durable server of this test alone, migrated: it is going to be killed."""
    server = start_database(state)
    try:
        if not server.has_database("rig"):
            server.create_database("rig")
        url = server.url("rig")
        migrate(url)
        yield server, url
    finally:
        postgres.stop(state)


@contextmanager
def running(state: Path, *, lost_answer_seconds: float = 0.0, sweep_seconds: float = 0.25) -> Iterator[Rig]:
    """All processes up, on a database of their own: it may be killed, too.

    `lost_answer_seconds`: how long the agency keeps an answer that it was told to lose. `sweep_seconds`: how soon what
    was missed is found; four sweeps a second cost a quarter of a core while nothing happens.
    """
    with ExitStack() as stack:
        server, database_url = stack.enter_context(own_database(state / "pg"))
        web, sandbox = (f"http://127.0.0.1:{gates.free_port()}" for _ in "ws")
        agency = stack.enter_context(agencies.kestrel(state / "agency", lost_answer_seconds=lost_answer_seconds))
        gate = stack.enter_context(gates.running({"agency": agency.url, "stripe": sandbox}))
        settings = SIXTIETH | _OTHERS | {"GROUPBOOK_DATABASE_URL": database_url, "GROUPBOOK_PUBLIC_URL": web}
        settings["GROUPBOOK_STRIPE_API_BASE"] = sandbox  # a page's form may lead there
        settings["GROUPBOOK_SWEEP_SECONDS"] = str(sweep_seconds)
        broker.prepare_broker(database_url)
        lifeline, held = os.pipe()
        stack.callback(os.close, held)
        stack.callback(os.close, lifeline)
        processes = _processes(state, settings, web, sandbox, lifeline)
        for process in processes.values():
            stack.callback(process.kill)
            process.start()
        house = _house(settings)
        stack.callback(house.close)
        rig = Rig(house, gate, agency, web, sandbox, processes, server, state / "pg")
        yield rig


def _processes(state: Path, settings: Mapping[str, str], web: str, sandbox: str, lifeline: int) -> dict[str, Process]:
    ours = environment(**settings)
    port, sandbox_port = web.rpartition(":")[2], sandbox.rpartition(":")[2]
    provider = ["--port", sandbox_port, "--state", str(state / "sandbox"), "--api-key", sandboxes.API_KEY]
    # Some thirty calls are held at the gate at once, each in a thread: with no more of them all other work waits.
    worker = ["-A", "worker", *broker.WORKER_ARGUMENTS, "--concurrency=48", "--loglevel=warning"]
    beat = ["-A", "worker", "beat", "--loglevel=warning", "--pidfile="]
    made = {
        "provider": ("integrations.demo.payments", provider, f"{sandbox}/health"),
        "web": ("uvicorn", ["groupbook.main:app", "--port", port, "--no-access-log"], f"{web}/health/ready"),
        "worker": ("celery", worker, None),
        "beat": ("celery", beat, None),
    }
    return {
        name: Process(name, module, arguments, lifeline, ours, state / f"{name}.log", health)
        for name, (module, arguments, health) in made.items()
    }


def _house(settings: Mapping[str, str]) -> House:
    given = {name.removeprefix("GROUPBOOK_").lower(): value for name, value in settings.items()}
    asked = Settings(**given)  # type: ignore[arg-type]  # pydantic reads the words
    return houses.build(asked, outside(asked))
