"""The table of this room's intents, and what keeps its rows clean."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit.database import Database
from groupbook.kit.intents import IntentHandler
from groupbook.offers import repository
from groupbook.offers.service.adapters import AdapterOf
from groupbook.offers.service.hold_calls import ExtendHold, PlaceHold, ReleaseHold
from groupbook.offers.service.holds import EXTEND, PLACE, RELEASE
from groupbook.offers.service.order_calls import AmendOrder, CancelOrder, ConfirmOrder, LookAtOrder
from groupbook.offers.service.orders import AMEND, CANCEL, CONFIRM, LOOK
from groupbook.offers.service.rechecks import RECHECK, RecheckOffer


def intent_handlers(
    database: Database, adapter_of: AdapterOf, *, timeout_seconds: float = 20.0, inflight_seconds: float = 330.0
) -> dict[str, IntentHandler]:
    """Kind -> handler, for the runner.

    Args:
        inflight_seconds: how long a call that was never answered may still be on its way to the merchant.
    """
    by_order = (database, adapter_of, timeout_seconds, inflight_seconds)
    return {
        PLACE: PlaceHold(database, adapter_of, timeout_seconds),
        EXTEND: ExtendHold(database, adapter_of, timeout_seconds),
        RELEASE: ReleaseHold(database, adapter_of, timeout_seconds),
        CONFIRM: ConfirmOrder(*by_order),
        CANCEL: CancelOrder(*by_order),
        LOOK: LookAtOrder(*by_order),
        AMEND: AmendOrder(*by_order),
        RECHECK: RecheckOffer(database, adapter_of, timeout_seconds),
    }


def forget(session: Session, member_id: UUID) -> int:
    """Erase a member's name, age and cards from holds, orders and changes; their places and prices stay. A step."""
    rows = repository.rows_naming(session, member_id)
    for row in rows:
        row.travelers = [_blank(traveler, member_id) for traveler in row.travelers]
    session.flush()
    return len(rows)


def _blank(traveler: dict[str, Any], member_id: UUID) -> dict[str, Any]:
    if traveler["member_id"] != str(member_id):
        return traveler
    return {"member_id": str(member_id), "name": "", "age": None, "cards": []}
