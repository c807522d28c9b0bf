"""Places that change hands: the link, whom the waiting list offers one to, who hears of it. The booking is locked."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import trips
from groupbook.bookings import repository
from groupbook.bookings.domain import Policy
from groupbook.bookings.line import Waiting, next_in_line, offered_until
from groupbook.bookings.models import BookingRow, HandoverRow
from groupbook.bookings.service import party
from groupbook.kit import facts
from groupbook.kit.ids import HandoverId, MemberId, TripId, new_id
from groupbook.kit.sealing import Sealer
from groupbook.trips.domain import invite_digest, mint_invite_token


def add_link(
    session: Session,
    sealer: Sealer,
    row: BookingRow,
    member_id: MemberId,
    *,
    for_name: str,
    expires_at: datetime,
    now: datetime,
    for_member: UUID | None = None,
) -> HandoverRow:
    """One way for somebody to take this member's place, once."""
    id, token = HandoverId(new_id()), mint_invite_token()
    link = HandoverRow(
        merchant_id=row.merchant_id,
        id=id,
        booking_id=row.id,
        member_id=member_id,
        for_member_id=for_member,
        for_name=for_name,
        token_sha256=invite_digest(token),
        sealed_token=sealer.seal(_place(id), token.encode()),
        made_at=now,
        expires_at=expires_at,
        taken_by=None,
        nonce_sha256=None,
        ended_at=None,
    )
    session.add(link)
    session.flush()
    return link


def token_of(link: HandoverRow, sealer: Sealer) -> str:
    return sealer.open(_place(HandoverId(link.id)), link.sealed_token).decode()


def _place(id: HandoverId) -> str:
    """Where the token is sealed: a seal copied to another row does not open."""
    return f"handover:{id.hex}"


def offer_place(session: Session, sealer: Sealer, row: BookingRow, by: MemberId, now: datetime) -> HandoverRow | None:
    """Offer this member's place to the first in the line; None when nobody could take it in time."""
    seconds = Policy(**row.policy).waiting_offer_seconds
    until = offered_until(now, seconds=seconds, deadline_at=row.deadline_at)
    if until is None:
        return None
    names: dict[UUID, str] = {one.id: one.name for one in trips.members(session, TripId(row.trip_id))}
    offered = {link.for_member_id for link in repository.open_handovers(session, row.id)}
    busy = {*party.members_in(session, row), *(one for one in offered if one is not None)}
    first = next_in_line(line_of(session, row.trip_id), present=names, busy=busy)
    if first is None:
        return None
    link = add_link(
        session, sealer, row, by, for_name=names[first.member], expires_at=until, now=now, for_member=first.member
    )
    tell_one(session, row, "place.offered", first.member, handover_id=link.id.hex)
    return link


def line_of(session: Session, trip_id: UUID) -> list[Waiting]:
    return [Waiting(one.id, one.member_id) for one in repository.waiting(session, trip_id)]


def end_link(session: Session, row: BookingRow, link: HandoverRow, now: datetime) -> None:
    """The place stays where it is; whoever was offered it stays where they are in the line. Twice is once."""
    if link.ended_at is not None:
        return
    link.ended_at = now
    session.flush()
    if link.for_member_id is not None:
        tell_one(session, row, "place.withdrawn", link.for_member_id)


def end_links_of(session: Session, row: BookingRow, member_id: MemberId, now: datetime) -> None:
    """Whoever leaves, or is let go, has no place to give any more."""
    for link in repository.open_handovers(session, row.id):
        if link.member_id == member_id:
            end_link(session, row, link, now)


def tell_one(session: Session, row: BookingRow, name: str, member_id: UUID, **more: str) -> None:
    """A fact about one member of the trip, for whoever tells them."""
    payload = {"trip_id": row.trip_id.hex, "booking_id": row.id.hex, "member_id": member_id.hex, **more}
    facts.record(session, name, subject=row.id, payload=payload)
