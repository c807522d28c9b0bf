"""How a simulated history begins: a merchant, what it sells, and friends who have decided on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from groupbook.kit.callers import Caller
from groupbook.kit.ids import GuestId, MemberId, MerchantId, OptionId, TripId, new_id
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities, Merchant
from groupbook.offers import repository as offers
from groupbook.offers.domain import Leg, OfferDraft, Place
from groupbook.trips import repository as trips
from groupbook.trips.domain import (
    DecisionRule,
    JoinedVia,
    Member,
    MembersShown,
    OptionKind,
    Privacy,
    Role,
    RuleKind,
    Trip,
    TripOption,
    TripState,
    Visibility,
    VotesShown,
)

MERCHANT: Final = MerchantId(UUID(int=(1 << 80) | (7 << 76) | (2 << 62)))
OFFER: Final = "train-6609"


def settle_in(world: Any) -> tuple[TripId, list[MemberId], list[Caller]]:
    """A merchant, an offer, and a party that has decided on it."""
    plan, now = world.plan, world.now
    capabilities = Capabilities(**known(Capabilities, plan.capabilities))
    merchant = Merchant(MERCHANT, "kestrel", "Kestrel Rail", False, "en", "UTC", plan.currency, "wire", capabilities)
    settings = world.database.settings
    settings["merchant"] = merchant
    world.merchant.capability = capabilities
    offer = train(OFFER, Money(plan.fare, plan.currency), now)
    world.merchant.offers[OFFER] = offer
    ids = TripId(new_id()), OptionId(new_id())
    members = [MemberId(new_id()) for _ in range(plan.size + plan.spares)]
    guests = [GuestId(new_id()) for _ in members]
    settings["concessions"] = dict(zip(guests, plan.concessions, strict=False))
    with world.database.begin(MERCHANT) as memory:
        decide_on(memory, ids, offer, members, guests, now, size=plan.size)
    return ids[0], members, callers_of(guests)


def decide_on(
    session: Any,
    ids: tuple[TripId, OptionId],
    offer: OfferDraft,
    members: Sequence[MemberId],
    guests: Sequence[GuestId],
    now: datetime,
    *,
    size: int,
) -> None:
    """A trip whose first `size` members travel, decided on this offer; the first of them organizes it."""
    trip_id, option_id = ids
    stored = offers.save_offer(session, offer, now)
    trip = Trip(
        id=trip_id,
        title="Lights",
        state=TripState.OPEN,
        rule=DecisionRule(RuleKind.ORGANIZER),
        privacy=Privacy(Visibility.LINK, MembersShown.ALL, VotesShown.ALWAYS),
        organizer_id=members[0],
        round=1,
        version=1,
        event_seq=0,
        created_at=now,
    )
    trips.insert_trip(session, trip)
    for index, (member, guest) in enumerate(zip(members, guests, strict=True)):
        role = Role.MEMBER if index else Role.ORGANIZER
        via = JoinedVia.INVITE if index else JoinedVia.STARTED
        at = now + timedelta(seconds=index)
        trips.insert_member(
            session, Member(member, trip_id, f"Friend {index}", role, index < size, via, at, guest_id=guest)
        )
    option = TripOption(option_id, trip_id, OptionKind.OFFER, "Lyon", 1, offer_id=stored.id)
    trips.insert_option(session, option, added_by=members[0], now=now)
    trips.change_trip(session, trip, state=TripState.DECIDED.value, decided_option_id=option_id, decided_at=now)


def callers_of(guests: Sequence[GuestId]) -> list[Caller]:
    return [Caller(kind="guest", merchant_id=MERCHANT, subject=guest) for guest in guests]


def train(ref: str, fare: Money, now: datetime) -> OfferDraft:
    departs = now + timedelta(days=30)
    paris, lyon = Place("Paris Gare de Lyon", "Europe/Paris", "Paris"), Place("Lyon", "Europe/Paris", "Lyon")
    leg = Leg("tgv", "6609", "Kestrel", paris, lyon, departs, departs + timedelta(hours=2), "2")
    return OfferDraft(
        ref=ref,
        title="Paris to Lyon",
        currency=fare.currency,
        legs=(leg,),
        fares={"flex": fare},
        valid_until=departs,
    )


def known(kind: type, given: Any) -> dict[str, Any]:
    """Of what a plan says, what this class has a word for."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in given.items() if name in names}
