"""What one person's ticket costs: the base of a fare family, then each rule of the chain by (layer, id).

Each step is effect -> rounding -> floor -> cap -> never above the price before. A floor F means: at or below F there is
no discount; above it the discounted price does not fall under F.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from groupbook.discounts.engine.cases import Facts
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.rules import Bound, Effect, JointRule, Rounding, SelfRule, SingleEffect

chains_max: Final = 4_096
Move = Callable[[int, str, int], int]  # price before, family, counted size -> price after


class Step(NamedTuple):
    rule: str
    delta: int


class Ticket(NamedTuple):
    """One lawful price of one person: the family, the steps that changed it, the price."""

    family: str
    base: int
    price: int
    steps: tuple[Step, ...]
    classes: frozenset[str]
    rank: int

    @property
    def key(self) -> tuple[int, tuple[str, ...], int]:
        return self.price, tuple(step.rule for step in self.steps), self.rank

    @property
    def name(self) -> tuple[str, ...]:
        """The family and the rules that changed its price: what tells one ticket of a person from another."""
        return self.family, *(step.rule for step in self.steps)

    def uses(self, rule: str) -> bool:
        return any(step.rule == rule for step in self.steps)


def move_of(rule: SelfRule | JointRule, effect: Effect | None, facts: Facts, role: str | None) -> Move | None:
    """One rule as a function of the price before it; None when it leaves every price as it is.

    What only depends on the trip (which case of the effect, which floors and caps) is settled here, once.
    """
    resolved = _resolved(effect, facts)
    if resolved is None:
        return None
    floors = [bound for bound in rule.floor if _in_force(bound, facts, role)]
    caps = [bound for bound in rule.cap if _in_force(bound, facts, role)]
    exact = _exact(resolved, facts)
    rounding = rule.round
    if resolved.free and not floors:
        return lambda price, family, size: 0

    def move(price: int, family: str, size: int) -> int:
        raw = exact(price, family, size)
        after = price if raw is None else rounded(*raw, rounding)
        for floor in floors:
            if _covers(floor, family):
                after = price if price <= floor.amount else max(after, floor.amount)
        for cap in caps:
            if _covers(cap, family):
                after = min(after, cap.amount)
        return max(0, min(after, price))

    return move


def _resolved(effect: Effect | None, facts: Facts) -> SingleEffect | None:
    if effect is None or effect.none:
        return None
    if effect.cases is None:
        return effect
    found = next((case for case in effect.cases if facts.all_hold(case.when)), None)
    return None if found is None or found.none else found


def _in_force(bound: Bound, facts: Facts, role: str | None) -> bool:
    return (bound.roles is None or role in bound.roles) and facts.all_hold(bound.when)


def _covers(bound: Bound, family: str) -> bool:
    return family not in bound.not_families and (bound.families is None or family in bound.families)


_Exact = Callable[[int, str, int], tuple[int, int] | None]


def _exact(effect: SingleEffect, facts: Facts) -> _Exact:
    """The price after the bare effect as an exact fraction; None when the effect says nothing here."""
    if effect.free:
        return lambda price, family, size: (0, 1)
    if effect.off is not None:
        off = effect.off
        return lambda price, family, size: (max(0, price - off), 1)
    if effect.price is not None:
        fixed = effect.price
        return lambda price, family, size: (fixed, 1)
    if effect.price_by_size is not None:
        prices = effect.price_by_size
        return lambda price, family, size: None if (row := of_size(prices, size)) is None else (row, 1)
    if effect.price_by_fact is not None:
        amount = effect.price_by_fact.map.get(str(facts.values.get(effect.price_by_fact.fact)))
        return lambda price, family, size: None if amount is None else (amount, 1)
    if effect.bp_by_family is not None:
        by_family = effect.bp_by_family
        return lambda price, family, size: None if (bp := by_family.get(family)) is None else _less(price, bp)
    if effect.bp_by_size is not None:
        by_size = effect.bp_by_size
        return lambda price, family, size: None if (bp := of_size(by_size, size)) is None else _less(price, bp)
    points = effect.bp
    if effect.bp_by_fact is not None:
        points = effect.bp_by_fact.map.get(str(facts.values.get(effect.bp_by_fact.fact)))
    if points is None:
        return lambda price, family, size: None
    kept = 10_000 - points
    return lambda price, family, size: (price * kept, 10_000)


def _less(price: int, bp: int) -> tuple[int, int]:
    return price * (10_000 - bp), 10_000


def of_size(table: Sequence[tuple[int, int]], size: int) -> int | None:
    """The row of the largest size that is reached."""
    reached = [row for row in table if row[0] <= size]
    return max(reached)[1] if reached else None


def rounded(numerator: int, denominator: int, rounding: Rounding | None) -> int:
    """Round an exact amount to the rule's step; halves go up. Without a rule of its own: nearest minor unit."""
    step = rounding.step if rounding else 1
    mode = rounding.mode if rounding else "nearest"
    whole, rest = divmod(numerator, denominator * step)
    if mode == "up":
        whole += rest > 0
    elif mode == "nearest":
        whole += 2 * rest >= denominator * step
    return whole * step


