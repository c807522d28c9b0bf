"""A saga per test: names in, a decided trip out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.saga import Saga


@pytest.fixture
def saga(database_url: str) -> Iterator[Callable[..., Saga]]:
    made: list[Saga] = []

    def make(*names: str, **keywords: Any) -> Saga:
        made.append(Saga(database_url, *names, **keywords))
        return made[-1]

    yield make
    for one in made:
        one.close()
