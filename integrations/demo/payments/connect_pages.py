"""Connect's own addresses: the page on which an account's holder is asked, the token, and the end of it.

    GET  /oauth/authorize     the question            POST /oauth/authorize    its answer
    POST /oauth/token         the code, redeemed      POST /oauth/deauthorize  the platform lets go
    GET  /_connect            accounts of this sandbox; POST: one removes the platform, or is refused payments

https://docs.stripe.com/connect/oauth-reference
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.demo.payments.connect import SCOPES, OAuthError
from integrations.demo.payments.engine import Engine
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.keys import Keys
from integrations.demo.payments.pages import locale_of, render, to
from integrations.demo.payments.store import ACCOUNT

_LOSSES = frozenset({"lost_answer", "rate_limit"})


class ConnectPages:
    """On one engine. `redirect_uris` are those that the platform has registered, each to be met exactly."""

    def __init__(self, engine: Engine, keys: Keys, redirect_uris: tuple[str, ...], broken: type[Response]) -> None:
        self._engine = engine
        self._connect = engine.connect
        self._keys = keys
        self._redirect_uris = redirect_uris
        self._broken = broken

    def routes(self) -> list[Route]:
        return [
            Route("/oauth/authorize", self._authorize, methods=["GET", "POST"]),
            Route("/oauth/token", self._platform("oauth.token", self._connect.token), methods=["POST"]),
            Route(
                "/oauth/deauthorize", self._platform("oauth.deauthorize", self._connect.deauthorize), methods=["POST"]
            ),
            Route("/_connect", self._control, methods=["GET", "POST"]),
        ]

    # --- the holder ---

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        redirect_uri = asked.get("redirect_uri") or (self._redirect_uris or ("",))[0]
        # A wrong application or address is told here and never sent on (RFC 6749, section 4.1.2.1).
        if asked.get("client_id") != self._engine.books.rules.client_id:
            return self._refused("No application matches the supplied client identifier")
        if redirect_uri not in self._redirect_uris:
            return self._refused(
                f"Invalid redirect URI '{redirect_uri[:200]}'. Ensure this uri exactly matches one of the uris "
                "specified in your application settings"
            )
        if asked.get("response_type") != "code":
            return self._back(redirect_uri, asked, error="unsupported_response_type")
        scope = asked.get("scope", "read_only")  # its default (docs.stripe.com/connect/oauth-reference)
        if scope not in SCOPES:
            return self._back(redirect_uri, asked, error="invalid_scope")
        if request.method == "GET":
            accounts = await run_in_threadpool(self._connect.accounts)
            values = {"accounts": [(one["id"], one["business_profile"]["name"]) for one in accounts]}
            parts = urlsplit(redirect_uri)
            origins = (f"{parts.scheme}://{parts.netloc}",)
            return render(request, "authorize.html", locale_of(request, None), values, origins=origins)
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return self._refused("cross-site")
        form = {name: str(value) for name, value in (await request.form()).items()}
        if form.get("answer") != "connect":
            return self._back(
                redirect_uri, asked, error="access_denied", error_description="The user denied your request"
            )
        code = await run_in_threadpool(self._grant, form, scope, redirect_uri)
        return self._back(redirect_uri, asked, scope=scope, code=code)

    def _grant(self, form: dict[str, str], scope: str, redirect_uri: str) -> str:
        chosen = form.get("account") or "new"
        if chosen == "new":
            chosen = self._connect.open_account(form.get("name", ""), may_charge=not form.get("unfinished"))["id"]
        return self._connect.grant(chosen, scope=scope, redirect_uri=redirect_uri)

    def _back(self, redirect_uri: str, asked: dict[str, str], **said: str) -> Response:
        if "state" in asked:
            said["state"] = asked["state"]
        return to(f"{redirect_uri}{'&' if urlsplit(redirect_uri).query else '?'}{urlencode(said)}")

    def _refused(self, message: str) -> Response:
        return JSONResponse({"error": {"message": message}}, 400)

    # --- the platform ---

    def _platform(self, operation: str, do: Callable[[dict[str, str]], dict[str, Any]]) -> Any:
        async def endpoint(request: Request) -> Response:
            form = {name: str(value) for name, value in (await request.form()).items()}
            return await run_in_threadpool(self._answer, request, form, operation, do)

        return endpoint

    def _answer(
        self, request: Request, form: dict[str, str], operation: str, do: Callable[[dict[str, str]], dict[str, Any]]
    ) -> Response:
        store = self._engine.store
        try:
            self._check_secret(request, form)
            fault = store.take_fault(_LOSSES, operation)
            if fault and fault[0] == "rate_limit":
                raise WireError(429, "Request rate limit exceeded.", code="rate_limit")
            body = self._done(do, form)
        except WireError as error:
            return JSONResponse(error.body, error.status, headers=error.headers)
        if fault:
            time.sleep(fault[1])
            return self._broken()
        return JSONResponse(body)

    def _done(self, do: Callable[[dict[str, str]], dict[str, Any]], form: dict[str, str]) -> dict[str, Any]:
        """A refusal may change something, too: a code that comes twice ends the connection."""
        refusal: OAuthError | None = None
        with self._engine.store.transaction(), self._engine.store.acting_for(ACCOUNT):
            try:
                return do(form)
            except OAuthError as error:
                refusal = error
        raise refusal

    def _check_secret(self, request: Request, form: dict[str, str]) -> None:
        """The platform's secret key, as a parameter or as the bearer (docs.stripe.com/connect/oauth-reference)."""
        secret = form.get("client_secret") or request.headers.get("authorization", "").partition(" ")[2]
        try:
            is_ours = self._keys.find(secret).account == ACCOUNT
        except WireError:
            is_ours = False
        if not is_ours:
            raise OAuthError("invalid_client", "Invalid API Key provided.", status=401)

    # --- the switches ---

    async def _control(self, request: Request) -> Response:
        if request.method == "POST":
            if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return JSONResponse({"error": "cross-site"}, 403)
            form = {name: str(value) for name, value in (await request.form()).items()}
            await run_in_threadpool(self._connect.leave, form.get("account", ""))
            return to("/_connect")
        accounts = await run_in_threadpool(self._connect.accounts)
        rows = [
            (one["id"], one["business_profile"]["name"], self._engine.books.is_connected(one["id"])) for one in accounts
        ]
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"accounts": [{"id": id, "name": name, "is_connected": on} for id, name, on in rows]})
        return render(request, "accounts.html", "en", {"accounts": rows}, origins=())
