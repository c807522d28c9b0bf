"""The party and the price change while people pay: caps, drops, new members; nobody's consent is stretched."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import text

from groupbook import payments
from groupbook.kit.database import Database
from groupbook.kit.errors import Invalid, Unavailable
from groupbook.kit.money import Money
from groupbook.payments import PortionDraft
from groupbook.payments.domain import IllegalStep, PartsDoNotSum, PortionCurrency, PortionTooSmall
from groupbook.payments.ports import Seen
from tests.payments.conftest import House, build_house

ROWS = ("portion", "attempt", "journal", "fact", "intent")


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def live(house: House) -> dict[str, tuple[int, int, str]]:
    """Of each person still in: what they owe, agreed to at most, and where it stands."""
    names = {person: name for name, person in house.people.items()}
    return {
        names[view.traveler]: (view.amount.minor, view.cap.minor if view.cap else 0, view.state.value)
        for view in house.views
        if not view.is_dropped
    }


# --- caps -------------------------------------------------------------------------------------------------------------


def test_a_payer_authorizes_their_cap_and_pays_what_it_comes_to(house: House) -> None:
    """Ada agrees to at most 40; it comes to 33.34, and the bank releases the rest with the capture."""
    house.open(ada=3334, bo=3333, caps={"ada": 4000})
    house.authorize("ada", "bo")
    assert (house.view("ada").amount, house.view("ada").cap) == (eur(3334), eur(4000))
    assert house.statement.authorized == eur(7333)
    house.capture_all()
    assert sorted(minor for _, minor in house.twin.captures) == [3333, 3334]
    assert (house.statement.captured, house.statement.authorized) == (eur(6667), eur(0))


def test_a_dropout_inside_the_caps_asks_nobody_again(house: House) -> None:
    """Three share a cabin of 90; all agree to 45 at most. Cy leaves, and the two pay 45 each without a click."""
    house.open(ada=3000, bo=3000, cy=3000, caps={"ada": 4500, "bo": 4500, "cy": 4500})
    house.authorize("ada", "bo", "cy")
    house.reallocate({"ada": 4500, "bo": 4500})
    house.quiet()
    assert live(house) == {"ada": (4500, 4500, "authorized"), "bo": (4500, 4500, "authorized")}
    assert (house.states["cy"], house.view("cy").is_dropped) == ("voided", True)
    assert house.facts().count("portion.reopened") == 0
    assert house.facts().count("portion.dropped") == 1
    house.capture_all()
    assert sorted(minor for _, minor in house.twin.captures) == [4500, 4500]
    assert house.statement.total == eur(9000)


def test_more_than_the_cap_is_asked_again_and_the_old_authorization_is_released(house: House) -> None:
    house.open(ada=3000, bo=3000, caps={"ada": 4500})
    house.authorize("ada", "bo")
    old = house.attempt("bo")
    house.reallocate({"ada": 3500, "bo": 3500})
    house.quiet()
    assert live(house) == {"ada": (3500, 4500, "authorized"), "bo": (3500, 3500, "open")}
    assert house.twin.truth(old) is Seen.CANCELED
    house.authorize("bo")
    house.capture_all()
    assert sorted(minor for _, minor in house.twin.captures) == [3500, 3500]


def test_a_higher_cap_needs_a_new_consent_even_if_the_amount_fits(house: House) -> None:
    house.open(ada=3000)
    house.authorize("ada")
    house.reallocate({"ada": 3000}, caps={"ada": 5000})
    assert live(house) == {"ada": (3000, 5000, "open")}


def test_a_lower_price_keeps_every_authorization_and_every_open_page(house: House) -> None:
    house.open(ada=3000, bo=3000, cy=3000)
    house.authorize("ada")
    page = house.start("bo")
    house.reallocate({"ada": 2000, "bo": 2000, "cy": 2000})
    house.quiet()
    assert live(house) == {
        "ada": (2000, 3000, "authorized"),
        "bo": (2000, 3000, "authorizing"),
        "cy": (2000, 2000, "open"),
    }
    assert house.start("bo") == page
    house.authorize("bo", "cy")
    house.capture_all()
    assert sorted(minor for _, minor in house.twin.captures) == [2000, 2000, 2000]


def test_a_landing_on_a_superseded_amount_is_released(house: House) -> None:
    """Bo is typing their card when the price rises: what lands on the old page is nobody's authorization."""
    house.open(ada=3000, bo=3000)
    house.start("bo")
    old = house.attempt("bo")
    house.twin.authorize(old)
    house.reallocate({"ada": 3500, "bo": 3500})
    house.quiet()
    assert (house.states["bo"], house.twin.truth(old)) == ("open", Seen.CANCELED)
    assert house.statement.authorized == eur(0)


