"""The contract of `MerchantAdapter`, on every adapter and its twin. A new adapter adds one entry to RIGS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from groupbook.kit.errors import OutcomeUnknown, Unavailable
from groupbook.kit.money import Money
from groupbook.offers.domain import (
    CancelMember,
    Change,
    Criteria,
    Leg,
    OccasionDraft,
    OfferDraft,
    Place,
    ReplaceMember,
    Reprice,
    Traveler,
)
from groupbook.offers.ports import (
    ConfirmedOrder,
    HoldRequest,
    MerchantAdapter,
    MerchantRefused,
    OrderChange,
    OrderRequest,
    PendingOrder,
    PricedTraveler,
)
from integrations.merchants.http import http_merchant
from integrations.merchants.twin import EPOCH, TwinMerchant, member
from tests.support.kestrel import TOKEN, kestrel

TIMEOUT = 10  # seconds, for calls that are answered
PATIENCE = 0.5  # seconds, for calls that are not; the agency keeps a lost answer back for longer


@dataclass
class Rig:
    """One merchant under test, and a way to make it misbehave."""

    adapter: MerchantAdapter
    offer: OfferDraft
    provoke: Callable[[str, str], None]
    land_zombies: Callable[[], None]
    let_holds_expire: Callable[[], None]
    let_pending_be_decided: Callable[[], None]


@contextmanager
def twin_rig(state: Path) -> Iterator[Rig]:
    paris = Place("Paris Gare de Lyon", "Europe/Paris", "Paris", "PLY")
    lyon = Place("Lyon Part-Dieu", "Europe/Paris", "Lyon", "LPD")
    leg = Leg(
        "highspeed", "6001", "twin", paris, lyon, EPOCH + timedelta(days=1), EPOCH + timedelta(days=1, hours=2), "2"
    )
    fares = {"saver": Money(3910, "EUR"), "flex": Money(9800, "EUR")}
    offer = OfferDraft("t1", "Paris → Lyon", "EUR", (leg,), fares, leg.departs_at, seats_left=40)
    occasion = OccasionDraft("o1", "Lanterns", "Lyon", "Europe/Paris", EPOCH, EPOCH + timedelta(hours=4))
    twin = TwinMerchant(offers={"t1": offer}, agenda=[occasion], kept_percent=50)
    yield Rig(
        adapter=twin,
        offer=offer,
        provoke=twin.provoke,  # type: ignore[arg-type]  # the contract's words are a subset of the twin's
        land_zombies=twin.land_zombies,
        let_holds_expire=lambda: twin.advance(7200),
        let_pending_be_decided=twin.decide,
    )


@contextmanager
def http_rig(state: Path) -> Iterator[Rig]:
    with kestrel(state, lost_answer_seconds=PATIENCE * 2, late_effect_seconds=PATIENCE) as agency:
        adapter = http_merchant({"base_url": f"{agency.url}/api/v1", "token": TOKEN})
        offer = adapter.search(Criteria("Paris", "Lyon", limit=1), timeout_seconds=TIMEOUT)[0]

        def let_holds_expire() -> None:
            with agency.store.write() as connection:
                connection.execute("UPDATE hold SET expires = ?", (int(time.time()) - 1,))

        def let_pending_be_decided() -> None:
            with agency.store.write() as connection:
                connection.execute("UPDATE sale SET ready = created")

        yield Rig(
            adapter=adapter,
            offer=offer,
            provoke=agency.provoke,
            land_zombies=lambda: time.sleep(PATIENCE * 2.5),
            let_holds_expire=let_holds_expire,
            let_pending_be_decided=let_pending_be_decided,
        )


RIGS: dict[str, Callable[[Path], AbstractContextManager[Rig]]] = {"twin": twin_rig, "http": http_rig}


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with RIGS[request.param](tmp_path) as ready:
        yield ready


def party(offer: OfferDraft, size: int, discount: int = 0) -> tuple[PricedTraveler, ...]:
    full = offer.fares["saver"]
    return tuple(
        PricedTraveler(Traveler(member(index), f"Ana {index}"), "saver", full, full - Money(discount, "EUR"))
        for index in range(1, size + 1)
    )


def total(travelers: tuple[PricedTraveler, ...]) -> Money:
    return Money(sum(traveler.price.minor for traveler in travelers), "EUR")


def hold_request(offer: OfferDraft, size: int = 4, our_ref: str = "hld_1") -> HoldRequest:
    travelers = party(offer, size, discount=100)
    return HoldRequest(our_ref, offer.ref, total(travelers), travelers, hold_seconds=3600)


def order_request(offer: OfferDraft, size: int = 4, our_ref: str = "ord_1", hold: str | None = "hld_1") -> OrderRequest:
    travelers = party(offer, size, discount=100)
    return OrderRequest(our_ref, hold, offer.ref, total(travelers), travelers)


def held(rig: Rig, timeout_seconds: float = TIMEOUT) -> None:
    rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=timeout_seconds)


def confirmed(rig: Rig, hold: str | None = "hld_1", timeout_seconds: float = TIMEOUT) -> ConfirmedOrder:
    order = rig.adapter.confirm(order_request(rig.offer, hold=hold), key="confirm:1", timeout_seconds=timeout_seconds)
    assert isinstance(order, ConfirmedOrder)
    return order


def amended(
    rig: Rig, change: Change, total_max: int, ref: str = "amd_1", timeout_seconds: float = TIMEOUT
) -> ConfirmedOrder:
    asked = OrderChange(ref, change, Money(total_max, "EUR"))
    return rig.adapter.amend("ord_1", asked, key=f"amend:{ref}", timeout_seconds=timeout_seconds)


def seats_left(rig: Rig) -> int:
    left = rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left
    assert left is not None
    return left


def test_offers_are_found_and_read_again(rig: Rig) -> None:
    found = rig.adapter.search(Criteria("Paris", "Lyon", limit=5), timeout_seconds=TIMEOUT)
    assert found[0].ref == rig.offer.ref
    assert all(offer.legs[0].origin.city == "Paris" for offer in found)
    again = rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT)
    assert (again.fares, again.legs, again.bookable) == (rig.offer.fares, rig.offer.legs, True)
    assert rig.adapter.search(Criteria("Paris", "Atlantis"), timeout_seconds=TIMEOUT) == ()


def test_an_unknown_offer_is_refused(rig: Rig) -> None:
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.read_offer("no-such.A.B.2", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "offer_not_found"


def test_occasions_are_told(rig: Rig) -> None:
    occasions = rig.adapter.occasions(timeout_seconds=TIMEOUT)
    assert occasions
    assert [occasion.starts_at for occasion in occasions] == sorted(occasion.starts_at for occasion in occasions)


def test_a_party_is_held_next_to_each_other(rig: Rig) -> None:
    placed = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    assert {seat.member_id for seat in placed.seats} == {member(index) for index in (1, 2, 3, 4)}
    assert len({seat.place for seat in placed.seats}) == 4
    assert len({seat.coach for seat in placed.seats}) == 1
    rows = sorted({int(seat.place[:-1]) for seat in placed.seats})
    assert rows[-1] - rows[0] <= 1
    free = {
        (coach.name, place)
        for coach in rig.adapter.seat_map(rig.offer.ref, timeout_seconds=TIMEOUT)
        for place in coach.free
    }
    assert not free & {(seat.coach, seat.place) for seat in placed.seats}


def test_the_same_hold_is_placed_once(rig: Rig) -> None:
    """Asked again, with the same key or after a restart with another: the first hold, no second places."""
    before = rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left
    first = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    again = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    assert again == first
    after = rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left
    assert before is not None
    assert after == before - 4


def test_a_release_gives_the_places_back_and_is_final(rig: Rig) -> None:
    before = rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left
    held(rig)
    rig.adapter.release_hold("hld_1", key="release:1", timeout_seconds=TIMEOUT)
    rig.adapter.release_hold("hld_1", key="release:1", timeout_seconds=TIMEOUT)
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).state == "released"
    assert rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left == before
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.confirm(order_request(rig.offer), key="confirm:1", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "hold_expired"


def test_a_release_before_the_hold_arrives_stops_it(rig: Rig) -> None:
    """The zombie hold: its sender timed out and let go; the places must not be taken when it lands."""
    rig.provoke("hold", "late_effect")
    with pytest.raises(OutcomeUnknown):
        held(rig)
    rig.adapter.release_hold("hld_1", key="release:1", timeout_seconds=TIMEOUT)
    rig.land_zombies()
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).state == "released"
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.place_hold(hold_request(rig.offer), key="hold:2", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "canceled"


def test_a_hold_expires_and_cannot_be_ordered(rig: Rig) -> None:
    held(rig)
    rig.let_holds_expire()
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).state == "expired"
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.confirm(order_request(rig.offer), key="confirm:1", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "hold_expired"
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).state == "absent"


def test_a_confirm_sells_the_held_places_once(rig: Rig) -> None:
    placed = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    first = confirmed(rig)
    again = rig.adapter.confirm(order_request(rig.offer), key="confirm:2", timeout_seconds=TIMEOUT)
    assert again == first
    assert set(first.seats) == set(placed.seats)
    assert {ticket.member_id for ticket in first.tickets} == {member(index) for index in (1, 2, 3, 4)}
    assert len({ticket.code for ticket in first.tickets}) == 4
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).state == "consumed"
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed == first
    rig.adapter.release_hold("hld_1", key="release:1", timeout_seconds=TIMEOUT)
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).state == "confirmed"


def test_without_a_hold_the_places_are_found_at_the_order(rig: Rig) -> None:
    assert len(confirmed(rig, hold=None).seats) == 4


def test_a_canceled_order_is_a_tombstone(rig: Rig) -> None:
    before = rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left
    held(rig)
    rig.adapter.confirm(order_request(rig.offer), key="confirm:1", timeout_seconds=TIMEOUT)
    rig.adapter.cancel("ord_1", key="cancel:1", timeout_seconds=TIMEOUT)
    rig.adapter.cancel("ord_1", key="cancel:1", timeout_seconds=TIMEOUT)
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).state == "canceled"
    assert rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left == before
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.confirm(order_request(rig.offer), key="confirm:2", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "canceled"


def test_a_zombie_confirm_after_the_tombstone_is_refused(rig: Rig) -> None:
    """The confirm times out, we cancel, and only then it arrives: nothing may be sold."""
    held(rig)
    rig.provoke("confirm", "late_effect")
    with pytest.raises(OutcomeUnknown):
        rig.adapter.confirm(order_request(rig.offer), key="confirm:1", timeout_seconds=TIMEOUT)
    rig.adapter.cancel("ord_1", key="cancel:1", timeout_seconds=TIMEOUT)
    rig.land_zombies()
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).state == "canceled"
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).state == "live"


@pytest.mark.parametrize("operation", ["hold", "confirm"])
def test_a_lost_answer_is_unknown_and_read_back_by_our_reference(rig: Rig, operation: str) -> None:
    if operation == "confirm":
        held(rig)
    rig.provoke(operation, "lost_answer")
    call = held if operation == "hold" else confirmed
    with pytest.raises(OutcomeUnknown):
        call(rig, timeout_seconds=PATIENCE)
    rig.land_zombies()
    if operation == "hold":
        seen = rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT)
        assert (seen.state, len(seen.placed.seats) if seen.placed else 0) == ("live", 4)
    else:
        order = rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT)
        assert (order.state, len(order.confirmed.tickets) if order.confirmed else 0) == ("confirmed", 4)


def test_nothing_was_attempted_when_the_merchant_is_away(rig: Rig) -> None:
    rig.provoke("hold", "unavailable")
    with pytest.raises(Unavailable):
        held(rig)
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).state == "absent"


@pytest.mark.parametrize("operation", ["hold", "confirm"])
@pytest.mark.parametrize("reason", ["sold_out", "price_changed", "invalid_traveler"])
def test_a_refusal_has_a_reason_and_moves_nothing(rig: Rig, operation: str, reason: str) -> None:
    before = rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left
    rig.provoke(operation, reason)
    call = partial(held, rig) if operation == "hold" else partial(confirmed, rig, hold=None)
    with pytest.raises(MerchantRefused) as refused:
        call()
    assert refused.value.reason == reason
    agreed = total(party(rig.offer, 4, discount=100))
    assert refused.value.new_total == (agreed + Money(4 * 500, "EUR") if reason == "price_changed" else None)
    assert rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left == before
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).state == "absent"
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).state == "absent"


def test_a_wrong_total_or_fare_is_a_changed_price(rig: Rig) -> None:
    request = hold_request(rig.offer)
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.place_hold(replace(request, total=Money(1, "EUR")), key="hold:1", timeout_seconds=TIMEOUT)
    assert (refused.value.reason, refused.value.new_total) == ("price_changed", request.total)
    stale = tuple(
        replace(one, full_fare=one.full_fare - Money(50, "EUR"), price=one.price - Money(50, "EUR"))
        for one in request.travelers
    )
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.place_hold(
            replace(request, travelers=stale, total=request.total - Money(200, "EUR")),
            key="hold:2",
            timeout_seconds=TIMEOUT,
        )
    assert (refused.value.reason, refused.value.new_total) == ("price_changed", request.total)


def test_a_party_larger_than_the_train_is_sold_out(rig: Rig) -> None:
    left = rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left
    assert left is not None
    taken = 0
    while left - taken >= 20:
        rig.adapter.place_hold(
            hold_request(rig.offer, 20, f"hld_{taken}x"), key=f"hold:{taken}x", timeout_seconds=TIMEOUT
        )
        taken += 20
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.place_hold(hold_request(rig.offer, 21, "hld_last"), key="hold:last", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "sold_out"
    assert rig.adapter.read_offer(rig.offer.ref, timeout_seconds=TIMEOUT).seats_left == left - taken


def test_two_legs_are_held_and_sold_as_one(rig: Rig) -> None:
    if isinstance(rig.adapter, TwinMerchant):
        there = rig.offer.legs[0]
        back = replace(
            there,
            number="6002",
            origin=there.destination,
            destination=there.origin,
            departs_at=there.departs_at + timedelta(days=2),
            arrives_at=there.arrives_at + timedelta(days=2),
        )
        both = replace(rig.offer, ref="t2", legs=(there, back))
        rig.adapter.offers["t2"] = both
    else:
        day = rig.offer.legs[0].departs_local.date() + timedelta(days=2)
        back_ref = rig.adapter.search(Criteria("Lyon", "Paris", day, limit=1), timeout_seconds=TIMEOUT)[0].ref
        both = rig.adapter.read_offer(f"{rig.offer.ref}_{back_ref}", timeout_seconds=TIMEOUT)
    placed = rig.adapter.place_hold(hold_request(both, 3), key="hold:1", timeout_seconds=TIMEOUT)
    assert sorted((seat.leg, seat.member_id) for seat in placed.seats) == [
        (leg, member(index)) for leg in (0, 1) for index in (1, 2, 3)
    ]
    assert placed.expires_at.astimezone(UTC) > datetime(2020, 1, 1, tzinfo=UTC)


# --- time -----------------------------------------------------------------------------------------------


def test_a_hold_is_kept_longer_and_never_shorter(rig: Rig) -> None:
    placed = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    until = placed.expires_at + timedelta(minutes=30)
    for key in ("extend:1", "extend:1", "extend:2"):  # the end is an instant: asked again, nothing is added
        longer = rig.adapter.extend_hold("hld_1", until=until, key=key, timeout_seconds=TIMEOUT)
        assert (longer.expires_at, longer.seats, longer.merchant_ref) == (until, placed.seats, placed.merchant_ref)
    sooner = placed.expires_at - timedelta(minutes=5)
    kept = rig.adapter.extend_hold("hld_1", until=sooner, key="extend:3", timeout_seconds=TIMEOUT)
    assert kept.expires_at == until
    seen = rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT)
    assert (seen.state, seen.placed) == ("live", longer)


def test_a_refused_extension_leaves_the_old_end(rig: Rig) -> None:
    placed = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    rig.provoke("extend", "not_allowed")
    until = placed.expires_at + timedelta(minutes=30)
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.extend_hold("hld_1", until=until, key="extend:1", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "not_allowed"
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).placed == placed


def test_a_lost_extension_is_found_by_asking_again(rig: Rig) -> None:
    placed = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    until = placed.expires_at + timedelta(minutes=30)
    rig.provoke("extend", "lost_answer")
    with pytest.raises(OutcomeUnknown):
        rig.adapter.extend_hold("hld_1", until=until, key="extend:1", timeout_seconds=PATIENCE)
    rig.land_zombies()
    again = rig.adapter.extend_hold("hld_1", until=until, key="extend:1", timeout_seconds=TIMEOUT)
    assert again.expires_at == until


def test_an_extension_that_lands_behind_the_release_keeps_nothing(rig: Rig) -> None:
    before = seats_left(rig)
    placed = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    until = placed.expires_at + timedelta(minutes=30)
    rig.provoke("extend", "late_effect")
    with pytest.raises(OutcomeUnknown):
        rig.adapter.extend_hold("hld_1", until=until, key="extend:1", timeout_seconds=TIMEOUT)
    rig.adapter.release_hold("hld_1", key="release:1", timeout_seconds=TIMEOUT)
    rig.land_zombies()
    assert rig.adapter.observe_hold("hld_1", timeout_seconds=TIMEOUT).state == "released"
    assert seats_left(rig) == before
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.extend_hold("hld_1", until=until, key="extend:2", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "canceled"


def test_what_is_over_is_not_extended(rig: Rig) -> None:
    placed = rig.adapter.place_hold(hold_request(rig.offer), key="hold:1", timeout_seconds=TIMEOUT)
    rig.let_holds_expire()
    until = placed.expires_at + timedelta(hours=9)
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.extend_hold("hld_1", until=until, key="extend:1", timeout_seconds=TIMEOUT)
    assert refused.value.reason == "hold_expired"


# --- the price and the party of the order ---------------------------------------------------------------


def test_a_price_that_fell_is_what_the_order_costs(rig: Rig) -> None:
    held(rig)
    agreed = total(party(rig.offer, 4, discount=100))
    rig.provoke("confirm", "price_dropped")
    order = confirmed(rig)
    assert order.total == agreed - Money(400, "EUR")
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed == order


def test_a_fare_that_fell_since_the_quote_is_no_refusal(rig: Rig) -> None:
    """We priced from a higher fare than the merchant's own of today."""
    full = rig.offer.fares["saver"] + Money(250, "EUR")
    travelers = tuple(replace(one, full_fare=full, price=full) for one in party(rig.offer, 2))
    request = OrderRequest("ord_1", None, rig.offer.ref, total(travelers), travelers)
    order = rig.adapter.confirm(request, key="confirm:1", timeout_seconds=TIMEOUT)
    assert isinstance(order, ConfirmedOrder)
    assert order.total == total(party(rig.offer, 2))


