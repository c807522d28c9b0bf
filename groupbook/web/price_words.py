"""A price in plain words, for the one who pays it: where each cent comes from, what did not count, and why.

Codes of `discounts` become sentences here. What a price is told of is decided there: a line that somebody else's card
brings has no name, and refusals are one's own. Sentences begin with what they are about, so that they hold in every
language whatever a merchant calls a card.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from groupbook.discounts.domain import Line, Refusal, RuleName, Unused
from groupbook.kit.i18n import Words, format_money, format_names
from groupbook.kit.money import Money
from groupbook.web.views import LineView, ToldPrice


@dataclass(frozen=True)
class RuleNames:
    """The merchant's own names: of rules by their id, of cards by their type."""

    rules: Mapping[str, RuleName]
    cards: Mapping[str, str]

    def rule(self, id: str, say: Words) -> str:
        known = self.rules.get(id)
        return known.title if known is not None and known.title else say("A discount")

    def subject(self, by: str, rule: str, say: Words) -> str:
        """What a refusal is about, at the beginning of its sentence."""
        if by == "public":
            return self.rule(rule, say)
        if by in self.cards:
            return say("Your %(card)s", card=self.cards[by])
        return say("Your code %(code)s", code=by)


class Priced(Protocol):
    """One person's price, live or as a quote kept it."""

    @property
    def pay(self) -> Money: ...
    @property
    def lines(self) -> tuple[Line, ...]: ...
    @property
    def refusals(self) -> tuple[Refusal, ...]: ...
    @property
    def unused(self) -> tuple[Unused, ...]: ...


def told(price: Priced, names: RuleNames, say: Words, *, people: int, proof: str) -> ToldPrice:
    """Everything that may be told of one's own price, in a party of so many."""
    return ToldPrice(
        savings=savings(price.lines, names, say),
        lines=sum_lines(price.lines, price.pay, names, say),
        not_used=not_used(price.lines, price.refusals, price.unused, names, say, people=people),
        proof=proof,
    )


# --- the sum --------------------------------------------------------------------------------------------------------


def sum_lines(lines: Iterable[Line], pay: Money, names: RuleNames, say: Words) -> list[LineView]:
    """The price as a sum: each step by its name, and the end."""
    views = [LineView(_label(line, names, say), line.delta, "off" if line.delta.minor < 0 else "") for line in lines]
    return [*views, LineView(say("You pay"), pay, "total")] if len(views) > 1 else views


def _label(line: Line, names: RuleNames, say: Words) -> str:
    if line.what.startswith("fare:"):
        return _fare(line.what.removeprefix("fare:"), say)
    if line.what == "settle":
        return say("Shared evenly, so that nobody pays more than alone")
    if line.kind == "company":
        return say("Traveling together")
    if line.kind == "shared_code":
        return say("A code of your group")
    return names.rule(line.what, say)


def _fare(family: str, say: Words) -> str:
    known = {"saver": say("Saver fare"), "flex": say("Flexible fare"), "standard": say("Standard fare")}
    return known.get(family, say("Fare %(family)s", family=family))


# --- what saves -----------------------------------------------------------------------------------------------------


def savings(lines: Sequence[Line], names: RuleNames, say: Words) -> list[str]:
    """What each step saves, one sentence each; the second saving of a kind that adds up is told as another one."""
    sentences: list[str] = []
    is_more = False
    for line in lines:
        if line.what.startswith("fare:") or line.delta.minor == 0:
            continue
        sentences.append(_saving(line, names, say, is_more=is_more))
        is_more = is_more or (line.delta.minor < 0 and line.what != "settle")
    return sentences


def _saving(line: Line, names: RuleNames, say: Words, *, is_more: bool) -> str:
    name = names.rule(line.what, say)
    amount = format_money(Money(abs(line.delta.minor), line.delta.currency), say.locale)
    if line.what == "settle":
        return _evened_out(line, amount, say)
    if line.delta.minor > 0:
        return say("%(name)s adds %(amount)s.", name=name, amount=amount)
    if line.kind == "company" or (line.others and line.kind in ("group", "flat")):
        return _together(line, name, amount, say, is_more=is_more)
    if line.kind == "card":
        if is_more:
            return say("Your %(card)s saves another %(amount)s.", card=name, amount=amount)
        return say("Your %(card)s saves %(amount)s.", card=name, amount=amount)
    if line.kind == "code":
        return say("Your code saves %(amount)s (%(name)s).", name=name, amount=amount)
    if line.kind == "shared_code":
        return say("A code of your group saves %(amount)s.", amount=amount)
    if is_more:
        return say("%(name)s saves another %(amount)s.", name=name, amount=amount)
    return say("%(name)s saves %(amount)s.", name=name, amount=amount)


def _evened_out(line: Line, amount: str, say: Words) -> str:
    if line.delta.minor < 0:
        return say("The group gives you %(amount)s of its saving, so that you pay no more than alone.", amount=amount)
    return say("You give %(amount)s of your saving, so that nobody pays more than alone.", amount=amount)


