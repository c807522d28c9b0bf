"""The checker: proofs made by hand hold; what can be wrong with an answer or a proof is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from groupbook.discounts.engine import (
    Application,
    Case,
    Certificate,
    PersonResult,
    Priced,
    parse_case,
    parse_catalogue,
    price,
)
from groupbook.discounts.engine.check import verify
from groupbook.discounts.engine.errors import ProofBroken
from groupbook.discounts.engine.proof import Branch, Feature, Leaf, Plan, Tree, parse_certificate
from tests.discounts.parties import CATALOGUES, DATA

CATALOGUE = parse_catalogue({"rules": list(CATALOGUES["real"].values())})
PUBLIC = {
    case["id"]: case for case in map(json.loads, (DATA / "discount-cases-public.jsonl").read_text("utf-8").splitlines())
}
CODE = ("shop.fix20-min100", "a")


def _case(id: str) -> Case:
    return parse_case(PUBLIC[id], CATALOGUE)


def _answer(id: str, proof: Certificate) -> Priced:
    """The worked answer of a public case, with a proof of our own."""
    expected = PUBLIC[id]["expected"]
    people = {
        name: PersonResult(**{**one, "lines": tuple((what, delta) for what, delta in one["lines"])})
        for name, one in expected["people"].items()
    }
    applications = tuple(
        Application(rule, by, tuple(members), anchor) for rule, by, members, anchor in expected["applications"]
    )
    return Priced(id, PUBLIC[id]["currency"], expected["total"], people, applications, (), (), proof)


def _one(bound: int, tree: Tree | None, *, scale: int = 1, granularity: int = 1) -> Certificate:
    return Certificate(True, bound, scale, granularity, (Plan((), tree),))


# Six people at 25.00 and a flat ticket of 19.00 + 10.00 each for up to five. One ticket saves at most 56.00; of two or
# more, each costs 19.00 and everybody in it 10.00.
ONE_TICKET = Leaf((2500,) * 6, branches=(-5600,))
TWO_TICKETS = Leaf((1000,) * 6, branches=(1900,))
SLOT = ("slot", "uk.dprc-companion", "uk.dprc@ana", "0", "companion")

HAND: dict[str, Certificate] = {
    # Everybody on a ticket of their own: each person's price is what they pay.
    "P02": _one(4380, Leaf((1200, 1200, 1980))),
    # 59.40 for three; ana would not give more than the 15.00 that she pays alone.
    "P10": _one(5940, Leaf((1500, 2220, 2220)), granularity=5),
    "P10 by seats": _one(
        5940,
        Branch(
            Feature("uk.groupsave", seats=True, role="adult", people=(0, 1, 2), ticket=("offpeak", "uk.groupsave")),
            2,
            # Fewer than three cannot sit in a group: 75.00 apart, less what two seats could save at most.
            Leaf((1500, 3000, 3000), branches=(-520,)),
            Leaf((1500, 2220, 2220), branches=(0,)),
        ),
    ),
    # One slot for two friends: its price is what the one who does not get it would have saved.
    "P16": _one(9740, Leaf((2970, 3800, 4265), ((SLOT, 1295),))),
    "P32": _one(9400, Branch(Feature("db.bayern-ticket"), 1, ONE_TICKET, TWO_TICKETS)),
    "P37": _one(21000, Leaf((3500, 3500, 3500, 3500, 1750, 1750, 0, 1750, 1750, 0)), granularity=50),
    "P42": _one(
        18000,
        Branch(
            Feature("it.speciale-3x2", sizes=(3, 3), pivot=6000),
            1,
            Leaf((6000,) * 4, branches=(-6000,)),
            Leaf((0,) * 4, branches=(12000,)),
        ),
    ),
    # Fractions, over a scale: the seat's price may be anything between what the two would save by it.
    "P47": _one(
        3780,
        Leaf(
            (
                3 * 1980,
                8402,
            ),
            ((("quota", "advance"), 3 * 1000 + 2),),
        ),
        scale=3,
    ),
    # With the code, what is bought up to 100.00 costs nothing more; then 20.00 come off.
    "P43": Certificate(
        True, 8000, 1, 1, (Plan((), Leaf((4800, 4800))), Plan((CODE,), Leaf((0, 0), pieces=(0, 1), basket=(1,))))
    ),
}


@pytest.mark.parametrize("id", HAND)
def test_a_proof_made_by_hand_holds(id: str) -> None:
    verify(_case(id[:3]), _answer(id[:3], HAND[id]))


@pytest.mark.parametrize("id", PUBLIC)
def test_the_engines_answer_and_proof_hold(id: str) -> None:
    """Also after a journey as JSON."""
    case = _case(id)
    priced = price(case, explain=False)
    verify(case, replace(priced, proof=parse_certificate(json.loads(json.dumps(priced.proof.as_document())))))


def test_a_bound_below_the_total_is_a_proof_that_does_not_call_itself_optimal() -> None:
    priced = _answer("P10", replace(HAND["P10"], optimal=False, bound=5935))
    verify(_case("P10"), priced)
    _refused("P10", replace(priced, proof=replace(priced.proof, optimal=True)), "optimal")


def test_prices_in_steps_round_a_bound_up() -> None:
    """59.39 is proven, and every total is a multiple of 0.05."""
    verify(_case("P10"), _answer("P10", _one(5940, Leaf((1499, 2220, 2220)), granularity=5)))


def test_a_small_party_with_codes_is_counted_when_the_proof_leaves_that_to_the_checker() -> None:
    verify(_case("P43"), _answer("P43", Certificate(True, 8000, plans=(Plan((), None), Plan((CODE,), None)))))
    _refused("P37", _answer("P37", _one(21000, None)), "tree_missing")


# --- what is wrong with a proof --------------------------------------------------------------------------------------


def _refused(id: str, priced: Priced, reason: str, pointer: str | None = None) -> None:
    with pytest.raises(ProofBroken) as refused:
        verify(_case(id), priced)
    assert refused.value.params == {"reason": reason}
    assert pointer is None or refused.value.pointer == pointer


BROKEN_PROOFS: list[tuple[str, Certificate, str, str]] = [
    # A dual too large: GroupSave would cost 0.03 less than its members' prices.
    ("P10", _one(5940, Leaf((1503, 2220, 2220))), "bound", "/proof/bound"),
    # 59.39 is proven; that all prices are multiples of 0.05 is not claimed.
    ("P10", _one(5940, Leaf((1499, 2220, 2220))), "bound", "/proof/bound"),
    ("P10", _one(5940, Leaf((1500, 2220, 2220)), granularity=7), "granularity", "/proof/granularity"),
    ("P10", _one(5940, Leaf((1500, 2220, 2220)), scale=0), "scale", "/proof"),
    ("P10", _one(5940, Leaf((1500, 2220))), "leaf_shape", "/proof/plans/0/tree"),
    # Without the price of the slot both friends seem to ride.
    ("P16", _one(9740, Leaf((2970, 3800, 4265))), "bound", "/proof/bound"),
    ("P16", _one(9740, Leaf((2970, 3800, 4265), ((SLOT, -1),))), "sign", "/proof/plans/0/tree/resources"),
    ("P16", _one(9740, Leaf((2970, 3800, 4265), ((SLOT, 1), (SLOT, 1)))), "resource", "/proof/plans/0/tree/resources"),
    ("P16", _one(9740, Leaf((2970, 3800, 4265), ((("quota", "x"), 1),))), "resource", "/proof/plans/0/tree/resources"),
    # One side of the branch passed off as the whole.
    ("P32", _one(9400, replace(ONE_TICKET, branches=())), "bound", "/proof/bound"),
    ("P32", _one(9400, ONE_TICKET), "leaf_shape", "/proof/plans/0/tree"),
    (
        "P32",
        _one(9400, Branch(Feature("db.bayern-ticket"), 1, replace(ONE_TICKET, branches=(5600,)), TWO_TICKETS)),
        "sign",
        "/proof/plans/0/tree/low/branches",
    ),
    (
        "P32",
        _one(9400, Branch(Feature("db.bayern-ticket"), 1, ONE_TICKET, replace(TWO_TICKETS, branches=(-1,)))),
        "sign",
        "/proof/plans/0/tree/high/branches",
    ),
    # No more than one ticket is not no more than none.
    ("P32", _one(9400, Branch(Feature("db.bayern-ticket"), 0, ONE_TICKET, TWO_TICKETS)), "bound", "/proof/bound"),
    *(
        ("P32", _one(9400, Branch(feature, 1, ONE_TICKET, TWO_TICKETS)), "feature", "/proof/plans/0/tree/feature")
        for feature in (
            Feature("no.such"),
            Feature("db.bayern-ticket", role="payer"),
            Feature("db.bayern-ticket", seats=True, people=(6,)),
            Feature(None, by=("public",)),
        )
    ),
    ("P43", _one(8000, Leaf((4800, 4800))), "plan_missing", "/proof/plans"),
    ("P43", replace(HAND["P43"], plans=HAND["P43"].plans * 2), "plan_twice", "/proof/plans"),
    ("P10", replace(HAND["P10"], plans=(*HAND["P10"].plans, Plan((CODE,), None))), "plan_unknown", "/proof/plans/1"),
    *(
        ("P43", replace(HAND["P43"], plans=(HAND["P43"].plans[0], Plan((CODE,), leaf))), reason, pointer)
        for leaf, reason, pointer in (
            (Leaf((0, 0), pieces=(1, 1), basket=(1,)), "pieces", "/proof/plans/1/tree/pieces"),
            (Leaf((0, 0), pieces=(-1, 2), basket=(1,)), "sign", "/proof/plans/1/tree/pieces"),
            (Leaf((0, 0), pieces=(0, 1), basket=(0,)), "bound", "/proof/bound"),
            (Leaf((0, 0), pieces=(0, 1)), "leaf_shape", "/proof/plans/1/tree"),
        )
    ),
]


@pytest.mark.parametrize(("id", "proof", "reason", "pointer"), BROKEN_PROOFS)
def test_a_broken_proof_is_refused(id: str, proof: Certificate, reason: str, pointer: str) -> None:
    _refused(id, _answer(id, proof), reason, pointer)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], ""),
        ({"optimal": True, "bound": 1, "scale": 0, "granularity": 1, "plans": []}, "/scale"),
        ({"optimal": True, "bound": 1, "scale": 1, "granularity": 1, "plans": [{"codes": []}]}, "/plans/0/tree"),
        (
            {
                "optimal": True,
                "bound": 1,
                "scale": 1,
                "granularity": 1,
                "plans": [{"codes": [], "tree": {"feature": {"rule": None}, "at": 1, "low": {"people": [0.5]}}}],
            },
            "/plans/0/tree/low/people/0",
        ),
    ],
)
def test_a_malformed_proof_is_refused_with_a_pointer(document: object, pointer: str) -> None:
    with pytest.raises(ProofBroken) as refused:
        parse_certificate(document)
    assert (refused.value.params, refused.value.pointer) == ({"reason": "malformed"}, pointer)


# --- what is wrong with an answer ------------------------------------------------------------------------------------


def _with(priced: Priced, name: str, **changes: Any) -> Priced:
    return replace(priced, people={**priced.people, name: replace(priced.people[name], **changes)})


def _dearer(priced: Priced, name: str, extra: int) -> Priced:
    """Somebody pays so much more, and the lines say so."""
    one = priced.people[name]
    lines = (*one.lines[:-1], (one.lines[-1][0], one.lines[-1][1] + extra))
    return _with(priced, name, pay=one.pay + extra, face=one.face + extra, lines=lines)


def _paying(priced: Priced, name: str, amount: int, *lines: tuple[str, int]) -> Priced:
    return _with(priced, name, pay=amount, face=amount, lines=lines, family=lines[0][0].removeprefix("fare:"))


def _settling(priced: Priced, name: str, extra: int) -> Priced:
    one = priced.people[name]
    return _with(priced, name, pay=one.pay + extra, lines=(*one.lines[:-1], ("settle", one.lines[-1][1] + extra)))


def _bound_to(priced: Priced, at: int, **changes: Any) -> Priced:
    used = list(priced.applications)
    used[at] = replace(used[at], **changes)
    return replace(priced, applications=tuple(used))


def _two_of_three(priced: Priced) -> Priced:
    """Ana on a ticket of her own, the others at the group's price."""
    group = (("fare:offpeak", 3000), ("uk.groupsave", -1020))
    apart = _paying(priced, "ana", 1500, ("fare:offpeak", 3000), ("uk.16-17", -1500))
    return replace(_paying(_paying(apart, "ben", 1980, *group), "cem", 1980, *group), total=5460)


