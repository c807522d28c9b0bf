"""The lower bound that the dual prices at one leaf prove: weak duality, exactly, in integers.

A column is somebody's own ticket, one rider on one anchor, or one application of a joint rule; its reduced cost is what
it costs, less the prices of its people, plus the prices of what it uses up, less the prices of the branches that count
it. Whatever is lawful costs at least the sum of all prices plus the reduced costs, and for each rule the least reduced
cost times the most applications bounds them all. The least is found by counting (see `shape`), never by listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import gcd
from typing import Final, NamedTuple

from groupbook.discounts.engine.check.count import Filled, fillings
from groupbook.discounts.engine.check.ground import Ground, Seat, Usage, by_size, riders
from groupbook.discounts.engine.check.shape import Row, Shape, Way, segments, shape_of, sizes_of
from groupbook.discounts.engine.proof import Feature, Leaf, Resource
from groupbook.discounts.engine.rules import Bundle, JointRule, PayFor, Role

kin_max: Final = 6
NOTHING: Final[frozenset[int]] = frozenset()


class Turn(NamedTuple):
    """A branch on the way to a leaf: which side, and what it says: count <= bound (low) or count >= bound (high)."""

    feature: Feature
    high: bool
    bound: int


class Prices:
    """The dual prices of one leaf, everything over one `unit`."""

    def __init__(self, ground: Ground, leaf: Leaf, path: Sequence[Turn], scale: int) -> None:
        common, pieces = ground.basket.pieces()
        self.unit = scale * common
        self.people = [price * common for price in leaf.people]
        self.resources: dict[Resource, int] = {key: price * common for key, price in leaf.resources if price}
        self.branches: dict[str | None, list[tuple[Feature, int]]] = {}
        self.fixed = sum(self.people)
        self.fixed -= sum(price * ground.capacities[key] for key, price in self.resources.items())
        for turn, price in zip(path, leaf.branches, strict=True):
            self.fixed += price * common * turn.bound
            if price:
                self.branches.setdefault(turn.feature.rule, []).append((turn.feature, price * common))
        self._counted = self.unit
        if leaf.pieces:
            self._counted = sum(part * slope for part, (slope, _) in zip(leaf.pieces, pieces, strict=True))
            self.fixed -= sum(part * less for part, (_, less) in zip(leaf.pieces, pieces, strict=True))
        self._rows = [(row, price * common) for row, price in zip(ground.basket.rows, leaf.basket, strict=True)]
        self.fixed += sum(price * least for (_, _, least), price in self._rows)
        self._weights: dict[frozenset[int], tuple[int, int]] = {NOTHING: (self.unit, 0)}

    def amount(self, price: int, codes: frozenset[int], items: int = 1) -> int:
        """What a price adds to a reduced cost, where these codes count it."""
        if codes not in self._weights:
            per_unit, per_item = self._counted, 0
            for (code, what, _), beta in self._rows:
                if code in codes:
                    per_unit -= beta if what == "amount" else 0
                    per_item -= beta if what == "items" else 0
            self._weights[codes] = per_unit, per_item
        per_unit, per_item = self._weights[codes]
        return price * per_unit + items * per_item

    def used(self, usage: Usage) -> int:
        return sum(amount * self.resources.get(key, 0) for key, amount in usage) if usage and self.resources else 0


class Column:
    """One application, written out."""

    def __init__(self, ground: Ground, rule: JointRule, chosen: Mapping[int, Filled], usage: Usage) -> None:
        self.chosen = chosen
        self.usage = usage
        self.size = sum(role.name in rule.counted_roles for role, _ in chosen.values())
        pooled = [seat for role, seat in chosen.values() if rule.pool is not None and role.pool]
        self.whole = ground.whole(rule, [seat.ticket for seat in pooled])
        self.codes = pooled[0].codes if pooled else NOTHING
        self.pooled = rule.pool is not None
        self.pivot: int | None = len(pooled) if isinstance(rule.pool, Bundle) else None
        if isinstance(rule.pool, PayFor):
            gifts = len(pooled) // rule.pool.n * (rule.pool.n - rule.pool.pay)
            self.pivot = sorted(seat.price for seat in pooled)[gifts - 1]

    def reduced(self, prices: Prices, features: Sequence[tuple[Feature, int]]) -> int:
        """The reduced cost."""
        cost = prices.amount(self.whole, self.codes, 0) + prices.used(self.usage)
        for person, (role, seat) in self.chosen.items():
            amount = 0 if self.pooled and role.pool else seat.price
            cost += prices.amount(amount, seat.codes) + prices.used(seat.usage) - prices.people[person]
        return cost - sum(price * self._count(feature) for feature, price in features)

    def _count(self, feature: Feature) -> int:
        if not _covers(feature, (self.size, self.size), self.pivot):
            return 0
        if feature.seats:
            return sum(_matches(feature, role.name, person, seat) for person, (role, seat) in self.chosen.items())
        return not _is_group(feature) or set(feature.people) == set(self.chosen)


class Bound:
    """The bounds of one plan's leaves. Tickets and shapes are looked up once for all leaves."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
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
        self._listed: dict[tuple[str, str], list[Column]] = {}
        self._shapes: dict[tuple[str, str, tuple[int, int], int | None], Shape] = {}

    def of(self, leaf: Leaf, path: Sequence[Turn], scale: int) -> tuple[int, int]:
        """The bound as a numerator and its unit."""
        prices = Prices(self.ground, leaf, path, scale)
        bound = prices.fixed
        bound += sum(min(0, least) for least in self._by_person(prices) if least is not None)
        for rule, by in self.applied:
            least = self._application(prices, rule, by)
            if least is not None and least < 0:
                bound += least * self._applications_max(rule, by)
        return bound, prices.unit

    def granularity(self) -> int:
        """What every total without codes is a multiple of."""
        party, found = len(self.ground.people), 0
        for person in self.ground.people:
            found = gcd(found, *(seat.price for seat in self.ground.seats(person, None)))
        for rule, by in self.ground.joint:
            anchored = rule.anchor is not None
            if isinstance(rule.pool, Bundle):
                found = gcd(found, *rule.pool.table.values())
            for sizes in [(1, 1)] if anchored else segments(rule, party, ()):
                for role in riders(rule):
                    for person in self.ground.able(rule, by, role):
                        size = 1 if anchored else _size(rule, sizes)
                        for seat in self.ground.seats(person, (rule, by, role, size)):
                            found = gcd(found, *(amount for _, amount in self._paid(rule, role, seat, None)))
        return found

    def _applications_max(self, rule: JointRule, by: str) -> int:
        if by != "public":
            return 1
        most = len(self.ground.people) // max(1, sizes_of(rule, len(self.ground.people))[0], _members_min(rule))
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
            features = [entry for entry in prices.branches.get(rule.id, []) if _named(entry[0].by, by)]
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

    def _seat(
        self, prices: Prices, person: int, seat: Seat, features: Sequence[tuple[Feature, int]], role: Role | None
    ) -> int:
        """The reduced cost of a column of one person."""
        branches = sum(
            price
            for feature, price in features
            if not feature.seats or _matches(feature, role.name if role else None, person, seat)
        )
        return prices.amount(seat.price, seat.codes) - prices.people[person] + prices.used(seat.usage) - branches

    # --- applications -----------------------------------------------------------------------------------------------

    def _application(self, prices: Prices, rule: JointRule, by: str) -> int | None:
        """The least reduced cost of an application of a joint rule, over all sizes and variants."""
        party = len(self.ground.people)
        features = [entry for entry in prices.branches.get(rule.id, []) if _named(entry[0].by, by)]
        cuts = [cut for feature, _ in features if feature.sizes for cut in (feature.sizes[0], feature.sizes[1] + 1)]
        if any(_is_group(feature) for feature, _ in features):
            return min((column.reduced(prices, features) for column in self._columns(rule, by)), default=None)
        once = prices.used(self.ground.used_by_application(rule, by))
        found = []
        for sizes in segments(rule, party, cuts):
            for pivot in self._pivots(rule, by, sizes):
                here = [entry for entry in features if _covers(entry[0], sizes, pivot)]
                shape = self._shape(rule, by, sizes, pivot if isinstance(rule.pool, Bundle) else None)
                fixed = once - sum(price for feature, price in here if not feature.seats)
                if isinstance(rule.pool, Bundle):
                    codes = self.ground.basket.counting_whole(rule.rule_class)
                    fixed += prices.amount(rule.pool.price_of(pivot or 0) or 0, codes, 0)
                seated = [entry for entry in here if entry[0].seats]
                rows = {
                    person: self._ways(prices, rule, by, sizes, pivot, person, seated) for person in self.ground.people
                }
                for group in self._groups(rule, by, rows):
                    least = shape.least(group)
                    if least is not None:
                        found.append(fixed + least)
        return min(found, default=None)

    def _pivots(self, rule: JointRule, by: str, sizes: tuple[int, int]) -> Sequence[int | None]:
        """The variants of a pooled price: how many share a flat ticket, or the price of the dearest free member."""
        if isinstance(rule.pool, Bundle):
            return [payers for payers in range(len(self.ground.people) + 1) if rule.pool.price_of(payers) is not None]
        if not isinstance(rule.pool, PayFor):
            return [None]
        pooled = [role for role in riders(rule) if role.pool]
        return sorted(
            {
                seat.price
                for role in pooled
                for person in self.ground.able(rule, by, role)
                for seat in self.ground.seats(person, (rule, by, role, _size(rule, sizes)))
            }
        )

    def _shape(self, rule: JointRule, by: str, sizes: tuple[int, int], payers: int | None) -> Shape:
        key = (rule.id, by, sizes, payers)
        if key not in self._shapes:
            able = {role.name: len(self.ground.able(rule, by, role)) for role in riders(rule)}
            facts = self.ground.market.facts
            self._shapes[key] = shape_of(rule, able, len(self.ground.people), sizes, payers, facts)
        return self._shapes[key]

    def _ways(
        self,
        prices: Prices,
        rule: JointRule,
        by: str,
        sizes: tuple[int, int],
        pivot: int | None,
        person: int,
        features: Sequence[tuple[Feature, int]],
    ) -> dict[Way, int]:
        """What one person adds to the reduced cost, at least, in each way of each role."""
        found: dict[Way, int] = {}
        for role in riders(rule):
            if person not in self.ground.able(rule, by, role):
                continue
            for seat in self.ground.seats(person, (rule, by, role, _size(rule, sizes))):
                base = prices.used(seat.usage) - prices.people[person]
                if features:
                    base -= sum(price for one, price in features if _matches(one, role.name, person, seat))
                for name, amount in self._paid(rule, role, seat, pivot):
                    way, cost = Way(role.name, name), base + prices.amount(amount, seat.codes)
                    if way not in found or cost < found[way]:
                        found[way] = cost
        return found

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

    def _columns(self, rule: JointRule, by: str) -> list[Column]:
        """Every application one by one, for branches that count a very group."""
        key = (rule.id, by)
        if key not in self._listed:
            party, usage = len(self.ground.people), self.ground.used_by_application(rule, by)
            self._listed[key] = [
                Column(self.ground, rule, chosen, usage)
                for sizes in segments(rule, party, ())
                for chosen in fillings(self.ground, rule, by, sizes)
            ]
        return self._listed[key]

    # --- links ------------------------------------------------------------------------------------------------------

    def _groups(self, rule: JointRule, by: str, rows: Mapping[int, dict[Way, int]]) -> Iterator[list[Row]]:
        """The people who may meet in one application: one household, each with somebody to be linked to."""
        people = [person for person in self.ground.people if rows[person]]
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
                yield from self._linked(rule, by, group, rows)

    def _linked(
        self, rule: JointRule, by: str, people: Sequence[int], rows: Mapping[int, dict[Way, int]]
    ) -> Iterator[list[Row]]:
        """One group for each set of linked people who are present. Too many sets: the link is left out of the bound."""
        assert rule.kin is not None
        kin, ids = rule.kin, [one.id for one in self.ground.case.travelers]
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


def _is_group(feature: Feature) -> bool:
    """Whether it counts the applications of exactly these people."""
    return bool(feature.people) and not feature.seats


def _named(wanted: tuple[str, ...], by: str) -> bool:
    return not wanted or by in wanted


def _size(rule: JointRule, sizes: tuple[int, int]) -> int:
    return sizes[0] if by_size(rule) else 0


def _members_min(rule: JointRule) -> int:
    return sum(role.min for role in riders(rule))


def _matches(feature: Feature, role: str | None, person: int, seat: Seat) -> bool:
    if feature.role is not None and feature.role != role:
        return False
    if feature.people and person not in feature.people:
        return False
    return feature.ticket is None or feature.ticket == seat.name


def _covers(feature: Feature, sizes: tuple[int, int], pivot: int | None) -> bool:
    if feature.sizes is not None and not feature.sizes[0] <= sizes[0] <= feature.sizes[1]:
        return False
    return feature.pivot is None or feature.pivot == pivot