def test_another_payer_in_the_draft_has_to_agree_themselves(house: House) -> None:
    house.open(ada=3000, bo=3000)
    house.authorize("bo")
    house.reallocate({"ada": 3000, "bo": 3000}, payers={"bo": "ada"})
    house.quiet()
    assert (house.states["bo"], house.view("bo").payer) == ("open", house.people["ada"])
    assert house.statement.authorized == eur(0)


# --- who is in --------------------------------------------------------------------------------------------------------


def test_someone_new_gets_a_portion_and_someone_free_is_waived(house: House) -> None:
    house.open(ada=3000, bo=3000)
    house.authorize("ada")
    house.reallocate({"ada": 3000, "bo": 0, "cy": 2500})
    assert live(house) == {"ada": (3000, 3000, "authorized"), "bo": (0, 0, "waived"), "cy": (2500, 2500, "open")}
    house.reallocate({"ada": 3000, "bo": 1000, "cy": 2500})
    assert live(house)["bo"] == (1000, 1000, "open")


def test_reallocating_twice_is_reallocating_once(house: House) -> None:
    house.open(ada=3000, bo=3000, cy=3000, caps={"ada": 4500})
    house.authorize("ada", "bo")
    amounts = {"ada": 4000, "bo": 3500, "di": 1500}
    house.reallocate(amounts)
    before, counts = house.views, house.counts(*ROWS)
    house.reallocate(amounts)
    assert (house.views, house.counts(*ROWS)) == (before, counts)


def test_dropping_and_adding_again_is_adding(house: House) -> None:
    house.open(ada=3000, bo=3000)
    house.authorize("ada", "bo")
    old = house.attempt("bo")
    house.reallocate({"ada": 3000})
    house.reallocate({"ada": 3000, "bo": 3000})
    house.quiet()
    assert live(house) == {"ada": (3000, 3000, "authorized"), "bo": (3000, 3000, "open")}
    assert house.twin.truth(old) is Seen.CANCELED
    house.authorize("bo")
    house.capture_all()
    assert sorted(minor for _, minor in house.twin.captures) == [3000, 3000]
    assert house.statement.total == eur(6000)


@pytest.mark.parametrize(
    ("amounts", "whole", "error"),
    [
        ({"ada": 3000, "bo": 3001}, 6000, PartsDoNotSum),
        ({"ada": 5970, "bo": 30}, 6000, PortionTooSmall),
    ],
)
def test_a_wrong_split_changes_nothing(
    house: House, amounts: dict[str, int], whole: int, error: type[Exception]
) -> None:
    house.open(ada=3000, bo=3000)
    house.authorize("ada", "bo")
    before, counts = house.views, house.counts(*ROWS)
    with pytest.raises(error):
        house.do(payments.reallocate, house.reference, whole=eur(whole), drafts=house.drafts(amounts))
    twice = house.drafts({"ada": 3000}) * 2
    with pytest.raises(Invalid):
        house.do(payments.reallocate, house.reference, whole=eur(6000), drafts=twice)
    dollars = [PortionDraft(house.people["ada"], house.people["ada"], Money(6000, "USD"))]
    with pytest.raises(PortionCurrency):
        house.do(payments.reallocate, house.reference, whole=Money(6000, "USD"), drafts=dollars)
    assert (house.views, house.counts(*ROWS)) == (before, counts)


def test_nothing_is_reallocated_once_money_is_taken(house: House) -> None:
    house.open(ada=3000, bo=3000)
    house.authorize("ada", "bo")
    house.capture_all()
    before, counts = house.views, house.counts(*ROWS)
    with pytest.raises(IllegalStep):
        house.reallocate({"ada": 3000})
    assert (house.views, house.counts(*ROWS)) == (before, counts)


