"""The waiting list, for who stands in it: queuing by an invitation, one's position, the place that is free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from groupbook import bookings, merchants, notices, people, trips
from groupbook.bookings import BookingView
from groupbook.bookings.domain import AmendmentStage
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import GroupbookError
from groupbook.kit.http import STATUS
from groupbook.kit.ids import TripId, to_wire
from groupbook.kit.money import Money
from groupbook.notices import NoticeDeps, TooManyAddresses
from groupbook.notices.domain import check_email
from groupbook.trips.domain import JoinedVia, Role, TripNotFound, TripState
from groupbook.web import after_words, phrases
from groupbook.web.asking import Ask, page
from groupbook.web.booking_views import extra_view
from groupbook.web.deps import WebDeps
from groupbook.web.render import Viewer
from groupbook.web.start_pages import invitation_page
from groupbook.web.trip_pages import Act, after_act, keep_change, pay, seat_of, take_back, trip_id_of
from groupbook.web.views import NoticeView


def routes(deps: WebDeps, letters: NoticeDeps) -> list[Route]:
    """The pages, by address."""
    return [
        Route("/i/{token}/wait", page(partial(wait, letters), deps), methods=["POST"]),
        Route("/i/{token}/wait", page(lambda ask: ask.go(f"/i/{ask.request.path_params['token']}"), deps)),
        Route("/t/{trip_id}/waiting", page(partial(show_line, letters), deps), methods=["GET"]),
        *(Route(f"/t/{{trip_id}}/{name}", page(partial(act, letters, name), deps), methods=["POST"]) for name in _ACTS),
        # Whoever reloads the answer to an act is shown what it was about.
        *(Route(f"/t/{{trip_id}}/{name}", page(after_act, deps), methods=["GET"]) for name in _ACTS),
    ]


def wait(letters: NoticeDeps, ask: Ask) -> Response:
    """Queue by an invitation. A guest says where news of a free place may go, if this house sends mails."""
    token = ask.request.path_params["token"]
    address, for_name = trips.open_invite(ask.deps.database, token)
    caller = ask.caller(address.trip_id)
    if caller is None:
        ask.require_own_page()
    email = ask.one("email")
    try:
        is_person = caller is not None and caller.kind == "person" and caller.merchant_id == address.merchant_id
        if email or (letters.mailer is not None and not is_person):
            email = check_email(email)
        joined = bookings.wait_in_line(ask.deps.database, caller, token, name=ask.one("name") or None)
    except GroupbookError as error:
        return invitation_page(ask, address, for_name or "", caller, error)
    asker = people.authenticate(ask.deps.database, joined.guest_token) if joined.guest_token else caller
    if email and asker is not None:
        zone = ask.one("timezone") or None
        try:
            notices.give_address(letters, asker, joined.trip_id, email, locale=ask.say.locale, timezone=zone)
        except TooManyAddresses:
            pass  # they wait all the same; the page says that nothing reaches them yet
    return ask.go(f"/t/{to_wire('trip', joined.trip_id)}/waiting", seat=(joined.trip_id, joined.guest_token))


def show_line(letters: NoticeDeps, ask: Ask, *, error: GroupbookError | None = None) -> Response:
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    line = bookings.read_line(ask.deps.database, ask.deps.sealer, caller, trip_id)
    reach = notices.read_reach(letters, caller, trip_id)
    with ask.deps.database.begin(caller.merchant_id) as session:
        me, trip = trips.member_of(session, trip_id, caller), trips.trip_of(session, trip_id)
        merchant = merchants.read_merchant(session)
    if me is None:
        raise TripNotFound()
    network = ask.deps.networks.get(reach.channel or "")
    booking = bookings.booking_of_trip(ask.deps.database, caller, trip_id) if me.role is Role.VIEWER else None
    gifts = [extra_view(one, booking, {}, merchant.timezone, ask.say) for one in booking.extras] if booking else []
    context = {
        "place": _place(booking, merchant.timezone, ask) if booking is not None else None,
        "gifts": gifts,
        "gives_only": me.joined_via is JoinedVia.SPONSOR and line.position is None,
        "deadline_at": booking.deadline_at if booking else None,
        "receipt_url": _receipt_url(ask, caller, booking) if booking and gifts else "",
        "url": f"/t/{to_wire('trip', trip_id)}",
        "title": line.title,
        "line": line,
        "is_viewer": me.role is Role.VIEWER,
        "is_over": trip.state is TripState.BOOKED,
        "told_by": network.title if network else reach.shown or reach.channel or "",
        "waiting_for": reach.waiting_for,
        "notice": NoticeView(phrases.error_text(error, ask.say), "bad") if error else None,
        "zone": merchant.timezone,
    }
    status = STATUS[error.kind] if error else 200
    viewer = Viewer(me.name, is_guest=caller.kind == "guest")
    return ask.show("watching.html", context, status=status, merchant=merchant, viewer=viewer)


@dataclass(frozen=True)
class _Place:
    """A booked place that somebody offers to this reader: it is theirs once they have paid for it."""

    text: str
    amount: Money | None
    portion_id: str  # empty: there is nothing to pay now
    withdraw_id: str  # empty: it is too late to say no
    pay_by: datetime | None


def _place(booking: BookingView, zone: str, ask: Ask) -> _Place | None:
    mine = (one for one in booking.changes if one.by == booking.me and not one.is_over)
    change = next((one for one in mine if one.stage is not AmendmentStage.DROPPING), None)
    if change is None:
        return None
    line = next((one for one in booking.portions if one.is_mine and one.portion_id is not None), None)
    is_payable = line is not None and line.is_payable_by_me and line.portion_id is not None
    return _Place(
        text=after_words.change_text(change, booking.me, zone, ask.say)[0],
        amount=line.amount if line is not None else None,
        portion_id=to_wire("por", line.portion_id) if line and line.portion_id and is_payable else "",
        withdraw_id=to_wire("amd", change.id) if change.can_withdraw else "",
        pay_by=change.pay_by,
    )


def _receipt_url(ask: Ask, caller: Caller, booking: BookingView) -> str:
    with ask.deps.database.begin(caller.merchant_id) as session:
        is_there = booking.me is not None and bookings.has_receipt(session, booking.id, booking.me)
    return f"/t/{to_wire('trip', booking.trip_id)}/receipts/{to_wire('bkg', booking.id)}" if is_there else ""


def _plainly(verb: Callable[[Database, Caller, TripId], object]) -> Act:
    def run(ask: Ask, caller: Caller, trip_id: TripId) -> None:
        verb(ask.deps.database, caller, trip_id)

    return run


_ACTS: Final[Mapping[str, Act]] = {
    "wait": _plainly(bookings.wait_again),
    "stop-waiting": _plainly(bookings.stop_waiting),
    "come-in": _plainly(bookings.come_in),
    "pay-gift": pay,
    "end-gift": take_back,
    "pay-place": pay,
    "no-place": keep_change,
}


def act(letters: NoticeDeps, name: str, ask: Ask) -> Response:
    """Queue again, leave the line, join the group, pay or take back what one gives; then the page as it is then."""
    trip_id: TripId = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    try:
        answer = _ACTS[name](ask, caller, trip_id)
    except TripNotFound:
        raise
    except GroupbookError as error:
        return show_line(letters, ask, error=error)
    path = f"/t/{to_wire('trip', trip_id)}"
    return answer or ask.go(path if name == "come-in" else f"{path}/waiting")
