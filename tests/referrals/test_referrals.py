"""Shares, visits by evidence of a person, and who brought whom: on a real database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from groupbook import referrals, trips
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.facts import Fact
from groupbook.kit.ids import BookingId, FactId, TripId, VisitId, new_id
from groupbook.referrals import (
    ChannelGrowth,
    ShareNotAllowed,
    ShareNotFound,
    ShareRevoked,
    UncountedReason,
    VisitNotFound,
)
from groupbook.referrals.domain import InvalidChannel, InvalidShareField, JoinRecord, VisitTooFresh, decide_booking
from groupbook.trips import NotMember, TripNotFound
from groupbook.trips.domain import Visibility
from tests.referrals.conftest import IPHONE, NAVIGATION, Street

# --- sharing ---------------------------------------------------------------------------------------------------------


def test_each_share_act_has_its_own_code(street: Street) -> None:
    ana = street.person("ana")
    trip_id = street.trip(ana).trip_id
    first, second = street.share(ana, trip_id), street.share(ana, trip_id)
    assert first.code != second.code
    opened = referrals.open_share(street.database, first.code.lower())
    assert (opened.share, opened.trip.title) == (first, "Lyon")
    assert (opened.shows("title"), opened.shows("train")) == (True, False)
    assert referrals.growth(street.database, street.kestrel).shared.shares == 2


def test_a_code_carries_no_right(street: Street) -> None:
    """What the organizer closes is closed for every code at once, and open again when it is opened."""
    ana = street.person("ana")
    trip_id = street.trip(ana).trip_id
    share = street.share(ana, trip_id)
    street.set_visibility(ana, trip_id, Visibility.SECRET)
    with pytest.raises(ShareRevoked):
        referrals.open_share(street.database, share.code)
    with pytest.raises(ShareRevoked):
        referrals.join_by_share(street.database, None, share.code, name="Zed")
    with pytest.raises(ShareNotAllowed):
        street.share(ana, trip_id)
    street.set_visibility(ana, trip_id, Visibility.LINK)
    assert referrals.open_share(street.database, share.code).trip.is_generic


def test_only_who_may_share_gets_a_code(street: Street) -> None:
    ana, bo, cy = street.person("ana"), street.person("bo"), street.person("cy")
    started = street.trip(ana, Visibility.LINK)
    trips.join_by_invite(street.database, bo, started.invite_token)
    with pytest.raises(ShareNotAllowed):
        street.share(bo, started.trip_id)  # the organizer did not open onward sharing
    with pytest.raises(TripNotFound):
        street.share(cy, started.trip_id)  # an outsider learns nothing, not even that it exists
    street.set_visibility(ana, started.trip_id, Visibility.PUBLIC)
    assert street.share(bo, started.trip_id).sharer == street.subject(bo)
    with pytest.raises(NotMember):
        street.share(cy, started.trip_id)
    with pytest.raises(Unauthenticated):
        street.share(Caller("nobody", street.kestrel), started.trip_id)
    with pytest.raises(InvalidChannel):
        street.share(ana, started.trip_id, channel="myspace")
    with pytest.raises(InvalidShareField):
        referrals.mint_share(street.database, ana, started.trip_id, channel="demo", fields=["iban"])
    assert referrals.growth(street.database, street.kestrel).shared.shares == 1


@pytest.mark.parametrize("code", ["", "nope", "0" * 12, "\x00" * 12, "é" * 12, "0" * 500])
def test_an_unknown_code_is_not_found(street: Street, code: str) -> None:
    with pytest.raises(ShareNotFound):
        referrals.open_share(street.database, code)


# --- visits ----------------------------------------------------------------------------------------------------------


def test_head_prefetch_preview_double_tap(street: Street) -> None:
    """0, 0, 0, 1 visit."""
    share = street.share(ana := street.person("ana"), street.trip(ana).trip_id)
    head = street.hit(share, click=street.click("HEAD", **NAVIGATION))
    prefetch = street.hit(share, click=street.click(**NAVIGATION, sec_purpose="prefetch;prerender"))
    preview = street.hit(share, click=street.click(agent="facebookexternalhit/1.1"))
    image = street.hit(share, click=street.click(sec_fetch_mode="no-cors", sec_fetch_dest="image"))
    assert [(one.visit_id, one.reason) for one in (head, prefetch, preview, image)] == [
        (None, UncountedReason.METHOD),
        (None, UncountedReason.PREFETCH),
        (None, UncountedReason.BOT),
        (None, UncountedReason.NOT_NAVIGATION),
    ]
    assert street.counted() == 0
    one, two = (street.hit(share, click=street.click(**NAVIGATION)) for _ in range(2))
    assert one.visit_id == two.visit_id
    assert [street.look(tap.visit_id) for tap in (one, two, one)] == [True, True, True]
    assert street.counted() == 1
    growth = referrals.growth(street.database, street.kestrel)
    assert (growth.bot_hits, growth.shares_without_visit, growth.shared.visits_per_share) == (1, 0, 1.0)
    assert [tuple(row) for row in street.rows("SELECT reason, count(*) FROM hit GROUP BY reason ORDER BY 1")] == [
        ("bot", 1),
        ("method", 1),
        ("not_navigation", 1),
        ("prefetch", 1),
        (None, 2),
    ]


def test_many_taps_at_once_are_one_visit(street: Street) -> None:
    share = street.share(ana := street.person("ana"), street.trip(ana).trip_id)
    with ThreadPoolExecutor(4) as pool:
        taps = list(pool.map(lambda _: street.hit(share).visit_id, range(12)))
    assert len(set(taps)) == 1
    street.rows("UPDATE visit SET first_at = first_at - interval '2 seconds'")
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda id: referrals.confirm_visit(street.database, id), taps))
    assert street.counted() == 1
    assert street.rows("SELECT count(*) FROM hit")[0][0] == 12


def test_other_people_and_other_shares_are_other_visits(street: Street) -> None:
    ana = street.person("ana")
    trip_id = street.trip(ana).trip_id
    first, second = street.share(ana, trip_id), street.share(ana, trip_id, "whatsapp")
    clicks = [street.click(), street.click(agent=IPHONE), street.click(address="198.51.100.1")]
    seen = {street.visited(share, click=click).visit_id for share in (first, second) for click in clicks}
    assert len(seen) == 6
    channels = referrals.growth(street.database, street.kestrel).channels
    assert [(one.channel, one.shares, one.visits) for one in channels] == [("demo", 1, 3), ("whatsapp", 1, 3)]


def test_the_sharer_and_the_members_are_kept_and_not_counted(street: Street) -> None:
    ana, bo, cy = street.person("ana"), street.person("bo"), street.person("cy")
    started = street.trip(ana)
    trips.join_by_invite(street.database, bo, started.invite_token)
    share = street.share(ana, started.trip_id)
    reasons = [street.visited(share, caller=caller).reason for caller in (ana, bo, cy)]
    assert reasons == [UncountedReason.SELF, UncountedReason.MEMBER, None]
    assert street.counted() == 1
    assert street.rows("SELECT count(*) FROM visit")[0][0] == 3
    # Cy from another phone, still logged in, is the same visitor.
    assert (
        street.hit(share, caller=cy, click=street.click(agent=IPHONE)).visit_id == street.hit(share, caller=cy).visit_id
    )


def test_nobody_looked_yet(street: Street) -> None:
    share = street.share(ana := street.person("ana"), street.trip(ana).trip_id)
    visit_id = street.hit(share).visit_id
    assert visit_id is not None
    with pytest.raises(VisitTooFresh):
        referrals.confirm_visit(street.database, visit_id)
    with pytest.raises(VisitNotFound):
        referrals.confirm_visit(street.database, VisitId(new_id()))
    shared = referrals.growth(street.database, street.kestrel).shared
    assert (shared.visits, shared.unconfirmed) == (0, 1)


def test_a_visit_without_a_share_is_direct(street: Street) -> None:
    started = street.trip(street.person("ana"))
    recorded = referrals.record_hit(street.database, street.kestrel, street.click(), trip_id=started.trip_id)
    street.look(recorded.visit_id)
    growth = referrals.growth(street.database, street.kestrel)
    assert (growth.direct.visits, growth.shared.visits) == (1, 0)


def test_merchants_never_see_each_other(street: Street) -> None:
    share = street.share(ana := street.person("ana"), street.trip(ana).trip_id)
    street.visited(share)
    nothing = referrals.growth(street.database, street.other)
    assert (nothing.shared, nothing.channels) == (ChannelGrowth("shared"), ())
    assert street.rows("SELECT id FROM share UNION SELECT id FROM visit", merchant_id=street.other) == []


# --- who brought whom ------------------------------------------------------------------------------------------------


def fact(street: Street, name: str, **payload: str) -> Fact:
    return Fact(FactId(new_id()), street.kestrel, name, new_id(), payload, datetime.now(UTC))


def joined_fact(street: Street, trip_id: TripId, member_id: Any) -> Fact:
    return fact(street, "member.joined", trip_id=trip_id.hex, member_id=member_id.hex, via="invite")


def test_a_join_is_credited_once_and_for_good(street: Street) -> None:
    ana = street.person("ana")
    trip_id = street.trip(ana).trip_id
    share, later = street.share(ana, trip_id), street.share(ana, trip_id)
    visit_id = street.hit(share).visit_id
    came = referrals.join_by_share(street.database, None, share.code, name="Zoë", visit_id=visit_id)
    assert (came.is_credited, came.joined.is_new) == (True, True)
    member_id = came.joined.member.id
    with street.database.begin(street.kestrel) as session:
        for _ in range(2):  # facts come at least once, and after the credit
            referrals.on_member_joined(session, joined_fact(street, trip_id, member_id))
        again = referrals.note_join(session, trip_id, member_id, came.joined.member.subject, share=later)
    assert again is False
    rows = street.rows("SELECT share_id, visit_id FROM join_attribution")
    assert [tuple(row) for row in rows] == [(share.id, visit_id)]
    shared = referrals.growth(street.database, street.kestrel).shared
    assert (shared.joins, shared.visits) == (1, 1)  # joining is evidence of a person


def test_a_join_without_a_share_is_direct(street: Street) -> None:
    ana, bo = street.person("ana"), street.person("bo")
    started = street.trip(ana)
    joined = trips.join_by_invite(street.database, bo, started.invite_token)
    with street.database.begin(street.kestrel) as session:
        referrals.on_member_joined(session, joined_fact(street, started.trip_id, joined.member.id))
    growth = referrals.growth(street.database, street.kestrel)
    assert (growth.direct.joins, growth.shared.joins) == (1, 0)


def test_a_start_without_a_share_is_direct_and_takes_no_credit_away(street: Street) -> None:
    ana, zoe = street.person("ana"), street.person("zoe")
    visit_id = street.visited(street.share(ana, street.trip(ana).trip_id), caller=zoe).visit_id
    assert visit_id is not None
    own, direct = street.trip(zoe), street.trip(zoe)
    with street.database.begin(street.kestrel) as session:
        assert referrals.note_start(session, own.trip_id, own.member.id, own.member.subject, visit_id)
        for begun in (own, direct, direct):  # facts come at least once, and after the credit
            payload = {"trip_id": begun.trip_id.hex, "member_id": begun.member.id.hex}
            referrals.on_trip_started(session, fact(street, "trip.started", **payload))
    growth = referrals.growth(street.database, street.kestrel)
    assert (growth.direct.starts, growth.direct.joins, growth.shared.starts) == (1, 0, 1)


def test_nobody_brings_themselves(street: Street) -> None:
    ana = street.person("ana")
    trip_id = street.trip(ana).trip_id
    share = street.share(ana, trip_id)
    came = referrals.join_by_share(street.database, ana, share.code)
    assert (came.is_credited, came.joined.is_new) == (False, False)
    recorded = street.hit(share, caller=ana)
    with street.database.begin(street.kestrel) as session:
        assert recorded.visit_id is not None
        own = referrals.note_start(
            session, TripId(new_id()), came.joined.member.id, street.subject(ana), recorded.visit_id
        )
    assert own is False
    assert street.rows("SELECT 1 FROM join_attribution") == []


def test_a_booking_is_decided_once(street: Street) -> None:
    ana = street.person("ana")
    trip_id = street.trip(ana).trip_id
    share = street.share(ana, trip_id)
    referrals.join_by_share(street.database, None, share.code, name="Zed", visit_id=street.hit(share).visit_id)
    booking_id = BookingId(new_id())
    confirmed = fact(street, "booking.confirmed", trip_id=trip_id.hex, booking_id=booking_id.hex)
    with street.database.begin(street.kestrel) as session:
        for _ in range(2):
            referrals.on_booking_confirmed(session, confirmed)
        decided = referrals.attribution_of(session, booking_id)
    assert decided is not None
    assert (decided.share_id, decided.rule) == (share.id, "first_join")
    assert referrals.growth(street.database, street.kestrel).shared.bookings == 1


def test_a_trip_started_from_a_share_brings_its_booking(street: Street) -> None:
    """Ana shares her trip; Zoe looks, and starts a trip of her own, which is booked."""
    ana, zoe = street.person("ana"), street.person("zoe")
    share = street.share(ana, street.trip(ana).trip_id, "whatsapp")
    visit_id = street.visited(share, caller=zoe).visit_id
    own = street.trip(zoe)
    booking_id = BookingId(new_id())
    with street.database.begin(street.kestrel) as session:
        assert visit_id is not None
        assert referrals.note_start(session, own.trip_id, own.member.id, own.member.subject, visit_id)
        payload = {"trip_id": own.trip_id.hex, "booking_id": booking_id.hex}
        referrals.on_booking_confirmed(session, fact(street, "booking.confirmed", **payload))
        decided = referrals.attribution_of(session, booking_id)
    assert decided is not None
    assert (decided.share_id, decided.rule) == (share.id, "start")
    [channel] = referrals.growth(street.database, street.kestrel).channels
    assert channel == ChannelGrowth("whatsapp", shares=1, visits=1, unconfirmed=0, joins=0, starts=1, bookings=1)


def test_the_decision_does_not_depend_on_the_order_it_sees() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    share, other = new_id(), new_id()
    records: list[Any] = [
        JoinRecord(new_id(), None, False, at),  # type: ignore[arg-type]
        JoinRecord(new_id(), other, False, at + timedelta(seconds=2)),  # type: ignore[arg-type]
        JoinRecord(new_id(), share, False, at + timedelta(seconds=1)),  # type: ignore[arg-type]
    ]
    assert decide_booking(records) == decide_booking(records[::-1]) == (share, "first_join")
    assert decide_booking(records[:1]) == (None, "none")


# --- forgetting ------------------------------------------------------------------------------------------------------


def test_an_erased_person_leaves_counts_and_no_way_back(street: Street) -> None:
    ana, cy = street.person("ana"), street.person("cy")
    share = street.share(ana, street.trip(ana).trip_id)
    street.visited(share, caller=cy)
    street.visited(share)
    with street.database.begin(street.kestrel) as session:
        for person in (ana, cy, ana):
            referrals.forget(session, street.subject(person))
    with pytest.raises(ShareRevoked):
        referrals.open_share(street.database, share.code)
    assert street.counted() == 2
    known = {street.subject(ana), street.subject(cy)}
    kept = street.rows("SELECT sharer FROM share UNION SELECT subject FROM visit")
    assert known.isdisjoint(row[0] for row in kept)


def test_what_may_not_be_kept_goes(street: Street) -> None:
    share = street.share(ana := street.person("ana"), street.trip(ana).trip_id)
    for days in (0, 8, 31):
        street.hit(share, click=street.click(address=f"203.0.{days}.1"))
        aged = "UPDATE hit SET at = at - make_interval(days => :days) WHERE address_truncated = :network"
        street.rows(aged, days=days, network=f"203.0.{days}.0/24")
    street.rows("INSERT INTO visit_salt SELECT merchant_id, day - 3, salt FROM visit_salt")
    with street.database.begin(street.kestrel) as session:
        referrals.sweep(session, clock.now(session))
    assert [row[0] for row in street.rows("SELECT address_truncated FROM hit ORDER BY at DESC")] == ["203.0.0.0/24", ""]
    assert street.rows("SELECT count(*) FROM visit_salt")[0][0] == 1
    stored = street.rows("SELECT string_agg(hit::text, ' ') FROM hit")[0][0]
    assert "Mozilla" not in stored
    assert "203.0.0.1" not in stored
