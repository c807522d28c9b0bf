"""Branch and bound over a model: the optimum in whole numbers, and the tree that proves it.

Every node is a linear relaxation, solved by HiGHS (dual simplex, warm from the node before). Nothing rests on its
floating point: what is kept is whole numbers, priced again exactly, and dual prices rounded to integers that `check`
verifies without a solver. Node counts, not clocks, end the search, so that the same case always has the same answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, chain
from math import ceil, floor, gcd
from typing import Final

import highspy
import numpy as np

from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.market import pivoting_max
from groupbook.discounts.engine.model import UNBOUNDED, Applications, Excess, Listed, Model, Seats
from groupbook.discounts.engine.orders import baskets, pieces_of
from groupbook.discounts.engine.proof import Branch, Feature, Leaf, Tree
from groupbook.kit.errors import InvariantBroken

nodes_max: Final = 4_000
scale: Final = 1_000_000
_EPSILON: Final = 1e-6
Values = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """The best whole numbers of a model (None: there are none), what they cost, and a proven lower bound."""

    values: Values | None
    total: int | None
    bound: int | None
    nodes: int
    root: Leaf | None
    root_bound: float | None  # None: the relaxation has no solution at all
    tree: Tree | None

    def known(self) -> Values:
        """The whole numbers, which the caller knows to exist."""
        if self.values is None:
            raise InvariantBroken(nodes=self.nodes)
        return self.values


def search(
    model: Model,
    *,
    value: Callable[[Values], int | None] | None = None,
    prove: bool = False,
    ceiling: int | None = None,
    nodes: int = nodes_max,
    least: int = 0,
) -> Found:
    """The cheapest whole numbers.

    Args:
        value: the exact total of whole numbers (None: not lawful), where it is not just their cost.
        prove: also keep the tree with its dual prices.
        ceiling: totals from here on are of no interest.
        nodes: how many relaxations may be solved before the search stops with a bound.
        least: no total is below this, as the caller has proven.
    Raises:
        TooManyCombinations: the budget ended before anything was found.
    """
    return _Search(model, value, prove, ceiling, nodes, least).run()


def is_possible(model: Model) -> bool:
    """Whether the relaxation has any solution; where it has none, the case has none."""
    solver = _load(model)
    solver.run()
    return bool(solver.getModelStatus() != highspy.HighsModelStatus.kInfeasible)


_local = threading.local()


def _solver() -> highspy.Highs:
    """One solver per thread: making one costs more than most cases."""
    solver: highspy.Highs | None = getattr(_local, "solver", None)
    if solver is None:
        solver = highspy.Highs()  # type: ignore[no-untyped-call]  # its stubs say nothing
        for name, setting in (
            ("output_flag", False),
            ("presolve", "off"),
            ("solver", "simplex"),
            ("parallel", "off"),
            ("threads", 1),
        ):
            solver.setOptionValue(name, setting)
        _local.solver = solver
    return solver


class _Search:
    def __init__(
        self,
        model: Model,
        value: Callable[[Values], int | None] | None,
        prove: bool,
        ceiling: int | None,
        nodes: int,
        least: int,
    ) -> None:
        self.model = model
        self.value = value
        self.prove = prove
        self.best = ceiling
        self.values: Values | None = None
        if value is None and ceiling is None and (plain := model.plain()) is not None:
            self._consider(plain)
        self.left = nodes
        self.least = least
        self.nodes_max = nodes
        self.slack = float(pieces_of(model.codes)[1]) if model.codes.codes else 0.0
        # Every total is a multiple of this. A proof is checked against all prices, not only those worth considering.
        self.step = 1 if prove or model.codes.codes else gcd(*model.cost) or 1
        self.low = [0] * len(model.cost)
        self.high = list(model.upper)
        self.cuts: dict[tuple[int, int], list[tuple[int, float]]] = {}  # (offer, type) -> the row added for it
        self.counted = False  # whether some node was settled by trying every number, which no dual price proves
        self.open: list[float] = []  # bounds of what the budget left unsolved
        self.root: Leaf | None = None
        self.root_bound: float | None = None
        self.path: list[tuple[int, bool]] = []  # (number, whether on the high side), root first
        self.edges: list[int] = []  # at most, or at least, so many of that number

    def run(self) -> Found:
        self.solver = _load(self.model)
        tree = self._node(0.0)
        if self.open and self.values is None and not (self.model.codes.codes or self.model.must):
            raise TooManyCombinations(pivoting_max=pivoting_max)
        bound = self.best
        if self.open:
            least = self._rounded(min(self.open))
            bound = least if bound is None else min(bound, least)
        total = self.best if self.values is not None else None
        solved = self.nodes_max - self.left
        tree = None if self.counted else tree
        return Found(self.values, total, bound, solved, self.root, self.root_bound, tree)

    # --- one node ---------------------------------------------------------------------------------------------------

    def _node(self, above: float) -> Tree | None:
        """Solve a node and what is under it. `above`: the bound of the node it hangs on."""
        relaxed = self._relaxed()
        if relaxed is None:
            self.open.append(above)
            return None
        solution, bound = relaxed
        leaf = self._leaf(solution, feasible=bound is not None) if self.prove else None
        if not self.path:
            self.root, self.root_bound = leaf, bound
        if bound is None or (self.best is not None and self._rounded(bound) >= self.best):
            return leaf
        numbers = solution.col_value
        at = self._fractional(numbers)
        if at is None:
            values = tuple(int(number + 0.5) for number in numbers)
            self._consider(values)
            if self.best is not None and self._rounded(bound) >= self.best:
                return leaf
            at = self._unsettled(values)
            if at is None:
                if self._shares_vary(values):
                    self.open.append(bound)
                self.counted = True
                return leaf
        return self._branched(at, numbers[at], bound)

    def _branched(self, at: int, number: float, bound: float) -> Tree | None:
        edge = floor(number + _EPSILON)
        if edge >= self.high[at]:
            edge -= 1
        halves: dict[bool, Tree | None] = {}
        # First the side that is nearer: a good answer early cuts the rest off.
        for upper in (number - edge > 0.5, number - edge <= 0.5):
            before = (self.low[at], self.high[at])
            if upper:
                self.low[at] = edge + 1
            else:
                self.high[at] = edge
            self.solver.changeColBounds(at, float(self.low[at]), float(self.high[at]))
            self.path.append((at, upper))
            self.edges.append(edge + upper)
            halves[upper] = self._node(bound)
            self.path.pop()
            self.edges.pop()
            self.low[at], self.high[at] = before
            self.solver.changeColBounds(at, float(before[0]), float(before[1]))
        kind = self.model.numbers[at]
        if isinstance(kind, Applications) and self.model.offers[kind.offer].rule.household:
            self.counted = True  # a feature cannot say in which household
        low, high = halves[False], halves[True]
        if not self.prove or low is None or high is None:
            return None
        return Branch(feature_of(self.model, at), edge, low, high)

    def _relaxed(self) -> tuple[highspy.HighsSolution, float | None] | None:
        """The relaxation of this node and its value (None: it has no solution); None when the budget has ended."""
        work, rows, unsure = self.model.market.work, len(self.model.rows), False
        while self.left > 0 and work.pivoting > 0:
            self.left -= 1
            self.solver.setOptionValue("simplex_iteration_limit", work.pivoting // rows + 1)
            self.solver.run()
            work.pivoting -= max(1, self.solver.getInfo().simplex_iteration_count) * rows
            status = self.solver.getModelStatus()
            if status == highspy.HighsModelStatus.kIterationLimit:
                return None
            solution = self.solver.getSolution()
            if status == highspy.HighsModelStatus.kInfeasible:
                return solution, None
            if status != highspy.HighsModelStatus.kOptimal:
                if unsure:
                    return None
                # Numerically lost on the warm way: once more from the start, then the node stays open.
                unsure = True
                self.solver.clearSolver()
                continue
            if not self._cut(solution.col_value):
                return solution, self.solver.getObjectiveValue()
        return None

    def _cut(self, numbers: list[float]) -> bool:
        """No application holds more of a type than there are: rows for that only where the relaxation forgets it."""
        added = False
        model = self.model
        for offer, at in enumerate(model.applications):
            applications = numbers[at]
            if not _EPSILON < applications < 1 - _EPSILON:
                continue
            for type, seats in model.seats[offer].items():
                people = len(model.kinds.types[type])
                taken = sum(numbers[seat] for seat in seats)
                if taken > people * applications + _EPSILON and (offer, type) not in self.cuts:
                    row = [(at, -float(people)), *((seat, 1.0) for seat in seats)]
                    self.cuts[(offer, type)] = row
                    index = np.array([number for number, _ in row], dtype=np.int32)
                    self.solver.addRow(-UNBOUNDED, 0.0, len(row), index, np.array([entry for _, entry in row]))
                    added = True
        return added

    def _rounded(self, bound: float) -> int:
        """The least possible total above a bound."""
        return max(self.least, ceil((bound - self.slack - 1e-5) / self.step) * self.step)

    def _fractional(self, numbers: list[float]) -> int | None:
        """The number to branch on: applications before seats, the most undecided first; None when all are whole."""
        best: tuple[bool, float, int] | None = None
        for at, number in enumerate(numbers):
            part = number - floor(number)
            if _EPSILON < part < 1 - _EPSILON:
                kind = self.model.numbers[at]
                if isinstance(kind, Excess):
                    continue
                rank = (isinstance(kind, Seats), abs(part - 0.5), at)
                if best is None or rank < best:
                    best = rank
        return None if best is None else best[2]

    def _unsettled(self, values: Values) -> int | None:
        """Whole numbers whose exact total is above the bound (rounding of codes): any number still open, used first."""
        people = len(self.model.kinds.type_of)
        still = [
            at
            for at, kind in enumerate(self.model.numbers)
            if not isinstance(kind, Excess) and self.low[at] < min(self.high[at], people)
        ]
        return min(still, key=lambda at: (values[at] == 0, at), default=None)

    def _shares_vary(self, values: Values) -> bool:
        """Whether several groups share a price while single shares matter: other groups might give other totals."""
        return self.model.codes.gives and any(
            values[at] > 1 and self.model.offers[offer].rule.pool is not None
            for offer, at in enumerate(self.model.applications)
        )

    def _consider(self, values: Values) -> None:
        total = self.value(values) if self.value else sum(a * b for a, b in zip(self.model.cost, values, strict=True))
        if total is not None and (self.best is None or total < self.best):
            self.best, self.values = total, values

    # --- proof ------------------------------------------------------------------------------------------------------

    def _leaf(self, solution: highspy.HighsSolution, *, feasible: bool) -> Leaf:
        """The dual prices of this node as integers; an infeasible node's come from its Farkas ray, large enough."""
        if feasible:
            return leaf_of(self.model, solution.row_dual, solution.col_dual, self.path)
        return self._amplified(leaf_of(self.model, *self._ray(), self.path))

    def _amplified(self, ray: Leaf) -> Leaf:
        """A Farkas ray, taken so many times that the bound it proves is above any total of the case."""
        rows = [(row, keys) for row, keys in self.model.scarce]
        limits = {
            key: self.model.market.capacities[self.model.market.resources[key]] for _, keys in rows for key in keys
        }
        limits |= {("card", *key[1:]): 1 for key, _ in ray.resources if key[0] == "card"}
        gain = sum(ray.people) - sum(price * limits[key] for key, price in ray.resources)
        gain += sum(price * rhs for price, rhs in zip(ray.branches, self.edges, strict=True))
        least = [what[2] for what in baskets(self.model.codes)]
        gain += sum(price * limit for price, limit in zip(ray.basket, least, strict=True))
        dear = sum(max(base for _, base in fares) for fares in self.model.market.fares) + 1
        times = 1 if gain <= 0 else -(-dear * scale // gain) + 1
        return Leaf(
            tuple(price * times for price in ray.people),
            tuple((key, price * times) for key, price in ray.resources),
            tuple(price * times for price in ray.branches),
            (scale, *([0] * (len(ray.pieces) - 1))) if ray.pieces else (),
            tuple(price * times for price in ray.basket),
        )

    def _ray(self) -> tuple[list[float], list[float]]:
        _, found, ray = self.solver.getDualRay()  # type: ignore[attr-defined]  # its stubs leave it out
        count = len(self.model.rows)
        rows = [float(one) for one in ray] if found else [0.0] * (count + len(self.cuts))
        reduced = [-sum(rows[row] * amount for row, amount in entries) for entries in self.model.entries]
        for price, cut in zip(rows[count:], self.cuts.values(), strict=True):
            for number, entry in cut:
                reduced[number] -= price * entry
        return rows[:count], reduced


def _load(model: Model) -> highspy.Highs:
    """The model in a fresh solver."""
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(model.cost), len(model.rows)
    lp.col_cost_ = np.array(model.cost, dtype=np.float64)
    lp.col_lower_ = np.zeros(len(model.cost))
    lp.col_upper_ = np.array(model.upper, dtype=np.float64)
    lp.row_lower_ = np.array([lower for lower, _ in model.rows], dtype=np.float64)
    lp.row_upper_ = np.array([upper for _, upper in model.rows], dtype=np.float64)
    flat = list(chain.from_iterable(model.entries))
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.array([0, *accumulate(map(len, model.entries))], dtype=np.int32)
    lp.a_matrix_.index_ = np.array([row for row, _ in flat], dtype=np.int32)
    lp.a_matrix_.value_ = np.array([amount for _, amount in flat], dtype=np.float64)
    solver = _solver()
    solver.passModel(lp)
    return solver


def leaf_of(model: Model, rows: list[float], reduced: list[float], path: list[tuple[int, bool]]) -> Leaf:
    """Dual prices per person and resource, and per branch above, as integers over `scale`."""

    def whole(number: float) -> int:
        return round(number * scale)

    people = tuple(whole(rows[type]) for type in model.kinds.type_of)
    resources = [(key, max(0, -whole(rows[row]))) for row, keys in model.scarce for key in keys]
    for offer, at in enumerate(model.applications):
        one = model.offers[offer]
        if one.applications_max is not None and reduced[at] < 0 and (at, False) not in path:
            resources += [(("card", one.rule.id, by), -whole(reduced[at])) for by in one.bys]
    total: dict[tuple[str, ...], int] = {}
    for key, price in resources:
        if price:
            total[key] = total.get(key, 0) + price
    branches = [0] * len(path)
    last = {step: depth for depth, step in enumerate(path)}
    for (at, high), depth in last.items():
        price = whole(reduced[at])
        branches[depth] = max(0, price) if high else min(0, price)
    pieces = tuple(max(0, whole(rows[row])) for row in model.piece_rows)
    basket = tuple(max(0, whole(rows[row])) for row in model.basket_rows)
    return Leaf(people, tuple(sorted(total.items())), tuple(branches), pieces, basket)


def feature_of(model: Model, at: int) -> Feature:
    """What a number of the model counts about an assignment."""
    number = model.numbers[at]
    if isinstance(number, Applications):
        offer = model.offers[number.offer]
        return Feature(offer.rule.id, _bys(offer.bys), offer.sizes, offer.pivot)
    if isinstance(number, Listed):
        people = tuple(seat.person for seat in number.column.seats)
        return Feature(number.column.rule, (number.column.by or "",), people=people)
    if not isinstance(number, Seats):
        raise InvariantBroken(number=at)
    people = model.kinds.types[number.type]
    role = None if number.role is None else number.role.name
    if number.offer is not None:
        offer = model.offers[number.offer]
        return Feature(offer.rule.id, _bys(offer.bys), offer.sizes, offer.pivot, True, role, people, number.ticket.name)
    if number.pool is not None:
        bys = tuple(dict.fromkeys(by for by, _ in number.pool.anchors))
        return Feature(number.pool.rule.id, _bys(bys), seats=True, role=role, people=people, ticket=number.ticket.name)
    return Feature(None, seats=True, people=people, ticket=number.ticket.name)


def _bys(bys: tuple[str, ...]) -> tuple[str, ...]:
    return () if bys == ("public",) else bys
