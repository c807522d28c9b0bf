"""The contract of every payment provider, second half: cards that are kept, payers who are not there, disputes."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest

from groupbook.kit.errors import OutcomeUnknown, Refused
from groupbook.kit.ids import AttemptId, RefundId, new_id
from groupbook.kit.money import Money
from groupbook.payments.domain import DisputeState
from groupbook.payments.ports import Observed, PaymentRef, Seen
from tests.support.payment_benches import EUR, SECONDS, Bench, authorized, look, opened, order_of

Bank = Literal["yes", "no", "come_back"]


def saved(bench: Bench, bank: Bank = "yes") -> tuple[PaymentRef, str]:
    """A card kept on a page of its own, and how its bank will answer in its owner's absence."""
    order = order_of(5000, mode="save")
    page, ref = opened(bench, order)
    bench.save(order, page, bank=bank)
    seen = bench.provider.observe(ref, timeout_seconds=SECONDS)
    assert seen.seen is Seen.SAVED
    assert seen.saved_ref is not None
    return ref, seen.saved_ref


def charge(bench: Bench, saved_ref: str, *, attempt: AttemptId | None = None, key: str | None = None) -> Observed:
    order = order_of(3334)
    if attempt is not None:
        order = type(order)(attempt, order.amount, order.title, order.success_url, order.cancel_url, order.locale)
    key = key or f"authorize:{order.attempt_id}"
    return bench.provider.authorize_saved(order, saved_ref, key=key, timeout_seconds=SECONDS)


def absent(bench: Bench, saved_ref: str) -> PaymentRef:
    """How an attempt without a page is looked up."""
    return PaymentRef(AttemptId(new_id()), bench.now() - timedelta(minutes=1), saved_ref=saved_ref)


def test_a_page_can_keep_a_card_and_take_nothing(bench: Bench) -> None:
    order = order_of(5000, mode="save")
    page, ref = opened(bench, order)
    assert look(bench, ref) is Seen.OPEN
    assert opened(bench, order)[0] == page
    bench.save(order, page, bank="yes")
    seen = bench.provider.observe(ref, timeout_seconds=SECONDS)
    assert (seen.seen, seen.captured, seen.capture_before) == (Seen.SAVED, None, None)
    assert seen.card is not None
    assert seen.card.last4 == "4242"
    again = PaymentRef(ref.attempt_id, ref.opened_at)  # its answer was lost: found by our id alone
    assert look(bench, again) is Seen.SAVED


def test_a_kept_card_is_authorized_in_its_owners_absence(bench: Bench) -> None:
    _, saved_ref = saved(bench)
    ref = absent(bench, saved_ref)
    seen = charge(bench, saved_ref, attempt=ref.attempt_id)
    assert (seen.seen, seen.amount, seen.captured) == (Seen.AUTHORIZED, Money(3334, EUR), None)
    assert seen.capture_before is not None
    assert timedelta(days=4) < seen.capture_before - bench.now() <= timedelta(days=7)
    assert charge(bench, saved_ref, attempt=ref.attempt_id).payment_ref == seen.payment_ref  # the same key
    found = bench.provider.observe(ref, timeout_seconds=SECONDS)  # by our id alone
    assert (found.seen, found.payment_ref) == (Seen.AUTHORIZED, seen.payment_ref)
    taken = bench.provider.capture(ref, Money(3000, EUR), key=f"capture:{ref.attempt_id}", timeout_seconds=SECONDS)
    assert (taken.seen, taken.captured) == (Seen.CAPTURED, Money(3000, EUR))


def test_what_was_never_asked_of_a_kept_card_is_absent(bench: Bench) -> None:
    _, saved_ref = saved(bench)
    charge(bench, saved_ref)
    assert look(bench, absent(bench, saved_ref)) is Seen.ABSENT


def test_a_lost_answer_about_a_kept_card_is_found_by_reading(bench: Bench) -> None:
    _, saved_ref = saved(bench)
    ref = absent(bench, saved_ref)
    bench.lose_answer("authorize_saved")
    with pytest.raises(OutcomeUnknown) as unknown:
        charge(bench, saved_ref, attempt=ref.attempt_id)
    assert not unknown.value.params.get("is_answered")
    found = bench.provider.observe(ref, timeout_seconds=SECONDS)
    assert found.seen is Seen.AUTHORIZED
    assert charge(bench, saved_ref, attempt=ref.attempt_id).payment_ref == found.payment_ref


