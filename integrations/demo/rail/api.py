"""The agency's JSON interface, which groupbook's `http` merchant adapter speaks.

    GET    /api/v1/offers?origin=&destination=&on=&occasion=&limit=      what is sold, soonest first;
                                         for an occasion returns that fit it; without a question a few favorites
    GET    /api/v1/offers/{ref}          GET /api/v1/offers/{ref}/seats
    GET    /api/v1/occasions
    POST   /api/v1/holds                 GET | DELETE /api/v1/holds/{our_ref}
    PATCH  /api/v1/holds/{our_ref}       {"expires_at"}: keep the places until then, or for as long as we do
    POST   /api/v1/orders                GET | DELETE /api/v1/orders/{our_ref}
    POST   /api/v1/orders/{our_ref}/amendments
                                         {"our_ref", "kind": cancel | replace | reprice, "key", "by", "total_max"}
    POST   /api/v1/orders/{our_ref}/amendments/price
                                         {"kind": cancel | replace, "key", "by"}: what it would come to, `until` when

An order's `state` is pending (ask again), confirmed, rejected or canceled, and its `total` what it costs: as agreed or
less. Who orders at more than it costs now pays the lower price; what costs more is refused with `new_total`. A hold's
`fee` and an order's `hold_fee` are our own fee for keeping places, as groupbook showed it; no part of `total`.

Bearer token. Writes carry `Idempotency-Key`: the same key and body give the first answer, another body 422. Amounts
are minor units, times RFC 3339 in UTC. A refusal is 404, 409 or 422 with problem+json and a `code`; 503 with
`Retry-After` says that nothing was attempted; any other failure says nothing about what happened.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.demo.rail import amending, booking, provoke
from integrations.demo.rail.booking import Desk, No
from integrations.demo.rail.seats import COACHES, all_places
from integrations.demo.rail.store import Store
from integrations.demo.rail.timetable import (
    CURRENCY,
    ORIGINS,
    Product,
    Ride,
    Stop,
    find,
    free_places,
    search,
    seats_left,
    suggestions,
    trains_to,
)

limit_default: Final = 20
limit_max: Final = 100
body_bytes_max: Final = 200_000
Act = Callable[[Desk], dict[str, Any]]


@dataclass(frozen=True)
class Settings:
    """What the server was started with. `lost_answer_seconds` must outlast the caller's patience."""

    token: str
    public_url: str
    groupbook_url: str
    merchant_slug: str
    hold_seconds_max: int = 86_400
    lost_answer_seconds: float = 30.0
    late_effect_seconds: float = 5.0


