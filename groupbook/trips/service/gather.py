"""Coming in, taking a seat over, going or not, leaving."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import discounts, people
from groupbook.kit import clock, facts
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, lookup, merchant_of
from groupbook.kit.errors import Forbidden
from groupbook.kit.ids import BookingId, GuestId, InviteId, MemberId, MerchantId, PersonId, TripId, new_id, to_wire
from groupbook.people.domain import GuestNotFound
from groupbook.trips import repository
from groupbook.trips.domain import (
    GATHERING_STATES,
    Invite,
    InviteNotFound,
    InviteRevoked,
    JoinedVia,
    Member,
    MemberNotFound,
    NothingToWaitFor,
    NotMember,
    NotOrganizer,
    OrganizerStays,
    Role,
    RosterFrozen,
    Trip,
    TripFull,
    TripNotFound,
    TripState,
    Visibility,
    check_invite,
    invite_digest,
    may_invite,
    members_max,
    viewers_max,
)
from groupbook.trips.service.seats import require_living, require_thawed, sit_down

token_characters_max = 64
_RANKS = (Role.ORGANIZER, Role.MEMBER, Role.VIEWER)  # of two seats of one human the better one counts


@dataclass(frozen=True, slots=True)
class Joined:
    """`guest_token` is a guest's only key; None for a person, and for a guest who was in already and asked with it."""

    merchant_id: MerchantId
    trip_id: TripId
    member: Member
    guest_token: str | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class InviteAddress:
    """Where an invite leads, found before the merchant is known."""

    merchant_id: MerchantId
    trip_id: TripId
    invite_id: InviteId


def find_invite(database: Database, token: str) -> InviteAddress:
    """Raises InviteNotFound."""
    if not 0 < len(token) <= token_characters_max:
        raise InviteNotFound()
    with database.begin_unbound() as session:
        found = lookup(session, "invite_by_digest", invite_digest(token))
    if found is None:
        raise InviteNotFound()
    merchant_id, trip_id, invite_id = found
    return InviteAddress(MerchantId(merchant_id), TripId(trip_id), InviteId(invite_id))


def merchant_of_trip(database: Database, trip_id: TripId) -> MerchantId:
    """Whose trip this is, for addresses that come before the merchant is known. Raises TripNotFound."""
    with database.begin_unbound() as session:
        merchant_id = lookup(session, "merchant_of_trip", trip_id)
    if merchant_id is None:
        raise TripNotFound()
    return MerchantId(merchant_id)


def open_invite(database: Database, token: str) -> tuple[InviteAddress, str | None]:
    """Whether an invite is good now, and whom it is for: before anybody joins.

    Raises:
        InviteNotFound, InviteRevoked, InviteExpired, TripCanceled.
    """
    address = find_invite(database, token)
    with database.begin(address.merchant_id) as session:
        trip = repository.read_trip(session, address.trip_id)
        invite = repository.read_invite(session, address.invite_id)
        if invite is None:
            raise InviteNotFound()
        creator = _creator_of(session, invite)
        check_invite(invite, trip.privacy, trip.state, clock.now(session), creator=creator)
    return address, invite.for_name


def join_by_invite(
    database: Database, caller: Caller | None, token: str, *, name: str | None = None, via: JoinedVia = JoinedVia.INVITE
) -> Joined:
    """Come in by an invite: a known person as themselves, anybody else as a guest with a name.

    Joining twice answers with the seat one already has.

    Raises:
        InviteNotFound, InviteRevoked, InviteExpired, TripCanceled: this way in is closed.
        NameEmpty, NameTooLong: a guest needs a name (a personal invite brings its own).
        TripFull, RosterFrozen.
    """
    address = find_invite(database, token)
    with database.begin(address.merchant_id) as session:
        trip = repository.read_trip(session, address.trip_id, lock=True)
        invite = repository.read_invite(session, address.invite_id)
        if invite is None:
            raise InviteNotFound()
        now = clock.now(session)
        check_invite(invite, trip.privacy, trip.state, now, creator=_creator_of(session, invite))
        joined = _join(session, trip, caller, name or invite.for_name, via, now)
        if invite.for_name is not None:
            if invite.used_by not in (None, joined.member.id):
                raise InviteRevoked()  # it was for one person, who is in; the transaction undoes the seat
            repository.use_invite(session, invite.id, joined.member.id)
        return joined


