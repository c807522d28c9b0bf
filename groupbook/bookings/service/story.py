"""The whole story of one booking for the merchant and the operator: every step, event, call and answer, in order.

Reads only. It needs no quote and no offer, so that a booking whose rows are broken can still be looked at. Calls and
facts are dated by real time, steps by the merchant's clock, too; a test merchant's clock travels, so `recorded_at`
gives the order and `at` what the merchant's clock showed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import BookingState, Step
from groupbook.bookings.models import BookingRow
from groupbook.bookings.rescue import Act, acts
from groupbook.bookings.service.party import parts_of
from groupbook.kit import clock, history
from groupbook.kit.database import Database
from groupbook.kit.facts import Fact
from groupbook.kit.history import Call
from groupbook.kit.ids import BookingId, TripId, to_wire
from groupbook.kit.money import Money
from groupbook.offers.domain import Hold, Order
from groupbook.payments import AttemptView, PortionView, RefundView, Statement

_CODE = re.compile(r"^[a-z][a-z0-9_]{2,60}$")
_RAISED = re.compile(r"^[A-Za-z]+\('([a-z][a-z0-9_]{2,60})'")


class EntryKind(StrEnum):
    STEP = "step"  # the booking's machine moved
    EVENT = "event"  # a room below, or the outside, had news
    CALL = "call"  # we owed the outside a call
    ANSWER = "answer"  # it was answered


@dataclass(frozen=True)
class Entry:
    """One line of the story.

    Args:
        about: the id on the wire of what it is about (`bkg_…`, `hld_…`, `ord_…`, `por_…`, `att_…`, `ref_…`, `int_…`).
        at: by the merchant's clock; `recorded_at` is real time.
        detail: our code for why, where there is one; never a sentence and never somebody else's text.
        by, why: an operator's step: who made it, and their own words.
    """

    kind: EntryKind
    name: str
    about: str
    at: datetime
    recorded_at: datetime
    traveler: str | None = None
    from_state: BookingState | None = None
    to_state: BookingState | None = None
    call: Call | None = None
    detail: str | None = None
    by: str | None = None
    why: str | None = None


@dataclass(frozen=True)
class PortionStory:
    """A portion with every try to get its authorization and every refund. No card data beyond brand and last four."""

    portion: PortionView
    traveler: str
    payer: str
    attempts: tuple[AttemptView, ...]
    refunds: tuple[RefundView, ...]


@dataclass(frozen=True)
class Stopped:
    """Why and since when a booking waits for a person, where it was, and what they may safely do."""

    cause: str
    since: datetime
    was: BookingState
    acts: tuple[Act, ...]


@dataclass(frozen=True)
class BookingStory:
    """Everything that is known of one booking."""

    id: BookingId
    trip_id: TripId
    state: BookingState
    version: int
    total: Money
    reason: str | None
    created_at: datetime
    deadline_at: datetime | None
    finished_at: datetime | None
    entries: tuple[Entry, ...]
    calls: tuple[Call, ...]
    portions: tuple[PortionStory, ...]
    holds: tuple[Hold, ...]
    orders: tuple[Order, ...]
    statement: Statement | None
    stopped: Stopped | None
    read_at: datetime

    @property
    def owed(self) -> tuple[Call, ...]:
        """Calls that the worker makes by itself, now or at its next try."""
        return tuple(call for call in self.calls if call.is_owed and not call.is_planned(self.read_at))

    @property
    def planned(self) -> tuple[Call, ...]:
        """Calls that were written for a later hour."""
        return tuple(call for call in self.calls if call.is_planned(self.read_at))

    @property
    def given_up(self) -> tuple[Call, ...]:
        """Calls that nobody makes any more until a person says so."""
        return tuple(call for call in self.calls if call.state == "parked")


def read_story(database: Database, merchant_id: UUID, booking_id: UUID) -> BookingStory:
    """The whole story of a booking. A use case.

    Raises:
        BookingNotFound: no such booking of this merchant.
    """
    with database.begin(merchant_id) as session:
        return story_of(session, repository.read(session, booking_id))


def story_of(session: Session, row: BookingRow) -> BookingStory:
    """A step; locks nothing."""
    portions = _portions(session, row)
    about = rows_of(session, row)
    calls = history.calls_about(session, list(about))
    about |= {call.id: "int" for call in calls}
    facts = history.facts_about(session, list(about))
    steps = repository.timeline(session, row.id)
    return BookingStory(
        id=BookingId(row.id),
        trip_id=TripId(row.trip_id),
        state=BookingState(row.state),
        version=row.version,
        total=Money(row.total, row.currency),
        reason=row.reason,
        created_at=row.created_at,
        deadline_at=row.deadline_at,
        finished_at=row.finished_at,
        entries=entries_of(steps, facts, calls, about, _travelers(portions), to_wire("bkg", row.id)),
        calls=tuple(calls),
        portions=portions,
        holds=tuple(offers.holds_of(session, row.id)),
        orders=tuple(offers.orders_of(session, row.id)),
        statement=payments.statement(session, row.id) if portions else None,
        stopped=stopped_of(session, row, steps),
        read_at=clock.system_now(session),
    )


def rows_of(session: Session, row: BookingRow) -> dict[UUID, str]:
    """Every row of this booking that a call or a fact may be about: its id and its prefix on the wire. A step."""
    about = {row.id: "bkg"} | offers.rows_about(session, row.id)
    about |= {portion.id: "por" for portion in payments.portions_of(session, row.id)}
    about |= {attempt.id: "att" for attempt in payments.attempts_of(session, row.id)}
    return about | {refund.id: "ref" for refund in payments.refunds_of(session, row.id)}


def stopped_of(session: Session, row: BookingRow, steps: Sequence[Step]) -> Stopped | None:
    """Why a parked booking stopped: its last step says it, `row.reason` may be an older one. A step; else None."""
    parked = BookingState.PARKED
    last = next((step for step in reversed(steps) if step.to_state is parked and step.from_state is not parked), None)
    if row.state != parked.value or last is None:
        return None
    order = offers.order_of(session, row.id)
    portions = {portion.state for portion in payments.portions_of(session, row.id)}
    state = order.state if order else None
    may = acts(parked, order=state, portions=portions, was_booked=row.finished_at is not None)
    return Stopped(last.event, last.at, BookingState(row.resume_state or BookingState.PLACING), may)


def error_code(text: str | None) -> str | None:
    """Our code in what the runner kept of an error. The text itself may name insides and stays with the operator."""
    if text is None:
        return None
    raised = _RAISED.match(text)
    if raised is not None:
        return raised[1]
    return text if _CODE.match(text) else "internal_error"


# --- putting it in order ----------------------------------------------------------------------------------------------


def entries_of(
    steps: Sequence[Step],
    facts: Iterable[Fact],
    calls: Iterable[Call],
    about: dict[UUID, str],
    travelers: dict[UUID, str],
    booking: str,
) -> tuple[Entry, ...]:
    """One list in real order; among lines of one instant, what caused comes before what followed."""
    shown = _Clock(steps)
    lines = [_step_line(step, booking) for step in steps]
    lines += [_fact_line(fact, about, travelers, shown) for fact in facts]
    for call in calls:
        lines += _call_lines(call, about, travelers, shown)
    order = {EntryKind.ANSWER: 0, EntryKind.EVENT: 1, EntryKind.STEP: 2, EntryKind.CALL: 3}
    return tuple(sorted(lines, key=lambda line: (line.recorded_at, order[line.kind])))


class _Clock:
    """What the merchant's clock showed at a real instant, learned from the steps, which know both."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._real = [step.recorded_at for step in steps]
        self._ahead = [step.at - step.recorded_at for step in steps]

    def ahead(self, real: datetime) -> timedelta:
        at = bisect_right(self._real, real) - 1
        return self._ahead[max(at, 0)] if self._ahead else timedelta(0)


