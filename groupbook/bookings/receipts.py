"""What one payer paid for one booking, for whom, and what came back: a receipt, exact to the minor unit. Pure.

It is read from the ledger's movements, not from the portions, so its sums are the ledger's: what all payers' receipts
say together is what the statement of the booking says. Money that the provider took unasked is returned and is no sale;
it stands in the merchant's statement and in no receipt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from groupbook.bookings.lines import lines_of
from groupbook.kit.errors import InvariantBroken, NotFound
from groupbook.kit.ids import BookingId, MemberId, OfferId, TripId
from groupbook.kit.money import Money, total
from groupbook.offers.domain import PersonPrice
from groupbook.payments import JournalKind, StatementLine
from groupbook.payments.domain import Card, PortionView


class ReceiptNotFound(NotFound):
    """This booking took nothing from this caller."""

    code = "receipt_not_found"


class MovementKind(StrEnum):
    PAID = "paid"
    REFUNDED = "refunded"
    RETURNED = "returned"  # a refund that the payer's bank sent back: they do not have it
    DISPUTED = "disputed"  # the payer's bank took it back for them


KIND_OF: Final[Mapping[JournalKind, MovementKind]] = MappingProxyType(
    {
        JournalKind.CAPTURED: MovementKind.PAID,
        JournalKind.REFUNDED: MovementKind.REFUNDED,
        JournalKind.REFUNDED_ELSEWHERE: MovementKind.REFUNDED,
        JournalKind.REFUND_RETURNED: MovementKind.RETURNED,
        JournalKind.DISPUTE_LOST: MovementKind.DISPUTED,
    }
)


@dataclass(frozen=True, slots=True)
class Movement:
    """Money of this payer that moved; `amount` is never negative, `kind` says which way."""

    at: datetime
    kind: MovementKind
    amount: Money
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class ReceiptItem:
    """What was paid for one traveler; `traveler` None: for several of the group. `price` is how it was made, for the
    payer's own place only (P6).
    """

    traveler: MemberId | None
    name: str
    is_own: bool
    amount: Money
    price: PersonPrice | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """`items` sum to `paid`; `paid - refunded - disputed` is what the merchant has of this payer's money."""

    number: str
    booking_id: BookingId
    trip_id: TripId
    offer_id: OfferId
    payer: MemberId
    payer_name: str
    order_ref: str
    people: int
    items: tuple[ReceiptItem, ...]
    movements: tuple[Movement, ...]
    cards: tuple[Card, ...]
    paid: Money
    refunded: Money
    disputed: Money

    @property
    def kept(self) -> Money:
        return self.paid - self.refunded - self.disputed

    @property
    def paid_at(self) -> datetime:
        return self.movements[0].at

    @property
    def changed_at(self) -> datetime:
        return self.movements[-1].at


def movements_of(lines: Iterable[StatementLine], portions: Sequence[PortionView]) -> tuple[Movement, ...]:
    """What moved of these portions, in the ledger's order."""
    mine = {portion.id for portion in portions}
    return tuple(
        Movement(line.at, KIND_OF[line.kind], line.amount, line.kind is JournalKind.REFUNDED_ELSEWHERE)
        for line in lines
        if line.portion_id in mine and line.kind in KIND_OF
    )


def payers_of(lines: Iterable[StatementLine], portions: Iterable[PortionView]) -> list[UUID]:
    """Who paid, in the order in which the money of each came first. The ledger only grows, so a place is for ever;
    who is to pay a portion may still change while it is owed.
    """
    payer = {portion.id: portion.payer for portion in portions}
    return list(dict.fromkeys(payer[line.portion_id] for line in lines if line.kind is JournalKind.CAPTURED))


def sums_of(movements: Iterable[Movement], currency: str) -> tuple[Money, Money, Money]:
    """(paid, refunded, disputed): a refund that was sent back counts as not refunded."""
    found: dict[MovementKind, list[Money]] = {kind: [] for kind in MovementKind}
    for one in movements:
        found[one.kind].append(one.amount)
    sums = {kind: total(amounts, currency) for kind, amounts in found.items()}
    refunded = sums[MovementKind.REFUNDED] - sums[MovementKind.RETURNED]
    return sums[MovementKind.PAID], refunded, sums[MovementKind.DISPUTED]


def items_of(
    portions: Iterable[PortionView],
    *,
    payer: MemberId,
    names: Mapping[UUID, str],
    prices: Mapping[UUID, PersonPrice],
    paid: Money,
) -> tuple[ReceiptItem, ...]:
    """One item per traveler that a taken portion covers, the payer's own first.

    What a sponsor gave for everybody, or a leaver bore for those who stayed, is one item: how it was divided says what
    each of them owed (P6).

    Raises:
        InvariantBroken: they do not sum to what the ledger says was paid.
    """
    items: list[ReceiptItem] = []
    for portion in portions:
        if not portion.captured:
            continue
        parts: dict[UUID | None, int] = dict(lines_of(portion).items())
        if len(parts) > 1 and portion.traveler not in parts:
            parts = {None: portion.captured.minor}
        for traveler, minor in parts.items():
            amount = Money(minor, portion.captured.currency)
            price = prices.get(traveler) if traveler is not None and traveler == payer else None
            items.append(
                ReceiptItem(
                    traveler=None if traveler is None else MemberId(traveler),
                    name="" if traveler is None else names.get(traveler, ""),
                    is_own=traveler == payer,
                    amount=amount,
                    price=price.told() if price is not None and price.pay == amount else None,
                )
            )
    if total((item.amount for item in items), paid.currency) != paid:
        raise InvariantBroken(what="a receipt does not sum to the ledger", payer=str(payer))
    return tuple(sorted(items, key=lambda item: not item.is_own))
