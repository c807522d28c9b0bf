"""How a trip begins and how people come in: the start page, the search, the invitation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from groupbook import bookings, merchants, offers, referrals, trips
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError, InvalidId, OutcomeUnknown, Unavailable
from groupbook.kit.http import STATUS
from groupbook.kit.i18n import format_day
from groupbook.kit.ids import MerchantId, OccasionId, OfferId, OptionId, TripId, from_wire, to_wire
from groupbook.merchants import Merchant
from groupbook.notices.domain import email_characters_max
from groupbook.offers.domain import Criteria, Occasion, OccasionNotFound, Offer, OfferNotFound
from groupbook.people.domain import name_characters_max
from groupbook.trips import NewOption, StartTrip
from groupbook.trips.domain import (
    DecisionRule,
    InviteNotFound,
    JoinedVia,
    MembersShown,
    Role,
    RuleKind,
    Trip,
    TripOption,
    TripState,
)
from groupbook.web import phrases, visits
from groupbook.web.asking import Ask
from groupbook.web.price_pages import join_preview
from groupbook.web.reading import leg_view, offer_view, option_label
from groupbook.web.trip_pages import seat_of, trip_id_of
from groupbook.web.views import InviteView, MemberView, MyTrip, NoticeView, OccasionView, PriceView

shown_offers_max: Final = 8
_DAY: Final = 86_400


def home(ask: Ask) -> Response:
    """`/`: the reader's own trips, and a way to start."""
    caller = ask.caller()
    merchant = merchants.merchant_by_slug(ask.deps.database, ask.deps.home_merchant)
    context = {"start_url": f"/start?merchant={merchant.slug}", "trips": _my_trips(ask, caller)}
    return ask.show("home.html", context, merchant=merchant, viewer=ask.viewer(caller))


def _my_trips(ask: Ask, caller: Caller | None) -> list[MyTrip]:
    """The reader's trips, newest first, each with what waits for them."""
    if caller is None or not caller.is_traveler:
        return []
    with ask.deps.database.begin(caller.merchant_id) as session:
        mine = [trip for trip, _ in trips.trips_of(session, caller, limit=20) if trip.state is not TripState.CANCELED]
    return [
        MyTrip(
            f"/t/{to_wire('trip', trip.id)}", trip.title or ask.say("A trip with friends"), _waiting(ask, caller, trip)
        )
        for trip in mine
    ]


def _waiting(ask: Ask, caller: Caller, trip: Trip) -> str:
    if trip.state is TripState.BOOKING:
        booking = bookings.booking_of_trip(ask.deps.database, caller, trip.id)
        is_due = booking is not None and any(line.is_payable_by_me for line in booking.portions)
        return ask.say("Your payment is waiting") if is_due else ask.say("Being booked")
    return {
        TripState.OPEN: ask.say("The vote is open"),
        TripState.LOCKED: ask.say("Voting is closed"),
        TripState.DECIDED: ask.say("It is decided"),
        TripState.BOOKED: ask.say("Booked"),
    }.get(trip.state, "")


# --- starting -------------------------------------------------------------------------------------------------------


def show_start(ask: Ask) -> Response:
    merchant = _merchant(ask)
    return _start_page(ask, merchant, _known(ask, merchant))


def _merchant(ask: Ask) -> Merchant:
    return merchants.merchant_by_slug(ask.deps.database, ask.one("merchant") or ask.deps.home_merchant)


def _known(ask: Ask, merchant: Merchant) -> Caller | None:
    """A person of this merchant; a guest's seat is for its own trip only."""
    caller = ask.caller()
    return caller if caller and caller.kind == "person" and caller.merchant_id == merchant.id else None


def _start_page(ask: Ask, merchant: Merchant, caller: Caller | None, error: GroupbookError | None = None) -> Response:
    occasion, listed, chosen, trouble = _what_is_sold(ask, merchant)
    with ask.deps.database.begin(merchant.id) as session:
        now = clock.now(session)
    query = f"merchant={merchant.slug}" + "".join(f"&{n}={ask.one(n)}" for n in ("offer", "occasion") if ask.one(n))
    said = error or trouble
    is_name = error is not None and error.code in ("name_empty", "name_too_long")
    wanted = set(ask.form.get("offer", ())) or chosen
    context: dict[str, Any] = {
        "occasion": _occasion_view(occasion) if occasion else None,
        "offers": [offer_view(offer, now) for offer in listed],
        "chosen": wanted,
        "title_value": ask.one("title") or (occasion.title if occasion else ""),
        "name_value": ask.one("name")[:name_characters_max],
        "name_error": phrases.error_text(error, ask.say) if error and is_name else "",
        "rule_value": ask.one("rule") or "organizer",
        "deadlines": _deadlines(ask),
        "deadline_value": ask.one("deadline_seconds") or str(3 * _DAY),
        "quorum_value": ask.one("quorum") or "2",
        "networks": ask.networks(merchant, f"/start?{query}"),
        "notice": NoticeView(phrases.error_text(said, ask.say), "bad") if said and not is_name else None,
        "action": f"/start?{query}",
        "visit": ask.one("visit"),
        "trips": _my_trips(ask, caller) if error is None else [],
    }
    status = STATUS[error.kind] if error else 200
    return ask.show("start.html", context, status=status, merchant=merchant, viewer=ask.viewer(caller))


