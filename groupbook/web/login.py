"""Logging in, in pages of our own: the choice of a network, its callback, and the window of the hand-off.

The window is opened by the widget's frame (social-and-referral.md B.3). It is first-party, so it works where cookies
and storage are blocked in frames. Its last page posts `{gb: 1, type: "handoff", handoff: "hnd_…", code: "…"}` to the
opener, to our own origin only; the frame redeems the code with the verifier it kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import merchants, people
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import Forbidden, GroupbookError, Unavailable
from groupbook.kit.ids import HandoffId, PersonId, from_wire, to_wire
from groupbook.merchants import Merchant
from groupbook.people import Adopt, Handoff, Lifetimes, LoginRefused, Person, SocialNetwork
from groupbook.people.domain import (
    LIFETIMES,
    HandoffExpired,
    HandoffNotFound,
    HandoffNotOpen,
    LoginExpired,
    LoginMismatch,
    NetworkNotFound,
)
from groupbook.web import cookies
from groupbook.web.render import initials, render, tint, words_of

# The window must stay connected to the frame that opened it; our other pages cut that tie (headers.py).
_KEEP_OPENER: Final = {"Cross-Origin-Opener-Policy": "unsafe-none"}


@dataclass(frozen=True)
class LoginDeps:
    """`adopt` moves a guest's seat to the person in every room that knows it (main.py composes it)."""

    database: Database
    networks: Mapping[str, SocialNetwork]
    public_url: str
    adopt: Adopt = people.adopt_guest
    lifetimes: Lifetimes = LIFETIMES
    timeout_seconds: float = 20.0

    @property
    def is_secure(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def origin(self) -> str:
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True)
class Who:
    """The person on the consent page."""

    name: str
    initials: str
    tint: int


