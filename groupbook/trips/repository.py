"""Every query and lock of trips. The trip's row is the one lock: who changes anything of a trip holds it.

A lock and the read that depends on it are two statements: after waiting, only a new statement sees what the other
transaction did to the members, options and votes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from sqlalchemy.sql import bindparam

from groupbook.kit.callers import Caller
from groupbook.kit.conversation import NO_ANSWER
from groupbook.kit.database import merchant_of, query
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import (
    BookingId,
    CommentId,
    GuestId,
    InviteId,
    MemberId,
    OccasionId,
    OfferId,
    OptionId,
    PersonId,
    TripId,
    new_id,
)
from groupbook.trips.domain import (
    DecisionRule,
    Invite,
    JoinedVia,
    Member,
    MembersShown,
    OptionKind,
    OptionTally,
    Privacy,
    Role,
    RuleKind,
    Trip,
    TripEvent,
    TripNotFound,
    TripOption,
    TripState,
    Visibility,
    VoteChoice,
    VotesShown,
)
from groupbook.trips.models import CommentRow, InviteRow, MemberRow, TripEventRow, TripOptionRow, TripRow, VoteRow

CHANNEL = "trip_event"


# --- rows become values ---------------------------------------------------------------------------------------------


def _trip(row: TripRow) -> Trip:
    return Trip(
        id=TripId(row.id),
        title=row.title,
        state=TripState(row.state),
        rule=DecisionRule(RuleKind(row.rule), row.quorum, row.deadline_at),
        privacy=Privacy(Visibility(row.visibility), MembersShown(row.members_shown), VotesShown(row.votes_shown)),
        organizer_id=MemberId(row.organizer_id),
        round=row.round,
        version=row.version,
        event_seq=row.event_seq,
        created_at=row.created_at,
        occasion_id=OccasionId(row.occasion_id) if row.occasion_id else None,
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        decided_option_id=OptionId(row.decided_option_id) if row.decided_option_id else None,
        decided_at=row.decided_at,
        decided_from=TripState(row.decided_from) if row.decided_from else None,
        decided_reason=row.decided_reason,
        booking_id=BookingId(row.booking_id) if row.booking_id else None,
        frozen_by=BookingId(row.frozen_by) if row.frozen_by else None,
    )


def _member(row: MemberRow) -> Member:
    return Member(
        id=MemberId(row.id),
        trip_id=TripId(row.trip_id),
        name=row.name,
        role=Role(row.role),
        is_going=row.is_going,
        joined_via=JoinedVia(row.joined_via),
        joined_at=row.joined_at,
        person_id=PersonId(row.person_id) if row.person_id else None,
        guest_id=GuestId(row.guest_id) if row.guest_id else None,
        left_at=row.left_at,
    )


def _option(row: TripOptionRow) -> TripOption:
    return TripOption(
        id=OptionId(row.id),
        trip_id=TripId(row.trip_id),
        kind=OptionKind(row.kind),
        label=row.label,
        position=row.position,
        offer_id=OfferId(row.offer_id) if row.offer_id else None,
        starts_at=row.starts_at,
        snapshot=row.snapshot,
    )


def _invite(row: InviteRow) -> Invite:
    return Invite(
        id=InviteId(row.id),
        trip_id=TripId(row.trip_id),
        for_name=row.for_name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        created_by=MemberId(row.created_by) if row.created_by else None,
        used_by=MemberId(row.used_by) if row.used_by else None,
        sealed_token=row.sealed_token,
    )


# --- the trip -------------------------------------------------------------------------------------------------------


# Trips that this transaction has locked: nobody else changes them now. Their `event_seq` alone runs on without the row.
def _held(session: Session) -> dict[UUID, TripRow]:
    rows: dict[UUID, TripRow] = session.info.setdefault("held_trips", {})
    return rows


@query
def read_trip(session: Session, trip_id: TripId, *, lock: bool = False) -> Trip:
    """The trip; with `lock`, its row stays ours until the transaction ends.

    Raises:
        TripNotFound: no such trip at this merchant.
    """
    known = _held(session).get(trip_id)
    if known is not None:
        return _trip(known)
    query = select(TripRow).where(TripRow.id == trip_id).execution_options(populate_existing=True)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise TripNotFound()
    if lock:
        _held(session)[trip_id] = row
    return _trip(row)


def titles(session: Session, trip_ids: Iterable[UUID]) -> dict[TripId, str]:
    found = session.execute(select(TripRow.id, TripRow.title).where(TripRow.id.in_(set(trip_ids))))
    return {TripId(id): title for id, title in found}


def find_trip(session: Session, trip_id: TripId, *, lock: bool = False) -> Trip | None:
    try:
        return read_trip(session, trip_id, lock=lock)
    except TripNotFound:
        return None


@query
def insert_trip(session: Session, trip: Trip) -> None:
    session.execute(
        insert(TripRow).values(
            merchant_id=merchant_of(session),
            id=trip.id,
            title=trip.title,
            occasion_id=trip.occasion_id,
            starts_on=trip.starts_on,
            ends_on=trip.ends_on,
            state=trip.state.value,
            rule=trip.rule.kind.value,
            quorum=trip.rule.quorum,
            deadline_at=trip.rule.deadline_at,
            visibility=trip.privacy.visibility.value,
            members_shown=trip.privacy.members_shown.value,
            votes_shown=trip.privacy.votes_shown.value,
            organizer_id=trip.organizer_id,
            round=trip.round,
            version=trip.version,
            event_seq=trip.event_seq,
            created_at=trip.created_at,
        )
    )


@query
def change_trip(session: Session, /, trip: Trip, **values: Any) -> None:
    """Write the new values and raise `version`, if the trip is still the one that was read.

    Raises:
        InvariantBroken: somebody changed it although we hold its lock.
    """
    read_trip(session, trip.id, lock=True)
    row = _held(session)[trip.id]
    if row.version != trip.version:
        raise InvariantBroken(what="a locked trip changed", trip=str(trip.id))
    for name, value in values.items():
        setattr(row, name, value)
    row.version += 1
    session.flush()


def trips_page(session: Session, *, after: UUID | None, limit: int) -> list[Trip]:
    query = select(TripRow).order_by(TripRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(TripRow.id < after)
    return [_trip(row) for row in session.scalars(query)]


def trips_of(
    session: Session, *, person_id: UUID | None, guest_id: UUID | None, after: UUID | None, limit: int
) -> list[tuple[Trip, Member]]:
    """The trips somebody is in, newest first."""
    query = (
        select(TripRow, MemberRow)
        .join(MemberRow, MemberRow.trip_id == TripRow.id)
        .where(_is_subject(person_id, guest_id), MemberRow.left_at.is_(None))
        .order_by(TripRow.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(TripRow.id < after)
    return [(_trip(trip), _member(member)) for trip, member in session.execute(query)]


def due_trips(session: Session, now: datetime, *, limit: int) -> list[TripId]:
    """Open trips whose deadline has come, the longest overdue first."""
    query = (
        select(TripRow.id)
        .where(TripRow.state == TripState.OPEN.value, TripRow.deadline_at <= now)
        .order_by(TripRow.deadline_at, TripRow.id)
        .limit(limit)
    )
    return [TripId(id) for id in session.scalars(query)]


# --- members --------------------------------------------------------------------------------------------------------


def _is_subject(person_id: UUID | None, guest_id: UUID | None) -> Any:
    return MemberRow.person_id == person_id if person_id else MemberRow.guest_id == guest_id


@query
def member_of_caller(session: Session, trip_id: TripId, caller: Caller, *, even_left: bool = False) -> Member | None:
    """The caller's seat in this trip. A merchant, its staff and nobody have none."""
    if caller.subject is None or not caller.is_traveler:
        return None
    subject = caller.subject
    is_caller = MemberRow.person_id == subject if caller.kind == "person" else MemberRow.guest_id == subject
    row = session.scalar(select(MemberRow).where(MemberRow.trip_id == trip_id, is_caller))
    if row is None or (row.left_at is not None and not even_left):
        return None
    return _member(row)


