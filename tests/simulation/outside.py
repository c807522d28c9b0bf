"""The provider and the merchant behind a bad network: the contract twins keep the books, this layer loses the letters.

Every call waits (so that others run meanwhile) and may suffer what its site's dice say:
    lost_request      nothing arrives; the caller's time-out
    lost_answer       it happens; the caller's time-out
    zombie            the caller's time-out; it happens up to two hours later
    error_500         answered, without effect, and replayed to the same key for a day
    error_500_after   answered as failed, although it happened
    busy              turned away (429, lock time-out): nothing was attempted
    slow              answered just before the time-out
    slow_answer       done or read at once, answered just before the time-out: the answer is old when it comes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.payments.domain import RefundState
from groupbook.payments.ports import ProviderEvent, Seen
from integrations.merchants.twin import TwinMerchant
from integrations.payments.twin import Twin
from tests.simulation.outcome import Effect
from tests.simulation.stage import Stage

READING: Final = frozenset(
    {
        "observe",
        "observe_refund",
        "list_events",
        "list_movements",
        "observe_hold",
        "observe_order",
        "read_offer",
        "search",
    }
)
AT_ONCE: Final = frozenset({"read_event", "capabilities"})
zombie_seconds_max: Final = 7200.0
weak_zombie_seconds_max: Final = 300.0  # within `offers.intent_handlers(inflight_seconds)`
_5XX: Final = {"error_500": "server_error", "error_500_after": "server_error_after"}


class Books(Twin):
    """The provider's twin with books that may be looked into: what is true there, whoever has heard of it."""

    def payment(self, attempt_id: Any) -> Any:
        return self._payments.get(attempt_id)

    def page(self, page_ref: str) -> Any:
        """The attempt whose page this is."""
        return next((id for id, one in self._payments.items() if one.page_ref == page_ref), None)

    def refund_of(self, refund_id: Any) -> Any:
        return self._refunds.get(refund_id)

    def answer_refund(self, refund_id: Any, state: RefundState, reason: str | None = None) -> Any:
        known = self._refunds[refund_id]
        known.answer = replace(known.answer, state=state, failure_reason=reason)
        return known.answer

    def attempt_of_refund(self, refund_id: Any) -> Any:
        return self._refunds[refund_id].attempt_id

    def refuse_card(self, saved_ref: str, reason: str) -> None:
        """Its bank says no in the owner's absence, from now on."""
        if saved_ref in self._saved:
            self._saved[saved_ref].refusal = "insufficient_funds" if reason == "declined" else reason

    def cancel(self, attempt_id: Any) -> None:
        """Somebody releases an authorization in the provider's own dashboard."""
        self._payments[attempt_id].seen = Seen.CANCELED
        self.emit("payment_intent.canceled", attempt_id)

    def turn_back(self, attempt_id: Any) -> None:
        """The payer leaves their bank's question: the page waits for a card again."""
        self._payments[attempt_id].seen = Seen.OPEN

    def emit(self, type: str, attempt_id: Any, refund_id: Any = None) -> None:
        payment = self._payments[attempt_id]
        self._events.append(
            ProviderEvent(
                id=f"evt_{len(self._events) + 1}",
                type=type,
                livemode=self.livemode,
                object_ref=payment.payment_ref or payment.page_ref or "",
                attempt_id=attempt_id,
                payment_ref=payment.payment_ref,
                page_ref=payment.page_ref,
                refund_id=refund_id,
                created_at=self.clock(),
            )
        )

    def news(self, since: int) -> list[ProviderEvent]:
        return self._events[since:]


