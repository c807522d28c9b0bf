"""Two people at the operator's desk."""

from __future__ import annotations

from groupbook.bookings.domain import Operator

OPS = Operator("mara", "asked by the merchant")
SECOND = Operator("noor", "seen it, agreed")
