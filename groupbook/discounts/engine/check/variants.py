"""The variants of a joint rule: ranges of sizes within which no price changes, and what a pooled price hangs on.

A variant knows in which ways each person can be in an application and what is paid for it, so that a leaf only has to
put its prices to it. People with the same ways share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

from groupbook.discounts.engine.check.ground import Ground, Seat, by_size, riders
from groupbook.discounts.engine.check.shape import Shape, Way, segments, shape_of
from groupbook.discounts.engine.rules import Bundle, JointRule, PayFor, Role


class Option(NamedTuple):
    """One way in, on one ticket: `amount` is what it adds to the price of the application."""

    way: Way
    seat: Seat
    amount: int


Options = tuple[Option, ...]


@dataclass(frozen=True)
class Variant:
    """`fixed`: the price of the whole, counted by `codes`. `most`: no application has more people."""

    sizes: tuple[int, int]
    pivot: int | None
    shape: Shape
    options: Mapping[int, Options]
    fixed: int
    codes: frozenset[int]
    most: int


class Variants:
    """The variants of every joint rule without an anchor, made when first asked for."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._known: dict[tuple[str, str, tuple[int, ...]], list[Variant]] = {}
        self._shapes: dict[tuple[str, str, tuple[int, int], int | None], Shape] = {}
        self._same: dict[Options, Options] = {}

    def of(self, rule: JointRule, by: str, cuts: Iterable[int]) -> list[Variant]:
        """All variants; no range of sizes goes across a cut."""
        key = (rule.id, by, tuple(sorted(set(cuts))))
        if key not in self._known:
            self._known[key] = [
                self._variant(rule, by, sizes, pivot)
                for sizes in segments(rule, len(self.ground.people), key[2])
                for pivot in self._pivots(rule, by, sizes)
            ]
        return self._known[key]

    def _variant(self, rule: JointRule, by: str, sizes: tuple[int, int], pivot: int | None) -> Variant:
        ground, bundle = self.ground, rule.pool if isinstance(rule.pool, Bundle) else None
        shape = self._shape(rule, by, sizes, pivot if bundle else None)
        options = {person: self._options(rule, by, sizes, pivot, person) for person in ground.people}
        most = sum(min(role.max, len(ground.able(rule, by, role))) for role in riders(rule))
        return Variant(
            sizes,
            pivot,
            shape,
            {person: self._same.setdefault(ways, ways) for person, ways in options.items() if ways},
            (bundle.price_of(pivot or 0) or 0) if bundle else 0,
            ground.basket.counting_whole(rule.rule_class),
            most,
        )

    def _shape(self, rule: JointRule, by: str, sizes: tuple[int, int], payers: int | None) -> Shape:
        key = (rule.id, by, sizes, payers)
        if key not in self._shapes:
            able = {role.name: len(self.ground.able(rule, by, role)) for role in riders(rule)}
            facts = self.ground.market.facts
            self._shapes[key] = shape_of(rule, able, len(self.ground.people), sizes, payers, facts)
        return self._shapes[key]

    def _pivots(self, rule: JointRule, by: str, sizes: tuple[int, int]) -> Sequence[int | None]:
        """How many share a flat ticket, or the price of the dearest free member."""
        if isinstance(rule.pool, Bundle):
            return [payers for payers in range(len(self.ground.people) + 1) if rule.pool.price_of(payers) is not None]
        if not isinstance(rule.pool, PayFor):
            return [None]
        return sorted({seat.price for role, _, seat in self._seats(rule, by, sizes) if role.pool})

    def _options(self, rule: JointRule, by: str, sizes: tuple[int, int], pivot: int | None, person: int) -> Options:
        return tuple(
            Option(Way(role.name, name), seat, amount)
            for role, _, seat in self._seats(rule, by, sizes, [person])
            for name, amount in self._paid(rule, role, seat, pivot)
        )

    def _seats(
        self, rule: JointRule, by: str, sizes: tuple[int, int], people: Sequence[int] | None = None
    ) -> Iterator[tuple[Role, int, Seat]]:
        size = sizes[0] if by_size(rule) else 0
        for role in riders(rule):
            able = self.ground.able(rule, by, role)
            for person in able if people is None else people:
                if person in able:
                    for seat in self.ground.seats(person, (rule, by, role, size)):
                        yield role, person, seat

    def _paid(self, rule: JointRule, role: Role, seat: Seat, pivot: int | None) -> Iterator[tuple[str, int]]:
        """The ways in which a ticket can be in an application, and what is paid for it."""
        if rule.pool is None or not role.pool:
            yield ("helped" if seat.ticket.uses(rule.id) else "plain"), seat.price
        elif isinstance(rule.pool, Bundle):
            yield "flat", 0
        elif isinstance(rule.pool, PayFor):
            if pivot is None or seat.price <= pivot:
                yield ("pivot" if seat.price == pivot else "free"), 0
            if pivot is None or seat.price >= pivot:
                yield "paid", seat.price
        else:
            yield "full", seat.price
            yield "less", self.ground.later(rule, rule.pool, seat.ticket)

    def granularity(self) -> int:
        """What every total without codes is a multiple of."""
        ground, found = self.ground, 0
        for person in ground.people:
            found = gcd(found, *(seat.price for seat in ground.seats(person, None)))
        for rule, by in ground.joint:
            if rule.anchor is not None:
                found = gcd(found, *(seat.price for _, _, seat in self._seats(rule, by, (1, 1))))
                continue
            if isinstance(rule.pool, Bundle):
                found = gcd(found, *rule.pool.table.values())
            for sizes in segments(rule, len(ground.people), ()):
                for role, _, seat in self._seats(rule, by, sizes):
                    found = gcd(found, *(amount for _, amount in self._paid(rule, role, seat, None)))
        return found
