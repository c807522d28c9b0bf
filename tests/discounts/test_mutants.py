"""The worked cases kill every mutant that the reference names (discounts.md section 5): each mistake is seen by one.

A mutant is a copy of the package with one place changed, priced in a process of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "tests" / "data"
ENGINE = Path("groupbook/discounts/engine")
# Prints how many cases come out wrong; the first is enough.
RUN = """
import json, sys
from groupbook.discounts.engine import parse_case, parse_catalogue, price
from groupbook.discounts.engine import tickets
assert tickets.__file__.startswith(sys.argv[1]), tickets.__file__
catalogue = parse_catalogue(json.load(open(sys.argv[2])))
for line in open(sys.argv[3]):
    case = json.loads(line)
    try:
        answer = price(parse_case(case, catalogue)).as_document()
        right = all(answer[name] == case["expected"][name] for name in case["expected"])
    except Exception as error:
        right = False
    if not right:
        print("killed by", case["id"])
        break
else:
    print("survived")
"""
MUTANTS = {
    "nearest 5p": ("tickets.py", 'mode = rounding.mode if rounding else "nearest"', 'mode = "nearest"'),
    "no floors": ("tickets.py", "for bound in rule.floor if", "for bound in () if"),
    "no caps": ("tickets.py", "for bound in rule.cap if", "for bound in () if"),
    "ages by calendar year": (
        "cases.py",
        "return on.year - self.born.year - ((on.month, on.day) < (self.born.month, self.born.day))",
        "return on.year - self.born.year",
    ),
    "windows closed at the end": ("cases.py", "(clause.lt, (-1,))", "(clause.lt, (0, -1))"),
    "windows open at the start": ("cases.py", "(clause.ge, (0, 1))", "(clause.ge, (1,))"),
    "everything stacks": (
        "rules.py",
        'if other.rule_class in self.stacks_with or "*" in self.stacks_with:',
        "if other is not None:",
    ),
    "nothing stacks": (
        "rules.py",
        'if other.rule_class in self.stacks_with or "*" in self.stacks_with:',
        "if other is None:",
    ),
    "no settlement": ("columns.py", "if alone is None:", "if True:"),
    "remainder to the first": (
        "../../kit/money.py",
        "key=lambda member: (-shares[member][1], member)",
        "key=lambda member: member",
    ),
    "no quotas": ("market.py", "for key, limit in self.case.quota.items():", "for key, limit in ():"),
    "no companion limits": ("market.py", "limit = min(capacity, others)", "limit = others"),
    "no validity dates": ("terms.py", "if valid is not None and (", "if False and ("),
    "minimum size off by one": (
        "rules.py",
        """        if self.anchor != (self.capacity is not None):""",
        """        if self.min > 1:
            object.__setattr__(self, "min", self.min - 1)
        if self.anchor != (self.capacity is not None):""",
    ),
    "no maximum": ("offers.py", "most = min(role.max, party)", "most = party"),
    "no anchor exclusions": (
        "market.py",
        "excluded = frozenset(rule.anchor_excludes) & classes",
        "excluded = frozenset()",
    ),
    "return day counted as a night": (
        "cases.py",
        "nights = min(max((back - out).days, 0), 7)",
        "nights = min(max((back - out).days + 1, 0), 7)",
    ),
    "card class": ("cases.py", 'return "card_class"', "return None"),
    "card expiry": ("cases.py", 'return "card_expired"', "return None"),
    "half cents down": (
        "tickets.py",
        "whole += 2 * rest >= denominator * step",
        "whole += 2 * rest > denominator * step",
    ),
}


def _killed(tmp_path: Path, changes: list[tuple[str, str, str]]) -> str:
    copy = tmp_path / "groupbook"
    shutil.copytree(
        ROOT / "groupbook", copy, ignore=shutil.ignore_patterns("__pycache__", "static", "templates", "locale")
    )
    for name, before, after in changes:
        place = (tmp_path / ENGINE / name).resolve()
        text = place.read_text("utf-8")
        assert before in text, f"the mutant of {name} has lost its place"
        place.write_text(text.replace(before, after), "utf-8")
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            RUN,
            str(tmp_path),
            str(DATA / "discount-catalogue.json"),
            str(DATA / "discount-cases-public.jsonl"),
        ],
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
    )
    return found.stdout.strip() or found.stderr[-500:]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_dies(name: str, tmp_path: Path) -> None:
    assert _killed(tmp_path, [MUTANTS[name]]).startswith("killed by P")


def test_the_engine_itself_survives(tmp_path: Path) -> None:
    assert _killed(tmp_path, []) == "survived"
