"""What the endpoints of this room depend on."""

from __future__ import annotations

from dataclasses import dataclass

from groupbook.bookings.domain import Policy
from groupbook.kit.database import Database
from groupbook.kit.runner import Runner
from groupbook.kit.sealing import Sealer
from groupbook.offers import AdapterOf


@dataclass(frozen=True)
class BookingDeps:
    """What the room's endpoints need."""

    database: Database
    runner: Runner
    policy: Policy
    public_url: str
    sealer: Sealer
    adapter_of: AdapterOf
