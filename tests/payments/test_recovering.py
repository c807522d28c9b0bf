"""Cards kept early and authorized late, and the ladder after a capture that failed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from groupbook import payments
from groupbook.kit import intents
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.errors import Unavailable
from groupbook.kit.ids import AttemptId
from groupbook.kit.money import Money
from groupbook.payments import moving
from groupbook.payments.domain import AttemptState
from groupbook.payments.ports import Seen
from tests.payments.conftest import House

ROWS = ("portion", "attempt", "journal", "fact", "intent")
WEEK = timedelta(days=7)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def save(house: House, *names: str) -> None:
    """Each lets their card be kept; the twin's page does it by `authorize`, as a person types a card either way."""
    house.authorize(*names)


def authorize_saved(house: House) -> int:
    owed = house.do(payments.authorize_saved, house.reference)
    house.quiet()
    return len(owed)


def charges(house: House) -> list[str]:
    return [key for method, key in house.twin.calls if method == "authorize_saved"]


# --- saved early, authorized late -------------------------------------------------------------------------------------


def test_cards_are_kept_first_and_authorized_when_it_is_time(house: House) -> None:
    """The trip is three weeks away: nothing is reserved until the time comes, then everything, in nobody's presence."""
    house.open(ada=3334, bo=3333, authorizes_in=WEEK, caps={"ada": 4000})
    save(house, "ada", "bo")
    assert house.states == {"ada": "saved", "bo": "saved"}
    assert house.statement.authorized == eur(0)
    assert not any(view.is_settled for view in house.views)
    assert all(view.card is not None for view in house.views)
    house.pass_time(WEEK)
    first = house.attempt("ada")
    assert authorize_saved(house) == 2
    assert house.states == {"ada": "authorized", "bo": "authorized"}
    assert house.statement.authorized == eur(7333)  # Ada agreed to 40
    assert authorize_saved(house) == 0
    assert len(charges(house)) == 2
    house.capture_all()
    assert sorted(minor for _, minor in house.twin.captures) == [3333, 3334]
    assert house.twin.truth(first) is Seen.CANCELED  # the card is forgotten once it is not needed
    assert house.statement.is_conserved


def test_the_same_payer_comes_back_to_the_same_saving_page(house: House) -> None:
    house.open(ada=3334, authorizes_in=WEEK)
    assert house.start("ada") == house.start("ada")
    assert house.counts("attempt") == [1]


def test_a_review_in_the_payers_absence_is_no_refusal(house: House) -> None:
    """The authorization stands at the provider while somebody there looks at it: it is not given back."""
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    house.twin.review_saved(house.attempt("ada"))
    house.pass_time(WEEK)
    assert authorize_saved(house) == 1
    assert (house.states, house.twin.voids) == ({"ada": "authorizing"}, [])
    assert "portion.declined" not in house.facts()
    house.twin.end_review(house.attempt("ada"))
    observe(house, house.attempt("ada"))
    house.quiet()
    assert (house.states, house.twin.voids) == ({"ada": "authorized"}, [])


@pytest.mark.parametrize("reason", ["insufficient_funds", "authentication_required"])
def test_a_silent_payer_whose_bank_says_no_is_asked_in_person(house: House, reason: str) -> None:
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    house.twin.refuse_saved(house.attempt("ada"), reason)
    house.pass_time(WEEK)
    assert authorize_saved(house) == 1
    view = house.view("ada")
    assert (view.state, view.decline_reason, view.is_payable) == ("declined", reason, True)
    tried = house.attempt("ada")
    assert house.twin.truth(tried) is Seen.CANCELED  # nothing of the refused try stays alive
    assert authorize_saved(house) == 0
    house.authorize("ada")
    assert house.states == {"ada": "authorized"}
    assert house.attempt("ada") != tried


def test_a_payer_may_authorize_in_person_and_keeps_the_card_if_they_give_up(house: House) -> None:
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    kept = house.attempt("ada")
    house.pass_time(WEEK)
    house.start("ada")
    page = house.attempt("ada")
    assert (house.states["ada"], page != kept) == ("authorizing", True)
    house.execute("UPDATE attempt SET closes_at = closes_at WHERE id = :id", id=page)
    house.twin._payments[page].seen = Seen.EXPIRED  # the page ran out
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["ada"])
    assert (house.states["ada"], house.twin.truth(kept)) == ("saved", Seen.SAVED)
    assert authorize_saved(house) == 1
    assert house.states == {"ada": "authorized"}


