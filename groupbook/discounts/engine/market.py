"""The market of one case: who may use what, which tickets everybody may have, and what is scarce.

Scarce things are *resources* with a capacity: seats of a family, uses of a rule, a card that binds several people, the
slots of each anchor (a ticket that excludes anchoring uses up all of them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from groupbook.discounts.engine.cases import Case, Facts, card_problem, fits
from groupbook.discounts.engine.errors import NoOwnFare, TooManyCombinations
from groupbook.discounts.engine.rules import Bundle, JointRule, Kin, OrderRule, Role, Rule, SelfRule
from groupbook.discounts.engine.terms import terms_of
from groupbook.discounts.engine.tickets import Chain, Ticket

Resource = tuple[str, ...]
Usage = tuple[tuple[int, int], ...]  # (resource number, amount), sorted
NO_USAGE: Final[Usage] = ()
prices_max: Final = 1_000_000
pivoting_max: Final = 5_000_000


class Held(NamedTuple):
    """A card in somebody's hand: `problem` says why it does not work on this trip."""

    person: int
    by: str
    problem: str | None


@dataclass(frozen=True)
class Joint:
    """A joint rule that can be brought in here: by what, and who fits each role."""

    rule: JointRule
    by: str
    people: Mapping[str, tuple[int, ...]]

    def roles(self) -> list[Role]:
        return [role for role in self.rule.roles if not role.anchor]


class Eater(NamedTuple):
    """A person whose ticket of one of these classes leaves no slot: nobody can ride on it."""

    person: int
    classes: frozenset[str]
    resource: int
    amount: int


class Work:
    """The budget of one answer: so many prices and so much pivoting and no more, whatever the rules are.

    pivoting: simplex iterations times rows, and so much for every number of a model that is built: about what they
    cost. It is not a clock, so that the same case always has the same answer.
    """

    def __init__(self, prices: int = prices_max, pivoting: int = pivoting_max) -> None:
        self._full = (prices, pivoting)
        self._prices, self.pivoting = self._full

    def renew(self) -> None:
        """A second helping, for the explanation: it may end early without harm."""
        self._prices, self.pivoting = self._full

    def spend(self, prices: int) -> None:
        """Raises:
        TooManyCombinations: the budget ended.
        """
        self._prices -= prices
        if self._prices < 0:
            raise TooManyCombinations(prices_max=prices_max)


