"""From the cheapest total to one assignment: the tie-break over everything that reaches it, then who pays what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.columns import Column, Columns, settled
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.gap import Solved, every_within, prices_of
from groupbook.discounts.engine.groups import columns_of
from groupbook.discounts.engine.model import bound_first
from groupbook.discounts.engine.optimum import best_of
from groupbook.discounts.engine.orders import CodeSet, after_codes
from groupbook.discounts.engine.search import search
from groupbook.discounts.engine.ties import Ties
from groupbook.kit.errors import InvariantBroken

# Up to here every assignment is looked at; beyond, only as many as a reader would not notice.
people_exact_max: Final = 12
budget: Final = (200_000, 4_000_000)
budget_large: Final = (2_000, 10_000)
budget_codes: Final = (10_000, 50_000)
nodes_simple: Final = 200


@dataclass(frozen=True)
class Assignment:
    """Everybody in one column. Per person: the face, what each code takes off, what they pay."""

    columns: tuple[Column, ...]
    codes: CodeSet
    off: tuple[tuple[int, ...], ...]
    faces: tuple[int, ...]
    pays: tuple[int, ...]
    ties: str = "all"

    @property
    def total(self) -> int:
        return sum(self.pays)

    @property
    def key(self) -> tuple[object, ...]:
        """The seven steps, then fewer codes."""
        joint = [column for column in self.columns if column.rule is not None]
        people = sorted(
            chain.from_iterable(zip(column.seats, column.people_key, strict=True) for column in self.columns),
            key=lambda one: one[0].person,
        )
        return (
            self.total,
            sum(len(column.seats) for column in joint),
            len(joint),
            tuple(sorted(self.pays, reverse=True)),
            self.pays,
            tuple(key[1] for _, key in people),
            tuple(key[2] for _, key in people),
            len(self.codes.codes),
            tuple((code.rule.id, code.by) for code in self.codes.codes),
        )


def chosen(case: Case, solved: Sequence[Solved], alone: Sequence[int]) -> Assignment:
    """The first by the tie-break of all assignments that reach the least total.

    A party too large to look at all of them gets one that the search found: the same total, the fewest people bound
    and the fewest applications ("applications") or only the same total ("total"), and the answer says which.
    """
    best = best_of(solved)
    found = []
    try:
        found = [_first(case, one, alone) for one in solved if one.found.total == best.total]
    except TooManyCombinations:
        found = []
    reached = [one for one in found if one is not None]
    return min(reached, key=lambda one: one.key) if reached else _simple(best, alone)


def _first(case: Case, solved: Solved, alone: Sequence[int]) -> Assignment | None:
    """The first of all assignments that reach the total under one set of codes.

    Raises:
        TooManyCombinations: there are more than the budget, which is small for a large party: a price is awaited.
    """
    fillings, transitions = budget if len(case.travelers) <= people_exact_max else budget_large
    if solved.codes.codes:
        fillings, transitions = budget_codes
    if not solved.codes.codes:
        bounds = alone if len(case.travelers) > 1 else None
        columns = Columns(solved.market, bounds, prices_of(solved), fillings=fillings)
        ties = Ties(list(columns), solved.market.capacities, len(case.travelers), transitions=transitions)
        first = ties.best()
        return None if first is None else assigned(solved.codes, first, alone)
    within = every_within(solved, alone, fillings=fillings, transitions=transitions)
    every = (assigned(solved.codes, columns, alone) for columns in within)
    lawful = (one for one in every if one is not None and one.total == solved.total)
    return min(lawful, key=lambda one: one.key, default=None)


def _simple(best: Solved, alone: Sequence[int]) -> Assignment:
    """One assignment with the least total; where the search can say so, with the fewest people bound to others."""
    model, values, ties = best.model, best.found.known(), "total"
    if not best.codes.codes:
        found = search(bound_first(model), nodes=nodes_simple)
        if found.total is not None and found.total == found.bound:
            values, ties = found.known(), "applications"
    columns = best.listed or columns_of(model, values, Columns(best.market, alone))
    assignment = assigned(best.codes, columns, alone, ties=ties)
    if assignment is None:
        raise InvariantBroken(total=best.total)
    return assignment


def assigned(
    codes: CodeSet, columns: Sequence[Column], alone: Sequence[int], *, ties: str = "all"
) -> Assignment | None:
    """Who pays what. With codes: their split first, then nobody above alone over the whole order. None: not lawful."""
    seats = [(seat, column) for column in columns for seat in column.seats]
    order = sorted(range(len(seats)), key=lambda at: seats[at][0].person)
    if not codes.codes:
        faces = tuple(seats[at][0].face for at in order)
        pays = tuple(seats[at][0].pay for at in order)
        return Assignment(tuple(columns), codes, (), faces, pays, ties)
    lines = [line for column in columns for line in column.lines()]
    taken = after_codes(codes, [lines[at] for at in order])
    if taken is None:
        return None
    after = {person: seats[at][0].face - sum(one[person] for one in taken) for person, at in enumerate(order)}
    settlement = settled(after, alone)
    off = tuple(tuple(one) for one in taken)
    faces = tuple(after[person] for person in range(len(order)))
    return Assignment(
        tuple(columns), codes, off, faces, tuple(settlement[person] for person in range(len(order))), ties
    )
