"""Orders that cost less or more than agreed, wait for the merchant, are changed, and are looked at again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from groupbook import offers
from groupbook.kit import clock
from groupbook.kit.ids import new_id, to_wire
from groupbook.kit.money import Money
from groupbook.offers.domain import (
    AmendmentNotOffered,
    AmendmentState,
    CancelMember,
    HoldState,
    OrderFinal,
    OrderNotFound,
    OrderPending,
    OrderState,
    RecheckState,
    ReplaceMember,
    Reprice,
    Traveler,
    UnknownTraveler,
)
from groupbook.offers.ports import OrderRequest
from groupbook.offers.service.orders import CONFIRM, LOOK
from tests.offers.conftest import EUR, House, draft

# --- the price of the order -----------------------------------------------------------------------------------------


def test_a_price_that_fell_is_accepted(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "price_dropped")
    house.confirm(quote)
    house.run()
    order = house.current_order()
    assert (order.state, order.total) == (OrderState.CONFIRMED, quote.total - Money(400, EUR))
    (name, payload) = house.facts()[-1]
    assert (name, payload["total"]["amount"]) == ("order.confirmed", quote.total.minor - 400)


def test_an_order_sold_at_more_than_agreed_is_taken_back(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "overcharged")
    house.confirm(quote)
    house.run()
    order = house.current_order()
    assert (order.state, order.reason) == (OrderState.CANCELED, "price_changed")
    assert (order.total, order.new_total) == (quote.total, quote.total + Money(2000, EUR))
    assert house.fact_names() == ["hold.placed", "order.canceled"]
    assert house.twin.live_orders() == []


def test_an_order_that_stands_at_more_than_agreed_needs_a_person(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "overcharged")
    house.twin.provoke("cancel", "not_cancelable")
    house.confirm(quote)
    house.run()
    assert house.current_order().state is OrderState.DISCREPANT
    assert house.fact_names() == ["hold.placed", "order.discrepant"]


def test_a_replayed_confirmation_at_a_higher_price_changes_nothing(house: House) -> None:
    """Attack 49: the order stood at the agreed price; somebody repeats "confirmed", dearer."""
    order = house.ordered()
    books = house.twin._orders[to_wire("ord", order.id)]
    assert books.confirmed is not None
    books.confirmed = replace(books.confirmed, total=order.total + Money(1, EUR))
    with house.database.begin(house.merchant) as session:
        session.connection().exec_driver_sql("UPDATE intent SET state = 'due' WHERE kind = 'offers.confirm_order'")
    house.run()
    assert house.current_order() == order
    assert house.fact_names() == ["hold.placed", "order.confirmed"]


def test_a_smaller_party_takes_its_places_from_the_hold(house: House) -> None:
    """One of four dropped out: the hold was for four, the order is for three."""
    house.hold(house.quote())
    house.run()
    gone = house.members[3]
    del house.party[gone]
    fewer = house.quote()
    house.confirm(fewer)
    house.run()
    order = house.current_order()
    assert (order.state, order.total) == (OrderState.CONFIRMED, fewer.total)
    assert {seat.member_id for seat in order.seats} == set(house.members)
    assert house.current_hold().state is HoldState.CONSUMED


# --- later ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sells", [True, False])
def test_a_slow_merchant_is_asked_again(house: House, sells: bool) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "pending")
    house.confirm(quote)
    house.run()
    assert house.current_order().state is OrderState.PENDING
    assert house.confirm(quote).state is OrderState.PENDING
    house.pull_forward(LOOK)
    house.run()
    assert house.current_order().state is OrderState.PENDING
    house.twin.decide(sells=sells)
    house.pull_forward(LOOK)
    house.run()
    order = house.current_order()
    assert order.state is (OrderState.CONFIRMED if sells else OrderState.REJECTED)
    assert len(order.tickets) == (4 if sells else 0)
    assert house.fact_names() == ["hold.placed", "order.pending", "order.confirmed" if sells else "order.rejected"]
    assert [operation for operation, _ in house.twin.calls].count("confirm") == 1
    assert house.due_times(LOOK) == []


def test_a_pending_order_is_canceled_for_good(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "pending")
    house.confirm(quote)
    house.run()
    house.cancel()
    house.run()
    house.twin.decide()
    house.pull_forward(LOOK)
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert house.twin.live_orders() == []


# --- merchants whose cancellations do not hold ----------------------------------------------------------------------


def canceled_while_unanswered(house: House) -> None:
    house.can(tombstones=False)
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "late_effect")
    house.confirm(quote)
    house.run_once()
    house.cancel()
    house.run()


def test_a_weak_merchant_is_looked_at_again_before_anything_is_over(house: House) -> None:
    canceled_while_unanswered(house)
    assert house.current_order().state is OrderState.CANCELING
    house.pull_forward(LOOK)
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert house.fact_names() == ["hold.placed", "order.canceled"]


def test_a_confirm_behind_a_weak_merchants_cancel_is_seen(house: House) -> None:
    canceled_while_unanswered(house)
    house.twin.land_zombies()
    house.pull_forward(LOOK)
    house.run()
    assert house.current_order().state is OrderState.DISCREPANT
    assert house.fact_names() == ["hold.placed", "order.discrepant"]


def refused_after_silence(house: House, *, tombstones: bool) -> None:
    """The first confirm is lost on its way, the second is refused: the first may still sell."""
    house.can(tombstones=tombstones)
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "late_effect")
    house.twin.provoke("confirm", "sold_out")
    house.confirm(quote)
    house.run_once()
    house.pull_forward(CONFIRM)
    house.run()


def test_a_no_after_silence_counts_only_behind_a_tombstone(house: House) -> None:
    refused_after_silence(house, tombstones=True)
    order = house.current_order()
    assert (order.state, order.reason) == (OrderState.CANCELED, "sold_out")
    assert house.fact_names() == ["hold.placed", "order.canceled"]
    house.twin.land_zombies()
    assert house.twin.live_orders() == []


def test_a_no_after_silence_of_a_weak_merchant_is_looked_at_again(house: House) -> None:
    refused_after_silence(house, tombstones=False)
    assert house.current_order().state is OrderState.CANCELING
    house.twin.land_zombies()
    house.pull_forward(LOOK)
    house.run()
    assert house.current_order().state is OrderState.DISCREPANT
    assert house.fact_names() == ["hold.placed", "order.discrepant"]


def test_a_weak_merchant_that_answered_is_believed_at_once(house: House) -> None:
    house.can(tombstones=False)
    house.ordered()
    house.cancel()
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert house.due_times(LOOK) == []


def test_a_weak_merchant_may_not_answer_later(house: House) -> None:
    house.can(tombstones=False)
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "pending")
    house.confirm(quote)
    house.run()
    assert house.current_order().state is OrderState.DISCREPANT
    assert house.fact_names() == ["hold.placed", "order.discrepant"]


def slow_answer_recorded_after_the_cancel(house: House) -> None:
    """The merchant confirmed, then canceled; the first answer reaches our books last."""
    quote = house.quote()
    house.hold(quote)
    house.run()
    order = house.confirm(quote)
    request = OrderRequest(to_wire("ord", order.id), None, "kr-1", quote.total, house.priced(quote))
    answer = house.twin.confirm(request, key="k", timeout_seconds=1)
    house.cancel()
    handlers = offers.intent_handlers(house.database, house.adapter_of)
    intent = house.intent(CONFIRM)
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    with house.database.begin(house.merchant) as session:
        handlers[CONFIRM].record(session, intent, answer)


def test_a_slow_answer_behind_the_tombstone_is_read_back_and_is_no_alarm(house: House) -> None:
    slow_answer_recorded_after_the_cancel(house)
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert "order.discrepant" not in house.fact_names()


def test_an_order_that_lives_behind_its_tombstone_is_an_alarm(house: House) -> None:
    """A merchant that promised tombstones and broke the promise."""
    slow_answer_recorded_after_the_cancel(house)
    house.twin._orders[to_wire("ord", house.current_order().id)].state = "confirmed"
    house.run()
    assert house.current_order().state is OrderState.DISCREPANT
    assert house.fact_names()[-1] == "order.discrepant"


def test_an_old_look_at_a_pending_order_says_nothing_while_it_is_canceled(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "pending")
    house.confirm(quote)
    house.run()
    house.twin.provoke("cancel", "unavailable", times=2)
    house.cancel()
    house.pull_forward(LOOK)
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert house.fact_names() == ["hold.placed", "order.pending", "order.canceled"]


@pytest.mark.parametrize("read", ["pending", "confirmed"])
def test_an_old_look_that_is_heard_behind_the_tombstone_is_no_alarm(house: House, read: str) -> None:
    """It was read before the cancellation and answered after it; what the merchant's books show now tells."""
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "pending")
    house.confirm(quote)
    house.run()
    if read == "confirmed":
        house.twin.decide(sells=True)
    look = offers.intent_handlers(house.database, house.adapter_of)[LOOK]
    intent = house.intent(LOOK)
    answer = look.call(intent)
    assert answer.state == read
    house.cancel()
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    with house.database.begin(house.merchant) as session:
        look.record(session, intent, answer)
    assert house.current_order().state is OrderState.CANCELED
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert house.fact_names() == ["hold.placed", "order.pending", "order.canceled"]


