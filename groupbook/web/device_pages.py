"""`/t/<trip>/devices`: where somebody is known as this reader, and logging them out there."""

from __future__ import annotations

from starlette.responses import Response

from groupbook import people, trips
from groupbook.kit.i18n import Words
from groupbook.kit.ids import SessionId, from_wire, to_wire
from groupbook.people import Device
from groupbook.web.asking import Ask
from groupbook.web.trip_pages import seat_of, trip_id_of


def show_devices(ask: Ask) -> Response:
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    found = people.read_devices(ask.deps.database, caller)
    with ask.deps.database.begin(caller.merchant_id) as session:
        title = trips.trip_of(session, trip_id).title
    merchant = ask.merchant(caller.merchant_id)
    context = {
        "url": f"/t/{to_wire('trip', trip_id)}",
        "title": title,
        "devices": [
            {
                "id": to_wire("ses", one.id),
                "text": _text(one, ask.say),
                "since": one.since,
                "until": one.expires_at,
                "is_current": one.is_current,
            }
            for one in sorted(found, key=lambda one: not one.is_current)
        ],
        "is_ended": ask.one("said") == "ended",
        "zone": merchant.timezone,
    }
    return ask.show("devices.html", context, merchant=merchant, viewer=ask.viewer(caller))


def end_device(ask: Ask) -> Response:
    """Log out elsewhere. This browser logs out by its own button, or not at all."""
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    id = SessionId(from_wire("ses", ask.one("session")))
    if id != caller.session_id:
        people.end_device(ask.deps.database, caller, id)
    return ask.go(f"/t/{to_wire('trip', trip_id)}/devices?said=ended")


def _text(one: Device, say: Words) -> str:
    """What we know of it, which is little: no name of the device, no place."""
    if one.embed_origin:
        return say("In a page of %(site)s", site=one.embed_origin.partition("//")[2])
    if one.kind == "guest":
        return say("A browser with your seat in this trip")
    return say("A browser in which you logged in") if one.kind == "cookie" else say("Inside a network")
