"""Starting a trip and shaping it: title, options, privacy, invites, comments, the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from groupbook import offers, people
from groupbook.kit import clock, facts
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.ids import (
    CommentId,
    InviteId,
    MemberId,
    OccasionId,
    OfferId,
    OptionId,
    PersonId,
    TripId,
    new_id,
    to_wire,
)
from groupbook.kit.sealing import Sealer
from groupbook.offers.domain import Offer, OfferNotFound
from groupbook.trips import repository
from groupbook.trips.domain import (
    VOTING_STATES,
    BookingOpen,
    CommentNotFound,
    DeadlineInPast,
    DecisionRule,
    Invite,
    InviteNotFound,
    JoinedVia,
    Member,
    NotMember,
    NotOrganizer,
    OptionDecided,
    OptionKind,
    OptionNeedsSomething,
    OptionNotFound,
    Privacy,
    Role,
    TooManyComments,
    TooManyInvites,
    TooManyOptions,
    Trip,
    TripMove,
    TripNotFound,
    TripOption,
    TripState,
    TripStateForbids,
    TripTextInvalid,
    clean_comment,
    clean_line,
    comments_max,
    invite_digest,
    invite_place,
    invites_max,
    label_characters_max,
    may_invite,
    mint_invite_token,
    next_state,
    options_max,
    title_characters_max,
)
from groupbook.trips.service.seats import require_living, sit_at_head, sit_down

invite_days_max = 365


@dataclass(frozen=True, slots=True)
class NewOption:
    """An offer, or a date or place in words: exactly one."""

    offer_id: OfferId | None = None
    date: date | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class StartTrip:
    """What the organizer begins with: an offer, an occasion, or nothing at all.

    `organizer_name` names the guest who will organize when a merchant starts the trip for somebody.
    """

    title: str = ""
    organizer_name: str | None = None
    occasion_id: OccasionId | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    options: Sequence[NewOption] = ()
    rule: DecisionRule = field(default_factory=DecisionRule)
    privacy: Privacy = field(default_factory=Privacy)
    via: JoinedVia = JoinedVia.STARTED


@dataclass(frozen=True, slots=True)
class Started:
    """`invite_token` opens the trip to whoever has it; `guest_token` is the organizer's key if they are a guest."""

    trip_id: TripId
    member: Member
    invite_token: str
    guest_token: str | None


def start_trip(database: Database, sealer: Sealer, caller: Caller, plan: StartTrip) -> Started:
    """Begin a trip; its decision rule is fixed here. The first way in exists at once.

    Raises:
        Unauthenticated: nobody we know asks.
        TripTextInvalid, DeadlineRequired, DeadlineInPast, InvalidQuorum, TooManyOptions, OptionNeedsSomething,
        OfferNotFound, OccasionNotFound, NameEmpty, NameTooLong: nothing is stored.
    """
    if caller.kind == "nobody":
        raise Unauthenticated()
    with database.begin(caller.merchant_id) as session:
        return start_trip_in(session, sealer, caller, plan)


def start_trip_in(session: Session, sealer: Sealer, caller: Caller, plan: StartTrip) -> Started:
    """The step behind `start_trip`."""
    now = clock.now(session)
    if plan.starts_on and plan.ends_on and plan.ends_on < plan.starts_on:
        raise TripTextInvalid(pointer="/ends_on", reason="before_start")
    title = clean_line(plan.title, characters_max=title_characters_max, pointer="/title")
    if plan.occasion_id is not None:
        title = title or offers.read_occasion(session, plan.occasion_id).title[:title_characters_max]
    trip = Trip(
        id=TripId(new_id()),
        title=title,
        state=TripState.OPEN,
        rule=plan.rule.checked(now),
        privacy=plan.privacy,
        organizer_id=MemberId(new_id()),
        round=1,
        version=1,
        event_seq=0,
        created_at=now,
        occasion_id=plan.occasion_id,
        starts_on=plan.starts_on,
        ends_on=plan.ends_on,
    )
    repository.insert_trip(session, trip)
    organizer, guest_token = _seat_organizer(session, trip, caller, plan, now)
    event = {"member_id": to_wire("mem", organizer.id), "member_count": 1}
    repository.append(session, trip.id, "trip.started", event, actor_id=organizer.id, at=now)
    _add_options(session, trip, organizer, plan.options, now)
    _, token = _mint(session, sealer, trip, organizer, for_name=None, expires_at=None, now=now)
    facts.record(
        session,
        "trip.started",
        subject=trip.id,
        payload={"trip_id": trip.id.hex, "member_id": organizer.id.hex, "subject": organizer.subject.hex},
    )
    return Started(trip.id, organizer, token, guest_token)


