"""Discounts: rule catalogues, what travelers are entitled to, and the cheapest lawful price of a party.

Promise: the lines of everybody add up to what they pay, the payments add up to the total, and nobody pays more than
alone. What this engine cannot price exactly it refuses; it never guesses. Entitlements are read by their owner only;
`subject` is a person's or a guest's id, opaque here. `discounts/engine/` is pure. Steps (session first):

    entitlements_of(session, subjects) -> dict[UUID, Entitlements]          for pricing; show each only to its owner
    set_entitlements(session, subject, *, cards, age, now) -> Entitlements
    price_party(session, facts: TripFacts, travelers, *, currency, explain=True) -> PartyPrice
    card_types(session, on) -> tuple[CardType, ...]
    put_catalogue(session, document, *, starts_on, now) -> CatalogueVersion
    read_catalogue(session, on) -> CatalogueVersion
    move_entitlements(session, source, target, now)                         a guest became a person
    forget(session, subject)                                                erasure
"""
