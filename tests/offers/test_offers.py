"""Quote, hold and order on a real database, against the twin, driven by the one runner."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from groupbook import merchants, offers
from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken, Unavailable
from groupbook.kit.ids import new_id, to_wire
from groupbook.kit.money import Money
from groupbook.offers.domain import (
    Criteria,
    HoldNotLive,
    HoldPending,
    HoldState,
    OccasionDraft,
    OfferNotBookable,
    OfferNotFound,
    OrderFinal,
    OrderState,
    QuoteExpired,
    Traveler,
    UnknownTraveler,
    seats_are_together,
)
from groupbook.offers.service.holds import PLACE
from groupbook.offers.service.orders import CONFIRM
from tests.offers.conftest import EUR, House, draft

# --- offers ---------------------------------------------------------------------------------------------------------


def test_an_offer_is_copied_once_and_versioned_when_it_changes(house: House) -> None:
    first = house.offer()
    house.twin.offers["kr-1"] = draft(seats_left=3)
    same = house.offer()
    house.twin.offers["kr-1"] = draft(seats_left=3, fares={"saver": Money(4500, EUR)})
    dearer = house.offer()
    assert (first.version, same.version, dearer.version) == (1, 1, 2)
    assert first.id == same.id == dearer.id
    assert (same.draft.seats_left, dearer.from_price) == (3, Money(4500, EUR))


def test_an_unknown_offer_is_not_found_and_nothing_is_stored(house: House) -> None:
    with pytest.raises(OfferNotFound):
        house.offer("nope")
    with house.database.begin(house.merchant) as session:
        assert offers.list_offers(session, Criteria(), None).rows == []


def test_a_search_keeps_copies_and_a_silent_merchant_changes_nothing(house: House) -> None:
    house.twin.offers["kr-2"] = draft("kr-2", in_days=8)
    found = offers.search_offers(house.database, house.merchant, Criteria("Paris", "Lyon"), house.adapter_of)
    assert [offer.ref for offer in found] == ["kr-1", "kr-2"]
    house.twin.provoke("read", "unavailable")
    with pytest.raises(Unavailable):
        offers.search_offers(house.database, house.merchant, Criteria(), house.adapter_of)
    with house.database.begin(house.merchant) as session:
        on = found[1].outward.departs_local.date()
        assert [offer.ref for offer in offers.list_offers(session, Criteria(on=on), None).rows] == ["kr-2"]
        page = offers.list_offers(session, Criteria(limit=1), None)
        assert len(page.rows) == 1
        rest = offers.list_offers(session, Criteria(limit=1), page.next_cursor)
        assert {page.rows[0].ref, rest.rows[0].ref} == {"kr-1", "kr-2"}
        assert rest.next_cursor is None


def test_another_merchant_sees_nothing(house: House) -> None:
    offer = house.offer()
    with house.database.begin(house.other) as session:
        assert offers.offer_by_ref(session, "kr-1") is None
        with pytest.raises(OfferNotFound):
            offers.read_offer(session, offer.id)


def test_occasions_are_renewed_by_their_ref(house: House) -> None:
    at = draft().legs[0].departs_at
    house.twin.agenda.append(OccasionDraft("o1", "Lanterns", "Lyon", "Europe/Paris", at, at + timedelta(hours=4)))
    (first,) = offers.import_occasions(house.database, house.merchant, house.adapter_of)
    house.twin.agenda[0] = replace(house.twin.agenda[0], title="Lantern Nights")
    (again,) = offers.import_occasions(house.database, house.merchant, house.adapter_of)
    assert (again.id, again.title) == (first.id, "Lantern Nights")


# --- quotes ---------------------------------------------------------------------------------------------------------


def test_a_quote_gives_each_member_their_own_lines(house: House) -> None:
    """Worked: saver 40.00. Youth card -30 %, a child of 8 half, an infant nothing, the last in full."""
    house.entitle(0, age=20, card="kestrel.youth")
    house.entitle(1, age=8)
    house.entitle(2, age=2)
    quote = house.quote()
    pays = [quote.of(member).pay.minor for member in house.members]
    assert pays == [2800, 2000, 0, 4000]
    assert quote.total == Money(8800, EUR)
    assert quote.is_proven
    ana = quote.of(house.members[0])
    assert [(line.what, line.delta.minor) for line in ana.lines] == [("fare:saver", 4000), ("kestrel.youth", -1200)]
    assert (ana.full_fare, ana.discounts) == (Money(4000, EUR), ("kestrel.youth",))
    with house.database.begin(house.merchant) as session:
        assert offers.read_quote(session, quote.id) == quote


def test_a_half_card_turns_flex_only_when_it_is_cheaper(house: House) -> None:
    house.twin.offers["kr-1"] = draft(fares={"saver": Money(6000, EUR), "flex": Money(9800, EUR)})
    house.entitle(0, age=40, card="kestrel.half")
    quote = house.quote()
    assert [(quote.of(m).family, quote.of(m).pay.minor) for m in house.members[:2]] == [("flex", 4900), ("saver", 6000)]


def test_a_quote_cannot_be_changed(house: House) -> None:
    quote = house.quote()
    with pytest.raises(ProgrammingError, match="permission denied"), house.database.begin(house.merchant) as session:
        session.execute(text("UPDATE quote SET amount = 1 WHERE id = :id"), {"id": quote.id})


def test_a_quote_that_loses_a_cent_cannot_exist(house: House) -> None:
    quote = house.quote()
    with pytest.raises(InvariantBroken):
        replace(quote, total=quote.total + Money(1, EUR))


def test_an_offer_without_a_fare_can_be_stored_but_not_priced(house: House) -> None:
    house.twin.offers["kr-1"] = draft(fares={}, bookable=False)
    with pytest.raises(OfferNotBookable):
        house.quote()


# --- holds ----------------------------------------------------------------------------------------------------------


def test_a_hold_is_placed_once_and_told(house: House) -> None:
    quote = house.quote()
    assert house.hold(quote).id == house.hold(quote).id
    house.run()
    hold = house.current_hold()
    assert hold.is_live
    assert len(hold.seats) == 4
    assert seats_are_together(hold.seats)
    assert house.twin.calls == [("hold", to_wire("hld", hold.id))]
    ((name, payload),) = house.facts()
    assert (name, payload["reference"], payload["hold"]) == ("hold.placed", house.reference.hex, hold.id.hex)


def test_a_refused_hold_says_why(house: House) -> None:
    quote = house.quote()
    house.twin.provoke("hold", "price_changed")
    house.hold(quote)
    house.run()
    hold = house.current_hold()
    assert (hold.state, hold.reason) == (HoldState.REFUSED, "price_changed")
    assert hold.new_total == quote.total + Money(2000, EUR)
    ((name, payload),) = house.facts()
    assert (name, payload["new_total"]["amount"]) == ("hold.refused", quote.total.minor + 2000)
    assert house.twin.live_holds() == []


def test_a_lost_answer_is_read_back_and_never_asked_twice(house: House) -> None:
    quote = house.quote()
    house.twin.provoke("hold", "lost_answer")
    house.hold(quote)
    house.run()
    assert house.current_hold().is_live
    assert len(house.twin.calls) == 1
    assert house.fact_names() == ["hold.placed"]


def test_a_worker_killed_before_the_answer_was_stored_loses_nothing(house: House) -> None:
    quote = house.quote()
    hold = house.hold(quote)
    house.interrupt(PLACE)
    house.run()
    assert house.current_hold().is_live
    assert house.twin.live_holds() == [to_wire("hld", hold.id)]


def test_a_hold_released_while_its_answer_is_out_never_lives(house: House) -> None:
    """The request landed late at the merchant, after our release: the tombstone there refuses it."""
    quote = house.quote()
    house.twin.provoke("hold", "late_effect")
    house.hold(quote)
    house.run_once()
    assert house.release()
    house.run()
    house.twin.land_zombies()
    assert house.current_hold().state is HoldState.RELEASED
    assert house.twin.live_holds() == []
    assert house.fact_names() == ["hold.released"]


def test_a_hold_released_before_it_was_asked_for_is_never_asked_for(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.release()
    house.run()
    assert [operation for operation, _ in house.twin.calls] == ["release"]
    assert house.current_hold().state is HoldState.RELEASED


def test_a_reference_has_one_open_hold_whatever_the_quote(house: House) -> None:
    """The price may move while the group pays; the places are the booking's. After a release they are asked anew."""
    first = house.hold(house.quote())
    second = house.quote()
    assert house.hold(second).id == first.id
    house.run()
    assert house.hold(second).id == first.id
    house.release()
    assert house.hold(second).state is HoldState.PLACING
    house.run()
    assert house.current_hold().quote_id == second.id
    assert len(house.twin.live_holds()) == 1


