"""The calls behind an order: confirm, change, cancel, and look again. Each is safe to repeat by our reference."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit import clock, intents
from groupbook.kit.database import Database, together
from groupbook.kit.errors import InvariantBroken, OutcomeUnknown, Refused
from groupbook.kit.ids import to_wire
from groupbook.kit.intents import Intent
from groupbook.kit.money import Money
from groupbook.offers import repository
from groupbook.offers.domain import AmendmentState, OrderEvent, OrderState, order_event
from groupbook.offers.models import MerchantAmendmentRow, MerchantOrderRow
from groupbook.offers.ports import (
    ConfirmedOrder,
    MerchantAdapter,
    MerchantRefused,
    ObservedOrder,
    OrderChange,
    OrderRequest,
    PendingOrder,
)
from groupbook.offers.service.adapters import AdapterOf, LoadedCall
from groupbook.offers.service.catalog import read_offer
from groupbook.offers.service.holds import consume_hold, note_refusal, priced, refusal_payload
from groupbook.offers.service.orders import (
    LOOK,
    STANDING,
    amended_travelers,
    close_amendment,
    move,
    owe_cancel,
    tell,
)
from groupbook.offers.service.quotes import read_quote

_BEHIND: Final = "behind"  # in the payload of a look that was asked for behind the cancellation
_WAITING: Final = frozenset({OrderState.CONFIRMING, OrderState.PENDING})
_TAKEN_BACK: Final = frozenset({OrderState.CANCELING, OrderState.CANCELED})
# A slow merchant is asked again after a tenth of the time it has had, within these bounds.
pending_seconds_min: Final = 15
pending_seconds_max: Final = 600


class _OrderCall:
    """What the calls share: the database, and the merchant's adapter."""

    def __init__(
        self, database: Database, adapter_of: AdapterOf, timeout_seconds: float, inflight_seconds: float
    ) -> None:
        self._database = database
        self._adapter_of = adapter_of
        self._timeout_seconds = timeout_seconds
        self._inflight_seconds = inflight_seconds

    def _adapter(self, intent: Intent) -> MerchantAdapter:
        with self._database.begin(intent.merchant_id) as session:
            return self._adapter_of(session)


