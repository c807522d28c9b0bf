"""Every query and lock of the room."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.bookings.domain import (
    AMENDMENT_OVER,
    COLLECTING,
    ENDED,
    AmendmentNotFound,
    AmendmentStage,
    BookingNotFound,
    BookingState,
    ContributionNotFound,
    HandoverNotFound,
    Operator,
    PayRequestNotFound,
    SplitNotFound,
    SponsorLinkNotFound,
    Step,
    TicketView,
)
from groupbook.bookings.machine import BookingEvent
from groupbook.bookings.models import (
    AmendmentRow,
    BookingRow,
    BookingStepRow,
    ContributionRow,
    DepartureRow,
    HandoverRow,
    PayRequestRow,
    SettlementPolicyRow,
    SplitRow,
    SponsorLinkRow,
    TicketRow,
    WaitingRow,
)
from groupbook.kit import clock
from groupbook.kit.database import merchant_of, query
from groupbook.kit.errors import NotFound
from groupbook.kit.ids import MemberId, new_id
from groupbook.offers.domain import Seat, Ticket

Part = TypeVar("Part", PayRequestRow, ContributionRow, SponsorLinkRow, SplitRow, HandoverRow)
_UNDECIDED = (BookingState.OPEN, BookingState.FREEZING, BookingState.CONFIRMING, BookingState.VOIDING)
_UNANSWERED = (BookingState.TOMBSTONING, BookingState.AMENDING, BookingState.UNWINDING)
_RESTING = [state.value for state in (*ENDED, BookingState.PARKED, BookingState.BOOKED)]


# Bookings that this transaction has locked or made: nobody else changes them now.
def _held(session: Session) -> dict[UUID, BookingRow]:
    rows: dict[UUID, BookingRow] = session.info.setdefault("held_bookings", {})
    return rows


@query
def find_locked(session: Session, booking_id: UUID) -> BookingRow | None:
    """The booking, locked, if this id is one's."""
    known = _held(session).get(booking_id)
    if known is not None:
        return known
    asked = select(BookingRow).where(BookingRow.id == booking_id).with_for_update()
    row = session.scalar(asked.execution_options(populate_existing=True))
    if row is not None:
        _held(session)[booking_id] = row
    return row


@query
def lock(session: Session, booking_id: UUID) -> BookingRow:
    """The booking, locked: the first lock of the order booking, trip, hold, portions.

    Raises:
        BookingNotFound
    """
    row = find_locked(session, booking_id)
    if row is None:
        raise BookingNotFound()
    return row


@query
def read(session: Session, booking_id: UUID) -> BookingRow:
    """Raises BookingNotFound."""
    row = find(session, booking_id)
    if row is None:
        raise BookingNotFound()
    return row


@query
def find(session: Session, booking_id: UUID) -> BookingRow | None:
    known = _held(session).get(booking_id)
    return known if known is not None else session.scalar(select(BookingRow).where(BookingRow.id == booking_id))


def add(session: Session, row: BookingRow) -> None:
    """A new booking, ours alone until the commit."""
    session.add(row)
    session.flush()
    _held(session)[row.id] = row


@query
def latest_of_trip(session: Session, trip_id: UUID) -> BookingRow | None:
    query = select(BookingRow).where(BookingRow.trip_id == trip_id).order_by(BookingRow.id.desc()).limit(1)
    return session.scalar(query)


