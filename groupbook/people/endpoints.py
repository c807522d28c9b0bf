"""Sessions over HTTP: the hand-off into a frame, launches inside a network, who am I, log out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from starlette.routing import Route

from groupbook.kit.database import Database
from groupbook.kit.errors import NotFound
from groupbook.kit.http import Call, Edge, Operation, operation
from groupbook.kit.http import routes as _routes
from groupbook.kit.ids import HandoffId, MerchantId, SessionId, to_wire
from groupbook.people import service
from groupbook.people.domain import (
    LIFETIMES,
    EmbedOriginNotRegistered,
    GuestAdopted,
    HandoffCodeWrong,
    HandoffExpired,
    HandoffNotFound,
    HandoffNotOpen,
    InvalidChallenge,
    InvalidInstance,
    LaunchRejected,
    Lifetimes,
    NetworkNotFound,
    SessionNotFound,
)
from groupbook.people.ports import SocialNetwork
from groupbook.people.schemas import (
    DeviceOut,
    DevicesOut,
    HandoffOut,
    OpenHandoff,
    OpenLaunch,
    PersonOut,
    RedeemHandoff,
    SessionOut,
)
from groupbook.people.service import Adopt, adopt_guest


@dataclass(frozen=True)
class PeopleDeps:
    """What main.py gives this room: the networks in use, and what it may not import (merchants, trips).

    `find_merchant` turns a slug into an id or raises NotFound; `embed_origins` lists where the merchant's frames may
    stand; `adopt` moves a seat to its new owner in every room that knows it.
    """

    database: Database
    networks: Mapping[str, SocialNetwork]
    public_url: str
    find_merchant: Callable[[str], MerchantId]
    embed_origins: Callable[[MerchantId], Collection[str]]
    adopt: Adopt = adopt_guest
    lifetimes: Lifetimes = LIFETIMES


@operation(
    "POST",
    "/v1/embed/handoffs",
    status=201,
    auth="none",
    tags=["people"],
    errors=(NotFound, EmbedOriginNotRegistered, InvalidChallenge, InvalidInstance),
)
async def open_handoff(call: Call[PeopleDeps], body: OpenHandoff) -> HandoffOut:
    """Begin a login for a frame on a merchant's page, good for 5 minutes."""

    def use_case() -> HandoffOut:
        merchant_id = call.deps.find_merchant(body.merchant)
        handoff = service.open_handoff(
            call.deps.database,
            merchant_id=merchant_id,
            embed_origin=body.embed_origin,
            registered_origins=call.deps.embed_origins(merchant_id),
            instance=body.instance,
            challenge=body.challenge,
        )
        return HandoffOut.of(handoff, url=f"{call.deps.public_url}/login/handoff?h={to_wire('hnd', handoff.id)}")

    return await call.run(use_case)


@operation(
    "POST",
    "/v1/embed/handoffs/{handoff_id}/redeem",
    auth="optional",
    tags=["people"],
    errors=(HandoffNotFound, HandoffExpired, HandoffNotOpen, HandoffCodeWrong, GuestAdopted),
)
async def redeem_handoff(call: Call[PeopleDeps], handoff_id: HandoffId, body: RedeemHandoff) -> SessionOut:
    """Trade the window's code and the frame's verifier for a bearer session, once; a guest's seat comes along."""
    login = await call.run(
        service.redeem_handoff,
        call.deps.database,
        handoff_id,
        code=body.code,
        verifier=body.verifier,
        guest_tokens=_guest_tokens(call),
        adopt=call.deps.adopt,
        lifetimes=call.deps.lifetimes,
    )
    return SessionOut.of(login)


@operation(
    "POST",
    "/v1/launches/{network}",
    status=201,
    auth="optional",
    tags=["people"],
    errors=(NetworkNotFound, NotFound, LaunchRejected, GuestAdopted),
)
async def open_launch(call: Call[PeopleDeps], network: str, body: OpenLaunch) -> SessionOut:
    """Trade the payload that a network signed when it opened us for a bearer session, once."""

    def use_case() -> SessionOut:
        found = call.deps.networks.get(network)
        if found is None:
            raise NetworkNotFound()
        login = service.launch(
            call.deps.database,
            found,
            body.payload,
            merchant_id=call.deps.find_merchant(body.merchant),
            merchant_slug=body.merchant,
            guest_tokens=_guest_tokens(call),
            adopt=call.deps.adopt,
            lifetimes=call.deps.lifetimes,
        )
        return SessionOut.of(login)

    return await call.run(use_case)


@operation("POST", "/v1/sessions/end", status=204, auth="member", tags=["people"])
async def end_session(call: Call[PeopleDeps]) -> None:
    """Log out: this token stops working at once."""
    await call.run(service.end_session, call.deps.database, call.caller)


@operation("GET", "/v1/sessions", auth="member", tags=["people"])
async def list_sessions(call: Call[PeopleDeps]) -> DevicesOut:
    """Where somebody is known as you: browsers, frames, and whoever opened your seat by a link"""
    found = await call.run(service.read_devices, call.deps.database, call.caller)
    return DevicesOut(data=[DeviceOut.of(one) for one in found])


@operation("DELETE", "/v1/sessions/{session_id}", status=204, auth="member", tags=["people"], errors=(SessionNotFound,))
async def end_device(call: Call[PeopleDeps], session_id: SessionId) -> None:
    """Log out elsewhere: that session stops working at once"""
    await call.run(service.end_device, call.deps.database, call.caller, session_id)


@operation("GET", "/v1/me", auth="member", tags=["people"], errors=(NotFound,))
async def read_me(call: Call[PeopleDeps]) -> PersonOut:
    """Whose token this is, as others may see them."""

    def use_case() -> PersonOut:
        subject = call.caller.require_traveler()
        with call.deps.database.begin(call.caller.merchant_id) as session:
            card = service.people_cards(session, [subject]).get(subject)
        if card is None:
            raise NotFound()
        return PersonOut.of(card)

    return await call.run(use_case)


def _guest_tokens(call: Call[PeopleDeps]) -> list[str]:
    """The frame's own seat, if it asks as a guest."""
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    return [token.strip()] if call.caller.kind == "guest" and scheme.lower() == "bearer" else []


OPERATIONS: list[Operation] = [
    open_handoff,
    redeem_handoff,
    open_launch,
    end_session,
    list_sessions,
    end_device,
    read_me,
]


def routes(deps: PeopleDeps, edge: Edge) -> list[Route]:
    return _routes(OPERATIONS, deps, edge)
