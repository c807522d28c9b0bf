"""What is sold, as values, and the two machines of the merchant's side. No database, no clock, no call.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── NotFound   offer_not_found, occasion_not_found, quote_not_found, hold_not_found, order_not_found
    ├── Conflict   offer_not_bookable, quote_expired, hold_pending, hold_not_live, order_pending, order_final
    ├── Invalid    invalid_offer, unknown_traveler
    └── InvariantBroken
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from groupbook.discounts.domain import CodeUse, Line, PartyPrice, PartyTraveler, Refusal, TripFacts, Unused
from groupbook.kit.errors import Conflict, Invalid, InvariantBroken, NotFound
from groupbook.kit.ids import HoldId, OccasionId, OfferId, OrderId, QuoteId
from groupbook.kit.money import Money, total

legs_max: Final = 2
fares_max: Final = 12
travelers_max: Final = 60


class OfferNotFound(NotFound):
    code = "offer_not_found"


class OccasionNotFound(NotFound):
    code = "occasion_not_found"


class QuoteNotFound(NotFound):
    code = "quote_not_found"


class HoldNotFound(NotFound):
    code = "hold_not_found"


class OrderNotFound(NotFound):
    code = "order_not_found"


class OfferNotBookable(Conflict):
    """The offer has no price, or its time is over: it can be voted on, not booked."""

    code = "offer_not_bookable"


class QuoteExpired(Conflict):
    code = "quote_expired"


class HoldPending(Conflict):
    """The merchant's answer to an earlier request for places is still out."""

    code = "hold_pending"


class HoldNotLive(Conflict):
    code = "hold_not_live"


class OrderFinal(Conflict):
    """A canceled order is a tombstone: no later confirm may raise it."""

    code = "order_final"


class InvalidOffer(Invalid):
    code = "invalid_offer"


class UnknownTraveler(Invalid):
    code = "unknown_traveler"


# --- offers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A station or venue, with the IANA zone its clock shows."""

    name: str
    zone: str
    city: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Leg:
    """One ride. Instants are UTC; `departs_local` and `arrives_local` are what the station clock shows."""

    service: str
    number: str
    operator: str
    origin: Place
    destination: Place
    departs_at: datetime
    arrives_at: datetime
    travel_class: str

    @property
    def departs_local(self) -> datetime:
        return self.departs_at.astimezone(ZoneInfo(self.origin.zone))

    @property
    def arrives_local(self) -> datetime:
        return self.arrives_at.astimezone(ZoneInfo(self.destination.zone))

    @property
    def duration_minutes(self) -> int:
        return int((self.arrives_at - self.departs_at).total_seconds()) // 60


@dataclass(frozen=True, slots=True)
class OfferDraft:
    """An offer as the merchant tells it, before it is stored. `ref` is the merchant's own name for it.

    `fares` holds the full adult price of each fare family ("flex", "saver"); an offer without fares can be voted on
    and not booked. `title` is the merchant's own words.
    """

    ref: str
    title: str
    currency: str
    legs: tuple[Leg, ...]
    fares: Mapping[str, Money]
    valid_until: datetime
    bookable: bool = True
    seats_left: int | None = None
    occasion_ref: str | None = None
    tags: tuple[str, ...] = ()
    url: str = ""
    image_url: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises InvalidOffer with the JSON pointer of the field that is wrong."""
        if not 1 <= len(self.legs) <= legs_max:
            raise InvalidOffer(pointer="/legs", legs_max=legs_max)
        if len(self.fares) > fares_max:
            raise InvalidOffer(pointer="/fares", fares_max=fares_max)
        if self.bookable and not self.fares:
            raise InvalidOffer(pointer="/fares", reason="bookable_without_fares")
        for family, fare in self.fares.items():
            if fare.currency != self.currency or fare.minor < 0:
                raise InvalidOffer(pointer=f"/fares/{family}", reason="currency_or_sign")
        for index, leg in enumerate(self.legs):
            if leg.arrives_at <= leg.departs_at:
                raise InvalidOffer(pointer=f"/legs/{index}/arrives_at", reason="arrives_before_departure")
        if len(self.legs) == legs_max and self.legs[1].departs_at < self.legs[0].arrives_at:
            raise InvalidOffer(pointer="/legs/1/departs_at", reason="return_before_arrival")


@dataclass(frozen=True, slots=True)
class Offer:
    """A stored offer: a dated copy of what the merchant sells. `version` rises when the merchant changes it."""

    id: OfferId
    draft: OfferDraft
    version: int
    updated_at: datetime

    @property
    def ref(self) -> str:
        return self.draft.ref

    @property
    def title(self) -> str:
        return self.draft.title

    @property
    def currency(self) -> str:
        return self.draft.currency

    @property
    def legs(self) -> tuple[Leg, ...]:
        return self.draft.legs

    @property
    def fares(self) -> Mapping[str, Money]:
        return self.draft.fares

    @property
    def outward(self) -> Leg:
        return self.draft.legs[0]

    @property
    def departs_at(self) -> datetime:
        return self.draft.legs[0].departs_at

    @property
    def from_price(self) -> Money | None:
        """The cheapest full adult fare, to show before anybody's discounts are known."""
        return min(self.draft.fares.values(), key=lambda fare: fare.minor, default=None)

    def is_bookable(self, now: datetime) -> bool:
        """Whether a group may still be priced and booked on this offer."""
        return self.draft.bookable and bool(self.draft.fares) and now < min(self.draft.valid_until, self.departs_at)

    def require_bookable(self, now: datetime) -> None:
        """Raises OfferNotBookable."""
        if not self.is_bookable(now):
            raise OfferNotBookable(offer=self.ref)


