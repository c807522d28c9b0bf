"""What a newcomer meets at the edges: late invitations, a window of its own, a seat that leaves the frame."""

from __future__ import annotations

import json
import re
from pathlib import Path

from groupbook import discounts
from groupbook.kit import clock
from groupbook.kit.ids import TripId, from_wire, to_wire
from integrations.demo import rail
from tests.support.site import text_of
from tests.web.conftest import Browser, Site
from tests.web.test_story import _pay

FRAME = {"GB-Fetch": "1", "GB-Framed": "1"}


def _booked(site: Site) -> tuple[Browser, str, str]:
    ana, bo = site.browser(), site.browser()
    trip = ana.start("Ana", to_wire("off", site.saga.offer_id))
    invite = ana.invite_of(trip)
    bo.join(invite, "Bo")
    bo.act(trip, "going", going="no")
    ana.act(trip, "privacy", visibility="public")
    ana.act(trip, "decide", option=ana.option_of(trip))
    ana.act(trip, "book", window_seconds="1800")
    site.saga.run_until_quiet()
    site.saga.trip_id = TripId(from_wire("trip", trip.removeprefix("/t/")))
    _pay(site, ana, trip, "Ana")
    return ana, trip, invite


def test_a_late_friend_is_told_that_the_group_is_booked_and_only_watches(site: Site) -> None:
    ana, trip, invite = _booked(site)
    chloe = site.browser()
    assert "This group is already booked" in text_of(chloe.get(invite).text)
    assert chloe.join(invite, "Chloé") == trip
    page = text_of(chloe.get(trip).text)
    assert "This group is booked" in page
    assert "You are going!" not in page
    assert "Add to calendar" not in page
    assert "What may they see?" not in page
    assert "You are going!" in text_of(ana.get(trip).text)
    link = ana.post(f"{trip}/share", data={"channel": "copy", "fields": ["title"]}, headers=FRAME).headers["gb-open"]
    assert "1 person" in text_of(site.browser().get(link).text), "only Ana travels"


def test_an_invitation_calls_a_train_as_the_trip_does(site: Site) -> None:
    ana = site.browser()
    trip = ana.start("Ana", to_wire("off", site.saga.offer_id))
    name = re.search(r'<h3 id="opt_[^>]+>([^<]+)</h3>', ana.get(trip).text)
    assert name is not None
    assert name[1] in site.browser().get(ana.invite_of(trip)).text


def test_a_payment_from_a_frame_ends_in_a_window_that_closes(site: Site) -> None:
    back = site.browser().get(
        f"/pay/return?portion=por_{'0' * 32}&booking=bkg_{'0' * 32}&outcome=done&window=1", follow_redirects=False
    )
    assert "You can close this window." in text_of(back.text)
    assert 'data-close="1"' in back.text


def test_a_seat_leaves_the_frame_only_by_a_post_of_our_own_page(site: Site) -> None:
    """A foreign page cannot plant a seat, and a seat opens no trip but its own."""
    frame = site.browser()
    form = {"title": "Lights", "name": "Ana", "offer": to_wire("off", site.saga.offer_id)}
    begun = frame.post("/start?merchant=kestrel", data=form, headers=FRAME)
    trip, seat = begun.headers["GB-Go"], begun.headers["GB-Bearer"]
    shown = frame.get(trip, headers={"Authorization": f"Bearer {seat}", **FRAME}).text
    assert "Keep this trip" in shown
    assert seat not in shown
    tab = site.browser()
    for origin in ("null", "https://evil.example"):
        assert tab.post(f"{trip}/keep", data={"seat": seat}, headers={"Origin": origin}).status_code == 403
    assert tab.post(f"{trip}/keep?seat={seat}", data={}).status_code == 401
    assert tab.post(f"/t/trip_{'0' * 32}/keep", data={"seat": seat}).status_code == 404
    assert tab.get(trip).status_code == 401
    kept = tab.post(f"{trip}/keep", data={"seat": seat}, follow_redirects=False)
    assert kept.headers["location"] == trip
    assert "Keep this trip" not in tab.get(trip).text


def test_a_mistyped_link_is_told_from_an_ended_one(site: Site) -> None:
    ana = site.browser()
    invite = ana.invite_of(trip := ana.start("Ana", to_wire("off", site.saga.offer_id)))
    stranger = site.browser()
    assert "This link is not complete" in text_of(stranger.get(invite[:-3]).text)
    ana.act(trip, "privacy", visibility="secret")
    assert "This link has expired" in text_of(stranger.get(invite).text)


def test_a_card_that_no_train_takes_is_told_so_and_age_and_card_are_both_named(site: Site) -> None:
    document = json.loads((Path(rail.__file__).parent / "discounts.json").read_text())
    document["rules"] = [rule for rule in document["rules"] if rule["id"] == "kestrel.senior"]
    with site.saga.database.begin(site.saga.merchant_id) as session:
        now = clock.now(session)
        discounts.put_catalogue(session, document, starts_on=now.date(), now=now)
    ana = site.browser()
    trip = ana.start("Ana", to_wire("off", site.saga.offer_id))
    page = text_of(ana.act(trip, "about-me", card="kestrel.senior", age="30").text)
    assert "30 years old" in page
    assert "the card does not apply here" in page
    page = text_of(ana.act(trip, "about-me", card="kestrel.senior", age="70").text)
    assert "70 years old" in page
    assert "the card does not apply here" not in page
