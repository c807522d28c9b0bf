"""Columns: every lawful way to bind one or several people to one price, listed one by one.

A singleton column is one person's own ticket; an anchored column is one beneficiary riding on somebody else's
presence; a joint column is a filling of a rule's roles by distinct people. There may be very many. With the dual prices
of a solved case only those are listed that an optimum can use: reduced cost at most the gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.market import NO_USAGE, Joint, Market, Usage
from groupbook.discounts.engine.offers import nth_price, tiers
from groupbook.discounts.engine.orders import CodeSet, OrderLine, after_codes
from groupbook.discounts.engine.rules import Bundle, JointRule, NthOff, PayFor, Role
from groupbook.discounts.engine.tickets import Ticket
from groupbook.kit.money import Money, divide, split

fillings_max: Final = 200_000
Filling = Mapping[int, tuple[Role, Ticket]]  # person -> role and ticket
_Value = tuple[int, tuple[int, ...], tuple[int, ...]]  # cost; prices falling; prices in party order
_State = tuple[_Value, int, dict[int, tuple[Role, Ticket]]]  # value, reduced cost so far, who sits where


class Seat(NamedTuple):
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
    rule_class: str = ""

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

    def lines(self) -> Iterator[OrderLine]:
        """What codes on the whole order see of this column, seat by seat."""
        for seat in self.seats:
            if seat.pooled:
                yield OrderLine(seat.face, None, frozenset({self.rule_class}), True)
            else:
                yield OrderLine(seat.face, seat.ticket.family, seat.ticket.classes, False)


@dataclass(frozen=True)
class Prices:
    """Dual prices over `scale`: per person, per resource number; `gap` (over `scale`) is total minus their bound.

    slope, less: with codes, a lower bound of what a line is worth is slope x price - less (both over `scale`).
    """

    people: tuple[int, ...]
    resources: tuple[int, ...]
    gap: int
    slope: int
    less: int = 0

    def of(self, person: int, price: int, usage: Usage) -> int:
        """What this seat adds to the reduced cost of its column, or a little less."""
        taken = sum(amount * self.resources[number] for number, amount in usage) if usage else 0
        return price * self.slope - self.less - self.people[person] + taken


class Columns:
    """The columns of a market. `alone[i]` bounds what person i may pay; without it nothing is settled."""

    def __init__(
        self,
        market: Market,
        alone: Sequence[int] | None = None,
        prices: Prices | None = None,
        *,
        fillings: int = fillings_max,
    ) -> None:
        self.market = market
        self.alone = alone
        self.prices = prices
        self._fillings_max = fillings

    def __iter__(self) -> Iterator[Column]:
        for person in self.market.people:
            yield from self.own(person)
        for joint in self.market.joints:
            yield from self.of(joint)

    def own(self, person: int) -> Iterator[Column]:
        for ticket in self.market.tickets_of(person, None):
            usage = self.market.usage_of(person, ticket)
            if self._worth(person, ticket.price, usage):
                yield own_column(person, ticket, usage)

    def of(self, joint: Joint) -> Iterator[Column]:
        """Every lawful application of a joint rule that can be of use.

        Raises:
            TooManyCombinations: more fillings than the budget.
        """
        if joint.rule.anchor is not None:
            yield from self._anchored(joint)
        elif self._may_fill(joint):
            yield from self._filled(joint)

    def _may_fill(self, joint: Joint) -> bool:
        """Whether there are enough people at all: most rules of a catalogue ask for more than a party has."""
        counted = {person for name in joint.rule.counted_roles for person in joint.people[name]}
        enough = joint.rule.size is None or len(counted) >= joint.rule.size.min
        return enough and all(len(joint.people[role.name]) >= role.min for role in joint.roles())

    def _worth(self, person: int, price: int, usage: Usage) -> bool:
        return self.prices is None or self.prices.of(person, price, usage) <= self.prices.gap

    def _anchored(self, joint: Joint) -> Iterator[Column]:
        for role in joint.roles():
            for person in joint.people[role.name]:
                tickets = [
                    ticket
                    for ticket in self.market.role_tickets(joint, role, 1, person)
                    if ticket.uses(joint.rule.id) and self._worth(person, ticket.price, NO_USAGE)
                ]
                for anchor in self.market.anchors_for(joint, role, person) if tickets else ():
                    for ticket in tickets:
                        column = self.anchored(joint, role, person, anchor, ticket)
                        if self._worth(person, ticket.price, column.usage):
                            yield column

    def anchored(self, joint: Joint, role: Role, person: int, anchor: int, ticket: Ticket) -> Column:
        """One beneficiary riding on an anchor."""
        rule = joint.rule
        keys = [("slot", rule.id, joint.by, str(anchor), role.name), ("slots", rule.id, joint.by, role.name)]
        slots = [(number, 1) for key in keys if (number := self.market.resources.get(key)) is not None]
        usage = added(self.market.usage_of(person, ticket), tuple(slots))
        seat = Seat(person, ticket, ticket.price, ticket.price)
        return Column(1 << person, (seat,), usage, rule.id, joint.by, anchor)

    # --- fillings ---------------------------------------------------------------------------------------------------

    def _filled(self, joint: Joint) -> Iterator[Column]:
        party = len(self.market.people)
        best: dict[object, Column] = {}
        for sizes in tiers(joint.rule, party):
            for counts, filling in self._fillings(joint, sizes):
                if not (is_complete(self.market, joint, counts, sizes) and self._linked(joint, filling)):
                    continue
                column = self.application(joint, filling)
                if column is None or not self._worth_all(column):
                    continue
                key: object = (column.mask, column.usage)
                if self.market.every:
                    key = (key, tuple(seat.ticket.name for seat in column.seats))
                if key not in best or _order(column) < _order(best[key]):
                    best[key] = column
        yield from best.values()

    def _worth_all(self, column: Column) -> bool:
        prices = self.prices
        if prices is None:
            return True
        reduced = sum(prices.of(seat.person, seat.pay, NO_USAGE) for seat in column.seats)
        return reduced + sum(amount * prices.resources[number] for number, amount in column.usage) <= prices.gap

    def _fillings(
        self, joint: Joint, sizes: tuple[int, int] | None
    ) -> Iterator[tuple[dict[str, int], dict[int, tuple[Role, Ticket]]]]:
        """Every set of people with its cheapest lawful assignment of roles."""
        rule, roles = joint.rule, joint.roles()
        counted = {index for index, role in enumerate(roles) if role.name in rule.counted_roles}
        most = sizes[1] if sizes else rule.size.max if rule.size else len(self.market.people)
        choices = [self._choices(joint, roles, person, sizes) for person in self.market.people]
        hope = self._hopes(choices)
        states: dict[tuple[int, tuple[int, ...], Usage, tuple[object, ...]], _State] = {}
        states[(0, tuple(0 for _ in roles), NO_USAGE, ())] = ((0, (), ()), 0, {})
        for person in self.market.people:
            limit = self.prices.gap - hope[person + 1] if self.prices else None
            for (mask, counts, usage, names), ((cost, falling, faces), reduced, filling) in list(states.items()):
                for index, ticket, price, more, adds in choices[person]:
                    if counts[index] == roles[index].max or (limit is not None and reduced + adds > limit):
                        continue
                    after = tuple(count + (index == at) for at, count in enumerate(counts))
                    if sum(after[at] for at in counted) > most:
                        continue
                    named = (*names, ticket.name) if self.market.every else names
                    key = (mask | 1 << person, after, added(usage, more), named)
                    value = (cost + price, tuple(sorted((*falling, price), reverse=True)), (*faces, price))
                    if key not in states or value < states[key][0]:
                        states[key] = (value, reduced + adds, {**filling, person: (roles[index], ticket)})
            if limit is not None:
                states = {key: state for key, state in states.items() if state[1] <= limit}
            self.market.work.spend(len(states))
            if len(states) > self._fillings_max:
                raise TooManyCombinations(fillings_max=self._fillings_max, rule=rule.id)
        for (mask, counts, _, _), (_, _, filling) in states.items():
            if mask:
                yield {role.name: counts[index] for index, role in enumerate(roles)}, filling

    def _choices(
        self, joint: Joint, roles: Sequence[Role], person: int, sizes: tuple[int, int] | None
    ) -> list[tuple[int, Ticket, int, Usage, int]]:
        """(role, ticket, price, usage, least it adds to the reduced cost) for one person."""
        found = []
        flat = isinstance(joint.rule.pool, Bundle)
        for index, role in enumerate(roles):
            if person not in joint.people[role.name]:
                continue
            for ticket in self.market.role_tickets(joint, role, sizes[0] if sizes else 0, person):
                usage = self._without_rule(joint.rule, self.market.usage_of(person, ticket, flat=flat))
                least = self._least(joint.rule, role, ticket)
                adds = self.prices.of(person, least, usage) if self.prices else 0
                found.append((index, ticket, ticket.price, usage, adds))
        return found

    def _hopes(self, choices: Sequence[Sequence[tuple[int, Ticket, int, Usage, int]]]) -> list[int]:
        """hope[p]: the most that the people from p on can still take off a reduced cost (zero or less)."""
        hope = [0]
        for options in reversed(choices):
            hope.append(hope[-1] + min([0, *(option[4] for option in options)]))
        return hope[::-1]

    def _least(self, rule: JointRule, role: Role, ticket: Ticket) -> int:
        """The least this ticket can cost in its application, whatever the others are."""
        if rule.pool is None or not role.pool:
            return ticket.price
        if isinstance(rule.pool, Bundle):
            return min(rule.pool.table.values()) // len(self.market.people) if rule.pool.table else 0
        if isinstance(rule.pool, PayFor):
            return 0
        return nth_price(self.market, rule, ticket)

    def _without_rule(self, rule: JointRule, usage: Usage) -> Usage:
        """An application is one use of its rule, however many of its people have the discount on their line."""
        number = self.market.resources.get(("quota", f"rule:{rule.id}"))
        return usage if number is None else tuple(one for one in usage if one[0] != number)

    def _linked(self, joint: Joint, filling: Filling) -> bool:
        if joint.rule.kin is None and joint.rule.household is None:
            return True
        people: dict[str, list[int]] = {role.name: [] for role in joint.roles()}
        for person, (role, _) in filling.items():
            people[role.name].append(person)
        return self.market.linked(joint.rule, people)

    # --- applications -----------------------------------------------------------------------------------------------

    def application(self, joint: Joint, filling: Filling) -> Column | None:
        """A finished filling as a column: pooled prices shared, nobody above alone. None when it is worth nothing."""
        rule = joint.rule
        chosen = dict(sorted(filling.items()))
        faces = {person: ticket.price for person, (_, ticket) in chosen.items()}
        pooled = [person for person, (role, _) in chosen.items() if rule.pool is not None and role.pool]
        if not (rule.gated or rule.pool is not None or any(one.uses(rule.id) for _, one in chosen.values())):
            return None
        if pooled:
            faces |= self._shared(rule, {person: chosen[person][1] for person in pooled})
        pays = settled(faces, self.alone)
        flat = isinstance(rule.pool, Bundle)
        seats = tuple(
            Seat(person, ticket, faces[person], pays[person], person in pooled)
            for person, (_, ticket) in chosen.items()
        )
        usage: Usage = NO_USAGE
        for person, (_, ticket) in chosen.items():
            mine = self.market.usage_of(person, ticket, flat=flat)
            usage = added(usage, self._without_rule(rule, mine))
        keys = [("card", rule.id, joint.by), ("quota", f"rule:{rule.id}")]
        once = [(number, 1) for key in keys if (number := self.market.resources.get(key)) is not None]
        mask = sum(1 << person for person in chosen)
        return Column(mask, seats, added(usage, tuple(once)), rule.id, joint.by, None, flat, rule.rule_class)

    def _shared(self, rule: JointRule, own: Mapping[int, Ticket]) -> dict[int, int]:
        """The price of the whole application, shared in proportion to what each would pay alone."""
        prices = sorted(ticket.price for ticket in own.values())
        pool = rule.pool
        if isinstance(pool, Bundle):
            total = pool.price_of(len(prices)) or 0
        elif isinstance(pool, PayFor):
            total = sum(prices[len(prices) // pool.n * (pool.n - pool.pay) :])
        elif isinstance(pool, NthOff):
            savings = [ticket.price - nth_price(self.market, rule, ticket) for ticket in own.values()]
            # Who counts as the first is not said by the rule: the lawful order that costs least is taken.
            total = sum(prices) - sum(sorted(savings, reverse=True)[: max(0, len(savings) - pool.start + 1)])
        else:
            total = sum(prices)
        weights = [self.alone[person] if self.alone else ticket.price for person, ticket in own.items()]
        if sum(weights) == 0:
            weights = [1] * len(weights)
        parts = divide(Money(total, self.market.case.currency), weights)
        return {person: part.minor for person, part in zip(own, parts, strict=True)}


def is_complete(market: Market, joint: Joint, counts: Mapping[str, int], sizes: tuple[int, int] | None) -> bool:
    """Whether so many people in each role are an application: minimums, size, pool, and what it says of itself."""
    rule = joint.rule
    if any(counts[role.name] < role.min for role in joint.roles()):
        return False
    counted = sum(counts[name] for name in rule.counted_roles)
    if sizes and not sizes[0] <= counted <= sizes[1]:
        return False
    if rule.size and not rule.size.min <= counted <= rule.size.max:
        return False
    pooled = sum(counts[role.name] for role in joint.roles() if role.pool)
    if isinstance(rule.pool, Bundle) and rule.pool.price_of(pooled) is None:
        return False
    if isinstance(rule.pool, PayFor) and pooled < rule.pool.n:
        return False
    return sum(counts.values()) > 0 and market.facts.with_application(counts).all_hold(rule.app_when)


def own_column(person: int, ticket: Ticket, usage: Usage) -> Column:
    """Somebody's own ticket."""
    return Column(1 << person, (Seat(person, ticket, ticket.price, ticket.price),), usage)


