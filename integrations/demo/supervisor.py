"""`groupbook demo`: the whole service on one machine, with demo data, from nothing.

Prepares the state folder (secrets, ports, database), starts the demo servers, groupbook's web, worker and beat, prints
three addresses, and watches. Ctrl-C or SIGTERM stops everything; a child that dies is named, and the rest is stopped.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from groupbook.kit import broker, postgres
from groupbook.kit.database import migrate
from groupbook.merchants.domain import mint_secret
from integrations.demo.payments.keys import publishable_key_of
from integrations.demo.processes import Child, ChildFailed, StopRequested, Supervisor, stop_on_signals

ROOT = Path(__file__).resolve().parents[2]
DATABASE = "groupbook"
MERCHANT = "kestrel"
STAFF = "desk@kestrel.example"
USUAL_PORTS = {"web": 8000, "shop": 8001, "network": 8002, "payments": 8003}
Say = Callable[[str], None]
takeover_seconds_max = 15.0


class AlreadyRunning(Exception):
    """Another demo uses this state folder."""


@dataclass(frozen=True)
class Addresses:
    """Where each server answers."""

    web: str
    shop: str
    network: str
    payments: str


@dataclass(frozen=True)
class Secrets:
    """Made once per state folder. They protect a demo on this machine, and still are nobody's guess."""

    secret_key: str
    stripe_secret_key: str
    stripe_webhook_secret: str
    network_client_secret: str
    network_launch_secret: str
    network_bot_token: str
    merchant_token: str
    api_key: str
    staff_password: str

    @classmethod
    def fresh(cls) -> Secrets:
        made = {field.name: secrets.token_urlsafe(32) for field in fields(cls)}
        made["stripe_secret_key"] = f"sk_test_{secrets.token_hex(24)}"
        made["stripe_webhook_secret"] = f"whsec_{secrets.token_hex(24)}"
        made["api_key"] = mint_secret(livemode=False)
        made["staff_password"] = secrets.token_urlsafe(9)
        return cls(**made)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until it is asked to stop. The answer is the process's exit code."""
    parser = argparse.ArgumentParser(prog="groupbook demo", description="Run groupbook with demo data on this machine.")
    parser.add_argument("--state", type=Path, default=default_state(), help="where data, secrets and logs live")
    for name, usual in USUAL_PORTS.items():
        parser.add_argument(f"--{name}-port", type=int, help=f"usually {usual}; a free one where that is taken")
    options = parser.parse_args(arguments)
    asked = {name: getattr(options, f"{name}_port") for name in USUAL_PORTS}
    return run(options.state, {name: port for name, port in asked.items() if port is not None})


def run(state: Path, asked_ports: dict[str, int]) -> int:
    """Prepare, start, watch, stop.

    Returns:
        0 when we were asked to stop, 1 when a child died or the start failed.
    """
    started_at = time.monotonic()
    logging.disable(logging.INFO)  # here speak we alone; the children's logs are in their files

    def say(text: str) -> None:
        print(f"demo {time.monotonic() - started_at:5.1f}s  {text}", flush=True)

    try:
        with stop_on_signals(), sole_user(state):
            supervisor = Supervisor(state, say, directory=ROOT)
            try:
                supervisor.stop_leftovers()
                at = start_everything(state, asked_ports, supervisor, say)
                print(welcome(at, read_secrets(state), state), flush=True)
                supervisor.watch()
            except (ChildFailed, postgres.PostgresUnavailable) as failure:
                complain(failure)
            finally:
                supervisor.stop()
                postgres.stop(state)
                supervisor.close()
                say("stopped, nothing is left running")
    except StopRequested:
        return 0
    except AlreadyRunning as failure:
        complain(failure)
    return 1


def complain(failure: Exception) -> None:
    print(f"demo: {failure}", file=sys.stderr, flush=True)


def default_state() -> Path:
    """`var/demo` in a checkout, the user's state folder elsewhere."""
    if (ROOT / "pyproject.toml").is_file():
        return ROOT / "var" / "demo"
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "groupbook"


