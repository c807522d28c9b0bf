"""Money on its way back, written down: our refunds, and what the payers' banks take back by a dispute.

As in `recording`: every function is a step, holds the portion's lock and is safe to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.ids import RefundId, new_id
from groupbook.kit.money import Money
from groupbook.payments import repository
from groupbook.payments.domain import (
    REFUND_MOVED,
    REFUND_OVER,
    REFUND_TABLE,
    STOPPED_BY_DISPUTE,
    Dispute,
    DisputeState,
    RefundState,
    Returned,
    dispute_after,
    owed_again,
    refund_event,
)
from groupbook.payments.ledger import JournalKind
from groupbook.payments.models import AttemptRow, PortionRow, RefundRow
from groupbook.payments.moving import (
    OBSERVE,
    OBSERVE_REFUND,
    REFUND,
    Moment,
    amount_of,
    finish_void_if_closed,
    move_portion,
    tell,
    tell_discrepancy,
    touch,
)
from groupbook.payments.ports import Observed, RefundAnswer

log = structlog.get_logger(__name__)
refund_look_seconds: Final = 3600


def ask_refund(
    session: Session,
    portion: PortionRow,
    attempt: AttemptRow,
    amount: Money,
    *,
    reason: str,
    is_unasked: bool,
    retry_of: UUID | None = None,
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
        retry_of=retry_of,
        asked_at=moment.now,
        changed_at=moment.now,
    )
    session.add(refund)
    session.flush()
    intents.owe(session, REFUND, refund.id, once=refund.id.hex, reference=portion.reference)
    return RefundId(refund.id)


def record_refund(session: Session, refund_id: RefundId, answer: RefundAnswer) -> None:
    """Adopt the provider's truth about a refund; a success may still turn into a failure weeks later (C6)."""
    moment = Moment.of(session)
    portion, refund = repository.lock_refund(session, refund_id)
    before = RefundState(refund.state)
    if refund.refund_ref is None and before in (RefundState.FAILED, RefundState.RETRIED, RefundState.ELSEWHERE):
        before = _turned_up(session, portion, refund, answer, before)
    after = REFUND_TABLE[before, answer.state]
    refund.refund_ref = refund.refund_ref or answer.refund_ref or None
    if after is before:
        if after is RefundState.PENDING:
            _look_at_refund_later(session, refund, moment)
        return
    refund.failure_reason = answer.failure_reason
    was_moved = before in REFUND_MOVED
    if after is RefundState.FAILED:
        if was_moved:
            kind = JournalKind.UNASKED_RETURNED if refund.is_unasked else JournalKind.REFUND_RETURNED
            _journal(session, kind, portion, refund, moment)
        _fail(session, portion, refund, moment, answer.failure_reason)
        return
    if not was_moved:
        kind = JournalKind.REFUNDED_UNASKED if refund.is_unasked else JournalKind.REFUNDED
        _journal(session, kind, portion, refund, moment)
    set_state(session, portion, refund, after, moment)
    if after is RefundState.PENDING:
        _look_at_refund_later(session, refund, moment)
    else:
        tell(session, "portion.refunded", portion, refund=refund.id.hex, amount=refund.amount, currency=refund.currency)
        finish_void_if_closed(session, portion, moment)


def _turned_up(
    session: Session, portion: PortionRow, refund: RefundRow, answer: RefundAnswer, before: RefundState
) -> RefundState:
    """A refund we had given up unseen exists after all. If it was made good meanwhile, the payer has it twice."""
    if before is RefundState.FAILED or answer.state is RefundState.FAILED:
        return RefundState.ASKED if before is RefundState.FAILED else before
    log.error("refunded_twice", refund_id=str(refund.id))
    attempt = repository.read_attempt(session, refund.attempt_id)
    tell_discrepancy(session, portion, attempt, what="refunded_twice", observed=answer.amount)
    return before


def record_refund_refused(session: Session, refund_id: RefundId, reason: str) -> None:
    """The provider will not refund (disputed, or nothing left), or we dare not ask again: an operator has to look."""
    moment = Moment.of(session)
    portion, refund = repository.lock_refund(session, refund_id)
    if refund.state == RefundState.ASKED:
        _fail(session, portion, refund, moment, reason)


def _fail(session: Session, portion: PortionRow, refund: RefundRow, moment: Moment, reason: str | None) -> None:
    refund.failure_reason = reason
    set_state(session, portion, refund, RefundState.FAILED, moment)
    log.error("refund_failed", refund_id=str(refund.id), reason=reason)
    tell(session, "portion.refund_failed", portion, refund=refund.id.hex, reason=reason)
    if reason == STOPPED_BY_DISPUTE:
        # Of this dispute we may know nothing yet, or it may be decided already: either way the reading says so.
        once = f"disputed:{refund.id.hex}"
        intents.owe(session, OBSERVE, refund.attempt_id, once=once, reference=portion.reference)


def ask_again(session: Session, portion: PortionRow, refund: RefundRow, moment: Moment) -> RefundId:
    """Owe a failed refund of a locked portion once more, as a new one. The caller has checked that it may be."""
    attempt = repository.read_attempt(session, refund.attempt_id)
    amount = Money(refund.amount, refund.currency)
    new = ask_refund(
        session, portion, attempt, amount, reason=refund.reason, is_unasked=refund.is_unasked, retry_of=refund.id
    )
    set_state(session, portion, refund, RefundState.RETRIED, moment)
    return new


