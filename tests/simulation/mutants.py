"""Named mutations of the production code: each leaves out one rule that a tired engineer could forget.

The first sixteen are those of the reference (payments.md 4.4), rewritten where this code base has no such place; the
others are rules of the failure matrix and of the merchant's hold. `swapping` says why patching is right here.

Most are a row of the table below: a place and what stands there instead. What does not fit a row is a function above
it, whose first argument is what it stands in for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from groupbook import offers, payments
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
from groupbook.offers import repository as offers_repository
from groupbook.offers.machines import HoldState, OrderState
from groupbook.offers.ports import ConfirmedOrder, MerchantRefused
from groupbook.offers.service import holds, order_calls
from groupbook.payments import amounts, handlers, moving, recording, repository, returning
from groupbook.payments.attempt import AttemptEvent, AttemptState
from groupbook.payments.portion import PortionState
from groupbook.payments.ports import Observed, Seen
from groupbook.payments.refund import RefundState
from groupbook.payments.service import allocating, deciding, listening, recovering, voiding
from tests.simulation.plan import Profile
from tests.simulation.swapping import every, swapped, table

Break = Callable[[], AbstractContextManager[None]]
Rates = tuple[tuple[str, float], ...]


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
    breaks: Break
    rates: Rates = ()
    others: float = 0.3
    histories_max: int = 500

    @property
    def profile(self) -> Profile | None:
        return Profile(self.name, dict(self.rates), self.others) if self.rates else None


# --- how a row says what is broken ------------------------------------------------------------------------------------


def at(owner: Any, name: str, new: Callable[..., Any]) -> Break:
    """`new(was, ...)` is called there in the place of `was(...)`."""
    return lambda: swapped(owner, name, lambda was: lambda *args, **kwargs: new(was, *args, **kwargs))


def value(owner: Any, name: str, made: Callable[[Any], Any], *, is_everywhere: bool = True) -> Break:
    """There stands what is `made` of what was there."""
    return lambda: swapped(owner, name, made, is_everywhere=is_everywhere)


def rows(machine: str, changes: dict[Any, Any]) -> Break:
    """These pairs of that machine lead elsewhere."""
    return lambda: table(machine, changes)


def together(*breaks: Break) -> Break:
    return lambda: every(*(one() for one in breaks))


def without(effect: Effect) -> Break:
    """That effect of the booking's machine is forgotten."""
    return value(effects, "_EFFECTS", lambda was: {**was, effect: partial(nothing, None)})


def counting(name: str, *more: Any) -> Break:
    """These count among `news.name`, too."""
    return value(news, name, lambda was: was | set(more), is_everywhere=False)


def nothing(was: Any, *args: Any, **kwargs: Any) -> None:
    return None


def always(answer: Any) -> Callable[..., Any]:
    return lambda was, *args, **kwargs: answer


def refusing(kind: Callable[[Any], Refused], reason: str) -> Callable[..., Any]:
    """A call that does not know takes it for this no."""

    def call(was: Any, self: Any, intent: Intent) -> Any:
        try:
            return was(self, intent)
        except OutcomeUnknown:
            raise kind(reason) from None

    return call


def sold_if_unknown(was: Any, self: Any, intent: Intent) -> Any:
    try:
        return was(self, intent)
    except OutcomeUnknown:
        return ConfirmedOrder("T", (), ())


# --- what stands there instead ----------------------------------------------------------------------------------------