def test_a_hold_expires_once(house: House) -> None:
    house.hold(house.quote())
    house.run()
    hold = house.current_hold()
    assert hold.expires_at is not None
    with house.database.begin(house.merchant) as session:
        assert offers.expire_holds(session, hold.expires_at - timedelta(seconds=1)) == 0
        assert offers.expire_holds(session, hold.expires_at) == 1
        assert offers.expire_holds(session, hold.expires_at) == 0
    assert house.current_hold().state is HoldState.EXPIRED
    assert house.fact_names() == ["hold.placed", "hold.expired"]


def test_only_the_priced_party_can_be_held(house: House) -> None:
    quote = house.quote()
    with pytest.raises(UnknownTraveler):
        house.hold(quote, house.travelers[:3])
    with pytest.raises(UnknownTraveler):
        house.hold(quote, [*house.travelers[:3], Traveler(new_id(), "Mallory")])


def test_an_old_quote_cannot_be_held(house: House) -> None:
    quote = house.quote()
    with house.database.begin(house.merchant) as session, pytest.raises(QuoteExpired):
        offers.place_hold(session, house.reference, quote.id, house.travelers, quote.valid_until)


# --- orders ---------------------------------------------------------------------------------------------------------


def ordered(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.confirm(quote)
    house.run()


def test_an_order_consumes_the_hold_and_gives_tickets(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    assert house.confirm(quote).id == house.confirm(quote).id
    house.run()
    order = house.current_order()
    assert (order.state, order.total) == (OrderState.CONFIRMED, quote.total)
    assert {ticket.member_id for ticket in order.tickets} == set(house.members)
    assert house.current_hold().state is HoldState.CONSUMED
    assert house.fact_names() == ["hold.placed", "order.confirmed"]
    assert house.twin.live_orders() == [to_wire("ord", order.id)]


def test_an_order_needs_its_hold(house: House) -> None:
    quote = house.quote()
    with pytest.raises(HoldNotLive):
        house.confirm(quote)
    house.hold(quote)
    with pytest.raises(HoldPending):
        house.confirm(quote)
    assert house.twin.calls == []


def test_without_holds_the_order_finds_the_places_itself(house: House, database: Database) -> None:
    with database.begin(house.merchant) as session:
        merchants.change_capabilities(session, replace(house.twin.capability, holds=False))
    quote = house.quote()
    house.confirm(quote)
    house.run()
    order = house.current_order()
    assert (order.state, order.hold_id, len(order.seats)) == (OrderState.CONFIRMED, None, 4)


@pytest.mark.parametrize("trouble", ["sold_out", "hold_expired", "price_changed"])
def test_a_rejected_order_leaves_the_door_open(house: House, trouble: str) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", trouble)  # type: ignore[arg-type]  # the parameters are its words
    house.confirm(quote)
    house.run()
    assert (house.current_order().state, house.current_order().reason) == (OrderState.REJECTED, trouble)
    assert house.fact_names()[-1] == "order.rejected"
    assert house.twin.live_orders() == []
    house.confirm(quote)
    house.run()
    assert house.current_order().state is OrderState.CONFIRMED


def test_a_lost_confirmation_is_read_back(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "lost_answer")
    house.confirm(quote)
    house.run()
    assert house.current_order().state is OrderState.CONFIRMED
    assert [operation for operation, _ in house.twin.calls].count("confirm") == 1


def test_a_zombie_confirm_behind_a_tombstone_sells_nothing(house: House) -> None:
    """The confirm is lost on the way; we cancel; then it lands, and the runner also tries again."""
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.twin.provoke("confirm", "late_effect")
    house.confirm(quote)
    house.run_once()
    order = house.cancel()
    assert order is not None
    assert order.state is OrderState.CANCELING
    house.run()
    house.twin.land_zombies()
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert house.twin.live_orders() == []
    assert ("zombie_refused", "canceled") in house.twin.calls
    assert "order.confirmed" not in house.fact_names()
    with pytest.raises(OrderFinal):
        house.confirm(quote)


def test_a_confirm_interrupted_and_then_canceled_is_not_sent_again(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    house.confirm(quote)
    house.interrupt(CONFIRM)
    house.cancel()
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert "confirm" not in [operation for operation, _ in house.twin.calls]


def test_a_confirmed_order_is_canceled_once(house: House) -> None:
    ordered(house)
    house.cancel()
    house.cancel()
    house.run()
    house.cancel()
    house.run()
    assert house.current_order().state is OrderState.CANCELED
    assert house.fact_names() == ["hold.placed", "order.confirmed", "order.canceled"]
    assert [operation for operation, _ in house.twin.calls].count("cancel") == 1
    assert house.twin.live_orders() == []


def test_a_hold_being_consumed_does_not_expire_meanwhile(house: House) -> None:
    quote = house.quote()
    house.hold(quote)
    house.run()
    expires_at = house.current_hold().expires_at
    assert expires_at is not None
    house.confirm(quote)
    with house.database.begin(house.merchant) as session:
        assert offers.expire_holds(session, expires_at) == 0
    house.run()
    assert house.current_hold().state is HoldState.CONSUMED


def test_nothing_is_owed_for_a_reference_that_never_ordered(house: House) -> None:
    assert house.cancel() is None
    assert house.release() is False
    house.run()
    assert house.twin.calls == []


def test_a_forgotten_member_leaves_no_name(house: House) -> None:
    ordered(house)
    with house.database.begin(house.merchant) as session:
        assert offers.forget(session, house.members[0]) == 2
        left = session.execute(
            text("SELECT travelers::text FROM hold UNION ALL SELECT travelers::text FROM merchant_order")
        )
        documents = [row[0] for row in left]
    assert not any('"Ana 0"' in document for document in documents)
    assert all('"Ana 1"' in document for document in documents)


def test_no_call_is_made_inside_a_transaction(house: House) -> None:
    with house.database.begin(house.merchant), pytest.raises(InvariantBroken):
        house.twin.read_offer("kr-1", timeout_seconds=1)