@dataclass(frozen=True, slots=True)
class OccasionDraft:
    """A festival, concert or conference as the merchant tells it."""

    ref: str
    title: str
    city: str
    zone: str
    starts_at: datetime
    ends_at: datetime
    venue: str = ""
    url: str = ""
    image_url: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.ends_at < self.starts_at:
            raise InvalidOffer(pointer="/ends_at", reason="ends_before_start")


@dataclass(frozen=True, slots=True)
class Occasion:
    id: OccasionId
    draft: OccasionDraft

    @property
    def ref(self) -> str:
        return self.draft.ref

    @property
    def title(self) -> str:
        return self.draft.title


@dataclass(frozen=True, slots=True)
class Criteria:
    """What somebody looks for. Empty text means anything; `on` is the local day of departure."""

    origin: str = ""
    destination: str = ""
    on: date | None = None
    occasion_ref: str | None = None
    limit: int = 20


# --- quotes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PersonPrice:
    """What one member costs. `face` is on the ticket, `pay` is owed, `alone` is the best price without the group.

    `refusals`, `unused` and `codes` (those that the price uses) speak of this member's own: show them to nobody else.
    """

    member_id: UUID
    family: str | None
    face: Money
    pay: Money
    alone: Money
    lines: tuple[Line, ...]
    refusals: tuple[Refusal, ...] = ()
    unused: tuple[Unused, ...] = ()
    codes: tuple[CodeUse, ...] = ()

    def told(self) -> PersonPrice:
        """The price as its member may read it (P6): what somebody else's card gives them has no name."""
        return replace(self, lines=tuple(line.told() for line in self.lines))

    @property
    def full_fare(self) -> Money:
        """The adult fare the price started from: what the merchant charges without any discount."""
        return total((line.delta for line in self.lines if line.what.startswith("fare:")), self.pay.currency)

    @property
    def discounts(self) -> tuple[str, ...]:
        """The rules that moved the price, in order."""
        return tuple(line.what for line in self.lines if not line.what.startswith("fare:"))


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of one offer for one party, frozen. Lines sum to each `pay`, pays sum to `total`, exactly.

    `is_proven` says that the discount engine proved it the cheapest lawful price; a supplier's price claims no proof.
    `bound` is a proven lower limit of what any lawful price could be.
    """

    id: QuoteId
    reference: UUID
    offer_id: OfferId
    offer_version: int
    total: Money
    people: tuple[PersonPrice, ...]
    priced_by: Literal["rules", "supplier"]
    is_proven: bool
    valid_until: datetime
    created_at: datetime
    bound: Money | None = None

    def __post_init__(self) -> None:
        """Raises InvariantBroken when a cent is lost or invented (P2)."""
        currency = self.total.currency
        for person in self.people:
            if total((line.delta for line in person.lines), currency) != person.pay:
                raise InvariantBroken(what="lines do not sum to pay", member=str(person.member_id))
        if total((person.pay for person in self.people), currency) != self.total:
            raise InvariantBroken(what="pays do not sum to total", quote=str(self.id))

    def of(self, member_id: UUID) -> PersonPrice:
        """One member's price.

        Raises:
            UnknownTraveler: the quote has no such member.
        """
        for person in self.people:
            if person.member_id == member_id:
                return person
        raise UnknownTraveler(member=str(member_id))

    def require_valid(self, now: datetime) -> None:
        """Raises QuoteExpired."""
        if now >= self.valid_until:
            raise QuoteExpired(quote=str(self.id))


def trip_facts(offer: Offer, now: datetime) -> TripFacts:
    """What the discount rules may ask about this offer. Days and times are those of the station clock."""
    outward, back = offer.legs[0], offer.legs[1] if len(offer.legs) == legs_max else None
    local = outward.departs_local
    return TripFacts(
        date=local.date(),
        depart=local.time().replace(second=0, microsecond=0),
        return_date=back.departs_local.date() if back else None,
        direction="return" if back else "single",
        operator=outward.operator,
        service=outward.service,
        travel_class=outward.travel_class,
        duration_minutes=outward.duration_minutes,
        days_before=(local.date() - now.astimezone(local.tzinfo).date()).days,
        tags=offer.draft.tags,
    )


def party_travelers(offer: Offer, subjects: Iterable[UUID]) -> tuple[PartyTraveler, ...]:
    """Every subject may be sold any family of the offer; the optimum picks."""
    fares = {family: fare.minor for family, fare in sorted(offer.fares.items())}
    return tuple(PartyTraveler(subject=subject, fares=fares) for subject in subjects)


def quote_of(
    offer: Offer,
    price: PartyPrice,
    party: Mapping[UUID, UUID],
    *,
    id: QuoteId,
    reference: UUID,
    valid_until: datetime,
    created_at: datetime,
) -> Quote:
    """A stored offer and a priced party become a quote.

    Args:
        party: member id -> the subject (person or guest) whose entitlements were priced, in the members' order.
    """
    people = tuple(
        PersonPrice(member_id, one.family, one.face, one.pay, one.alone, one.lines, one.refusals, one.unused, one.codes)
        for member_id, one in ((member_id, price.people[subject]) for member_id, subject in party.items())
    )
    return Quote(
        id=id,
        reference=reference,
        offer_id=offer.id,
        offer_version=offer.version,
        total=price.total,
        people=people,
        priced_by="rules",
        is_proven=price.proof.optimal,
        bound=price.proof.bound,
        valid_until=min(valid_until, offer.draft.valid_until, offer.departs_at),
        created_at=created_at,
    )


# --- what the merchant keeps for us ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Traveler:
    """One traveler as the merchant needs to know them: a key (the member's id), a name, the fare to sell."""

    member_id: UUID
    name: str
    age: int | None = None
    cards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seat:
    """One place on one leg, given to one member."""

    member_id: UUID
    leg: int
    coach: str
    place: str


class HoldState(StrEnum):
    NONE = "none"
    PLACING = "placing"  # asked; the answer may be out (unknown)
    LIVE = "live"
    REFUSED = "refused"
    RELEASING = "releasing"  # asked to let go; the answer may be out (unknown)
    RELEASED = "released"
    EXPIRED = "expired"
    CONSUMED = "consumed"


class HoldEvent(StrEnum):
    PLACE_SENT = "place_sent"
    PLACED = "placed"
    REFUSED = "refused"
    RELEASE_SENT = "release_sent"
    RELEASED = "released"
    EXPIRED = "expired"
    CONSUMED = "consumed"


class OrderState(StrEnum):
    NONE = "none"
    CONFIRMING = "confirming"  # asked; the answer may be out (unknown)
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELING = "canceling"  # the tombstone is asked for; the answer may be out (unknown)
    CANCELED = "canceled"  # the tombstone stands: no later or zombie confirm may succeed
    DISCREPANT = "discrepant"  # the merchant says confirmed behind our tombstone: a person must look


class OrderEvent(StrEnum):
    CONFIRM_SENT = "confirm_sent"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCEL_SENT = "cancel_sent"
    CANCELED = "canceled"
    CANCEL_REFUSED = "cancel_refused"


_H, _HE, _O, _OE = HoldState, HoldEvent, OrderState, OrderEvent

# Every pair that may happen. A pair that stays where it is is news that changes nothing (a replay, a late answer);
# a pair that is absent would break a promise and raises.
HOLD_MACHINE: Final[Mapping[tuple[HoldState, HoldEvent], HoldState]] = {
    (_H.NONE, _HE.PLACE_SENT): _H.PLACING,
    # the answer is out
    (_H.PLACING, _HE.PLACE_SENT): _H.PLACING,
    (_H.PLACING, _HE.PLACED): _H.LIVE,
    (_H.PLACING, _HE.REFUSED): _H.REFUSED,
    (_H.PLACING, _HE.RELEASE_SENT): _H.RELEASING,
    (_H.PLACING, _HE.RELEASED): _H.RELEASED,
    (_H.PLACING, _HE.EXPIRED): _H.EXPIRED,
    # the merchant keeps places
    (_H.LIVE, _HE.PLACED): _H.LIVE,
    (_H.LIVE, _HE.RELEASE_SENT): _H.RELEASING,
    (_H.LIVE, _HE.RELEASED): _H.RELEASED,
    (_H.LIVE, _HE.EXPIRED): _H.EXPIRED,
    (_H.LIVE, _HE.CONSUMED): _H.CONSUMED,
    # letting go: a late "placed" is answered by the release that is already owed
    (_H.RELEASING, _HE.PLACED): _H.RELEASING,
    (_H.RELEASING, _HE.REFUSED): _H.RELEASED,
    (_H.RELEASING, _HE.RELEASE_SENT): _H.RELEASING,
    (_H.RELEASING, _HE.RELEASED): _H.RELEASED,
    (_H.RELEASING, _HE.EXPIRED): _H.EXPIRED,
    (_H.RELEASING, _HE.CONSUMED): _H.CONSUMED,
    # ends; the merchant's word that an order took the places wins over our own clock
    (_H.REFUSED, _HE.REFUSED): _H.REFUSED,
    (_H.REFUSED, _HE.RELEASE_SENT): _H.REFUSED,
    (_H.REFUSED, _HE.RELEASED): _H.REFUSED,
    (_H.REFUSED, _HE.EXPIRED): _H.REFUSED,
    (_H.RELEASED, _HE.PLACED): _H.RELEASED,
    (_H.RELEASED, _HE.REFUSED): _H.RELEASED,
    (_H.RELEASED, _HE.RELEASE_SENT): _H.RELEASED,
    (_H.RELEASED, _HE.RELEASED): _H.RELEASED,
    (_H.RELEASED, _HE.EXPIRED): _H.RELEASED,
    (_H.EXPIRED, _HE.PLACED): _H.EXPIRED,
    (_H.EXPIRED, _HE.REFUSED): _H.EXPIRED,
    (_H.EXPIRED, _HE.RELEASE_SENT): _H.EXPIRED,
    (_H.EXPIRED, _HE.RELEASED): _H.EXPIRED,
    (_H.EXPIRED, _HE.EXPIRED): _H.EXPIRED,
    (_H.EXPIRED, _HE.CONSUMED): _H.CONSUMED,
    (_H.CONSUMED, _HE.PLACED): _H.CONSUMED,
    (_H.CONSUMED, _HE.REFUSED): _H.CONSUMED,
    (_H.CONSUMED, _HE.RELEASE_SENT): _H.CONSUMED,
    (_H.CONSUMED, _HE.RELEASED): _H.CONSUMED,
    (_H.CONSUMED, _HE.EXPIRED): _H.CONSUMED,
    (_H.CONSUMED, _HE.CONSUMED): _H.CONSUMED,
}

ORDER_MACHINE: Final[Mapping[tuple[OrderState, OrderEvent], OrderState]] = {
    (_O.NONE, _OE.CONFIRM_SENT): _O.CONFIRMING,
    (_O.NONE, _OE.CANCEL_SENT): _O.CANCELING,
    # the answer is out
    (_O.CONFIRMING, _OE.CONFIRM_SENT): _O.CONFIRMING,
    (_O.CONFIRMING, _OE.CONFIRMED): _O.CONFIRMED,
    (_O.CONFIRMING, _OE.REJECTED): _O.REJECTED,
    (_O.CONFIRMING, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.CONFIRMING, _OE.CANCELED): _O.CANCELED,
    # the order stands
    (_O.CONFIRMED, _OE.CONFIRM_SENT): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.CONFIRMED): _O.CONFIRMED,
    (_O.CONFIRMED, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.CONFIRMED, _OE.CANCELED): _O.CANCELED,
    (_O.CONFIRMED, _OE.CANCEL_REFUSED): _O.CONFIRMED,
    # the merchant said no; a tombstone on top makes sure of it
    (_O.REJECTED, _OE.REJECTED): _O.REJECTED,
    (_O.REJECTED, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.REJECTED, _OE.CANCELED): _O.CANCELED,
    # canceling: a late answer of the confirm changes nothing, the tombstone's own answer tells
    (_O.CANCELING, _OE.CONFIRMED): _O.CANCELING,
    (_O.CANCELING, _OE.REJECTED): _O.CANCELING,
    (_O.CANCELING, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.CANCELING, _OE.CANCELED): _O.CANCELED,
    (_O.CANCELING, _OE.CANCEL_REFUSED): _O.CONFIRMED,
    # the tombstone
    (_O.CANCELED, _OE.CONFIRMED): _O.DISCREPANT,
    (_O.CANCELED, _OE.REJECTED): _O.CANCELED,
    (_O.CANCELED, _OE.CANCEL_SENT): _O.CANCELED,
    (_O.CANCELED, _OE.CANCELED): _O.CANCELED,
    (_O.CANCELED, _OE.CANCEL_REFUSED): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.CONFIRMED): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.REJECTED): _O.DISCREPANT,
    (_O.DISCREPANT, _OE.CANCEL_SENT): _O.CANCELING,
    (_O.DISCREPANT, _OE.CANCELED): _O.CANCELED,
    (_O.DISCREPANT, _OE.CANCEL_REFUSED): _O.DISCREPANT,
}

