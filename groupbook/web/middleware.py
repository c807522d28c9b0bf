"""What every request passes through: a request id, one log line, the metrics, safe headers.

Plain ASGI, so that streams stay streams.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groupbook.kit.errors import TooLarge
from groupbook.kit.http import problem
from groupbook.web.metrics import REQUEST_SECONDS, REQUESTS

log = structlog.get_logger(__name__)
body_bytes_max: Final = 1 << 20
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TRIP: Final = re.compile(r"/(trip_[0-9a-f]{32})(?:/|$)")
_SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
# Pages say by themselves who may frame them (headers.py); assets and the widget script are for other sites, too.
_FOR_ALL: Final = ("/static/", "/v1.js", "/.well-known/")


class RequestLog:
    """Outermost: names the request, measures it, logs it, and completes its headers.

    A request id of the caller's is kept when it is harmless. The log says the route's template and ids, never the
    address, the query or a name.
    """

    def __init__(self, app: ASGIApp, *, is_secure: bool = False) -> None:
        self._app = app
        self._is_secure = is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["request_id"] = request_id
        status = 500
        started = time.monotonic()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._complete(scope, MutableHeaders(scope=message), request_id)
            await send(message)

        trip = _TRIP.search(scope["path"])
        facts = {"request_id": request_id} | ({"trip_id": trip.group(1)} if trip else {})
        with structlog.contextvars.bound_contextvars(**facts):
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                seconds = time.monotonic() - started
                route = _template(scope)
                REQUESTS.labels(scope["method"], route, str(status)).inc()
                REQUEST_SECONDS.labels(scope["method"], route).observe(seconds)
                log.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                )

    def _complete(self, scope: Scope, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        if self._is_secure:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        if "content-security-policy" in headers or scope["path"].startswith(_FOR_ALL):
            headers.setdefault("X-Content-Type-Options", "nosniff")
            return
        for name, value in _SAFE_HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        if scope["path"].startswith("/v1/"):
            headers.setdefault("Cache-Control", "no-store")


class BodyLimit:
    """Refuses a body above the limit with a problem document, by its header or as soon as it has grown too long."""

    def __init__(self, app: ASGIApp, *, bytes_max: int = body_bytes_max) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isascii() or not declared.isdigit() or int(declared[:12]) > self._bytes_max:
            await self._refuse(scope, receive, send)
            return
        taken = 0
        has_answered = False

        async def receive_counted() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self._bytes_max:
                    raise _BodyTooLong
            return message

        async def send_noted(message: Message) -> None:
            nonlocal has_answered
            has_answered = has_answered or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive_counted, send_noted)
        except _BodyTooLong:
            if not has_answered:
                await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await problem(TooLarge(bytes_max=self._bytes_max), Request(scope))(scope, receive, send)


class _BodyTooLong(Exception):
    """Only between the two functions above."""


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"


def _template(scope: Scope) -> str:
    """The route's own path: bounded in number, and free of ids."""
    route = scope.get("route")
    return getattr(route, "path", None) or ("/static" if scope["path"].startswith("/static/") else "(none)")