class Pages:
    """The login pages, with what they need."""

    def __init__(self, deps: LoginDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [
            Route("/login", self.choose, methods=["GET"]),
            Route("/login/handoff", self.ask, methods=["GET"]),
            Route("/login/handoff", self.answer, methods=["POST"]),
            Route("/login/{network}", self.begin, methods=["GET"]),
            Route("/login/{network}/callback", self.finish, methods=["GET"]),
            Route("/logout", self.log_out, methods=["POST"]),
        ]

    # --- choosing a network and coming back ---------------------------------------------------------------------

    async def choose(self, request: Request) -> Response:
        """`/login?merchant=<slug>&return_to=/…`, or `?h=hnd_…` on the way of a hand-off."""
        try:
            handoff, merchant = await run_in_threadpool(self._where, request)
        except GroupbookError as error:
            return self._trouble(request, error)
        query = self._query(request, handoff, merchant)
        ways = [
            (network.title, f"/login/{name}?{query}")
            for name, network in self._deps.networks.items()
            if network.login is not None
        ]
        context = {
            "networks": ways,
            "origin": handoff.embed_origin if handoff else "",
            "return_to": people.safe_return(request.query_params.get("return_to")),
        }
        return render(request, "login/choose.html", context, merchant=merchant, headers=_KEEP_OPENER)

    async def begin(self, request: Request) -> Response:
        """Send the browser to the network, with the proof of who asked in a cookie."""
        network = self._deps.networks.get(request.path_params["network"])
        try:
            if network is None:
                raise NetworkNotFound()
            handoff, merchant = await run_in_threadpool(self._where, request)
            start = await run_in_threadpool(
                people.begin_login,
                self._deps.database,
                network,
                merchant_id=merchant.id,
                redirect_uri=f"{self._deps.public_url}/login/{network.name}/callback",
                return_to=request.query_params.get("return_to"),
                handoff_id=handoff.id if handoff else None,
                browser_secret=request.cookies.get(cookies.LOGIN),
                timeout_seconds=self._deps.timeout_seconds,
            )
        except GroupbookError as error:
            return self._trouble(request, error)
        response = RedirectResponse(start.url, 303, headers={"Cache-Control": "no-store"})
        cookies.set_login(response, start.browser_secret, secure=self._deps.is_secure)
        return response

    async def finish(self, request: Request) -> Response:
        """Back from the network: a fresh session, the guest's seats taken over, on to where the person was going."""
        network = self._deps.networks.get(request.path_params["network"])
        try:
            if network is None:
                raise NetworkNotFound()
            login = await run_in_threadpool(self._finish, request, network)
        except GroupbookError as error:
            return self._trouble(request, error)
        target = f"/login/handoff?h={to_wire('hnd', login.handoff_id)}" if login.handoff_id else login.return_to
        response = RedirectResponse(target, 303, headers={"Cache-Control": "no-store"})
        cookies.set_session(
            response,
            login.session.token,
            seconds=int(self._deps.lifetimes.cookie_seconds),
            secure=self._deps.is_secure,
        )
        cookies.clear_seats(request, response)
        return response

    def _finish(self, request: Request, network: SocialNetwork) -> people.LoggedIn:
        params = dict(request.query_params.multi_items())
        return people.finish_login(
            self._deps.database,
            network,
            params,
            browser_secret=request.cookies.get(cookies.LOGIN),
            current=self._caller(request),
            guest_tokens=cookies.seat_tokens(request),
            adopt=self._deps.adopt,
            lifetimes=self._deps.lifetimes,
            timeout_seconds=self._deps.timeout_seconds,
        )

    async def log_out(self, request: Request) -> Response:
        if request.headers.get("origin") != self._deps.origin:
            return self._trouble(request, Forbidden())
        caller = await run_in_threadpool(self._caller, request)
        if caller is not None:
            await run_in_threadpool(people.end_session, self._deps.database, caller)
        response = RedirectResponse(people.safe_return(request.query_params.get("return_to")), 303)
        cookies.clear_session(response)
        return response

    # --- the hand-off -------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """ "Continue as Ana on 127.0.0.1:8001?" - or first the login, when nobody is logged in at that merchant."""
        try:
            handoff, merchant = await run_in_threadpool(self._where, request, True)
            if handoff is None:
                raise HandoffNotFound()
            if handoff.state != "open":
                raise HandoffNotOpen(state=handoff.state)
            person = await run_in_threadpool(self._person_at, request, merchant)
        except GroupbookError as error:
            return self._trouble(request, error)
        handoff_id = to_wire("hnd", handoff.id)
        if person is None:
            way = self._way(request.query_params.get("network", ""))
            return RedirectResponse(f"{way}?h={handoff_id}", 303, headers={"Cache-Control": "no-store"})
        context = {
            "who": Who(person.display_name, initials(person.display_name), tint(person.id)),
            "origin": handoff.embed_origin,
            "site": urlsplit(handoff.embed_origin).netloc,
            "handoff_id": handoff_id,
            "other_url": f"/login?h={handoff_id}",
        }
        return render(request, "login/consent.html", context, merchant=merchant, headers=_KEEP_OPENER)

    async def answer(self, request: Request) -> Response:
        """The person's yes or no. Only our own page may send it."""
        try:
            if request.headers.get("origin") != self._deps.origin:
                raise Forbidden()
            form = await request.form(max_files=0, max_fields=8)
            handoff_id = HandoffId(from_wire("hnd", str(form.get("h", ""))))
            caller = await run_in_threadpool(self._caller, request)
            if form.get("answer") != "yes" or caller is None:
                await run_in_threadpool(people.deny_handoff, self._deps.database, handoff_id)
                return self._stopped(request)
            code = await run_in_threadpool(people.approve_handoff, self._deps.database, caller, handoff_id)
        except GroupbookError as error:
            return self._trouble(request, error)
        context = {"handoff_id": to_wire("hnd", handoff_id), "code": code.code, "match_code": code.match_code}
        return render(request, "login/handed.html", context, headers=_KEEP_OPENER)

    # --- who and where ------------------------------------------------------------------------------------------

    def _where(self, request: Request, needs_handoff: bool = False) -> tuple[Handoff | None, Merchant]:
        wanted = request.query_params.get("h")
        if wanted or needs_handoff:
            handoff = people.read_handoff(self._deps.database, HandoffId(from_wire("hnd", wanted or "")))
            with self._deps.database.begin(handoff.merchant_id) as session:
                return handoff, merchants.read_merchant(session)
        return None, merchants.merchant_by_slug(self._deps.database, request.query_params.get("merchant", ""))

    def _caller(self, request: Request) -> Caller | None:
        token = cookies.session_token(request)
        return people.authenticate(self._deps.database, token) if token else None

    def _person_at(self, request: Request, merchant: Merchant) -> Person | None:
        caller = self._caller(request)
        if caller is None or caller.kind != "person" or caller.merchant_id != merchant.id or caller.subject is None:
            return None
        with self._deps.database.begin(merchant.id) as session:
            return people.read_person(session, PersonId(caller.subject))

    def _way(self, wanted: str) -> str:
        """Straight to the network that was clicked, or to the only one there is; else to the choice."""
        ways = [name for name, network in self._deps.networks.items() if network.login is not None]
        chosen = wanted if wanted in ways else ways[0] if len(ways) == 1 else None
        return f"/login/{chosen}" if chosen else "/login"

    @staticmethod
    def _query(request: Request, handoff: Handoff | None, merchant: Merchant) -> str:
        if handoff is not None:
            return urlencode({"h": to_wire("hnd", handoff.id)})
        return_to = people.safe_return(request.query_params.get("return_to"))
        return urlencode({"merchant": merchant.slug, "return_to": return_to})

    # --- when it does not work ----------------------------------------------------------------------------------

    def _trouble(self, request: Request, error: GroupbookError) -> Response:
        say = words_of(request)
        texts: Sequence[tuple[tuple[type[GroupbookError], ...], str, str, int]] = (
            (
                (HandoffExpired, HandoffNotOpen, HandoffNotFound, LoginExpired),
                say("This login is no longer open"),
                say("It was used already or took too long. Go back to the page you came from and start again."),
                410,
            ),
            (
                (LoginMismatch, Forbidden),
                say("This login began somewhere else"),
                say("For your safety it can only be finished in the browser that began it. Start again here."),
                403,
            ),
            (
                (Unavailable,),
                say("The network does not answer"),
                say("Nothing was shared. Try again in a moment."),
                503,
            ),
            (
                (LoginRefused,),
                say("You are not logged in"),
                say("The network did not confirm who you are, or you stopped there. Nothing was shared."),
                403,
            ),
        )
        for kinds, title, text, status in texts:
            if isinstance(error, kinds):
                return self._page(request, "warn", title, text, status)
        title, text = say("Nothing here"), say("This address leads nowhere. Ask your friend for a fresh link.")
        return self._page(request, "warn", title, text, 404)

    def _stopped(self, request: Request) -> Response:
        say = words_of(request)
        text = say("Nothing was shared. You can close this window.")
        return self._page(request, "no", say("You stopped here"), text, 200)

    def _page(self, request: Request, sign: str, title: str, text: str, status: int) -> Response:
        message = {"sign": sign, "title": title, "text": text, "actions": []}
        return render(request, "message.html", {"message": message}, status=status, headers=_KEEP_OPENER)


def routes(deps: LoginDeps) -> list[Route]:
    """The login pages. Mount them at the root of the public site."""
    return Pages(deps).routes()
