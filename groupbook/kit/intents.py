"""Intents: outside calls we owe, and the one runner that makes them.

    claim (own transaction) -> call with no transaction open -> record the answer (own transaction)

A call that was interrupted, or whose answer never came, is `unknown`: the runner first reads the other side's truth
and only then asks again, with the same key. A sweep stands behind every row, so a lost wake-up loses nothing.

States: due -> calling -> done | refused; calling -> unknown -> (read) -> done | due; anything -> parked after too many
attempts, which is loud.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog
from sqlalchemy import and_, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from groupbook.kit import facts
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.clock import system_now
from groupbook.kit.database import Database, merchant_of, nudge_after_commit
from groupbook.kit.errors import GroupbookError, InvariantBroken, OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import IntentId, MerchantId, new_id
from groupbook.kit.models import IntentRow

log = structlog.get_logger(__name__)
# What a fault in a handler or in a row may look like. Named, so that Ctrl-C and a dying process pass through.
UNFORESEEN = (
    GroupbookError,
    SQLAlchemyError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)
_OPEN = ("due", "calling", "unknown")
_poll_seconds = 0.05


@dataclass(frozen=True)
class Intent:
    """One call we owe. `key` is what the other side deduplicates by; it comes from the row, never from the moment."""

    id: IntentId
    merchant_id: MerchantId
    kind: str
    subject: UUID
    payload: dict[str, Any]
    attempts: int
    owed_at: datetime

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id.hex}"


class IntentHandler(Protocol):
    """How one kind of intent is called and its answer recorded. The answer is opaque to the runner."""

    def call(self, intent: Intent) -> Any:
        """Ask the outside, keyed by `intent.key`; no transaction is open.

        Raises:
            Refused, Unavailable, OutcomeUnknown
        """

    def observe(self, intent: Intent) -> Any | None:
        """Read the other side's truth after an interrupted call: the answer, or None if nothing happened there.

        A handler whose `call` is safe to repeat with the same key may simply return None.

        Raises:
            Unavailable, OutcomeUnknown: the truth could not be read now.
        """

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        """Write the answer, in the transaction that closes the intent."""

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        """Write the refusal, in the transaction that closes the intent."""


@dataclass(frozen=True)
class RunnerSettings:
    """Budgets of the runner, in seconds. Crash tests divide them by sixty."""

    lease_seconds: float = 120.0
    retry_seconds_min: float = 2.0
    retry_seconds_max: float = 600.0
    attempts_max: int = 200


def owe(
    session: Session,
    kind: str,
    subject: UUID,
    payload: dict[str, Any] | None = None,
    *,
    once: str | None = None,
    due_at: datetime | None = None,
) -> IntentId:
    """Write down a call we owe, in this transaction. With `once`, asking again returns the first intent's id."""
    id = new_id()
    at = system_now(session)
    row = insert(IntentRow).values(
        merchant_id=merchant_of(session),
        id=id,
        kind=kind,
        subject=subject,
        once=once or id.hex,
        payload=payload or {},
        state="due",
        owed_at=at,
        due_at=due_at or at,
    )
    written = session.scalar(row.on_conflict_do_nothing().returning(IntentRow.id))
    if written is None:
        first = session.scalar(select(IntentRow.id).where(IntentRow.kind == kind, IntentRow.once == once))
        if first is None:
            raise InvariantBroken(what="intent neither written nor found", kind=kind)
        return IntentId(first)
    nudge_after_commit(session, "run_intent", id)
    return IntentId(id)


def is_open(session: Session, subject: UUID, *kinds: str) -> bool:
    """Whether a call about `subject` is still owed or unanswered."""
    query = select(IntentRow.id).where(
        IntentRow.subject == subject, IntentRow.kind.in_(kinds), IntentRow.state.in_(_OPEN)
    )
    return session.scalar(query.limit(1)) is not None


