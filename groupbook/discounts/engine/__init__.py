"""The engine: rules and a case in, the cheapest lawful price with proof and explanation out. No IO, no clock."""

from groupbook.discounts.engine.cases import Case, HeldCard, Traveler, Trip, parse_case
from groupbook.discounts.engine.check import verify
from groupbook.discounts.engine.optimum import Optimum, optimum
from groupbook.discounts.engine.price import Application, PersonResult, Priced, price
from groupbook.discounts.engine.proof import Certificate
from groupbook.discounts.engine.rules import Catalogue, parse_catalogue, require_supported, unsupported

__all__ = [
    "Application",
    "Case",
    "Catalogue",
    "Certificate",
    "HeldCard",
    "Optimum",
    "PersonResult",
    "Priced",
    "Traveler",
    "Trip",
    "optimum",
    "parse_case",
    "parse_catalogue",
    "price",
    "require_supported",
    "unsupported",
    "verify",
]
