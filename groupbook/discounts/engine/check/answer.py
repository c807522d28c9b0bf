"""The first half of a proof: the answer is lawful, adds up, and asks nobody for more than alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.check.basket import Basket, Line, admissible
from groupbook.discounts.engine.check.count import least_alone
from groupbook.discounts.engine.check.ground import Ground, Joint, Seat, Usage, by_size, riders
from groupbook.discounts.engine.check.shape import segments
from groupbook.discounts.engine.errors import ProofBroken
from groupbook.discounts.engine.market import Market
from groupbook.discounts.engine.proof import Resource
from groupbook.discounts.engine.rules import Bundle, JointRule, OrderRule, Role
from groupbook.kit.money import split

if TYPE_CHECKING:
    from groupbook.discounts.engine.price import Application, Priced

ways_max: Final = 100_000
Steps = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Read:
    """One person's lines, taken apart: the fare, what changed it, what codes took off, what settlement moved."""

    family: str
    base: int
    steps: Steps
    codes: Steps

    @property
    def face(self) -> int:
        """The price before codes and settlement."""
        return self.base + sum(delta for _, delta in self.steps)


@dataclass(frozen=True)
class _Group:
    """People whose price belongs together, with what they use up."""

    seats: Mapping[int, Seat]
    usage: Usage
    flat: bool = False


class _Placed(NamedTuple):
    role: Role
    seat: Seat
    pooled: bool


def require_lawful(case: Case, priced: Priced) -> None:
    """Raises:
    ProofBroken: the first thing that is not lawful, or does not add up.
    """
    _require_sums(case, priced)
    basket = _basket(case, priced)
    ground = Ground(case, basket)
    alone = [priced.people[one.id].alone for one in case.travelers]
    read = [_read(ground, priced, one.id) for one in case.travelers]
    groups = list(_groups(ground, priced, read, alone))
    _require_scarce(ground, groups)
    for group in groups:
        for person, seat in group.seats.items():
            family = None if group.flat else seat.ticket.family
            if priced.people[case.travelers[person].id].family != family:
                raise ProofBroken(reason="family", pointer=f"/people/{case.travelers[person].id}/family")
    _require_pays(case, priced, basket, read, groups, alone)


def _require_sums(case: Case, priced: Priced) -> None:
    ids = [one.id for one in case.travelers]
    if priced.id != case.id or priced.currency != case.currency:
        raise ProofBroken(reason="case", pointer="/id")
    if set(priced.people) != set(ids):
        raise ProofBroken(reason="people", pointer="/people")
    if sum(one.pay for one in priced.people.values()) != priced.total:
        raise ProofBroken(reason="total", pointer="/total")
    for traveler in case.travelers:
        one, here = priced.people[traveler.id], f"/people/{traveler.id}"
        if sum(delta for _, delta in one.lines) != one.pay:
            raise ProofBroken(reason="lines", pointer=f"{here}/lines")
        if least_alone(case, traveler) != one.alone:
            raise ProofBroken(reason="alone", pointer=f"{here}/alone")
        if not 0 <= one.pay <= one.alone:
            raise ProofBroken(reason="above_alone", pointer=f"{here}/pay")


def _basket(case: Case, priced: Priced) -> Basket:
    """The codes used, in order of application."""
    orders = {rule.id for rule in case.rules if isinstance(rule, OrderRule)}
    used = [one for one in priced.applications if one.rule in orders]
    names = frozenset((one.rule, one.by.removeprefix("code@")) for one in used)
    for basket in admissible(case, {rule.id for rule in Market(case).in_force}):
        if basket.names == names and len(used) == len(names):
            return basket
    raise ProofBroken(reason="codes", pointer="/applications")


def _read(ground: Ground, priced: Priced, id: str) -> _Read:
    lines, here = list(priced.people[id].lines), f"/people/{id}/lines"
    if not lines or not lines[0][0].startswith("fare:"):
        raise ProofBroken(reason="fare", pointer=here)
    (name, base), *steps = lines
    family = name.removeprefix("fare:")
    fares = next(one.fares for one in ground.case.travelers if one.id == id)
    if fares.get(family) != base:
        raise ProofBroken(reason="fare", pointer=here)
    if steps and steps[-1][0] == "settle":
        steps.pop()
    codes = {rule.id for rule, _ in ground.basket.codes}
    taken = [step for step in steps if step[0] in codes]
    kept = [step for step in steps if step[0] not in codes]
    if steps != kept + taken:
        raise ProofBroken(reason="lines", pointer=here)
    return _Read(family, base, tuple(kept), tuple(taken))


# --- who is in what -------------------------------------------------------------------------------------------------


