"""What happens to money without being asked by us: payers at their page, banks, a dashboard, disputes, webhooks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from groupbook import payments
from groupbook.payments.domain import DisputeState, RefundState
from groupbook.payments.ports import Seen
from tests.simulation.clock import EPOCH
from tests.simulation.outcome import Effect
from tests.simulation.stage import Stage

_ALIVE = (Seen.OPEN, Seen.ACTION, Seen.DECLINED)
DAY = 86_400.0
# The provider repeats for three days what we did not take (A5). What is lost on its way is lost for good here, and must
# be found by looking; but only the provider's list of messages and the daily comparison, which are not swept here, look
# again at money that came or went.
_REPEATED = ("charge.dispute.closed", "refund.failed")
_answer_seconds = 20.0  # the provider waits no longer for ours
_again_seconds = 60.0  # then it comes again: so long after the first time, four times as long after each other,
_again_seconds_max = 3 * DAY  # and no more after that
short_days = (0.003, 0.02)  # a bank that promises minutes, where the card schemes say days


class Bank:
    """The world beyond the provider. It acts on the provider's books and tells the world what it did."""

    def __init__(self, world: Stage) -> None:
        self._world = world
        self._books = world.provider
        self._read = 0
        self._has_lapsed = False

    # --- a payer on the page ---

    def visit(self, page_ref: str, person: int, tries: int) -> None:
        """The payer is on the provider's page and does what their bank lets them do."""
        world, attempt_id = self._world, self._books.page(page_ref)
        payment = self._books.payment(attempt_id)
        if payment is None or payment.seen not in _ALIVE or self._has_closed(payment):
            return
        what = world.fault("bank.authorize", attempt_id)
        if world.people.is_amending and self._has_lapsed:
            what = world.fault("bank.again_for_change", attempt_id) or what
        if what == "declined":
            self._books.decline(attempt_id)
            self._tell("declined", attempt_id, payment)
            if tries > 0:
                world.later(world.dice.between("bank.again", 20, 300), self.visit, page_ref, person, tries - 1)
        elif what == "abandoned":
            world.told(f"person {person}", "leaves the page")
            world.people.is_back(person)
        elif what is not None and what.startswith("challenge"):
            self._books.challenge(attempt_id)
            self._books.emit("payment_intent.requires_action", attempt_id)
            self._tell("challenged", attempt_id, payment)
            self.pump()
            delay = world.dice.between("bank.3ds", *((2, 12) if world.plan.is_hasty else (5, 600)))
            if what == "challenge_fails":
                world.later(delay, self._fails, attempt_id, person, tries)
            elif what == "challenge_back":
                world.later(delay, self._goes_back, page_ref, person, tries)
            elif what == "challenge" and world.dice.draw("bank.challenge") < 0.7:
                world.later(delay, self._authorize, attempt_id, person, False)
        else:
            self._authorize(attempt_id, person, what == "review")

    def _fails(self, attempt_id: Any, person: int, tries: int) -> None:
        """They did not pass their bank's question."""
        payment = self._books.payment(attempt_id)
        if payment.seen is Seen.ACTION:
            self._books.decline(attempt_id)
            self._tell("declined", attempt_id, payment)
            self.pump()
            self._world.people.is_back(person)

    def _goes_back(self, page_ref: str, person: int, tries: int) -> None:
        """They leave their bank's question for another card: the page is as it was."""
        world, attempt_id = self._world, self._books.page(page_ref)
        if self._books.payment(attempt_id).seen is Seen.ACTION:
            self._books.turn_back(attempt_id)
            self._books.emit("payment_intent.requires_payment_method", attempt_id)
            self.pump()
            world.people.is_back(person)
            world.later(world.dice.between("bank.another", 20, 300), self.visit, page_ref, person, tries)

    def _authorize(self, attempt_id: Any, person: int, is_reviewed: bool) -> None:
        world, payment = self._world, self._books.payment(attempt_id)
        if payment.seen not in _ALIVE or self._has_closed(payment):
            return
        self._books.authorize(attempt_id, under_review=is_reviewed)
        if payment.seen is Seen.SAVED:
            self._tell("saved", attempt_id, payment)
            if world.fault("bank.card", attempt_id):
                world.later(world.dice.between("bank.card_at", 60, DAY), self._remove_card, attempt_id)
        else:
            days = world.dice.between("bank.window", 4.75, 7.0)
            if world.fault("bank.promise", attempt_id):
                days = world.dice.between("bank.short", *short_days)
            payment.capture_before = world.now + timedelta(days=days)
            self._tell("authorized", attempt_id, payment)
            self.noted(attempt_id, payment)
            if is_reviewed:
                world.later(world.dice.between("bank.review", 60, 3 * 3600), self._reviewed, attempt_id)
        self.pump()
        world.people.is_back(person)

    def _reviewed(self, attempt_id: Any) -> None:
        payment = self._books.payment(attempt_id)
        if payment.is_under_review:
            payment.is_under_review = False
            self._books.emit("review.closed", attempt_id)
            self.pump()

    def _has_closed(self, payment: Any) -> bool:
        return bool(payment.opened_at + timedelta(days=1) <= self._world.now)

    # --- what becomes of an authorization ---

    def noted(self, attempt_id: Any, payment: Any) -> None:
        """Something was authorized or captured: what may follow is planned."""
        world = self._world
        if payment.seen is Seen.AUTHORIZED and payment.capture_before is not None:
            world.later(
                (payment.capture_before - EPOCH).total_seconds() - world.timeline.seconds, self._ends, attempt_id
            )
            is_late = world.people.is_amending and world.fault("bank.change", attempt_id)
            if is_late or world.fault("bank.lapse", attempt_id):
                self._by_itself("bank.early", DAY, self.lapse, attempt_id)
            if world.fault("dashboard.capture", attempt_id):
                self._by_itself("dashboard.at", DAY, self._capture_outside, attempt_id)
            if world.fault("dashboard.void", attempt_id):
                self._by_itself("dashboard.at", DAY, self._void_outside, attempt_id)
        elif payment.seen is Seen.CAPTURED and (what := world.fault("dispute", attempt_id)):
            self._by_itself("dispute.at", 20 * DAY, self._dispute, attempt_id, what == "reopened")

    def _by_itself(self, site: str, most: float, act: Callable[..., None], *given: Any) -> None:
        """Some time after; in a hasty world within seconds, while we have not even heard of what it is about."""
        world = self._world
        world.later(world.dice.between(site, 1, 25 if world.plan.is_hasty else most), act, *given)

    def take_by_hand(self, attempt_id: Any) -> None:
        """Somebody sees that a capture was refused, and makes it in the dashboard."""
        self._world.later(self._world.dice.between("bank.by_hand", 0.5, 600), self._capture_outside, attempt_id)

    def lapse(self, attempt_id: Any) -> None:
        """The bank takes its promise back before its time."""
        payment = self._books.payment(attempt_id)
        if payment is not None and payment.seen is Seen.AUTHORIZED:
            self._has_lapsed = True
            self._books.lapse(attempt_id)
            self._tell("lapsed", attempt_id, payment)
            self.pump()

    def _ends(self, attempt_id: Any) -> None:
        payment = self._books.payment(attempt_id)
        if payment.seen is Seen.AUTHORIZED and payment.capture_before <= self._world.now:
            self._books.lapse(attempt_id)
            self._tell("expired", attempt_id, payment)
            self.pump()

    def _capture_outside(self, attempt_id: Any) -> None:
        payment = self._books.payment(attempt_id)
        if payment.seen is Seen.AUTHORIZED:
            self._books.capture_outside(attempt_id)
            self._tell("captured", attempt_id, payment)
            self.pump()

    def _void_outside(self, attempt_id: Any) -> None:
        payment = self._books.payment(attempt_id)
        if payment.seen is Seen.AUTHORIZED:
            self._books.cancel(attempt_id)
            self._tell("lapsed", attempt_id, payment)
            self.pump()

    def _remove_card(self, attempt_id: Any) -> None:
        payment = self._books.payment(attempt_id)
        if payment.seen is Seen.SAVED:
            self._books.remove_saved(attempt_id)
            self._tell("closed", attempt_id, payment)
            self.pump()

    def _dispute(self, attempt_id: Any, is_reopened: bool) -> None:
        payment = self._books.payment(attempt_id)
        if payment.seen is Seen.CAPTURED and payment.refunded < payment.captured:
            self._books.dispute(attempt_id)
            self._tell("disputed", attempt_id, payment)
            self.pump()
            self._decide_later(attempt_id, is_reopened)

    def _decide_later(self, attempt_id: Any, is_reopened: bool) -> None:
        self._in_days("dispute.days", 1, 20, self._decide, attempt_id, is_reopened)

    def _in_days(self, site: str, least: float, most: float, act: Callable[..., None], *given: Any) -> None:
        """In a hasty world often within seconds: while what was read before is still on its way to us."""
        world = self._world
        days = world.dice.between(site, least, most)
        is_soon = world.plan.is_hasty and world.dice.draw(f"{site}.soon") > 0.5
        world.later(25 * days / most if is_soon else days * DAY, act, *given)

    def _decide(self, attempt_id: Any, is_reopened: bool) -> None:
        won = is_reopened or self._world.dice.draw("dispute.won") < 0.5
        self._books.decide_dispute(attempt_id, DisputeState.WON if won else DisputeState.LOST)
        self._tell("dispute_won" if won else "dispute_lost", attempt_id, self._books.payment(attempt_id))
        self.pump()
        if is_reopened:
            self._in_days("dispute.again", 0.01, 5, self._reopen, attempt_id)

    def _reopen(self, attempt_id: Any) -> None:
        """The payer's bank asks once more; sometimes it decides at once. What was given back meanwhile is no matter."""
        payment = self._books.payment(attempt_id)
        if payment.captured - payment.refunded != payment.dispute.amount.minor:
            return
        if self._world.dice.draw("dispute.at_once") < 0.5:
            self._books.decide_dispute(attempt_id, DisputeState.OPEN)
            self._tell("disputed", attempt_id, payment)
            self.pump()
            self._decide_later(attempt_id, False)
        else:
            self._decide(attempt_id, False)

    # --- refunds ---

    def delays_refund(self, refund_id: Any, what: str, answer: Any) -> Any:
        """The refund that was just made is not through yet, or will come back."""
        world = self._world
        if what == "fails":
            self._settle_refund(refund_id, RefundState.FAILED)
            return self._books.refund_of(refund_id).answer
        if what == "fails_late":
            self._settle_later("refund.late", 1, 29, refund_id, RefundState.FAILED)
            return answer
        state = RefundState.FAILED if what == "pending_fails" else RefundState.SUCCEEDED
        self._settle_later("refund.pending", 0.05, 5, refund_id, state)
        world.told("provider", f"refund {str(refund_id)[-6:]} is pending")
        return self._books.answer_refund(refund_id, RefundState.PENDING)

    def _settle_later(self, site: str, low: float, high: float, refund_id: Any, state: RefundState) -> None:
        world = self._world
        world.later(world.dice.between(site, low, high) * DAY, self._settle_refund, refund_id, state)

    def _settle_refund(self, refund_id: Any, state: RefundState) -> None:
        is_failed = state is RefundState.FAILED
        self._books.settle_refund(refund_id, state)
        self._books.answer_refund(refund_id, state, "expired_or_canceled_card" if is_failed else None)
        attempt_id = self._books.attempt_of_refund(refund_id)
        self._books.emit("refund.failed" if is_failed else "refund.updated", attempt_id, refund_id)
        if is_failed:
            minor = self._books.refund_of(refund_id).answer.amount.minor
            self._world.effect(Effect("provider", "refund_failed", refund_id, self._world.now, minor, of=attempt_id))
        self.pump()

    # --- webhooks ---

    def pump(self) -> None:
        """Send what the provider has to say; some of it gets lost, doubled, late or stale."""
        world, news = self._world, self._books.news(self._read)
        self._read += len(news)
        for event in news:
            what = world.fault("webhook", event.attempt_id)
            delay = world.dice.between("webhook.delay", 0.2, 4)
            if what == "lost":
                if event.type not in _REPEATED:
                    continue
                delay += world.dice.between("webhook.repeated", 0.1, 3) * DAY
            elif what == "late":
                delay += world.dice.between("webhook.late", 60, 3 * 3600)
            elif what == "old":
                delay += world.dice.between("webhook.old", 1, 3) * DAY
            world.later(delay, self._arrive, event)
            if what == "double":
                world.later(delay + world.dice.between("webhook.again", 0.1, 3600), self._arrive, event)

    def _arrive(self, event: Any, again: float = _again_seconds) -> None:
        """A message is at our door; where nobody says that it was kept, it comes again."""
        world = self._world
        kept: list[Any] = []

        def receive() -> None:
            with world.database.begin(world.merchant_id) as session:
                payments.handle_event(session, "wire", event, b"")
            kept.append(event)

        world.told("webhook", f"{event.type} of attempt {str(event.attempt_id)[-6:]}")
        world.web(f"webhook {event.id}", receive)
        if not kept:
            world.later(_answer_seconds, self._repeat, event, kept, again)

    def _repeat(self, event: Any, kept: list[Any], again: float) -> None:
        """The web server was down, or died over it."""
        world = self._world
        if not kept and again <= _again_seconds_max:
            world.later(again * world.dice.between("webhook.resent", 0.7, 1.3), self._arrive, event, 4 * again)

    def _tell(self, what: str, attempt_id: UUID, payment: Any) -> None:
        self._world.effect(
            Effect(
                "provider",
                what,
                attempt_id,
                self._world.now,
                payment.captured or payment.order.amount.minor,
                capture_before=payment.capture_before,
            )
        )
        if what == "captured":
            self.noted(attempt_id, payment)