class Desk(TwinMerchant):
    """The merchant's twin, its books open. `kept`: the orders it would not take back when it was last asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kept: set[str] = set()

    def _cancel(self, our_ref: str, trouble: Any) -> None:
        self.kept.discard(our_ref)
        if trouble == "not_cancelable":
            self.kept.add(our_ref)
        super()._cancel(our_ref, trouble)

    def hold_state(self, our_ref: str) -> str | None:
        return self._state(our_ref) if our_ref in self._holds else None

    def hold_refs(self) -> list[str]:
        return list(self._holds)

    def hold(self, our_ref: str) -> Any:
        return self._holds.get(our_ref)

    def order(self, our_ref: str) -> Any:
        return self._orders.get(our_ref)

    def decide_order(self, our_ref: str, *, sells: bool, parts: int | None = None) -> Any:
        """The answer that was to come later; None when there is nothing to decide any more.

        Args:
            parts: the order costs so many tenths of what was agreed.
        """
        order = self._orders.get(our_ref)
        if order is None or order.state != "pending":
            return None
        order.state = "confirmed" if sells else "rejected"
        if parts is not None and order.confirmed is not None and order.confirmed.total is not None:
            total = order.confirmed.total
            order.confirmed = replace(order.confirmed, total=replace(total, minor=total.minor * parts // 100 * 10))
        return order

    def withhold_tickets(self, our_ref: str) -> Any:
        """The merchant says yes, and sends the tickets later; which."""
        order: Any = self._orders[our_ref]
        tickets, order.confirmed = order.confirmed.tickets, replace(order.confirmed, tickets=())
        return tickets

    def send_tickets(self, our_ref: str, tickets: Any) -> None:
        order: Any = self._orders[our_ref]
        if order.state == "confirmed" and not order.confirmed.tickets:
            order.confirmed = replace(order.confirmed, tickets=tickets)

    def revoke(self, our_ref: str, *, is_sent: bool = False) -> bool:
        """The merchant takes its yes back, before it has sent the tickets or after; whether there was such an order."""
        order: Any = self._orders[our_ref]
        if order.state != "confirmed" or bool(order.confirmed.tickets) is not is_sent:
            return False
        order.state = "canceled"
        return True

    def _amend(self, our_ref: str, change: Any, trouble: Any) -> Any:
        """As the twin; at times the merchant keeps a fee of what a place that is given back had cost."""
        if trouble != "fee":
            return super()._amend(our_ref, change, trouble)
        order = self._orders.get(our_ref)
        before = order.confirmed.total if order is not None and order.confirmed is not None else None
        is_known = order is not None and change.our_ref in order.changes
        confirmed = super()._amend(our_ref, change, None)
        if is_known or before is None or order is None or confirmed.total is None or confirmed.total >= before:
            return confirmed
        fee = (before.minor - confirmed.total.minor) // 3 // 10 * 10
        order.confirmed = replace(confirmed, total=replace(confirmed.total, minor=confirmed.total.minor + fee))
        order.changes[change.our_ref] = order.confirmed
        return order.confirmed

    def _free(self, offer_ref: str, leg: int) -> list[str]:
        taken = self._taken(offer_ref)
        places = (f"{row}{letter}" for row in range(1, 17) for letter in "ABCD")
        return [place for place in places if (leg, place) not in taken]


class Wire:
    """One side of the outside, as the adapters' port: any method of the twin, with what the network does to it."""

    livemode = False

    def __init__(self, world: Stage, side: str, twin: Any) -> None:
        self._world = world
        self._side = side
        self._twin = twin

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._twin, name)
        if name in AT_ONCE:
            return method  # type: ignore[no-any-return]

        def call(*given: Any, **named: Any) -> Any:
            return self._call(name, method, given, named)

        self.__dict__[name] = call
        return call

    def _call(self, name: str, method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        world, site = self._world, f"{self._side}.{name}"
        forbid_in_transaction(site)
        timeout = named.get("timeout_seconds", 20.0)
        subject = _subject(given, named)
        is_reading = name in READING
        world.called(site, subject)
        if world.is_out(self._side):
            world.sleep(timeout if world.dice.draw("outage.kind") < 0.5 else 0.1)
            world.crash_point()
            if is_reading or world.dice.draw("outage.answer") < 0.5:
                raise Unavailable(what=site)
            raise OutcomeUnknown(what=site)
        what = world.fault(site, subject)
        if what == "busy" or (is_reading and what in ("lost_request", "lost_answer", "zombie")):
            world.sleep(0.05)
            raise Unavailable(what="lock_timeout")
        if name == "authorize_saved" and (refusal := world.fault("bank.saved", subject)):
            self._twin.refuse_card(given[1], refusal)
        act = self._act(name, method, given, named, subject)
        if what in ("lost_request", "zombie"):
            if what == "zombie":
                delay = world.dice.between("zombie.delay", 1.0, self._zombie_seconds_max())
                world.plan_outside(timeout + delay, lambda: self._land(name, subject, act))
            world.sleep(timeout)
            world.crash_point()
            raise OutcomeUnknown(what=site)
        world.sleep(timeout * 0.95 if what == "slow" else world.dice.between(f"{self._side}.latency", 0.03, 0.8))
        world.crash_point()
        answer = self._suffer(name, what, act, subject, given, named)
        world.crash_point()
        if what == "slow_answer":
            world.sleep(timeout * 0.9)
        world.stall()
        if what == "lost_answer":
            world.sleep(timeout)
            raise OutcomeUnknown(what=site)
        return answer

    def _zombie_seconds_max(self) -> float:
        return zombie_seconds_max

    def _land(self, name: str, subject: Any, act: Callable[[], Any]) -> None:
        _deaf(act)

    def _act(
        self, name: str, method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any], subject: Any
    ) -> Callable[[], Any]:
        key = named.get("key")

        def act() -> Any:
            before = self._truth(name, subject, given, named)
            try:
                return method(*given, **named)
            finally:
                self._tell(name, before, subject, given, named, key)

        return act

    def _suffer(
        self, name: str, what: str | None, act: Callable[[], Any], subject: Any, given: tuple[Any, ...], named: Any
    ) -> Any:
        return act()

    def _truth(self, name: str, subject: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return None

    def _tell(self, name: str, before: Any, subject: Any, given: Any, named: Any, key: str | None) -> None:
        return None


class ProviderWire(Wire):
    """The way to the payment provider."""

    _twin: Books

    def _suffer(
        self, name: str, what: str | None, act: Callable[[], Any], subject: Any, given: tuple[Any, ...], named: Any
    ) -> Any:
        twin, world = self._twin, self._world
        if what in _5XX:
            twin.plan(name, _5XX[what])  # type: ignore[arg-type]  # the twin's word for it
        elif what in ("refused", "slow_refused", "taken_by_hand"):
            if what == "slow_refused":
                world.sleep(18.0)
            elif what == "taken_by_hand":
                world.bank.take_by_hand(subject)
            raise Refused("request_rejected")
        elif what == "lapsed":
            world.bank_lapses(subject)
        elif what in ("declined", "authentication_required"):
            twin.refuse_card(given[1], what)
        answer = act()
        if name == "refund" and what in ("pending", "pending_fails", "fails_late", "fails"):
            return world.bank_delays_refund(named["refund_id"], what, answer)
        return answer

    def _truth(self, name: str, subject: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        payment = self._twin.payment(subject)
        refund_id = named.get("refund_id")
        return (
            None if payment is None else (payment.seen, payment.captured),
            refund_id is not None and self._twin.refund_of(refund_id) is not None,
            len(self._twin.refunds),
            len(self._twin.doubled),
        )

    def _tell(self, name: str, before: Any, subject: Any, given: Any, named: Any, key: str | None) -> None:
        if name in READING:
            return
        payment, (was, _, refunds, doubled) = self._twin.payment(subject), before
        if payment is not None:
            now = (payment.seen, payment.captured)
            minor = payment.order.amount.minor
            if was is None:
                self._effect("opened", subject, minor, key)
            if was != now and payment.seen in _EFFECTS and (was is not None or payment.seen is not Seen.OPEN):
                self._effect(_EFFECTS[payment.seen], subject, payment.captured or minor, key, payment.capture_before)
                self._world.noted(subject, payment)
        if len(self._twin.refunds) > refunds:
            _, minor = self._twin.refunds[-1]
            self._world.effect(
                Effect("provider", "refunded", named["refund_id"], self._world.now, minor, key, of=subject)
            )
        if len(self._twin.doubled) > doubled:
            self._effect("doubled", subject, 0, key)
        self._world.pump()

    def _effect(self, what: str, subject: UUID, minor: int, key: str | None, capture_before: Any = None) -> None:
        self._world.effect(
            Effect("provider", what, subject, self._world.now, minor, key, capture_before=capture_before)
        )


_EFFECTS: Final = {
    Seen.SAVED: "saved",
    Seen.AUTHORIZED: "authorized",
    Seen.CAPTURED: "captured",
    Seen.CANCELED: "voided",
    Seen.EXPIRED: "closed",
    Seen.DECLINED: "declined",
    Seen.ACTION: "challenged",
}


class MerchantWire(Wire):
    """The way to the merchant's booking engine."""

    _twin: Desk

    def _zombie_seconds_max(self) -> float:
        """Where no tombstone waits for it, what is under way is dropped in time: nothing of ours could ever know."""
        return zombie_seconds_max if self._twin.capability.tombstones else weak_zombie_seconds_max

    def _land(self, name: str, subject: Any, act: Callable[[], Any]) -> None:
        if name != "cancel" or subject not in self._twin.kept:  # having said no, it does not cancel after all
            _deaf(act)

    def _suffer(
        self, name: str, what: str | None, act: Callable[[], Any], subject: Any, given: tuple[Any, ...], named: Any
    ) -> Any:
        trouble = _TROUBLES.get((name, what or ""))
        if trouble is not None:
            operation, word = trouble
            self._twin.provoke(operation, word)  # type: ignore[arg-type]  # the twin's words
        answer = act()
        if what == "pending":
            self._decide_later(subject)
        elif what == "tickets_later" and self._twin.order(subject).state == "confirmed":
            self._send_tickets_later(subject)
            return self._twin.order(subject).confirmed
        return answer

    def _decide_later(self, our_ref: str) -> None:
        """The merchant said that it will answer later: it does, or does not, or much too late."""
        world = self._world
        dice = world.dice.draw("merchant.decides")
        if dice < 0.1:
            return
        delay = world.dice.between("merchant.delay", 5, 1800) * (50 if dice < 0.2 else 1)

        def decide() -> None:
            what = world.fault("merchant.decides", our_ref)
            sells = world.dice.draw("merchant.sells") < 0.75
            order = world.merchant.decide_order(our_ref, sells=sells, parts=_PARTS.get(what or ""))
            if order is not None and order.state == "confirmed":
                total = getattr(order.confirmed, "total", None) or order.request.total
                world.effect(Effect("merchant", "ordered", our_ref, world.now, total.minor))

        world.plan_outside(delay, decide)

    def _send_tickets_later(self, our_ref: str) -> None:
        """The merchant said yes without them: they come soon, or after days; or it says no after all."""
        world, tickets = self._world, self._twin.withhold_tickets(our_ref)
        delay = world.dice.between("merchant.tickets", 5, 1800) * (100 if world.dice.draw("merchant.slow") < 0.3 else 1)

        def come() -> None:
            if not world.fault("merchant.tickets", our_ref):
                self._twin.send_tickets(our_ref, tickets)
            elif self._twin.revoke(our_ref):
                world.effect(Effect("merchant", "revoked", our_ref, world.now))

        world.plan_outside(delay, come)

    def _revoke_later(self, our_ref: str) -> None:
        """The merchant cancels by itself what it has sold, and tells nobody: the train does not run, say."""
        world = self._world
        if not world.fault("merchant.standing", our_ref):
            return

        def revoke() -> None:
            if self._twin.revoke(our_ref, is_sent=True):
                world.effect(Effect("merchant", "revoked", our_ref, world.now))
                world.order_fell()

        world.plan_outside(world.dice.between("merchant.falls", 600, 5 * 86_400), revoke)

    def _truth(self, name: str, subject: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        hold, order = self._twin.hold(subject), self._twin.order(subject)
        return (
            self._twin.hold_state(subject),
            None if hold is None or hold.placed is None else hold.placed.expires_at,
            None if order is None else order.state,
            None if order is None else order.confirmed,
        )

    def _tell(self, name: str, before: Any, subject: Any, given: Any, named: Any, key: str | None) -> None:
        if name in READING:
            return
        was_hold, was_end, was_order, was_answer = before
        is_hold, end, is_order, answer = self._truth(name, subject, given, named)
        now, tell = self._world.now, self._world.effect
        if is_hold == "live" and was_hold is None:
            tell(Effect("merchant", "held", subject, now, given[0].total.minor, key))
        elif is_hold == "live" and end != was_end:
            tell(Effect("merchant", "extended", subject, now, 0, key))
        elif is_hold == "released" and was_hold in ("live", "expired"):  # over, and nobody has said so yet
            tell(Effect("merchant", "released", subject, now, 0, key))
        if is_hold == "live" and end != was_end:
            self._world.hold_ends(subject, end)
        if is_order == "confirmed" and was_order != "confirmed":
            total = getattr(answer, "total", None) or given[0].total
            tell(Effect("merchant", "ordered", subject, now, total.minor, key))
            self._revoke_later(subject)
        elif is_order == "pending" and was_order is None:
            tell(Effect("merchant", "pending", subject, now, 0, key))
        elif is_order == "canceled" and was_order == "confirmed":
            tell(Effect("merchant", "canceled", subject, now, 0, key))
        elif is_order == "confirmed" and answer != was_answer and name == "amend":
            total = getattr(answer, "total", None)
            tell(Effect("merchant", "amended", subject, now, total.minor if total else 0, key))


_PARTS: Final = {"overcharged": 12, "dropped": 3}  # what a late answer names, in tenths of what was agreed
_TROUBLES: Final = {
    ("place_hold", "sold_out"): ("hold", "sold_out"),
    ("extend_hold", "refused"): ("extend", "not_allowed"),
    ("extend_hold", "hold_expired"): ("extend", "hold_expired"),
    ("confirm", "sold_out"): ("confirm", "sold_out"),
    ("confirm", "price_changed"): ("confirm", "price_changed"),
    ("confirm", "price_dropped"): ("confirm", "price_dropped"),
    ("confirm", "overcharged"): ("confirm", "overcharged"),
    ("confirm", "pending"): ("confirm", "pending"),
    ("confirm", "hold_expired"): ("confirm", "hold_expired"),
    ("confirm", "invalid_traveler"): ("confirm", "invalid_traveler"),
    ("amend", "refused"): ("amend", "not_allowed"),
    ("amend", "price_changed"): ("amend", "price_changed"),
    ("amend", "overcharged"): ("amend", "overcharged"),
    ("amend", "fee"): ("amend", "fee"),
    ("cancel", "not_cancelable"): ("cancel", "not_cancelable"),
}


def _subject(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What a call is about: the attempt, or our reference at the merchant."""
    first = given[0] if given else None
    for name in ("attempt_id", "our_ref"):
        if hasattr(first, name):
            return getattr(first, name)
    return first


def _deaf(act: Callable[[], Any]) -> None:
    """It lands, and nobody hears the answer."""
    try:
        act()
    except (Refused, OutcomeUnknown, Unavailable):
        return
