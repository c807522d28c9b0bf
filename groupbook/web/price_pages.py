"""Pages about one's own price: how it is made, and what coming or going would do, before anybody commits to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session
from starlette.responses import Response

from groupbook import merchants, offers, trips
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.ids import OptionId, TripId, from_wire, to_wire
from groupbook.offers.domain import Offer
from groupbook.trips.domain import Member, Role, Trip, TripNotFound, TripOption
from groupbook.web import price_words
from groupbook.web.asking import Ask
from groupbook.web.price_views import rule_names
from groupbook.web.reading import leg_view, option_label
from groupbook.web.render import Viewer
from groupbook.web.trip_pages import seat_of, trip_id_of
from groupbook.web.views import PriceView


def show_price(ask: Ask) -> Response:
    """How the reader's own price of one option is made. Nobody else can open it."""
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    option_id = OptionId(from_wire("opt", ask.one("option")))
    with ask.deps.database.begin(caller.merchant_id) as session:
        me = _traveler(session, trip_id, caller)
        now = clock.now(session)
        found = trips.explain_price(session, trip_id, option_id, me.id, now=now)
        names = rule_names(session, found.offer.outward.departs_local.date())
        merchant = merchants.read_merchant(session)
    price = found.price
    proof = price_words.proof_text(is_proven=found.proof.optimal, bound=found.proof.bound, say=ask.say)
    reach = found.reach
    context: dict[str, Any] = {
        "back_url": f"/t/{to_wire('trip', trip_id)}",
        "option": _label(ask, found.option, found.offer),
        "on": found.offer.outward.departs_local.date(),
        "legs": [leg_view(leg) for leg in found.offer.legs],
        "own": PriceView(price.pay, found.offer.from_price, found.total, price.alone),
        "told": price_words.told(price, names, ask.say, people=found.people, proof=proof),
        "people": found.people,
        "reach_text": price_words.reach_text(reach.people_more, price.pay, reach.yours, reach.saving, ask.say)
        if reach is not None
        else "",
    }
    return ask.show("price.html", context, merchant=merchant, viewer=_viewer(me, caller))


def show_leave(ask: Ask) -> Response:
    """What leaving would do, before it is done."""
    return _confirm(ask, "leave")


def show_going(ask: Ask) -> Response:
    """What traveling, or not traveling, would do, before it is done."""
    return _confirm(ask, "come" if ask.one("going") == "yes" else "stay")


def _confirm(ask: Ask, step: str) -> Response:
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    with ask.deps.database.begin(caller.merchant_id) as session:
        me = _traveler(session, trip_id, caller)
        trip = trips.trip_of(session, trip_id)
        merchant = merchants.read_merchant(session)
        found = _difference(session, trip, me, step, clock.now(session))
        offer = offers.read_offer(session, found.option.offer_id) if found and found.option.offer_id else None
    context: dict[str, Any] = {
        "step": step,
        "title": _title(ask, step),
        "url": f"/t/{to_wire('trip', trip_id)}",
        "option": _label(ask, found.option, offer) if found and offer else "",
        "found": found,
        "text": _effect(ask, found, step) if found is not None else "",
    }
    return ask.show("confirm.html", context, merchant=merchant, viewer=_viewer(me, caller))


def _title(ask: Ask, step: str) -> str:
    return {"leave": ask.say("Leave this trip?"), "stay": ask.say("Not traveling?"), "come": ask.say("Traveling?")}[
        step
    ]


def _traveler(session: Session, trip_id: TripId, caller: Caller) -> Member:
    """The reader's seat. Raises TripNotFound: not a member who may travel."""
    me = trips.member_of(session, trip_id, caller)
    if me is None or me.role is Role.VIEWER:
        raise TripNotFound()
    return me


def _viewer(me: Member, caller: Caller) -> Viewer:
    return Viewer(me.name, is_guest=caller.kind == "guest")


def _difference(session: Session, trip: Trip, me: Member, step: str, now: datetime) -> trips.Difference | None:
    """For the option in view; None where prices no longer move, or this step moves none."""
    if not trips.is_gathering(trip) or me.is_going == (step == "come"):
        return None
    in_view = trips.option_in_view(session, trip, me, now=now)
    found = trips.preview_leave(session, trip.id, me.id, now=now)
    return next((one for one in found if one.option.id == in_view), None)


def _effect(ask: Ask, found: trips.Difference, step: str) -> str:
    if not found.others:
        return ""
    text = price_words.with_you_text if step == "come" else price_words.without_you_text
    return text(found.others_pay_more_without, ask.say)


def _label(ask: Ask, option: TripOption, offer: Offer) -> str:
    return option_label(option.kind.value, option.label, [leg_view(leg) for leg in offer.legs], ask.say)


def join_preview(ask: Ask, found: Sequence[trips.Difference], in_view: OptionId | None) -> list[str]:
    """What joining does to the group, for the option in view: totals only, and never one single other's amount."""
    one = next((one for one in found if one.option.id == in_view), None)
    if one is None or not one.others:
        return []
    told = [price_words.with_you_text(one.others_pay_more_without, ask.say)]
    if one.others > 1:
        # With one other only, the total and one's own amount would tell theirs to somebody who is not in yet.
        told.append(price_words.whole_group_text(one.total_with, ask.say))
    return told
