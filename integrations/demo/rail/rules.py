"""Kestrel Rail's own cards and fares, in the schema of groupbook's discount catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def rule_catalogue() -> dict[str, Any]:
    """The rules that the demo merchant pushes to groupbook."""
    document: dict[str, Any] = json.loads(Path(__file__).with_name("discounts.json").read_text(encoding="utf-8"))
    return document
