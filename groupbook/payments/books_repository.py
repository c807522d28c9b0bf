"""Every query of the books: what we believe of payments and refunds, differences, runs, and statements by time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from groupbook.kit.database import merchant_of
from groupbook.kit.ids import AttemptId, DifferenceId, JournalId, PortionId, RefundId, new_id
from groupbook.kit.models import IntentRow
from groupbook.kit.money import Money
from groupbook.payments import moving
from groupbook.payments.domain import AttemptState, DisputeState, RefundState
from groupbook.payments.ledger import Account, JournalKind
from groupbook.payments.models import (
    AttemptRow,
    DifferenceRow,
    EventCursorRow,
    JournalRow,
    PortionRow,
    PostingRow,
    ReconciliationRunRow,
    RefundRow,
)
from groupbook.payments.reconciliation import (
    BelievedPayment,
    BelievedRefund,
    Difference,
    DifferenceKind,
    DifferenceNotFound,
    StoredDifference,
)
from groupbook.payments.statements import StatementLine

_TAKEN: Final = (JournalKind.CAPTURED.value, JournalKind.CAPTURED_UNASKED.value)
_MONEY_STATES: Final = (AttemptState.AUTHORIZED, AttemptState.CAPTURING, AttemptState.CAPTURED)
_batch: Final = 500


# --- what we believe --------------------------------------------------------------------------------------------------


def payments_believed(
    session: Session, *, attempt_ids: Collection[UUID] = (), payment_refs: Collection[str] = ()
) -> list[BelievedPayment]:
    """Our attempts by our ids or the provider's, with what the ledger says was captured."""
    rows: dict[UUID, tuple[AttemptRow, PortionRow]] = {}
    for wanted in _batches(attempt_ids):
        rows |= _attempts(session, AttemptRow.id.in_(wanted))
    for wanted in _batches(payment_refs):
        rows |= _attempts(session, AttemptRow.payment_ref.in_(wanted))
    captured = _captured(session, rows)
    return [
        BelievedPayment(
            attempt_id=AttemptId(row.id),
            portion_id=PortionId(row.portion_id),
            reference=portion.reference,
            state=AttemptState(row.state),
            authorized=Money(row.amount, row.currency),
            captured=Money(captured.get(row.id, 0), row.currency),
            opened_at=row.started_at,
            page_ref=row.page_ref,
            payment_ref=row.payment_ref,
            saved_ref=row.saved_ref,
            is_disputed=row.dispute != DisputeState.NONE,
        )
        for row, portion in rows.values()
    ]


def attempts_touched(session: Session, since: datetime, until: datetime) -> list[UUID]:
    """Attempts with money that were started, or asked to be captured, in the window (plain time)."""
    started = select(AttemptRow.id).where(
        AttemptRow.started_at >= since, AttemptRow.started_at < until, AttemptRow.state.in_(_MONEY_STATES)
    )
    asked = select(IntentRow.subject).where(
        IntentRow.kind == moving.CAPTURE, IntentRow.owed_at >= since, IntentRow.owed_at < until
    )
    return list(session.scalars(started.union(asked)))


def refunds_believed(
    session: Session, *, refund_ids: Collection[UUID] = (), refund_refs: Collection[str] = ()
) -> list[BelievedRefund]:
    """Our refunds by our ids or the provider's."""
    rows: dict[UUID, tuple[RefundRow, UUID]] = {}
    for wanted in _batches(refund_ids):
        rows |= _refunds(session, RefundRow.id.in_(wanted))
    for wanted in _batches(refund_refs):
        rows |= _refunds(session, RefundRow.refund_ref.in_(wanted))
    return [
        BelievedRefund(
            refund_id=RefundId(row.id),
            attempt_id=AttemptId(row.attempt_id),
            portion_id=PortionId(row.portion_id),
            reference=reference,
            state=RefundState(row.state),
            amount=Money(row.amount, row.currency),
            refund_ref=row.refund_ref,
        )
        for row, reference in rows.values()
    ]


