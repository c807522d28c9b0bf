"""Amounts as people type them."""

from __future__ import annotations

import re
from typing import Final

from groupbook.kit.money import Money, exponent

_TYPED: Final = re.compile(r"(?P<whole>\d{1,9})(?:[.,](?P<part>\d{1,3}))?")
_AROUND: Final = re.compile(r"[\s\u00a0\u202f€$£]")


def typed_amount(text: str, currency: str) -> Money | None:
    """`12`, `12.50` or `12,50` in this currency; None: not an amount, or more digits than it has."""
    found = _TYPED.fullmatch(_AROUND.sub("", text))
    if found is None:
        return None
    digits, part = exponent(currency), found["part"] or ""
    if len(part) > digits:
        return None
    return Money(int(found["whole"]) * 10**digits + int(part.ljust(digits, "0") or 0), currency)
