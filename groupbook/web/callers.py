"""Who asks, read from a request: a bearer first, else a first-party cookie, which proves nothing across sites.

A cookie is sent by the browser on its own, so a request that changes something with a cookie must come from our own
pages: `Origin` (or `Sec-Fetch-Site`) says so. A bearer is sent by our script only and needs no such proof (B.3.7).
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from starlette.requests import Request

from groupbook import merchants, people
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import Forbidden, InvalidId, Unauthenticated
from groupbook.kit.ids import from_wire
from groupbook.web import cookies

STAFF_COOKIE: Final = "gb_staff"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class CrossSite(Forbidden):
    """A write with a cookie that did not come from one of our own pages."""

    code = "cross_site"


class Callers:
    """Reads callers. Synchronous: it looks sessions and keys up in the database."""

    def __init__(self, database: Database, *, public_origin: str) -> None:
        self._database = database
        self._public_origin = public_origin

    def __call__(self, request: Request) -> Caller | None:
        """The caller of an API operation, or None when nobody says who they are.

        Raises:
            Unauthenticated: a bearer was given and is not (or no longer) good.
            CrossSite: a write with a cookie from somewhere else.
        """
        authorization = request.headers.get("authorization")
        if authorization is not None:
            return self._by_bearer(authorization)
        caller = self._by_cookie(request)
        if caller is not None and request.method not in _SAFE_METHODS:
            self.require_same_site(request)
        return caller

    def in_trip(self, request: Request, trip_id: UUID) -> Caller | None:
        """The caller of one of our pages about one trip: the person, or the guest who holds a seat in it."""
        authorization = request.headers.get("authorization")
        if authorization is not None:
            return self._by_bearer(authorization)
        caller = self._traveler(request, trip_id)
        if caller is not None and request.method not in _SAFE_METHODS:
            self.require_same_site(request)
        return caller

    def require_same_site(self, request: Request) -> None:
        """Raises CrossSite unless the request comes from one of our own pages."""
        origin = request.headers.get("origin")
        if origin == self._public_origin:
            return
        if origin is None and request.headers.get("sec-fetch-site") == "same-origin":
            return
        raise CrossSite()

    def _by_bearer(self, authorization: str) -> Caller:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated()
        if token.startswith("gb_"):
            return merchants.authenticate_key(self._database, authorization)
        caller = people.authenticate(self._database, token.strip())
        if caller is None:
            raise Unauthenticated()
        return caller

    def _by_cookie(self, request: Request) -> Caller | None:
        staff = request.cookies.get(STAFF_COOKIE)
        traveler = self._traveler(request, _trip_in_path(request))
        if traveler is not None:
            return traveler
        return merchants.authenticate_staff(self._database, staff) if staff else None

    def _traveler(self, request: Request, trip_id: UUID | None) -> Caller | None:
        tokens = [cookies.session_token(request)]
        if trip_id is not None:
            tokens.insert(0, cookies.seat_token(request, trip_id))
        else:
            seats = cookies.seat_tokens(request)
            tokens += seats if len(seats) == 1 else []
        for token in tokens:
            caller = people.authenticate(self._database, token) if token else None
            if caller is not None:
                return caller
        return None


def _trip_in_path(request: Request) -> UUID | None:
    text = request.path_params.get("trip_id")
    if not isinstance(text, str):
        return None
    try:
        return from_wire("trip", text)
    except InvalidId:
        return None
