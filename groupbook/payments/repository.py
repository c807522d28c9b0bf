"""Every query and lock of payments. A portion is locked before its attempts, portions in id order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of
from groupbook.kit.ids import AttemptId, RefundId, new_id
from groupbook.kit.models import InboxRow
from groupbook.kit.money import Money
from groupbook.payments.domain import (
    Account,
    AttemptNotFound,
    JournalKind,
    PortionNotFound,
    Posting,
    RefundNotFound,
    postings,
)
from groupbook.payments.models import AttemptRow, JournalRow, LedgerAccountRow, PortionRow, PostingRow, RefundRow


def lock_portion(session: Session, portion_id: UUID) -> PortionRow:
    query = select(PortionRow).where(PortionRow.id == portion_id)
    row = session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise PortionNotFound()
    return row


def read_portion(session: Session, portion_id: UUID) -> PortionRow:
    row = session.scalar(select(PortionRow).where(PortionRow.id == portion_id))
    if row is None:
        raise PortionNotFound()
    return row


def lock_portions(session: Session, reference: UUID) -> list[PortionRow]:
    query = select(PortionRow).where(PortionRow.reference == reference).order_by(PortionRow.id)
    return list(session.scalars(query.with_for_update().execution_options(populate_existing=True)))


def portions_of(session: Session, reference: UUID) -> list[PortionRow]:
    query = select(PortionRow).where(PortionRow.reference == reference).order_by(PortionRow.id)
    return list(session.scalars(query))


def current_attempts(session: Session, portion_ids: Iterable[UUID]) -> dict[UUID, AttemptRow]:
    query = select(AttemptRow).where(AttemptRow.portion_id.in_(list(portion_ids)), AttemptRow.is_current)
    return {row.portion_id: row for row in session.scalars(query)}


def attempts_of(session: Session, portion_id: UUID) -> list[AttemptRow]:
    query = select(AttemptRow).where(AttemptRow.portion_id == portion_id).order_by(AttemptRow.n)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def read_attempt(session: Session, attempt_id: UUID) -> AttemptRow:
    row = session.scalar(
        select(AttemptRow).where(AttemptRow.id == attempt_id).execution_options(populate_existing=True)
    )
    if row is None:
        raise AttemptNotFound()
    return row


def lock_attempt(session: Session, attempt_id: AttemptId) -> tuple[PortionRow, AttemptRow]:
    """The attempt with its portion, the portion locked first: whoever changes either holds the portion."""
    portion = lock_portion(session, read_attempt(session, attempt_id).portion_id)
    return portion, read_attempt(session, attempt_id)


def find_attempt(
    session: Session, *, attempt_id: UUID | None, payment_ref: str | None, page_ref: str | None
) -> AttemptRow | None:
    """The attempt a provider's message is about, by our id first."""
    for column, value in (
        (AttemptRow.id, attempt_id),
        (AttemptRow.payment_ref, payment_ref),
        (AttemptRow.page_ref, page_ref),
    ):
        if value is not None:
            row = session.scalar(select(AttemptRow).where(column == value))
            if row is not None:
                return row
    return None


def attempts_since(session: Session, portion_id: UUID, payer: UUID, since: datetime) -> int:
    query = select(func.count()).where(
        AttemptRow.portion_id == portion_id, AttemptRow.payer == payer, AttemptRow.started_at >= since
    )
    return session.scalar(query) or 0


def attempts_unseen_since(session: Session, states: Iterable[str], before: datetime, *, limit: int) -> list[AttemptRow]:
    """Live attempts nobody has read at the provider since `before`, the longest unseen first."""
    seen_at = func.coalesce(AttemptRow.observed_at, AttemptRow.started_at)
    query = select(AttemptRow).where(AttemptRow.state.in_(list(states)), seen_at < before)
    return list(session.scalars(query.order_by(seen_at, AttemptRow.id).limit(limit)))


def next_attempt_number(session: Session, portion_id: UUID) -> int:
    return (session.scalar(select(func.max(AttemptRow.n)).where(AttemptRow.portion_id == portion_id)) or 0) + 1


def refunds_of(session: Session, portion_id: UUID) -> list[RefundRow]:
    query = select(RefundRow).where(RefundRow.portion_id == portion_id).order_by(RefundRow.id)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def read_refund(session: Session, refund_id: UUID) -> RefundRow:
    row = session.scalar(select(RefundRow).where(RefundRow.id == refund_id).execution_options(populate_existing=True))
    if row is None:
        raise RefundNotFound()
    return row


def lock_refund(session: Session, refund_id: RefundId) -> tuple[PortionRow, RefundRow]:
    portion = lock_portion(session, read_refund(session, refund_id).portion_id)
    return portion, read_refund(session, refund_id)


def refunds_of_reference(session: Session, reference: UUID) -> list[RefundRow]:
    query = (
        select(RefundRow)
        .join(PortionRow, (PortionRow.id == RefundRow.portion_id) & (PortionRow.merchant_id == RefundRow.merchant_id))
        .where(PortionRow.reference == reference)
        .order_by(RefundRow.id)
    )
    return list(session.scalars(query))


# --- the ledger -------------------------------------------------------------------------------------------------------


def ensure_accounts(session: Session, currency: str) -> None:
    merchant_id = merchant_of(session)
    rows = [{"merchant_id": merchant_id, "code": account.value, "currency": currency} for account in Account]
    session.execute(insert(LedgerAccountRow).values(rows).on_conflict_do_nothing())


def journal(
    session: Session,
    kind: JournalKind,
    amount: Money,
    *,
    portion: PortionRow,
    cause: UUID,
    now: datetime,
) -> bool:
    """Write one balanced movement; False when this cause was already journaled (then nothing is written)."""
    entry = insert(JournalRow).values(
        merchant_id=portion.merchant_id,
        id=new_id(),
        reference=portion.reference,
        portion_id=portion.id,
        kind=kind.value,
        cause=cause,
        recorded_at=now,
    )
    journal_id = session.scalar(entry.on_conflict_do_nothing().returning(JournalRow.id))
    if journal_id is None:
        return False
    sides = [
        {
            "merchant_id": portion.merchant_id,
            "id": new_id(),
            "journal_id": journal_id,
            "account": side.account.value,
            "currency": side.amount.currency,
            "amount": side.amount.minor,
        }
        for side in postings(kind, amount)
    ]
    session.execute(insert(PostingRow).values(sides))
    return True


def ledger_of(session: Session, reference: UUID) -> list[Posting]:
    """Every posting of a reference, oldest first."""
    query = (
        select(PostingRow.account, PostingRow.amount, PostingRow.currency)
        .join(JournalRow, (JournalRow.id == PostingRow.journal_id) & (JournalRow.merchant_id == PostingRow.merchant_id))
        .where(JournalRow.reference == reference)
        .order_by(JournalRow.recorded_at, JournalRow.id, PostingRow.id)
    )
    return [Posting(Account(code), Money(amount, currency)) for code, amount, currency in session.execute(query)]


# --- the inbox --------------------------------------------------------------------------------------------------------


def mark_event_processed(session: Session, source: str, external_id: str, at: datetime) -> None:
    query = update(InboxRow).where(InboxRow.source == source, InboxRow.external_id == external_id)
    session.execute(query.values(processed_at=at))
