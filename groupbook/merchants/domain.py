"""Values and pure decisions about a merchant: no database, no clock.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid            invalid_origin, invalid_slug, invalid_scope, invalid_email, weak_password,
    │                      details_invalid
    ├── NotFound           merchant_not_found, api_key_not_found, embed_origin_not_found
    ├── Forbidden          live_mode_refused, missing_scope
    ├── Conflict           embed_origin_exists, staff_exists, merchant_exists
    └── Unauthenticated    invalid_api_key, invalid_login
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from groupbook.kit.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from groupbook.kit.ids import ApiKeyId, EmbedOriginId, MerchantId, StaffId

# What an API key may do. A scope is asked for by the route that needs it.
SCOPES: Final = (
    "offers:read",
    "offers:write",
    "trips:read",
    "trips:write",
    "bookings:read",
    "bookings:write",
    "events:read",
    "webhooks:write",
    "refunds:write",
)
ConnectionKind = Literal["merchant_adapter", "payment_provider", "social_network"]

slug_characters_max: Final = 40
password_characters_min: Final = 12
password_characters_max: Final = 200
staff_session_seconds: Final = 12 * 3600
travel_seconds_max: Final = 400 * 86_400


class InvalidOrigin(Invalid):
    code = "invalid_origin"


class InvalidSlug(Invalid):
    code = "invalid_slug"


class InvalidScope(Invalid):
    code = "invalid_scope"


class InvalidEmail(Invalid):
    code = "invalid_email"


class WeakPassword(Invalid):
    code = "weak_password"


class InvalidTravel(Invalid):
    code = "invalid_travel"


class MerchantNotFound(NotFound):
    code = "merchant_not_found"


class ApiKeyNotFound(NotFound):
    code = "api_key_not_found"


class EmbedOriginNotFound(NotFound):
    code = "embed_origin_not_found"


class ConnectionNotFound(NotFound):
    code = "connection_not_found"


class LiveModeRefused(Forbidden):
    code = "live_mode_refused"


class MissingScope(Forbidden):
    code = "missing_scope"


class EmbedOriginExists(Conflict):
    code = "embed_origin_exists"


class StaffExists(Conflict):
    code = "staff_exists"


class MerchantExists(Conflict):
    code = "merchant_exists"


class InvalidApiKey(Unauthenticated):
    code = "invalid_api_key"


class InvalidLogin(Unauthenticated):
    code = "invalid_login"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this merchant's booking engine can do; offers and bookings decide by it, never by the adapter's name.

    Holds are opt-in. One is kept `hold_seconds_first` (None: all of the maximum at once) and earns
    `hold_seconds_per_portion` with each authorized portion, up to `hold_seconds_max`. `hold_fee_minor` is what the
    merchant asks for one, in the currency of the offer; 0: nothing. The two `holds_per_…` caps count holds for which
    nobody has paid anything yet; one that came to nothing still counts half, and half of that every
    `hold_memory_seconds` (None: no cap).

    `tombstones` says that a cancellation is final whatever arrives later; without it an order is confirmed only by an
    answer at once, and a canceled one is looked at again.
    """

    pricing: Literal["rules", "supplier"] = "rules"
    holds: bool = False
    hold_seconds_max: int = 1800
    hold_seconds_first: int | None = None
    hold_seconds_per_portion: int = 0
    hold_fee_minor: int = 0
    holds_per_organizer_max: int | None = 3
    holds_per_offer_max: int | None = 20
    hold_memory_seconds: int = 3600
    tombstones: bool = True
    adjacent_seats: bool = True
    partial_cancel: bool = True
    names_required_at: Literal["quote", "hold", "confirm"] = "confirm"


