"""Why a card, a code or a public offer is not lawful here: one reason, in the order the task fixes."""

from __future__ import annotations

from tests.discounts.twin.applications import fillings
from tests.discounts.twin.facts import Rule
from tests.discounts.twin.search import Search
from tests.discounts.twin.tickets import in_families, tickets
from tests.discounts.twin.world import World, anchor_of, types


def refusal(world: World, rule: Rule, by: str, search: Search) -> str:
    """The reason for an item that no lawful assignment uses; `search` is the one that tried to."""
    reason = world.rule_fault(rule) or _card(world, rule, by)
    if reason:
        return reason
    if search.offers((rule["id"], by)):
        return "composition"  # it could be used if nothing were scarce
    if rule["scope"] == "self":
        return _personal(world, rule, by)
    if rule["scope"] == "order":
        return _code(world, rule, by, search)
    return _roles(world, rule, by) or _joint(world, rule, by)


def _card(world: World, rule: Rule, by: str) -> str | None:
    """Expired, not started, class: of the first holder, if no holder's card is good."""
    if "card" not in rule["trigger"] or world.holders(rule, by):
        return None
    held = [card for at in world.places for card, name in world.cards(at) if name == by and card["type"] in types(rule)]
    return world.card_fault(held[0])


def _personal(world: World, rule: Rule, by: str) -> str:
    fitting = [place for place in world.holders(rule, by) if world.fits(rule.get("who", {}), place)]
    if not fitting:
        return _ineligible(rule)
    bought = [family for place in fitting for family in world.people[place]["fares"] if family not in world.gated]
    if not any(in_families(rule, family) for family in bought):
        return "fare_family"
    return "no_saving"


def _roles(world: World, rule: Rule, by: str) -> str | None:
    """Anchor first, then the roles as listed, then the size, then whether all of it can be filled at once."""
    anchor, holders = anchor_of(rule), world.holders(rule, by)
    fitting = {}
    for role in rule["roles"]:
        asked = holders if role.get("holds") else world.places
        fitting[role["name"]] = [place for place in asked if world.fits(role.get("who", {}), place)]
    if anchor and not fitting[anchor["name"]]:
        return "missing_anchor"
    riders = [role for role in rule["roles"] if role is not anchor]
    if anchor and not any(fitting[role["name"]] for role in riders):
        return f"missing_{riders[0]['name']}"
    for role in riders:
        if not anchor and len(fitting[role["name"]]) < role["min"]:
            if role.get("holds"):
                return "missing_holder" if len(holders) < role["min"] else _ineligible(rule)
            return f"missing_{role['name']}"
    names = rule.get("size", {}).get("roles", [role["name"] for role in rule["roles"]])
    if len({at for name in names for at in fitting[name]}) < rule.get("size", {}).get("min", 0):
        return "group_size"
    return None if any(True for _ in fillings(world, rule, by)) else "composition"


def _ineligible(rule: Rule) -> str:
    return str(rule.get("who_reason", "holder_ineligible"))


def _joint(world: World, rule: Rule, by: str) -> str:
    """The roles can be filled: either somebody has no fare for it, or it never changes a price."""
    for _, filled in fillings(world, rule, by):
        if all(tickets(world, place, rule, rule["roles"][number], len(filled)) for place, number in filled):
            return "no_saving"
    return "fare_family"


def _code(world: World, rule: Rule, by: str, search: Search) -> str:
    """Fares, then the minimum, then whether it ever takes anything off."""
    [owner] = world.holders(rule, by)
    if not world.fits(rule.get("who", {}), owner):
        return _ineligible(rule)
    baskets = [[amount for amount, marks in basket if rule["id"] in marks] for basket in search.baskets()]
    if not any(baskets):
        return "fare_family"
    order = rule["order"]
    enough = [b for b in baskets if sum(b) >= order.get("min_basket", 0) and len(b) >= order.get("min_items", 0)]
    if not enough:
        return "min_basket"
    return "no_saving"
