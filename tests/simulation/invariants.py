"""The promises P1 to P5 and I1 to I13, I17, watched after every step of a history for what it touched.

`Watch` is told of three things: a commit of ours (with the rows it changed), an effect outside (before anybody here
has heard of it), and what people did. It believes neither side: rows are compared with what the effects add up to.
`promises` names them; `endings` holds what must be true at the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Final
from uuid import UUID

from groupbook.bookings import machine
from groupbook.bookings.domain import ENDED, BookingState
from groupbook.bookings.machine import BookingEvent
from groupbook.bookings.models import BookingRow, BookingStepRow
from groupbook.kit.ids import from_wire
from groupbook.kit.intents import Intent
from groupbook.kit.models import IntentRow
from groupbook.offers.models import HoldRow, MerchantOrderRow, RecheckRow
from groupbook.payments import moving
from groupbook.payments.amounts import capture_margin_seconds
from groupbook.payments.models import AttemptRow, JournalRow, PortionRow, PostingRow, RefundRow
from tests.simulation.books import Books, Paid
from tests.simulation.memory.store import KINDS, kind_of
from tests.simulation.outcome import Effect, Violation
from tests.simulation.promises import NEVER
from tests.simulation.rows import Rows

__all__ = ["Effect", "Violation", "Watch"]

tries_per_intent_max: Final = 200
deaths_in_a_row_max: Final = 10
tries_per_intent_calm_max: Final = 10
calls_per_try_max: Final = 30  # a try reads, asks, and asks again under the next keys after answered failures
commits_max: Final = 20_000  # some hundred times what a history needs
_B = BookingState
_ENDED: Final = frozenset(state.value for state in ENDED)
_FROZEN: Final = frozenset({"confirming", "tombstoning", "capturing", "recovering"})
# A confirmed order may be asked to change or to be taken back; until the answer it is still the merchant's word.
_EVENTS: Final = frozenset(event.value for event in BookingEvent)
_GIVEN_UP: Final = frozenset({"canceled", "failed", "closing"})
_OWED: Final = frozenset({"due", "calling", "unknown"})
_SOLD: Final = frozenset({"confirmed", "amending"})


def _loud(told: Callable[..., None]) -> Callable[..., None]:
    """A fault of the watch itself is not for the production code's handlers to swallow."""

    @wraps(told)
    def tell(watch: Watch, *given: Any) -> None:
        try:
            told(watch, *given)
        except Exception as error:
            raise Violation("watch", f"{type(error).__name__}: {error}") from error

    return tell


@dataclass(slots=True)
class Booking:
    """What is known of one booking from its committed rows."""

    state: str = ""
    version: int = 0
    total: int = 0
    steps: int = 0
    last_to: str | None = None
    frozen_at: datetime | None = None
    deadline_at: datetime | None = None
    opened_at: datetime | None = None
    finished_at: datetime | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    has_parked: bool = False
    is_incomplete: bool = False  # what a change should have given back is in dispute: told, and a person's to settle
    first_ended_at: datetime | None = None  # when it first came to rest
    roster: frozenset[tuple[UUID, UUID]] | None = None  # (portion, traveler) since the merchant was asked


