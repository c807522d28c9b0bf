"""What follows from the rules and the trip alone, whoever travels: which rules are in force, what each does to a price.

A trip is priced again with every vote and every friend, so these are kept from one answer to the next; where a rule
asks how many travel, nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from groupbook.discounts.engine.cases import Case, Facts
from groupbook.discounts.engine.rules import Clause, Effect, JointRule, NthOff, Role, Rule, SelfRule
from groupbook.discounts.engine.tickets import Chain, Move, chains, move_of

kept_max: Final = 64
chains_kept_max: Final = 5_000
_PARTY: Final = frozenset({"party", "party_count"})


class Terms:
    def __init__(self, rules: tuple[Rule, ...], facts: Facts, currency: str) -> None:
        self.rules = rules
        self.gated = frozenset(family for rule in rules if rule.gated for family in _families(rule))
        self._facts = facts
        self._currency = currency
        self._problems: dict[str, str | None] = {}
        self._moves: dict[tuple[str, str], Move | None] = {}
        self._chains: dict[object, list[Chain]] = {}

    def problem(self, rule: Rule) -> str | None:
        """Why a rule is not available on this trip at all, in the order of refusal; None when it is."""
        if rule.id not in self._problems:
            self._problems[rule.id] = self._general_problem(rule)
        return self._problems[rule.id]

    def _general_problem(self, rule: Rule) -> str | None:
        on, valid = self._facts.on, rule.valid
        if valid is not None and (
            (valid.starts_on is not None and on < valid.starts_on) or (valid.ends_on is not None and on > valid.ends_on)
        ):
            return "not_in_force"
        if rule.currency not in ("any", self._currency):
            return "currency"
        return self._facts.first_failing(rule.when)

    def chains(
        self,
        own: Sequence[SelfRule],
        named: tuple[tuple[str, ...], tuple[str, ...]],
        part: tuple[JointRule, Role] | None,
    ) -> list[Chain]:
        """Every chain of these personal rules, alone or in a role. `named`: the rules' ids, the families.

        Raises:
            TooManyCombinations: more than `chains_max` sets of personal rules.
        """
        key = (named, (part[0].id, part[1].name) if part else None)
        known = self._chains.get(key)
        if known is None:
            joint = (part[0], self._role_move(part[0], part[1])) if part else None
            known = chains(named[1], own, self._own_move, self.gated, joint)
            if len(self._chains) >= chains_kept_max:
                self._chains.clear()
            self._chains[key] = known
        return known

    def nth_move(self, rule: JointRule, pool: NthOff) -> Move | None:
        """What a "from the n-th person on" offer does to the price of somebody who comes late enough."""
        key = (rule.id, "/pool")
        if key not in self._moves:
            self._moves[key] = move_of(rule, Effect(bp=pool.bp), self._facts, None)
        return self._moves[key]

    def _own_move(self, rule: SelfRule) -> Move | None:
        key = (rule.id, "")
        if key not in self._moves:
            self._moves[key] = move_of(rule, rule.effect, self._facts, None)
        return self._moves[key]

    def _role_move(self, rule: JointRule, role: Role) -> Move | None:
        key = (rule.id, role.name)
        if key not in self._moves:
            self._moves[key] = move_of(rule, role.effect, self._facts, role.name)
        return self._moves[key]


def terms_of(case: Case, facts: Facts) -> Terms:
    """The terms of a case; the same ones for every party on the same trip under the same rules."""
    # The rules are kept with the terms, so that no other rule can take their identities.
    key = (tuple([id(rule) for rule in case.rules]), case.trip, case.currency)
    known = _KNOWN.get(key)
    if known is None:
        known = Terms(case.rules, facts, case.currency)
        if any(clause.fact in _PARTY for rule in case.rules for clause in _clauses(rule)):
            return known
        if len(_KNOWN) >= kept_max:
            _KNOWN.clear()
        _KNOWN[key] = known
    return known


_KNOWN: dict[object, Terms] = {}


def _families(rule: Rule) -> tuple[str, ...]:
    return () if rule.families == "*" else rule.families


def _clauses(rule: Rule) -> Iterator[Clause]:
    """Every condition that decides about prices."""
    groups = [rule.when, *(bound.when for bound in (*rule.floor, *rule.cap))]
    effects = [rule.effect] if isinstance(rule, SelfRule) else []
    if isinstance(rule, JointRule):
        effects = [role.effect for role in rule.roles if role.effect is not None]
    groups += [case.when for effect in effects for case in effect.cases or ()]
    for clause in (one for group in groups for one in group):
        yield from clause.walk()
