"""Portions change hands, and send their payer to a page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.clock import system_now
from groupbook.kit.database import Database
from groupbook.kit.errors import Conflict, Unavailable
from groupbook.kit.ids import AttemptId, IntentId, MerchantId, PortionId, new_id
from groupbook.kit.runner import Claim, Runner
from groupbook.payments import domain, repository
from groupbook.payments.domain import (
    ATTEMPT_PAYABLE,
    PAYABLE,
    AttemptMode,
    AttemptState,
    DisputeState,
    NotYourPortion,
    PortionEvent,
    PortionNotPayable,
    PortionState,
    PortionView,
    TooManyAttempts,
)
from groupbook.payments.models import AttemptRow, PortionRow
from groupbook.payments.moving import OBSERVE, OPEN, Moment, forget_cards, move_portion, supersede, tell, touch
from groupbook.payments.ports import PaymentPage
from groupbook.payments.service.reading import portion_view

_try_window: Final = timedelta(days=1)


class PaymentRefused(Conflict):
    """The provider will not open a page for this portion; `reason` is one of `ports.REFUSALS`."""

    code = "payment_refused"


def assign_payer(session: Session, portion_id: PortionId, *, payer: UUID, now: datetime) -> None:
    """Let somebody else pay a portion that is still payable, or asked for again. A step.

    A page the first payer had open is closed, and a card they let us keep is forgotten: it was theirs to promise.

    Raises:
        PortionNotFound: no such portion at this merchant.
        PortionNotPayable: it is authorized, taken or over.
    """
    portion = repository.lock_portion(session, portion_id)
    if portion.payer == payer:
        return
    _require_payable(portion)
    supersede(session, portion)
    forget_cards(session, portion)
    portion.payer, portion.asked_at = payer, now
    portion.decline_reason = None
    if not move_portion(portion, PortionEvent.PAYER_CHANGED, now):
        touch(portion, now)
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
    needs_hosted: bool = False,
) -> tuple[AttemptId, IntentId | None]:
    """Start (or find again) the payer's one current attempt and owe its page. A step.

    A double click finds the first attempt; so does a payer who comes back while the page is still open, unless they
    need the provider's page and this one is ours. Before the
    portion's `authorizes_at` the page only saves the card. The page shows the most they agree to: the cap, or what is
    left to pay of a portion that fell short.

    Raises:
        PortionNotFound, PortionNotPayable, NotYourPortion
        TooManyAttempts: five tries a day and portion.
    """
    portion = repository.lock_portion(session, portion_id)
    if portion.payer != payer:
        raise NotYourPortion()
    _require_payable(portion)
    mode = _mode(portion, now)
    amount = portion.amount if portion.state == PortionState.SHORT else portion.cap
    attempts = repository.attempts_of(session, portion.id)
    current = next((one for one in attempts if one.is_current), None)
    is_ours = needs_hosted and current is not None and current.page_url == ""
    if current is not None and current.mode == mode and not is_ours and _is_usable(current, portion, amount, now):
        owed = None
        if current.state == AttemptState.OPENING:
            owed = _owe_page(session, portion, current, needs_hosted=needs_hosted)
        return AttemptId(current.id), owed
    at = system_now(session)
    tried = sum(one.payer == payer and one.started_at >= at - _try_window for one in attempts)
    if tried >= domain.attempts_per_day_max:
        raise TooManyAttempts(attempts_max=domain.attempts_per_day_max)
    if current is not None:
        supersede(session, portion, keeps_saved=True)
    attempt = AttemptRow(
        merchant_id=portion.merchant_id,
        id=new_id(),
        portion_id=portion.id,
        n=max((one.n for one in attempts), default=0) + 1,
        payer=payer,
        amount=amount,
        currency=portion.currency,
        state=AttemptState.OPENING.value,
        mode=mode.value,
        is_current=True,
        title=title,
        locale=locale,
        success_url=success_url,
        cancel_url=cancel_url,
        dispute=DisputeState.NONE.value,
        started_at=at,
    )
    repository.add_attempt(session, attempt)
    portion.decline_reason = None
    if move_portion(portion, PortionEvent.ATTEMPT_STARTED, now):
        tell(session, "portion.authorizing", portion, is_heard=True)  # by whoever sends its payer to the page
    return AttemptId(attempt.id), _owe_page(session, portion, attempt, needs_hosted=needs_hosted, is_first=True)


def _owe_page(
    session: Session, portion: PortionRow, attempt: AttemptRow, *, needs_hosted: bool, is_first: bool = False
) -> IntentId:
    payload = {"keeps_card": True} if portion.keeps_card and attempt.mode == AttemptMode.AUTHORIZE else {}
    payload |= {"needs_hosted": True} if needs_hosted else {}
    once, reference = attempt.id.hex, portion.reference
    return intents.owe(session, OPEN, attempt.id, payload or None, once=once, reference=reference, is_first=is_first)


@dataclass(frozen=True)
class StartedAttempt:
    """An attempt whose page is owed by us and nobody else; or is there already (`owed` None)."""

    attempt_id: AttemptId
    owed: IntentId | None
    claims: tuple[Claim, ...]
    moment: Moment


def start_attempt(
    session: Session,
    runner: Runner,
    portion_id: PortionId,
    *,
    payer: UUID,
    success_url: str,
    cancel_url: str,
    title: str,
    locale: str,
    needs_hosted: bool = False,
) -> StartedAttempt:
    """`begin_attempt`, its page claimed in the same transaction. A step; `page_of` it afterwards.

    Args:
        title: what the payer reads on the page; names the trip, never a person.
        success_url, cancel_url: where the provider sends the payer back. Coming back proves nothing; refresh then.
        needs_hosted: the page must be the provider's, whatever the merchant chose.
    Raises:
        PortionNotFound, PortionNotPayable, NotYourPortion, TooManyAttempts: as for `begin_attempt`.
    """
    moment = Moment.of(session)
    attempt_id, owed = begin_attempt(
        session,
        portion_id,
        payer=payer,
        success_url=success_url,
        cancel_url=cancel_url,
        title=title,
        locale=locale,
        now=moment.now,
        needs_hosted=needs_hosted,
    )
    claims = () if owed is None else tuple(runner.claim(session, [owed]))
    return StartedAttempt(attempt_id, owed, claims, moment)


def page_of(database: Database, runner: Runner, merchant_id: MerchantId, started: StartedAttempt) -> PaymentPage:
    """Where to send the payer: the page of their portion. A use case; asking again gives the same page.

    Without an address the page is ours to show (`show_page`).

    Raises:
        PaymentRefused: the provider will not open a page; another card cannot help, another amount might.
        Unavailable: the provider did not answer in time; the attempt stands, ask again in a moment.
    """
    if started.owed is not None:
        opened: PaymentPage | None = runner.carry_out(started.claims).get(started.owed)
        if opened is not None:
            return replace(opened, closes_at=started.moment.seen_here(opened.closes_at))
        runner.settle(merchant_id, started.owed)
    attempt_id = started.attempt_id
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
            owed = intents.owe(session, OBSERVE, current.id, reference=portion.reference)
    if owed is not None:
        runner.settle(merchant_id, owed)
    with database.begin(merchant_id) as session:
        return portion_view(session, portion_id)


def _require_payable(portion: PortionRow) -> None:
    is_asked_again = portion.state == PortionState.SHORT and portion.asked_again_at is not None
    if portion.dropped_at is not None or not (portion.state in PAYABLE or is_asked_again):
        raise PortionNotPayable(state=portion.state)


def _mode(portion: PortionRow, now: datetime) -> AttemptMode:
    is_early = portion.authorizes_at is not None and now < portion.authorizes_at
    return AttemptMode.SAVE if is_early else AttemptMode.AUTHORIZE


def _is_usable(attempt: AttemptRow, portion: PortionRow, amount: int, now: datetime) -> bool:
    """Whether the payer can simply be sent to the page this attempt already has (or is about to have)."""
    if attempt.state not in ATTEMPT_PAYABLE or attempt.payer != portion.payer or attempt.amount != amount:
        return False
    margin = timedelta(seconds=domain.page_margin_seconds)
    return attempt.closes_at is None or attempt.closes_at > now + margin
