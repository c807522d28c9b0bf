"""Facts: what happened here. Written with the change itself; listeners hear of it afterwards, at least once.

A listener is a step: it takes the open session, composes other steps and calls nobody. Its delivery row commits with
its work, so hearing a fact twice changes nothing.

The facts of one transaction are told together, in one transaction. Should a listener fail there, nobody has heard
anything, and they are told again one by one and listener by listener: the one that fails holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from groupbook.kit.clock import server_now, system_now
from groupbook.kit.database import Database, merchant_of, new_rows, nudge_after_commit, query
from groupbook.kit.ids import FactId, MerchantId, new_id
from groupbook.kit.models import FactDeliveryRow, FactRow

log = structlog.get_logger(__name__)
retry_seconds_max = 600
Payload = dict[str, Any]


@dataclass(frozen=True)
class Fact:
    """`name` is the word of the trade (`booking.confirmed`), `subject` the row it is about."""

    id: FactId
    merchant_id: MerchantId
    name: str
    subject: UUID
    payload: Payload
    recorded_at: datetime
    attempts: int = 0


Listener = Callable[[Session, Fact], None]
Listeners = Mapping[str, Sequence[tuple[str, Listener]]]


class Together:
    """A listener that hears its facts of one transaction in one go: for what is worth doing once for all of them."""

    def __init__(self, step: Callable[[Session, Sequence[Fact]], None]) -> None:
        self.step = step

    def __call__(self, session: Session, fact: Fact) -> None:
        self.step(session, [fact])


def record(
    session: Session, name: str, *, subject: UUID, payload: Payload | None = None, is_heard: bool = False
) -> FactId:
    """Write a fact in this transaction. `payload` is JSON, ids as hex strings, no personal data.

    Args:
        is_heard: whoever listens has caused it, and does in this very transaction what it would have done hearing it.
    """
    id = FactId(new_id())
    at = system_now(session)
    recorded = recorded_here(session)
    row = FactRow(
        merchant_id=merchant_of(session),
        id=id,
        name=name,
        subject=subject,
        batch=recorded[0].id if recorded else id,
        payload=payload or {},
        recorded_at=at,
        delivered_at=at if is_heard else None,
        attempts=0,
        due_at=at,
    )
    session.add(row)
    if not is_heard and all(task != "deliver_fact" for task, _, _ in session.info.get("nudges", ())):
        nudge_after_commit(session, "deliver_fact", id)  # its whole batch is told
    recorded.append(row)
    return id


def recorded_here(session: Session) -> list[FactRow]:
    """The facts this transaction has recorded so far."""
    rows: list[FactRow] = session.info.setdefault("facts", [])
    return rows


class Deliverer:
    """Brings facts to the listeners of a table `name -> [(listener name, step), …]`.

    Args:
        at_once: listeners that hear a fact in the very transaction of the runner's that records it (`hear_at_once`).
    """

    def __init__(self, database: Database, listeners: Listeners, *, at_once: Collection[str] = ()) -> None:
        self._database = database
        self._listeners = listeners
        self._at_once = frozenset(at_once)

    def deliver(self, merchant_id: UUID, fact_id: UUID) -> bool:
        """Tell every listener that has not heard this fact and those of its transaction; True when none is left.

        A listener that fails is tried again later by the sweep; the others are not held up by it.
        """
        try:
            with self._database.begin(merchant_id) as session:
                rows = find_unheard(session, fact_id)
                facts = [fact_of(row) for row in rows]
                wanted = [(fact, name, step) for fact in facts for name, step in self._listeners.get(fact.name, ())]
                first = first_hearings(session, [(fact.id, name) for fact, name, _ in wanted])
                _tell_together(session, [(fact, step) for fact, name, step in wanted if (fact.id, name) in first])
                for row in rows:
                    row.delivered_at = system_now(session)
                    row.attempts += 1
        except Exception as error:  # noqa: BLE001 - one listener holds up no other
            log.warning("facts_told_one_by_one", fact_id=str(fact_id), error=repr(error))
            heard = [self._deliver_alone(fact) for fact in self._read(merchant_id, fact_id)]
            return all(heard)
        return True

    def hear_at_once(self, session: Session) -> None:
        """Let the listeners that hear at once hear what this transaction has recorded, and what comes of that. A step.

        A fact that nobody else waits for is then delivered.
        """
        told = 0
        recorded = recorded_here(session)
        while told < len(recorded):
            rows, told = [row for row in recorded[told:] if row.delivered_at is None], len(recorded)
            telling = []
            for row in rows:
                listeners = self._listeners.get(row.name, ())
                now = [(name, step) for name, step in listeners if name in self._at_once]
                fact = fact_of(row)
                telling += [(fact, step) for _, step in now]
                if len(now) == len(listeners):
                    row.delivered_at = row.recorded_at
                    row.attempts = 1
                else:
                    session.add_all(
                        FactDeliveryRow(
                            merchant_id=row.merchant_id, fact_id=row.id, listener=name, delivered_at=row.recorded_at
                        )
                        for name, _ in now
                    )
            _tell_together(session, telling)
        _nudge_the_undelivered(session)

    def due(self, merchant_id: UUID, *, limit: int = 200) -> list[UUID]:
        """Facts nobody has finished hearing, oldest first."""
        with self._database.begin(merchant_id) as session:
            return unheard(session, limit=limit)

    def _read(self, merchant_id: UUID, fact_id: UUID) -> list[Fact]:
        with self._database.begin(merchant_id) as session:
            return [fact_of(row) for row in find_unheard(session, fact_id)]

    def _deliver_alone(self, fact: Fact) -> bool:
        heard = [self._tell(fact, name, step) for name, step in self._listeners.get(fact.name, ())]
        with self._database.begin(fact.merchant_id) as session:
            at = system_now(session)
            wait = min(15 * 2 ** min(fact.attempts, 10), retry_seconds_max)
            delivered = all(heard)
            note_heard(session, fact.id, at if delivered else None, due_at=at + timedelta(seconds=wait))
        return delivered

    def _tell(self, fact: Fact, name: str, step: Listener) -> bool:
        try:
            with self._database.begin(fact.merchant_id) as session:
                if first_hearings(session, [(fact.id, name)]):
                    step(session, fact)
        except Exception as error:  # noqa: BLE001 - one listener holds up no other
            log.error("listener_failed", listener=name, fact=fact.name, fact_id=str(fact.id), error=repr(error))
            return False
        return True


def _tell_together(session: Session, telling: Sequence[tuple[Fact, Listener]]) -> None:
    """Each listener in the order it is first wanted, its facts in the order they happened."""
    for step in dict.fromkeys(step for _, step in telling):
        facts = [fact for fact, wanted in telling if wanted is step]
        if isinstance(step, Together):
            step.step(session, facts)
        else:
            for fact in facts:
                step(session, fact)


def _nudge_the_undelivered(session: Session) -> None:
    """Wake a worker for this transaction's facts only if somebody is left to hear one."""
    recorded = recorded_here(session)
    if recorded and all(row.delivered_at is not None for row in recorded):
        session.info["nudges"] = [nudge for nudge in session.info.get("nudges", ()) if nudge[0] != "deliver_fact"]


