"""Named mutations of the production code: each leaves out one rule that a tired engineer could forget.

The first sixteen are those of the reference (payments.md 4.4), rewritten where this code base has no such place; the
others are rules of the failure matrix and of the merchant's hold. `swapping` says why patching is right here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy.orm import Session

from groupbook import payments
from groupbook.bookings import news, rescue
from groupbook.bookings.domain import BookingState
from groupbook.bookings.machine import BookingEvent, Effect
from groupbook.bookings.news import Snapshot
from groupbook.bookings.service import effects, leaving, telling
from groupbook.kit import intents
from groupbook.kit.errors import OutcomeUnknown, Refused
from groupbook.kit.ids import new_id
from groupbook.kit.intents import Intent
from groupbook.kit.models import IntentRow
from groupbook.kit.runner import Runner
from groupbook.offers import machines as offers
from groupbook.offers import repository as offers_repository
from groupbook.offers.machines import OrderState
from groupbook.offers.ports import ConfirmedOrder, MerchantRefused
from groupbook.offers.service import holds, order_calls
from groupbook.payments import amounts, handlers, moving, recording, refund, repository, returning
from groupbook.payments.attempt import AttemptEvent, AttemptState
from groupbook.payments.portion import SETTLED, PortionState
from groupbook.payments.ports import Observed, Seen
from groupbook.payments.service import allocating, deciding, listening, recovering, voiding
from tests.simulation.plan import Profile
from tests.simulation.swapping import every, swapped, table

Broken = AbstractContextManager[None]


@dataclass(frozen=True)
class Mutant:
    """One rule left out.

    Args:
        rule: what it forgets, and where that rule is written.
        breaks: makes it so, for as long as the context lasts.
        rates: the odds that lead to it, for a swarm of its own.
        histories_max: how many histories it may survive before it counts as unnoticed.
    """

    name: str
    rule: str
    breaks: Callable[[], Broken]
    rates: tuple[tuple[str, float], ...] = ()
    others: float = 0.3
    histories_max: int = 500

    @property
    def profile(self) -> Profile | None:
        return Profile(self.name, dict(self.rates), self.others) if self.rates else None


_B, _E, _X = BookingState, BookingEvent, Effect
_UNDO: Final = (_X.VOID, _X.RELEASE_HOLD)


def _does_nothing(was: Any) -> Any:
    def nothing(*args: Any, **kwargs: Any) -> None:
        return None

    return nothing


def _answers(answer: Any) -> Callable[[Any], Any]:
    def made(was: Any) -> Any:
        def always(*args: Any, **kwargs: Any) -> Any:
            return answer

        return always

    return made


def _on_unknown(then: Callable[..., Any]) -> Callable[[Any], Any]:
    """A call that does not know takes `then` for its answer."""

    def made(was: Any) -> Any:
        def call(self: Any, intent: Intent) -> Any:
            try:
                return was(self, intent)
            except OutcomeUnknown:
                return then(intent)

        return call

    return made


def _refuse(reason: Any) -> Callable[..., Any]:
    def refuse(intent: Intent) -> Any:
        raise MerchantRefused(reason) if reason == "sold_out" else Refused(reason)

    return refuse


# --- the sixteen of the reference -------------------------------------------------------------------------------------


def _capture_before_confirm() -> Broken:
    return table("booking", {(_B.FREEZING, _E.LOOKED_COMPLETE): (_B.CONFIRMING, (_X.CONFIRM, _X.CAPTURE))})


def _charged_again_unread() -> Broken:
    """A call for a kept card is sent again under a new key, and nobody looks whether the first one landed."""
    return every(
        swapped(Intent, "key", lambda was: property(lambda self: f"{self.kind}:{new_id().hex}")),
        swapped(handlers.Authorize, "observe", _answers(None)),
    )


def _refund_unread() -> Broken:
    """Neither looked up nor keyed: every try is a refund of its own."""

    def fresh(was: Any) -> Any:
        def call(self: Any, intent: Intent) -> Any:
            provider, ref, amount, _ = self._read(intent)
            half = type(amount)(max(1, amount.minor // 2), amount.currency)
            seconds = self._providers.timeout_seconds
            provider.refund(ref, half, refund_id=new_id(), key=new_id().hex, timeout_seconds=seconds)
            return was(self, intent)

        return call

    return every(swapped(handlers.Refund, "call", fresh), swapped(handlers.Refund, "observe", _answers(None)))


def _capture_timeout_is_failure() -> Broken:
    return swapped(handlers.Capture, "call", _on_unknown(_refuse("card_declined")))


def _merchant_timeout_is_rejection() -> Broken:
    return swapped(order_calls.ConfirmOrder, "call", _on_unknown(_refuse("sold_out")))


def _merchant_timeout_is_confirmation() -> Broken:
    return swapped(order_calls.ConfirmOrder, "call", _on_unknown(lambda intent: ConfirmedOrder("T", (), ())))


def _ledger_without_dedupe() -> Broken:
    """What is read twice is journaled twice."""

    def journal(was: Any) -> Any:
        def always(session: Session, kind: Any, amount: Any, **named: Any) -> Any:
            return was(session, kind, amount, **{**named, "cause": new_id()})

        return always

    def twice(was: Any) -> Any:
        def changed(*given: Any) -> None:
            was(*given)
            if given[2].state == AttemptState.AUTHORIZED:
                recording._authorized(given[0], given[1], given[2], given[4])

        return changed

    return every(swapped(repository, "journal", journal), swapped(recording, "_changed", twice))


_WORDS: Final = {
    "payment_intent.amount_capturable_updated": Seen.AUTHORIZED,
    "payment_intent.succeeded": Seen.CAPTURED,
    "payment_intent.canceled": Seen.CANCELED,
    "payment_intent.payment_failed": Seen.DECLINED,
    "checkout.session.expired": Seen.EXPIRED,
    "charge.expired": Seen.EXPIRED,
}


def _message_is_believed() -> Broken:
    """A message's word for it is applied as the truth, however old it is."""

    def made(was: Any) -> Any:
        def handle(session: Session, source: str, event: Any, body: bytes) -> Any:
            seen = _WORDS.get(event.type)
            if seen is not None and event.attempt_id is not None:
                recording.record_observation(session, event.attempt_id, Observed(seen), inflight_seconds=0)
            return was(session, source, event, body)

        return handle

    return swapped(listening, "handle_event", made)


