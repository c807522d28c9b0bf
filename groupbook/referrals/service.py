"""Shares, visits, and who brought whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import trips
from groupbook.kit import clock, facts
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, lookup, merchant_of
from groupbook.kit.errors import TooMany, Unauthenticated
from groupbook.kit.facts import Fact
from groupbook.kit.ids import BookingId, MemberId, MerchantId, ShareId, TripId, VisitId, new_id
from groupbook.referrals import repository
from groupbook.referrals.agents import classify
from groupbook.referrals.domain import (
    DIRECT,
    Attribution,
    ChannelGrowth,
    Click,
    Growth,
    OpenedShare,
    Recorded,
    Share,
    ShareNotFound,
    ShareRevoked,
    UncountedReason,
    VisitNotFound,
    VisitTooFresh,
    attribution_rule_version,
    check_channel,
    check_fields,
    decide_booking,
    mint_code,
    purpose_of,
    read_code,
    require_shareable,
    shares_per_trip_max,
    subject_key,
    truncate_address,
    visible_seconds_min,
    visitor_key,
)
from groupbook.referrals.models import VisitRow
from groupbook.trips import Joined
from groupbook.trips.domain import Visibility


class TooManyShares(TooMany):
    code = "too_many_shares"


# --- sharing --------------------------------------------------------------------------------------------------------


def mint_share(
    database: Database, caller: Caller, trip_id: TripId, *, channel: str, fields: Sequence[str] = ()
) -> Share:
    """One code for one share act. The code names this act; what it shows is asked from the trip at every use.

    Args:
        fields: what the sharer wants to show of it (`SHARE_FIELDS`); the organizer's privacy still decides.
    Raises:
        InvalidChannel, InvalidShareField
        TripNotFound: no such trip for this caller (`NotMember` when it is public and they are not in it).
        ShareNotAllowed: a secret or canceled trip, or only the organizer may share it.
        TooManyShares
    """
    if caller.kind == "nobody":
        raise Unauthenticated()
    check_channel(channel)
    shown = check_fields(fields)
    with database.begin(caller.merchant_id) as session:
        trip = trips.trip_of(session, trip_id)
        member = trips.member_of(session, trip_id, caller)
        if member is None:
            raise trips.NotMember() if trip.privacy.visibility is Visibility.PUBLIC else trips.TripNotFound()
        require_shareable(trip.privacy, trip.state, member)
        if repository.shares_of_trip(session, trip_id) >= shares_per_trip_max:
            raise TooManyShares(shares_max=shares_per_trip_max)
        share = Share(
            id=ShareId(new_id()),
            merchant_id=merchant_of(session),
            trip_id=trip_id,
            code=mint_code(),
            sharer=member.subject,
            channel=channel,
            fields=shown,
            created_at=clock.now(session),
            revoked_at=None,
        )
        repository.add_share(session, share)
        payload = {"trip_id": trip_id.hex, "share_id": share.id.hex, "channel": channel}
        facts.record(session, "share.minted", subject=share.id, payload=payload)
    return share


def find_share(database: Database, code: str) -> tuple[MerchantId, ShareId]:
    """Whose share a code names, before the merchant is known. Raises ShareNotFound."""
    clean = read_code(code)
    with database.begin_unbound() as session:
        found = None if clean is None else lookup(session, "share_by_code", clean)
    if found is None:
        raise ShareNotFound()
    return MerchantId(found[0]), ShareId(found[1])


def open_share(database: Database, code: str) -> OpenedShare:
    """What a stranger with this code may see now.

    Raises:
        ShareNotFound: no such code.
        ShareRevoked: it has ended, or the organizer does not show the trip to strangers any more.
    """
    merchant_id, share_id = find_share(database, code)
    with database.begin(merchant_id) as session:
        return _opened(session, share_id)


def _opened(session: Session, share_id: ShareId) -> OpenedShare:
    share = repository.share(session, share_id)
    if share is None:
        raise ShareNotFound()
    view = trips.public_view(session, share.trip_id)
    if share.revoked_at is not None or view is None:
        raise ShareRevoked()
    return OpenedShare(share, view)


# --- visits ---------------------------------------------------------------------------------------------------------


def click_of(method: str, headers: Mapping[str, str], address: str) -> Click:
    """What is kept of a request. `headers` by lower-case name; the full address and agent go no further."""
    agent_class, agent_family = classify(headers.get("user-agent", ""))
    return Click(
        method=method.upper()[:10],
        address_truncated=truncate_address(address),
        agent_class=agent_class,
        agent_family=agent_family,
        fetch_mode=_short(headers.get("sec-fetch-mode")),
        fetch_destination=_short(headers.get("sec-fetch-dest")),
        purpose=purpose_of(headers),
    )


def _short(value: str | None) -> str | None:
    return value[:20] if value else None


def record_hit(
    database: Database,
    merchant_id: MerchantId,
    click: Click,
    *,
    trip_id: TripId,
    share: Share | None = None,
    caller: Caller | None = None,
) -> Recorded:
    """Write a request for a share page (or, without a share, a trip's public page), and the visit it may become.

    Nothing counts yet: the visible page confirms the visit, or something the person does.
    """
    with database.begin(merchant_id) as session:
        at = clock.system_now(session)
        reason = click.uncounted()
        visit_id: VisitId | None = None
        if reason is None:
            origin = share.id if share else trip_id
            known = caller if caller is not None and caller.is_traveler and caller.merchant_id == merchant_id else None
            subject = known.subject if known else None
            reason = _insider(session, trip_id, share, known)
            key = subject_key(subject, origin) if subject else visitor_key(_salt(session, at), click, origin)
            visit_id = repository.put_visit(
                session,
                trip_id=trip_id,
                share_id=share.id if share else None,
                key=key,
                subject=subject,
                reason=reason,
                at=at,
            )
        repository.add_hit(
            session,
            click,
            trip_id=trip_id,
            share_id=share.id if share else None,
            visit_id=visit_id,
            reason=reason,
            at=at,
        )
    return Recorded(visit_id, reason)


def _salt(session: Session, at: datetime) -> bytes:
    return repository.salt(session, at.date())


def _insider(session: Session, trip_id: TripId, share: Share | None, caller: Caller | None) -> UncountedReason | None:
    if caller is None or caller.subject is None:
        return None
    if share is not None and share.sharer == caller.subject:
        return UncountedReason.SELF
    return UncountedReason.MEMBER if trips.member_of(session, trip_id, caller) is not None else None


def confirm_visit(database: Database, visit_id: VisitId) -> bool:
    """The page was visible to somebody for a second. True when the visit counts now; confirming twice is once.

    Raises:
        VisitNotFound
        VisitTooFresh: less than a second after the page was asked for; nobody has looked at it yet.
    """
    with database.begin_unbound() as session:
        merchant_id = lookup(session, "merchant_of_visit", visit_id)
    if merchant_id is None:
        raise VisitNotFound()
    with database.begin(merchant_id) as session:
        row = repository.visit(session, visit_id, lock=True)
        if row is None:
            raise VisitNotFound()
        now = clock.system_now(session)
        if row.confirmed_at is None and now - row.first_at < timedelta(seconds=visible_seconds_min):
            raise VisitTooFresh(seconds_min=visible_seconds_min)
        _confirm(row, now)
        return row.reason is None


def _confirm(row: VisitRow, now: datetime) -> None:
    if row.confirmed_at is None:
        row.confirmed_at = now


# --- who brought whom -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JoinedByShare:
    """The seat, and whether the share is credited for it."""

    joined: Joined
    is_credited: bool


def join_by_share(
    database: Database, caller: Caller | None, code: str, *, name: str | None = None, visit_id: VisitId | None = None
) -> JoinedByShare:
    """Come into a shared trip; the share is credited for it, once and for good.

    Raises:
        ShareNotFound, ShareRevoked
        NameEmpty, NameTooLong, TripFull, RosterFrozen, TripCanceled: as trips says; nothing is credited then.
    """
    merchant_id, share_id = find_share(database, code)
    with database.begin(merchant_id) as session:
        share = _opened(session, share_id).share
        joined = trips.join_by_share(session, share.trip_id, caller, sharer=share.sharer, name=name)
        is_credited = joined.is_new and note_join(
            session, share.trip_id, joined.member.id, joined.member.subject, share=share, visit_id=visit_id
        )
    return JoinedByShare(joined, is_credited)


def note_join(
    session: Session,
    trip_id: TripId,
    member_id: MemberId,
    subject: UUID,
    *,
    share: Share | None,
    visit_id: VisitId | None = None,
    is_start: bool = False,
) -> bool:
    """A step: write how a member came into a trip. The first word stands; True when a share is credited now.

    Doing something is evidence of a person, so the visit behind it is confirmed.
    """
    visit = repository.visit(session, visit_id, lock=True) if visit_id else None
    if visit is not None:
        _confirm(visit, clock.system_now(session))
    if share is not None and share.sharer == subject:
        share = None  # nobody brings themselves
    fits = visit is not None and share is not None and visit.share_id == share.id
    written = repository.add_join(
        session,
        trip_id=trip_id,
        member_id=member_id,
        share_id=share.id if share else None,
        visit_id=visit.id if visit is not None and fits else None,
        is_start=is_start,
        at=clock.now(session),
    )
    return written and share is not None


def note_start(session: Session, trip_id: TripId, member_id: MemberId, subject: UUID, visit_id: VisitId) -> bool:
    """A step: somebody who came by a share started a trip of their own. True when the share is credited for it."""
    visit = repository.visit(session, visit_id)
    share = repository.share(session, visit.share_id) if visit is not None and visit.share_id else None
    if visit is None or share is None or visit.reason is not None or share.revoked_at is not None:
        return False
    return note_join(session, trip_id, member_id, subject, share=share, visit_id=visit_id, is_start=True)


def on_trip_started(session: Session, fact: Fact) -> None:
    """A listener: who started without a share is written too, beside those who did."""
    _note_direct(session, fact, is_start=True)


def on_member_joined(session: Session, fact: Fact) -> None:
    """A listener: who came without a share is written too, beside those who did."""
    _note_direct(session, fact, is_start=False)


def _note_direct(session: Session, fact: Fact, *, is_start: bool) -> None:
    repository.add_join(
        session,
        trip_id=UUID(hex=fact.payload["trip_id"]),
        member_id=UUID(hex=fact.payload["member_id"]),
        share_id=None,
        visit_id=None,
        is_start=is_start,
        at=fact.recorded_at,
    )


def on_booking_confirmed(session: Session, fact: Fact) -> None:
    """A listener: decide who brought this booking, once. What was seen and the rule's version are kept with it."""
    trip_id = TripId(UUID(hex=fact.payload["trip_id"]))
    booking_id = BookingId(UUID(hex=fact.payload["booking_id"]))
    going = [member.id for member in trips.members(session, trip_id) if member.is_going]
    joins = repository.joins(session, trip_id, going)
    share_id, rule = decide_booking(joins)
    decided = Attribution(booking_id, trip_id, share_id, rule, attribution_rule_version, clock.now(session))
    seen = [(one.member_id.hex, one.share_id.hex if one.share_id else None, one.is_start) for one in joins]
    inputs = {"joins": [{"member_id": id, "share_id": came_by, "is_start": start} for id, came_by, start in seen]}
    if repository.add_attribution(session, decided, inputs) and share_id is not None:
        payload = {"trip_id": trip_id.hex, "booking_id": booking_id.hex, "share_id": share_id.hex}
        facts.record(session, "booking.attributed", subject=booking_id, payload=payload)


def attribution_of(session: Session, booking_id: BookingId) -> Attribution | None:
    """A step: who brought a booking; None while it is not decided."""
    return repository.attribution(session, booking_id)


# --- figures, forgetting --------------------------------------------------------------------------------------------


def growth(database: Database, merchant_id: MerchantId) -> Growth:
    """What sharing brought, per channel and together, beside direct traffic."""
    with database.begin(merchant_id) as session:
        channels = repository.growth_by_channel(session)
        without = repository.shares_without_visit(session)
        bots = repository.bot_hits(session)
    shared = ChannelGrowth("shared")
    for channel in channels:
        if channel.channel != DIRECT:
            shared = shared.plus(channel)
    direct = next((channel for channel in channels if channel.channel == DIRECT), ChannelGrowth(DIRECT))
    listed = tuple(channel for channel in channels if channel.channel != DIRECT)
    return Growth(shared, direct, listed, shares_without_visit=without, bot_hits=bots)


def sweep(session: Session, now: datetime) -> None:
    """A step: let go what may not be kept any longer (salts, addresses, raw hits)."""
    del now  # a shifted test clock must not destroy a salt that is still in use
    repository.sweep(session, clock.system_now(session))


def forget(session: Session, subject: UUID) -> None:
    """A step: end this subject's shares and take the name off their visits; the counts stay. Twice is once."""
    repository.forget(session, subject, clock.now(session))


def on_person_erased(session: Session, fact: Fact) -> None:
    """A listener: the person and the guests they were."""
    for subject in (fact.subject, *(UUID(hex=id) for id in fact.payload.get("guest_ids", ()))):
        forget(session, subject)
