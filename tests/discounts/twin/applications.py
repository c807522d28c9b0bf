"""Every lawful way to put people together under one rule, with what each of them then pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from tests.discounts.twin.facts import Rule, first_failure
from tests.discounts.twin.tickets import Ticket, rounded, tickets
from tests.discounts.twin.world import Item, World, anchor_of

Filling = tuple[int | None, tuple[tuple[int, int], ...]]  # the anchor; (place, number of the role) in party order
Signature = Callable[[Ticket, Rule | None], Any]


@dataclass(frozen=True)
class Application:
    """Somebody's own ticket (`item` None), one beneficiary of an anchor, or a filled joint rule."""

    item: Item | None
    members: tuple[int, ...]
    anchor: int | None
    role: str | None  # of the beneficiary, for the anchor's slots
    tickets: tuple[Ticket, ...]
    faces: tuple[int, ...]
    pooled: bool

    @property
    def cost(self) -> int:
        return sum(self.faces)


def fillings(world: World, rule: Rule, by: str) -> Iterator[Filling]:
    """Every filling of the roles by distinct people that the rule's own words allow, before any fare."""
    roles, anchor = rule["roles"], anchor_of(rule)
    fits = [[_fits(world, rule, by, role, place) for role in roles] for place in world.places]
    if anchor:
        for head, place in product(world.places, world.places):
            for number, role in enumerate(roles):
                if head != place and role is not anchor and fits[head][roles.index(anchor)] and fits[place][number]:
                    found = (head, ((place, number),))
                    if _linked(world, rule, found):
                        yield found
        return
    options = [[None, *(number for number in range(len(roles)) if fits[place][number])] for place in world.places]
    most = [role["max"] for role in roles]
    for filled in _assign(options, most):
        names = [roles[number]["name"] for _, number in filled]
        enough = all(names.count(role["name"]) >= role["min"] for role in roles)
        size = rule.get("size", {})
        counts = size.get("min", 1) <= counted(rule, names) <= size.get("max", len(names))
        if filled and enough and counts and _linked(world, rule, (None, filled)):
            yield None, filled


