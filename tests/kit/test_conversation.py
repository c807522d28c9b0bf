"""What needs no answer travels with what does, and nothing else is different, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from benchmarks.settlement.wire import Wire
from groupbook.kit import clock
from groupbook.kit.conversation import waiting_max
from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import MerchantId, new_id
from groupbook.kit.models import PaceRow

MERCHANT = MerchantId(new_id())


def line(endpoint: str) -> PaceRow:
    return PaceRow(merchant_id=MERCHANT, endpoint=endpoint, next_at=datetime.now(UTC), taken=[])


@contextmanager
def heard(database: Database) -> Iterator[Wire]:
    """What is said from now on; not what a new connection says once."""
    with Wire(database.engine) as wire:
        with database.begin(MERCHANT) as session:
            endpoints(session)
        wire.take()
        yield wire


def endpoints(session: Session) -> list[str]:
    return list(session.scalars(select(PaceRow.endpoint).order_by(PaceRow.endpoint)))


def test_what_is_only_written_costs_the_commit_alone(database: Database) -> None:
    with heard(database) as wire:
        with database.begin(MERCHANT) as session:
            session.add(line("a"))
            session.flush()
            session.add(line("b"))
            session.flush()
            session.execute(update(PaceRow).values(taken=[1.0]).execution_options(synchronize_session=False))
        assert (cost := wire.take()).round_trips == 1
        assert (cost.commits, cost.written) == (1, 1)
    with database.begin(MERCHANT) as session:
        assert [row.taken for row in session.scalars(select(PaceRow))] == [[1.0], [1.0]]


def test_a_question_sees_what_was_written_before_it(database: Database) -> None:
    with heard(database) as wire:
        with database.begin(MERCHANT) as session:
            session.add_all([line("a"), line("b")])
            assert endpoints(session) == ["a", "b"]
            assert wire.take().round_trips == 1
            session.add(line("c"))
            assert endpoints(session) == ["a", "b", "c"]
        assert wire.take().round_trips == 2


def test_a_transaction_that_says_nothing_costs_nothing(database: Database) -> None:
    with heard(database) as wire:
        with database.begin(MERCHANT):
            pass
        assert wire.take().round_trips == 0


def test_the_time_comes_with_the_first_answer_or_is_asked_for(database: Database) -> None:
    with heard(database) as wire:
        with database.begin(MERCHANT) as session:
            endpoints(session)
            before, now = wire.take().round_trips, clock.system_now(session)
            assert (before, wire.take().round_trips) == (1, 0)
            assert abs((now - session.execute(select(func.clock_timestamp())).scalar_one()).total_seconds()) < 1
        wire.take()
        with database.begin(MERCHANT) as session:
            clock.now(session)
            clock.now(session)
            assert wire.take().round_trips == 1


def twice(session: Session) -> None:
    """Two rows of one key; the server has not heard of the second."""
    for _ in range(2):
        session.add(line("twice"))
        session.flush()
        session.expunge_all()


def refused(database: Database, act: Callable[[Session], object]) -> None:
    with database.begin(MERCHANT) as session:
        session.add(line("beside"))
        endpoints(session)
        act(session)


def test_a_refused_row_undoes_everything_at_the_latest_at_the_commit(database: Database) -> None:
    with pytest.raises(IntegrityError):
        refused(database, twice)
    with database.begin(MERCHANT) as session:
        assert endpoints(session) == []


def test_the_error_of_a_row_is_raised_by_the_next_question(database: Database) -> None:
    reached = []

    def ask(session: Session) -> None:
        twice(session)
        endpoints(session)
        reached.append("after")

    with pytest.raises(IntegrityError):
        refused(database, ask)
    assert reached == []


def test_what_waits_is_forgotten_with_its_transaction(database: Database) -> None:
    def give_up(session: Session) -> None:
        session.add(line("never sent"))
        session.flush()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        refused(database, give_up)
    with database.begin(MERCHANT) as session:
        session.add(line("b"))
        session.flush()
        assert endpoints(session) == ["b"]


def test_a_row_that_is_gone_is_not_changed_in_silence(database: Database) -> None:
    def change(session: Session) -> None:
        row = session.scalars(select(PaceRow)).one()
        session.execute(text("DELETE FROM provider_pace"))
        row.taken = [1.0]
        session.flush()
        endpoints(session)

    with pytest.raises(InvariantBroken, match="rows changed"):
        refused(database, change)
    with database.begin(MERCHANT) as session:
        assert endpoints(session) == []


def test_a_row_that_is_gone_stops_the_commit_it_travels_with(database: Database) -> None:
    def change(session: Session) -> None:
        row = session.scalars(select(PaceRow)).one()
        session.execute(text("DELETE FROM provider_pace"))
        row.taken = [1.0]
        session.add(line("later"))
        session.flush()

    with pytest.raises(InvariantBroken, match="rows changed"):
        refused(database, change)
    with database.begin(MERCHANT) as session:
        assert endpoints(session) == []


def test_one_row_of_several_that_is_gone_stops_the_commit(database: Database) -> None:
    with database.begin(MERCHANT) as session:
        session.add_all([line("a"), line("b")])

    def change(session: Session) -> None:
        rows = list(session.scalars(select(PaceRow).where(PaceRow.endpoint.in_(["a", "b"]))))
        session.execute(text("DELETE FROM provider_pace WHERE endpoint = 'a'"))
        for row in rows:
            row.taken = [1.0]
        session.flush()

    with pytest.raises(InvariantBroken, match="rows changed"):
        refused(database, change)
    with database.begin(MERCHANT) as session:
        assert [(row.endpoint, row.taken) for row in session.scalars(select(PaceRow).order_by(PaceRow.endpoint))] == [
            ("a", []),
            ("b", []),
        ]


def test_a_changed_row_that_is_there_costs_the_commit_alone(database: Database) -> None:
    with database.begin(MERCHANT) as session:
        session.add_all([line("a"), line("b")])
    with heard(database) as wire, database.begin(MERCHANT) as session:
        for row in session.scalars(select(PaceRow)):
            row.taken = [2.0]
        session.flush()
        wire.take()
        session.commit()
        cost = wire.take()
        assert (cost.round_trips, cost.commits, cost.written, cost.rows) == (1, 1, 1, 0)


def test_several_sets_at_once_do_not_overtake_what_waits(database: Database) -> None:
    """As the ORM asks for several versioned rows changed alike, or deleted: nothing of it is ever kept."""
    with database.begin(MERCHANT) as session:
        session.add(line("a"))
        session.flush()
        raw = session.connection().connection.cursor()
        raw.executemany("UPDATE provider_pace SET taken = %s WHERE endpoint = %s", [("[1]", "a"), ("[2]", "b")])
        assert raw.rowcount == 1
    with database.begin(MERCHANT) as session:
        assert [row.taken for row in session.scalars(select(PaceRow))] == [[1]]


def test_several_sets_at_once_may_be_the_first_word(database: Database) -> None:
    with database.begin(MERCHANT) as session:
        session.add_all([line("a"), line("b")])
    with database.begin(MERCHANT) as session:
        raw = session.connection().connection.cursor()
        raw.executemany("DELETE FROM provider_pace WHERE endpoint = %s", [("a",), ("b",)])
        assert (raw.rowcount, endpoints(session)) == (2, [])
        session.rollback()
    with database.begin(MERCHANT) as session:
        assert endpoints(session) == ["a", "b"]


def test_another_merchant_is_never_bound_by_what_waited(database: Database) -> None:
    other = MerchantId(new_id())
    with database.begin(MERCHANT) as session:
        session.add(line("a"))
    with database.begin(other) as session:
        assert endpoints(session) == []
    with database.begin_unbound() as session:
        assert endpoints(session) == []


def test_not_everything_is_kept_for_the_end(database: Database) -> None:
    with database.begin(MERCHANT) as session:
        for number in range(waiting_max + 1):
            session.execute(update(PaceRow).values(taken=[number]).execution_options(synchronize_session=False))
        assert len(session.connection().connection.dbapi_connection._waiting) == 1  # type: ignore[union-attr]
