"""The whole site as one ASGI application: every room's operations, the pages, the embed, the dashboard, the document.

Order matters only where addresses overlap, and none do; what no route knows becomes a friendly page for people and a
problem document under /v1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from groupbook import trips
from groupbook.bookings import endpoints as bookings_http
from groupbook.discounts import endpoints as discounts_http
from groupbook.house import House
from groupbook.kit.errors import GroupbookError, InvariantBroken, Unavailable
from groupbook.kit.http import Edge, Operation, problem, starlette_problem
from groupbook.kit.i18n import DEFAULT_LOCALE, words
from groupbook.merchants import endpoints as merchants_http
from groupbook.notices import endpoints as notices_http
from groupbook.offers import endpoints as offers_http
from groupbook.payments import endpoints as payments_http
from groupbook.payments import statement_endpoints as statements_http
from groupbook.people import Lifetimes
from groupbook.people import endpoints as people_http
from groupbook.referrals import endpoints as referrals_http
from groupbook.trips import endpoints as trips_http
from groupbook.trips.live import Hub
from groupbook.trips.stream import still_good
from groupbook.web import (
    booking_pages,
    code_pages,
    dashboard,
    health,
    login,
    mailbox_pages,
    money_pages,
    openapi,
    pages,
    payment_setup_pages,
    receipt_pages,
    rule_pages,
    sessions,
    settlement_pages,
    sponsor_pages,
    telling_pages,
    trial_pages,
    waiting_pages,
)
from groupbook.web.deps import WebDeps
from groupbook.web.middleware import BodyLimit, RequestLog
from groupbook.web.render import STATIC
from groupbook.web.rule_words import place_text
from groupbook.webhooks import endpoints as webhooks_http

log = structlog.get_logger(__name__)

OPERATIONS: tuple[Operation, ...] = (
    *merchants_http.OPERATIONS,
    *people_http.OPERATIONS,
    *discounts_http.OPERATIONS,
    *offers_http.OPERATIONS,
    *trips_http.OPERATIONS,
    *bookings_http.OPERATIONS,
    *payments_http.OPERATIONS,
    *statements_http.OPERATIONS,
    *referrals_http.OPERATIONS,
    *notices_http.OPERATIONS,
    *webhooks_http.OPERATIONS,
)


def build_app(house: House) -> Starlette:
    """Everything, on one house."""
    settings = house.settings
    authenticate = partial(sessions.authenticate, database=house.database, public_origin=settings.public_origin)
    edge = Edge(house.database, authenticate, settings.public_url, settings.idempotency_lock_seconds)
    hub = Hub(settings.database_url, still_good=partial(still_good, house.database))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with hub.running():
            yield {}
        house.close()

    return Starlette(
        routes=[*_api(house, edge, hub), *_pages(house), Mount("/static", StaticFiles(directory=STATIC))],
        middleware=[
            Middleware(RequestLog, is_secure=settings.public_url.startswith("https://")),
            Middleware(BodyLimit),
        ],
        exception_handlers={
            HTTPException: _unknown,
            GroupbookError: _refused,
            DBAPIError: _away,
            Exception: _broken,
        },
        lifespan=lifespan,
    )


def _api(house: House, edge: Edge, hub: Hub) -> list[BaseRoute]:
    database, sealer, settings = house.database, house.sealer, house.settings
    people_deps = people_http.PeopleDeps(
        database=database,
        networks=house.outside.networks,
        public_url=settings.public_url,
        find_merchant=house.find_merchant,
        embed_origins=house.embed_origins,
        adopt=trips.adopt_guest,
        lifetimes=_lifetimes(house),
    )
    discount_deps = discounts_http.DiscountDeps(database, sealer, partial(place_text, say=words(DEFAULT_LOCALE)))
    notice_deps = notices_http.NoticesDeps(database, sealer, settings.bounce_secret.get_secret_value())
    booking_deps = bookings_http.BookingDeps(
        database, house.runner, house.policy, settings.public_url, sealer, house.adapter_of
    )
    return [
        *merchants_http.routes(merchants_http.MerchantDeps(database, sealer), edge),
        *people_http.routes(people_deps, edge),
        *discounts_http.routes(discount_deps, edge),
        *offers_http.routes(offers_http.OfferDeps(database), edge),
        *trips_http.routes(trips_http.TripDeps(database, sealer, hub, settings.public_url), edge),
        *bookings_http.routes(booking_deps, edge),
        *payments_http.routes(payments_http.PaymentDeps(database, house.providers), edge),
        *statements_http.routes(statements_http.StatementDeps(database), edge),
        *referrals_http.routes(referrals_http.ReferralDeps(database), edge),
        *notices_http.routes(notice_deps, edge),
        *webhooks_http.routes(house.webhooks, edge),
        *openapi.routes(OPERATIONS, settings.public_url),
        *health.routes(house),
    ]


def _pages(house: House) -> list[BaseRoute]:
    settings = house.settings
    login_deps = login.LoginDeps(
        house.database, house.outside.networks, settings.public_url, trips.adopt_guest, _lifetimes(house)
    )
    return [
        *login.routes(login_deps),
        *dashboard.routes(house),
        *booking_pages.routes(house),
        *money_pages.routes(house),
        *payment_setup_pages.routes(house),
        *rule_pages.routes(house),
        *code_pages.routes(house),
        *settlement_pages.routes(house),
        *trial_pages.routes(house),
        *receipt_pages.routes(_web_deps(house)),
        *telling_pages.routes(_web_deps(house), house.letters),
        *waiting_pages.routes(_web_deps(house), house.letters),
        *sponsor_pages.routes(_web_deps(house), house.letters),
        *(mailbox_pages.routes(settings.mail_folder) if settings.test_mode and settings.mail_folder else ()),
        *pages.routes(_web_deps(house)),
    ]


def _lifetimes(house: House) -> Lifetimes:
    settings = house.settings
    return Lifetimes(cookie_seconds=settings.session_days * 86_400, bearer_seconds=settings.embed_session_seconds)


def _web_deps(house: House) -> WebDeps:
    settings = house.settings
    return WebDeps(
        database=house.database,
        sealer=house.sealer,
        runner=house.runner,
        providers=house.providers,
        adapter_of=house.adapter_of,
        networks=house.outside.networks,
        public_url=settings.public_url,
        policy=house.policy,
        payment_origins=settings.payment_origins,
        test_mode=settings.test_mode,
        sends_mail=house.letters.mailer is not None,
    )


async def _unknown(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/v1/"):
        return starlette_problem(request, error)
    return pages.unknown(request, error)


async def _broken(request: Request, _error: Exception) -> Response:
    # A fault nobody foresaw: it goes on to the server's log after this answer, and shows nothing of itself.
    if request.url.path.startswith("/v1/"):
        return problem(InvariantBroken(what="an unforeseen fault"), request)
    return pages.broken(request)


async def _away(request: Request, error: Exception) -> Response:
    # The database is gone or fails over (payments.md 2.5): people come again, and the provider sends its message again.
    if not isinstance(error, OperationalError | InterfaceError):
        raise error
    log.warning("database_away", error=type(error.orig).__name__)
    if request.url.path.startswith(("/v1/", "/in/")):
        return problem(Unavailable(what="database"), request)
    return pages.broken(request, status=503)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, GroupbookError):
        raise error
    return problem(error, request)
