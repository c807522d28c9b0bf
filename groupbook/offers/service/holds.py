"""The merchant keeps places for us: ask, let go, notice that the time is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit import clock, facts, intents
from groupbook.kit.database import Database
from groupbook.kit.errors import Conflict, InvariantBroken, OutcomeUnknown, Refused
from groupbook.kit.ids import to_wire
from groupbook.kit.intents import Intent
from groupbook.kit.money import Money
from groupbook.offers import repository
from groupbook.offers.domain import (
    Hold,
    HoldEvent,
    HoldNotFound,
    HoldPending,
    HoldState,
    Quote,
    Seat,
    Traveler,
    UnknownTraveler,
    next_hold_state,
    travelers_max,
)
from groupbook.offers.models import HoldRow
from groupbook.offers.ports import HoldRequest, MerchantAdapter, MerchantRefused, PlacedHold, PricedTraveler
from groupbook.offers.service.adapters import AdapterOf
from groupbook.offers.service.catalog import read_offer
from groupbook.offers.service.quotes import read_quote

PLACE = "offers.place_hold"
RELEASE = "offers.release_hold"
overdue_batch_max = 200


class HoldsNotOffered(Conflict):
    """This merchant keeps no places before the order (capability `holds`)."""

    code = "holds_not_offered"


def place_hold(
    session: Session,
    reference: UUID,
    quote_id: UUID,
    travelers: Sequence[Traveler],
    now: datetime,
    *,
    hold_seconds: int | None = None,
) -> Hold:
    """Owe the merchant a request to keep adjacent places for this party. A step.

    The answer arrives as a fact: hold.placed or hold.refused. Asking again for the same quote returns the open hold.

    Args:
        hold_seconds: how long to ask for; capped by the merchant's capability, which is also the default.
    Raises:
        HoldPending: a hold of another quote is open; release it and wait for hold.released first.
        HoldsNotOffered, QuoteExpired, OfferNotBookable, UnknownTraveler
    """
    for row in repository.lock_open_holds(session, reference):
        if row.state == HoldState.RELEASING.value:
            continue
        if row.quote_id == quote_id:
            return repository.hold_of_row(row)
        raise HoldPending(hold=to_wire("hld", row.id))
    capabilities = merchants.read_merchant(session).capabilities
    if not capabilities.holds:
        raise HoldsNotOffered()
    quote = read_quote(session, quote_id)
    quote.require_valid(now)
    read_offer(session, quote.offer_id).require_bookable(now)
    check_travelers(quote, travelers)
    state = next_hold_state(HoldState.NONE, HoldEvent.PLACE_SENT)
    seconds = min(hold_seconds or capabilities.hold_seconds_max, capabilities.hold_seconds_max)
    row = repository.add_hold(session, quote, reference, state, travelers, hold_seconds=seconds, now=now)
    intents.owe(session, PLACE, row.id, once=row.id.hex)
    return repository.hold_of_row(row)


def release_hold(session: Session, reference: UUID, now: datetime) -> bool:
    """Owe the merchant a release of every open hold of this reference; False when there is none. A step.

    A hold whose request is still unanswered is released too: the merchant keeps the release as a tombstone. Each one
    ends as the fact hold.released, even when the places had expired meanwhile.
    """
    rows = repository.lock_open_holds(session, reference)
    for row in rows:
        _move(row, HoldEvent.RELEASE_SENT, now)
        intents.owe(session, RELEASE, row.id, once=row.id.hex)
    session.flush()
    return bool(rows)


def expire_holds(session: Session, now: datetime) -> int:
    """Note that live holds are past their time, except those an order is consuming. A step, run by a sweep."""
    rows = repository.lock_overdue_holds(session, now, overdue_batch_max)
    for row in rows:
        _move(row, HoldEvent.EXPIRED, now)
        _tell(session, row, "hold.expired")
    session.flush()
    return len(rows)


def read_hold(session: Session, hold_id: UUID) -> Hold:
    """A step.

    Raises:
        HoldNotFound
    """
    row = repository.lock_hold(session, hold_id)
    if row is None:
        raise HoldNotFound()
    return repository.hold_of_row(row)


def hold_of(session: Session, reference: UUID) -> Hold | None:
    """The latest hold of this reference. A step."""
    row = repository.latest_hold(session, reference)
    return repository.hold_of_row(row) if row else None


def check_travelers(quote: Quote, travelers: Sequence[Traveler]) -> None:
    """Raises UnknownTraveler unless the travelers are exactly the members that were priced."""
    named = {traveler.member_id for traveler in travelers}
    priced = {person.member_id for person in quote.people}
    if named != priced or len(travelers) != len(named) or len(named) > travelers_max:
        raise UnknownTraveler(
            missing=sorted(str(member) for member in priced - named),
            extra=sorted(str(member) for member in named - priced),
        )


def priced(quote: Quote, travelers: Sequence[Traveler]) -> tuple[PricedTraveler, ...]:
    """The travelers with the fare each of them is sold, in the order given."""
    people = ((traveler, quote.of(traveler.member_id)) for traveler in travelers)
    return tuple(
        PricedTraveler(traveler, person.family or "", person.full_fare, person.pay, person.discounts)
        for traveler, person in people
    )


def consume_hold(session: Session, hold_id: UUID, seats: Sequence[Seat], now: datetime) -> None:
    """The order took the hold's places. A step of `orders`."""
    row = repository.lock_hold(session, hold_id)
    if row is None:
        raise InvariantBroken(what="the order's hold is gone", hold=str(hold_id))
    _move(row, HoldEvent.CONSUMED, now)
    row.seats = repository.dump_seats(seats) or row.seats
    session.flush()