@contextmanager
def sole_user(state: Path) -> Iterator[None]:
    """Hold the state folder; a keeper that is just stopping a killed run's database is waited for.

    Raises:
        AlreadyRunning: another supervisor holds it.
    """
    state.mkdir(parents=True, exist_ok=True)
    give_up_at = time.monotonic() + takeover_seconds_max
    with (state / "supervisor.lock").open("a+") as lock:
        while not _try_lock(lock):
            lock.seek(0)
            holder = lock.read().strip()
            if _is_alive(holder) or time.monotonic() > give_up_at:
                raise AlreadyRunning(f"a demo already runs in {state} (process {holder or 'unknown'})")
            time.sleep(0.1)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def start_everything(state: Path, asked_ports: dict[str, int], supervisor: Supervisor, say: Say) -> Addresses:
    """From an empty folder to a service that answers; each part is said when it is ready.

    Raises:
        ChildFailed, PostgresUnavailable
    """
    known = read_secrets(state)
    at = choose_addresses(state, asked_ports)
    environment = settings(state, known, at, database_url(state, supervisor, say))
    write_environment(state, environment)
    address = environment["GROUPBOOK_DATABASE_URL"]
    migrate(address)
    broker.prepare_broker(address, environment["GROUPBOOK_BROKER_URL"])
    say("the database is migrated")
    # All at once: each takes a second or two to load, and none needs another before the first visitor comes.
    supervisor.launch(*demo_servers(state, at, known), *house(at, environment))
    seed(state, environment)
    say("demo data is in place")
    supervisor.wait_until_ready()
    say("shop, network, payment sandbox and groupbook answer; worker and beat run")
    return at


def database_url(state: Path, supervisor: Supervisor, say: Say) -> str:
    """The database named by the environment, or our own PostgreSQL with a keeper beside it."""
    named = os.environ.get("GROUPBOOK_DATABASE_URL")
    if named:
        return named
    server = postgres.start(state)
    supervisor.start(Child("keeper", "integrations.demo.keeper", [str(state)], is_keeper=True))
    if not server.has_database(DATABASE):
        server.create_database(DATABASE)
    say("PostgreSQL runs")
    return server.url(DATABASE)


def demo_servers(state: Path, at: Addresses, known: Secrets) -> Iterator[Child]:
    """The shop, the network and the payment sandbox: small real servers with state of their own."""

    def server(name: str, module: str, url: str, **options: str) -> Child:
        folder = state / name
        folder.mkdir(exist_ok=True)
        arguments = ["--port", url.rpartition(":")[2], "--state", str(folder)]
        for option, value in options.items():
            arguments.append(f"--{option.replace('_', '-')}={value}")  # a secret may begin with a dash
        return Child(name, f"integrations.demo.{module}", arguments, health=f"{url}/health")

    yield server("shop", "rail", at.shop, groupbook=at.web, token=known.merchant_token)
    yield server(
        "network",
        "network",
        at.network,
        groupbook=at.web,
        client_secret=known.network_client_secret,
        launch_secret=known.network_launch_secret,
        bot_token=known.network_bot_token,
    )
    yield server(
        "payments",
        "payments",
        at.payments,
        webhook_url=f"{at.web}/in/stripe/{MERCHANT}",
        webhook_secret=known.stripe_webhook_secret,
        connect_webhook_url=f"{at.web}/in/stripe",
        connect_webhook_secret=known.stripe_webhook_secret,
        redirect_uri=f"{at.web}/dashboard/payments/connected",
        api_key=known.stripe_secret_key,
    )


def house(at: Addresses, environment: Mapping[str, str]) -> Iterator[Child]:
    """groupbook itself."""
    port = at.web.rpartition(":")[2]
    serve = ["groupbook.main:app", "--host", "127.0.0.1", "--port", port, "--timeout-graceful-shutdown", "3"]
    yield Child("web", "uvicorn", [*serve, "--no-access-log"], f"{at.web}/health/ready", environment)
    work = [*broker.WORKER_ARGUMENTS, "--concurrency", "4", "--loglevel", "warning"]
    yield Child("worker", "celery", ["-A", "worker", *work], None, environment)
    yield Child("beat", "celery", ["-A", "worker", "beat", "--loglevel", "warning", "--pidfile="], None, environment)


def seed(state: Path, environment: Mapping[str, str]) -> None:
    """Put the demo merchant and what belongs to it in place; asked again, it only mends addresses.

    Raises:
        ChildFailed: seeding ended with an error.
    """
    options = ["--shop-origin", environment["GROUPBOOK_DEMO_MERCHANT_URL"]]
    options += ["--network-origin", environment["GROUPBOOK_DEMO_NETWORK_URL"]]
    command = [sys.executable, "-c", "from groupbook.cli import main; main()", "seed", *options]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    (state / "logs" / "seed.log").write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        raise ChildFailed(f"seeding failed:\n{done.stdout}{done.stderr}")


