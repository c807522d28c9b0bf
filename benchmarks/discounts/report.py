"""What the samples say: milliseconds, how many times slower each peer is, the goals, and where it is weaker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from benchmarks.discounts.campaign import BRUTE, CLASSES, CP_NAMED, NAMED, OURS, PEERS, Sample
from benchmarks.discounts.parties import SPREADS, Spread
from benchmarks.discounts.peers import Run

Clock = Literal["wall", "cpu"]


Figure = Callable[[Sequence[Sample], Clock], float]


@dataclass(frozen=True)
class Goal:
    name: str
    words: str
    spread: Spread
    sizes: tuple[int, ...]
    limit: float
    figure: Figure
    at_least: bool = False

    def judge(self, samples: Sequence[Sample], clock: Clock = "wall") -> tuple[float, bool] | None:
        """The figure and whether it is met; None when nothing of the kind was measured."""
        about = [one for one in samples if one.spread == self.spread and one.size in self.sizes]
        if {one.size for one in about} != set(self.sizes):
            return None
        found = self.figure(about, clock)
        return found, found >= self.limit if self.at_least else found <= self.limit


def took(run: Run, clock: Clock = "wall") -> float:
    return run.seconds if clock == "wall" else run.cpu_seconds


def ms(samples: Iterable[Sample], name: str, clock: Clock = "wall") -> list[float]:
    return [1_000 * took(one.runs[name], clock) for one in samples if name in one.runs]


def times(samples: Iterable[Sample], name: str, clock: Clock = "wall") -> list[float]:
    """How many times slower a peer was than ours, on the same party in the same round."""
    return [took(one.runs[name], clock) / took(one.runs[OURS], clock) for one in samples if name in one.runs]


def _median_ms(samples: Sequence[Sample], clock: Clock) -> float:
    return median(ms(samples, OURS, clock))


def _max_ms(samples: Sequence[Sample], clock: Clock) -> float:
    return max(ms(samples, OURS, clock))


def _times(name: str) -> Figure:
    return lambda samples, clock: median(times(samples, name, clock))


def _share(*names: str) -> Figure:
    """Ours as a share of the fastest of these peers."""
    return lambda samples, clock: median(
        took(one.runs[OURS], clock) / min(took(one.runs[name], clock) for name in names) for one in samples
    )


def _growth(samples: Sequence[Sample], clock: Clock) -> float:
    """Of parties of 60 to parties of 30: within a round and a rule set."""
    known = {(one.round, one.rules, one.size): took(one.runs[OURS], clock) for one in samples}
    return median(known[number, rules, 60] / known[number, rules, 30] for number, rules, size in known if size == 30)


GOALS: Final = (
    Goal("O1", "30 travelers: median ms", "classes", (30,), 10, _median_ms),
    Goal("O1", "30 travelers: max ms", "classes", (30,), 25, _max_ms),
    Goal("O1", f"30: times faster than {NAMED}", "classes", (30,), 20, _times(NAMED), at_least=True),
    Goal("O1", f"30: times faster than {CLASSES}", "classes", (30,), 4, _times(CLASSES), at_least=True),
    Goal("O1", f"30: times faster than {CP_NAMED}", "classes", (30,), 10, _times(CP_NAMED), at_least=True),
    Goal("O2", "60 travelers: median ms", "classes", (60,), 40, _median_ms),
    Goal("O2", "t(60) / t(30)", "classes", (30, 60), 6, _growth),
    Goal("O2", "8 travelers: median ms", "classes", (8,), 1, _median_ms),
    Goal("O3", "distinct 30: share of fastest peer", "distinct", (30,), 1, _share(*PEERS)),
    Goal("lib", f"20-40: share of {CLASSES}", "classes", (20, 30, 40), 1.5, _share(CLASSES)),
    Goal("lib", f"distinct 20-40: share of {CLASSES}", "distinct", (20, 30, 40), 1.5, _share(CLASSES)),
    Goal("lib", f"2-8: share of {CLASSES}", "classes", (2, 4, 8), 1, _share(CLASSES)),
    Goal("lib", f"distinct 2-8: share of {CLASSES}", "distinct", (2, 4, 8), 1, _share(CLASSES)),
)


def tables(samples: Sequence[Sample]) -> None:
    """One line per rule set, spread and size; then the same over all rule sets."""
    print(
        "\nms: median (max) of ours; then how many times slower each peer is on the same party (median of the rounds)"
    )
    sets = list(dict.fromkeys(one.rules for one in samples))
    for rules in (*sets, None):
        for spread in SPREADS:
            some = [one for one in samples if one.spread == spread and rules in (None, one.rules)]
            print(f"\n{rules or 'all rule sets'}, {'one fare per class' if spread == 'classes' else 'distinct fares'}")
            print(
                "   n        ours ms  "
                + "".join(f"{name:>14}" for name in (*PEERS, BRUTE))
                + "   price(case) ms  pricing"
            )
            for size in dict.fromkeys(one.size for one in some):
                print(_line(size, [one for one in some if one.size == size]))


def _line(size: int, samples: Sequence[Sample]) -> str:
    ours, full = ms(samples, OURS), [1_000 * one.full.seconds for one in samples]
    cells = [f"{median(found):13.1f}x" if (found := times(samples, name)) else f"{'-':>14}" for name in (*PEERS, BRUTE)]
    pricing = 1_000 * median(one.pricing_seconds for one in samples)
    return (
        f"{size:4} {median(ours):7.2f} ({max(ours):6.2f}) {''.join(cells)}"
        f" {median(full):8.1f} ({max(full):6.1f}) {pricing:8.1f}"
    )


def goals(samples: Sequence[Sample]) -> bool:
    """One line per goal, judged over all rule sets together; each rule set's own figure behind it."""
    sets = list(dict.fromkeys(one.rules for one in samples))
    head = f"{'goal':48}figure  by CPU     goal          "
    print("\n" + head + "".join(f"{one:>10}" for one in sets))
    met = True
    for goal in GOALS:
        judged, by_cpu = goal.judge(samples), goal.judge(samples, "cpu")
        if judged is None or by_cpu is None:
            continue
        found, good = judged
        met &= good
        parts = [goal.judge([one for one in samples if one.rules == rules]) for rules in sets]
        cells = "".join(f"{part[0]:9.2f}{' ' if part[1] else '!'}" if part else f"{'-':>10}" for part in parts)
        bound = f"{'>=' if goal.at_least else '<='}{goal.limit:g}"
        verdict = "met" if good else "MISSED"
        print(f"{goal.name:4} {goal.words:40} {found:8.2f} {by_cpu[0]:7.2f} {bound:>8}  {verdict:8}{cells}")
    return _proofs(samples) and met


def _proofs(samples: Sequence[Sample]) -> bool:
    apart = [one for one in samples if not one.agreed]
    open_ours = [one for one in samples if not (one.runs[OURS].proven and one.full.proven)]
    open_peers = sum(not run.proven for one in samples for name, run in one.runs.items() if name != OURS)
    compared = sum(len(one.runs) for one in samples)
    print(
        f"O3   {compared} answers to {len(samples)} parties: {len(apart)} disagreements, {len(open_ours)} parties"
        f" without our proof, {open_peers} peers' answers unproven within their time"
    )
    for one in (*apart, *open_ours)[:10]:
        totals = {name: run.total for name, run in one.runs.items()} | {"price(case)": one.full.total}
        print(f"     {one.rules}-{one.spread}-{one.size}-{one.round}: {totals}")
    print("     ! behind a figure: missed by that rule set alone")
    return not apart and not open_ours
