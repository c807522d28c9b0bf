"""The two machines, every (state, event) pair, and the arithmetic beside them. Pure."""

from __future__ import annotations

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
    PAYABLE,
    PORTION_TABLE,
    REFUND_TABLE,
    Account,
    AttemptEvent,
    AttemptState,
    Covered,
    IllegalStep,
    JournalKind,
    LedgerUnbalanced,
    PartsDoNotSum,
    PortionCurrency,
    PortionDraft,
    PortionEvent,
    PortionState,
    PortionTooSmall,
    RefundState,
    advance_attempt,
    advance_portion,
    balances,
    check_drafts,
    least_payable,
    may_capture,
    postings,
    refund_event,
    statement,
)

SEEN = [event for event in AttemptEvent if event.startswith("seen_")]
ASKED_ONLY_IN = {
    AttemptEvent.CAPTURE_ASKED: {AttemptState.AUTHORIZED},
    AttemptEvent.PAGE_REFUSED: {
        AttemptState.OPENING,
        AttemptState.CLOSING,
        AttemptState.CANCELED,
        AttemptState.EXPIRED,
        AttemptState.FAILED,
        AttemptState.ORPHAN,
    },
}


@pytest.mark.parametrize(("state", "event"), list(product(AttemptState, AttemptEvent)))
def test_every_attempt_pair_is_defined_or_refused(state: AttemptState, event: AttemptEvent) -> None:
    """What the provider shows is answered in every state; what we ask is legal only where it is safe."""
    if (state, event) in ATTEMPT_TABLE:
        assert advance_attempt(state, event) in AttemptState
    else:
        with pytest.raises(IllegalStep):
            advance_attempt(state, event)
        assert event not in SEEN
    if event in ASKED_ONLY_IN:
        assert ((state, event) in ATTEMPT_TABLE) == (state in ASKED_ONLY_IN[event])


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
    if (state, event) in PORTION_TABLE:
        assert advance_portion(state, event) in PortionState
    else:
        with pytest.raises(IllegalStep):
            advance_portion(state, event)


def test_capture_is_asked_of_what_is_authorized_and_anything_less_is_short() -> None:
    answers = {state: target for (state, event), target in PORTION_TABLE.items() if event is PortionEvent.CAPTURE_ASKED}
    assert answers == dict.fromkeys(PAYABLE, PortionState.SHORT) | {
        PortionState.AUTHORIZED: PortionState.CAPTURING,
        PortionState.WAIVED: PortionState.WAIVED,
    }


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
    assert ends == {PortionState.VOIDED, PortionState.WAIVED, PortionState.COVERED}


@pytest.mark.parametrize(("believed", "seen"), list(product(RefundState, list(RefundState)[1:])))
def test_every_refund_reading_is_defined(believed: RefundState, seen: RefundState) -> None:
    after = REFUND_TABLE[believed, seen]
    assert believed is not RefundState.FAILED or after is RefundState.FAILED  # a failed refund is paid another way


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
    if any(0 < part.minor < least for part in parts):
        with pytest.raises(PortionTooSmall):
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


# --- the ledger -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(JournalKind), st.integers(1, 10**9)), max_size=40))
def test_every_movement_sums_to_zero(moves: list[tuple[JournalKind, int]]) -> None:
    entries = [side for kind, minor in moves for side in postings(kind, Money(minor, "EUR"))]
    assert sum(entry.amount.minor for entry in entries) == 0
    assert statement(new_id(), "EUR", balances(entries, "EUR")) is not None


@given(
    st.lists(st.integers(50, 10**6), min_size=1, max_size=12),
    st.data(),
)
def test_a_billed_reference_is_conserved(amounts: list[int], data: st.DataObject) -> None:
    """P2: captured - refunded + receivable = total - refunded, whatever was captured and refunded."""
    moves: list[tuple[JournalKind, int]] = []
    for minor in amounts:
        moves.append((JournalKind.BILLED, minor))
        if data.draw(st.booleans()):
            moves.append((JournalKind.CAPTURED, minor))
            if refunded := data.draw(st.integers(0, minor)):
                moves.append((JournalKind.REFUNDED, refunded))
    entries = [side for kind, minor in moves for side in postings(kind, Money(minor, "EUR"))]
    sums = statement(new_id(), "EUR", balances(entries, "EUR"))
    assert sums.total == Money(sum(amounts), "EUR")
    assert sums.is_conserved
    assert sums.net == sums.captured - sums.refunded


def test_nothing_is_not_a_movement() -> None:
    for minor in (0, -1):
        with pytest.raises(LedgerUnbalanced):
            postings(JournalKind.CAPTURED, Money(minor, "EUR"))
    lopsided = balances([postings(JournalKind.CAPTURED, Money(5, "EUR"))[0]], "EUR")
    assert lopsided[Account.PROVIDER_CLEARING] == Money(5, "EUR")
    with pytest.raises(LedgerUnbalanced):
        statement(new_id(), "EUR", lopsided)
