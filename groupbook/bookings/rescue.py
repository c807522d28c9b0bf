"""What a person may safely do about a booking that cannot go on by itself: pure decisions, no database, no clock."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final

from groupbook.bookings.domain import ENDED, BookingState, CancelUnsafe
from groupbook.offers.domain import OrderState
from groupbook.payments.domain import PortionState


class Act(StrEnum):
    """What an operator may do about a parked booking."""

    RESUME = "resume"  # put it back where it was and go on
    CANCEL = "cancel"  # end it: release everybody, or take the order back and refund


class Cancellation(StrEnum):
    """What canceling a booking by force comes to, where it stands now."""

    OVER = "over"  # it has ended
    UNDER_WAY = "under_way"  # it is ending already
    RELEASE = "release"  # everybody is released, nobody was charged
    STOP_DECIDING = "stop_deciding"  # wait no longer: tombstone the order if one was asked for, then release everybody
    TAKE_BACK = "take_back"  # the merchant takes the order back, then everybody gets their money back
    GIVE_BACK = "give_back"  # no order stands; what was taken goes back


_LEAVING: Final = frozenset(
    {BookingState.VOIDING, BookingState.TOMBSTONING, BookingState.UNWINDING, BookingState.REFUNDING}
)
# There is no order at the merchant's, and none can come of what was asked.
_NO_ORDER: Final = frozenset({None, OrderState.NONE, OrderState.REJECTED, OrderState.CANCELED})
_TAKEN: Final = frozenset(
    {PortionState.CAPTURED, PortionState.PART_REFUNDED, PortionState.REFUNDED, PortionState.COVERED}
)


def cancellation(
    state: BookingState, *, order: OrderState | None, portions: Collection[PortionState], was_booked: bool
) -> Cancellation:
    """What canceling by force comes to. Total over all states; of a parked booking only the truth counts.

    Args:
        was_booked: it stood once; then it is unwound even where nobody paid anything (a party whose price is nothing).
    Raises:
        CancelUnsafe: `capture_unknown` a capture is under way and cannot be called back; `amendment_open` a change of
            one member is; `order_discrepant` the merchant's word and ours differ.
    """
    s = BookingState
    if state in ENDED:
        return Cancellation.OVER
    if state in _LEAVING:
        return Cancellation.UNDER_WAY
    if state in (s.PLACING, s.OPEN):
        return Cancellation.RELEASE
    if state in (s.FREEZING, s.CONFIRMING):
        return Cancellation.STOP_DECIDING
    if state is s.CAPTURING or PortionState.CAPTURING in portions:
        raise CancelUnsafe(reason="capture_unknown", state=state.value)
    if state is s.AMENDING:
        raise CancelUnsafe(reason="amendment_open", state=state.value)
    if state is s.BOOKED:
        return Cancellation.TAKE_BACK
    if order is OrderState.DISCREPANT:
        raise CancelUnsafe(reason="order_discrepant", state=state.value)
    if order not in _NO_ORDER:
        return Cancellation.TAKE_BACK
    return Cancellation.GIVE_BACK if was_booked or has_taken(portions) else Cancellation.RELEASE


def way_out(plan: Cancellation, portions: Collection[PortionState], *, was_booked: bool) -> BookingState:
    """Where the machine of a parked booking goes on towards its end."""
    if plan is Cancellation.GIVE_BACK:
        return BookingState.REFUNDING
    if plan is Cancellation.RELEASE:
        return BookingState.VOIDING
    return BookingState.UNWINDING if was_booked or has_taken(portions) else BookingState.TOMBSTONING


def way_back(
    resume_state: BookingState, *, order: OrderState | None, portions: Collection[PortionState], was_booked: bool
) -> BookingState:
    """Where a parked booking goes on: where it was; but where the merchant contradicted itself, only its answer to our
    cancellation tells what is true, and that is asked for.
    """
    if order is not OrderState.DISCREPANT or resume_state in _LEAVING:
        return resume_state
    is_charging = has_taken(portions) or bool({PortionState.CAPTURING, PortionState.SHORT} & set(portions))
    return BookingState.UNWINDING if was_booked or is_charging else BookingState.TOMBSTONING


def acts(
    state: BookingState, *, order: OrderState | None, portions: Collection[PortionState], was_booked: bool
) -> tuple[Act, ...]:
    """What may safely be done about a booking that stands here: nothing where it moves by itself."""
    if state is not BookingState.PARKED:
        return ()
    try:
        cancellation(state, order=order, portions=portions, was_booked=was_booked)
    except CancelUnsafe:
        return (Act.RESUME,)
    return (Act.RESUME, Act.CANCEL)


def has_taken(portions: Collection[PortionState]) -> bool:
    """Whether anybody's money was taken, or stood in for."""
    return any(portion in _TAKEN for portion in portions)
