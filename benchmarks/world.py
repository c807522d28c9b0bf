"""The database with its rows, and the servers measured: ours, as it is deployed, and the ceilings'."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from sqlalchemy.orm import Session

from groupbook import discounts, merchants, offers, people, trips
from groupbook.kit import clock, postgres
from groupbook.kit.broker import prepare_broker
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, libpq_url, migrate
from groupbook.kit.ids import OfferId, to_wire
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.offers.domain import Leg, OfferDraft, Place
from groupbook.trips import NewOption, StartTrip
from groupbook.trips.domain import VoteChoice

SECRET = "the benchmarks' own secret key, kept nowhere"
MEMBERS = 8
OPTIONS = 10
JOINABLE_TRIPS = 400
RULES = Path(__file__).resolve().parent.parent / "integrations/demo/rail/discounts.json"


@dataclass(frozen=True)
class Seat:
    member_id: str
    token: str


@dataclass(frozen=True)
class Plan:
    """A trip as a group has made it: 8 members, 10 trains, 80 votes."""

    id: str
    options: tuple[str, ...]
    seats: tuple[Seat, ...]


@dataclass
class World:
    """Starts everything and stops it."""

    state: Path
    plan: Plan = field(init=False)
    invites: list[str] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        server = postgres.start(self.state / "postgres")
        self._stack.callback(server.stop)
        server.drop_database("bench")
        server.create_database("bench")
        self.url = server.url("bench")
        migrate(self.url)
        database = Database(self.url, name="bench")
        prepare_broker(self.url)
        self._fill(database)
        database.close()
        with psycopg.connect(libpq_url(self.url), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        self._serve("ours", "groupbook.main:app")
        self._serve("ceiling", "benchmarks.ceilings:app")
        pin(os.getpid(), 1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def describe(self) -> str:
        cores = os.cpu_count() or 1
        pinned = "servers on core 0, load and receivers on core 1" if cores > 1 else "one core for everything"
        return f"{cores} cores ({pinned}), PostgreSQL durable, {MEMBERS} members, {OPTIONS} trains, 80 votes"

    # --- servers ----------------------------------------------------------------------------------------------------

    def _serve(self, name: str, application: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {
            **os.environ,
            "GROUPBOOK_DATABASE_URL": self.url,
            "GROUPBOOK_SECRET_KEY": SECRET,
            "GROUPBOOK_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "BENCHMARK_PLAN": json.dumps(
                {
                    "trip": self.plan.id,
                    "options": self.plan.options,
                    "members": [seat.member_id for seat in self.plan.seats],
                }
            ),
        }
        command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--no-access-log"]
        command += ["--log-level", "warning", "--backlog", "4096", "--timeout-graceful-shutdown", "3"]
        command += ["--timeout-keep-alive", "120"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(_stop, process)
        pin(process.pid, 0)
        wait_for(port, process)
        self.ports[name] = port
        self.pids[name] = process.pid

    def cpu_seconds(self, name: str) -> float:
        """What a server's process has used so far; ratios of it do not move when other work takes the machine."""
        fields = Path(f"/proc/{self.pids[name]}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def nchan(self, configuration: Path) -> int | None:
        """nginx with nchan, if this machine has it: the peer of the live figure."""
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        module = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
        if not Path(nginx).exists() or not module.exists():
            return None
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        configuration.write_text(_NGINX.format(module=module, port=port, folder=configuration.parent))
        process = subprocess.Popen([nginx, "-p", str(configuration.parent), "-c", str(configuration)])
        self._stack.callback(_stop, process)
        pin(process.pid, 0)
        wait_for(port, process)
        return port

    # --- rows -------------------------------------------------------------------------------------------------------

    def _fill(self, database: Database) -> None:
        sealer = Sealer(SECRET)
        merchant = merchants.create_merchant(database, slug="bench", name="Bench Rail", livemode=False)
        self.merchant_id = merchant.id
        key = Caller("merchant", merchant.id)
        with database.begin(merchant.id) as session:
            now = clock.now(session)
            discounts.put_catalogue(session, json.loads(RULES.read_text()), starts_on=now.date(), now=now)
            trains = [_offer(session, number, now) for number in range(OPTIONS)]
        started = trips.start_trip(
            database,
            sealer,
            key,
            StartTrip(organizer_name="Ana", options=[NewOption(offer_id=offer) for offer in trains]),
        )
        seats = [Seat(to_wire("mem", started.member.id), started.guest_token or "")]
        for number in range(1, MEMBERS):
            joined = trips.join_by_invite(database, None, started.invite_token, name=f"Guest {number}")
            seats.append(Seat(to_wire("mem", joined.member.id), joined.guest_token or ""))
        with database.begin(merchant.id) as session:
            options = [option.id for option in trips.options(session, started.trip_id)]
        for number, seat in enumerate(seats):
            caller = _caller(database, seat.token)
            trips.cast_votes(database, caller, started.trip_id, dict.fromkeys(options, VoteChoice.YES))
            _give_card(database, caller, number)
        self.plan = Plan(
            to_wire("trip", started.trip_id), tuple(to_wire("opt", option) for option in options), tuple(seats)
        )
        for _ in range(JOINABLE_TRIPS):
            self.invites.append(trips.start_trip(database, sealer, key, _one_organizer()).invite_token)


def _one_organizer() -> StartTrip:
    return StartTrip(organizer_name="Ana")


def _caller(database: Database, token: str) -> Caller:
    caller = people.authenticate(database, token)
    if caller is None:
        raise RuntimeError("a fresh session is unknown")
    return caller


def _offer(session: Session, number: int, now: datetime) -> OfferId:
    leaves = now + timedelta(days=20, hours=number)
    paris, lyon = Place("Paris Gare de Lyon", "Europe/Paris", "Paris"), Place("Lyon Part-Dieu", "Europe/Paris", "Lyon")
    leg = Leg("TGV", str(6100 + number), "SNCF", paris, lyon, leaves, leaves + timedelta(hours=2), "2")
    fares = {"flex": Money(9_000 + 100 * number, "EUR"), "saver": Money(5_000 + 100 * number, "EUR")}
    draft = OfferDraft(str(number), f"TGV {6100 + number}", "EUR", (leg,), fares, leaves - timedelta(hours=1))
    return offers.upsert_offer(session, draft, now).id


def _give_card(database: Database, caller: Caller, number: int) -> None:
    """Every second one holds a card, as in the reference's group of eight."""
    cards = [discounts.Card("kestrel.youth" if number % 4 else "kestrel.half")] if number % 2 else []
    with database.begin(caller.merchant_id) as session:
        discounts.set_entitlements(session, caller.require_traveler(), cards=cards, age=25, now=clock.now(session))


# --- processes ------------------------------------------------------------------------------------------------------


def pin(pid: int, core: int) -> None:
    """Servers on core 0, load on core 1, as in the reference; on one core everything shares it."""
    if (os.cpu_count() or 1) > 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {core})


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"a server ended with {process.returncode}") from None
            time.sleep(0.05)
    raise RuntimeError("a server does not answer")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_NGINX = """
load_module {module};
daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /publish {{ nchan_publisher; nchan_channel_id bench; }}
    location = /stream {{
      nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest;
    }}
  }}
}}
"""
