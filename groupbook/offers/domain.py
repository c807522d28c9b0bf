"""What is sold, as values, and the two machines of the merchant's side. No database, no clock, no call.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── NotFound   offer_not_found, occasion_not_found, quote_not_found, hold_not_found, order_not_found
    ├── Conflict   offer_not_bookable, quote_expired, hold_pending, hold_not_live, too_many_holds, holds_not_offered,
    │              order_pending, order_final, amendment_not_offered
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
from groupbook.kit.ids import AmendmentId, HoldId, OccasionId, OfferId, OrderId, QuoteId
from groupbook.kit.money import Money, total

# Other rooms come in by the door and by this file, so the machines are told here, too.
from groupbook.offers.machines import HOLD_ENDED as HOLD_ENDED
from groupbook.offers.machines import HOLD_KEPT as HOLD_KEPT
from groupbook.offers.machines import HOLD_MACHINE as HOLD_MACHINE
from groupbook.offers.machines import ORDER_CONSUMING as ORDER_CONSUMING
from groupbook.offers.machines import ORDER_MACHINE as ORDER_MACHINE
from groupbook.offers.machines import HoldEvent as HoldEvent
from groupbook.offers.machines import HoldState as HoldState
from groupbook.offers.machines import OrderEvent as OrderEvent
from groupbook.offers.machines import OrderState as OrderState
from groupbook.offers.machines import next_hold_state as next_hold_state
from groupbook.offers.machines import next_order_state as next_order_state

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


class HoldsNotOffered(Conflict):
    """This merchant keeps no places before the order (capability `holds`)."""

    code = "holds_not_offered"


class TooManyHolds(Conflict):
    """Too many holds of this organizer, or on this offer, for which nobody has paid anything (`scope` says which)."""

    code = "too_many_holds"


class OrderPending(Conflict):
    """The merchant's answer about this order is still out; one thing at a time."""

    code = "order_pending"


class OrderFinal(Conflict):
    """A canceled order is a tombstone: no later confirm may raise it."""

    code = "order_final"


class AmendmentNotOffered(Conflict):
    """This merchant does not change an order in this way, now; `reason` is its own (`offers.ports.REFUSALS`), or
    `partial_cancel` (a capability it lacks) or `last_traveler` (nobody would be left to travel).
    """

    code = "amendment_not_offered"


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


@dataclass(frozen=True, slots=True)
class Hold:
    """Places the merchant keeps for one booking reference until `expires_at`.

    `fee` is what the merchant asks for keeping them, if anything: the merchant's own, shown beside the price wherever
    the hold is shown, told in the order, and part of no portion.
    """

    id: HoldId
    reference: UUID
    quote_id: QuoteId
    offer_id: OfferId
    state: HoldState
    merchant_ref: str | None
    placed_at: datetime | None
    expires_at: datetime | None
    seats: tuple[Seat, ...]
    fee: Money | None
    reason: str | None
    new_total: Money | None

    @property
    def is_live(self) -> bool:
        """Whether the merchant keeps the places (while a longer time is asked for, too)."""
        return self.state in HOLD_KEPT


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the merchant issues to one member once the order stands; `code` is what the QR shows."""

    member_id: UUID
    number: str
    code: str


@dataclass(frozen=True, slots=True)
class Order:
    """The merchant's order for one booking reference.

    `total` is what the merchant charges: as agreed until it is confirmed, then what the merchant said, never more than
    was agreed. `new_total` is what it would have charged where that is why there is no order (`price_changed`).
    """

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


# --- changing an order that stands ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CancelMember:
    """One member does not go; the others do, at no higher price."""

    member_id: UUID


@dataclass(frozen=True, slots=True)
class ReplaceMember:
    """`by` goes in the member's place."""

    member_id: UUID
    by: Traveler


@dataclass(frozen=True, slots=True)
class Reprice:
    """The merchant's new price, which every payer has agreed to."""

    total: Money


PlaceChange = CancelMember | ReplaceMember
Change = PlaceChange | Reprice


class AmendmentState(StrEnum):
    ASKED = "asked"  # the answer may be out (unknown)
    AMENDED = "amended"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AmendmentAnswer:
    """One change of an order and what the merchant said. `total_max` is the most the order may cost afterwards, `total`
    what it then cost.
    """

    id: AmendmentId
    reference: UUID
    order_id: OrderId
    change: Change
    state: AmendmentState
    total_max: Money
    total: Money | None
    reason: str | None
    new_total: Money | None

    @property
    def is_amended(self) -> bool | None:
        """None while the answer is out."""
        return None if self.state is AmendmentState.ASKED else self.state is AmendmentState.AMENDED


def order_event(agreed: Money, told: Money | None) -> OrderEvent:
    """What a merchant's "confirmed" means beside the total that was agreed; silence means that total."""
    if told is None or (told.currency == agreed.currency and told.minor <= agreed.minor):
        return OrderEvent.CONFIRMED
    return OrderEvent.OVERCHARGED


# --- a second look at the price, for merchants who keep no places ----------------------------------------------------


class RecheckState(StrEnum):
    PENDING = "pending"
    SAME = "same"
    LOWER = "lower"
    HIGHER = "higher"
    GONE = "gone"  # withdrawn, or not enough places


@dataclass(frozen=True, slots=True)
class Recheck:
    """What the offer costs the same party now, as asked `at`. `total` is None while pending and when it is gone."""

    reference: UUID
    quote_id: QuoteId
    state: RecheckState
    total: Money | None
    at: datetime


def compare(quote: Quote, draft: OfferDraft | None, now: datetime) -> tuple[RecheckState, Money | None]:
    """Compare what was agreed with what the merchant sells now (`draft`; None: it knows the offer no longer).

    Each member's price moves with the full fare of the family it was made from, down to nothing and no further: the sum
    a merchant itself makes when it refuses an order because its price has changed.
    """
    if draft is None or not draft.bookable or now >= min(draft.valid_until, draft.legs[0].departs_at):
        return RecheckState.GONE, None
    if draft.seats_left is not None and draft.seats_left < len(quote.people):
        return RecheckState.GONE, None
    prices = []
    for person in quote.people:
        fare = draft.fares.get(person.family or "")
        if fare is None or fare.currency != quote.total.currency:
            return RecheckState.GONE, None
        prices.append(Money(max(0, person.pay.minor + fare.minor - person.full_fare.minor), fare.currency))
    whole = total(prices, quote.total.currency)
    if whole == quote.total:
        return RecheckState.SAME, whole
    return (RecheckState.LOWER if whole.minor < quote.total.minor else RecheckState.HIGHER), whole
