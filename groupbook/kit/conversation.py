"""How a transaction talks to the server: what needs no answer waits, and travels with the next statement that does.

The BEGIN, and every INSERT or UPDATE that returns nothing, are kept until something is read, or until the COMMIT, and
are then sent ahead of it in one go (libpq's pipeline mode). The server sees the same statements in the same order; only
the waiting for each "done" falls away. So a transaction costs a round trip for each question it asks, and one to
commit.

An error of a statement that waited is raised by the one it travels with: at the latest by the commit, which then has
not happened. A row the ORM read and changes must still be there, at its version where it has one: the server itself
looks, and refuses the statement otherwise, so that nothing behind it is done, the COMMIT neither. Only what returns
something never waits.

Questions that do not depend on each other's answers are asked together, and cost one round trip (`together`). The
server answers them one after the other, as it would have: a lock is waited for before the next question is looked at,
and each sees what was committed when its own turn came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # it publishes no types
from psycopg.errors import InvalidTextRepresentation, PipelineAborted
from sqlalchemy import Engine, event

from groupbook.kit.errors import InvariantBroken

waiting_max: Final = 200  # statements that are kept before they are sent all the same
prepared_max: Final = 500  # a checkout alone asks about 150; psycopg's 100 would forget each before it comes again
NO_ANSWER: Final = {"needs_no_answer": True}
"""Execution options of a statement whose rows, if it returns any, nobody reads."""
_BIND: Final = "SELECT set_config('app.merchant_id', %s, true)"
_CLOCKS: Final = (
    "SELECT clock_timestamp(), coalesce((SELECT offset_seconds FROM merchant_clock WHERE merchant_id = %s), 0)"
)
_ROWS_CHANGED: Final = "rows changed: "
# Answers no row at all; any other count than one is no boolean, and the server says so with the count in its words.
_ONE_ROW: Final = (
    "WITH changed AS ({} RETURNING 1) SELECT true AS rows_changed FROM changed"
    f" HAVING CASE WHEN count(*) = 1 THEN false ELSE ('{_ROWS_CHANGED}' || count(*))::boolean END"
)


@dataclass(frozen=True)
class _Waiting:
    """One statement that was not sent yet; with several sets of parameters where there are `many`."""

    statement: str
    parameters: Any
    many: bool = False


@dataclass(frozen=True)
class _Opening:
    merchant_id: UUID | None
    told: Callable[[datetime, int], object]


class _Round(ExitStack):
    """Of questions that are asked together: nothing is sent before the first of them asks something."""

    is_sending = False


class Connection(psycopg.Connection[Any]):
    """A connection that keeps what needs no answer."""

    _waiting: Sequence[_Waiting] = ()
    _opening: _Opening | None = None
    _round: _Round | None = None
    _failure: Exception | None = None  # of a round; the transaction is over

    def open(self, merchant_id: UUID | None, told: Callable[[datetime, int], object]) -> None:
        """Begin a transaction, bound to a merchant or to none, with the first statement that is sent.

        Args:
            told: the database's instant, and the seconds by which the merchant's clock runs ahead, as soon as they are
                known. They are read after the first statement, so that having waited for its lock makes nothing stale.
        """
        self._opening = _Opening(merchant_id, told)

    def send_now(self) -> None:
        """Send what waits at once; where nothing was asked yet, begin for the clocks alone."""
        with self.sending():
            pass

    def keep(self, statement: _Waiting) -> None:
        self._waiting = [*self._waiting, statement]
        if len(self._waiting) >= waiting_max:
            self.send_now()

    def together(self, questions: Sequence[Callable[[], object]]) -> None:
        """Let each of them run until it asks the server something, send what they ask in one go, and so on.

        They may write, too; what they ask in the same round must not depend on each other's answers. None may raise.
        """
        running = [greenlet(question) for question in questions]
        for one in running:
            one.gr_context = copy_context()
        try:
            while running:
                if self._round is not None:  # asked by one that runs beside others itself
                    running = _go_on(running)
                    if running:
                        getcurrent().parent.switch()
                else:
                    running = self._ask_a_round(running)
        except BaseException:  # the process is told to stop: none is left standing in the middle of its question
            for one in running:
                one.throw()
            raise

    def _ask_a_round(self, running: Sequence[greenlet]) -> list[greenlet]:
        try:
            with _Round() as self._round:
                running = _go_on(running)
        except Exception as failure:  # noqa: BLE001 - whoever asked raises it, as if it had asked alone
            self._failure = self._failure or failure
        finally:
            self._round = None
        return list(running)

    def _wait(self) -> None:
        """For the answers of the round, or what was refused in it."""
        getcurrent().parent.switch()
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def sending(self, *, is_last: bool = False) -> Iterator[None]:
        """Whatever waits goes ahead of what is said inside. After the last word nobody asks for the time.

        Raises:
            InvariantBroken: a row that was read is gone or has another version, so what was to be written is lost.
        """
        if self._round is not None:
            try:
                self._join(self._round)
                yield
            except psycopg.Error as error:  # perhaps of one that was asked before: it came while this one was sent
                self._failure = self._failure or error
                raise
            self._wait()
        elif self._waiting or self._opening is not None:
            with self._in_one_go(is_last=is_last):
                yield
        else:
            yield

    def _join(self, round: _Round) -> None:
        """Let what waits go ahead of what is asked next in this round."""
        if not round.is_sending:
            round.enter_context(self._in_one_go())
            round.is_sending = True
        self._send_waiting()

    @contextmanager
    def _in_one_go(self, *, is_last: bool = False) -> Iterator[None]:
        opening, self._opening = self._opening, None
        with _row_promises(), _what_was_refused(), self.pipeline():
            if opening is not None:
                psycopg.Cursor(self).execute("BEGIN", prepare=False)
                if opening.merchant_id is not None:
                    psycopg.Cursor(self).execute(_BIND, [str(opening.merchant_id)])
            self._send_waiting()
            yield
            asks = opening is not None and not is_last
            clocks = psycopg.Cursor(self).execute(_CLOCKS, [opening.merchant_id]) if opening and asks else None
        if opening is not None and clocks is not None:
            opening.told(*(clocks.fetchone() or ()))

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, ()
        for one in waiting:
            if one.many:
                psycopg.Cursor(self).executemany(one.statement, one.parameters)
            else:
                psycopg.Cursor(self).execute(one.statement, one.parameters)

    def commit(self) -> None:
        if not self._waiting:
            self._opening = None  # nothing was asked
            super().commit()
            return
        with self.sending(is_last=True):
            psycopg.Cursor(self).execute("COMMIT", prepare=False)

    def rollback(self) -> None:
        self._waiting, self._opening, self._failure = (), None, None
        super().rollback()


def _go_on(questions: Sequence[greenlet]) -> list[greenlet]:
    """Each until it asks the next thing; those that are not done yet."""
    for one in questions:
        one.switch()
    return [one for one in questions if not one.dead]


@contextmanager
def _what_was_refused() -> Iterator[None]:
    """What the server refused, rather than that nothing behind it was done: psycopg raises whichever it heard last."""
    try:
        yield
    except PipelineAborted as error:
        if isinstance(error.__context__, psycopg.Error):
            raise error.__context__ from None
        raise


@contextmanager
def _row_promises() -> Iterator[None]:
    """Name the server's complaint about a row that is gone or changed."""
    try:
        yield
    except InvalidTextRepresentation as error:
        _, found, count = (error.diag.message_primary or "").partition(_ROWS_CHANGED)
        if not found:
            raise
        changed = int("".join(filter(str.isdigit, count)))
        raise InvariantBroken(what="rows changed", expected=1, changed=changed) from error


