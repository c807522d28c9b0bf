"""The steps of this room: catalogues, entitlements, and the price of a party."""

from groupbook.discounts.service.catalogues import (
    CatalogueCheck,
    VersionPair,
    card_types,
    check_catalogue,
    list_versions,
    put_catalogue,
    read_catalogue,
    read_version,
    version_pair,
    withdraw_version,
)
from groupbook.discounts.service.codes import (
    add_code,
    create_code,
    disable_code,
    list_codes,
    list_redemptions,
    read_code,
    redeem_codes,
    release_codes,
    remove_code,
    reserve_codes,
)
from groupbook.discounts.service.entitlements import (
    entitlements_of,
    forget,
    move_entitlements,
    on_person_erased,
    seal_card_numbers,
    set_entitlements,
)
from groupbook.discounts.service.growing import next_step, people_more_max
from groupbook.discounts.service.pricing import assumed_age, price_parties, price_party, priced_kept_max
from groupbook.discounts.service.telling import rule_names
from groupbook.discounts.service.trying import Trial, TrialChoices, trial_choices, try_party

__all__ = [
    "CatalogueCheck",
    "Trial",
    "TrialChoices",
    "VersionPair",
    "add_code",
    "assumed_age",
    "card_types",
    "check_catalogue",
    "create_code",
    "disable_code",
    "entitlements_of",
    "forget",
    "list_codes",
    "list_redemptions",
    "list_versions",
    "move_entitlements",
    "next_step",
    "on_person_erased",
    "people_more_max",
    "price_parties",
    "price_party",
    "priced_kept_max",
    "put_catalogue",
    "read_catalogue",
    "read_code",
    "read_version",
    "redeem_codes",
    "release_codes",
    "remove_code",
    "reserve_codes",
    "rule_names",
    "seal_card_numbers",
    "set_entitlements",
    "trial_choices",
    "try_party",
    "version_pair",
    "withdraw_version",
]
