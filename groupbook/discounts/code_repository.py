"""Every query and lock for discount codes: the merchant's, who holds them, and what used them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from groupbook.discounts.domain import (
    CodeDraft,
    CodeLimits,
    CodeUse,
    DiscountCode,
    Redemption,
    RedemptionState,
    code_key,
)
from groupbook.discounts.models import DiscountCodeRow, HeldCodeRow, RedemptionRow
from groupbook.kit.database import merchant_of, query
from groupbook.kit.ids import CodeId, RedemptionId, new_id
from groupbook.kit.money import Money

_COUNTING: Final = (RedemptionState.RESERVED.value, RedemptionState.REDEEMED.value)
_FRESH: Final = {"populate_existing": True}


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


def change_limits(session: Session, id: UUID, limits: CodeLimits) -> None:
    changed = update(DiscountCodeRow).where(DiscountCodeRow.id == id).values(**asdict(limits))
    session.execute(changed, execution_options={"synchronize_session": False})


@query
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


@query
def uses_by(session: Session, code_id: UUID, subject: UUID) -> int:
    """How often this subject uses the code up. Exact for whoever has locked the code."""
    query = select(func.count()).where(
        RedemptionRow.code_id == code_id, RedemptionRow.subject == subject, RedemptionRow.state.in_(_COUNTING)
    )
    return session.execute(query).scalar_one()


@query
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
    # Given back by an earlier price of the same reference, and now used again.
    again = {
        "state": put.excluded.state,
        "saved": put.excluded.saved,
        "reserved_at": put.excluded.reserved_at,
        "released_at": None,
    }
    use_once = put.on_conflict_do_update(
        index_elements=["merchant_id", "reference", "code_id", "subject"],
        set_=again,
        where=RedemptionRow.state == RedemptionState.RELEASED.value,
    )
    session.execute(use_once)
    count(session, use.code_id, 1)


@query
def counts_already(session: Session, reference: UUID, subject: UUID, code_id: UUID) -> bool:
    query = select(RedemptionRow.id).where(
        RedemptionRow.reference == reference,
        RedemptionRow.code_id == code_id,
        RedemptionRow.subject == subject,
        RedemptionRow.state.in_(_COUNTING),
    )
    return session.scalar(query) is not None


@query
def redeem(session: Session, reference: UUID, now: datetime) -> None:
    reserved = update(RedemptionRow).where(
        RedemptionRow.reference == reference, RedemptionRow.state == RedemptionState.RESERVED.value
    )
    changes = {"state": RedemptionState.REDEEMED.value, "redeemed_at": now}
    session.execute(reserved.values(**changes), execution_options={"synchronize_session": False})


@query
def release(session: Session, reference: UUID, now: datetime) -> list[UUID]:
    """Give back what this reference still counts; the codes of what was given back, once per use."""
    counting = update(RedemptionRow).where(RedemptionRow.reference == reference, RedemptionRow.state.in_(_COUNTING))
    given = counting.values(state=RedemptionState.RELEASED.value, released_at=now).returning(RedemptionRow.code_id)
    return list(session.scalars(given, execution_options={"synchronize_session": False}))


@query
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
