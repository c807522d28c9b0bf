"""`python -m benchmarks [read] [vote] [join] [quote] [live] [--rounds N] [--seconds S] [--readers N]`, or

`python -m benchmarks holds`, a simulation that takes a second and is the same each time, or

`python -m benchmarks discounts [--rounds N] [--sizes 8,30] [--sets uk,db] [--instances N] [--plot [FILE]]`, a run of
its own: nothing is served there, and its peers are installed for it alone; or

`python -m benchmarks settlement [--rounds N] [--seconds S] [--parties 2,8,32,60] [--clients N]
[--per-second M]`, likewise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import api, holds, live
from benchmarks.discounts import command as discounts
from benchmarks.settlement import command as settlement
from benchmarks.world import World

NAMES = ("read", "vote", "join", "quote", "live")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Ratios to bare ceilings, measured in this run.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"of {', '.join(NAMES)}; all of these when none is given; or holds, or discounts",
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement (default 2)")
    parser.add_argument("--readers", type=int, default=1_000, help="live listeners (default 1000)")
    parser.add_argument("--state", type=Path, help="where the database lives; a temporary folder when not given")
    discounts.add_options(parser)
    settlement.add_options(parser)
    chosen = parser.parse_args()
    names = chosen.names or list(NAMES)
    if names == ["holds"]:
        return 0 if holds.campaign() else 1
    if names == ["discounts"]:
        return 0 if discounts.run(chosen) else 1
    if names == ["settlement"]:
        return 0 if settlement.run(chosen) else 1
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="groupbook-bench-") as folder, World(chosen.state or Path(folder)) as world:
        print(world.describe(), flush=True)
        wanted = [name for name in names if name != "live"]
        met = [api.campaign(world, wanted, rounds=chosen.rounds, seconds=chosen.seconds)] if wanted else []
        if "live" in names:
            met.append(live.campaign(world, rounds=chosen.rounds, readers=chosen.readers))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
