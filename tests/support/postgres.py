"""One PostgreSQL for every test process of this checkout, a migrated template in it, and an empty database per test.

All pytest processes (and all xdist workers in them) share one server below `var/test`; the last to leave stops it.
The template is built by the migrations, once per content of the migrations. A process keeps the copies it made of it,
with the connections to them and the statements these have prepared: to empty a database costs a tenth of a new one.
"""

from __future__ import annotations

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
from sqlalchemy import Engine, QueuePool

from groupbook.kit import postgres
from groupbook.kit.database import libpq_url, make_engine, migrate

ROOT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("GROUPBOOK_TEST_STATE", ROOT / "var" / "test"))
MIGRATIONS = ROOT / "groupbook" / "migrations"
WARM = "test"
"""What the server calls connections that outlive their test."""
lent_max = 200  # a copy is emptied so many times before its dead rows are too many
_numbers = itertools.count(1)
_warm: dict[str, Engine] = {}

# Whatever defines the database stands in rows of these, and a changed row has another xmin.
_SHAPE = sql.SQL(
    "SELECT md5(string_agg(concat(of, ' ', oid, ' ', xmin), ',' ORDER BY of, oid, xmin::text)) FROM ("
    " SELECT 'class' AS of, oid, xmin FROM pg_class UNION ALL SELECT 'column', attrelid, xmin FROM pg_attribute"
    " UNION ALL SELECT 'function', oid, xmin FROM pg_proc UNION ALL SELECT 'trigger', oid, xmin FROM pg_trigger"
    " UNION ALL SELECT 'constraint', oid, xmin FROM pg_constraint UNION ALL SELECT 'policy', oid, xmin FROM pg_policy"
    " UNION ALL SELECT 'schema', oid, xmin FROM pg_namespace UNION ALL SELECT 'setting', setdatabase, xmin"
    " FROM pg_db_role_setting) AS defined"
)
# A test's threads and processes may still be there: they meet a closed connection, as they would a dropped database.
_SEND_AWAY = sql.SQL(
    "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND (application_name <> {} OR state <> 'idle')"
)
_EMPTY = sql.SQL(
    "DO $$ DECLARE name regclass; is_used boolean; BEGIN SET LOCAL session_replication_role = replica;"
    " FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    " AND relname <> 'alembic_version' LOOP EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO is_used;"
    " IF is_used THEN EXECUTE format('DELETE FROM %s', name); END IF; END LOOP; END $$"
)


class Cluster:
    """The test server: ours, or the one named by `GROUPBOOK_TEST_DATABASE_URL` (a superuser's address)."""

    def __init__(self, server: postgres.Server | None, url: str | None) -> None:
        self._server = server
        self._url = url
        self._free: list[Copy] = []

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
    def lent(self, template: str) -> Iterator[str]:
        """The address of an empty copy of `template`, which the next test gets, too, unless its shape was changed."""
        copy = self._free.pop() if self._free else self._copy(template)
        yield copy.url
        copy.times += 1
        if copy.times < lent_max and copy.emptied():
            self._free.append(copy)
        else:
            self._forget(copy)

    def close(self) -> None:
        """Drop the copies that this process has kept."""
        while self._free:
            self._forget(self._free.pop())

    def _copy(self, template: str) -> Copy:
        name = f"t_{os.getpid()}_{next(_numbers)}"
        return Copy(name, self.create(name, template=template))

    def _forget(self, copy: Copy) -> None:
        if copy.url in _warm:
            _warm.pop(copy.url).dispose()
        self.drop(copy.name)


class Copy:
    """A copy of the template that is used again and again."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.times = 0
        with self._connected() as connection:
            self._shape = connection.execute(_SHAPE).fetchone()

    def emptied(self) -> bool:
        """Send away whoever is left of the test, and delete every row. False: what it is made of has changed."""
        engine = _warm.get(self.url)
        with self._connected() as connection:
            connection.execute(_SEND_AWAY.format(WARM))
            if connection.execute(_SHAPE).fetchone() != self._shape:
                return False
            connection.execute(_EMPTY)
            (left,) = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s",
                [WARM],
            ).fetchone() or (0,)
        # A connection that a test lost or kept is not one for the next.
        if engine is not None and isinstance(engine.pool, QueuePool) and engine.pool.checkedin() != left:
            engine.dispose()
        return True

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(libpq_url(self.url), autocommit=True)


def warm_engine(url: str) -> Engine:
    """The engine of this process for a lent database: its compiled statements and connections outlive the test."""
    if url not in _warm:
        _warm[url] = make_engine(url, name=WARM)
    return _warm[url]


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The shared server, running for as long as this process needs it."""
    STATE.mkdir(parents=True, exist_ok=True)
    named = os.environ.get("GROUPBOOK_TEST_DATABASE_URL")
    if named:
        foreign = Cluster(None, named)
        yield foreign
        foreign.close()
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
        shared.close()
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
