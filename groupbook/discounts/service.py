"""The steps of this room: catalogues, entitlements, and the price of a party."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.discounts import repository
from groupbook.discounts.domain import (
    Card,
    CardsInvalid,
    CardType,
    CatalogueNotFound,
    CatalogueVersion,
    DiscountError,
    Entitlements,
    Line,
    PartyPrice,
    PartyRequest,
    PartyTraveler,
    PersonPrice,
    Proof,
    Refusal,
    TripFacts,
    Unused,
    age_max,
    age_on,
    cards_per_subject_max,
)
from groupbook.discounts.engine import (
    Case,
    Catalogue,
    HeldCard,
    Priced,
    Traveler,
    Trip,
    parse_catalogue,
    price,
    require_supported,
)
from groupbook.discounts.engine.rules import JointRule, StatedFact
from groupbook.discounts.models import RuleCatalogueRow
from groupbook.kit.facts import Fact
from groupbook.kit.money import Money

# Fares are full adult fares: who says no age pays one, and counts as a grown-up in a group.
assumed_age: Final = 30
_NUMBER: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z /.-]{0,39}")
_CLASS: Final = re.compile(r"[0-9A-Za-z-]{1,20}")


# --- catalogues -----------------------------------------------------------------------------------------------------


def put_catalogue(session: Session, document: Mapping[str, Any], *, starts_on: date, now: datetime) -> CatalogueVersion:
    """Store a new version of the merchant's rules, in force for travel from `starts_on`. Older versions stay.

    Raises:
        CatalogueInvalid: a field is broken; every one is named with its pointer.
        RulesUnsupported: a rule is well formed but cannot be priced exactly yet; nothing is stored.
    """
    catalogue = parse_catalogue(document)
    require_supported(catalogue)
    row = repository.add_catalogue(
        session, dict(document), rule_count=len(catalogue.rules), starts_on=starts_on, now=now
    )
    return _version(row)


def read_catalogue(session: Session, on: date) -> CatalogueVersion:
    """The rules in force for travel on a day.

    Raises:
        CatalogueNotFound: there were none.
    """
    found = repository.catalogue_in_force(session, on)
    if found is None:
        raise CatalogueNotFound(on=on.isoformat())
    return _version(repository.catalogue(session, found[0]))


def card_types(session: Session, on: date) -> tuple[CardType, ...]:
    """The cards that the rules of a day know, in catalogue order, with the merchant's own names for them."""
    names: dict[str, str] = {}
    for rule in _rules(session, on)[0].rules:
        if isinstance(rule, StatedFact):
            continue
        for type in rule.trigger.cards:
            names.setdefault(type, rule.title or type)
        roles = rule.roles if isinstance(rule, JointRule) else ()
        for type in (type for role in roles for type in role.who.holds_any):
            names.setdefault(type, rule.title or type)
    return tuple(CardType(type, name) for type, name in names.items())


def _rules(session: Session, on: date) -> tuple[Catalogue, int | None]:
    found = repository.catalogue_in_force(session, on)
    return (_NO_RULES, None) if found is None else (_parsed(session, found[0]), found[1])


def _parsed(session: Session, id: UUID) -> Catalogue:
    cached = _PARSED.get(id)
    if cached is None:
        cached = parse_catalogue(repository.catalogue(session, id).document)
        if len(_PARSED) >= 256:
            _PARSED.clear()
        _PARSED[id] = cached
    return cached


_NO_RULES: Final = Catalogue(rules=())
_PARSED: dict[UUID, Catalogue] = {}  # a version never changes, so its parsed form is kept by its id


def _version(row: RuleCatalogueRow) -> CatalogueVersion:
    return CatalogueVersion(row.version, row.starts_on, row.rule_count, row.created_at, row.document)


# --- entitlements ---------------------------------------------------------------------------------------------------


def entitlements_of(session: Session, subjects: Collection[UUID]) -> dict[UUID, Entitlements]:
    """What these subjects bring, for pricing. Show each only to its owner. Everybody asked for is there."""
    profiles = repository.travelers(session, subjects)
    cards = repository.cards(session, subjects)
    found = {}
    for subject in subjects:
        profile = profiles.get(subject)
        found[subject] = Entitlements(
            subject=subject,
            cards=tuple(cards.get(subject, ())),
            age=profile.age if profile else None,
            age_stated_on=profile.age_stated_on if profile else None,
            changed_at=profile.changed_at if profile else None,
        )
    return found


