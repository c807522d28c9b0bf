"""The merchant keeps places for us: ask, ask for longer, let go, notice that the time is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit import facts, intents
from groupbook.kit.database import together
from groupbook.kit.errors import InvariantBroken, Refused
from groupbook.kit.ids import to_wire
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.offers import repository
from groupbook.offers.domain import (
    HOLD_KEPT,
    Hold,
    HoldEvent,
    HoldNotFound,
    HoldNotLive,
    HoldPending,
    HoldsNotOffered,
    HoldState,
    Quote,
    Seat,
    TooManyHolds,
    Traveler,
    UnknownTraveler,
    next_hold_state,
    travelers_max,
)
from groupbook.offers.holding import Holding, HoldMove, HoldTerms, earn, has_room, load, remembered_seconds
from groupbook.offers.models import HoldRow
from groupbook.offers.ports import MerchantRefused, PricedTraveler
from groupbook.offers.service.catalog import read_offer
from groupbook.offers.service.quotes import read_quote

PLACE: Final = "offers.place_hold"
EXTEND: Final = "offers.extend_hold"
RELEASE: Final = "offers.release_hold"
AT_EXPIRY: Final = "at_expiry"  # in the payload of a release that is owed in advance, for when the time is over
overdue_batch_max: Final = 200


def place_hold(
    session: Session,
    reference: UUID,
    quote_id: UUID,
    travelers: Sequence[Traveler],
    now: datetime,
    *,
    hold_seconds: int | None = None,
    by: UUID | None = None,
) -> Hold:
    """Owe the merchant a request to keep adjacent places for this party. A step.

    The answer arrives as a fact: hold.placed or hold.refused. There is one open hold per reference: asking again
    returns it, whatever the quote, because places are kept for the booking and its price may still move.

    Args:
        hold_seconds: how long to ask for; capped by what the merchant grants at first, which is also the default.
        by: the person or guest who asks, against whom the merchant's cap counts.
    Raises:
        TooManyHolds: this organizer, or this offer, has too many holds that nobody has paid for.
        HoldsNotOffered, QuoteExpired, OfferNotBookable, UnknownTraveler
    """
    for row in repository.lock_open_holds(session, reference):
        if row.state != HoldState.RELEASING.value:
            return repository.hold_of_row(row)
    capabilities = merchants.read_merchant(session).capabilities
    if not capabilities.holds:
        raise HoldsNotOffered()
    quote = read_quote(session, quote_id)
    quote.require_valid(now)
    check_travelers(quote, travelers)
    seconds = min(hold_seconds or capabilities.hold_seconds_max, HoldTerms.of(capabilities).seconds_first)
    _require_room(session, capabilities, quote, by, now)
    return _ask(session, reference, quote, travelers, now, seconds=seconds, by=by, settled=0, capabilities=capabilities)


def extend_hold(session: Session, reference: UUID, now: datetime, *, seconds: int) -> Hold:
    """Owe the merchant a request to keep the places `seconds` longer than it has agreed to. A step.

    The answer arrives as a fact: hold.extended or hold.extend_refused; a refusal leaves the old end. One request at a
    time: while one is out, and beyond the merchant's cap, nothing is owed.

    Raises:
        HoldNotLive: the merchant keeps no places for this reference now.
        HoldPending: whether it does is not known yet.
    """
    row = repository.lock_latest_hold(session, reference)
    if row is not None and row.state == HoldState.PLACING.value:
        raise HoldPending(hold=to_wire("hld", row.id))
    if row is None or not _is_kept(row, now) or row.placed_at is None or row.expires_at is None:
        raise HoldNotLive()
    if row.state == HoldState.EXTENDING.value:
        return repository.hold_of_row(row)
    terms = HoldTerms.of(merchants.read_merchant(session).capabilities)
    until = min(row.expires_at + timedelta(seconds=seconds), row.placed_at + timedelta(seconds=terms.seconds_max))
    if until > row.expires_at:
        _extend(session, row, until, now)
    return repository.hold_of_row(row)


def earn_time(session: Session, reference: UUID, *, settled: int, of: int, now: datetime) -> Hold | None:
    """`settled` of `of` portions are authorized or waived: give the hold the time they earn. A step.

    Extends a live hold when more time is due, and asks for the places again when the hold had lapsed and somebody has
    authorized since: a new hold, which is then the latest one. Telling the same figures twice changes nothing.

    Returns:
        The latest hold, or None when there never was one.
    """
    terms = HoldTerms.of(merchants.read_merchant(session).capabilities)
    row = repository.lock_latest_hold(session, reference)
    if row is None:
        return None
    if is_over(row, now):
        _lapse(session, row, now)
    holding = _holding(row)
    if holding is not None:
        earned = earn(terms, holding, settled=settled, of=of, now=now)
        if earned.move is HoldMove.PLACE_AGAIN and read_offer(
            session, read_quote(session, row.quote_id).offer_id
        ).is_bookable(now):
            return _place_again(session, row, settled, now)
        if earned.move is HoldMove.EXTEND and earned.until is not None and row.state == HoldState.LIVE.value:
            _extend(session, row, earned.until, now)
    if terms.earns and settled > row.settled:
        row.settled = settled
        session.flush()
    return repository.hold_of_row(row)


def hold_again(session: Session, reference: UUID, now: datetime) -> Hold:
    """The places lapsed and are wanted after all: ask for them anew. A step; while they are kept or asked for, nothing.

    Raises:
        HoldNotLive: this reference never had places, was refused them, or has had its order.
    """
    row = repository.lock_latest_hold(session, reference)
    if row is None or HoldState(row.state) in (HoldState.REFUSED, HoldState.CONSUMED):
        raise HoldNotLive()
    if is_over(row, now):
        _lapse(session, row, now)
    if HoldState(row.state) in (HoldState.EXPIRED, HoldState.RELEASED):
        return _place_again(session, row, row.settled, now)
    return repository.hold_of_row(row)


def hold_terms(session: Session) -> HoldTerms:
    """How long this merchant keeps places, and whether they earn time. A step."""
    return HoldTerms.of(merchants.read_merchant(session).capabilities)


def release_hold(session: Session, reference: UUID, now: datetime) -> bool:
    """Owe the merchant a release of every open hold of this reference; False when there is none. A step.

    A hold whose request is still unanswered is released too: the merchant keeps the release as a tombstone. Each one
    ends as the fact hold.released, even when the places had expired meanwhile.
    """
    rows = repository.lock_open_holds(session, reference)
    for row in rows:
        move(row, HoldEvent.RELEASE_SENT, now)
        intents.owe(session, RELEASE, row.id, once=row.id.hex, reference=row.reference)
    session.flush()
    return bool(rows)


def expire_holds(session: Session, now: datetime) -> int:
    """Note that holds are past their time, except those an order is consuming, and owe their release: what the merchant
    extended behind our back must end, too. A step, run by a sweep behind the release that is owed for each expiry.
    """
    rows = repository.lock_overdue_holds(session, now, overdue_batch_max)
    for row in rows:
        _lapse(session, row, now)
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


def hold_of(session: Session, reference: UUID, *, lock: bool = False) -> Hold | None:
    """The latest hold of this reference; with `lock`, nobody else changes it until the transaction ends. A step."""
    row = (repository.lock_latest_hold if lock else repository.latest_hold)(session, reference)
    return repository.hold_of_row(row) if row else None


# --- what the handlers and the orders share ---------------------------------------------------------------------------


def hold_to_consume(session: Session, reference: UUID, now: datetime, *, needs_hold: bool) -> HoldRow | None:
    """The hold an order takes its places from; None where it `needs_hold` not. A step of `orders`.

    What counts is what the booking began with: a merchant may have given holds up since, or begun to offer them.

    Raises:
        HoldNotLive: no places are kept.
        HoldPending: whether they are is not known yet.
    """
    row = repository.lock_latest_hold(session, reference)  # behind one that is open, none is asked for
    if row is not None and _is_kept(row, now):
        return row
    if row is not None and row.state == HoldState.PLACING.value:
        raise HoldPending(hold=to_wire("hld", row.id))
    if needs_hold:
        raise HoldNotLive()
    return None


def consume_hold(session: Session, hold_id: UUID, seats: Sequence[Seat], now: datetime) -> None:
    """The order took the hold's places. A step of `orders`."""
    row = repository.lock_hold(session, hold_id)
    if row is None:
        raise InvariantBroken(what="the order's hold is gone", hold=str(hold_id))
    move(row, HoldEvent.CONSUMED, now)
    row.seats = repository.dump_seats(seats) or row.seats
    session.flush()


