"""A case: one priced thing for everybody (a leg, or a return sold as one), the people and the rules in force."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictInt, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from groupbook.discounts.engine.errors import CaseInvalid, Problem
from groupbook.discounts.engine.rules import (
    Amount,
    Catalogue,
    Clause,
    Code,
    Model,
    OrderRule,
    Rule,
    Who,
    problems_of,
    require_supported,
)

TRAVELERS_MAX = 60
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKEND_NIGHTS = frozenset({"fri", "sat", "sun"})
FactValue = str | int | bool | tuple[str, ...] | None
PersonName = Annotated[str, Field(min_length=1, max_length=80)]


class HeldCard(Model):
    type: Code
    id: PersonName | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    travel_class: str | None = None
    travels_with: tuple[PersonName, ...] | PersonName = Field((), alias="with")

    def by(self, holder: str) -> str:
        return self.id or f"{self.type}@{holder}"

    @property
    def companions(self) -> tuple[str, ...]:
        return (self.travels_with,) if isinstance(self.travels_with, str) else self.travels_with


class Traveler(Model):
    id: PersonName
    age: Annotated[StrictInt, Field(ge=0, le=150)] | None = None
    born: date | None = None
    cards: Annotated[tuple[HeldCard, ...], Field(max_length=40)] = ()
    fares: Mapping[Code, Amount]
    tags: tuple[str, ...] = ()
    parents: tuple[PersonName, ...] = ()
    household: str | None = None

    @model_validator(mode="after")
    def _has_fare(self) -> Self:
        if not self.fares:
            raise PydanticCustomError("fare_missing", "a traveler needs a fare")
        return self

    def age_on(self, on: date) -> int | None:
        """Completed years on `on`; the age as given when no birth date is known; None when neither is."""
        if self.born is None:
            return self.age
        return on.year - self.born.year - ((on.month, on.day) < (self.born.month, self.born.day))


class Trip(Model):
    date: dt.date
    depart: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    return_date: dt.date | None = None
    direction: Literal["single", "return"] = "single"
    operator: str = "any"
    service: str = "any"
    travel_class: str = "2"
    duration_min: Annotated[StrictInt, Field(ge=0)] | None = None
    days_before: StrictInt | None = None
    channel: str = "online"
    tags: tuple[str, ...] = ()
    public_holiday: bool = False
    same_train: bool = True


class UsedCode(Model):
    rule: Code
    owner: PersonName


class CaseDocument(Model):
    id: str
    title: str | None = None
    cites: tuple[str, ...] = ()
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    trip: Trip
    travelers: Annotated[
        tuple[Traveler, ...],
        Field(min_length=1, max_length=TRAVELERS_MAX, alias="travellers"),  # spelling: the cases' own
    ]
    rules: tuple[Code, ...]
    codes: tuple[UsedCode, ...] = ()
    quota: Mapping[str, Annotated[StrictInt, Field(ge=0)]] = {}
    work: str | None = None
    assumes: str | None = None
    expected: Mapping[str, Any] | None = None

    @model_validator(mode="after")
    def _people(self) -> Self:
        ids = [one.id for one in self.travelers]
        if len(set(ids)) != len(ids):
            raise PydanticCustomError("traveler_twice", "two travelers of one id")
        return self


_CASE = TypeAdapter(CaseDocument)


@dataclass(frozen=True)
class Case:
    """A case with its rules at hand. Made by `parse_case` (JSON) or directly (the room)."""

    id: str
    currency: str
    trip: Trip
    travelers: tuple[Traveler, ...]
    rules: tuple[Rule, ...]
    codes: tuple[tuple[str, str], ...] = ()
    quota: Mapping[str, int] = field(default_factory=dict)

    def alone(self, traveler: Traveler) -> Case:
        """The same trip for one person, without anything that others might take: contested seats belong to nobody."""
        seats = dict.fromkeys(traveler.fares, 0)
        for one in self.travelers:
            for family in one.fares:
                if family in seats:
                    seats[family] += 1
        fares = {
            family: amount
            for family, amount in traveler.fares.items()
            if self.quota.get(family, seats[family]) >= seats[family]
        }
        # A contested rule is nobody's, but the fares that exist only inside it stay inside it.
        contested = {
            f"rule:{rule.id}": 0
            for rule in self.rules
            if self.quota.get(f"rule:{rule.id}", TRAVELERS_MAX) < len(self.travelers)
        }
        orders = {rule.id: rule for rule in self.rules if isinstance(rule, OrderRule)}
        exclusive = {id for id, rule in orders.items() if rule.exclusive}
        rivals = any(owner != traveler.id for rule, owner in self.codes if rule in orders)
        codes = tuple(
            (rule, owner) for rule, owner in self.codes if owner == traveler.id and not (rivals and rule in exclusive)
        )
        person = traveler.model_copy(update={"fares": fares})
        return Case(self.id, self.currency, self.trip, (person,), self.rules, codes, contested)


def parse_case(document: object, catalogue: Catalogue) -> Case:
    """Read one case against a catalogue.

    Raises:
        CaseInvalid: a broken field, an unknown rule or owner; with a pointer.
        RulesUnsupported: a rule the case names cannot be priced yet.
    """
    try:
        read = _CASE.validate_python(document)
    except ValidationError as error:
        raise CaseInvalid(problems_of(error, document)) from None
    rules = catalogue.executable
    unknown = [Problem(f"/rules/{at}", "unknown_rule", id) for at, id in enumerate(read.rules) if id not in rules]
    owners = {one.id for one in read.travelers}
    unknown += [
        Problem(f"/codes/{at}/owner", "unknown_owner") for at, c in enumerate(read.codes) if c.owner not in owners
    ]
    unknown += [
        Problem(f"/codes/{at}/rule", "unknown_rule", c.rule) for at, c in enumerate(read.codes) if c.rule not in rules
    ]
    if unknown:
        raise CaseInvalid(unknown)
    chosen = tuple(rules[id] for id in dict.fromkeys(read.rules))
    require_supported(Catalogue(rules=chosen))
    return Case(
        id=read.id,
        currency=read.currency,
        trip=read.trip,
        travelers=read.travelers,
        rules=chosen,
        codes=tuple((code.rule, code.owner) for code in read.codes),
        quota=read.quota,
    )


class Facts:
    """What clauses may ask about: the trip's fields and what follows from them and the party."""

    def __init__(self, trip: Trip, travelers: tuple[Traveler, ...]) -> None:
        self.on = trip.date
        self.ages = tuple(one.age_on(trip.date) for one in travelers)
        weekday = _WEEKDAYS[trip.date.weekday()]
        back = trip.return_date if trip.direction == "return" else None
        self.values: dict[str, FactValue] = {
            "date": trip.date.isoformat(),
            "depart": trip.depart,
            "return_date": back.isoformat() if back else None,
            "direction": trip.direction,
            "operator": trip.operator,
            "service": trip.service,
            "travel_class": trip.travel_class,
            "duration_min": trip.duration_min,
            "days_before": trip.days_before,
            "channel": trip.channel,
            "tags": trip.tags,
            "public_holiday": trip.public_holiday,
            "same_train": trip.same_train,
            "weekday": weekday,
            "month": trip.date.month,
            "weekend_night": _has_weekend_night(trip.date, back),
            "same_day_return": back == trip.date,
            "party": len(travelers),
        }

    def value(self, clause: Clause) -> FactValue:
        if clause.fact == "party_count":
            return sum(_within(age, clause.age) for age in self.ages)
        return self.values.get(clause.fact or "")

    def holds(self, clause: Clause) -> bool:
        if clause.any_of is not None:
            return any(self.holds(one) for one in clause.any_of)
        if clause.all_of is not None:
            return all(self.holds(one) for one in clause.all_of)
        if clause.negated is not None:
            return not self.holds(clause.negated)
        return passes(clause, self.value(clause))

    def all_hold(self, clauses: tuple[Clause, ...]) -> bool:
        return all(self.holds(clause) for clause in clauses)

    def first_failing(self, clauses: tuple[Clause, ...]) -> str | None:
        """The reason of the first clause that does not hold; None when all hold."""
        for clause in clauses:
            if not self.holds(clause):
                return clause.reason or "condition"
        return None

    def with_application(self, counts: Mapping[str, int]) -> Facts:
        """The same facts, and the counts of one finished application: `n`, `n_<role>`."""
        other = Facts.__new__(Facts)
        other.on, other.ages = self.on, self.ages
        other.values = {**self.values, "n": sum(counts.values()), **{f"n_{role}": n for role, n in counts.items()}}
        return other