@dataclass(frozen=True, slots=True)
class Merchant:
    """One tenant. Test and live are two tenants which share `slug` and differ in `livemode`."""

    id: MerchantId
    slug: str
    name: str
    livemode: bool
    locale: str
    timezone: str
    currency: str
    adapter: str
    capabilities: Capabilities = field(default_factory=Capabilities)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: everything but the secret."""

    id: ApiKeyId
    name: str
    livemode: bool
    hint: str
    scopes: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_active(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A key at birth: the only moment its secret exists outside the merchant's hands (test keys may be shown again)."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class EmbedOrigin:
    id: EmbedOriginId
    origin: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Staff:
    id: StaffId
    merchant_id: MerchantId
    livemode: bool
    name: str
    email: str
    role: Literal["owner", "staff"]


@dataclass(frozen=True, slots=True)
class Connection:
    """How this merchant reaches an outside system; `configuration` is sealed at rest."""

    kind: ConnectionKind
    adapter: str
    configuration: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)


# --- API keys -------------------------------------------------------------------------------------------------------

# 32 letters of base32 are 160 bits. The last 7 are a CRC32 of the rest, so that a scanner or a client can tell a
# mistyped key from a wrong one without asking anybody (the practice of the big code hosts).
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
key_letters: Final = 32
checksum_letters: Final = 7
_KEY: Final = re.compile(rf"gb_(test|live)_[a-z2-7]{{{key_letters + checksum_letters}}}")


def _base32(number: int, letters: int) -> str:
    out = []
    for _ in range(letters):
        number, rest = divmod(number, 32)
        out.append(_BASE32[rest])
    return "".join(reversed(out))


def key_checksum(body: str) -> str:
    return _base32(zlib.crc32(body.encode("ascii")), checksum_letters)


def mint_secret(*, livemode: bool) -> str:
    """A new key: `gb_test_` or `gb_live_`, 160 random bits, a checksum."""
    body = f"gb_{'live' if livemode else 'test'}_{_base32(secrets.randbits(160), key_letters)}"
    return body + key_checksum(body)


def is_well_formed_key(secret: str) -> bool:
    """Whether the shape and the checksum are right; says nothing about whether the key exists."""
    if _KEY.fullmatch(secret) is None:
        return False
    return secret[-checksum_letters:] == key_checksum(secret[:-checksum_letters])


def is_live_key(secret: str) -> bool:
    return secret.startswith("gb_live_")


def key_hint(secret: str) -> str:
    """Enough to recognize a key in a list, far too little to use it."""
    return f"{secret[:12]}…{secret[-4:]}"


def digest(secret: str) -> bytes:
    """SHA-256: a key or token is long and random, so no slow hash is needed (a password gets argon2)."""
    return hashlib.sha256(secret.encode("utf-8")).digest()


def check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    for scope in scopes:
        if scope not in SCOPES:
            raise InvalidScope(scope=scope, allowed=list(SCOPES))
    if not scopes:
        raise InvalidScope(scope="", allowed=list(SCOPES))
    return tuple(scope for scope in SCOPES if scope in scopes)


# --- embed origins --------------------------------------------------------------------------------------------------

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


def parse_origin(text: str, *, livemode: bool) -> str:
    """The exact origin a page may frame us from, or InvalidOrigin.

    https only; http for localhost and 127.0.0.1 in test mode. No wildcard, `null`, path, query, credentials,
    IP address other than loopback; lower case; the default port is dropped.
    """
    reason = "not_an_origin"
    if len(text) <= 255 and text.isascii() and text == text.strip() and "\\" not in text:
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise InvalidOrigin(pointer="/origin", reason=reason) from None
        host = (parts.hostname or "").lower()
        has_extras = bool(parts.path) or any(mark in text for mark in "?#@")
        shown = f"[{host}]" if ":" in host else host
        loopback = shown in _LOOPBACK_NAMES
        named = bool(_HOST.fullmatch(host)) and "." in host and not host.rsplit(".", 1)[1].isdigit()
        if has_extras:
            reason = "only_scheme_host_port"
        elif parts.netloc.endswith(":") or port == 0:
            reason = "invalid_port"
        elif loopback and livemode:
            reason = "loopback_in_live_mode"
        elif parts.scheme == "http" and not loopback:
            reason = "https_required"
        elif parts.scheme in ("https", "http") and (named or loopback):
            default = {"https": 443, "http": 80}[parts.scheme]
            return f"{parts.scheme}://{shown}" + ("" if port in (None, default) else f":{port}")
    raise InvalidOrigin(pointer="/origin", reason=reason)


# --- small checks ---------------------------------------------------------------------------------------------------

_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")


def is_slug(text: str) -> bool:
    return _SLUG.fullmatch(text) is not None


def check_slug(slug: str) -> str:
    if not is_slug(slug):
        raise InvalidSlug(pointer="/slug")
    return slug


def check_email(email: str) -> str:
    if _EMAIL.fullmatch(email) is None:
        raise InvalidEmail(pointer="/email")
    return email.lower()


def check_password(password: str) -> str:
    if not password_characters_min <= len(password) <= password_characters_max:
        raise WeakPassword(pointer="/password", characters_min=password_characters_min)
    return password
