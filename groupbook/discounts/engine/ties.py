"""Which of the cheapest assignments: the seven-step tie-break, exactly, over the columns an optimum can use.

Without codes on the order every step of the key is preserved when disjoint sets are joined, so a programme over people
keeps the best of each set: first one integer per column (total, people bound, applications), then, only along the ways
that reach the optimum, the rest of the key. With codes the whole assignments are compared. The budget ends in an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from groupbook.discounts.engine.columns import Column
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.market import Usage

transitions_max: Final = 4_000_000
Left = tuple[int, ...]
Chosen = tuple[Column, ...]
# pays from the largest down; pays, rules and leaders in party order
Rest = tuple[tuple[int, ...], tuple[int, ...], tuple[object, ...], tuple[int, ...]]


class Ties:
    """The best of the cheapest assignments over a fixed set of columns."""

    def __init__(
        self, columns: Sequence[Column], capacities: Sequence[int], people: int, *, transitions: int = transitions_max
    ) -> None:
        self._transitions_max = transitions
        self._everybody = (1 << people) - 1
        self._capacities = tuple(capacities)
        self._starting: list[list[Column]] = [[] for _ in range(people)]
        for column in columns:
            self._starting[(column.mask & -column.mask).bit_length() - 1].append(column)
        self._best: dict[tuple[int, Left], int | None] = {}
        self._plans: dict[tuple[int, Left], tuple[Rest, Chosen]] = {}
        self._transitions = 0

    def best(self) -> Chosen | None:
        """The first by the whole key; None when the columns allow no assignment.

        Raises:
            TooManyCombinations: the budget ended.
        """
        if self._value(self._everybody, self._capacities) is None:
            return None
        return self._plan(self._everybody, self._capacities)[1]

    def every(self, weight: Callable[[Column], int], gap: int) -> Iterator[Chosen]:
        """Every assignment whose columns weigh at most `gap` together; no weight is below zero (but for rounding).

        Raises:
            TooManyCombinations: the budget ended.
        """
        weights = {id(column): weight(column) for columns in self._starting for column in columns}
        for columns in self._starting:
            columns[:] = [column for column in columns if weights[id(column)] <= gap]
        yield from self._every(self._everybody, self._capacities, (), gap, weights)

    def _every(self, people: int, left: Left, chosen: Chosen, gap: int, weights: dict[int, int]) -> Iterator[Chosen]:
        if people == 0:
            yield chosen
            return
        for column in self._starting[(people & -people).bit_length() - 1]:
            if column.mask & ~people or weights[id(column)] > gap:
                continue
            self._count()
            after = taken(left, column.usage)
            if after is not None:
                rest = min(gap, gap - weights[id(column)])
                yield from self._every(people & ~column.mask, after, (*chosen, column), rest, weights)

    def _count(self) -> None:
        self._transitions += 1
        if self._transitions > self._transitions_max:
            raise TooManyCombinations(transitions_max=self._transitions_max)

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
            self._count()
            after = taken(left, column.usage)
            rest = None if after is None else self._value(people & ~column.mask, after)
            if rest is not None and (best is None or column.first_key + rest < best):
                best = column.first_key + rest
        self._best[(people, left)] = best
        return best

    def _plan(self, people: int, left: Left) -> tuple[Rest, Chosen]:
        if people == 0:
            return ((), (), (), ()), ()
        if (people, left) in self._plans:
            return self._plans[(people, left)]
        target = self._value(people, left)
        found: list[tuple[Rest, Chosen]] = []
        for column in self._starting[(people & -people).bit_length() - 1]:
            if column.mask & ~people:
                continue
            after = taken(left, column.usage)
            rest = None if after is None else self._value(people & ~column.mask, after)
            if after is None or rest is None or column.first_key + rest != target:
                continue
            others, plan = self._plan(people & ~column.mask, after)
            found.append((joined(column, people, others), (column, *plan)))
        self._plans[(people, left)] = min(found, key=lambda entry: entry[0])
        return self._plans[(people, left)]


def joined(column: Column, people: int, others: Rest) -> Rest:
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


def taken(left: Left, usage: Usage) -> Left | None:
    """What is left of the scarce things; None when there is not enough."""
    if not usage:
        return left
    after = list(left)
    for number, amount in usage:
        after[number] -= amount
        if after[number] < 0:
            return None
    return tuple(after)
