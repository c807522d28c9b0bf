"""What needs no answer travels with what does, and nothing else is different, on a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import psycopg
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from benchmarks.settlement.wire import Wire
from groupbook.kit import clock
from groupbook.kit.conversation import waiting_max
from groupbook.kit.database import Database, libpq_url, together
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


def names_like(session: Session, *patterns: str) -> list[list[str]]:
    """One question after the other."""
    asked = [select(PaceRow.endpoint).where(PaceRow.endpoint.like(one)) for one in patterns]
    return [list(session.scalars(one.order_by(PaceRow.endpoint))) for one in asked]


def test_what_is_asked_together_costs_one_round_trip(database: Database) -> None:
    with heard(database) as wire:
        with database.begin(MERCHANT) as session:
            session.add_all([line("a"), line("b")])
            with together(session) as ask:
                everything, b, now = ask(endpoints, session), ask(names_like, session, "b"), ask(clock.now, session)
            assert (everything(), b()) == (["a", "b"], [["b"]])
            assert abs((now() - datetime.now(UTC)).total_seconds()) < 5
            assert wire.take().round_trips == 1
        assert wire.take().round_trips == 1


def test_what_asks_several_things_in_turn_shares_its_round_trips(database: Database) -> None:
    def in_turn(session: Session) -> tuple[list[str], list[list[str]]]:
        with together(session) as ask:
            first, second = ask(endpoints, session), ask(names_like, session, "a", "z")
        return first(), second()

    with heard(database) as wire, database.begin(MERCHANT) as session:
        session.add_all([line("a"), line("b")])
        with together(session) as ask:
            nested, a, nothing = ask(in_turn, session), ask(names_like, session, "a", "a", "z"), ask(str, "asks nobody")
        assert (nested(), a(), nothing()) == ((["a", "b"], [["a"], []]), [["a"], ["a"], []], "asks nobody")
        assert wire.take().round_trips == 3


def test_what_a_question_writes_is_seen_by_those_behind_it(database: Database) -> None:
    def write(session: Session) -> None:
        session.add(line("new"))
        session.flush()

    with heard(database) as wire, database.begin(MERCHANT) as session:
        with together(session) as ask:
            before, _, after = ask(endpoints, session), ask(write, session), ask(endpoints, session)
        assert (before(), after(), wire.take().round_trips) == ([], ["new"], 1)


@pytest.mark.parametrize(("locks_first", "seen"), [(True, [1.0]), (False, [])])
def test_what_is_asked_behind_a_lock_is_as_new_as_the_lock(
    database: Database, *, locks_first: bool, seen: list[float]
) -> None:
    """The twin reads first and locks then: what it read is old when it has the lock."""
    with database.begin(MERCHANT) as session:
        session.add(line("a"))

    def lock(session: Session) -> None:
        session.execute(select(PaceRow.endpoint).with_for_update())

    def taken(session: Session) -> list[float]:
        return list(session.scalars(select(PaceRow.taken)).one())

    def read_and_lock() -> list[float]:
        with database.begin(MERCHANT) as session:
            with together(session) as ask:
                if locks_first:
                    ask(lock, session)
                answer = ask(taken, session)
                ask(lock, session)
            return answer()

    with ThreadPoolExecutor(1) as pool:
        with database.begin(MERCHANT) as session:
            lock(session)
            other = pool.submit(read_and_lock)
            until_somebody_waits(database)
            session.execute(update(PaceRow).values(taken=[1.0]).execution_options(synchronize_session=False))
        assert other.result(60) == seen


def until_somebody_waits(database: Database) -> None:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    give_up_at = time.monotonic() + 60
    with psycopg.connect(libpq_url(database.url), autocommit=True) as watching:
        while watching.execute(asked).fetchone() == (0,):
            assert time.monotonic() < give_up_at


def ask_both(session: Session, first: Callable[[Session], object], second: Callable[[Session], object]) -> None:
    with together(session) as ask:
        ask(first, session)
        ask(second, session)


def test_what_one_of_several_raises_is_raised_when_all_were_heard(database: Database) -> None:
    def refuse(session: Session) -> None:
        endpoints(session)
        raise ValueError("no")

    heard_out = []
    with database.begin(MERCHANT) as session:
        with pytest.raises(ValueError, match="no"):
            ask_both(session, refuse, lambda session: heard_out.append(names_like(session, "a", "b")))
        assert heard_out == [[[], []]]
        session.add(line("goes on"))
        assert endpoints(session) == ["goes on"]


def test_what_the_server_refuses_ends_them_all(database: Database) -> None:
    def divide(session: Session) -> None:
        session.execute(text("SELECT 1/0"))

    reached = []

    def name(session: Session) -> None:
        reached.append(names_like(session, "a", "b"))

    def nested(session: Session) -> None:
        ask_both(session, name, divide)

    for first, second in ((divide, name), (name, divide), (nested, name), (name, nested)):
        with pytest.raises(DataError, match="division by zero"):
            refused(database, partial(ask_both, first=first, second=second))
    assert reached == []
    with database.begin(MERCHANT) as session:
        assert endpoints(session) == []


def test_who_is_stopped_leaves_nobody_in_the_middle_of_a_question(database: Database) -> None:
    left = []

    def wait(session: Session) -> None:
        try:
            endpoints(session)
        except BaseException as error:
            left.append(type(error).__name__)
            raise

    def stop(session: Session) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refused(database, lambda session: ask_both(session, wait, stop))
    assert left == ["GreenletExit"]
    with database.begin(MERCHANT) as session:
        assert endpoints(session) == []