@dataclass(slots=True)
class Watch:
    """Told of every step; raises Violation at the first promise that does not hold."""

    rows: Rows | None = None
    is_afterwards: bool = False  # told of everything at the end: which attempt was current at a step is not known
    commits: int = 0
    books: Books = field(default_factory=Books)
    bookings: dict[UUID, Booking] = field(default_factory=lambda: defaultdict(Booking))
    portions: dict[UUID, Any] = field(default_factory=dict)
    attempts: dict[UUID, Any] = field(default_factory=dict)
    refunds: dict[UUID, Any] = field(default_factory=dict)
    holds: dict[UUID, Any] = field(default_factory=dict)
    orders: dict[UUID, Any] = field(default_factory=dict)
    left: set[UUID] = field(default_factory=set)  # portions of who left before the freeze
    rechecks: dict[UUID, str] = field(default_factory=dict)  # booking -> the merchant's last word on the price
    reviewed: set[UUID] = field(default_factory=set)  # attempts whose bank looked at them again
    calls: Counter[UUID] = field(default_factory=Counter)  # intent -> how often it was tried
    claims: dict[UUID, tuple[int, int]] = field(default_factory=dict)  # intent -> its last try, and the calls of that
    sent_sold: set[UUID] = field(default_factory=set)  # attempts whose capture was last sent while the order stood
    journals: dict[UUID, UUID] = field(default_factory=dict)  # journal -> booking
    balances: dict[UUID, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # booking -> account
    open_entries: Counter[UUID] = field(default_factory=Counter)  # journals of this commit, and what they sum to
    postings: list[tuple[UUID, str, int]] = field(default_factory=list)

    # --- what we commit -----------------------------------------------------------------------------------------------

    @_loud
    def committed(self, world: Any, rows: Sequence[Any]) -> None:
        """Take in what one commit changed, then ask what it can have broken."""
        self.commits += 1
        if self.commits > commits_max:
            raise Violation("P5/I6", "a history that never rests", commits=self.commits)
        touched: set[UUID] = set()
        steps: list[Any] = []
        for row in rows:
            kind = KINDS[type(row)]
            taken = _TAKEN.get(kind)
            if taken is not None:
                reference = taken(self, row)
                if reference is not None:
                    touched.add(reference)
            elif kind is BookingStepRow:
                steps.append(row)
        for row in sorted(steps, key=lambda row: row.n):
            self._step(world, row)
        if self.postings:
            self._balanced()
        for reference in touched:
            known = self.bookings.get(reference)
            if known is not None and known.state:
                self._touched(world, reference, known)

    def _keep(self, kept: dict[UUID, Any], row: Any) -> Any:
        """Remember the row; its state may only move as its table says, its version only up."""
        before = kept.get(row.id)
        kept[row.id] = row
        if before is not None and before.state != row.state:
            name, never = NEVER[kind_of(row)]
            if row.state in never.get(before.state, ()):
                raise Violation("I9", f"a {name} went from {before.state} to {row.state}", id=row.id)
        if before is not None and getattr(before, "version", 0) > getattr(row, "version", 0):
            raise Violation("I9", "a version went back", id=row.id, was=before.version, now=row.version)
        return before

    def _portion(self, row: Any) -> UUID:
        before = self._keep(self.portions, row)
        if self.rows is not None:
            self.rows.portion(self, before, row)
        if before is not None and before.state != row.state and before.version >= row.version:
            raise Violation("I9", "a portion moved without a new version", id=row.id)
        if before is not None and before.captured > row.captured:
            raise Violation("I9", "money taken was forgotten", id=row.id, was=before.captured, now=row.captured)
        if not 0 <= row.refunded <= row.captured:
            raise Violation("I14", "more is refunded than was captured", id=row.id, refunded=row.refunded)
        return row.reference  # type: ignore[no-any-return]

    def _attempt(self, row: Any) -> None:
        before = self._keep(self.attempts, row)
        if self.rows is not None:
            self.rows.attempt(self, before, row)

    def _refund(self, row: Any) -> None:
        if self.rows is not None:
            self.rows.refund(self, self.refunds.get(row.id), row)
        self.refunds[row.id] = row

    def _hold(self, row: Any) -> UUID:
        before = self._keep(self.holds, row)
        if self.rows is not None:
            self.rows.hold(self, before, row)
        return row.reference  # type: ignore[no-any-return]

    def _recheck(self, row: Any) -> None:
        self.rechecks[row.reference] = row.state

    def _order(self, row: Any) -> UUID:
        self._keep(self.orders, row)
        return row.reference  # type: ignore[no-any-return]

    def _journal(self, row: Any) -> None:
        self.journals[row.id] = row.reference

    def _posting(self, row: Any) -> None:
        self.open_entries[row.journal_id] += row.amount
        self.postings.append((row.journal_id, row.account, row.amount))

    def _booking(self, row: Any) -> UUID:
        known = self.bookings[row.id]
        if known.state in _ENDED and row.state != known.state:
            raise Violation("I9", f"an ended booking moved from {known.state} to {row.state}", booking=row.id)
        if known.state and row.state != known.state and row.version <= known.version:
            raise Violation("I9", "a booking moved without a new version", booking=row.id)
        known.state, known.version, known.total = row.state, row.version, row.total
        known.frozen_at, known.deadline_at, known.opened_at = row.frozen_at, row.deadline_at, row.opened_at
        known.finished_at, known.policy = row.finished_at, row.policy
        return row.id  # type: ignore[no-any-return]

    def _balanced(self) -> None:
        for id, left_over in self.open_entries.items():
            if left_over:
                raise Violation("P2/I4", "a journal entry does not sum to zero", journal=id, minor=left_over)
        self.open_entries.clear()
        for journal, account, minor in self.postings:
            self.balances[self.journals[journal]][account] += minor
        self.postings.clear()

    def _step(self, world: Any, row: Any) -> None:
        """One line of the timeline: no gap, and each where the table leads from the last."""
        known = self.bookings[row.booking_id]
        if row.n != known.steps + 1 or row.from_state != known.last_to:
            raise Violation("I17", "the timeline has a gap", booking=row.booking_id, n=row.n, after=known.steps)
        if row.from_state is not None and not _is_lawful(row):
            raise Violation("I17", f"{row.from_state} --{row.event}--> {row.to_state} is in no table", n=row.n)
        if self.rows is not None:
            self.rows.step(self, row)
        known.steps, known.last_to = row.n, row.to_state
        known.has_parked |= row.to_state == _B.PARKED.value
        known.is_incomplete |= row.event == "refund_incomplete"
        if known.first_ended_at is None and row.to_state in (*_ENDED, _B.BOOKED.value):
            known.first_ended_at = row.at
        if row.to_state == _B.CONFIRMING.value:
            known.roster = None
            self._backed(row.booking_id, known)
        is_short = row.event == BookingEvent.LOOKED_SHORT.value and row.to_state == _B.VOIDING.value
        if is_short and self.rechecks.get(row.booking_id) != "higher":  # else it is the price that is missing
            self._missing_money(world, row.booking_id, known)

    # --- what a commit can have broken --------------------------------------------------------------------------------

    def portions_in(self, reference: UUID) -> list[Any]:
        """The portions of a booking that count: those dropped are in no sum."""
        return [row for row in self.portions.values() if row.reference == reference and row.dropped_at is None]

    def attempts_in(self, reference: UUID) -> Iterable[tuple[Any, Paid]]:
        """Every attempt of a booking, dropped portions included, with what the provider has of it."""
        for row in self.attempts.values():
            if self.portions[row.portion_id].reference == reference:
                paid = self.books.paid.get(row.id)
                if paid is not None:
                    yield row, paid

    def _touched(self, world: Any, reference: UUID, known: Booking, *, is_over: bool = False) -> None:
        if known.last_to is not None and known.last_to != known.state:
            raise Violation("I17", "the timeline and the booking disagree", booking=reference, state=known.state)
        rows = self.portions_in(reference)
        if rows and known.state in ("open", "freezing", *_FROZEN):
            parts = sum(row.amount for row in rows)
            if parts != known.total:
                raise Violation(
                    "P2/I3", "the portions are not the total", booking=reference, parts=parts, total=known.total
                )
        if known.state in _FROZEN:
            roster = frozenset((row.id, row.traveler) for row in rows)
            if known.roster is not None and known.roster != roster:
                raise Violation("I13", "the frozen party changed", booking=reference, state=known.state)
            known.roster = roster
        if known.state in _ENDED:
            self._clean(world, reference, known, is_over=is_over)
        elif known.state == _B.BOOKED.value:
            self._sold_and_paid(reference, known, is_over=is_over)

    def _clean(self, world: Any, reference: UUID, known: Booking, *, is_over: bool) -> None:
        """Over: nothing of this booking is alive anywhere, and nobody is out of pocket. What landed long after it was
        given up may be there until the look that is owed for it; at the end of the history there is no such look left.
        """
        for row, paid in self.attempts_in(reference):
            is_late = not is_over and (paid.is_live or paid.net) and row.state in _GIVEN_UP
            if is_late and _is_looked_for(world, row.id):
                continue
            if paid.is_live:
                raise Violation("P1/I2", f"{known.state} with a live authorization", booking=reference, attempt=row.id)
            # A refund that failed is told, and waits for a person; or one has paid it by other means.
            waiting = paid.returned | {
                refund.id: refund.amount
                for refund in self.refunds.values()
                if refund.attempt_id == row.id and refund.state in ("failed", "elsewhere")
            }
            if paid.net > sum(waiting.values()):
                raise Violation(
                    "P1/I2", f"{known.state} with money kept", booking=reference, attempt=row.id, minor=paid.net
                )
        self._no_live_hold(reference, known)
        if self.live_orders(reference):
            raise Violation("P1/I2", f"{known.state} with a live order", booking=reference)

    def _no_live_hold(self, reference: UUID, known: Booking) -> None:
        for row in self.holds.values():
            if row.reference == reference and self.books.held.get(f"hld_{row.id.hex}"):
                raise Violation("H", f"{known.state} with a live hold", booking=reference, hold=row.id)

    def live_orders(self, reference: UUID) -> list[int]:
        """The totals of this booking's orders that the merchant stands by."""
        refs = (f"ord_{row.id.hex}" for row in self.orders.values() if row.reference == reference)
        return [sold.total for ref in refs if (sold := self.books.sold.get(ref)) is not None and sold.is_live]

    def _is_sold(self, reference: UUID) -> bool:
        """Whether our own row says so."""
        return any(row.state in _SOLD for row in self.orders.values() if row.reference == reference)

    def _is_revoked(self, reference: UUID) -> bool:
        """The merchant took its yes back; until we have heard of it (our row says so) captures go on in good faith."""
        refs = (f"ord_{row.id.hex}" for row in self.orders.values() if row.reference == reference)
        return any(sold.is_revoked for ref in refs if (sold := self.books.sold.get(ref)) is not None)

    def _sold_and_paid(self, reference: UUID, known: Booking, *, is_over: bool) -> None:
        orders = self.live_orders(reference)
        if not orders and not is_over and self._is_revoked(reference):
            return  # the merchant canceled by itself, and nobody has looked yet; at the end somebody has
        if len(orders) != 1:
            raise Violation("P2/I3", "booked without exactly one live order", booking=reference, orders=len(orders))
        rows = [row for row in self.portions.values() if row.reference == reference]
        ids = {row.id for row in rows}
        # On its way back, or failed and waiting for a person: no longer the merchant's, and not yet the payer's.
        owed_back = sum(
            row.amount
            for row in self.refunds.values()
            if row.portion_id in ids and row.state in ("asked", "failed") and not row.is_unasked
        )
        kept = sum(row.captured - row.refunded for row in rows) - owed_back
        receivable = sum(row.amount for row in rows if row.state == "covered" and row.dropped_at is None)
        if receivable and known.policy.get("shortfall") != "receivable":
            raise Violation("P2/I3", "the merchant is owed what it never agreed to be", booking=reference)
        # What a change should have given back of a disputed portion is told, and a person's to settle: so much is left.
        held = sum(row.captured - row.refunded for row in rows if row.dispute != "none") if known.is_incomplete else 0
        if not 0 <= kept + receivable - orders[0] <= held:
            raise Violation(
                "P2/I3",
                "kept and receivable are not the order",
                booking=reference,
                kept=kept,
                receivable=receivable,
                order=orders[0],
            )
        self._no_live_hold(reference, known)

    def _missing_money(self, world: Any, reference: UUID, known: Booking) -> None:
        """Given up for want of money: at least one bank must really not have it (needs the last look)."""
        since = known.frozen_at
        budgets = ("confirm_budget_seconds", "settle_budget_seconds")
        margin = world.now + timedelta(minutes=15, seconds=sum(known.policy.get(name, 0) for name in budgets))
        for portion in self.portions_in(reference):
            if portion.amount == 0:
                continue
            own = [
                paid
                for row, paid in self.attempts_in(reference)
                if row.portion_id == portion.id
                and row.is_current
                and paid.is_live
                and paid.amount >= portion.amount
                and row.id not in self.reviewed
            ]
            if not any(
                paid.authorized_at is not None
                and (since is None or paid.authorized_at <= since)
                and (paid.capture_before is None or paid.capture_before > margin)
                for paid in own
            ):
                return
        raise Violation("I11", "given up although every bank keeps the money", booking=reference)

    def _backed(self, reference: UUID, known: Booking) -> None:
        """The merchant is asked only when every bank kept enough, at the last look at the earliest."""
        for portion in self.portions_in(reference):
            own = [
                paid
                for row, paid in self.attempts_in(reference)
                if row.portion_id == portion.id and (row.is_current or self.is_afterwards)
            ]
            if portion.amount and not any(
                paid.amount >= portion.amount
                and (
                    paid.is_live
                    or (known.frozen_at is not None and paid.ended_at is not None and paid.ended_at >= known.frozen_at)
                )
                for paid in own
            ):
                raise Violation("I3", "the merchant is asked on a stale belief", booking=reference, portion=portion.id)

    # --- what happens outside -----------------------------------------------------------------------------------------

    @_loud
    def effect(self, world: Any, effect: Effect) -> None:
        """Something happened outside; nobody here has heard of it yet."""
        self.books.add(effect)
        if self.rows is not None:
            self.rows.effect(self, effect)
        if effect.what == "doubled":
            raise Violation("P3/I5", "a call had a second effect", attempt=effect.subject, key=effect.key)
        if self.books.twice is not None:
            raise Violation("P3/I5", "one key had two effects", key=self.books.twice)
        if effect.side == "provider" and isinstance(effect.subject, UUID):
            if effect.what == "captured" and effect.key is not None:
                self._captured(effect, effect.subject)
            elif effect.what == "refunded" and isinstance(effect.of, UUID) and self.books.attempt(effect.of).net < 0:
                raise Violation("I14", "more was given back than was taken", attempt=effect.of)
        elif effect.what in ("ordered", "pending"):
            order = self.orders.get(from_wire("ord", str(effect.subject)))
            if order is not None and order.hold_id is not None:
                self.books.held[f"hld_{order.hold_id.hex}"] = False  # the order took the places
            if order is not None and len(self.live_orders(order.reference)) > 1:
                raise Violation("P3/I5", "two live orders of one booking", booking=order.reference)

    def _captured(self, effect: Effect, attempt_id: UUID) -> None:
        attempt = self.attempts.get(attempt_id)
        if attempt is None:
            raise Violation("P1/I1", "captured what we have no row of", attempt=attempt_id)
        portion = self.portions[attempt.portion_id]
        reference = portion.reference
        if not self.live_orders(reference) and not self._is_revoked(reference):
            raise Violation("P1/I1", "captured without the merchant's order", booking=reference, attempt=attempt_id)
        if not (self._is_sold(reference) or attempt_id in self.sent_sold):
            raise Violation("P1/I1", "captured before our row said confirmed", booking=reference, attempt=attempt_id)
        if portion.id in self.left:
            raise Violation("P4/I7", "who left before the freeze was captured", portion=portion.id)
        taken = sum(paid.captured_by_us for row, paid in self.attempts_in(reference) if row.portion_id == portion.id)
        back = sum(
            sum(paid.refunded.values()) for row, paid in self.attempts_in(reference) if row.portion_id == portion.id
        )
        if taken - back > portion.amount:
            raise Violation("P3/I5", "a portion was taken twice", portion=portion.id, taken=taken, owed=portion.amount)
        paid = self.books.attempt(attempt_id)
        most = max(
            (
                one.consent
                for row, one in self.attempts_in(reference)
                if row.payer == attempt.payer and row.portion_id == portion.id
            ),
            default=0,
        )
        if paid.captured > most:
            raise Violation("P4/I8", "more than any page showed", attempt=attempt_id, taken=paid.captured, shown=most)

    # --- what we send and what people do ------------------------------------------------------------------------------

    @_loud
    def called(self, world: Any, intent: Intent) -> None:
        """A call leaves."""
        if self.rows is not None:
            self.rows.called(intent)
        claim, calls = self.claims.get(intent.id, (0, 0))
        self.calls[intent.id] = intent.attempts
        calls = calls + 1 if claim == intent.attempts else 1
        self.claims[intent.id] = (intent.attempts, calls)
        # A worker that dies with the last try leaves it to be counted by the next.
        tries_max = (tries_per_intent_max + deaths_in_a_row_max) * (1 + world.plan.resumes)
        if intent.attempts > tries_max or calls > calls_per_try_max:
            raise Violation("I12", "an intent without end", kind=intent.kind, tries=intent.attempts, calls=calls)
        if intent.kind == moving.CAPTURE:
            self._capture_sent(intent)
            paid = self.books.paid.get(intent.subject)
            if paid is None or not paid.is_live or paid.capture_before is None:
                return
            if world.now >= paid.capture_before - timedelta(seconds=capture_margin_seconds):
                raise Violation("I10", "a capture was sent too late", attempt=intent.subject, ends=paid.capture_before)

    def _capture_sent(self, intent: Intent) -> None:
        """What is on its way cannot be called back; what is sent, or sent again, needs an order that stands."""
        attempt = self.attempts.get(intent.subject)
        if attempt is not None and self._is_sold(self.portions[attempt.portion_id].reference):
            self.sent_sold.add(intent.subject)
        else:
            self.sent_sold.discard(intent.subject)

    @_loud
    def person(self, world: Any, who: UUID, what: str, ok: bool) -> None:
        """Somebody did something, and it was accepted or not."""
        if self.rows is not None:
            self.rows.person(self, what, ok)
        if what == "leave" and ok:
            self.left |= {row.id for row in self.portions.values() if row.traveler == who}

    @_loud
    def fault(self, world: Any, fault: Any) -> None:
        """Something went wrong; it may not break anything."""
        if fault.what == "review":
            self.reviewed.add(fault.subject)
        if self.rows is not None:
            self.rows.fault(self, fault)

    def states(self) -> set[str]:
        """The states the bookings are in."""
        return {known.state for known in self.bookings.values()}

    def started(self, world: Any) -> None:
        return None

    @_loud
    def quiet(self, world: Any) -> None:
        """The end."""
        from tests.simulation import endings  # it judges a Watch, so it imports this file

        endings.judge(self, world)


def _is_looked_for(world: Any, attempt_id: UUID) -> bool:
    """Whether a reading or a closing of this attempt is owed."""
    return any(
        call["subject"] == attempt_id and call["state"] in _OWED and call["kind"] in (moving.OBSERVE, moving.CLOSE)
        for call in world.values(IntentRow)
    )


def _is_lawful(row: Any) -> bool:
    """Whether the booking's table, the operator's hand or the aftermath leads this way."""
    if row.to_state == _B.PARKED.value:
        return row.from_state not in _ENDED
    if row.from_state != row.to_state and row.event in ("resumed", "canceled_by_operator"):
        return row.from_state == _B.PARKED.value  # type: ignore[no-any-return]
    if row.from_state == row.to_state and row.event not in _EVENTS:
        return True  # a note: the party or the price changed, or something went wrong after the end
    if row.event not in _EVENTS:
        return False
    # `get`: a look-up of ours is no step taken (`coverage.Counted`).
    found = machine.TABLE.get((BookingState(row.from_state), BookingEvent(row.event)))
    return found is not None and found[0].value == row.to_state


_TAKEN: Final[dict[type, Callable[[Watch, Any], UUID | None]]] = {
    BookingRow: Watch._booking,
    PortionRow: Watch._portion,
    AttemptRow: Watch._attempt,
    RefundRow: Watch._refund,
    HoldRow: Watch._hold,
    MerchantOrderRow: Watch._order,
    RecheckRow: Watch._recheck,
    JournalRow: Watch._journal,
    PostingRow: Watch._posting,
}
