"""A merchant in memory: the same answers as a real one, the same in every run, without a socket or a clock of its own.

A test plays the merchant's bad days: `provoke("hold", "lost_answer")` makes the next call suffer, `advance(seconds)`
lets holds expire, `land_zombies()` lets calls arrive whose sender gave up long ago.
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
from groupbook.offers.domain import Criteria, OccasionDraft, OfferDraft, Seat, Ticket
from groupbook.offers.ports import (
    Coach,
    ConfirmedOrder,
    HoldRequest,
    MerchantRefused,
    ObservedHold,
    ObservedOrder,
    OrderRequest,
    PlacedHold,
    PricedTraveler,
)

T = TypeVar("T")
Operation = Literal["hold", "release", "confirm", "cancel", "read"]
Trouble = Literal[
    "sold_out",
    "price_changed",
    "hold_expired",
    "invalid_traveler",
    "lost_answer",
    "late_effect",
    "unavailable",
    "not_cancelable",
]
EPOCH = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LETTERS = "ABCD"
rows = 12
price_rise_minor = 500


@dataclass
class _Hold:
    request: HoldRequest | None
    placed: PlacedHold | None
    state: Literal["live", "released", "expired", "consumed"]


@dataclass
class _Order:
    request: OrderRequest | None
    confirmed: ConfirmedOrder | None
    state: Literal["confirmed", "canceled"]


@dataclass
class TwinMerchant:
    """`groupbook.offers.ports.MerchantAdapter` that keeps its books in dicts.

    Args:
        now: the merchant's clock; by default a fixed morning that only `advance` moves.
    """

    offers: dict[str, OfferDraft] = field(default_factory=dict)
    agenda: list[OccasionDraft] = field(default_factory=list)
    capability: Capabilities = field(default_factory=Capabilities)
    now: Callable[[], datetime] | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)

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

    def release_hold(self, our_ref: str, *, key: str, timeout_seconds: float) -> None:
        self._write("release", our_ref, lambda trouble: self._release(our_ref))

    def confirm(self, order: OrderRequest, *, key: str, timeout_seconds: float) -> ConfirmedOrder:
        return self._write("confirm", order.our_ref, lambda trouble: self._confirm(order, trouble))

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
        return ObservedOrder(order.state, order.confirmed if order.state == "confirmed" else None)

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

    def _release(self, our_ref: str) -> None:
        known = self._holds.setdefault(our_ref, _Hold(None, None, "released"))
        if known.state == "live":
            known.state = "released"

    def _confirm(self, request: OrderRequest, trouble: Trouble | None) -> ConfirmedOrder:
        known = self._orders.get(request.our_ref)
        if known is not None:
            if known.state == "canceled" or known.confirmed is None:
                raise MerchantRefused("canceled")
            return known.confirmed
        offer = self._offer(request.offer_ref)
        hold = None
        if request.hold_ref is not None:
            hold = self._holds.get(request.hold_ref)
            if hold is None or self._state(request.hold_ref) != "live" or trouble == "hold_expired":
                raise MerchantRefused("hold_expired")
        self._check(offer, request.travelers, request.total, trouble)
        if any(not priced.traveler.name.strip() for priced in request.travelers):
            raise MerchantRefused("invalid_traveler")
        if hold is not None and hold.placed is not None:
            hold.state = "consumed"
            seats = hold.placed.seats
        else:
            seats = self._seat(request.offer_ref, len(offer.legs), request.travelers)
        number = _number("T", request.our_ref)
        tickets = tuple(
            Ticket(priced.traveler.member_id, f"{number}-{index:02d}", f"TWIN:{number}-{index:02d}")
            for index, priced in enumerate(request.travelers, start=1)
        )
        confirmed = ConfirmedOrder(number, seats, tickets)
        self._orders[request.our_ref] = _Order(request, confirmed, "confirmed")
        return confirmed

    def _cancel(self, our_ref: str, trouble: Trouble | None) -> None:
        if trouble == "not_cancelable":
            raise MerchantRefused("not_cancelable")
        self._orders.setdefault(our_ref, _Order(None, None, "canceled")).state = "canceled"

    def _check(
        self, offer: OfferDraft, travelers: Iterable[PricedTraveler], total: Money, trouble: Trouble | None
    ) -> None:
        if trouble == "sold_out":
            raise MerchantRefused("sold_out")
        if trouble == "invalid_traveler":
            raise MerchantRefused("invalid_traveler")
        rise = price_rise_minor if trouble == "price_changed" else 0
        agreed, difference = 0, 0
        for priced in travelers:
            fare = offer.fares.get(priced.family)
            if fare is None or not 0 <= priced.price.minor <= priced.full_fare.minor:
                raise MerchantRefused("invalid_traveler")
            agreed += priced.price.minor
            difference += fare.minor + rise - priced.full_fare.minor
        if difference or agreed != total.minor:
            raise MerchantRefused("price_changed", new_total=Money(agreed + difference, offer.currency))

    def _seat(self, offer_ref: str, legs: int, travelers: Iterable[PricedTraveler]) -> tuple[Seat, ...]:
        members = [priced.traveler.member_id for priced in travelers]
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
            sold = order.request is not None and order.request.offer_ref == offer_ref and order.state == "confirmed"
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


def _number(prefix: str, our_ref: str) -> str:
    return prefix + hashlib.sha256(f"{prefix}/{our_ref}".encode()).hexdigest()[:10].upper()


def member(number: int) -> UUID:
    """A member id for examples: the same number, the same member."""
    return UUID(int=(7 << 76) | (0x8 << 60) | number)