def test_left_means_free_even_with_a_call_under_way(house: House) -> None:
    """I7: Bo's page opens only after Bo was dropped (a zombie), and Bo still pays on it: released, never captured."""
    house.open(ada=3000, bo=3000)
    house.twin.plan("open_payment", "late_effect")
    with pytest.raises(Unavailable):
        house.start("bo")
    bo = house.attempt("bo")
    house.reallocate({"ada": 3000})
    house.quiet()
    house.twin.land_late_effects()
    house.twin.authorize(bo)
    house.execute(
        "UPDATE attempt SET close_asked_at = close_asked_at - interval '3 hours'",
        "UPDATE intent SET due_at = clock_timestamp() WHERE state IN ('due', 'unknown')",
    )
    house.quiet(80)
    house.authorize("ada")
    house.capture_all()
    assert house.twin.truth(bo) is Seen.CANCELED
    assert (house.states["bo"], [minor for _, minor in house.twin.captures]) == ("voided", [3000])


@pytest.mark.slow
def test_any_order_of_changes_ends_in_what_was_said_last(database: Database) -> None:
    """Random parties: after any changes the live portions are the last drafts; consent is never exceeded."""
    for seed in range(12):
        chance = random.Random(seed)
        house = build_house(database, f"change-{seed}")
        names = "abcde"
        house.open_party({name: chance.choice([3000, 500]) for name in names[: chance.randint(1, 4)]})
        for _ in range(chance.randint(2, 5)):
            for name in chance.sample(list(live(house)), k=len(live(house)) // 2):
                if live(house)[name][2] in ("open", "authorizing"):
                    house.authorize(name)
            party = chance.sample(names, k=chance.randint(1, 5))
            amounts = {name: chance.choice([0, 500, 3000, 4000]) for name in party}
            caps = {name: minor + chance.choice([0, 1000]) for name, minor in amounts.items() if minor}
            house.reallocate(amounts, caps if chance.random() < 0.5 else None)
            before, counts = house.views, house.counts(*ROWS)
            house.reallocate(amounts, None)
            after = live(house)
            assert {name: owed for name, (owed, _, _) in after.items()} == amounts, seed
            if chance.random() < 0.5:
                house.quiet()
            assert counts[0] == house.counts("portion")[0], seed
            assert [view.amount for view in house.views] == [view.amount for view in before], seed
        house.quiet(80)
        for name, (_, _, state) in live(house).items():
            if state not in ("authorized", "waived"):
                house.authorize(name)
        house.capture_all()
        final = live(house)
        assert sum(minor for _, minor in house.twin.captures) == sum(owed for owed, _, _ in final.values()), seed
        assert all(owed <= cap for owed, cap, _ in final.values()), seed
        assert house.statement.is_conserved
        assert house.statement.authorized == eur(0), seed
        assert house.twin.doubled == []


# --- afterwards -------------------------------------------------------------------------------------------------------


def test_a_replacement_pays_first_and_then_the_other_is_refunded(house: House) -> None:
    """Cy takes Bo's place in the booked trip: authorized, the merchant renames, then captured, then Bo is refunded."""
    house.open(ada=3000, bo=3000)
    house.authorize("ada", "bo")
    house.capture_all()
    [draft] = house.drafts({"cy": 3000})
    house.portions["cy"] = house.do(payments.add_portion, house.reference, draft)
    house.authorize("cy")
    assert len(house.twin.captures) == 2
    assert house.do(payments.capture_portion, house.portions["cy"]) is not None
    assert house.do(payments.capture_portion, house.portions["cy"]) is None  # asked for already
    house.quiet()
    with house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["bo"], eur(3000), reason="member_replaced")
    house.quiet()
    assert house.states == {"ada": "captured", "bo": "refunded", "cy": "captured"}
    assert (house.statement.net, house.statement.is_conserved) == (eur(6000), True)


def test_a_replacement_that_came_to_nothing_is_released(house: House) -> None:
    house.open(ada=3000)
    house.authorize("ada")
    house.capture_all()
    house.portions["cy"] = house.do(payments.add_portion, house.reference, house.drafts({"cy": 3000})[0])
    house.authorize("cy")
    for _ in range(2):
        house.do(payments.void_portion, house.portions["cy"])
    house.quiet()
    assert house.states == {"ada": "captured", "cy": "voided"}
    assert house.facts().count("portion.dropped") == 1
    with pytest.raises(IllegalStep):
        house.do(payments.capture_portion, house.portions["cy"])
    assert [minor for _, minor in house.twin.captures] == [3000]


