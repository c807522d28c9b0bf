"""What the merchant sells, over HTTP: push it, list it, read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session
from starlette.routing import Route

from groupbook.kit.database import Database
from groupbook.kit.http import Call, Edge, Operation, PageQuery, operation
from groupbook.kit.http import routes as _routes
from groupbook.kit.ids import OccasionId, OfferId
from groupbook.kit.paging import InvalidCursor
from groupbook.offers.domain import InvalidOffer, OccasionNotFound, OfferNotFound
from groupbook.offers.schemas import (
    CreateOccasion,
    CreateOffer,
    OccasionOut,
    OccasionPage,
    OfferOut,
    OfferPage,
    OfferQuery,
)
from groupbook.offers.service import catalog

R = TypeVar("R")


@dataclass(frozen=True)
class OfferDeps:
    database: Database


async def _step(call: Call[OfferDeps], step: Callable[[Session], R]) -> R:
    def use_case() -> R:
        with call.deps.database.begin(call.caller.merchant_id) as session:
            return step(session)

    return await call.run(use_case)


@operation(
    "POST", "/v1/offers", status=201, auth="merchant", scope="offers:write", tags=["offers"], errors=[InvalidOffer]
)
async def create_offer(call: Call[OfferDeps], body: CreateOffer) -> OfferOut:
    """Push an offer. The same `ref` again renews it, so repeating a request changes nothing."""
    offer = await call.run(catalog.create_offer, call.deps.database, call.caller.merchant_id, body.draft())
    return OfferOut.of(offer, livemode=call.caller.livemode)


@operation("GET", "/v1/offers", auth="either", scope="offers:read", tags=["offers"], errors=[InvalidCursor])
async def list_offers(call: Call[OfferDeps], query: OfferQuery) -> OfferPage:
    """The offers stored here, newest first."""
    found = await _step(call, lambda session: catalog.list_offers(session, query.criteria(), query.cursor))
    data = [OfferOut.of(offer, livemode=call.caller.livemode) for offer in found.rows]
    return OfferPage(data=data, next_cursor=found.next_cursor)


@operation("GET", "/v1/offers/{offer_id}", auth="either", scope="offers:read", tags=["offers"], errors=[OfferNotFound])
async def read_offer(call: Call[OfferDeps], offer_id: OfferId) -> OfferOut:
    """One offer."""
    offer = await _step(call, lambda session: catalog.read_offer(session, offer_id))
    return OfferOut.of(offer, livemode=call.caller.livemode)


@operation(
    "POST", "/v1/occasions", status=201, auth="merchant", scope="offers:write", tags=["offers"], errors=[InvalidOffer]
)
async def create_occasion(call: Call[OfferDeps], body: CreateOccasion) -> OccasionOut:
    """Push an occasion. The same `ref` again renews it."""
    occasion = await call.run(catalog.create_occasion, call.deps.database, call.caller.merchant_id, body.draft())
    return OccasionOut.of(occasion, livemode=call.caller.livemode)


@operation("GET", "/v1/occasions", auth="either", scope="offers:read", tags=["offers"], errors=[InvalidCursor])
async def list_occasions(call: Call[OfferDeps], query: PageQuery) -> OccasionPage:
    """The occasions stored here, newest first."""
    found = await _step(call, lambda session: catalog.list_occasions(session, query.cursor, query.limit))
    data = [OccasionOut.of(occasion, livemode=call.caller.livemode) for occasion in found.rows]
    return OccasionPage(data=data, next_cursor=found.next_cursor)


@operation(
    "GET",
    "/v1/occasions/{occasion_id}",
    auth="either",
    scope="offers:read",
    tags=["offers"],
    errors=[OccasionNotFound],
)
async def read_occasion(call: Call[OfferDeps], occasion_id: OccasionId) -> OccasionOut:
    """One occasion."""
    occasion = await _step(call, lambda session: catalog.read_occasion(session, occasion_id))
    return OccasionOut.of(occasion, livemode=call.caller.livemode)


OPERATIONS: tuple[Operation, ...] = (
    create_offer,
    list_offers,
    read_offer,
    create_occasion,
    list_occasions,
    read_occasion,
)


def routes(deps: OfferDeps, edge: Edge) -> list[Route]:
    return _routes(OPERATIONS, deps, edge)