def _what_is_sold(
    ask: Ask, merchant: Merchant
) -> tuple[Occasion | None, Sequence[Offer], set[str], GroupbookError | None]:
    """What the page offers to vote on: around the chosen offer or occasion, else what the merchant sells now.

    A merchant that does not answer does not close the page: a trip can begin with nothing.
    """
    try:
        occasion = _occasion(ask, merchant.id)
        first = _offer(ask, merchant.id) if ask.one("offer") and ask.request.method == "GET" else None
        ref = ask.request.query_params.get("offer", "")
        if first is None and ref:
            first = _offer(ask, merchant.id, ref)
        criteria = _criteria(first, occasion)
        found = list(offers.search_offers(ask.deps.database, merchant.id, criteria, ask.deps.adapter_of))
    except (Unavailable, OutcomeUnknown, OfferNotFound, OccasionNotFound, InvalidId) as error:
        return None, [], set(), error
    if first is not None:
        found = [first, *(offer for offer in found if offer.id != first.id)]
    chosen = {to_wire("off", offer.id) for offer in found[: 1 if first else 2]}
    return occasion, found[:shown_offers_max], chosen, None


def _criteria(first: Offer | None, occasion: Occasion | None) -> Criteria:
    if first is not None:
        leg = first.outward
        return Criteria(
            origin=leg.origin.name,
            destination=leg.destination.name,
            on=leg.departs_local.date(),
            limit=shown_offers_max,
        )
    return Criteria(occasion_ref=occasion.ref if occasion else None, limit=shown_offers_max)


def _offer(ask: Ask, merchant_id: MerchantId, ref: str | None = None) -> Offer:
    """The offer of the address: our id, or the merchant's own ref."""
    text = ref or ask.one("offer")
    if text.startswith("off_"):
        with ask.deps.database.begin(merchant_id) as session:
            return offers.read_offer(session, OfferId(from_wire("off", text)))
    return offers.import_offer(ask.deps.database, merchant_id, text[:200], ask.deps.adapter_of)


def _occasion(ask: Ask, merchant_id: MerchantId) -> Occasion | None:
    text = ask.one("occasion")
    if not text:
        return None
    if text.startswith("occ_"):
        with ask.deps.database.begin(merchant_id) as session:
            return offers.read_occasion(session, OccasionId(from_wire("occ", text)))
    with ask.deps.database.begin(merchant_id) as session:
        known = offers.occasion_by_ref(session, text[:200])
    if known is not None:
        return known
    fresh = offers.import_occasions(ask.deps.database, merchant_id, ask.deps.adapter_of)
    found = next((occasion for occasion in fresh if occasion.ref == text), None)
    if found is None:
        raise OccasionNotFound(ref=text[:100])
    return found


def _occasion_view(occasion: Occasion) -> OccasionView:
    draft = occasion.draft
    place = ", ".join(part for part in (draft.venue, draft.city) if part)
    return OccasionView(to_wire("occ", occasion.id), draft.title, place, draft.starts_at.date(), draft.ends_at.date())


def _deadlines(ask: Ask) -> list[tuple[str, str]]:
    say = ask.say
    days = [(str(n * _DAY), say.many("%(num)s day", "%(num)s days", n)) for n in (1, 3, 7)]
    return [("3600", say.many("%(num)s hour", "%(num)s hours", 1)), *days]


def start(ask: Ask) -> Response:
    """Begin the trip. Nobody has to log in for it: a guest organizes, too."""
    merchant = _merchant(ask)
    caller = _known(ask, merchant)
    if caller is None:
        ask.require_own_page()
    visit_id = visits.confirm(ask)
    asker = caller or Caller(kind="nobody", merchant_id=merchant.id, livemode=merchant.livemode)
    try:
        with ask.deps.database.begin(merchant.id) as session:
            now = clock.now(session)
            plan = _plan(ask, now)
            begun = trips.start_trip_in(session, ask.deps.sealer, asker, plan)
            if visit_id is not None:
                referrals.note_start(session, begun.trip_id, begun.member.id, begun.member.subject, visit_id)
    except GroupbookError as error:
        return _start_page(ask, merchant, caller, error)
    return ask.go(f"/t/{to_wire('trip', begun.trip_id)}", seat=(begun.trip_id, begun.guest_token))


