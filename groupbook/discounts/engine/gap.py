"""What an optimum can be made of: with the root's dual prices, only columns whose reduced cost fits into the gap.

The sum of the reduced costs of an assignment is its cost above the root's bound; none is negative. So what is dearer
than the gap between the best total and that bound is in no optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from groupbook.discounts.engine.columns import Column, Columns, Prices
from groupbook.discounts.engine.market import Market
from groupbook.discounts.engine.model import Model
from groupbook.discounts.engine.orders import CodeSet, baskets, eligible, pieces_of
from groupbook.discounts.engine.search import Found, scale
from groupbook.discounts.engine.ties import Chosen, Ties
from groupbook.kit.errors import InvariantBroken


@dataclass(frozen=True)
class Solved:
    """One admissible set of codes: its programme, what the search found, what looking at all of it found (`listed`)."""

    codes: CodeSet
    market: Market
    model: Model
    found: Found
    listed: Chosen | None = None

    @property
    def total(self) -> int:
        """What the best assignment costs."""
        if self.found.total is None:
            raise InvariantBroken(codes=[code.by for code in self.codes.codes])
        return self.found.total


def every_within(solved: Solved, alone: Sequence[int], *, fillings: int, transitions: int) -> Iterator[Chosen]:
    """Every assignment under a set of codes that may cost no more than the best one known.

    Raises:
        TooManyCombinations: there are more than the budget.
    """
    market = solved.market
    prices = prices_of(solved)
    columns = list(Columns(market, alone, prices, fillings=fillings))
    ties = Ties(columns, market.capacities, len(market.people), transitions=transitions)
    yield from ties.every(_weight(solved, prices), prices.gap)


def prices_of(solved: Solved) -> Prices:
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


def _weight(solved: Solved, prices: Prices) -> Callable[[Column], int]:
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
