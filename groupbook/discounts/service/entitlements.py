"""What a subject brings to a price. Private: only its owner reads it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.discounts import repository
from groupbook.discounts.domain import Card, CardsInvalid, Entitlements, age_max, cards_per_subject_max
from groupbook.discounts.service.catalogues import card_types
from groupbook.discounts.service.codes import held_codes
from groupbook.kit.database import together
from groupbook.kit.facts import Fact
from groupbook.kit.sealing import Sealer

_NUMBER: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z /.-]{0,39}")
_CLASS: Final = re.compile(r"[0-9A-Za-z-]{1,20}")


def entitlements_of(
    session: Session, subjects: Collection[UUID], *, sealer: Sealer | None = None
) -> dict[UUID, Entitlements]:
    """What these subjects bring, for pricing. Show each only to its owner. Everybody asked for is there.

    Args:
        sealer: opens the numbers of cards, to show them to their owner; no price needs them.
    """
    with together(session) as ask:
        profiles = ask(repository.travelers, session, subjects)
        cards = ask(repository.cards, session, subjects, sealer)
        codes = ask(held_codes, session, subjects)
    found = {}
    for subject in subjects:
        profile = profiles().get(subject)
        found[subject] = Entitlements(
            subject=subject,
            cards=tuple(cards().get(subject, ())),
            age=profile.age if profile else None,
            age_stated_on=profile.age_stated_on if profile else None,
            changed_at=profile.changed_at if profile else None,
            codes=codes().get(subject, ()),
        )
    return found


def set_entitlements(
    session: Session,
    subject: UUID,
    *,
    cards: Sequence[Card],
    age: int | None,
    now: datetime,
    sealer: Sealer | None = None,
) -> Entitlements:
    """Replace what a subject brings, except codes. `age` is in completed years today.

    Args:
        sealer: seals the numbers of cards; whoever passes a number passes it too.
    Raises:
        CardsInvalid: an unknown card type, a broken number or period, a card twice, too many; with a pointer.
    """
    if age is not None and not 0 <= age <= age_max:
        raise CardsInvalid(pointer="/age", reason="age_range", age_max=age_max)
    if len(cards) > cards_per_subject_max:
        raise CardsInvalid(pointer="/cards", reason="too_many", cards_max=cards_per_subject_max)
    known = {one.type for one in card_types(session, now.date())}
    for index, card in enumerate(cards):
        reason = _card_problem(card, known)
        if reason is None and card in cards[:index]:
            reason = "card_twice"
        if reason is not None:
            raise CardsInvalid(pointer=f"/cards/{index}", reason=reason, type=card.type)
    repository.replace(session, subject, cards, age, now.date(), now, sealer)
    return entitlements_of(session, [subject], sealer=sealer)[subject]


def _card_problem(card: Card, known: Collection[str]) -> str | None:
    if card.type not in known:
        return "unknown_card_type"
    if card.number is not None and not _NUMBER.fullmatch(card.number):
        return "card_number"
    if card.travel_class is not None and not _CLASS.fullmatch(card.travel_class):
        return "card_class"
    if card.valid_from is not None and card.valid_until is not None and card.valid_from > card.valid_until:
        return "card_period"
    return None


def move_entitlements(session: Session, source: UUID, target: UUID, now: datetime) -> None:
    """A guest became a person: what the guest stated follows, unless the person has stated it already."""
    del now  # moving states nothing new, so the day of stating stays
    repository.move(session, source, target)


def forget(session: Session, subject: UUID) -> None:
    """Erase what this subject stated and held. Twice is once; prices already agreed keep their amounts elsewhere, and
    a code they used stays counted, by nobody.
    """
    repository.forget(session, subject)


def on_person_erased(session: Session, fact: Fact) -> None:
    """A listener: the person's and their guests' entitlements go."""
    for subject in (fact.subject, *(UUID(hex=id) for id in fact.payload.get("guest_ids", ()))):
        forget(session, subject)
