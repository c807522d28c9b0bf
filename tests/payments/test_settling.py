"""Portions on a real database with the provider's twin: paying, deciding, and every way it can go wrong."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from groupbook import payments
from groupbook.kit import intents
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.errors import InvariantBroken, Unavailable
from groupbook.kit.ids import MerchantId, PortionId, new_id
from groupbook.kit.money import Money
from groupbook.merchants import MerchantNotFound
from groupbook.payments import repository
from groupbook.payments.domain import IllegalStep, RefundState
from groupbook.payments.endpoints import PaymentDeps, receive
from groupbook.payments.moving import OBSERVE
from groupbook.payments.ports import EventRejected, PaymentRef, ProviderEvent, Seen
from tests.payments.conftest import House


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


# --- the good way -----------------------------------------------------------------------------------------------------


def test_three_friends_pay_their_portions(house: House) -> None:
    """3334 + 3333 + 3333 = 10000, and a fourth travels free."""
    house.open(ada=3334, bo=3333, cy=3333, di=0)
    assert house.states["di"] == "waived"
    house.authorize("ada", "bo", "cy")
    assert set(house.states.values()) == {"authorized", "waived"}
    assert house.twin.captures == []
    assert (house.statement.authorized, house.statement.captured) == (eur(10_000), eur(0))
    house.capture_all()
    assert sorted(minor for _, minor in house.twin.captures) == [3333, 3333, 3334]
    money = house.statement
    assert (money.total, money.captured, money.receivable, money.authorized) == (
        eur(10_000),
        eur(10_000),
        eur(0),
        eur(0),
    )
    assert money.is_conserved
    assert house.facts().count("portion.captured") == 3


def test_capturing_twice_captures_once(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    house.capture_all()
    house.capture_all()
    assert len(house.twin.captures) == 1
    assert house.statement.captured == eur(3334)


def test_a_double_click_finds_the_same_page(house: House) -> None:
    house.open(ada=3334)
    assert house.start("ada") == house.start("ada")
    assert house.counts("attempt") == [1]


def test_the_final_price_fell_and_everybody_pays_less(house: House) -> None:
    """6667 became 6000: 667 less, of which Ada's part is 333.55 and Bo's 333.45."""
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    house.capture_all(whole=6000)
    assert sorted(minor for _, minor in house.twin.captures) == [3000, 3000]
    assert house.statement.total == eur(6000)
    assert house.statement.is_conserved
    house.capture_all(whole=6000)
    assert len(house.twin.captures) == 2


def test_nobody_is_captured_more_than_they_agreed_to(house: House) -> None:
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    with pytest.raises(InvariantBroken):
        house.capture_all(whole=6668)
    assert (house.twin.captures, set(house.states.values())) == ([], {"authorized"})


# --- who may pay what -------------------------------------------------------------------------------------------------


def test_another_member_pays_for_a_declined_friend(house: House) -> None:
    house.open(ada=3334, bo=3333)
    house.start("bo")
    declined = house.attempt("bo")
    house.twin.decline(declined)
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["bo"])
    assert (house.states["bo"], house.view("bo").decline_reason) == ("declined", "insufficient_funds")
    with house.database.begin(house.merchant_id) as session:
        payments.assign_payer(session, house.portions["bo"], payer=house.people["ada"], now=merchant_now(session))
    house.quiet()
    assert house.twin.truth(declined) is Seen.EXPIRED  # Bo's page was closed, so both cannot pay
    with pytest.raises(payments.NotYourPortion):
        house.start("bo")
    house.start("bo", payer="ada")
    house.twin.authorize(house.attempt("bo"))
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["bo"])
    view = house.view("bo")
    assert (view.state, view.payer, view.traveler) == ("authorized", house.people["ada"], house.people["bo"])


def test_the_same_payer_tries_another_card_on_the_same_page(house: House) -> None:
    house.open(ada=3334)
    url = house.start("ada").url
    house.twin.decline(house.attempt("ada"))
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["ada"])
    assert house.states == {"ada": "declined"}
    assert house.start("ada").url == url
    house.twin.authorize(house.attempt("ada"))
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["ada"])
    assert house.states == {"ada": "authorized"}


def test_only_what_is_payable_can_be_paid(house: House) -> None:
    house.open(ada=3334, di=0)
    house.authorize("ada")
    before = house.counts("attempt", "intent", "fact")
    for name in ("ada", "di"):
        with pytest.raises(payments.PortionNotPayable):
            house.start(name)
    with pytest.raises(payments.PortionNotFound), house.database.begin(house.merchant_id) as session:
        payments.portion_view(session, PortionId(new_id()))
    assert house.counts("attempt", "intent", "fact") == before


def test_five_tries_a_day(house: House) -> None:
    house.open(ada=3334)
    for _ in range(5):
        house.start("ada")
        house.twin.decline(house.attempt("ada"))
        closing = PaymentRef(house.attempt("ada"), house.twin.clock())
        house.twin.close_payment(closing, key=f"close:{closing.attempt_id}", timeout_seconds=1)
        payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["ada"])
    with pytest.raises(payments.TooManyAttempts):
        house.start("ada")
    assert house.counts("attempt") == [5]


def test_another_merchant_sees_nothing(house: House) -> None:
    house.open(ada=3334)
    with house.database.begin(MerchantId(new_id())) as session:
        assert payments.portions_of(session, house.reference) == []
        with pytest.raises(payments.PortionNotFound):
            payments.void_portion(session, house.portions["ada"], now=merchant_now(session))
    assert house.states == {"ada": "open"}


# --- all or nothing ---------------------------------------------------------------------------------------------------


def test_one_missing_voids_every_portion(house: House) -> None:
    """Ada and Bo are authorized, Cy has a page open, Di never came, Ed travels free."""
    house.open(ada=3334, bo=3333, cy=3333, di=1000, ed=0)
    house.authorize("ada", "bo")
    house.start("cy")
    house.void_all()
    assert house.states == {"ada": "voided", "bo": "voided", "cy": "voided", "di": "voided", "ed": "waived"}
    assert house.twin.captures == []
    assert len(house.twin.voids) == 2
    assert house.statement.authorized == eur(0)
    house.twin.authorize(house.attempt("cy"))  # the page is closed: paying there does nothing
    assert house.twin.truth(house.attempt("cy")) is Seen.EXPIRED
    assert house.facts().count("portion.voided") == 4


def test_what_went_away_between_last_look_and_confirm_is_short_and_still_owed(house: House) -> None:
    """The order is confirmed, so the others are taken; Bo's bank released early, and Bo's late payment is refused."""
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    house.twin.lapse(house.attempt("bo"))
    with house.database.begin(house.merchant_id) as session:
        payments.observe_all(session, house.reference)
    house.quiet()
    page = house.start("bo")
    house.capture_all()
    assert house.states == {"ada": "captured", "bo": "short"}
    assert [minor for _, minor in house.twin.captures] == [3334]
    assert (house.statement.total, house.statement.receivable) == (eur(6667), eur(3333))
    assert house.statement.is_conserved
    assert page.page_ref == "page_3"
    with pytest.raises(payments.PortionNotPayable):
        house.start("bo")


def test_nothing_is_captured_of_a_settlement_that_is_being_voided(house: House) -> None:
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    with house.database.begin(house.merchant_id) as session:
        payments.void_all(session, house.reference, now=merchant_now(session))
    before = house.counts("journal", "fact")
    with pytest.raises(IllegalStep):
        house.capture_all()
    assert house.counts("journal", "fact") == before
    assert house.twin.captures == []


def test_taken_money_is_not_voided_but_unwound(house: House) -> None:
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    house.capture_all()
    with pytest.raises(IllegalStep):
        house.void_all()
    for _ in range(2):
        with house.database.begin(house.merchant_id) as session:
            payments.unwind_all(session, house.reference, reason="merchant_canceled", now=merchant_now(session))
        house.quiet()
    assert sorted(minor for _, minor in house.twin.refunds) == [3333, 3334]
    assert set(house.states.values()) == {"refunded"}
    assert house.statement.net == eur(0)


def test_who_leaves_is_never_captured(house: House) -> None:
    """I7, with the authorization landing while the void is under way."""
    house.open(ada=3334, bo=3333)
    house.authorize("ada")
    house.start("bo")
    with house.database.begin(house.merchant_id) as session:
        payments.void_portion(session, house.portions["bo"], now=merchant_now(session))
    house.twin.authorize(house.attempt("bo"))
    house.quiet()
    assert house.states == {"ada": "authorized", "bo": "voided"}
    assert house.twin.truth(house.attempt("bo")) is Seen.CANCELED
    assert house.twin.captures == []


# --- unknown outcomes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["unavailable", "lost_request", "lost_answer", "late_effect", "server_error_after"])
@pytest.mark.parametrize("method", ["open_payment", "capture", "void", "close_payment", "refund"])
def test_whatever_the_network_does_the_effect_happens_once(house: House, method: str, fault: str) -> None:
    """Every acting call with every fault: the money ends where it would have ended, and nothing happened twice."""
    house.open(ada=3334, bo=3333)
    house.twin.plan(method, fault)  # type: ignore[arg-type]  # the parameters are the literal's own values
    try:
        house.start("ada")
    except Unavailable:
        house.quiet()
        house.twin.land_late_effects()
    house.quiet()
    house.authorize("ada", "bo")
    if method in ("void", "close_payment"):
        house.void_all()
        house.twin.land_late_effects()
        house.quiet()
        assert set(house.states.values()) == {"voided"}
        assert house.twin.captures == []
        return
    house.capture_all()
    house.twin.land_late_effects()
    house.quiet()
    assert sorted(minor for _, minor in house.twin.captures) == [3333, 3334]
    with house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], eur(334), reason="member_canceled")
    house.quiet()
    house.twin.land_late_effects()
    house.quiet()
    assert [minor for _, minor in house.twin.refunds] == [334]
    assert set(house.states.values()) == {"part_refunded", "captured"}
    assert house.statement.net == eur(6333)
    assert house.statement.is_conserved


def test_an_answered_failure_is_passed_by_the_next_key(house: House) -> None:
    """A2: a 500 is replayed for a day under its key; proven without effect, the next generation is used at once."""
    house.open(ada=3334)
    house.authorize("ada")
    house.twin.plan("capture", "server_error")
    house.capture_all()
    keys = [key for method, key in house.twin.calls if method == "capture"]
    assert (len(keys), keys[1]) == (2, f"{keys[0]}:2")
    assert house.states == {"ada": "captured"}
    assert len(house.twin.captures) == 1


def test_a_bad_hour_of_the_provider_does_not_use_up_the_keys(house: House) -> None:
    """Found by the random walk: 500s in a row, each kept for a day under its key, and the capture still happens."""
    house.open(ada=3334)
    house.authorize("ada")
    house.twin.plan("capture", "server_error", "server_error", "server_error")
    house.twin.plan("observe", "unavailable")
    house.capture_all()
    assert house.states == {"ada": "captured"}
    assert len(house.twin.captures) == 1


def test_a_page_that_never_opened_is_given_up_after_the_second_look(house: House) -> None:
    house.open(ada=3334)
    house.twin.plan("open_payment", "late_effect")
    with pytest.raises(Unavailable):
        house.start("ada")
    with house.database.begin(house.merchant_id) as session:
        payments.void_all(session, house.reference, now=merchant_now(session))
    house.quiet()
    assert house.states == {"ada": "voiding"}  # a call may still be under way: not void until it cannot be
    with house.database.begin(house.merchant_id) as session:
        session.execute(text("UPDATE attempt SET close_asked_at = close_asked_at - interval '1 hour'"))
        session.execute(text("UPDATE intent SET due_at = clock_timestamp() WHERE state = 'due'"))
    house.quiet()
    assert house.states == {"ada": "voided"}
    house.twin.land_late_effects()  # the zombie page opens after all, two hours later
    with house.database.begin(house.merchant_id) as session:
        session.execute(text("UPDATE intent SET due_at = clock_timestamp() WHERE state = 'due'"))
    house.quiet()
    assert house.twin.truth(house.attempt("ada")) is Seen.EXPIRED
    assert house.states == {"ada": "voided"}


def test_an_authorization_that_lapses_is_asked_for_again(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    house.twin.lapse(house.attempt("ada"))
    with house.database.begin(house.merchant_id) as session:
        since = merchant_now(session)
        assert len(payments.observe_all(session, house.reference)) == 1
        assert [one.is_unread for one in payments.tally(session, house.reference, lasting=since, seen_since=since)] == [
            True
        ]
    house.quiet()
    assert house.states == {"ada": "expired"}
    assert "portion.expired" in house.facts()
    assert house.statement.authorized == eur(0)
    house.authorize("ada")
    assert house.states == {"ada": "authorized"}


def test_the_last_look_adopts_what_no_message_told(house: House) -> None:
    """I11: the webhook was lost and the payer never came back, but the bank said yes."""
    house.open(ada=3334, bo=3333)
    house.authorize("ada")
    house.start("bo")
    house.twin.authorize(house.attempt("bo"))
    assert house.states["bo"] == "authorizing"
    with house.database.begin(house.merchant_id) as session:
        since = merchant_now(session)
        payments.observe_all(session, house.reference)
    house.quiet()
    with house.database.begin(house.merchant_id) as session:
        (all_alike,) = payments.tally(session, house.reference, lasting=since, seen_since=since)
        assert (all_alike.count, all_alike.is_unread) == (2, False)
    assert set(house.states.values()) == {"authorized"}
    assert house.facts().count("portion.observed") == 2


def test_an_answer_that_was_long_on_its_way_is_no_last_look(house: House) -> None:
    """What was asked before the freeze may be older than what happened since, whenever its answer comes."""
    house.open(ada=3334)
    house.authorize("ada")
    with house.database.begin(house.merchant_id) as session:
        owed = payments.observe_all(session, house.reference)
        claims = house.runner.claim(session, owed)
    with house.database.begin(house.merchant_id) as session:
        since = merchant_now(session)
    house.runner.carry_out(claims)
    with house.database.begin(house.merchant_id) as session:
        (all_alike,) = payments.tally(session, house.reference, lasting=since, seen_since=since)
        assert (all_alike.count, all_alike.is_unread) == (1, True)
        payments.observe_all(session, house.reference)
    house.quiet()
    with house.database.begin(house.merchant_id) as session:
        (all_alike,) = payments.tally(session, house.reference, lasting=since, seen_since=since)
        assert all_alike.is_unread is False


def test_a_capture_that_fails_leaves_a_short_portion_and_no_live_authorization(house: House) -> None:
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    house.twin.lapse(house.attempt("bo"))
    house.capture_all()
    assert house.states == {"ada": "captured", "bo": "short"}
    assert "portion.capture_failed" in house.facts()
    money = house.statement
    assert (money.captured, money.receivable, money.total) == (eur(3334), eur(3333), eur(6667))
    assert money.is_conserved


def test_an_authorization_about_to_end_is_not_captured(house: House) -> None:
    """I10: the row says that it ends in nine minutes."""
    house.open(ada=3334)
    house.authorize("ada")
    with house.database.begin(house.merchant_id) as session:
        session.execute(text("UPDATE attempt SET capture_before = clock_timestamp() + interval '9 minutes'"))
    house.capture_all()
    assert (house.states, house.twin.captures) == ({"ada": "short"}, [])
    assert house.twin.truth(house.attempt("ada")) is Seen.CANCELED


def test_money_nobody_asked_for_is_given_back(house: House) -> None:
    """Somebody captures in the provider's own dashboard while we are voiding."""
    house.open(ada=3334)
    house.authorize("ada")
    house.twin.capture_outside(house.attempt("ada"))
    house.void_all()
    assert house.states == {"ada": "voided"}
    assert [minor for _, minor in house.twin.refunds] == [3334]
    assert "payment.discrepant" in house.facts()
    assert house.statement.balances == {}


