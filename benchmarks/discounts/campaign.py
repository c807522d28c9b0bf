"""One party after the other, every solver on each, in interleaved rounds; and many small parties for the totals only.

Ours is timed from the parsed case: rules, prices, search, proof. A peer is timed from the finished programme: building
its model from arrays, and solving. Pricing the seats for them is shown, and counted for nobody.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Final

from benchmarks.discounts import brute, offers, programs
from benchmarks.discounts.parties import RULE_SETS, SPREADS, RuleSet, Spread, catalogue, party
from benchmarks.discounts.peers import PATIENCE_SECONDS, RUNS, Run, Solver
from groupbook.discounts.engine import Case, parse_case
from groupbook.discounts.engine import optimum as ours_optimum
from groupbook.discounts.engine import price as ours_price
from groupbook.discounts.engine.errors import DiscountError

OURS: Final = "ours"
NAMED: Final = "HiGHS 0/1"  # every traveler and every group by name: the obvious programme
COUNTED: Final = "HiGHS groups"  # 0/1 per traveler, groups counted
CLASSES: Final = "HiGHS class"  # counts per class
CP_NAMED: Final = "CP-SAT 0/1"
CP_CLASSES: Final = "CP-SAT class"
BRUTE: Final = "brute force"
PEERS: Final = (NAMED, COUNTED, CLASSES, CP_NAMED, CP_CLASSES)
_BRUTE_INSTANCES_MAX: Final = 2_000


@dataclass(frozen=True)
class Sample:
    """One party of one round: what each solver found and took. `full`: price(case) with explanation; None: refused."""

    rules: str
    spread: Spread
    size: int
    round: int
    runs: dict[str, Run]
    pricing_seconds: float
    full: Run

    @property
    def agreed(self) -> bool:
        return len({run.total for run in (*self.runs.values(), self.full) if run.proven}) == 1

    @property
    def proven(self) -> bool:
        return all(run.proven for run in (*self.runs.values(), self.full))


@dataclass(frozen=True)
class Programs:
    """One party's programmes, written before any clock runs."""

    party: offers.Party
    named: programs.Program
    counted: programs.Program
    classes: programs.Program
    pricing_seconds: float

    @classmethod
    def of(cls, case: Case) -> Programs:
        started = perf_counter()
        priced = offers.priced(case)
        pricing_seconds = perf_counter() - started
        apart = programs.one_by_one(priced)
        return cls(
            party=priced,
            named=programs.program(apart, programs.singles(apart)),
            counted=programs.program(priced, programs.singles(priced)),
            classes=programs.program(priced, programs.alike(priced)),
            pricing_seconds=pricing_seconds,
        )


@dataclass(frozen=True)
class Field:
    """Everybody who takes part."""

    highs: Solver
    cpsat: Solver

    def entrants(self, document: object, written: Programs) -> dict[str, Callable[[], Run]]:
        found = {
            OURS: lambda: _timed(document, _optimum),
            NAMED: lambda: self.highs.solve(written.named),
            COUNTED: lambda: self.highs.solve(written.counted),
            CLASSES: lambda: self.highs.solve(written.classes),
            CP_NAMED: lambda: self.cpsat.solve(written.named),
            CP_CLASSES: lambda: self.cpsat.solve(written.classes),
        }
        if brute.finishes(written.party):
            found[BRUTE] = lambda: _timed(document, lambda _: (brute.cheapest(written.party), True))
        return found


@contextmanager
def solvers() -> Iterator[Field]:
    with Solver("highs") as highs, Solver("cpsat") as cpsat:
        yield Field(highs, cpsat)


def measure(field: Field, *, rounds: int, sizes: Sequence[int], sets: Sequence[RuleSet]) -> Iterator[Sample]:
    """Each round meets every rule set, spread and size with a party of its own, and turns the order of the solvers."""
    _sample(field, sets[0], "classes", min(sizes), -1)  # warm-up: imports, caches, the solvers' first model
    for number in range(rounds):
        for size in sizes:
            print(f"\rround {number + 1} of {rounds}, parties of {size} ", end="", file=sys.stderr, flush=True)
            for rules in sets:
                for spread in SPREADS:
                    yield _sample(field, rules, spread, size, number)
    print(file=sys.stderr)


def _sample(field: Field, rules: RuleSet, spread: Spread, size: int, number: int) -> Sample:
    document = party(rules, size, spread, number)
    written = Programs.of(parse_case(document, catalogue()))
    entrants = list(field.entrants(document, written).items())
    turn = number % len(entrants)
    runs = {name: solve() for name, solve in (*entrants[turn:], *entrants[:turn])}
    return Sample(rules.name, spread, size, number, runs, written.pricing_seconds, _timed(document, _full))


def _timed(document: object, solve: Callable[[Case], tuple[int | None, bool]]) -> Run:
    """Every run gets a case of its own, so that nothing it keeps can help the next one."""
    seconds: list[float] = []
    cpu: list[float] = []
    while not seconds or (len(seconds) < RUNS and sum(seconds) < PATIENCE_SECONDS):
        case = parse_case(document, catalogue())
        started, used = perf_counter(), process_time()
        total, proven = solve(case)
        seconds.append(perf_counter() - started)
        cpu.append(process_time() - used)
    return Run.of(total, proven, seconds, cpu)


def _optimum(case: Case) -> tuple[int | None, bool]:
    try:
        found = ours_optimum(case)
    except DiscountError:
        return None, False
    return found.total, found.optimal and found.bound == found.total


def _full(case: Case) -> tuple[int | None, bool]:
    try:
        found = ours_price(case)
    except DiscountError:
        return None, False
    return found.total, found.proof.optimal and found.proof.bound == found.total


@dataclass(frozen=True)
class Difference:
    """A party on which ours and HiGHS did not both prove one total, and what CP-SAT says of the same programme."""

    case: str
    ours: Run
    highs: Run
    cpsat: Run
    enumerated: int | None  # None: too many assignments

    @property
    def against_ours(self) -> bool:
        """Whether ours is unproven, or not what CP-SAT proves (or, where that has no proof, HiGHS)."""
        if not self.ours.proven or self.enumerated not in (None, self.ours.total):
            return True
        judge = self.cpsat if self.cpsat.proven else self.highs
        return judge.proven and judge.total != self.ours.total


def compare(field: Field, instances: int) -> Iterator[Difference | None]:
    """Random small and middling parties: our total beside HiGHS, in turn by name and by class, and enumeration."""
    dice = random.Random(instances)
    for number in range(instances):
        rules, spread = dice.choice(RULE_SETS), dice.choice(SPREADS)
        size = dice.choice((2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24))
        document = party(rules, size, spread, 1_000 + number)
        priced = offers.priced(parse_case(document, catalogue()))
        classes = programs.alike if number % 2 else programs.singles
        written = programs.program(priced, classes(priced))
        ours, peer = _timed(document, _optimum), field.highs.solve(written)
        few = brute.assignments(priced) <= _BRUTE_INSTANCES_MAX
        enumerated = brute.cheapest(priced) if few else None
        same = ours.proven and peer.proven and ours.total == peer.total and enumerated in (None, ours.total)
        name = str(document["id"])
        yield None if same else Difference(name, ours, peer, field.cpsat.solve(written), enumerated)
