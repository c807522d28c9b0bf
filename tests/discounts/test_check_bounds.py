"""The checker's bounds: no dual prices prove more than the optimum, no linear piece is above what codes leave."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from groupbook.discounts.engine import Case, Certificate, parse_case, parse_catalogue
from groupbook.discounts.engine.check.basket import Basket, Line
from groupbook.discounts.engine.check.plans import proven
from groupbook.discounts.engine.proof import Branch, Feature, Leaf, Plan, Tree
from groupbook.discounts.engine.rules import OrderRule
from tests.discounts.parties import CATALOGUES, random_case, without_extras
from tests.discounts.twin import cheapest_total

PARSED = {name: parse_catalogue({"rules": list(rules.values())}) for name, rules in CATALOGUES.items()}


def _code(order: dict[str, Any], mode: str, step: int) -> OrderRule:
    rule = {**CATALOGUES["real"]["shop.loyal5"], "order": order, "round": {"mode": mode, "step": step}}
    [read] = parse_catalogue({"rules": [rule]}).executable.values()
    assert isinstance(read, OrderRule)
    return read


@pytest.mark.parametrize("mode", ["down", "nearest", "up"])
@pytest.mark.parametrize("step", [1, 5])
def test_the_linear_pieces_stay_below_what_codes_leave(mode: str, step: int) -> None:
    """And the nearest of them is less than two roundings below it, where nothing is cut off."""
    codes: list[dict[str, Any]] = [{"bp": 3333}, {"bp": 1250, "max_off": 400}, {"off": 300}]
    for chosen in ([0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]):
        basket = Basket(tuple((_code(codes[at], mode, step), "a") for at in chosen))
        common, pieces = basket.pieces
        for amount in range(900, 1400, 7):
            line = Line(amount, frozenset(range(len(chosen))))
            taken = basket.applied({0: line})
            assert taken is not None
            left = amount - sum(off[0] for off in taken)
            least = max(slope * amount - less for slope, less in pieces)
            assert least <= left * common
            assert left * common - least < 2 * len(chosen) * step * common


# --- what no proof can do --------------------------------------------------------------------------------------------


def _features(random: Random, case: Case) -> Feature:
    """Something to branch on: people on tickets of their own, applications or seats of a rule."""
    rule = random.choice([None, *(one for one in case.rules if one.scope == "joint")])
    people = tuple(sorted(random.sample(range(len(case.travelers)), random.randint(0, len(case.travelers)))))
    if rule is None:
        return Feature(None, seats=True, people=people)
    if random.random() < 0.5:
        return Feature(rule.id, sizes=random.choice((None, (2, 3), (1, 2))), pivot=random.choice((None, None, 2, 3000)))
    return Feature(rule.id, seats=True, role=random.choice((None, rule.roles[-1].name)), people=people)


def _tree(random: Random, case: Case, path: tuple[int, ...] = ()) -> Tree:
    """Dual prices that nobody worked out, under branches that nobody needs."""
    if len(path) < 2 and random.random() < 0.5:
        low, high = (_tree(random, case, (*path, sign)) for sign in (-1, 1))
        return Branch(_features(random, case), random.randint(0, 1), low, high)
    people = tuple(random.randint(0, max(one.fares.values())) for one in case.travelers)
    scarce = tuple((("quota", key), random.randint(0, 1000)) for key in case.quota if random.random() < 0.5)
    return Leaf(people, scarce, tuple(sign * random.randint(0, 2000) for sign in path))


@pytest.mark.parametrize("seed", range(60))
def test_no_prices_prove_more_than_the_twins_optimum(seed: int) -> None:
    random = Random(seed)
    document = random_case(random, most=5, orders=False)
    case = parse_case(without_extras(document), PARSED[document["catalogue"]])
    total = cheapest_total(document, CATALOGUES[document["catalogue"]])
    for _ in range(10):
        bound = proven(case, [0] * len(case.travelers), Certificate(False, 0, plans=(Plan((), _tree(random, case)),)))
        assert bound is not None
        assert bound <= total
