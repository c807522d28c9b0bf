"""The cheapest total of a case: every admissible set of codes solved, the best kept, each with its bound and proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from groupbook.discounts.engine.alone import alone_amounts
from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.columns import Column, Columns, total_after
from groupbook.discounts.engine.errors import NoOwnFare, TooManyCombinations
from groupbook.discounts.engine.gap import Solved, every_within
from groupbook.discounts.engine.groups import columns_of
from groupbook.discounts.engine.market import Market, Work
from groupbook.discounts.engine.model import Model, build
from groupbook.discounts.engine.orders import CodeSet, code_sets, has_gifts
from groupbook.discounts.engine.search import Values, nodes_max, search
from groupbook.discounts.engine.ties import Chosen

nodes_giving: Final = 50


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
    columns = best.listed or columns_of(best.model, best.found.known(), Columns(best.market))
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
        nodes = nodes_giving if codes.gives else nodes_max
        ceiling = None if best is None else best + 1
        found = search(model, value=value_of(model, alone), prove=prove or codes.gives, ceiling=ceiling, nodes=nodes)
        if found.values is None and not codes.codes:
            raise NoOwnFare()
        answer = Solved(codes, one, model, found)
        if codes.gives and found.total != found.bound and alone is not None:
            answer = _exhausted(answer, alone, best if found.total is None else found.total)
            found = answer.found
        solved.append(answer)
        if found.total is not None:
            best = found.total if best is None else min(best, found.total)
    return solved


def _exhausted(solved: Solved, alone: Sequence[int], known: int | None) -> Solved:
    """ "The cheapest is free" has only a loose bound in lines: look at every assignment that the gap allows."""
    if known is None:
        return solved
    try:
        listed = least_listed(replace(solved, found=replace(solved.found, total=known)), alone)
    except TooManyCombinations:
        return solved
    if listed is None:
        return replace(solved, found=replace(solved.found, total=None, values=None, bound=known + 1, tree=None))
    total, columns = listed
    return replace(solved, found=replace(solved.found, total=total, bound=total, tree=None), listed=columns)


def least_listed(
    solved: Solved, alone: Sequence[int], wanted: Callable[[Chosen], bool] = lambda columns: True
) -> tuple[int, Chosen] | None:
    """The cheapest wanted assignment that costs no more than `solved.total`, by looking at all; None: there is none.

    Raises:
        TooManyCombinations: there are more than the budget.
    """
    totals = (
        (total, columns)
        for columns in every_within(solved, alone, fillings=10_000, transitions=50_000)
        if wanted(columns) and (total := total_after(solved.codes, columns)) is not None
    )
    return min(totals, key=lambda one: one[0], default=None)


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
