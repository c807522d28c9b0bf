"""One change of a booked party: who comes in pays first, then the merchant changes the order, then money follows.

    asked ─► collecting ─► ordering ─► settling ─► done        cancel has nothing to collect and starts at ordering
                  └──────────┴──► dropping ─► refused          nothing changed

Nobody else's ticket, seat or charge moves (payments.md 2.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook import offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    AMENDMENT_OVER,
    AmendmentAccepted,
    AmendmentOpen,
    AmendmentStage,
    BookingClosed,
    BookingState,
    NotTraveling,
    Policy,
)
from groupbook.bookings.lines import kept_for, shares_back
from groupbook.bookings.models import AmendmentRow, BookingRow
from groupbook.bookings.service import party
from groupbook.bookings.service.offering import tell_one
from groupbook.kit.database import merchant_of
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import AmendmentId, MemberId, PortionId, TripId, new_id
from groupbook.kit.money import Money
from groupbook.offers.domain import CancelMember, Change, PlaceChange, ReplaceMember, Reprice, Traveler
from groupbook.payments.domain import PortionDraft, PortionNotPayable, PortionState, least_payable, payable_step
from groupbook.trips.domain import JoinedVia, Role

log = structlog.get_logger(__name__)
Kind = Literal["cancel", "replace", "surcharge"]


def ask(
    session: Session,
    row: BookingRow,
    kind: Kind,
    member_id: UUID,
    now: datetime,
    *,
    by: UUID | None = None,
    surcharge: Money | None = None,
    total_max: Money | None = None,
) -> AmendmentId:
    """Write down a change of a locked, booked booking. A step; `progress` starts it.

    Args:
        by: who travels instead (`replace` only).
        surcharge: what this member would pay on top (`surcharge` only); they decide by paying or not.
        total_max: the most the order may cost afterwards, as whoever asks was told; None: what it costs now.
    Raises:
        BookingClosed, AmendmentOpen, NotTraveling: as for `check_possible`.
    """
    check_possible(session, row, member_id, by)
    worth = surcharge if surcharge is not None else worth_of(row, paid_for(session, row, member_id))
    less = Money(row.total, row.currency) - total_max if total_max is not None else None
    change = AmendmentRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        booking_id=row.id,
        kind=kind,
        member_id=member_id,
        by_member_id=by,
        amount=(price_of_place(worth, less) if kind == "replace" else worth).minor,
        total_max=total_max.minor if total_max is not None else None,
        returned=None,
        stage=AmendmentStage.ASKED.value,
        reason=None,
        portion_id=None,
        asked_at=now,
        pay_by=None,
        finished_at=None,
    )
    session.add(change)
    session.flush()
    return AmendmentId(change.id)


def check_possible(session: Session, row: BookingRow, member_id: UUID, by: UUID | None) -> None:
    """A step.

    Raises:
        AmendmentOpen: another change is under way.
        BookingClosed: it is not booked, or it is to be taken back as a whole.
        NotTraveling: the member is not in the party, or `by` is already.
    """
    if row.state == BookingState.AMENDING.value or repository.open_amendment(session, row.id) is not None:
        raise AmendmentOpen()
    if row.state != BookingState.BOOKED.value or row.cancel_asked_at is not None:
        raise BookingClosed(state=row.state)
    traveling = traveling_in(session, row)
    if member_id not in traveling or by in traveling:
        raise NotTraveling()


def kind_of(change: AmendmentRow) -> Kind:
    kinds: dict[str, Kind] = {"cancel": "cancel", "replace": "replace", "surcharge": "surcharge"}
    return kinds[change.kind]


def traveling_in(session: Session, row: BookingRow) -> set[UUID]:
    """Who has a ticket now. A step."""
    return {ticket.member_id for ticket in repository.tickets(session, row.id)}


def may_come_in(session: Session, row: BookingRow) -> dict[MemberId, Role]:
    """Who of the trip may be given a place: members, and who watches because they waited for one. A step.

    A sponsor from outside was asked to give, not to come.
    """
    return {
        one.id: one.role
        for one in trips.members(session, TripId(row.trip_id))
        if one.role is not Role.VIEWER or one.joined_via is not JoinedVia.SPONSOR
    }


def asked_before(session: Session, row: BookingRow, kind: Kind, member_id: UUID, by: UUID | None) -> AmendmentId | None:
    """The same change, under way or made already: asking twice is asking once. A step."""
    mine = [one for one in repository.amendments_of(session, row.id) if one.member_id == member_id]
    if not mine or (mine[-1].kind, mine[-1].by_member_id) != (kind, by):
        return None
    is_made = mine[-1].stage == AmendmentStage.DONE.value and member_id not in traveling_in(session, row)
    return AmendmentId(mine[-1].id) if is_made or AmendmentStage(mine[-1].stage) not in AMENDMENT_OVER else None


def start(session: Session, row: BookingRow, now: datetime) -> None:
    """Ask who comes in for their money; a plain cancellation goes to the merchant at once."""
    change = _change(session, row)
    if change.kind == "cancel":
        ask_merchant(session, row, now)
        return
    payer = change.by_member_id or change.member_id
    draft = PortionDraft(traveler=payer, payer=payer, amount=Money(change.amount, row.currency))
    change.portion_id = payments.add_portion(session, row.id, draft, now=now)
    change.pay_by = now + timedelta(seconds=Policy(**row.policy).amendment_window_seconds)
    departs_at = offers.read_offer(session, row.offer_id).departs_at
    if change.kind == "replace" and now < departs_at:
        change.pay_by = min(change.pay_by, departs_at)  # a place on a train that has left is nobody's to pay for
    change.stage = AmendmentStage.COLLECTING.value
    if change.by_member_id is not None:
        tell_one(session, row, "place.asked", change.by_member_id)


def ask_merchant(session: Session, row: BookingRow, now: datetime) -> None:
    change = _change(session, row)
    change.stage = AmendmentStage.ORDERING.value
    total_max = Money(change.total_max, row.currency) if change.total_max is not None else None
    offers.amend_order(session, row.id, AmendmentId(change.id), _wanted(session, row, change), now, total_max=total_max)


def settle(session: Session, row: BookingRow, now: datetime) -> None:
    """The merchant changed the order: whoever came in is charged."""
    change = _change(session, row)
    change.stage = AmendmentStage.SETTLING.value
    if change.portion_id is not None:
        payments.capture_portion(session, PortionId(change.portion_id), now=now)


def finish(session: Session, row: BookingRow, now: datetime) -> None:
    """Money back to whoever left, tickets as the merchant issued them now."""
    change = _change(session, row)
    order = offers.order_of(session, row.id)
    if order is None:
        raise InvariantBroken(what="amended without an order", booking=str(row.id))
    if change.kind != "surcharge":
        worth = worth_of(row, paid_for(session, row, change.member_id))
        came_in = Money(change.amount, row.currency) if change.kind == "replace" else None
        back = money_back(Money(row.total, row.currency), order.total, worth, came_in)
        _give_back(session, row, change, back, order.total, now)
    row.total = order.total.minor
    names: dict[UUID, str] = {member.id: member.name for member in trips.members(session, TripId(row.trip_id))}
    known = repository.ticket_rows(session, row.id)
    repository.keep_tickets(session, row.id, known, order.tickets, order.seats, names, now)
    if change.by_member_id is not None:
        trips.seat_traveler(session, TripId(row.trip_id), MemberId(change.by_member_id), now=now)
        tell_one(session, row, "place.handed_on", change.by_member_id)
    _end(change, AmendmentStage.DONE, now)


def drop(session: Session, row: BookingRow, now: datetime) -> None:
    """It comes to nothing: what was authorized for it is given back."""
    change = _change(session, row)
    answer = offers.amendment_of(session, AmendmentId(change.id))
    change.reason = change.reason or (answer.reason if answer is not None else None) or "unpaid"
    change.stage = AmendmentStage.DROPPING.value
    if change.portion_id is not None:
        payments.void_portion(session, PortionId(change.portion_id), now=now)
    if change.by_member_id is not None:
        tell_one(session, row, "place.called_off", change.by_member_id)
        if change.reason != "withdrawn":
            tell_one(session, row, "place.kept", change.member_id)


def withdraw(session: Session, change: AmendmentRow, reason: Literal["withdrawn", "unwanted"], now: datetime) -> None:
    """Nobody may pay for it any more; `progress` then drops it. A step. Twice is once.

    Args:
        reason: whoever offered it took it back, or whom it was offered to said no.
    Raises:
        AmendmentAccepted: who comes in has paid, the merchant was asked already, or it is over.
    """
    if change.reason in ("withdrawn", "unwanted"):
        return
    if change.stage != AmendmentStage.COLLECTING.value or change.portion_id is None:
        raise AmendmentAccepted(stage=change.stage)
    try:
        payments.void_unpaid(session, PortionId(change.portion_id), now=now)
    except PortionNotPayable:
        raise AmendmentAccepted(stage=change.stage) from None
    change.reason, change.pay_by = reason, now


def close(session: Session, row: BookingRow, now: datetime) -> None:
    _end(_change(session, row), AmendmentStage.REFUSED, now)


def _end(change: AmendmentRow, stage: AmendmentStage, now: datetime) -> None:
    change.stage, change.finished_at = stage.value, now


def _change(session: Session, row: BookingRow) -> AmendmentRow:
    change = repository.open_amendment(session, row.id)
    if change is None:
        raise InvariantBroken(what="amending without an amendment", booking=str(row.id))
    return change


def _wanted(session: Session, row: BookingRow, change: AmendmentRow) -> Change:
    """The change in the words of the merchant's side."""
    if change.kind == "surcharge":
        return Reprice(Money(row.total + change.amount, row.currency))
    if (change.by_member_id is None) is (change.kind == "replace"):
        raise InvariantBroken(what="replaced by nobody", amendment=str(change.id))
    return wanted_place(session, row, change.member_id, change.by_member_id)


