"""Playing histories: one by its seed, many over all cores."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from tests.simulation import coverage
from tests.simulation.invariants import Watch
from tests.simulation.light import light
from tests.simulation.outcome import Violation
from tests.simulation.profiles import profile_of
from tests.simulation.rows import Rows
from tests.simulation.shrink import Outcome
from tests.simulation.world import Profile, World, draw

chunk_histories = 50
_histories_per_collection: Final = 10


@dataclass
class Report:
    """What a number of histories came to. `failed` are (seed, what broke), in the order of their seeds."""

    histories: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0
    calls_max: int = 0

    def add(self, other: Report) -> None:
        self.histories += other.histories
        self.failed = sorted(self.failed + other.failed)
        self.hits.update(other.hits)
        self.ends.update(other.ends)
        self.cpu_seconds += other.cpu_seconds
        self.calls_max = max(self.calls_max, other.calls_max)


def quiet() -> None:
    """The house speaks of every parked booking; a hundred thousand histories are not read line by line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def play(
    seed: int,
    *,
    profile: Profile | None = None,
    muted: frozenset[str] = frozenset(),
    is_telling: bool = False,
) -> tuple[World, Watch, Violation | None]:
    """One history, from its seed alone: the same every time. Without a profile, the one that the seed draws."""
    watch = Watch(Rows() if not muted else None)
    world = World(draw(seed, profile or profile_of(seed)), muted=muted, watch=watch, telling=is_telling)
    try:
        world.run()
    except Violation as violation:
        return world, watch, violation
    return world, watch, None


def outcome_of(seed: int, muted: frozenset[str], *, profile: Profile | None = None) -> Outcome:
    """For the shrinker."""
    world, _, violation = play(seed, profile=profile, muted=muted)
    return Outcome(violation, tuple(fault.name for fault in world.faults))


def play_chunk(seeds: Sequence[int], profile: Profile | None = None) -> Report:
    """Some histories in this process."""
    quiet()
    coverage.install()
    coverage.HITS.clear()
    report = Report()
    began = time.process_time()
    for seed in _tidied(seeds):
        _play_into(report, seed, profile)
    report.hits.update(coverage.HITS)
    report.cpu_seconds = time.process_time() - began
    return report


def _play_into(report: Report, seed: int, profile: Profile | None) -> None:
    _, watch, violation = play(seed, profile=profile)
    report.histories += 1
    if violation is not None:
        report.failed.append((seed, str(violation)))
    report.ends.update(known.state for known in watch.bookings.values())
    report.calls_max = max(report.calls_max, max(watch.calls.values(), default=0))


def _tidied(seeds: Sequence[int]) -> Iterator[int]:
    """The seeds, and between their histories what is left of the worlds that ended is collected.

    In the midst of a history the collector would look at the same living world again and again, and find nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with light():
            for number, seed in enumerate(seeds, 1):
                yield seed
                if number % _histories_per_collection == 0:
                    gc.collect(0)  # all of it is young, and nobody holds on to any of it
    finally:
        if was_enabled:
            gc.enable()


def play_all(
    seeds: range,
    *,
    jobs: int,
    profile: Profile | None = None,
    progress: Callable[[Report], None] | None = None,
    failures_max: int = 5,
) -> Report:
    """All of them, over `jobs` processes; stops early when that many have failed."""
    whole = Report()
    chunks = (seeds[start : start + chunk_histories] for start in range(0, len(seeds), chunk_histories))
    for report in _spread(chunks, profile, jobs):
        whole.add(report)
        if progress is not None:
            progress(whole)
        if len(whole.failed) >= failures_max:
            break
    return whole


def _spread(chunks: Iterator[range], profile: Profile | None, jobs: int) -> Iterator[Report]:
    if jobs <= 1:
        for chunk in chunks:
            yield play_chunk(chunk, profile)
        return
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.simulation.playing"])
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running: set[Future[Report]] = set()
        try:
            for chunk in chunks:
                running.add(pool.submit(play_chunk, chunk, profile))
                if len(running) >= 2 * jobs:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)
