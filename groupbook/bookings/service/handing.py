"""Handing a place over to a named friend by a link, while the booking collects: one person, once, until a time."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from groupbook import offers, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    AlreadyTraveling,
    BookingState,
    HandoverNotFound,
    HandoverOpen,
    HandoverOver,
    NonceMissing,
    NotTraveling,
    Policy,
)
from groupbook.bookings.models import BookingRow, HandoverRow
from groupbook.bookings.service import party
from groupbook.bookings.service.leaving import member_asking, require_open
from groupbook.bookings.service.offering import add_link, end_link, tell_one, token_of
from groupbook.bookings.service.progress import progress
from groupbook.bookings.sharing import LostDiscount
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, lookup
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.ids import BookingId, HandoverId, MemberId, MerchantId, TripId
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.people.domain import clean_name
from groupbook.trips.domain import MemberNotFound, Role, invite_digest

length_max: Final = timedelta(hours=24)
token_characters_max: Final = 64


@dataclass(frozen=True)
class Handover:
    """A link that hands a place over, for whoever made it."""

    id: HandoverId
    token: str
    for_name: str
    expires_at: datetime


@dataclass(frozen=True)
class PlaceAddress:
    """Where a link leads, also when it is over. `taken_by` is whoever took the place."""

    merchant_id: MerchantId
    trip_id: TripId
    taken_by: MemberId | None


@dataclass(frozen=True)
class OfferedPlace:
    """What somebody with the link reads before they take the place. `price` is today's share of the place; their own
    card may make it another. Who takes it from the waiting list is not told whose it was: `by` is empty.
    """

    merchant_id: MerchantId
    trip_id: TripId
    title: str | None
    by: str
    for_name: str
    price: Money
    deadline_at: datetime | None
    expires_at: datetime
    lost_discount: LostDiscount
    is_from_line: bool  # for the next in the waiting list, who has a name already


def hand_over(database: Database, sealer: Sealer, caller: Caller, booking_id: BookingId, *, for_name: str) -> Handover:
    """A link with which one friend takes the caller's place. A use case; asked again it is the same link.

    The place stays the caller's, with all they owe, until it is taken.

    Raises:
        BookingNotFound, NotTraveling: no such booking for this caller, or no place in it.
        BookingClosed: it does not collect any more. HandoverOpen: the place is offered to the waiting list.
        NameEmpty, NameTooLong: the friend's name.
    """
    name = clean_name(for_name)
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, booking_id)
        member_id = member_asking(session, row, caller)
        require_open(row)
        if member_id not in party.members_in(session, row):
            raise NotTraveling()
        now = clock.now(session)
        for known in repository.open_handovers(session, row.id):
            if known.member_id == member_id:
                if known.for_member_id is not None:
                    raise HandoverOpen()
                if now < known.expires_at:
                    return _shown(known, sealer)
                known.ended_at = now
                session.flush()
        until = min(now + length_max, row.deadline_at) if row.deadline_at is not None else now + length_max
        return _shown(add_link(session, sealer, row, member_id, for_name=name, expires_at=until, now=now), sealer)


def read_handover(database: Database, sealer: Sealer, caller: Caller, booking_id: BookingId) -> Handover | None:
    """The caller's own link that is still good, if any. A use case. Raises BookingNotFound."""
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        member_id = member_asking(session, row, caller)
        now = clock.now(session)
        for link in repository.open_handovers(session, row.id):
            is_good = now < link.expires_at and row.state == BookingState.OPEN.value
            if link.member_id == member_id and link.for_member_id is None and is_good:
                return _shown(link, sealer)
        return None


def keep_place(database: Database, caller: Caller, handover_id: HandoverId) -> None:
    """Take the link or the release back: its maker's, or the organizer's. A use case; twice is once.

    Whoever was offered the place keeps theirs in the line.

    Raises:
        HandoverNotFound: none of this caller's. HandoverOver: somebody took the place.
    """
    with database.begin(caller.merchant_id) as session:
        found = repository.find_handover(session, handover_id)
        row = repository.lock(session, found.booking_id)
        member = trips.member_of(session, TripId(row.trip_id), caller)
        link = repository.find_handover(session, handover_id)
        if member is None or (member.id != link.member_id and member.role is not Role.ORGANIZER):
            raise HandoverNotFound()
        if link.taken_by is not None:
            raise HandoverOver()
        end_link(session, row, link, clock.now(session))


def find_place(database: Database, token: str) -> PlaceAddress:
    """Where the link leads. A use case. Raises HandoverNotFound."""
    merchant_id, booking_id, id = _find(database, token)
    with database.begin(merchant_id) as session:
        row = repository.read(session, booking_id)
        taken_by = repository.find_handover(session, id).taken_by
        return PlaceAddress(merchant_id, TripId(row.trip_id), MemberId(taken_by) if taken_by is not None else None)


def open_handover(database: Database, token: str) -> OfferedPlace:
    """What the link offers now. A use case.

    Raises:
        HandoverNotFound, HandoverOver, BookingClosed
    """
    merchant_id, booking_id, id = _find(database, token)
    with database.begin(merchant_id) as session:
        row = repository.read(session, booking_id)
        link = repository.find_handover(session, id)
        _require_good(session, row, link)
        quote = offers.read_quote(session, row.quote_id)
        names = {member.id: member.name for member in trips.members(session, TripId(row.trip_id))}
        return OfferedPlace(
            merchant_id=merchant_id,
            trip_id=TripId(row.trip_id),
            title=trips.trip_of(session, TripId(row.trip_id)).title or None,
            by=names.get(MemberId(link.member_id), "") if link.for_member_id is None else "",
            for_name=link.for_name,
            price=quote.of(link.member_id).pay,
            deadline_at=row.deadline_at,
            expires_at=link.expires_at,
            lost_discount=Policy(**row.policy).lost_discount,
            is_from_line=link.for_member_id is not None,
        )


