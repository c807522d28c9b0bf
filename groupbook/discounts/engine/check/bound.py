"""The lower bound that the dual prices at one leaf prove: weak duality, exactly, in integers.

A column is somebody's own ticket, one rider on one anchor, or one application of a joint rule; its reduced cost is what
it costs, less the prices of its people, plus the prices of what it uses up, less the prices of the branches that count
it. Whatever is lawful costs at least the sum of all prices plus the reduced costs, and for each rule the least reduced
cost times the most applications bounds them all. The least is found by counting (see `shape`), never by listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from groupbook.discounts.engine.check.count import fillings
from groupbook.discounts.engine.check.ground import Ground, Seat, riders
from groupbook.discounts.engine.check.listed import Listed
from groupbook.discounts.engine.check.prices import (
    Priced,
    Prices,
    Turn,
    counts_seat,
    counts_variant,
    is_by,
    is_group,
)
from groupbook.discounts.engine.check.shape import Row, Way, segments, sizes_of
from groupbook.discounts.engine.check.variants import Options, Variant, Variants
from groupbook.discounts.engine.proof import Leaf
from groupbook.discounts.engine.rules import JointRule, Kin, Role

kin_max: Final = 6


class Bound:
    """The bounds of one plan's leaves. Tickets and shapes are looked up once for all leaves."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.variants = Variants(ground)
        self.applied = [(rule, by) for rule, by in ground.joint if rule.anchor is None]
        self.ridden = [
            (rule, by, role) for rule, by in ground.joint if rule.anchor is not None for role in riders(rule)
        ]
        self._anchors = {
            (rule.id, by, role.name, person): frozenset(
                one for one in ground.able(rule, by, rule.anchor) if ground.rides(rule, role, person, one)
            )
            for rule, by, role in self.ridden
            if rule.anchor is not None
            for person in ground.able(rule, by, role)
        }
        self._listed: dict[tuple[str, str], list[Listed]] = {}

    def of(self, leaf: Leaf, path: Sequence[Turn], scale: int) -> tuple[int, int]:
        """The bound as a numerator and its unit."""
        prices = Prices(self.ground, leaf, path, scale)
        bound = prices.fixed
        bound += sum(min(0, least) for least in self._by_person(prices) if least is not None)
        for rule, by in self.applied:
            least = self._application(prices, rule, by)
            if least < 0:
                bound += least * self._applications_max(rule, by)
        return bound, prices.unit

    def _applications_max(self, rule: JointRule, by: str) -> int:
        if by != "public":
            return 1
        party = len(self.ground.people)
        most = party // max(1, sizes_of(rule, party)[0], sum(role.min for role in riders(rule)))
        return min(most, self.ground.capacities.get(("quota", f"rule:{rule.id}"), most))

    # --- one person -------------------------------------------------------------------------------------------------

    def _by_person(self, prices: Prices) -> list[int | None]:
        """Per person, the least reduced cost of their own tickets and rides: exactly one of their columns is used."""
        found: list[int | None] = []
        own = prices.branches.get(None, [])
        for person in self.ground.people:
            seats = self.ground.seats(person, None)
            found.append(min((self._seat(prices, person, seat, own, None) for seat in seats), default=None))
        for rule, by, role in self.ridden:
            features = [entry for entry in prices.branches.get(rule.id, []) if is_by(entry[0], by)]
            slots = self._slot_prices(prices, rule, by, role)
            for person in self.ground.able(rule, by, role):
                anchors = self._anchors[(rule.id, by, role.name, person)]
                slot = next((price for price, one in slots if one in anchors), None)
                if slot is None:
                    continue
                for seat in self.ground.seats(person, (rule, by, role, 1)):
                    least = slot + self._seat(prices, person, seat, features, role)
                    before = found[person]
                    found[person] = least if before is None else min(before, least)
        return found

    def _slot_prices(self, prices: Prices, rule: JointRule, by: str, role: Role) -> list[tuple[int, int]]:
        anchors = self.ground.able(rule, by, rule.anchor) if rule.anchor else frozenset()
        return sorted((prices.used(self.ground.used_by_rider(rule, by, role, one)), one) for one in anchors)

    def _seat(self, prices: Prices, person: int, seat: Seat, features: Priced, role: Role | None) -> int:
        """The reduced cost of a column of one person."""
        branches = sum(
            price
            for feature, price in features
            if not feature.seats or counts_seat(feature, role.name if role else None, person, seat)
        )
        return prices.amount(seat.price, seat.codes) - prices.people[person] + prices.used(seat.usage) - branches

    # --- applications -----------------------------------------------------------------------------------------------

    def _application(self, prices: Prices, rule: JointRule, by: str) -> int:
        """The least reduced cost of an application of a joint rule, over all variants; 0 when none is negative."""
        features = [entry for entry in prices.branches.get(rule.id, []) if is_by(entry[0], by)]
        if any(is_group(feature) for feature, _ in features):
            return min([0, *(one.reduced(prices, features) for one in self._one_by_one(rule, by))])
        cuts = [cut for feature, _ in features if feature.sizes for cut in (feature.sizes[0], feature.sizes[1] + 1)]
        once = prices.used(self.ground.used_by_application(rule, by))
        found = [0]
        for variant in self.variants.of(rule, by, cuts):
            here = [entry for entry in features if counts_variant(entry[0], variant.sizes, variant.pivot)]
            fixed = once + prices.amount(variant.fixed, variant.codes, 0)
            fixed -= sum(price for feature, price in here if not feature.seats)
            rows = self._rows(prices, variant, [entry for entry in here if entry[0].seats])
            lowest = sorted(min(ways.values()) for ways in rows.values())[: variant.most]
            if fixed + sum(low for low in lowest if low < 0) >= 0:
                continue
            for group in self._groups(rule, rows):
                least = variant.shape.least(group)
                if least is not None:
                    found.append(fixed + least)
        return min(found)

    def _rows(self, prices: Prices, variant: Variant, features: Priced) -> dict[int, Mapping[Way, int]]:
        """What each person adds to the reduced cost, at least, in each way. People who are alike share the answer."""
        found: dict[int, Mapping[Way, int]] = {}
        known: dict[object, Mapping[Way, int]] = {}
        for person, options in variant.options.items():
            key = (id(options), prices.people[person], person if features else -1)
            if key not in known:
                known[key] = self._row(prices, person, options, features)
            found[person] = known[key]
        return found

    def _row(self, prices: Prices, person: int, options: Options, features: Priced) -> Mapping[Way, int]:
        found: dict[Way, int] = {}
        for way, seat, amount in options:
            cost = prices.amount(amount, seat.codes) + prices.used(seat.usage) - prices.people[person]
            cost -= sum(price for one, price in features if counts_seat(one, way.role, person, seat))
            if way not in found or cost < found[way]:
                found[way] = cost
        return found

    def _one_by_one(self, rule: JointRule, by: str) -> list[Listed]:
        key = (rule.id, by)
        if key not in self._listed:
            usage = self.ground.used_by_application(rule, by)
            self._listed[key] = [
                Listed(self.ground, rule, chosen, usage)
                for sizes in segments(rule, len(self.ground.people), ())
                for chosen in fillings(self.ground, rule, by, sizes)
            ]
        return self._listed[key]

    # --- links ------------------------------------------------------------------------------------------------------

    def _groups(self, rule: JointRule, rows: Mapping[int, Mapping[Way, int]]) -> Iterator[list[Row]]:
        """The people who may meet in one application: one household, each with somebody to be linked to."""
        people = list(rows)
        if rule.household == "same":
            homes = dict.fromkeys(self.ground.case.travelers[person].household for person in people)
            groups = [
                [one for one in people if self.ground.case.travelers[one].household == home] for home in homes if home
            ]
        else:
            groups = [people]
        for group in groups:
            if rule.kin is None:
                yield [(rows[person], False) for person in group]
            else:
                yield from self._linked(rule, rule.kin, group, rows)

    def _linked(
        self, rule: JointRule, kin: Kin, people: Sequence[int], rows: Mapping[int, Mapping[Way, int]]
    ) -> Iterator[list[Row]]:
        """One group for each set of linked people who are present. Too many sets: the link is left out of the bound."""
        ids = [one.id for one in self.ground.case.travelers]
        named = {person: self.ground.companions(rule, person) or frozenset() for person in people}
        heads = [one for one in people if any(way.role == kin.of for way in rows[one])]
        heads = [one for one in heads if any(ids[one] in others for others in named.values())]
        if len(heads) > kin_max:
            yield [(rows[person], False) for person in people]
            return
        for present in (set(one) for many in range(len(heads) + 1) for one in combinations(heads, many)):
            group: list[Row] = []
            for person in people:
                ways = rows[person]
                if person in heads:
                    ways = {way: cost for way, cost in ways.items() if (way.role == kin.of) == (person in present)}
                if not any(ids[one] in named[person] for one in present):
                    ways = {way: cost for way, cost in ways.items() if way.role != kin.role}
                group.append((ways, person in present))
            yield group
