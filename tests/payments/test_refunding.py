"""Refunds that fail, even weeks later; refunds made good; payers whose bank takes the money back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from groupbook import payments
from groupbook.kit import clock
from groupbook.kit.errors import Refused
from groupbook.kit.ids import AttemptId, RefundId
from groupbook.kit.money import Money
from groupbook.payments import PortionDisputed
from groupbook.payments.domain import Dispute, DisputeState, IllegalStep, RefundState
from groupbook.payments.ports import PaymentRef, ProviderEvent, RefundAnswer
from groupbook.payments.recording import record_observation
from groupbook.payments.refund import tries_by_itself_max
from groupbook.payments.returning import record_refund_refused
from tests.payments.conftest import House

ROWS = ("portion", "refund", "journal", "fact", "intent")


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def paid(house: House, **amounts: int) -> None:
    house.open_party(amounts or {"ada": 3334})
    house.authorize(*house.portions)
    house.capture_all()


def refund(house: House, name: str = "ada", minor: int = 3334) -> RefundId:
    with house.database.begin(house.merchant_id) as session:
        id = payments.refund_portion(session, house.portions[name], eur(minor), reason="member_canceled")
    house.quiet()
    return id


def fails_late(house: House, id: RefundId) -> None:
    """Weeks later the card is gone and the money comes back; the provider says so."""
    house.twin.settle_refund(id, RefundState.FAILED)
    hear(house, ProviderEvent(f"evt_{id.hex}", "refund.failed", False, "re_1", refund_id=id))


def hear(house: House, event: ProviderEvent) -> None:
    with house.database.begin(house.merchant_id) as session:
        payments.handle_event(session, "twin", event, b"{}")
    house.quiet()


def states(house: House) -> list[str]:
    return [one.state.value for one in house.do(lambda session, now: payments.refunds_of(session, house.reference))]


def test_a_refund_that_fails_weeks_later_is_shown_and_booked_back(house: House) -> None:
    paid(house)
    id = refund(house)
    assert (house.states["ada"], house.statement.net) == ("refunded", eur(0))
    fails_late(house, id)
    view = house.view("ada")
    assert (view.state, view.refunded, view.refund_failed) == ("captured", eur(0), True)
    assert (house.statement.net, house.statement.is_conserved) == (eur(3334), True)
    assert house.facts().count("portion.refund_failed") == 1


def test_a_failed_refund_is_retried_once_as_a_new_one(house: House) -> None:
    paid(house)
    old = refund(house)
    fails_late(house, old)
    first, second = (house.do(lambda session, now: payments.retry_refund(session, old)) for _ in range(2))
    assert first == second != old
    house.quiet()
    assert states(house) == ["retried", "succeeded"]
    view = house.view("ada")
    assert (view.state, view.refunded, view.refund_failed) == ("refunded", eur(3334), False)
    assert (house.statement.refunded, house.statement.net) == (eur(3334), eur(0))
    keys = {key for method, key in house.twin.calls if method == "refund"}
    assert len(keys) == 2
    with pytest.raises(IllegalStep):
        house.do(lambda session, now: payments.settle_refund_elsewhere(session, old, "transfer 17"))


def test_a_failed_refund_is_settled_elsewhere(house: House) -> None:
    """The merchant sent the money by bank transfer: the payer has it, and the provider still holds what it holds."""
    paid(house)
    id = refund(house)
    fails_late(house, id)
    for _ in range(2):
        house.do(lambda session, now: payments.settle_refund_elsewhere(session, id, "transfer 17"))
    view = house.view("ada")
    assert (view.state, view.refunded, view.refund_failed) == ("refunded", eur(3334), False)
    money = house.statement
    assert (money.captured, money.refunded, money.net, money.is_conserved) == (eur(3334), eur(3334), eur(0), True)
    assert (money.balances["provider_clearing"], money.balances["paid_elsewhere"]) == (eur(3334), eur(-3334))
    with pytest.raises(IllegalStep):
        house.do(lambda session, now: payments.retry_refund(session, id))


def test_only_what_failed_can_be_made_good(house: House) -> None:
    paid(house)
    id = refund(house)
    before = house.counts(*ROWS)
    with pytest.raises(IllegalStep):
        house.do(lambda session, now: payments.retry_refund(session, id))
    with pytest.raises(IllegalStep):
        house.do(lambda session, now: payments.settle_refund_elsewhere(session, id, "transfer 17"))
    assert house.counts(*ROWS) == before


def test_a_failed_refund_keeps_its_part_until_it_is_made_good(house: House) -> None:
    """Otherwise the same money could be asked back twice: once anew, and once by the retry."""
    paid(house)
    id = refund(house, minor=2000)
    fails_late(house, id)
    with pytest.raises(payments.RefundTooLarge), house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], eur(1335), reason="member_canceled")
    refunds = house.do(payments.unwind_all, house.reference, reason="booking_canceled")
    house.quiet()
    assert (len(refunds), house.view("ada").refunded) == (1, eur(1334))
    house.do(lambda session, now: payments.retry_refund(session, id))
    house.quiet()
    assert house.states == {"ada": "refunded"}
    assert sum(minor for _, minor in house.twin.refunds) == 2000 + 1334 + 2000
    assert house.statement.net == eur(0)


def test_two_refunds_at_once_never_exceed_what_was_taken(house: House) -> None:
    paid(house)
    refund(house, minor=2000)
    with pytest.raises(payments.RefundTooLarge), house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], eur(1335), reason="member_canceled")
    assert house.twin.refunds == [(house.attempt("ada"), 2000)]


def test_a_refund_we_gave_up_that_turns_up_after_all_is_booked(house: House) -> None:
    paid(house)
    id = lost(house)
    hear(house, ProviderEvent("evt_late", "refund.updated", False, "re_1", refund_id=id))
    assert (states(house), house.states["ada"], house.view("ada").refund_failed) == (["succeeded"], "refunded", False)
    assert house.statement.net == eur(0)


def test_a_refund_that_turns_up_after_its_retry_is_loud(house: House) -> None:
    paid(house, ada=3334)
    id = lost(house, minor=1000)
    house.do(lambda session, now: payments.retry_refund(session, id))
    house.quiet()
    hear(house, ProviderEvent("evt_late", "refund.updated", False, "re_1", refund_id=id))
    assert house.facts().count("payment.discrepant") == 1
    assert states(house) == ["retried", "succeeded"]


def test_looking_for_a_refund_that_was_never_made_says_nothing_twice(house: House) -> None:
    paid(house)
    house.twin.dispute(house.attempt("ada"))
    id = refund(house)
    for number in range(2):
        hear(house, ProviderEvent(f"evt_{number}", "refund.updated", False, "re_1", refund_id=id))
    assert (states(house), house.facts().count("portion.refund_failed")) == (["failed"], 1)


def lost(house: House, minor: int = 3334) -> RefundId:
    """The refund was made, its answer lost and the provider unreadable for a day: we gave it up, unseen."""
    with house.database.begin(house.merchant_id) as session:
        id = payments.refund_portion(session, house.portions["ada"], eur(minor), reason="member_canceled")
    house.twin.plan("refund", "late_effect")
    house.twin.plan("observe_refund", "unavailable")
    for intent_id in house.runner.due(house.merchant_id):
        house.runner.run(house.merchant_id, intent_id)
    house.execute("UPDATE intent SET owed_at = owed_at - interval '21 hours' WHERE state = 'unknown'")
    house.quiet()
    assert (states(house)[-1], house.view("ada").refund_failed) == ("failed", True)
    house.twin.land_late_effects()
    return id


def test_money_nobody_asked_for_whose_refund_fails_stays_visible_until_it_is_paid_elsewhere(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    attempt = house.attempt("ada")
    house.twin.capture_outside(attempt)
    house.void_all()
    assert house.states == {"ada": "voided"}
    [view] = house.do(lambda session, now: payments.refunds_of(session, house.reference))
    fails_late(house, view.id)
    assert house.statement.balances["unexpected"] == eur(-3334)
    house.do(lambda session, now: payments.settle_refund_elsewhere(session, view.id, "transfer 18"))
    assert "unexpected" not in house.statement.balances
    assert house.statement.net == eur(0)


# --- disputes ---------------------------------------------------------------------------------------------------------


def dispute(house: House, name: str, end: DisputeState | None = None) -> None:
    attempt = house.attempt(name)
    if house.view(name).dispute is DisputeState.NONE:
        house.twin.dispute(attempt)
    if end is not None:
        house.twin.decide_dispute(attempt, end)
    kind = "created" if end is None else "closed"
    event = ProviderEvent(f"evt_{name}_{kind}", f"charge.dispute.{kind}", False, "du_1", attempt_id=attempt)
    hear(house, event)


def test_nothing_is_refunded_on_top_of_a_dispute(house: House) -> None:
    paid(house, ada=3334, bo=3333)
    dispute(house, "ada")
    assert house.view("ada").is_disputed
    before = house.counts(*ROWS)
    with pytest.raises(PortionDisputed), house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], eur(100), reason="member_canceled")
    assert house.counts(*ROWS) == before
    house.do(payments.unwind_all, house.reference, reason="booking_canceled")
    house.quiet()
    assert house.states == {"ada": "captured", "bo": "refunded"}
    assert house.twin.refunds == [(house.attempt("bo"), 3333)]


def test_a_dispute_that_is_won_leaves_everything_as_it_was(house: House) -> None:
    paid(house)
    dispute(house, "ada")
    dispute(house, "ada", DisputeState.WON)
    assert (house.view("ada").is_disputed, house.view("ada").dispute) == (False, DisputeState.WON)
    assert [name for name in house.facts() if "dispute" in name] == ["portion.disputed", "portion.dispute_won"]
    assert house.statement.net == eur(3334)
    refund(house)
    assert house.states == {"ada": "refunded"}


def test_a_reading_from_before_the_bank_decided_opens_nothing_again(house: House) -> None:
    """Two readings under way at once: the one asked for first comes in last."""
    paid(house)
    dispute(house, "ada")
    with house.database.begin(house.merchant_id) as session:
        asked_at = clock.system_now(session)
    dispute(house, "ada", DisputeState.WON)

    attempt_id = house.attempt("ada")

    def land(dispute_state: DisputeState, called_at: datetime) -> None:
        now_seen = house.twin.observe(PaymentRef(attempt_id, called_at), timeout_seconds=1.0)
        seen = replace(now_seen, dispute=Dispute(dispute_state, eur(3334)))
        with house.database.begin(house.merchant_id) as session:
            record_observation(session, attempt_id, seen, inflight_seconds=60.0, called_at=called_at)

    land(DisputeState.OPEN, asked_at)
    assert house.view("ada").dispute is DisputeState.WON
    assert house.facts().count("portion.disputed") == 1
    land(DisputeState.OPEN, asked_at + timedelta(hours=1))
    assert house.view("ada").dispute is DisputeState.OPEN, "the bank opened it again"
    land(DisputeState.WON, asked_at)
    assert house.view("ada").dispute is DisputeState.OPEN
    land(DisputeState.LOST, asked_at + timedelta(hours=2))
    land(DisputeState.WON, asked_at + timedelta(hours=3))
    assert house.view("ada").dispute is DisputeState.LOST
    assert house.statement.net == eur(0)


def test_a_dispute_that_is_lost_is_in_the_books_once(house: House) -> None:
    paid(house)
    dispute(house, "ada")
    for _ in range(2):
        dispute(house, "ada", DisputeState.LOST)
    money = house.statement
    assert (money.captured, money.disputed, money.net, money.is_conserved) == (eur(3334), eur(3334), eur(0), True)
    assert house.view("ada").is_disputed
    assert house.facts().count("portion.dispute_lost") == 1


def disputed_in_silence(house: House, *minors: int) -> list[RefundId]:
    """A dispute was opened and its message lost: the provider refuses each of these refunds."""
    house.twin.dispute(house.attempt("ada"))
    with house.database.begin(house.merchant_id) as session:
        ids = [
            payments.refund_portion(session, house.portions["ada"], eur(minor), reason="member_canceled")
            for minor in minors
        ]
    house.quiet()
    return ids


def test_a_refund_that_meets_a_dispute_is_owed_again_once_the_dispute_is_won(house: House) -> None:
    """The refusal makes us look: until the bank has decided nobody sends anything. Then it is sent once."""
    paid(house)
    [id] = disputed_in_silence(house, 3334)
    assert (states(house), house.twin.refunds) == (["failed"], [])
    assert (house.view("ada").dispute, house.view("ada").refund_failed) == (DisputeState.OPEN, True)
    before = house.counts(*ROWS)
    with pytest.raises(PortionDisputed):
        house.do(lambda session, now: payments.retry_refund(session, id))
    assert house.counts(*ROWS) == before
    for _ in range(2):
        dispute(house, "ada", DisputeState.WON)
        assert (states(house), house.states) == (["retried", "succeeded"], {"ada": "refunded"})
    assert house.twin.refunds == [(house.attempt("ada"), 3334)]
    assert not house.view("ada").refund_failed
    assert house.statement.net == eur(0)


def test_a_refund_that_meets_a_dispute_is_owed_no_more_where_the_dispute_is_lost(house: House) -> None:
    paid(house)
    disputed_in_silence(house, 3334)
    for _ in range(2):
        dispute(house, "ada", DisputeState.LOST)
    assert (states(house), house.twin.refunds) == (["failed"], [])
    assert (house.statement.disputed, house.statement.net) == (eur(3334), eur(0))


def test_parts_that_a_dispute_stopped_are_owed_again_to_the_cent(house: House) -> None:
    """10.00 were given back before; of the rest 20.00 and 3.33 were stopped, and one cent is nobody's to ask for."""
    paid(house)
    refund(house, minor=1000)
    disputed_in_silence(house, 2000, 333)
    assert states(house) == ["succeeded", "failed", "failed"]
    dispute(house, "ada", DisputeState.WON)
    assert house.view("ada").refunded == eur(3333)
    assert [minor for _, minor in house.twin.refunds] == [1000, 2000, 333]
    assert house.statement.net == eur(1)


