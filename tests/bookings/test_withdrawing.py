"""A booked place that was offered to somebody, taken back before they paid: by who offered it, or by their no."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from groupbook import bookings, notices, payments, trips
from groupbook.bookings import Change
from groupbook.bookings.domain import (
    AmendmentAccepted,
    AmendmentNotFound,
    AmendmentStage,
    BookingState,
    NotTraveling,
)
from groupbook.kit.errors import Forbidden
from groupbook.kit.ids import AmendmentId, to_wire
from groupbook.kit.money import Money
from groupbook.notices import NoticeCode
from groupbook.trips.domain import MembersShown, Privacy, Role
from groupbook.web.app import build_app
from tests.bookings.test_changes import booked
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]


def offered(saga: MakeSaga) -> tuple[Saga, AmendmentId]:
    """Three are booked; Bo's place is offered to Di, who has not paid yet."""
    house = booked(saga, "ada", "bo", "cy")
    house.join("di")
    change = Change("replace", house.members["bo"], by=house.members["di"])
    id = bookings.amend_booking(house.database, house.friends["bo"], house.id, change)
    house.run_until_quiet()
    assert house.booking().state is BookingState.AMENDING
    return house, id


def withdraw(house: Saga, who: str, id: AmendmentId) -> None:
    bookings.withdraw_change(house.database, house.friends[who], id)
    house.run_until_quiet()


def tickets(house: Saga) -> list[str]:
    return sorted(one.name for one in bookings.read_tickets(house.database, house.desk, house.id))


@pytest.mark.parametrize(
    ("who", "reason"), [("bo", "withdrawn"), ("ada", "withdrawn"), ("desk", "withdrawn"), ("di", "unwanted")]
)
def test_an_offer_is_taken_back_until_somebody_has_paid(saga: MakeSaga, who: str, reason: str) -> None:
    """Bo, whose place it is; Ada, who organizes; the merchant; and Di, who says no."""
    house, id = offered(saga)
    house.friends["desk"] = house.desk
    (shown,) = house.booking("bo").changes
    assert shown.can_withdraw
    for _ in range(2):
        withdraw(house, who, id)
    view = house.booking("bo")
    (change,) = view.changes
    assert (view.state, change.stage, change.reason) == (BookingState.BOOKED, AmendmentStage.REFUSED, reason)
    assert not change.can_withdraw
    assert tickets(house) == ["ada", "bo", "cy"]
    assert (len(house.provider.captures), house.provider.refunds) == (3, [])
    assert [call for call, _ in house.merchant_twin.calls if call == "amend"] == [], "the merchant was never asked"
    again = Change("replace", house.members["bo"], by=house.members["di"])
    assert bookings.amend_booking(house.database, house.friends["bo"], house.id, again) != id, "it can be offered anew"


def test_whoever_it_does_not_concern_cannot_take_it_back(saga: MakeSaga) -> None:
    house, id = offered(saga)
    assert house.booking("cy").changes == ()
    for who in ("cy", "eve"):
        house.friends.setdefault("eve", house.person("eve@plaza.example"))
        with pytest.raises(AmendmentNotFound):
            withdraw(house, who, id)
    with pytest.raises(AmendmentNotFound):
        withdraw(house, "bo", AmendmentId(house.id))
    assert house.booking().state is BookingState.AMENDING


def test_what_is_paid_is_not_taken_back(saga: MakeSaga) -> None:
    house, id = offered(saga)
    house.merchant_twin.provoke("amend", "unavailable", 3)
    house.pay_extra("di")
    before = (house.states(), house.provider.voids)
    for who in ("bo", "ada", "di"):
        with pytest.raises(AmendmentAccepted):
            withdraw(house, who, id)
    assert (house.states(), house.provider.voids) == before
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    assert tickets(house) == ["ada", "cy", "di"]
    with pytest.raises(AmendmentAccepted):
        withdraw(house, "bo", id)


def test_a_page_that_is_open_is_closed_and_a_late_yes_is_given_back(saga: MakeSaga) -> None:
    house, id = offered(saga)
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        extra = payments.portions_of(session, booking_id)[-1]
    bookings.start_payment(
        house.database, house.house.runner, house.friends["di"], extra.id, locale="en", public_url="http://x"
    )
    with house.database.begin(house.merchant_id) as session:
        attempt = payments.portion_view(session, extra.id).attempt_id
    assert attempt is not None
    house.provider.authorize(attempt)
    withdraw(house, "bo", id)
    assert (house.booking().state, house.provider.voids) == (BookingState.BOOKED, [attempt])
    assert attempt not in [one for one, _ in house.provider.captures]