@query
def page(session: Session, *, after: UUID | None, limit: int) -> list[BookingRow]:
    """Newest first."""
    query = select(BookingRow).order_by(BookingRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(BookingRow.id < after)
    return list(session.scalars(query))


def trips_of(session: Session, booking_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """The trip of each booking."""
    query = select(BookingRow.id, BookingRow.trip_id).where(BookingRow.id.in_(set(booking_ids)))
    return dict(iter(session.execute(query)))


@query
def due(session: Session, *, after: UUID | None, limit: int) -> list[UUID]:
    """Bookings that still owe somebody an end and whose moment has come, oldest first, behind `after`."""
    is_due = or_(BookingRow.look_at.is_(None), BookingRow.look_at <= clock.now(session))
    query = select(BookingRow.id).where(BookingRow.state.not_in(_RESTING), is_due).order_by(BookingRow.id).limit(limit)
    return list(session.scalars(query if after is None else query.where(BookingRow.id > after)))


@query
def waiting_with_authorizations(session: Session, *, after: UUID | None, limit: int) -> list[UUID]:
    """Waiting for the merchant to take an order back or to change it, or parked before that was answered or before
    anything was sold: banks may keep money for it, and nobody knows for how long yet.
    """
    undecided = [state.value for state in (*_UNDECIDED, *_UNANSWERED)]
    is_parked = and_(BookingRow.state == BookingState.PARKED.value, BookingRow.resume_state.in_(undecided))
    is_unanswered = BookingRow.state.in_([state.value for state in _UNANSWERED])
    query = select(BookingRow.id).where(or_(is_parked, is_unanswered))
    query = query if after is None else query.where(BookingRow.id > after)
    return list(session.scalars(query.order_by(BookingRow.id).limit(limit)))


@query
def in_state(session: Session, state: BookingState) -> list[BookingRow]:
    return list(session.scalars(select(BookingRow).where(BookingRow.state == state.value).order_by(BookingRow.id)))


@dataclass(frozen=True, slots=True)
class Collecting:
    """A booking in which payers may be waited for, the change under way, and when its ladder began, where it did."""

    booking: BookingRow
    change: AmendmentRow | None
    recovering_since: datetime | None


_NOT_OVER: Final = AmendmentRow.stage.not_in([stage.value for stage in AMENDMENT_OVER])
_RECOVERING_SINCE: Final = (
    select(BookingStepRow.at)
    .where(
        BookingStepRow.merchant_id == BookingRow.merchant_id,
        BookingStepRow.booking_id == BookingRow.id,
        BookingStepRow.to_state == BookingState.RECOVERING.value,
    )
    .order_by(BookingStepRow.n.desc())
    .limit(1)
    .scalar_subquery()
)
_COLLECTING: Final = (
    select(BookingRow, AmendmentRow, case((BookingRow.state == BookingState.RECOVERING.value, _RECOVERING_SINCE)))
    .outerjoin(
        AmendmentRow,
        and_(AmendmentRow.merchant_id == BookingRow.merchant_id, AmendmentRow.booking_id == BookingRow.id, _NOT_OVER),
    )
    .where(BookingRow.state.in_([state.value for state in COLLECTING]))
    .execution_options(populate_existing=True)
)


def collecting(session: Session, *, after: UUID | None, limit: int) -> list[Collecting]:
    """Those there are, oldest first, behind `after`."""
    query = _COLLECTING.order_by(BookingRow.id).limit(limit)
    found = session.execute(query if after is None else query.where(BookingRow.id > after))
    return [Collecting(*row) for row in found]


def collecting_one(session: Session, booking_id: UUID) -> Collecting | None:
    """This booking, if it is one of those."""
    row = session.execute(_COLLECTING.where(BookingRow.id == booking_id)).one_or_none()
    return None if row is None else Collecting(*row)


@query
def add_step(
    session: Session,
    row: BookingRow,
    event: BookingEvent | str,
    target: BookingState,
    at: datetime,
    *,
    by: Operator | None = None,
    about: UUID | None = None,
) -> None:
    """Append to the timeline; the booking is locked, so the number is free."""
    last = func.max(BookingStepRow.n)
    values: dict[str, Any] = {
        "merchant_id": merchant_of(session),
        "booking_id": row.id,
        "n": func.coalesce(last, 0) + 1,
        "from_state": case((last.is_not(None), literal(row.state))),
        "event": str(event),
        "to_state": target.value,
        "at": at,
        "recorded_at": at - clock.ahead(session),
        "by": by.name if by else None,
        "why": by.why if by else None,
        "about": about,
    }
    columns = BookingStepRow.__table__.c
    typed: list[ColumnElement[Any]] = [
        value if isinstance(value, ColumnElement) else literal(value, columns[name].type)
        for name, value in values.items()
    ]
    step = select(*typed).where(BookingStepRow.booking_id == row.id)
    session.flush()
    session.execute(insert(BookingStepRow).from_select(list(values), step))


@query
def timeline(session: Session, booking_id: UUID) -> list[Step]:
    query = select(BookingStepRow).where(BookingStepRow.booking_id == booking_id).order_by(BookingStepRow.n)
    return [
        Step(
            row.n,
            BookingState(row.from_state) if row.from_state else None,
            row.event,
            BookingState(row.to_state),
            row.at,
            row.recorded_at,
            row.by,
            row.why,
            row.about,
        )
        for row in session.scalars(query)
    ]


def keep_tickets(
    session: Session,
    booking_id: UUID,
    known: Iterable[TicketRow],
    tickets: Sequence[Ticket],
    seats: Sequence[Seat],
    names: dict[UUID, str],
    at: datetime,
) -> None:
    """The merchant's tickets as they are now: new ones are added, those known brought up to date, the rest canceled."""
    outdated = {row.member_id: row for row in known}
    for ticket in tickets:
        places = [
            {"leg": seat.leg, "coach": seat.coach, "place": seat.place}
            for seat in seats
            if seat.member_id == ticket.member_id
        ]
        row = outdated.pop(ticket.member_id, None)
        if row is None:
            row = TicketRow(
                merchant_id=merchant_of(session),
                id=new_id(),
                booking_id=booking_id,
                member_id=ticket.member_id,
                name=names.get(ticket.member_id, ""),
                issued_at=at,
            )
            session.add(row)
        row.number, row.code, row.seats, row.canceled_at = ticket.number, ticket.code, places, None
    for row in outdated.values():
        row.canceled_at = row.canceled_at or at
    session.flush()


@query
def ticket_rows(session: Session, booking_id: UUID) -> list[TicketRow]:
    """Every ticket of the booking, canceled ones too."""
    return list(session.scalars(select(TicketRow).where(TicketRow.booking_id == booking_id).order_by(TicketRow.id)))


@query
def tickets(session: Session, booking_id: UUID) -> list[TicketView]:
    """Valid tickets; canceled ones are kept in the table and not shown."""
    query = (
        select(TicketRow)
        .where(TicketRow.booking_id == booking_id, TicketRow.canceled_at.is_(None))
        .order_by(TicketRow.id)
    )
    return [
        TicketView(
            member_id=MemberId(row.member_id),
            name=row.name,
            number=row.number,
            code=row.code,
            seats=tuple(Seat(row.member_id, seat["leg"], seat["coach"], seat["place"]) for seat in row.seats),
        )
        for row in session.scalars(query)
    ]


def cancel_tickets(session: Session, booking_id: UUID, at: datetime) -> None:
    for row in ticket_rows(session, booking_id):
        row.canceled_at = row.canceled_at or at


@query
def forget_names(session: Session, member_ids: Sequence[UUID]) -> None:
    """Erasure: the ticket stays a ticket, without a name."""
    for row in session.scalars(select(TicketRow).where(TicketRow.member_id.in_(member_ids))):
        row.name = ""
    for link in session.scalars(
        select(HandoverRow).where(
            HandoverRow.member_id.in_(member_ids)
            | HandoverRow.taken_by.in_(member_ids)
            | HandoverRow.for_member_id.in_(member_ids)
        )
    ):
        link.for_name = ""


def _part(session: Session, table: type[Part], id: UUID, missing: type[NotFound]) -> Part:
    """Something of a booking, as it is now: the lock that guards it is its booking's."""
    query = select(table).where(table.id == id).execution_options(populate_existing=True)
    row = session.scalar(query)
    if row is None:
        raise missing()
    return row


@query
def open_requests(session: Session, booking_id: UUID) -> list[PayRequestRow]:
    query = (
        select(PayRequestRow)
        .where(PayRequestRow.booking_id == booking_id, PayRequestRow.state == "asked")
        .order_by(PayRequestRow.id)
    )
    return list(session.scalars(query))


@query
def find_request(session: Session, request_id: UUID) -> PayRequestRow:
    """Raises PayRequestNotFound."""
    return _part(session, PayRequestRow, request_id, PayRequestNotFound)


def add_request(session: Session, **values: Any) -> PayRequestRow:
    row = PayRequestRow(merchant_id=merchant_of(session), id=new_id(), state="asked", answered_at=None, **values)
    session.add(row)
    session.flush()
    return row


# --- who gives, who shares, who left ----------------------------------------------------------------------------------


@query
def contributions(session: Session, booking_id: UUID) -> list[ContributionRow]:
    """Those that count, oldest first; guarded by the booking's lock."""
    query = select(ContributionRow).where(ContributionRow.booking_id == booking_id, ContributionRow.ended_at.is_(None))
    return list(session.scalars(query.order_by(ContributionRow.id)))


@query
def find_contribution(session: Session, id: UUID) -> ContributionRow:
    """Raises ContributionNotFound."""
    return _part(session, ContributionRow, id, ContributionNotFound)


def sponsor_link_of(session: Session, booking_id: UUID) -> SponsorLinkRow | None:
    """The one that is open."""
    query = select(SponsorLinkRow).where(SponsorLinkRow.booking_id == booking_id, SponsorLinkRow.ended_at.is_(None))
    return session.scalar(query.execution_options(populate_existing=True))


def find_sponsor_link(session: Session, id: UUID) -> SponsorLinkRow:
    """Raises SponsorLinkNotFound."""
    return _part(session, SponsorLinkRow, id, SponsorLinkNotFound)


def given_by_nonce(session: Session, link_id: UUID, nonce_sha256: bytes) -> ContributionRow | None:
    """What was given by this link with this nonce, also what was taken back since."""
    query = select(ContributionRow).where(
        ContributionRow.sponsor_link_id == link_id, ContributionRow.nonce_sha256 == nonce_sha256
    )
    return session.scalar(query.order_by(ContributionRow.id).limit(1))


@query
def departures(session: Session, booking_id: UUID) -> list[DepartureRow]:
    """Those whose leaving still counts, oldest first."""
    query = select(DepartureRow).where(DepartureRow.booking_id == booking_id, DepartureRow.ended_at.is_(None))
    return list(session.scalars(query.order_by(DepartureRow.id)))


@query
def splits(session: Session, booking_id: UUID) -> list[SplitRow]:
    """Those that are asked or agreed, oldest first."""
    query = select(SplitRow).where(SplitRow.booking_id == booking_id, SplitRow.ended_at.is_(None))
    return list(session.scalars(query.order_by(SplitRow.id)))


@query
def find_split(session: Session, id: UUID) -> SplitRow:
    """Raises SplitNotFound."""
    return _part(session, SplitRow, id, SplitNotFound)


@query
def open_handovers(session: Session, booking_id: UUID) -> list[HandoverRow]:
    """Those nobody has taken and nobody took back, whether or not their time is over."""
    query = select(HandoverRow).where(HandoverRow.booking_id == booking_id, HandoverRow.ended_at.is_(None))
    return list(session.scalars(query.order_by(HandoverRow.id)))


@query
def find_handover(session: Session, id: UUID) -> HandoverRow:
    """Raises HandoverNotFound."""
    return _part(session, HandoverRow, id, HandoverNotFound)


def offers_run_out(session: Session, *, after: UUID | None, limit: int) -> list[UUID]:
    """Places that were offered to somebody who waits and did not take them in time, in the order of ids."""
    query = select(HandoverRow.id).where(
        HandoverRow.ended_at.is_(None),
        HandoverRow.for_member_id.is_not(None),
        HandoverRow.expires_at <= clock.now(session),
    )
    query = query if after is None else query.where(HandoverRow.id > after)
    return list(session.scalars(query.order_by(HandoverRow.id).limit(limit)))


def waiting(session: Session, trip_id: UUID) -> list[WaitingRow]:
    """The line, in the order of coming."""
    query = select(WaitingRow).where(WaitingRow.trip_id == trip_id, WaitingRow.ended_at.is_(None))
    return list(session.scalars(query.order_by(WaitingRow.id).execution_options(populate_existing=True)))


def add_waiting(session: Session, trip_id: UUID, member_id: UUID, now: datetime) -> None:
    """To the end of the line; who waits already keeps their place in it."""
    row = insert(WaitingRow).values(
        merchant_id=merchant_of(session), id=new_id(), trip_id=trip_id, member_id=member_id, asked_at=now
    )
    session.execute(row.on_conflict_do_nothing())


def stop_waiting(session: Session, trip_id: UUID, member_id: UUID, now: datetime) -> bool:
    """Whether they did wait."""
    ended = (
        update(WaitingRow)
        .where(WaitingRow.trip_id == trip_id, WaitingRow.member_id == member_id, WaitingRow.ended_at.is_(None))
        .values(ended_at=now)
        .returning(WaitingRow.id)
    )
    return session.scalar(ended.execution_options(synchronize_session=False)) is not None


# --- changes after booking --------------------------------------------------------------------------------------------


@query
def open_amendment(session: Session, booking_id: UUID) -> AmendmentRow | None:
    """The one change under way; guarded by the booking's lock."""
    query = select(AmendmentRow).where(AmendmentRow.booking_id == booking_id, _NOT_OVER)
    return session.scalar(query.execution_options(populate_existing=True))


def find_amendment(session: Session, id: UUID) -> AmendmentRow:
    """As it is now; the lock that guards it is its booking's. Raises AmendmentNotFound."""
    query = select(AmendmentRow).where(AmendmentRow.id == id).execution_options(populate_existing=True)
    row = session.scalar(query)
    if row is None:
        raise AmendmentNotFound()
    return row


@query
def amendments_of(session: Session, booking_id: UUID) -> list[AmendmentRow]:
    """Every change that was asked for, oldest first."""
    query = select(AmendmentRow).where(AmendmentRow.booking_id == booking_id).order_by(AmendmentRow.id)
    return list(session.scalars(query))


def made_changes(session: Session, booking_ids: Collection[UUID]) -> list[AmendmentRow]:
    """The changes of these bookings by which a place has another traveler, or none; oldest first."""
    made = (AmendmentRow.stage == AmendmentStage.DONE.value) & (AmendmentRow.kind != "surcharge")
    query = select(AmendmentRow).where(AmendmentRow.booking_id.in_(booking_ids), made).order_by(AmendmentRow.id)
    return list(session.scalars(query))


# --- the merchant's settlement settings -------------------------------------------------------------------------------


@query
def read_settings(session: Session) -> dict[str, Any]:
    """What this merchant set; empty where it keeps to the house."""
    query = select(SettlementPolicyRow.settings).where(SettlementPolicyRow.merchant_id == merchant_of(session))
    return dict(session.scalar(query) or {})


def save_settings(session: Session, settings: dict[str, Any], at: datetime) -> None:
    row = insert(SettlementPolicyRow).values(merchant_id=merchant_of(session), settings=settings, changed_at=at)
    changed = {"settings": row.excluded.settings, "changed_at": row.excluded.changed_at}
    session.execute(row.on_conflict_do_update(index_elements=["merchant_id"], set_=changed))
