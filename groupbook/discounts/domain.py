"""Values of this room: what a traveler brings, what a party costs, and why. No database, no clock.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid     catalogue_invalid, rules_unsupported, case_invalid, too_many_combinations,
    │               no_own_fare, proof_broken, cards_invalid, code_invalid, trial_ambiguous
    ├── Conflict    catalogue_in_force, code_exists, code_not_usable
    ├── TooMany     trials_busy
    └── NotFound    catalogue_not_found, code_not_found
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from enum import StrEnum
from typing import Literal
from uuid import UUID

from groupbook.discounts.engine.errors import (
    CaseInvalid,
    CatalogueInvalid,
    DiscountError,
    NoOwnFare,
    Problem,
    RulesUnsupported,
    TooManyCombinations,
)
from groupbook.kit.errors import Conflict, Invalid, NotFound
from groupbook.kit.ids import CodeId, RedemptionId
from groupbook.kit.money import Money

cards_per_subject_max = 20
codes_per_subject_max = 20
age_max = 130


class CatalogueNotFound(NotFound):
    code = "catalogue_not_found"


class CardsInvalid(Invalid):
    code = "cards_invalid"


class CodeInvalid(Invalid):
    """The merchant's new code contradicts itself or the catalogue, or somebody holds too many."""

    code = "code_invalid"


class CodeExists(Conflict):
    """The merchant has a code of this text, however it is cased."""

    code = "code_exists"


class CodeNotFound(NotFound):
    """No such code, or a private one of somebody else: which of the two is not told."""

    code = "code_not_found"


class CodeNotUsable(Conflict):
    """The code is known to the one who asks and cannot be used now; `reason` is a `CodeState`."""

    code = "code_not_usable"


@dataclass(frozen=True)
class Card:
    """A discount card somebody says they hold. `type` is a rule trigger of the merchant's catalogue.

    The number is sealed at rest and opened for its owner only. `mark` stands for it wherever cards are compared.
    """

    type: str
    number: str | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    travel_class: str | None = None
    mark: str | None = None


class CodeState(StrEnum):
    """Whether a code may be used now, by one who may use it at all; the first that applies."""

    DISABLED = "disabled"
    NOT_STARTED = "not_started"
    EXPIRED = "expired"
    USED_UP = "used_up"
    USABLE = "usable"


@dataclass(frozen=True)
class CodeDraft:
    """A code as the merchant wants it. `rule` is a rule of the catalogue with the trigger `code`.

    `owner` is a person; a code without one is for everybody who knows it. No limit means no end.
    """

    text: str
    rule: str
    owner: UUID | None = None
    uses_max: int | None = None
    uses_per_person_max: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def limits(self) -> CodeLimits:
        return CodeLimits(self.uses_max, self.uses_per_person_max, self.starts_at, self.ends_at)


@dataclass(frozen=True)
class CodeLimits:
    """What of a code may change after it was made: how often it counts, and when. None: without a limit."""

    uses_max: int | None = None
    uses_per_person_max: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True)
class DiscountCode:
    """A merchant's code. `uses` counts what is reserved or redeemed, and never passes `uses_max`."""

    id: CodeId
    draft: CodeDraft
    uses: int
    created_at: datetime
    disabled_at: datetime | None = None

    @property
    def uses_left(self) -> int | None:
        """How often anybody may still use it; None: without end."""
        return None if self.draft.uses_max is None else self.draft.uses_max - self.uses

    def is_for(self, subject: UUID) -> bool:
        return self.draft.owner in (None, subject)

    def state(self, now: datetime, *, uses_by_subject: int) -> CodeState:
        """Whether somebody who has used it `uses_by_subject` times may use it once more. The end is exclusive."""
        draft = self.draft
        if self.disabled_at is not None:
            return CodeState.DISABLED
        if draft.starts_at is not None and now < draft.starts_at:
            return CodeState.NOT_STARTED
        if draft.ends_at is not None and now >= draft.ends_at:
            return CodeState.EXPIRED
        if draft.uses_max is not None and self.uses >= draft.uses_max:
            return CodeState.USED_UP
        if draft.uses_per_person_max is not None and uses_by_subject >= draft.uses_per_person_max:
            return CodeState.USED_UP
        return CodeState.USABLE


@dataclass(frozen=True)
class HeldCode:
    """A code that somebody entered, as it is now. Private to its holder. `uses_left` is everybody's together."""

    id: CodeId
    text: str
    rule: str
    state: CodeState
    ends_at: datetime | None = None
    uses_left: int | None = None


@dataclass(frozen=True)
class CodeUse:
    """One use of somebody's code in their price, and what it took off the whole party's."""

    code_id: CodeId
    rule: str
    saved: Money