def _seat_organizer(
    session: Session, trip: Trip, caller: Caller, plan: StartTrip, now: datetime
) -> tuple[Member, str | None]:
    token = None
    guest_id = person_id = None
    if caller.kind == "person" and caller.subject is not None:
        person_id = PersonId(caller.subject)
        name = people.read_person(session, person_id).display_name
    else:
        seated = people.add_guest(session, trip_ref=trip.id, name=plan.organizer_name or "")
        guest_id, name, token = seated.guest.id, seated.guest.name, seated.session.token
    organizer = Member(
        id=trip.organizer_id,
        trip_id=trip.id,
        name=name,
        role=Role.ORGANIZER,
        is_going=True,
        joined_via=plan.via,
        joined_at=now,
        person_id=person_id,
        guest_id=guest_id,
    )
    repository.insert_member(session, organizer)
    return organizer, token


def rename_trip(
    database: Database,
    caller: Caller,
    trip_id: TripId,
    *,
    title: str,
    starts_on: date | None,
    ends_on: date | None,
    expected_version: int | None = None,
) -> None:
    """Raises TripTextInvalid, NotOrganizer, TripChanged, TripCanceled."""
    cleaned = clean_line(title, characters_max=title_characters_max, pointer="/title")
    if starts_on and ends_on and ends_on < starts_on:
        raise TripTextInvalid(pointer="/ends_on", reason="before_start")
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller, expected_version=expected_version)
        require_living(seat.trip)
        repository.change_trip(session, seat.trip, title=cleaned, starts_on=starts_on, ends_on=ends_on)
        repository.append(session, trip_id, "trip.changed", {}, actor_id=seat.member.id, at=seat.now)


# --- options --------------------------------------------------------------------------------------------------------


def add_options(
    database: Database, caller: Caller, trip_id: TripId, new_options: Sequence[NewOption]
) -> list[TripOption]:
    """Put offers, dates or places to the vote. An offer already there is answered with its option, not added twice.

    Raises:
        TripStateForbids: voting is closed.
        TooManyOptions, OptionNeedsSomething, OfferNotFound, NotMember.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_down(session, trip_id, caller)
        if seat.member.role is Role.VIEWER:
            raise NotMember()
        _require_voting(seat.trip)
        return _add_options(session, seat.trip, seat.member, new_options, seat.now)


def _require_voting(trip: Trip) -> None:
    require_living(trip)
    if trip.state not in VOTING_STATES:
        raise TripStateForbids(state=trip.state.value)


def _add_options(
    session: Session, trip: Trip, member: Member, new_options: Sequence[NewOption], now: datetime
) -> list[TripOption]:
    if not new_options:
        return []
    present = repository.options(session, trip.id)
    known = {option.offer_id: option for option in present if option.offer_id}
    wanted = [new.offer_id for new in new_options if new.offer_id]
    found = offers.read_offers(session, wanted) if wanted else {}
    position = repository.next_position(session, trip.id)
    answer: list[TripOption] = []
    for index, new in enumerate(new_options):
        if new.offer_id in known:
            answer.append(known[new.offer_id])
            continue
        if len(present) >= options_max:
            raise TooManyOptions(options_max=options_max)
        option = _new_option(trip.id, new, found, position, pointer=f"/options/{index}")
        repository.insert_option(session, option, added_by=member.id, now=now)
        payload = {"option_id": to_wire("opt", option.id), "member_id": to_wire("mem", member.id)}
        repository.append(session, trip.id, "option.added", payload, actor_id=member.id, at=now)
        position += 1
        present.append(option)
        answer.append(option)
        if option.offer_id:
            known[option.offer_id] = option
    return answer


def _new_option(
    trip_id: TripId, new: NewOption, found: Mapping[OfferId, Offer], position: int, *, pointer: str
) -> TripOption:
    if sum(part is not None for part in (new.offer_id, new.date, new.place)) != 1:
        raise OptionNeedsSomething(pointer=pointer)
    id = OptionId(new_id())
    if new.offer_id is not None:
        offer = found.get(new.offer_id)
        if offer is None:
            raise OfferNotFound(pointer=f"{pointer}/offer_id")
        return TripOption(
            id,
            trip_id,
            OptionKind.OFFER,
            offer.title[:label_characters_max],
            position,
            offer_id=offer.id,
            starts_at=offer.departs_at,
            snapshot=offer_snapshot(offer),
        )
    if new.date is not None:
        return TripOption(id, trip_id, OptionKind.DATE, new.date.isoformat(), position)
    label = clean_line(new.place or "", characters_max=label_characters_max, pointer=f"{pointer}/place")
    if not label:
        raise OptionNeedsSomething(pointer=f"{pointer}/place")
    return TripOption(id, trip_id, OptionKind.PLACE, label, position)


def offer_snapshot(offer: Offer) -> dict[str, Any]:
    """What the group saw when the offer was put to the vote: the merchant's words and times, no price."""
    return {
        "ref": offer.ref,
        "title": offer.title,
        "image_url": offer.draft.image_url,
        "legs": [
            {
                "service": leg.service,
                "number": leg.number,
                "operator": leg.operator,
                "origin": leg.origin.name,
                "destination": leg.destination.name,
                "departs_at": leg.departs_local.isoformat(),
                "arrives_at": leg.arrives_local.isoformat(),
                "origin_zone": leg.origin.zone,
                "destination_zone": leg.destination.zone,
                "duration_minutes": leg.duration_minutes,
                "travel_class": leg.travel_class,
            }
            for leg in offer.legs
        ],
    }