@query
def read_member(session: Session, trip_id: TripId, member_id: MemberId) -> Member | None:
    row = session.scalar(
        select(MemberRow).where(MemberRow.trip_id == trip_id, MemberRow.id == member_id, MemberRow.left_at.is_(None))
    )
    return _member(row) if row else None


def members_by_id(session: Session, trip_id: TripId, ids: Collection[MemberId]) -> list[Member]:
    """These seats, left ones too."""
    query = select(MemberRow).where(MemberRow.trip_id == trip_id, MemberRow.id.in_(ids))
    return [_member(row) for row in session.scalars(query)]


def present(session: Session, ids: Collection[MemberId]) -> set[MemberId]:
    """Which of these seats nobody has left, in whatever trips."""
    query = select(MemberRow.id).where(MemberRow.id.in_(ids), MemberRow.left_at.is_(None))
    return {MemberId(id) for id in session.scalars(query)}


@query
def members(session: Session, trip_id: TripId) -> list[Member]:
    """Everybody present, in order of joining."""
    query = (
        select(MemberRow)
        .where(MemberRow.trip_id == trip_id, MemberRow.left_at.is_(None))
        .order_by(MemberRow.joined_at, MemberRow.id)
    )
    return [_member(row) for row in session.scalars(query)]


@dataclass(frozen=True, slots=True)
class Headcount:
    """Members present, those of them who are going, and viewers, who are no members."""

    present: int
    going: int
    viewers: int


