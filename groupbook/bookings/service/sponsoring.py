"""Sponsors who do not travel: the organizer's link for them, and giving by it without a place in the trip."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from groupbook import trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    BookingState,
    ContributionInvalid,
    NonceMissing,
    SponsorLinkNotFound,
    SponsorLinkOver,
)
from groupbook.bookings.models import BookingRow, SponsorLinkRow
from groupbook.bookings.service import party
from groupbook.bookings.service.giving import give_by_link
from groupbook.bookings.service.handing import token_characters_max
from groupbook.bookings.service.leaving import require_open
from groupbook.bookings.service.opening import require_organizer
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, lookup
from groupbook.kit.ids import BookingId, ContributionId, MemberId, MerchantId, SponsorLinkId, TripId, new_id
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.payments.domain import least_payable, payable_step
from groupbook.trips.domain import JoinedVia, invite_digest, mint_invite_token


@dataclass(frozen=True)
class SponsorLink:
    """The link for people who do not travel: what is wanted by it in all, and what of that is left."""

    id: SponsorLinkId
    token: str
    wanted: Money
    left: Money


@dataclass(frozen=True)
class WantedGift:
    """What somebody with the link reads before they give: between `least` and `left`, for everybody who travels."""

    merchant_id: MerchantId
    trip_id: TripId
    title: str
    by: str
    wanted: Money
    left: Money
    least: Money
    travelers: int
    deadline_at: datetime | None


@dataclass(frozen=True)
class Given:
    """Who gave, with a guest's key, and what."""

    joined: trips.Joined
    contribution_id: ContributionId


def want_gifts(database: Database, sealer: Sealer, caller: Caller, booking_id: BookingId, wanted: Money) -> SponsorLink:
    """The link by which people who do not travel give up to `wanted` in all. A use case of the organizer; asked again
    it is the same link, with the new amount.

    Raises:
        BookingNotFound, NotOrganizer: not this caller's to ask. BookingClosed: it does not collect any more.
        ContributionInvalid: too little for a card, more than the whole, another currency.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, booking_id)
        require_organizer(session, TripId(row.trip_id), caller)
        require_open(row)
        _check(row, wanted)
        link = repository.sponsor_link_of(session, row.id)
        if link is None:
            id, token = SponsorLinkId(new_id()), mint_invite_token()
            link = SponsorLinkRow(
                merchant_id=row.merchant_id,
                id=id,
                booking_id=row.id,
                wanted=wanted.minor,
                token_sha256=invite_digest(token),
                sealed_token=sealer.seal(_place(id), token.encode()),
                made_at=clock.now(session),
                ended_at=None,
            )
            session.add(link)
        link.wanted = wanted.minor
        session.flush()
        return _shown(session, row, link, sealer)


def read_sponsor_link(database: Database, sealer: Sealer, caller: Caller, booking_id: BookingId) -> SponsorLink | None:
    """The organizer's open link, if any. A use case. Raises BookingNotFound, NotOrganizer."""
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        require_organizer(session, TripId(row.trip_id), caller)
        link = repository.sponsor_link_of(session, row.id) if row.state == BookingState.OPEN.value else None
        return _shown(session, row, link, sealer) if link is not None else None


