"""What the command line prints about bookings: the same words as the dashboard, in English, and the same JSON.

Pure: values in, lines or plain documents out. Only here the text of an exception is shown: the operator may see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from groupbook.bookings import (
    Act,
    BookingStory,
    Canceled,
    Entry,
    EntryKind,
    Mended,
    ParkedBooking,
    PortionStory,
    Resumed,
    Stopped,
    WaitingForAPerson,
)
from groupbook.kit.history import Call
from groupbook.kit.i18n import DEFAULT_LOCALE, format_money, words
from groupbook.kit.ids import BookingId, RefundId, to_wire
from groupbook.kit.money import Money
from groupbook.merchants.domain import Merchant
from groupbook.offers.domain import Hold, Order
from groupbook.web.operating_words import (
    booking_words,
    call_state_words,
    call_words,
    cancellation_text,
    count,
    event_words,
    resume_text,
    stopped_text,
)

_SAY: Final = words(DEFAULT_LOCALE)
_SECOND: Final = (
    "Nothing was given back: it is more than one person may give back alone. Your wish is kept for 24 hours; somebody "
    "else has to say the same, with --by and --why of their own."
)
Found = Sequence[tuple[Merchant, WaitingForAPerson]]


# --- parked -----------------------------------------------------------------------------------------------------------


def parked_lines(found: Found) -> Iterator[str]:
    """Merchant by merchant: what waits for a person, why, since when, and what may safely be done."""
    for merchant, waiting in found:
        if not waiting.bookings and not waiting.calls:
            yield f"{_name(merchant)}: nothing waits for a person"
            continue
        bookings, calls = count(len(waiting.bookings), "booking"), count(len(waiting.calls), "call")
        yield f"{_name(merchant)}: {bookings}, {calls} given up"
        for booking in waiting.bookings:
            yield from _parked(booking)
        about = {call.id for booking in waiting.bookings for call in booking.given_up}
        for call in waiting.calls:
            if call.id not in about:
                yield f"  {_call(call)}"


def _parked(booking: ParkedBooking) -> Iterator[str]:
    id = to_wire("bkg", booking.id)
    if booking.stopped is None:
        yield f"  {id}  {_money(booking.total)}"
        return
    stopped = booking.stopped
    yield f"  {id}  {stopped.cause} while {stopped.was.value}, since {_at(stopped.since)}, {_money(booking.total)}"
    yield f"      {stopped_text(stopped, _SAY)}"
    for call in booking.given_up:
        yield f"      {_call(call)}"
    yield from (f"      {line}" for line in _acts(id, stopped))


def _acts(id: str, stopped: Stopped) -> Iterator[str]:
    if Act.RESUME in stopped.acts:
        yield f"groupbook bookings resume {id}    {resume_text(stopped.was, _SAY)}"
    if Act.CANCEL in stopped.acts:
        yield f"groupbook bookings cancel {id}    says what it would do; does it with --yes"


def parked_document(found: Found) -> dict[str, Any]:
    return {
        "merchants": [
            {
                "merchant": merchant.slug,
                "livemode": merchant.livemode,
                "bookings": [
                    {
                        "booking": to_wire("bkg", one.id),
                        "trip": to_wire("trip", one.trip_id),
                        "total": _money_document(one.total),
                        "parked": stopped_document(one.stopped),
                        "calls": [call_document(call) for call in one.given_up],
                    }
                    for one in waiting.bookings
                ],
                "calls": [call_document(call) for call in waiting.calls],
            }
            for merchant, waiting in found
        ]
    }


def stopped_document(stopped: Stopped | None) -> dict[str, Any] | None:
    if stopped is None:
        return None
    return {
        "cause": stopped.cause,
        "since": _at(stopped.since),
        "was": stopped.was.value,
        "acts": [act.value for act in stopped.acts],
    }


def call_document(call: Call) -> dict[str, Any]:
    return {
        "id": to_wire("int", call.id),
        "kind": call.kind,
        "state": call.state,
        "attempts": call.attempts,
        "owed_at": _at(call.owed_at),
        "next_at": _at(call.due_at) if call.is_owed else None,
        "called_at": _at(call.called_at) if call.called_at else None,
        "answered_at": _at(call.answered_at) if call.answered_at else None,
        "last_error": call.last_error,
    }


# --- show -------------------------------------------------------------------------------------------------------------


def story_lines(merchant: Merchant, story: BookingStory) -> Iterator[str]:
    """The whole story of one booking."""
    id = to_wire("bkg", story.id)
    state, _ = booking_words(story.state, _SAY)
    yield f"{id}  {_name(merchant)}  {story.state.value} ({state}), version {story.version}, {_money(story.total)}"
    yield f"trip {to_wire('trip', story.trip_id)}" + (f", reason {story.reason}" if story.reason else "")
    if story.stopped is not None:
        stopped = story.stopped
        yield ""
        yield f"parked: {stopped.cause} while {stopped.was.value}, since {_at(stopped.since)}"
        yield f"  {stopped_text(stopped, _SAY)}"
        yield from (f"  {line}" for line in _acts(id, stopped))
    yield from _section("places", (f"{to_wire('hld', hold.id)}  {_hold(hold)}" for hold in story.holds))
    yield from _section("order", (f"{to_wire('ord', order.id)}  {_order(order)}" for order in story.orders))
    yield from _section("portions", (line for one in story.portions for line in _portion(one)))
    yield from _section("ledger", _books(story))
    yield from _section("owed now", (_call(call) for call in (*story.given_up, *story.owed)))
    yield from _section("planned", (_call(call) for call in story.planned))
    yield from _section("story", (_entry(entry) for entry in story.entries))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    yield ""
    yield title + ("" if found else ": none")
    yield from (f"  {line}" for line in found)


def _hold(hold: Hold) -> str:
    until = f", until {_at(hold.expires_at)}" if hold.expires_at else ""
    return f"{hold.state.value}{until}" + (f", {hold.reason}" if hold.reason else "")


def _order(order: Order) -> str:
    ref = f", at the merchant {order.merchant_ref}" if order.merchant_ref else ""
    return f"{order.state.value}, {_money(order.total)}{ref}" + (f", {order.reason}" if order.reason else "")


def _portion(one: PortionStory) -> Iterator[str]:
    portion = one.portion
    payer = "" if portion.payer == portion.traveler else f", paid by {one.payer}"
    yield (
        f"{to_wire('por', portion.id)}  {one.traveler}{payer}: {portion.state.value}, {_money(portion.amount)}, "
        f"taken {_money(portion.captured)}, paid back {_money(portion.refunded)}"
    )
    for attempt in one.attempts:
        card = f", {attempt.card.brand} ending {attempt.card.last4}" if attempt.card else ""
        why = f", {attempt.decline_reason}" if attempt.decline_reason else ""
        until = f", keeps until {_at(attempt.capture_before)}" if attempt.capture_before else ""
        yield f"    {to_wire('att', attempt.id)}  try {attempt.n}: {attempt.state.value}{card}{why}{until}"
    for refund in one.refunds:
        why = f", {refund.failure_reason}" if refund.failure_reason else ""
        amount = _money(refund.amount)
        yield f"    {to_wire('ref', refund.id)}  refund {amount}: {refund.state.value} ({refund.reason}){why}"


def _books(story: BookingStory) -> Iterator[str]:
    books = story.statement
    if books is not None:
        yield (
            f"sold {_money(books.total)}, kept by banks {_money(books.authorized)}, taken {_money(books.captured)}, "
            f"paid back {_money(books.refunded)}, receivable {_money(books.receivable)}"
        )
        yield from (f"{account}: {_money(amount)}" for account, amount in sorted(books.balances.items()))


def _call(call: Call) -> str:
    state, _ = call_state_words(call.state, _SAY)
    when = f", next {_at(call.due_at)}" if call.is_owed and call.state != "calling" else ""
    error = f", {call.last_error}" if call.last_error else ""
    return (
        f"{to_wire('int', call.id)}  {call.kind} ({call_words(call.kind, _SAY)}): {state}, tried {call.attempts}, "
        f"owed since {_at(call.owed_at)}{when}{error}"
    )


def _entry(entry: Entry) -> str:
    whose = f" · {entry.traveler}" if entry.traveler else ""
    head = f"{_at(entry.at)}  {entry.kind.value:6}"
    if entry.kind is EntryKind.STEP and entry.to_state is not None:
        was = entry.from_state.value if entry.from_state else ""
        by = f", by {entry.by}" if entry.by else ""
        why = f": {entry.why}" if entry.why else ""
        return f"{head}  {entry.name}: {was} -> {entry.to_state.value}{by}{why}"
    if entry.call is None:
        return f"{head}  {entry.name}{whose}: {event_words(entry.name, _SAY)}{_why(entry)}"
    tries = f", tried {entry.call.attempts}" if entry.call.attempts != 1 else ""
    state = f": {entry.call.state}" if entry.kind is EntryKind.ANSWER or entry.call.answered_at is None else ""
    return f"{head}  {entry.name}{whose}{state}{tries}{_why(entry)}"


def _why(entry: Entry) -> str:
    return f" ({entry.detail})" if entry.detail else ""


# --- resume and cancel ------------------------------------------------------------------------------------------------


def resumed_line(id: BookingId, done: Resumed) -> str:
    wire = to_wire("bkg", id)
    again = f" {count(done.calls, 'call')} {'is' if done.calls == 1 else 'are'} tried again." if done.calls else ""
    if done.stopped is not None:
        return f"{wire} stopped again at once: {done.stopped.cause}. {stopped_text(done.stopped, _SAY)}{again}"
    state, _ = booking_words(done.state, _SAY)
    if not done.was_parked:
        return f"{wire} does not wait for a person: {done.state.value} ({state}).{again or ' Nothing was changed.'}"
    return f"{wire} goes on: {done.state.value} ({state}).{again}"


def resumed_document(id: BookingId, done: Resumed) -> dict[str, Any]:
    return {
        "booking": to_wire("bkg", id),
        "state": done.state.value,
        "was_parked": done.was_parked,
        "calls_tried_again": done.calls,
        "parked": stopped_document(done.stopped),
    }


def canceled_lines(id: BookingId, plan: Canceled) -> Iterator[str]:
    yield f"{to_wire('bkg', id)} is {plan.state.value}. {cancellation_text(plan.plan, _SAY)}"
    if plan.needs_second:
        yield _SECOND
    elif not plan.is_done:
        yield "Nothing was changed. Add --yes to do it."


def canceled_document(id: BookingId, plan: Canceled) -> dict[str, Any]:
    return {
        "booking": to_wire("bkg", id),
        "state": plan.state.value,
        "plan": plan.plan.value,
        "is_done": plan.is_done,
        "needs_second": plan.needs_second,
    }


def mended_line(id: RefundId, mended: Mended) -> str:
    wire = to_wire("ref", id)
    if mended.needs_second:
        return f"{wire}: {_SECOND}"
    asked = mended.asked_again_as
    told = f"asked for again as {to_wire('ref', asked)}" if asked else "paid elsewhere"
    return f"{wire}: {told}. Resume its booking if it is parked."


def mended_document(id: RefundId, mended: Mended) -> dict[str, Any]:
    asked = mended.asked_again_as
    return {
        "refund": to_wire("ref", id),
        "asked_again_as": to_wire("ref", asked) if asked else None,
        "needs_second": mended.needs_second,
    }


def _name(merchant: Merchant) -> str:
    return merchant.slug if merchant.livemode else f"{merchant.slug} (test)"


# --- values -----------------------------------------------------------------------------------------------------------


def _money(amount: Money) -> str:
    return format_money(amount, DEFAULT_LOCALE)


def _money_document(amount: Money) -> dict[str, Any]:
    return {"amount": amount.minor, "currency": amount.currency}


def _at(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
