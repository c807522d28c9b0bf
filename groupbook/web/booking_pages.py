"""Bookings on the merchant's dashboard: the list, and the whole story of one with what may be done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import bookings, trips, webhooks
from groupbook.bookings import BookingStory, Entry, EntryKind, PortionStory, error_code
from groupbook.bookings.domain import Operator
from groupbook.house import House
from groupbook.kit.errors import NotFound
from groupbook.kit.history import Call
from groupbook.kit.i18n import Words
from groupbook.kit.ids import BookingId, MemberId, TripId, from_wire, to_wire
from groupbook.web.desk import Desk, DeskPages, read_form
from groupbook.web.operating_words import (
    booking_words,
    call_state_words,
    call_words,
    event_words,
    planned_words,
    reason_words,
    refund_reason_words,
    refund_words,
    resume_text,
    stopped_text,
)
from groupbook.web.phrases import portion_words
from groupbook.web.render import words_of

# An answer that came at once needs no line of its own.
quickly: Final = timedelta(seconds=2)


class BookingPages(DeskPages):
    """The pages, on one house."""

    def routes(self) -> list[Route]:
        return [
            Route("/dashboard/bookings", self._page(self.list_bookings)),
            Route("/dashboard/bookings/{booking_id}", self._page(self.show_booking), methods=["GET", "POST"]),
        ]

    async def list_bookings(self, request: Request, desk: Desk) -> Response:
        found = await run_in_threadpool(
            bookings.list_bookings,
            self._house.database,
            desk.caller,
            cursor=request.query_params.get("cursor") or None,
        )

        def read(session: Session) -> tuple[dict[TripId, str], dict[BookingId, frozenset[MemberId]]]:
            titles = trips.titles(session, [one.trip_id for one in found.rows])
            return titles, bookings.travelers(session, found.rows)

        titles, travelers = await self._step(desk, read)
        say = words_of(request)
        rows = [
            {
                "url": f"/dashboard/bookings/{to_wire('bkg', one.id)}",
                "id": to_wire("bkg", one.id),
                "title": titles[one.trip_id],
                "state": booking_words(one.state, say),
                "people": len(travelers[one.id]),
                "total": one.total,
                "at": one.created_at,
            }
            for one in found.rows
        ]
        return self._render(request, desk, "bookings", {"rows": rows, "next_cursor": found.next_cursor})

    async def show_booking(self, request: Request, desk: Desk) -> Response:
        """The story; the one button there is puts a parked booking back."""
        booking_id = BookingId(from_wire("bkg", request.path_params["booking_id"]))
        lacks_reason = False
        if request.method == "POST":
            form = await read_form(request)
            if form["act"] != "resume":
                raise NotFound()
            if why := form["why"].strip()[:500]:
                operator = Operator(desk.name, why)
                await run_in_threadpool(
                    bookings.resume_booking, self._house.database, desk.merchant.id, booking_id, operator
                )
                return RedirectResponse(request.url.path, 303)
            lacks_reason = True
        story = await run_in_threadpool(bookings.read_story, self._house.database, desk.merchant.id, booking_id)

        def read(session: Session) -> tuple[str, list[webhooks.Event]]:
            events = webhooks.list_events(session, limit=50, object_id=booking_id).rows
            return trips.trip_of(session, story.trip_id).title, events

        title, events = await self._step(desk, read)
        say = words_of(request)
        context = {
            "booking": story,
            "reason": _why(story.reason, say),
            "id": to_wire("bkg", story.id),
            "trip_id": to_wire("trip", story.trip_id),
            "title": title,
            "standing": booking_words(story.state, say),
            "order_ref": next((order.merchant_ref for order in reversed(story.orders) if order.merchant_ref), None),
            "seats": _seats(story),
            "stopped": story.stopped,
            "was": booking_words(story.stopped.was, say)[0] if story.stopped else "",
            "stopped_text": stopped_text(story.stopped, say) if story.stopped else "",
            "resume_text": resume_text(story.stopped.was, say) if story.stopped else "",
            "why_error": say("Say why, in a few words.") if lacks_reason else "",
            "owed": [_call(call, story, say) for call in (*story.given_up, *story.owed)],
            "planned": [_call(call, story, say) for call in story.planned],
            "has_given_up": bool(story.given_up),
            "portions": [_portion(one, say) for one in story.portions],
            "days": _days(_lines(story, say), desk.merchant.timezone),
            "events": [{"id": to_wire("evt", one.id), "type": one.type, "at": one.created_at} for one in events],
        }
        return self._render(request, desk, "booking", context, status=422 if lacks_reason else 200)


def _seats(story: BookingStory) -> str:
    places = [order.seats for order in reversed(story.orders)] + [hold.seats for hold in reversed(story.holds)]
    return ", ".join(f"{seat.coach}/{seat.place}" for seat in next((seats for seats in places if seats), ()))


def _call(call: Call, story: BookingStory, say: Words) -> dict[str, Any]:
    text, tone = call_state_words(call.state, say)
    whose = next((entry.traveler for entry in story.entries if entry.call is not None and entry.call.id == call.id), "")
    return {
        "text": planned_words(call.kind, say) if call.is_planned(story.read_at) else call_words(call.kind, say),
        "whose": whose,
        "kind": call.kind,
        "state": text,
        "tone": tone,
        "attempts": call.attempts,
        "owed_at": call.owed_at,
        "next_at": call.due_at if call.is_owed and call.state != "calling" else None,
        "error": _why(error_code(call.last_error), say),
    }


def _why(code: str | None, say: Words, words_for: Callable[[str, Words], str] = reason_words) -> dict[str, str] | None:
    """A reason in words, and the code beside it for whoever searches for it."""
    return None if code is None else {"text": words_for(code, say), "code": code}


def _portion(one: PortionStory, say: Words) -> dict[str, Any]:
    words = portion_words(one.portion.state, say)
    card = one.portion.card
    return {
        "name": one.traveler,
        "payer": one.payer,
        "state": (words.text, words.tone),
        "code": one.portion.state.value,
        "amount": one.portion.amount,
        "tries": len(one.attempts),
        "declined": [_why(attempt.decline_reason, say) for attempt in one.attempts if attempt.decline_reason],
        "card": f"{card.brand.title()} •••• {card.last4}" if card else "",
        "refunds": [
            {
                "amount": refund.amount,
                "state": refund_words(refund.state, say),
                "why": _why(refund.failure_reason, say, refund_reason_words),
            }
            for refund in one.refunds
        ],
    }


def _days(lines: Iterator[dict[str, Any]], zone: str) -> list[tuple[date, list[dict[str, Any]]]]:
    """The lines under the day they fall on where the merchant is."""
    found = [(line["at"].astimezone(ZoneInfo(zone)).date(), line) for line in lines]
    return [(on, [line for _, line in of_day]) for on, of_day in groupby(found, key=itemgetter(0))]


def _lines(story: BookingStory, say: Words) -> Iterator[dict[str, Any]]:
    """The story's lines as they are read; an answer that came at once is told with its call."""
    answers = {entry.call.id: entry for entry in story.entries if entry.call and entry.kind is EntryKind.ANSWER}
    at_once = {
        id for id, answer in answers.items() if answer.call and answer.recorded_at - answer.call.owed_at < quickly
    }
    for entry in story.entries:
        if entry.kind is EntryKind.EVENT and entry.about.startswith("bkg_"):
            continue  # the step beside it says the same
        is_quick = entry.call is not None and entry.call.id in at_once
        if entry.kind is EntryKind.CALL:
            answer = answers.get(entry.call.id) if entry.call and is_quick else None
            # A call that is answered later says so there; one that is not answered says here where it stands.
            tells = is_quick or (entry.call is not None and entry.call.answered_at is None)
            yield _line(answer or entry, story, say, kind="call", at=entry.at, tells=tells)
        elif not is_quick:
            yield _line(entry, story, say, kind=entry.kind.value, at=entry.at, tells=True)


def _line(entry: Entry, story: BookingStory, say: Words, *, kind: str, at: datetime, tells: bool) -> dict[str, Any]:
    is_planned = entry.call is not None and entry.call.is_planned(story.read_at)
    line: dict[str, Any] = {
        "kind": kind,
        "at": at,
        "code": entry.name,
        "whose": entry.traveler or "",
        "reason": _why(entry.detail, say, refund_reason_words if "refund_failed" in entry.name else reason_words),
        "attempts": entry.call.attempts if entry.call and kind == "call" else 0,
        "outcome": call_state_words(entry.call.state, say) if entry.call and tells else None,
        "tone": "",
        "by": entry.by,
        "why": entry.why,
    }
    if entry.to_state is not None:
        line["text"], line["tone"] = booking_words(entry.to_state, say)
    else:
        line["text"] = event_words(entry.name, say) if entry.call is None else call_words(entry.name, say)
    if is_planned:
        line["text"], line["outcome"] = planned_words(entry.name, say), (say("Planned"), "quiet")
    return line


def routes(house: House) -> list[Route]:
    return BookingPages(house).routes()