def test_a_lost_answer_in_absence_is_found_and_not_asked_twice(house: House) -> None:
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    house.pass_time(WEEK)
    house.twin.plan("authorize_saved", "lost_answer")
    authorize_saved(house)
    assert (house.states["ada"], len(charges(house)), house.twin.doubled) == ("authorized", 1, [])


def test_an_answered_failure_in_absence_gets_through_with_the_next_key(house: House) -> None:
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    house.pass_time(WEEK)
    house.twin.plan("authorize_saved", "server_error")
    authorize_saved(house)
    first, second = charges(house)
    assert (house.states["ada"], second, house.twin.doubled) == ("authorized", f"{first}:2", [])


def test_a_zombie_in_absence_is_released_when_it_lands(house: House) -> None:
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    house.pass_time(WEEK)
    house.twin.plan("authorize_saved", "late_effect")
    [owed] = house.do(payments.authorize_saved, house.reference)
    house.runner.run(house.merchant_id, owed)
    attempt = house.attempt("ada")
    house.do(payments.void_all, house.reference)
    house.twin.land_late_effects()
    assert house.twin.truth(attempt) is Seen.AUTHORIZED
    house.quiet()
    assert (house.states["ada"], house.twin.truth(attempt)) == ("voided", Seen.CANCELED)
    assert (house.twin.captures, house.statement.authorized) == ([], eur(0))


def test_a_forgotten_card_lets_no_zombie_land(house: House) -> None:
    """The call is still on its way when everything is voided; it finds no card, and we wait until it cannot come."""
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    house.pass_time(WEEK)
    house.twin.plan("authorize_saved", "late_effect")
    [owed] = house.do(payments.authorize_saved, house.reference)
    house.runner.run(house.merchant_id, owed)
    house.void_all()
    assert house.states == {"ada": "voiding"}
    house.twin.land_late_effects()
    house.execute(
        "UPDATE attempt SET close_asked_at = close_asked_at - interval '1 hour'",
        "UPDATE intent SET due_at = clock_timestamp() WHERE state IN ('due', 'unknown')",
    )
    house.quiet(80)
    assert (house.states["ada"], house.twin.truth(house.attempt("ada"))) == ("voided", Seen.ABSENT)


def test_a_card_that_is_gone_leaves_the_portion_payable(house: House) -> None:
    house.open(ada=3334, bo=3333, authorizes_in=WEEK)
    save(house, "ada", "bo")
    house.twin.remove_saved(house.attempt("ada"))
    house.pass_time(WEEK)
    authorize_saved(house)
    assert house.states == {"ada": "declined", "bo": "authorized"}
    assert house.view("ada").decline_reason == "not_found"


def test_another_payer_is_another_card(house: House) -> None:
    """Ada takes over Bo's portion: Bo's card is forgotten at once, and is not Ada's to promise."""
    house.open(ada=3334, bo=3333, authorizes_in=WEEK)
    save(house, "bo")
    kept = house.attempt("bo")
    house.do(payments.assign_payer, house.portions["bo"], payer=house.people["ada"])
    house.quiet()
    assert (house.states["bo"], house.twin.truth(kept)) == ("open", Seen.CANCELED)
    house.pass_time(WEEK)
    assert authorize_saved(house) == 0


def test_voiding_forgets_kept_cards(house: House) -> None:
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    kept = house.attempt("ada")
    house.void_all()
    assert (house.states["ada"], house.twin.truth(kept), house.twin.voids) == ("voided", Seen.CANCELED, [])


def test_more_than_the_kept_consent_is_asked_again(house: House) -> None:
    house.open(ada=3000, bo=3000, authorizes_in=WEEK, caps={"ada": 4000})
    save(house, "ada", "bo")
    house.reallocate({"ada": 3500, "bo": 3500})
    house.quiet()
    assert house.states == {"ada": "saved", "bo": "open"}
    house.pass_time(WEEK)
    assert authorize_saved(house) == 1


