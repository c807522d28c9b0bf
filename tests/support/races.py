"""Two at once, on a real PostgreSQL, in an order that is always the same.

The first stops with everything written and nothing committed, until the second is done or the database says that it
waits for a lock. With the row locks switched off (every `FOR UPDATE` is left out of the very same queries) the
second reads what the first is about to change: the twin that shows what the lock is for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import NullPool, Select, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import ORMExecuteState, Session

from groupbook import house
from groupbook.house import House
from groupbook.kit.database import Database, driver_url, send_now
from groupbook.kit.errors import GroupbookError
from tests.support.postgres import warm_engine
from tests.support.saga import Saga

patience_seconds = 60.0
Act = Callable[[House], object]


class RaceDatabase(Database):
    """A database with its row locks on or off, that can be stopped just before a commit.

    Args:
        before_commit: called with the number of the transaction (1, 2, …) when all of it is written.
    """

    def __init__(self, url: str, *, locks: bool, before_commit: Callable[[int], object] | None = None) -> None:
        super().__init__(url, engine=warm_engine(url))
        self._locks = locks
        self._before_commit = before_commit
        self._transactions = 0

    @contextmanager
    def _transaction(self, merchant_id: UUID | None) -> Iterator[Session]:
        with super()._transaction(merchant_id) as session:
            if not self._locks:
                event.listen(session, "do_orm_execute", _leave_the_lock_out)
            yield session
            session.flush()
            send_now(session)
            self._transactions += 1
            if self._before_commit is not None:
                self._before_commit(self._transactions)


def _leave_the_lock_out(asked: ORMExecuteState) -> None:
    statement = asked.statement
    if isinstance(statement, Select) and statement._for_update_arg is not None:
        bare = statement._generate()
        bare._for_update_arg = None
        asked.statement = bare


@dataclass
class Race:
    """Who ran, and what came of it: a value, or the error that was raised."""

    saga: Saga
    locks: bool
    houses: list[House] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._watcher = create_engine(driver_url(self.saga.house.settings.database_url), poolclass=NullPool)

    def run(self, first: Act, second: Act, *, at: int = 1) -> tuple[object, object]:
        """Let `second` run while `first` stands before the commit of its transaction number `at`."""
        stands, is_over = threading.Event(), threading.Event()

        def stop(number: int) -> None:
            if number == at:
                stands.set()
                is_over.wait(patience_seconds)

        outcomes: list[object] = [None, None]

        def drive(index: int, act: Act, on: House) -> None:
            try:
                outcomes[index] = act(on)
            except (GroupbookError, SQLAlchemyError) as error:
                outcomes[index] = error

        one = threading.Thread(target=drive, args=(0, first, self._house(stop)))
        other = threading.Thread(target=drive, args=(1, second, self._house(None)))
        one.start()
        came = stands.wait(patience_seconds)
        assert came, f"the first never came to its transaction {at}: {outcomes[0]!r}"
        other.start()
        self._wait_for(other)
        is_over.set()
        for thread in (one, other):
            thread.join(patience_seconds)
            assert not thread.is_alive()
        return outcomes[0], outcomes[1]

    def _wait_for(self, other: threading.Thread) -> None:
        """Until it is done, or can go no further before the first one has."""
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        give_up_at = time.monotonic() + patience_seconds
        # The application's role is not shown what others wait for; whoever logged in is.
        with self._watcher.connect() as watching:
            while other.is_alive() and not watching.scalar(waiting):
                assert time.monotonic() < give_up_at, "the second is neither done nor waiting for a lock"
                watching.rollback()
                other.join(0.02)

    def _house(self, before_commit: Callable[[int], object] | None) -> House:
        settings = self.saga.house.settings
        database = RaceDatabase(settings.database_url, locks=self.locks, before_commit=before_commit)
        made = house.build(settings, self.saga.house.outside, database=database)
        self.houses.append(made)
        return made

    def close(self) -> None:
        for made in self.houses:
            made.close()
