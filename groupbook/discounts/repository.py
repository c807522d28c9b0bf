"""Every query of this room."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, literal, outerjoin, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased, load_only

from groupbook.discounts.domain import (
    Card,
    CodeDraft,
    CodeUse,
    DiscountCode,
    Redemption,
    RedemptionState,
    code_key,
)
from groupbook.discounts.models import (
    DiscountCodeRow,
    EntitlementRow,
    HeldCodeRow,
    RedemptionRow,
    RuleCatalogueRow,
    RuleWithdrawalRow,
    TravelerRow,
)
from groupbook.discounts.versions import VersionRow
from groupbook.kit.database import merchant_of
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import CodeId, EntitlementId, RedemptionId, new_id
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer

_COUNTING: Final = (RedemptionState.RESERVED.value, RedemptionState.REDEEMED.value)
_FRESH: Final = {"populate_existing": True}
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
        EntitlementRow.number,
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
            mark=row.number_mark.hex() if row.number_mark else row.number,
        )
        found.setdefault(row.subject, []).append(card)
    return found


def _number(row: EntitlementRow, sealer: Sealer) -> str | None:
    if row.sealed_number is None:
        return row.number
    return sealer.open(_number_place(row.id), row.sealed_number).decode("utf-8")


def _number_place(id: UUID) -> str:
    """Where a number is sealed: a seal copied to another card does not open."""
    return f"entitlement:{id}"


def _seal_number(row: EntitlementRow, number: str, sealer: Sealer | None) -> None:
    if sealer is None:
        raise InvariantBroken(what="a card number without a key to seal it")
    secret = number.encode("utf-8")
    row.number = None
    row.sealed_number = sealer.seal(_number_place(row.id), secret)
    # Equal numbers of one type at one merchant have equal marks, and no others do.
    row.number_mark = sealer.mark(f"entitlement:{row.merchant_id}:{row.card_type}", secret)


def seal_numbers(session: Session, sealer: Sealer, *, limit: int) -> int:
    """Seal numbers that were stored as typed; those of one card together, so that they stay one card."""
    unsealed = select(EntitlementRow).where(EntitlementRow.number.is_not(None))
    rows = session.scalars(
        unsealed.order_by(EntitlementRow.card_type, EntitlementRow.number, EntitlementRow.id)
        .limit(limit)
        .with_for_update()
    ).all()
    for row in rows:
        _seal_number(row, row.number or "", sealer)
    session.flush()
    return len(rows)


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
    move_codes(session, source, target)
    forget(session, source)


def forget(session: Session, subject: UUID) -> None:
    session.execute(delete(TravelerRow).where(TravelerRow.subject == subject))
    session.execute(delete(EntitlementRow).where(EntitlementRow.subject == subject))
    forget_codes(session, subject)
    session.expire_all()


# --- codes ----------------------------------------------------------------------------------------------------------


def add_code(session: Session, draft: CodeDraft, now: datetime) -> DiscountCode | None:
    """None: there is one of that text."""
    put = insert(DiscountCodeRow).values(
        merchant_id=merchant_of(session),
        id=CodeId(new_id()),
        key=code_key(draft.text),
        uses=0,
        created_at=now,
        **asdict(draft),
    )
    row = session.scalar(put.on_conflict_do_nothing(index_elements=["merchant_id", "key"]).returning(DiscountCodeRow))
    return None if row is None else _code(row)


def find_code(session: Session, id: UUID) -> DiscountCode | None:
    row = session.scalar(select(DiscountCodeRow).where(DiscountCodeRow.id == id).execution_options(**_FRESH))
    return None if row is None else _code(row)


def find_code_by_key(session: Session, key: str) -> DiscountCode | None:
    """`key` is what `code_key` makes of a text."""
    row = session.scalar(select(DiscountCodeRow).where(DiscountCodeRow.key == key).execution_options(**_FRESH))
    return None if row is None else _code(row)


def page_codes(session: Session, after: UUID | None, limit: int) -> list[DiscountCode]:
    query = select(DiscountCodeRow).order_by(DiscountCodeRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(DiscountCodeRow.id < after)
    return [_code(row) for row in session.scalars(query.execution_options(**_FRESH))]


def disable_code(session: Session, id: UUID, now: datetime) -> None:
    """The first time counts."""
    off = update(DiscountCodeRow).where(DiscountCodeRow.id == id, DiscountCodeRow.disabled_at.is_(None))
    session.execute(off.values(disabled_at=now), execution_options={"synchronize_session": False})


def lock_code(session: Session, id: UUID) -> DiscountCode | None:
    """The code with its count, to be changed by this transaction alone until it ends."""
    query = select(DiscountCodeRow).where(DiscountCodeRow.id == id).with_for_update(key_share=True)
    row = session.scalar(query.execution_options(**_FRESH))
    return None if row is None else _code(row)


def held_codes(session: Session, subjects: Collection[UUID]) -> list[tuple[UUID, DiscountCode, int]]:
    """Who holds which code and has used it how often, in the order in which they were entered."""
    used = (
        select(func.count())
        .where(
            RedemptionRow.merchant_id == HeldCodeRow.merchant_id,
            RedemptionRow.code_id == HeldCodeRow.code_id,
            RedemptionRow.subject == HeldCodeRow.subject,
            RedemptionRow.state.in_(_COUNTING),
        )
        .scalar_subquery()
    )
    query = (
        select(HeldCodeRow.subject, DiscountCodeRow, used)
        .join(
            DiscountCodeRow,
            (DiscountCodeRow.merchant_id == HeldCodeRow.merchant_id) & (DiscountCodeRow.id == HeldCodeRow.code_id),
        )
        .where(HeldCodeRow.subject.in_(subjects))
        .order_by(HeldCodeRow.added_at, HeldCodeRow.code_id)
    )
    rows = session.execute(query.execution_options(**_FRESH)).all()
    return [(subject, _code(row), count) for subject, row, count in rows]


def hold_code(session: Session, subject: UUID, id: UUID, now: datetime) -> None:
    """Holding it twice is holding it once."""
    put = insert(HeldCodeRow).values(merchant_id=merchant_of(session), subject=subject, code_id=id, added_at=now)
    session.execute(put.on_conflict_do_nothing())


def drop_code(session: Session, subject: UUID, id: UUID) -> bool:
    gone = delete(HeldCodeRow).where(HeldCodeRow.subject == subject, HeldCodeRow.code_id == id)
    return session.scalar(gone.returning(HeldCodeRow.code_id)) is not None


def uses_by(session: Session, code_id: UUID, subject: UUID) -> int:
    """How often this subject uses the code up. Exact for whoever has locked the code."""
    query = select(func.count()).where(
        RedemptionRow.code_id == code_id, RedemptionRow.subject == subject, RedemptionRow.state.in_(_COUNTING)
    )
    return session.execute(query).scalar_one()


def add_redemption(session: Session, reference: UUID, subject: UUID, use: CodeUse, now: datetime) -> None:
    """Reserve one use and count it in the code's row, which the caller has locked."""
    put = insert(RedemptionRow).values(
        merchant_id=merchant_of(session),
        id=RedemptionId(new_id()),
        code_id=use.code_id,
        reference=reference,
        subject=subject,
        state=RedemptionState.RESERVED.value,
        saved=use.saved.minor,
        currency=use.saved.currency,
        reserved_at=now,
    )
    session.execute(put)
    count(session, use.code_id, 1)


