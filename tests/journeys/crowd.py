"""Friends who pay in real browsers, one each, with everything between them and their money in processes of its own.

The stage is a `rig`: web, worker, beat, payment sandbox, agency, and a database that only they use.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect
from sqlalchemy import text

from groupbook import bookings, merchants, offers, payments, trips
from groupbook.bookings import BookingView, Choices
from groupbook.kit.callers import Caller
from groupbook.kit.i18n import Words, words
from groupbook.kit.ids import MemberId, MerchantId, PortionId, TripId, to_wire
from groupbook.merchants.domain import Capabilities
from groupbook.offers.domain import Offer
from groupbook.trips import StartTrip
from groupbook.trips.service.plan import NewOption
from tests.support import parties
from tests.support import rig as rigs
from tests.support.rig import Rig

PHONE = ViewportSize(width=390, height=844)
DESK = ViewportSize(width=1280, height=900)
PATIENCE = 60_000
GOOD, CHALLENGED, DECLINED = "4242424242424242", "4000002500003155", "4000000000000002"
KEEPS = Capabilities(holds=True, hold_seconds_max=3600)
LATE = Capabilities(holds=False)  # then groups have days to pay, and cards wait
TRIO = ("Ana", "Bo", "Chloé")
PAY = re.compile(
    "^(Authorize|Autoriser|Keep my card for|Enregistrer ma carte|Try another card|Essayer une autre carte|"
    "Go on to the payment page)"
)


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

    def at_the_provider(self, asked: str, *params: object) -> list[Any]:
        """A column of the sandbox's books. Asked beside its interface, whose faults are for groupbook alone."""
        books = self.rig.state.parent / "sandbox" / "payments.sqlite3"
        with closing(sqlite3.connect(f"file:{books}?mode=ro", uri=True)) as connection:
            return [value for (value,) in connection.execute(asked, params)]

    def calls_to_come(self) -> int:
        """How many calls will still meet what is switched on."""
        found = self.at_the_provider("SELECT times FROM fault")
        with self.rig.agency.store.read() as connection:
            found += [row["times"] for row in connection.execute("SELECT times FROM provocation").fetchall()]
        return sum(found)

    @contextmanager
    def selling(self, capabilities: Capabilities) -> Iterator[None]:
        """What the agency can do meanwhile."""
        self._can(capabilities)
        try:
            yield
        finally:
            self._can(KEEPS)

    def _can(self, capabilities: Capabilities) -> None:
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
        return Friend(context, context.new_page(), self.rig.web_url, words(locale.partition("-")[0]))


@contextmanager
def running(state: Path, browser: Browser, shots: Path | None) -> Iterator[Stage]:
    with rigs.running(state, lost_answer_seconds=2.0, sweep_seconds=1.0) as rig:
        merchant_id = parties.open_shop(rig)
        yield Stage(rig, merchant_id, iter(parties.train_refs(rig)), browser, shots)


@dataclass
class Friend:
    """Somebody with a browser of their own."""

    context: BrowserContext
    page: Page
    web: str
    say: Words
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

    def said(self) -> str:
        """What the main part of the page says now."""
        return self.main.inner_text()

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


Trio = tuple[Friend, Friend, Friend]


