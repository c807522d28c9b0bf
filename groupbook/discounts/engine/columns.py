"""Columns: every lawful way to bind one or several people to one price, with the scarce things it uses.

A singleton column is one person's own ticket; an anchored column is one beneficiary riding on somebody else's
presence; a joint column is a filling of a rule's roles by distinct people. What is scarce is a resource with a
capacity: seats of a family, uses of a rule, a card that names several people, the slots of each anchor (a ticket that
excludes anchoring uses up all of them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Final

from groupbook.discounts.engine.cases import Case, Facts, card_problem, fits
from groupbook.discounts.engine.errors import NoOwnFare, TooManyCombinations
from groupbook.discounts.engine.rules import Bundle, Effect, JointRule, NthOff, PayFor, Role, Rule, SelfRule
from groupbook.discounts.engine.tickets import Own, Ticket, compatible_sets, stepped, tickets
from groupbook.kit.money import Money, divide

fillings_max: Final = 200_000
Resource = tuple[str, ...]
Usage = tuple[tuple[int, int], ...]  # (resource, amount), sorted
_Value = tuple[int, tuple[int, ...], tuple[int, ...]]  # cost; prices falling; prices in party order
Filling = Mapping[int, tuple[Role, Ticket | None]]  # person -> role and ticket


@dataclass(frozen=True)
class Seat:
    """One person in a column: their ticket, what it costs on its face, and what they owe after settlement."""

    person: int
    ticket: Ticket
    face: int
    pay: int
    pooled: bool = False


@dataclass(frozen=True)
class Column:
    """A price for the people in `mask`. `rule` is None for somebody's own ticket; `anchor` is present, not used."""

    mask: int
    seats: tuple[Seat, ...]
    usage: Usage
    rule: str | None = None
    by: str | None = None
    anchor: int | None = None
    flat: bool = False

    @cached_property
    def cost(self) -> int:
        return sum(seat.pay for seat in self.seats)

    @cached_property
    def first_key(self) -> int:
        """Total, then people bound to others, then joint applications, as one integer (each below 2**12)."""
        joint = self.rule is not None
        return (((self.cost << 12) | (len(self.seats) if joint else 0)) << 12) | joint

    @cached_property
    def people_key(self) -> tuple[tuple[int, tuple[int, tuple[str, ...]], int], ...]:
        """Per person: what they pay, inside before outside and the rules, the anchor or first member."""
        leader = self.anchor if self.anchor is not None else self.seats[0].person
        outside = self.rule is None
        return tuple(
            (seat.pay, (int(outside), self._rules(seat)), seat.person if outside else leader) for seat in self.seats
        )

    def _rules(self, seat: Seat) -> tuple[str, ...]:
        own = tuple(step.rule for step in seat.ticket.steps)
        return tuple(sorted({*own, self.rule})) if self.rule is not None else own


