"""Order codes as the checker reads them: which sets may be used, what they take off, and how little they can leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from math import lcm
from typing import Final

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.errors import ProofBroken
from groupbook.discounts.engine.rules import OrderRule
from groupbook.discounts.engine.tickets import Ticket
from groupbook.kit.money import split

codes_max: Final = 10


@dataclass(frozen=True)
class Line:
    """What one person's line costs at the moment, and the numbers of the codes that count it."""

    amount: int
    codes: frozenset[int]


@dataclass(frozen=True)
class Basket:
    """A set of codes in order of application: (rule, owner)."""

    codes: tuple[tuple[OrderRule, str], ...] = ()

    @property
    def names(self) -> frozenset[tuple[str, str]]:
        return frozenset((rule.id, owner) for rule, owner in self.codes)

    @property
    def spares_the_cheap(self) -> bool:
        """Whether a dearer ticket can make the order cheaper."""
        effects = [rule.order for rule, _ in self.codes]
        return any(one.min_basket or one.min_items or one.cheapest_free_per for one in effects)

    def counting(self, ticket: Ticket) -> frozenset[int]:
        """The codes that count this ticket."""
        return self._counting(ticket.family, ticket.classes)

    def counting_whole(self, rule_class: str) -> frozenset[int]:
        """The codes that count the one price of an application of a rule of this class."""
        return self._counting(None, frozenset({rule_class}))

    def _counting(self, family: str | None, classes: frozenset[str]) -> frozenset[int]:
        rules = enumerate(rule for rule, _ in self.codes)
        return frozenset(
            at for at, rule in rules if classes.isdisjoint(rule.order.excludes_classes) and _takes(rule, family)
        )

    @cached_property
    def rows(self) -> tuple[tuple[int, str, int], ...]:
        """What must be reached before any code, in code order: (code, amount or items, how much)."""
        found: list[tuple[int, str, int]] = []
        for at, (rule, _) in enumerate(self.codes):
            if rule.order.min_basket:
                found.append((at, "amount", rule.order.min_basket))
            if rule.order.min_items:
                found.append((at, "items", rule.order.min_items))
        return tuple(found)

    @cached_property
    def pieces(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Linear functions below what the counted lines cost after all codes: (slope, less), over one denominator.

        Code by code in order of application: each piece of the code with each piece so far; no piece twice.
        """
        found = {(Fraction(1), Fraction(0)): Fraction(0)}
        for rule, _ in self.codes:
            after: dict[tuple[Fraction, Fraction], Fraction] = {}
            for then, rest, lost in _least_left(rule):
                for (slope, less), room in found.items():
                    piece = then * slope, then * less + rest
                    after[piece] = min(after.get(piece, then * room + lost), then * room + lost)
            found = after
        pieces = [(slope, less + room) for (slope, less), room in found.items()]
        common = lcm(*(part.denominator for piece in pieces for part in piece))
        return common, tuple((int(slope * common), int(less * common)) for slope, less in pieces)

    def applied(self, lines: Mapping[int, Line]) -> list[dict[int, int]] | None:
        """What each code takes off each person, in order of application; None when the set may not be used."""
        for at, what, least in self.rows:
            counted = [line.amount for line in lines.values() if at in line.codes]
            if (sum(counted) if what == "amount" else len(counted)) < least:
                return None
        amounts = {person: line.amount for person, line in sorted(lines.items())}
        found = []
        for at, (rule, _) in enumerate(self.codes):
            people = [person for person, line in sorted(lines.items()) if at in line.codes]
            before = [amounts[person] for person in people]
            saved = _saved(rule, before)
            if saved <= 0:
                return None
            off = dict(zip(people, split(saved, before), strict=True))
            amounts |= {person: amounts[person] - part for person, part in off.items()}
            found.append(off)
        return found


def admissible(case: Case, in_force: Collection[str]) -> Iterator[Basket]:
    """Every set of codes that may be tried: none, one exclusive code, any codes that are not exclusive.

    Raises:
        ProofBroken: more sets than a checker should look at.
    """
    place = {one.id: at for at, one in enumerate(case.travelers)}
    rules = {rule.id: rule for rule in case.rules if isinstance(rule, OrderRule) and rule.id in in_force}
    usable = [(rules[id], owner) for id, owner in dict.fromkeys(case.codes) if id in rules]
    usable.sort(key=lambda code: (code[0].layer, code[0].id, place[code[1]]))
    shared = [code for code in usable if not code[0].exclusive]
    if len(shared) > codes_max:
        raise ProofBroken(reason="too_many_codes", pointer="/proof/plans")
    sets = [(), *((code,) for code in usable if code[0].exclusive)]
    sets += [chosen for many in range(1, len(shared) + 1) for chosen in combinations(shared, many)]
    for chosen in sets:
        uses = Counter(f"rule:{rule.id}" for rule, _ in chosen)
        if all(many <= case.quota.get(key, many) for key, many in uses.items()):
            yield Basket(chosen)


def _takes(code: OrderRule, family: str | None) -> bool:
    """Whether a code covers a family. A share of a pooled price has none: only a code for all families takes it."""
    return all(families == "*" or family in families for families in (code.families, code.order.families or "*"))


def _saved(rule: OrderRule, amounts: Sequence[int]) -> int:
    """What one code takes off the lines it counts, before it is split."""
    order, total = rule.order, sum(amounts)
    if order.bp is not None:
        saved = total - _rounded(total * (10_000 - order.bp), rule)
    elif order.off is not None:
        saved = min(order.off, total)
    else:
        saved = sum(sorted(amounts)[: len(amounts) // (order.cheapest_free_per or 1)])
    return saved if order.max_off is None else min(saved, order.max_off)


def _rounded(amount: int, rule: OrderRule) -> int:
    """`amount` / 10000 to the rule's step; halves go up."""
    step = (rule.round.step if rule.round else 1) * 10_000
    mode = rule.round.mode if rule.round else "nearest"
    up = {"down": 0, "nearest": step // 2, "up": step - 1}[mode]
    return (amount + up) // step * (step // 10_000)


def _least_left(rule: OrderRule) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Linear functions below what one code leaves of an amount: slope, less, and less by rounding."""
    order, nothing = rule.order, Fraction(0)
    capped = [] if order.max_off is None else [(Fraction(1), Fraction(order.max_off), nothing)]
    if order.bp is not None:
        step, mode = (rule.round.step, rule.round.mode) if rule.round else (1, "nearest")
        # An amount is a whole number of ten-thousandths, and halves go up.
        lost = {"down": step * 10_000 - 1, "nearest": max(0, step * 5_000 - 1), "up": 0}[mode]
        return [(Fraction(10_000 - order.bp, 10_000), nothing, Fraction(lost, 10_000)), *capped]
    if order.off is not None:
        off = order.off if order.max_off is None else min(order.off, order.max_off)
        return [(nothing, nothing, nothing), (Fraction(1), Fraction(off), nothing)]
    each = order.cheapest_free_per or 1
    return [(Fraction(each - 1, each), nothing, nothing), *capped]
