"""A booked place is given back or changes hands: the money goes to whoever paid for it, and to nobody else.

One alone or two pay 50.00 each; three 5 % less (47.50).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from groupbook import bookings, payments
from groupbook.bookings import Change
from groupbook.bookings.domain import BookingState
from tests.bookings.test_parts import eur, extra, give, opened, pay_extra, propose, say_yes
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]


def amend(house: Saga, kind: Any, who: str, *, by: str | None = None) -> None:
    change = Change(kind, house.members[who], by=house.members[by] if by else None)
    bookings.amend_booking(house.database, house.desk, house.id, change)
    house.run_until_quiet()


def kept(house: Saga) -> dict[str, tuple[int, int]]:
    """(taken, given back) by name; what is given or borne under `by:<its giver>`. Rows and provider say the same."""
    names: dict[UUID, str] = {member: name for name, member in house.members.items()}
    found: dict[str, tuple[int, int]] = {}
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        portions = payments.portions_of(session, booking_id)
    for one in (portion for portion in portions if not portion.is_dropped):
        name = names.get(one.traveler, f"by:{names[one.payer]}")
        taken, back = found.get(name, (0, 0))
        found[name] = (taken + one.captured.minor, back + one.refunded.minor)
    taken = sum(amount for _, amount in house.provider.captures)
    back = sum(amount for _, amount in house.provider.refunds)
    assert (taken, back) == (sum(one for one, _ in found.values()), sum(one for _, one in found.values()))
    assert (house.booking().state, taken - back) == (BookingState.BOOKED, house.booking().total.minor)
    return found


def receipts_sum(house: Saga, *names: str) -> None:
    """What all receipts say together is what the ledger says."""
    read = [bookings.read_receipt(house.database, house.friends[name], house.id) for name in names]
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        ledger = payments.statement(session, booking_id)
    assert sum(item.amount.minor for one in read for item in one.items) == ledger.captured.minor
    assert sum(one.kept.minor for one in read) == ledger.net.minor


def given_to_bo(saga: MakeSaga, minor: int = 6_000) -> Saga:
    """Cy pays Bo's place (at most 47.50 of what was promised), Ada and Cy their own."""
    house = opened(saga, "ada", "bo", "cy")
    portion = house.portion("bo").portion_id
    assert portion is not None
    bookings.ask_to_pay(house.database, house.friends["bo"], portion, house.members["cy"])
    give(house, "cy", minor, "bo")
    for name in ("ada", "cy") if minor >= 4_750 else ("ada", "bo", "cy"):
        house.pay(name)
    pay_extra(house, "cy")
    return house


def test_a_place_that_a_gift_paid_goes_back_to_its_giver(saga: MakeSaga) -> None:
    house = given_to_bo(saga)
    assert kept(house) == {"ada": (4_750, 0), "bo": (0, 0), "cy": (4_750, 0), "by:cy": (4_750, 0)}
    amend(house, "cancel", "bo")
    assert kept(house) == {"ada": (4_750, 0), "bo": (0, 0), "cy": (4_750, 0), "by:cy": (4_750, 4_750)}
    receipts_sum(house, "ada", "cy")
    amend(house, "cancel", "cy")
    assert kept(house) == {"ada": (4_750, 0), "bo": (0, 0), "cy": (4_750, 4_750), "by:cy": (4_750, 4_750)}


def test_a_receipt_of_a_gift_names_whose_place_it_paid(saga: MakeSaga) -> None:
    house = given_to_bo(saga)
    read = bookings.read_receipt(house.database, house.friends["cy"], house.id)
    assert [(item.name, item.is_own, item.amount) for item in read.items] == [
        ("cy", True, eur(4_750)),
        ("bo", False, eur(4_750)),
    ]


def test_each_who_paid_a_part_of_a_place_gets_that_part_back(saga: MakeSaga) -> None:
    house = given_to_bo(saga, 2_000)
    amend(house, "cancel", "bo")
    assert kept(house) == {"ada": (4_750, 0), "bo": (2_750, 2_750), "cy": (4_750, 0), "by:cy": (2_000, 2_000)}
    receipts_sum(house, "ada", "bo", "cy")


