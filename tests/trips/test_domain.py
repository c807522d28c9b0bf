"""The pure half: the machine, who sees what, how votes become a decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations, product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.kit.ids import InviteId, MemberId, OptionId, PersonId, TripId
from groupbook.kit.money import Money
from groupbook.trips.domain import (
    FULL_SIGHT,
    DeadlineInPast,
    DeadlineRequired,
    DecisionNotDue,
    DecisionRule,
    Invite,
    InviteExpired,
    InviteRevoked,
    JoinedVia,
    Member,
    MembersShown,
    NotUnanimous,
    OptionTally,
    Privacy,
    QuorumNotReached,
    Role,
    RuleKind,
    Sight,
    TripCanceled,
    TripMove,
    TripState,
    TripStateForbids,
    TripTextInvalid,
    Visibility,
    VotesShown,
    automatic_choice,
    check_decision,
    check_invite,
    clean_comment,
    clean_line,
    default_quorum,
    is_unanimous,
    next_state,
    propose,
    rank,
    redact,
    sight_of,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
S, M = TripState, TripMove

# The whole machine; every pair that is not here is refused.
EXPECTED = {
    (S.OPEN, M.LOCK): S.LOCKED,
    (S.OPEN, M.DECIDE): S.DECIDED,
    (S.OPEN, M.CANCEL): S.CANCELED,
    (S.LOCKED, M.UNLOCK): S.OPEN,
    (S.LOCKED, M.DECIDE): S.DECIDED,
    (S.LOCKED, M.REOPEN): S.OPEN,
    (S.LOCKED, M.CANCEL): S.CANCELED,
    (S.DECIDED, M.REOPEN): S.OPEN,
    (S.DECIDED, M.START_BOOKING): S.BOOKING,
    (S.DECIDED, M.CANCEL): S.CANCELED,
    (S.BOOKING, M.FAIL_BOOKING): S.DECIDED,
    (S.BOOKING, M.FINISH_BOOKING): S.BOOKED,
    (S.BOOKING, M.CANCEL): S.CANCELED,
    (S.BOOKED, M.FAIL_BOOKING): S.DECIDED,
    (S.BOOKED, M.CANCEL): S.CANCELED,
}


@pytest.mark.parametrize(("state", "move"), list(product(TripState, TripMove)))
def test_every_pair_of_state_and_move_leads_where_it_should_or_is_refused(state: TripState, move: TripMove) -> None:
    if (state, move) in EXPECTED:
        assert next_state(state, move) is EXPECTED[state, move]
    else:
        with pytest.raises(TripStateForbids):
            next_state(state, move)


@pytest.mark.parametrize(("state", "before"), list(product(TripState, [None, *TripState])))
def test_undo_leads_back_to_where_the_decision_was_made(state: TripState, before: TripState | None) -> None:
    if state is S.DECIDED and before in (S.OPEN, S.LOCKED):
        assert next_state(state, M.UNDO, decided_from=before) is before
    else:
        with pytest.raises(TripStateForbids):
            next_state(state, M.UNDO, decided_from=before)


# --- the tally ------------------------------------------------------------------------------------------------------


def option(number: int, *votes: int, total: int | None = None, day: int | None = None) -> OptionTally:
    yes, maybe, no = votes
    return OptionTally(
        OptionId(UUID(int=number)),
        yes=yes,
        if_need_be=maybe,
        no=no,
        total=Money(total, "EUR") if total is not None else None,
        starts_at=NOW + timedelta(days=day) if day is not None else None,
    )


@st.composite
def tallies(draw: st.DrawFn) -> list[OptionTally]:
    numbers = draw(st.lists(st.integers(1, 99), unique=True, min_size=1, max_size=6))
    small = st.integers(0, 2)
    return [
        option(
            number,
            draw(small),
            draw(small),
            draw(small),
            total=draw(st.none() | st.integers(0, 2)),
            day=draw(st.none() | small),
        )
        for number in numbers
    ]


@given(tallies(), st.integers(1, 4), st.randoms())
def test_the_ranking_is_a_total_order_that_no_shuffling_moves(
    given_: list[OptionTally], quorum: int, dice: object
) -> None:
    ranked = rank(given_, quorum)
    shuffled = list(given_)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]  # random.Random
    assert rank(shuffled, quorum) == ranked
    assert sorted(ranked, key=lambda tally: tally.option_id) == sorted(given_, key=lambda tally: tally.option_id)
    # Every pair stands alone as it stands among all: the order is transitive and needs no company.
    for left, right in pairwise(ranked):
        assert rank([right, left], quorum) == [left, right]


@given(tallies(), st.integers(1, 4))
def test_a_proposal_reaches_the_quorum_and_a_clear_one_is_decided_by_votes_alone(
    given_: list[OptionTally], quorum: int
) -> None:
    proposal = propose(given_, quorum)
    by_id = {tally.option_id: tally for tally in given_}
    if proposal.option_id is None:
        assert proposal.reason in ("no_votes", "quorum_not_reached")
        assert all(tally.can_come < quorum for tally in given_) or not any(t.can_come + t.no for t in given_)
        return
    best = by_id[proposal.option_id]
    assert best.can_come >= quorum
    twins = [
        t
        for t in given_
        if (t.can_come >= quorum, t.no, t.yes, t.if_need_be) == (True, best.no, best.yes, best.if_need_be)
    ]
    assert proposal.is_clear == (len(twins) == 1)


def test_each_criterion_decides_only_when_the_ones_before_it_are_equal() -> None:
    """The order of the reference: quorum, fewest no, most yes, most if need be, price, date, lowest id."""
    cases = [
        ((option(9, 2, 0, 5), option(1, 1, 0, 0)), 2, "more_can_come"),
        ((option(9, 2, 0, 0), option(1, 5, 0, 1)), 2, "fewest_no"),
        ((option(9, 3, 0, 1), option(1, 2, 2, 1)), 2, "most_yes"),
        ((option(9, 2, 1, 0), option(1, 2, 0, 0)), 2, "most_if_need_be"),
        ((option(9, 2, 0, 0, total=100), option(1, 2, 0, 0, total=101)), 2, "lowest_price"),
        ((option(9, 2, 0, 0, total=9), option(1, 2, 0, 0)), 2, "lowest_price"),
        ((option(9, 2, 0, 0, day=1), option(1, 2, 0, 0, day=2)), 2, "earliest_date"),
        ((option(1, 2, 0, 0), option(9, 2, 0, 0)), 2, "first_listed"),
        ((option(1, 2, 0, 0),), 2, "only_option"),
    ]
    for given_, quorum, reason in cases:
        for order in permutations(given_):
            proposal = propose(order, quorum)
            assert (proposal.option_id, proposal.reason) == (given_[0].option_id, reason)


def test_the_quorum_decides_at_the_deadline_only_when_the_votes_are_clear() -> None:
    rule = DecisionRule(RuleKind.QUORUM_AT_DEADLINE, 2, NOW)
    clear = [option(1, 2, 0, 0), option(2, 1, 1, 0)]
    assert automatic_choice(rule, clear, voters=3) == clear[0].option_id
    assert automatic_choice(rule, [option(1, 2, 0, 0), option(2, 2, 0, 0)], voters=3) is None
    assert automatic_choice(rule, [option(1, 1, 0, 0)], voters=3) is None
    assert automatic_choice(rule, [option(1, 0, 0, 0)], voters=3) is None
    assert automatic_choice(DecisionRule(), clear, voters=3) is None


def test_unanimity_needs_everybody_and_silence_is_not_consent() -> None:
    rule = DecisionRule(RuleKind.UNANIMOUS, None, NOW)
    assert is_unanimous(option(1, 2, 1, 0), 3)
    assert not is_unanimous(option(1, 2, 0, 0), 3)
    assert not is_unanimous(option(1, 3, 0, 1), 3)
    assert not is_unanimous(option(1, 0, 0, 0), 0)
    assert automatic_choice(rule, [option(1, 5, 0, 1), option(2, 1, 2, 0)], voters=3) == UUID(int=2)
    assert automatic_choice(rule, [option(1, 2, 0, 0)], voters=3) is None


def test_the_rule_fixed_at_the_start_binds_the_organizer() -> None:
    later = DecisionRule(RuleKind.QUORUM_AT_DEADLINE, 2, NOW + timedelta(hours=1))
    over = DecisionRule(RuleKind.QUORUM_AT_DEADLINE, 2, NOW)
    with pytest.raises(DecisionNotDue):
        check_decision(later, option(1, 5, 0, 0), voters=6, everybody_voted=False, now=NOW)
    check_decision(later, option(1, 5, 0, 0), voters=5, everybody_voted=True, now=NOW)
    check_decision(over, option(1, 2, 0, 3), voters=6, everybody_voted=False, now=NOW)
    with pytest.raises(QuorumNotReached):
        check_decision(over, option(1, 1, 0, 0), voters=6, everybody_voted=True, now=NOW)
    with pytest.raises(NotUnanimous):
        check_decision(DecisionRule(RuleKind.UNANIMOUS), option(1, 2, 0, 0), voters=3, everybody_voted=False, now=NOW)
    check_decision(DecisionRule(), option(1, 0, 0, 3), voters=3, everybody_voted=False, now=NOW)


def test_a_rule_that_could_never_decide_is_refused() -> None:
    with pytest.raises(DeadlineRequired):
        DecisionRule(RuleKind.QUORUM_AT_DEADLINE).checked(NOW)
    for deadline in (NOW, NOW - timedelta(seconds=1), NOW + timedelta(days=366)):
        with pytest.raises(DeadlineInPast):
            DecisionRule(RuleKind.UNANIMOUS, None, deadline).checked(NOW)
    with pytest.raises(TripTextInvalid):
        DecisionRule(RuleKind.UNANIMOUS, None, NOW.replace(tzinfo=None)).checked(NOW)
    assert DecisionRule(RuleKind.QUORUM_AT_DEADLINE, None, NOW + timedelta(days=1)).checked(NOW).quorum == 2
    assert [default_quorum(invited) for invited in (1, 2, 3, 4, 5, 10, 60)] == [2, 2, 2, 3, 3, 6, 36]


# --- who sees what --------------------------------------------------------------------------------------------------


def test_the_organizer_sees_all_and_a_stranger_only_what_is_public() -> None:
    for visibility, members, votes in product(Visibility, MembersShown, VotesShown):
        privacy = Privacy(visibility, members, votes)
        assert sight_of(privacy, Role.ORGANIZER) == FULL_SIGHT
        assert (sight_of(privacy, None) is None) == (visibility is not Visibility.PUBLIC)
        assert (sight_of(privacy, Role.VIEWER) is None) == (visibility is Visibility.SECRET)
        assert sight_of(privacy, Role.MEMBER) == Sight(
            members is MembersShown.ALL, members is not MembersShown.NONE, votes is VotesShown.ALWAYS
        )
    after = Privacy(votes_shown=VotesShown.AFTER_OWN_VOTE)
    assert [sight_of(after, Role.MEMBER, has_voted=voted).votes for voted in (False, True)] == [False, True]  # type: ignore[union-attr]


def test_redaction_hides_what_is_hidden_and_nothing_else() -> None:
    payload = {
        "option_id": "opt_1",
        "member_id": "mem_1",
        "member_count": 3,
        "going_count": 2,
        "counts": {"yes": 1},
        "choice": "yes",
    }

    def seen(sight: Sight) -> dict[str, Any]:
        return redact("vote.cast", payload, sight)[1]

    assert seen(FULL_SIGHT) == payload
    assert seen(Sight(False, True, True)).keys() == payload.keys() - {"member_id"}
    assert seen(Sight(True, False, True)).keys() == payload.keys() - {"member_count", "going_count"}
    assert seen(Sight(True, True, False)).keys() == payload.keys() - {"counts", "choice"}
    assert seen(Sight(False, False, False)) == {"option_id": "opt_1"}


def test_a_stranger_to_a_public_trip_learns_nothing_of_how_the_group_pays() -> None:
    stranger = sight_of(Privacy(Visibility.PUBLIC), None)
    assert stranger is not None
    asked = {"booking_id": "bkg_1", "member_id": "mem_1", "asked_of": "mem_2"}
    assert redact("portion.asked", asked, stranger) == ("trip.changed", {})
    assert redact("booking.opened", {"state": "open"}, stranger) == ("trip.changed", {})
    hidden = Sight(False, True, True)
    assert redact("portion.asked", asked, hidden) == ("portion.asked", {"booking_id": "bkg_1"})


ANA = Member(
    id=MemberId(UUID(int=7)),
    trip_id=TripId(UUID(int=2)),
    name="Ana",
    role=Role.ORGANIZER,
    is_going=True,
    joined_via=JoinedVia.STARTED,
    joined_at=NOW,
    person_id=PersonId(UUID(int=8)),
)


def test_codes_of_a_wider_level_die_when_the_trip_turns_secret() -> None:
    link = Invite(InviteId(UUID(int=1)), TripId(UUID(int=2)), None, NOW, NOW + timedelta(days=1), None)
    named = Invite(InviteId(UUID(int=1)), TripId(UUID(int=2)), "Zoé", NOW, None, None)
    gone = Invite(InviteId(UUID(int=1)), TripId(UUID(int=2)), "Zoé", NOW, None, NOW)
    secret, wide = Privacy(Visibility.SECRET), Privacy()
    check_invite(link, wide, S.OPEN, NOW, creator=ANA)
    check_invite(named, secret, S.BOOKED, NOW, creator=ANA)
    with pytest.raises(InviteRevoked):
        check_invite(link, secret, S.OPEN, NOW, creator=ANA)
    with pytest.raises(InviteRevoked):
        check_invite(gone, wide, S.OPEN, NOW, creator=ANA)
    with pytest.raises(InviteExpired):
        check_invite(link, wide, S.OPEN, NOW + timedelta(days=1), creator=ANA)
    with pytest.raises(TripCanceled):
        check_invite(link, wide, S.CANCELED, NOW, creator=ANA)


def test_an_invite_is_worth_what_its_maker_may_do_now() -> None:
    link = Invite(InviteId(UUID(int=1)), TripId(UUID(int=2)), None, NOW, None, None)
    bo = replace(ANA, role=Role.MEMBER)
    check_invite(link, Privacy(Visibility.FRIENDS), S.OPEN, NOW, creator=bo)
    for creator, privacy in ((bo, Privacy(Visibility.LINK)), (None, Privacy(Visibility.FRIENDS))):
        with pytest.raises(InviteRevoked):
            check_invite(link, privacy, S.OPEN, NOW, creator=creator)


def test_texts_keep_every_script_and_refuse_what_is_too_long_or_invisible() -> None:
    for line in ("Été à Nice 🏖️", "رحلة إلى ليون", "👨‍👩‍👧‍👦"):
        assert clean_line(line, characters_max=40, pointer="/title") == line
    assert clean_line("  a \n b\t", characters_max=3, pointer="/title") == "a b"
    for bad in ("x" * 10_000, "a\x00b", "a\x1bb"):
        with pytest.raises(TripTextInvalid):
            clean_line(bad, characters_max=120, pointer="/title")
    assert clean_comment(" a\r\nb ") == "a\nb"
    for bad in ("", " \n ", "x" * 2_001, "a\x07"):
        with pytest.raises(TripTextInvalid):
            clean_comment(bad)
