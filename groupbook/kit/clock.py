"""Time: the database's, so that all hosts agree; shifted per merchant in test mode, so that a sandbox can travel.

`now` decides and dates; `system_now` is for leases, keys and signatures, which no merchant may shift.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of
from groupbook.kit.errors import InvariantBroken

_NOW = text(
    "SELECT clock_timestamp() + make_interval(secs => coalesce("
    "(SELECT offset_seconds FROM merchant_clock WHERE merchant_id = :merchant_id), 0))"
)


def now(session: Session) -> datetime:
    """The instant by which this merchant's decisions are made: aware, UTC."""
    return _aware(session.execute(_NOW, {"merchant_id": merchant_of(session)}).scalar_one())


def system_now(session: Session) -> datetime:
    """Plain database time: aware, UTC."""
    return _aware(session.execute(text("SELECT clock_timestamp()")).scalar_one())


def seen_here(outside: datetime, *, now: datetime, at: datetime) -> datetime:
    """An instant that the outside told us, on a merchant's clock that says `now` when it is really `at`.

    The bank and the booking engine do not travel in time with a test merchant: what ends for them in ten minutes ends
    ten minutes after the merchant's own now.
    """
    return outside + timedelta(seconds=round((now - at).total_seconds()))


def set_offset(session: Session, merchant_id: UUID, offset: timedelta) -> None:
    """Shift a test merchant's clock. The caller has checked that the merchant is not live."""
    session.execute(
        text(
            "INSERT INTO merchant_clock (merchant_id, offset_seconds) VALUES (:merchant_id, :offset) "
            "ON CONFLICT (merchant_id) DO UPDATE SET offset_seconds = excluded.offset_seconds"
        ),
        {"merchant_id": merchant_id, "offset": int(offset.total_seconds())},
    )


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise InvariantBroken(what="naive instant from the database")
    return value
