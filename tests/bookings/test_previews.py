"""What a change of a booked place would come to, before it is asked for; then it comes to that, or to nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from groupbook import bookings, payments
from groupbook.bookings import Change, ChangePreview, MoneyBack
from groupbook.bookings.domain import (
    AmendmentIncomplete,
    AmendmentOpen,
    BookingClosed,
    BookingNotFound,
    BookingState,
    NotOrganizer,
    NotTraveling,
    TermsChanged,
)
from groupbook.kit.errors import Unavailable
from groupbook.kit.ids import AmendmentId
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.offers.domain import AmendmentNotOffered
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def booked(saga: MakeSaga, *names: str, payer: dict[str, str] | None = None) -> Saga:
    """Everybody has paid, each for themselves or as `payer` says."""
    house = saga(*names)
    house.open()
    house.run_until_quiet()
    for name in names:
        by = (payer or {}).get(name)
        if by is not None:
            portion_id = house.portion(name).portion_id
            assert portion_id is not None
            bookings.ask_to_pay(house.database, house.friends[name], portion_id, house.members[by])
            bookings.take_over(house.database, house.friends[by], portion_id)
        house.pay(name, by)
    assert house.booking().state is BookingState.BOOKED
    return house


def of(house: Saga, who: str, by: str | None = None) -> Change:
    if by is None:
        return Change("cancel", house.members[who])
    return Change("replace", house.members[who], by=house.members[by])


def preview(house: Saga, reader: str, change: Change) -> ChangePreview:
    outside = (house.database, house.house.adapter_of, house.house.sealer)
    caller = house.friends[reader] if reader != "desk" else house.desk
    return bookings.preview_change(*outside, caller, house.id, change)


def confirm(house: Saga, reader: str, change: Change, terms: str) -> AmendmentId:
    outside = (house.database, house.house.adapter_of, house.house.sealer)
    found = bookings.confirm_change(*outside, house.friends[reader], house.id, change, terms)
    house.run_until_quiet()
    return found


def tickets(house: Saga) -> dict[str, object]:
    names = {member: name for name, member in house.members.items()}
    return {names[one.member_id]: one for one in bookings.read_tickets(house.database, house.desk, house.id)}


def standing(house: Saga) -> object:
    """Everything that a refusal must leave alone."""
    booking = house.booking()
    counts = [house.count(f"SELECT count(*) FROM {table}") for table in ("amendment", "merchant_amendment", "refund")]
    return booking.state, booking.total, house.states(), tickets(house), counts, house.provider.refunds


def net(house: Saga) -> Money:
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        return payments.statement(session, booking_id).net


# --- giving a place back ----------------------------------------------------------------------------------------------


def test_what_is_kept_and_what_comes_back_is_said_and_then_done(saga: MakeSaga) -> None:
    """The merchant keeps 30 %: 1500 of 5000 cents. Bo gets 3500 back; the others' tickets and charges stay."""
    house = booked(saga, "ada", "bo", "cy")
    house.merchant_twin.kept_percent = 30
    before, states, was = standing(house), house.states(), tickets(house)
    found = preview(house, "bo", of(house, "bo"))
    assert standing(house) == before
    assert (found.price, found.kept, found.pays) == (eur(5_000), eur(1_500), None)
    assert found.back == (MoneyBack(house.members["bo"], "bo", eur(3_500), "visa 4242", "card"),)
    assert (found.total_now, found.total_then, found.others) == (eur(15_000), eur(11_500), 2)
    confirm(house, "bo", of(house, "bo"), found.terms)
    assert [amount for _, amount in house.provider.refunds] == [3_500]
    assert house.states() == {**states, "bo": "part_refunded"}
    assert (house.booking().total, net(house)) == (eur(11_500), eur(11_500))
    now = tickets(house)
    assert now == {name: was[name] for name in ("ada", "cy")}


