"""Payers who stay on our page, in real browsers: the provider's fields in a frame, a bank that asks or refuses."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect

from groupbook import bookings
from groupbook.bookings.domain import BookingState
from tests.support.own_page import own_page_saga, seat_cookie, trip_path
from tests.support.payments import RunningSandbox, running
from tests.support.saga import Saga
from tests.support.site import free_port, served

pytestmark = pytest.mark.browser

PATIENCE = 30_000
GOOD, ASKED, POOR = "4242424242424242", "4000002500003155", "4000000000009995"
FRAME = "Secure payment input frame"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    with running(tmp_path, refund_delay_seconds=0.1) as server:
        yield server


@pytest.fixture
def saga(database_url: str, sandbox: RunningSandbox) -> Iterator[Saga]:
    port = free_port()
    saga = own_page_saga(database_url, sandbox, "Ada", "Bo", public_url=f"http://127.0.0.1:{port}")
    saga.open()
    saga.run_until_quiet()
    with served(saga, port=port):
        yield saga
    saga.close()


class Payer:
    """Somebody's browser, and every complaint of it."""

    def __init__(self, browser: Browser, saga: Saga, name: str, **context: Any) -> None:
        self.saga, self.errors = saga, list[str]()
        self.url = saga.house.settings.public_url
        self.context: BrowserContext = browser.new_context(**context)
        self.context.set_default_timeout(PATIENCE)
        cookie, token = seat_cookie(saga, name)
        self.context.add_cookies([{"name": cookie, "value": token, "url": self.url}])
        self.context.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.page: Page = self.context.new_page()

    def goes_to_pay(self) -> FrameLocator:
        """From the trip to our page; the provider's fields on it."""
        self.page.goto(self.url + trip_path(self.saga))
        self.page.locator("form[data-act=pay] button").first.click()
        self.page.wait_for_url(re.compile(r"/pay/[\w-]{60,}$"))
        fields = self.page.frame_locator(f"iframe[title='{FRAME}']")
        fields.locator("#number").wait_for()
        return fields

    def types(self, fields: FrameLocator, number: str) -> None:
        fields.locator("#number").fill(number)
        fields.locator("#expiry").fill("12/39")
        fields.locator("#cvc").fill("123")
        self.page.locator("#gb-pay button").click()

    def shot(self, name: str) -> None:
        if folder := os.environ.get("GROUPBOOK_TEST_SHOTS"):
            self.page.wait_for_timeout(400)
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_booking_is_paid_on_our_page(browser: Browser, saga: Saga, sandbox: RunningSandbox) -> None:
    """Ada's bank says no, then asks her and she confirms; Bo reads French on a phone in the dark. Both are booked."""
    ada = Payer(browser, saga, "Ada", viewport={"width": 1280, "height": 900}, locale="en-GB")
    bo = Payer(browser, saga, "Bo", viewport={"width": 390, "height": 844}, locale="fr-FR", color_scheme="dark")

    fields = ada.goes_to_pay()
    expect(ada.page.locator("h1")).to_have_text(re.compile(r"^Authorize €50\.00$"))
    expect(ada.page.locator("#fate")).to_contain_text("it is taken only when everybody is in")
    assert Axe().run(ada.page).response["violations"] == []
    ada.shot("own-page-desk-light")
    ada.types(fields, POOR)
    expect(ada.page.get_by_role("alert")).to_have_text(re.compile("not enough money on this card"))
    ada.shot("own-page-declined")
    ada.types(fields, ASKED)
    bank = ada.page.frame_locator("iframe[title='3-D Secure']")
    expect(bank.locator("#asks")).to_contain_text("€50.00")
    ada.shot("own-page-bank")
    bank.locator("button[value=confirm]").click()
    ada.page.wait_for_url(re.compile(trip_path(saga)))
    expect(ada.page.get_by_text(re.compile(r"^Your bank keeps .+ ready\.")).first).to_be_visible()
    assert "secret" not in ada.page.url

    fields = bo.goes_to_pay()
    expect(bo.page.locator("html")).to_have_attribute("lang", "fr")
    expect(fields.locator("label[for=number]")).to_have_text("Numéro de carte")
    assert bo.page.evaluate("document.documentElement.scrollWidth") == 390
    assert Axe().run(bo.page).response["violations"] == []
    bo.shot("own-page-phone-dark")
    bo.types(fields, GOOD)
    bo.page.wait_for_url(re.compile(trip_path(saga)))

    saga.run_until_quiet()
    assert saga.booking().state is BookingState.BOOKED
    intents = sandbox.api("GET", "/v1/payment_intents").json()["data"]
    assert sorted((one["status"], one["amount_received"]) for one in intents) == [("succeeded", 5000)] * 2
    assert sandbox.api("GET", "/v1/checkout/sessions").json()["data"] == []
    assert (ada.errors, bo.errors) == ([], [])
    ada.context.close()
    bo.context.close()


def test_a_booking_that_ends_while_the_page_is_open_takes_nothing(
    browser: Browser, saga: Saga, sandbox: RunningSandbox
) -> None:
    """Ada has typed her card when the booking is called off: the page says that it has closed, and nothing is kept."""
    ada = Payer(browser, saga, "Ada", viewport={"width": 390, "height": 844}, locale="en-GB")
    fields = ada.goes_to_pay()
    bookings.cancel_booking(saga.database, saga.friends["Ada"], saga.id)
    saga.run_until_quiet()
    ada.types(fields, GOOD)
    expect(ada.page.locator("h1")).to_have_text("This payment page has closed")
    ada.page.get_by_role("link", name="Back to the trip").click()
    ada.page.wait_for_url(re.compile(trip_path(saga)))
    (intent,) = sandbox.api("GET", "/v1/payment_intents").json()["data"]
    assert (intent["status"], intent["latest_charge"]) == ("canceled", None)
    assert saga.booking().state is BookingState.ABORTED
    ada.context.close()


def test_a_browser_without_script_pays_on_the_providers_page(
    browser: Browser, saga: Saga, sandbox: RunningSandbox
) -> None:
    ada = Payer(browser, saga, "Ada", viewport={"width": 390, "height": 844}, locale="en-GB", java_script_enabled=False)
    ada.page.goto(ada.url + trip_path(saga))
    ada.page.locator("form[data-act=pay] button").first.click()
    expect(ada.page.get_by_role("alert")).to_contain_text("Your browser runs no script")
    expect(ada.page.locator("#gb-pay")).to_be_hidden()
    ada.shot("own-page-no-script")
    ada.page.get_by_role("button", name="Pay on the payment provider's page instead").click()
    ada.page.locator("#number").fill(GOOD)
    ada.page.locator("#expiry").fill("12/39")
    ada.page.locator("#cvc").fill("123")
    ada.page.locator("#pay").click()
    expect(ada.page.get_by_text(re.compile(r"^Your bank keeps .+ ready\.")).first).to_be_visible()
    saga.run_until_quiet()  # the page of ours, which nobody needs any more, is given back
    statuses = {one["status"] for one in sandbox.api("GET", "/v1/payment_intents").json()["data"]}
    assert statuses == {"canceled", "requires_capture"}
    ada.context.close()