def wait_by_invite(session: Session, address: InviteAddress, caller: Caller | None, *, name: str | None) -> Joined:
    """A step for bookings: sit down without a place, by an invite through which nobody can join now.

    Who sits in the trip already keeps the seat they have.

    Raises:
        InviteNotFound, InviteRevoked, InviteExpired, TripCanceled: this way in is closed.
        NothingToWaitFor: they can join, or all is booked.
        NameEmpty, NameTooLong, TripFull: too many watch already.
    """
    trip = repository.read_trip(session, address.trip_id, lock=True)
    invite = repository.read_invite(session, address.invite_id)
    if invite is None:
        raise InviteNotFound()
    check_invite(invite, trip.privacy, trip.state, clock.now(session), creator=_creator_of(session, invite))
    require_full(session, trip)
    joined = watch(session, trip, caller, name=name or invite.for_name, via=JoinedVia.INVITE)
    if invite.for_name is not None:
        if invite.used_by not in (None, joined.member.id):
            raise InviteRevoked()
        repository.use_invite(session, invite.id, joined.member.id)
    return joined


def require_full(session: Session, trip: Trip) -> None:
    """A step. Raises NothingToWaitFor: whoever wants to come can join, or all is booked."""
    if may_come_in(session, trip) or trip.state is TripState.BOOKED:
        raise NothingToWaitFor()


def may_come_in(session: Session, trip: Trip) -> bool:
    """Whether somebody more can join now. A step."""
    return room_in(session, trip) > 0


def room_in(session: Session, trip: Trip) -> int:
    """How many more can join now. A step."""
    return members_max - repository.headcount(session, trip.id).present if trip.frozen_by is None else 0


def watch(session: Session, trip: Trip, caller: Caller | None, *, name: str | None, via: JoinedVia) -> Joined:
    """A step for bookings: sit in the trip without a place in it, as a viewer. The trip is locked.

    Who sits in it already keeps the seat they have.

    Raises:
        TripCanceled, NameEmpty, NameTooLong. TripFull: too many watch already.
    """
    require_living(trip)
    merchant_id = merchant_of(session)
    known = _known(caller, merchant_id)
    seat = repository.member_of_caller(session, trip.id, known, even_left=True) if known else None
    if seat is not None and seat.is_present:
        return Joined(merchant_id, trip.id, seat, None, is_new=False)
    if repository.headcount(session, trip.id).viewers >= viewers_max:
        raise TripFull(members_max=viewers_max)
    if seat is None:
        now = clock.now(session)
        member, token = _seat(session, trip, known, name, via, is_going=False, now=now, role=Role.VIEWER)
        return Joined(merchant_id, trip.id, member, token, is_new=True)
    repository.change_member(session, seat.id, left_at=None, is_going=False, role=Role.VIEWER.value)
    return Joined(merchant_id, trip.id, _present(session, trip.id, seat.id), None, is_new=True)


def come_in(session: Session, trip_id: TripId, caller: Caller) -> Joined:
    """A step for bookings: a viewer joins the group, which has room again.

    Raises:
        TripNotFound: they have no seat. TripFull, RosterFrozen, TripCanceled.
    """
    trip = repository.read_trip(session, trip_id, lock=True)
    seat = repository.member_of_caller(session, trip_id, caller)
    if seat is None:
        raise TripNotFound()
    return _join(session, trip, caller, None, seat.joined_via, clock.now(session))


