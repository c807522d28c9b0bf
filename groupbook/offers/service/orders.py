"""The order at the merchant's: confirm once, change it while it stands, cancel for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit import facts, intents
from groupbook.kit.database import Database
from groupbook.kit.errors import Unavailable
from groupbook.kit.ids import MerchantId, to_wire
from groupbook.kit.money import Money
from groupbook.offers import repository
from groupbook.offers.domain import (
    AmendmentAnswer,
    AmendmentNotOffered,
    AmendmentState,
    CancelMember,
    Change,
    Order,
    OrderEvent,
    OrderFinal,
    OrderNotFound,
    OrderPending,
    OrderState,
    PlaceChange,
    ReplaceMember,
    Reprice,
    Traveler,
    UnknownTraveler,
    next_order_state,
)
from groupbook.offers.models import MerchantOrderRow
from groupbook.offers.ports import ChangeTerms, MerchantRefused
from groupbook.offers.service.adapters import AdapterOf
from groupbook.offers.service.catalog import read_timeout_seconds
from groupbook.offers.service.holds import check_travelers, hold_to_consume
from groupbook.offers.service.quotes import read_quote

CONFIRM: Final = "offers.confirm_order"
CANCEL: Final = "offers.cancel_order"
AMEND: Final = "offers.amend_order"
LOOK: Final = "offers.look_at_order"
STANDING: Final = "standing"  # in the payload of the look at an order whose tickets are here
read_every: Final = timedelta(days=1)
read_batch_max: Final = 50
_ASKED: Final = frozenset({OrderState.CONFIRMING, OrderState.PENDING, OrderState.CONFIRMED, OrderState.AMENDING})


def confirm_order(
    session: Session,
    reference: UUID,
    quote_id: UUID,
    travelers: Sequence[Traveler],
    now: datetime,
    *,
    needs_hold: bool,
) -> Order:
    """Owe the merchant the order, at the quote's total, from the live hold (or none in no-hold mode). A step.

    The answer arrives as a fact: order.confirmed (perhaps after order.pending) or order.rejected; order.canceled when
    the merchant sold at more than the quote's total and had to take it back. Asking again returns the open order.

    The quote may be another than the hold's: the party that goes is the quote's, and the merchant lets go of the places
    of those who do not.

    Args:
        needs_hold: whether the party counts on kept places; without, the merchant checks them itself.
    Raises:
        HoldNotLive: the party has no places now, and needs them. Nothing was owed.
        HoldPending: whether it has them is not known yet.
        OrderFinal: the order of this reference was canceled, or stands at another quote.
        UnknownTraveler: the travelers are not those who were priced.
    """
    order = repository.lock_current_order(session, reference)
    if order is not None:
        if OrderState(order.state) in _ASKED and order.quote_id == quote_id:
            return repository.order_of_row(order)
        raise OrderFinal(order=to_wire("ord", order.id), state=order.state)
    quote = read_quote(session, quote_id)
    check_travelers(quote, travelers)
    hold = hold_to_consume(session, reference, now, needs_hold=needs_hold)
    row = repository.add_order(
        session,
        quote,
        reference,
        next_order_state(OrderState.NONE, OrderEvent.CONFIRM_SENT),
        travelers,
        hold_id=hold.id if hold else None,
        now=now,
    )
    intents.owe(session, CONFIRM, row.id, reference=row.reference)
    return repository.order_of_row(row)


def cancel_order(session: Session, reference: UUID, now: datetime) -> Order | None:
    """Owe the merchant a tombstone on this reference's order, whatever its state; None when none was ever asked for.

    It ends as the fact order.canceled, or order.confirmed if the merchant will not take the order back. A step.
    """
    row = repository.lock_current_order(session, reference)
    if row is None:
        return None
    before = row.state
    move(row, OrderEvent.CANCEL_SENT, now)
    session.flush()
    if row.state == OrderState.CANCELING.value and before != OrderState.CANCELING.value:
        owe_cancel(session, row)
    return repository.order_of_row(row)


def price_change(
    database: Database,
    merchant_id: MerchantId,
    reference: UUID,
    change: PlaceChange,
    adapter_of: AdapterOf,
) -> ChangeTerms:
    """What the order that stands would cost after a change, as the merchant says now. Nothing is changed. A use case.

    Raises:
        OrderNotFound, OrderPending, OrderFinal, UnknownTraveler: as for `amend_order`.
        AmendmentNotOffered: the merchant would refuse it; `reason` says why.
        Unavailable: it did not answer.
    """
    with database.begin(merchant_id) as session:
        order = _standing(session, reference)
        _check_change(session, order, change)
        adapter, our_ref, currency = adapter_of(session), to_wire("ord", order.id), order.currency
    try:
        terms = adapter.price_change(our_ref, change, timeout_seconds=read_timeout_seconds)
    except MerchantRefused as refusal:
        raise AmendmentNotOffered(reason=refusal.reason) from refusal
    if terms.total.currency != currency or terms.total.minor < 0:
        raise Unavailable(what="the merchant priced a change in another currency, or below nothing")
    return terms


def amend_order(
    session: Session,
    reference: UUID,
    amendment_id: UUID,
    change: Change,
    now: datetime,
    *,
    total_max: Money | None = None,
) -> AmendmentAnswer:
    """Owe the merchant one change of the order that stands. A step.

    The answer arrives as a fact: order.amended or order.amend_refused, with `amendment`. The order never costs more
    afterwards than `total_max` (without it: than now), or than `Reprice.total`. Asking again under the same id returns
    the first answer.

    Raises:
        OrderNotFound: nothing was ever ordered.
        OrderPending: the order, or another change of it, waits for the merchant's answer.
        OrderFinal: it was canceled, or a person has to look at it.
        UnknownTraveler: the member does not travel on this order, or the one who comes in their place does already.
        AmendmentNotOffered: this merchant takes no single member back, or nobody would be left.
    """
    known = repository.find_amendment(session, amendment_id)
    if known is not None:
        return repository.amendment_of_row(known)
    order = _standing(session, reference)
    _check_change(session, order, change)
    if isinstance(change, Reprice):
        total_max = change.total
    elif total_max is None:
        total_max = Money(order.amount, order.currency)
    move(order, OrderEvent.AMEND_SENT, now)
    row = repository.add_amendment(session, amendment_id, order, change, total_max, now)
    intents.owe(session, AMEND, row.id, once=row.id.hex, reference=row.reference)
    return repository.amendment_of_row(row)


def _standing(session: Session, reference: UUID) -> MerchantOrderRow:
    """The confirmed order, locked. Raises OrderNotFound, OrderPending, OrderFinal."""
    order = repository.lock_current_order(session, reference)
    if order is None:
        raise OrderNotFound()
    if OrderState(order.state) in _ASKED - {OrderState.CONFIRMED}:
        raise OrderPending(order=to_wire("ord", order.id), state=order.state)
    if order.state != OrderState.CONFIRMED.value:
        raise OrderFinal(order=to_wire("ord", order.id), state=order.state)
    return order


def read_standing_orders(session: Session, now: datetime) -> int:
    """Owe a look at orders that stand, with a departure ahead: each once a day, so many at a time. For the sweep.

    A cancellation of ours that was given up may land late, and a merchant may cancel by itself; either is told as
    order.discrepant. One that is not there at all is order.absent, and order.found once it is.
    """
    rows = repository.lock_standing_orders(session, now=now, read_before=now - read_every, limit=read_batch_max)
    for row in rows:
        row.read_at = now
        intents.owe(session, LOOK, row.id, {STANDING: True}, reference=row.reference)
    session.flush()
    return len(rows)


def amendment_of(session: Session, amendment_id: UUID) -> AmendmentAnswer | None:
    """What became of a change; None when it was never asked for. A step."""
    row = repository.find_amendment(session, amendment_id)
    return repository.amendment_of_row(row) if row else None


def read_order(session: Session, order_id: UUID) -> Order:
    """A step.

    Raises:
        OrderNotFound
    """
    row = repository.lock_order(session, order_id)
    if row is None:
        raise OrderNotFound()
    return repository.order_of_row(row)


def order_of(session: Session, reference: UUID, *, lock: bool = False) -> Order | None:
    """The latest order of this reference; with `lock`, nobody else changes it until the transaction ends. A step."""
    row = (repository.lock_latest_order if lock else repository.latest_order)(session, reference)
    return repository.order_of_row(row) if row else None


# --- what the handlers share ------------------------------------------------------------------------------------------


def owe_cancel(session: Session, row: MerchantOrderRow) -> None:
    # One intent for each time we ask: after a refusal an operator may ask again.
    intents.owe(session, CANCEL, row.id, once=f"{row.id.hex}:{row.version}", reference=row.reference)


def move(row: MerchantOrderRow, event: OrderEvent, now: datetime) -> None:
    row.state = next_order_state(OrderState(row.state), event).value
    row.updated_at = now


def tell(session: Session, row: MerchantOrderRow, name: str, **more: Any) -> None:
    payload = {"reference": row.reference.hex, "order": row.id.hex, **more}
    facts.record(session, name, subject=row.id, payload=payload)


def _check_change(session: Session, order: MerchantOrderRow, change: Change) -> None:
    if isinstance(change, Reprice):
        if change.total.currency != order.currency or change.total.minor < 0:
            raise AmendmentNotOffered(reason="currency_or_sign")
        return
    travelers = {traveler.member_id for traveler in repository.load_travelers(order.travelers)}
    if change.member_id not in travelers:
        raise UnknownTraveler(missing=[str(change.member_id)])
    if isinstance(change, ReplaceMember) and change.by.member_id in travelers:
        raise UnknownTraveler(extra=[str(change.by.member_id)])
    if isinstance(change, CancelMember):
        if not merchants.read_merchant(session).capabilities.partial_cancel:
            raise AmendmentNotOffered(reason="partial_cancel")
        if len(travelers) == 1:
            raise AmendmentNotOffered(reason="last_traveler")


def amended_travelers(travelers: Sequence[Traveler], change: Change) -> tuple[Traveler, ...]:
    """Who travels after the change, in the order's own order."""
    if isinstance(change, Reprice):
        return tuple(travelers)
    if isinstance(change, CancelMember):
        return tuple(one for one in travelers if one.member_id != change.member_id)
    return tuple(change.by if one.member_id == change.member_id else one for one in travelers)


def close_amendment(row: Any, state: AmendmentState, now: datetime) -> None:
    row.state = state.value
    row.updated_at = now
