"""Friends without a browser: the same pages over plain HTTP, for tests that are about something else than the pages."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

import httpx2

from tests.support.demo import RunningDemo

GOOD = "4242424242424242"


@dataclass
class Walker:
    """Somebody who follows links and posts forms."""

    demo: RunningDemo
    name: str
    client: httpx2.Client = field(init=False)
    trip_url: str = ""

    def __post_init__(self) -> None:
        headers = {"Origin": self.demo.web, "Accept-Language": "en"}
        self.client = httpx2.Client(headers=headers, follow_redirects=True, timeout=90.0, trust_env=False)

    def close(self) -> None:
        self.client.close()

    def get(self, url: str) -> str:
        answer = self.client.get(url)
        assert answer.status_code == 200, f"{url}: {answer.status_code} {answer.text[:400]}"
        return html.unescape(answer.text)

    def post(self, url: str, **fields: str | list[str]) -> httpx2.Response:
        answer = self.client.post(url, data=fields)
        assert answer.status_code == 200, f"{url}: {answer.status_code} {answer.text[:800]}"
        return answer

    def start(self, title: str) -> str:
        """A trip on the first train of the shop; answers the invitation link."""
        ref = _one(r'href="/offer/([^"]+)"', self.get(self.demo.shop))
        page = self.get(f"{self.demo.web}/start?merchant=kestrel&offer={ref}")
        offer = _one(r'name="offer" value="([^"]+)"', page)
        made = self.post(
            f"{self.demo.web}/start?merchant=kestrel&offer={ref}",
            offer=[offer],
            title=title,
            name=self.name,
            rule="organizer",
            visit="",
        )
        self.trip_url = str(made.url)
        return _one(r'id="invite-link"[^>]*value="([^"]+)"', self.page())

    def join(self, link: str) -> None:
        self.trip_url = str(self.post(link, name=self.name, visit="").url)

    def page(self) -> str:
        return self.get(self.trip_url)

    def decide_and_book(self) -> None:
        self.post(f"{self.trip_url}/decide", option=_one(r'name="option" value="([^"]+)"', self.page()))
        self.post(f"{self.trip_url}/book")

    def pay(self, card: str = GOOD) -> None:
        """Through the hosted page and back."""
        portion = _one(r'name="portion" value="([^"]+)"', self.page())
        hosted = self.post(f"{self.trip_url}/pay", portion=portion)
        assert str(hosted.url).startswith(self.demo.payments), hosted.url
        action = _one(r'action="(/c/pay/[^"]+)"', hosted.text)
        origin = {"Origin": self.demo.payments}
        self.client.post(
            self.demo.payments + action, data={"number": card, "expiry": "12/39", "cvc": "123"}, headers=origin
        )


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, f"no {pattern} in {text[:2000]}"
    return found[1]