def _creator_of(session: Session, invite: Invite) -> Member | None:
    """Who made the invite, as long as they sit in the trip."""
    return repository.read_member(session, invite.trip_id, invite.created_by) if invite.created_by else None


def join_public(database: Database, caller: Caller | None, trip_id: TripId, *, name: str | None = None) -> Joined:
    """Come into a public trip without an invite.

    Raises:
        TripNotFound: not public, or no such trip.
        NameEmpty, NameTooLong, TripFull, RosterFrozen, TripCanceled.
    """
    with database.begin(merchant_of_trip(database, trip_id)) as session:
        trip = repository.read_trip(session, trip_id, lock=True)
        if trip.privacy.visibility is not Visibility.PUBLIC:
            raise TripNotFound()
        return _join(session, trip, caller, name, JoinedVia.PUBLIC, clock.now(session))


def join_by_share(
    session: Session, trip_id: TripId, caller: Caller | None, *, sharer: UUID, name: str | None = None
) -> Joined:
    """A step for referrals: come in by a share. The code carries no right; what its sharer may do now decides.

    Raises:
        TripNotFound: the trip is secret now.
        InviteRevoked: whoever shared it may bring nobody any more, or has left.
        NameEmpty, NameTooLong, TripFull, RosterFrozen, TripCanceled.
    """
    trip = repository.read_trip(session, trip_id, lock=True)
    if trip.privacy.visibility is Visibility.SECRET:
        raise TripNotFound()
    seats = (one for one in repository.members(session, trip_id) if one.subject == sharer)
    if not any(may_invite(trip.privacy, one.role) for one in seats):
        raise InviteRevoked()
    return _join(session, trip, caller, name, JoinedVia.SHARE, clock.now(session))


def admit(
    session: Session,
    trip_id: TripId,
    caller: Caller | None,
    *,
    name: str | None,
    by: BookingId,
    seat: MemberId | None = None,
) -> Joined:
    """A step for bookings: somebody takes a place in the party that `by` froze, and is going from now on.

    Who is in the trip already keeps the seat they have; `seat`: it is known which.

    Raises:
        RosterFrozen: another booking holds the roster. TripCanceled, TripFull, NameEmpty, NameTooLong.
    """
    trip = repository.read_trip(session, trip_id, lock=True)
    if trip.frozen_by not in (None, by):
        raise RosterFrozen()
    now = clock.now(session)
    known = repository.read_member(session, trip_id, seat) if seat is not None else None
    joined = _join(session, trip, caller, name, JoinedVia.INVITE, now, is_admitted=True, seat=known)
    if joined.member.is_going:
        return joined
    repository.change_member(session, joined.member.id, is_going=True)
    payload = {
        "member_id": to_wire("mem", joined.member.id),
        "is_going": True,
        "going_count": repository.headcount(session, trip_id).going,
    }
    repository.append(session, trip_id, "member.going_changed", payload, actor_id=joined.member.id, at=now)
    return replace(joined, member=_present(session, trip_id, joined.member.id))


def seat_traveler(session: Session, trip_id: TripId, member_id: MemberId, *, now: datetime) -> None:
    """A step for bookings: who has a ticket now goes, and who only watched is a member. Twice is once."""
    trip = repository.read_trip(session, trip_id, lock=True)
    seat = repository.read_member(session, trip_id, member_id)
    if seat is None or (seat.is_going and seat.role is not Role.VIEWER):
        return
    before = repository.headcount(session, trip_id)
    is_new = seat.role is Role.VIEWER
    role = Role.MEMBER if is_new else seat.role
    repository.change_member(session, member_id, role=role.value, is_going=True)
    if is_new:
        heads = replace(before, present=before.present + 1, going=before.going + 1)
        _tell_joined(session, trip.id, _present(session, trip_id, member_id), heads, seat.joined_via, now)
        return
    payload = {"member_id": to_wire("mem", member_id), "is_going": True, "going_count": before.going + 1}
    repository.append(session, trip_id, "member.going_changed", payload, actor_id=member_id, at=now)


