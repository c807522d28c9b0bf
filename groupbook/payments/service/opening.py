"""Portions are opened, change hands, and send their payer to a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.clock import system_now
from groupbook.kit.database import Database, merchant_of
from groupbook.kit.errors import Conflict, Unavailable
from groupbook.kit.ids import AttemptId, IntentId, MerchantId, PortionId, new_id
from groupbook.kit.intents import Runner
from groupbook.kit.money import Money
from groupbook.payments import domain, recording, repository
from groupbook.payments.domain import (
    ATTEMPT_PAYABLE,
    PAYABLE,
    AttemptState,
    NotYourPortion,
    PortionDraft,
    PortionEvent,
    PortionNotPayable,
    PortionState,
    PortionView,
    TooManyAttempts,
)
from groupbook.payments.models import AttemptRow, PortionRow
from groupbook.payments.ports import PaymentPage
from groupbook.payments.recording import move_portion, tell
from groupbook.payments.service.reading import portion_view

_try_window: Final = timedelta(days=1)


class PaymentRefused(Conflict):
    """The provider will not open a page for this portion; `reason` is one of `ports.REFUSALS`."""

    code = "payment_refused"


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
    supersede(session, portion)
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
    supersede(session, portion)
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
        runner.settle(merchant_id, owed)
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
        runner.settle(merchant_id, owed)
    with database.begin(merchant_id) as session:
        return portion_view(session, portion_id)


def _require_payable(portion: PortionRow) -> None:
    if portion.state not in PAYABLE:
        raise PortionNotPayable(state=portion.state)


def _is_usable(attempt: AttemptRow, portion: PortionRow, now: datetime) -> bool:
    """Whether the payer can simply be sent to the page this attempt already has (or is about to have)."""
    if attempt.state not in ATTEMPT_PAYABLE or attempt.payer != portion.payer or attempt.amount != portion.amount:
        return False
    margin = timedelta(seconds=domain.page_margin_seconds)
    return attempt.closes_at is None or attempt.closes_at > now + margin


def supersede(session: Session, portion: PortionRow) -> None:
    """Take the current attempt out of the way and have it closed; a later landing on it is an orphan."""
    current = repository.current_attempts(session, [portion.id]).get(portion.id)
    if current is not None:
        current.is_current = False
        recording.close_attempt(session, current)
        session.flush()
