"""What the options cost: everybody's own price, what changes when somebody comes or goes, how far the next step is.

Whatever is answered here for one member holds that member's own amounts and the group's totals; never another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import offers
from groupbook.discounts.domain import PartyPrice, PersonPrice, Proof
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import MemberId, OfferId, OptionId, TripId, from_wire
from groupbook.kit.money import Money
from groupbook.offers.domain import Offer
from groupbook.trips import repository
from groupbook.trips.domain import (
    GATHERING_STATES,
    Member,
    MemberNotFound,
    OptionNotFound,
    OptionPrice,
    OptionTally,
    Role,
    Trip,
    TripEvent,
    TripNotFound,
    TripOption,
    VotesShown,
    members_max,
    propose,
    sight_of,
)

# How long the page tells who came and went and what that did to one's price.
shift_seconds: Final = 2 * 86_400
roster_changes_max: Final = 40
_SOMEBODY: Final = UUID(int=1)  # a guest of whom nothing is known, the same for all, so that a price is made once
Prices = Mapping[OfferId, PartyPrice | GroupbookError]


@dataclass(frozen=True, slots=True)
class Reach:
    """With `people_more` more friends this member would owe `yours`; those who go already save `saving` together."""

    people_more: int
    yours: Money
    saving: Money


@dataclass(frozen=True, slots=True)
class Shift:
    """Who came and who went, by name, and what that did to this member's price of one option, by today's rules.

    Mind who may read names.
    """

    joined: tuple[str, ...]
    left: tuple[str, ...]
    before: Money
    after: Money


@dataclass(frozen=True, slots=True)
class Board:
    """Every option's price for one member; of the one in view also how it moved, and how it would move on."""

    prices: tuple[OptionPrice, ...]
    reach: Reach | None = None
    shift: Shift | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One option with somebody and without: their own amounts, and the group's totals.

    `total_without` is None when nobody else goes; then there is nothing to compare.
    """

    option: TripOption
    yours: Money
    yours_alone: Money
    total_with: Money
    total_without: Money | None
    others: int

    @property
    def others_pay_more_without(self) -> Money:
        """What somebody's presence saves the others together; below zero: what it costs them."""
        without = self.total_without or Money(0, self.yours.currency)
        return without - (self.total_with - self.yours)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What one option costs the whole group now, and what it cost those who were going at an earlier time."""

    total: Money
    people: int
    total_then: Money
    people_then: int


@dataclass(frozen=True, slots=True)
class Explained:
    """One option's price for one member, with all that may be told of it to them."""

    option: TripOption
    offer: Offer
    price: PersonPrice
    total: Money
    people: int
    proof: Proof
    reach: Reach | None


# --- one's own price, option by option ------------------------------------------------------------------------------


def price_options(session: Session, trip_id: TripId, for_member: MemberId, *, now: datetime) -> list[OptionPrice]:
    """A step: what this member would pay for each option, in the optimum over everybody who is going today.

    Nobody else's amount is in the answer. An option without a price says why (`reason`), and does not fail the others.
    """
    me, party = _party_of(repository.members(session, trip_id), for_member)
    listed = repository.options(session, trip_id)
    found, prices = _priced(session, listed, party, now)
    return _own_prices(listed, found, prices, me)


def read_prices(database: Database, caller: Caller, trip_id: TripId) -> list[OptionPrice]:
    """`price_options` for the caller. Raises TripNotFound: not a member."""
    with database.begin(caller.merchant_id) as session:
        member = repository.member_of_caller(session, trip_id, caller)
        if member is None or member.role is Role.VIEWER:
            raise TripNotFound()
        return price_options(session, trip_id, member.id, now=clock.now(session))


def price_board(
    session: Session, trip_id: TripId, for_member: MemberId, in_view: OptionId | None, *, now: datetime
) -> Board:
    """A step: `price_options`, and for the option in view (decided, or leading) what a page tells beside it.

    Only one option is looked at so closely: each look is a few more optima, once per party and train.
    """
    present = repository.members(session, trip_id)
    me, party = _party_of(present, for_member)
    listed = repository.options(session, trip_id)
    found, prices = _priced(session, listed, party, now)
    own = tuple(_own_prices(listed, found, prices, me))
    offer = next((found.get(one.offer_id) for one in listed if one.id == in_view and one.offer_id), None)
    price = prices.get(offer.id) if offer is not None else None
    if offer is None or not isinstance(price, PartyPrice):
        return Board(own)
    reach = _reach(session, offer, party, price, me, now)
    return Board(own, reach, _shift(session, trip_id, offer, party, price, me, now))


def _party_of(present: Sequence[Member], for_member: MemberId) -> tuple[Member, list[Member]]:
    """This member, and everybody who goes with them; whoever asks is counted as going."""
    me = next((one for one in present if one.id == for_member and one.role is not Role.VIEWER), None)
    if me is None:
        raise MemberNotFound()
    return me, [one for one in present if one.id == me.id or _goes(one)]


