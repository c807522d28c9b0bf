"""Values and pure decisions about shares and visits: no database, no clock, no network.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid     invalid_channel, invalid_share_field
    ├── Forbidden   share_not_allowed
    ├── NotFound    share_not_found, visit_not_found
    ├── Conflict    visit_too_fresh
    └── Gone        share_revoked
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlencode
from uuid import UUID

from groupbook.kit.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from groupbook.kit.ids import BookingId, MemberId, MerchantId, ShareId, TripId, VisitId
from groupbook.trips.domain import Member, Privacy, PublicTrip, Role, TripState, Visibility, may_invite

# Decisions keep the version of the rule that made them, so that they can be replayed and explained.
attribution_rule_version: Final = "2026-11-a"
visible_seconds_min: Final = 1
address_days_max: Final = 7
hit_days_max: Final = 30
salt_hours_max: Final = 48
shares_per_trip_max: Final = 1_000
DIRECT: Final = "direct"
CHANNELS: Final = (
    "demo",
    "facebook",
    "messenger",
    "x",
    "whatsapp",
    "telegram",
    "line",
    "linkedin",
    "bluesky",
    "threads",
    "reddit",
    "discord",
    "email",
    "sms",
    "copy",
    "native",
)
# What a sharer may show of a booked trip; everything else stays inside.
SHARE_FIELDS: Final = ("title", "date", "train", "name")


class InvalidChannel(Invalid):
    code = "invalid_channel"


class InvalidShareField(Invalid):
    code = "invalid_share_field"


class ShareNotFound(NotFound):
    code = "share_not_found"


class VisitNotFound(NotFound):
    code = "visit_not_found"


class VisitTooFresh(Conflict):
    code = "visit_too_fresh"


class ShareNotAllowed(Forbidden):
    code = "share_not_allowed"


class ShareRevoked(Gone):
    code = "share_revoked"


class UncountedReason(StrEnum):
    """Why a hit or visit does not count. Kept, so that the number can be explained."""

    METHOD = "method"
    BOT = "bot"
    PREFETCH = "prefetch"
    NOT_NAVIGATION = "not_navigation"
    SELF = "self"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Share:
    """One share act: a person posted a trip to a channel. The code names it; it carries no right."""

    id: ShareId
    merchant_id: MerchantId
    trip_id: TripId
    code: str
    sharer: UUID
    channel: str
    fields: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenedShare:
    """A share as a stranger meets it: what the organizer allows now, and of that what the sharer ticked."""

    share: Share
    trip: PublicTrip

    def shows(self, field: str) -> bool:
        return not self.trip.is_generic and field in self.share.fields


@dataclass(frozen=True, slots=True)
class Click:
    """What a request said about itself, already reduced: no full address, no full user agent."""

    method: str
    address_truncated: str
    agent_class: str
    agent_family: str
    fetch_mode: str | None = None
    fetch_destination: str | None = None
    purpose: str | None = None

    def uncounted(self) -> UncountedReason | None:
        """Why this request is no visit; None when a person may be behind it."""
        if self.method != "GET":
            return UncountedReason.METHOD
        if self.agent_class != "person":
            return UncountedReason.BOT
        if self.purpose is not None:
            return UncountedReason.PREFETCH
        # Browsers that send the fetch headers send both; a missing one says nothing, a wrong one says it is no page.
        if self.fetch_mode not in (None, "navigate") or self.fetch_destination not in (None, "document"):
            return UncountedReason.NOT_NAVIGATION
        return None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A hit's outcome. `visit_id` is there when a page may confirm it; `reason` says why it cannot count."""

    visit_id: VisitId | None
    reason: UncountedReason | None


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who brought a booking, decided once. `share_id` None: nobody we know of."""

    booking_id: BookingId
    trip_id: TripId
    share_id: ShareId | None
    rule: str
    rule_version: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class JoinRecord:
    """How one member came into one trip."""

    member_id: MemberId
    share_id: ShareId | None
    is_start: bool
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelGrowth:
    """The figures of one channel (`direct` for what came without a share). `unconfirmed` is not in `visits`.

    `joins` came into the shared trip, `starts` began a trip of their own.
    """

    channel: str
    shares: int = 0
    visits: int = 0
    unconfirmed: int = 0
    joins: int = 0
    starts: int = 0
    bookings: int = 0

    @property
    def visits_per_share(self) -> float | None:
        return None if self.shares == 0 else self.visits / self.shares

    def plus(self, other: ChannelGrowth) -> ChannelGrowth:
        return ChannelGrowth(
            self.channel,
            self.shares + other.shares,
            self.visits + other.visits,
            self.unconfirmed + other.unconfirmed,
            self.joins + other.joins,
            self.starts + other.starts,
            self.bookings + other.bookings,
        )


@dataclass(frozen=True, slots=True)
class Growth:
    """What sharing brought this merchant, beside direct traffic. `shared.shares` is the n behind every mean."""

    shared: ChannelGrowth
    direct: ChannelGrowth
    channels: tuple[ChannelGrowth, ...]
    shares_without_visit: int
    bot_hits: int


# --- codes ----------------------------------------------------------------------------------------------------------

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans("OIL", "011")
code_letters: Final = 12  # 60 bits: never guessable, and short enough to read out


def mint_code() -> str:
    return "".join(secrets.choice(_CROCKFORD) for _ in range(code_letters))


def read_code(text: str) -> str | None:
    """A code as somebody typed it: any case, hyphens ignored, O for 0 and I or L for 1; None when it is none."""
    if len(text) > 2 * code_letters:
        return None
    code = text.upper().replace("-", "").translate(_MISREAD)
    return code if len(code) == code_letters and all(letter in _CROCKFORD for letter in code) else None


# --- who may share, what counts -------------------------------------------------------------------------------------


def require_shareable(privacy: Privacy, state: TripState, member: Member) -> None:
    """The organizer unless the trip is secret; members when friends may bring friends, or once it is booked.

    Raises:
        ShareNotAllowed
    """
    if privacy.visibility is Visibility.SECRET:
        raise ShareNotAllowed(reason="secret")
    if state is TripState.CANCELED:
        raise ShareNotAllowed(reason="canceled")
    if not may_invite(privacy, member.role) and (member.role is Role.VIEWER or state is not TripState.BOOKED):
        raise ShareNotAllowed(reason="organizer_only")


def check_channel(channel: str) -> str:
    """Raises InvalidChannel."""
    if channel not in CHANNELS:
        raise InvalidChannel(pointer="/channel", allowed=list(CHANNELS))
    return channel


def check_fields(fields: Sequence[str]) -> tuple[str, ...]:
    """Raises InvalidShareField."""
    for index, field in enumerate(fields):
        if field not in SHARE_FIELDS:
            raise InvalidShareField(pointer=f"/fields/{index}", allowed=list(SHARE_FIELDS))
    return tuple(field for field in SHARE_FIELDS if field in fields)


def truncate_address(address: str) -> str:
    """The network of an address (/24, /48), which names a neighborhood and no household; empty when unreadable."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    length = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, length), strict=False))


