"""What goes over the wire about a made-up party: people who are nobody, and what they would pay."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from groupbook.discounts.catalogue_schemas import Rules
from groupbook.discounts.service.trying import Trial
from groupbook.kit.http import Currency, Wire

trial_travelers_max = 40
Name = Annotated[str, StringConstraints(min_length=1, max_length=80)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=80)]
Words = Annotated[list[Name], Field(max_length=20)]
Minor = Annotated[int, Field(ge=0, le=1_000_000_000)]


class TrialTrip(Wire):
    """The facts that rules may ask about. One that is left out is not known, and clauses about it do not hold."""

    date: dt.date
    depart: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    return_date: dt.date | None = None
    direction: Literal["single", "return"] = "single"
    operator: Name = "any"
    service: Name = "any"
    travel_class: Name = "2"
    duration_min: Annotated[int, Field(ge=0, le=100_000)] | None = None
    days_before: Annotated[int, Field(ge=-1_000, le=10_000)] | None = None
    channel: Name = "online"
    tags: Words = []
    public_holiday: bool = False
    same_train: bool = True


class TrialCard(Wire):
    """A card of a made-up traveler. The same `id` on two of them is one card naming both."""

    type: Key
    id: Name | None = None
    valid_from: dt.date | None = None
    valid_until: dt.date | None = None
    travel_class: Name | None = None


class TrialTraveler(Wire):
    """Somebody who does not exist: `fares` is the full adult price of every fare family they would take, in minor
    units."""

    id: Name
    age: Annotated[int, Field(ge=0, le=150)] | None = None
    cards: Annotated[list[TrialCard], Field(max_length=20)] = []
    fares: Annotated[dict[Key, Minor], Field(min_length=1, max_length=20)]
    tags: Words = []
    parents: Words = []
    household: Name | None = None


class TrialCode(Wire):
    """A code of a rule in a traveler's hand."""

    rule: Key
    owner: Name


class TryRules(Wire):
    """A made-up party, and the rules to try: those of `version`, a draft in `rules`, or those in force on the day of
    travel. In `quota` a fare family has so many seats, a `rule:<id>` so many uses."""

    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    rules: Rules | None = None
    currency: Currency
    trip: TrialTrip
    travelers: Annotated[list[TrialTraveler], Field(min_length=1, max_length=trial_travelers_max)]
    codes: Annotated[list[TrialCode], Field(max_length=trial_travelers_max)] = []
    quota: Annotated[dict[Name, Annotated[int, Field(ge=0, le=1_000)]], Field(max_length=50)] = {}

    def party(self) -> dict[str, Any]:
        """The case, without its rules."""
        wire = self.model_dump(mode="json", exclude={"version", "rules", "travelers"}, exclude_none=True)
        people = [one.model_dump(mode="json", exclude_none=True) for one in self.travelers]
        return {"id": "trial", **wire, "travellers": people}  # spelling: the cases' own


class TrialPersonOut(Wire):
    """`lines` (what, amount) add up to `pay`; `face` is the ticket, `alone` the best price without the others."""

    pay: int
    face: int
    alone: int
    family: str | None
    lines: list[tuple[str, int]]


class TrialApplicationOut(Wire):
    """One use of an offer for several people, or of a code."""

    rule: str
    by: str
    members: list[str]
    anchor: str | None


class TrialRejectedOut(Wire):
    rule: str
    by: str
    reason: str


class TrialUnusedOut(Wire):
    """A lawful rule that would make the party dearer by `dearer` (zero: a tie)."""

    rule: str
    by: str
    dearer: int


class TrialProofOut(Wire):
    """`bound` is a proven lower limit of the total; `optimal` says that the total reaches it."""

    optimal: bool
    bound: int


class TrialOut(Wire):
    """What the made-up party would pay, in minor units of `currency`; `version` is null for a draft."""

    version: int | None
    currency: str
    total: int
    people: dict[str, TrialPersonOut]
    applications: list[TrialApplicationOut]
    rejected: list[TrialRejectedOut]
    unused: list[TrialUnusedOut]
    proof: TrialProofOut

    @classmethod
    def of(cls, trial: Trial, currency: str) -> TrialOut:
        answer = trial.answer
        return cls(
            version=trial.version,
            currency=currency,
            total=answer["total"],
            people={
                id: TrialPersonOut(**{**one, "lines": [(what, delta) for what, delta in one["lines"]]})
                for id, one in answer["people"].items()
            },
            applications=[
                TrialApplicationOut(rule=rule, by=by, members=members, anchor=anchor)
                for rule, by, members, anchor in answer["applications"]
            ],
            rejected=[TrialRejectedOut(rule=rule, by=by, reason=why) for rule, by, why in answer["rejected"]],
            unused=[TrialUnusedOut(rule=rule, by=by, dearer=more) for rule, by, more in answer["unused"]],
            proof=TrialProofOut(optimal=answer["proof"]["optimal"], bound=answer["proof"]["bound"]),
        )
