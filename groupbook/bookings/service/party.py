"""Who is in the party of a booking, what each of them owes, and what changes when the party or the price does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import discounts, offers, payments, trips
from groupbook.bookings import repository, sharing
from groupbook.bookings.domain import BookingState, Policy
from groupbook.bookings.models import BookingRow, ContributionRow, DepartureRow, SplitRow
from groupbook.bookings.service.telling import tell
from groupbook.discounts.domain import DiscountError
from groupbook.kit.ids import MemberId, TripId
from groupbook.kit.money import Money
from groupbook.offers.domain import OfferNotBookable, Quote, Traveler
from groupbook.payments.domain import Covered, PortionDraft, PortionView, least_payable, merge_small, payable_step
from groupbook.trips.domain import Member


@dataclass(frozen=True)
class Parts:
    """What a booking has besides everybody's own portion; all of it live."""

    gifts: tuple[ContributionRow, ...] = ()
    departures: tuple[DepartureRow, ...] = ()
    splits: tuple[SplitRow, ...] = ()

    @property
    def leavers(self) -> set[UUID]:
        return {one.member_id for one in self.departures}

    @property
    def extra(self) -> set[UUID]:
        """The "travelers" of portions that nobody travels on: what is given, and what leavers bear."""
        return {gift.id for gift in self.gifts} | self.leavers


def parts_of(session: Session, row: BookingRow) -> Parts:
    """A step; a booking that never had any asks nothing."""
    if not row.has_parts:
        return Parts()
    return Parts(
        tuple(repository.contributions(session, row.id)),
        tuple(repository.departures(session, row.id)),
        tuple(repository.splits(session, row.id)),
    )


def portions_in(session: Session, row: BookingRow) -> list[PortionView]:
    """The portions that count now: of those in the party, and what is given or borne for them."""
    return [portion for portion in payments.portions_of(session, row.id) if not portion.is_dropped]


def members_in(session: Session, row: BookingRow) -> list[UUID]:
    """Those who travel."""
    extra = parts_of(session, row).extra
    return [portion.traveler for portion in portions_in(session, row) if portion.traveler not in extra]


def travelers_of(session: Session, row: BookingRow, quote: Quote) -> tuple[Traveler, ...]:
    """The quoted party as the merchant needs to know them."""
    return travelers(quote, trips.members(session, TripId(row.trip_id)))


def travelers(quote: Quote, members: Iterable[Member]) -> tuple[Traveler, ...]:
    names = {member.id: member.name for member in members}
    return tuple(
        Traveler(member_id=person.member_id, name=names.get(MemberId(person.member_id), "")) for person in quote.people
    )


def drafts(
    row: BookingRow,
    quote: Quote,
    payers: Mapping[UUID, UUID] | None = None,
    shares: sharing.Shares | None = None,
    parts: Parts | None = None,
) -> list[PortionDraft]:
    """One portion per traveler, paid by whoever pays it now, by themselves at first; then what is borne and given. Each
    says whose price it pays.

    With a payer quorum everybody agrees to at most what they would pay alone: then somebody may drop out without the
    rest being asked again (payments.md 2.2, cap authorization). What is too little for a card is paid with the
    organizer's portion.

    Raises:
        PortionTooSmall: even together it is too little, or the organizer does not travel.
    """
    has_quorum = Policy(**row.policy).payer_quorum is not None
    currency, who = quote.total.currency, payers or {}
    own = []
    for person in quote.people:
        pays = person.pay if shares is None else Money(shares.own[person.member_id], currency)
        own.append(
            PortionDraft(
                traveler=person.member_id,
                payer=who.get(person.member_id, person.member_id),
                amount=pays,
                cap=max(pays, person.alone) if has_quorum and pays else None,
                covers=_covers({person.member_id: pays.minor}, currency)
                if shares is None
                else _covers(shares.lines[person.member_id], currency),
            )
        )
    merged = merge_small(own, least_payable(currency), into=row.opened_by)
    if shares is None or parts is None:
        return merged
    for one in parts.departures:
        if shares.borne.get(one.member_id):
            bears, most = Money(shares.borne[one.member_id], currency), Money(one.most, currency)
            payer = who.get(one.member_id, one.member_id)
            covers = _covers(shares.lines[one.member_id], currency)
            merged.append(PortionDraft(traveler=one.member_id, payer=payer, amount=bears, covers=covers, cap=most))
    for gift in parts.gifts:
        given, most = Money(shares.given.get(gift.id, 0), currency), Money(gift.amount + gift.reserve, currency)
        payer = who.get(gift.id, gift.by_member_id)
        covers, cap = _covers(shares.lines.get(gift.id, {}), currency), most if given else None
        merged.append(PortionDraft(traveler=gift.id, payer=payer, amount=given, covers=covers, cap=cap))
    return merged


def _covers(lines: Mapping[UUID, int], currency: str) -> tuple[Covered, ...]:
    return tuple(Covered(line, Money(amount, currency)) for line, amount in lines.items() if amount)


def reallocate(session: Session, row: BookingRow, members: Collection[UUID], now: datetime) -> None:
    """Price the offer again for `members`; only whose agreement no longer suffices is asked again. A step.

    Whoever is not among them any more is let go: page closed, authorization given back, unless they bear what the
    others lose. Codes that the new price does not count are free again.

    Raises:
        OfferNotBookable, PortionTooSmall, CodeNotUsable: as for the opening; the caller's transaction rolls back.
    """
    wanted = set(members)
    going = [member for member in trips.members(session, TripId(row.trip_id)) if member.id in wanted]
    subjects: dict[UUID, UUID] = {member.id: member.subject for member in going}
    quote = offers.record_quote(session, row.id, row.offer_id, subjects, now, is_kept=row.hold_id is not None)
    uses = [(subjects[one.member_id], use) for one in quote.people for use in one.codes]
    discounts.release_codes(session, row.id, now=now)
    discounts.reserve_codes(session, row.id, uses, now=now)
    share(session, row, quote, now)
    row.quote_id, row.total = quote.id, quote.total.minor
    repository.add_step(session, row, "reallocated", BookingState(row.state), now)
    row.version += 1
    session.flush()


