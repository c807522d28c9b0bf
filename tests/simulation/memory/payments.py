"""The queries of payments, answered from memory: same rows, same order; a lock is nothing in a single thread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from groupbook.kit.money import Money
from groupbook.payments import repository
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
from groupbook.payments.ledger import Account, Posting
from groupbook.payments.models import AttemptRow, JournalRow, LedgerAccountRow, PortionRow, PostingRow, RefundRow
from tests.simulation.memory.store import MemorySession, Table, Values

_HOLDING: Final = (AttemptState.AUTHORIZED, AttemptState.CAPTURING)


def tables() -> list[Table]:
    return [
        Table(
            PortionRow,
            by=["reference"],
            checks={
                "amount": lambda values: values["amount"] >= 0,
                "captured": lambda values: 0 <= values["captured"] <= values["amount"],
                "refunded": lambda values: 0 <= values["refunded"] <= values["captured"],
            },
        ),
        Table(
            AttemptRow,
            by=["portion_id"],
            unique={"n": lambda values: (values["portion_id"], values["n"])},
            moving={
                "one_current": lambda values: values["portion_id"] if values["is_current"] else None,
                "payment_ref": lambda values: values["payment_ref"],
                "page_ref": lambda values: values["page_ref"],
            },
            checks={"amount": lambda values: values["amount"] > 0},
        ),
        Table(RefundRow, by=["portion_id"], checks={"amount": lambda values: values["amount"] > 0}),
        Table(LedgerAccountRow, key=lambda values: (values["code"], values["currency"])),
        Table(JournalRow, by=["reference"], unique={"cause": lambda values: (values["kind"], values["cause"])}),
        Table(
            PostingRow,
            by=["journal_id"],
            checks={"amount": lambda values: values["amount"] != 0},
            together={"balance": _is_balanced},
        ),
    ]


def _is_balanced(added: list[Values]) -> bool:
    sums: dict[tuple[UUID, str], int] = defaultdict(int)
    for values in added:
        sums[values["journal_id"], values["currency"]] += values["amount"]
    return not any(sums.values())


# --- portions ---------------------------------------------------------------------------------------------------------


@repository.lock_portion.register(MemorySession)
@repository.read_portion.register(MemorySession)
def _portion(session: MemorySession, portion_id: UUID) -> PortionRow:
    row = session.find(PortionRow, portion_id)
    if row is None:
        raise PortionNotFound()
    return row


@repository.lock_portions.register(MemorySession)
@repository.portions_of.register(MemorySession)
def _portions(session: MemorySession, reference: UUID) -> list[PortionRow]:
    return session.rows(PortionRow, session.views(PortionRow, "reference", reference))


@repository.read_portions.register(MemorySession)
def _read_portions(session: MemorySession, portion_ids: Iterable[UUID]) -> dict[UUID, PortionRow]:
    rows = [session.find(PortionRow, id) for id in set(portion_ids)]
    return {row.id: row for row in rows if row is not None}


@repository.tally.register(MemorySession)
def _tally(
    session: MemorySession, reference: UUID, *, lasting: datetime, seen_since: datetime | None
) -> list[LikePortions]:
    alike: dict[tuple[Any, ...], list[Any]] = {}  # -> how many, the first that lapses, whether one is unread
    for portion in session.views(PortionRow, "reference", reference):
        lapses_at, is_unread = None, False
        for current in session.views(AttemptRow, "portion_id", portion["id"]):
            if current["is_current"]:
                lapses_at = current["capture_before"] if current["state"] in _HOLDING else None
                seen_at = current["observed_at"]
                is_seen = seen_since is None or (seen_at is not None and seen_at >= seen_since)
                is_unread = not is_seen and current["state"] not in NOT_READ
                break
        is_dropped, is_lasting = portion["dropped_at"] is not None, None if lapses_at is None else lapses_at > lasting
        key = (portion["state"], is_dropped, portion["refund_failed"], portion["dispute"], is_lasting)
        known = alike.get(key)
        if known is None:
            alike[key] = [1, lapses_at, is_unread]
            continue
        known[0] += 1
        if lapses_at is not None and lapses_at < known[1]:
            known[1] = lapses_at
        known[2] = known[2] or is_unread
    return [
        LikePortions(PortionState(state), count, first, is_dropped, failed, DisputeState(dispute), is_unread)
        for (state, is_dropped, failed, dispute, _), (count, first, is_unread) in alike.items()
    ]


# --- attempts ---------------------------------------------------------------------------------------------------------


@repository.current_attempts.register(MemorySession)
def _current_attempts(session: MemorySession, portion_ids: Iterable[UUID]) -> dict[UUID, AttemptRow]:
    return {
        portion_id: session.row(AttemptRow, values)
        for portion_id in portion_ids
        for values in session.views(AttemptRow, "portion_id", portion_id)
        if values["is_current"]
    }


@repository.current_attempts_of.register(MemorySession)
def _current_attempts_of(session: MemorySession, reference: UUID) -> dict[UUID, AttemptRow]:
    ids = [one["id"] for one in session.views(PortionRow, "reference", reference)]
    found: dict[UUID, AttemptRow] = _current_attempts(session, ids)
    return found


@repository.saved_attempts.register(MemorySession)
def _saved_attempts(session: MemorySession, portion_ids: Iterable[UUID]) -> dict[UUID, AttemptRow]:
    found = [
        one
        for portion_id in portion_ids
        for one in session.views(AttemptRow, "portion_id", portion_id)
        if one["saved_ref"] is not None
        and (one["mode"] == AttemptMode.AUTHORIZE.value or one["state"] == AttemptState.SAVED.value)
    ]
    return {row.portion_id: row for row in session.rows(AttemptRow, found, order="n")}


@repository.attempts_of.register(MemorySession)
def _attempts_of(session: MemorySession, portion_id: UUID) -> list[AttemptRow]:
    return session.rows(AttemptRow, session.views(AttemptRow, "portion_id", portion_id), order="n")


@repository.lock_attempts.register(MemorySession)
def _lock_attempts(session: MemorySession, attempt_ids: Iterable[UUID]) -> None:
    """Nobody else is there."""


@repository.read_attempts.register(MemorySession)
def _read_attempts(session: MemorySession, attempt_ids: Iterable[UUID]) -> dict[UUID, AttemptRow]:
    rows = [session.find(AttemptRow, id) for id in attempt_ids]
    return {row.id: row for row in rows if row is not None}


@repository.reference_of.register(MemorySession)
def _reference_of(session: MemorySession, attempt: AttemptRow) -> UUID:
    portion = session.find(PortionRow, attempt.portion_id)
    if portion is None:
        raise PortionNotFound()
    return portion.reference


@repository.attempt_of_page.register(MemorySession)
def _attempt_of_page(session: MemorySession, page_ref: str) -> AttemptRow | None:
    holder = session.holder(AttemptRow, "page_ref", page_ref)
    return None if holder is None else session.row(AttemptRow, holder)


@repository.read_attempt.register(MemorySession)
def _read_attempt(session: MemorySession, attempt_id: UUID) -> AttemptRow:
    row = session.find(AttemptRow, attempt_id)
    if row is None:
        raise AttemptNotFound()
    return row


@repository.attempts_meant.register(MemorySession)
def _attempts_meant(session: MemorySession, names: Sequence[repository.AttemptNames]) -> list[tuple[UUID, UUID] | None]:
    found = [_attempt_meant(session, one) for one in names]
    return [None if row is None else (row.id, _reference_of(session, row)) for row in found]


def _attempt_meant(session: MemorySession, names: repository.AttemptNames) -> AttemptRow | None:
    row = None if names.attempt_id is None else session.find(AttemptRow, names.attempt_id)
    for name in ("payment_ref", "page_ref"):
        value = getattr(names, name)
        holder = None if row is not None or value is None else session.holder(AttemptRow, name, value)
        row = row if holder is None else session.row(AttemptRow, holder)
    return row


@repository.attempts_unseen_since.register(MemorySession)
def _attempts_unseen_since(
    session: MemorySession, states: Iterable[str], before: datetime, *, limit: int
) -> list[AttemptRow]:
    wanted = frozenset(states)
    found = [
        (values["observed_at"] or values["started_at"], values["id"], values)
        for values in session.every(AttemptRow)
        if values["state"] in wanted and (values["observed_at"] or values["started_at"]) < before
    ]
    return [session.row(AttemptRow, values) for _, _, values in sorted(found, key=lambda one: one[:2])[:limit]]


@repository.next_attempt_number.register(MemorySession)
def _next_attempt_number(session: MemorySession, portion_id: UUID) -> int:
    return max((values["n"] for values in session.views(AttemptRow, "portion_id", portion_id)), default=0) + 1


# --- refunds ----------------------------------------------------------------------------------------------------------


@repository.refunds_of.register(MemorySession)
def _refunds_of(session: MemorySession, portion_id: UUID) -> list[RefundRow]:
    return session.rows(RefundRow, session.views(RefundRow, "portion_id", portion_id))


@repository.read_refund.register(MemorySession)
def _read_refund(session: MemorySession, refund_id: UUID) -> RefundRow:
    row = session.find(RefundRow, refund_id)
    if row is None:
        raise RefundNotFound()
    return row


@repository.refunds_of_reference.register(MemorySession)
def _refunds_of_reference(session: MemorySession, reference: UUID) -> list[RefundRow]:
    views = [
        values
        for portion in session.views(PortionRow, "reference", reference)
        for values in session.views(RefundRow, "portion_id", portion["id"])
    ]
    return session.rows(RefundRow, views)


# --- the ledger -------------------------------------------------------------------------------------------------------


@repository.ensure_accounts.register(MemorySession)
def _ensure_accounts(session: MemorySession, currency: str) -> None:
    for account in Account:
        if session.find(LedgerAccountRow, (account.value, currency)) is None:
            session.put(
                LedgerAccountRow, merchant_id=session.info["merchant_id"], code=account.value, currency=currency
            )


@repository.write_journal.register(MemorySession)
def _write_journal(
    session: MemorySession, entries: Sequence[Mapping[str, Any]], sides: Sequence[Mapping[str, Any]]
) -> None:
    written = set()
    for entry in entries:
        if session.holder(JournalRow, "cause", (entry["kind"], entry["cause"])) is None:
            session.put(JournalRow, **entry)
            written.add(entry["id"])
    for side in sides:
        if side["journal_id"] in written:
            session.put(PostingRow, **side)


@repository.ledger_of.register(MemorySession)
def _ledger_of(session: MemorySession, reference: UUID) -> list[Posting]:
    known: Any = session
    repository._write_journal(known)
    entries = sorted(
        session.views(JournalRow, "reference", reference), key=lambda values: (values["recorded_at"], values["id"])
    )
    return [
        Posting(Account(side["account"]), Money(side["amount"], side["currency"]))
        for entry in entries
        for side in sorted(session.views(PostingRow, "journal_id", entry["id"]), key=lambda values: values["id"])
    ]
