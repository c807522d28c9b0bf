"""One contract for every payment provider, run on the twin and on the Stripe adapter against the sandbox.

With `GROUPBOOK_TEST_STRIPE_KEY` it runs on Stripe itself, too (docs/stripe.md).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import AttemptId, RefundId, new_id
from groupbook.kit.money import Money
from groupbook.payments.domain import RefundState
from groupbook.payments.ports import REFUSALS, EventRejected, Movement, PaymentRef, Seen
from tests.support.payment_benches import EUR, SECONDS, Bench, authorized, look, opened, order_of


def test_a_page_is_open_until_somebody_pays(bench: Bench) -> None:
    order = order_of()
    page, ref = opened(bench, order)
    seen = bench.provider.observe(ref, timeout_seconds=SECONDS)
    assert (seen.seen, seen.amount, seen.page_url) == (Seen.OPEN, order.amount, page.url)
    assert page.closes_at > bench.now() + timedelta(minutes=30)
    bench.authorize(order, page)
    seen = bench.provider.observe(ref, timeout_seconds=SECONDS)
    assert (seen.seen, seen.amount, seen.captured) == (Seen.AUTHORIZED, order.amount, None)
    assert seen.card is not None
    assert seen.card.last4 == "4242"
    assert seen.capture_before is not None
    assert timedelta(days=6) < seen.capture_before - bench.now() <= timedelta(days=7)


def test_a_page_of_ours_is_shown_only_while_it_can_be_agreed_on(bench: Bench) -> None:
    """Of a hosted page there is nothing to show; of ours what the payer's browser needs, the secret never printed."""
    order = order_of()
    page, ref = opened(bench, order)
    shown = bench.provider.own_page(ref, timeout_seconds=SECONDS)
    assert (shown is None) is bool(page.url)
    if shown is not None:
        assert (shown.mode, shown.publishable_key[:8]) == ("authorize", "pk_test_")
        assert shown.client_secret.startswith(page.page_ref)
        assert shown.client_secret not in repr(shown)
    bench.authorize(order, page)
    assert bench.provider.own_page(ref, timeout_seconds=SECONDS) is None


def test_whoever_needs_the_providers_page_gets_it(bench: Bench) -> None:
    order = replace(order_of(), needs_hosted=True)
    page, ref = opened(bench, order)
    assert page.url.startswith("http")
    assert bench.provider.own_page(ref, timeout_seconds=SECONDS) is None
    again = PaymentRef(order.attempt_id, ref.opened_at)  # its answer was lost
    assert bench.provider.observe(again, timeout_seconds=SECONDS).page_ref == page.page_ref


def test_the_same_key_opens_the_same_page(bench: Bench) -> None:
    order = order_of()
    assert opened(bench, order)[0] == opened(bench, order)[0]


def test_the_same_key_for_another_order_is_refused(bench: Bench) -> None:
    key = f"open:{new_id()}"  # a sandbox, and Stripe itself, outlives the test
    bench.provider.open_payment(order_of(), key=key, timeout_seconds=SECONDS)
    with pytest.raises(Refused) as refused:
        bench.provider.open_payment(order_of(), key=key, timeout_seconds=SECONDS)
    assert refused.value.reason == "key_reused"


def test_what_was_never_asked_for_is_absent(bench: Bench) -> None:
    assert look(bench, PaymentRef(AttemptId(new_id()), bench.now() - timedelta(minutes=1))) is Seen.ABSENT


def test_a_lost_answer_is_unknown_and_found_by_reading(bench: Bench) -> None:
    order = order_of()
    bench.lose_answer("open_payment")
    with pytest.raises(OutcomeUnknown) as unknown:
        opened(bench, order)
    assert not unknown.value.params.get("is_answered")
    found = bench.provider.observe(
        PaymentRef(order.attempt_id, bench.now() - timedelta(minutes=1)), timeout_seconds=SECONDS
    )
    assert found.seen is Seen.OPEN
    assert found.page_ref == opened(bench, order)[0].page_ref


def test_an_answered_failure_is_kept_under_its_key_and_a_new_generation_gets_through(bench: Bench) -> None:
    ref = authorized(bench)
    amount = Money(3334, EUR)
    bench.server_error("capture")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown) as unknown:
            bench.provider.capture(ref, amount, key=f"capture:stuck:{ref.attempt_id}", timeout_seconds=SECONDS)
        assert unknown.value.params["is_answered"]
        assert look(bench, ref) is Seen.AUTHORIZED
    seen = bench.provider.capture(ref, amount, key=f"capture:{ref.attempt_id}:2", timeout_seconds=SECONDS)
    assert (seen.seen, seen.captured) == (Seen.CAPTURED, amount)


def test_a_rate_limit_attempted_nothing(bench: Bench) -> None:
    order = order_of()
    bench.rate_limit("open_payment")
    with pytest.raises(Unavailable):
        opened(bench, order)
    assert opened(bench, order)[0].page_ref


