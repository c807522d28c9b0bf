"""The order at the merchant's: confirm once, cancel for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit import clock, facts, intents
from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken, Refused
from groupbook.kit.ids import to_wire
from groupbook.kit.intents import Intent
from groupbook.offers import repository
from groupbook.offers.domain import (
    HoldNotLive,
    HoldPending,
    HoldState,
    Order,
    OrderEvent,
    OrderFinal,
    OrderNotFound,
    OrderState,
    Traveler,
    next_order_state,
)
from groupbook.offers.models import HoldRow, MerchantOrderRow
from groupbook.offers.ports import ConfirmedOrder, MerchantRefused, OrderRequest
from groupbook.offers.service.adapters import AdapterOf
from groupbook.offers.service.catalog import read_offer
from groupbook.offers.service.holds import check_travelers, consume_hold, note_refusal, priced, refusal_payload
from groupbook.offers.service.quotes import read_quote

CONFIRM = "offers.confirm_order"
CANCEL = "offers.cancel_order"


def confirm_order(
    session: Session, reference: UUID, quote_id: UUID, travelers: Sequence[Traveler], now: datetime
) -> Order:
    """Owe the merchant the order, at the quote's total, from the live hold (or none in no-hold mode). A step.

    The answer arrives as a fact: order.confirmed or order.rejected. Asking again returns the open order.

    Raises:
        HoldNotLive: this merchant keeps places and the party has none now. Nothing was owed.
        HoldPending: whether it has them is not known yet.
        OrderFinal: the order of this reference was canceled, or stands at another quote.
        UnknownTraveler: the travelers are not those who were priced.
    """
    order = repository.lock_current_order(session, reference)
    if order is not None:
        if order.state in (OrderState.CONFIRMING.value, OrderState.CONFIRMED.value) and order.quote_id == quote_id:
            return repository.order_of_row(order)
        raise OrderFinal(order=to_wire("ord", order.id), state=order.state)
    quote = read_quote(session, quote_id)
    check_travelers(quote, travelers)
    hold = _hold_to_consume(session, reference, quote_id)
    row = repository.add_order(
        session,
        quote,
        reference,
        next_order_state(OrderState.NONE, OrderEvent.CONFIRM_SENT),
        travelers,
        hold_id=hold.id if hold else None,
        now=now,
    )
    intents.owe(session, CONFIRM, row.id, once=row.id.hex)
    return repository.order_of_row(row)


def cancel_order(session: Session, reference: UUID, now: datetime) -> Order | None:
    """Owe the merchant a tombstone on this reference's order, whatever its state; None when none was ever asked for.

    It ends as the fact order.canceled, or order.confirmed if the merchant will not take the order back. A step.
    """
    row = repository.lock_current_order(session, reference)
    if row is None:
        return None
    before = row.state
    _move(row, OrderEvent.CANCEL_SENT, now)
    session.flush()
    if row.state == OrderState.CANCELING.value and before != OrderState.CANCELING.value:
        # One intent for each time we ask: after a refusal an operator may ask again.
        intents.owe(session, CANCEL, row.id, once=f"{row.id.hex}:{row.version}")
    return repository.order_of_row(row)


def read_order(session: Session, order_id: UUID) -> Order:
    """A step.

    Raises:
        OrderNotFound
    """
    row = repository.lock_order(session, order_id)
    if row is None:
        raise OrderNotFound()
    return repository.order_of_row(row)


def order_of(session: Session, reference: UUID) -> Order | None:
    """The latest order of this reference. A step."""
    row = repository.latest_order(session, reference)
    return repository.order_of_row(row) if row else None


def _hold_to_consume(session: Session, reference: UUID, quote_id: UUID) -> HoldRow | None:
    if not merchants.read_merchant(session).capabilities.holds:
        return None
    for row in repository.lock_open_holds(session, reference):
        if row.quote_id == quote_id and row.state == HoldState.LIVE.value:
            return row
        if row.quote_id == quote_id and row.state == HoldState.PLACING.value:
            raise HoldPending(hold=to_wire("hld", row.id))
    raise HoldNotLive()


class ConfirmOrder:
    """The intent behind `confirm_order`."""

    def __init__(self, database: Database, adapter_of: AdapterOf, timeout_seconds: float) -> None:
        self._database = database
        self._adapter_of = adapter_of
        self._timeout_seconds = timeout_seconds

    def call(self, intent: Intent) -> ConfirmedOrder:
        with self._database.begin(intent.merchant_id) as session:
            row = _locked(session, intent.subject)
            is_confirmed = row.state == OrderState.CONFIRMED.value
            if row.state != OrderState.CONFIRMING.value and not is_confirmed:
                # A tombstone is asked for or stands. Our own zombie stops here; the merchant's stop is the second one.
                raise MerchantRefused("canceled")
            quote = read_quote(session, row.quote_id)
            offer = read_offer(session, quote.offer_id)
            adapter = self._adapter_of(session)
            request = OrderRequest(
                our_ref=to_wire("ord", row.id),
                hold_ref=to_wire("hld", row.hold_id) if row.hold_id else None,
                offer_ref=offer.ref,
                total=quote.total,
                travelers=priced(quote, repository.load_travelers(row.travelers)),
            )
        # Confirmed meanwhile (the merchant would not take it back): the same our_ref returns the first order.
        return adapter.confirm(request, key=intent.key, timeout_seconds=self._timeout_seconds)

    def observe(self, intent: Intent) -> ConfirmedOrder | None:
        with self._database.begin(intent.merchant_id) as session:
            adapter = self._adapter_of(session)
        seen = adapter.observe_order(to_wire("ord", intent.subject), timeout_seconds=self._timeout_seconds)
        if seen.state == "canceled":
            raise MerchantRefused("canceled")
        return seen.confirmed if seen.state == "confirmed" else None

    def record(self, session: Session, intent: Intent, answer: ConfirmedOrder) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        now = clock.now(session)
        _move(row, OrderEvent.CONFIRMED, now)
        _keep(row, answer)
        session.flush()
        if row.hold_id is not None and before == OrderState.CONFIRMING.value:
            consume_hold(session, row.hold_id, answer.seats, now)
        if row.state != before and row.state == OrderState.DISCREPANT.value:
            _tell(session, row, "order.discrepant")
        elif before == OrderState.CONFIRMING.value:
            _tell(session, row, "order.confirmed")

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        if before == OrderState.CONFIRMED.value:
            return  # the order stands by another word of the merchant; this answer is older
        _move(row, OrderEvent.REJECTED, clock.now(session))
        note_refusal(row, refusal)
        session.flush()
        if before == OrderState.CONFIRMING.value:
            _tell(session, row, "order.rejected", **refusal_payload(refusal))


class CancelOrder:
    """The intent behind `cancel_order`. Safe to repeat: the tombstone is by our reference."""

    def __init__(self, database: Database, adapter_of: AdapterOf, timeout_seconds: float) -> None:
        self._database = database
        self._adapter_of = adapter_of
        self._timeout_seconds = timeout_seconds

    def call(self, intent: Intent) -> ConfirmedOrder | None:
        """None when the tombstone stands; the order itself when the merchant will not take it back."""
        with self._database.begin(intent.merchant_id) as session:
            adapter = self._adapter_of(session)
        our_ref = to_wire("ord", intent.subject)
        try:
            adapter.cancel(our_ref, key=intent.key, timeout_seconds=self._timeout_seconds)
        except MerchantRefused:
            seen = adapter.observe_order(our_ref, timeout_seconds=self._timeout_seconds)
            if seen.confirmed is None:
                raise
            return seen.confirmed
        return None

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: ConfirmedOrder | None) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        if answer is not None:
            self._keep_order(session, row, answer)
            return
        _move(row, OrderEvent.CANCELED, clock.now(session))
        session.flush()
        if before != OrderState.CANCELED.value:
            _tell(session, row, "order.canceled")

    def _keep_order(self, session: Session, row: MerchantOrderRow, answer: ConfirmedOrder) -> None:
        """The order stands, tickets and all, whatever became of the answer to our confirm."""
        now = clock.now(session)
        _move(row, OrderEvent.CANCEL_REFUSED, now)
        _keep(row, answer)
        session.flush()
        if row.state != OrderState.CONFIRMED.value:
            _tell(session, row, "order.discrepant")
            return
        if row.hold_id is not None:
            consume_hold(session, row.hold_id, answer.seats, now)
        _tell(session, row, "order.confirmed", cancel_refused="not_cancelable")

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        row = _locked(session, intent.subject)
        _move(row, OrderEvent.CANCEL_REFUSED, clock.now(session))
        note_refusal(row, refusal)
        session.flush()
        name = "order.confirmed" if row.state == OrderState.CONFIRMED.value else "order.discrepant"
        _tell(session, row, name, cancel_refused=refusal.reason)


def _locked(session: Session, order_id: UUID) -> MerchantOrderRow:
    row = repository.lock_order(session, order_id)
    if row is None:
        raise InvariantBroken(what="the intent's order is gone", order=str(order_id))
    return row


def _keep(row: MerchantOrderRow, answer: ConfirmedOrder) -> None:
    row.merchant_ref = answer.merchant_ref
    row.seats = repository.dump_seats(answer.seats)
    row.tickets = repository.dump_tickets(answer.tickets)


def _move(row: MerchantOrderRow, event: OrderEvent, now: datetime) -> None:
    row.state = next_order_state(OrderState(row.state), event).value
    row.updated_at = now


def _tell(session: Session, row: MerchantOrderRow, name: str, **more: Any) -> None:
    payload = {"reference": row.reference.hex, "order": row.id.hex, **more}
    facts.record(session, name, subject=row.id, payload=payload)