def _plan(ask: Ask, now: datetime) -> StartTrip:
    kind = ask.word("rule", RuleKind) or RuleKind.ORGANIZER
    seconds = ask.number("deadline_seconds")
    rule = DecisionRule(
        kind=kind,
        quorum=ask.number("quorum") if kind is RuleKind.QUORUM_AT_DEADLINE else None,
        deadline_at=now + timedelta(seconds=seconds) if seconds else None,
    )
    occasion = ask.one("occasion")
    return StartTrip(
        title=ask.one("title"),
        organizer_name=ask.one("name") or None,
        occasion_id=OccasionId(from_wire("occ", occasion)) if occasion.startswith("occ_") else None,
        options=[NewOption(offer_id=OfferId(from_wire("off", id))) for id in ask.form.get("offer", ())],
        rule=rule,
        via=JoinedVia.WIDGET if ask.is_framed else JoinedVia.STARTED,
    )


# --- more trains ----------------------------------------------------------------------------------------------------


def show_add(ask: Ask) -> Response:
    """Search what the merchant sells, to put more to the vote."""
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    with ask.deps.database.begin(caller.merchant_id) as session:
        if trips.member_of(session, trip_id, caller) is None:
            raise trips.domain.TripNotFound()
        known = [option for option in trips.options(session, trip_id) if option.offer_id]
        found = offers.read_offers(session, [option.offer_id for option in known if option.offer_id])
        merchant = merchants.read_merchant(session)
        now = clock.now(session)
    first = next(iter(found.values()), None)
    asked = any(name in ask.request.query_params for name in ("from", "to", "on"))
    like = _criteria(first, None)
    criteria = like if not asked else Criteria(ask.one("from")[:80], ask.one("to")[:80], _day(ask.one("on")), limit=20)
    listed = offers.search_offers(ask.deps.database, merchant.id, criteria, ask.deps.adapter_of)
    url = f"/t/{to_wire('trip', trip_id)}"
    context = {
        "criteria": criteria,
        "offers": [offer_view(offer, now) for offer in listed if offer.id not in found],
        "back_url": url,
        "action": f"{url}/add",
        "add_action": f"{url}/options",
    }
    return ask.show("add.html", context, merchant=merchant, viewer=ask.viewer(caller))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


# --- the invitation -------------------------------------------------------------------------------------------------


def show_invite(ask: Ask) -> Response:
    address, for_name = trips.open_invite(ask.deps.database, ask.request.path_params["token"])
    caller = ask.caller(address.trip_id)
    if caller is not None and caller.merchant_id == address.merchant_id:
        with ask.deps.database.begin(address.merchant_id) as session:
            seat = trips.member_of(session, address.trip_id, caller)
            has_room = trips.may_come_in(session, trips.trip_of(session, address.trip_id))
            if seat is not None and not (seat.role is Role.VIEWER and has_room):
                return ask.go(f"/t/{to_wire('trip', address.trip_id)}")
    return invitation_page(ask, address, for_name or "", caller)


