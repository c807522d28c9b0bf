"""A trip as its reader may see it: what the rooms say, put into the views of the templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from groupbook import bookings, discounts, merchants, offers, trips
from groupbook.bookings import BookingState
from groupbook.bookings import BookingView as Booking
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError
from groupbook.kit.i18n import Words, format_clock, format_day
from groupbook.kit.ids import OccasionId, OfferId, OptionId, TripId, from_wire, to_wire
from groupbook.merchants import Merchant
from groupbook.offers.domain import Leg, Offer
from groupbook.trips.domain import undo_seconds
from groupbook.web import phrases
from groupbook.web.booking_views import CAME_TO_NOTHING, PARTS, booking_steps, booking_view, somebody
from groupbook.web.deps import WebDeps
from groupbook.web.price_views import Prices, moves_view, own_price, read_prices, rule_names
from groupbook.web.price_words import RuleNames
from groupbook.web.views import (
    AboutYou,
    CardChoice,
    CodeView,
    CommentView,
    LegView,
    MemberView,
    NoticeView,
    OfferView,
    OptionView,
    TripView,
)

comments_shown: Final = 50
_explained_max: Final = 4  # trains asked why a card does not help


@dataclass(frozen=True)
class TripPage:
    """Everything the trip page needs."""

    part: str
    trip: TripView
    merchant: Merchant
    steps: Sequence[tuple[str, str]]
    stream: str
    booking_ref: str = ""


@dataclass(frozen=True)
class _Around:
    """What is read beside the trip's own document, in one transaction."""

    merchant: Merchant
    now: datetime
    found: Mapping[OfferId, Offer]
    prices: Prices
    about: AboutYou | None
    occasion: str
    zone: str
    names: RuleNames
    leading: tuple[str | None, str]  # the option's id, and what made the difference


def read_trip_page(
    deps: WebDeps, caller: Caller, trip_id: TripId, say: Words, *, notice: NoticeView | None = None
) -> TripPage:
    """The page of one trip for one reader.

    Raises:
        TripNotFound: no such trip, or not for them.
    """
    document = json.loads(trips.read_trip(deps.database, caller, trip_id))
    with deps.database.begin(caller.merchant_id) as session:
        around = _around(session, caller, trip_id, document)
    booking = bookings.booking_of_trip(deps.database, caller, trip_id) if document["you"] else None
    people = _members(document, say)
    options = [_option(option, document, around, say) for option in document["options"]]
    part = _part(document, booking)
    leading = next((option.label for option in options if option.id == around.leading[0]), None)
    decision = document["decision"]
    decided = next((o for o in options if decision and o.id == decision["option_id"]), None)
    organizer = next((m.name for m in people.values() if m.is_organizer), say("The organizer"))
    is_organizer = document["you"] is not None and document["you"]["role"] == "organizer"
    view = TripView(
        id=document["id"],
        url=f"/t/{document['id']}",
        title=document["title"] or say("A trip with friends"),
        state=document["state"],
        you=_you(document, people),
        organizer_name=organizer,
        members=list(people.values()),
        member_count=document["member_count"],
        rule_text=phrases.rule_text(document["rule"]["kind"], document["rule"]["quorum"], organizer, say),
        options=options,
        on=_trip_day(document, decided),
        occasion=around.occasion,
        deadline_at=_instant(document["rule"]["deadline_at"]),
        zone=around.zone,
        leading_text=phrases.leading_text(leading, around.leading[1], say),
        moves=moves_view(around.prices, document, options, booking, say),
        decided=decided,
        undo_until=_undo_until(decision, around.now) if is_organizer and part == "decided" else None,
        booking=booking_view(deps, caller, booking, people, around.names, around.zone, say) if booking else None,
        about_you=around.about,
        comments=_comments(deps, caller, trip_id, people, is_organizer) if document["you"] else (),
        share_channels=[(name, network.title) for name, network in deps.networks.items() if network.share],
        share_fields=_share_fields(say),
        notice=notice,
        **_ways_in(deps, caller, trip_id, document),
        **document["privacy"],
    )
    stream = f"/v1/trips/{document['id']}/events/stream" if document["you"] else ""
    return TripPage(part, view, around.merchant, booking_steps(booking, say), stream)


def _part(document: Mapping[str, Any], booking: Booking | None) -> str:
    state: str = document["state"]
    if state in ("open", "locked"):
        return "deciding"
    if state == "canceled":
        return "canceled"
    decided_at = _instant(document["decision"]["decided_at"]) if document["decision"] else None
    if booking is not None and (state != "decided" or decided_at is None or booking.created_at >= decided_at):
        if booking.reason in CAME_TO_NOTHING and PARTS[booking.state] == "canceled":
            return "ended"
        if booking.state is BookingState.AMENDING and any(line.is_payable_by_me for line in booking.portions):
            return "paying"
        return PARTS[booking.state]
    return "booked" if state == "booked" else "decided"


