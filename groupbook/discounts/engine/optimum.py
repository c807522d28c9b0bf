"""The cheapest total of a case: every admissible set of codes solved, the best kept, each with its bound and proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groupbook.discounts.engine.alone import alone_amounts
from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.columns import Column, Columns, total_after
from groupbook.discounts.engine.errors import NoOwnFare
from groupbook.discounts.engine.groups import columns_of
from groupbook.discounts.engine.market import Market, Work
from groupbook.discounts.engine.model import Model, build
from groupbook.discounts.engine.orders import CodeSet, code_sets, has_gifts
from groupbook.discounts.engine.search import Found, Values, search
from groupbook.kit.errors import InvariantBroken


@dataclass(frozen=True)
class Solved:
    """One admissible set of codes: its programme, and what the search found."""

    codes: CodeSet
    market: Market
    model: Model
    found: Found

    @property
    def total(self) -> int:
        """What the best assignment costs."""
        if self.found.total is None:
            raise InvariantBroken(codes=[code.by for code in self.codes.codes])
        return self.found.total


@dataclass(frozen=True)
class Optimum:
    """The least total of a party, in minor units. `bound` is proven; `optimal` says that the total reaches it."""

    total: int
    bound: int
    optimal: bool
    nodes: int
    columns: tuple[Column, ...]
    codes: CodeSet


def optimum(case: Case) -> Optimum:
    """Total and assignment, without the tie-break, the settlement and the explanation of `price`.

    Raises:
        NoOwnFare: somebody has no fare that may be bought alone.
        TooManyCombinations: a rule whose groups are listed one by one has too many of them.
    """
    solved = solve(case, alone_amounts(case) if has_gifts(case) else None)
    best = best_of(solved)
    columns = columns_of(best.model, best.found.known(), Columns(best.market))
    total, bound = best.total, bound_of(solved)
    nodes = sum(one.found.nodes for one in solved)
    return Optimum(total, bound, bound == total, nodes, tuple(columns), best.codes)


def solve(
    case: Case, alone: Sequence[int] | None = None, *, prove: bool = False, work: Work | None = None
) -> list[Solved]:
    """Every set of codes, the empty one first. A set that cannot beat what is known may end with a bound only.

    Args:
        alone: what each would pay alone; only "the cheapest is free" needs it, for the shares of pooled prices.
    Raises:
        NoOwnFare: somebody has no fare that may be bought alone.
    """
    market = Market(case, work=work)
    market.require_own_fares()
    solved: list[Solved] = []
    wide = market
    best: int | None = None
    for codes in code_sets(market):
        if codes.codes and wide is market:
            wide = Market(case, every=True, work=market.work)  # a dearer ticket may reach a minimum
        one = wide if codes.codes else market
        model = build(one, codes)
        # A later set must be able to tie: the tie-break looks at all of them.
        found = search(model, value=value_of(model, alone), prove=prove, ceiling=None if best is None else best + 1)
        if found.values is None and not codes.codes:
            raise NoOwnFare()
        solved.append(Solved(codes, one, model, found))
        if found.total is not None:
            best = found.total if best is None else min(best, found.total)
    return solved


def best_of(solved: Sequence[Solved]) -> Solved:
    """The cheapest; of several the one with the fewest codes."""
    return min(
        (one for one in solved if one.found.total is not None),
        key=lambda one: (one.found.total, len(one.codes.codes), [code.by for code in one.codes.codes]),
    )


def bound_of(solved: Sequence[Solved]) -> int:
    """What no assignment can go below, whichever codes are used."""
    return min(one.found.bound for one in solved if one.found.bound is not None)


def value_of(model: Model, alone: Sequence[int] | None) -> Callable[[Values], int | None] | None:
    """The exact total of a solution with codes on the order; None without codes, where it is the plain cost."""
    if not model.codes.codes:
        return None

    def value(values: Values) -> int | None:
        return total_after(model.codes, columns_of(model, values, Columns(model.market, alone)))

    return value
