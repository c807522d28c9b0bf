"""Back from the hosted payment page. The provider's truth is read, never the address the browser came with."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from groupbook import bookings
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError, NotFound
from groupbook.kit.ids import BookingId, PortionId, from_wire, to_wire
from groupbook.payments.domain import PortionState
from groupbook.web import cookies
from groupbook.web.asking import Ask

_READY = frozenset({PortionState.AUTHORIZED, PortionState.CAPTURING, PortionState.CAPTURED, PortionState.COVERED})


def payment_return(ask: Ask) -> Response:
    """`/pay/return`: on to the trip when this browser sits in it; else a page that says one may close the window."""
    portion_id = PortionId(from_wire("por", ask.one("portion")))
    booking_id = BookingId(from_wire("bkg", ask.one("booking")))
    for caller in _known(ask):
        try:
            portion = bookings.refresh_payment(ask.deps.database, ask.deps.runner, caller, portion_id)
            booking = bookings.read_booking(ask.deps.database, caller, booking_id)
        except NotFound:
            continue
        except GroupbookError:  # the provider does not answer now: its webhook will, and the trip page waits for it
            booking = bookings.read_booking(ask.deps.database, caller, booking_id)
            return RedirectResponse(f"/t/{to_wire('trip', booking.trip_id)}", 303)
        if ask.one("window") and portion.state in _READY:
            return _close(ask, caller)
        if portion.state in _READY or ask.one("outcome") == "back":
            return RedirectResponse(f"/t/{to_wire('trip', booking.trip_id)}", 303)
        context = {"ok": False, "trip_url": f"/t/{to_wire('trip', booking.trip_id)}"}
        return ask.show("returned.html", context, merchant=ask.merchant(caller.merchant_id))
    if ask.one("window") and ask.one("outcome") == "done":
        return _close(ask)
    return ask.show("returned.html", {"ok": ask.one("outcome") == "done", "trip_url": ""})


def _close(ask: Ask, caller: Caller | None = None) -> Response:
    """The end of a window that a frame opened: the trip goes on in the frame."""
    context = {"ok": True, "trip_url": "", "state": {"close": "1"}}
    return ask.show("returned.html", context, merchant=ask.merchant(caller.merchant_id) if caller else None)


def _known(ask: Ask) -> list[Caller]:
    """Whoever this browser may be: a person, or a guest in one of several trips."""
    from groupbook import people

    tokens = [cookies.session_token(ask.request), *cookies.seat_tokens(ask.request)]
    found = [people.authenticate(ask.deps.database, token) for token in tokens if token]
    return [caller for caller in found if caller is not None]