def _no_fence() -> Broken:
    """A lease shorter than a call, and whoever comes back late records over the one who took over."""

    def made(was: Any) -> Any:
        def any_fence(session: Any, fences: Any) -> Any:
            return {id: row for id in sorted(fences) if (row := session.find(IntentRow, id)) is not None}

        return any_fence

    def hasty(was: Any) -> Any:
        def take(self: Any, session: Any, rows: Any) -> Any:
            claims = was(self, session, rows)
            for row in rows:
                row.lease_until = row.called_at
            return claims

        return take

    return every(swapped(intents, "lock_fenced", made), swapped(Runner, "_take", hasty))


def _roster_open() -> Broken:
    """Who asks to leave is let go, whatever is being decided."""
    return swapped(leaving, "_require_open", _does_nothing)


def _no_expiry_margin() -> Broken:
    return every(
        swapped(amounts, "may_capture", _answers(True)),
        swapped(Snapshot, "_counts", lambda was: lambda self, portion: portion.state in SETTLED),
    )


def _void_skips_unknown() -> Broken:
    """An attempt whose page may yet open is taken for one that never was."""

    def made(was: Any) -> Any:
        def close(session: Session, row: Any) -> None:
            if row.state == AttemptState.OPENING:
                row.state = AttemptState.CANCELED.value
                return
            was(session, row)

        return close

    return swapped(moving, "close_attempt", made)


def _owed_outside_the_transaction() -> Broken:
    """A call is written down after the commit of what it follows from; who dies in between forgets it."""

    def made(was: Any) -> Any:
        def write(session: Any, calls: Any, **named: Any) -> Any:
            written = was(session, calls, **named)
            for (id, _), call in zip(written, calls, strict=True):
                row = session.find(IntentRow, id)
                if call.kind in (moving.CAPTURE, moving.CLOSE) and row is not None and id.int % 11 == 0:
                    row.state = "done"  # its worker died before the second transaction
            return written

        return write

    return swapped(intents, "write_all", made)


