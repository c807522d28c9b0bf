"""Every query and lock of payments. A portion is locked before its attempts, portions in id order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, false, func, or_, select, text
from sqlalchemy.orm import Session

from groupbook.kit.conversation import NO_ANSWER
from groupbook.kit.database import at_the_end, merchant_of, new_rows, query
from groupbook.kit.ids import AttemptId, RefundId, new_id
from groupbook.kit.money import Money
from groupbook.payments.domain import (
    NOT_READ,
    AttemptMode,
    AttemptNotFound,
    AttemptState,
    DisputeState,
    LikePortions,
    PortionNotFound,
    PortionState,
    RefundNotFound,
)
from groupbook.payments.ledger import Account, JournalKind, Posting, postings
from groupbook.payments.models import AttemptRow, JournalRow, LedgerAccountRow, PortionRow, PostingRow, RefundRow

_HOLDING: Final = (AttemptState.AUTHORIZED.value, AttemptState.CAPTURING.value)
_NOT_READ: Final = tuple(sorted(state.value for state in NOT_READ))


class AttemptNames(NamedTuple):
    """How a provider may name an attempt, the surest first."""

    attempt_id: UUID | None
    payment_ref: str | None
    page_ref: str | None


# Rows of portions that this transaction has locked, and of attempts it has read since: nobody else changes them now.
def _steady(session: Session) -> dict[UUID, Any]:
    rows: dict[UUID, Any] = session.info.setdefault("steady", {})
    return rows


@query
def lock_portion(session: Session, portion_id: UUID) -> PortionRow:
    known: PortionRow | None = _steady(session).get(portion_id)
    if known is not None:
        return known
    query = select(PortionRow).where(PortionRow.id == portion_id)
    row = session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise PortionNotFound()
    _steady(session)[portion_id] = row
    return row


_LOCK_ATTEMPTS: Final = (
    select(PortionRow, AttemptRow)
    .join(AttemptRow, and_(AttemptRow.merchant_id == PortionRow.merchant_id, AttemptRow.portion_id == PortionRow.id))
    .where(AttemptRow.id.in_(bindparam("ids", expanding=True)))
    .order_by(PortionRow.id)
    .with_for_update()
    .execution_options(populate_existing=True)
)


@query
def lock_attempts(session: Session, attempt_ids: Iterable[UUID]) -> None:
    """Lock many attempts behind their portions and read both, so that each `lock_attempt` that follows asks nothing.

    Both are locked, for only a row that is locked is read as it is after having been waited for. The portions come
    first in the statement, and so in the order of locks.
    """
    ids = [id for id in attempt_ids if id not in _steady(session)]
    if not ids:
        return
    for portion, attempt in session.execute(_LOCK_ATTEMPTS, {"ids": ids}):
        _steady(session)[portion.id], _steady(session)[attempt.id] = portion, attempt


@query
def attempt_of_page(session: Session, page_ref: str) -> AttemptRow | None:
    return session.scalar(select(AttemptRow).where(AttemptRow.page_ref == page_ref))


@query
def read_portion(session: Session, portion_id: UUID) -> PortionRow:
    row = session.scalar(select(PortionRow).where(PortionRow.id == portion_id))
    if row is None:
        raise PortionNotFound()
    return row


@query
def read_portions(session: Session, portion_ids: Iterable[UUID]) -> dict[UUID, PortionRow]:
    """Those there are, by their ids; what this transaction has locked is known already."""
    ids = set(portion_ids)
    known = {id: row for id, row in _steady(session).items() if id in ids}
    if len(known) < len(ids):
        query = select(PortionRow).where(PortionRow.id.in_(ids - known.keys()))
        known |= {row.id: row for row in session.scalars(query)}
    return known


@query
def lock_portions(session: Session, reference: UUID) -> list[PortionRow]:
    query = select(PortionRow).where(PortionRow.reference == reference).order_by(PortionRow.id)
    rows = list(session.scalars(query.with_for_update().execution_options(populate_existing=True)))
    _steady(session).update((row.id, row) for row in rows)
    return rows


@query
def portions_of(session: Session, reference: UUID) -> list[PortionRow]:
    query = select(PortionRow).where(PortionRow.reference == reference).order_by(PortionRow.id)
    return list(session.scalars(query))


def portions_of_each(session: Session, references: Iterable[UUID]) -> list[PortionRow]:
    """Of all these references, in the order they were opened."""
    query = select(PortionRow).where(PortionRow.reference.in_(list(references))).order_by(PortionRow.id)
    return list(session.scalars(query))


def _tally(is_unread: ColumnElement[bool]) -> Select[Any]:
    is_current = and_(
        AttemptRow.merchant_id == PortionRow.merchant_id, AttemptRow.portion_id == PortionRow.id, AttemptRow.is_current
    )
    capture_before = case((AttemptRow.state.in_(_HOLDING), AttemptRow.capture_before))
    kinds = (PortionRow.state, PortionRow.dropped_at.is_not(None), PortionRow.refund_failed, PortionRow.dispute)
    return (
        select(*kinds, func.count(), func.min(capture_before), func.bool_or(is_unread))
        .outerjoin(AttemptRow, is_current)
        .where(PortionRow.reference == bindparam("reference"))
        .group_by(*kinds, capture_before > bindparam("lasting"))
    )


# Made once: to put them together for every question would cost more than to ask it.
_TALLY: Final = _tally(false())
_TALLY_SEEN: Final = _tally(
    and_(
        AttemptRow.id.is_not(None),
        AttemptRow.state.not_in(_NOT_READ),
        or_(AttemptRow.observed_at.is_(None), AttemptRow.observed_at < bindparam("seen_since")),
    )
)


@query
def tally(session: Session, reference: UUID, *, lasting: datetime, seen_since: datetime | None) -> list[LikePortions]:
    """The reference's portions, counted by what sets them apart."""
    given = {"reference": reference, "lasting": lasting}
    if seen_since is None:
        found = session.execute(_TALLY, given)
    else:
        found = session.execute(_TALLY_SEEN, {**given, "seen_since": seen_since})
    return [
        LikePortions(PortionState(state), count, lapses_at, is_dropped, refund_failed, DisputeState(dispute), is_unread)
        for state, is_dropped, refund_failed, dispute, count, lapses_at, is_unread in found
    ]


