"""Values and pure decisions of outgoing webhooks: no database, no clock, no network.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid    invalid_webhook_url, invalid_event_type
    ├── NotFound   webhook_endpoint_not_found, event_not_found
    └── Conflict   too_many_webhook_endpoints, webhook_endpoint_disabled

A message follows Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`; body `type`, `timestamp`,
`data`. Delivery is at least once and in no promised order; the receiver dedupes by `webhook-id`, which is the event's
id, and reads the object when it wants the truth.
"""

from __future__ import annotations

import base64
import ipaddress
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from groupbook.kit.errors import Conflict, Invalid, NotFound
from groupbook.kit.ids import DeliveryId, EndpointId, EventId, to_wire

endpoints_max: Final = 20
url_characters_max: Final = 2_000
secret_bytes: Final = 32
secret_overlap_seconds: Final = 24 * 3600
events_keep_days: Final = 30
post_seconds_max: Final = 15.0
answer_bytes_max: Final = 16_384
excerpt_characters_max: Final = 500

# Waits between attempts, in seconds: about three days in all (the advice of Standard Webhooks).
RETRY_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
attempts_max: Final = len(RETRY_SECONDS) + 1


class InvalidWebhookUrl(Invalid):
    code = "invalid_webhook_url"


class InvalidEventType(Invalid):
    code = "invalid_event_type"


class WebhookEndpointNotFound(NotFound):
    code = "webhook_endpoint_not_found"


class EventNotFound(NotFound):
    code = "event_not_found"


class TooManyWebhookEndpoints(Conflict):
    code = "too_many_webhook_endpoints"


class WebhookEndpointDisabled(Conflict):
    code = "webhook_endpoint_disabled"


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event: the fact of the same name, the kind of object it is about, and what it means."""

    name: str
    object: str
    prefix: str
    meaning: str


def _types(object: str, prefix: str, **meanings: str) -> dict[str, EventType]:
    return {f"{object}.{verb}": EventType(f"{object}.{verb}", object, prefix, text) for verb, text in meanings.items()}


EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType(
    _types(
        "trip",
        "trip",
        started="A group began to plan.",
        decided="The group decided on an option.",
        undecided="The organizer took a fresh decision back.",
        reopened="The group took its decision back and votes again.",
        canceled="The organizer called the trip off.",
    )
    | _types("member", "mem", joined="Somebody joined a trip.", left="Somebody left a trip.")
    | _types(
        "booking",
        "bkg",
        started="A group asked to book; the places are being held.",
        opened="Everybody was asked for their portion; the deadline runs.",
        confirmed="Your order is confirmed and every portion is being captured.",
        aborted="The booking ended without an order; nobody was charged.",
        canceled="A confirmed booking was canceled.",
        amended="One member of a confirmed booking was canceled or replaced, or paid a surcharge.",
        parked="The booking needs a person to look at it.",
    )
    | _types(
        "order",
        "ord",
        absent="Your booking system does not know an order that it confirmed, with tickets; a person should look.",
        found="Your booking system knows that order again.",
    )
    | _types(
        "portion",
        "por",
        authorized="A payer's bank keeps the money of one portion.",
        declined="A payer's bank refused one portion; they may try again.",
        captured="The money of one portion was taken.",
        expired="An authorization ended before the group was complete; the payer may try again.",
        voided="A bank was told to let the money go; nothing was taken.",
        refunded="Money of one portion went back to its payer.",
        refund_failed="A refund came back from the payer's bank; a person must find another way.",
    )
    | _types(
        "reconciliation",
        "dif",
        difference="Your account at the provider shows something else than our books; a person should look.",
        resolved="A difference between your account and our books is no longer there.",
    )
    | _types("intent", "int", parked="A call to you or your provider was given up; a person must look, then resume.")
    | _types("share", "shr", minted="Somebody shared a trip.")
    | _types("webhook", "whk", test="A test, sent because you asked for it.")
)

EVERYTHING: Final = "*"
# Kinds of object whose facts carry the opaque `reference` of a room below: it is a booking's id.
ABOUT_A_BOOKING: Final = frozenset({"order", "portion", "reconciliation"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as merchants are told: ids, amounts and codes, never personal data."""

    id: EventId
    type: str
    object_id: UUID
    livemode: bool
    data: Mapping[str, Any]
    created_at: datetime

    @property
    def object_wire(self) -> str:
        return to_wire(EVENT_TYPES[self.type].prefix, self.object_id)


# What may leave the house of a fact's payload: its key here, the prefix or kind of value there.
_ID_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trip_id": "trip",
        "booking_id": "bkg",
        "member_id": "mem",
        "option_id": "opt",
        "offer_id": "off",
        "portion_id": "por",
        "order_id": "ord",
        "share_id": "shr",
    }
)
_TEXT_FIELDS: Final = ("reason", "state", "via", "channel", "merchant_ref", "provider_ref", "kind")
_MONEY_FIELDS: Final = ("total", "refunded", "expected", "observed")