def refund_of_its_own(was: Any, self: Any, intent: Intent) -> Any:
    """Neither looked up nor keyed: every try is a refund of its own."""
    provider, ref, amount, _ = self._read(intent)
    half = type(amount)(max(1, amount.minor // 2), amount.currency)
    seconds = self._providers.timeout_seconds
    provider.refund(ref, half, refund_id=new_id(), key=new_id().hex, timeout_seconds=seconds)
    return was(self, intent)


def journaled_anew(was: Any, session: Session, kind: Any, amount: Any, **named: Any) -> Any:
    return was(session, kind, amount, **{**named, "cause": new_id()})


def read_twice(was: Any, *given: Any) -> None:
    was(*given)
    if given[2].state == AttemptState.AUTHORIZED:
        recording._authorized(given[0], given[1], given[2], given[4])


WORDS: Final = {
    "payment_intent.amount_capturable_updated": Seen.AUTHORIZED,
    "payment_intent.succeeded": Seen.CAPTURED,
    "payment_intent.canceled": Seen.CANCELED,
    "payment_intent.payment_failed": Seen.DECLINED,
    "checkout.session.expired": Seen.EXPIRED,
    "charge.expired": Seen.EXPIRED,
}


def taken_at_its_word(was: Any, session: Session, source: str, event: Any, body: bytes) -> Any:
    """A message is applied as the truth, however old it is."""
    seen = WORDS.get(event.type)
    if seen is not None and event.attempt_id is not None:
        recording.record_observation(session, event.attempt_id, Observed(seen), inflight_seconds=0)
    return was(session, source, event, body)


def any_fence(was: Any, session: Any, fences: Any) -> Any:
    return {id: row for id in sorted(fences) if (row := session.find(IntentRow, id)) is not None}


def leased_for_no_time(was: Any, self: Any, session: Any, found: Any, *given: Any) -> Any:
    claims = was(self, session, found, *given)
    for row in found:
        row.lease_until = row.called_at
    return claims


def closed_unopened(was: Any, session: Session, row: Any) -> None:
    """An attempt whose page may yet open is taken for one that never was."""
    if row.state == AttemptState.OPENING:
        row.state = AttemptState.CANCELED.value
        return
    was(session, row)


def owed_later(was: Any, session: Any, calls: Any, **named: Any) -> Any:
    """A call is written down after the commit of what it follows from; who dies in between forgets it."""
    written = was(session, calls, **named)
    for (id, _), call in zip(written, calls, strict=True):
        row = session.find(IntentRow, id)
        if call.kind in (moving.CAPTURE, moving.CLOSE) and row is not None and id.int % 11 == 0:
            row.state = "done"  # its worker died before the second transaction
    return written


def all_read(was: Any, *given: Any, **named: Any) -> Any:
    return [replace(one, is_unread=False) for one in was(*given, **named)]


def cut_to_tens(was: Any, dues: Any, whole: Any) -> Any:
    """What does not divide evenly is dropped when the price falls."""
    return {id: type(one)(one.minor - one.minor % 10, one.currency) for id, one in was(dues, whole).items()}


def first_try(was: Any, self: Any, session: Session, intent: Intent, refusal: Refused) -> None:
    """A refusal counts, although an earlier call of ours is still out."""
    was(self, session, replace(intent, attempts=1), refusal)


def given_up_at_once(
    was: Any, session: Session, portion: Any, attempt: Any, moment: Any, inflight_seconds: float
) -> None:
    moving.move_attempt(attempt, AttemptEvent.NEVER_LANDED)
    recording._after_end(session, portion, attempt, moment)


def too_early(was: Any, session: Session, portion: Any, attempt: Any, moment: Any, inflight_seconds: float) -> None:
    was(session, portion, attempt, moment, 0)


def left_open(was: Any, session: Session, portion: Any, **kwargs: Any) -> None:
    """Another attempt is the current one, and the page of the first stays."""
    current = repository.current_attempts(session, [portion.id]).get(portion.id)
    if current is not None:
        current.is_current = False
        session.flush()


def dropped_and_forgotten(was: Any, session: Session, row: Any, now: Any) -> None:
    """Who leaves is taken out of the sums, and their authorization is forgotten."""
    if row.dropped_at is None:
        row.dropped_at = now
        moving.touch(row, now)
        moving.tell(session, "portion.dropped", row)


def as_agreed_first(was: Any, portions: Any, unbilled: Any, whole: Any) -> Any:
    """The price fell, and everybody pays what they first agreed to."""
    return was(portions, unbilled, None)


def asked_kept(was: Any, session: Session, portion: Any, attempt: Any, amount: Any, **named: Any) -> Any:
    """Money that nobody asked for is booked, and stays."""
    return None if named.get("is_unasked") else was(session, portion, attempt, amount, **named)


def never_out(was: Any, state: Any, seen: Any) -> Any:
    """No state ends by its budget."""
    event = was(state, seen)
    return None if event in (_E.BUDGET_OUT, _E.CONFIRM_BUDGET_OUT, _E.RECOVERY_OUT) else event


def parked_in_silence(was: Any, session: Session, row: Any, name: Any, now: Any) -> None:
    was(session, row, None if name == "booking.parked" else name, now)


def unanswered_forgotten(was: Any, session: Session, reference: Any, now: Any) -> bool:
    """Only places that were answered for are released; a request that is still out is forgotten."""
    for row in offers_repository.lock_open_holds(session, reference):
        if row.state == HoldState.PLACING.value:
            row.state = HoldState.RELEASED.value
    session.flush()
    return bool(was(session, reference, now))


def raised_unasked(was: Any, session: Session, portion: Any, draft: Any, attempt: Any, now: Any) -> None:
    """A price that rose is put on everybody who has agreed to less."""
    if attempt is not None and attempt.state == AttemptState.AUTHORIZED and draft.amount:
        portion.amount = portion.cap = draft.amount.minor
        moving.touch(portion, now)
        return
    was(session, portion, draft, attempt, now)


def always_new(was: Any, believed: Any, seen: Any, *, is_stale: bool) -> Any:
    return was(believed, seen, is_stale=False)


def moved_in_place(was: Any, portion: Any, event: Any, now: Any) -> bool:
    """A step is written without a new version: a stale writer would not notice."""
    version = portion.version
    moved = bool(was(portion, event, now))
    portion.version = version
    return moved


# --- the table --------------------------------------------------------------------------------------------------------

_A, _B, _R = AttemptState, BookingState, RefundState
_E, _S, _X = BookingEvent, AttemptEvent, Effect
_BELIEVED: Final = at(listening, "handle_event", taken_at_its_word)
_UNCLOSED: Final = at(recording, "_close_what_should_not_live", nothing)
# A card that is charged in its owner's absence, and whose charge lands when everybody has given it up.
_LATE: Final[Rates] = (
    ("policy.saves", 1.0),
    ("provider.authorize_saved:zombie", 0.9),
    ("provider.observe:busy", 0.7),
    ("people.silent", 0.3),
    ("webhook:lost", 1.0),
)

MUTANTS: Final = (
    Mutant(
        "capture before confirm",
        "4.4 #1, I1: nothing is taken before the merchant has sold",
        rows("booking", {(_B.FREEZING, _E.LOOKED_COMPLETE): (_B.CONFIRMING, (_X.CONFIRM, _X.CAPTURE))}),
    ),
    Mutant(
        "charged again unread",
        "4.4 #2, A1: one key per intent, and a look before a second try",
        together(
            value(Intent, "key", lambda was: property(lambda self: f"{self.kind}:{new_id().hex}")),
            at(handlers.Authorize, "observe", always(None)),
        ),
        (
            ("policy.saves", 1.0),
            ("provider.authorize_saved:lost_answer", 0.5),
            ("provider.authorize_saved:zombie", 0.3),
        ),
    ),
    Mutant(
        "refund unread",
        "4.4 #3, 2.5 refund: found by its id before it is sent again",
        together(at(handlers.Refund, "call", refund_of_its_own), at(handlers.Refund, "observe", always(None))),
        (("organizer.regret", 1.0), ("provider.refund:lost_answer", 0.4)),
    ),
    Mutant(
        "capture time-out is a failure",
        "4.4 #4, 0.4: a time-out is unknown",
        at(handlers.Capture, "call", refusing(Refused, "card_declined")),
        (("policy.keeps_cards", 1.0), ("provider.capture:lost_answer", 0.6), ("provider.observe:busy", 0.2)),
    ),
    Mutant(
        "merchant time-out is a no",
        "4.4 #5, 0.4: never void on an unknown order",
        at(order_calls.ConfirmOrder, "call", refusing(MerchantRefused, "sold_out")),
        (("merchant.confirm:lost_answer", 0.6),),
    ),
    Mutant(
        "merchant time-out is a yes",
        "4.4 #6, 0.4: never capture on an unknown order",
        at(order_calls.ConfirmOrder, "call", sold_if_unknown),
        (("merchant.confirm:lost_request", 0.6),),
    ),
    Mutant(
        "ledger without dedupe",
        "4.4 #7, I4: one cause is journaled once",
        together(at(repository, "journal", journaled_anew), at(recording, "_changed", read_twice)),
    ),
    Mutant(
        "message is believed",
        "4.4 #8, 0.8: a message only says where to look",
        _BELIEVED,
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
        "4.4 #9, R2: a stale claimant records nothing, and a lease is longer than a call",
        together(at(intents, "lock_fenced", any_fence), at(Runner, "_take", leased_for_no_time)),
        (("provider.refund:slow", 0.8), ("organizer.regret", 1.0)),
        others=0.0,
    ),
    Mutant(
        "roster open",
        "4.4 #10, I13: nobody leaves a frozen party",
        value(leaving, "require_open", lambda was: partial(nothing, was), is_everywhere=False),
        (("people.leave", 0.6), ("merchant.confirm:pending", 1.0), ("people.silent", 0.0)),
        others=0.0,
    ),
    Mutant(
        "no expiry margin",
        "4.4 #11, I10: decide and capture well before the bank lets go",
        together(
            at(amounts, "may_capture", always(True)),
            at(Snapshot, "lasts", always(True)),
        ),
        (("bank.promise:short", 0.3), ("people.silent", 0.0)),
        others=0.0,
    ),
    Mutant(
        "void skips the unknown",
        "4.4 #12: what may yet land is closed, too",
        at(moving, "close_attempt", closed_unopened),
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
        at(intents, "write_all", owed_later),
        (("people.silent", 0.0), ("people.leave", 0.0)),
        others=0.0,
    ),
    Mutant(
        "no sweep, no last look",
        "4.4 #14, I11: nobody is given up unread",
        together(at(listening, "sweep", always(0)), without(_X.LOOK), at(payments, "tally", all_read)),
        (("webhook:lost", 0.9), ("people.gone", 1.0), ("people.silent", 0.0)),
    ),
    Mutant(
        "remainder lost",
        "4.4 #15, I3: parts sum to the whole when a price falls",
        at(amounts, "fall", cut_to_tens),
        (("merchant.confirm:price_dropped", 0.8),),
    ),
    Mutant(
        "failed capture ignored",
        "4.4 #16, I3: a capture that failed is not money",
        counting("TAKEN", PortionState.SHORT),
        (("provider.capture:lapsed", 0.4),),
    ),
    # --- our own ---
    Mutant(
        "no tombstone",
        "0.6: after our cancellation no confirm may succeed",
        rows("booking", {(_B.CONFIRMING, _E.CONFIRM_BUDGET_OUT): (_B.VOIDING, (_X.VOID, _X.RELEASE_HOLD))}),
        (("merchant.confirm:zombie", 0.7), ("merchant.confirm:lost_answer", 0.3), ("merchant.observe_order:busy", 0.9)),
    ),
    Mutant(
        "cancel only what was heard",
        "2.5 confirming: a tombstone where a confirm may be on its way",
        at(order_calls.CancelOrder, "call", nothing),
        (("merchant.confirm:zombie", 0.5), ("merchant.confirm:lost_answer", 0.4), ("merchant.observe_order:busy", 0.9)),
    ),
    Mutant(
        "a no is a no",
        "2.5 confirming: behind an unanswered confirm a refusal counts only after a tombstone",
        at(order_calls.ConfirmOrder, "record_refusal", first_try),
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
        at(recording, "_look_again_or_give_up", given_up_at_once),
        _LATE,
        others=0.0,
    ),
    Mutant(
        "hold kept",
        "H: an ended booking leaves no live hold; the merchant is told, and waited for",
        together(without(_X.RELEASE_HOLD), counting("_HOLD_OVER", HoldState.LIVE, HoldState.EXTENDING)),
        (("people.silent", 0.4),),
    ),
    Mutant(
        "orphan kept",
        "2.5: an authorization nobody wants is voided, also one that the third look finds",
        together(_UNCLOSED, at(recording, "_look_again_or_give_up", too_early)),
        _LATE,
        others=0.0,
    ),
    Mutant(
        "superseded page kept",
        "2.5: two payers, one portion: the loser's page is closed",
        together(at(moving, "supersede", left_open), _UNCLOSED),
        (("people.take", 0.8), ("people.ask", 0.5)),
    ),
    Mutant(
        "leaver kept",
        "I7: who leaves is released",
        at(voiding, "drop", dropped_and_forgotten),
        (("people.leave", 0.6),),
    ),
    Mutant(
        "full price taken",
        "falling price: everybody pays the lower amount",
        at(deciding, "_amounts", as_agreed_first),
        (("merchant.confirm:price_dropped", 0.8),),
    ),
    Mutant(
        "unasked money kept",
        "2.5 voiding: what somebody else captured is refunded",
        at(returning, "ask_refund", asked_kept),
        (("dashboard.capture:captured", 0.4),),
    ),
    Mutant(
        "old reading wins",
        "I9: nothing moves back because old news comes late",
        together(
            _BELIEVED,
            rows(
                "attempt",
                {(_A.CAPTURED, _S.SEEN_AUTHORIZED): _A.AUTHORIZED, (_A.CANCELED, _S.SEEN_AUTHORIZED): _A.AUTHORIZED},
            ),
        ),
        (("webhook:old", 0.5), ("webhook:late", 0.5)),
    ),
    Mutant(
        "budgets forgotten",
        "R5: budgets end in parked, never in silence",
        at(news, "news", never_out),
        (("merchant.cancel:not_cancelable", 0.5), ("provider.capture:lapsed", 0.4), ("merchant.confirm:busy", 0.9)),
    ),
    Mutant(
        "parked in silence",
        "P5: a parked booking has an alert",
        at(telling, "tell", parked_in_silence),
        (("provider.capture:lapsed", 0.5), ("merchant.cancel:not_cancelable", 0.9)),
    ),
    Mutant(
        "refund before cancel",
        "2.5 unwinding: refunds only after the merchant has acknowledged",
        rows(
            "booking",
            {
                (_B.BOOKED, _E.CANCEL_ASKED): (_B.REFUNDING, (_X.UNWIND,)),
                (_B.RECOVERING, _E.RECOVERY_OUT): (_B.REFUNDING, (_X.UNWIND,)),
            },
        ),
        (("organizer.regret", 1.0),),
    ),
    Mutant(
        "early release forgotten",
        "H: a request for places that is still out is released, too",
        at(holds, "release_hold", unanswered_forgotten),
        (("organizer.hasty", 1.0), ("merchant.place_hold:slow", 0.6), ("merchant.place_hold:lost_answer", 0.3)),
    ),
    Mutant(
        "lapse unseen",
        "2.5 open: an authorization that ended is not counted",
        rows(
            "attempt",
            {
                (_A.AUTHORIZED, _S.SEEN_EXPIRED): _A.AUTHORIZED,
                (_A.AUTHORIZED, _S.SEEN_CANCELED): _A.AUTHORIZED,
                (_A.CAPTURING, _S.SEEN_EXPIRED): _A.CAPTURING,
            },
        ),
        (("bank.lapse:early", 0.5),),
    ),
    Mutant("memo never ends", "I4: the memo is what banks keep", at(recording, "_end_memo", nothing)),
    Mutant(
        "page closed is all",
        "H7: close the page, then release what landed on it",
        at(handlers.Close, "call", always(Observed(Seen.CANCELED))),
        (("people.silent", 0.3),),
    ),
    Mutant(
        "shortfall on the merchant",
        "design 3: a receivable only where the merchant accepted one",
        rows("booking", {(_B.RECOVERING, _E.RECOVERY_OUT): (_B.RECOVERING, (_X.COVER,))}),
        (("provider.capture:lapsed", 0.5),),
    ),
    Mutant(
        "ended without voids",
        "I2: aborted only when every bank has let go",
        counting("CLOSED", PortionState.VOIDING),
        (("people.silent", 0.4), ("provider.void:busy", 0.5)),
    ),
    Mutant(
        "refund taken for done",
        "2.5 refund: one that fails after success is reopened",
        rows(
            "refund",
            {
                (_R.ASKED, _R.FAILED): _R.SUCCEEDED,
                (_R.PENDING, _R.FAILED): _R.SUCCEEDED,
                (_R.SUCCEEDED, _R.FAILED): _R.SUCCEEDED,
            },
        ),
        (("organizer.regret", 1.0), ("provider.refund:fails_late", 0.5)),
    ),
    Mutant(
        "stale dispute",
        "C6: what was read of a dispute before is not believed after what was read later",
        at(returning, "dispute_after", always_new),
        (
            ("people.silent", 0.0),
            ("outside.hasty", 1.0),
            ("dispute:opened", 0.5),
            ("dispute:reopened", 0.5),
            ("provider.observe:slow_answer", 0.5),
            ("webhook:lost", 0.0),
        ),
    ),
    Mutant(
        "change left to lapse",
        "H12: what is kept for a change that nobody answers is given back before it would lapse",
        at(payments, "ask_anew", always(0)),
        (
            ("people.silent", 0.0),
            ("people.amend", 1.0),
            ("people.spare", 1.0),
            ("operator.resume", 0.0),
            ("merchant.away:amending", 1.0),
            ("away.for_days", 1.0),
        ),
        others=0.05,
    ),
    Mutant(
        "fallen unseen",
        "P1: an order that stands is looked at again, for a merchant may cancel what it has sold",
        at(offers, "read_standing_orders", always(0)),
        (("people.silent", 0.0), ("merchant.standing:canceled", 0.7)),
    ),
    Mutant(
        "won and kept",
        "C6: what a dispute stopped on its way back is owed again when it is won",
        at(recording, "settle_dispute", nothing),
        (
            ("people.silent", 0.0),
            ("outside.hasty", 1.0),
            ("dispute:opened", 0.5),
            ("dispute:reopened", 0.5),
            ("dashboard.capture:captured", 0.3),
        ),
    ),
    Mutant(
        "rise not asked",
        "I8: more than agreed is asked again",
        at(allocating, "_change", raised_unasked),
        (("merchant.holds", 0.0), ("merchant.price_moves", 0.9), ("people.leave", 0.5)),
    ),
    Mutant(
        "gone in silence",
        "2.3 freezing: the quorum's decision shrinks the party, and the others' portions leave the sum",
        without(_X.SHRINK),
        (("policy.quorum", 1.0), ("people.silent", 0.3)),
        others=0.0,
    ),
    Mutant(
        "never asked again",
        "2.5 recovering: one fallback, then policy, never silence",
        together(
            at(recovering, "recover_all", always([])),
            at(news, "_recovering", nothing),
            value(news, "_READERS", lambda was: {**was, _B.RECOVERING: lambda seen: None}),
        ),
        (("provider.capture:lapsed", 0.5),),
    ),
    Mutant(
        "taken of an order in question",
        "P1: where the merchant contradicts itself nothing more is taken",
        at(payments, "stop_taking", nothing),
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
        at(payments, "lessen_cover", nothing),
        (("policy.receivable", 1.0), ("provider.capture:lapsed", 0.4), ("people.amend", 1.0), ("people.spare", 1.0)),
    ),
    Mutant(
        "order forgotten by force",
        "2.5 parked: ended by force, the order is taken back in every state",
        value(rescue, "_NO_ORDER", lambda was: was | set(OrderState)),
        (("operator.force", 1.0), ("provider.capture:lapsed", 0.5), ("merchant.cancel:not_cancelable", 0.3)),
    ),
    Mutant(
        "version stands still",
        "I9: every step has a new version",
        at(moving, "move_portion", moved_in_place),
    ),
    Mutant(
        "refused change taken",
        "2.6: amend first; if it fails nothing changed",
        rows("booking", {(_B.AMENDING, _E.AMENDMENT_REFUSED): (_B.AMENDING, (_X.SETTLE_AMENDMENT,))}),
        (("people.amend", 1.0), ("merchant.amend:refused", 0.7)),
    ),
)


def mutant_of(name: str) -> Mutant:
    """Raises StopIteration: there is none of that name."""
    return next(mutant for mutant in MUTANTS if mutant.name == name)
