"""Turns: how calls to a provider that counts requests are spread over all our processes, first in, first out.

A turn is an instant at which one call may start. Turns are given out while calls are claimed, in the same transaction,
from one row per endpoint of the merchant's provider account; whoever claims waits for the turn outside of it. The turns
of an endpoint are evenly spaced, so that no second of anybody's reckoning holds more than the limit; those of the whole
account, which several endpoints share, are kept for a second each. A turn that is not used is lost, not saved.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of, query
from groupbook.kit.models import PaceRow

ACCOUNT: Final = "*"


@dataclass(frozen=True)
class Pace:
    """How fast, and which calls it is about.

    Args:
        endpoints: kind of intent -> the endpoints that one such call asks.
        per_second: the provider's limit for one endpoint; `account_per_second` for all together.
        used: how much of the limit we ask for. The rest makes up for calls that start a little late.
        ahead_seconds: turns further ahead than this are not given out: their calls stay in line, where a more urgent
            one may still come before them.
    """

    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    per_second: float = 25.0
    account_per_second: int = 100
    used: float = 0.98
    ahead_seconds: float = 1.0

    def turns(self, lines: Mapping[str, PaceRow], kind: str, count: int, at: datetime) -> list[datetime]:
        """The next `count` turns of this kind of call, taken; none when even the first is too far ahead."""
        names = self.endpoints[kind]
        spacing = 1.0 / (self.per_second * self.used)
        account = lines[ACCOUNT]
        taken = [instant for instant in account.taken if instant > at.timestamp() - 1.0]
        next_at = {name: lines[name].next_at.timestamp() for name in names}
        given: list[float] = []
        for _ in range(count):
            turn = free(taken, max(at.timestamp(), *next_at.values()), limit=self.account_per_second)
            if not given and turn > at.timestamp() + self.ahead_seconds:
                return []
            insort(taken, turn)
            next_at = dict.fromkeys(names, turn + spacing)
            given.append(turn)
        account.taken = taken
        for name in names:
            lines[name].next_at = datetime.fromtimestamp(next_at[name], UTC)
        return [datetime.fromtimestamp(turn, UTC) for turn in given]

    def hold_back(self, lines: Mapping[str, PaceRow], kind: str, at: datetime) -> None:
        """The provider says that it is too much: nobody asks these endpoints for a second."""
        for name in self.endpoints[kind]:
            lines[name].next_at = max(lines[name].next_at, at + timedelta(seconds=1))


def free(taken: Sequence[float], earliest: float, *, limit: int) -> float:
    """The first instant from `earliest` on that makes no second hold more than `limit` of the `taken` (in order)."""
    turn = earliest
    while True:
        place = bisect_right(taken, turn)
        # Every run of `limit` neighbors that could share a second with the new one.
        for first in range(max(0, place - limit), min(place, len(taken) - limit) + 1):
            last = taken[first + limit - 1]
            if max(last, turn) - min(taken[first], turn) < 1.0:
                turn = taken[first] + 1.0
                break
        else:
            return turn


@query
def lock_lines(session: Session, endpoints: Sequence[str], at: datetime) -> dict[str, PaceRow]:
    """The rows of these endpoints and of the account, locked in order of name, made where they are missing."""
    names = sorted({*endpoints, ACCOUNT})
    rows = _locked(session, names)
    if len(rows) < len(names):
        new = [{"merchant_id": merchant_of(session), "endpoint": name, "next_at": at, "taken": []} for name in names]
        session.execute(insert(PaceRow).values(new).on_conflict_do_nothing())
        rows = _locked(session, names)
    return rows


def _locked(session: Session, names: Sequence[str]) -> dict[str, PaceRow]:
    asked = select(PaceRow).where(PaceRow.endpoint.in_(names)).order_by(PaceRow.endpoint).with_for_update()
    return {row.endpoint: row for row in session.scalars(asked.execution_options(populate_existing=True))}
