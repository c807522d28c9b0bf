"""The shapes of a joint rule's applications: what has to be counted to know that one is finished, and no more.

People join one by one, each in one way of one role. Only the counters that the rule asks for are kept, and each only as
far as the rule can see, so the cheapest application is found without listing applications.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from typing import Final, NamedTuple

from groupbook.discounts.engine.cases import Facts
from groupbook.discounts.engine.check.ground import by_size, riders
from groupbook.discounts.engine.errors import ProofBroken
from groupbook.discounts.engine.rules import Bundle, JointRule, NthOff, PayFor, Role

states_max: Final = 100_000


class Way(NamedTuple):
    """How somebody is in an application.

    plain, helped: without and with something off by the rule; flat: a part of one price; free, pivot, paid: in "pay for
    some of them" (pivot: the dearest free one); full, less: before and from the n-th person on.
    """

    role: str
    name: str


Row = tuple[Mapping[Way, int], bool]


@dataclass(frozen=True)
class _Counter:
    """Who raises it, the least needed and the most kept; beyond that it `stays`, or nobody more may join."""

    ways: frozenset[Way]
    least: int
    most: int
    stays: bool


@dataclass(frozen=True)
class Shape:
    """States are numbers, 0 is nobody. after[way][state]: the state with one more, -1 where that is not lawful."""

    after: Mapping[Way, tuple[int, ...]]
    finished: tuple[int, ...]

    def least(self, rows: Iterable[Row]) -> int | None:
        """The least sum over a finished application. A row: what each way of one person adds, and whether they must."""
        best = {0: 0}
        for ways, must in rows:
            found = {} if must else dict(best)
            for way, cost in ways.items():
                after = self.after[way]
                for state, so_far in best.items():
                    reached = after[state]
                    if reached >= 0 and (reached not in found or so_far + cost < found[reached]):
                        found[reached] = so_far + cost
            best = found
        return min((best[state] for state in self.finished if state in best), default=None)


def ways_of(rule: JointRule) -> list[Way]:
    names: dict[type, tuple[str, ...]] = {
        Bundle: ("flat",),
        PayFor: ("free", "pivot", "paid"),
        NthOff: ("full", "less"),
    }
    plain = ("plain", "helped")
    return [
        Way(role.name, name)
        for role in riders(rule)
        for name in (names.get(type(rule.pool), plain) if role.pool else plain)
    ]


def sizes_of(rule: JointRule, party: int) -> tuple[int, int]:
    """The least and most people counted that an application can have."""
    counted = [role for role in riders(rule) if role.name in rule.counted_roles]
    low, high = sum(role.min for role in counted), min(party, sum(role.max for role in counted))
    return (max(low, rule.size.min), min(high, rule.size.max)) if rule.size else (low, high)


def segments(rule: JointRule, party: int, cuts: Iterable[int]) -> list[tuple[int, int]]:
    """Ranges of counted people within which no price changes and no cut falls. A cut is the first of a new range."""
    low, high = sizes_of(rule, party)
    starts = set(cuts)
    if by_size(rule):
        for role in riders(rule):
            effects = (role.effect, *(role.effect.cases or ())) if role.effect else ()
            starts |= {row[0] for one in effects for row in (one.bp_by_size or one.price_by_size or ())}
    edges = [low, *sorted(start for start in starts if low < start <= high), high + 1]
    return [(first, then - 1) for first, then in pairwise(edges) if first < then]


def shape_of(
    rule: JointRule, able: Mapping[str, int], party: int, sizes: tuple[int, int], payers: int | None, facts: Facts
) -> Shape:
    """What finished applications of a rule look like.

    Args:
        able: how many people could fill each role.
        sizes: how many must be counted, from and to.
        payers: of a flat ticket, how many share it.
    Raises:
        ProofBroken: too much to count.
    """
    ways = ways_of(rule)
    counters = [_role_counter(role, ways, able[role.name], exact=bool(rule.app_when)) for role in riders(rule)]
    names = [role.name for role in riders(rule)]
    counted = frozenset(way for way in ways if way.role in rule.counted_roles)
    counters.append(_between(counted, sizes[0], sizes[1], party))
    counters.append(_useful(rule, ways, payers))
    pooled = _pool_counters(rule, ways, able, party, payers)
    ends = _ends(rule)

    def finished(values: tuple[int, ...]) -> bool:
        if any(value < counter.least for value, counter in zip(values, (*counters, *pooled), strict=True)):
            return False
        if not ends(values[len(counters) :]):
            return False
        counts = dict(zip(names, values, strict=False))
        return not rule.app_when or facts.with_application(counts).all_hold(rule.app_when)

    return _tabled(ways, [*counters, *pooled], finished)


def _role_counter(role: Role, ways: Iterable[Way], able: int, *, exact: bool) -> _Counter:
    mine = frozenset(way for way in ways if way.role == role.name)
    if exact:
        return _Counter(mine, role.min, min(role.max, able), stays=False)
    return _between(mine, role.min, role.max, able)


def _between(ways: frozenset[Way], least: int, most: int, able: int) -> _Counter:
    """Where no more than `most` can come anyway, only the least has to be counted."""
    return _Counter(ways, least, least, stays=True) if most >= able else _Counter(ways, least, most, stays=False)


def _useful(rule: JointRule, ways: Iterable[Way], payers: int | None) -> _Counter:
    """An application that takes nothing off is no application."""
    if rule.gated or payers is not None:
        return _Counter(frozenset(ways), 0 if payers else 1, 0 if payers else 1, stays=True)
    names = {"helped", "pivot", "less"}
    if isinstance(rule.pool, NthOff) and any(role.effect is not None for role in rule.roles):
        names.add("full")
    if isinstance(rule.pool, PayFor):
        names = {"pivot"}
    return _Counter(frozenset(way for way in ways if way.name in names), 1, 1, stays=True)


def _pool_counters(
    rule: JointRule, ways: Iterable[Way], able: Mapping[str, int], party: int, payers: int | None
) -> list[_Counter]:
    def named(*names: str) -> frozenset[Way]:
        return frozenset(way for way in ways if way.name in names)

    most = min(party, sum(min(role.max, able[role.name]) for role in riders(rule) if role.pool))
    pool = rule.pool
    if isinstance(pool, PayFor):
        gifts = most // pool.n * (pool.n - pool.pay)
        free = _Counter(named("free", "pivot"), 1, gifts, stays=False)
        return [free, _Counter(named("paid"), 0, most - 1, stays=False)]
    if isinstance(pool, NthOff):
        return [_Counter(named("full"), 0, pool.start - 1, stays=False), _Counter(named("less"), 0, 1, stays=True)]
    return [] if payers is None else [_Counter(named("flat"), payers, payers, stays=False)]


def _ends(rule: JointRule) -> Callable[[tuple[int, ...]], bool]:
    pool = rule.pool
    if isinstance(pool, PayFor):
        return lambda values: values[0] == sum(values) // pool.n * (pool.n - pool.pay)
    if isinstance(pool, NthOff):
        # Everybody before the n-th pays in full; nobody is the n-th before.
        return lambda values: values[1] == 0 or values[0] == pool.start - 1
    return lambda values: True


def _tabled(ways: Iterable[Way], counters: list[_Counter], finished: Callable[[tuple[int, ...]], bool]) -> Shape:
    kept = [counter.most + 1 for counter in counters]
    if any(size < 1 for size in kept):
        return Shape(dict.fromkeys(ways, (-1,)), ())
    if prod(kept) > states_max:
        raise ProofBroken(reason="too_large", pointer="/proof")
    states = list(product(*(range(size) for size in kept)))
    number = {values: at for at, values in enumerate(states)}
    after = {way: tuple(_joined(values, way, counters, number) for values in states) for way in ways}
    return Shape(after, tuple(at for at, values in enumerate(states) if finished(values)))


def _joined(values: tuple[int, ...], way: Way, counters: list[_Counter], number: Mapping[tuple[int, ...], int]) -> int:
    found = []
    for value, counter in zip(values, counters, strict=True):
        if way not in counter.ways:
            found.append(value)
        elif value < counter.most:
            found.append(value + 1)
        elif counter.stays:
            found.append(value)
        else:
            return -1
    return number[tuple(found)]
