"""The payment page of ours, and the way back from any: the provider's truth is read, never the browser's address.

Ours is at top level only, for whoever has its address (see `bookings.page_address`), and is the one page that lets the
provider's script and frames in. Card fields live in those frames.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from groupbook import bookings
from groupbook.bookings import PayView
from groupbook.bookings.domain import BookingClosed
from groupbook.kit.callers import Caller
from groupbook.kit.errors import NotFound
from groupbook.kit.i18n import format_money
from groupbook.kit.ids import BookingId, PortionId, from_wire, to_wire
from groupbook.payments import OwnPage, PaymentPageGone
from groupbook.payments.domain import PortionState
from groupbook.web import cookies
from groupbook.web.asking import Ask
from groupbook.web.card_words import CardFacts, card_text
from groupbook.web.headers import Guests

# What a window that closes may say; the trip's page says the rest.
_ENDS: Final = {PortionState.AUTHORIZED: "ready", PortionState.SAVED: "kept"}
# What of the address one comes back to is ours. A provider adds secrets of the payment, which no history should keep.
_OURS: Final = frozenset({"portion", "booking", "window", "outcome", "lang", "theme"})


def show_page(ask: Ask) -> Response:
    """`/pay/{page}`: what is asked for, what happens to the card, and the provider's fields.

    Where there is nothing to agree to any more: on to where the provider's truth is read, or the word that it closed.
    """
    merchant_id, page_ref = bookings.page_of_address(ask.deps.sealer, str(ask.request.path_params["page"]))
    try:
        view = bookings.read_pay_page(ask.deps.database, ask.deps.providers, merchant_id, page_ref)
    except PaymentPageGone:
        return _closed(ask, "/")
    if view.facts.is_agreed or (view.is_open and view.fields is None):
        return RedirectResponse(view.facts.success_url, 303, headers={"Cache-Control": "no-store"})
    if view.fields is None:
        return _closed(ask, view.facts.cancel_url)
    merchant = ask.merchant(merchant_id)
    return ask.show(
        "pay.html",
        {**_words(ask, view, merchant.timezone), "fields": view.fields, "here": ask.request.scope["path"]},
        merchant=merchant,
        guests=_guests(view.fields),
    )


def use_hosted(ask: Ask) -> Response:
    """The provider's page in place of ours."""
    ask.require_own_page()
    sealer = ask.deps.sealer
    merchant_id, page_ref = bookings.page_of_address(sealer, str(ask.request.path_params["page"]))
    try:
        page = bookings.use_hosted_page(
            ask.deps.database, ask.deps.runner, merchant_id, page_ref, locale=ask.say.locale
        )
    except (PaymentPageGone, BookingClosed):
        return _closed(ask, "/")
    return ask.open(bookings.page_address(sealer, merchant_id, page, public_url=ask.deps.public_url))


def _words(ask: Ask, view: PayView, zone: str) -> dict[str, object]:
    portion, say = view.portion, ask.say
    is_declined = portion.state is PortionState.DECLINED
    facts = CardFacts(
        state=portion.state if portion.state is PortionState.SHORT else PortionState.OPEN,
        booking=view.booking_state,
        amount=portion.amount,
        cap=portion.cap,
        authorizes_at=portion.authorizes_at,
        is_asked_again=portion.is_asked_again,
        has_quorum=view.has_quorum,
        zone=zone,
    )
    amount = format_money(view.facts.amount, say.locale)
    is_saving = view.fields is not None and view.fields.mode == "save"
    text = (
        say("Keep my card for %(amount)s", amount=amount) if is_saving else say("Authorize %(amount)s", amount=amount)
    )
    return {
        "heading": text,
        "action": text,
        "trip_title": view.facts.title,
        "fate": card_text(facts, say),
        "declined": say("Your bank said no. Nothing was taken, and nothing is kept.") if is_declined else "",
        "deadline_at": view.deadline_at,
        "success_url": view.facts.success_url,
        "back_url": view.facts.cancel_url,
    }


def _guests(fields: OwnPage) -> Guests:
    return Guests(fields.script_origins, fields.frame_origins, fields.connect_origins)


def _closed(ask: Ask, back_url: str) -> Response:
    say = ask.say
    message = {
        "sign": "clock",
        "title": say("This payment page has closed"),
        "text": say(
            "Nothing can be paid here any more: another page took its place, it is paid, or the time is up. Your trip "
            "shows how it stands."
        ),
        "actions": [(say("Back to the trip"), back_url)],
    }
    return ask.show("message.html", {"message": message}, status=410)


def payment_return(ask: Ask) -> Response:
    """`/pay/return`: on to the trip when this browser sits in it; else a page that says one may close the window.

    Nothing is claimed that the provider did not say. As long as it does not answer, the page says so and asks again.
    """
    given = ask.request.query_params
    if not given.keys() <= _OURS:
        kept = urlencode([(name, value) for name, value in given.multi_items() if name in _OURS])
        return RedirectResponse(f"/pay/return?{kept}", 303, headers={"Cache-Control": "no-store"})
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
