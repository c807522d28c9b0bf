"""Counting everything: for small parties, the least total over every lawful assignment under one set of codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from groupbook.discounts.engine.cases import Case, Traveler
from groupbook.discounts.engine.check.basket import Line, admissible
from groupbook.discounts.engine.check.ground import Ground, Seat, Usage, by_size, riders
from groupbook.discounts.engine.check.shape import segments
from groupbook.discounts.engine.errors import ProofBroken
from groupbook.discounts.engine.market import Market
from groupbook.discounts.engine.proof import Resource
from groupbook.discounts.engine.rules import JointRule, Role

people_max: Final = 8
steps_max: Final = 400_000
Filled = tuple[Role, Seat]
Lines = tuple[tuple[int, Line], ...]


class _Column(NamedTuple):
    mask: int
    lines: Lines
    usage: Usage


def least_alone(case: Case, traveler: Traveler) -> int | None:
    """What somebody would pay with only what is their own; None when they could not travel alone."""
    own = case.alone(traveler)
    baskets = admissible(own, _in_force(own))
    totals = [least_total(Ground(own, basket), [1], pointer="/people") for basket in baskets]
    return min((total for total in totals if total is not None), default=None)


def least_total(ground: Ground, alone: Sequence[int], *, pointer: str) -> int | None:
    """The least total of all lawful assignments; None when there is none (the codes cannot be used).

    Raises:
        ProofBroken: too many people or assignments to count.
    """
    if len(ground.people) > people_max:
        raise ProofBroken(reason="tree_missing", pointer=pointer)
    starting: list[list[_Column]] = [[] for _ in ground.people]
    for column in _columns(ground, alone):
        starting[(column.mask & -column.mask).bit_length() - 1].append(column)
    everybody, totals = (1 << len(ground.people)) - 1, []
    left: list[_Column] = [_Column(0, (), ())]
    seen = set(left)
    while left:
        done = left.pop()
        if done.mask == everybody:
            total = _total(ground, dict(done.lines))
            totals += [] if total is None else [total]
            continue
        first = (~done.mask & -~done.mask).bit_length() - 1
        for column in starting[first]:
            after = _joined(ground, done, column)
            if after is not None and after not in seen:
                seen.add(after)
                left.append(after)
        if len(seen) > steps_max:
            raise ProofBroken(reason="too_large", pointer=pointer)
    return min(totals, default=None)


def _in_force(case: Case) -> set[str]:
    return {rule.id for rule in Market(case).in_force}


def _total(ground: Ground, lines: Mapping[int, Line]) -> int | None:
    taken = ground.basket.applied(lines)
    if taken is None:
        return None
    return sum(line.amount for line in lines.values()) - sum(sum(off.values()) for off in taken)


def _joined(ground: Ground, done: _Column, column: _Column) -> _Column | None:
    if done.mask & column.mask:
        return None
    used = dict(done.usage)
    for key, amount in column.usage:
        used[key] = used.get(key, 0) + amount
        if used[key] > ground.capacities[key]:
            return None
    lines = tuple(sorted((*done.lines, *column.lines), key=lambda entry: entry[0]))
    return _Column(done.mask | column.mask, lines, tuple(sorted(used.items())))


def _columns(ground: Ground, alone: Sequence[int]) -> Iterator[_Column]:
    for person in ground.people:
        for seat in ground.seats(person, None):
            yield _Column(1 << person, ((person, Line(seat.price, seat.codes)),), seat.usage)
    for rule, by in ground.joint:
        if rule.anchor is not None:
            yield from _rides(ground, rule, by)
            continue
        for sizes in segments(rule, len(ground.people), ()):
            for chosen in fillings(ground, rule, by, sizes):
                yield _application(ground, rule, by, chosen, alone)


def _rides(ground: Ground, rule: JointRule, by: str) -> Iterator[_Column]:
    for role in riders(rule):
        for person in ground.able(rule, by, role):
            for anchor in ground.able(rule, by, rule.anchor) if rule.anchor else ():
                if ground.rides(rule, role, person, anchor):
                    slots = ground.used_by_rider(rule, by, role, anchor)
                    for seat in ground.seats(person, (rule, by, role, 1)):
                        line = (person, Line(seat.price, seat.codes))
                        yield _Column(1 << person, (line,), (*seat.usage, *slots))


def fillings(ground: Ground, rule: JointRule, by: str, sizes: tuple[int, int]) -> Iterator[dict[int, Filled]]:
    """Every finished application of a rule without an anchor, with so many counted, that is worth something.

    Raises:
        ProofBroken: too many to count.
    """
    size = sizes[0] if by_size(rule) else 0
    chosen: list[dict[int, Filled]] = [{}]
    for person in ground.people:
        for role in riders(rule):
            if person in ground.able(rule, by, role):
                seats = ground.seats(person, (rule, by, role, size))
                chosen += [{**one, person: (role, seat)} for one in chosen if person not in one for seat in seats]
        if len(chosen) > steps_max:
            raise ProofBroken(reason="too_large", pointer="/proof/plans")
    for one in chosen:
        worth = rule.gated or rule.pool is not None or any(seat.ticket.uses(rule.id) for _, seat in one.values())
        if worth and ground.complete(rule, {person: role for person, (role, _) in one.items()}, sizes):
            yield one


def _application(
    ground: Ground, rule: JointRule, by: str, chosen: Mapping[int, Filled], alone: Sequence[int]
) -> _Column:
    amounts = {person: seat.price for person, (_, seat) in chosen.items()}
    pooled = [person for person, (role, _) in chosen.items() if rule.pool is not None and role.pool]
    if pooled:
        whole = ground.whole(rule, [chosen[person][1].ticket for person in pooled])
        amounts |= ground.shares(whole, pooled, alone)
    used: dict[Resource, int] = {}
    for usage in (ground.used_by_application(rule, by), *(seat.usage for _, seat in chosen.values())):
        for key, amount in usage:
            used[key] = used.get(key, 0) + amount
    lines = tuple((person, Line(amounts[person], seat.codes)) for person, (_, seat) in sorted(chosen.items()))
    return _Column(sum(1 << person for person in chosen), lines, tuple(used.items()))
