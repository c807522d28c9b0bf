"""The last look, then capture all or void all; unwinding and refunds after it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.clock import system_now
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import AttemptId, IntentId, PortionId, RefundId
from groupbook.kit.money import Money
from groupbook.payments import domain, recording, repository
from groupbook.payments.domain import (
    ATTEMPT_OVER,
    PAYABLE,
    AttemptState,
    IllegalStep,
    JournalKind,
    PortionEvent,
    PortionState,
    RefundState,
    RefundTooLarge,
    may_capture,
)
from groupbook.payments.models import PortionRow
from groupbook.payments.recording import Moment, move_attempt, move_portion, tell
from groupbook.payments.service.opening import supersede

_UNTOUCHABLE: Final = frozenset(
    {
        PortionState.CAPTURING,
        PortionState.CAPTURED,
        PortionState.COVERED,
        PortionState.PART_REFUNDED,
        PortionState.REFUNDED,
    }
)


def observe_all(session: Session, reference: UUID) -> list[IntentId]:
    """Owe a reading of every live current attempt: the last look before a decision. A step.

    Each answer records the fact `portion.observed`; `is_observed_since` says when all have come.
    """
    owed = []
    current = repository.current_attempts(session, [row.id for row in repository.portions_of(session, reference)])
    for attempt in current.values():
        if attempt.state not in ATTEMPT_OVER and attempt.state != AttemptState.CLOSING:
            owed.append(intents.owe(session, recording.OBSERVE, attempt.id, {"is_look": True}))
    return owed


def capture_all(
    session: Session, reference: UUID, *, now: datetime, lower: Mapping[PortionId, Money] | None = None
) -> list[IntentId]:
    """Owe the capture of every authorized portion. A step; call it only when the merchant's order is confirmed (I1).

    Asking again owes nothing new. An authorization that is about to end (I10), or went away since the last look, is not
    captured: its portion is short, billed and still owed, and the caller's recovery begins (`portion.capture_failed`).

    Args:
        lower: what to take instead where the final price fell; never more than was agreed.
    Raises:
        IllegalStep: a portion is voided or being voided; nothing is owed then.
        InvariantBroken: `lower` asks for more than somebody agreed to.
    """
    portions = repository.lock_portions(session, reference)
    current = repository.current_attempts(session, [row.id for row in portions])
    ready = [row for row in portions if row.state == PortionState.AUTHORIZED]
    for portion in portions:
        if portion.state in (PortionState.AUTHORIZED, PortionState.WAIVED, PortionState.SHORT, *_UNTOUCHABLE):
            continue
        if portion.state in PAYABLE:
            supersede(session, portion)
            _bill(session, portion, lower, now)
            portion.decline_reason = "authorization_gone"
            move_portion(portion, PortionEvent.CAPTURE_ASKED, now)
            tell(session, "portion.capture_failed", portion, reason="authorization_gone")
            continue
        raise IllegalStep(machine="portion", state=portion.state, event=PortionEvent.CAPTURE_ASKED.value)
    owed = []
    for portion in ready:
        attempt = current[portion.id]
        wanted = _bill(session, portion, lower, now)
        move_portion(portion, PortionEvent.CAPTURE_ASKED, now)
        move_attempt(attempt, domain.AttemptEvent.CAPTURE_ASKED)
        attempt.capture_asked_at = now
        if may_capture(attempt.capture_before, now):
            payload = {"amount": wanted.minor, "currency": wanted.currency}
            owed.append(intents.owe(session, recording.CAPTURE, attempt.id, payload, once=attempt.id.hex))
        else:
            session.flush()
            recording.record_capture_refused(session, AttemptId(attempt.id), "authorization_too_old")
    session.flush()
    return owed


def void_all(session: Session, reference: UUID, *, now: datetime) -> None:
    """Void every portion: close every page, release every authorization. A step; asking again changes nothing.

    `portion.voided` follows for each once the provider has confirmed.

    Raises:
        IllegalStep: money was taken or is being taken; `unwind_all` gives it back.
    """
    portions = repository.lock_portions(session, reference)
    for portion in portions:
        if portion.state in _UNTOUCHABLE:
            raise IllegalStep(machine="portion", state=portion.state, event=PortionEvent.VOID_ASKED.value)
    for portion in portions:
        _void(session, portion, now)


def void_portion(session: Session, portion_id: PortionId, *, now: datetime) -> None:
    """Void one portion: its member left before the freeze. A step.

    Raises:
        PortionNotFound: no such portion at this merchant.
        IllegalStep: money was taken or is being taken.
    """
    portion = repository.lock_portion(session, portion_id)
    if portion.state in _UNTOUCHABLE:
        raise IllegalStep(machine="portion", state=portion.state, event=PortionEvent.VOID_ASKED.value)
    _void(session, portion, now)


def unwind_all(session: Session, reference: UUID, *, reason: str, now: datetime) -> list[RefundId]:
    """Give everything back: refund what was taken, void the rest. A step; asking again refunds nothing twice.

    Raises:
        IllegalStep: a capture is still under way; wait for its outcome.
    """
    portions = repository.lock_portions(session, reference)
    if any(row.state == PortionState.CAPTURING for row in portions):
        raise IllegalStep(machine="portion", state="capturing", event=PortionEvent.REFUNDED_WHOLE.value)
    refunds = []
    for portion in portions:
        if portion.state in _UNTOUCHABLE:
            left = _refundable(session, portion)
            if left:
                refunds.append(_refund(session, portion, left, reason))
        else:
            _void(session, portion, now)
    return refunds


def refund_portion(session: Session, portion_id: PortionId, amount: Money, *, reason: str) -> RefundId:
    """Owe a refund to the payer of a captured portion, to the card they paid with. A step.

    Args:
        amount: minor units; at most what was taken and not yet asked back.
        reason: our code (`member_canceled`, `merchant_canceled`, …), never a sentence.
    Raises:
        PortionNotFound: no such portion at this merchant.
        RefundTooLarge: more than is left, nothing, or another currency.
    """
    portion = repository.lock_portion(session, portion_id)
    left = _refundable(session, portion)
    if amount.currency != left.currency or amount.minor <= 0 or amount > left:
        raise RefundTooLarge(amount=amount.minor, left=left.minor, currency=left.currency)
    return _refund(session, portion, amount, reason)


def _void(session: Session, portion: PortionRow, now: datetime) -> None:
    move_portion(portion, PortionEvent.VOID_ASKED, now)
    if portion.state != PortionState.VOIDING:
        return
    for attempt in repository.attempts_of(session, portion.id):
        recording.close_attempt(session, attempt)
    recording.finish_void_if_closed(session, portion, Moment(now, system_now(session)))


def _bill(session: Session, portion: PortionRow, lower: Mapping[PortionId, Money] | None, now: datetime) -> Money:
    """What the portion costs in the end: the agreed amount or less, owed from here on."""
    agreed = Money(portion.amount, portion.currency)
    wanted = (lower or {}).get(PortionId(portion.id), agreed)
    if wanted > agreed or wanted.minor <= 0:
        raise InvariantBroken(what="more than agreed", agreed=agreed.minor, wanted=wanted.minor)
    portion.amount = wanted.minor
    repository.journal(session, JournalKind.BILLED, wanted, portion=portion, cause=portion.id, now=now)
    return wanted


def _refundable(session: Session, portion: PortionRow) -> Money:
    asked = sum(
        row.amount
        for row in repository.refunds_of(session, portion.id)
        if row.state != RefundState.FAILED and not row.is_unasked
    )
    return Money(portion.captured - asked, portion.currency)


def _refund(session: Session, portion: PortionRow, amount: Money, reason: str) -> RefundId:
    attempt = repository.current_attempts(session, [portion.id])[portion.id]
    return recording.ask_refund(session, portion, attempt, amount, reason=reason, is_unasked=False)
