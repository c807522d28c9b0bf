"""The worker: which fact is heard by whom, who makes which outside call, and what is swept. All of it in plain sight.

    celery -A worker worker --pool threads …      does the work
    celery -A worker beat                         asks for a sweep every `GROUPBOOK_SWEEP_SECONDS`

With `main.py` and `cli.py` the only file that loads integrations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from uuid import UUID

from groupbook import merchants
from groupbook.config import Settings
from groupbook.kit import broker
from groupbook.kit.database import Database
from groupbook.kit.facts import Deliverer, Listeners
from groupbook.kit.intents import IntentHandler, Runner, RunnerSettings

# Fact -> who hears of it, in floors from low to high. A listener is a step: it composes and calls nobody outside.
LISTENERS: Listeners = {}

# Rows besides intents and facts that are woken after a commit, by the name their room nudges with.
JOBS: tuple[str, ...] = ()

settings = Settings()
app = broker.celery_app(
    database_url=settings.database_url, broker_url=settings.broker_url, sweep_seconds=settings.sweep_seconds
)


def intent_handlers() -> Mapping[str, IntentHandler]:
    """Kind of intent -> who calls the outside for it."""
    return {}


@cache
def work() -> broker.Work:
    """Everything the tasks need, once per worker process."""
    database = Database(settings.database_url, nudger=broker.CeleryNudger(app), name="groupbook-worker")
    runner_settings = RunnerSettings(
        lease_seconds=settings.lease_seconds,
        retry_seconds_min=settings.retry_seconds_min,
        retry_seconds_max=settings.retry_seconds_max,
    )

    def merchant_ids() -> list[UUID]:
        return [merchant.id for merchant in merchants.all_merchants(database)]

    return broker.Work(
        runner=Runner(database, intent_handlers(), runner_settings),
        deliverer=Deliverer(database, LISTENERS),
        merchants=merchant_ids,
        jobs={},
        sweeps={},
    )


broker.add_tasks(app, work, jobs=JOBS)