def test_a_difference_is_told_once_however_often_it_is_read(house: House) -> None:
    """The provider shows another amount than was asked for, at every reading; and then yet another."""
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    attempt_id = house.attempt("ada")
    payment = house.twin._payments[attempt_id]
    for shown, told in ((3400, 1), (3400, 1), (3500, 2), (3400, 2), (3500, 2)):
        payment.order = replace(payment.order, amount=eur(shown))
        with house.database.begin(house.merchant_id) as session:
            intents.owe(session, OBSERVE, attempt_id)
        house.quiet()
        assert house.facts().count("payment.discrepant") == told


def test_an_authorization_under_review_does_not_count(house: House) -> None:
    house.open(ada=3334)
    house.start("ada")
    house.twin.authorize(house.attempt("ada"), under_review=True)
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["ada"])
    assert house.states == {"ada": "authorizing"}


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_refunds_never_exceed_what_was_taken(house: House) -> None:
    house.open(ada=3334)
    with pytest.raises(payments.RefundTooLarge), house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], eur(1), reason="x")
    house.authorize("ada")
    house.capture_all()
    with house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], eur(3000), reason="member_canceled")
    for wrong in (eur(335), eur(0), eur(-1), Money(100, "GBP")):
        with pytest.raises(payments.RefundTooLarge), house.database.begin(house.merchant_id) as session:
            payments.refund_portion(session, house.portions["ada"], wrong, reason="x")
    house.quiet()
    assert [minor for _, minor in house.twin.refunds] == [3000]
    assert house.states == {"ada": "part_refunded"}
    assert house.view("ada").refunded == eur(3000)


