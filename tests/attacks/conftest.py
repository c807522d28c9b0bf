"""A merchant, three friends and an attacker's tools: the real application over HTTP, twins for the outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from starlette.testclient import TestClient

from groupbook.kit.ids import to_wire
from groupbook.web.app import build_app
from tests.support.saga import Saga
from tests.support.site import mint_key

ORIGIN = "http://localhost:8000"


class Lab:
    """One house and clients that speak as somebody. A fault of ours (5xx) ends the test by itself."""

    def __init__(self, saga: Saga) -> None:
        self.saga = saga
        self._client = TestClient(build_app(saga.house), base_url=ORIGIN)
        self._client.__enter__()
        self._numbers = count(1)
        self.merchant_key = mint_key(saga)

    def ask(self, who: str, method: str, path: str, *, key: str | bytes | None = "", **more: Any) -> Any:
        """As a friend (by name), `merchant` or `nobody`. A fresh Idempotency-Key, unless one is given or None."""
        token = {"merchant": self.merchant_key, "nobody": None}.get(who, self.saga.tokens.get(who))
        headers: dict[str | bytes, str | bytes] = {"Authorization": f"Bearer {token}"} if token else {}
        if key is not None:
            headers["Idempotency-Key"] = key or f"key-{next(self._numbers)}"
        headers |= more.pop("headers", {})
        answer = self._client.request(method, path, headers=headers, **more)  # type: ignore[arg-type] # bytes, too
        assert answer.status_code < 500, answer.text
        return answer

    def refused(self, answer: Any) -> tuple[int, str]:
        """Status and code of a problem document, which says nothing of our insides."""
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        for inside in ("Traceback", "SELECT", "psycopg", "sqlalchemy", "secret"):
            assert inside not in answer.text
        return answer.status_code, answer.json()["code"]

    # --- a booking ---

    def open(self, who: str = "ada") -> str:
        opened = self.ask(who, "POST", f"/v1/trips/{to_wire('trip', self.saga.trip_id)}/bookings")
        assert opened.status_code == 201, opened.text
        self.saga.run_until_quiet()
        return str(opened.json()["id"])

    def booked(self) -> str:
        id = self.open()
        for name in self.saga.friends:
            self.saga.pay(name)
        return id

    def portion(self, name: str) -> str:
        portion_id = self.saga.portion(name).portion_id
        assert portion_id is not None
        return to_wire("por", portion_id)

    def pay(self, who: str, whose: str | None = None, **more: Any) -> Any:
        more.setdefault("json", {"locale": "en"})
        return self.ask(who, "POST", f"/v1/portions/{self.portion(whose or who)}/payments", **more)

    def money(self) -> tuple[int, ...]:
        """Everything that has to do with money and may not move: portions, pages, captures, voids, refunds."""
        twin = self.saga.provider
        rows = [
            self.saga.count(f"SELECT coalesce(sum({what}), 0) FROM portion")
            for what in ("amount", "captured", "refunded", "version")
        ]
        return (
            *rows,
            self.saga.count("SELECT count(*) FROM attempt"),
            self.saga.count("SELECT count(*) FROM refund"),
            len(twin.captures),
            len(twin.voids),
            len(twin.refunds),
        )

    def close(self) -> None:
        self._client.__exit__(None, None, None)
        self.saga.close()


@pytest.fixture
def lab(database_url: str) -> Iterator[Callable[..., Lab]]:
    made: list[Lab] = []

    def make(*names: str, **keywords: Any) -> Lab:
        made.append(Lab(Saga(database_url, *names, public_url=ORIGIN, **keywords)))
        return made[-1]

    yield make
    for one in made:
        one.close()