def _goes(member: Member) -> bool:
    return member.is_going and member.role is not Role.VIEWER


def _subjects(party: Iterable[Member]) -> list[UUID]:
    return [one.subject for one in party]


def _priced(
    session: Session, listed: Iterable[TripOption], party: Iterable[Member], now: datetime
) -> tuple[Mapping[OfferId, Offer], Prices]:
    found = offers.read_offers(session, [option.offer_id for option in listed if option.offer_id])
    return found, offers.price_offers(session, found.values(), _subjects(party), now)


def _own_prices(
    listed: Iterable[TripOption], found: Mapping[OfferId, Offer], prices: Prices, me: Member
) -> list[OptionPrice]:
    return [
        _price_of(option, found[option.offer_id], prices[option.offer_id], me.subject)
        if option.offer_id
        else OptionPrice(option.id, is_bookable=False, reason="not_an_offer")
        for option in listed
    ]


def _price_of(option: TripOption, offer: Offer, price: PartyPrice | GroupbookError, mine: UUID) -> OptionPrice:
    if isinstance(price, GroupbookError):
        return OptionPrice(option.id, is_bookable=False, reason=price.code)
    me = price.people[mine]
    return OptionPrice(
        option.id, is_bookable=True, yours=me.pay, yours_alone=me.alone, yours_full=offer.from_price, total=price.total
    )


def explain_price(
    session: Session, trip_id: TripId, option_id: OptionId, for_member: MemberId, *, now: datetime
) -> Explained:
    """A step: how this member's price of one option comes about: own lines, own refusals, and what they did not use.

    Raises:
        OptionNotFound, MemberNotFound
        OfferNotBookable, DiscountError: it has no price now.
    """
    option = repository.read_option(session, trip_id, option_id)
    if option is None or option.offer_id is None:
        raise OptionNotFound()
    me, party = _party_of(repository.members(session, trip_id), for_member)
    offer = offers.read_offer(session, option.offer_id)
    price = offers.price_offer(session, offer, _subjects(party), now, explain=True)
    reach = _reach(session, offer, party, price, me, now)
    return Explained(option, offer, price.people[me.subject], price.total, len(party), price.proof, reach)


def _reach(
    session: Session, offer: Offer, party: Sequence[Member], price: PartyPrice, me: Member, now: datetime
) -> Reach | None:
    step = offers.next_step(session, offer, _subjects(party), price, now, more_max=members_max - len(party))
    return Reach(step.people_more, step.pays[me.subject], step.saving) if step is not None else None


# --- the group's totals ---------------------------------------------------------------------------------------------


def option_totals(session: Session, trip_id: TripId, *, now: datetime) -> dict[OptionId, Money]:
    """A step: what everybody who is going would pay together, option by option; options without a price are absent."""
    party = [one for one in repository.members(session, trip_id) if _goes(one)]
    listed = [option for option in repository.options(session, trip_id) if option.offer_id]
    if not party or not listed:
        return {}
    _, prices = _priced(session, listed, party, now)
    return {
        option.id: price.total
        for option in listed
        if option.offer_id and isinstance(price := prices[option.offer_id], PartyPrice)
    }


def tallies_of(session: Session, trip: Trip, *, now: datetime) -> list[OptionTally]:
    """A step: today's votes with today's totals, so that a tie of votes goes to the cheaper option."""
    totals = option_totals(session, trip.id, now=now)
    return [replace(tally, total=totals.get(tally.option_id)) for tally in repository.tallies(session, trip)]


def reckon(
    session: Session, trip_id: TripId, option_id: OptionId, *, since: datetime, now: datetime
) -> Reckoning | None:
    """A step: what the decided option costs everybody now, and what it cost those who were going at `since`.

    None without a price on either side. Both are priced by today's rules and cards.
    """
    option = repository.read_option(session, trip_id, option_id)
    party = [one for one in repository.members(session, trip_id) if _goes(one)]
    if option is None or option.offer_id is None or not party:
        return None
    then = _party_then(session, trip_id, party, since, me=None)
    offer = offers.read_offer(session, option.offer_id)
    totals = [_total(session, offer, people, now) for people in (party, then)]
    if totals[0] is None or totals[1] is None:
        return None
    return Reckoning(totals[0], len(party), totals[1], len(then))


def _total(session: Session, offer: Offer, party: Sequence[Member], now: datetime) -> Money | None:
    price = offers.price_offers(session, [offer], _subjects(party), now)[offer.id]
    return price.total if party and isinstance(price, PartyPrice) else None


# --- who comes and who goes -----------------------------------------------------------------------------------------


