"""Every query of this room but those for codes, which are in `code_repository`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, outerjoin, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, load_only

from groupbook.discounts import code_repository
from groupbook.discounts.domain import Card
from groupbook.discounts.models import EntitlementRow, RuleCatalogueRow, RuleWithdrawalRow, TravelerRow
from groupbook.discounts.versions import VersionRow
from groupbook.kit.database import merchant_of
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import EntitlementId, new_id
from groupbook.kit.sealing import Sealer

_IN_FORCE = (RuleCatalogueRow.starts_on.desc(), RuleCatalogueRow.version.desc())
_STANDING = ~select(RuleWithdrawalRow).where(RuleWithdrawalRow.catalogue_id == RuleCatalogueRow.id).exists()


def catalogue_in_force(session: Session, on: date) -> tuple[UUID, int] | None:
    """Id and version of the rules for travel on that day; of two that start together the later version."""
    query = select(RuleCatalogueRow.id, RuleCatalogueRow.version).where(RuleCatalogueRow.starts_on <= on, _STANDING)
    row = session.execute(query.order_by(*_IN_FORCE).limit(1)).first()
    return None if row is None else (row.id, row.version)


def catalogues_to_offer(session: Session, on: date) -> list[UUID]:
    """The rules in force that day and the newest ones, the newest last."""
    found = catalogue_in_force(session, on)
    latest = select(RuleCatalogueRow.id).where(_STANDING).order_by(RuleCatalogueRow.version.desc()).limit(1)
    newest = session.scalar(latest)
    return [id for id in (found[0] if found else None, newest) if id is not None]


def catalogues_in_force(session: Session, days: Collection[date]) -> dict[date, tuple[UUID, int] | None]:
    """`catalogue_in_force` for several days, in one query: a merchant has few versions."""
    rows = session.execute(
        select(RuleCatalogueRow.starts_on, RuleCatalogueRow.id, RuleCatalogueRow.version)
        .where(_STANDING)
        .order_by(*_IN_FORCE)
    ).all()
    return {day: next(((id, version) for starts_on, id, version in rows if starts_on <= day), None) for day in days}


def catalogue(session: Session, id: UUID) -> RuleCatalogueRow:
    return session.scalars(select(RuleCatalogueRow).where(RuleCatalogueRow.id == id)).one()


def catalogue_versions(session: Session) -> list[VersionRow]:
    """Every version, the newest first, without its rules; a merchant has few."""
    withdrawn = outerjoin(RuleCatalogueRow, RuleWithdrawalRow, RuleWithdrawalRow.catalogue_id == RuleCatalogueRow.id)
    columns = (RuleCatalogueRow.id, RuleCatalogueRow.version, RuleCatalogueRow.starts_on)
    rows = session.execute(
        select(*columns, RuleCatalogueRow.rule_count, RuleCatalogueRow.created_at, RuleWithdrawalRow.withdrawn_at)
        .select_from(withdrawn)
        .order_by(RuleCatalogueRow.version.desc())
    )
    return [VersionRow(*row) for row in rows]


def withdraw_catalogue(session: Session, id: UUID, now: datetime) -> None:
    """Twice is once."""
    row = {"merchant_id": merchant_of(session), "catalogue_id": id, "withdrawn_at": now}
    session.execute(insert(RuleWithdrawalRow).values(row).on_conflict_do_nothing())


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


def cards(session: Session, subjects: Collection[UUID], sealer: Sealer | None) -> dict[UUID, list[Card]]:
    """Everybody's cards, in their order; with their numbers only for whoever brings the key."""
    query = select(EntitlementRow).where(EntitlementRow.subject.in_(subjects))
    columns = load_only(
        EntitlementRow.subject,
        EntitlementRow.card_type,
        EntitlementRow.sealed_number,
        EntitlementRow.number_mark,
        EntitlementRow.valid_from,
        EntitlementRow.valid_until,
        EntitlementRow.travel_class,
    )
    found: dict[UUID, list[Card]] = {}
    for row in session.scalars(query.options(columns).order_by(EntitlementRow.position, EntitlementRow.id)):
        card = Card(
            type=row.card_type,
            number=_number(row, sealer) if sealer else None,
            valid_from=row.valid_from,
            valid_until=row.valid_until,
            travel_class=row.travel_class,
            mark=row.number_mark.hex() if row.number_mark else None,
        )
        found.setdefault(row.subject, []).append(card)
    return found


def _number(row: EntitlementRow, sealer: Sealer) -> str | None:
    if row.sealed_number is None:
        return None
    return sealer.open(_number_place(row.id), row.sealed_number).decode("utf-8")


def _number_place(id: UUID) -> str:
    """Where a number is sealed: a seal copied to another card does not open."""
    return f"entitlement:{id}"


def _seal_number(row: EntitlementRow, number: str, sealer: Sealer | None) -> None:
    if sealer is None:
        raise InvariantBroken(what="a card number without a key to seal it")
    secret = number.encode("utf-8")
    row.sealed_number = sealer.seal(_number_place(row.id), secret)
    # Equal numbers of one type at one merchant have equal marks, and no others do.
    row.number_mark = sealer.mark(f"entitlement:{row.merchant_id}:{row.card_type}", secret)


def replace(
    session: Session,
    subject: UUID,
    cards: Sequence[Card],
    age: int | None,
    stated_on: date,
    now: datetime,
    sealer: Sealer | None,
) -> None:
    """What the subject has from now on, in one statement per table; the last writer wins as a whole."""
    merchant_id = merchant_of(session)
    profile = {"age": age, "age_stated_on": None if age is None else stated_on, "changed_at": now}
    put = insert(TravelerRow).values(merchant_id=merchant_id, subject=subject, **profile)
    session.execute(put.on_conflict_do_update(index_elements=["merchant_id", "subject"], set_=profile))
    session.execute(delete(EntitlementRow).where(EntitlementRow.subject == subject))
    for position, card in enumerate(cards):
        row = EntitlementRow(
            merchant_id=merchant_id,
            id=EntitlementId(new_id()),
            subject=subject,
            position=position,
            card_type=card.type,
            valid_from=card.valid_from,
            valid_until=card.valid_until,
            travel_class=card.travel_class,
            created_at=now,
        )
        if card.number is not None:
            _seal_number(row, card.number, sealer)
        session.add(row)
    session.flush()


def move(session: Session, source: UUID, target: UUID) -> None:
    """Give everything of one subject to another that has nothing of the kind yet."""
    has_profile = select(TravelerRow.subject).where(TravelerRow.subject == target).exists()
    session.execute(update(TravelerRow).where(TravelerRow.subject == source, ~has_profile).values(subject=target))
    has_cards = select(EntitlementRow.id).where(EntitlementRow.subject == target).exists()
    session.execute(update(EntitlementRow).where(EntitlementRow.subject == source, ~has_cards).values(subject=target))
    code_repository.move_codes(session, source, target)
    forget(session, source)


def forget(session: Session, subject: UUID) -> None:
    session.execute(delete(TravelerRow).where(TravelerRow.subject == subject))
    session.execute(delete(EntitlementRow).where(EntitlementRow.subject == subject))
    code_repository.forget_codes(session, subject)
    session.expire_all()
