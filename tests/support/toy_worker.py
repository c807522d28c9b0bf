"""A whole small worker for the tests of the queue: one kind of intent, whose outside world is a file.

The file is the other side: it deduplicates by key, as every real one does, and writes down each effect. A call takes
`GROUPBOOK_TOY_CALL_SECONDS`, so that a test can kill the worker in the middle of one.
"""

import json
import os
import time
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import broker, facts
from groupbook.kit.database import Database
from groupbook.kit.errors import Refused
from groupbook.kit.facts import Deliverer, Fact
from groupbook.kit.intents import Intent
from groupbook.kit.runner import Runner, RunnerSettings

DATABASE_URL = os.environ["GROUPBOOK_DATABASE_URL"]
WORLD = Path(os.environ["GROUPBOOK_TOY_WORLD"])
MERCHANT = UUID(os.environ["GROUPBOOK_TOY_MERCHANT"])
CALL_SECONDS = float(os.environ.get("GROUPBOOK_TOY_CALL_SECONDS", "0"))

app = broker.celery_app(
    database_url=DATABASE_URL,
    broker_url=os.environ.get("GROUPBOOK_BROKER_URL", broker.IN_DATABASE),
    sweep_seconds=float(os.environ.get("GROUPBOOK_TOY_SWEEP_SECONDS", "0.25")),
    visibility_timeout_seconds=300,  # redelivery is not what saves the work here
)


class World:
    """Calls append `started` and, once per key, `done`."""

    def call(self, intent: Intent) -> Any:
        _append("started", intent.key)
        time.sleep(CALL_SECONDS)
        if ("done", intent.key) not in read(WORLD):
            _append("done", intent.key)
        return "done"

    def observe(self, intent: Intent) -> Any | None:
        return "done" if ("done", intent.key) in read(WORLD) else None

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        facts.record(session, "toy.done", subject=intent.subject)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        return None


def read(world: Path) -> list[tuple[str, str]]:
    lines = world.read_text().splitlines() if world.exists() else []
    return [tuple(json.loads(line)) for line in lines]


def _append(*words: str) -> None:
    with WORLD.open("a") as file:
        file.write(json.dumps(words) + "\n")


def _heard(session: Session, fact: Fact) -> None:
    _append("heard", fact.subject.hex)


@cache
def work() -> broker.Work:
    database = Database(DATABASE_URL, nudger=broker.CeleryNudger(app), name="toy")
    settings = RunnerSettings(lease_seconds=2.0, retry_seconds_min=0.1, retry_seconds_max=1.0)
    return broker.Work(
        runner=Runner(database, {"toy": World()}, settings),
        deliverer=Deliverer(database, {"toy.done": [("toy", _heard)]}),
        merchants=lambda: [MERCHANT],
        jobs={},
        sweeps={"toy": lambda merchant_id: None},
    )


broker.add_tasks(app, work)