def test_an_unreadable_truth_has_no_outcome(bench: Bench) -> None:
    _, ref = opened(bench, order_of())
    bench.rate_limit("observe")
    with pytest.raises(Unavailable):
        look(bench, ref)
    assert look(bench, ref) is Seen.OPEN


def test_a_decline_leaves_the_page_open_for_another_card(bench: Bench) -> None:
    order = order_of()
    page, ref = opened(bench, order)
    bench.decline(order, page)
    seen = bench.provider.observe(ref, timeout_seconds=SECONDS)
    assert (seen.seen, seen.decline_reason) == (Seen.DECLINED, "insufficient_funds")
    bench.authorize(order, page)
    assert look(bench, ref) is Seen.AUTHORIZED


def test_a_challenge_waits_for_the_payer(bench: Bench) -> None:
    order = order_of()
    page, ref = opened(bench, order)
    bench.challenge(order, page)
    assert look(bench, ref) is Seen.ACTION


def test_capture_happens_once_whoever_asks(bench: Bench) -> None:
    ref = authorized(bench)
    amount = Money(3334, EUR)
    keys = (f"capture:{ref.attempt_id}", f"capture:{ref.attempt_id}", f"capture-again:{ref.attempt_id}")
    answers = [bench.provider.capture(ref, amount, key=key, timeout_seconds=SECONDS) for key in keys]
    assert {(seen.seen, seen.captured) for seen in answers} == {(Seen.CAPTURED, amount)}


def test_less_may_be_captured_never_more(bench: Bench) -> None:
    ref = authorized(bench)
    with pytest.raises(Refused):
        bench.provider.capture(ref, Money(3335, EUR), key=f"more:{ref.attempt_id}", timeout_seconds=SECONDS)
    assert look(bench, ref) is Seen.AUTHORIZED
    seen = bench.provider.capture(ref, Money(3000, EUR), key=f"less:{ref.attempt_id}", timeout_seconds=SECONDS)
    assert (seen.captured, seen.amount) == (Money(3000, EUR), Money(3334, EUR))


def test_a_lapsed_authorization_cannot_be_captured(bench: Bench) -> None:
    ref = authorized(bench)
    bench.lapse(ref)
    assert look(bench, ref) is Seen.EXPIRED
    with pytest.raises(Refused) as refused:
        bench.provider.capture(ref, Money(3334, EUR), key=f"late:{ref.attempt_id}", timeout_seconds=SECONDS)
    assert refused.value.reason == "authorization_gone"


def test_voiding_twice_is_voiding_once(bench: Bench) -> None:
    ref = authorized(bench)
    for key in ("void:1", "void:1", "void:2"):
        seen = bench.provider.void(ref, key=f"{key}:{ref.attempt_id}", timeout_seconds=SECONDS)
        assert seen.seen is Seen.CANCELED


def test_what_is_captured_cannot_be_voided(bench: Bench) -> None:
    ref = authorized(bench)
    bench.provider.capture(ref, Money(3334, EUR), key=f"capture:{ref.attempt_id}", timeout_seconds=SECONDS)
    with pytest.raises(Refused):
        bench.provider.void(ref, key=f"void:{ref.attempt_id}", timeout_seconds=SECONDS)
    assert look(bench, ref) is Seen.CAPTURED


def test_a_closed_page_takes_no_money(bench: Bench) -> None:
    order = order_of()
    page, ref = opened(bench, order)
    bench.decline(order, page)  # somebody has it before their eyes
    for _ in range(2):
        seen = bench.provider.close_payment(ref, key=f"close:{ref.attempt_id}", timeout_seconds=SECONDS)
        assert seen.seen is bench.closed
    bench.authorize(order, page)
    assert look(bench, ref) is bench.closed


def test_closing_a_page_that_was_paid_shows_the_authorization(bench: Bench) -> None:
    ref = authorized(bench)
    seen = bench.provider.close_payment(ref, key=f"close:{ref.attempt_id}", timeout_seconds=SECONDS)
    assert seen.seen is Seen.AUTHORIZED


def test_refunds_are_bounded_and_found_by_our_id(bench: Bench) -> None:
    ref = authorized(bench)
    provider = bench.provider
    provider.capture(ref, Money(3334, EUR), key=f"capture:{ref.attempt_id}", timeout_seconds=SECONDS)
    first, second = RefundId(new_id()), RefundId(new_id())
    assert provider.observe_refund(ref, first, timeout_seconds=SECONDS) is None
    for _ in range(2):  # the same key is the same refund
        answer = provider.refund(ref, Money(1000, EUR), refund_id=first, key=f"refund:{first}", timeout_seconds=SECONDS)
        assert (answer.state, answer.amount) == (RefundState.SUCCEEDED, Money(1000, EUR))
    with pytest.raises(Refused):
        provider.refund(ref, Money(2335, EUR), refund_id=second, key=f"too-much:{second}", timeout_seconds=SECONDS)
    bench.lose_answer("refund")
    with pytest.raises(OutcomeUnknown):
        provider.refund(ref, Money(2334, EUR), refund_id=second, key=f"refund:{second}", timeout_seconds=SECONDS)
    found = provider.observe_refund(ref, second, timeout_seconds=SECONDS)
    assert found is not None
    assert found.amount == Money(2334, EUR)
    with pytest.raises(Refused) as refused:
        provider.refund(ref, Money(1, EUR), refund_id=RefundId(new_id()), key=f"r3:{second}", timeout_seconds=SECONDS)
    assert refused.value.reason == "nothing_to_refund"
    assert provider.observe(ref, timeout_seconds=SECONDS).refunded == Money(3334, EUR)