def _all_read(was: Any) -> Any:
    def tally(*given: Any, **named: Any) -> Any:
        return [replace(one, is_unread=False) for one in was(*given, **named)]

    return tally


def _no_sweep_no_look() -> Broken:
    return every(
        swapped(listening, "sweep", _answers(0)),
        swapped(effects, "_EFFECTS", lambda was: {**was, _X.LOOK: _nothing}),
        swapped(payments, "tally", _all_read),
    )


def _remainder_lost() -> Broken:
    """What does not divide evenly is dropped when the price falls."""

    def made(was: Any) -> Any:
        def fall(dues: Any, whole: Any) -> Any:
            found = was(dues, whole)
            return {id: type(one)(one.minor - one.minor % 10, one.currency) for id, one in found.items()}

        return fall

    return swapped(amounts, "fall", made)


def _failed_capture_ignored() -> Broken:
    return swapped(news, "TAKEN", lambda was: was | {PortionState.SHORT}, is_everywhere=False)


# --- our own ----------------------------------------------------------------------------------------------------------


def _no_tombstone() -> Broken:
    return table("booking", {(_B.CONFIRMING, _E.CONFIRM_BUDGET_OUT): (_B.VOIDING, _UNDO)})


def _cancel_only_what_was_heard() -> Broken:
    """Nobody told us of an order, so there is nothing to cancel."""
    return swapped(order_calls.CancelOrder, "call", _answers(None))


def _no_is_no() -> Broken:
    """A refusal counts, although an earlier call of ours is still out."""

    def made(was: Any) -> Any:
        def refused(self: Any, session: Session, intent: Intent, refusal: Refused) -> None:
            was(self, session, replace(intent, attempts=1), refusal)

        return refused

    return swapped(order_calls.ConfirmOrder, "record_refusal", made)


def _no_second_look() -> Broken:
    def made(was: Any) -> Any:
        def give_up(session: Session, portion: Any, attempt: Any, moment: Any, inflight_seconds: float) -> None:
            moving.move_attempt(attempt, AttemptEvent.NEVER_LANDED)
            recording._after_end(session, portion, attempt, moment)

        return give_up

    return swapped(recording, "_look_again_or_give_up", made)


def _hold_kept() -> Broken:
    """Nobody tells the merchant, and nobody waits for it."""
    return every(
        swapped(effects, "_EFFECTS", lambda was: {**was, _X.RELEASE_HOLD: _nothing}),
        swapped(news, "_HOLD_OVER", lambda was: was | {offers.HoldState.LIVE, offers.HoldState.EXTENDING}),
    )


def _orphan_kept() -> Broken:
    """The second look comes too early, and what the third one finds is left alive."""

    def hasty(was: Any) -> Any:
        return lambda session, portion, attempt, moment, inflight_seconds: was(session, portion, attempt, moment, 0)

    return every(
        swapped(recording, "_close_what_should_not_live", _does_nothing),
        swapped(recording, "_look_again_or_give_up", hasty),
    )


def _superseded_page_kept() -> Broken:
    def made(was: Any) -> Any:
        def supersede(session: Session, portion: Any, **kwargs: Any) -> None:
            current = repository.current_attempts(session, [portion.id]).get(portion.id)
            if current is not None:
                current.is_current = False
                session.flush()

        return supersede

    return every(swapped(moving, "supersede", made), swapped(recording, "_close_what_should_not_live", _does_nothing))


def _leaver_kept() -> Broken:
    """Who leaves is taken out of the sums, and their authorization is forgotten."""

    def made(was: Any) -> Any:
        def drop(session: Session, row: Any, now: Any) -> None:
            if row.dropped_at is None:
                row.dropped_at = now
                moving.touch(row, now)
                moving.tell(session, "portion.dropped", row)

        return drop

    return swapped(voiding, "drop", made)


def _full_price_taken() -> Broken:
    """The price fell, and everybody pays what they first agreed to."""

    def made(was: Any) -> Any:
        return lambda portions, unbilled, whole: was(portions, unbilled, None)

    return swapped(deciding, "_amounts", made)


def _unasked_kept() -> Broken:
    """Money that nobody asked for is booked, and stays."""

    def made(was: Any) -> Any:
        def ask(session: Session, portion: Any, attempt: Any, amount: Any, **named: Any) -> Any:
            return None if named.get("is_unasked") else was(session, portion, attempt, amount, **named)

        return ask

    return swapped(returning, "ask_refund", made)


