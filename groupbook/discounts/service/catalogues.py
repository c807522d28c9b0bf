"""The merchant's rules: versions with a first day, and what is in force for a day of travel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.discounts import repository
from groupbook.discounts.domain import CardType, CatalogueNotFound, CatalogueVersion
from groupbook.discounts.engine import Catalogue, parse_catalogue, require_supported
from groupbook.discounts.engine.rules import JointRule, StatedFact
from groupbook.discounts.models import RuleCatalogueRow


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


def read_catalogue(session: Session, on: date) -> CatalogueVersion:
    """The rules in force for travel on a day.

    Raises:
        CatalogueNotFound: there were none.
    """
    found = repository.catalogue_in_force(session, on)
    if found is None:
        raise CatalogueNotFound(on=on.isoformat())
    return _version(repository.catalogue(session, found[0]))


def card_types(session: Session, on: date) -> tuple[CardType, ...]:
    """The cards that the rules of a day know, in catalogue order, with the merchant's own names for them."""
    names: dict[str, str] = {}
    for rule in rules_on(session, on)[0].rules:
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
