"""What one person's ticket costs: the base of a fare family, then each rule of the chain by (layer, id).

Each step is effect -> rounding -> floor -> cap -> never above the price before. A floor F means: at or below F there is
no discount; above it the discounted price does not fall under F.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from groupbook.discounts.engine.cases import Facts
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.rules import Bound, Effect, JointRule, Role, Rounding, SelfRule, SingleEffect

chains_max: Final = 4_096


@dataclass(frozen=True)
class Own:
    """A personal rule that this person may use, by this card or code."""

    rule: SelfRule
    by: str


@dataclass(frozen=True)
class Step:
    rule: str
    by: str
    delta: int


@dataclass(frozen=True)
class Ticket:
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

    def uses(self, rule: str, by: str) -> bool:
        return any(step.rule == rule and step.by == by for step in self.steps)


def stepped(
    rule: SelfRule | JointRule, effect: Effect, price: int, *, family: str, facts: Facts, size: int, role: str | None
) -> int:
    """The price after one rule."""
    after = price if (raw := _raw(effect, price, family, facts, size)) is None else _rounded(raw, rule.round)
    for floor in rule.floor:
        if _applies(floor, family, facts, role):
            after = price if price <= floor.amount else max(after, floor.amount)
    for cap in rule.cap:
        if _applies(cap, family, facts, role):
            after = min(after, cap.amount)
    return max(0, min(after, price))


def _applies(bound: Bound, family: str, facts: Facts, role: str | None) -> bool:
    if bound.roles is not None and role not in bound.roles:
        return False
    if family in bound.not_families or (bound.families is not None and family not in bound.families):
        return False
    return facts.all_hold(bound.when)


def _raw(effect: SingleEffect, price: int, family: str, facts: Facts, size: int) -> tuple[int, int] | None:
    """The price after the bare effect as an exact fraction; None when the effect says nothing here."""
    if isinstance(effect, Effect) and effect.cases is not None:
        for case in effect.cases:
            if facts.all_hold(case.when):
                return _raw(case, price, family, facts, size)
        return None
    if effect.free:
        return 0, 1
    if effect.off is not None:
        return max(0, price - effect.off), 1
    if effect.price is not None:
        return effect.price, 1
    if effect.price_by_size is not None:
        amount = _of_size(effect.price_by_size, size)
        return None if amount is None else (amount, 1)
    if effect.price_by_fact is not None:
        amount = effect.price_by_fact.map.get(str(facts.values.get(effect.price_by_fact.fact)))
        return None if amount is None else (amount, 1)
    bp = effect.bp
    if effect.bp_by_family is not None:
        bp = effect.bp_by_family.get(family)
    elif effect.bp_by_size is not None:
        bp = _of_size(effect.bp_by_size, size)
    elif effect.bp_by_fact is not None:
        bp = effect.bp_by_fact.map.get(str(facts.values.get(effect.bp_by_fact.fact)))
    return None if bp is None else (price * (10_000 - bp), 10_000)


def _of_size(table: Sequence[tuple[int, int]], size: int) -> int | None:
    reached = [row for row in table if row[0] <= size]
    return max(reached)[1] if reached else None


def _rounded(fraction: tuple[int, int], rounding: Rounding | None) -> int:
    """Round an exact amount to the rule's step; halves go up. Without a rule of its own: nearest minor unit."""
    numerator, denominator = fraction
    step = rounding.step if rounding else 1
    mode = rounding.mode if rounding else "nearest"
    whole, rest = divmod(numerator, denominator * step)
    if mode == "up":
        whole += rest > 0
    elif mode == "nearest":
        whole += 2 * rest >= denominator * step
    return whole * step


def compatible_sets(own: Sequence[Own], joint: JointRule | None) -> list[tuple[Own, ...]]:
    """Every set of personal rules that may meet on one person (and meet `joint`), the empty one first.

    Raises:
        TooManyCombinations: more than `chains_max` sets.
    """
    free = [one for one in own if joint is None or (one.rule.stacks(joint) and joint.stacks(one.rule))]
    if joint is not None and joint.pool is not None:
        # A pooled price belongs to the whole application: nothing personal can come after it.
        free = [one for one in free if (one.rule.layer, one.rule.id) < (joint.layer, joint.id)]
    sets: list[tuple[Own, ...]] = [()]
    for one in sorted(free, key=lambda own: (own.rule.layer, own.rule.id, own.by)):
        sets += [(*chosen, one) for chosen in sets if all(_meet(one, other) for other in chosen)]
        if len(sets) > chains_max:
            raise TooManyCombinations(chains_max=chains_max)
    return sets


def _meet(one: Own, other: Own) -> bool:
    return one.rule.id != other.rule.id and one.rule.stacks(other.rule) and other.rule.stacks(one.rule)


def tickets(
    fares: Sequence[tuple[str, int]],
    sets: Iterable[tuple[Own, ...]],
    facts: Facts,
    *,
    gated: frozenset[str],
    joint: tuple[JointRule, str, Role, int] | None = None,
) -> Iterator[Ticket]:
    """Every ticket this person may have, alone or in a role of a joint rule. A discount that saves nothing is void."""
    for chosen in sets:
        for rank, (family, base) in enumerate(fares):
            gates = [one.rule for one in chosen if one.rule.gated]
            if family in gated and not gates and (joint is None or not joint[0].gated):
                continue
            if not all(one.rule.takes_family(family) for one in chosen):
                continue
            if joint is not None and not joint[0].takes_family(family):
                continue
            ticket = _chained(chosen, family, base, rank, facts, joint)
            if ticket is not None:
                yield ticket


def _chained(
    chosen: tuple[Own, ...],
    family: str,
    base: int,
    rank: int,
    facts: Facts,
    joint: tuple[JointRule, str, Role, int] | None,
) -> Ticket | None:
    chain: list[tuple[int, str, SelfRule | JointRule, Effect | None, str]] = [
        (one.rule.layer, one.rule.id, one.rule, one.rule.effect, one.by) for one in chosen
    ]
    role, size = (joint[2], joint[3]) if joint else (None, 0)
    if joint is not None:
        chain.append((joint[0].layer, joint[0].id, joint[0], joint[2].effect, joint[1]))
    price, steps = base, []
    for _, _, rule, effect, by in sorted(chain, key=lambda link: link[:2]):
        is_joint = joint is not None and rule is joint[0]
        before = price
        if effect is not None and not effect.none:
            name = role.name if is_joint and role else None
            price = stepped(rule, effect, price, family=family, facts=facts, size=size, role=name)
        if price == before and not is_joint:
            return None
        if price != before:
            steps.append(Step(rule.id, by, price - before))
    classes = frozenset(rule.rule_class for _, _, rule, _, _ in chain)
    return Ticket(family, base, price, tuple(steps), classes, rank)


def cheapest(options: Iterable[Ticket]) -> Ticket | None:
    return min(options, key=lambda ticket: ticket.key, default=None)
