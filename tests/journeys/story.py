"""The story as people walk it: phone-sized browsers, one per friend, third-party cookies and storage blocked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Frame, Page, ViewportSize, expect

from tests.support.demo import RunningDemo

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=900)
# A headless browser says so in its name, and a visit by a robot does not count: be the phone that we play.
A_PHONE = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 "
    "Mobile Safari/537.36"
)
PATIENCE = 60_000
LIVE = 30_000

# What Safari does to a frame of another site; the browser itself blocks the cookies (see `strict_browser`).
NO_STORAGE_IN_FRAMES = """if (window !== window.top) {
  for (const name of ["localStorage", "sessionStorage", "indexedDB"])
    Object.defineProperty(window, name, {get() { throw new DOMException("blocked", "SecurityError"); }});
}"""


@dataclass
class Friend:
    """Somebody with a browser of their own. `view` is where they see the trip: a page, or a frame in one."""

    name: str
    context: BrowserContext
    page: Page
    view: Page | Frame
    errors: list[str] = field(default_factory=list)


class Story:
    """Steps of the story; each asserts what the person must see."""

    def __init__(self, demo: RunningDemo, browser: Browser, *, shots: Path | None = None) -> None:
        self.demo = demo
        self._browser = browser
        self._shots = shots
        self.friends: dict[str, Friend] = {}

    # --- people ---

    def friend(self, name: str, *, locale: str = "en-GB") -> Friend:
        context = self._browser.new_context(
            viewport=PHONE, locale=locale, has_touch=True, is_mobile=True, user_agent=A_PHONE
        )
        context.add_init_script(NO_STORAGE_IN_FRAMES)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        friend = Friend(name, context, page, page)
        context.on("weberror", lambda error: friend.errors.append(str(error.error)))
        context.on("console", lambda message: self._console(friend, message))
        self.friends[name] = friend
        return friend

    def _console(self, friend: Friend, message: Any) -> None:
        # A 4xx that the page shows to the person is no error of the page; everything else that turns red is.
        if message.type == "error" and "Failed to load resource" not in message.text:
            friend.errors.append(message.text)

    def close(self) -> None:
        for friend in self.friends.values():
            friend.context.close()

    def shot(self, name: str, friend: Friend) -> None:
        """Keep a picture of the phone, and the same page on a desktop, for the documents."""
        if self._shots is None:
            return
        friend.page.wait_for_timeout(500)
        friend.page.screenshot(path=self._shots / f"{name}-phone.png")
        friend.page.set_viewport_size(DESKTOP)
        friend.page.wait_for_timeout(400)
        friend.page.screenshot(path=self._shots / f"{name}-desktop.png")
        friend.page.set_viewport_size(PHONE)
        friend.page.wait_for_timeout(200)

    def no_errors(self) -> None:
        assert {name: friend.errors for name, friend in self.friends.items() if friend.errors} == {}

    # --- 1: the organizer starts in the shop ---

    def start_in_the_shop(self, person: str, offer_path: str | Callable[[Page], None]) -> Friend:
        """Open an offer, press Plan with friends, log in with the network from inside the widget, start a trip."""
        ana = self.friend(person)
        if isinstance(offer_path, str):
            ana.page.goto(self.demo.shop + offer_path)
        else:
            offer_path(ana.page)
        ana.page.get_by_role("button", name="Plan with friends").first.click()
        frame = self._frame(ana, "/e/")
        with ana.context.expect_page() as opened:
            frame.locator("a[data-login]").first.click()
        self.log_in(opened.value, person, frame_origin=self.demo.shop)
        expect(frame.get_by_text(f"You plan as {person}")).to_be_visible()
        ana.view = frame
        return ana

    def log_in(self, popup: Page, person: str, *, frame_origin: str | None = None) -> None:
        """Plaza's login and consent; then ours, which names the page that will act for the person."""
        popup.wait_for_url(lambda url: url.startswith(self.demo.network), timeout=PATIENCE)
        popup.locator(f"button[value={handle(person)}], button[value=yes]").first.wait_for()
        if popup.get_by_role("heading", name="Log in to Plaza").count():
            popup.locator(f"button[value={handle(person)}]").click()
        popup.get_by_role("button", name=f"Allow as {person}").click()
        if frame_origin is None:
            return
        site = frame_origin.removeprefix("http://")
        expect(popup.get_by_role("heading", name=f"Continue as {person} on {site}?")).to_be_visible()
        with popup.expect_event("close"):
            popup.get_by_role("button", name=f"Continue as {person}").click()

    def choose_trains(self, friend: Friend, title: str, count: int = 3) -> None:
        """Tick several trains and start."""
        boxes = friend.view.locator("input[name=offer]")
        expect(boxes.first).to_be_attached()
        for index in range(min(count, boxes.count())):
            boxes.nth(index).check()
        friend.view.get_by_label("Name of your trip").fill(title)
        self.shot("1-start", friend)
        friend.view.get_by_role("button", name="Start planning").click()
        expect(friend.view.get_by_role("heading", name=title, level=1)).to_be_visible()
        expect(friend.view.locator(".gb-option")).to_have_count(min(count, boxes.count() or count))

    def invite_link(self, friend: Friend) -> str:
        return friend.view.locator("#invite-link").input_value()

    # --- 2: friends come by link ---

    def join_as_guest(self, name: str, link: str) -> Friend:
        bo = self.friend(name)
        bo.page.goto(link)
        bo.page.get_by_label("What do your friends call you?").fill(name)
        self.shot("2-invitation", bo)
        bo.page.get_by_role("button", name="Join and vote").click()
        expect(bo.page.locator(".gb-option").first).to_be_visible()
        return bo

    def join_by_login(self, person: str, link: str, *, locale: str = "en-GB") -> Friend:
        chloe = self.friend(person, locale=locale)
        chloe.page.goto(link)
        chloe.page.locator("a[data-login]").first.click()
        self.log_in(chloe.page, person)
        chloe.page.locator("form[data-act=start] button").click()
        expect(chloe.page.locator(".gb-option").first).to_be_visible()
        return chloe

    def join_inside_the_network(self, person: str, link: str) -> Friend:
        """The link opens groupbook inside Plaza, in a frame, with a signed launch."""
        dev = self.friend(person)
        dev.page.goto(self.demo.network)
        dev.page.locator(f".cast button[value={handle(person)}]").click()
        dev.page.goto(f"{self.demo.network}/apps/groupbook?start={link.rsplit('/', 1)[1]}")
        frame = self._frame(dev, "/n/demo/launch")
        frame.get_by_role("button", name=f"Join as {person}").click()
        expect(frame.locator(".gb-option").first).to_be_visible()
        dev.view = frame
        return dev

    def _frame(self, friend: Friend, path: str) -> Frame:
        friend.page.wait_for_function("() => document.querySelector('iframe') || window.groupbook")
        for _ in range(100):
            for frame in friend.page.frames:
                if frame.url.startswith(self.demo.web) and path in frame.url:
                    return frame
            friend.page.wait_for_timeout(100)
        raise AssertionError(f"no frame at {path}: {[frame.url for frame in friend.page.frames]}")

    # --- 3: own prices, votes, the decision ---

    def tell_about_me(self, friend: Friend, *, card: str | None, age: int) -> None:
        """Enter a card and an age: one's own price follows."""
        form = friend.view.locator("#about-you")
        if not form.locator("input[name=age]").is_visible():
            form.locator("summary").click()
        if card:
            form.locator("#f-card").select_option(card)
        form.locator("input[name=age]").fill(str(age))
        form.locator("form[action$=about-me] button").click()
        expect(form.locator("summary")).to_contain_text(re.compile("Your price counts|Votre prix"))

    def price_of(self, friend: Friend, option: int) -> int:
        """What this friend would pay for the option, in cents, as their screen says."""
        shown = friend.view.locator(".gb-option").nth(option).locator(".gb-price").first.inner_text()
        return cents(shown.split("\n")[-1] if "\n" in shown else shown)

    def sees_why(self, friend: Friend, option: int, words: str) -> None:
        """The page that explains this friend's price of the option, and back."""
        friend.view.locator(".gb-option").nth(option).get_by_role("link", name=re.compile("^How this price")).click()
        expect(friend.view.locator("main")).to_contain_text(words)
        expect(friend.view.locator("main")).to_contain_text("No cheaper lawful combination exists.")
        self.shot("3-price", friend)
        friend.view.get_by_role("link", name="Back to the trip").click()
        expect(friend.view.locator(".gb-option").nth(option)).to_be_visible()

    def vote(self, friend: Friend, option: int, choice: str) -> None:
        button = friend.view.locator(".gb-option").nth(option).locator(f"button[value={choice}]")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")

    def sees_tally(self, friend: Friend, option: int, yes: int) -> None:
        """Without reload."""
        tally = friend.view.locator(".gb-option").nth(option).locator(".gb-tally span").first
        expect(tally).to_have_text(re.compile(rf"^{yes}\b"), timeout=LIVE)

    def decide(self, friend: Friend, option: int) -> None:
        friend.view.locator(".gb-option").nth(option).get_by_role("button", name=re.compile("^Choose this one")).click()
        expect(friend.view.get_by_role("heading", name="It is decided")).to_be_visible()

    # --- 4: book and pay ---

    def book(self, friend: Friend) -> None:
        friend.view.get_by_role("button", name="Hold the seats and ask everybody to pay").click()

    def sees_payment(self, friend: Friend) -> None:
        expect(friend.view.locator("#mine-title")).to_be_visible(timeout=PATIENCE)

    def pay(self, friend: Friend, card: str, *, name: re.Pattern[str] | str | None = None) -> None:
        """Go to the hosted page, top level, and type a card there; come back."""
        button = friend.view.get_by_role(
            "button", name=name or re.compile("Authorize|Autoriser|Try another card|Go on to the payment page")
        ).first
        if isinstance(friend.view, Frame):
            with friend.context.expect_page() as opened:
                button.click()
            page = opened.value
        else:
            button.click()
            page = friend.page
        page.locator("#number").fill(card)
        page.locator("#expiry").fill("12/39")
        page.locator("#cvc").fill("123")
        if card.startswith("4242"):
            self._shot_page("4-hosted", page)
        page.locator("#pay").click()

        if card in CHALLENGED:
            page.locator("button[value=confirm]").click()
        friend.last_page = page  # type: ignore[attr-defined]

    def _shot_page(self, name: str, page: Page) -> None:
        if self._shots is not None:
            page.screenshot(path=self._shots / f"{name}-phone.png")

    def came_back(self, friend: Friend) -> None:
        """The provider sent the payer back to us."""
        page: Page = friend.last_page  # type: ignore[attr-defined]
        page.wait_for_url(lambda url: url.startswith(self.demo.web), timeout=PATIENCE)
        if isinstance(friend.view, Frame):
            page.close()

    def is_in(self, friend: Friend) -> None:
        expect(friend.view.get_by_text(re.compile("^Your bank keeps .+ ready\\.")).first).to_be_visible(
            timeout=PATIENCE
        )

    # --- 5 and 6: tickets, sharing, strangers ---

    def has_ticket(self, friend: Friend) -> str:
        """Booked: a ticket with a seat and a QR; answers coach and seat."""
        ticket = friend.view.locator(".gb-ticket")
        expect(ticket).to_have_count(1, timeout=PATIENCE)
        expect(ticket.locator(".gb-qr svg")).to_be_visible()
        facts = ticket.locator(".gb-ticket__facts dd").all_inner_texts()
        assert facts[0] == friend.name
        return facts[1]

    def share_to_the_network(self, friend: Friend, words: str) -> Page:
        with friend.context.expect_page() as opened:
            friend.view.locator("#share button[value=demo]").click()
        page = opened.value
        page.wait_for_url(lambda url: url.startswith(self.demo.network))
        me = page.locator(f".cast button[value={handle(friend.name)}]")
        if me.get_attribute("aria-pressed") != "true":
            me.click()
        page.locator("#text").fill(words)
        page.get_by_role("button", name=f"Post as {friend.name}").click()
        expect(page.locator(".post--new .card")).to_be_visible()
        return page

    def stranger_clicks(self, name: str) -> Friend:
        """Somebody who knows nobody sees the card in the feed and clicks."""
        stranger = self.friend(name)
        stranger.page.goto(self.demo.network)
        self.shot("6-feed", stranger)
        with stranger.context.expect_page() as opened:
            stranger.page.locator(".post .card").first.click()
        stranger.page = opened.value
        stranger.view = stranger.page
        stranger.page.wait_for_load_state()
        return stranger


CHALLENGED = {"4000 0025 0000 3155", "4000002500003155", "4000002760003184"}


def handle(person: str) -> str:
    """How Plaza writes somebody's name in an address."""
    return person.lower().replace("é", "e")


def cents(text: str) -> int:
    """`€24.50` or `24,50 €` as whole cents."""
    digits = re.sub(r"[^\d]", "", text)
    return int(digits)
