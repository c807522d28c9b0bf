"""What is wrong with a merchant's rules, or strange in them, in a sentence: for the dashboard and the API's `detail`.

The pointer says where; the sentence says what, and where it is short, how to put it right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from groupbook.discounts import Finding, Problem
from groupbook.kit.i18n import Words


def place_text(found: Problem | Finding, say: Words) -> str:
    """One sentence for one place of a catalogue or of a made-up party."""
    if isinstance(found, Finding):
        return _strange(found, say)
    return _shape(found, say) or _contradiction(found, say) or (found.detail or found.code.replace("_", " "))


# --- refused --------------------------------------------------------------------------------------------------------


def _shape(found: Problem, say: Words) -> str | None:
    """A field of the wrong kind, in the words of JSON."""
    name, code, number = found.pointer.rpartition("/")[2], found.code, _number(found.detail)
    if code == "extra_forbidden":
        return say("There is no field “%(name)s” here.", name=name)
    if code == "missing":
        return say("The field “%(name)s” is missing.", name=name)
    if code in ("greater_than_equal", "greater_than"):
        return say("This number is too small: %(number)s is the least.", number=number)
    if code in ("less_than_equal", "less_than"):
        return say("This number is too large: %(number)s is the most.", number=number)
    if code in ("too_long", "string_too_long"):
        return say("This is too long: %(number)s is the most.", number=number)
    if code in ("too_short", "string_too_short"):
        return say("This is too short or empty.")
    if code == "literal_error":
        return say("Only certain words are known here: %(words)s.", words=_after_be(found.detail))
    if code in ("union_tag_invalid", "union_tag_not_found"):
        return say("The “scope” of a rule is self, joint or order.")
    return {
        "int_type": say("This has to be a whole number, without quotes."),
        "int_from_float": say("This has to be a whole number, without a fraction."),
        "int_parsing": say("This has to be a whole number, without quotes."),
        "bool_type": say("This has to be true or false, without quotes."),
        "string_type": say("This has to be a text in quotes."),
        "string_pattern_mismatch": say("This text is not written as it has to be here."),
        "tuple_type": say("This has to be a list in square brackets."),
        "list_type": say("This has to be a list in square brackets."),
        "mapping_type": say("This has to be an object in braces."),
        "dict_type": say("This has to be an object in braces."),
        "model_type": say("This has to be an object in braces."),
        "model_attributes_type": say("This has to be an object in braces."),
        "date_type": say("This has to be a date: 2026-12-31."),
        "date_parsing": say("This has to be a date: 2026-12-31."),
        "date_from_datetime_parsing": say("This has to be a date: 2026-12-31."),
        "date_from_datetime_inexact": say("This has to be a date without a time: 2026-12-31."),
        "too_deep": say("This is nested too deeply."),
    }.get(code)


def _contradiction(found: Problem, say: Words) -> str | None:
    """A rule or a party that contradicts itself, or that cannot be priced exactly."""
    about = (found.detail or "").rpartition(" ")[2]
    return {
        "clause_without_test": say("A condition on a fact needs a comparison, and no any, all or not beside it."),
        "clause_shape": say("A condition names a fact, or is exactly one of any, all and not."),
        "clause_age": say("Only party_count takes an age range."),
        "clause_empty": say("An empty any or all says nothing."),
        "effect_count": say("Exactly one effect is needed: bp, off, price, free, none or one of the tables."),
        "trigger_count": say("A rule has exactly one trigger: public, card or code."),
        "min_above_max": say("The minimum is above the maximum."),
        "anchor_capacity": say("An anchor, and only an anchor, says how many it brings (capacity)."),
        "pay_not_below_n": say("“pay” has to be less than “n”, or nobody travels free."),
        "personal_by_size": say("A rule for one person cannot depend on the size of a group."),
        "role_twice": say("Two roles have the same name."),
        "role_unknown": say("There is no role “%(role)s” in this rule.", role=about),
        "order_effect_count": say("A rule on the order needs exactly one of bp, off and cheapest_free_per."),
        "id_twice": say("Two rules have the id “%(id)s”.", id=about),
        "party_maximum_unsupported": say(
            "A right that ends when more people join cannot be promised: somebody could pay more than alone."
        ),
        "anchor_shape_unsupported": say(
            "An anchored rule has one anchor and brings people one by one: no size, pool or gate, and a maximum of 1."
        ),
        "fare_missing": say("Everybody needs a fare."),
        "traveler_twice": say("Two travelers have the same name."),
        "unknown_rule": say("This rule is not among the rules that are tried."),
        "unknown_owner": say("Nobody of this name is in the party."),
    }.get(found.code)


def _number(detail: str | None) -> str:
    found = re.findall(r"-?\d+", detail or "")
    return found[0] if found else ""


def _after_be(detail: str | None) -> str:
    return (detail or "").partition(" be ")[2].replace("'", "")


# --- strange, and stored all the same -------------------------------------------------------------------------------


def _strange(found: Finding, say: Words) -> str:
    facts = found.facts
    for part in (_meeting, _time, _people, _prices):
        text = part(found.code, facts, say)
        if text is not None:
            return text
    return found.code.replace("_", " ")


def _meeting(code: str, facts: Mapping[str, str | int], say: Words) -> str | None:
    match code:
        case "stacking_one_sided":
            return say(
                "It lists the class %(class)s, but %(other)s of that class does not list %(own)s: they never meet.",
                **facts,
            )
        case "class_unknown":
            return say("No rule has the class %(class)s.", **facts)
        case "promo_both_ways":
            return say("It lists the class promo and forbids it by no_promo.")
        case "same_rule":
            return say("It does exactly what %(other)s does.", **facts)
        case "no_family":
            return say("It takes no fare family, so it never counts.")
        case "gates_every_family":
            return say("It is a gate without named families: no fare can be bought outside it.")
        case "family_not_taken":
            return say("The rule does not take the family %(family)s, so this never counts.", **facts)
        case "family_unknown":
            return say("No rule takes a family called %(family)s. Is it misspelt?", **facts)
        case "family_without_rate":
            return say("The rule takes the family %(family)s and gives it nothing.", **facts)
    return None


def _time(code: str, facts: Mapping[str, str | int], say: Words) -> str | None:
    match code:
        case "period_empty":
            return say("It ends before it begins.")
        case "period_over":
            return say("It ended on %(to)s, before this version starts.", **facts)
        case "other_currency":
            return say("It is for %(currency)s, and you sell in %(merchant)s.", **facts)
        case "fact_unknown":
            return say("There is no fact called %(fact)s, so this never holds.", **facts)
        case "not_a_time":
            return say("“%(value)s” is no time: write 09:30, with two digits for the hour.", **facts)
        case "not_a_day":
            return say("“%(value)s” is no date: write 2026-12-31.", **facts)
        case "value_never":
            return say("%(fact)s is never “%(value)s”.", **facts)
        case "condition_never_true":
            return say("This condition on %(fact)s can never hold.", **facts)
        case "conditions_contradict":
            return say("These conditions contradict each other: they never hold together.")
        case "conditions_contradict_rule":
            return say("These conditions contradict those of the rule: they never hold together.")
    return None


def _people(code: str, facts: Mapping[str, str | int], say: Words) -> str | None:
    match code:
        case "role_empty":
            return say("Nobody can take the role %(role)s: its maximum is 0.", **facts)
        case "holder_without_card":
            return say("The role %(role)s is for a card holder, and no card triggers the rule.", **facts)
        case "capacity_too_small":
            return say("The anchor brings %(capacity)s of the role %(role)s, which is too few.", **facts)
        case "age_crossed":
            return say("The ages run from %(from)s to %(to)s: nobody is that old.", **facts)
        case "who_contradicts":
            return say("Nobody can be this: it asks for something and forbids it.")
        case "size_crossed":
            return say("The least size %(min)s is above the greatest, %(max)s.", **facts)
        case "size_out_of_reach":
            return say("A size of %(min)s is needed, and the roles take %(most)s people.", **facts)
        case "size_too_small":
            return say("At most %(max)s people may be counted, and the roles need %(least)s.", **facts)
        case "step_out_of_reach":
            return say("The step at %(size)s people is never reached: at most %(most)s are counted.", **facts)
        case "bundle_gap":
            return say("There is no price for %(payers)s payers, though the roles allow them.", **facts)
        case "bundle_never":
            return say("There are never “%(payers)s” payers.", **facts)
        case "pool_out_of_reach":
            return say("%(n)s people are needed, and the roles take %(most)s.", **facts)
    return None


def _prices(code: str, facts: Mapping[str, str | int], say: Words) -> str | None:
    match code:
        case "no_discount":
            return say("It lowers no price.")
        case "floor_above_cap":
            return say("The floor of %(floor)s is above the cap of %(cap)s.", **facts)
        case "floor_above_price":
            return say("The floor of %(floor)s is above the price of %(price)s, which is never reached.", **facts)
        case "limit_idle":
            return say("max_off is not below off, so it limits nothing.")
        case "code_without_limit":
            return say("A code that takes off a share has no greatest amount (max_off).")
        case "code_without_end":
            return say("The code never ends: give it a last day (valid, to).")
    return None
