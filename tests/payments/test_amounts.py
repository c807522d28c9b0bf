"""The laws of amounts: the falling price, caps, small portions merged, every kind of currency. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import PortionId, new_id
from groupbook.kit.money import Money, total
from groupbook.payments.domain import (
    Covered,
    Due,
    PartsDoNotSum,
    PortionCurrency,
    PortionDraft,
    PortionNotRepresentable,
    PortionTooSmall,
    check_drafts,
    fall,
    least_payable,
    merge_small,
    payable_step,
)

CURRENCIES = st.sampled_from(["EUR", "JPY", "TND", "ISK", "UGX", "HUF", "GBP", "KWD"])


def person(number: int) -> UUID:
    return UUID(int=number + 1)


def dues(amounts: Sequence[int], currency: str = "EUR") -> list[Due]:
    return [Due(PortionId(new_id()), person(n), Money(minor, currency)) for n, minor in enumerate(amounts)]


@st.composite
def parties(draw: st.DrawFn) -> tuple[list[Due], Money]:
    """A party whose portions are all payable or nothing, and a price that is not above their sum."""
    currency = draw(CURRENCIES)
    least, step = least_payable(currency).minor, payable_step(currency)
    amount = st.one_of(st.just(0), st.integers(least // step, least // step * 4), st.integers(least // step, 10**6))
    amounts = [minor * step for minor in draw(st.lists(amount, min_size=1, max_size=12))]
    whole = draw(st.one_of(st.integers(0, sum(amounts) // step), st.integers(0, min(sum(amounts), least * 8) // step)))
    return dues(amounts, currency), Money(whole * step, currency)


@given(parties())
def test_a_fallen_price_is_split_exactly_and_nobody_pays_more(party: tuple[list[Due], Money]) -> None:
    owed, whole = party
    paid = fall(owed, whole)
    assert total(paid.values(), whole.currency) == whole
    for due in owed:
        assert Money.zero(whole.currency) <= paid[due.portion] <= due.amount
        assert paid[due.portion].minor % payable_step(whole.currency) == 0


@given(parties(), st.randoms())
def test_who_joined_or_left_when_does_not_matter(party: tuple[list[Due], Money], chance: st.DataObject) -> None:
    """The same people with the same amounts pay the same, whatever the order and the ids of their portions."""
    owed, whole = party
    again = [Due(PortionId(new_id()), due.traveler, due.amount) for due in owed]
    chance.shuffle(again)  # type: ignore[attr-defined]  # Hypothesis' random
    first, second = fall(owed, whole), fall(again, whole)
    by_traveler = {due.traveler: first[due.portion] for due in owed}
    assert {due.traveler: second[due.portion] for due in again} == by_traveler


@given(parties())
def test_nobody_is_left_with_less_than_a_card_takes_where_that_can_be(party: tuple[list[Due], Money]) -> None:
    owed, whole = party
    least = least_payable(whole.currency)
    small = [amount for amount in fall(owed, whole).values() if Money.zero(whole.currency) < amount < least]
    amounts = [due.amount.minor for due in owed]
    if len(amounts) > 8 or not small:
        return
    for carriers in product((False, True), repeat=len(amounts)):
        carrying = [amount for amount, carries in zip(amounts, carriers, strict=True) if carries and amount]
        assert not least.minor * len(carrying) <= whole.minor <= sum(carrying)


@pytest.mark.parametrize(
    ("amounts", "whole", "paid"),
    [
        ((3334, 3333, 3333), 10_000, (3334, 3333, 3333)),
        ((3334, 3333, 3333), 9_000, (3000, 3000, 3000)),
        ((1000, 1000, 1000), 2_000, (666, 667, 667)),  # the odd cent off goes to the first traveler's id
        ((100, 5000), 2_550, (50, 2500)),
        ((60, 5000), 1_000, (50, 950)),  # 12 is no card payment: the least, and the other pays less instead
        ((100, 100, 100), 110, (55, 55, 0)),  # too little for three: the smallest is waived, the last of equals
        ((100, 100), 30, (30, 0)),  # below the least altogether: one carries it, and the provider may refuse
        ((60, 60), 70, (35, 35)),  # no lawful split exists: the plain one, for the provider to judge
        ((0, 500), 400, (0, 400)),
        ((500, 700), 0, (0, 0)),
    ],
)
def test_a_fallen_price_by_example(amounts: tuple[int, ...], whole: int, paid: tuple[int, ...]) -> None:
    owed = dues(amounts)
    answer = fall(owed, Money(whole, "EUR"))
    assert tuple(answer[due.portion].minor for due in owed) == paid


def test_a_price_that_rose_is_never_taken() -> None:
    for whole in (10_001, -1):
        with pytest.raises(InvariantBroken):
            fall(dues((5000, 5000)), Money(whole, "EUR"))


def test_dinars_keep_their_last_digit_zero_where_the_whole_has_it() -> None:
    owed = dues((10_000, 10_000, 10_000), "TND")
    paid = fall(owed, Money(20_000, "TND"))
    assert [paid[due.portion].minor for due in owed] == [6_660, 6_670, 6_670]
    paid = fall(owed, Money(20_001, "TND"))
    assert total(paid.values(), "TND") == Money(20_001, "TND")


# --- consent ----------------------------------------------------------------------------------------------------------


def draft(
    minor: int, currency: str = "EUR", *, cap: int | None = None, who: int = 0, lines: Sequence[int] = ()
) -> PortionDraft:
    covers = tuple(Covered(new_id(), Money(line, currency)) for line in lines)
    limit = None if cap is None else Money(cap, currency)
    return PortionDraft(person(who), person(who), Money(minor, currency), covers, limit)


def test_a_cap_is_at_least_the_amount_and_payable_itself() -> None:
    check_drafts(Money(1000, "EUR"), [draft(1000, cap=1000)])
    check_drafts(Money(1000, "EUR"), [draft(1000, cap=1500)])
    with pytest.raises(PartsDoNotSum):
        check_drafts(Money(1000, "EUR"), [draft(1000, cap=999)])
    with pytest.raises(PortionTooSmall):
        check_drafts(Money(0, "EUR"), [draft(0, cap=10)])
    with pytest.raises(PortionCurrency):
        check_drafts(Money(1000, "EUR"), [PortionDraft(person(0), person(0), Money(1000, "EUR"), (), Money(1, "USD"))])


@pytest.mark.parametrize(("currency", "minor"), [("TND", 10_001), ("KWD", 505), ("BHD", 1_009)])
def test_no_card_takes_the_last_digit_of_three_decimals(currency: str, minor: int) -> None:
    with pytest.raises(PortionNotRepresentable):
        check_drafts(Money(minor, currency), [draft(minor, currency)])


@pytest.mark.parametrize(("currency", "minor"), [("JPY", 51), ("ISK", 1_001), ("UGX", 12_345), ("EUR", 51)])
def test_other_currencies_take_any_whole_number(currency: str, minor: int) -> None:
    check_drafts(Money(minor, currency), [draft(minor, currency)])


# --- small portions ---------------------------------------------------------------------------------------------------


def test_a_small_portion_is_paid_with_the_organizers() -> None:
    """Bo's 30 cents are no card payment. Ada organizes: her page shows 1030 and both lines, and her cap grows too."""
    ada, bo, cy = draft(1000, cap=1200, who=0, lines=[1000]), draft(30, who=1, lines=[30]), draft(500, who=2)
    merged = merge_small([ada, bo, cy], Money(50, "EUR"), into=person(0))
    assert [one.amount.minor for one in merged] == [1030, 0, 500]
    assert merged[0].cap == Money(1230, "EUR")
    assert [part.amount.minor for part in merged[0].covers] == [1000, 30]
    assert (merged[1].covers, merged[1].cap) == ((), None)
    assert merged[2] is cy
    check_drafts(Money(1530, "EUR"), merged)


