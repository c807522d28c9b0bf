"""Entitlements for their owner, rules for the merchant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy.orm import Session
from starlette.routing import Route

from groupbook.discounts import service
from groupbook.discounts.domain import CardsInvalid, CatalogueInvalid, CatalogueNotFound, RulesUnsupported
from groupbook.discounts.schemas import (
    CardTypeList,
    EntitlementsOut,
    PutEntitlements,
    PutRules,
    RulesOut,
    RulesQuery,
)
from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.kit.http import Call, Edge, FieldProblem, InvalidRequest, Operation, operation
from groupbook.kit.http import routes as _routes

R = TypeVar("R")


@dataclass(frozen=True)
class DiscountDeps:
    database: Database


class CatalogueRefused(InvalidRequest):
    """Rules that are broken or cannot be priced exactly, each with its pointer."""

    code = "catalogue_refused"


async def _step(call: Call[DiscountDeps], step: Callable[[Session, datetime], R]) -> R:
    def use_case() -> R:
        with call.deps.database.begin(call.caller.merchant_id) as session:
            return step(session, clock.now(session))

    return await call.run(use_case)


@operation("GET", "/v1/entitlements", auth="member", tags=["entitlements"])
async def read_entitlements(call: Call[DiscountDeps]) -> EntitlementsOut:
    """Your own cards and age. Nobody else can read them."""
    subject = call.caller.require_traveler()
    found = await _step(call, lambda session, now: service.entitlements_of(session, [subject]))
    return EntitlementsOut.of(found[subject])


@operation("PUT", "/v1/entitlements", auth="member", tags=["entitlements"], errors=[CardsInvalid])
async def put_entitlements(call: Call[DiscountDeps], body: PutEntitlements) -> EntitlementsOut:
    """Say what you bring; it replaces what you said before. Prices you have agreed to do not change."""
    subject = call.caller.require_traveler()
    cards = [card.card() for card in body.cards]
    stated = await _step(
        call, lambda session, now: service.set_entitlements(session, subject, cards=cards, age=body.age, now=now)
    )
    return EntitlementsOut.of(stated)


@operation("GET", "/v1/card-types", auth="either", tags=["entitlements"])
async def list_card_types(call: Call[DiscountDeps]) -> CardTypeList:
    """The discount cards that the merchant's rules of today know."""
    return CardTypeList.of(await _step(call, lambda session, now: service.card_types(session, now.date())))


@operation("GET", "/v1/rules", auth="merchant", tags=["rules"], scope="offers:read", errors=[CatalogueNotFound])
async def read_rules(call: Call[DiscountDeps], query: RulesQuery) -> RulesOut:
    """Your discount rules in force for a day of travel."""
    return RulesOut.of(await _step(call, lambda session, now: service.read_catalogue(session, query.on or now.date())))


@operation("PUT", "/v1/rules", auth="merchant", tags=["rules"], scope="offers:write", errors=[CatalogueRefused])
async def put_rules(call: Call[DiscountDeps], body: PutRules) -> RulesOut:
    """Upload a new version of your discount rules.

    A rule that is broken, or that cannot be priced exactly, is refused with a pointer; then nothing is stored.
    """
    document = {"rules": body.rules}
    try:
        stored = await _step(
            call, lambda session, now: service.put_catalogue(session, document, starts_on=body.starts_on, now=now)
        )
    except (CatalogueInvalid, RulesUnsupported) as error:
        problems = [FieldProblem(pointer=p.pointer, code=p.code, detail=p.detail or p.code) for p in error.problems]
        raise CatalogueRefused(problems) from error
    return RulesOut.of(stored)


OPERATIONS: tuple[Operation, ...] = (read_entitlements, put_entitlements, list_card_types, read_rules, put_rules)


def routes(deps: DiscountDeps, edge: Edge) -> list[Route]:
    return _routes(OPERATIONS, deps, edge)
