"""Values and pure decisions about shares and visits: no database, no clock, no network.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Forbidden   share_not_allowed
    ├── NotFound    share_not_found, visit_not_found
    └── Gone        share_revoked
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from groupbook.kit.errors import Forbidden, Gone, NotFound
from groupbook.kit.ids import MerchantId, ShareId, TripId, VisitId


class ShareNotFound(NotFound):
    code = "share_not_found"


class VisitNotFound(NotFound):
    code = "visit_not_found"


class ShareNotAllowed(Forbidden):
    code = "share_not_allowed"


class ShareRevoked(Gone):
    code = "share_revoked"


class UncountedReason(StrEnum):
    """Why a hit or visit does not count. Kept, so that the number can be explained."""

    METHOD = "method"
    BOT = "bot"
    PREFETCH = "prefetch"
    NOT_NAVIGATION = "not_navigation"
    REVOKED = "revoked"
    UNCONFIRMED = "unconfirmed"
    SELF = "self"
    MEMBER = "member"


@dataclass(frozen=True)
class Share:
    """One share act: a person posted a trip to a channel. The code names it; it carries no right."""

    id: ShareId
    merchant_id: MerchantId
    trip_id: TripId
    code: str
    sharer: UUID
    channel: str
    fields: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class Click:
    """What a request said about itself, already reduced: no full address, no full user agent."""

    method: str
    address_truncated: str
    agent_class: str
    agent_family: str
    is_bot: bool
    fetch_mode: str | None = None
    fetch_destination: str | None = None
    purpose: str | None = None


@dataclass(frozen=True)
class Recorded:
    """A hit's outcome. `visit_id` is there when a page may confirm it; `reason` says why it cannot count."""

    visit_id: VisitId | None
    reason: UncountedReason | None


@dataclass(frozen=True)
class ChannelGrowth:
    """The figures of one channel (`direct` for visits without a share). `n` are the shares behind the means."""

    channel: str
    shares: int
    visits: int
    unconfirmed: int
    joins: int
    bookings: int

    @property
    def visits_per_share(self) -> float | None:
        return None if self.shares == 0 else self.visits / self.shares


@dataclass(frozen=True)
class Growth:
    """What sharing brought this merchant, beside direct traffic."""

    shared: ChannelGrowth
    direct: ChannelGrowth
    channels: tuple[ChannelGrowth, ...]
    shares_without_visit: int
    bot_hits: int
