"""What each would pay without the others: the bound that no settlement may cross."""

from __future__ import annotations

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.columns import Columns, total_after
from groupbook.discounts.engine.errors import NoOwnFare
from groupbook.discounts.engine.market import Market, Work
from groupbook.discounts.engine.orders import code_sets
from groupbook.discounts.engine.ties import taken


def alone_amounts(case: Case, work: Work | None = None) -> list[int]:
    """The best lawful price of each traveler with only what is theirs: contested seats and rival codes are nobody's.

    Raises:
        NoOwnFare: somebody has no fare that may be bought alone.
    """
    known: dict[object, int] = {}
    amounts = []
    for traveler in case.travelers:
        own = case.alone(traveler)
        person = own.travelers[0]
        kinds = tuple((card.type, card.valid_from, card.valid_until, card.travel_class) for card in person.cards)
        key = (tuple(person.fares.items()), person.age, person.born, kinds, person.tags, own.codes)
        if key not in known:
            known[key] = _alone(own, work)
        amounts.append(known[key])
    return amounts


def _alone(own: Case, work: Work | None) -> int:
    if not own.travelers[0].fares:
        raise NoOwnFare(traveler=own.travelers[0].id)
    market = Market(own, every=bool(own.codes), work=work)
    market.require_own_fares()
    columns = [one for one in Columns(market) if taken(tuple(market.capacities), one.usage) is not None]
    totals = [total_after(codes, [column]) for codes in code_sets(market) for column in columns]
    return min(total for total in totals if total is not None)
