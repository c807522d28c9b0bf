"""The whole demo as a newcomer starts it: `groupbook demo`, its own PostgreSQL, worker, beat and three demo servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from groupbook.cli import main; main()"]
start_seconds_max = 180.0
stop_seconds_max = 90.0


@dataclass(frozen=True)
class RunningDemo:
    """Addresses and secrets of a running demo."""

    web: str
    shop: str
    network: str
    payments: str
    secrets: Mapping[str, str]
    state: Path

    @property
    def staff_password(self) -> str:
        return self.secrets["staff_password"]

    @property
    def api_key(self) -> str:
        return self.secrets["api_key"]


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without settings of ours, plus `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GROUPBOOK_")}
    return kept | settings


def _ports(state: Path) -> list[str]:
    """Free ports for a new demo: another test process may be about to take the usual ones. A restart keeps its own."""
    if (state / "ports.json").exists():
        return []
    options: list[str] = []
    with ExitStack() as probes:
        for name in ("web", "shop", "network", "payments"):
            probe = probes.enter_context(socket.create_server(("127.0.0.1", 0)))
            options += [f"--{name}-port", str(probe.getsockname()[1])]
    return options


@contextmanager
def running_demo(state: Path, settings: Mapping[str, str] | None = None) -> Iterator[RunningDemo]:
    """Start the demo in `state` on free ports; stop it as Ctrl-C would, and insist on a clean end."""
    process = subprocess.Popen(
        [*COMMAND, "demo", "--state", str(state), *_ports(state)],
        cwd=ROOT,
        env=environment(**(settings or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: deque[str] = deque(maxlen=60)
    ready = threading.Event()

    def listen() -> None:
        if process.stdout is not None:
            for line in process.stdout:
                said.append(line)
                if "stop: Ctrl-C" in line:
                    ready.set()
        ready.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        if not ready.wait(start_seconds_max) or process.poll() is not None:
            raise AssertionError("the demo did not start:\n" + "".join(said))
        known = json.loads((state / "ports.json").read_text())
        yield RunningDemo(
            web=f"http://localhost:{known['web']}",
            shop=f"http://127.0.0.1:{known['shop']}",
            network=f"http://127.0.0.1:{known['network']}",
            payments=f"http://127.0.0.1:{known['payments']}",
            secrets=json.loads((state / "secrets.json").read_text()),
            state=state,
        )
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            code = process.wait(stop_seconds_max)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the demo does not stop:\n" + "".join(said)) from None
        finally:
            listener.join(10)
            if process.stdout is not None:
                process.stdout.close()
    assert code == 0, "the demo ended badly:\n" + "".join(said)