def fact_of(row: FactRow) -> Fact:
    id, merchant_id = FactId(row.id), MerchantId(row.merchant_id)
    return Fact(id, merchant_id, row.name, row.subject, row.payload, row.recorded_at, row.attempts)


# --- queries ----------------------------------------------------------------------------------------------------------


@query
def find_unheard(session: Session, fact_id: UUID) -> list[FactRow]:
    """This fact and those of the same transaction whose time has come, in order; without those everybody has heard."""
    batch = select(FactRow.batch).where(FactRow.id == fact_id).scalar_subquery()
    mates = and_(FactRow.batch == batch, FactRow.due_at <= server_now(session))
    asked = select(FactRow).where(or_(FactRow.id == fact_id, mates), FactRow.delivered_at.is_(None))
    return list(session.scalars(asked.order_by(FactRow.recorded_at, FactRow.id)))


@query
def unheard(session: Session, *, limit: int) -> list[UUID]:
    """Facts that somebody has still to hear, and whose time has come."""
    waiting = select(FactRow.id).where(FactRow.delivered_at.is_(None), FactRow.due_at <= system_now(session))
    return list(session.scalars(waiting.order_by(FactRow.due_at, FactRow.id).limit(limit)))


_FIRST_HEARINGS: Final = (
    new_rows(FactDeliveryRow).on_conflict_do_nothing().returning(FactDeliveryRow.fact_id, FactDeliveryRow.listener)
)


@query
def first_hearings(session: Session, hearings: Sequence[tuple[UUID, str]]) -> set[tuple[UUID, str]]:
    """Note that these listeners hear these facts in this transaction: those pairs that no other transaction has had."""
    if not hearings:
        return set()
    at, merchant_id = system_now(session), merchant_of(session)
    noted = [
        {"merchant_id": merchant_id, "fact_id": fact_id, "listener": listener, "delivered_at": at}
        for fact_id, listener in sorted(hearings)
    ]
    return {(fact_id, listener) for fact_id, listener in session.execute(_FIRST_HEARINGS, noted)}


@query
def note_heard(session: Session, fact_id: UUID, delivered_at: datetime | None, *, due_at: datetime) -> None:
    """Count one round of telling; with `delivered_at`, it was the last."""
    changes = {"delivered_at": delivered_at, "attempts": FactRow.attempts + 1, "due_at": due_at}
    session.execute(update(FactRow).where(FactRow.id == fact_id).values(**changes))
