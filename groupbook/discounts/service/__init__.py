"""The steps of this room: catalogues, entitlements, and the price of a party."""

from groupbook.discounts.service.catalogues import card_types, put_catalogue, read_catalogue
from groupbook.discounts.service.entitlements import (
    entitlements_of,
    forget,
    move_entitlements,
    on_person_erased,
    set_entitlements,
)
from groupbook.discounts.service.growing import next_step, people_more_max
from groupbook.discounts.service.pricing import assumed_age, price_parties, price_party, priced_kept_max
from groupbook.discounts.service.telling import rule_titles

__all__ = [
    "assumed_age",
    "card_types",
    "entitlements_of",
    "forget",
    "move_entitlements",
    "next_step",
    "on_person_erased",
    "people_more_max",
    "price_parties",
    "price_party",
    "priced_kept_max",
    "put_catalogue",
    "read_catalogue",
    "rule_titles",
    "set_entitlements",
]
