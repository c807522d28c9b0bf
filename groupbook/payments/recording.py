"""Writing down what the provider's truth means: for the attempt, the portion, the ledger and whoever listens.

Every function is a step and holds the portion's lock. Each is safe to repeat: the machines refuse or ignore what is
old, the ledger journals a cause once, and a fact is recorded only where a state changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import clock, facts, intents
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.clock import system_now
from groupbook.kit.ids import AttemptId, RefundId, new_id
from groupbook.kit.money import Money
from groupbook.payments import repository
from groupbook.payments.domain import (
    ATTEMPT_OVER,
    ATTEMPT_PAYABLE,
    PAYABLE,
    REFUND_TABLE,
    AttemptEvent,
    AttemptState,
    JournalKind,
    PortionEvent,
    PortionState,
    RefundState,
    advance_attempt,
    advance_portion,
    refund_event,
)
from groupbook.payments.models import AttemptRow, PortionRow, RefundRow
from groupbook.payments.ports import Observed, PaymentPage, RefundAnswer, Seen

log = structlog.get_logger(__name__)

OPEN: Final = "payment.open"
CLOSE: Final = "payment.close"
OBSERVE: Final = "payment.observe"
CAPTURE: Final = "payment.capture"
REFUND: Final = "payment.refund"
OBSERVE_REFUND: Final = "payment.observe_refund"

late_landing_seconds: Final = 7200  # a page that opens after we gave it up is looked for once more by then
refund_look_seconds: Final = 3600

_EVENTS: Final = {
    Seen.ABSENT: AttemptEvent.SEEN_ABSENT,
    Seen.OPEN: AttemptEvent.SEEN_OPEN,
    Seen.ACTION: AttemptEvent.SEEN_ACTION,
    Seen.DECLINED: AttemptEvent.SEEN_DECLINED,
    Seen.AUTHORIZED: AttemptEvent.SEEN_AUTHORIZED,
    Seen.CAPTURED: AttemptEvent.SEEN_CAPTURED,
    Seen.CANCELED: AttemptEvent.SEEN_CANCELED,
    Seen.EXPIRED: AttemptEvent.SEEN_EXPIRED,
}


@dataclass(frozen=True)
class Moment:
    """The two clocks of one recording: `now` decides and dates, `at` is plain time for how long calls take."""

    now: datetime
    at: datetime

    @classmethod
    def of(cls, session: Session) -> Moment:
        return cls(merchant_now(session), system_now(session))

    def seen_here(self, outside: datetime) -> datetime:
        """An instant the provider told us, on the merchant's clock: a bank does not travel in time with a test."""
        return clock.seen_here(outside, now=self.now, at=self.at)


def move_attempt(attempt: AttemptRow, event: AttemptEvent) -> bool:
    """Apply the event; whether the state changed."""
    before = AttemptState(attempt.state)
    after = advance_attempt(before, event)
    attempt.state = after.value
    return after is not before


def move_portion(portion: PortionRow, event: PortionEvent, now: datetime) -> bool:
    """Apply the event; whether the state changed."""
    before = PortionState(portion.state)
    after = advance_portion(before, event)
    if after is before:
        return False
    portion.state = after.value
    portion.version += 1
    portion.changed_at = now
    return True


def tell(session: Session, name: str, portion: PortionRow, **payload: Any) -> None:
    """Record a fact about a portion; every one carries the caller's reference."""
    session.flush()
    body = {"reference": portion.reference.hex, "portion": portion.id.hex, "state": portion.state, **payload}
    facts.record(session, name, subject=portion.id, payload=body)


def owe_close(session: Session, attempt: AttemptRow, *, due_at: datetime | None = None) -> None:
    """Owe the closing of an attempt at the provider, unless that is owed already."""
    session.flush()
    if not intents.is_open(session, attempt.id, CLOSE):
        intents.owe(session, CLOSE, attempt.id, due_at=due_at)


def close_attempt(session: Session, attempt: AttemptRow) -> None:
    """Ask that nothing of this attempt stays alive. What is over stays over."""
    if attempt.state in ATTEMPT_OVER or attempt.state == AttemptState.CLOSING:
        return
    move_attempt(attempt, AttemptEvent.CLOSE_ASKED)
    owe_close(session, attempt)


# --- answers ----------------------------------------------------------------------------------------------------------


def record_page(session: Session, attempt_id: AttemptId, page: PaymentPage) -> None:
    """The provider opened the page."""
    portion, attempt = repository.lock_attempt(session, attempt_id)
    attempt.page_ref = attempt.page_ref or page.page_ref
    attempt.payment_ref = attempt.payment_ref or page.payment_ref
    attempt.page_url = page.url
    attempt.closes_at = Moment.of(session).seen_here(page.closes_at)
    move_attempt(attempt, AttemptEvent.PAGE_OPENED)
    _close_what_should_not_live(session, portion, attempt)


