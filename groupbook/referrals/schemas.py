"""What goes over the wire about shares, visits and growth."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from groupbook.kit.http import Instant, WholeNumber, Wire, wire_id
from groupbook.kit.ids import to_wire
from groupbook.referrals.domain import SHARE_FIELDS, ChannelGrowth, Growth, Share, visible_seconds_min


class MintShare(Wire):
    """Share a trip once, to one channel. `fields`: what to show of it; the organizer's privacy still decides."""

    trip_id: wire_id("trip")  # type: ignore[valid-type]  # a type made from the prefix
    channel: Annotated[str, StringConstraints(min_length=1, max_length=30)]
    fields: Annotated[list[str], Field(max_length=len(SHARE_FIELDS))] = []


class ShareOut(Wire):
    """One share act. Post `url`, and append nothing to it."""

    id: str
    trip_id: str
    code: str
    url: str
    channel: str
    fields: list[str]
    created_at: Instant

    @classmethod
    def of(cls, share: Share, public_url: str) -> ShareOut:
        return cls(
            id=to_wire("shr", share.id),
            trip_id=to_wire("trip", share.trip_id),
            code=share.code,
            url=f"{public_url.rstrip('/')}/s/{share.code}",
            channel=share.channel,
            fields=list(share.fields),
            created_at=share.created_at,
        )


class ConfirmVisit(Wire):
    """The page was visible (`visibilityState`), not prerendered, for that long."""

    visible_seconds: Annotated[WholeNumber, Field(ge=visible_seconds_min, le=86_400)]


class VisitOut(Wire):
    """Whether this visit counts."""

    id: str
    is_counted: bool


class ChannelGrowthOut(Wire):
    """Figures of one channel. `unconfirmed` visits showed no sign of a person and are not in `visits`."""

    channel: str
    shares: int
    visits: int
    unconfirmed: int
    visits_per_share: float | None
    joins: int
    starts: int
    bookings: int

    @classmethod
    def of(cls, one: ChannelGrowth) -> ChannelGrowthOut:
        return cls(
            channel=one.channel,
            shares=one.shares,
            visits=one.visits,
            unconfirmed=one.unconfirmed,
            visits_per_share=one.visits_per_share,
            joins=one.joins,
            starts=one.starts,
            bookings=one.bookings,
        )


class GrowthOut(Wire):
    """What sharing brought, beside direct traffic. Observed, not proven to be caused."""

    shared: ChannelGrowthOut
    direct: ChannelGrowthOut
    channels: list[ChannelGrowthOut]
    shares_without_visit: int
    bot_hits: int

    @classmethod
    def of(cls, growth: Growth) -> GrowthOut:
        return cls(
            shared=ChannelGrowthOut.of(growth.shared),
            direct=ChannelGrowthOut.of(growth.direct),
            channels=[ChannelGrowthOut.of(one) for one in growth.channels],
            shares_without_visit=growth.shares_without_visit,
            bot_hits=growth.bot_hits,
        )
