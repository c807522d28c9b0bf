"""The demo as a newcomer runs it, and a browser as strict as the strictest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.journeys import crowd as stages
from tests.journeys.crowd import PHONE, Stage, Trio
from tests.journeys.story import Story
from tests.support.demo import RunningDemo, running_demo


@pytest.fixture(scope="package")
def state_folder() -> Iterator[Callable[[], Path]]:
    """Folders with short names: a PostgreSQL socket's path must stay under a hundred characters."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="gb-")))
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def demo(state_folder: Callable[[], Path]) -> Iterator[RunningDemo]:
    """The demo on its authored catalogue, shared by the journeys of one test process.

    Not for the whole session: what runs here would keep a core busy while all other tests wait for it.
    """
    with running_demo(state_folder()) as running:
        yield running


@pytest.fixture
def story(strict_browser: Browser, demo: RunningDemo) -> Iterator[Story]:
    shots = os.environ.get("GROUPBOOK_TEST_SHOTS")  # where to keep pictures of the steps, for docs/screenshots
    one = Story(demo, strict_browser, shots=Path(shots) if shots else None)
    yield one
    one.close()


@pytest.fixture(scope="package")
def stage(browser: Browser, state_folder: Callable[[], Path]) -> Iterator[Stage]:
    """The house in processes of its own, shared by the journeys of one test process that pay there."""
    shots = os.environ.get("GROUPBOOK_TEST_SHOTS")
    with stages.running(state_folder(), browser, Path(shots) if shots else None) as running:
        yield running


@pytest.fixture(scope="package")
def trio(stage: Stage) -> Iterator[Trio]:
    """Three browsers for many bookings: at a desk, on a phone, in French."""
    friends = stage.friend(), stage.friend(viewport=PHONE), stage.friend(locale="fr-FR")
    yield friends
    for friend in friends:
        friend.context.close()
