"""The whole story once, end to end, in a real browser: on the authored catalogue and on the real TGV timetable."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.story import LIVE, PATIENCE, Friend, Story
from tests.support.demo import COMMAND, ROOT, RunningDemo, environment, running_demo

pytestmark = pytest.mark.browser

HASTE = {"GROUPBOOK_COLLECTION_WINDOW_SECONDS": "12", "GROUPBOOK_SWEEP_SECONDS": "1"}
GOOD, CHALLENGE, POOR = "4242424242424242", "4000002500003155", "4000000000009995"


def first_offer(story: Story) -> Callable[[Page], None]:
    def choose(page: Page) -> None:
        page.goto(story.demo.shop)
        page.locator("a[href^='/offer/']").first.click()

    return choose


def gather(story: Story, organizer: Friend, title: str) -> tuple[Friend, Friend, Friend]:
    """Three friends come: a guest, somebody who logs in, somebody inside the network's frame."""
    story.choose_trains(organizer, title)
    link = story.invite_link(organizer)
    bo = story.join_as_guest("Bo", link)
    chloe = story.join_by_login("Chloé", link, locale="fr-FR")
    dev = story.join_inside_the_network("Dev", link)
    for friend in (organizer, bo, chloe):
        expect(friend.view.locator("main")).to_contain_text(re.compile("4 people|4 personnes"), timeout=LIVE)
    return bo, chloe, dev


def walk(story: Story) -> None:
    """Steps 1 to 6."""
    ana = story.start_in_the_shop("Ana", first_offer(story))
    bo, chloe, dev = gather(story, ana, "Lyon lights")
    everybody = (ana, bo, chloe, dev)

    story.tell_about_me(ana, card=None, age=40)
    story.tell_about_me(bo, card=None, age=30)
    story.tell_about_me(dev, card="kestrel.youth", age=22)
    assert story.price_of(dev, 1) < story.price_of(bo, 1)
    assert story.price_of(ana, 1) == story.price_of(bo, 1)
    story.sees_why(dev, 1, "Your Kestrel Youth card saves")
    expect(bo.view.locator("#reach")).to_contain_text("One more friend and you pay")

    story.vote(bo, 0, "if_need_be")
    for friend in everybody:
        story.vote(friend, 1, "yes")
    for friend in everybody:
        story.sees_tally(friend, 1, 4)
    story.shot("3-votes", bo)
    story.decide(ana, 1)
    for friend in (bo, chloe, dev):
        expect(friend.view.locator("main")).to_contain_text(re.compile("It is decided|C’est décidé"), timeout=LIVE)

    story.book(ana)
    for friend in everybody:
        story.sees_payment(friend)
    story.shot("4-paying", bo)
    story.pay(bo, GOOD)
    story.came_back(bo)
    story.is_in(bo)
    decline_then_ask(story, dev, ana)
    story.pay(chloe, CHALLENGE)
    story.came_back(chloe)
    story.pay(ana, GOOD)
    story.came_back(ana)

    coaches = {friend.name: story.has_ticket(friend) for friend in everybody}
    assert len(set(coaches.values())) == 1, coaches
    story.shot("5-ticket", bo)
    calendar = bo.context.request.get(f"{bo.page.url.split('#')[0]}/calendar.ics").text()
    assert ("BEGIN:VEVENT" in calendar, "Lyon" in calendar or "SUMMARY" in calendar) == (True, True)
    share_and_grow(story, ana, chloe)
    story.no_errors()


def decline_then_ask(story: Story, dev: Friend, ana: Friend) -> None:
    """Dev's bank says no; he asks Ana, who sees his amount only then, and pays it."""
    story.pay(dev, POOR)
    dev.last_page.locator("[role=alert]").wait_for()  # type: ignore[attr-defined]
    dev.last_page.locator("a.back").click()  # type: ignore[attr-defined]
    story.came_back(dev)
    expect(dev.view.get_by_text("Your bank said no")).to_be_visible(timeout=PATIENCE)
    story.shot("4-declined", dev)
    expect(ana.view.get_by_role("button", name="Pay for Dev")).to_have_count(0)
    dev.view.locator("summary", has_text="Ask a friend to pay for me").click()
    dev.view.locator("#f-helper").select_option(label="Ana")
    dev.view.get_by_role("button", name="Ask", exact=True).click()
    expect(ana.view.get_by_role("button", name="Pay for Dev")).to_be_visible(timeout=LIVE)
    story.pay(ana, GOOD, name="Pay for Dev")
    story.came_back(ana)
    expect(dev.view.get_by_text("Ana pays for you")).to_be_visible(timeout=PATIENCE)


