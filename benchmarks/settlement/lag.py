"""Goal C5: how long news takes when the provider sends so many messages a second, whatever the answers take.

Groups are open and everybody has been to their page. Then every bank says yes, in a random order, and each message of
it comes at its own evenly spaced moment (open loop), through the same inlet as in production. Worker threads do what
the commits nudge, as Celery's threads do: they read the payment, record it, decide full groups, and tell the merchant.

    kept      from the moment the message was due until it is kept and could be answered
    recorded  from there until the reading that it asks for has been recorded
    outbox    from a fact's transaction until everybody has heard of it
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from typing import Final
from uuid import UUID

from sqlalchemy import text

from benchmarks.settlement.ours import Ours
from groupbook.kit.ids import AttemptId
from groupbook.payments.inlet import Inlet
from groupbook.payments.ports import ProviderEvent

GOAL_SECONDS: Final = 1.0
PARTY: Final = 8
WORKERS: Final = 4
_SENDERS: Final = 16
_STOP: Final = None
Nudge = tuple[str, UUID, UUID]


@dataclass(frozen=True)
class Lag:
    """Seconds, each in ascending order."""

    kept: Sequence[float]
    recorded: Sequence[float]
    outbox: Sequence[float]


def p(share: float, seconds: Sequence[float]) -> float:
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


class _Threads:
    """A nudger whose messages worker threads take as they come."""

    def __init__(self) -> None:
        self.queue: Queue[Nudge | None] = Queue()

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        self.queue.put((task, merchant_id, row_id))

    @contextmanager
    def working(self, ours: Ours) -> Iterator[None]:
        """Until everything that was nudged is done."""
        threads = [threading.Thread(target=self._work, args=[ours]) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            yield
            self.queue.join()
        finally:
            for _ in threads:
                self.queue.put(_STOP)
            for thread in threads:
                thread.join()

    def _work(self, ours: Ours) -> None:
        while (nudge := self.queue.get()) is not _STOP:
            try:
                ours.do(*nudge)
            finally:
                self.queue.task_done()


def measure(url: str, *, per_second: float, seconds: float) -> Lag:
    """Send so many messages a second for so long to one process."""
    ours = Ours(url, name=f"lag-{time.monotonic_ns()}")
    try:
        attempts: list[AttemptId] = []
        while len(attempts) < per_second * seconds:
            attempts += ours.attempts(ours.ask_everybody(ours.group(PARTY)))
        random.Random(1).shuffle(attempts)
        for attempt_id in attempts:
            ours.provider.authorize(attempt_id)
        threads = _Threads()
        ours.database.nudger = threads
        with threads.working(ours):
            kept = _send(ours, attempts, per_second)
        recorded, outbox = _lags(ours)
        return Lag(sorted(kept), recorded, outbox)
    finally:
        ours.close()


def _send(ours: Ours, attempts: Sequence[AttemptId], per_second: float) -> list[float]:
    inlet = Inlet(ours.database, "stripe")
    started = time.monotonic()

    def send(number: int) -> float:
        attempt_id, due = attempts[number], started + number / per_second
        time.sleep(max(0.0, due - time.monotonic()))
        name = f"evt_{attempt_id.hex}"
        event = ProviderEvent(name, "payment_intent.amount_capturable_updated", False, name, attempt_id=attempt_id)
        inlet.keep(ours.merchant_id, event, b"{}")
        return time.monotonic() - due

    with ThreadPoolExecutor(_SENDERS) as senders:
        return list(senders.map(send, range(len(attempts))))


_RECORDED: Final = """
SELECT extract(epoch FROM (attempt.authorized_at - inbox.received_at))
FROM inbox JOIN attempt ON inbox.external_id = 'evt_' || replace(attempt.id::text, '-', '')
ORDER BY 1
"""
_TOLD: Final = """
SELECT extract(epoch FROM (fact.delivered_at - fact.recorded_at)) FROM fact
WHERE fact.recorded_at >= (SELECT min(received_at) FROM inbox)
ORDER BY 1
"""


def _lags(ours: Ours) -> tuple[list[float], list[float]]:
    with ours.database.begin(ours.merchant_id) as session:
        recorded, told = (list(session.scalars(text(asked))) for asked in (_RECORDED, _TOLD))
    if None in recorded or None in told:
        raise RuntimeError("news that nobody has heard")
    return [float(one) for one in recorded], [float(one) for one in told]
