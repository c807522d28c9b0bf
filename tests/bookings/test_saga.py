"""All or nothing, with twins for the outside and a real PostgreSQL inside."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from groupbook import bookings, payments, trips
from groupbook.bookings.domain import (
    BookingClosed,
    BookingNotFound,
    BookingState,
    NobodyTravels,
    NotOrganizer,
)
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.payments.domain import PortionNotFound, PortionState
from groupbook.trips.domain import MembersShown, Privacy
from tests.support.operators import OPS
from tests.support.saga import OFFER, Saga

MakeSaga = Callable[..., Saga]


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def test_the_screens_hear_once_that_somebody_is_at_their_page(saga: MakeSaga) -> None:
    """In the transaction that sends them there, so nobody is woken for it; who comes back is no news."""
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    before = len(house.events())
    house.page("bo")
    house.page("bo")
    assert house.events()[before:] == ["portion.authorizing"]
    assert house.count("SELECT count(*) FROM fact WHERE name = 'portion.authorizing' AND delivered_at IS NOT NULL") == 1
    house.run_until_quiet()
    assert house.events()[before:] == ["portion.authorizing"]


def test_everybody_pays_and_the_seats_are_together(saga: MakeSaga) -> None:
    """Ada, Bo and Cy authorize; the last one triggers confirm, capture and tickets."""
    house = saga("ada", "bo", "cy")
    house.open()
    house.run_until_quiet()
    opened = house.booking()
    assert (opened.state, opened.total, opened.seats_are_together) == (BookingState.OPEN, eur(15_000), True)
    for name in ("ada", "bo"):
        house.pay(name)
    assert house.provider.captures == []
    assert house.merchant_twin.live_orders() == []
    house.pay("cy")
    assert house.booking().state is BookingState.BOOKED
    assert house.states() == {"ada": "captured", "bo": "captured", "cy": "captured"}
    assert sorted(amount for _, amount in house.provider.captures) == [5_000, 5_000, 5_000]
    assert len(house.merchant_twin.live_orders()) == 1
    assert house.merchant_twin.live_holds() == []
    assert house.trip_state() == "booked"
    (ticket,) = bookings.read_tickets(house.database, house.friends["bo"], house.booking().id)
    assert (ticket.member_id, ticket.name, len(ticket.seats)) == (house.members["bo"], "bo", 1)
    booking_id = house.booking().id
    with house.database.begin(house.merchant_id) as session:
        ledger = payments.statement(session, booking_id)
    assert (ledger.total, ledger.captured, ledger.refunded, ledger.receivable, ledger.authorized) == (
        eur(15_000),
        eur(15_000),
        eur(0),
        eur(0),
        eur(0),
    )


def test_nobody_is_charged_when_somebody_is_missing_at_the_deadline(saga: MakeSaga) -> None:
    house = saga("ada", "bo", "cy")
    house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.pay("bo")
    house.travel(minutes=29)
    house.run_until_quiet()
    assert house.booking().state is BookingState.ABORTED
    assert house.states() == {"ada": "voided", "bo": "voided", "cy": "voided"}
    assert (house.provider.captures, len(house.provider.voids)) == ([], 2)
    assert (house.merchant_twin.live_orders(), house.merchant_twin.live_holds()) == ([], [])
    assert house.trip_state() == "decided"
    assert house.facts("booking.aborted") == 1


def test_the_group_may_try_again_after_an_abort(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    first = house.open()
    house.run_until_quiet()
    bookings.cancel_booking(house.database, house.friends["ada"], first)
    house.run_until_quiet()
    second = house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.pay("bo")
    assert (second != first, house.booking().state) == (True, BookingState.BOOKED)


def test_a_declined_friend_tries_another_card(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.decline("bo")
    assert house.portion("bo").state is PortionState.DECLINED
    assert house.booking().state is BookingState.OPEN
    house.pay("bo")
    assert house.booking().state is BookingState.BOOKED


def test_a_friend_pays_for_a_friend_who_asked(saga: MakeSaga) -> None:
    """Only after being asked does Ada see Bo's amount, and only then may she pay it."""
    house = saga("zoe", "ada", "bo")
    house.open()
    house.run_until_quiet()
    portion_id = house.portion("bo").portion_id
    assert portion_id is not None
    before = {line.traveler: line.amount for line in house.booking("ada").portions}
    with pytest.raises(PortionNotFound):
        bookings.take_over(house.database, house.friends["ada"], portion_id)
    bookings.ask_to_pay(house.database, house.friends["bo"], portion_id, house.members["ada"])
    after = {line.traveler: line.amount for line in house.booking("ada").portions}
    bookings.take_over(house.database, house.friends["ada"], portion_id)
    for name in ("zoe", "ada"):
        house.pay(name)
    house.pay("bo", payer="ada")
    assert (before[house.members["bo"]], after[house.members["bo"]]) == (None, eur(5_000))
    assert house.booking().state is BookingState.BOOKED
    assert {line.traveler: line.payer for line in house.booking().portions}[house.members["bo"]] == house.members["ada"]


