"""Whether conditions can hold at all: clauses as data, asked before any trip is.

Each fact is asked on its own, with the few values that can tell its clauses apart (the numbers, times and words they
name, and their neighbors). That facts depend on each other (a date has its weekday) is not known here, so what is
called impossible is impossible, and not the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import combinations, islice, product
from typing import Final, Literal

from groupbook.discounts.engine.cases import FactValue, passes
from groupbook.discounts.engine.rules import Clause

Kind = Literal["word", "number", "flag", "day", "time", "words"]

FACTS: Final[dict[str, Kind]] = {
    "date": "day",
    "depart": "time",
    "return_date": "day",
    "direction": "word",
    "operator": "word",
    "service": "word",
    "travel_class": "word",
    "duration_min": "number",
    "days_before": "number",
    "channel": "word",
    "tags": "words",
    "public_holiday": "flag",
    "same_train": "flag",
    "weekday": "word",
    "month": "number",
    "weekend_night": "flag",
    "same_day_return": "flag",
    "party": "number",
    "party_count": "number",
}
DOMAINS: Final[dict[str, tuple[FactValue, ...]]] = {
    "direction": ("single", "return"),
    "weekday": ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    "month": tuple(range(1, 13)),
}
_OPTIONAL: Final = ("depart", "return_date", "duration_min", "days_before")
_LEAST: Final = {"party": 1, "days_before": -10_000}
comparisons_max: Final = 24
branches_max: Final = 32
words_max: Final = 6

Asked = tuple[Clause, bool]  # a clause on one fact, and whether it is asked for or against


def kind_of(fact: str, roles: Sequence[str] = ()) -> Kind | None:
    """What a fact is; None when nothing has this name. `roles`: those counted as `n_<role>` in a joint rule."""
    if fact == "n" or fact in [f"n_{role}" for role in roles]:
        return "number" if roles else None
    return FACTS.get(fact)


def can_hold(clauses: Sequence[Clause], roles: Sequence[str] = ()) -> bool:
    """Whether all clauses can hold together. In doubt (too many comparisons, readings or words): yes."""
    if len(list(islice((one for clause in clauses for one in clause.walk()), comparisons_max + 1))) > comparisons_max:
        return True
    readings = list(islice(_all(clauses, wanted=True), branches_max + 1))
    return len(readings) > branches_max or any(_consistent(reading, roles) for reading in readings)


def _readings(clause: Clause, *, wanted: bool) -> Iterator[tuple[Asked, ...]]:
    """The ways in which a clause can come true (or, not `wanted`, false), each a list of comparisons."""
    if clause.negated is not None:
        yield from _readings(clause.negated, wanted=not wanted)
    elif clause.fact is not None:
        yield ((clause, wanted),)
    elif (clause.all_of is not None) == wanted:
        yield from _all(clause.all_of or clause.any_of or (), wanted=wanted)
    else:
        for one in clause.all_of or clause.any_of or ():
            yield from _readings(one, wanted=wanted)


def _all(clauses: Sequence[Clause], *, wanted: bool) -> Iterator[tuple[Asked, ...]]:
    each = [list(islice(_readings(clause, wanted=wanted), branches_max + 1)) for clause in clauses]
    for chosen in product(*each):
        yield tuple(literal for part in chosen for literal in part)


def _consistent(reading: Sequence[Asked], roles: Sequence[str]) -> bool:
    by_fact: dict[tuple[str, object], list[Asked]] = {}
    for clause, wanted in reading:
        by_fact.setdefault((clause.fact or "", clause.age), []).append((clause, wanted))
    return all(
        any(all(passes(clause, value) == wanted for clause, wanted in literals) for value in values)
        for (fact, _), literals in by_fact.items()
        if (values := _values(fact, [clause for clause, _ in literals], roles)) is not None
    )


def _values(fact: str, clauses: Sequence[Clause], roles: Sequence[str]) -> list[FactValue] | None:
    """Values of a fact among which, if any value at all satisfies the clauses, one does; None for an unknown fact."""
    kind = kind_of(fact, roles)
    if kind is None:
        return None
    named = [value for clause in clauses for value in _named(clause)]
    words = [value for value in named if isinstance(value, str)]
    values: list[FactValue]
    if fact in DOMAINS:
        values = list(DOMAINS[fact])
    elif kind == "flag":
        values = [True, False]
    elif kind == "number":
        numbers = [value for value in named if type(value) is int]
        values = [at for number in (*numbers, 0) for at in (number - 1, number, number + 1)]
        values = [at for at in values if type(at) is int and at >= _LEAST.get(fact, 0)]
    elif kind == "day":
        values = [at for word in (*words, "2026-01-01") for at in _days_around(word)]
    elif kind == "time":
        values = [at for word in (*words, "00:00", "23:59") for at in _times_around(word)]
    elif kind == "words":
        some = list(dict.fromkeys(words))[:words_max]
        values = [tags for length in range(len(some) + 1) for tags in combinations(some, length)]
    else:
        values = [*words, *(f"{word}~" for word in words), "", "~"]
    return [*values, None] if fact in _OPTIONAL else values


def _named(clause: Clause) -> list[object]:
    listed = [*(clause.is_in or ()), *(clause.nin or ())]
    single = (clause.eq, clause.ne, clause.ge, clause.gt, clause.le, clause.lt, clause.has, clause.lacks)
    return [*listed, *(value for value in single if value is not None)]


def _days_around(word: str) -> list[str]:
    try:
        on = date.fromisoformat(word)
        return [(on + timedelta(days=by)).isoformat() for by in (-1, 0, 1)]
    except (ValueError, OverflowError):
        return []


def _times_around(word: str) -> list[str]:
    hours, _, minutes = word.partition(":")
    if len(word) != 5 or not (hours.isdigit() and minutes.isdigit()):
        return []
    at = int(hours) * 60 + int(minutes)
    return [f"{one // 60:02d}:{one % 60:02d}" for one in (at - 1, at, at + 1) if 0 <= one < 1440]
