"""The hold and order machines: every pair of state and event is decided, and the promises hold on every path."""

from __future__ import annotations

from itertools import product

import pytest

from groupbook.kit.errors import InvariantBroken
from groupbook.kit.money import Money
from groupbook.offers.domain import (
    HOLD_ENDED,
    HOLD_KEPT,
    HOLD_MACHINE,
    ORDER_MACHINE,
    HoldEvent,
    HoldState,
    OrderEvent,
    OrderState,
    next_hold_state,
    next_order_state,
    order_event,
)

# Pairs that would break a promise; everything else is in the tables. Adding a state or an event fails here first.
HOLD_FORBIDDEN = {
    *((HoldState.NONE, event) for event in HoldEvent if event is not HoldEvent.PLACE_SENT),
    *(
        (HoldState.PLACING, event)
        for event in (
            HoldEvent.EXTEND_SENT,
            HoldEvent.EXTENDED,
            HoldEvent.EXTEND_REFUSED,
            HoldEvent.RELEASED,
            HoldEvent.CONSUMED,
        )
    ),
    *(
        (state, event)
        for state in (HoldState.LIVE, HoldState.EXTENDING)
        for event in (HoldEvent.PLACE_SENT, HoldEvent.REFUSED, HoldEvent.RELEASED)
    ),
    *(
        (HoldState.RELEASING, event)
        for event in (HoldEvent.PLACE_SENT, HoldEvent.EXTEND_SENT, HoldEvent.REFUSED, HoldEvent.EXPIRED)
    ),
    *(
        (HoldState.REFUSED, event)
        for event in (
            HoldEvent.PLACE_SENT,
            HoldEvent.PLACED,
            HoldEvent.EXTEND_SENT,
            HoldEvent.EXTENDED,
            HoldEvent.EXTEND_REFUSED,
            HoldEvent.CONSUMED,
        )
    ),
    *((HoldState.RELEASED, event) for event in (HoldEvent.PLACE_SENT, HoldEvent.EXTEND_SENT, HoldEvent.CONSUMED)),
    *((HoldState.EXPIRED, event) for event in (HoldEvent.PLACE_SENT, HoldEvent.EXTEND_SENT)),
    *((HoldState.CONSUMED, event) for event in (HoldEvent.PLACE_SENT, HoldEvent.EXTEND_SENT)),
}
ORDER_FORBIDDEN = {
    *((OrderState.NONE, event) for event in OrderEvent if event is not OrderEvent.CONFIRM_SENT),
    *(
        (state, event)
        for state in (OrderState.CONFIRMING, OrderState.PENDING)
        for event in (
            OrderEvent.AMEND_SENT,
            OrderEvent.AMENDED,
            OrderEvent.AMEND_REFUSED,
            OrderEvent.CANCELED,
            OrderEvent.CANCEL_REFUSED,
        )
    ),
    (OrderState.PENDING, OrderEvent.CONTRADICTED),
    (OrderState.CONFIRMED, OrderEvent.REJECTED),
    (OrderState.CONFIRMED, OrderEvent.CANCELED),
    *(
        (OrderState.AMENDING, event)
        for event in (
            OrderEvent.REJECTED,
            OrderEvent.AMEND_SENT,
            OrderEvent.CANCELED,
            OrderEvent.CANCEL_REFUSED,
        )
    ),
    *((OrderState.REJECTED, event) for event in OrderEvent if event is not OrderEvent.REJECTED),
    *(
        (state, event)
        for state in (OrderState.CANCELING, OrderState.CANCELED, OrderState.DISCREPANT)
        for event in (OrderEvent.CONFIRM_SENT, OrderEvent.AMEND_SENT)
    ),
    (OrderState.CANCELED, OrderEvent.CANCEL_REFUSED),
    (OrderState.DISCREPANT, OrderEvent.CANCELED),
    (OrderState.DISCREPANT, OrderEvent.CANCEL_REFUSED),
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


def test_a_refused_extension_leaves_the_places_kept() -> None:
    assert HOLD_MACHINE[HoldState.EXTENDING, HoldEvent.EXTEND_REFUSED] is HoldState.LIVE
    assert {HoldState.LIVE, HoldState.EXTENDING} == HOLD_KEPT


def test_a_late_extension_never_stops_a_release() -> None:
    for state in (HoldState.RELEASING, HoldState.RELEASED, HoldState.EXPIRED, HoldState.CONSUMED):
        assert HOLD_MACHINE[state, HoldEvent.EXTENDED] is state


def test_nothing_leaves_a_tombstone_but_an_alarm() -> None:
    reached = {to for (state, _), to in ORDER_MACHINE.items() if state is OrderState.CANCELED}
    assert reached == {OrderState.CANCELED, OrderState.DISCREPANT}


def test_after_a_cancel_was_sent_only_its_own_answer_can_confirm() -> None:
    """A late confirm must not end the canceling; only the merchant's refusal to cancel may."""
    ways = {
        event
        for (state, event), to in ORDER_MACHINE.items()
        if state is OrderState.CANCELING and to is OrderState.CONFIRMED
    }
    assert ways == {OrderEvent.CANCEL_REFUSED}


def test_a_higher_price_never_confirms() -> None:
    ways = {state for (state, event), to in ORDER_MACHINE.items() if event is OrderEvent.OVERCHARGED and to != state}
    assert ways == {OrderState.CONFIRMING, OrderState.PENDING}
    assert {ORDER_MACHINE[state, OrderEvent.OVERCHARGED] for state in ways} == {OrderState.CANCELING}


def test_only_a_person_leads_out_of_a_discrepancy() -> None:
    ways = {event for (state, event), to in ORDER_MACHINE.items() if state is OrderState.DISCREPANT and to != state}
    assert ways == {OrderEvent.CANCEL_SENT}


@pytest.mark.parametrize(
    ("agreed", "told", "event"),
    [
        (1000, None, OrderEvent.CONFIRMED),
        (1000, Money(1000, "EUR"), OrderEvent.CONFIRMED),
        (1000, Money(999, "EUR"), OrderEvent.CONFIRMED),
        (1000, Money(1001, "EUR"), OrderEvent.OVERCHARGED),
        (1000, Money(1000, "JPY"), OrderEvent.OVERCHARGED),
    ],
)
def test_a_lower_price_is_taken_and_a_higher_one_is_not(agreed: int, told: Money | None, event: OrderEvent) -> None:
    assert order_event(Money(agreed, "EUR"), told) is event


def test_every_state_is_reached() -> None:
    assert {HoldState.NONE, *HOLD_MACHINE.values()} == set(HoldState)
    assert {OrderState.NONE, *ORDER_MACHINE.values()} == set(OrderState)
