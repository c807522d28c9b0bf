"""From numbers back to people: which person sits in which group, with which ticket, on whose presence.

Role bounds and sizes are nested, so dealing people out in turn keeps every group within every bound. Among people who
are alike the earlier ones get the cheaper places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from groupbook.discounts.engine.columns import Column, Columns, own_column
from groupbook.discounts.engine.kinds import Pool
from groupbook.discounts.engine.market import Market
from groupbook.discounts.engine.model import Listed, Model, Seats
from groupbook.discounts.engine.offers import Offer, Part
from groupbook.discounts.engine.tickets import Ticket
from groupbook.kit.errors import InvariantBroken


@dataclass
class _Place:
    """One seat to be given to somebody of a type."""

    type: int
    ticket: Ticket
    part: Part | None = None
    group: tuple[int, int] | None = None  # offer, group
    pool: Pool | None = None
    person: int = -1


def columns_of(model: Model, values: Sequence[int], columns: Columns) -> list[Column]:
    """The assignment that a solution's numbers stand for."""
    places: list[_Place] = []
    found: list[Column] = []
    for number, count in zip(model.numbers, values, strict=True):
        if isinstance(number, Seats) and number.offer is None:
            places += [_Place(number.type, number.ticket, pool=number.pool) for _ in range(count)]
        elif isinstance(number, Listed) and count:
            found.append(number.column)
    for at, offer in enumerate(model.offers):
        places += _dealt(model, values, at, offer)
    _seat(model, places)
    market = model.market
    for place in places:
        if place.group is None and place.pool is None:
            usage = market.usage_of(place.person, place.ticket)
            found.append(own_column(place.person, place.ticket, usage))
    found += _grouped(model, places, columns)
    for pool in model.kinds.pools:
        found += _ridden(market, pool, [place for place in places if place.pool is pool], places, columns)
    return found


def _dealt(model: Model, values: Sequence[int], at: int, offer: Offer) -> Iterator[_Place]:
    """The seats of all applications of an offer, dealt out to its groups in turn."""
    groups = values[model.applications[at]]
    if groups == 0:
        return
    seats: list[Seats] = []
    for numbers in model.seats[at].values():
        for one in numbers:
            number = model.numbers[one]
            if isinstance(number, Seats):
                seats += [number] * values[one]
    counted = offer.rule.counted_roles
    order = {
        part: rank
        for rank, part in enumerate(sorted(range(len(offer.parts)), key=lambda at: _rank(offer, at, counted)))
    }
    seats.sort(key=lambda seat: (order[seat.part or 0], -seat.ticket.price, seat.type))
    for turn, seat in enumerate(seats):
        yield _Place(seat.type, seat.ticket, offer.parts[seat.part or 0], (at, turn % groups))


def _rank(offer: Offer, at: int, counted: Sequence[str]) -> tuple[bool, int]:
    return offer.parts[at].role.name not in counted, at


def _seat(model: Model, places: Sequence[_Place]) -> None:
    """Give every place a person: the earlier ones of a type get the cheaper places."""
    waiting: dict[int, list[_Place]] = {}
    for place in places:
        waiting.setdefault(place.type, []).append(place)
    for type, mine in waiting.items():
        people = list(model.kinds.types[type])
        mine.sort(key=lambda place: (place.ticket.price, place.group is None and place.pool is None, place.group or ()))
        listed = len(people) - len(mine)
        if listed < 0:
            raise InvariantBroken(type=type, people=len(people), places=len(mine))
        for place, person in zip(mine, people, strict=listed == 0):
            place.person = person


def _grouped(model: Model, places: Sequence[_Place], columns: Columns) -> Iterator[Column]:
    groups: dict[tuple[int, int], list[_Place]] = {}
    for place in places:
        if place.group is not None:
            groups.setdefault(place.group, []).append(place)
    spent: set[tuple[str, str]] = set()
    for (at, _), mine in groups.items():
        offer = model.offers[at]
        by = _card(model.market, offer, mine, spent)
        spent.add((offer.rule.id, by))
        joint = next(joint for joint in model.market.joints if joint.rule is offer.rule and joint.by == by)
        filling = {place.person: (place.part.role, place.ticket) for place in mine if place.part is not None}
        column = columns.application(joint, filling)
        if column is not None:
            yield column
            continue
        for place in mine:  # a group that helps nobody is no group
            tickets = model.market.tickets_of(place.person, None)
            ticket = min((one for one in tickets if one.price <= place.ticket.price), key=lambda one: one.key)
            yield own_column(place.person, ticket, model.market.usage_of(place.person, ticket))


def _card(market: Market, offer: Offer, places: Sequence[_Place], spent: set[tuple[str, str]]) -> str:
    """The card that brings this group in: one of its holder's that is not used yet."""
    if offer.bys == ("public",):
        return "public"
    holders = [place.person for place in places if place.part is not None and place.part.role.holds]
    for by in offer.bys:
        if (offer.rule.id, by) not in spent and set(holders) <= set(market.usable_holders(offer.rule, by)):
            return by
    raise InvariantBroken(rule=offer.rule.id, holders=holders)


# --- anchors --------------------------------------------------------------------------------------------------------


def _ridden(
    market: Market, pool: Pool, riders: Sequence[_Place], places: Sequence[_Place], columns: Columns
) -> Iterator[Column]:
    """Put every rider of a pool on an anchor with a free slot, moving others where that helps (augmenting paths)."""
    if not riders:
        return
    free = _slots(market, pool, places)
    on: dict[tuple[str, int], list[_Place]] = {anchor: [] for anchor in pool.anchors}
    for rider in sorted(riders, key=lambda place: place.person):
        if not _put(rider, free, on, set()):
            raise InvariantBroken(rule=pool.rule.id, riders=len(riders))
    joints = {joint.by: joint for joint in market.joints if joint.rule is pool.rule}
    for (by, anchor), mine in on.items():
        for rider in mine:
            yield columns.anchored(joints[by], pool.role, rider.person, anchor, rider.ticket)


def _slots(market: Market, pool: Pool, places: Sequence[_Place]) -> dict[tuple[str, int], int]:
    """The slots of each anchor, less what their own tickets take away."""
    ticket_of = {place.person: place.ticket for place in places}
    eaten = {
        (eater.person, eater.resource)
        for eater in market.eaters
        if eater.person in ticket_of and not eater.classes.isdisjoint(ticket_of[eater.person].classes)
    }
    free = {}
    for by, anchor in pool.anchors:
        number = market.resources.get(("slot", pool.rule.id, by, str(anchor), pool.role.name))
        free[(by, anchor)] = (
            len(market.people) if number is None else 0 if (anchor, number) in eaten else market.capacities[number]
        )
    return free


def _put(
    rider: _Place,
    free: dict[tuple[str, int], int],
    on: dict[tuple[str, int], list[_Place]],
    tried: set[tuple[str, int]],
) -> bool:
    for anchor in free:
        if anchor in tried or anchor[1] == rider.person or free[anchor] == 0:
            continue
        tried.add(anchor)
        if len(on[anchor]) < free[anchor]:
            on[anchor].append(rider)
            return True
        for other in list(on[anchor]):
            if _put(other, free, on, tried):
                on[anchor].remove(other)
                on[anchor].append(rider)
                return True
    return False


__all__ = ["columns_of"]
