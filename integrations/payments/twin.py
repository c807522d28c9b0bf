"""The payment provider's twin: the whole contract in memory, deterministic, and obedient to tests and the simulator.

What a payer or a bank would do is a method (`authorize`, `decline`, `lapse`, …); what a network would do is planned
with `plan`. Ids count up, time is what the given clock says, nothing is random.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import AttemptId, RefundId, from_wire, to_wire
from groupbook.kit.money import Money
from groupbook.payments.domain import Card, Dispute, DisputeState, RefundState, least_payable
from groupbook.payments.ports import (
    EventRejected,
    Movement,
    Observed,
    OwnPage,
    PaymentOrder,
    PaymentPage,
    PaymentRef,
    ProviderEvent,
    RefundAnswer,
    Seen,
)

Fault = Literal["unavailable", "lost_request", "lost_answer", "late_effect", "server_error", "server_error_after"]
page_seconds: Final = 24 * 3600
capture_window_seconds: Final = 7 * 86_400
capture_window_off_session_seconds: Final = 410_400  # 4 d 18 h where the payer is absent (payments.md H1)
key_seconds: Final = 24 * 3600  # a key is forgotten after a day; then it is a new request (A1)
event_age_seconds_max: Final = 300
_T = TypeVar("_T")


@dataclass
class _Payment:
    order: PaymentOrder
    page_ref: str | None  # None: made in the payer's absence
    opened_at: datetime
    seen: Seen = Seen.OPEN
    payment_ref: str | None = None
    captured: int = 0
    refunded: int = 0
    capture_before: datetime | None = None
    decline_reason: str | None = None
    card: Card | None = None
    is_under_review: bool = False
    saved_ref: str | None = None
    dispute: Dispute | None = None
    is_own: bool = False  # it is a page of ours, which does not close by itself

    @property
    def is_waiting(self) -> bool:
        return self.seen in (Seen.OPEN, Seen.DECLINED, Seen.ACTION)


@dataclass
class _SavedCard:
    card: Card
    refusal: str | None = None  # what its bank says in the owner's absence
    is_reviewed: bool = False  # what it authorizes in the owner's absence is looked at by a person first


@dataclass
class _Refund:
    answer: RefundAnswer
    payment_ref: str
    attempt_id: AttemptId
    made_at: datetime


@dataclass
class Twin:
    """One account of the twin.

    Args:
        clock: what time it is at the provider; the simulator moves it.
        webhook_secret: signs `event`.
        has_own_page: payers stay on our page, with the twin's fields in it.
    """

    clock: Callable[[], datetime] = field(default=lambda: datetime(2027, 1, 4, 9, 0, tzinfo=UTC))
    webhook_secret: str = "whsec_twin"
    livemode: bool = False
    has_own_page: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)  # (method, key) as they arrived, replays included
    captures: list[tuple[AttemptId, int]] = field(default_factory=list)  # effects: the side effect that must not exist
    voids: list[AttemptId] = field(default_factory=list)
    refunds: list[tuple[AttemptId, int]] = field(default_factory=list)
    doubled: list[AttemptId] = field(default_factory=list)  # asked for twice under two keys: must stay empty
    _payments: dict[AttemptId, _Payment] = field(default_factory=dict)
    _refunds: dict[RefundId, _Refund] = field(default_factory=dict)
    _saved: dict[str, _SavedCard] = field(default_factory=dict)
    _answers: dict[str, tuple[str, Any, datetime]] = field(default_factory=dict)
    _plans: dict[str, deque[Fault]] = field(default_factory=dict)
    _late: list[Callable[[], object]] = field(default_factory=list)
    _events: list[ProviderEvent] = field(default_factory=list)
    _strangers: list[Movement] = field(default_factory=list)  # what nobody here asked for

    # --- what people, banks and networks do ---

    def plan(self, method: str, *faults: Fault) -> None:
        """The next calls of `method` go wrong in this way, one after the other."""
        self._plans.setdefault(method, deque()).extend(faults)

    def land_late_effects(self) -> None:
        """Let the zombies land."""
        late, self._late = self._late, []
        for effect in late:
            effect()

    def authorize(
        self,
        attempt_id: AttemptId,
        *,
        card: str = "4242",
        under_review: bool = False,
        seconds: int = capture_window_seconds,
    ) -> None:
        """The payer's bank says yes, to the money or to keeping the card. On a closed page nothing happens.

        Args:
            seconds: how long the bank keeps the money; some schemes keep it for less than the usual week.
        """
        payment = self._payments[attempt_id]
        if not payment.is_waiting or payment.page_ref is None:
            return
        payment.decline_reason = None
        payment.card = Card("visa", card)
        if payment.order.mode == "save" or payment.order.keeps_card:
            payment.saved_ref = f"saved_{payment.page_ref}"
            self._saved[payment.saved_ref] = _SavedCard(payment.card)
        if payment.order.mode == "save":
            payment.seen = Seen.SAVED
            self._emit("setup_intent.succeeded", payment)
            return
        self._reserve(payment, f"pi_{payment.page_ref}", seconds)
        payment.is_under_review = under_review

    def decline(self, attempt_id: AttemptId, reason: str = "insufficient_funds") -> None:
        """The bank says no; the page stays open for another card."""
        payment = self._payments[attempt_id]
        if payment.is_waiting and payment.page_ref is not None:
            payment.seen = Seen.DECLINED
            payment.payment_ref = f"pi_{payment.page_ref}"
            payment.decline_reason = reason
            self._emit("payment_intent.payment_failed", payment)

    def challenge(self, attempt_id: AttemptId) -> None:
        """The bank asks the payer to confirm."""
        self._payments[attempt_id].seen = Seen.ACTION
        self._payments[attempt_id].payment_ref = f"pi_{self._payments[attempt_id].page_ref}"

    def refuse_saved(self, attempt_id: AttemptId, reason: str = "insufficient_funds") -> None:
        """The bank of the card kept on this page will say no in its owner's absence, from now on."""
        saved_ref = self._payments[attempt_id].saved_ref
        if saved_ref in self._saved:
            self._saved[saved_ref].refusal = reason

    def review_saved(self, attempt_id: AttemptId) -> None:
        """What the card kept on this page authorizes in its owner's absence is reviewed first, from now on."""
        saved_ref = self._payments[attempt_id].saved_ref
        if saved_ref in self._saved:
            self._saved[saved_ref].is_reviewed = True

    def end_review(self, attempt_id: AttemptId) -> None:
        """A person at the provider has looked and found nothing."""
        payment = self._payments[attempt_id]
        payment.is_under_review = False
        self._emit("review.closed", payment)

    def remove_saved(self, attempt_id: AttemptId) -> None:
        """The card kept on this page is gone: taken out at the provider."""
        payment = self._payments[attempt_id]
        if payment.saved_ref is not None:
            self._saved.pop(payment.saved_ref, None)
            self._emit("payment_method.detached", payment)

    def lapse(self, attempt_id: AttemptId) -> None:
        """The authorization ends by itself."""
        payment = self._payments[attempt_id]
        if payment.seen is Seen.AUTHORIZED:
            payment.seen = Seen.EXPIRED
            self._emit("charge.expired", payment)

    def capture_outside(self, attempt_id: AttemptId) -> None:
        """Somebody captures in the provider's own dashboard."""
        payment = self._payments[attempt_id]
        payment.seen, payment.captured = Seen.CAPTURED, payment.order.amount.minor
        self._emit("payment_intent.succeeded", payment)

    def settle_refund(self, refund_id: RefundId, state: RefundState) -> None:
        """A pending refund settles, or a good one fails weeks later."""
        refund = self._refunds[refund_id]
        if state is RefundState.FAILED and refund.answer.state is not state:
            self._payments[refund.attempt_id].refunded -= refund.answer.amount.minor  # it is in the account again
        refund.answer = replace(refund.answer, state=state)

    def refund_outside(self, attempt_id: AttemptId, amount: Money) -> str:
        """Somebody refunds in the provider's own dashboard; the refund's name there."""
        payment = self._payments[attempt_id]
        payment.refunded += amount.minor
        refund_ref = f"re_outside_{len(self._strangers) + 1}"
        self._strangers.append(
            Movement(
                payment_ref=payment.payment_ref or "",
                amount=amount,
                created_at=self.clock(),
                refund_ref=refund_ref,
                refund_state=RefundState.SUCCEEDED,
            )
        )
        self._emit("charge.refunded", payment)
        return refund_ref

    def plant_payment(self, amount: Money, *, attempt_id: AttemptId | None = None) -> str:
        """A captured payment that none of our rows knows: the shop's other business, or one that we lost."""
        payment_ref = f"pi_stranger_{len(self._strangers) + 1}"
        self._strangers.append(
            Movement(payment_ref, amount, self.clock(), attempt_id, Seen.CAPTURED, amount, Money.zero(amount.currency))
        )
        return payment_ref

    def lose_refund(self, refund_id: RefundId) -> None:
        """The provider shows a refund no more, as if it had never been."""
        refund = self._refunds.pop(refund_id)
        self._payments[refund.attempt_id].refunded -= refund.answer.amount.minor

    def miscount(self, attempt_id: AttemptId, *, by: int) -> None:
        """The provider took so many minor units more than it said."""
        self._payments[attempt_id].captured += by

    def dispute(self, attempt_id: AttemptId) -> None:
        """The payer asks their bank for the money back."""
        payment = self._payments[attempt_id]
        amount = Money(payment.captured - payment.refunded, payment.order.amount.currency)
        payment.dispute = Dispute(DisputeState.OPEN, amount)
        self._emit("charge.dispute.created", payment)

    def decide_dispute(self, attempt_id: AttemptId, state: DisputeState) -> None:
        """The bank decides: for the merchant (won) or for the payer (lost)."""
        payment = self._payments[attempt_id]
        if payment.dispute is not None:
            payment.dispute = Dispute(state, payment.dispute.amount)
            self._emit("charge.dispute.closed", payment)

    def truth(self, attempt_id: AttemptId) -> Seen:
        payment = self._payments.get(attempt_id)
        return Seen.ABSENT if payment is None else payment.seen

    def event(self, event: ProviderEvent, *, at: datetime | None = None) -> tuple[dict[str, str], bytes]:
        """The event as it would arrive: headers and signed body."""
        body = json.dumps(
            {
                "id": event.id,
                "type": event.type,
                "livemode": event.livemode,
                "attempt_id": to_wire("att", event.attempt_id) if event.attempt_id else None,
                "refund_id": to_wire("ref", event.refund_id) if event.refund_id else None,
                "object": event.object_ref,
            }
        ).encode()
        stamp = str(int((at or self.clock()).timestamp()))
        return {"twin-time": stamp, "twin-signature": self._sign(stamp, body)}, body

    # --- the port ---

    def open_payment(self, order: PaymentOrder, *, key: str, timeout_seconds: float) -> PaymentPage:
        def effect() -> PaymentPage:
            if order.amount < least_payable(order.amount.currency):
                raise Refused("amount_too_small")
            if order.attempt_id in self._payments:
                self.doubled.append(order.attempt_id)
            else:
                page_ref = f"page_{len(self._payments) + 1}"
                is_own = self.has_own_page and not order.needs_hosted
                self._payments[order.attempt_id] = _Payment(order, page_ref, self.clock(), is_own=is_own)
            return self._page(self._payments[order.attempt_id])

        return self._act("open_payment", key, repr(order), effect)

    def own_page(self, ref: PaymentRef, *, timeout_seconds: float) -> OwnPage | None:
        forbid_in_transaction("twin own_page")
        self._read_fault("own_page")
        payment = self._find(ref)
        if payment is None or not (payment.is_own and payment.is_waiting):
            return None
        here = ("https://twin.test",)
        return OwnPage(
            mode=payment.order.mode,
            client_secret=f"{payment.page_ref}_secret_of_the_twin",
            publishable_key="pk_test_twin",
            account=None,
            script_url="https://twin.test/v3/",
            script_origins=here,
            frame_origins=here,
            connect_origins=here,
        )

    def authorize_saved(self, order: PaymentOrder, saved_ref: str, *, key: str, timeout_seconds: float) -> Observed:
        def effect() -> Observed:
            if order.amount < least_payable(order.amount.currency):
                raise Refused("amount_too_small")
            saved = self._saved.get(saved_ref)
            if saved is None:
                raise Refused("not_found")
            if order.attempt_id in self._payments:
                self.doubled.append(order.attempt_id)
                return self._observed(self._payments[order.attempt_id])
            payment = _Payment(order, None, self.clock(), saved_ref=saved_ref, card=saved.card)
            self._payments[order.attempt_id] = payment
            payment_ref = f"pi_off_session_{len(self._payments)}"
            if saved.refusal is None:
                self._reserve(payment, payment_ref, capture_window_off_session_seconds)
                payment.is_under_review = saved.is_reviewed
            else:
                payment.payment_ref, payment.decline_reason = payment_ref, saved.refusal
                is_absent = saved.refusal == "authentication_required"
                payment.seen = Seen.ACTION if is_absent else Seen.DECLINED
                self._emit("payment_intent.payment_failed", payment)
            return self._observed(payment)

        return self._act("authorize_saved", key, repr((order, saved_ref)), effect)

    def close_payment(self, ref: PaymentRef, *, key: str, timeout_seconds: float) -> Observed:
        def effect() -> Observed:
            payment = self._find(ref)
            if payment is None:
                return self._observed(None)
            if payment.seen is Seen.SAVED and payment.saved_ref is not None:
                payment.seen = Seen.CANCELED
                self._saved.pop(payment.saved_ref, None)
                self._emit("payment_method.detached", payment)
            elif payment.is_waiting and (payment.page_ref is None or payment.is_own):
                payment.seen = Seen.CANCELED
                self._emit("payment_intent.canceled", payment)
            elif payment.is_waiting:
                payment.seen = Seen.EXPIRED
                self._emit("checkout.session.expired", payment)
            return self._observed(payment)

        return self._act("close_payment", key, repr(ref.attempt_id), effect)

    def observe(self, ref: PaymentRef, *, timeout_seconds: float) -> Observed:
        forbid_in_transaction("twin observe")
        self._read_fault("observe")
        return self._observed(self._find(ref))

    def capture(self, ref: PaymentRef, amount: Money, *, key: str, timeout_seconds: float) -> Observed:
        def effect() -> Observed:
            payment = self._find(ref)
            if payment is None:
                raise Refused("not_found")
            if payment.seen is Seen.CAPTURED:
                return self._observed(payment)
            if payment.seen is not Seen.AUTHORIZED:
                raise Refused("authorization_gone" if payment.seen in (Seen.CANCELED, Seen.EXPIRED) else "wrong_state")
            if amount > payment.order.amount or amount.minor <= 0:
                raise Refused("request_rejected")
            payment.seen, payment.captured = Seen.CAPTURED, amount.minor
            self.captures.append((payment.order.attempt_id, amount.minor))
            self._emit("payment_intent.succeeded", payment)
            return self._observed(payment)

        return self._act("capture", key, repr((ref.attempt_id, amount)), effect)

    def void(self, ref: PaymentRef, *, key: str, timeout_seconds: float) -> Observed:
        def effect() -> Observed:
            payment = self._find(ref)
            if payment is None:
                raise Refused("not_found")
            if payment.seen is Seen.AUTHORIZED:
                payment.seen = Seen.CANCELED
                self.voids.append(payment.order.attempt_id)
                self._emit("payment_intent.canceled", payment)
            elif payment.seen not in (Seen.CANCELED, Seen.EXPIRED):
                raise Refused("wrong_state")
            return self._observed(payment)

        return self._act("void", key, repr(ref.attempt_id), effect)

    def refund(
        self, ref: PaymentRef, amount: Money, *, refund_id: RefundId, key: str, timeout_seconds: float
    ) -> RefundAnswer:
        def effect() -> RefundAnswer:
            payment = self._find(ref)
            if payment is None or payment.payment_ref is None:
                raise Refused("not_found")
            if payment.dispute is not None and payment.dispute.state is not DisputeState.WON:
                raise Refused("charge_disputed")
            if payment.captured - payment.refunded <= 0:
                raise Refused("nothing_to_refund")
            if not 0 < amount.minor <= payment.captured - payment.refunded:
                raise Refused("request_rejected")
            payment.refunded += amount.minor
            answer = RefundAnswer(f"re_{len(self._refunds) + 1}", RefundState.SUCCEEDED, amount)
            self._refunds[refund_id] = _Refund(answer, payment.payment_ref, payment.order.attempt_id, self.clock())
            self.refunds.append((payment.order.attempt_id, amount.minor))
            return answer

        return self._act("refund", key, repr((ref.attempt_id, amount, refund_id)), effect)

    def observe_refund(self, ref: PaymentRef, refund_id: RefundId, *, timeout_seconds: float) -> RefundAnswer | None:
        forbid_in_transaction("twin observe_refund")
        self._read_fault("observe_refund")
        refund = self._refunds.get(refund_id)
        return refund.answer if refund else None

    def read_event(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> ProviderEvent:
        stamp = headers.get("twin-time", "")
        if not hmac.compare_digest(headers.get("twin-signature", ""), self._sign(stamp, body)):
            raise EventRejected(reason="signature_wrong")
        if abs(now.timestamp() - int(stamp)) > event_age_seconds_max:
            raise EventRejected(reason="signature_age")
        given = json.loads(body)
        if given["livemode"] is not self.livemode:
            raise EventRejected(reason="wrong_mode")
        return ProviderEvent(
            id=given["id"],
            type=given["type"],
            livemode=given["livemode"],
            object_ref=given["object"],
            attempt_id=AttemptId(from_wire("att", given["attempt_id"])) if given["attempt_id"] else None,
            refund_id=RefundId(from_wire("ref", given["refund_id"])) if given["refund_id"] else None,
        )

    def list_events(
        self, since: datetime, until: datetime | None = None, *, timeout_seconds: float
    ) -> list[ProviderEvent]:
        forbid_in_transaction("twin list_events")
        self._read_fault("list_events")
        return [
            event
            for event in self._events
            if event.created_at is None or (event.created_at >= since and (until is None or event.created_at < until))
        ]

    def list_movements(self, since: datetime, until: datetime, *, timeout_seconds: float) -> Iterable[Movement]:
        forbid_in_transaction("twin list_movements")
        self._read_fault("list_movements")
        found = [*map(self._payment_movement, self._payments), *map(self._refund_movement, self._refunds)]
        return [
            movement
            for movement in (*found, *self._strangers)
            if movement is not None and since <= movement.created_at < until
        ]

    # --- helpers ---

    def _payment_movement(self, attempt_id: AttemptId) -> Movement | None:
        seen = self._observed(self._find(PaymentRef(attempt_id, self.clock())))
        if seen.payment_ref is None or seen.amount is None:
            return None
        zero = Money.zero(seen.amount.currency)
        return Movement(
            payment_ref=seen.payment_ref,
            amount=seen.amount,
            created_at=self._payments[attempt_id].opened_at,
            attempt_id=attempt_id,
            seen=seen.seen,
            captured=seen.captured or zero,
            refunded=seen.refunded or zero,
            is_disputed=seen.is_disputed,
        )

    def _refund_movement(self, refund_id: RefundId) -> Movement:
        refund = self._refunds[refund_id]
        return Movement(
            payment_ref=refund.payment_ref,
            amount=refund.answer.amount,
            created_at=refund.made_at,
            attempt_id=refund.attempt_id,
            refund_ref=refund.answer.refund_ref,
            refund_id=refund_id,
            refund_state=refund.answer.state,
        )

    def _act(self, method: str, key: str, request: str, effect: Callable[[], _T]) -> _T:
        """One call: a replayed key answers as the first time; a planned fault happens as it would in life."""
        forbid_in_transaction(f"twin {method}")
        self.calls.append((method, key))
        plans = self._plans.get(method)
        fault = plans.popleft() if plans else None
        if fault == "unavailable":
            raise Unavailable(what=method)
        if fault == "lost_request":
            raise OutcomeUnknown(what=method)
        if fault == "late_effect":
            self._late.append(lambda: self._once(key, f"{method} {request}", effect, swallow=True))
            raise OutcomeUnknown(what=method)
        if fault == "server_error":
            failure = OutcomeUnknown(what=method, is_answered=True)
            self._answers.setdefault(key, (f"{method} {request}", failure, self.clock()))
        answer = self._once(key, f"{method} {request}", effect, swallow=False)
        if fault == "server_error_after":
            failure = OutcomeUnknown(what=method, is_answered=True)
            self._answers[key] = (f"{method} {request}", failure, self.clock())
            raise failure
        if fault == "lost_answer":
            raise OutcomeUnknown(what=method)
        return answer

    def _once(self, key: str, request: str, effect: Callable[[], _T], *, swallow: bool) -> _T:
        if key in self._answers and self.clock() - self._answers[key][2] >= timedelta(seconds=key_seconds):
            del self._answers[key]
        if key not in self._answers:
            try:
                self._answers[key] = (request, effect(), self.clock())
            except Refused as refusal:
                self._answers[key] = (request, refusal, self.clock())
        first, answer, _ = self._answers[key]
        if first != request and not swallow:
            raise Refused("key_reused")
        if isinstance(answer, Refused | OutcomeUnknown) and not swallow:
            raise answer
        return answer  # type: ignore[no-any-return]  # what this key's own effect answered

    def _read_fault(self, method: str) -> None:
        plans = self._plans.get(method)
        if plans and plans.popleft():
            raise Unavailable(what=method)

    def _find(self, ref: PaymentRef) -> _Payment | None:
        """The payment as time has left it: pages close, authorizations lapse."""
        payment = self._payments.get(ref.attempt_id)
        if payment is None:
            return None
        now = self.clock()
        has_closed = payment.opened_at + timedelta(seconds=page_seconds) <= now
        has_lapsed = payment.capture_before is not None and payment.capture_before <= now
        is_page = payment.is_waiting and payment.page_ref is not None and not payment.is_own
        if (is_page and has_closed) or (payment.seen is Seen.AUTHORIZED and has_lapsed):
            payment.seen = Seen.EXPIRED
        if payment.seen is Seen.SAVED and payment.saved_ref not in self._saved:
            payment.seen = Seen.CANCELED
        return payment

    def _reserve(self, payment: _Payment, payment_ref: str, seconds: int) -> None:
        payment.seen = Seen.AUTHORIZED
        payment.payment_ref = payment_ref
        payment.capture_before = self.clock() + timedelta(seconds=seconds)
        self._emit("payment_intent.amount_capturable_updated", payment)

    def _page(self, payment: _Payment) -> PaymentPage:
        if payment.page_ref is None:
            raise Refused("request_rejected")
        closes_at = payment.opened_at + timedelta(seconds=page_seconds)
        return PaymentPage(self._url(payment), payment.page_ref, closes_at, payment.payment_ref)

    def _url(self, payment: _Payment) -> str:
        return "" if payment.is_own else f"https://twin.test/{payment.page_ref}"

    def _observed(self, payment: _Payment | None) -> Observed:
        if payment is None:
            return Observed(Seen.ABSENT)
        currency = payment.order.amount.currency
        is_open = payment.is_waiting and payment.page_ref is not None
        closes_at = payment.opened_at + timedelta(seconds=page_seconds) if payment.page_ref is not None else None
        return Observed(
            payment.seen,
            amount=payment.order.amount,
            captured=Money(payment.captured, currency) if payment.seen is Seen.CAPTURED else None,
            refunded=Money(payment.refunded, currency) if payment.seen is Seen.CAPTURED else None,
            capture_before=payment.capture_before,
            page_ref=payment.page_ref,
            payment_ref=payment.payment_ref,
            page_url=self._url(payment) if is_open else None,
            closes_at=closes_at,
            decline_reason=payment.decline_reason,
            card=payment.card,
            is_under_review=payment.is_under_review,
            saved_ref=payment.saved_ref,
            dispute=payment.dispute,
        )

    def _emit(self, type: str, payment: _Payment) -> None:
        self._events.append(
            ProviderEvent(
                id=f"evt_{len(self._events) + 1}",
                type=type,
                livemode=self.livemode,
                object_ref=payment.payment_ref or payment.page_ref or "",
                attempt_id=payment.order.attempt_id,
                payment_ref=payment.payment_ref,
                page_ref=payment.page_ref,
                created_at=self.clock(),
            )
        )

    def _sign(self, stamp: str, body: bytes) -> str:
        return hmac.new(self.webhook_secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
