"""The pages on a whole house with twins; browsers are test clients that keep their cookies and say where they stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from groupbook import merchants
from groupbook.web import pages, sponsor_pages, waiting_pages
from groupbook.web.app import build_app
from groupbook.web.deps import WebDeps
from integrations.social.twin import TwinNetwork
from tests.support.saga import Saga
from tests.support.site import PASSWORD, staff_token, text_of

ORIGIN = "http://localhost:8000"
EMAIL = "ines@kestrel.example"
SHOP = "http://127.0.0.1:8001"


class Site:
    """groupbook's pages for one merchant, and as many browsers as asked for."""

    def __init__(self, saga: Saga, url: str = ORIGIN, shop: str = SHOP) -> None:
        self.saga = saga
        self.url, self.shop = url, shop
        self.network = TwinNetwork().network
        with saga.database.begin(saga.merchant_id) as session:
            merchants.add_embed_origin(session, shop)
        self.deps = WebDeps(
            database=saga.database,
            sealer=saga.house.sealer,
            runner=saga.house.runner,
            providers=saga.house.providers,
            adapter_of=saga.house.adapter_of,
            networks={self.network.name: self.network},
            public_url=url,
            policy=saga.house.policy,
            payment_origins=("https://pay.example",),
            test_mode=True,
        )
        letters = saga.house.letters
        routes = [*pages.routes(self.deps), *waiting_pages.routes(self.deps, letters)]
        self.app = Starlette(routes=[*routes, *sponsor_pages.routes(self.deps, letters)])

    def browser(self, language: str = "en") -> Browser:
        return Browser(self.app, language)


class Browser(TestClient):
    """Somebody's browser, standing on our own pages."""

    def __init__(self, app: Starlette, language: str) -> None:
        super().__init__(app, base_url=ORIGIN, headers={"Origin": ORIGIN, "Accept-Language": language})

    def start(self, name: str, offer: str, **fields: Any) -> str:
        """Start a trip as a guest; the trip's address."""
        form = {"title": "Lights", "name": name, "offer": offer, "rule": "organizer", **fields}
        answer = self.post("/start?merchant=kestrel", data=form, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def join(self, invite: str, name: str) -> str:
        answer = self.post(invite, data={"name": name}, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def act(self, trip: str, act: str, **fields: Any) -> Any:
        return self.post(f"{trip}/{act}", data=fields)

    def invite_of(self, trip: str) -> str:
        found = re.search(r'value="http://localhost:8000(/i/[^"]+)"', self.get(trip).text)
        assert found is not None
        return found[1]

    def option_of(self, trip: str) -> str:
        found = re.search(r'name="option" value="(opt_[0-9a-f]+)"', self.get(trip).text)
        assert found is not None
        return found[1]


@pytest.fixture
def site(database_url: str) -> Iterator[Site]:
    saga = Saga(database_url, "Nobody")
    yield Site(saga)
    saga.close()


@pytest.fixture
def read() -> Callable[[str], str]:
    return text_of


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo", public_url=ORIGIN)
    yield saga
    saga.close()


@pytest.fixture
def client(saga: Saga) -> Iterator[TestClient]:
    """Somebody of the merchant's staff, logged in to the dashboard."""
    staff_token(saga, email=EMAIL)
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        client.post("/dashboard/login", data={"email": EMAIL, "password": PASSWORD})
        yield client