def set_entitlements(
    session: Session, subject: UUID, *, cards: Sequence[Card], age: int | None, now: datetime
) -> Entitlements:
    """Replace what a subject brings. `age` is in completed years today.

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
    repository.replace(session, subject, cards, age, now.date(), now)
    return entitlements_of(session, [subject])[subject]


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
    """Erase what this subject stated. Twice is once; prices already agreed keep their amounts elsewhere."""
    repository.forget(session, subject)


def on_person_erased(session: Session, fact: Fact) -> None:
    """A listener: the person's and their guests' entitlements go."""
    for subject in (fact.subject, *(UUID(hex=id) for id in fact.payload.get("guest_ids", ()))):
        forget(session, subject)


# --- the price of a party -------------------------------------------------------------------------------------------


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
        PartyTooLarge, TooManyCombinations: no exact answer within the budget, and no guess is given instead.
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
    in_force = repository.catalogues_in_force(session, {request.on for request in requests})
    subjects = dict.fromkeys(traveler.subject for request in requests for traveler in request.travelers)
    stated = entitlements_of(session, list(subjects))
    return [_price_once(session, request, in_force[request.on], stated, explain) for request in requests]


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
    # A digest, so that nobody's age or card number outlives the request.
    key = sha256(repr((rules, request.facts, request.currency, request.on, people, cards, explain)).encode()).digest()
    with _priced_lock:
        known = _PRICED.get(key)
        if known is not None:
            _PRICED.move_to_end(key)
            return known
    catalogue = _NO_RULES if rules is None else _parsed(session, rules[0])
    try:
        case = Case(
            id="party",
            currency=request.currency,
            trip=_trip(request.facts),
            travelers=tuple(_traveler(one, stated[one.subject], request.on) for one in request.travelers),
            rules=tuple(catalogue.executable.values()),
        )
        answer = _party_price(price(case, explain=explain), case, rules[1] if rules else None)
    except DiscountError as error:
        return error
    with _priced_lock:
        _PRICED[key] = answer
        if len(_PRICED) > priced_kept_max:
            _PRICED.popitem(last=False)
    return answer


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
    # The same number on two people is one card that names both.
    return HeldCard(
        type=card.type,
        id=f"{card.type}#{card.number}" if card.number else None,
        valid_from=card.valid_from,
        valid_until=card.valid_until,
        travel_class=card.travel_class,
    )


def _party_price(priced: Priced, case: Case, version: int | None) -> PartyPrice:
    owners = _owners(case.travelers)
    kinds = {card.by(one.id): card.type for one in case.travelers for card in one.cards}
    refusals = [Refusal(rule, kinds.get(by, by), reason) for rule, by, reason in priced.rejected if by == "public"]
    unused = [Unused(rule, by, Money(more, case.currency)) for rule, by, more in priced.unused if by == "public"]
    people = {}
    for id, one in priced.people.items():
        people[UUID(hex=id)] = PersonPrice(
            subject=UUID(hex=id),
            pay=Money(one.pay, case.currency),
            face=Money(one.face, case.currency),
            alone=Money(one.alone, case.currency),
            family=one.family,
            lines=tuple(Line(what, Money(delta, case.currency)) for what, delta in one.lines),
            refusals=tuple(
                Refusal(rule, kinds[by], reason) for rule, by, reason in priced.rejected if id in owners.get(by, ())
            ),
            unused=tuple(
                Unused(rule, kinds[by], Money(more, case.currency))
                for rule, by, more in priced.unused
                if id in owners.get(by, ())
            ),
        )
    return PartyPrice(
        total=Money(priced.total, case.currency),
        people=people,
        refusals=tuple(refusals),
        unused=tuple(unused),
        proof=Proof(priced.proof.optimal, Money(priced.proof.bound, case.currency), priced.proof.method),
        catalogue_version=version,
    )


def _owners(travelers: Iterable[Traveler]) -> dict[str, set[str]]:
    owners: dict[str, set[str]] = {}
    for one in travelers:
        for card in one.cards:
            owners.setdefault(card.by(one.id), set()).add(one.id)
    return owners
