"""From the cheapest total to one assignment: the tie-break over everything that reaches it, then who pays what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.columns import Column, Columns, Prices, settled
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.groups import columns_of
from groupbook.discounts.engine.optimum import Solved, best_of
from groupbook.discounts.engine.orders import CodeSet, after_codes
from groupbook.discounts.engine.search import scale
from groupbook.discounts.engine.ties import Ties
from groupbook.kit.errors import InvariantBroken


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

    A party too large to look at all of them gets the one the search found: the same total, and the answer says so.
    """
    best = best_of(solved)
    total = best.found.total
    found = []
    for one in solved:
        if one.found.total != total:
            continue
        try:
            found.append(_first(case, one, alone))
        except TooManyCombinations:
            found = []
            break
    reached = [one for one in found if one is not None]
    if reached:
        return min(reached, key=lambda one: one.key)
    columns = columns_of(best.model, best.found.known(), Columns(best.market, alone))
    assignment = assigned(best.codes, columns, alone, ties="total")
    if assignment is None:
        raise InvariantBroken(total=total)
    return assignment


def _first(case: Case, solved: Solved, alone: Sequence[int]) -> Assignment | None:
    market, people = solved.market, len(case.travelers)
    bounds = alone if people > 1 else None
    if solved.codes.codes:
        ties = Ties(list(Columns(market, bounds)), market.capacities, people)
        every = (assigned(solved.codes, columns, alone) for columns in ties.every(lambda people, cost: True))
        lawful = [one for one in every if one is not None and one.total == solved.found.total]
        return min(lawful, key=lambda one: one.key, default=None)
    columns = Columns(market, bounds, _prices(solved))
    first = Ties(list(columns), market.capacities, people).best()
    return None if first is None else assigned(solved.codes, first, alone)


def _prices(solved: Solved) -> Prices | None:
    """The root's dual prices: no column of an optimum costs more above them than the gap."""
    root, total = solved.found.root, solved.found.total
    if root is None or total is None:
        return None
    market = solved.market
    by_key = dict(root.resources)
    resources = tuple(by_key.get(market_key, 0) for market_key in market.resources)
    bound = sum(root.people) - sum(price * limit for price, limit in zip(resources, market.capacities, strict=True))
    # Each dual price may be off by half of its last place.
    gap = total * scale - bound + 2 * (len(root.people) + len(resources) + 1)
    return Prices(root.people, resources, gap, scale)


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
