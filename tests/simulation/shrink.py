"""The fewest faults that still break it: switch them off, a site or an occurrence at a time, while it still breaks.

Works because a fault has its own dice: without `provider.capture#3` every other fault falls as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.simulation.outcome import Violation

runs_max = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: the violation, if there was one, and the names of the faults that happened."""

    violation: Violation | None
    faults: tuple[str, ...]


Run = Callable[[frozenset[str]], Outcome]


def shrink(run: Run, first: Outcome) -> tuple[Outcome, frozenset[str]]:
    """The run with the fewest faults that breaks the same promise as `first`, and what was switched off for it.

    Greedy: whole sites first (`provider.capture`), then halves of what is left, then one occurrence at a time.
    """
    if first.violation is None:
        return first, frozenset()
    best, muted, runs = first, frozenset[str](), 0

    def is_as_bad(outcome: Outcome) -> bool:
        return outcome.violation is not None and outcome.violation.invariant == _of(first)

    def without(names: Iterable[str]) -> bool:
        nonlocal best, muted, runs
        wanted = muted | frozenset(names)
        if runs >= runs_max or wanted == muted:
            return False
        runs += 1
        outcome = run(wanted)
        if not is_as_bad(outcome):
            return False
        best, muted = outcome, wanted
        return True

    for site in sorted({name.partition("#")[0] for name in best.faults}):
        without([site])
    size = len(best.faults) // 2
    while size >= 1:
        left = list(best.faults)
        for start in range(0, len(left), size):
            without(left[start : start + size])
        size = size // 2 if size > 1 or len(best.faults) == len(left) else size
    return best, muted


def _of(outcome: Outcome) -> str:
    return outcome.violation.invariant if outcome.violation is not None else ""