def _assign(options: list[Any], most: list[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Everybody out or in one role, no role above its maximum."""

    def go(place: int, left: tuple[int, ...], done: tuple[tuple[int, int], ...]) -> Iterator[Any]:
        if place == len(options):
            yield done
            return
        for number in options[place]:
            if number is None:
                yield from go(place + 1, left, done)
            elif left[number]:
                fewer = tuple(free - (at == number) for at, free in enumerate(left))
                yield from go(place + 1, fewer, (*done, (place, number)))

    return go(0, tuple(most), ())


def counted(rule: Rule, names: list[str]) -> int:
    """How many of the filled roles make up the size."""
    return sum(name in rule.get("size", {}).get("roles", names) for name in names)


def _fits(world: World, rule: Rule, by: str, role: Any, place: int) -> bool:
    return world.fits(role.get("who", {}), place) and (not role.get("holds") or place in world.holders(rule, by))


def _linked(world: World, rule: Rule, filling: Filling) -> bool:
    """Kinship, household and the conditions on the finished application."""
    head, filled = filling
    anchor = anchor_of(rule)
    named = [(rule["roles"][number]["name"], place) for place, number in filled]
    if anchor and head is not None:
        named.append((anchor["name"], head))
    if "kin" in rule:
        elders = [place for name, place in named if name == rule["kin"]["of"]]
        for name, place in named:
            if name == rule["kin"]["role"] and not any(world.related(rule, place, elder) for elder in elders):
                return False
    if rule.get("household") == "same" and not world.one_household([place for _, place in named]):
        return False
    counts = {f"n_{role['name']}": sum(name == role["name"] for name, _ in named) for role in rule["roles"]}
    facts = {**world.facts, "n": len(filled), **counts}
    return first_failure(rule.get("app_when", []), facts) is None


def joint_applications(world: World, rule: Rule, by: str, signature: Signature, alone: list[int]) -> list[Application]:
    """The applications of one joint rule that change somebody's price."""
    found: dict[Application, None] = {}
    cache: dict[Any, list[Ticket]] = {}
    for head, filled in fillings(world, rule, by):
        size = counted(rule, [rule["roles"][number]["name"] for _, number in filled])
        choices = []
        for place, number in filled:
            key = place, number, size
            if key not in cache:
                role = rule["roles"][number]
                cache[key] = cheapest(tickets(world, place, rule, role, size), rule, signature)
            choices.append(cache[key])
        for chosen in product(*choices):
            application = _application(rule, by, head, filled, chosen, alone)
            if application is not None:
                found[application] = None
    return list(found)


def own_tickets(world: World, place: int, signature: Signature) -> list[Application]:
    """What the person can buy without anybody."""
    kept = cheapest(tickets(world, place), None, signature)
    return [Application(None, (place,), None, None, (ticket,), (ticket.price,), False) for ticket in kept]


def cheapest(found: list[Ticket], rule: Rule | None, signature: Signature) -> list[Ticket]:
    """Of tickets that nothing but the price tells apart, the cheapest; of equals with the same rules, the first."""
    best: dict[Any, int] = {}
    for ticket in found:
        key = signature(ticket, rule)
        best[key] = min(best.get(key, ticket.price), ticket.price)
    kept: dict[Any, Ticket] = {}
    for ticket in found:
        key = signature(ticket, rule)
        if ticket.price == best[key]:
            kept.setdefault((key, ticket.chain), ticket)
    return list(kept.values())


def _application(rule: Rule, by: str, head: Any, filled: Any, chosen: Any, alone: list[int]) -> Application | None:
    roles = [rule["roles"][number] for _, number in filled]
    members = tuple(place for place, _ in filled)
    faces = [ticket.price for ticket in chosen]
    saves = sum(ticket.joint_saving for ticket in chosen) > 0 or bool(rule.get("gated"))
    if "pool" in rule:
        inside = [at for at, role in enumerate(roles) if role.get("pool", True)]
        price = pool_price(rule, [faces[at] for at in inside])
        if price is None:
            return None
        saves = saves or rule["pool"]["type"] == "bundle" or price < sum(faces[at] for at in inside)
        for at, part in zip(inside, share(price, [alone[members[at]] for at in inside]), strict=True):
            faces[at] = part
    if not saves:
        return None
    role = roles[0]["name"] if head is not None else None
    return Application((rule["id"], by), members, head, role, chosen, tuple(faces), "pool" in rule)


def pool_price(rule: Rule, prices: list[int]) -> int | None:
    """What the pooled members cost together; None if the table knows no such number."""
    pool = rule["pool"]
    if pool["type"] == "bundle":
        return pool["table"].get(str(len(prices)))  # type: ignore[no-any-return]
    if pool["type"] == "pay_for":
        free = len(prices) // pool["n"] * (pool["n"] - pool["pay"])
        return sum(sorted(prices)[free:])
    part = 10_000 - pool["bp"]
    lower = [min(price, rounded(Fraction(price * part, 10_000), rule.get("round", {}))) for price in prices]
    savings = sorted(price - new for price, new in zip(prices, lower, strict=True))
    return sum(prices) - sum(savings[pool["from"] - 1 :])  # the party says who comes first


def share(total: int, weights: list[int]) -> list[int]:
    """`total` in proportion to the weights, the leftover to the largest remainders, earlier people first."""
    if sum(weights) == 0:
        weights = [1] * len(weights)
    parts = [divmod(total * weight, sum(weights)) for weight in weights]
    left = total - sum(whole for whole, _ in parts)
    lucky = sorted(range(len(weights)), key=lambda at: (-parts[at][1], at))[:left]
    return [whole + (at in lucky) for at, (whole, _) in enumerate(parts)]
