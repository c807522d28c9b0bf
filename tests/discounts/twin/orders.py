"""Codes on the whole order: which sets of them are lawful, and what each takes off whose line."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

from tests.discounts.twin.applications import Application, share
from tests.discounts.twin.facts import Rule
from tests.discounts.twin.tickets import in_families, rounded
from tests.discounts.twin.world import World


@dataclass(frozen=True)
class Code:
    """One code somebody brought."""

    rule: Rule
    by: str
    owner: int

    @property
    def order(self) -> tuple[Any, ...]:
        return self.rule["layer"], self.rule["id"], self.owner


def usable_codes(world: World) -> list[Code]:
    """The order codes that nothing but the basket can refuse."""
    found = []
    for rule, by in world.items:
        if rule["scope"] == "order" and world.rule_fault(rule) is None:
            found += [Code(rule, by, at) for at in world.holders(rule, by) if world.fits(rule.get("who", {}), at)]
    return found


def code_sets(codes: list[Code]) -> list[list[Code]]:
    """None at all, one exclusive code by itself, or any set of the others; each in the order of application."""
    sets = [[code] for code in codes if code.rule.get("exclusive")]
    others = [code for code in codes if not code.rule.get("exclusive")]
    for count in range(len(others) + 1):
        sets += [sorted(some, key=lambda code: code.order) for some in combinations(others, count)]
    return sets


def eligible(rule: Rule, application: Application, at: int, joint: Rule | None) -> bool:
    """The line of one member counts for the code; lines of a pooled application stand and fall together."""
    order = rule["order"]
    ticket = application.tickets[at]
    classes = {joint["class"]} if application.pooled and joint else set(ticket.classes)
    if classes & set(order.get("excludes_classes", [])):
        return False
    for families in (rule.get("families", "*"), order.get("families", "*")):
        if families == "*":
            continue
        if application.pooled and joint:
            if ticket.family is None or joint["families"] == "*" or not set(joint["families"]) <= set(families):
                return False
        elif not in_families({"families": families}, ticket.family or ""):
            return False
    return True


def discounts(codes: list[Code], amounts: list[int], marks: list[set[str]]) -> list[list[int]] | None:
    """What each code takes off each line; None if the set is not admissible. `marks` names the rules a line is for."""
    now = list(amounts)
    for code in codes:
        mine = [at for at in range(len(amounts)) if code.rule["id"] in marks[at]]
        order = code.rule["order"]
        if sum(amounts[at] for at in mine) < order.get("min_basket", 0) or len(mine) < order.get("min_items", 0):
            return None
    taken = []
    for code in codes:
        mine = [at for at in range(len(amounts)) if code.rule["id"] in marks[at]]
        off = _discount(code.rule, [now[at] for at in mine])
        if off <= 0:
            return None
        parts = dict(zip(mine, share(off, [now[at] for at in mine]), strict=True))
        taken.append([parts.get(at, 0) for at in range(len(amounts))])
        now = [amount - part for amount, part in zip(now, taken[-1], strict=True)]
    return taken


def _discount(rule: Rule, amounts: list[int]) -> int:
    order, total = rule["order"], sum(amounts)
    most = min(order.get("max_off", total), total)
    if "bp" in order:
        return int(min(total - rounded(Fraction(total * (10_000 - order["bp"]), 10_000), rule.get("round", {})), most))
    if "off" in order:
        return int(min(order["off"], most))
    free = len(amounts) // order["cheapest_free_per"]
    return int(min(sum(sorted(amounts)[:free]), most))