@query
def headcount(session: Session, trip_id: TripId) -> Headcount:
    is_member = MemberRow.role != Role.VIEWER.value
    counts = (func.count().filter(is_member), func.count().filter(MemberRow.is_going, is_member))
    query = select(*counts, func.count().filter(~is_member))
    return Headcount(*session.execute(query.where(MemberRow.trip_id == trip_id, MemberRow.left_at.is_(None))).one())


@query
def insert_member(session: Session, member: Member) -> None:
    session.execute(
        insert(MemberRow).values(
            merchant_id=merchant_of(session),
            id=member.id,
            trip_id=member.trip_id,
            person_id=member.person_id,
            guest_id=member.guest_id,
            name=member.name,
            role=member.role.value,
            is_going=member.is_going,
            joined_via=member.joined_via.value,
            joined_at=member.joined_at,
            left_at=member.left_at,
        )
    )


@query
def change_member(session: Session, /, member_id: MemberId, **values: Any) -> None:
    session.execute(
        update(MemberRow).where(MemberRow.id == member_id).values(**values).execution_options(synchronize_session=False)
    )
    session.expire_all()


def members_of_person(session: Session, person_id: PersonId) -> list[Member]:
    query = select(MemberRow).where(MemberRow.person_id == person_id).order_by(MemberRow.trip_id)
    return [_member(row) for row in session.scalars(query)]


def guest_in_trip(session: Session, trip_id: TripId, guest_id: GuestId) -> Member | None:
    row = session.scalar(select(MemberRow).where(MemberRow.trip_id == trip_id, MemberRow.guest_id == guest_id))
    return _member(row) if row else None


def person_in_trip(session: Session, trip_id: TripId, person_id: PersonId) -> Member | None:
    row = session.scalar(select(MemberRow).where(MemberRow.trip_id == trip_id, MemberRow.person_id == person_id))
    return _member(row) if row else None


def move_belongings(session: Session, source: MemberId, target: MemberId) -> None:
    """Give one seat's votes and comments to another: the later word on each option stands."""
    session.execute(
        text(
            "INSERT INTO vote AS kept (merchant_id, option_id, member_id, trip_id, choice, round, cast_at) "
            "SELECT merchant_id, option_id, :target, trip_id, choice, round, cast_at FROM vote "
            "WHERE member_id = :source "
            "ON CONFLICT (merchant_id, option_id, member_id) DO UPDATE "
            "SET choice = excluded.choice, round = excluded.round, cast_at = excluded.cast_at "
            "WHERE excluded.cast_at > kept.cast_at"
        ),
        {"source": source, "target": target},
    )
    session.execute(delete(VoteRow).where(VoteRow.member_id == source).execution_options(synchronize_session=False))
    session.execute(
        update(CommentRow)
        .where(CommentRow.member_id == source)
        .values(member_id=target)
        .execution_options(synchronize_session=False)
    )


def forget_names(session: Session, *, person_id: UUID) -> None:
    """Empty what somebody typed about themselves; votes and counts stay."""
    session.execute(
        update(CommentRow)
        .where(CommentRow.member_id.in_(select(MemberRow.id).where(MemberRow.person_id == person_id)))
        .values(body="")
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(MemberRow)
        .where(MemberRow.person_id == person_id)
        .values(name="")
        .execution_options(synchronize_session=False)
    )


# --- options --------------------------------------------------------------------------------------------------------


@query
def options(session: Session, trip_id: TripId) -> list[TripOption]:
    query = (
        select(TripOptionRow)
        .where(TripOptionRow.trip_id == trip_id, TripOptionRow.removed_at.is_(None))
        .order_by(TripOptionRow.position)
    )
    return [_option(row) for row in session.scalars(query)]


