"""The cookies by which a browser is known again. First-party and HttpOnly only; frames use bearers in memory instead.

gb_session            a person's session (people: kind cookie), 30 days
gb_seat_<trip hex>    a guest's seat in one trip (people: kind guest), 180 days; goes when the guest logs in
gb_staff              a staff member at the merchant's dashboard, 12 hours
gb_login              proves that the browser which finishes a login is the one that began it, 10 minutes
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from groupbook.people.domain import LIFETIMES, login_seconds

SESSION: Final = "gb_session"
LOGIN: Final = "gb_login"
STAFF: Final = "gb_staff"
_SEAT: Final = "gb_seat_"
_seats_max: Final = 32


def session_token(request: Request) -> str | None:
    """The person's session token, if this browser has one."""
    return request.cookies.get(SESSION) or None


def seat_token(request: Request, trip_id: UUID) -> str | None:
    """The guest's token for a seat in this trip, if this browser has one."""
    return request.cookies.get(_SEAT + trip_id.hex) or None


def seat_tokens(request: Request) -> list[str]:
    """All guest tokens of this browser: what a login takes over."""
    return [value for name, value in request.cookies.items() if name.startswith(_SEAT) and value][:_seats_max]


def set_session(response: Response, token: str, *, seconds: int, secure: bool) -> None:
    _set(response, SESSION, token, seconds=seconds, secure=secure)


def set_seat(response: Response, trip_id: UUID, token: str, *, secure: bool) -> None:
    _set(response, _SEAT + trip_id.hex, token, seconds=int(LIFETIMES.guest_seconds), secure=secure)


def set_login(response: Response, secret: str, *, secure: bool) -> None:
    _set(response, LOGIN, secret, seconds=login_seconds, secure=secure, path="/login")


def clear_session(response: Response) -> None:
    response.delete_cookie(SESSION, path="/")


def clear_seats(request: Request, response: Response) -> None:
    for name in request.cookies:
        if name.startswith(_SEAT):
            response.delete_cookie(name, path="/")


def _set(response: Response, name: str, value: str, *, seconds: int, secure: bool, path: str = "/") -> None:
    response.set_cookie(name, value, max_age=seconds, path=path, secure=secure, httponly=True, samesite="lax")