def _old_reading_wins() -> Broken:
    """Yesterday's word moves an authorization back."""
    s, e = AttemptState, AttemptEvent
    return every(
        _message_is_believed(),
        table(
            "attempt",
            {(s.CAPTURED, e.SEEN_AUTHORIZED): s.AUTHORIZED, (s.CANCELED, e.SEEN_AUTHORIZED): s.AUTHORIZED},
        ),
    )


def _budgets_forgotten() -> Broken:
    """No state ends by its budget."""

    def made(was: Any) -> Any:
        def read(state: Any, seen: Any) -> Any:
            event = was(state, seen)
            return None if event in (_E.BUDGET_OUT, _E.CONFIRM_BUDGET_OUT, _E.RECOVERY_OUT) else event

        return read

    return swapped(news, "news", made)


def _parked_in_silence() -> Broken:
    def made(was: Any) -> Any:
        def tell(session: Session, row: Any, name: Any, now: Any) -> None:
            was(session, row, None if name == "booking.parked" else name, now)

        return tell

    return swapped(telling, "tell", made)


def _refund_before_cancel() -> Broken:
    return table(
        "booking",
        {
            (_B.BOOKED, _E.CANCEL_ASKED): (_B.REFUNDING, (_X.UNWIND,)),
            (_B.RECOVERING, _E.RECOVERY_OUT): (_B.REFUNDING, (_X.UNWIND,)),
        },
    )


def _early_release_forgotten() -> Broken:
    """Only places that were answered for are released; a request that is still out is forgotten."""
    s = offers.HoldState

    def made(was: Any) -> Any:
        def release(session: Session, reference: Any, now: Any) -> bool:
            for row in offers_repository.lock_open_holds(session, reference):
                if row.state == s.PLACING.value:
                    row.state = s.RELEASED.value
            session.flush()
            return bool(was(session, reference, now))

        return release

    return swapped(holds, "release_hold", made)


def _lapse_unseen() -> Broken:
    """An authorization that ended is still counted."""
    s, e = AttemptState, AttemptEvent
    return table(
        "attempt",
        {
            (s.AUTHORIZED, e.SEEN_EXPIRED): s.AUTHORIZED,
            (s.AUTHORIZED, e.SEEN_CANCELED): s.AUTHORIZED,
            (s.CAPTURING, e.SEEN_EXPIRED): s.CAPTURING,
        },
    )


def _memo_never_ends() -> Broken:
    return swapped(recording, "_end_memo", _does_nothing)


def _page_closed_is_all() -> Broken:
    """Closing the page is taken for releasing what landed on it (H7)."""

    def made(was: Any) -> Any:
        def call(self: Any, intent: Intent) -> Any:
            return Observed(Seen.CANCELED)

        return call

    return swapped(handlers.Close, "call", made)


def _shortfall_on_the_merchant() -> Broken:
    """A capture that failed is owed by a merchant who never agreed to that, and nobody asks again."""
    return table("booking", {(_B.RECOVERING, _E.RECOVERY_OUT): (_B.RECOVERING, (_X.COVER,))})


def _ended_without_voids() -> Broken:
    """Given up is given up: nobody waits until the banks have let go."""
    return swapped(news, "CLOSED", lambda was: was | {PortionState.VOIDING}, is_everywhere=False)


def _refund_taken_for_done() -> Broken:
    s = refund.RefundState
    return table(
        "refund",
        {
            (s.ASKED, s.FAILED): s.SUCCEEDED,
            (s.PENDING, s.FAILED): s.SUCCEEDED,
            (s.SUCCEEDED, s.FAILED): s.SUCCEEDED,
        },
    )


def _rise_not_asked() -> Broken:
    """A price that rose is put on everybody who has agreed to less."""

    def made(was: Any) -> Any:
        def change(session: Session, portion: Any, draft: Any, attempt: Any, now: Any) -> None:
            if attempt is not None and attempt.state == AttemptState.AUTHORIZED and draft.amount:
                portion.amount = portion.cap = draft.amount.minor
                moving.touch(portion, now)
                return
            was(session, portion, draft, attempt, now)

        return change

    return swapped(allocating, "_change", made)