def movements(bench: Bench, since: datetime, until: datetime) -> list[Movement]:
    return list(bench.provider.list_movements(since, until, timeout_seconds=SECONDS))


def test_every_movement_of_a_window_is_listed_with_our_ids(bench: Bench) -> None:
    """Three payments in three states and two refunds; a page nobody paid on is no payment."""
    since = bench.now() - timedelta(minutes=1)
    opened(bench, order_of())
    waiting, voided, taken = authorized(bench, 1000), authorized(bench, 2000), authorized(bench, 3000)
    bench.provider.void(voided, key=f"void:{voided.attempt_id}", timeout_seconds=SECONDS)
    bench.provider.capture(taken, Money(2900, EUR), key=f"capture:{taken.attempt_id}", timeout_seconds=SECONDS)
    first, second = RefundId(new_id()), RefundId(new_id())
    for refund_id, minor in ((first, 100), (second, 250)):
        bench.provider.refund(
            taken, Money(minor, EUR), refund_id=refund_id, key=f"refund:{refund_id}", timeout_seconds=SECONDS
        )
    until = bench.now() + timedelta(minutes=1)
    found = movements(bench, since, until)
    ours = {waiting.attempt_id: waiting, voided.attempt_id: voided, taken.attempt_id: taken}
    payments = {one.attempt_id: one for one in found if one.refund_ref is None and one.attempt_id in ours}
    assert {
        ref.payment_ref: (payments[id].payment_ref, payments[id].seen, payments[id].amount) for id, ref in ours.items()
    } == {
        waiting.payment_ref: (waiting.payment_ref, Seen.AUTHORIZED, Money(1000, EUR)),
        voided.payment_ref: (voided.payment_ref, Seen.CANCELED, Money(2000, EUR)),
        taken.payment_ref: (taken.payment_ref, Seen.CAPTURED, Money(3000, EUR)),
    }
    moved = payments[taken.attempt_id]
    assert (moved.captured, moved.refunded, moved.is_disputed) == (Money(2900, EUR), Money(350, EUR), False)
    assert payments[waiting.attempt_id].captured == Money(0, EUR)
    refunds = {one.refund_id: one for one in found if one.refund_id in (first, second)}
    assert {id: (one.amount, one.refund_state, one.payment_ref) for id, one in refunds.items()} == {
        first: (Money(100, EUR), RefundState.SUCCEEDED, taken.payment_ref),
        second: (Money(250, EUR), RefundState.SUCCEEDED, taken.payment_ref),
    }
    keys = [one.refund_ref or one.payment_ref for one in found]
    assert len(keys) == len(set(keys))
    assert all(since <= one.created_at < until for one in found)


def test_a_window_holds_what_happened_in_it_and_nothing_else(bench: Bench) -> None:
    ref = authorized(bench)
    now = bench.now()
    for since, until in (
        (now + timedelta(minutes=1), now + timedelta(hours=1)),
        (now - timedelta(days=9), now - timedelta(days=8)),
    ):
        assert ref.attempt_id not in {one.attempt_id for one in movements(bench, since, until)}
    bench.rate_limit("list_movements")
    with pytest.raises(Unavailable):
        movements(bench, now - timedelta(minutes=1), now + timedelta(minutes=1))


def test_too_little_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(Refused) as refused:
        opened(bench, order_of(minor=49))
    assert refused.value.reason == "amount_too_small"
    assert refused.value.reason in REFUSALS


def test_a_message_is_believed_only_if_signed_fresh_and_ours(bench: Bench) -> None:
    ref = authorized(bench)
    headers, body = bench.message(ref)
    event = bench.provider.read_event(headers, body, now=bench.now())
    assert event.attempt_id == ref.attempt_id
    assert not event.livemode
    wrong: list[tuple[dict[str, str], bytes, datetime]] = [
        ({}, body, bench.now()),
        (headers, body + b" ", bench.now()),
        (headers, body, bench.now() + timedelta(minutes=6)),  # replayed too late
        (headers, body, bench.now() - timedelta(minutes=6)),  # stamped in the future (payments.md A6)
    ]
    for given, text, now in wrong:
        with pytest.raises(EventRejected):
            bench.provider.read_event(given, text, now=now)


def test_events_are_listed_oldest_first(bench: Bench) -> None:
    ref = authorized(bench)
    events = bench.provider.list_events(bench.now() - timedelta(minutes=1), timeout_seconds=SECONDS)
    ours = [event for event in events if event.attempt_id == ref.attempt_id]
    assert any("amount_capturable_updated" in event.type for event in ours)
    at: list[Any] = [event.created_at for event in events]
    assert at == sorted(at)
