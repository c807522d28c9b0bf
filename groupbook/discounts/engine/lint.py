"""What a well-formed catalogue probably does not mean: rules that cannot do anything, or not what they seem to say.

Nothing here refuses anything: a finding is a code, a pointer and its facts; sentences are made elsewhere. What cannot
be priced at all is refused by `rules.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Final

from groupbook.discounts.engine.rules import (
    Bound,
    Bundle,
    Catalogue,
    Clause,
    Effect,
    JointRule,
    NthOff,
    OrderRule,
    PayFor,
    Role,
    Rule,
    SelfRule,
    SingleEffect,
    StatedFact,
    Who,
)
from groupbook.discounts.engine.satisfiable import DOMAINS, can_hold, kind_of

findings_max: Final = 200
Found = tuple[str, str, Mapping[str, str | int]]  # path inside the rule, code, facts
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_PROSE: Final = {"id", "title", "operator", "summary", "sources", "confidence", "assumes"}


@dataclass(frozen=True)
class Finding:
    """One place that deserves a second look: `pointer` is a JSON pointer into the document."""

    pointer: str
    code: str
    rule: str
    facts: Mapping[str, str | int] = field(default_factory=dict)


def lint(catalogue: Catalogue, *, starts_on: date | None = None, currency: str | None = None) -> list[Finding]:
    """Everything that deserves a second look, in the order of the document; at most `findings_max`.

    Args:
        starts_on: the first day of the version; rules that ended before are named when it is known.
        currency: what the merchant sells in; rules for another one are named when it is known.
    """
    return list(islice(_findings(catalogue, starts_on, currency), findings_max))


def _findings(catalogue: Catalogue, starts_on: date | None, currency: str | None) -> Iterator[Finding]:
    house = _House(list(catalogue.executable.values()))
    for index, rule in enumerate(catalogue.rules):
        if isinstance(rule, StatedFact):
            continue
        for path, code, facts in _of_rule(rule, house, starts_on, currency):
            yield Finding(f"/rules/{index}{path}", code, rule.id, facts)


def _of_rule(rule: Rule, house: _House, starts_on: date | None, currency: str | None) -> Iterator[Found]:
    yield from _same(rule, house)
    yield from _never(rule, starts_on, currency)
    yield from _stacking(rule, house)
    yield from _families(rule, house)
    yield from _conditions(rule)
    yield from _bounds(rule)
    yield from _effects(rule)
    if isinstance(rule, JointRule):
        yield from _roles(rule)
        yield from _pool(rule)
    elif isinstance(rule, SelfRule):
        yield from _who(rule.who, "/who")
        if set(rule.trigger.cards) and set(rule.trigger.cards) <= set(rule.who.holds_none):
            yield "/who/holds_none", "who_contradicts", {}
    else:
        yield from _order(rule, house)
    if rule.trigger.code:
        yield from _code(rule)


class _House:
    """What one rule must know of the others."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.by_class: dict[str, list[Rule]] = {}
        self.contents: dict[str, str] = {}
        self.families: set[str] = set()
        for rule in rules:
            self.by_class.setdefault(rule.rule_class, []).append(rule)
            self.contents.setdefault(content_of(rule), rule.id)
            self.families.update(() if rule.families == "*" else rule.families)
        self.listed = {rule.id: frozenset(rule.stacks_with) for rule in rules}

    def shut_out(self, rule: Rule, other: str) -> Rule | None:
        """The first rule of a class that does not let this one meet it on a person, though it could."""
        for one in self.by_class.get(other, ()):
            # Two joint rules never meet on one person, and order rules ask for classes in another way.
            if isinstance(one, OrderRule) or (isinstance(rule, JointRule) and isinstance(one, JointRule)):
                continue
            is_promo = rule.rule_class == "promo" and not one.no_promo
            if one is not rule and not is_promo and not {rule.rule_class, "*"} & self.listed[one.id]:
                return one
        return None


def content_of(rule: Rule) -> str:
    """What a rule does, without what it is called."""
    return json.dumps(rule.model_dump(mode="json", by_alias=True, exclude=_PROSE), sort_keys=True)


def _same(rule: Rule, house: _House) -> Iterator[Found]:
    first = house.contents[content_of(rule)]
    if first != rule.id:
        yield "", "same_rule", {"other": first}


