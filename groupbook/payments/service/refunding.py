"""Money back: one portion, everything, and the refunds that did not arrive."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit.ids import PortionId, RefundId
from groupbook.kit.money import Money
from groupbook.payments import repository
from groupbook.payments.domain import (
    DisputeState,
    IllegalStep,
    PortionDisputed,
    PortionEvent,
    PortionState,
    RefundState,
    RefundTooLarge,
)
from groupbook.payments.models import AttemptRow, PortionRow, RefundRow
from groupbook.payments.moving import Moment
from groupbook.payments.returning import ask_again, ask_refund, settle_elsewhere
from groupbook.payments.service.voiding import UNTOUCHABLE, void

_DISPUTED = frozenset({DisputeState.OPEN, DisputeState.LOST})


def unwind_all(session: Session, reference: UUID, *, reason: str, now: datetime) -> list[RefundId]:
    """Give everything back: refund what was taken, void the rest. A step; asking again refunds nothing twice.

    What the merchant covered is owed by nobody any more. A disputed portion is left to its dispute: the payer's bank
    decides, and a refund on top would pay twice (C6).

    Raises:
        IllegalStep: a capture is still under way; wait for its outcome.
    """
    portions = repository.lock_portions(session, reference)
    if any(row.state == PortionState.CAPTURING for row in portions):
        raise IllegalStep(machine="portion", state="capturing", event=PortionEvent.REFUNDED_WHOLE.value)
    refunds = []
    for portion in portions:
        if portion.state == PortionState.COVERED or portion.state not in UNTOUCHABLE:
            void(session, portion, now)
            continue
        left = _refundable(session, portion)
        if left and portion.dispute not in _DISPUTED:
            refunds.append(_refund(session, portion, left, reason))
    return refunds


def refund_portion(session: Session, portion_id: PortionId, amount: Money, *, reason: str) -> RefundId:
    """Owe a refund to the payer of a captured portion, to the card they paid with. A step.

    Args:
        amount: minor units; at most what was taken and not yet asked back.
        reason: our code (`member_canceled`, `merchant_canceled`, …), never a sentence.
    Raises:
        PortionNotFound: no such portion at this merchant.
        RefundTooLarge: more than is left, nothing, or another currency.
        PortionDisputed: the payer's bank is deciding, or took the money back.
    """
    portion = repository.lock_portion(session, portion_id)
    left = _refundable(session, portion)
    if amount.currency != left.currency or amount.minor <= 0 or amount > left:
        raise RefundTooLarge(amount=amount.minor, left=left.minor, currency=left.currency)
    _require_undisputed(portion)
    return _refund(session, portion, amount, reason)


def refund_amount(session: Session, refund_id: RefundId) -> tuple[UUID, Money]:
    """What this refund is about: its reference, and how much. A step; locks nothing.

    Raises:
        RefundNotFound: no such refund at this merchant.
    """
    refund = repository.read_refund(session, refund_id)
    return repository.read_portion(session, PortionId(refund.portion_id)).reference, Money(
        refund.amount, refund.currency
    )


def retry_refund(session: Session, refund_id: RefundId) -> RefundId:
    """Ask again for a refund that failed, as a new refund. A step; asking again finds the new one.

    Raises:
        RefundNotFound: no such refund at this merchant.
        IllegalStep: it did not fail, or was settled elsewhere.
        PortionDisputed: as for `refund_portion`.
    """
    portion, refund = repository.lock_refund(session, refund_id)
    if refund.state == RefundState.RETRIED:
        refunds = repository.refunds_of(session, portion.id)
        return next(RefundId(row.id) for row in refunds if row.retry_of == refund.id)
    _require_failed(refund)
    _require_undisputed(repository.read_attempt(session, refund.attempt_id))
    return ask_again(session, portion, refund, Moment.of(session))


def settle_refund_elsewhere(session: Session, refund_id: RefundId, note: str) -> None:
    """The merchant paid a failed refund by other means (a bank transfer, a voucher). A step.

    Asking again changes nothing.

    Args:
        note: how, for the books: the number of the transfer, never an account or a person's name.
    Raises:
        RefundNotFound: no such refund at this merchant.
        IllegalStep: it did not fail, or was retried.
    """
    portion, refund = repository.lock_refund(session, refund_id)
    if refund.state == RefundState.ELSEWHERE:
        return
    _require_failed(refund)
    refund.note = note[:500]
    settle_elsewhere(session, portion, refund, Moment.of(session))


def _require_failed(refund: RefundRow) -> None:
    if refund.state != RefundState.FAILED:
        raise IllegalStep(machine="refund", state=refund.state, event="made_good")


def _require_undisputed(taken: PortionRow | AttemptRow) -> None:
    if taken.dispute in _DISPUTED:
        raise PortionDisputed(dispute=taken.dispute)


def _refundable(session: Session, portion: PortionRow) -> Money:
    """What was taken and nobody has asked back yet. A failed refund keeps its part: it is retried or settled.

    What the merchant gave back at the provider by hand may be a part that a failed one keeps: then nothing is left.
    """
    asked = sum(
        row.amount
        for row in repository.refunds_of(session, portion.id)
        if not row.is_unasked and row.state != RefundState.RETRIED
    )
    return Money(max(0, portion.captured - asked), portion.currency)


def _refund(session: Session, portion: PortionRow, amount: Money, reason: str) -> RefundId:
    attempt = repository.current_attempts(session, [portion.id])[portion.id]
    return ask_refund(session, portion, attempt, amount, reason=reason, is_unasked=False)