class Runner:
    """Makes the calls. Safe to run from any number of processes: one row, one claimant, one fence."""

    def __init__(
        self, database: Database, handlers: Mapping[str, IntentHandler], settings: RunnerSettings | None = None
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._settings = settings or RunnerSettings()

    def run(self, merchant_id: UUID, intent_id: UUID) -> bool:
        """Claim, call, record. True when the intent was claimed by us and is now closed."""
        claimed = self._claim(merchant_id, intent_id)
        if claimed is None:
            return False
        intent, fence, was_interrupted = claimed
        handler = self._handlers.get(intent.kind)
        if handler is None:
            return self._finish(intent, fence, state="parked", error="no handler for this kind")
        try:
            return self._call(handler, intent, fence, was_interrupted=was_interrupted)
        except UNFORESEEN as error:
            # A fault of ours in one row: it backs off and is parked in the end, and holds up no other row.
            log.error("intent_failed", kind=intent.kind, intent_id=str(intent.id), error=repr(error))
            return self._finish(intent, fence, state="unknown", error=repr(error))

    def _call(self, handler: IntentHandler, intent: Intent, fence: int, *, was_interrupted: bool) -> bool:
        answer = None
        try:
            if was_interrupted:
                answer = self._truth(handler, intent)
            if answer is None:
                answer = handler.call(intent)
        except Refused as refusal:
            return self._record_refusal(handler, intent, fence, refusal)
        except Unavailable as error:
            return self._finish(intent, fence, state="due", error=repr(error))
        except OutcomeUnknown as error:
            return self._finish(intent, fence, state="unknown", error=repr(error))
        with self._database.begin(intent.merchant_id) as session:
            if self._close(session, intent, fence, "done"):
                handler.record(session, intent, answer)
        return True

    def _truth(self, handler: IntentHandler, intent: Intent) -> Any | None:
        """What the other side knows. If it cannot be read, the outcome stays unknown: that is no licence to ask."""
        try:
            return handler.observe(intent)
        except Unavailable as error:
            raise OutcomeUnknown(what="the truth could not be read", error=repr(error)) from error

    def settle(self, merchant_id: UUID, intent_id: UUID, *, seconds: float = 8.0) -> bool:
        """Run the intent now, or wait for the worker that was quicker; True when it is closed.

        For somebody who stands before a page and needs the answer: a worker was woken by the same commit.
        """
        give_up_at = time.monotonic() + seconds
        pause = threading.Event()
        while not self.run(merchant_id, intent_id):
            if self._is_closed(merchant_id, intent_id):
                return True
            if time.monotonic() > give_up_at or self._waits_for_later(merchant_id, intent_id):
                return False
            pause.wait(_poll_seconds)
        return True

    def due(self, merchant_id: UUID, *, limit: int = 200) -> list[UUID]:
        """Intents to run now: due ones, and those whose claimant is gone."""
        with self._database.begin(merchant_id) as session:
            at = system_now(session)
            query = select(IntentRow.id).where(_runnable(at)).order_by(IntentRow.due_at, IntentRow.id).limit(limit)
            return list(session.scalars(query))

    def _is_closed(self, merchant_id: UUID, intent_id: UUID) -> bool:
        with self._database.begin(merchant_id) as session:
            return session.scalar(select(IntentRow.state).where(IntentRow.id == intent_id)) not in _OPEN

    def _waits_for_later(self, merchant_id: UUID, intent_id: UUID) -> bool:
        """The outside did not answer and the row waits for its next turn: waiting here longer helps nobody."""
        with self._database.begin(merchant_id) as session:
            later = IntentRow.state.in_(("due", "unknown")) & (IntentRow.due_at > system_now(session))
            return session.scalar(select(IntentRow.id).where(IntentRow.id == intent_id, later)) is not None

    def _claim(self, merchant_id: UUID, intent_id: UUID) -> tuple[Intent, int, bool] | None:
        with self._database.begin(merchant_id) as session:
            at = system_now(session)
            query = select(IntentRow).where(IntentRow.id == intent_id, _runnable(at))
            row = session.scalar(query.with_for_update(skip_locked=True))
            if row is None:
                return None
            was_interrupted = row.state != "due"
            row.state = "calling"
            row.attempts += 1
            row.fence += 1
            row.called_at = at
            row.lease_until = at + timedelta(seconds=self._settings.lease_seconds)
            intent = Intent(
                IntentId(row.id),
                MerchantId(row.merchant_id),
                row.kind,
                row.subject,
                row.payload,
                row.attempts,
                row.owed_at,
            )
            return intent, row.fence, was_interrupted

    def _record_refusal(self, handler: IntentHandler, intent: Intent, fence: int, refusal: Refused) -> bool:
        with self._database.begin(intent.merchant_id) as session:
            if self._close(session, intent, fence, "refused", error=refusal.reason):
                handler.record_refusal(session, intent, refusal)
        return True

    def _finish(self, intent: Intent, fence: int, *, state: str, error: str) -> bool:
        """Leave the intent for later, or park it when it has had its attempts."""
        if state != "parked" and intent.attempts >= self._settings.attempts_max:
            state = "parked"
        with self._database.begin(intent.merchant_id) as session:
            row = self._fenced(session, intent, fence)
            if row is None:
                return False
            row.state = state
            row.last_error = error[:500]
            row.lease_until = None
            row.due_at = system_now(session) + timedelta(seconds=self._backoff_seconds(intent))
            if state == "parked":
                log.error("intent_parked", kind=intent.kind, intent_id=str(intent.id), error=error)
                facts.record(session, "intent.parked", subject=intent.subject, payload={"kind": intent.kind})
        return state == "parked"

    def _close(self, session: Session, intent: Intent, fence: int, state: str, error: str | None = None) -> bool:
        row = self._fenced(session, intent, fence)
        if row is None:
            return False
        row.state = state
        row.answered_at = merchant_now(session)
        row.lease_until = None
        row.last_error = error
        session.flush()
        return True

    def _fenced(self, session: Session, intent: Intent, fence: int) -> IntentRow | None:
        """Our row, locked, unless somebody claimed it after our lease ran out."""
        query = select(IntentRow).where(IntentRow.id == intent.id, IntentRow.fence == fence)
        return session.scalar(query.with_for_update())

    def _backoff_seconds(self, intent: Intent) -> float:
        doubled = self._settings.retry_seconds_min * 2.0 ** min(intent.attempts - 1, 16)
        # Spread by id, not by chance, so that many rows of one outage do not come back in the same instant.
        jitter = 0.75 + (intent.id.int % 1000) / 2000
        return min(doubled, self._settings.retry_seconds_max) * jitter


def _runnable(at: datetime) -> Any:
    waiting = and_(IntentRow.state.in_(("due", "unknown")), IntentRow.due_at <= at)
    abandoned = and_(IntentRow.state == "calling", IntentRow.lease_until <= at)
    return or_(waiting, abandoned)