@query
def read_option(session: Session, trip_id: TripId, option_id: OptionId) -> TripOption | None:
    row = session.scalar(
        select(TripOptionRow).where(
            TripOptionRow.trip_id == trip_id, TripOptionRow.id == option_id, TripOptionRow.removed_at.is_(None)
        )
    )
    return _option(row) if row else None


def next_position(session: Session, trip_id: TripId) -> int:
    highest = session.scalar(select(func.max(TripOptionRow.position)).where(TripOptionRow.trip_id == trip_id))
    return (highest or 0) + 1


@query
def insert_option(session: Session, option: TripOption, *, added_by: MemberId | None, now: datetime) -> None:
    session.execute(
        insert(TripOptionRow).values(
            merchant_id=merchant_of(session),
            id=option.id,
            trip_id=option.trip_id,
            kind=option.kind.value,
            label=option.label,
            position=option.position,
            offer_id=option.offer_id,
            starts_at=option.starts_at,
            snapshot=dict(option.snapshot),
            added_by=added_by,
            added_at=now,
        )
    )


def remove_option(session: Session, option_id: OptionId, now: datetime) -> None:
    session.execute(
        update(TripOptionRow)
        .where(TripOptionRow.id == option_id)
        .values(removed_at=now)
        .execution_options(synchronize_session=False)
    )


# --- votes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a vote depends on, read in one statement after the trip is locked."""

    member_id: MemberId | None
    role: Role | None
    is_option: bool
    choice: VoteChoice | None
    now: datetime


_BALLOT = text(
    "SELECT m.id, m.role, EXISTS (SELECT 1 FROM trip_option o WHERE o.trip_id = :trip_id AND o.id = :option_id "
    "AND o.removed_at IS NULL), (SELECT v.choice FROM vote v WHERE v.option_id = :option_id AND v.member_id = m.id "
    "AND v.round = t.round), clock_timestamp() + make_interval(secs => coalesce("
    "(SELECT offset_seconds FROM merchant_clock c WHERE c.merchant_id = t.merchant_id), 0)) "
    "FROM trip t LEFT JOIN member m ON m.trip_id = t.id AND m.left_at IS NULL "
    "AND (m.person_id = :person_id OR m.guest_id = :guest_id) WHERE t.id = :trip_id"
)
_NO_ID = UUID(int=0)


def ballot(session: Session, trip: Trip, option_id: OptionId, caller: Caller) -> Ballot:
    row = session.execute(
        _BALLOT,
        {
            "trip_id": trip.id,
            "option_id": option_id,
            "person_id": caller.subject if caller.kind == "person" else _NO_ID,
            "guest_id": caller.subject if caller.kind == "guest" else _NO_ID,
        },
    ).one()
    return Ballot(
        MemberId(row[0]) if row[0] else None,
        Role(row[1]) if row[1] else None,
        row[2],
        VoteChoice(row[3]) if row[3] else None,
        row[4],
    )


# The vote, the counts it leads to, the event that tells them, and the notice: one statement. `others` reads the rows as
# they were before, so the voter's own word is added to it.
SAVE_SQL = f"""
WITH saved AS ({{change}}),
others AS (
  SELECT count(*) FILTER (WHERE v.choice = 'yes') AS yes, count(*) FILTER (WHERE v.choice = 'if_need_be') AS if_need_be,
    count(*) FILTER (WHERE v.choice = 'no') AS no
  FROM vote v JOIN member m ON m.id = v.member_id AND m.left_at IS NULL AND m.is_going AND m.role <> 'viewer'
  WHERE v.option_id = :option_id AND v.round = :round AND v.member_id <> :member_id),
own AS (
  SELECT CASE WHEN is_going AND role <> 'viewer' THEN cast(:choice AS text) END AS choice
  FROM member WHERE id = :member_id),
bumped AS (UPDATE trip SET event_seq = event_seq + 1 WHERE id = :trip_id RETURNING event_seq),
logged AS (
  INSERT INTO trip_event (merchant_id, trip_id, seq, type, payload, actor_id, at)
  SELECT :merchant_id, :trip_id, event_seq, '{{type}}', jsonb_build_object(
    'option_id', 'opt_' || encode(uuid_send(:option_id), 'hex'),
    'member_id', 'mem_' || encode(uuid_send(:member_id), 'hex'), 'choice', cast(:choice AS text),
    'counts', jsonb_build_object(
      'yes', others.yes + (own.choice IS NOT DISTINCT FROM 'yes')::int,
      'if_need_be', others.if_need_be + (own.choice IS NOT DISTINCT FROM 'if_need_be')::int,
      'no', others.no + (own.choice IS NOT DISTINCT FROM 'no')::int)), :member_id, :now
  FROM bumped, others, own RETURNING seq)
SELECT seq, pg_notify('{CHANNEL}', :address || ':' || seq) FROM logged
"""
_CAST_SQL = SAVE_SQL.format(
    type="vote.cast",
    change="INSERT INTO vote (merchant_id, option_id, member_id, trip_id, choice, round, cast_at) "
    "VALUES (:merchant_id, :option_id, :member_id, :trip_id, :choice, :round, :now) "
    "ON CONFLICT (merchant_id, option_id, member_id) DO UPDATE "
    "SET choice = excluded.choice, round = excluded.round, cast_at = excluded.cast_at",
)
_WITHDRAW_SQL = SAVE_SQL.format(
    type="vote.withdrawn", change="DELETE FROM vote WHERE option_id = :option_id AND member_id = :member_id"
)
_UUIDS = [bindparam(name, type_=Uuid()) for name in ("option_id", "member_id", "trip_id", "merchant_id")]
_CAST = text(_CAST_SQL).bindparams(*_UUIDS)
_WITHDRAW = text(_WITHDRAW_SQL).bindparams(*_UUIDS)


