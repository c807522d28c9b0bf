"""`/h/<token>`: a place in a booking that a friend hands over, told before it is taken."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session
from starlette.responses import Response

from groupbook import bookings, offers, trips
from groupbook.kit.errors import GroupbookError
from groupbook.kit.http import STATUS
from groupbook.kit.ids import TripId, to_wire
from groupbook.trips.domain import is_invite_token, mint_invite_token
from groupbook.web import phrases, ways_words
from groupbook.web.asking import Ask
from groupbook.web.reading import leg_view, option_label
from groupbook.web.start_pages import generic_preview
from groupbook.web.views import NoticeView


def show_place(ask: Ask) -> Response:
    """Whoever took it already is shown the trip: it is theirs."""
    place = bookings.find_place(ask.deps.database, ask.request.path_params["token"])
    caller = ask.caller(place.trip_id)
    if caller is not None and caller.merchant_id == place.merchant_id and place.taken_by is not None:
        with ask.deps.database.begin(place.merchant_id) as session:
            member = trips.member_of(session, place.trip_id, caller)
        if member is not None and member.id == place.taken_by:
            return ask.go(f"/t/{to_wire('trip', place.trip_id)}")
    return _page(ask)


def take_place(ask: Ask) -> Response:
    """On to the trip, where the newcomer pays like everybody."""
    token = ask.request.path_params["token"]
    place = bookings.find_place(ask.deps.database, token)
    caller = ask.caller(place.trip_id)
    if caller is None:
        ask.require_own_page()
    # From the form only: a nonce in an address would be known to whoever wrote the address.
    nonce = next((value for value in ask.form.get("nonce", ()) if is_invite_token(value)), None)
    try:
        joined = bookings.take_place(ask.deps.database, caller, token, name=ask.one("name") or None, nonce=nonce)
    except GroupbookError as error:
        return _page(ask, error)
    return ask.go(f"/t/{to_wire('trip', joined.trip_id)}", seat=(joined.trip_id, joined.guest_token))


def _page(ask: Ask, error: GroupbookError | None = None) -> Response:
    token = ask.request.path_params["token"]
    offered = bookings.open_handover(ask.deps.database, token)
    merchant = ask.merchant(offered.merchant_id)
    with ask.deps.database.begin(offered.merchant_id) as session:
        ride = _ride(ask, session, offered.trip_id)
    caller = ask.caller(offered.trip_id)
    is_name = error is not None and error.code in ("name_empty", "name_too_long")
    context = {
        "place": offered,
        "ride": ride,
        "action": f"/h/{token}",
        "policy_text": ways_words.lost_discount_text(offered.lost_discount, ask.say),
        "nonce": mint_invite_token(),
        "name_value": ask.one("name") or offered.for_name,
        "name_error": phrases.error_text(error, ask.say) if error and is_name else "",
        "notice": NoticeView(phrases.error_text(error, ask.say), "bad") if error and not is_name else None,
        "networks": ask.networks(merchant, f"/h/{token}"),
        "preview": generic_preview(ask, f"/h/{token}", merchant),
        "zone": merchant.timezone,
    }
    return ask.show(
        "place.html",
        context,
        status=STATUS[error.kind] if error else 200,
        merchant=merchant,
        viewer=ask.viewer(caller) if caller is not None and caller.merchant_id == offered.merchant_id else None,
    )


def _ride(ask: Ask, session: Session, trip_id: TripId) -> dict[str, Any] | None:
    """Where the place goes, and when: nobody takes one without knowing."""
    option = trips.decided_option(session, trip_id)
    if option is None or option.offer_id is None:
        return None
    offer = offers.read_offer(session, option.offer_id)
    legs = [leg_view(leg) for leg in offer.legs]
    label = option_label(option.kind.value, option.label, legs, ask.say)
    return {"label": label, "on": offer.outward.departs_local.date(), "legs": legs}
