"""Intents: outside calls we owe, written down in the transaction that decides them. `kit.runner` makes them.

A call that was interrupted, or whose answer never came, is `unknown`: the runner first reads the other side's truth
and only then asks again, with the same key. A sweep stands behind every row, so a lost wake-up loses nothing.

States: due -> calling -> done | refused; calling -> unknown -> (read) -> done | due; anything -> parked after too many
attempts, which is loud.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased, make_transient_to_detached

from groupbook.kit.clock import server_now, system_now
from groupbook.kit.database import merchant_of, new_rows, nudge_after_commit, query
from groupbook.kit.errors import InvariantBroken, Refused
from groupbook.kit.ids import IntentId, MerchantId, new_id
from groupbook.kit.models import IntentRow

_OPEN = ("due", "calling", "unknown")
claimed_max = 60  # a claim is a booking's, and the largest party is as large


@dataclass(frozen=True)
class Intent:
    """One call we owe. `key` is what the other side deduplicates by; it comes from the row, never from the moment.

    Args:
        reference: what it belongs to; calls of one kind and reference are claimed, made and recorded together.
        called_at: when it was claimed: what its call read is no older than that.
        loaded: what the handler read as it was claimed (`BatchHandler`).
    """

    id: IntentId
    merchant_id: MerchantId
    kind: str
    subject: UUID
    payload: dict[str, Any]
    attempts: int
    owed_at: datetime
    reference: UUID | None = None
    called_at: datetime | None = None
    loaded: Any = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id.hex}"


@dataclass(frozen=True)
class Owed:
    """A call to write down. With `once`, asking again finds the first one.

    Args:
        rank: the lower, the earlier in line where calls wait for their turn (`kit.pace`).
        is_first: nobody can have owed it before, for its subject is of this transaction; so nothing is asked.
    """

    kind: str
    subject: UUID
    payload: dict[str, Any] = field(default_factory=dict)
    once: str | None = None
    due_at: datetime | None = None
    reference: UUID | None = None
    rank: int = 0
    is_first: bool = False


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


class BatchHandler(Protocol):
    """A handler that reads and locks for many calls at once what each of them would read and lock alone."""

    def load(self, session: Session, intents: Sequence[Intent]) -> Mapping[IntentId, Any]:
        """What each call needs, read as they are claimed; back as `intent.loaded`. A call without reads for itself."""

    def prepare(self, session: Session, intents: Sequence[Intent]) -> None:
        """Before their answers are recorded in one transaction."""


def owe(
    session: Session,
    kind: str,
    subject: UUID,
    payload: dict[str, Any] | None = None,
    *,
    once: str | None = None,
    due_at: datetime | None = None,
    reference: UUID | None = None,
    rank: int = 0,
    is_first: bool = False,
) -> IntentId:
    """Write down a call we owe, in this transaction. With `once`, asking again returns the first intent's id."""
    (id,) = owe_all(session, [Owed(kind, subject, payload or {}, once, due_at, reference, rank, is_first)])
    return id


def owe_all(session: Session, calls: Sequence[Owed]) -> list[IntentId]:
    """Write down many calls at once; their ids, in order."""
    at = system_now(session)
    written = write_all(session, calls, at=at)
    owed: list[UUID] = session.info.setdefault("owed", [])
    groups: set[tuple[str, UUID]] = session.info.setdefault("owed_groups", set())
    for call, (id, is_new) in zip(calls, written, strict=True):
        if not is_new:
            continue
        if call.due_at is not None and call.due_at > at:
            continue  # nobody is woken before its time; the sweep finds it then
        owed.append(id)
        # Whoever claims one of a group claims all of it, so one of them is woken for.
        if call.reference is None or (call.kind, call.reference) not in groups:
            nudge_after_commit(session, "run_intent", id)
            groups.add((call.kind, call.reference or id))
    return [id for id, _ in written]


def intent_of(row: IntentRow) -> Intent:
    return Intent(
        IntentId(row.id),
        MerchantId(row.merchant_id),
        row.kind,
        row.subject,
        row.payload,
        row.attempts,
        row.owed_at,
        row.reference,
        row.called_at,
    )


def first_of(waiting: Sequence[IntentRow]) -> tuple[list[IntentRow], bool]:
    """Of calls in line: those of the first one's reference and rank, and whether others are behind them."""
    first = waiting[:1]
    mates = [
        row for row in waiting[1:] if row.reference is not None and (row.reference, row.rank) == _place(waiting[0])
    ]
    mine = [*first, *mates][:claimed_max]
    return mine, len(mine) < len(waiting)


