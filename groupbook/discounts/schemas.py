"""What goes over the wire about entitlements."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints

from groupbook.discounts.domain import (
    Card,
    CardType,
    Entitlements,
    age_max,
    cards_per_subject_max,
)
from groupbook.kit.http import Instant, Wire, wire_id
from groupbook.kit.ids import to_wire

Text = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class EntitlementCard(Wire):
    """A discount card. `type` is one of `/v1/card-types`; the same `number` on two members is one card naming both."""

    type: Text
    number: Annotated[str, StringConstraints(max_length=40)] | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    travel_class: Annotated[str, StringConstraints(max_length=20)] | None = None

    def card(self) -> Card:
        return Card(self.type, self.number or None, self.valid_from, self.valid_until, self.travel_class)


class PutEntitlements(Wire):
    """Your cards and age; what is left out is removed. `age` is in completed years today. Codes come one by one."""

    age: Annotated[int, Field(ge=0, le=age_max)] | None = None
    cards: Annotated[list[EntitlementCard], Field(max_length=cards_per_subject_max)] = []


class AddCode(Wire):
    """A discount code as you got it; case and blanks do not count."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=80)]


class HeldCodeOut(Wire):
    """A code you entered. Prices count it while its `state` is `usable`; else it is `not_started`, `expired`, `used_up`
    (an open booking of yours may be what uses it) or `disabled`.
    """

    id: wire_id("cod")  # type: ignore[valid-type]  # a type made from the prefix
    code: str
    state: str
    ends_at: Instant | None


class EntitlementsOut(Wire):
    """What you bring to a price. Nobody else can read it."""

    age: int | None
    cards: list[EntitlementCard]
    codes: list[HeldCodeOut]
    changed_at: Instant | None

    @classmethod
    def of(cls, stated: Entitlements) -> EntitlementsOut:
        cards = [
            EntitlementCard(
                type=card.type,
                number=card.number,
                valid_from=card.valid_from,
                valid_until=card.valid_until,
                travel_class=card.travel_class,
            )
            for card in stated.cards
        ]
        codes = [
            HeldCodeOut(id=to_wire("cod", code.id), code=code.text, state=code.state.value, ends_at=code.ends_at)
            for code in stated.codes
        ]
        return cls(age=stated.age, cards=cards, codes=codes, changed_at=stated.changed_at)


class CardTypeOut(Wire):
    """A card that the merchant's rules know, with the merchant's own name for it."""

    type: str
    name: str


class CardTypeList(Wire):
    data: list[CardTypeOut]

    @classmethod
    def of(cls, types: tuple[CardType, ...]) -> CardTypeList:
        return cls(data=[CardTypeOut(type=one.type, name=one.name) for one in types])
