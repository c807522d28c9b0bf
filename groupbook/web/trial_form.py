"""The form of a made-up party: fields that people fill in on one side, a case in its own schema on the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

from groupbook.discounts import Problem, TrialChoices
from groupbook.kit.i18n import Words
from groupbook.kit.money import exponent

people_max: Final = 12
codes_max: Final = 3
PEOPLE: Final = "travellers"  # spelling: the cases' own
NAMES: Final = ("Ana", "Ben", "Cem", "Dia", "Eva", "Fil", "Gus", "Hal", "Ida", "Jon", "Kim", "Leo")
_PAIR: Final = re.compile(r"\s*([A-Za-z][\w.:-]*)\s*[:=]?\s+(\d{1,9}(?:[.,]\d{1,4})?)\s*(?:[;,]|$)")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_WORD: Final = re.compile(r"[^\s,;]{1,80}")


@dataclass(frozen=True)
class PersonFields:
    """One traveler's row, as typed."""

    name: str = ""
    age: str = ""
    cards: tuple[str, str] = ("", "")
    fares: str = ""
    tags: str = ""


@dataclass(frozen=True)
class CodeFields:
    rule: str = ""
    owner: str = ""  # the number of the row


@dataclass(frozen=True)
class PartyFields:
    """The whole form, as typed. `fares` are everybody's who has none of their own."""

    currency: str
    date: str
    depart: str = ""
    direction: str = "single"
    return_date: str = ""
    travel_class: str = "2"
    service: str = ""
    operator: str = ""
    channel: str = ""
    duration_min: str = ""
    days_before: str = ""
    tags: str = ""
    public_holiday: bool = False
    same_train: bool = True
    fares: str = ""
    quota: str = ""
    people: tuple[PersonFields, ...] = ()
    codes: tuple[CodeFields, ...] = (CodeFields(),) * codes_max


@dataclass
class Reading:
    """A case in the making, and what is wrong with the fields so far, by the name of the field."""

    say: Words
    case: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def number(self, name: str, text: str, *, most: int = 100_000) -> int | None:
        if not text:
            return None
        if text.isascii() and text.isdigit() and int(text[:9]) <= most:
            return int(text)
        self.errors[name] = self.say("Give a whole number, at most %(most)s.", most=most)
        return None

    def day(self, name: str, text: str) -> str | None:
        try:
            return date.fromisoformat(text).isoformat() if text else None
        except ValueError:
            self.errors[name] = self.say("Give a date: 2026-12-31.")
            return None


# --- from the form to a case ----------------------------------------------------------------------------------------


def case_of(fields: PartyFields, say: Words) -> Reading:
    """The case of a form, with the errors of fields that cannot be read."""
    reading = Reading(say)
    currency = fields.currency.strip().upper()
    if not _CURRENCY.fullmatch(currency):
        reading.errors["currency"] = say("Give a currency in three letters: EUR.")
        currency = "EUR"
    names = _names(fields.people, reading)
    reading.case = {
        "id": "trial",
        "currency": currency,
        "trip": _trip(fields, reading),
        PEOPLE: [
            _person(number, one, name, fields, currency, reading)
            for number, (one, name) in enumerate(zip(fields.people, names, strict=True), 1)
        ],
    }
    codes = [_code(number, one, names, reading) for number, one in enumerate(fields.codes, 1) if one.rule]
    if codes:
        reading.case["codes"] = codes
    if fields.quota.strip():
        reading.case["quota"] = _pairs("quota", fields.quota, 0, reading)
    return reading


def _trip(fields: PartyFields, reading: Reading) -> dict[str, Any]:
    trip: dict[str, Any] = {
        "date": reading.day("date", fields.date),
        "depart": fields.depart[:5] or None,
        "direction": fields.direction,
        "return_date": reading.day("return_date", fields.return_date),
        "duration_min": reading.number("duration_min", fields.duration_min),
        "days_before": reading.number("days_before", fields.days_before),
        "tags": _WORD.findall(fields.tags) or None,
    }
    for name in ("travel_class", "service", "operator", "channel"):
        trip[name] = getattr(fields, name).strip() or None
    if trip["date"] is None:
        reading.errors["date"] = reading.say("Give a date: 2026-12-31.")
    if fields.public_holiday:
        trip["public_holiday"] = True
    if not fields.same_train:
        trip["same_train"] = False
    return {name: value for name, value in trip.items() if value is not None}


def _names(people: Sequence[PersonFields], reading: Reading) -> list[str]:
    names: list[str] = []
    for number, one in enumerate(people, 1):
        name = one.name.strip() or f"P{number}"
        if name in names:
            reading.errors[f"name-{number}"] = reading.say("Two travelers have the same name.")
        names.append(name)
    return names


def _person(
    number: int, one: PersonFields, name: str, fields: PartyFields, currency: str, reading: Reading
) -> dict[str, Any]:
    digits = exponent(currency)
    own = one.fares.strip()
    if own:
        fares = _pairs(f"fares-{number}", own, digits, reading)
    else:
        fares = _pairs("fares", fields.fares, digits, reading)
        if not fares and "fares" not in reading.errors:
            reading.errors[f"fares-{number}"] = reading.say("Everybody needs a fare.")
    person: dict[str, Any] = {"id": name, "fares": fares}
    age = reading.number(f"age-{number}", one.age.strip(), most=150)
    if age is not None:
        person["age"] = age
    cards = [{"type": card} for card in dict.fromkeys(one.cards) if card]
    if cards:
        person["cards"] = cards
    tags = _WORD.findall(one.tags)
    if tags:
        person["tags"] = tags
    return person


