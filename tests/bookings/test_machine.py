"""The booking's machine as a pure thing: every state, every piece of news, every effect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.bookings.domain import (
    ENDED,
    TABLE,
    BookingEvent,
    BookingState,
    Effect,
    Policy,
    PortionTruth,
    Snapshot,
    news,
    step,
)
from groupbook.kit.errors import InvariantBroken
from groupbook.offers.domain import HoldState, OrderState
from groupbook.payments.domain import PortionState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PAST, SOON, LATER = NOW - timedelta(seconds=1), NOW + timedelta(minutes=10), NOW + timedelta(days=6)

snapshots = st.builds(
    Snapshot,
    now=st.just(NOW),
    needs_hold=st.booleans(),
    hold=st.none() | st.sampled_from(HoldState),
    order=st.none() | st.sampled_from(OrderState),
    portions=st.lists(
        st.builds(
            PortionTruth,
            st.sampled_from(PortionState),
            st.none() | st.sampled_from([PAST, SOON, NOW + timedelta(days=6)]),
        ),
        max_size=4,
    ).map(tuple),
    deadline_at=st.none() | st.sampled_from([PAST, SOON]),
    has_looked=st.booleans(),
    confirm_by=st.none() | st.sampled_from([PAST, SOON]),
    budget_at=st.none() | st.sampled_from([PAST, SOON]),
    cancel_asked=st.booleans(),
)


@given(st.sampled_from(BookingState), snapshots)
def test_every_piece_of_news_is_in_the_table(state: BookingState, seen: Snapshot) -> None:
    event = news(state, seen)
    assert event is None or (state, event) in TABLE


@given(snapshots)
def test_ended_and_parked_bookings_have_no_news(seen: Snapshot) -> None:
    assert [news(state, seen) for state in (*sorted(ENDED), BookingState.PARKED)] == [None, None, None]


@given(snapshots)
def test_nothing_is_captured_before_the_merchant_confirmed(seen: Snapshot) -> None:
    """P1: the only doors to a capture are a confirmed order seen in confirming or tombstoning."""
    for state in BookingState:
        event = news(state, seen)
        if event is not None and Effect.CAPTURE in step(state, event)[1]:
            assert state in (BookingState.CONFIRMING, BookingState.TOMBSTONING)
            assert seen.order is OrderState.CONFIRMED


@given(snapshots)
def test_confirm_is_sent_only_after_a_look_that_found_everybody_in(seen: Snapshot) -> None:
    for state in BookingState:
        event = news(state, seen)
        if event is not None and Effect.CONFIRM in step(state, event)[1]:
            assert seen.has_looked
            assert {portion.state for portion in seen.portions} <= {PortionState.AUTHORIZED, PortionState.WAIVED}


def test_all_pairs_outside_the_table_are_refused() -> None:
    refused = 0
    for state in BookingState:
        for event in BookingEvent:
            if (state, event) in TABLE:
                continue
            refused += 1
            with pytest.raises(InvariantBroken):
                step(state, event)
    assert refused == len(BookingState) * len(BookingEvent) - len(TABLE)


def test_every_waiting_state_has_a_way_out_when_nobody_answers() -> None:
    """P5: with every budget run out and nothing else known, each unfinished state moves."""
    silence = Snapshot(
        now=NOW,
        needs_hold=True,
        hold=HoldState.PLACING,
        order=OrderState.CANCELING,
        portions=(PortionTruth(PortionState.CAPTURING),),
        deadline_at=PAST,
        confirm_by=PAST,
        budget_at=PAST,
    )
    resting = {*ENDED, BookingState.PARKED, BookingState.BOOKED}
    assert {state for state in BookingState if news(state, silence) is None} == resting


def test_an_authorization_that_ends_too_soon_does_not_count() -> None:
    tight = PortionTruth(PortionState.AUTHORIZED, NOW + timedelta(minutes=14))
    roomy = PortionTruth(PortionState.AUTHORIZED, NOW + timedelta(minutes=16))
    assert not Snapshot(now=NOW, needs_hold=False, hold=None, order=None, portions=(roomy, tight)).all_settled
    assert Snapshot(now=NOW, needs_hold=False, hold=None, order=None, portions=(roomy, roomy)).all_settled


@pytest.mark.parametrize(
    ("window", "hold_seconds", "expected_seconds"),
    [(1800, None, 1800), (1800, 3600, 1800), (1800, 1800, 1680), (60, 50, 45)],
)
def test_the_deadline_comes_before_the_merchant_lets_go(
    window: int, hold_seconds: int | None, expected_seconds: int
) -> None:
    ends = NOW + timedelta(seconds=hold_seconds) if hold_seconds else None
    deadline = Policy(collection_window_seconds=window).deadline(NOW, ends)
    assert deadline == NOW + timedelta(seconds=expected_seconds)