class ConfirmOrder(_OrderCall, LoadedCall[OrderRequest]):
    """The intent behind `confirm_order`."""

    def _request(self, session: Session, intent: Intent) -> OrderRequest:
        row = _locked(session, intent.subject)
        if row.state not in (OrderState.CONFIRMING.value, OrderState.CONFIRMED.value):
            # A tombstone is asked for or stands. Our own zombie stops here; the merchant's stop is the second one.
            raise MerchantRefused("canceled")
        with together(session) as ask:
            quoted = ask(read_quote, session, row.quote_id)
            held = ask(repository.lock_hold, session, row.hold_id) if row.hold_id else None
        quote, hold = quoted(), held() if held is not None else None
        return OrderRequest(
            our_ref=to_wire("ord", row.id),
            hold_ref=to_wire("hld", hold.id) if hold else None,
            offer_ref=read_offer(session, quote.offer_id).ref,
            total=quote.total,
            travelers=priced(quote, repository.load_travelers(row.travelers)),
            hold_fee=Money(hold.fee, hold.currency) if hold and hold.fee else None,
        )

    def call(self, intent: Intent) -> ConfirmedOrder | PendingOrder:
        adapter, request = self._loaded(intent)
        # Confirmed meanwhile (the merchant would not take it back): the same our_ref returns the first order.
        return adapter.confirm(request, key=intent.key, timeout_seconds=self._timeout_seconds)

    def observe(self, intent: Intent) -> ConfirmedOrder | PendingOrder | None:
        adapter = self._adapter(intent)
        seen = adapter.observe_order(to_wire("ord", intent.subject), timeout_seconds=self._timeout_seconds)
        if seen.state == "canceled":
            raise MerchantRefused("canceled")
        if seen.state == "rejected":
            raise MerchantRefused(seen.reason)
        if seen.state == "pending":
            return PendingOrder(seen.merchant_ref)
        return seen.confirmed

    def record(self, session: Session, intent: Intent, answer: ConfirmedOrder | PendingOrder) -> None:
        row = _locked(session, intent.subject)
        if isinstance(answer, PendingOrder):
            _note_pending(session, row, answer)
        else:
            _note_confirmed(session, row, answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        row = _locked(session, intent.subject)
        if intent.attempts > 1 and row.state == OrderState.CONFIRMING.value:
            # An earlier call was never answered and may still sell: a no counts only behind a tombstone.
            note_refusal(row, refusal)
            move(row, OrderEvent.CANCEL_SENT, clock.now(session))
            session.flush()
            owe_cancel(session, row)
            return
        _note_rejected(session, row, refusal)


class CancelOrder(_OrderCall):
    """The intent behind `cancel_order`. Safe to repeat: the tombstone is by our reference."""

    def call(self, intent: Intent) -> ConfirmedOrder | None:
        """None when the tombstone stands; the order itself when the merchant will not take it back.

        A refusal where there is no order to keep says neither: nothing was sold, and nothing keeps a late confirm from
        selling. It is asked again.
        """
        adapter = self._adapter(intent)
        our_ref = to_wire("ord", intent.subject)
        try:
            adapter.cancel(our_ref, key=intent.key, timeout_seconds=self._timeout_seconds)
        except Refused as refusal:
            seen = adapter.observe_order(our_ref, timeout_seconds=self._timeout_seconds)
            if seen.confirmed is None and seen.state not in ("canceled", "rejected"):
                raise OutcomeUnknown(what="a refused cancellation of no order", reason=refusal.reason) from refusal
            return seen.confirmed
        return None

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: ConfirmedOrder | None) -> None:
        row = _locked(session, intent.subject)
        if answer is not None:
            _note_standing(session, row, answer)
        elif self._may_be_overtaken(session, row):
            # This merchant's tombstones do not hold, and our confirm was never answered: it may still be on its way.
            due_at = clock.system_now(session) + timedelta(seconds=self._inflight_seconds)
            once = f"{row.id.hex}:behind:{row.version}"
            intents.owe(session, LOOK, row.id, {_BEHIND: True}, once=once, due_at=due_at, reference=row.reference)
        else:
            _note_canceled(session, row)

    def _may_be_overtaken(self, session: Session, row: MerchantOrderRow) -> bool:
        if row.state != OrderState.CANCELING.value or row.merchant_ref is not None:
            return False
        return not merchants.read_merchant(session).capabilities.tombstones

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        raise InvariantBroken(what="a cancellation was refused", reason=refusal.reason, order=str(intent.subject))


class LookAtOrder(_OrderCall):
    """Read an order again: one that is pending or stands, or one whose cancellation a confirm may have overtaken."""

    def call(self, intent: Intent) -> ObservedOrder:
        adapter = self._adapter(intent)
        return adapter.observe_order(to_wire("ord", intent.subject), timeout_seconds=self._timeout_seconds)

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: ObservedOrder) -> None:
        row = _locked(session, intent.subject)
        state = OrderState(row.state)
        if intent.payload.get(STANDING):
            # While it is changed or taken back its own answers tell, and what was read before is old news.
            if state is OrderState.CONFIRMED and answer.state in ("canceled", "rejected"):
                _contradict(session, row)
            elif state is OrderState.CONFIRMED:
                _note_presence(session, row, is_absent=answer.state == "absent")
            return
        is_last_look = bool(intent.payload.get(_BEHIND))
        if state is OrderState.PENDING:
            self._record_pending(session, row, answer)
        elif state is OrderState.CONFIRMED and not row.tickets:
            self._record_tickets(session, row, answer)
        elif state is OrderState.CANCELED or (state is OrderState.CANCELING and is_last_look):
            if answer.state in ("confirmed", "pending"):
                if is_last_look:
                    _contradict(session, row)
                else:
                    _look_behind(session, row)
            elif state is OrderState.CANCELING:
                _note_canceled(session, row)

    def _record_tickets(self, session: Session, row: MerchantOrderRow, answer: ObservedOrder) -> None:
        """This merchant says yes first and sends the tickets later; if it says no instead, a person has to ask."""
        if answer.state in ("canceled", "rejected"):
            _contradict(session, row)
            return
        if answer.confirmed is None or not answer.confirmed.tickets:
            _look_later(session, row)
            return
        _keep_content(row, answer.confirmed)
        session.flush()
        tell(session, row, "order.confirmed", total={"amount": row.amount, "currency": row.currency})

    def _record_pending(self, session: Session, row: MerchantOrderRow, answer: ObservedOrder) -> None:
        if answer.confirmed is not None:
            _note_confirmed(session, row, answer.confirmed)
        elif answer.state in ("rejected", "canceled"):
            _note_rejected(session, row, MerchantRefused(answer.reason if answer.state == "rejected" else "canceled"))
        else:
            _look_later(session, row)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        raise InvariantBroken(what="reading an order was refused", reason=refusal.reason, order=str(intent.subject))


