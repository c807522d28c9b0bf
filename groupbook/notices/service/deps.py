"""What this room needs, built once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from groupbook.kit.database import Database
from groupbook.kit.ids import TripId, to_wire
from groupbook.kit.sealing import Sealer
from groupbook.notices.ports import Messenger

NUDGE: Final = "send_notice"
EMAIL: Final = "email"


@dataclass(frozen=True)
class NoticeDeps:
    """`messengers` stand in order of taste; `public_url` is where the links in messages lead.

    `addresses_per_merchant_max` bounds a day's questions to addresses nobody has confirmed.
    """

    database: Database
    messengers: Sequence[Messenger]
    sealer: Sealer
    public_url: str
    lease_seconds: float = 60.0
    addresses_per_merchant_max: int = 1_000

    def trip_link(self, trip_id: TripId) -> str:
        return f"{self.public_url}/t/{to_wire('trip', trip_id)}"

    def place_link(self, token: str) -> str:
        """A place that is this reader's to take: the link is enough, also in another browser."""
        return f"{self.public_url}/h/{token}"

    def receipt_link(self, trip_id: TripId, booking_id: UUID) -> str:
        return f"{self.trip_link(trip_id)}/receipts/{to_wire('bkg', booking_id)}"

    def mail_link(self, token: str) -> str:
        return f"{self.public_url}/mail/{token}"

    @property
    def mailer(self) -> Messenger | None:
        return next((one for one in self.messengers if one.channel == EMAIL), None)
