"""The database in memory is PostgreSQL to the production code: whole histories take the same way on both.

Each history here is played twice, by the same seed, with the same virtual clock and the same ids: once in memory, once
on a real PostgreSQL. Every query that production asks on that way must have answered alike, or the stories part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import ColumnElement, event, inspect, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import groupbook
from groupbook import discounts
from groupbook.bookings.models import BookingRow, BookingStepRow
from groupbook.kit import clock
from groupbook.kit.database import Database, SessionClock
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import new_id
from groupbook.kit.models import IntentRow
from groupbook.merchants import repository as merchants
from groupbook.offers.models import MerchantOrderRow
from groupbook.offers.repository import save_offer
from groupbook.payments.models import AttemptRow, JournalRow, PortionRow, PostingRow
from groupbook.people.models import GuestRow
from groupbook.trips.models import MemberRow, TripOptionRow, TripRow
from tests.simulation.beginning import MERCHANT
from tests.simulation.memory import MemorySession, below, light_rows, memory_database
from tests.simulation.memory.store import MemoryDatabase, kind_of
from tests.simulation.plan import Plan, Profile, draw
from tests.simulation.world import World

# Erasure walks through the documents of holds and orders; no simulated history erases anybody. The server's time is a
# part of questions that memory answers by its own clock.
UNASKED: Final = frozenset({"rows_naming", "server_now"})
_WRITES: Final = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_NOT_KEPT: Final = frozenset({TripRow, MemberRow, TripOptionRow})  # compared by what the booking does with them


def queries() -> dict[str, Any]:
    """Every `@query` of the house, by name."""
    found = {}
    for module in walk_packages(groupbook.__path__, "groupbook."):
        if ".migrations" not in module.name:
            for name, value in vars(import_module(module.name)).items():
                if hasattr(value, "ways") and hasattr(value, "__wrapped__"):
                    found[f"{value.__module__}.{name}"] = value
    return found


def test_every_query_can_be_answered_from_memory() -> None:
    """Whoever writes a `@query` writes its twin in tests/simulation/memory/, or the simulator stops before it."""
    missing = [
        name
        for name, query in queries().items()
        if MemorySession not in query.ways and name.rpartition(".")[2] not in UNASKED
    ]
    assert missing == []
    assert len(queries()) > 90


class PostgresSession(Session):
    """A SQLAlchemy session of the compared worlds: all its answers are SQL, but for the price and the merchant."""


class Postgres(Database):
    """A real database under a virtual clock; it tells after each commit what was written, as the one in memory does."""

    def __init__(self, url: str, twin: MemoryDatabase) -> None:
        super().__init__(url, pool_size=2, name="simulation")
        self._twin = twin
        self._now = twin.now
        self.settings = twin.settings
        self.commits = 0
        self.before_commit: Callable[[Any], None] = lambda _session: None
        self.after_commit: Callable[[list[Any]], None] = lambda _rows: None
        self.database = self  # what the memory ways of price and merchant ask
        self._kinds = {
            kind.__tablename__: kind  # type: ignore[attr-defined]  # every kind is a table
            for kind in twin.tables
            if kind not in _NOT_KEPT
        }
        self._touched: set[str] = set()
        event.listen(self.engine, "before_cursor_execute", self._note)
        self.tables: dict[type, Any] = {kind: _Known() for kind in twin.tables}

    def now(self) -> datetime:
        return self._now()

    @contextmanager
    def begin(self, merchant_id: UUID) -> Iterator[Session]:
        nudges: list[Any] = []
        with super().begin(merchant_id) as session:
            session.__class__ = PostgresSession
            session.database = self  # type: ignore[attr-defined]
            yield session
            for work in session.info.pop("at_the_end", ()):
                work(session)
            nudges = session.info.pop("nudges", [])
            session.flush()
            self.before_commit(session)
        written = self._written()
        if written:
            self.commits += 1
            self.after_commit(written)
        for task, merchant, row_id in nudges:
            self.nudger.nudge(task, merchant, row_id)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self._touched.update(_WRITES.findall(statement))

    def _clock(self, at: datetime, offset_seconds: int) -> SessionClock:
        now = self._now()
        return SessionClock(now, timedelta(seconds=offset_seconds), lambda: (self._now() - now).total_seconds())

    def as_production(self) -> Database:
        return self

    def values(self, kind: type) -> Iterator[dict[str, Any]]:
        return iter(self.tables[kind].rows.values())

    def value(self, kind: type, key: Hashable) -> dict[str, Any]:
        return dict(self.tables[kind].rows[key])

    def _written(self) -> list[Any]:
        """Read what was written to, and say what is new."""
        written: list[Any] = []
        kinds = [kind for name, kind in self._kinds.items() if name in self._touched]
        self._touched.clear()
        if not kinds:
            return written
        with super().begin(MERCHANT) as session:
            for kind in kinds:
                table: Any = kind.__table__  # type: ignore[attr-defined]  # as above
                key = self._twin.tables[kind].key
                known = self.tables[kind].rows
                for found in session.execute(select(table)).mappings():
                    values = dict(found)
                    id = key(values)
                    if known.get(id) != values:
                        known[id] = values
                        row = kind()
                        row.__dict__.update(values)
                        written.append(row)
        return written


class _Known:
    def __init__(self) -> None:
        self.rows: dict[Any, dict[str, Any]] = {}


discounts.price_party.register(PostgresSession)(below._price_party)


@clock.server_now.register(PostgresSession)
def _server_now(session: Session) -> ColumnElement[datetime]:
    return literal(clock.system_now(session))


def on_postgres(url: str, plan: Plan) -> World:
    """The same world, its database replaced before anybody does anything."""
    world = World(plan, telling=True)
    memory = world.database
    database = Postgres(url, memory)
    database.nudger = world
    with Database.begin(database, MERCHANT) as session:
        now = world.now
        merchants.insert_merchant(session, memory.settings["merchant"], now)
        (offer,) = memory.settings["offers"].values()
        stored = save_offer(session, offer.draft, now)
        session.flush()
        session.connection().exec_driver_sql("UPDATE offer SET id = %s WHERE id = %s", (offer.id, stored.id))
        session.add_all(
            GuestRow(merchant_id=MERCHANT, id=one["guest_id"], trip_ref=one["trip_id"], name="", created_at=now)
            for one in memory.values(MemberRow)
        )
        for kind in (TripRow, MemberRow, TripOptionRow):
            session.flush()
            session.add_all(
                kind(**{name: value for name, value in one.items() if name != "_sa_instance_state"})
                for one in memory.values(kind)
            )
    database.before_commit, database.after_commit = memory.before_commit, memory.after_commit
    world.replace_database(database)
    return world


def told(world: World) -> list[str]:
    """What happened outside and to people, in order."""
    return [f"{line.at:%d %H:%M:%S.%f} {line.who}: {line.what}" for line in world.log if line.who != "house"]


def kept(world: World) -> dict[str, list[dict[str, Any]]]:
    """What the tables hold in the end, but for what PostgreSQL itself counts and dates."""
    return {
        table.kind.__name__: sorted(
            (
                {
                    name: value
                    for name, value in one.items()
                    if name not in ("_sa_instance_state", "version", "batch")
                    and (table.kind, name) != (BookingStepRow, "recorded_at")
                }
                for one in world.values(table.kind)
            ),
            key=repr,
        )
        for table in memory_database(now=lambda: world.now).tables.values()
        if table.kind not in _NOT_KEPT
    }


FALLS: Final = Profile("the order falls after it was booked", {"merchant.standing:canceled": 1.0})


@pytest.mark.parametrize(("seed", "profile"), [(1, None), (7, None), (26, None), (68, FALLS)])
def test_a_history_takes_the_same_way_on_postgresql_and_in_memory(
    seed: int, profile: Profile | None, database_url: str
) -> None:
    plan = draw(seed, profile)
    memory = World(plan, telling=True)
    memory.run()
    postgres = on_postgres(database_url, plan)
    try:
        postgres.run()
    finally:
        postgres.database.close()
    assert told(postgres) == told(memory)
    assert kept(postgres) == kept(memory)


# --- what the tables forbid -------------------------------------------------------------------------------------------


def _booked() -> World:
    """Two friends and a booking that stands."""
    world = World(replace(draw(31), rates={}, outages=(), cancels_after=None, regrets_after=None))
    world.run()
    return world


def _copy(world: World, kind: type, **changes: Any) -> Any:
    row = kind()
    row.__dict__.update({**next(iter(world.values(kind))), **changes})
    return row


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (BookingRow, {"id": new_id()}),  # one current booking per trip
        (
            AttemptRow,
            {"id": new_id(), "n": 9, "page_ref": None, "payment_ref": None},
        ),  # one current try
        (AttemptRow, {"id": new_id(), "is_current": False, "page_ref": None, "payment_ref": None}),  # its number
        (AttemptRow, {"id": new_id(), "n": 9, "is_current": False, "page_ref": None}),  # the provider's name for it
        (IntentRow, {"id": new_id()}),  # a call is owed once
        (JournalRow, {"id": new_id()}),  # a cause is journaled once
        (PostingRow, {"id": new_id()}),  # a movement balances
        (PortionRow, {"id": new_id(), "captured": 1_000_000}),  # never more than is owed
        (PortionRow, {"id": new_id(), "captured": 1, "refunded": 2}),  # never more back than was taken
        (MerchantOrderRow, {"id": new_id()}),  # one order per booking
    ],
)
def test_what_postgresql_forbids_memory_forbids(kind: type, changes: dict[str, Any]) -> None:
    world = _booked()
    before = len(list(world.values(kind)))
    row = _copy(world, kind, **changes)
    with pytest.raises(IntegrityError), world.database.begin(MERCHANT) as session:
        session.add(row)
    assert len(list(world.values(kind))) == before


def test_a_raise_rolls_back_rows_and_changes() -> None:
    world = _booked()
    (portion, *_) = world.values(PortionRow)
    before = dict(portion)

    def change_and_fail() -> None:
        with world.database.begin(MERCHANT) as session:
            row = session.find(PortionRow, portion["id"])
            assert row is not None
            row.captured = 0
            session.add(_copy(world, PortionRow, id=new_id()))
            raise LookupError

    with pytest.raises(LookupError):
        change_and_fail()
    assert world.database.value(PortionRow, portion["id"]) == before
    assert len(list(world.values(PortionRow))) == world.plan.size


def test_a_row_that_was_read_is_a_copy() -> None:
    """What a handler keeps while it waits for the outside goes stale, as it does in production."""
    world = _booked()
    (portion, *_) = world.values(PortionRow)
    with world.database.begin(MERCHANT) as session:
        stale = session.find(PortionRow, portion["id"])
    with world.database.begin(MERCHANT) as session:
        fresh = session.find(PortionRow, portion["id"])
        assert fresh is not None
        fresh.decline_reason = "changed"
    assert stale is not None
    assert stale.decline_reason is None
    assert world.database.value(PortionRow, portion["id"])["decline_reason"] == "changed"


def test_a_row_that_production_makes_is_light_only_where_that_is_asked_for() -> None:
    with light_rows():
        light = IntentRow(kind="capture")
    usual = IntentRow(kind="capture")
    assert [kind_of(light), light.kind, "state" in vars(light)] == [IntentRow, "capture", True]
    assert [kind_of(usual), usual.kind, "state" in vars(usual)] == [IntentRow, "capture", False]
    assert inspect(light, raiseerr=False) is None
    assert inspect(usual).transient


def test_no_call_may_be_made_inside_a_transaction() -> None:
    world = _booked()
    with world.database.begin(MERCHANT), pytest.raises(InvariantBroken):
        world.sleep(1)


def test_the_same_seed_is_the_same_history() -> None:
    first, second = World(draw(68), telling=True), World(draw(68), telling=True)
    first.run()
    second.run()
    assert first.log == second.log
    assert len(first.log) > 100
