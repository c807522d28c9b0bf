"""Giving, sharing, and who bears a lost discount, on a whole house: the money is what was said, to the cent.

One alone or two pay 50.00 each; three 5 % less (47.50), five 10 % less (45.00).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from groupbook import bookings, discounts, payments
from groupbook.bookings.domain import (
    BookingState,
    ContributionInvalid,
    NotYourBooking,
    PortionLine,
    SplitChanged,
    SplitInvalid,
    SplitNotFound,
    SplitView,
)
from groupbook.kit import clock
from groupbook.kit.ids import ContributionId, PortionId, SplitId
from groupbook.kit.money import Money
from groupbook.payments.domain import PortionTooSmall
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]
TIERS = next(
    rule
    for rule in json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))["rules"]
    if rule["id"] == "shop.tiers"
)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def opened(saga: MakeSaga, *names: str, **settings: Any) -> Saga:
    house = saga(*names)
    with house.database.begin(house.merchant_id) as session:
        discounts.put_catalogue(session, {"rules": [TIERS]}, starts_on=date(2026, 1, 1), now=clock.now(session))
    house.settle(**settings)
    house.open()
    house.run_until_quiet()
    return house


def owed(house: Saga) -> dict[str, int]:
    return {line.name: line.amount.minor for line in house.booking().portions if line.amount is not None}


def give(house: Saga, who: str, minor: int, to: str | None = None, reserve: int | None = None) -> ContributionId:
    member = house.members[to] if to else None
    kept = eur(reserve) if reserve is not None else None
    id = bookings.give(house.database, house.friends[who], house.id, eur(minor), to=member, reserve=kept)
    house.run_until_quiet()
    return id


def extra(house: Saga, index: int = 0) -> PortionLine:
    return house.booking().extras[index]


def pay_extra(house: Saga, who: str, index: int = 0) -> None:
    portion = extra(house, index).portion_id
    assert portion is not None
    bookings.start_payment(
        house.database, house.house.runner, house.friends[who], portion, locale="en", public_url="http://x"
    )
    with house.database.begin(house.merchant_id) as session:
        attempt = payments.portion_view(session, portion).attempt_id
    assert attempt is not None
    house.provider.authorize(attempt)
    payments.refresh_portion(house.database, house.house.runner, house.merchant_id, portion)
    house.run_until_quiet()


def taken(house: Saga) -> int:
    return sum(amount for _, amount in house.provider.captures)


def leave(house: Saga, who: str) -> None:
    bookings.leave_booking(house.database, house.friends[who], house.id)
    house.run_until_quiet()


def balanced(house: Saga) -> None:
    """P2: what is taken is the order, and the ledger says so."""
    view = house.booking()
    with house.database.begin(house.merchant_id) as session:
        ledger = payments.statement(session, view.id)
    assert (view.state, taken(house)) == (BookingState.BOOKED, view.total.minor)
    assert (ledger.total, ledger.captured) == (view.total, view.total)


# --- contributions ----------------------------------------------------------------------------------------------------


def test_a_sponsor_lowers_everybody_and_is_waited_for(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    house.pay("ada")
    give(house, "bo", 3_000)
    assert owed(house) == {"ada": 3_750, "bo": 3_750, "cy": 3_750}
    assert (extra(house).kind, extra(house).amount) == ("sponsor", eur(3_000))
    assert house.booking("cy").extras[0].amount == eur(3_000), "it lowers everybody's, so everybody may read it"
    assert house.states()["ada"] == "authorized", "less than agreed to asks nobody again"
    for name in ("bo", "cy"):
        house.pay(name)
    assert house.booking().state is BookingState.OPEN
    pay_extra(house, "bo")
    balanced(house)
    assert sorted(amount for _, amount in house.provider.captures) == [3_000, 3_750, 3_750, 3_750]
    assert [line.name for line in house.booking().portions] == ["ada", "bo", "cy"]
    assert len(house.merchant_twin.live_orders()) == 1


def test_a_part_for_a_friend_who_asked(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    portion = house.portion("cy").portion_id
    assert portion is not None
    with pytest.raises(NotYourBooking):
        give(house, "bo", 2_000, "cy")
    bookings.ask_to_pay(house.database, house.friends["cy"], portion, house.members["bo"])
    give(house, "bo", 2_000, "cy")
    give(house, "ada", 1_000, "cy")  # the organizer need not be asked
    assert owed(house) == {"ada": 4_750, "bo": 4_750, "cy": 1_750}
    assert [line.amount for line in house.booking("cy").extras] == [eur(2_000), eur(1_000)]
    assert [line.amount for line in house.booking("bo").extras] == [eur(2_000), None], "P6"
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    pay_extra(house, "bo", 0)
    pay_extra(house, "ada", 1)
    balanced(house)


def test_what_is_taken_back_is_asked_of_the_others_again(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    gift = give(house, "bo", 3_000)
    house.pay("cy")
    with pytest.raises(NotYourBooking):
        bookings.take_back(house.database, house.friends["cy"], gift)
    bookings.take_back(house.database, house.friends["ada"], gift)
    bookings.take_back(house.database, house.friends["bo"], gift)
    house.run_until_quiet()
    assert owed(house) == {"ada": 4_750, "bo": 4_750, "cy": 4_750}
    assert (house.booking().extras, house.states()["cy"]) == ((), "open"), "cy had agreed to 37.50 only"
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    balanced(house)


def test_more_than_the_price_is_not_taken(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    give(house, "bo", 14_000)
    give(house, "cy", 10_000)
    assert owed(house) == {"ada": 0, "bo": 0, "cy": 0}
    assert sum(line.amount.minor for line in house.booking().extras if line.amount is not None) == 14_250
    pay_extra(house, "bo", 0)
    pay_extra(house, "cy", 1)
    balanced(house)


@pytest.mark.parametrize(
    ("minor", "to", "reserve", "reason"),
    [(49, None, None, "too_small"), (14_251, None, None, "out_of_range"), (1_000, None, 500, "not_a_sponsor")],
)
def test_what_cannot_be_given_changes_nothing(
    saga: MakeSaga, minor: int, to: str | None, reserve: int | None, reason: str
) -> None:
    house = opened(saga, "ada", "bo", "cy")
    with pytest.raises(ContributionInvalid) as refused:
        give(house, "ada", minor, to, reserve)
    assert refused.value.params["reason"] == reason
    assert (owed(house), house.booking().extras) == ({"ada": 4_750, "bo": 4_750, "cy": 4_750}, ())


def test_a_sponsor_is_no_payer_of_the_quorum(saga: MakeSaga) -> None:
    """Two must go. One pays, and somebody sponsors: that is one."""
    house = opened(saga, "ada", "bo", "cy", payer_quorum=2)
    give(house, "ada", 2_000)
    house.pay("ada")
    pay_extra(house, "ada")
    house.travel(minutes=29)
    house.run_until_quiet()
    assert (house.booking().state, taken(house)) == (BookingState.ABORTED, 0)


def test_a_sponsor_who_does_not_pay_is_left_out_by_the_quorum(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", payer_quorum=2)
    give(house, "cy", 2_000)
    for name in ("ada", "bo"):
        house.pay(name)
    house.travel(minutes=29)
    house.run_until_quiet()
    balanced(house)
    assert [amount for _, amount in house.provider.captures] == [5_000, 5_000], "at most what they would pay alone"


def test_who_cannot_be_captured_in_time_is_no_payer_of_the_quorum_and_holds_up_nobody(saga: MakeSaga) -> None:
    """Two must go; Ada's bank keeps her money for an hour only, and asked anew she gives nothing. Bo and Cy go."""
    house = opened(saga, "ada", "bo", "cy", payer_quorum=2)
    house.page("ada")
    house.provider.authorize(house._attempt("ada"), seconds=3_600)
    house.refresh("ada")
    for name in ("bo", "cy"):
        house.pay(name)
    assert house.states() == {"ada": "expired", "bo": "authorized", "cy": "authorized"}
    house.travel(minutes=29)
    house.run_until_quiet()
    balanced(house)
    assert house.states() == {"bo": "captured", "cy": "captured"}


