"""What a change of a booked place would come to, to the cent, before it is asked for; and asking for just that."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import offers, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import AmendmentIncomplete, NotTraveling, TermsChanged
from groupbook.bookings.lines import shares_back
from groupbook.bookings.models import BookingRow
from groupbook.bookings.service import amending, party
from groupbook.bookings.service.changing import Agreed, Change, change_place, require_may_change
from groupbook.bookings.service.reading import names_for, viewer
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import AmendmentId, BookingId, MemberId, PortionId, TripId
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.offers import AdapterOf
from groupbook.offers.domain import AmendmentNotOffered, PlaceChange
from groupbook.payments.domain import PortionState, PortionView
from groupbook.trips.domain import Role, sight_of

valid_for: Final = timedelta(minutes=15)
terms_characters_max: Final = 20_000
# To the card that paid; or not, because its bank decides about a dispute; or the merchant waits for that much less.
Way = Literal["card", "disputed", "owed"]


@dataclass(frozen=True)
class MoneyBack:
    """What comes back to one payer; `amount` and `card` are None where they are not the caller's to read (P6)."""

    payer: MemberId
    payer_name: str
    amount: Money | None
    card: str | None
    way: Way


@dataclass(frozen=True)
class ChangePreview:
    """What a change of one place would come to now. The others' tickets, seats and charges stay as they are.

    `price` is what is paid for the place now, `kept` what the merchant keeps of it, `pays` what who comes in pays; all
    None where they are not the caller's to read (P6). `terms` is what to send back to have just this.
    """

    kind: Literal["cancel", "replace"]
    member_id: MemberId
    name: str
    by: MemberId | None
    by_name: str
    price: Money | None
    kept: Money | None
    pays: Money | None
    back: tuple[MoneyBack, ...]
    total_now: Money
    total_then: Money
    others: int
    valid_until: datetime
    terms: str


@dataclass(frozen=True)
class _Facts:
    """What a preview is made of, read in one transaction."""

    kind: Literal["cancel", "replace"]
    currency: str
    total: Money
    portions: tuple[PortionView, ...]
    paid: Mapping[PortionId, int]
    worth: Money
    names: Mapping[UUID, str]
    me: UUID | None
    others: int
    now: datetime

    def agreed(self, then: Money) -> Agreed:
        """What this change would come to with an order that costs `then` afterwards.

        Raises:
            AmendmentNotOffered: it would cost more than it is worth.
        """
        pays = amending.price_of_place(self.worth, self.total - then) if self.kind == "replace" else None
        back = amending.money_back(self.total, then, self.worth, pays)
        if back.minor < 0:
            raise AmendmentNotOffered(reason="price_changed")
        shares, _ = shares_back(self.portions, self.paid, back, then)
        return Agreed(then, {id: share for id, share in shares.items() if share}, pays)


def preview_change(
    database: Database, adapter_of: AdapterOf, sealer: Sealer, caller: Caller, booking_id: BookingId, change: Change
) -> ChangePreview:
    """What giving a place back, or to somebody else, would come to; the merchant is asked, nothing changes. A use case.

    Raises:
        AmendmentIncomplete: neither of the two, or `by` is missing or too much.
        BookingNotFound, NotOrganizer: not this caller's to change.
        AmendmentOpen, BookingClosed, NotTraveling: not possible (now).
        AmendmentNotOffered: the merchant would not do it; `reason` says why.
        Unavailable: the merchant did not answer.
    """
    change.check()
    if change.kind == "surcharge":
        raise AmendmentIncomplete(pointer="/kind")
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        require_may_change(session, row, caller, change)
        facts, wanted = _facts(session, row, caller, change), _wanted(session, row, change)
    found = offers.price_change(database, caller.merchant_id, booking_id, wanted, adapter_of)
    agreed = facts.agreed(found.total)
    until = facts.now + valid_for
    until = min(until, found.until) if found.until is not None else until
    return _preview(facts, change, agreed, until, _seal(sealer, booking_id, change, agreed, until))


def confirm_change(
    database: Database,
    adapter_of: AdapterOf,
    sealer: Sealer,
    caller: Caller,
    booking_id: BookingId,
    change: Change,
    terms: str,
) -> AmendmentId:
    """Ask for a change at the `terms` of a preview, and no others. A use case; asking twice is asking once.

    The merchant is asked again first, and may afterwards not charge more than the preview said: then the change comes
    to nothing (`price_changed`), and nobody paid or lost anything.

    Raises:
        TermsChanged: it would come to something else now, or the preview is too old. Nothing moved.
        AmendmentIncomplete, BookingNotFound, NotOrganizer, AmendmentOpen, BookingClosed, NotTraveling,
        AmendmentNotOffered, Unavailable: as for `preview_change`.
    """
    change.check()
    if change.kind == "surcharge":
        raise AmendmentIncomplete(pointer="/kind")
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        require_may_change(session, row, caller, change)
        known = amending.asked_before(session, row, change.kind, change.member_id, change.by)
        if known is not None:
            return known
        agreed = _open(sealer, booking_id, change, terms, row.currency, clock.now(session))
        facts, wanted = _facts(session, row, caller, change), _wanted(session, row, change)
    found = offers.price_change(database, caller.merchant_id, booking_id, wanted, adapter_of)
    if facts.agreed(found.total) != agreed:
        raise TermsChanged(reason="changed")

    def is_still_so(session: Session, row: BookingRow) -> bool:
        return _facts(session, row, caller, change).agreed(agreed.total) == agreed

    return change_place(database, caller, booking_id, change, agreed=agreed, is_still_so=is_still_so)


