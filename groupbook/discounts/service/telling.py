"""What a price may tell the person who pays it: whose doing each line is, and with how many others it was earned.

A line that somebody else's card brings keeps that card's name to itself: the name is for its holder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from sqlalchemy.orm import Session

from groupbook.discounts.domain import Line, LineKind, RuleName
from groupbook.discounts.engine import Priced, Traveler
from groupbook.discounts.engine.rules import JointRule, Rule
from groupbook.discounts.service.catalogues import rules_on
from groupbook.kit.money import Money

# A rule of these kinds is told to the person by its name.
_NAMED = frozenset({"card", "offer", "group", "flat", "code"})


def rule_names(session: Session, on: date) -> dict[str, RuleName]:
    """The merchant's own words for the rules of a day, and the cards that bring them. A step."""
    rules = rules_on(session, on)[0].executable
    return {id: RuleName(rule.title or "", rule.trigger.cards) for id, rule in rules.items()}


def line_of(
    what: str,
    delta: int,
    traveler: Traveler,
    rules: Mapping[str, Rule],
    priced: Priced,
    codes: Collection[tuple[str, str]],
) -> Line:
    """One step of a price with its kind, for the traveler it belongs to."""
    amount = Money(delta, priced.currency)
    if what.startswith("fare:"):
        return Line(what, amount, "fare")
    if what not in rules:
        return Line(what, amount, "settle")
    rule = rules[what]
    return Line(what, amount, _kind(rule, traveler, codes), _others(rule, traveler, priced))


def _kind(rule: Rule, traveler: Traveler, codes: Collection[tuple[str, str]]) -> LineKind:
    if rule.trigger.code:
        return "code" if (rule.id, traveler.id) in codes else "shared_code"
    if rule.trigger.cards:
        return "company" if {card.type for card in traveler.cards}.isdisjoint(rule.trigger.cards) else "card"
    if isinstance(rule, JointRule):
        return "group" if rule.pool is None else "flat"
    return "offer"


def _others(rule: Rule, traveler: Traveler, priced: Priced) -> int:
    """How many people share the application that brings this line; somebody who must only be present counts."""
    for one in priced.applications:
        people = {*one.members, *((one.anchor,) if one.anchor else ())}
        if one.rule == rule.id and traveler.id in people:
            return len(people) - 1
    return 0


def clash(rule: Rule, lines: Sequence[Line], rules: Mapping[str, Rule]) -> str | None:
    """The first rule on somebody's price that this one may not meet, among those they are told by name."""
    for line in lines:
        if line.kind in _NAMED and not (rule.stacks(rules[line.what]) and rules[line.what].stacks(rule)):
            return line.what
    return None