def _code(number: int, one: CodeFields, names: Sequence[str], reading: Reading) -> dict[str, str]:
    owner = one.owner
    if owner.isascii() and owner.isdigit() and 1 <= int(owner[:3]) <= len(names):
        return {"rule": one.rule, "owner": names[int(owner) - 1]}
    reading.errors[f"code-{number}"] = reading.say("Say who holds the code.")
    return {"rule": one.rule, "owner": names[0] if names else ""}


def _pairs(name: str, text: str, digits: int, reading: Reading) -> dict[str, int]:
    """`saver 49.00, flex 89.00` in minor units."""
    pairs: dict[str, int] = {}
    at, text = 0, text.strip()
    while at < len(text):
        found = _PAIR.match(text, at)
        amount = None if found is None else _minor(found[2], digits)
        if found is None or amount is None:
            reading.errors[name] = reading.say("Write names and numbers in turn: saver 49.00, flex 89.00")
            return {}
        pairs[found[1]] = amount
        at = found.end()
    return pairs


def _minor(text: str, digits: int) -> int | None:
    whole, _, part = text.replace(",", ".").partition(".")
    if len(part) > digits:
        return None
    return int(whole + part.ljust(digits, "0"))


# --- from a case to the form ----------------------------------------------------------------------------------------


def fields_of(case: Mapping[str, Any]) -> PartyFields:
    """The form of a case that could be priced; what the form has no field for stays in the case only."""
    trip, people, currency = case["trip"], case[PEOPLE], case["currency"]
    texts = {
        name: str(trip[name])
        for name in (
            "depart",
            "return_date",
            "direction",
            "travel_class",
            "service",
            "operator",
            "channel",
            "duration_min",
            "days_before",
        )
        if trip.get(name) is not None
    }
    names = [one["id"] for one in people]
    codes = [CodeFields(one["rule"], str(names.index(one["owner"]) + 1)) for one in case.get("codes", ())[:codes_max]]
    return PartyFields(
        currency=currency,
        date=str(trip["date"]),
        tags=", ".join(trip.get("tags", ())),
        public_holiday=trip.get("public_holiday", False),
        same_train=trip.get("same_train", True),
        quota=", ".join(f"{name} {seats}" for name, seats in case.get("quota", {}).items()),
        people=tuple(_fields_of_person(one, currency) for one in people[:people_max]),
        codes=(*codes, *(CodeFields(),) * (codes_max - len(codes))),
        **texts,
    )


def _fields_of_person(one: Mapping[str, Any], currency: str) -> PersonFields:
    cards = [card["type"] for card in one.get("cards", ())][:2]
    return PersonFields(
        name=one["id"],
        age="" if one.get("age") is None else str(one["age"]),
        cards=((*cards, "", "")[0], (*cards, "", "")[1]),
        fares=", ".join(f"{family} {amount_text(minor, currency)}" for family, minor in one["fares"].items()),
        tags=", ".join(one.get("tags", ())),
    )


def amount_text(minor: int, currency: str) -> str:
    """An amount as it is typed: 4900 is 49.00 in euro."""
    digits = exponent(currency)
    whole, part = divmod(minor, 10**digits)
    return f"{whole}.{part:0{digits}d}" if digits else str(whole)


def field_of(pointer: str) -> str:
    """The field of the form that a place of the case came from; empty when it came from none."""
    parts = pointer.split("/")[1:]
    if parts[:1] == [PEOPLE] and len(parts) > 1:
        names = {"id": "name", "cards": "card"}
        part = parts[2] if len(parts) > 2 else "fares"
        return f"{names.get(part, part)}-{int(parts[1]) + 1}"
    if parts[:1] == ["codes"] and len(parts) > 1:
        return f"code-{int(parts[1]) + 1}"
    return parts[1] if parts[:1] == ["trip"] and len(parts) > 1 else parts[0] if parts else ""


def errors_of(problems: Sequence[Problem], sentence: Any) -> dict[str, str]:
    """The first sentence for each field."""
    errors: dict[str, str] = {}
    for one in problems:
        errors.setdefault(field_of(one.pointer), sentence(one))
    return errors


# --- to begin with --------------------------------------------------------------------------------------------------


def preset(name: str, choices: TrialChoices, *, currency: str, today: date) -> PartyFields:
    """A party to begin with: `family`, `friends`, `cards`; anything else is two people without anything."""
    own = choices.currencies
    money = currency if currency in own or not own else own[0]
    families = choices.families[:2] or ("standard",)
    full = 50 * 10 ** exponent(money)
    fares = ", ".join(f"{one} {amount_text(full - at * full // 5, money)}" for at, one in enumerate(families))
    cards = [card.type for card in choices.cards[:2]]
    people = {
        "family": [("Ana", "41"), ("Ben", "43"), ("Cem", "9"), ("Dia", "3")],
        "friends": [(name, str(24 + at)) for at, name in enumerate(NAMES[:10])],
        "cards": [("Ana", "22"), ("Ben", "35")],
    }.get(name, [("Ana", "30"), ("Ben", "31")])
    rows = tuple(PersonFields(name, age) for name, age in people)
    if name == "cards":
        rows = tuple(replace(row, cards=(card, "")) for row, card in zip(rows, [*cards, "", ""], strict=False))
    return PartyFields(currency=money, date=today.isoformat(), depart="10:30", fares=fares, people=rows)
