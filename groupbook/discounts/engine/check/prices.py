"""The dual prices of one leaf, and what the branches above it count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from groupbook.discounts.engine.check.ground import Ground, Seat, Usage
from groupbook.discounts.engine.proof import Feature, Leaf, Resource

NOTHING: Final[frozenset[int]] = frozenset()
Priced = Sequence[tuple[Feature, int]]  # what a branch counts, and the price of one


class Turn(NamedTuple):
    """A branch on the way to a leaf: which side, and what it says: count <= bound (low) or count >= bound (high)."""

    feature: Feature
    high: bool
    bound: int


class Prices:
    """The dual prices of one leaf, everything over one `unit`."""

    def __init__(self, ground: Ground, leaf: Leaf, path: Sequence[Turn], scale: int) -> None:
        common, pieces = ground.basket.pieces
        self.unit = scale * common
        self.people = [price * common for price in leaf.people]
        self.resources: dict[Resource, int] = {key: price * common for key, price in leaf.resources if price}
        self.branches: dict[str | None, list[tuple[Feature, int]]] = {}
        self.fixed = sum(self.people)
        self.fixed -= sum(price * ground.capacities[key] for key, price in self.resources.items())
        for turn, price in zip(path, leaf.branches, strict=True):
            self.fixed += price * common * turn.bound
            if price:
                self.branches.setdefault(turn.feature.rule, []).append((turn.feature, price * common))
        self._counted = self.unit
        if leaf.pieces:
            self._counted = sum(part * slope for part, (slope, _) in zip(leaf.pieces, pieces, strict=True))
            self.fixed -= sum(part * less for part, (_, less) in zip(leaf.pieces, pieces, strict=True))
        self._rows = [(row, price * common) for row, price in zip(ground.basket.rows, leaf.basket, strict=True)]
        self.fixed += sum(price * least for (_, _, least), price in self._rows)
        self._weights: dict[frozenset[int], tuple[int, int]] = {NOTHING: (self.unit, 0)}

    def amount(self, price: int, codes: frozenset[int], items: int = 1) -> int:
        """What a price adds to a reduced cost, where these codes count it."""
        if codes not in self._weights:
            per_unit, per_item = self._counted, 0
            for (code, what, _), beta in self._rows:
                if code in codes:
                    per_unit -= beta if what == "amount" else 0
                    per_item -= beta if what == "items" else 0
            self._weights[codes] = per_unit, per_item
        per_unit, per_item = self._weights[codes]
        return price * per_unit + items * per_item

    def used(self, usage: Usage) -> int:
        return sum(amount * self.resources.get(key, 0) for key, amount in usage) if usage and self.resources else 0


def is_group(feature: Feature) -> bool:
    """Whether it counts the applications of exactly these people."""
    return bool(feature.people) and not feature.seats


def is_by(feature: Feature, by: str) -> bool:
    return not feature.by or by in feature.by


def counts_seat(feature: Feature, role: str | None, person: int, seat: Seat) -> bool:
    """Whether a feature that counts people counts this one."""
    if feature.role is not None and feature.role != role:
        return False
    if feature.people and person not in feature.people:
        return False
    return feature.ticket is None or feature.ticket == seat.name


def counts_variant(feature: Feature, sizes: tuple[int, int], pivot: int | None) -> bool:
    """Whether a feature counts applications of these sizes (all of them or none) and this pivot."""
    if feature.sizes is not None and not feature.sizes[0] <= sizes[0] <= feature.sizes[1]:
        return False
    return feature.pivot is None or feature.pivot == pivot
