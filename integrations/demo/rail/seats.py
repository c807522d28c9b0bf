"""Coaches and places, and where a party sits: as close together as the free places allow. Pure.

A coach has rows of two and two around an aisle: places A B | C D. Odd and even rows face each other over a table, so
rows 1 and 2 share one, rows 3 and 4 the next. Whether some stranger already sits on a place is decided by a hash of
the train and the place: it looks like life and is the same in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

LETTERS: Final = "ABCD"
COACHES: Final = {"1": ("1", "2"), "2": ("3", "4", "5", "6", "7")}
ROWS: Final = {"1": 8, "2": 14}
_taken_of_256: Final = 120  # strangers sit on about 47 % of the places


@dataclass(frozen=True, slots=True, order=True)
class Place:
    coach: str
    row: int
    letter: str

    @property
    def name(self) -> str:
        return f"{self.row}{self.letter}"


def all_places(travel_class: str) -> list[Place]:
    """Every place of a class, coach by coach, row by row."""
    rows = range(1, ROWS[travel_class] + 1)
    return [Place(coach, row, letter) for coach in COACHES[travel_class] for row in rows for letter in LETTERS]


def strangers(run_id: str, travel_class: str) -> frozenset[tuple[str, str]]:
    """(coach, place name) of the places other people already hold on this train."""
    taken = set()
    for coach in COACHES[travel_class]:
        digest = b"".join(hashlib.sha256(f"{run_id}/{coach}/{part}".encode()).digest() for part in range(2))
        for index, place in enumerate(p for p in all_places(travel_class) if p.coach == coach):
            if digest[index % len(digest)] < _taken_of_256:
                taken.add((coach, place.name))
    return frozenset(taken)


def allocate(free: Collection[Place], party: int) -> list[Place] | None:
    """Places for the whole party, or None. Together in one coach if any coach has room, else in as few as possible.

    Within a coach the set of places with the smallest sum of distances wins; ties go to the first coach and row.
    """
    if party <= 0 or party > len(free):
        return None
    coaches = sorted({place.coach for place in free}, key=lambda coach: (len(coach), coach))
    by_coach = {coach: sorted(place for place in free if place.coach == coach) for coach in coaches}
    candidates = [_closest(places, party) for places in by_coach.values() if len(places) >= party]
    if candidates:
        return min(candidates, key=_spread)
    # No coach takes everybody: fill the emptiest first, so that the fewest are parted.
    emptiest = max(coaches, key=lambda coach: len(by_coach[coach]))
    here = by_coach[emptiest]
    rest = allocate([place for place in free if place.coach != emptiest], party - len(here))
    return None if rest is None else [*here, *rest]


def _closest(places: Sequence[Place], party: int) -> list[Place]:
    """The best set among all windows of neighboring rows that hold just enough free places."""
    rows = sorted({place.row for place in places})
    best: list[Place] | None = None
    for start in rows:
        window: list[Place] = []
        for row in (row for row in rows if row >= start):
            window += [place for place in places if place.row == row]
            if len(window) >= party:
                break
        if len(window) >= party:
            chosen = _best_subset(window, party)
            if best is None or _spread(chosen) < _spread(best):
                best = chosen
        # One row more can put four people around a table where a single row parts them by the aisle.
        table = [place for place in places if place.row in (start, start + 1)]
        if start % 2 == 1 and len(table) >= party:
            chosen = _best_subset(table, party)
            if best is None or _spread(chosen) < _spread(best):
                best = chosen
    return best or list(places[:party])


def _best_subset(window: Sequence[Place], party: int) -> list[Place]:
    if len(window) - party > 3 or party > 8:
        return list(window[:party])
    return min((list(chosen) for chosen in combinations(window, party)), key=_spread)


def _spread(places: Iterable[Place]) -> int:
    return sum(_distance(one, other) for one, other in combinations(places, 2))


def _distance(one: Place, other: Place) -> int:
    rows = abs(one.row - other.row)
    same_table = (one.row + 1) // 2 == (other.row + 1) // 2
    # Face to face over a table is nearer than back to back.
    lengthwise = 2 if rows == 1 and same_table else rows * 4
    return lengthwise + _across(one.letter, other.letter)


def _across(one: str, other: str) -> int:
    columns = abs(LETTERS.index(one) - LETTERS.index(other))
    aisle = (one in "AB") != (other in "AB")
    return columns + (2 if aisle else 0)