def settings(state: Path, known: Secrets, at: Addresses, database: str) -> dict[str, str]:
    """groupbook's environment. What the caller's own says of the broker, of mail, and of budgets, goes through."""
    return {
        "GROUPBOOK_DATABASE_URL": database,
        "GROUPBOOK_BROKER_URL": os.environ.get("GROUPBOOK_BROKER_URL", broker.IN_DATABASE),
        "GROUPBOOK_PUBLIC_URL": at.web,
        "GROUPBOOK_SECRET_KEY": known.secret_key,
        "GROUPBOOK_STRIPE_API_BASE": at.payments,
        "GROUPBOOK_STRIPE_SECRET_KEY": known.stripe_secret_key,
        "GROUPBOOK_STRIPE_PUBLISHABLE_KEY": publishable_key_of(known.stripe_secret_key),
        "GROUPBOOK_STRIPE_WEBHOOK_SECRET": known.stripe_webhook_secret,
        "GROUPBOOK_STRIPE_CONNECT_BASE": at.payments,
        "GROUPBOOK_STRIPE_CONNECT_CLIENT_ID": "ca_sandbox",
        "GROUPBOOK_STRIPE_CONNECT_FEE_BASIS_POINTS": "150",
        "GROUPBOOK_STRIPE_CONNECT_WEBHOOK_SECRET": known.stripe_webhook_secret,
        "GROUPBOOK_DEMO_NETWORK_URL": at.network,
        "GROUPBOOK_DEMO_NETWORK_CLIENT_SECRET": known.network_client_secret,
        "GROUPBOOK_DEMO_NETWORK_LAUNCH_SECRET": known.network_launch_secret,
        "GROUPBOOK_DEMO_NETWORK_BOT_TOKEN": known.network_bot_token,
        "GROUPBOOK_DEMO_MERCHANT_URL": at.shop,
        "GROUPBOOK_DEMO_MERCHANT_TOKEN": known.merchant_token,
        "GROUPBOOK_DEMO_API_KEY": known.api_key,
        "GROUPBOOK_DEMO_STAFF_PASSWORD": known.staff_password,
        "GROUPBOOK_SMTP_URL": os.environ.get(
            "GROUPBOOK_SMTP_URL", f"file://{quote(str((state / 'mails').absolute()))}"
        ),
        "GROUPBOOK_MAIL_FROM": os.environ.get("GROUPBOOK_MAIL_FROM", "Kestrel Trips <trips@kestrel.example>"),
        "GROUPBOOK_TEST_MODE": "true",
        "GROUPBOOK_SWEEP_SECONDS": os.environ.get("GROUPBOOK_SWEEP_SECONDS", "3"),
    }


def read_secrets(state: Path) -> Secrets:
    """The secrets of this state folder, made at the first start; the file is closed to everybody else."""
    file = state / "secrets.json"
    if file.exists():
        return Secrets(**json.loads(file.read_text()))
    made = Secrets.fresh()
    _write_privately(file, json.dumps(asdict(made), indent=2))
    return made


def write_environment(state: Path, environment: Mapping[str, str]) -> None:
    """`environment.sh`, which a shell reads (`. FILE`) so that `groupbook` commands reach this demo's service."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
    _write_privately(state / "environment.sh", "".join(lines))


def _write_privately(file: Path, text: str) -> None:
    unfinished = file.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.rename(file)


def choose_addresses(state: Path, asked: Mapping[str, int]) -> Addresses:
    """Ports asked for, else those of the last run, else the usual ones; where one is taken, a free one.

    groupbook is `localhost` and the others `127.0.0.1`: to a browser these are different sites, as in life.
    """
    file = state / "ports.json"
    last = json.loads(file.read_text()) if file.exists() else {}
    chosen: dict[str, int] = {}
    for name, usual in USUAL_PORTS.items():
        wanted = asked.get(name) or last.get(name) or usual
        chosen[name] = wanted if wanted not in chosen.values() and is_free(wanted) else free_port()
    file.write_text(json.dumps(chosen))
    web = f"http://localhost:{chosen.pop('web')}"
    return Addresses(web=web, **{name: f"http://127.0.0.1:{port}" for name, port in chosen.items()})


def is_free(port: int) -> bool:
    """Nobody answers there, on either family: a browser asks ::1 first when it is told `localhost`."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(0.5)
            try:
                probe.connect((host, port))
            except OSError:
                continue
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def welcome(at: Addresses, known: Secrets, state: Path) -> str:
    return f"""
  shop, with groupbook in it    {at.shop}
  demo social network           {at.network}
  merchant dashboard            {at.web}/dashboard   ({STAFF} / {known.staff_password})

  logs and data: {state}        stop: Ctrl-C
"""


def _try_lock(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass  # alive, and somebody else's
    return True


if __name__ == "__main__":
    sys.exit(main())
