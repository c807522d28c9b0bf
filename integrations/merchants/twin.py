"""A merchant in memory: the same answers as a real one, the same in every run, without a socket or a clock of its own.

A test plays the merchant's bad days: `provoke("hold", "lost_answer")` makes the next call suffer, `advance(seconds)`
lets holds expire, `land_zombies()` lets calls arrive whose sender gave up long ago, `decide()` answers what is pending.
Without the capability `tombstones` a cancellation is forgotten as soon as it is answered, as at a weak merchant.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar
from uuid import UUID

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import OutcomeUnknown, Unavailable
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.offers.domain import (
    CancelMember,
    Change,
    Criteria,
    OccasionDraft,
    OfferDraft,
    PlaceChange,
    ReplaceMember,
    Reprice,
    Seat,
    Ticket,
    Traveler,
)
from groupbook.offers.ports import (
    ChangeTerms,
    Coach,
    ConfirmedOrder,
    HoldRequest,
    MerchantRefused,
    ObservedHold,
    ObservedOrder,
    OrderChange,
    OrderRequest,
    PendingOrder,
    PlacedHold,
    PricedTraveler,
)

T = TypeVar("T")
Operation = Literal["hold", "extend", "release", "confirm", "price", "amend", "cancel", "read"]
Trouble = Literal[
    "sold_out",
    "price_changed",
    "price_dropped",
    "overcharged",
    "pending",
    "tickets_later",
    "not_allowed",
    "too_late",
    "hold_expired",
    "invalid_traveler",
    "lost_answer",
    "late_effect",
    "unavailable",
    "not_cancelable",
]
EPOCH = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LETTERS = "ABCD"
_SOLD = ("pending", "confirmed")
rows = 16
price_rise_minor = 500
price_drop_minor = 100


@dataclass
class _Hold:
    request: HoldRequest | None
    placed: PlacedHold | None
    state: Literal["live", "released", "expired", "consumed"]


@dataclass
class _Order:
    request: OrderRequest | None
    confirmed: ConfirmedOrder | None
    state: Literal["pending", "confirmed", "rejected", "canceled"]
    changes: dict[str, ConfirmedOrder] = field(default_factory=dict)


@dataclass
class TwinMerchant:
    """`groupbook.offers.ports.MerchantAdapter` that keeps its books in dicts.

    Args:
        now: the merchant's clock; by default a fixed morning that only `advance` moves.
        kept_percent: how much of the price of a place that is given back the merchant keeps, cut down to a cent.
        replacing_fee_minor: what it asks for another name on a place.
        changes_until: when it stops changing orders; never, by default.
    """

    offers: dict[str, OfferDraft] = field(default_factory=dict)
    agenda: list[OccasionDraft] = field(default_factory=list)
    capability: Capabilities = field(default_factory=Capabilities)
    now: Callable[[], datetime] | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    kept_percent: int = 0
    replacing_fee_minor: int = 0
    changes_until: datetime | None = None

    def __post_init__(self) -> None:
        self._holds: dict[str, _Hold] = {}
        self._orders: dict[str, _Order] = {}
        self._troubles: dict[str, list[Trouble]] = defaultdict(list)
        self._zombies: list[Callable[[], object]] = []
        self._passed = timedelta(0)

    # --- the test's side ---------------------------------------------------------------------------------------------

    def provoke(self, operation: Operation, trouble: Trouble, times: int = 1) -> None:
        """Let the next `times` calls of `operation` suffer."""
        self._troubles[operation] += [trouble] * times

    def advance(self, seconds: int) -> None:
        self._passed += timedelta(seconds=seconds)

    def land_zombies(self) -> None:
        """Let every call arrive whose sender has given up; refusals fall on deaf ears."""
        waiting, self._zombies = self._zombies, []
        for act in waiting:
            try:
                act()
            except MerchantRefused as refusal:
                self.calls.append(("zombie_refused", refusal.reason))

    def decide(self, *, sells: bool = True) -> None:
        """Answer every order that is pending."""
        for order in self._orders.values():
            if order.state == "pending":
                order.state = "confirmed" if sells else "rejected"

    def live_orders(self) -> list[str]:
        return sorted(our_ref for our_ref, order in self._orders.items() if order.state == "confirmed")

    def live_holds(self) -> list[str]:
        return sorted(our_ref for our_ref in self._holds if self._state(our_ref) == "live")

    # --- the port ----------------------------------------------------------------------------------------------------

    def capabilities(self) -> Capabilities:
        return self.capability

    def search(self, criteria: Criteria, *, timeout_seconds: float) -> tuple[OfferDraft, ...]:
        self._reading()
        fitting = (offer for offer in self.offers.values() if _fits(offer, criteria))
        return tuple(sorted(fitting, key=lambda offer: offer.legs[0].departs_at)[: criteria.limit])

    def read_offer(self, ref: str, *, timeout_seconds: float) -> OfferDraft:
        self._reading()
        return self._offer(ref)

    def occasions(self, *, timeout_seconds: float) -> tuple[OccasionDraft, ...]:
        self._reading()
        return tuple(sorted(self.agenda, key=lambda occasion: occasion.starts_at))

    def seat_map(self, offer_ref: str, *, timeout_seconds: float) -> tuple[Coach, ...]:
        self._reading()
        offer = self._offer(offer_ref)
        plan = tuple(tuple(f"{row}{letter}" for letter in LETTERS) for row in range(1, rows + 1))
        return tuple(Coach(leg, "1", plan, frozenset(self._free(offer_ref, leg))) for leg in range(len(offer.legs)))

    def place_hold(self, request: HoldRequest, *, key: str, timeout_seconds: float) -> PlacedHold:
        return self._write("hold", request.our_ref, lambda trouble: self._place(request, trouble))

    def extend_hold(self, our_ref: str, *, until: datetime, key: str, timeout_seconds: float) -> PlacedHold:
        return self._write("extend", our_ref, lambda trouble: self._extend(our_ref, until, trouble))

    def release_hold(self, our_ref: str, *, key: str, timeout_seconds: float) -> None:
        self._write("release", our_ref, lambda trouble: self._release(our_ref))

    def confirm(self, order: OrderRequest, *, key: str, timeout_seconds: float) -> ConfirmedOrder | PendingOrder:
        return self._write("confirm", order.our_ref, lambda trouble: self._confirm(order, trouble))

    def price_change(self, our_ref: str, change: PlaceChange, *, timeout_seconds: float) -> ChangeTerms:
        self._reading()
        order = self._orders.get(our_ref)
        if order is None or order.state != "confirmed" or order.confirmed is None or order.request is None:
            raise MerchantRefused("canceled")
        trouble = self._trouble("price")
        if trouble in ("not_allowed", "sold_out", "too_late"):
            raise MerchantRefused(trouble)
        return ChangeTerms(self._changed(order.request, order.confirmed, change)[1], self.changes_until)

    def amend(self, our_ref: str, change: OrderChange, *, key: str, timeout_seconds: float) -> ConfirmedOrder:
        return self._write("amend", our_ref, lambda trouble: self._amend(our_ref, change, trouble))

    def cancel(self, our_ref: str, *, key: str, timeout_seconds: float) -> None:
        self._write("cancel", our_ref, lambda trouble: self._cancel(our_ref, trouble))

    def observe_hold(self, our_ref: str, *, timeout_seconds: float) -> ObservedHold:
        self._reading()
        if our_ref not in self._holds:
            return ObservedHold("absent")
        return ObservedHold(self._state(our_ref), self._holds[our_ref].placed)

    def observe_order(self, our_ref: str, *, timeout_seconds: float) -> ObservedOrder:
        self._reading()
        order = self._orders.get(our_ref)
        if order is None:
            return ObservedOrder("absent")
        number = order.confirmed.merchant_ref if order.confirmed else ""
        return ObservedOrder(order.state, order.confirmed if order.state == "confirmed" else None, number)

    # --- the merchant's books ----------------------------------------------------------------------------------------

    def _reading(self) -> None:
        forbid_in_transaction("merchant read")
        if self._trouble("read") == "unavailable":
            raise Unavailable(what="merchant")

    def _write(self, operation: Operation, our_ref: str, act: Callable[[Trouble | None], T]) -> T:
        forbid_in_transaction("merchant write")
        self.calls.append((operation, our_ref))
        trouble = self._trouble(operation)
        if trouble == "unavailable":
            raise Unavailable(what="merchant")
        if trouble == "late_effect":
            self._zombies.append(lambda: act(None))
            raise OutcomeUnknown(what="merchant")
        answer = act(trouble)
        if trouble == "lost_answer":
            raise OutcomeUnknown(what="merchant")
        return answer

    def _trouble(self, operation: Operation) -> Trouble | None:
        waiting = self._troubles[operation]
        return waiting.pop(0) if waiting else None

    def _place(self, request: HoldRequest, trouble: Trouble | None) -> PlacedHold:
        known = self._holds.get(request.our_ref)
        if known is not None:
            state = self._state(request.our_ref)
            if known.placed is None or state == "released":
                raise MerchantRefused("canceled")
            if state == "expired":
                raise MerchantRefused("hold_expired")
            return known.placed
        offer = self._offer(request.offer_ref)
        self._check(offer, request.travelers, request.total, trouble)
        seats = self._seat(request.offer_ref, len(offer.legs), request.travelers)
        expires_at = self._now() + timedelta(seconds=request.hold_seconds)
        placed = PlacedHold(_number("H", request.our_ref), expires_at, seats)
        self._holds[request.our_ref] = _Hold(request, placed, "live")
        return placed

    def _extend(self, our_ref: str, until: datetime, trouble: Trouble | None) -> PlacedHold:
        known = self._holds.get(our_ref)
        if known is None or known.placed is None or known.state == "released":
            raise MerchantRefused("canceled")
        if self._state(our_ref) != "live" or trouble == "hold_expired":
            raise MerchantRefused("hold_expired")
        if trouble == "not_allowed":
            raise MerchantRefused("not_allowed")
        known.placed = replace(known.placed, expires_at=max(known.placed.expires_at, until))
        return known.placed

    def _release(self, our_ref: str) -> None:
        known = self._holds.setdefault(our_ref, _Hold(None, None, "released"))
        if known.state == "live":
            known.state = "released"

    def _confirm(self, request: OrderRequest, trouble: Trouble | None) -> ConfirmedOrder | PendingOrder:
        known = self._orders.get(request.our_ref)
        if known is not None:
            return self._known_order(known)
        offer = self._offer(request.offer_ref)
        hold = None
        if request.hold_ref is not None:
            hold = self._holds.get(request.hold_ref)
            if hold is None or self._state(request.hold_ref) != "live" or trouble == "hold_expired":
                raise MerchantRefused("hold_expired")
        price = self._check(offer, request.travelers, request.total, trouble)
        if any(not priced.traveler.name.strip() for priced in request.travelers):
            raise MerchantRefused("invalid_traveler")
        members = [priced.traveler.member_id for priced in request.travelers]
        # The places of those who travel; once the hold is consumed, the others' are free again.
        held = hold.placed.seats if hold and hold.placed else ()
        kept = tuple(seat for seat in held if seat.member_id in members)
        missing = [member for member in members if member not in {seat.member_id for seat in kept}]
        seats = kept + self._find_seats(request.offer_ref, len(offer.legs), missing)
        if hold is not None:
            hold.state = "consumed"
        number = _number("T", request.our_ref)
        tickets = tuple(_ticket(number, index, member) for index, member in enumerate(members, start=1))
        confirmed = ConfirmedOrder(number, seats, () if trouble == "tickets_later" else tickets, price)
        if trouble == "pending":
            self._orders[request.our_ref] = _Order(request, confirmed, "pending")
            return PendingOrder(number)
        self._orders[request.our_ref] = _Order(request, confirmed, "confirmed")
        return confirmed

    def _known_order(self, known: _Order) -> ConfirmedOrder | PendingOrder:
        if known.state == "canceled" or known.confirmed is None:
            raise MerchantRefused("canceled")
        if known.state == "rejected":
            raise MerchantRefused("sold_out")
        return PendingOrder(known.confirmed.merchant_ref) if known.state == "pending" else known.confirmed

    def _amend(self, our_ref: str, change: OrderChange, trouble: Trouble | None) -> ConfirmedOrder:
        order = self._orders.get(our_ref)
        if order is None or order.state != "confirmed" or order.confirmed is None or order.request is None:
            raise MerchantRefused("canceled")
        if change.our_ref in order.changes:
            return order.changes[change.our_ref]
        if trouble in ("not_allowed", "sold_out", "too_late"):
            raise MerchantRefused(trouble)
        travelers, total = self._changed(order.request, order.confirmed, change.change)
        rise = Money(price_rise_minor if trouble in ("price_changed", "overcharged") else 0, total.currency)
        if (total + rise).minor > change.total_max.minor and trouble != "overcharged":
            raise MerchantRefused("price_changed", new_total=total + rise)
        order.request = replace(order.request, travelers=travelers)
        order.confirmed = _reseated(order.confirmed, change, total + rise)
        order.changes[change.our_ref] = order.confirmed
        return order.confirmed

    def _changed(
        self, request: OrderRequest, order: ConfirmedOrder, asked: Change
    ) -> tuple[tuple[PricedTraveler, ...], Money]:
        """Who travels after the change, and what it then costs."""
        travelers, total = request.travelers, order.total or request.total
        if isinstance(asked, Reprice):
            return travelers, asked.total
        if self.changes_until is not None and self._now() >= self.changes_until:
            raise MerchantRefused("too_late")
        left = next((one for one in travelers if one.traveler.member_id == asked.member_id), None)
        if left is None:
            raise MerchantRefused("invalid_traveler")
        if isinstance(asked, CancelMember):
            back = left.price.minor - left.price.minor * self.kept_percent // 100
            return tuple(one for one in travelers if one is not left), replace(total, minor=total.minor - back)
        if not asked.by.name.strip():
            raise MerchantRefused("invalid_traveler")
        stay = tuple(replace(one, traveler=asked.by) if one is left else one for one in travelers)
        return stay, replace(total, minor=total.minor + self.replacing_fee_minor)

    def _cancel(self, our_ref: str, trouble: Trouble | None) -> None:
        if trouble == "not_cancelable":
            raise MerchantRefused("not_cancelable")
        if not self.capability.tombstones and our_ref not in self._orders:
            return  # a weak merchant remembers nothing of what never arrived
        self._orders.setdefault(our_ref, _Order(None, None, "canceled")).state = "canceled"

    def _check(
        self, offer: OfferDraft, travelers: Iterable[PricedTraveler], total: Money, trouble: Trouble | None
    ) -> Money:
        """What the order costs: as agreed, or less. Refuses when it would cost more."""
        if trouble == "sold_out":
            raise MerchantRefused("sold_out")
        if trouble == "invalid_traveler":
            raise MerchantRefused("invalid_traveler")
        rise = price_rise_minor if trouble in ("price_changed", "overcharged") else 0
        rise -= price_drop_minor if trouble == "price_dropped" else 0
        agreed, price = 0, 0
        for priced in travelers:
            fare = offer.fares.get(priced.family)
            if fare is None or not 0 <= priced.price.minor <= priced.full_fare.minor:
                raise MerchantRefused("invalid_traveler")
            agreed += priced.price.minor
            price += max(0, priced.price.minor + fare.minor + rise - priced.full_fare.minor)
        if agreed != total.minor or (price > agreed and trouble != "overcharged"):
            raise MerchantRefused("price_changed", new_total=Money(price, offer.currency))
        return Money(price, offer.currency)

    def _seat(self, offer_ref: str, legs: int, travelers: Iterable[PricedTraveler]) -> tuple[Seat, ...]:
        return self._find_seats(offer_ref, legs, [priced.traveler.member_id for priced in travelers])

    def _find_seats(self, offer_ref: str, legs: int, members: list[UUID]) -> tuple[Seat, ...]:
        seats: list[Seat] = []
        for leg in range(legs):
            free = self._free(offer_ref, leg)
            if len(free) < len(members):
                raise MerchantRefused("sold_out")
            seats += [Seat(member, leg, "1", place) for member, place in zip(members, free, strict=False)]
        return tuple(seats)

    def _free(self, offer_ref: str, leg: int) -> list[str]:
        """Free places in row order, so that a party sits in one block."""
        limit = self.offers[offer_ref].seats_left
        places = [f"{row}{letter}" for row in range(1, rows + 1) for letter in LETTERS][:limit]
        return [place for place in places if (leg, place) not in self._taken(offer_ref)]

    def _taken(self, offer_ref: str) -> set[tuple[int, str]]:
        taken: set[tuple[int, str]] = set()
        for our_ref, hold in self._holds.items():
            live = hold.request is not None and hold.request.offer_ref == offer_ref and self._state(our_ref) == "live"
            if live and hold.placed is not None:
                taken |= {(seat.leg, seat.place) for seat in hold.placed.seats}
        for order in self._orders.values():
            sold = order.request is not None and order.request.offer_ref == offer_ref and order.state in _SOLD
            if sold and order.confirmed is not None:
                taken |= {(seat.leg, seat.place) for seat in order.confirmed.seats}
        return taken

    def _state(self, our_ref: str) -> Literal["live", "released", "expired", "consumed"]:
        hold = self._holds[our_ref]
        if hold.state == "live" and hold.placed is not None and hold.placed.expires_at <= self._now():
            return "expired"
        return hold.state

    def _offer(self, ref: str) -> OfferDraft:
        offer = self.offers.get(ref)
        if offer is None:
            raise MerchantRefused("offer_not_found")
        if offer.seats_left is None:
            return offer
        left = min(len(self._free(ref, leg)) for leg in range(len(offer.legs)))
        return replace(offer, seats_left=left)

    def _now(self) -> datetime:
        return (self.now() if self.now else EPOCH) + self._passed


def _fits(offer: OfferDraft, criteria: Criteria) -> bool:
    first = offer.legs[0]
    return (
        criteria.origin in ("", first.origin.city, first.origin.name)
        and criteria.destination in ("", first.destination.city, first.destination.name)
        and criteria.on in (None, first.departs_local.date())
        and criteria.occasion_ref in (None, offer.occasion_ref)
    )


def _reseated(order: ConfirmedOrder, change: OrderChange, total: Money) -> ConfirmedOrder:
    """Places and tickets after the change: one who comes takes the place, and gets a ticket of their own."""
    asked = change.change
    if isinstance(asked, Reprice):
        return replace(order, total=total)
    seats = tuple(seat for seat in order.seats if seat.member_id != asked.member_id)
    tickets = tuple(ticket for ticket in order.tickets if ticket.member_id != asked.member_id)
    if isinstance(asked, ReplaceMember):
        came: Traveler = asked.by
        taken = (seat for seat in order.seats if seat.member_id == asked.member_id)
        seats += tuple(replace(seat, member_id=came.member_id) for seat in taken)
        tickets += (_ticket(_number("A", change.our_ref), 1, came.member_id),)
    return replace(order, seats=seats, tickets=tickets, total=total)


def _ticket(number: str, index: int, member_id: UUID) -> Ticket:
    return Ticket(member_id, f"{number}-{index:02d}", f"TWIN:{number}-{index:02d}")


def _number(prefix: str, our_ref: str) -> str:
    return prefix + hashlib.sha256(f"{prefix}/{our_ref}".encode()).hexdigest()[:10].upper()


def member(number: int) -> UUID:
    """A member id for examples: the same number, the same member."""
    return UUID(int=(7 << 76) | (0x8 << 60) | number)
