"""Every query and lock of this room, and the only place where its values become rows and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of, query
from groupbook.kit.ids import AmendmentId, HoldId, OccasionId, OfferId, OrderId, QuoteId, new_id
from groupbook.kit.money import Money
from groupbook.offers.domain import (
    HOLD_ENDED,
    ORDER_CONSUMING,
    AmendmentAnswer,
    AmendmentState,
    CancelMember,
    Change,
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
    Recheck,
    RecheckState,
    ReplaceMember,
    Reprice,
    Seat,
    Ticket,
    Traveler,
)
from groupbook.offers.models import (
    HoldRow,
    MerchantAmendmentRow,
    MerchantOrderRow,
    OccasionRow,
    OfferRow,
    QuoteRow,
    RecheckRow,
)

_LEGS: Final = TypeAdapter(tuple[Leg, ...])
_PEOPLE: Final = TypeAdapter(tuple[PersonPrice, ...])
_SEATS: Final = TypeAdapter(tuple[Seat, ...])
_TICKETS: Final = TypeAdapter(tuple[Ticket, ...])
_TRAVELERS: Final = TypeAdapter(tuple[Traveler, ...])


# What this transaction has read or written: a quote never changes, and an offer only as the merchant's new copy of it.
def _known(session: Session) -> dict[UUID, Any]:
    known: dict[UUID, Any] = session.info.setdefault("known_offers", {})
    return known


# --- offers and occasions -------------------------------------------------------------------------------------------


@query
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
    offer = _known(session)[row.id] = offer_of(row)
    return offer


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


@query
def find_offer(session: Session, offer_id: UUID) -> Offer | None:
    if offer_id not in _known(session):
        row = session.scalar(select(OfferRow).where(OfferRow.id == offer_id))
        _known(session)[offer_id] = offer_of(row) if row else None
    offer: Offer | None = _known(session)[offer_id]
    return offer


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
    _known(session)[quote.id] = quote


@query
def find_quote(session: Session, quote_id: UUID) -> Quote | None:
    if quote_id not in _known(session):
        row = session.scalar(select(QuoteRow).where(QuoteRow.id == quote_id))
        _known(session)[quote_id] = quote_of_row(row) if row else None
    quote: Quote | None = _known(session)[quote_id]
    return quote


def quote_of_row(row: QuoteRow) -> Quote:
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


# What this transaction has locked or made, by its id, and the newest hold and order of a reference, by table and
# reference: nobody else changes them now, nor makes a newer one, for whoever asks for the newest works under the lock
# of what the reference belongs to.
def _held(session: Session) -> dict[Any, Any]:
    held: dict[Any, Any] = session.info.setdefault("held_at_merchant", {})
    return held


def _lock(session: Session, table: type[HoldRow] | type[MerchantOrderRow], id: UUID) -> Any:
    if id not in _held(session):
        asked = select(table).where(table.id == id).with_for_update().execution_options(populate_existing=True)
        _held(session)[id] = session.scalar(asked)
    return _held(session)[id]


def _lock_newest(session: Session, table: type[HoldRow] | type[MerchantOrderRow], reference: UUID) -> Any:
    held = _held(session)
    if (table, reference) not in held:
        asked = select(table).where(table.reference == reference).order_by(table.id.desc()).limit(1).with_for_update()
        row = held[table, reference] = session.scalar(asked.execution_options(populate_existing=True))
        if row is not None:
            held[row.id] = row
    return held[table, reference]


def _add(session: Session, row: HoldRow | MerchantOrderRow) -> None:
    session.add(row)
    session.flush()
    _held(session)[row.id] = _held(session)[type(row), row.reference] = row


def add_hold(
    session: Session,
    quote: Quote,
    reference: UUID,
    state: HoldState,
    travelers: Sequence[Traveler],
    *,
    hold_seconds: int,
    placed_by: UUID | None,
    settled: int,
    fee_minor: int,
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
        placed_by=placed_by,
        settled_at_placing=settled,
        settled=settled,
        fee=fee_minor or None,
        seats=[],
        currency=quote.total.currency,
        created_at=now,
        updated_at=now,
    )
    _add(session, row)
    return row


@query
def lock_hold(session: Session, hold_id: UUID) -> HoldRow | None:
    row: HoldRow | None = _lock(session, HoldRow, hold_id)
    return row


@query
def lock_open_holds(session: Session, reference: UUID) -> list[HoldRow]:
    """Holds of this reference that have not ended, locked, oldest first."""
    query = select(HoldRow).where(
        HoldRow.reference == reference, HoldRow.state.not_in([state.value for state in HOLD_ENDED])
    )
    return list(session.scalars(query.order_by(HoldRow.id).with_for_update()))


@query
def latest_hold(session: Session, reference: UUID) -> HoldRow | None:
    if (HoldRow, reference) in _held(session):
        return lock_latest_hold(session, reference)
    return session.scalar(select(HoldRow).where(HoldRow.reference == reference).order_by(HoldRow.id.desc()).limit(1))


@query
def holds_of(session: Session, reference: UUID) -> list[HoldRow]:
    """Every hold of this reference, oldest first."""
    return list(session.scalars(select(HoldRow).where(HoldRow.reference == reference).order_by(HoldRow.id)))


@query
def lock_latest_hold(session: Session, reference: UUID) -> HoldRow | None:
    row: HoldRow | None = _lock_newest(session, HoldRow, reference)
    return row


@query
def lock_overdue_holds(session: Session, now: datetime, limit: int) -> list[HoldRow]:
    """Kept holds whose time is over, except those an order may be consuming right now. One that is being extended ends
    when even the time that was asked for is over: until then the answer tells.
    """
    consuming = select(MerchantOrderRow.id).where(
        MerchantOrderRow.hold_id == HoldRow.id,
        MerchantOrderRow.state.in_([state.value for state in ORDER_CONSUMING]),
    )
    is_over = or_(
        and_(HoldRow.state == HoldState.LIVE.value, HoldRow.expires_at <= now),
        and_(HoldRow.state == HoldState.EXTENDING.value, HoldRow.asked_until <= now),
    )
    query = (
        select(HoldRow)
        .where(is_over, ~consuming.exists())
        .order_by(HoldRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(session.scalars(query))


@query
def is_being_consumed(session: Session, hold_id: UUID) -> bool:
    """Whether an order may be taking this hold's places."""
    states = [state.value for state in ORDER_CONSUMING]
    found = select(MerchantOrderRow.id).where(MerchantOrderRow.hold_id == hold_id, MerchantOrderRow.state.in_(states))
    return session.scalar(found.limit(1)) is not None


