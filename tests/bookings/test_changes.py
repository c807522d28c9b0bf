"""What may happen besides the straight way: fewer people, other prices, failed captures, changes after booking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from groupbook import bookings, notices, offers, payments
from groupbook.bookings import Change
from groupbook.bookings.domain import AmendmentIncomplete, AmendmentOpen, BookingClosed, BookingState, NotTraveling
from groupbook.kit import clock, intents
from groupbook.kit.database import lookup
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.payments.domain import PortionState
from tests.support.operators import OPS
from tests.support.saga import OFFER, Saga

MakeSaga = Callable[..., Saga]
DAY = 86_400


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def opened(saga: MakeSaga, *names: str, **settings: object) -> Saga:
    house = saga(*names)
    house.settle(**settings)
    house.open()
    house.run_until_quiet()
    return house


def booked(saga: MakeSaga, *names: str, **settings: object) -> Saga:
    house = opened(saga, *names, **settings)
    for name in names:
        house.pay(name)
    assert house.booking().state is BookingState.BOOKED
    return house


def taken(house: Saga) -> int:
    return sum(amount for _, amount in house.provider.captures)


def given_back(house: Saga) -> int:
    return sum(amount for _, amount in house.provider.refunds)


def amend(house: Saga, who: str, change: Change) -> None:
    bookings.amend_booking(house.database, house.friends[who], house.booking().id, change)
    house.run_until_quiet()


# --- fewer people -----------------------------------------------------------------------------------------------------


def test_who_leaves_before_the_freeze_is_released_and_the_others_go(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    house.pay("cy")
    cy = house._attempt("cy")
    bookings.leave_booking(house.database, house.friends["cy"], house.booking().id)
    bookings.leave_booking(house.database, house.friends["cy"], house.booking().id)
    house.run_until_quiet()
    assert house.provider.voids == [cy]
    assert (house.booking().state, house.booking().total) == (BookingState.OPEN, eur(10_000))
    for name in ("ada", "bo"):
        house.pay(name)
    assert house.booking().state is BookingState.BOOKED
    assert house.states() == {"ada": "captured", "bo": "captured"}
    assert taken(house) == 10_000
    (order,) = house.merchant_twin.live_orders()
    assert house.merchant_twin.live_holds() == []
    assert order
    assert "reallocated" in [step.event for step in house.steps()]


def test_the_last_one_to_leave_gives_the_booking_up(saga: MakeSaga) -> None:
    house = opened(saga, "ada")
    bookings.leave_booking(house.database, house.friends["ada"], house.booking().id)
    house.run_until_quiet()
    assert (house.booking().state, house.merchant_twin.live_holds()) == (BookingState.ABORTED, [])


def test_nobody_leaves_once_it_is_being_decided(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    house.merchant_twin.provoke("confirm", "unavailable", 6)
    for name in ("ada", "bo"):
        house.pay(name)
    before = house.states()
    with pytest.raises(BookingClosed):
        bookings.leave_booking(house.database, house.friends["bo"], house.booking().id)
    assert house.states() == before


def test_enough_payers_go_without_the_rest(saga: MakeSaga) -> None:
    """Two of three are the payer quorum: at the deadline the party shrinks to them, once."""
    house = opened(saga, "ada", "bo", "cy", payer_quorum=2)
    for name in ("ada", "bo"):
        house.pay(name)
    house.page("cy")
    assert house.booking().state is BookingState.OPEN
    house.travel(minutes=29)
    house.run_until_quiet()
    assert (house.booking().state, house.booking().total) == (BookingState.BOOKED, eur(10_000))
    assert (house.states(), taken(house)) == ({"ada": "captured", "bo": "captured"}, 10_000)
    events = [step.event for step in house.steps()]
    assert events.count("looked_quorum") == 1


@pytest.mark.parametrize("payer_quorum", [None, 2])
def test_who_is_kept_too_briefly_is_asked_anew(saga: MakeSaga, payer_quorum: int | None) -> None:
    """Cy's bank keeps the money for five hours; the merchant's answer and the captures may take six."""
    house = opened(saga, "ada", "bo", "cy", **({"payer_quorum": 2} if payer_quorum else {}))
    house.pay("ada")
    house.page("cy")
    brief = house._attempt("cy")
    house.provider.authorize(brief, seconds=5 * 3600)
    house.refresh("cy")
    assert house.states() == {"ada": "authorized", "bo": "open", "cy": "expired"}
    assert (house.provider.voids, house.facts("portion.expired")) == ([brief], 1)
    with house.database.begin(house.merchant_id) as session:
        told = [one.code.value for one in notices.notices_for(session, house.members["cy"])]
    assert told == ["please_pay"]
    house.pay("cy")
    house.pay("bo")
    assert (house.booking().state, taken(house)) == (BookingState.BOOKED, 15_000)
    assert brief not in [attempt for attempt, _ in house.provider.captures]


def test_an_authorization_that_becomes_too_short_is_asked_for_anew_in_time(saga: MakeSaga) -> None:
    """A deadline in two days, enough for five hours of capturing; Bo's bank keeps the money for a day only."""
    house = saga("ada", "bo")
    house.offer_capabilities(Capabilities(holds=False))
    house.settle(collection_window_seconds=2 * DAY)
    house.open()
    house.run_until_quiet()
    house.page("bo")
    brief = house._attempt("bo")
    house.provider.authorize(brief, seconds=DAY)
    house.refresh("bo")
    assert house.states()["bo"] == "authorized", "it would do if Ada came now"
    booking_id = house.id
    for left, state in (("6 hours 30 minutes", "authorized"), ("6 hours 20 minutes", "expired")):
        # The twin's bank keeps to real time: what is left is set by hand.
        house.execute(f"UPDATE attempt SET capture_before = clock_timestamp() + interval '{left}'")
        with house.database.begin(house.merchant_id) as session:
            bookings.progress(session, booking_id)
        assert house.states()["bo"] == state
    house.run_until_quiet()
    assert (house.states()["bo"], house.provider.voids) == ("expired", [brief])
    house.pay("bo")
    house.pay("ada")
    assert (house.booking().state, taken(house)) == (BookingState.BOOKED, 10_000)


