"""The daily comparison with the provider, both ways. It reads the outside and changes nothing there.

    claim the day -> list what the provider has -> hold it against our books -> read each suspect once more -> write

A difference is only written when our books said the same before and after that second reading and no call of ours was
under way about it: a webhook or a worker in between is no difference. What a reading would put right by itself
(an authorization that is gone) is owed one. A later run that looks at the same thing and finds it in order resolves
the difference. Days and instants are plain time on the merchant's wall: a provider does not travel with a test
merchant's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.clock import system_now
from groupbook.kit.errors import GroupbookError, Refused, Unavailable
from groupbook.kit.ids import MerchantId
from groupbook.merchants import read_connection, read_merchant
from groupbook.merchants.domain import ConnectionNotFound
from groupbook.payments import books_repository, moving
from groupbook.payments.handlers import Providers
from groupbook.payments.ports import Movement, Observed, PaymentProvider, PaymentRef, RefundAnswer
from groupbook.payments.reconciliation import (
    BelievedPayment,
    BelievedRefund,
    Difference,
    DifferenceKind,
    Report,
    compare_payment,
    compare_refund,
    day_window,
    due_days,
    stray_payment,
    stray_refund,
)
from groupbook.payments.service.differing import differences, raise_difference, resolve_difference

log = structlog.get_logger(__name__)

# An authorization may be captured days after it was made, so the provider is listed that far back.
lookback_seconds: Final = 8 * 86_400
lease_seconds: Final = 1800.0
retry_seconds: Final = 600
second_looks_max: Final = 500
not_there: Final = 404  # the provider knows no such thing by the name we kept (ports)
shared_account: Final = "account_is_shared"  # in the connection: the shop sells other things through it, too

_ASKED_OF_AN_ATTEMPT: Final = (moving.OPEN, moving.AUTHORIZE, moving.CLOSE, moving.CAPTURE)


@dataclass
class _Look:
    """What one run gathers. `looked` names what was compared, `unsure` what may be moving at this moment."""

    movements: Sequence[Movement]
    payments: dict[UUID, BelievedPayment] = field(default_factory=dict)
    refunds: dict[UUID, BelievedRefund] = field(default_factory=dict)
    strays: list[Difference] = field(default_factory=list)
    suspect_payments: list[BelievedPayment] = field(default_factory=list)
    suspect_refunds: list[BelievedRefund] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    foreign: int = 0


def today_of(session: Session) -> date:
    """The day on the merchant's wall, in plain time. A step."""
    return system_now(session).astimezone(ZoneInfo(read_merchant(session).timezone)).date()


def reconcile_day(providers: Providers, merchant_id: MerchantId, day: date) -> Report | None:
    """Compare one day of the merchant's account with the provider. A use case; None while another worker does.

    Asking twice changes nothing. A day that is not over is compared up to now.

    Raises:
        Refused: the merchant has no provider that could be asked.
        Unavailable: the provider could not be read to the end; nothing was written.
    """
    with providers.database.begin(merchant_id) as session:
        now = system_now(session)
        provider = providers.provider(session)
        since, until = day_window(day, read_merchant(session).timezone)
        until = min(until, now)
        is_shared = _is_shared(session, providers)
        if not books_repository.claim_run(session, day, at=now, lease_seconds=lease_seconds):
            return None
    try:
        listed = provider.list_movements(
            since - timedelta(seconds=lookback_seconds), until, timeout_seconds=providers.timeout_seconds
        )
        look = _Look(list(listed) if since < until else [])
        with providers.database.begin(merchant_id) as session:
            _compare(session, look, since, until, is_shared=is_shared)
        answers = _second_look(provider, look, providers.timeout_seconds)
    except GroupbookError as error:
        with providers.database.begin(merchant_id) as session:
            books_repository.close_run(session, day, last_error=error.code)
        raise
    with providers.database.begin(merchant_id) as session:
        return _write(session, day, look, answers)


