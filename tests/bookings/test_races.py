"""Two at once. Each race is run twice: with the locks it must end well, without them it must be seen to go wrong.

A race test that would pass without the lock proves nothing; the second half of each is the proof that the first half
looks at the right moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from groupbook import bookings, payments, trips
from groupbook.bookings import Resumed
from groupbook.bookings.domain import AmendmentAccepted, BookingClosed, BookingState, HandoverOver, SponsorLinkOver
from groupbook.house import House
from groupbook.kit import intents
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import BookingId, PortionId
from groupbook.kit.money import Money
from groupbook.payments import PortionNotPayable, RefundTooLarge
from groupbook.payments.domain import PortionNotFound
from groupbook.trips.domain import TripFull, members_max
from tests.bookings.test_parts import pay_extra
from tests.support.operators import OPS
from tests.support.races import Race
from tests.support.saga import Saga

MakeRace = Callable[..., Race]
LOCKED, UNLOCKED = True, False


@pytest.fixture
def race(database_url: str) -> Iterator[MakeRace]:
    made: list[Race] = []

    def make(*names: str, locks: bool, **keywords: Any) -> Race:
        made.append(Race(Saga(database_url, *names, **keywords), locks))
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.saga.close()


def opened(saga: Saga) -> BookingId:
    booking_id = saga.open()
    saga.run_until_quiet()
    return booking_id


def booked(saga: Saga) -> BookingId:
    booking_id = opened(saga)
    for name in saga.friends:
        saga.pay(name)
    assert saga.booking().state is BookingState.BOOKED
    return booking_id


def portion_of(saga: Saga, name: str) -> PortionId:
    portion_id = saga.portion(name).portion_id
    assert portion_id is not None
    return portion_id


# --- double click -----------------------------------------------------------------------------------------------------


def click_twice(one: Race) -> tuple[object, object]:
    saga = one.saga

    def click(house: House) -> BookingId:
        return bookings.open_booking(house.database, saga.friends["ada"], saga.trip_id, policy=house.policy)

    return one.run(click, click)


def test_a_double_click_opens_one_booking(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = click_twice(one)
    assert first == second
    assert one.saga.count("SELECT count(*) FROM booking") == 1
    assert one.saga.count("SELECT count(*) FROM intent WHERE kind = 'offers.place_hold'") == 1


def test_without_the_lock_the_second_click_breaks(race: MakeRace) -> None:
    """The last line of defense, the trip's version, turns a friendly answer into a fault."""
    first, second = click_twice(race("ada", "bo", locks=UNLOCKED))
    assert not isinstance(first, Exception)
    assert isinstance(second, InvariantBroken | IntegrityError)


# --- last seat --------------------------------------------------------------------------------------------------------


def take_the_last_seat_twice(one: Race) -> tuple[object, object]:
    """One seat of the trip is left, and two friends open the invitation at once."""
    saga = one.saga
    for number in range(members_max - 1 - len(saga.friends)):
        trips.join_by_invite(saga.database, None, saga.invite_token, name=f"friend {number}")

    def join(name: str) -> Callable[[House], object]:
        return lambda house: trips.join_by_invite(house.database, None, saga.invite_token, name=name)

    return one.run(join("cy"), join("di"), at=2)


def present(saga: Saga) -> int:
    return saga.count("SELECT count(*) FROM member WHERE left_at IS NULL")


