"""Every query of this room."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, load_only

from groupbook.discounts.domain import Card
from groupbook.discounts.models import EntitlementRow, RuleCatalogueRow, TravelerRow
from groupbook.kit.database import merchant_of
from groupbook.kit.ids import EntitlementId, new_id

_IN_FORCE = (RuleCatalogueRow.starts_on.desc(), RuleCatalogueRow.version.desc())


def catalogue_in_force(session: Session, on: date) -> tuple[UUID, int] | None:
    """Id and version of the rules for travel on that day; of two that start together the later version."""
    query = select(RuleCatalogueRow.id, RuleCatalogueRow.version).where(RuleCatalogueRow.starts_on <= on)
    row = session.execute(query.order_by(*_IN_FORCE).limit(1)).first()
    return None if row is None else (row.id, row.version)


def catalogues_in_force(session: Session, days: Collection[date]) -> dict[date, tuple[UUID, int] | None]:
    """`catalogue_in_force` for several days, in one query: a merchant has few versions."""
    rows = session.execute(
        select(RuleCatalogueRow.starts_on, RuleCatalogueRow.id, RuleCatalogueRow.version).order_by(*_IN_FORCE)
    ).all()
    return {day: next(((id, version) for starts_on, id, version in rows if starts_on <= day), None) for day in days}


def catalogue(session: Session, id: UUID) -> RuleCatalogueRow:
    return session.scalars(select(RuleCatalogueRow).where(RuleCatalogueRow.id == id)).one()


def add_catalogue(
    session: Session, document: dict[str, Any], *, rule_count: int, starts_on: date, now: datetime
) -> RuleCatalogueRow:
    merchant_id = merchant_of(session)
    # Two uploads at once take their numbers one after the other.
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 4))"), {"key": f"rules:{merchant_id}"})
    newest = session.scalar(select(func.max(RuleCatalogueRow.version)))
    row = RuleCatalogueRow(
        merchant_id=merchant_id,
        id=new_id(),
        version=(newest or 0) + 1,
        starts_on=starts_on,
        document=document,
        rule_count=rule_count,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def travelers(session: Session, subjects: Collection[UUID]) -> dict[UUID, TravelerRow]:
    rows = session.scalars(select(TravelerRow).where(TravelerRow.subject.in_(subjects)))
    return {row.subject: row for row in rows}


def cards(session: Session, subjects: Collection[UUID]) -> dict[UUID, list[Card]]:
    query = select(EntitlementRow).where(EntitlementRow.subject.in_(subjects))
    columns = load_only(
        EntitlementRow.subject,
        EntitlementRow.card_type,
        EntitlementRow.number,
        EntitlementRow.valid_from,
        EntitlementRow.valid_until,
        EntitlementRow.travel_class,
    )
    found: dict[UUID, list[Card]] = {}
    for row in session.scalars(query.options(columns).order_by(EntitlementRow.position, EntitlementRow.id)):
        card = Card(row.card_type, row.number, row.valid_from, row.valid_until, row.travel_class)
        found.setdefault(row.subject, []).append(card)
    return found


def replace(
    session: Session, subject: UUID, cards: Sequence[Card], age: int | None, stated_on: date, now: datetime
) -> None:
    """What the subject has from now on, in one statement per table; the last writer wins as a whole."""
    merchant_id = merchant_of(session)
    profile = {"age": age, "age_stated_on": None if age is None else stated_on, "changed_at": now}
    put = insert(TravelerRow).values(merchant_id=merchant_id, subject=subject, **profile)
    session.execute(put.on_conflict_do_update(index_elements=["merchant_id", "subject"], set_=profile))
    session.execute(delete(EntitlementRow).where(EntitlementRow.subject == subject))
    session.add_all(
        EntitlementRow(
            merchant_id=merchant_id,
            id=EntitlementId(new_id()),
            subject=subject,
            position=position,
            card_type=card.type,
            number=card.number,
            valid_from=card.valid_from,
            valid_until=card.valid_until,
            travel_class=card.travel_class,
            created_at=now,
        )
        for position, card in enumerate(cards)
    )
    session.flush()


def move(session: Session, source: UUID, target: UUID) -> None:
    """Give everything of one subject to another that has nothing of the kind yet."""
    has_profile = select(TravelerRow.subject).where(TravelerRow.subject == target).exists()
    session.execute(update(TravelerRow).where(TravelerRow.subject == source, ~has_profile).values(subject=target))
    has_cards = select(EntitlementRow.id).where(EntitlementRow.subject == target).exists()
    session.execute(update(EntitlementRow).where(EntitlementRow.subject == source, ~has_cards).values(subject=target))
    forget(session, source)


def forget(session: Session, subject: UUID) -> None:
    session.execute(delete(TravelerRow).where(TravelerRow.subject == subject))
    session.execute(delete(EntitlementRow).where(EntitlementRow.subject == subject))
    session.expire_all()
