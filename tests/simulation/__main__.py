"""`./run simulate --histories N --seed S [--jobs J]` plays N histories, seeds S, S+1, …, and judges each of them.

    --replay SEED    the readable story of one history; `--profile NAME`: with other odds than the seed's own
    --mutants        breaks the machines in named ways and expects every break to be noticed
    --real           the same on a real PostgreSQL, with two worker processes that are killed at random

Progress goes to stderr; the last thing on stdout is one line of JSON. Exit status 1 when anything is red.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from tests.simulation import coverage, playing, story
from tests.simulation.calibration import loops_per_second
from tests.simulation.plan import Profile
from tests.simulation.playing import Report
from tests.simulation.profiles import PLAIN, PROFILES, profile_of
from tests.simulation.rows import MATRIX
from tests.simulation.shrink import Outcome, shrink


def main(words: list[str] | None = None) -> int:
    """Raises SystemExit on words it does not know."""
    parser = argparse.ArgumentParser(
        prog="simulate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J")
    parser.add_argument("--replay", type=int, metavar="SEED")
    parser.add_argument("--profile", metavar="NAME")
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--real", action="store_true")
    asked = parser.parse_args(words)
    if asked.replay is not None:
        return replay(asked.replay, _profile(asked.profile, asked.replay, parser))
    if asked.mutants:
        from tests.simulation import hunting  # loads the mutants, which nobody else needs

        return hunting.main(jobs=asked.jobs)
    if asked.real:
        from tests.simulation import real  # loads the driver of the real database

        return real.main(histories=asked.histories, seed=asked.seed)
    return simulate(histories=asked.histories, seed=asked.seed, jobs=asked.jobs)


def simulate(*, histories: int, seed: int, jobs: int) -> int:
    speed = loops_per_second()
    began = time.monotonic()
    told, said_of = began, 0

    def progress(report: Report) -> None:
        nonlocal told, said_of
        if time.monotonic() - told >= 2.0:
            told = time.monotonic()
            say(_line(report, told - began))
            for failing, what in report.failed[said_of:]:
                say(f"{_named(failing, profile_of(failing))}: {what}")
            said_of = len(report.failed)

    report = playing.play_all(range(seed, seed + histories), jobs=jobs, progress=progress)
    seconds = time.monotonic() - began
    say(_line(report, seconds))
    say("ends: " + ", ".join(f"{state} {count}" for state, count in report.ends.most_common()))
    wanted = [*coverage.transitions(), *(f"matrix: {row}" for row in MATRIX)]
    missing = coverage.uncovered(report.hits, wanted)
    wrong = coverage.taken_though_impossible(report.hits)
    first = None
    if report.failed:
        failing_seed, what = report.failed[0]
        first = _first(failing_seed, profile_of(failing_seed), what)
    is_gate = report.histories >= coverage.histories_min
    result: dict[str, Any] = {
        "histories": report.histories,
        "violations": len(report.failed),
        "seconds": round(seconds, 1),
        "transitions_uncovered": missing,
        "impossible_taken": wrong,
        "first_violation": first,
        "histories_per_second": round(report.histories / seconds, 1),
        "cpu_ms_per_history": round(1000 * report.cpu_seconds / max(report.histories, 1), 2),
        "calibration_loops_per_second": round(speed, 1),
        "histories_per_calibration_loop": round(report.histories / seconds / speed, 3),
    }
    answer(result)
    return 1 if report.failed or wrong or (is_gate and missing) else 0


def explain(seed: int, profile: Profile) -> list[str]:
    """Shrink a failing history, tell its story on stderr, and name the faults that it needs."""
    playing.quiet()
    say(f"{_named(seed, profile)} fails; looking for the fewest faults …")

    def run(muted: frozenset[str]) -> Outcome:
        return playing.outcome_of(seed, muted, profile=profile)

    outcome, muted = shrink(run, run(frozenset()))
    say(f"needed: {', '.join(outcome.faults) or 'no fault at all'}")
    world, watch, violation = playing.play(seed, profile=profile, muted=muted, is_telling=True)
    say(story.tell(world, watch, violation))
    return list(outcome.faults)


def replay(seed: int, profile: Profile) -> int:
    playing.quiet()
    world, watch, violation = playing.play(seed, profile=profile, is_telling=True)
    say(story.tell(world, watch, violation))
    first = None if violation is None else _first(seed, profile, str(violation))
    broken = int(violation is not None)
    answer({"histories": 1, "violations": broken, "seconds": 0, "transitions_uncovered": [], "first_violation": first})
    return 0 if violation is None else 1


def _first(seed: int, profile: Profile, what: str) -> dict[str, Any]:
    return {"seed": seed, "profile": profile.name, "what": what, "faults": explain(seed, profile)}


def _named(seed: int, profile: Profile) -> str:
    return f"seed {seed}, profile {profile.name!r}"


def _profile(name: str | None, seed: int, parser: argparse.ArgumentParser) -> Profile:
    """The odds of that name, a mutant's and a pinned history's too; without one, those that the seed draws."""
    if name is None:
        return profile_of(seed)
    from tests.simulation.mutants import MUTANTS  # breaks nothing until asked
    from tests.simulation.regressions import REGRESSIONS

    known = [PLAIN, *PROFILES, *(one.profile for one in REGRESSIONS)]
    known += [mutant.profile for mutant in MUTANTS if mutant.profile is not None]
    found = next((profile for profile in known if profile.name == name), None)
    if found is None:
        parser.error(f"no profile is called {name!r}: one of {', '.join(repr(one.name) for one in known)}")
    return found


def answer(result: dict[str, Any]) -> None:
    """The one line on stdout."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _line(report: Report, seconds: float) -> str:
    rate = report.histories / max(seconds, 1e-9)
    return f"{report.histories} histories, {len(report.failed)} violations, {seconds:.0f} s, {rate:.0f} a second"


if __name__ == "__main__":
    sys.exit(main())