@query
def current_attempts(session: Session, portion_ids: Iterable[UUID]) -> dict[UUID, AttemptRow]:
    ids = list(portion_ids)
    query = select(AttemptRow).where(AttemptRow.portion_id.in_(ids), AttemptRow.is_current)
    rows = list(session.scalars(query.execution_options(populate_existing=True)))
    _steady(session).update((row.id, row) for row in rows if row.portion_id in _steady(session))
    return {row.portion_id: row for row in rows}


@query
def current_attempts_of(session: Session, reference: UUID) -> dict[UUID, AttemptRow]:
    """`current_attempts` of every portion of this reference."""
    is_of = and_(PortionRow.merchant_id == AttemptRow.merchant_id, PortionRow.id == AttemptRow.portion_id)
    query = select(AttemptRow).join(PortionRow, is_of).where(PortionRow.reference == reference, AttemptRow.is_current)
    rows = list(session.scalars(query.execution_options(populate_existing=True)))
    _steady(session).update((row.id, row) for row in rows if row.portion_id in _steady(session))
    return {row.portion_id: row for row in rows}


@query
def saved_attempts(session: Session, portion_ids: Iterable[UUID]) -> dict[UUID, AttemptRow]:
    """Per portion the newest attempt on a page that left a card to use again: kept, or authorized with consent."""
    query = select(AttemptRow).where(
        AttemptRow.portion_id.in_(list(portion_ids)),
        AttemptRow.saved_ref.is_not(None),
        or_(AttemptRow.mode == AttemptMode.AUTHORIZE.value, AttemptRow.state == AttemptState.SAVED.value),
    )
    return {row.portion_id: row for row in session.scalars(query.order_by(AttemptRow.n))}


@query
def attempts_of(session: Session, portion_id: UUID) -> list[AttemptRow]:
    """In order. Of a portion that this transaction has locked they are read once: nobody else adds or changes one."""
    seen: dict[UUID, list[AttemptRow]] = session.info.setdefault("attempts_of", {})
    if portion_id in seen:
        return list(seen[portion_id])
    query = select(AttemptRow).where(AttemptRow.portion_id == portion_id).order_by(AttemptRow.n)
    found = list(session.scalars(query.execution_options(populate_existing=True)))
    if portion_id in _steady(session):
        seen[portion_id] = found
    return list(found)


