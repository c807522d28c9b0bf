"""What goes over the wire about offers and occasions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints

from groupbook.kit.http import Currency, Instant, MoneyWire, PageQuery, WholeNumber, Wire, wire_id
from groupbook.kit.ids import to_wire
from groupbook.kit.money import Money
from groupbook.offers.domain import (
    Criteria,
    Leg,
    Occasion,
    OccasionDraft,
    Offer,
    OfferDraft,
    Place,
    fares_max,
    legs_max,
)

_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(value: str) -> str:
    if value not in _zones():
        raise ValueError("not an IANA time zone")
    return value


def _in_our_century(value: datetime) -> datetime:
    if not _FIRST <= value < _LAST:
        raise ValueError("not between 2000 and 2100")
    return value


Moment = Annotated[Instant, AfterValidator(_in_our_century)]
Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
Ref = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:~-]*$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Words = Annotated[str, StringConstraints(max_length=200)]
Family = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Address = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^(https?://[^\s]+)?$")]
Tags = Annotated[list[Word], Field(max_length=20)]


class PlaceWire(Wire):
    """A station or venue. `zone` is the IANA zone that its clock shows."""

    name: Name
    zone: Zone
    city: Words = ""
    code: Annotated[str, StringConstraints(max_length=60)] = ""


class LegWire(Wire):
    """One ride. `service` and `operator` are what your discount rules ask about."""

    service: Word
    number: Annotated[str, StringConstraints(max_length=40)]
    operator: Name
    origin: PlaceWire
    destination: PlaceWire
    departs_at: Moment
    arrives_at: Moment
    travel_class: Word = "2"

    def leg(self) -> Leg:
        return Leg(
            service=self.service,
            number=self.number,
            operator=self.operator,
            origin=Place(**self.origin.model_dump()),
            destination=Place(**self.destination.model_dump()),
            departs_at=self.departs_at,
            arrives_at=self.arrives_at,
            travel_class=self.travel_class,
        )

    @classmethod
    def of(cls, leg: Leg) -> LegWire:
        def place(one: Place) -> PlaceWire:
            return PlaceWire.model_construct(name=one.name, zone=one.zone, city=one.city, code=one.code)

        return cls.model_construct(
            service=leg.service,
            number=leg.number,
            operator=leg.operator,
            origin=place(leg.origin),
            destination=place(leg.destination),
            departs_at=leg.departs_at,
            arrives_at=leg.arrives_at,
            travel_class=leg.travel_class,
        )


class CreateOffer(Wire):
    """Something you sell. `ref` is your own name for it; pushing it again renews it.

    `fares` holds the full adult fare of each fare family. Without fares an offer can be voted on, not booked. A return
    is one offer with two legs.
    """

    ref: Ref
    title: Name
    currency: Currency
    legs: Annotated[list[LegWire], Field(min_length=1, max_length=legs_max)]
    fares: Annotated[dict[Family, MoneyWire], Field(max_length=fares_max)] = {}
    valid_until: Moment
    bookable: bool = True
    seats_left: Annotated[WholeNumber, Field(ge=0, le=1_000_000)] | None = None
    occasion_ref: Ref | None = None
    tags: Tags = []
    url: Address = ""
    image_url: Address = ""
    metadata: Annotated[dict[Word, Annotated[str, StringConstraints(max_length=500)]], Field(max_length=20)] = {}

    def draft(self) -> OfferDraft:
        """Raises InvalidOffer."""
        return OfferDraft(
            ref=self.ref,
            title=self.title,
            currency=self.currency,
            legs=tuple(leg.leg() for leg in self.legs),
            fares={family: fare.money() for family, fare in self.fares.items()},
            valid_until=self.valid_until,
            bookable=self.bookable,
            seats_left=self.seats_left,
            occasion_ref=self.occasion_ref,
            tags=tuple(self.tags),
            url=self.url,
            image_url=self.image_url,
            metadata=dict(self.metadata),
        )


class OfferOut(Wire):
    """An offer as stored. `version` rises when its content changes; quotes name the version they priced."""

    id: wire_id("off")  # type: ignore[valid-type]  # a type made from the prefix
    ref: str
    title: str
    currency: str
    legs: list[LegWire]
    fares: dict[str, MoneyWire]
    valid_until: Instant
    bookable: bool
    seats_left: int | None
    occasion_ref: str | None
    tags: list[str]
    url: str
    image_url: str
    metadata: dict[str, str]
    version: int
    updated_at: Instant
    livemode: bool

    @classmethod
    def of(cls, offer: Offer, *, livemode: bool) -> OfferOut:
        draft = offer.draft
        return cls.model_construct(
            id=to_wire("off", offer.id),
            ref=draft.ref,
            title=draft.title,
            currency=draft.currency,
            legs=[LegWire.of(leg) for leg in draft.legs],
            fares=_fares(draft.fares),
            valid_until=draft.valid_until,
            bookable=draft.bookable,
            seats_left=draft.seats_left,
            occasion_ref=draft.occasion_ref,
            tags=list(draft.tags),
            url=draft.url,
            image_url=draft.image_url,
            metadata=dict(draft.metadata),
            version=offer.version,
            updated_at=offer.updated_at,
            livemode=livemode,
        )


class OfferPage(Wire):
    """One page of offers, newest first."""

    data: list[OfferOut]
    next_cursor: str | None


class OfferQuery(PageQuery):
    """`origin` and `destination` are cities; `on` is the local day of departure."""

    origin: Words = ""
    destination: Words = ""
    on: Annotated[date, Field(strict=False, ge=date(2000, 1, 1), le=date(2099, 12, 31))] | None = None
    occasion_ref: Ref | None = None

    def criteria(self) -> Criteria:
        return Criteria(self.origin, self.destination, self.on, self.occasion_ref, self.limit)


class CreateOccasion(Wire):
    """A festival, concert or conference to travel to. `ref` is your own name for it; pushing it again renews it."""

    ref: Ref
    title: Name
    city: Name
    zone: Zone
    starts_at: Moment
    ends_at: Moment
    venue: Words = ""
    url: Address = ""
    image_url: Address = ""
    tags: Tags = []

    def draft(self) -> OccasionDraft:
        """Raises InvalidOffer."""
        return OccasionDraft(
            ref=self.ref,
            title=self.title,
            city=self.city,
            zone=self.zone,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            venue=self.venue,
            url=self.url,
            image_url=self.image_url,
            tags=tuple(self.tags),
        )


class OccasionOut(Wire):
    """An occasion as stored."""

    id: wire_id("occ")  # type: ignore[valid-type]  # a type made from the prefix
    ref: str
    title: str
    city: str
    zone: str
    starts_at: Instant
    ends_at: Instant
    venue: str
    url: str
    image_url: str
    tags: list[str]
    livemode: bool

    @classmethod
    def of(cls, occasion: Occasion, *, livemode: bool) -> OccasionOut:
        draft = occasion.draft
        return cls.model_construct(
            id=to_wire("occ", occasion.id),
            ref=draft.ref,
            title=draft.title,
            city=draft.city,
            zone=draft.zone,
            starts_at=draft.starts_at,
            ends_at=draft.ends_at,
            venue=draft.venue,
            url=draft.url,
            image_url=draft.image_url,
            tags=list(draft.tags),
            livemode=livemode,
        )


class OccasionPage(Wire):
    """One page of occasions, newest first."""

    data: list[OccasionOut]
    next_cursor: str | None


def _fares(fares: Mapping[str, Money]) -> dict[str, MoneyWire]:
    return {family: MoneyWire.of(fare) for family, fare in fares.items()}
