"""The laws of sharing a price out: the parts are the whole, the order does not matter, nobody pays by surprise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.bookings.sharing import LOST_DISCOUNT, Gift, Leaver, Party, Split, lower_equally, share_out, split_of
from groupbook.kit.errors import InvariantBroken

ADA, BO, CY, DI, EVE = (UUID(int=number) for number in range(1, 6))
UNCLE, AUNT = UUID(int=101), UUID(int=102)


def party(*pay: int, **more: Any) -> Party:
    """Ada, Bo, Cy … by their prices."""
    prices = {UUID(int=number): amount for number, amount in enumerate(pay, start=1)}
    return replace(Party("EUR", prices, prices), **more)


@st.composite
def parties(draw: st.DrawFn) -> Party:
    members = [UUID(int=number) for number in range(1, draw(st.integers(1, 7)) + 1)]
    amounts = st.integers(0, 20_000)
    pay = {member: draw(amounts) for member in members}
    lower = {member: draw(st.integers(0, pay[member] + 500)) for member in members}
    leavers = [Leaver(UUID(int=50 + number), draw(st.integers(0, 9_000))) for number in range(draw(st.integers(0, 3)))]
    gifts = [
        Gift(
            UUID(int=100 + number),
            draw(st.integers(50, 30_000)),
            draw(st.none() | st.sampled_from(members)),
            draw(st.integers(0, 3_000)),
        )
        for number in range(draw(st.integers(0, 4)))
    ]
    concerned = draw(st.lists(st.sampled_from(members), unique=True, max_size=4))
    parts = {member: draw(st.integers(1, 5)) for member in concerned}
    agreed = sum(pay[member] for member in concerned) + draw(st.sampled_from([0, 0, 0, 7]))
    splits = [Split(parts, agreed)] if len(parts) > 1 else []
    policy = draw(st.sampled_from(LOST_DISCOUNT))
    return Party("EUR", pay, lower, policy, leavers, splits, gifts)


@given(parties())
def test_the_parts_are_the_whole(one: Party) -> None:
    shares = share_out(one)
    assert shares.total == sum(one.pay.values())
    assert set(shares.own) == set(one.pay)
    assert all(amount >= 0 for part in (shares.own, shares.borne, shares.given) for amount in part.values())


@given(parties(), st.randoms())
def test_the_order_of_joins_leaves_and_gifts_does_not_matter(one: Party, random: Random) -> None:
    def mixed(values: Iterable[Any]) -> list[Any]:
        found = list(values)
        random.shuffle(found)
        return found

    other = replace(
        one,
        pay=dict(mixed(one.pay.items())),
        leavers=mixed(one.leavers),
        gifts=mixed(one.gifts),
        splits=[replace(split, parts=dict(mixed(split.parts.items()))) for split in one.splits],
    )
    assert share_out(other) == share_out(one)


@given(parties())
def test_nobody_gives_or_bears_more_than_they_agreed_to(one: Party) -> None:
    shares = share_out(one)
    for gift in one.gifts:
        assert shares.given.get(gift.id, 0) <= gift.amount + (gift.reserve if one.policy == "sponsor" else 0)
    for leaver in one.leavers:
        assert shares.borne[leaver.member] <= leaver.most
        assert shares.borne[leaver.member] == 0 or shares.borne[leaver.member] >= one.least


@given(parties())
def test_what_is_taken_of_a_card_is_never_too_little_for_one(one: Party) -> None:
    assert all(amount == 0 or amount >= one.least for amount in share_out(one).given.values())


@given(parties())
def test_gifts_and_leavers_never_raise_what_a_member_pays(one: Party) -> None:
    unsplit = replace(one, splits=())
    shares = share_out(unsplit)
    assert all(shares.own[member] <= one.pay[member] for member in one.pay)


@given(parties())
def test_one_more_gift_raises_nobody(one: Party) -> None:
    before = share_out(replace(one, policy="group", splits=(), gifts=()))
    after = share_out(replace(one, policy="group", splits=()))
    assert all(after.own[member] <= before.own[member] for member in one.pay)


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=8), st.integers(0, 100), st.sampled_from([1, 10]))
def test_a_sponsor_lowers_everybody_by_the_same(owed: list[int], percent: int, step: int) -> None:
    gift = sum(owed) * percent // 100
    lowered = lower_equally(owed, gift, step)
    assert sum(lowered) == gift
    assert all(0 <= less <= amount for less, amount in zip(lowered, owed, strict=True))
    most = max(lowered)
    for less, amount in zip(lowered, owed, strict=True):
        assert less == amount or less >= most - 2 * step, "who got less had no more to lower"


def test_more_than_is_owed_cannot_be_given() -> None:
    with pytest.raises(InvariantBroken):
        lower_equally([1, 2], 4)


# --- worked examples, the numbers of docs/settlement.md ---------------------------------------------------------------


def test_a_sponsor_of_thirty_lowers_three_by_ten() -> None:
    shares = share_out(party(5_000, 3_000, 400, gifts=[Gift(UNCLE, 3_000)]))
    assert shares.own == {ADA: 3_700, BO: 1_700, CY: 0}, "Cy owes 4.00 only; the rest lowers the others"
    assert shares.given == {UNCLE: 3_000}


def test_a_part_for_a_friend_lowers_that_friend_only() -> None:
    shares = share_out(party(5_000, 3_000, gifts=[Gift(AUNT, 2_000, BO), Gift(UNCLE, 4_000, BO)]))
    assert shares.own == {ADA: 5_000, BO: 0}
    assert shares.given == {AUNT: 1_000, UNCLE: 2_000}, "in proportion, and never more than Bo owes"


def test_an_equal_split_and_one_by_parts() -> None:
    equal = share_out(party(5_000, 3_001, 1_000, splits=[Split({ADA: 1, BO: 1}, 8_001)]))
    assert equal.own == {ADA: 4_001, BO: 4_000, CY: 1_000}
    by_parts = share_out(party(5_000, 3_000, 1_000, splits=[Split({ADA: 2, BO: 1, CY: 0}, 9_000)]))
    assert by_parts.own == {ADA: 6_000, BO: 3_000, CY: 0}
    assert split_of(9_000, {ADA: 2, BO: 1, CY: 0}) == by_parts.own


def test_a_split_holds_only_for_the_sum_it_was_agreed_on() -> None:
    assert share_out(party(5_000, 3_100, splits=[Split({ADA: 1, BO: 1}, 8_000)])).own == {ADA: 5_000, BO: 3_100}
    assert share_out(party(5_000, splits=[Split({ADA: 1, BO: 1}, 8_000)])).own == {ADA: 5_000}


@pytest.mark.parametrize(
    ("policy", "own", "di", "uncle"),
    [
        ("group", [4_500, 4_500, 4_500], 0, 0),
        ("leaver", [4_000, 4_000, 4_000], 1_500, 0),
        ("sponsor", [4_166, 4_167, 4_167], 0, 1_000),
    ],
)
def test_who_bears_a_lost_group_discount(policy: str, own: list[int], di: int, uncle: int) -> None:
    """Four paid 40.00 each. Di leaves, and with three it is 45.00 each: 15.00 of discount is lost."""
    one = party(4_500, 4_500, 4_500, policy=policy, leavers=[Leaver(DI, 4_000)], gifts=[Gift(UNCLE, 0, None, 1_000)])
    shares = share_out(replace(one, with_leavers=dict.fromkeys(one.pay, 4_000)))
    assert (list(shares.own.values()), shares.borne[DI], shares.given[UNCLE]) == (own, di, uncle)


def test_two_who_left_bear_it_together_and_never_more_than_their_own_part() -> None:
    one = party(4_500, 4_500, policy="leaver", leavers=[Leaver(DI, 600), Leaver(EVE, 300)])
    one = replace(one, with_leavers={ADA: 3_900, BO: 3_900})
    shares = share_out(one)
    assert dict(shares.borne) == {DI: 600, EVE: 300}
    assert dict(shares.own) == {ADA: 4_050, BO: 4_050}


# --- whose price it is ------------------------------------------------------------------------------------------------


@given(parties())
def test_every_part_says_whose_price_it_pays_and_every_price_is_paid(one: Party) -> None:
    shares = share_out(one)
    for parts in (shares.own, shares.borne, shares.given):
        for payer, amount in parts.items():
            assert sum(shares.lines.get(payer, {}).values()) == amount
    for member, price in one.pay.items():
        assert sum(lines.get(member, 0) for lines in shares.lines.values()) == price
    assert all(amount > 0 for lines in shares.lines.values() for amount in lines.values())
    assert {line for lines in shares.lines.values() for line in lines} <= set(one.pay)


@given(parties())
def test_without_a_split_a_member_pays_only_their_own_price(one: Party) -> None:
    shares = share_out(replace(one, splits=()))
    for member, amount in shares.own.items():
        assert shares.lines[member] == ({member: amount} if amount else {})
    for gift in one.gifts:
        if gift.to is not None:
            assert set(shares.lines.get(gift.id, {})) <= {gift.to}


def test_a_split_payer_pays_their_own_price_and_what_they_took_over() -> None:
    shares = share_out(party(5_000, 3_000, 1_000, splits=[Split({ADA: 3, BO: 1}, 8_000)]))
    assert shares.lines == {ADA: {ADA: 5_000, BO: 1_000}, BO: {BO: 2_000}, CY: {CY: 1_000}}


def test_a_sponsor_and_a_leaver_pay_of_each_what_they_lowered() -> None:
    assert share_out(party(5_000, 3_000, 400, gifts=[Gift(UNCLE, 3_000)])).lines[UNCLE] == {
        ADA: 1_300,
        BO: 1_300,
        CY: 400,
    }
    one = party(4_500, 4_500, 4_500, policy="leaver", leavers=[Leaver(DI, 4_000)])
    shares = share_out(replace(one, with_leavers=dict.fromkeys(one.pay, 4_000)))
    assert shares.lines[DI] == {ADA: 500, BO: 500, CY: 500}
