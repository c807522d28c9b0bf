"""A guest on another device: a link, sent on request to the address they confirmed, opens their seat there, once.

A guest's key is in one browser. Letters are read elsewhere and passed on, so what is in every letter opens nothing: it
has a link sent, to the one mailbox whose owner said yes. That link is good once and for half an hour; looking at it
changes nothing (mail scanners follow links), pressing the button there does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid5

import structlog
from sqlalchemy.orm import Session

from groupbook import merchants, trips
from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.kit.ids import MemberId, MerchantId, TripId
from groupbook.kit.sealing import Sealer
from groupbook.merchants import Merchant
from groupbook.notices import reach_repository
from groupbook.notices.domain import (
    Address,
    MailLinkUnknown,
    NoticeCode,
    SeatLinkOver,
    TooManySeatLinks,
    masked,
    seat_link_seconds,
    seat_links_per_day_max,
)
from groupbook.notices.links import AddressLink, address_mark, read_entry_token, read_seat_token
from groupbook.notices.models import ReachRow
from groupbook.notices.service.deps import EMAIL
from groupbook.notices.service.noting import write
from groupbook.trips.domain import Member

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GuestSeat:
    """A guest's seat, for the pages behind the links to it. `address` is masked."""

    merchant: Merchant
    trip_id: TripId
    member_id: MemberId
    title: str
    name: str
    address: str


def read_seat(database: Database, sealer: Sealer, token: str) -> GuestSeat:
    """Whose seat a letter leads to; changes nothing. A use case.

    Raises:
        MailLinkUnknown: not ours, or the address is another now.
        SeatLinkOver: the seat is nobody's any more, or its guest logs in.
    """
    link = read_seat_token(sealer, token)
    with database.begin(link.merchant_id) as session:
        return _seat(session, sealer, link)


def ask_seat_link(database: Database, sealer: Sealer, token: str) -> GuestSeat:
    """Have a link sent to the guest's confirmed address, which opens their seat once. A use case.

    Raises:
        MailLinkUnknown, SeatLinkOver: as for `read_seat`.
        TooManySeatLinks: five a day.
    """
    link = read_seat_token(sealer, token)
    with database.begin(link.merchant_id) as session:
        reach_repository.reach_of(session, link.member_id, lock=True)  # two at once are counted one after the other
        found = _seat(session, sealer, link)
        now = clock.system_now(session)
        asked = reach_repository.seat_links_since(session, link.member_id, now - timedelta(days=1))
        if asked >= seat_links_per_day_max:
            raise TooManySeatLinks(per_day_max=seat_links_per_day_max)
        id = reach_repository.add_seat_link(session, link.member_id, link.mark, now)
        write(session, id, link.member_id, found.trip_id, NoticeCode.SEAT_LINK, {"link_id": id.hex}, told_at=now)
        return found


def read_entry(database: Database, sealer: Sealer, token: str) -> GuestSeat:
    """The seat that this link would open; changes nothing. A use case. Raises as `enter`."""
    link = read_entry_token(sealer, token)
    with database.begin(link.merchant_id) as session:
        return _entry(session, sealer, link.id)


def enter(database: Database, sealer: Sealer, token: str) -> tuple[GuestSeat, str]:
    """Open the seat here: another key for its guest, who is told. Once. A use case.

    Raises:
        MailLinkUnknown: not ours.
        SeatLinkOver: used, too old, another address now, or the seat is nobody's any more.
    """
    link = read_entry_token(sealer, token)
    with database.begin(link.merchant_id) as session:
        found = _entry(session, sealer, link.id)
        now = clock.system_now(session)
        joined = trips.sit_again(session, found.trip_id, found.member_id)
        if joined.guest_token is None or not reach_repository.use_seat_link(session, link.id, now):
            raise SeatLinkOver()
        cause = uuid5(link.id, "used")
        write(session, cause, found.member_id, found.trip_id, NoticeCode.SEAT_OPENED, {}, told_at=now)
        log.info("seat_opened", member_id=str(found.member_id))
        return found, joined.guest_token


def is_good(session: Session, sealer: Sealer, id: UUID) -> bool:
    """Whether a link that waits to be sent would still open a seat. A step."""
    try:
        _entry(session, sealer, id)
    except (SeatLinkOver, MailLinkUnknown):
        return False
    return True


def _entry(session: Session, sealer: Sealer, id: UUID) -> GuestSeat:
    row = reach_repository.seat_link(session, id)
    if row is None:
        raise SeatLinkOver()
    is_old = clock.system_now(session) >= row.asked_at + timedelta(seconds=seat_link_seconds)
    if row.used_at is not None or is_old:
        raise SeatLinkOver()
    link = AddressLink(MerchantId(row.merchant_id), MemberId(row.member_id), row.address_mark)
    try:
        return _seat(session, sealer, link)
    except MailLinkUnknown:
        raise SeatLinkOver() from None


def _seat(session: Session, sealer: Sealer, link: AddressLink) -> GuestSeat:
    reach = reach_repository.reach_of(session, link.member_id)
    if reach is None or not is_confirmed(sealer, reach, link.mark):
        raise MailLinkUnknown()
    trip_id = TripId(reach.trip_id)
    member = next(iter(trips.seats(session, trip_id, [link.member_id])), None)
    if member is None or not is_guest(member):
        raise SeatLinkOver()
    return GuestSeat(
        merchant=merchants.read_merchant(session),
        trip_id=trip_id,
        member_id=link.member_id,
        title=trips.trip_of(session, trip_id).title,
        name=member.name,
        address=masked(reach.email or ""),
    )


def is_confirmed(sealer: Sealer, reach: ReachRow, mark: bytes) -> bool:
    """Whether this is the address with that mark, and its owner said yes."""
    if reach.email is None or reach.confirmed_at is None:
        return False
    return address_mark(sealer, reach.merchant_id, EMAIL, Address("", "", "", reach.email)) == mark


def is_guest(member: Member) -> bool:
    """Whether this seat is held by a key in a browser: a person logs in."""
    return member.is_present and member.guest_id is not None and member.person_id is None
