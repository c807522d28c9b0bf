"""What an operator may do about a parked booking: every state of the order at the merchant has its safe way out."""

from __future__ import annotations

import pytest

from groupbook.bookings.domain import BookingState, CancelUnsafe
from groupbook.bookings.rescue import Act, Cancellation, acts, cancellation, way_back, way_out
from groupbook.offers.domain import OrderState
from groupbook.payments.domain import PortionState

PARKED = BookingState.PARKED
TAKEN, RELEASED = {PortionState.CAPTURED}, {PortionState.AUTHORIZED}
MAY_SELL = set(OrderState) - {OrderState.NONE, OrderState.REJECTED, OrderState.CANCELED, OrderState.DISCREPANT}


@pytest.mark.parametrize("order", sorted(MAY_SELL))
def test_an_order_that_stands_or_may_come_is_taken_back_before_money_moves(order: OrderState) -> None:
    """Also one that is being changed, or that the merchant will decide later."""
    for portions, target in ((TAKEN, BookingState.UNWINDING), (RELEASED, BookingState.TOMBSTONING)):
        plan = cancellation(PARKED, order=order, portions=portions, was_booked=False)
        assert (plan, way_out(plan, portions, was_booked=False)) == (Cancellation.TAKE_BACK, target)


@pytest.mark.parametrize("order", [None, OrderState.NONE, OrderState.REJECTED, OrderState.CANCELED])
def test_where_there_is_no_order_only_money_is_left_to_give_back(order: OrderState | None) -> None:
    assert cancellation(PARKED, order=order, portions=TAKEN, was_booked=False) is Cancellation.GIVE_BACK
    assert cancellation(PARKED, order=order, portions=RELEASED, was_booked=False) is Cancellation.RELEASE


def test_what_stood_once_is_unwound_also_where_nobody_paid_anything() -> None:
    """A party whose price is nothing has tickets like any other, and its trip was not "not booked"."""
    for portions in ({PortionState.WAIVED}, {PortionState.WAIVED, PortionState.AUTHORIZED}):
        plan = cancellation(PARKED, order=OrderState.AMENDING, portions=portions, was_booked=True)
        assert (plan, way_out(plan, portions, was_booked=True)) == (Cancellation.TAKE_BACK, BookingState.UNWINDING)
        plan = cancellation(PARKED, order=OrderState.CANCELED, portions=portions, was_booked=True)
        assert (plan, way_out(plan, portions, was_booked=True)) == (Cancellation.GIVE_BACK, BookingState.REFUNDING)
        back = way_back(BookingState.BOOKED, order=OrderState.DISCREPANT, portions=portions, was_booked=True)
        assert back is BookingState.UNWINDING
        back = way_back(BookingState.CONFIRMING, order=OrderState.DISCREPANT, portions=portions, was_booked=False)
        assert back is BookingState.TOMBSTONING


def test_an_order_that_contradicts_ours_is_nobodys_to_cancel() -> None:
    with pytest.raises(CancelUnsafe):
        cancellation(PARKED, order=OrderState.DISCREPANT, portions=TAKEN, was_booked=True)
    assert acts(PARKED, order=OrderState.DISCREPANT, portions=TAKEN, was_booked=True) == (Act.RESUME,)