def test_what_was_given_back_by_hand_meanwhile_is_not_given_back_again(house: House) -> None:
    """Somebody refunded in the provider's dashboard as soon as the dispute was won, before we had heard of it."""
    paid(house)
    disputed_in_silence(house, 1000)
    house.twin.refund_outside(house.attempt("ada"), eur(1000))
    dispute(house, "ada", DisputeState.WON)
    assert (states(house), house.twin.refunds) == (["failed"], [])


def test_a_refusal_that_comes_in_after_the_dispute_was_won_is_made_good(house: House) -> None:
    """A worker stood still with the refusal in its hands while the bank decided and we heard of it."""
    paid(house)
    house.twin.dispute(house.attempt("ada"))
    with house.database.begin(house.merchant_id) as session:
        id = payments.refund_portion(session, house.portions["ada"], eur(3334), reason="member_canceled")
    house.twin.decide_dispute(house.attempt("ada"), DisputeState.WON)
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["ada"])
    with house.database.begin(house.merchant_id) as session:
        record_refund_refused(session, id, "charge_disputed")
    house.execute("UPDATE intent SET state = 'refused' WHERE kind = 'payment.refund'")
    house.quiet()
    assert (states(house), house.states) == (["retried", "succeeded"], {"ada": "refunded"})
    assert house.twin.refunds == [(house.attempt("ada"), 3334)]


