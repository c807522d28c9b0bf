"""What authorized portions earn, and how many unpaid holds a merchant bears: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.merchants.domain import Capabilities
from groupbook.offers.holding import Earned, Holding, HoldMove, HoldTerms, earn, has_room, load, remembered_seconds

TEN = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
HALF_HOUR = 1800
TERMS = HoldTerms(seconds_first=HALF_HOUR, seconds_per_portion=HALF_HOUR, seconds_max=3 * 3600)
KEEP = Earned(HoldMove.KEEP)


def at(minutes: int) -> datetime:
    return TEN + timedelta(minutes=minutes)


def test_the_worked_example() -> None:
    hold = Holding(placed_at=TEN, expires_at=at(30))
    assert earn(TERMS, hold, settled=0, of=5, now=at(10)) == KEEP
    assert earn(TERMS, hold, settled=2, of=5, now=at(20)) == Earned(HoldMove.EXTEND, at(90))
    lapsed = Holding(placed_at=TEN, expires_at=at(90), settled_seen=2, asked_until=at(90), is_lapsed=True)
    assert earn(TERMS, lapsed, settled=2, of=5, now=at(95)) == KEEP
    assert earn(TERMS, lapsed, settled=3, of=5, now=at(120)) == Earned(HoldMove.PLACE_AGAIN, at(150))
    again = Holding(placed_at=at(120), expires_at=at(150), settled_at_placing=3, settled_seen=3)
    assert earn(TERMS, again, settled=3, of=5, now=at(125)) == KEEP
    assert earn(TERMS, again, settled=4, of=5, now=at(130)) == Earned(HoldMove.EXTEND, at(180))


def test_the_cap_is_the_merchants() -> None:
    hold = Holding(placed_at=TEN, expires_at=at(30))
    assert earn(TERMS, hold, settled=9, of=10, now=at(5)) == Earned(HoldMove.EXTEND, at(180))
    full = replace(hold, expires_at=at(180))
    assert earn(TERMS, full, settled=9, of=10, now=at(60)) == KEEP


def test_an_end_that_was_refused_is_not_asked_for_again() -> None:
    hold = Holding(placed_at=TEN, expires_at=at(30), asked_until=at(60))
    assert earn(TERMS, hold, settled=1, of=5, now=at(5)) == KEEP
    assert earn(TERMS, hold, settled=2, of=5, now=at(6)) == Earned(HoldMove.EXTEND, at(90))


def test_a_complete_group_needs_no_more_time_but_lapsed_places() -> None:
    assert earn(TERMS, Holding(TEN, at(30)), settled=5, of=5, now=at(5)) == KEEP
    lapsed = Holding(TEN, at(30), settled_seen=4, is_lapsed=True)
    assert earn(TERMS, lapsed, settled=5, of=5, now=at(40)).move is HoldMove.PLACE_AGAIN


def test_a_merchant_who_grants_all_at_once_grants_nothing_later() -> None:
    all_at_once = HoldTerms.of(Capabilities(hold_seconds_max=1800))
    assert (all_at_once.seconds_first, all_at_once.earns) == (1800, False)
    for lapsed in (False, True):
        hold = Holding(TEN, at(30), is_lapsed=lapsed)
        assert earn(all_at_once, hold, settled=3, of=5, now=at(5)) == KEEP


def test_the_terms_of_a_merchant() -> None:
    capabilities = Capabilities(hold_seconds_max=7200, hold_seconds_first=9000, hold_seconds_per_portion=60)
    assert HoldTerms.of(capabilities) == HoldTerms(7200, 60, 7200)


@given(
    settled=st.integers(0, 12),
    of=st.integers(1, 12),
    minutes=st.integers(0, 400),
    before=st.integers(0, 12),
    seen=st.integers(0, 12),
    is_lapsed=st.booleans(),
)
def test_no_history_earns_beyond_the_cap_or_backwards(
    settled: int, of: int, minutes: int, before: int, seen: int, is_lapsed: bool
) -> None:
    hold = Holding(TEN, at(30), settled_at_placing=before, settled_seen=seen, is_lapsed=is_lapsed)
    earned = earn(TERMS, hold, settled=settled, of=of, now=at(minutes))
    if earned.move is HoldMove.EXTEND:
        assert earned.until is not None
        assert hold.expires_at < earned.until <= TEN + timedelta(seconds=TERMS.seconds_max)
        assert at(minutes) < hold.expires_at
    elif earned.move is HoldMove.PLACE_AGAIN:
        assert (is_lapsed, earned.until) == (True, at(minutes) + timedelta(seconds=TERMS.seconds_first))
        assert settled > seen


# --- caps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "barren", "used"),
    [
        (0, [], 0),
        (3, [], 3000),
        (0, [0], 500),  # just ended: half a hold
        (1, [3600], 1250),
        (0, [2 * 3600, 3 * 3600], 125 + 62),
        (0, [8 * 3600], 0),  # forgotten
    ],
)
def test_what_came_to_nothing_is_remembered_less_and_less(kept: int, barren: list[int], used: int) -> None:
    assert load(kept, barren, memory_seconds=3600) == used


def test_there_is_room_up_to_the_cap() -> None:
    assert has_room(2000, 3)
    assert not has_room(2001, 3)
    assert has_room(10**9, None)
    assert remembered_seconds(3600) == 8 * 3600
    assert load(0, [remembered_seconds(3600)], memory_seconds=3600) == 0
