"""The queries of bookings, answered from memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.bookings import repository
from groupbook.bookings.domain import (
    AMENDMENT_OVER,
    ENDED,
    BookingNotFound,
    BookingState,
    ContributionNotFound,
    HandoverNotFound,
    Operator,
    PayRequestNotFound,
    SplitNotFound,
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
    TicketRow,
)
from groupbook.kit import clock
from groupbook.kit.ids import MemberId
from groupbook.offers.domain import Seat
from tests.simulation.memory.store import MemorySession, Table

_OVER: Final = ("aborted", "refunded")
_CHANGED: Final = frozenset(stage.value for stage in AMENDMENT_OVER)
_UNANSWERED: Final = frozenset({"tombstoning", "amending", "unwinding"})
_UNDECIDED: Final = _UNANSWERED | {"open", "freezing", "confirming", "voiding"}
_RESTING: Final = frozenset(state.value for state in (*ENDED, BookingState.PARKED, BookingState.BOOKED))


def tables() -> list[Table]:
    return [
        Table(
            BookingRow,
            by=["trip_id"],
            moving={"current": lambda values: None if values["state"] in _OVER else values["trip_id"]},
            checks={"total": lambda values: values["total"] >= 0},
        ),
        Table(BookingStepRow, key=lambda values: (values["booking_id"], values["n"]), by=["booking_id"]),
        Table(
            TicketRow,
            by=["booking_id"],
            unique={"member": lambda values: (values["booking_id"], values["member_id"])},
        ),
        Table(
            PayRequestRow,
            by=["booking_id"],
            moving={
                "asked": lambda values: (
                    (values["portion_id"], values["asked_of"]) if values["state"] == "asked" else None
                )
            },
            checks={"state": lambda values: values["state"] in ("asked", "taken", "withdrawn")},
        ),
        Table(
            AmendmentRow,
            by=["booking_id"],
            moving={"open": lambda values: None if values["stage"] in _CHANGED else values["booking_id"]},
            checks={"amount": lambda values: values["amount"] >= 0},
        ),
        Table(
            ContributionRow,
            by=["booking_id"],
            checks={"amount": lambda values: values["amount"] >= 0 and values["reserve"] >= 0},
        ),
        Table(DepartureRow, by=["booking_id"], checks={"most": lambda values: values["most"] >= 0}),
        Table(
            SplitRow,
            by=["booking_id"],
            checks={"state": lambda values: values["state"] in ("asked", "agreed", "refused", "lapsed")},
        ),
        Table(HandoverRow, by=["booking_id"]),
        Table(SettlementPolicyRow, key=lambda values: values["merchant_id"]),
    ]


@repository.find_locked.register(MemorySession)
def _find_locked(session: MemorySession, booking_id: UUID) -> BookingRow | None:
    return session.find(BookingRow, booking_id)


@repository.lock.register(MemorySession)
@repository.read.register(MemorySession)
def _read(session: MemorySession, booking_id: UUID) -> BookingRow:
    row = session.find(BookingRow, booking_id)
    if row is None:
        raise BookingNotFound()
    return row


@repository.find.register(MemorySession)
def _find(session: MemorySession, booking_id: UUID) -> BookingRow | None:
    return session.find(BookingRow, booking_id)


@repository.latest_of_trip.register(MemorySession)
def _latest_of_trip(session: MemorySession, trip_id: UUID) -> BookingRow | None:
    views = session.views(BookingRow, "trip_id", trip_id)
    return session.row(BookingRow, max(views, key=lambda values: values["id"])) if views else None


@repository.page.register(MemorySession)
def _page(session: MemorySession, *, after: UUID | None, limit: int) -> list[BookingRow]:
    views = [values for values in session.every(BookingRow) if after is None or values["id"] < after]
    return session.rows(BookingRow, views)[::-1][:limit]


@repository.due.register(MemorySession)
def _due(session: MemorySession, *, after: UUID | None, limit: int) -> list[UUID]:
    now = clock.now(cast("Session", session))
    moving = [values for values in session.every(BookingRow) if values["state"] not in _RESTING]
    found = [values["id"] for values in moving if values["look_at"] is None or values["look_at"] <= now]
    return sorted(id for id in found if after is None or id > after)[:limit]


@repository.waiting_with_authorizations.register(MemorySession)
def _waiting_with_authorizations(session: MemorySession, *, after: UUID | None, limit: int) -> list[UUID]:
    found = [
        values["id"]
        for values in session.every(BookingRow)
        if (values["state"] == "parked" and values["resume_state"] in _UNDECIDED) or values["state"] in _UNANSWERED
    ]
    return sorted(id for id in found if after is None or id > after)[:limit]


@repository.in_state.register(MemorySession)
def _in_state(session: MemorySession, state: BookingState) -> list[BookingRow]:
    views = [values for values in session.every(BookingRow) if values["state"] == state.value]
    return session.rows(BookingRow, views)


@repository.add_step.register(MemorySession)
def _add_step(
    session: MemorySession,
    row: BookingRow,
    event: BookingEvent | str,
    target: BookingState,
    at: datetime,
    *,
    by: Operator | None = None,
    about: UUID | None = None,
) -> None:
    last = max((values["n"] for values in session.views(BookingStepRow, "booking_id", row.id)), default=0)
    session.put(
        BookingStepRow,
        merchant_id=session.info["merchant_id"],
        booking_id=row.id,
        n=last + 1,
        from_state=row.state if last else None,
        event=str(event),
        to_state=target.value,
        at=at,
        recorded_at=session.database.now(),
        by=by.name if by else None,
        why=by.why if by else None,
        about=about,
    )


@repository.timeline.register(MemorySession)
def _timeline(session: MemorySession, booking_id: UUID) -> list[Step]:
    return [
        Step(
            values["n"],
            BookingState(values["from_state"]) if values["from_state"] else None,
            values["event"],
            BookingState(values["to_state"]),
            values["at"],
            values["recorded_at"],
            values["by"],
            values["why"],
            values["about"],
        )
        for values in sorted(session.views(BookingStepRow, "booking_id", booking_id), key=lambda one: one["n"])
    ]


@repository.tickets.register(MemorySession)
def _tickets(session: MemorySession, booking_id: UUID) -> list[TicketView]:
    views = [one for one in session.views(TicketRow, "booking_id", booking_id) if one["canceled_at"] is None]
    return [
        TicketView(
            member_id=MemberId(one["member_id"]),
            name=one["name"],
            number=one["number"],
            code=one["code"],
            seats=tuple(Seat(one["member_id"], seat["leg"], seat["coach"], seat["place"]) for seat in one["seats"]),
        )
        for one in sorted(views, key=lambda values: values["id"])
    ]


@repository.ticket_rows.register(MemorySession)
def _ticket_rows(session: MemorySession, booking_id: UUID) -> list[TicketRow]:
    return session.rows(TicketRow, session.views(TicketRow, "booking_id", booking_id))


@repository.open_amendment.register(MemorySession)
def _open_amendment(session: MemorySession, booking_id: UUID) -> AmendmentRow | None:
    views = [one for one in session.views(AmendmentRow, "booking_id", booking_id) if one["stage"] not in _CHANGED]
    return session.row(AmendmentRow, views[0]) if views else None


@repository.amendments_of.register(MemorySession)
def _amendments_of(session: MemorySession, booking_id: UUID) -> list[AmendmentRow]:
    return session.rows(AmendmentRow, session.views(AmendmentRow, "booking_id", booking_id))


@repository.read_settings.register(MemorySession)
def _read_settings(session: MemorySession) -> dict[str, Any]:
    return next((dict(values["settings"]) for values in session.every(SettlementPolicyRow)), {})


@repository.forget_names.register(MemorySession)
def _forget_names(session: MemorySession, member_ids: Sequence[UUID]) -> None:
    for row in session.rows(TicketRow, session.every(TicketRow)):
        if row.member_id in member_ids:
            row.name = ""


@repository.open_requests.register(MemorySession)
def _open_requests(session: MemorySession, booking_id: UUID) -> list[PayRequestRow]:
    views = [one for one in session.views(PayRequestRow, "booking_id", booking_id) if one["state"] == "asked"]
    return session.rows(PayRequestRow, views)


@repository.find_request.register(MemorySession)
def _find_request(session: MemorySession, request_id: UUID) -> PayRequestRow:
    row = session.find(PayRequestRow, request_id)
    if row is None:
        raise PayRequestNotFound()
    return row


def _live(session: MemorySession, table: type[Any], booking_id: UUID) -> list[Any]:
    views = [values for values in session.views(table, "booking_id", booking_id) if values["ended_at"] is None]
    return session.rows(table, sorted(views, key=lambda values: values["id"]))


@repository.contributions.register(MemorySession)
def _contributions(session: MemorySession, booking_id: UUID) -> list[ContributionRow]:
    return _live(session, ContributionRow, booking_id)


@repository.find_contribution.register(MemorySession)
def _find_contribution(session: MemorySession, id: UUID) -> ContributionRow:
    row = session.find(ContributionRow, id)
    if row is None:
        raise ContributionNotFound()
    return row


@repository.departures.register(MemorySession)
def _departures(session: MemorySession, booking_id: UUID) -> list[DepartureRow]:
    return _live(session, DepartureRow, booking_id)


@repository.splits.register(MemorySession)
def _splits(session: MemorySession, booking_id: UUID) -> list[SplitRow]:
    return _live(session, SplitRow, booking_id)


@repository.find_split.register(MemorySession)
def _find_split(session: MemorySession, id: UUID) -> SplitRow:
    row = session.find(SplitRow, id)
    if row is None:
        raise SplitNotFound()
    return row


@repository.open_handovers.register(MemorySession)
def _open_handovers(session: MemorySession, booking_id: UUID) -> list[HandoverRow]:
    return _live(session, HandoverRow, booking_id)


@repository.find_handover.register(MemorySession)
def _find_handover(session: MemorySession, id: UUID) -> HandoverRow:
    row = session.find(HandoverRow, id)
    if row is None:
        raise HandoverNotFound()
    return row
