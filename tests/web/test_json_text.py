"""JSON as people write it: what is refused, and on which line each place stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groupbook.web.json_text import NotJson, lines_of, read_json

CATALOGUE = (Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "syntax", 1),
        ('{"a": 1,\n "b": }', "syntax", 2),
        ('{"a": 1, "a": 2}', "name_twice", None),
        ('{"a": NaN}', "number", None),
        ('{"a": 1e999}', "number", None),
        ('{"a": ' + "9" * 5000 + "}", "number", None),
        ('{"a": "\\u0000"}', "character", None),
        ('{"\\ud800": 1}', "character", None),
        ("[" * 100_000, "too_deep", None),
    ],
)
def test_what_is_not_json_is_refused(text: str, code: str, line: int | None) -> None:
    with pytest.raises(NotJson) as refused:
        read_json(text)
    assert (refused.value.code, refused.value.line) == (code, line)


def test_each_place_has_its_line() -> None:
    text = '{\n "rules": [\n  {"id": "a, ]\\"", "x/y": [1,\n 2]},\n  {"id":\n "b", "when": {}}\n ]\n}'
    assert read_json(text)["rules"][1]["id"] == "b"
    assert lines_of(text, ["", "/rules", "/rules/0/x~1y/1", "/rules/1/id", "/rules/1/when", "/rules/1/effect/bp"]) == {
        "": 1,
        "/rules": 2,
        "/rules/0/x~1y/1": 4,
        "/rules/1/id": 6,
        "/rules/1/when": 6,
        "/rules/1/effect/bp": 5,
    }


def test_the_lines_of_a_whole_catalogue() -> None:
    document: dict[str, Any] = read_json(CATALOGUE)
    text = json.dumps(document, indent=1)
    lines = text.splitlines()
    pointers = [f"/rules/{at}/id" for at in range(len(document["rules"]))]
    for at, line in enumerate(lines_of(text, pointers).values()):
        assert document["rules"][at]["id"] in lines[line - 1]
