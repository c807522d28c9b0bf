"""Random parties over five rule sets of real carriers' shape and the offer mix of the reference, from a seed.

`classes`: one fare for everybody (the same train) and few kinds of people. `distinct`: everybody a fare of their own.
About half of the people bring a card.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from groupbook.discounts.engine import Catalogue, parse_catalogue

Spread = Literal["classes", "distinct"]
SPREADS: Final[tuple[Spread, ...]] = ("classes", "distinct")
SIZES: Final = (2, 4, 8, 12, 20, 30, 40, 60)
_HERE = Path(__file__).resolve().parent
_CATALOGUES = (_HERE.parents[1] / "tests/data/discount-catalogue.json", _HERE / "rules.json")
_KINDS_MAX: Final = 4  # of people, beside adults without a card, where everybody has one fare


@dataclass(frozen=True)
class Kind:
    """Some people: their age and card. `with_`: the card names somebody else, too (`pair`), or an adult (`adult`)."""

    age: int
    card: str | None = None
    shares: Literal["pair", "adult", "parent"] | None = None


@dataclass(frozen=True)
class Setting:
    """One trip: what is true of it, the fares in hundredths of the full one, the range of the full fare."""

    trip: Mapping[str, Any]
    fares: Mapping[str, int]
    full: tuple[int, int]


@dataclass(frozen=True)
class RuleSet:
    name: str
    currency: str
    prefixes: tuple[str, ...]
    settings: tuple[Setting, ...]
    kinds: tuple[Kind, ...]


_TRIP: Final = {"direction": "single", "travel_class": "2", "duration_min": 120, "days_before": 30, "channel": "online"}
_KESTREL = (
    Kind(35, "card"),
    Kind(34, "pair", "pair"),
    Kind(40, "friend"),
    Kind(41, "family"),
    Kind(9),
    Kind(10),
    Kind(50, "network"),
)

RULE_SETS: Final = (
    RuleSet(
        "section8",
        "GBP",
        ("section8.",),
        (Setting({**_TRIP, "date": "2026-11-24", "depart": "11:00"}, {"offpeak": 100}, (1_800, 3_800)),),
        _KESTREL,
    ),
    RuleSet(
        "uk",
        "GBP",
        ("uk.",),
        (
            Setting(
                {**_TRIP, "date": "2026-11-24", "depart": "11:00", "operator": "gb", "tags": ["network-area"]},
                {"offpeak": 100, "advance": 80},
                (1_000, 8_000),
            ),
        ),
        (
            Kind(22, "uk.16-25"),
            Kind(28, "uk.26-30"),
            Kind(66, "uk.senior"),
            Kind(17, "uk.16-17"),
            Kind(34, "uk.two-together", "pair"),
            Kind(40, "uk.family-friends"),
            Kind(45, "uk.network"),
            Kind(50, "uk.dprc"),
            Kind(9),
            Kind(12),
            Kind(3),
        ),
    ),
    RuleSet(
        "sncf",
        "EUR",
        ("sncf.",),
        (
            Setting(
                {**_TRIP, "date": "2026-11-28", "depart": "09:00", "operator": "sncf", "service": "tgv-inoui"},
                {"leisure": 100, "pro": 145},
                (2_000, 12_000),
            ),
        ),
        (
            Kind(22, "sncf.avantage-jeune"),
            Kind(66, "sncf.avantage-senior"),
            Kind(40, "sncf.avantage-adulte"),
            Kind(41, "sncf.avantage-adulte"),
            Kind(42, "sncf.liberte"),
            Kind(38, "sncf.famnomb-3"),
            Kind(9, "sncf.famnomb-3"),
            Kind(8),
            Kind(20),
            Kind(2),
        ),
    ),
    RuleSet(
        "db",
        "EUR",
        ("db.",),
        (
            Setting(
                {**_TRIP, "date": "2025-11-15", "depart": "10:00", "operator": "db", "service": "ice"},
                {"flex": 100, "saver": 65, "group": 50},
                (3_000, 14_000),
            ),
            Setting(
                {
                    **_TRIP,
                    "date": "2025-11-15",
                    "depart": "10:00",
                    "operator": "db",
                    "service": "regional",
                    "tags": ["bavaria"],
                },
                {"flex": 100},
                (900, 2_600),
            ),
        ),
        (
            Kind(30, "db.bc25"),
            Kind(31, "db.bc50"),
            Kind(25, "db.bc25"),
            Kind(45, "db.bc100"),
            Kind(9),
            Kind(12),
            Kind(3),
            Kind(16),
        ),
    ),
    RuleSet(
        "sbb",
        "CHF",
        ("ch.",),
        (
            Setting(
                {**_TRIP, "date": "2026-11-24", "depart": "10:00", "operator": "sbb"}, {"full": 100}, (1_000, 9_000)
            ),
        ),
        (
            Kind(35, "ch.halbtax"),
            Kind(50, "ch.ga"),
            Kind(20),
            Kind(22, "ch.halbtax"),
            Kind(10),
            Kind(10, "ch.junior", "parent"),
            Kind(11, "ch.cotravel", "adult"),
            Kind(3),
        ),
    ),
    RuleSet(
        "mixed",
        "GBP",
        ("section8.", "mixed."),
        (
            Setting(
                {**_TRIP, "date": "2026-11-24", "depart": "11:00"},
                {"offpeak": 100, "saver": 90},
                (1_800, 4_000),
            ),
        ),
        (*_KESTREL, Kind(20, "youth"), Kind(3)),
    ),
)


@cache
def catalogue() -> Catalogue:
    """The real rules (a copy in the tests' data) and the made-up ones, as one catalogue."""
    rules = [rule for path in _CATALOGUES for rule in json.loads(path.read_text(encoding="utf-8"))["rules"]]
    return parse_catalogue({"rules": rules})


def party(rules: RuleSet, size: int, spread: Spread, number: int) -> dict[str, Any]:
    """The document of a case. The same arguments give the same party."""
    dice = random.Random(f"{rules.name} {size} {spread} {number}")
    setting = rules.settings[number % len(rules.settings)]
    kinds = list(rules.kinds)
    if spread == "classes":
        kinds = dice.sample(kinds, min(_KINDS_MAX, len(kinds)))
    one_fare = dice.randint(*setting.full)
    people: list[dict[str, Any]] = []
    while len(people) < size:
        kind = dice.choice(kinds) if dice.random() < 0.67 else Kind(36)
        full = [one_fare if spread == "classes" else dice.randint(*setting.full) for _ in range(2)]
        people += _persons(kind, len(people), [_fares(setting, one) for one in full])
    del people[size:]  # half of a pair may fall off: a card whose other holder stays at home
    _link(people, dice)
    return {
        "id": f"{rules.name}-{spread}-{size}-{number}",
        "currency": rules.currency,
        "trip": dict(setting.trip),
        "travellers": people,  # spelling: the cases' own
        "rules": [id for id in catalogue().executable if id.startswith(rules.prefixes)],
    }


def _fares(setting: Setting, full: int) -> dict[str, int]:
    return {family: full * share // 100 for family, share in setting.fares.items()}


def _persons(kind: Kind, at: int, fares: Sequence[dict[str, int]]) -> list[dict[str, Any]]:
    """One person, or the two who hold one card together."""
    together = 2 if kind.shares == "pair" else 1
    cards: list[dict[str, Any]] = [{"type": kind.card}] if kind.card else []
    if kind.shares == "pair":
        cards = [{"type": kind.card, "id": f"pair-{at}"}]
    return [
        {"id": f"p{at + i:02}", "age": kind.age, "cards": cards, "fares": fares[i], "shares": kind.shares}
        for i in range(together)
    ]


def _link(people: list[dict[str, Any]], dice: random.Random) -> None:
    """Children whose cards ask for their own parent, or for the adult named on the card, get one of the party."""
    adults = [one["id"] for one in people if one["age"] >= 30]
    for one in people:
        shares = one.pop("shares")
        if adults and shares == "parent":
            one["parents"] = [dice.choice(adults)]
        elif adults and shares == "adult":
            one["cards"] = [{**card, "with": [dice.choice(adults)]} for card in one["cards"]]


__all__ = ["RULE_SETS", "SIZES", "SPREADS", "Kind", "RuleSet", "Setting", "Spread", "catalogue", "party"]
