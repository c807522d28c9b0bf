"""The Stripe adapter where Stripe is peculiar; what every provider must do is the contract suite's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx2
import pytest
import stripe

from groupbook.kit.errors import InvariantBroken, OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import AttemptId, RefundId, new_id
from groupbook.kit.money import Money
from groupbook.payments.domain import Card, DisputeState, RefundState
from groupbook.payments.ports import Observed, PaymentOrder, PaymentRef, Seen
from integrations.payments.stripe import StripeProvider, connect, element
from integrations.payments.stripe.configuration import Configuration
from integrations.payments.stripe.units import in_figures
from tests.support.payments import API_KEY, CHALLENGED, OK, WEBHOOK_SECRET, RunningSandbox, running

SECONDS = 5.0
LATER, UNLESS_SET_UP = "4000000000000341", "4000002500003155"


@pytest.fixture(scope="module")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), refund_delay_seconds=0.1) as server:
        yield server


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    yield shared_sandbox
    shared_sandbox.sandbox.store.clear_faults()


@pytest.fixture
def provider(sandbox: RunningSandbox) -> Iterator[StripeProvider]:
    configuration = {"secret_key": API_KEY, "webhook_secret": WEBHOOK_SECRET, "api_base": sandbox.url}
    made = connect(configuration, livemode=False)
    yield made
    made.close()


def an_order(
    minor: int = 3334, *, mode: Literal["authorize", "save"] = "authorize", keeps_card: bool = False
) -> PaymentOrder:
    return PaymentOrder(
        attempt_id=AttemptId(new_id()),
        amount=Money(minor, "EUR"),
        title="Lisbon with friends",
        success_url="http://localhost:8000/ok",
        cancel_url="http://localhost:8000/back",
        locale="en",
        mode=mode,
        keeps_card=keeps_card,
    )


def paid(
    provider: StripeProvider, sandbox: RunningSandbox, order: PaymentOrder, card: str = OK, answer: str | None = None
) -> tuple[PaymentRef, Observed]:
    page = provider.open_payment(order, key=f"open:{order.attempt_id}", timeout_seconds=SECONDS)
    sandbox.type_card(page.url, card, answer=answer)
    ref = PaymentRef(order.attempt_id, datetime.now(UTC) - timedelta(minutes=1), page.page_ref)
    return ref, provider.observe(ref, timeout_seconds=SECONDS)


def saved(provider: StripeProvider, sandbox: RunningSandbox, card: str = OK, answer: str | None = None) -> str:
    _, seen = paid(provider, sandbox, an_order(mode="save"), card, answer)
    assert seen.seen is Seen.SAVED
    assert seen.saved_ref is not None
    return seen.saved_ref


def absent(order: PaymentOrder, saved_ref: str) -> PaymentRef:
    return PaymentRef(order.attempt_id, datetime.now(UTC), saved_ref=saved_ref)


def test_a_smaller_capture_is_no_refund(provider: StripeProvider, sandbox: RunningSandbox) -> None:
    """Stripe writes the released rest down as a refund; nobody got money back."""
    since = datetime.now(UTC) - timedelta(seconds=1)
    ref, _ = paid(provider, sandbox, an_order(3334))
    seen = provider.capture(ref, Money(3000, "EUR"), key=f"capture:{ref.attempt_id}", timeout_seconds=SECONDS)
    assert (seen.captured, seen.refunded) == (Money(3000, "EUR"), Money(0, "EUR"))
    refund_id = RefundId(new_id())
    ref = PaymentRef(ref.attempt_id, ref.opened_at, ref.page_ref, seen.payment_ref)
    provider.refund(ref, Money(1000, "EUR"), refund_id=refund_id, key=f"refund:{refund_id}", timeout_seconds=SECONDS)
    assert provider.observe(ref, timeout_seconds=SECONDS).refunded == Money(1000, "EUR")
    listed = provider.list_movements(since, datetime.now(UTC) + timedelta(minutes=1), timeout_seconds=SECONDS)
    ours = [one for one in listed if one.payment_ref == seen.payment_ref]
    assert [(one.refund_id, one.amount.minor) for one in ours if one.refund_ref] == [(refund_id, 1000)]
    assert [(one.captured, one.refunded) for one in ours if not one.refund_ref] == [
        (Money(3000, "EUR"), Money(1000, "EUR"))
    ]


def test_the_page_that_saves_says_what_was_agreed_to(provider: StripeProvider, sandbox: RunningSandbox) -> None:
    page = provider.open_payment(an_order(mode="save"), key=str(new_id()), timeout_seconds=SECONDS)
    assert "Lisbon with friends · ≤ 33.34 EUR" in sandbox.read(page.url, locale="en").text
    assert [in_figures(Money(5, "EUR")), in_figures(Money(1200, "JPY")), in_figures(Money(1230, "TND"))] == [
        "0.05 EUR",
        "1200 JPY",
        "1.230 TND",
    ]


def test_a_saved_card_that_was_given_up_is_gone_for_good(provider: StripeProvider, sandbox: RunningSandbox) -> None:
    ref, seen = paid(provider, sandbox, an_order(mode="save"))
    assert (seen.seen, seen.card) == (Seen.SAVED, Card("visa", "4242"))
    assert seen.saved_ref is not None
    for _ in range(2):
        closed = provider.close_payment(ref, key=f"close:{ref.attempt_id}", timeout_seconds=SECONDS)
        assert (closed.seen, closed.saved_ref) == (Seen.CANCELED, None)
    order = an_order()
    with pytest.raises(Refused) as refused:
        provider.authorize_saved(order, seen.saved_ref, key=f"absent:{order.attempt_id}", timeout_seconds=SECONDS)
    assert refused.value.reason == "not_found"
    assert provider.observe(absent(order, seen.saved_ref), timeout_seconds=SECONDS).seen is Seen.ABSENT


def test_an_absent_payers_payment_lives_without_a_page(provider: StripeProvider, sandbox: RunningSandbox) -> None:
    saved_ref, order = saved(provider, sandbox), an_order()
    ref = absent(order, saved_ref)
    assert provider.observe(ref, timeout_seconds=SECONDS).seen is Seen.ABSENT
    for _ in range(2):  # the same key is the same payment
        seen = provider.authorize_saved(order, saved_ref, key=f"absent:{order.attempt_id}", timeout_seconds=SECONDS)
        assert (seen.seen, seen.amount, seen.page_ref) == (Seen.AUTHORIZED, order.amount, None)
    assert provider.observe(ref, timeout_seconds=SECONDS) == seen  # found by our id, without Stripe's
    assert provider.close_payment(ref, key=f"c:{ref.attempt_id}", timeout_seconds=SECONDS).seen is Seen.AUTHORIZED
    customer = saved_ref.split("/")[0]
    assert len(sandbox.api("GET", "/v1/payment_intents", {"customer": customer}).json()["data"]) == 1
    voided = provider.void(ref, key=f"void:{order.attempt_id}", timeout_seconds=SECONDS)
    assert voided.seen is Seen.CANCELED


def test_an_unknown_answer_about_an_absent_payer_is_found_by_reading(
    provider: StripeProvider, sandbox: RunningSandbox
) -> None:
    saved_ref, order = saved(provider, sandbox), an_order()
    sandbox.fault("lost_answer", "payment_intents.create")
    with pytest.raises(OutcomeUnknown):
        provider.authorize_saved(order, saved_ref, key=f"absent:{order.attempt_id}", timeout_seconds=SECONDS)
    found = provider.observe(absent(order, saved_ref), timeout_seconds=SECONDS)
    assert found.seen is Seen.AUTHORIZED
    sandbox.fault("rate_limit", "payment_intents.list")
    with pytest.raises(Unavailable):
        provider.observe(absent(order, saved_ref), timeout_seconds=SECONDS)


@pytest.mark.parametrize(
    ("card", "answer", "seen", "reason"),
    [
        (LATER, None, Seen.DECLINED, "card_declined"),
        ("4000008260003178", "confirm", Seen.DECLINED, "insufficient_funds"),
        (CHALLENGED, "confirm", Seen.ACTION, "authentication_required"),
    ],
)
def test_a_banks_no_in_the_payers_absence_is_an_answer_and_leaves_nothing_behind(
    provider: StripeProvider, sandbox: RunningSandbox, card: str, answer: str | None, seen: Seen, reason: str
) -> None:
    saved_ref, order = saved(provider, sandbox, card, answer), an_order()
    for _ in range(2):
        answered = provider.authorize_saved(order, saved_ref, key=f"absent:{order.attempt_id}", timeout_seconds=SECONDS)
        assert (answered.seen, answered.decline_reason, answered.capture_before) == (seen, reason, None)
    ref = absent(order, saved_ref)
    closed = provider.close_payment(ref, key=f"close:{order.attempt_id}", timeout_seconds=SECONDS)
    assert closed.seen is Seen.CANCELED
    assert provider.close_payment(ref, key=f"close:{order.attempt_id}", timeout_seconds=SECONDS).seen is Seen.CANCELED


def test_a_paid_page_keeps_its_card_only_when_asked(provider: StripeProvider, sandbox: RunningSandbox) -> None:
    _, plain = paid(provider, sandbox, an_order())
    assert (plain.seen, plain.saved_ref) == (Seen.AUTHORIZED, None)
    _, kept = paid(provider, sandbox, an_order(keeps_card=True), UNLESS_SET_UP, "confirm")
    assert kept.seen is Seen.AUTHORIZED
    assert kept.saved_ref is not None
    fallback = an_order()
    seen = provider.authorize_saved(fallback, kept.saved_ref, key=str(fallback.attempt_id), timeout_seconds=SECONDS)
    assert seen.seen is Seen.AUTHORIZED
    assert seen.payment_ref != kept.payment_ref


def test_a_dispute_is_seen_from_its_opening_to_its_end(provider: StripeProvider, sandbox: RunningSandbox) -> None:
    for end, state in (("won", DisputeState.WON), ("lost", DisputeState.LOST)):
        ref, _ = paid(provider, sandbox, an_order())
        seen = provider.capture(ref, Money(3334, "EUR"), key=f"capture:{ref.attempt_id}", timeout_seconds=SECONDS)
        assert seen.dispute is None
        with httpx2.Client(base_url=sandbox.url, trust_env=False) as client:
            client.post("/_dispute", json={"payment_intent": seen.payment_ref}).raise_for_status()
            opened = provider.observe(ref, timeout_seconds=SECONDS)
            assert opened.dispute is not None
            assert (opened.dispute.state, opened.dispute.amount) == (DisputeState.OPEN, Money(3334, "EUR"))
            assert opened.is_disputed
            with pytest.raises(Refused) as refused:
                provider.refund(
                    ref, Money(1, "EUR"), refund_id=RefundId(new_id()), key=str(new_id()), timeout_seconds=SECONDS
                )
            assert refused.value.reason == "charge_disputed"
            client.post("/_dispute", json={"payment_intent": seen.payment_ref, "end": end}).raise_for_status()
        ended = provider.observe(ref, timeout_seconds=SECONDS)
        assert ended.dispute is not None
        assert ended.dispute.state is state


def test_a_payment_is_under_review_until_somebody_looked(provider: StripeProvider, sandbox: RunningSandbox) -> None:
    ref, seen = paid(provider, sandbox, an_order(), "4000000000009235")
    assert (seen.seen, seen.is_under_review) == (Seen.AUTHORIZED, True)
    review = sandbox.api("GET", f"/v1/payment_intents/{seen.payment_ref}").json()["review"]
    sandbox.api("POST", f"/v1/reviews/{review}/approve")
    assert not provider.observe(ref, timeout_seconds=SECONDS).is_under_review


def test_a_refund_may_fail_after_it_was_good(provider: StripeProvider, sandbox: RunningSandbox) -> None:
    ref, _ = paid(provider, sandbox, an_order())
    amount, refund_id = Money(3334, "EUR"), RefundId(new_id())
    seen = provider.capture(ref, amount, key=f"capture:{ref.attempt_id}", timeout_seconds=SECONDS)
    ref = PaymentRef(ref.attempt_id, ref.opened_at, ref.page_ref, seen.payment_ref)
    sandbox.fault("refund_fails", seconds=0.2)
    answer = provider.refund(ref, amount, refund_id=refund_id, key=f"refund:{refund_id}", timeout_seconds=SECONDS)
    assert answer.state is RefundState.SUCCEEDED
    deadline = time.monotonic() + 10
    found = provider.observe_refund(ref, refund_id, timeout_seconds=SECONDS)
    while found is None or found.state is not RefundState.FAILED:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        found = provider.observe_refund(ref, refund_id, timeout_seconds=SECONDS)
    assert found.failure_reason == "expired_or_canceled_card"
    assert provider.observe(ref, timeout_seconds=SECONDS).refunded == Money(0, "EUR")


# --- a page of ours ---


def own(sandbox: RunningSandbox, **more: str) -> StripeProvider:
    given = {"secret_key": API_KEY, "api_base": sandbox.url, "page": "own"}
    return connect(given | {"publishable_key": sandbox.sandbox.keys.publishable} | more, livemode=False)


def test_only_methods_that_can_reserve_are_offered_on_our_page(sandbox: RunningSandbox) -> None:
    provider = own(sandbox)
    for order, path in ((an_order(), "payment_intents"), (an_order(mode="save"), "setup_intents")):
        page = provider.open_payment(order, key=f"open:{order.attempt_id}", timeout_seconds=SECONDS)
        made = sandbox.api("GET", f"/v1/{path}/{page.page_ref}").json()
        assert made["payment_method_types"] == ["card", "link"]
    provider.close()


def test_a_card_kept_on_our_page_can_be_charged_once_more(sandbox: RunningSandbox) -> None:
    """Where the merchant opted in: authorized on the page, and the card is there should taking the money fail."""
    provider, order = own(sandbox), an_order(keeps_card=True)
    page = provider.open_payment(order, key=f"open:{order.attempt_id}", timeout_seconds=SECONDS)
    ref = PaymentRef(order.attempt_id, datetime.now(UTC) - timedelta(minutes=1), page.page_ref)
    shown = provider.own_page(ref, timeout_seconds=SECONDS)
    assert shown is not None
    assert sandbox.type_card_into(shown, OK)["intent"]["status"] == "requires_capture"
    seen = provider.observe(ref, timeout_seconds=SECONDS)
    assert (seen.seen, seen.saved_ref is not None) == (Seen.AUTHORIZED, True)
    again = an_order(1000)
    charged = provider.authorize_saved(again, str(seen.saved_ref), key=f"x:{again.attempt_id}", timeout_seconds=SECONDS)
    assert charged.seen is Seen.AUTHORIZED
    provider.close()


def test_without_a_key_for_browsers_the_page_is_stripes(sandbox: RunningSandbox) -> None:
    provider, order = own(sandbox, publishable_key=""), an_order()
    page = provider.open_payment(order, key=f"open:{order.attempt_id}", timeout_seconds=SECONDS)
    assert page.url.startswith(f"{sandbox.url}/c/pay/")
    provider.close()


def test_what_was_opened_on_our_page_is_settled_after_the_choice_was_taken_back(sandbox: RunningSandbox) -> None:
    before, order = own(sandbox), an_order()
    page = before.open_payment(order, key=f"open:{order.attempt_id}", timeout_seconds=SECONDS)
    before.close()
    after = own(sandbox, page="hosted")
    for known in (page.page_ref, None):  # None: the answer to its opening was lost
        found = after.observe(PaymentRef(order.attempt_id, datetime.now(UTC), known), timeout_seconds=SECONDS)
        assert (found.seen, found.page_ref, found.page_url) == (Seen.OPEN, page.page_ref, "")
    ref = PaymentRef(order.attempt_id, datetime.now(UTC), page.page_ref)
    assert after.own_page(ref, timeout_seconds=SECONDS) is not None
    assert after.close_payment(ref, key=f"close:{ref.attempt_id}", timeout_seconds=SECONDS).seen is Seen.CANCELED
    after.close()


def test_stripes_own_script_comes_from_stripe_alone() -> None:
    """https://docs.stripe.com/js/including and https://docs.stripe.com/security/guide#content-security-policy"""
    keys = {"secret_key": "sk_live_x1234567", "publishable_key": "pk_live_x1234567", "page": "own"}
    configuration = Configuration.parse(keys, livemode=True)
    intent = stripe.PaymentIntent.construct_from(
        {"id": "pi_1", "status": "requires_payment_method", "client_secret": "pi_1_secret_2"}, None
    )
    page = element.shown(intent, configuration)
    assert page is not None
    assert (page.script_url, page.connect_origins) == ("https://js.stripe.com/v3/", ("https://api.stripe.com",))
    assert page.script_origins == ("https://js.stripe.com", "https://*.js.stripe.com")
    assert page.frame_origins == (*page.script_origins, "https://hooks.stripe.com")
    with pytest.raises(InvariantBroken):
        Configuration.parse(keys | {"publishable_key": "pk_test_x1234567"}, livemode=True)
