"""Entitlements for their owner, rules for the merchant."""

from __future__ import annotations

from starlette.routing import Route

from groupbook.discounts import catalogue_endpoints, code_endpoints, service
from groupbook.discounts.calls import DiscountDeps, in_session
from groupbook.discounts.domain import CardsInvalid
from groupbook.discounts.schemas import CardTypeList, EntitlementsOut, PutEntitlements
from groupbook.kit.http import Call, Edge, Operation, operation
from groupbook.kit.http import routes as _routes


@operation("GET", "/v1/entitlements", auth="member", tags=["entitlements"])
async def read_entitlements(call: Call[DiscountDeps]) -> EntitlementsOut:
    """Your own cards, codes and age. Nobody else can read them."""
    subject, sealer = call.caller.require_traveler(), call.deps.sealer
    found = await in_session(call, lambda session, _now: service.entitlements_of(session, [subject], sealer=sealer))
    return EntitlementsOut.of(found[subject])


@operation("PUT", "/v1/entitlements", auth="member", tags=["entitlements"], errors=[CardsInvalid])
async def put_entitlements(call: Call[DiscountDeps], body: PutEntitlements) -> EntitlementsOut:
    """Say which cards and age you bring; it replaces what you said before. Codes and prices agreed to stay."""
    subject, sealer = call.caller.require_traveler(), call.deps.sealer
    cards = [card.card() for card in body.cards]
    stated = await in_session(
        call,
        lambda session, now: service.set_entitlements(
            session, subject, cards=cards, age=body.age, now=now, sealer=sealer
        ),
    )
    return EntitlementsOut.of(stated)


@operation("GET", "/v1/card-types", auth="either", tags=["entitlements"])
async def list_card_types(call: Call[DiscountDeps]) -> CardTypeList:
    """The discount cards that the merchant's rules of today know."""
    return CardTypeList.of(await in_session(call, lambda session, now: service.card_types(session, now.date())))


OPERATIONS: tuple[Operation, ...] = (
    read_entitlements,
    put_entitlements,
    list_card_types,
    *catalogue_endpoints.OPERATIONS,
    *code_endpoints.OPERATIONS,
)


def routes(deps: DiscountDeps, edge: Edge) -> list[Route]:
    return _routes(OPERATIONS, deps, edge)


__all__ = ["OPERATIONS", "DiscountDeps", "routes"]