def notice_address(merchant_id: UUID, trip_id: UUID) -> str:
    """What a notice begins with; the event's seq follows."""
    return f"{merchant_id.hex}:{trip_id.hex}"


def save_vote(
    session: Session, trip: Trip, option_id: OptionId, member_id: MemberId, choice: VoteChoice | None, now: datetime
) -> int:
    """Write or take back a vote and tell everybody the counts; answers the event's seq."""
    merchant_id = merchant_of(session)
    row = session.execute(
        _CAST if choice else _WITHDRAW,
        {
            "merchant_id": merchant_id,
            "option_id": option_id,
            "member_id": member_id,
            "trip_id": trip.id,
            "choice": choice.value if choice else None,
            "round": trip.round,
            "now": now,
            "address": notice_address(merchant_id, trip.id),
        },
    ).one()
    seq: int = row[0]
    return seq


def has_voted(session: Session, trip: Trip, member_id: MemberId) -> bool:
    """Whether this member has voted on anything in this round."""
    query = select(VoteRow.option_id).where(
        VoteRow.trip_id == trip.id, VoteRow.member_id == member_id, VoteRow.round == trip.round
    )
    return session.execute(query.limit(1)).first() is not None


_TALLIES = text(
    "SELECT o.id, o.starts_at, count(m.id) FILTER (WHERE v.choice = 'yes'), "
    "count(m.id) FILTER (WHERE v.choice = 'if_need_be'), count(m.id) FILTER (WHERE v.choice = 'no') "
    "FROM trip_option o LEFT JOIN vote v ON v.option_id = o.id AND v.round = :round "
    "LEFT JOIN member m ON m.id = v.member_id AND m.left_at IS NULL AND m.is_going AND m.role <> 'viewer' "
    "WHERE o.trip_id = :trip_id AND o.removed_at IS NULL GROUP BY o.id, o.starts_at ORDER BY o.id"
)


def tallies(session: Session, trip: Trip) -> list[OptionTally]:
    """The votes of this round by those who are going, option by option, in one statement."""
    rows = session.execute(_TALLIES, {"trip_id": trip.id, "round": trip.round})
    return [
        OptionTally(OptionId(id), yes=yes, if_need_be=maybe, no=no, starts_at=starts_at)
        for id, starts_at, yes, maybe, no in rows
    ]


def waited_for(session: Session, trip: Trip) -> int:
    """How many votes of members who are going are still missing, over all options."""
    query = text(
        "SELECT count(*) FROM member m CROSS JOIN trip_option o WHERE m.trip_id = :trip_id AND o.trip_id = :trip_id "
        "AND m.left_at IS NULL AND m.is_going AND m.role <> 'viewer' AND o.removed_at IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM vote v WHERE v.option_id = o.id AND v.member_id = m.id AND v.round = :round)"
    )
    count: int = session.execute(query, {"trip_id": trip.id, "round": trip.round}).scalar_one()
    return count


# --- the live log ---------------------------------------------------------------------------------------------------

