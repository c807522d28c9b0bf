"""Which codes a price may count, and which of them it did: between what travelers hold and what the engine reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from groupbook.discounts.domain import CodeState, CodeUse, Entitlements, HeldCode, PartyTraveler
from groupbook.discounts.engine import Catalogue, Priced
from groupbook.discounts.engine.rules import OrderRule, SelfRule
from groupbook.kit.ids import CodeId
from groupbook.kit.money import Money, divide


@dataclass(frozen=True)
class OfferedCode:
    """One code put before the engine: there it is (rule, owner), and `by` in the answer."""

    code_id: CodeId
    text: str
    rule: str
    owner: str
    is_own: bool  # its rule touches the owner's line only

    @property
    def by(self) -> str:
        return f"code@{self.owner}"


@dataclass(frozen=True)
class Offered:
    """What the engine may use; `quota` limits a rule where more people hold a code than it has uses left."""

    codes: tuple[OfferedCode, ...]
    quota: tuple[tuple[str, int], ...]


def offered_codes(
    travelers: Sequence[PartyTraveler], stated: Mapping[UUID, Entitlements], catalogue: Catalogue
) -> Offered:
    """The usable codes of this party whose rule is in the catalogue of the day; one per person and rule.

    A code with fewer uses left than holders is the optimum's to give, as a quota of its rule. Where that cannot say it
    (a rule with several codes here, an order's rule), it is the first holders' in the party's order.
    """
    rules = {id: rule for id, rule in catalogue.executable.items() if rule.trigger.code}
    wanted: dict[tuple[str, str], HeldCode] = {}
    for one in travelers:
        for code in stated[one.subject].codes:
            if code.state is CodeState.USABLE and code.rule in rules:
                wanted.setdefault((code.rule, one.subject.hex), code)
    holders = Counter(code.id for code in wanted.values())
    sharing = Counter(rule for rule, _ in {(code.rule, code.id) for code in wanted.values()})
    offered, quota = [], dict[str, int]()
    given = Counter[CodeId]()
    for (rule, owner), code in wanted.items():
        if code.uses_left is not None and code.uses_left < holders[code.id]:
            if sharing[rule] == 1 and not isinstance(rules[rule], OrderRule):
                quota[f"rule:{rule}"] = code.uses_left
            elif given[code.id] >= code.uses_left:
                continue
        given[code.id] += 1
        offered.append(OfferedCode(code.id, code.text, rule, owner, isinstance(rules[rule], SelfRule)))
    return Offered(tuple(offered), tuple(sorted(quota.items())))


def used_codes(priced: Priced, offered: Offered) -> list[tuple[str, CodeUse]]:
    """The codes that moved this price, by their owners, each with what it took off; several of one order's rule share
    that equally.
    """
    applied = {(one.rule, one.by) for one in priced.applications}
    own = {(what, id) for id, person in priced.people.items() for what, _ in person.lines}
    used = [
        one for one in offered.codes if ((one.rule, one.owner) in own if one.is_own else (one.rule, one.by) in applied)
    ]
    shares: dict[str, list[Money]] = {}
    for rule, number in Counter(one.rule for one in used if not one.is_own).items():
        shares[rule] = divide(_taken_off(priced, rule, priced.people), [1] * number)
    return [
        (
            one.owner,
            CodeUse(
                one.code_id,
                one.rule,
                _taken_off(priced, one.rule, [one.owner]) if one.is_own else shares[one.rule].pop(0),
            ),
        )
        for one in used
    ]


def _taken_off(priced: Priced, rule: str, people: Iterable[str]) -> Money:
    """What a rule saved these people. Never below nothing: a fare that only a code opens has no price to compare."""
    saved = -sum(delta for id in people for what, delta in priced.people[id].lines if what == rule)
    return Money(max(0, saved), priced.currency)