# --- the ladder -------------------------------------------------------------------------------------------------------


def fall_short(house: House, name: str = "bo", *, keeps_card: bool = False) -> None:
    """Everybody is authorized and the order confirmed; then one bank has let go before the capture arrives."""
    house.open(ada=3334, bo=3333, keeps_card=keeps_card)
    house.authorize("ada", "bo")
    house.twin.lapse(house.attempt(name))
    house.capture_all()
    assert house.states == {"ada": "captured", "bo": "short"}


def recover(house: House) -> int:
    owed = house.do(payments.recover_all, house.reference)
    house.quiet()
    return len(owed)


def test_where_the_order_is_in_question_what_is_owed_is_not_taken(house: House) -> None:
    """The merchant takes its yes back before the captures could be sent: banks let go, and should the order stand after
    all, everybody is asked again.
    """
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    house.do(payments.capture_all, house.reference)
    assert house.states == {"ada": "capturing", "bo": "capturing"}
    for _ in range(2):  # asking again changes nothing
        house.do(payments.stop_taking, house.reference)
    house.quiet()
    assert house.states == {"ada": "short", "bo": "short"}
    assert (house.twin.captures, len(house.twin.voids)) == ([], 2)
    assert (house.statement.authorized, house.statement.captured) == (eur(0), eur(0))
    recover(house)
    assert all(view.is_payable for view in house.views)


def test_a_capture_that_landed_unheard_counts_although_it_was_called_off(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    house.twin.plan("capture", "lost_answer")
    [owed] = house.do(payments.capture_all, house.reference)
    house.runner.run(house.merchant_id, owed)
    house.do(payments.stop_taking, house.reference)
    house.quiet()
    assert (len(house.twin.captures), house.twin.voids, house.states["ada"]) == (1, [], "captured")
    assert house.statement.captured == eur(3334)


def test_a_kept_card_is_charged_once_when_the_capture_failed(house: House) -> None:
    fall_short(house, keeps_card=True)
    assert recover(house) == 1
    assert house.states == {"ada": "captured", "bo": "captured"}
    assert sorted(minor for _, minor in house.twin.captures) == [3333, 3334]
    assert (house.statement.receivable, house.statement.is_conserved) == (eur(0), True)
    assert recover(house) == 0
    assert len(charges(house)) == 1


@pytest.mark.parametrize("fault", ["lost_answer", "server_error", "server_error_after", "lost_request", "unavailable"])
def test_the_fallback_is_looked_up_before_it_is_sent_again(house: House, fault: str) -> None:
    fall_short(house, keeps_card=True)
    house.twin.plan("authorize_saved", fault)  # type: ignore[arg-type]  # one of the twin's faults
    recover(house)
    assert house.states == {"ada": "captured", "bo": "captured"}
    assert (len(house.twin.captures), house.twin.doubled) == (2, [])


def test_without_a_kept_card_the_payer_is_asked_again_and_taken_at_once(house: House) -> None:
    fall_short(house)
    with pytest.raises(payments.PortionNotPayable):
        house.start("bo")
    assert recover(house) == 0
    assert house.facts().count("portion.asked_again") == 1
    assert house.view("bo").is_payable
    house.authorize("bo")
    house.quiet()
    assert house.states == {"ada": "captured", "bo": "captured"}
    assert sorted(minor for _, minor in house.twin.captures) == [3333, 3334]


def test_a_refused_fallback_opens_the_page_again(house: House) -> None:
    house.open(ada=3334, bo=3333, keeps_card=True)
    house.authorize("ada", "bo")
    house.twin.refuse_saved(house.attempt("bo"), "authentication_required")
    house.twin.lapse(house.attempt("bo"))
    house.capture_all()
    assert recover(house) == 1
    view = house.view("bo")
    assert (view.state, view.decline_reason, view.is_payable) == ("short", "authentication_required", True)
    assert house.facts().count("portion.asked_again") == 1
    assert recover(house) == 0
    house.authorize("bo")
    house.quiet()
    assert house.states["bo"] == "captured"


def test_a_friend_helps_with_what_is_short(house: House) -> None:
    fall_short(house)
    recover(house)
    house.do(payments.assign_payer, house.portions["bo"], payer=house.people["ada"])
    house.start("bo", payer="ada")
    house.twin.authorize(house.attempt("bo"))
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["bo"])
    house.quiet()
    view = house.view("bo")
    assert (view.state, view.payer) == ("captured", house.people["ada"])
    assert house.statement.is_conserved