@dataclass
class Market:
    """The lawful columns of one case. `alone[i]` bounds what person i may pay."""

    case: Case
    alone: Sequence[int] | None
    facts: Facts = field(init=False)
    capacities: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        case = self.case
        self.facts = Facts(case.trip, case.travelers)
        self.people = range(len(case.travelers))
        self._usable = [
            frozenset(card.type for card in one.cards if card_problem(card, case.trip) is None)
            for one in case.travelers
        ]
        self._in_force = [rule for rule in case.rules if self.general_problem(rule) is None]
        gates = [rule for rule in case.rules if rule.gated and rule.families != "*"]
        self.gated = frozenset(family for rule in gates for family in rule.families)
        self._fares = [tuple(one.fares.items()) for one in case.travelers]
        self.own = [self._own_rules(person) for person in self.people]
        self._resources: dict[Resource, int] = {}
        self._eaters = self._register_resources()
        self._sets: dict[tuple[int, str | None], list[tuple[Own, ...]]] = {}
        self._tickets: dict[tuple[int, str, str, int], list[Ticket]] = {}
        # When set, this person's tickets must use that rule by that card: what would it cost?
        self.forced: tuple[int, str, str] | None = None

    # --- eligibility ------------------------------------------------------------------------------------------------

    def general_problem(self, rule: Rule) -> str | None:
        """Why a rule is not available on this trip at all, in the order of refusal; None when it is."""
        on = self.case.trip.date
        valid = rule.valid
        if valid is not None and (
            (valid.starts_on is not None and on < valid.starts_on) or (valid.ends_on is not None and on > valid.ends_on)
        ):
            return "not_in_force"
        if rule.currency not in ("any", self.case.currency):
            return "currency"
        return self.facts.first_failing(rule.when)

    def fits(self, person: int, role: Role | SelfRule) -> bool:
        return fits(role.who, self.case.travelers[person], self.facts.ages[person], self._usable[person])

    def triggers(self, rule: Rule) -> list[str]:
        """By what a rule is brought in: `public`, each code, each card (valid or not)."""
        if rule.trigger.public:
            return ["public"]
        if rule.trigger.code:
            return [f"code@{owner}" for id, owner in self.case.codes if id == rule.id]
        kinds = rule.trigger.cards
        found = (card.by(one.id) for one in self.case.travelers for card in one.cards if card.type in kinds)
        return list(dict.fromkeys(found))

    def holders(self, rule: Rule, by: str) -> list[int]:
        """Who holds this card or code, valid or not."""
        travelers = self.case.travelers
        if by.startswith("code@"):
            return [person for person in self.people if travelers[person].id == by.removeprefix("code@")]
        kinds = rule.trigger.cards
        return [
            person
            for person in self.people
            if any(card.type in kinds and card.by(travelers[person].id) == by for card in travelers[person].cards)
        ]

    def card_problem(self, rule: Rule, by: str, person: int) -> str | None:
        kinds = rule.trigger.cards
        one = self.case.travelers[person]
        cards = [card for card in one.cards if card.type in kinds and card.by(one.id) == by]
        problems = [card_problem(card, self.case.trip) for card in cards]
        return None if not problems or None in problems else problems[0]

    def candidates(self, rule: JointRule, by: str, role: Role) -> list[int]:
        """Who may fill a role."""
        people: Sequence[int] = self.people
        if role.holds:
            people = [one for one in self.holders(rule, by) if self.card_problem(rule, by, one) is None]
        return [person for person in people if self.fits(person, role)]

    def _own_rules(self, person: int) -> list[Own]:
        found = []
        for rule in self._in_force:
            if not isinstance(rule, SelfRule) or not self.fits(person, rule):
                continue
            for by in self.triggers(rule):
                if by == "public" or (person in self.holders(rule, by) and self.card_problem(rule, by, person) is None):
                    found.append(Own(rule, by))
        return found

    def joint_rules(self) -> Iterator[tuple[JointRule, str]]:
        for rule in self._in_force:
            if isinstance(rule, JointRule):
                for by in self.triggers(rule):
                    if by == "public" or any(
                        self.card_problem(rule, by, person) is None for person in self.holders(rule, by)
                    ):
                        yield rule, by

    # --- resources --------------------------------------------------------------------------------------------------

    def _register_resources(self) -> list[tuple[int, frozenset[str], int, int]]:
        """Give every scarce thing a number. Returns who eats slots: (person, classes, resource, amount)."""
        for key, limit in self.case.quota.items():
            self._resource(("quota", key), limit)
        classes = {rule.rule_class for rule in self._in_force}
        eaters: list[tuple[int, frozenset[str], int, int]] = []
        for rule, by in self.joint_rules():
            anchor = rule.anchor
            if anchor is None:
                if by != "public":
                    self._resource(("card", rule.id, by), 1)
                continue
            anchors = self.candidates(rule, by, anchor)
            excluded = frozenset(rule.anchor_excludes) & classes
            for role in rule.roles:
                if role.anchor:
                    continue
                takers = self.candidates(rule, by, role)
                capacity = (anchor.capacity or {})[role.name]
                for one in anchors:
                    others = len([taker for taker in takers if taker != one])
                    if others == 0 or (others <= capacity and not excluded):
                        continue
                    limit = min(capacity, others)
                    number = self._resource(("slot", rule.id, by, str(one), role.name), limit)
                    if excluded and limit:
                        eaters.append((one, excluded, number, limit))
                if by != "public" and len(anchors) > 1:
                    self._resource(("slots", rule.id, by, role.name), capacity)
        return eaters

    def _resource(self, key: Resource, limit: int) -> int:
        self._resources[key] = len(self.capacities)
        self.capacities.append(limit)
        return self._resources[key]

    def _usage(self, seats: Mapping[int, Ticket], keys: Sequence[Resource], *, flat: bool = False) -> Usage:
        used: dict[int, int] = {}
        wanted = list(keys)
        for person, ticket in seats.items():
            if not flat:
                wanted.append(("quota", ticket.family))
            wanted += [("quota", f"rule:{step.rule}") for step in ticket.steps]
            for eater, classes, number, amount in self._eaters:
                if eater == person and not classes.isdisjoint(ticket.classes):
                    used[number] = used.get(number, 0) + amount
        for key in wanted:
            if key in self._resources:
                used[self._resources[key]] = used.get(self._resources[key], 0) + 1
        return tuple(sorted(used.items()))

    # --- tickets ----------------------------------------------------------------------------------------------------

    def tickets_of(self, person: int, joint: tuple[JointRule, str, Role, int] | None) -> list[Ticket]:
        """The tickets worth considering: the cheapest of each pattern of scarce things."""
        key = (person, joint[0].id, joint[2].name, joint[3]) if joint else (person, "", "", 0)
        if self.forced is None and key in self._tickets and (joint is None or joint[1] == "public"):
            return self._tickets[key]
        sets_key = (person, joint[0].id if joint else None)
        if sets_key not in self._sets:
            self._sets[sets_key] = compatible_sets(self.own[person], joint[0] if joint else None)
        found: dict[Usage, Ticket] = {}
        for ticket in tickets(self._fares[person], self._sets[sets_key], self.facts, gated=self.gated, joint=joint):
            if self.forced and self.forced[0] == person and not ticket.uses(*self.forced[1:]):
                continue
            usage = self._usage({person: ticket}, ())
            if usage not in found or ticket.key < found[usage].key:
                found[usage] = ticket
        kept = list(found.values())
        if self.forced is None and (joint is None or joint[1] == "public"):
            self._tickets[key] = kept
        return kept

    def every_ticket(self, person: int, joint: tuple[JointRule, str, Role, int] | None) -> Iterator[Ticket]:
        """All lawful tickets of a person, the dear ones too."""
        sets = compatible_sets(self.own[person], joint[0] if joint else None)
        return tickets(self._fares[person], sets, self.facts, gated=self.gated, joint=joint)

    def has_fare(self, rule: JointRule, by: str) -> bool:
        """Whether enough people for every role have a fare that the rule covers."""
        for role in rule.roles:
            fitting = self.candidates(rule, by, role)
            covered = [
                person for person in fitting if any(rule.takes_family(family) for family, _ in self._fares[person])
            ]
            if not role.anchor and len(covered) < max(role.min, rule.anchor is not None):
                return False
        return True

    # --- columns ----------------------------------------------------------------------------------------------------

    def columns(self) -> list[Column]:
        found: list[Column] = []
        for person in self.people:
            found += self.singletons(person)
        for rule, by in self.joint_rules():
            found += self.joint_columns(rule, by)
        return found

    def singletons(self, person: int) -> Iterator[Column]:
        for ticket in self.tickets_of(person, None):
            seat = Seat(person, ticket, ticket.price, ticket.price)
            yield Column(1 << person, (seat,), self._usage({person: ticket}, ()))

    def joint_columns(self, rule: JointRule, by: str, *, any_fare: bool = False) -> list[Column]:
        """Every lawful application of a joint rule.

        With `any_fare` the question is only whether the roles can be filled: fares and savings do not matter.
        """
        if rule.anchor is not None:
            return list(self._anchored(rule, by, rule.anchor, any_fare=any_fare))
        return list(self._filled(rule, by, any_fare=any_fare))

    def _anchored(self, rule: JointRule, by: str, anchor: Role, *, any_fare: bool) -> Iterator[Column]:
        for role, one in product(rule.roles, self.candidates(rule, by, anchor)):
            if role.anchor:
                continue
            for person in self.candidates(rule, by, role):
                if person == one or not self._linked(rule, {role.name: [person], anchor.name: [one]}):
                    continue
                if not self.facts.with_application({role.name: 1}).all_hold(rule.app_when):
                    continue
                if any_fare:
                    yield self._dummy([person])
                    continue
                keys: list[Resource] = [("slot", rule.id, by, str(one), role.name), ("slots", rule.id, by, role.name)]
                for ticket in self.tickets_of(person, (rule, by, role, 1)):
                    if not ticket.uses(rule.id, by):
                        continue
                    seat = Seat(person, ticket, ticket.price, ticket.price)
                    yield Column(1 << person, (seat,), self._usage({person: ticket}, keys), rule.id, by, one)

    def _filled(self, rule: JointRule, by: str, *, any_fare: bool) -> Iterator[Column]:
        eligible = {role.name: set(self.candidates(rule, by, role)) for role in rule.roles}
        by_size = any(role.effect is not None and role.effect.depends_on_size for role in rule.roles)
        sizes = range(1, len(self.people) + 1) if by_size else (0,)
        best: dict[tuple[int, Usage], Column] = {}
        for size in sizes:
            for counts, filling in self._fillings(rule, by, eligible, size, any_fare=any_fare):
                column = self._dummy(filling) if any_fare else self._application(rule, by, counts, filling)
                if column is None:
                    continue
                key = (column.mask, column.usage)
                if key not in best or _order(column) < _order(best[key]):
                    best[key] = column
        yield from best.values()

    def _fillings(
        self, rule: JointRule, by: str, eligible: Mapping[str, set[int]], size: int, *, any_fare: bool
    ) -> Iterator[tuple[dict[str, int], Filling]]:
        """Every set of people with its cheapest lawful assignment of roles, for one counted size (0: any)."""
        roles = rule.roles
        counted = {index for index, role in enumerate(roles) if role.name in rule.counted_roles}
        most = rule.size.max if rule.size else len(self.people)
        empty = tuple(0 for _ in roles)
        states: dict[tuple[int, tuple[int, ...], Usage], tuple[_Value, Filling]] = {}
        states[(0, empty, ())] = ((0, (), ()), {})
        for person in self.people:
            for (mask, counts, usage), ((cost, falling, faces), filling) in list(states.items()):
                for index, role in enumerate(roles):
                    if person not in eligible[role.name] or counts[index] == role.max:
                        continue
                    after = tuple(count + (index == at) for at, count in enumerate(counts))
                    total = sum(after[at] for at in counted)
                    if total > most or (size and total > size):
                        continue
                    for ticket in (None,) if any_fare else self._role_tickets(rule, by, role, size, person):
                        price = 0 if ticket is None else ticket.price
                        more = () if ticket is None else self._usage({person: ticket}, ())
                        key = (mask | 1 << person, after, _added(usage, more))
                        value = (cost + price, tuple(sorted((*falling, price), reverse=True)), (*faces, price))
                        if key not in states or value < states[key][0]:
                            states[key] = (value, {**filling, person: (role, ticket)})
            if len(states) > fillings_max:
                raise TooManyCombinations(fillings_max=fillings_max, rule=rule.id)
        for (mask, counts, _), (_, filling) in states.items():
            named = {role.name: counts[index] for index, role in enumerate(roles)}
            if mask and self._complete(rule, named, filling, size):
                yield named, filling

    def _role_tickets(self, rule: JointRule, by: str, role: Role, size: int, person: int) -> Sequence[Ticket]:
        if isinstance(rule.pool, Bundle) and role.pool:
            # A flat ticket replaces the fare; the cheapest lawful fare is only what the line starts from.
            fares = [fare for fare in self._fares[person] if rule.takes_family(fare[0]) and fare[0] not in self.gated]
            if not fares or (self.forced and self.forced[0] == person):
                return ()
            rank, (family, base) = min(enumerate(fares), key=lambda entry: (entry[1][1], entry[0]))
            return (Ticket(family, base, base, (), frozenset({rule.rule_class}), rank),)
        return self.tickets_of(person, (rule, by, role, size))

    def _complete(self, rule: JointRule, counts: Mapping[str, int], filling: Filling, size: int) -> bool:
        if any(counts[role.name] < role.min for role in rule.roles):
            return False
        counted = sum(counts[name] for name in rule.counted_roles)
        if (size and counted != size) or (rule.size and not rule.size.min <= counted <= rule.size.max):
            return False
        if isinstance(rule.pool, Bundle) and rule.pool.price_of(_pooled(rule, counts)) is None:
            return False
        if isinstance(rule.pool, PayFor) and _pooled(rule, counts) < rule.pool.n:
            return False
        if rule.household == "same":
            homes = {self.case.travelers[person].household for person in filling}
            if len(homes) != 1 or None in homes:
                return False
        if rule.app_when and not self.facts.with_application(counts).all_hold(rule.app_when):
            return False
        if rule.kin is None:
            return True
        people: dict[str, list[int]] = {role.name: [] for role in rule.roles}
        for person, entry in filling.items():
            people[entry[0].name].append(person)
        return self._linked(rule, people)

    def _linked(self, rule: JointRule, people: Mapping[str, Sequence[int]]) -> bool:
        """Own parent, adult named on the card, one household: everybody in the linked role has somebody to be with."""
        travelers = self.case.travelers
        if rule.household == "same" and rule.anchor is not None:
            homes = {travelers[person].household for group in people.values() for person in group}
            if len(homes) != 1 or None in homes:
                return False
        kin = rule.kin
        if kin is None or kin.role not in people or kin.of not in people:
            return True
        adults = {travelers[person].id for person in people[kin.of]}
        for person in people[kin.role]:
            one = travelers[person]
            named = set(one.parents)
            if kin.via == "card_with":
                cards = [card for card in one.cards if kin.card in (None, card.type)]
                named = {id for card in cards if card_problem(card, self.case.trip) is None for id in card.companions}
            if named.isdisjoint(adults):
                return False
        return True

    def _dummy(self, people: Sequence[int] | Mapping[int, object]) -> Column:
        nothing = Ticket("", 0, 0, (), frozenset(), 0)
        mask = sum(1 << person for person in people)
        return Column(mask, tuple(Seat(person, nothing, 0, 0) for person in sorted(people)), ())

    def _application(
        self,
        rule: JointRule,
        by: str,
        counts: Mapping[str, int],
        filling: Filling,
    ) -> Column | None:
        """A finished filling as a column: pooled prices shared, nobody above alone. None when it is worth nothing."""
        chosen = {person: (role, ticket) for person, (role, ticket) in sorted(filling.items()) if ticket is not None}
        faces = {person: ticket.price for person, (_, ticket) in chosen.items()}
        pooled = [person for person, (role, _) in chosen.items() if rule.pool is not None and role.pool]
        helped = rule.gated or rule.pool is not None or any(one.uses(rule.id, by) for _, one in chosen.values())
        if not helped:
            return None
        if pooled:
            faces |= self._shared(rule, pooled, {person: chosen[person][1] for person in pooled}, counts)
        pays = self._settled(faces)
        flat = isinstance(rule.pool, Bundle)
        seats = tuple(
            Seat(person, ticket, faces[person], pays[person], person in pooled)
            for person, (_, ticket) in chosen.items()
        )
        keys: list[Resource] = [("card", rule.id, by)]
        used_by = [person for person, (_, ticket) in chosen.items() if ticket.uses(rule.id, by)]
        if not used_by:
            keys.append(("quota", f"rule:{rule.id}"))
        usage = self._usage({person: ticket for person, (_, ticket) in chosen.items()}, keys, flat=flat)
        usage = self._one_use(usage, rule.id, len(used_by))
        mask = sum(1 << person for person in chosen)
        return Column(mask, seats, usage, rule.id, by, None, flat)

    def _one_use(self, usage: Usage, rule: str, counted: int) -> Usage:
        """An application is one use of its rule, however many of its people have the discount on their line."""
        number = self._resources.get(("quota", f"rule:{rule}"))
        if number is None or counted <= 1:
            return usage
        return tuple((at, 1 if at == number else amount) for at, amount in usage)

    def _shared(
        self, rule: JointRule, pooled: Sequence[int], own: Mapping[int, Ticket], counts: Mapping[str, int]
    ) -> dict[int, int]:
        """The price of the whole application, shared in proportion to what each would pay alone."""
        prices = sorted(own[person].price for person in pooled)
        pool = rule.pool
        if isinstance(pool, Bundle):
            total = pool.price_of(_pooled(rule, counts)) or 0
        elif isinstance(pool, PayFor):
            total = sum(prices[len(prices) // pool.n * (pool.n - pool.pay) :])
        elif isinstance(pool, NthOff):
            total = sum(prices) - self._nth_saving(rule, pool, [own[person] for person in pooled])
        else:
            total = sum(prices)
        weights = [self.alone[person] if self.alone else own[person].price for person in pooled]
        if sum(weights) == 0:
            weights = [1] * len(pooled)
        parts = divide(Money(total, self.case.currency), weights)
        return {person: part.minor for person, part in zip(pooled, parts, strict=True)}

    def _nth_saving(self, rule: JointRule, pool: NthOff, own: Sequence[Ticket]) -> int:
        savings = []
        for ticket in own:
            effect = Effect(bp=pool.bp)
            size = len(own)
            after = stepped(rule, effect, ticket.price, family=ticket.family, facts=self.facts, size=size, role=None)
            savings.append(ticket.price - after)
        # Who counts as the first is not said by the rule: the lawful order that costs least is taken.
        return sum(sorted(savings, reverse=True)[: max(0, len(own) - pool.start + 1)])

    def _settled(self, faces: Mapping[int, int]) -> dict[int, int]:
        """Nobody pays more than alone; the excess falls on the others in proportion to what they still save."""
        if self.alone is None:
            return dict(faces)
        alone = self.alone
        excess = sum(max(0, face - alone[person]) for person, face in faces.items())
        saving = {person: max(0, alone[person] - face) for person, face in faces.items()}
        if excess == 0 or excess > sum(saving.values()):
            return dict(faces)
        parts = divide(Money(excess, self.case.currency), list(saving.values()))
        return {
            person: min(face, alone[person]) + part.minor
            for (person, face), part in zip(faces.items(), parts, strict=True)
        }

    def require_own_fares(self) -> None:
        """Raises:
        NoOwnFare: somebody has only fares that exist inside a group rule.
        """
        for person in self.people:
            if not any(family not in self.gated for family, _ in self._fares[person]):
                raise NoOwnFare(traveler=self.case.travelers[person].id)


def _pooled(rule: JointRule, counts: Mapping[str, int]) -> int:
    return sum(counts[role.name] for role in rule.roles if role.pool)


def _added(one: Usage, other: Usage) -> Usage:
    if not other:
        return one
    total = dict(one)
    for number, amount in other:
        total[number] = total.get(number, 0) + amount
    return tuple(sorted(total.items()))


def _order(column: Column) -> tuple[object, ...]:
    pays = tuple(seat.pay for seat in column.seats)
    return column.first_key, tuple(sorted(pays, reverse=True)), pays, column.people_key