class Api:
    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/offers", self.offers),
                Route("/offers/{ref}", self.offer),
                Route("/offers/{ref}/seats", self.seats),
                Route("/occasions", self.occasions),
                Route("/holds", self.place_hold, methods=["POST"]),
                Route("/holds/{our_ref}", self.hold, methods=["GET", "DELETE"]),
                Route("/holds/{our_ref}", self.extend_hold, methods=["PATCH"]),
                Route("/orders", self.confirm, methods=["POST"]),
                Route("/orders/{our_ref}", self.order, methods=["GET", "DELETE"]),
                Route("/orders/{our_ref}/amendments", self.amend, methods=["POST"]),
                Route("/orders/{our_ref}/amendments/price", self.price_change, methods=["POST"]),
            ],
            exception_handlers={No: _refuse},
        )

    # --- reading ---------------------------------------------------------------------------------------------------

    def offers(self, request: Request) -> Response:
        self._check(request)
        asked = request.query_params
        try:
            on = date.fromisoformat(asked["on"]) if asked.get("on") else None
            limit = min(int(asked.get("limit", limit_default)), limit_max)
        except ValueError as error:
            raise No("invalid", status=422) from error
        now = datetime.now(UTC)
        with self._store.write() as connection:
            self._suffer_reading(connection)
            occasion = _occasion(connection, asked.get("occasion", ""))
            origin, destination = asked.get("origin", ""), asked.get("destination", "")
            if occasion and on is None:
                products = _for_occasion(connection, occasion, origin, now)
            elif not (origin or destination or on or occasion):
                products = [Product((ride,)) for ride in suggestions(connection, after=now)]
            else:
                destination = destination or (occasion["city"] if occasion else "")
                rides = search(connection, origin=origin, destination=destination, on=on, after=now, limit=limit)
                products = [Product((ride,)) for ride in rides]
            ref = occasion["ref"] if occasion else None
            found = [self._offer(connection, product, occasion_ref=ref) for product in products[:limit]]
        return JSONResponse({"data": found})

    def offer(self, request: Request) -> Response:
        self._check(request)
        with self._store.write() as connection:
            self._suffer_reading(connection)
            sold = booking.product(connection, request.path_params["ref"])
            return JSONResponse(self._offer(connection, sold))

    def seats(self, request: Request) -> Response:
        self._check(request)
        with self._store.read() as connection:
            sold = booking.product(connection, request.path_params["ref"])
            return JSONResponse(
                {"data": [coach for leg, ride in enumerate(sold.rides) for coach in coaches(connection, leg, ride)]}
            )

    def occasions(self, request: Request) -> Response:
        self._check(request)
        with self._store.read() as connection:
            return JSONResponse({"data": coming_occasions(connection, self._settings.public_url)})

    # --- writing ---------------------------------------------------------------------------------------------------

    async def place_hold(self, request: Request) -> Response:
        body = await self._body(request, {"our_ref": str, "offer_ref": str, "hold_seconds": int})
        return await self._act(request, "hold", body["offer_ref"], lambda desk: booking.place_hold(desk, body), body)

    async def confirm(self, request: Request) -> Response:
        body = await self._body(request, {"our_ref": str, "offer_ref": str, "hold_ref": (str, type(None))})
        return await self._act(request, "confirm", body["offer_ref"], lambda desk: booking.confirm(desk, body), body)

    async def hold(self, request: Request) -> Response:
        our_ref = request.path_params["our_ref"]
        if request.method == "DELETE":
            return await self._act(request, "release", "", lambda desk: booking.release_hold(desk, our_ref), {})
        return await self._act(request, "read", "", lambda desk: booking.read_hold(desk, our_ref), None)

    async def extend_hold(self, request: Request) -> Response:
        our_ref = request.path_params["our_ref"]
        body = await self._fields(request, {"expires_at": str})
        try:
            until = int(datetime.fromisoformat(body["expires_at"]).timestamp())
        except ValueError as error:
            raise No("invalid", status=422) from error
        return await self._act(request, "extend", "", lambda desk: booking.extend_hold(desk, our_ref, until), body)

    async def amend(self, request: Request) -> Response:
        our_ref = request.path_params["our_ref"]
        body = await self._fields(request, {"our_ref": str, "kind": str, "total_max": dict})
        try:
            _money(body["total_max"])
            if body["kind"] not in amending.KINDS or (body["kind"] != "reprice" and not isinstance(body["key"], str)):
                raise TypeError("kind")
            if body["kind"] == "replace" and not all(isinstance(body["by"][field], str) for field in ("key", "name")):
                raise TypeError("by")
        except (KeyError, TypeError) as error:
            raise No("invalid", status=422) from error
        return await self._act(request, "amend", "", lambda desk: amending.amend(desk, our_ref, body), body)

    async def price_change(self, request: Request) -> Response:
        """A question: no key, and nothing is kept."""
        our_ref = request.path_params["our_ref"]
        body = await self._fields(request, {"kind": str, "key": str})
        if body["kind"] not in ("cancel", "replace"):
            raise No("invalid", status=422)
        return await self._act(request, "price", "", lambda desk: amending.price(desk, our_ref, body), None)

    async def order(self, request: Request) -> Response:
        our_ref = request.path_params["our_ref"]
        if request.method == "DELETE":
            return await self._act(request, "cancel", "", lambda desk: booking.cancel(desk, our_ref), {})
        return await self._act(request, "read", "", lambda desk: booking.read_order(desk, our_ref), None)

    async def _act(
        self, request: Request, operation: str, offer_ref: str, act: Act, body: dict[str, Any] | None
    ) -> Response:
        """Run `act` in one transaction, suffering what was provoked; repeat the first answer of a known key."""
        self._check(request)
        key = request.headers.get("idempotency-key", "")
        if body is not None and not 1 <= len(key) <= 255:
            raise No("idempotency_key_required", status=400)
        stamp = hashlib.sha256(f"{request.method} {request.url.path} {json.dumps(body, sort_keys=True)}".encode())
        return await run_in_threadpool(
            self._perform, operation, offer_ref, act, key if body is not None else "", stamp.hexdigest()
        )

    def _perform(self, operation: str, offer_ref: str, act: Act, key: str, stamp: str) -> Response:
        with self._store.write() as connection:
            known = connection.execute("SELECT * FROM answered WHERE key = ?", (key,)).fetchone() if key else None
            if known is not None:
                if known["request"] != stamp:
                    raise No("idempotency_key_reused", status=422)
                return Response(known["body"], known["status"], media_type="application/json")
            sold = find(connection, offer_ref) if offer_ref else None
            suffers = provoke.take(connection, operation, sold.rides[0].number if sold else "")
        if suffers == "unavailable":
            return JSONResponse({"code": "unavailable"}, 503, headers={"Retry-After": "2"})
        if suffers == "broken":
            return JSONResponse({"code": "broken"}, 500)
        if suffers == "late_effect":
            # The caller gives up; the work is done behind its back.
            threading.Timer(self._settings.late_effect_seconds, self._quietly, (act, key, stamp)).start()
            return JSONResponse({"code": "timeout"}, 504)
        answer = self._transact(act, key, stamp, suffers)
        if suffers == "slow":
            time.sleep(provoke.slow_seconds)
        if suffers == "lost_answer":
            time.sleep(self._settings.lost_answer_seconds)
        return answer

    def _quietly(self, act: Act, key: str, stamp: str) -> None:
        try:
            self._transact(act, key, stamp, None)
        except No as refusal:
            print(f"late effect refused: {refusal.code}", flush=True)

    def _transact(self, act: Act, key: str, stamp: str, suffers: str | None) -> Response:
        now = int(time.time())
        with self._store.write() as connection:
            booking.expire_holds(connection, now)
            desk = Desk(connection, now, self._settings.token.encode(), self._settings.hold_seconds_max, suffers)
            body = json.dumps(act(desk))
            if key:
                connection.execute("INSERT OR IGNORE INTO answered VALUES (?, ?, 200, ?)", (key, stamp, body))
        return Response(body, 200, media_type="application/json")

    # --- small things ------------------------------------------------------------------------------------------------

    def _check(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._settings.token}".encode()):
            raise No("unauthenticated", status=401)

    def _suffer_reading(self, connection: Any) -> None:
        booking.expire_holds(connection, int(time.time()))
        if provoke.take(connection, "read", "") == "unavailable":
            raise No("unavailable", status=503)

    async def _fields(self, request: Request, fields: dict[str, Any]) -> dict[str, Any]:
        self._check(request)
        raw = await request.body()
        if len(raw) > body_bytes_max:
            raise No("too_large", status=413)
        try:
            body = json.loads(raw)
            for field, kind in fields.items():
                if not isinstance(body[field], kind):
                    raise TypeError(field)
        except (ValueError, KeyError, TypeError) as error:
            raise No("invalid", status=422) from error
        return dict(body)

    async def _body(self, request: Request, fields: dict[str, Any]) -> dict[str, Any]:
        body = await self._fields(request, fields)
        try:
            _money(body["total"])
            for traveler in body["travelers"]:
                if not all(isinstance(traveler[field], str) for field in ("key", "name", "family")):
                    raise TypeError("travelers")
                _money(traveler["price"])
                _money(traveler["full_fare"])
        except (KeyError, TypeError) as error:
            raise No("invalid", status=422) from error
        return body

    def _offer(self, connection: Any, sold: Product, occasion_ref: str | None = None) -> dict[str, Any]:
        return offer_document(connection, sold, self._settings.public_url, occasion_ref)


