"""How rows of payments move: by their machines, with a fact where a state changed, under the portion's lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from groupbook.kit import clock, facts, intents
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.clock import system_now
from groupbook.kit.money import Money
from groupbook.payments import repository
from groupbook.payments.domain import (
    ATTEMPT_OVER,
    REFUND_OVER,
    AttemptEvent,
    AttemptState,
    PortionEvent,
    PortionState,
    advance_attempt,
    advance_portion,
)
from groupbook.payments.models import AttemptRow, PortionRow

OPEN: Final = "payment.open"
AUTHORIZE: Final = "payment.authorize"
CLOSE: Final = "payment.close"
OBSERVE: Final = "payment.observe"
CAPTURE: Final = "payment.capture"
REFUND: Final = "payment.refund"
OBSERVE_REFUND: Final = "payment.observe_refund"
SET_UP: Final = "payment.set_up"
LOOK_AT_ACCOUNT: Final = "payment.look_at_account"
LET_GO: Final = "payment.let_go"

# A closing that the provider could not make yet is tried again after a tenth of the time it has had, within these.
close_again_seconds_min: Final = 15
close_again_seconds_max: Final = 600


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


def amount_of(row: AttemptRow | PortionRow) -> Money:
    return Money(row.amount, row.currency)


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
    touch(portion, now)
    return True


def touch(portion: PortionRow, now: datetime) -> None:
    """Something of the portion changed: whoever compares versions must see it."""
    portion.version += 1
    portion.changed_at = now


def tell(session: Session, name: str, portion: PortionRow, *, is_heard: bool = False, **payload: Any) -> None:
    """Record a fact about a portion; every one carries the caller's reference."""
    body = {"reference": portion.reference.hex, "portion": portion.id.hex, "state": portion.state, **payload}
    facts.record(session, name, subject=portion.id, payload=body, is_heard=is_heard)


def tell_discrepancy(
    session: Session, portion: PortionRow, attempt: AttemptRow, *, what: str, observed: Money | None
) -> None:
    """The provider shows something we did not ask for: told with both numbers, for the caller and the operator.

    Once per difference, however often it is read.
    """
    difference = [what, None if observed is None else observed.minor]
    if difference in (attempt.told or []):
        return
    attempt.told = [*(attempt.told or []), difference]
    tell(
        session,
        "payment.discrepant",
        portion,
        what=what,
        attempt=attempt.id.hex,
        expected=attempt.amount,
        observed=None if observed is None else observed.minor,
    )


def owe_close(session: Session, attempt: AttemptRow, *, due_at: datetime | None = None) -> None:
    """Owe the closing of an attempt at the provider, unless that is owed already."""
    if not intents.is_open(session, attempt.id, CLOSE):
        intents.owe(session, CLOSE, attempt.id, due_at=due_at, reference=repository.reference_of(session, attempt))


def close_again_at(session: Session, attempt: AttemptRow) -> datetime:
    """When to try a closing again that the provider could not make: after a tenth of the time it has had."""
    at = system_now(session)
    had = (at - attempt.close_asked_at).total_seconds() if attempt.close_asked_at is not None else 0.0
    return at + timedelta(seconds=min(max(had / 10, close_again_seconds_min), close_again_seconds_max))


def close_attempt(session: Session, attempt: AttemptRow) -> None:
    """Ask that nothing of this attempt stays alive. What is over stays over."""
    if attempt.state in ATTEMPT_OVER or attempt.state == AttemptState.CLOSING:
        return
    move_attempt(attempt, AttemptEvent.CLOSE_ASKED)
    attempt.close_asked_at = system_now(session)
    owe_close(session, attempt)


def supersede(session: Session, portion: PortionRow, *, keeps_saved: bool = False) -> None:
    """Take the current attempt out of the way and have it closed; a later landing on it is an orphan.

    With `keeps_saved` a saved card is only set aside: the payer tries something better, and it is there if they do not.
    """
    current = repository.current_attempts(session, [portion.id]).get(portion.id)
    if current is not None:
        current.is_current = False
        if not (keeps_saved and current.state == AttemptState.SAVED):
            close_attempt(session, current)
        session.flush()


def forget_cards(session: Session, portion: PortionRow) -> None:
    """The provider needs to keep no card for this portion any longer."""
    for attempt in repository.attempts_of(session, portion.id):
        if attempt.state == AttemptState.SAVED:
            close_attempt(session, attempt)


def finish_void_if_closed(session: Session, portion: PortionRow, moment: Moment) -> None:
    """A portion being voided is void once every attempt is over at the provider and nothing unasked is kept."""
    if portion.state != PortionState.VOIDING:
        return
    session.flush()
    attempts_over = all(row.state in ATTEMPT_OVER for row in repository.attempts_of(session, portion.id))
    refunds_over = all(row.state in REFUND_OVER for row in repository.refunds_of(session, portion.id) if row.is_unasked)
    if attempts_over and refunds_over:
        move_portion(portion, PortionEvent.ALL_CLOSED, moment.now)
        tell(session, "portion.voided", portion)