# --- changes --------------------------------------------------------------------------------------------------------


def test_one_member_is_taken_off(house: House) -> None:
    before = house.ordered()
    change, id = CancelMember(house.members[1]), new_id()
    assert house.amend(change, id).is_amended is None
    assert house.current_order().state is OrderState.AMENDING
    assert house.amend(change, id).id == id
    house.run()
    order, answer = house.current_order(), house.amended(id)
    assert (order.state, order.total) == (OrderState.CONFIRMED, before.total - Money(4000, EUR))
    assert (answer.is_amended, answer.total, answer.total_max) == (True, order.total, before.total)
    left = set(house.members) - {house.members[1]}
    assert {ticket.member_id for ticket in order.tickets} == {seat.member_id for seat in order.seats} == left
    (name, payload) = house.facts()[-1]
    assert (name, payload["amendment"], payload["total"]["amount"]) == ("order.amended", id.hex, order.total.minor)
    assert [operation for operation, _ in house.twin.calls].count("amend") == 1


def test_a_friend_takes_a_members_place_and_can_be_taken_off_again(house: House) -> None:
    before = house.ordered()
    bo = Traveler(new_id(), "Bo", age=30)
    first, second = new_id(), new_id()
    house.amend(ReplaceMember(house.members[1], bo), first)
    house.run()
    order = house.current_order()
    assert (order.total, house.amended(first).change) == (before.total, ReplaceMember(house.members[1], bo))
    assert bo.member_id in {ticket.member_id for ticket in order.tickets}
    house.amend(CancelMember(bo.member_id), second)
    house.run()
    assert house.amended(second).is_amended
    assert bo.member_id not in {seat.member_id for seat in house.current_order().seats}


