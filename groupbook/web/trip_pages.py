"""The page of a trip and everything one can do there. Each change answers with the page as it is afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session
from starlette.responses import Response

from groupbook import bookings, discounts, people, trips
from groupbook.discounts.domain import Card, CardsInvalid, age_max
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError, Invalid, Kind, Unauthenticated
from groupbook.kit.http import STATUS
from groupbook.kit.i18n import Words
from groupbook.kit.ids import (
    BookingId,
    CodeId,
    CommentId,
    MemberId,
    OfferId,
    OptionId,
    PayRequestId,
    PortionId,
    TripId,
    from_wire,
    to_wire,
)
from groupbook.trips import NewOption
from groupbook.trips.domain import (
    DecisionRule,
    MembersShown,
    NotMember,
    Privacy,
    RuleKind,
    TripNotFound,
    Visibility,
    VoteChoice,
    VotesShown,
)
from groupbook.web import calendar, phrases
from groupbook.web.asking import Ask
from groupbook.web.reading import TripPage, read_trip_page
from groupbook.web.render import Viewer
from groupbook.web.views import NoticeView

# What stays on the trip's page as a sentence; everything else is a page of its own.
_STAYS_TOO: Final = frozenset({"not_found", "code_not_found"})
_STAYS: Final = frozenset({Kind.INVALID, Kind.CONFLICT, Kind.FORBIDDEN, Kind.UNAVAILABLE, Kind.TOO_MANY, Kind.GONE})
_window_seconds_max: Final = 7 * 86_400


class AgeInvalid(Invalid):
    code = "age_invalid"


def trip_id_of(ask: Ask) -> TripId:
    return TripId(from_wire("trip", ask.request.path_params["trip_id"]))


def seat_of(ask: Ask, trip_id: TripId) -> Caller:
    """Whoever sits in this trip.

    Raises:
        Unauthenticated: nobody we know.
    """
    caller = ask.caller(trip_id)
    if caller is None:
        raise Unauthenticated()
    return caller


def show_trip(ask: Ask) -> Response:
    trip_id = trip_id_of(ask)
    return _show(ask, seat_of(ask, trip_id), trip_id)


def _show(ask: Ask, caller: Caller, trip_id: TripId, *, error: GroupbookError | None = None) -> Response:
    notice = NoticeView(phrases.error_text(error, ask.say), "bad") if error else None
    shown = read_trip_page(ask.deps, caller, trip_id, ask.say, notice=notice)
    viewer = Viewer(shown.trip.you.name, is_guest=caller.kind == "guest") if shown.trip.you else None
    return ask.show(
        "trip.html",
        _context(ask, shown),
        status=STATUS[error.kind] if error else 200,
        merchant=shown.merchant,
        viewer=viewer,
    )


def _context(ask: Ask, shown: TripPage) -> dict[str, object]:
    return {
        "trip": shown.trip,
        "part": shown.part,
        "steps": shown.steps,
        "windows": _windows(ask),
        "start_url": f"/start?merchant={shown.merchant.slug}",
        "networks": ask.networks(shown.merchant, shown.trip.url),
        "state": {"live": shown.stream, "state": shown.trip.state, "trip": shown.trip.id},
    }


def _windows(ask: Ask) -> list[tuple[str, str]]:
    """How long everybody may take to pay; the merchant's hold may end it sooner."""
    default = int(ask.deps.policy.collection_window_seconds)
    others = [seconds for seconds in (600, 1800, 7200) if seconds != default]
    return [(str(seconds), _length(seconds, ask.say)) for seconds in (default, *others)]


