"""What an offer costs a party: composed from the stored offer and the discounts of everybody in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import discounts
from groupbook.discounts.domain import DiscountError, NextStep, PartyPrice, PartyRequest
from groupbook.kit.ids import OfferId, QuoteId, new_id
from groupbook.offers import repository
from groupbook.offers.domain import Offer, OfferNotBookable, Quote, QuoteNotFound, party_travelers, quote_of, trip_facts
from groupbook.offers.service.catalog import read_offer

quote_seconds_default = 30 * 60


def price_offer(
    session: Session,
    offer: Offer,
    subjects: Iterable[UUID],
    now: datetime,
    *,
    explain: bool = False,
    is_kept: bool = False,
) -> PartyPrice:
    """The cheapest lawful price of this offer for these people (persons or guests), each with their own share. A step.

    Args:
        is_kept: the merchant keeps places of it for them, so that it is theirs to buy even where it sells no more.
    Raises:
        OfferNotBookable: it has no price, or its time is over.
    """
    if not (is_kept and offer.fares):
        offer.require_bookable(now)
    facts = trip_facts(offer, now)
    return discounts.price_party(
        session, facts, party_travelers(offer, subjects), currency=offer.currency, on=facts.date, explain=explain
    )


def price_offers(
    session: Session, offers: Iterable[Offer], subjects: Iterable[UUID], now: datetime
) -> dict[OfferId, PartyPrice | OfferNotBookable | DiscountError]:
    """`price_offer` for many offers and one party, on a fixed number of queries; each has its price or its reason.

    A step.
    """
    party, answers = tuple(subjects), dict[OfferId, PartyPrice | OfferNotBookable | DiscountError]()
    requests = {}
    for offer in offers:
        if offer.is_bookable(now):
            facts = trip_facts(offer, now)
            requests[offer.id] = PartyRequest(facts, party_travelers(offer, party), offer.currency, facts.date)
        else:
            answers[offer.id] = OfferNotBookable(offer=offer.ref)
    prices = discounts.price_parties(session, list(requests.values()), explain=False)
    return answers | dict(zip(requests, prices, strict=True))


def next_step(
    session: Session, offer: Offer, subjects: Iterable[UUID], price: PartyPrice, now: datetime, *, more_max: int
) -> NextStep | None:
    """How many more friends make this offer cheaper for those who go already, and what they then pay. A step.

    Args:
        price: what `price_offer` or `price_offers` answered for these people.
        more_max: how many more the trip takes; the places the merchant has left are counted here.
    """
    party, left = tuple(subjects), offer.draft.seats_left
    more_max = more_max if left is None else min(more_max, left - len(party))
    facts = trip_facts(offer, now)
    request = PartyRequest(facts, party_travelers(offer, party), offer.currency, facts.date)
    return discounts.next_step(session, request, price, more_max=more_max)


def record_quote(
    session: Session,
    reference: UUID,
    offer_id: UUID,
    party: Mapping[UUID, UUID],
    now: datetime,
    *,
    valid_seconds: int = quote_seconds_default,
    is_kept: bool = False,
) -> Quote:
    """Price the offer for the party and keep it, for good, under the caller's reference. A step.

    Args:
        party: member id -> subject (person or guest) whose entitlements count, in the members' order.
        is_kept: as for `price_offer`.
    Raises:
        OfferNotFound, OfferNotBookable
    """
    offer = read_offer(session, offer_id)
    price = price_offer(session, offer, party.values(), now, explain=True, is_kept=is_kept)
    quote = quote_of(
        offer,
        price,
        party,
        id=QuoteId(new_id()),
        reference=reference,
        valid_until=now + timedelta(seconds=valid_seconds),
        created_at=now,
    )
    repository.add_quote(session, quote)
    return quote


def read_quote(session: Session, quote_id: UUID) -> Quote:
    """A step.

    Raises:
        QuoteNotFound
    """
    quote = repository.find_quote(session, quote_id)
    if quote is None:
        raise QuoteNotFound()
    return quote
