"""Money: the laws, not examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.kit.errors import Invalid, InvariantBroken
from groupbook.kit.money import AmountOutOfRange, CurrencyMismatch, Money, NobodyPays, divide, exponent, total

weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=60).filter(any)
amounts = st.integers(0, 10**12)


@given(amounts, weights)
def test_the_parts_sum_to_the_whole(minor: int, shares: list[int]) -> None:
    assert total(divide(Money(minor, "EUR"), shares), "EUR") == Money(minor, "EUR")


@given(amounts, weights)
def test_each_part_is_within_one_unit_of_its_exact_share(minor: int, shares: list[int]) -> None:
    for part, share in zip(divide(Money(minor, "EUR"), shares), shares, strict=True):
        assert abs(part.minor * sum(shares) - minor * share) < sum(shares)


@given(amounts, weights)
def test_nobody_pays_for_a_weight_of_zero(minor: int, shares: list[int]) -> None:
    parts = divide(Money(minor, "EUR"), shares)
    assert all(part.minor == 0 for part, share in zip(parts, shares, strict=True) if share == 0)


def test_leftover_units_go_to_the_largest_remainders_earlier_first() -> None:
    assert [part.minor for part in divide(Money(10_001, "EUR"), [1, 1, 1])] == [3334, 3334, 3333]
    assert [part.minor for part in divide(Money(100, "JPY"), [1, 2, 4])] == [14, 29, 57]


@pytest.mark.parametrize(("minor", "shares"), [(-1, [1]), (1, [-1, 2])])
def test_a_negative_total_or_weight_has_no_split(minor: int, shares: list[int]) -> None:
    with pytest.raises(InvariantBroken):
        divide(Money(minor, "EUR"), shares)


def test_somebody_has_to_pay() -> None:
    with pytest.raises(NobodyPays):
        divide(Money(1, "EUR"), [0, 0])


def test_currencies_do_not_mix() -> None:
    with pytest.raises(CurrencyMismatch):
        Money(1, "EUR") + Money(1, "GBP")
    with pytest.raises(CurrencyMismatch):
        assert Money(1, "EUR") < Money(2, "GBP")


@pytest.mark.parametrize("currency", ["eur", "EU", "EURO", "€UR", ""])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(Invalid):
        Money(1, currency)


def test_a_huge_amount_is_refused() -> None:
    with pytest.raises(AmountOutOfRange):
        Money(10**12 + 1, "EUR")


def test_exponents_follow_the_currency() -> None:
    assert {code: exponent(code) for code in ("EUR", "JPY", "TND", "ISK", "CLF")} == {
        "EUR": 2,
        "JPY": 0,
        "TND": 3,
        "ISK": 0,
        "CLF": 4,
    }
