"""The sender of real life: resolve, refuse private addresses, connect to exactly the address that was checked.

The name is resolved once and the socket goes to that address, so a name that answers differently a second later
(DNS rebinding) changes nothing. Everything, headers included, must be over by one deadline (a slow loris is cut).
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final

import httpcore2

from groupbook.kit.database import forbid_in_transaction
from groupbook.webhooks.domain import (
    Address,
    Answer,
    answer_bytes_max,
    excerpt_characters_max,
    is_public,
    post_seconds_max,
)

Resolve = Callable[[str, int], list[str]]
connect_seconds_max: Final = 5.0


class _AddressRefused(Exception):
    """The name leads to an address that merchants may not make us call."""


class _Unresolvable(Exception):
    """The name leads nowhere."""


def system_resolve(host: str, port: int) -> list[str]:
    """Every address of a host, by the system's resolver."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class PinnedSender:
    """Posts over httpcore with a network backend of our own, which pins the address and keeps the deadline.

    `loopback_allowed` is the explicit setting of test machines; without it no call may ask for it.
    """

    def __init__(
        self,
        *,
        loopback_allowed: bool = False,
        resolve: Resolve = system_resolve,
        seconds_max: float = post_seconds_max,
    ) -> None:
        self._loopback_allowed = loopback_allowed
        self._resolve = resolve
        self._seconds_max = seconds_max

    @cached_property
    def _ssl(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, loopback_allowed: bool) -> Answer:
        forbid_in_transaction("posting a webhook")
        started = time.monotonic()
        deadline = started + self._seconds_max
        backend = _PinnedBackend(
            self._resolve, deadline=deadline, loopback_allowed=loopback_allowed and self._loopback_allowed
        )
        status: int | None = None
        error: str | None = None
        excerpt = b""
        try:
            with (
                httpcore2.ConnectionPool(ssl_context=self._ssl, network_backend=backend, max_connections=1) as pool,
                pool.stream(
                    "POST",
                    url,
                    headers=[*headers.items(), ("connection", "close"), ("user-agent", "groupbook-webhooks/1")],
                    content=body,
                    extensions={"timeout": {"connect": connect_seconds_max, "read": self._seconds_max}},
                ) as response,
            ):
                status = response.status
                for chunk in response.iter_stream():
                    excerpt += chunk
                    if len(excerpt) >= answer_bytes_max:
                        break
        except _AddressRefused:
            error = "address_refused"
        except _Unresolvable:
            error = "unresolvable"
        except (httpcore2.TimeoutException, TimeoutError):
            error = "timeout"
        except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol):
            error = "protocol_error"
        except httpcore2.NetworkError as failure:
            error = "tls_failed" if isinstance(failure.__cause__, ssl.SSLError) else "unreachable"
        return Answer(
            status=status,
            error=error,
            duration_milliseconds=int((time.monotonic() - started) * 1000),
            excerpt=_printable(excerpt),
        )


def _printable(raw: bytes) -> str:
    text = raw[: excerpt_characters_max * 4].decode("utf-8", "replace")
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)[
        :excerpt_characters_max
    ]


class _PinnedBackend(httpcore2.NetworkBackend):
    def __init__(self, resolve: Resolve, *, deadline: float, loopback_allowed: bool) -> None:
        self._resolve = resolve
        self._deadline = deadline
        self._loopback_allowed = loopback_allowed
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        address = self._checked_address(host, port)
        stream = self._sockets.connect_tcp(str(address), port, timeout=_left(self._deadline, timeout))
        return _DeadlineStream(stream, self._deadline)

    def _checked_address(self, host: str, port: int) -> Address:
        try:
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in self._resolve(host, port)]
        except (OSError, UnicodeError, ValueError):
            raise _Unresolvable(host) from None
        if not found:
            raise _Unresolvable(host)
        # One private address among public ones is no accident: all must be good.
        for address in found:
            if not (is_public(address) or (self._loopback_allowed and address.is_loopback)):
                raise _AddressRefused(host)
        return found[0]


class _DeadlineStream(httpcore2.NetworkStream):
    """A socket that gives every operation only the time that is left in all."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout=_left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=_left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout=_left(self._deadline, timeout))
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the deadline has passed")
    return left if timeout is None else min(left, timeout)
