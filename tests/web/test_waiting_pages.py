"""The waiting list on the pages, without a script."""

from __future__ import annotations

import re
from dataclasses import replace

from starlette.applications import Starlette

from groupbook import trips
from groupbook.kit.callers import Caller
from groupbook.web import pages, waiting_pages
from tests.support.site import text_of
from tests.web.conftest import Browser, Site
from tests.web.test_ways_pages import group


def wait(site: Site, invite: str, name: str, *, language: str = "en") -> Browser:
    browser = site.browser(language)
    answer = browser.post(f"{invite}/wait", data={"name": name})
    assert answer.status_code == 200, text_of(answer.text)
    return browser


def place_in(page: str) -> str:
    found = re.search(r'href="(/h/[^"]+)"', page)
    assert found is not None
    return found[1]


def test_who_comes_too_late_waits_and_takes_the_place_that_comes_free(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo", "Cy")
    invite = _invite(site)
    page = text_of(site.browser().get(invite).text)
    assert "This group is being booked right now" in page
    assert "Put yourself on the waiting list" in page
    di, eve = wait(site, invite, "Di"), wait(site, invite, "Eve")
    assert "2 of 2" in text_of(eve.get(trip).text)
    assert "Eve" not in text_of(at["Ana"].get(trip).text).split(), "who waits is no member"
    shown = di.get(trip)
    assert "You are next." in text_of(shown.text)
    assert not any(name in text_of(shown.text) for name in ("Ana", "Bo", "Cy")), "the others are not shown"
    assert text_of(di.get(invite).text) == text_of(shown.text), "the invitation leads to the place in the line"

    assert "2 people wait for a place." in text_of(at["Cy"].get(f"{trip}/drop-out").text)
    released = text_of(at["Cy"].act(trip, "release").text)
    assert "Your place is offered to the next in the line until" in released
    again = text_of(at["Cy"].act(trip, "hand-over", name="Zoe").text)
    assert "You hand this place over already." in again

    offered = di.get(trip).text
    assert "A place is free for you" in text_of(offered)
    assert "A place is free for you" not in text_of(eve.get(trip).text)
    place = di.get(place_in(offered))
    assert "From the waiting list" in text_of(place.text)
    assert "Cy" not in text_of(place.text)
    taken = di.post(place_in(offered), data={})
    assert "Your part" in text_of(taken.text)
    site.saga.run_until_quiet()
    assert "You are not part of this booking" in text_of(at["Cy"].get(trip).text)
    assert "1 of 1" in text_of(eve.get(trip).text)


def test_who_left_the_booking_and_members_reach_the_line_too(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo", "Cy")
    assert "Nobody waits for a place now." in text_of(at["Bo"].get(f"{trip}/drop-out").text)
    at["Cy"].act(trip, "drop-out")
    page = text_of(at["Cy"].get(f"{trip}/waiting").text)
    assert "You do not wait for a place" in page
    assert "1 of 1" in text_of(at["Cy"].act(trip, "wait").text)
    refused = at["Ana"].act(trip, "wait")
    assert (refused.status_code, "You are in this group already." in text_of(refused.text)) == (409, True)
    assert "You do not wait for a place" in text_of(at["Cy"].act(trip, "stop-waiting").text)
    assert site.browser().get(f"{trip}/waiting").status_code == 401
    assert at["Cy"].get(f"{trip}/stop-waiting").url.path == trip, "reloaded"
    assert site.browser().get(f"{_invite(site)}/wait").status_code == 200


def test_a_guest_says_where_news_may_go(site: Site) -> None:
    trip, _ = group(site, "Ana", "Bo")
    deps = replace(site.deps, sends_mail=True)
    del trip
    app = Starlette(routes=[*pages.routes(deps), *waiting_pages.routes(deps, site.saga.house.letters)])
    page = text_of(Browser(app, "fr").get(_invite(site)).text)
    assert "Où vous prévenir qu’une place est libre ?" in page


def test_a_booking_that_fails_opens_the_group_again(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    di = wait(site, _invite(site), "Di")
    at["Ana"].act(trip, "cancel-booking")
    site.saga.run_until_quiet()
    assert "The group has room again" in text_of(di.get(trip).text)
    joined = text_of(di.act(trip, "come-in").text)
    assert "Lights" in joined
    assert "Di" in text_of(at["Ana"].get(trip).text)


def _invite(site: Site) -> str:
    saga = site.saga
    with saga.database.begin(saga.merchant_id) as session:
        organizer = next(one for one in trips.members(session, saga.trip_id) if one.role == "organizer")
    caller = Caller(kind="guest", merchant_id=saga.merchant_id, subject=organizer.guest_id)
    made = trips.create_invite(saga.database, saga.house.sealer, caller, saga.trip_id)
    return f"/i/{made.token}"