def _step_line(step: Step, booking: str) -> Entry:
    return Entry(
        EntryKind.STEP,
        step.event,
        booking,
        step.at,
        step.recorded_at,
        from_state=step.from_state,
        to_state=step.to_state,
        by=step.by,
        why=step.why,
    )


def _fact_line(fact: Fact, about: dict[UUID, str], travelers: dict[UUID, str], shown: _Clock) -> Entry:
    reason = fact.payload.get("reason")
    return Entry(
        EntryKind.EVENT,
        fact.name,
        to_wire(about[fact.subject], fact.subject),
        fact.recorded_at + shown.ahead(fact.recorded_at),
        fact.recorded_at,
        traveler=travelers.get(fact.subject),
        detail=reason if isinstance(reason, str) and _CODE.match(reason) else None,
    )


def _call_lines(call: Call, about: dict[UUID, str], travelers: dict[UUID, str], shown: _Clock) -> list[Entry]:
    asked = Entry(
        EntryKind.CALL,
        call.kind,
        to_wire(about[call.subject], call.subject),
        call.owed_at + shown.ahead(call.owed_at),
        call.owed_at,
        traveler=travelers.get(call.subject),
        call=call,
        detail=error_code(call.last_error) if call.answered_at is None else None,
    )
    if call.answered_at is None or call.called_at is None:
        return [asked]
    # The runner dates the answer by the merchant's clock.
    real = max(call.answered_at - shown.ahead(call.called_at), call.called_at)
    answer = replace(
        asked, kind=EntryKind.ANSWER, at=call.answered_at, recorded_at=real, detail=error_code(call.last_error)
    )
    return [asked, answer]


def _travelers(portions: Iterable[PortionStory]) -> dict[UUID, str]:
    """Whose portion a row belongs to, by name."""
    names: dict[UUID, str] = {}
    for one in portions:
        rows = [one.portion.id, *(attempt.id for attempt in one.attempts), *(refund.id for refund in one.refunds)]
        names |= dict.fromkeys(rows, one.traveler)
    return names


def _portions(session: Session, row: BookingRow) -> tuple[PortionStory, ...]:
    names: dict[UUID, str] = {member.id: member.name for member in trips.members(session, TripId(row.trip_id))}
    names |= {gift.id: names.get(gift.by_member_id, "") for gift in parts_of(session, row).gifts}
    attempts = payments.attempts_of(session, row.id)
    refunds = payments.refunds_of(session, row.id)
    return tuple(
        PortionStory(
            portion=portion,
            traveler=names.get(portion.traveler, ""),
            payer=names.get(portion.payer, ""),
            attempts=tuple(attempt for attempt in attempts if attempt.portion_id == portion.id),
            refunds=tuple(refund for refund in refunds if refund.portion_id == portion.id),
        )
        for portion in payments.portions_of(session, row.id)
    )