def _together(line: Line, name: str, amount: str, say: Words, *, is_more: bool) -> str:
    num = max(1, line.others)
    if line.kind == "flat":
        return say.many(
            "%(name)s, shared with %(num)s friend, saves %(amount)s.",
            "%(name)s, shared with %(num)s friends, saves %(amount)s.",
            num,
            name=name,
            amount=amount,
        )
    if line.kind == "group":
        return _as_a_group(num, name, amount, say, is_more=is_more)
    if is_more:
        return say.many(
            "Traveling with %(num)s friend saves another %(amount)s.",
            "Traveling with %(num)s friends saves another %(amount)s.",
            num,
            amount=amount,
        )
    return say.many(
        "Traveling with %(num)s friend saves %(amount)s.",
        "Traveling with %(num)s friends saves %(amount)s.",
        num,
        amount=amount,
    )


def _as_a_group(num: int, name: str, amount: str, say: Words, *, is_more: bool) -> str:
    if is_more:
        return say.many(
            "Traveling with %(num)s friend saves another %(amount)s (%(name)s).",
            "Traveling with %(num)s friends saves another %(amount)s (%(name)s).",
            num,
            name=name,
            amount=amount,
        )
    return say.many(
        "Traveling with %(num)s friend saves %(amount)s (%(name)s).",
        "Traveling with %(num)s friends saves %(amount)s (%(name)s).",
        num,
        name=name,
        amount=amount,
    )


# --- what did not count ---------------------------------------------------------------------------------------------


def not_used(
    lines: Iterable[Line],
    refusals: Iterable[Refusal],
    unused: Iterable[Unused],
    names: RuleNames,
    say: Words,
    *,
    people: int,
) -> list[str]:
    """Why a card or code of one's own did not count, and what using it would cost. Each card is told once."""
    helped = {line.what for line in lines}
    found: dict[str, str] = {}
    for spare in unused:
        if not _helps(spare.by, helped, names):
            found.setdefault(spare.by, unused_text(spare, names, say, people=people))
    for refusal in refusals:
        if not _helps(refusal.by, helped, names):
            found.setdefault(refusal.by, reason_text(refusal.reason, names.subject(refusal.by, refusal.rule, say), say))
    return list(found.values())


def _helps(by: str, helped: set[str], names: RuleNames) -> bool:
    """One card may have several rules; when one of them counts, nobody needs to hear of the others."""
    return any(by in names.rules[what].cards for what in helped if what in names.rules)


def unused_text(spare: Unused, names: RuleNames, say: Words, *, people: int) -> str:
    """A lawful discount that was not used: what using it instead would cost."""
    what = names.subject(spare.by, spare.rule, say)
    amount = format_money(spare.dearer, say.locale)
    if spare.clashes_with is not None:
        other = names.rule(spare.clashes_with, say)
        if spare.dearer.minor == 0:
            return say(
                "%(what)s cannot be combined with %(other)s; using it instead makes no difference.",
                what=what,
                other=other,
            )
        if people > 1:
            return say(
                "%(what)s cannot be combined with %(other)s; using it instead would cost the group %(amount)s more.",
                what=what,
                other=other,
                amount=amount,
            )
        return say(
            "%(what)s cannot be combined with %(other)s; using it instead would cost %(amount)s more.",
            what=what,
            other=other,
            amount=amount,
        )
    if spare.dearer.minor == 0:
        return say("%(what)s: using it instead makes no difference.", what=what)
    if people > 1:
        return say("%(what)s: using it instead would cost the group %(amount)s more.", what=what, amount=amount)
    return say("%(what)s: using it instead would cost %(amount)s more.", what=what, amount=amount)


def reason_text(reason: str, what: str, say: Words) -> str:
    """Why a card, code or offer did not count. A merchant's own reason is told as not applying; no code is shown."""
    texts = {
        "time_window": say("%(what)s is not valid at this time of day.", what=what),
        "weekend_condition": say("%(what)s needs a weekend on the trip.", what=what),
        "not_in_force": say("%(what)s is not offered on this date.", what=what),
        "advance_purchase": say("%(what)s must be booked longer in advance.", what=what),
        "area": say("%(what)s does not cover this area.", what=what),
        "route": say("%(what)s does not cover this route.", what=what),
        "operator": say("%(what)s does not count with this company.", what=what),
        "product_excluded": say("%(what)s does not count for this kind of ticket.", what=what),
        "class_of_service": say("%(what)s does not count in this class.", what=what),
        "card_class": say("%(what)s is for another class.", what=what),
        "card_expired": say("%(what)s has expired by then.", what=what),
        "card_not_started": say("%(what)s is not valid yet on that day.", what=what),
        "holder_ineligible": say("%(what)s does not fit your age or your situation.", what=what),
        "child_fare_not_discounted": say("%(what)s does not lower a child fare any further.", what=what),
        "not_first_order": say("%(what)s is for a first order only.", what=what),
        "group_size": say("%(what)s does not fit the size of your group.", what=what),
        "fare_family": say("%(what)s does not count with this kind of fare.", what=what),
        "no_saving": say("%(what)s saves nothing here.", what=what),
        "not_travelling_together": say("%(what)s needs everybody on the same train.", what=what),
        "return_too_late": say("%(what)s needs an earlier return.", what=what),
        "min_basket": say("%(what)s needs a larger order.", what=what),
        "composition": say("%(what)s does not fit who is in your group.", what=what),
        "currency": say("%(what)s is for another currency.", what=what),
        "missing_holder": say("%(what)s needs everybody named on it to travel.", what=what),
        "missing_anchor": say("%(what)s needs somebody to go with who is not in your group.", what=what),
        "missing_adult": say("%(what)s needs more grown-ups in the group.", what=what),
        "missing_child": say("%(what)s needs a child in the group.", what=what),
        "missing_companion": say("%(what)s needs somebody who travels with you.", what=what),
        "missing_infant": say("%(what)s needs a small child in the group.", what=what),
        "missing_parent": say("%(what)s needs a parent in the group.", what=what),
        "missing_young": say("%(what)s needs young people in the group.", what=what),
        "missing_youth": say("%(what)s needs young people in the group.", what=what),
    }
    if reason in texts:
        return texts[reason]
    if reason.startswith("missing_"):
        return say("%(what)s needs more people in the group.", what=what)
    return say("%(what)s does not apply to this trip.", what=what)


