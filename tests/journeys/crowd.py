"""Friends who pay in real browsers, one each, with everything between them and their money in processes of its own.

The stage is a `rig`: web, worker, beat, payment sandbox, agency, and a database that only they use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect
from sqlalchemy import text

from groupbook import bookings, merchants, offers, payments, trips
from groupbook.bookings import BookingView
from groupbook.kit.callers import Caller
from groupbook.kit.ids import MerchantId, TripId, to_wire
from groupbook.merchants.domain import Capabilities
from groupbook.offers.domain import Offer
from groupbook.trips import StartTrip
from groupbook.trips.service.plan import NewOption
from tests.support import parties
from tests.support import rig as rigs
from tests.support.parties import provider
from tests.support.rig import Rig, wait_until

PHONE = ViewportSize(width=390, height=844)
DESK = ViewportSize(width=1280, height=900)
PATIENCE = 60_000
GOOD, CHALLENGED, DECLINED = "4242424242424242", "4000002500003155", "4000000000000002"
PAY = re.compile("^(Authorize|Autoriser|Keep my card for|Try another card|Go on to the payment page|Pay again)")


def euro(cents: int, locale: str = "en") -> str:
    """As a page writes it; blanks of every kind count as one."""
    whole, rest = f"{cents // 100:,}", f"{cents % 100:02}"
    return f"€{whole}.{rest}" if locale == "en" else f"{whole.replace(',', ' ')},{rest} €"


@dataclass
class Stage:
    """The running house with its one merchant."""

    rig: Rig
    merchant_id: MerchantId
    trains: Iterator[str]
    browser: Browser
    shots: Path | None = None

    @contextmanager
    def without_places(self) -> Iterator[None]:
        """The agency keeps no places meanwhile: groups have days to pay, and cards wait."""
        self._capabilities(Capabilities(holds=False))
        yield
        self._capabilities(Capabilities(holds=True, hold_seconds_max=3600))

    def _capabilities(self, capabilities: Capabilities) -> None:
        with self.rig.house.database.begin(self.merchant_id) as session:
            merchants.change_capabilities(session, capabilities)

    def fault(self, fault: str, operation: str, *, times: int = 1, seconds: float = 0) -> None:
        """Switch something on at the payment sandbox."""
        body = {"fault": fault, "operation": operation, "times": times, "seconds": seconds}
        rigs.client().post(f"{self.rig.sandbox_url}/_faults", json=body).raise_for_status()

    def mend(self) -> None:
        """Everything off, here and at the agency."""
        rigs.client().delete(f"{self.rig.sandbox_url}/_faults").raise_for_status()
        self.rig.agency.forgive()

    def friend(self, *, locale: str = "en-GB", viewport: ViewportSize = DESK) -> Friend:
        context = self.browser.new_context(viewport=viewport, locale=locale, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE)
        return Friend(context, context.new_page(), self.rig.web_url)


@contextmanager
def running(state: Path, browser: Browser, shots: Path | None) -> Iterator[Stage]:
    with rigs.running(state, lost_answer_seconds=2.0) as rig:
        merchant_id = parties.open_shop(rig)
        yield Stage(rig, merchant_id, iter(parties.train_refs(rig)), browser, shots)


@dataclass
class Friend:
    """Somebody with a browser of their own."""

    context: BrowserContext
    page: Page
    web: str
    name: str = ""
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.context.on("console", self._console)

    def _console(self, message: Any) -> None:
        # A status that the page explains to the person is no error of the page; everything else that turns red is.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def sit(self, name: str, trip_id: TripId, token: str) -> None:
        """Take one's seat in the trip and look at it."""
        self.name = name
        cookie = {"name": f"gb_seat_{trip_id.hex}", "value": token, "url": self.web, "sameSite": "Lax"}
        self.context.clear_cookies()
        self.context.add_cookies([cookie])  # type: ignore[list-item]  # the driver's own type is private
        self.page.goto(f"{self.web}/t/{to_wire('trip', trip_id)}")

    @property
    def main(self) -> Locator:
        return self.page.locator("main")

    def sees(self, *words: str | re.Pattern[str]) -> None:
        for one in words:
            expect(self.main).to_contain_text(one, timeout=PATIENCE)

    def sees_no(self, *words: str | re.Pattern[str]) -> None:
        for one in words:
            expect(self.main).not_to_contain_text(one)

    def card(self, heading: str) -> Locator:
        """The part of the page below this heading."""
        return self.page.locator("section.gb-card", has=self.page.get_by_role("heading", name=heading, exact=True))

    def press(self, name: str | re.Pattern[str], within: Locator | None = None, *, exact: bool = False) -> None:
        (within or self.main).get_by_role("button", name=name, exact=exact).first.click()

    def opens(self, summary: str) -> None:
        """A part of the page that is folded away."""
        part = self.page.locator("summary", has_text=summary)
        if part.locator("..").get_attribute("open") is None:
            part.click()

    def to_the_hosted_page(self, button: str | re.Pattern[str], within: Locator | None = None) -> None:
        self.press(button, within)
        self.page.locator("#number").wait_for()

    def types(self, card: str) -> None:
        self.page.locator("#number").fill(card)
        self.page.locator("#expiry").fill("12/39")
        self.page.locator("#cvc").fill("123")
        self.page.locator("#pay").click()

    def comes_back(self) -> None:
        self.page.wait_for_url(lambda url: url.startswith(self.web))

    def pays(
        self, card: str = GOOD, *, amount: str = "", button: str | re.Pattern[str] = PAY, within: Locator | None = None
    ) -> None:
        """To the hosted page, which names the amount; a good card; and back."""
        self.to_the_hosted_page(button, within)
        if amount:
            expect(self.page.locator(".amount")).to_contain_text(amount)
        self.types(card)
        if card == CHALLENGED:
            self.page.locator("button[value=confirm]").click()
        self.comes_back()

    def has_ticket(self) -> None:
        ticket = self.page.locator(".gb-ticket")
        expect(ticket).to_have_count(1, timeout=PATIENCE)
        expect(ticket.locator(".gb-ticket__facts dd").first).to_have_text(self.name)

    def shot(self, folder: Path | None, name: str) -> None:
        """The whole page as it is, for whoever wants to look."""
        if folder is not None:
            self.page.screenshot(path=folder / f"{name}.png", full_page=True)