def _gone_in_silence() -> Broken:
    """The party shrinks to who has paid, and the others' portions stay in the sum."""
    return swapped(effects, "_EFFECTS", lambda was: {**was, _X.SHRINK: _nothing})


def _never_asked_again() -> Broken:
    """A capture that failed is nobody's business: no second card, no page, no end."""
    return every(
        swapped(recovering, "recover_all", _answers([])),
        swapped(news, "_recovering", _answers(None)),
        swapped(news, "_READERS", lambda was: {**was, _B.RECOVERING: lambda seen: None}),
    )


def _version_stands_still() -> Broken:
    """A step is written without a new version: a stale writer would not notice."""

    def made(was: Any) -> Any:
        def move(portion: Any, event: Any, now: Any) -> bool:
            version = portion.version
            moved = bool(was(portion, event, now))
            portion.version = version
            return moved

        return move

    return swapped(moving, "move_portion", made)


def _refused_change_taken() -> Broken:
    """The merchant will not change the order; who wanted to come in pays all the same."""
    return table("booking", {(_B.AMENDING, _E.AMENDMENT_REFUSED): (_B.AMENDING, (_X.SETTLE_AMENDMENT,))})


def _taken_of_an_order_in_question() -> Broken:
    """The merchant takes its yes back, and what is owed is captured as if nothing had been said."""
    return swapped(payments, "stop_taking", _does_nothing)


def _cover_stands() -> Broken:
    """Who takes over a covered place pays for it, and the merchant waits for its money all the same."""
    return swapped(payments, "lessen_cover", _does_nothing)


def _order_forgotten_by_force() -> Broken:
    """A booking that a person ends by force gives the money back, and leaves the merchant its order."""
    return swapped(rescue, "_NO_ORDER", lambda was: was | set(OrderState))


def _nothing(session: Session, row: Any, now: Any) -> None:
    return None


