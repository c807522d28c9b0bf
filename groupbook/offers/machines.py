"""The two machines of the merchant's side: what the merchant keeps for us, and what it sells us.

Every pair of state and event is either in a table, or refused without a write (`InvariantBroken`). A pair that stays
where it is is news that changes nothing: a replay, a late answer. States that end in `ing` are unknown: the question is
out, and only the merchant's own truth ends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from groupbook.kit.machines import advance


class HoldState(StrEnum):
    NONE = "none"
    PLACING = "placing"  # asked; the answer may be out (unknown)
    LIVE = "live"
    EXTENDING = "extending"  # kept, and asked for longer; the answer may be out (unknown)
    REFUSED = "refused"
    RELEASING = "releasing"  # asked to let go; the answer may be out (unknown)
    RELEASED = "released"
    EXPIRED = "expired"
    CONSUMED = "consumed"


class HoldEvent(StrEnum):
    PLACE_SENT = "place_sent"
    PLACED = "placed"
    REFUSED = "refused"
    EXTEND_SENT = "extend_sent"
    EXTENDED = "extended"
    EXTEND_REFUSED = "extend_refused"
    RELEASE_SENT = "release_sent"
    RELEASED = "released"
    EXPIRED = "expired"
    CONSUMED = "consumed"


class OrderState(StrEnum):
    NONE = "none"
    CONFIRMING = "confirming"  # asked; the answer may be out (unknown)
    PENDING = "pending"  # the merchant has it and will say later
    CONFIRMED = "confirmed"
    AMENDING = "amending"  # the order stands, and a change of it is asked for (unknown)
    REJECTED = "rejected"
    CANCELING = "canceling"  # the tombstone is asked for; the answer may be out (unknown)
    CANCELED = "canceled"  # the tombstone stands: no later or zombie confirm may succeed
    DISCREPANT = "discrepant"  # the merchant's books contradict ours and no call can mend it: a person must look


class OrderEvent(StrEnum):
    CONFIRM_SENT = "confirm_sent"
    PENDING = "pending"
    CONFIRMED = "confirmed"
    OVERCHARGED = "overcharged"  # confirmed, at more than was agreed
    REJECTED = "rejected"
    AMEND_SENT = "amend_sent"
    AMENDED = "amended"
    AMEND_REFUSED = "amend_refused"
    CANCEL_SENT = "cancel_sent"
    CANCELED = "canceled"
    CANCEL_REFUSED = "cancel_refused"
    CONTRADICTED = "contradicted"


_H, _HE, _O, _OE = HoldState, HoldEvent, OrderState, OrderEvent

HOLD_MACHINE: Final[Mapping[tuple[HoldState, HoldEvent], HoldState]] = {
    (_H.NONE, _HE.PLACE_SENT): _H.PLACING,
    # the answer is out
    (_H.PLACING, _HE.PLACE_SENT): _H.PLACING,
    (_H.PLACING, _HE.PLACED): _H.LIVE,
    (_H.PLACING, _HE.REFUSED): _H.REFUSED,
    (_H.PLACING, _HE.RELEASE_SENT): _H.RELEASING,
    (_H.PLACING, _HE.EXPIRED): _H.EXPIRED,
    # the merchant keeps places
    (_H.LIVE, _HE.PLACED): _H.LIVE,
    (_H.LIVE, _HE.EXTEND_SENT): _H.EXTENDING,
    (_H.LIVE, _HE.EXTENDED): _H.LIVE,
    (_H.LIVE, _HE.EXTEND_REFUSED): _H.LIVE,
    (_H.LIVE, _HE.RELEASE_SENT): _H.RELEASING,
    (_H.LIVE, _HE.EXPIRED): _H.EXPIRED,
    (_H.LIVE, _HE.CONSUMED): _H.CONSUMED,
    # kept, and longer if the merchant agrees; a refusal leaves the old end
    (_H.EXTENDING, _HE.PLACED): _H.EXTENDING,
    (_H.EXTENDING, _HE.EXTEND_SENT): _H.EXTENDING,
    (_H.EXTENDING, _HE.EXTENDED): _H.LIVE,
    (_H.EXTENDING, _HE.EXTEND_REFUSED): _H.LIVE,
    (_H.EXTENDING, _HE.RELEASE_SENT): _H.RELEASING,
    (_H.EXTENDING, _HE.EXPIRED): _H.EXPIRED,
    (_H.EXTENDING, _HE.CONSUMED): _H.CONSUMED,
    # letting go: a late "placed" or "extended" is answered by the release that is already owed
    (_H.RELEASING, _HE.PLACED): _H.RELEASING,
    (_H.RELEASING, _HE.EXTENDED): _H.RELEASING,
    (_H.RELEASING, _HE.EXTEND_REFUSED): _H.RELEASING,
    (_H.RELEASING, _HE.RELEASE_SENT): _H.RELEASING,
    (_H.RELEASING, _HE.RELEASED): _H.RELEASED,
    (_H.RELEASING, _HE.CONSUMED): _H.CONSUMED,
    # ends; the merchant's word that an order took the places wins over our own clock
    (_H.REFUSED, _HE.REFUSED): _H.REFUSED,
    (_H.REFUSED, _HE.RELEASE_SENT): _H.REFUSED,
    (_H.REFUSED, _HE.RELEASED): _H.REFUSED,
    (_H.REFUSED, _HE.EXPIRED): _H.REFUSED,
    (_H.RELEASED, _HE.PLACED): _H.RELEASED,
    (_H.RELEASED, _HE.REFUSED): _H.RELEASED,
    (_H.RELEASED, _HE.EXTENDED): _H.RELEASED,
    (_H.RELEASED, _HE.EXTEND_REFUSED): _H.RELEASED,
    (_H.RELEASED, _HE.RELEASE_SENT): _H.RELEASED,
    (_H.RELEASED, _HE.RELEASED): _H.RELEASED,
    (_H.RELEASED, _HE.EXPIRED): _H.RELEASED,
    (_H.EXPIRED, _HE.PLACED): _H.EXPIRED,
    (_H.EXPIRED, _HE.REFUSED): _H.EXPIRED,
    (_H.EXPIRED, _HE.EXTENDED): _H.EXPIRED,
    (_H.EXPIRED, _HE.EXTEND_REFUSED): _H.EXPIRED,
    (_H.EXPIRED, _HE.RELEASE_SENT): _H.EXPIRED,
    (_H.EXPIRED, _HE.RELEASED): _H.EXPIRED,
    (_H.EXPIRED, _HE.EXPIRED): _H.EXPIRED,
    (_H.EXPIRED, _HE.CONSUMED): _H.CONSUMED,
    (_H.CONSUMED, _HE.PLACED): _H.CONSUMED,
    (_H.CONSUMED, _HE.REFUSED): _H.CONSUMED,
    (_H.CONSUMED, _HE.EXTENDED): _H.CONSUMED,
    (_H.CONSUMED, _HE.EXTEND_REFUSED): _H.CONSUMED,
    (_H.CONSUMED, _HE.RELEASE_SENT): _H.CONSUMED,
    (_H.CONSUMED, _HE.RELEASED): _H.CONSUMED,
    (_H.CONSUMED, _HE.EXPIRED): _H.CONSUMED,
    (_H.CONSUMED, _HE.CONSUMED): _H.CONSUMED,
}

ORDER_MACHINE: Final[Mapping[tuple[OrderState, OrderEvent], OrderState]] = {
    (_O.NONE, _OE.CONFIRM_SENT): _O.CONFIRMING,
    # the answer is out; an order confirmed at more than was agreed is taken back
    (_O.CONFIRMING, _OE.CONFIRM_SENT): _O.CONFIRMING,
    (_O.CONFIRMING, _OE.PENDING): _O.PENDING,
    (_O.CONFIRMING, _OE.CONFIRMED): _O.CONFIRMED,
    (_O.CONFIRMING, _OE.OVERCHARGED): _O.CANCELING,
    (_O.CONFIRMING, _OE.REJECTED): _O.REJECTED,
    (_O.CONFIRMING, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.CONFIRMING, _OE.CONTRADICTED): _O.DISCREPANT,  # "later" from a merchant whose tombstones do not hold
    # the merchant will say later
    (_O.PENDING, _OE.CONFIRM_SENT): _O.PENDING,
    (_O.PENDING, _OE.PENDING): _O.PENDING,
    (_O.PENDING, _OE.CONFIRMED): _O.CONFIRMED,
    (_O.PENDING, _OE.OVERCHARGED): _O.CANCELING,
    (_O.PENDING, _OE.REJECTED): _O.REJECTED,
    (_O.PENDING, _OE.CANCEL_SENT): _O.CANCELING,
    # the order stands, at the price that was agreed: a replay that names a higher one is not accepted
    (_O.CONFIRMED, _OE.CONFIRM_SENT): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.PENDING): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.CONFIRMED): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.OVERCHARGED): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.AMEND_SENT): _O.AMENDING,
    (_O.CONFIRMED, _OE.AMENDED): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.AMEND_REFUSED): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.CONFIRMED, _OE.CANCEL_REFUSED): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.CONTRADICTED): _O.DISCREPANT,
    # the order stands either way; one change at a time
    (_O.AMENDING, _OE.CONFIRM_SENT): _O.AMENDING,
    (_O.AMENDING, _OE.PENDING): _O.AMENDING,
    (_O.AMENDING, _OE.CONFIRMED): _O.AMENDING,
    (_O.AMENDING, _OE.OVERCHARGED): _O.AMENDING,
    (_O.AMENDING, _OE.AMENDED): _O.CONFIRMED,
    (_O.AMENDING, _OE.AMEND_REFUSED): _O.CONFIRMED,
    (_O.AMENDING, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.AMENDING, _OE.CONTRADICTED): _O.DISCREPANT,
    # the merchant said no: over; whoever asks again asks under a new reference
    (_O.REJECTED, _OE.REJECTED): _O.REJECTED,
    # canceling: late answers of the confirm or of a change alter nothing, the tombstone's own answer tells
    (_O.CANCELING, _OE.PENDING): _O.CANCELING,
    (_O.CANCELING, _OE.CONFIRMED): _O.CANCELING,
    (_O.CANCELING, _OE.OVERCHARGED): _O.CANCELING,
    (_O.CANCELING, _OE.REJECTED): _O.CANCELING,
    (_O.CANCELING, _OE.AMENDED): _O.CANCELING,
    (_O.CANCELING, _OE.AMEND_REFUSED): _O.CANCELING,
    (_O.CANCELING, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.CANCELING, _OE.CANCELED): _O.CANCELED,
    (_O.CANCELING, _OE.CANCEL_REFUSED): _O.CONFIRMED,
    (_O.CANCELING, _OE.CONTRADICTED): _O.DISCREPANT,
    # the tombstone; a late "confirmed" is read back, and only what is then seen contradicts it
    (_O.CANCELED, _OE.PENDING): _O.CANCELED,
    (_O.CANCELED, _OE.CONFIRMED): _O.CANCELED,
    (_O.CANCELED, _OE.OVERCHARGED): _O.CANCELED,
    (_O.CANCELED, _OE.REJECTED): _O.CANCELED,
    (_O.CANCELED, _OE.AMENDED): _O.CANCELED,
    (_O.CANCELED, _OE.AMEND_REFUSED): _O.CANCELED,
    (_O.CANCELED, _OE.CANCEL_SENT): _O.CANCELED,
    (_O.CANCELED, _OE.CANCELED): _O.CANCELED,
    (_O.CANCELED, _OE.CONTRADICTED): _O.DISCREPANT,
    # only a person, by asking for the tombstone again, leads out
    (_O.DISCREPANT, _OE.PENDING): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.CONFIRMED): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.OVERCHARGED): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.REJECTED): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.AMENDED): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.AMEND_REFUSED): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.DISCREPANT, _OE.CONTRADICTED): _O.DISCREPANT,
}

HOLD_ENDED: Final = frozenset({_H.REFUSED, _H.RELEASED, _H.EXPIRED, _H.CONSUMED})
HOLD_KEPT: Final = frozenset({_H.LIVE, _H.EXTENDING})
ORDER_CONSUMING: Final = frozenset({_O.CONFIRMING, _O.PENDING, _O.CONFIRMED, _O.AMENDING})


def next_hold_state(state: HoldState, event: HoldEvent) -> HoldState:
    """Raises InvariantBroken for a pair that must not happen."""
    return advance(HOLD_MACHINE, state, event, machine="hold")


def next_order_state(state: OrderState, event: OrderEvent) -> OrderState:
    """Raises InvariantBroken for a pair that must not happen (a confirm behind the tombstone among them)."""
    return advance(ORDER_MACHINE, state, event, machine="order")