def candidates(database: Database, caller: Caller, booking_id: BookingId) -> list[MemberId]:
    """Who of the trip could come in for somebody: they have no place yet. A use case.

    Who only watches (they waited for a place) is named to whoever may read the members' names.

    Raises:
        BookingNotFound
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        me = viewer(session, row, caller)
        traveling = amending.traveling_in(session, row)
        sight = sight_of(trips.trip_of(session, TripId(row.trip_id)).privacy, me.role) if me is not None else None
        sees_names = me is None or (sight is not None and sight.member_ids)
        found = amending.may_come_in(session, row).items()
        return [id for id, role in found if id not in traveling and (role is not Role.VIEWER or sees_names)]


def _wanted(session: Session, row: BookingRow, change: Change) -> PlaceChange:
    return amending.wanted_place(session, row, change.member_id, change.by)


def _facts(session: Session, row: BookingRow, caller: Caller, change: Change) -> _Facts:
    """Raises AmendmentOpen, BookingClosed, NotTraveling."""
    amending.check_possible(session, row, change.member_id, change.by)
    if change.by is not None and change.by not in amending.may_come_in(session, row):
        raise NotTraveling()
    me = viewer(session, row, caller)
    portions = party.portions_in(session, row)
    paid = amending.paid_for(session, row, change.member_id)
    return _Facts(
        kind="replace" if change.by is not None else "cancel",
        currency=row.currency,
        total=Money(row.total, row.currency),
        portions=tuple(portions),
        paid=paid,
        worth=amending.worth_of(row, paid),
        names=names_for(session, TripId(row.trip_id), me, portions, ()),
        me=me.id if me is not None else None,
        others=len(amending.traveling_in(session, row)) - 1,
        now=clock.now(session),
    )


def _preview(facts: _Facts, change: Change, agreed: Agreed, until: datetime, terms: str) -> ChangePreview:
    payers = {portion.payer for portion in facts.portions if facts.paid.get(portion.id)}
    reads_all = facts.me is None or facts.me == change.member_id or payers == {facts.me}
    own = sum(min(share, facts.paid.get(id, 0)) for id, share in agreed.back.items())
    return ChangePreview(
        kind=facts.kind,
        member_id=change.member_id,
        name=facts.names.get(change.member_id, ""),
        by=change.by,
        by_name=facts.names.get(change.by, "") if change.by is not None else "",
        price=facts.worth if reads_all else None,
        kept=facts.worth - Money(own, facts.currency) if reads_all else None,
        pays=agreed.pays if reads_all else None,
        back=tuple(
            _money_back(portion, agreed.back[portion.id], facts, is_traveler=facts.me == change.member_id)
            for portion in facts.portions
            if portion.id in agreed.back and (facts.paid.get(portion.id) or facts.me in (None, portion.payer))
        ),
        total_now=facts.total,
        total_then=agreed.total,
        others=facts.others,
        valid_until=until,
        terms=terms,
    )


def _money_back(portion: PortionView, share: int, facts: _Facts, *, is_traveler: bool) -> MoneyBack:
    is_payer = facts.me == portion.payer
    is_own = is_traveler and bool(facts.paid.get(portion.id))
    way: Way = "disputed" if portion.is_disputed else "owed" if portion.state is PortionState.COVERED else "card"
    return MoneyBack(
        payer=MemberId(portion.payer),
        payer_name=facts.names.get(portion.payer, ""),
        amount=Money(share, facts.currency) if is_payer or is_own or facts.me is None else None,
        card=f"{portion.card.brand} {portion.card.last4}" if is_payer and portion.card and way == "card" else None,
        way=way,
    )


# --- the terms, sealed: whoever asks must not learn from them what is not theirs to read, nor make any up -------------


def _seal(sealer: Sealer, booking_id: BookingId, change: Change, agreed: Agreed, until: datetime) -> str:
    document = {
        "total": agreed.total.minor,
        "back": {id.hex: share for id, share in agreed.back.items()},
        "pays": agreed.pays.minor if agreed.pays is not None else None,
        "until": until.isoformat(),
    }
    sealed = sealer.seal(_place(booking_id, change), json.dumps(document).encode())
    return base64.urlsafe_b64encode(sealed).decode()


def _open(sealer: Sealer, booking_id: BookingId, change: Change, terms: str, currency: str, now: datetime) -> Agreed:
    """Raises TermsChanged: no terms of ours for this change, or no longer."""
    if len(terms) > terms_characters_max:
        raise TermsChanged(reason="unknown")
    try:
        document = json.loads(sealer.open(_place(booking_id, change), base64.urlsafe_b64decode(terms)))
    except (binascii.Error, ValueError, InvariantBroken):
        raise TermsChanged(reason="unknown") from None
    if now >= datetime.fromisoformat(document["until"]):
        raise TermsChanged(reason="expired")
    pays = document["pays"]
    return Agreed(
        Money(document["total"], currency),
        {PortionId(UUID(hex=id)): share for id, share in document["back"].items()},
        Money(pays, currency) if pays is not None else None,
    )


def _place(booking_id: BookingId, change: Change) -> str:
    by = change.by.hex if change.by is not None else ""
    return f"terms:{booking_id.hex}:{change.kind}:{change.member_id.hex}:{by}"