def settled(faces: Mapping[int, int], alone: Sequence[int] | None) -> dict[int, int]:
    """Nobody pays more than alone; the excess falls on the others in proportion to what they still save."""
    if alone is None:
        return dict(faces)
    excess = sum(max(0, face - alone[person]) for person, face in faces.items())
    saving = {person: max(0, alone[person] - face) for person, face in faces.items()}
    if excess == 0 or excess > sum(saving.values()):
        return dict(faces)
    parts = split(excess, list(saving.values()))
    return {person: min(face, alone[person]) + part for (person, face), part in zip(faces.items(), parts, strict=True)}


def added(one: Usage, other: Usage) -> Usage:
    if not other:
        return one
    if not one:
        return tuple(sorted(other))
    total = dict(one)
    for number, amount in other:
        total[number] = total.get(number, 0) + amount
    return tuple(sorted(total.items()))


def total_after(codes: CodeSet, columns: Sequence[Column]) -> int | None:
    """What an assignment costs after the codes; None when a code of the set does not apply to it."""
    seats = sorted(
        ((seat.person, line) for column in columns for seat, line in zip(column.seats, column.lines(), strict=True)),
        key=lambda one: one[0],
    )
    lines = [line for _, line in seats]
    taken = after_codes(codes, lines)
    return None if taken is None else sum(line.amount for line in lines) - sum(sum(one) for one in taken)


def _order(column: Column) -> tuple[object, ...]:
    pays = tuple(seat.pay for seat in column.seats)
    return column.first_key, tuple(sorted(pays, reverse=True)), pays, column.people_key
