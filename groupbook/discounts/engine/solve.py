"""The exact programme over people: every person in exactly one column, no resource over its capacity.

First with one integer per column (total, people bound, applications), then, only along the ways that reach the
optimum, with the rest of the tie-break. Every step of the key is preserved when disjoint sets are joined, so both
passes are exact. The budget ends in an error, never in a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from groupbook.discounts.engine.columns import Column
from groupbook.discounts.engine.errors import TooManyCombinations

transitions_max: Final = 4_000_000
Left = tuple[int, ...]
# pays from the largest down; pays, rules and leaders in party order
_Rest = tuple[tuple[int, ...], tuple[int, ...], tuple[object, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Solution:
    total: int
    columns: tuple[Column, ...]


class Solver:
    """The optimum over a fixed set of columns. Answers "and if this column must be used?" from the same table."""

    def __init__(self, columns: Sequence[Column], capacities: Sequence[int], people: int) -> None:
        self._everybody = (1 << people) - 1
        self._capacities = tuple(capacities)
        self._starting: list[list[Column]] = [[] for _ in range(people)]
        for column in _undominated(columns):
            self._starting[(column.mask & -column.mask).bit_length() - 1].append(column)
        self._best: dict[tuple[int, Left], int | None] = {}
        self._plans: dict[tuple[int, Left], tuple[_Rest, tuple[Column, ...]]] = {}
        self._transitions = 0

    def solve(self) -> Solution | None:
        """The optimum with its tie-break; None when no lawful assignment exists."""
        if self._value(self._everybody, self._capacities) is None:
            return None
        _, columns = self._plan(self._everybody, self._capacities)
        return Solution(sum(column.cost for column in columns), columns)

    def total_with(self, columns: Sequence[Column]) -> int | None:
        """The least total when one of these columns must be used."""
        totals = []
        for column in columns:
            left = _take(self._capacities, column)
            value = None if left is None else self._value(self._everybody & ~column.mask, left)
            if value is not None:
                totals.append(column.cost + (value >> 24))
        return min(totals, default=None)

    def _value(self, people: int, left: Left) -> int | None:
        if people == 0:
            return 0
        known = self._best.get((people, left), -1)
        if known != -1:
            return known
        best: int | None = None
        for column in self._starting[(people & -people).bit_length() - 1]:
            if column.mask & ~people:
                continue
            self._transitions += 1
            after = _take(left, column)
            rest = None if after is None else self._value(people & ~column.mask, after)
            if rest is not None and (best is None or column.first_key + rest < best):
                best = column.first_key + rest
        if self._transitions > transitions_max:
            raise TooManyCombinations(transitions_max=transitions_max)
        self._best[(people, left)] = best
        return best

    def _plan(self, people: int, left: Left) -> tuple[_Rest, tuple[Column, ...]]:
        if people == 0:
            return ((), (), (), ()), ()
        if (people, left) in self._plans:
            return self._plans[(people, left)]
        target = self._value(people, left)
        found: list[tuple[_Rest, tuple[Column, ...]]] = []
        for column in self._starting[(people & -people).bit_length() - 1]:
            if column.mask & ~people:
                continue
            after = _take(left, column)
            rest = None if after is None else self._value(people & ~column.mask, after)
            if after is None or rest is None or column.first_key + rest != target:
                continue
            others, plan = self._plan(people & ~column.mask, after)
            found.append((_joined(column, people, others), (column, *plan)))
        self._plans[(people, left)] = min(found, key=lambda entry: entry[0])
        return self._plans[(people, left)]


def _joined(column: Column, people: int, others: _Rest) -> _Rest:
    """The key of a column together with the key of the rest, over the same people in party order."""
    mine = {seat.person: key for seat, key in zip(column.seats, column.people_key, strict=True)}
    rest = iter(zip(others[1], others[2], others[3], strict=True))
    merged = [
        mine[person] if person in mine else next(rest) for person in range(people.bit_length()) if people >> person & 1
    ]
    pays = tuple(entry[0] for entry in merged)
    return (
        tuple(sorted(pays, reverse=True)),
        pays,
        tuple(entry[1] for entry in merged),
        tuple(entry[2] for entry in merged),
    )


def _take(left: Left, column: Column) -> Left | None:
    if not column.usage:
        return left
    after = list(left)
    for number, amount in column.usage:
        after[number] -= amount
        if after[number] < 0:
            return None
    return tuple(after)


def _undominated(columns: Sequence[Column]) -> list[Column]:
    """Of columns for the same people and the same scarce things, only the first by the whole key can matter."""
    best: dict[tuple[int, object], tuple[object, Column]] = {}
    for column in columns:
        key = (column.mask, column.usage)
        order = (column.first_key, _joined(column, column.mask, ((), (), (), ())))
        if key not in best or order < best[key][0]:  # type: ignore[operator]  # a tuple of comparable tuples
            best[key] = (order, column)
    return [column for _, column in best.values()]
