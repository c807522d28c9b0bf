"""A party in plain numbers: every way to seat every person, the groups they may form, the slots they may use up.

Who may sit where, and in `fares` for how much, is read from the rules a second time: of the engine only the parsed
models and the facts of the trip are used, so a total that all agree on is not one misreading shared. No solver's clock
runs yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.discounts.fares import Price, prices
from groupbook.discounts.engine.cases import Case, Facts, card_problem, fits
from groupbook.discounts.engine.rules import Bundle, Effect, JointRule, Role, Rule, SelfRule, SingleEffect


@dataclass(frozen=True)
class Seat:
    """One person's place: alone, in a role of a group, or in a slot of somebody's card. `blocks`: slots it uses up."""

    person: int
    cost: int
    group: int | None = None
    role: int = 0
    slot: int | None = None
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Group:
    """An offer that several people fill together, at most `limit` times.

    `roles`: least and most people, and whether they count towards `size`. `prices`: of the whole, by people in role 0.
    """

    roles: tuple[tuple[int, int, bool], ...]
    size: tuple[int, int]
    limit: int
    prices: tuple[tuple[int, int], ...] = ()


@dataclass
class Party:
    """What the solvers are given. `slots` are capacities."""

    people: int
    seats: list[Seat] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)


def priced(case: Case) -> Party:
    """Raises:
    ValueError: a rule of a shape the benchmark's rule sets do not have.
    """
    return _Pricing(case).party


@dataclass(frozen=True)
class _Slot:
    """The places one anchor offers in one role of one rule."""

    number: int
    anchor: int
    excluded: frozenset[str]


class _Pricing:
    def __init__(self, case: Case) -> None:
        if case.codes or case.quota:
            raise ValueError("no codes and no quotas here")
        self.case = case
        self.people = range(len(case.travelers))
        self.facts = Facts(case.trip, case.travelers)
        self.rules = [rule for rule in case.rules if self._in_force(rule)]
        self.gated = frozenset(family for rule in self.rules if rule.gated for family in rule.families)
        self.cards = [[card for card in one.cards if card_problem(card, case.trip) is None] for one in case.travelers]
        self.own = [list(self._own(person)) for person in self.people]
        self.party = Party(len(case.travelers))
        self.slots: list[tuple[JointRule, str, _Slot, Role]] = []
        joint = [(rule, by) for rule in self.rules if isinstance(rule, JointRule) for by in self._triggers(rule)]
        for rule, by in joint:
            if rule.anchor is not None:
                self._open_slots(rule, by, rule.anchor)
        for person in self.people:
            for amount, classes in self._prices(person, None):
                self._seat(person, amount, classes)
        for rule, by, slot, role in self.slots:
            self._seat_in_slot(rule, by, slot, role)
        for rule, by in joint:
            if rule.anchor is None:
                self._form_groups(rule, by)
        self.party.seats = _undominated(self.party.seats)

    # --- who --------------------------------------------------------------------------------------------------------

    def _in_force(self, rule: Rule) -> bool:
        valid, on = rule.valid, self.case.trip.date
        if valid and ((valid.starts_on and on < valid.starts_on) or (valid.ends_on and on > valid.ends_on)):
            return False
        return rule.currency in ("any", self.case.currency) and self.facts.all_hold(rule.when)

    def _held(self, person: int, rule: Rule) -> list[str]:
        """By which of their cards somebody brings a rule in."""
        owner = self.case.travelers[person].id
        return [card.by(owner) for card in self.cards[person] if card.type in rule.trigger.cards]

    def _triggers(self, rule: Rule) -> list[str]:
        if rule.trigger.public:
            return ["public"]
        return list(dict.fromkeys(by for person in self.people for by in self._held(person, rule)))

    def _fits(self, person: int, role: Role | SelfRule) -> bool:
        usable = frozenset(card.type for card in self.cards[person])
        return fits(role.who, self.case.travelers[person], self.facts.ages[person], usable)

    def _own(self, person: int) -> Iterator[SelfRule]:
        for rule in self.rules:
            held = rule.trigger.public or self._held(person, rule)
            if isinstance(rule, SelfRule) and held and self._fits(person, rule):
                yield rule

    def _candidates(self, rule: JointRule, by: str, role: Role) -> list[int]:
        return [
            person
            for person in self.people
            if self._fits(person, role) and (not role.holds or by in self._held(person, rule))
        ]

    def _linked(self, rule: JointRule, person: int, anchor: int) -> bool:
        """Own parent, or the adult named on the card."""
        if rule.kin is None:
            return True
        one = self.case.travelers[person]
        named = set(one.parents)
        if rule.kin.via == "card_with":
            named = {id for card in self.cards[person] if rule.kin.card in (None, card.type) for id in card.companions}
        return self.case.travelers[anchor].id in named

    # --- what it costs ----------------------------------------------------------------------------------------------

    def _fares(self, person: int) -> list[tuple[str, int]]:
        return list(self.case.travelers[person].fares.items())

    def _prices(self, person: int, joint: tuple[JointRule, Role, int] | None) -> Iterator[Price]:
        return prices(self._fares(person), self.own[person], self.facts, self.gated, joint)

    def _seat(
        self,
        person: int,
        cost: int,
        classes: frozenset[str],
        *,
        group: int | None = None,
        role: int = 0,
        slot: int | None = None,
    ) -> None:
        blocks = tuple(
            one.number for _, _, one, _ in self.slots if one.anchor == person and not one.excluded.isdisjoint(classes)
        )
        self.party.seats.append(Seat(person, cost, group, role, slot, blocks))

    def _open_slots(self, rule: JointRule, by: str, anchor: Role) -> None:
        anchors = self._candidates(rule, by, anchor)
        if rule.household or (by != "public" and len(anchors) > 1):
            raise ValueError(f"{rule.id}: no households and no shared anchors here")
        for one in anchors:
            for role in rule.roles:
                if not role.anchor:
                    slot = _Slot(len(self.party.slots), one, frozenset(rule.anchor_excludes))
                    self.party.slots.append((anchor.capacity or {})[role.name])
                    self.slots.append((rule, by, slot, role))

    def _seat_in_slot(self, rule: JointRule, by: str, slot: _Slot, role: Role) -> None:
        for person in self._candidates(rule, by, role):
            if person != slot.anchor and self._linked(rule, person, slot.anchor):
                for amount, classes in self._prices(person, (rule, role, 1)):
                    self._seat(person, amount, classes, slot=slot.number)

    def _form_groups(self, rule: JointRule, by: str) -> None:
        if rule.kin or rule.household or rule.app_when or (rule.pool and not isinstance(rule.pool, Bundle)):
            raise ValueError(f"{rule.id}: not among the shapes measured here")
        low, high = (rule.size.min, rule.size.max) if rule.size else (0, len(self.people))
        counted = rule.counted_roles
        candidates = [self._candidates(rule, by, role) for role in rule.roles]
        roles = tuple(
            (role.min, min(role.max, len(some)), role.name in counted)
            for role, some in zip(rule.roles, candidates, strict=True)
        )
        if any(least > most for least, most, _ in roles):
            return
        limit = len(self.people) if by == "public" else 1
        for first, last in _tiers(rule, low, min(high, len(self.people))):
            pool = rule.pool if isinstance(rule.pool, Bundle) else None
            prices = tuple(sorted((int(payers), price) for payers, price in pool.table.items())) if pool else ()
            number = len(self.party.groups)
            self.party.groups.append(Group(roles, (first, last), limit, prices))
            for at, role in enumerate(rule.roles):
                for person in candidates[at]:
                    if pool is not None and role.pool:
                        if self._has_open_fare(person, rule):
                            self._seat(person, 0, frozenset({rule.rule_class}), group=number, role=at)
                        continue
                    for amount, classes in self._prices(person, (rule, role, first)):
                        self._seat(person, amount, classes, group=number, role=at)

    def _has_open_fare(self, person: int, rule: JointRule) -> bool:
        return any(rule.takes_family(family) and family not in self.gated for family, _ in self._fares(person))


def _tiers(rule: JointRule, low: int, high: int) -> Iterator[tuple[int, int]]:
    """The ranges of sizes within which nothing changes its price."""
    effects: list[SingleEffect] = [role.effect for role in rule.roles if role.effect is not None]
    effects += [case for role in rule.roles if isinstance(role.effect, Effect) for case in role.effect.cases or ()]
    steps = {row[0] for effect in effects for row in (*(effect.bp_by_size or ()), *(effect.price_by_size or ()))}
    starts = sorted({low, *(step for step in steps if low < step <= high)})
    for first, after in zip(starts, [*starts[1:], high + 1], strict=True):
        if first <= after - 1:
            yield first, after - 1


def _undominated(seats: Sequence[Seat]) -> list[Seat]:
    """Of seats that differ in their price only, the cheapest."""
    best: dict[Mapping[str, object] | tuple[object, ...], Seat] = {}
    for seat in seats:
        key = (seat.person, seat.group, seat.role, seat.slot, seat.blocks)
        if key not in best or seat.cost < best[key].cost:
            best[key] = seat
    return list(best.values())
