"""For the operator's machines: alive, ready, figures.

`live` says that the process answers; `ready` that it can work: the database is reachable and at our revision. A lost
broker loses no work (sweeps find the rows) and only makes everything slower: it is told, and leaves the process ready.
"""

from __future__ import annotations

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
from groupbook.web.metrics import REGISTRY, ROWS


class Health:
    """The checks, on one house."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._head = newest_revision()

    def routes(self) -> list[Route]:
        return [
            Route("/health/live", self.live),
            Route("/health/ready", self.ready),
            Route("/metrics", self.metrics),
        ]

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        checks = await run_in_threadpool(self._checks)
        is_ready = checks["database"] == "ok" and checks["migrations"] == "ok"
        return JSONResponse(
            {"status": "ready" if is_ready else "not_ready", "checks": checks}, status_code=200 if is_ready else 503
        )

    async def metrics(self, request: Request) -> Response:
        await run_in_threadpool(self._count)
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
        for kind, number in counts.items():
            ROWS.labels(kind).set(number)


def routes(house: House) -> list[Route]:
    return Health(house).routes()
