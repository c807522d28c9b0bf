"""Reading a trip, voting, joining, quoting: requests per second and tail, as ratios to the ceiling (goal A1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from statistics import median

from benchmarks.load import Figure, Request, http, measure
from benchmarks.world import World

CONNECTIONS = 32


@dataclass(frozen=True)
class Subject:
    """What is asked of us and of the ceiling, and the goal for the ratio, where there is one."""

    name: str
    ours: Request
    ceiling: Request
    goal: float | None


def subjects(world: World) -> dict[str, Subject]:
    plan, seats = world.plan, world.plan.seats
    words = ("yes", "if_need_be", "no")
    guests, votes = count(), count(len(seats) * len(plan.options))

    def vote(_: int) -> bytes:
        number = next(votes)  # goes on over the rounds, so that every vote changes something
        seat, option = seats[number % len(seats)], plan.options[(number // len(seats)) % len(plan.options)]
        word = words[(number // (len(seats) * len(plan.options))) % 3]
        path = f"/v1/trips/{plan.id}/options/{option}/vote"
        return http("PUT", path, token=seat.token, body=f'{{"choice":"{word}"}}'.encode())

    def bare_vote(number: int) -> bytes:
        word = words[(number // len(seats)) % 3]
        return http("PUT", f"/vote/{number % len(seats)}", body=f'{{"choice":"{word}"}}'.encode())

    def join(number: int) -> bytes:
        invite = world.invites[next(guests) % len(world.invites)]
        return http("POST", f"/v1/invites/{invite}/join", body=f'{{"name":"Guest {number}"}}'.encode())

    def bare_join(number: int) -> bytes:
        return http("POST", "/join", body=f'{{"name":"Guest {number}"}}'.encode())

    reads = [http("GET", f"/v1/trips/{plan.id}", token=seat.token) for seat in seats]
    quotes = [http("GET", f"/v1/trips/{plan.id}/prices", token=seat.token) for seat in seats]
    known = (
        Subject("read", lambda number: reads[number % len(reads)], lambda _: http("GET", "/read"), 0.6),
        Subject("vote", vote, bare_vote, 0.5),
        Subject("join", join, bare_join, None),
        Subject("quote", lambda number: quotes[number % len(quotes)], lambda _: http("GET", "/quote"), None),
    )
    return {subject.name: subject for subject in known}


def campaign(world: World, names: Sequence[str], *, rounds: int, seconds: float) -> bool:
    """Interleaved rounds; prints one line per subject; whether every goal is met."""
    known = subjects(world)
    figures: dict[str, list[tuple[Figure, Figure]]] = {name: [] for name in names}
    for name in names:  # warm-up: connections, prepared statements, caches
        _pair(world, known[name], seconds=min(seconds, 1.0))
    for _ in range(rounds):
        for name in names:
            figures[name].append(_pair(world, known[name], seconds=seconds))
    print(f"\n{CONNECTIONS} connections, {rounds} interleaved rounds of {seconds:g} s; median of within-round ratios")
    print("        ratio     min-max   goal  by CPU  p99 ratio   ours/s  ceiling/s  p50 ms  CPU us ours/ceiling")
    met = [_print(known[name], figures[name]) for name in names]
    return all(met)


def _pair(world: World, subject: Subject, *, seconds: float) -> tuple[Figure, Figure]:
    return _one(world, "ours", subject.ours, seconds), _one(world, "ceiling", subject.ceiling, seconds)


def _one(world: World, server: str, make: Request, seconds: float) -> Figure:
    before = world.cpu_seconds(server)
    figure = measure(world.ports[server], make, connections=CONNECTIONS, seconds=seconds)
    return replace(figure, cpu_seconds=world.cpu_seconds(server) - before)


def _print(subject: Subject, pairs: Sequence[tuple[Figure, Figure]]) -> bool:
    ratios = [ours.per_second / bare.per_second for ours, bare in pairs]
    tails = [ours.percentile_ms(0.99) / bare.percentile_ms(0.99) for ours, bare in pairs]
    cpu = [(ours.cpu_us, bare.cpu_us) for ours, bare in pairs]
    refused = sum(len(figure.errors) for pair in pairs for figure in pair)
    ratio = median(ratios)
    goal = f">={subject.goal:g}" if subject.goal else "-"
    cells = [
        f"{subject.name:6} {ratio:6.2f} {min(ratios):5.2f}-{max(ratios):<5.2f} {goal:>6}",
        f"{median(bare / ours for ours, bare in cpu):7.2f} {median(tails):10.1f}",
        f"{median(o.per_second for o, _ in pairs):8.0f} {median(b.per_second for _, b in pairs):10.0f}",
        f"{median(o.percentile_ms(0.5) for o, _ in pairs):7.1f}",
        f" {median(ours for ours, _ in cpu):.0f}/{median(bare for _, bare in cpu):.0f}",
        f" {refused} refused" if refused else "",
    ]
    print(" ".join(cells), flush=True)
    return not refused and (subject.goal is None or ratio >= subject.goal)