def test_a_refused_change_leaves_the_order_as_it_was(house: House) -> None:
    before = house.ordered()
    id = new_id()
    house.twin.provoke("amend", "price_changed")
    house.amend(ReplaceMember(house.members[1], Traveler(new_id(), "Bo")), id)
    house.run()
    answer = house.amended(id)
    assert (answer.state, answer.reason) == (AmendmentState.REFUSED, "price_changed")
    assert answer.new_total == before.total + Money(500, EUR)
    assert house.current_order() == before
    assert house.facts()[-1][0] == "order.amend_refused"


def test_a_new_price_is_paid_only_as_agreed(house: House) -> None:
    before = house.ordered()
    agreed = before.total + Money(700, EUR)
    first, second = new_id(), new_id()
    house.amend(Reprice(agreed), first)
    house.run()
    assert house.current_order().total == agreed
    house.twin.provoke("amend", "overcharged")
    house.amend(Reprice(agreed + Money(1, EUR)), second)
    house.run()
    assert house.current_order().state is OrderState.DISCREPANT
    assert house.fact_names()[-1] == "order.discrepant"
    assert house.current_order().total == agreed


@pytest.mark.parametrize("trouble", ["lost_answer", "late_effect", "unavailable"])
def test_a_change_survives_a_silent_merchant(house: House, trouble: str) -> None:
    before = house.ordered()
    id = new_id()
    house.twin.provoke("amend", trouble)  # type: ignore[arg-type]  # the parameters are its words
    house.amend(CancelMember(house.members[1]), id)
    house.run()
    house.twin.land_zombies()
    assert house.amended(id).is_amended
    assert house.current_order().total == before.total - Money(4000, EUR)
    assert house.fact_names().count("order.amended") == 1


def test_a_canceled_order_takes_its_open_change_with_it(house: House) -> None:
    house.ordered()
    id = new_id()
    house.amend(CancelMember(house.members[1]), id)
    house.cancel()
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert house.amended(id).is_amended is False
    assert house.twin.live_orders() == []


