"""Catalogues and entitlements on a real database, and the price of a party made from them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from groupbook import discounts
from groupbook.discounts import (
    Card,
    CardsInvalid,
    CatalogueInvalid,
    CatalogueNotFound,
    PartyTraveler,
    RulesUnsupported,
    TripFacts,
)
from groupbook.kit.database import Database
from groupbook.kit.ids import new_id
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TODAY = NOW.date()
TRAVEL = date(2026, 11, 28)
RULES = {
    rule["id"]: rule
    for rule in json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))["rules"]
}
SEALER = Sealer("a key of the tests")
KESTREL, OTHER = new_id(), new_id()
ANA, BEN, CEM = new_id(), new_id(), new_id()


def rules(*ids: str) -> dict[str, Any]:
    return {"rules": [RULES[id] for id in ids]}


@pytest.fixture
def catalogue(database: Database) -> Database:
    with database.begin(KESTREL) as session:
        document = rules("uk.child", "uk.16-25", "uk.two-together", "uk.groupsave")
        discounts.put_catalogue(session, document, starts_on=date(2026, 1, 1), now=NOW)
    return database


def pounds(minor: int) -> Money:
    return Money(minor, "GBP")


def party(**fares: int) -> list[PartyTraveler]:
    subjects = {"ana": ANA, "ben": BEN, "cem": CEM}
    return [PartyTraveler(subjects[name], {"offpeak": fare}) for name, fare in fares.items()]


FACTS = TripFacts(date=TRAVEL)


def test_a_party_is_priced_from_what_each_entered(catalogue: Database) -> None:
    """Ana's card 30.00 -> 19.80; Ben is a child of nine; Cem said nothing and pays the adult fare."""
    with catalogue.begin(KESTREL) as session:
        discounts.set_entitlements(session, ANA, cards=[Card("uk.16-25")], age=20, now=NOW)
        discounts.set_entitlements(session, BEN, cards=[], age=9, now=NOW)
        priced = discounts.price_party(session, FACTS, party(ana=3000, ben=3000, cem=3000), currency="GBP", on=TRAVEL)
    assert {id: one.pay for id, one in priced.people.items()} == {
        ANA: pounds(1980),
        BEN: pounds(1500),
        CEM: pounds(3000),
    }
    assert priced.total == pounds(6480)
    assert [(line.what, line.delta) for line in priced.people[ANA].lines] == [
        ("fare:offpeak", pounds(3000)),
        ("uk.16-25", pounds(-1020)),
    ]
    assert (priced.catalogue_version, priced.proof.optimal, priced.proof.bound) == (1, True, pounds(6480))
    assert [(one.rule, one.reason) for one in priced.refusals] == [("uk.groupsave", "missing_adult")]


def test_one_number_on_two_people_is_one_card_naming_both(catalogue: Database) -> None:
    card = Card("uk.two-together", number="TT 1")
    with catalogue.begin(KESTREL) as session:
        for subject in (ANA, BEN):
            discounts.set_entitlements(session, subject, cards=[card], age=30, now=NOW, sealer=SEALER)
        together = discounts.price_party(session, FACTS, party(ana=4000, ben=4000), currency="GBP", on=TRAVEL)
        apart = discounts.price_party(session, FACTS, party(ana=4000, cem=4000), currency="GBP", on=TRAVEL)
    assert together.total == pounds(5280)
    assert apart.total == pounds(8000)
    assert [(one.by, one.reason) for one in apart.people[ANA].refusals] == [("uk.two-together", "missing_holder")]
    assert apart.people[CEM].refusals == ()  # a reason about Ana's card is not Cem's to read


def test_an_age_grows_with_the_years(catalogue: Database) -> None:
    with catalogue.begin(KESTREL) as session:
        discounts.set_entitlements(session, BEN, cards=[], age=15, now=NOW)
        before, after = (
            discounts.price_party(session, TripFacts(date=on), party(ben=3000), currency="GBP", on=on)
            for on in (date(2027, 11, 20), date(2027, 11, 21))
        )
    assert (before.total, after.total) == (pounds(1500), pounds(3000))


def test_versions_are_dated_and_never_changed(catalogue: Database) -> None:
    with catalogue.begin(KESTREL) as session:
        second = discounts.put_catalogue(session, rules("uk.child"), starts_on=date(2026, 12, 1), now=NOW)
        assert second.version == 2
        assert discounts.read_catalogue(session, TRAVEL).version == 1
        assert discounts.read_catalogue(session, date(2026, 12, 1)).version == 2
        assert [one.type for one in discounts.card_types(session, TRAVEL)] == ["uk.16-25", "uk.two-together"]
        assert discounts.card_types(session, date(2026, 12, 24)) == ()
        with pytest.raises(CatalogueNotFound):
            discounts.read_catalogue(session, date(2025, 12, 31))