def sit_again(session: Session, trip_id: TripId, member_id: MemberId) -> Joined:
    """A step for upper rooms, once it is known that whoever asks has this seat: the same seat, with a fresh key for a
    guest. What they were given before stays good.

    Raises:
        MemberNotFound: they left.
    """
    member = _present(session, trip_id, member_id)
    token = people.renew_guest(session, member.guest_id).token if member.guest_id is not None else None
    return Joined(merchant_of(session), trip_id, member, token, is_new=False)


def _join(
    session: Session,
    trip: Trip,
    caller: Caller | None,
    name: str | None,
    via: JoinedVia,
    now: datetime,
    *,
    is_admitted: bool = False,
    seat: Member | None = None,
) -> Joined:
    require_living(trip)
    merchant_id = merchant_of(session)
    known = _known(caller, merchant_id)
    if seat is None and known is not None:
        seat = repository.member_of_caller(session, trip.id, known, even_left=True)
    if seat is not None and seat.is_present and seat.role is not Role.VIEWER:
        return Joined(merchant_id, trip.id, seat, None, is_new=False)
    if not is_admitted:
        require_thawed(trip)
    before = repository.headcount(session, trip.id)
    # Whoever handed their place over stays in the trip, so a full one has room for who takes it.
    if before.present >= (2 * members_max if is_admitted else members_max):
        raise TripFull(members_max=members_max)
    is_going = trip.state in GATHERING_STATES
    if seat is not None:
        role = Role.MEMBER if seat.role is Role.VIEWER else seat.role
        repository.change_member(session, seat.id, left_at=None, is_going=is_going, role=role.value)
        member, token = _present(session, trip.id, seat.id), None
    else:
        member, token = _seat(session, trip, known, name, via, is_going=is_going, now=now)
    heads = replace(before, present=before.present + 1, going=before.going + is_going)
    _tell_joined(session, trip.id, member, heads, via, now)
    return Joined(merchant_id, trip.id, member, token, is_new=True)


def _known(caller: Caller | None, merchant_id: MerchantId) -> Caller | None:
    """A session of another merchant is nobody here: the same human is another person at each merchant."""
    is_here = caller is not None and caller.merchant_id == merchant_id and caller.is_traveler
    return caller if is_here else None


def _seat(
    session: Session,
    trip: Trip,
    caller: Caller | None,
    name: str | None,
    via: JoinedVia,
    *,
    is_going: bool,
    now: datetime,
    role: Role = Role.MEMBER,
) -> tuple[Member, str | None]:
    person_id = guest_id = token = None
    if caller is not None and caller.kind == "person" and caller.subject is not None:
        person_id = PersonId(caller.subject)
        shown = people.read_person(session, person_id).display_name
    else:
        seated = people.add_guest(session, trip_ref=trip.id, name=name or "")
        guest_id, shown, token = seated.guest.id, seated.guest.name, seated.session.token
    member = Member(
        id=MemberId(new_id()),
        trip_id=trip.id,
        name=shown,
        role=role,
        is_going=is_going,
        joined_via=via,
        joined_at=now,
        person_id=person_id,
        guest_id=guest_id,
    )
    repository.insert_member(session, member)
    return member, token


def _tell_joined(
    session: Session,
    trip_id: TripId,
    member: Member,
    heads: repository.Headcount,
    via: JoinedVia,
    now: datetime,
) -> None:
    payload = {
        "member_id": to_wire("mem", member.id),
        "member_count": heads.present,
        "going_count": heads.going,
    }
    repository.append(session, trip_id, "member.joined", payload, actor_id=member.id, at=now)
    facts.record(
        session,
        "member.joined",
        subject=member.id,
        payload={
            "trip_id": trip_id.hex,
            "member_id": member.id.hex,
            "subject": member.subject.hex,
            "via": via.value,
        },
    )


