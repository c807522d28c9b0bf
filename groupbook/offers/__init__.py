"""Offers: what is sold, its price for a group, and the merchant's hold and order.

Promise: a quote's lines sum exactly and never change once recorded; the merchant is asked at most once per intent and
with no transaction open; a lost answer is read back by our reference; a canceled order stays canceled. The only room
that calls merchants. Knows nothing of trips or bookings: callers pass an opaque `reference`, read back in facts
(hold.placed, hold.refused, hold.expired, hold.released, order.confirmed, order.rejected, order.canceled, order.discrepant).
"""
