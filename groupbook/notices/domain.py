"""What people are told, as codes: which fact tells whom what. No sentences here, no database, no clock.

trip.decided        everybody            trip_decided
booking.opened      every payer          please_pay
portion.asked_again its payer            please_pay       (the price rose, or taking the money failed)
(the clock)         who has not paid     pay_reminder
portion.expired     its payer            please_pay       (their bank keeps the money no more, or too briefly)
portion.declined    its payer            portion_declined
booking.confirmed   everybody            tickets_ready     (part_taken to who pays and does not travel)
booking.aborted     everybody, payers    nobody_charged
booking.canceled    everybody, payers    booking_canceled
portion.refunded    its payer            money_back        (while the booking stands: a part of it was given back)
place.offered       who is next      place_offered     (the waiting list: withdrawn, missed likewise)
place.unwanted      who released it  place_unwanted    (nobody in the line took it)
place.taken         who released it  place_taken
place.filled        who took it      please_pay
place.asked         who would come in    place_asked       (after the booking: pay, and the place is yours)
place.called_off    who would come in    place_called_off  (taken back, or nobody paid in time)
place.kept          whose place it is    place_kept        (nobody took it over)
place.handed_on     who came in          tickets_ready
waiting.room        who waits        room_free         (while the group plans: somebody left it)
waiting.over        who waits        waiting_over      (waiting.needless likewise: the group has room again)
(an address given)  who gave it          confirm_address   (only by mail, and only to that address)
(a link asked for)  that guest           seat_link         (only by mail, and only to the address they confirmed)
(that link used)    that guest           seat_opened

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid            address_invalid, reminders_invalid
    ├── NotFound           mail_link_unknown
    ├── Gone               seat_link_over
    └── TooMany            too_many_addresses, too_many_seat_links
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from groupbook.kit.errors import Gone, Invalid, NotFound, TooMany
from groupbook.kit.ids import MemberId, NoticeId, TripId

attempts_max: Final = 6
RETRY_SECONDS: Final = (10, 60, 300, 1_800, 7_200)
shown_days: Final = 30


class NoticeCode(StrEnum):
    TRIP_DECIDED = "trip_decided"
    PLEASE_PAY = "please_pay"
    PAY_REMINDER = "pay_reminder"
    PORTION_DECLINED = "portion_declined"
    TICKETS_READY = "tickets_ready"
    PART_TAKEN = "part_taken"
    NOBODY_CHARGED = "nobody_charged"
    BOOKING_CANCELED = "booking_canceled"
    MONEY_BACK = "money_back"
    PLACE_OFFERED = "place_offered"
    PLACE_WITHDRAWN = "place_withdrawn"
    PLACE_MISSED = "place_missed"
    PLACE_UNWANTED = "place_unwanted"
    PLACE_TAKEN = "place_taken"
    PLACE_ASKED = "place_asked"
    PLACE_CALLED_OFF = "place_called_off"
    PLACE_KEPT = "place_kept"
    ROOM_FREE = "room_free"
    WAITING_OVER = "waiting_over"
    WAITING_NEEDLESS = "waiting_needless"
    CONFIRM_ADDRESS = "confirm_address"
    SEAT_LINK = "seat_link"
    SEAT_OPENED = "seat_opened"


# What is in a mailbox only: a page does not show it.
ONLY_BY_MAIL: Final = frozenset({NoticeCode.CONFIRM_ADDRESS, NoticeCode.SEAT_LINK})
# Only who still owes something is told these, when they are written and again when they are sent.
ONLY_WHILE_OWED: Final = frozenset(
    {NoticeCode.PLEASE_PAY, NoticeCode.PLACE_ASKED, NoticeCode.PAY_REMINDER, NoticeCode.PORTION_DECLINED}
)

CODE_OF_FACT: Final[Mapping[str, NoticeCode]] = MappingProxyType(
    {
        "trip.decided": NoticeCode.TRIP_DECIDED,
        "booking.opened": NoticeCode.PLEASE_PAY,
        "portion.asked_again": NoticeCode.PLEASE_PAY,
        "portion.expired": NoticeCode.PLEASE_PAY,
        "portion.declined": NoticeCode.PORTION_DECLINED,
        "booking.confirmed": NoticeCode.TICKETS_READY,
        "booking.aborted": NoticeCode.NOBODY_CHARGED,
        "booking.canceled": NoticeCode.BOOKING_CANCELED,
        "portion.refunded": NoticeCode.MONEY_BACK,
        "place.offered": NoticeCode.PLACE_OFFERED,
        "place.withdrawn": NoticeCode.PLACE_WITHDRAWN,
        "place.missed": NoticeCode.PLACE_MISSED,
        "place.unwanted": NoticeCode.PLACE_UNWANTED,
        "place.taken": NoticeCode.PLACE_TAKEN,
        "place.filled": NoticeCode.PLEASE_PAY,
        "place.asked": NoticeCode.PLACE_ASKED,
        "place.called_off": NoticeCode.PLACE_CALLED_OFF,
        "place.kept": NoticeCode.PLACE_KEPT,
        "place.handed_on": NoticeCode.TICKETS_READY,
        "waiting.room": NoticeCode.ROOM_FREE,
        "waiting.over": NoticeCode.WAITING_OVER,
        "waiting.needless": NoticeCode.WAITING_NEEDLESS,
    }
)

_BEFORE_THE_END: Final = ONLY_WHILE_OWED | {
    NoticeCode.TRIP_DECIDED,
    NoticeCode.PLACE_UNWANTED,
    NoticeCode.PLACE_CALLED_OFF,
}
_IN_THE_LINE: Final = frozenset(
    {
        NoticeCode.PLACE_OFFERED,
        NoticeCode.PLACE_WITHDRAWN,
        NoticeCode.PLACE_MISSED,
        NoticeCode.ROOM_FREE,
        NoticeCode.WAITING_OVER,
        NoticeCode.WAITING_NEEDLESS,
    }
)
# A later notice of the same trip makes an earlier one of these untrue: it is no longer shown, nor sent.
REPLACES: Final[Mapping[NoticeCode, frozenset[NoticeCode]]] = MappingProxyType(
    {
        NoticeCode.TRIP_DECIDED: frozenset({NoticeCode.TRIP_DECIDED, NoticeCode.NOBODY_CHARGED}),
        NoticeCode.PLEASE_PAY: ONLY_WHILE_OWED
        | _IN_THE_LINE
        | {NoticeCode.TRIP_DECIDED, NoticeCode.NOBODY_CHARGED, NoticeCode.PLACE_TAKEN},
        NoticeCode.PAY_REMINDER: frozenset({NoticeCode.PLEASE_PAY, NoticeCode.PLACE_ASKED, NoticeCode.PAY_REMINDER}),
        NoticeCode.PORTION_DECLINED: ONLY_WHILE_OWED,
        NoticeCode.TICKETS_READY: _BEFORE_THE_END,
        NoticeCode.PART_TAKEN: _BEFORE_THE_END,
        NoticeCode.NOBODY_CHARGED: _BEFORE_THE_END,
        NoticeCode.BOOKING_CANCELED: frozenset(
            {NoticeCode.TICKETS_READY, NoticeCode.PART_TAKEN, NoticeCode.MONEY_BACK}
        ),
        NoticeCode.MONEY_BACK: frozenset(),
        NoticeCode.PLACE_OFFERED: _IN_THE_LINE,
        NoticeCode.PLACE_WITHDRAWN: _IN_THE_LINE,
        NoticeCode.PLACE_MISSED: _IN_THE_LINE,
        NoticeCode.PLACE_UNWANTED: frozenset({NoticeCode.PLACE_UNWANTED}),
        NoticeCode.PLACE_TAKEN: ONLY_WHILE_OWED | {NoticeCode.PLACE_UNWANTED},
        NoticeCode.PLACE_ASKED: ONLY_WHILE_OWED | _IN_THE_LINE | {NoticeCode.PLACE_CALLED_OFF},
        NoticeCode.PLACE_CALLED_OFF: ONLY_WHILE_OWED,
        NoticeCode.PLACE_KEPT: frozenset({NoticeCode.PLACE_KEPT}),
        NoticeCode.ROOM_FREE: _IN_THE_LINE,
        NoticeCode.WAITING_OVER: _IN_THE_LINE,
        NoticeCode.WAITING_NEEDLESS: _IN_THE_LINE,
        NoticeCode.CONFIRM_ADDRESS: frozenset({NoticeCode.CONFIRM_ADDRESS}),
        NoticeCode.SEAT_LINK: frozenset({NoticeCode.SEAT_LINK}),
        NoticeCode.SEAT_OPENED: frozenset({NoticeCode.SEAT_OPENED}),
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
    """Where a person can be reached: an account at a network, or an e-mail address that is theirs."""

    network: str
    app_id: str
    subject: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, finished, in the reader's language. A bot sends `text` and `link`; a mailer the rest.

    `stop_url` ends messages of this kind without a login; mailers also put it where mail programs look (RFC 8058).
    """

    subject: str
    text: str
    link: str
    plain: str
    html: str
    stop_url: str


