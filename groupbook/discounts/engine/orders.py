"""Codes on the whole order: which sets of them may meet, what they leave to pay, and a lower bound of it in lines.

Conditions (`min_basket`, `min_items`) are tested on the eligible lines before any code; the codes of a set apply by
(layer, rule id, owner), each on what the one before left. Eligible is a line whose family the rule covers and on which
no class stands that it excludes. The lines of a pooled application are shares of one price: they are eligible by the
joint rule alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Final, NamedTuple

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.errors import TooManyCombinations
from groupbook.discounts.engine.market import Market
from groupbook.discounts.engine.rules import OrderRule
from groupbook.discounts.engine.tickets import rounded
from groupbook.kit.money import split

codes_together_max: Final = 6


class UsedCode(NamedTuple):
    rule: OrderRule
    by: str

    @property
    def owner(self) -> str:
        return self.by.removeprefix("code@")


class OrderLine(NamedTuple):
    """One person's price before any code. `pooled`: part of a price of several, whose family does not count."""

    amount: int
    family: str | None
    classes: frozenset[str]
    pooled: bool
    items: int = 1


class Piece(NamedTuple):
    """A linear lower bound: what the eligible lines cost after the codes is at least slope x amount - less."""

    slope: Fraction
    less: Fraction


@dataclass(frozen=True)
class CodeSet:
    """An admissible set of codes, in the order in which they apply. The empty set is the order without codes."""

    codes: tuple[UsedCode, ...] = ()

    @property
    def gives(self) -> bool:
        """Whether a code gives the cheapest line away."""
        return any(code.rule.order.cheapest_free_per for code in self.codes)

    def covers(self, line: OrderLine) -> bool:
        """Whether any code of the set may take something off this line."""
        return any(eligible(code.rule, line) for code in self.codes)


def code_sets(market: Market) -> list[CodeSet]:
    """Every set of codes that may be used together: none, one exclusive code, any of those that are not.

    Raises:
        TooManyCombinations: more than `codes_together_max` codes that may meet.
    """
    codes = [UsedCode(rule, by) for rule, by in market.order_rules() if market.case.quota.get(f"rule:{rule.id}", 1) > 0]
    position = {one.id: at for at, one in enumerate(market.case.travelers)}
    codes.sort(key=lambda code: (code.rule.layer, code.rule.id, position[code.owner]))
    shared = [code for code in codes if not code.rule.exclusive]
    if len(shared) > codes_together_max:
        raise TooManyCombinations(codes_together_max=codes_together_max)
    sets = [CodeSet()]
    sets += [CodeSet((code,)) for code in codes if code.rule.exclusive]
    for count in range(1, len(shared) + 1):
        sets += [CodeSet(chosen) for chosen in combinations(shared, count) if _within_quota(market, chosen)]
    return sets


def _within_quota(market: Market, codes: Sequence[UsedCode]) -> bool:
    rules = [code.rule.id for code in codes]
    return all(rules.count(id) <= market.case.quota.get(f"rule:{id}", len(rules)) for id in set(rules))


def eligible(rule: OrderRule, line: OrderLine) -> bool:
    for families in (None if rule.families == "*" else rule.families, rule.order.families):
        if families is not None and line.family not in families:
            return False
    return line.classes.isdisjoint(rule.order.excludes_classes)


def after_codes(codes: CodeSet, lines: Sequence[OrderLine]) -> list[list[int]] | None:
    """What each code takes off each line; None when a minimum is missed or a code takes nothing off.

    Returns:
        per code, the amount taken off per line (minor units, never negative).
    """
    amounts = [line.amount for line in lines]
    taken = []
    for code in codes.codes:
        mine = [at for at, line in enumerate(lines) if eligible(code.rule, line)]
        order = code.rule.order
        if sum(lines[at].amount for at in mine) < (order.min_basket or 0) or len(mine) < (order.min_items or 0):
            return None
        current = [amounts[at] for at in mine]
        off = _discount(code.rule, current)
        if off == 0:
            return None
        parts = split(off, current)
        by_line = [0] * len(lines)
        for at, part in zip(mine, parts, strict=True):
            by_line[at] = part
            amounts[at] -= part
        taken.append(by_line)
    return taken


def _discount(rule: OrderRule, amounts: Sequence[int]) -> int:
    order, total = rule.order, sum(amounts)
    if order.cheapest_free_per is not None:
        off = sum(sorted(amounts)[: len(amounts) // order.cheapest_free_per])
    elif order.off is not None:
        off = min(order.off, total)
    else:
        off = total - min(total, rounded(total * (10_000 - (order.bp or 0)), 10_000, rule.round))
    return off if order.max_off is None else min(off, order.max_off)


def pieces_of(codes: CodeSet) -> tuple[list[Piece], Fraction]:
    """Lines under what the covered part of the order costs after the codes, and the slack that rounding needs.

    Where the codes cover different lines, the union stands for each of them: a lower bound all the same.
    """
    pieces, slack = [Piece(Fraction(1), Fraction(0))], Fraction(0)
    for code in codes.codes:
        mine, room = _pieces(code.rule)
        pieces = [
            Piece(one.slope * after.slope, one.less * after.slope + after.less) for after in mine for one in pieces
        ]
        slack += room
    return list(dict.fromkeys(pieces)), slack


def _pieces(rule: OrderRule) -> tuple[list[Piece], Fraction]:
    order = rule.order
    capped = [] if order.max_off is None else [Piece(Fraction(1), Fraction(order.max_off))]
    if order.cheapest_free_per is not None:
        # The free ones are the cheapest: together at most their part of the sum.
        return [Piece(1 - Fraction(1, order.cheapest_free_per), Fraction(0)), *capped], Fraction(0)
    if order.off is not None:
        off = order.off if order.max_off is None else min(order.off, order.max_off)
        return [Piece(Fraction(0), Fraction(0)), Piece(Fraction(1), Fraction(off))], Fraction(0)
    step = Fraction(rule.round.step if rule.round else 1)
    mode = rule.round.mode if rule.round else "nearest"
    # Prices are whole ten-thousandths before rounding, and halves go up.
    room = {"nearest": step / 2 - Fraction(1, 10_000), "down": step - Fraction(1, 10_000), "up": Fraction(0)}[mode]
    return [Piece(1 - Fraction(order.bp or 0, 10_000), Fraction(0)), *capped], room


def has_gifts(case: Case) -> bool:
    """Whether a code gives the cheapest line away, so that single shares of a pooled price matter."""
    used = {rule for rule, _ in case.codes}
    return any(isinstance(one, OrderRule) and one.order.cheapest_free_per and one.id in used for one in case.rules)


def baskets(codes: CodeSet) -> Iterator[tuple[UsedCode, str, int]]:
    """The minimum rows of a set: (code, "basket" in minor units or "items", at least)."""
    for code in codes.codes:
        if code.rule.order.min_basket:
            yield code, "basket", code.rule.order.min_basket
        if code.rule.order.min_items:
            yield code, "items", code.rule.order.min_items
