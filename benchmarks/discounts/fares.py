"""What one seat costs, read from the rules a second time and without the engine's interpreter.

Every set of personal rules that may meet is tried on every fare. Only the shapes of the measured rule sets are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from groupbook.discounts.engine.cases import Facts
from groupbook.discounts.engine.rules import Bound, Effect, JointRule, Role, SelfRule


class Price(NamedTuple):
    amount: int
    classes: frozenset[str]


def prices(
    fares: Sequence[tuple[str, int]],
    own: Sequence[SelfRule],
    facts: Facts,
    gated: frozenset[str],
    joint: tuple[JointRule, Role, int] | None = None,
) -> Iterator[Price]:
    """Every lawful price of one person: alone, or in a role of a joint rule of so many people."""
    for chosen in _meeting(own, None if joint is None else joint[0]):
        rules = [*chosen, *([joint[0]] if joint else [])]
        for family, base in fares:
            if not all(rule.takes_family(family) for rule in rules):
                continue
            if family in gated and not any(rule.gated for rule in rules):
                continue
            amount = _chained(base, family, chosen, facts, joint)
            if amount is not None:
                yield Price(amount, frozenset(rule.rule_class for rule in rules))


def _meeting(own: Sequence[SelfRule], joint: JointRule | None) -> Iterator[tuple[SelfRule, ...]]:
    free = [rule for rule in own if joint is None or (rule.stacks(joint) and joint.stacks(rule))]
    for count in range(len(free) + 1):
        for chosen in combinations(free, count):
            if all(one.stacks(other) and other.stacks(one) for one, other in combinations(chosen, 2)):
                yield chosen


def _chained(
    base: int, family: str, chosen: Sequence[SelfRule], facts: Facts, joint: tuple[JointRule, Role, int] | None
) -> int | None:
    """The fare after each rule by (layer, id); None when a personal discount would save nothing."""
    amount = base
    links: list[tuple[SelfRule | JointRule, Effect | None]] = [(rule, rule.effect) for rule in chosen]
    if joint is not None:
        links.append((joint[0], joint[1].effect))
    for rule, effect in sorted(links, key=lambda link: (link[0].layer, link[0].id)):
        role, size = (joint[1].name, joint[2]) if joint is not None and rule is joint[0] else (None, 0)
        after = amount if effect is None else _after(rule, effect, amount, family, facts, role, size)
        if after == amount and role is None:
            return None
        amount = after
    return amount


def _after(
    rule: SelfRule | JointRule, effect: Effect, amount: int, family: str, facts: Facts, role: str | None, size: int
) -> int:
    """Effect, rounding, floor, cap; never above the price before."""
    points = _points(effect, family, facts, size)
    if points is None:
        return amount
    after = _rounded(amount * (10_000 - points), 10_000, rule)

    def holds(bound: Bound) -> bool:
        about = (bound.roles is None or role in bound.roles) and family not in bound.not_families
        return about and (bound.families is None or family in bound.families) and facts.all_hold(bound.when)

    for floor in filter(holds, rule.floor):
        after = amount if amount <= floor.amount else max(after, floor.amount)
    for cap in filter(holds, rule.cap):
        after = min(after, cap.amount)
    return min(after, amount)


def _points(effect: Effect, family: str, facts: Facts, size: int) -> int | None:
    """The basis points off; None when the effect says nothing here."""
    if effect.none:
        return None
    if effect.free:
        return 10_000
    if effect.bp_by_family is not None:
        return effect.bp_by_family.get(family)
    if effect.bp_by_size is not None:
        return max((row for row in effect.bp_by_size if row[0] <= size), default=(0, None))[1]
    if effect.bp_by_fact is not None:
        return effect.bp_by_fact.map.get(str(facts.values.get(effect.bp_by_fact.fact)))
    if effect.bp is None:
        raise ValueError("not among the effects measured here")
    return effect.bp


def _rounded(numerator: int, denominator: int, rule: SelfRule | JointRule) -> int:
    step, mode = (rule.round.step, rule.round.mode) if rule.round else (1, "nearest")
    whole, rest = divmod(numerator, denominator * step)
    if mode == "up":
        whole += rest > 0
    elif mode == "nearest":
        whole += 2 * rest >= denominator * step
    return whole * step