class Scope(StrEnum):
    """What somebody no longer wants at one address."""

    REMINDERS = "reminders"
    ALL = "all"


def scope_of(code: NoticeCode) -> Scope:
    """What the link in a message of this kind stops."""
    return Scope.REMINDERS if code is NoticeCode.PAY_REMINDER else Scope.ALL


# The enhanced status codes of a mailbox that does not exist (RFC 3463 3.2-3.3, RFC 7505): not of one that is full, nor
# of a policy against us.
NO_MAILBOX: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})

# --- addresses --------------------------------------------------------------------------------------------------------

email_characters_max: Final = 254
addresses_per_day_max: Final = 5
addresses_per_trip_max: Final = 60  # in a day: a question to everybody in the largest trip
confirm_days: Final = 7
seat_links_per_day_max: Final = 5
seat_link_seconds: Final = 30 * 60
address_days: Final = 90
# The atoms of RFC 5321 without quoted forms, to ASCII domains: what every mail server takes, and no header breaks on.
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])"
)


class AddressInvalid(Invalid):
    """Not an e-mail address that can be written to."""

    code = "address_invalid"


class TooManyAddresses(TooMany):
    """Too many addresses were tried in a day: by a member, one address by anybody, in a trip or at a merchant."""

    code = "too_many_addresses"