def test_what_cannot_be_changed_is_refused_without_a_write(house: House) -> None:
    someone = CancelMember(house.members[1])
    with pytest.raises(OrderNotFound):
        house.amend(someone, new_id())
    before = house.ordered()
    calls = list(house.twin.calls)
    with pytest.raises(UnknownTraveler):
        house.amend(CancelMember(new_id()), new_id())
    with pytest.raises(UnknownTraveler):
        house.amend(ReplaceMember(house.members[1], Traveler(house.members[2], "Ana 2")), new_id())
    with pytest.raises(AmendmentNotOffered):
        house.amend(Reprice(Money(100, "JPY")), new_id())
    house.can(partial_cancel=False)
    with pytest.raises(AmendmentNotOffered):
        house.amend(someone, new_id())
    house.can(partial_cancel=True)
    assert (house.current_order(), house.twin.calls) == (before, calls)
    house.amend(someone, new_id())
    with pytest.raises(OrderPending):
        house.amend(CancelMember(house.members[2]), new_id())
    house.run()
    house.cancel()
    with pytest.raises(OrderFinal):
        house.amend(CancelMember(house.members[2]), new_id())


def test_the_last_traveler_is_not_taken_off(house: House) -> None:
    for member in house.members[1:]:
        del house.party[member]
    house.ordered()
    with pytest.raises(AmendmentNotOffered):
        house.amend(CancelMember(house.members[0]), new_id())


def test_who_is_forgotten_is_forgotten_in_a_change_too(house: House) -> None:
    house.ordered()
    bo, id = Traveler(new_id(), "Bo", age=30), new_id()
    house.amend(ReplaceMember(house.members[1], bo), id)
    house.run()
    with house.database.begin(house.merchant) as session:
        assert offers.forget(session, bo.member_id) == 2
    assert house.amended(id).change == ReplaceMember(house.members[1], Traveler(bo.member_id, ""))


# --- the second look at the price -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fare", "state", "total"),
    [
        (4000, RecheckState.SAME, 16_000),
        (3900, RecheckState.LOWER, 15_600),
        (4250, RecheckState.HIGHER, 17_000),
    ],
)
def test_the_price_is_looked_at_again_at_the_tip(house: House, fare: int, state: RecheckState, total: int) -> None:
    quote = house.quote()
    house.twin.offers["kr-1"] = draft(fares={"saver": Money(fare, EUR), "flex": Money(9800, EUR)})
    with house.database.begin(house.merchant) as session:
        now = clock.now(session)
        asked = offers.recheck(session, house.reference, quote.id, house.travelers, now)
        assert offers.recheck(session, house.reference, quote.id, house.travelers, now) == asked
        assert (asked.state, asked.total, asked.at) == (RecheckState.PENDING, None, now)
    house.run()
    with house.database.begin(house.merchant) as session:
        seen = offers.recheck_of(session, house.reference)
        stored = offers.read_offer(session, quote.offer_id)
    assert seen is not None
    assert (seen.state, seen.total) == (state, Money(total, EUR))
    assert stored.fares["saver"] == Money(fare, EUR)
    assert house.fact_names() == ["offer.rechecked"]
    assert house.facts()[0][1]["reference"] == house.reference.hex


@pytest.mark.parametrize("what", ["withdrawn", "not bookable", "too few places", "family gone"])
def test_an_offer_that_is_gone_is_told(house: House, what: str) -> None:
    quote = house.quote()
    if what == "withdrawn":
        del house.twin.offers["kr-1"]
    elif what == "not bookable":
        house.twin.offers["kr-1"] = draft(fares={}, bookable=False)
    elif what == "too few places":
        house.twin.offers["kr-1"] = draft(seats_left=3)
    else:
        house.twin.offers["kr-1"] = draft(fares={"flex": Money(9800, EUR)})
    with house.database.begin(house.merchant) as session:
        offers.recheck(session, house.reference, quote.id, house.travelers, clock.now(session))
    house.run()
    with house.database.begin(house.merchant) as session:
        seen = offers.recheck_of(session, house.reference)
    assert seen is not None
    assert (seen.state, seen.total) == (RecheckState.GONE, None)


def test_a_merchant_that_is_away_leaves_the_second_look_pending(house: House) -> None:
    quote = house.quote()
    house.twin.provoke("read", "unavailable", times=3)
    with house.database.begin(house.merchant) as session:
        offers.recheck(session, house.reference, quote.id, house.travelers, clock.now(session))
    house.run_once()
    with house.database.begin(house.merchant) as session:
        seen = offers.recheck_of(session, house.reference)
    assert seen is not None
    assert seen.state is RecheckState.PENDING
    house.run()
    assert house.fact_names() == ["offer.rechecked"]


def test_nothing_was_ever_looked_at_twice_without_being_asked(house: House) -> None:
    with house.database.begin(house.merchant) as session:
        assert offers.recheck_of(session, house.reference) is None
