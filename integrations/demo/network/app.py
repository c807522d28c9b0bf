"""Plaza's pages and addresses. One Starlette app; `python -m integrations.demo.network` serves it."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from integrations.demo.network import preview, provider
from integrations.demo.network.cast import BY_HANDLE, BY_ID, PEOPLE, Person, picture
from integrations.demo.network.provider import AskRefused, CannotRedirect, Client, Provider, sign_launch
from integrations.demo.network.store import Post, Store, now_seconds

HERE: Final = Path(__file__).parent
COOKIE: Final = "plaza_person"
# The links of groupbook that its mini-app can open: a trip, an invitation, a share.
_START: Final = re.compile(r"/[tis]/([A-Za-z0-9_-]{1,64})")
_text_characters_max: Final = 1_000
_url_characters_max: Final = 2_000


@dataclass(frozen=True)
class Settings:
    """`public_url` is Plaza's own origin, `groupbook_url` the app it knows."""

    public_url: str
    folder: Path
    groupbook_url: str
    client_id: str
    client_secret: str
    launch_secret: str
    bot_token: str
    merchant_slug: str
    merchant_name: str = "Kestrel Rail"

    @property
    def callback(self) -> str:
        return f"{self.groupbook_url}/login/demo/callback"


class Headers:
    """Our pages frame only the app we know, and nobody frames us."""

    def __init__(self, app: ASGIApp, groupbook_origin: str) -> None:
        self._app = app
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            f"frame-src {groupbook_origin}; form-action 'self' {groupbook_origin}; base-uri 'none'; "
            "frame-ancestors 'none'"
        )
        self._added = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"strict-origin-when-cross-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._added]
            await send(message)

        await self._app(scope, receive, with_headers)