def _never(rule: Rule, starts_on: date | None, currency: str | None) -> Iterator[Found]:
    if rule.valid is not None and rule.valid.ends_on is not None:
        if rule.valid.starts_on is not None and rule.valid.starts_on > rule.valid.ends_on:
            yield "/valid", "period_empty", {}
        elif starts_on is not None and rule.valid.ends_on < starts_on:
            yield "/valid/to", "period_over", {"to": rule.valid.ends_on.isoformat(), "starts_on": starts_on.isoformat()}
    if currency is not None and rule.currency not in ("any", currency):
        yield "/currency", "other_currency", {"currency": rule.currency, "merchant": currency}


# --- how rules meet -------------------------------------------------------------------------------------------------


def _stacking(rule: Rule, house: _House) -> Iterator[Found]:
    if isinstance(rule, OrderRule):
        return  # on the basket only `excludes_classes` counts
    if rule.no_promo and "promo" in rule.stacks_with:
        yield "/no_promo", "promo_both_ways", {}
    for other in dict.fromkeys(rule.stacks_with):
        here = f"/stacks_with/{rule.stacks_with.index(other)}"
        if other == "*":
            continue
        if other not in house.by_class and other != "promo":
            yield here, "class_unknown", {"class": other}
        elif (apart := house.shut_out(rule, other)) is not None:
            yield here, "stacking_one_sided", {"class": other, "other": apart.id, "own": rule.rule_class}


# --- families -------------------------------------------------------------------------------------------------------


def _families(rule: Rule, house: _House) -> Iterator[Found]:
    if rule.families == ():
        yield "/families", "no_family", {}
    if rule.gated and rule.families == "*":
        yield "/families", "gates_every_family", {}
    for path, family in _named_families(rule):
        if not rule.takes_family(family):
            yield path, "family_not_taken", {"family": family}
        elif house.families and family not in house.families:
            yield path, "family_unknown", {"family": family}
    for path, effect in _effects_of(rule):
        if effect.bp_by_family is not None and rule.families != "*":
            for family in rule.families:
                if family not in effect.bp_by_family:
                    yield f"{path}/bp_by_family", "family_without_rate", {"family": family}


def _named_families(rule: Rule) -> Iterator[tuple[str, str]]:
    for name, bounds in (("floor", rule.floor), ("cap", rule.cap)):
        for at, bound in enumerate(bounds):
            for part, families in (("families", bound.families or ()), ("not_families", bound.not_families)):
                yield from ((f"/{name}/{at}/{part}/{place}", family) for place, family in enumerate(families))
    for path, effect in _effects_of(rule):
        yield from ((f"{path}/bp_by_family/{family}", family) for family in effect.bp_by_family or ())
    if isinstance(rule, OrderRule):
        yield from ((f"/order/families/{place}", family) for place, family in enumerate(rule.order.families or ()))


# --- conditions -----------------------------------------------------------------------------------------------------


def _conditions(rule: Rule) -> Iterator[Found]:
    roles = tuple(role.name for role in rule.roles if not role.anchor) if isinstance(rule, JointRule) else ()
    broken = list(_list("/when", rule.when, (), ()))
    yield from broken
    base = () if broken else rule.when
    if isinstance(rule, JointRule):
        yield from _list("/app_when", rule.app_when, base, roles)
    for name, bounds in (("floor", rule.floor), ("cap", rule.cap)):
        for at, bound in enumerate(bounds):
            yield from _list(f"/{name}/{at}/when", bound.when, base, ())
    for path, whole in _whole_effects(rule):
        for at, case in enumerate(whole.cases or ()):
            yield from _list(f"{path}/cases/{at}/when", case.when, base, ())


def _list(path: str, clauses: Sequence[Clause], base: Sequence[Clause], roles: Sequence[str]) -> Iterator[Found]:
    """One list of clauses, all of which must hold; together with `base`, which holds already."""
    single = [found for at, clause in enumerate(clauses) for found in _clause(f"{path}/{at}", clause, roles)]
    yield from single
    if clauses and not single and not can_hold(clauses, roles):
        yield path, "conditions_contradict", {}
    elif clauses and not single and base and not can_hold((*base, *clauses), roles):
        yield path, "conditions_contradict_rule", {}


def _clause(path: str, clause: Clause, roles: Sequence[str]) -> Iterator[Found]:
    for name, children in (("any", clause.any_of), ("all", clause.all_of)):
        for at, child in enumerate(children or ()):
            yield from _clause(f"{path}/{name}/{at}", child, roles)
    if clause.negated is not None:
        yield from _clause(f"{path}/not", clause.negated, roles)
    if clause.fact is None:
        return
    kind = kind_of(clause.fact, roles)
    wrong = _misspelt(clause, kind)
    if kind is None:
        yield f"{path}/fact", "fact_unknown", {"fact": clause.fact}
    elif wrong is not None:
        yield path, f"not_a_{kind}", {"fact": clause.fact, "value": wrong}
    elif not can_hold((clause,), roles):
        yield path, "condition_never_true", {"fact": clause.fact}


