"""`./run bench holds`: what keeping places for groups costs a merchant, ours against a fixed hold of 72 hours.

Held seat-hours per confirmed seat on 1,000 simulated groups, the same groups both ways. A hold of ours starts short,
earns time with each authorized portion, lapses when the group falls silent and is placed again by the next portion.
What it earns is decided by `groupbook.offers.holding.earn`, the rule of production, and by no copy of it.

The load is an assumption, stated here and varied below, because nobody publishes such figures:

    size           2 to 12 people, pairs most often; 4.3 on average
    the organizer  authorizes first, after minutes (exponential, mean 10 minutes)
    each friend    answers after a log-normal time: half within 2 hours, one in twenty later than 14
    never          in 40 % of the groups at least one friend never answers; each of the others does with even odds
    window         72 hours: whoever has not answered by then is too late, both ways

Conversion is equal because the groups are: a group is complete when its last portion is authorized within the window,
and its places are then kept or asked for again. While they are on sale somebody else may buy them, which a fixed hold
rules out; the table says how often places were on sale, and how many groups would have lost them if so many trains
sold out in each hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import exp, log
from random import Random
from typing import Final

from groupbook.offers.holding import Holding, HoldMove, HoldTerms, earn

HOUR: Final = 3_600
GOAL: Final = 0.2
SIZES: Final = {2: 30, 3: 18, 4: 16, 5: 10, 6: 9, 7: 4, 8: 5, 9: 2, 10: 3, 11: 1, 12: 2}
OPENED: Final = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
WINDOW_SECONDS: Final = 72 * HOUR
TERMS: Final = HoldTerms(seconds_first=HOUR, seconds_per_portion=HOUR, seconds_max=WINDOW_SECONDS)
SOLD_OUT_PER_HOUR: Final = (0.001, 0.01)


@dataclass(frozen=True)
class Load:
    """The groups that come, by the distributions above."""

    groups: int = 1_000
    never_share: float = 0.4
    median_hours: float = 2.0
    spread: float = 1.2
    seed: int = 20261123


@dataclass(frozen=True)
class Group:
    """When each member authorizes, in seconds since the booking was opened; None: never."""

    answers: tuple[int | None, ...]

    @property
    def size(self) -> int:
        return len(self.answers)

    @property
    def in_time(self) -> list[int]:
        """The answers within the window, soonest first."""
        return sorted(one for one in self.answers if one is not None and one <= WINDOW_SECONDS)

    @property
    def complete_at(self) -> int | None:
        return self.in_time[-1] if len(self.in_time) == self.size else None


@dataclass(frozen=True)
class Kept:
    """How long the merchant kept one group's places, and whether the group got them in the end."""

    size: int
    held_seconds: int
    on_sale_seconds: int
    placings: int
    is_confirmed: bool


@dataclass(frozen=True)
class Tally:
    """What one way of keeping places cost, over all groups."""

    groups: int
    confirmed: int
    confirmed_seats: int
    held_seat_seconds: int
    placings: int
    on_sale: int

    @property
    def seat_hours_per_seat(self) -> float:
        return self.held_seat_seconds / HOUR / self.confirmed_seats


def draw(load: Load) -> list[Group]:
    """The same groups for the same load."""
    dice = Random(load.seed)
    sizes, weights = list(SIZES), list(accumulate(SIZES.values()))
    return [_group(dice, load, dice.choices(sizes, cum_weights=weights)[0]) for _ in range(load.groups)]


def _group(dice: Random, load: Load, size: int) -> Group:
    first = round(dice.expovariate(1 / 600))
    friends = [round(dice.lognormvariate(log(load.median_hours * HOUR), load.spread)) for _ in range(size - 1)]
    answers: list[int | None] = [first, *friends]
    if dice.random() < load.never_share:
        silent = dice.randrange(1, size)
        answers = [
            None if one == silent or (one and dice.random() < 0.5) else answer for one, answer in enumerate(answers)
        ]
    return Group(tuple(answers))


def fixed(group: Group) -> Kept:
    """Places kept from the opening until everybody is in, or for 72 hours."""
    end = group.complete_at
    return Kept(group.size, WINDOW_SECONDS if end is None else end, 0, 1, end is not None)


