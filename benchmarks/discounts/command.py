"""`./run bench discounts [--rounds N] [--sizes 8,30] [--sets uk,db] [--instances N] [--plot [FILE]]`."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks.discounts import campaign, plot, report
from benchmarks.discounts.parties import RULE_SETS, SIZES
from benchmarks.discounts.peers import SECONDS_MAX

_PLOT: Final = Path("docs/benchmarks/discounts.svg")
_NAMES: Final = ",".join(rules.name for rules in RULE_SETS)


def add_options(parser: argparse.ArgumentParser) -> None:
    about = parser.add_argument_group("discounts")
    about.add_argument("--sizes", default=",".join(map(str, SIZES)), help="of the parties (default %(default)s)")
    about.add_argument("--sets", default=_NAMES, help="rule sets (default %(default)s)")
    about.add_argument("--instances", type=int, default=0, help="also compare our totals with HiGHS on so many parties")
    about.add_argument("--plot", type=Path, nargs="?", const=_PLOT, help=f"draw the growth (default file {_PLOT})")


def run(chosen: argparse.Namespace) -> bool:
    sizes = sorted(int(size) for size in chosen.sizes.split(","))
    sets = [rules for rules in RULE_SETS if rules.name in chosen.sets.split(",")]
    met = True
    with campaign.solvers() as field:
        before = calibrate()
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()},"
            f" {field.highs.name}, {field.cpsat.name} with 1 thread, peers stopped after {SECONDS_MAX:g} s;"
            f" calibration {before:.1f} ms",
            flush=True,
        )
        if chosen.rounds:
            samples = list(campaign.measure(field, rounds=chosen.rounds, sizes=sizes, sets=sets))
            report.tables(samples)
            met = report.goals(samples)
            if chosen.plot:
                plot.draw(samples, chosen.plot)
        if chosen.instances:
            met = compare(field, chosen.instances) and met
        print(
            f"calibration {before:.1f} ms before, {calibrate():.1f} ms after (a loop of Python; alike: a quiet machine)"
        )
    return met


def compare(field: campaign.Field, instances: int) -> bool:
    differ = [found for found in campaign.compare(field, instances) if found is not None]
    against = sum(one.against_ours for one in differ)
    verdict = "met" if not against else "MISSED"
    print(f"\nO3   {against} disagreements on {instances} random parties, goal 0: {verdict}")
    for one in differ[:20]:
        said = ", ".join(
            f"{name} {run.total}{'' if run.proven else ' (unproven)'}"
            for name, run in (("ours", one.ours), (field.highs.name, one.highs), (field.cpsat.name, one.cpsat))
        )
        print(f"     {one.case}: {said}{'' if one.against_ours else '; CP-SAT settles it for ours'}")
    return not against


def calibrate() -> float:
    """A fixed piece of Python, in ms: what this machine is worth at the moment."""

    def once() -> float:
        started, total = perf_counter(), 0
        for number in range(200_000):
            total += number * number % 7
        return 1_000 * (perf_counter() - started)

    return median(once() for _ in range(9))