def remove_option(database: Database, caller: Caller, trip_id: TripId, option_id: OptionId) -> None:
    """Take an option off the table; its votes no longer count. The organizer may, or who added nothing but it.

    Raises:
        OptionNotFound, NotOrganizer, TripStateForbids; OptionDecided: it is what was decided.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller)
        option = repository.read_option(session, trip_id, option_id)
        if option is None:
            raise OptionNotFound()
        if seat.trip.decided_option_id == option_id:
            raise OptionDecided()
        _require_voting(seat.trip)
        repository.remove_option(session, option_id, seat.now)
        payload = {"option_id": to_wire("opt", option_id)}
        repository.append(session, trip_id, "option.removed", payload, actor_id=seat.member.id, at=seat.now)


# --- privacy --------------------------------------------------------------------------------------------------------


def change_privacy(
    database: Database, caller: Caller, trip_id: TripId, privacy: Privacy, *, expected_version: int | None = None
) -> None:
    """What the organizer allows from now on. Wider codes die, streams of who lost access end, previews turn generic.

    Raises:
        NotOrganizer, TripChanged.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller, expected_version=expected_version)
        if privacy == seat.trip.privacy:
            return
        repository.change_trip(
            session,
            seat.trip,
            visibility=privacy.visibility.value,
            members_shown=privacy.members_shown.value,
            votes_shown=privacy.votes_shown.value,
        )
        payload = {"visibility": privacy.visibility.value}
        repository.append(session, trip_id, "privacy.changed", payload, actor_id=seat.member.id, at=seat.now)
        facts.record(session, "trip.privacy_changed", subject=trip_id, payload={"trip_id": trip_id.hex} | payload)