def _place(row: IntentRow) -> tuple[UUID | None, int]:
    return row.reference, row.rank


# --- queries ----------------------------------------------------------------------------------------------------------

_NEW: Final = new_rows(IntentRow)
_NEW_ONES: Final = _NEW.on_conflict_do_nothing().returning(IntentRow.id)


@query
def write_all(session: Session, calls: Sequence[Owed], *, at: datetime) -> list[tuple[IntentId, bool]]:
    """For each, the new row's id and True; or the first one's, where its `once` was already written, and False."""
    if not calls:
        return []
    ids = [new_id() for _ in calls]
    rows = [
        {
            "merchant_id": merchant_of(session),
            "id": id,
            "kind": call.kind,
            "subject": call.subject,
            "reference": call.reference,
            "rank": call.rank,
            "once": call.once or id.hex,
            "payload": call.payload,
            "state": "due",
            "owed_at": at,
            "due_at": call.due_at or at,
        }
        for id, call in zip(ids, calls, strict=True)
    ]
    written = set(ids)
    if any(call.once is not None and not call.is_first for call in calls):
        written = set(session.scalars(_NEW_ONES, rows))
    else:  # each is the first of its kind, so there is nothing to be told
        session.execute(_NEW, rows)
    _remember(session, [row for row in rows if row["id"] in written])
    again = [(call.kind, call.once) for id, call in zip(ids, calls, strict=True) if id not in written]
    first: dict[tuple[str, str | None], UUID] = {}
    if again:
        asked = select(IntentRow.kind, IntentRow.once, IntentRow.id)
        asked = asked.where(tuple_(IntentRow.kind, IntentRow.once).in_(again))
        first = {(kind, once): id for kind, once, id in session.execute(asked)}
        if len(first) != len(set(again)):
            raise InvariantBroken(what="intent neither written nor found", kinds=sorted({kind for kind, _ in again}))
    return [
        (IntentId(id), True) if id in written else (IntentId(first[call.kind, call.once]), False)
        for id, call in zip(ids, calls, strict=True)
    ]


