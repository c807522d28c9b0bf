"""The page of a trip and everything one can do there. Each change answers with the page as it is afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session
from starlette.responses import Response

from groupbook import bookings, discounts, notices, people, trips
from groupbook.bookings import LOST_DISCOUNT, Choices
from groupbook.bookings.domain import BookingClosed, ContributionInvalid, NotTraveling
from groupbook.discounts.domain import Card, CardsInvalid, age_max
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError, Invalid, Kind, Unauthenticated
from groupbook.kit.http import STATUS
from groupbook.kit.ids import (
    AmendmentId,
    BookingId,
    CodeId,
    CommentId,
    ContributionId,
    HandoverId,
    MemberId,
    OfferId,
    OptionId,
    PayRequestId,
    PortionId,
    SplitId,
    TripId,
    from_wire,
    to_wire,
)
from groupbook.kit.money import Money
from groupbook.trips import NewOption
from groupbook.trips.domain import (
    DecisionRule,
    MembersShown,
    NotMember,
    Privacy,
    Role,
    RuleKind,
    TripNotFound,
    Visibility,
    VoteChoice,
    VotesShown,
)
from groupbook.web import calendar, phrases, ways_words
from groupbook.web.amounts import typed_amount
from groupbook.web.asking import Ask
from groupbook.web.reading import TripPage, read_trip_page
from groupbook.web.render import Viewer
from groupbook.web.views import NoticeView

# What stays on the trip's page as a sentence; everything else is a page of its own.
_STAYS_TOO: Final = frozenset({"not_found", "code_not_found"})
_STAYS: Final = frozenset({Kind.INVALID, Kind.CONFLICT, Kind.FORBIDDEN, Kind.UNAVAILABLE, Kind.TOO_MANY, Kind.GONE})
_told_shown: Final = 5
# Where the merchant keeps the places it is a matter of minutes or hours; where it does not, of days: beyond some days
# cards are kept first, and the banks asked later.
_lengths: Final = (600, 1800, 7200)
_lengths_without_hold: Final = (1800, 7200, 86_400, 3 * 86_400, 10 * 86_400)


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
    """The trip for its members; who has no place in it is shown where they stand."""
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    if caller.is_traveler:
        with ask.deps.database.begin(caller.merchant_id) as session:
            seat = trips.member_of(session, trip_id, caller)
        if seat is not None and seat.role is Role.VIEWER:
            return ask.go(f"/t/{to_wire('trip', trip_id)}/waiting")
    return _show(ask, caller, trip_id)


def _show(ask: Ask, caller: Caller, trip_id: TripId, *, error: GroupbookError | None = None) -> Response:
    notice = NoticeView(phrases.error_text(error, ask.say), "bad") if error else None
    shown = read_trip_page(ask.deps, caller, trip_id, ask.say, notice=notice)
    viewer = Viewer(shown.trip.you.name, is_guest=caller.kind == "guest") if shown.trip.you else None
    return ask.show(
        "trip.html",
        _context(ask, caller, shown),
        status=STATUS[error.kind] if error else 200,
        merchant=shown.merchant,
        viewer=viewer,
    )


def _context(ask: Ask, caller: Caller, shown: TripPage) -> dict[str, object]:
    return {
        "trip": shown.trip,
        "part": shown.part,
        "steps": shown.steps,
        "told": _told(ask, caller, shown),
        **(_sponsor(ask, caller, shown) if shown.part == "paying" else {}),
        **(_choices(ask, caller, shown) if shown.part in ("decided", "ended") else {}),
        "start_url": f"/start?merchant={shown.merchant.slug}",
        "networks": ask.networks(shown.merchant, shown.trip.url),
        "state": {"live": shown.stream, "state": shown.trip.state, "trip": shown.trip.id},
    }


def _sponsor(ask: Ask, caller: Caller, shown: TripPage) -> dict[str, object]:
    """The organizer's link for people who give without traveling."""
    booking = shown.trip.booking
    if not shown.trip.is_organizer or booking is None or not booking.is_open:
        return {"sponsor": None}
    id = BookingId(from_wire("bkg", booking.id))
    link = bookings.read_sponsor_link(ask.deps.database, ask.deps.sealer, caller, id)
    return {"sponsor": link, "sponsor_url": f"{ask.deps.public_url}/g/{link.token}" if link is not None else ""}


