"""What each effect of the machine means: intents and rows of the rooms below, in the transaction of the step.

Every effect may be asked for again and then changes nothing: a parked booking that is resumed asks once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook import discounts, offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import BookingState, Policy
from groupbook.bookings.machine import Effect
from groupbook.bookings.models import BookingRow
from groupbook.bookings.service import amending, party
from groupbook.discounts.domain import CodeNotUsable, DiscountError
from groupbook.kit.database import together
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import BookingId, TripId
from groupbook.kit.money import Money
from groupbook.offers.domain import HoldNotLive, HoldPending, OfferNotBookable
from groupbook.payments.domain import PortionTooSmall

log = structlog.get_logger(__name__)
# Today's price cannot be made or asked for. Raised before the portions are touched.
NOT_PRICEABLE: Final = (OfferNotBookable, PortionTooSmall, CodeNotUsable, DiscountError)


def make_effects(session: Session, row: BookingRow, effects: Iterable[Effect], now: datetime) -> None:
    for effect in effects:
        _EFFECTS[effect](session, row, now)


def _ask_portions(session: Session, row: BookingRow, now: datetime) -> None:
    """Everybody owes their own price; the deadline starts now, and ends before the merchant's patience."""
    policy = Policy(**row.policy)
    quote = offers.read_quote(session, row.quote_id)
    hold = offers.hold_of(session, row.id)
    row.opened_at = now
    row.authorize_at = policy.authorize_at(now)
    row.deadline_at = policy.deadline(now, hold.expires_at if hold else None)
    payments.open_portions(
        session,
        row.id,
        whole=Money(row.total, row.currency),
        drafts=party.drafts(row, quote),
        now=now,
        authorizes_at=row.authorize_at,
        keeps_card=policy.keeps_cards,
    )
    session.flush()


def _authorize_saved(session: Session, row: BookingRow, now: datetime) -> None:
    """From now on everybody authorizes, also who comes to their page later."""
    payments.authorize_saved(session, row.id, now=now)
    row.authorize_at = now if row.authorize_at is None else min(row.authorize_at, now)


def _place_hold(session: Session, row: BookingRow, now: datetime) -> None:
    try:
        row.hold_id = offers.hold_again(session, row.id, now).id
    except OfferNotBookable:
        row.cancel_asked_at, row.reason = now, "hold_lost"


def _look(session: Session, row: BookingRow, now: datetime) -> None:
    """Read the provider for everybody, and in no-hold mode the merchant: is the price what it was, are there places?"""
    payments.observe_all(session, row.id)
    if row.hold_id is None:
        quote = offers.read_quote(session, row.quote_id)
        offers.recheck(session, row.id, row.quote_id, party.travelers_of(session, row, quote), now)


def _shrink(session: Session, row: BookingRow, now: datetime) -> None:
    """Those who are in go; the others are let go, and nobody pays more than they agreed to for that."""
    row.shrunk_at = now
    settled = party.settled_in(session, row, now).intersection(party.members_in(session, row))
    if row.has_parts:
        party.end_unsettled(session, row, now)
    try:
        party.reallocate(session, row, settled, now)
    except NOT_PRICEABLE as error:  # nothing of the party was changed: it stays as it is, and is short
        log.warning("party_not_priceable", booking_id=str(row.id), error=error.code)


def _reprice(session: Session, row: BookingRow, now: datetime) -> None:
    """The merchant asks for more at the tip: whoever agreed to less is asked again.

    Where our rules do not follow the merchant's price, asking again would go on for ever: the group is released.
    """
    if row.deadline_at is not None and now >= row.deadline_at:
        _extend_deadline(session, row, now)
    agreed = row.total
    try:
        party.reallocate(session, row, party.members_in(session, row), now)
    except NOT_PRICEABLE as error:
        log.warning("party_not_priceable", booking_id=str(row.id), error=error.code)
    if row.total <= agreed:
        row.cancel_asked_at, row.reason = now, "price_changed"


def _extend_deadline(_session: Session, row: BookingRow, now: datetime) -> None:
    """Once: the places may be kept for less long, and then the booking ends by that."""
    row.extended_at = now
    row.deadline_at = Policy(**row.policy).extended(now)


def _confirm(session: Session, row: BookingRow, now: datetime) -> None:
    """Where the places are gone since the last look there is no order to ask for, which counts as a no."""
    with together(session) as ask:
        quote = ask(offers.read_quote, session, row.quote_id)
        members = ask(trips.members, session, TripId(row.trip_id))
    travelers = party.travelers(quote(), members())
    try:
        order = offers.confirm_order(session, row.id, row.quote_id, travelers, now, needs_hold=row.hold_id is not None)
    except (HoldNotLive, HoldPending):
        row.reason = "hold_lost"
        return
    row.order_id = order.id
    session.flush()


