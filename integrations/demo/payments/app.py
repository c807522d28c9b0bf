"""The sandbox's HTTP: Stripe's API under /v1, the hosted page under /c, Stripe.js under /v3, its switches."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from integrations.demo.payments import elements_pages, pages
from integrations.demo.payments.books import API_VERSION, Rules, expand, public
from integrations.demo.payments.connect_pages import ConnectPages
from integrations.demo.payments.engine import Engine
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.keys import LEVELS, NAMES, Key, Keys
from integrations.demo.payments.limits import Limiter, Limits, lock_timeout
from integrations.demo.payments.shapes import SHAPES, check, decode
from integrations.demo.payments.store import ACCOUNT, Store, new_id
from integrations.demo.payments.webhooks import Courier

body_bytes_max: Final = 256 * 1024
key_length_max: Final = 255
_NAMED: Final = {
    "create": ("POST", ""),
    "list": ("GET", ""),
    "retrieve": ("GET", "/{id}"),
    "update": ("POST", "/{id}"),
    "delete": ("DELETE", "/{id}"),
}


def _route(operation: str) -> tuple[str, str, str]:
    """Method and path of an operation: Stripe's are regular (docs.stripe.com/api)."""
    if operation == "customers.payment_methods.list":
        return "GET", "/v1/customers/{id}/payment_methods", operation
    if operation == "account.retrieve":
        return "GET", "/v1/account", operation
    noun, _, verb = operation.rpartition(".")
    method, tail = _NAMED.get(verb, ("POST", f"/{{id}}/{verb}"))
    return method, f"/v1/{noun.replace('.', '/')}{tail}", operation


ROUTES: Final = tuple(_route(operation) for operation in SHAPES)
# What the sandbox can be told to do wrong. `operation` is one of the names above (or its beginning, or *); for the
# webhook faults it is an event type (or *).
FAULTS: Final = {
    "lost_answer": "the effect happens, the connection breaks before the answer",
    "late_effect": "the connection breaks, the effect happens `seconds` later (a zombie)",
    "server_error": "500 without effect, kept under the idempotency key",
    "server_error_after": "500 although the effect happened, kept under the idempotency key",
    "rate_limit": "429 before anything is attempted",
    "lock_timeout": "429 lock_timeout: another request holds the object",
    "slow": "the answer takes `seconds`",
    "capture_fails": "the authorization turns out to be gone when it is captured",
    "off_session_declined": "the bank declines a saved card",
    "off_session_asks": "the bank wants the payer of a saved card to confirm",
    "refund_pending": "the refund waits for `seconds`, then it is made",
    "refund_fails": "the refund is made and fails `seconds` later",
    "duplicate_webhook": "the event is delivered twice",
    "reorder_webhook": "the event is delivered after others",
    "late_webhook": "the event is delivered `seconds` later",
    "drop_webhook": "the event is never delivered",
}
_BEFORE: Final = frozenset({"rate_limit", "lock_timeout"})
_AROUND: Final = frozenset({"lost_answer", "late_effect", "server_error", "server_error_after", "slow"})


@dataclass(frozen=True)
class Configuration:
    """What the command line says."""

    state: Path
    api_key: str
    public_url: str
    webhook_url: str | None = None
    webhook_secret: str | None = None
    connect_webhook_url: str | None = None  # for what happens on connected accounts
    connect_webhook_secret: str | None = None
    client_id: str = "ca_sandbox"
    redirect_uris: tuple[str, ...] = ()
    capture_window_seconds: int = 7 * 86_400
    refund_delay_seconds: float = 2.0
    limits: Limits = field(default_factory=Limits)


