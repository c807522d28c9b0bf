"""Why not, and what else: one reason per card, code and public offer of no use; what using the others would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.choose import Assignment
from groupbook.discounts.engine.columns import is_complete
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.gap import Solved
from groupbook.discounts.engine.kinds import homes_of, is_listed
from groupbook.discounts.engine.market import Joint, Market, pivoting_max
from groupbook.discounts.engine.model import Must, build
from groupbook.discounts.engine.optimum import bound_of, least_listed, value_of
from groupbook.discounts.engine.orders import CodeSet, UsedCode
from groupbook.discounts.engine.rules import Bundle, JointRule, OrderRule, Role, Rule, SelfRule
from groupbook.discounts.engine.search import is_possible, nodes_max, search
from groupbook.discounts.engine.ties import Chosen

Rejected = tuple[tuple[str, str, str], ...]
UnusedRules = tuple[tuple[str, str, int], ...]
fillings_tried_max: Final = 20_000
nodes_using: Final = 500


class Explanation(NamedTuple):
    """What the assignment does not use. `complete`: nothing was left out because the budget ended."""

    rejected: Rejected = ()
    unused: UnusedRules = ()
    complete: bool = True


def explained(case: Case, solved: Sequence[Solved], assignment: Assignment, alone: Sequence[int]) -> Explanation:
    """Why each card, code and public offer is of no use, or what using it would cost."""
    market, complete = solved[0].market, True
    market.work.renew()
    least = bound_of(solved)
    used = {(column.rule, column.by) for column in assignment.columns}
    used |= {(code.rule.id, code.by) for code in assignment.codes.codes}
    for column in assignment.columns:
        for seat in column.seats:
            used |= {(step.rule, market.own_by[seat.person].get(step.rule)) for step in seat.ticket.steps}
    rejected: list[tuple[str, str, str]] = []
    unused: list[tuple[str, str, int]] = []
    for rule in case.rules:
        if isinstance(rule, SelfRule) and rule.trigger.public:
            continue
        for by in market.triggers(rule):
            if (rule.id, by) in used:
                continue
            total: int | None = None
            try:
                reason = _reason(market, rule, by)
                if reason is None:
                    total = _total_using(solved, rule, by, alone, least)
                    reason = _useless(market, rule, by) if total is None else None
            except TooManyCombinations:
                complete = False
                continue
            if reason is not None:
                rejected.append((rule.id, by, reason))
            elif total is not None:
                unused.append((rule.id, by, total - assignment.total))
    return Explanation(tuple(sorted(rejected)), tuple(sorted(unused)), complete)


def _total_using(solved: Sequence[Solved], rule: Rule, by: str, alone: Sequence[int], least: int) -> int | None:
    """The least total when this has to be used, under whichever codes may be used with it; None: it cannot be.

    Raises:
        TooManyCombinations: the budget ended before the least was proven.
    """
    totals = []
    for one in solved:
        if isinstance(rule, OrderRule):
            if not any(code.rule is rule and code.by == by for code in one.codes.codes):
                continue
            model = one.model
        else:
            model = build(one.market, one.codes, Must(rule, by))
        nodes = nodes_using if one.codes.gives else nodes_max
        found = search(model, value=value_of(model, alone), nodes=nodes, least=least)
        if found.total is not None and one.codes.gives:
            uses = partial(_uses, one.market, rule.id, by)
            within = replace(one, found=replace(found, root=one.found.root))
            listed = least_listed(within, alone, uses)
            totals += [] if listed is None else [listed[0]]
            continue
        if found.total != found.bound:
            raise TooManyCombinations(pivoting_max=pivoting_max)
        if found.total is not None:
            totals.append(found.total)
    return min(totals, default=None)


def _uses(market: Market, rule: str, by: str, columns: Chosen) -> bool:
    """Whether an assignment uses a rule by this card, code or offer. A code of the order is used by all of them."""
    for column in columns:
        if (column.rule, column.by) == (rule, by):
            return True
        for seat in column.seats:
            if market.own_by[seat.person].get(rule) == by and seat.ticket.uses(rule):
                return True
    return any(one.id == rule for one, _ in market.order_rules())


def _reason(market: Market, rule: Rule, by: str) -> str | None:
    """The first reason, in the order of refusal, why a rule cannot be used here; None when it can."""
    general = market.terms.problem(rule)
    if general is not None:
        return general
    holders = market.holders(rule, by) if by != "public" else []
    problems = [market.card_problem(rule, by, person) for person in holders]
    if problems and None not in problems:
        return problems[0]
    usable = [person for person, problem in zip(holders, problems, strict=True) if problem is None]
    if isinstance(rule, SelfRule):
        return _self_reason(market, rule, usable)
    if isinstance(rule, JointRule):
        return _joint_reason(market, rule, by, usable)
    return _order_reason(market, rule, by)


def _self_reason(market: Market, rule: SelfRule, holders: Sequence[int]) -> str | None:
    fitting = [person for person in holders if market.fits(person, rule)]
    if not fitting:
        return rule.who_reason or "holder_ineligible"
    families = {family for person in fitting for family, _ in market.fares[person]}
    if not any(rule.takes_family(family) and (rule.gated or family not in market.gated) for family in families):
        return "fare_family"
    return None if any(_saves(market, person, rule) for person in fitting) else "no_saving"


def _saves(market: Market, person: int, rule: SelfRule) -> bool:
    if market.tickets_of(person, None, using=rule.id):
        return True
    size = len(market.people)
    return any(
        person in joint.people[role.name] and market.tickets_of(person, (joint.rule, role, size), using=rule.id)
        for joint in market.joints
        for role in joint.roles()
    )


def _joint_reason(market: Market, rule: JointRule, by: str, holders: Sequence[int]) -> str | None:
    if rule.anchor is not None and not market.candidates(rule, by, rule.anchor):
        return "missing_anchor"
    roles = [role for role in rule.roles if not role.anchor]
    eligible = {role.name: market.candidates(rule, by, role) for role in roles}
    for role in roles:
        if len(eligible[role.name]) >= max(role.min, rule.anchor is not None):
            continue
        if role.holds and len(holders) < role.min:
            return "missing_holder"
        if role.holds:
            return role.who_reason or rule.roles[0].who_reason or "holder_ineligible"
        if rule.anchor is not None and any(eligible.values()):
            continue
        return role.who_reason or f"missing_{role.name}"
    if rule.size is not None:
        people = {person for name in rule.counted_roles for person in eligible[name]}
        if len(people) < rule.size.min:
            return "group_size"
    joint = next(joint for joint in market.joints if joint.rule is rule and joint.by == by)
    if not _fillable(market, joint):
        return "composition"
    return None


def _fillable(market: Market, joint: Joint, *, with_fares: bool = False) -> bool:
    """Whether distinct people can fill the roles; savings do not matter, and fares only when asked for."""
    rule = joint.rule
    if with_fares:
        people = {
            role.name: tuple(one for one in joint.people[role.name] if _priced(market, rule, role, one))
            for role in joint.roles()
        }
        joint = replace(joint, people={**joint.people, **people})
    if rule.anchor is not None:
        return any(market.anchors_for(joint, role, one) for role in joint.roles() for one in joint.people[role.name])
    if is_listed(rule):
        return _some_filling(market, joint)
    return any(_matched(home) for home in homes_of(market, joint))


def _priced(market: Market, rule: JointRule, role: Role, person: int) -> bool:
    """Whether this person has a fare that may stand in this role."""
    if isinstance(rule.pool, Bundle) and role.pool:
        return market.flat_ticket(person, rule) is not None
    return any(True for _ in market.every_ticket(person, (rule, role, len(market.people))))


def _some_filling(market: Market, joint: Joint) -> bool:
    """A group that keeps every link, by trying; a party too large to try them all is taken to have one."""
    rule, left = joint.rule, fillings_tried_max

    def tries(person: int, filled: dict[str, list[int]]) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            return True
        if person == len(market.people):
            return is_complete(market, joint, {name: len(people) for name, people in filled.items()}, None) and (
                market.linked(rule, filled)
            )
        for role in joint.roles():
            fits = person in joint.people[role.name] and len(filled[role.name]) < role.max
            if fits and tries(person + 1, {**filled, role.name: [*filled[role.name], person]}):
                return True
        return tries(person + 1, filled)

    return tries(0, {role.name: [] for role in joint.roles()})


def _matched(joint: Joint) -> bool:
    """Role minimums first, then as many more as the size asks for, by augmenting paths."""
    rule = joint.rule
    taken: dict[int, str] = {}
    room = {role.name: role.min for role in joint.roles()}
    if not all(_augment(joint, taken, room, name) for name, least in room.items() for _ in range(least)):
        return False
    counted = sum(least for name, least in room.items() if name in rule.counted_roles)
    if rule.size is None or counted >= rule.size.min:
        return rule.size is None or counted <= rule.size.max
    for role in joint.roles():
        if role.name not in rule.counted_roles:
            continue
        for _ in range(role.max - role.min):
            if counted >= rule.size.min or not _augment(joint, taken, room, role.name):
                break
            counted += 1
    return counted >= rule.size.min


def _augment(joint: Joint, taken: dict[int, str], room: dict[str, int], role: str) -> bool:
    """Find one more person for a role, moving others to roles they fit as well."""
    seen: set[int] = set()

    def find(name: str) -> bool:
        for person in joint.people[name]:
            if person in seen:
                continue
            seen.add(person)
            if person not in taken or find(taken[person]):
                taken[person] = name
                return True
        return False

    return find(role)


def _useless(market: Market, rule: Rule, by: str) -> str:
    """Why a rule that fits these people can be used by none of them after all."""
    if isinstance(rule, JointRule):
        joint = next(joint for joint in market.joints if joint.rule is rule and joint.by == by)
        return "no_saving" if _fillable(market, joint, with_fares=True) else "fare_family"
    return "no_saving" if isinstance(rule, OrderRule) else "composition"


def _order_reason(market: Market, rule: OrderRule, by: str) -> str | None:
    """Codes: no line they cover, a minimum nobody can reach, nothing to take off."""
    if market.case.quota.get(f"rule:{rule.id}", 1) == 0:
        return "composition"
    codes = CodeSet((UsedCode(rule, by),))
    model = build(Market(market.case, every=True, work=market.work), codes)
    if not model.covers_anything:
        return "fare_family"
    if not is_possible(model):
        return "min_basket"
    return None if any(model.covered) else "no_saving"
