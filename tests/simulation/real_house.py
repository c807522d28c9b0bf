"""Two worker processes on a real PostgreSQL, killed with SIGKILL at random and started again."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.simulation import real_worker

workers = 2
ready_seconds_max = 60.0
life_seconds = (0.4, 3.0)  # how long a worker lives while faults last


@dataclass
class Workers:
    """`workers` processes on one database. `kills` counts those that died at our hand."""

    url: str
    address: str
    seed: int
    killed: Callable[[], object]
    slowness: float = 1.0
    kills: int = 0
    _processes: dict[int, Any] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _calm: threading.Event = field(default_factory=threading.Event)

    def start(self, number: int, is_ready: Any = None) -> None:
        context = multiprocessing.get_context("forkserver")
        given = (self.url, self.address, number, is_ready)
        process = context.Process(target=real_worker.work, args=given, name=f"worker-{number}", daemon=True)
        process.start()
        self._processes[number] = process

    def be_calm(self) -> None:
        """From now on nobody is killed any more."""
        self._calm.set()

    def dead(self) -> list[int]:
        """Workers that ended by themselves: they never should."""
        return [number for number, process in self._processes.items() if process.exitcode is not None]

    def _kill_now_and_then(self) -> None:
        dice = random.Random(f"kills {self.seed}")
        while not self._calm.wait(self.slowness * dice.uniform(*life_seconds)):
            number = dice.randrange(workers)
            victim = self._processes[number]
            victim.kill()
            victim.join()
            self.kills += 1
            self.killed()
            if self._stop.is_set():
                return
            self.start(number)


@contextmanager
def running(
    url: str, address: str, seed: int, killed: Callable[[], object], *, slowness: float = 1.0
) -> Iterator[Workers]:
    """The workers, once they work, and their murderer, who tells of each death.

    Args:
        slowness: how many times as long as on a quiet machine a worker lives.
    """
    house = Workers(url, address, seed, killed, slowness)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.simulation.real_worker"])
    ready = [context.Event() for _ in range(workers)]
    for number, is_ready in enumerate(ready):
        house.start(number, is_ready)
    for is_ready in ready:
        if not is_ready.wait(ready_seconds_max):
            raise TimeoutError("a worker did not start")
    murderer = threading.Thread(target=house._kill_now_and_then, name="murderer", daemon=True)
    murderer.start()
    try:
        yield house
    finally:
        house._stop.set()
        house._calm.set()
        murderer.join()
        for process in house._processes.values():
            process.kill()
            process.join()
