"""Addresses that members give, and what they no longer want there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid5
from zoneinfo import available_timezones

import structlog
from sqlalchemy.orm import Session

from groupbook import merchants, trips
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.i18n import LOCALES
from groupbook.kit.ids import TripId
from groupbook.kit.sealing import Sealer
from groupbook.merchants import Merchant
from groupbook.notices import reach_repository
from groupbook.notices.bounces import read_bounce
from groupbook.notices.domain import (
    Address,
    MailLinkUnknown,
    NoticeCode,
    Scope,
    TooManyAddresses,
    addresses_per_day_max,
    addresses_per_trip_max,
    check_email,
    confirm_days,
    masked,
)
from groupbook.notices.links import AddressLink, StopLink, address_mark, read_confirm_token, read_stop_token
from groupbook.notices.models import ReachRow
from groupbook.notices.service.deps import EMAIL, NoticeDeps
from groupbook.notices.service.noting import write
from groupbook.notices.service.ways import Way, email_way, ways_to
from groupbook.trips.domain import Member, TripNotFound

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody wants at one address. `is_refused`: the address turned out not to exist."""

    reminders: bool = True
    messages: bool = True
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """How a member is reached in one trip, as they themselves may see it; e-mail addresses are masked.

    `channel` is a network's name, `email`, or None: by this page only. `waiting_for` is an address not confirmed yet;
    `is_refused`: the one they gave does not exist.
    """

    channel: str | None
    shown: str
    wishes: Wishes
    waiting_for: str
    can_give: bool
    has_given: bool
    is_refused: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a link from a message is about, for the page that it opens."""

    merchant: Merchant
    channel: str
    scope: Scope
    wishes: Wishes


# --- by the member, in the trip ---------------------------------------------------------------------------------------


def read_reach(deps: NoticeDeps, caller: Caller, trip_id: TripId) -> Reach:
    """How the caller is reached in this trip. A use case.

    Raises:
        TripNotFound: they are not in it.
    """
    with deps.database.begin(caller.merchant_id) as session:
        member = _member(session, caller, trip_id)
        reach = reach_repository.reach_of(session, member.id)
        way = next(_living(session, deps, member), None)
        waiting = reach is not None and reach.email is not None and reach.confirmed_at is None
        return Reach(
            channel=way.channel if way else None,
            shown=masked(way.to.email or "") if way and way.channel == EMAIL else "",
            wishes=_wishes(session, way.channel, way.mark) if way else Wishes(),
            waiting_for=masked(reach.email or "") if reach and waiting else "",
            can_give=deps.mailer is not None,
            has_given=reach is not None and reach.email is not None,
            is_refused=_is_refused(session, deps, reach),
        )


def give_address(
    deps: NoticeDeps, caller: Caller, trip_id: TripId, email: str, *, locale: str, timezone: str | None
) -> None:
    """Ask for news of this trip at an address; nothing but a question goes there until its owner says yes. A use case.

    An address whose owner wants no messages is not asked: who gave it cannot tell.

    Raises:
        AddressInvalid, TooManyAddresses, TripNotFound
    """
    email = check_email(email)
    with deps.database.begin(caller.merchant_id) as session:
        member = _member(session, caller, trip_id)
        way = email_way(session, deps, email)
        if way is None:
            return
        now = clock.system_now(session)
        _check_tries(session, deps, trip_id, member, way.mark, now)
        known = reach_repository.reach_of(session, member.id)
        is_same = known is not None and known.email == email and known.confirmed_at is not None
        reach_repository.add_try(session, member.id, trip_id, way.mark, now)
        reach_repository.save_reach(
            session,
            member.id,
            trip_id=trip_id,
            email=email,
            confirmed_at=known.confirmed_at if known and is_same else None,
            locale=locale if locale in LOCALES else None,
            timezone=timezone if timezone in available_timezones() else None,
            given_at=now,
        )
        # Its owner may have mended the mailbox; a no they said is theirs to take back, by the link in any mail.
        reach_repository.change_opt_out(session, EMAIL, way.mark, refused_at=None)
        if not is_same:
            cause = uuid5(member.id, f"{way.mark.hex()} {now.isoformat()}")
            write(session, cause, member.id, trip_id, NoticeCode.CONFIRM_ADDRESS, {}, told_at=now)


def _check_tries(
    session: Session, deps: NoticeDeps, trip_id: TripId, member: Member, mark: bytes, now: datetime
) -> None:
    """Members and trips cost nothing: the questions that go to strangers are counted for the merchant, too."""
    tried = reach_repository.tries_since(
        session, now - timedelta(days=1), member_id=member.id, mark=mark, trip_id=trip_id
    )
    if max(tried.member, tried.address) >= addresses_per_day_max:
        raise TooManyAddresses(per_day_max=addresses_per_day_max)
    if tried.trip >= addresses_per_trip_max:
        raise TooManyAddresses(per_day_max=addresses_per_trip_max)
    if tried.merchant >= deps.addresses_per_merchant_max:
        log.warning("addresses_capped", per_day_max=deps.addresses_per_merchant_max)
        raise TooManyAddresses(per_day_max=deps.addresses_per_merchant_max)


def drop_address(deps: NoticeDeps, caller: Caller, trip_id: TripId) -> None:
    """Forget the address that the caller gave for this trip. Twice is once. A use case.

    Raises:
        TripNotFound
    """
    with deps.database.begin(caller.merchant_id) as session:
        reach_repository.delete_reach(session, [_member(session, caller, trip_id).id])


def wish(deps: NoticeDeps, caller: Caller, trip_id: TripId, wishes: Wishes) -> None:
    """What the caller wants at the address by which they are reached in this trip. A use case.

    Raises:
        TripNotFound
    """
    with deps.database.begin(caller.merchant_id) as session:
        way = next(_living(session, deps, _member(session, caller, trip_id)), None)
        if way is not None:
            _set_wishes(session, way.channel, way.mark, wishes)


def _is_refused(session: Session, deps: NoticeDeps, reach: ReachRow | None) -> bool:
    way = email_way(session, deps, reach.email) if reach is not None and reach.email is not None else None
    return way is not None and _wishes(session, way.channel, way.mark).is_refused


def _living(session: Session, deps: NoticeDeps, member: Member) -> Iterator[Way]:
    return (way for way in ways_to(session, deps, member) if not _wishes(session, way.channel, way.mark).is_refused)


def _member(session: Session, caller: Caller, trip_id: TripId) -> Member:
    member = trips.member_of(session, trip_id, caller) if caller.is_traveler else None
    if member is None:
        raise TripNotFound()
    return member


# --- by the link in a message, without a login ------------------------------------------------------------------------


def read_stop(database: Database, sealer: Sealer, token: str) -> Stopped:
    """What this link is about; changes nothing (mail scanners follow links). A use case.

    Raises:
        MailLinkUnknown
    """
    link = read_stop_token(sealer, token)
    with database.begin(link.merchant_id) as session:
        return _stopped(session, link)


def stop(database: Database, sealer: Sealer, token: str, *, wishes: Wishes | None = None) -> Stopped:
    """Stop what the message belongs to, or set the wishes. Twice is once. A use case.

    Raises:
        MailLinkUnknown
    """
    link = read_stop_token(sealer, token)
    with database.begin(link.merchant_id) as session:
        if wishes is None:
            known = _wishes(session, link.channel, link.mark)
            wishes = Wishes(reminders=False, messages=known.messages and link.scope is Scope.REMINDERS)
        _set_wishes(session, link.channel, link.mark, wishes)
        return _stopped(session, link)


def read_confirm(database: Database, sealer: Sealer, token: str) -> tuple[Merchant, TripId, bool]:
    """Whose question this link answers: the merchant, the trip, and whether it was answered; changes nothing.

    Raises:
        MailLinkUnknown: not ours, too old, or the member gave another address meanwhile.
    """
    with database.begin(read_confirm_token(sealer, token).merchant_id) as session:
        return _confirm(session, sealer, token, is_yes=False)


def confirm(database: Database, sealer: Sealer, token: str) -> tuple[Merchant, TripId, bool]:
    """The address is theirs: news of the trip goes there from now on. Twice is once. A use case.

    Raises:
        MailLinkUnknown
    """
    with database.begin(read_confirm_token(sealer, token).merchant_id) as session:
        return _confirm(session, sealer, token, is_yes=True)


def _confirm(session: Session, sealer: Sealer, token: str, *, is_yes: bool) -> tuple[Merchant, TripId, bool]:
    link: AddressLink = read_confirm_token(sealer, token)
    row = reach_repository.reach_of(session, link.member_id, lock=True)
    now = clock.system_now(session)
    if (
        row is None
        or row.email is None
        or address_mark(sealer, link.merchant_id, EMAIL, Address("", "", "", row.email)) != link.mark
    ):
        raise MailLinkUnknown()
    if row.confirmed_at is None and row.given_at < now - timedelta(days=confirm_days):
        raise MailLinkUnknown()
    if is_yes and row.confirmed_at is None:
        row.confirmed_at = now
        session.flush()
    return merchants.read_merchant(session), TripId(row.trip_id), row.confirmed_at is not None


def _stopped(session: Session, link: StopLink) -> Stopped:
    merchant = merchants.read_merchant(session)
    return Stopped(merchant, link.channel, link.scope, _wishes(session, link.channel, link.mark))


def _wishes(session: Session, channel: str, mark: bytes) -> Wishes:
    row = reach_repository.opt_out(session, channel, mark)
    if row is None:
        return Wishes()
    return Wishes(row.reminders_at is None and row.all_at is None, row.all_at is None, row.refused_at is not None)


def _set_wishes(session: Session, channel: str, mark: bytes, wishes: Wishes) -> None:
    known, now = reach_repository.opt_out(session, channel, mark), clock.system_now(session)
    reach_repository.change_opt_out(
        session,
        channel,
        mark,
        reminders_at=None if wishes.reminders and wishes.messages else (known and known.reminders_at) or now,
        all_at=None if wishes.messages else (known and known.all_at) or now,
    )


def receive_bounce(database: Database, sealer: Sealer, raw: bytes) -> bool:
    """A letter came back: nothing more goes to a mailbox that does not exist. Twice is once. A use case.

    Returns: whether the report says so of a letter of ours; any other changes nothing.
    """
    bounce = read_bounce(raw)
    if bounce is None:
        return False
    try:
        link = read_stop_token(sealer, bounce.token)
    except MailLinkUnknown:
        log.warning("bounce_of_no_letter_of_ours")
        return False
    with database.begin(link.merchant_id) as session:
        at = clock.system_now(session)
        reach_repository.change_opt_out(session, link.channel, link.mark, refused_at=at)
    log.info("address_refused", channel=link.channel, status=bounce.status)
    return True


def forget_addresses(session: Session) -> int:
    """Let go of addresses that nobody confirmed or that nothing is sent to any more. A step for the sweep."""
    return reach_repository.forget_old(session, clock.system_now(session))
