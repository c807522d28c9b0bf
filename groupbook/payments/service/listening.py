"""What the provider tells us, and the sweep behind what it forgot to tell."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import inbox, intents
from groupbook.kit.clock import system_now
from groupbook.kit.ids import RefundId
from groupbook.payments import domain, recording, repository
from groupbook.payments.domain import (
    AttemptState,
)
from groupbook.payments.ports import ProviderEvent

log = structlog.get_logger(__name__)

swept_max: Final = 200


def handle_event(session: Session, source: str, event: ProviderEvent, body: bytes) -> bool:
    """Keep a verified message of the provider and owe the reading it asks for. A step; False for a duplicate.

    The payload only says where to look. What it claims is never applied (payments.md 0.8).
    """
    if not inbox.receive(session, source, event.id, type=event.type, object_ref=event.object_ref, body=body):
        return False
    attempt = repository.find_attempt(
        session, attempt_id=event.attempt_id, payment_ref=event.payment_ref, page_ref=event.page_ref
    )
    if attempt is not None:
        intents.owe(session, recording.OBSERVE, attempt.id, once=f"event:{event.id}")
    if event.refund_id is not None and _knows_refund(session, event.refund_id):
        intents.owe(session, recording.OBSERVE_REFUND, event.refund_id, once=f"event:{event.id}")
    elif attempt is None:
        log.warning("payment_event_of_unknown_object", type=event.type, object_ref=event.object_ref)
    repository.mark_event_processed(session, source, event.id, system_now(session))
    return True


def sweep(session: Session, *, now: datetime, unseen_seconds: float = 120.0) -> int:
    """Owe a reading of every live attempt not read lately: a lost message of the provider loses nothing. A step."""
    states = [
        state.value
        for state in (AttemptState.OPEN, AttemptState.ACTION, AttemptState.DECLINED, AttemptState.AUTHORIZED)
    ]
    owed = 0
    before = now - timedelta(seconds=unseen_seconds)
    for attempt in repository.attempts_unseen_since(session, states, before, limit=swept_max):
        if not intents.is_open(session, attempt.id, recording.OBSERVE):
            intents.owe(session, recording.OBSERVE, attempt.id)
            owed += 1
    return owed


def _knows_refund(session: Session, refund_id: RefundId) -> bool:
    try:
        repository.read_refund(session, refund_id)
    except domain.RefundNotFound:
        return False
    return True
