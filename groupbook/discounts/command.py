"""`groupbook price`: cases in, one JSON answer per line out. Reads and writes lines; touches no database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from groupbook.discounts.engine import Catalogue, parse_case, parse_catalogue, price
from groupbook.discounts.engine.errors import DiscountError

_COMPARED = ("total", "people", "applications", "rejected", "unused")


def price_cases(catalogue: Path, cases: Path, out: TextIO, *, check: bool = False) -> int:
    """Price the cases of a file (one JSON object per line) with the catalogue of another; answers go to `out`.

    Returns:
        The exit code: 0, or 1 when the catalogue or a case is wrong, or (with `check`) an answer is.
    """

    def write(line: str) -> None:
        out.write(line + "\n")

    try:
        rules = parse_catalogue(json.loads(catalogue.read_text("utf-8")))
    except ValueError:  # neither JSON nor UTF-8
        write(json.dumps({"id": None, "error": {"code": "not_json", "problems": []}}))
        return 1
    except DiscountError as error:
        write(json.dumps(_failure(None, error)))
        return 1
    with cases.open(encoding="utf-8", errors="replace") as lines:
        return price_lines(rules, lines, write, check=check)


def price_lines(
    catalogue: Catalogue, lines: Iterable[str], write: Callable[[str], object], *, check: bool = False
) -> int:
    """Price every case of a JSON-lines file, in order.

    A malformed case gives a line with `error` and the run goes on. With `check` the answers are compared with each
    case's `expected`, and the last line says how many passed and failed.

    Returns:
        The exit code: 0, or 1 when a case was malformed, could not be priced, or (with `check`) failed.
    """
    passed = failed = broken = 0
    for line in lines:
        if not line.strip():
            continue
        answer, expected = _answer(catalogue, line)
        write(json.dumps(answer, ensure_ascii=False))
        broken += "error" in answer
        if check and "error" not in answer and _agrees(answer, expected):
            passed += 1
        else:
            failed += 1
    if check:
        write(f"{passed} passed, {failed} failed")
    return 1 if broken or (check and failed) else 0


def _answer(catalogue: Catalogue, line: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {"id": None, "error": {"code": "not_json", "problems": []}}, {}
    id = document.get("id") if isinstance(document, dict) else None
    expected = document.get("expected") if isinstance(document, dict) else None
    try:
        answer = price(parse_case(document, catalogue)).as_document()
    except DiscountError as error:
        return _failure(id, error), {}
    return answer, expected if isinstance(expected, dict) else {}


def _failure(id: object, error: DiscountError) -> dict[str, Any]:
    return {"id": id, "error": {"code": error.code, "problems": error.params.get("problems", [])}}


def _agrees(answer: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Everything that the case expects is there, exactly; a case that expects nothing proves nothing."""
    compared = [name for name in _COMPARED if name in expected]
    return bool(compared) and all(answer[name] == expected[name] for name in compared)
