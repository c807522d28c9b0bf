"""Cards: what Plaza's bot finds at a posted link. Loopback addresses only: this demo never calls out."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx2

USER_AGENT: Final = "PlazaPreviewBot/1.0 (+facebookexternalhit-like)"
_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_page_bytes_max: Final = 512_000
_picture_bytes_max: Final = 2_000_000
_redirects_max: Final = 3
_PICTURES: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")


@dataclass(frozen=True)
class Card:
    title: str
    text: str
    site: str
    alt: str
    picture: tuple[str, bytes] | None


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._in_title = tag == "title"
        name = values.get("property") or values.get("name")
        if tag == "meta" and name and values.get("content"):
            self.found.setdefault(name.lower(), (values["content"] or "").strip()[:500])

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.found.setdefault("title", data.strip()[:300])


def is_reachable(url: str) -> bool:
    """Whether the bot may go there."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and (parts.hostname or "") in _HOSTS and "@" not in parts.netloc
    except ValueError:
        return False


def read_card(url: str) -> Card | None:
    """The card of the page behind `url`, from its Open Graph tags; None when there is none to be had."""
    with httpx2.Client(
        timeout=4, follow_redirects=False, trust_env=False, headers={"User-Agent": USER_AGENT}
    ) as client:
        page = _get(client, url, _page_bytes_max)
        if page is None or "html" not in page[0]:
            return None
        tags = _Tags()
        tags.feed(page[1].decode("utf-8", "replace"))
        found = tags.found
        title = found.get("og:title") or found.get("title")
        if not title:
            return None
        picture = _get(client, urljoin(url, found["og:image"]), _picture_bytes_max) if "og:image" in found else None
        return Card(
            title=title,
            text=found.get("og:description") or found.get("description", ""),
            site=found.get("og:site_name") or urlsplit(url).netloc,
            alt=found.get("og:image:alt", ""),
            picture=picture if picture is not None and picture[0] in _PICTURES else None,
        )


def _get(client: httpx2.Client, url: str, bytes_max: int) -> tuple[str, bytes] | None:
    for _ in range(_redirects_max + 1):
        if not is_reachable(url):
            return None
        try:
            with client.stream("GET", url) as answer:
                if answer.is_redirect:
                    url = urljoin(url, answer.headers.get("location", ""))
                    continue
                if answer.status_code != 200:
                    return None
                body = bytearray()
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > bytes_max:
                        return None
                return answer.headers.get("content-type", "").split(";")[0].strip().lower(), bytes(body)
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return None
    return None
