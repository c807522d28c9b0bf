"""What people are told, as codes: which fact tells whom what. No sentences here, no database, no clock.

trip.decided        everybody            trip_decided
booking.opened      every payer          please_pay
portion.declined    its payer            portion_declined
booking.confirmed   everybody            tickets_ready
booking.aborted     everybody            nobody_charged
booking.canceled    everybody            booking_canceled
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from groupbook.kit.ids import MemberId, NoticeId, TripId

attempts_max: Final = 6
RETRY_SECONDS: Final = (10, 60, 300, 1_800, 7_200)
shown_days: Final = 30


class NoticeCode(StrEnum):
    TRIP_DECIDED = "trip_decided"
    PLEASE_PAY = "please_pay"
    PORTION_DECLINED = "portion_declined"
    TICKETS_READY = "tickets_ready"
    NOBODY_CHARGED = "nobody_charged"
    BOOKING_CANCELED = "booking_canceled"


CODE_OF_FACT: Final[Mapping[str, NoticeCode]] = MappingProxyType(
    {
        "trip.decided": NoticeCode.TRIP_DECIDED,
        "booking.opened": NoticeCode.PLEASE_PAY,
        "portion.declined": NoticeCode.PORTION_DECLINED,
        "booking.confirmed": NoticeCode.TICKETS_READY,
        "booking.aborted": NoticeCode.NOBODY_CHARGED,
        "booking.canceled": NoticeCode.BOOKING_CANCELED,
    }
)

_BEFORE_THE_END: Final = frozenset({NoticeCode.TRIP_DECIDED, NoticeCode.PLEASE_PAY, NoticeCode.PORTION_DECLINED})
# A later notice of the same trip makes an earlier one of these untrue: it is no longer shown, nor sent.
REPLACES: Final[Mapping[NoticeCode, frozenset[NoticeCode]]] = MappingProxyType(
    {
        NoticeCode.TRIP_DECIDED: frozenset({NoticeCode.TRIP_DECIDED, NoticeCode.NOBODY_CHARGED}),
        NoticeCode.PLEASE_PAY: frozenset({NoticeCode.TRIP_DECIDED, NoticeCode.NOBODY_CHARGED}),
        NoticeCode.PORTION_DECLINED: frozenset({NoticeCode.PLEASE_PAY, NoticeCode.PORTION_DECLINED}),
        NoticeCode.TICKETS_READY: _BEFORE_THE_END,
        NoticeCode.NOBODY_CHARGED: _BEFORE_THE_END,
        NoticeCode.BOOKING_CANCELED: frozenset({NoticeCode.TICKETS_READY}),
    }
)


class NoticeState(StrEnum):
    PENDING = "pending"  # to be sent, and shown in the page already
    SENT = "sent"
    SHOWN = "shown"  # in the page only: a guest, or no channel reaches this person
    FAILED = "failed"  # the channel would not take it; the page still shows it
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing one member is told. `params` are ids and codes; the sentence is made for the reader, when read."""

    id: NoticeId
    trip_id: TripId
    member_id: MemberId
    code: NoticeCode
    params: Mapping[str, Any]
    state: NoticeState
    channel: str | None
    created_at: datetime
    sent_at: datetime | None
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a person can be reached: an account at a network, or a verified e-mail address."""

    network: str
    app_id: str
    subject: str
    email: str | None = None


def retry_at(notice_id: UUID, attempts: int, now: datetime) -> datetime | None:
    """When to try again after `attempts` tries; None when they are used up. Spread by id, not by chance."""
    if attempts >= attempts_max:
        return None
    wait = RETRY_SECONDS[attempts - 1]
    return now + timedelta(seconds=wait * (1 + (notice_id.int % 100) / 500))
