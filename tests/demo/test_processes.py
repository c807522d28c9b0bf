"""The supervisor: ready when it says so, tells who died, leaves nobody behind, whatever ends it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integrations.demo import processes
from integrations.demo.processes import Child, ChildFailed, Supervisor
from integrations.demo.supervisor import choose_addresses, free_port, read_secrets, sole_user

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, said.append, directory=ROOT)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield supervisor
    supervisor.stop()
    supervisor.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def server(name: str) -> Child:
    port = free_port()
    return Child(name, "http.server", ["--bind", "127.0.0.1", str(port)], health=f"http://127.0.0.1:{port}/")


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def wait_until(condition: Callable[[], object], *, seconds: float = 15) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "not in time"
        time.sleep(0.05)


def pids(state: Path) -> list[int]:
    return [int(pid) for pid in (state / "processes.json").read_text().strip("[]").split(",")]


def test_children_are_ready_when_start_returns_and_gone_when_stop_does(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(server("a"), server("b"))
    running = pids(tmp_path)
    assert [is_alive(pid) for pid in running] == [True, True]
    supervisor.stop()
    assert [is_alive(pid) for pid in running] == [False, False]


def test_who_died_is_named_with_the_last_words(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(server("shop"), server("web"))
    os.kill(pids(tmp_path)[0], signal.SIGKILL)
    with pytest.raises(ChildFailed, match=r"shop died \(signal SIGKILL\)"):
        supervisor.watch()


def test_a_child_that_ends_before_it_is_ready_shows_why(supervisor: Supervisor) -> None:
    child = Child("web", "http.server", ["--no-such-option"], health="http://127.0.0.1:1/")
    with pytest.raises(ChildFailed, match=r"(?s)web died \(exit code 2\).*unrecognized arguments"):
        supervisor.start(child)


def test_a_child_that_never_answers_is_not_waited_for_for_ever(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "ready_seconds_max", 0.5)
    child = Child("web", "http.server", ["--bind", "127.0.0.1", str(free_port())], health="http://127.0.0.1:1/")
    with pytest.raises(ChildFailed, match="web is not ready"):
        supervisor.start(child)


def test_kill_9_of_the_supervisor_leaves_no_child(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from integrations.demo.processes import Child, Supervisor
        supervisor = Supervisor(Path(sys.argv[1]), print)
        supervisor.start(*(Child(name, "http.server", ["--bind", "127.0.0.1", "0"]) for name in "ab"))
        supervisor.watch()
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT)
    wait_until(lambda: (tmp_path / "processes.json").exists() and len(pids(tmp_path)) == 2)
    running = pids(tmp_path)
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in running))


def test_leftovers_are_stopped_and_strangers_with_a_used_number_are_not(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    ends = os.pipe()
    ours = subprocess.Popen(
        [sys.executable, "-m", "integrations.demo.child", str(ends[0]), "http.server", "--bind", "127.0.0.1", "0"],
        cwd=ROOT,
        pass_fds=(ends[0],),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stranger = subprocess.Popen(["sleep", "60"])
    (tmp_path / "processes.json").write_text(f"[{ours.pid}, {stranger.pid}]")
    try:
        supervisor.stop_leftovers()
        wait_until(lambda: ours.poll() is not None)
        assert stranger.poll() is None
        assert said == ["stopping 1 processes left over from a run that was killed"]
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()
        for end in ends:
            os.close(end)


def test_one_state_folder_has_one_user(tmp_path: Path) -> None:
    from integrations.demo.supervisor import AlreadyRunning

    with sole_user(tmp_path):
        command = [sys.executable, "-m", "integrations.demo.supervisor", "--state", str(tmp_path)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert f"a demo already runs in {tmp_path} (process {os.getpid()})" in second.stderr
        with pytest.raises(AlreadyRunning), sole_user(tmp_path):
            pytest.fail("entered twice")


def test_secrets_and_ports_are_chosen_once_and_a_taken_port_is_left_alone(tmp_path: Path) -> None:
    first = read_secrets(tmp_path)
    assert read_secrets(tmp_path) == first
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    addresses = choose_addresses(tmp_path, {})
    assert choose_addresses(tmp_path, {}) == addresses
    assert addresses.web.startswith("http://localhost:")
    assert addresses.shop.startswith("http://127.0.0.1:")
    taken = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", addresses.shop.rpartition(":")[2]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: processes._answers(addresses.shop))
        moved = choose_addresses(tmp_path, {})
        assert moved.shop != addresses.shop
        assert (moved.web, moved.network, moved.payments) == (addresses.web, addresses.network, addresses.payments)
    finally:
        taken.kill()
        taken.wait()
