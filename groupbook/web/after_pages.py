"""`/t/<trip>/places/<member>`: a booked place given back or handed on; first what it comes to, then a button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from starlette.responses import Response

from groupbook import bookings, trips
from groupbook.bookings import Change
from groupbook.bookings.domain import TermsChanged
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError, Kind
from groupbook.kit.http import STATUS
from groupbook.kit.ids import MemberId, TripId, from_wire, to_wire
from groupbook.trips.domain import Role, TripNotFound, may_invite
from groupbook.web import after_words, phrases
from groupbook.web.asking import Ask
from groupbook.web.trip_pages import booking_of, seat_of, trip_id_of
from groupbook.web.views import NoticeView

# What is told on this page, with a way back; everything else is a page of its own.
_TOLD = frozenset({Kind.CONFLICT, Kind.UNAVAILABLE, Kind.FORBIDDEN, Kind.INVALID})
PlaceKind = Literal["cancel", "replace"]


def show(kind: PlaceKind) -> Callable[[Ask], Response]:
    return lambda ask: _page(ask, kind)


def confirm(kind: PlaceKind) -> Callable[[Ask], Response]:
    """Do what the page said, or show what it comes to now. Pressing twice is pressing once."""

    def run(ask: Ask) -> Response:
        trip_id = trip_id_of(ask)
        caller = seat_of(ask, trip_id)
        deps = ask.deps
        if ask.one("invite"):
            return _invite(ask, caller, trip_id)
        try:
            booking = booking_of(ask, caller, trip_id)
            outside = (deps.database, deps.adapter_of, deps.sealer)
            bookings.confirm_change(*outside, caller, booking.id, _change(ask, kind), ask.one("terms"))
        except TermsChanged as error:
            return _page(ask, kind, error)
        except GroupbookError as error:
            if error.kind not in _TOLD:
                raise
            return _page(ask, kind, error)
        return ask.go(f"/t/{to_wire('trip', trip_id)}")

    return run


def _invite(ask: Ask, caller: Caller, trip_id: TripId) -> Response:
    """A link for a friend who is not in the trip yet."""
    try:
        trips.create_invite(ask.deps.database, ask.deps.sealer, caller, trip_id, for_name=ask.one("name"))
    except GroupbookError as error:
        if error.kind not in _TOLD:
            raise
        return _page(ask, "replace", error)
    return ask.go(f"/t/{to_wire('trip', trip_id)}/places/{ask.request.path_params['member']}/give")


def _change(ask: Ask, kind: PlaceKind) -> Change:
    member_id = MemberId(from_wire("mem", ask.request.path_params["member"]))
    by = MemberId(from_wire("mem", ask.one("by"))) if kind == "replace" and ask.one("by") else None
    return Change(kind, member_id, by)


def _page(ask: Ask, kind: PlaceKind, error: GroupbookError | None = None) -> Response:
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    booking = booking_of(ask, caller, trip_id)
    change = _change(ask, kind)
    with ask.deps.database.begin(caller.merchant_id) as session:
        me = trips.member_of(session, trip_id, caller)
        names = {one.id: one.name for one in trips.members(session, trip_id)}
    if me is None or change.member_id not in names:
        raise TripNotFound()
    merchant = ask.merchant(caller.merchant_id)
    who = next((one.name for one in booking.portions if one.traveler == change.member_id), "")
    context: dict[str, object] = {
        "url": f"/t/{to_wire('trip', trip_id)}",
        "action": ask.request.url.path,
        "kind": kind,
        "title": after_words.title(kind, "" if me.id == change.member_id else who or ask.say("Somebody"), ask.say),
        "found": None,
        "private_text": "",
        "refused": "",
        "notice": None,
    }
    status = STATUS[error.kind] if error is not None else 200
    if error is not None:
        context["notice"] = NoticeView(_error_text(ask, error), "bad")
    if kind == "replace" and change.by is None:
        context |= _who_comes(ask, caller, trip_id, booking)
        reads = {one.traveler for one in booking.portions if me.id in (one.traveler, one.payer)}
        context["private_text"] = "" if change.member_id in reads else after_words.private_text(who, ask.say)
        if not booking.is_standing:
            context["refused"] = after_words.refused_text(bookings.domain.BookingClosed(), ask.say)
    else:
        try:
            outside = (ask.deps.database, ask.deps.adapter_of, ask.deps.sealer)
            found = bookings.preview_change(*outside, caller, booking.id, change)
        except GroupbookError as refusal:
            if refusal.kind not in _TOLD:
                raise
            context |= {"refused": after_words.refused_text(refusal, ask.say), "notice": None}
            status = STATUS[refusal.kind]
        else:
            zone = merchant.timezone
            context |= {
                "found": found,
                "by": to_wire("mem", found.by) if found.by is not None else "",
                "private_text": after_words.private_text(who, ask.say) if found.price is None else "",
                "kept_text": after_words.kept_text(found, ask.say),
                "back_texts": after_words.back_texts(found, me.id, ask.say),
                "pays_text": after_words.pays_text(found, ask.say),
                "others_text": after_words.others_text(found.others, ask.say) if found.others else "",
                "valid_text": after_words.valid_text(found.valid_until, zone, ask.say),
            }
    return ask.show("change.html", context, status=status, merchant=merchant, viewer=ask.viewer(caller))


def _error_text(ask: Ask, error: GroupbookError) -> str:
    if isinstance(error, TermsChanged):
        return ask.say("It comes to something else now, and nothing was done. Look at the amounts again.")
    return phrases.error_text(error, ask.say)


def _who_comes(ask: Ask, caller: Caller, trip_id: TripId, booking: bookings.BookingView) -> dict[str, object]:
    """Who of the trip has no place yet, and the link for somebody who is not in it."""
    with ask.deps.database.begin(caller.merchant_id) as session:
        names = {one.id: one.name for one in trips.members(session, trip_id)}
        role = Role.ORGANIZER if booking.is_organizer else Role.MEMBER
        can_invite = may_invite(trips.trip_of(session, trip_id).privacy, role)
    free = bookings.candidates(ask.deps.database, caller, booking.id)
    known = trips.list_invites(ask.deps.database, ask.deps.sealer, caller, trip_id)
    links = [one for one in known if one.invite.revoked_at is None and one.invite.for_name]
    link = max(links, key=lambda one: one.invite.id, default=None)
    return {
        "friends": [(to_wire("mem", id), names[id]) for id in free if id in names],
        "can_invite": can_invite,
        "link_name": link.invite.for_name if link is not None else "",
        "link": f"{ask.deps.public_url}/i/{link.token}" if link is not None else "",
    }
