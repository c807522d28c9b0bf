"""One case as the twin sees it: who holds what, who fits where, which rule may be used at all."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from tests.discounts.twin.facts import Facts, Rule, age_of, facts_of, first_failure

Item = tuple[str, str]  # rule id and by: a card, a code or the public offer


class World:
    """A case with its rules looked up. Everything is indexed by place in the party."""

    def __init__(self, case: dict[str, Any], rules: dict[str, Rule]) -> None:
        self.case = case
        self.people: list[dict[str, Any]] = case["travellers"]
        self.places = range(len(self.people))
        self.rules = [rules[id] for id in case["rules"]]
        self.facts: Facts = facts_of(case)
        self.ages: list[int] = self.facts["ages"]
        self.codes: list[Item] = [(code["rule"], f"code@{code['owner']}") for code in case.get("codes", [])]
        self.quota: dict[str, int] = case.get("quota", {})
        self.gated = {family for rule in self.rules if rule.get("gated") for family in rule["families"]}

    @cached_property
    def items(self) -> list[tuple[Rule, str]]:
        """All that can be refused or used, by rule and by: also the public personal ones, which are never listed."""
        found = []
        for rule in self.rules:
            if "public" in rule["trigger"]:
                found.append((rule, "public"))
            elif "code" in rule["trigger"]:
                found += [(rule, by) for id, by in self.codes if id == rule["id"]]
            else:
                held = [found for place in self.places for found in self.cards(place)]
                named = [by for type in types(rule) for card, by in held if card["type"] == type]
                found += [(rule, by) for by in dict.fromkeys(named)]
        return found

    def cards(self, place: int) -> list[tuple[dict[str, Any], str]]:
        """The cards of one person, each with its name."""
        one = self.people[place]
        return [(card, card.get("id") or f"{card['type']}@{one['id']}") for card in one.get("cards", [])]

    def holders(self, rule: Rule, by: str) -> list[int]:
        """Who holds the valid card, or owns the code."""
        if "code" in rule["trigger"]:
            return [place for place in self.places if by == f"code@{self.people[place]['id']}"]
        return [
            place
            for place in self.places
            for card, name in self.cards(place)
            if name == by and card["type"] in types(rule) and self.card_fault(card) is None
        ]

    def card_fault(self, card: dict[str, Any]) -> str | None:
        """Why this card cannot be used on this trip."""
        trip = self.case["trip"]
        if card.get("valid_until") and card["valid_until"] < trip["date"]:
            return "card_expired"
        if card.get("valid_from") and card["valid_from"] > trip["date"]:
            return "card_not_started"
        if card.get("travel_class") not in (None, "1", trip.get("travel_class")):
            return "card_class"  # "a second-class card gives nothing in first class"; a first-class one goes down
        return None

    def rule_fault(self, rule: Rule) -> str | None:
        """Why nobody at all can use this rule here: date, currency, conditions, in this order."""
        valid, day = rule.get("valid", {}), self.case["trip"]["date"]
        if day < (valid.get("from") or "0000-00-00") or day > (valid.get("to") or "9999-99-99"):
            return "not_in_force"
        if rule["currency"] not in ("any", self.case["currency"]):
            return "currency"
        return first_failure(rule.get("when", []), self.facts)

    def fits(self, who: dict[str, Any], place: int) -> bool:
        """The person meets a `who`: age, tags, and cards that are valid on this trip."""
        low, high = who.get("age", [0, None])
        tags = self.people[place].get("tags", [])
        held = {card["type"] for card, _ in self.cards(place) if self.card_fault(card) is None}
        return (
            self.ages[place] >= low
            and (high is None or self.ages[place] <= high)
            and all(tag in tags for tag in who.get("tags", []))
            and not any(tag in tags for tag in who.get("lacks", []))
            and ("holds_any" not in who or any(type in held for type in who["holds_any"]))
            and not any(type in held for type in who.get("holds_none", []))
        )

    def own_rules(self, place: int) -> list[tuple[Rule, str]]:
        """The personal rules this person may put into a ticket, each with what gives it."""
        return [
            (rule, by)
            for rule, by in self.items
            if rule["scope"] == "self"
            and self.rule_fault(rule) is None
            and (by == "public" or place in self.holders(rule, by))
            and self.fits(rule.get("who", {}), place)
        ]

    def related(self, rule: Rule, child: int, elder: int) -> bool:
        """`elder` is a parent of `child`, or the adult named on the child's valid card."""
        kin, name = rule["kin"], self.people[elder]["id"]
        if kin["via"] == "parents":
            return name in self.people[child].get("parents", [])
        return any(
            card["type"] == kin["card"] and self.card_fault(card) is None and card.get("with") == name
            for card, _ in self.cards(child)
        )

    def one_household(self, places: list[int]) -> bool:
        homes = {self.people[place].get("household") for place in places}
        return len(homes) == 1 and None not in homes


def types(rule: Rule) -> list[str]:
    """The card types that trigger a rule."""
    card = rule["trigger"].get("card", [])
    return [card] if isinstance(card, str) else list(card)


def anchor_of(rule: Rule) -> dict[str, Any] | None:
    """The anchor role of a joint rule, if it has one."""
    return next((role for role in rule["roles"] if role.get("anchor")), None)


__all__ = ["Item", "World", "age_of", "anchor_of", "types"]
