"""The calls behind a hold: place, extend, release. Each is safe to repeat by our reference."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import clock, intents
from groupbook.kit.database import Database, together
from groupbook.kit.errors import InvariantBroken, OutcomeUnknown, Refused
from groupbook.kit.ids import to_wire
from groupbook.kit.intents import Intent
from groupbook.kit.money import Money
from groupbook.offers import repository
from groupbook.offers.domain import HOLD_KEPT, HoldEvent, HoldState
from groupbook.offers.models import HoldRow
from groupbook.offers.ports import HoldRequest, MerchantAdapter, MerchantRefused, PlacedHold
from groupbook.offers.service.adapters import AdapterOf, LoadedCall
from groupbook.offers.service.catalog import read_offer
from groupbook.offers.service.holds import (
    AT_EXPIRY,
    RELEASE,
    expire,
    is_over,
    move,
    note_refusal,
    priced,
    refusal_payload,
    tell,
)
from groupbook.offers.service.quotes import read_quote

# What a merchant says when the places are not there (any more), whatever we asked.
_GONE = frozenset({"hold_expired", "canceled"})


class _HoldCall:
    """What the calls share: the database, and the merchant's adapter."""

    def __init__(self, database: Database, adapter_of: AdapterOf, timeout_seconds: float) -> None:
        self._database = database
        self._adapter_of = adapter_of
        self._timeout_seconds = timeout_seconds

    def _adapter(self, intent: Intent) -> MerchantAdapter:
        with self._database.begin(intent.merchant_id) as session:
            return self._adapter_of(session)


class PlaceHold(_HoldCall, LoadedCall[HoldRequest]):
    """The intent behind `place_hold`."""

    def _request(self, session: Session, intent: Intent) -> HoldRequest:
        row = _locked(session, intent.subject)
        if row.state != HoldState.PLACING.value:
            # Released before it was ever asked for: asking now would take places nobody wants.
            raise MerchantRefused("canceled")
        with together(session) as ask:
            quote = ask(read_quote, session, row.quote_id)
            offer = ask(read_offer, session, row.offer_id)
        return HoldRequest(
            our_ref=to_wire("hld", row.id),
            offer_ref=offer().ref,
            total=quote().total,
            travelers=priced(quote(), repository.load_travelers(row.travelers)),
            hold_seconds=row.hold_seconds,
            fee=None if row.fee is None else Money(row.fee, row.currency),
        )

    def call(self, intent: Intent) -> PlacedHold:
        adapter, request = self._loaded(intent)
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
        now = clock.now(session)
        move(row, HoldEvent.PLACED, now)
        if row.merchant_ref is None:
            row.merchant_ref = answer.merchant_ref
            row.placed_at = now
            row.seats = repository.dump_seats(answer.seats)
            _keep_until(session, row, answer.expires_at, now, is_first=True)
        session.flush()
        if before == HoldState.PLACING.value:
            tell(session, row, "hold.placed", expires_at=_told(row.expires_at), seats=row.seats)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        now = clock.now(session)
        if before == HoldState.PLACING.value and refusal.reason == "hold_expired":
            expire(session, row, now)
            row.reason = refusal.reason
            session.flush()
            return
        if before == HoldState.RELEASING.value:
            # The release we owe has its own answer; this refusal only says that nothing was taken.
            return
        move(row, HoldEvent.REFUSED, now)
        note_refusal(row, refusal)
        session.flush()
        if before == HoldState.PLACING.value:
            tell(session, row, "hold.refused", **refusal_payload(refusal))


