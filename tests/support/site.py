"""The assembled site around a `Saga`: real HTTP on loopback, an API key, a member's session, a staff login.

`served` runs the very application that `groupbook.main` runs, in a thread; `Receiver` is a merchant's server that takes
webhooks.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx2
import uvicorn

from groupbook import merchants
from groupbook.kit import outbound
from groupbook.kit.ids import MerchantId
from groupbook.web.app import build_app
from tests.support.saga import Saga

PASSWORD = "a long enough password"


@dataclass
class Receiver:
    """A merchant's server on loopback; `posts` are (headers, body) as they came."""

    url: str
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    taken = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            taken.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    taken.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def free_port() -> int:
    """A port nobody listens on, for a saga that must know its address before it is served."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def served(saga: Saga, *, port: int = 0) -> Iterator[str]:
    """Run the site until the block ends; its address. The saga's `public_url` must be it for forms to count."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(build_app(saga.house), log_level="warning", access_log=False, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def mint_key(saga: Saga, merchant_id: MerchantId | None = None, **more: Any) -> str:
    with saga.database.begin(merchant_id or saga.merchant_id) as session:
        return merchants.create_api_key(session, saga.house.sealer, name="test", **more).secret


def staff_token(saga: Saga, merchant_id: MerchantId | None = None, email: str = "ines@kestrel.example") -> str:
    with saga.database.begin(merchant_id or saga.merchant_id) as session:
        merchants.create_staff(session, email=email, name="Inès", password=PASSWORD)
    return merchants.log_in_staff(saga.database, email=email, password=PASSWORD)[1]


def api(url: str, key: str) -> httpx2.Client:
    return outbound.client(url, headers={"Authorization": f"Bearer {key}"})


def text_of(page: str) -> str:
    """What a reader reads of a page."""
    main = page[page.index("<main") : page.index("</main>")]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


def read(answer: httpx2.Response) -> str:
    """What a reader reads of an answered page."""
    return text_of(answer.text)