def _shift(
    session: Session,
    trip_id: TripId,
    offer: Offer,
    party: Sequence[Member],
    price: PartyPrice,
    me: Member,
    now: datetime,
) -> Shift | None:
    """What the comings and goings of the last days, since this member came, did to their price; None: nothing."""
    then = _party_then(session, trip_id, party, now - timedelta(seconds=shift_seconds), me=me)
    ids_now, ids_then = {one.id for one in party}, {one.id for one in then}
    if ids_now == ids_then:
        return None
    before = offers.price_offers(session, [offer], _subjects(then), now)[offer.id]
    if not isinstance(before, PartyPrice) or before.people[me.subject].pay == price.people[me.subject].pay:
        return None
    joined = tuple(one.name for one in party if one.id not in ids_then)
    left = tuple(one.name for one in then if one.id not in ids_now)
    return Shift(joined, left, before.people[me.subject].pay, price.people[me.subject].pay)


def _party_then(
    session: Session, trip_id: TripId, party: Sequence[Member], since: datetime, *, me: Member | None
) -> list[Member]:
    """Who was going at `since`, or when `me` came in if that was later, read backwards from the live log."""
    going = {one.id for one in party}
    for event in repository.roster_changes(session, trip_id, since=since, limit=roster_changes_max):
        who = MemberId(from_wire("mem", event.payload["member_id"]))
        if me is not None and who == me.id:
            if event.type == "member.joined":
                break
        elif _came(event):
            going.discard(who)
        elif _went(event):
            going.add(who)
    known = {one.id: one for one in party}
    gone = repository.members_by_id(session, trip_id, going - known.keys()) if going - known.keys() else []
    then = [one for one in (*party, *gone) if one.id in going]
    return sorted(then, key=lambda one: (one.joined_at, one.id))


def _came(event: TripEvent) -> bool:
    return event.type == "member.joined" or (event.type == "member.going_changed" and event.payload["is_going"])


def _went(event: TripEvent) -> bool:
    if event.type == "member.left":
        return bool(event.payload.get("was_going", True))
    return event.type == "member.going_changed" and not event.payload["is_going"]


def preview_join(session: Session, trip_id: TripId, subject: UUID | None, *, now: datetime) -> list[Difference]:
    """A step: option by option, what somebody who is not in yet would pay with the group, and what that changes for it.

    Args:
        subject: a known person, whose cards count; None: a guest, of whom nothing is known.
    """
    party = [one for one in repository.members(session, trip_id) if _goes(one)]
    listed = repository.options(session, trip_id)
    found = offers.read_offers(session, [option.offer_id for option in listed if option.offer_id])
    newcomer = subject or _SOMEBODY
    with_them = offers.price_offers(session, found.values(), [*_subjects(party), newcomer], now)
    without = offers.price_offers(session, found.values(), _subjects(party), now) if party else {}
    return _differences(listed, with_them, without, newcomer, len(party))


def preview_leave(session: Session, trip_id: TripId, for_member: MemberId, *, now: datetime) -> list[Difference]:
    """A step: option by option, the price with this member and without: what the others would have to pay."""
    me, party = _party_of(repository.members(session, trip_id), for_member)
    listed = repository.options(session, trip_id)
    found, with_them = _priced(session, listed, party, now)
    others = _subjects(one for one in party if one.id != me.id)
    without = offers.price_offers(session, found.values(), others, now) if others else {}
    return _differences(listed, with_them, without, me.subject, len(others))


def _differences(
    listed: Iterable[TripOption], with_them: Prices, without: Prices, subject: UUID, others: int
) -> list[Difference]:
    found = []
    for option in listed:
        price = with_them.get(option.offer_id) if option.offer_id else None
        rest = without.get(option.offer_id) if option.offer_id else None
        if isinstance(price, PartyPrice) and (isinstance(rest, PartyPrice) or not others):
            me = price.people[subject]
            total = rest.total if isinstance(rest, PartyPrice) else None
            found.append(Difference(option, me.pay, me.alone, price.total, total, others))
    return found


def option_in_view(session: Session, trip: Trip, member: Member | None, *, now: datetime) -> OptionId | None:
    """A step: the option that matters most now: the decided one, else the leading one where this reader may see the
    votes, else the first on the list."""
    if trip.decided_option_id is not None:
        return trip.decided_option_id
    listed = [option.id for option in repository.options(session, trip.id) if option.offer_id]
    if _sees_votes(session, trip, member):
        leading = propose(tallies_of(session, trip, now=now), trip.rule.quorum).option_id
        if leading in listed:
            return leading
    return listed[0] if listed else None


def _sees_votes(session: Session, trip: Trip, member: Member | None) -> bool:
    if member is None:
        return trip.privacy.votes_shown is VotesShown.ALWAYS
    sight = sight_of(trip.privacy, member.role, has_voted=repository.has_voted(session, trip, member.id))
    return sight is not None and sight.votes


def is_gathering(trip: Trip) -> bool:
    """Whether people may still come and go, so that prices still move."""
    return trip.state in GATHERING_STATES and trip.frozen_by is None
