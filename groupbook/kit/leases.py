"""Rows that somebody has to send: taken for a while by one sender, and free again when that one dies.

`due_at` is on the merchant's clock, the lease on plain time. Nothing is sent twice at once: whoever claims a row holds
it until `lease_until`, and records what came of it under the row's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from groupbook.kit.database import TenantRow, merchant_of

PENDING: Final = "pending"


class LeasedRow(TenantRow):
    """What a table of such rows has in common. Only what is `pending` is sent."""

    state: Mapped[str] = mapped_column(Text)
    due_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]


Row = TypeVar("Row", bound=LeasedRow)


def claim(
    session: Session, table: type[Row], id: UUID, *, now: datetime, system_now: datetime, lease_seconds: float
) -> Row | None:
    """The row, ours for a while; None when it is not due or somebody else is at it."""
    query = select(table).where(table.id == id, _is_free(session, table, now=now, system_now=system_now))
    row = session.scalar(query.with_for_update(skip_locked=True))
    if row is not None:
        row.lease_until = system_now + timedelta(seconds=lease_seconds)
    return row


def lock(session: Session, table: type[Row], id: UUID) -> Row | None:
    """The row, to record what came of it."""
    return session.scalar(
        select(table).where(table.merchant_id == merchant_of(session), table.id == id).with_for_update()
    )


def due(session: Session, table: type[Row], *, now: datetime, system_now: datetime, limit: int) -> list[UUID]:
    """What is to be sent now, the longest due first."""
    free = _is_free(session, table, now=now, system_now=system_now)
    return list(session.scalars(select(table.id).where(free).order_by(table.due_at, table.id).limit(limit)))


def send_each(ids: Iterable[UUID], send: Callable[[UUID], bool]) -> int:
    """Send one after the other, each in transactions of its own; how many attempts were made.

    One that breaks in an unforeseen way keeps nobody behind it waiting: it is heard of when all had their turn.

    Raises:
        ExceptionGroup: what broke, with the row's id as a note.
    """
    count, faults = 0, []
    for id in ids:
        try:
            count += send(id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next reader waits for something else
            error.add_note(f"sending: {id}")
            faults.append(error)
    if faults:
        raise ExceptionGroup("rows not sent", faults)
    return count


def _is_free(session: Session, table: type[Row], *, now: datetime, system_now: datetime) -> ColumnElement[bool]:
    return and_(
        table.merchant_id == merchant_of(session),
        table.state == PENDING,
        table.due_at <= now,
        or_(table.lease_until.is_(None), table.lease_until <= system_now),
    )
