"""What the provider tells us: `POST /in/stripe/{account}`, where `account` is a merchant's slug or its id (`mch_…`).

`POST /in/stripe` is the operator's own: messages of every account that lets the platform act for it.

Verify, store raw, dedupe, answer 2xx, then re-read the object (payments.md 0.8). A payload is never applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from starlette.routing import Route

from groupbook.kit.clock import system_now
from groupbook.kit.database import Database
from groupbook.kit.errors import NotFound, Refused
from groupbook.kit.http import Call, Edge, Wire, operation
from groupbook.kit.http import routes as http_routes
from groupbook.kit.ids import MerchantId, from_wire
from groupbook.merchants import MerchantNotFound, merchant_by_slug
from groupbook.payments import setup_repository
from groupbook.payments.handlers import Providers
from groupbook.payments.inlet import Inlet
from groupbook.payments.ports import EventRejected
from groupbook.payments.service.listening import SOURCE

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PaymentDeps:
    database: Database
    providers: Providers
    inlet: Inlet = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inlet", Inlet(self.database, SOURCE))


class Received(Wire):
    """The message is kept; `duplicate` says that it already was."""

    received: bool
    duplicate: bool


@operation("POST", "/in/stripe/{account}", auth="none", tags=["inbound"], errors=(EventRejected, MerchantNotFound))
async def receive_payment_event(call: Call[PaymentDeps], account: str) -> Received:
    """Keep a payment provider's signed message and act on it by reading the provider."""
    body = await call.request.body()
    is_new = await call.run(receive, call.deps, account, dict(call.request.headers), body)
    return Received(received=True, duplicate=not is_new)


@operation("POST", "/in/stripe", auth="none", tags=["inbound"], errors=(EventRejected, MerchantNotFound))
async def receive_platform_event(call: Call[PaymentDeps]) -> Received:
    """Keep a payment provider's signed message of an account on the operator's platform, for whose account it is."""
    body = await call.request.body()
    is_new = await call.run(receive_of_platform, call.deps, dict(call.request.headers), body)
    return Received(received=True, duplicate=not is_new)


OPERATIONS = (receive_payment_event, receive_platform_event)


def routes(deps: PaymentDeps, edge: Edge) -> list[Route]:
    return http_routes(OPERATIONS, deps, edge)


def receive(deps: PaymentDeps, account: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Verify and keep one message; False when it was kept before. A use case.

    Raises:
        MerchantNotFound: no such merchant, or one without a payment provider.
        EventRejected: forged, altered, too old, from the future, of another account or mode.
    """
    merchant_id = _merchant_id(deps.database, account)
    with deps.database.begin(merchant_id) as session:
        try:
            provider = deps.providers.provider(session)
        except Refused:
            raise MerchantNotFound() from None
        now = system_now(session)
    try:
        event = provider.read_event(headers, body, now=now)
    except EventRejected as error:
        log.warning("payment_event_rejected", reason=error.params.get("reason"))
        raise
    return deps.inlet.keep(merchant_id, event, body)


def receive_of_platform(deps: PaymentDeps, headers: Mapping[str, str], body: bytes) -> bool:
    """Verify and keep one message of a connected account; False when nothing of it was new. A use case.

    An account that nobody has in use here is no error: the platform may have connected it for something else, and the
    provider would send the message again for days.

    Raises:
        MerchantNotFound: the operator has no platform, or no secret of its messages.
        EventRejected: forged, altered, too old, from the future, of another mode, or of no connected account.
    """
    onboarding = deps.providers.setups.get(SOURCE)
    if onboarding is None or onboarding.platform is None or not onboarding.platform.hears:
        raise MerchantNotFound()
    with deps.database.begin_unbound() as session:
        now = system_now(session)
    try:
        event = onboarding.platform.read_event(headers, body, now=now)
    except EventRejected as error:
        log.warning("payment_event_rejected", reason=error.params.get("reason"))
        raise
    with deps.database.begin_unbound() as session:
        meant = setup_repository.merchants_of_linked_account(session, SOURCE, event.account or "")
    if not meant:
        log.info("payment_event_of_unknown_account", type=event.type)
    kept = [deps.inlet.keep(merchant_id, event, body) for merchant_id in meant]  # by each of them
    return any(kept)


def _merchant_id(database: Database, account: str) -> MerchantId:
    if account.startswith("mch_"):
        return MerchantId(from_wire("mch", account))
    try:
        return merchant_by_slug(database, account).id
    except NotFound:
        raise MerchantNotFound() from None
