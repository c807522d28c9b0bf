"""Ids: UUIDv7 in code and tables, `trip_<32 hex>` on the wire and in logs. One list of prefixes, here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NewType
from uuid import UUID

from groupbook.kit.errors import InvalidId

MerchantId = NewType("MerchantId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)
StaffId = NewType("StaffId", UUID)
EmbedOriginId = NewType("EmbedOriginId", UUID)
PersonId = NewType("PersonId", UUID)
GuestId = NewType("GuestId", UUID)
SessionId = NewType("SessionId", UUID)
HandoffId = NewType("HandoffId", UUID)
EntitlementId = NewType("EntitlementId", UUID)
CodeId = NewType("CodeId", UUID)
RedemptionId = NewType("RedemptionId", UUID)
PortionId = NewType("PortionId", UUID)
AttemptId = NewType("AttemptId", UUID)
RefundId = NewType("RefundId", UUID)
OfferId = NewType("OfferId", UUID)
OccasionId = NewType("OccasionId", UUID)
QuoteId = NewType("QuoteId", UUID)
HoldId = NewType("HoldId", UUID)
OrderId = NewType("OrderId", UUID)
TripId = NewType("TripId", UUID)
MemberId = NewType("MemberId", UUID)
OptionId = NewType("OptionId", UUID)
InviteId = NewType("InviteId", UUID)
CommentId = NewType("CommentId", UUID)
BookingId = NewType("BookingId", UUID)
TicketId = NewType("TicketId", UUID)
PayRequestId = NewType("PayRequestId", UUID)
AmendmentId = NewType("AmendmentId", UUID)
ContributionId = NewType("ContributionId", UUID)
SplitId = NewType("SplitId", UUID)
HandoverId = NewType("HandoverId", UUID)
SponsorLinkId = NewType("SponsorLinkId", UUID)
RecheckId = NewType("RecheckId", UUID)
ShareId = NewType("ShareId", UUID)
VisitId = NewType("VisitId", UUID)
EndpointId = NewType("EndpointId", UUID)
DeliveryId = NewType("DeliveryId", UUID)
NoticeId = NewType("NoticeId", UUID)
EventId = NewType("EventId", UUID)
FactId = NewType("FactId", UUID)
IntentId = NewType("IntentId", UUID)
DifferenceId = NewType("DifferenceId", UUID)
JournalId = NewType("JournalId", UUID)
SetupId = NewType("SetupId", UUID)

PREFIXES: dict[object, str] = {
    MerchantId: "mch",
    ApiKeyId: "key",
    StaffId: "stf",
    EmbedOriginId: "emo",
    PersonId: "psn",
    GuestId: "gst",
    SessionId: "ses",
    HandoffId: "hnd",
    EntitlementId: "ent",
    CodeId: "cod",
    RedemptionId: "rdm",
    PortionId: "por",
    AttemptId: "att",
    RefundId: "ref",
    OfferId: "off",
    OccasionId: "occ",
    QuoteId: "quo",
    HoldId: "hld",
    OrderId: "ord",
    TripId: "trip",
    MemberId: "mem",
    OptionId: "opt",
    InviteId: "inv",
    CommentId: "cmt",
    BookingId: "bkg",
    TicketId: "tkt",
    PayRequestId: "prq",
    AmendmentId: "amd",
    ContributionId: "ctb",
    SplitId: "spl",
    HandoverId: "hdo",
    SponsorLinkId: "spo",
    RecheckId: "rck",
    ShareId: "shr",
    VisitId: "vis",
    EndpointId: "whk",
    DeliveryId: "dlv",
    NoticeId: "ntc",
    EventId: "evt",
    FactId: "fct",
    IntentId: "int",
    DifferenceId: "dif",
    JournalId: "jrn",
    SetupId: "stp",
}

_HEX = frozenset("0123456789abcdef")


def random_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562 section 5.7): sortable by millisecond, 74 random bits."""
    # An id only has to be unique and roughly ordered; nothing is ever decided by the time inside it.
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


_maker: Callable[[], UUID] = random_id


def new_id() -> UUID:
    """A fresh id for a row, later than the ones before it."""
    return _maker()


@contextmanager
def ids_made_by(maker: Callable[[], UUID]) -> Iterator[None]:
    """Let `maker` make the ids of this process: a simulated history must be the same each time it is run."""
    global _maker
    before, _maker = _maker, maker
    try:
        yield
    finally:
        _maker = before


def to_wire(prefix: str, id: UUID) -> str:
    """`to_wire("trip", id)` -> `trip_0190…` (32 lower-case hex digits)."""
    return f"{prefix}_{id.hex}"


def from_wire(prefix: str, text: str) -> UUID:
    """Read an id from the wire. A wrong prefix or shape is an unknown thing, not a different error.

    Raises:
        InvalidId: not an id of that kind.
    """
    head, _, tail = text.partition("_")
    if head != prefix or len(tail) != 32 or not _HEX.issuperset(tail):
        raise InvalidId(expected=f"{prefix}_…")
    return UUID(hex=tail)