def _around(session: Session, caller: Caller, trip_id: TripId, document: Mapping[str, Any]) -> _Around:
    now = clock.now(session)
    merchant = merchants.read_merchant(session)
    offer_ids = [OfferId(from_wire("off", o["offer_id"])) for o in document["options"] if o["offer_id"]]
    found = offers.read_offers(session, offer_ids) if offer_ids else {}
    member = trips.member_of(session, trip_id, caller) if document["you"] else None
    prices, about = Prices(), None
    day = min((offer.outward.departs_local.date() for offer in found.values()), default=now.date())
    shows_votes = any(option["counts"] is not None for option in document["options"])
    leading = _leading(session, trip_id) if shows_votes else (None, "")
    if member is not None and member.role != "viewer":
        prices = read_prices(session, trip_id, member, document, leading[0], now)
        about = _about(session, member.subject, day, found.values(), now)
    occasion = document["occasion_id"]
    zone = next((offer.outward.origin.zone for offer in found.values()), merchant.timezone)
    return _Around(
        merchant=merchant,
        now=now,
        found=found,
        prices=prices,
        about=about,
        occasion=offers.read_occasion(session, OccasionId(from_wire("occ", occasion))).title if occasion else "",
        zone=zone,
        names=rule_names(session, day),
        leading=leading,
    )


def _leading(session: Session, trip_id: TripId) -> tuple[str | None, str]:
    _, proposal = trips.tally_of(session, trip_id)
    return to_wire("opt", proposal.option_id) if proposal.option_id else None, proposal.reason


def _about(session: Session, subject: UUID, day: date, found: Iterable[Offer], now: datetime) -> AboutYou:
    mine = discounts.entitlements_of(session, [subject])[subject]
    held = {card.type for card in mine.cards}
    known = discounts.card_types(session, day)
    cards = [CardChoice(card.type, card.name, card.type in held) for card in known]
    codes = [CodeView(to_wire("cod", code.id), code.text, code.state.value) for code in mine.codes]
    return AboutYou(cards, mine.age, not held or _card_applies(session, subject, held, found, now), codes)


def _card_applies(session: Session, subject: UUID, held: set[str], found: Iterable[Offer], now: datetime) -> bool:
    """Whether any train takes one of the cards. Unknown counts as yes: only a plain refusal everywhere is told."""
    refused = False
    for offer in list(found)[:_explained_max]:
        try:
            me = offers.price_offer(session, offer, [subject], now, explain=True).people[subject]
        except GroupbookError:
            continue  # no price, so nothing is known of the card either
        by = {refusal.by for refusal in me.refusals}
        if not held <= by or any(not line.what.startswith("fare:") for line in me.lines):
            return True
        refused = True
    return not refused


# --- people ---------------------------------------------------------------------------------------------------------


def _members(document: Mapping[str, Any], say: Words) -> dict[str, MemberView]:
    mine = document["you"]["member_id"] if document["you"] else None
    voters = {vote["member_id"] for option in document["options"] for vote in option["votes"] or ()}
    return {
        member["id"]: MemberView(
            id=member["id"],
            name=member["name"] or say("Somebody"),
            is_you=member["id"] == mine,
            is_organizer=member["role"] == "organizer",
            is_guest=member["is_guest"],
            is_going=member["is_going"],
            has_voted=member["id"] in voters,
            position=position,
        )
        for position, member in enumerate(document["members"] or ())
        if member["role"] != "viewer"  # who waits for a place or gives without one is no member
    }


def _you(document: Mapping[str, Any], people: Mapping[str, MemberView]) -> MemberView | None:
    you = document["you"]
    if you is None:
        return None
    return people.get(you["member_id"]) or MemberView(
        you["member_id"], you["name"], is_you=True, is_organizer=you["role"] == "organizer", is_going=you["is_going"]
    )


def _comments(
    deps: WebDeps, caller: Caller, trip_id: TripId, people: Mapping[str, MemberView], is_organizer: bool
) -> list[CommentView]:
    found = trips.list_comments(deps.database, caller, trip_id, after=None, limit=comments_shown)[:comments_shown]
    views = []
    for comment in reversed(found):
        member = somebody(people, comment.member_id, "…", None)
        id = to_wire("cmt", comment.id)
        views.append(CommentView(id, member, comment.body, comment.created_at, is_organizer or member.is_you))
    return views