class PlaceHold:
    """The intent behind `place_hold`."""

    def __init__(self, database: Database, adapter_of: AdapterOf, timeout_seconds: float) -> None:
        self._database = database
        self._adapter_of = adapter_of
        self._timeout_seconds = timeout_seconds

    def call(self, intent: Intent) -> PlacedHold:
        with self._database.begin(intent.merchant_id) as session:
            row = _locked(session, intent.subject)
            if row.state != HoldState.PLACING.value:
                # Released before it was ever asked for: asking now would take places nobody wants.
                raise MerchantRefused("canceled")
            quote = read_quote(session, row.quote_id)
            offer = read_offer(session, row.offer_id)
            adapter = self._adapter_of(session)
            request = HoldRequest(
                our_ref=to_wire("hld", row.id),
                offer_ref=offer.ref,
                total=quote.total,
                travelers=priced(quote, repository.load_travelers(row.travelers)),
                hold_seconds=row.hold_seconds,
            )
        return adapter.place_hold(request, key=intent.key, timeout_seconds=self._timeout_seconds)

    def observe(self, intent: Intent) -> PlacedHold | None:
        adapter = self._adapter(intent)
        seen = adapter.observe_hold(to_wire("hld", intent.subject), timeout_seconds=self._timeout_seconds)
        if seen.state == "absent":
            return None
        if seen.placed is not None and seen.state in ("live", "consumed"):
            return seen.placed
        raise MerchantRefused("canceled" if seen.state == "released" else "hold_expired")

    def record(self, session: Session, intent: Intent, answer: PlacedHold) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        now, at = clock.now(session), clock.system_now(session)
        _move(row, HoldEvent.PLACED, now)
        expires_at = clock.seen_here(answer.expires_at, now=now, at=at)
        if row.merchant_ref is None:
            row.merchant_ref = answer.merchant_ref
            row.expires_at = expires_at
            row.seats = repository.dump_seats(answer.seats)
        session.flush()
        if before == HoldState.PLACING.value:
            _tell(session, row, "hold.placed", expires_at=expires_at.isoformat(), seats=row.seats)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        now = clock.now(session)
        if before == HoldState.PLACING.value and refusal.reason == "hold_expired":
            _move(row, HoldEvent.EXPIRED, now)
            row.reason = refusal.reason
            session.flush()
            _tell(session, row, "hold.expired")
            return
        if before == HoldState.RELEASING.value:
            # The release we owe has its own answer; this refusal only says that nothing was taken.
            return
        _move(row, HoldEvent.REFUSED, now)
        note_refusal(row, refusal)
        session.flush()
        if before == HoldState.PLACING.value:
            _tell(session, row, "hold.refused", **refusal_payload(refusal))

    def _adapter(self, intent: Intent) -> MerchantAdapter:
        with self._database.begin(intent.merchant_id) as session:
            return self._adapter_of(session)


class ReleaseHold:
    """The intent behind `release_hold`. Safe to repeat: a release is a tombstone."""

    def __init__(self, database: Database, adapter_of: AdapterOf, timeout_seconds: float) -> None:
        self._database = database
        self._adapter_of = adapter_of
        self._timeout_seconds = timeout_seconds

    def call(self, intent: Intent) -> str:
        with self._database.begin(intent.merchant_id) as session:
            adapter = self._adapter_of(session)
        our_ref = to_wire("hld", intent.subject)
        try:
            adapter.release_hold(our_ref, key=intent.key, timeout_seconds=self._timeout_seconds)
        except Refused as refusal:
            # The port gives no reason to refuse a release. Ask again, and be parked (loudly) if it goes on.
            raise OutcomeUnknown(what="a release was refused", reason=refusal.reason) from refusal
        return "released"

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: str) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        _move(row, HoldEvent.RELEASED, clock.now(session))
        session.flush()
        if before == HoldState.RELEASING.value:
            _tell(session, row, "hold.released")

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        raise InvariantBroken(what="a release was refused", reason=refusal.reason, hold=str(intent.subject))


def note_refusal(row: Any, refusal: Refused) -> None:
    row.reason = refusal.reason
    new_total = refusal.new_total if isinstance(refusal, MerchantRefused) else None
    row.new_amount = new_total.minor if new_total else None


def refusal_payload(refusal: Refused) -> dict[str, Any]:
    new_total: Money | None = refusal.new_total if isinstance(refusal, MerchantRefused) else None
    payload: dict[str, Any] = {"reason": refusal.reason}
    if new_total is not None:
        payload["new_total"] = {"amount": new_total.minor, "currency": new_total.currency}
    return payload


def _locked(session: Session, hold_id: UUID) -> HoldRow:
    row = repository.lock_hold(session, hold_id)
    if row is None:
        raise InvariantBroken(what="the intent's hold is gone", hold=str(hold_id))
    return row


def _move(row: HoldRow, event: HoldEvent, now: datetime) -> None:
    row.state = next_hold_state(HoldState(row.state), event).value
    row.updated_at = now


def _tell(session: Session, row: HoldRow, name: str, **more: Any) -> None:
    facts.record(session, name, subject=row.id, payload={"reference": row.reference.hex, "hold": row.id.hex, **more})
