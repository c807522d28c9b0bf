"""A running payment sandbox, and a payer who types card numbers into its hosted page."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from groupbook.payments.ports import OwnPage
from integrations.demo.payments.app import Configuration, Sandbox

API_KEY = "sk_test_sandbox"
WEBHOOK_SECRET = "whsec_sandbox"
OK, DECLINED, POOR, CHALLENGED = "4242424242424242", "4000000000000002", "4000000000009995", "4000002760003184"
DECLINES_LATER = "4000000000000341"


@dataclass(frozen=True)
class RunningSandbox:
    """Its address, and what payers and operators do with it."""

    url: str
    sandbox: Sandbox

    def api(self, method: str, path: str, data: dict[str, Any] | None = None, **headers: str) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {API_KEY}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        with httpx2.Client(base_url=self.url, trust_env=False) as client:
            if method == "GET":
                return client.get(path, params=data, headers=sent)
            return client.request(method, path, data=data, headers=sent)

    def fault(self, fault: str, operation: str = "*", *, times: int = 1, seconds: float = 0) -> None:
        body = {"fault": fault, "operation": operation, "times": times, "seconds": seconds}
        with httpx2.Client(base_url=self.url, trust_env=False) as client:
            assert client.post("/_faults", json=body).status_code == 201

    def lapse(self, payment_ref: str) -> None:
        with httpx2.Client(base_url=self.url, trust_env=False) as client:
            assert client.post("/_lapse", json={"payment_intent": payment_ref}).status_code == 200

    def dispute(self, payment_ref: str, end: str | None = None) -> None:
        """The cardholder complains, and where `end` is given their bank decides: "won" or "lost"."""
        with httpx2.Client(base_url=self.url, trust_env=False) as client:
            for body in [{}, {"end": end}] if end else [{}]:
                assert client.post("/_dispute", json={"payment_intent": payment_ref} | body).status_code == 200

    def type_card(self, page_url: str, number: str, *, answer: str | None = None) -> httpx2.Response:
        """Pay on the hosted page as a browser does; `answer` is what the payer tells their bank."""
        with httpx2.Client(trust_env=False) as client:
            page = client.post(page_url, data={"number": number, "expiry": "12/39", "cvc": "123"})
            if answer is not None:
                assert "/c/challenge/" in page.headers["location"]
                page = client.post(self.url + page.headers["location"], data={"answer": answer})
            return page

    def type_card_into(self, page: OwnPage, number: str, *, answer: str | None = None) -> dict[str, Any]:
        """Pay in the fields on a page of ours, as the stand-in's own frame does; what the browser is told."""
        shown = {"key": page.publishable_key, "client_secret": page.client_secret, "locale": "en"}
        shown |= {"account": page.account} if page.account else {}
        card = {"number": number, "expiry": "12/39", "cvc": "123"}
        with httpx2.Client(base_url=self.url, trust_env=False) as client:
            told: dict[str, Any] = client.post("/v3/confirm", json=shown | card).json()
            if answer is not None:
                assert told["intent"]["status"] == "requires_action"
                told = client.post("/v3/answer", json=shown | {"answer": answer}).json()
            return told

    def read(self, page_url: str, **params: str) -> httpx2.Response:
        with httpx2.Client(trust_env=False) as client:
            return client.get(page_url, params=params)


def connected_account(sandbox: RunningSandbox) -> str:
    """An account of the sandbox whose holder has said yes to the platform, and the platform redeemed it."""
    connect = sandbox.sandbox.engine.connect
    code = connect.grant(connect.open_account("Harbor Tours")["id"], scope="read_write", redirect_uri="")
    with sandbox.sandbox.store.transaction():
        return str(connect.token({"grant_type": "authorization_code", "code": code})["stripe_user_id"])


@contextmanager
def running(folder: Path, **configuration: Any) -> Iterator[RunningSandbox]:
    """A sandbox of its own on a free loopback port, in this process."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        sandbox = Sandbox(Configuration(state=folder, api_key=API_KEY, public_url=url, **configuration))
        server = uvicorn.Server(uvicorn.Config(sandbox.app, log_level="critical", server_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield RunningSandbox(url, sandbox)
        server.should_exit = True
        thread.join(timeout=10)


def nonce_of(page: str) -> str:
    found = re.search(r'nonce="([^"]+)"', page)
    assert found is not None
    return found[1]


def signed_now() -> int:
    """The moment a provider signs at."""
    return int(time.time())
