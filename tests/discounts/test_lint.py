"""What the lint says of rules that are well formed and mean nothing, or not what they seem to."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from groupbook.discounts.engine.cases import Facts, Traveler, Trip
from groupbook.discounts.engine.lint import findings_max, lint
from groupbook.discounts.engine.rules import Clause, parse_catalogue
from groupbook.discounts.engine.satisfiable import FACTS, can_hold

CATALOGUE = json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))
CARD: dict[str, Any] = {
    "id": "half",
    "scope": "self",
    "currency": "EUR",
    "trigger": {"card": "half"},
    "layer": 20,
    "class": "card",
    "effect": {"bp": 5000},
}
GROUP: dict[str, Any] = {
    "id": "group",
    "scope": "joint",
    "currency": "EUR",
    "trigger": {"public": True},
    "layer": 30,
    "class": "group",
    "roles": [{"name": "adult", "min": 3, "max": 9, "effect": {"bp": 3000}}],
}
ORDER: dict[str, Any] = {
    "id": "code",
    "scope": "order",
    "currency": "EUR",
    "trigger": {"code": True},
    "layer": 90,
    "class": "code",
    "valid": {"to": "2027-12-31"},
    "order": {"off": 500},
}


def found(*rules: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    return [(one.pointer, one.code) for one in lint(parse_catalogue({"rules": list(rules)}), **more)]


def role(**more: Any) -> dict[str, Any]:
    return {**GROUP, "roles": [{**GROUP["roles"][0], **more}]}


def test_sound_rules_are_left_in_peace() -> None:
    assert found(CARD, GROUP, ORDER, currency="EUR", starts_on=date(2026, 1, 1)) == []


def test_of_the_real_catalogue_only_the_codes_are_named() -> None:
    findings = lint(parse_catalogue(CATALOGUE))
    assert {one.code for one in findings} == {"code_without_limit", "code_without_end"}
    assert {one.rule.split(".")[0] for one in findings} == {"shop"}


def test_a_class_that_does_not_list_back_never_meets() -> None:
    both = {**CARD, "stacks_with": ["group"]}
    [finding] = lint(parse_catalogue({"rules": [both, GROUP]}))
    assert (finding.pointer, finding.code, finding.rule) == ("/rules/0/stacks_with/0", "stacking_one_sided", "half")
    assert dict(finding.facts) == {"class": "group", "other": "group", "own": "card"}
    assert found(both, {**GROUP, "stacks_with": ["card"]}) == []
    assert found(both, {**GROUP, "stacks_with": ["*"]}) == []
    assert found({**CARD, "class": "promo", "stacks_with": ["group"]}, GROUP) == []
    assert found({**CARD, "class": "promo", "stacks_with": ["group"]}, {**GROUP, "no_promo": True}) != []


# Each a change to a sound rule, and what is said of it: the pointer inside the rule, the code.
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({**CARD, "stacks_with": ["cadr"]}, "/stacks_with/0", "class_unknown"),
    ({**CARD, "stacks_with": ["promo"], "no_promo": True}, "/no_promo", "promo_both_ways"),
    ({**CARD, "valid": {"from": "2026-02-01", "to": "2026-01-01"}}, "/valid", "period_empty"),
    ({**CARD, "valid": {"to": "2025-12-31"}}, "/valid/to", "period_over"),
    ({**CARD, "currency": "GBP"}, "/currency", "other_currency"),
    ({**CARD, "families": []}, "/families", "no_family"),
    ({**CARD, "gated": True}, "/families", "gates_every_family"),
    (
        {**CARD, "families": ["flex"], "floor": [{"amount": 1, "families": ["saver"]}]},
        "/floor/0/families/0",
        "family_not_taken",
    ),
    (
        {**CARD, "families": ["flex", "saver"], "effect": {"bp_by_family": {"flex": 5000}}},
        "/effect/bp_by_family",
        "family_without_rate",
    ),
    ({**CARD, "effect": {"bp": 0}}, "/effect", "no_discount"),
    (
        {**CARD, "effect": {"bp_by_fact": {"fact": "wekday", "map": {"mon": 1}}}},
        "/effect/bp_by_fact/fact",
        "fact_unknown",
    ),
    (
        {**CARD, "effect": {"bp_by_fact": {"fact": "weekday", "map": {"monday": 1}}}},
        "/effect/bp_by_fact/map/monday",
        "value_never",
    ),
    ({**CARD, "floor": [{"amount": 2000}], "cap": [{"amount": 1000}]}, "/floor/0/amount", "floor_above_cap"),
    ({**CARD, "floor": [{"amount": 2000}], "effect": {"price": 1000}}, "/floor/0/amount", "floor_above_price"),
    ({**CARD, "who": {"age": [26, 16]}}, "/who/age", "age_crossed"),
    ({**CARD, "who": {"tags": ["student"], "lacks": ["student"]}}, "/who/lacks", "who_contradicts"),
    ({**CARD, "who": {"holds_none": ["half"]}}, "/who/holds_none", "who_contradicts"),
    ({**CARD, "when": [{"fact": "wekday", "eq": "mon"}]}, "/when/0/fact", "fact_unknown"),
    ({**CARD, "when": [{"fact": "weekday", "eq": "monday"}]}, "/when/0", "condition_never_true"),
    ({**CARD, "when": [{"fact": "month", "ge": 13}]}, "/when/0", "condition_never_true"),
    ({**CARD, "when": [{"fact": "depart", "ge": "9:30"}]}, "/when/0", "not_a_time"),
    ({**CARD, "when": [{"fact": "date", "lt": "1.5.2026"}]}, "/when/0", "not_a_day"),
    (
        {**CARD, "when": [{"fact": "depart", "ge": "10:00"}, {"fact": "depart", "lt": "09:30"}]},
        "/when",
        "conditions_contradict",
    ),
    (
        {
            **CARD,
            "when": [{"fact": "weekday", "eq": "mon"}],
            "cap": [{"amount": 1, "when": [{"fact": "weekday", "eq": "sat"}]}],
        },
        "/cap/0/when",
        "conditions_contradict_rule",
    ),
    (role(max=0, min=0), "/roles/0/max", "role_empty"),
    (role(holds=True), "/roles/0/holds", "holder_without_card"),
    ({**GROUP, "size": {"min": 10, "max": 20}}, "/size/min", "size_out_of_reach"),
    ({**GROUP, "size": {"min": 1, "max": 2}}, "/size/max", "size_too_small"),
    ({**GROUP, "size": {"min": 5, "max": 4}}, "/size", "size_crossed"),
    (role(effect={"bp_by_size": [[3, 500], [12, 900]]}), "/roles/0/effect/bp_by_size/1/0", "step_out_of_reach"),
    (role(effect={"none": True}), "/roles", "no_discount"),
    ({**GROUP, "pool": {"type": "bundle", "table": {"3": 100}}}, "/pool/table", "bundle_gap"),
    ({**role(max=3), "pool": {"type": "bundle", "table": {"3": 100, "4": 1}}}, "/pool/table/4", "bundle_never"),
    ({**GROUP, "pool": {"type": "pay_for", "n": 10, "pay": 9}}, "/pool/n", "pool_out_of_reach"),
    ({**GROUP, "pool": {"type": "nth_off", "from": 10, "bp": 100}}, "/pool/from", "pool_out_of_reach"),
    ({**ORDER, "order": {"bp": 0, "max_off": 500}}, "/order", "no_discount"),
    ({**ORDER, "order": {"off": 500, "max_off": 900}}, "/order/max_off", "limit_idle"),
    ({**ORDER, "order": {"off": 500, "excludes_classes": ["cadr"]}}, "/order/excludes_classes/0", "class_unknown"),
    ({**ORDER, "order": {"bp": 500}}, "/order", "code_without_limit"),
    ({**ORDER, "valid": {"from": "2026-01-01"}}, "/valid", "code_without_end"),
]


@pytest.mark.parametrize(
    ("rule", "pointer", "code"), CASES, ids=[f"{code}-{at}" for at, (_, _, code) in enumerate(CASES)]
)
def test_what_cannot_be_meant_is_named(rule: dict[str, Any], pointer: str, code: str) -> None:
    assert found(rule, starts_on=date(2026, 1, 1), currency="EUR") == [(f"/rules/0{pointer}", code)]


def test_an_anchor_needs_room_for_those_it_brings() -> None:
    anchored = {
        **GROUP,
        "roles": [
            {"name": "parent", "anchor": True, "min": 1, "max": 1, "capacity": {"child": 0}},
            {"name": "child", "min": 0, "max": 1, "effect": {"free": True}},
        ],
    }
    assert found(anchored) == [("/rules/0/roles/1/min", "capacity_too_small")]


def test_the_same_rule_under_another_name() -> None:
    assert found(CARD, {**CARD, "id": "half-2", "title": "Again"}) == [("/rules/1", "same_rule")]


def test_a_family_that_no_rule_takes_is_probably_misspelt() -> None:
    bounded = {**CARD, "families": "*", "floor": [{"amount": 1, "not_families": ["sever"]}]}
    assert found({**GROUP, "families": ["saver"]}, bounded) == [("/rules/1/floor/0/not_families/0", "family_unknown")]


@pytest.mark.parametrize(
    ("clauses", "possible"),
    [
        ([{"fact": "tags", "has": "a"}, {"fact": "tags", "lacks": "a"}], False),
        ([{"fact": "tags", "has": "a"}, {"not": {"fact": "tags", "lacks": "b"}}], True),
        ([{"fact": "party", "lt": 1}], False),
        ([{"fact": "party_count", "age": [4, 11], "ge": 2}, {"fact": "party_count", "age": [12, 99], "lt": 2}], True),
        ([{"any": [{"fact": "month", "eq": 7}, {"fact": "month", "eq": 8}]}, {"fact": "month", "gt": 8}], False),
        ([{"not": {"any": [{"fact": "weekday", "in": ["sat", "sun"]}]}}, {"fact": "weekday", "eq": "sun"}], False),
        (
            [{"not": {"all": [{"fact": "month", "ge": 3}, {"fact": "month", "le": 9}]}}, {"fact": "month", "eq": 5}],
            False,
        ),
        ([{"fact": "return_date", "ge": "2026-05-01"}, {"fact": "return_date", "lt": "2026-05-01"}], False),
        ([{"fact": "depart", "gt": "23:59"}], False),
        ([{"fact": "duration_min", "gt": 90}, {"fact": "duration_min", "lt": 92}], True),
        ([{"fact": "operator", "eq": "a"}, {"fact": "operator", "eq": "b"}], False),
        ([{"fact": "public_holiday", "eq": "yes"}], False),
    ],
)
def test_conditions_that_can_never_hold(clauses: list[dict[str, Any]], possible: bool) -> None:
    assert can_hold([Clause.model_validate(clause) for clause in clauses]) is possible


def test_the_lint_knows_every_fact_of_the_engine() -> None:
    facts = Facts(Trip(date=date(2026, 1, 1)), (Traveler(id="a", fares={"flex": 1}),))
    assert {*facts.values, "party_count"} == set(FACTS)


def test_a_thousand_strange_rules_are_read_in_bounded_time() -> None:
    tree = [{"any": [{"fact": "month", "eq": n}, {"fact": "month", "eq": 12 - n}]} for n in range(1, 6)]
    rules = [
        {**GROUP, "id": f"r{n}", "class": f"c{n}", "stacks_with": [f"c{m}" for m in range(100)], "when": tree}
        for n in range(1_000)
    ]
    assert len(lint(parse_catalogue({"rules": rules}))) <= findings_max
