"""A priced party as an integer programme: one 0/1 per traveler and offer ("obvious"), or one count per class.

Both are the same rows over classes of interchangeable people, groups and slots; in the obvious programme every class
has one member. Classes come from color refinement: start with all alike, split whatever meets the others differently,
until nothing splits any more. That the counts can always be shared out among the members again is not proven here: the
benchmark compares the totals of both programmes, of the engine and, for small parties, of plain enumeration.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.discounts.offers import Group, Party, Seat

Terms = dict[int, int]  # column -> coefficient


@dataclass
class Program:
    """Minimise cost * x, lower <= A x <= upper, 0 <= x <= most, all whole. Plain lists, ready for JSON."""

    cost: list[int] = field(default_factory=list)
    most: list[int] = field(default_factory=list)
    lower: list[int | None] = field(default_factory=list)
    upper: list[int | None] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    columns: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def column(self, cost: int, most: int) -> int:
        self.cost.append(cost)
        self.most.append(most)
        return len(self.cost) - 1

    def row(self, lower: int | None, upper: int | None, terms: Mapping[int, int]) -> None:
        kept = {column: value for column, value in terms.items() if value}
        self.lower.append(lower)
        self.upper.append(upper)
        self.columns += kept
        self.values += kept.values()
        self.starts.append(len(self.columns))


@dataclass(frozen=True)
class Classes:
    """The class of every person, group and slot."""

    people: Sequence[int]
    groups: Sequence[int]
    slots: Sequence[int]


def singles(party: Party) -> Classes:
    return Classes(range(party.people), range(len(party.groups)), range(len(party.slots)))


def one_by_one(party: Party) -> Party:
    """The same party with every group that may be formed named one by one, as the obvious programme has it."""
    written = Party(party.people, [seat for seat in party.seats if seat.group is None], [], party.slots)
    for number, group in enumerate(party.groups):
        seats = [seat for seat in party.seats if seat.group == number]
        for _ in range(min(group.limit, party.people // _least(group, party))):
            written.seats += [replace(seat, group=len(written.groups)) for seat in seats]
            written.groups.append(replace(group, limit=1))
    return written


def _least(group: Group, party: Party) -> int:
    """Fewer people than this never fill such a group, or pay more in it than on their own."""
    if not group.prices:
        return max(1, group.size[0], sum(least for least, _, _ in group.roles))
    dearest = max(seat.cost for seat in party.seats if seat.group is None)
    return next((payers for payers, price in group.prices if price < payers * dearest), party.people + 1)


def alike(party: Party) -> Classes:
    """The coarsest classes whose members meet all other classes in the same way."""
    people, groups = [0] * party.people, _numbered(party.groups)
    slots = _numbered(party.slots)
    while True:
        seen: tuple[list[list[Hashable]], ...] = (
            [[] for _ in people],
            [[] for _ in groups],
            [[] for _ in slots],
        )
        for seat in party.seats:
            group = None if seat.group is None else groups[seat.group]
            slot = None if seat.slot is None else slots[seat.slot]
            blocks = tuple(sorted(slots[one] for one in seat.blocks))
            kind = (seat.cost, group, seat.role, slot, blocks)
            seen[0][seat.person].append(kind)
            entry = (people[seat.person], *kind)
            if seat.group is not None:
                seen[1][seat.group].append(entry)
            if seat.slot is not None:
                seen[2][seat.slot].append((False, entry))
            for one in seat.blocks:
                seen[2][one].append((True, entry))
        before = (people, groups, slots)
        people, groups, slots = (
            _numbered([(old, _counted(new)) for old, new in zip(olds, news, strict=True)])
            for olds, news in zip(before, seen, strict=True)
        )
        if all(len(set(new)) == len(set(old)) for new, old in zip((people, groups, slots), before, strict=True)):
            return Classes(people, groups, slots)


def program(party: Party, classes: Classes) -> Program:
    """The rows over classes: everybody sits once, groups are filled as their roles ask, no slot is used twice."""
    written = Program()
    members = Counter(classes.people)
    columns: dict[tuple[Hashable, ...], int] = {}
    sits: defaultdict[int, Terms] = defaultdict(dict)  # person class -> its columns
    roles: defaultdict[tuple[int, int], defaultdict[int, Terms]] = defaultdict(lambda: defaultdict(dict))
    slots: defaultdict[int, Terms] = defaultdict(dict)
    capacity = {classes.slots[at]: most for at, most in enumerate(party.slots)}
    for seat in party.seats:
        person, group, slot, blocks = _key = _classes_of(seat, classes)
        key = (*_key, seat.cost, seat.role)
        if key in columns:
            continue
        at = columns[key] = written.column(seat.cost, members[person])
        sits[person][at] = 1
        if group is not None:
            roles[group, seat.role][person][at] = 1
        if slot is not None:
            slots[slot][at] = 1
        for blocked in blocks:
            slots[blocked][at] = slots[blocked].get(at, 0) + capacity[blocked]
    for person, terms in sits.items():
        written.row(members[person], members[person], terms)
    for slot, terms in slots.items():
        written.row(None, capacity[slot] * sum(one == slot for one in classes.slots), terms)
    candidates = _candidates(party, classes)
    for number in dict.fromkeys(classes.groups):
        alike = [one for one, at in zip(party.groups, classes.groups, strict=True) if at == number]
        filled = [roles[number, role] for role in range(len(alike[0].roles))]
        _write_group(written, alike, filled, candidates[number])
    return written


def _write_group(
    written: Program,
    alike: Sequence[Group],
    filled: Sequence[Mapping[int, Terms]],
    candidates: Mapping[tuple[int, int], int],
) -> None:
    """The rows of one class of groups: how many there are, and how many people each role takes."""
    group, most = alike[0], sum(one.limit for one in alike)
    if group.prices:
        groups = {written.column(price, most): payers for payers, price in group.prices}
    else:
        groups = {written.column(0, most): 0}

    def between(least: int, greatest: int, people: Mapping[int, int]) -> None:
        if least:
            written.row(0, None, {**people, **dict.fromkeys(groups, -least)})
        written.row(None, 0, {**people, **dict.fromkeys(groups, -greatest)})

    everybody: Terms = {}
    for role, (least, greatest, counted) in enumerate(group.roles):
        people = {at: one for terms in filled[role].values() for at, one in terms.items()}
        if counted:
            everybody |= people
        if group.prices and role == 0:
            written.row(0, 0, {**people, **{at: -payers for at, payers in groups.items()}})
        else:
            between(least, greatest, people)
        for person, terms in filled[role].items():
            # No group can hold more of a class than it has there: without this, one card's holder could stand in
            # for another's, and the relaxation would be weaker.
            if candidates[person, role] < greatest:
                between(0, candidates[person, role], terms)
    if not group.prices:
        between(*group.size, everybody)


def _classes_of(seat: Seat, classes: Classes) -> tuple[int, int | None, int | None, tuple[int, ...]]:
    return (
        classes.people[seat.person],
        None if seat.group is None else classes.groups[seat.group],
        None if seat.slot is None else classes.slots[seat.slot],
        tuple(sorted(classes.slots[one] for one in seat.blocks)),
    )


def _candidates(party: Party, classes: Classes) -> Mapping[int, Mapping[tuple[int, int], int]]:
    """Group class -> (person class, role) -> how many of them one such group could take."""
    people: defaultdict[tuple[int, int, int], set[int]] = defaultdict(set)
    for seat in party.seats:
        if seat.group is not None:
            people[seat.group, classes.people[seat.person], seat.role].add(seat.person)
    found: defaultdict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for (group, person, role), some in people.items():
        found[classes.groups[group]][person, role] = len(some)
    return found


def _numbered(values: Sequence[Hashable]) -> list[int]:
    known: dict[Hashable, int] = {}
    return [known.setdefault(value, len(known)) for value in values]


def _counted(values: Sequence[Hashable]) -> Hashable:
    return frozenset(Counter(values).items())
