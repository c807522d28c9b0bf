"""Values of this room: what a traveler brings, what a party costs, and why. No database, no clock.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid     catalogue_invalid, rules_unsupported, case_invalid, party_too_large, too_many_combinations,
    │               no_own_fare, proof_broken, cards_invalid
    └── NotFound    catalogue_not_found
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Literal
from uuid import UUID

from groupbook.discounts.engine.errors import (
    CaseInvalid,
    CatalogueInvalid,
    DiscountError,
    NoOwnFare,
    PartyTooLarge,
    Problem,
    RulesUnsupported,
    TooManyCombinations,
)
from groupbook.kit.errors import Invalid, NotFound
from groupbook.kit.money import Money

cards_per_subject_max = 20
age_max = 130


class CatalogueNotFound(NotFound):
    code = "catalogue_not_found"


class CardsInvalid(Invalid):
    code = "cards_invalid"


@dataclass(frozen=True)
class Card:
    """A discount card somebody says they hold. `type` is a rule trigger of the merchant's catalogue."""

    type: str
    number: str | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    travel_class: str | None = None


@dataclass(frozen=True)
class Entitlements:
    """What one subject (a person or a guest, opaque here) brings to a price. Private: only they may read it."""

    subject: UUID
    cards: tuple[Card, ...] = ()
    age: int | None = None
    age_stated_on: date | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True)
class CardType:
    """A card the merchant's catalogue knows, for the form. `name` is the merchant's own word for it."""

    type: str
    name: str


@dataclass(frozen=True)
class TripFacts:
    """The facts a rule may ask about. A fact that is not known stays None, and clauses about it do not hold."""

    date: dt.date
    depart: time | None = None
    return_date: dt.date | None = None
    direction: Literal["single", "return"] = "single"
    operator: str = "any"
    service: str = "any"
    travel_class: str = "2"
    duration_minutes: int | None = None
    days_before: int | None = None
    channel: str = "online"
    tags: tuple[str, ...] = ()
    public_holiday: bool = False


@dataclass(frozen=True)
class PartyTraveler:
    """One traveler of the party: the full adult price of every fare family this person accepts, minor units."""

    subject: UUID
    fares: Mapping[str, int]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartyRequest:
    """A party to be priced on one offer; `on` is the day of travel, whose rules and ages count."""

    facts: TripFacts
    travelers: tuple[PartyTraveler, ...]
    currency: str
    on: date


@dataclass(frozen=True)
class Line:
    """One step of a price: `what` is `fare:<family>`, a rule id or `settle`. The lines add up to `pay`."""

    what: str
    delta: Money


@dataclass(frozen=True)
class Refusal:
    """A rule that did not help: `reason` is a code. `by` is a card type, a code, or `public`."""

    rule: str
    by: str
    reason: str


@dataclass(frozen=True)
class Unused:
    """A lawful rule that would make the party dearer by `dearer` (zero: a tie)."""

    rule: str
    by: str
    dearer: Money


@dataclass(frozen=True)
class PersonPrice:
    """What one traveler costs. `face` is the ticket, `pay` what they owe, `alone` the best price without the others.

    `refusals` and `unused` speak of this person's own cards: show them to nobody else.
    """

    subject: UUID
    pay: Money
    face: Money
    alone: Money
    family: str | None
    lines: tuple[Line, ...]
    refusals: tuple[Refusal, ...] = ()
    unused: tuple[Unused, ...] = ()


@dataclass(frozen=True)
class Proof:
    """Why the total is the lowest: `bound` is a proven lower limit, `optimal` that the total reaches it."""

    optimal: bool
    bound: Money
    method: str


@dataclass(frozen=True)
class PartyPrice:
    """The cheapest lawful price of a party. The `pay` of all people sums to `total`; nobody pays more than alone."""

    total: Money
    people: Mapping[UUID, PersonPrice]
    refusals: tuple[Refusal, ...]
    unused: tuple[Unused, ...]
    proof: Proof
    catalogue_version: int | None = None


@dataclass(frozen=True)
class CatalogueVersion:
    """One version of a merchant's rules, in force for travel from `starts_on` until a later version starts."""

    version: int
    starts_on: date
    rules: int
    created_at: datetime
    document: Mapping[str, object] = field(repr=False)


def age_on(age: int, stated_on: date, on: date) -> int:
    """The age to count with: as stated, plus the whole years since (a birthday in between is not known)."""
    years = on.year - stated_on.year - ((on.month, on.day) < (stated_on.month, stated_on.day))
    return age + max(0, years)


__all__ = [
    "Card",
    "CardType",
    "CardsInvalid",
    "CaseInvalid",
    "CatalogueInvalid",
    "CatalogueNotFound",
    "CatalogueVersion",
    "DiscountError",
    "Entitlements",
    "Line",
    "NoOwnFare",
    "PartyPrice",
    "PartyRequest",
    "PartyTooLarge",
    "PartyTraveler",
    "PersonPrice",
    "Problem",
    "Proof",
    "Refusal",
    "RulesUnsupported",
    "TooManyCombinations",
    "TripFacts",
    "Unused",
    "age_max",
    "age_on",
    "cards_per_subject_max",
]
