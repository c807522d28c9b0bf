"""One way for every page to be asked and to answer: who asks, what they sent, where they go next, what went wrong.

A page is a plain function `(ask: Ask) -> Response`, run in the thread pool. A change answers with `ask.go(path)`: a
redirect for a browser, a header for a frame (which keeps its bearer in memory and has no cookie).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from groupbook import merchants, people
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError, InvariantBroken, TooLarge
from groupbook.kit.http import STATUS
from groupbook.kit.i18n import Words
from groupbook.kit.ids import GuestId, MerchantId, PersonId, TripId
from groupbook.merchants import Merchant
from groupbook.web import cookies, phrases, sessions
from groupbook.web.deps import WebDeps
from groupbook.web.headers import NO_GUESTS, Guests
from groupbook.web.render import Viewer, render, words_of

log = structlog.get_logger(__name__)
form_bytes_max = 64_000
E = TypeVar("E", bound=StrEnum)


@dataclass
class Ask:
    """One request of a page."""

    request: Request
    deps: WebDeps
    form: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def say(self) -> Words:
        return words_of(self.request)

    @property
    def is_framed(self) -> bool:
        return self.request.headers.get("gb-framed") == "1"

    @property
    def is_fetched(self) -> bool:
        return self.request.headers.get("gb-fetch") == "1"

    def one(self, name: str) -> str:
        """A field of the form, or of the address; empty when it is missing."""
        values = self.form.get(name) or [self.request.query_params.get(name, "")]
        return values[-1].replace("\x00", "").strip()

    def many(self, name: str) -> list[str]:
        return [value for value in self.form.get(name, []) or self.request.query_params.getlist(name) if value]

    def word(self, name: str, kind: type[E]) -> E | None:
        """A field that is one of our words; None for anything else."""
        text = self.one(name)
        return next((member for member in kind if member.value == text), None)

    def number(self, name: str, *, default: int | None = None) -> int | None:
        text = self.one(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default

    def caller(self, trip_id: TripId | None = None) -> Caller | None:
        return sessions.caller_of(self.request, self.deps.database, self.deps.public_origin, trip_id)

    def require_own_page(self) -> None:
        """For changes by nobody in particular: only our own pages may ask. Raises ForeignOrigin."""
        sessions.require_own_origin(self.request, self.deps.public_origin)

    def merchant(self, merchant_id: MerchantId) -> Merchant:
        with self.deps.database.begin(merchant_id) as session:
            return merchants.read_merchant(session)

    def viewer(self, caller: Caller | None) -> Viewer | None:
        """The name at the top of the page."""
        if caller is None or caller.subject is None or not caller.is_traveler:
            return None
        with self.deps.database.begin(caller.merchant_id) as session:
            if caller.kind == "guest":
                return Viewer(people.read_guest(session, GuestId(caller.subject)).name, is_guest=True)
            return Viewer(people.read_person(session, PersonId(caller.subject)).display_name)

    def show(
        self,
        template: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        merchant: object | None = None,
        viewer: Viewer | None = None,
        guests: Guests = NO_GUESTS,
    ) -> Response:
        return render(
            self.request,
            template,
            context,
            status=status,
            merchant=merchant,
            viewer=viewer,
            form_targets=self.deps.form_targets,
            guests=guests,
        )

    def go(self, path: str, *, seat: tuple[TripId, str | None] | None = None) -> Response:
        """On to one of our pages; `seat` is a new guest's token, which this browser or frame keeps."""
        if self.is_framed and seat is not None:
            # A redirect is followed by `fetch` itself, so its headers would never be seen.
            headers = {"GB-Go": path, "Cache-Control": "no-store"}
            if seat[1]:
                headers["GB-Bearer"] = seat[1]
            return Response(status_code=204, headers=headers)
        response = RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})
        if seat is not None and seat[1]:
            cookies.set_seat(response, seat[0], seat[1], secure=self.deps.is_secure)
        return response

    def open(self, url: str) -> Response:
        """On to somebody else's page, at top level."""
        if self.is_fetched:
            return Response(status_code=204, headers={"GB-Open": url, "Cache-Control": "no-store"})
        return RedirectResponse(url, 303, headers={"Cache-Control": "no-store"})

    def networks(self, merchant: Merchant, return_to: str) -> list[dict[str, str]]:
        """Where one may log in, and back to this page afterwards."""
        query = urlencode({"merchant": merchant.slug, "return_to": return_to})
        return [
            {"name": name, "title": network.title, "login_url": f"/login/{name}?{query}"}
            for name, network in self.deps.networks.items()
            if network.login is not None
        ]


Page = Callable[[Ask], Response]


def page(function: Page, deps: WebDeps) -> Callable[[Request], Awaitable[Response]]:
    """A Starlette endpoint. What goes wrong becomes a friendly page with the right status."""

    async def endpoint(request: Request) -> Response:
        ask = Ask(request, deps)
        try:
            if request.method == "POST":
                ask.form = await _form(request)
            return await run_in_threadpool(function, ask)
        except GroupbookError as error:
            return await run_in_threadpool(trouble_page, ask, error)

    return endpoint


async def _form(request: Request) -> dict[str, list[str]]:
    if int(request.headers.get("content-length") or 0) > form_bytes_max:
        raise TooLarge()
    fields: dict[str, list[str]] = {}
    async with request.form(max_files=0, max_fields=200, max_part_size=form_bytes_max) as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                fields.setdefault(name, []).append(value)
    return fields


def trouble_page(ask: Ask, error: GroupbookError) -> Response:
    """The page for an error that leaves nothing else to show."""
    if isinstance(error, InvariantBroken):
        log.error("invariant_broken", params={name: str(value) for name, value in error.params.items()})
    shown = phrases.trouble(error, ask.say)
    merchant = _home(ask)
    here = "/" + quote(ask.request.scope["path"].lstrip("/"))  # `//host` would lead away from us
    actions: list[tuple[str, str]] = []
    if shown.way_out == "login" and merchant is not None:
        actions = [
            (ask.say("Log in with %(network)s", network=way["title"]), way["login_url"])
            for way in ask.networks(merchant, here)
        ]
    elif shown.way_out == "again":
        actions = [(ask.say("Try again"), here)]
    if shown.way_out in ("start", "login") and merchant is not None:
        actions.append((ask.say("Plan your own trip"), f"/start?merchant={merchant.slug}"))
    elif shown.way_out == "home":
        actions.append((ask.say("To the start"), "/"))
    message = {"sign": shown.sign, "title": shown.title, "text": shown.text, "actions": actions}
    return ask.show("message.html", {"message": message}, status=STATUS[error.kind], merchant=merchant)


def _home(ask: Ask) -> Merchant | None:
    slug = ask.one("merchant") or ask.deps.home_merchant
    try:
        return merchants.merchant_by_slug(ask.deps.database, slug)
    except GroupbookError:  # an error page must not fail for want of a name at its top
        return None
