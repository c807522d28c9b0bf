"""Sixty people pay for one booking: it is booked right, and its pages can be read on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from tests.journeys.afar import Afar
from tests.journeys.crowd import PHONE, Crowd, Friend, Stage, euro, gather, settled
from tests.support.rig import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

hands = 8
NAMES = ("Ana", "Bo", *(f"Friend {n}" for n in range(3, 61)))


@pytest.fixture
def bo(stage: Stage) -> Iterator[Friend]:
    """The one whose phone is looked at."""
    friend = stage.friend(viewport=PHONE)
    yield friend
    friend.context.close()


def test_sixty_pay_and_a_phone_shows_how_far_they_are(stage: Stage, bo: Friend) -> None:
    crowd = gather(stage, NAMES, "The whole choir")
    fare = crowd.fare
    crowd.opens()
    wait_until(lambda: crowd.state == "open", lambda: f"{crowd.state} is not open")
    bo.sit("Bo", crowd.trip_id, crowd.tokens["Bo"])
    bo.sees("0/60", "Your part", euro(fare), f"Authorize {euro(fare)}", euro(60 * fare), "60 seats kept")
    is_readable(bo, crowd, "60-open")
    with ThreadPoolExecutor(hands) as crowd_of_hands:
        list(
            crowd_of_hands.map(
                lambda name: Afar(crowd, name).pays(comes_back=False), [name for name in NAMES if name != "Bo"]
            )
        )
    bo.sees("59/60", "Waiting for everybody")
    expect(bo.page.locator(".gb-ring circle:not(.track)")).to_have_count(2)  # those who are in, and the one who is not
    is_readable(bo, crowd, "60-waiting")
    bo.pays(amount=euro(fare))
    bo.has_ticket()
    bo.sees(f"{euro(fare)} was taken from your card.")
    is_readable(bo, crowd, "60-booked")
    assert crowd.books() == settled(60 * fare)
    assert bo.errors == []


def is_readable(bo: Friend, crowd: Crowd, shot: str) -> None:
    """Nothing is wider than the phone; the reader and the first others are shown, the rest is a tap away."""
    assert bo.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    rows = bo.page.locator("[aria-labelledby=payers-title] .gb-member")
    expect(rows.locator("visible=true")).to_have_count(12)
    expect(rows.first).to_contain_text("Bo")
    bo.shot(crowd.stage.shots, shot)
    more = bo.page.locator("summary", has_text="48 more")
    more.click()
    expect(rows.locator("visible=true")).to_have_count(60)
    more.click()
