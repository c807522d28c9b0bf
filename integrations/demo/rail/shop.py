"""The shop: what a traveler sees. Server-rendered; groupbook's widget is the only script."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from integrations.demo.rail import provoke, texts
from integrations.demo.rail.api import Settings, coaches
from integrations.demo.rail.seats import allocate
from integrations.demo.rail.store import Store, meta
from integrations.demo.rail.timetable import (
    FAVORITES,
    ORIGINS,
    RETURN,
    Product,
    Ride,
    cities,
    find,
    first_and_last_day,
    free_places,
    search,
    seats_left,
    suggestions,
    trains_to,
)

_HERE: Final = Path(__file__).resolve().parent
results_max: Final = 24
shown_party: Final = 4


class Shop:
    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def routes(self) -> list[Route | Mount]:
        return [
            Route("/", self.home),
            Route("/offer/{ref}", self.offer),
            Route("/occasion/{ref}", self.occasion),
            Route("/_provoke", self.provocations, methods=["GET", "POST"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]

    def home(self, request: Request) -> Response:
        asked = {name: request.query_params.get(name, "").strip()[:80] for name in ("origin", "destination", "on")}
        on = _day(asked["on"])
        searching = any(asked.values())
        now = datetime.now(UTC)
        with self._store.read() as connection:
            span = first_and_last_day(connection)
            first = max(span[0], now.date()) if span else now.date()
            if searching:
                rides = search(
                    connection,
                    origin=asked["origin"],
                    destination=asked["destination"],
                    on=on or first,
                    after=now,
                    limit=results_max,
                )
            else:
                rides = sorted(suggestions(connection, after=now), key=lambda ride: ride.origin.at)
            page = {
                "cities": cities(connection),
                "asked": asked | {"on": (on or first).isoformat()},
                "first": first.isoformat(),
                "last": span[1].isoformat() if span else first.isoformat(),
                "searching": searching,
                "rides": [Product((ride,)) for ride in rides],
                "day": on or first,
                "occasions": self._occasions(connection),
                "favorites": [(o, d) for o, d in FAVORITES],
            }
        return self._page(request, "home.html", page)

    def offer(self, request: Request) -> Response:
        with self._store.read() as connection:
            sold = find(connection, request.path_params["ref"])
            if sold is None:
                return self._missing(request)
            plans = [self._plan(connection, leg, ride) for leg, ride in enumerate(sold.rides)]
            left = seats_left(connection, sold)
            other = "1" if sold.rides[0].travel_class == "2" else "2"
            other_ref = RETURN.join(ride.ref.rsplit(".", 1)[0] + f".{other}" for ride in sold.rides)
            twin = find(connection, other_ref)
        page = {
            "sold": sold,
            "left": left,
            "plans": plans,
            "other_class": twin if twin is not None and twin.bookable else None,
        }
        return self._page(request, "offer.html", page)

    def occasion(self, request: Request) -> Response:
        now = datetime.now(UTC)
        with self._store.read() as connection:
            row = connection.execute(
                "SELECT body FROM occasion WHERE ref = ?", (request.path_params["ref"],)
            ).fetchone()
            if row is None:
                return self._missing(request)
            occasion = _occasion(json.loads(row["body"]))
            returns, singles = trains_to(
                connection,
                occasion["city"],
                starts=occasion["starts"],
                ends=occasion["ends"],
                zone=occasion["zone"],
                after=now,
                origins=ORIGINS,
            )
        return self._page(request, "occasion.html", {"occasion": occasion, "returns": returns, "singles": singles})

    async def provocations(self, request: Request) -> Response:
        """Where a person makes the agency misbehave; also takes a form post from a script."""
        message = ""
        if request.method == "POST":
            form = await request.form()
            with self._store.write() as connection:
                try:
                    if form.get("clear"):
                        provoke.clear(connection)
                    else:
                        provoke.add(
                            connection,
                            str(form.get("what", "")),
                            str(form.get("operation", "")),
                            str(form.get("train", "")).strip(),
                            int(str(form.get("times", "1"))),
                        )
                except ValueError:
                    message = "No such provocation."
            if not message:
                return RedirectResponse("/_provoke", 303)
        with self._store.read() as connection:
            page = {
                "waiting": provoke.waiting(connection),
                "whats": provoke.WHATS,
                "operations": provoke.OPERATIONS,
                "message": message,
            }
        return self._page(request, "provoke.html", page, status=422 if message else 200)

    # --- small things ------------------------------------------------------------------------------------------------

    def _plan(self, connection: Any, leg: int, ride: Ride) -> dict[str, Any]:
        """One coach of the ride, with the places a party of four would get."""
        free = free_places(connection, ride)
        together = allocate(free, shown_party) or []
        coach = together[0].coach if together else None
        plans = [plan for plan in coaches(connection, leg, ride) if coach is None or plan["name"] == coach]
        return {"ride": ride, "coach": plans[0], "ours": {place.name for place in together if place.coach == coach}}

    def _occasions(self, connection: Any) -> list[dict[str, Any]]:
        rows = connection.execute(
            "SELECT body FROM occasion WHERE starts > ? ORDER BY starts LIMIT 8", (int(time.time()) - 86_400,)
        )
        return [_occasion(json.loads(row["body"])) for row in rows]

    def _missing(self, request: Request) -> Response:
        return self._page(request, "missing.html", {}, status=404)

    def _page(self, request: Request, name: str, page: dict[str, Any], *, status: int = 200) -> Response:
        language = _language(request)
        with self._store.read() as connection:
            attributions = [row["text"] for row in connection.execute("SELECT text FROM attribution ORDER BY source")]
            imported = meta(connection, "timetable") == "imported"
        other = "fr" if language == "en" else "en"
        html = self._templates.get_template(name).render(
            t=texts.words(language),
            language=language,
            other_language=other,
            language_url=str(request.url.include_query_params(lang=other)),
            groupbook=self._settings.groupbook_url,
            merchant=self._settings.merchant_slug,
            attributions=attributions,
            imported=imported,
            price=lambda cents: texts.price(language, cents),
            day_of=lambda at: texts.day(language, at.weekday(), at.day, at.month),
            duration=_duration,
            **page,
        )
        response = HTMLResponse(html, status, headers={"Vary": "Accept-Language, Cookie"})
        if "lang" in request.query_params:
            response.set_cookie("kestrel_lang", language, max_age=31_536_000, samesite="lax", httponly=True)
        return response


def _occasion(body: dict[str, Any]) -> dict[str, Any]:
    zone = ZoneInfo(body["zone"])
    starts = datetime.fromisoformat(body["starts_at"]).astimezone(zone)
    ends = datetime.fromisoformat(body["ends_at"]).astimezone(zone)
    return body | {"starts": starts, "ends": ends}


def _language(request: Request) -> str:
    asked = request.query_params.get("lang") or request.cookies.get("kestrel_lang") or ""
    if asked in texts.LANGUAGES:
        return asked
    return "fr" if request.headers.get("accept-language", "").lower().startswith("fr") else "en"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _duration(minutes: int) -> str:
    return f"{minutes // 60} h {minutes % 60:02d}"
