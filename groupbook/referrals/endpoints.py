"""Minting shares, confirming visits, reading the growth figures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.routing import Route

from groupbook.kit.database import Database
from groupbook.kit.http import Call, Edge, Operation, operation
from groupbook.kit.http import routes as _routes
from groupbook.kit.ids import TripId, VisitId, from_wire, to_wire
from groupbook.referrals import service
from groupbook.referrals.domain import InvalidChannel, InvalidShareField, ShareNotAllowed, VisitNotFound, VisitTooFresh
from groupbook.referrals.schemas import ConfirmVisit, GrowthOut, MintShare, ShareOut, VisitOut
from groupbook.referrals.service import TooManyShares
from groupbook.trips import NotMember, TripNotFound


@dataclass(frozen=True)
class ReferralDeps:
    database: Database
    public_url: str = ""  # the edge's, once the routes are made


@operation(
    "POST",
    "/v1/shares",
    status=201,
    auth="member",
    tags=["shares"],
    errors=[InvalidChannel, InvalidShareField, TripNotFound, NotMember, ShareNotAllowed, TooManyShares],
)
async def mint_share(call: Call[ReferralDeps], body: MintShare) -> ShareOut:
    """Make the link for one share act. Each act has its own, so ask for one per click on "share"."""
    trip_id = TripId(from_wire("trip", body.trip_id))
    share = await call.run(
        service.mint_share, call.deps.database, call.caller, trip_id, channel=body.channel, fields=body.fields
    )
    return ShareOut.of(share, call.deps.public_url)


@operation("POST", "/v1/visits/{visit_id}/confirm", auth="none", tags=["shares"], errors=[VisitNotFound, VisitTooFresh])
async def confirm_visit(call: Call[ReferralDeps], visit_id: VisitId, body: ConfirmVisit) -> VisitOut:
    """The page has been visible to somebody for a second: the visit counts. Sent by the page itself."""
    is_counted = await call.run(service.confirm_visit, call.deps.database, visit_id)
    return VisitOut(id=to_wire("vis", visit_id), is_counted=is_counted)


@operation("GET", "/v1/growth", auth="merchant", tags=["shares"], scope="bookings:read")
async def read_growth(call: Call[ReferralDeps]) -> GrowthOut:
    """Shares, visits per share, joins and bookings from shares, beside direct traffic."""
    return GrowthOut.of(await call.run(service.growth, call.deps.database, call.caller.merchant_id))


OPERATIONS: tuple[Operation, ...] = (mint_share, confirm_visit, read_growth)


def routes(deps: ReferralDeps, edge: Edge) -> list[Route]:
    return _routes(OPERATIONS, replace(deps, public_url=edge.public_url), edge)
