"""`groupbook demo` as a newcomer meets it: up from nothing, down without a trace, loud when a part dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from groupbook.kit import postgres
from integrations.demo.supervisor import free_port

ROOT = Path(__file__).resolve().parents[2]
start_seconds_max = 120
stop_seconds_max = 40

pytestmark = pytest.mark.slow


class Demo:
    """One demo process on ports of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.lines: list[str] = []
        ports = [f"--{name}-port={free_port()}" for name in ("web", "shop", "network", "payments")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GROUPBOOK_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "integrations.demo.supervisor", "--state", str(state), *ports],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_until_up(self) -> dict[str, str]:
        """The addresses, once they are printed."""
        give_up_at = time.monotonic() + start_seconds_max
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if "stop: Ctrl-C" in line:
                break
            assert time.monotonic() < give_up_at, self.said()
        else:
            pytest.fail(self.said())
        ports = json.loads((self.state / "ports.json").read_text())
        return {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=stop_seconds_max)
        self.lines.append(rest)
        return self.process.returncode

    def said(self) -> str:
        return "".join(self.lines)

    def processes(self) -> list[str]:
        """Whoever mentions this state folder, the demo itself included."""
        listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        numbers = {str(pid) for pid in self._listed()}
        with postgres.locked(self.state / "postgres.lock"):
            data = str(postgres._server(self.state.resolve(), None).data)
        return [
            line
            for line in listed.splitlines()
            if str(self.state) in line or f"-D {data} " in line or line.split()[0] in numbers
        ]

    def _listed(self) -> list[int]:
        file = self.state / "processes.json"
        return list(json.loads(file.read_text())) if file.exists() else []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path / "state")
    yield demo
    if demo.process.poll() is None:
        demo.process.kill()
        demo.process.wait()
    if demo.process.stdout is not None:
        demo.process.stdout.close()
    postgres.stop(tmp_path / "state")
    home = postgres._server((tmp_path / "state").resolve(), None).data.parent
    if not home.is_relative_to(tmp_path):  # as root, pytest's folder is out of the server's reach
        shutil.rmtree(home)


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return int(answer.status)


def test_it_comes_up_from_nothing_and_stops_without_a_trace(demo: Demo) -> None:
    addresses = demo.wait_until_up()
    assert {name: status(f"{url}/") for name, url in addresses.items() if name != "payments"} == {
        "web": 200,
        "shop": 200,
        "network": 200,
    }
    assert status(f"{addresses['web']}/health/ready") == 200
    command = '. "$0" && exec "$1" -c "from groupbook.cli import main; main()" bookings parked --json'
    shell = ["sh", "-c", command, str(demo.state / "environment.sh"), sys.executable]
    asked = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [(one["bookings"], one["calls"]) for one in json.loads(asked.stdout)["merchants"]] == [([], [])]
    assert demo.stop(signal.SIGINT) == 0, demo.said()
    assert "nothing is left running" in demo.said()
    assert demo.processes() == []


def test_a_part_that_dies_is_named_and_the_rest_is_stopped(demo: Demo) -> None:
    demo.wait_until_up()
    worker = next(line for line in demo.processes() if "celery -A worker worker" in line)
    os.kill(int(worker.split()[0]), signal.SIGKILL)
    demo.process.wait(timeout=stop_seconds_max)
    assert demo.stop() == 1
    assert "worker died (signal SIGKILL)" in demo.said()
    assert demo.processes() == []


def test_after_kill_9_nothing_is_left_and_the_next_start_finds_its_data(demo: Demo) -> None:
    demo.wait_until_up()
    secrets = (demo.state / "secrets.json").read_text()
    demo.process.kill()
    demo.process.wait()
    give_up_at = time.monotonic() + stop_seconds_max
    while demo.processes():
        assert time.monotonic() < give_up_at, demo.processes()
        time.sleep(0.2)
    again = Demo(demo.state)
    try:
        again.wait_until_up()
        assert (demo.state / "secrets.json").read_text() == secrets
    finally:
        assert again.stop() == 0, again.said()