def test_an_authorization_in_absence_is_voided_like_any_other(bench: Bench) -> None:
    _, saved_ref = saved(bench)
    ref = absent(bench, saved_ref)
    charge(bench, saved_ref, attempt=ref.attempt_id)
    seen = bench.provider.close_payment(ref, key=f"close:{ref.attempt_id}", timeout_seconds=SECONDS)
    assert seen.seen is Seen.AUTHORIZED  # closing leaves an authorization alone
    for key in ("void:1", "void:2"):
        seen = bench.provider.void(ref, key=f"{key}:{ref.attempt_id}", timeout_seconds=SECONDS)
        assert seen.seen is Seen.CANCELED
    assert look(bench, ref) is Seen.CANCELED


@pytest.mark.parametrize(
    ("bank", "shown", "reason"),
    [("no", Seen.DECLINED, "card_declined"), ("come_back", Seen.ACTION, "authentication_required")],
)
def test_a_banks_no_in_absence_is_an_answer_and_can_be_closed(
    bench: Bench, bank: Bank, shown: Seen, reason: str
) -> None:
    _, saved_ref = saved(bench, bank)
    ref = absent(bench, saved_ref)
    for _ in range(2):  # asked again with the same key, it says the same
        seen = charge(bench, saved_ref, attempt=ref.attempt_id)
        assert (seen.seen, seen.decline_reason) == (shown, reason)
    assert look(bench, ref) is shown
    for _ in range(2):
        seen = bench.provider.close_payment(ref, key=f"close:{ref.attempt_id}", timeout_seconds=SECONDS)
        assert seen.seen is Seen.CANCELED
    assert look(bench, ref) is Seen.CANCELED


def test_a_closed_card_is_forgotten_and_cannot_be_used(bench: Bench) -> None:
    ref, saved_ref = saved(bench)
    for _ in range(2):
        seen = bench.provider.close_payment(ref, key=f"close:{ref.attempt_id}", timeout_seconds=SECONDS)
        assert seen.seen is Seen.CANCELED
    assert look(bench, ref) is Seen.CANCELED
    with pytest.raises(Refused) as refused:
        charge(bench, saved_ref)
    assert refused.value.reason == "not_found"


def test_a_card_removed_at_the_provider_is_seen(bench: Bench) -> None:
    ref, saved_ref = saved(bench)
    bench.remove_card(ref, saved_ref)
    assert look(bench, ref) is Seen.CANCELED


def test_a_card_is_kept_beside_an_authorization_only_where_that_was_asked_for(bench: Bench) -> None:
    for keeps_card in (True, False):
        order = order_of(keeps_card=keeps_card)
        page, ref = opened(bench, order)
        bench.authorize(order, page)
        seen = bench.provider.observe(ref, timeout_seconds=SECONDS)
        assert (seen.seen, seen.saved_ref is not None) == (Seen.AUTHORIZED, keeps_card)
        if seen.saved_ref is not None:
            assert charge(bench, seen.saved_ref).seen is Seen.AUTHORIZED


@pytest.mark.parametrize("end", [DisputeState.WON, DisputeState.LOST])
def test_a_dispute_is_seen_and_so_is_its_end(bench: Bench, end: DisputeState) -> None:
    refs = [authorized(bench), authorized(bench)]
    for ref in refs:
        bench.provider.capture(ref, Money(3334, EUR), key=f"capture:{ref.attempt_id}", timeout_seconds=SECONDS)
    open_one, ended = refs
    assert bench.provider.observe(open_one, timeout_seconds=SECONDS).dispute is None
    bench.dispute(open_one)
    bench.dispute(ended, end)
    for ref, state in ((open_one, DisputeState.OPEN), (ended, end)):
        seen = bench.provider.observe(ref, timeout_seconds=SECONDS)
        assert seen.dispute is not None
        assert (seen.seen, seen.dispute.state, seen.dispute.amount) == (Seen.CAPTURED, state, Money(3334, EUR))
    assert not bench.provider.observe(ended, timeout_seconds=SECONDS).is_disputed or end is DisputeState.LOST
    with pytest.raises(Refused) as refused:
        bench.provider.refund(
            open_one,
            Money(1, EUR),
            refund_id=RefundId(new_id()),
            key=f"r:{open_one.attempt_id}",
            timeout_seconds=SECONDS,
        )
    assert refused.value.reason == "charge_disputed"
