"""Sharing a sum among some of the party: everybody concerned says yes to their amount, and then it holds at once."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import offers
from groupbook.bookings import repository, sharing
from groupbook.bookings.domain import (
    SplitChanged,
    SplitInvalid,
    SplitNotFound,
)
from groupbook.bookings.models import BookingRow, SplitRow
from groupbook.bookings.service import party
from groupbook.bookings.service.leaving import member_asking, require_open
from groupbook.bookings.service.progress import progress
from groupbook.bookings.service.telling import tell
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import BookingId, MemberId, SplitId, new_id
from groupbook.kit.money import Money
from groupbook.payments.domain import PortionTooSmall, least_payable, payable_step

parts_max = 1000
open_max = 5
"""Of one proposer in one booking: each is a sum that the others read, and a row."""


def propose_split(database: Database, caller: Caller, booking_id: BookingId, parts: Mapping[MemberId, int]) -> SplitId:
    """Ask those concerned to pay their sum by parts; equal parts are an equal split. A use case.

    Nothing changes until everybody concerned, the proposer last, has said yes to their own amount. The same split
    asked for twice is one. Whether a card can be asked for every amount is seen with the last yes: a refusal before
    would tell the proposer about the others' prices (P6).

    Raises:
        BookingNotFound, BookingClosed
        SplitInvalid: fewer than two, not oneself, somebody who does not travel, parts out of range, or too many that
            are not answered yet; a no of one's own ends one.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, booking_id)
        member_id = member_asking(session, row, caller)
        require_open(row)
        weights = {UUID(int=member.int): part for member, part in parts.items()}
        if len(weights) < 2 or member_id not in weights:
            raise SplitInvalid(pointer="/parts", reason="too_few")
        if not set(weights) <= set(party.members_in(session, row)):
            raise SplitInvalid(pointer="/parts", reason="not_traveling")
        if not all(0 <= part <= parts_max for part in weights.values()) or not sum(weights.values()):
            raise SplitInvalid(pointer="/parts", reason="out_of_range", most=parts_max)
        now = clock.now(session)
        owed = _owed(session, row)
        whole = sum(owed[member] for member in weights)
        stored = {member.hex: part for member, part in weights.items()}
        asked = [known for known in repository.splits(session, row.id) if known.state == "asked"]
        for known in asked:
            if (known.parts, known.sum_agreed) == (stored, whole):
                return SplitId(known.id)
        if sum(known.by_member_id == member_id for known in asked) >= open_max:
            raise SplitInvalid(pointer="/parts", reason="too_many", most=open_max)
        row.has_parts = True
        split = SplitRow(
            merchant_id=row.merchant_id,
            id=new_id(),
            booking_id=row.id,
            by_member_id=member_id,
            parts=stored,
            agreed=[],
            sum_agreed=whole,
            state="asked",
            asked_at=now,
            ended_at=None,
        )
        session.add(split)
        session.flush()
        tell(session, row, None, clock.now(session))
        return SplitId(split.id)


def answer_split(database: Database, caller: Caller, split_id: SplitId, *, yes: bool, amount: Money | None) -> None:
    """Say yes to `amount`, one's own part of a split, or no to all of it. A use case; twice is once.

    The proposer's yes is the last: until the others have said theirs, the proposer is not told the amount (P6). With
    the last yes the portions change together. A no ends it, also after everybody had said yes; then everybody owes
    their own price again.

    Raises:
        SplitNotFound: no such split for this caller.
        SplitChanged: it is over, prices changed since, it is not the proposer's turn, or the amount is another.
        BookingClosed: too late.
        PortionTooSmall: with the last yes; somebody would owe too little for a card. Nothing was changed.
    """
    has_lapsed = False
    with database.begin(caller.merchant_id) as session:
        found = repository.find_split(session, split_id)
        row = repository.lock(session, found.booking_id)
        member_id = member_asking(session, row, caller)
        split = repository.find_split(session, split_id)
        if member_id.hex not in split.parts:
            raise SplitNotFound()
        require_open(row)
        if split.ended_at is not None:
            if not yes and split.state == "refused":
                return
            raise SplitChanged(reason=split.state)
        if not yes:
            was_agreed = split.state == "agreed"
            split.state, split.ended_at = "refused", clock.now(session)
            _finish(session, row, "split_refused" if was_agreed else None)
        elif member_id.hex not in split.agreed:
            has_lapsed = _has_lapsed(session, row, split)
            if has_lapsed:
                split.state, split.ended_at = "lapsed", clock.now(session)
                _finish(session, row, None)
            else:
                _agree(session, row, split, member_id, amount)
    if has_lapsed:  # after the commit: that it lapsed is kept, and the others are told
        raise SplitChanged(reason="price_changed")


def _has_lapsed(session: Session, row: BookingRow, split: SplitRow) -> bool:
    owed = _owed(session, row)
    return sum(owed.get(UUID(hex=member), -1) for member in split.parts) != split.sum_agreed


def _agree(session: Session, row: BookingRow, split: SplitRow, member_id: MemberId, amount: Money | None) -> None:
    now = clock.now(session)
    amounts = amounts_of(split, row.currency)
    others = set(split.parts) - {split.by_member_id.hex}
    if member_id == split.by_member_id and not others <= set(split.agreed):
        raise SplitChanged(reason="not_your_turn")
    if amount != amounts[member_id]:
        raise SplitChanged(reason="amount")
    split.agreed = [*split.agreed, member_id.hex]
    if set(split.agreed) < set(split.parts):
        _finish(session, row, None)
        return
    least = least_payable(row.currency)
    for part in amounts.values():
        if 0 < part.minor < least.minor:
            raise PortionTooSmall(least=least.minor)
    for other in repository.splits(session, row.id):
        if other.id != split.id and other.state == "agreed" and set(other.parts) & set(split.parts):
            other.state, other.ended_at = "lapsed", now
    split.state = "agreed"
    _finish(session, row, "split_agreed")


def amounts_of(split: SplitRow, currency: str) -> dict[UUID, Money]:
    """What each of those concerned would pay, before anything is given towards it."""
    one = party.agreement(split)
    found = sharing.split_of(one.sum_agreed, one.parts, payable_step(currency))
    return {member: Money(amount, currency) for member, amount in found.items()}


def _owed(session: Session, row: BookingRow) -> dict[UUID, int]:
    """What everybody owes before splits and gifts."""
    quote = offers.read_quote(session, row.quote_id)
    pays = {person.member_id: person.pay.minor for person in quote.people}
    priced = party.to_share(session, row, pays, party.parts_of(session, row), clock.now(session))
    return sharing.owed_after_losses(priced)


def _finish(session: Session, row: BookingRow, cause: str | None) -> None:
    """With a cause the portions change; without one only a word was given."""
    if cause is None:
        session.flush()
        tell(session, row, None, clock.now(session))
        return
    party.share_anew(session, row, cause, clock.now(session))
    progress(session, row.id)