def test_the_last_seat_is_taken_once(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = take_the_last_seat_twice(one)
    assert (isinstance(first, Exception), isinstance(second, TripFull)) == (False, True)
    assert present(one.saga) == members_max


def test_without_the_lock_the_last_seat_is_taken_twice(race: MakeRace) -> None:
    one = race("ada", "bo", locks=UNLOCKED)
    assert not any(isinstance(outcome, Exception) for outcome in take_the_last_seat_twice(one))
    assert present(one.saga) == members_max + 1


# --- two payers, one portion ------------------------------------------------------------------------------------------


def pay_and_take_over(one: Race) -> tuple[object, object]:
    """The organizer takes Bo's portion over in the moment in which Bo opens the payment page."""
    saga = one.saga
    opened(saga)
    portion_id = portion_of(saga, "bo")

    def take_over(house: House) -> None:
        bookings.take_over(house.database, saga.friends["ada"], portion_id)

    def pay(house: House) -> object:
        return bookings.start_payment(
            house.database, house.runner, saga.friends["bo"], portion_id, locale="en", public_url="http://localhost"
        )

    return one.run(take_over, pay)


def payers(saga: Saga) -> tuple[int, int]:
    """How many portions there are whose live page belongs to somebody who does not pay them; and how many pages."""
    mine = "SELECT count(*) FROM attempt a JOIN portion p ON p.id = a.portion_id WHERE a.is_current"
    return saga.count(f"{mine} AND a.payer <> p.payer"), saga.count(mine)


def test_a_portion_has_one_payer_at_a_time(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = pay_and_take_over(one)
    assert (first, isinstance(second, PortionNotFound)) == (None, True)
    assert payers(one.saga) == (0, 0)


def test_without_the_lock_somebody_pays_a_portion_that_is_not_theirs(race: MakeRace) -> None:
    one = race("ada", "bo", locks=UNLOCKED)
    first, second = pay_and_take_over(one)
    assert (first, isinstance(second, Exception)) == (None, False)
    assert payers(one.saga) == (1, 1)


# --- pay against deadline ---------------------------------------------------------------------------------------------


def pay_at_the_deadline(one: Race) -> tuple[object, object]:
    """The time is over: everybody is being released while the bank's yes to Bo is being written down."""
    saga = one.saga
    booking_id = opened(saga)
    saga.pay("ada")
    saga.page("bo")
    saga.provider.authorize(saga._attempt("bo"))
    saga.travel(minutes=29)
    with saga.database.begin(saga.merchant_id) as session:
        owed = payments.observe_all(session, booking_id)
    saga.execute("UPDATE booking SET state = 'freezing', frozen_at = deadline_at, budget_at = deadline_at")

    def decide(house: House) -> None:
        bookings.sweep(house.database, saga.merchant_id)

    def read(house: House) -> object:
        return [house.runner.run(saga.merchant_id, intent_id) for intent_id in owed]

    return one.run(decide, read, at=2)


def test_a_payment_that_lands_at_the_deadline_is_given_back(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    pay_at_the_deadline(one)
    one.saga.run_until_quiet()
    assert one.saga.booking().state is BookingState.ABORTED
    assert one.saga.states() == {"ada": "voided", "bo": "voided"}
    assert (one.saga.provider.captures, len(one.saga.provider.voids)) == ([], 2)


def test_without_the_lock_the_release_is_forgotten(race: MakeRace) -> None:
    """The late yes is written over the release: the portion says authorized, and the booking never ends."""
    one = race("ada", "bo", locks=UNLOCKED)
    pay_at_the_deadline(one)
    assert one.saga.states()["bo"] == "authorized"
    one.saga.run_until_quiet()
    assert one.saga.booking().state is not BookingState.ABORTED


# --- leave against freeze ---------------------------------------------------------------------------------------------


def leave_at_the_freeze(one: Race) -> tuple[object, object]:
    """Bo leaves in the moment in which the group is complete and the roster is frozen."""
    saga = one.saga
    booking_id = opened(saga)
    for name in ("ada", "bo"):
        saga.pay(name)
    saga.page("cy")
    saga.provider.authorize(saga._attempt("cy"))
    portion_id = portion_of(saga, "cy")
    payments.refresh_portion(saga.database, saga.house.runner, saga.merchant_id, portion_id)

    def freeze(house: House) -> None:
        with house.database.begin(saga.merchant_id) as session:
            bookings.progress(session, booking_id)

    def leave(house: House) -> None:
        bookings.leave_booking(house.database, saga.friends["bo"], booking_id)

    return one.run(freeze, leave)


def test_who_leaves_too_late_stays_in(race: MakeRace) -> None:
    one = race("ada", "bo", "cy", locks=LOCKED)
    first, second = leave_at_the_freeze(one)
    assert (first, isinstance(second, BookingClosed)) == (None, True)
    one.saga.run_until_quiet()
    assert one.saga.booking().state is BookingState.BOOKED
    assert one.saga.states() == {"ada": "captured", "bo": "captured", "cy": "captured"}


def test_without_the_lock_somebody_leaves_a_frozen_roster(race: MakeRace) -> None:
    """The leave is accepted after the freeze: the machine decides about a party that is not the one that it froze."""
    one = race("ada", "bo", "cy", locks=UNLOCKED)
    first, second = leave_at_the_freeze(one)
    assert (first, second) == (None, None)
    assert one.saga.count("SELECT count(*) FROM booking_step WHERE to_state = 'freezing'") >= 1
    assert one.saga.count("SELECT count(*) FROM portion WHERE dropped_at IS NOT NULL") == 1


# --- replace against capture ------------------------------------------------------------------------------------------


def take_over_while_the_money_is_taken(one: Race) -> tuple[object, object]:
    """Bo's bank took its promise back after the order. Bo authorizes anew, which is captured at once; in that
    moment Ada, who does not know, takes his portion over.
    """
    saga = one.saga
    booking_id = opened(saga)
    saga.merchant_twin.provoke("confirm", "unavailable", 6)
    for name in ("ada", "bo"):
        saga.pay(name)
    saga.provider.lapse(saga._attempt("bo"))
    with saga.database.begin(saga.merchant_id) as session:
        payments.observe_all(session, booking_id)
    saga.merchant_twin._troubles.clear()
    saga.run_until_quiet()
    assert saga.booking().state is BookingState.RECOVERING
    portion_id = portion_of(saga, "bo")
    saga.page("bo")
    saga.provider.authorize(saga._attempt("bo"))
    attempt_id = saga._attempt("bo")
    with saga.database.begin(saga.merchant_id) as session:
        owed = intents.owe(session, "payment.observe", attempt_id, reference=booking_id)

    def read(house: House) -> bool:
        return house.runner.run(saga.merchant_id, owed)

    def take_over(house: House) -> None:
        bookings.take_over(house.database, saga.friends["ada"], portion_id)

    return one.run(read, take_over, at=2)


def payer_and_state(saga: Saga) -> tuple[str, str]:
    """Of Bo's portion."""
    names = {member: name for name, member in saga.members.items()}
    portion = saga.portion("bo")
    return names[portion.payer], portion.state.value


def test_a_payer_is_not_replaced_while_their_money_is_taken(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = take_over_while_the_money_is_taken(one)
    assert (first, isinstance(second, PortionNotPayable | BookingClosed)) == (True, True)
    one.saga.run_until_quiet()
    assert one.saga.booking().state is BookingState.BOOKED
    assert payer_and_state(one.saga) == ("bo", "captured")


def test_without_the_lock_one_pays_and_another_is_the_payer(race: MakeRace) -> None:
    """Ada is told that she pays, Bo's card is being charged, and the booking never comes to rest."""
    one = race("ada", "bo", locks=UNLOCKED)
    assert take_over_while_the_money_is_taken(one) == (True, None)
    assert payer_and_state(one.saga) == ("ada", "capturing")
    one.saga.run_until_quiet()
    assert one.saga.booking().state is not BookingState.BOOKED


# --- two refunds ------------------------------------------------------------------------------------------------------


def refund_twice(one: Race) -> tuple[object, object]:
    saga = one.saga
    booked(saga)
    portion_id = portion_of(saga, "bo")

    def refund(house: House) -> object:
        with house.database.begin(saga.merchant_id) as session:
            return payments.refund_portion(session, portion_id, Money(5_000, "EUR"), reason="member_canceled")

    return one.run(refund, refund)


def test_the_same_money_is_paid_back_once(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = refund_twice(one)
    assert (isinstance(first, Exception), isinstance(second, RefundTooLarge)) == (False, True)
    one.saga.run_until_quiet()
    assert [amount for _, amount in one.saga.provider.refunds] == [5_000]


def test_without_the_lock_it_is_asked_back_twice(race: MakeRace) -> None:
    one = race("ada", "bo", locks=UNLOCKED)
    assert not any(isinstance(outcome, Exception) for outcome in refund_twice(one))
    assert one.saga.count("SELECT sum(amount) FROM refund") == 10_000  # of 5,000 taken


# --- two workers, one call --------------------------------------------------------------------------------------------


def work_twice(one: Race) -> tuple[object, object]:
    saga = one.saga
    saga.open()
    (intent_id,) = saga.house.runner.due(saga.merchant_id)

    def work(house: House) -> bool:
        return house.runner.run(saga.merchant_id, intent_id)

    return one.run(work, work)


def holds_asked_for(saga: Saga) -> int:
    return len([operation for operation, _ in saga.merchant_twin.calls if operation == "hold"])


def test_a_call_has_one_claimant(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    assert work_twice(one) == (True, False)
    assert holds_asked_for(one.saga) == 1


def test_without_the_lock_two_workers_make_one_call(race: MakeRace) -> None:
    one = race("ada", "bo", locks=UNLOCKED)
    work_twice(one)
    assert holds_asked_for(one.saga) == 2


# --- two operators ----------------------------------------------------------------------------------------------------


def resume_twice(one: Race) -> tuple[object, object]:
    saga = one.saga
    booking_id = opened(saga)
    saga.execute("UPDATE booking SET state = 'parked', resume_state = 'open'")

    def resume(house: House) -> Resumed:
        return bookings.resume_booking(house.database, saga.merchant_id, booking_id, OPS)

    return one.run(resume, resume)


def test_two_operators_resume_once(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = resume_twice(one)
    assert first == Resumed(BookingState.OPEN, was_parked=True, calls=0, stopped=None)
    assert second == Resumed(BookingState.OPEN, was_parked=False, calls=0, stopped=None)
    assert one.saga.count("SELECT count(*) FROM booking_step WHERE event = 'resumed'") == 1


def test_without_the_lock_the_second_operator_gets_a_fault(race: MakeRace) -> None:
    _, second = resume_twice(race("ada", "bo", locks=UNLOCKED))
    assert isinstance(second, IntegrityError)


# --- a place for the waiting list -------------------------------------------------------------------------------------


def line_of(saga: Saga, *names: str) -> None:
    """A booking that collects, and these in the line."""
    opened(saga)
    for name in names:
        joined = bookings.wait_in_line(saga.database, None, saga.invite_token, name=name)
        saga._seat(name, joined.guest_token, joined.member.id)


def offered_to(saga: Saga, name: str) -> str:
    found = bookings.read_line(saga.database, saga.house.sealer, saga.friends[name], saga.trip_id).offered
    assert found is not None
    return found.token


def take_offer(saga: Saga, name: str, token: str) -> Callable[[House], object]:
    return lambda house: bookings.take_place(house.database, saga.friends[name], token)


def release_of(saga: Saga, name: str) -> Callable[[House], object]:
    booking_id = saga.id
    return lambda house: bookings.release_place(house.database, house.sealer, saga.friends[name], booking_id)


def open_offers(saga: Saga) -> int:
    return saga.count("SELECT count(*) FROM handover WHERE ended_at IS NULL AND for_member_id IS NOT NULL")


def going(saga: Saga) -> list[str]:
    return sorted(line.name for line in saga.booking().portions)


def release_two_at_once(one: Race) -> tuple[object, object]:
    """Two in the line, and two places for them in the same moment: each is offered one."""
    line_of(one.saga, "di", "eve")
    return one.run(release_of(one.saga, "bo"), release_of(one.saga, "cy"))


def test_two_places_are_offered_to_two(race: MakeRace) -> None:
    one = race("ada", "bo", "cy", locks=LOCKED)
    assert not any(isinstance(outcome, Exception) for outcome in release_two_at_once(one))
    assert one.saga.count("SELECT count(DISTINCT for_member_id) FROM handover") == 2


def test_without_the_lock_one_is_offered_both(race: MakeRace) -> None:
    one = race("ada", "bo", "cy", locks=UNLOCKED)
    assert not any(isinstance(outcome, Exception) for outcome in release_two_at_once(one))
    assert (open_offers(one.saga), one.saga.count("SELECT count(DISTINCT for_member_id) FROM handover")) == (2, 1)


def take_and_pass_on(one: Race) -> tuple[object, object]:
    """Di takes the place in the moment in which the time for it ends and it is passed on to Eve."""
    saga = one.saga
    line_of(saga, "di", "eve")
    release_of(saga, "cy")(saga.house)
    token = offered_to(saga, "di")

    def pass_on(house: House) -> object:
        saga.travel(minutes=16)
        return bookings.pass_places_on(house.database, house.sealer, saga.merchant_id)

    return one.run(take_offer(saga, "di", token), pass_on, at=2)


def test_a_place_that_was_taken_is_not_passed_on(race: MakeRace) -> None:
    one = race("ada", "bo", "cy", locks=LOCKED)
    taken, passed = take_and_pass_on(one)
    assert (isinstance(taken, Exception), passed) == (False, 0)
    assert (going(one.saga), open_offers(one.saga)) == (["ada", "bo", "di"], 0)
    assert one.saga.facts("place.missed") == 0


def test_without_the_lock_a_taken_place_is_passed_on(race: MakeRace) -> None:
    one = race("ada", "bo", "cy", locks=UNLOCKED)
    taken, passed = take_and_pass_on(one)
    assert (isinstance(taken, Exception), passed) == (False, 1), "a place is passed on that was taken"
    assert going(one.saga) == ["ada", "bo", "di"], "the row of the line, which both change, keeps the worst away"


def take_and_keep(one: Race) -> tuple[object, object]:
    """Cy takes the release back in the moment in which Di takes the place."""
    saga = one.saga
    line_of(saga, "di")
    release = release_of(saga, "cy")(saga.house)
    assert isinstance(release, bookings.Release)
    token, id = offered_to(saga, "di"), release.id

    def keep(house: House) -> None:
        bookings.keep_place(house.database, saga.friends["cy"], id)

    return one.run(take_offer(saga, "di", token), keep, at=2)


def test_a_place_that_was_taken_is_not_taken_back(race: MakeRace) -> None:
    one = race("ada", "bo", "cy", locks=LOCKED)
    taken, kept = take_and_keep(one)
    assert (isinstance(taken, Exception), isinstance(kept, HandoverOver)) == (False, True)
    assert going(one.saga) == ["ada", "bo", "di"]
    assert one.saga.facts("place.withdrawn") == 0


def test_without_the_lock_a_taken_place_is_taken_back(race: MakeRace) -> None:
    one = race("ada", "bo", "cy", locks=UNLOCKED)
    taken, kept = take_and_keep(one)
    assert not any(isinstance(outcome, Exception) for outcome in (taken, kept))
    assert (going(one.saga), one.saga.facts("place.withdrawn")) == (["ada", "bo", "di"], 1), "and Di is told otherwise"


# --- the last of what is wanted ---------------------------------------------------------------------------------------


def give_the_last_twice(one: Race) -> tuple[object, object]:
    """Two sponsors each give all that is wanted, at once."""
    saga = one.saga
    booking_id = opened(saga)
    wanted = Money(4_000, "EUR")
    link = bookings.want_gifts(saga.database, saga.house.sealer, saga.friends["ada"], booking_id, wanted)

    def give(name: str) -> Callable[[House], object]:
        return lambda house: bookings.give_without_a_place(
            house.database, None, link.token, wanted, name=name, nonce=name * 6
        )

    return one.run(give("gran"), give("boss"), at=2)


def given(saga: Saga) -> int:
    return saga.count("SELECT coalesce(sum(amount), 0) FROM contribution")


def test_no_more_is_given_than_is_wanted(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = give_the_last_twice(one)
    assert (isinstance(first, Exception), isinstance(second, SponsorLinkOver), given(one.saga)) == (False, True, 4_000)


def test_without_the_lock_more_is_given_than_is_wanted(race: MakeRace) -> None:
    """The version of the trip, which both change, is the last line of defense."""
    first, second = give_the_last_twice(race("ada", "bo", locks=UNLOCKED))
    assert not isinstance(first, Exception)
    assert not isinstance(second, SponsorLinkOver), "the second saw all that was wanted, still"


# --- an offered place taken back, and paid for, at once ---------------------------------------------------------------


def paid_and_taken_back(one: Race) -> tuple[object, object]:
    """Di's bank says yes to Bo's place, and in the moment in which that is written down Bo takes the offer back."""
    saga = one.saga
    booked(saga)
    saga.join("di")
    change = bookings.Change("replace", saga.members["bo"], by=saga.members["di"])
    id = bookings.amend_booking(saga.database, saga.friends["bo"], saga.id, change)
    saga.run_until_quiet()
    booking_id = saga.id
    with saga.database.begin(saga.merchant_id) as session:
        extra = payments.portions_of(session, booking_id)[-1]
    bookings.start_payment(
        saga.database, saga.house.runner, saga.friends["di"], extra.id, locale="en", public_url="http://x"
    )
    with saga.database.begin(saga.merchant_id) as session:
        attempt_id = payments.portion_view(session, extra.id).attempt_id
        assert attempt_id is not None
        owed = intents.owe(session, "payment.observe", attempt_id, reference=booking_id)
    saga.provider.authorize(attempt_id)

    def read(house: House) -> bool:
        return house.runner.run(saga.merchant_id, owed)

    def take_back(house: House) -> None:
        bookings.withdraw_change(house.database, saga.friends["bo"], id)

    return one.run(read, take_back, at=2)


def test_who_has_paid_has_the_place(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = paid_and_taken_back(one)
    assert (first, isinstance(second, AmendmentAccepted)) == (True, True)
    one.saga.run_until_quiet()
    assert (one.saga.booking().state, one.saga.provider.voids) == (BookingState.BOOKED, [])
    assert (len(one.saga.provider.captures), [amount for _, amount in one.saga.provider.refunds]) == (3, [5_000])


def test_without_the_lock_it_is_taken_back_from_who_has_paid(race: MakeRace) -> None:
    """Bo is told that the place is his again, Di that hers is paid."""
    one = race("ada", "bo", locks=UNLOCKED)
    assert paid_and_taken_back(one) == (True, None)


# --- a sponsor and the end of collecting ------------------------------------------------------------------------------


def give_at_the_freeze(one: Race) -> tuple[object, object]:
    """Gran gives in the moment in which the group is complete and the roster is frozen."""
    saga = one.saga
    booking_id = opened(saga)
    link = bookings.want_gifts(saga.database, saga.house.sealer, saga.friends["ada"], booking_id, Money(4_000, "EUR"))
    saga.pay("ada")
    saga.page("bo")
    saga.provider.authorize(saga._attempt("bo"))
    payments.refresh_portion(saga.database, saga.house.runner, saga.merchant_id, portion_of(saga, "bo"))

    def freeze(house: House) -> None:
        with house.database.begin(saga.merchant_id) as session:
            bookings.progress(session, booking_id)

    def give(house: House) -> object:
        return bookings.give_without_a_place(
            house.database, None, link.token, Money(4_000, "EUR"), name="gran", nonce="gran" * 6
        )

    return one.run(freeze, give)


def test_who_gives_too_late_gives_nothing(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    first, second = give_at_the_freeze(one)
    assert (first, isinstance(second, BookingClosed), given(one.saga)) == (None, True, 0)
    one.saga.run_until_quiet()
    assert (one.saga.booking().state, len(one.saga.provider.captures)) == (BookingState.BOOKED, 2)


def test_without_the_lock_a_gift_comes_into_a_frozen_roster(race: MakeRace) -> None:
    """The group is being decided, and whoever is in it owes another amount than the one that is decided."""
    one = race("ada", "bo", locks=UNLOCKED)
    first, second = give_at_the_freeze(one)
    assert (first, isinstance(second, BookingClosed)) == (None, False)


def giver_leaves_at_the_freeze(one: Race) -> tuple[object, object]:
    """Gran, who gives 40.00 of 100.00, leaves the trip in the moment in which the group is complete and is frozen."""
    saga = one.saga
    booking_id = opened(saga)
    link = bookings.want_gifts(saga.database, saga.house.sealer, saga.friends["ada"], booking_id, Money(4_000, "EUR"))
    gift = bookings.give_without_a_place(
        saga.database, None, link.token, Money(4_000, "EUR"), name="gran", nonce="gran" * 6
    )
    saga._seat("gran", gift.joined.guest_token, gift.joined.member.id)
    pay_extra(saga, "gran")
    saga.pay("ada")
    saga.page("bo")
    saga.provider.authorize(saga._attempt("bo"))
    payments.refresh_portion(saga.database, saga.house.runner, saga.merchant_id, portion_of(saga, "bo"))

    def leave(house: House) -> None:
        trips.leave(house.database, saga.friends["gran"], saga.trip_id)

    def freeze(house: House) -> None:
        with house.database.begin(saga.merchant_id) as session:
            bookings.progress(session, booking_id)

    return one.run(leave, freeze)


def test_who_leaves_in_time_gives_nothing(race: MakeRace) -> None:
    one = race("ada", "bo", locks=LOCKED)
    assert giver_leaves_at_the_freeze(one) == (None, None)
    saga = one.saga
    assert (saga.booking().state, saga.booking().extras) == (BookingState.OPEN, ())
    saga.run_until_quiet()
    assert (saga.booking().state, saga.provider.captures) == (BookingState.OPEN, [])
    for name in ("ada", "bo"):
        saga.pay(name)
    assert (saga.booking().state, len(saga.provider.captures)) == (BookingState.BOOKED, 2)


def test_without_the_lock_who_has_left_pays(race: MakeRace) -> None:
    one = race("ada", "bo", locks=UNLOCKED)
    assert giver_leaves_at_the_freeze(one) == (None, None)
    one.saga.run_until_quiet()
    assert one.saga.booking().state is BookingState.BOOKED
    assert one.saga.count("SELECT sum(amount) FROM contribution WHERE ended_at IS NULL") == 4_000
    assert len(one.saga.provider.captures) == 3