HOLD_ENDED: Final = frozenset({_H.REFUSED, _H.RELEASED, _H.EXPIRED, _H.CONSUMED})


def next_hold_state(state: HoldState, event: HoldEvent) -> HoldState:
    """Raises InvariantBroken for a pair that must not happen."""
    try:
        return HOLD_MACHINE[state, event]
    except KeyError:
        raise InvariantBroken(machine="hold", state=state.value, event=event.value) from None


def next_order_state(state: OrderState, event: OrderEvent) -> OrderState:
    """Raises InvariantBroken for a pair that must not happen (a confirm behind the tombstone among them)."""
    try:
        return ORDER_MACHINE[state, event]
    except KeyError:
        raise InvariantBroken(machine="order", state=state.value, event=event.value) from None


@dataclass(frozen=True, slots=True)
class Hold:
    """Places the merchant keeps for one booking reference until `expires_at`."""

    id: HoldId
    reference: UUID
    quote_id: QuoteId
    offer_id: OfferId
    state: HoldState
    merchant_ref: str | None
    expires_at: datetime | None
    seats: tuple[Seat, ...]
    reason: str | None
    new_total: Money | None

    @property
    def is_live(self) -> bool:
        return self.state is HoldState.LIVE


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the merchant issues to one member once the order stands; `code` is what the QR shows."""

    member_id: UUID
    number: str
    code: str


@dataclass(frozen=True, slots=True)
class Order:
    """The merchant's order for one booking reference."""

    id: OrderId
    reference: UUID
    quote_id: QuoteId
    hold_id: HoldId | None
    total: Money
    state: OrderState
    merchant_ref: str | None
    seats: tuple[Seat, ...]
    tickets: tuple[Ticket, ...]
    reason: str | None
    new_total: Money | None


def seats_are_together(seats: Sequence[Seat]) -> bool:
    """Whether, leg by leg, the party sits in one coach."""
    return all(len({seat.coach for seat in seats if seat.leg == leg}) == 1 for leg in {seat.leg for seat in seats})
