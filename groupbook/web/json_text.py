"""JSON that a person wrote: read strictly, and where in the text each place of it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

_TOKEN: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+)', re.DOTALL)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(eq=False)
class NotJson(Exception):
    """The text cannot be read. `code`: syntax, number, name_twice, character, encoding, too_deep."""

    code: str
    line: int | None = None
    column: int | None = None
    name: str = ""


def read_json(text: str) -> Any:
    """A document of a text.

    Raises:
        NotJson: it is not JSON, or says something twice, or holds what no database stores.
    """
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise NotJson("syntax", error.lineno, error.colno) from None
    except RecursionError:
        raise NotJson("too_deep") from None
    except ValueError:  # a whole number of more digits than Python reads
        raise NotJson("number") from None
    if any("\x00" in part or _LONE_SURROGATE.search(part) for part in _texts(document)):
        raise NotJson("character")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name in document:
            raise NotJson("name_twice", name=name)
        document[name] = value
    return document


def _refuse(name: str) -> Any:
    raise NotJson("number", name=name)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise NotJson("number", name=digits[:40])
    return value


def _texts(value: Any) -> list[str]:
    found, pending = [], [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict):
            found += one
            pending += one.values()
        elif isinstance(one, list):
            pending += one
    return found


def lines_of(text: str, pointers: Collection[str]) -> dict[str, int]:
    """The line (from 1) on which each place begins; a place that is not there has the line of what should hold it.

    The text is JSON that `read_json` has read.
    """
    begins = _lines(text)
    found = {}
    for pointer in pointers:
        here = pointer
        while here not in begins:
            here = here.rpartition("/")[0]
        found[pointer] = begins[here]
    return found


def _lines(text: str) -> dict[str, int]:
    """Every pointer of a document, with its line."""
    begins: dict[str, int] = {}
    stack: list[tuple[str, int | None]] = []  # the pointer of each open container, and the next index of a list
    here, line, end, key = "", 1, 0, ""
    is_key = False
    for token in _TOKEN.finditer(text):
        word = token[1]
        line += text.count("\n", end, token.start(1))
        end = token.start(1)
        if word in "]}":
            stack.pop()
            is_key = False
        elif word == ",":
            is_key = stack[-1][1] is None
        elif word == ":":
            is_key = False
        elif is_key:
            key = json.loads(word).replace("~", "~0").replace("/", "~1")
        else:
            here = ""
            if stack:
                parent, index = stack[-1]
                here = f"{parent}/{key if index is None else index}"
                if index is not None:
                    stack[-1] = (parent, index + 1)
            begins[here] = line
            if word in "[{":
                stack.append((here, 0 if word == "[" else None))
                is_key = word == "{"
    return begins


__all__ = ["NotJson", "lines_of", "read_json"]
