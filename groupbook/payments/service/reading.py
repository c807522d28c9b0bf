"""What is known of a reference's money: portions, refunds, the ledger's statement."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit.ids import AttemptId, PortionId, RefundId
from groupbook.kit.money import Money
from groupbook.payments import domain, repository
from groupbook.payments.domain import (
    ATTEMPT_OVER,
    AttemptState,
    Card,
    Covered,
    PortionState,
    PortionView,
    RefundState,
    RefundView,
    Statement,
)
from groupbook.payments.models import AttemptRow, PortionRow


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


def is_observed_since(session: Session, reference: UUID, since: datetime) -> bool:
    """Whether every live current attempt has been read at the provider since `since` (the merchant's now). A step."""
    current = repository.current_attempts(session, [row.id for row in repository.portions_of(session, reference)])
    return all(
        attempt.observed_at is not None and attempt.observed_at >= since
        for attempt in current.values()
        if attempt.state not in ATTEMPT_OVER and attempt.state != AttemptState.CLOSING
    )


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