@dataclass
class Crowd:
    """A decided trip and those in it; the first one organizes."""

    stage: Stage
    trip_id: TripId
    tokens: Mapping[str, str]
    offer: Offer
    invite: str
    organizer: Caller

    @property
    def fare(self) -> int:
        """What one place costs, in cents."""
        return min(fare.minor for fare in self.offer.fares.values())

    @property
    def booking(self) -> BookingView:
        found = bookings.booking_of_trip(self.stage.rig.house.database, self.organizer, self.trip_id)
        assert found is not None
        return found

    def column(self, asked: str, **params: Any) -> list[Any]:
        with self.stage.rig.house.database.begin(self.stage.merchant_id) as session:
            return list(session.scalars(text(asked), {"trip": self.trip_id} | params))

    def until(self, *states: str) -> None:
        asked = "SELECT state FROM booking WHERE trip_id = :trip ORDER BY created_at DESC LIMIT 1"
        wait_until(lambda: self.column(asked)[0] in states, lambda: f"{self.column(asked)} is not in {states}")

    def books(self) -> dict[str, Any]:
        """What provider, agency and ledger say about the latest booking, in cents. Reads everything there is."""
        booking = self.booking
        with self.stage.rig.house.database.begin(self.stage.merchant_id) as session:
            statement = payments.statement(session, booking.id)
        attempts = {to_wire("att", id) for id in self.column(_ATTEMPTS, id=booking.id)}
        orders = [
            to_wire("ord", id)
            for id in self.column("SELECT id FROM merchant_order WHERE reference = :id", id=booking.id)
        ]
        holds = [to_wire("hld", id) for id in self.column("SELECT id FROM hold WHERE reference = :id", id=booking.id)]
        ours = [
            row for row in everything(self.stage.rig, "payment_intents") if row["metadata"]["attempt_id"] in attempts
        ]
        back = [
            row for row in everything(self.stage.rig, "refunds") if row["payment_intent"] in {one["id"] for one in ours}
        ]
        taken = sum(row["amount_received"] for row in ours)
        with self.stage.rig.agency.store.read() as connection:
            sales = connection.execute("SELECT our_ref, total FROM sale WHERE state = 'confirmed'").fetchall()
        return {
            "provider": taken
            - sum(row["amount"] for row in back if row["metadata"] and row["status"] in ("succeeded", "pending")),
            "still authorized": [row["id"] for row in ours if row["status"] == "requires_capture"],
            "agency": sum(row["total"] for row in sales if row["our_ref"] in orders),
            "places kept": self.stage.rig.agency.states("hold", holds).count("live"),
            "ledger": statement.net.minor,
            "authorized in the ledger": statement.authorized.minor,
            "the ledger conserves": statement.is_conserved,
        }


def settled(cents: int) -> dict[str, Any]:
    """What `Crowd.books` says when everybody agrees on this amount."""
    return {
        "provider": cents,
        "still authorized": [],
        "agency": cents,
        "places kept": 0,
        "ledger": cents,
        "authorized in the ledger": 0,
        "the ledger conserves": True,
    }


def gather(stage: Stage, names: tuple[str, ...], title: str) -> Crowd:
    """Friends who have decided on a train of their own."""
    house = stage.rig.house
    offer = offers.import_offer(house.database, stage.merchant_id, next(stage.trains), house.adapter_of)
    desk = Caller(kind="merchant", merchant_id=stage.merchant_id, subject=stage.merchant_id)
    asked = StartTrip(title=title, organizer_name=names[0], options=[NewOption(offer_id=offer.id)])
    started = trips.start_trip(house.database, house.sealer, desk, asked)
    tokens = {names[0]: started.guest_token or ""}
    for name in names[1:]:
        tokens[name] = trips.join_by_invite(house.database, None, started.invite_token, name=name).guest_token or ""
    organizer = parties.caller_of(stage.rig, tokens[names[0]])
    with house.database.begin(stage.merchant_id) as session:
        (option,) = trips.options(session, started.trip_id)
    trips.decide(house.database, organizer, started.trip_id, option.id)
    return Crowd(stage, started.trip_id, tokens, offer, started.invite_token, organizer)


_ATTEMPTS = "SELECT attempt.id FROM attempt JOIN portion ON portion.id = portion_id WHERE reference = :id"


def everything(rig: Rig, kind: str) -> list[dict[str, Any]]:
    """All that the provider has of a kind, page by page."""
    rows: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = provider(rig, kind, limit="100", **more)
        rows += page["data"]
        if not page["has_more"]:
            return rows
        more = {"starting_after": rows[-1]["id"]}
