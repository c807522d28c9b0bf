"""Every query and lock of this room, and the only place where its values become rows and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of
from groupbook.kit.ids import HoldId, OccasionId, OfferId, OrderId, QuoteId, new_id
from groupbook.kit.money import Money
from groupbook.offers.domain import (
    HOLD_ENDED,
    Criteria,
    Hold,
    HoldState,
    Leg,
    Occasion,
    OccasionDraft,
    Offer,
    OfferDraft,
    Order,
    OrderState,
    PersonPrice,
    Quote,
    Seat,
    Ticket,
    Traveler,
)
from groupbook.offers.models import HoldRow, MerchantOrderRow, OccasionRow, OfferRow, QuoteRow

_LEGS: Final = TypeAdapter(tuple[Leg, ...])
_PEOPLE: Final = TypeAdapter(tuple[PersonPrice, ...])
_SEATS: Final = TypeAdapter(tuple[Seat, ...])
_TICKETS: Final = TypeAdapter(tuple[Ticket, ...])
_TRAVELERS: Final = TypeAdapter(tuple[Traveler, ...])


# --- offers and occasions -------------------------------------------------------------------------------------------


def save_offer(session: Session, draft: OfferDraft, now: datetime) -> Offer:
    """Insert or renew the copy of a merchant's offer. The version rises only when the merchant changed something."""
    content: dict[str, Any] = {
        "title": draft.title,
        "currency": draft.currency,
        "legs": _LEGS.dump_python(draft.legs, mode="json"),
        "fares": {family: fare.minor for family, fare in draft.fares.items()},
        "bookable": draft.bookable,
        "valid_until": draft.valid_until,
        "seats_left": draft.seats_left,
        "occasion_ref": draft.occasion_ref,
        "tags": list(draft.tags),
        "url": draft.url,
        "image_url": draft.image_url,
        "labels": dict(draft.metadata),
        "origin": draft.legs[0].origin.city or draft.legs[0].origin.name,
        "destination": draft.legs[0].destination.city or draft.legs[0].destination.name,
        "departs_at": draft.legs[0].departs_at,
    }
    first = insert(OfferRow).values(
        merchant_id=merchant_of(session),
        id=new_id(),
        ref=draft.ref,
        version=1,
        created_at=now,
        updated_at=now,
        **content,
    )
    row = session.scalar(first.on_conflict_do_nothing().returning(OfferRow))
    if row is None:
        row = session.scalars(select(OfferRow).where(OfferRow.ref == draft.ref).with_for_update()).one()
        # How many seats are left moves all day and is no change of what was offered.
        if any(getattr(row, name) != value for name, value in content.items() if name != "seats_left"):
            row.version += 1
        for name, value in content.items():
            setattr(row, name, value)
        row.updated_at = now
        session.flush()
    return offer_of(row)


def offer_of(row: OfferRow) -> Offer:
    draft = OfferDraft(
        ref=row.ref,
        title=row.title,
        currency=row.currency,
        legs=_LEGS.validate_python(row.legs),
        fares={family: Money(minor, row.currency) for family, minor in row.fares.items()},
        valid_until=row.valid_until,
        bookable=row.bookable,
        seats_left=row.seats_left,
        occasion_ref=row.occasion_ref,
        tags=tuple(row.tags),
        url=row.url,
        image_url=row.image_url,
        metadata=row.labels,
    )
    return Offer(OfferId(row.id), draft, row.version, row.updated_at)


def find_offer(session: Session, offer_id: UUID) -> Offer | None:
    row = session.scalar(select(OfferRow).where(OfferRow.id == offer_id))
    return offer_of(row) if row else None


def find_offer_by_ref(session: Session, ref: str) -> Offer | None:
    row = session.scalar(select(OfferRow).where(OfferRow.ref == ref))
    return offer_of(row) if row else None


def find_offers(session: Session, offer_ids: Sequence[UUID]) -> Mapping[OfferId, Offer]:
    rows = session.scalars(select(OfferRow).where(OfferRow.id.in_(offer_ids)))
    return {OfferId(row.id): offer_of(row) for row in rows}