_APPEND = text(
    "WITH bumped AS (UPDATE trip SET event_seq = event_seq + 1 WHERE id = :trip_id RETURNING event_seq), "
    "logged AS (INSERT INTO trip_event (merchant_id, trip_id, seq, type, payload, actor_id, at) "
    "SELECT :merchant_id, :trip_id, event_seq, :type, :payload, :actor_id, :at FROM bumped RETURNING seq) "
    f"SELECT seq, pg_notify('{CHANNEL}', :address || ':' || seq) FROM logged"
).bindparams(bindparam("payload", type_=JSONB))


@query
def append(
    session: Session, trip_id: TripId, type: str, payload: Mapping[str, Any], *, actor_id: MemberId | None, at: datetime
) -> int:
    """Number and write one event and wake the streams, in one statement; the update holds the trip's row.

    Raises:
        TripNotFound.
    """
    merchant_id = merchant_of(session)
    row = session.execute(
        _APPEND,
        {
            "trip_id": trip_id,
            "merchant_id": merchant_id,
            "type": type,
            "payload": dict(payload),
            "actor_id": actor_id,
            "at": at,
            "address": notice_address(merchant_id, trip_id),
        },
    ).first()
    if row is None:
        raise TripNotFound()
    seq: int = row[0]
    return seq


_APPEND_ALL = text(
    "WITH bumped AS (UPDATE trip SET event_seq = event_seq + :count WHERE id = :trip_id "
    "RETURNING event_seq - :count AS before), "
    "logged AS (INSERT INTO trip_event (merchant_id, trip_id, seq, type, payload, at) "
    "SELECT :merchant_id, :trip_id, before + n, news.value ->> 'type', news.value -> 'payload', :at "
    "FROM bumped, jsonb_array_elements(:news) WITH ORDINALITY AS news (value, n) RETURNING seq) "
    f"SELECT seq, pg_notify('{CHANNEL}', :address || ':' || seq) FROM logged"
).bindparams(bindparam("news", type_=JSONB))


@query
def append_all(
    session: Session, trip_id: TripId, news: Sequence[tuple[str, Mapping[str, Any]]], *, at: datetime
) -> None:
    """`append` for many events in order, nobody's doing in particular, in one statement that nobody waits for.

    Nothing is written where there is no such trip; the caller holds a row that belongs to it.
    """
    merchant_id = merchant_of(session)
    if not news:
        return
    values = {
        "trip_id": trip_id,
        "merchant_id": merchant_id,
        "count": len(news),
        "news": [{"type": type, "payload": dict(payload)} for type, payload in news],
        "at": at,
        "address": notice_address(merchant_id, trip_id),
    }
    session.execute(_APPEND_ALL, values, execution_options=NO_ANSWER)


def events(session: Session, trip_id: TripId, *, after: int, limit: int) -> list[TripEvent]:
    query = (
        select(TripEventRow)
        .where(TripEventRow.trip_id == trip_id, TripEventRow.seq > after)
        .order_by(TripEventRow.seq)
        .limit(limit)
    )
    return [
        TripEvent(row.seq, row.type, row.payload, MemberId(row.actor_id) if row.actor_id else None, row.at)
        for row in session.scalars(query)
    ]


def roster_changes(session: Session, trip_id: TripId, *, since: datetime, limit: int) -> list[TripEvent]:
    """Who came, went, or changed their mind since then; newest first."""
    query = (
        select(TripEventRow)
        .where(
            TripEventRow.trip_id == trip_id,
            TripEventRow.type.in_(("member.joined", "member.left", "member.going_changed")),
            TripEventRow.at > since,
        )
        .order_by(TripEventRow.seq.desc())
        .limit(limit)
    )
    return [
        TripEvent(row.seq, row.type, row.payload, MemberId(row.actor_id) if row.actor_id else None, row.at)
        for row in session.scalars(query)
    ]


# --- invites --------------------------------------------------------------------------------------------------------


def insert_invite(session: Session, invite: Invite, *, digest: bytes, created_by: MemberId | None) -> None:
    session.execute(
        insert(InviteRow).values(
            merchant_id=merchant_of(session),
            id=invite.id,
            trip_id=invite.trip_id,
            token_sha256=digest,
            sealed_token=invite.sealed_token,
            for_name=invite.for_name,
            created_by=created_by,
            created_at=invite.created_at,
            expires_at=invite.expires_at,
        )
    )


