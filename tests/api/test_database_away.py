"""The database goes away and comes back: whoever asks meanwhile is told to come again; nothing is restarted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from psycopg import sql

from tests.support.postgres import Cluster
from tests.support.saga import Saga
from tests.support.site import api, mint_key, served


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo", test_mode=True)
    yield saga
    saga.close()


@contextmanager
def away(cluster: Cluster, saga: Saga) -> Iterator[None]:
    """Nobody gets in, and who is in is thrown out."""
    name = saga.database.engine.url.database or ""
    cluster.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    ended = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = {}"
    cluster.execute(sql.SQL(ended).format(sql.Literal(name)))
    yield
    cluster.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))


def test_a_database_that_is_away_is_no_fault_of_ours_and_nothing_needs_a_restart(cluster: Cluster, saga: Saga) -> None:
    key = mint_key(saga)
    with served(saga) as url, api(url, key) as client:
        assert client.get("/v1/bookings").status_code == 200
        with away(cluster, saga):
            refused = client.get("/v1/bookings")
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            # The provider delivers a message again only when it was not taken.
            event = httpx2.post(f"{url}/in/stripe/kestrel", content=b"{}", trust_env=False)
            assert event.status_code == 503
            page = httpx2.get(f"{url}/i/x", trust_env=False)
            assert page.status_code == 503
        answers = [client.get("/v1/bookings").status_code for _ in range(8)]
        assert answers[-1] == 200
