"""Where a guest is known, on the page, without a script."""

from __future__ import annotations

import re

from groupbook import trips
from groupbook.kit.ids import TripId, from_wire, to_wire
from tests.support.site import text_of
from tests.web.conftest import Site


def test_a_guest_sees_their_devices_and_logs_another_one_out(site: Site) -> None:
    here, there = site.browser(), site.browser()
    trip = here.start("Ana", to_wire("off", site.saga.offer_id))
    trip_id = TripId(from_wire("trip", trip.rpartition("/")[2]))
    assert "Your devices" in text_of(here.get(f"{trip}/devices").text)
    assert "You are known nowhere else." in text_of(here.get(f"{trip}/devices").text)
    with site.saga.database.begin(site.saga.merchant_id) as session:
        (ana,) = trips.members(session, trip_id)
        token = trips.sit_again(session, trip_id, ana.id).guest_token
    there.cookies.set(f"gb_seat_{trip_id.hex}", token or "")
    assert "Ana" in text_of(there.get(trip).text)
    shown = here.get(f"{trip}/devices").text
    assert text_of(shown).count("A browser with your seat in this trip") == 2
    (other,) = re.findall(r'name="session" value="(ses_[0-9a-f]{32})"', shown)
    ended = text_of(here.act(trip, "devices", session=other).text)
    assert "Logged out there." in ended
    assert ended.count("A browser with your seat in this trip") == 1
    assert there.get(trip).status_code == 401
    assert here.get(trip).status_code == 200
    foreign = there.post(f"{trip}/devices", data={"session": other})
    assert foreign.status_code == 401
