"""What an operator may do about a parked booking: every state of the order at the merchant has its safe way out."""

from __future__ import annotations

import pytest

from groupbook.bookings.domain import BookingState, CancelUnsafe
from groupbook.bookings.rescue import Act, Cancellation, acts, cancellation, way_out
from groupbook.offers.domain import OrderState
from groupbook.payments.domain import PortionState

PARKED = BookingState.PARKED
TAKEN, RELEASED = {PortionState.CAPTURED}, {PortionState.AUTHORIZED}
MAY_SELL = set(OrderState) - {OrderState.NONE, OrderState.REJECTED, OrderState.CANCELED, OrderState.DISCREPANT}


@pytest.mark.parametrize("order", sorted(MAY_SELL))
def test_an_order_that_stands_or_may_come_is_taken_back_before_money_moves(order: OrderState) -> None:
    """Also one that is being changed, or that the merchant will decide later."""
    for portions, target in ((TAKEN, BookingState.UNWINDING), (RELEASED, BookingState.TOMBSTONING)):
        plan = cancellation(PARKED, order=order, portions=portions)
        assert (plan, way_out(plan, portions)) == (Cancellation.TAKE_BACK, target)


@pytest.mark.parametrize("order", [None, OrderState.NONE, OrderState.REJECTED, OrderState.CANCELED])
def test_where_there_is_no_order_only_money_is_left_to_give_back(order: OrderState | None) -> None:
    assert cancellation(PARKED, order=order, portions=TAKEN) is Cancellation.GIVE_BACK
    assert cancellation(PARKED, order=order, portions=RELEASED) is Cancellation.RELEASE


def test_an_order_that_contradicts_ours_is_nobodys_to_cancel() -> None:
    with pytest.raises(CancelUnsafe):
        cancellation(PARKED, order=OrderState.DISCREPANT, portions=TAKEN)
    assert acts(PARKED, order=OrderState.DISCREPANT, portions=TAKEN) == (Act.RESUME,)
