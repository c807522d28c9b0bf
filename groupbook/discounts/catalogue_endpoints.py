"""A merchant's rules over HTTP."""

from __future__ import annotations

from groupbook.discounts import service
from groupbook.discounts.calls import DiscountDeps, in_session
from groupbook.discounts.catalogue_schemas import PutRules, RulesOut, RulesQuery
from groupbook.discounts.domain import CatalogueInvalid, CatalogueNotFound, RulesUnsupported
from groupbook.kit.http import Call, FieldProblem, InvalidRequest, Operation, operation


class CatalogueRefused(InvalidRequest):
    """Rules that are broken or cannot be priced exactly, each with its pointer."""

    code = "catalogue_refused"


@operation("GET", "/v1/rules", auth="merchant", tags=["rules"], scope="offers:read", errors=[CatalogueNotFound])
async def read_rules(call: Call[DiscountDeps], query: RulesQuery) -> RulesOut:
    """Your discount rules in force for a day of travel."""
    return RulesOut.of(
        await in_session(call, lambda session, now: service.read_catalogue(session, query.on or now.date()))
    )


@operation("PUT", "/v1/rules", auth="merchant", tags=["rules"], scope="offers:write", errors=[CatalogueRefused])
async def put_rules(call: Call[DiscountDeps], body: PutRules) -> RulesOut:
    """Upload a new version of your discount rules.

    A rule that is broken, or that cannot be priced exactly, is refused with a pointer; then nothing is stored.
    """
    document = {"rules": body.rules}
    try:
        stored = await in_session(
            call, lambda session, now: service.put_catalogue(session, document, starts_on=body.starts_on, now=now)
        )
    except (CatalogueInvalid, RulesUnsupported) as error:
        problems = [FieldProblem(pointer=p.pointer, code=p.code, detail=p.detail or p.code) for p in error.problems]
        raise CatalogueRefused(problems) from error
    return RulesOut.of(stored)


OPERATIONS: tuple[Operation, ...] = (read_rules, put_rules)
