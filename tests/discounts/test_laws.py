"""Laws of the engine on random parties: it agrees with the twin, adds up, is fair, and proves what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from groupbook.discounts.engine import Case as Read
from groupbook.discounts.engine import Priced, optimum, parse_case, price
from groupbook.discounts.engine.check import verify
from groupbook.discounts.engine.errors import ProofBroken
from tests.discounts.compare import PARSED, comparable, engine_answer, twin_answer
from tests.discounts.parties import CATALOGUES, Case, card_types, cases, without_extras

# The same parties every time: a law that fails, fails for everybody. `python -m tests.discounts.compare` looks further.
settings.register_profile("laws", derandomize=True, database=None, deadline=None)
LAWS = settings.get_profile("laws")


def read(case: Case) -> Read:
    return parse_case(without_extras(case), PARSED[case["catalogue"]])


def rules_of(case: Case) -> list[dict[str, Any]]:
    return [CATALOGUES[case["catalogue"]][id] for id in case["rules"]]


def looks_at_what_is_held(case: Case) -> bool:
    """A rule that a further card can take away; or one whose discount hangs on how a pooled price was shared."""
    whos = [role.get("who", {}) for rule in rules_of(case) for role in rule.get("roles", [])]
    return any("holds_none" in who for who in whos) or shares_are_counted(case)


def shares_are_counted(case: Case) -> bool:
    """The cheapest line is free and a line may be a share of a pool: the total then depends on who is asked first."""
    rules = rules_of(case)
    free = any("cheapest_free_per" in rule.get("order", {}) for rule in rules)
    return free and any("pool" in rule for rule in rules)


# --- the twin --------------------------------------------------------------------------------------------------------


@settings(LAWS, max_examples=200)
@given(cases(least=2))
def test_the_total_is_that_of_the_twin(case: Case) -> None:
    total = twin_answer(case, full=False)
    assert engine_answer(case, full=False) == total
    assert optimum(read(case)).total == total


@settings(LAWS, max_examples=80)
@given(cases(most=4, plain=True))
def test_the_whole_answer_is_that_of_the_twin(case: Case) -> None:
    assert comparable(engine_answer(case, full=True), case) == comparable(twin_answer(case, full=True), case)


# --- what holds of every answer --------------------------------------------------------------------------------------


@settings(LAWS, max_examples=80)
@given(cases(most=8))
def test_lines_add_up_and_nobody_pays_more_than_alone(case: Case) -> None:
    priced = price(read(case))
    for id, one in priced.people.items():
        assert sum(delta for _, delta in one.lines) == one.pay, id
        assert 0 <= one.pay <= one.alone, id
    assert sum(one.pay for one in priced.people.values()) == priced.total
    assert sum(one.face for one in priced.people.values()) == priced.total
    assert all(more >= 0 for _, _, more in priced.unused)
    named = [(rule, by) for rule, by, _ in (*priced.rejected, *priced.unused)]
    assert len(set(named)) == len(named)
    assert set(named).isdisjoint((one.rule, one.by) for one in priced.applications)


@settings(LAWS, max_examples=40)
@given(cases(most=6))
def test_twice_is_once(case: Case) -> None:
    assert price(read(case)) == price(read(case))


@settings(LAWS, max_examples=80)
@given(cases(most=5), st.data())
def test_a_further_card_never_makes_the_party_dearer(case: Case, data: st.DataObject) -> None:
    assume(not looks_at_what_is_held(case))
    types = card_types(CATALOGUES[case["catalogue"]], case["rules"])
    assume(types)
    type = data.draw(st.sampled_from(types))
    place = data.draw(st.integers(0, len(case["travellers"]) - 1))
    people = [dict(one) for one in case["travellers"]]
    people[place]["cards"] = [*people[place]["cards"], {"type": type, "id": "another"}]
    assert optimum(read({**case, "travellers": people})).total <= optimum(read(case)).total


def test_a_card_can_make_a_swiss_group_dearer() -> None:
    """The known exception: at 20 the group halves the fare of who has no Halbtax, and one rounding is less than two.

    10.05 less 65 % is 3.5175, to 3.50. With the card: half is 5.025, to 5.05; less 30 % is 3.535, to 3.55.
    """
    trip = {"date": "2026-11-24", "depart": "10:00", "days_before": 5}
    people = [{"id": f"p{number}", "age": 20, "cards": [], "fares": {"full": 1005}} for number in range(10)]
    case = {"id": "ch", "catalogue": "real", "currency": "CHF", "trip": trip, "travellers": people}
    case["rules"] = ["ch.halbtax", "ch.group"]
    assert optimum(read(case)).total == 10 * 350
    richer = [{**people[0], "cards": [{"type": "ch.halbtax"}]}, *people[1:]]
    assert optimum(read({**case, "travellers": richer})).total == 9 * 350 + 355


@settings(LAWS, max_examples=60)
@given(cases(most=5), st.randoms(use_true_random=False))
def test_who_is_asked_first_changes_no_total(case: Case, random: Any) -> None:
    """Nor what anybody pays alone, nor how many are bound to others in how many applications."""
    assume(not shares_are_counted(case))
    people = random.sample(case["travellers"], len(case["travellers"]))
    one, other = (price(read(each)) for each in (case, {**case, "travellers": people}))
    assert one.total == other.total
    assert {id: person.alone for id, person in one.people.items()} == {
        id: person.alone for id, person in other.people.items()
    }
    assert _bound(one) == _bound(other)


def _bound(priced: Priced) -> tuple[int, int]:
    joint = [one for one in priced.applications if one.members]
    return sum(len(one.members) for one in joint), len(joint)


@settings(LAWS, max_examples=40)
@given(cases(most=5), st.randoms(use_true_random=False))
def test_the_order_of_the_rules_changes_nothing(case: Case, random: Any) -> None:
    turned = {**case, "rules": random.sample(case["rules"], len(case["rules"]))}
    assert engine_answer(case, full=True) == engine_answer(turned, full=True)


# --- proofs ----------------------------------------------------------------------------------------------------------


@settings(LAWS, max_examples=60)
@given(cases(most=6))
def test_every_proof_holds(case: Case) -> None:
    priced = price(read(case))
    assert priced.proof.optimal
    verify(read(case), priced)


@settings(LAWS, max_examples=40)
@given(cases(least=2, most=5, orders=False))
def test_a_proof_with_other_numbers_is_refused(case: Case) -> None:
    priced = price(read(case))
    proof = priced.proof
    assume(priced.total > 2 * proof.granularity)
    broken = {
        "a bound above the total": replace(proof, bound=proof.bound + proof.granularity),
        "a bound below, called optimal": replace(proof, bound=proof.bound - proof.granularity),
        "an optimum called a guess": replace(proof, optimal=False),
        "half of every price": replace(proof, scale=2 * proof.scale),
        "no plan": replace(proof, plans=()),
        "a plan too many": replace(proof, plans=proof.plans * 2),
    }
    assert [name for name, other in broken.items() if not is_refused(case, replace(priced, proof=other))] == []


def is_refused(case: Case, priced: Priced) -> bool:
    try:
        verify(read(case), priced)
    except ProofBroken:
        return True
    return False


@settings(LAWS, max_examples=20, suppress_health_check=[HealthCheck.filter_too_much])
@given(cases(least=2, most=5, orders=False), st.data())
def test_a_dearer_answer_cannot_be_proven(case: Case, data: st.DataObject) -> None:
    """What is right for the party with one rule less is wrong for the party, whatever its own proof says."""
    assume(len(case["rules"]) > 1)
    left_out = data.draw(st.sampled_from(case["rules"]))
    poorer = price(read({**case, "rules": [id for id in case["rules"] if id != left_out]}), explain=False)
    assume(poorer.total > optimum(read(case)).total)
    assert is_refused(case, poorer)