def refunds_asked(session: Session, since: datetime, until: datetime) -> list[UUID]:
    """Refunds whose call to the provider was owed in the window: plain time, which `asked_at` is not."""
    query = select(IntentRow.subject).where(
        IntentRow.kind == moving.REFUND, IntentRow.owed_at >= since, IntentRow.owed_at < until
    )
    return list(session.scalars(query))


def lock_portions(session: Session, portion_ids: Collection[UUID]) -> None:
    """Wait for whoever changes one of these, in id order as everybody does."""
    for wanted in _batches(sorted(portion_ids)):
        query = select(PortionRow).where(PortionRow.id.in_(wanted)).order_by(PortionRow.id)
        session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()


def is_unasked(session: Session, attempt_id: UUID) -> bool:
    """Whether what was captured on this attempt was never asked for."""
    query = select(JournalRow.id).where(
        JournalRow.kind == JournalKind.CAPTURED_UNASKED.value, JournalRow.cause == attempt_id
    )
    return session.scalar(query) is not None


def _attempts(session: Session, which: ColumnElement[bool]) -> dict[UUID, tuple[AttemptRow, PortionRow]]:
    portion = and_(PortionRow.id == AttemptRow.portion_id, PortionRow.merchant_id == AttemptRow.merchant_id)
    query = select(AttemptRow, PortionRow).join(PortionRow, portion).where(which)
    found = session.execute(query.execution_options(populate_existing=True))
    return {row.id: (row, of) for row, of in found}


def _refunds(session: Session, which: ColumnElement[bool]) -> dict[UUID, tuple[RefundRow, UUID]]:
    portion = and_(PortionRow.id == RefundRow.portion_id, PortionRow.merchant_id == RefundRow.merchant_id)
    query = select(RefundRow, PortionRow.reference).join(PortionRow, portion).where(which)
    found = session.execute(query.execution_options(populate_existing=True))
    return {row.id: (row, reference) for row, reference in found}


def _captured(session: Session, attempt_ids: Iterable[UUID]) -> dict[UUID, int]:
    sums: dict[UUID, int] = {}
    for wanted in _batches(list(attempt_ids)):
        query = (
            select(JournalRow.cause, func.sum(PostingRow.amount))
            .join(PostingRow, _sides())
            .where(
                JournalRow.kind.in_(_TAKEN),
                JournalRow.cause.in_(wanted),
                PostingRow.account == Account.PROVIDER_CLEARING.value,
            )
            .group_by(JournalRow.cause)
        )
        sums |= {cause: int(minor) for cause, minor in session.execute(query)}
    return sums


def _sides() -> ColumnElement[bool]:
    return and_(PostingRow.journal_id == JournalRow.id, PostingRow.merchant_id == JournalRow.merchant_id)


def _batches(values: Collection[Any]) -> Iterable[list[Any]]:
    ordered = list(values)
    return (ordered[start : start + _batch] for start in range(0, len(ordered), _batch))


# --- runs -------------------------------------------------------------------------------------------------------------


def claim_run(session: Session, day: date, *, at: datetime, lease_seconds: float) -> bool:
    """Take this day's comparison for ourselves; False while another worker is at it."""
    values = {
        "started_at": at,
        "lease_until": at + timedelta(seconds=lease_seconds),
        "last_error": None,
    }
    fresh = {"payments": 0, "refunds": 0, "foreign": 0, "differences": 0}
    row = insert(ReconciliationRunRow).values(merchant_id=merchant_of(session), day=day, **values, **fresh)
    taken = row.on_conflict_do_update(
        index_elements=["merchant_id", "day"],
        set_=values,
        where=or_(ReconciliationRunRow.lease_until.is_(None), ReconciliationRunRow.lease_until < at),
    )
    return session.scalar(taken.returning(ReconciliationRunRow.day)) is not None


