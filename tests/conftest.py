"""Fixtures of every test: a real PostgreSQL, a fresh migrated database each, a browser, and the data beside us.

What a machine lacks is deselected with a printed count; with CI=true its absence is an error.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groupbook.kit.database import Database
from tests.support import postgres as support
from tests.support.browser import FLAGS, find_browser

SHARED = Path(os.environ.get("GROUPBOOK_SHARED", support.ROOT.parent / "shared"))
_counts = pytest.StashKey[dict[str, int]]()


def _missing() -> dict[str, str]:
    """Marker -> what to provide so that its tests run."""
    lacking = {}
    if not os.environ.get("GROUPBOOK_TEST_REDIS_URL"):
        lacking["redis"] = "set GROUPBOOK_TEST_REDIS_URL"
    if not os.environ.get("GROUPBOOK_TEST_RABBITMQ_URL"):
        lacking["rabbitmq"] = "set GROUPBOOK_TEST_RABBITMQ_URL"
    if not os.environ.get("GROUPBOOK_TEST_STRIPE_KEY"):
        lacking["stripe"] = "set GROUPBOOK_TEST_STRIPE_KEY to a test key of a Stripe account (docs/stripe.md)"
    if not (SHARED / "data").is_dir():
        lacking["shared"] = "put the data beside the project or set GROUPBOOK_SHARED"
    return lacking


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_counts] = {}
    lacking = _missing()
    lacking.pop("stripe", None)  # somebody's account on the internet: no build depends on it
    if lacking and os.environ.get("CI") == "true":
        raise pytest.UsageError("CI=true leaves nothing out; " + "; ".join(f"{m}: {how}" for m, how in lacking.items()))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lacking = _missing()
    dropped = [item for item in items if any(item.get_closest_marker(marker) for marker in lacking)]
    for item in dropped:
        for marker in lacking:
            config.stash[_counts][marker] = config.stash[_counts].get(marker, 0) + bool(item.get_closest_marker(marker))
    if dropped:
        items[:] = [item for item in items if item not in set(dropped)]
        config.hook.pytest_deselected(items=dropped)


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # an xdist worker: its controller prints
        output["deselected"] = session.config.stash[_counts]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    counts = getattr(node, "workeroutput", {}).get("deselected")
    if counts:
        node.config.stash[_counts] = counts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for marker, how in _missing().items():
        count = config.stash[_counts].get(marker)
        if count:
            terminalreporter.write_line(f"{count} tests marked {marker!r} were deselected: {how}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[support.Cluster]:
    """The PostgreSQL shared by all test processes."""
    with support.cluster() as shared:
        yield shared


@pytest.fixture(scope="session")
def template(cluster: support.Cluster) -> str:
    """The name of the migrated template database."""
    return cluster.template()


@pytest.fixture
def empty_database_url(cluster: support.Cluster) -> Iterator[str]:
    """A database without any table: for the migrations and the broker themselves."""
    with cluster.clone(None) as url:
        yield url


@pytest.fixture
def database_url(cluster: support.Cluster, template: str) -> Iterator[str]:
    """The owner's address of a fresh, migrated, empty database."""
    with cluster.lent(template) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Database:
    """The unit of work on a fresh, migrated, empty database; it wakes no worker."""
    return Database(database_url, engine=support.warm_engine(database_url))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data beside the project. Mark the test `shared`, or it fails where there is none."""
    return SHARED


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """Playwright itself. One per process, whatever browsers are started with it: a second one refuses to start."""
    from playwright.sync_api import sync_playwright  # slow to import, and only browser tests pay for it

    support.STATE.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Any) -> Iterator[Any]:
    """One headless Chromium (playwright.sync_api.Browser); a test opens its own contexts in it."""
    chromium = playwright.chromium.launch(executable_path=find_browser(support.STATE), headless=True, args=[*FLAGS])
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def strict_browser(playwright: Any) -> Iterator[Any]:
    """Chromium that blocks third-party cookies, and with them a frame's storage."""
    chromium = playwright.chromium.launch(
        executable_path=find_browser(support.STATE, whole=True),
        headless=True,
        args=[*FLAGS, "--test-third-party-cookie-phaseout"],
    )
    yield chromium
    chromium.close()