# --- who bears a lost discount ----------------------------------------------------------------------------------------


def test_the_group_bears_it_unless_somebody_chose_otherwise(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    for name in ("ada", "cy"):
        house.pay(name)
    found = bookings.preview_leave(house.database, house.friends["cy"], house.id)
    assert (found.policy, found.others_now, found.others_then, found.bears) == (
        "group",
        eur(9_500),
        eur(10_000),
        eur(0),
    )
    leave(house, "cy")
    assert (owed(house), house.states()) == ({"ada": 5_000, "bo": 5_000}, {"ada": "open", "bo": "open"})


def test_the_leaver_bears_what_the_others_lose(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", lost_discount="leaver")
    for name in ("ada", "cy"):
        house.pay(name)
    found = bookings.preview_leave(house.database, house.friends["cy"], house.id)
    assert (found.bears, found.bears_most, found.others_then) == (eur(500), eur(4_750), eur(9_500))
    leave(house, "cy")
    assert (owed(house), house.states()) == ({"ada": 4_750, "bo": 4_750}, {"ada": "authorized", "bo": "open"})
    line = extra(house)
    assert (line.kind, line.name, line.amount, line.cap) == ("lost_discount", "cy", eur(500), eur(4_750))
    house.pay("bo")
    balanced(house)
    assert sorted(amount for _, amount in house.provider.captures) == [500, 4_750, 4_750]
    assert [line.name for line in house.booking().portions] == ["ada", "bo"]


def test_who_had_not_paid_yet_leaves_free(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", lost_discount="leaver")
    assert bookings.preview_leave(house.database, house.friends["cy"], house.id).bears == eur(0)
    leave(house, "cy")
    assert (owed(house), house.booking().extras) == ({"ada": 5_000, "bo": 5_000}, ())


def test_nobody_waits_for_a_leaver_whose_bank_let_go(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", lost_discount="leaver")
    house.pay("cy")
    attempt = house._attempt("cy")
    leave(house, "cy")
    portion = extra(house).portion_id
    assert portion is not None
    house.provider.lapse(attempt)
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        payments.observe_all(session, booking_id)
    house.run_until_quiet()
    assert (owed(house), house.booking().extras) == ({"ada": 5_000, "bo": 5_000}, ())
    for name in ("ada", "bo"):
        house.pay(name)
    balanced(house)


def test_a_sponsor_bears_it_as_far_as_they_said(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", "di", "eve", lost_discount="sponsor")
    give(house, "ada", 1_000, reserve=600)
    for name in ("ada", "bo", "cy", "di", "eve"):
        house.pay(name)
    assert owed(house)["bo"] == 4_300
    leave(house, "eve")
    assert sum(owed(house).values()) == 4 * 4_750 - 1_600, "10.00 were lost, 6.00 of it is borne"
    assert extra(house).amount == eur(1_600)
    assert (extra(house).cap, house.booking().total) == (eur(1_600), eur(19_000))
    for name in ("ada", "bo", "cy", "di"):
        if house.states()[name] != "authorized":
            house.pay(name)
    pay_extra(house, "ada")
    balanced(house)


def test_a_sponsor_still_bears_what_was_lost_when_the_party_shrinks_to_its_quorum(saga: MakeSaga) -> None:
    """Cy leaves and Di never pays, so two go at 50.00. With Cy it would be 47.50: the sponsor bears twice 2.50."""
    house = opened(saga, "ada", "bo", "cy", "di", lost_discount="sponsor", payer_quorum=2)
    give(house, "ada", 1_000, reserve=500)
    leave(house, "cy")
    for name in ("ada", "bo"):
        house.pay(name)
    pay_extra(house, "ada")
    house.travel(minutes=29)
    house.run_until_quiet()
    balanced(house)
    assert (owed(house), extra(house).amount) == ({"ada": 4_250, "bo": 4_250}, eur(1_500))


@pytest.mark.parametrize("order", [("cy", "di"), ("di", "cy")])
def test_the_order_in_which_two_leave_changes_nothing(saga: MakeSaga, order: tuple[str, str]) -> None:
    house = opened(saga, "ada", "bo", "eve", "cy", "di", lost_discount="leaver")
    for name in ("ada", "cy", "di"):
        house.pay(name)
    for name in order:
        leave(house, name)
    assert owed(house) == {"ada": 4_500, "bo": 4_500, "eve": 4_500}
    borne = {line.name: line.amount for line in house.booking().extras}
    assert borne == {"cy": eur(375), "di": eur(375)}
    for name in ("bo", "eve"):
        house.pay(name)
    balanced(house)


# --- splits -----------------------------------------------------------------------------------------------------------


def propose(house: Saga, who: str, **parts: int) -> SplitId:
    weights = {house.members[name]: part for name, part in parts.items()}
    return bookings.propose_split(house.database, house.friends[who], house.id, weights)


def split(house: Saga, who: str) -> SplitView:
    (found,) = house.booking(who).splits
    return found


def say_yes(house: Saga, who: str) -> None:
    found = split(house, who)
    bookings.answer_split(house.database, house.friends[who], found.id, yes=True, amount=found.mine)
    house.run_until_quiet()


def test_a_split_holds_when_everybody_concerned_has_agreed(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    assert propose(house, "ada", ada=2, bo=1) == propose(house, "ada", ada=2, bo=1)
    assert split(house, "ada").mine is None, "P6: bo has not agreed that ada may work out bo's price"
    assert (split(house, "bo").mine, house.booking("cy").splits) == (eur(3_167), ())
    say_yes(house, "bo")
    assert owed(house) == {"ada": 4_750, "bo": 4_750, "cy": 4_750}, "nothing changes till all did"
    assert split(house, "ada").mine == eur(6_333)
    say_yes(house, "ada")
    assert owed(house) == {"ada": 6_333, "bo": 3_167, "cy": 4_750}
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    balanced(house)


def test_a_split_lapses_when_its_sum_changes(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    propose(house, "ada", ada=2, bo=1)
    say_yes(house, "bo")
    say_yes(house, "ada")
    leave(house, "cy")
    assert (owed(house), house.booking("ada").splits) == ({"ada": 5_000, "bo": 5_000}, ())
    propose(house, "ada", ada=1, bo=1)
    assert len(house.booking("bo").splits) == 1, "it may be asked for again"


def test_a_question_whose_sum_changed_is_over_with_the_first_answer(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    id = propose(house, "ada", ada=2, bo=1)
    leave(house, "cy")
    with pytest.raises(SplitChanged) as refusal:
        bookings.answer_split(house.database, house.friends["bo"], id, yes=True, amount=eur(3_167))
    assert refusal.value.params == {"reason": "price_changed"}
    assert (owed(house), house.booking("ada").splits) == ({"ada": 5_000, "bo": 5_000}, ())
    with pytest.raises(SplitChanged) as refusal:
        bookings.answer_split(house.database, house.friends["ada"], id, yes=True, amount=eur(6_333))
    assert refusal.value.params == {"reason": "lapsed"}


def test_a_no_ends_it(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    id = propose(house, "ada", ada=3, bo=1)
    say_yes(house, "bo")
    say_yes(house, "ada")
    for _ in range(2):
        bookings.answer_split(house.database, house.friends["bo"], id, yes=False, amount=None)
    assert (owed(house), house.booking("ada").splits) == ({"ada": 4_750, "bo": 4_750, "cy": 4_750}, ())
    with pytest.raises(SplitChanged):
        bookings.answer_split(house.database, house.friends["ada"], id, yes=True, amount=eur(1))


def test_a_yes_is_to_the_amount_that_was_seen(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    id = propose(house, "ada", ada=2, bo=1)
    for who, amount in (("bo", 3_166), ("ada", 6_333)):
        with pytest.raises(SplitChanged):
            bookings.answer_split(house.database, house.friends[who], id, yes=True, amount=eur(amount))
    with pytest.raises(SplitNotFound):
        bookings.answer_split(house.database, house.friends["cy"], id, yes=True, amount=eur(1))
    assert split(house, "bo").agreed == frozenset()


@pytest.mark.parametrize("parts", [{"ada": 1}, {"bo": 1, "cy": 1}, {"ada": 0, "bo": 0}, {"ada": 1001, "bo": 1}])
def test_a_split_that_makes_no_sense_is_refused(saga: MakeSaga, parts: dict[str, int]) -> None:
    house = opened(saga, "ada", "bo", "cy")
    with pytest.raises(SplitInvalid):
        propose(house, "ada", **parts)
    assert house.booking().splits == ()


def test_a_proposal_tells_nothing_of_a_price(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    propose(house, "ada", ada=1000, bo=1)  # bo's part would be 9 cents: refused here, it would tell ada a bound
    assert (split(house, "ada").mine, split(house, "bo").mine) == (None, eur(9))
    say_yes(house, "bo")
    before = owed(house)
    with pytest.raises(PortionTooSmall):
        say_yes(house, "ada")
    assert (owed(house), split(house, "ada").state) == (before, "asked"), "no card takes 9 cents"
    id = split(house, "ada").id
    bookings.answer_split(house.database, house.friends["bo"], id, yes=False, amount=None)
    assert house.booking("ada").splits == ()


def test_only_so_many_proposals_wait(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    ids = [propose(house, "ada", ada=2, bo=number) for number in range(1, 6)]
    for _ in range(2):
        with pytest.raises(SplitInvalid) as refused:
            propose(house, "ada", ada=2, bo=6)
        assert (refused.value.params["reason"], refused.value.params["most"]) == ("too_many", 5)
    assert len(house.booking("bo").splits) == 5
    assert propose(house, "ada", ada=2, bo=1) == ids[0], "asked again it is one"
    propose(house, "bo", ada=2, bo=6)
    bookings.answer_split(house.database, house.friends["ada"], ids[0], yes=False, amount=None)
    propose(house, "ada", ada=2, bo=6)


def test_gifts_splits_and_leavers_together(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", "di", "eve", lost_discount="leaver")
    propose(house, "ada", ada=1, bo=2)
    say_yes(house, "bo")
    say_yes(house, "ada")
    give(house, "cy", 1_000)
    house.pay("eve")
    leave(house, "eve")
    assert owed(house) == {"ada": 2_750, "bo": 5_750, "cy": 4_250, "di": 4_250}
    for name in ("ada", "bo", "cy", "di"):
        house.pay(name)
    pay_extra(house, "cy", 0)
    balanced(house)
    assert taken(house) == 19_000


def test_a_gift_is_handed_back_to_its_giver(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    give(house, "bo", 3_000)
    portion = extra(house).portion_id
    assert portion is not None
    bookings.take_over(house.database, house.friends["ada"], PortionId(portion))
    assert extra(house).payer_name == "ada"
    bookings.hand_back(house.database, house.friends["ada"], PortionId(portion))
    assert extra(house).payer_name == "bo"
