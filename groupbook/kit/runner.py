"""The runner: makes the outside calls we owe (`kit.intents`).

claim (own transaction) -> call with no transaction open -> record the answer (own transaction)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, cast
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import facts, intents
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.clock import system_now
from groupbook.kit.database import Database, nudge_after_commit, together
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import IntentId
from groupbook.kit.intents import BatchHandler, Intent, IntentHandler, intent_of
from groupbook.kit.models import IntentRow, PaceRow
from groupbook.kit.pace import Pace, lock_lines

log = structlog.get_logger(__name__)
UNFORESEEN: Final = "unforeseen: "
"""How the `last_error` of a call begins that a fault of ours has stopped; counted at /metrics."""
_CLOSED = ("done", "refused", "parked")
_poll_seconds = 0.05
_too_many_requests = 429  # the status an adapter adds to its `Unavailable`


@dataclass(frozen=True)
class RunnerSettings:
    """Budgets of the runner, in seconds. Crash tests divide them by sixty.

    Args:
        calls_at_once: how many calls of one claim may be under way at a time.
    """

    lease_seconds: float = 120.0
    retry_seconds_min: float = 2.0
    retry_seconds_max: float = 600.0
    attempts_max: int = 200
    calls_at_once: int = 1


@dataclass(frozen=True)
class Claim:
    """An intent that is ours until its lease ends, by its fence; `starts_at` is its turn on the runner's own clock.

    Where it `leaves_a_line`, others wait, or may have been turned away because its turns were ahead of theirs: whoever
    made it claims the next, or wakes somebody who does.
    """

    intent: Intent
    fence: int
    was_interrupted: bool
    starts_at: float
    leaves_a_line: bool = False


@dataclass(frozen=True)
class _Outcome:
    """What came of one call: the state it leaves its intent in, and what is to be recorded."""

    claim: Claim
    state: str
    answer: Any = None
    refusal: Refused | None = None
    error: str | None = None
    is_too_much: bool = False


Load = Callable[[Session, Sequence[IntentRow]], Mapping[IntentId, Any]]
SideBySide = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


class Runner:
    """Makes the calls. Safe to run from any number of processes: one row, one claimant, one fence.

    Args:
        deliverer: brings what is recorded to the listeners that hear at once, and lets the runner go on with what
            they owe: claimed where it was owed, so that each stage of a booking is one transaction.
        guard: locks what a reference belongs to, before anything of it is recorded; the first lock of the order.
        foresee: locks and reads, behind the guard and the calls, what hearing of them will want of this reference: in
            the same round trip, where each listener would make one of its own.
        pace: which calls must wait for their turn. They are made first in, first out, whichever of them was nudged.
        side_by_side: makes the calls of one claim, several at a time.
    """

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, IntentHandler],
        settings: RunnerSettings | None = None,
        *,
        deliverer: facts.Deliverer | None = None,
        guard: Callable[[Session, UUID], object] | None = None,
        foresee: Callable[[Session, UUID], object] | None = None,
        pace: Pace | None = None,
        side_by_side: SideBySide | None = None,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._batched = {kind: cast("BatchHandler", one) for kind, one in handlers.items() if hasattr(one, "load")}
        self._settings = settings or RunnerSettings()
        self._deliverer, self._guard, self._foresee = deliverer, guard, foresee
        self._pace = pace or Pace()
        self._side_by_side = side_by_side or self._in_threads
        self._sleep, self._monotonic = sleep, monotonic

    def run(self, merchant_id: UUID, intent_id: UUID) -> bool:
        """Claim it with what waits beside it, call, record. True when it was claimed by us and is now closed.

        Where calls wait for their turn, the first in line are claimed instead, and then the next, until none can be.
        """
        closed: dict[UUID, Any] = {}
        leaves_a_line, claims = False, self._claim_apart(merchant_id, intent_id, beside=True)
        while claims:
            leaves_a_line |= self._carry(claims, closed)
            claims = self._claim_first_in_line(merchant_id) if leaves_a_line else []
        return intent_id in closed

    def _claim_apart(self, merchant_id: UUID, intent_id: UUID, *, beside: bool) -> list[Claim]:
        return self._read_claims(merchant_id, partial(self._claim, intent_ids=[intent_id], beside=beside))

    def _claim_first_in_line(self, merchant_id: UUID) -> list[Claim]:
        """Of any kind, for kinds share endpoints, and all of them the account."""

        def first(session: Session, load: Load) -> list[Claim]:
            waiting = intents.first_in_lines(session, self._pace.endpoints, system_now(session))
            taken = (self._take_first_in_line(session, kind, load) for kind in sorted(waiting))
            return next((claims for claims in taken if claims), [])

        return self._read_claims(merchant_id, first)

    def _read_claims(self, merchant_id: UUID, claim: Callable[[Session, Load], list[Claim]]) -> list[Claim]:
        try:
            with self._database.begin(merchant_id) as session:
                return claim(session, self._load)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not keep the row from being tried
            # What its handler reads cannot be read: let the call say what is wrong, and count as an attempt.
            log.warning("claimed_unread", error=repr(error))
            with self._database.begin(merchant_id) as session:
                return claim(session, _load_nothing)

    def claim(self, session: Session, intent_ids: Sequence[UUID], *, in_line: bool = False) -> list[Claim]:
        """Take these calls, with what their handlers need, in the caller's transaction; `carry_out` after it.

        Args:
            in_line: where there is a line, only if nobody waits in it before them.
        """
        return self._claim(session, self._load, intent_ids, in_line=in_line)

    def _claim(
        self, session: Session, load: Load, intent_ids: Sequence[UUID], *, beside: bool = False, in_line: bool = False
    ) -> list[Claim]:
        """`beside`: also what waits of the same kind and reference; where there is a line, the first in it instead."""
        rows = intents.lock_runnable(session, intent_ids, beside=beside)
        unhurried = [row for row in rows if row.kind not in self._pace.endpoints]
        claims = self._take(session, unhurried, load(session, unhurried))
        for kind in dict.fromkeys(row.kind for row in rows if row.kind in self._pace.endpoints):
            mine = [row for row in rows if row.kind == kind]
            if beside:
                claims += self._take_first_in_line(session, kind, load, mine)
            else:
                claims += self._take_mine(session, kind, load, mine, in_line=in_line)
        taken: set[UUID] = {claim.intent.id for claim in claims}
        session.info["nudges"] = [nudge for nudge in session.info.get("nudges", ()) if nudge[2] not in taken]
        return claims

    def carry_out(self, claims: Sequence[Claim]) -> dict[UUID, Any]:
        """Make the claimed calls and record what came of them; those that are closed, each with its answer if any.

        For somebody who waits: whoever stands in line behind them is left to a worker, who is woken.
        """
        closed: dict[UUID, Any] = {}
        if self._carry(claims, closed):
            self._wake_the_line(claims[0].intent.merchant_id)
        return closed

    def _wake_the_line(self, merchant_id: UUID) -> None:
        with self._database.begin(merchant_id) as session:
            for id in intents.first_in_lines(session, self._pace.endpoints, system_now(session)).values():
                nudge_after_commit(session, "run_intent", id)

    def _carry(self, claims: Sequence[Claim], closed: dict[UUID, Any]) -> bool:
        """Call and record, and go on with what is owed then; whether somebody may wait in line."""
        leaves_a_line = False
        while claims:
            leaves_a_line |= any(claim.leaves_a_line for claim in claims)
            outcomes = self._call_all(claims)
            claims = []
            for group in _by_reference(outcomes):
                claims += self._record_all(group, closed)
        return leaves_a_line

    def settle(self, merchant_id: UUID, intent_id: UUID, *, seconds: float = 8.0) -> bool:
        """Run the intent now, or wait for the worker that was quicker; True when it is closed.

        For somebody who stands before a page and needs the answer: a worker was woken by the same commit.
        """
        give_up_at = self._monotonic() + seconds
        while intent_id not in self.carry_out(self._claim_apart(merchant_id, intent_id, beside=False)):
            if self._is_closed(merchant_id, intent_id):
                return True
            if self._monotonic() > give_up_at or self._waits_for_later(merchant_id, intent_id):
                return False
            self._sleep(_poll_seconds)
        return True

    def due(self, merchant_id: UUID, *, limit: int = 200) -> list[UUID]:
        """Intents to run now: due ones, and those whose claimant is gone."""
        with self._database.begin(merchant_id) as session:
            return intents.runnable(session, limit=limit)

    def soon(self, merchant_id: UUID, *, within_seconds: float, limit: int = 200) -> list[tuple[UUID, float]]:
        """Intents whose moment comes before the next sweep, and how many seconds it is away."""
        with self._database.begin(merchant_id) as session:
            return intents.due_soon(session, within_seconds=within_seconds, limit=limit)

    def _is_closed(self, merchant_id: UUID, intent_id: UUID) -> bool:
        with self._database.begin(merchant_id) as session:
            return not intents.is_unanswered(session, intent_id)

    def _waits_for_later(self, merchant_id: UUID, intent_id: UUID) -> bool:
        """The outside did not answer and the row waits for its next turn: waiting here longer helps nobody."""
        with self._database.begin(merchant_id) as session:
            return intents.waits_for_later(session, intent_id)

    # --- claiming ---

    def _take(
        self,
        session: Session,
        rows: Sequence[IntentRow],
        loaded: Mapping[IntentId, Any],
        turns: Sequence[datetime] | None = None,
    ) -> list[Claim]:
        if not rows:
            return []
        at = system_now(session)
        turns = turns or [at] * len(rows)
        waves = math.ceil(len(rows) / self._settings.calls_at_once)  # the last of them waits for the others
        lease_until = turns[-1] + timedelta(seconds=self._settings.lease_seconds * waves)
        claims = []
        started = self._monotonic() - at.timestamp()
        for row, turn_at in zip(rows, turns, strict=True):
            was_interrupted = row.state != "due"
            row.state = "calling"
            row.attempts += 1
            row.fence += 1
            row.called_at = at
            row.lease_until = lease_until
            intent = replace(intent_of(row), loaded=loaded.get(IntentId(row.id)))
            claims.append(Claim(intent, row.fence, was_interrupted, started + turn_at.timestamp()))
        return claims

    def _take_first_in_line(
        self, session: Session, kind: str, load: Load, wanted: Sequence[IntentRow] = ()
    ) -> list[Claim]:
        """Take the calls of the first reference in line, if their turn is near; most often it is the `wanted` ones."""
        with together(session) as ask:  # what is asked behind the lines' locks is as new as they are
            lines = ask(lock_lines, session, self._pace.endpoints[kind], system_now(session))
            first = ask(intents.lock_first_in_line, session, kind)
            read = ask(load, session, wanted)
        rows, others_wait = first()
        loaded = read() if {row.id for row in rows} <= {row.id for row in wanted} else load(session, rows)
        return self._take_turns(session, kind, lines(), rows, loaded, others_wait=others_wait)

    def _take_mine(
        self, session: Session, kind: str, load: Load, mine: Sequence[IntentRow], *, in_line: bool
    ) -> list[Claim]:
        """Take these calls if their turn is near, and, `in_line`, nobody waits before them; else they stay in line."""
        with together(session) as ask:
            lines = ask(lock_lines, session, self._pace.endpoints[kind], system_now(session))
            waits_before = [ask(intents.somebody_waits_before, session, mine[0])] if in_line else []
            loaded = ask(load, session, mine)
        if any(answer() for answer in waits_before):
            return []
        return self._take_turns(session, kind, lines(), mine, loaded())

    def _take_turns(
        self,
        session: Session,
        kind: str,
        lines: Mapping[str, PaceRow],
        rows: Sequence[IntentRow],
        loaded: Mapping[IntentId, Any],
        *,
        others_wait: bool = False,
    ) -> list[Claim]:
        at = system_now(session)  # another claim may have had the line until now
        turns = self._pace.turns(lines, kind, len(rows), at) if rows else []
        if not turns:
            return []
        leaves_a_line = others_wait or turns[-1] > at + timedelta(seconds=self._pace.ahead_seconds / 2)
        return [replace(claim, leaves_a_line=leaves_a_line) for claim in self._take(session, rows, loaded, turns)]

    def _load(self, session: Session, rows: Sequence[IntentRow]) -> dict[IntentId, Any]:
        """What their handlers read for them."""
        loaded: dict[IntentId, Any] = {}
        for kind in dict.fromkeys(row.kind for row in rows):
            handler = self._batched.get(kind)
            if handler is not None:
                loaded.update(handler.load(session, [intent_of(row) for row in rows if row.kind == kind]))
        return loaded

    # --- calling ---

    def _call_all(self, claims: Sequence[Claim]) -> list[_Outcome]:
        if len(claims) == 1 or self._settings.calls_at_once == 1:
            return [self._outcome(claim) for claim in claims]
        return list(self._side_by_side(self._outcome, claims))

    def _in_threads(self, call: Callable[[Any], Any], claims: Sequence[Any]) -> Iterable[Any]:
        with ThreadPoolExecutor(min(len(claims), self._settings.calls_at_once)) as pool:
            return list(pool.map(call, claims))

    def _outcome(self, claim: Claim) -> _Outcome:
        intent = claim.intent
        handler = self._handlers.get(intent.kind)
        if intent.kind in self._pace.endpoints:
            self._sleep(max(0.0, claim.starts_at - self._monotonic()))
        if handler is None:
            return _Outcome(claim, "parked", error="no handler for this kind")
        answer = None
        try:
            if claim.was_interrupted:
                answer = self._truth(handler, intent)
            if answer is None:
                answer = handler.call(intent)
        except Refused as refusal:
            return _Outcome(claim, "refused", refusal=refusal, error=refusal.reason)
        except Unavailable as error:
            return self._left(claim, "due", error)
        except OutcomeUnknown as error:
            return self._left(claim, "unknown", error)
        except Exception as error:  # noqa: BLE001 - it may have happened, and the others' answers must be kept
            return self._failed(claim, error)
        return _Outcome(claim, "done", answer=answer)

    def _truth(self, handler: IntentHandler, intent: Intent) -> Any | None:
        """What the other side knows. If it cannot be read, the outcome stays unknown: that is no licence to ask."""
        try:
            return handler.observe(intent)
        except Unavailable as error:
            raise OutcomeUnknown(what="the truth could not be read", error=repr(error)) from error

    def _left(self, claim: Claim, state: str, error: Exception) -> _Outcome:
        """It is tried again later; when it has had its attempts it is parked, whoever died with the last of them."""
        is_parked = claim.intent.attempts >= self._settings.attempts_max
        is_too_much = isinstance(error, Unavailable) and error.params.get("status") == _too_many_requests
        return _Outcome(claim, "parked" if is_parked else state, error=repr(error), is_too_much=is_too_much)

    def _failed(self, claim: Claim, error: Exception) -> _Outcome:
        """A fault of ours in one row: it backs off and is parked in the end, and holds up no other row."""
        log.error("intent_failed", kind=claim.intent.kind, intent_id=str(claim.intent.id), error=repr(error))
        outcome = self._left(claim, "unknown", error)
        return replace(outcome, error=UNFORESEEN + repr(error))

    # --- recording ---

    def _record_all(self, outcomes: Sequence[_Outcome], closed: dict[UUID, Any]) -> list[Claim]:
        """Record what came of the calls of one reference in one transaction, and claim what it owes.

        Should that fail, nothing of it happened: each is then recorded alone, and one that fails alone backs off, so
        that a fault of ours in one row holds up no other.
        """
        # Heard at once only where the guard has taken the first lock of the order: else the facts are told later, by a
        # transaction of their own that begins at the right end.
        is_guarded = outcomes[0].claim.intent.reference is not None
        try:
            claims = self._record(outcomes, is_heard=self._deliverer is not None and is_guarded)
        except Exception as error:  # noqa: BLE001 - the others' answers must be kept
            log.warning("recorded_one_by_one", kind=outcomes[0].claim.intent.kind, error=repr(error))
            claims, outcomes = [], [self._record_alone(outcome) for outcome in outcomes]
        closed.update({one.claim.intent.id: one.answer for one in outcomes if one.state in _CLOSED})
        return claims

    def _record_alone(self, outcome: _Outcome) -> _Outcome:
        try:
            self._record([outcome], is_heard=False)
        except Exception as error:  # noqa: BLE001 - the others' answers must be kept
            outcome = self._failed(outcome.claim, error)
            self._leave_alone(outcome)
        return outcome

    def _leave_alone(self, outcome: _Outcome) -> None:
        try:
            self._record([outcome], is_heard=False)
        except Exception as error:  # noqa: BLE001 - the others' answers must be kept
            # Not even that: the row stays claimed until its lease ends, and its truth is read then.
            log.error("intent_not_left", intent_id=str(outcome.claim.intent.id), error=repr(error))

    def _record(self, outcomes: Sequence[_Outcome], *, is_heard: bool) -> list[Claim]:
        intent = outcomes[0].claim.intent
        with self._database.begin(intent.merchant_id) as session:
            with together(session) as ask:
                if self._guard is not None and intent.reference is not None:
                    ask(self._guard, session, intent.reference)
                fences = {one.claim.intent.id: one.claim.fence for one in outcomes}
                rows = ask(intents.lock_fenced, session, fences)
                if self._foresee is not None and intent.reference is not None and is_heard:
                    ask(self._foresee, session, intent.reference)
                ask(self._prepare, session, outcomes)
            for outcome in outcomes:
                row = rows().get(outcome.claim.intent.id)
                if row is not None:  # else somebody claimed it after our lease ran out
                    self._write(session, row, outcome)
            if not is_heard or self._deliverer is None:
                return []
            self._deliverer.hear_at_once(session)
            return self._claim_what_is_owed(session)

    def _prepare(self, session: Session, outcomes: Sequence[_Outcome]) -> None:
        recorded = [one.claim.intent for one in outcomes if one.state in ("done", "refused")]
        for kind in dict.fromkeys(intent.kind for intent in recorded):
            handler = self._batched.get(kind)
            if handler is not None:
                handler.prepare(session, [intent for intent in recorded if intent.kind == kind])

    def _write(self, session: Session, row: IntentRow, outcome: _Outcome) -> None:
        intent = outcome.claim.intent
        if outcome.state not in ("done", "refused"):
            self._leave(session, row, outcome)
            return
        row.state = outcome.state
        row.answered_at = merchant_now(session)
        row.lease_until = None
        row.last_error = outcome.error
        handler = self._handlers[intent.kind]
        if outcome.refusal is not None:
            handler.record_refusal(session, intent, outcome.refusal)
        else:
            handler.record(session, intent, outcome.answer)

    def _leave(self, session: Session, row: IntentRow, outcome: _Outcome) -> None:
        """Leave the intent for later, or to a person."""
        intent = outcome.claim.intent
        row.state = outcome.state
        row.last_error = (outcome.error or "")[:500]
        row.lease_until = None
        row.due_at = system_now(session) + timedelta(seconds=self._backoff_seconds(intent))
        if outcome.is_too_much and intent.kind in self._pace.endpoints:
            at = system_now(session)
            self._pace.hold_back(lock_lines(session, self._pace.endpoints[intent.kind], at), intent.kind, at)
        if outcome.state == "parked":
            log.error("intent_parked", kind=intent.kind, intent_id=str(intent.id), error=outcome.error)
            payload = {"kind": intent.kind, "subject": intent.subject.hex}
            facts.record(session, "intent.parked", subject=intent.id, payload=payload)

    def _claim_what_is_owed(self, session: Session) -> list[Claim]:
        """Take what this transaction owes, so that no worker needs to be woken for it."""
        owed: list[UUID] = session.info.get("owed", [])
        if not owed:
            return []
        return self.claim(session, owed, in_line=True)

    def _backoff_seconds(self, intent: Intent) -> float:
        doubled = self._settings.retry_seconds_min * 2.0 ** min(intent.attempts - 1, 16)
        # Spread by id, not by chance, so that many rows of one outage do not come back in the same instant.
        jitter = 0.75 + (intent.id.int % 1000) / 2000
        return min(doubled, self._settings.retry_seconds_max) * jitter


def _load_nothing(session: Session, rows: Sequence[IntentRow]) -> dict[IntentId, Any]:
    return {}


def _by_reference(outcomes: Sequence[_Outcome]) -> list[list[_Outcome]]:
    groups: dict[UUID, list[_Outcome]] = {}
    for outcome in outcomes:
        intent = outcome.claim.intent
        groups.setdefault(intent.reference or intent.id, []).append(outcome)
    return list(groups.values())