def cancel_trip(database: Database, caller: Caller, trip_id: TripId, *, expected_version: int | None = None) -> None:
    """End the trip before anything is booked.

    Raises:
        BookingOpen: a booking runs or stands; it is canceled first, by its own rules.
        NotOrganizer, TripChanged, TripStateForbids.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller, expected_version=expected_version)
        if seat.trip.state in (TripState.BOOKING, TripState.BOOKED) or seat.trip.frozen_by is not None:
            raise BookingOpen()
        state = next_state(seat.trip.state, TripMove.CANCEL)
        repository.change_trip(session, seat.trip, state=state.value)
        repository.append(session, trip_id, "trip.canceled", {}, actor_id=seat.member.id, at=seat.now)
        facts.record(session, "trip.canceled", subject=trip_id, payload={"trip_id": trip_id.hex})


# --- invites --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShownInvite:
    """An invite with its token, for whoever may hand it out."""

    invite: Invite
    token: str


def create_invite(
    database: Database,
    sealer: Sealer,
    caller: Caller,
    trip_id: TripId,
    *,
    for_name: str | None = None,
    expires_at: datetime | None = None,
) -> ShownInvite:
    """Another way in: for whoever has the link, or for one name (which also opens a secret trip).

    Raises:
        NotOrganizer: members may bring friends only when the organizer allows it.
        TooManyInvites, DeadlineInPast, NameEmpty, NameTooLong, TripCanceled.
    """
    name = people.clean_name(for_name, pointer="/for_name") if for_name is not None else None
    with database.begin(caller.merchant_id) as session:
        seat = sit_down(session, trip_id, caller)
        require_living(seat.trip)
        if not may_invite(seat.trip.privacy, seat.member.role):
            raise NotOrganizer()
        if expires_at is not None and not (seat.now < expires_at <= seat.now + timedelta(days=invite_days_max)):
            raise DeadlineInPast(pointer="/expires_at", days_max=invite_days_max)
        if len(repository.invites(session, trip_id, created_by=None)) >= invites_max:
            raise TooManyInvites(invites_max=invites_max)
        invite, token = _mint(
            session, sealer, seat.trip, seat.member, for_name=name, expires_at=expires_at, now=seat.now
        )
    return ShownInvite(invite, token)


def _mint(
    session: Session,
    sealer: Sealer,
    trip: Trip,
    member: Member,
    *,
    for_name: str | None,
    expires_at: datetime | None,
    now: datetime,
) -> tuple[Invite, str]:
    token = mint_invite_token()
    id = InviteId(new_id())
    sealed = sealer.seal(invite_place(id), token.encode("ascii"))
    invite = Invite(id, trip.id, for_name, now, expires_at, None, sealed_token=sealed)
    repository.insert_invite(session, invite, digest=invite_digest(token), created_by=member.id)
    return invite, token


def list_invites(database: Database, sealer: Sealer, caller: Caller, trip_id: TripId) -> list[ShownInvite]:
    """The ways in, to be handed out again: all of them for the organizer, a member's own otherwise."""
    with database.begin(caller.merchant_id) as session:
        seat = sit_down(session, trip_id, caller)
        mine = None if seat.member.role is Role.ORGANIZER else seat.member.id
        found = repository.invites(session, trip_id, created_by=mine)
    return [ShownInvite(invite, sealer.open(invite_place(invite.id), invite.sealed_token).decode()) for invite in found]


def revoke_invite(database: Database, caller: Caller, trip_id: TripId, invite_id: InviteId) -> None:
    """Close one way in, at once. Revoking twice changes nothing.

    Raises:
        InviteNotFound, NotOrganizer.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller)
        invite = repository.read_invite(session, invite_id)
        if invite is None or invite.trip_id != trip_id:
            raise InviteNotFound()
        repository.revoke_invite(session, invite_id, seat.now)


# --- comments -------------------------------------------------------------------------------------------------------


def add_comment(database: Database, caller: Caller, trip_id: TripId, body: str) -> repository.Comment:
    """Raises TripTextInvalid, NotMember, TooManyComments, TripCanceled."""
    cleaned = clean_comment(body)
    with database.begin(caller.merchant_id) as session:
        seat = sit_down(session, trip_id, caller)
        require_living(seat.trip)
        if seat.member.role is Role.VIEWER:
            raise NotMember()
        if repository.comment_count(session, trip_id) >= comments_max:
            raise TooManyComments(comments_max=comments_max)
        comment = repository.insert_comment(session, trip_id, seat.member.id, cleaned, seat.now)
        payload = {"comment_id": to_wire("cmt", comment.id), "member_id": to_wire("mem", seat.member.id)}
        repository.append(session, trip_id, "comment.added", payload, actor_id=seat.member.id, at=seat.now)
        return comment


def remove_comment(database: Database, caller: Caller, trip_id: TripId, comment_id: CommentId) -> None:
    """The writer or the organizer may. Raises CommentNotFound, NotOrganizer."""
    with database.begin(caller.merchant_id) as session:
        seat = sit_down(session, trip_id, caller)
        comment = repository.read_comment(session, trip_id, comment_id)
        if comment is None:
            raise CommentNotFound()
        if seat.member.id != comment.member_id and seat.member.role is not Role.ORGANIZER:
            raise NotOrganizer()
        repository.remove_comment(session, comment_id, seat.now)
        payload = {"comment_id": to_wire("cmt", comment_id)}
        repository.append(session, trip_id, "comment.removed", payload, actor_id=seat.member.id, at=seat.now)


def list_comments(
    database: Database, caller: Caller, trip_id: TripId, *, after: CommentId | None, limit: int
) -> list[repository.Comment]:
    """The discussion, newest first: for members only, never for the merchant or strangers."""
    with database.begin(caller.merchant_id) as session:
        repository.read_trip(session, trip_id)
        member = repository.member_of_caller(session, trip_id, caller)
        if member is None or member.role is Role.VIEWER:
            raise TripNotFound()
        return repository.comments_page(session, trip_id, after=after, limit=limit + 1)
