"""Changes of a booking that stands: cancel one place, hand it over, accept a surcharge; and the merchant's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from groupbook.bookings import repository
from groupbook.bookings.domain import (
    STOOD,
    AmendmentIncomplete,
    AmendmentNotFound,
    BookingClosed,
    BookingNotFound,
    Limits,
    NotOrganizer,
    NotTraveling,
    Policy,
    TermsChanged,
    check_settings,
    limits_of,
    policy_of,
)
from groupbook.bookings.models import AmendmentRow, BookingRow
from groupbook.bookings.service import amending, party
from groupbook.bookings.service.leaving import member_asking
from groupbook.bookings.service.opening import require_organizer
from groupbook.bookings.service.progress import progress
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import AmendmentId, BookingId, MemberId, PortionId, TripId
from groupbook.kit.money import Money
from groupbook.payments.domain import least_payable


@dataclass(frozen=True)
class Change:
    """One change of one booked member: `by` comes with `replace`, `surcharge` with `surcharge`."""

    kind: amending.Kind
    member_id: MemberId
    by: MemberId | None = None
    surcharge: Money | None = None

    def check(self) -> None:
        """Raises AmendmentIncomplete, with the pointer of what is missing or too much."""
        if (self.by is not None) is not (self.kind == "replace"):
            raise AmendmentIncomplete(pointer="/by")
        if (self.surcharge is not None) is not (self.kind == "surcharge"):
            raise AmendmentIncomplete(pointer="/amount")
        if self.surcharge is not None and self.surcharge < least_payable(self.surcharge.currency):
            raise AmendmentIncomplete(pointer="/amount", least=least_payable(self.surcharge.currency).minor)


@dataclass(frozen=True)
class Agreed:
    """What a change comes to: the order's total afterwards, what goes back by portion (minor units), and what who comes
    in pays.
    """

    total: Money
    back: Mapping[PortionId, int]
    pays: Money | None


def amend_booking(database: Database, caller: Caller, booking_id: BookingId, change: Change) -> AmendmentId:
    """Change one booked member, at whatever it comes to. A use case of the traveler, their payer, the organizer and the
    merchant; `confirm_change` asks for what a preview said.

    A canceled place: what the merchant gives back goes to whoever paid it. A place handed over: who comes in pays
    first. A surcharge (merchants only): not paying is the way to say no.

    Raises:
        AmendmentIncomplete: the change lacks something.
        BookingNotFound, NotOrganizer: none of these.
        BookingClosed: it is not booked (any more).
        AmendmentOpen: another change is under way.
        NotTraveling: the member has no place, or `by` has one already or is not in the trip.
    """
    change.check()
    return change_place(database, caller, booking_id, change)


def change_place(
    database: Database,
    caller: Caller,
    booking_id: BookingId,
    change: Change,
    *,
    agreed: Agreed | None = None,
    is_still_so: Callable[[Session, BookingRow], bool] | None = None,
) -> AmendmentId:
    """Write a checked change down, at what was agreed, in one transaction. Raises as `amend_booking`, TermsChanged."""
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, booking_id)
        require_may_change(session, row, caller, change)
        if agreed is not None and change.kind != "surcharge":
            known = amending.asked_before(session, row, change.kind, change.member_id, change.by)
            if known is not None:
                return known
        if change.by is not None and change.by not in amending.may_come_in(session, row):
            raise NotTraveling()
        if change.surcharge is not None and change.surcharge.currency != row.currency:
            raise AmendmentIncomplete(pointer="/amount/currency")
        if is_still_so is not None and not is_still_so(session, row):
            raise TermsChanged(reason="changed")
        now = clock.now(session)
        id = amending.ask(
            session,
            row,
            change.kind,
            change.member_id,
            now,
            by=change.by,
            surcharge=change.surcharge,
            total_max=agreed.total if agreed is not None else None,
        )
        progress(session, booking_id)
        return id


def withdraw_change(database: Database, caller: Caller, amendment_id: AmendmentId) -> None:
    """Offer a place, or ask for a surcharge, no longer: as long as no bank has said yes. A use case; twice is once.

    Of whoever may ask for the change, and of who was asked to come in: that is how they say no. A page they have open
    is closed, and an authorization that still lands is given back.

    Raises:
        AmendmentNotFound: none of this caller's.
        AmendmentAccepted: too late; the change is made, being made, or over.
        BookingClosed: the booking is taken back as a whole.
    """
    with database.begin(caller.merchant_id) as session:
        found = repository.find_amendment(session, amendment_id)
        row = repository.lock(session, found.booking_id)
        change = repository.find_amendment(session, amendment_id)
        is_asked = _is_asked(session, row, caller, change)
        if row.state not in STOOD:
            raise BookingClosed(state=row.state)
        amending.withdraw(session, change, "unwanted" if is_asked else "withdrawn", clock.now(session))
        progress(session, row.id)


def _is_asked(session: Session, row: BookingRow, caller: Caller, change: AmendmentRow) -> bool:
    """Whether this is who would come in, and not one of those who may take it back.

    Raises:
        AmendmentNotFound: neither.
    """
    try:
        if caller.is_traveler and member_asking(session, row, caller) == change.by_member_id:
            return True
        require_may_change(session, row, caller, Change(amending.kind_of(change), MemberId(change.member_id)))
    except (BookingNotFound, NotOrganizer):
        raise AmendmentNotFound() from None
    return False


def require_may_change(session: Session, row: BookingRow, caller: Caller, change: Change) -> None:
    """The traveler, whoever pays their portion, the organizer and the merchant; a surcharge is the merchant's. A step.

    Raises:
        BookingNotFound, NotOrganizer
    """
    if caller.kind in ("merchant", "staff"):
        return
    me = member_asking(session, row, caller)
    if change.kind == "surcharge":
        raise BookingNotFound()
    payers = {portion.payer for portion in party.portions_in(session, row) if portion.traveler == change.member_id}
    if me != change.member_id and me not in payers:
        require_organizer(session, TripId(row.trip_id), caller)


# --- the merchant's settings ------------------------------------------------------------------------------------------


def read_policy(database: Database, caller: Caller, house: Policy) -> Policy:
    """The policy the merchant's next booking opens with: its own settings over the house's. A use case."""
    with database.begin(caller.merchant_id) as session:
        return policy_of(house, repository.read_settings(session))


def read_settings(database: Database, caller: Caller) -> dict[str, Any]:
    """What the merchant set itself; what is not in it stays with the house. A use case."""
    with database.begin(caller.merchant_id) as session:
        return repository.read_settings(session)


def booking_limits(database: Database, caller: Caller, house: Policy) -> Limits:
    """What the organizer may choose for the next booking. A use case."""
    with database.begin(caller.merchant_id) as session:
        return limits_of(house, repository.read_settings(session))


def change_policy(database: Database, caller: Caller, house: Policy, settings: Mapping[str, Any]) -> Policy:
    """Replace the merchant's own settlement settings; open bookings keep the policy they opened with. A use case.

    Raises:
        PolicyInvalid: an unknown name, a value outside its limits, or one at odds with the rest of the policy.
    """
    checked = check_settings(settings, house)
    with database.begin(caller.merchant_id) as session:
        repository.save_settings(session, checked, clock.now(session))
        return house.but(checked)