def _groups(ground: Ground, priced: Priced, read: Sequence[_Read], alone: Sequence[int]) -> Iterator[_Group]:
    """Every person once: in the application that names them, or on a ticket of their own.

    Raises:
        ProofBroken: somebody twice, an application that is not lawful, a ticket that does not exist.
    """
    place = {one.id: at for at, one in enumerate(ground.case.travelers)}
    joint = {(rule.id, by): rule for rule, by in ground.joint}
    orders = {rule.id for rule, _ in ground.basket.codes}
    left, rides = set(ground.people), []
    for at, one in enumerate(priced.applications):
        if one.rule in orders:
            if one.members or one.anchor is not None:
                raise ProofBroken(reason="codes", pointer=f"/applications/{at}")
            continue
        rule, members = joint.get((one.rule, one.by)), [place.get(id, -1) for id in one.members]
        if rule is None:
            raise ProofBroken(reason="rule", pointer=f"/applications/{at}")
        if len(set(members)) != len(members) or not left.issuperset(members) or not members:
            raise ProofBroken(reason="members", pointer=f"/applications/{at}")
        left.difference_update(members)
        if rule.anchor is None:
            if one.anchor is not None:
                raise ProofBroken(reason="anchor", pointer=f"/applications/{at}")
            yield _application(ground, rule, one.by, members, read, alone, f"/applications/{at}")
        else:
            rides.append(list(_rides(ground, rule, one, place, read, f"/applications/{at}")))
    for person in sorted(left):
        yield _own(ground, person, read[person])
    yield from _fitted(ground, rides)


def _own(ground: Ground, person: int, read: _Read) -> _Group:
    for seat in _matching(ground, person, None, read, read.steps):
        return _Group({person: seat}, seat.usage)
    raise ProofBroken(reason="ticket", pointer=f"/people/{ground.case.travelers[person].id}/lines")


def _matching(ground: Ground, person: int, joint: Joint | None, read: _Read, steps: Steps) -> Iterator[Seat]:
    """The lawful tickets that these lines can be."""
    for ticket in ground.lawful_tickets(person, joint):
        if (ticket.family, ticket.base) == (read.family, read.base) and tuple(map(tuple, ticket.steps)) == steps:
            yield ground.seat(person, ticket, joint)


def _rides(
    ground: Ground, rule: JointRule, one: Application, place: Mapping[str, int], read: Sequence[_Read], pointer: str
) -> Iterator[_Group]:
    """The ways in which one person can ride on that anchor: one for each role that fits.

    Raises:
        ProofBroken: none does.
    """
    anchor, (person, *others) = place.get(one.anchor or "", -1), [place[id] for id in one.members]
    if others or rule.anchor is None or anchor not in ground.able(rule, one.by, rule.anchor):
        raise ProofBroken(reason="anchor", pointer=pointer)
    found = False
    for role in riders(rule):
        if person in ground.able(rule, one.by, role) and ground.rides(rule, role, person, anchor):
            for seat in _matching(ground, person, (rule, one.by, role, 1), read[person], read[person].steps):
                found = True
                yield _Group({person: seat}, (*seat.usage, *ground.used_by_rider(rule, one.by, role, anchor)))
                break
    if not found:
        raise ProofBroken(reason="roles", pointer=pointer)


def _fitted(ground: Ground, rides: Sequence[Sequence[_Group]]) -> Iterator[_Group]:
    """One way for each rider, so that the slots suffice where they can: each takes the way with most room left."""
    used: dict[Resource, int] = {}
    for ways in sorted(rides, key=len):

        def room(way: _Group) -> int:
            return min((ground.capacities[key] - used.get(key, 0) - amount for key, amount in way.usage), default=0)

        best = max(ways, key=room)
        for key, amount in best.usage:
            used[key] = used.get(key, 0) + amount
        yield best


# --- applications ---------------------------------------------------------------------------------------------------


def _application(
    ground: Ground,
    rule: JointRule,
    by: str,
    members: Sequence[int],
    read: Sequence[_Read],
    alone: Sequence[int],
    pointer: str,
) -> _Group:
    """People who fill the roles of a rule, at prices that come out of it.

    Raises:
        ProofBroken: there is no such filling.
    """
    filled = False
    for sizes in segments(rule, len(ground.people), ()):
        for chosen in _fillings(ground, rule, by, sizes, sorted(members), read, pointer):
            if not ground.complete(rule, {person: placed.role for person, placed in chosen.items()}, sizes):
                continue
            filled = True
            if _comes_to(ground, rule, chosen, read, alone):
                seats = {person: placed.seat for person, placed in chosen.items()}
                usage = [*ground.used_by_application(rule, by)]
                usage += [entry for seat in seats.values() for entry in seat.usage]
                return _Group(seats, tuple(usage), flat=isinstance(rule.pool, Bundle))
    raise ProofBroken(reason="pool_price" if filled else "roles", pointer=pointer)