def offer_document(connection: Any, sold: Product, public_url: str, occasion_ref: str | None = None) -> dict[str, Any]:
    """An offer as groupbook reads it."""
    return {
        "ref": sold.ref,
        "title": sold.title,
        "currency": CURRENCY,
        "legs": [_leg(ride) for ride in sold.rides],
        "fares": {family: {"amount": amount, "currency": CURRENCY} for family, amount in sold.fares.items()}
        if sold.bookable
        else {},
        "valid_until": wire_time(sold.valid_until),
        "bookable": sold.bookable,
        "seats_left": seats_left(connection, sold),
        "occasion_ref": occasion_ref,
        "tags": [],
        "url": f"{public_url}/offer/{sold.ref}",
        "image_url": "",
    }


def coaches(connection: Any, leg: int, ride: Ride) -> list[dict[str, Any]]:
    """The coaches of one ride with their rows and free places."""
    free = {(place.coach, place.name) for place in free_places(connection, ride)}
    answer = []
    for coach in COACHES[ride.travel_class]:
        places = [place for place in all_places(ride.travel_class) if place.coach == coach]
        rows = [[place.name for place in places if place.row == row] for row in sorted({p.row for p in places})]
        names = [place.name for place in places if (coach, place.name) in free]
        answer.append({"leg": leg, "name": coach, "rows": rows, "free": names})
    return answer


