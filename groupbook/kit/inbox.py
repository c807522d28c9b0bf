"""Inbox: webhooks as they came. Verify first, store raw, dedupe, answer 2xx; what they are about is read elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from groupbook.kit.clock import server_now
from groupbook.kit.database import merchant_of, new_rows, query
from groupbook.kit.ids import new_id
from groupbook.kit.models import InboxRow


@dataclass(frozen=True)
class Message:
    """One verified webhook; `external_id` is the sender's own id of it."""

    external_id: str
    type: str
    object_ref: str
    body: bytes


@query
def receive_all(session: Session, source: str, messages: Sequence[Message]) -> set[str]:
    """Keep what this transaction acts on, in one statement: the ids of those that this sender had not sent before."""
    merchant_id = merchant_of(session)
    once = {message.external_id: message for message in messages}
    rows = [
        {
            "merchant_id": merchant_id,
            "id": new_id(),
            "source": source,
            "external_id": message.external_id,
            "type": message.type,
            "object_ref": message.object_ref,
            "body": message.body,
        }
        for _, message in sorted(once.items())  # in one order, so that two who keep the same do not lock each other
    ]
    at = server_now(session)
    new = new_rows(InboxRow).values(received_at=at, processed_at=at).on_conflict_do_nothing()
    return set(session.scalars(new.returning(InboxRow.external_id), rows))