def _told(ask: Ask, caller: Caller, shown: TripPage) -> list[tuple[str, datetime]]:
    """What the reader was told about this trip and still holds, newest first."""
    if shown.trip.you is None:
        return []
    member_id = MemberId(from_wire("mem", shown.trip.you.id))
    with ask.deps.database.begin(caller.merchant_id) as session:
        found = notices.notices_for(session, member_id, limit=_told_shown)
    return [(notices.sentence(ask.say, one.code, trip=shown.trip.title), one.created_at) for one in found]


def _choices(ask: Ask, caller: Caller, shown: TripPage) -> dict[str, object]:
    """What the organizer may choose before the booking opens: how long, and how many are enough."""
    limits = bookings.booking_limits(ask.deps.database, caller, ask.deps.policy)
    lengths = _lengths if shown.merchant.capabilities.holds else _lengths_without_hold
    default = int(limits.window_seconds)
    windows = sorted({default, *(seconds for seconds in lengths if seconds <= limits.window_seconds_max)})
    going = sum(member.is_going for member in shown.trip.members)
    fewest = limits.payers_min or max(2, going // 2)
    return {
        "windows": [(str(seconds), phrases.length_text(seconds, ask.say)) for seconds in windows],
        "window": str(default),
        "quorums": list(range(min(fewest, going), going)) if shown.trip.is_organizer else [],
        "quorum": limits.payers_min,
        "bearers": [(one, ways_words.lost_discount_choice(one, ask.say)) for one in limits.lost_discount],
    }


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


def after_act(ask: Ask) -> Response:
    return ask.go(f"/t/{to_wire('trip', trip_id_of(ask))}")


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
    seconds = ask.number("window_seconds")
    bears = next((one for one in LOST_DISCOUNT if one == ask.one("lost_discount")), None)
    choices = Choices(None if seconds is None else float(seconds), ask.number("payer_quorum"), bears)
    bookings.open_booking(ask.deps.database, caller, trip_id, policy=ask.deps.policy, choices=choices)


def cancel_booking(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    bookings.cancel_booking(ask.deps.database, caller, BookingId(booking_of(ask, caller, trip_id).id))


def booking_of(ask: Ask, caller: Caller, trip_id: TripId) -> bookings.BookingView:
    booking = bookings.booking_of_trip(ask.deps.database, caller, trip_id)
    if booking is None:
        raise bookings.BookingNotFound()
    return booking


def pay(ask: Ask, caller: Caller, trip_id: TripId) -> Response:
    """To the payment page, for one's own part or for a friend who asked."""
    portion_id = PortionId(from_wire("por", ask.one("portion")))
    booking = booking_of(ask, caller, trip_id)
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
    public_url = ask.deps.public_url
    return ask.open(bookings.page_address(ask.deps.sealer, caller.merchant_id, opened, public_url=public_url))


def ask_for_help(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    portion_id = PortionId(from_wire("por", ask.one("portion")))
    bookings.ask_to_pay(ask.deps.database, caller, portion_id, MemberId(from_wire("mem", ask.one("member"))))


def withdraw_ask(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    for id in ask.many("ask"):
        bookings.withdraw_ask(ask.deps.database, caller, PayRequestId(from_wire("prq", id)))


def cover(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """Become the payer of somebody's part; its amount is shown before any bank is asked."""
    bookings.take_over(ask.deps.database, caller, PortionId(from_wire("por", ask.one("portion"))))


def hand_back(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    bookings.hand_back(ask.deps.database, caller, PortionId(from_wire("por", ask.one("portion"))))


def show_drop_out(ask: Ask) -> Response:
    """What leaving the booking would do, in one sentence and to the cent, before it is done."""
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    booking = booking_of(ask, caller, trip_id)
    try:
        found = bookings.preview_leave(ask.deps.database, caller, booking.id)
        link = bookings.read_handover(ask.deps.database, ask.deps.sealer, caller, booking.id)
        release = bookings.read_release(ask.deps.database, caller, booking.id)
        line = bookings.read_line(ask.deps.database, ask.deps.sealer, caller, trip_id)
    except (BookingClosed, NotTraveling) as error:
        return _show(ask, caller, trip_id, error=error)
    context = {
        "url": f"/t/{to_wire('trip', trip_id)}",
        "found": found,
        "handover_id": to_wire("hdo", link.id) if link is not None else "",
        "policy_text": ways_words.lost_discount_text(found.policy, ask.say),
        "handover": link,
        "release": release,
        "release_id": to_wire("hdo", release.id) if release is not None else "",
        "waiting_count": line.count,
        "handover_url": f"{ask.deps.public_url}/h/{link.token}" if link is not None else "",
        "zone": ask.merchant(caller.merchant_id).timezone,
        "bears_text": ways_words.bears_text(found.bears, found.bears_most, ask.say) if found.bears else "",
    }
    return ask.show("dropout.html", context, merchant=ask.merchant(caller.merchant_id), viewer=ask.viewer(caller))


def drop_out(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    bookings.leave_booking(ask.deps.database, caller, booking_of(ask, caller, trip_id).id)


def hand_over(ask: Ask, caller: Caller, trip_id: TripId) -> Response:
    """A link for one friend; the page shows it."""
    booking = booking_of(ask, caller, trip_id)
    bookings.hand_over(ask.deps.database, ask.deps.sealer, caller, booking.id, for_name=ask.one("name"))
    return ask.go(f"/t/{to_wire('trip', trip_id)}/drop-out")


def release(ask: Ask, caller: Caller, trip_id: TripId) -> Response:
    """Offer the place to the waiting list; the page shows until when."""
    bookings.release_place(ask.deps.database, ask.deps.sealer, caller, booking_of(ask, caller, trip_id).id)
    return ask.go(f"/t/{to_wire('trip', trip_id)}/drop-out")


def keep_place(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    bookings.keep_place(ask.deps.database, caller, HandoverId(from_wire("hdo", ask.one("handover"))))


def keep_change(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """A booked place is offered no longer, or whom it was offered to says no."""
    bookings.withdraw_change(ask.deps.database, caller, AmendmentId(from_wire("amd", ask.one("change"))))


def give(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """A fixed amount for everybody, or towards one friend's portion."""
    booking = booking_of(ask, caller, trip_id)
    currency = booking.total.currency
    amount = typed_amount(ask.one("amount"), currency)
    reserve = typed_amount(ask.one("reserve"), currency) if ask.one("reserve") else None
    if amount is None or (reserve is None and ask.one("reserve")):
        raise ContributionInvalid(pointer="/amount", reason="out_of_range", most=booking.total.minor)
    to = MemberId(from_wire("mem", ask.one("member"))) if ask.one("member") else None
    bookings.give(ask.deps.database, caller, booking.id, amount, to=to, reserve=reserve or None)


def want_gifts(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """A link for people who give without traveling; empty closes it."""
    booking = booking_of(ask, caller, trip_id)
    if not ask.one("wanted"):
        link = bookings.read_sponsor_link(ask.deps.database, ask.deps.sealer, caller, booking.id)
        if link is not None:
            bookings.want_no_gifts(ask.deps.database, caller, link.id)
        return
    wanted = typed_amount(ask.one("wanted"), booking.total.currency)
    if wanted is None:
        raise ContributionInvalid(pointer="/wanted", reason="out_of_range", most=booking.total.minor)
    bookings.want_gifts(ask.deps.database, ask.deps.sealer, caller, booking.id, wanted)


def take_back(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    id = ContributionId(from_wire("ctb", ask.one("contribution")))
    bookings.take_back(ask.deps.database, caller, id)


def split(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    """Share the cost with those who are ticked, by the parts that stand beside their names."""
    members = ask.many("member")
    parts = {MemberId(from_wire("mem", one)): ask.number(f"parts_{one}", default=1) or 0 for one in members}
    bookings.propose_split(ask.deps.database, caller, booking_of(ask, caller, trip_id).id, parts)


def answer_split(ask: Ask, caller: Caller, trip_id: TripId) -> None:
    booking = booking_of(ask, caller, trip_id)
    minor = ask.number("amount")
    amount = Money(minor, booking.total.currency) if minor is not None else None
    id = SplitId(from_wire("spl", ask.one("split")))
    bookings.answer_split(ask.deps.database, caller, id, yes=ask.one("yes") == "yes", amount=amount)


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
        "cover": cover,
        "hand-back": hand_back,
        "drop-out": drop_out,
        "hand-over": hand_over,
        "keep-place": keep_place,
        "keep-change": keep_change,
        "release": release,
        "give": give,
        "take-back": take_back,
        "want-gifts": want_gifts,
        "split": split,
        "answer-split": answer_split,
    }
)
