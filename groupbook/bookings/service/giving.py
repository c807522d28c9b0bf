"""Giving towards somebody's portion, or towards everybody's: a fixed amount, a portion of the giver's own."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import trips
from groupbook.bookings import repository
from groupbook.bookings.domain import ContributionInvalid, NotYourBooking, Policy
from groupbook.bookings.models import BookingRow, ContributionRow
from groupbook.bookings.service import party
from groupbook.bookings.service.leaving import member_asking, require_open
from groupbook.bookings.service.progress import progress
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import BookingId, ContributionId, MemberId, TripId, new_id
from groupbook.kit.money import Money
from groupbook.payments.domain import least_payable, payable_step, portions_per_reference_max
from groupbook.trips.domain import Member, Role

gifts_max: Final = 20


def give(
    database: Database,
    caller: Caller,
    booking_id: BookingId,
    amount: Money,
    *,
    to: MemberId | None = None,
    reserve: Money | None = None,
) -> ContributionId:
    """Pay `amount` of a friend's portion, or lower everybody's by it (a sponsor). A use case.

    It counts from now on and is owed like a portion: nobody is charged before it is in. Whatever of it is not needed
    is never taken. A friend must have asked first, or the organizer gives (P6).

    Args:
        reserve: what a sponsor sets aside on top for discounts that get lost (policy `sponsor` only).
    Raises:
        BookingNotFound: no such booking for this caller. BookingClosed: it does not collect any more.
        ContributionInvalid: too little for a card, more than the whole, another currency, one too many, or `to` does
            not travel.
        NotYourBooking: `to` did not ask.
        PortionTooSmall: what would be left of somebody's portion no card can be asked for.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, booking_id)
        member_id = member_asking(session, row, caller)
        require_open(row)
        now = clock.now(session)
        _check(session, row, amount, reserve, to)
        if to is not None:
            _require_asked(session, row, _member(session, row, member_id), to)
        return _add(session, row, member_id, amount, now, to=to, reserve=reserve)


def give_by_link(
    session: Session, row: BookingRow, member_id: MemberId, amount: Money, *, link_id: UUID, nonce: bytes | None
) -> ContributionId:
    """A step: what somebody who need not travel gives to everybody, by the organizer's link. The booking is locked.

    Raises:
        BookingClosed, ContributionInvalid, PortionTooSmall: as for `give`.
    """
    require_open(row)
    _check(session, row, amount, None, None)
    return _add(session, row, member_id, amount, clock.now(session), link_id=link_id, nonce=nonce)


def _add(
    session: Session,
    row: BookingRow,
    member_id: MemberId,
    amount: Money,
    now: datetime,
    *,
    to: MemberId | None = None,
    reserve: Money | None = None,
    link_id: UUID | None = None,
    nonce: bytes | None = None,
) -> ContributionId:
    row.has_parts = True
    gift = ContributionRow(
        merchant_id=row.merchant_id,
        id=new_id(),
        booking_id=row.id,
        by_member_id=member_id,
        for_member_id=to,
        amount=amount.minor,
        reserve=reserve.minor if reserve is not None else 0,
        given_at=now,
        ended_at=None,
        sponsor_link_id=link_id,
        nonce_sha256=nonce,
    )
    session.add(gift)
    party.share_anew(session, row, "contributed", now)
    progress(session, row.id)
    return ContributionId(gift.id)


def take_back(database: Database, caller: Caller, contribution_id: ContributionId) -> None:
    """Give it no more: the giver's, or the organizer's who waits for it in vain. The others are asked for it again.

    Twice is once.

    Raises:
        NotYourBooking: it is the giver's and the organizer's to take back. BookingClosed: too late.
    """
    with database.begin(caller.merchant_id) as session:
        found = repository.find_contribution(session, contribution_id)
        row = repository.lock(session, found.booking_id)
        member = _member(session, row, member_asking(session, row, caller))
        gift = repository.find_contribution(session, contribution_id)
        if member.id != gift.by_member_id and member.role is not Role.ORGANIZER:
            raise NotYourBooking(member="unknown")
        if gift.ended_at is not None:
            return
        require_open(row)
        gift.ended_at = now = clock.now(session)
        party.share_anew(session, row, "contribution_withdrawn", now)
        progress(session, row.id)


def _check(session: Session, row: BookingRow, amount: Money, reserve: Money | None, to: MemberId | None) -> None:
    for pointer, one in (("/amount", amount), ("/reserve", reserve)):
        if one is None:
            continue
        if one.currency != row.currency:
            raise ContributionInvalid(pointer=f"{pointer}/currency", reason="currency", currency=row.currency)
        if one.minor % payable_step(row.currency) or not 0 < one.minor <= row.total:
            raise ContributionInvalid(pointer=f"{pointer}/amount", reason="out_of_range", most=row.total)
    if amount < least_payable(row.currency):
        raise ContributionInvalid(pointer="/amount/amount", reason="too_small", least=least_payable(row.currency).minor)
    if reserve is not None and (to is not None or Policy(**row.policy).lost_discount != "sponsor"):
        raise ContributionInvalid(pointer="/reserve", reason="not_a_sponsor")
    members = party.members_in(session, row)
    if to is not None and to not in members:
        raise ContributionInvalid(pointer="/member", reason="not_traveling")
    gifts = party.parts_of(session, row).gifts
    most = min(gifts_max, portions_per_reference_max - len(members))
    if len(gifts) >= most:
        raise ContributionInvalid(reason="too_many", contributions_max=most)


def _require_asked(session: Session, row: BookingRow, member: Member, to: MemberId) -> None:
    if member.role is Role.ORGANIZER and member.id != to:
        return
    portion = next((one for one in party.portions_in(session, row) if one.traveler == to), None)
    asked = portion is not None and any(
        one.portion_id == portion.id and one.asked_of == member.id for one in repository.open_requests(session, row.id)
    )
    if not asked:
        raise NotYourBooking(member="unknown")


def _member(session: Session, row: BookingRow, member_id: MemberId) -> Member:
    return next(one for one in trips.members(session, TripId(row.trip_id)) if one.id == member_id)
