"""Sharing a trip, and the page a share leads to. The code carries no right: each look asks what is allowed now."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from sqlalchemy.orm import Session
from starlette.responses import Response

from groupbook import merchants, offers, people, referrals, trips
from groupbook.kit.callers import Caller
from groupbook.kit.errors import Gone, GroupbookError, NotFound
from groupbook.kit.http import STATUS
from groupbook.kit.ids import TripId, to_wire
from groupbook.merchants import Merchant
from groupbook.offers.domain import Offer
from groupbook.referrals.domain import SHARE_FIELDS, OpenedShare
from groupbook.trips.domain import TripOption, TripState
from groupbook.web import phrases, visits
from groupbook.web.asking import Ask
from groupbook.web.reading import leg_view
from groupbook.web.start_pages import generic_preview
from groupbook.web.views import NoticeView


def share(ask: Ask, caller: Caller, trip_id: TripId) -> Response:
    """One share act: a code of its own, then the network's page (or the link, to be copied)."""
    channel = ask.one("channel") or "copy"
    fields = tuple(field for field in ask.many("fields") if field in SHARE_FIELDS)
    network = ask.deps.networks.get(channel)
    minted = referrals.mint_share(
        ask.deps.database, caller, trip_id, channel=channel if network else "copy", fields=fields
    )
    link = f"{ask.deps.public_url}/s/{minted.code}"
    if network is None or network.share is None:
        return ask.open(link)
    text = ask.say("We are going together. Come along!")
    return ask.open(network.share.share_url(text=text, url=link))


def show_shared(ask: Ask) -> Response:
    """The page behind a share link: the same 200 for everybody, people and preview robots alike."""
    opened = referrals.open_share(ask.deps.database, ask.request.path_params["code"])
    share = opened.share
    return _shared_page(ask, opened, visits.record(ask, share.merchant_id, share.trip_id, share))


def _shared_page(ask: Ask, opened: OpenedShare, visit: str, error: GroupbookError | None = None) -> Response:
    share = opened.share
    with ask.deps.database.begin(share.merchant_id) as session:
        merchant = merchants.read_merchant(session)
        option = trips.decided_option(session, share.trip_id)
        ids = [option.offer_id] if option is not None and option.offer_id is not None else []
        offer = next(iter(offers.read_offers(session, ids).values()), None) if ids else None
        card = people.people_cards(session, [share.sharer]).get(share.sharer)
        count = _count(session, opened)
    shown = _shown(opened, option, offer, card.display_name if card else "", count)
    is_name = error is not None and error.code in ("name_empty", "name_too_long")
    caller = ask.caller(share.trip_id)
    is_known = caller is not None and caller.kind == "person" and caller.merchant_id == share.merchant_id
    start = {"merchant": merchant.slug, "visit": visit}
    if offer is not None and opened.shows("train"):
        start["offer"] = to_wire("off", offer.id)
    context = {
        "shared": shown,
        "preview": _preview(ask, opened, shown, merchant),
        "visit": visit,
        "join_action": f"/s/{share.code}",
        "start_url": f"/start?{urlencode(start)}",
        "name_error": phrases.error_text(error, ask.say) if error and is_name else "",
        "notice": NoticeView(phrases.error_text(error, ask.say), "bad") if error and not is_name else None,
        "robots": "index,follow" if opened.trip.is_indexable else "noindex",
        "state": visits.state_of(visit) if error is None else {},
    }
    status = STATUS[error.kind] if error else 200
    viewer = ask.viewer(caller) if is_known else None
    return ask.show("public.html", context, status=status, merchant=merchant, viewer=viewer)


def _count(session: Session, opened: OpenedShare) -> int | None:
    """How many there are; once it is decided, how many travel."""
    trip = opened.trip
    if trip.member_count is None or trip.state in (TripState.OPEN, TripState.LOCKED):
        return trip.member_count
    return sum(member.is_going for member in trips.members(session, trip.id))


def _shown(
    opened: OpenedShare, option: TripOption | None, offer: Offer | None, sharer: str, count: int | None
) -> dict[str, Any]:
    """Only what the sharer ticked, and of that only what the trip's privacy allows now."""
    trip = opened.trip
    day = offer.outward.departs_local.date() if offer else trip.starts_on
    shows_train = opened.shows("train") and option is not None
    return {
        "title": trip.title if opened.shows("title") else None,
        "names": sharer.split()[:1] if opened.shows("name") else [],  # "my first name" was ticked, not the whole
        "on": day if opened.shows("date") else None,
        "occasion": "",
        "member_count": count,
        "legs": [leg_view(leg) for leg in offer.legs] if offer and shows_train else [],
        "label": option.label if option and shows_train else "",
        "can_join": trip.can_join,
    }


def _preview(ask: Ask, opened: OpenedShare, shown: dict[str, Any], merchant: Merchant) -> dict[str, str]:
    """Generic unless the organizer made the trip public: previews are fetched by third parties and kept for weeks."""
    preview = generic_preview(ask, f"/s/{opened.share.code}", merchant)
    if opened.trip.is_generic or not shown["title"]:
        return preview
    text = ask.say("Join in, or start your own trip. Everybody pays their own price.")
    return {**preview, "title": shown["title"], "text": text}


def join_shared(ask: Ask) -> Response:
    """Come in by a share: the visibility now in force decides, and the share is credited."""
    opened = referrals.open_share(ask.deps.database, ask.request.path_params["code"])
    caller = ask.caller(opened.share.trip_id)
    if caller is None:
        ask.require_own_page()
    try:
        joined = referrals.join_by_share(
            ask.deps.database, caller, opened.share.code, name=ask.one("name") or None, visit_id=visits.visit_of(ask)
        ).joined
    except (NotFound, Gone):
        raise
    except GroupbookError as error:
        return _shared_page(ask, opened, ask.one("visit"), error)
    return ask.go(f"/t/{to_wire('trip', joined.trip_id)}", seat=(joined.trip_id, joined.guest_token))