def page_offers(session: Session, criteria: Criteria, after: UUID | None, limit: int) -> list[Offer]:
    """Newest first, by id; `limit` rows at most."""
    query = select(OfferRow).order_by(OfferRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(OfferRow.id < after)
    if criteria.origin:
        query = query.where(func.lower(OfferRow.origin) == criteria.origin.lower())
    if criteria.destination:
        query = query.where(func.lower(OfferRow.destination) == criteria.destination.lower())
    if criteria.occasion_ref is not None:
        query = query.where(OfferRow.occasion_ref == criteria.occasion_ref)
    if criteria.on is not None:
        # The day is local to the station: fetch the widest span of instants it can be, then let the zone decide.
        midnight = datetime(criteria.on.year, criteria.on.month, criteria.on.day, tzinfo=ZoneInfo("UTC"))
        query = query.where(
            OfferRow.departs_at >= midnight - timedelta(hours=14), OfferRow.departs_at < midnight + timedelta(hours=38)
        )
        local_day = func.date(func.timezone(OfferRow.legs[0]["origin"]["zone"].astext, OfferRow.departs_at))
        query = query.where(local_day == criteria.on)
    return [offer_of(row) for row in session.scalars(query)]


def save_occasion(session: Session, draft: OccasionDraft, now: datetime) -> Occasion:
    content: dict[str, Any] = {
        "title": draft.title,
        "city": draft.city,
        "zone": draft.zone,
        "venue": draft.venue,
        "starts_at": draft.starts_at,
        "ends_at": draft.ends_at,
        "url": draft.url,
        "image_url": draft.image_url,
        "tags": list(draft.tags),
        "updated_at": now,
    }
    row = insert(OccasionRow).values(
        merchant_id=merchant_of(session), id=new_id(), ref=draft.ref, created_at=now, **content
    )
    upsert = row.on_conflict_do_update(index_elements=["merchant_id", "ref"], set_=content).returning(OccasionRow)
    stored = session.scalars(upsert, execution_options={"populate_existing": True}).one()
    return occasion_of(stored)


def occasion_of(row: OccasionRow) -> Occasion:
    draft = OccasionDraft(
        ref=row.ref,
        title=row.title,
        city=row.city,
        zone=row.zone,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        venue=row.venue,
        url=row.url,
        image_url=row.image_url,
        tags=tuple(row.tags),
    )
    return Occasion(OccasionId(row.id), draft)


def find_occasion(session: Session, occasion_id: UUID) -> Occasion | None:
    row = session.scalar(select(OccasionRow).where(OccasionRow.id == occasion_id))
    return occasion_of(row) if row else None


def find_occasion_by_ref(session: Session, ref: str) -> Occasion | None:
    row = session.scalar(select(OccasionRow).where(OccasionRow.ref == ref))
    return occasion_of(row) if row else None


def page_occasions(session: Session, after: UUID | None, limit: int) -> list[Occasion]:
    query = select(OccasionRow).order_by(OccasionRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(OccasionRow.id < after)
    return [occasion_of(row) for row in session.scalars(query)]


# --- quotes ---------------------------------------------------------------------------------------------------------


def add_quote(session: Session, quote: Quote) -> None:
    session.add(
        QuoteRow(
            merchant_id=merchant_of(session),
            id=quote.id,
            reference=quote.reference,
            offer_id=quote.offer_id,
            offer_version=quote.offer_version,
            amount=quote.total.minor,
            currency=quote.total.currency,
            people=_PEOPLE.dump_python(quote.people, mode="json"),
            priced_by=quote.priced_by,
            is_proven=quote.is_proven,
            bound=quote.bound.minor if quote.bound else None,
            valid_until=quote.valid_until,
            created_at=quote.created_at,
        )
    )
    session.flush()


def find_quote(session: Session, quote_id: UUID) -> Quote | None:
    row = session.scalar(select(QuoteRow).where(QuoteRow.id == quote_id))
    if row is None:
        return None
    return Quote(
        id=QuoteId(row.id),
        reference=row.reference,
        offer_id=OfferId(row.offer_id),
        offer_version=row.offer_version,
        total=Money(row.amount, row.currency),
        people=_PEOPLE.validate_python(row.people),
        priced_by="rules" if row.priced_by == "rules" else "supplier",
        is_proven=row.is_proven,
        bound=None if row.bound is None else Money(row.bound, row.currency),
        valid_until=row.valid_until,
        created_at=row.created_at,
    )


# --- holds ----------------------------------------------------------------------------------------------------------


def add_hold(
    session: Session,
    quote: Quote,
    reference: UUID,
    state: HoldState,
    travelers: Sequence[Traveler],
    *,
    hold_seconds: int,
    now: datetime,
) -> HoldRow:
    row = HoldRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        reference=reference,
        quote_id=quote.id,
        offer_id=quote.offer_id,
        state=state.value,
        hold_seconds=hold_seconds,
        travelers=dump_travelers(travelers),
        seats=[],
        currency=quote.total.currency,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return row


def lock_hold(session: Session, hold_id: UUID) -> HoldRow | None:
    return session.scalar(select(HoldRow).where(HoldRow.id == hold_id).with_for_update())


def lock_open_holds(session: Session, reference: UUID) -> list[HoldRow]:
    """Holds of this reference that have not ended, locked, oldest first."""
    query = select(HoldRow).where(
        HoldRow.reference == reference, HoldRow.state.not_in([state.value for state in HOLD_ENDED])
    )
    return list(session.scalars(query.order_by(HoldRow.id).with_for_update()))


def latest_hold(session: Session, reference: UUID) -> HoldRow | None:
    return session.scalar(select(HoldRow).where(HoldRow.reference == reference).order_by(HoldRow.id.desc()).limit(1))


def lock_overdue_holds(session: Session, now: datetime, limit: int) -> list[HoldRow]:
    """Live holds whose time is over, except those an order may be consuming right now."""
    consuming = select(MerchantOrderRow.id).where(
        MerchantOrderRow.hold_id == HoldRow.id,
        MerchantOrderRow.state.in_([OrderState.CONFIRMING.value, OrderState.CONFIRMED.value]),
    )
    query = (
        select(HoldRow)
        .where(HoldRow.state == HoldState.LIVE.value, HoldRow.expires_at <= now, ~consuming.exists())
        .order_by(HoldRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(session.scalars(query))


def hold_of_row(row: HoldRow) -> Hold:
    return Hold(
        id=HoldId(row.id),
        reference=row.reference,
        quote_id=QuoteId(row.quote_id),
        offer_id=OfferId(row.offer_id),
        state=HoldState(row.state),
        merchant_ref=row.merchant_ref,
        expires_at=row.expires_at,
        seats=_SEATS.validate_python(row.seats),
        reason=row.reason,
        new_total=None if row.new_amount is None else Money(row.new_amount, row.currency),
    )


# --- orders ---------------------------------------------------------------------------------------------------------


def add_order(
    session: Session,
    quote: Quote,
    reference: UUID,
    state: OrderState,
    travelers: Sequence[Traveler],
    *,
    hold_id: UUID | None,
    now: datetime,
) -> MerchantOrderRow:
    row = MerchantOrderRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        reference=reference,
        quote_id=quote.id,
        hold_id=hold_id,
        amount=quote.total.minor,
        currency=quote.total.currency,
        state=state.value,
        travelers=dump_travelers(travelers),
        seats=[],
        tickets=[],
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return row


def lock_order(session: Session, order_id: UUID) -> MerchantOrderRow | None:
    return session.scalar(select(MerchantOrderRow).where(MerchantOrderRow.id == order_id).with_for_update())


def lock_current_order(session: Session, reference: UUID) -> MerchantOrderRow | None:
    """The order of this reference that was not rejected, locked."""
    query = select(MerchantOrderRow).where(
        MerchantOrderRow.reference == reference, MerchantOrderRow.state != OrderState.REJECTED.value
    )
    return session.scalar(query.with_for_update())


def latest_order(session: Session, reference: UUID) -> MerchantOrderRow | None:
    query = select(MerchantOrderRow).where(MerchantOrderRow.reference == reference)
    return session.scalar(query.order_by(MerchantOrderRow.id.desc()).limit(1))


def order_of_row(row: MerchantOrderRow) -> Order:
    return Order(
        id=OrderId(row.id),
        reference=row.reference,
        quote_id=QuoteId(row.quote_id),
        hold_id=None if row.hold_id is None else HoldId(row.hold_id),
        total=Money(row.amount, row.currency),
        state=OrderState(row.state),
        merchant_ref=row.merchant_ref,
        seats=_SEATS.validate_python(row.seats),
        tickets=_TICKETS.validate_python(row.tickets),
        reason=row.reason,
        new_total=None if row.new_amount is None else Money(row.new_amount, row.currency),
    )


# --- documents ------------------------------------------------------------------------------------------------------


def dump_travelers(travelers: Sequence[Traveler]) -> list[Any]:
    return _TRAVELERS.dump_python(tuple(travelers), mode="json")  # type: ignore[no-any-return]


def load_travelers(document: list[Any]) -> tuple[Traveler, ...]:
    return _TRAVELERS.validate_python(document)


def dump_seats(seats: Sequence[Seat]) -> list[Any]:
    return _SEATS.dump_python(tuple(seats), mode="json")  # type: ignore[no-any-return]


def dump_tickets(tickets: Sequence[Ticket]) -> list[Any]:
    return _TICKETS.dump_python(tuple(tickets), mode="json")  # type: ignore[no-any-return]


def rows_naming(session: Session, member_id: UUID) -> list[HoldRow | MerchantOrderRow]:
    """Holds and orders whose travelers name this member, locked."""
    needle = [{"member_id": str(member_id)}]
    holds = session.scalars(select(HoldRow).where(HoldRow.travelers.op("@>")(needle)).with_for_update())
    orders = session.scalars(
        select(MerchantOrderRow).where(MerchantOrderRow.travelers.op("@>")(needle)).with_for_update()
    )
    return [*holds, *orders]
