"""Differences between the provider's account and our books: kept, told, resolved, and one kind taken into the books."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import facts, intents
from groupbook.kit.clock import system_now
from groupbook.kit.ids import DifferenceId, RefundId, new_id
from groupbook.payments import books_repository, moving, repository, returning
from groupbook.payments.domain import RefundState
from groupbook.payments.models import DifferenceRow, PortionRow, RefundRow
from groupbook.payments.ports import RefundAnswer
from groupbook.payments.reconciliation import (
    Difference,
    DifferenceKind,
    DifferenceNotBookable,
    RunView,
    StoredDifference,
)

log = structlog.get_logger(__name__)

DIFFERENCE: Final = "reconciliation.difference"
RESOLVED: Final = "reconciliation.resolved"
listed_max: Final = 200
# Kinds that a fresh reading of the attempt (or refund) may put right by itself.
_REREAD: Final = frozenset(
    {
        DifferenceKind.CAPTURE_OUTSIDE,
        DifferenceKind.AUTHORIZATION_ALIVE,
        DifferenceKind.AUTHORIZATION_GONE,
        DifferenceKind.DISPUTE_UNSEEN,
        DifferenceKind.MISSING_PAYMENT,
    }
)


def differences(
    session: Session, *, is_open: bool = True, reference: UUID | None = None, limit: int = listed_max
) -> list[StoredDifference]:
    """Where the provider and we disagree (or did), the newest first. A step."""
    return books_repository.differences_of(session, is_open=is_open, reference=reference, limit=limit)


def comparisons(session: Session, *, limit: int = 14) -> list[RunView]:
    """The latest days that were compared, the newest first. A step."""
    return [
        RunView(
            day=row.day,
            finished_at=row.finished_at,
            payments=row.payments,
            refunds=row.refunds,
            foreign=row.foreign,
            differences=row.differences,
            last_error=row.last_error,
        )
        for row in books_repository.runs_of(session, limit=limit)
    ]


def book_refund_outside(session: Session, difference_id: DifferenceId) -> RefundId:
    """Take a refund that was made in the provider's own dashboard into the books, as a refund of ours. A step.

    The provider's word about amount and name is taken as the comparison saw it; the difference resolves at once. A
    refund of ours that had come back, and that this one stands for, is made good by it.

    Raises:
        DifferenceNotFound: no such difference at this merchant.
        DifferenceNotBookable: not a refund made outside, resolved already, or more than the payer has paid.
    """
    row = books_repository.read_difference(session, difference_id)
    if row.kind != DifferenceKind.REFUND_OUTSIDE or row.portion_id is None:
        raise DifferenceNotBookable(kind=row.kind)
    portion = repository.lock_portion(session, row.portion_id)  # as a run does: portions first, differences after them
    row = books_repository.lock_difference(session, difference_id)
    if row.resolved_at is not None:
        raise DifferenceNotBookable(kind=row.kind)
    is_unasked = books_repository.is_unasked(session, row.attempt_id) if row.attempt_id else False
    if row.currency != portion.currency or (not is_unasked and row.observed > portion.captured - portion.refunded):
        raise DifferenceNotBookable(amount=row.observed, left=portion.captured - portion.refunded)
    moment = moving.Moment.of(session)
    came_back = _made_good(session, portion, row.observed, is_unasked=is_unasked)
    refund = RefundRow(
        merchant_id=portion.merchant_id,
        id=new_id(),
        portion_id=portion.id,
        attempt_id=row.attempt_id,
        amount=row.observed,
        currency=row.currency,
        state=RefundState.ASKED.value,
        reason="made_outside",
        is_unasked=is_unasked,
        refund_ref=row.provider_ref,
        retry_of=came_back.id if came_back is not None else None,
        asked_at=moment.now,
        changed_at=moment.now,
    )
    session.add(refund)
    session.flush()
    if came_back is not None:
        returning.set_state(session, portion, came_back, RefundState.RETRIED, moment)
    difference = books_repository.stored(row).difference
    answer = RefundAnswer(row.provider_ref, RefundState.SUCCEEDED, difference.observed)
    returning.record_refund(session, RefundId(refund.id), answer)
    resolve_difference(session, row, system_now(session))
    return RefundId(refund.id)


def _made_good(session: Session, portion: PortionRow, amount: int, *, is_unasked: bool) -> RefundRow | None:
    """The failed refund that one of `amount` stands for: of the same amount, or of more than is kept after it."""
    kept = portion.captured - portion.refunded - amount
    for one in repository.refunds_of(session, portion.id):
        is_failed = one.state == RefundState.FAILED and one.is_unasked == is_unasked
        if is_failed and (one.amount == amount or (not is_unasked and one.amount > kept)):
            return one
    return None


def raise_difference(session: Session, day: date, difference: Difference, at: datetime) -> bool:
    """Keep a new difference, tell of it, and owe the reading that may put it right."""
    id = books_repository.open_difference(session, day, difference, at)
    if id is None:
        return False
    _tell(session, DIFFERENCE, id, difference)
    if difference.attempt_id is not None and difference.kind in _REREAD:
        intents.owe(session, moving.OBSERVE, difference.attempt_id, once=f"reconciled:{id.hex}")
    if difference.refund_id is not None and difference.kind is DifferenceKind.REFUND_ALIVE:
        intents.owe(session, moving.OBSERVE_REFUND, difference.refund_id, once=f"reconciled:{id.hex}")
    log.error(
        "reconciliation_difference",
        kind=difference.kind.value,
        provider_ref=difference.provider_ref,
        expected=difference.expected.minor,
        observed=difference.observed.minor,
        currency=difference.observed.currency,
        reference=str(difference.reference) if difference.reference else None,
    )
    return True


def resolve_difference(session: Session, row: DifferenceRow, at: datetime) -> None:
    row.resolved_at = at
    session.flush()
    _tell(session, RESOLVED, DifferenceId(row.id), books_repository.stored(row).difference)
    log.info("reconciliation_resolved", kind=row.kind, provider_ref=row.provider_ref)


def _tell(session: Session, name: str, id: DifferenceId, difference: Difference) -> None:
    payload: dict[str, Any] = {
        "reason": difference.kind.value,
        "provider_ref": difference.provider_ref,
        "expected": {"amount": difference.expected.minor, "currency": difference.expected.currency},
        "observed": {"amount": difference.observed.minor, "currency": difference.observed.currency},
        "is_money": difference.is_money,
    }
    if difference.reference is not None:
        payload["reference"] = difference.reference.hex
    if difference.portion_id is not None:
        payload["portion"] = difference.portion_id.hex
    facts.record(session, name, subject=id, payload=payload)
