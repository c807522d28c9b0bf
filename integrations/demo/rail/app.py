"""The server: shop, JSON interface and health, over one sqlite file."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from integrations.demo.rail import authored, booking
from integrations.demo.rail.api import Api, Settings
from integrations.demo.rail.shop import Shop
from integrations.demo.rail.store import Store


def build(state: Path, settings: Settings) -> Starlette:
    """The application; fills the timetable of the next weeks and gives back what expired while it was down."""
    store = Store(state)
    with store.write() as connection:
        authored.seed(connection, datetime.now(UTC).date())
        booking.expire_holds(connection, int(time.time()))

    def health(request: Request) -> Response:
        with store.read() as connection:
            runs = connection.execute("SELECT count(*) AS n FROM run").fetchone()["n"]
        return JSONResponse({"status": "ok", "trains": runs})

    return Starlette(
        routes=[
            Route("/health", health),
            Mount("/api/v1", Api(store, settings).app()),
            *Shop(store, settings).routes(),
        ]
    )
