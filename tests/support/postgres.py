"""One PostgreSQL for every test process of this checkout, a migrated template in it, and a clone per test.

All pytest processes (and all xdist workers in them) share one server below `var/test`; the last to leave stops it.
The template is built by the migrations, once per content of the migrations; a test's database is a copy (20 to 30 ms).
"""

import fcntl
import hashlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from groupbook.kit import postgres
from groupbook.kit.database import libpq_url, migrate

ROOT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("GROUPBOOK_TEST_STATE", ROOT / "var" / "test"))
MIGRATIONS = ROOT / "groupbook" / "migrations"
_numbers = itertools.count(1)


class Cluster:
    """The test server: ours, or the one named by `GROUPBOOK_TEST_DATABASE_URL` (a superuser's address)."""

    def __init__(self, server: postgres.Server | None, url: str | None) -> None:
        self._server = server
        self._url = url

    def url(self, database: str) -> str:
        if self._server is not None:
            return self._server.url(database)
        parts = urlsplit(self._url or "")
        return parts._replace(path=f"/{database}").geturl()

    def execute(self, statement: sql.Composed | sql.SQL) -> list[tuple[str, ...]]:
        with psycopg.connect(libpq_url(self.url("postgres")), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create(self, name: str, *, template: str | None = None) -> str:
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self.execute(statement)
        return self.url(name)

    def drop(self, name: str) -> None:
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def names(self, prefix: str) -> list[str]:
        rows = self.execute(
            sql.SQL("SELECT datname FROM pg_database WHERE starts_with(datname, {})").format(sql.Literal(prefix))
        )
        return [row[0] for row in rows]

    def template(self) -> str:
        """The migrated template's name; built when no process has built it yet."""
        name = f"template_{migrations_hash()}"
        with postgres.locked(STATE / "template.lock"):
            if not self.names(name):
                # Built under another name, so that an interrupted migration is never taken for a finished one.
                unfinished = f"unfinished_{os.getpid()}"
                self.drop(unfinished)
                migrate(self.create(unfinished))
                self.execute(
                    sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(unfinished), sql.Identifier(name))
                )
                self.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        return name

    @contextmanager
    def clone(self, template: str | None) -> Iterator[str]:
        """The address of a fresh database, dropped afterwards together with whoever is still connected."""
        name = f"t_{os.getpid()}_{next(_numbers)}"
        url = self.create(name, template=template)
        try:
            yield url
        finally:
            self.drop(name)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The shared server, running for as long as this process needs it."""
    STATE.mkdir(parents=True, exist_ok=True)
    named = os.environ.get("GROUPBOOK_TEST_DATABASE_URL")
    if named:
        yield Cluster(None, named)
        return
    with (STATE / "users.lock").open("a") as users:
        # Every change of the users' lock happens under the second lock, so nobody adopts a server being stopped.
        with postgres.locked(STATE / "turn.lock"):
            alone = _try_exclusive(users.fileno())
            server = postgres.start(STATE, durable=False)
            shared = Cluster(server, None)
            if alone:
                _sweep_leftovers(shared)
            fcntl.flock(users, fcntl.LOCK_SH)
        yield shared
        with postgres.locked(STATE / "turn.lock"):
            if _try_exclusive(users.fileno()):
                server.stop()


def _sweep_leftovers(shared: Cluster) -> None:
    """Drop what killed runs and older migrations left behind. Only the sole user of the server may do this."""
    for name in (*shared.names("t_"), *shared.names("unfinished_"), *shared.names("template_")):
        if name != f"template_{migrations_hash()}":
            shared.drop(name)


def _try_exclusive(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def migrations_hash() -> str:
    digest = hashlib.sha256()
    for script in sorted(MIGRATIONS.rglob("*.py")):
        digest.update(script.name.encode())
        digest.update(script.read_bytes())
    return digest.hexdigest()[:16]
