"""The queries of offers that a settlement asks, answered from memory. Offers and quotes keep their values as they are:
nothing is dumped and read again on the way.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from groupbook.kit.ids import OfferId, new_id
from groupbook.offers import repository
from groupbook.offers.domain import HOLD_ENDED, ORDER_CONSUMING, HoldState, Offer, OfferDraft, OrderState, Quote
from groupbook.offers.models import HoldRow, MerchantAmendmentRow, MerchantOrderRow, QuoteRow, RecheckRow
from tests.simulation.memory.store import MemorySession, Table, Values

_ENDED: Final = frozenset(state.value for state in HOLD_ENDED)
_OPEN: Final = ("placing", "live", "extending")
_CONSUMING: Final = frozenset(state.value for state in ORDER_CONSUMING)


def tables() -> list[Table]:
    return [
        Table(QuoteRow, by=["reference"], checks={"amount": lambda values: values["amount"] >= 0}),
        Table(
            HoldRow,
            by=["reference"],
            moving={"open": lambda values: values["reference"] if values["state"] in _OPEN else None},
        ),
        Table(
            MerchantOrderRow,
            by=["reference"],
            moving={"open": lambda values: None if values["state"] == "rejected" else values["reference"]},
            checks={"amount": lambda values: values["amount"] >= 0},
        ),
        Table(
            MerchantAmendmentRow,
            by=["reference"],
            moving={"asked": lambda values: values["order_id"] if values["state"] == "asked" else None},
            checks={"amount_max": lambda values: values["amount_max"] >= 0},
        ),
        Table(RecheckRow, by=["reference"]),
    ]


# --- offers and quotes ------------------------------------------------------------------------------------------------


@repository.save_offer.register(MemorySession)
def _save_offer(session: MemorySession, draft: OfferDraft, now: datetime) -> Offer:
    offers: dict[UUID, Offer] = session.database.settings.setdefault("offers", {})
    known = next((offer for offer in offers.values() if offer.draft.ref == draft.ref), None)
    if known is None:
        offer = Offer(OfferId(new_id()), draft, 1, now)
    else:
        is_new = replace(known.draft, seats_left=draft.seats_left) != draft
        offer = Offer(known.id, draft, known.version + is_new, now)
    offers[offer.id] = offer
    return offer


@repository.find_offer.register(MemorySession)
def _find_offer(session: MemorySession, offer_id: UUID) -> Offer | None:
    offers: dict[UUID, Offer] = session.database.settings.get("offers", {})
    return offers.get(offer_id)


@repository.find_quote.register(MemorySession)
def _find_quote(session: MemorySession, quote_id: UUID) -> Quote | None:
    row = session.find(QuoteRow, quote_id)
    if row is None:
        return None
    known: dict[UUID, Quote] = session.database.settings.setdefault("quotes", {})
    if quote_id not in known:
        known[quote_id] = repository.quote_of_row(row)
    return known[quote_id]


# --- holds ------------------------------------------------------------------------------------------------------------


@repository.lock_hold.register(MemorySession)
def _lock_hold(session: MemorySession, hold_id: UUID) -> HoldRow | None:
    return session.find(HoldRow, hold_id)


@repository.lock_open_holds.register(MemorySession)
def _lock_open_holds(session: MemorySession, reference: UUID) -> list[HoldRow]:
    views = [one for one in session.views(HoldRow, "reference", reference) if one["state"] not in _ENDED]
    return session.rows(HoldRow, views)


@repository.holds_of.register(MemorySession)
def _holds_of(session: MemorySession, reference: UUID) -> list[HoldRow]:
    return session.rows(HoldRow, session.views(HoldRow, "reference", reference))


@repository.latest_hold.register(MemorySession)
def _latest_hold(session: MemorySession, reference: UUID) -> HoldRow | None:
    views = session.views(HoldRow, "reference", reference)
    return session.row(HoldRow, max(views, key=lambda one: one["id"])) if views else None


@repository.lock_latest_hold.register(MemorySession)
def _lock_latest_hold(session: MemorySession, reference: UUID) -> HoldRow | None:
    views = session.views(HoldRow, "reference", reference)
    return session.row(HoldRow, max(views, key=lambda one: one["id"])) if views else None


@repository.lock_overdue_holds.register(MemorySession)
def _lock_overdue_holds(session: MemorySession, now: datetime, limit: int) -> list[HoldRow]:
    def is_over(one: Values) -> bool:
        if one["state"] == HoldState.EXTENDING.value:
            return bool(one["asked_until"] <= now)
        return bool(one["state"] == HoldState.LIVE.value and one["expires_at"] <= now)

    views = [
        one for one in session.every(HoldRow) if is_over(one) and not _is_consumed(session, one["reference"], one["id"])
    ]
    return session.rows(HoldRow, views)[:limit]


@repository.is_being_consumed.register(MemorySession)
def _is_being_consumed(session: MemorySession, hold_id: UUID) -> bool:
    hold = session.find(HoldRow, hold_id)
    return hold is not None and _is_consumed(session, hold.reference, hold_id)


def _is_consumed(session: MemorySession, reference: UUID, hold_id: UUID) -> bool:
    orders = session.views(MerchantOrderRow, "reference", reference)
    return any(order["hold_id"] == hold_id and order["state"] in _CONSUMING for order in orders)


@repository.lock_caps.register(MemorySession)
def _lock_caps(session: MemorySession, offer_id: UUID, placed_by: UUID | None) -> None:
    """One transaction at a time is what this database does anyway."""


@repository.unpaid_holds.register(MemorySession)
def _unpaid_holds(session: MemorySession, *, offer_id: UUID, placed_by: UUID | None, since: datetime) -> list[HoldRow]:
    def counts(one: Values) -> bool:
        is_mine = one["offer_id"] == offer_id or (placed_by is not None and one["placed_by"] == placed_by)
        is_barren = one["state"] in ("expired", "released") and one["updated_at"] >= since
        return is_mine and one["settled"] == 0 and (one["state"] not in _ENDED or is_barren)

    return session.rows(HoldRow, [one for one in session.every(HoldRow) if counts(one)])


# --- orders -----------------------------------------------------------------------------------------------------------


@repository.lock_order.register(MemorySession)
def _lock_order(session: MemorySession, order_id: UUID) -> MerchantOrderRow | None:
    return session.find(MerchantOrderRow, order_id)


@repository.orders_of.register(MemorySession)
def _orders_of(session: MemorySession, reference: UUID) -> list[MerchantOrderRow]:
    return session.rows(MerchantOrderRow, session.views(MerchantOrderRow, "reference", reference))


@repository.asked_besides.register(MemorySession)
def _asked_besides(session: MemorySession, reference: UUID) -> dict[UUID, str]:
    changes = {one["id"]: "amd" for one in session.views(MerchantAmendmentRow, "reference", reference)}
    return changes | {one["id"]: "rck" for one in session.views(RecheckRow, "reference", reference)}


@repository.lock_latest_order.register(MemorySession)
@repository.latest_order.register(MemorySession)
def _latest_order(session: MemorySession, reference: UUID) -> MerchantOrderRow | None:
    views = session.views(MerchantOrderRow, "reference", reference)
    return session.row(MerchantOrderRow, max(views, key=lambda one: one["id"])) if views else None


@repository.lock_standing_orders.register(MemorySession)
def _lock_standing_orders(
    session: MemorySession, *, now: datetime, read_before: datetime, limit: int
) -> list[MerchantOrderRow]:
    def is_due(one: Values) -> bool:
        if one["state"] != OrderState.CONFIRMED.value or not one["tickets"]:
            return False
        quote = _find_quote(session, one["quote_id"])
        offer = None if quote is None else _find_offer(session, quote.offer_id)
        is_ahead = offer is not None and offer.departs_at > now
        return is_ahead and (one["read_at"] or one["updated_at"]) <= read_before

    return session.rows(MerchantOrderRow, [one for one in session.every(MerchantOrderRow) if is_due(one)])[:limit]


# --- changes and second looks ----------------------------------------------------------------------------------------


@repository.find_amendment.register(MemorySession)
def _find_amendment(session: MemorySession, amendment_id: UUID) -> MerchantAmendmentRow | None:
    return session.find(MerchantAmendmentRow, amendment_id)


@repository.find_recheck.register(MemorySession)
def _find_recheck(session: MemorySession, recheck_id: UUID) -> RecheckRow | None:
    return session.find(RecheckRow, recheck_id)


@repository.latest_recheck.register(MemorySession)
def _latest_recheck(session: MemorySession, reference: UUID) -> RecheckRow | None:
    views = session.views(RecheckRow, "reference", reference)
    return session.row(RecheckRow, max(views, key=lambda one: one["id"])) if views else None
