"""Offers: what is sold, its price for a group, and the merchant's hold and order.

Promise: a quote's lines sum exactly and never change once recorded; the merchant is asked at most once per intent and
with no transaction open; a lost answer is read back by our reference; a canceled order stays canceled. The only room
that calls merchants. Knows nothing of trips or bookings: callers pass an opaque `reference`, read back in facts
(hold.placed, hold.refused, hold.extended, hold.extend_refused, hold.expired, hold.released, order.pending,
order.confirmed, order.rejected, order.canceled, order.amended, order.amend_refused, order.discrepant, order.absent,
order.found, offer.rechecked); their payload carries `reference` and `hold`, `order` or `amendment` as hex, and
`reason`, `total` and `new_total`.
"""

from groupbook.offers.domain import HoldsNotOffered
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
from groupbook.offers.service.history import holds_of, orders_of, rows_about
from groupbook.offers.service.holds import (
    earn_time,
    expire_holds,
    extend_hold,
    hold_again,
    hold_of,
    hold_terms,
    place_hold,
    read_hold,
    release_hold,
)
from groupbook.offers.service.orders import (
    amend_order,
    amendment_of,
    cancel_order,
    confirm_order,
    order_of,
    price_change,
    read_order,
    read_standing_orders,
)
from groupbook.offers.service.quotes import next_step, price_offer, price_offers, read_quote, record_quote
from groupbook.offers.service.rechecks import recheck, recheck_of

__all__ = [
    "AdapterOf",
    "HoldsNotOffered",
    "amend_order",
    "amendment_of",
    "cancel_order",
    "confirm_order",
    "connected_adapters",
    "create_occasion",
    "create_offer",
    "earn_time",
    "expire_holds",
    "extend_hold",
    "fixed_adapters",
    "forget",
    "hold_again",
    "hold_of",
    "hold_terms",
    "holds_of",
    "import_occasions",
    "import_offer",
    "intent_handlers",
    "list_occasions",
    "list_offers",
    "next_step",
    "occasion_by_ref",
    "offer_by_ref",
    "order_of",
    "orders_of",
    "place_hold",
    "price_change",
    "price_offer",
    "price_offers",
    "read_hold",
    "read_occasion",
    "read_offer",
    "read_offers",
    "read_order",
    "read_quote",
    "read_seat_map",
    "read_standing_orders",
    "recheck",
    "recheck_of",
    "record_quote",
    "release_hold",
    "rows_about",
    "search_offers",
    "upsert_occasion",
    "upsert_offer",
]
