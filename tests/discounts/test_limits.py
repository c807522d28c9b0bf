"""Hostile input: bounded work, a clear refusal or an honest bound, never a guess called optimal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groupbook.discounts.engine import Case, parse_case, parse_catalogue, price
from groupbook.discounts.engine.check import verify
from groupbook.discounts.engine.errors import CatalogueInvalid, NoOwnFare, TooManyCombinations

DATA = Path(__file__).resolve().parent.parent / "data"
RULES = json.loads((DATA / "discount-catalogue.json").read_text("utf-8"))["rules"]
RAW = {rule["id"]: rule for rule in RULES if rule.get("executable", True)}
Rule = dict[str, Any]


def _own(at: int, **changes: Any) -> Rule:
    return {
        "id": f"x.{at:04}",
        "scope": "self",
        "trigger": {"public": True},
        "currency": "any",
        "layer": at % 1_000,
        "class": f"c{at}",
        "effect": {"bp": at * 7 % 3_000 + 1},
        **changes,
    }


def _joint(at: int, **changes: Any) -> Rule:
    return {
        "id": f"j.{at:04}",
        "scope": "joint",
        "trigger": {"public": True},
        "currency": "any",
        "layer": 30,
        "class": f"j{at}",
        "roles": [
            {"name": "a", "min": 2, "max": 5 + at % 7, "effect": {"bp": at * 13 % 4_000 + 1}},
            {
                "name": "b",
                "min": at % 3,
                "max": 4,
                "who": {"age": [0, 12 + at % 60]},
                "effect": {"bp": at * 17 % 5_000},
            },
        ],
        **changes,
    }


def _case(rules: list[Rule], people: int, fare: Callable[[int], int] = lambda at: 3_000 + 37 * at) -> Case:
    travelers = [{"id": f"p{at}", "age": 5 + at, "fares": {"std": fare(at)}} for at in range(people)]
    document = {
        "id": "limit",
        "currency": "EUR",
        "trip": {"date": "2026-11-28", "depart": "11:00"},
        "travellers": travelers,
        "rules": [rule["id"] for rule in rules],
    }
    return parse_case(document, parse_catalogue({"rules": rules}))


def test_a_thousand_rules_that_never_meet_are_priced() -> None:
    """The best of a thousand, for each traveler alone."""
    best = max(at * 7 % 3_000 + 1 for at in range(1_000))
    priced = price(_case([_own(at) for at in range(1_000)], 2), explain=False)
    assert priced.total == sum((fare * (10_000 - best) + 5_000) // 10_000 for fare in (3_000, 3_037))


def test_a_thousand_rules_that_all_meet_are_refused() -> None:
    with pytest.raises(TooManyCombinations):
        price(_case([_own(at, stacks_with=["*"]) for at in range(1_000)], 60))


def test_stacking_in_a_circle_means_that_none_meet() -> None:
    """Each lets the next, nobody is let back: two rules meet only if each lists the other."""
    circle = [_own(at, stacks_with=[f"c{(at + 1) % 300}"]) for at in range(300)]
    apart = [_own(at) for at in range(300)]
    assert price(_case(circle, 3), explain=False).total == price(_case(apart, 3), explain=False).total


def test_a_programme_that_is_too_large_is_refused() -> None:
    with pytest.raises(TooManyCombinations):
        price(_case([_joint(at) for at in range(300)], 60))


def test_rules_that_cannot_fill_cost_nothing_and_say_why() -> None:
    rules = [_joint(at, size={"min": 80, "max": 99}) for at in range(20)]
    priced = price(_case(rules, 12))
    assert priced.total == sum(3_000 + 37 * at for at in range(12))
    assert {reason for _, _, reason in priced.rejected} == {"group_size"}


@pytest.mark.parametrize("fare", [0, 1, 1_000_000_000])
def test_fares_of_nothing_and_of_far_too_much(fare: int) -> None:
    case = _case([_joint(at) for at in range(5)] + [_own(at) for at in range(5)], 8, lambda at: fare)
    priced = price(case)
    verify(case, priced)
    assert priced.proof.optimal
    assert 0 <= priced.total <= 8 * fare


def test_when_the_budget_ends_the_bound_is_said_and_nothing_is_called_optimal() -> None:
    rules = [RAW["shop.3for2"], RAW["shop.tiers"], RAW["shop.team2"]]
    travelers = [
        {"id": f"p{at}", "age": 30, "fares": {"std": 3_000 + 37 * at, "team": 2_500 + 91 * at}} for at in range(40)
    ]
    document = {
        "id": "limit",
        "currency": "EUR",
        "trip": {"date": "2026-11-28"},
        "travellers": travelers,
        "rules": [rule["id"] for rule in rules],
    }
    priced = price(parse_case(document, parse_catalogue({"rules": rules})), explain=False)
    assert not priced.proof.optimal
    assert 0 < priced.proof.bound < priced.total
    assert sum(one.pay for one in priced.people.values()) == priced.total
    assert all(one.pay <= one.alone for one in priced.people.values())


def test_sixty_people_in_joint_offers_are_priced_and_proven() -> None:
    rules = [RAW["uk.groupsave"], RAW["uk.under5"], RAW["uk.child"]]
    travelers = [{"id": f"p{at}", "age": at, "fares": {"offpeak": 2_000 + 35 * at}} for at in range(60)]
    document = {
        "id": "limit",
        "currency": "GBP",
        "trip": {"date": "2026-11-28", "depart": "11:00", "operator": "gb"},
        "travellers": travelers,
        "rules": [rule["id"] for rule in rules],
    }
    case = parse_case(document, parse_catalogue({"rules": rules}))
    priced = price(case, explain=False)
    verify(case, priced)
    assert priced.proof.optimal
    assert priced.ties in ("all", "applications")


def test_a_fare_that_exists_only_in_a_group_is_nobodys_own() -> None:
    document = {
        "id": "limit",
        "currency": "EUR",
        "trip": {"date": "2026-11-28"},
        "travellers": [{"id": name, "age": 30, "fares": {"team": 1_900}} for name in ("a", "b")],
        "rules": ["shop.team2"],
    }
    with pytest.raises(NoOwnFare):
        price(parse_case(document, parse_catalogue({"rules": [RAW["shop.team2"]]})))


def test_more_than_a_thousand_rules_are_no_catalogue() -> None:
    with pytest.raises(CatalogueInvalid):
        parse_catalogue({"rules": [_own(at) for at in range(1_001)]})