@query
def lock_caps(session: Session, offer_id: UUID, placed_by: UUID | None) -> None:
    """One placing of a hold at a time for this offer, and for this organizer: else two would both find room."""
    names = [f"hold of offer {offer_id.hex}", *([f"hold of organizer {placed_by.hex}"] if placed_by else [])]
    session.execute(select(*(func.pg_advisory_xact_lock(func.hashtextextended(name, 0)) for name in names)))


@query
def unpaid_holds(session: Session, *, offer_id: UUID, placed_by: UUID | None, since: datetime) -> list[HoldRow]:
    """Holds of this offer or of this organizer for which nobody has paid: the open ones, and those that came to
    nothing `since` then.
    """
    mine = HoldRow.offer_id == offer_id
    if placed_by is not None:
        mine = or_(mine, HoldRow.placed_by == placed_by)
    ended = [state.value for state in HOLD_ENDED]
    barren = HoldRow.state.in_([HoldState.EXPIRED.value, HoldState.RELEASED.value])
    counts = or_(HoldRow.state.not_in(ended), and_(barren, HoldRow.updated_at >= since))
    return list(session.scalars(select(HoldRow).where(mine, HoldRow.settled == 0, counts).order_by(HoldRow.id)))


def hold_of_row(row: HoldRow) -> Hold:
    return Hold(
        id=HoldId(row.id),
        reference=row.reference,
        quote_id=QuoteId(row.quote_id),
        offer_id=OfferId(row.offer_id),
        state=HoldState(row.state),
        merchant_ref=row.merchant_ref,
        placed_at=row.placed_at,
        expires_at=row.expires_at,
        seats=_SEATS.validate_python(row.seats),
        fee=None if row.fee is None else Money(row.fee, row.currency),
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
    _add(session, row)
    return row


@query
def lock_order(session: Session, order_id: UUID) -> MerchantOrderRow | None:
    row: MerchantOrderRow | None = _lock(session, MerchantOrderRow, order_id)
    return row


@query
def lock_latest_order(session: Session, reference: UUID) -> MerchantOrderRow | None:
    row: MerchantOrderRow | None = _lock_newest(session, MerchantOrderRow, reference)
    return row


def lock_current_order(session: Session, reference: UUID) -> MerchantOrderRow | None:
    """The order of this reference that was not rejected, locked. Only behind a rejected one another is made."""
    row: MerchantOrderRow | None = lock_latest_order(session, reference)
    return None if row is None or row.state == OrderState.REJECTED.value else row


@query
def orders_of(session: Session, reference: UUID) -> list[MerchantOrderRow]:
    """Every order of this reference, rejected ones too, oldest first."""
    found = select(MerchantOrderRow).where(MerchantOrderRow.reference == reference)
    return list(session.scalars(found.order_by(MerchantOrderRow.id)))


@query
def latest_order(session: Session, reference: UUID) -> MerchantOrderRow | None:
    if (MerchantOrderRow, reference) in _held(session):
        return lock_latest_order(session, reference)
    query = select(MerchantOrderRow).where(MerchantOrderRow.reference == reference)
    return session.scalar(query.order_by(MerchantOrderRow.id.desc()).limit(1))


@query
def lock_standing_orders(
    session: Session, *, now: datetime, read_before: datetime, limit: int
) -> list[MerchantOrderRow]:
    """Orders with tickets whose departure is ahead, not read or changed since `read_before`; the longest ago first."""
    read_at = func.coalesce(MerchantOrderRow.read_at, MerchantOrderRow.updated_at)
    query = (
        select(MerchantOrderRow)
        .join(
            QuoteRow,
            and_(QuoteRow.merchant_id == MerchantOrderRow.merchant_id, QuoteRow.id == MerchantOrderRow.quote_id),
        )
        .join(OfferRow, and_(OfferRow.merchant_id == QuoteRow.merchant_id, OfferRow.id == QuoteRow.offer_id))
        .where(
            MerchantOrderRow.state == OrderState.CONFIRMED.value,
            read_at <= read_before,
            OfferRow.departs_at > now,
            func.jsonb_array_length(MerchantOrderRow.tickets) > 0,
        )
        .order_by(read_at, MerchantOrderRow.id)
        .limit(limit)
        .with_for_update(of=MerchantOrderRow, skip_locked=True)
    )
    return list(session.scalars(query))


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


# --- changes of an order --------------------------------------------------------------------------------------------


def add_amendment(
    session: Session, amendment_id: UUID, order: MerchantOrderRow, change: Change, total_max: Money, now: datetime
) -> MerchantAmendmentRow:
    row = MerchantAmendmentRow(
        merchant_id=merchant_of(session),
        id=amendment_id,
        reference=order.reference,
        order_id=order.id,
        kind=_KINDS[type(change)],
        member_id=None if isinstance(change, Reprice) else change.member_id,
        travelers=dump_travelers([change.by] if isinstance(change, ReplaceMember) else []),
        amount_max=total_max.minor,
        currency=total_max.currency,
        state=AmendmentState.ASKED.value,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return row


@query
def find_amendment(session: Session, amendment_id: UUID) -> MerchantAmendmentRow | None:
    return session.scalar(select(MerchantAmendmentRow).where(MerchantAmendmentRow.id == amendment_id))


_KINDS: Final[Mapping[type[Change], str]] = {CancelMember: "cancel", ReplaceMember: "replace", Reprice: "reprice"}


def change_of_row(row: MerchantAmendmentRow) -> Change:
    if row.member_id is None:
        return Reprice(Money(row.amount_max, row.currency))
    if row.kind == _KINDS[CancelMember]:
        return CancelMember(row.member_id)
    (by,) = load_travelers(row.travelers)
    return ReplaceMember(row.member_id, by)


def amendment_of_row(row: MerchantAmendmentRow) -> AmendmentAnswer:
    def money(minor: int | None) -> Money | None:
        return None if minor is None else Money(minor, row.currency)

    return AmendmentAnswer(
        id=AmendmentId(row.id),
        reference=row.reference,
        order_id=OrderId(row.order_id),
        change=change_of_row(row),
        state=AmendmentState(row.state),
        total_max=Money(row.amount_max, row.currency),
        total=money(row.amount),
        reason=row.reason,
        new_total=money(row.new_amount),
    )


# --- second looks ---------------------------------------------------------------------------------------------------


def add_recheck(session: Session, quote: Quote, reference: UUID, now: datetime) -> RecheckRow:
    row = RecheckRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        reference=reference,
        quote_id=quote.id,
        state=RecheckState.PENDING.value,
        currency=quote.total.currency,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return row


@query
def find_recheck(session: Session, recheck_id: UUID) -> RecheckRow | None:
    return session.scalar(select(RecheckRow).where(RecheckRow.id == recheck_id))


@query
def latest_recheck(session: Session, reference: UUID) -> RecheckRow | None:
    newest = select(RecheckRow).where(RecheckRow.reference == reference).order_by(RecheckRow.id.desc())
    return session.scalar(newest.limit(1))


def recheck_of_row(row: RecheckRow) -> Recheck:
    return Recheck(
        reference=row.reference,
        quote_id=QuoteId(row.quote_id),
        state=RecheckState(row.state),
        total=None if row.amount is None else Money(row.amount, row.currency),
        at=row.created_at,
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


@query
def asked_besides(session: Session, reference: UUID) -> dict[UUID, str]:
    """What else the merchant was asked about: changes of an order and second looks, by their prefix."""
    changes = select(MerchantAmendmentRow.id).where(MerchantAmendmentRow.reference == reference)
    looks = select(RecheckRow.id).where(RecheckRow.reference == reference)
    return dict.fromkeys(session.scalars(changes), "amd") | dict.fromkeys(session.scalars(looks), "rck")


@query
def rows_naming(session: Session, member_id: UUID) -> list[HoldRow | MerchantOrderRow | MerchantAmendmentRow]:
    """Holds, orders and changes whose travelers name this member, locked."""
    needle = [{"member_id": str(member_id)}]
    holds = session.scalars(select(HoldRow).where(HoldRow.travelers.op("@>")(needle)).with_for_update())
    orders = session.scalars(
        select(MerchantOrderRow).where(MerchantOrderRow.travelers.op("@>")(needle)).with_for_update()
    )
    changes = session.scalars(
        select(MerchantAmendmentRow).where(MerchantAmendmentRow.travelers.op("@>")(needle)).with_for_update()
    )
    return [*holds, *orders, *changes]