def test_a_refund_that_fails_weeks_later_is_owed_again(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    house.capture_all()
    with house.database.begin(house.merchant_id) as session:
        refund_id = payments.refund_portion(session, house.portions["ada"], eur(3334), reason="member_canceled")
    house.quiet()
    assert (house.states, house.statement.net) == ({"ada": "refunded"}, eur(0))
    house.twin.settle_refund(refund_id, RefundState.FAILED)
    with house.database.begin(house.merchant_id) as session:
        message = ProviderEvent("evt_r", "refund.failed", False, "re_1", refund_id=refund_id)
        assert payments.handle_event(session, "stripe", message, b"{}")
    house.quiet()
    assert (house.states, house.statement.net) == ({"ada": "captured"}, eur(3334))
    assert "portion.refund_failed" in house.facts()


def test_a_disputed_charge_is_not_refunded(house: House) -> None:
    """C6: refunding while disputed can pay twice."""
    house.open(ada=3334)
    house.authorize("ada")
    house.capture_all()
    house.twin.dispute(house.attempt("ada"))
    with house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], eur(100), reason="member_canceled")
    house.quiet()
    assert (house.twin.refunds, house.states) == ([], {"ada": "captured"})
    with house.database.begin(house.merchant_id) as session:
        assert [row.state for row in payments.refunds_of(session, house.reference)] == ["failed"]


