"""A place that changes hands before the deadline: whole or not at all, for one person, once, until a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from groupbook import bookings, people, trips
from groupbook.bookings import Handover
from groupbook.bookings.domain import (
    AlreadyTraveling,
    BookingClosed,
    BookingState,
    HandoverNotFound,
    HandoverOver,
    NotTraveling,
)
from groupbook.people.domain import NameEmpty
from groupbook.trips.domain import mint_invite_token
from tests.bookings.test_parts import balanced, leave, opened, owed, taken
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]


def hand_over(house: Saga, who: str, name: str = "Di") -> Handover:
    return bookings.hand_over(house.database, house.house.sealer, house.friends[who], house.id, for_name=name)


def take(house: Saga, link: Handover, name: str | None = None) -> str:
    joined = bookings.take_place(house.database, None, link.token, name=name, nonce=mint_invite_token())
    caller = people.authenticate(house.database, joined.guest_token or "")
    assert caller is not None
    shown = joined.member.name
    house.friends[shown], house.members[shown] = caller, joined.member.id
    house.run_until_quiet()
    return shown


def test_a_friend_takes_the_place_and_nobody_else_notices(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    for name in ("ada", "cy"):
        house.pay(name)
    cy = house._attempt("cy")
    link = hand_over(house, "cy")
    assert hand_over(house, "cy", "somebody else") == link, "one link at a time"
    offered = bookings.open_handover(house.database, link.token)
    assert (offered.by, offered.for_name, offered.price.minor, offered.title) == ("cy", "Di", 4_750, "Lights")
    assert house.states()["cy"] == "authorized", "until it is taken it is cy's"
    assert take(house, link) == "Di"
    assert owed(house) == {"ada": 4_750, "bo": 4_750, "Di": 4_750}
    assert house.provider.voids == [cy]
    assert house.states()["ada"] == "authorized", "not asked again"
    for name in ("bo", "Di"):
        house.pay(name)
    balanced(house)
    assert house.states() == {"ada": "captured", "bo": "captured", "Di": "captured"}
    assert cy not in [attempt for attempt, _ in house.provider.captures]
    assert len(bookings.read_tickets(house.database, house.friends["Di"], house.id)) == 1
    assert bookings.read_tickets(house.database, house.friends["cy"], house.id) == []


def test_nobody_bears_a_lost_discount_when_the_place_is_taken(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", lost_discount="leaver")
    house.pay("cy")
    take(house, hand_over(house, "cy"))
    assert (sum(owed(house).values()), house.booking().extras) == (14_250, ())


def test_a_link_is_good_once(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    link = hand_over(house, "cy")
    take(house, link)
    seats = house.count("SELECT count(*) FROM member")
    with pytest.raises(HandoverOver):
        bookings.take_place(house.database, None, link.token, name="Eve")
    assert house.count("SELECT count(*) FROM member") == seats, "nobody sat down"
    assert sorted(owed(house)) == ["Di", "ada", "bo"]


def test_a_guest_whose_answer_was_lost_asks_again(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    link = hand_over(house, "cy")
    nonce = mint_invite_token()
    bookings.take_place(house.database, None, link.token, nonce=nonce)  # and the answer is lost
    seats = house.count("SELECT count(*) FROM member")
    for wrong in (None, mint_invite_token(), ""):
        with pytest.raises(HandoverOver):
            bookings.take_place(house.database, None, link.token, nonce=wrong)
    again = bookings.take_place(house.database, None, link.token, nonce=nonce)
    assert (house.count("SELECT count(*) FROM member"), again.is_new) == (seats, False)
    caller = people.authenticate(house.database, again.guest_token or "")
    assert caller is not None
    house.friends["Di"], house.members["Di"] = caller, again.member.id
    house.run_until_quiet()
    assert owed(house) == {"ada": 4_750, "bo": 4_750, "Di": 4_750}
    for name in ("ada", "bo", "Di"):
        house.pay(name)
    balanced(house)
    replayed = bookings.take_place(house.database, None, link.token, nonce=nonce)
    assert replayed.member == again.member, "also when it is booked"
    house.travel(hours=25)
    with pytest.raises(HandoverOver):
        bookings.take_place(house.database, None, link.token, nonce=nonce)


def test_who_is_known_and_asks_again_has_the_place(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", lost_discount="leaver")
    house.pay("cy")
    leave(house, "cy")
    link = hand_over(house, "bo", "Cy again")
    for is_new in (True, False):
        joined = bookings.take_place(house.database, house.friends["cy"], link.token, nonce=mint_invite_token())
        assert (joined.member.id, joined.guest_token) == (house.members["cy"], None), is_new
        house.run_until_quiet()
    for other in ("ada", "bo"):
        with pytest.raises(HandoverOver):
            bookings.take_place(house.database, house.friends[other], link.token)
    assert owed(house) == {"ada": 5_000, "cy": 5_000}


def test_a_seat_that_became_a_persons_gives_no_guest_a_key(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    link = hand_over(house, "cy")
    nonce = mint_invite_token()
    first = bookings.take_place(house.database, None, link.token, nonce=nonce)
    trips.adopt(house.database, house.person("Di"), first.guest_token or "")
    again = bookings.take_place(house.database, None, link.token, nonce=nonce)
    assert (again.member.id, again.guest_token) == (first.member.id, None)


@pytest.mark.parametrize("end", ["taken back", "too late", "left", "decided", "unknown"])
def test_a_link_that_is_no_good(saga: MakeSaga, end: str) -> None:
    house = opened(saga, "ada", "bo", "cy", collection_window_seconds=7200)
    link = hand_over(house, "cy")
    wanted: type[Exception] = HandoverOver
    token = link.token
    if end == "taken back":
        with pytest.raises(HandoverNotFound):
            bookings.keep_place(house.database, house.friends["bo"], link.id)
        for _ in range(2):
            bookings.keep_place(house.database, house.friends["cy"], link.id)
    elif end == "too late":
        house.travel(hours=3)
    elif end == "left":
        leave(house, "cy")
    elif end == "decided":
        for name in ("ada", "bo", "cy"):
            house.pay(name)
        wanted = BookingClosed
    else:
        token, wanted = "x" * 22, HandoverNotFound
    before = house.states()
    with pytest.raises(wanted):
        bookings.take_place(house.database, None, token, name="Di")
    assert house.states() == before
    assert house.count("SELECT count(*) FROM member WHERE name = 'Di'") == 0


def test_who_travels_already_cannot_take_a_second_place(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    link = hand_over(house, "cy")
    with pytest.raises(AlreadyTraveling):
        bookings.take_place(house.database, house.friends["bo"], link.token)
    assert sorted(owed(house)) == ["ada", "bo", "cy"]
    assert bookings.open_handover(house.database, link.token).by == "cy", "the link is still good"


def test_only_a_traveler_has_a_place_to_give(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    leave(house, "cy")
    with pytest.raises(NotTraveling):
        hand_over(house, "cy")
    with pytest.raises(NameEmpty):
        hand_over(house, "bo", "  ")


def test_who_left_and_bore_the_loss_may_come_back_by_a_link(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", lost_discount="leaver")
    house.pay("cy")
    leave(house, "cy")
    assert [line.name for line in house.booking().extras] == ["cy"]
    link = hand_over(house, "bo", "Cy again")
    joined = bookings.take_place(house.database, house.friends["cy"], link.token)
    house.run_until_quiet()
    assert joined.member.id == house.members["cy"]
    assert owed(house) == {"ada": 5_000, "cy": 5_000}
    for name in ("ada", "cy"):
        house.pay(name)
    balanced(house)


def test_a_handed_over_booking_that_fails_charges_nobody(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    house.pay("bo")
    take(house, hand_over(house, "bo"))
    house.travel(minutes=31)
    house.run_until_quiet()
    assert (house.booking().state, taken(house), house.merchant_twin.live_holds()) == (BookingState.ABORTED, 0, [])