MUTANTS: Final = (
    Mutant(
        "capture before confirm", "4.4 #1, I1: nothing is taken before the merchant has sold", _capture_before_confirm
    ),
    Mutant(
        "charged again unread",
        "4.4 #2, A1: one key per intent, and a look before a second try",
        _charged_again_unread,
        (
            ("policy.saves", 1.0),
            ("provider.authorize_saved:lost_answer", 0.5),
            ("provider.authorize_saved:zombie", 0.3),
        ),
    ),
    Mutant(
        "refund unread",
        "4.4 #3, 2.5 refund: found by its id before it is sent again",
        _refund_unread,
        (("organizer.regret", 1.0), ("provider.refund:lost_answer", 0.4)),
    ),
    Mutant(
        "capture time-out is a failure",
        "4.4 #4, 0.4: a time-out is unknown",
        _capture_timeout_is_failure,
        (("policy.keeps_cards", 1.0), ("provider.capture:lost_answer", 0.6), ("provider.observe:busy", 0.2)),
    ),
    Mutant(
        "merchant time-out is a no",
        "4.4 #5, 0.4: never void on an unknown order",
        _merchant_timeout_is_rejection,
        (("merchant.confirm:lost_answer", 0.6),),
    ),
    Mutant(
        "merchant time-out is a yes",
        "4.4 #6, 0.4: never capture on an unknown order",
        _merchant_timeout_is_confirmation,
        (("merchant.confirm:lost_request", 0.6),),
    ),
    Mutant("ledger without dedupe", "4.4 #7, I4: one cause is journaled once", _ledger_without_dedupe),
    Mutant(
        "message is believed",
        "4.4 #8, 0.8: a message only says where to look",
        _message_is_believed,
        (
            ("merchant.holds", 0.0),
            ("webhook:late", 0.9),
            ("provider.observe:busy", 0.7),
            ("bank.lapse:early", 0.5),
            ("people.silent", 0.0),
        ),
        others=0.0,
    ),
    Mutant(
        "no fence",
        "4.4 #9, R2: a stale claimant records nothing",
        _no_fence,
        (("provider.refund:slow", 0.8), ("organizer.regret", 1.0)),
        others=0.0,
    ),
    Mutant(
        "roster open",
        "4.4 #10, I13: nobody leaves a frozen party",
        _roster_open,
        (("people.leave", 0.6), ("merchant.confirm:pending", 1.0), ("people.silent", 0.0)),
        others=0.0,
    ),
    Mutant(
        "no expiry margin",
        "4.4 #11, I10: decide and capture well before the bank lets go",
        _no_expiry_margin,
        (("bank.promise:short", 0.3), ("people.silent", 0.0)),
        others=0.0,
    ),
    Mutant(
        "void skips the unknown",
        "4.4 #12: what may yet land is closed, too",
        _void_skips_unknown,
        (
            ("policy.saves", 1.0),
            ("provider.authorize_saved:zombie", 0.7),
            ("people.silent", 0.3),
            ("webhook:lost", 1.0),
        ),
    ),
    Mutant(
        "owed outside the transaction",
        "4.4 #13, R1: a call is owed where its reason is written",
        _owed_outside_the_transaction,
        (("people.silent", 0.0), ("people.leave", 0.0)),
        others=0.0,
    ),
    Mutant(
        "no sweep, no last look",
        "4.4 #14, I11: nobody is given up unread",
        _no_sweep_no_look,
        (("webhook:lost", 0.9), ("people.gone", 1.0), ("people.silent", 0.0)),
    ),
    Mutant(
        "remainder lost",
        "4.4 #15, I3: parts sum to the whole when a price falls",
        _remainder_lost,
        (("merchant.confirm:price_dropped", 0.8),),
    ),
    Mutant(
        "failed capture ignored",
        "4.4 #16, I3: a capture that failed is not money",
        _failed_capture_ignored,
        (("provider.capture:lapsed", 0.4),),
    ),
    Mutant(
        "no tombstone",
        "0.6: after our cancellation no confirm may succeed",
        _no_tombstone,
        (("merchant.confirm:zombie", 0.7), ("merchant.confirm:lost_answer", 0.3), ("merchant.observe_order:busy", 0.9)),
    ),
    Mutant(
        "cancel only what was heard",
        "2.5 confirming: a tombstone where a confirm may be on its way",
        _cancel_only_what_was_heard,
        (("merchant.confirm:zombie", 0.5), ("merchant.confirm:lost_answer", 0.4), ("merchant.observe_order:busy", 0.9)),
    ),
    Mutant(
        "a no is a no",
        "2.5 confirming: behind an unanswered confirm a refusal counts only after a tombstone",
        _no_is_no,
        (
            ("people.silent", 0.0),
            ("merchant.holds", 0.0),
            ("merchant.confirm:zombie", 0.5),
            ("merchant.confirm:sold_out", 0.5),
        ),
        others=0.1,
    ),
    Mutant(
        "no second look",
        "2.5 zombie: what lands after we gave it up is found",
        _no_second_look,
        (
            ("policy.saves", 1.0),
            ("provider.authorize_saved:zombie", 0.9),
            ("provider.observe:busy", 0.7),
            ("people.silent", 0.3),
            ("webhook:lost", 1.0),
        ),
        others=0.0,
    ),
    Mutant("hold kept", "H: an ended booking leaves no live hold", _hold_kept, (("people.silent", 0.4),)),
    Mutant(
        "orphan kept",
        "2.5: an authorization nobody wants is voided",
        _orphan_kept,
        (
            ("policy.saves", 1.0),
            ("provider.authorize_saved:zombie", 0.9),
            ("provider.observe:busy", 0.7),
            ("people.silent", 0.3),
            ("webhook:lost", 1.0),
        ),
        others=0.0,
    ),
    Mutant(
        "superseded page kept",
        "2.5: two payers, one portion: the loser's page is closed",
        _superseded_page_kept,
        (("people.take", 0.8), ("people.ask", 0.5)),
    ),
    Mutant("leaver kept", "I7: who leaves is released", _leaver_kept, (("people.leave", 0.6),)),
    Mutant(
        "full price taken",
        "falling price: everybody pays the lower amount",
        _full_price_taken,
        (("merchant.confirm:price_dropped", 0.8),),
    ),
    Mutant(
        "unasked money kept",
        "2.5 voiding: what somebody else captured is refunded",
        _unasked_kept,
        (("dashboard.capture:captured", 0.4),),
    ),
    Mutant(
        "old reading wins",
        "I9: nothing moves back because old news comes late",
        _old_reading_wins,
        (("webhook:old", 0.5), ("webhook:late", 0.5)),
    ),
    Mutant(
        "budgets forgotten",
        "R5: budgets end in parked, never in silence",
        _budgets_forgotten,
        (("merchant.cancel:not_cancelable", 0.5), ("provider.capture:lapsed", 0.4), ("merchant.confirm:busy", 0.9)),
    ),
    Mutant(
        "parked in silence",
        "P5: a parked booking has an alert",
        _parked_in_silence,
        (("provider.capture:lapsed", 0.5), ("merchant.cancel:not_cancelable", 0.9)),
    ),
    Mutant(
        "refund before cancel",
        "2.5 unwinding: refunds only after the merchant has acknowledged",
        _refund_before_cancel,
        (("organizer.regret", 1.0),),
    ),
    Mutant(
        "early release forgotten",
        "H: a request for places that is still out is released, too",
        _early_release_forgotten,
        (("organizer.hasty", 1.0), ("merchant.place_hold:slow", 0.6), ("merchant.place_hold:lost_answer", 0.3)),
    ),
    Mutant(
        "lapse unseen",
        "2.5 open: an authorization that ended is not counted",
        _lapse_unseen,
        (("bank.lapse:early", 0.5),),
    ),
    Mutant("memo never ends", "I4: the memo is what banks keep", _memo_never_ends),
    Mutant(
        "page closed is all",
        "H7: close the page, then release what landed on it",
        _page_closed_is_all,
        (("people.silent", 0.3),),
    ),
    Mutant(
        "shortfall on the merchant",
        "design 3: a receivable only where the merchant accepted one",
        _shortfall_on_the_merchant,
        (("provider.capture:lapsed", 0.5),),
    ),
    Mutant(
        "ended without voids",
        "I2: aborted only when every bank has let go",
        _ended_without_voids,
        (("people.silent", 0.4), ("provider.void:busy", 0.5)),
    ),
    Mutant(
        "refund taken for done",
        "2.5 refund: one that fails after success is reopened",
        _refund_taken_for_done,
        (("organizer.regret", 1.0), ("provider.refund:fails_late", 0.5)),
    ),
    Mutant(
        "rise not asked",
        "I8: more than agreed is asked again",
        _rise_not_asked,
        (("merchant.holds", 0.0), ("merchant.price_moves", 0.9), ("people.leave", 0.5)),
    ),
    Mutant(
        "gone in silence",
        "2.3 freezing: the quorum's decision shrinks the party",
        _gone_in_silence,
        (("policy.quorum", 1.0), ("people.silent", 0.3)),
        others=0.0,
    ),
    Mutant(
        "never asked again",
        "2.5 recovering: one fallback, then policy, never silence",
        _never_asked_again,
        (("provider.capture:lapsed", 0.5),),
    ),
    Mutant(
        "taken of an order in question",
        "P1: where the merchant contradicts itself nothing more is taken",
        _taken_of_an_order_in_question,
        (
            ("people.silent", 0.0),
            ("merchant.confirm:tickets_later", 0.9),
            ("merchant.tickets:revoked", 0.6),
            ("provider.away:capturing", 0.6),
        ),
        others=0.05,
    ),
    Mutant(
        "cover stands",
        "I3: who comes in for a covered place pays what the merchant was owed for it",
        _cover_stands,
        (("policy.receivable", 1.0), ("provider.capture:lapsed", 0.4), ("people.amend", 1.0), ("people.spare", 1.0)),
    ),
    Mutant(
        "order forgotten by force",
        "2.5 parked: ended by force, the order is taken back in every state",
        _order_forgotten_by_force,
        (("operator.force", 1.0), ("provider.capture:lapsed", 0.5), ("merchant.cancel:not_cancelable", 0.3)),
    ),
    Mutant("version stands still", "I9: every step has a new version", _version_stands_still),
    Mutant(
        "refused change taken",
        "2.6: amend first; if it fails nothing changed",
        _refused_change_taken,
        (("people.amend", 1.0), ("merchant.amend:refused", 0.7)),
    ),
)


def mutant_of(name: str) -> Mutant:
    """Raises StopIteration: there is none of that name."""
    return next(mutant for mutant in MUTANTS if mutant.name == name)
