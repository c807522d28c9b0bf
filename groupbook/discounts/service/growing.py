"""Group tiers without one cart: how many more friends it takes until everybody here pays less."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.discounts.domain import DiscountError, NextStep, PartyPrice, PartyRequest, PartyTraveler
from groupbook.discounts.engine import Catalogue, optimum
from groupbook.discounts.engine.rules import JointRule, OrderRule, Rule
from groupbook.discounts.service.catalogues import rules_on
from groupbook.discounts.service.entitlements import entitlements_of
from groupbook.discounts.service.offering import offered_codes
from groupbook.discounts.service.pricing import case_of, price_parties, priced_kept_max
from groupbook.kit.money import total

people_more_max: Final = 8
# They stand for friends who are not here yet, so nobody has told us anything about them.
_NEWCOMERS: Final = tuple(UUID(int=number) for number in range(1, people_more_max + 1))

# What is known of a price that was asked before. A priced party is itself kept by what it depends on, and so the same
# object comes back for the same question; holding it here keeps its id from being used for another.
_KNOWN: OrderedDict[tuple[int, int], tuple[PartyPrice, NextStep | None]] = OrderedDict()
_known_lock: Final = threading.Lock()


def next_step(
    session: Session, request: PartyRequest, price: PartyPrice, *, more_max: int = people_more_max
) -> NextStep | None:
    """The smallest number of further grown-ups (no card, full fare) with whom the present people pay less in total.

    Everybody pays alone, and yet the size of the group counts over all of them.

    Args:
        price: what `price_parties` answered to `request`.
        more_max: how many more may come at all; never asked for more than `people_more_max`.
    """
    more_max = min(more_max, people_more_max)
    key = (id(price), more_max)
    with _known_lock:
        known = _KNOWN.get(key)
        if known is not None and known[0] is price:
            _KNOWN.move_to_end(key)
            return known[1]
    catalogue = rules_on(session, request.on)[0]
    counts = any(_counts_people(rule) for rule in catalogue.executable.values())
    # From a price that is not proven the lowest, a lower one may be luck of the search and no merit of the newcomer.
    can_tell = counts and price.proof.optimal and bool(request.travelers)
    step = _search(session, catalogue, request, price, more_max) if can_tell else None
    with _known_lock:
        _KNOWN[key] = (price, step)
        if len(_KNOWN) > priced_kept_max:
            _KNOWN.popitem(last=False)
    return step


def _counts_people(rule: Rule) -> bool:
    """Whether somebody who holds nothing can change what the others pay by this rule."""
    if isinstance(rule, (JointRule, OrderRule)):
        return True
    return any(one.fact in ("party", "party_count") for clause in rule.when for one in clause.walk())


def _search(
    session: Session, catalogue: Catalogue, request: PartyRequest, price: PartyPrice, more_max: int
) -> NextStep | None:
    """One more at a time; the first that helps is the answer, and it is always a whole price that was made.

    The least total is much quicker to have than everybody's part of it, so a whole price is made for the next friend,
    and after that only where the total grows by less than it did for the one before: there a step of the group lies.
    Newcomers pay no more than alone, so while the total grows by that much, nobody here saves.
    """
    fares = _usual_fares(request.travelers)
    newcomers = [PartyTraveler(subject, fares) for subject in _NEWCOMERS[:more_max]]
    stated = entitlements_of(session, [one.subject for one in (*request.travelers, *newcomers)])

    def least(travelers: Sequence[PartyTraveler]) -> int:
        offered = offered_codes(travelers, stated, catalogue)
        return optimum(case_of(replace(request, travelers=tuple(travelers)), stated, catalogue, offered)).total

    try:
        alone = growth = least(newcomers[:1]) if newcomers else 0
        before = price.total.minor
        for people_more in range(1, more_max + 1):
            grown = (*request.travelers, *newcomers[:people_more])
            now = least(grown)
            is_step, growth, before = now - before < growth, now - before, now
            if is_step and now < price.total.minor + people_more * alone:
                step = _step(session, replace(request, travelers=grown), price, people_more)
                if step is not None:
                    return step
    except DiscountError:
        pass  # too many combinations for an exact price: nothing is promised
    return None


def _step(session: Session, grown: PartyRequest, price: PartyPrice, people_more: int) -> NextStep | None:
    """What those who are here pay in the grown party; None when they save nothing together."""
    answer = price_parties(session, [grown], explain=False)[0]
    if isinstance(answer, DiscountError):
        raise answer
    present = grown.travelers[: len(grown.travelers) - people_more]
    pays = {one.subject: answer.people[one.subject].pay for one in present}
    saving = price.total - total(pays.values(), grown.currency)
    return NextStep(people_more, saving, pays) if saving.minor > 0 else None


def _usual_fares(travelers: Sequence[PartyTraveler]) -> Mapping[str, int]:
    """The fares most of the party may take; of two as common, the earlier member's."""
    counted = Counter(tuple(sorted(one.fares.items())) for one in travelers)
    return dict(counted.most_common(1)[0][0])


__all__ = ["next_step", "people_more_max"]
