"""How fast this machine is just now, in loops of plain Python a second: rates are told as ratios to it."""

from __future__ import annotations

import time

rounds = 5
steps = 40_000


def loops_per_second() -> float:
    """The best of a few rounds of a fixed piece of work: dicts, tuples, attributes, calls, as a history makes them."""
    best = 0.0
    for _ in range(rounds):
        began = time.process_time()
        _work()
        best = max(best, 1.0 / max(time.process_time() - began, 1e-9))
    return best


def _work() -> int:
    kept: dict[tuple[int, str], int] = {}
    for step in range(steps):
        key = (step % 977, "row")
        kept[key] = _mix(kept.get(key, 0), step)
    return sum(kept.values())


def _mix(one: int, other: int) -> int:
    return (one * 31 + other) & 0xFFFFFFFF
