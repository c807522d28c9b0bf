"""What is so about a trip and its people, read from raw JSON by the words of the reference, section 0."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

Rule = dict[str, Any]
Facts = dict[str, Any]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def age_of(traveler: dict[str, Any], day: str) -> int:
    """The age given, or the age reached on the travel date."""
    if "age" in traveler:
        return int(traveler["age"])
    born, travel = date.fromisoformat(traveler["born"]), date.fromisoformat(day)
    return travel.year - born.year - ((travel.month, travel.day) < (born.month, born.day))


def facts_of(case: dict[str, Any]) -> Facts:
    """The trip's own words, the derived ones, and the ages of the party."""
    trip = case["trip"]
    start = date.fromisoformat(trip["date"])
    end = date.fromisoformat(trip.get("return_date") or trip["date"])
    nights = [start + timedelta(days=number) for number in range((end - start).days)]
    return {
        "public_holiday": False,
        "same_train": True,
        "tags": [],
        **trip,
        "weekday": WEEKDAYS[start.weekday()],
        "month": start.month,
        "weekend_night": any(WEEKDAYS[night.weekday()] in ("fri", "sat", "sun") for night in nights),
        "same_day_return": trip.get("return_date") == trip["date"],
        "party": len(case["travellers"]),
        "ages": [age_of(one, trip["date"]) for one in case["travellers"]],
    }


def first_failure(clauses: list[Any], facts: Facts) -> str | None:
    """The reason of the first clause that does not hold, or None if all hold."""
    for clause in clauses:
        if not _holds(clause, facts):
            return str(clause.get("reason", "composition"))
    return None


def _holds(clause: dict[str, Any], facts: Facts) -> bool:
    if "any" in clause:
        return any(_holds(one, facts) for one in clause["any"])
    if "all" in clause:
        return all(_holds(one, facts) for one in clause["all"])
    if "not" in clause:
        return not _holds(clause["not"], facts)
    if clause["fact"] == "party_count":
        low, high = clause.get("age", [0, None])
        value: Any = sum(low <= age and (high is None or age <= high) for age in facts["ages"])
    else:
        value = facts.get(clause["fact"])
    return all(_compares(word, value, given) for word, given in clause.items() if word in _WORDS)


_WORDS = ("eq", "ne", "in", "nin", "ge", "gt", "le", "lt", "has", "lacks")


def _compares(word: str, value: Any, given: Any) -> bool:
    if word in ("ge", "gt", "le", "lt"):
        if value is None:
            return False
        return bool({"ge": value >= given, "gt": value > given, "le": value <= given, "lt": value < given}[word])
    if word in ("has", "lacks"):
        return (given in (value or [])) == (word == "has")
    if word in ("in", "nin"):
        return (value in given) == (word == "in")
    return bool((value == given) == (word == "eq"))
