"""The case as a small integer programme whose size does not depend on how many groups are possible.

People who are alike (same fares, same rules, same roles) are merged into *types*. A joint rule becomes *offers*: one
number says how many applications there are, others say how many people of each type sit in each role with each ticket.
Between role bounds, sizes and types the numbers can always be split into real groups (`groups`), so nothing is lost.
Each scarce thing is a row. Links that bounds cannot say (own parent in one group) are listed group by group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from groupbook.discounts.engine.columns import Column, Columns
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.kinds import Kinds, Pool, is_listed
from groupbook.discounts.engine.market import Joint, Market, Resource, pivoting_max
from groupbook.discounts.engine.offers import Offer, cost_in, offers_of
from groupbook.discounts.engine.orders import CodeSet, OrderLine, baskets, eligible, pieces_of
from groupbook.discounts.engine.rules import Bundle, JointRule, Role, Rule, SelfRule
from groupbook.discounts.engine.tickets import Ticket

UNBOUNDED: Final = 1e30
numbers_max: Final = 20_000
building: Final = 40  # what one number costs of the budget of pivoting
Entries = list[tuple[int, float]]


class Seats(NamedTuple):
    """How many people of a type have this ticket: their own, in a part of an offer, or riding on a pool."""

    type: int
    ticket: Ticket
    role: Role | None = None
    offer: int | None = None
    part: int | None = None
    pool: Pool | None = None


class Applications(NamedTuple):
    """How many applications of an offer there are."""

    offer: int


class Listed(NamedTuple):
    """Whether this very group is used."""

    column: Column


class Excess(NamedTuple):
    """What the lines that codes cover cost after the codes: not a count, bounded below by the pieces."""


Number = Seats | Applications | Listed | Excess


class Must(NamedTuple):
    """A rule that has to be used, brought in by this."""

    rule: Rule
    by: str


@dataclass
class Model:
    """Minimize `cost` x over whole numbers x >= 0 with lower <= A x <= upper; the first rows are the types.

    With codes, `covered` x is what they apply to; it is not in `cost`, its bound below is the last number.
    """

    market: Market
    kinds: Kinds
    codes: CodeSet
    offers: list[Offer] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    cost: list[int] = field(default_factory=list)
    covered: list[int] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    entries: list[Entries] = field(default_factory=list)
    rows: list[tuple[float, float]] = field(default_factory=list)
    scarce: list[tuple[int, tuple[Resource, ...]]] = field(default_factory=list)  # row, the resources it stands for
    piece_rows: list[int] = field(default_factory=list)
    basket_rows: list[int] = field(default_factory=list)
    covers_anything: bool = False
    must: bool = False
    applications: list[int] = field(default_factory=list)  # offer -> its number
    seats: list[dict[int, list[int]]] = field(default_factory=list)  # offer -> type -> their numbers

    def add_row(self, lower: float, upper: float) -> int:
        self.rows.append((lower, upper))
        return len(self.rows) - 1

    def add(self, number: Number, cost: int, entries: Entries, upper: float = UNBOUNDED) -> int:
        if len(self.cost) >= numbers_max:
            raise TooManyCombinations(numbers_max=numbers_max)
        self.numbers.append(number)
        self.cost.append(cost)
        self.entries.append(entries)
        self.upper.append(upper)
        return len(self.cost) - 1

    def plain(self) -> tuple[int, ...] | None:
        """Everybody alone with nothing scarce; None when somebody has no such ticket or something must be used."""
        if self.must:
            return None
        values = [0] * len(self.numbers)
        seated: set[int] = set()
        for at, number in sorted(enumerate(self.numbers), key=lambda one: self.cost[one[0]]):
            free = len(self.entries[at]) == 1  # it takes from no row but that of its type
            if isinstance(number, Seats) and number.role is None and free and number.type not in seated:
                seated.add(number.type)
                values[at] = len(self.kinds.types[number.type])
        return tuple(values) if len(seated) == len(self.kinds.types) else None


def build(market: Market, codes: CodeSet | None = None, must: Must | None = None) -> Model:
    """The programme of a case, for one set of codes, perhaps with one rule that has to be used.

    Raises:
        TooManyCombinations: the programme is too large, or the budget of the answer has ended.
    """
    if market.work.pivoting <= 0:
        raise TooManyCombinations(pivoting_max=pivoting_max)
    apart = (must.rule.id, must.by) if must is not None and must.by != "public" else None
    return _Builder(Model(market, Kinds(market, apart), codes or CodeSet()), must).build()


def bound_first(model: Model) -> Model:
    """The same programme, in which among equal totals fewer people bound to others and fewer applications win.

    One minor unit outweighs every such difference, so the total stays the least.
    """
    one = len(model.kinds.type_of) + 1
    cost = []
    for number, price in zip(model.numbers, model.cost, strict=True):
        bound = isinstance(number, Seats) and (number.offer is not None or number.pool is not None)
        applied = isinstance(number, Applications | Listed) or (isinstance(number, Seats) and number.pool is not None)
        people = len(number.column.seats) if isinstance(number, Listed) else int(bound)
        cost.append((price * one + people) * one + applied)
    return replace(model, cost=cost)


class _Builder:
    def __init__(self, model: Model, must: Must | None) -> None:
        self.model = model
        self.market = model.market
        self.kinds = model.kinds
        self.must = must
        self.must_row = -1
        # A personal rule that must be used brings tickets that would otherwise not be worth considering.
        self.using: str | None = None
        self.using_types: set[int] = set()
        if must is not None and isinstance(must.rule, SelfRule):
            self.using = must.rule.id
            holders = self.market.usable_holders(must.rule, must.by)
            self.using_types = {self.kinds.type_of[one] for one in holders}
        self.row_of: dict[int, int] = {}  # resource number -> row

    def build(self) -> Model:
        model = self.model
        for people in self.kinds.types:
            model.add_row(len(people), len(people))
        if self.must is not None:
            model.must = True
            self.must_row = model.add_row(1, UNBOUNDED)
        self._quota_rows()
        for pool in self.kinds.pools:
            self._pool_rows(pool)
        self._own_tickets()
        for joint, bys in self.kinds.classes:
            if is_listed(joint.rule):
                self._listed(joint)
            else:
                for offer in offers_of(self.market, joint, bys):
                    self._offer(offer)
        for pool in self.kinds.pools:
            self._riders(pool)
        if model.codes.codes:
            self._codes()
        self.market.work.pivoting -= building * len(model.numbers)
        return model

    # --- scarce things ----------------------------------------------------------------------------------------------

    def _quota_rows(self) -> None:
        for key, number in self.market.resources.items():
            if key[0] == "quota":
                self._scarce((number,))

    def _pool_rows(self, pool: Pool) -> None:
        for resources in pool.rows:
            if not any(number in self.row_of for number in resources):
                self._scarce(resources)

    def _scarce(self, resources: tuple[int, ...]) -> int:
        row = self.model.add_row(-UNBOUNDED, sum(self.market.capacities[one] for one in resources))
        self.model.scarce.append((row, tuple(self.kinds.names[one] for one in resources)))
        for one in resources:
            self.row_of[one] = row
        return row

    def _used(self, person: int, ticket: Ticket, *, rule: JointRule | None = None) -> Entries:
        """The rows that somebody's ticket takes from. An application is one use of its rule, counted elsewhere."""
        flat = rule is not None and isinstance(rule.pool, Bundle)
        usage = self.market.usage_of(person, ticket, flat=flat)
        if not usage:
            return []
        once = None if rule is None else self.market.resources.get(("quota", f"rule:{rule.id}"))
        return merged([(self.row_of[one], amount) for one, amount in usage if one in self.row_of and one != once])

    # --- numbers ----------------------------------------------------------------------------------------------------

    def _own_tickets(self) -> None:
        for type, people in enumerate(self.kinds.types):
            for ticket, fulfills in self._tickets(type, self.market.tickets_of(people[0], None), None, 0):
                entries = [(type, 1.0), *self._used(people[0], ticket)]
                self._seat(Seats(type, ticket), ticket.price, entries, fulfills=fulfills)

    def _tickets(
        self, type: int, tickets: Iterable[Ticket], part: tuple[JointRule, Role] | None, size: int
    ) -> Iterator[tuple[Ticket, bool]]:
        """The tickets of a type, and whether each is a use of what has to be used."""
        using = self.using
        if using is None or type not in self.using_types:
            for ticket in tickets:
                yield ticket, False
            return
        place = None if part is None else (*part, size)
        more = self.market.tickets_of(self.kinds.types[type][0], place, using=using)
        for ticket in dict.fromkeys((*tickets, *more)):
            yield ticket, ticket.uses(using)

    def _seat(self, number: Seats, cost: int, entries: Entries, *, fulfills: bool) -> int:
        if fulfills:
            entries.append((self.must_row, 1.0))
        return self.model.add(number, cost, entries)

    def _is_must(self, joint: Joint, bys: tuple[str, ...]) -> bool:
        return self.must is not None and self.must.rule is joint.rule and self.must.by in bys

    def _offer(self, offer: Offer) -> None:
        """The numbers and rows of one offer, unless the party cannot fill it."""
        model = self.model
        choices = [list(self._choices(offer, part)) for part in range(len(offer.parts))]
        people = [sum(len(self.kinds.types[type]) for type in {one[0] for one in part}) for part in choices]
        if any(sum(people[part] for part in one.parts) < one.least for one in offer.sums):
            return
        at = len(model.offers)
        model.offers.append(offer)
        own, rows_of = self._offer_rows(offer)
        pivot = None
        if offer.pivot is not None and any(part.copy == "free" for part in offer.parts):
            pivot = model.add_row(0, UNBOUNDED)
            own.append((pivot, -1.0))
        once = self.market.resources.get(("quota", f"rule:{offer.rule.id}"))
        if once is not None:
            own.append((self.row_of[once], 1.0))
        is_must = self._is_must(offer.joint, offer.bys)
        by_seats = is_must and offer.rule.pool is None and not offer.rule.gated
        if is_must and not by_seats:
            own.append((self.must_row, 1.0))
        cap = UNBOUNDED if offer.applications_max is None else offer.applications_max
        model.applications.append(model.add(Applications(at), offer.fixed, own, cap))
        model.seats.append({})
        for part, found in enumerate(choices):
            for type, ticket, cost, fulfills in found:
                entries = [(type, 1.0), *((row, 1.0) for row in rows_of[part])]
                entries += self._used(self.kinds.types[type][0], ticket, rule=offer.rule)
                if pivot is not None and offer.parts[part].copy == "free" and ticket.price == offer.pivot:
                    entries.append((pivot, 1.0))
                number = Seats(type, ticket, offer.parts[part].role, at, part)
                helps = by_seats and ticket.uses(offer.rule.id)
                mine = self._seat(number, cost, entries, fulfills=fulfills or helps)
                model.seats[at].setdefault(type, []).append(mine)

    def _choices(self, offer: Offer, part: int) -> Iterator[tuple[int, Ticket, int, bool]]:
        role = offer.parts[part].role
        for type in sorted({self.kinds.type_of[one] for one in offer.joint.people[role.name]}):
            person = self.kinds.types[type][0]
            tickets = self.market.role_tickets(offer.joint, role, offer.size, person)
            flat = offer.parts[part].copy == "flat"
            listed = (
                ((ticket, False) for ticket in tickets)
                if flat
                else self._tickets(type, tickets, (offer.rule, role), offer.size)
            )
            for ticket, fulfills in listed:
                cost = cost_in(self.market, offer, offer.parts[part], ticket)
                if cost is not None:
                    yield type, ticket, cost, fulfills

    def _offer_rows(self, offer: Offer) -> tuple[Entries, list[list[int]]]:
        """The rows that tie people to applications: (the applications' entries, the rows of each part)."""
        own: Entries = []
        rows_of: list[list[int]] = [[] for _ in offer.parts]
        for one in offer.sums:
            if one.least == one.most:
                bounds = [(self.model.add_row(0, 0), one.most)]
            else:
                bounds = [(self.model.add_row(-UNBOUNDED, 0), one.most)]
                if one.least > 0:
                    bounds.append((self.model.add_row(0, UNBOUNDED), one.least))
            own += [(row, -float(bound)) for row, bound in bounds]
            for part in one.parts:
                rows_of[part] += [row for row, _ in bounds]
        return own, rows_of

    def _listed(self, joint: Joint) -> None:
        for column in Columns(self.market).of(joint):
            entries = [(self.kinds.type_of[seat.person], 1.0) for seat in column.seats]
            for number, amount in column.usage:
                row = self.row_of[number] if number in self.row_of else self._scarce((number,))
                entries.append((row, float(amount)))
            if self._is_must(joint, (joint.by,)):
                entries.append((self.must_row, 1.0))
            self.model.add(Listed(column), column.cost, entries)

    def _riders(self, pool: Pool) -> None:
        rule, role = pool.rule, pool.role
        rows = [self.row_of[resources[0]] for resources in pool.rows]
        alone = {self.kinds.type_of[anchor]: self._alone_row(others) for anchor, others in pool.alone}
        is_must = self.must is not None and self.must.rule is rule and any(by == self.must.by for by, _ in pool.anchors)
        for type in sorted({self.kinds.type_of[person] for person in pool.people}):
            person = self.kinds.types[type][0]
            tickets = self.market.tickets_of(person, (rule, role, 1))
            for ticket, fulfills in self._tickets(type, tickets, (rule, role), 1):
                if not ticket.uses(rule.id):
                    continue
                entries = [(type, 1.0), *((row, 1.0) for row in rows), *self._used(person, ticket)]
                if type in alone:
                    entries.append((alone[type], 1.0))
                number = Seats(type, ticket, role, pool=pool)
                self._seat(number, ticket.price, merged(entries), fulfills=fulfills or is_must)

    def _alone_row(self, others: tuple[int, ...]) -> int:
        """Who may also be an anchor rides on the others only: their slots, less what their tickets take away."""
        model = self.model
        row = model.add_row(-UNBOUNDED, sum(self.market.capacities[one] for one in others))
        model.scarce.append((row, tuple(self.kinds.names[one] for one in others)))
        eaten = {eater.person: eater for eater in self.market.eaters if eater.resource in others}
        for at, number in enumerate(model.numbers):
            if isinstance(number, Seats):
                eater = eaten.get(self.kinds.types[number.type][0])
                if eater is not None and not eater.classes.isdisjoint(number.ticket.classes):
                    model.entries[at].append((row, float(eater.amount)))
        return row

    # --- codes ------------------------------------------------------------------------------------------------------

    def _codes(self) -> None:
        """Move what the codes cover out of the cost, and bound below what is left of it."""
        model = self.model
        lines = [self._lines(at) for at in range(len(model.numbers))]
        model.covered = [sum(one.amount for one in found if model.codes.covers(one)) for found in lines]
        model.covers_anything = any(model.codes.covers(one) for found in lines for one in found)
        model.cost = [cost - covered for cost, covered in zip(model.cost, model.covered, strict=True)]
        excess = model.add(Excess(), 1, [])
        for piece in pieces_of(model.codes)[0]:
            row = model.add_row(-float(piece.less), UNBOUNDED)
            model.piece_rows.append(row)
            model.entries[excess].append((row, 1.0))
            for at, amount in enumerate(model.covered):
                if amount and piece.slope:
                    model.entries[at].append((row, -float(piece.slope * amount)))
        model.covered.append(0)
        for code, what, least in baskets(model.codes):
            row = model.add_row(least, UNBOUNDED)
            model.basket_rows.append(row)
            for at, found in enumerate(lines):
                mine = [one for one in found if eligible(code.rule, one)]
                amount = sum(one.amount for one in mine) if what == "basket" else sum(one.items for one in mine)
                if amount:
                    model.entries[at].append((row, float(amount)))

    def _lines(self, at: int) -> list[OrderLine]:
        """What one more of a number adds to the order, as lines."""
        number, cost = self.model.numbers[at], self.model.cost[at]
        if isinstance(number, Listed):
            return list(number.column.lines())
        if isinstance(number, Applications):
            rule = self.model.offers[number.offer].rule
            return [OrderLine(cost, None, frozenset({rule.rule_class}), True, 0)] if cost else []
        if isinstance(number, Seats):
            offer = None if number.offer is None else self.model.offers[number.offer]
            if offer is not None and number.part is not None and offer.parts[number.part].copy != "plain":
                return [OrderLine(cost, None, frozenset({offer.rule.rule_class}), True)]
            return [OrderLine(cost, number.ticket.family, number.ticket.classes, False)]
        return []


def merged(entries: Entries) -> Entries:
    """One entry per row."""
    rows = [row for row, _ in entries]
    if len(set(rows)) == len(rows):
        return entries
    met: dict[int, float] = {}
    for row, entry in entries:
        met[row] = met.get(row, 0.0) + entry
    return list(met.items())