# --- messages from the provider ---------------------------------------------------------------------------------------


def test_a_message_twice_is_one_message(house: House) -> None:
    house.open(ada=3334)
    house.start("ada")
    house.twin.authorize(house.attempt("ada"))
    deps = PaymentDeps(house.database, house.providers)
    event = house.twin.list_events(house.twin.clock() - timedelta(hours=1), timeout_seconds=1)[-1]
    headers, body = house.twin.event(event)
    assert receive(deps, "kestrel", headers, body)
    assert not receive(deps, "kestrel", headers, body)
    house.quiet()
    assert house.states == {"ada": "authorized"}
    assert house.counts("inbox") == [1]
    assert house.facts().count("portion.authorized") == 1


def test_a_message_is_a_nudge_and_never_believed(house: House) -> None:
    """It says "captured"; the provider's truth says that the page is open."""
    house.open(ada=3334)
    house.start("ada")
    deps = PaymentDeps(house.database, house.providers)
    lie = ProviderEvent("evt_lie", "payment_intent.succeeded", False, "pi_x", attempt_id=house.attempt("ada"))
    assert receive(deps, "kestrel", *house.twin.event(lie))
    house.quiet()
    assert house.states == {"ada": "authorizing"}


def test_a_forged_message_writes_nothing(house: House) -> None:
    house.open(ada=3334)
    house.start("ada")
    before = house.counts("inbox", "intent")
    headers, body = house.twin.event(ProviderEvent("evt_f", "x", False, "pi_x", attempt_id=house.attempt("ada")))
    deps = PaymentDeps(house.database, house.providers)
    for given in ({}, headers | {"twin-signature": "0" * 64}):
        with pytest.raises(EventRejected):
            receive(deps, "kestrel", given, body)
    with pytest.raises(MerchantNotFound):
        receive(deps, "nobody", headers, body)
    assert house.counts("inbox", "intent") == before