def wanted_place(session: Session, row: BookingRow, member_id: UUID, by: UUID | None) -> PlaceChange:
    """A place given back, or handed over to `by`, in the words of the merchant's side. A step."""
    if by is None:
        return CancelMember(member_id)
    names = {member.id: member.name for member in trips.members(session, TripId(row.trip_id))}
    return ReplaceMember(member_id, Traveler(member_id=by, name=names.get(MemberId(by), "")))


def money_back(now: Money, then: Money, worth: Money, came_in: Money | None) -> Money:
    """What the merchant gives back when an order that costs `now` costs `then`. Pure.

    Of a place handed over: what who came in pays for it; less where some was given back meanwhile, and less what the
    merchant asks for the other name.
    """
    return now - then if came_in is None else min(worth, came_in) + now - then


def paid_for(session: Session, row: BookingRow, member_id: UUID) -> dict[PortionId, int]:
    """What is kept for this traveler's place, by portion: their own, and whatever others pay of their price."""
    changes = repository.amendments_of(session, row.id)
    opened = {
        change.portion_id: change.id for change in changes
    }  # who came in: only what was changed since concerns it
    done = [one for one in changes if one.stage == AmendmentStage.DONE.value and one.kind != "surcharge"]
    found = {}
    for portion in party.portions_in(session, row):
        since = opened.get(portion.id)
        gone = {one.member_id for one in done if since is None or one.id > since}
        found[portion.id] = kept_for(portion, member_id, gone)
    return found