def record_page_refused(session: Session, attempt_id: AttemptId, reason: str) -> None:
    """The provider will not open such a page, or we no longer want it."""
    moment = Moment.of(session)
    portion, attempt = repository.lock_attempt(session, attempt_id)
    attempt.decline_reason = reason
    move_attempt(attempt, AttemptEvent.PAGE_REFUSED)
    _after_end(session, portion, attempt, moment)


def record_observation(session: Session, attempt_id: AttemptId, observed: Observed, *, inflight_seconds: float) -> None:
    """Adopt the provider's truth about an attempt.

    Args:
        inflight_seconds: the longest a call of ours can be under way; nothing found after that never landed.
    """
    moment = Moment.of(session)
    portion, attempt = repository.lock_attempt(session, attempt_id)
    before = AttemptState(attempt.state)
    _adopt_details(attempt, observed, moment)
    event = _EVENTS[observed.seen]
    if observed.is_under_review and event is AttemptEvent.SEEN_AUTHORIZED and before in ATTEMPT_PAYABLE:
        event = AttemptEvent.SEEN_ACTION  # an open review is not an authorization to build a decision on (H10)
    if event is AttemptEvent.SEEN_ABSENT and before is AttemptState.CLOSING:
        _look_again_or_give_up(session, portion, attempt, moment, inflight_seconds)
        return
    if observed.seen in (Seen.AUTHORIZED, Seen.CAPTURED) and observed.amount not in (None, _amount(attempt)):
        _tell_discrepancy(session, portion, attempt, what="amount", observed=observed)
        if before in ATTEMPT_PAYABLE and event is AttemptEvent.SEEN_AUTHORIZED:
            close_attempt(session, attempt)
            _portion_event(session, portion, PortionEvent.ATTEMPT_ENDED, moment)
            return
    move_attempt(attempt, event)
    after = AttemptState(attempt.state)
    if after is AttemptState.AUTHORIZED and before is not after:
        _authorized(session, portion, attempt, moment)
    elif after is AttemptState.CAPTURED and before is not after:
        _captured(session, portion, attempt, observed, moment, before)
    elif after is AttemptState.DECLINED and before is not after:
        _declined(session, portion, attempt, moment)
    elif after in ATTEMPT_OVER and before is not after:
        _after_end(session, portion, attempt, moment)
    _close_what_should_not_live(session, portion, attempt)


def record_capture_refused(session: Session, attempt_id: AttemptId, reason: str) -> None:
    """The provider will not capture: the portion is short, and whatever is left of the authorization is released."""
    moment = Moment.of(session)
    portion, attempt = repository.lock_attempt(session, attempt_id)
    attempt.decline_reason = reason
    if attempt.state == AttemptState.CAPTURING:
        move_attempt(attempt, AttemptEvent.CAPTURE_REFUSED)
        owe_close(session, attempt)
    if portion.state == PortionState.CAPTURING:
        portion.decline_reason = reason
        move_portion(portion, PortionEvent.CAPTURE_REFUSED, moment.now)
        tell(session, "portion.capture_failed", portion, reason=reason)


def ask_refund(
    session: Session, portion: PortionRow, attempt: AttemptRow, amount: Money, *, reason: str, is_unasked: bool
) -> RefundId:
    """Owe a refund of a locked portion. The caller has checked the amount."""
    moment = Moment.of(session)
    refund = RefundRow(
        merchant_id=portion.merchant_id,
        id=new_id(),
        portion_id=portion.id,
        attempt_id=attempt.id,
        amount=amount.minor,
        currency=amount.currency,
        state=RefundState.ASKED.value,
        reason=reason,
        is_unasked=is_unasked,
        asked_at=moment.now,
        changed_at=moment.now,
    )
    session.add(refund)
    session.flush()
    intents.owe(session, REFUND, refund.id, once=refund.id.hex)
    return RefundId(refund.id)


