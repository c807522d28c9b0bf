"""What coming and going does to prices, told to each member for their own part only."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from groupbook import discounts, trips
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.ids import OptionId, TripId
from groupbook.kit.money import Money
from tests.trips.conftest import House

RULES = {
    rule["id"]: rule
    for rule in json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))["rules"]
}
# GroupSave in euros, on every fare: 34 % off from three adults on.
TOGETHER = {**RULES["uk.groupsave"], "currency": "EUR", "families": "*", "when": []}
YOUTH = {**RULES["uk.16-17"], "currency": "EUR", "families": "*", "when": []}


def euro(minor: int) -> Money:
    return Money(minor, "EUR")


class Group:
    """Ana's trip on one train at 30.00, with a group rule and a half-price card."""

    def __init__(self, house: House) -> None:
        self.house = house
        with house.database.begin(house.kestrel.id) as session:
            rules = {"rules": [TOGETHER, YOUTH]}
            discounts.put_catalogue(session, rules, starts_on=date(2020, 1, 1), now=clock.now(session))
        self.ana = house.person("ana")
        option = trips.NewOption(offer_id=house.offer("6609", minor=3000))
        self.started = house.start(self.ana, options=[option])
        self.trip_id: TripId = self.started.trip_id
        self.option_id: OptionId = house.option_ids(self.trip_id)[0]

    def join(self, name: str, *, card: bool = False) -> Caller:
        caller, joined = self.house.join(self.started, name)
        if card:
            with self.house.database.begin(self.house.kestrel.id) as session:
                cards = [discounts.Card("uk.16-17")]
                discounts.set_entitlements(session, joined.member.subject, cards=cards, age=16, now=clock.now(session))
        return caller

    def member(self, caller: Caller) -> trips.domain.Member:
        with self.house.database.begin(self.house.kestrel.id) as session:
            member = trips.member_of(session, self.trip_id, caller)
        assert member is not None
        return member

    def board(self, caller: Caller) -> trips.Board:
        id = self.member(caller).id
        with self.house.database.begin(self.house.kestrel.id) as session:
            return trips.price_board(session, self.trip_id, id, self.option_id, now=clock.now(session))


@pytest.fixture
def group(house: House) -> Group:
    return Group(house)


def test_the_next_step_is_ones_own_price_and_the_groups_saving(group: Group) -> None:
    """Two at 30.00; with a third everybody pays 19.80."""
    group.join("Bo")
    assert group.board(group.ana).reach == trips.Reach(people_more=1, yours=euro(1980), saving=euro(2040))
    group.join("Cy")
    board = group.board(group.ana)
    assert board.reach is None
    assert board.prices[0].yours == euro(1980)


def test_a_full_train_promises_no_further_friend(group: Group) -> None:
    group.join("Bo")
    group.house.rows("UPDATE offer SET seats_left = 2 RETURNING id")
    assert group.board(group.ana).reach is None


def test_who_was_there_is_told_who_came_and_what_it_did(group: Group) -> None:
    bo = group.join("Bo")
    assert group.board(group.ana).shift is None, "a second friend changes nothing yet"
    cy = group.join("Cy")
    shift = group.board(group.ana).shift
    assert shift is not None
    assert (shift.joined, shift.left) == (("Bo", "Cy"), ())
    assert (shift.before, shift.after) == (euro(3000), euro(1980))
    seen = group.board(bo).shift
    assert seen is not None
    assert seen.joined == ("Cy",), "Bo is told of nobody who was there before him"
    assert group.board(cy).shift is None
    trips.set_going(group.house.database, cy, group.trip_id, is_going=False)
    assert group.board(group.ana).shift is None, "he came and went again: nothing is left to tell"


def test_who_stays_is_told_who_left_and_it_is_forgotten_after_two_days(group: Group) -> None:
    group.join("Bo")
    cy = group.join("Cy")
    group.house.shift(days=2, hours=1)
    assert group.board(group.ana).shift is None
    trips.leave(group.house.database, cy, group.trip_id)
    shift = group.board(group.ana).shift
    assert shift is not None
    assert (shift.left, shift.joined) == (("Cy",), ())
    assert (shift.before, shift.after) == (euro(1980), euro(3000))


