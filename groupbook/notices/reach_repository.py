"""Every query of addresses, opt-outs and reminder settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of
from groupbook.kit.ids import MemberId, new_id
from groupbook.notices.domain import address_days, confirm_days
from groupbook.notices.models import AddressTryRow, NoticeRow, OptOutRow, ReachRow, ReminderSettingsRow, SeatLinkRow


def reach_of(session: Session, member_id: UUID, *, lock: bool = False) -> ReachRow | None:
    query = select(ReachRow).where(ReachRow.merchant_id == merchant_of(session), ReachRow.member_id == member_id)
    query = query.execution_options(populate_existing=True)
    return session.scalar(query.with_for_update() if lock else query)


def reaches_of(session: Session, member_ids: Collection[UUID]) -> dict[UUID, ReachRow]:
    query = select(ReachRow).where(ReachRow.merchant_id == merchant_of(session), ReachRow.member_id.in_(member_ids))
    return {row.member_id: row for row in session.scalars(query)}


def save_reach(session: Session, member_id: MemberId, **values: Any) -> None:
    """One row per member; what is named replaces what was known."""
    row = insert(ReachRow).values(merchant_id=merchant_of(session), id=new_id(), member_id=member_id, **values)
    changed = {name: row.excluded[name] for name in values}
    session.execute(row.on_conflict_do_update(index_elements=["merchant_id", "member_id"], set_=changed))


def delete_reach(session: Session, member_ids: Collection[UUID]) -> None:
    """What was tried stays counted until it is two days old: who forgets an address may not try five more."""
    mine = merchant_of(session)
    session.execute(delete(ReachRow).where(ReachRow.merchant_id == mine, ReachRow.member_id.in_(member_ids)))


def delete_seat_links(session: Session, member_ids: Collection[UUID]) -> None:
    mine = merchant_of(session)
    session.execute(delete(SeatLinkRow).where(SeatLinkRow.merchant_id == mine, SeatLinkRow.member_id.in_(member_ids)))


@dataclass(frozen=True, slots=True)
class Tries:
    """How often addresses were tried: by this member, this address by anybody, in this trip, at this merchant."""

    member: int
    address: int
    trip: int
    merchant: int


def tries_since(session: Session, since: datetime, *, member_id: UUID, mark: bytes, trip_id: UUID) -> Tries:
    """How often addresses were tried since then."""
    row = session.execute(
        select(
            func.count().filter(AddressTryRow.member_id == member_id),
            func.count().filter(AddressTryRow.address_mark == mark),
            func.count().filter(AddressTryRow.trip_id == trip_id),
            func.count(),
        ).where(AddressTryRow.merchant_id == merchant_of(session), AddressTryRow.tried_at > since)
    ).one()
    return Tries(*row)


def add_try(session: Session, member_id: UUID, trip_id: UUID, mark: bytes, now: datetime) -> None:
    session.add(
        AddressTryRow(
            merchant_id=merchant_of(session),
            id=new_id(),
            member_id=member_id,
            trip_id=trip_id,
            address_mark=mark,
            tried_at=now,
        )
    )
    session.flush()


def add_seat_link(session: Session, member_id: UUID, mark: bytes, now: datetime) -> UUID:
    id = new_id()
    session.add(
        SeatLinkRow(
            merchant_id=merchant_of(session), id=id, member_id=member_id, address_mark=mark, asked_at=now, used_at=None
        )
    )
    session.flush()
    return id


def seat_link(session: Session, id: UUID) -> SeatLinkRow | None:
    return session.get(SeatLinkRow, (merchant_of(session), id), populate_existing=True)


def use_seat_link(session: Session, id: UUID, now: datetime) -> bool:
    """Whether this was the first use: of two at once, one."""
    used = update(SeatLinkRow).where(
        SeatLinkRow.merchant_id == merchant_of(session), SeatLinkRow.id == id, SeatLinkRow.used_at.is_(None)
    )
    return session.execute(used.values(used_at=now).returning(SeatLinkRow.id)).one_or_none() is not None


def seat_links_since(session: Session, member_id: UUID, since: datetime) -> int:
    query = select(func.count()).select_from(SeatLinkRow)
    mine = SeatLinkRow.merchant_id == merchant_of(session)
    return session.scalar(query.where(mine, SeatLinkRow.member_id == member_id, SeatLinkRow.asked_at > since)) or 0


def opt_out(session: Session, channel: str, mark: bytes) -> OptOutRow | None:
    query = select(OptOutRow).where(
        OptOutRow.merchant_id == merchant_of(session), OptOutRow.channel == channel, OptOutRow.address_mark == mark
    )
    return session.scalar(query.execution_options(populate_existing=True))


def change_opt_out(session: Session, channel: str, mark: bytes, **values: datetime | None) -> None:
    """What is named replaces what was known of this address."""
    row = insert(OptOutRow).values(
        merchant_id=merchant_of(session), id=new_id(), channel=channel, address_mark=mark, **values
    )
    changed = {name: row.excluded[name] for name in values}
    index = ["merchant_id", "channel", "address_mark"]
    session.execute(row.on_conflict_do_update(index_elements=index, set_=changed))


def forget_old(session: Session, now: datetime) -> int:
    """Addresses nobody confirmed, and those that nothing was sent to for a long time. Returns how many went."""
    mine = merchant_of(session)
    is_used = exists().where(
        NoticeRow.merchant_id == ReachRow.merchant_id,
        NoticeRow.member_id == ReachRow.member_id,
        NoticeRow.created_at > now - timedelta(days=address_days),
    )
    is_old = (ReachRow.given_at < now - timedelta(days=address_days)) & ~is_used
    is_unconfirmed = ReachRow.confirmed_at.is_(None) & (ReachRow.given_at < now - timedelta(days=confirm_days))
    gone = session.execute(
        delete(ReachRow).where(ReachRow.merchant_id == mine, or_(is_old, is_unconfirmed)).returning(ReachRow.id)
    )
    session.execute(
        delete(AddressTryRow).where(AddressTryRow.merchant_id == mine, AddressTryRow.tried_at < now - timedelta(days=2))
    )
    session.execute(
        delete(SeatLinkRow).where(SeatLinkRow.merchant_id == mine, SeatLinkRow.asked_at < now - timedelta(days=2))
    )
    return len(gone.all())


def read_settings(session: Session) -> dict[str, Any]:
    """What this merchant set; empty where it keeps to the house."""
    query = select(ReminderSettingsRow.settings).where(ReminderSettingsRow.merchant_id == merchant_of(session))
    return dict(session.scalar(query) or {})


def save_settings(session: Session, settings: Mapping[str, Any], now: datetime) -> None:
    row = insert(ReminderSettingsRow).values(merchant_id=merchant_of(session), settings=dict(settings), changed_at=now)
    changed = {"settings": row.excluded.settings, "changed_at": row.excluded.changed_at}
    session.execute(row.on_conflict_do_update(index_elements=["merchant_id"], set_=changed))


def causes_of(session: Session, trip_ids: Collection[UUID], code: str) -> dict[UUID, list[tuple[UUID, str]]]:
    """What was written of this kind in these trips, per member: of each notice its cause, and its booking (hex)."""
    found: dict[UUID, list[tuple[UUID, str]]] = {}
    query = select(NoticeRow.member_id, NoticeRow.fact_id, NoticeRow.params["booking_id"].astext).where(
        NoticeRow.merchant_id == merchant_of(session), NoticeRow.trip_id.in_(trip_ids), NoticeRow.code == code
    )
    for member_id, cause, booking_id in session.execute(query):
        found.setdefault(member_id, []).append((cause, booking_id))
    return found