def reconcile_due(providers: Providers, merchant_id: MerchantId) -> list[Report]:
    """Compare yesterday, and every day with an open difference, once a day each. A use case, for the sweep.

    A day that could not be compared is tried again after ten minutes, not with every sweep.
    """
    with providers.database.begin(merchant_id) as session:
        try:
            providers.provider(session)
        except Refused:
            return []  # nothing is taken through us here
        today = today_of(session)
        open_days = books_repository.open_days(session)
        wanted = {today - timedelta(days=1), *open_days}
        days = due_days(
            today,
            finished=books_repository.finished_days(session, wanted),
            open_days=open_days,
            midnight=day_window(today, read_merchant(session).timezone)[0],
        )
        lately = system_now(session) - timedelta(seconds=retry_seconds)
        tried = books_repository.days_tried(session, days, since=lately)
        days = [day for day in days if day not in tried]
    reports = []
    for day in days:
        try:
            report = reconcile_day(providers, merchant_id, day)
        except Unavailable as error:
            log.warning("reconciliation_unavailable", day=day.isoformat(), error=error.code)
            break
        if report is not None:
            reports.append(report)
    return reports


# --- both ways --------------------------------------------------------------------------------------------------------


def _compare(session: Session, look: _Look, since: datetime, until: datetime, *, is_shared: bool) -> None:
    """Hold what the provider listed against our books, and our books against what it listed."""
    listed_payments = {one.payment_ref: one for one in look.movements if one.refund_ref is None}
    listed_refunds = {one.refund_ref: one for one in look.movements if one.refund_ref is not None}
    of_refunds = {one.payment_ref for one in listed_refunds.values()}
    ids: set[UUID] = {one.attempt_id for one in listed_payments.values() if one.attempt_id is not None}
    ids |= set(books_repository.attempts_touched(session, since, until)) if since < until else set()
    for payment in books_repository.payments_believed(
        session, attempt_ids=ids, payment_refs={*listed_payments, *of_refunds}
    ):
        look.payments[payment.attempt_id] = payment
    refund_ids: set[UUID] = {one.refund_id for one in listed_refunds.values() if one.refund_id is not None}
    refund_ids |= set(books_repository.refunds_asked(session, since, until)) if since < until else set()
    for refund in books_repository.refunds_believed(session, refund_ids=refund_ids, refund_refs=set(listed_refunds)):
        look.refunds[refund.refund_id] = refund
    _hold_payments(look, listed_payments, since, is_shared=is_shared)
    _hold_refunds(look, listed_refunds)


def _hold_payments(look: _Look, listed: dict[str, Movement], since: datetime, *, is_shared: bool) -> None:
    by_ref = {one.payment_ref: one for one in look.payments.values() if one.payment_ref is not None}
    shown: dict[UUID, Movement] = {}
    for movement in listed.values():
        ours = look.payments.get(movement.attempt_id) if movement.attempt_id else None
        ours = ours or by_ref.get(movement.payment_ref)
        # Two payments of one attempt: the one its row does not name is a stray, whatever its label says.
        if ours is not None and ours.payment_ref in (None, movement.payment_ref):
            shown[ours.attempt_id] = movement
            continue
        stray = stray_payment(movement)
        look.looked.add(movement.payment_ref)
        if stray is None or movement.created_at < since:
            continue
        if stray.kind is DifferenceKind.FOREIGN_PAYMENT:
            look.foreign += 1
        if stray.kind is not DifferenceKind.FOREIGN_PAYMENT or not is_shared:
            look.strays.append(stray)
    for payment in look.payments.values():
        look.looked.add(payment.key)
        if compare_payment(payment, shown.get(payment.attempt_id)) is not None:
            look.suspect_payments.append(payment)


def _hold_refunds(look: _Look, listed: dict[str, Movement]) -> None:
    by_ref = {one.refund_ref: one for one in look.refunds.values() if one.refund_ref is not None}
    of = {one.payment_ref: one for one in look.payments.values() if one.payment_ref is not None}
    shown: dict[UUID, Movement] = {}
    for refund_ref, movement in listed.items():
        ours = look.refunds.get(movement.refund_id) if movement.refund_id else None
        ours = ours or by_ref.get(refund_ref)
        if ours is not None and ours.refund_ref in (None, refund_ref):
            shown[ours.refund_id] = movement
            continue
        look.looked.add(refund_ref)
        stray = stray_refund(movement, of.get(movement.payment_ref))
        if stray is not None:
            look.strays.append(stray)
    for refund in look.refunds.values():
        look.looked.add(refund.key)
        if compare_refund(refund, shown.get(refund.refund_id)) is not None:
            look.suspect_refunds.append(refund)


# --- the second look --------------------------------------------------------------------------------------------------


