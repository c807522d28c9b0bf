"""A booking's story on the wire: for the merchant, who may see everything of its own bookings but nobody's card."""

from __future__ import annotations

from groupbook.bookings.domain import BookingState
from groupbook.bookings.rescue import Act
from groupbook.bookings.service.story import BookingStory, Entry, EntryKind, PortionStory, Stopped, error_code
from groupbook.kit.history import Call
from groupbook.kit.http import Instant, MoneyWire, WholeNumber, Wire, wire_id
from groupbook.kit.ids import to_wire
from groupbook.payments import AttemptView, RefundView, Statement


class CallOut(Wire):
    """One call to the outside: `due`, `calling`, `unknown` are still made, `parked` waits for a person.

    `unknown`: it may have happened; the other side's truth is read before it is asked again. `error` is a code.
    """

    id: wire_id("int")  # type: ignore[valid-type]
    kind: str
    state: str
    attempts: WholeNumber
    asked_at: Instant
    next_at: Instant | None
    called_at: Instant | None
    answered_at: Instant | None
    error: str | None

    @classmethod
    def of(cls, call: Call) -> CallOut:
        return cls(
            id=to_wire("int", call.id),
            kind=call.kind,
            state=call.state,
            attempts=call.attempts,
            asked_at=call.owed_at,
            next_at=call.due_at if call.is_owed else None,
            called_at=call.called_at,
            answered_at=call.answered_at,
            error=error_code(call.last_error),
        )


class EntryOut(Wire):
    """One line of the story: a `step` of the booking, an `event`, a `call` that we owe, its `answer`.

    `at` is your clock, `recorded_at` real time; they differ only where a test clock was moved. `call` names the call
    in `calls`. `detail` is a code for why. `by` and `why`: who made this step by hand, and their own words.
    """

    kind: EntryKind
    name: str
    about: str
    at: Instant
    recorded_at: Instant
    from_state: BookingState | None
    to_state: BookingState | None
    call: wire_id("int") | None  # type: ignore[valid-type]
    detail: str | None
    by: str | None
    why: str | None

    @classmethod
    def of(cls, entry: Entry) -> EntryOut:
        return cls(
            kind=entry.kind,
            name=entry.name,
            about=entry.about,
            at=entry.at,
            recorded_at=entry.recorded_at,
            from_state=entry.from_state,
            to_state=entry.to_state,
            call=to_wire("int", entry.call.id) if entry.call else None,
            detail=entry.detail,
            by=entry.by,
            why=entry.why,
        )


class AttemptOut(Wire):
    """One try to get a payer's authorization. Of a card, brand and last four digits at most."""

    id: wire_id("att")  # type: ignore[valid-type]
    n: WholeNumber
    state: str
    amount: MoneyWire
    started_at: Instant
    authorized_at: Instant | None
    capture_before: Instant | None
    decline_reason: str | None
    card_brand: str | None
    card_last4: str | None

    @classmethod
    def of(cls, attempt: AttemptView) -> AttemptOut:
        return cls(
            id=to_wire("att", attempt.id),
            n=attempt.n,
            state=attempt.state.value,
            amount=MoneyWire.of(attempt.amount),
            started_at=attempt.started_at,
            authorized_at=attempt.authorized_at,
            capture_before=attempt.capture_before,
            decline_reason=attempt.decline_reason,
            card_brand=attempt.card.brand if attempt.card else None,
            card_last4=attempt.card.last4 if attempt.card else None,
        )


class RefundOut(Wire):
    """Money on its way back to a payer. `failed` needs a person: the bank sent it back."""

    id: wire_id("ref")  # type: ignore[valid-type]
    amount: MoneyWire
    state: str
    reason: str
    asked_at: Instant | None
    failure_reason: str | None

    @classmethod
    def of(cls, refund: RefundView) -> RefundOut:
        return cls(
            id=to_wire("ref", refund.id),
            amount=MoneyWire.of(refund.amount),
            state=refund.state.value,
            reason=refund.reason,
            asked_at=refund.asked_at,
            failure_reason=refund.failure_reason,
        )


class PortionStoryOut(Wire):
    """A portion with its tries and refunds."""

    id: wire_id("por")  # type: ignore[valid-type]
    traveler: wire_id("mem")  # type: ignore[valid-type]
    payer: wire_id("mem")  # type: ignore[valid-type]
    state: str
    amount: MoneyWire
    captured: MoneyWire
    refunded: MoneyWire
    attempts: list[AttemptOut]
    refunds: list[RefundOut]

    @classmethod
    def of(cls, one: PortionStory) -> PortionStoryOut:
        portion = one.portion
        return cls(
            id=to_wire("por", portion.id),
            traveler=to_wire("mem", portion.traveler),
            payer=to_wire("mem", portion.payer),
            state=portion.state.value,
            amount=MoneyWire.of(portion.amount),
            captured=MoneyWire.of(portion.captured),
            refunded=MoneyWire.of(portion.refunded),
            attempts=[AttemptOut.of(attempt) for attempt in one.attempts],
            refunds=[RefundOut.of(refund) for refund in one.refunds],
        )


class BooksOut(Wire):
    """What the ledger says of this booking: what it sold, what the bank keeps, what was taken and given back."""

    total: MoneyWire
    authorized: MoneyWire
    captured: MoneyWire
    refunded: MoneyWire
    receivable: MoneyWire

    @classmethod
    def of(cls, books: Statement) -> BooksOut:
        return cls(
            total=MoneyWire.of(books.total),
            authorized=MoneyWire.of(books.authorized),
            captured=MoneyWire.of(books.captured),
            refunded=MoneyWire.of(books.refunded),
            receivable=MoneyWire.of(books.receivable),
        )


class StoppedOut(Wire):
    """Why and since when the booking waits for a person, where it was, and what may safely be done."""

    cause: str
    since: Instant
    was: BookingState
    acts: list[Act]

    @classmethod
    def of(cls, stopped: Stopped) -> StoppedOut:
        return cls(cause=stopped.cause, since=stopped.since, was=stopped.was, acts=list(stopped.acts))


class TimelineOut(Wire):
    """Everything a booking went through, in order, and what is owed now.

    `calls` are all calls; those in state `due`, `calling` or `unknown` are owed now.
    """

    id: wire_id("bkg")  # type: ignore[valid-type]
    state: BookingState
    version: WholeNumber
    reason: str | None
    parked: StoppedOut | None
    data: list[EntryOut]
    calls: list[CallOut]
    portions: list[PortionStoryOut]
    ledger: BooksOut | None

    @classmethod
    def of(cls, story: BookingStory) -> TimelineOut:
        return cls(
            id=to_wire("bkg", story.id),
            state=story.state,
            version=story.version,
            reason=story.reason,
            parked=StoppedOut.of(story.stopped) if story.stopped else None,
            data=[EntryOut.of(entry) for entry in story.entries],
            calls=[CallOut.of(call) for call in story.calls],
            portions=[PortionStoryOut.of(one) for one in story.portions],
            ledger=BooksOut.of(story.statement) if story.statement else None,
        )