def share_and_grow(story: Story, ana: Friend, chloe: Friend) -> None:
    """Chloé posts to the network; a stranger clicks, sees what was allowed, and starts a trip of her own."""
    before = growth(story.demo)
    ana.view.get_by_role("button", name="Let them see more").click()
    expect(ana.view.get_by_role("button", name="Let them see more")).to_have_count(0)
    expect(chloe.view.locator("#share input[name=fields]").first).to_be_visible(timeout=LIVE)
    story.share_to_the_network(chloe, "On y va ensemble !")
    story.shot("6-share", chloe)
    hana = story.stranger_clicks("Hana")
    expect(hana.page.get_by_role("heading", level=1)).to_have_text("Lyon lights")
    for friend in ("Ana", "Bo", "Dev"):
        expect(hana.page.locator("main")).not_to_contain_text(re.compile(rf"\b{friend}\b"))
    story.shot("6-public", hana)
    hana.page.wait_for_timeout(1500)  # a visit counts when a person had the page before their eyes for a second
    hana.page.get_by_role("link", name="Start your own trip").click()
    hana.page.get_by_label("Your first name").fill("Hana")
    story.choose_trains(hana, "Hana goes too", 2)
    after = growth(story.demo)
    assert {name: after["shared"][name] - before["shared"][name] for name in ("shares", "visits", "starts")} == {
        "shares": 1,
        "visits": 1,
        "starts": 1,
    }
    assert after["direct"]["bookings"] >= 1
    dashboard_shows(story)


def dashboard_shows(story: Story) -> None:
    desk = story.friend("desk")
    desk.page.goto(f"{story.demo.web}/dashboard")
    desk.page.get_by_label("E-mail address").fill("desk@kestrel.example")
    desk.page.get_by_label("Password").fill(story.demo.staff_password)
    desk.page.get_by_role("button", name="Log in").click()
    expect(desk.page.locator("main")).to_contain_text("Visits per share")
    story.shot("7-dashboard", desk)


def growth(demo: RunningDemo) -> dict[str, dict[str, int]]:
    answer = httpx2.get(f"{demo.web}/v1/growth", timeout=60, headers={"Authorization": f"Bearer {demo.api_key}"})
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[str, int]] = answer.json()
    return found


def test_the_whole_story_on_the_authored_catalogue(story: Story) -> None:
    walk(story)


def test_nobody_is_charged_when_the_deadline_passes(strict_browser: Browser, state_folder: Callable[[], Path]) -> None:
    """Two friends, one pays, time runs out: everything is voided and both are told."""
    with running_demo(state_folder(), HASTE) as demo:
        story = Story(demo, strict_browser)
        ana = story.start_in_the_shop("Ana", first_offer(story))
        story.choose_trains(ana, "Too late", 2)
        bo = story.join_as_guest("Bo", story.invite_link(ana))
        story.decide(ana, 0)
        shorten_window(ana)
        story.book(ana)
        story.sees_payment(bo)
        story.pay(bo, GOOD)
        story.came_back(bo)
        for friend in (ana, bo):
            expect(friend.view.locator("main")).to_contain_text("obody was charged", timeout=120_000)
        story.shot("5-nobody-charged", bo)
        bookings = httpx2.get(f"{demo.web}/v1/bookings", headers={"Authorization": f"Bearer {demo.api_key}"}).json()
        (booking,) = bookings["data"]
        assert (booking["state"], {portion["state"] for portion in booking["portions"]}) == ("aborted", {"voided"})
        payments = httpx2.get(
            f"{demo.payments}/v1/payment_intents",
            headers={"Authorization": f"Bearer {demo.secrets['stripe_secret_key']}"},
        ).json()
        assert {intent["status"] for intent in payments["data"]} == {"canceled"}
        story.no_errors()
        story.close()


def shorten_window(friend: Friend) -> None:
    """The shortest time to pay that the page offers in a test house."""
    friend.view.locator("#f-window option").first.evaluate("option => { option.selected = true }")


@pytest.fixture
def tgv(state_folder: Callable[[], Path], shared: Path) -> Iterator[RunningDemo]:
    """The demo with the real timetable instead of the authored catalogue."""
    state = state_folder()
    feed, fares = shared / "data" / "gtfs-sncf-tgv", shared / "data" / "fares-tgv-ouigo.csv"
    done = subprocess.run(
        [*COMMAND, "import", "gtfs", str(feed), "--fares", str(fares), "--state", str(state)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Shifted by" in done.stdout
    with running_demo(state) as running:
        yield running


@pytest.mark.shared
def test_the_whole_story_on_the_real_timetable(tgv: RunningDemo, strict_browser: Browser) -> None:
    story = Story(tgv, strict_browser)
    walk(story)
    story.close()
