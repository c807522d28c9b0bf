"""The launcher of the embedded PostgreSQL."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from groupbook.kit import postgres

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder; as root pytest's folder is closed to the server's account, so root's state folder is used too."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="groupbook-test-") as system:
        Path(system).chmod(0o755)
        monkeypatch.setattr(postgres, "_SYSTEM_FOLDERS", (Path(system) / "groupbook",))
        yield tmp_path


def test_a_server_keeps_its_data_is_adopted_and_leaves_parent_directories_alone(state: Path) -> None:
    modes = {parent: parent.stat().st_mode for parent in (state, *state.parents)}
    server = postgres.start(state, durable=False)
    try:
        server.create_database("keeps")
        with server.connect("keeps") as connection:
            connection.execute("CREATE TABLE note (word text)")
            connection.execute("INSERT INTO note VALUES ('été')")
        assert postgres.start(state, durable=False) == server  # adopted: the same server, still running
        server.stop()
        assert not server.answers()
        again = postgres.start(state, durable=False)
        with again.connect("keeps") as connection:
            assert connection.execute("SELECT upper(word) FROM note").fetchone() == ("ÉTÉ",)
    finally:
        server.stop()
    assert {parent: parent.stat().st_mode for parent in (state, *state.parents)} == modes


def test_only_its_owner_can_enter_the_socket_folder_and_no_port_is_open(state: Path) -> None:
    server = postgres.start(state, durable=False)
    try:
        assert server.sockets.stat().st_mode & 0o777 == 0o700
        assert len(str(server.sockets / ".s.PGSQL.5432")) < 100
        with server.connect() as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    finally:
        server.stop()


def test_two_starters_at_once_get_one_server(state: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from groupbook.kit import postgres
        with postgres.start(Path(sys.argv[1]), durable=False).connect() as connection:
            print(connection.execute("SELECT pg_postmaster_start_time()").fetchone()[0])
        """
    )
    folder = postgres._system_folder() if os.geteuid() == 0 else state  # reachable without root's state folder
    command = [sys.executable, "-c", program, str(folder)]
    starters = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        answers = [starter.communicate(timeout=90)[0] for starter in starters]
    finally:
        postgres.start(folder, durable=False).stop()
    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert len(set(answers)) == 1


def test_an_interrupted_initialization_is_made_again(state: Path) -> None:
    server = postgres.start(state, durable=False)
    server.stop()
    (server.data / "groupbook-initialized").unlink()
    (server.data / "global" / "pg_control").unlink()
    server = postgres.start(state, durable=False)
    try:
        assert server.answers()
    finally:
        server.stop()


def test_data_of_another_major_version_is_refused_and_kept(state: Path) -> None:
    server = postgres.start(state, durable=False)
    server.stop()
    (server.data / "PG_VERSION").write_text("13\n")
    with pytest.raises(postgres.PostgresUnavailable, match="made by PostgreSQL 13"):
        postgres.start(state, durable=False)
    assert (server.data / "base").is_dir()


def test_named_binaries_that_are_not_there_are_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUPBOOK_PG_BINDIR", "/nowhere")
    with pytest.raises(postgres.PostgresUnavailable, match="GROUPBOOK_PG_BINDIR=/nowhere"):
        postgres.find_binaries()


def test_without_the_wheel_the_system_server_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "_wheel_folders", lambda: iter(()))
    installed = tmp_path / "bin"
    installed.mkdir()
    for name in ("initdb", "pg_ctl", "postgres"):
        (installed / name).touch(mode=0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(installed / name))
    assert postgres.find_binaries() == installed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account to drop to")
def test_binaries_out_of_reach_are_copied(tmp_path: Path, state: Path) -> None:
    """pytest's folder is 0700 of root: neither its binaries nor its data can be reached by the server's account."""
    package = next(postgres._wheel_folders()).parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    closed = tmp_path / package.name / "pginstall" / "bin"
    server = postgres.start(state, durable=False, bindir=closed)
    try:
        assert not server.binaries.is_relative_to(tmp_path)
        assert not server.data.is_relative_to(tmp_path)
        assert server.answers()
    finally:
        server.stop()
