"""Discounts: rule catalogues, what travelers are entitled to, and the cheapest lawful price of a party.

Promise: the lines of everybody add up to what they pay, the payments add up to the total, and nobody pays more than
alone. What this engine cannot price exactly it refuses; it never guesses. Entitlements are read by their owner only;
`subject` is a person's or a guest's id, opaque here. `discounts/engine/` is pure.
"""

from groupbook.discounts.domain import (
    Card,
    CardsInvalid,
    CardType,
    CatalogueInvalid,
    CatalogueNotFound,
    CatalogueVersion,
    DiscountError,
    Entitlements,
    Line,
    NoOwnFare,
    PartyPrice,
    PartyRequest,
    PartyTooLarge,
    PartyTraveler,
    PersonPrice,
    Refusal,
    RulesUnsupported,
    TooManyCombinations,
    TripFacts,
    Unused,
)
from groupbook.discounts.service import (
    card_types,
    entitlements_of,
    forget,
    move_entitlements,
    on_person_erased,
    price_parties,
    price_party,
    put_catalogue,
    read_catalogue,
    set_entitlements,
)

__all__ = [
    "Card",
    "CardType",
    "CardsInvalid",
    "CatalogueInvalid",
    "CatalogueNotFound",
    "CatalogueVersion",
    "DiscountError",
    "Entitlements",
    "Line",
    "NoOwnFare",
    "PartyPrice",
    "PartyRequest",
    "PartyTooLarge",
    "PartyTraveler",
    "PersonPrice",
    "Refusal",
    "RulesUnsupported",
    "TooManyCombinations",
    "TripFacts",
    "Unused",
    "card_types",
    "entitlements_of",
    "forget",
    "move_entitlements",
    "on_person_erased",
    "price_parties",
    "price_party",
    "put_catalogue",
    "read_catalogue",
    "set_entitlements",
]