def fits(who: Who, traveler: Traveler, age: int | None, usable_types: frozenset[str]) -> bool:
    """Whether a person is what a rule asks for. `usable_types`: the card types valid on the travel date."""
    if who.age is not None and not _within(age, who.age):
        return False
    if any(tag not in traveler.tags for tag in who.tags) or any(tag in traveler.tags for tag in who.lacks):
        return False
    if who.holds_any and usable_types.isdisjoint(who.holds_any):
        return False
    return usable_types.isdisjoint(who.holds_none)


def card_problem(card: HeldCard, trip: Trip) -> str | None:
    """Why a card does not work on this trip; None when it does."""
    if card.valid_until is not None and card.valid_until < trip.date:
        return "card_expired"
    if card.valid_from is not None and card.valid_from > trip.date:
        return "card_not_started"
    # A first-class card is good in every class; any other only in its own.
    if card.travel_class is not None and card.travel_class not in ("1", trip.travel_class):
        return "card_class"
    return None


def _within(age: int | None, bounds: tuple[int | None, int | None] | None) -> bool:
    if bounds is None:
        return True
    if age is None:
        return False
    low, high = bounds
    return (low is None or age >= low) and (high is None or age <= high)


def passes(clause: Clause, value: FactValue) -> bool:
    """Whether a fact's value satisfies every comparison of a clause; a fact that is not known satisfies few."""
    if clause.eq is not None and not _same(value, clause.eq):
        return False
    if clause.ne is not None and _same(value, clause.ne):
        return False
    if clause.is_in is not None and not any(_same(value, one) for one in clause.is_in):
        return False
    if clause.nin is not None and any(_same(value, one) for one in clause.nin):
        return False
    if clause.has is not None and not (isinstance(value, tuple) and clause.has in value):
        return False
    if clause.lacks is not None and isinstance(value, tuple) and clause.lacks in value:
        return False
    bounds = ((clause.ge, (0, 1)), (clause.gt, (1,)), (clause.le, (0, -1)), (clause.lt, (-1,)))
    return all(_order(value, limit) in allowed for limit, allowed in bounds if limit is not None)


def _same(value: FactValue, other: object) -> bool:
    return type(value) is type(other) and value == other


def _order(value: FactValue, limit: object) -> int | None:
    """-1, 0 or 1; None when the two cannot be compared (an unknown fact, a wrong type)."""
    if isinstance(value, str) and isinstance(limit, str):
        return (value > limit) - (value < limit)
    if type(value) is int and type(limit) is int:
        return (value > limit) - (value < limit)
    return None


def _has_weekend_night(out: date, back: date | None) -> bool:
    """A night between the two days that begins on a Friday, Saturday or Sunday; the day of return has no night."""
    if back is None:
        return False
    nights = min(max((back - out).days, 0), 7)
    return any(_WEEKDAYS[(out + timedelta(days=night)).weekday()] in _WEEKEND_NIGHTS for night in range(nights))


__all__ = [
    "TRAVELERS_MAX",
    "Case",
    "Facts",
    "HeldCard",
    "Traveler",
    "Trip",
    "UsedCode",
    "card_problem",
    "fits",
    "parse_case",
    "passes",
]
