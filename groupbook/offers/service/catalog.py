"""Offers and occasions: the stored copies, and asking the merchant for fresh ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import clock, paging
from groupbook.kit.database import Database
from groupbook.kit.errors import Refused
from groupbook.kit.ids import MerchantId, OfferId
from groupbook.offers import repository
from groupbook.offers.domain import (
    Criteria,
    Occasion,
    OccasionDraft,
    OccasionNotFound,
    Offer,
    OfferDraft,
    OfferNotFound,
)
from groupbook.offers.ports import Coach
from groupbook.offers.service.adapters import AdapterOf

read_timeout_seconds = 10.0


def upsert_offer(session: Session, draft: OfferDraft, now: datetime) -> Offer:
    """Store or renew the copy of an offer, found by the merchant's own ref. A step."""
    return repository.save_offer(session, draft, now)


def read_offer(session: Session, offer_id: UUID) -> Offer:
    """A step.

    Raises:
        OfferNotFound
    """
    offer = repository.find_offer(session, offer_id)
    if offer is None:
        raise OfferNotFound()
    return offer


def read_offers(session: Session, offer_ids: Sequence[UUID]) -> Mapping[OfferId, Offer]:
    """Those that exist, in one query. A step."""
    return repository.find_offers(session, offer_ids)


def offer_by_ref(session: Session, ref: str) -> Offer | None:
    """The stored copy of the merchant's `ref`, or None: ask the merchant with `import_offer`. A step."""
    return repository.find_offer_by_ref(session, ref)


def list_offers(session: Session, criteria: Criteria, cursor: str | None) -> paging.Slice[Offer]:
    """Stored offers, newest first. A step."""
    limit = min(criteria.limit, paging.LIMIT_MAX)
    rows = repository.page_offers(session, criteria, paging.decode_cursor(cursor), limit + 1)
    return paging.page(rows, [offer.id for offer in rows], limit)


def upsert_occasion(session: Session, draft: OccasionDraft, now: datetime) -> Occasion:
    """Store or renew an occasion, found by the merchant's own ref. A step."""
    return repository.save_occasion(session, draft, now)


def read_occasion(session: Session, occasion_id: UUID) -> Occasion:
    """A step.

    Raises:
        OccasionNotFound
    """
    occasion = repository.find_occasion(session, occasion_id)
    if occasion is None:
        raise OccasionNotFound()
    return occasion


def occasion_by_ref(session: Session, ref: str) -> Occasion | None:
    """A step."""
    return repository.find_occasion_by_ref(session, ref)


def list_occasions(session: Session, cursor: str | None, limit: int) -> paging.Slice[Occasion]:
    """Stored occasions, newest first. A step."""
    limit = min(limit, paging.LIMIT_MAX)
    rows = repository.page_occasions(session, paging.decode_cursor(cursor), limit + 1)
    return paging.page(rows, [occasion.id for occasion in rows], limit)


# --- use cases ------------------------------------------------------------------------------------------------------


def search_offers(
    database: Database, merchant_id: MerchantId, criteria: Criteria, adapter_of: AdapterOf
) -> tuple[Offer, ...]:
    """Ask the merchant what it sells, and keep copies of the answer.

    Raises:
        Unavailable, OutcomeUnknown: the merchant did not answer; nothing changed.
    """
    with database.begin(merchant_id) as session:
        adapter = adapter_of(session)
    drafts = adapter.search(criteria, timeout_seconds=read_timeout_seconds)
    with database.begin(merchant_id) as session:
        now = clock.now(session)
        return tuple(repository.save_offer(session, draft, now) for draft in drafts)


def import_offer(database: Database, merchant_id: MerchantId, ref: str, adapter_of: AdapterOf) -> Offer:
    """One offer, fresh from the merchant, by the merchant's own ref (what the widget's `data-offer` carries).

    Raises:
        OfferNotFound: the merchant does not know it, or no longer.
        Unavailable, OutcomeUnknown: the merchant did not answer; nothing changed.
    """
    with database.begin(merchant_id) as session:
        adapter = adapter_of(session)
    try:
        draft = adapter.read_offer(ref, timeout_seconds=read_timeout_seconds)
    except Refused as refusal:
        raise OfferNotFound(ref=ref[:100]) from refusal
    with database.begin(merchant_id) as session:
        return repository.save_offer(session, draft, clock.now(session))


def import_occasions(database: Database, merchant_id: MerchantId, adapter_of: AdapterOf) -> tuple[Occasion, ...]:
    """The merchant's coming occasions, fresh, soonest first.

    Raises:
        Unavailable, OutcomeUnknown: the merchant did not answer; nothing changed.
    """
    with database.begin(merchant_id) as session:
        adapter = adapter_of(session)
    drafts = adapter.occasions(timeout_seconds=read_timeout_seconds)
    with database.begin(merchant_id) as session:
        now = clock.now(session)
        return tuple(repository.save_occasion(session, draft, now) for draft in drafts)


def read_seat_map(
    database: Database, merchant_id: MerchantId, offer_id: OfferId, adapter_of: AdapterOf
) -> tuple[Coach, ...]:
    """Which places are free now; empty when the merchant shows no map.

    Raises:
        OfferNotFound
        Unavailable, OutcomeUnknown: the merchant did not answer.
    """
    with database.begin(merchant_id) as session:
        offer = read_offer(session, offer_id)
        adapter = adapter_of(session)
    return adapter.seat_map(offer.ref, timeout_seconds=read_timeout_seconds)


def create_offer(database: Database, merchant_id: MerchantId, draft: OfferDraft) -> Offer:
    """The merchant pushes an offer. Pushing the same `ref` again renews it."""
    with database.begin(merchant_id) as session:
        return repository.save_offer(session, draft, clock.now(session))


def create_occasion(database: Database, merchant_id: MerchantId, draft: OccasionDraft) -> Occasion:
    """The merchant pushes an occasion. Pushing the same `ref` again renews it."""
    with database.begin(merchant_id) as session:
        return repository.save_occasion(session, draft, clock.now(session))
