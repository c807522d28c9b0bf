"""Giving portions up: their pages are closed, their authorizations released, and nothing is left alive."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit.clock import system_now
from groupbook.kit.ids import PortionId
from groupbook.payments import repository
from groupbook.payments.domain import CLOSED, PAYABLE, IllegalStep, PortionEvent, PortionNotPayable, PortionState
from groupbook.payments.ledger import JournalKind
from groupbook.payments.models import PortionRow
from groupbook.payments.moving import (
    Moment,
    amount_of,
    close_attempt,
    finish_void_if_closed,
    move_portion,
    tell,
    touch,
)

UNTOUCHABLE: Final = frozenset(
    {
        PortionState.CAPTURING,
        PortionState.CAPTURED,
        PortionState.COVERED,
        PortionState.PART_REFUNDED,
        PortionState.REFUNDED,
    }
)


def void_all(session: Session, reference: UUID, *, now: datetime) -> None:
    """Void every portion: close every page, release every authorization. A step; asking again changes nothing.

    `portion.voided` follows for each once the provider has confirmed.

    Raises:
        IllegalStep: money was taken or is being taken; `unwind_all` gives it back.
    """
    portions = repository.lock_portions(session, reference)
    for portion in portions:
        require_voidable(portion)
    for portion in portions:
        void(session, portion, now)


def void_waiting(session: Session, reference: UUID, *, now: datetime) -> bool:
    """Give every authorization back while a person thinks or the merchant is silent, before banks let it lapse (H12).
    A step.

    Nothing happens where money was taken or is being taken: then the others' authorizations may still be needed.

    Returns: whether anything was asked; False the second time.
    """
    portions = repository.lock_portions(session, reference)
    if any(portion.state in UNTOUCHABLE for portion in portions):
        return False
    living = [row for row in portions if row.state not in (*CLOSED, PortionState.VOIDING)]
    for portion in living:
        void(session, portion, now)
    return bool(living)


def void_portion(session: Session, portion_id: PortionId, *, now: datetime) -> None:
    """One portion leaves the sums: its member left before the freeze, or an amendment came to nothing. A step.

    `portion.dropped` at once, `portion.voided` when the provider has confirmed. Asking again changes nothing.

    Raises:
        PortionNotFound: no such portion at this merchant.
        IllegalStep: money was taken or is being taken.
    """
    portion = repository.lock_portion(session, portion_id)
    require_voidable(portion)
    drop(session, portion, now)


def void_unpaid(session: Session, portion_id: PortionId, *, now: datetime) -> None:
    """`void_portion`, unless its payer's bank has said yes. A step.

    Raises:
        PortionNotFound: no such portion at this merchant.
        PortionNotPayable: it is authorized, taken, or over without this.
    """
    portion = repository.lock_portion(session, portion_id)
    if portion.dropped_at is None and portion.state not in PAYABLE:
        raise PortionNotPayable(state=portion.state)
    drop(session, portion, now)


def require_voidable(portion: PortionRow) -> None:
    """
    Raises:
        IllegalStep: money was taken or is being taken.
    """
    if portion.state in UNTOUCHABLE:
        raise IllegalStep(machine="portion", state=portion.state, event=PortionEvent.VOID_ASKED.value)


def drop(session: Session, portion: PortionRow, now: datetime) -> None:
    """Take a locked portion out of the sums and void it."""
    if portion.dropped_at is None:
        portion.dropped_at = now
        touch(portion, now)
        void(session, portion, now)
        tell(session, "portion.dropped", portion)


def void(session: Session, portion: PortionRow, now: datetime) -> None:
    """Void a locked portion. One that was billed and never paid is owed no longer."""
    before = portion.state
    if before == PortionState.COVERED:
        repository.journal(
            session, JournalKind.COVER_RETURNED, amount_of(portion), portion=portion, cause=portion.id, now=now
        )
        move_portion(portion, PortionEvent.UNCOVERED, now)
    else:
        move_portion(portion, PortionEvent.VOID_ASKED, now)
    if before in (PortionState.SHORT, PortionState.COVERED):
        repository.journal(
            session, JournalKind.UNBILLED, amount_of(portion), portion=portion, cause=portion.id, now=now
        )
    if portion.state != PortionState.VOIDING:
        return
    for attempt in repository.attempts_of(session, portion.id):
        close_attempt(session, attempt)
    finish_void_if_closed(session, portion, Moment(now, system_now(session)))
