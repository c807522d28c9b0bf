"""Steps and use cases of payments. A step takes the open session, never commits and never calls out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import inbox, intents
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.clock import system_now
from groupbook.kit.database import Database, merchant_of
from groupbook.kit.errors import Conflict, InvariantBroken, Unavailable
from groupbook.kit.ids import AttemptId, IntentId, MerchantId, PortionId, RefundId, new_id
from groupbook.kit.intents import Runner
from groupbook.kit.money import Money
from groupbook.payments import domain, recording, repository
from groupbook.payments.domain import (
    ATTEMPT_OVER,
    ATTEMPT_PAYABLE,
    PAYABLE,
    AttemptState,
    Card,
    Covered,
    IllegalStep,
    JournalKind,
    NotYourPortion,
    PortionDraft,
    PortionEvent,
    PortionNotPayable,
    PortionState,
    PortionView,
    RefundState,
    RefundTooLarge,
    RefundView,
    Statement,
    TooManyAttempts,
    may_capture,
)
from groupbook.payments.models import AttemptRow, PortionRow
from groupbook.payments.ports import PaymentPage, ProviderEvent
from groupbook.payments.recording import Moment, move_attempt, move_portion, tell

log = structlog.get_logger(__name__)

swept_max: Final = 200
_try_window: Final = timedelta(days=1)
_UNTOUCHABLE: Final = frozenset(
    {
        PortionState.CAPTURING,
        PortionState.CAPTURED,
        PortionState.COVERED,
        PortionState.PART_REFUNDED,
        PortionState.REFUNDED,
    }
)


class PaymentRefused(Conflict):
    """The provider will not open a page for this portion; `reason` is one of `ports.REFUSALS`."""

    code = "payment_refused"


# --- opening ----------------------------------------------------------------------------------------------------------


def open_portions(
    session: Session, reference: UUID, *, whole: Money, drafts: Sequence[PortionDraft], now: datetime
) -> list[PortionId]:
    """Open the portions of `reference`, in the order of `drafts`; they sum to `whole` exactly. A step.

    A portion of nothing is waived at once. Nothing is asked of anybody yet.

    Raises:
        PortionTooSmall, PortionCurrency, Invalid: a portion cannot be paid by card.
        PartsDoNotSum: the parts are not the whole.
    """
    domain.check_drafts(whole, drafts)
    repository.ensure_accounts(session, whole.currency)
    rows = [
        PortionRow(
            merchant_id=merchant_of(session),
            id=new_id(),
            reference=reference,
            traveler=draft.traveler,
            payer=draft.payer,
            amount=draft.amount.minor,
            currency=draft.amount.currency,
            covers=[{"line": part.line.hex, "amount": part.amount.minor} for part in draft.covers],
            state=(PortionState.OPEN if draft.amount else PortionState.WAIVED).value,
            captured=0,
            refunded=0,
            version=0,
            opened_at=now,
            changed_at=now,
        )
        for draft in drafts
    ]
    session.add_all(rows)
    session.flush()
    return [PortionId(row.id) for row in rows]


def assign_payer(session: Session, portion_id: PortionId, *, payer: UUID, now: datetime) -> None:
    """Let somebody else pay a portion that is still payable. A step; a page the first payer had open is closed.

    Raises:
        PortionNotFound: no such portion at this merchant.
        PortionNotPayable: it is authorized, taken or over.
    """
    portion = repository.lock_portion(session, portion_id)
    if portion.payer == payer:
        return
    _require_payable(portion)
    _supersede(session, portion)
    portion.payer = payer
    portion.decline_reason = None
    if not move_portion(portion, PortionEvent.PAYER_CHANGED, now):
        portion.version += 1
        portion.changed_at = now
    tell(session, "portion.payer_changed", portion)


def begin_attempt(
    session: Session,
    portion_id: PortionId,
    *,
    payer: UUID,
    success_url: str,
    cancel_url: str,
    title: str,
    locale: str,
    now: datetime,
) -> tuple[AttemptId, IntentId | None]:
    """Start (or find again) the payer's one current attempt and owe its page. A step.

    A double click finds the first attempt; so does a payer who comes back while the page is still open.

    Raises:
        PortionNotFound, PortionNotPayable, NotYourPortion
        TooManyAttempts: five tries a day and portion.
    """
    portion = repository.lock_portion(session, portion_id)
    if portion.payer != payer:
        raise NotYourPortion()
    _require_payable(portion)
    current = repository.current_attempts(session, [portion.id]).get(portion.id)
    if current is not None and _is_usable(current, portion, now):
        owed = None
        if current.state == AttemptState.OPENING:
            owed = intents.owe(session, recording.OPEN, current.id, once=current.id.hex)
        return AttemptId(current.id), owed
    at = system_now(session)
    if repository.attempts_since(session, portion.id, payer, at - _try_window) >= domain.attempts_per_day_max:
        raise TooManyAttempts(attempts_max=domain.attempts_per_day_max)
    _supersede(session, portion)
    attempt = AttemptRow(
        merchant_id=portion.merchant_id,
        id=new_id(),
        portion_id=portion.id,
        n=repository.next_attempt_number(session, portion.id),
        payer=payer,
        amount=portion.amount,
        currency=portion.currency,
        state=AttemptState.OPENING.value,
        is_current=True,
        title=title,
        locale=locale,
        success_url=success_url,
        cancel_url=cancel_url,
        started_at=at,
    )
    session.add(attempt)
    session.flush()
    portion.decline_reason = None
    if move_portion(portion, PortionEvent.ATTEMPT_STARTED, now):
        tell(session, "portion.authorizing", portion)
    return AttemptId(attempt.id), intents.owe(session, recording.OPEN, attempt.id, once=attempt.id.hex)


def start_attempt(
    database: Database,
    runner: Runner,
    merchant_id: MerchantId,
    portion_id: PortionId,
    *,
    payer: UUID,
    success_url: str,
    cancel_url: str,
    title: str,
    locale: str,
) -> PaymentPage:
    """Where to send the payer: the hosted page of their portion. A use case; asking again gives the same page.

    Args:
        title: what the payer reads on the page; names the trip, never a person.
        success_url, cancel_url: where the provider sends the payer back. Coming back proves nothing; refresh then.
    Raises:
        PortionNotFound, PortionNotPayable, NotYourPortion, TooManyAttempts: as for `begin_attempt`.
        PaymentRefused: the provider will not open a page; another card cannot help, another amount might.
        Unavailable: the provider did not answer in time; the attempt stands, ask again in a moment.
    """
    with database.begin(merchant_id) as session:
        attempt_id, owed = begin_attempt(
            session,
            portion_id,
            payer=payer,
            success_url=success_url,
            cancel_url=cancel_url,
            title=title,
            locale=locale,
            now=merchant_now(session),
        )
    if owed is not None:
        runner.run(merchant_id, owed)
    with database.begin(merchant_id) as session:
        attempt = repository.read_attempt(session, attempt_id)
        if attempt.page_url is not None and attempt.page_ref is not None and attempt.closes_at is not None:
            return PaymentPage(attempt.page_url, attempt.page_ref, attempt.closes_at, attempt.payment_ref)
        if attempt.state == AttemptState.FAILED:
            raise PaymentRefused(reason=attempt.decline_reason)
    raise Unavailable(what="payment_page", retry_after_seconds=2)


def refresh_portion(database: Database, runner: Runner, merchant_id: MerchantId, portion_id: PortionId) -> PortionView:
    """Re-read the portion's current attempt at the provider, now. A use case, for the page the payer returns to.

    A provider that does not answer changes nothing: the last known state is returned and the reading stays owed.

    Raises:
        PortionNotFound: no such portion at this merchant.
    """
    with database.begin(merchant_id) as session:
        portion = repository.read_portion(session, portion_id)
        current = repository.current_attempts(session, [portion.id]).get(portion.id)
        owed = None
        if current is not None and current.state in ATTEMPT_PAYABLE:
            owed = intents.owe(session, recording.OBSERVE, current.id)
    if owed is not None:
        runner.run(merchant_id, owed)
    with database.begin(merchant_id) as session:
        return portion_view(session, portion_id)


# --- reading ----------------------------------------------------------------------------------------------------------


def portions_of(session: Session, reference: UUID) -> list[PortionView]:
    """The portions of a reference, in the order they were opened. A step; locks nothing."""
    rows = repository.portions_of(session, reference)
    current = repository.current_attempts(session, [row.id for row in rows])
    return [_view(row, current.get(row.id)) for row in rows]


def portion_view(session: Session, portion_id: PortionId) -> PortionView:
    """One portion. A step.

    Raises:
        PortionNotFound: no such portion at this merchant.
    """
    row = repository.read_portion(session, portion_id)
    return _view(row, repository.current_attempts(session, [row.id]).get(row.id))


def earliest_capture_before(session: Session, reference: UUID) -> datetime | None:
    """The end of the first authorization to end: decide well before it. None when nothing is authorized. A step."""
    ends = [view.capture_before for view in portions_of(session, reference) if view.capture_before is not None]
    return min(ends, default=None)


def statement(session: Session, reference: UUID) -> Statement:
    """The money of a reference, read from the ledger. A step.

    Raises:
        PortionNotFound: nothing was ever opened for this reference.
    """
    rows = repository.portions_of(session, reference)
    if not rows:
        raise domain.PortionNotFound()
    currency = rows[0].currency
    return domain.statement(reference, currency, domain.balances(repository.ledger_of(session, reference), currency))


def refunds_of(session: Session, reference: UUID) -> list[RefundView]:
    """Every refund of a reference, oldest first. A step."""
    return [
        RefundView(
            RefundId(row.id),
            PortionId(row.portion_id),
            Money(row.amount, row.currency),
            RefundState(row.state),
            row.reason,
        )
        for row in repository.refunds_of_reference(session, reference)
    ]


# --- deciding ---------------------------------------------------------------------------------------------------------


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


def is_observed_since(session: Session, reference: UUID, since: datetime) -> bool:
    """Whether every live current attempt has been read at the provider since `since` (the merchant's now). A step."""
    current = repository.current_attempts(session, [row.id for row in repository.portions_of(session, reference)])
    return all(
        attempt.observed_at is not None and attempt.observed_at >= since
        for attempt in current.values()
        if attempt.state not in ATTEMPT_OVER and attempt.state != AttemptState.CLOSING
    )


def capture_all(
    session: Session, reference: UUID, *, now: datetime, lower: Mapping[PortionId, Money] | None = None
) -> list[IntentId]:
    """Owe the capture of every authorized portion. A step; call it only when the merchant's order is confirmed (I1).

    Asking again owes nothing new. An authorization about to end is not captured but reported short (I10).

    Args:
        lower: what to take instead where the final price fell; never more than was agreed.
    Raises:
        IllegalStep: a portion is neither authorized nor taken nor waived; nothing is owed then.
        InvariantBroken: `lower` asks for more than somebody agreed to.
    """
    portions = repository.lock_portions(session, reference)
    current = repository.current_attempts(session, [row.id for row in portions])
    ready = [row for row in portions if row.state == PortionState.AUTHORIZED]
    for portion in portions:
        if portion.state in (PortionState.AUTHORIZED, PortionState.WAIVED, PortionState.SHORT, *_UNTOUCHABLE):
            continue
        raise IllegalStep(machine="portion", state=portion.state, event=PortionEvent.CAPTURE_ASKED.value)
    owed = []
    for portion in ready:
        attempt = current[portion.id]
        wanted = (lower or {}).get(PortionId(portion.id), Money(portion.amount, portion.currency))
        _lower_amount(portion, wanted)
        move_portion(portion, PortionEvent.CAPTURE_ASKED, now)
        move_attempt(attempt, domain.AttemptEvent.CAPTURE_ASKED)
        attempt.capture_asked_at = now
        repository.journal(session, JournalKind.BILLED, wanted, portion=portion, cause=portion.id, now=now)
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


# --- helpers ----------------------------------------------------------------------------------------------------------


def _require_payable(portion: PortionRow) -> None:
    if portion.state not in PAYABLE:
        raise PortionNotPayable(state=portion.state)


def _is_usable(attempt: AttemptRow, portion: PortionRow, now: datetime) -> bool:
    """Whether the payer can simply be sent to the page this attempt already has (or is about to have)."""
    if attempt.state not in ATTEMPT_PAYABLE or attempt.payer != portion.payer or attempt.amount != portion.amount:
        return False
    margin = timedelta(seconds=domain.page_margin_seconds)
    return attempt.closes_at is None or attempt.closes_at > now + margin


def _supersede(session: Session, portion: PortionRow) -> None:
    """Take the current attempt out of the way and have it closed; a later landing on it is an orphan."""
    current = repository.current_attempts(session, [portion.id]).get(portion.id)
    if current is not None:
        current.is_current = False
        recording.close_attempt(session, current)
        session.flush()


def _void(session: Session, portion: PortionRow, now: datetime) -> None:
    move_portion(portion, PortionEvent.VOID_ASKED, now)
    if portion.state != PortionState.VOIDING:
        return
    for attempt in repository.attempts_of(session, portion.id):
        recording.close_attempt(session, attempt)
    recording.finish_void_if_closed(session, portion, Moment(now, system_now(session)))


def _lower_amount(portion: PortionRow, wanted: Money) -> None:
    agreed = Money(portion.amount, portion.currency)
    if wanted > agreed or wanted.minor <= 0:
        raise InvariantBroken(what="more than agreed", agreed=agreed.minor, wanted=wanted.minor)
    portion.amount = wanted.minor


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


def _knows_refund(session: Session, refund_id: RefundId) -> bool:
    try:
        repository.read_refund(session, refund_id)
    except domain.RefundNotFound:
        return False
    return True


def _view(portion: PortionRow, attempt: AttemptRow | None) -> PortionView:
    card = None
    if attempt is not None and attempt.card_brand and attempt.card_last4:
        card = Card(attempt.card_brand, attempt.card_last4)
    holds = attempt is not None and attempt.state in (AttemptState.AUTHORIZED, AttemptState.CAPTURING)
    return PortionView(
        id=PortionId(portion.id),
        reference=portion.reference,
        traveler=portion.traveler,
        payer=portion.payer,
        amount=Money(portion.amount, portion.currency),
        state=PortionState(portion.state),
        captured=Money(portion.captured, portion.currency),
        refunded=Money(portion.refunded, portion.currency),
        attempt_id=AttemptId(attempt.id) if attempt else None,
        decline_reason=portion.decline_reason,
        capture_before=attempt.capture_before if attempt and holds else None,
        observed_at=attempt.observed_at if attempt else None,
        card=card,
        covers=tuple(Covered(UUID(part["line"]), Money(part["amount"], portion.currency)) for part in portion.covers),
        version=portion.version,
    )
