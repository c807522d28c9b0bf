"""What is known of a reference's money: portions, refunds, the ledger's statement."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit.database import together
from groupbook.kit.ids import AttemptId, PortionId, RefundId
from groupbook.kit.money import Money
from groupbook.payments import domain, ledger, repository
from groupbook.payments.domain import (
    AttemptMode,
    AttemptState,
    AttemptView,
    Card,
    Covered,
    DisputeState,
    LikePortions,
    PortionState,
    PortionView,
    RefundState,
    RefundView,
)
from groupbook.payments.ledger import Statement
from groupbook.payments.models import AttemptRow, PortionRow


def portions_of(session: Session, reference: UUID) -> list[PortionView]:
    """The portions of a reference, in the order they were opened. A step; locks nothing."""
    with together(session) as ask:
        rows = ask(repository.portions_of, session, reference)
        current = ask(repository.current_attempts_of, session, reference)
    return [_view(row, current().get(row.id)) for row in rows()]


def portions_of_each(session: Session, references: Iterable[UUID]) -> dict[UUID, list[PortionView]]:
    """The portions of many references, as `portions_of` of each; one without any is left out. A step."""
    rows = repository.portions_of_each(session, references)
    current = repository.current_attempts(session, [row.id for row in rows])
    found: dict[UUID, list[PortionView]] = {}
    for row in rows:
        found.setdefault(row.reference, []).append(_view(row, current.get(row.id)))
    return found


def portion_view(session: Session, portion_id: PortionId) -> PortionView:
    """One portion. A step.

    Raises:
        PortionNotFound: no such portion at this merchant.
    """
    row = repository.read_portion(session, portion_id)
    return _view(row, repository.current_attempts(session, [row.id]).get(row.id))


def earliest_capture_before(session: Session, reference: UUID) -> datetime | None:
    """The end of the first authorization to end: decide well before it. None when nothing is authorized. A step."""
    return min(
        (
            view.capture_before
            for view in portions_of(session, reference)
            if view.capture_before is not None and not view.is_dropped
        ),
        default=None,
    )


def reference_of(session: Session, portion_id: PortionId) -> UUID:
    """What a portion belongs to, which never changes. A step. Raises PortionNotFound."""
    return repository.read_portion(session, portion_id).reference


def lock_view(session: Session, portion_id: PortionId) -> PortionView:
    """One portion as it is, locked: it stays so until the end of the transaction. A step. Raises PortionNotFound."""
    with together(session) as ask:
        row = ask(repository.lock_portion, session, portion_id)
        attempts = ask(repository.attempts_of, session, portion_id)
    return _view(row(), next((one for one in attempts() if one.is_current), None))


def tally(
    session: Session, reference: UUID, *, lasting: datetime, seen_since: datetime | None = None
) -> list[LikePortions]:
    """The portions of a reference, counted: one answer for all that are alike, however many there are. A step.

    Args:
        lasting: authorizations that end by then are told apart from those that last.
        seen_since: which live current attempts count as read at the provider (the merchant's now); None: all of them.
    """
    return repository.tally(session, reference, lasting=lasting, seen_since=seen_since)


def travelers_of(session: Session, portion_ids: Iterable[PortionId]) -> dict[PortionId, UUID]:
    """For whom these portions are. A step."""
    return {PortionId(row.id): row.traveler for row in repository.read_portions(session, portion_ids).values()}


def statement(session: Session, reference: UUID) -> Statement:
    """The money of a reference, read from the ledger. A step.

    Raises:
        PortionNotFound: nothing was ever opened for this reference.
    """
    rows = repository.portions_of(session, reference)
    if not rows:
        raise domain.PortionNotFound()
    currency = rows[0].currency
    return ledger.statement(reference, currency, ledger.balances(repository.ledger_of(session, reference), currency))


def refunds_of(session: Session, reference: UUID) -> list[RefundView]:
    """Every refund of a reference, oldest first. A step."""
    return [
        RefundView(
            RefundId(row.id),
            PortionId(row.portion_id),
            Money(row.amount, row.currency),
            RefundState(row.state),
            row.reason,
            row.asked_at,
            row.changed_at,
            row.failure_reason,
        )
        for row in repository.refunds_of_reference(session, reference)
    ]


def attempts_of(session: Session, reference: UUID) -> list[AttemptView]:
    """Every try to get an authorization for a reference, portion by portion. A step; locks nothing."""
    return [
        AttemptView(
            id=AttemptId(row.id),
            portion_id=PortionId(row.portion_id),
            n=row.n,
            payer=row.payer,
            amount=Money(row.amount, row.currency),
            state=AttemptState(row.state),
            is_current=row.is_current,
            started_at=row.started_at,
            authorized_at=row.authorized_at,
            capture_before=row.capture_before,
            decline_reason=row.decline_reason,
            card=_card(row),
            mode=AttemptMode(row.mode),
        )
        for portion in repository.portions_of(session, reference)
        for row in repository.attempts_of(session, portion.id)
    ]


def _card(attempt: AttemptRow | None) -> Card | None:
    if attempt is None or not attempt.card_brand or not attempt.card_last4:
        return None
    return Card(attempt.card_brand, attempt.card_last4)


def _view(portion: PortionRow, attempt: AttemptRow | None) -> PortionView:
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
        asked_at=portion.asked_at or portion.opened_at,
        attempt_id=AttemptId(attempt.id) if attempt else None,
        decline_reason=portion.decline_reason,
        capture_before=attempt.capture_before if attempt and holds else None,
        observed_at=attempt.observed_at if attempt else None,
        card=_card(attempt),
        covers=tuple(Covered(UUID(part["line"]), Money(part["amount"], portion.currency)) for part in portion.covers),
        version=portion.version,
        cap=Money(portion.cap, portion.currency),
        is_dropped=portion.dropped_at is not None,
        authorizes_at=portion.authorizes_at,
        is_asked_again=portion.asked_again_at is not None,
        refund_failed=portion.refund_failed,
        dispute=DisputeState(portion.dispute),
    )