def worth_of(row: BookingRow, paid: Mapping[PortionId, int]) -> Money:
    """What a place stands for: what is kept for it, or what the merchant waits for in its stead."""
    return Money(sum(paid.values()), row.currency)


def price_of_place(worth: Money, less: Money | None = None) -> Money:
    """What who comes in pays for a place: what it is worth, as far as a card may be asked for it.

    `less`: by how much the order costs less with them; they pay that much less, and nobody else notices.
    """
    for minor in (worth.minor - max(0, less.minor if less is not None else 0), worth.minor):
        payable = minor - minor % payable_step(worth.currency)
        if payable >= least_payable(worth.currency).minor:
            return Money(payable, worth.currency)
    return Money.zero(worth.currency)


def _give_back(
    session: Session, row: BookingRow, change: AmendmentRow, back: Money, then: Money, now: datetime
) -> None:
    """Give `back`, as `shares_back` divides it. Where the merchant is owed a portion, it is owed that much less of it.

    The merchant has changed the order already. What cannot be given back (a dispute is about it) is a person's to
    settle, and holds nothing up.
    """
    portions = party.portions_in(session, row)
    shares, left = shares_back(portions, paid_for(session, row, change.member_id), back, then)
    returned: dict[str, int] = {}
    for portion in portions:
        share = Money(shares[portion.id], row.currency)
        if portion.is_disputed:
            left += share.minor
        elif share and portion.state is PortionState.COVERED:
            payments.lessen_cover(session, portion.id, share, now=now)
        elif share:
            payments.refund_portion(session, portion.id, share, reason="member_canceled")
            returned[portion.id.hex] = share.minor
    change.returned = returned
    if left != 0:
        log.error("refund_incomplete", booking_id=str(row.id), left=left, currency=row.currency)
        repository.add_step(session, row, "refund_incomplete", BookingState(row.state), now)