def test_who_takes_a_place_that_a_gift_paid_pays_all_it_is_worth(saga: MakeSaga) -> None:
    house = given_to_bo(saga)
    house.join("dee")
    amend(house, "replace", "bo", by="dee")
    assert house.portion("dee").amount == eur(4_750)
    house.pay("dee")
    story = {"ada": (4_750, 0), "bo": (0, 0), "cy": (4_750, 0), "by:cy": (4_750, 4_750)}
    assert kept(house) == story | {"dee": (4_750, 0)}
    amend(house, "cancel", "dee")
    assert kept(house) == story | {"dee": (4_750, 4_750)}


def split_three_to_one(saga: MakeSaga) -> Saga:
    """Ada pays 71.25 for Bo and herself, Bo 23.75, Cy has nothing to do with it."""
    house = opened(saga, "ada", "bo", "cy")
    propose(house, "ada", ada=3, bo=1)
    say_yes(house, "bo")
    say_yes(house, "ada")
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    assert kept(house) == {"ada": (7_125, 0), "bo": (2_375, 0), "cy": (4_750, 0)}
    return house


def test_of_a_split_place_both_who_paid_it_get_their_part_back(saga: MakeSaga) -> None:
    house = split_three_to_one(saga)
    amend(house, "cancel", "bo")
    assert kept(house) == {"ada": (7_125, 2_375), "bo": (2_375, 2_375), "cy": (4_750, 0)}
    receipts_sum(house, "ada", "bo", "cy")


def test_who_splits_and_leaves_gets_their_own_price_back_and_goes_on_paying_the_friends(saga: MakeSaga) -> None:
    house = split_three_to_one(saga)
    amend(house, "cancel", "ada")
    assert kept(house) == {"ada": (7_125, 4_750), "bo": (2_375, 0), "cy": (4_750, 0)}


def test_who_takes_a_split_place_pays_both_who_had_paid_it(saga: MakeSaga) -> None:
    house = split_three_to_one(saga)
    house.join("dee")
    amend(house, "replace", "bo", by="dee")
    house.pay("dee")
    story = {"ada": (7_125, 2_375), "bo": (2_375, 2_375), "cy": (4_750, 0), "dee": (4_750, 0)}
    assert kept(house) == story
    receipts_sum(house, "ada", "bo", "cy", "dee")
    amend(house, "cancel", "ada")
    assert kept(house) == story | {"ada": (7_125, 7_125)}


def test_a_sponsor_gets_back_what_they_gave_for_who_left_and_for_each_once(saga: MakeSaga) -> None:
    """Bo comes back in Cy's place: the sponsor's part for Bo was given back, and is not given back again."""
    house = opened(saga, "ada", "bo", "cy")
    give(house, "ada", 3_000)
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    pay_extra(house, "ada")
    assert extra(house).amount == eur(3_000)
    amend(house, "cancel", "bo")
    story = {"ada": (3_750, 0), "bo": (3_750, 3_750), "cy": (3_750, 0), "by:ada": (3_000, 1_000)}
    assert kept(house) == story
    receipts_sum(house, "ada", "bo", "cy")
    sponsored = bookings.read_receipt(house.database, house.friends["ada"], house.id).items
    assert [(item.traveler, item.amount) for item in sponsored] == [
        (house.members["ada"], eur(3_750)),
        (None, eur(3_000)),
    ]
    amend(house, "replace", "cy", by="bo")
    assert house.portion("bo").amount == eur(4_750)
    house.pay("bo")
    story |= {"bo": (8_500, 3_750), "cy": (3_750, 3_750), "by:ada": (3_000, 2_000)}
    assert kept(house) == story
    amend(house, "cancel", "bo")
    assert kept(house) == story | {"bo": (8_500, 8_500)}
    receipts_sum(house, "ada", "bo", "cy")


def test_what_a_leaver_bears_goes_back_with_the_place_it_was_for(saga: MakeSaga) -> None:
    """Di bears 2.50 each for Ada and Bo: with Bo's place they get 2.50 back."""
    house = opened(saga, "ada", "bo", "di", lost_discount="leaver")
    house.pay("di")
    bookings.leave_booking(house.database, house.friends["di"], house.id)
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    assert kept(house) == {"ada": (4_750, 0), "bo": (4_750, 0), "di": (500, 0)}
    amend(house, "cancel", "bo")
    assert kept(house) == {"ada": (4_750, 0), "bo": (4_750, 4_750), "di": (500, 250)}
    receipts_sum(house, "ada", "bo", "di")