def expire(session: Session, row: HoldRow, now: datetime) -> None:
    move(row, HoldEvent.EXPIRED, now)
    tell(session, row, "hold.expired")


def _lapse(session: Session, row: HoldRow, now: datetime) -> None:
    """Its time is over: say so, and owe its release, because the merchant may have extended it behind our back."""
    expire(session, row, now)
    intents.owe(session, RELEASE, row.id, once=f"{row.id.hex}:expired", reference=row.reference)


def is_over(row: HoldRow, now: datetime) -> bool:
    """Whether a kept hold's time is over. One being extended has the time that was asked for until the answer is in."""
    if row.state == HoldState.EXTENDING.value:
        return row.asked_until is not None and row.asked_until <= now
    return row.state == HoldState.LIVE.value and row.expires_at is not None and row.expires_at <= now


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


def move(row: HoldRow, event: HoldEvent, now: datetime) -> None:
    row.state = next_hold_state(HoldState(row.state), event).value
    row.updated_at = now


def tell(session: Session, row: HoldRow, name: str, **more: Any) -> None:
    facts.record(session, name, subject=row.id, payload={"reference": row.reference.hex, "hold": row.id.hex, **more})


# --- inside -----------------------------------------------------------------------------------------------------------


def _ask(
    session: Session,
    reference: UUID,
    quote: Quote,
    travelers: Sequence[Traveler],
    now: datetime,
    *,
    seconds: int,
    by: UUID | None,
    settled: int,
    capabilities: Capabilities,
) -> Hold:
    read_offer(session, quote.offer_id).require_bookable(now)
    row = repository.add_hold(
        session,
        quote,
        reference,
        next_hold_state(HoldState.NONE, HoldEvent.PLACE_SENT),
        travelers,
        hold_seconds=seconds,
        placed_by=by,
        settled=settled,
        fee_minor=capabilities.hold_fee_minor,
        now=now,
    )
    intents.owe(session, PLACE, row.id, reference=row.reference)
    return repository.hold_of_row(row)


