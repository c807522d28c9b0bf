"""The merchant's rules: versions with a first day, and what is in force for a day of travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.discounts import repository
from groupbook.discounts.domain import CardType, CatalogueNotFound, CatalogueVersion
from groupbook.discounts.engine import Catalogue, parse_catalogue, require_supported
from groupbook.discounts.engine.errors import CatalogueInvalid, Problem, RulesUnsupported
from groupbook.discounts.engine.lint import Finding, lint
from groupbook.discounts.engine.rules import JointRule, StatedFact
from groupbook.discounts.models import RuleCatalogueRow
from groupbook.discounts.versions import CatalogueInForce, VersionRow, VersionSummary, summaries


@dataclass(frozen=True)
class CatalogueCheck:
    """What is wrong with rules (`problems`, which refuse an upload), or only strange (`findings`, which do not)."""

    problems: tuple[Problem, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class VersionPair:
    """Two versions to compare; there is none before the first."""

    before: CatalogueVersion | None
    after: CatalogueVersion


def put_catalogue(session: Session, document: Mapping[str, Any], *, starts_on: date, now: datetime) -> CatalogueVersion:
    """Store a new version of the merchant's rules, in force for travel from `starts_on`. Older versions stay.

    Raises:
        CatalogueInvalid: a field is broken; every one is named with its pointer.
        RulesUnsupported: a rule is well formed but cannot be priced exactly yet; nothing is stored.
    """
    catalogue = parse_catalogue(document)
    require_supported(catalogue)
    row = repository.add_catalogue(
        session, dict(document), rule_count=len(catalogue.rules), starts_on=starts_on, now=now
    )
    return _version(row)


def check_catalogue(
    document: Mapping[str, Any], *, starts_on: date | None = None, currency: str | None = None
) -> CatalogueCheck:
    """What an upload of these rules would be told: every problem, or else what deserves a second look. Stores nothing.

    Args:
        starts_on, currency: the first day and what the merchant sells in, where they are known.
    """
    try:
        catalogue = parse_catalogue(document)
        require_supported(catalogue)
    except (CatalogueInvalid, RulesUnsupported) as error:
        return CatalogueCheck(problems=error.problems)
    return CatalogueCheck(findings=tuple(lint(catalogue, starts_on=starts_on, currency=currency)))


def read_catalogue(session: Session, on: date) -> CatalogueVersion:
    """The rules in force for travel on a day.

    Raises:
        CatalogueNotFound: there were none.
    """
    found = repository.catalogue_in_force(session, on)
    if found is None:
        raise CatalogueNotFound(on=on.isoformat())
    return _version(repository.catalogue(session, found[0]))


def list_versions(session: Session, today: date) -> list[VersionSummary]:
    """Every version with its period and state, the newest first."""
    return summaries(repository.catalogue_versions(session), today)


def read_version(session: Session, version: int) -> CatalogueVersion:
    """One version, whatever became of it.

    Raises:
        CatalogueNotFound: there is no such version.
    """
    return _version(repository.catalogue(session, row_of(session, version).id))


def version_pair(session: Session, version: int, *, since: int | None = None) -> VersionPair:
    """A version and the one to compare it with: `since`, or else the upload before it, if there is one.

    Raises:
        CatalogueNotFound: there is no such version.
    """
    after = read_version(session, version)
    if since is None:
        earlier = [row.version for row in repository.catalogue_versions(session) if row.version < version]
        since = max(earlier, default=None)
    return VersionPair(None if since is None else read_version(session, since), after)


def withdraw_version(session: Session, version: int, *, now: datetime) -> None:
    """Take a coming version back; twice is once. Its number is never given again.

    Raises:
        CatalogueNotFound: there is no such version.
        CatalogueInForce: its first day has come.
    """
    row = row_of(session, version)
    if row.starts_on <= now.date():
        raise CatalogueInForce(version=version, starts_on=row.starts_on.isoformat())
    repository.withdraw_catalogue(session, row.id, now)


def row_of(session: Session, version: int) -> VersionRow:
    row = next((row for row in repository.catalogue_versions(session) if row.version == version), None)
    if row is None:
        raise CatalogueNotFound(version=version)
    return row


def card_types(session: Session, on: date) -> tuple[CardType, ...]:
    """The cards that the rules of a day know, in catalogue order, with the merchant's own names for them."""
    return types_of(rules_on(session, on)[0])


def types_of(catalogue: Catalogue) -> tuple[CardType, ...]:
    names: dict[str, str] = {}
    for rule in catalogue.rules:
        if isinstance(rule, StatedFact):
            continue
        for type in rule.trigger.cards:
            names.setdefault(type, rule.title or type)
        roles = rule.roles if isinstance(rule, JointRule) else ()
        for type in (type for role in roles for type in role.who.holds_any):
            names.setdefault(type, rule.title or type)
    return tuple(CardType(type, name) for type, name in names.items())


def rules_on(session: Session, on: date) -> tuple[Catalogue, int | None]:
    found = repository.catalogue_in_force(session, on)
    return (NO_RULES, None) if found is None else (parsed(session, found[0]), found[1])


def parsed(session: Session, id: UUID) -> Catalogue:
    cached = _PARSED.get(id)
    if cached is None:
        cached = parse_catalogue(repository.catalogue(session, id).document)
        if len(_PARSED) >= 256:
            _PARSED.clear()
        _PARSED[id] = cached
    return cached


NO_RULES: Final = Catalogue(rules=())
_PARSED: dict[UUID, Catalogue] = {}  # a version never changes, so its parsed form is kept by its id


def _version(row: RuleCatalogueRow) -> CatalogueVersion:
    return CatalogueVersion(row.version, row.starts_on, row.rule_count, row.created_at, row.document)
