"""Refunds and disputes: money on its way back, by us or by the payer's bank. Pure.

    asked? -> pending -> succeeded;  failed (even weeks after a success) -> retried | elsewhere
    none -> open -> won | lost

`retried`: a new refund stands in for this one. `elsewhere`: the merchant paid the payer by other means, and said how.
A refund that a dispute stopped is retried by itself once the dispute is won; where it is lost, the bank has paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from types import MappingProxyType
from typing import Final
from uuid import UUID

from groupbook.kit.money import Money
from groupbook.payments.portion import PortionEvent


class RefundState(StrEnum):
    ASKED = "asked"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    ELSEWHERE = "elsewhere"


# What a provider can show of a refund.
REFUND_SEEN: Final = (RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED)
# The money left the merchant, one way or the other.
REFUND_MOVED: Final = frozenset({RefundState.PENDING, RefundState.SUCCEEDED, RefundState.ELSEWHERE})
STOPPED_BY_DISPUTE: Final = "charge_disputed"  # why it failed: nothing is given back on top of a dispute
tries_by_itself_max: Final = 5  # a provider that says "won" and refuses all the same is a person's to talk to
# Nothing more is awaited of it, and nobody has to do anything about it.
REFUND_OVER: Final = frozenset({RefundState.SUCCEEDED, RefundState.RETRIED, RefundState.ELSEWHERE})


def _refund_table() -> Mapping[tuple[RefundState, RefundState], RefundState]:
    s = RefundState
    # A success may still fail for thirty days (C6); what failed, or was made good otherwise, never comes to life again.
    table = {(believed, seen): believed for believed, seen in product(RefundState, REFUND_SEEN)}
    for seen in REFUND_SEEN:
        table[s.ASKED, seen] = table[s.PENDING, seen] = seen
    table[s.SUCCEEDED, s.FAILED] = s.FAILED
    return MappingProxyType(table)


REFUND_TABLE: Final = _refund_table()  # (what we believe, what the provider shows) -> what we believe next


def refund_event(*, captured: Money, refunded: Money) -> PortionEvent:
    """What the sum of refunds means for the portion."""
    if refunded.minor <= 0:
        return PortionEvent.REFUNDED_NOTHING
    return PortionEvent.REFUNDED_WHOLE if refunded >= captured else PortionEvent.REFUNDED_PART


class DisputeState(StrEnum):
    NONE = "none"
    OPEN = "open"
    WON = "won"
    LOST = "lost"


def _dispute_table() -> Mapping[tuple[DisputeState, DisputeState], DisputeState]:
    s = DisputeState
    table = {(believed, seen): seen for believed, seen in product(DisputeState, DisputeState)}
    for believed in DisputeState:
        table[believed, s.NONE] = believed  # an older reading unmakes nothing
    for seen in DisputeState:
        table[s.LOST, seen] = s.LOST
    return MappingProxyType(table)


DISPUTE_TABLE: Final = _dispute_table()  # (what we believe, what the provider shows) -> what we believe next


def dispute_after(believed: DisputeState, seen: DisputeState, *, is_stale: bool) -> DisputeState:
    """What we believe after a reading. A bank may open a decided dispute again, so only the order of readings tells
    that from an old one: `is_stale` says that another reading was asked for after this one, and is known already.
    """
    return believed if is_stale and believed is not DisputeState.NONE else DISPUTE_TABLE[believed, seen]


@dataclass(frozen=True, slots=True)
class Dispute:
    """The payer asked their bank for the money back. `amount` is what the bank took, or would take."""

    state: DisputeState
    amount: Money


@dataclass(frozen=True, slots=True)
class Returned:
    """A refund of one taken amount. `tries`: how often this money was asked back, this time included."""

    id: UUID
    amount: Money
    state: RefundState
    failure_reason: str | None = None
    tries: int = 1


def owed_again(refunds: Sequence[Returned], *, captured: Money, given_back: Money) -> list[UUID]:
    """Which refunds of a taken amount are owed again, now that its dispute is won: those it stopped, and never more
    than is kept. What goes beyond that is a person's to judge, as is all of it where somebody gave back by hand.

    Args:
        captured: what was taken.
        given_back: what the provider shows as given back of it.
    """
    under_way = sum(one.amount.minor for one in refunds if one.state in (RefundState.ASKED, *_AT_PROVIDER))
    if given_back.minor > under_way:
        return []
    left = captured.minor - under_way
    left -= sum(one.amount.minor for one in refunds if one.state is RefundState.ELSEWHERE)
    again = []
    for one in refunds:
        is_stopped = one.state is RefundState.FAILED and one.failure_reason == STOPPED_BY_DISPUTE
        if is_stopped and one.tries < tries_by_itself_max and one.amount.minor <= left:
            left -= one.amount.minor
            again.append(one.id)
    return again


_AT_PROVIDER: Final = (RefundState.PENDING, RefundState.SUCCEEDED)
