"""The outside of this room: a merchant's booking engine, behind one synchronous port.

Every merchant answers search, hold, confirm, cancel in its own words; an adapter says them in ours. `our_ref` is our
name for a hold or an order (`hld_…`, `ord_…`): the merchant keeps it, so that after a lost answer we can ask by it.
An adapter calls `kit.database.forbid_in_transaction` first and raises only the four answers below.

    Refused (kit)
    └── MerchantRefused     reason is one of REFUSALS; `new_total` beside price_changed
    Unavailable (kit)       nothing was attempted
    OutcomeUnknown (kit)    it may have happened; look up by our_ref before asking again
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol, get_args

from groupbook.kit.errors import Refused
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.offers.domain import Change, Criteria, OccasionDraft, OfferDraft, PlaceChange, Seat, Ticket, Traveler

RefusalReason = Literal[
    "sold_out",  # not enough places left
    "price_changed",  # it would cost more than was agreed; `new_total` says how much
    "hold_expired",  # the places were let go before the order
    "invalid_traveler",  # a traveler lacks something the merchant needs
    "offer_not_found",  # withdrawn, or never there
    "canceled",  # a tombstone stands on our_ref: released or canceled before, whatever arrives later
    "not_cancelable",  # the merchant will not take the order back
    "not_allowed",  # the merchant does not do this (capability)
    "too_late",  # by the merchant's conditions, nothing is changed any more
]
REFUSALS: Final = frozenset(get_args(RefusalReason))


class MerchantRefused(Refused):
    """The merchant answered no.

    Args:
        reason: one of `REFUSALS`.
        new_total: what the merchant would ask now (`price_changed` only).
    """

    def __init__(self, reason: RefusalReason, *, new_total: Money | None = None, **params: object) -> None:
        if new_total is not None:
            params["new_total"] = {"amount": new_total.minor, "currency": new_total.currency}
        super().__init__(reason, **params)
        self.new_total = new_total


@dataclass(frozen=True, slots=True)
class PricedTraveler:
    """A traveler, the fare family the merchant sells them, and its price.

    `full_fare` is the adult fare we priced from (the merchant compares it with its own), `price` what the payers
    agreed to for this traveler after `discounts` (rule ids of the merchant's catalogue).
    """

    traveler: Traveler
    family: str
    full_fare: Money
    price: Money
    discounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Places wanted for a party, next to each other where the merchant can. `fee` is what the merchant asks for it."""

    our_ref: str
    offer_ref: str
    total: Money
    travelers: tuple[PricedTraveler, ...]
    hold_seconds: int
    adjacent: bool = True
    fee: Money | None = None


@dataclass(frozen=True, slots=True)
class PlacedHold:
    merchant_ref: str
    expires_at: datetime
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The party's order. `total` is what the payers agreed to: the merchant sells at it, for less, or refuses.

    `hold_ref` is our_ref of the hold to consume; None in no-hold mode, where the merchant checks places itself. The
    party may have changed since: places of those who no longer travel are let go, others take free ones. `hold_fee` is
    the merchant's own fee for the hold, as it was shown; it is no part of `total`.
    """

    our_ref: str
    hold_ref: str | None
    offer_ref: str
    total: Money
    travelers: tuple[PricedTraveler, ...]
    hold_fee: Money | None = None


@dataclass(frozen=True, slots=True)
class ConfirmedOrder:
    """The order as it stands. `total` is what the merchant charges; None: just what it was asked at."""

    merchant_ref: str
    seats: tuple[Seat, ...]
    tickets: tuple[Ticket, ...]
    total: Money | None = None


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """The merchant has the order and will say later; we ask again by our reference."""

    merchant_ref: str


@dataclass(frozen=True, slots=True)
class OrderChange:
    """One change of a confirmed order, under a reference of its own (`amd_…`) that the merchant keeps for good.

    `total_max` is the most the payers agreed that the order may cost afterwards.
    """

    our_ref: str
    change: Change
    total_max: Money


@dataclass(frozen=True, slots=True)
class ChangeTerms:
    """What an order would cost after a change, by the merchant's conditions. `until`: these terms end then, if ever."""

    total: Money
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObservedHold:
    """The merchant's truth about a hold. `absent`: our_ref never arrived."""

    state: Literal["absent", "live", "released", "expired", "consumed"]
    placed: PlacedHold | None = None


@dataclass(frozen=True, slots=True)
class ObservedOrder:
    """The merchant's truth about an order. `absent`: our_ref never arrived; `canceled`: the tombstone stands;
    `rejected`: a pending one came to nothing, for `reason`.
    """

    state: Literal["absent", "pending", "confirmed", "rejected", "canceled"]
    confirmed: ConfirmedOrder | None = None
    merchant_ref: str = ""
    reason: RefusalReason = "sold_out"


@dataclass(frozen=True, slots=True)
class Coach:
    """One coach: rows of 2 + 2 as place names, and which are free."""

    leg: int
    name: str
    rows: tuple[tuple[str, ...], ...]
    free: frozenset[str]


class AdapterFactory(Protocol):
    """How an adapter is made for one merchant: from the configuration that merchant's connection holds."""

    def __call__(self, configuration: Mapping[str, Any]) -> MerchantAdapter: ...


class MerchantAdapter(Protocol):
    """One merchant's booking engine.

    Every call may raise `Unavailable` (nothing was attempted; ask later). Calls with a `key` may also raise
    `MerchantRefused` and `OutcomeUnknown`; the same `key` never acts twice. Amounts are minor units.
    """

    def capabilities(self) -> Capabilities:
        """What the engine can do, without a call."""

    def search(self, criteria: Criteria, *, timeout_seconds: float) -> tuple[OfferDraft, ...]:
        """Offers that fit, soonest departure first, at most `criteria.limit`."""

    def read_offer(self, ref: str, *, timeout_seconds: float) -> OfferDraft:
        """One offer as it is sold now.

        Raises:
            MerchantRefused: `offer_not_found`.
        """

    def occasions(self, *, timeout_seconds: float) -> tuple[OccasionDraft, ...]:
        """Coming occasions, soonest first."""

    def seat_map(self, offer_ref: str, *, timeout_seconds: float) -> tuple[Coach, ...]:
        """The coaches and their free places; empty when the merchant has no seat map."""

    def place_hold(self, request: HoldRequest, *, key: str, timeout_seconds: float) -> PlacedHold:
        """Keep places for the whole party or for nobody. The same `our_ref` or `key` returns the first hold.

        Raises:
            MerchantRefused: sold_out, price_changed, invalid_traveler, offer_not_found, canceled.
        """

    def extend_hold(self, our_ref: str, *, until: datetime, key: str, timeout_seconds: float) -> PlacedHold:
        """Keep the places until `until`, or for as much of it as the merchant grants; never shorter than before.

        Safe to repeat: the end is an instant, not a length.

        Raises:
            MerchantRefused: not_allowed (it stays as it was), hold_expired, canceled (the places are gone).
        """

    def release_hold(self, our_ref: str, *, key: str, timeout_seconds: float) -> None:
        """Let the places go, for good: a tombstone, so that a request for places that arrives later is refused.

        Releasing what is gone or never arrived is a success. A hold that an order consumed is left alone.
        """

    def confirm(self, order: OrderRequest, *, key: str, timeout_seconds: float) -> ConfirmedOrder | PendingOrder:
        """Sell to the whole party at `order.total`, or for less, or to nobody. The same `our_ref` returns the first
        order. Only an engine that keeps tombstones may answer "later".

        Raises:
            MerchantRefused: sold_out, price_changed, hold_expired, invalid_traveler, canceled.
        """

    def price_change(self, our_ref: str, change: PlaceChange, *, timeout_seconds: float) -> ChangeTerms:
        """What the order would cost after `change` if it was asked for now. Nothing is changed or kept for it.

        Raises:
            MerchantRefused: as `amend` would, without `price_changed`.
        """

    def amend(self, our_ref: str, change: OrderChange, *, key: str, timeout_seconds: float) -> ConfirmedOrder:
        """Change a confirmed order as a whole or not at all, and tell it as it then stands, its total included. The
        same `change.our_ref` changes it once.

        Raises:
            MerchantRefused: not_allowed, too_late, price_changed (it would cost more than `change.total_max`),
                sold_out, invalid_traveler, canceled.
        """

    def cancel(self, our_ref: str, *, key: str, timeout_seconds: float) -> None:
        """Take the order back, for good: a tombstone, before or after the confirm. No confirm of this `our_ref` that
        arrives later, however delayed, may succeed.

        Raises:
            MerchantRefused: not_cancelable.
        """

    def observe_hold(self, our_ref: str, *, timeout_seconds: float) -> ObservedHold:
        """The truth about a hold, by our reference."""

    def observe_order(self, our_ref: str, *, timeout_seconds: float) -> ObservedOrder:
        """The truth about an order, by our reference."""
