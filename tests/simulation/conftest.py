"""What playing histories changes in this process is changed back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Histories are played without a word (`playing.quiet`); the tests after them read what is logged."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