def record_refund(session: Session, refund_id: RefundId, answer: RefundAnswer) -> None:
    """Adopt the provider's truth about a refund; a success may still turn into a failure weeks later (C6)."""
    moment = Moment.of(session)
    portion, refund = repository.lock_refund(session, refund_id)
    before = RefundState(refund.state)
    after = REFUND_TABLE[before, answer.state]
    refund.refund_ref = refund.refund_ref or answer.refund_ref
    if after is before:
        if after is RefundState.PENDING:
            _look_at_refund_later(session, refund, moment)
        return
    refund.state = after.value
    refund.failure_reason = answer.failure_reason
    refund.changed_at = moment.now
    amount = Money(refund.amount, refund.currency)
    kind = JournalKind.REFUNDED_UNASKED if refund.is_unasked else JournalKind.REFUNDED
    was_moved = before in (RefundState.PENDING, RefundState.SUCCEEDED)
    if after is RefundState.FAILED:
        if was_moved and not refund.is_unasked:
            repository.journal(
                session, JournalKind.REFUND_RETURNED, amount, portion=portion, cause=refund.id, now=moment.now
            )
        _count_refunds(session, portion, moment)
        log.error("refund_failed", refund_id=str(refund.id), reason=answer.failure_reason)
        tell(session, "portion.refund_failed", portion, refund=refund.id.hex, reason=answer.failure_reason)
        return
    if not was_moved:
        repository.journal(session, kind, amount, portion=portion, cause=refund.id, now=moment.now)
    _count_refunds(session, portion, moment)
    if after is RefundState.PENDING:
        _look_at_refund_later(session, refund, moment)
    else:
        tell(session, "portion.refunded", portion, refund=refund.id.hex, amount=refund.amount, currency=refund.currency)
        finish_void_if_closed(session, portion, moment)


def record_refund_refused(session: Session, refund_id: RefundId, reason: str) -> None:
    """The provider will not refund (disputed, or nothing left): an operator has to look."""
    moment = Moment.of(session)
    portion, refund = repository.lock_refund(session, refund_id)
    refund.state = RefundState.FAILED.value
    refund.failure_reason = reason
    refund.changed_at = moment.now
    _count_refunds(session, portion, moment)
    log.error("refund_refused", refund_id=str(refund.id), reason=reason)
    tell(session, "portion.refund_failed", portion, refund=refund.id.hex, reason=reason)


def finish_void_if_closed(session: Session, portion: PortionRow, moment: Moment) -> None:
    """A portion being voided is void once every attempt is over at the provider and nothing unasked is kept."""
    if portion.state != PortionState.VOIDING:
        return
    session.flush()
    attempts_over = all(row.state in ATTEMPT_OVER for row in repository.attempts_of(session, portion.id))
    refunds_over = all(
        row.state == RefundState.SUCCEEDED for row in repository.refunds_of(session, portion.id) if row.is_unasked
    )
    if attempts_over and refunds_over:
        move_portion(portion, PortionEvent.ALL_CLOSED, moment.now)
        tell(session, "portion.voided", portion)


# --- what each change means -------------------------------------------------------------------------------------------


def _amount(attempt: AttemptRow) -> Money:
    return Money(attempt.amount, attempt.currency)


def _adopt_details(attempt: AttemptRow, observed: Observed, moment: Moment) -> None:
    attempt.page_ref = attempt.page_ref or observed.page_ref
    attempt.payment_ref = observed.payment_ref or attempt.payment_ref
    attempt.page_url = attempt.page_url or observed.page_url
    if observed.closes_at is not None:
        attempt.closes_at = moment.seen_here(observed.closes_at)
    if observed.capture_before is not None:
        attempt.capture_before = moment.seen_here(observed.capture_before)
    if observed.decline_reason:
        attempt.decline_reason = observed.decline_reason
    if observed.card:
        attempt.card_brand, attempt.card_last4 = observed.card.brand, observed.card.last4
    attempt.observed_at = moment.now


def _portion_event(session: Session, portion: PortionRow, event: PortionEvent, moment: Moment) -> None:
    """Apply an attempt's news to its portion where the portion still cares."""
    if portion.state in PAYABLE and move_portion(portion, event, moment.now) and event is PortionEvent.ATTEMPT_ENDED:
        tell(session, "portion.reopened", portion)