def counts_already(session: Session, reference: UUID, subject: UUID, code_id: UUID) -> bool:
    query = select(RedemptionRow.id).where(
        RedemptionRow.reference == reference,
        RedemptionRow.code_id == code_id,
        RedemptionRow.subject == subject,
        RedemptionRow.state.in_(_COUNTING),
    )
    return session.scalar(query) is not None


def redeem(session: Session, reference: UUID, now: datetime) -> None:
    reserved = update(RedemptionRow).where(
        RedemptionRow.reference == reference, RedemptionRow.state == RedemptionState.RESERVED.value
    )
    changes = {"state": RedemptionState.REDEEMED.value, "redeemed_at": now}
    session.execute(reserved.values(**changes), execution_options={"synchronize_session": False})


def release(session: Session, reference: UUID, now: datetime) -> list[UUID]:
    """Give back what this reference still counts; the codes of what was given back, once per use."""
    counting = update(RedemptionRow).where(RedemptionRow.reference == reference, RedemptionRow.state.in_(_COUNTING))
    given = counting.values(state=RedemptionState.RELEASED.value, released_at=now).returning(RedemptionRow.code_id)
    return list(session.scalars(given, execution_options={"synchronize_session": False}))


def count(session: Session, code_id: UUID, uses: int) -> None:
    changed = update(DiscountCodeRow).where(DiscountCodeRow.id == code_id).values(uses=DiscountCodeRow.uses + uses)
    session.execute(changed, execution_options={"synchronize_session": False})


def page_redemptions(session: Session, code_id: UUID, after: UUID | None, limit: int) -> list[Redemption]:
    query = select(RedemptionRow).where(RedemptionRow.code_id == code_id)
    if after is not None:
        query = query.where(RedemptionRow.id < after)
    rows = session.scalars(query.order_by(RedemptionRow.id.desc()).limit(limit).execution_options(**_FRESH))
    return [
        Redemption(
            id=RedemptionId(row.id),
            code_id=CodeId(row.code_id),
            reference=row.reference,
            state=RedemptionState(row.state),
            saved=Money(row.saved, row.currency),
            reserved_at=row.reserved_at,
            redeemed_at=row.redeemed_at,
            released_at=row.released_at,
        )
        for row in rows
    ]


def _code(row: DiscountCodeRow) -> DiscountCode:
    draft = CodeDraft(
        text=row.text,
        rule=row.rule,
        owner=row.owner,
        uses_max=row.uses_max,
        uses_per_person_max=row.uses_per_person_max,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )
    return DiscountCode(CodeId(row.id), draft, row.uses, row.created_at, row.disabled_at)


def move_codes(session: Session, source: UUID, target: UUID) -> None:
    """Codes and what they were used for follow; what the target has already it keeps once."""
    held = select(HeldCodeRow.merchant_id, literal(target), HeldCodeRow.code_id, HeldCodeRow.added_at)
    put = insert(HeldCodeRow).from_select(
        ["merchant_id", "subject", "code_id", "added_at"], held.where(HeldCodeRow.subject == source)
    )
    session.execute(put.on_conflict_do_nothing())
    own = aliased(RedemptionRow)
    has_own = (
        select(own.id)
        .where(own.reference == RedemptionRow.reference, own.code_id == RedemptionRow.code_id, own.subject == target)
        .exists()
    )
    moved = update(RedemptionRow).where(RedemptionRow.subject == source, ~has_own).values(subject=target)
    session.execute(moved, execution_options={"synchronize_session": False})


def forget_codes(session: Session, subject: UUID) -> None:
    """What was used stays counted, by nobody. A private code stays private, and there is nobody left to use it."""
    nobody = func.gen_random_uuid()
    session.execute(delete(HeldCodeRow).where(HeldCodeRow.subject == subject))
    for column in (RedemptionRow.subject, DiscountCodeRow.owner):
        anonymous = update(column.class_).where(column == subject).values({column.key: nobody})
        session.execute(anonymous, execution_options={"synchronize_session": False})
