"""By which way a member is reached: the address they gave for this trip, then the accounts they joined with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from groupbook import merchants, people
from groupbook.kit.database import merchant_of
from groupbook.kit.i18n import negotiate
from groupbook.kit.ids import PersonId
from groupbook.notices import reach_repository
from groupbook.notices.domain import Address, NoticeCode, Scope, scope_of
from groupbook.notices.links import address_mark
from groupbook.notices.models import ReachRow
from groupbook.notices.ports import Messenger
from groupbook.notices.service.deps import EMAIL, NoticeDeps
from groupbook.trips.domain import Member


@dataclass(frozen=True, slots=True)
class Way:
    """A messenger, the address it takes, and the mark by which opt-outs know that address."""

    messenger: Messenger
    to: Address
    mark: bytes

    @property
    def channel(self) -> str:
        return self.messenger.channel


def ways_to(session: Session, deps: NoticeDeps, member: Member) -> Iterator[Way]:
    """Every way to this member, the one they chose first, then the oldest account. Opt-outs are not asked here."""
    yield from confirmed_way(session, deps, member)
    if member.person_id is None:
        return
    for contact in people.contacts_of(session, [PersonId(member.person_id)]).get(member.person_id, []):
        yield from _ways(session, deps, Address(contact.network, contact.app_id, contact.subject, contact.email))


def chosen_way(session: Session, deps: NoticeDeps, member: Member, code: NoticeCode) -> Way | None:
    """The way for a message of this kind; None when there is none, or its owner said no.

    A no at the first living address is a no: the message is not carried around it. Who waits to confirm an address is
    written to there, about nothing else.
    """
    if code is NoticeCode.CONFIRM_ADDRESS:
        ways = unconfirmed_way(session, deps, member)
    elif code is NoticeCode.SEAT_LINK:
        ways = confirmed_way(session, deps, member)
    else:
        ways = ways_to(session, deps, member)
    for way in ways:
        said = reach_repository.opt_out(session, way.channel, way.mark)
        if said is None:
            return way
        if said.refused_at is not None:
            continue
        is_no = said.all_at is not None or (said.reminders_at is not None and scope_of(code) is Scope.REMINDERS)
        return None if is_no else way
    return None


def confirmed_way(session: Session, deps: NoticeDeps, member: Member) -> Iterator[Way]:
    """To the address that its owner said yes to."""
    reach = reach_repository.reach_of(session, member.id)
    if reach is not None and reach.email is not None and reach.confirmed_at is not None:
        yield from _ways(session, deps, Address("", "", "", reach.email))


def unconfirmed_way(session: Session, deps: NoticeDeps, member: Member) -> Iterator[Way]:
    """To the address that is waiting to be confirmed."""
    reach = reach_repository.reach_of(session, member.id)
    if reach is not None and reach.email is not None and reach.confirmed_at is None:
        yield from _ways(session, deps, Address("", "", "", reach.email))


def _ways(session: Session, deps: NoticeDeps, to: Address) -> Iterator[Way]:
    for messenger in deps.messengers:
        if messenger.reaches(to):
            mark = address_mark(deps.sealer, merchant_of(session), messenger.channel, to)
            yield Way(messenger, to, mark)


def email_way(session: Session, deps: NoticeDeps, email: str) -> Way | None:
    """The way to this e-mail address; None when this house sends no e-mail."""
    return next((way for way in _ways(session, deps, Address("", "", "", email)) if way.channel == EMAIL), None)


def language_and_zone(session: Session, member: Member) -> tuple[str, str]:
    """What the reader reads and where their clock hangs: as they said, as their network said, as the merchant's is."""
    reach: ReachRow | None = reach_repository.reach_of(session, member.id)
    house = merchants.read_merchant(session)
    person = people.read_person(session, member.person_id) if member.person_id is not None else None
    locale = negotiate(None, reach.locale if reach else None, person.locale if person else None, house.locale)
    return locale, (reach.timezone if reach else None) or house.timezone
