"""What bookings do when the rooms below have news: always the same thing, `progress`.

The `reference` of a hold, an order or a portion is a booking's id; a reference that is no booking is not ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook import payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import ENDED, BookingState
from groupbook.bookings.service.progress import progress
from groupbook.kit import clock
from groupbook.kit.facts import Fact
from groupbook.kit.ids import PortionId, TripId

# What the group's screens are told, by member and state only: no amount, no reason, no card (P6).
log = structlog.get_logger(__name__)
# What may still go wrong after a booking ended: a refund that fails weeks later, money that nobody asked for.
_AFTERMATH: Final = frozenset({"portion.refund_failed", "payment.discrepant"})
_SHOWN: Final = {
    "portion.authorizing",
    "portion.authorized",
    "portion.declined",
    "portion.reopened",
    "portion.expired",
    "portion.captured",
    "portion.voided",
    "portion.refunded",
}


def on_hold(session: Session, fact: Fact) -> None:
    """hold.placed, hold.refused, hold.expired, hold.released."""
    _progress(session, fact)


def on_order(session: Session, fact: Fact) -> None:
    """order.confirmed, order.rejected, order.canceled, order.discrepant."""
    _progress(session, fact)


def on_portion(session: Session, fact: Fact) -> None:
    """Any news of a portion: show it to the group, then see whether the booking moves."""
    reference = UUID(fact.payload["reference"])
    row = repository.find(session, reference)
    if row is None:
        return
    repository.lock(session, reference)
    if fact.name in _SHOWN:
        portion = payments.portion_view(session, PortionId(fact.subject))
        payload = {"booking_id": f"bkg_{reference.hex}", "member_id": f"mem_{portion.traveler.hex}"}
        trips.append_event(session, TripId(row.trip_id), fact.name, payload, now=clock.now(session))
    if BookingState(row.state) in ENDED and fact.name in _AFTERMATH:
        # Nothing moves any more, so a person must: the alert and the timeline say what is wrong.
        log.error("money_wrong_after_the_end", booking_id=str(row.id), fact=fact.name)
        repository.add_step(session, row, fact.name, BookingState(row.state), clock.now(session))
    progress(session, reference)


def forget(session: Session, member_ids: Sequence[UUID]) -> None:
    """Erase the name on somebody's tickets; what was sold and paid stays, as the law asks. A step."""
    repository.forget_names(session, member_ids)


def _progress(session: Session, fact: Fact) -> None:
    reference = UUID(fact.payload["reference"])
    if repository.find(session, reference) is not None:
        progress(session, reference)
