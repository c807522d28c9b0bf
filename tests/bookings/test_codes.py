"""Discount codes through the saga: reserved at the opening, redeemed when booked, given back when it fails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from groupbook import bookings, discounts, people, trips
from groupbook.bookings.domain import BookingState
from groupbook.discounts import CodeDraft, CodeNotUsable, CodeUse, DiscountCode
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.ids import BookingId, TripId, new_id
from groupbook.kit.money import Money
from groupbook.trips import StartTrip
from groupbook.trips.service.plan import NewOption
from tests.support.saga import Saga

RULES = {
    rule["id"]: rule
    for rule in json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))["rules"]
}


class CodeSaga:
    """A saga whose merchant has one code: 10 % off its owner's own line."""

    def __init__(self, saga: Saga, rule: str = "shop.own10", **limits: Any) -> None:
        self.saga = saga
        with saga.database.begin(saga.merchant_id) as session:
            now = clock.now(session)
            document = {"rules": [RULES["shop.own10"], RULES["shop.pct10"]]}
            discounts.put_catalogue(session, document, starts_on=date(2026, 1, 1), now=now)
            self.code: DiscountCode = discounts.create_code(session, CodeDraft("OWN10", rule, **limits), now=now)

    def enter(self, caller: Caller) -> None:
        assert caller.subject is not None
        with self.saga.database.begin(self.saga.merchant_id) as session:
            discounts.add_code(session, caller.subject, "own10", now=clock.now(session))

    def another_trip(self, name: str) -> tuple[Caller, TripId]:
        """Somebody else's trip, decided on the same train."""
        house = self.saga
        plan = StartTrip(title="Sea", organizer_name=name, options=[NewOption(offer_id=house.offer_id)])
        started = trips.start_trip(house.database, house.house.sealer, house.desk, plan)
        caller = people.authenticate(house.database, started.guest_token or "")
        assert caller is not None
        with house.database.begin(house.merchant_id) as session:
            (option,) = trips.options(session, started.trip_id)
        trips.decide(house.database, caller, started.trip_id, option.id)
        return caller, started.trip_id

    def open(self, caller: Caller, trip_id: TripId) -> BookingId:
        return bookings.open_booking(self.saga.database, caller, trip_id, policy=self.saga.house.policy)

    def counted(self) -> tuple[int, list[str]]:
        with self.saga.database.begin(self.saga.merchant_id) as session:
            rows = discounts.list_redemptions(session, self.code.id, None, 50).rows
            return discounts.read_code(session, self.code.id).uses, sorted(row.state.value for row in rows)


@pytest.fixture
def own10(saga: Callable[..., Saga]) -> Callable[..., CodeSaga]:
    return lambda *names, **more: CodeSaga(saga(*names), **more)


def test_a_code_is_reserved_while_open_and_redeemed_when_booked(own10: Callable[..., CodeSaga]) -> None:
    shop = own10("ada", "bo", uses_max=1)
    house = shop.saga
    shop.enter(house.friends["bo"])
    booking_id = house.open()
    assert shop.counted() == (1, ["reserved"])
    house.run_until_quiet()
    assert house.booking().total.minor == 9_500
    for name in ("ada", "bo"):
        house.pay(name)
    assert (house.booking().state, shop.counted()) == (BookingState.BOOKED, (1, ["redeemed"]))
    house.run_until_quiet()
    bookings.cancel_booking(house.database, house.friends["ada"], booking_id)
    house.run_until_quiet()
    assert (house.booking().state, shop.counted()) == (BookingState.REFUNDED, (0, ["released"]))


def test_a_code_on_the_order_is_redeemed_once_for_everybody(own10: Callable[..., CodeSaga]) -> None:
    shop = own10("ada", "bo", rule="shop.pct10", uses_max=1)
    house = shop.saga
    shop.enter(house.friends["bo"])
    house.open()
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    assert (house.booking().state, house.booking().total.minor) == (BookingState.BOOKED, 9_000)
    assert shop.counted() == (1, ["redeemed"])


@pytest.mark.parametrize("end", ["deadline", "canceled", "sold_out", "rejected"])
def test_a_booking_that_comes_to_nothing_gives_the_code_back(own10: Callable[..., CodeSaga], end: str) -> None:
    """Then the group may try again, with the code."""
    shop = own10("ada", "bo", uses_max=1)
    house = shop.saga
    shop.enter(house.friends["bo"])
    if end == "sold_out":
        house.merchant_twin.provoke("hold", "sold_out")
    booking_id = house.open()
    assert shop.counted() == (1, ["reserved"])
    house.run_until_quiet()
    if end == "deadline":
        house.travel(minutes=31)
    elif end == "canceled":
        bookings.cancel_booking(house.database, house.friends["ada"], booking_id)
    elif end == "rejected":
        house.merchant_twin.provoke("confirm", "price_changed")
        for name in ("ada", "bo"):
            house.pay(name)
    house.run_until_quiet()
    assert (house.booking().state, shop.counted()) == (BookingState.ABORTED, (0, ["released"]))
    house.open()
    assert (house.booking().total.minor, shop.counted()) == (9_500, (1, ["released", "reserved"]))


