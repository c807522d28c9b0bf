"""Asking in the payer's absence: cards kept early and authorized late, and captures that failed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.clock import system_now
from groupbook.kit.ids import IntentId, new_id
from groupbook.payments import repository
from groupbook.payments.attempt import AttemptEvent
from groupbook.payments.domain import AttemptMode, AttemptState, DisputeState, PortionEvent, PortionState
from groupbook.payments.models import AttemptRow, PortionRow
from groupbook.payments.moving import AUTHORIZE, move_attempt, move_portion, owe_close, supersede, tell, touch


def authorize_saved(session: Session, reference: UUID, *, now: datetime) -> list[IntentId]:
    """Owe the authorization, in the payers' absence, of every portion whose card is kept. A step.

    Asking again owes nothing. A bank that says no, or wants to see its customer, leaves the portion payable on a page
    (`portion.declined`); at most what the payer agreed to is asked for.
    """
    portions = [row for row in repository.lock_portions(session, reference) if row.dropped_at is None]
    for portion in portions:
        if portion.authorizes_at is not None and portion.authorizes_at > now:
            portion.authorizes_at = now  # whoever comes to a page from now on authorizes there
    waiting = [row for row in portions if row.state == PortionState.SAVED]
    saved = repository.saved_attempts(session, [row.id for row in waiting])
    owed = []
    for portion in waiting:
        card = saved.get(portion.id)
        if card is None or card.payer != portion.payer:
            move_portion(portion, PortionEvent.ATTEMPT_ENDED, now)
            tell(session, "portion.reopened", portion)
            continue
        owed.append(_try_card(session, portion, card, portion.cap, now))
        tell(session, "portion.authorizing", portion)
    return owed


def recover_all(session: Session, reference: UUID, *, now: datetime) -> list[IntentId]:
    """Ask again for every short portion. A step; asking again owes nothing.

    Where its payer let their card be kept, that card is tried once, in their absence; otherwise, or when the bank says
    no, the portion is payable on a page again, by them or by whoever takes it over (`portion.asked_again`). What is
    authorized for a short portion is captured at once: the order stands, and the others have paid.
    """
    portions = [row for row in repository.lock_portions(session, reference) if row.dropped_at is None]
    short = [row for row in portions if row.state == PortionState.SHORT and row.asked_again_at is None]
    saved = repository.saved_attempts(session, [row.id for row in short])
    owed = []
    for portion in short:
        portion.asked_again_at = portion.asked_at = now
        touch(portion, now)
        card = saved.get(portion.id)
        if card is not None and card.payer == portion.payer and card.amount >= portion.amount:
            owed.append(_try_card(session, portion, card, portion.amount, now))
        else:
            tell(session, "portion.asked_again", portion, reason=portion.decline_reason)
    return owed


def stop_taking(session: Session, reference: UUID, *, now: datetime) -> None:
    """Ask nobody any more, and take nothing more: the order is in question. A step; asking again changes nothing.

    A capture that is owed is called off, and its authorization released; one that lands all the same is found by that.
    What lands late on a page or a card that was tried is released, not taken. Should the order stand after all,
    `recover_all` asks anew.
    """
    portions = repository.lock_portions(session, reference)
    taking = [row for row in portions if row.state == PortionState.CAPTURING]
    current = repository.current_attempts(session, [row.id for row in taking])
    for portion in taking:
        attempt = current.get(portion.id)
        if attempt is not None and attempt.state == AttemptState.CAPTURING:
            move_attempt(attempt, AttemptEvent.CAPTURE_REFUSED)
            attempt.close_asked_at = system_now(session)
            owe_close(session, attempt)
        move_portion(portion, PortionEvent.CAPTURE_REFUSED, now)
    for portion in portions:
        if portion.state == PortionState.SHORT and portion.asked_again_at is not None:
            supersede(session, portion)
            portion.asked_again_at = None
            touch(portion, now)


def _try_card(session: Session, portion: PortionRow, card: AttemptRow, minor: int, now: datetime) -> IntentId:
    """One attempt with a kept card. Its row is there before the call, so a lost answer is found again by its id."""
    supersede(session, portion, keeps_saved=True)
    attempt = AttemptRow(
        merchant_id=portion.merchant_id,
        id=new_id(),
        portion_id=portion.id,
        n=repository.next_attempt_number(session, portion.id),
        payer=portion.payer,
        amount=minor,
        currency=portion.currency,
        state=AttemptState.OPENING.value,
        mode=AttemptMode.OFF_SESSION.value,
        is_current=True,
        title=card.title,
        locale=card.locale,
        success_url=card.success_url,
        cancel_url=card.cancel_url,
        saved_ref=card.saved_ref,
        dispute=DisputeState.NONE.value,
        started_at=system_now(session),
    )
    repository.add_attempt(session, attempt)
    move_portion(portion, PortionEvent.ATTEMPT_STARTED, now)
    return intents.owe(session, AUTHORIZE, attempt.id, once=attempt.id.hex, reference=portion.reference)
