"""A group's way through the pages, without a script: every form works as a plain form."""

from __future__ import annotations

import re

from groupbook.kit.ids import TripId, from_wire, to_wire
from tests.support.site import text_of
from tests.web.conftest import Browser, Site


def test_friends_plan_pay_and_share_on_plain_pages(site: Site) -> None:
    """Ana starts as a guest, Bo joins by link, they vote, book, pay, see their tickets and share."""
    ana, bo = site.browser(), site.browser()
    offer = to_wire("off", site.saga.offer_id)
    assert "Paris Gare de Lyon" in text_of(ana.get(f"/start?merchant=kestrel&offer={offer}").text)
    trip = ana.start("Ana", offer)
    page = text_of(ana.get(trip).text)
    assert "You are planning" in page
    assert "€50.00" in page

    invite = ana.invite_of(trip)
    shown = text_of(bo.get(invite).text)
    assert "Ana invites you" in shown
    assert bo.join(invite, "Bo 🌻") == trip
    assert "Ana is planning" in text_of(bo.get(trip).text)
    assert bo.get(invite, follow_redirects=False).headers["location"] == trip

    option = bo.option_of(trip)
    assert "1 yes" in text_of(bo.act(trip, "vote", option=option, choice="yes").text)
    assert "0 yes 1 if needed" in text_of(bo.act(trip, "vote", option=option, choice="if_need_be").text)
    assert "2 people" in text_of(ana.get(trip).text)
    assert "Only the organizer can do this." in text_of(bo.act(trip, "decide", option=option).text)
    bo.act(trip, "comment", body="<script>alert(1)</script> see you")
    assert "<script>alert" not in ana.get(trip).text
    assert "Your price counts: 27 years old" in text_of(bo.act(trip, "about-me", age="27", card="").text)

    assert "It is decided" in text_of(ana.act(trip, "decide", option=option).text)
    assert "Ready to book?" in text_of(ana.get(trip).text)
    ana.act(trip, "book", window_seconds="1800")
    site.saga.run_until_quiet()
    page = text_of(bo.get(trip).text)
    assert "Authorize €50.00" in page
    assert "0/2 ready" in page
    assert "Everybody together €100.00" in page

    site.saga.trip_id = _trip_of(site, trip)
    for browser, name in ((ana, "Ana"), (bo, "Bo 🌻")):
        _pay(site, browser, trip, name)
    page = text_of(bo.get(trip).text)
    assert "You are going!" in page
    assert "Traveler Bo 🌻" in page
    assert "Your part €50.00" in page
    calendar = bo.get(f"{trip}/calendar.ics")
    assert calendar.headers["content-type"].startswith("text/calendar")
    assert "SUMMARY:Paris Gare de Lyon → Lyon" in calendar.text

    answer = bo.post(f"{trip}/share", data={"channel": "copy", "fields": ["title", "name"]}, headers={"GB-Fetch": "1"})
    link = answer.headers["gb-open"]
    stranger = site.browser()
    public = stranger.get(link)
    assert public.status_code == 200
    assert "Lights" not in public.text, "the trip is not public, so the page and its preview are generic"
    ana.act(trip, "privacy", visibility="public")
    public = stranger.get(link)
    assert "Bo is going" in text_of(public.text), "only the first name was ticked"
    assert '<meta property="og:title" content="Lights">' in public.text
    ana.act(trip, "privacy", visibility="secret")
    assert stranger.get(link).status_code == 410


def _trip_of(site: Site, trip: str) -> TripId:
    return TripId(from_wire("trip", trip.removeprefix("/t/")))


def _pay(site: Site, browser: Browser, trip: str, name: str) -> None:
    portion = re.search(r'name="portion" value="(por_[0-9a-f]+)"', browser.get(trip).text)
    assert portion is not None
    answer = browser.post(f"{trip}/pay", data={"portion": portion[1]}, follow_redirects=False)
    assert answer.status_code == 303, text_of(answer.text)
    line = next(line for line in site.saga.booking().portions if line.name == name)
    site.saga.members[name] = line.traveler
    site.saga.provider.authorize(site.saga._attempt(name))
    booking = to_wire("bkg", site.saga.booking().id)
    back = browser.get(f"/pay/return?portion={portion[1]}&booking={booking}&outcome=done", follow_redirects=False)
    assert back.headers["location"] == trip
    site.saga.run_until_quiet()
