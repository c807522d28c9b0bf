"""A small supervisor: start children in order, say when they are ready, notice who dies, stop them all.

Promise: after `run` returns or raises, no child is left; after kill -9 of the supervisor the children end by
themselves (see `child`), and the next start stops whatever is left all the same.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

ready_seconds_max = 60.0
stop_seconds_max = 12.0
_poll_seconds = 0.1
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildFailed(Exception):
    """A child died, or never became ready. The message says who and shows its last words."""


class StopRequested(BaseException):
    """Ctrl-C or a signal asked the supervisor to stop. Not an error, so nothing on the way may swallow it."""


@dataclass(frozen=True)
class Child:
    """One process: `python -m module arguments`, ready when `health` answers 2xx (or at once without one).

    Args:
        is_keeper: it outlives us on purpose. Its first argument names the pipe: it tidies up when that ends, and ends
            when a byte in it says that there is nothing to tidy.
    """

    name: str
    module: str
    arguments: Sequence[str]
    health: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    is_keeper: bool = False


@dataclass(frozen=True)
class _Running:
    child: Child
    process: subprocess.Popen[bytes]
    log: Path


class Supervisor:
    """Runs children whose logs and process list live in `state`."""

    def __init__(self, state: Path, say: Callable[[str], None], *, directory: Path | None = None) -> None:
        self._state = state
        self._say = say
        self._directory = directory
        self._running: list[_Running] = []
        (state / "logs").mkdir(parents=True, exist_ok=True)
        # The writing end stays here and is not inherited: when we are gone, each child reads end-of-file.
        self._parent_reads, self._parent_holds = os.pipe()

    def start(self, *children: Child) -> None:
        """Start these together and wait until all are ready.

        Raises:
            ChildFailed: one died meanwhile, or is not ready after `ready_seconds_max`.
        """
        self.launch(*children)
        self.wait_until_ready()

    def launch(self, *children: Child) -> None:
        """Start these and return at once; `wait_until_ready` says how it went."""
        for child in children:
            self._spawn(child)

    def wait_until_ready(self) -> None:
        """Return when every child is ready.

        Raises:
            ChildFailed: one died meanwhile, or is not ready after `ready_seconds_max`.
        """
        give_up_at = time.monotonic() + ready_seconds_max
        for running in self._running:
            self._wait_until_ready(running, give_up_at)

    def watch(self) -> None:
        """Return never: raise when a child dies, or when we are asked to stop."""
        while True:
            self._raise_for_the_dead()
            time.sleep(_poll_seconds)

    def stop(self) -> None:
        """Stop every child, the last one started first; kill those that take longer than `stop_seconds_max`."""
        _be_left_alone()
        ours = [running for running in reversed(self._running) if not running.child.is_keeper]
        for running in ours:
            if running.process.poll() is None:
                running.process.terminate()
        give_up_at = time.monotonic() + stop_seconds_max
        for running in ours:
            try:
                running.process.wait(timeout=max(0.0, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"{running.child.name} does not stop and is killed")
                running.process.kill()
                running.process.wait()
        self._list_file.unlink(missing_ok=True)

    def close(self) -> None:
        """Dismiss the keepers; the other children have been stopped."""
        for _ in (running for running in self._running if running.child.is_keeper):
            os.write(self._parent_holds, b".")
        for end in (self._parent_holds, self._parent_reads):
            os.close(end)
        for running in self._running:
            running.process.wait()
        self._running.clear()

    def stop_leftovers(self) -> None:
        """Stop children of an earlier supervisor that was killed and whose children still run."""
        leftovers = [pid for pid in self._listed() if self._is_ours(pid)]
        if not leftovers:
            return
        self._say(f"stopping {len(leftovers)} processes left over from a run that was killed")
        for number in (signal.SIGTERM, signal.SIGKILL):
            give_up_at = time.monotonic() + stop_seconds_max
            for pid in leftovers:
                _signal(pid, number)
            while any(self._is_ours(pid) for pid in leftovers) and time.monotonic() < give_up_at:
                time.sleep(_poll_seconds)

    @property
    def _list_file(self) -> Path:
        return self._state / "processes.json"

    def _listed(self) -> list[int]:
        try:
            return [int(pid) for pid in json.loads(self._list_file.read_text())]
        except (FileNotFoundError, ValueError):
            return []

    def _is_ours(self, pid: int) -> bool:
        """Numbers are used again by the system, so a process is ours only if it says so itself."""
        listed = Path("/proc", str(pid), "cmdline")
        if listed.parents[1].is_dir():
            return listed.exists() and b"integrations.demo.child" in listed.read_bytes()
        shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "integrations.demo.child" in shown.stdout

    def _spawn(self, child: Child) -> None:
        log = self._state / "logs" / f"{child.name}.log"
        pipe = str(self._parent_reads)
        runs = [child.module, pipe] if child.is_keeper else ["integrations.demo.child", pipe, child.module]
        if log.exists():
            log.replace(log.with_suffix(".log.before"))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *runs, *child.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **child.environment, "PYTHONUNBUFFERED": "1"},
                cwd=self._directory,
                pass_fds=(self._parent_reads,),
                start_new_session=True,  # Ctrl-C reaches us alone; we stop the children in order
            )
        self._running.append(_Running(child, process, log))
        self._list_file.write_text(json.dumps([one.process.pid for one in self._running]))

    def _wait_until_ready(self, running: _Running, give_up_at: float) -> None:
        while running.child.health is not None and not _answers(running.child.health):
            self._raise_for_the_dead()
            if time.monotonic() > give_up_at:
                raise ChildFailed(
                    f"{running.child.name} is not ready after {ready_seconds_max:.0f} s{_tail(running.log)}"
                )
            time.sleep(_poll_seconds)
        self._raise_for_the_dead()

    def _raise_for_the_dead(self) -> None:
        for running in self._running:
            code = running.process.poll()
            if code is not None:
                raise ChildFailed(f"{running.child.name} died ({_in_words(code)}){_tail(running.log)}")


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Within the block, Ctrl-C, SIGTERM and a closed terminal raise StopRequested in the main thread, once."""

    def ask(number: int, frame: FrameType | None) -> None:
        _be_left_alone()
        raise StopRequested(signal.Signals(number).name)

    before = {number: signal.signal(number, ask) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _be_left_alone() -> None:
    """Stopping takes a few seconds and is not to be interrupted: a second Ctrl-C must leave no half of it."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended meanwhile, which is what we want


def _in_words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _tail(log: Path, lines: int = 20) -> str:
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return (
        "; its last words, from " + str(log) + ":\n  " + "\n  ".join(last) if last else f"; it left no words in {log}"
    )