def _place_again(session: Session, row: HoldRow, settled: int, now: datetime) -> Hold:
    """The hold had lapsed and the group shows life: the same places for the same party, for as long as a first hold."""
    capabilities = merchants.read_merchant(session).capabilities
    return _ask(
        session,
        row.reference,
        read_quote(session, row.quote_id),
        repository.load_travelers(row.travelers),
        now,
        seconds=HoldTerms.of(capabilities).seconds_first,
        by=row.placed_by,
        settled=settled,
        capabilities=capabilities,
    )


def _extend(session: Session, row: HoldRow, until: datetime, now: datetime) -> None:
    move(row, HoldEvent.EXTEND_SENT, now)
    row.asked_until = until
    session.flush()
    intents.owe(session, EXTEND, row.id, once=f"{row.id.hex}:{until.isoformat()}", reference=row.reference)


def _is_kept(row: HoldRow, now: datetime) -> bool:
    return HoldState(row.state) in HOLD_KEPT and not is_over(row, now)


def _holding(row: HoldRow) -> Holding | None:
    """What the earning rule sees; None while the merchant has not answered, and once the hold served or was refused."""
    is_lapsed = row.state == HoldState.EXPIRED.value
    if not is_lapsed and HoldState(row.state) not in HOLD_KEPT:
        return None
    if row.expires_at is None:
        return None
    return Holding(
        placed_at=row.placed_at or row.created_at,
        expires_at=row.expires_at,
        settled_at_placing=row.settled_at_placing,
        settled_seen=row.settled,
        asked_until=row.asked_until,
        is_lapsed=is_lapsed,
    )


def _require_room(session: Session, capabilities: Capabilities, quote: Quote, by: UUID | None, now: datetime) -> None:
    """Raises TooManyHolds."""
    caps = {"offer": capabilities.holds_per_offer_max, "organizer": capabilities.holds_per_organizer_max}
    if caps["offer"] is None and (caps["organizer"] is None or by is None):
        return
    memory = capabilities.hold_memory_seconds
    since = now - timedelta(seconds=remembered_seconds(memory))
    with together(session) as ask:
        ask(repository.lock_caps, session, quote.offer_id, by)
        unpaid = ask(repository.unpaid_holds, session, offer_id=quote.offer_id, placed_by=by, since=since)
    rows = unpaid()
    counted = {
        "offer": [row for row in rows if row.offer_id == quote.offer_id],
        "organizer": [row for row in rows if by is not None and row.placed_by == by],
    }
    for scope, holds_max in caps.items():
        ended = [row for row in counted[scope] if row.state in (HoldState.EXPIRED.value, HoldState.RELEASED.value)]
        ages = [int((now - row.updated_at).total_seconds()) for row in ended]
        used = load(len(counted[scope]) - len(ended), ages, memory_seconds=memory)
        if not has_room(used, holds_max):
            raise TooManyHolds(scope=scope, holds_max=holds_max, seconds=memory)
