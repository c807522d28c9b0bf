"""Who pays what of a priced party, besides everybody their own price. Pure: no IO, no clock.

The rule, in this order, always from the prices as the discount engine made them and never from an earlier result, so
that the order in which people came, went, agreed or gave does not matter:

1. *lost discount*: what those who stay pay more because somebody left is borne by whoever the booking's policy names:
   the leavers whose bank had said yes, at most their own portion; sponsors, at most what they set aside; else nobody
   but those who stay. Each is relieved of their own rise, in proportion where it does not reach for all.
2. *splits*: those who agreed to share pay their sum by their parts.
3. *parts*: who gives towards a named friend's portion lowers that one, to nothing at most.
4. *sponsors*: what they give lowers everybody's portion by the same amount; who owes less pays nothing, and the rest of
   it lowers the others.

A contribution that is not needed in full is taken in part. The parts sum to the whole, exactly; and every part says
whose price it pays, so that each member's price is the sum of what is paid of it: that is what a place is worth, and to
whom its money goes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import UUID

from groupbook.kit.errors import InvariantBroken
from groupbook.kit.money import split

LostDiscount = Literal["group", "leaver", "sponsor"]
_Lines = dict[UUID, dict[UUID, int]]  # by payer, how much of whose price
LOST_DISCOUNT: Final[tuple[LostDiscount, ...]] = ("group", "leaver", "sponsor")


@dataclass(frozen=True, slots=True)
class Gift:
    """Money somebody gives towards one friend's portion (`to`), or towards everybody's (None: a sponsor).

    `reserve`: what a sponsor gives on top, only for lost discounts.
    """

    id: UUID
    amount: int
    to: UUID | None = None
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """Members who agreed to pay their sum by parts; equal parts split equally. `sum_agreed`: what they agreed on."""

    parts: Mapping[UUID, int]
    sum_agreed: int


@dataclass(frozen=True, slots=True)
class Leaver:
    """Somebody who left; `most` is the portion their bank had said yes to, and the most they bear."""

    member: UUID
    most: int


@dataclass(frozen=True, slots=True)
class Party:
    """A priced party, in minor units: `pay` by member, and `with_leavers`: what each would pay had nobody left."""

    currency: str
    pay: Mapping[UUID, int]
    with_leavers: Mapping[UUID, int]
    policy: LostDiscount = "group"
    leavers: Sequence[Leaver] = ()
    splits: Sequence[Split] = ()
    gifts: Sequence[Gift] = ()
    least: int = 50  # less than this, and more than nothing, no card is asked for
    step: int = 1


@dataclass(frozen=True, slots=True)
class Shares:
    """Who pays what: members who go, leavers who bear, gifts that are taken. Together exactly the party's price.

    `lines`: of which members' prices a part consists, by whoever it is of (a member, a leaver, a gift). A part's lines
    sum to it, and a member's lines in all parts to the member's price; nothing is listed as nothing.
    """

    own: Mapping[UUID, int]
    borne: Mapping[UUID, int]
    given: Mapping[UUID, int]
    lines: Mapping[UUID, Mapping[UUID, int]]

    @property
    def total(self) -> int:
        return sum(self.own.values()) + sum(self.borne.values()) + sum(self.given.values())


def share_out(party: Party) -> Shares:
    """What everybody pays, by the rule at the top of this file.

    Raises:
        InvariantBroken: the parts would not be the whole.
    """
    while True:
        shares = _share_out(party)
        small = {id for id, amount in shares.given.items() if 0 < amount < party.least}
        if not small:
            return shares
        # Of a sponsor only a bit of their reserve would be taken, too little for a card: it is not taken at all.
        party = replace(party, gifts=[gift for gift in party.gifts if gift.id not in small])


def _share_out(party: Party) -> Shares:
    owed, borne, reserved = _after_losses(party)
    members = list(owed)
    lines: _Lines = {member: {member: party.pay[member]} if party.pay[member] else {} for member in members}
    _take_over(lines, {one: party.pay[one] - amount for one, amount in owed.items()}, borne | reserved)
    for one in party.splits:
        before = dict(owed)
        _apply_split(owed, one, party.step)
        eased = {member: max(0, amount - owed[member]) for member, amount in before.items()}
        _take_over(lines, eased, {member: max(0, owed[member] - amount) for member, amount in before.items()})
    given = {gift.id: reserved.get(gift.id, 0) for gift in party.gifts}
    for to in sorted({gift.to for gift in party.gifts if gift.to is not None}, key=lambda member: member.int):
        if to in owed:
            gifts = [gift for gift in party.gifts if gift.to == to]
            taken = _take(gifts, min(owed[to], _gifts_sum(gifts)), party)
            owed[to] -= sum(taken.values())
            _take_over(lines, {to: sum(taken.values())}, taken)
            given |= taken
    sponsors = [gift for gift in party.gifts if gift.to is None]
    if sponsors:
        taken = _take(sponsors, min(sum(owed.values()), _gifts_sum(sponsors)), party)
        lowered = lower_equally([owed[member] for member in members], sum(taken.values()), party.step)
        for member, less in zip(members, lowered, strict=True):
            owed[member] -= less
        _take_over(lines, dict(zip(members, lowered, strict=True)), taken)
        given |= {id: given[id] + amount for id, amount in taken.items()}
    shares = Shares({member: owed[member] for member in party.pay}, borne, given, lines)
    if shares.total != sum(party.pay.values()) or any(amount < 0 for amount in owed.values()):
        raise InvariantBroken(what="shares do not sum to the price", shares=shares.total)
    return shares


def _take_over(lines: _Lines, less: Mapping[UUID, int], more: Mapping[UUID, int]) -> None:
    """Those in `less` pay that much less of what they paid, those in `more` pay it: each a part of every line of it."""
    pool: dict[UUID, int] = {}
    for payer, amount in less.items():
        for line, part in _taken_of(lines.get(payer, {}), amount).items():
            pool[line] = pool.get(line, 0) + part
    for payer in sorted(more, key=lambda one: one.int):
        paid = lines.setdefault(payer, {})
        for line, part in _taken_of(pool, more[payer]).items():
            paid[line] = paid.get(line, 0) + part


def _taken_of(lines: dict[UUID, int], amount: int) -> dict[UUID, int]:
    """So much of what is left of these lines, in proportion; it is taken out of them."""
    members = sorted(lines, key=lambda member: member.int)
    if not amount:
        return {}
    found = dict(zip(members, split(amount, [lines[member] for member in members]), strict=True))
    for member, part in found.items():
        lines[member] -= part
        if not lines[member]:
            del lines[member]
    return {member: part for member, part in found.items() if part}


def _after_losses(party: Party) -> tuple[dict[UUID, int], dict[UUID, int], dict[UUID, int]]:
    """What members owe once others bear what was lost, in the order of their ids; what leavers and sponsors bear."""
    members = sorted(party.pay, key=lambda member: member.int)
    rises = [max(0, party.pay[one] - party.with_leavers.get(one, party.pay[one])) for one in members]
    borne, reserved = _bear(party, sum(rises))
    reliefs = _relieve(rises, sum(borne.values()) + sum(reserved.values()))
    return {one: party.pay[one] - less for one, less in zip(members, reliefs, strict=True)}, borne, reserved


def _bear(party: Party, lost: int) -> tuple[dict[UUID, int], dict[UUID, int]]:
    """What leavers and sponsors bear of what was lost, each by their limits; too little for a card is not borne."""
    nothing = {leaver.member: 0 for leaver in party.leavers}
    if party.policy == "leaver":
        leavers = sorted((one for one in party.leavers if one.most), key=lambda one: one.member.int)
        amounts = _share_by_limits(lost, [one.most for one in leavers], party)
        return nothing | {one.member: amount for one, amount in zip(leavers, amounts, strict=True)}, {}
    if party.policy == "sponsor":
        # It comes on top of what the sponsor gives, so it need not be enough for a card by itself.
        sponsors = sorted((one for one in party.gifts if one.reserve and one.to is None), key=lambda one: one.id.int)
        amounts = _divide(
            min(lost, sum(one.reserve for one in sponsors)), [one.reserve for one in sponsors], party.step
        )
        return nothing, {one.id: amount for one, amount in zip(sponsors, amounts, strict=True)}
    return nothing, {}


def _share_by_limits(whole: int, limits: Sequence[int], party: Party) -> list[int]:
    """`whole` over the limits, in proportion and never above one; who would owe too little for a card owes nothing."""
    carrying = list(range(len(limits)))
    while carrying:
        most = min(whole, sum(limits[index] for index in carrying))
        parts = _divide(most, [limits[index] for index in carrying], party.step)
        too_small = [index for index, part in zip(carrying, parts, strict=True) if part < party.least]
        if not too_small:
            found = dict(zip(carrying, parts, strict=True))
            return [found.get(index, 0) for index in range(len(limits))]
        carrying.remove(min(too_small, key=lambda index: (limits[index], -index)))
    return [0] * len(limits)


def _relieve(rises: Sequence[int], relief: int) -> list[int]:
    return split(relief, rises) if sum(rises) else [0] * len(rises)


def _apply_split(owed: dict[UUID, int], one: Split, step: int) -> None:
    """Only while all of them go and owe together what they agreed on; whatever changed asks them again."""
    if not all(member in owed for member in one.parts) or sum_of(owed, one.parts) != one.sum_agreed:
        return
    members = sorted(one.parts, key=lambda member: member.int)
    amounts = _divide(one.sum_agreed, [one.parts[member] for member in members], step)
    owed.update(zip(members, amounts, strict=True))


def owed_after_losses(party: Party) -> dict[UUID, int]:
    """What everybody owes before splits and gifts: their price, less what others bear of a lost discount."""
    return _after_losses(party)[0]


def holds(party: Party, one: Split) -> bool:
    """Whether those who agreed still go, and owe together what they agreed on."""
    owed = owed_after_losses(party)
    return all(member in owed for member in one.parts) and sum_of(owed, one.parts) == one.sum_agreed


def sum_of(owed: Mapping[UUID, int], members: Mapping[UUID, int]) -> int:
    return sum(owed[member] for member in members)


def split_of(sum_agreed: int, parts: Mapping[UUID, int], step: int = 1) -> dict[UUID, int]:
    """What each pays of a sum that is split by parts."""
    owed = dict.fromkeys(parts, 0)
    owed[next(iter(owed))] = sum_agreed
    _apply_split(owed, Split(parts, sum_agreed), step)
    return owed


def _gifts_sum(gifts: Sequence[Gift]) -> int:
    return sum(gift.amount for gift in gifts)


def _take(gifts: Sequence[Gift], wanted: int, party: Party) -> dict[UUID, int]:
    """So much of the gifts, in proportion; a gift of which too little is wanted is not taken."""
    ordered = sorted(gifts, key=lambda gift: gift.id.int)
    amounts = _share_by_limits(wanted, [gift.amount for gift in ordered], party)
    return {gift.id: amount for gift, amount in zip(ordered, amounts, strict=True)}


def lower_equally(owed: Sequence[int], gift: int, step: int = 1) -> list[int]:
    """By how much `gift` lowers each: the same for everybody, at most what they owe; leftover units to the first.

    Raises:
        InvariantBroken: more is given than is owed.
    """
    if gift > sum(owed) or gift < 0:
        raise InvariantBroken(what="more given than owed", given=gift)
    lowered = [0] * len(owed)
    left = gift
    while left:
        can = [index for index, amount in enumerate(owed) if amount > lowered[index]]
        each, odd = divmod(left // step, len(can))
        least = min(owed[index] - lowered[index] for index in can)
        if each and least <= each * step:
            for index in can:
                lowered[index] += least
            left -= least * len(can)
            continue
        for place, index in enumerate(can):
            more = (each + (place < odd)) * step
            lowered[index] += min(more, owed[index] - lowered[index])
        rest = gift - sum(lowered)
        if rest == left:  # less than one step is left: a price whose last digit is not 0
            lowered[can[0]] += min(rest, owed[can[0]] - lowered[can[0]])
            rest = gift - sum(lowered)
        left = rest
    return lowered


def _divide(whole: int, weights: Sequence[int], step: int) -> list[int]:
    """By largest remainders, in steps where the currency asks for them."""
    if not weights or not sum(weights):
        return [0] * len(weights)
    if step == 1 or whole % step:
        return split(whole, weights)
    return [part * step for part in split(whole // step, weights)]