class Broken(Response):
    """An answer that never comes: the connection ends after the head."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000000")]})


class Sandbox:
    """One running sandbox; `app` is its ASGI application."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.store = Store(configuration.state)
        rules = Rules(
            public_url=configuration.public_url,
            client_id=configuration.client_id,
            capture_window_seconds=configuration.capture_window_seconds,
            refund_delay_seconds=configuration.refund_delay_seconds,
            dispute_delay_seconds=configuration.refund_delay_seconds,
        )
        self.engine = Engine(self.store, rules)
        self.keys = Keys(self.store, configuration.api_key, ACCOUNT)
        self.limiter = Limiter(configuration.limits)
        self._busy: set[str] = set()
        self._busy_lock = threading.Lock()
        self._courier = Courier(self.engine, self._run_late)
        if configuration.webhook_url and configuration.webhook_secret:
            with self.store.transaction():
                self.engine.endpoints.add(
                    configuration.webhook_url, configuration.webhook_secret, ["*"], id="we_configured"
                )
        if configuration.connect_webhook_url and configuration.connect_webhook_secret:
            with self.store.transaction():
                self.engine.endpoints.add(
                    configuration.connect_webhook_url,
                    configuration.connect_webhook_secret,
                    ["*"],
                    id="we_connect",
                    is_connect=True,
                )
        self.app = Starlette(routes=self._routes(), lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._courier.start()
        yield
        await run_in_threadpool(self._courier.stop)
        self.store.close()

    def _routes(self) -> list[Route]:
        api = [
            Route(path, self._api(operation), methods=[method], name=operation) for method, path, operation in ROUTES
        ]
        return [
            *api,
            Route("/v1/{rest:path}", self._unknown, methods=["GET", "POST", "DELETE", "PUT", "PATCH"]),
            Route("/_faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/_keys", self._keys, methods=["GET", "POST"]),
            Route("/_limits", self._limits, methods=["GET", "POST"]),
            Route("/_lapse", self._lapse, methods=["POST"]),
            Route("/_dispute", self._dispute, methods=["POST"]),
            Route("/health", self._health),
            *ConnectPages(self.engine, self.keys, self.configuration.redirect_uris, Broken).routes(),
            *pages.routes(self.engine),
            *elements_pages.routes(self.engine, self.keys),
        ]

    # --- the API ---

    def _api(self, operation: str) -> Any:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            return await run_in_threadpool(self._answer, operation, request, raw)

        return endpoint

    def _answer(self, operation: str, request: Request, raw: bytes) -> Response:
        request_id = new_id("req_", 14)
        try:
            account, bearer = self._authenticate(request)
            bearer.check(operation, request.method)
            if len(raw) > body_bytes_max:
                raise WireError(413, "Request body too large")
            with self.store.acting_for(account), self.limiter.admitted(account, operation):
                if request.method == "POST":
                    answer = self._write(operation, request, raw, request_id, bearer)
                else:
                    pairs = parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=500)
                    answer = self._read(operation, pairs, request, bearer)
        except WireError as error:
            answer = JSONResponse(public(error.body), error.status, headers=error.headers)
        except ValueError:
            answer = JSONResponse(WireError(400, "Invalid request (malformed parameters)").body, 400)
        if not isinstance(answer, Broken):
            answer.headers["Request-Id"] = request_id
            answer.headers["Stripe-Version"] = request.headers.get("stripe-version", API_VERSION)
        return answer

    def _authenticate(self, request: Request) -> tuple[str, Key]:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise WireError(401, "You did not provide an API key.")
        bearer = self.keys.find(key)
        account = request.headers.get("stripe-account", bearer.account)
        if account != bearer.account:
            self.engine.connect.check_account(account, bearer)
        return account, bearer

    def _read(self, operation: str, pairs: list[tuple[str, str]], request: Request, bearer: Key) -> Response:
        self._fail_before(operation)
        fault = self.store.take_fault(_AROUND, operation)
        if fault and fault[0] in ("slow", "lost_answer"):
            time.sleep(fault[1])
        if fault and fault[0].startswith("server_error"):
            raise WireError(500, "An unknown error occurred", type="api_error")
        if fault and fault[0] != "slow":
            return Broken()
        params = check(operation, decode(pairs))
        with self.store.transaction():
            body = self.engine.operations[operation](params, dict(request.path_params))
            bearer.check_secret(body, params.get("client_secret"))
            return JSONResponse(
                public(expand(self.store, public(body), params.get("expand", []), bearer.check_expanded))
            )

    def _fail_before(self, operation: str) -> None:
        fault = self.store.take_fault(_BEFORE, operation)
        if fault and fault[0] == "rate_limit":
            raise WireError(
                429, "Request rate limit exceeded.", code="rate_limit", headers={"Stripe-Should-Retry": "true"}
            )
        if fault:
            raise lock_timeout()

    def _write(self, operation: str, request: Request, raw: bytes, request_id: str, bearer: Key) -> Response:
        if raw and not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise WireError(400, "Invalid request: form encoding expected")
        key = request.headers.get("idempotency-key")
        if key is not None and len(key) > key_length_max:
            raise WireError(
                400, f"Idempotency keys may be at most {key_length_max} characters", type="idempotency_error"
            )
        self._fail_before(operation)
        if key is None:
            return self._perform(operation, raw, dict(request.path_params), None, request_id, bearer)
        busy = self.store.scoped(key)
        with self._busy_lock:
            if busy in self._busy:
                raise WireError(
                    409,
                    "There is currently another in-progress request using this Idempotency Key.",
                    code="idempotency_key_in_use",
                    type="idempotency_error",
                )
            self._busy.add(busy)
        try:
            return self._perform(operation, raw, dict(request.path_params), key, request_id, bearer)
        finally:
            with self._busy_lock:
                self._busy.discard(busy)

    def _perform(
        self, operation: str, raw: bytes, path: dict[str, str], key: str | None, request_id: str, bearer: Key
    ) -> Response:
        mark = hashlib.sha256(json.dumps([operation, sorted(path.items())]).encode() + b"\n" + raw).hexdigest()
        if key is not None and (kept := self.store.kept(key)) is not None:
            if kept.request != mark:
                raise WireError(
                    400,
                    "Keys for idempotent requests can only be used with the same parameters they were first used "
                    f"with. Try using a key other than '{key}' if you meant to execute a different request.",
                    type="idempotency_error",
                )
            headers = {"Idempotent-Replayed": "true", "Original-Request": request_id}
            return Response(kept.body, kept.status, headers, "application/json")
        fault, seconds = self.store.take_fault(_AROUND, operation) or ("", 0.0)
        if fault == "late_effect":
            what = {"do": "request", "operation": operation, "raw": raw.decode(), "path": path, "key": key}
            self.store.do_later(time.time() + seconds, what)
            return Broken()
        if fault == "server_error":
            return self._keep(key, mark, 500, WireError(500, "An unknown error occurred", type="api_error").body)
        if fault == "slow":
            with self.limiter.holding(path.get("id")):
                time.sleep(seconds)
                status, body = self._execute(operation, raw, path, key, mark, bearer)
            return Response(body, status, media_type="application/json")
        with self.limiter.holding(path.get("id")):
            status, body = self._execute(
                operation, raw, path, key, mark, bearer, fails_after=fault == "server_error_after"
            )
        if fault == "lost_answer":
            time.sleep(seconds)
            return Broken()
        return Response(body, status, media_type="application/json")

    def _execute(
        self,
        operation: str,
        raw: bytes,
        path: dict[str, str],
        key: str | None,
        mark: str,
        bearer: Key | None = None,
        *,
        fails_after: bool = False,
    ) -> tuple[int, str]:
        """Effect, events and the kept answer, in one transaction."""
        params = check(operation, decode(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=500)))
        with self.store.transaction():
            try:
                body = self.engine.operations[operation](params, path)
                may_read = None if bearer is None else bearer.check_expanded
                answer = public(expand(self.store, public(body), params.get("expand", []), may_read))
                status = 200
            except WireError as error:
                if not error.is_executed:
                    raise
                answer, status = public(error.body), error.status
            if fails_after:
                answer, status = WireError(500, "An unknown error occurred", type="api_error").body, 500
            text = json.dumps(answer)
            if key is not None:
                self.store.keep(key, mark, status, text)
            return status, text

    def _keep(self, key: str | None, mark: str, status: int, body: dict[str, Any]) -> Response:
        text = json.dumps(body)
        if key is not None:
            self.store.keep(key, mark, status, text)
        return Response(text, status, media_type="application/json")

    def _run_late(self, what: dict[str, Any]) -> None:
        """The zombie's effect. Whoever asked has long stopped listening, so an error is nobody's."""
        mark = json.dumps([what["operation"], sorted(what["path"].items())]).encode() + b"\n" + what["raw"].encode()
        if what["key"] is not None and self.store.kept(what["key"]) is not None:
            return
        try:
            digest = hashlib.sha256(mark).hexdigest()
            self._execute(what["operation"], what["raw"].encode(), what["path"], what["key"], digest)
        except WireError:
            return

    async def _unknown(self, request: Request) -> Response:
        message = f"Unrecognized request URL ({request.method}: {request.url.path})."
        return JSONResponse(WireError(404, message).body, 404)

    # --- the switches ---

    async def _faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            await run_in_threadpool(self.store.clear_faults)
            return JSONResponse({"faults": []})
        if request.method == "GET":
            names = [row[2] for row in ROUTES]
            return await run_in_threadpool(pages.control, request, self.engine, self.limiter.limits, FAULTS, names)
        if _is_cross_site(request):
            return JSONResponse({"error": "cross-site"}, 403)
        is_form, given = await _form_or_json(request)
        problem = await run_in_threadpool(self._add_fault, given)
        if problem:
            return JSONResponse({"error": problem}, 400)
        if is_form:
            return Response(status_code=303, headers={"Location": "/_faults"})
        return JSONResponse({"faults": await run_in_threadpool(self.store.faults)}, 201)

    def _add_fault(self, given: Any) -> str | None:
        if not isinstance(given, dict):
            return "an object is expected"
        if given.get("clear"):
            self.store.clear_faults()
            return None
        try:
            times, seconds = int(_given(given, "times", 1)), float(_given(given, "seconds", 0))
        except (TypeError, ValueError):
            return "times and seconds are numbers"
        if given.get("fault") not in FAULTS or not 1 <= times <= 10_000 or not 0 <= seconds <= 86_400:
            return f"fault must be one of {', '.join(FAULTS)}; times 1 to 10000; seconds 0 to 86400"
        self.store.add_fault(given["fault"], str(given.get("operation") or "*")[:80], times, seconds)
        return None

    async def _keys(self, request: Request) -> Response:
        key = None
        if request.method == "POST":
            if _is_cross_site(request):
                return JSONResponse({"error": "cross-site"}, 403)
            is_form, given = await _form_or_json(request)
            key = await run_in_threadpool(self.keys.make, given if isinstance(given, dict) else {})
            if not is_form:
                return JSONResponse({"key": key}, 201)
        made = await run_in_threadpool(self.keys.listed)
        return pages.keys(
            request, {"key": key, "publishable": self.keys.publishable, "made": made, "names": NAMES, "levels": LEVELS}
        )

    async def _limits(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse(self.limiter.report())
        if _is_cross_site(request):
            return JSONResponse({"error": "cross-site"}, 403)
        is_form, given = await _form_or_json(request)
        try:
            self.limiter.set(self.limiter.limits.changed(given))
        except (AttributeError, TypeError, ValueError):
            return JSONResponse({"error": "rate, endpoint_rate and concurrency are numbers above 0, or null"}, 400)
        if is_form:
            return Response(status_code=303, headers={"Location": "/_faults"})
        return JSONResponse(self.limiter.report())

    async def _lapse(self, request: Request) -> Response:
        given = await _json(request)
        return await self._provoked(self.engine.intents.lapse, str((given or {}).get("payment_intent")))

    async def _dispute(self, request: Request) -> Response:
        given = await _json(request) or {}
        return await self._provoked(self.engine.disputes.provoke, str(given.get("payment_intent")), given.get("end"))

    async def _provoked(self, do: Callable[..., dict[str, Any]], *arguments: str | None) -> Response:
        def acting() -> dict[str, Any]:
            with self.store.acting_for(self.store.owner_of(str(arguments[0]))):
                return do(*arguments)

        try:
            return JSONResponse(public(await run_in_threadpool(acting)))
        except WireError as error:
            return JSONResponse(public(error.body), error.status)

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})


def _given(fields: dict[str, Any], name: str, default: int) -> Any:
    """A field of the form or the document; an empty one is not given."""
    return default if fields.get(name) in (None, "") else fields[name]


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _is_cross_site(request: Request) -> bool:
    return _is_form(request) and request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


async def _form_or_json(request: Request) -> tuple[bool, Any]:
    """What was posted, and whether a person did it with the page's form."""
    return (True, dict(await request.form())) if _is_form(request) else (False, await _json(request))


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body() or b"null")
    except ValueError:
        return None