FREE_SLOTS = (Application("uk.dprc-companion", "uk.dprc@ana", ("ben",), "ana"),)
BROKEN_ANSWERS: dict[str, tuple[str, Callable[[Priced], Priced], str, str]] = {
    "another case": ("P10", lambda one: replace(one, id="P11"), "case", "/id"),
    "somebody forgotten": ("P10", lambda one: replace(one, people={"ana": one.people["ana"]}), "people", "/people"),
    "a wrong total": ("P10", lambda one: replace(one, total=5939), "total", "/total"),
    "lines that do not add up": (
        "P10",
        lambda one: _with(one, "ben", lines=one.people["ben"].lines[:-1]),
        "lines",
        "/people/ben/lines",
    ),
    "a wrong price alone": ("P10", lambda one: _with(one, "ben", alone=2900), "alone", "/people/ben/alone"),
    "above alone": (
        "P10",
        lambda one: _settling(_settling(one, "ana", 100), "ben", -100),
        "above_alone",
        "/people/ana/pay",
    ),
    "another's fare": (
        "P02",
        lambda one: replace(_paying(one, "ana", 1100, ("fare:offpeak", 1100)), total=4280),
        "fare",
        "/people/ana/lines",
    ),
    "a floor forgotten": (
        "P02",
        lambda one: replace(_dearer(one, "ana", -210), total=4170),
        "ticket",
        "/people/ana/lines",
    ),
    "a discount nobody applied for": ("P10", lambda one: replace(one, applications=()), "ticket", "/people/ana/lines"),
    "the same person twice": (
        "P10",
        lambda one: _bound_to(one, 0, members=("ana", "ana", "ben", "cem")),
        "members",
        "/applications/0",
    ),
    "a rule that is not there": ("P10", lambda one: _bound_to(one, 0, rule="uk.fam"), "rule", "/applications/0"),
    "two where three are needed": (
        "P10",
        lambda one: _bound_to(_two_of_three(one), 0, members=("ben", "cem")),
        "roles",
        "/applications/0",
    ),
    "an anchor for a rule without one": (
        "P10",
        lambda one: _bound_to(one, 0, anchor="ana"),
        "anchor",
        "/applications/0",
    ),
    "an anchor who holds no card": ("P16", lambda one: _bound_to(one, 0, anchor="ben"), "anchor", "/applications/0"),
    "a rider who has the full fare": (
        "P16",
        lambda one: _bound_to(one, 0, members=("ben",)),
        "roles",
        "/applications/0",
    ),
    "two riders on one slot": (
        "P16",
        lambda one: replace(
            _paying(one, "ben", 2505, ("fare:offpeak", 3800), ("uk.dprc-companion", -1295)),
            total=8445,
            applications=(*one.applications, *FREE_SLOTS),
        ),
        "overused",
        "/slot/uk.dprc-companion/uk.dprc@ana/0/companion",
    ),
    "a seat sold twice": (
        "P47",
        lambda one: replace(_paying(one, "a", 1185, ("fare:advance", 1800), ("uk.16-25", -615)), total=2985),
        "overused",
        "/quota/advance",
    ),
    "shares that are not in proportion": (
        "P50",
        lambda one: _dearer(_dearer(one, "a", -1), "c", 1),
        "pool_price",
        "/applications/0",
    ),
    "a family on a flat ticket": ("P50", lambda one: _with(one, "a", family="flex"), "family", "/people/a/family"),
    "a settlement that favors one": (
        "P10",
        lambda one: _settling(_settling(one, "ben", 10), "cem", -10),
        "settlement",
        "/people/ben/pay",
    ),
    "a face that is not on the ticket": ("P10", lambda one: _with(one, "ben", face=1975), "face", "/people/ben/face"),
    "a code that is not named": ("P43", lambda one: replace(one, applications=()), "ticket", "/people/a/lines"),
    "a code of somebody else": ("P43", lambda one: _bound_to(one, 0, by="code@b"), "codes", "/applications"),
    "a code split another way": (
        "P43",
        lambda one: _dearer(_dearer(one, "a", 40), "b", -40),
        "codes",
        "/people/a/lines",
    ),
    "a code below its minimum": (
        "P43",
        lambda one: replace(
            _paying(
                _paying(one, "a", 3800, ("fare:light", 4800), (CODE[0], -1000)),
                "b",
                3800,
                ("fare:light", 4800),
                (CODE[0], -1000),
            ),
            total=7600,
        ),
        "codes",
        "/applications",
    ),
}


@pytest.mark.parametrize("wrong", BROKEN_ANSWERS)
def test_an_answer_that_is_not_lawful_is_refused(wrong: str) -> None:
    id, change, reason, pointer = BROKEN_ANSWERS[wrong]
    proof = HAND.get(id) or _one(0, None)
    _refused(id, change(_answer(id, proof)), reason, pointer)


def test_the_free_one_of_three_is_the_cheapest() -> None:
    """60.00, 50.00 and 40.00: 110.00 is proven; were the dearest free, the same prices would not hold."""
    people = [{"id": f"p{at}", "age": 30, "fares": {"std": fare}} for at, fare in enumerate((6000, 5000, 4000))]
    trip = {"date": "2026-11-24", "depart": "11:00"}
    document = {"id": "three", "currency": "EUR", "trip": trip, "travellers": people, "rules": ["shop.3for2"]}
    case = parse_case(document, CATALOGUE)
    priced = price(case, explain=False)
    assert priced.total == 11000
    verify(case, replace(priced, proof=_one(11000, Leaf((6000, 5000, 0)))))