class RedemptionState(StrEnum):
    RESERVED = "reserved"  # in an open booking; counts
    REDEEMED = "redeemed"  # booked; counts
    RELEASED = "released"  # given back


@dataclass(frozen=True)
class Redemption:
    """One use of a code by the caller's `reference`. Who used it is not told to the merchant here."""

    id: RedemptionId
    code_id: CodeId
    reference: UUID
    state: RedemptionState
    saved: Money
    reserved_at: datetime
    redeemed_at: datetime | None
    released_at: datetime | None


@dataclass(frozen=True)
class Entitlements:
    """What one subject (a person or a guest, opaque here) brings to a price. Private: only they may read it."""

    subject: UUID
    cards: tuple[Card, ...] = ()
    age: int | None = None
    age_stated_on: date | None = None
    changed_at: datetime | None = None
    codes: tuple[HeldCode, ...] = ()


@dataclass(frozen=True)
class CardType:
    """A card the merchant's catalogue knows, for the form. `name` is the merchant's own word for it."""

    type: str
    name: str


@dataclass(frozen=True)
class RuleName:
    """What the merchant calls a rule (empty: nothing), and the card types that bring it."""

    title: str
    cards: tuple[str, ...] = ()


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


# Whose doing a line is: the fare; one's own card; a public offer for this person; a public offer for the group; a
# ticket shared by the group; somebody else's card (whose name is for its holder only); one's own code; somebody
# else's code; the evening out. Empty in what was stored before this was known.
LineKind = Literal["fare", "card", "offer", "group", "flat", "company", "code", "shared_code", "settle", ""]


@dataclass(frozen=True)
class Line:
    """One step of a price: `what` is `fare:<family>`, a rule id or `settle`. The lines add up to `pay`.

    `others` is how many people of the party earn it together with this one.
    """

    what: str
    delta: Money
    kind: LineKind = ""
    others: int = 0

    def told(self) -> Line:
        """The line as the one who pays it may read it: a card or code of somebody else keeps its name."""
        return replace(self, what=self.kind) if self.kind in ("company", "shared_code") else self


@dataclass(frozen=True)
class Refusal:
    """A rule that did not help: `reason` is why. `by` is a card type, the text of a code, or `public`."""

    rule: str
    by: str
    reason: str


@dataclass(frozen=True)
class Unused:
    """A lawful rule that would make the party dearer by `dearer` (zero: a tie).

    `clashes_with` is a rule on the same person's price that it may not meet, if that is named to this person at all.
    """

    rule: str
    by: str
    dearer: Money
    clashes_with: str | None = None


@dataclass(frozen=True)
class PersonPrice:
    """What one traveler costs. `face` is the ticket, `pay` what they owe, `alone` the best price without the others.

    `refusals`, `unused` and `codes` (those of theirs that the price uses) speak of what is this person's own: show them
    to nobody else.
    """

    subject: UUID
    pay: Money
    face: Money
    alone: Money
    family: str | None
    lines: tuple[Line, ...]
    refusals: tuple[Refusal, ...] = ()
    unused: tuple[Unused, ...] = ()
    codes: tuple[CodeUse, ...] = ()


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
class NextStep:
    """How a growing group pays less: with `people_more` more grown-ups at full fare the present ones save `saving`.

    `pays` is what each of the present ones would then owe: show each only to its owner.
    """

    people_more: int
    saving: Money
    pays: Mapping[UUID, Money]


@dataclass(frozen=True)
class CatalogueVersion:
    """One version of a merchant's rules, in force for travel from `starts_on` until a later version starts."""

    version: int
    starts_on: date
    rules: int
    created_at: datetime
    document: Mapping[str, object] = field(repr=False)


def code_key(text: str) -> str:
    """What two spellings of one code have in common: neither case nor blanks count."""
    return "".join(text.split()).casefold()


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
    "CodeDraft",
    "CodeExists",
    "CodeInvalid",
    "CodeNotFound",
    "CodeNotUsable",
    "CodeState",
    "CodeUse",
    "DiscountCode",
    "DiscountError",
    "Entitlements",
    "HeldCode",
    "Line",
    "LineKind",
    "NextStep",
    "NoOwnFare",
    "PartyPrice",
    "PartyRequest",
    "PartyTraveler",
    "PersonPrice",
    "Problem",
    "Proof",
    "Redemption",
    "RedemptionState",
    "Refusal",
    "RuleName",
    "RulesUnsupported",
    "TooManyCombinations",
    "TripFacts",
    "Unused",
    "age_max",
    "age_on",
    "cards_per_subject_max",
    "code_key",
    "codes_per_subject_max",
]