class Market:
    """What is lawful in one case. `every`: keep dear tickets too (a basket's minimum may ask for them)."""

    def __init__(self, case: Case, *, every: bool = False, work: Work | None = None) -> None:
        self.case = case
        self.work = work or Work()
        self.facts = Facts(case.trip, case.travelers)
        self.people = range(len(case.travelers))
        self.every = every
        self._held: dict[str, list[Held]] = {}
        for person, one in enumerate(case.travelers):
            for card in one.cards:
                problem = card_problem(card, case.trip)
                self._held.setdefault(card.type, []).append(Held(person, card.by(one.id), problem))
        self._usable = [
            frozenset(card.type for card in one.cards if card_problem(card, case.trip) is None)
            for one in case.travelers
        ]
        # Of whom it may be asked who they are: people of one kind get one answer.
        kinds: dict[object, list[int]] = {}
        for person, one in enumerate(case.travelers):
            kinds.setdefault((self.facts.ages[person], one.tags, self._usable[person]), []).append(person)
        self._kinds = list(kinds.values())
        self.terms = terms_of(case, self.facts)
        self.gated = self.terms.gated
        # A rule that nobody brings in is not even looked at.
        self.in_force = [rule for rule in case.rules if self._is_brought(rule) and self.terms.problem(rule) is None]
        self.fares = [tuple(one.fares.items()) for one in case.travelers]
        self._fitting: dict[tuple[str, str], tuple[int, ...]] = {}
        self.own, self.own_by = self._own_rules()
        self._chain_keys = [
            (tuple([rule.id for rule in self.own[one]]), tuple([family for family, _ in self.fares[one]]))
            for one in self.people
        ]
        profiles: dict[object, int] = {}
        self.profile = [
            profiles.setdefault((self.fares[one], self._chain_keys[one][0]), len(profiles)) for one in self.people
        ]
        self.joints = [joint for rule in self.in_force if isinstance(rule, JointRule) for joint in self._brought(rule)]
        self.resources: dict[Resource, int] = {}
        self.capacities: list[int] = []
        self.eaters = self._register_resources()
        self._eaters_of: dict[int, list[Eater]] = {}
        for eater in self.eaters:
            self._eaters_of.setdefault(eater.person, []).append(eater)
        self._quotas = bool(case.quota)
        self._tickets: dict[tuple[object, ...], tuple[Ticket, ...]] = {}

    # --- eligibility ------------------------------------------------------------------------------------------------

    def _is_brought(self, rule: Rule) -> bool:
        trigger = rule.trigger
        if trigger.public:
            return True
        if trigger.code:
            return any(id == rule.id for id, _ in self.case.codes)
        return any(kind in self._held for kind in trigger.cards)

    def fits(self, person: int, role: Role | SelfRule) -> bool:
        return fits(role.who, self.case.travelers[person], self.facts.ages[person], self._usable[person])

    def _all_fitting(self, role: Role | SelfRule) -> list[int]:
        """Everybody who is what a role or a personal rule asks for."""
        return sorted(person for kind in self._kinds if self.fits(kind[0], role) for person in kind)

    def held(self, rule: Rule) -> list[Held]:
        """The cards that bring a rule in, valid or not, in party order."""
        found = [held for kind in rule.trigger.cards for held in self._held.get(kind, ())]
        return sorted(found, key=lambda held: held.person) if len(rule.trigger.cards) > 1 else found

    def triggers(self, rule: Rule) -> list[str]:
        """By what a rule is brought in: `public`, each code, each card (valid or not)."""
        if rule.trigger.public:
            return ["public"]
        if rule.trigger.code:
            return [f"code@{owner}" for id, owner in self.case.codes if id == rule.id]
        return list(dict.fromkeys(held.by for held in self.held(rule)))

    def holders(self, rule: Rule, by: str) -> list[int]:
        """Who holds this card or code, valid or not."""
        if by.startswith("code@"):
            travelers = self.case.travelers
            return [person for person in self.people if travelers[person].id == by.removeprefix("code@")]
        return list(dict.fromkeys(held.person for held in self.held(rule) if held.by == by))

    def card_problem(self, rule: Rule, by: str, person: int) -> str | None:
        problems = [held.problem for held in self.held(rule) if held.by == by and held.person == person]
        return None if not problems or None in problems else problems[0]

    def usable_holders(self, rule: Rule, by: str) -> list[int]:
        return [person for person in self.holders(rule, by) if self.card_problem(rule, by, person) is None]

    def fitting(self, rule: JointRule, role: Role) -> tuple[int, ...]:
        """Who is what a role asks for, holding aside."""
        key = (rule.id, role.name)
        if key not in self._fitting:
            self._fitting[key] = tuple(self._all_fitting(role))
        return self._fitting[key]

    def candidates(self, rule: JointRule, by: str, role: Role) -> tuple[int, ...]:
        """Who may fill a role."""
        people = self.fitting(rule, role)
        if not role.holds or not people:
            return people
        holders = self.usable_holders(rule, by)
        return tuple(person for person in people if person in holders)

    def _own_rules(self) -> tuple[list[tuple[SelfRule, ...]], list[dict[str, str]]]:
        """Per person: the personal rules they may use, and by which card or code (the first of several)."""
        rules: list[list[SelfRule]] = [[] for _ in self.people]
        by: list[dict[str, str]] = [{} for _ in self.people]
        for rule in self.in_force:
            if not isinstance(rule, SelfRule):
                continue
            if rule.trigger.public:
                for person in self._all_fitting(rule):
                    rules[person].append(rule)
                    by[person][rule.id] = "public"
                continue
            for person, trigger in self._entitled(rule):
                if rule.id not in by[person] and self.fits(person, rule):
                    rules[person].append(rule)
                    by[person][rule.id] = trigger
        return [tuple(own) for own in rules], by

    def _entitled(self, rule: SelfRule) -> Iterator[tuple[int, str]]:
        if rule.trigger.code:
            for by in self.triggers(rule):
                yield from ((person, by) for person in self.holders(rule, by))
        else:
            yield from ((held.person, held.by) for held in self.held(rule) if held.problem is None)

    def _brought(self, rule: JointRule) -> Iterator[Joint]:
        if rule.trigger.public:
            yield Joint(rule, "public", {role.name: self.fitting(rule, role) for role in rule.roles})
            return
        for by in self.triggers(rule):
            if self.usable_holders(rule, by):
                yield Joint(rule, by, {role.name: self.candidates(rule, by, role) for role in rule.roles})

    def order_rules(self) -> Iterator[tuple[OrderRule, str]]:
        for rule in self.in_force:
            if isinstance(rule, OrderRule):
                for by in self.triggers(rule):
                    yield rule, by

    # --- resources --------------------------------------------------------------------------------------------------

    def _register_resources(self) -> list[Eater]:
        """Give every scarce thing a number. Returns who eats slots."""
        for key, limit in self.case.quota.items():
            self._resource(("quota", key), limit)
        classes = {rule.rule_class for rule in self.in_force}
        eaters: list[Eater] = []
        for joint in self.joints:
            rule, by, anchor = joint.rule, joint.by, joint.rule.anchor
            if anchor is None:
                if by != "public":
                    self._resource(("card", rule.id, by), 1)
                continue
            anchors = joint.people[anchor.name]
            excluded = frozenset(rule.anchor_excludes) & classes
            for role in joint.roles():
                takers = joint.people[role.name]
                capacity = (anchor.capacity or {})[role.name]
                for one in anchors:
                    others = len(takers) - (one in takers)
                    if others == 0 or (others <= capacity and not excluded):
                        continue
                    limit = min(capacity, others)
                    number = self._resource(("slot", rule.id, by, str(one), role.name), limit)
                    if excluded and limit:
                        eaters.append(Eater(one, excluded, number, limit))
                if by != "public" and len(anchors) > 1:
                    self._resource(("slots", rule.id, by, role.name), capacity)
        return eaters

    def _resource(self, key: Resource, limit: int) -> int:
        self.resources[key] = len(self.capacities)
        self.capacities.append(limit)
        return self.resources[key]

    def usage_of(self, person: int, ticket: Ticket, *, flat: bool = False) -> Usage:
        """What one person's ticket takes of the scarce things."""
        if not self._quotas and person not in self._eaters_of:
            return NO_USAGE
        used: dict[int, int] = {}
        if self._quotas:
            keys = [] if flat else [("quota", ticket.family)]
            keys += [("quota", f"rule:{step.rule}") for step in ticket.steps]
            for key in keys:
                number = self.resources.get(key)
                if number is not None:
                    used[number] = used.get(number, 0) + 1
        for eater in self._eaters_of.get(person, ()):
            if not eater.classes.isdisjoint(ticket.classes):
                used[eater.resource] = used.get(eater.resource, 0) + eater.amount
        return tuple(sorted(used.items()))

    # --- tickets ----------------------------------------------------------------------------------------------------

    def every_ticket(self, person: int, part: tuple[JointRule, Role, int] | None) -> Iterator[Ticket]:
        """All lawful tickets of a person, alone or in a role of a joint rule with `size` people counted."""
        size = part[2] if part else 0
        fares = self.fares[person]
        for chain in self._chains_of(person, part):
            ticket = chain.ticket(fares[chain.rank][1], size)
            if ticket is not None:
                yield ticket

    def _chains_of(self, person: int, part: tuple[JointRule, Role, int] | None) -> list[Chain]:
        named = self._chain_keys[person]
        found = self.terms.chains(self.own[person], named, (part[0], part[1]) if part else None)
        self.work.spend(len(named[0]) + len(found))
        return found

    def tickets_of(
        self, person: int, part: tuple[JointRule, Role, int] | None, *, using: str | None = None
    ) -> tuple[Ticket, ...]:
        """The tickets worth considering: the cheapest of each pattern of scarce things.

        Args:
            using: only tickets on which this rule changed the price.
        """
        place = (part[0].id, part[1].name, part[2]) if part else None
        key = (self.profile[person], place, using, person if person in self._eaters_of else -1)
        known = self._tickets.get(key)
        if known is None:
            known = self._tickets[key] = self._worthwhile(person, part, using)
        return known

    def _worthwhile(
        self, person: int, part: tuple[JointRule, Role, int] | None, using: str | None
    ) -> tuple[Ticket, ...]:
        found: dict[object, Ticket] = {}
        plain = not self._quotas and not self.every and person not in self._eaters_of
        for ticket in self.every_ticket(person, part):
            if using is not None and not ticket.uses(using):
                continue
            pattern: object = NO_USAGE if plain else self.usage_of(person, ticket)
            if self.every:
                pattern = (pattern, ticket.name)
            known = found.get(pattern)
            if known is None or ticket.price < known.price or (ticket.price == known.price and ticket.key < known.key):
                found[pattern] = ticket
        return tuple(found.values())

    def flat_ticket(self, person: int, rule: JointRule) -> Ticket | None:
        """A flat ticket replaces the fare; the cheapest lawful fare is only what the line starts from."""
        fares = [
            (base, rank, family)
            for rank, (family, base) in enumerate(self.fares[person])
            if rule.takes_family(family) and family not in self.gated
        ]
        if not fares:
            return None
        base, rank, family = min(fares)
        return Ticket(family, base, base, (), frozenset({rule.rule_class}), rank)

    def role_tickets(
        self, joint: Joint, role: Role, size: int, person: int, *, using: str | None = None
    ) -> tuple[Ticket, ...]:
        """The tickets worth considering in a role of an application of `size` counted people."""
        if isinstance(joint.rule.pool, Bundle) and role.pool:
            flat = self.flat_ticket(person, joint.rule) if using is None else None
            return () if flat is None else (flat,)
        return self.tickets_of(person, (joint.rule, role, size), using=using)

    # --- links ------------------------------------------------------------------------------------------------------

    def linked(self, rule: JointRule, people: Mapping[str, Sequence[int]]) -> bool:
        """Own parent, adult named on the card, one household: everybody in the linked role has somebody to be with."""
        if rule.household == "same" and not self._one_home([one for group in people.values() for one in group]):
            return False
        kin = rule.kin
        if kin is None or kin.role not in people or kin.of not in people:
            return True
        adults = {self.case.travelers[person].id for person in people[kin.of]}
        return not any(self._named(kin, person).isdisjoint(adults) for person in people[kin.role])

    def _one_home(self, people: Sequence[int]) -> bool:
        homes = {self.case.travelers[person].household for person in people}
        return len(homes) == 1 and None not in homes

    def _named(self, kin: Kin, person: int) -> frozenset[str]:
        """Whom this person belongs to: their parents, or the adults named on their card."""
        one = self.case.travelers[person]
        if kin.via == "parents":
            return frozenset(one.parents)
        cards = [card for card in one.cards if kin.card in (None, card.type)]
        valid = [card for card in cards if card_problem(card, self.case.trip) is None]
        return frozenset(id for card in valid for id in card.companions)

    def anchors_for(self, joint: Joint, role: Role, person: int) -> list[int]:
        """On whose presence this person may ride in this role."""
        rule, anchor = joint.rule, joint.rule.anchor
        if anchor is None or not self.facts.with_application({role.name: 1}).all_hold(rule.app_when):
            return []
        anchors = joint.people[anchor.name]
        if rule.kin is not None and rule.kin.role == role.name and rule.kin.of == anchor.name:
            named = self._named(rule.kin, person)
            anchors = tuple(one for one in anchors if self.case.travelers[one].id in named) if named else ()
        if rule.household is None:
            return [one for one in anchors if one != person]
        return [one for one in anchors if one != person and self._one_home((person, one))]

    def require_own_fares(self) -> None:
        """Raises:
        NoOwnFare: somebody has only fares that exist inside a group rule.
        """
        for person in self.people:
            if not any(family not in self.gated for family, _ in self.fares[person]):
                raise NoOwnFare(traveler=self.case.travelers[person].id)