def share(session: Session, row: BookingRow, quote: Quote, now: datetime) -> None:
    """Let the portions follow the quote and what was given, shared and left since. A step; twice is once.

    A split whose sum is another than the one agreed on has lapsed. Who bears nothing of what was lost is let go.

    Raises:
        PortionTooSmall: as for `drafts`; the caller's transaction rolls back.
    """
    payers = {portion.traveler: portion.payer for portion in portions_in(session, row)}
    parts = parts_of(session, row)
    shares = None
    if row.has_parts:
        pays = {person.member_id: person.pay.minor for person in quote.people}
        priced = to_share(session, row, pays, parts, now)
        shares = sharing.share_out(priced)
        for one in parts.splits:
            if one.state == "agreed" and not sharing.holds(priced, agreement(one)):
                one.state, one.ended_at = "lapsed", now
        if priced.policy == "leaver":
            for left in parts.departures:
                left.ended_at = None if shares.borne.get(left.member_id) else now
    payments.reallocate(session, row.id, whole=quote.total, drafts=drafts(row, quote, payers, shares, parts), now=now)


def share_anew(session: Session, row: BookingRow, cause: str, now: datetime) -> None:
    """What is given or shared has changed, the price has not: `share`, written down and told. A step.

    Raises:
        PortionTooSmall: as for `share`.
    """
    session.flush()
    share(session, row, offers.read_quote(session, row.quote_id), now)
    repository.add_step(session, row, cause, BookingState(row.state), now)
    row.version += 1
    session.flush()
    tell(session, row, None, now)


def to_share(
    session: Session,
    row: BookingRow,
    pays: Mapping[UUID, int],
    parts: Parts,
    now: datetime,
    *,
    leaving: UUID | None = None,
) -> sharing.Party:
    """The party at these prices, with what decides who pays them. `leaving`: somebody who would leave now."""
    policy = Policy(**row.policy)
    gone = {*parts.leavers, leaving} if leaving is not None else parts.leavers
    leavers = gone - set(pays) if policy.lost_discount != "group" else set()
    with_leavers = prices_of(session, row, {*pays, *leavers}, now) if leavers else None
    return sharing.Party(
        currency=row.currency,
        pay=pays,
        with_leavers=with_leavers or pays,
        policy=policy.lost_discount,
        leavers=[sharing.Leaver(one.member_id, one.most) for one in parts.departures],
        splits=[agreement(one) for one in parts.splits if one.state == "agreed"],
        gifts=[sharing.Gift(one.id, one.amount, one.for_member_id, one.reserve) for one in parts.gifts],
        least=least_payable(row.currency).minor,
        step=payable_step(row.currency),
    )


def agreement(row: SplitRow) -> sharing.Split:
    return sharing.Split({UUID(hex=member): parts for member, parts in row.parts.items()}, row.sum_agreed)


def prices_of(session: Session, row: BookingRow, members: Collection[UUID], now: datetime) -> dict[UUID, int] | None:
    """What the offer would cost each of `members`, in minor units; None: there is no price. Nothing is written."""
    wanted = set(members)
    going = [one for one in trips.members(session, TripId(row.trip_id)) if one.id in wanted]
    offer = offers.read_offer(session, row.offer_id)
    try:
        price = offers.price_offer(session, offer, [one.subject for one in going], now, is_kept=row.hold_id is not None)
    except (OfferNotBookable, DiscountError):
        return None
    return {one.id: price.people[one.subject].pay.minor for one in going}


def settled_in(session: Session, row: BookingRow, now: datetime) -> set[UUID]:
    """Whose portions are in, for long enough to be taken after the merchant's answer (`Snapshot.lasts`). A step."""
    until = now + Policy(**row.policy).settle_margin
    return {
        one.traveler
        for one in portions_in(session, row)
        if one.is_settled and (one.capture_before is None or until < one.capture_before)
    }


def extra_settled(session: Session, row: BookingRow, now: datetime) -> int:
    """How many settled portions nobody travels on. A step; a booking without parts asks nothing."""
    extra = parts_of(session, row).extra
    return len(extra & settled_in(session, row, now)) if extra else 0


def end_unsettled(session: Session, row: BookingRow, now: datetime) -> bool:
    """What is given or borne by nobody's bank any more does not count. A step; answers whether anything ended."""
    settled = settled_in(session, row, now)
    gifts = [one for one in parts_of(session, row).gifts if one.id not in settled]
    gone: list[ContributionRow | DepartureRow] = [*gifts, *_lapsed(session, row, now)]
    for one in gone:
        one.ended_at = now
    session.flush()
    return bool(gone)


def let_leavers_go(session: Session, row: BookingRow, now: datetime) -> None:
    """A leaver whose bank does not keep their money any more bears nothing, and nobody waits for them. A step."""
    lapsed = _lapsed(session, row, now)
    if lapsed:
        for one in lapsed:
            one.ended_at = now
        session.flush()
        share(session, row, offers.read_quote(session, row.quote_id), now)


def _lapsed(session: Session, row: BookingRow, now: datetime) -> list[DepartureRow]:
    """Leavers who were to bear what no bank keeps for long enough. Where sponsors bear it, leavers bear nothing."""
    if Policy(**row.policy).lost_discount != "leaver":
        return []
    settled = settled_in(session, row, now)
    return [one for one in parts_of(session, row).departures if one.member_id not in settled]
