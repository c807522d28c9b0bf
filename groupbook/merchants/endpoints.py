"""The merchant's own objects over HTTP: who am I, my keys, my origins, my clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session
from starlette.routing import Route

from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.kit.http import Call, Edge, Operation, operation
from groupbook.kit.http import routes as _routes
from groupbook.kit.ids import ApiKeyId, EmbedOriginId
from groupbook.kit.sealing import Sealer
from groupbook.merchants import details, service
from groupbook.merchants.details import DetailsInvalid
from groupbook.merchants.domain import (
    ApiKeyNotFound,
    EmbedOriginExists,
    EmbedOriginNotFound,
    InvalidOrigin,
    InvalidTravel,
    LiveModeRefused,
    Merchant,
)
from groupbook.merchants.schemas import (
    AddEmbedOrigin,
    ApiKeyList,
    ApiKeyOut,
    CreateApiKey,
    DetailsWire,
    EmbedOriginList,
    EmbedOriginOut,
    MerchantOut,
    MintedKeyOut,
    RollApiKey,
    SetHolds,
    SetTestClock,
    TestClockOut,
)

R = TypeVar("R")


@dataclass(frozen=True)
class MerchantDeps:
    database: Database
    sealer: Sealer


async def _step(call: Call[MerchantDeps], step: Callable[[Session], R]) -> R:
    def use_case() -> R:
        with call.deps.database.begin(call.caller.merchant_id) as session:
            return step(session)

    return await call.run(use_case)


@operation("GET", "/v1/merchant", auth="merchant", tags=["merchant"])
async def read_merchant(call: Call[MerchantDeps]) -> MerchantOut:
    """The merchant this key belongs to."""
    return MerchantOut.of(await _step(call, service.read_merchant))


@operation("PUT", "/v1/merchant/holds", auth="staff", tags=["merchant"])
async def set_holds(call: Call[MerchantDeps], body: SetHolds) -> MerchantOut:
    """Say whether and how you keep places for a group that has not paid yet. Bookings that are open keep theirs."""

    def step(session: Session) -> Merchant:
        service.change_capabilities(session, body.on(service.read_merchant(session).capabilities))
        return service.read_merchant(session)

    return MerchantOut.of(await _step(call, step))


@operation("GET", "/v1/api_keys", auth="staff", tags=["merchant"])
async def list_api_keys(call: Call[MerchantDeps]) -> ApiKeyList:
    """All API keys, newest first, without their secrets."""
    return ApiKeyList(data=[ApiKeyOut.of(key) for key in await _step(call, service.list_api_keys)])


@operation("POST", "/v1/api_keys", status=201, auth="staff", tags=["merchant"])
async def create_api_key(call: Call[MerchantDeps], body: CreateApiKey) -> MintedKeyOut:
    """Mint an API key in the merchant's mode; its secret is in this answer."""
    minted = await _step(
        call, lambda session: service.create_api_key(session, call.deps.sealer, name=body.name, scopes=body.scopes)
    )
    return MintedKeyOut.minted(minted)


@operation("DELETE", "/v1/api_keys/{key_id}", auth="staff", tags=["merchant"], errors=(ApiKeyNotFound,))
async def revoke_api_key(call: Call[MerchantDeps], key_id: ApiKeyId) -> ApiKeyOut:
    """Stop a key at once, for good. Twice equals once."""
    return ApiKeyOut.of(await _step(call, lambda session: service.revoke_api_key(session, key_id)))


@operation("POST", "/v1/api_keys/{key_id}/roll", status=201, auth="staff", tags=["merchant"], errors=(ApiKeyNotFound,))
async def roll_api_key(call: Call[MerchantDeps], key_id: ApiKeyId, body: RollApiKey) -> MintedKeyOut:
    """Mint a successor; the old key works a while longer."""
    minted = await _step(
        call,
        lambda session: service.roll_api_key(session, call.deps.sealer, key_id, overlap_seconds=body.overlap_seconds),
    )
    return MintedKeyOut.minted(minted)


@operation("GET", "/v1/embed_origins", auth="staff", tags=["merchant"])
async def list_embed_origins(call: Call[MerchantDeps]) -> EmbedOriginList:
    """The origins whose pages may frame the widget."""
    return EmbedOriginList(data=[EmbedOriginOut.of(origin) for origin in await _step(call, service.embed_origins)])


@operation(
    "POST",
    "/v1/embed_origins",
    status=201,
    auth="staff",
    tags=["merchant"],
    errors=(InvalidOrigin, EmbedOriginExists),
)
async def add_embed_origin(call: Call[MerchantDeps], body: AddEmbedOrigin) -> EmbedOriginOut:
    """Let pages of this exact origin frame the widget."""
    return EmbedOriginOut.of(await _step(call, lambda session: service.add_embed_origin(session, body.origin)))


@operation("DELETE", "/v1/embed_origins/{origin_id}", auth="staff", tags=["merchant"], errors=(EmbedOriginNotFound,))
async def remove_embed_origin(call: Call[MerchantDeps], origin_id: EmbedOriginId) -> None:
    """Stop an origin from framing the widget."""
    await _step(call, lambda session: service.remove_embed_origin(session, origin_id))


@operation("GET", "/v1/merchant/details", auth="merchant", scope="bookings:read", tags=["merchant"])
async def read_details(call: Call[MerchantDeps]) -> DetailsWire:
    """How you sign receipts."""
    return DetailsWire.of(await _step(call, details.read_details))


@operation(
    "PUT",
    "/v1/merchant/details",
    auth="merchant",
    scope="bookings:write",
    tags=["merchant"],
    errors=(DetailsInvalid,),
)
async def set_details(call: Call[MerchantDeps], body: DetailsWire) -> DetailsWire:
    """Say how you sign receipts; one that is read from now on carries it."""
    wanted = details.Details(**body.model_dump())
    return DetailsWire.of(await _step(call, lambda session: details.change_details(session, wanted)))


@operation("GET", "/v1/test_clock", auth="merchant", tags=["merchant"])
async def read_test_clock(call: Call[MerchantDeps]) -> TestClockOut:
    """What time it is for this merchant."""

    def read(session: Session) -> TestClockOut:
        now = clock.now(session)
        ahead = (now - clock.system_now(session)).total_seconds()
        return TestClockOut(now=now, offset_seconds=max(0, round(ahead)))

    return await _step(call, read)


@operation(
    "PUT",
    "/v1/test_clock",
    auth="merchant",
    tags=["merchant"],
    scope="trips:write",
    errors=(LiveModeRefused, InvalidTravel),
)
async def set_test_clock(call: Call[MerchantDeps], body: SetTestClock) -> TestClockOut:
    """Travel in time, in test mode only: deadlines, holds and retries follow this clock."""
    now = await call.run(
        service.travel_time,
        call.deps.database,
        call.caller.merchant_id,
        offset_seconds=body.offset_seconds,
    )
    return TestClockOut(now=now, offset_seconds=body.offset_seconds)


OPERATIONS: list[Operation] = [
    read_merchant,
    set_holds,
    read_details,
    set_details,
    list_api_keys,
    create_api_key,
    revoke_api_key,
    roll_api_key,
    list_embed_origins,
    add_embed_origin,
    remove_embed_origin,
    read_test_clock,
    set_test_clock,
]


def routes(deps: MerchantDeps, edge: Edge) -> list[Route]:
    return _routes(OPERATIONS, deps, edge)
