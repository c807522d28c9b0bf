"""The door of the engine: one case in, the cheapest lawful price with its proof and explanation out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groupbook.discounts.engine.alone import alone_amounts
from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.choose import Assignment, chosen
from groupbook.discounts.engine.columns import Column, Seat
from groupbook.discounts.engine.explain import Explanation, explained
from groupbook.discounts.engine.gap import Solved
from groupbook.discounts.engine.market import Work
from groupbook.discounts.engine.optimum import bound_of, solve
from groupbook.discounts.engine.proof import Certificate, Plan
from groupbook.discounts.engine.search import scale


@dataclass(frozen=True)
class PersonResult:
    """`lines` add up to `pay`; `face` is the price on the ticket; `alone` bounds `pay` from above."""

    pay: int
    face: int
    alone: int
    family: str | None
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Application:
    rule: str
    by: str
    members: tuple[str, ...]
    anchor: str | None


@dataclass(frozen=True)
class Priced:
    """The optimum of one case. All amounts are minor units of `currency`.

    ties: how far the tie-break went: "all" seven steps; for a large party also "applications" (three) or "total" (one).
    explained: false when the budget ended before every unused rule was priced; those are not listed then.
    """

    id: str
    currency: str
    total: int
    people: Mapping[str, PersonResult]
    applications: tuple[Application, ...]
    rejected: tuple[tuple[str, str, str], ...]
    unused: tuple[tuple[str, str, int], ...]
    proof: Certificate
    ties: str = "all"
    explained: bool = True

    def as_document(self) -> dict[str, Any]:
        """The answer in the schema of the cases."""
        return {
            "id": self.id,
            "total": self.total,
            "people": {
                id: {
                    "pay": one.pay,
                    "face": one.face,
                    "alone": one.alone,
                    "family": one.family,
                    "lines": [list(line) for line in one.lines],
                }
                for id, one in self.people.items()
            },
            "applications": [[one.rule, one.by, list(one.members), one.anchor] for one in self.applications],
            "rejected": [list(one) for one in self.rejected],
            "unused": [list(one) for one in self.unused],
            "proof": {**self.proof.as_document(), "ties": self.ties, "explained": self.explained},
        }


def price(case: Case, *, explain: bool = True) -> Priced:
    """The cheapest lawful assignment of the party, split so that nobody pays more than alone.

    Where the budget of the search ends before the proof, `proof.optimal` is false and `proof.bound` says how far off
    the total may be.

    Args:
        explain: also say why rules were refused and what unused ones would cost (one more search per unused rule).
    Raises:
        NoOwnFare: somebody has no fare that may be bought alone.
        TooManyCombinations: more ways to combine personal rules, or to fill a listed one, than the budget.
    """
    work = Work()
    alone = alone_amounts(case, work)
    solved = solve(case, alone, prove=True, work=work)
    assignment = chosen(case, solved, alone)
    explanation = explained(case, solved, assignment, alone) if explain else Explanation()
    return Priced(
        id=case.id,
        currency=case.currency,
        total=assignment.total,
        people=_people(case, assignment, alone),
        applications=_applications(case, assignment),
        rejected=explanation.rejected,
        unused=explanation.unused,
        proof=_proof(solved, assignment.total),
        ties=assignment.ties,
        explained=explanation.complete,
    )


def _proof(solved: Sequence[Solved], total: int) -> Certificate:
    bound = bound_of(solved)
    plans = tuple(Plan(tuple((code.rule.id, code.owner) for code in one.codes.codes), one.found.tree) for one in solved)
    return Certificate(bound == total, bound, scale, 1, plans)


def _people(case: Case, assignment: Assignment, alone: Sequence[int]) -> dict[str, PersonResult]:
    found: dict[int, PersonResult] = {}
    for column in assignment.columns:
        for seat in column.seats:
            person = seat.person
            found[person] = PersonResult(
                pay=assignment.pays[person],
                face=assignment.faces[person],
                alone=alone[person],
                family=None if column.flat else seat.ticket.family,
                lines=_lines(assignment, column, seat),
            )
    return {traveler.id: found[person] for person, traveler in enumerate(case.travelers)}


def _lines(assignment: Assignment, column: Column, seat: Seat) -> tuple[tuple[str, int], ...]:
    """fare, each rule, codes, settle: they add up to `pay`."""
    lines = [(f"fare:{seat.ticket.family}", seat.ticket.base)]
    lines += [(step.rule, step.delta) for step in seat.ticket.steps]
    if seat.pooled and column.rule is not None and seat.face != seat.ticket.price:
        lines.append((column.rule, seat.face - seat.ticket.price))
    lines += [
        (code.rule.id, -off[seat.person])
        for code, off in zip(assignment.codes.codes, assignment.off, strict=True)
        if off[seat.person]
    ]
    settle = assignment.pays[seat.person] - assignment.faces[seat.person]
    return (*lines, ("settle", settle)) if settle else tuple(lines)


def _applications(case: Case, assignment: Assignment) -> tuple[Application, ...]:
    names = [traveler.id for traveler in case.travelers]
    found = [
        (column.rule, column.by or "", tuple(seat.person for seat in column.seats), column.anchor)
        for column in assignment.columns
        if column.rule is not None
    ]
    found += [(code.rule.id, code.by, (), None) for code in assignment.codes.codes]
    return tuple(
        Application(rule, by, tuple(names[person] for person in people), None if anchor is None else names[anchor])
        for rule, by, people, anchor in sorted(found, key=lambda one: (*one[:3], -1 if one[3] is None else one[3]))
    )


__all__ = ["Application", "PersonResult", "Priced", "price"]
