"""What must be true when a history is over: faults have stopped, and everybody had the time they were promised.

Works on a `Watch` that was told of every commit, and on one that read the rows of a real database at the end.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Final
from uuid import UUID

from groupbook.bookings.domain import BookingState
from groupbook.kit.models import FactRow, IntentRow
from groupbook.payments.domain import STOPPED_BY_DISPUTE
from tests.simulation.clock import EPOCH
from tests.simulation.invariants import Booking, Watch, tries_per_intent_calm_max
from tests.simulation.outcome import Violation
from tests.simulation.stage import Judged

_RESTS: Final = frozenset({"aborted", "refunded", "booked", "parked"})
# What is owed for later than this is meant so: a second look at what may land late, at a refund that takes weeks.
_SOON: Final = timedelta(minutes=30)
# A provider repeats for so long what we did not take.
_REPEATED: Final = timedelta(days=4)
# Sweeps are not instant, and a worker that died leaves its lease behind.
_SLACK: Final = timedelta(minutes=30)


def judge(watch: Watch, world: Judged) -> None:
    """Raise the first promise that the end does not keep."""
    parked = {id for id, known in watch.bookings.items() if known.state == BookingState.PARKED.value}
    for id, known in watch.bookings.items():
        _has_ended(watch, world, id, known)
    _alerts(watch, world)
    _nothing_owed(watch, world, parked)
    for id, known in watch.bookings.items():
        if id in parked:
            continue
        watch._touched(world, id, known, is_over=True)
        _money_is_told(watch, id)
    _disputes_are_told(watch, world, parked)
    _nothing_expired(watch, world, parked)
    _left_is_free(watch, parked)
    _ledger_is_true(watch, parked)
    if not world.faults and not world.plan.outages and not world.plan.away:
        for id, known in watch.bookings.items():
            if known.has_parked:
                raise Violation("P5/I6", "parked although nothing went wrong", booking=id)
        for intent, tries in watch.calls.items():
            if tries > tries_per_intent_calm_max:
                raise Violation("I12", "more than ten tries without a fault", intent=intent, tries=tries)


def _has_ended(watch: Watch, world: Judged, id: UUID, known: Booking) -> None:
    if known.state not in _RESTS:
        raise Violation("P5/I6", "a booking never ended", booking=id, state=known.state)
    if known.has_parked or known.finished_at is None or known.deadline_at is None:
        return
    policy = known.policy
    budgets = 2 * policy.get("confirm_budget_seconds", 0) + 3 * policy.get("settle_budget_seconds", 0)
    budgets += policy.get("recovery_budget_seconds", 0)
    latest = known.deadline_at + timedelta(seconds=budgets) + _SLACK
    if known.first_ended_at is not None and known.first_ended_at > latest:
        raise Violation(
            "P5/I6", "a booking ended after its budgets", booking=id, ended=known.first_ended_at, latest=latest
        )


def _alerts(watch: Watch, world: Judged) -> None:
    told = {row["subject"] for row in world.values(FactRow) if row["name"] == "booking.parked"}
    for id, known in watch.bookings.items():
        if known.has_parked and id not in told:
            raise Violation("P5/I6", "parked without an alert", booking=id)
    failed = {row["subject"] for row in world.values(FactRow) if row["name"] == "portion.refund_failed"}
    for refund in watch.refunds.values():
        if refund.state == "failed" and refund.portion_id not in failed:
            raise Violation("P5/I6", "a refund failed without an alert", refund=refund.id)


def _nothing_owed(watch: Watch, world: Judged, parked: set[UUID]) -> None:
    """No call and no fact is left over, but what is meant for later or stands behind a parked booking."""
    soon = world.now + getattr(world, "soon", _SOON)
    for row in world.values(IntentRow):
        if row["state"] in ("due", "calling", "unknown") and row["due_at"] <= soon:
            if _reference_of(watch, row["subject"]) in parked:
                continue
            raise Violation("P5/I6", "an outside call is still owed", kind=row["kind"], state=row["state"])
    if not parked:
        for row in world.values(FactRow):
            if row["delivered_at"] is None and row["due_at"] <= world.now - _SLACK:
                raise Violation("P5/I6", "a fact was never heard", name=row["name"], attempts=row["attempts"])


def _reference_of(watch: Watch, subject: UUID) -> UUID | None:
    """The booking that an intent's row belongs to."""
    if subject in watch.refunds:
        subject = watch.refunds[subject].attempt_id
    if subject in watch.attempts:
        subject = watch.attempts[subject].portion_id
    for rows in (watch.portions, watch.holds, watch.orders):
        if subject in rows:
            return rows[subject].reference  # type: ignore[no-any-return]
    return subject if subject in watch.bookings else None


