"""Discount codes over HTTP: the merchant makes and watches them, a traveler enters them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from groupbook.discounts import service
from groupbook.discounts.calls import DiscountDeps, in_session
from groupbook.discounts.code_schemas import CodeLimitsIn, CodeOut, CreateCode, RedemptionOut
from groupbook.discounts.domain import CodeExists, CodeInvalid, CodeNotFound, CodeNotUsable, Entitlements
from groupbook.discounts.schemas import AddCode, EntitlementsOut
from groupbook.kit.http import Call, Operation, Page, PageQuery, operation
from groupbook.kit.ids import CodeId
from groupbook.kit.paging import InvalidCursor


@operation(
    "POST",
    "/v1/codes",
    status=201,
    auth="merchant",
    tags=["codes"],
    scope="offers:write",
    errors=[CodeInvalid, CodeExists],
)
async def create_code(call: Call[DiscountDeps], body: CreateCode) -> CodeOut:
    """Create a discount code for one of your rules."""
    code = await in_session(call, lambda session, now: service.create_code(session, body.draft(), now=now))
    return CodeOut.of(code, livemode=call.caller.livemode)


@operation("GET", "/v1/codes", auth="merchant", tags=["codes"], scope="offers:read", errors=[InvalidCursor])
async def list_codes(call: Call[DiscountDeps], query: PageQuery) -> Page[CodeOut]:
    """Your codes, newest first."""
    found = await in_session(call, lambda session, _now: service.list_codes(session, query.cursor, query.limit))
    data = [CodeOut.of(code, livemode=call.caller.livemode) for code in found.rows]
    return Page[CodeOut](data=data, next_cursor=found.next_cursor)


@operation("GET", "/v1/codes/{code_id}", auth="merchant", tags=["codes"], scope="offers:read", errors=[CodeNotFound])
async def read_code(call: Call[DiscountDeps], code_id: CodeId) -> CodeOut:
    """One of your codes, with its count."""
    code = await in_session(call, lambda session, _now: service.read_code(session, code_id))
    return CodeOut.of(code, livemode=call.caller.livemode)


@operation(
    "PUT",
    "/v1/codes/{code_id}/limits",
    auth="merchant",
    tags=["codes"],
    scope="offers:write",
    errors=[CodeNotFound, CodeInvalid],
)
async def change_code_limits(call: Call[DiscountDeps], code_id: CodeId, body: CodeLimitsIn) -> CodeOut:
    """Replace how often and when a code counts. Bookings that reserved it keep their price."""
    code = await in_session(call, lambda session, _now: service.change_code_limits(session, code_id, body.limits()))
    return CodeOut.of(code, livemode=call.caller.livemode)


@operation(
    "POST",
    "/v1/codes/{code_id}/disable",
    auth="merchant",
    tags=["codes"],
    scope="offers:write",
    errors=[CodeNotFound],
)
async def disable_code(call: Call[DiscountDeps], code_id: CodeId) -> CodeOut:
    """End a code: no new price counts it. Bookings that reserved it keep their price."""
    code = await in_session(call, lambda session, now: service.disable_code(session, code_id, now=now))
    return CodeOut.of(code, livemode=call.caller.livemode)


@operation(
    "GET",
    "/v1/codes/{code_id}/redemptions",
    auth="merchant",
    tags=["codes"],
    scope="offers:read",
    errors=[CodeNotFound, InvalidCursor],
)
async def list_redemptions(call: Call[DiscountDeps], code_id: CodeId, query: PageQuery) -> Page[RedemptionOut]:
    """What a code was used for, newest first."""
    found = await in_session(
        call, lambda session, _now: service.list_redemptions(session, code_id, query.cursor, query.limit)
    )
    data = [RedemptionOut.of(one, livemode=call.caller.livemode) for one in found.rows]
    return Page[RedemptionOut](data=data, next_cursor=found.next_cursor)


@operation(
    "POST",
    "/v1/entitlements/codes",
    auth="member",
    tags=["entitlements"],
    errors=[CodeNotFound, CodeNotUsable, CodeInvalid],
)
async def add_code(call: Call[DiscountDeps], body: AddCode) -> EntitlementsOut:
    """Bring a discount code, on this trip and the next ones. Nobody else sees it; twice is once."""
    subject, sealer = call.caller.require_traveler(), call.deps.sealer

    def step(session: Session, now: datetime) -> Entitlements:
        service.add_code(session, subject, body.code, now=now)
        return service.entitlements_of(session, [subject], sealer=sealer)[subject]

    return EntitlementsOut.of(await in_session(call, step))


@operation(
    "DELETE",
    "/v1/entitlements/codes/{code_id}",
    status=204,
    auth="member",
    tags=["entitlements"],
    errors=[CodeNotFound],
)
async def remove_code(call: Call[DiscountDeps], code_id: CodeId) -> None:
    """Take a code out of your entitlements."""
    subject = call.caller.require_traveler()
    await in_session(call, lambda session, _now: service.remove_code(session, subject, code_id))


OPERATIONS: tuple[Operation, ...] = (
    create_code,
    list_codes,
    read_code,
    change_code_limits,
    disable_code,
    list_redemptions,
    add_code,
    remove_code,
)