def _misspelt(clause: Clause, kind: str | None) -> str | None:
    """A value that no time or day is written as, so that comparing with it goes by letters."""
    if kind not in ("time", "day"):
        return None
    pattern = _TIME if kind == "time" else _DAY
    listed = (*(clause.is_in or ()), *(clause.nin or ()))
    single = (clause.eq, clause.ne, clause.ge, clause.gt, clause.le, clause.lt)
    values = [str(value) for value in (*listed, *single) if value is not None]
    return next((value for value in values if not pattern.fullmatch(value)), None)


# --- prices ---------------------------------------------------------------------------------------------------------


def _bounds(rule: Rule) -> Iterator[Found]:
    for at, floor in enumerate(rule.floor):
        for cap in rule.cap:
            if floor.amount > cap.amount and _overlap(floor, cap) and can_hold((*floor.when, *cap.when)):
                yield f"/floor/{at}/amount", "floor_above_cap", {"floor": floor.amount, "cap": cap.amount}
        for path, effect in _effects_of(rule):
            if effect.price is not None and effect.price < floor.amount and _reaches(floor, rule, path):
                yield f"/floor/{at}/amount", "floor_above_price", {"floor": floor.amount, "price": effect.price}


def _overlap(floor: Bound, cap: Bound) -> bool:
    for one, other in ((floor.roles, cap.roles), (floor.families, cap.families)):
        if one is not None and other is not None and not set(one) & set(other):
            return False
    for a, b in ((floor, cap), (cap, floor)):
        if a.families is not None and set(a.families) <= set(b.not_families):
            return False
    return True


def _reaches(bound: Bound, rule: Rule, path: str) -> bool:
    if bound.roles is None or not isinstance(rule, JointRule):
        return True
    return rule.roles[int(path.split("/")[2])].name in bound.roles


def _whole_effects(rule: Rule) -> Iterator[tuple[str, Effect]]:
    if isinstance(rule, SelfRule):
        yield "/effect", rule.effect
    elif isinstance(rule, JointRule):
        for at, role in enumerate(rule.roles):
            if role.effect is not None:
                yield f"/roles/{at}/effect", role.effect


def _effects_of(rule: Rule) -> Iterator[tuple[str, SingleEffect]]:
    for path, whole in _whole_effects(rule):
        if whole.cases is None:
            yield path, whole
        else:
            yield from ((f"{path}/cases/{at}", case) for at, case in enumerate(whole.cases))


def _effects(rule: Rule) -> Iterator[Found]:
    if isinstance(rule, OrderRule) or rule.gated:
        return  # a gate opens a family of its own: that is its discount
    effects = list(_effects_of(rule))
    has_pool = isinstance(rule, JointRule) and rule.pool is not None
    if not has_pool and not any(_does_something(effect) for _, effect in effects):
        yield "/effect" if isinstance(rule, SelfRule) else "/roles", "no_discount", {}
    for path, effect in effects:
        fact = effect.bp_by_fact or effect.price_by_fact
        name = "bp_by_fact" if effect.bp_by_fact is not None else "price_by_fact"
        if fact is None:
            continue
        if kind_of(fact.fact) is None:
            yield f"{path}/{name}/fact", "fact_unknown", {"fact": fact.fact}
        known = [str(value) for value in DOMAINS.get(fact.fact, ())]
        for key in fact.map:
            if known and key not in known:
                yield f"{path}/{name}/map/{key}", "value_never", {"fact": fact.fact, "value": key}


def _does_something(effect: SingleEffect) -> bool:
    tables = (effect.bp_by_family or {}, dict(effect.bp_by_size or ()))
    if any(any(table.values()) for table in tables) or (effect.bp_by_fact and any(effect.bp_by_fact.map.values())):
        return True
    prices = (effect.price, effect.price_by_size, effect.price_by_fact, effect.free)
    return bool(effect.bp or effect.off) or any(one is not None for one in prices)


# --- people ---------------------------------------------------------------------------------------------------------


