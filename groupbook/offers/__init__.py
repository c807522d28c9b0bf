"""Offers: what is sold, its price for a group, and the merchant's hold and order.

Promise: a quote's lines sum exactly and never change once recorded; the merchant is asked at most once per intent and
with no transaction open; a lost answer is read back by our reference; a canceled order stays canceled. The only room
that calls merchants. Knows nothing of trips or bookings: callers pass an opaque `reference`, read back in facts
(hold.placed, hold.refused, hold.expired, hold.released, order.confirmed, order.rejected, order.canceled,
order.discrepant); their payload carries `reference` and `hold` or `order` as hex, and `reason` and `new_total`.
"""

from groupbook.offers.service.adapters import AdapterOf, connected_adapters, fixed_adapters
from groupbook.offers.service.catalog import (
    create_occasion,
    create_offer,
    import_occasions,
    import_offer,
    list_occasions,
    list_offers,
    occasion_by_ref,
    offer_by_ref,
    read_occasion,
    read_offer,
    read_offers,
    read_seat_map,
    search_offers,
    upsert_occasion,
    upsert_offer,
)
from groupbook.offers.service.handlers import forget, intent_handlers
from groupbook.offers.service.holds import (
    HoldsNotOffered,
    expire_holds,
    hold_of,
    place_hold,
    read_hold,
    release_hold,
)
from groupbook.offers.service.orders import cancel_order, confirm_order, order_of, read_order
from groupbook.offers.service.quotes import next_step, price_offer, price_offers, read_quote, record_quote

__all__ = [
    "AdapterOf",
    "HoldsNotOffered",
    "cancel_order",
    "confirm_order",
    "connected_adapters",
    "create_occasion",
    "create_offer",
    "expire_holds",
    "fixed_adapters",
    "forget",
    "hold_of",
    "import_occasions",
    "import_offer",
    "intent_handlers",
    "list_occasions",
    "list_offers",
    "next_step",
    "occasion_by_ref",
    "offer_by_ref",
    "order_of",
    "place_hold",
    "price_offer",
    "price_offers",
    "read_hold",
    "read_occasion",
    "read_offer",
    "read_offers",
    "read_order",
    "read_quote",
    "read_seat_map",
    "record_quote",
    "release_hold",
    "search_offers",
    "upsert_occasion",
    "upsert_offer",
]
