"""What a trip page tells of prices beside the list: the reader's own, how it moved, and what the organizer asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy.orm import Session

from groupbook import discounts, trips
from groupbook.bookings import BookingView as Booking
from groupbook.kit.i18n import Words
from groupbook.kit.ids import OptionId, TripId, from_wire, to_wire
from groupbook.offers.domain import PersonPrice
from groupbook.trips.domain import Member, OptionPrice, Role
from groupbook.web import price_words
from groupbook.web.price_words import RuleNames
from groupbook.web.views import MovesView, OptionView, PriceView, ToldPrice


@dataclass(frozen=True)
class Prices:
    """The reader's prices, the option whose price is told more of, and the group's total for the organizer."""

    board: trips.Board = field(default=trips.Board(()))
    in_view: OptionId | None = None
    reckoning: trips.Reckoning | None = None

    def of(self, option_id: OptionId | None) -> OptionPrice | None:
        return next((price for price in self.board.prices if price.option_id == option_id), None)


def read_prices(
    session: Session, trip_id: TripId, member: Member, document: Mapping[str, Any], leading: str | None, now: datetime
) -> Prices:
    """Everything about prices that this member's page shows. Viewers do not travel and see none."""
    if member.role is Role.VIEWER:
        return Prices()
    in_view, decision = _in_view(document, leading), document["decision"]
    board = trips.price_board(session, trip_id, member.id, in_view, now=now)
    reckoning = None
    if member.role is Role.ORGANIZER and decision and in_view:
        decided_at = datetime.fromisoformat(decision["decided_at"])
        reckoning = trips.reckon(session, trip_id, in_view, since=decided_at, now=now)
    return Prices(board, in_view, reckoning)


def _in_view(document: Mapping[str, Any], leading: str | None) -> OptionId | None:
    """The option whose price is told more of: decided, else leading, else the first; None when nobody comes or goes."""
    if document["state"] not in ("open", "locked", "decided") or document["is_frozen"]:
        return None
    decided = document["decision"]["option_id"] if document["decision"] else None
    first = next((option["id"] for option in document["options"] if option["offer_id"]), None)
    chosen = decided or leading or first
    return OptionId(from_wire("opt", chosen)) if chosen else None


def rule_names(session: Session, on: date) -> RuleNames:
    """How the merchant calls the rules and cards of a day of travel."""
    cards = {card.type: card.name for card in discounts.card_types(session, on)}
    return RuleNames(discounts.rule_names(session, on), cards)


def own_price(price: OptionPrice | None, trip: str) -> PriceView | None:
    """The reader's price of one option, and where it is explained."""
    if price is None or price.yours is None:
        return None
    url = f"/t/{trip}/price?option={to_wire('opt', price.option_id)}"
    return PriceView(price.yours, price.yours_full, price.total, price.yours_alone, url)


def told_quote(booking: Booking, price: PersonPrice | None, names: RuleNames, say: Words) -> ToldPrice:
    """The quote as it was frozen, in the words of today."""
    proof = price_words.proof_text(is_proven=booking.is_proven, bound=booking.bound, say=say)
    if price is None:
        return ToldPrice(proof=proof)
    return price_words.told(price, names, say, people=len(booking.portions), proof=proof)


def moves_view(
    prices: Prices, document: Mapping[str, Any], options: Sequence[OptionView], booking: Booking | None, say: Words
) -> MovesView:
    """How the price of the option in view moved, and how it would move on: the reader's own, and the group's total."""
    reach, shift, mine = prices.board.reach, prices.board.shift, prices.of(prices.in_view)
    moved = further = reckoning = ""
    if reach is not None and mine is not None and mine.yours is not None:
        further = price_words.reach_text(reach.people_more, mine.yours, reach.yours, reach.saving, say)
    if shift is not None:
        shows_names = document["members"] is not None
        joined, left = (shift.joined, shift.left) if shows_names else ((), ())
        moved = price_words.moved_text(joined, left, shift.before, shift.after, say)
    if prices.reckoning is not None:
        is_tried = booking is not None and to_wire("off", booking.offer_id) == _decided_offer(document)
        reckoning = _reckoning(prices.reckoning, booking if is_tried else None, say)
    return MovesView(moved, further, reckoning, about=_about(prices, document, options))


def _about(prices: Prices, document: Mapping[str, Any], options: Sequence[OptionView]) -> str:
    """Which option the moves are about, where that is not plain."""
    if prices.in_view is None or document["decision"]:
        return ""
    priced = [option for option in options if option.price is not None]
    in_view = to_wire("opt", prices.in_view)
    return next((option.label for option in priced if option.id == in_view and len(priced) > 1), "")


def _decided_offer(document: Mapping[str, Any]) -> str | None:
    decided = document["decision"]["option_id"]
    return next((option["offer_id"] for option in document["options"] if option["id"] == decided), None)


def _reckoning(found: trips.Reckoning, booking: Booking | None, say: Words) -> str:
    """Against the last quote of this offer, if a booking was tried before; else against the decision."""
    if booking is not None:
        if booking.reason == "price_changed" and found.total == booking.total:
            return ""  # the merchant named another price than the offer still has; it is asked for next time
        people = len(booking.portions)
        return price_words.reckoning_text(found.total, booking.total, people, is_quote=True, say=say)
    if (found.total, found.people) == (found.total_then, found.people_then):
        return ""
    return price_words.reckoning_text(found.total, found.total_then, found.people_then, is_quote=False, say=say)
