"""The booking on its trip's page, from the reader's seat: who is in, what they owe, what happens to their card."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from groupbook import bookings
from groupbook.bookings import BookingState
from groupbook.bookings import BookingView as Booking
from groupbook.bookings.domain import COLLECTING, STOOD, PortionLine
from groupbook.bookings.domain import SplitView as Split
from groupbook.kit.callers import Caller
from groupbook.kit.i18n import Words, format_names
from groupbook.kit.ids import PortionId, to_wire
from groupbook.offers.domain import Seat
from groupbook.payments.domain import PAYABLE, PortionState
from groupbook.web import after_words, phrases, ways_words
from groupbook.web.card_words import CardFacts, card_text, paid_for_text
from groupbook.web.deps import WebDeps
from groupbook.web.price_views import told_quote
from groupbook.web.price_words import RuleNames
from groupbook.web.qr import qr_svg
from groupbook.web.views import (
    BookingView,
    ChangeView,
    ExtraView,
    MemberView,
    PayerView,
    PlaceView,
    ProgressView,
    SeatView,
    SplitView,
    TicketView,
)

_B = BookingState
# Which part of the trip page a booking's state shows.
PARTS: Final[Mapping[BookingState, str]] = {
    _B.PLACING: "confirming",
    _B.OPEN: "paying",
    _B.FREEZING: "confirming",
    _B.CONFIRMING: "confirming",
    _B.TOMBSTONING: "confirming",
    _B.CAPTURING: "confirming",
    _B.RECOVERING: "paying",
    _B.BOOKED: "booked",
    _B.AMENDING: "booked",
    _B.VOIDING: "ended",
    _B.ABORTED: "ended",
    _B.UNWINDING: "canceled",
    _B.REFUNDING: "canceled",
    _B.REFUNDED: "canceled",
    _B.PARKED: "stuck",
}
# Never booked, though the money had been taken from some: everybody got it back.
CAME_TO_NOTHING: Final = frozenset({"capture_failed", "recovery_out"})
_changes_shown: Final = 3
_TAKEN: Final = frozenset({PortionState.CAPTURED, PortionState.PART_REFUNDED, PortionState.REFUNDED})


def booking_view(
    deps: WebDeps,
    caller: Caller,
    booking: Booking,
    people: Mapping[str, MemberView],
    names: RuleNames,
    zone: str,
    say: Words,
) -> BookingView:
    """The booking as the reader may see it; amounts of others only where they asked or are paid for."""
    asked = {ask.portion_id for ask in booking.asks if ask.asked_of == booking.me and ask.portion_id is not None}
    payers = [_payer(line, booking, people, asked, zone, say) for line in booking.portions]
    mine = next((line for line in booking.portions if line.is_mine), None)
    price = mine.price if mine else None
    return BookingView(
        id=to_wire("bkg", booking.id),
        state=booking.state.value,
        total=booking.total,
        pay=mine.amount if mine else None,
        told=told_quote(booking, price, names, say),
        deadline_at=booking.deadline_at,
        progress=ProgressView(
            [phrases.portion_words(line.state, say).ring for line in (*booking.portions, *_waited_for(booking))]
        ),
        payers=payers,
        mine=next((payer for payer in payers if payer.member.is_you), None),
        places_text=_places_text(booking, say),
        tickets=_tickets(deps, caller, booking, people) if booking.state in STOOD else (),
        end_text=phrases.end_text(booking.reason, say),
        waiting_text=phrases.waiting_text(booking.state, booking.settles_by, zone, say),
        is_paid_back=booking.reason in CAME_TO_NOTHING,
        reference=booking.merchant_ref or "",
        receipt_url=_receipt_url(booking),
        reason=booking.reason or "",
        ask_ids=[to_wire("prq", ask.id) for ask in booking.asks if ask.asked_by == booking.me],
        helpers=[member for member in people.values() if not member.is_you],
        quorum_text=ways_words.quorum_text(booking.payer_quorum, say)
        if booking.payer_quorum and booking.payer_quorum < len(booking.portions)
        else "",
        keeps_until=_keeps_until(booking),
        can_leave=mine is not None and booking.state is BookingState.OPEN,
        coverable=[payer for payer, line in zip(payers, booking.portions, strict=True) if _may_cover(line, booking)],
        extras=[extra_view(line, booking, people, zone, say) for line in booking.extras],
        splits=[_split(split, booking, people, say) for split in booking.splits],
        policy_text=ways_words.lost_discount_text(booking.lost_discount, say) if len(booking.portions) > 1 else "",
        policy=booking.lost_discount,
        own_price_text=_own_price_text(mine, say),
        givable=_givable(booking, payers, asked),
        sharable=[payer.member for payer in payers if mine is not None and len(payers) > 1],
        is_open=booking.state is BookingState.OPEN,
        places=_places(booking, payers),
        changes=_changes(booking, zone, say),
        gone=[to_wire("mem", line.traveler) for line in booking.portions if line.traveler not in booking.traveling]
        if booking.is_standing
        else (),
        has_place=booking.me in booking.traveling if booking.is_standing else None,
    )


def _places(booking: Booking, payers: Sequence[PayerView]) -> list[PlaceView]:
    """The reader's own place, those they pay for, and for the organizer everybody's; none while one is changed."""
    if booking.state is not BookingState.BOOKED:
        return []
    url = f"/t/{to_wire('trip', booking.trip_id)}/places"
    return [
        PlaceView(payer.member, f"{url}/{payer.member.id}", is_priced=booking.me in (line.traveler, line.payer))
        for payer, line in zip(payers, booking.portions, strict=True)
        if line.traveler in booking.traveling and (booking.is_organizer or booking.me in (line.traveler, line.payer))
    ]


def _changes(booking: Booking, zone: str, say: Words) -> list[ChangeView]:
    told = [one for one in reversed(booking.changes) if one.kind != "surcharge"][:_changes_shown]
    return [
        ChangeView(
            *after_words.change_text(one, booking.me, zone, say),
            withdraw_id=to_wire("amd", one.id) if one.can_withdraw else "",
            label=after_words.withdraw_label(one, booking.me, say),
        )
        for one in told
    ]


def _waited_for(booking: Booking) -> list[PortionLine]:
    """What is given counts like a portion until it is in; what a leaver bears is in already."""
    return [line for line in booking.extras if line.kind != "lost_discount"]


def _own_price_text(mine: PortionLine | None, say: Words) -> str:
    if mine is None or mine.price is None or mine.amount is None or mine.amount == mine.price.pay:
        return ""
    return ways_words.own_price_text(mine.price.pay, mine.amount, say)


def _givable(booking: Booking, payers: Sequence[PayerView], asked: Collection[PortionId]) -> list[MemberView]:
    """Those who asked the reader; for the organizer everybody else (P6)."""
    wire = {to_wire("por", id) for id in asked}
    others = [payer for payer in payers if not payer.member.is_you]
    return [payer.member for payer in others if booking.is_organizer or payer.portion_id in wire]


def extra_view(
    line: PortionLine, booking: Booking, people: Mapping[str, MemberView], zone: str, say: Words
) -> ExtraView:
    """What is given or borne, for whoever reads it."""
    payer = somebody(people, line.payer, line.payer_name or say("Somebody"), booking.me)
    whom = somebody(people, line.traveler, line.name or say("Somebody"), booking.me)
    is_yours = line.payer == booking.me
    shown = replace(
        _payer(line, booking, people, (), zone, say),
        member=payer,
        paid_by="",
        asks_for_help=False,
        can_take_back=False,
        can_hand_back=False,
    )
    title = (
        ways_words.your_extra_title(line.kind, whom.name, say)
        if is_yours
        else ways_words.extra_title(line.kind, payer.name, whom.name, say)
    )
    is_gift = line.contribution_id is not None
    may_end = is_gift and booking.state is BookingState.OPEN and (is_yours or booking.is_organizer)
    gift = to_wire("ctb", line.contribution_id) if line.contribution_id is not None else ""
    return ExtraView(title, shown, gift, may_end)


def _split(split: Split, booking: Booking, people: Mapping[str, MemberView], say: Words) -> SplitView:
    names = {line.traveler: line.name or say("Somebody") for line in booking.portions}
    order = sorted(split.parts, key=lambda member: member.int)
    waiting = [names.get(member, say("Somebody")) for member in order if member not in split.agreed]
    return SplitView(
        id=to_wire("spl", split.id),
        text=ways_words.split_text(
            [names.get(member, say("Somebody")) for member in order], [split.parts[member] for member in order], say
        ),
        state=split.state,
        agreed=len(split.agreed),
        concerned=len(split.parts),
        mine=split.mine,
        is_my_turn=split.is_my_turn,
        waits_for=format_names(waiting, say.locale) if waiting else "",
    )


def _keeps_until(booking: Booking) -> datetime | None:
    """When the banks are asked, where cards are only kept until then."""
    return next((line.authorizes_at for line in booking.portions if line.authorizes_at is not None), None)


def _may_cover(line: PortionLine, booking: Booking) -> bool:
    """The organizer may pay for whoever is short, as long as nothing is authorized."""
    is_open = booking.state in COLLECTING and line.portion_id is not None and line.state in PAYABLE
    return booking.is_organizer and is_open and line.payer != booking.me


def _payer(
    line: PortionLine,
    booking: Booking,
    people: Mapping[str, MemberView],
    asked: Collection[PortionId],
    zone: str,
    say: Words,
) -> PayerView:
    words = phrases.portion_words(line.state, say)
    is_paid_for = line.payer != line.traveler
    is_yours = line.payer == booking.me
    is_ready = line.state in (PortionState.AUTHORIZED, PortionState.CAPTURED)
    payer_name = line.payer_name or say("Somebody")
    return PayerView(
        portion_id=to_wire("por", line.portion_id) if line.portion_id else "",
        member=somebody(people, line.traveler, line.name or say("Somebody"), booking.me),
        state=words.ring,
        state_text=words.text,
        tone=words.tone,
        amount=line.amount,
        cap=line.cap if line.cap is not None and line.amount is not None and line.cap > line.amount else None,
        paid_by=payer_name if is_paid_for else "",
        asks_for_help=(line.portion_id in asked or (is_paid_for and line.is_payable_by_me)) and not is_ready,
        is_payable=line.is_payable_by_me,
        is_yours=is_yours,
        is_kept_only=line.authorizes_at is not None,
        must_confirm=_must_confirm(line),
        card_text=_card_text(line, booking, payer_name, zone, say, is_yours=is_yours),
        can_take_back=is_paid_for
        and line.is_mine
        and not is_yours
        and booking.state in COLLECTING
        and line.state in PAYABLE,
        can_hand_back=is_paid_for and is_yours and booking.state in COLLECTING and line.state in PAYABLE,
    )


def _must_confirm(line: PortionLine) -> bool:
    return line.state is PortionState.DECLINED and line.decline_reason == "authentication_required"


def _card_text(line: PortionLine, booking: Booking, payer: str, zone: str, say: Words, *, is_yours: bool) -> str:
    """One sentence for whoever pays this portion, or is paid for; nobody else's card is anybody's business."""
    if is_yours:
        facts = CardFacts(
            state=line.state,
            booking=booking.state,
            amount=line.amount,
            cap=line.cap,
            captured=line.captured,
            refunded=line.refunded,
            authorizes_at=line.authorizes_at,
            is_asked_again=line.is_asked_again,
            has_quorum=booking.payer_quorum is not None,
            must_confirm=_must_confirm(line),
            refund_failed=line.refund_failed,
            zone=zone,
        )
        return card_text(facts, say)
    return paid_for_text(line.state, payer, say) if line.is_mine else ""


def _places_text(booking: Booking, say: Words) -> str:
    if not booking.seats:
        return ""
    count = len({seat.member_id for seat in booking.seats})
    coaches = sorted({seat.coach for seat in booking.seats})
    if booking.seats_are_together and len(coaches) == 1:
        return say.many(
            "%(num)s seat kept, coach %(coach)s",
            "%(num)s seats kept together, coach %(coach)s",
            count,
            coach=coaches[0],
        )
    return say.many("%(num)s seat kept", "%(num)s seats kept", count)


def _tickets(deps: WebDeps, caller: Caller, booking: Booking, people: Mapping[str, MemberView]) -> list[TicketView]:
    return [
        TicketView(
            member=somebody(people, ticket.member_id, ticket.name, booking.me),
            number=ticket.number,
            code=ticket.code,
            qr_svg=qr_svg(ticket.code),
            seats=[_seat(seat) for seat in ticket.seats],
        )
        for ticket in bookings.read_tickets(deps.database, caller, booking.id)
    ]


def _seat(seat: Seat) -> SeatView:
    return SeatView(str(seat.leg), seat.coach, seat.place)


def booking_steps(booking: Booking | None, say: Words) -> list[tuple[str, str]]:
    """How far a booking is on its way, for the loading page."""
    if booking is None:
        return []
    if booking.state is BookingState.PLACING:
        return [(say("The railway keeps your seats"), "now"), (say("Everybody pays their part"), "next")]
    names = [
        (say("Everybody is in"), {_B.FREEZING}),
        (say("The railway confirms your seats"), {_B.CONFIRMING, _B.TOMBSTONING}),
        (say("Your banks pay"), {_B.CAPTURING, _B.RECOVERING}),
        (say("Your tickets"), STOOD),
    ]
    at = next((index for index, (_, states) in enumerate(names) if booking.state in states), 0)
    return [(text, "done" if i < at else "now" if i == at else "next") for i, (text, _) in enumerate(names)]


def somebody(people: Mapping[str, MemberView], id: UUID, name: str, mine: UUID | None) -> MemberView:
    wire = to_wire("mem", id)
    return people.get(wire) or MemberView(wire, name, is_you=id == mine)


def _receipt_url(booking: Booking) -> str:
    """Where the reader's receipt is, once something was taken from them; empty before."""
    if not any(line.payer == booking.me and line.state in _TAKEN for line in booking.portions):
        return ""
    return f"/t/{to_wire('trip', booking.trip_id)}/receipts/{to_wire('bkg', booking.id)}"