def _money_is_told(watch: Watch, reference: UUID) -> None:
    """Our rows say of each portion what the provider says; refunds and what is kept sum to what was captured."""
    for portion in watch.portions.values():
        if portion.reference != reference:
            continue
        kept = sum(paid.net + paid.lost for row, paid in watch.attempts_in(reference) if row.portion_id == portion.id)
        kept -= sum(
            row.amount for row in watch.refunds.values() if row.portion_id == portion.id and row.state == "elsewhere"
        )
        if portion.captured - portion.refunded != kept:
            raise Violation(
                "I14",
                "what we say is kept is not what is kept",
                portion=portion.id,
                captured=portion.captured,
                refunded=portion.refunded,
                kept=kept,
            )


def _disputes_are_told(watch: Watch, world: Judged, parked: set[UUID]) -> None:
    """What we say of a dispute is what the payer's bank says; what it stopped is owed again when it is won."""
    told_by = EPOCH + timedelta(seconds=world.plan.horizon) - _REPEATED
    decided = {id: paid.dispute for id, paid in watch.books.paid.items() if (paid.disputed_at or EPOCH) < told_by}
    for id, row in watch.attempts.items():
        portion, said = watch.portions[row.portion_id], decided.get(id)
        if said is None:
            continue
        holds_its_money = portion.captured and row.is_current
        if row.dispute != said or (holds_its_money and portion.dispute != said):
            raise Violation(
                "P2/I4", "a dispute is not what the bank says", attempt=id, said=row.dispute, portion=portion.dispute
            )
    for refund in watch.refunds.values():
        is_stopped = refund.state == "failed" and refund.failure_reason == STOPPED_BY_DISPUTE
        if is_stopped and decided.get(refund.attempt_id) == "won":
            raise Violation("I14", "a dispute is won, and what it stopped is not owed again", refund=refund.id)
        if is_stopped and refund.is_unasked and decided.get(refund.attempt_id) == "lost":
            raise Violation("I14", "the bank has paid what is still said to be owed", refund=refund.id)
    for reference, accounts in watch.balances.items():
        if reference not in parked:
            _losses_are_told(watch, reference, accounts)


def _losses_are_told(watch: Watch, reference: UUID, accounts: Counter[str]) -> None:
    """What banks took back is booked as lost, or as the way back of what nobody had asked for."""
    unasked = {row.attempt_id for row in watch.refunds.values() if row.is_unasked}
    lost = {row.id: paid.lost for row, paid in watch.attempts_in(reference)}
    own = sum(minor for id, minor in lost.items() if id not in unasked)
    if not own <= accounts["disputes_lost"] <= sum(lost.values()):
        raise Violation("P2/I4", "the ledger is not what banks took back", booking=reference, ledger=dict(accounts))
    owed = sum(
        row.amount
        for row in watch.refunds.values()
        if row.is_unasked and row.state in ("asked", "failed") and watch.portions[row.portion_id].reference == reference
    )
    if accounts["unexpected"] != -owed:
        raise Violation("P2/I4", "money nobody asked for is not told", booking=reference, ledger=dict(accounts))


def _nothing_expired(watch: Watch, world: Judged, parked: set[UUID]) -> None:
    """Every authorization we did not take was given back by us, not left to lapse (H12). A call about it that was given
    up while the provider was away waits for whoever puts the parked booking back.
    """
    given_up = {row["subject"] for row in world.values(IntentRow) if row["state"] == "parked"}
    for id, paid in watch.books.paid.items():
        is_a_persons = id in given_up and _reference_of(watch, id) in parked
        if paid.has_expired_by_itself and not paid.is_brief and not is_a_persons:
            raise Violation("P1/I2", "an authorization was left to expire by itself", attempt=id)


def _left_is_free(watch: Watch, parked: set[UUID]) -> None:
    for portion in watch.portions.values():
        if portion.dropped_at is None or portion.reference in parked:
            continue
        for row, paid in watch.attempts_in(portion.reference):
            if row.portion_id == portion.id and (paid.is_live or paid.net):
                raise Violation("P4/I7", "who left is still held or charged", portion=portion.id, attempt=row.id)


def _ledger_is_true(watch: Watch, parked: set[UUID]) -> None:
    """At rest the provider's account in our books is what the provider has taken and given back."""
    for reference, accounts in watch.balances.items():
        if reference in parked:
            continue
        kept = sum(paid.net for _, paid in watch.attempts_in(reference))
        if accounts["provider_clearing"] != kept:
            raise Violation(
                "P2/I4", "the ledger is not the provider's truth", booking=reference, ledger=dict(accounts), kept=kept
            )
        live = sum(paid.amount for _, paid in watch.attempts_in(reference) if paid.is_live)
        if accounts["authorization_memo"] != live:
            raise Violation(
                "P2/I4", "the memo is not what banks keep", booking=reference, ledger=dict(accounts), live=live
            )
