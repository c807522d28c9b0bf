"""Facts: what happened here. Written with the change itself; listeners hear of it after the commit, at least once.

A listener is a step: it takes the open session, composes other steps and calls nobody. Its delivery row commits with
its work, so hearing a fact twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from groupbook.kit.clock import system_now
from groupbook.kit.database import Database, merchant_of, nudge_after_commit
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import FactId, MerchantId, new_id
from groupbook.kit.models import FactDeliveryRow, FactRow

log = structlog.get_logger(__name__)
UNFORESEEN = (GroupbookError, SQLAlchemyError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
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


def record(session: Session, name: str, *, subject: UUID, payload: Payload | None = None) -> FactId:
    """Write a fact in this transaction. `payload` is JSON, ids as hex strings, no personal data."""
    id = FactId(new_id())
    at = system_now(session)
    session.add(
        FactRow(
            merchant_id=merchant_of(session),
            id=id,
            name=name,
            subject=subject,
            payload=payload or {},
            recorded_at=at,
            due_at=at,
        )
    )
    session.flush()
    nudge_after_commit(session, "deliver_fact", id)
    return id


class Deliverer:
    """Brings facts to the listeners of a table `name -> [(listener name, step), …]`."""

    def __init__(self, database: Database, listeners: Listeners) -> None:
        self._database = database
        self._listeners = listeners

    def deliver(self, merchant_id: UUID, fact_id: UUID) -> bool:
        """Tell every listener that has not heard this fact; True when none is left.

        A listener that fails is tried again later by the sweep; the others are not held up by it.
        """
        fact = self._read(merchant_id, fact_id)
        if fact is None:
            return True
        heard = [self._tell(fact, name, step) for name, step in self._listeners.get(fact.name, ())]
        with self._database.begin(merchant_id) as session:
            at = system_now(session)
            delivered = all(heard)
            wait = min(15 * 2 ** min(fact.attempts, 10), retry_seconds_max)
            row = (
                update(FactRow)
                .where(FactRow.id == fact_id)
                .values(
                    delivered_at=at if delivered else None,
                    attempts=FactRow.attempts + 1,
                    due_at=at + timedelta(seconds=wait),
                )
            )
            session.execute(row)
        return delivered

    def due(self, merchant_id: UUID, *, limit: int = 200) -> list[UUID]:
        """Facts nobody has finished hearing, oldest first."""
        with self._database.begin(merchant_id) as session:
            query = (
                select(FactRow.id)
                .where(FactRow.delivered_at.is_(None), FactRow.due_at <= system_now(session))
                .order_by(FactRow.due_at, FactRow.id)
                .limit(limit)
            )
            return list(session.scalars(query))

    def _read(self, merchant_id: UUID, fact_id: UUID) -> Fact | None:
        with self._database.begin(merchant_id) as session:
            row = session.scalar(select(FactRow).where(FactRow.id == fact_id, FactRow.delivered_at.is_(None)))
            if row is None:
                return None
            return Fact(
                FactId(row.id),
                MerchantId(row.merchant_id),
                row.name,
                row.subject,
                row.payload,
                row.recorded_at,
                row.attempts,
            )

    def _tell(self, fact: Fact, name: str, step: Listener) -> bool:
        try:
            with self._database.begin(fact.merchant_id) as session:
                first = insert(FactDeliveryRow).values(
                    merchant_id=fact.merchant_id, fact_id=fact.id, listener=name, delivered_at=system_now(session)
                )
                if session.execute(first.on_conflict_do_nothing().returning(FactDeliveryRow.fact_id)).first():
                    step(session, fact)
        except UNFORESEEN as error:
            log.error("listener_failed", listener=name, fact=fact.name, fact_id=str(fact.id), error=repr(error))
            return False
        return True