def test_an_order_says_what_it_costs_when_that_is_more_than_was_agreed(rig: Rig) -> None:
    """A merchant that does this is dishonest or broken; what it said must reach us as it was said."""
    held(rig)
    rig.provoke("confirm", "overcharged")
    assert confirmed(rig).total == total(party(rig.offer, 4, discount=100)) + Money(4 * 500, "EUR")


def test_a_smaller_party_than_held_leaves_places_for_others(rig: Rig) -> None:
    before = seats_left(rig)
    placed = rig.adapter.place_hold(hold_request(rig.offer, 4), key="hold:1", timeout_seconds=TIMEOUT)
    order = rig.adapter.confirm(order_request(rig.offer, 3), key="confirm:1", timeout_seconds=TIMEOUT)
    assert isinstance(order, ConfirmedOrder)
    assert set(order.seats) == {seat for seat in placed.seats if seat.member_id != member(4)}
    assert seats_left(rig) == before - 3


def test_a_larger_party_than_held_gets_the_held_places_and_free_ones(rig: Rig) -> None:
    before = seats_left(rig)
    placed = rig.adapter.place_hold(hold_request(rig.offer, 2), key="hold:1", timeout_seconds=TIMEOUT)
    order = rig.adapter.confirm(order_request(rig.offer, 3), key="confirm:1", timeout_seconds=TIMEOUT)
    assert isinstance(order, ConfirmedOrder)
    assert set(placed.seats) < set(order.seats)
    assert len({(seat.coach, seat.place) for seat in order.seats}) == 3
    assert seats_left(rig) == before - 3


