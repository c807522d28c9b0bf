"""A worker process of the real simulation: facts, calls and sweeps until somebody kills it.

It does what `celery -A worker worker --beat` does, on the same house, without the queue in between: a message is only
a nudge, and here every row is found by its sweep. That keeps a restart at a few milliseconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import structlog

from groupbook import house as houses
from groupbook.config import Settings
from groupbook.house import House, Outside
from groupbook.webhooks.domain import Answer
from tests.simulation.served import Remote
from tests.simulation.workers import NOT_SWEPT
from worker import LISTENERS

sweep_seconds: Final = 0.5
second_look_seconds: Final = 3.0
idle_seconds: Final = 0.02


class NoSender:
    """Merchants' endpoints are not part of this."""

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, loopback_allowed: bool) -> Answer:
        return Answer(status=200, excerpt="", error=None)


def settings(url: str) -> Settings:
    """Leases, retries and looks at about a hundredth of their length."""
    return Settings(
        database_url=url,
        secret_key="a secret of the simulation, long enough",
        provider_timeout_seconds=0.4,
        merchant_timeout_seconds=0.4,
        lease_seconds=1.2,
        retry_seconds_min=0.05,
        retry_seconds_max=0.4,
        second_look_seconds=second_look_seconds,
        test_mode=True,
    )


def build(url: str, address: str, *, name: str) -> House:
    """A house whose outside is served by the parent."""

    def remote(side: str) -> Any:
        return lambda configuration, **_: Remote(address, int(configuration["history"]), side)

    return houses.build(
        settings(url),
        Outside(
            networks={},
            providers={"twin": remote("provider")},
            merchants={"twin": remote("merchant")},
            messengers=[],
            sender=NoSender(),
        ),
        name=name,
    )


def work(url: str, address: str, number: int, is_ready: Any = None) -> None:
    """Work until killed. Says when it begins to whoever waits for that."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    house = build(url, address, name=f"worker-{number}")
    deliverer = house.deliverer(LISTENERS)
    pause = threading.Event()
    merchants = house.merchant_ids()
    swept_at = 0.0
    if is_ready is not None:
        is_ready.set()
    while True:
        moved = False
        for merchant_id in merchants:
            for fact in deliverer.due(merchant_id, limit=20):
                moved |= deliverer.deliver(merchant_id, fact)
            for intent in house.runner.due(merchant_id, limit=20):
                moved |= house.runner.run(merchant_id, intent)
        if time.monotonic() - swept_at > sweep_seconds:
            swept_at = time.monotonic()
            merchants = house.merchant_ids()
            for merchant_id in merchants:
                sweep(house, merchant_id)
        if not moved:
            pause.wait(idle_seconds)


def sweep(house: House, merchant_id: UUID) -> None:
    """All that a settlement waits for: what memory's world leaves out is left out here, and nothing else."""
    for name, look in house.sweeps.items():
        if name not in NOT_SWEPT:
            look(merchant_id)