class Cursor(psycopg.Cursor[Any]):
    """What a SQLAlchemy engine asks through."""

    @property
    def description(self) -> list[Any] | None:
        """Names and types alone: psycopg's own looks up every column's type, which nobody here asks for."""
        result = self.pgresult
        if result is None or not result.nfields:
            return None
        names = ((result.fname(index) or b"").decode() for index in range(result.nfields))
        return [(name, result.ftype(index), None, None, None, None, None) for index, name in enumerate(names)]

    def execute(self, *args: Any, **keywords: Any) -> Self:
        connection: Any = self.connection
        with connection.sending():
            super().execute(*args, **keywords)
        return self

    def executemany(self, *args: Any, **keywords: Any) -> None:
        connection: Any = self.connection
        with connection.sending():
            super().executemany(*args, **keywords)

    def keep(self, statement: str, parameters: Any, *, many: bool) -> None:
        """Let it wait; how many rows it changed is not known."""
        connection: Any = self.connection
        connection.keep(_Waiting(statement, parameters, many))

    def keep_promised(self, statement: str, parameters: Any, *, many: bool) -> None:
        """Let an UPDATE wait that must change exactly one row, for each set of parameters."""
        self._rowcount = len(parameters) if many else 1  # a promise, which the server is told to check
        self.keep(_ONE_ROW.format(statement), parameters, many=many)


def keep_what_needs_no_answer(engine: Engine) -> None:
    """Make this engine's connections talk so."""

    def kept(cursor: Any, statement: str, parameters: Any, context: Any, *, many: bool) -> bool | None:
        """True: it waits, and SQLAlchemy need not execute it."""
        if context is not None and context.execution_options.get("needs_no_answer"):
            cursor.keep(statement, parameters, many=many)
            return True
        if context is None or context.compiled is None or not (context.isinsert or context.isupdate):
            return None
        if context.compiled.effective_returning:
            return None
        # Only the ORM's flush keeps its statements in a cache of the mapper's, and only it counts what it changed.
        if context.isupdate and "compiled_cache" in context.execution_options:
            cursor.keep_promised(statement, parameters, many=many)
        else:
            cursor.keep(statement, parameters, many=many)
        return True

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, given: list[Any], named: dict[str, Any]) -> Connection:
        connection = Connection.connect(*given, cursor_factory=Cursor, **named)
        connection.prepared_max = prepared_max
        return connection

    @event.listens_for(engine, "do_execute")
    def execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
        return kept(cursor, statement, parameters, context, many=False)

    @event.listens_for(engine, "do_executemany")
    def execute_many(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
        return kept(cursor, statement, parameters, context, many=True)
