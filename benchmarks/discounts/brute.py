"""Plain enumeration: everybody in each of their seats, nothing left out, the cheapest lawful one kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Final

from benchmarks.discounts.offers import Group, Party, Seat

ASSIGNMENTS_MAX: Final = 60_000


def assignments(party: Party) -> int:
    return prod(Counter(seat.person for seat in party.seats).values())


def finishes(party: Party) -> bool:
    return assignments(party) <= ASSIGNMENTS_MAX


def cheapest(party: Party) -> int | None:
    seats: list[list[Seat]] = [[] for _ in range(party.people)]
    for seat in party.seats:
        seats[seat.person].append(seat)
    totals = (_total(party, chosen) for chosen in product(*seats))
    return min((total for total in totals if total is not None), default=None)


def _total(party: Party, chosen: Sequence[Seat]) -> int | None:
    used: Counter[int] = Counter()
    filled: Counter[tuple[int, int]] = Counter()
    for seat in chosen:
        if seat.slot is not None:
            used[seat.slot] += 1
        for one in seat.blocks:
            used[one] += party.slots[one]
        if seat.group is not None:
            filled[seat.group, seat.role] += 1
    if any(amount > party.slots[slot] for slot, amount in used.items()):
        return None
    total = sum(seat.cost for seat in chosen)
    for number in {group for group, _ in filled}:
        group = party.groups[number]
        price = _priced(group, [filled[number, role] for role in range(len(group.roles))])
        if price is None:
            return None
        total += price
    return total


def _priced(group: Group, filled: Sequence[int]) -> int | None:
    """What these people pay as a whole, in the best number of groups; None when no number of groups holds them."""
    prices = [_in_groups(group, filled, times) for times in range(1, min(group.limit, sum(filled)) + 1)]
    return min((price for price in prices if price is not None), default=None)


def _in_groups(group: Group, filled: Sequence[int], times: int) -> int | None:
    if not all(
        least * times <= count <= most * times for (least, most, _), count in zip(group.roles, filled, strict=True)
    ):
        return None
    if group.prices:
        return _pooled(dict(group.prices), filled[0], times)
    counted = sum(count for (_, _, counts), count in zip(group.roles, filled, strict=True) if counts)
    return 0 if group.size[0] * times <= counted <= group.size[1] * times else None


def _pooled(prices: dict[int, int], payers: int, times: int) -> int | None:
    """The cheapest way to part the payers into so many tickets."""
    if times == 0:
        return 0 if payers == 0 else None
    rest = ((price, _pooled(prices, payers - count, times - 1)) for count, price in prices.items() if count <= payers)
    return min((price + other for price, other in rest if other is not None), default=None)
