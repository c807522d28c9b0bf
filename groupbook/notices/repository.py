"""Every query and lock of the notices room."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of, new_rows
from groupbook.kit.ids import MemberId, NoticeId, TripId, new_id
from groupbook.notices.domain import ONLY_BY_MAIL, Notice, NoticeCode, NoticeState
from groupbook.notices.models import NoticeRow

_VISIBLE = (NoticeState.PENDING, NoticeState.SENT, NoticeState.SHOWN, NoticeState.FAILED)


_NEW_NOTICES: Final = new_rows(NoticeRow).on_conflict_do_nothing().returning(NoticeRow.member_id, NoticeRow.id)


def insert_notices(
    session: Session,
    *,
    fact_id: UUID,
    trip_id: TripId,
    members: Collection[MemberId],
    code: NoticeCode,
    params: Mapping[str, Any],
    now: datetime,
    told_at: datetime,
    replaced: Collection[MemberId],
) -> dict[MemberId, NoticeId]:
    """One for each of these members who was not yet told of this fact. `told_at` is when the fact was recorded."""
    rows = [
        {
            "merchant_id": merchant_of(session),
            "id": new_id(),
            "fact_id": fact_id,
            "trip_id": trip_id,
            "member_id": member_id,
            "code": code,
            "params": dict(params),
            "state": NoticeState.REPLACED if member_id in replaced else NoticeState.PENDING,
            "attempts": 0,
            "due_at": None if member_id in replaced else now,
            "created_at": told_at,
        }
        for member_id in sorted(members)
    ]
    return {MemberId(member_id): NoticeId(id) for member_id, id in session.execute(_NEW_NOTICES, rows)}


def outdated(
    session: Session, *, trip_id: TripId, members: Collection[MemberId], by: Collection[NoticeCode], told_at: datetime
) -> set[MemberId]:
    """Whose notice something recorded later already took the place of (facts come in no promised order)."""
    query = select(NoticeRow.member_id).where(
        NoticeRow.merchant_id == merchant_of(session),
        NoticeRow.trip_id == trip_id,
        NoticeRow.member_id.in_(members),
        NoticeRow.code.in_([code.value for code in by]),
        NoticeRow.created_at > told_at,
    )
    return {MemberId(member_id) for member_id in session.scalars(query)} if by else set()


def replace(
    session: Session,
    *,
    trip_id: TripId,
    members: Collection[MemberId],
    codes: Collection[NoticeCode],
    told_at: datetime,
) -> None:
    """What these were told before `told_at` and is no longer true is neither shown nor sent."""
    if not codes or not members:
        return
    session.execute(
        update(NoticeRow)
        .where(
            NoticeRow.merchant_id == merchant_of(session),
            NoticeRow.trip_id == trip_id,
            NoticeRow.member_id.in_(members),
            NoticeRow.code.in_([code.value for code in codes]),
            NoticeRow.created_at < told_at,
            NoticeRow.state.in_(_VISIBLE),
        )
        .values(state=NoticeState.REPLACED, due_at=None)
    )


def visible(session: Session, member_id: MemberId, *, limit: int) -> list[Notice]:
    rows = session.scalars(
        select(NoticeRow)
        .where(
            NoticeRow.merchant_id == merchant_of(session),
            NoticeRow.member_id == member_id,
            NoticeRow.state.in_(_VISIBLE),
            NoticeRow.code.not_in(ONLY_BY_MAIL),
        )
        .order_by(NoticeRow.id.desc())
        .limit(limit)
    )
    return [notice(row) for row in rows]


def mark_seen(session: Session, member_id: MemberId, now: datetime) -> None:
    session.execute(
        update(NoticeRow)
        .where(
            NoticeRow.merchant_id == merchant_of(session),
            NoticeRow.member_id == member_id,
            NoticeRow.seen_at.is_(None),
        )
        .values(seen_at=now)
    )


def delete_of(session: Session, member_ids: Collection[UUID]) -> None:
    session.execute(
        delete(NoticeRow).where(NoticeRow.merchant_id == merchant_of(session), NoticeRow.member_id.in_(member_ids))
    )


def notice(row: NoticeRow) -> Notice:
    return Notice(
        id=NoticeId(row.id),
        trip_id=TripId(row.trip_id),
        member_id=MemberId(row.member_id),
        code=NoticeCode(row.code),
        params=row.params,
        state=NoticeState(row.state),
        channel=row.channel,
        created_at=row.created_at,
        sent_at=row.sent_at,
        seen_at=row.seen_at,
    )
