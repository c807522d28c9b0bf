"""`./run bench settlement [--rounds N] [--seconds S] [--parties 2,8,32,60] [--clients 8] [--per-second 100]`."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final

import structlog

from benchmarks.settlement import bare, lag
from benchmarks.settlement.ours import Group, Ours
from benchmarks.settlement.wire import PREPARED_AFTER, Cost, Wire
from groupbook.kit import postgres
from groupbook.kit.database import migrate

OURS: Final = "ours"
STRETCHES: Final = ("open", "pages", "authorizations", "decision", "telling")
_GOAL_SET, _GOAL_ORM, _GOAL_LINEAR = 0.6, 1.5, 1.2


@dataclass
class Rates:
    """Checkouts a second of one shape and party, one figure per round."""

    figures: list[float] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return median(self.figures)


def add_options(parser: argparse.ArgumentParser) -> None:
    about = parser.add_argument_group("settlement")
    about.add_argument("--parties", default="2,8,32,60", help="sizes counted (default %(default)s)")
    about.add_argument("--clients", type=int, default=8, help="processes that check out at once (default 8)")
    about.add_argument("--per-second", type=float, default=100.0, help="messages of the provider (default 100)")


def run(chosen: argparse.Namespace) -> bool:
    parties = sorted(int(size) for size in chosen.parties.split(","))
    with ExitStack() as stack:
        state = chosen.state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groupbook-bench-")))
        server = postgres.start(state / "postgres")
        stack.callback(server.stop)
        urls = {}
        for name in ("ours", "bare"):
            server.drop_database(f"bench_{name}")
            server.create_database(f"bench_{name}")
            urls[name] = server.url(f"bench_{name}")
        migrate(urls["ours"])
        bare.create_tables(urls["bare"])
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, PostgreSQL durable; twins for the outside")
        is_cheap = count(urls, parties)
        is_fast = speed(urls, rounds=chosen.rounds, seconds=chosen.seconds, clients=chosen.clients)
        is_prompt = promptness(urls["ours"], per_second=chosen.per_second, seconds=chosen.seconds)
    return is_cheap and is_fast and is_prompt


# --- counts -----------------------------------------------------------------------------------------------------------


def count(urls: dict[str, str], parties: list[int]) -> bool:
    """Commits and round trips of one checkout, at the wire, by stretch; goals C1 and C2."""
    print("\ncommits / round trips of one checkout, webhooks (authorizations) and telling apart")
    print(f"{'N':>4} {'set':>9} {'orm':>10}   " + " ".join(f"{name:>15}" for name in STRETCHES) + "   checkout   goal")
    met = True
    for n in parties:
        bares = [_bare_cost(name, urls["bare"], n) for name in bare.SHAPES]
        costs = _our_costs(urls["ours"], n)
        whole = costs["open"] + costs["pages"] + costs["decision"]
        is_met = whole.commits <= 2 * n + 2 and whole.round_trips <= 3 * n + 6
        met = met and is_met
        print(
            f"{n:>4} {_pair(bares[0]):>9} {_pair(bares[1]):>10}   "
            + " ".join(f"{_pair(costs.get(name, Cost())):>15}" for name in STRETCHES)
            + f"   {_pair(whole):>8}   {2 * n + 2}/{3 * n + 6} {'met' if is_met else 'MISSED'}",
            flush=True,
        )
    print("finalizing (captures, ledger, confirmation, facts) is one of the decision's commits, whatever N is")
    return met


def _pair(cost: Cost) -> str:
    return f"{cost.commits}/{cost.round_trips}"


def _bare_cost(name: str, url: str, n: int) -> Cost:
    checkout, subject = bare.shape(name, url)
    with Wire(None if name == "set" else subject) as wire:
        if name == "set":
            wire.listen(subject)
        checkout(n)
        wire.take()
        checkout(n)
        return wire.take()


def _our_costs(url: str, n: int) -> dict[str, Cost]:
    """Of a checkout in a process that has had some: what a connection does once is not counted."""
    costs: dict[str, Cost] = {}
    ours: Ours | None = None
    with ExitStack() as stack:

        def phase(name: str) -> None:
            if wire is not None:
                costs[name] = costs.get(name, Cost()) + wire.take()

        wire: Wire | None = None
        ours = Ours(url, name=f"counted-{n}", phase=phase)
        stack.callback(ours.close)
        *before, counted = *(ours.group(2) for _ in range(PREPARED_AFTER)), ours.group(n)
        wire = stack.enter_context(Wire(ours.database.engine))
        for group in before:
            ours.checkout(group)
        costs.clear()
        ours.checkout(counted)
        wire = None
    return costs


# --- rates ------------------------------------------------------------------------------------------------------------


def speed(urls: dict[str, str], *, rounds: int, seconds: float, clients: int) -> bool:
    """Checkouts a second of parties of 8 by so many processes, and a participant's cost at 32 to that at 8."""
    rates: dict[tuple[str, int], Rates] = {}
    shapes = [*((name, 8) for name in (*bare.SHAPES, OURS)), (OURS, 32)]
    with ProcessPoolExecutor(clients, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        for _ in range(rounds):
            for shape, n in shapes:
                url = urls["ours" if shape == OURS else "bare"]
                done = pool.map(_measure, [(shape, url, n, seconds)] * clients)
                rates.setdefault((shape, n), Rates()).figures.append(sum(done))
    eight = {shape: rates[shape, 8] for shape in (*bare.SHAPES, OURS)}
    to_set = _ratio(eight[OURS], eight["set"])
    to_orm = _ratio(eight[OURS], eight["orm"])
    linear = median((8 * e) / (32 * t) for e, t in zip(eight[OURS].figures, rates[OURS, 32].figures, strict=True) if t)
    print(f"\nparties of 8, {clients} processes, {rounds} interleaved rounds of {seconds:g} s; groups a second")
    for shape, rate in eight.items():
        print(f"  {shape:5} {rate.middle:8.1f}  ({min(rate.figures):.1f} to {max(rate.figures):.1f})")
    print(f"  ours / set  {to_set:.4f}   goal >= {_GOAL_SET:g}: {_verdict(to_set >= _GOAL_SET)}")
    print(f"  ours / orm  {to_orm:.4f}   goal >= {_GOAL_ORM:g}: {_verdict(to_orm >= _GOAL_ORM)}")
    print(
        f"  a participant's time at N = 32 to that at N = 8: {linear:.2f}   goal <= {_GOAL_LINEAR:g}: "
        f"{_verdict(linear <= _GOAL_LINEAR)}"
    )
    return to_set >= _GOAL_SET and to_orm >= _GOAL_ORM and linear <= _GOAL_LINEAR


# --- news -------------------------------------------------------------------------------------------------------------


def promptness(url: str, *, per_second: float, seconds: float) -> bool:
    """Goal C5: the outbox's lag under so many messages a second."""
    _quiet()
    found = lag.measure(url, per_second=per_second, seconds=seconds)
    print(
        f"\n{per_second:g} messages of the provider a second for {seconds:g} s, parties of {lag.PARTY}, one process,"
        f" {lag.WORKERS} worker threads; lag in ms"
    )
    for name in ("kept", "recorded", "outbox"):
        figures = getattr(found, name)
        print(f"  {name:8}  p50 {1000 * lag.p(0.5, figures):7.1f}   p99 {1000 * lag.p(0.99, figures):7.1f}")
    is_met = lag.p(0.99, found.outbox) <= lag.GOAL_SECONDS
    print(f"  outbox p99 goal <= {1000 * lag.GOAL_SECONDS:g}: {_verdict(is_met)}")
    return is_met


def _ratio(ours: Rates, theirs: Rates) -> float:
    return median(one / other for one, other in zip(ours.figures, theirs.figures, strict=True))


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def _measure(given: tuple[str, str, int, float]) -> float:
    """Checkouts a second of one process; making the groups is not timed."""
    shape, url, n, seconds = given
    checkout, close = _bare(shape, url, n) if shape != OURS else _ours(url, n)
    try:
        spent, finished = 0.0, 0
        while spent < seconds:
            spent += checkout()
            finished += 1
        return finished / spent
    finally:
        close()


def _bare(shape: str, url: str, n: int) -> tuple[Callable[[], float], Callable[[], object]]:
    make, subject = bare.shape(shape, url)
    make(n)
    return lambda: _timed(lambda: make(n)), subject.close if shape == "set" else subject.dispose


def _ours(url: str, n: int) -> tuple[Callable[[], float], Callable[[], object]]:
    ours = Ours(url, name=f"bench-{os.getpid()}-{time.monotonic_ns()}")
    ours.checkout(ours.group(2))

    def once() -> float:
        group: Group = ours.group(n)
        return _timed(lambda: ours.checkout(group))

    return once, ours.close


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