def event_data(payload: Mapping[str, Any], *, reference: str = "") -> dict[str, Any]:
    """The part of a fact's payload that a merchant is told, in the words and shapes of the API.

    Args:
        reference: what the payload's opaque `reference` is in this kind of fact ("booking_id"), if it is anything.
    """
    data: dict[str, Any] = {}
    if reference and reference not in payload:
        payload = {**payload, reference: payload.get("reference")}
    for name, prefix in _ID_FIELDS.items():
        value = payload.get(name) or payload.get(name.removesuffix("_id"))
        if isinstance(value, str) and (id := _uuid(value)) is not None:
            data[name] = to_wire(prefix, id)
    for name in _TEXT_FIELDS:
        if isinstance(payload.get(name), str):
            data[name] = payload[name]
    for name in _MONEY_FIELDS:
        value = payload.get(name)
        if isinstance(value, dict) and set(value) == {"amount", "currency"}:
            data[name] = dict(value)
    if "total" not in data and isinstance(payload.get("amount"), int) and isinstance(payload.get("currency"), str):
        data["total"] = {"amount": payload["amount"], "currency": payload["currency"]}
    return data


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.rpartition("_")[2])
    except ValueError:
        return None


def check_event_types(types: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(types):
        if name != EVERYTHING and name not in EVENT_TYPES:
            raise InvalidEventType(pointer=f"/event_types/{index}", event_type=name[:80])
    return (EVERYTHING,) if EVERYTHING in types or not types else tuple(dict.fromkeys(types))


# --- endpoints and deliveries ---------------------------------------------------------------------------------------

Detail = Literal["thin", "full"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a merchant wants to be told. `detail` full adds the event's data to type and ids."""

    id: EndpointId
    url: str
    event_types: tuple[str, ...]
    detail: Detail
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None

    def wants(self, event_type: str) -> bool:
        return self.is_enabled and (EVERYTHING in self.event_types or event_type in self.event_types)


class DeliveryState(StrEnum):
    PENDING = "pending"  # an attempt is due
    DELIVERED = "delivered"
    FAILED = "failed"  # every attempt failed, or the endpoint answered 410
    DROPPED = "dropped"  # the endpoint was disabled or deleted first


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: the status the endpoint answered, or why there was none."""

    number: int
    at: datetime
    status: int | None
    error: str | None
    duration_milliseconds: int
    excerpt: str


@dataclass(frozen=True, slots=True)
class Delivery:
    id: DeliveryId
    event_id: EventId
    endpoint_id: EndpointId
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint did: `status`, or `error` when there was no usable answer."""

    status: int | None
    error: str | None
    duration_milliseconds: int = 0
    excerpt: str = ""

    @property
    def is_success(self) -> bool:
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == 410


def retry_at(delivery_id: UUID, attempts: int, now: datetime) -> datetime | None:
    """When to try again after `attempts` tries; None when they are used up.

    Up to a fifth is added, by id and not by chance: an outage's deliveries do not all come back in one second, and
    the same delivery always has the same schedule.
    """
    if attempts >= attempts_max:
        return None
    wait = RETRY_SECONDS[attempts - 1]
    spread = zlib.crc32(delivery_id.bytes + attempts.to_bytes(2, "big")) % 1_000
    return now + timedelta(seconds=wait + wait * spread / 5_000)


def mint_secret() -> str:
    """`whsec_` and 256 random bits in base64, as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(secret_bytes)).decode("ascii")


# --- addresses ------------------------------------------------------------------------------------------------------

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_SITE_LOCAL: Final = ipaddress.ip_network("fec0::/10")


def is_public(address: Address) -> bool:
    """Whether a merchant's server may live at this address: not ours, not the cloud's, not hidden inside IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if hidden is None and address in _NAT64:
            hidden = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(hidden)
        if address in _SITE_LOCAL:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


def literal_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_loopback_host(host: str) -> bool:
    address = literal_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def check_url(url: str, *, loopback_allowed: bool) -> str:
    """A place we are willing to post to: https, a host name or public address, no credentials, no fragment.

    Args:
        loopback_allowed: test mode with the explicit setting: http and https to this machine are taken, too.

    Raises:
        InvalidWebhookUrl: with the reason.
    """

    def refuse(reason: str) -> InvalidWebhookUrl:
        return InvalidWebhookUrl(pointer="/url", reason=reason)

    if len(url) > url_characters_max or not url.isascii() or any(char <= " " or char in '\\"<>\x7f' for char in url):
        raise refuse("malformed")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refuse("malformed") from None
    host = (parts.hostname or "").lower()
    if not host or port == 0:
        raise refuse("malformed")
    if "@" in parts.netloc:
        raise refuse("credentials_in_url")
    if "#" in url:
        raise refuse("fragment")
    if is_loopback_host(host):
        if not loopback_allowed:
            raise refuse("private_address")
        if parts.scheme not in ("http", "https"):
            raise refuse("https_required")
        return url
    if parts.scheme != "https":
        raise refuse("https_required")
    address = literal_address(host)
    if address is not None and not is_public(address):
        raise refuse("private_address")
    if address is None and ("." not in host or host.rsplit(".", 1)[1].isdigit() or host.endswith(_PRIVATE_NAMES)):
        raise refuse("private_name")
    return url


_PRIVATE_NAMES: Final = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa")
