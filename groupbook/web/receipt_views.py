"""A receipt in its payer's words: what the page shows and the PDF prints, line by line the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from groupbook import merchants, offers, trips
from groupbook.bookings import Movement, MovementKind, Receipt, ReceiptItem
from groupbook.kit.i18n import Words, format_clock, format_day, format_instant, format_money
from groupbook.kit.money import Money
from groupbook.offers.domain import Leg
from groupbook.web import price_words
from groupbook.web.price_views import rule_names
from groupbook.web.price_words import RuleNames
from groupbook.web.views import LineView


@dataclass(frozen=True)
class ReceiptItemView:
    """What was paid for one traveler; `lines` say how, for the payer's own place."""

    label: str
    amount: str
    lines: Sequence[LineView] = ()


@dataclass(frozen=True)
class ReceiptView:
    """Every text of a receipt, in the reader's language; `seller` and `facts` are lines as printed."""

    number: str
    title: str
    seller_name: str
    seller: Sequence[str]
    trip: str
    facts: Sequence[tuple[str, str]]
    journey: Sequence[str]
    items: Sequence[ReceiptItemView]
    movements: Sequence[tuple[str, str, str]]
    sums: Sequence[tuple[str, str]]
    notes: Sequence[str]
    changed_at: datetime
    locale: str
    is_test: bool


def receipt_view(session: Session, receipt: Receipt, say: Words) -> ReceiptView:
    """A step: the receipt with the merchant's details, the trip and the ride."""
    house, details = merchants.read_merchant(session), merchants.read_details(session)
    trip = trips.trip_of(session, receipt.trip_id)
    offer = offers.read_offer(session, receipt.offer_id)
    zone = house.timezone
    names = rule_names(session, offer.outward.departs_local.date())
    facts = [
        (say("Receipt number"), receipt.number),
        (say("Booking"), receipt.order_ref),
        (say("Paid by"), receipt.payer_name or say("Somebody")),
        (say("Paid on"), _instant(receipt.paid_at, zone, say)),
    ]
    facts += [(say("Card"), f"{card.brand.title()} •••• {card.last4}") for card in receipt.cards]
    if details.tax_id:
        facts.append((say("Tax number of the seller"), details.tax_id))
    return ReceiptView(
        number=receipt.number,
        title=_title(receipt, say),
        seller_name=details.legal_name or house.name,
        seller=[
            *([house.name] if details.legal_name and details.legal_name != house.name else []),
            *details.address.splitlines(),
            *([details.registration] if details.registration else []),
            *([details.contact] if details.contact else []),
        ],
        trip=trip.title,
        facts=facts,
        journey=[_leg(leg, say) for leg in offer.legs],
        items=[_item(item, names, say) for item in receipt.items],
        movements=[_movement(one, zone, say) for one in receipt.movements],
        sums=_sums(receipt, say),
        notes=_notes(receipt, say),
        changed_at=receipt.changed_at,
        locale=say.locale,
        is_test=not house.livemode,
    )


def _title(receipt: Receipt, say: Words) -> str:
    if receipt.refunded and not receipt.kept:
        return say("Receipt and credit note: everything paid back")
    return say("Receipt and credit note") if receipt.refunded else say("Receipt")


def _instant(at: datetime, zone: str, say: Words) -> str:
    local = at.astimezone(ZoneInfo(zone))
    return f"{format_day(local.date(), say.locale, 'full')}, {format_clock(at, zone, say.locale)}"


def _leg(leg: Leg, say: Words) -> str:
    when = format_instant(leg.departs_at, leg.origin.zone, say.locale)
    arrives = leg.arrives_at.astimezone(ZoneInfo(leg.destination.zone)).strftime("%H:%M")
    return f"{leg.operator} {leg.number}: {leg.origin.name} – {leg.destination.name}, {when} – {arrives}"


def _item(item: ReceiptItem, names: RuleNames, say: Words) -> ReceiptItemView:
    name = item.name or say("Somebody")
    label = say("Your place") if item.is_own else say("Place of %(name)s", name=name)
    if item.traveler is None:
        label = say("For several of the group")
    lines = price_words.sum_lines(item.price.lines, item.price.pay, names, say)[:-1] if item.price else []
    return ReceiptItemView(label, format_money(item.amount, say.locale), lines)


def _movement(one: Movement, zone: str, say: Words) -> tuple[str, str, str]:
    text = {
        MovementKind.PAID: say("Paid"),
        MovementKind.REFUNDED: say("Paid back to you in another way") if one.is_elsewhere else say("Paid back to you"),
        MovementKind.RETURNED: say("Your bank sent the money back to the seller"),
        MovementKind.DISPUTED: say("Taken back by your bank for you"),
    }[one.kind]
    is_in = one.kind in (MovementKind.PAID, MovementKind.RETURNED)
    return _instant(one.at, zone, say), text, _signed(one.amount if is_in else -one.amount, say)


def _signed(amount: Money, say: Words) -> str:
    return format_money(amount, say.locale)


def _sums(receipt: Receipt, say: Words) -> list[tuple[str, str]]:
    sums = [(say("Paid"), receipt.paid)]
    if receipt.refunded:
        sums.append((say("Paid back"), -receipt.refunded))
    if receipt.disputed:
        sums.append((say("Taken back by your bank"), -receipt.disputed))
    if len(sums) > 1:
        sums.append((say("What this booking cost you"), receipt.kept))
    return [(label, format_money(amount, say.locale)) for label, amount in sums]


def _notes(receipt: Receipt, say: Words) -> list[str]:
    notes = [
        say("You paid your own part. The others have receipts of their own."),
        say("This says what was paid. It is not a tax invoice; the seller issues those."),
    ]
    return notes if receipt.people > 1 else notes[1:]
