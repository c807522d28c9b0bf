"""The database and its one transaction per use case, bound to one merchant.

A use case says `with database.begin(merchant_id) as session:`; row-level security then shows that merchant's rows and
no others. No call to the outside may happen while a transaction is open in the thread: adapters ask
`forbid_in_transaction` first, so that a slip is an error and never a lost charge.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast
from uuid import UUID

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo
from sqlalchemy import CHAR, BigInteger, DateTime, Engine, MetaData, Table, create_engine, event, make_url, text
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.engine import URL
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from groupbook.kit.conversation import Connection, keep_what_needs_no_answer
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import MerchantId, new_id

APP_ROLE = "gb_app"
_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
_open = threading.local()
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Query(Protocol, Generic[P, R_co]):
    """A question to the database: one signature, one way to answer it for each kind of session."""

    ways: dict[type, Callable[..., Any]]

    def __call__(self, session: Session, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def register(self, kind: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Say how a session of this kind answers; every other kind is asked in SQL."""


def query(in_sql: Callable[Concatenate[Session, P], R]) -> Query[P, R]:
    """The functions that speak SQL, so that another kind of session (the simulator's) can answer them its own way.

    A `functools.singledispatch` on the session's exact type, without its walk through the base classes.
    """
    ways: dict[type, Callable[..., Any]] = {}

    @wraps(in_sql)
    def ask(session: Session, /, *args: P.args, **kwargs: P.kwargs) -> R:
        answer: R = ways.get(type(session), in_sql)(session, *args, **kwargs)
        return answer

    def register(kind: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def keep(way: Callable[..., Any]) -> Callable[..., Any]:
            ways[kind] = way
            return way

        return keep

    asked = cast("Query[P, R]", ask)
    asked.ways, asked.register = ways, register  # type: ignore[method-assign]
    return asked


@dataclass
class SessionClock:
    """The database's time, read with the transaction's first question, and what has passed on this machine since.

    So an instant costs no round trip, and one that is taken after a long wait for a lock is not a stale one. It lags
    behind the database by at most the time the first answer was under way.

    Args:
        read_at: the database's instant; aware, UTC.
        offset: how far this merchant's clock runs ahead.
    """

    read_at: datetime
    offset: timedelta
    elapsed_seconds: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if self.read_at.tzinfo is None:
            raise InvariantBroken(what="naive instant from the database")
        self._started = self.elapsed_seconds()

    def now(self) -> datetime:
        return self.read_at + timedelta(seconds=self.elapsed_seconds() - self._started)


class Base(DeclarativeBase):
    """All tables. `type_annotation_map` keeps instants aware, money wide and documents binary."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        int: BigInteger(),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
    }


def new_rows(row: type[Base]) -> Insert:
    """An INSERT whose rows are its parameters: with them among its values, it would be compiled anew each time."""
    return insert(cast("Table", row.__table__))


class TenantRow:
    """A row of one merchant. The merchant comes first in the key, so the table can be spread by merchant."""

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)


def currency_column() -> Mapped[str]:
    """`CHAR(3)`, beside every amount."""
    return mapped_column(CHAR(3))


class Nudger(Protocol):
    """Wakes a worker after a commit. A lost nudge loses nothing: a sweep stands behind every pending row."""

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None: ...


class SilentNudger:
    """Wakes nobody; the sweeps do the work. For commands, migrations and tests of the sweeps."""

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        return None


def make_engine(url: str, *, pool_size: int = 10, name: str = "groupbook") -> Engine:
    """A pool of connections as the application role; at most twice `pool_size`, called `name` at the server."""
    engine = create_engine(
        driver_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=False,
        hide_parameters=True,  # an error's text ends up in logs, and parameters are people's data
        connect_args={"application_name": name},
    )
    keep_what_needs_no_answer(engine)
    event.listen(engine, "connect", _become_app_role)
    return engine


class Database:
    """A pool of connections as the application role, which row-level security binds.

    Args:
        url: `postgresql://…` (any PostgreSQL 15+), reachable as a role that may `SET ROLE gb_app`.
        nudger: told after a commit about rows that a worker should look at.
        engine: one that others use, too (`make_engine`); whoever made it closes it.
    """

    def __init__(
        self,
        url: str,
        *,
        nudger: Nudger | None = None,
        pool_size: int = 10,
        name: str = "groupbook",
        engine: Engine | None = None,
    ) -> None:
        self.url = url
        self.nudger: Nudger = nudger or SilentNudger()
        self.engine: Engine = engine or make_engine(url, pool_size=pool_size, name=name)
        self._is_engine_ours = engine is None

    @contextmanager
    def begin(self, merchant_id: UUID) -> Iterator[Session]:
        """Open the use case's one transaction, bound to `merchant_id`; commit on return, roll back on raise."""
        with self._transaction(merchant_id) as session:
            session.info["merchant_id"] = MerchantId(merchant_id)
            yield session

    @contextmanager
    def begin_unbound(self) -> Iterator[Session]:
        """A transaction before the merchant is known. It sees no tenant rows; use the look-up functions only."""
        with self._transaction(None) as session:
            yield session

    @contextmanager
    def _transaction(self, merchant_id: UUID | None) -> Iterator[Session]:
        if getattr(_open, "depth", 0):
            raise InvariantBroken(what="a transaction inside a transaction")
        session = Session(self.engine, expire_on_commit=False, autoflush=True)
        _open.depth = 1
        try:
            with session, session.begin():
                _conversation(session).open(merchant_id, partial(self._note_time, session))
                yield session
                for work in session.info.get("at_the_end", ()):
                    work(session)
        finally:
            _open.depth = 0
        for task, merchant_id, row_id in session.info.get("nudges", ()):
            self.nudger.nudge(task, merchant_id, row_id)

    def _note_time(self, session: Session, at: datetime, offset_seconds: int) -> None:
        session.info["clock"] = self._clock(at, offset_seconds)

    def _clock(self, at: datetime, offset_seconds: int) -> SessionClock:
        return SessionClock(at, timedelta(seconds=offset_seconds))

    def close(self) -> None:
        if self._is_engine_ours:
            self.engine.dispose()


def _conversation(session: Session) -> Connection:
    connection: Any = session.connection().connection.dbapi_connection
    return cast("Connection", connection)


def send_now(session: Session) -> None:
    """Let the server hear what this transaction has written so far, instead of with its next question."""
    _conversation(session).send_now()


class Answer(Generic[R_co]):
    """What was asked together with something else; it is called for once everything is answered."""

    def __init__(self, question: Callable[[], R_co]) -> None:
        self._question = question
        self._value: R_co
        self._error: Exception | None = None

    def __call__(self) -> R_co:
        if self._error is not None:
            raise self._error
        return self._value

    def ask(self) -> None:
        try:
            self._value = self._question()
        except Exception as error:  # noqa: BLE001 - raised when everybody has been heard
            self._error = error


class Asking:
    """Collects questions (`together`)."""

    def __init__(self) -> None:
        self.answers: list[Answer[Any]] = []

    def __call__(self, question: Callable[P, R], *args: P.args, **keywords: P.kwargs) -> Answer[R]:
        answer = Answer(partial(question, *args, **keywords))
        self.answers.append(answer)
        return answer


@contextmanager
def together(session: Session) -> Iterator[Asking]:
    """Several questions for one round trip: `with together(session) as ask: trip = ask(read_trip, session, id)`.

    The answers are there after the block: `trip()`. They are given in the order of the questions, so locks are taken in
    that order; none may need another's answer. A question that asks several things in turn costs as many round trips,
    shared with the others. What they raise is raised at the end of the block, the first one's first.
    """
    asking = Asking()
    yield asking
    session.flush()
    ask_together(session, [answer.ask for answer in asking.answers])
    for answer in asking.answers:
        answer()


@query
def ask_together(session: Session, questions: Sequence[Callable[[], None]]) -> None:
    """Run them side by side, so that what they ask at the same time is one round trip."""
    _conversation(session).together(questions)


def clock_of(session: Session) -> SessionClock:
    """This transaction's clock, known since its first question; where there was none, the time is asked for."""
    if "clock" not in session.info:
        send_now(session)
    clock: SessionClock = session.info["clock"]
    return clock


def nudge_after_commit(session: Session, task: str, row_id: UUID) -> None:
    """Wake a worker for this row once the transaction has committed; nothing is sent on a roll-back."""
    session.info.setdefault("nudges", []).append((task, merchant_of(session), row_id))


def at_the_end(session: Session, work: Callable[[Session], object]) -> None:
    """Do `work` once, before this transaction commits: what comes in bits is then written in one statement."""
    session.info.setdefault("at_the_end", {})[work] = None


def merchant_of(session: Session) -> MerchantId:
    """The merchant this transaction is bound to.

    Raises:
        InvariantBroken: the transaction is not bound to a merchant.
    """
    merchant_id: MerchantId | None = session.info.get("merchant_id")
    if merchant_id is None:
        raise InvariantBroken(what="no merchant bound to this transaction")
    return merchant_id


def forbid_in_transaction(what: str) -> None:
    """Adapters call this first: no call to the outside while a transaction is open in this thread.

    Raises:
        InvariantBroken: one is open. A roll-back after the call would forget the charge.
    """
    if getattr(_open, "depth", 0):
        raise InvariantBroken(what=f"{what} inside an open transaction")


def driver_url(url: str) -> URL:
    """The same address for SQLAlchemy, on psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg")


def libpq_url(url: str) -> str:
    """The same address for libpq (psycopg itself, LISTEN, the broker), as key=value: libpq reads no `+` as a space."""
    parts = make_url(url)
    address = {"host": parts.host, "port": parts.port, "dbname": parts.database}
    person = {"user": parts.username, "password": parts.password}
    options = {name: values[0] for name, values in parts.normalized_query.items()}
    return make_conninfo("", **{**address, **person, **options})


def lookup(session: Session, function: str, *args: object) -> Any:
    """Call one of the narrow look-up functions that work before the merchant is known; None when unknown."""
    names = ", ".join(f":a{index}" for index in range(len(args)))
    values = {f"a{index}": value for index, value in enumerate(args)}
    return session.execute(text(f"SELECT {function}({names})"), values).scalar_one()


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database to `revision` (Alembic), creating the application role if it is missing."""
    command.upgrade(alembic_config(url), revision)


def newest_revision() -> str | None:
    """The revision that `migrate` leads to, as this code knows it."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def alembic_config(url: str) -> Config:
    """Alembic's configuration for this database, without a file."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = driver_url(url)
    return config


def _become_app_role(connection: psycopg.Connection[Any], _record: object) -> None:
    # The connection may belong to the owner of the tables (embedded, small installations); rows are still bound,
    # because every session works as the role that cannot bypass row-level security.
    connection.autocommit = True  # `Database` opens its transactions itself, together with what they begin with
    connection.execute(f"SET ROLE {APP_ROLE}")
