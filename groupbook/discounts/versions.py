"""Versions of a merchant's rules: which is in force when, and what one changed. Pure.

A version is in force for travel from its first day until the day before the next version starts. Of two that start on
the same day the later upload counts. A version that was withdrawn never counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

from groupbook.kit.errors import Conflict


class CatalogueInForce(Conflict):
    """The version has begun, and prices were made with it: only a coming one can be withdrawn."""

    code = "catalogue_in_force"


class VersionState(StrEnum):
    IN_FORCE = "in_force"
    SCHEDULED = "scheduled"
    ENDED = "ended"
    REPLACED = "replaced"  # a later upload starts on the same day, so this one never counted or never will
    WITHDRAWN = "withdrawn"


class VersionRow(NamedTuple):
    """One version as it is stored, without its rules."""

    id: UUID
    version: int
    starts_on: date
    rules: int
    created_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True)
class VersionSummary:
    """One version and its time. `ends_on` is the last day, None when no later version is known to end it."""

    version: int
    starts_on: date
    ends_on: date | None
    state: VersionState
    rules: int
    created_at: datetime


def summaries(rows: Sequence[VersionRow], today: date) -> list[VersionSummary]:
    """The versions with their periods, in the order given."""
    standing: dict[date, int] = {}
    for row in rows:
        if row.withdrawn_at is None:
            standing[row.starts_on] = max(row.version, standing.get(row.starts_on, 0))
    starts = sorted(standing)
    last_day = {day: later - timedelta(days=1) for day, later in pairwise(starts)}
    found = []
    for row in rows:
        ends_on = last_day.get(row.starts_on)
        if row.withdrawn_at is not None:
            state, ends_on = VersionState.WITHDRAWN, None
        elif standing[row.starts_on] != row.version:
            state, ends_on = VersionState.REPLACED, None
        elif row.starts_on > today:
            state = VersionState.SCHEDULED
        else:
            state = VersionState.ENDED if ends_on is not None and ends_on < today else VersionState.IN_FORCE
        found.append(VersionSummary(row.version, row.starts_on, ends_on, state, row.rules, row.created_at))
    return found


@dataclass(frozen=True)
class FieldChange:
    """One field of a rule that differs; a side that has no such field is None."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class RuleChange:
    id: str
    title: str
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class CatalogueChanges:
    """What a version changed against another, rule by rule, by id. The order of rules means nothing."""

    added: tuple[RuleChange, ...]
    removed: tuple[RuleChange, ...]
    changed: tuple[RuleChange, ...]


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> CatalogueChanges:
    """What became of the rules of one document in another."""
    old, new = _by_id(before), _by_id(after)
    return CatalogueChanges(
        added=tuple(_named(id, rule) for id, rule in new.items() if id not in old),
        removed=tuple(_named(id, rule) for id, rule in old.items() if id not in new),
        changed=tuple(
            RuleChange(id, _title(rule, id), _fields(old[id], rule))
            for id, rule in new.items()
            if id in old and old[id] != rule
        ),
    )


def _by_id(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {rule["id"]: rule for rule in document["rules"]}


def _named(id: str, rule: Mapping[str, Any]) -> RuleChange:
    return RuleChange(id, _title(rule, id))


def _title(rule: Mapping[str, Any], id: str) -> str:
    return str(rule.get("title") or id)


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    names = dict.fromkeys((*old, *new))
    return tuple(FieldChange(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


__all__ = [
    "CatalogueChanges",
    "CatalogueInForce",
    "FieldChange",
    "RuleChange",
    "VersionRow",
    "VersionState",
    "VersionSummary",
    "changes_between",
    "summaries",
]