def compatible_sets(own: Sequence[SelfRule], joint: JointRule | None) -> list[tuple[SelfRule, ...]]:
    """Every set of personal rules that may meet on one person (and meet `joint`), the empty one first, in chain order.

    Raises:
        TooManyCombinations: more than `chains_max` sets.
    """
    free = [rule for rule in own if joint is None or (rule.stacks(joint) and joint.stacks(rule))]
    free.sort(key=lambda rule: (rule.layer, rule.id))
    meets = _meetings(free)
    sets: list[tuple[SelfRule, ...]] = [()]
    ending: dict[str, list[tuple[SelfRule, ...]]] = {}  # the sets whose last rule this is
    for rule in free:
        before = [chosen for other in meets[rule.id] for chosen in ending.get(other, ())]
        ending[rule.id] = [(rule,)]
        ending[rule.id] += [(*chosen, rule) for chosen in before if all(other.id in meets[rule.id] for other in chosen)]
        sets += ending[rule.id]
        if len(sets) > chains_max:
            raise TooManyCombinations(chains_max=chains_max)
    return sets


def _meetings(rules: Sequence[SelfRule]) -> dict[str, set[str]]:
    """Which personal rules may meet: each lets the other. Found by class, so that many that never meet cost little."""
    by_class: dict[str, list[SelfRule]] = {}
    for rule in rules:
        by_class.setdefault(rule.rule_class, []).append(rule)
    meets: dict[str, set[str]] = {}
    for rule in rules:
        named = by_class.keys() if "*" in rule.stacks_with else {*rule.stacks_with, "promo"} & by_class.keys()
        others = [other for name in named for other in by_class[name]]
        meets[rule.id] = {
            other.id for other in others if other is not rule and rule.stacks(other) and other.stacks(rule)
        }
    return meets


class Link(NamedTuple):
    """One rule of a chain. A personal discount that saves nothing is void; a joint rule may count without saving."""

    rule: str
    move: Move
    joint: bool


class Chain(NamedTuple):
    """A family with the rules that meet on it, in order: what is the same for everybody who may use them."""

    family: str
    rank: int
    links: tuple[Link, ...]
    classes: frozenset[str]

    def ticket(self, base: int, size: int) -> Ticket | None:
        """The ticket at a full fare, in an application of `size` counted people; None when a discount is void."""
        price, steps = base, []
        for rule, move, joint in self.links:
            after = move(price, self.family, size)
            if after != price:
                steps.append(Step(rule, after - price))
                price = after
            elif not joint:
                return None
        return Ticket(self.family, base, price, tuple(steps), self.classes, self.rank)


def chains(
    families: Sequence[str],
    own: Sequence[SelfRule],
    moves: Callable[[SelfRule], Move | None],
    gated: frozenset[str],
    joint: tuple[JointRule, Move | None] | None = None,
) -> list[Chain]:
    """Every chain of personal rules that may stand on one of these families, alone or together with a joint rule.

    Raises:
        TooManyCombinations: more than `chains_max` sets of personal rules.
    """
    found = []
    rule = joint[0] if joint else None
    for chosen in compatible_sets(own, rule):
        links = _links(chosen, moves, joint)
        if links is None:
            continue
        classes = frozenset([one.rule_class for one in chosen] + ([rule.rule_class] if rule is not None else []))
        opens = any(one.gated for one in chosen) or (rule is not None and rule.gated)
        for rank, family in enumerate(families):
            if family in gated and not opens:
                continue
            if all(one.takes_family(family) for one in chosen) and (rule is None or rule.takes_family(family)):
                found.append(Chain(family, rank, links, classes))
    return found


def _links(
    chosen: Sequence[SelfRule], moves: Callable[[SelfRule], Move | None], joint: tuple[JointRule, Move | None] | None
) -> tuple[Link, ...] | None:
    """The rules in the order in which they apply; None when a personal one can never save anything."""
    placed = []
    for rule in chosen:
        move = moves(rule)
        if move is None:
            return None
        placed.append((rule.layer, rule.id, Link(rule.id, move, False)))
    if joint is not None and joint[1] is not None:
        placed.append((joint[0].layer, joint[0].id, Link(joint[0].id, joint[1], True)))
    return tuple(link for _, _, link in sorted(placed, key=lambda one: one[:2]))
