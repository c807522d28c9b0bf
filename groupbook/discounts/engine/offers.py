"""Offers: every way in which one joint rule may be applied, as bounds on numbers of people, not as lists of groups.

A rule whose price depends on how many are counted gives one offer per tier of sizes; a flat ticket one per number of
payers; "pay for two of three" one per price of the dearest free member; "from the third person on" tells those who pay
in full from those who do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from groupbook.discounts.engine.market import Joint, Market
from groupbook.discounts.engine.rules import Bundle, JointRule, NthOff, PayFor, Role
from groupbook.discounts.engine.tickets import Ticket
from groupbook.kit.errors import InvariantBroken

Copy = Literal["plain", "flat", "free", "paid", "less"]


class Part(NamedTuple):
    """The people of one role who pay in one way."""

    role: Role
    copy: Copy


class Sum(NamedTuple):
    """The people in these parts are between `least` and `most` per application."""

    parts: tuple[int, ...]
    least: int
    most: int


@dataclass(frozen=True)
class Offer:
    """One joint rule, brought in by one of `bys` (cards that are alike), in one variant. `fixed`: price of the whole.

    size: how many count, when prices depend on it. pivot: the dearest free price, or the number of payers.
    """

    joint: Joint
    bys: tuple[str, ...]
    parts: tuple[Part, ...]
    sums: tuple[Sum, ...]
    fixed: int = 0
    sizes: tuple[int, int] | None = None
    pivot: int | None = None

    @property
    def rule(self) -> JointRule:
        return self.joint.rule

    @property
    def size(self) -> int:
        return self.sizes[0] if self.sizes else 0

    @property
    def applications_max(self) -> int | None:
        return None if self.bys == ("public",) else len(self.bys)


def offers_of(market: Market, joint: Joint, bys: tuple[str, ...]) -> Iterator[Offer]:
    """Every variant of a rule without an anchor that the party is large enough for."""
    rule, party = joint.rule, len(market.people)
    for sizes in tiers(rule, party):
        for parts, more, fixed, pivot in _pools(market, joint, party, sizes):
            sums = _sums(market, joint, bys, parts, sizes)
            for one in more:
                sums = _with(sums, one)
            if all(one.least <= one.most for one in sums):
                yield Offer(joint, bys, parts, tuple(sums), fixed, sizes, pivot)


def tiers(rule: JointRule, party: int) -> list[tuple[int, int] | None]:
    """Ranges of counted people within which no price changes; [None] when none depends on it."""
    starts = {
        row[0]
        for role in rule.roles
        if role.effect is not None
        for one in (role.effect, *(role.effect.cases or ()))
        for row in (one.bp_by_size or one.price_by_size or ())
    }
    if not starts:
        return [None]
    low, high = _size_bounds(rule, party)
    edges = sorted({max(low, 1), *(start for start in starts if low < start <= high)})
    return [(edge, after - 1) for edge, after in zip(edges, [*edges[1:], high + 1], strict=True) if edge < after]


def _size_bounds(rule: JointRule, party: int) -> tuple[int, int]:
    counted = [role for role in rule.roles if role.name in rule.counted_roles]
    low, high = sum(role.min for role in counted), min(party, sum(role.max for role in counted))
    return (max(low, rule.size.min), min(high, rule.size.max)) if rule.size else (low, high)


def _sums(
    market: Market, joint: Joint, bys: tuple[str, ...], parts: tuple[Part, ...], sizes: tuple[int, int] | None
) -> list[Sum]:
    rule, party = joint.rule, len(market.people)
    sums: list[Sum] = []
    for role in joint.roles():
        most = min(role.max, party)
        if role.holds and len(bys) > 1:
            most = min(most, 1)  # cards that are alike have one holder each
        mine = tuple(at for at, part in enumerate(parts) if part.role is role)
        sums = _with(sums, Sum(mine, role.min, most))
    if sizes is not None or rule.size is not None:
        low, high = sizes or _size_bounds(rule, party)
        counted = tuple(at for at, part in enumerate(parts) if part.role.name in rule.counted_roles)
        sums = _with(sums, Sum(counted, low, high))
    return sums


def _with(sums: list[Sum], one: Sum) -> list[Sum]:
    """Bounds on the same people meet in one."""
    for at, other in enumerate(sums):
        if other.parts == one.parts:
            met = Sum(one.parts, max(one.least, other.least), min(one.most, other.most))
            return [*sums[:at], met, *sums[at + 1 :]]
    return [*sums, one]


_Pooled = tuple[tuple[Part, ...], tuple[Sum, ...], int, int | None]


def _pools(market: Market, joint: Joint, party: int, sizes: tuple[int, int] | None) -> Iterator[_Pooled]:
    pool = joint.rule.pool
    roles = joint.roles()
    if pool is None:
        yield tuple(Part(role, "plain") for role in roles), (), 0, None
    elif isinstance(pool, Bundle):
        parts = tuple(Part(role, "flat" if role.pool else "plain") for role in roles)
        flat = tuple(at for at, part in enumerate(parts) if part.copy == "flat")
        for payers, price in pool.table.items():
            if int(payers) <= party:
                yield parts, (Sum(flat, int(payers), int(payers)),), price, int(payers)
    elif isinstance(pool, PayFor):
        yield from _pay_for(market, joint, pool, party, sizes)
    else:
        parts = _doubled(roles, "less", "paid")
        paid = tuple(at for at, part in enumerate(parts) if part.copy == "paid")
        less = tuple(at for at, part in enumerate(parts) if part.copy == "less")
        yield parts, (Sum(paid, pool.start - 1, pool.start - 1), Sum(less, 1, party)), 0, None


def _pay_for(
    market: Market, joint: Joint, pool: PayFor, party: int, sizes: tuple[int, int] | None
) -> Iterator[_Pooled]:
    parts = _doubled(joint.roles(), "free", "paid")
    free = tuple(at for at, part in enumerate(parts) if part.copy == "free")
    paid = tuple(at for at, part in enumerate(parts) if part.copy == "paid")
    pooled = [role for role in joint.roles() if role.pool]
    size = sizes[0] if sizes else 0
    prices = {
        ticket.price
        for role in pooled
        for person in joint.people[role.name]
        for ticket in market.role_tickets(joint, role, size, person)
    }
    most = min(party, sum(role.max for role in pooled))
    for times in range(1, most // pool.n + 1):
        gifts = times * (pool.n - pool.pay)
        everybody = Sum((*free, *paid), times * pool.n, min(most, times * pool.n + pool.n - 1))
        for pivot in sorted(prices):
            yield parts, (Sum(free, gifts, gifts), everybody), 0, pivot


def _doubled(roles: list[Role], one: Copy, other: Copy) -> tuple[Part, ...]:
    parts: list[Part] = []
    for role in roles:
        parts += [Part(role, one), Part(role, other)] if role.pool else [Part(role, "plain")]
    return tuple(parts)


def cost_in(market: Market, offer: Offer, part: Part, ticket: Ticket) -> int | None:
    """What this ticket adds to the total in this part; None when it cannot be there."""
    if part.copy == "flat":
        return 0
    if part.copy == "free":
        return 0 if offer.pivot is None or ticket.price <= offer.pivot else None
    if part.copy == "paid" and offer.pivot is not None:
        return ticket.price if ticket.price >= offer.pivot else None
    if part.copy == "less":
        return nth_price(market, offer.rule, ticket)
    return ticket.price


def nth_price(market: Market, rule: JointRule, ticket: Ticket) -> int:
    """What somebody pays who comes late enough in a "from the n-th person on" offer."""
    if not isinstance(rule.pool, NthOff):
        raise InvariantBroken(rule=rule.id)
    move = market.terms.nth_move(rule, rule.pool)
    return ticket.price if move is None else move(ticket.price, ticket.family, 0)
