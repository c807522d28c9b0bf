"""Writing down what the provider's truth means: for the attempt, the portion, the ledger and whoever listens.

Every function is a step and holds the portion's lock. Each is safe to repeat: the machines refuse or ignore what is
old, the ledger journals a cause once, and a fact is recorded only where a state changed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.ids import AttemptId
from groupbook.kit.intents import Owed
from groupbook.kit.money import Money
from groupbook.payments import repository
from groupbook.payments.domain import (
    ATTEMPT_OVER,
    ATTEMPT_PAYABLE,
    PAYABLE,
    AttemptEvent,
    AttemptMode,
    AttemptState,
    PortionEvent,
    PortionState,
)
from groupbook.payments.ledger import JournalKind
from groupbook.payments.models import AttemptRow, PortionRow
from groupbook.payments.moving import (
    CAPTURE,
    OBSERVE,
    Moment,
    amount_of,
    close_again_at,
    close_attempt,
    finish_void_if_closed,
    forget_cards,
    move_attempt,
    move_portion,
    owe_close,
    supersede,
    tell,
    tell_discrepancy,
)
from groupbook.payments.ports import Observed, PaymentPage, Seen
from groupbook.payments.returning import ask_refund, follow_dispute, note_dispute, settle_dispute

log = structlog.get_logger(__name__)

late_landing_seconds: Final = 7200  # a page that opens after we gave it up is looked for once more by then

_EVENTS: Final = {
    Seen.ABSENT: AttemptEvent.SEEN_ABSENT,
    Seen.OPEN: AttemptEvent.SEEN_OPEN,
    Seen.ACTION: AttemptEvent.SEEN_ACTION,
    Seen.DECLINED: AttemptEvent.SEEN_DECLINED,
    Seen.SAVED: AttemptEvent.SEEN_SAVED,
    Seen.AUTHORIZED: AttemptEvent.SEEN_AUTHORIZED,
    Seen.CAPTURED: AttemptEvent.SEEN_CAPTURED,
    Seen.CANCELED: AttemptEvent.SEEN_CANCELED,
    Seen.EXPIRED: AttemptEvent.SEEN_EXPIRED,
}


# --- answers ----------------------------------------------------------------------------------------------------------


def record_page(session: Session, attempt_id: AttemptId, page: PaymentPage) -> None:
    """The provider opened the page."""
    portion, attempt = repository.lock_attempt(session, attempt_id)
    attempt.page_ref = attempt.page_ref or page.page_ref
    attempt.payment_ref = attempt.payment_ref or page.payment_ref
    attempt.page_url = page.url
    attempt.closes_at = Moment.of(session).seen_here(page.closes_at)
    move_attempt(attempt, AttemptEvent.PAGE_OPENED)
    _close_what_should_not_live(session, portion, attempt)


def record_page_refused(session: Session, attempt_id: AttemptId, reason: str, *, may_land: bool = False) -> None:
    """The provider will not open such a page or use such a card, or we no longer want it.

    A kept card that an earlier call may have authorized all the same stays unknown: its payer is asked to pay another
    way, and until they do, whoever looks adopts what is there (I11). Nobody can pay on a page that was never given out.

    Args:
        may_land: an earlier call was never answered: what it makes is looked for when it must have landed.
    """
    moment = Moment.of(session)
    portion, attempt = repository.lock_attempt(session, attempt_id)
    attempt.decline_reason = reason
    if may_land and attempt.mode == AttemptMode.OFF_SESSION and attempt.state == AttemptState.OPENING:
        _declined(session, portion, attempt, moment, may_land=True)
    else:
        move_attempt(attempt, AttemptEvent.PAGE_REFUSED)
        _after_end(session, portion, attempt, moment)
    if may_land:
        _look_when_landed(session, portion, attempt, moment)


def record_observation(
    session: Session,
    attempt_id: AttemptId,
    observed: Observed,
    *,
    inflight_seconds: float,
    called_at: datetime | None = None,
    was_closed: bool = False,
) -> None:
    """Adopt the provider's truth about an attempt.

    Args:
        called_at: when the provider was asked, in plain time; None: just now. An answer that was long on its way is no
            look at what happened meanwhile.
        was_closed: it is the answer to a closing.
        inflight_seconds: the longest a call of ours can be under way; nothing found after that never landed.
    """
    moment = Moment.of(session)
    portion, attempt = repository.lock_attempt(session, attempt_id)
    before = AttemptState(attempt.state)
    is_stale = attempt.observed_at is not None and moment.seen_here(called_at or moment.at) < attempt.observed_at
    _adopt_details(attempt, observed, moment, called_at or moment.at)
    event = _EVENTS[observed.seen]
    if observed.is_under_review and event is AttemptEvent.SEEN_AUTHORIZED and before in ATTEMPT_PAYABLE:
        event = AttemptEvent.SEEN_ACTION  # an open review is not an authorization to build a decision on (H10)
    if event is AttemptEvent.SEEN_ABSENT and before is AttemptState.CLOSING:
        _look_again_or_give_up(session, portion, attempt, moment, inflight_seconds)
        return
    if observed.seen in (Seen.AUTHORIZED, Seen.CAPTURED) and observed.amount not in (None, amount_of(attempt)):
        tell_discrepancy(session, portion, attempt, what="amount", observed=observed.captured or observed.amount)
        if before in ATTEMPT_PAYABLE and event is AttemptEvent.SEEN_AUTHORIZED:
            close_attempt(session, attempt)
            _ended(session, portion, attempt, moment)
            return
    move_attempt(attempt, event)
    after = AttemptState(attempt.state)
    if before is not after:
        _changed(session, portion, attempt, observed, moment, before)
    _close_own_page_in_time(session, portion, attempt, moment)
    _close_what_should_not_live(session, portion, attempt, was_closed=was_closed)
    if observed.dispute is not None:
        note_dispute(session, portion, attempt, observed.dispute, moment, is_stale=is_stale)
        if not is_stale:
            settle_dispute(session, portion, attempt, observed, moment)


def record_capture_refused(session: Session, attempt_id: AttemptId, reason: str) -> None:
    """The provider will not capture: the portion is short, and whatever is left of the authorization is released."""
    moment = Moment.of(session)
    portion, attempt = repository.lock_attempt(session, attempt_id)
    attempt.decline_reason = reason
    if attempt.state == AttemptState.CAPTURING:
        move_attempt(attempt, AttemptEvent.CAPTURE_REFUSED)
        attempt.close_asked_at = moment.at
        owe_close(session, attempt)
    if portion.state == PortionState.CAPTURING and attempt.is_current:
        _fall_short(session, portion, PortionEvent.CAPTURE_REFUSED, reason, moment)


# --- what each change means -------------------------------------------------------------------------------------------


def _adopt_details(attempt: AttemptRow, observed: Observed, moment: Moment, called_at: datetime) -> None:
    attempt.page_ref = attempt.page_ref or observed.page_ref
    attempt.payment_ref = observed.payment_ref or attempt.payment_ref
    attempt.saved_ref = attempt.saved_ref or observed.saved_ref
    if attempt.page_url is None:
        attempt.page_url = observed.page_url
    if observed.closes_at is not None:
        attempt.closes_at = moment.seen_here(observed.closes_at)
    if observed.capture_before is not None:
        attempt.capture_before = moment.seen_here(observed.capture_before)
    if observed.decline_reason:
        attempt.decline_reason = observed.decline_reason
    if observed.card:
        attempt.card_brand, attempt.card_last4 = observed.card.brand, observed.card.last4
    read_at = moment.seen_here(called_at)
    attempt.observed_at = max(attempt.observed_at or read_at, read_at)


def _changed(
    session: Session,
    portion: PortionRow,
    attempt: AttemptRow,
    observed: Observed,
    moment: Moment,
    before: AttemptState,
) -> None:
    after = AttemptState(attempt.state)
    # Without its payer nobody confirms anything; a review is the provider's, and ends by itself.
    is_absent = attempt.mode == AttemptMode.OFF_SESSION and not observed.is_under_review
    is_waiting_for_nobody = is_absent and after is AttemptState.ACTION
    if after is AttemptState.AUTHORIZED:
        _authorized(session, portion, attempt, moment)
    elif after is AttemptState.CAPTURED:
        _captured(session, portion, attempt, observed, moment, before)
    elif after is AttemptState.SAVED:
        _saved(session, portion, attempt, moment)
    elif after is AttemptState.DECLINED or is_waiting_for_nobody:
        _declined(session, portion, attempt, moment)
    elif after in ATTEMPT_OVER:
        _after_end(session, portion, attempt, moment)


def _saved(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    if attempt.is_current and portion.state in PAYABLE:
        portion.decline_reason = None
        if move_portion(portion, PortionEvent.ATTEMPT_SAVED, moment.now):
            tell(session, "portion.saved", portion)


def _authorized(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    attempt.authorized_at = moment.now
    repository.journal(
        session, JournalKind.AUTHORIZED, amount_of(attempt), portion=portion, cause=attempt.id, now=moment.now
    )
    if not attempt.is_current:
        return
    if portion.state in PAYABLE:
        portion.decline_reason = None
        move_portion(portion, PortionEvent.ATTEMPT_AUTHORIZED, moment.now)
        tell(session, "portion.authorized", portion)
    elif portion.state == PortionState.SHORT:
        # The order stands and the others have paid: what was asked for again is taken at once (the recovery ladder).
        portion.decline_reason = None
        move_portion(portion, PortionEvent.ATTEMPT_AUTHORIZED, moment.now)
        tell(session, "portion.authorized", portion)
        intents.owe_all(session, [begin_capture(portion, attempt, moment)])


def begin_capture(portion: PortionRow, attempt: AttemptRow, moment: Moment) -> Owed:
    """The taking of what a portion comes to, to be owed. Its state says already that it is being captured."""
    move_attempt(attempt, AttemptEvent.CAPTURE_ASKED)
    attempt.capture_asked_at = moment.now
    payload = {"amount": portion.amount, "currency": portion.currency}
    return Owed(CAPTURE, attempt.id, payload, once=attempt.id.hex, reference=portion.reference)


def _declined(
    session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment, *, may_land: bool = False
) -> None:
    """The bank said no, or wants to see its customer. On a page that may go on; without one this try is over, unless
    an earlier call of it `may_land`.
    """
    is_off_session = attempt.mode == AttemptMode.OFF_SESSION
    if attempt.is_current and portion.state in (*PAYABLE, PortionState.SHORT):
        portion.decline_reason = attempt.decline_reason
        if move_portion(portion, PortionEvent.ATTEMPT_DECLINED, moment.now):
            tell(session, "portion.declined", portion, reason=attempt.decline_reason)
        elif is_off_session:
            tell(session, "portion.asked_again", portion, reason=attempt.decline_reason)
    if is_off_session and not may_land:
        close_attempt(session, attempt)


def _captured(
    session: Session,
    portion: PortionRow,
    attempt: AttemptRow,
    observed: Observed,
    moment: Moment,
    before: AttemptState,
) -> None:
    captured = observed.captured or observed.amount or amount_of(attempt)
    _end_memo(session, portion, attempt, moment)
    is_wanted = portion.state in (PortionState.CAPTURING, PortionState.SHORT) and attempt.capture_asked_at is not None
    if is_wanted and captured == amount_of(portion):
        if not attempt.is_current:
            _put_first(session, portion, attempt)
        repository.journal(session, JournalKind.CAPTURED, captured, portion=portion, cause=attempt.id, now=moment.now)
        portion.captured = captured.minor
        portion.payer = attempt.payer
        follow_dispute(portion, attempt, moment)
        portion.decline_reason = None
        move_portion(portion, PortionEvent.ATTEMPT_CAPTURED, moment.now)
        tell(session, "portion.captured", portion, amount=captured.minor, currency=captured.currency)
        if portion.authorizes_at is not None:
            forget_cards(session, portion)
        return
    _captured_unasked(session, portion, attempt, captured, moment, before)


def _captured_unasked(
    session: Session, portion: PortionRow, attempt: AttemptRow, captured: Money, moment: Moment, before: AttemptState
) -> None:
    """Money that nobody here asked for, or that came a second time: all of it goes back, loudly (payments.md 2.5)."""
    current = repository.current_attempts(session, [portion.id]).get(portion.id)
    is_second = portion.state == PortionState.CAPTURED and attempt.capture_asked_at is not None
    log.error("captured_unasked", attempt_id=str(attempt.id), state=before.value, is_second=is_second)
    repository.journal(
        session, JournalKind.CAPTURED_UNASKED, captured, portion=portion, cause=attempt.id, now=moment.now
    )
    back = attempt
    if is_second and current is not None and attempt.n < current.n and captured.minor == portion.captured:
        # The original turns out taken after the fallback succeeded: the one who stood in gets theirs back.
        back = current
        _put_first(session, portion, attempt)
        portion.payer = attempt.payer
        follow_dispute(portion, attempt, moment)
    what = "captured_twice" if is_second else "captured_unasked"
    ask_refund(session, portion, back, captured, reason=what, is_unasked=True)
    tell_discrepancy(session, portion, attempt, what=what, observed=captured)
    if not attempt.is_current:
        return
    if portion.state == PortionState.CAPTURING:
        _fall_short(session, portion, PortionEvent.CAPTURE_REFUSED, "captured_another_amount", moment)
    elif portion.state == PortionState.AUTHORIZED:
        # The bank keeps nothing for this portion any more: what was taken goes back, and its payer is asked again.
        move_portion(portion, PortionEvent.AUTHORIZATION_LAPSED, moment.now)
        tell(session, "portion.expired", portion)
    else:
        _ended(session, portion, attempt, moment)


def _put_first(session: Session, portion: PortionRow, attempt: AttemptRow) -> None:
    """The money sits on this attempt after all; what stood in for it is given up."""
    current = repository.current_attempts(session, [portion.id]).get(portion.id)
    if current is not None and current.state == AttemptState.CAPTURING:
        current.is_current = False  # its capture may land: that is refunded then, and what was not sent is not sent
        session.flush()
    else:
        supersede(session, portion)
    attempt.is_current = True
    session.flush()


def _after_end(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    """The attempt is over without money."""
    _end_memo(session, portion, attempt, moment)
    if attempt.is_current:
        if portion.state in (*PAYABLE, PortionState.SHORT):
            if attempt.state == AttemptState.FAILED:
                _declined(session, portion, attempt, moment)
            else:
                _ended(session, portion, attempt, moment)
        elif portion.state == PortionState.AUTHORIZED:
            move_portion(portion, PortionEvent.AUTHORIZATION_LAPSED, moment.now)
            tell(session, "portion.expired", portion)
        elif portion.state == PortionState.CAPTURING:
            _fall_short(session, portion, PortionEvent.AUTHORIZATION_LAPSED, "authorization_gone", moment)
    finish_void_if_closed(session, portion, moment)


def _ended(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    """A page closed without an authorization: payable again, or as well off as before where a card is kept."""
    if portion.state not in PAYABLE:
        return
    may_fall_back = portion.state in (PortionState.AUTHORIZING, PortionState.DECLINED, PortionState.SAVED)
    if may_fall_back and attempt.mode == AttemptMode.AUTHORIZE and _has_untried_card(session, portion):
        if move_portion(portion, PortionEvent.ATTEMPT_SAVED, moment.now):
            tell(session, "portion.saved", portion)
    elif move_portion(portion, PortionEvent.ATTEMPT_ENDED, moment.now):
        tell(session, "portion.reopened", portion)


def _has_untried_card(session: Session, portion: PortionRow) -> bool:
    """Whether a card is kept for this portion that its bank has not refused yet."""
    if portion.authorizes_at is None:
        return False
    attempts = repository.attempts_of(session, portion.id)
    tried = {row.saved_ref for row in attempts if row.mode == AttemptMode.OFF_SESSION}
    return any(
        row.state == AttemptState.SAVED and row.payer == portion.payer and row.saved_ref not in tried
        for row in attempts
    )


def _fall_short(session: Session, portion: PortionRow, event: PortionEvent, reason: str, moment: Moment) -> None:
    portion.decline_reason = reason
    move_portion(portion, event, moment.now)
    tell(session, "portion.capture_failed", portion, reason=reason)


def _end_memo(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    if attempt.authorized_at is not None:
        repository.journal(
            session,
            JournalKind.AUTHORIZATION_ENDED,
            amount_of(attempt),
            portion=portion,
            cause=attempt.id,
            now=moment.now,
        )


def _close_what_should_not_live(
    session: Session, portion: PortionRow, attempt: AttemptRow, *, was_closed: bool = False
) -> None:
    """An attempt that is alive but not wanted (superseded, given up, landed late) is an orphan: close it.

    `was_closed`: the provider has just been asked to and could not yet; it is asked again after a pause.
    """
    state = AttemptState(attempt.state)
    if state is AttemptState.ORPHAN:
        close_attempt(session, attempt)
    elif state is AttemptState.CLOSING:
        owe_close(session, attempt, due_at=close_again_at(session, attempt) if was_closed else None)
    elif state is AttemptState.AUTHORIZED and (portion.state != PortionState.AUTHORIZED or not attempt.is_current):
        close_attempt(session, attempt)


def _close_own_page_in_time(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    """The provider ends its own pages by itself; a page of ours ends by our hand, so that nobody agrees days later."""
    is_over = attempt.closes_at is not None and attempt.closes_at <= moment.now
    if attempt.page_url == "" and is_over and attempt.is_current and attempt.state in ATTEMPT_PAYABLE:
        close_attempt(session, attempt)
        _ended(session, portion, attempt, moment)


def _look_again_or_give_up(
    session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment, inflight_seconds: float
) -> None:
    """Nothing is there. A call of ours may still be under way, so look again when none can be."""
    landed_by = (attempt.close_asked_at or attempt.started_at) + timedelta(seconds=inflight_seconds)
    if moment.at < landed_by:
        owe_close(session, attempt, due_at=landed_by)
        return
    move_attempt(attempt, AttemptEvent.NEVER_LANDED)
    _after_end(session, portion, attempt, moment)
    _look_when_landed(session, portion, attempt, moment)


def _look_when_landed(session: Session, portion: PortionRow, attempt: AttemptRow, moment: Moment) -> None:
    late = moment.at + timedelta(seconds=late_landing_seconds)
    once = f"late:{attempt.id.hex}"
    intents.owe(session, OBSERVE, attempt.id, once=once, due_at=late, reference=portion.reference)