def add_attempt(session: Session, attempt: AttemptRow) -> None:
    """One more of a portion that this transaction has locked."""
    session.add(attempt)
    session.flush()
    _steady(session)[attempt.id] = attempt
    if attempt.portion_id in (seen := session.info.get("attempts_of", {})):
        seen[attempt.portion_id].append(attempt)


@query
def read_attempt(session: Session, attempt_id: UUID) -> AttemptRow:
    known: AttemptRow | None = _steady(session).get(attempt_id)
    if known is not None:
        return known
    row = session.scalar(
        select(AttemptRow).where(AttemptRow.id == attempt_id).execution_options(populate_existing=True)
    )
    if row is None:
        raise AttemptNotFound()
    return row


@query
def read_attempts(session: Session, attempt_ids: Iterable[UUID]) -> dict[UUID, AttemptRow]:
    """Those there are, by their ids."""
    ids = set(attempt_ids)
    known = {id: row for id, row in _steady(session).items() if id in ids}
    if len(known) < len(ids):
        query = select(AttemptRow).where(AttemptRow.id.in_(ids - known.keys()))
        known |= {row.id: row for row in session.scalars(query.execution_options(populate_existing=True))}
    return known


@query
def reference_of(session: Session, attempt: AttemptRow) -> UUID:
    """What the attempt's portion belongs to."""
    portion: PortionRow | None = _steady(session).get(attempt.portion_id)
    portion = portion or session.get(PortionRow, (attempt.merchant_id, attempt.portion_id))
    if portion is None:
        raise PortionNotFound()
    return portion.reference


def lock_attempt(session: Session, attempt_id: AttemptId) -> tuple[PortionRow, AttemptRow]:
    """The attempt with its portion, the portion locked first: whoever changes either holds the portion."""
    lock_attempts(session, [attempt_id])
    attempt = read_attempt(session, attempt_id)
    return lock_portion(session, attempt.portion_id), attempt


@query
def attempts_meant(session: Session, names: Sequence[AttemptNames]) -> list[tuple[UUID, UUID] | None]:
    """For each the attempt that a provider's message is about, by our id first, and what it belongs to."""
    is_meant = or_(
        AttemptRow.id.in_({one.attempt_id for one in names if one.attempt_id}),
        AttemptRow.payment_ref.in_({one.payment_ref for one in names if one.payment_ref}),
        AttemptRow.page_ref.in_({one.page_ref for one in names if one.page_ref}),
    )
    its_portion = and_(AttemptRow.merchant_id == PortionRow.merchant_id, AttemptRow.portion_id == PortionRow.id)
    query = select(AttemptRow.id, AttemptRow.payment_ref, AttemptRow.page_ref, PortionRow.reference)
    known: dict[UUID | str, tuple[UUID, UUID]] = {}
    for id, payment_ref, page_ref, reference in session.execute(query.join(PortionRow, its_portion).where(is_meant)):
        known |= {name: (id, reference) for name in (id, payment_ref, page_ref) if name is not None}
    return [next((known[name] for name in one if name in known), None) for one in names]


@query
def attempts_unseen_since(session: Session, states: Iterable[str], before: datetime, *, limit: int) -> list[AttemptRow]:
    """Live attempts nobody has read at the provider since `before`, the longest unseen first."""
    seen_at = func.coalesce(AttemptRow.observed_at, AttemptRow.started_at)
    query = select(AttemptRow).where(AttemptRow.state.in_(list(states)), seen_at < before)
    return list(session.scalars(query.order_by(seen_at, AttemptRow.id).limit(limit)))


@query
def next_attempt_number(session: Session, portion_id: UUID) -> int:
    return (session.scalar(select(func.max(AttemptRow.n)).where(AttemptRow.portion_id == portion_id)) or 0) + 1


@query
def refunds_of(session: Session, portion_id: UUID) -> list[RefundRow]:
    query = select(RefundRow).where(RefundRow.portion_id == portion_id).order_by(RefundRow.id)
    return list(session.scalars(query.execution_options(populate_existing=True)))