def test_a_provider_that_says_won_and_refuses_all_the_same_is_asked_only_so_often(house: House) -> None:
    """Then it is a person's, who was told each time."""
    paid(house)
    dispute(house, "ada", DisputeState.WON)
    refuses = house.twin.refund

    def refused(*given: Any, **named: Any) -> RefundAnswer:
        raise Refused("charge_disputed")

    house.twin.refund = refused  # type: ignore[method-assign]  # the provider contradicts itself
    id = refund(house)
    assert states(house) == ["retried"] * (tries_by_itself_max - 1) + ["failed"]
    house.twin.refund = refuses  # type: ignore[method-assign]
    last = house.do(lambda session, now: payments.refunds_of(session, house.reference))[-1]
    assert last.id != id
    house.do(lambda session, now: payments.retry_refund(session, last.id))
    house.quiet()
    assert house.states == {"ada": "refunded"}


def paid_twice(house: House) -> AttemptId:
    """Taken by hand and disputed before we looked, and paid anew: the first attempt."""
    house.open(ada=3334)
    house.authorize("ada")
    first = house.attempt("ada")
    house.twin.capture_outside(first)
    house.twin.dispute(first)
    hear(house, ProviderEvent("evt_taken", "payment_intent.succeeded", False, "pi_1", attempt_id=first))
    assert (house.states, states(house)) == ({"ada": "expired"}, ["failed"])
    house.authorize("ada")
    house.capture_all()
    assert house.view("ada").dispute is DisputeState.NONE, "of her second payment nobody complains"
    return first


