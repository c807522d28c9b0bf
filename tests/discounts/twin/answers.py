"""The whole answer: who pays what, by which applications, what was refused and what else would cost."""

from __future__ import annotations

from typing import Any

from tests.discounts.twin.applications import share
from tests.discounts.twin.facts import Rule
from tests.discounts.twin.orders import Code
from tests.discounts.twin.refusals import refusal
from tests.discounts.twin.search import INFINITE, Assignment, Search, used_items
from tests.discounts.twin.world import World

Rules = dict[str, Rule]


def cheapest_total(case: dict[str, Any], rules: Rules) -> int:
    """The total of the cheapest lawful assignment."""
    world = World(case, rules)
    return Search(world, alone_prices(world, rules)).total()


def answer(case: dict[str, Any], rules: Rules) -> dict[str, Any]:
    """The `expected` of a case: total, people, applications, rejected, unused."""
    world = World(case, rules)
    alone = alone_prices(world, rules)
    search = Search(world, alone)
    total = search.total()
    _, chosen = min((_settled(search, alone, *way) for way in search.optima(total)), key=lambda found: found[0])
    assignment, codes, _, _ = chosen
    used = used_items(assignment) | {(code.rule["id"], code.by) for code in codes}
    rejected, unused = [], []
    for rule, by in world.items:
        listed = rule["scope"] != "self" or by != "public"
        if listed and (rule["id"], by) not in used:
            forced = Search(world, alone, (rule["id"], by))
            dearer = forced.total()
            if dearer < INFINITE:
                unused.append([rule["id"], by, dearer - total])
            else:
                rejected.append([rule["id"], by, refusal(world, rule, by, forced)])
    return {
        "total": total,
        "people": _people(world, alone, *chosen),
        "applications": _applications(world, assignment, codes),
        "rejected": sorted(rejected),
        "unused": sorted(unused),
    }


def alone_prices(world: World, rules: Rules) -> list[int]:
    """What each would pay with only what is theirs; a single person's price is the total itself."""
    if len(world.people) == 1:
        return [0]  # nobody to share with, nothing to repair: never looked at
    return [cheapest_total(_alone(world, place), rules) for place in world.places]


def _alone(world: World, place: int) -> dict[str, Any]:
    """The case of one person: rival exclusive codes, contested seats and contested uses belong to nobody."""
    me = world.people[place]
    codes = world.case.get("codes", [])
    order = {rule["id"]: rule for rule in world.rules if rule["scope"] == "order"}
    rivals = any(code["owner"] != me["id"] and code["rule"] in order for code in codes)
    mine = [code for code in codes if code["owner"] == me["id"]]
    kept = [code for code in mine if not (rivals and order.get(code["rule"], {}).get("exclusive"))]
    quota = {name: 0 for name, most in world.quota.items() if most < _wanted(world, name)}
    return {**world.case, "travellers": [me], "codes": kept, "quota": quota}


def _wanted(world: World, name: str) -> int:
    """How many people could want one of these seats or uses for themselves."""
    if not name.startswith("rule:"):
        return sum(name in one["fares"] for one in world.people)
    id = name.removeprefix("rule:")
    if any(rule["id"] == id and rule["scope"] == "joint" for rule in world.rules):
        return len(world.people)
    return sum(any(rule["id"] == id for rule, _ in world.own_rules(place)) for place in world.places)


def _settled(search: Search, alone: list[int], assignment: Assignment, codes: list[Code], taken: Any) -> Any:
    """The tie-break's key of one optimum, and the optimum with faces and pays."""
    off = [sum(parts) for parts in zip(*taken, strict=True)] if taken else [0] * len(alone)
    faces = [amount - part for amount, part in zip(search.amounts(assignment), off, strict=True)]
    pays = _settle(assignment, faces, alone, whole_order=bool(codes)) if len(faces) > 1 else faces
    return _key(search.world, assignment, codes, pays), (assignment, codes, taken, (faces, pays))


def _settle(assignment: Assignment, faces: list[int], alone: list[int], *, whole_order: bool) -> list[int]:
    """Nobody above alone: the excess goes to the others of the same application, by what they still save."""
    pays = list(faces)
    groups = [range(len(faces))] if whole_order else [one.members for one in assignment if len(one.members) > 1]
    for group in groups:
        _repair(pays, group, alone)
    for head in {one.anchor for one in assignment if one.anchor is not None}:
        _repair(pays, [head, *(one.members[0] for one in assignment if one.anchor == head)], alone)
    return pays


def _repair(pays: list[int], group: Any, alone: list[int]) -> None:
    excess = sum(max(0, pays[at] - alone[at]) for at in group)
    if excess == 0:
        return
    order = sorted(group)
    saving = [max(0, alone[at] - pays[at]) for at in order]
    for at, part in zip(order, share(excess, saving), strict=True):
        pays[at] = min(pays[at], alone[at]) + part


def _key(world: World, assignment: Assignment, codes: list[Code], pays: list[int]) -> Any:
    """The seven steps, the codes, then what they leave open: the card the rule lists first, names, the first fare."""
    joint = [one for one in assignment if one.item]
    inside = {place: one for one in joint for place in one.members}
    tickets = {place: one.tickets[at] for one in assignment for at, place in enumerate(one.members)}
    places = [_first(inside[place]) if place in inside else -1 for place in world.places]
    names: list[Any] = [(rule["id"], by) for rule, by in world.items]
    families = [list(world.people[at]["fares"]).index(tickets[at].base_family) for at in world.places]
    return (
        sum(len(one.members) for one in joint),
        len(joint),
        sorted(pays, reverse=True),
        pays,
        [(place not in inside, tickets[place].chain) for place in world.places],
        places,
        len(codes),
        sorted((code.rule["id"], code.by) for code in codes),
        [names.index(inside[place].item) for place in world.places if place in inside],
        _applications(world, assignment, codes),
        families,
    )


def _first(application: Any) -> int:
    return int(application.members[0] if application.anchor is None else application.anchor)


def _applications(world: World, assignment: Assignment, codes: list[Code]) -> list[list[Any]]:
    names = [one["id"] for one in world.people]
    rows: list[list[Any]] = [[code.rule["id"], code.by, [], None] for code in codes]
    for one in assignment:
        if one.item:
            anchor = None if one.anchor is None else names[one.anchor]
            rows.append([*one.item, [names[place] for place in one.members], anchor])
    return sorted(rows, key=lambda row: (*row[:3], row[3] or ""))


def _people(world: World, alone: list[int], assignment: Assignment, codes: list[Code], taken: Any, owed: Any) -> Any:
    faces, pays = owed
    people = {}
    for one in assignment:
        for at, place in enumerate(one.members):
            ticket = one.tickets[at]
            lines = [["fare:" + ticket.base_family, ticket.base], *_changes(world, one, at)]
            lines += [
                [code.rule["id"], -parts[place]] for code, parts in zip(codes, taken, strict=True) if parts[place]
            ]
            if pays[place] != faces[place]:
                lines.append(["settle", pays[place] - faces[place]])
            people[place] = {
                "pay": pays[place],
                "face": faces[place],
                "alone": alone[place] if len(alone) > 1 else pays[place],
                "family": ticket.family,
                "lines": lines,
            }
    return {world.people[place]["id"]: people[place] for place in world.places}


def _changes(world: World, one: Any, at: int) -> list[list[Any]]:
    """What the rules of the chain changed, in their order, and last what the share of a pool differs by."""
    ticket = one.tickets[at]
    lines = [list(line) for line in ticket.lines]
    if one.faces[at] != ticket.price:
        lines.append([one.item[0], one.faces[at] - ticket.price])
    return lines
