"""What bookings do when the rooms below have news: always the same thing, `progress`.

The `reference` of a hold, an order or a portion is a booking's id; a reference that is no booking is not ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook import merchants, offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import ENDED, BookingState
from groupbook.bookings.models import BookingRow
from groupbook.bookings.service.party import parts_of
from groupbook.bookings.service.progress import progress
from groupbook.bookings.service.telling import park
from groupbook.kit import clock
from groupbook.kit.database import together
from groupbook.kit.facts import Fact, Together
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
    "portion.saved",
    "portion.dropped",
    "portion.asked_again",
    "portion.refund_failed",  # their page must not go on saying that the money is on its way
}


def on_hold(session: Session, fact: Fact) -> None:
    """hold.placed, hold.refused, hold.expired, hold.released."""
    _progress(session, fact)


def on_order(session: Session, fact: Fact) -> None:
    """order.confirmed, order.rejected, order.canceled, order.discrepant.

    Where the merchant contradicts itself nothing more is taken (P1), whether or not the booking is parked already.
    """
    if fact.name == "order.discrepant":
        row = repository.find_locked(session, UUID(fact.payload["reference"]))
        if row is not None:
            payments.stop_taking(session, row.id, now=clock.now(session))
    _progress(session, fact)


def _on_portions(session: Session, news: Sequence[Fact]) -> None:
    """Any news of portions: show it to the group, then see whether the booking moves; once for all of a booking."""
    for reference in dict.fromkeys(UUID(fact.payload["reference"]) for fact in news):
        row = repository.find_locked(session, reference)
        if row is not None:
            _note(session, row, [fact for fact in news if fact.payload["reference"] == reference.hex])
            progress(session, reference)


on_portion: Final = Together(_on_portions)


def _note(session: Session, row: BookingRow, news: Sequence[Fact]) -> None:
    now = clock.now(session)
    shown = [fact for fact in news if fact.name in _SHOWN]
    if shown:
        travelers = payments.travelers_of(session, [PortionId(fact.subject) for fact in shown])
        givers = {gift.id: gift.by_member_id for gift in parts_of(session, row).gifts}
        whose = {id: givers.get(traveler, traveler) for id, traveler in travelers.items()}
        members = [f"mem_{whose[PortionId(fact.subject)].hex}" for fact in shown]
        told = [
            (fact.name, {"booking_id": f"bkg_{row.id.hex}", "member_id": member})
            for fact, member in zip(shown, members, strict=True)
        ]
        trips.append_events(session, TripId(row.trip_id), told, now=now)
    for fact in news:
        if BookingState(row.state) in ENDED and fact.name in _AFTERMATH:
            # Nothing moves any more, so a person must: the alert and the timeline say what is wrong.
            log.error("money_wrong_after_the_end", booking_id=str(row.id), fact=fact.name)
            repository.add_step(session, row, fact.name, BookingState(row.state), now)


def lock_first(session: Session, reference: UUID) -> None:
    """The first lock of the order, for whoever is about to record news of this reference. A step."""
    repository.find_locked(session, reference)


def foresee(session: Session, reference: UUID) -> None:
    """The next locks of the order, and what looking at a booking reads every time, in one go. A step."""
    with together(session) as ask:
        ask(offers.hold_of, session, reference, lock=True)
        ask(offers.order_of, session, reference, lock=True)
        ask(merchants.read_merchant, session)


def on_reconciliation(session: Session, fact: Fact) -> None:
    """The provider's books and ours differ about this booking's money: nothing more moves until a person has looked.

    Where nobody has or lacks money by it (an authorization that is gone), the reading it owes puts it right by itself.
    """
    reference = fact.payload.get("reference") if fact.payload.get("is_money") else None
    row = repository.find(session, UUID(reference)) if reference else None
    if row is None:
        return
    row = repository.lock(session, row.id)
    if BookingState(row.state) not in (*ENDED, BookingState.PARKED):
        park(session, row, fact.name, clock.now(session))


def forget(session: Session, member_ids: Sequence[UUID]) -> None:
    """Erase the name on somebody's tickets; what was sold and paid stays, as the law asks. A step."""
    repository.forget_names(session, member_ids)


def _progress(session: Session, fact: Fact) -> None:
    reference = UUID(fact.payload["reference"])
    if repository.find(session, reference) is not None:
        progress(session, reference)
