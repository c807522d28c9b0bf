"""Inbox: webhooks as they came. Verify first, store raw, dedupe, answer 2xx; act later by reading the truth."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.clock import system_now
from groupbook.kit.database import merchant_of, nudge_after_commit
from groupbook.kit.ids import new_id
from groupbook.kit.models import InboxRow


def receive(session: Session, source: str, external_id: str, *, type: str, object_ref: str, body: bytes) -> bool:
    """Keep a verified webhook. False when this sender already sent this event; then nothing is written."""
    id = new_id()
    row = insert(InboxRow).values(
        merchant_id=merchant_of(session),
        id=id,
        source=source,
        external_id=external_id,
        type=type,
        object_ref=object_ref,
        body=body,
        received_at=system_now(session),
    )
    written = session.scalar(row.on_conflict_do_nothing().returning(InboxRow.id))
    if written is None:
        return False
    nudge_after_commit(session, "process_inbox", id)
    return True


def unprocessed(session: Session, source: str, *, limit: int = 200) -> list[InboxRow]:
    """Rows nobody has acted on, oldest first, locked for this transaction and skipped by others."""
    query = (
        select(InboxRow)
        .where(InboxRow.source == source, InboxRow.processed_at.is_(None))
        .order_by(InboxRow.received_at, InboxRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(session.scalars(query))


def mark_processed(session: Session, inbox_id: UUID) -> None:
    session.execute(update(InboxRow).where(InboxRow.id == inbox_id).values(processed_at=system_now(session)))