class AmendOrder(_OrderCall):
    """The intent behind `amend_order`. Safe to repeat: the change has a reference of its own."""

    def call(self, intent: Intent) -> ConfirmedOrder:
        with self._database.begin(intent.merchant_id) as session:
            row = _amendment(session, intent.subject)
            order = _locked(session, row.order_id)
            if order.state not in (OrderState.AMENDING.value, OrderState.CONFIRMED.value):
                raise MerchantRefused("canceled")  # the whole order is being taken back: nothing is left to change
            adapter = self._adapter_of(session)
            change = OrderChange(
                our_ref=to_wire("amd", row.id),
                change=repository.change_of_row(row),
                total_max=Money(row.amount_max, row.currency),
            )
            our_ref = to_wire("ord", order.id)
        return adapter.amend(our_ref, change, key=intent.key, timeout_seconds=self._timeout_seconds)

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: ConfirmedOrder) -> None:
        row = _amendment(session, intent.subject)
        order = _locked(session, row.order_id)
        now = clock.now(session)
        close_amendment(row, AmendmentState.AMENDED, now)
        row.amount = answer.total.minor if answer.total else row.amount_max
        if order_event(Money(row.amount_max, row.currency), answer.total) is OrderEvent.OVERCHARGED:
            row.new_amount = row.amount
            if OrderState(order.state) not in _TAKEN_BACK:  # what is canceled costs nobody anything
                _contradict(session, order)
            return
        change = repository.change_of_row(row)
        move(order, OrderEvent.AMENDED, now)
        order.amount = row.amount
        travelers = amended_travelers(repository.load_travelers(order.travelers), change)
        order.travelers = repository.dump_travelers(travelers)
        _keep_content(order, answer)
        session.flush()
        total = {"amount": order.amount, "currency": order.currency}
        tell(session, order, "order.amended", amendment=row.id.hex, total=total)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        row = _amendment(session, intent.subject)
        order = _locked(session, row.order_id)
        now = clock.now(session)
        close_amendment(row, AmendmentState.REFUSED, now)
        note_refusal(row, refusal)
        move(order, OrderEvent.AMEND_REFUSED, now)
        session.flush()
        tell(session, order, "order.amend_refused", amendment=row.id.hex, **refusal_payload(refusal))


# --- what the merchant said, written down -----------------------------------------------------------------------------


def _note_pending(session: Session, row: MerchantOrderRow, answer: PendingOrder) -> None:
    before = OrderState(row.state)
    if before is OrderState.CONFIRMING and not merchants.read_merchant(session).capabilities.tombstones:
        # "Later" from a merchant whose cancellations do not hold: nobody could ever be sure that it is off.
        row.merchant_ref = answer.merchant_ref
        _contradict(session, row)
        return
    move(row, OrderEvent.PENDING, clock.now(session))
    if before is OrderState.CONFIRMING:
        row.merchant_ref = answer.merchant_ref
        session.flush()
        tell(session, row, "order.pending")
        _look_later(session, row)


def _note_confirmed(session: Session, row: MerchantOrderRow, answer: ConfirmedOrder) -> None:
    before = OrderState(row.state)
    now = clock.now(session)
    event = order_event(Money(row.amount, row.currency), answer.total)
    move(row, event, now)
    if before in _WAITING:
        _keep_content(row, answer)
        if row.hold_id is not None:
            consume_hold(session, row.hold_id, answer.seats, now)
        if event is OrderEvent.OVERCHARGED:
            _take_back(session, row, answer)
            return
        row.amount = answer.total.minor if answer.total else row.amount
        session.flush()
        tell(session, row, "order.confirmed", total={"amount": row.amount, "currency": row.currency})
        if not row.tickets:
            _look_later(session, row)
    elif before is OrderState.CANCELED:
        _look_behind(session, row)


