"""What goes over the wire about a merchant's rules."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import Field

from groupbook.discounts.domain import CatalogueVersion
from groupbook.kit.http import Instant, Wire


class PutRules(Wire):
    """A new version of your rules, in force for travel from `starts_on`. Each rule follows the published rule model."""

    starts_on: date
    rules: Annotated[list[dict[str, Any]], Field(max_length=1_000)]


class RulesQuery(Wire):
    """`on`: the day of travel; today if left out."""

    on: Annotated[date, Field(strict=False)] | None = None


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