def settle_dispute(
    session: Session, portion: PortionRow, attempt: AttemptRow, observed: Observed, moment: Moment
) -> None:
    """What a dispute stopped on its way back, once it is decided. Won, the merchant keeps the money and owes it again;
    lost, the bank has paid what nobody had asked for. Twice is once.
    """
    if observed.dispute is None:
        return
    rows = {row.id: row for row in repository.refunds_of(session, portion.id) if row.attempt_id == attempt.id}
    if observed.dispute.state is DisputeState.WON:
        returned = [
            Returned(
                row.id, Money(row.amount, row.currency), RefundState(row.state), row.failure_reason, _tries(row, rows)
            )
            for row in rows.values()
        ]
        captured = observed.captured or amount_of(attempt)
        given_back = observed.refunded or Money.zero(portion.currency)
        for id in owed_again(returned, captured=captured, given_back=given_back):
            log.info("refund_owed_after_dispute", refund_id=str(id))
            ask_again(session, portion, rows[id], moment)
    elif observed.dispute.state is DisputeState.LOST:
        for row in rows.values():
            if row.is_unasked and row.state == RefundState.FAILED:
                _paid_by_other_means(session, portion, row, moment)


def _tries(refund: RefundRow, rows: Mapping[UUID, RefundRow]) -> int:
    first = None if refund.retry_of is None else rows.get(refund.retry_of)
    return 1 if first is None else 1 + _tries(first, rows)


def set_state(session: Session, portion: PortionRow, refund: RefundRow, state: RefundState, moment: Moment) -> None:
    """Move a refund, and count the portion's refunds anew."""
    refund.state = state.value
    refund.changed_at = moment.now
    session.flush()
    refunds = repository.refunds_of(session, portion.id)
    failed = any(row.state == RefundState.FAILED for row in refunds)
    if failed is not portion.refund_failed:
        portion.refund_failed = failed
        touch(portion, moment.now)
    portion.refunded = sum(row.amount for row in refunds if row.state in REFUND_MOVED and not row.is_unasked)
    if portion.captured:
        event = refund_event(
            captured=Money(portion.captured, portion.currency), refunded=Money(portion.refunded, portion.currency)
        )
        move_portion(portion, event, moment.now)


def settle_elsewhere(session: Session, portion: PortionRow, refund: RefundRow, moment: Moment) -> None:
    """The merchant paid a failed refund by other means: in the ledger from another pocket, for the payer a refund."""
    kind = JournalKind.UNASKED_PAID_ELSEWHERE if refund.is_unasked else JournalKind.REFUNDED_ELSEWHERE
    _journal(session, kind, portion, refund, moment)
    _paid_by_other_means(session, portion, refund, moment)


def _paid_by_other_means(session: Session, portion: PortionRow, refund: RefundRow, moment: Moment) -> None:
    set_state(session, portion, refund, RefundState.ELSEWHERE, moment)
    tell(session, "portion.refunded", portion, refund=refund.id.hex, amount=refund.amount, currency=refund.currency)
    finish_void_if_closed(session, portion, moment)


def note_dispute(
    session: Session, portion: PortionRow, attempt: AttemptRow, dispute: Dispute, moment: Moment, *, is_stale: bool
) -> None:
    """Adopt what the payer's bank says about what was taken on an attempt. Money that it took is booked when the
    dispute is lost: as money gone, or as the way back of what nobody asked for.
    """
    before = DisputeState(attempt.dispute)
    after = dispute_after(before, dispute.state, is_stale=is_stale)
    if after is before:
        return
    attempt.dispute = after.value
    follow_dispute(portion, attempt, moment)
    if after is DisputeState.LOST:
        is_owed = any(
            row.is_unasked and row.attempt_id == attempt.id and row.state not in REFUND_OVER
            for row in repository.refunds_of(session, portion.id)
        )
        kind = JournalKind.REFUNDED_UNASKED if is_owed else JournalKind.DISPUTE_LOST
        repository.journal(session, kind, dispute.amount, portion=portion, cause=attempt.id, now=moment.now)
    name = "portion.disputed" if after is DisputeState.OPEN else f"portion.dispute_{after.value}"
    tell(session, name, portion, amount=dispute.amount.minor, currency=dispute.amount.currency)


def follow_dispute(portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    """A locked portion is as disputed as the attempt that holds its money."""
    if portion.captured and attempt.is_current and portion.dispute != attempt.dispute:
        portion.dispute = attempt.dispute
        touch(portion, moment.now)


def _journal(session: Session, kind: JournalKind, portion: PortionRow, refund: RefundRow, moment: Moment) -> None:
    amount = Money(refund.amount, refund.currency)
    repository.journal(session, kind, amount, portion=portion, cause=refund.id, now=moment.now)


def _look_at_refund_later(session: Session, refund: RefundRow, moment: Moment) -> None:
    if not intents.is_open(session, refund.id, OBSERVE_REFUND):
        later = moment.at + timedelta(seconds=refund_look_seconds)
        intents.owe(session, OBSERVE_REFUND, refund.id, due_at=later)