@query
def read_refund(session: Session, refund_id: UUID) -> RefundRow:
    row = session.scalar(select(RefundRow).where(RefundRow.id == refund_id).execution_options(populate_existing=True))
    if row is None:
        raise RefundNotFound()
    return row


def lock_refund(session: Session, refund_id: RefundId) -> tuple[PortionRow, RefundRow]:
    portion = lock_portion(session, read_refund(session, refund_id).portion_id)
    return portion, read_refund(session, refund_id)


@query
def refunds_of_reference(session: Session, reference: UUID) -> list[RefundRow]:
    query = (
        select(RefundRow)
        .join(PortionRow, (PortionRow.id == RefundRow.portion_id) & (PortionRow.merchant_id == RefundRow.merchant_id))
        .where(PortionRow.reference == reference)
        .order_by(RefundRow.id)
    )
    return list(session.scalars(query))


# --- the ledger -------------------------------------------------------------------------------------------------------


@query
def ensure_accounts(session: Session, currency: str) -> None:
    merchant_id = merchant_of(session)
    rows = [{"merchant_id": merchant_id, "code": account.value, "currency": currency} for account in Account]
    session.execute(new_rows(LedgerAccountRow).on_conflict_do_nothing(), rows)


def journal(
    session: Session,
    kind: JournalKind,
    amount: Money,
    *,
    portion: PortionRow,
    cause: UUID,
    now: datetime,
) -> None:
    """Write one balanced movement as the transaction ends; nothing, where this cause was already journaled."""
    entry = {
        "merchant_id": portion.merchant_id,
        "id": new_id(),
        "reference": portion.reference,
        "portion_id": portion.id,
        "kind": kind.value,
        "cause": cause,
        "recorded_at": now,
    }
    session.info.setdefault("journal", []).append((entry, postings(kind, amount)))
    at_the_end(session, _write_journal)


def _write_journal(session: Session) -> None:
    entries = session.info.pop("journal", [])
    if not entries:
        return
    sides = [
        {
            "merchant_id": entry["merchant_id"],
            "id": new_id(),
            "journal_id": entry["id"],
            "account": side.account.value,
            "currency": side.amount.currency,
            "amount": side.amount.minor,
        }
        for entry, both in entries
        for side in both
    ]
    write_journal(session, [entry for entry, _ in entries], sides)


_WRITE_JOURNAL: Final = text(
    "WITH written AS (INSERT INTO journal (merchant_id, id, reference, portion_id, kind, cause, recorded_at) "
    "SELECT merchant_id, id, reference, portion_id, kind, cause, recorded_at "
    "FROM json_populate_recordset(NULL::journal, CAST(:entries AS json)) ON CONFLICT DO NOTHING RETURNING id) "
    "INSERT INTO posting (merchant_id, id, journal_id, account, currency, amount) "
    "SELECT side.merchant_id, side.id, side.journal_id, side.account, side.currency, side.amount "
    "FROM json_populate_recordset(NULL::posting, CAST(:sides AS json)) AS side "
    "JOIN written ON written.id = side.journal_id"
)


@query
def write_journal(session: Session, entries: Sequence[Mapping[str, Any]], sides: Sequence[Mapping[str, Any]]) -> None:
    """The entries with their sides, in one statement that nobody waits for; not those journaled for the same cause."""
    drawn = {name: json.dumps(rows, default=str) for name, rows in (("entries", entries), ("sides", sides))}
    session.execute(_WRITE_JOURNAL, drawn, execution_options=NO_ANSWER)


@query
def ledger_of(session: Session, reference: UUID) -> list[Posting]:
    """Every posting of a reference, oldest first."""
    _write_journal(session)
    query = (
        select(PostingRow.account, PostingRow.amount, PostingRow.currency)
        .join(JournalRow, (JournalRow.id == PostingRow.journal_id) & (JournalRow.merchant_id == PostingRow.merchant_id))
        .where(JournalRow.reference == reference)
        .order_by(JournalRow.recorded_at, JournalRow.id, PostingRow.id)
    )
    return [Posting(Account(code), Money(amount, currency)) for code, amount, currency in session.execute(query)]
