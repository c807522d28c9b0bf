"""What the merchants room says over the wire."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from groupbook.kit.http import Instant, WholeNumber, Wire
from groupbook.kit.ids import to_wire
from groupbook.merchants.details import Details
from groupbook.merchants.domain import (
    SCOPES,
    ApiKey,
    Capabilities,
    EmbedOrigin,
    Merchant,
    MintedKey,
    travel_seconds_max,
)

MerchantRef = Annotated[str, StringConstraints(pattern=r"^mch_[0-9a-f]{32}$")]
ApiKeyRef = Annotated[str, StringConstraints(pattern=r"^key_[0-9a-f]{32}$")]
EmbedOriginRef = Annotated[str, StringConstraints(pattern=r"^emo_[0-9a-f]{32}$")]
Scope = Literal[
    "offers:read",
    "offers:write",
    "trips:read",
    "trips:write",
    "bookings:read",
    "bookings:write",
    "events:read",
    "webhooks:write",
    "refunds:write",
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class CapabilitiesOut(Wire):
    """What the merchant's booking engine can do."""

    pricing: Literal["rules", "supplier"]
    holds: bool
    hold_seconds_max: int
    hold_seconds_first: int | None
    hold_seconds_per_portion: int
    hold_fee_minor: int
    holds_per_organizer_max: int | None
    holds_per_offer_max: int | None
    hold_memory_seconds: int
    tombstones: bool
    adjacent_seats: bool
    partial_cancel: bool
    names_required_at: Literal["quote", "hold", "confirm"]


Span = Annotated[WholeNumber, Field(ge=60, le=14 * 86_400)]


class SetHolds(Wire):
    """How you keep places for a group before it has paid.

    A hold lasts `seconds_first` and earns `seconds_per_portion` with each portion that is authorized, up to
    `seconds_max`; without `seconds_first` it lasts `seconds_max` at once. `fee_minor` is your own fee, shown beside the
    price. At most `per_organizer_max` and `per_offer_max` holds that nobody has paid for are open at a time.
    """

    offered: bool
    seconds_max: Span = 1800
    seconds_first: Span | None = None
    seconds_per_portion: Annotated[WholeNumber, Field(ge=0, le=14 * 86_400)] = 0
    fee_minor: Annotated[WholeNumber, Field(ge=0, le=1_000_000)] = 0
    per_organizer_max: Annotated[WholeNumber, Field(ge=1, le=1_000)] | None = 3
    per_offer_max: Annotated[WholeNumber, Field(ge=1, le=100_000)] | None = 20
    memory_seconds: Span = 3600

    def on(self, capabilities: Capabilities) -> Capabilities:
        return replace(
            capabilities,
            holds=self.offered,
            hold_seconds_max=self.seconds_max,
            hold_seconds_first=self.seconds_first,
            hold_seconds_per_portion=self.seconds_per_portion,
            hold_fee_minor=self.fee_minor,
            holds_per_organizer_max=self.per_organizer_max,
            holds_per_offer_max=self.per_offer_max,
            hold_memory_seconds=self.memory_seconds,
        )


class MerchantOut(Wire):
    """The merchant this key belongs to."""

    id: MerchantRef
    slug: str
    name: str
    livemode: bool
    locale: str
    timezone: str
    currency: str
    capabilities: CapabilitiesOut

    @classmethod
    def of(cls, merchant: Merchant) -> MerchantOut:
        can = merchant.capabilities
        return cls(
            id=to_wire("mch", merchant.id),
            slug=merchant.slug,
            name=merchant.name,
            livemode=merchant.livemode,
            locale=merchant.locale,
            timezone=merchant.timezone,
            currency=merchant.currency,
            capabilities=CapabilitiesOut(
                pricing=can.pricing,
                holds=can.holds,
                hold_seconds_max=can.hold_seconds_max,
                hold_seconds_first=can.hold_seconds_first,
                hold_seconds_per_portion=can.hold_seconds_per_portion,
                hold_fee_minor=can.hold_fee_minor,
                holds_per_organizer_max=can.holds_per_organizer_max,
                holds_per_offer_max=can.holds_per_offer_max,
                hold_memory_seconds=can.hold_memory_seconds,
                tombstones=can.tombstones,
                adjacent_seats=can.adjacent_seats,
                partial_cancel=can.partial_cancel,
                names_required_at=can.names_required_at,
            ),
        )


class ApiKeyOut(Wire):
    """A key without its secret; `hint` is enough to recognize it."""

    id: ApiKeyRef
    name: str
    livemode: bool
    hint: str
    scopes: list[Scope]
    created_at: Instant
    last_used_at: Instant | None
    expires_at: Instant | None
    revoked_at: Instant | None

    @classmethod
    def of(cls, key: ApiKey) -> ApiKeyOut:
        return cls.model_validate(_fields(key), strict=False)


class MintedKeyOut(ApiKeyOut):
    """A fresh key. `secret` is shown here and, in live mode, never again."""

    secret: str

    @classmethod
    def minted(cls, minted: MintedKey) -> MintedKeyOut:
        return cls.model_validate(_fields(minted.key) | {"secret": minted.secret}, strict=False)


def _fields(key: ApiKey) -> dict[str, object]:
    return {
        "id": to_wire("key", key.id),
        "name": key.name,
        "livemode": key.livemode,
        "hint": key.hint,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


class ApiKeyList(Wire):
    """All keys of the merchant, newest first."""

    data: list[ApiKeyOut]


class CreateApiKey(Wire):
    """A name to recognize the key by, and what it may do (everything, if not said)."""

    name: Label
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))] = list(SCOPES)


class RollApiKey(Wire):
    """How long the old key keeps working beside its successor."""

    overlap_seconds: Annotated[WholeNumber, Field(ge=0, le=30 * 86_400)] = 86_400


class EmbedOriginOut(Wire):
    """An origin whose pages may frame the widget."""

    id: EmbedOriginRef
    origin: str
    created_at: Instant

    @classmethod
    def of(cls, origin: EmbedOrigin) -> EmbedOriginOut:
        return cls(id=to_wire("emo", origin.id), origin=origin.origin, created_at=origin.created_at)


class EmbedOriginList(Wire):
    """All registered origins."""

    data: list[EmbedOriginOut]


class AddEmbedOrigin(Wire):
    """An exact origin: `https://shop.example`, no path, no wildcard."""

    origin: Annotated[str, StringConstraints(min_length=1, max_length=255)]


class TestClockOut(Wire):
    """The test merchant's clock."""

    now: Instant
    offset_seconds: WholeNumber


class SetTestClock(Wire):
    """How far ahead of real time the test merchant's clock shall run; 0 comes home."""

    offset_seconds: Annotated[WholeNumber, Field(ge=0, le=travel_seconds_max)]


class DetailsWire(Wire):
    """How you sign receipts; every field is optional. `address` may have up to six lines."""

    legal_name: Annotated[str, StringConstraints(max_length=400)] = ""
    address: Annotated[str, StringConstraints(max_length=400)] = ""
    tax_id: Annotated[str, StringConstraints(max_length=400)] = ""
    registration: Annotated[str, StringConstraints(max_length=400)] = ""
    contact: Annotated[str, StringConstraints(max_length=400)] = ""

    @classmethod
    def of(cls, details: Details) -> DetailsWire:
        return cls(**asdict(details))
