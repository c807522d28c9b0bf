"""What one person's ticket can cost: every family, every set of personal rules, one joint rule at most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

from tests.discounts.twin.facts import Rule, first_failure
from tests.discounts.twin.world import Item, World


@dataclass(frozen=True)
class Ticket:
    """One way to price one person. `family` is None on a flat ticket."""

    family: str | None
    base_family: str
    base: int
    price: int
    lines: tuple[tuple[str, int], ...]  # what each rule of the chain changed, in order; nothing is left out but zeros
    chain: tuple[str, ...]  # rule ids in order, the joint rule too
    classes: frozenset[str]
    uses: frozenset[Item]  # the personal rules in it
    joint_saving: int  # what the joint rule itself took off


def tickets(world: World, place: int, rule: Rule | None = None, role: Any = None, size: int = 0) -> list[Ticket]:
    """All lawful tickets of a person, alone or in `role` of a joint `rule` of `size` counted people."""
    if rule is not None and rule.get("pool", {}).get("type") == "bundle":
        return _flat(world, place, rule, role)
    own = world.own_rules(place)
    found = []
    for family, base in world.people[place]["fares"].items():
        for chosen in _subsets(own):
            ids = [one["id"] for one, _ in chosen]
            chain = [one for one, _ in chosen] + ([rule] if rule else [])
            if len(set(ids)) == len(ids) and _meets(world, family, chain, rule) and _stack(chain):
                ticket = _price(world, family, base, chosen, rule, role, size)
                if ticket is not None:
                    found.append(ticket)
    return found


def _flat(world: World, place: int, rule: Rule, role: Any) -> list[Ticket]:
    """On a flat ticket nothing of one's own counts; the line shows the fare that would cost the person least."""
    fares = world.people[place]["fares"]
    lawful = [family for family in fares if family not in world.gated and in_families(rule, family)]
    if not lawful:
        return []
    price_of = dict(fares)
    if not role.get("pool", True):
        effect = role.get("effect", {})
        price_of = {name: after(world, rule, effect, fares[name], name, role["name"], 0) for name in lawful}
    family = min(lawful, key=lambda name: price_of[name])
    base, price = fares[family], price_of[family]
    lines = ((rule["id"], price - base),) if price != base else ()
    classes = frozenset({rule["class"]})
    return [Ticket(None, family, base, price, lines, (rule["id"],), classes, frozenset(), base - price)]


def _subsets(own: list[Any]) -> Iterator[tuple[Any, ...]]:
    for count in range(len(own) + 1):
        yield from combinations(own, count)


def in_families(rule: Rule, family: str) -> bool:
    families = rule.get("families", "*")
    return families == "*" or family in families


def _meets(world: World, family: str, chain: list[Rule], joint: Rule | None) -> bool:
    """Every rule knows the family, and a gated family is bought only inside its own offer."""
    if family in world.gated and not (joint and joint.get("gated") and joint["families"] != "*"):
        return False
    return all(in_families(rule, family) for rule in chain)


def _stack(chain: list[Rule]) -> bool:
    return all(_allows(one, other) and _allows(other, one) for one, other in combinations(chain, 2))


def _allows(one: Rule, other: Rule) -> bool:
    listed = other["class"] in one["stacks_with"] or "*" in one["stacks_with"]
    return listed or (other["class"] == "promo" and not one.get("no_promo"))


def _price(world: World, family: str, base: int, chosen: Any, joint: Rule | None, role: Any, size: int) -> Any:
    """The chain applied by layer and id; None if one of the personal rules saves nothing, for then it is void."""
    chain = [rule for rule, _ in chosen] + ([joint] if joint else [])
    chain.sort(key=lambda rule: (rule["layer"], rule["id"]))
    price, lines, joint_saving = base, [], 0
    for rule in chain:
        if joint is not None and rule is joint:
            effect = {} if "pool" in joint else role.get("effect", {})
            new = after(world, joint, effect, price, family, role["name"], size)
            joint_saving = price - new
        else:
            new = after(world, rule, rule["effect"], price, family, None, 0)
            if new == price:
                return None
        if new != price:
            lines.append((rule["id"], new - price))
        price = new
    return Ticket(
        family,
        family,
        base,
        price,
        tuple(lines),
        tuple(rule["id"] for rule in chain),
        frozenset(rule["class"] for rule in chain),
        frozenset((rule["id"], by) for rule, by in chosen),
        joint_saving,
    )


def after(world: World, rule: Rule, effect: Any, price: int, family: str, role: str | None, size: int) -> int:
    """Effect, rounding, floor, cap, and never above the price before."""
    exact = _effect(world, effect, price, family, size)
    if exact is None:
        return price
    new = rounded(exact, rule.get("round", {}))
    for floor in rule.get("floor", []):
        if _concerns(world, floor, family, role):
            new = price if price <= floor["amount"] else max(new, floor["amount"])
    for cap in rule.get("cap", []):
        if _concerns(world, cap, family, role):
            new = min(new, cap["amount"])
    return min(new, price)


def _effect(world: World, effect: Any, price: int, family: str, size: int) -> Fraction | None:
    """The exact new price, or None where the effect says nothing."""
    if "cases" in effect:
        for one in effect["cases"]:
            if first_failure(one["when"], world.facts) is None:
                return _effect(world, {name: one[name] for name in one if name != "when"}, price, family, size)
        return None
    if effect.get("free"):
        return Fraction(0)
    if "off" in effect:
        return Fraction(max(0, price - effect["off"]))
    for kind in ("bp", "price"):
        given = effect.get(kind)
        if f"{kind}_by_family" in effect:
            given = effect[f"{kind}_by_family"].get(family)
        if f"{kind}_by_size" in effect:
            reached = [amount for least, amount in sorted(effect[f"{kind}_by_size"]) if least <= size]
            given = reached[-1] if reached else None
        if f"{kind}_by_fact" in effect:
            table = effect[f"{kind}_by_fact"]
            given = table["map"].get(str(world.facts.get(table["fact"])))
        if given is not None:
            return Fraction(given) if kind == "price" else Fraction(price * (10_000 - given), 10_000)
    return None


def rounded(exact: Fraction, how: dict[str, Any]) -> int:
    """To a multiple of the step: down, up, or to the nearest with halves up."""
    steps = exact / how.get("step", 1)
    mode = how.get("mode", "nearest")
    shift = {"down": Fraction(0), "nearest": Fraction(1, 2)}.get(mode)
    whole = -(-steps // 1) if shift is None else (steps + shift) // 1
    return int(whole * how.get("step", 1))


def _concerns(world: World, limit: dict[str, Any], family: str, role: str | None) -> bool:
    return (
        first_failure(limit.get("when", []), world.facts) is None
        and family not in limit.get("not_families", [])
        and ("roles" not in limit or role in limit["roles"])
    )