def test_a_change_asked_for_twice_is_made_once(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    found = preview(house, "bo", of(house, "bo"))
    first = confirm(house, "bo", of(house, "bo"), found.terms)
    assert confirm(house, "bo", of(house, "bo"), found.terms) == first
    assert [amount for _, amount in house.provider.refunds] == [5_000]
    assert house.count("SELECT count(*) FROM amendment") == 1


def test_a_fee_that_rose_meanwhile_asks_again(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    house.merchant_twin.kept_percent = 10
    found = preview(house, "bo", of(house, "bo"))
    house.merchant_twin.kept_percent = 20
    before = standing(house)
    with pytest.raises(TermsChanged):
        confirm(house, "bo", of(house, "bo"), found.terms)
    assert standing(house) == before
    again = preview(house, "bo", of(house, "bo"))
    assert again.kept == eur(1_000)
    confirm(house, "bo", of(house, "bo"), again.terms)
    assert [amount for _, amount in house.provider.refunds] == [4_000]


def test_a_fee_that_rises_under_the_call_changes_nothing(saga: MakeSaga) -> None:
    """The merchant is told the most that was agreed to: it refuses, and nobody lost anything."""
    house = booked(saga, "ada", "bo")
    house.merchant_twin.provoke("amend", "price_changed")
    found = preview(house, "bo", of(house, "bo"))
    confirm(house, "bo", of(house, "bo"), found.terms)
    assert (house.booking().state, house.provider.refunds) == (BookingState.BOOKED, [])
    (change,) = house.booking("bo").changes
    assert (change.stage.value, change.reason, change.back) == ("refused", "price_changed", eur(0))
    assert set(tickets(house)) == {"ada", "bo"}


def test_a_preview_holds_for_a_while_and_not_beyond_the_merchants_own_time(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    found = preview(house, "bo", of(house, "bo"))
    house.travel(minutes=16)
    before = standing(house)
    with pytest.raises(TermsChanged):
        confirm(house, "bo", of(house, "bo"), found.terms)
    assert standing(house) == before
    house.merchant_twin.changes_until = house.now() + timedelta(minutes=18)
    assert preview(house, "bo", of(house, "bo")).valid_until == house.merchant_twin.changes_until


@pytest.mark.parametrize("terms", ["", "%%%", "Zm9ybXMgb2Ygb3VyIG93bg==", "x" * 20_001])
def test_terms_that_we_did_not_make_buy_nothing(saga: MakeSaga, terms: str) -> None:
    house = booked(saga, "ada", "bo")
    before = standing(house)
    with pytest.raises(TermsChanged):
        confirm(house, "bo", of(house, "bo"), terms)
    assert standing(house) == before


def test_terms_of_one_place_do_not_change_another(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    found = preview(house, "bo", of(house, "bo"))
    before = standing(house)
    with pytest.raises(TermsChanged):
        confirm(house, "ada", of(house, "ada"), found.terms)
    assert standing(house) == before


# --- who may, and who reads what --------------------------------------------------------------------------------------


def test_amounts_and_cards_are_read_by_those_they_belong_to(saga: MakeSaga) -> None:
    """Ada organizes and pays for Cy. Cy reads what comes back, not on which card; Bo's money is not Ada's to read."""
    house = booked(saga, "ada", "bo", "cy", payer={"cy": "ada"})
    own = preview(house, "cy", of(house, "cy"))
    assert own.back == (MoneyBack(house.members["ada"], "ada", eur(5_000), None, "card"),)
    paid = preview(house, "ada", of(house, "cy"))
    assert paid.back == (MoneyBack(house.members["ada"], "ada", eur(5_000), "visa 4242", "card"),)
    assert paid.kept == eur(0)
    organized = preview(house, "ada", of(house, "bo"))
    assert (organized.price, organized.kept) == (None, None)
    assert organized.back == (MoneyBack(house.members["bo"], "bo", None, None, "card"),)
    desk = preview(house, "desk", of(house, "bo"))
    assert (desk.price, desk.back[0].amount, desk.back[0].card) == (eur(5_000), eur(5_000), None)


def test_who_paid_for_a_place_may_give_it_back_and_others_may_not(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo", "cy", payer={"cy": "bo"})
    with pytest.raises(NotOrganizer):
        preview(house, "cy", of(house, "ada"))
    house.join("eve")
    with pytest.raises(NotOrganizer):
        preview(house, "eve", of(house, "cy"))
    found = preview(house, "bo", of(house, "cy"))
    confirm(house, "bo", of(house, "cy"), found.terms)
    assert set(tickets(house)) == {"ada", "bo"}
    (change,) = house.booking("bo").changes
    assert (change.stage.value, change.back) == ("done", eur(5_000))
    assert house.booking("eve").changes == ()
    (told,) = house.booking("ada").changes
    assert (told.name, told.back) == ("cy", None)
    stranger = replace(house.person("eve@plaza.example"))
    outside = (house.database, house.house.adapter_of, house.house.sealer)
    with pytest.raises(BookingNotFound):
        bookings.preview_change(*outside, stranger, house.id, of(house, "ada"))


# --- what is not possible ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["not_allowed", "too_late"])
def test_a_merchant_that_would_not_do_it_is_heard_before_anything_is_asked(saga: MakeSaga, reason: str) -> None:
    house = booked(saga, "ada", "bo")
    house.merchant_twin.provoke("price", reason)  # type: ignore[arg-type]
    before = standing(house)
    with pytest.raises(AmendmentNotOffered) as refused:
        preview(house, "bo", of(house, "bo"))
    assert refused.value.params["reason"] == reason
    assert standing(house) == before


def test_what_cannot_be_changed_has_no_preview(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    before = standing(house)
    house.offer_capabilities(Capabilities(holds=True, partial_cancel=False))
    with pytest.raises(AmendmentNotOffered):
        preview(house, "bo", of(house, "bo"))
    house.offer_capabilities(Capabilities(holds=True))
    house.merchant_twin.provoke("read", "unavailable")
    with pytest.raises(Unavailable):
        preview(house, "bo", of(house, "bo"))
    for change in (of(house, "bo", "ada"), Change("cancel", AmendmentId(house.id))):  # type: ignore[arg-type]
        with pytest.raises(NotTraveling):
            preview(house, "ada", change)
    with pytest.raises(AmendmentIncomplete):
        preview(house, "bo", Change("replace", house.members["bo"]))
    with pytest.raises(AmendmentIncomplete):
        preview(house, "desk", Change("surcharge", house.members["bo"], surcharge=eur(500)))
    assert standing(house) == before


def test_the_last_one_gives_no_single_place_back(saga: MakeSaga) -> None:
    house = booked(saga, "ada")
    with pytest.raises(AmendmentNotOffered) as refused:
        preview(house, "ada", of(house, "ada"))
    assert refused.value.params["reason"] == "last_traveler"


def test_one_change_at_a_time_and_none_of_a_canceled_booking(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo", "cy")
    found = preview(house, "cy", of(house, "cy"))
    house.join("dee")
    confirm(house, "bo", of(house, "bo", "dee"), preview(house, "bo", of(house, "bo", "dee")).terms)
    assert house.booking().state is BookingState.AMENDING
    before = standing(house)
    with pytest.raises(AmendmentOpen):
        preview(house, "cy", of(house, "cy"))
    with pytest.raises(AmendmentOpen):
        confirm(house, "cy", of(house, "cy"), found.terms)
    assert standing(house) == before
    house.pay("dee")
    bookings.cancel_booking(house.database, house.friends["ada"], house.id)
    house.run_until_quiet()
    with pytest.raises(BookingClosed):
        confirm(house, "cy", of(house, "cy"), found.terms)


# --- handing a place over ---------------------------------------------------------------------------------------------


def test_who_comes_in_pays_the_place_and_who_goes_gets_that_less_the_fee(saga: MakeSaga) -> None:
    """Another name costs 700: Dee pays 5000, Bo gets 4300, the order costs 700 more, and nobody else notices."""
    house = booked(saga, "ada", "bo")
    house.merchant_twin.replacing_fee_minor = 700
    house.join("dee")
    was, seats = tickets(house), {seat.place for seat in house.booking().seats}
    found = preview(house, "bo", of(house, "bo", "dee"))
    assert (found.price, found.kept, found.pays) == (eur(5_000), eur(700), eur(5_000))
    assert found.back == (MoneyBack(house.members["bo"], "bo", eur(4_300), "visa 4242", "card"),)
    confirm(house, "bo", of(house, "bo", "dee"), found.terms)
    assert (house.booking().state, house.provider.refunds) == (BookingState.AMENDING, [])
    house.pay("dee")
    assert house.states() == {"ada": "captured", "bo": "part_refunded", "dee": "captured"}
    assert [amount for _, amount in house.provider.refunds] == [4_300]
    assert (house.booking().total, net(house)) == (eur(10_700), eur(10_700))
    assert tickets(house)["ada"] == was["ada"]
    assert {seat.place for seat in house.booking().seats} == seats


def test_who_comes_in_and_costs_less_pays_less_and_nobody_else_notices(saga: MakeSaga) -> None:
    """With Dee the order costs 300 less: she pays 4700, and Bo gets his 5000. Ada's 5000 stay, as the preview says."""
    house = booked(saga, "ada", "bo")
    house.merchant_twin.replacing_fee_minor = -300
    house.join("dee")
    found = preview(house, "bo", of(house, "bo", "dee"))
    assert (found.price, found.kept, found.pays, found.others) == (eur(5_000), eur(0), eur(4_700), 1)
    confirm(house, "bo", of(house, "bo", "dee"), found.terms)
    house.pay("dee")
    assert house.states() == {"ada": "captured", "bo": "refunded", "dee": "captured"}
    assert [amount for _, amount in house.provider.refunds] == [5_000]
    assert house.portion("dee").captured == eur(4_700)
    assert (house.booking().total, net(house)) == (eur(9_700), eur(9_700))


def test_a_fee_above_what_the_place_is_worth_is_no_offer(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    house.merchant_twin.replacing_fee_minor = 5_001
    house.join("dee")
    with pytest.raises(AmendmentNotOffered):
        preview(house, "bo", of(house, "bo", "dee"))


def test_who_could_take_a_place_has_none(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo")
    assert bookings.candidates(house.database, house.friends["bo"], house.id) == []
    house.join("dee")
    assert bookings.candidates(house.database, house.friends["bo"], house.id) == [house.members["dee"]]


def test_who_gave_a_place_back_may_take_anothers(saga: MakeSaga) -> None:
    house = booked(saga, "ada", "bo", "cy")
    confirm(house, "bo", of(house, "bo"), preview(house, "bo", of(house, "bo")).terms)
    confirm(house, "cy", of(house, "cy", "bo"), preview(house, "cy", of(house, "cy", "bo")).terms)
    house.pay_extra("bo")
    assert set(tickets(house)) == {"ada", "bo"}
    assert (house.booking().total, net(house)) == (eur(10_000), eur(10_000))
