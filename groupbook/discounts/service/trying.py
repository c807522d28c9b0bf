"""A made-up party before a version of the rules, or before a draft: for the merchant to see what they do."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy.orm import Session

from groupbook.discounts import repository
from groupbook.discounts.domain import CardType, CatalogueNotFound
from groupbook.discounts.engine import Catalogue, parse_case, parse_catalogue, price, require_supported
from groupbook.discounts.engine.rules import StatedFact
from groupbook.discounts.service.catalogues import parsed, row_of, types_of
from groupbook.kit.errors import TooMany


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


@dataclass(frozen=True)
class TrialRules:
    """The rules to try: those of a version, or of a draft."""

    version: int | None
    catalogue: Catalogue


class TrialsBusy(TooMany):
    """As many parties as may be tried at once are being priced; nothing was."""

    code = "trials_busy"


def trial_rules(
    session: Session, *, on: date, version: int | None = None, draft: Mapping[str, Any] | None = None
) -> TrialRules:
    """The rules of a version or of a draft; of neither, those in force on a day.

    Raises:
        CatalogueNotFound: there is no such version, or none in force on that day.
        CatalogueInvalid, RulesUnsupported: the draft would be refused.
    """
    if draft is not None:
        catalogue = parse_catalogue(draft)
        require_supported(catalogue)
        return TrialRules(None, catalogue)
    if version is not None:
        return TrialRules(version, parsed(session, row_of(session, version).id))
    found = repository.catalogue_in_force(session, on)
    if found is None:
        raise CatalogueNotFound(on=on.isoformat())
    return TrialRules(found[1], parsed(session, found[0]))


def try_party(rules: TrialRules, party: Mapping[str, Any]) -> Trial:
    """Price a made-up party. Pure: nothing is stored, nobody's entitlements are read; no transaction waits for it.

    Args:
        party: a case: `id`, `currency`, `trip`, the people, `codes`, `quota`. Without `rules` every rule is in play.
    Raises:
        CaseInvalid: a field of the party is broken, an unknown rule or owner of a code.
        TooManyCombinations, NoOwnFare: there is no exact answer, and no guess is given instead.
        TrialsBusy: others are being tried.
    """
    case = {**party, "rules": party.get("rules", list(rules.catalogue.executable))}
    read = parse_case(case, rules.catalogue)
    if not _turns.acquire(timeout=turn_seconds_max):
        raise TrialsBusy(retry_after_seconds=turn_seconds_max)
    try:
        answer = price(read).as_document()
    finally:
        _turns.release()
    return Trial(rules.version, case, answer, titles_of(rules.catalogue))


# One merchant's curiosity must not take every thread of the process.
_turns: Final = threading.BoundedSemaphore(2)
turn_seconds_max: Final = 5


def trial_choices(rules: TrialRules) -> TrialChoices:
    """What the rules know that `try_party` would take."""
    executable = rules.catalogue.executable.values()
    named = Counter(family for rule in executable if rule.families != "*" for family in rule.families if not rule.gated)
    return TrialChoices(
        version=rules.version,
        cards=types_of(rules.catalogue),
        codes={rule.id: rule.title or rule.id for rule in executable if rule.trigger.code},
        families=tuple(family for family, _ in named.most_common()),
        currencies=tuple(dict.fromkeys(rule.currency for rule in executable if rule.currency != "any")),
    )


def titles_of(catalogue: Catalogue) -> dict[str, str]:
    """The merchant's own names for the rules that can be used."""
    return {rule.id: rule.title or rule.id for rule in catalogue.rules if not isinstance(rule, StatedFact)}
