"""Friends without a browser: they ask the web what a browser would, fill in the hosted page's form, and read the pages.

Many of them cost what one browser costs; what a script does to a page they do not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from uuid import uuid4

from groupbook import bookings
from groupbook.bookings import BookingView
from groupbook.kit.callers import Caller
from groupbook.kit.i18n import Words, words
from groupbook.kit.ids import PortionId, to_wire
from groupbook.kit.money import Money
from tests.journeys.crowd import DECLINED, GOOD, Crowd
from tests.support import parties
from tests.support import rig as rigs

_UNSEEN = frozenset({"script", "style", "template"})


@dataclass
class Afar:
    """One of them. `cards` are tried in turn on each page, until the last one is good."""

    crowd: Crowd
    name: str
    cards: tuple[str, ...] = (GOOD,)

    @property
    def say(self) -> Words:
        return words("en")

    def said(self) -> str:
        """What the main part of the trip's page says to them now."""
        answer = rigs.client().get(f"{self._web}/t/{to_wire('trip', self.crowd.trip_id)}", headers=self._seat)
        reader = _Main()
        reader.feed(answer.raise_for_status().text)
        return " ".join(" ".join(reader.heard).split())

    def pays(self, *, comes_back: bool = True) -> None:
        """All that they are asked for, each on a page of its own; and back, or they close the window there."""
        for portion_id in self.crowd.unpaid(self.name):
            url = self._page(portion_id)
            for card in self.cards:
                form = {"number": card, "expiry": "12/39", "cvc": "123"}
                onwards = rigs.client().post(url, data=form).headers["location"]
            assert onwards.startswith(self._web), onwards
            if comes_back:
                assert rigs.client().get(onwards, headers=self._seat).status_code == 303

    def _page(self, portion_id: PortionId) -> str:
        """The hosted page's address, as a click in the page would lead there."""
        answer = rigs.client().post(
            f"{self._web}/v1/portions/{to_wire('por', portion_id)}/payments",
            json={"locale": "en"},
            headers={"Authorization": f"Bearer {self.crowd.tokens[self.name]}", "Idempotency-Key": uuid4().hex},
        )
        return str(answer.raise_for_status().json()["url"])

    @property
    def _web(self) -> str:
        return self.crowd.stage.rig.web_url

    @property
    def _seat(self) -> Mapping[str, str]:
        seat = f"gb_seat_{self.crowd.trip_id.hex}={self.crowd.tokens[self.name]}"
        return {"Cookie": seat, "Accept": "text/html", "Accept-Language": "en"}


class _Main(HTMLParser):
    """The words of a page's main part."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self._depth, self._unseen = 0, 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._depth += tag == "main"
        self._unseen += tag in _UNSEEN

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "main"
        self._unseen -= tag in _UNSEEN

    def handle_data(self, data: str) -> None:
        if self._depth and not self._unseen:
            self.heard.append(data)


# --- eight who pay for nine -------------------------------------------------------------------------------------------

NINE = ("Ana", "Bo", "Chloé", "Dee", "Eli", "Fay", "Gus", "Hal", "Ivy")
IN_BROWSERS = ("Bo", "Chloé")
_CARDS = {"Hal": (DECLINED, GOOD)}


def those_afar(crowd: Crowd) -> dict[str, Afar]:
    """Whoever of the nine has no browser."""
    return {name: Afar(crowd, name, _CARDS.get(name, (GOOD,))) for name in NINE if name not in IN_BROWSERS}


def agree(crowd: Crowd) -> dict[str, list[int]]:
    """Ana gives to everybody, Fay and Gus share by parts, Ivy pays a part for Hal, Eli pays for Dee; Bo and Chloé owe
    their own part. Returns what each will have paid, in cents, portion by portion.
    """
    database, booking = crowd.stage.rig.house.database, crowd.booking
    at = {name: parties.caller_of(crowd.stage.rig, crowd.tokens[name]) for name in crowd.tokens}
    bookings.give(database, at["Ana"], booking.id, eur(100 * len(NINE)))
    parts = {crowd.members["Fay"]: 2, crowd.members["Gus"]: 1}
    split = bookings.propose_split(database, at["Fay"], booking.id, parts)
    fays, guss = halves(crowd.fare)
    for name, amount in (("Gus", guss), ("Fay", fays)):
        bookings.answer_split(database, at[name], split, yes=True, amount=eur(amount))
    _ask(crowd, at["Hal"], booking, "Hal", "Ivy")
    bookings.give(database, at["Ivy"], booking.id, eur(500), to=crowd.members["Hal"])
    bookings.take_over(database, at["Eli"], _ask(crowd, at["Dee"], booking, "Dee", "Eli"))
    part = crowd.fare - 100
    return {
        "Ana": [100 * len(NINE), part],
        "Bo": [part],
        "Chloé": [part],
        "Dee": [],
        "Eli": [part, part],
        "Fay": [fays - 100],
        "Gus": [guss - 100],
        "Hal": [part - 500],
        "Ivy": [500, part],
    }


def halves(fare: int) -> tuple[int, int]:
    """Two fares by two parts and one. A cent left over goes to the larger remainder."""
    return (4 * fare + 1) // 3, (2 * fare + 1) // 3


def _ask(crowd: Crowd, caller: Caller, booking: BookingView, name: str, of: str) -> PortionId:
    (portion_id,) = (
        line.portion_id for line in booking.portions if line.traveler == crowd.members[name] and line.portion_id
    )
    bookings.ask_to_pay(crowd.stage.rig.house.database, caller, portion_id, crowd.members[of])
    return portion_id


def eur(cents: int) -> Money:
    return Money(cents, "EUR")