def _capture(session: Session, row: BookingRow, now: datetime) -> None:
    """Everybody's portion, at the price the merchant confirmed: never more than agreed, less if it fell."""
    order = offers.order_of(session, row.id)
    if order is None:
        raise InvariantBroken(what="captured without an order", booking=str(row.id))
    payments.capture_all(session, row.id, now=now, whole=order.total)
    row.total = order.total.minor


def _recover(session: Session, row: BookingRow, now: datetime) -> None:
    payments.recover_all(session, row.id, now=now)


def _stop_taking(session: Session, row: BookingRow, now: datetime) -> None:
    payments.stop_taking(session, row.id, now=now)


def _cover(session: Session, row: BookingRow, now: datetime) -> None:
    payments.cover_shortfall(session, row.id, now=now)


def _void(session: Session, row: BookingRow, now: datetime) -> None:
    payments.void_all(session, row.id, now=now)


def _release_hold(session: Session, row: BookingRow, now: datetime) -> None:
    offers.release_hold(session, row.id, now)


def _cancel_order(session: Session, row: BookingRow, now: datetime) -> None:
    offers.cancel_order(session, row.id, now)


def _unwind(session: Session, row: BookingRow, now: datetime) -> None:
    repository.cancel_tickets(session, row.id, now)
    payments.unwind_all(session, row.id, reason="booking_canceled", now=now)


def _issue_tickets(session: Session, row: BookingRow, now: datetime) -> None:
    order = offers.order_of(session, row.id)
    if order is None:
        raise InvariantBroken(what="booked without an order", booking=str(row.id))
    with together(session) as ask:
        ask(trips.trip_of, session, TripId(row.trip_id), lock=True)
        members = ask(trips.members, session, TripId(row.trip_id))
        known = ask(repository.ticket_rows, session, row.id)
    names: dict[UUID, str] = {member.id: member.name for member in members()}
    repository.keep_tickets(session, row.id, known(), order.tickets, order.seats, names, now)
    trips.mark_booked(session, TripId(row.trip_id), by=BookingId(row.id), now=now)


def _redeem_codes(session: Session, row: BookingRow, now: datetime) -> None:
    discounts.redeem_codes(session, row.id, now=now)


def _release_codes(session: Session, row: BookingRow, now: datetime) -> None:
    """They count from the opening on, so whoever waits for one gets it once the booking has really come to nothing."""
    discounts.release_codes(session, row.id, now=now)


def _thaw(session: Session, row: BookingRow, now: datetime) -> None:
    """The trip is the group's again: decided, not booked; or over, when one that stood was canceled."""
    if row.state == BookingState.REFUNDED.value and repository.ticket_rows(session, row.id):
        trips.mark_canceled(session, TripId(row.trip_id), by=BookingId(row.id), now=now)
    else:
        trips.mark_booking_failed(session, TripId(row.trip_id), by=BookingId(row.id), now=now)


_EFFECTS: Final = MappingProxyType[Effect, Callable[[Session, BookingRow, datetime], None]](
    {
        Effect.ASK_PORTIONS: _ask_portions,
        Effect.AUTHORIZE_SAVED: _authorize_saved,
        Effect.PLACE_HOLD: _place_hold,
        Effect.LOOK: _look,
        Effect.SHRINK: _shrink,
        Effect.REPRICE: _reprice,
        Effect.EXTEND_DEADLINE: _extend_deadline,
        Effect.CONFIRM: _confirm,
        Effect.CAPTURE: _capture,
        Effect.RECOVER: _recover,
        Effect.STOP_TAKING: _stop_taking,
        Effect.COVER: _cover,
        Effect.VOID: _void,
        Effect.RELEASE_HOLD: _release_hold,
        Effect.CANCEL_ORDER: _cancel_order,
        Effect.UNWIND: _unwind,
        Effect.ISSUE_TICKETS: _issue_tickets,
        Effect.REDEEM_CODES: _redeem_codes,
        Effect.RELEASE_CODES: _release_codes,
        Effect.START_AMENDMENT: amending.start,
        Effect.AMEND_ORDER: amending.ask_merchant,
        Effect.SETTLE_AMENDMENT: amending.settle,
        Effect.DROP_AMENDMENT: amending.drop,
        Effect.FINISH_AMENDMENT: amending.finish,
        Effect.CLOSE_AMENDMENT: amending.close,
        Effect.THAW: _thaw,
    }
)