def earned(group: Group, terms: HoldTerms) -> Kept:
    """Places kept as the rule of production says, told of each authorization as it comes."""
    hold = Holding(placed_at=OPENED, expires_at=_at(terms.seconds(0)))
    held, on_sale, placings = 0, 0, 1
    for settled, second in enumerate(group.in_time, start=1):
        now = _at(second)
        if now >= hold.expires_at and not hold.is_lapsed:
            held += _seconds(hold.placed_at, hold.expires_at)
            hold = replace(hold, is_lapsed=True)
        answer = earn(terms, hold, settled=settled, of=group.size, now=now)
        if answer.move is HoldMove.PLACE_AGAIN and answer.until is not None:
            on_sale += _seconds(hold.expires_at, now)
            placings += 1
            hold = Holding(now, answer.until, settled_at_placing=settled)
        elif answer.move is HoldMove.EXTEND and answer.until is not None:
            hold = replace(hold, expires_at=answer.until, asked_until=answer.until)
        hold = replace(hold, settled_seen=settled)
    end = WINDOW_SECONDS if group.complete_at is None else group.complete_at
    if not hold.is_lapsed:
        held += _seconds(hold.placed_at, min(hold.expires_at, _at(end)))
    return Kept(group.size, held, on_sale, placings, group.complete_at is not None)


def tally(kept: Sequence[Kept]) -> Tally:
    """Sums. `on_sale` counts the confirmed groups whose places were on sale for a while."""
    return Tally(
        groups=len(kept),
        confirmed=sum(one.is_confirmed for one in kept),
        confirmed_seats=sum(one.size for one in kept if one.is_confirmed),
        held_seat_seconds=sum(one.held_seconds * one.size for one in kept),
        placings=sum(one.placings for one in kept),
        on_sale=sum(one.on_sale_seconds > 0 for one in kept if one.is_confirmed),
    )


def lost_share(kept: Sequence[Kept], sold_out_per_hour: float) -> float:
    """Of the groups that complete, how many are expected to find their places sold while these were on sale."""
    risks = [1 - exp(-sold_out_per_hour * one.on_sale_seconds / HOUR) for one in kept if one.is_confirmed]
    return sum(risks) / len(risks)


def compare(load: Load, terms: HoldTerms) -> tuple[Tally, Tally, list[Kept]]:
    """The same groups, kept fixed and kept by the rule."""
    groups = draw(load)
    ours = [earned(group, terms) for group in groups]
    return tally([fixed(group) for group in groups]), tally(ours), ours


def campaign() -> bool:
    """Print the figure, what it depends on, and whether the goal is met."""
    load = Load()
    before, after, kept = compare(load, TERMS)
    ratio = after.seat_hours_per_seat / before.seat_hours_per_seat
    print(f"{load.groups} groups, seed {load.seed}; places {_words(TERMS)}, against 72 hours at once")
    print(f"  confirmed          {after.confirmed} of {after.groups} groups, {before.confirmed} with the fixed hold")
    print(f"  seat-hours a seat  {after.seat_hours_per_seat:.2f} ours, {before.seat_hours_per_seat:.2f} fixed")
    print(f"  requests           {after.placings / after.groups:.2f} placings a group")
    print(f"  on sale meanwhile  the places of {after.on_sale / after.confirmed:.0%} of the confirmed groups;")
    for share in SOLD_OUT_PER_HOUR:
        print(
            f"                     {lost_share(kept, share):.1%} lost if {share:.1%} of the trains sold out each hour"
        )
    is_met = ratio <= GOAL and after.confirmed == before.confirmed
    print(f"  ratio              {ratio:.3f}, goal {GOAL}: {'met' if is_met else 'MISSED'}")
    print("\nwhat it depends on   never  median   ratio  on sale  lost at 1 %/h")
    for never in (0.2, 0.4, 0.6):
        for hours in (0.5, 2.0, 6.0):
            _row(Load(never_share=never, median_hours=hours), TERMS, "")
    for minutes in (15, 30, 120, 240):
        terms = HoldTerms(minutes * 60, minutes * 60, WINDOW_SECONDS)
        _row(load, terms, f"{minutes} min each")
    return is_met


def _row(load: Load, terms: HoldTerms, name: str) -> None:
    before, after, kept = compare(load, terms)
    ratio = after.seat_hours_per_seat / before.seat_hours_per_seat
    print(
        f"  {name:18} {load.never_share:5.0%}  {load.median_hours:4g} h  {ratio:6.3f}"
        f"  {after.on_sale / after.confirmed:7.0%}  {lost_share(kept, 0.01):7.1%}"
    )


def _words(terms: HoldTerms) -> str:
    return f"{terms.seconds_first // 60} min first and {terms.seconds_per_portion // 60} min a portion"


def _at(second: int) -> datetime:
    return OPENED + timedelta(seconds=second)


def _seconds(start: datetime, end: datetime) -> int:
    return int((end - start).total_seconds())