def _remember(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as the database has them now, for whoever claims them in this very transaction."""
    fresh: dict[UUID, IntentRow] = session.info.setdefault("fresh_intents", {})
    for values in rows:
        row = IntentRow(**values, attempts=0, fence=0)
        row.lease_until = row.called_at = row.answered_at = row.last_error = None
        make_transient_to_detached(row)
        fresh[row.id] = row


@query
def is_open(session: Session, subject: UUID, *kinds: str) -> bool:
    """Whether a call about `subject` is still owed or unanswered."""
    asked = select(IntentRow.id).where(
        IntentRow.subject == subject, IntentRow.kind.in_(kinds), IntentRow.state.in_(_OPEN)
    )
    return session.scalar(asked.limit(1)) is not None


@query
def waiting(session: Session, subjects: Collection[UUID], kind: str) -> set[UUID]:
    """Those about whom such a call is to be made now and nobody has begun: it will see whatever has happened so far."""
    asked = select(IntentRow.subject).where(
        IntentRow.subject.in_(list(subjects)),
        IntentRow.kind == kind,
        IntentRow.state == "due",
        IntentRow.due_at <= system_now(session),
        IntentRow.rank == 0,
    )
    return set(session.scalars(asked)) if subjects else set()


@query
def due_soon(session: Session, *, within_seconds: float, limit: int) -> list[tuple[UUID, float]]:
    """What waits for a moment within so many seconds, and how many seconds away that is; soonest first."""
    at = system_now(session)
    waiting = and_(
        IntentRow.state.in_(("due", "unknown")),
        IntentRow.due_at > at,
        IntentRow.due_at <= at + timedelta(seconds=within_seconds),
    )
    rows = session.execute(
        select(IntentRow.id, IntentRow.due_at).where(waiting).order_by(IntentRow.due_at).limit(limit)
    )
    return [(id, (due_at - at).total_seconds()) for id, due_at in rows]


@query
def runnable(session: Session, *, limit: int) -> list[UUID]:
    """Intents to run now, the longest due first."""
    now = _runnable(system_now(session))
    return list(session.scalars(select(IntentRow.id).where(now).order_by(IntentRow.due_at, IntentRow.id).limit(limit)))


@query
def is_unanswered(session: Session, intent_id: UUID) -> bool:
    return session.scalar(select(IntentRow.state).where(IntentRow.id == intent_id)) in _OPEN


@query
def waits_for_later(session: Session, intent_id: UUID) -> bool:
    later = IntentRow.state.in_(("due", "unknown")) & (IntentRow.due_at > system_now(session))
    return session.scalar(select(IntentRow.id).where(IntentRow.id == intent_id, later)) is not None


@query
def lock_runnable(session: Session, intent_ids: Sequence[UUID], *, beside: bool) -> list[IntentRow]:
    """These intents, locked, if their time has come and nobody holds them; `beside`: those of their kind and reference.

    The longest owed first. What this very transaction has owed is nobody else's yet, and is not asked for.
    """
    fresh: Mapping[UUID, IntentRow] = session.info.get("fresh_intents", {})
    if not beside and all(id in fresh for id in intent_ids):
        at = system_now(session)
        found = [fresh[id] for id in intent_ids if fresh[id].state == "due" and fresh[id].due_at <= at]
        found = sorted(found, key=lambda row: (row.owed_at, row.id))[:claimed_max]
        session.add_all(found)
        return found
    wanted: Any = IntentRow.id.in_(intent_ids)
    if beside:
        mate = aliased(IntentRow)
        mates = select(mate.id).join(IntentRow, (IntentRow.reference == mate.reference) & (IntentRow.kind == mate.kind))
        wanted |= IntentRow.id.in_(mates.where(wanted, mate.state.in_(_OPEN)))
    mine = select(IntentRow).where(wanted, _runnable(server_now(session)))
    mine = mine.order_by(IntentRow.owed_at, IntentRow.id).limit(claimed_max).with_for_update(skip_locked=True)
    return list(session.scalars(mine.execution_options(populate_existing=True)))


@query
def lock_first_in_line(session: Session, kind: str) -> tuple[list[IntentRow], bool]:
    """The call of this kind that waits first and what waits of its reference, locked; and whether others wait too.

    By rank, then the longest owed. The caller holds the line (`pace.lock_lines`), so nobody else takes them meanwhile.
    """
    order = (IntentRow.rank, IntentRow.owed_at, IntentRow.id)
    asked = select(IntentRow).where(IntentRow.kind == kind, _runnable(server_now(session))).order_by(*order)
    waiting = list(session.scalars(asked.limit(claimed_max + 1).with_for_update(skip_locked=True)))
    return first_of(waiting)


@query
def somebody_waits_before(session: Session, row: IntentRow) -> bool:
    """Whether a call of another reference stands before this one in the line of its kind."""
    before = (IntentRow.rank < row.rank) | ((IntentRow.rank == row.rank) & (IntentRow.owed_at < row.owed_at))
    asked = select(IntentRow.id).where(
        IntentRow.kind == row.kind,
        _runnable(server_now(session)),
        before,
        IntentRow.reference.is_distinct_from(row.reference),
    )
    return session.scalar(asked.limit(1)) is not None


@query
def first_in_lines(session: Session, kinds: Collection[str], at: datetime) -> dict[str, UUID]:
    """For each of these kinds that somebody waits in line for: the call that waits first. Nothing is locked."""
    order = (IntentRow.kind, IntentRow.rank, IntentRow.owed_at, IntentRow.id)
    waiting = select(IntentRow.kind, IntentRow.id).where(IntentRow.kind.in_(kinds), _runnable(at)).order_by(*order)
    rows = session.execute(waiting.ext(distinct_on(IntentRow.kind)))
    return {row.kind: row.id for row in rows}


@query
def lock_fenced(session: Session, fences: Mapping[IntentId, int]) -> dict[UUID, IntentRow]:
    """Our rows, locked, without those that are recorded, or that somebody claimed after our lease ran out."""
    ours = tuple_(IntentRow.id, IntentRow.fence).in_(list(fences.items()))
    mine = select(IntentRow).where(ours, IntentRow.state == "calling")
    return {row.id: row for row in session.scalars(mine.order_by(IntentRow.id).with_for_update())}


def _runnable(at: datetime | ColumnElement[datetime]) -> Any:
    waiting = and_(IntentRow.state.in_(("due", "unknown")), IntentRow.due_at <= at)
    abandoned = and_(IntentRow.state == "calling", IntentRow.lease_until <= at)
    return or_(waiting, abandoned)
