"""What a price tells the person who pays it, and how far the next step of the group is."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from groupbook import discounts
from groupbook.discounts import Card, PartyPrice, PartyRequest, TripFacts
from groupbook.kit.database import Database
from tests.discounts.test_room import ANA, BEN, CEM, KESTREL, NOW, RULES, TRAVEL, party, pounds, rules

TUESDAY = date(2026, 11, 24)


def put(database: Database, document: dict[str, Any]) -> None:
    with database.begin(KESTREL) as session:
        discounts.put_catalogue(session, document, starts_on=date(2026, 1, 1), now=NOW)


def entitle(database: Database, subject: Any, card: str, age: int = 30) -> None:
    with database.begin(KESTREL) as session:
        discounts.set_entitlements(session, subject, cards=[Card(card)], age=age, now=NOW)


def ask(currency: str = "GBP", on: date = TRAVEL, **fares: int) -> PartyRequest:
    return PartyRequest(TripFacts(date=on), tuple(party(**fares)), currency, on)


def price(database: Database, request: PartyRequest, *, explain: bool = True) -> PartyPrice:
    with database.begin(KESTREL) as session:
        (answer,) = discounts.price_parties(session, [request], explain=explain)
    assert isinstance(answer, PartyPrice)
    return answer


def told(priced: PartyPrice, subject: Any) -> list[tuple[str, str, int]]:
    return [(line.what, line.kind, line.others) for line in priced.people[subject].lines]


def test_each_line_says_whose_doing_it_is_and_with_how_many(database: Database) -> None:
    """Worked example 4: three friends by GroupSave, and the evening out in both directions."""
    put(database, rules("uk.16-17", "uk.groupsave"))
    entitle(database, ANA, "uk.16-17", 16)
    priced = price(database, ask(ana=3000, ben=3000, cem=3000))
    expected = [("fare:offpeak", "fare", 0), ("uk.groupsave", "group", 2), ("settle", "settle", 0)]
    assert [told(priced, one) for one in (ANA, BEN, CEM)] == [expected] * 3
    assert [priced.people[one].lines[-1].delta for one in (ANA, BEN)] == [pounds(-480), pounds(240)]
    (unused,) = priced.people[ANA].unused
    assert (unused.rule, unused.dearer, unused.clashes_with) == ("uk.16-17", pounds(1560), "uk.groupsave")
    assert priced.people[BEN].unused == ()


def test_somebody_elses_card_has_no_name_on_my_line(database: Database) -> None:
    """Ben rides as the companion of Ana's Disabled Persons Railcard: his line says company, hers says card."""
    put(database, rules("uk.dprc", "uk.dprc-companion", "uk.groupsave"))
    entitle(database, ANA, "uk.dprc")
    priced = price(database, ask(ana=3000, ben=3000))
    assert told(priced, ANA)[1:] == [("uk.dprc", "card", 0)]
    assert told(priced, BEN)[1:] == [("uk.dprc-companion", "company", 1)]


def test_a_public_offer_for_one_person_is_theirs(database: Database) -> None:
    put(database, rules("uk.child"))
    with database.begin(KESTREL) as session:
        discounts.set_entitlements(session, BEN, cards=[], age=9, now=NOW)
    assert told(price(database, ask(ben=3000)), BEN) == [("fare:offpeak", "fare", 0), ("uk.child", "offer", 0)]


def test_the_next_step_is_the_smallest_group_that_pays_less(database: Database) -> None:
    """Two friends at 30.00 each; the third makes it 19.80 for everybody."""
    put(database, rules("uk.groupsave"))
    request = ask(ana=3000, ben=3000)
    priced = price(database, request)
    with database.begin(KESTREL) as session:
        step = discounts.next_step(session, request, priced)
        assert step == discounts.next_step(session, request, priced)
        assert discounts.next_step(session, request, priced, more_max=0) is None, "nobody more may come"
    assert step is not None
    assert (step.people_more, step.saving) == (1, pounds(2040))
    assert step.pays == {ANA: pounds(1980), BEN: pounds(1980)}


def test_three_by_groupsave_have_no_next_step_and_one_needs_two_more(database: Database) -> None:
    put(database, rules("uk.groupsave"))
    for request, people_more in ((ask(ana=3000), 2), (ask(ana=3000, ben=3000, cem=3000), None)):
        priced = price(database, request, explain=False)
        with database.begin(KESTREL) as session:
            step = discounts.next_step(session, request, priced)
        assert (step.people_more if step else None) == people_more


@pytest.mark.parametrize("ids", [(), ("uk.child", "uk.16-25")])
def test_rules_that_count_nobody_have_no_next_step(database: Database, ids: tuple[str, ...]) -> None:
    if ids:
        put(database, rules(*ids))
    request = ask(ana=3000)
    priced = price(database, request)
    with database.begin(KESTREL) as session:
        assert discounts.next_step(session, request, priced) is None


def test_titles_are_the_merchants_own(database: Database) -> None:
    put(database, rules("uk.groupsave", "uk.16-25"))
    with database.begin(KESTREL) as session:
        names = discounts.rule_names(session, TUESDAY)
    assert {id: name.title for id, name in names.items()} == {id: RULES[id]["title"] for id in names}
    assert {id: name.cards for id, name in names.items()} == {"uk.groupsave": (), "uk.16-25": ("uk.16-25",)}