def test_a_lost_week_of_messages_is_repaired_by_the_sweep(house: House) -> None:
    house.open(ada=3334, bo=3333)
    house.authorize("ada")
    house.start("bo")
    house.twin.authorize(house.attempt("bo"))
    with house.database.begin(house.merchant_id) as session:
        session.execute(text("UPDATE attempt SET started_at = started_at - interval '1 day', observed_at = NULL"))
        assert payments.sweep(session, now=merchant_now(session)) == 2
        assert payments.sweep(session, now=merchant_now(session)) == 0
    house.quiet()
    assert set(house.states.values()) == {"authorized"}


# --- the ledger in the database ---------------------------------------------------------------------------------------


def test_the_database_refuses_an_entry_that_does_not_balance(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    before = house.counts("journal", "posting")
    entry = (
        "INSERT INTO journal SELECT merchant_id, :id, reference, portion_id, 'billed', :id, recorded_at FROM journal"
    )
    side = "INSERT INTO posting SELECT merchant_id, :side, :id, account, currency, amount FROM posting LIMIT 1"
    with pytest.raises(DBAPIError, match="does not balance"):
        house.execute(entry, id=new_id())
    with pytest.raises(DBAPIError, match="does not balance"):
        house.execute(entry, side, id=new_id(), side=new_id())
    assert house.counts("journal", "posting") == before


@pytest.mark.parametrize("statement", ["UPDATE posting SET amount = 1", "DELETE FROM posting", "DELETE FROM journal"])
def test_the_ledger_is_never_changed(house: House, statement: str) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    with pytest.raises(DBAPIError, match="permission denied"):
        house.execute(statement)
    with pytest.raises(DBAPIError, match="append-only"):  # even the tables' owner is stopped
        house.execute("RESET ROLE", "SET LOCAL row_security = off", statement)


# --- races ------------------------------------------------------------------------------------------------------------


def race(house: House, *, threads: int = 4) -> None:
    """Everybody presses Pay at the same moment."""
    barrier = threading.Barrier(threads)

    def press() -> None:
        barrier.wait()
        try:
            with house.database.begin(house.merchant_id) as session:
                payments.begin_attempt(
                    session,
                    house.portions["ada"],
                    payer=house.people["ada"],
                    success_url="http://localhost/ok",
                    cancel_url="http://localhost/back",
                    title="Lisbon",
                    locale="en",
                    now=merchant_now(session),
                )
        except DBAPIError:
            return

    workers = [threading.Thread(target=press) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_four_clicks_at_once_make_one_attempt(house: House) -> None:
    house.open(ada=3334)
    race(house)
    assert house.counts("attempt", "intent") == [1, 1]


def test_the_race_is_real_when_the_lock_is_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the test above: without lock and index the same set-up makes more than one attempt."""
    house.open(ada=3334)
    meeting = threading.Barrier(4)

    def unlocked(session: object, portion_id: object) -> object:
        row = repository.read_portion(session, portion_id)  # type: ignore[arg-type]  # as the original
        meeting.wait()
        return row

    monkeypatch.setattr(repository, "lock_portion", unlocked)
    with house.database.engine.begin() as connection:
        connection.execute(text("RESET ROLE"))
        connection.execute(text("DROP INDEX ix_attempt_one_current"))
        connection.execute(text("ALTER TABLE attempt DROP CONSTRAINT uq_attempt_merchant_id_portion_id_n"))
        connection.execute(text("SET ROLE gb_app"))
    race(house)
    assert house.counts("attempt")[0] > 1


def test_the_index_alone_also_keeps_one_current_attempt(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two guards: with the lock off, the partial unique index refuses the second current attempt."""
    house.open(ada=3334)
    meeting = threading.Barrier(4)

    def unlocked(session: object, portion_id: object) -> object:
        row = repository.read_portion(session, portion_id)  # type: ignore[arg-type]  # as the original
        meeting.wait()
        return row

    monkeypatch.setattr(repository, "lock_portion", unlocked)
    race(house)
    # A thread that comes late may lawfully replace the attempt of an early one; two at once are refused.
    with house.database.begin(house.merchant_id) as session:
        assert session.scalar(text("SELECT count(*) FROM attempt WHERE is_current")) == 1