def want_no_gifts(database: Database, caller: Caller, link_id: SponsorLinkId) -> None:
    """Close the link; what was given stands. A use case of the organizer; twice is once.

    Raises:
        SponsorLinkNotFound, NotOrganizer
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, repository.find_sponsor_link(session, link_id).booking_id)
        require_organizer(session, TripId(row.trip_id), caller)
        link = repository.find_sponsor_link(session, link_id)
        link.ended_at = link.ended_at or clock.now(session)


def find_gift(database: Database, token: str) -> tuple[MerchantId, TripId]:
    """Where the link leads, also when it is over. A use case. Raises SponsorLinkNotFound."""
    merchant_id, booking_id, _ = _find(database, token)
    with database.begin(merchant_id) as session:
        return merchant_id, TripId(repository.read(session, booking_id).trip_id)


def open_gift(database: Database, token: str) -> WantedGift:
    """What the link asks for. A use case.

    Raises:
        SponsorLinkNotFound, SponsorLinkOver, BookingClosed
    """
    merchant_id, booking_id, id = _find(database, token)
    with database.begin(merchant_id) as session:
        row, link = repository.read(session, booking_id), repository.find_sponsor_link(session, id)
        left = _require_good(session, row, link)
        trip = trips.trip_of(session, TripId(row.trip_id))
        names = {member.id: member.name for member in trips.members(session, trip.id)}
        return WantedGift(
            merchant_id=merchant_id,
            trip_id=trip.id,
            title=trip.title,
            by=names.get(trip.organizer_id, ""),
            wanted=Money(link.wanted, row.currency),
            left=left,
            least=least_payable(row.currency),
            travelers=len(party.members_in(session, row)),
            deadline_at=row.deadline_at,
        )


def give_without_a_place(
    database: Database, caller: Caller | None, token: str, amount: Money, *, name: str | None, nonce: str | None
) -> Given:
    """Give to everybody by the organizer's link. A use case; asked again with the same `nonce` it is the same gift.

    Who gives sits in the trip as a viewer, unless they are in it: they owe the amount like a portion, all or nothing
    includes them, and what goes back goes back to them. A guest whose answer was lost is given another key.

    Raises:
        SponsorLinkNotFound, SponsorLinkOver, BookingClosed: the link is no good (any more).
        ContributionInvalid: less than a card takes, or more than is left of what is wanted.
        NonceMissing, NameEmpty, NameTooLong: as for taking a place. TripFull, TripCanceled.
        PortionTooSmall: what would be left of somebody's portion no card can be asked for.
    """
    merchant_id, booking_id, id = _find(database, token)
    digest = invite_digest(nonce) if nonce is not None else None
    with database.begin(merchant_id) as session:
        row = repository.lock(session, booking_id)
        link, trip = repository.find_sponsor_link(session, id), trips.trip_of(session, TripId(row.trip_id), lock=True)
        known = repository.given_by_nonce(session, link.id, digest) if digest is not None else None
        if known is not None:
            joined = trips.sit_again(session, trip.id, MemberId(known.by_member_id))
            return Given(joined, ContributionId(known.id))
        left = _require_good(session, row, link)
        if amount.currency != row.currency:
            raise ContributionInvalid(pointer="/amount/currency", reason="currency", currency=row.currency)
        if amount > left:
            raise ContributionInvalid(pointer="/amount/amount", reason="out_of_range", most=left.minor)
        joined = trips.watch(session, trip, caller, name=name, via=JoinedVia.SPONSOR)
        if joined.guest_token is not None and digest is None:
            raise NonceMissing(pointer="/nonce")
        id_given = give_by_link(session, row, joined.member.id, amount, link_id=link.id, nonce=digest)
        return Given(joined, id_given)


def _find(database: Database, token: str) -> tuple[MerchantId, BookingId, SponsorLinkId]:
    """Raises SponsorLinkNotFound."""
    if not 0 < len(token) <= token_characters_max:
        raise SponsorLinkNotFound()
    with database.begin_unbound() as session:
        found = lookup(session, "sponsor_link_by_digest", invite_digest(token))
    if found is None:
        raise SponsorLinkNotFound()
    merchant_id, booking_id, id = found
    return MerchantId(merchant_id), BookingId(booking_id), SponsorLinkId(id)


def _require_good(session: Session, row: BookingRow, link: SponsorLinkRow) -> Money:
    """What is left of what is wanted."""
    if link.ended_at is not None:
        raise SponsorLinkOver()
    require_open(row)
    left = _left(session, row, link)
    if left < least_payable(row.currency):
        raise SponsorLinkOver()
    return left


def _left(session: Session, row: BookingRow, link: SponsorLinkRow) -> Money:
    given = sum(one.amount for one in party.parts_of(session, row).gifts if one.sponsor_link_id == link.id)
    return Money(max(0, link.wanted - given), row.currency)


def _check(row: BookingRow, wanted: Money) -> None:
    if wanted.currency != row.currency:
        raise ContributionInvalid(pointer="/wanted/currency", reason="currency", currency=row.currency)
    if wanted < least_payable(row.currency):
        raise ContributionInvalid(pointer="/wanted/amount", reason="too_small", least=least_payable(row.currency).minor)
    if wanted.minor > row.total or wanted.minor % payable_step(row.currency):
        raise ContributionInvalid(pointer="/wanted/amount", reason="out_of_range", most=row.total)


def _shown(session: Session, row: BookingRow, link: SponsorLinkRow, sealer: Sealer) -> SponsorLink:
    id = SponsorLinkId(link.id)
    token = sealer.open(_place(id), link.sealed_token).decode()
    return SponsorLink(id, token, Money(link.wanted, row.currency), _left(session, row, link))


def _place(id: SponsorLinkId) -> str:
    """Where the token is sealed: a seal copied to another row does not open."""
    return f"sponsor_link:{id.hex}"
