"""Time: the database's, so that all hosts agree; shifted per merchant in test mode, so that a sandbox can travel.

`now` decides and dates; `system_now` is for leases, keys and signatures, which no merchant may shift. Both are read
with the transaction's first message and run on from there, so asking costs nothing and waiting makes nothing stale.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, text
from sqlalchemy.orm import Session

from groupbook.kit.database import clock_of, merchant_of, query


@query
def now(session: Session) -> datetime:
    """The instant by which this merchant's decisions are made: aware, UTC.

    Raises:
        InvariantBroken: the transaction is not bound to a merchant.
    """
    merchant_of(session)
    clock = clock_of(session)
    return clock.now() + clock.offset


@query
def system_now(session: Session) -> datetime:
    """Plain database time: aware, UTC."""
    return clock_of(session).now()


@query
def server_now(session: Session) -> ColumnElement[datetime]:
    """Plain database time, in the question itself: for the first of a transaction, where nobody knows the time yet."""
    return func.statement_timestamp()


def ahead(session: Session) -> timedelta:
    """How far this merchant's clock runs ahead of real time; whole seconds, as it was set."""
    return timedelta(seconds=round((now(session) - system_now(session)).total_seconds()))


def seen_here(outside: datetime, *, now: datetime, at: datetime) -> datetime:
    """An instant that the outside told us, on a merchant's clock that says `now` when it is really `at`.

    The bank and the booking engine do not travel in time with a test merchant: what ends for them in ten minutes ends
    ten minutes after the merchant's own now.
    """
    return outside + timedelta(seconds=round((now - at).total_seconds()))


@query
def set_offset(session: Session, merchant_id: UUID, offset: timedelta) -> None:
    """Shift a test merchant's clock. The caller has checked that the merchant is not live."""
    session.execute(
        text(
            "INSERT INTO merchant_clock (merchant_id, offset_seconds) VALUES (:merchant_id, :offset) "
            "ON CONFLICT (merchant_id) DO UPDATE SET offset_seconds = excluded.offset_seconds"
        ),
        {"merchant_id": merchant_id, "offset": int(offset.total_seconds())},
    )
    if session.info.get("merchant_id") == merchant_id:
        clock_of(session).offset = timedelta(seconds=int(offset.total_seconds()))
