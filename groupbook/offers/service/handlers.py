"""The table of this room's intents, and what keeps its rows clean."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit.database import Database
from groupbook.kit.intents import IntentHandler
from groupbook.offers import repository
from groupbook.offers.service.adapters import AdapterOf
from groupbook.offers.service.holds import PLACE, RELEASE, PlaceHold, ReleaseHold
from groupbook.offers.service.orders import CANCEL, CONFIRM, CancelOrder, ConfirmOrder


def intent_handlers(
    database: Database, adapter_of: AdapterOf, *, timeout_seconds: float = 20.0
) -> dict[str, IntentHandler]:
    """Kind -> handler, for the runner."""
    return {
        PLACE: PlaceHold(database, adapter_of, timeout_seconds),
        RELEASE: ReleaseHold(database, adapter_of, timeout_seconds),
        CONFIRM: ConfirmOrder(database, adapter_of, timeout_seconds),
        CANCEL: CancelOrder(database, adapter_of, timeout_seconds),
    }


def forget(session: Session, member_id: UUID) -> int:
    """Erase a member's name, age and cards from holds and orders; their places and prices stay. A step."""
    rows = repository.rows_naming(session, member_id)
    for row in rows:
        row.travelers = [_blank(traveler, member_id) for traveler in row.travelers]
    session.flush()
    return len(rows)


def _blank(traveler: dict[str, Any], member_id: UUID) -> dict[str, Any]:
    if traveler["member_id"] != str(member_id):
        return traveler
    return {"member_id": str(member_id), "name": "", "age": None, "cards": []}
