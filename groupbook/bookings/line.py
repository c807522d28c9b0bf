"""The waiting list of a trip: who is next, and until when a place is theirs to take. Pure: no IO, no clock.

First in, first out. A place is offered to one at a time; who lets the time pass is out of the line. An offer never
takes more than half of the time that is left until the group must be complete: whoever takes the place, or is next in
the line, has as long again to pay.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

offer_seconds_min: Final = 60.0  # less, and nobody has read that it is theirs


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody in the line, which is a sequence of these in the order of coming."""

    id: UUID
    member: UUID


def next_in_line(line: Sequence[Waiting], *, present: Collection[UUID], busy: Collection[UUID]) -> Waiting | None:
    """Who is offered a place now: the first who still sits in the trip, and neither travels nor has an offer."""
    return next((one for one in line if one.member in present and one.member not in busy), None)


def position_of(line: Sequence[Waiting], member: UUID, *, present: Collection[UUID]) -> int | None:
    """1 for the first of those who are still there; None for who does not wait."""
    there = [one.member for one in line if one.member in present]
    return there.index(member) + 1 if member in there else None


def offered_until(now: datetime, *, seconds: float, deadline_at: datetime | None) -> datetime | None:
    """Until when a place that is offered now can be taken; None: it is too late to offer one."""
    if deadline_at is not None:
        seconds = min(seconds, (deadline_at - now).total_seconds() / 2)
    return now + timedelta(seconds=seconds) if seconds >= offer_seconds_min else None