def test_too_few_payers_are_all_released(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", payer_quorum=2)
    house.pay("ada")
    house.travel(minutes=29)
    house.run_until_quiet()
    assert (house.booking().state, house.provider.captures, len(house.provider.voids)) == (BookingState.ABORTED, [], 1)


def test_the_deadline_moves_once(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", extension_seconds=600)
    house.pay("ada")
    first = house.booking().deadline_at
    house.travel(minutes=29)
    house.run_until_quiet()
    second = house.booking().deadline_at
    assert house.booking().state in (BookingState.OPEN, BookingState.VOIDING, BookingState.ABORTED)
    assert first is not None
    assert second is not None
    assert second > first
    assert [step.event for step in house.steps()].count("deadline_extended") == 1


# --- other prices -----------------------------------------------------------------------------------------------------


def test_everybody_pays_less_when_the_merchant_sells_for_less(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    house.merchant_twin.provoke("confirm", "price_dropped")
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    view = house.booking()
    assert view.state is BookingState.BOOKED
    assert view.total < eur(15_000)
    assert taken(house) == view.total.minor
    with house.database.begin(house.merchant_id) as session:
        ledger = payments.statement(session, view.id)
    assert (ledger.total, ledger.captured, ledger.receivable) == (view.total, view.total, eur(0))


def test_without_a_hold_a_price_that_rose_asks_again(saga: MakeSaga) -> None:
    """The merchant keeps no places: at the tip it is asked again, wants more, and everybody has to agree anew."""
    house = saga("ada", "bo")
    house.offer_capabilities(Capabilities(holds=False))
    house.open()
    house.run_until_quiet()
    assert house.booking().state is BookingState.OPEN
    house.pay("ada")
    house.raise_price(6_000)
    house.pay("bo")
    assert (house.booking().state, house.booking().total) == (BookingState.OPEN, eur(12_000))
    assert house.states() == {"ada": "open", "bo": "open"}
    assert (taken(house), house.merchant_twin.live_orders()) == (0, [])
    for name in ("ada", "bo"):
        house.pay(name)
    assert house.booking().state is BookingState.BOOKED
    assert taken(house) == 12_000
    assert len(house.provider.voids) == 2


def test_without_a_hold_a_train_that_sold_out_charges_nobody(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.offer_capabilities(Capabilities(holds=False))
    house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.merchant_twin.offers[OFFER] = replace(house.merchant_twin.offers[OFFER], seats_left=1)
    house.pay("bo")
    assert (house.booking().state, house.booking().reason) == (BookingState.ABORTED, "sold_out")
    assert (taken(house), len(house.provider.voids)) == (0, 2)


# --- cards kept for later ---------------------------------------------------------------------------------------------


def test_a_far_deadline_keeps_cards_and_authorizes_when_everybody_is_in(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.offer_capabilities(Capabilities(holds=False))
    house.settle(collection_window_seconds=6 * DAY, authorize_ahead_seconds=1 * DAY)
    house.open()
    house.run_until_quiet()
    house.pay("ada")
    assert house.states() == {"ada": "saved", "bo": "open"}
    house.pay("bo")
    assert house.booking().state is BookingState.BOOKED
    assert taken(house) == 10_000


# --- the ladder -------------------------------------------------------------------------------------------------------


def short_of_bo(saga: MakeSaga, **settings: object) -> Saga:
    """The merchant confirmed, and Bo's bank takes its promise back before the capture."""
    house = opened(saga, "ada", "bo", **settings)
    house.merchant_twin.provoke("confirm", "unavailable", 6)
    for name in ("ada", "bo"):
        house.pay(name)
    house.provider.lapse(house._attempt("bo"))
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        payments.observe_all(session, booking_id)
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    return house


def test_a_failed_capture_is_paid_again_by_the_same_payer(saga: MakeSaga) -> None:
    house = short_of_bo(saga)
    assert house.booking().state is BookingState.RECOVERING
    assert house.states() == {"ada": "captured", "bo": "short"}
    assert house.portion("bo").is_payable_by_me is False  # the desk is not Bo
    house.pay("bo")
    assert house.booking().state is BookingState.BOOKED
    assert (taken(house), given_back(house)) == (10_000, 0)


def test_a_failed_capture_is_paid_by_a_friend(saga: MakeSaga) -> None:
    house = short_of_bo(saga)
    portion_id = house.portion("bo").portion_id
    assert portion_id is not None
    bookings.take_over(house.database, house.friends["ada"], portion_id)
    house.pay("bo", payer="ada")
    assert (house.booking().state, taken(house)) == (BookingState.BOOKED, 10_000)


def test_a_card_kept_for_that_is_charged_once_more(saga: MakeSaga) -> None:
    house = short_of_bo(saga, keeps_cards=True)
    assert house.booking().state is BookingState.BOOKED
    assert (house.states(), taken(house)) == ({"ada": "captured", "bo": "captured"}, 10_000)


def test_a_merchant_that_accepted_it_beforehand_is_owed_the_rest(saga: MakeSaga) -> None:
    house = short_of_bo(saga, shortfall="receivable")
    house.travel(hours=25)
    house.run_until_quiet()
    assert house.booking().state is BookingState.BOOKED
    assert (house.states(), taken(house)) == ({"ada": "captured", "bo": "covered"}, 5_000)
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        ledger = payments.statement(session, booking_id)
    assert (ledger.total, ledger.captured, ledger.receivable) == (eur(10_000), eur(5_000), eur(5_000))


def test_who_pays_while_the_order_is_taken_back_is_released(saga: MakeSaga) -> None:
    """P1: Bo's page is still open when the ladder ends; what lands on it is not taken."""
    house = short_of_bo(saga)
    house.page("bo")
    late = house._attempt("bo")
    house.merchant_twin.provoke("cancel", "unavailable", 6)
    bookings.cancel_booking(house.database, house.friends["ada"], house.id)
    house.provider.authorize(late)
    house.run_until_quiet()
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    assert (house.booking().state, house.provider.voids) == (BookingState.REFUNDED, [late])
    assert taken(house) == given_back(house) == 5_000


def test_the_organizer_may_end_the_ladder(saga: MakeSaga) -> None:
    house = short_of_bo(saga)
    bookings.cancel_booking(house.database, house.friends["ada"], house.booking().id)
    house.run_until_quiet()
    assert (house.booking().state, house.merchant_twin.live_orders()) == (BookingState.REFUNDED, [])
    assert taken(house) == given_back(house) == 5_000
    assert house.trip_state() == "decided"


def test_a_merchant_that_keeps_an_order_nobody_can_pay_parks_it(saga: MakeSaga) -> None:
    house = short_of_bo(saga)
    house.merchant_twin.provoke("cancel", "not_cancelable")
    house.travel(hours=25)
    house.run_until_quiet()
    assert house.booking().state is BookingState.PARKED
    assert house.steps()[-1].event == "order_stands"
    assert house.facts("booking.parked") == 1
    bookings.resume_booking(house.database, house.merchant_id, house.id, OPS)
    house.run_until_quiet()
    house.pay("bo")
    assert (house.booking().state, taken(house), given_back(house)) == (BookingState.BOOKED, 10_000, 0)


def test_a_merchant_that_takes_its_yes_back_before_the_tickets_came_is_a_persons_matter(saga: MakeSaga) -> None:
    """It is read no longer; resumed, it is asked to cancel, and by that answer everybody gets their money back."""
    house = opened(saga, "ada", "bo")
    house.merchant_twin.provoke("confirm", "tickets_later")
    for name in ("ada", "bo"):
        house.pay(name)
    assert (house.booking().state, taken(house)) == (BookingState.CAPTURING, 10_000)
    for order in house.merchant_twin._orders.values():
        order.state = "canceled"
    looks = "kind = 'offers.look_at_order' AND state = 'due'"
    house.execute(f"UPDATE intent SET due_at = clock_timestamp() WHERE {looks}")
    house.run_until_quiet()
    assert (house.booking().state, house.facts("order.discrepant")) == (BookingState.PARKED, 1)
    assert house.count(f"SELECT count(*) FROM intent WHERE {looks}") == 0
    bookings.resume_booking(house.database, house.merchant_id, house.id, OPS)
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    assert (house.states(), given_back(house)) == ({"ada": "refunded", "bo": "refunded"}, 10_000)


def test_an_order_that_is_gone_at_the_merchant_is_noticed_within_a_day(saga: MakeSaga) -> None:
    """A cancellation lands long after the tickets came. Resumed, everybody gets their money back."""
    house = opened(saga, "ada", "bo")
    for name in ("ada", "bo"):
        house.pay(name)
    assert house.booking().state is BookingState.BOOKED
    looks = "SELECT count(*) FROM intent WHERE kind = 'offers.look_at_order'"
    for days in (1, 1):
        house.travel(days=days, minutes=1)
        house.run_until_quiet()
    assert (house.count(looks), house.facts("order.discrepant")) == (2, 0), "once a day, and all is well"
    for order in house.merchant_twin._orders.values():
        order.state = "canceled"
    house.run_until_quiet()
    assert (house.booking().state, house.count(looks)) == (BookingState.BOOKED, 2), "not before its time"
    house.travel(days=1, minutes=1)
    house.run_until_quiet()
    assert (house.booking().state, house.facts("order.discrepant"), house.count(looks)) == (BookingState.PARKED, 1, 3)
    assert given_back(house) == 0
    bookings.resume_booking(house.database, house.merchant_id, house.id, OPS)
    house.run_until_quiet()
    assert (house.booking().state, given_back(house)) == (BookingState.REFUNDED, 10_000)


def test_an_order_that_the_merchant_does_not_know_any_more_is_an_alarm_and_nothing_moves(saga: MakeSaga) -> None:
    """Its books may have been put back: told once, however often it is read, until the order is there again."""
    house = opened(saga, "ada", "bo")
    for name in ("ada", "bo"):
        house.pay(name)
    orders = house.merchant_twin._orders.copy()
    house.merchant_twin._orders.clear()
    with capture_logs() as logs:
        for _ in range(2):
            house.travel(days=1, minutes=1)
            house.run_until_quiet()
    said = [line for line in logs if line.get("alarm") == "order.absent"]
    assert [(line["log_level"], line["reference"]) for line in said] == [("error", house.id.hex)]
    assert rows_that_wait(house)["order_absent"] == 1
    assert (house.booking().state, house.states(), given_back(house)) == (
        BookingState.BOOKED,
        {"ada": "captured", "bo": "captured"},
        0,
    )
    house.merchant_twin._orders.update(orders)
    house.travel(days=1, minutes=1)
    house.run_until_quiet()
    assert rows_that_wait(house)["order_absent"] == 0
    story = bookings.read_story(house.database, house.merchant_id, house.id)
    told = [entry.name for entry in story.entries if entry.name in ("order.absent", "order.found")]
    assert told == ["order.absent", "order.found"]
    assert [(house.facts(name), house.count(EVENTS.format(name))) for name in told] == [(1, 1), (1, 1)]


EVENTS = "SELECT count(*) FROM event WHERE type = '{}'"


def rows_that_wait(house: Saga) -> dict[str, int]:
    """As /metrics shows them."""
    with house.database.begin_unbound() as session:
        counts: dict[str, int] = lookup(session, "count_pending_rows")["rows"]
    return counts


def test_an_order_whose_train_has_left_is_read_no_more(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    for name in ("ada", "bo"):
        house.pay(name)
    house.travel(days=10)
    house.run_until_quiet()
    assert house.count("SELECT count(*) FROM intent WHERE kind = 'offers.look_at_order'") == 0


def test_a_look_from_before_we_took_the_order_back_says_nothing(saga: MakeSaga) -> None:
    """The look is under way while everybody cancels: it may show an order that stands, or one that is gone."""
    house = opened(saga, "ada", "bo")
    for name in ("ada", "bo"):
        house.pay(name)
    bookings.cancel_booking(house.database, house.friends["ada"], house.id)
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        order = offers.order_of(session, booking_id)
        assert order is not None
        intents.owe(session, "offers.look_at_order", order.id, {"standing": True}, reference=order.reference)
    for sold in house.merchant_twin._orders.values():
        sold.state = "confirmed"
    house.run_until_quiet()
    assert house.facts("order.discrepant") == 0


def test_what_is_owed_is_not_taken_once_the_merchant_took_its_yes_back(saga: MakeSaga) -> None:
    """The provider was away when everybody was to be captured; when it is back, there is no order to take money for."""
    house = opened(saga, "ada", "bo")
    house.merchant_twin.provoke("confirm", "tickets_later")
    for _ in range(50):
        house.provider.plan("capture", "unavailable")
    for name in ("ada", "bo"):
        house.pay(name)
    assert (house.booking().state, taken(house)) == (BookingState.CAPTURING, 0)
    for order in house.merchant_twin._orders.values():
        order.state = "canceled"
    due = "UPDATE intent SET due_at = clock_timestamp() WHERE kind = '{}' AND state IN ('due', 'unknown')"
    house.execute(due.format("offers.look_at_order"))
    house.run_until_quiet()
    assert (house.booking().state, house.facts("order.discrepant")) == (BookingState.PARKED, 1)
    house.provider._plans.clear()
    house.execute(due.format("payment.capture"))
    house.run_until_quiet()
    assert (taken(house), house.states()) == (0, {"ada": "short", "bo": "short"})
    assert len(house.provider.voids) == 2
    bookings.resume_booking(house.database, house.merchant_id, house.id, OPS)
    house.run_until_quiet()
    assert (house.booking().state, taken(house)) == (BookingState.REFUNDED, 0)


def test_a_resumed_booking_asks_for_no_order_that_it_could_not_capture(saga: MakeSaga) -> None:
    """It was parked for long: five hours are left of the authorizations, and capturing may take six."""
    house = opened(saga, "ada", "bo")
    house.merchant_twin.provoke("confirm", "unavailable", 50)
    for name in ("ada", "bo"):
        house.pay(name)
    assert house.booking().state is BookingState.CONFIRMING
    house.execute("UPDATE booking SET state = 'parked', resume_state = 'confirming'")
    house.execute("UPDATE attempt SET capture_before = clock_timestamp() + interval '5 hours'")
    house.merchant_twin._troubles.clear()
    bookings.resume_booking(house.database, house.merchant_id, house.id, OPS)
    house.run_until_quiet()
    assert (house.booking().state, taken(house)) == (BookingState.ABORTED, 0)
    assert house.merchant_twin.live_orders() == []
    assert set(house.states().values()) == {"voided"}


def test_a_merchant_that_keeps_a_paid_order_leaves_it_booked(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    house.merchant_twin.provoke("cancel", "not_cancelable")
    bookings.cancel_booking(house.database, house.friends["ada"], house.booking().id)
    house.run_until_quiet()
    assert (house.booking().state, given_back(house)) == (BookingState.BOOKED, 0)
    assert house.facts("booking.confirmed") == 1
    assert house.trip_state() == "booked"


# --- after booking ----------------------------------------------------------------------------------------------------


def test_one_place_is_given_back_and_only_its_payer_is_refunded(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo", "cy")
    amend(house, "bo", Change("cancel", house.members["bo"]))
    view = house.booking()
    assert view.state is BookingState.BOOKED
    assert house.states() == {"ada": "captured", "bo": "refunded", "cy": "captured"}
    assert (taken(house) - given_back(house), view.total) == (10_000, eur(10_000))
    tickets = bookings.read_tickets(house.database, house.desk, view.id)
    assert {ticket.member_id for ticket in tickets} == {house.members["ada"], house.members["cy"]}
    assert (house.facts("booking.amended"), house.facts("booking.confirmed")) == (1, 1)


def test_who_stays_pays_for_no_more_than_the_order_after_one_left(saga: MakeSaga) -> None:
    """The merchant had sold for less, and takes Bo's full price off: the others get what is too much, in proportion."""
    house = opened(saga, "ada", "bo", "cy")
    house.merchant_twin.provoke("confirm", "price_dropped")
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    amend(house, "bo", Change("cancel", house.members["bo"]))
    view = house.booking()
    assert (view.state, house.states()["bo"]) == (BookingState.BOOKED, "refunded")
    assert taken(house) - given_back(house) == view.total.minor
    with house.database.begin(house.merchant_id) as session:
        ledger = payments.statement(session, view.id)
    assert ledger.net == view.total


def test_who_comes_in_pays_first_and_then_who_left_is_refunded(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    before = {ticket.member_id: ticket for ticket in bookings.read_tickets(house.database, house.desk, house.id)}
    house.join("dee")
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    assert (house.booking().state, given_back(house)) == (BookingState.AMENDING, 0)
    house.pay("dee")
    assert house.booking().state is BookingState.BOOKED
    assert house.states() == {"ada": "captured", "bo": "refunded", "dee": "captured"}
    assert (taken(house), given_back(house), house.booking().total) == (15_000, 5_000, eur(10_000))
    after = {ticket.member_id: ticket for ticket in bookings.read_tickets(house.database, house.desk, house.id)}
    assert set(after) == {house.members["ada"], house.members["dee"]}
    assert after[house.members["ada"]] == before[house.members["ada"]]


def covered_bo(saga: MakeSaga) -> Saga:
    """Ada has paid, and the merchant waits for what Bo never could pay."""
    house = short_of_bo(saga, shortfall="receivable")
    house.travel(hours=25)
    house.run_until_quiet()
    assert (house.booking().state, house.states()["bo"]) == (BookingState.BOOKED, "covered")
    return house


def test_a_place_that_the_merchant_covers_is_paid_by_who_takes_it(saga: MakeSaga) -> None:
    """Dee pays what Bo never did; the merchant waits for nothing any more, and nobody is refunded."""
    house = covered_bo(saga)
    house.join("dee")
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    assert house.booking().state is BookingState.AMENDING
    assert house.portion("dee").amount == eur(5_000)
    house.pay("dee")
    assert house.booking().state is BookingState.BOOKED
    assert house.states() == {"ada": "captured", "bo": "waived", "dee": "captured"}
    assert (taken(house), given_back(house), house.booking().total) == (10_000, 0, eur(10_000))
    ledger = statement(house)
    assert (ledger.total, ledger.captured, ledger.receivable) == (eur(10_000), eur(10_000), eur(0))


def test_a_covered_place_given_back_is_owed_no_longer(saga: MakeSaga) -> None:
    """The merchant sells one place less: it waits for nothing, and Ada gets nothing of what was never Bo's."""
    house = covered_bo(saga)
    amend(house, "bo", Change("cancel", house.members["bo"]))
    assert house.states() == {"ada": "captured", "bo": "waived"}
    assert (taken(house), given_back(house), house.booking().total) == (5_000, 0, eur(5_000))
    ledger = statement(house)
    assert (ledger.total, ledger.captured, ledger.receivable) == (eur(5_000), eur(5_000), eur(0))


def test_what_a_payers_bank_decides_about_is_given_back_to_nobody_else(saga: MakeSaga) -> None:
    """Bo disputes, then gives the place back: Ada stays, and pays for her own place."""
    house = booked(saga, "ada", "bo")
    house.provider.dispute(house._attempt("bo"))
    house.run_until_quiet()
    amend(house, "bo", Change("cancel", house.members["bo"]))
    assert (house.booking().state, house.booking().total) == (BookingState.BOOKED, eur(5_000))
    assert (house.states()["ada"], given_back(house)) == ("captured", 0)


def test_what_is_left_of_a_cover_ends_with_the_order(saga: MakeSaga) -> None:
    house = covered_bo(saga)
    bo = house.portion("bo").portion_id
    assert bo is not None
    with house.database.begin(house.merchant_id) as session:
        payments.lessen_cover(session, bo, eur(2_000), now=clock.now(session))
    assert (statement(house).total, statement(house).receivable) == (eur(8_000), eur(3_000))
    with house.database.begin(house.merchant_id) as session, pytest.raises(InvariantBroken):
        payments.lessen_cover(session, bo, eur(3_001), now=clock.now(session))
    bookings.cancel_booking(house.database, house.desk, house.id)
    house.run_until_quiet()
    assert house.states() == {"ada": "refunded", "bo": "voided"}
    assert (statement(house).total, statement(house).receivable, statement(house).net) == (eur(5_000), eur(0), eur(0))


def statement(house: Saga) -> payments.Statement:
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        return payments.statement(session, booking_id)


def test_a_place_that_nobody_pays_for_stays_where_it_was(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo", amendment_window_seconds=3600)
    house.join("dee")
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    house.page("dee")
    house.travel(hours=2)
    house.run_until_quiet()
    assert (house.booking().state, given_back(house), taken(house)) == (BookingState.BOOKED, 0, 10_000)
    assert {line.traveler for line in house.booking().portions} == {house.members["ada"], house.members["bo"]}
    assert house.facts("booking.amended") == 0


def test_nobody_is_asked_to_pay_for_a_place_after_the_train_has_left(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo", amendment_window_seconds=7 * 86_400)
    house.join("dee")
    house.travel(days=5)
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    with house.database.begin(house.merchant_id) as session:
        departs_at = offers.read_offer(session, house.offer_id).departs_at
    (change,) = house.booking().changes
    assert (change.pay_by, house.booking().deadline_at) == (departs_at, departs_at)
    house.travel(days=4, hours=1)
    house.run_until_quiet()
    assert (house.booking().state, given_back(house), taken(house)) == (BookingState.BOOKED, 0, 10_000)


def test_a_merchant_that_refuses_the_change_costs_nobody_anything(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    house.join("dee")
    house.merchant_twin.provoke("amend", "not_allowed")
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    house.pay("dee")
    assert (house.booking().state, given_back(house), taken(house)) == (BookingState.BOOKED, 0, 10_000)
    assert len(house.provider.voids) == 1
    amend(house, "bo", Change("cancel", house.members["bo"]))
    assert house.states()["bo"] == "refunded"


def test_who_comes_in_and_is_kept_too_briefly_is_asked_anew(saga: MakeSaga) -> None:
    """Dee's bank keeps the money for five hours; the merchant's answer and the capture may take six."""
    house = booked(saga, "ada", "bo")
    house.join("dee")
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    house.page("dee")
    brief = house._attempt("dee")
    house.provider.authorize(brief, seconds=5 * 3600)
    house.refresh("dee")
    assert house.states() == {"ada": "captured", "bo": "captured", "dee": "expired"}
    assert (house.provider.voids, house.facts("portion.expired")) == ([brief], 1)
    with house.database.begin(house.merchant_id) as session:
        told = [one.code.value for one in notices.notices_for(session, house.members["dee"])]
    assert told == ["please_pay"]
    assert (house.booking().state, taken(house), given_back(house)) == (BookingState.AMENDING, 10_000, 0)
    house.pay("dee")
    assert house.booking().state is BookingState.BOOKED
    assert house.states() == {"ada": "captured", "bo": "refunded", "dee": "captured"}
    assert (taken(house), given_back(house)) == (15_000, 5_000)
    assert brief not in [attempt for attempt, _ in house.provider.captures]


def test_once_the_merchant_is_asked_what_the_bank_keeps_is_not_released(saga: MakeSaga) -> None:
    """It became too short while the merchant thought about the change, and there is still time to take it."""
    house = booked(saga, "ada", "bo")
    house.join("dee")
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    house.merchant_twin.provoke("amend", "unavailable", 6)
    house.pay("dee")
    house.execute(
        "UPDATE attempt SET capture_before = clock_timestamp() + interval '5 hours' WHERE state = 'authorized'"
    )
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        bookings.progress(session, booking_id)
    assert (house.states()["dee"], house.provider.voids) == ("authorized", [])
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    assert (house.booking().state, house.states()["dee"]) == (BookingState.BOOKED, "captured")
    assert (taken(house), given_back(house)) == (15_000, 5_000)


def test_who_comes_in_and_cannot_be_charged_is_asked_again(saga: MakeSaga) -> None:
    """The merchant has changed the order already, so the ladder begins for Dee alone."""
    house = booked(saga, "ada", "bo")
    house.join("dee")
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    house.merchant_twin.provoke("amend", "unavailable", 6)
    house.pay("dee")
    house.provider.lapse(house._attempt("dee"))
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    assert (house.booking().state, house.states()["dee"], given_back(house)) == (BookingState.AMENDING, "short", 0)
    house.pay("dee")
    assert house.booking().state is BookingState.BOOKED
    assert (taken(house), given_back(house)) == (15_000, 5_000)


def test_who_is_asked_again_after_the_time_to_pay_is_told_by_when(saga: MakeSaga) -> None:
    """The merchant was away for longer than Dee had to pay, and then her bank had let go: her time begins anew."""
    house = booked(saga, "ada", "bo", amendment_window_seconds=3600)
    house.join("dee")
    amend(house, "bo", Change("replace", house.members["bo"], by=house.members["dee"]))
    house.merchant_twin.provoke("amend", "unavailable", 6)
    house.pay("dee")
    house.provider.lapse(house._attempt("dee"))
    house.merchant_twin._troubles.clear()
    house.travel(hours=2)
    house.run_until_quiet()
    assert (house.booking().state, house.states()["dee"]) == (BookingState.AMENDING, "short")
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        waits, now = bookings.awaited_of(session, booking_id), clock.now(session)
    assert waits is not None
    assert waits.owed == {house.members["dee"]: eur(5_000)}
    assert waits.since[house.members["dee"]] <= now < waits.deadline_at


def test_a_surcharge_is_paid_or_declined_by_not_paying(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo", amendment_window_seconds=3600)
    change = Change("surcharge", house.members["bo"], surcharge=eur(700))
    bookings.amend_booking(house.database, house.desk, house.id, change)
    house.run_until_quiet()
    house.pay_extra("bo")
    assert (house.booking().state, house.booking().total, taken(house)) == (
        BookingState.BOOKED,
        eur(10_700),
        10_700,
    )
    bookings.amend_booking(house.database, house.desk, house.id, change)
    house.run_until_quiet()
    house.travel(hours=2)
    house.run_until_quiet()
    assert (house.booking().state, taken(house)) == (BookingState.BOOKED, 10_700)


def test_a_change_that_makes_no_sense_is_refused_and_nothing_moves(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    bo, ada = house.members["bo"], house.members["ada"]
    for change, error in (
        (Change("replace", bo), AmendmentIncomplete),
        (Change("cancel", bo, by=ada), AmendmentIncomplete),
        (Change("surcharge", bo, surcharge=eur(1)), AmendmentIncomplete),
        (Change("replace", bo, by=ada), NotTraveling),
    ):
        with pytest.raises(error):
            bookings.amend_booking(house.database, house.desk, house.id, change)
    house.join("dee")
    amend(house, "bo", Change("replace", bo, by=house.members["dee"]))
    with pytest.raises((AmendmentOpen, BookingClosed)):
        bookings.amend_booking(house.database, house.desk, house.id, Change("cancel", ada))
    assert house.count("SELECT count(*) FROM amendment") == 1


@pytest.mark.parametrize("fare", [0, 5_000])
def test_a_booking_called_off_while_a_change_waits_is_canceled_also_where_nobody_had_paid(
    saga: MakeSaga, fare: int
) -> None:
    """Its tickets end with it, and the trip is one that was canceled, not one that was never booked."""
    house = saga("ada", "bo", fare=fare)
    house.settle(amendment_window_seconds=3600)
    house.open()
    house.run_until_quiet()
    if fare:
        for name in ("ada", "bo"):
            house.pay(name)
    assert (house.booking().state, house.trip_state()) == (BookingState.BOOKED, "booked")
    change = Change("surcharge", house.members["bo"], surcharge=eur(700))
    bookings.amend_booking(house.database, house.desk, house.id, change)
    house.run_until_quiet()
    house.merchant_twin.provoke("amend", "unavailable", 400)
    house.pay_extra("bo")
    house.travel(hours=8)
    house.run_until_quiet()
    assert house.booking().state is BookingState.PARKED
    canceled = bookings.force_cancel(house.database, house.merchant_id, house.id, OPS, alone_max=100_000)
    assert canceled.state is BookingState.UNWINDING
    house.run_until_quiet()
    assert (house.booking().state, house.trip_state()) == (BookingState.REFUNDED, "canceled")
    assert (taken(house), given_back(house), len(house.provider.voids)) == (2 * fare, 2 * fare, 1)
    assert house.merchant_twin.live_orders() == []
    assert house.count("SELECT count(*) FROM ticket WHERE canceled_at IS NULL") == 0


# --- what a parked booking keeps at banks -----------------------------------------------------------------------------


def test_a_parked_booking_gives_authorizations_back_before_they_lapse(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    house.merchant_twin.provoke("confirm", "unavailable", 200)
    house.merchant_twin.provoke("cancel", "unavailable", 200)
    house.merchant_twin.provoke("read", "unavailable", 400)
    for name in ("ada", "bo"):
        house.pay(name)
    house.travel(minutes=16)
    house.run_until_quiet()
    assert house.booking().state is BookingState.TOMBSTONING
    house.travel(hours=7)
    house.run_until_quiet()
    assert (house.booking().state, house.provider.voids) == (BookingState.PARKED, [])
    house.travel(days=6, hours=20)
    house.run_until_quiet()
    assert len(house.provider.voids) == 2
    assert [step.event for step in house.steps()].count("authorizations_released") == 1


def test_a_resumed_booking_whose_merchant_is_still_silent_gives_them_back_too(saga: MakeSaga) -> None:
    """Six hours before the first would lapse it is being taken back again, with hours of budget left."""
    house = opened(saga, "ada", "bo")
    for what in ("confirm", "cancel", "read"):
        house.merchant_twin.provoke(what, "unavailable", 400)
    for name in ("ada", "bo"):
        house.pay(name)
    house.travel(minutes=16)
    house.run_until_quiet()
    house.travel(hours=7)
    for name in ("ada", "bo"):
        house.provider._payments[house._attempt(name)].capture_before = house.now() + timedelta(hours=6, minutes=30)
    house.run_until_quiet()
    assert (house.booking().state, house.provider.voids) == (BookingState.PARKED, [])
    bookings.resume_booking(house.database, house.merchant_id, house.id, OPS)
    house.run_until_quiet()
    assert (house.booking().state, house.provider.voids) == (BookingState.TOMBSTONING, [])
    house.travel(hours=1)
    house.run_until_quiet()
    assert (house.booking().state, len(house.provider.voids)) == (BookingState.TOMBSTONING, 2)
    assert house.states() == {"ada": "voided", "bo": "voided"}
    assert [step.event for step in house.steps()].count("authorizations_released") == 1
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    assert (house.booking().state, taken(house)) == (BookingState.ABORTED, 0)


def test_what_is_kept_for_a_change_that_nobody_answers_is_given_back_before_it_lapses(saga: MakeSaga) -> None:
    """Should the merchant have made the change after all, whoever comes in by it is asked again."""
    house = opened(saga, "ada", "bo")
    for name in ("ada", "bo"):
        house.pay(name)
    change = Change("surcharge", house.members["bo"], surcharge=eur(700))
    bookings.amend_booking(house.database, house.desk, house.id, change)
    house.run_until_quiet()
    house.merchant_twin.provoke("amend", "unavailable", 400)
    house.pay_extra("bo")
    house.travel(hours=31)
    house.run_until_quiet()
    assert (house.booking().state, house.provider.voids) == (BookingState.PARKED, [])
    before = taken(house)
    house.travel(days=6, hours=20)
    for _ in range(2):
        house.run_until_quiet()
        assert len(house.provider.voids) == 1
        assert [step.event for step in house.steps()].count("authorizations_released") == 1
    assert (house.booking().state, taken(house), given_back(house)) == (BookingState.PARKED, before, 0)
    house.merchant_twin._troubles.clear()
    bookings.resume_booking(house.database, house.merchant_id, house.id, OPS)
    house.run_until_quiet()
    assert (house.booking().state, taken(house)) == (BookingState.AMENDING, before)
    house.pay_extra("bo")
    house.run_until_quiet()
    assert (house.booking().state, taken(house)) == (BookingState.BOOKED, before + 700)


# --- places that earn time --------------------------------------------------------------------------------------------


def test_places_lapse_while_nobody_pays_and_come_back_when_everybody_has(saga: MakeSaga) -> None:
    """Five minutes at first, five more for each who pays; the group still has its half hour."""
    house = saga("ada", "bo")
    house.offer_capabilities(
        Capabilities(holds=True, hold_seconds_max=1800, hold_seconds_first=300, hold_seconds_per_portion=300)
    )
    house.open()
    house.run_until_quiet()
    deadline = house.booking().deadline_at
    assert deadline is not None
    assert deadline - house.booking().created_at >= timedelta(minutes=29)
    house.merchant_twin.advance(301)
    house.travel(seconds=301)
    house.run_until_quiet()
    assert (house.booking().state, house.merchant_twin.live_holds()) == (BookingState.OPEN, [])
    house.pay("ada")
    house.pay("bo")
    assert house.booking().state is BookingState.BOOKED
    assert house.states() == {"ada": PortionState.CAPTURED.value, "bo": PortionState.CAPTURED.value}


def test_a_merchant_that_begins_to_keep_places_in_between_sells_all_the_same(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.offer_capabilities(Capabilities(holds=False))
    house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.offer_capabilities(Capabilities(holds=True))
    house.pay("bo")
    assert house.booking().state is BookingState.BOOKED


def test_a_merchants_settings_hold_for_the_next_booking_only(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", collection_window_seconds=600)
    first = house.booking().deadline_at
    house.settle(collection_window_seconds=300)
    house.run_until_quiet()
    assert house.booking().deadline_at == first
