"""Random parties over real rules: cases as raw JSON, the same for the same seed.

Two catalogues: the real one with a few rules made small enough for small parties, and a mixed one in which the same
rules have lost currency, dates and conditions, so that carriers who never meet compete for the same people.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

Case = dict[str, Any]
Rules = dict[str, dict[str, Any]]

DATA = Path(__file__).resolve().parent.parent / "data"
_DOCUMENT = json.loads((DATA / "discount-catalogue.json").read_text("utf-8"))
_EXECUTABLE: Rules = {rule["id"]: rule for rule in _DOCUMENT["rules"] if rule.get("executable", True)}


def _changed(id: str, name: str, **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(_EXECUTABLE[id]), "id": name, **changes}


def _smaller(id: str, name: str, least: int) -> dict[str, Any]:
    """The same group rule from `least` people on."""
    rule = _changed(id, name)
    if "size" in rule:
        rule["size"]["min"] = least
    else:
        rule["roles"][0]["min"] = least
    return rule


EXTRA = [
    _smaller("uk.northern-group10", "x.northern-group3", 3),
    _smaller("sncf.group", "x.sncf-group3", 3),
    _smaller("db.group", "x.db-group3", 3),
    _smaller("ch.group", "x.ch-group4", 4),
    _smaller("shop.tipping5", "x.tipping3", 3),
    _smaller("nl.groepsticket-2018", "x.groepsticket4", 4),
    _changed("shop.tiers", "x.tiers-home", household="same"),
    _changed(
        "it.bimbi-gratis",
        "x.bimbi-few",
        app_when=[{"any": [{"fact": "n_adult", "le": 1}, {"fact": "n", "ge": 4}]}],
    ),
    _changed("shop.loyal5", "x.loyal5-items", order={"bp": 500, "min_items": 2}, exclusive=False),
    _changed(
        "shop.tiers",
        "x.price-by-size",
        roles=[
            {"name": "buyer", "min": 2, "max": 4, "effect": {"price_by_size": [[2, 2400], [3, 2000], [4, 1700]]}},
        ],
    ),
]
REAL: Rules = _EXECUTABLE | {rule["id"]: rule for rule in EXTRA}
MIXED: Rules = {
    id: {name: value for name, value in rule.items() if name not in ("when", "valid")} | {"currency": "any"}
    for id, rule in REAL.items()
}
CATALOGUES = {"real": REAL, "mixed": MIXED}


@dataclass(frozen=True)
class Land:
    """What trips, fares and cards look like where a set of rules is at home."""

    prefixes: tuple[str, ...]
    currency: str
    families: tuple[str, ...]
    trip: dict[str, tuple[Any, ...]]
    catalogue: str = "real"
    step: int = 1


_DAYS = ("2026-11-24", "2026-11-28", "2026-07-14", "2026-12-25")
_TIMES = ("04:29", "06:29", "08:15", "08:59", "09:00", "09:29", "09:30", "09:59", "10:00", "16:00", "18:30")
_SHOP = ("shop.", "x.tiers", "x.price", "x.tipping", "x.loyal5")
LANDS = {
    "uk": Land(
        ("uk.", "x.northern"),
        "GBP",
        ("anytime", "offpeak", "superoffpeak", "advance", "anytime-day-return"),
        {
            "date": (*_DAYS, "2019-06-11", "2023-11-24"),
            "operator": ("gb", "gb", "northern", "scotrail"),
            "travel_class": ("2", "2", "2", "1"),
            "tags": ([], ["network-area"]),
            "same_train": (True, True, True, True, False),
        },
        step=5,
    ),
    "sncf": Land(
        ("sncf.", "x.sncf"),
        "EUR",
        ("leisure", "pro"),
        {"service": ("inoui", "inoui", "inoui", "ouigo"), "duration_min": (80, 90, 180, 200)},
    ),
    "db": Land(
        ("db.", "x.db"),
        "EUR",
        ("flex", "saver", "supersaver", "group"),
        {
            "date": ("2025-11-11", "2025-11-29", "2026-11-24", "2026-11-28"),
            "service": ("ice", "ice", "regional", "regional"),
            "tags": (["bavaria"], ["bavaria"], []),
            "travel_class": ("2", "2", "1"),
        },
    ),
    "at": Land(
        ("at.",),
        "EUR",
        ("standard", "spar"),
        {"service": ("railjet", "regional"), "channel": ("online", "desk", "phone")},
    ),
    "ch": Land(("ch.", "x.ch"), "CHF", ("full", "saver"), {"days_before": (1, 2, 30)}, step=5),
    "es": Land(
        ("es.",),
        "EUR",
        ("basico", "elige", "premium"),
        {"service": ("ave", "ave", "avant", "md", "ld", "ave-int", "avlo")},
    ),
    "it": Land(
        ("it.", "x.bimbi"),
        "EUR",
        ("base", "economy"),
        {
            "date": (*_DAYS, "2010-08-10"),
            "service": ("frecciarossa", "frecciarossa", "intercity", "regional"),
            "travel_class": ("2", "2", "executive"),
            "days_before": (1, 2, 3, 10),
        },
    ),
    "nl": Land(("nl.", "x.groep"), "EUR", ("single",), {"date": (*_DAYS, "2018-05-08")}),
    "euro": Land(
        ("eurostar.", "interrail."),
        "EUR",
        ("youth-pass", "seat"),
        {"travel_class": ("standard", "comfort", "premium", "2"), "tags": (["london"], ["continental"], [])},
    ),
    "shop": Land(_SHOP, "EUR", ("std", "light", "team", "deal"), {}),
    "uk-shop": Land(("uk.", *_SHOP), "GBP", ("offpeak", "anytime"), {}, step=5),
    "mixed": Land(
        ("uk.", "sncf.", "db.", "at.", "ch.", "es.", "it.", "nl.", "shop.", "x."),
        "EUR",
        ("offpeak", "advance", "leisure", "flex", "standard", "full", "basico", "base", "std", "group", "team"),
        {},
        "mixed",
    ),
}
_TRIP: dict[str, tuple[Any, ...]] = {
    "date": _DAYS,
    "depart": _TIMES,
    "operator": ("any",),
    "service": ("ic",),
    "travel_class": ("2",),
    "duration_min": (120,),
    "days_before": (30,),
    "channel": ("online",),
    "tags": ([],),
    "public_holiday": (False, False, False, True),
}
_AGES = (1, 3, 4, 5, 8, 9, 11, 12, 14, 15, 16, 17, 20, 24, 26, 30, 30, 40, 40, 41, 60, 66)
_TAGS = ("wheelchair", "disability65", "first_order", "youth-pass")
_PRICES = (800, 1000, 1200, 1300, 1500, 1800, 2000, 2500, 3000, 3000, 4500, 6000, 9000, 12000)
_CODED_MOST = 6  # people, where whole baskets must be tried: the twin tries every one


def random_case(
    random: Random, land: str | None = None, *, least: int = 1, most: int = 6, orders: bool = True, plain: bool = False
) -> Case:
    """A case with a `catalogue` name beside the schema's own fields; everybody can always travel on their own.

    `plain` leaves out where the reference leaves the explanation open: fares of nothing, seats sold out, and prices by
    size, which may save nothing on one fare and much on another at the same price.
    """
    name = land or random.choice(list(LANDS))
    place = LANDS[name]
    rules = [id for id in _rules(random, place, orders=orders) if not (plain and id == "x.price-by-size")]
    is_coded = any(CATALOGUES[place.catalogue][id]["scope"] == "order" for id in rules)
    count = random.randint(least, min(most, _CODED_MOST) if is_coded else most)
    trip = _trip(random, place)
    people = _people(random, place, rules, trip["date"], count, 2 if is_coded else 3)
    case: Case = {
        "id": f"{name}-{random.randrange(1_000_000):06}",
        "catalogue": place.catalogue,
        "currency": place.currency if random.random() < 0.97 else "USD",
        "trip": trip,
        "travellers": people,
        "rules": rules,
    }
    _codes(random, case)
    _quota(random, case, seats_least=1 if plain else 0)
    for one in people if plain else []:
        one["fares"] = {family: fare or 700 for family, fare in one["fares"].items()}
    return case


def _rules(random: Random, land: Land, *, orders: bool) -> list[str]:
    at_home = [id for id in CATALOGUES[land.catalogue] if id.startswith(land.prefixes)]
    most = min(len(at_home), random.choice((3, 5, 8, 12)))
    codes = [id for id in at_home if CATALOGUES[land.catalogue][id]["scope"] == "order"]
    others = [id for id in at_home if id not in codes]
    chosen = random.sample(others, min(most, len(others)))
    if codes and orders and random.random() < 0.5:
        chosen += random.sample(codes, random.randint(1, 3))
    random.shuffle(chosen)
    return chosen


def _trip(random: Random, land: Land) -> dict[str, Any]:
    trip = {fact: random.choice(values) for fact, values in {**_TRIP, **land.trip}.items()}
    trip["direction"] = random.choice(("single", "single", "return"))
    if trip["direction"] == "return":
        day = int(trip["date"][-2:])
        trip["return_date"] = f"{trip['date'][:-2]}{min(30, day + random.choice((0, 1, 2, 5))):02}"
    return trip


def _people(
    random: Random, land: Land, rules: list[str], trip_date: str, count: int, fares_most: int
) -> list[dict[str, Any]]:
    catalogue = CATALOGUES[land.catalogue]
    gated = {family for id in rules if catalogue[id].get("gated") for family in catalogue[id]["families"]}
    shared = {family: _price(random, land) for family in land.families}
    people: list[dict[str, Any]] = []
    for number in range(count):
        own = [family for family in land.families if family not in gated]
        picked = random.sample(land.families, random.randint(1, min(fares_most, len(land.families))))
        if not set(picked) & set(own):
            picked.append(random.choice(own))
        one: dict[str, Any] = {"id": f"p{number}", "age": random.choice(_AGES), "cards": []}
        one["fares"] = {family: shared[family] if random.random() < 0.7 else _price(random, land) for family in picked}
        if random.random() < 0.2:
            one["born"] = _born(random, one.pop("age"), trip_date)
        one["tags"] = [tag for tag in _TAGS if random.random() < 0.15]
        if random.random() < 0.5:
            one["household"] = random.choice(("h1", "h2"))
        people.append(one)
    for one in people:
        others = [other["id"] for other in people if other is not one]
        if others and random.random() < 0.4:
            one["parents"] = random.sample(others, 1)
    _cards(random, catalogue, rules, people)
    return people


def _born(random: Random, age: int, trip_date: str) -> str:
    """A birthday on, just before, or just after the day of travel, and never one after it."""
    year, day = int(trip_date[:4]) - age - (age > 1), trip_date[5:]
    return f"{year}-{random.choice(('01-15', day, '12-31'))}" if age > 1 else f"{year}-01-15"


def _price(random: Random, land: Land) -> int:
    if random.random() < 0.03:
        return 0
    if random.random() < 0.7:
        return random.choice(_PRICES)
    return random.randrange(500, 13_000, land.step)


def card_types(catalogue: Rules, rules: list[str]) -> list[str]:
    """Every card that any of the rules asks for, in any of its ways."""
    found: dict[str, None] = {}
    for id in rules:
        card = catalogue[id]["trigger"].get("card", [])
        found.update(dict.fromkeys([card] if isinstance(card, str) else card))
        for who in [role.get("who", {}) for role in catalogue[id].get("roles", [])]:
            found.update(dict.fromkeys([*who.get("holds_any", []), *who.get("holds_none", [])]))
    return list(found)


def _cards(random: Random, catalogue: Rules, rules: list[str], people: list[dict[str, Any]]) -> None:
    """None to two cards each; some expired, not begun or of the wrong class, some naming two people."""
    types = card_types(catalogue, rules)
    for one in people:
        for type in random.sample(types, min(len(types), random.choice((0, 0, 1, 1, 2)))):
            card: dict[str, Any] = {"type": type}
            if random.random() < 0.15:
                card |= random.choice(
                    ({"valid_until": "2015-01-01"}, {"valid_from": "2030-01-01"}, {"travel_class": "1"})
                )
            if type == "ch.cotravel" and random.random() < 0.8:
                card["with"] = random.choice(people)["id"]
            one["cards"].append(card)
            if len(people) > 1 and random.random() < (0.7 if "two-together" in type else 0.1):
                card["id"] = f"C-{one['id']}-{type}"
                other = random.choice([other for other in people if other is not one])
                if all(held["type"] != type for held in other["cards"]):
                    other["cards"].append(dict(card))


def _codes(random: Random, case: Case) -> None:
    catalogue = CATALOGUES[case["catalogue"]]
    codes = []
    for id in case["rules"]:
        if "code" in catalogue[id]["trigger"]:
            for _ in range(random.choice((0, 1, 1, 2))):
                code = {"rule": id, "owner": random.choice(case["travellers"])["id"]}
                if code not in codes:
                    codes.append(code)
    if codes:
        case["codes"] = codes


def _quota(random: Random, case: Case, seats_least: int) -> None:
    """Seats are scarce only in families to which everybody has an alternative that is neither scarce nor gated."""
    if random.random() > 0.2:
        return
    catalogue = CATALOGUES[case["catalogue"]]
    gated = {family for id in case["rules"] if catalogue[id].get("gated") for family in catalogue[id]["families"]}
    families = sorted({family for one in case["travellers"] for family in one["fares"]})
    quota: dict[str, int] = {}
    family = random.choice(families)
    if all(set(one["fares"]) - {family} - gated for one in case["travellers"]):
        quota[family] = random.randint(seats_least, 2)
    scarce = [id for id in case["rules"] if catalogue[id]["scope"] == "joint"]
    if scarce and random.random() < 0.5:
        quota[f"rule:{random.choice(scarce)}"] = random.randint(1, 2)
    if quota:
        case["quota"] = quota


def cases(land: str | None = None, **limits: Any) -> st.SearchStrategy[Case]:
    """The same parties for hypothesis; a smaller seed is not a smaller party."""
    return st.integers(0, 2**32 - 1).map(lambda seed: random_case(Random(seed), land, **limits))


def without_extras(case: Case) -> Case:
    """The case as the schema knows it."""
    return {name: value for name, value in case.items() if name not in ("catalogue", "twin", "engine")}
