"""Back from the hosted payment page. The provider's truth is read, never the address the browser came with."""

from __future__ import annotations

from typing import Final

from starlette.responses import RedirectResponse, Response

from groupbook import bookings
from groupbook.kit.callers import Caller
from groupbook.kit.errors import NotFound
from groupbook.kit.ids import BookingId, PortionId, from_wire, to_wire
from groupbook.payments.domain import PortionState
from groupbook.web import cookies
from groupbook.web.asking import Ask

# What a window that closes may say; the trip's page says the rest.
_ENDS: Final = {PortionState.AUTHORIZED: "ready", PortionState.SAVED: "kept"}


def payment_return(ask: Ask) -> Response:
    """`/pay/return`: on to the trip when this browser sits in it; else a page that says one may close the window.

    Nothing is claimed that the provider did not say. As long as it does not answer, the page says so and asks again.
    """
    portion_id = PortionId(from_wire("por", ask.one("portion")))
    booking_id = BookingId(from_wire("bkg", ask.one("booking")))
    for caller in _known(ask):
        try:
            portion = bookings.refresh_payment(ask.deps.database, ask.deps.runner, caller, portion_id)
            booking = bookings.read_booking(ask.deps.database, caller, booking_id)
        except NotFound:
            continue
        trip_url = f"/t/{to_wire('trip', booking.trip_id)}"
        merchant = ask.merchant(caller.merchant_id)
        if portion.state is PortionState.AUTHORIZING and ask.one("outcome") == "done":
            return ask.show("returned.html", {"end": "unheard", "trip_url": trip_url}, merchant=merchant)
        if ask.one("window") and portion.state in _ENDS:
            return ask.show("returned.html", _closing(_ENDS[portion.state]), merchant=merchant)
        return RedirectResponse(trip_url, 303)
    return ask.show(
        "returned.html", _closing("elsewhere") if ask.one("window") else {"end": "elsewhere", "trip_url": ""}
    )


def _closing(end: str) -> dict[str, object]:
    """The end of a window that a frame opened: the trip goes on in the frame."""
    return {"end": end, "trip_url": "", "state": {"close": "1"}}


def _known(ask: Ask) -> list[Caller]:
    """Whoever this browser may be: a person, or a guest in one of several trips."""
    from groupbook import people

    tokens = [cookies.session_token(ask.request), *cookies.seat_tokens(ask.request)]
    found = [people.authenticate(ask.deps.database, token) for token in tokens if token]
    return [caller for caller in found if caller is not None]
