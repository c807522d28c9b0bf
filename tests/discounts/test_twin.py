"""The twin is checked by hand-worked answers before it may check the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.discounts.parties import CATALOGUES, DATA
from tests.discounts.twin import answer, cheapest_total

PUBLIC = [json.loads(line) for line in (DATA / "discount-cases-public.jsonl").read_text("utf-8").splitlines()]
REAL = CATALOGUES["real"]


@pytest.mark.parametrize("case", PUBLIC, ids=[case["id"] for case in PUBLIC])
def test_the_twin_knows_the_public_answers(case: dict[str, Any]) -> None:
    assert json.loads(json.dumps(answer(case, REAL))) == case["expected"]
    assert cheapest_total(case, REAL) == case["expected"]["total"]