def test_the_merchant_covers_what_stays_short(house: House) -> None:
    """And whatever was asked for again is given up: what lands later is released, not taken."""
    fall_short(house)
    recover(house)
    house.start("bo")
    page = house.attempt("bo")
    covered = house.do(payments.cover_shortfall, house.reference)
    assert covered == [house.portions["bo"]]
    assert house.do(payments.cover_shortfall, house.reference) == []
    house.twin.authorize(page)  # in the last second
    house.quiet()
    assert house.states == {"ada": "captured", "bo": "covered"}
    assert house.twin.truth(page) in (Seen.CANCELED, Seen.EXPIRED)
    money = house.statement
    assert (money.captured, money.receivable, money.total) == (eur(3334), eur(3333), eur(6667))
    assert money.balances["guarantee_receivable"] == eur(3333)


def test_unwinding_takes_back_what_was_covered_and_owes_nobody(house: House) -> None:
    fall_short(house)
    house.do(payments.cover_shortfall, house.reference)
    for _ in range(2):
        house.do(payments.unwind_all, house.reference, reason="booking_canceled")
    house.quiet()
    assert house.states == {"ada": "refunded", "bo": "voided"}
    money = house.statement
    assert (money.receivable, money.net, money.is_conserved) == (eur(0), eur(0), True)


def test_unwinding_while_short_releases_what_is_still_asked_for(house: House) -> None:
    fall_short(house)
    recover(house)
    house.start("bo")
    page = house.attempt("bo")
    house.do(payments.unwind_all, house.reference, reason="booking_canceled")
    house.quiet()
    assert house.states == {"ada": "refunded", "bo": "voided"}
    assert house.twin.truth(page) is Seen.EXPIRED
    assert (house.statement.receivable, house.statement.net) == (eur(0), eur(0))


def capture_late(house: House, *, keeps_card: bool = True) -> payments.PortionView:
    """Bo's capture was refused to us, and lands at the provider all the same (payments.md 2.5, RECOVERING)."""
    house.open(ada=3334, bo=3333, keeps_card=keeps_card)
    house.authorize("ada", "bo")
    with house.database.begin(house.merchant_id) as session:
        payments.capture_all(session, house.reference, now=merchant_now(session))
        session.execute(
            text(
                "UPDATE attempt SET state = 'closing', close_asked_at = clock_timestamp() "
                "WHERE portion_id = :bo AND is_current"
            ),
            {"bo": house.portions["bo"]},
        )
        session.execute(text("UPDATE portion SET state = 'short' WHERE id = :bo"), {"bo": house.portions["bo"]})
        session.execute(
            text(
                "UPDATE intent SET state = 'refused' WHERE kind = 'payment.capture' AND subject IN "
                "(SELECT id FROM attempt WHERE portion_id = :bo)"
            ),
            {"bo": house.portions["bo"]},
        )
    return house.view("bo")


def test_the_original_turns_out_taken_after_the_fallback_and_the_fallback_is_refunded(house: House) -> None:
    """Bo pays once: the fallback goes back at once, with an alert, and the first payment is the one that counts."""
    original = capture_late(house).attempt_id
    assert original is not None
    assert recover(house) == 1
    fallback = house.attempt("bo")
    assert (house.states["bo"], fallback != original) == ("captured", True)
    house.twin.capture_outside(original)
    house.do(lambda session, now: payments.recover_all(session, house.reference, now=now))
    observe(house, original)
    house.quiet()
    assert house.twin.refunds == [(fallback, 3333)]
    assert (house.states["bo"], house.view("bo").attempt_id) == ("captured", original)
    assert house.facts().count("payment.discrepant") == 1
    money = house.statement
    assert (money.captured, money.refunded, money.receivable) == (eur(6667), eur(0), eur(0))
    assert "unexpected" not in money.balances
    with house.database.begin(house.merchant_id) as session:  # and a later refund goes to what counts
        payments.refund_portion(session, house.portions["bo"], eur(3333), reason="member_canceled")
    house.quiet()
    assert house.twin.refunds == [(fallback, 3333), (original, 3333)]