def invitation_page(
    ask: Ask,
    address: trips.InviteAddress,
    for_name: str,
    caller: Caller | None,
    error: GroupbookError | None = None,
) -> Response:
    token = ask.request.path_params["token"]
    with ask.deps.database.begin(address.merchant_id) as session:
        merchant = merchants.read_merchant(session)
        trip = trips.trip_of(session, address.trip_id)
        present = [one for one in trips.members(session, address.trip_id) if one.role is not Role.VIEWER]
        has_room = trips.may_come_in(session, trip)
        listed = trips.options(session, address.trip_id)
        known = offers.read_offers(session, [option.offer_id for option in listed if option.offer_id])
        is_known = caller is not None and caller.kind == "person" and caller.merchant_id == address.merchant_id
        prices, changes, in_view = _joining(ask, session, trip, caller.subject if caller and is_known else None)
        options = [(_option_text(ask, option, known), prices.get(option.id)) for option in listed]
        about = next((_option_text(ask, option, known) for option in listed if option.id == in_view), "")
        occasion = offers.read_occasion(session, trip.occasion_id).title if trip.occasion_id else ""
    shown = trip.privacy.members_shown
    visit = visits.record(ask, address.merchant_id, address.trip_id) if error is None else ask.one("visit")
    views = [
        MemberView(to_wire("mem", member.id), member.name, position=position) for position, member in enumerate(present)
    ]
    is_name = error is not None and error.code in ("name_empty", "name_too_long")
    is_address = error is not None and error.code == "address_invalid"
    # Whoever holds the token was invited, so they see the plan; a preview in a chat is for everybody and tells nothing.
    invite = InviteView(
        title=trip.title or None,
        organizer_name=next((member.name for member in present if member.id == trip.organizer_id), None),
        on=trip.starts_on,
        occasion=occasion,
        members=views if shown is MembersShown.ALL else (),
        member_count=len(views) if shown is not MembersShown.NONE else None,
        options=options,
        action=f"/i/{token}",
        for_name=ask.one("name")[:name_characters_max] or for_name,
        can_join=has_room,
        can_wait=not has_room and trip.state is not TripState.BOOKED,
        is_being_booked=trip.frozen_by is not None,
        state=trip.state.value,
        changes=changes,
        about=about if len(prices) > 1 else "",
    )
    context = {
        "invite": invite,
        "preview": generic_preview(ask, f"/i/{token}", merchant),
        "networks": ask.networks(merchant, f"/i/{token}"),
        "name_error": phrases.error_text(error, ask.say) if error and is_name else "",
        "email_value": ask.one("email")[:email_characters_max],
        "email_error": phrases.error_text(error, ask.say) if error and is_address else "",
        "asks_address": ask.deps.sends_mail and not is_known,
        "notice": NoticeView(phrases.error_text(error, ask.say), "bad")
        if error and not is_name and not is_address
        else None,
        "visit": visit,
        "state": visits.state_of(visit) if error is None else {},
    }
    viewer = ask.viewer(caller) if is_known else None
    return ask.show(
        "invitation.html", context, status=STATUS[error.kind] if error else 200, merchant=merchant, viewer=viewer
    )


def _joining(
    ask: Ask, session: Session, trip: Trip, subject: UUID | None
) -> tuple[Mapping[OptionId, PriceView], Sequence[str], OptionId | None]:
    """What joining would cost, what it would change for which option; nothing once prices no longer move."""
    if not trips.is_gathering(trip):
        return {}, (), None
    now = clock.now(session)
    found = trips.preview_join(session, trip.id, subject, now=now)
    prices = {one.option.id: PriceView(one.yours, alone=one.yours_alone) for one in found}
    in_view = trips.option_in_view(session, trip, None, now=now)
    return prices, join_preview(ask, found, in_view), in_view


def _option_text(ask: Ask, option: TripOption, known: Mapping[OfferId, Offer]) -> str:
    """As the trip's page will call it: by its time and day."""
    offer = known.get(option.offer_id) if option.offer_id else None
    legs = [leg_view(leg) for leg in offer.legs] if offer else []
    label = option_label(option.kind.value, option.label, legs, ask.say)
    on = offer.outward.departs_local.date() if offer else None
    return f"{label} · {format_day(on, ask.say.locale)}" if on else label


def join_invite(ask: Ask) -> Response:
    token = ask.request.path_params["token"]
    address, for_name = trips.open_invite(ask.deps.database, token)
    caller = ask.caller(address.trip_id)
    if caller is None:
        ask.require_own_page()
    try:
        joined = trips.join_by_invite(ask.deps.database, caller, token, name=ask.one("name") or None)
    except (InviteNotFound, trips.domain.InviteExpired, trips.domain.InviteRevoked, trips.domain.TripCanceled):
        raise
    except GroupbookError as error:
        return invitation_page(ask, address, for_name or "", caller, error)
    visits.confirm(ask)
    return ask.go(f"/t/{to_wire('trip', joined.trip_id)}", seat=(joined.trip_id, joined.guest_token))


def generic_preview(ask: Ask, path: str, merchant: Merchant) -> dict[str, str]:
    """What a link to a trip shows in a chat unless the trip is public: the merchant, and nothing of the trip."""
    return {
        "title": ask.say("You are invited to plan a trip together"),
        "text": ask.say(
            "Vote, see your own price, and pay only your own part. By %(merchant)s.", merchant=merchant.name
        ),
        "url": f"{ask.deps.public_url}{path}",
        "image": f"{ask.deps.public_url}/static/share-card.jpg",
    }


def go_somewhere(ask: Ask) -> Response:
    """`/go/<start>`: the page behind a network's start parameter: a trip, an invite or a share."""
    start = ask.request.path_params["start"]
    if start.startswith("trip_"):
        path = f"/t/{to_wire('trip', TripId(from_wire('trip', start)))}"
    else:
        try:
            trips.find_invite(ask.deps.database, start)
            path = f"/i/{start}"
        except InviteNotFound:
            path = f"/s/{referrals.open_share(ask.deps.database, start).share.code}"
    return RedirectResponse(path, 303)