def _ways_in(deps: WebDeps, caller: Caller, trip_id: TripId, document: Mapping[str, Any]) -> dict[str, Any]:
    you = document["you"]
    if you is None or document["state"] not in ("open", "locked", "decided"):
        return {}
    may = you["role"] == "organizer" or document["privacy"]["visibility"] in ("friends", "public")
    if not may:
        return {}
    known = trips.list_invites(deps.database, deps.sealer, caller, trip_id)
    is_secret = document["privacy"]["visibility"] == "secret"
    good = [one for one in known if one.invite.revoked_at is None and bool(one.invite.for_name) == is_secret]
    return {"can_invite": True, "invite_url": f"{deps.public_url}/i/{good[0].token}" if good else ""}


# --- what is put to the vote ----------------------------------------------------------------------------------------


def _option(option: Mapping[str, Any], document: Mapping[str, Any], around: _Around, say: Words) -> OptionView:
    offer = around.found.get(OfferId(from_wire("off", option["offer_id"]))) if option["offer_id"] else None
    price = around.prices.of(OptionId(from_wire("opt", option["id"])))
    counts = option["counts"] or {"yes": None, "if_need_be": None, "no": None}
    legs = [leg_view(leg) for leg in offer.legs] if offer else _snapshot_legs(option["snapshot"])
    seats_left = offer.draft.seats_left if offer else None
    is_bookable = offer is not None and offer.is_bookable(around.now) and seats_left != 0
    return OptionView(
        id=option["id"],
        label=option_label(option["kind"], option["label"], legs, say),
        legs=legs,
        price=own_price(price, document["id"]),
        from_price=offer.from_price if offer else None,
        mine=option["yours"],
        is_leading=around.leading[0] == option["id"] and document["state"] in ("open", "locked"),
        is_bookable=is_bookable or offer is None,
        unbookable_text=phrases.unbookable_text(price.reason if price else None, seats_left, say),
        seats_left=seats_left,
        offer_id=option["offer_id"] or "",
        on=legs[0].departs_at.astimezone(ZoneInfo(legs[0].zone)).date() if legs else None,
        **counts,
    )


def option_label(kind: str, label: str, legs: Sequence[LegView], say: Words) -> str:
    """How people call it: two trains of one route differ by their time."""
    if kind == "date":
        return format_day(date.fromisoformat(label), say.locale)
    return f"{label}, {format_clock(legs[0].departs_at, legs[0].zone, say.locale)}" if legs else label


def leg_view(leg: Leg) -> LegView:
    return LegView(
        origin=leg.origin.name,
        destination=leg.destination.name,
        departs_at=leg.departs_at,
        arrives_at=leg.arrives_at,
        zone=leg.origin.zone,
        train=leg.number,
        minutes=leg.duration_minutes,
        arrives_zone=leg.destination.zone,
    )


def offer_view(offer: Offer, now: datetime) -> OfferView:
    return OfferView(
        id=to_wire("off", offer.id),
        title=offer.title,
        legs=[leg_view(leg) for leg in offer.legs],
        from_price=offer.from_price,
        seats_left=offer.draft.seats_left,
        is_bookable=offer.is_bookable(now) and offer.draft.seats_left != 0,
    )


def _snapshot_legs(snapshot: Mapping[str, Any]) -> list[LegView]:
    return [
        LegView(
            origin=leg["origin"],
            destination=leg["destination"],
            departs_at=datetime.fromisoformat(leg["departs_at"]),
            arrives_at=datetime.fromisoformat(leg["arrives_at"]),
            zone=leg["origin_zone"],
            train=leg["number"],
            minutes=leg["duration_minutes"],
            arrives_zone=leg["destination_zone"],
        )
        for leg in (snapshot or {}).get("legs", ())
    ]


def _trip_day(document: Mapping[str, Any], decided: OptionView | None) -> date | None:
    if decided is not None and decided.on is not None:
        return decided.on
    return date.fromisoformat(document["starts_on"]) if document["starts_on"] else None


def _share_fields(say: Words) -> list[tuple[str, str, bool]]:
    return [
        ("title", say("The name of the trip"), True),
        ("date", say("The day"), True),
        ("train", say("The train"), True),
        ("name", say("My first name"), True),
    ]


def _undo_until(decision: Mapping[str, Any] | None, now: datetime) -> datetime | None:
    decided_at = _instant(decision["decided_at"]) if decision else None
    if decided_at is None or decided_at + timedelta(seconds=undo_seconds) <= now:
        return None
    return decided_at + timedelta(seconds=undo_seconds)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