def observe(house: House, attempt: AttemptId) -> None:
    """A message says that something changed."""
    with house.database.begin(house.merchant_id) as session:
        intents.owe(session, moving.OBSERVE, attempt)


def test_the_original_turns_out_taken_before_the_fallback_and_the_fallback_is_given_up(house: House) -> None:
    original = capture_late(house).attempt_id
    assert original is not None
    owed = house.do(payments.recover_all, house.reference)
    house.twin.capture_outside(original)
    observe(house, original)
    for intent_id in house.runner.due(house.merchant_id):
        if intent_id not in owed:
            house.runner.run(house.merchant_id, intent_id)
    assert (house.states["bo"], house.view("bo").attempt_id) == ("captured", original)
    house.quiet()
    assert (house.twin.refunds, charges(house)) == ([], [])
    assert house.statement.is_conserved


def test_both_captures_land_at_the_same_moment_and_one_goes_back(house: House) -> None:
    """The fallback's capture is under way when the original shows as taken: what lands second is given back."""
    original = capture_late(house).attempt_id
    assert original is not None
    [owed] = house.do(payments.recover_all, house.reference)
    house.runner.run(house.merchant_id, owed)
    fallback = house.attempt("bo")
    assert house.states["bo"] == "capturing"
    house.twin.capture_outside(original)
    house.twin.capture_outside(fallback)
    observe(house, original)
    observe(house, fallback)
    house.quiet()
    assert (house.states["bo"], house.view("bo").attempt_id) == ("captured", original)
    assert house.twin.refunds == [(fallback, 3333)]
    assert "unexpected" not in house.statement.balances
    assert house.statement.is_conserved


