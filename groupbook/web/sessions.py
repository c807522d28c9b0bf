"""Who asks for a page or an operation, and what keeps a foreign page from asking in their name.

A bearer speaks for itself: no browser sends it unasked. A cookie counts for reading; for a change it counts only when
the request's `Origin` is our own.
"""

from __future__ import annotations

import re
from uuid import UUID

from starlette.requests import Request

from groupbook import merchants, people, trips
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import Forbidden, InvalidId, Unauthenticated
from groupbook.kit.ids import TripId, from_wire
from groupbook.web import cookies

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TRIP_PATH = re.compile(r"/(?:v1/trips|t)/(trip_[0-9a-f]{32})(?:/|$)")


class ForeignOrigin(Forbidden):
    """A change asked for with our cookie from a page that is not ours."""

    code = "foreign_origin"


def bearer_of(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def require_own_origin(request: Request, public_origin: str) -> None:
    """For changes without a bearer.

    Raises:
        ForeignOrigin: the page that asks is not ours, or hides where it stands.
    """
    if request.method not in _SAFE and request.headers.get("origin") != public_origin:
        raise ForeignOrigin()


def caller_of(request: Request, database: Database, public_origin: str, trip_id: TripId | None = None) -> Caller | None:
    """The person or guest who asks; None for nobody.

    In a trip, a browser may hold a person's session and a guest's seat: the one that sits in this trip speaks.

    Raises:
        Unauthenticated: a bearer was given and is not, or no longer, good.
        ForeignOrigin
    """
    token = bearer_of(request)
    if token is not None:
        caller = people.authenticate(database, token)
        if caller is None:
            raise Unauthenticated()
        return caller
    tokens = [cookies.session_token(request), cookies.seat_token(request, trip_id) if trip_id else None]
    known = [caller for caller in (people.authenticate(database, token) for token in tokens if token) if caller]
    if known:
        require_own_origin(request, public_origin)
    if trip_id is None or len(known) < 2:
        return known[0] if known else None
    with database.begin(known[0].merchant_id) as session:
        sits = trips.member_of(session, trip_id, known[0]) is not None
    return known[0] if sits else known[1]


def authenticate(request: Request, database: Database, public_origin: str) -> Caller | None:
    """`kit.http.Authenticate` for the API: an API key, a session's bearer, or the cookies of our own pages.

    Raises:
        Unauthenticated, InvalidApiKey, ForeignOrigin
    """
    token = bearer_of(request)
    if token is not None and token.startswith("gb_"):
        return merchants.authenticate_key(database, request.headers["authorization"])
    caller = caller_of(request, database, public_origin, _trip_of(request.url.path))
    staff = request.cookies.get(cookies.STAFF)
    if caller is not None or token is not None or not staff:
        return caller
    caller = merchants.authenticate_staff(database, staff)
    if caller is not None:
        require_own_origin(request, public_origin)
    return caller


def _trip_of(path: str) -> TripId | None:
    found = _TRIP_PATH.match(path)
    try:
        return TripId(UUID(from_wire("trip", found[1]).hex)) if found else None
    except InvalidId:
        return None