def read_invite(session: Session, invite_id: InviteId) -> Invite | None:
    row = session.scalar(select(InviteRow).where(InviteRow.id == invite_id))
    return _invite(row) if row else None


def invites(session: Session, trip_id: TripId, *, created_by: MemberId | None) -> list[Invite]:
    """The trip's invites, or only those that one member made."""
    query = select(InviteRow).where(InviteRow.trip_id == trip_id).order_by(InviteRow.id)
    if created_by is not None:
        query = query.where(InviteRow.created_by == created_by)
    return [_invite(row) for row in session.scalars(query)]


def use_invite(session: Session, invite_id: InviteId, member_id: MemberId) -> None:
    session.execute(update(InviteRow).where(InviteRow.id == invite_id).values(used_by=member_id))


def revoke_invite(session: Session, invite_id: InviteId, now: datetime) -> None:
    session.execute(
        update(InviteRow)
        .where(InviteRow.id == invite_id, InviteRow.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


# --- comments -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comment:
    id: CommentId
    member_id: MemberId
    body: str
    created_at: datetime


def insert_comment(session: Session, trip_id: TripId, member_id: MemberId, body: str, now: datetime) -> Comment:
    comment = Comment(CommentId(new_id()), member_id, body, now)
    session.execute(
        insert(CommentRow).values(
            merchant_id=merchant_of(session),
            id=comment.id,
            trip_id=trip_id,
            member_id=member_id,
            body=body,
            created_at=now,
        )
    )
    return comment


def comment_count(session: Session, trip_id: TripId) -> int:
    return session.scalar(select(func.count()).select_from(CommentRow).where(CommentRow.trip_id == trip_id)) or 0


def read_comment(session: Session, trip_id: TripId, comment_id: CommentId) -> Comment | None:
    row = session.scalar(
        select(CommentRow).where(
            CommentRow.trip_id == trip_id, CommentRow.id == comment_id, CommentRow.removed_at.is_(None)
        )
    )
    return Comment(CommentId(row.id), MemberId(row.member_id), row.body, row.created_at) if row else None


def comments_page(session: Session, trip_id: TripId, *, after: UUID | None, limit: int) -> list[Comment]:
    query = (
        select(CommentRow)
        .where(CommentRow.trip_id == trip_id, CommentRow.removed_at.is_(None))
        .order_by(CommentRow.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(CommentRow.id < after)
    return [Comment(CommentId(r.id), MemberId(r.member_id), r.body, r.created_at) for r in session.scalars(query)]


def remove_comment(session: Session, comment_id: CommentId, now: datetime) -> None:
    session.execute(
        update(CommentRow)
        .where(CommentRow.id == comment_id)
        .values(removed_at=now, body="")
        .execution_options(synchronize_session=False)
    )


# --- the whole trip as JSON -----------------------------------------------------------------------------------------


def _id(prefix: str, column: str) -> str:
    return f"'{prefix}_' || encode(uuid_send({column}), 'hex')"


def _at(column: str) -> str:
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"


# What `domain.sight_of` says, for the database; tests/trips compares the two over every case.
_SIGHT = """
  SELECT t.*, me.id AS me_id, me.role AS me_role, me.name AS me_name, me.is_going AS me_going,
    full_sight,
    full_sight OR (t.members_shown = 'all' AND NOT is_blind) AS show_members,
    full_sight OR (t.members_shown <> 'none' AND NOT is_blind) AS show_count,
    full_sight OR (t.votes_shown = 'always' AND NOT is_blind) OR (t.votes_shown = 'after_own_vote' AND EXISTS (
      SELECT 1 FROM vote own WHERE own.trip_id = t.id AND own.member_id = me.id AND own.round = t.round)) AS show_votes
  FROM trip t
  LEFT JOIN member me ON me.trip_id = t.id AND me.left_at IS NULL
    AND (me.person_id = :person_id OR me.guest_id = :guest_id)
  CROSS JOIN LATERAL (SELECT :is_merchant OR coalesce(me.role = 'organizer', false) AS full_sight) AS sight
  CROSS JOIN LATERAL (SELECT coalesce(me.role = 'viewer', false) AND t.visibility <> 'public' AS is_blind) AS blind
  WHERE t.id = :trip_id AND (full_sight OR me.role = 'member'
    OR (me.role = 'viewer' AND t.visibility <> 'secret') OR t.visibility = 'public')
"""

DOCUMENT_SQL = f"""
WITH seen AS MATERIALIZED ({_SIGHT}),
present AS MATERIALIZED (
  SELECT m.* FROM member m JOIN seen ON m.trip_id = seen.id WHERE m.left_at IS NULL),
counted AS (
  SELECT v.option_id, count(*) FILTER (WHERE v.choice = 'yes') AS yes,
    count(*) FILTER (WHERE v.choice = 'if_need_be') AS if_need_be, count(*) FILTER (WHERE v.choice = 'no') AS no,
    json_agg(json_build_object('member_id', {_id("mem", "v.member_id")}, 'choice', v.choice)
      ORDER BY v.member_id) AS who
  FROM seen JOIN vote v ON v.trip_id = seen.id AND v.round = seen.round
    JOIN present p ON p.id = v.member_id AND p.is_going AND p.role <> 'viewer'
  GROUP BY v.option_id)
SELECT json_build_object(
  'id', {_id("trip", "seen.id")},
  'title', title,
  'state', state,
  'round', round,
  'version', version,
  'seq', event_seq,
  'created_at', {_at("created_at")},
  'occasion_id', {_id("occ", "occasion_id")},
  'starts_on', starts_on,
  'ends_on', ends_on,
  'rule', json_build_object('kind', rule, 'quorum', quorum, 'deadline_at', {_at("deadline_at")}),
  'privacy', json_build_object(
    'visibility', visibility, 'members_shown', members_shown, 'votes_shown', votes_shown),
  'you', CASE WHEN me_id IS NOT NULL THEN json_build_object(
    'member_id', {_id("mem", "me_id")}, 'name', me_name, 'role', me_role, 'is_going', me_going) END,
  'member_count', CASE WHEN show_count THEN (SELECT count(*) FROM present WHERE role <> 'viewer') END,
  'going_count', CASE WHEN show_count THEN (SELECT count(*) FROM present WHERE is_going AND role <> 'viewer') END,
  'members', CASE WHEN show_members THEN (
    SELECT coalesce(json_agg(json_build_object(
      'id', {_id("mem", "p.id")}, 'name', p.name, 'role', p.role, 'is_going', p.is_going,
      'is_guest', p.guest_id IS NOT NULL, 'joined_at', {_at("p.joined_at")}) ORDER BY p.joined_at, p.id), '[]')
    FROM present p WHERE p.role <> 'viewer' OR full_sight) END,
  'options', (
    SELECT coalesce(json_agg(json_build_object(
      'id', {_id("opt", "o.id")}, 'kind', o.kind, 'label', o.label, 'position', o.position,
      'offer_id', {_id("off", "o.offer_id")}, 'starts_at', {_at("o.starts_at")}, 'snapshot', o.snapshot,
      'yours', CASE WHEN mine.round = seen.round THEN mine.choice END,
      'suggested', CASE WHEN mine.round < seen.round THEN mine.choice END,
      'counts', CASE WHEN show_votes THEN json_build_object(
        'yes', coalesce(c.yes, 0), 'if_need_be', coalesce(c.if_need_be, 0), 'no', coalesce(c.no, 0)) END,
      'votes', CASE WHEN show_votes AND show_members THEN coalesce(c.who, '[]') END) ORDER BY o.position), '[]')
    FROM trip_option o LEFT JOIN counted c ON c.option_id = o.id
      LEFT JOIN vote mine ON mine.option_id = o.id AND mine.member_id = seen.me_id
    WHERE o.trip_id = seen.id AND o.removed_at IS NULL),
  'decision', CASE WHEN decided_option_id IS NOT NULL THEN json_build_object(
    'option_id', {_id("opt", "decided_option_id")}, 'decided_at', {_at("decided_at")}, 'reason', decided_reason) END,
  'booking_id', {_id("bkg", "booking_id")},
  'is_frozen', frozen_by IS NOT NULL
)::text FROM seen
"""
_DOCUMENT = text(DOCUMENT_SQL)


def trip_document(session: Session, trip_id: TripId, caller: Caller) -> str | None:
    """The JSON of the whole trip as this caller may see it, in one statement; None when they may see nothing."""
    document: str | None = session.execute(
        _DOCUMENT,
        {
            "trip_id": trip_id,
            "person_id": caller.subject if caller.kind == "person" else _NO_ID,
            "guest_id": caller.subject if caller.kind == "guest" else _NO_ID,
            "is_merchant": caller.kind in ("merchant", "staff"),
        },
    ).scalar_one_or_none()
    return document
