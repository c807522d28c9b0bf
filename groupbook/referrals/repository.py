"""Every query of this room."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Text, and_, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of
from groupbook.kit.ids import BookingId, MemberId, MerchantId, ShareId, TripId, VisitId, new_id
from groupbook.referrals.domain import (
    DIRECT,
    Attribution,
    ChannelGrowth,
    Click,
    JoinRecord,
    Share,
    UncountedReason,
    address_days_max,
    hit_days_max,
    salt_hours_max,
)
from groupbook.referrals.models import (
    BookingAttributionRow,
    HitRow,
    JoinAttributionRow,
    ShareRow,
    VisitRow,
    VisitSaltRow,
)

ERASED = UUID(int=0)


# --- shares ---------------------------------------------------------------------------------------------------------


def add_share(session: Session, share: Share) -> None:
    session.add(
        ShareRow(
            merchant_id=share.merchant_id,
            id=share.id,
            trip_id=share.trip_id,
            code=share.code,
            sharer=share.sharer,
            channel=share.channel,
            fields=list(share.fields),
            created_at=share.created_at,
            revoked_at=share.revoked_at,
        )
    )
    session.flush()


def share(session: Session, id: UUID) -> Share | None:
    row = session.scalars(select(ShareRow).where(ShareRow.id == id)).one_or_none()
    return None if row is None else _share(row)


def shares_of_trip(session: Session, trip_id: UUID) -> int:
    return session.scalar(select(func.count()).select_from(ShareRow).where(ShareRow.trip_id == trip_id)) or 0


def _share(row: ShareRow) -> Share:
    return Share(
        id=ShareId(row.id),
        merchant_id=MerchantId(row.merchant_id),
        trip_id=TripId(row.trip_id),
        code=row.code,
        sharer=row.sharer,
        channel=row.channel,
        fields=tuple(row.fields),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


# --- hits and visits ------------------------------------------------------------------------------------------------


def salt(session: Session, day: date) -> bytes:
    """The salt of a day, made by whoever asks first."""
    merchant_id = merchant_of(session)
    query = select(VisitSaltRow.salt).where(VisitSaltRow.day == day)
    known = session.scalar(query)
    if known is None:
        fresh = insert(VisitSaltRow).values(merchant_id=merchant_id, day=day, salt=secrets.token_bytes(32))
        session.execute(fresh.on_conflict_do_nothing())
        known = session.scalar(query)
    return known or b""


def add_hit(
    session: Session,
    click: Click,
    *,
    trip_id: UUID,
    share_id: UUID | None,
    visit_id: UUID | None,
    reason: UncountedReason | None,
    at: datetime,
) -> None:
    session.add(
        HitRow(
            merchant_id=merchant_of(session),
            id=new_id(),
            at=at,
            trip_id=trip_id,
            share_id=share_id,
            visit_id=visit_id,
            method=click.method,
            fetch_mode=click.fetch_mode,
            fetch_destination=click.fetch_destination,
            purpose=click.purpose,
            agent_class=click.agent_class,
            agent_family=click.agent_family,
            address_truncated=click.address_truncated,
            reason=reason,
        )
    )


def put_visit(
    session: Session,
    *,
    trip_id: UUID,
    share_id: UUID | None,
    key: bytes,
    subject: UUID | None,
    reason: UncountedReason | None,
    at: datetime,
) -> VisitId:
    """The one visit of this visitor: made now, or there already. Two taps at once make one."""
    origin = share_id or trip_id
    fresh = insert(VisitRow).values(
        merchant_id=merchant_of(session),
        id=new_id(),
        share_id=share_id,
        trip_id=trip_id,
        origin=origin,
        visitor_key=key,
        subject=subject,
        reason=reason,
        first_at=at,
    )
    made = session.scalar(fresh.on_conflict_do_nothing().returning(VisitRow.id))
    if made is None:
        made = session.scalars(select(VisitRow.id).where(VisitRow.origin == origin, VisitRow.visitor_key == key)).one()
    return VisitId(made)


def visit(session: Session, id: UUID, *, lock: bool = False) -> VisitRow | None:
    query = select(VisitRow).where(VisitRow.id == id)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


# --- what a share brought -------------------------------------------------------------------------------------------


def add_join(
    session: Session,
    *,
    trip_id: UUID,
    member_id: UUID,
    share_id: UUID | None,
    visit_id: UUID | None,
    is_start: bool,
    at: datetime,
) -> bool:
    """Write how a member came, once; False when it was written before."""
    row = insert(JoinAttributionRow).values(
        merchant_id=merchant_of(session),
        trip_id=trip_id,
        member_id=member_id,
        share_id=share_id,
        visit_id=visit_id,
        is_start=is_start,
        joined_at=at,
    )
    written = row.on_conflict_do_nothing().returning(JoinAttributionRow.member_id)
    return session.execute(written).first() is not None


def joins(session: Session, trip_id: UUID, members: Iterable[UUID]) -> list[JoinRecord]:
    query = select(JoinAttributionRow).where(
        JoinAttributionRow.trip_id == trip_id, JoinAttributionRow.member_id.in_(list(members))
    )
    ordered = query.order_by(JoinAttributionRow.joined_at, JoinAttributionRow.member_id)
    return [
        JoinRecord(MemberId(row.member_id), _id(row.share_id), row.is_start, row.joined_at)
        for row in session.scalars(ordered)
    ]


def add_attribution(session: Session, decided: Attribution, inputs: Mapping[str, Any]) -> bool:
    """Write who brought a booking, once; False when it was decided before."""
    row = insert(BookingAttributionRow).values(
        merchant_id=merchant_of(session),
        booking_id=decided.booking_id,
        trip_id=decided.trip_id,
        share_id=decided.share_id,
        rule=decided.rule,
        rule_version=decided.rule_version,
        inputs=dict(inputs),
        decided_at=decided.decided_at,
    )
    written = row.on_conflict_do_nothing().returning(BookingAttributionRow.booking_id)
    return session.execute(written).first() is not None


def attribution(session: Session, booking_id: UUID) -> Attribution | None:
    row = session.scalars(
        select(BookingAttributionRow).where(BookingAttributionRow.booking_id == booking_id)
    ).one_or_none()
    if row is None:
        return None
    return Attribution(
        BookingId(row.booking_id), TripId(row.trip_id), _id(row.share_id), row.rule, row.rule_version, row.decided_at
    )


def _id(value: UUID | None) -> ShareId | None:
    return None if value is None else ShareId(value)


# --- figures --------------------------------------------------------------------------------------------------------


def growth_by_channel(session: Session) -> list[ChannelGrowth]:
    """The figures of each channel that has any; `direct` for what came without a share."""
    found: dict[str, dict[str, int]] = {}

    def note(figure: str, rows: Iterable[tuple[str | None, int]]) -> None:
        for channel, count in rows:
            found.setdefault(channel or DIRECT, {})[figure] = count

    def by_channel(row: Any, *conditions: Any) -> Iterable[tuple[str | None, int]]:
        query = select(ShareRow.channel, func.count()).select_from(row)
        is_its_share = and_(ShareRow.id == row.share_id, ShareRow.merchant_id == row.merchant_id)
        query = query.outerjoin(ShareRow, is_its_share).where(*conditions).group_by(ShareRow.channel)
        return ((channel, count) for channel, count in session.execute(query))

    shares = session.execute(select(ShareRow.channel, func.count()).group_by(ShareRow.channel))
    note("shares", ((channel, count) for channel, count in shares))
    is_clean = VisitRow.reason.is_(None)
    note("visits", by_channel(VisitRow, is_clean, VisitRow.confirmed_at.is_not(None)))
    note("unconfirmed", by_channel(VisitRow, is_clean, VisitRow.confirmed_at.is_(None)))
    note("joins", by_channel(JoinAttributionRow, JoinAttributionRow.is_start.is_(False)))
    note("starts", by_channel(JoinAttributionRow, JoinAttributionRow.is_start.is_(True)))
    note("bookings", by_channel(BookingAttributionRow))
    return [ChannelGrowth(channel, **figures) for channel, figures in sorted(found.items())]


def shares_without_visit(session: Session) -> int:
    counted = and_(VisitRow.share_id == ShareRow.id, VisitRow.reason.is_(None), VisitRow.confirmed_at.is_not(None))
    query = select(func.count()).select_from(ShareRow).where(~select(VisitRow.id).where(counted).exists())
    return session.scalar(query) or 0


def bot_hits(session: Session) -> int:
    """Hits of bots on share links that are still kept."""
    query = select(func.count()).select_from(HitRow)
    where = (HitRow.reason == UncountedReason.BOT.value, HitRow.share_id.is_not(None))
    return session.scalar(query.where(*where)) or 0


# --- forgetting -----------------------------------------------------------------------------------------------------


def sweep(session: Session, now: datetime) -> None:
    """Let go what may not be kept: salts after two days, truncated addresses after seven, hits after thirty."""
    session.execute(delete(VisitSaltRow).where(VisitSaltRow.day < (now - timedelta(hours=salt_hours_max)).date()))
    session.execute(delete(HitRow).where(HitRow.at < now - timedelta(days=hit_days_max)))
    old = HitRow.at < now - timedelta(days=address_days_max)
    session.execute(update(HitRow).where(old, HitRow.address_truncated != "").values(address_truncated=""))


def forget(session: Session, subject: UUID, now: datetime) -> None:
    """A person's shares end and lose their sharer; their visits stay as counts of nobody."""
    ended = {"sharer": ERASED, "revoked_at": func.coalesce(ShareRow.revoked_at, now)}
    session.execute(update(ShareRow).where(ShareRow.sharer == subject).values(**ended))
    anonymous = func.decode(func.replace(cast(func.gen_random_uuid(), Text), "-", ""), "hex")
    session.execute(update(VisitRow).where(VisitRow.subject == subject).values(subject=None, visitor_key=anonymous))
    session.expire_all()