def decided(house: House, attempt: AttemptId, end: DisputeState) -> None:
    house.twin.decide_dispute(attempt, end)
    hear(house, ProviderEvent(f"evt_{end}", "charge.dispute.closed", False, "du_1", attempt_id=attempt))


def test_money_nobody_asked_for_goes_back_when_its_dispute_is_won(house: House) -> None:
    """Seed 65566 of the simulator."""
    first = paid_twice(house)
    decided(house, first, DisputeState.WON)
    assert house.twin.refunds == [(first, 3334)]
    assert (house.states, states(house)) == ({"ada": "captured"}, ["retried", "succeeded"])
    assert house.statement.net == eur(3334)
    assert "unexpected" not in house.statement.balances


def test_money_nobody_asked_for_that_the_bank_took_back_is_owed_no_more(house: House) -> None:
    first = paid_twice(house)
    for _ in range(2):
        decided(house, first, DisputeState.LOST)
    assert (house.states, states(house), house.twin.refunds) == ({"ada": "captured"}, ["elsewhere"], [])
    assert (house.view("ada").refund_failed, house.view("ada").refunded) == (False, eur(0))
    money = house.statement
    assert (money.captured, money.disputed, money.net) == (eur(3334), eur(0), eur(3334))
    assert "unexpected" not in money.balances


def test_a_dispute_about_one_payment_holds_up_no_refund_of_another(house: House) -> None:
    """Nor does losing it mean that what the payer paid anew is back."""
    first = paid_twice(house)
    refund(house, minor=1000)
    assert [minor for _, minor in house.twin.refunds] == [1000]
    decided(house, first, DisputeState.LOST)
    refunds = house.do(payments.unwind_all, house.reference, reason="booking_canceled")
    house.quiet()
    assert (len(refunds), house.states) == (1, {"ada": "refunded"})
    assert [minor for _, minor in house.twin.refunds] == [1000, 2334]
    assert house.statement.net == eur(0)
