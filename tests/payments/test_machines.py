"""The two machines, every (state, event) pair, and the arithmetic beside them. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.kit.errors import Invalid
from groupbook.kit.ids import new_id
from groupbook.kit.money import Money, divide
from groupbook.payments.domain import (
    ATTEMPT_OVER,
    ATTEMPT_TABLE,
    DISPUTE_TABLE,
    PAYABLE,
    PORTION_TABLE,
    REFUND_SEEN,
    REFUND_TABLE,
    STOPPED_BY_DISPUTE,
    AttemptEvent,
    AttemptState,
    Covered,
    DisputeState,
    IllegalStep,
    PartsDoNotSum,
    PortionCurrency,
    PortionDraft,
    PortionEvent,
    PortionNotRepresentable,
    PortionState,
    PortionTooSmall,
    RefundState,
    Returned,
    advance_attempt,
    advance_portion,
    check_drafts,
    dispute_after,
    least_payable,
    may_capture,
    owed_again,
    payable_step,
    refund_event,
)
from groupbook.payments.refund import tries_by_itself_max

SEEN = [event for event in AttemptEvent if event.startswith("seen_")]
a, p = AttemptState, PortionState
# What we ask for is legal exactly here; what the provider shows, and a page that opened, has an answer in every state
# that is stored: an orphan is closed in the transaction that found it.
ATTEMPT_ASKED: dict[AttemptEvent, set[AttemptState]] = {
    AttemptEvent.PAGE_REFUSED: {a.OPENING, a.CLOSING, a.CANCELED},
    AttemptEvent.CLOSE_ASKED: {a.OPENING, a.OPEN, a.ACTION, a.DECLINED, a.SAVED, a.AUTHORIZED, a.ORPHAN},
    AttemptEvent.CAPTURE_ASKED: {a.AUTHORIZED},
    AttemptEvent.CAPTURE_REFUSED: {a.CAPTURING},
    AttemptEvent.NEVER_LANDED: {a.CLOSING},
}
LEGAL_IN: dict[PortionEvent, set[PortionState]] = {
    PortionEvent.ATTEMPT_STARTED: {*PAYABLE, p.SHORT},
    PortionEvent.ATTEMPT_SAVED: {p.AUTHORIZING, p.DECLINED, p.SAVED},
    PortionEvent.ATTEMPT_AUTHORIZED: {p.AUTHORIZING, p.DECLINED, p.SHORT},
    PortionEvent.ATTEMPT_DECLINED: {p.AUTHORIZING, p.DECLINED, p.SHORT},
    PortionEvent.ATTEMPT_ENDED: set(PAYABLE),
    PortionEvent.AUTHORIZATION_LAPSED: {p.AUTHORIZED, p.CAPTURING},
    PortionEvent.PAYER_CHANGED: {*PAYABLE, p.SHORT},
    PortionEvent.REASKED: {*PAYABLE, p.AUTHORIZED, p.WAIVED},
    PortionEvent.NOTHING_LEFT: {*PAYABLE, p.AUTHORIZED, p.COVERED, p.WAIVED},
    PortionEvent.CAPTURE_ASKED: {*PAYABLE, p.AUTHORIZED},
    PortionEvent.ATTEMPT_CAPTURED: {p.CAPTURING, p.SHORT},
    PortionEvent.CAPTURE_REFUSED: {p.CAPTURING},
    PortionEvent.COVERED: {p.SHORT},
    PortionEvent.UNCOVERED: {p.COVERED},
    PortionEvent.VOID_ASKED: {*PAYABLE, p.AUTHORIZED, p.SHORT, p.VOIDING, p.VOIDED, p.WAIVED},
    PortionEvent.ALL_CLOSED: {p.VOIDING},
    PortionEvent.REFUNDED_NOTHING: {p.CAPTURED, p.PART_REFUNDED, p.REFUNDED},
    PortionEvent.REFUNDED_PART: {p.CAPTURED, p.PART_REFUNDED, p.REFUNDED},
    PortionEvent.REFUNDED_WHOLE: {p.CAPTURED, p.PART_REFUNDED, p.REFUNDED},
}


@pytest.mark.parametrize(("state", "event"), list(product(AttemptState, AttemptEvent)))
def test_every_attempt_pair_is_defined_or_refused(state: AttemptState, event: AttemptEvent) -> None:
    if state in ATTEMPT_ASKED.get(event, set(AttemptState) - {a.ORPHAN}):
        assert advance_attempt(state, event) is ATTEMPT_TABLE[state, event]
    else:
        with pytest.raises(IllegalStep):
            advance_attempt(state, event)


def test_a_card_that_was_only_saved_is_never_money() -> None:
    """Whatever a page for saving a card shows beyond that is released or given back."""
    assert advance_attempt(AttemptState.SAVED, AttemptEvent.SEEN_AUTHORIZED) is AttemptState.ORPHAN
    assert AttemptState.SAVED not in ATTEMPT_OVER
    with pytest.raises(IllegalStep):
        advance_attempt(AttemptState.SAVED, AttemptEvent.CAPTURE_ASKED)


def test_money_taken_stays_taken() -> None:
    """I9: no later reading moves a captured attempt, and nothing can close it."""
    for event in SEEN:
        assert advance_attempt(AttemptState.CAPTURED, event) is AttemptState.CAPTURED
    for event in (AttemptEvent.CLOSE_ASKED, AttemptEvent.CAPTURE_ASKED):
        with pytest.raises(IllegalStep):
            advance_attempt(AttemptState.CAPTURED, event)


def test_a_capture_under_way_is_never_closed() -> None:
    with pytest.raises(IllegalStep):
        advance_attempt(AttemptState.CAPTURING, AttemptEvent.CLOSE_ASKED)


def test_an_authorization_never_moves_backwards() -> None:
    for state in (AttemptState.AUTHORIZED, AttemptState.CAPTURING):
        for event in (AttemptEvent.SEEN_OPEN, AttemptEvent.SEEN_ACTION, AttemptEvent.SEEN_DECLINED):
            assert advance_attempt(state, event) is state


def test_whatever_lives_after_its_end_is_an_orphan() -> None:
    for state in ATTEMPT_OVER - {AttemptState.CAPTURED}:
        assert advance_attempt(state, AttemptEvent.SEEN_AUTHORIZED) is AttemptState.ORPHAN
    assert advance_attempt(AttemptState.ORPHAN, AttemptEvent.CLOSE_ASKED) is AttemptState.CLOSING


@pytest.mark.parametrize(("state", "event"), list(product(PortionState, PortionEvent)))
def test_every_portion_pair_is_defined_or_refused(state: PortionState, event: PortionEvent) -> None:
    if state in LEGAL_IN[event]:
        assert advance_portion(state, event) is PORTION_TABLE[state, event]
    else:
        with pytest.raises(IllegalStep):
            advance_portion(state, event)


def test_capture_is_asked_of_what_is_authorized_and_anything_less_is_short() -> None:
    answers = {state: target for (state, event), target in PORTION_TABLE.items() if event is PortionEvent.CAPTURE_ASKED}
    assert answers == dict.fromkeys(PAYABLE, PortionState.SHORT) | {PortionState.AUTHORIZED: PortionState.CAPTURING}


def test_taken_money_is_never_voided() -> None:
    for state in (PortionState.CAPTURING, PortionState.CAPTURED, PortionState.PART_REFUNDED, PortionState.REFUNDED):
        with pytest.raises(IllegalStep):
            advance_portion(state, PortionEvent.VOID_ASKED)


def test_every_state_can_be_reached_and_left_or_is_an_end() -> None:
    reached = {PortionState.OPEN, PortionState.WAIVED} | set(PORTION_TABLE.values())
    assert reached == set(PortionState)
    ends = {
        state
        for state in PortionState
        if all(target is state for (source, _), target in PORTION_TABLE.items() if source is state)
    }
    assert ends == {PortionState.VOIDED}


@pytest.mark.parametrize(("believed", "seen"), list(product(RefundState, RefundState)))
def test_every_refund_reading_is_defined(believed: RefundState, seen: RefundState) -> None:
    """What failed or was made good otherwise stays so; a success may still fail for thirty days."""
    if seen not in REFUND_SEEN:
        assert (believed, seen) not in REFUND_TABLE
        return
    after = REFUND_TABLE[believed, seen]
    if believed in (RefundState.ASKED, RefundState.PENDING):
        assert after is seen
    elif believed is RefundState.SUCCEEDED:
        assert after is (RefundState.FAILED if seen is RefundState.FAILED else believed)
    else:
        assert after is believed


@pytest.mark.parametrize(("believed", "seen"), list(product(DisputeState, DisputeState)))
def test_every_dispute_reading_is_defined(believed: DisputeState, seen: DisputeState) -> None:
    """An older reading unmakes nothing, and what the bank took stays taken."""
    is_kept = seen is DisputeState.NONE or believed is DisputeState.LOST
    assert DISPUTE_TABLE[believed, seen] is (believed if is_kept else seen)
    assert dispute_after(believed, seen, is_stale=False) is DISPUTE_TABLE[believed, seen]
    stale = dispute_after(believed, seen, is_stale=True)
    assert stale is (seen if believed is DisputeState.NONE else believed), "one asked for before the one believed"


_returned = st.builds(
    Returned,
    id=st.uuids(),
    amount=st.integers(1, 4000).map(lambda minor: Money(minor, "EUR")),
    state=st.sampled_from(RefundState),
    failure_reason=st.sampled_from([STOPPED_BY_DISPUTE, "expired_or_canceled_card", None]),
    tries=st.integers(1, tries_by_itself_max + 1),
)


@given(st.lists(_returned, max_size=6, unique_by=lambda one: one.id), st.integers(0, 6000), st.integers(0, 6000))
def test_what_a_dispute_stopped_is_owed_again_once_and_never_more_than_is_kept(
    refunds: list[Returned], captured: int, by_hand: int
) -> None:
    """Whatever was asked, sent, sent back or paid otherwise of it before."""
    sent = [one for one in refunds if one.state in (RefundState.PENDING, RefundState.SUCCEEDED)]
    asked = [one for one in refunds if one.state is RefundState.ASKED]
    elsewhere = [one for one in refunds if one.state is RefundState.ELSEWHERE]

    def minors(some: list[Returned]) -> int:
        return sum(one.amount.minor for one in some)

    def again(some: list[Returned], given_back: int) -> list[Returned]:
        ids = owed_again(some, captured=Money(captured, "EUR"), given_back=Money(given_back, "EUR"))
        return [one for one in some if one.id in ids]

    owed = again(refunds, minors(sent))
    assert all(one.state is RefundState.FAILED and one.failure_reason == STOPPED_BY_DISPUTE for one in owed)
    if owed:
        assert minors(owed) + minors(sent) + minors(asked) + minors(elsewhere) <= captured
    mended = [replace(one, state=RefundState.RETRIED) if one in owed else one for one in refunds]
    asked_anew = [replace(one, id=new_id(), state=RefundState.ASKED, tries=one.tries + 1) for one in owed]
    assert again(mended + asked_anew, minors(sent)) == [], "twice is once"
    if by_hand > minors(sent) + minors(asked):
        assert again(refunds, by_hand) == [], "somebody gave back by hand: a person judges"


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_refund_events_follow_the_sum(captured: int, refunded: int) -> None:
    event = refund_event(captured=Money(captured, "EUR"), refunded=Money(refunded, "EUR"))
    expected = (
        PortionEvent.REFUNDED_NOTHING
        if refunded == 0
        else PortionEvent.REFUNDED_WHOLE
        if refunded >= captured
        else PortionEvent.REFUNDED_PART
    )
    assert event is expected


# --- drafts -----------------------------------------------------------------------------------------------------------

currencies = st.sampled_from(["EUR", "JPY", "TND", "ISK", "UGX", "HUF", "GBP"])


def draft(minor: int, currency: str = "EUR") -> PortionDraft:
    person = new_id()
    return PortionDraft(person, person, Money(minor, currency))


@given(st.integers(0, 10**8), st.lists(st.integers(0, 1000), min_size=1, max_size=50), currencies)
def test_parts_that_sum_are_accepted_and_any_other_sum_is_refused(
    minor: int, weights: list[int], currency: str
) -> None:
    if not sum(weights):
        weights[0] = 1
    whole = Money(minor, currency)
    parts = divide(whole, weights)
    drafts = [draft(part.minor, currency) for part in parts]
    least = least_payable(currency).minor
    if any(0 < part.minor < least for part in parts) or any(part.minor % payable_step(currency) for part in parts):
        with pytest.raises((PortionTooSmall, PortionNotRepresentable)):
            check_drafts(whole, drafts)
        return
    check_drafts(whole, drafts)
    with pytest.raises(PartsDoNotSum):
        check_drafts(Money(minor + 1, currency), drafts)


def test_drafts_are_one_currency_not_negative_and_not_too_many() -> None:
    with pytest.raises(PortionCurrency):
        check_drafts(Money(200, "EUR"), [draft(100), draft(100, "GBP")])
    with pytest.raises(PortionTooSmall):
        check_drafts(Money(0, "EUR"), [draft(-100), draft(100)])
    with pytest.raises(PortionTooSmall):
        check_drafts(Money(49, "EUR"), [draft(49)])
    with pytest.raises(Invalid):
        check_drafts(Money(6100, "EUR"), [draft(100) for _ in range(61)])
    person = new_id()
    covered = PortionDraft(person, person, Money(100, "EUR"), (Covered(new_id(), Money(60, "EUR")),))
    with pytest.raises(PartsDoNotSum):
        check_drafts(Money(100, "EUR"), [covered])


def test_no_capture_is_sent_close_to_the_end() -> None:
    now = datetime(2027, 1, 4, tzinfo=UTC)
    assert may_capture(None, now)
    assert may_capture(now + timedelta(seconds=601), now)
    assert not may_capture(now + timedelta(seconds=600), now)
