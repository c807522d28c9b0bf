"""The ways a group pays before the booking stands: for each other, with fewer than all, and out of it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from groupbook import bookings
from groupbook.bookings import Choices
from groupbook.bookings.domain import BookingClosed, BookingState, NotTraveling, Policy, PolicyInvalid, choose
from groupbook.kit.ids import PortionId
from groupbook.kit.money import Money
from groupbook.payments.domain import PortionNotFound, PortionNotPayable
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]
DAY = 86_400.0


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def opened(saga: MakeSaga, *names: str, **settings: Any) -> Saga:
    house = saga(*names)
    house.settle(**settings)
    house.open()
    house.run_until_quiet()
    return house


def portion_of(house: Saga, name: str) -> PortionId:
    id = house.portion(name).portion_id
    assert id is not None
    return id


# --- what the organizer chooses ---------------------------------------------------------------------------------------


def test_the_organizer_chooses_within_what_the_merchant_leaves() -> None:
    house, settings = Policy(), {"collection_window_seconds": 7200.0, "payer_quorum": 3}
    chosen = choose(house, settings, Choices(window_seconds=600.0, payer_quorum=4), people=5)
    assert (chosen.collection_window_seconds, chosen.payer_quorum) == (600.0, 4)
    assert choose(house, settings, Choices(), people=5) == house.but(settings)
    short = Policy(collection_window_seconds=12.0)  # a house of tests may be below what organizers choose from
    assert choose(short, {}, Choices(window_seconds=12.0), people=5) == short
    free = choose(house, {}, Choices(window_seconds=10 * DAY, payer_quorum=1), people=5)
    assert (free.collection_window_seconds, free.payer_quorum) == (10 * DAY, 1)


@pytest.mark.parametrize(
    ("choices", "pointer"),
    [
        (Choices(window_seconds=7201.0), "/window_seconds"),
        (Choices(window_seconds=59.0), "/window_seconds"),
        (Choices(payer_quorum=2), "/payer_quorum"),
        (Choices(payer_quorum=6), "/payer_quorum"),
    ],
)
def test_a_choice_that_is_not_theirs_is_refused(choices: Choices, pointer: str) -> None:
    settings = {"collection_window_seconds": 7200.0, "payer_quorum": 3}
    with pytest.raises(PolicyInvalid) as refused:
        choose(Policy(), settings, choices, people=5)
    assert refused.value.pointer == pointer


def test_a_refused_choice_opens_nothing(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    with pytest.raises(PolicyInvalid):
        bookings.open_booking(
            house.database, house.friends["ada"], house.trip_id, policy=house.house.policy, choices=Choices(None, 3)
        )
    assert bookings.booking_of_trip(house.database, house.desk, house.trip_id) is None
    assert house.trip_state() == "decided"


def test_a_chosen_quorum_is_told_and_holds(saga: MakeSaga) -> None:
    house = saga("ada", "bo", "cy")
    bookings.open_booking(
        house.database, house.friends["ada"], house.trip_id, policy=house.house.policy, choices=Choices(None, 2)
    )
    house.run_until_quiet()
    line = house.portion("ada")
    assert (house.booking().payer_quorum, line.amount, line.cap) == (2, eur(5_000), eur(5_000))
    for name in ("ada", "bo"):
        house.pay(name)
    house.travel(minutes=29)
    house.run_until_quiet()
    assert (house.booking().state, house.states()) == (BookingState.BOOKED, {"ada": "captured", "bo": "captured"})


# --- paying for each other --------------------------------------------------------------------------------------------


def test_the_organizer_covers_who_is_short_and_may_think_again(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    portion = portion_of(house, "bo")
    bookings.take_over(house.database, house.friends["ada"], portion)
    assert (house.portion("bo").payer_name, house.booking("ada").portions[1].amount) == ("ada", eur(5_000))
    bookings.hand_back(house.database, house.friends["ada"], portion)
    bookings.hand_back(house.database, house.friends["bo"], portion)
    assert house.portion("bo").payer_name == "bo"
    assert house.booking("ada").portions[1].amount is None, "P6: it is bo's again"
    with pytest.raises(PortionNotFound):
        bookings.hand_back(house.database, house.friends["ada"], portion)


def test_what_a_bank_keeps_is_not_handed_back(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    portion = portion_of(house, "bo")
    bookings.take_over(house.database, house.friends["ada"], portion)
    house.pay("bo", payer="ada")
    with pytest.raises(PortionNotPayable):
        bookings.hand_back(house.database, house.friends["ada"], portion)
    assert (house.portion("bo").payer_name, house.states()["bo"]) == ("ada", "authorized")


# --- leaving ----------------------------------------------------------------------------------------------------------


def test_leaving_is_told_before_it_is_done(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    found = bookings.preview_leave(house.database, house.friends["cy"], house.id)
    assert (found.yours, found.others, found.others_now, found.others_then) == (eur(5_000), 2, eur(10_000), eur(10_000))
    assert not found.is_last
    assert house.booking().total == eur(15_000), "nothing was written"
    bookings.leave_booking(house.database, house.friends["cy"], house.id)
    assert house.booking().total == found.others_then
    with pytest.raises(NotTraveling):
        bookings.preview_leave(house.database, house.friends["cy"], house.id)


def test_who_left_is_not_asked_when_it_is_tried_again(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    bookings.leave_booking(house.database, house.friends["bo"], house.id)
    bookings.cancel_booking(house.database, house.friends["ada"], house.id)
    house.run_until_quiet()
    house.open()
    house.run_until_quiet()
    assert [line.name for line in house.booking().portions] == ["ada"]


def test_nobody_is_told_what_leaving_does_once_it_is_decided(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    for name in ("ada", "bo"):
        house.pay(name)
    with pytest.raises(BookingClosed):
        bookings.preview_leave(house.database, house.friends["bo"], house.id)
