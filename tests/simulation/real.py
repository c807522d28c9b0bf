"""`--real`: the simulator's plans on a real PostgreSQL, with two worker processes that are killed at random.

A batch of histories shares one fresh database and its workers; each history is a merchant of its own there. The twins
live in this process and are served to the workers; people and web requests are threads of this process, which is the
web server and is not killed. At the end the same judges read the database and the effects.

The wall decides who is first here, so a seed gives the same plan and not the same history.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from groupbook.bookings.models import BookingRow, BookingStepRow
from groupbook.kit.models import IntentRow
from groupbook.offers.models import HoldRow, MerchantOrderRow
from groupbook.payments.models import AttemptRow, JournalRow, PortionRow, PostingRow, RefundRow
from tests.simulation import real_house, real_worker
from tests.simulation.agenda import Agenda
from tests.simulation.faults import Fault
from tests.simulation.invariants import Watch
from tests.simulation.outcome import Violation
from tests.simulation.plan import draw
from tests.simulation.real_world import RealWorld
from tests.simulation.served import Served
from tests.support import postgres

batch_histories = 15
spin_seconds = 0.4
still_seconds_max = 60.0  # without any progress
rest_seconds_max = 300.0  # with it
TABLES = (
    BookingRow,
    BookingStepRow,
    PortionRow,
    AttemptRow,
    RefundRow,
    HoldRow,
    MerchantOrderRow,
    JournalRow,
    PostingRow,
)


@dataclass
class RealReport:
    """What a number of real histories came to."""

    histories: int = 0
    kills: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def play(seeds: range, *, progress: Callable[[RealReport], None] | None = None) -> RealReport:
    """Play these seeds, a batch at a time, each batch on a fresh database."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    report = RealReport()
    began = time.monotonic()
    with postgres.cluster() as cluster:
        template = cluster.template()
        for start in range(0, len(seeds), batch_histories):
            with cluster.clone(template) as url:
                _play_batch(url, seeds[start : start + batch_histories], report)
            report.seconds = time.monotonic() - began
            if progress is not None:
                progress(report)
    return report


def _play_batch(url: str, seeds: range, report: RealReport) -> None:
    with tempfile.TemporaryDirectory(prefix="gb-") as folder, Served(str(Path(folder) / "outside")) as served:
        house = real_worker.build(url, served.address, name="web")
        agenda = Agenda()
        worlds: list[RealWorld] = []
        slow = slowness()
        try:
            worlds += [RealWorld(draw(seed), house, agenda, number, slow) for number, seed in enumerate(seeds)]
            for world in worlds:
                served.sides |= {(world.number, side): wire for side, wire in world.wires.items()}
            killed = partial(_note_death, worlds)
            with real_house.running(url, served.address, seeds[0], killed, slowness=slow) as workers:
                for world in worlds:
                    world.begin()
                _wait(lambda: time.monotonic() > max(world.faults_end for world in worlds), still_seconds_max)
                workers.be_calm()
                _wait_for_rest(worlds)
                for world in worlds:
                    world.close()
                _wait_for_rest(worlds)  # what somebody began in the last moment
                dead = workers.dead()
                report.kills += workers.kills
            for world in worlds:
                world.end()
            for world, seed in zip(worlds, seeds, strict=True):
                report.failed += [(seed, what) for what in _judge(world)]
                report.ends.update(row["state"] for row in world.values(BookingRow))
            report.failed += [(seeds[0], f"worker {number} ended by itself") for number in dead]
            report.failed += [(seeds[0], f"a request broke: {error!r}") for error in agenda.broken]
            report.histories += len(seeds)
        finally:
            agenda.close()
            house.close()


def slowness() -> float:
    """How many times as long as alone on a core something takes here now (1 to 4). Histories are stretched by it."""
    began, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < spin_seconds:
        pass
    return min(4.0, max(1.0, (time.monotonic() - began) / spin_seconds))


def _note_death(worlds: list[RealWorld]) -> None:
    """Whatever a worker was at, it is late now: a fault of every history."""
    for world in worlds:
        world.faults.append(Fault("worker.crash", "killed", world.now))


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for it, and no longer than that: what did not come to rest is the judges' to say."""
    pause, give_up_at = threading.Event(), time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up_at:
        pause.wait(0.1)


def _wait_for_rest(worlds: list[RealWorld]) -> None:
    """Until nothing is left to do, or nothing has moved for a long while. A busy machine may take its time."""
    pause, seen, moved_at = threading.Event(), None, time.monotonic()
    give_up_at = moved_at + rest_seconds_max
    while time.monotonic() < min(moved_at + still_seconds_max, give_up_at):
        if all(world.is_at_rest() for world in worlds):
            return
        now = [world.progress() for world in worlds]
        if now != seen:
            seen, moved_at = now, time.monotonic()
        pause.wait(0.3)


def _judge(world: RealWorld) -> Iterator[str]:
    """The end of one history, by the judges of the simulator."""
    yield from world.violations
    watch = Watch(is_afterwards=True)
    try:
        with world.lock:
            for effect in world.effects:
                watch.books.add(effect)
            if watch.books.twice is not None:
                raise Violation("P3/I5", "one key had two effects", key=watch.books.twice)
            for row in world.rows(MerchantOrderRow):
                if row.hold_id is not None and watch.books.sold.get(f"ord_{row.id.hex}") is not None:
                    watch.books.held[f"hld_{row.hold_id.hex}"] = False
        watch.committed(world, [row for table in TABLES for row in world.rows(table)])
        watch.quiet(world)
    except Violation as violation:
        yield str(violation)
        sys.stderr.writelines(f"{line}\n" for line in _story(world))


def _story(world: RealWorld) -> list[str]:
    """What was committed and what happened outside, of a history that broke a promise."""
    told = [(row.at, f"booking {row.from_state} --{row.event}--> {row.to_state}") for row in world.rows(BookingStepRow)]
    told += [(one.at, f"{one.side} {one.what} {one.subject} {one.minor or ''}") for one in world.effects]
    told += [
        (row.answered_at or row.due_at, f"intent {row.kind} {row.subject}: {row.state} ({row.last_error})")
        for row in world.rows(IntentRow)
    ]
    told += [(row.updated_at, f"hold {row.id}: {row.state} ({row.reason})") for row in world.rows(HoldRow)]
    return [f"  {at:%H:%M:%S.%f}  {what}" for at, what in sorted(told)]


def main(*, histories: int, seed: int) -> int:
    """Play, say how it went, and answer in one line of JSON."""

    def progress(report: RealReport) -> None:
        sys.stderr.write(
            f"{report.histories} histories, {len(report.failed)} violations, {report.kills} workers killed, "
            f"{report.seconds:.0f} s; ends: {dict(report.ends)}\n"
        )
        sys.stderr.flush()

    report = play(range(seed, seed + histories), progress=progress)
    for failing, what in report.failed:
        sys.stderr.write(f"seed {failing}: {what}\n")
    first: dict[str, Any] | None = None
    if report.failed:
        first = {"seed": report.failed[0][0], "what": report.failed[0][1]}
    result = {
        "histories": report.histories,
        "violations": len(report.failed),
        "seconds": round(report.seconds, 1),
        "transitions_uncovered": [],
        "first_violation": first,
        "workers_killed": report.kills,
        "ends": dict(report.ends),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if report.failed else 0