class Plaza:
    """The site, with its memory and its provider."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(settings.folder)
        client = Client(
            settings.client_id,
            settings.client_secret,
            f"{settings.merchant_name} trips",
            frozenset({settings.callback}),
        )
        self._provider = Provider(issuer=settings.public_url, client=client, store=self._store, folder=settings.folder)
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._templates.filters["ago"] = _ago
        self._templates.filters["host"] = lambda url: urlsplit(url).netloc
        self._templates.filters["start"] = self._start_of

    def app(self) -> Starlette:
        parts = urlsplit(self._settings.groupbook_url)
        routes = [
            Route("/", self.feed),
            Route("/health", self.health),
            Route("/switch", self.switch, methods=["POST"]),
            Route("/posts", self.post, methods=["POST"]),
            Route("/share", self.compose),
            Route("/messages", self.messages),
            Route("/api/messages", self.receive_message, methods=["POST"]),
            Route("/apps/groupbook", self.mini_app),
            Route("/pictures/{handle}.svg", self.portrait),
            Route("/cards/{post_id}", self.card_picture),
            Route("/.well-known/openid-configuration", self.discovery),
            Route("/oauth/jwks.json", self.jwks),
            Route("/oauth/authorize", self.authorize),
            Route("/oauth/authorize", self.answer, methods=["POST"]),
            Route("/oauth/token", self._provider.token, methods=["POST"]),
            Route("/oauth/userinfo", self._provider.userinfo),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]
        middleware = [Middleware(Headers, groupbook_origin=f"{parts.scheme}://{parts.netloc}")]
        return Starlette(routes=routes, middleware=middleware, exception_handlers={404: self.nothing})

    # --- the site ---------------------------------------------------------------------------------------------------

    async def feed(self, request: Request) -> Response:
        return self._page(request, "feed.html", posts=self._posts(), posted=request.query_params.get("posted", ""))

    async def switch(self, request: Request) -> Response:
        """Become somebody else: one tap."""
        form = await request.form(max_files=0)
        person = BY_HANDLE.get(str(form.get("person", "")))
        if person is None or not self._is_ours(request):
            return self._page(request, "nothing.html", status=400)
        response = RedirectResponse(_path(str(form.get("next", "/"))), 303)
        response.set_cookie(COOKIE, person.handle, max_age=90 * 86_400, httponly=True, samesite="lax")
        return response

    async def compose(self, request: Request) -> Response:
        """The share intent: `/share?url=…&text=…`."""
        url = request.query_params.get("url", "")[:_url_characters_max]
        card = await run_in_threadpool(preview.read_card, url) if preview.is_reachable(url) else None
        text = request.query_params.get("text", "")[:_text_characters_max]
        return self._page(request, "compose.html", url=url, text=text, card=card)

    async def post(self, request: Request) -> Response:
        form = await request.form(max_files=0)
        person = self._person(request)
        text = str(form.get("text", "")).strip()[:_text_characters_max]
        url = str(form.get("url", "")).strip()[:_url_characters_max] or _first_link(text)
        if person is None or not self._is_ours(request) or not (text or url):
            return self._page(request, "nothing.html", status=400)
        if url is not None and not url.startswith(("http://", "https://")):
            return self._page(request, "nothing.html", status=400)
        card = await run_in_threadpool(preview.read_card, url) if url and preview.is_reachable(url) else None
        shown = {k: v for k, v in asdict(card).items() if k != "picture"} if card else None
        if shown is not None and card is not None:
            shown["has_picture"] = card.picture is not None
        post_id = self._store.add_post(person.id, text, url, shown, card.picture if card else None)
        return RedirectResponse(f"/?posted={post_id}#post-{post_id}", 303)

    async def messages(self, request: Request) -> Response:
        person = self._person(request)
        if person is None:
            return self._page(request, "pick.html", why="Whose messages?", next="/messages")
        response = self._page(request, "messages.html", inbox=self._store.messages(person.id))
        self._store.mark_read(person.id)
        return response

    async def receive_message(self, request: Request) -> Response:
        """Bots write here: `{"to": subject, "text": …, "url": …}`, bearer token, optional Idempotency-Key."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), self._settings.bot_token.encode()):
            return JSONResponse({"error": "unauthorized"}, 401, headers={"WWW-Authenticate": "Bearer"})
        try:
            body = await request.json()
        except ValueError:
            return JSONResponse({"error": "not_json"}, 400)
        to, text, url = (body.get(name) for name in ("to", "text", "url")) if isinstance(body, dict) else (None,) * 3
        if not isinstance(to, str) or to not in BY_ID:
            return JSONResponse({"error": "unknown_person"}, 404)
        if not isinstance(text, str) or not 0 < len(text) <= _text_characters_max:
            return JSONResponse({"error": "invalid_text"}, 422)
        if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
            return JSONResponse({"error": "invalid_url"}, 422)
        key = request.headers.get("idempotency-key")
        sender = f"{self._settings.merchant_name} trips"
        id, is_new = self._store.add_message(to, sender, text, url, key)
        return JSONResponse({"id": id}, 201 if is_new else 200)

    async def mini_app(self, request: Request) -> Response:
        """groupbook inside Plaza: a frame, opened with a payload we sign for this person, now."""
        person = self._person(request)
        start = request.query_params.get("start", "")[:512]
        if person is None:
            back = f"/apps/groupbook?{urlencode({'start': start})}" if start else "/apps/groupbook"
            return self._page(request, "pick.html", why="Who opens the app?", next=back)
        launch = {
            "alg": "HMAC-SHA256",
            "app_id": self._settings.client_id,
            "auth_date": str(now_seconds()),
            "launch": secrets.token_hex(12),
            "locale": person.locale,
            "merchant": self._settings.merchant_slug,
            "name": person.name,
            "picture": f"{self._settings.public_url}/pictures/{person.handle}.svg",
            "sub": person.id,
        }
        if start:
            launch["start"] = start
        query = sign_launch(launch, self._settings.launch_secret)
        source = f"{self._settings.groupbook_url}/n/demo/launch?{query}"
        response = self._page(request, "app.html", source=source)
        response.headers["Cache-Control"] = "no-store"
        return response

    async def portrait(self, request: Request) -> Response:
        person = BY_HANDLE.get(request.path_params["handle"])
        if person is None:
            return self._page(request, "nothing.html", status=404)
        headers = {"Cache-Control": "public, max-age=86400", "Access-Control-Allow-Origin": "*"}
        return Response(picture(person), media_type="image/svg+xml", headers=headers)

    async def card_picture(self, request: Request) -> Response:
        found = self._store.picture(request.path_params["post_id"])
        if found is None:
            return self._page(request, "nothing.html", status=404)
        return Response(found[1], media_type=found[0], headers={"Cache-Control": "public, max-age=86400"})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def nothing(self, request: Request, error: Exception) -> Response:
        return self._page(request, "nothing.html", status=404)

    # --- logging in to others with Plaza ------------------------------------------------------------------------------

    async def discovery(self, request: Request) -> Response:
        return JSONResponse(self._provider.discovery())

    async def jwks(self, request: Request) -> Response:
        return JSONResponse(self._provider.jwks())

    async def authorize(self, request: Request) -> Response:
        """Who are you, and may the app know? Both on one page."""
        pairs = request.query_params.multi_items()
        try:
            params = self._provider.read_ask(pairs)
        except CannotRedirect as error:
            return self._page(request, "refused.html", status=400, why=str(error))
        except AskRefused as error:
            target = self._provider.answer_url(dict(pairs), error=error.error, error_description=error.description)
            return RedirectResponse(target, 303)
        if params.get("prompt") == "none":
            return RedirectResponse(self._provider.answer_url(params, error="login_required"), 303)
        ask = self._store.add_ask(params, provider.ask_seconds)
        chosen = self._person(request)
        here = f"/oauth/authorize?{urlencode(params)}"
        wants_email = "email" in params["scope"].split()
        client = self._provider.client.name
        response = self._page(
            request, "authorize.html", ask=ask, chosen=chosen, client=client, here=here, wants_email=wants_email
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    async def answer(self, request: Request) -> Response:
        form = await request.form(max_files=0)
        ask = str(form.get("ask", ""))
        params, person = self._store.ask(ask), BY_HANDLE.get(str(form.get("person", "")))
        if params is None or not self._is_ours(request) or not self._store.end_ask(ask):
            return self._page(request, "refused.html", status=400, why="This question is no longer open. Start again.")
        if form.get("answer") != "yes" or person is None:
            return RedirectResponse(self._provider.answer_url(params, error="access_denied"), 303)
        self._store.allow(person.id)
        response = RedirectResponse(self._provider.approve(params, person), 303)
        response.set_cookie(COOKIE, person.handle, max_age=90 * 86_400, httponly=True, samesite="lax")
        response.headers["Cache-Control"] = "no-store"
        return response

    # --- small things -------------------------------------------------------------------------------------------------

    def _person(self, request: Request) -> Person | None:
        return BY_HANDLE.get(request.cookies.get(COOKIE, ""))

    def _is_ours(self, request: Request) -> bool:
        return request.headers.get("origin") == self._settings.public_url

    def _start_of(self, url: str | None) -> str:
        """The start parameter by which the app frame opens this link of groupbook; empty for any other link."""
        origin = self._settings.groupbook_url
        found = _START.fullmatch(url[len(origin) :]) if url and url.startswith(f"{origin}/") else None
        return found[1] if found else ""

    def _posts(self) -> list[tuple[Post, Person]]:
        return [(post, BY_ID[post.person]) for post in self._store.posts()]

    def _page(self, request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        person = self._person(request)
        query = f"?{request.url.query}" if request.url.query else ""
        values = {
            "me": person,
            "people": PEOPLE,
            "unread": self._store.unread(person.id) if person else 0,
            "here": quote(request.url.path) + query if request.method == "GET" else "/",
            "app_name": f"{self._settings.merchant_name} trips",
            "path": request.url.path,
            **context,
        }
        return HTMLResponse(self._templates.get_template(template).render(values), status)


def build(settings: Settings) -> Starlette:
    """The app for these settings."""
    return Plaza(settings).app()


def _path(text: str) -> str:
    return text if text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() else "/"


def _first_link(text: str) -> str | None:
    return next((word for word in text.split() if word.startswith(("http://", "https://"))), None)


def _ago(at: int) -> str:
    seconds = max(0, now_seconds() - at)
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name} ago"
    return "just now"
