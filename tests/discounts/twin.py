"""A second way to the optimum, written from the rule text and not from the engine: slow, plain, on raw JSON.

It tries every way to split the party into groups, every rule for every group, every role for every member and every
order-respecting set of personal rules, and keeps the cheapest. Only the total is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product
from typing import Any

Rule = dict[str, Any]


def cheapest_total(case: dict[str, Any], rules: list[Rule]) -> int:
    people = case["travellers"]
    own = [[rule for rule in rules if rule["scope"] == "self" and _may(rule, one)] for one in people]
    joint = [rule for rule in rules if rule["scope"] == "joint" and not _anchor(rule)]
    anchored = [rule for rule in rules if rule["scope"] == "joint" and _anchor(rule)]
    best: int | None = None
    for groups in _partitions(list(range(len(people)))):
        choices = [list(_ways(group, people, own, joint, anchored)) for group in groups]
        for way in product(*choices):
            if not _slots_hold(way, anchored):
                continue
            total = sum(cost for cost, _ in way)
            best = total if best is None else min(best, total)
    assert best is not None
    return best


def _ways(
    group: list[int], people: list[Any], own: list[list[Rule]], joint: list[Rule], anchored: list[Rule]
) -> Iterator[tuple[int, tuple[str, int, str] | None]]:
    if len(group) == 1:
        [person] = group
        yield min(_prices(people[person], own[person], None, None, 0)), None
        for rule, anchor in product(anchored, range(len(people))):
            head = _anchor(rule)
            assert head is not None
            if anchor == person or not _is(head, rule, people[anchor]):
                continue
            for role in rule["roles"]:
                if not role.get("anchor") and _is(role, rule, people[person]):
                    price = min(_prices(people[person], own[person], rule, role, 1))
                    yield price, (rule["id"], anchor, role["name"])
    for rule in joint:
        for roles in product(rule["roles"], repeat=len(group)):
            if all(_is(role, rule, people[one]) for role, one in zip(roles, group, strict=True)) and _fills(
                rule, roles
            ):
                cost = _application(rule, roles, [people[one] for one in group], [own[one] for one in group])
                if cost is not None:
                    yield cost, None


def _application(rule: Rule, roles: Any, members: list[Any], own: list[list[Rule]]) -> int | None:
    prices = [
        min(_prices(one, mine, rule, role, len(roles)), default=None)
        for one, mine, role in zip(members, own, roles, strict=True)
    ]
    if None in prices:
        return None
    if "pool" not in rule:
        return sum(prices)  # type: ignore[arg-type]  # None was excluded above
    pooled = sorted(
        (price for price, role in zip(prices, roles, strict=True) if role.get("pool", True)),  # type: ignore[type-var]
        reverse=True,
    )
    free = sum(price for price, role in zip(prices, roles, strict=True) if not role.get("pool", True))  # type: ignore[misc]
    if rule["pool"]["type"] == "bundle":
        flat = rule["pool"]["table"].get(str(len(pooled)))
        return None if flat is None else flat + free
    kept = len(pooled) - len(pooled) // rule["pool"]["n"] * (rule["pool"]["n"] - rule["pool"]["pay"])
    return sum(pooled[:kept]) + free  # type: ignore[arg-type]


def _prices(one: Any, own: list[Rule], joint: Rule | None, role: Any, size: int) -> Iterator[int]:
    for count in range(len(own) + 1):
        for chosen in combinations(own, count):
            chain = [*chosen, *([joint] if joint else [])]
            if any(not (_allows(a, b) and _allows(b, a)) for a, b in combinations(chain, 2)):
                continue
            for family, base in one["fares"].items():
                if any(rule["families"] != "*" and family not in rule["families"] for rule in chain):
                    continue
                price = base
                for rule in sorted(chain, key=lambda rule: (rule["layer"], rule["id"])):
                    effect = (role.get("effect") if rule is joint else rule["effect"]) or {"none": True}
                    name = role["name"] if rule is joint else None
                    price = _after(rule, effect, price, name, size)
                yield price


def _after(rule: Rule, effect: dict[str, Any], price: int, role: str | None, size: int) -> int:
    if "free" in effect:
        return 0
    if "none" in effect:
        return price
    points = effect.get("bp")
    if "bp_by_size" in effect:
        points = max([bp for least, bp in effect["bp_by_size"] if least <= size], default=0)
    assert points is not None
    exact = Fraction(price * (10_000 - points), 10_000)
    step = rule.get("round", {}).get("step", 1)
    steps = exact / step
    down = steps.numerator // steps.denominator
    if rule.get("round", {}).get("mode", "nearest") == "nearest" and steps - down >= Fraction(1, 2):
        down += 1
    new = down * step
    for floor in rule.get("floor", []):
        if role is None or role in floor.get("roles", [role]):
            new = price if price <= floor["amount"] else max(new, floor["amount"])
    for cap in rule.get("cap", []):
        new = min(new, cap["amount"])
    return int(min(new, price))


def _allows(one: Rule, other: Rule) -> bool:
    listed = other["class"] in one["stacks_with"] or "*" in one["stacks_with"]
    return listed or (other["class"] == "promo" and not one.get("no_promo"))


def _may(rule: Rule, one: Any) -> bool:
    return _age(rule.get("who", {}), one) and ("card" not in rule["trigger"] or rule["trigger"]["card"] in _types(one))


def _is(role: Any, rule: Rule, one: Any) -> bool:
    return _age(role.get("who", {}), one) and (not role.get("holds") or rule["trigger"]["card"] in _types(one))


def _age(who: dict[str, Any], one: Any) -> bool:
    low, high = who.get("age", [0, None])
    return bool(one["age"] >= low and (high is None or one["age"] <= high))


def _types(one: Any) -> set[str]:
    return {card["type"] for card in one["cards"]}


def _anchor(rule: Rule) -> Any:
    return next((role for role in rule["roles"] if role.get("anchor")), None)


def _fills(rule: Rule, roles: Any) -> bool:
    names = [role["name"] for role in roles]
    if any(not role["min"] <= names.count(role["name"]) <= role["max"] for role in rule["roles"]):
        return False
    size = rule.get("size", {"min": 0, "max": 99})
    counted = [name for name in names if name in size.get("roles", names)]
    return bool(size["min"] <= len(counted) <= size["max"])


def _slots_hold(ways: Any, anchored: list[Rule]) -> bool:
    used: dict[tuple[str, int, str], int] = {}
    for _, slot in ways:
        if slot is not None:
            used[slot] = used.get(slot, 0) + 1
    capacity = {(rule["id"], name): slots for rule in anchored for name, slots in _anchor(rule)["capacity"].items()}
    return all(count <= capacity[id, role] for (id, _, role), count in used.items())


def _partitions(people: list[int]) -> Iterator[list[list[int]]]:
    if not people:
        yield []
        return
    first, rest = people[0], people[1:]
    for count in range(len(rest) + 1):
        for others in combinations(rest, count):
            remaining = [one for one in rest if one not in others]
            for tail in _partitions(remaining):
                yield [[first, *others], *tail]
