"""For the operator's machines: alive, ready, figures.

`live` says that the process answers; `ready` that it can work: the database is reachable and at our revision. A lost
broker loses no work (sweeps find the rows) and only makes everything slower: it is told, and leaves the process ready.
Whoever asks, and however often, the database is looked at once in a while: these addresses are open to everybody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from groupbook.house import House
from groupbook.kit import broker
from groupbook.kit.database import lookup, newest_revision
from groupbook.web.metrics import OLDEST, REGISTRY, ROWS

T = TypeVar("T")
checks_kept_seconds: Final = 1.0
figures_kept_seconds: Final = 5.0


class Kept(Generic[T]):
    """One answer for all who ask within `seconds`; whoever comes while it is being made waits for it."""

    def __init__(self, make: Callable[[], T], *, seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._made: tuple[float, T] | None = None
        self._turn = asyncio.Lock()

    async def read(self) -> T:
        async with self._turn:
            if self._made is None or time.monotonic() - self._made[0] >= self._seconds:
                self._made = (time.monotonic(), await run_in_threadpool(self._make))
            return self._made[1]


class Health:
    """The checks, on one house."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._head = newest_revision()
        self._kept_checks = Kept(self._checks, seconds=checks_kept_seconds)
        self._kept_count = Kept(self._count, seconds=figures_kept_seconds)

    def routes(self) -> list[Route]:
        return [
            Route("/health/live", self.live),
            Route("/health/ready", self.ready),
            Route("/metrics", self.metrics),
        ]

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        checks = await self._kept_checks.read()
        is_ready = checks["database"] == "ok" and checks["migrations"] == "ok"
        return JSONResponse(
            {"status": "ready" if is_ready else "not_ready", "checks": checks}, status_code=200 if is_ready else 503
        )

    async def metrics(self, request: Request) -> Response:
        await self._kept_count.read()
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    def _checks(self) -> dict[str, str]:
        try:
            with self._house.database.begin_unbound() as session:
                revision = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        except SQLAlchemyError:
            return {"database": "unreachable", "migrations": "unknown", "broker": "unknown"}
        return {
            "database": "ok",
            "migrations": "ok" if revision == self._head else f"at {revision}, wants {self._head}",
            "broker": self._broker(),
        }

    def _broker(self) -> str:
        return "ok" if broker.answers(self._house.settings.broker_url) else "unreachable"

    def _count(self) -> None:
        try:
            with self._house.database.begin_unbound() as session:
                counts = lookup(session, "count_pending_rows")
        except SQLAlchemyError:
            return  # the figures of the process itself are still worth having
        for kind, number in counts["rows"].items():
            ROWS.labels(kind).set(number)
        for kind, seconds in counts["oldest_seconds"].items():
            OLDEST.labels(kind).set(seconds)


def routes(house: House) -> list[Route]:
    return Health(house).routes()