def _roles(rule: JointRule) -> Iterator[Found]:
    capacity = next((role.capacity or {} for role in rule.roles if role.anchor), None)
    for at, role in enumerate(rule.roles):
        here = f"/roles/{at}"
        if role.max == 0:
            yield f"{here}/max", "role_empty", {"role": role.name}
        if role.holds and not rule.trigger.cards:
            yield f"{here}/holds", "holder_without_card", {"role": role.name}
        if capacity is not None and not role.anchor and capacity.get(role.name, 0) < max(role.min, 1):
            yield f"{here}/min", "capacity_too_small", {"role": role.name, "capacity": capacity.get(role.name, 0)}
        yield from _who(role.who, f"{here}/who")
        if role.holds and rule.trigger.cards and set(rule.trigger.cards) <= set(role.who.holds_none):
            yield f"{here}/who/holds_none", "who_contradicts", {}
    if rule.size is not None:
        yield from _size(rule, [role for role in rule.roles if role.name in rule.counted_roles])
    for path, effect in _effects_of(rule):
        yield from _steps(rule, path, effect)


def _size(rule: JointRule, counted: Sequence[Role]) -> Iterator[Found]:
    if rule.size is None:
        return
    least, most = sum(role.min for role in counted), sum(role.max for role in counted)
    if rule.size.min > rule.size.max:
        yield "/size", "size_crossed", {"min": rule.size.min, "max": rule.size.max}
    elif rule.size.min > most:
        yield "/size/min", "size_out_of_reach", {"min": rule.size.min, "most": most}
    elif rule.size.max < least:
        yield "/size/max", "size_too_small", {"max": rule.size.max, "least": least}


def _steps(rule: JointRule, path: str, effect: SingleEffect) -> Iterator[Found]:
    """Size tables whose first step comes too late, or whose later steps nobody reaches."""
    name = "bp_by_size" if effect.bp_by_size is not None else "price_by_size"
    table = effect.bp_by_size or effect.price_by_size
    if not table:
        return
    counted = [role for role in rule.roles if role.name in rule.counted_roles]
    most = min(sum(role.max for role in counted), rule.size.max if rule.size else 10_000)
    for at, (size, _) in enumerate(table):
        if size > most:
            yield f"{path}/{name}/{at}/0", "step_out_of_reach", {"size": size, "most": most}


def _who(who: Who, path: str) -> Iterator[Found]:
    if who.age is not None and None not in who.age and (who.age[0] or 0) > (who.age[1] or 0):
        yield f"{path}/age", "age_crossed", {"from": who.age[0] or 0, "to": who.age[1] or 0}
    both = set(who.tags) & set(who.lacks)
    if both:
        yield f"{path}/lacks", "who_contradicts", {"tag": min(both)}
    if who.holds_any and set(who.holds_any) <= set(who.holds_none):
        yield f"{path}/holds_none", "who_contradicts", {"tag": who.holds_any[0]}


def _pool(rule: JointRule) -> Iterator[Found]:
    payers = [role for role in rule.roles if role.pool and not role.anchor]
    least, most = max(1, sum(role.min for role in payers)), sum(role.max for role in payers)
    if isinstance(rule.pool, Bundle):
        for key in rule.pool.table:
            if not (key.isascii() and key.isdigit() and str(int(key)) == key and 1 <= int(key) <= most):
                yield f"/pool/table/{key}", "bundle_never", {"payers": key}
        missing = [number for number in range(least, min(most, 99) + 1) if str(number) not in rule.pool.table]
        if missing:
            yield "/pool/table", "bundle_gap", {"payers": missing[0], "count": len(missing)}
    elif isinstance(rule.pool, PayFor) and rule.pool.n > most:
        yield "/pool/n", "pool_out_of_reach", {"n": rule.pool.n, "most": most}
    elif isinstance(rule.pool, NthOff):
        if rule.pool.start > most:
            yield "/pool/from", "pool_out_of_reach", {"n": rule.pool.start, "most": most}
        if rule.pool.bp == 0:
            yield "/pool/bp", "no_discount", {}


# --- baskets and codes ----------------------------------------------------------------------------------------------


def _order(rule: OrderRule, house: _House) -> Iterator[Found]:
    order = rule.order
    if 0 in (order.bp, order.off, order.max_off):
        yield "/order", "no_discount", {}
    elif order.off is not None and order.max_off is not None and order.max_off >= order.off:
        yield "/order/max_off", "limit_idle", {"max_off": order.max_off, "off": order.off}
    for at, other in enumerate(order.excludes_classes):
        if other not in house.by_class:
            yield f"/order/excludes_classes/{at}", "class_unknown", {"class": other}


def _code(rule: Rule) -> Iterator[Found]:
    if isinstance(rule, OrderRule) and rule.order.off is None and rule.order.max_off is None:
        yield "/order", "code_without_limit", {}
    if rule.valid is None or rule.valid.ends_on is None:
        yield "/valid", "code_without_end", {}


__all__ = ["Finding", "findings_max", "lint"]
