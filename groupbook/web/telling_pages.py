"""How somebody is reached: their own page in a trip, and the pages behind links in messages, which need no login.

A link in a mail is followed by scanners before its reader sees it, so looking changes nothing and a post acts
(RFC 8058: the mail program's own button posts, too, without our cookie and from nowhere).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from groupbook import notices, trips
from groupbook.kit.errors import GroupbookError
from groupbook.kit.http import STATUS
from groupbook.kit.i18n import Words
from groupbook.kit.ids import MemberId, TripId, to_wire
from groupbook.notices import (
    AddressInvalid,
    GuestSeat,
    NoticeDeps,
    Scope,
    Stopped,
    TooManyAddresses,
    TooManySeatLinks,
    Wishes,
)
from groupbook.web import phrases
from groupbook.web.asking import Ask, page
from groupbook.web.deps import WebDeps
from groupbook.web.render import Viewer
from groupbook.web.trip_pages import seat_of, trip_id_of

_WISHES: Final = {"all": Wishes(), "decisions": Wishes(reminders=False), "none": Wishes(False, False)}
_SAID: Final = ("asked", "saved", "dropped")


def routes(deps: WebDeps, letters: NoticeDeps) -> list[Route]:
    """The pages, by address."""

    def at(path: str, method: str, function: Callable[[NoticeDeps, Ask], Response]) -> Route:
        return Route(path, page(partial(function, letters), deps), methods=[method])

    return [
        at("/t/{trip_id}/reminders", "GET", show_reach),
        at("/t/{trip_id}/reminders", "POST", change_reach),
        at("/mail/confirm/{token}", "GET", show_confirm),
        at("/mail/confirm/{token}", "POST", confirm),
        at("/mail/seat/{token}", "GET", show_seat),
        at("/mail/seat/{token}", "POST", ask_seat_link),
        at("/mail/enter/{token}", "GET", show_entry),
        at("/mail/enter/{token}", "POST", enter),
        at("/mail/{token}", "GET", show_stop),
        at("/mail/{token}", "POST", stop),
    ]


# --- in the trip ------------------------------------------------------------------------------------------------------


def show_reach(letters: NoticeDeps, ask: Ask) -> Response:
    return _reach_page(letters, ask, trip_id_of(ask))


def change_reach(letters: NoticeDeps, ask: Ask) -> Response:
    """Give an address, take it back, or say what is wanted there."""
    trip_id = trip_id_of(ask)
    caller, act = seat_of(ask, trip_id), ask.one("act")
    said = ""
    try:
        if act == "give":
            zone = ask.one("timezone") or None
            notices.give_address(letters, caller, trip_id, ask.one("email"), locale=ask.say.locale, timezone=zone)
            said = "asked"
        elif act == "drop":
            notices.drop_address(letters, caller, trip_id)
            said = "dropped"
        elif ask.one("wish") in _WISHES:
            notices.wish(letters, caller, trip_id, _WISHES[ask.one("wish")])
            said = "saved"
    except (AddressInvalid, TooManyAddresses) as error:
        return _reach_page(letters, ask, trip_id, error=error)
    return ask.go(f"/t/{to_wire('trip', trip_id)}/reminders" + (f"?said={said}" if said else ""))


def _reach_page(letters: NoticeDeps, ask: Ask, trip_id: TripId, *, error: GroupbookError | None = None) -> Response:
    caller = seat_of(ask, trip_id)
    reach = notices.read_reach(letters, caller, trip_id)
    with ask.deps.database.begin(caller.merchant_id) as session:
        me = trips.member_of(session, trip_id, caller)
        title = trips.trip_of(session, trip_id).title
    network = ask.deps.networks.get(reach.channel or "")
    said = ask.one("said")
    context = {
        "url": f"/t/{to_wire('trip', trip_id)}",
        "title": title,
        "reach": reach,
        "network": network.title if network else reach.channel or "",
        "wish": _wish_name(reach.wishes),
        "said": said if said in _SAID and error is None else "",
        "error": phrases.error_text(error, ask.say) if error else "",
        "email": ask.one("email") if error else "",
    }
    viewer = Viewer(me.name, is_guest=caller.kind == "guest") if me else None
    merchant = ask.merchant(caller.merchant_id)
    status = STATUS[error.kind] if error else 200
    return ask.show("reach.html", context, status=status, merchant=merchant, viewer=viewer)


def _wish_name(wishes: Wishes) -> str:
    if not wishes.messages:
        return "none"
    return "all" if wishes.reminders else "decisions"


# --- behind links in messages -----------------------------------------------------------------------------------------


def show_stop(letters: NoticeDeps, ask: Ask) -> Response:
    """What the link would stop, with the button that does it."""
    token = ask.request.path_params["token"]
    return _stop_page(ask, notices.read_stop(letters.database, letters.sealer, token), is_done=False)


def stop(letters: NoticeDeps, ask: Ask) -> Response:
    """Stop what the message belongs to (a mail program's button, or ours), or change one's mind on the page."""
    wishes = _WISHES.get(ask.one("wish"))
    stopped = notices.stop(letters.database, letters.sealer, ask.request.path_params["token"], wishes=wishes)
    return _stop_page(ask, stopped, is_done=True)


def _stop_page(ask: Ask, stopped: Stopped, *, is_done: bool) -> Response:
    wishes, name = stopped.wishes, stopped.merchant.name
    context = {
        "title": _stop_title(stopped, ask.say, is_done=is_done),
        "text": _wish_text(wishes, name, ask.say),
        "wish": _wish_name(wishes),
        "first": "decisions" if stopped.scope is Scope.REMINDERS else "none",
        "is_done": is_done,
    }
    return ask.show("mail_stop.html", context, merchant=stopped.merchant)


def _stop_title(stopped: Stopped, say: Words, *, is_done: bool) -> str:
    if not is_done:
        return say("Stop reminders?") if stopped.scope is Scope.REMINDERS else say("Stop these messages?")
    if not stopped.wishes.messages:
        return say("You get no more messages")
    return say("Messages are on") if stopped.wishes.reminders else say("You get no more reminders")


def _wish_text(wishes: Wishes, merchant: str, say: Words) -> str:
    if not wishes.messages:
        return say(
            "%(merchant)s sends nothing to this address any more. News stays on the trip’s page.", merchant=merchant
        )
    if not wishes.reminders:
        return say(
            "%(merchant)s tells you what is decided, booked or paid back, and reminds you no more.", merchant=merchant
        )
    return say(
        "%(merchant)s tells you what happens to your trips, and reminds you before it is too late.", merchant=merchant
    )


def show_confirm(letters: NoticeDeps, ask: Ask) -> Response:
    """The question, with the button that answers it."""
    token = ask.request.path_params["token"]
    return _confirm_page(ask, notices.read_confirm(letters.database, letters.sealer, token))


def confirm(letters: NoticeDeps, ask: Ask) -> Response:
    token = ask.request.path_params["token"]
    return _confirm_page(ask, notices.confirm(letters.database, letters.sealer, token))


def _confirm_page(ask: Ask, found: tuple[object, TripId, bool]) -> Response:
    merchant, trip_id, is_confirmed = found
    context = {"is_confirmed": is_confirmed, "url": f"/t/{to_wire('trip', trip_id)}"}
    return ask.show("mail_confirm.html", context, merchant=merchant)


# --- a guest on another device ----------------------------------------------------------------------------------------


def show_seat(letters: NoticeDeps, ask: Ask) -> Response:
    """Behind the button of every letter to a guest: on to the trip where this browser has their key, else the offer to
    send a link.
    """
    found = notices.read_seat(letters.database, letters.sealer, ask.request.path_params["token"])
    if _sitting(ask, found) == found.member_id:
        return ask.go(f"/t/{to_wire('trip', found.trip_id)}")
    return _seat_page(ask, found, "ask")


def ask_seat_link(letters: NoticeDeps, ask: Ask) -> Response:
    token = ask.request.path_params["token"]
    ask.require_own_page()
    try:
        return _seat_page(ask, notices.ask_seat_link(letters.database, letters.sealer, token), "asked")
    except TooManySeatLinks as error:
        found = notices.read_seat(letters.database, letters.sealer, token)
        return _seat_page(ask, found, "ask", error=error)


def show_entry(letters: NoticeDeps, ask: Ask) -> Response:
    """What the link opens, with the button that does it."""
    return _seat_page(
        ask, notices.read_entry(letters.database, letters.sealer, ask.request.path_params["token"]), "enter"
    )


def enter(letters: NoticeDeps, ask: Ask) -> Response:
    """Only from our own page: nobody else's puts a seat into this browser."""
    ask.require_own_page()
    found, key = notices.enter(letters.database, letters.sealer, ask.request.path_params["token"])
    return ask.go(f"/t/{to_wire('trip', found.trip_id)}", seat=(found.trip_id, key))


def _seat_page(ask: Ask, found: GuestSeat, stage: str, *, error: GroupbookError | None = None) -> Response:
    other = _sitting(ask, found)
    context = {
        "stage": stage,
        "seat": found,
        "is_somebody_else": other is not None and other != found.member_id,
        "error": phrases.error_text(error, ask.say) if error else "",
    }
    return ask.show("mail_seat.html", context, status=STATUS[error.kind] if error else 200, merchant=found.merchant)


def _sitting(ask: Ask, found: GuestSeat) -> MemberId | None:
    """Who this browser is in that trip."""
    caller = ask.caller(found.trip_id)
    if caller is None or caller.merchant_id != found.merchant.id:
        return None
    with ask.deps.database.begin(found.merchant.id) as session:
        member = trips.member_of(session, found.trip_id, caller)
    return member.id if member else None