class MailLinkUnknown(NotFound):
    """A link from a mail that was not made by us, was cut on the way, or is too old."""

    code = "mail_link_unknown"


class SeatLinkOver(Gone):
    """Used, older than half an hour, for an address that is another now, or for a seat that is nobody's any more."""

    code = "seat_link_over"


class TooManySeatLinks(TooMany):
    """A seat asks for a link too often in a day."""

    code = "too_many_seat_links"


def check_email(text: str) -> str:
    """The address as it is written to: its domain in lower case.

    Raises:
        AddressInvalid
    """
    text = text.strip()
    local, _, domain = text.rpartition("@")
    if len(text) > email_characters_max or len(local) > 64 or _EMAIL.fullmatch(text) is None:
        raise AddressInvalid(pointer="/email")
    return f"{local}@{domain.lower()}"


def masked(email: str) -> str:
    """Enough to recognize one's own address: a•••@example.org."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}•••@{domain}"


def retry_at(notice_id: UUID, attempts: int, now: datetime) -> datetime | None:
    """When to try again after `attempts` tries; None when they are used up. Spread by id, not by chance."""
    if attempts >= attempts_max:
        return None
    wait = RETRY_SECONDS[attempts - 1]
    return now + timedelta(seconds=wait * (1 + (notice_id.int % 100) / 500))