@dataclass
class Crowd:
    """A decided trip and those in it; the first one organizes."""

    stage: Stage
    trip_id: TripId
    tokens: Mapping[str, str]
    members: Mapping[str, MemberId]
    offer: Offer
    invite: str
    organizer: Caller
    since: int  # what the provider wrote down later may be theirs

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

    def seats(self, friends: Sequence[Friend], names: Sequence[str] = TRIO) -> None:
        """These friends, in the order of names, look at the trip."""
        for name, friend in zip(names, friends, strict=True):
            friend.errors.clear()
            friend.sit(name, self.trip_id, self.tokens[name])

    @property
    def booking_id(self) -> UUID:
        (id,) = self.column("SELECT id FROM booking WHERE trip_id = :trip ORDER BY created_at DESC LIMIT 1")
        return UUID(str(id))

    @property
    def state(self) -> str:
        asked = "SELECT state FROM booking WHERE trip_id = :trip ORDER BY created_at DESC LIMIT 1"
        return str(next(iter(self.column(asked)), "none"))

    def opens(self, window_seconds: float | None = None) -> None:
        """The organizer asks everybody to pay, within this time."""
        house, choices = self.stage.rig.house, Choices(window_seconds=window_seconds)
        bookings.open_booking(house.database, self.organizer, self.trip_id, policy=house.policy, choices=choices)

    def cancel(self) -> None:
        """The organizer calls a booking off that stands."""
        bookings.cancel_booking(self.stage.rig.house.database, self.organizer, self.booking.id)

    def gives_back(self, name: str) -> None:
        """This friend does not travel after all, though it is booked."""
        seat = parties.caller_of(self.stage.rig, self.tokens[name])
        change = bookings.Change("cancel", self.members[name])
        bookings.amend_booking(self.stage.rig.house.database, seat, self.booking.id, change)

    def lies(self, name: str, said: str, say: Words) -> Iterator[str]:
        """What this payer's page claims and nobody else knows of. The page was read before the others are."""
        mine, everybody = self.payments_of(name), self.payments_of(*self.members)
        taken = {row["amount_received"] for row in mine}
        kept = {row["amount"] for row in mine if row.get("latest_charge")}
        back = {row["amount"] for row in self.refunds_of(mine)}
        known = {
            "%(paid)s was taken from your card.": taken,
            "Your bank keeps %(amount)s ready. It is taken only when everybody is in; otherwise it is released.": kept,
            "Your bank keeps %(most)s ready while the seats are being confirmed. It is taken only after that, or "
            "released.": kept,
            "%(amount)s goes back to your card. Banks show this within ten days.": back,
        }
        text = " ".join(said.split())
        for sentence, amounts in known.items():
            told = _MONEY.join(re.escape(part) for part in re.split(r"%\(\w+\)s", say(sentence)))
            for claimed in re.findall(told, text):
                if claimed not in {euro(amount, say.locale) for amount in amounts}:
                    yield f"{sentence} {claimed}"
        if say("Nobody was charged") in text and sum(row["amount_received"] for row in everybody):
            yield "Nobody was charged"

    def books(self) -> dict[str, Any]:
        """What provider, agency and ledger say about the latest booking, in cents. Reads everything there is."""
        id = self.booking.id
        with self.stage.rig.house.database.begin(self.stage.merchant_id) as session:
            statement = payments.statement(session, id) if payments.portions_of(session, id) else None
        orders = [
            to_wire("ord", one) for one in self.column("SELECT id FROM merchant_order WHERE reference = :id", id=id)
        ]
        holds = [to_wire("hld", one) for one in self.column("SELECT id FROM hold WHERE reference = :id", id=id)]
        asked = "SELECT attempt.id FROM attempt JOIN portion ON portion.id = portion_id WHERE reference = :id"
        ours = self._payments(self.column(asked, id=id))
        taken = sum(row["amount_received"] for row in ours)
        back = sum(row["amount"] for row in self.refunds_of(ours) if row["status"] != "failed")
        with self.stage.rig.agency.store.read() as connection:
            sales = connection.execute("SELECT our_ref, total FROM sale WHERE state = 'confirmed'").fetchall()
        return {
            "provider": taken - back,
            "still authorized": [row["id"] for row in ours if row["status"] == "requires_capture"],
            "agency": sum(row["total"] for row in sales if row["our_ref"] in orders),
            "places kept": self.stage.rig.agency.states("hold", holds).count("live"),
            "ledger": statement.net.minor if statement else 0,
            "authorized in the ledger": statement.authorized.minor if statement else 0,
            "the ledger conserves": statement is None or statement.is_conserved,
        }

    def asks_the_agency_now(self) -> None:
        """What came of an order, not only in a quarter of a minute."""
        look = (
            "UPDATE intent SET due_at = clock_timestamp() WHERE kind = 'offers.look_at_order' AND state = 'due' "
            "AND reference = :booking"
        )
        booking_id = self.booking_id
        with self.stage.rig.house.database.begin(self.stage.merchant_id) as session:
            session.execute(text(look), {"booking": booking_id})

    def unpaid(self, *names: str) -> list[PortionId]:
        """What these were asked for and have not authorized, and what fell short."""
        asked = (
            "SELECT portion.id FROM portion JOIN booking ON booking.id = reference WHERE trip_id = :trip "
            "AND payer = ANY(:payers) AND dropped_at IS NULL "
            "AND (portion.state IN ('open', 'declined') OR asked_again_at IS NOT NULL AND portion.state = 'short')"
        )
        return self.column(asked, payers=[self.members[name] for name in names])

    def payments_of(self, *names: str) -> list[dict[str, Any]]:
        """What the provider has of these payers in this trip."""
        payers = [self.members[name] for name in names]
        return self._payments(self.column("SELECT id FROM attempt WHERE payer = ANY(:payers)", payers=payers))

    def _payments(self, attempts: list[Any]) -> list[dict[str, Any]]:
        ids = {to_wire("att", id) for id in attempts}
        return [row for row in self._provider("payment_intent") if row["metadata"].get("attempt_id") in ids]

    def _provider(self, kind: str) -> list[dict[str, Any]]:
        asked = "SELECT body FROM object WHERE kind = ? AND seq > ? ORDER BY seq"
        return [json.loads(body) for body in self.stage.at_the_provider(asked, kind, self.since)]

    def refunds_of(self, paid: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ours, however they went; the provider's own, of an authorization that was let go, give nothing back."""
        ids = {row["id"] for row in paid}
        return [row for row in self._provider("refund") if row["payment_intent"] in ids and row["metadata"]]


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
    tokens, members = {names[0]: started.guest_token or ""}, {names[0]: started.member.id}
    for name in names[1:]:
        seat = trips.join_by_invite(house.database, None, started.invite_token, name=name)
        tokens[name], members[name] = seat.guest_token or "", seat.member.id
    organizer = parties.caller_of(stage.rig, tokens[names[0]])
    with house.database.begin(stage.merchant_id) as session:
        (option,) = trips.options(session, started.trip_id)
    trips.decide(house.database, organizer, started.trip_id, option.id)
    (since,) = stage.at_the_provider("SELECT coalesce(max(seq), 0) FROM object")
    return Crowd(stage, started.trip_id, tokens, members, offer, started.invite_token, organizer, since)


_MONEY = r"(€[\d,]+\.\d\d|\d[\d ]*,\d\d €)"
