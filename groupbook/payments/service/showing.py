"""A payment page of ours: what it shows of an attempt, read from the provider each time it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.orm import Session

from groupbook.kit.clock import now as merchant_now
from groupbook.kit.errors import NotFound
from groupbook.kit.ids import AttemptId, MerchantId, PortionId
from groupbook.kit.money import Money
from groupbook.kit.runner import Runner
from groupbook.payments import repository
from groupbook.payments.domain import ATTEMPT_PAYABLE, PAYABLE, PortionState
from groupbook.payments.handlers import Providers, payment_ref
from groupbook.payments.models import AttemptRow
from groupbook.payments.ports import OwnPage
from groupbook.payments.service.opening import StartedAttempt, start_attempt

_AGREED: Final = frozenset({PortionState.AUTHORIZED, PortionState.SAVED, PortionState.CAPTURING, PortionState.CAPTURED})


class PaymentPageGone(NotFound):
    """No page of ours has this name, or it has closed: another one took its place, or there is nothing to pay."""

    code = "payment_page_gone"


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What is known here of the attempt behind a page of ours.

    `is_open`: its payer may still agree to it. `is_agreed`: a bank has said yes to this portion already.
    """

    attempt_id: AttemptId
    portion_id: PortionId
    page_ref: str
    amount: Money
    title: str
    success_url: str
    cancel_url: str
    is_open: bool
    is_agreed: bool


@dataclass(frozen=True, slots=True)
class ShownPage:
    """`fields` is for the payer's browser alone; None when the provider has heard the payer, or takes no card now."""

    facts: PageFacts
    fields: OwnPage | None = field(repr=False)


def page_facts(session: Session, page_ref: str) -> PageFacts:
    """The attempt of a page of ours. A step; locks nothing.

    Raises:
        PaymentPageGone: there is none of this name.
    """
    attempt = _attempt(session, page_ref)
    portion = repository.read_portion(session, attempt.portion_id)
    is_wanted = attempt.is_current and attempt.payer == portion.payer and portion.dropped_at is None
    is_asked_again = portion.state == PortionState.SHORT and portion.asked_again_at is not None
    is_in_time = attempt.closes_at is not None and merchant_now(session) < attempt.closes_at
    return PageFacts(
        attempt_id=AttemptId(attempt.id),
        portion_id=PortionId(portion.id),
        page_ref=page_ref,
        amount=Money(attempt.amount, attempt.currency),
        title=attempt.title,
        success_url=attempt.success_url,
        cancel_url=attempt.cancel_url,
        is_open=is_wanted
        and is_in_time
        and attempt.state in ATTEMPT_PAYABLE
        and (portion.state in PAYABLE or is_asked_again),
        is_agreed=attempt.is_current and portion.state in _AGREED,
    )


def show_page(providers: Providers, merchant_id: MerchantId, facts: PageFacts) -> ShownPage:
    """What the payer's browser needs to show the provider's fields. A use case; nothing of it is kept anywhere.

    Raises:
        PaymentPageGone: nobody may agree to it any more.
        Unavailable: the provider does not answer.
        Refused: no provider is connected.
    """
    with providers.database.begin(merchant_id) as session:
        attempt = _attempt(session, facts.page_ref)
        if not page_facts(session, facts.page_ref).is_open:
            raise PaymentPageGone()
        provider, ref = providers.provider(session), payment_ref(attempt)
    return ShownPage(facts, provider.own_page(ref, timeout_seconds=providers.timeout_seconds))


def start_hosted_attempt(session: Session, runner: Runner, facts: PageFacts, *, locale: str) -> StartedAttempt:
    """Give a page of ours up for the provider's own: for a browser in which the provider's script does not run. A step.

    Raises:
        PaymentPageGone: nobody may agree to it any more.
        PortionNotFound, PortionNotPayable, NotYourPortion, TooManyAttempts: as for `start_attempt`.
    """
    repository.lock_portion(session, facts.portion_id)
    if not page_facts(session, facts.page_ref).is_open:
        raise PaymentPageGone()
    attempt = _attempt(session, facts.page_ref)
    return start_attempt(
        session,
        runner,
        facts.portion_id,
        payer=attempt.payer,
        success_url=attempt.success_url,
        cancel_url=attempt.cancel_url,
        title=attempt.title,
        locale=locale,
        needs_hosted=True,
    )


def _attempt(session: Session, page_ref: str) -> AttemptRow:
    attempt = repository.attempt_of_page(session, page_ref)
    if attempt is None or attempt.page_url:
        raise PaymentPageGone()
    return attempt
