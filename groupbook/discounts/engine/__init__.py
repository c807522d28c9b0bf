"""The engine: rules and a case in, the cheapest lawful price with proof and explanation out. No IO, no clock."""

from groupbook.discounts.engine.cases import Case, HeldCard, Traveler, Trip, parse_case
from groupbook.discounts.engine.price import Application, Certificate, PersonResult, Priced, people_joint_max, price
from groupbook.discounts.engine.rules import Catalogue, parse_catalogue, require_supported, unsupported

__all__ = [
    "Application",
    "Case",
    "Catalogue",
    "Certificate",
    "HeldCard",
    "PersonResult",
    "Priced",
    "Traveler",
    "Trip",
    "parse_case",
    "parse_catalogue",
    "people_joint_max",
    "price",
    "require_supported",
    "unsupported",
]