def close_run(session: Session, day: date, **values: Any) -> None:
    """Give the day back with what came of it."""
    query = update(ReconciliationRunRow).where(ReconciliationRunRow.day == day)
    session.execute(query.values(lease_until=None, **values))


def runs_of(session: Session, *, limit: int) -> list[ReconciliationRunRow]:
    """The latest days first."""
    return list(session.scalars(select(ReconciliationRunRow).order_by(ReconciliationRunRow.day.desc()).limit(limit)))


def days_tried(session: Session, days: Collection[date], *, since: datetime) -> set[date]:
    """Which of these days were begun since then, whatever came of it."""
    query = select(ReconciliationRunRow.day).where(
        ReconciliationRunRow.day.in_(list(days)), ReconciliationRunRow.started_at >= since
    )
    return set(session.scalars(query))


def finished_days(session: Session, days: Collection[date]) -> list[tuple[date, datetime]]:
    query = select(ReconciliationRunRow.day, ReconciliationRunRow.finished_at).where(
        ReconciliationRunRow.day.in_(list(days)), ReconciliationRunRow.finished_at.is_not(None)
    )
    return [(day, at) for day, at in session.execute(query) if at is not None]


# --- differences ------------------------------------------------------------------------------------------------------


def lock_open_differences(session: Session) -> list[DifferenceRow]:
    """Every open difference, for a run that is about to change some; runs queue up here."""
    query = select(DifferenceRow).where(DifferenceRow.resolved_at.is_(None)).order_by(DifferenceRow.id)
    return list(session.scalars(query.with_for_update().execution_options(populate_existing=True)))


def open_days(session: Session) -> list[date]:
    return list(session.scalars(select(DifferenceRow.day).where(DifferenceRow.resolved_at.is_(None)).distinct()))


def open_difference(session: Session, day: date, difference: Difference, at: datetime) -> DifferenceId | None:
    """Keep a difference that no open row has; None when one has."""
    query = insert(DifferenceRow).values(
        merchant_id=merchant_of(session),
        id=new_id(),
        day=day,
        kind=difference.kind.value,
        provider_ref=difference.provider_ref,
        reference=difference.reference,
        portion_id=difference.portion_id,
        attempt_id=difference.attempt_id,
        refund_id=difference.refund_id,
        currency=difference.observed.currency,
        expected=difference.expected.minor,
        observed=difference.observed.minor,
        first_seen_at=at,
    )
    id = session.scalar(query.on_conflict_do_nothing().returning(DifferenceRow.id))
    return None if id is None else DifferenceId(id)


def read_difference(session: Session, id: UUID) -> DifferenceRow:
    """Raises DifferenceNotFound."""
    row = session.scalar(select(DifferenceRow).where(DifferenceRow.id == id))
    if row is None:
        raise DifferenceNotFound()
    return row


def lock_difference(session: Session, id: UUID) -> DifferenceRow:
    """Raises DifferenceNotFound."""
    query = select(DifferenceRow).where(DifferenceRow.id == id).with_for_update()
    row = session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise DifferenceNotFound()
    return row


def differences_of(
    session: Session, *, is_open: bool, reference: UUID | None = None, limit: int
) -> list[StoredDifference]:
    """The newest first."""
    query = select(DifferenceRow).order_by(DifferenceRow.first_seen_at.desc(), DifferenceRow.id.desc()).limit(limit)
    query = query.where(DifferenceRow.resolved_at.is_(None) if is_open else DifferenceRow.resolved_at.is_not(None))
    if reference is not None:
        query = query.where(DifferenceRow.reference == reference)
    return [stored(row) for row in session.scalars(query)]