def test_a_second_click_opens_no_second_booking(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    assert house.open() == house.open()
    house.run_until_quiet()
    assert house.open() == house.booking().id
    assert house.count("SELECT count(*) FROM booking") == 1


def test_only_the_organizer_books_and_cancels(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    with pytest.raises(NotOrganizer):
        house.open("bo")
    assert house.count("SELECT count(*) FROM booking") == 0
    booking_id = house.open("ada")
    with pytest.raises(NotOrganizer):
        bookings.cancel_booking(house.database, house.friends["bo"], booking_id)


def test_members_see_their_own_lines_the_total_and_the_states_of_the_others(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.decline("ada")
    seen = house.booking("bo")
    own, other = seen.portions[1], seen.portions[0]
    assert (seen.total, own.amount, own.price is not None) == (eur(10_000), eur(5_000), True)
    assert (other.state, other.amount, other.price, other.decline_reason, other.attempt_id) == (
        PortionState.DECLINED,
        None,
        None,
        None,
        None,
    )


def test_names_that_the_organizer_keeps_private_stay_private_in_the_booking(saga: MakeSaga) -> None:
    """Cy sees himself; once Bo asks him to pay, and then he does, Bo too. The organizer and the desk see everybody."""
    house = saga("ada", "bo", "cy")
    trips.change_privacy(house.database, house.friends["ada"], house.trip_id, Privacy(members_shown=MembersShown.COUNT))
    house.open()
    house.run_until_quiet()

    def names(viewer: str | None) -> list[tuple[str, str]]:
        return [(line.name, line.payer_name) for line in house.booking(viewer).portions]

    everybody = [("ada", "ada"), ("bo", "bo"), ("cy", "cy")]
    assert names("cy") == [("", ""), ("", ""), ("cy", "cy")]
    assert (names("ada"), names(None)) == (everybody, everybody)
    portion_id = house.portion("bo").portion_id
    assert portion_id is not None
    bookings.ask_to_pay(house.database, house.friends["bo"], portion_id, house.members["cy"])
    assert names("cy") == [("", ""), ("bo", "bo"), ("cy", "cy")]
    bookings.take_over(house.database, house.friends["cy"], portion_id)
    assert names("cy") == [("", ""), ("bo", "cy"), ("cy", "cy")]
    assert names("bo") == [("", ""), ("bo", "cy"), ("cy", "cy")]


def test_a_stranger_learns_nothing_of_a_booking(saga: MakeSaga, database_url: str) -> None:
    house = saga("ada", "bo")
    booking_id = house.open()
    house.run_until_quiet()
    stranger = replace(house.friends["ada"], subject=house.merchant_id)
    with pytest.raises(BookingNotFound):
        bookings.read_booking(house.database, stranger, booking_id)


def test_sold_out_ends_before_anybody_is_asked(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.merchant_twin.provoke("hold", "sold_out")
    house.open()
    house.run_until_quiet()
    assert (house.booking().state, house.booking().reason) == (BookingState.ABORTED, "sold_out")
    assert (house.trip_state(), house.provider.calls) == ("decided", [])


def test_a_rejected_order_voids_everybody(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.merchant_twin.provoke("confirm", "price_changed")
    house.pay("ada")
    house.pay("bo")
    assert (house.booking().state, house.booking().reason) == (BookingState.ABORTED, "price_changed")
    assert house.provider.captures == []
    assert len(house.provider.voids) == 2


def test_a_lost_answer_of_the_merchant_is_read_and_not_repeated(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.merchant_twin.provoke("confirm", "lost_answer")
    house.pay("ada")
    house.pay("bo")
    assert house.booking().state is BookingState.BOOKED
    assert len(house.merchant_twin.live_orders()) == 1


def test_a_silent_merchant_gets_a_tombstone_and_nobody_is_charged(saga: MakeSaga) -> None:
    """The confirm is lost on the way and lands after our tombstone: it must not raise the order."""
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.merchant_twin.provoke("confirm", "unavailable", 500)
    house.pay("ada")
    house.pay("bo")
    assert house.booking().state is BookingState.CONFIRMING
    house.travel(minutes=16)
    house.run_until_quiet()
    assert house.booking().state is BookingState.ABORTED
    assert (house.provider.captures, house.merchant_twin.live_orders()) == ([], [])


@pytest.mark.parametrize("fault", ["lost_answer", "late_effect", "server_error_after", "unavailable"])
def test_a_capture_whose_answer_is_lost_is_taken_once(saga: MakeSaga, fault: str) -> None:
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.provider.plan("capture", fault)  # type: ignore[arg-type]  # the literals of the twin
    house.pay("ada")
    house.pay("bo")
    house.provider.land_late_effects()
    house.run_until_quiet()
    assert house.booking().state is BookingState.BOOKED
    assert sorted(amount for _, amount in house.provider.captures) == [5_000, 5_000]


def test_an_authorization_that_lapsed_is_found_by_the_last_look(saga: MakeSaga) -> None:
    """Bo's bank took its word back before the last one paid: the last look sees it, and there is still time."""
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.pay("bo")
    house.provider.lapse(house._attempt("bo"))
    house.pay("ada")
    assert house.booking().state is BookingState.OPEN
    assert house.states() == {"ada": "authorized", "bo": "expired"}
    house.pay("bo")
    assert house.booking().state is BookingState.BOOKED


def test_a_lost_webhook_does_not_abort_a_paid_booking(saga: MakeSaga) -> None:
    """I11: everybody paid, no news arrived; at the deadline the last look adopts the truth."""
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.page(name)
        house.provider.authorize(house._attempt(name))
    house.travel(minutes=29)
    house.run_until_quiet()
    house.travel(seconds=90)
    house.run_until_quiet()
    assert house.booking().state in (BookingState.BOOKED, BookingState.ABORTED)
    assert house.booking().state is BookingState.BOOKED


def test_canceling_a_booked_trip_refunds_everybody_in_full(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.pay("bo")
    bookings.cancel_booking(house.database, house.desk, house.booking().id)
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    assert house.states() == {"ada": "refunded", "bo": "refunded"}
    assert sorted(amount for _, amount in house.provider.refunds) == [5_000, 5_000]
    assert (house.merchant_twin.live_orders(), house.trip_state()) == ([], "canceled")
    assert bookings.read_tickets(house.database, house.desk, house.booking().id) == []
    assert house.facts("booking.canceled") == 1


def test_a_booking_that_is_over_takes_nothing_more(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    booking_id = house.open()
    house.run_until_quiet()
    bookings.cancel_booking(house.database, house.friends["ada"], booking_id)
    house.run_until_quiet()
    before = house.count("SELECT count(*) FROM booking_step")
    bookings.cancel_booking(house.database, house.desk, booking_id)  # canceled already: says nothing, does nothing
    with pytest.raises(BookingClosed):
        house.page("ada")
    house.run_until_quiet()
    assert house.count("SELECT count(*) FROM booking_step") == before


def test_hearing_everything_twice_changes_nothing(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.pay("bo")
    steps, events = house.count("SELECT count(*) FROM booking_step"), house.events()
    with house.database.begin(house.merchant_id) as session:
        from sqlalchemy import text

        # What was born heard is never told to anybody.
        again = "UPDATE fact SET delivered_at = NULL, due_at = clock_timestamp()"
        session.execute(text(again + " WHERE id IN (SELECT fact_id FROM fact_delivery)"))
    house.run_until_quiet()
    assert (house.count("SELECT count(*) FROM booking_step"), house.events()) == (steps, events)
    assert len(house.provider.captures) == 2


def test_the_quote_is_what_is_paid_even_if_the_price_rises(saga: MakeSaga) -> None:
    from groupbook import offers

    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    dearer = replace(house.merchant_twin.offers[OFFER], fares={"flex": eur(9_900)})
    offers.create_offer(house.database, house.merchant_id, dearer)
    house.pay("ada")
    house.pay("bo")
    assert (house.booking().state, house.booking().total) == (BookingState.BOOKED, eur(10_000))


def test_the_deadline_leaves_room_before_the_hold_ends(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    view = house.booking()
    assert view.deadline_at is not None
    assert view.hold_expires_at is not None
    assert view.hold_expires_at - view.deadline_at >= timedelta(seconds=100)


def test_an_authorization_that_goes_away_while_the_merchant_thinks_unwinds_the_order(saga: MakeSaga) -> None:
    """P5: confirmed at last, but Bo's authorization is gone and Bo does not pay again: nobody pays."""
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.merchant_twin.provoke("confirm", "unavailable", 6)
    house.pay("ada")
    house.pay("bo")
    assert house.booking().state is BookingState.CONFIRMING
    house.provider.lapse(house._attempt("bo"))
    booking_id = house.booking().id
    with house.database.begin(house.merchant_id) as session:
        payments.observe_all(session, booking_id)
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    assert house.booking().state is BookingState.RECOVERING
    house.travel(hours=25)
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    assert house.merchant_twin.live_orders() == []
    assert sum(amount for _, amount in house.provider.captures) == sum(amount for _, amount in house.provider.refunds)
    assert house.trip_state() == "decided"


def test_one_stuck_booking_is_parked_and_holds_up_no_other(saga: MakeSaga) -> None:
    """A booking whose rows break a rule is parked by the sweep, loudly; mended and resumed, it goes on."""
    house = saga("ada", "bo")
    booking_id = house.open()
    quote_id = house.booking().quote_id
    house.execute("UPDATE booking SET quote_id = gen_random_uuid()")
    house.run_until_quiet()
    (waiting,) = bookings.list_parked(house.database, house.merchant_id).bookings
    assert waiting.stopped is not None
    assert (waiting.id, waiting.stopped.cause, waiting.stopped.was) == (
        booking_id,
        "quote_not_found",
        BookingState.PLACING,
    )
    assert house.facts("booking.parked") == 1
    house.execute(f"UPDATE booking SET quote_id = '{quote_id}'")
    assert bookings.resume_booking(house.database, house.merchant_id, booking_id, OPS) == bookings.Resumed(
        BookingState.OPEN, was_parked=True, calls=0, stopped=None
    )
    assert bookings.resume_booking(house.database, house.merchant_id, booking_id, OPS) == bookings.Resumed(
        BookingState.OPEN, was_parked=False, calls=0, stopped=None
    )
    house.pay("ada")
    house.pay("bo")
    assert house.booking().state is BookingState.BOOKED


def test_a_merchant_that_will_not_take_it_back_sells_after_all_with_tickets(saga: MakeSaga) -> None:
    """The confirm's answer is lost, our tombstone is refused: the order stands, so everybody gets a ticket."""
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    house.merchant_twin.provoke("confirm", "lost_answer")
    house.merchant_twin.provoke("read", "unavailable", 30)
    house.pay("ada")
    house.pay("bo")
    assert house.booking().state is BookingState.CONFIRMING
    house.travel(minutes=16)
    house.merchant_twin._troubles.clear()
    house.merchant_twin.provoke("cancel", "not_cancelable")
    house.run_until_quiet()
    assert house.booking().state is BookingState.BOOKED
    assert len(bookings.read_tickets(house.database, house.desk, house.booking().id)) == 2


def test_nobody_travels_so_nothing_is_booked(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    for name in ("ada", "bo"):
        trips.set_going(house.database, house.friends[name], house.trip_id, is_going=False)
    with pytest.raises(NobodyTravels):
        house.open()
    assert (house.count("SELECT count(*) FROM booking"), house.trip_state()) == (0, "decided")


def test_asking_and_declining_at_once_do_not_lock_each_other_out(saga: MakeSaga) -> None:
    """Ada says no while she pays for Bo: one after the other, whoever comes first."""
    house = saga("zoe", "ada", "bo")
    house.open()
    house.run_until_quiet()
    portion_id = house.portion("bo").portion_id
    assert portion_id is not None
    request_id = bookings.ask_to_pay(house.database, house.friends["bo"], portion_id, house.members["ada"])
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            no = pool.submit(bookings.withdraw_ask, house.database, house.friends["ada"], request_id)
            yes = pool.submit(bookings.take_over, house.database, house.friends["ada"], portion_id)
            assert no.exception() is None
            assert yes.exception() is None or isinstance(yes.exception(), PortionNotFound)


def test_somebody_who_logs_in_while_paying_keeps_the_seat_that_is_booked(saga: MakeSaga) -> None:
    """Bo came before as a person who does not travel; as a guest he is in the booking. After the login he can pay."""
    house = saga("ada", "bo")
    person = house.person("bo@plaza")
    joined = trips.join_by_invite(house.database, person, house.invite_token)
    trips.set_going(house.database, person, house.trip_id, is_going=False)
    house.open()
    house.run_until_quiet()
    house.adopt("bo", person)
    assert joined.member.id != house.members["bo"]
    house.friends["bo"] = person
    for name in ("ada", "bo"):
        house.pay(name)
    (ticket,) = bookings.read_tickets(house.database, person, house.booking().id)
    assert (house.booking().state, ticket.member_id) == (BookingState.BOOKED, house.members["bo"])


def test_the_sweep_looks_at_what_is_due_and_at_nothing_else(saga: MakeSaga) -> None:
    """Once after each step, then at the next moment that matters, and after an hour in any case."""
    house = saga("ada", "bo")
    house.offer_capabilities(Capabilities(holds=False))
    house.settle(collection_window_seconds=3 * 3600)
    house.open()
    house.run_until_quiet()
    house.pay("ada")

    def looks() -> list[int]:
        return [bookings.sweep(house.database, house.merchant_id) for _ in range(2)]

    assert looks() == [0, 0]
    house.travel(minutes=50)
    assert looks() == [0, 0]
    house.travel(minutes=11)
    assert looks() == [1, 0]
    house.travel(hours=2)
    assert looks()[0] == 1
    assert house.booking().state is BookingState.FREEZING
    house.run_until_quiet()
    assert (house.booking().state, looks()) == (BookingState.ABORTED, [0, 0])