def _present(session: Session, trip_id: TripId, member_id: MemberId) -> Member:
    member = repository.read_member(session, trip_id, member_id)
    if member is None:
        raise MemberNotFound()
    return member


# --- a guest becomes a person ---------------------------------------------------------------------------------------


def adopt(database: Database, caller: Caller, guest_token: str) -> Joined:
    """The caller, a person, takes over the seat whose token they hold: its role, votes, comments and cards.

    Raises:
        Forbidden: the caller is not a person.
        GuestNotFound: not (or no longer) a guest's token at this merchant.
        GuestAdopted: it is somebody else's already.
    """
    if caller.kind != "person" or caller.subject is None:
        raise Forbidden(needs="person")
    guest = people.authenticate(database, guest_token)
    if guest is None or guest.kind != "guest" or guest.subject is None or guest.merchant_id != caller.merchant_id:
        raise GuestNotFound()
    person_id, guest_id = PersonId(caller.subject), GuestId(guest.subject)
    with database.begin(caller.merchant_id) as session:
        adopt_guest(session, guest_id, person_id)
        trip_id = TripId(people.read_guest(session, guest_id).trip_ref)
        member = repository.person_in_trip(session, trip_id, person_id)
    if member is None:
        raise GuestNotFound()
    return Joined(caller.merchant_id, trip_id, member, None, is_new=False)


def adopt_guest(session: Session, guest_id: GuestId, person_id: PersonId) -> None:
    """A step (the `adopt` of people's log-ins): the seat becomes this person's; nothing is lost, doing it twice
    changes nothing. Somebody who sits in the trip already keeps one seat: the organizer's if either is, with the later
    vote on each option.

    Raises:
        GuestNotFound, PersonNotFound, GuestAdopted.
    """
    trip_id = TripId(people.read_guest(session, guest_id).trip_ref)
    trip = repository.find_trip(session, trip_id, lock=True)  # the trip's lock comes before the guest's
    seat = repository.guest_in_trip(session, trip_id, guest_id)
    own = repository.person_in_trip(session, trip_id, person_id)
    if trip and seat and own and _is_counted(trip, seat) and _is_counted(trip, own):
        return  # one human, two seats: neither may vanish from a booking that counts it
    people.adopt_guest(session, guest_id, person_id)
    now = clock.now(session)
    discounts.move_entitlements(session, guest_id, person_id, now)
    if trip is None or seat is None:
        return
    if own is not None and _is_counted(trip, seat):
        seat, own = _change_places(session, seat, own)
    if own is None:
        name = people.read_person(session, person_id).display_name or seat.name
        repository.change_member(session, seat.id, person_id=person_id, guest_id=None, name=name)
        payload = {"member_id": to_wire("mem", seat.id)}
        repository.append(session, trip_id, "member.adopted", payload, actor_id=seat.id, at=now)
    else:
        _merge(session, trip, seat, own, now)


def _is_counted(trip: Trip, member: Member) -> bool:
    """The seat has a line in a quote, or gives or waits without one: a ticket, a portion or a turn hangs on its id."""
    is_needed = member.is_going or member.role is Role.VIEWER
    return trip.state in (TripState.BOOKING, TripState.BOOKED) and member.is_present and is_needed


def _change_places(session: Session, seat: Member, own: Member) -> tuple[Member, Member]:
    """The seat that a booking counts becomes the person's; the other ends. Answers which ends and which stays."""
    # Every seat belongs to somebody, once per trip: the one that ends goes to a guest whose key nobody holds.
    nobody = people.add_guest(session, trip_ref=seat.trip_id, name=own.name).guest.id
    repository.change_member(session, own.id, person_id=None, guest_id=nobody)
    repository.change_member(session, seat.id, person_id=own.person_id, guest_id=None)
    return (
        replace(own, person_id=None, guest_id=nobody),
        replace(seat, person_id=own.person_id, guest_id=None),
    )


