"""Imports every room's tables, so that one metadata knows them all. Only the migrations need that view."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

ROOMS = (
    "kit",
    "merchants",
    "people",
    "discounts",
    "payments",
    "offers",
    "trips",
    "bookings",
    "referrals",
    "webhooks",
    "notices",
)

for _room in ROOMS:
    if find_spec(f"groupbook.{_room}") and find_spec(f"groupbook.{_room}.models"):
        import_module(f"groupbook.{_room}.models")