def proof_text(*, is_proven: bool, bound: Money | None, say: Words) -> str:
    """Whether the price is the lowest there is; empty for a supplier's price, which claims nothing."""
    if is_proven:
        return say("No cheaper lawful combination exists.")
    if bound is None:
        return ""
    return say(
        "This price follows all the rules, but it is not proven to be the lowest. None can be below %(bound)s "
        "for the group.",
        bound=format_money(bound, say.locale),
    )


# --- how a price moves ----------------------------------------------------------------------------------------------


def moved_text(joined: Sequence[str], left: Sequence[str], before: Money, after: Money, say: Words) -> str:
    """Who came and went, and what that did to the reader's price. Without names where they are private."""
    parts, locale = [], say.locale
    if joined:
        parts.append(say.many("%(names)s joined", "%(names)s joined", len(joined), names=format_names(joined, locale)))
    if left:
        names = format_names(left, locale)
        parts.append(
            say.many("%(names)s is no longer coming", "%(names)s are no longer coming", len(left), names=names)
        )
    return say(
        "%(what)s: your price went from %(before)s to %(after)s.",
        what=", ".join(parts) or say("The group has changed"),
        before=format_money(before, say.locale),
        after=format_money(after, say.locale),
    )


def reach_text(num: int, now: Money, then: Money, saving: Money, say: Words) -> str:
    """How far the next step of the group is, and what it brings."""
    if then.minor >= now.minor:
        saved = format_money(saving, say.locale)
        return say.many(
            "One more friend and your group saves %(saving)s.",
            "%(num)s more friends and your group saves %(saving)s.",
            num,
            saving=saved,
        )
    less, today = format_money(then, say.locale), format_money(now, say.locale)
    return say.many(
        "One more friend and you pay %(less)s instead of %(today)s.",
        "%(num)s more friends and you pay %(less)s instead of %(today)s.",
        num,
        less=less,
        today=today,
    )


def with_you_text(others_more: Money, say: Words) -> str:
    """What somebody's coming does to the others, together."""
    amount = format_money(Money(abs(others_more.minor), others_more.currency), say.locale)
    if others_more.minor > 0:
        return say("With you the others pay %(amount)s less together.", amount=amount)
    if others_more.minor < 0:
        return say("With you the others pay %(amount)s more together.", amount=amount)
    return say("For the others nothing changes.")


def without_you_text(others_more: Money, say: Words) -> str:
    """What somebody's going does to the others, together."""
    amount = format_money(Money(abs(others_more.minor), others_more.currency), say.locale)
    if others_more.minor > 0:
        return say("Without you the others pay %(amount)s more together.", amount=amount)
    if others_more.minor < 0:
        return say("Without you the others pay %(amount)s less together.", amount=amount)
    return say("For the others nothing changes.")


def reckoning_text(total: Money, then: Money, people_then: int, *, is_quote: bool, say: Words) -> str:
    """What the group's total was, at the last quote or at the decision, and how far it has moved."""
    before = format_money(then, say.locale)
    before_text = (
        say.many(
            "The last quote was %(total)s for %(num)s person.",
            "The last quote was %(total)s for %(num)s people.",
            people_then,
            total=before,
        )
        if is_quote
        else say.many(
            "When it was decided it was %(total)s for %(num)s person.",
            "When it was decided it was %(total)s for %(num)s people.",
            people_then,
            total=before,
        )
    )
    amount = format_money(Money(abs(total.minor - then.minor), total.currency), say.locale)
    if total.minor > then.minor:
        return before_text + " " + say("That is %(amount)s more now.", amount=amount)
    if total.minor < then.minor:
        return before_text + " " + say("That is %(amount)s less now.", amount=amount)
    return before_text + " " + say("Nothing has changed.")


def whole_group_text(total: Money, say: Words) -> str:
    return say("All of you together would pay %(amount)s.", amount=format_money(total, say.locale))