def _merge(session: Session, trip: Trip, seat: Member, own: Member, now: datetime) -> None:
    """Two seats of one human: `own` stays, `seat` ends."""
    repository.move_belongings(session, seat.id, own.id)
    is_back = seat.is_present and not own.is_present
    repository.change_member(
        session,
        own.id,
        left_at=None if seat.is_present or own.is_present else own.left_at,
        is_going=(seat.is_going and seat.is_present) or (own.is_going and own.is_present),
        role=next(role for role in _RANKS if role in (seat.role, own.role)).value,
        joined_at=min(seat.joined_at, own.joined_at),
    )
    repository.change_member(session, seat.id, left_at=now, is_going=False, role=Role.MEMBER.value)
    if trip.organizer_id == seat.id:
        repository.change_trip(session, trip, organizer_id=own.id)
    heads = repository.headcount(session, trip.id)
    payload = {
        "member_id": to_wire("mem", own.id),
        "merged_member_id": to_wire("mem", seat.id),
        "member_count": heads.present,
        "going_count": heads.going,
    }
    repository.append(session, trip.id, "member.merged", payload, actor_id=own.id, at=now)
    facts.record(
        session,
        "member.merged",
        subject=own.id,
        payload={"trip_id": trip.id.hex, "member_id": own.id.hex, "merged_member_id": seat.id.hex, "is_back": is_back},
    )


# --- going, leaving -------------------------------------------------------------------------------------------------


def set_going(database: Database, caller: Caller, trip_id: TripId, *, is_going: bool) -> Member:
    """Say whether one is going; who is not going does not vote and is not priced.

    Raises:
        RosterFrozen: a booking is being decided.
        NotMember, TripCanceled.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_down(session, trip_id, caller)
        require_living(seat.trip)
        if seat.member.role is Role.VIEWER:
            raise NotMember()
        if seat.member.is_going == is_going:
            return seat.member
        require_thawed(seat.trip)
        repository.change_member(session, seat.member.id, is_going=is_going)
        payload = {
            "member_id": to_wire("mem", seat.member.id),
            "is_going": is_going,
            "going_count": repository.headcount(session, trip_id).going,
        }
        repository.append(session, trip_id, "member.going_changed", payload, actor_id=seat.member.id, at=seat.now)
        return _present(session, trip_id, seat.member.id)


def leave(database: Database, caller: Caller, trip_id: TripId) -> None:
    """Leave the trip. Bookings hear of it by the fact `member.left`; leaving before the freeze costs nothing.

    Raises:
        RosterFrozen: a booking is being decided.
        OrganizerStays: the organizer cancels the trip instead.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_down(session, trip_id, caller)
        _remove(session, seat.trip, seat.member, seat.member, seat.now)


def remove_member(database: Database, caller: Caller, trip_id: TripId, member_id: MemberId) -> None:
    """The organizer takes somebody off the trip; their stream ends at once.

    Raises:
        NotOrganizer, MemberNotFound, OrganizerStays, RosterFrozen.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_down(session, trip_id, caller)
        if seat.member.role is not Role.ORGANIZER and seat.member.id != member_id:
            raise NotOrganizer()
        _remove(session, seat.trip, _present(session, trip_id, member_id), seat.member, seat.now)


def _remove(session: Session, trip: Trip, member: Member, by: Member, now: datetime) -> None:
    if member.role is Role.ORGANIZER:
        raise OrganizerStays()
    if member.role is not Role.VIEWER:
        require_thawed(trip)
    repository.change_member(session, member.id, left_at=now, is_going=False)
    heads = repository.headcount(session, trip.id)
    payload = {
        "member_id": to_wire("mem", member.id),
        "member_count": heads.present,
        "going_count": heads.going,
        "was_going": member.is_going,
    }
    repository.append(session, trip.id, "member.left", payload, actor_id=by.id, at=now)
    facts.record(
        session,
        "member.left",
        subject=member.id,
        payload={"trip_id": trip.id.hex, "member_id": member.id.hex, "subject": member.subject.hex},
    )
