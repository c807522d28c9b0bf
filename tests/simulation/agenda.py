"""What is to happen later on the wall, and the threads that make it happen."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from groupbook.kit.errors import GroupbookError


class Agenda:
    """What is to happen later, and the threads that make it happen. Shared by the histories of a batch."""

    def __init__(self, threads: int = 6) -> None:
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._count = itertools.count()
        self._wake = threading.Condition()
        self._is_over = False
        self.broken: list[BaseException] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="people")
        threading.Thread(target=self._run, name="agenda", daemon=True).start()

    def at(self, wall: float, act: Callable[[], object]) -> None:
        with self._wake:
            heapq.heappush(self._heap, (wall, next(self._count), act))
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._is_over = True
            self._wake.notify()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._is_over and (not self._heap or self._heap[0][0] > time.monotonic()):
                    self._wake.wait(max(0.0, self._heap[0][0] - time.monotonic()) if self._heap else None)
                if self._is_over:
                    return
                _, _, act = heapq.heappop(self._heap)
            self._pool.submit(self._do, act)

    def _do(self, act: Callable[[], object]) -> None:
        try:
            act()
        except GroupbookError:
            return  # refused, and nobody reads the answer
        except BaseException as error:  # noqa: BLE001 - told at the end of the history; a thread has nobody to raise to
            self.broken.append(error)
