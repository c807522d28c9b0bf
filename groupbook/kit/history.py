"""Looking back: the calls and facts about some rows, for the operator's eyes and the alerts. Decides nothing.

Instants are plain database time, except `Call.answered_at`, which the runner dates by the merchant's own clock.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from groupbook.kit.clock import system_now
from groupbook.kit.database import nudge_after_commit, query
from groupbook.kit.facts import Fact, fact_of
from groupbook.kit.ids import IntentId
from groupbook.kit.models import FactRow, IntentRow

# What the runner still works on by itself; `parked` waits for a person, the rest is over.
OWED: Final = ("due", "calling", "unknown")
rows_max: Final = 5_000


@dataclass(frozen=True)
class Call:
    """One outside call about `subject`: how often it was tried, and what came of it.

    `last_error` is for the operator alone: it is the text of an exception.
    """

    id: IntentId
    kind: str
    subject: UUID
    state: str
    attempts: int
    owed_at: datetime
    due_at: datetime
    called_at: datetime | None
    answered_at: datetime | None
    last_error: str | None

    @property
    def is_owed(self) -> bool:
        return self.state in OWED

    def is_planned(self, at: datetime) -> bool:
        """Written for a later hour: nothing is owed before that."""
        return self.state == "due" and self.attempts == 0 and self.due_at > at


@dataclass(frozen=True)
class Overdue:
    """Rows of one kind that are older than their budget."""

    count: int
    oldest_seconds: float


@query
def calls_about(session: Session, subjects: Collection[UUID]) -> list[Call]:
    """Every call about these rows, oldest first."""
    found = (
        select(IntentRow)
        .where(IntentRow.subject.in_(subjects))
        .order_by(IntentRow.owed_at, IntentRow.id)
        .limit(rows_max)
        .execution_options(populate_existing=True)
    )
    return [call_of(row) for row in session.scalars(found)]


@query
def parked_calls(session: Session, *, limit: int) -> list[Call]:
    """Calls that were given up and wait for a person, oldest first."""
    found = select(IntentRow).where(IntentRow.state == "parked").order_by(IntentRow.owed_at, IntentRow.id).limit(limit)
    return [call_of(row) for row in session.scalars(found)]


@query
def facts_about(session: Session, subjects: Collection[UUID]) -> list[Fact]:
    """Every fact about these rows, oldest first."""
    found = (
        select(FactRow).where(FactRow.subject.in_(subjects)).order_by(FactRow.recorded_at, FactRow.id).limit(rows_max)
    )
    return [fact_of(row) for row in session.scalars(found)]


@query
def revive(session: Session, subjects: Collection[UUID]) -> list[UUID]:
    """Try what was given up about these rows once more, now: the ids of those calls. A step; twice is once.

    They come back as `unknown`, so that the other side's truth is read before anything is asked again, and are tried as
    often as before. They are never new again: whoever asks whether they may have been sent before hears yes.
    """
    again = (
        update(IntentRow)
        .where(IntentRow.subject.in_(subjects), IntentRow.state == "parked")
        .values(state="unknown", attempts=1, due_at=system_now(session), lease_until=None)
        .returning(IntentRow.id)
        .execution_options(synchronize_session=False)
    )
    revived = sorted(session.scalars(again))
    for id in revived:
        nudge_after_commit(session, "run_intent", id)
    return revived


@query
def overdue_calls(session: Session, *, older_than_seconds: float) -> Overdue:
    """Calls owed for longer than that. One that was written for a later hour is not owed before it."""
    at = system_now(session)
    found = select(func.count(), func.min(IntentRow.owed_at)).where(
        IntentRow.state.in_(OWED),
        IntentRow.owed_at < at - timedelta(seconds=older_than_seconds),
        or_(IntentRow.attempts > 0, IntentRow.due_at < at - timedelta(seconds=older_than_seconds)),
    )
    count, oldest = session.execute(found).one()
    return Overdue(count, _age(oldest, at))


@query
def overdue_facts(session: Session, *, older_than_seconds: float) -> Overdue:
    """Facts that somebody has not heard for longer than that."""
    at = system_now(session)
    found = select(func.count(), func.min(FactRow.recorded_at)).where(
        FactRow.delivered_at.is_(None), FactRow.recorded_at < at - timedelta(seconds=older_than_seconds)
    )
    count, oldest = session.execute(found).one()
    return Overdue(count, _age(oldest, at))


def call_of(row: IntentRow) -> Call:
    return Call(
        id=IntentId(row.id),
        kind=row.kind,
        subject=row.subject,
        state=row.state,
        attempts=row.attempts,
        owed_at=row.owed_at,
        due_at=row.due_at,
        called_at=row.called_at,
        answered_at=row.answered_at,
        last_error=row.last_error,
    )


def _age(oldest: datetime | None, at: datetime) -> float:
    return 0.0 if oldest is None else (at - oldest).total_seconds()
