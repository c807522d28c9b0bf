"""The checker's own reading of a case: who may sit in which role, for which ticket, and what that uses up.

Prices of tickets and eligibility come from the rule interpreter. What is scarce and when an application is complete is
written down here a second time, from the reference and not from the solver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from groupbook.discounts.engine.cases import Case, card_problem
from groupbook.discounts.engine.check.basket import Basket
from groupbook.discounts.engine.market import Market
from groupbook.discounts.engine.proof import Resource
from groupbook.discounts.engine.rules import Bundle, Effect, JointRule, NthOff, PayFor, Role
from groupbook.discounts.engine.tickets import Ticket, move_of
from groupbook.kit.money import Money, divide

Usage = tuple[tuple[Resource, int], ...]
Joint = tuple[JointRule, str, Role, int]  # a role of a rule brought in by something, and how many are counted


@dataclass(frozen=True)
class Seat:
    """One ticket of one person. `name`: its family, then the rules that changed it. `codes`: those that count it."""

    ticket: Ticket
    name: tuple[str, ...]
    usage: Usage
    codes: frozenset[int]

    @property
    def price(self) -> int:
        return self.ticket.price


class Ground:
    """One case under one set of order codes."""

    def __init__(self, case: Case, basket: Basket) -> None:
        self.case = case
        self.basket = basket
        self.market = Market(case)
        self.people = range(len(case.travelers))
        gates = [rule for rule in case.rules if rule.gated and rule.families != "*"]
        self._gated = {family for rule in gates for family in rule.families}
        self._able: dict[tuple[str, str, str], frozenset[int]] = {}
        self._seats: dict[tuple[int, str, str, int], tuple[Seat, ...]] = {}
        self.joint = tuple((joint.rule, joint.by) for joint in self.market.joints)
        self.capacities: dict[Resource, int] = {("quota", key): limit for key, limit in case.quota.items()}
        # Per person: who travels on a ticket of these classes uses all of this resource, so nobody rides along.
        self._eaten: list[list[tuple[frozenset[str], Resource, int]]] = [[] for _ in self.people]
        for rule, by in self.joint:
            self._register(rule, by)

    def _register(self, rule: JointRule, by: str) -> None:
        anchor = rule.anchor
        if anchor is None:
            if by != "public":
                self.capacities[("card", rule.id, by)] = 1
            return
        anchors = self.able(rule, by, anchor)
        for role in riders(rule):
            capacity, takers = (anchor.capacity or {})[role.name], self.able(rule, by, role)
            for one in anchors:
                key, slots = ("slot", rule.id, by, str(one), role.name), min(capacity, len(takers - {one}))
                self.capacities[key] = slots
                if rule.anchor_excludes and slots:
                    self._eaten[one].append((frozenset(rule.anchor_excludes), key, slots))
            if by != "public" and len(anchors) > 1:
                self.capacities[("slots", rule.id, by, role.name)] = capacity

    def able(self, rule: JointRule, by: str, role: Role) -> frozenset[int]:
        """Who may fill a role."""
        key = (rule.id, by, role.name)
        if key not in self._able:
            self._able[key] = frozenset(self.market.candidates(rule, by, role))
        return self._able[key]

    # --- seats ------------------------------------------------------------------------------------------------------

    def seats(self, person: int, joint: Joint | None) -> tuple[Seat, ...]:
        """The tickets of one person, alone or in a role; of those that use up the same, only what can matter."""
        key = (person, joint[0].id, joint[2].name, joint[3]) if joint else (person, "", "", 0)
        if key not in self._seats:
            found = (self.seat(person, ticket, joint) for ticket in self.lawful_tickets(person, joint))
            self._seats[key] = self._mattering(found)
        return self._seats[key]

    def lawful_tickets(self, person: int, joint: Joint | None) -> Iterator[Ticket]:
        if joint is None or not (isinstance(joint[0].pool, Bundle) and joint[2].pool):
            place = None if joint is None else (joint[0], joint[2], joint[3])
            for ticket in self.market.every_ticket(person, place):
                # Riding along is worth something, or it is no riding along.
                if joint is None or joint[0].anchor is None or ticket.uses(joint[0].id):
                    yield ticket
            return
        # A flat ticket replaces the fare; the cheapest lawful fare is only what the line starts from.
        rule, fares = joint[0], self.case.travelers[person].fares.items()
        taken = [
            (base, rank, family)
            for rank, (family, base) in enumerate(fares)
            if rule.takes_family(family) and family not in self._gated
        ]
        if taken:
            base, rank, family = min(taken)
            yield Ticket(family, base, base, (), frozenset({rule.rule_class}), rank)

    def _mattering(self, seats: Iterable[Seat]) -> tuple[Seat, ...]:
        """Of tickets that use up the same the cheapest serves as well, unless a dear basket can be worth it."""
        found: dict[object, Seat] = {}
        for seat in seats:
            dear = seat.price if self.basket.spares_the_cheap else 0
            key = (seat.usage, seat.codes, dear)
            if key not in found or seat.ticket.key < found[key].ticket.key:
                found[key] = seat
        return tuple(found.values())

    def seat(self, person: int, ticket: Ticket, joint: Joint | None) -> Seat:
        rule = joint[0] if joint else None
        used: list[Resource] = []
        if rule is None or not isinstance(rule.pool, Bundle):
            used.append(("quota", ticket.family))
        # An application is one use of its rule, counted with the application; a rider is a use of it each.
        own = [step.rule for step in ticket.steps if rule is None or step.rule != rule.id or rule.anchor is not None]
        used += [("quota", f"rule:{id}") for id in own]
        eaten = [(key, amount) for classes, key, amount in self._eaten[person] if classes & ticket.classes]
        usage = (*((key, 1) for key in used if key in self.capacities), *eaten)
        name = (ticket.family, *(step.rule for step in ticket.steps))
        if joint is not None and joint[0].pool is not None and joint[2].pool:
            return Seat(ticket, name, usage, self.basket.counting_whole(joint[0].rule_class))
        return Seat(ticket, name, usage, self.basket.counting(ticket))

    def used_by_application(self, rule: JointRule, by: str) -> Usage:
        """What an application uses up besides its seats."""
        keys: tuple[Resource, ...] = (("card", rule.id, by), ("quota", f"rule:{rule.id}"))
        return tuple((key, 1) for key in keys if key in self.capacities)

    def used_by_rider(self, rule: JointRule, by: str, role: Role, anchor: int) -> Usage:
        """What a rider uses up besides the seat."""
        keys: tuple[Resource, ...] = (
            ("slot", rule.id, by, str(anchor), role.name),
            ("slots", rule.id, by, role.name),
        )
        return tuple((key, 1) for key in keys if key in self.capacities)

    # --- applications -----------------------------------------------------------------------------------------------

    def companions(self, rule: JointRule, person: int) -> frozenset[str] | None:
        """The ids of those this person may be linked to; None when the rule links nobody."""
        if rule.kin is None:
            return None
        one = self.case.travelers[person]
        if rule.kin.via == "parents":
            return frozenset(one.parents)
        cards = [card for card in one.cards if rule.kin.card in (None, card.type)]
        return frozenset(id for card in cards if card_problem(card, self.case.trip) is None for id in card.companions)

    def rides(self, rule: JointRule, role: Role, person: int, anchor: int) -> bool:
        """Whether this anchor can take that person along in that role."""
        one, other = self.case.travelers[person], self.case.travelers[anchor]
        if person == anchor or not self.market.facts.with_application({role.name: 1}).all_hold(rule.app_when):
            return False
        if rule.household == "same" and (one.household is None or one.household != other.household):
            return False
        head, named = rule.anchor, self.companions(rule, person)
        if named is None or rule.kin is None or head is None or (rule.kin.role, rule.kin.of) != (role.name, head.name):
            return True
        return other.id in named

    def complete(self, rule: JointRule, roles: Mapping[int, Role], sizes: tuple[int, int]) -> bool:
        """Whether people in roles are a finished application with so many counted, from and to."""
        counts = {role.name: sum(one.name == role.name for one in roles.values()) for role in riders(rule)}
        if not roles or any(not role.min <= counts[role.name] <= role.max for role in riders(rule)):
            return False
        counted = sum(counts.get(name, 0) for name in rule.counted_roles)
        if not sizes[0] <= counted <= sizes[1] or (rule.size and not rule.size.min <= counted <= rule.size.max):
            return False
        pooled = sum(role.pool for role in roles.values())
        if isinstance(rule.pool, Bundle) and rule.pool.price_of(pooled) is None:
            return False
        if isinstance(rule.pool, PayFor) and pooled < rule.pool.n:
            return False
        homes = {self.case.travelers[person].household for person in roles}
        if rule.household == "same" and (len(homes) != 1 or None in homes):
            return False
        if not self.market.facts.with_application(counts).all_hold(rule.app_when):
            return False
        return self._linked(rule, roles)

    def _linked(self, rule: JointRule, roles: Mapping[int, Role]) -> bool:
        if rule.kin is None:
            return True
        present = {self.case.travelers[person].id for person, role in roles.items() if role.name == rule.kin.of}
        linked = [person for person, role in roles.items() if role.name == rule.kin.role]
        return all(present & (self.companions(rule, person) or frozenset()) for person in linked)

    # --- prices of the whole ----------------------------------------------------------------------------------------

    def whole(self, rule: JointRule, tickets: Sequence[Ticket]) -> int:
        """The one price of those who share it."""
        prices = sorted(ticket.price for ticket in tickets)
        if isinstance(rule.pool, Bundle):
            return rule.pool.price_of(len(prices)) or 0
        if isinstance(rule.pool, PayFor):
            return sum(prices[len(prices) // rule.pool.n * (rule.pool.n - rule.pool.pay) :])
        if isinstance(rule.pool, NthOff):
            # Who counts as the first is not said by the rule: the lawful order that costs least is taken.
            savings = sorted((ticket.price - self.later(rule, rule.pool, ticket) for ticket in tickets), reverse=True)
            return sum(prices) - sum(savings[: max(0, len(savings) - rule.pool.start + 1)])
        return sum(prices)

    def later(self, rule: JointRule, pool: NthOff, ticket: Ticket) -> int:
        """What the n-th and later ones pay."""
        move = move_of(rule, Effect(bp=pool.bp), self.market.facts, None)
        return ticket.price if move is None else move(ticket.price, ticket.family, 0)

    def shares(self, total: int, people: Sequence[int], alone: Sequence[int]) -> dict[int, int]:
        """One price split in proportion to what each would pay alone."""
        weights = [alone[person] for person in people]
        parts = divide(Money(total, self.case.currency), weights if sum(weights) else [1] * len(weights))
        return {person: part.minor for person, part in zip(people, parts, strict=True)}


def riders(rule: JointRule) -> list[Role]:
    return [role for role in rule.roles if not role.anchor]


def by_size(rule: JointRule) -> bool:
    """Whether a price in this rule depends on how many there are."""
    return any(role.effect is not None and role.effect.depends_on_size for role in rule.roles)