_PURPOSES: Final = re.compile(r"prefetch|prerender|preview|instant", re.IGNORECASE)


def purpose_of(headers: Mapping[str, str]) -> str | None:
    """The header value by which a browser says that nobody is looking yet; None for an ordinary request."""
    for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"):
        value = headers.get(name, "")
        if _PURPOSES.search(value):
            return value[:40]
    return None


def visitor_key(salt: bytes, click: Click, origin: UUID) -> bytes:
    """A stranger's key without consent: it joins two taps of one day on one share, and nothing else to anything."""
    said = f"{click.address_truncated}|{click.agent_family}|{origin.hex}"
    return hmac.new(salt, said.encode(), hashlib.sha256).digest()


def subject_key(subject: UUID, origin: UUID) -> bytes:
    """A known visitor's key: one visit per share, whatever the device."""
    return hashlib.sha256(b"subject" + subject.bytes + origin.bytes).digest()


def decide_booking(joins: Sequence[JoinRecord]) -> tuple[ShareId | None, str]:
    """Who brought a booking: the share the starter came by, else that of the first member who came by one.

    Returns:
        The share, and the rule that chose it: `start`, `first_join` or `none`.
    """
    for record in joins:
        if record.is_start and record.share_id is not None:
            return record.share_id, "start"
    shared = [record for record in joins if record.share_id is not None]
    if not shared:
        return None, "none"
    first = min(shared, key=lambda record: (record.joined_at, record.member_id.bytes))
    return first.share_id, "first_join"


# --- where a share goes ---------------------------------------------------------------------------------------------


def share_addresses(url: str, text: str) -> dict[str, str]:
    """Channel -> the network's own page for posting `url` with `text`. Nothing is appended: the code is the state."""
    return {
        "facebook": "https://www.facebook.com/sharer.php?" + urlencode({"u": url}),
        "x": "https://x.com/intent/post?" + urlencode({"text": text, "url": url}),
        "whatsapp": "https://wa.me/?" + urlencode({"text": f"{text} {url}"}),
        "telegram": "https://t.me/share/url?" + urlencode({"url": url, "text": text}),
        "line": "https://line.me/R/msg/text/?" + quote(f"{text} {url}", safe=""),
        "linkedin": "https://www.linkedin.com/sharing/share-offsite/?" + urlencode({"url": url}),
        "bluesky": "https://bsky.app/intent/compose?" + urlencode({"text": f"{text} {url}"}),
        "threads": "https://www.threads.net/intent/post?" + urlencode({"url": url, "text": text}),
        "reddit": "https://www.reddit.com/submit?" + urlencode({"url": url, "title": text}),
        "email": "mailto:?" + urlencode({"subject": text, "body": url}, quote_via=quote),
        "sms": "sms:?&body=" + quote(f"{text} {url}", safe=""),
    }