# --- later ----------------------------------------------------------------------------------------------


def test_an_order_may_be_answered_later(rig: Rig) -> None:
    held(rig)
    rig.provoke("confirm", "pending")
    answer = rig.adapter.confirm(order_request(rig.offer), key="confirm:1", timeout_seconds=TIMEOUT)
    assert isinstance(answer, PendingOrder)
    seen = rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT)
    assert (seen.state, seen.confirmed, seen.merchant_ref) == ("pending", None, answer.merchant_ref)
    rig.let_pending_be_decided()
    order = rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed
    assert order is not None
    assert (order.merchant_ref, len(order.tickets)) == (answer.merchant_ref, 4)


def test_a_pending_order_can_be_canceled_for_good(rig: Rig) -> None:
    before = seats_left(rig)
    rig.provoke("confirm", "pending")
    rig.adapter.confirm(order_request(rig.offer, hold=None), key="confirm:1", timeout_seconds=TIMEOUT)
    rig.adapter.cancel("ord_1", key="cancel:1", timeout_seconds=TIMEOUT)
    rig.let_pending_be_decided()
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).state == "canceled"
    assert seats_left(rig) == before


# --- changes of an order that stands --------------------------------------------------------------------


def test_one_member_is_taken_off_and_the_others_pay_no_more(rig: Rig) -> None:
    before = seats_left(rig)
    order = confirmed(rig, hold=None)
    agreed = total(party(rig.offer, 4, discount=100))
    own = rig.offer.fares["saver"] - Money(100, "EUR")
    left = agreed - Money(own.minor // 2, "EUR")  # both merchants keep half
    told = rig.adapter.price_change("ord_1", CancelMember(member(2)), timeout_seconds=TIMEOUT)
    assert (told.total, seats_left(rig)) == (left, before - 4)
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed == order
    for _ in range(2):  # the same change again changes nothing
        changed = amended(rig, CancelMember(member(2)), agreed.minor)
        assert changed.total == left
        assert {ticket.member_id for ticket in changed.tickets} == {member(1), member(3), member(4)}
        assert set(changed.seats) == {seat for seat in order.seats if seat.member_id != member(2)}
        assert seats_left(rig) == before - 3
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed == changed


def test_a_friend_takes_the_place_of_another(rig: Rig) -> None:
    order = confirmed(rig, hold=None)
    agreed = total(party(rig.offer, 4, discount=100))
    swap = ReplaceMember(member(2), Traveler(member(9), "Bo"))
    assert rig.adapter.price_change("ord_1", swap, timeout_seconds=TIMEOUT).total == agreed
    changed = amended(rig, swap, agreed.minor)
    assert changed.total == agreed
    place = {(seat.coach, seat.place) for seat in order.seats if seat.member_id == member(2)}
    assert {(seat.coach, seat.place) for seat in changed.seats if seat.member_id == member(9)} == place
    codes = {ticket.code for ticket in order.tickets}
    (fresh,) = [ticket for ticket in changed.tickets if ticket.member_id == member(9)]
    assert fresh.code not in codes
    assert {ticket.member_id for ticket in changed.tickets} == {member(index) for index in (1, 3, 4, 9)}


def test_an_order_is_sold_at_a_new_total(rig: Rig) -> None:
    order = confirmed(rig, hold=None)
    changed = amended(rig, Reprice(Money(20_000, "EUR")), 20_000)
    assert (changed.total, changed.seats, changed.tickets) == (Money(20_000, "EUR"), order.seats, order.tickets)


@pytest.mark.parametrize("reason", ["not_allowed", "too_late", "price_changed"])
def test_a_refused_change_changes_nothing(rig: Rig, reason: str) -> None:
    order = confirmed(rig, hold=None)
    before = seats_left(rig)
    agreed = total(party(rig.offer, 4, discount=100))
    rig.provoke("amend", reason)
    with pytest.raises(MerchantRefused) as refused:
        amended(rig, ReplaceMember(member(2), Traveler(member(9), "Bo")), agreed.minor)
    assert refused.value.reason == reason
    assert refused.value.new_total == (agreed + Money(500, "EUR") if reason == "price_changed" else None)
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed == order
    assert seats_left(rig) == before


@pytest.mark.parametrize("reason", ["not_allowed", "too_late"])
def test_a_change_that_would_be_refused_has_no_price(rig: Rig, reason: str) -> None:
    order = confirmed(rig, hold=None)
    rig.provoke("price", reason)
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.price_change("ord_1", CancelMember(member(2)), timeout_seconds=TIMEOUT)
    assert refused.value.reason == reason
    for stranger in (CancelMember(member(9)), ReplaceMember(member(9), Traveler(member(8), "Bo"))):
        with pytest.raises(MerchantRefused) as refused:
            rig.adapter.price_change("ord_1", stranger, timeout_seconds=TIMEOUT)
        assert refused.value.reason == "invalid_traveler"
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed == order
    rig.adapter.cancel("ord_1", key="cancel:1", timeout_seconds=TIMEOUT)
    with pytest.raises(MerchantRefused) as refused:
        rig.adapter.price_change("ord_1", CancelMember(member(2)), timeout_seconds=TIMEOUT)
    assert refused.value.reason == "canceled"


def test_a_stranger_cannot_be_taken_off(rig: Rig) -> None:
    order = confirmed(rig, hold=None)
    with pytest.raises(MerchantRefused) as refused:
        amended(rig, CancelMember(member(9)), 99_999)
    assert refused.value.reason == "invalid_traveler"
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed == order


@pytest.mark.parametrize("trouble", ["lost_answer", "late_effect"])
def test_a_change_whose_answer_is_lost_is_made_once(rig: Rig, trouble: str) -> None:
    confirmed(rig, hold=None)
    before = seats_left(rig)
    agreed = total(party(rig.offer, 4, discount=100))
    rig.provoke("amend", trouble)
    with pytest.raises(OutcomeUnknown):
        amended(rig, CancelMember(member(2)), agreed.minor, timeout_seconds=PATIENCE)
    first = amended(rig, CancelMember(member(2)), agreed.minor)
    rig.land_zombies()
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).confirmed == first
    assert seats_left(rig) == before + 1


def test_a_canceled_order_is_not_changed(rig: Rig) -> None:
    confirmed(rig, hold=None)
    rig.adapter.cancel("ord_1", key="cancel:1", timeout_seconds=TIMEOUT)
    with pytest.raises(MerchantRefused) as refused:
        amended(rig, CancelMember(member(2)), 99_999)
    assert refused.value.reason == "canceled"
    assert rig.adapter.observe_order("ord_1", timeout_seconds=TIMEOUT).state == "canceled"