def _length(seconds: int, say: Words) -> str:
    if seconds < 3600:
        return say.many("%(num)s minute", "%(num)s minutes", max(1, seconds // 60))
    return say.many("%(num)s hour", "%(num)s hours", seconds // 3600)


# --- acts -----------------------------------------------------------------------------------------------------------

Act = Callable[[Ask, Caller, TripId], Response | None]


def do(act: Act) -> Callable[[Ask], Response]:
    """A page for one act: do it, then show the trip. A refusal is told on the trip's page, with its status."""

    def run(ask: Ask) -> Response:
        trip_id = trip_id_of(ask)
        caller = seat_of(ask, trip_id)
        try:
            answer = act(ask, caller, trip_id)
        except (TripNotFound, NotMember):
            raise
        except GroupbookError as error:
            if error.kind not in _STAYS and error.code not in _STAYS_TOO:
                raise
            return _show(ask, caller, trip_id, error=error)
        return answer or ask.go(f"/t/{to_wire('trip', trip_id)}")

    return run


def vote(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    choice = ask.word("choice", VoteChoice)
    trips.cast_vote(ask.deps.database, caller, trip_id, OptionId(from_wire("opt", ask.one("option"))), choice)


def about_me(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """The reader's own card and age, which only their own price shows."""
    text = ask.one("age")
    age = ask.number("age")
    if text and (age is None or age > age_max):
        raise AgeInvalid(pointer="/age")
    types = ask.many("card")
    if len(types) > discounts.domain.cards_per_subject_max:
        raise CardsInvalid()
    with ask.deps.database.begin(caller.merchant_id) as session:
        subject, now = _subject(session, caller, trip_id), clock.now(session)
        discounts.set_entitlements(session, subject, cards=[Card(type) for type in types], age=age, now=now)


def add_code(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """A discount code for the reader's own prices, here and on their next trips."""
    with ask.deps.database.begin(caller.merchant_id) as session:
        discounts.add_code(session, _subject(session, caller, trip_id), ask.one("code"), now=clock.now(session))


def remove_code(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    code_id = CodeId(from_wire("cod", ask.one("code")))
    with ask.deps.database.begin(caller.merchant_id) as session:
        discounts.remove_code(session, _subject(session, caller, trip_id), code_id)


def _subject(session: Session, caller: Caller, trip_id: TripId) -> UUID:
    member = trips.member_of(session, trip_id, caller)
    if member is None:
        raise TripNotFound()
    return member.subject


def decide(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.decide(ask.deps.database, caller, trip_id, OptionId(from_wire("opt", ask.one("option"))))


def undo(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.undo_decision(ask.deps.database, caller, trip_id)


def lock(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.lock(ask.deps.database, caller, trip_id)


def unlock(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.unlock(ask.deps.database, caller, trip_id)


def reopen(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """Another round. A rule with a deadline that has passed goes on as the organizer's choice."""
    try:
        trips.reopen(ask.deps.database, caller, trip_id)
    except Invalid:
        trips.reopen(ask.deps.database, caller, trip_id, rule=DecisionRule(RuleKind.ORGANIZER))


def add_option(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    options = [NewOption(offer_id=OfferId(from_wire("off", id))) for id in ask.many("offer")]
    trips.add_options(ask.deps.database, caller, trip_id, options)


def remove_option(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.remove_option(ask.deps.database, caller, trip_id, OptionId(from_wire("opt", ask.one("option"))))


def going(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.set_going(ask.deps.database, caller, trip_id, is_going=ask.one("going") == "yes")


def leave(ask: Ask, caller: Caller, trip_id: TripId) -> Response:
    trips.leave(ask.deps.database, caller, trip_id)
    return ask.go("/")


def cancel(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.cancel_trip(ask.deps.database, caller, trip_id)


def invite(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    name = ask.one("for_name") or None
    trips.create_invite(ask.deps.database, ask.deps.sealer, caller, trip_id, for_name=name)


def privacy(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """What is not in the form stays as it is."""
    with ask.deps.database.begin(caller.merchant_id) as session:
        known = trips.trip_of(session, trip_id).privacy
    chosen = Privacy(
        ask.word("visibility", Visibility) or known.visibility,
        ask.word("members_shown", MembersShown) or known.members_shown,
        ask.word("votes_shown", VotesShown) or known.votes_shown,
    )
    trips.change_privacy(ask.deps.database, caller, trip_id, chosen)


def comment(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.add_comment(ask.deps.database, caller, trip_id, ask.one("body"))


def remove_comment(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    trips.remove_comment(ask.deps.database, caller, trip_id, CommentId(from_wire("cmt", ask.one("comment"))))


# --- booking and paying ---------------------------------------------------------------------------------------------


def book(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    policy = ask.deps.policy
    seconds = ask.number("window_seconds")
    if seconds is not None and 60 <= seconds <= _window_seconds_max:
        policy = replace(policy, collection_window_seconds=float(seconds))
    bookings.open_booking(ask.deps.database, caller, trip_id, policy=policy)


def cancel_booking(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    bookings.cancel_booking(ask.deps.database, caller, BookingId(_booking(ask, caller, trip_id).id))


def _booking(ask: Ask, caller: Caller, trip_id: TripId) -> bookings.BookingView:
    booking = bookings.booking_of_trip(ask.deps.database, caller, trip_id)
    if booking is None:
        raise bookings.BookingNotFound()
    return booking


def pay(ask: Ask, caller: Caller, trip_id: TripId) -> Response:
    """To the hosted page, for one's own part or for a friend who asked."""
    portion_id = PortionId(from_wire("por", ask.one("portion")))
    booking = _booking(ask, caller, trip_id)
    line = next((line for line in booking.portions if line.portion_id == portion_id), None)
    if line is not None and line.payer != booking.me:
        bookings.take_over(ask.deps.database, caller, portion_id)
    opened = bookings.start_payment(
        ask.deps.database,
        ask.deps.runner,
        caller,
        portion_id,
        locale=ask.say.locale,
        public_url=ask.deps.public_url,
        in_window=ask.is_framed,
    )
    return ask.open(opened.url)


def ask_for_help(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    portion_id = PortionId(from_wire("por", ask.one("portion")))
    bookings.ask_to_pay(ask.deps.database, caller, portion_id, MemberId(from_wire("mem", ask.one("member"))))


def withdraw_ask(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    for id in ask.many("ask"):
        bookings.withdraw_ask(ask.deps.database, caller, PayRequestId(from_wire("prq", id)))


def keep(ask: Ask) -> Response:
    """A guest's seat goes from a frame into this browser. Only our own frame may post it, and no address holds it."""
    ask.require_own_page()
    trip_id = trip_id_of(ask)
    token = ask.form.get("seat", [""])[-1]
    caller = people.authenticate(ask.deps.database, token)
    if caller is None or caller.kind != "guest":
        raise Unauthenticated()
    with ask.deps.database.begin(caller.merchant_id) as session:
        if trips.member_of(session, trip_id, caller) is None:
            raise TripNotFound()
    return ask.go(f"/t/{to_wire('trip', trip_id)}", seat=(trip_id, token))


def calendar_file(ask: Ask) -> Response:
    """The booked ride for a calendar; members only."""
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    shown = read_trip_page(ask.deps, caller, trip_id, ask.say)
    if shown.trip.you is None or shown.trip.decided is None:
        raise TripNotFound()
    body = calendar.ride_calendar(shown.trip, ask.deps.public_url, ask.say)
    headers = {"Content-Disposition": 'attachment; filename="trip.ics"', "Cache-Control": "no-store"}
    return Response(body, media_type="text/calendar; charset=utf-8", headers=headers)


ACTS: Final[Mapping[str, Act]] = MappingProxyType(
    {
        "vote": vote,
        "about-me": about_me,
        "code": add_code,
        "remove-code": remove_code,
        "decide": decide,
        "undo": undo,
        "lock": lock,
        "unlock": unlock,
        "reopen": reopen,
        "options": add_option,
        "remove-option": remove_option,
        "going": going,
        "leave": leave,
        "cancel": cancel,
        "invite": invite,
        "privacy": privacy,
        "comment": comment,
        "remove-comment": remove_comment,
        "book": book,
        "cancel-booking": cancel_booking,
        "pay": pay,
        "ask-for-help": ask_for_help,
        "withdraw-ask": withdraw_ask,
    }
)
