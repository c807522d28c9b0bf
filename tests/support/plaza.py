"""Plaza on a loopback port, and somebody clicking in it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
import uvicorn

from groupbook.people.ports import SocialNetwork
from integrations.demo.network.app import Settings, build
from integrations.social.demo import demo_network

GROUPBOOK = "http://localhost:8000"
CALLBACK = f"{GROUPBOOK}/login/demo/callback"
CLIENT_SECRET = "plaza client secret: ü&="
LAUNCH_SECRET = "plaza launch secret"
BOT_TOKEN = "plaza bot token"


class Plaza:
    """A running Plaza. `browse()` gives a browser, as far as cookies and forms go."""

    def __init__(self, url: str, groupbook_url: str = GROUPBOOK) -> None:
        self.url = url
        self.callback = f"{groupbook_url}/login/demo/callback"
        self.network: SocialNetwork = demo_network(
            base_url=url, client_id="groupbook", client_secret=CLIENT_SECRET, launch_secret=LAUNCH_SECRET
        )

    @contextmanager
    def browse(self, person: str | None = None) -> Iterator[httpx2.Client]:
        headers = {"Origin": self.url}
        with httpx2.Client(base_url=self.url, follow_redirects=False, headers=headers, trust_env=False) as client:
            if person is not None:
                client.post("/switch", data={"person": person})
            yield client

    def approve(self, url: str, person: str, answer: str = "yes") -> dict[str, str]:
        """Log in as `person` on the page at `url` and say yes or no: the callback's parameters."""
        with self.browse(person) as client:
            page = client.get(url)
            asked = re.search(r'name="ask" value="([^"]+)"', page.text)
            assert asked is not None, page.text
            done = client.post("/oauth/authorize", data={"ask": asked[1], "person": person, "answer": answer})
            assert done.status_code == 303
            assert done.headers["location"].startswith(self.callback + "?")
            return dict(parse_qsl(urlsplit(done.headers["location"]).query))

    def launch_payload(self, person: str, start: str = "") -> str:
        """The query string with which Plaza opens groupbook inside itself."""
        with self.browse(person) as client:
            page = client.get("/apps/groupbook", params={"start": start} if start else {})
            found = re.search(r'src="([^"]+/n/demo/launch\?[^"]+)"', page.text)
            assert found is not None
            return urlsplit(found[1].replace("&amp;", "&")).query


@contextmanager
def plaza(folder: Path, groupbook_url: str = GROUPBOOK) -> Iterator[Plaza]:
    """Plaza in a thread, on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = Settings(
        public_url=url,
        folder=folder,
        groupbook_url=groupbook_url,
        client_id="groupbook",
        client_secret=CLIENT_SECRET,
        launch_secret=LAUNCH_SECRET,
        bot_token=BOT_TOKEN,
        merchant_slug="kestrel",
    )
    server = uvicorn.Server(uvicorn.Config(build(settings), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Plaza(url, groupbook_url)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