def test_a_surcharge_is_taken_back_by_the_merchant_alone(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    change = Change("surcharge", house.members["bo"], surcharge=Money(900, "EUR"))
    id = bookings.amend_booking(house.database, house.desk, house.id, change)
    house.run_until_quiet()
    for who in ("bo", "ada"):
        with pytest.raises((AmendmentNotFound, Forbidden)):
            withdraw(house, who, id)
    bookings.withdraw_change(house.database, house.desk, id)
    house.run_until_quiet()
    assert (house.booking().state, house.booking().total) == (BookingState.BOOKED, Money(10_000, "EUR"))


@pytest.fixture
def client(saga: MakeSaga) -> Iterator[tuple[Saga, AmendmentId, Callable[..., Any]]]:
    house, id = offered(saga)
    with TestClient(build_app(house.house), base_url=house.house.settings.public_url) as browser:

        def ask(who: str, method: str, path: str) -> Any:
            return browser.request(method, path, headers={"Authorization": f"Bearer {house.tokens[who]}"})

        yield house, id, ask


def test_taking_back_over_http(client: tuple[Saga, AmendmentId, Callable[..., Any]]) -> None:
    house, id, ask = client
    booking, change = f"/v1/bookings/{to_wire('bkg', house.id)}", f"/v1/amendments/{to_wire('amd', id)}"
    (shown,) = ask("bo", "GET", booking).json()["changes"]
    assert (shown["state"], shown["can_withdraw"]) == ("collecting", True)
    refused = ask("cy", "DELETE", change)
    assert (refused.status_code, refused.json()["code"]) == (404, "amendment_not_found")
    for _ in range(2):
        assert ask("bo", "DELETE", change).status_code == 204
    house.run_until_quiet()
    (shown,) = ask("bo", "GET", booking).json()["changes"]
    assert (shown["state"], shown["reason"], shown["can_withdraw"]) == ("refused", "withdrawn", False)


def test_too_late_over_http(client: tuple[Saga, AmendmentId, Callable[..., Any]]) -> None:
    house, id, ask = client
    house.pay_extra("di")
    late = ask("bo", "DELETE", f"/v1/amendments/{to_wire('amd', id)}")
    assert (late.status_code, late.json()["code"], late.json()["params"]["stage"]) == (
        409,
        "amendment_accepted",
        "done",
    )


# --- who hears of it, and who may be asked ----------------------------------------------------------------------------


def told(house: Saga, name: str) -> list[NoticeCode]:
    with house.database.begin(house.merchant_id) as session:
        return [one.code for one in notices.notices_for(session, house.members[name])]


def test_who_is_asked_hears_of_it_at_once_and_of_its_end(saga: MakeSaga) -> None:
    house, id = offered(saga)
    assert told(house, "di") == [NoticeCode.PLACE_ASKED], "before any sweep of reminders"
    assert told(house, "cy") == [NoticeCode.TICKETS_READY]
    withdraw(house, "bo", id)
    assert (told(house, "di"), told(house, "bo")) == ([NoticeCode.PLACE_CALLED_OFF], [NoticeCode.TICKETS_READY])
    again = Change("replace", house.members["bo"], by=house.members["di"])
    second = bookings.amend_booking(house.database, house.friends["bo"], house.id, again)
    house.run_until_quiet()
    assert told(house, "di") == [NoticeCode.PLACE_ASKED]
    withdraw(house, "di", second)
    assert told(house, "bo") == [NoticeCode.PLACE_KEPT, NoticeCode.TICKETS_READY]


def test_who_lets_the_time_pass_is_told_and_so_is_whose_place_it_is(saga: MakeSaga) -> None:
    house, _ = offered(saga)
    house.travel(hours=25)
    house.run_until_quiet()
    assert house.booking().changes[0].reason == "unpaid"
    assert told(house, "di")[0] is NoticeCode.PLACE_CALLED_OFF
    assert told(house, "bo")[0] is NoticeCode.PLACE_KEPT


def test_who_paid_for_it_has_a_ticket_and_hears_so(saga: MakeSaga) -> None:
    house, _ = offered(saga)
    house.pay_extra("di")
    assert tickets(house) == ["ada", "cy", "di"]
    assert told(house, "di") == [NoticeCode.TICKETS_READY]
    assert told(house, "bo")[0] is NoticeCode.MONEY_BACK


def waiting(saga: MakeSaga) -> Saga:
    """Two are booked; Di waited in vain, and Gran gave from outside."""
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    joined = bookings.wait_in_line(house.database, None, house.invite_token, name="di")
    house._seat("di", joined.guest_token, joined.member.id)
    link = bookings.want_gifts(house.database, house.house.sealer, house.friends["ada"], house.id, Money(1_000, "EUR"))
    given = bookings.give_without_a_place(
        house.database, None, link.token, Money(1_000, "EUR"), name="gran", nonce="g" * 22
    )
    house._seat("gran", given.joined.guest_token, given.joined.member.id)
    house.run_until_quiet()
    bookings.take_back(house.database, house.friends["ada"], given.contribution_id)
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    assert house.booking().state is BookingState.BOOKED
    return house


def test_who_waited_in_vain_may_take_a_booked_place_and_a_sponsor_may_not(saga: MakeSaga) -> None:
    house = waiting(saga)
    for asker in ("ada", "bo"):
        assert bookings.candidates(house.database, house.friends[asker], house.id) == [house.members["di"]], asker
    refused = Change("replace", house.members["bo"], by=house.members["gran"])
    with pytest.raises(NotTraveling):
        bookings.amend_booking(house.database, house.friends["bo"], house.id, refused)
    change = Change("replace", house.members["bo"], by=house.members["di"])
    bookings.amend_booking(house.database, house.friends["bo"], house.id, change)
    house.run_until_quiet()
    assert told(house, "di") == [NoticeCode.PLACE_ASKED]
    assert role(house, "di") == (Role.VIEWER, False), "nothing of the group is shown before it is theirs"
    house.pay_extra("di")
    assert (tickets(house), role(house, "di")) == (["ada", "di"], (Role.MEMBER, True))
    assert [one.number for one in bookings.read_tickets(house.database, house.friends["di"], house.id)] != []


def test_names_that_are_private_are_not_learned_from_the_list(saga: MakeSaga) -> None:
    house = waiting(saga)
    privacy = Privacy(members_shown=MembersShown.COUNT)
    trips.change_privacy(house.database, house.friends["ada"], house.trip_id, privacy)
    assert bookings.candidates(house.database, house.friends["bo"], house.id) == []
    assert bookings.candidates(house.database, house.friends["ada"], house.id) == [house.members["di"]]


def role(house: Saga, name: str) -> tuple[Role, bool]:
    with house.database.begin(house.merchant_id) as session:
        (seat,) = [one for one in trips.members(session, house.trip_id) if one.id == house.members[name]]
    return seat.role, seat.is_going
