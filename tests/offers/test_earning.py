"""Holds that start short, earn time, lapse, come back, and are let go in time; and how many a merchant bears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from groupbook import offers
from groupbook.kit import clock
from groupbook.kit.ids import new_id, to_wire
from groupbook.kit.money import Money
from groupbook.offers.domain import HoldNotLive, HoldState, TooManyHolds
from groupbook.offers.service.holds import EXTEND, RELEASE
from tests.offers.conftest import EUR, House

TERMS = {"hold_seconds_first": 1800, "hold_seconds_per_portion": 1800, "hold_seconds_max": 3 * 3600}


@pytest.fixture
def held(house: House) -> House:
    """A party of four with places kept for half an hour."""
    house.can(**TERMS)
    house.hold(house.quote())
    house.run()
    return house


def minutes(house: House) -> int:
    """How long the current hold is kept in all."""
    hold = house.current_hold()
    assert hold.expires_at is not None
    assert hold.placed_at is not None
    return round((hold.expires_at - hold.placed_at).total_seconds() / 60)


# --- earning --------------------------------------------------------------------------------------------------------


def test_a_hold_starts_short_and_each_portion_earns_it_time(held: House) -> None:
    assert minutes(held) == 30
    assert held.earn(1).state is HoldState.EXTENDING
    held.run()
    assert (minutes(held), held.current_hold().state) == (60, HoldState.LIVE)
    held.earn(1)
    held.earn(3)
    held.run()
    assert minutes(held) == 120
    assert held.fact_names() == ["hold.placed", "hold.extended", "hold.extended"]
    payload = held.facts()[-1][1]
    hold = held.current_hold()
    assert (payload["hold"], payload["reference"]) == (hold.id.hex, held.reference.hex)
    assert hold.expires_at is not None
    assert payload["expires_at"] == hold.expires_at.isoformat()
    assert [operation for operation, _ in held.twin.calls] == ["hold", "extend", "extend"]


def test_what_is_asked_twice_is_owed_once(held: House) -> None:
    held.earn(2)
    held.earn(2)
    held.run()
    held.earn(2)
    held.run()
    assert [operation for operation, _ in held.twin.calls].count("extend") == 1


def test_portions_that_come_while_an_answer_is_out_are_counted_afterwards(held: House) -> None:
    held.earn(1)
    held.earn(2)
    held.run()
    assert minutes(held) == 60
    held.earn(2)
    held.run()
    assert minutes(held) == 90


def test_a_refused_extension_leaves_the_old_end_and_is_not_asked_again(held: House) -> None:
    before = held.current_hold()
    held.twin.provoke("extend", "not_allowed")
    held.earn(1)
    held.run()
    assert held.current_hold() == replace(before, state=HoldState.LIVE)
    assert held.facts()[-1][0] == "hold.extend_refused"
    assert held.facts()[-1][1]["reason"] == "not_allowed"
    held.earn(1)
    held.run()
    assert [operation for operation, _ in held.twin.calls].count("extend") == 1


@pytest.mark.parametrize("trouble", ["lost_answer", "late_effect", "unavailable"])
def test_an_extension_survives_a_silent_merchant(held: House, trouble: str) -> None:
    held.twin.provoke("extend", trouble)  # type: ignore[arg-type]  # the parameters are its words
    held.earn(1)
    held.run()
    held.twin.land_zombies()
    assert (minutes(held), held.current_hold().state) == (60, HoldState.LIVE)
    assert held.fact_names() == ["hold.placed", "hold.extended"]


def test_an_extension_of_places_that_are_gone_ends_the_hold(held: House) -> None:
    held.twin.provoke("extend", "hold_expired")
    held.earn(1)
    held.run()
    assert (held.current_hold().state, held.current_hold().reason) == (HoldState.EXPIRED, "hold_expired")
    assert held.fact_names() == ["hold.placed", "hold.expired"]


def test_a_release_overtakes_an_extension(held: House) -> None:
    """The extension is on its way when the group gives up; it lands behind the release and keeps nothing."""
    held.twin.provoke("extend", "late_effect")
    held.earn(1)
    held.run_once()
    assert held.release()
    held.run()
    held.twin.land_zombies()
    assert held.current_hold().state is HoldState.RELEASED
    assert held.twin.live_holds() == []
    assert ("zombie_refused", "canceled") in held.twin.calls


def test_an_order_may_consume_a_hold_that_is_being_extended(held: House) -> None:
    quote = held.quote()
    held.twin.provoke("extend", "late_effect")
    held.earn(1)
    held.run_once()
    held.confirm(quote)
    held.run()
    held.twin.land_zombies()
    assert held.current_hold().state is HoldState.CONSUMED
    assert held.current_order().state.value == "confirmed"


def test_extending_by_hand_is_capped(held: House) -> None:
    with held.database.begin(held.merchant) as session:
        now = clock.now(session)
        assert offers.extend_hold(session, held.reference, now, seconds=9 * 3600).state is HoldState.EXTENDING
    held.run()
    assert minutes(held) == 180
    with held.database.begin(held.merchant) as session:
        assert offers.extend_hold(session, held.reference, now, seconds=60).state is HoldState.LIVE
    assert held.due_times(EXTEND) == []


def test_what_nobody_keeps_is_not_extended(house: House) -> None:
    with house.database.begin(house.merchant) as session, pytest.raises(HoldNotLive):
        offers.extend_hold(session, house.reference, clock.now(session), seconds=60)
    assert house.due_times(EXTEND) == []
    with house.database.begin(house.merchant) as session:
        assert offers.earn_time(session, house.reference, settled=1, of=2, now=clock.now(session)) is None


# --- lapsing and coming back ----------------------------------------------------------------------------------------


def test_the_release_is_owed_for_the_moment_of_expiry(held: House) -> None:
    hold = held.current_hold()
    assert held.due_times(RELEASE) == [hold.expires_at]
    held.pull_forward(RELEASE)
    held.run()
    assert held.current_hold().is_live  # the call came early: the places are still the group's
    held.travel(31 * 60)
    with held.database.begin(held.merchant) as session:
        assert offers.expire_holds(session, clock.now(session)) == 1
    held.run()
    assert held.current_hold().state is HoldState.EXPIRED
    assert held.twin.live_holds() == []
    assert held.fact_names() == ["hold.placed", "hold.expired"]


def test_at_its_moment_the_owed_release_ends_the_hold_without_any_sweep(held: House) -> None:
    held.travel(31 * 60)
    held.pull_forward(RELEASE)
    held.run()
    assert held.current_hold().state is HoldState.EXPIRED
    assert held.twin.live_holds() == []
    assert held.fact_names() == ["hold.placed", "hold.expired"]
    assert [operation for operation, _ in held.twin.calls] == ["hold", "release"]


def test_an_extended_hold_outlives_its_first_end(held: House) -> None:
    held.earn(1)
    held.run()
    first, second = held.due_times(RELEASE)
    assert round((second - first).total_seconds() / 60) == 30
    held.travel(45 * 60)
    held.pull_forward(RELEASE)
    held.run()
    assert held.current_hold().is_live
    assert "release" not in [operation for operation, _ in held.twin.calls]


def test_an_unanswered_extension_keeps_the_hold_until_the_time_that_was_asked_for(held: House) -> None:
    held.twin.provoke("extend", "unavailable", times=99)
    held.earn(1)
    held.travel(45 * 60)
    with held.database.begin(held.merchant) as session:
        assert offers.expire_holds(session, clock.now(session)) == 0
    held.travel(61 * 60)
    with held.database.begin(held.merchant) as session:
        assert offers.expire_holds(session, clock.now(session)) == 1
    assert held.current_hold().state is HoldState.EXPIRED


def test_a_lapsed_hold_comes_back_with_the_next_authorization(held: House) -> None:
    first = held.current_hold()
    held.earn(0)
    held.travel(31 * 60)
    held.pull_forward(RELEASE)
    held.run()
    assert held.earn(0).id == first.id
    again = held.earn(1)
    assert (again.state, again.quote_id) == (HoldState.PLACING, first.quote_id)
    assert held.earn(1).id == again.id
    held.run()
    now = held.current_hold()
    assert (now.id, now.state, minutes(held)) == (again.id, HoldState.LIVE, 30)
    assert {seat.member_id for seat in now.seats} == set(held.members)
    held.earn(2)
    held.run()
    assert minutes(held) == 60
    assert held.twin.live_holds() == [to_wire("hld", now.id)]


def test_a_lapsed_hold_whose_places_were_sold_is_refused(held: House) -> None:
    held.travel(31 * 60)
    held.pull_forward(RELEASE)
    held.run()
    held.twin.provoke("hold", "sold_out")
    held.earn(1)
    held.run()
    assert (held.current_hold().state, held.current_hold().reason) == (HoldState.REFUSED, "sold_out")
    assert held.earn(2).state is HoldState.REFUSED


def test_a_hold_whose_time_is_over_cannot_be_ordered(held: House) -> None:
    quote = held.quote()
    held.travel(31 * 60)
    with pytest.raises(HoldNotLive):
        held.confirm(quote)
    assert [operation for operation, _ in held.twin.calls] == ["hold"]


# --- the fee --------------------------------------------------------------------------------------------------------


def test_the_merchants_fee_is_shown_and_told_and_in_no_price(house: House) -> None:
    house.can(hold_fee_minor=250)
    quote = house.quote()
    assert house.hold(quote).fee == Money(250, EUR)
    house.run()
    house.confirm(quote)
    house.run()
    assert house.current_order().total == quote.total
    request = house.twin._orders[to_wire("ord", house.current_order().id)].request
    assert request is not None
    assert (request.hold_fee, request.total) == (Money(250, EUR), quote.total)


# --- caps (attack 23: block the inventory, pay nothing) -------------------------------------------------------------


def hold_for(house: House) -> Callable[..., HoldState]:
    quote = house.quote()
    return lambda **who: house.hold(quote, reference=new_id(), **who).state


def test_thirty_groups_of_one_organizer_get_three_holds(house: House) -> None:
    ana = new_id()
    place = hold_for(house)
    for _ in range(3):
        assert place(by=ana) is HoldState.PLACING
    for _ in range(27):
        with pytest.raises(TooManyHolds) as refused:
            place(by=ana)
        assert refused.value.params["scope"] == "organizer"
    house.run()
    assert len(house.twin.live_holds()) == 3
    assert place(by=new_id()) is HoldState.PLACING  # somebody else is not hindered


def test_thirty_groups_of_thirty_guests_do_not_block_an_offer(house: House) -> None:
    house.can(holds_per_offer_max=5)
    place = hold_for(house)
    for _ in range(5):
        place(by=new_id())
    for _ in range(25):
        with pytest.raises(TooManyHolds) as refused:
            place(by=new_id())
        assert refused.value.params["scope"] == "offer"
    house.run()
    assert len(house.twin.live_holds()) == 5


def test_what_came_to_nothing_counts_half_and_fades(house: House) -> None:
    ana = new_id()
    quote = house.quote()
    for _ in range(2):
        house.reference = new_id()
        house.hold(quote, by=ana)
        house.run()
        house.release()
        house.run()
    place = hold_for(house)
    place(by=ana)
    place(by=ana)
    with pytest.raises(TooManyHolds):  # two open ones, and two that came to nothing: three in all
        place(by=ana)
    house.travel(3600)
    with pytest.raises(TooManyHolds):
        hold_for(house)(by=ana)
    house.travel(9 * 3600)
    assert hold_for(house)(by=ana) is HoldState.PLACING


def test_a_group_that_pays_does_not_count(house: House) -> None:
    house.can(**TERMS, holds_per_organizer_max=1)
    ana = new_id()
    quote = house.quote()
    house.hold(quote, by=ana)
    house.run()
    with pytest.raises(TooManyHolds):
        house.hold(quote, by=ana, reference=new_id())
    house.earn(1)
    assert house.hold(quote, by=ana, reference=new_id()).state is HoldState.PLACING


def test_a_merchant_without_caps_bears_everything(house: House) -> None:
    house.can(holds_per_offer_max=None, holds_per_organizer_max=None)
    ana = new_id()
    place = hold_for(house)
    for _ in range(7):
        assert place(by=ana) is HoldState.PLACING