def test_before_joining_one_sees_ones_own_price_and_what_the_others_save(group: Group) -> None:
    group.join("Bo")
    with group.house.database.begin(group.house.kestrel.id) as session:
        (one,) = trips.preview_join(session, group.trip_id, None, now=clock.now(session))
    assert (one.yours, one.yours_alone, one.others) == (euro(1980), euro(3000), 2)
    assert (one.total_with, one.total_without) == (euro(5940), euro(6000))
    assert one.others_pay_more_without == euro(2040)
    assert group.board(group.ana).prices[0].yours == euro(3000), "nothing was changed by looking"


def test_before_leaving_one_sees_what_the_others_would_pay_more(group: Group) -> None:
    group.join("Bo")
    cy = group.join("Cy", card=True)
    id = group.member(cy).id
    with group.house.database.begin(group.house.kestrel.id) as session:
        (one,) = trips.preview_leave(session, group.trip_id, id, now=clock.now(session))
    assert (one.yours, one.yours_alone) == (euro(1500), euro(1500))
    assert (one.total_with, one.total_without) == (euro(5940), euro(6000))
    assert one.others_pay_more_without == euro(1560)


def test_the_first_member_has_nobody_to_compare_with(group: Group) -> None:
    id = group.member(group.ana).id
    with group.house.database.begin(group.house.kestrel.id) as session:
        (one,) = trips.preview_leave(session, group.trip_id, id, now=clock.now(session))
    assert (one.others, one.total_without, one.yours) == (0, None, euro(3000))


def test_an_explanation_holds_the_askers_own_part_only(group: Group) -> None:
    bo = group.join("Bo")
    cy = group.join("Cy", card=True)
    ids = [group.member(who).id for who in (cy, bo)]
    with group.house.database.begin(group.house.kestrel.id) as session:
        now = clock.now(session)
        his, theirs = (trips.explain_price(session, group.trip_id, group.option_id, id, now=now) for id in ids)
    assert [(one.rule, one.dearer) for one in his.price.unused] == [("uk.16-17", euro(1560))]
    assert (theirs.price.unused, theirs.price.refusals) == ((), ())
    assert his.proof.optimal
    assert (his.total, his.people) == (euro(5940), 3)


def test_the_organizer_sees_the_total_of_then_and_now(group: Group) -> None:
    group.join("Bo")
    trips.cast_vote(group.house.database, group.ana, group.trip_id, group.option_id, trips.domain.VoteChoice.YES)
    trips.decide(group.house.database, group.ana, group.trip_id, group.option_id)
    with group.house.database.begin(group.house.kestrel.id) as session:
        decided_at = trips.trip_of(session, group.trip_id).decided_at
    assert decided_at is not None
    group.join("Cy")
    with group.house.database.begin(group.house.kestrel.id) as session:
        now = clock.now(session)
        found = trips.reckon(session, group.trip_id, group.option_id, since=decided_at, now=now)
        same = trips.reckon(session, group.trip_id, group.option_id, since=now + timedelta(seconds=1), now=now)
    assert found == trips.Reckoning(euro(5940), 3, euro(6000), 2)
    assert same == trips.Reckoning(euro(5940), 3, euro(5940), 3)


def test_the_option_in_view_keeps_hidden_votes_hidden(house: House, group: Group) -> None:
    more = trips.add_options(
        house.database, group.ana, group.trip_id, [trips.NewOption(offer_id=house.offer("6611", minor=2000))]
    )
    second = more[0].id
    bo = group.join("Bo")
    trips.cast_vote(house.database, group.ana, group.trip_id, second, trips.domain.VoteChoice.YES)
    house.set_privacy(group.ana, group.trip_id, votes_shown=trips.domain.VotesShown.NEVER)
    readers = [group.member(group.ana), None, group.member(bo)]
    with house.database.begin(house.kestrel.id) as session:
        trip, now = trips.trip_of(session, group.trip_id), clock.now(session)
        seen = [trips.option_in_view(session, trip, reader, now=now) for reader in readers]
    assert seen == [second, group.option_id, group.option_id]