def test_without_rules_everybody_pays_the_fare(database: Database) -> None:
    with database.begin(KESTREL) as session:
        priced = discounts.price_party(session, FACTS, party(ana=3000, ben=2000), currency="GBP", on=TRAVEL)
    assert (priced.total, priced.catalogue_version) == (pounds(5000), None)


@pytest.mark.parametrize(
    ("document", "error", "pointer"),
    [
        (
            {"rules": [{**RULES["uk.child"], "when": [{"fact": "party", "le": 4, "reason": "group_size"}]}]},
            RulesUnsupported,
            "/rules/0/when/0",
        ),
        ({"rules": [{**RULES["uk.child"], "effect": {"bp": -1}}]}, CatalogueInvalid, "/rules/0/effect/bp"),
        ({"rules": [{"id": "x"}]}, CatalogueInvalid, "/rules/0"),
    ],
)
def test_a_refused_catalogue_changes_nothing(
    catalogue: Database, document: dict[str, Any], error: type[CatalogueInvalid], pointer: str
) -> None:
    with pytest.raises(error) as refused, catalogue.begin(KESTREL) as session:
        discounts.put_catalogue(session, document, starts_on=TODAY, now=NOW)
    assert refused.value.pointer == pointer
    with catalogue.begin(KESTREL) as session:
        assert discounts.read_catalogue(session, TRAVEL).version == 1


@pytest.mark.parametrize(
    ("cards", "age", "pointer", "reason"),
    [
        ([Card("no.such")], 20, "/cards/0", "unknown_card_type"),
        ([Card("uk.16-25"), Card("uk.16-25")], 20, "/cards/1", "card_twice"),
        ([Card("uk.16-25", number="\u202e1")], 20, "/cards/0", "card_number"),
        ([Card("uk.16-25", valid_from=TRAVEL, valid_until=TODAY)], 20, "/cards/0", "card_period"),
        ([Card("uk.16-25", number=str(n)) for n in range(21)], 20, "/cards", "too_many"),
        ([], 131, "/age", "age_range"),
        ([], -1, "/age", "age_range"),
    ],
)
def test_wrong_entitlements_are_refused_and_the_old_ones_stay(
    catalogue: Database, cards: list[Card], age: int, pointer: str, reason: str
) -> None:
    with catalogue.begin(KESTREL) as session:
        discounts.set_entitlements(session, ANA, cards=[Card("uk.16-25")], age=20, now=NOW)
    with pytest.raises(CardsInvalid) as refused, catalogue.begin(KESTREL) as session:
        discounts.set_entitlements(session, ANA, cards=cards, age=age, now=NOW)
    assert (refused.value.pointer, refused.value.params["reason"]) == (pointer, reason)
    with catalogue.begin(KESTREL) as session:
        stated = discounts.entitlements_of(session, [ANA])[ANA]
    assert (stated.cards, stated.age) == ((Card("uk.16-25"),), 20)


def test_entitlements_stay_inside_the_merchant(catalogue: Database) -> None:
    with catalogue.begin(KESTREL) as session:
        discounts.set_entitlements(session, ANA, cards=[Card("uk.16-25")], age=20, now=NOW)
    with catalogue.begin(OTHER) as session:
        stated = discounts.entitlements_of(session, [ANA])[ANA]
        assert (stated.cards, stated.age) == ((), None)


@pytest.mark.parametrize("person_has_own", [True, False])
def test_a_guest_who_becomes_a_person_loses_nothing(catalogue: Database, person_has_own: bool) -> None:
    guest, person = new_id(), new_id()
    with catalogue.begin(KESTREL) as session:
        discounts.set_entitlements(session, guest, cards=[Card("uk.16-25")], age=20, now=NOW)
        if person_has_own:
            discounts.set_entitlements(session, person, cards=[Card("uk.two-together")], age=41, now=NOW)
        for _ in range(2):
            discounts.move_entitlements(session, guest, person, NOW)
        moved = discounts.entitlements_of(session, [guest, person])
    kept = (Card("uk.two-together"), 41) if person_has_own else (Card("uk.16-25"), 20)
    assert (moved[person].cards, moved[person].age) == ((kept[0],), kept[1])
    assert (moved[guest].cards, moved[guest].age) == ((), None)


def test_forgetting_leaves_nothing(catalogue: Database) -> None:
    with catalogue.begin(KESTREL) as session:
        for subject in (ANA, BEN):
            discounts.set_entitlements(session, subject, cards=[Card("uk.16-25")], age=20, now=NOW)
        discounts.forget(session, ANA)
        found = discounts.entitlements_of(session, [ANA, BEN])
    assert (found[ANA].cards, found[ANA].age, found[ANA].changed_at) == ((), None, None)
    assert found[BEN].age == 20
