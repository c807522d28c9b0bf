"""The door of the engine: one case in, the cheapest lawful price with its explanation out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.columns import Column, Market, Seat
from groupbook.discounts.engine.errors import NoOwnFare, PartyTooLarge
from groupbook.discounts.engine.rules import JointRule, Rule, SelfRule
from groupbook.discounts.engine.solve import Solution, Solver

people_joint_max: Final = 12


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
class Certificate:
    """`bound` is a proven lower limit of the total. `exact_partition`: every lawful partition was covered."""

    optimal: bool
    bound: int
    method: str = "exact_partition"


@dataclass(frozen=True)
class Priced:
    """The optimum of one case. All amounts are minor units of `currency`."""

    id: str
    currency: str
    total: int
    people: Mapping[str, PersonResult]
    applications: tuple[Application, ...]
    rejected: tuple[tuple[str, str, str], ...]
    unused: tuple[tuple[str, str, int], ...]
    proof: Certificate

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
            "proof": {"optimal": self.proof.optimal, "bound": self.proof.bound, "method": self.proof.method},
        }


def price(case: Case, *, explain: bool = True) -> Priced:
    """The cheapest lawful assignment of the party, split so that nobody pays more than alone.

    Args:
        explain: also say why rules were refused and what unused ones would cost (one more search per unused rule).
    Raises:
        PartyTooLarge: more than `people_joint_max` people while a rule binds several of them.
        TooManyCombinations: the budget ended before the proof.
        NoOwnFare: somebody has no fare that may be bought alone.
    """
    alone = _alone(case)
    market = Market(case, alone=alone if len(case.travelers) > 1 else None)
    binds = any(rule.anchor is None for rule, _ in market.joint_rules())
    if binds and len(case.travelers) > people_joint_max:
        raise PartyTooLarge(people=len(case.travelers), people_max=people_joint_max)
    columns = market.columns()
    solver = Solver(columns, market.capacities, len(case.travelers))
    solution = solver.solve()
    if solution is None:
        raise NoOwnFare()
    rejected, unused = _explain(case, market, columns, solver, solution, alone) if explain else ((), ())
    return Priced(
        id=case.id,
        currency=case.currency,
        total=solution.total,
        people=_people(case, solution, alone),
        applications=_applications(case, solution),
        rejected=rejected,
        unused=unused,
        proof=Certificate(optimal=True, bound=solution.total),
    )


def _alone(case: Case) -> list[int]:
    """What each would pay on this trip without the others, counting only what is their own."""
    amounts = []
    for traveler in case.travelers:
        own = case.alone(traveler)
        if not own.travelers[0].fares:
            raise NoOwnFare(traveler=traveler.id)
        market = Market(own, alone=None)
        market.require_own_fares()
        solution = Solver(market.columns(), market.capacities, 1).solve()
        if solution is None:
            raise NoOwnFare(traveler=traveler.id)
        amounts.append(solution.total)
    return amounts


def _people(case: Case, solution: Solution, alone: Sequence[int]) -> dict[str, PersonResult]:
    found: dict[int, PersonResult] = {}
    for column in solution.columns:
        for seat in column.seats:
            found[seat.person] = PersonResult(
                pay=seat.pay,
                face=seat.face,
                alone=alone[seat.person],
                family=None if column.flat else seat.ticket.family,
                lines=_lines(column, seat),
            )
    return {traveler.id: found[person] for person, traveler in enumerate(case.travelers)}


def _lines(column: Column, seat: Seat) -> tuple[tuple[str, int], ...]:
    """fare, each rule, settle: they add up to `pay`."""
    lines = [(f"fare:{seat.ticket.family}", seat.ticket.base)]
    lines += [(step.rule, step.delta) for step in seat.ticket.steps]
    if seat.pooled and column.rule is not None and seat.face != seat.ticket.price:
        lines.append((column.rule, seat.face - seat.ticket.price))
    if seat.pay != seat.face:
        lines.append(("settle", seat.pay - seat.face))
    return tuple(lines)


def _applications(case: Case, solution: Solution) -> tuple[Application, ...]:
    names = [traveler.id for traveler in case.travelers]
    ordered = sorted(
        (column.rule, column.by or "", tuple(seat.person for seat in column.seats), column.anchor)
        for column in solution.columns
        if column.rule is not None
    )
    return tuple(
        Application(rule, by, tuple(names[person] for person in people), None if anchor is None else names[anchor])
        for rule, by, people, anchor in ordered
    )


# --- why not, and what else ---------------------------------------------------------------------------------------

Rejected = tuple[tuple[str, str, str], ...]
UnusedRules = tuple[tuple[str, str, int], ...]


def _explain(
    case: Case, market: Market, columns: Sequence[Column], solver: Solver, solution: Solution, alone: Sequence[int]
) -> tuple[Rejected, UnusedRules]:
    """One reason per card, code and public offer that is not lawful here; for the lawful unused ones, the cost."""
    used = {(column.rule, column.by) for column in solution.columns}
    used |= {(step.rule, step.by) for c in solution.columns for seat in c.seats for step in seat.ticket.steps}
    rejected: list[tuple[str, str, str]] = []
    unused: list[tuple[str, str, int]] = []
    for rule in case.rules:
        if isinstance(rule, SelfRule) and rule.trigger.public:
            continue
        for by in market.triggers(rule):
            if (rule.id, by) in used:
                continue
            reason = _reason(market, rule, by)
            total = None
            if reason is None:
                total = _total_using(case, market, columns, solver, alone, rule, by)
                reason = "composition" if total is None else None
            if reason is not None:
                rejected.append((rule.id, by, reason))
            elif total is not None:
                unused.append((rule.id, by, total - solution.total))
    return tuple(sorted(rejected)), tuple(sorted(unused))


def _total_using(
    case: Case,
    market: Market,
    columns: Sequence[Column],
    solver: Solver,
    alone: Sequence[int],
    rule: Rule,
    by: str,
) -> int | None:
    if isinstance(rule, JointRule):
        return solver.total_with([column for column in columns if (column.rule, column.by) == (rule.id, by)])
    totals = []
    for person in market.holders(rule, by):
        other = Market(case, alone=alone)
        other.forced = (person, rule.id, by)
        solution = Solver(other.columns(), other.capacities, len(case.travelers)).solve()
        if solution is not None:
            totals.append(solution.total)
    return min(totals, default=None)


def _reason(market: Market, rule: Rule, by: str) -> str | None:
    """The first reason, in the order of refusal, why a rule cannot be used here; None when it can."""
    general = market.general_problem(rule)
    if general is not None:
        return general
    holders = market.holders(rule, by) if by != "public" else []
    problems = [market.card_problem(rule, by, person) for person in holders]
    if problems and None not in problems:
        return problems[0]
    usable = [person for person, problem in zip(holders, problems, strict=True) if problem is None]
    if isinstance(rule, SelfRule):
        return _self_reason(market, rule, by, usable)
    if isinstance(rule, JointRule):
        return _joint_reason(market, rule, by, usable)
    return "composition"


def _self_reason(market: Market, rule: SelfRule, by: str, holders: Sequence[int]) -> str | None:
    if not any(market.fits(person, rule) for person in holders):
        return rule.who_reason or "holder_ineligible"
    fitting = [person for person in holders if market.fits(person, rule)]
    families = {family for person in fitting for family in market.case.travelers[person].fares}
    if not any(rule.takes_family(family) and (rule.gated or family not in market.gated) for family in families):
        return "fare_family"
    return None if any(_saves(market, person, rule, by) for person in fitting) else "no_saving"


def _saves(market: Market, person: int, rule: SelfRule, by: str) -> bool:
    if any(ticket.uses(rule.id, by) for ticket in market.every_ticket(person, None)):
        return True
    for joint, trigger in market.joint_rules():
        for role in joint.roles:
            if role.anchor or person not in market.candidates(joint, trigger, role):
                continue
            size = len(market.case.travelers)
            if any(ticket.uses(rule.id, by) for ticket in market.every_ticket(person, (joint, trigger, role, size))):
                return True
    return False


def _joint_reason(market: Market, rule: JointRule, by: str, holders: Sequence[int]) -> str | None:
    if rule.anchor is not None and not market.candidates(rule, by, rule.anchor):
        return "missing_anchor"
    for role in rule.roles:
        if role.anchor:
            continue
        eligible = len(market.candidates(rule, by, role))
        if eligible >= role.min and not (rule.anchor is not None and eligible == 0):
            continue
        if role.holds and len(holders) < role.min:
            return "missing_holder"
        if role.holds:
            return role.who_reason or rule.roles[0].who_reason or "holder_ineligible"
        others = [other for other in rule.roles if not other.anchor and other is not role]
        if rule.anchor is not None and any(market.candidates(rule, by, other) for other in others):
            continue
        return role.who_reason or f"missing_{role.name}"
    if rule.size is not None:
        counted = [role for role in rule.roles if role.name in rule.counted_roles]
        people = {person for role in counted for person in market.candidates(rule, by, role)}
        if len(people) < rule.size.min:
            return "group_size"
    if not market.joint_columns(rule, by, any_fare=True):
        return "composition"
    if not market.joint_columns(rule, by):
        return "no_saving" if market.has_fare(rule, by) else "fare_family"
    return None


__all__ = ["Application", "Certificate", "PersonResult", "Priced", "people_joint_max", "price"]
