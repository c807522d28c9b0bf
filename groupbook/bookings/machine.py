"""The booking's machine, pure: no database, no clock, no network.

`news.news` looks at the truth of the rooms below and says what has happened that this booking must answer; `TABLE` says
where that leads and which effects follow.

    placing ──► open ◄──► freezing ──► confirming ──► capturing ──► booked ◄──► amending
       │         │           │            │   └► tombstoning ┘ └► recovering ┘ │
       │         ▼           ▼            ▼         │                  ▼       ▼
       └──► voiding ──► aborted ◄──────── ┴─────────┘              unwinding ──► refunding ──► refunded
                                                                any of them ──► parked ──► where it was
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from groupbook.bookings.domain import BookingState
from groupbook.kit.machines import advance


class BookingEvent(StrEnum):
    HOLD_PLACED = "hold_placed"
    HOLD_REFUSED = "hold_refused"
    HOLD_LOST = "hold_lost"
    HOLD_WANTED = "hold_wanted"  # everybody is in, and the places lapsed meanwhile
    CANCEL_ASKED = "cancel_asked"
    AUTHORIZATIONS_DUE = "authorizations_due"  # cards were saved; now the banks are asked
    ALL_SETTLED = "all_settled"
    DEADLINE_REACHED = "deadline_reached"
    LOOKED_COMPLETE = "looked_complete"
    LOOKED_EARLY = "looked_early"  # somebody's authorization is gone and there is still time
    LOOKED_QUORUM = "looked_quorum"  # not everybody, but enough to go
    LOOKED_SHORT = "looked_short"
    PRICE_ROSE = "price_rose"  # the merchant, asked again at the tip, wants more: ask everybody whom it concerns
    SOLD_OUT = "sold_out"  # the merchant, asked again at the tip, has no places
    DEADLINE_EXTENDED = "deadline_extended"
    ORDER_CONFIRMED = "order_confirmed"
    ORDER_REJECTED = "order_rejected"
    CONFIRM_BUDGET_OUT = "confirm_budget_out"
    ORDER_CANCELED = "order_canceled"
    ORDER_STANDS = "order_stands"  # the merchant will not take it back, and not everybody has paid
    CANCEL_REFUSED = "cancel_refused"  # the merchant will not take it back, and everybody has paid: it stays booked
    ALL_CAPTURED = "all_captured"
    CAPTURE_FAILED = "capture_failed"
    SHORTFALL_ACCEPTED = "shortfall_accepted"  # the merchant agreed beforehand to be owed what is missing
    RECOVERY_OUT = "recovery_out"
    AMEND_ASKED = "amend_asked"
    AMENDMENT_PAID = "amendment_paid"  # who comes in has authorized
    AMENDMENT_UNPAID = "amendment_unpaid"
    ORDER_AMENDED = "order_amended"
    AMENDMENT_REFUSED = "amendment_refused"
    AMENDMENT_SHORT = "amendment_short"  # the order is changed, and who comes in could not be charged: the ladder
    AMENDMENT_DONE = "amendment_done"
    AMENDMENT_DROPPED = "amendment_dropped"  # nothing changed, and nothing of the try is left
    ALL_VOIDED = "all_voided"
    ALL_REFUNDED = "all_refunded"
    REFUND_FAILED = "refund_failed"
    DISPUTED = "disputed"  # a payer asked their bank before we could give the money back
    BROKEN = "broken"  # a truth that must not be: captured without an order, an order behind a tombstone
    BUDGET_OUT = "budget_out"


class Effect(StrEnum):
    """What a step of the machine makes the rooms below do, in the same transaction."""

    ASK_PORTIONS = "ask_portions"
    AUTHORIZE_SAVED = "authorize_saved"
    PLACE_HOLD = "place_hold"
    LOOK = "look"
    SHRINK = "shrink"
    REPRICE = "reprice"
    EXTEND_DEADLINE = "extend_deadline"
    CONFIRM = "confirm"
    CAPTURE = "capture"
    RECOVER = "recover"
    STOP_TAKING = "stop_taking"
    COVER = "cover"
    VOID = "void"
    RELEASE_HOLD = "release_hold"
    CANCEL_ORDER = "cancel_order"
    UNWIND = "unwind"
    ISSUE_TICKETS = "issue_tickets"
    REDEEM_CODES = "redeem_codes"
    RELEASE_CODES = "release_codes"
    START_AMENDMENT = "start_amendment"
    AMEND_ORDER = "amend_order"
    SETTLE_AMENDMENT = "settle_amendment"
    DROP_AMENDMENT = "drop_amendment"
    FINISH_AMENDMENT = "finish_amendment"
    CLOSE_AMENDMENT = "close_amendment"
    THAW = "thaw"


def _table() -> Mapping[tuple[BookingState, BookingEvent], tuple[BookingState, tuple[Effect, ...]]]:
    s, e, x = BookingState, BookingEvent, Effect
    undo, over = (x.VOID, x.RELEASE_HOLD), (x.THAW, x.RELEASE_CODES)
    table: dict[tuple[BookingState, BookingEvent], tuple[BookingState, tuple[Effect, ...]]] = {
        (s.PLACING, e.HOLD_PLACED): (s.OPEN, (x.ASK_PORTIONS,)),
        (s.PLACING, e.HOLD_REFUSED): (s.ABORTED, over),
        (s.PLACING, e.CANCEL_ASKED): (s.VOIDING, undo),
        (s.PLACING, e.BUDGET_OUT): (s.VOIDING, undo),
        (s.OPEN, e.AUTHORIZATIONS_DUE): (s.OPEN, (x.AUTHORIZE_SAVED,)),
        (s.OPEN, e.ALL_SETTLED): (s.FREEZING, (x.LOOK,)),
        (s.OPEN, e.DEADLINE_REACHED): (s.FREEZING, (x.LOOK,)),
        (s.OPEN, e.CANCEL_ASKED): (s.VOIDING, undo),
        (s.OPEN, e.HOLD_LOST): (s.VOIDING, undo),
        (s.OPEN, e.HOLD_WANTED): (s.OPEN, (x.PLACE_HOLD,)),
        (s.FREEZING, e.LOOKED_COMPLETE): (s.CONFIRMING, (x.CONFIRM,)),
        (s.FREEZING, e.LOOKED_EARLY): (s.OPEN, ()),
        (s.FREEZING, e.DEADLINE_EXTENDED): (s.OPEN, (x.EXTEND_DEADLINE,)),
        (s.FREEZING, e.LOOKED_QUORUM): (s.FREEZING, (x.SHRINK,)),
        (s.FREEZING, e.PRICE_ROSE): (s.OPEN, (x.REPRICE,)),
        (s.FREEZING, e.SOLD_OUT): (s.VOIDING, undo),
        (s.FREEZING, e.LOOKED_SHORT): (s.VOIDING, undo),
        (s.FREEZING, e.HOLD_LOST): (s.VOIDING, undo),
        # The provider could not be read inside the budget: never confirm on a stale belief.
        (s.FREEZING, e.BUDGET_OUT): (s.VOIDING, undo),
        (s.CONFIRMING, e.ORDER_CONFIRMED): (s.CAPTURING, (x.CAPTURE,)),
        (s.CONFIRMING, e.ORDER_REJECTED): (s.VOIDING, undo),
        (s.CONFIRMING, e.CONFIRM_BUDGET_OUT): (s.TOMBSTONING, (x.CANCEL_ORDER,)),
        (s.TOMBSTONING, e.ORDER_CANCELED): (s.VOIDING, undo),
        (s.TOMBSTONING, e.ORDER_CONFIRMED): (s.CAPTURING, (x.CAPTURE,)),
        (s.CAPTURING, e.ALL_CAPTURED): (s.BOOKED, (x.ISSUE_TICKETS, x.REDEEM_CODES)),
        (s.CAPTURING, e.CAPTURE_FAILED): (s.RECOVERING, (x.RECOVER,)),
        (s.RECOVERING, e.ALL_CAPTURED): (s.BOOKED, (x.ISSUE_TICKETS, x.REDEEM_CODES)),
        (s.RECOVERING, e.SHORTFALL_ACCEPTED): (s.RECOVERING, (x.COVER,)),
        # First nobody is asked any more: what lands on an open page now must not be taken without an order (P1).
        (s.RECOVERING, e.RECOVERY_OUT): (s.UNWINDING, (x.STOP_TAKING, x.CANCEL_ORDER)),
        (s.RECOVERING, e.CANCEL_ASKED): (s.UNWINDING, (x.STOP_TAKING, x.CANCEL_ORDER)),
        (s.BOOKED, e.CANCEL_ASKED): (s.UNWINDING, (x.CANCEL_ORDER,)),
        (s.BOOKED, e.AMEND_ASKED): (s.AMENDING, (x.START_AMENDMENT,)),
        (s.AMENDING, e.AMENDMENT_PAID): (s.AMENDING, (x.AMEND_ORDER,)),
        (s.AMENDING, e.AMENDMENT_UNPAID): (s.AMENDING, (x.DROP_AMENDMENT,)),
        (s.AMENDING, e.AMENDMENT_REFUSED): (s.AMENDING, (x.DROP_AMENDMENT,)),
        (s.AMENDING, e.ORDER_AMENDED): (s.AMENDING, (x.SETTLE_AMENDMENT,)),
        (s.AMENDING, e.AMENDMENT_SHORT): (s.AMENDING, (x.RECOVER,)),
        (s.AMENDING, e.AMENDMENT_DONE): (s.BOOKED, (x.FINISH_AMENDMENT,)),
        (s.AMENDING, e.AMENDMENT_DROPPED): (s.BOOKED, (x.CLOSE_AMENDMENT,)),
        (s.UNWINDING, e.ORDER_CANCELED): (s.REFUNDING, (x.UNWIND,)),
        (s.UNWINDING, e.CANCEL_REFUSED): (s.BOOKED, ()),
        (s.UNWINDING, e.ORDER_STANDS): (s.PARKED, ()),
        (s.REFUNDING, e.ALL_REFUNDED): (s.REFUNDED, over),
        (s.REFUNDING, e.REFUND_FAILED): (s.PARKED, ()),
        (s.REFUNDING, e.DISPUTED): (s.PARKED, ()),
        (s.VOIDING, e.ALL_VOIDED): (s.ABORTED, over),
    }
    # Where money or an order can contradict the state: money before there is an order, an order behind a tombstone.
    for state in (
        s.OPEN,
        s.FREEZING,
        s.CONFIRMING,
        s.TOMBSTONING,
        s.CAPTURING,
        s.RECOVERING,
        s.BOOKED,
        s.AMENDING,
        s.VOIDING,
        s.UNWINDING,
    ):
        # Whoever is being asked for money is asked no more: what lands on an open page must not be taken (P1).
        is_asking = state in (s.RECOVERING, s.AMENDING)
        table[state, e.BROKEN] = (s.PARKED, (x.STOP_TAKING,) if is_asking else ())
    for state in (s.TOMBSTONING, s.CAPTURING, s.RECOVERING, s.AMENDING, s.VOIDING, s.UNWINDING, s.REFUNDING):
        table[state, e.BUDGET_OUT] = (s.PARKED, ())
    return MappingProxyType(table)


TABLE: Final = _table()
# The merchant's and the provider's answers are awaited; the budget of the state runs.
BUDGETED: Final = frozenset(
    {
        BookingState.PLACING,
        BookingState.FREEZING,
        BookingState.TOMBSTONING,
        BookingState.CAPTURING,
        BookingState.RECOVERING,
        BookingState.AMENDING,
        BookingState.VOIDING,
        BookingState.UNWINDING,
        BookingState.REFUNDING,
    }
)
# What a parked booking, put back into this state, asks of the rooms below once more. Asked again, it changes nothing.
ASKED_AGAIN: Final[Mapping[BookingState, tuple[Effect, ...]]] = MappingProxyType(
    {
        BookingState.FREEZING: (Effect.LOOK,),
        BookingState.CONFIRMING: (Effect.CONFIRM,),
        BookingState.TOMBSTONING: (Effect.CANCEL_ORDER,),
        BookingState.CAPTURING: (Effect.CAPTURE,),
        BookingState.RECOVERING: (Effect.RECOVER,),
        BookingState.VOIDING: (Effect.VOID, Effect.RELEASE_HOLD),
        BookingState.UNWINDING: (Effect.STOP_TAKING, Effect.CANCEL_ORDER),
        BookingState.REFUNDING: (Effect.UNWIND,),
    }
)


def step(state: BookingState, event: BookingEvent) -> tuple[BookingState, tuple[Effect, ...]]:
    """Where `event` leads and what follows from it.

    Raises:
        InvariantBroken: the table does not know the pair; nothing may be written.
    """
    return advance(TABLE, state, event, machine="booking")