def _fillings(
    ground: Ground,
    rule: JointRule,
    by: str,
    sizes: tuple[int, int],
    members: Sequence[int],
    read: Sequence[_Read],
    pointer: str,
) -> Iterator[Mapping[int, _Placed]]:
    """Everybody in a role in which their lines are possible; of fillings that nothing can tell apart, one."""
    size = sizes[0] if by_size(rule) else 0
    tells = {rule.kin.role, rule.kin.of} if rule.kin else set()
    states: dict[object, dict[int, _Placed]] = {(): {}}
    for person in members:
        after: dict[object, dict[int, _Placed]] = {}
        for role in riders(rule):
            if person not in ground.able(rule, by, role):
                continue
            for placed in _places(ground, rule, person, (rule, by, role, size), read[person]):
                for chosen in states.values():
                    filling = {**chosen, person: placed}
                    counts = tuple(sum(one.role is role for one in filling.values()) for role in riders(rule))
                    marks = tuple(
                        (at, one.role.name if one.role.name in tells else "", one.pooled)
                        for at, one in filling.items()
                        if tells or rule.pool is not None
                    )
                    after.setdefault((counts, marks), filling)
        states = after
        if len(states) > ways_max:
            raise ProofBroken(reason="too_large", pointer=pointer)
    yield from states.values()


def _places(ground: Ground, rule: JointRule, person: int, joint: Joint, read: _Read) -> Iterator[_Placed]:
    role = joint[2]
    pooled = rule.pool is not None and role.pool
    ends = [read.steps]
    if pooled and read.steps and read.steps[-1][0] == rule.id:
        ends.append(read.steps[:-1])
    for steps in ends:
        for seat in _matching(ground, person, joint, read, steps):
            yield _Placed(role, seat, pooled)
            break


def _comes_to(
    ground: Ground, rule: JointRule, chosen: Mapping[int, _Placed], read: Sequence[_Read], alone: Sequence[int]
) -> bool:
    """Whether the shares of a pooled price are those on the lines."""
    pooled = [person for person, placed in sorted(chosen.items()) if placed.pooled]
    if not pooled:
        return True
    whole = ground.whole(rule, [chosen[person].seat.ticket for person in pooled])
    return ground.shares(whole, pooled, alone) == {person: read[person].face for person in pooled}


# --- what is scarce, and who pays -----------------------------------------------------------------------------------


def _require_scarce(ground: Ground, groups: Sequence[_Group]) -> None:
    used: dict[Resource, int] = {}
    for group in groups:
        for key, amount in group.usage:
            used[key] = used.get(key, 0) + amount
    for key, amount in used.items():
        if amount > ground.capacities[key]:
            raise ProofBroken(reason="overused", pointer="/" + "/".join(key))


def _require_pays(
    case: Case, priced: Priced, basket: Basket, read: Sequence[_Read], groups: Sequence[_Group], alone: Sequence[int]
) -> None:
    """Codes, then settlement: over each application, or over the whole order when codes changed it."""
    seats = {person: seat for group in groups for person, seat in group.seats.items()}
    taken = basket.applied({person: Line(read[person].face, seat.codes) for person, seat in seats.items()})
    if taken is None:
        raise ProofBroken(reason="codes", pointer="/applications")
    faces = {person: one.face for person, one in enumerate(read)}
    for person, one in enumerate(read):
        here = f"/people/{case.travelers[person].id}"
        offs = [(rule.id, -off[person]) for (rule, _), off in zip(basket.codes, taken, strict=True) if off.get(person)]
        if offs != [step for step in one.codes if step[1]]:
            raise ProofBroken(reason="codes", pointer=f"{here}/lines")
        faces[person] += sum(delta for _, delta in offs)
        if faces[person] != priced.people[case.travelers[person].id].face:
            raise ProofBroken(reason="face", pointer=f"{here}/face")
    together = [sorted(faces)] if basket.codes else [sorted(group.seats) for group in groups]
    pays = {person: pay for people in together for person, pay in _settled(people, faces, alone).items()}
    for person, pay in pays.items():
        if priced.people[case.travelers[person].id].pay != pay:
            raise ProofBroken(reason="settlement", pointer=f"/people/{case.travelers[person].id}/pay")


def _settled(people: Sequence[int], faces: Mapping[int, int], alone: Sequence[int]) -> dict[int, int]:
    """Nobody above alone; the excess goes to the others in proportion to what they still save."""
    excess = sum(max(0, faces[person] - alone[person]) for person in people)
    saving = [max(0, alone[person] - faces[person]) for person in people]
    if excess == 0 or excess > sum(saving):
        return {person: faces[person] for person in people}
    parts = split(excess, saving)
    return {person: min(faces[person], alone[person]) + part for person, part in zip(people, parts, strict=True)}