def _second_look(
    provider: PaymentProvider, look: _Look, timeout_seconds: float
) -> dict[UUID, Observed | RefundAnswer | None]:
    """Read every suspect directly: a list may be behind, and what we hold against it was read after it.

    What cannot be read now is neither said nor resolved; the next run looks at it again.
    """
    if len(look.suspect_payments) + len(look.suspect_refunds) > second_looks_max:
        raise Unavailable(what="too many differences to look at one by one")
    answers: dict[UUID, Observed | RefundAnswer | None] = {}

    def ask(id: UUID, key: str, question: Callable[[], Observed | RefundAnswer | None]) -> None:
        try:
            answers[id] = question()
        except Unavailable as error:
            if error.params.get("status") == not_there:
                answers[id] = None
                return
            log.warning("reconciliation_unsure", provider_ref=key, error=error.code)
            look.unsure.add(key)

    for payment in look.suspect_payments:
        ask(payment.attempt_id, payment.key, partial(provider.observe, _ref(payment), timeout_seconds=timeout_seconds))
    for refund in look.suspect_refunds:
        of = look.payments.get(refund.attempt_id)
        if of is None:
            look.unsure.add(refund.key)
            continue
        question = partial(provider.observe_refund, _ref(of), refund.refund_id, timeout_seconds=timeout_seconds)
        ask(refund.refund_id, refund.key, question)
    return answers


def _ref(payment: BelievedPayment) -> PaymentRef:
    return PaymentRef(
        attempt_id=payment.attempt_id,
        opened_at=payment.opened_at,
        page_ref=payment.page_ref,
        payment_ref=payment.payment_ref,
        saved_ref=payment.saved_ref,
    )


def _confirmed(session: Session, look: _Look, answers: dict[UUID, Any]) -> Iterable[Difference]:
    """What still differs, where our books did not change around the second look and nothing of ours is under way.

    The portions are locked first: whoever is recording news of one of them is waited for, and then seen.
    """
    yield from look.strays
    suspects = {one.portion_id for one in look.suspect_payments} | {one.portion_id for one in look.suspect_refunds}
    books_repository.lock_portions(session, suspects)
    again = {
        one.attempt_id: one
        for one in books_repository.payments_believed(
            session, attempt_ids=[one.attempt_id for one in look.suspect_payments]
        )
    }
    for payment in look.suspect_payments:
        if again.get(payment.attempt_id) != payment or intents.is_open(
            session, payment.attempt_id, *_ASKED_OF_AN_ATTEMPT
        ):
            look.unsure.add(payment.key)
        elif payment.attempt_id in answers and (found := compare_payment(payment, answers[payment.attempt_id])):
            yield found
    refunds = {
        one.refund_id: one
        for one in books_repository.refunds_believed(
            session, refund_ids=[one.refund_id for one in look.suspect_refunds]
        )
    }
    for refund in look.suspect_refunds:
        if refunds.get(refund.refund_id) != refund or intents.is_open(session, refund.refund_id, moving.REFUND):
            look.unsure.add(refund.key)
        elif refund.refund_id in answers and (found := compare_refund(refund, answers[refund.refund_id])):
            yield found


# --- writing ----------------------------------------------------------------------------------------------------------


def _write(session: Session, day: date, look: _Look, answers: dict[UUID, Any]) -> Report:
    at = system_now(session)
    found = {one.mark: one for one in _confirmed(session, look, answers)}
    rows = {
        (DifferenceKind(row.kind), row.provider_ref): row for row in books_repository.lock_open_differences(session)
    }
    fresh = 0
    for mark, difference in found.items():
        if (row := rows.get(mark)) is not None:
            row.expected, row.observed = difference.expected.minor, difference.observed.minor
        else:
            fresh += raise_difference(session, day, difference, at)
    resolved = 0
    for mark, row in rows.items():
        was_looked_at = row.provider_ref in look.looked or row.day == day
        if mark not in found and was_looked_at and row.provider_ref not in look.unsure:
            resolve_difference(session, row, at)
            resolved += 1
    session.flush()
    standing = [one for one in differences(session) if one.difference.mark in found]
    refunds = sum(1 for one in look.movements if one.refund_ref is not None)
    counts = {"payments": len(look.movements) - refunds, "refunds": refunds, "foreign": look.foreign}
    books_repository.close_run(session, day, finished_at=at, differences=len(found), **counts)
    return Report(day=day, differences=tuple(standing), fresh=fresh, resolved=resolved, **counts)


def _is_shared(session: Session, providers: Providers) -> bool:
    try:
        return read_connection(session, providers.sealer, "payment_provider").configuration.get(shared_account) is True
    except ConnectionNotFound:
        return False