def test_a_replacement_whose_authorization_lapsed_is_short(house: House) -> None:
    house.open(ada=3000)
    house.authorize("ada")
    house.capture_all()
    house.portions["cy"] = house.do(payments.add_portion, house.reference, house.drafts({"cy": 3000})[0])
    house.authorize("cy")
    house.twin.lapse(house.attempt("cy"))
    house.do(lambda session, now: payments.observe_all(session, house.reference))
    house.quiet()
    assert house.do(payments.capture_portion, house.portions["cy"]) is None
    assert (house.states["cy"], house.statement.receivable) == ("short", eur(3000))


def test_a_portion_is_only_added_to_what_was_opened(house: House) -> None:
    house.open(ada=3000)
    before = house.counts(*ROWS)
    with pytest.raises(payments.PortionNotFound):
        house.do(payments.add_portion, house.people["ada"], house.drafts({"cy": 3000})[0])
    dollars = PortionDraft(house.people["cy"], house.people["cy"], Money(3000, "USD"))
    with pytest.raises(PortionCurrency):
        house.do(payments.add_portion, house.reference, dollars)
    assert house.counts(*ROWS) == before


def test_parked_authorizations_are_given_back_once_and_never_beside_taken_money(house: House) -> None:
    house.open(ada=3000, bo=3000, cy=0)
    house.authorize("ada")
    assert house.do(payments.void_waiting, house.reference)
    assert not house.do(payments.void_waiting, house.reference)
    house.quiet()
    assert house.states == {"ada": "voided", "bo": "voided", "cy": "waived"}
    assert len(house.twin.voids) == 1


def test_nothing_is_given_back_where_money_was_taken(house: House) -> None:
    house.open(ada=3000)
    house.authorize("ada")
    house.capture_all()
    before = house.counts(*ROWS)
    assert not house.do(payments.void_waiting, house.reference)
    assert house.counts(*ROWS) == before


def test_a_price_that_falls_to_nothing_for_one_waives_them_and_releases_their_bank(house: House) -> None:
    """120 for two became 60: no card takes 30, so Ada carries it and Bo travels free."""
    house.open(ada=60, bo=60)
    house.authorize("ada", "bo")
    house.capture_all(whole=60)
    assert sorted(house.states.values()) == ["captured", "waived"]
    assert [minor for _, minor in house.twin.captures] == [60]
    assert len(house.twin.voids) == 1
    assert (house.statement.total, house.statement.authorized) == (eur(60), eur(0))
    with house.database.begin(house.merchant_id) as session:
        assert session.scalar(text("SELECT count(*) FROM journal WHERE kind = 'billed'")) == 1


@pytest.mark.parametrize(("currency", "whole"), [("JPY", 5001), ("TND", 50_010), ("ISK", 9_999)])
def test_every_kind_of_currency_falls_exactly(database: Database, currency: str, whole: int) -> None:
    house = build_house(database)
    house.open(currency, ada=20_000, bo=20_000, cy=20_000)
    house.authorize("ada", "bo", "cy")
    house.capture_all(whole=whole)
    assert sum(minor for _, minor in house.twin.captures) == whole
    assert house.statement.total == Money(whole, currency)
    assert house.statement.is_conserved


def test_the_end_of_the_first_authorization_is_of_those_who_are_in(house: House) -> None:
    house.open(ada=3000, bo=3000)
    house.authorize("ada")
    house.authorize("bo")
    earlier = "UPDATE attempt SET capture_before = capture_before - interval '2 days' WHERE portion_id = :bo"
    house.execute(earlier, bo=house.portions["bo"])
    early, late = house.view("bo").capture_before, house.view("ada").capture_before
    assert early != late
    assert house.do(lambda session, now: payments.earliest_capture_before(session, house.reference)) == early
    house.reallocate({"ada": 3000})
    assert house.do(lambda session, now: payments.earliest_capture_before(session, house.reference)) == late
