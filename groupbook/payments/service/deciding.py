"""The last look, then capture all; what fell short asked again, or covered (the recovery ladder)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.clock import system_now
from groupbook.kit.database import together
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import AttemptId, IntentId, PortionId, new_id
from groupbook.kit.intents import Owed
from groupbook.kit.money import Money, total
from groupbook.payments import recording, repository
from groupbook.payments.domain import (
    NOT_READ,
    PAYABLE,
    AttemptEvent,
    Due,
    IllegalStep,
    PortionEvent,
    PortionState,
    fall,
    may_capture,
)
from groupbook.payments.ledger import JournalKind
from groupbook.payments.models import AttemptRow, PortionRow
from groupbook.payments.moving import OBSERVE, Moment, amount_of, move_attempt, move_portion, supersede, tell, touch

_UNBILLED: Final = PAYABLE | {PortionState.AUTHORIZED}


def observe_all(session: Session, reference: UUID) -> list[IntentId]:
    """Owe a reading of every live current attempt: the last look before a decision. A step.

    Each answer records the fact `portion.observed`; `tally` says whether all have come.
    """
    with together(session) as ask:
        portions = ask(repository.portions_of, session, reference)
        current = ask(repository.current_attempts_of, session, reference)
    attempts = [current()[row.id] for row in portions() if row.dropped_at is None and row.id in current()]
    looks = [
        Owed(OBSERVE, attempt.id, {"is_look": True}, reference=reference)
        for attempt in attempts
        if attempt.state not in NOT_READ
    ]
    return intents.owe_all(session, looks)


def capture_all(session: Session, reference: UUID, *, now: datetime, whole: Money | None = None) -> list[IntentId]:
    """Owe the capture of every portion that counts. A step; call it only when the merchant's order is confirmed (I1).

    Asking again owes nothing new. An authorization that is about to end (I10), or went away since the last look, is not
    captured: its portion is short, billed and still owed, and the caller's recovery begins (`portion.capture_failed`).

    Args:
        whole: what everything costs in the end, where that is less than the portions' sum: the relief is split by
            `fall`, and who falls to nothing is waived. None: nothing changed.
    Raises:
        IllegalStep: a portion is voided or being voided; nothing is owed then.
        InvariantBroken: `whole` is more than everybody agreed to, or what was billed already.
    """
    with together(session) as ask:
        locked = ask(repository.lock_portions, session, reference)
        current = ask(repository.current_attempts_of, session, reference)
    portions = [row for row in locked() if row.dropped_at is None]
    for portion in portions:
        if portion.state in (PortionState.VOIDING, PortionState.VOIDED):
            raise IllegalStep(machine="portion", state=portion.state, event=PortionEvent.CAPTURE_ASKED.value)
    unbilled = [row for row in portions if row.state in _UNBILLED]
    amounts = _amounts(portions, unbilled, whole)
    taken = [_take(session, row, current().get(row.id), amounts[PortionId(row.id)], now) for row in unbilled]
    return intents.owe_all(session, [owed for owed in taken if owed is not None])


def capture_portion(session: Session, portion_id: PortionId, *, now: datetime) -> IntentId | None:
    """Owe the capture of one portion, after the merchant has amended the order. A step, as `capture_all` of one.

    Returns: the owed call; None when nothing is owed, or the authorization went away and the portion is short.
    Raises:
        PortionNotFound: no such portion at this merchant.
        IllegalStep: it is voided or being voided.
    """
    portion = repository.lock_portion(session, portion_id)
    if portion.dropped_at is not None or portion.state in (PortionState.VOIDING, PortionState.VOIDED):
        raise IllegalStep(machine="portion", state=portion.state, event=PortionEvent.CAPTURE_ASKED.value)
    if portion.state not in _UNBILLED:
        return None
    attempt = repository.current_attempts(session, [portion.id]).get(portion.id)
    owed = _take(session, portion, attempt, amount_of(portion), now)
    return None if owed is None else intents.owe_all(session, [owed])[0]


def cover_shortfall(session: Session, reference: UUID, *, now: datetime) -> list[PortionId]:
    """The merchant takes what is still short upon itself, as a receivable it agreed to in its settings. A step.

    Whatever was asked for again is given up: it is released when it lands. Asking again changes nothing.

    Returns: the portions that are covered now and were not before.
    """
    covered = []
    for portion in repository.lock_portions(session, reference):
        if portion.state != PortionState.SHORT or portion.dropped_at is not None:
            continue
        supersede(session, portion)
        repository.journal(session, JournalKind.COVERED, amount_of(portion), portion=portion, cause=portion.id, now=now)
        move_portion(portion, PortionEvent.COVERED, now)
        tell(session, "portion.covered", portion, amount=portion.amount, currency=portion.currency)
        covered.append(PortionId(portion.id))
    return covered


def lessen_cover(session: Session, portion_id: PortionId, amount: Money, *, now: datetime) -> None:
    """The merchant is owed that much less of a portion it took upon itself: somebody else pays for the place, or the
    order costs less without it. A step; as with a refund, asking again lessens it again.

    Raises:
        PortionNotFound: no such portion at this merchant.
        InvariantBroken: it is not covered, or by less than that.
    """
    portion = repository.lock_portion(session, portion_id)
    if portion.state != PortionState.COVERED or not 0 < amount.minor <= portion.amount:
        raise InvariantBroken(what="not covered", state=portion.state, covered=portion.amount, less=amount.minor)
    cause = new_id()
    for kind in (JournalKind.COVER_RETURNED, JournalKind.UNBILLED):
        repository.journal(session, kind, amount, portion=portion, cause=cause, now=now)
    portion.amount -= amount.minor
    touch(portion, now)
    if not portion.amount:
        move_portion(portion, PortionEvent.NOTHING_LEFT, now)
        tell(session, "portion.waived", portion)


def _amounts(
    portions: Sequence[PortionRow], unbilled: Sequence[PortionRow], whole: Money | None
) -> dict[PortionId, Money]:
    """What each portion that is not billed yet is billed now."""
    if whole is None:
        return {PortionId(row.id): amount_of(row) for row in unbilled}
    billed = total((amount_of(row) for row in portions if row not in unbilled), whole.currency)
    left = whole - billed
    if not unbilled and left:
        raise InvariantBroken(what="billed already", billed=billed.minor, wanted=whole.minor)
    return fall([Due(PortionId(row.id), row.traveler, amount_of(row)) for row in unbilled], left)


def _take(
    session: Session, portion: PortionRow, attempt: AttemptRow | None, wanted: Money, now: datetime
) -> Owed | None:
    """Bill one portion; its capture is to be owed, or it is short when there is nothing to capture any more."""
    if wanted > amount_of(portion) or wanted.minor < 0:
        raise InvariantBroken(what="more than agreed", agreed=portion.amount, wanted=wanted.minor)
    portion.amount = wanted.minor
    if not wanted:
        supersede(session, portion)
        move_portion(portion, PortionEvent.NOTHING_LEFT, now)
        tell(session, "portion.waived", portion)
        return None
    repository.journal(session, JournalKind.BILLED, wanted, portion=portion, cause=portion.id, now=now)
    move_portion(portion, PortionEvent.CAPTURE_ASKED, now)
    if portion.state != PortionState.CAPTURING or attempt is None:
        supersede(session, portion)
        portion.decline_reason = "authorization_gone"
        tell(session, "portion.capture_failed", portion, reason="authorization_gone")
        return None
    if may_capture(attempt.capture_before, now):
        return recording.begin_capture(portion, attempt, Moment(now, system_now(session)))
    move_attempt(attempt, AttemptEvent.CAPTURE_ASKED)
    attempt.capture_asked_at = now
    session.flush()
    recording.record_capture_refused(session, AttemptId(attempt.id), "authorization_too_old")
    return None