def test_a_booking_that_its_merchant_keeps_keeps_its_code(own10: Callable[..., CodeSaga]) -> None:
    """The merchant will not take a paid order back: it stays booked, and nobody else gets the code."""
    shop = own10("ada", uses_max=1)
    house = shop.saga
    shop.enter(house.friends["ada"])
    booking_id = house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.merchant_twin.provoke("cancel", "not_cancelable")
    bookings.cancel_booking(house.database, house.friends["ada"], booking_id)
    house.run_until_quiet()
    assert (house.booking().state, shop.counted()) == (BookingState.BOOKED, (1, ["redeemed"]))


def test_hearing_everything_twice_counts_once(own10: Callable[..., CodeSaga]) -> None:
    shop = own10("ada", "bo", uses_max=1)
    house = shop.saga
    shop.enter(house.friends["bo"])
    assert house.open() == house.open()
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    house.execute("UPDATE fact SET delivered_at = NULL")
    house.run_until_quiet()
    assert (house.booking().state, shop.counted()) == (BookingState.BOOKED, (1, ["redeemed"]))


def test_somebody_faster_leaves_the_opening_refused_and_nothing_moved(own10: Callable[..., CodeSaga]) -> None:
    """Ada's price was made with the last use; before it is reserved, somebody else takes it. Asked again, she pays the
    full fare: the new price is made without the code.
    """
    shop = own10("ada", "bo", uses_max=1)
    house = shop.saga
    shop.enter(house.friends["ada"])
    refused: list[CodeNotUsable] = []

    def open_it() -> None:
        try:
            house.open()
        except CodeNotUsable as error:
            refused.append(error)

    opening = threading.Thread(target=open_it)
    with house.database.begin(house.merchant_id) as session:
        faster = CodeUse(shop.code.id, "shop.own10", Money(500, "EUR"))
        discounts.reserve_codes(session, new_id(), [(new_id(), faster)], now=clock.now(session))
        opening.start()
        _until_somebody_waits(session)
    opening.join()
    assert [error.params for error in refused] == [{"reason": "used_up"}]
    for table in ("booking", "quote", "hold", "portion", "intent"):
        assert house.count(f"SELECT count(*) FROM {table}") == 0, table
    assert (house.trip_state(), shop.counted()) == ("decided", (1, ["reserved"]))
    house.open()
    assert (house.booking().total.minor, shop.counted()) == (10_000, (1, ["reserved"]))


def _until_somebody_waits(session: Session) -> None:
    for _ in range(200):
        if session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits for the code")


def test_five_groups_at_once_use_a_code_as_often_as_it_may_be_used(own10: Callable[..., CodeSaga]) -> None:
    """Whoever comes too late is refused, or gets a price without the code; every booking that counts it has it."""
    shop = own10("zoe", uses_max=2)
    house = shop.saga
    groups = [shop.another_trip(f"Ana {number}") for number in range(5)]
    for caller, _ in groups:
        shop.enter(caller)

    def open_one(group: tuple[Caller, TripId]) -> str:
        try:
            shop.open(*group)
        except CodeNotUsable:
            return "refused"
        return "opened"

    with ThreadPoolExecutor(5) as threads:
        outcomes = list(threads.map(open_one, groups))
    assert shop.counted() == (2, ["reserved", "reserved"])
    with_code = house.count("SELECT count(*) FROM booking WHERE total = 4500")
    assert (with_code, house.count("SELECT count(*) FROM booking")) == (2, outcomes.count("opened"))
    for group in groups:
        shop.open(*group)  # once more: the open ones are found, the refused ones open without the code
    assert house.count("SELECT count(*) FROM booking WHERE total = 5000") == 3
    assert shop.counted() == (2, ["reserved", "reserved"])


def test_a_code_is_told_to_its_owner_and_not_to_the_others(own10: Callable[..., CodeSaga]) -> None:
    shop = own10("ada", "bo")
    house = shop.saga
    shop.enter(house.friends["bo"])
    house.open()
    house.run_until_quiet()
    seen = {name: {line.name: line.price for line in house.booking(name).portions} for name in ("ada", "bo")}
    mine = seen["bo"]["bo"]
    assert mine is not None
    assert [use.code_id for use in mine.codes] == [shop.code.id]
    assert seen["ada"]["bo"] is None
    assert "OWN10" not in repr(seen["ada"])
