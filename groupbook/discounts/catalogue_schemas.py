"""What goes over the wire about a merchant's rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from pydantic import Field

from groupbook.discounts.domain import CatalogueVersion
from groupbook.discounts.engine.errors import Problem
from groupbook.discounts.engine.lint import Finding
from groupbook.discounts.service.catalogues import CatalogueCheck
from groupbook.discounts.versions import CatalogueChanges, RuleChange, VersionState, VersionSummary
from groupbook.kit.http import Instant, Wire

Rules = Annotated[list[dict[str, Any]], Field(max_length=1_000)]
Sentence = Callable[[Problem | Finding], str]


class PutRules(Wire):
    """A new version of your rules, in force for travel from `starts_on`. Each rule follows the published rule model."""

    starts_on: date
    rules: Rules


class CheckRules(Wire):
    """Rules to look through; `starts_on`, when given, finds those that would be over by then."""

    starts_on: date | None = None
    rules: Rules


class RulesQuery(Wire):
    """`on`: the day of travel; today if left out."""

    on: Annotated[date, Field(strict=False)] | None = None


class ChangesQuery(Wire):
    """`since`: the version to compare with; the one uploaded before it if left out."""

    since: Annotated[int, Field(ge=1, le=2**31 - 1, strict=False)] | None = None


class RuleFinding(Wire):
    """A place in your rules: `pointer` (RFC 6901) into `{"rules": [...]}`, a stable `code`, and a sentence."""

    pointer: str
    code: str
    rule: str | None
    detail: str

    @classmethod
    def of(cls, found: Problem | Finding, sentence: Sentence) -> RuleFinding:
        return cls(pointer=found.pointer, code=found.code, rule=found.rule, detail=sentence(found))


class RulesOut(Wire):
    """One version of your rules. Versions are never changed; a correction is a new version."""

    version: int
    starts_on: date
    rules: list[dict[str, Any]]
    created_at: Instant

    @classmethod
    def of(cls, version: CatalogueVersion) -> RulesOut:
        rules = version.document["rules"]
        return cls(
            version=version.version,
            starts_on=version.starts_on,
            rules=list(rules) if isinstance(rules, list) else [],
            created_at=version.created_at,
        )


class StoredRulesOut(RulesOut):
    """The version as it was stored, and what deserves a second look in it. Warnings refuse nothing."""

    warnings: list[RuleFinding]

    @classmethod
    def stored(cls, version: CatalogueVersion, check: CatalogueCheck, sentence: Sentence) -> StoredRulesOut:
        warnings = [RuleFinding.of(one, sentence) for one in check.findings]
        return cls(**RulesOut.of(version).__dict__, warnings=warnings)


class RulesCheckOut(Wire):
    """What an upload would be told. `problems` refuse it; `warnings` are only looked for when there are none."""

    is_valid: bool
    problems: list[RuleFinding]
    warnings: list[RuleFinding]

    @classmethod
    def of(cls, check: CatalogueCheck, sentence: Sentence) -> RulesCheckOut:
        return cls(
            is_valid=not check.problems,
            problems=[RuleFinding.of(one, sentence) for one in check.problems],
            warnings=[RuleFinding.of(one, sentence) for one in check.findings],
        )


class RuleVersionOut(Wire):
    """A version and its time: in force for travel from `starts_on` to `ends_on` (null: no later version is known).

    `replaced`: a later upload starts on the same day. `withdrawn`: taken back before its first day.
    """

    version: int
    starts_on: date
    ends_on: date | None
    state: VersionState
    rule_count: int
    created_at: Instant

    @classmethod
    def of(cls, one: VersionSummary) -> RuleVersionOut:
        return cls(
            version=one.version,
            starts_on=one.starts_on,
            ends_on=one.ends_on,
            state=one.state,
            rule_count=one.rules,
            created_at=one.created_at,
        )


class RuleVersionList(Wire):
    """All versions, the newest first."""

    data: list[RuleVersionOut]


class FieldChangeOut(Wire):
    """A field of a rule that differs; null on a side that has no such field."""

    field: str
    before: Any
    after: Any


class RuleChangeOut(Wire):
    id: str
    title: str
    fields: list[FieldChangeOut]

    @classmethod
    def of(cls, change: RuleChange) -> RuleChangeOut:
        fields = [FieldChangeOut(field=one.field, before=one.before, after=one.after) for one in change.fields]
        return cls(id=change.id, title=change.title, fields=fields)


class RuleChangesOut(Wire):
    """What a version changed against another, by the ids of the rules; `since` is null before the first."""

    version: int
    since: int | None
    added: list[RuleChangeOut]
    removed: list[RuleChangeOut]
    changed: list[RuleChangeOut]

    @classmethod
    def of(cls, version: int, since: int | None, changes: CatalogueChanges) -> RuleChangesOut:
        return cls(
            version=version,
            since=since,
            added=[RuleChangeOut.of(one) for one in changes.added],
            removed=[RuleChangeOut.of(one) for one in changes.removed],
            changed=[RuleChangeOut.of(one) for one in changes.changed],
        )