def _authorized(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    attempt.authorized_at = moment.now
    repository.journal(
        session, JournalKind.AUTHORIZED, _amount(attempt), portion=portion, cause=attempt.id, now=moment.now
    )
    if attempt.is_current and portion.state in PAYABLE:
        portion.decline_reason = None
        move_portion(portion, PortionEvent.ATTEMPT_AUTHORIZED, moment.now)
        tell(session, "portion.authorized", portion)


def _declined(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    if attempt.is_current and portion.state in PAYABLE:
        portion.decline_reason = attempt.decline_reason
        if move_portion(portion, PortionEvent.ATTEMPT_DECLINED, moment.now):
            tell(session, "portion.declined", portion, reason=attempt.decline_reason)


def _captured(
    session: Session,
    portion: PortionRow,
    attempt: AttemptRow,
    observed: Observed,
    moment: Moment,
    before: AttemptState,
) -> None:
    captured = observed.captured or observed.amount or _amount(attempt)
    _end_memo(session, portion, attempt, moment)
    expected = portion.state in (PortionState.CAPTURING, PortionState.SHORT) and attempt.capture_asked_at is not None
    if expected and attempt.is_current and captured == Money(portion.amount, portion.currency):
        repository.journal(session, JournalKind.CAPTURED, captured, portion=portion, cause=attempt.id, now=moment.now)
        portion.captured = captured.minor
        portion.decline_reason = None
        move_portion(portion, PortionEvent.ATTEMPT_CAPTURED, moment.now)
        tell(session, "portion.captured", portion, amount=captured.minor, currency=captured.currency)
        return
    # Somebody captured outside the saga: give it back in full and tell (payments.md 2.5, VOIDING).
    log.error("captured_unasked", attempt_id=str(attempt.id), state=before.value)
    repository.journal(
        session, JournalKind.CAPTURED_UNASKED, captured, portion=portion, cause=attempt.id, now=moment.now
    )
    ask_refund(session, portion, attempt, captured, reason="captured_unasked", is_unasked=True)
    _tell_discrepancy(session, portion, attempt, what="captured_unasked", observed=observed)


def _after_end(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    """The attempt is over without money."""
    _end_memo(session, portion, attempt, moment)
    if attempt.is_current and portion.state in PAYABLE:
        reason = attempt.decline_reason
        if attempt.state == AttemptState.FAILED:
            portion.decline_reason = reason
            if move_portion(portion, PortionEvent.ATTEMPT_DECLINED, moment.now):
                tell(session, "portion.declined", portion, reason=reason)
        else:
            _portion_event(session, portion, PortionEvent.ATTEMPT_ENDED, moment)
    elif attempt.is_current and portion.state == PortionState.AUTHORIZED:
        move_portion(portion, PortionEvent.AUTHORIZATION_LAPSED, moment.now)
        tell(session, "portion.expired", portion)
    elif attempt.is_current and portion.state == PortionState.CAPTURING:
        portion.decline_reason = "authorization_gone"
        move_portion(portion, PortionEvent.AUTHORIZATION_LAPSED, moment.now)
        tell(session, "portion.capture_failed", portion, reason="authorization_gone")
    finish_void_if_closed(session, portion, moment)


def _end_memo(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    if attempt.authorized_at is not None:
        repository.journal(
            session,
            JournalKind.AUTHORIZATION_ENDED,
            _amount(attempt),
            portion=portion,
            cause=attempt.id,
            now=moment.now,
        )


def _close_what_should_not_live(session: Session, portion: PortionRow, attempt: AttemptRow) -> None:
    """An attempt that is alive but not wanted (superseded, given up, landed late) is an orphan: close it."""
    state = AttemptState(attempt.state)
    if state is AttemptState.ORPHAN:
        close_attempt(session, attempt)
    elif state is AttemptState.CLOSING:
        owe_close(session, attempt)
    elif state is AttemptState.AUTHORIZED and portion.state != PortionState.AUTHORIZED:
        close_attempt(session, attempt)


def _look_again_or_give_up(
    session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment, inflight_seconds: float
) -> None:
    """Nothing is there. A call of ours may still be under way, so look again when none can be."""
    landed_by = attempt.started_at + timedelta(seconds=inflight_seconds)
    if moment.at < landed_by:
        owe_close(session, attempt, due_at=landed_by)
        return
    move_attempt(attempt, AttemptEvent.NEVER_LANDED)
    _after_end(session, portion, attempt, moment)
    late = moment.at + timedelta(seconds=late_landing_seconds)
    intents.owe(session, OBSERVE, attempt.id, once=f"late:{attempt.id.hex}", due_at=late)


def _count_refunds(session: Session, portion: PortionRow, moment: Moment) -> None:
    session.flush()
    moved = (RefundState.PENDING.value, RefundState.SUCCEEDED.value)
    refunds = repository.refunds_of(session, portion.id)
    portion.refunded = sum(row.amount for row in refunds if row.state in moved and not row.is_unasked)
    if portion.captured:
        event = refund_event(
            captured=Money(portion.captured, portion.currency), refunded=Money(portion.refunded, portion.currency)
        )
        move_portion(portion, event, moment.now)


def _look_at_refund_later(session: Session, refund: RefundRow, moment: Moment) -> None:
    if not intents.is_open(session, refund.id, OBSERVE_REFUND):
        later = moment.at + timedelta(seconds=refund_look_seconds)
        intents.owe(session, OBSERVE_REFUND, refund.id, due_at=later)


def _tell_discrepancy(
    session: Session, portion: PortionRow, attempt: AttemptRow, *, what: str, observed: Observed
) -> None:
    amount = observed.captured or observed.amount
    tell(
        session,
        "payment.discrepant",
        portion,
        what=what,
        attempt=attempt.id.hex,
        expected=attempt.amount,
        observed=None if amount is None else amount.minor,
    )