def test_a_capture_of_another_amount_is_given_back_and_the_portion_is_short(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    attempt = house.attempt("ada")
    house.do(payments.capture_all, house.reference)
    house.twin.capture_outside(attempt)
    house.twin._payments[attempt].captured = 3000
    house.quiet()
    assert house.states == {"ada": "short"}
    assert house.twin.refunds == [(attempt, 3000)]
    assert house.facts().count("payment.discrepant") == 1
    assert (house.statement.captured, house.statement.receivable) == (eur(0), eur(3334))


# --- keys die after a day ---------------------------------------------------------------------------------------------


def age(house: House, hours: int) -> None:
    """So long after the first try: the worker was gone, or the provider."""
    house.execute(
        "UPDATE intent SET owed_at = owed_at - make_interval(hours => :hours), "
        "due_at = clock_timestamp() WHERE state IN ('due', 'unknown')",
        hours=hours,
    )


@pytest.mark.parametrize(("fault", "state"), [("lost_answer", "authorizing"), ("lost_request", "declined")])
def test_an_old_page_is_looked_up_and_never_asked_for_again(house: House, fault: str, state: str) -> None:
    house.open(ada=3334)
    house.twin.plan("open_payment", fault)  # type: ignore[arg-type]  # one of the twin's faults
    house.twin.plan("observe", "unavailable")
    with pytest.raises(Unavailable):
        house.start("ada")
    age(house, 21)
    house.quiet()
    opened = [key for method, key in house.twin.calls if method == "open_payment"]
    assert (house.states["ada"], len(opened)) == (state, 1)
    house.start("ada")  # found, or a new attempt with a new key
    house.twin.authorize(house.attempt("ada"))
    payments.refresh_portion(house.database, house.runner, house.merchant_id, house.portions["ada"])
    assert (house.states["ada"], house.twin.doubled) == ("authorized", [])


@pytest.mark.parametrize(("fault", "state"), [("lost_answer", "captured"), ("lost_request", "short")])
def test_an_old_fallback_is_looked_up_and_never_asked_for_again(house: House, fault: str, state: str) -> None:
    fall_short(house, keeps_card=True)
    house.twin.plan("authorize_saved", fault)  # type: ignore[arg-type]  # one of the twin's faults
    [owed] = house.do(payments.recover_all, house.reference)
    house.runner.run(house.merchant_id, owed)
    age(house, 21)
    house.quiet()
    assert (house.states["bo"], len(charges(house))) == (state, 1)
    if state == "short":
        assert (house.view("bo").is_payable, house.view("bo").decline_reason) == (True, "too_old")


def look(house: House) -> None:
    """The last look before a decision."""
    with house.database.begin(house.merchant_id) as session:
        payments.observe_all(session, house.reference)
    house.quiet()


def refused_the_second_time(house: House) -> AttemptId:
    """Ada's kept card: the first call is still on its way somewhere, the second is refused."""
    house.open(ada=3334, authorizes_in=WEEK)
    save(house, "ada")
    house.pass_time(WEEK)
    house.twin.plan("authorize_saved", "late_effect")
    [owed] = house.do(payments.authorize_saved, house.reference)
    house.runner.run(house.merchant_id, owed)
    age(house, 21)
    house.quiet()
    view = house.view("ada")
    assert (view.state, view.decline_reason, view.is_payable) == ("declined", "too_old", True)
    return house.attempt("ada")


def test_a_card_that_was_charged_although_the_repeat_was_refused_counts(house: House) -> None:
    """Ada was asked to pay another way and did nothing; the last look finds that her bank keeps the money (I11)."""
    tried = refused_the_second_time(house)
    look(house)
    assert house.states == {"ada": "declined"}  # nothing is there yet
    house.twin.land_late_effects()
    look(house)
    assert (house.states, house.view("ada").decline_reason, house.twin.voids) == ({"ada": "authorized"}, None, [])
    house.capture_all()
    assert (house.states, house.twin.captures) == ({"ada": "captured"}, [(tried, 3334)])
    assert house.statement.is_conserved


def test_who_paid_another_way_meanwhile_is_not_charged_twice(house: House) -> None:
    tried = refused_the_second_time(house)
    house.authorize("ada")
    paid = house.attempt("ada")
    house.twin.land_late_effects()
    assert (house.twin.truth(tried), house.twin.truth(paid)) == (Seen.AUTHORIZED, Seen.AUTHORIZED)
    house.execute("UPDATE intent SET due_at = clock_timestamp() WHERE state IN ('due', 'unknown')")
    house.quiet()
    assert (house.twin.truth(tried), house.twin.truth(paid), house.twin.voids) == (
        Seen.CANCELED,
        Seen.AUTHORIZED,
        [tried],
    )
    house.capture_all()
    assert (house.states, house.twin.captures) == ({"ada": "captured"}, [(paid, 3334)])


@pytest.mark.parametrize(("fault", "sent", "state"), [("lost_answer", 1, "succeeded"), ("lost_request", 1, "failed")])
def test_an_old_refund_is_looked_up_and_never_sent_again(house: House, fault: str, sent: int, state: str) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    house.capture_all()
    house.twin.plan("refund", fault)  # type: ignore[arg-type]  # one of the twin's faults
    house.twin.plan("observe_refund", "unavailable")
    with house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], eur(1000), reason="member_canceled")
    for intent_id in house.runner.due(house.merchant_id):
        house.runner.run(house.merchant_id, intent_id)
    age(house, 21)
    house.quiet()
    refunds = [key for method, key in house.twin.calls if method == "refund"]
    [view] = house.do(lambda session, now: payments.refunds_of(session, house.reference))
    assert (len(refunds), view.state) == (sent, state)
    if state == "failed":
        assert view.failure_reason == "too_old"
        house.do(lambda session, now: payments.retry_refund(session, view.id))
        house.quiet()
    assert house.twin.refunds == [(house.attempt("ada"), 1000)]
    assert house.states == {"ada": "part_refunded"}


def test_a_call_that_waited_long_but_was_never_sent_is_sent(house: House) -> None:
    """Nobody was there for two days: nothing was ever asked, so asking is safe."""
    house.open(ada=3334)
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
    age(house, 48)
    house.quiet()
    assert house.do(lambda session, now: payments.attempts_of(session, house.reference))[0].state is AttemptState.OPEN