def _take_back(session: Session, row: MerchantOrderRow, answer: ConfirmedOrder) -> None:
    """The merchant sold, at more than was agreed: nobody pays that, so the order is canceled at once."""
    row.reason = "price_changed"
    row.new_amount = answer.total.minor if answer.total and answer.total.currency == row.currency else None
    session.flush()
    owe_cancel(session, row)


def _note_rejected(session: Session, row: MerchantOrderRow, refusal: Refused) -> None:
    before = OrderState(row.state)
    if before in (OrderState.CONFIRMED, OrderState.AMENDING):
        return  # the order stands by another word of the merchant; this answer is older
    move(row, OrderEvent.REJECTED, clock.now(session))
    if before in _WAITING:
        note_refusal(row, refusal)
        session.flush()
        tell(session, row, "order.rejected", **refusal_payload(refusal))


def _note_canceled(session: Session, row: MerchantOrderRow) -> None:
    before = row.state
    move(row, OrderEvent.CANCELED, clock.now(session))
    session.flush()
    if before != OrderState.CANCELED.value:
        tell(session, row, "order.canceled", **({"reason": row.reason} if row.reason else {}))


def _note_standing(session: Session, row: MerchantOrderRow, answer: ConfirmedOrder) -> None:
    """The order stands, tickets and all, whatever became of the answer to our confirm."""
    now = clock.now(session)
    if order_event(Money(row.amount, row.currency), answer.total) is OrderEvent.OVERCHARGED:
        # It stands at a price that nobody agreed to, and the merchant keeps it: no call of ours can mend that.
        _contradict(session, row)
        return
    move(row, OrderEvent.CANCEL_REFUSED, now)
    _keep_content(row, answer)
    row.amount = answer.total.minor if answer.total else row.amount
    session.flush()
    if row.hold_id is not None:
        consume_hold(session, row.hold_id, answer.seats, now)
    tell(session, row, "order.confirmed", cancel_refused="not_cancelable")


def _contradict(session: Session, row: MerchantOrderRow) -> None:
    before = row.state
    move(row, OrderEvent.CONTRADICTED, clock.now(session))
    session.flush()
    if before != row.state:
        tell(session, row, "order.discrepant")


def _note_presence(session: Session, row: MerchantOrderRow, *, is_absent: bool) -> None:
    """An order that the merchant does not know is no cancellation: its books may have been put back, or its address be
    another's. Nothing moves, a person asks; told once, until it is there again.
    """
    if is_absent is (row.absent_at is not None):
        return
    row.absent_at = clock.now(session) if is_absent else None
    session.flush()
    tell(session, row, "order.absent" if is_absent else "order.found")


def _look_behind(session: Session, row: MerchantOrderRow) -> None:
    """Perhaps only a slow answer, older than the tombstone. What the merchant's books show now tells."""
    once = f"{row.id.hex}:late"
    intents.owe(session, LOOK, row.id, {_BEHIND: True}, once=once, reference=row.reference)


def _look_later(session: Session, row: MerchantOrderRow) -> None:
    waited = (clock.now(session) - row.created_at).total_seconds()
    seconds = min(max(waited / 10, pending_seconds_min), pending_seconds_max)
    due_at = clock.system_now(session) + timedelta(seconds=seconds)
    intents.owe(session, LOOK, row.id, due_at=due_at, reference=row.reference)


def _keep_content(row: MerchantOrderRow, answer: ConfirmedOrder) -> None:
    row.merchant_ref = answer.merchant_ref
    row.seats = repository.dump_seats(answer.seats)
    row.tickets = repository.dump_tickets(answer.tickets)


def _locked(session: Session, order_id: UUID) -> MerchantOrderRow:
    row = repository.lock_order(session, order_id)
    if row is None:
        raise InvariantBroken(what="the intent's order is gone", order=str(order_id))
    return row


def _amendment(session: Session, amendment_id: UUID) -> MerchantAmendmentRow:
    row: Any = repository.find_amendment(session, amendment_id)
    if row is None:
        raise InvariantBroken(what="the intent's change is gone", amendment=str(amendment_id))
    return row  # type: ignore[no-any-return]
