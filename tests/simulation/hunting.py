"""`./run simulate --mutants`: breaks the production code in named ways, one at a time, and plays until it is noticed.

A mutant nobody notices is a hole in the watch, or a rule that is not needed; either way it is red.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from tests.simulation import playing
from tests.simulation.mutants import MUTANTS, Mutant, mutant_of
from tests.simulation.profiles import PLAIN

first_seed = 1


@dataclass(frozen=True)
class Hunt:
    """What became of one mutant: the seed that gave it away, and by which promise; None when it survived."""

    name: str
    seed: int | None
    promise: str | None
    histories: int
    seconds: float  # of the processor


def hunt(mutant: Mutant, *, seeds: range | None = None) -> Hunt:
    """Play histories on the mutated code until one of them breaks a promise."""
    playing.quiet()
    began = time.process_time()
    played = 0
    for seed in seeds or range(first_seed, first_seed + mutant.histories_max):
        profile = mutant.profile or PLAIN
        with mutant.breaks():
            _, _, violation = playing.play(seed, profile=profile)
        played += 1
        if violation is not None and playing.play(seed, profile=profile)[2] is None:
            # The same seed keeps every promise without the mutation: it is the mutation that was noticed.
            return Hunt(mutant.name, seed, violation.invariant, played, time.process_time() - began)
    return Hunt(mutant.name, None, None, played, time.process_time() - began)


def hunt_by_name(name: str) -> Hunt:
    """For another process: a mutant's function does not travel, its name does."""
    return hunt(mutant_of(name))


def main(*, jobs: int, only: Callable[[Mutant], bool] = lambda mutant: True) -> int:
    """Hunt them all and say who was killed by which seed. 1 when one survived."""
    wanted = [mutant for mutant in MUTANTS if only(mutant)]
    began = time.monotonic()
    hunts: list[Hunt] = []
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.simulation.mutants"])
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for future in as_completed([pool.submit(hunt_by_name, mutant.name) for mutant in wanted]):
            hunts.append(future.result())
            sys.stderr.write(_line(hunts[-1]) + "\n")
            sys.stderr.flush()
    killed = [one for one in hunts if one.seed is not None]
    cpu_seconds = sum(one.seconds for one in hunts)
    sys.stderr.write(f"killed {len(killed)} of {len(hunts)}, {cpu_seconds:.0f} CPU seconds\n")
    result = {
        "killed": len(killed),
        "of": len(hunts),
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "survivors": sorted(one.name for one in hunts if one.seed is None),
        "seeds": {one.name: one.seed for one in sorted(hunts, key=lambda one: one.name)},
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if len(killed) == len(hunts) else 1


def _line(one: Hunt) -> str:
    if one.seed is None:
        return f"SURVIVED  {one.name}: {one.histories} histories in {one.seconds:.0f} s"
    return f"killed    {one.name}: seed {one.seed} by {one.promise}, history {one.histories}, {one.seconds:.1f} s"