def test_a_small_portion_goes_into_an_organizers_who_owed_nothing_if_it_is_enough_together() -> None:
    ada, bo, cy = draft(0, who=0), draft(30, who=1, lines=[30]), draft(25, who=2, lines=[25])
    merged = merge_small([ada, bo, cy], Money(50, "EUR"), into=person(0))
    assert [one.amount.minor for one in merged] == [55, 0, 0]
    assert [part.amount.minor for part in merged[0].covers] == [30, 25]
    with pytest.raises(PortionTooSmall):
        merge_small([ada, bo], Money(50, "EUR"), into=person(0))
    with pytest.raises(PortionTooSmall):
        merge_small([bo, cy], Money(50, "EUR"), into=person(0))  # nobody to merge into


def test_an_organizer_with_too_little_of_their_own_cannot_shift_it_to_others() -> None:
    with pytest.raises(PortionTooSmall):
        merge_small([draft(30, who=0), draft(500, who=1)], Money(50, "EUR"), into=person(0))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=20), CURRENCIES)
def test_merging_keeps_the_sum_and_leaves_nothing_too_small(amounts: list[int], currency: str) -> None:
    least = Money(50, currency)
    drafts = [draft(minor, currency, who=n) for n, minor in enumerate(amounts)]
    try:
        merged = merge_small(drafts, least, into=person(0))
    except PortionTooSmall:
        small = sum(minor for minor in amounts[1:] if minor < 50)
        assert amounts[0] + small < 50
        return
    assert [one.traveler for one in merged] == [one.traveler for one in drafts]
    assert sum(one.amount.minor for one in merged) == sum(amounts)
    assert all(not one.amount or one.amount >= least for one in merged)
    for before, after in zip(drafts[1:], merged[1:], strict=True):
        assert after.amount in (before.amount, Money.zero(currency))
    assert merge_small(merged, least, into=person(0)) == merged
