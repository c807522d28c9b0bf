"""The hold and order machines: every pair of state and event is decided, and the promises hold on every path."""

from __future__ import annotations

from itertools import product

import pytest

from groupbook.kit.errors import InvariantBroken
from groupbook.offers.domain import (
    HOLD_ENDED,
    HOLD_MACHINE,
    ORDER_MACHINE,
    HoldEvent,
    HoldState,
    OrderEvent,
    OrderState,
    next_hold_state,
    next_order_state,
)

# Pairs that would break a promise; everything else is in the tables. Adding a state or an event fails here first.
HOLD_FORBIDDEN = {
    *((HoldState.NONE, event) for event in HoldEvent if event is not HoldEvent.PLACE_SENT),
    (HoldState.PLACING, HoldEvent.CONSUMED),
    (HoldState.LIVE, HoldEvent.PLACE_SENT),
    (HoldState.LIVE, HoldEvent.REFUSED),
    (HoldState.RELEASING, HoldEvent.PLACE_SENT),
    (HoldState.REFUSED, HoldEvent.PLACE_SENT),
    (HoldState.REFUSED, HoldEvent.PLACED),
    (HoldState.REFUSED, HoldEvent.CONSUMED),
    (HoldState.RELEASED, HoldEvent.PLACE_SENT),
    (HoldState.RELEASED, HoldEvent.CONSUMED),
    (HoldState.EXPIRED, HoldEvent.PLACE_SENT),
    (HoldState.CONSUMED, HoldEvent.PLACE_SENT),
}
ORDER_FORBIDDEN = {
    *(
        (OrderState.NONE, event)
        for event in OrderEvent
        if event not in (OrderEvent.CONFIRM_SENT, OrderEvent.CANCEL_SENT)
    ),
    (OrderState.CONFIRMING, OrderEvent.CANCEL_REFUSED),
    (OrderState.CONFIRMED, OrderEvent.REJECTED),
    (OrderState.REJECTED, OrderEvent.CONFIRM_SENT),
    (OrderState.REJECTED, OrderEvent.CONFIRMED),
    (OrderState.REJECTED, OrderEvent.CANCEL_REFUSED),
    (OrderState.CANCELING, OrderEvent.CONFIRM_SENT),
    (OrderState.CANCELED, OrderEvent.CONFIRM_SENT),
    (OrderState.DISCREPANT, OrderEvent.CONFIRM_SENT),
}


@pytest.mark.parametrize("pair", list(product(HoldState, HoldEvent)), ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_every_pair_of_the_hold_is_decided(pair: tuple[HoldState, HoldEvent]) -> None:
    assert (pair in HOLD_MACHINE) != (pair in HOLD_FORBIDDEN)
    if pair in HOLD_FORBIDDEN:
        with pytest.raises(InvariantBroken):
            next_hold_state(*pair)


@pytest.mark.parametrize("pair", list(product(OrderState, OrderEvent)), ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_every_pair_of_the_order_is_decided(pair: tuple[OrderState, OrderEvent]) -> None:
    assert (pair in ORDER_MACHINE) != (pair in ORDER_FORBIDDEN)
    if pair in ORDER_FORBIDDEN:
        with pytest.raises(InvariantBroken):
            next_order_state(*pair)


def test_a_hold_that_ended_never_lives_again() -> None:
    """Whatever arrives late, in any order: an ended hold may only turn out to have been consumed by the order."""
    for state, event in HOLD_MACHINE:
        if state in HOLD_ENDED:
            assert HOLD_MACHINE[state, event] in {state, HoldState.CONSUMED}


def test_nothing_leaves_a_tombstone_but_an_alarm() -> None:
    reached = {HOLD for (state, _), HOLD in ORDER_MACHINE.items() if state is OrderState.CANCELED}
    assert reached == {OrderState.CANCELED, OrderState.DISCREPANT}


def test_after_a_cancel_was_sent_only_its_own_answer_can_confirm() -> None:
    """A late confirm must not end the canceling; only the merchant's refusal to cancel may."""
    ways = {
        event
        for (state, event), to in ORDER_MACHINE.items()
        if state is OrderState.CANCELING and to is OrderState.CONFIRMED
    }
    assert ways == {OrderEvent.CANCEL_REFUSED}


def test_every_state_is_reached() -> None:
    assert {HoldState.NONE, *HOLD_MACHINE.values()} == set(HoldState)
    assert {OrderState.NONE, *ORDER_MACHINE.values()} == set(OrderState)