def stored(row: DifferenceRow) -> StoredDifference:
    return StoredDifference(
        id=DifferenceId(row.id),
        day=row.day,
        difference=Difference(
            kind=DifferenceKind(row.kind),
            provider_ref=row.provider_ref,
            expected=Money(row.expected, row.currency),
            observed=Money(row.observed, row.currency),
            reference=row.reference,
            portion_id=None if row.portion_id is None else PortionId(row.portion_id),
            attempt_id=None if row.attempt_id is None else AttemptId(row.attempt_id),
            refund_id=None if row.refund_id is None else RefundId(row.refund_id),
        ),
        first_seen_at=row.first_seen_at,
        resolved_at=row.resolved_at,
    )


# --- statements -------------------------------------------------------------------------------------------------------


def lines_of(
    session: Session,
    *,
    reference: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    without: Collection[JournalKind] = (),
    limit: int,
) -> list[StatementLine]:
    """Entries as lines, oldest first: of one reference, of a time, or both. `since` counts, `until` does not."""
    debit, credit = _side("debit"), _side("credit")
    query = (
        select(JournalRow, debit.account, credit.account, debit.currency, debit.amount, RefundRow.reason)
        .join(debit, _of(debit) & (debit.amount > 0))
        .join(credit, _of(credit) & (credit.amount < 0) & (credit.currency == debit.currency))
        .outerjoin(RefundRow, (RefundRow.id == JournalRow.cause) & (RefundRow.merchant_id == JournalRow.merchant_id))
        .where(*_window(reference, since, until, without))
        .order_by(JournalRow.recorded_at, JournalRow.id)
        .limit(limit)
    )
    return [
        StatementLine(
            id=JournalId(row.id),
            at=row.recorded_at,
            reference=row.reference,
            portion_id=PortionId(row.portion_id),
            kind=JournalKind(row.kind),
            debited=Account(debited),
            credited=Account(credited),
            amount=Money(amount, currency),
            note=note or "",
        )
        for row, debited, credited, currency, amount, note in session.execute(query)
    ]


def sums_before(
    session: Session, until: datetime, *, reference: UUID | None = None, without: Collection[JournalKind] = ()
) -> dict[tuple[str, Account], int]:
    """The balance of every account in every currency from everything before `until`."""
    query = (
        select(PostingRow.currency, PostingRow.account, func.sum(PostingRow.amount))
        .join(JournalRow, _sides())
        .where(*_window(reference, None, until, without))
        .group_by(PostingRow.currency, PostingRow.account)
    )
    return {(currency, Account(account)): int(minor) for currency, account, minor in session.execute(query)}


def _side(name: str) -> Any:
    return aliased(PostingRow, name=name)


def _of(side: Any) -> ColumnElement[bool]:
    return and_(side.journal_id == JournalRow.id, side.merchant_id == JournalRow.merchant_id)


def _window(
    reference: UUID | None, since: datetime | None, until: datetime | None, without: Collection[JournalKind]
) -> Sequence[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if reference is not None:
        wanted.append(JournalRow.reference == reference)
    if since is not None:
        wanted.append(JournalRow.recorded_at >= since)
    if until is not None:
        wanted.append(JournalRow.recorded_at < until)
    if without:
        wanted.append(JournalRow.kind.not_in([kind.value for kind in without]))
    return wanted


# --- the provider's list of messages ----------------------------------------------------------------------------------


def claim_cursor(session: Session, source: str, *, at: datetime, every_seconds: float) -> EventCursorRow | None:
    """The cursor, for who may read now; None when somebody did so lately."""
    mine = insert(EventCursorRow).values(merchant_id=merchant_of(session), source=source, tried_at=at)
    mine = mine.on_conflict_do_update(
        index_elements=["merchant_id", "source"],
        set_={"tried_at": at},
        where=EventCursorRow.tried_at <= at - timedelta(seconds=every_seconds),
    )
    claimed = session.scalar(mine.returning(EventCursorRow.source))
    return None if claimed is None else session.get(EventCursorRow, (merchant_of(session), source))


def move_cursor(session: Session, source: str, read_until: datetime) -> None:
    session.execute(update(EventCursorRow).where(EventCursorRow.source == source).values(read_until=read_until))