class ExtendHold(_HoldCall):
    """The intent behind `extend_hold` and `earn_time`. Safe to repeat: the end is an instant, not a length."""

    def call(self, intent: Intent) -> PlacedHold:
        with self._database.begin(intent.merchant_id) as session:
            row = _locked(session, intent.subject)
            if row.state != HoldState.EXTENDING.value or row.asked_until is None:
                raise MerchantRefused("canceled")
            adapter = self._adapter_of(session)
            # The merchant's clock does not travel with a test merchant's: said in real time, as it was heard.
            until = clock.seen_here(row.asked_until, now=clock.system_now(session), at=clock.now(session))
        return adapter.extend_hold(
            to_wire("hld", intent.subject), until=until, key=intent.key, timeout_seconds=self._timeout_seconds
        )

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: PlacedHold) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        now = clock.now(session)
        move(row, HoldEvent.EXTENDED, now)
        if HoldState(row.state) in HOLD_KEPT:
            _keep_until(session, row, answer.expires_at, now)
        session.flush()
        if before == HoldState.EXTENDING.value:
            tell(session, row, "hold.extended", expires_at=_told(row.expires_at))

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        row = _locked(session, intent.subject)
        before = row.state
        now = clock.now(session)
        if before != HoldState.EXTENDING.value:
            return  # released, expired or consumed meanwhile: the request has lost its meaning
        move(row, HoldEvent.EXTEND_REFUSED, now)
        is_gone = refusal.reason in _GONE or is_over(row, now)
        if not is_gone or repository.is_being_consumed(session, row.id):
            session.flush()
            tell(session, row, "hold.extend_refused", reason=refusal.reason, expires_at=_told(row.expires_at))
            return
        expire(session, row, now)
        row.reason = refusal.reason
        session.flush()
        intents.owe(session, RELEASE, row.id, once=f"{row.id.hex}:expired", reference=row.reference)


class ReleaseHold(_HoldCall):
    """The intent behind `release_hold`, and the one owed in advance for the expiry. A release is a tombstone, so it is
    safe to repeat; it also ends an extension that arrives at the merchant when nobody wants it any more.
    """

    def call(self, intent: Intent) -> str:
        with self._database.begin(intent.merchant_id) as session:
            if intent.payload.get(AT_EXPIRY) and not self._is_expiring(session, intent.subject):
                return "kept"
            adapter = self._adapter_of(session)
        our_ref = to_wire("hld", intent.subject)
        try:
            adapter.release_hold(our_ref, key=intent.key, timeout_seconds=self._timeout_seconds)
        except Refused as refusal:
            # The port gives no reason to refuse a release. Ask again, and be parked (loudly) if it goes on.
            raise OutcomeUnknown(what="a release was refused", reason=refusal.reason) from refusal
        return "released"

    def _is_expiring(self, session: Session, hold_id: UUID) -> bool:
        """Not when it was extended, is over already, or an order takes the places: each has its own end."""
        row = _locked(session, hold_id)
        return is_over(row, clock.now(session)) and not repository.is_being_consumed(session, hold_id)

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: str) -> None:
        if answer == "kept":
            return
        row = _locked(session, intent.subject)
        before = HoldState(row.state)
        now = clock.now(session)
        if before in HOLD_KEPT:
            expire(session, row, now)
            session.flush()
            return
        move(row, HoldEvent.RELEASED, now)
        session.flush()
        if before is HoldState.RELEASING:
            tell(session, row, "hold.released")

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        raise InvariantBroken(what="a release was refused", reason=refusal.reason, hold=str(intent.subject))


def _keep_until(session: Session, row: HoldRow, told: datetime, now: datetime, *, is_first: bool = False) -> None:
    """Note the merchant's own end, and owe the release for that very moment: not for the next sweep."""
    row.expires_at = clock.seen_here(told, now=now, at=clock.system_now(session))
    once = f"{row.id.hex}:{told.isoformat()}"
    intents.owe(
        session,
        RELEASE,
        row.id,
        {AT_EXPIRY: True},
        once=once,
        due_at=told,
        reference=row.reference,
        is_first=is_first,
    )


def _told(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _locked(session: Session, hold_id: UUID) -> HoldRow:
    row = repository.lock_hold(session, hold_id)
    if row is None:
        raise InvariantBroken(what="the intent's hold is gone", hold=str(hold_id))
    return row
