"""A gate between groupbook and the outside, in the test's own process: it passes requests on, or holds some of them.

Each request belongs to a story (a booking of the test), recognized by names that the test told the gate, or by ids of
the other side that came by in the same story before. What is held is held for that story only, before it reaches the
other side or on its way back, until it is opened again: nothing here depends on time. Of what is asked again and again
meanwhile only the first few are kept, the others for as long as their callers wait.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_plus

import httpx2

_NAMES = re.compile(
    r"\b(?:cs_test|pi|cus|pm|re|hld|ord|amd|att|story)_[A-Za-z0-9]+\b|\bkr-[\w.~-]+",
    re.ASCII,
)
_HOP = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "transfer-encoding",
        "date",
        "server",
    }
)
_kept_at_most = 3
_look_for_the_caller_seconds = 0.5
_IS_LIST = re.compile(r"/(?:sessions|payment_intents|refunds|disputes)$")


@dataclass
class Hold:
    """Requests of one story that match are held: on their way there, or on the way back with the effect done."""

    story: str
    pattern: re.Pattern[str]
    is_on_the_way_back: bool
    is_open: bool = False
    arrived: int = 0  # so many requests so far, whether or not somebody still waits for their answers


class Broken(Exception):
    """The connection is to end without an answer."""


class Gate:
    """`upstreams`: the first part of the path and where it leads; None while nobody is there."""

    def __init__(self, upstreams: dict[str, str]) -> None:
        self._upstreams = upstreams
        self._holds: list[Hold] = []
        self._stories: dict[str, str] = {}
        self._lock = threading.Condition()
        self._deaths: Counter[str] = Counter()
        self._client = httpx2.Client(trust_env=False, timeout=120, limits=httpx2.Limits(max_connections=800))
        self.url = ""

    # --- what tests say ---

    def tell(self, name: str, story: str) -> None:
        """Requests that mention `name` belong to `story`."""
        with self._lock:
            self._stories[name] = story

    def story_of(self, text: str) -> str | None:
        with self._lock:
            return next(
                (self._stories[name] for name in _NAMES.findall(text) if name in self._stories),
                None,
            )

    def hold(self, story: str, pattern: str, *, is_on_the_way_back: bool = False) -> Hold:
        hold = Hold(story, re.compile(pattern), is_on_the_way_back)
        with self._lock:
            self._holds.append(hold)
        return hold

    def release(self, hold: Hold) -> None:
        """Let this one's requests go their way."""
        with self._lock:
            self._holds.remove(hold)
            hold.is_open = True
            self._lock.notify_all()

    def open(self, stories: Collection[str] | None = None) -> None:
        """Let everything that is held go its way; with `stories`, what is held of these."""
        for hold in list(self._holds):
            if stories is None or hold.story in stories:
                self.release(hold)

    def die(self, upstream: str) -> None:
        """Whoever waits for an answer of this one never gets it: it died. What comes later is held as before."""
        with self._lock:
            self._deaths[upstream] += 1
            self._lock.notify_all()

    def arrivals(self) -> dict[str, int]:
        """By story, how many requests were held so far."""
        with self._lock:
            counted: Counter[str] = Counter()
            for hold in self._holds:
                counted[hold.story] += hold.arrived
            return dict(counted)

    # --- what it does ---

    def pass_on(
        self, method: str, path: str, headers: dict[str, str], body: bytes, is_left: Callable[[], bool]
    ) -> httpx2.Response:
        """The other side's answer, held if somebody wants it held.

        Args:
            is_left: whether the caller has gone.

        Raises:
            Broken: there is no answer.
        """
        upstream, _, rest = path.lstrip("/").partition("/")
        said = f"{unquote_plus(rest)} {unquote_plus(body.decode(errors='replace'))}"
        story = self.story_of(said)
        line = f"{method} /{said}"
        hold = self._hold_of(story, line)
        self._learn(story, said)
        if hold is not None and not hold.is_on_the_way_back:
            self._wait(hold, upstream, is_left)
        try:
            answer = self._client.request(
                method,
                f"{self._upstreams[upstream]}/{rest}",
                headers=headers,
                content=body,
            )
        except httpx2.HTTPError as error:
            raise Broken(str(error)) from error
        if not (method == "GET" and _IS_LIST.search(rest.split("?")[0])):
            self._learn(story, answer.text)
        if hold is not None and hold.is_on_the_way_back:
            self._wait(hold, upstream, is_left)
        return answer

    def _learn(self, story: str | None, said: str) -> None:
        if story is not None:
            with self._lock:
                for name in _NAMES.findall(said):
                    self._stories.setdefault(name, story)

    def _hold_of(self, story: str | None, line: str) -> Hold | None:
        with self._lock:
            return next(
                (hold for hold in self._holds if hold.story == story and hold.pattern.search(line)),
                None,
            )

    def _wait(self, hold: Hold, upstream: str, is_left: Callable[[], bool]) -> None:
        with self._lock:
            hold.arrived += 1
            is_kept = hold.arrived <= _kept_at_most
            deaths = self._deaths[upstream]
            while not hold.is_open and self._deaths[upstream] == deaths:
                self._lock.wait(None if is_kept else _look_for_the_caller_seconds)
                if not is_kept and is_left():
                    raise Broken(upstream)
            if self._deaths[upstream] != deaths:
                raise Broken(upstream)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gate: Gate

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        try:
            answer = self.gate.pass_on(self.command, self.path, headers, body, self._is_left)
        except Broken:
            self.close_connection = True
            return
        with suppress(OSError):  # whoever asked may be dead
            self.send_response_only(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP and name.lower() != "content-encoding":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    def _is_left(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a killed caller leaves a broken connection behind


@contextmanager
def running(upstreams: dict[str, str]) -> Iterator[Gate]:
    """A gate on a free loopback port; its address is `gate.url`."""
    gate = Gate(upstreams)
    handler = type("Handler", (_Handler,), {"gate": gate})
    server = _Server(("127.0.0.1", 0), handler)
    gate.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        gate.open()
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
