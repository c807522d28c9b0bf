"""The price of a party: its entitlements and the rules of the day, put before the engine."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.discounts import repository
from groupbook.discounts.domain import (
    Card,
    DiscountError,
    Entitlements,
    PartyPrice,
    PartyRequest,
    PartyTraveler,
    PersonPrice,
    Proof,
    Refusal,
    TripFacts,
    Unused,
    age_on,
)
from groupbook.discounts.engine import Case, Catalogue, HeldCard, Priced, Traveler, Trip, price
from groupbook.discounts.service.catalogues import NO_RULES, parsed
from groupbook.discounts.service.entitlements import entitlements_of
from groupbook.discounts.service.offering import Offered, offered_codes, used_codes
from groupbook.discounts.service.telling import clash, line_of
from groupbook.kit.database import query, together
from groupbook.kit.money import Money

# Fares are full adult fares: who says no age pays one, and counts as a grown-up in a group.
assumed_age: Final = 30


@query
def price_party(
    session: Session,
    facts: TripFacts,
    travelers: Sequence[PartyTraveler],
    *,
    currency: str,
    on: date,
    explain: bool = True,
) -> PartyPrice:
    """The cheapest lawful price of these travelers together, proven, split so that nobody pays more than alone.

    Args:
        facts: what rules may ask about the trip; `on` is the day whose rules and ages count (the day of travel).
        travelers: in the party's order, which breaks ties: earlier members first.
        explain: also why a card did not help and what an unused one would cost.
    Raises:
        TooManyCombinations: no exact answer within the budget, and no guess is given instead.
        NoOwnFare: a traveler has no fare that may be bought alone.
    """
    request = PartyRequest(facts, tuple(travelers), currency, on)
    answer = price_parties(session, [request], explain=explain)[0]
    if isinstance(answer, DiscountError):
        raise answer
    return answer


def price_parties(
    session: Session, requests: Sequence[PartyRequest], *, explain: bool = True
) -> list[PartyPrice | DiscountError]:
    """`price_party` for many requests on the same few queries; one that has no price does not fail the others.

    Pricing is pure, so an answer is kept by a digest of everything it depends on: eight voters who look at ten trains
    cost ten optima, not eighty.
    """
    subjects = dict.fromkeys(traveler.subject for request in requests for traveler in request.travelers)
    with together(session) as ask:
        in_force = ask(repository.catalogues_in_force, session, {request.on for request in requests})
        stated = ask(entitlements_of, session, list(subjects))
    return [_price_once(session, request, in_force()[request.on], stated(), explain) for request in requests]


_PRICED: OrderedDict[bytes, PartyPrice] = OrderedDict()
_priced_lock: Final = threading.Lock()
priced_kept_max: Final = 1_024


def _price_once(
    session: Session,
    request: PartyRequest,
    rules: tuple[UUID, int] | None,
    stated: Mapping[UUID, Entitlements],
    explain: bool,
) -> PartyPrice | DiscountError:
    people = [
        (one.subject, sorted(one.fares.items()), one.tags, stated[one.subject].age, stated[one.subject].age_stated_on)
        for one in request.travelers
    ]
    cards = [stated[one.subject].cards for one in request.travelers]
    catalogue = NO_RULES if rules is None else parsed(session, rules[0])
    offered = offered_codes(request.travelers, stated, catalogue)
    # A digest, so that nobody's age or card number outlives the request.
    known_by = (rules, request.facts, request.currency, request.on, people, cards, offered, explain)
    key = sha256(repr(known_by).encode()).digest()
    with _priced_lock:
        known = _PRICED.get(key)
        if known is not None:
            _PRICED.move_to_end(key)
            return known
    try:
        case = case_of(request, stated, catalogue, offered)
        answer = _party_price(price(case, explain=explain), case, offered, rules[1] if rules else None)
    except DiscountError as error:
        return error
    with _priced_lock:
        _PRICED[key] = answer
        if len(_PRICED) > priced_kept_max:
            _PRICED.popitem(last=False)
    return answer


def case_of(request: PartyRequest, stated: Mapping[UUID, Entitlements], catalogue: Catalogue, offered: Offered) -> Case:
    """What the engine is asked for a party."""
    return Case(
        id="party",
        currency=request.currency,
        trip=_trip(request.facts),
        travelers=tuple(_traveler(one, stated[one.subject], request.on) for one in request.travelers),
        rules=tuple(catalogue.executable.values()),
        codes=tuple((one.rule, one.owner) for one in offered.codes),
        quota=dict(offered.quota),
    )


def _trip(facts: TripFacts) -> Trip:
    return Trip(
        date=facts.date,
        depart=facts.depart.strftime("%H:%M") if facts.depart else None,
        return_date=facts.return_date,
        direction=facts.direction,
        operator=facts.operator,
        service=facts.service,
        travel_class=facts.travel_class,
        duration_min=facts.duration_minutes,
        days_before=facts.days_before,
        channel=facts.channel,
        tags=facts.tags,
        public_holiday=facts.public_holiday,
    )


def _traveler(one: PartyTraveler, stated: Entitlements, on: date) -> Traveler:
    age = assumed_age
    if stated.age is not None and stated.age_stated_on is not None:
        age = min(age_on(stated.age, stated.age_stated_on, on), 150)
    return Traveler(
        id=one.subject.hex,
        age=age,
        cards=tuple(_held(card) for card in stated.cards),
        fares=dict(one.fares),
        tags=one.tags,
    )


def _held(card: Card) -> HeldCard:
    # The same number on two people is one card that names both; its mark stands for the number.
    return HeldCard(
        type=card.type,
        id=f"#{card.mark}" if card.mark else None,
        valid_from=card.valid_from,
        valid_until=card.valid_until,
        travel_class=card.travel_class,
    )


def _party_price(priced: Priced, case: Case, offered: Offered, version: int | None) -> PartyPrice:
    owners = _owners(case.travelers) | {one.by: {one.owner} for one in offered.codes}
    kinds = {card.by(one.id): card.type for one in case.travelers for card in one.cards}
    texts = {(one.rule, one.by): one.text for one in offered.codes}
    used = used_codes(priced, offered)
    refusals = [Refusal(rule, by, reason) for rule, by, reason in priced.rejected if by == "public"]
    unused = [Unused(rule, by, Money(more, case.currency)) for rule, by, more in priced.unused if by == "public"]
    rules = {rule.id: rule for rule in case.rules}
    travelers = {traveler.id: traveler for traveler in case.travelers}
    people = {}
    for id, one in priced.people.items():
        lines = tuple(line_of(what, delta, travelers[id], rules, priced, case.codes) for what, delta in one.lines)
        people[UUID(hex=id)] = PersonPrice(
            subject=UUID(hex=id),
            pay=Money(one.pay, case.currency),
            face=Money(one.face, case.currency),
            alone=Money(one.alone, case.currency),
            family=one.family,
            lines=lines,
            refusals=tuple(
                Refusal(rule, texts.get((rule, by)) or kinds[by], reason)
                for rule, by, reason in priced.rejected
                if id in owners.get(by, ())
            ),
            unused=tuple(
                Unused(
                    rule,
                    texts.get((rule, by)) or kinds[by],
                    Money(more, case.currency),
                    clash(rules[rule], lines, rules),
                )
                for rule, by, more in priced.unused
                if id in owners.get(by, ())
            ),
            codes=tuple(use for owner, use in used if owner == id),
        )
    return PartyPrice(
        total=Money(priced.total, case.currency),
        people=people,
        refusals=tuple(refusals),
        unused=tuple(unused),
        proof=Proof(priced.proof.optimal, Money(priced.proof.bound, case.currency), "branch_and_bound"),
        catalogue_version=version,
    )


def _owners(travelers: Iterable[Traveler]) -> dict[str, set[str]]:
    owners: dict[str, set[str]] = {}
    for one in travelers:
        for card in one.cards:
            owners.setdefault(card.by(one.id), set()).add(one.id)
    return owners
