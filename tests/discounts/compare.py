"""Engine and twin on random parties: `python -m tests.discounts.compare --instances 10000 --seed 1`.

Prints one JSON case per disagreement and the count; exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from random import Random
from typing import Any

from groupbook.discounts.engine import parse_case, parse_catalogue, price
from groupbook.discounts.engine.errors import DiscountError
from tests.discounts.parties import CATALOGUES, LANDS, Case, random_case, without_extras
from tests.discounts.twin import answer, cheapest_total

PARSED = {name: parse_catalogue({"rules": list(rules.values())}) for name, rules in CATALOGUES.items()}


def engine_answer(case: Case, *, full: bool) -> Any:
    priced = price(parse_case(without_extras(case), PARSED[case["catalogue"]]), explain=full)
    if not full:
        return priced.total
    document = priced.as_document()
    return {name: document[name] for name in ("total", "people", "applications", "rejected", "unused")}


def twin_answer(case: Case, *, full: bool) -> Any:
    rules = CATALOGUES[case["catalogue"]]
    return answer(case, rules) if full else cheapest_total(case, rules)


def comparable(given: Any, case: Case) -> Any:
    """As JSON; why something lawful cannot be used where seats are scarce has no settled name."""
    given = json.loads(json.dumps(given))
    if isinstance(given, dict) and "quota" in case:
        given["rejected"] = [
            [rule, by, "scarce" if reason in ("composition", "no_saving", "fare_family") else reason]
            for rule, by, reason in given["rejected"]
        ]
    return given


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--land", choices=list(LANDS))
    parser.add_argument("--most", type=int, default=6)
    parser.add_argument("--full", action="store_true", help="compare the whole answer, not only the total")
    parser.add_argument("--no-orders", action="store_true", help="leave out the codes on the whole order")
    given = parser.parse_args(arguments)
    random = Random(given.seed)
    disagreements = 0
    started = time.monotonic()
    for _ in range(given.instances):
        case = random_case(random, given.land, least=2, most=given.most, orders=not given.no_orders, plain=given.full)
        twin = twin_answer(case, full=given.full)
        try:
            engine = engine_answer(case, full=given.full)
        except DiscountError as refused:
            engine = repr(refused)
        if comparable(engine, case) != comparable(twin, case):
            disagreements += 1
            sys.stdout.write(json.dumps({**case, "twin": twin, "engine": engine}) + "\n")
    seconds = time.monotonic() - started
    sys.stdout.write(f"{disagreements} disagreements on {given.instances} instances in {seconds:.0f} s\n")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
