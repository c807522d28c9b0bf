"""What the provider tells us, and the sweep behind what it forgot to tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import inbox, intents
from groupbook.kit.database import merchant_of, together
from groupbook.kit.ids import RefundId
from groupbook.kit.intents import Owed
from groupbook.payments import domain, repository
from groupbook.payments.domain import (
    AttemptState,
)
from groupbook.payments.moving import LOOK_AT_ACCOUNT, OBSERVE, OBSERVE_REFUND
from groupbook.payments.ports import ProviderEvent

log = structlog.get_logger(__name__)

SOURCE: Final = "stripe"
swept_max: Final = 200
SWEPT: Final = 1


def handle_event(session: Session, source: str, event: ProviderEvent, body: bytes) -> bool:
    """`handle_events` for one message; False for a duplicate. A step."""
    return handle_events(session, source, [(event, body)])[0]


def handle_events(session: Session, source: str, messages: Sequence[tuple[ProviderEvent, bytes]]) -> list[bool]:
    """Keep verified messages of the provider and owe the readings they ask for; for each, whether it was new. A step.

    A payload only says where to look; what it claims is never applied (payments.md 0.8). So several messages about one
    payment ask for one reading of it, and where one is owed that nobody has begun, it serves for these, too: whatever
    they are about has happened before it.
    """
    if not messages:
        return []
    kept = [inbox.Message(event.id, event.type, event.object_ref, body) for event, body in messages]
    with together(session) as ask:
        received = ask(inbox.receive_all, session, source, kept)
        attempts = ask(repository.attempts_meant, session, [_names(event) for event, _ in messages])
    left = received()
    is_new = []
    for event, _ in messages:
        is_new.append(event.id in left)
        left.discard(event.id)  # the second of two is a duplicate
    fresh = [(event, attempt) for (event, _), attempt, new in zip(messages, attempts(), is_new, strict=True) if new]
    for account in {event.account for event, _ in fresh if event.ends_access and event.account}:
        look_at_account(session, account)
    _owe_readings(session, [(event, attempt) for event, attempt in fresh if not event.ends_access])
    return is_new


def _names(event: ProviderEvent) -> repository.AttemptNames:
    return repository.AttemptNames(event.attempt_id, event.payment_ref, event.page_ref)


def look_at_account(session: Session, account: str) -> None:
    """Owe a look whether our platform may still act for the merchant's account: a message alone is not believed.

    An account may have been connected twice, and is still ours then (github.com/pinax/pinax-stripe-light/pull/530).
    """
    merchant_id = merchant_of(session)
    if not intents.waiting(session, [merchant_id], LOOK_AT_ACCOUNT):
        intents.owe(session, LOOK_AT_ACCOUNT, merchant_id, {"account": account})


def _owe_readings(session: Session, news: Sequence[tuple[ProviderEvent, tuple[UUID, UUID] | None]]) -> None:
    """Of the attempt that each message is about, with its reference; or of a refund."""
    meant = dict.fromkeys(found for _, found in news if found is not None)
    named = {event.refund_id for event, _ in news if event.refund_id is not None}
    refunds = {id for id in named if _knows_refund(session, id)}
    for event, attempt in news:
        if attempt is None and event.refund_id not in refunds:
            log.warning("payment_event_of_unknown_object", type=event.type, object_ref=event.object_ref)
    looks = intents.waiting(session, [attempt_id for attempt_id, _ in meant], OBSERVE)
    owed = [Owed(OBSERVE, id, reference=reference) for id, reference in meant if id not in looks]
    refund_looks = intents.waiting(session, refunds, OBSERVE_REFUND)
    owed += [Owed(OBSERVE_REFUND, id) for id in sorted(refunds - refund_looks)]
    intents.owe_all(session, owed)


def sweep(session: Session, *, now: datetime, unseen_seconds: float = 120.0) -> int:
    """Owe a reading of every live attempt not read lately: a lost message of the provider loses nothing. A step."""
    states = [
        state.value
        for state in (AttemptState.OPEN, AttemptState.ACTION, AttemptState.DECLINED, AttemptState.AUTHORIZED)
    ]
    owed = 0
    before = now - timedelta(seconds=unseen_seconds)
    for attempt in repository.attempts_unseen_since(session, states, before, limit=swept_max):
        if not intents.is_open(session, attempt.id, OBSERVE):
            # Behind whatever a booking waits for, and each alone: nothing is decided by a sweep.
            intents.owe(session, OBSERVE, attempt.id, rank=SWEPT)
            owed += 1
    return owed


def _knows_refund(session: Session, refund_id: RefundId) -> bool:
    try:
        repository.read_refund(session, refund_id)
    except domain.RefundNotFound:
        return False
    return True
