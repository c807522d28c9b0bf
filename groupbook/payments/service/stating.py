"""Statements: the ledger of one reference, or of a merchant for some days, with what stood before and after."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from groupbook.kit import clock
from groupbook.merchants import read_merchant
from groupbook.payments import books_repository, repository
from groupbook.payments.reconciliation import day_window
from groupbook.payments.service.reading import statement
from groupbook.payments.statements import (
    MEMO_KINDS,
    PeriodStatement,
    StatementLine,
    StatementNotFound,
    StatementTooLong,
    check_period,
    currency_parts,
    lines_max,
)


def statement_of_reference(session: Session, reference: UUID) -> PeriodStatement:
    """Everything that ever moved for one reference, authorizations included. A step.

    Raises:
        StatementNotFound: no money was ever asked for under this reference at this merchant.
    """
    if not repository.portions_of(session, reference):
        raise StatementNotFound()
    lines = _within_bounds(books_repository.lines_of(session, reference=reference, limit=lines_max + 1))
    return PeriodStatement(None, None, reference, currency_parts({}, lines), statement(session, reference))


def statement_of_days(session: Session, first: date, last: date, *, reference: UUID | None = None) -> PeriodStatement:
    """What moved from the first day to the last, both included, on the merchant's wall and clock. A step.

    Authorizations are left out: they are nobody's money. A test merchant that traveled in time finds its movements
    under the days its own clock said.

    Raises:
        StatementPeriodInvalid: the end before the beginning, or more than a year.
        StatementTooLong: more movements than one document should hold.
    """
    check_period(first, last)
    zone = read_merchant(session).timezone
    since, until = day_window(first, zone)[0], day_window(last, zone)[1]
    opening = books_repository.sums_before(session, since, reference=reference, without=MEMO_KINDS)
    found = books_repository.lines_of(
        session, reference=reference, since=since, until=until, without=MEMO_KINDS, limit=lines_max + 1
    )
    return PeriodStatement(since, until, reference, currency_parts(opening, _within_bounds(found)))


def statement_days(session: Session, first: date | None, last: date | None) -> tuple[date, date]:
    """The days to state where not both were named: the thirty up to today, on the merchant's clock. A step."""
    if last is None:
        last = clock.now(session).astimezone(ZoneInfo(read_merchant(session).timezone)).date()
    return first or last - timedelta(days=29), last


def _within_bounds(lines: list[StatementLine]) -> list[StatementLine]:
    if len(lines) > lines_max:
        raise StatementTooLong(lines_max=lines_max)
    return lines