def take_place(
    database: Database, caller: Caller | None, token: str, *, name: str | None = None, nonce: str | None = None
) -> trips.Joined:
    """Take the place: the newcomer is in the party and owes its price, who handed it over owes nothing any more.

    The party is priced again, as the newcomer's own cards may make another price. One transaction: the place changes
    hands whole, or not at all. A use case.

    Whoever took the place and asks again has it, whatever became of the booking: by who they are, or, as a guest whose
    answer was lost, by the `nonce` they took it with (128 random bits or more, told to nobody), as long as the link
    would have been good. Then they are given another key.

    Raises:
        HandoverNotFound, HandoverOver, BookingClosed: the link is no good (any more).
        NonceMissing: they would be a guest, and could not ask again should the answer be lost.
        AlreadyTraveling: they are in the party. Unauthenticated: it is offered to a person, who is not logged in.
        NameEmpty, NameTooLong, TripFull: as for joining a trip.
        OfferNotBookable, PortionTooSmall, CodeNotUsable: the new party cannot be priced; nothing was changed.
    """
    merchant_id, booking_id, id = _find(database, token)
    with database.begin(merchant_id) as session:
        row = repository.lock(session, booking_id)
        link = repository.find_handover(session, id)
        trip_id = TripId(row.trip_id)
        if (taken := _taken_before(session, trip_id, link, caller, nonce)) is not None:
            return taken
        _require_good(session, row, link)
        waiter = _waiter(session, trip_id, link, caller)
        seat = MemberId(link.for_member_id) if link.for_member_id is not None else None
        joined = trips.admit(session, trip_id, caller, name=name or link.for_name, by=booking_id, seat=seat)
        if waiter is not None:
            joined = replace(joined, guest_token=waiter.guest_token)
        members = party.members_in(session, row)
        if joined.member.id in members:
            raise AlreadyTraveling()
        now = clock.now(session)
        repository.stop_waiting(session, row.trip_id, joined.member.id, now)
        link.taken_by, link.ended_at = joined.member.id, now
        if joined.guest_token is not None:
            if nonce is None:
                raise NonceMissing(pointer="/nonce")
            link.nonce_sha256 = invite_digest(nonce)
        for left in party.parts_of(session, row).departures:
            if left.member_id == joined.member.id:
                left.ended_at = now
        session.flush()
        going = [joined.member.id if one == link.member_id else one for one in members]
        party.reallocate(session, row, going, now)
        trips.sit_out(session, trip_id, MemberId(link.member_id), now=now)
        tell_one(session, row, "place.taken", link.member_id)
        tell_one(session, row, "place.filled", joined.member.id)
        progress(session, row.id)
        return joined


def _waiter(session: Session, trip_id: TripId, link: HandoverRow, caller: Caller | None) -> trips.Joined | None:
    """Who is next in the line, for a place that is offered to them alone; None for a friend's link.

    The link was sent to them, so it is enough to know it: a guest in another browser is given a fresh key. A person
    logs in.

    Raises:
        HandoverOver: somebody else of the trip asks, or they left it. Unauthenticated: a person who is not logged in.
    """
    if link.for_member_id is None:
        return None
    is_known = caller is not None and caller.merchant_id == link.merchant_id
    own = trips.member_of(session, trip_id, caller) if caller is not None and is_known else None
    if own is not None and own.id == link.for_member_id:
        return trips.Joined(MerchantId(link.merchant_id), trip_id, own, None, is_new=False)
    if own is not None:
        raise HandoverOver()
    try:
        found = trips.sit_again(session, trip_id, MemberId(link.for_member_id))
    except MemberNotFound:
        raise HandoverOver() from None
    if found.guest_token is None:
        raise Unauthenticated()
    return found


def _find(database: Database, token: str) -> tuple[MerchantId, BookingId, HandoverId]:
    """Raises HandoverNotFound."""
    if not 0 < len(token) <= token_characters_max:
        raise HandoverNotFound()
    with database.begin_unbound() as session:
        found = lookup(session, "handover_by_digest", invite_digest(token))
    if found is None:
        raise HandoverNotFound()
    merchant_id, booking_id, id = found
    return MerchantId(merchant_id), BookingId(booking_id), HandoverId(id)


def _taken_before(
    session: Session, trip_id: TripId, link: HandoverRow, caller: Caller | None, nonce: str | None
) -> trips.Joined | None:
    """The answer that whoever took the place was given, or None for anybody else."""
    if link.taken_by is None:
        return None
    member_id, merchant_id = MemberId(link.taken_by), MerchantId(link.merchant_id)
    is_known = caller is not None and caller.merchant_id == merchant_id
    own = trips.member_of(session, trip_id, caller) if caller is not None and is_known else None
    if own is not None and own.id == member_id:
        return trips.Joined(merchant_id, trip_id, own, None, is_new=False)
    if nonce is None or link.nonce_sha256 is None or clock.now(session) >= link.expires_at:
        return None
    if not hmac.compare_digest(link.nonce_sha256, invite_digest(nonce)):
        return None
    try:
        return trips.sit_again(session, trip_id, member_id)
    except MemberNotFound:
        return None


def _require_good(session: Session, row: BookingRow, link: HandoverRow) -> None:
    if link.ended_at is not None or clock.now(session) >= link.expires_at:
        raise HandoverOver()
    require_open(row)
    if link.member_id not in party.members_in(session, row):
        raise HandoverOver()


def _shown(link: HandoverRow, sealer: Sealer) -> Handover:
    return Handover(HandoverId(link.id), token_of(link, sealer), link.for_name, link.expires_at)
