"""Alarms for the operator: a line at level error for what does not mend itself. The figures at /metrics say the same.

What is parked is logged where it is parked. Here: money that is somewhere else than we thought (`note`, a listener),
and rows that are owed for longer than their budget (`Overdue`, a sweep), which means a worker, a broker or an outside
that has been away for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import history
from groupbook.kit.database import Database
from groupbook.kit.facts import Fact

log = structlog.get_logger(__name__)
_CODES: Final = ("reason", "kind", "reference", "state")  # codes and ids of ours; no names, no amounts


def note(session: Session, fact: Fact) -> None:
    """Listener: this fact is bad news that only a person can answer."""
    told = {name: value for name in _CODES if isinstance(value := fact.payload.get(name), str)}
    log.error("alarm", alarm=fact.name, merchant_id=str(fact.merchant_id), subject=str(fact.subject), **told)


@dataclass
class Overdue:
    """Looks for rows older than their budget, merchant by merchant, and says so at most every `quiet_seconds`.

    Args:
        call_seconds: how long an outside call may be owed. Longer than any outage that mends itself.
        fact_seconds: how long a fact may wait for its listeners.
    """

    database: Database
    call_seconds: float
    fact_seconds: float
    quiet_seconds: float = 600.0
    elapsed: Callable[[], float] = time.monotonic
    _told: dict[tuple[UUID, str], float] = field(default_factory=dict, repr=False)

    def look(self, merchant_id: UUID) -> list[str]:
        """The names of the alarms that were raised now. A use case."""
        with self.database.begin(merchant_id) as session:
            calls = history.overdue_calls(session, older_than_seconds=self.call_seconds)
            facts = history.overdue_facts(session, older_than_seconds=self.fact_seconds)
        found = (("calls_overdue", calls, self.call_seconds), ("facts_overdue", facts, self.fact_seconds))
        return [name for name, overdue, budget in found if self._tell(merchant_id, name, overdue, budget)]

    def _tell(self, merchant_id: UUID, name: str, overdue: history.Overdue, budget_seconds: float) -> bool:
        last, now = self._told.get((merchant_id, name)), self.elapsed()
        if overdue.count == 0:
            self._told.pop((merchant_id, name), None)
            return False
        if last is not None and now - last < self.quiet_seconds:
            return False
        self._told[merchant_id, name] = now
        log.error(
            "alarm",
            alarm=name,
            merchant_id=str(merchant_id),
            count=overdue.count,
            oldest_seconds=round(overdue.oldest_seconds),
            budget_seconds=budget_seconds,
        )
        return True