def coming_occasions(connection: Any, public_url: str) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT body FROM occasion WHERE starts > ? ORDER BY starts", (int(time.time()) - 86_400,)
    )
    return [
        json.loads(row["body"]) | {"url": f"{public_url}/occasion/{json.loads(row['body'])['ref']}"} for row in rows
    ]


def wire_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _leg(ride: Ride) -> dict[str, Any]:
    return {
        "service": ride.service,
        "number": ride.number,
        "operator": ride.operator,
        "origin": _stop(ride.origin),
        "destination": _stop(ride.destination),
        "departs_at": wire_time(ride.origin.at),
        "arrives_at": wire_time(ride.destination.at),
        "travel_class": ride.travel_class,
    }


def _stop(stop: Stop) -> dict[str, str]:
    return {"name": stop.name, "zone": stop.zone, "city": stop.city, "code": stop.code}


def _occasion(connection: Any, ref: str) -> dict[str, Any] | None:
    row = connection.execute("SELECT body FROM occasion WHERE ref = ?", (ref,)).fetchone()
    return json.loads(row["body"]) if row else None


def _for_occasion(connection: Any, occasion: dict[str, Any], origin: str, now: datetime) -> list[Product]:
    """Returns that fit the occasion, from one city or from the usual ones; singles where no return can be booked."""
    returns, singles = trains_to(
        connection,
        occasion["city"],
        starts=datetime.fromisoformat(occasion["starts_at"]),
        ends=datetime.fromisoformat(occasion["ends_at"]),
        zone=occasion["zone"],
        after=now,
        origins=[origin] if origin else ORIGINS,
    )
    return returns or singles


def _money(value: dict[str, Any]) -> None:
    if not isinstance(value["amount"], int) or value["currency"] != CURRENCY:
        raise TypeError("money")


async def _refuse(request: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, No):
        raise refusal
    body = {
        "type": "about:blank",
        "title": refusal.code,
        "status": refusal.status,
        "code": refusal.code,
        **refusal.more,
    }
    headers = {"Retry-After": "2"} if refusal.status == 503 else {}
    return JSONResponse(body, refusal.status, headers, media_type="application/problem+json")
