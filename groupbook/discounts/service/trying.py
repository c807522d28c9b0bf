"""A made-up party before a version of the rules, or before a draft: for the merchant to see what they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from groupbook.discounts import repository
from groupbook.discounts.domain import CardType, CatalogueNotFound
from groupbook.discounts.engine import Catalogue, parse_case, parse_catalogue, price, require_supported
from groupbook.discounts.engine.rules import StatedFact
from groupbook.discounts.service.catalogues import parsed, row_of, types_of


@dataclass(frozen=True)
class Trial:
    """What a made-up party would pay. `case` and `answer` are documents in the schema of the cases."""

    version: int | None  # None: a draft
    case: Mapping[str, Any]
    answer: Mapping[str, Any]
    titles: Mapping[str, str]


@dataclass(frozen=True)
class TrialChoices:
    """What a made-up party can be made of: the words that these rules know."""

    version: int | None
    cards: tuple[CardType, ...]
    codes: Mapping[str, str]  # the rules that a code triggers, by id, with their titles
    families: tuple[str, ...]
    currencies: tuple[str, ...]


def try_party(
    session: Session,
    party: Mapping[str, Any],
    *,
    on: date,
    version: int | None = None,
    draft: Mapping[str, Any] | None = None,
) -> Trial:
    """Price a made-up party. Nothing is stored, and nobody's entitlements are read.

    Args:
        party: a case: `id`, `currency`, `trip`, the people, `codes`, `quota`. Without `rules` every rule is in play.
        on: the day whose rules count, when neither a version nor a draft is given.
    Raises:
        CatalogueNotFound: there is no such version, or none in force on that day.
        CatalogueInvalid, RulesUnsupported: the draft would be refused.
        CaseInvalid: a field of the party is broken, an unknown rule or owner of a code.
        PartyTooLarge, TooManyCombinations, NoOwnFare: there is no exact answer, and no guess is given instead.
    """
    number, catalogue = _rules_for(session, on, version, draft)
    case = {**party, "rules": party.get("rules", list(catalogue.executable))}
    return Trial(number, case, price(parse_case(case, catalogue)).as_document(), titles_of(catalogue))


def trial_choices(
    session: Session, *, on: date, version: int | None = None, draft: Mapping[str, Any] | None = None
) -> TrialChoices:
    """What the rules know that `try_party` would take.

    Raises:
        CatalogueNotFound, CatalogueInvalid, RulesUnsupported: as there.
    """
    number, catalogue = _rules_for(session, on, version, draft)
    rules = catalogue.executable.values()
    named = Counter(family for rule in rules if rule.families != "*" for family in rule.families if not rule.gated)
    return TrialChoices(
        version=number,
        cards=types_of(catalogue),
        codes={rule.id: rule.title or rule.id for rule in rules if rule.trigger.code},
        families=tuple(family for family, _ in named.most_common()),
        currencies=tuple(dict.fromkeys(rule.currency for rule in rules if rule.currency != "any")),
    )


def _rules_for(
    session: Session, on: date, version: int | None, draft: Mapping[str, Any] | None
) -> tuple[int | None, Catalogue]:
    if draft is not None:
        catalogue = parse_catalogue(draft)
        require_supported(catalogue)
        return None, catalogue
    if version is not None:
        return version, parsed(session, row_of(session, version).id)
    found = repository.catalogue_in_force(session, on)
    if found is None:
        raise CatalogueNotFound(on=on.isoformat())
    return found[1], parsed(session, found[0])


def titles_of(catalogue: Catalogue) -> dict[str, str]:
    """The merchant's own names for the rules that can be used."""
    return {rule.id: rule.title or rule.id for rule in catalogue.rules if not isinstance(rule, StatedFact)}
