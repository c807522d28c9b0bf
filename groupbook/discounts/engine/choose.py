"""From the cheapest total to one assignment: the tie-break over everything that reaches it, then who pays what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import floor
from typing import Final

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.columns import Column, Columns, Prices, settled
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.groups import columns_of
from groupbook.discounts.engine.model import bound_first
from groupbook.discounts.engine.optimum import Solved, best_of
from groupbook.discounts.engine.orders import CodeSet, after_codes, baskets, eligible, pieces_of
from groupbook.discounts.engine.search import scale, search
from groupbook.discounts.engine.ties import Ties
from groupbook.kit.errors import InvariantBroken

# Up to here every assignment is looked at; beyond, only as many as a reader would not notice.
people_exact_max: Final = 12
budget: Final = (200_000, 4_000_000)
budget_large: Final = (2_000, 10_000)
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
    market, people = solved.market, len(case.travelers)
    bounds = alone if people > 1 else None
    fillings, transitions = budget if people <= people_exact_max else budget_large
    prices = _prices(solved)
    columns = list(Columns(market, bounds, prices, fillings=fillings))
    ties = Ties(columns, market.capacities, people, transitions=transitions)
    if not solved.codes.codes:
        first = ties.best()
        return None if first is None else assigned(solved.codes, first, alone)
    weight = _reduced(solved, prices)
    every = (assigned(solved.codes, columns, alone) for columns in ties.every(weight, prices.gap))
    lawful = (one for one in every if one is not None and one.total == solved.total)
    return min(lawful, key=lambda one: one.key, default=None)


def _prices(solved: Solved) -> Prices:
    """The root's dual prices: no column of an optimum costs more above them than the gap."""
    root, market, codes = solved.found.root, solved.market, solved.codes
    if root is None:
        raise InvariantBroken(total=solved.total)
    by_key = dict(root.resources)
    resources = tuple(by_key.get(key, 0) for key in market.resources)
    bound = Fraction(sum(root.people))
    bound -= sum(price * limit for price, limit in zip(resources, market.capacities, strict=True))
    slope, items, baskets_off = Fraction(scale), 0, 0
    if codes.codes:
        pieces, slack = pieces_of(codes)
        slope = sum((price * piece.slope for price, piece in zip(root.pieces, pieces, strict=True)), Fraction(0))
        bound -= sum(price * piece.less for price, piece in zip(root.pieces, pieces, strict=True)) + slack * scale
        for price, (_, what, least) in zip(root.basket, baskets(codes), strict=True):
            bound += price * least
            items, baskets_off = (items + price, baskets_off) if what == "items" else (items, baskets_off + price)
    # Each dual price may be off by half of its last place, some of them times an amount.
    room = 2 * (len(root.people) + len(resources) + 1) + (solved.total * 4 if codes.codes else 0)
    gap = solved.total * scale - floor(bound) + room
    return Prices(root.people, resources, gap, floor(slope) - baskets_off, items)


def _reduced(solved: Solved, prices: Prices) -> Callable[[Column], int]:
    """What a column costs above the root's dual prices, codes included."""
    codes, root = solved.codes, solved.found.root
    pieces, _ = pieces_of(codes)
    thetas = root.pieces if root else ()
    slope = sum((price * piece.slope for price, piece in zip(thetas, pieces, strict=True)), Fraction(0))
    minimums = list(zip(root.basket if root else (), baskets(codes), strict=True))

    def weight(column: Column) -> int:
        total = Fraction(-sum(prices.people[seat.person] for seat in column.seats))
        total += sum(amount * prices.resources[number] for number, amount in column.usage)
        for line in column.lines():
            total += line.amount * (slope if codes.covers(line) else scale)
            for price, (code, what, _) in minimums:
                if eligible(code.rule, line):
                    total -= price * (line.amount if what == "basket" else 1)
        return floor(total)

    return weight


def _simple(best: Solved, alone: Sequence[int]) -> Assignment:
    """One assignment with the least total; where the search can say so, with the fewest people bound to others."""
    model, values, ties = best.model, best.found.known(), "total"
    if not best.codes.codes:
        found = search(bound_first(model), nodes=nodes_simple)
        if found.total is not None and found.total == found.bound:
            values, ties = found.known(), "applications"
    assignment = assigned(best.codes, columns_of(model, values, Columns(best.market, alone)), alone, ties=ties)
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
