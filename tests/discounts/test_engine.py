"""The engine against the public cases, and at its limits. Its laws are in test_laws.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groupbook.discounts.command import price_lines
from groupbook.discounts.engine import optimum, parse_case, parse_catalogue, price, unsupported
from groupbook.discounts.engine.check import verify
from groupbook.discounts.engine.errors import (
    CaseInvalid,
    CatalogueInvalid,
)

DATA = Path(__file__).resolve().parent.parent / "data"
CATALOGUE_DOCUMENT = json.loads((DATA / "discount-catalogue.json").read_text("utf-8"))
CATALOGUE = parse_catalogue(CATALOGUE_DOCUMENT)
CASES = [json.loads(line) for line in (DATA / "discount-cases-public.jsonl").read_text("utf-8").splitlines()]
RAW = {rule["id"]: rule for rule in CATALOGUE_DOCUMENT["rules"] if rule.get("executable", True)}


def test_every_rule_of_the_catalogue_is_read() -> None:
    assert len(CATALOGUE.rules) == 101
    assert len(CATALOGUE.executable) == 93


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_public_case(case: dict[str, Any]) -> None:
    """Total, people (pay, face, alone, family, lines), applications, rejected and unused, exactly."""
    read = parse_case(case, CATALOGUE)
    priced = price(read)
    answer = priced.as_document()
    assert {name: answer[name] for name in case["expected"]} == case["expected"]
    assert (answer["proof"]["optimal"], answer["proof"]["bound"]) == (True, answer["total"])
    assert priced.ties == "all"
    verify(read, priced)
    assert optimum(read).total == priced.total


def test_the_command_prints_the_count() -> None:
    lines: list[str] = []
    code = price_lines(CATALOGUE, [json.dumps(case) for case in CASES] + ["{", ""], lines.append, check=True)
    assert lines[-1] == "54 passed, 1 failed"  # the broken line
    assert code == 1
    assert json.loads(lines[-2]) == {"id": None, "error": {"code": "not_json", "problems": []}}


# --- catalogues ------------------------------------------------------------------------------------------------------


def _catalogue(**changes: Any) -> dict[str, Any]:
    return {"rules": [RAW["uk.16-25"], {**RAW["uk.groupsave"], **changes}]}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"layer": "30"}, "/rules/1/layer"),
        ({"surprise": 1}, "/rules/1/surprise"),
        ({"trigger": {}}, "/rules/1/trigger"),
        ({"roles": []}, "/rules/1/roles"),
        ({"roles": [{"name": "adult", "min": 3, "max": 2}]}, "/rules/1/roles/0"),
        ({"roles": [{"name": "adult", "min": 3, "max": 9, "effect": {"bp": 10_001}}]}, "/rules/1/roles/0/effect/bp"),
        ({"when": [{"fact": "depart"}]}, "/rules/1/when/0"),
        ({"id": "uk.16-25"}, ""),
    ],
)
def test_a_broken_rule_is_refused_with_a_pointer(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(CatalogueInvalid) as refused:
        parse_catalogue(_catalogue(**changes))
    assert pointer in [problem.pointer for problem in refused.value.problems]


def test_endless_nesting_is_refused() -> None:
    clause: dict[str, Any] = {"fact": "month", "eq": 1}
    for _ in range(200):
        clause = {"not": clause}
    with pytest.raises(CatalogueInvalid):
        parse_catalogue(_catalogue(when=[clause]))


def test_what_cannot_be_priced_exactly_is_named() -> None:
    assert unsupported(CATALOGUE) == []
    shrinking = parse_catalogue(_catalogue(when=[{"fact": "party", "le": 3}]))
    assert [(p.pointer, p.code) for p in unsupported(shrinking)] == [("/rules/1/when/0", "party_maximum_unsupported")]


def test_a_broken_case_is_refused_with_a_pointer() -> None:
    case = {**CASES[0], "rules": ["uk.16-25", "no.such"]}
    with pytest.raises(CaseInvalid) as refused:
        parse_case(case, CATALOGUE)
    assert [(p.pointer, p.code) for p in refused.value.problems] == [("/rules/1", "unknown_rule")]
    with pytest.raises(CaseInvalid):
        parse_case({**CASES[0], "travellers": []}, CATALOGUE)


# --- a party that fills an offer more than once -----------------------------------------------------------------------


def test_twelve_people_are_split_into_groups() -> None:
    people = [{"id": f"p{index}", "age": 30, "fares": {"offpeak": 1999}} for index in range(12)]
    trip = {"date": "2026-11-28", "depart": "11:00"}
    rules = ["uk.groupsave", "shop.tiers"]
    case = {"id": "twelve", "currency": "GBP", "trip": trip, "travellers": people, "rules": rules}
    priced = price(parse_case(case, CATALOGUE))
    # 12 x 34 % off, each down to 5p (13.15), in groups of at most nine; 20 % off for all would be 12 x 15.99.
    assert priced.total == 12 * 1315
    assert [len(one.members) for one in priced.applications] == [9, 3]
