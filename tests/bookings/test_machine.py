"""The booking's machine as a pure thing: every state, every piece of news, every effect."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.bookings.domain import (
    ENDED,
    AmendmentStage,
    BookingState,
    Choices,
    Policy,
    PolicyInvalid,
    check_settings,
    choose,
    limits_of,
    policy_of,
)
from groupbook.bookings.machine import ASKED_AGAIN, TABLE, BookingEvent, Effect, step
from groupbook.bookings.news import AmendmentTruth, PortionTruth, Snapshot, news
from groupbook.kit.errors import InvariantBroken
from groupbook.offers.domain import HoldState, OrderState, RecheckState
from groupbook.payments.domain import DisputeState, PortionState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PAST, SOON, LATER = NOW - timedelta(seconds=1), NOW + timedelta(minutes=10), NOW + timedelta(days=6)

instants = st.none() | st.sampled_from([PAST, SOON, LATER])
portions = st.builds(
    PortionTruth, st.sampled_from(PortionState), instants, st.booleans(), st.sampled_from(DisputeState)
)
amendments = st.builds(
    AmendmentTruth,
    stage=st.sampled_from(AmendmentStage),
    incoming=st.none() | st.sampled_from(PortionState),
    is_amended=st.none() | st.booleans(),
    pay_by=instants,
)
snapshots = st.builds(
    Snapshot,
    now=st.just(NOW),
    needs_hold=st.booleans(),
    hold=st.none() | st.sampled_from(HoldState),
    order=st.none() | st.sampled_from(OrderState),
    portions=st.lists(portions, max_size=4).map(tuple),
    dropped=st.lists(portions, max_size=2).map(tuple),
    deadline_at=instants,
    has_tickets=st.booleans(),
    has_looked=st.booleans(),
    recheck=st.none() | st.sampled_from(RecheckState),
    confirm_by=instants,
    budget_at=instants,
    cancel_asked=st.booleans(),
    amendment=st.none() | amendments,
    authorize_at=instants,
    payer_quorum=st.none() | st.integers(1, 4),
    has_shrunk=st.booleans(),
    may_extend=st.booleans(),
    covers_shortfall=st.booleans(),
)


@given(st.sampled_from(BookingState), snapshots)
def test_portions_that_are_alike_may_be_counted(state: BookingState, seen: Snapshot) -> None:
    """The rooms below tell the saga how many portions are alike, and not each of them."""
    counted = replace(seen, portions=_counted(seen, seen.portions), dropped=_counted(seen, seen.dropped))
    assert news(state, counted) == news(state, seen)


def _counted(seen: Snapshot, truths: tuple[PortionTruth, ...]) -> tuple[PortionTruth, ...]:
    alike: dict[tuple[Any, ...], list[PortionTruth]] = {}
    for one in truths:
        kind = (one.state, one.refund_failed, one.dispute, one.capture_before and seen.lasts(one.capture_before))
        alike.setdefault(kind, []).append(one)
    return tuple(
        replace(
            group[0],
            count=len(group),
            capture_before=min((one.capture_before for one in group if one.capture_before), default=None),
        )
        for group in alike.values()
    )


@given(st.sampled_from(BookingState), snapshots)
def test_every_piece_of_news_is_in_the_table(state: BookingState, seen: Snapshot) -> None:
    event = news(state, seen)
    assert event is None or (state, event) in TABLE


@given(snapshots)
def test_ended_and_parked_bookings_have_no_news(seen: Snapshot) -> None:
    assert [news(state, seen) for state in (*sorted(ENDED), BookingState.PARKED)] == [None, None, None]


@given(snapshots)
def test_nothing_is_captured_before_the_merchant_confirmed(seen: Snapshot) -> None:
    """P1: the only doors to a capture are a confirmed order seen in confirming or tombstoning, and an amended one."""
    for state in BookingState:
        event = news(state, seen)
        effects = step(state, event)[1] if event is not None else ()
        if Effect.CAPTURE in effects:
            assert state in (BookingState.CONFIRMING, BookingState.TOMBSTONING)
            assert seen.order is OrderState.CONFIRMED
        if Effect.SETTLE_AMENDMENT in effects:
            assert state is BookingState.AMENDING
            assert seen.amendment is not None
            assert seen.amendment.is_amended is True


@given(snapshots)
def test_confirm_is_sent_only_after_a_look_that_found_everybody_in(seen: Snapshot) -> None:
    for state in BookingState:
        event = news(state, seen)
        if event is not None and Effect.CONFIRM in step(state, event)[1]:
            assert seen.has_looked
            assert {portion.state for portion in seen.portions} <= {PortionState.AUTHORIZED, PortionState.WAIVED}


def test_all_pairs_outside_the_table_are_refused() -> None:
    refused = 0
    for state in BookingState:
        for event in BookingEvent:
            if (state, event) in TABLE:
                continue
            refused += 1
            with pytest.raises(InvariantBroken):
                step(state, event)
    assert refused == len(BookingState) * len(BookingEvent) - len(TABLE)


def test_every_waiting_state_has_a_way_out_when_nobody_answers() -> None:
    """P5: with every budget run out and nothing else known, each unfinished state moves."""
    silence = Snapshot(
        now=NOW,
        needs_hold=True,
        hold=HoldState.PLACING,
        order=OrderState.CANCELING,
        portions=(PortionTruth(PortionState.CAPTURING),),
        deadline_at=PAST,
        confirm_by=PAST,
        budget_at=PAST,
    )
    resting = {*ENDED, BookingState.PARKED, BookingState.BOOKED}
    waiting = {state for state in BookingState if news(state, silence) is None}
    assert waiting == resting | {BookingState.RECOVERING}  # a capture under way cannot be called back: patience first
    assert news(BookingState.RECOVERING, replace(silence, patience=timedelta(0))) is BookingEvent.BUDGET_OUT


def test_an_authorization_that_ends_too_soon_does_not_count() -> None:
    tight = PortionTruth(PortionState.AUTHORIZED, NOW + timedelta(minutes=14))
    roomy = PortionTruth(PortionState.AUTHORIZED, NOW + timedelta(minutes=16))
    assert not Snapshot(now=NOW, needs_hold=False, hold=None, order=None, portions=(roomy, tight)).all_settled
    assert Snapshot(now=NOW, needs_hold=False, hold=None, order=None, portions=(roomy, roomy)).all_settled


@pytest.mark.parametrize(
    ("window", "hold_seconds", "expected_seconds"),
    [(1800, None, 1800), (1800, 3600, 1800), (1800, 1800, 1680), (60, 50, 45)],
)
def test_the_deadline_comes_before_the_merchant_lets_go(
    window: int, hold_seconds: int | None, expected_seconds: int
) -> None:
    ends = NOW + timedelta(seconds=hold_seconds) if hold_seconds else None
    deadline = Policy(collection_window_seconds=window).deadline(NOW, ends)
    assert deadline == NOW + timedelta(seconds=expected_seconds)


PAID, OWING, SAVED = (
    PortionTruth(PortionState.AUTHORIZED, LATER),
    PortionTruth(PortionState.OPEN),
    PortionTruth(PortionState.SAVED),
)


def looked(*portions: PortionTruth, **truth: Any) -> Snapshot:
    """A frozen booking after its last look, past its deadline."""
    seen = Snapshot(
        now=NOW,
        needs_hold=True,
        hold=HoldState.LIVE,
        order=None,
        portions=portions,
        deadline_at=PAST,
        has_looked=True,
    )
    return replace(seen, **truth)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (looked(PAID, PAID), BookingEvent.LOOKED_COMPLETE),
        (looked(PAID, OWING), BookingEvent.LOOKED_SHORT),
        (looked(PAID, OWING, deadline_at=SOON), BookingEvent.LOOKED_EARLY),
        (looked(PAID, OWING, may_extend=True), BookingEvent.DEADLINE_EXTENDED),
        (looked(PAID, PAID, OWING, payer_quorum=2), BookingEvent.LOOKED_QUORUM),
        (looked(PAID, OWING, OWING, payer_quorum=2), BookingEvent.LOOKED_SHORT),
        (looked(PAID, PAID, OWING, payer_quorum=2, has_shrunk=True), BookingEvent.LOOKED_SHORT),
        (looked(PAID, has_looked=False), None),
        (looked(PAID, has_looked=False, budget_at=PAST), BookingEvent.BUDGET_OUT),
        (looked(PAID, hold=HoldState.EXPIRED), BookingEvent.HOLD_LOST),
        (looked(PAID, hold=HoldState.EXTENDING), BookingEvent.LOOKED_COMPLETE),
        (looked(PAID, needs_hold=False, hold=None), None),
        (looked(PAID, needs_hold=False, hold=None, recheck=RecheckState.PENDING), None),
        (looked(PAID, needs_hold=False, hold=None, recheck=RecheckState.SAME), BookingEvent.LOOKED_COMPLETE),
        (looked(PAID, needs_hold=False, hold=None, recheck=RecheckState.LOWER), BookingEvent.LOOKED_COMPLETE),
        (looked(PAID, needs_hold=False, hold=None, recheck=RecheckState.GONE), BookingEvent.SOLD_OUT),
        (looked(PAID, needs_hold=False, hold=None, recheck=RecheckState.HIGHER), BookingEvent.LOOKED_SHORT),
        (
            looked(PAID, needs_hold=False, hold=None, recheck=RecheckState.HIGHER, deadline_at=SOON),
            BookingEvent.PRICE_ROSE,
        ),
    ],
)
def test_what_the_last_look_decides(seen: Snapshot, expected: BookingEvent | None) -> None:
    assert news(BookingState.FREEZING, seen) is expected


@pytest.mark.parametrize(
    ("portions", "truth", "expected"),
    [
        ((SAVED, OWING), {"authorize_at": SOON}, None),
        ((SAVED, OWING), {"authorize_at": PAST}, BookingEvent.AUTHORIZATIONS_DUE),
        ((SAVED, PAID), {"authorize_at": SOON}, BookingEvent.AUTHORIZATIONS_DUE),
        ((SAVED, PAID), {"authorize_at": None}, None),
        ((PAID, OWING), {"authorize_at": PAST}, None),
    ],
)
def test_saved_cards_are_authorized_when_due_or_when_nobody_else_is_waited_for(
    portions: tuple[PortionTruth, ...], truth: dict[str, datetime | None], expected: BookingEvent | None
) -> None:
    seen = looked(*portions, deadline_at=SOON, **truth)
    assert news(BookingState.OPEN, seen) is expected


@pytest.mark.parametrize(
    ("portions", "truth", "expected"),
    [
        ((PortionState.CAPTURED, PortionState.SHORT), {}, None),
        ((PortionState.CAPTURED, PortionState.SHORT), {"budget_at": PAST}, BookingEvent.RECOVERY_OUT),
        (
            (PortionState.CAPTURED, PortionState.SHORT),
            {"budget_at": PAST, "covers_shortfall": True},
            BookingEvent.SHORTFALL_ACCEPTED,
        ),
        ((PortionState.CAPTURED, PortionState.CAPTURING), {"budget_at": PAST}, None),
        ((PortionState.CAPTURED, PortionState.COVERED), {"budget_at": PAST}, BookingEvent.ALL_CAPTURED),
        ((PortionState.CAPTURED, PortionState.SHORT), {"cancel_asked": True}, BookingEvent.CANCEL_ASKED),
    ],
)
def test_the_ladder_ends_in_everything_or_nothing(
    portions: tuple[PortionState, ...], truth: dict[str, Any], expected: BookingEvent | None
) -> None:
    seen = looked(*map(PortionTruth, portions), order=OrderState.CONFIRMED, has_tickets=True, **truth)
    assert news(BookingState.RECOVERING, seen) is expected


def change(stage: AmendmentStage, **truth: Any) -> Snapshot:
    return looked(PAID, order=OrderState.CONFIRMED, amendment=AmendmentTruth(stage, **truth))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (change(AmendmentStage.COLLECTING, incoming=PortionState.OPEN, pay_by=SOON), None),
        (change(AmendmentStage.COLLECTING, incoming=PortionState.OPEN, pay_by=PAST), BookingEvent.AMENDMENT_UNPAID),
        (
            change(AmendmentStage.COLLECTING, incoming=PortionState.AUTHORIZED, pay_by=PAST),
            BookingEvent.AMENDMENT_PAID,
        ),
        (change(AmendmentStage.ORDERING), None),
        (change(AmendmentStage.ORDERING, is_amended=True), BookingEvent.ORDER_AMENDED),
        (change(AmendmentStage.ORDERING, is_amended=False), BookingEvent.AMENDMENT_REFUSED),
        (change(AmendmentStage.SETTLING, incoming=PortionState.CAPTURING), None),
        (change(AmendmentStage.SETTLING, incoming=PortionState.CAPTURED), BookingEvent.AMENDMENT_DONE),
        (change(AmendmentStage.SETTLING, incoming=PortionState.SHORT), BookingEvent.AMENDMENT_SHORT),
        (change(AmendmentStage.SETTLING, incoming=PortionState.SHORT, is_asked_again=True), None),
        (change(AmendmentStage.COLLECTING, incoming=PortionState.AUTHORIZED, capture_before=SOON), None),
        (change(AmendmentStage.SETTLING), BookingEvent.AMENDMENT_DONE),
        (change(AmendmentStage.DROPPING, incoming=PortionState.VOIDING), None),
        (change(AmendmentStage.DROPPING, incoming=PortionState.VOIDED), BookingEvent.AMENDMENT_DROPPED),
        (change(AmendmentStage.DONE), BookingEvent.BROKEN),
    ],
)
def test_a_change_of_a_booked_member_pays_first_then_orders_then_settles(
    seen: Snapshot, expected: BookingEvent | None
) -> None:
    assert news(BookingState.AMENDING, seen) is expected


def test_a_merchant_who_keeps_the_order_leaves_it_booked_only_when_everybody_paid() -> None:
    all_paid = replace(looked(PortionTruth(PortionState.CAPTURED), order=OrderState.CONFIRMED), was_booked=True)
    one_short = replace(all_paid, portions=(PortionTruth(PortionState.SHORT),))
    assert news(BookingState.UNWINDING, all_paid) is BookingEvent.CANCEL_REFUSED
    assert news(BookingState.UNWINDING, one_short) is BookingEvent.ORDER_STANDS
    one_left = replace(all_paid, portions=(*all_paid.portions, PortionTruth(PortionState.REFUNDED)))
    assert news(BookingState.UNWINDING, one_left) is BookingEvent.CANCEL_REFUSED
    # The merchant may have made a change that was under way: money has to follow it first.
    changing = replace(all_paid, amendment=AmendmentTruth(AmendmentStage.ORDERING, is_amended=True))
    assert news(BookingState.UNWINDING, changing) is BookingEvent.ORDER_STANDS
    only_asked = replace(all_paid, amendment=AmendmentTruth(AmendmentStage.ASKED))
    assert news(BookingState.UNWINDING, only_asked) is BookingEvent.CANCEL_REFUSED
    never_booked = replace(all_paid, was_booked=False)  # no tickets were issued, and nobody was told: a person asks on
    assert news(BookingState.UNWINDING, never_booked) is BookingEvent.ORDER_STANDS


@pytest.mark.parametrize("state", [BookingState.RECOVERING, BookingState.AMENDING])
def test_nobody_is_asked_for_money_once_the_merchant_contradicts_itself(state: BookingState) -> None:
    assert step(state, BookingEvent.BROKEN) == (BookingState.PARKED, (Effect.STOP_TAKING,))


def test_money_goes_back_only_when_no_capture_is_under_way() -> None:
    taking = looked(PortionTruth(PortionState.CAPTURING), order=OrderState.CANCELED)
    assert news(BookingState.UNWINDING, taking) is None
    assert news(BookingState.UNWINDING, replace(taking, budget_at=PAST)) is BookingEvent.BUDGET_OUT


def test_who_left_owes_nothing_but_must_be_closed_before_the_end() -> None:
    gone = PortionTruth(PortionState.VOIDING)
    seen = looked(PortionTruth(PortionState.VOIDED), dropped=(gone,), hold=HoldState.RELEASED)
    assert news(BookingState.VOIDING, seen) is None
    closed = replace(seen, dropped=(PortionTruth(PortionState.VOIDED),))
    assert news(BookingState.VOIDING, closed) is BookingEvent.ALL_VOIDED
    assert news(BookingState.OPEN, looked(PAID, dropped=(gone,))) is BookingEvent.ALL_SETTLED


def test_a_disputed_charge_waits_for_the_dispute() -> None:
    """While it is open a refund might pay twice; lost, the bank gave the money back; won, it is ours to refund."""
    back = PortionTruth(PortionState.REFUNDED)
    open_, lost, won = (
        PortionTruth(PortionState.CAPTURED, dispute=state)
        for state in (DisputeState.OPEN, DisputeState.LOST, DisputeState.WON)
    )
    assert news(BookingState.REFUNDING, looked(back, open_)) is BookingEvent.DISPUTED
    assert news(BookingState.REFUNDING, looked(back, lost)) is BookingEvent.ALL_REFUNDED
    assert news(BookingState.REFUNDING, looked(back, won)) is None


def test_what_is_asked_again_on_resuming_is_what_led_there() -> None:
    for state, effects in ASKED_AGAIN.items():
        ways = [asked for (_, _), (target, asked) in TABLE.items() if target is state]
        assert effects in ways


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"collection_window": 60}, "/collection_window"),
        ({"collection_window_seconds": 1}, "/collection_window_seconds"),
        ({"confirm_budget_seconds": "900"}, "/confirm_budget_seconds"),
        ({"settle_budget_seconds": True}, "/settle_budget_seconds"),
        ({"authorize_ahead_seconds": 7 * 86_400}, "/authorize_ahead_seconds"),
        ({"payer_quorum": 0}, "/payer_quorum"),
        ({"shortfall": "platform"}, "/shortfall"),
        ({"keeps_cards": 1}, "/keeps_cards"),
    ],
)
def test_settings_outside_their_limits_are_refused(settings: dict[str, object], pointer: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        check_settings(settings, Policy())
    assert refused.value.pointer == pointer


def test_a_merchants_settings_lie_over_the_houses() -> None:
    house = Policy(confirm_budget_seconds=60)
    policy = policy_of(house, check_settings({"shortfall": "receivable", "payer_quorum": 4}, house))
    assert (policy.confirm_budget_seconds, policy.shortfall, policy.payer_quorum) == (60, "receivable", 4)
    assert policy.settle_margin == timedelta(seconds=60 + 6 * 3600 + 600)


DAY = 86_400


@pytest.mark.parametrize(
    ("house", "settings"),
    [
        (Policy(settle_budget_seconds=DAY), {"collection_window_seconds": 30 * DAY}),
        (
            Policy(authorize_ahead_seconds=4.5 * DAY),
            {"collection_window_seconds": 30 * DAY, "settle_budget_seconds": 0.3 * DAY},
        ),
        (Policy(), {"extension_seconds": 5 * DAY}),
        (Policy(extension_seconds=DAY), {"collection_window_seconds": 30 * DAY}),
    ],
)
def test_settings_at_odds_with_the_house_are_not_saved(house: Policy, settings: dict[str, float]) -> None:
    """What is authorized first would lapse before it is captured: the pointer names what leaves too little time."""
    with pytest.raises(PolicyInvalid) as refused:
        check_settings(settings, house)
    assert (refused.value.pointer, refused.value.params["reason"]) == (
        "/settle_budget_seconds",
        "authorizations_too_short",
    )


def test_saved_settings_that_a_new_house_policy_contradicts_are_set_aside() -> None:
    saved = check_settings({"collection_window_seconds": 30 * DAY, "payer_quorum": 2}, Policy())
    house = Policy(settle_budget_seconds=DAY)
    assert policy_of(house, saved) is house
    assert choose(house, saved, Choices(), people=3) == house
    assert (limits_of(house, saved).window_seconds, limits_of(house, saved).payers_min) == (1800.0, None)


def test_a_window_longer_than_a_bank_waits_saves_cards_first() -> None:
    short, long = Policy(collection_window_seconds=1800), Policy(collection_window_seconds=10 * 86_400)
    assert short.authorize_at(NOW) is None
    assert long.authorize_at(NOW) == NOW + timedelta(days=6)
