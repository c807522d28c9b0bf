"""The saga's one motor: read the truth under the booking's lock, take the steps it asks for, in one transaction.

Every listener, every sweep and every use case that could move a booking ends here. Nothing is decided from the content
of a message; so a message that is lost, doubled, late or out of order changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import AmendmentStage, BookingState, Policy
from groupbook.bookings.machine import BUDGETED, BookingEvent, step
from groupbook.bookings.models import BookingRow
from groupbook.bookings.news import HOLD_LAPSED, AmendmentTruth, PortionTruth, Snapshot, must_ask_anew, news, next_look
from groupbook.bookings.service import party as parties
from groupbook.bookings.service.effects import NOT_PRICEABLE, make_effects
from groupbook.bookings.service.telling import announce, park
from groupbook.kit import clock
from groupbook.kit.database import together
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import AmendmentId, PortionId, TripId
from groupbook.offers.domain import Hold, HoldState, RecheckState
from groupbook.payments.domain import SETTLED, LikePortions

steps_per_run_max: Final = 16
_FAILING: Final = frozenset({BookingState.VOIDING, BookingState.UNWINDING, BookingState.ABORTED})
# A collecting booking that is given up, or that a person must look at: who gives and who does not changes nothing.
_GIVEN_UP: Final = frozenset({BookingEvent.BROKEN, BookingEvent.CANCEL_ASKED, BookingEvent.HOLD_LOST})
# Nobody needs to hear of these: the state is what it was.
_QUIET: Final = frozenset({BookingEvent.LOOKED_EARLY, BookingEvent.AUTHORIZATIONS_DUE, BookingEvent.SHORTFALL_ACCEPTED})
# Where a change of the party may be under way; while the order is being taken back, it waits.
_CHANGED_IN: Final = frozenset(
    state.value for state in (BookingState.BOOKED, BookingState.AMENDING, BookingState.UNWINDING)
)


def progress(session: Session, booking_id: UUID) -> Snapshot:
    """Bring the booking as far as the truth allows, and say what that was. A step; doing it twice is doing it once."""
    row = repository.lock(session, booking_id)
    now = clock.now(session)
    if row.has_parts and row.state == BookingState.OPEN.value:
        parties.let_leavers_go(session, row, now)
    for _ in range(steps_per_run_max):
        seen = snapshot(session, row, now)
        if must_ask_anew(BookingState(row.state), seen):
            payments.ask_anew(session, row.id, lasting=now + seen.settle_margin, now=now)
            seen = snapshot(session, row, now)
        event = news(BookingState(row.state), seen)
        if _collects_gifts(row, event) and _let_givers_go(session, row, now):
            continue
        if event is None:
            if row.look_at is not None:  # else the sweep looks at once
                row.look_at = min(row.look_at, next_look(seen))
            return seen
        apply(session, row, event, now)
    raise InvariantBroken(what="a booking that never rests", booking=str(booking_id), state=row.state)


def look_through(session: Session, booking_id: UUID) -> None:
    """`progress` for the sweep, which then comes back when the next moment is there. A step."""
    at = next_look(progress(session, booking_id))
    repository.lock(session, booking_id).look_at = at


def _collects_gifts(row: BookingRow, event: BookingEvent | None) -> bool:
    return row.has_parts and row.state == BookingState.OPEN.value and event not in _GIVEN_UP


def _let_givers_go(session: Session, row: BookingRow, now: datetime) -> bool:
    """Whoever has left the trip gives no more, whatever that does to the rest (P4). Answers whether somebody has.

    The trip stays locked, so that nobody goes between this look and the step that is taken on it: a leave that was
    answered before the freeze counts, whether or not its news has come. Where the others cannot be asked for the rest,
    it is given up.
    """
    gifts = parties.parts_of(session, row).gifts
    if not gifts:
        return False
    trips.trip_of(session, TripId(row.trip_id), lock=True)
    present = {one.id for one in trips.members(session, TripId(row.trip_id))}
    ended = [gift for gift in gifts if gift.by_member_id not in present]
    if not ended:
        return False
    for gift in ended:
        gift.ended_at = now
    try:
        parties.share_anew(session, row, "contribution_withdrawn", now)
    except NOT_PRICEABLE:
        row.cancel_asked_at, row.reason = row.cancel_asked_at or now, "price_changed"
        session.flush()
    return True


def snapshot(session: Session, row: BookingRow, now: datetime) -> Snapshot:
    """The truth of the rooms below, as one value."""
    policy = Policy(**row.policy)
    with together(session) as ask:
        held = ask(offers.hold_of, session, row.id, lock=True) if row.hold_id else None
        ordered = ask(offers.order_of, session, row.id, lock=True) if row.order_id else None
        tally = ask(payments.tally, session, row.id, lasting=now + policy.settle_margin, seen_since=row.frozen_at)
        rechecked = ask(_recheck, session, row)
        changed = ask(_amendment, session, row)
    hold, order = held() if held is not None else None, ordered() if ordered is not None else None
    portions = tally()
    party = [portion for portion in portions if not portion.is_dropped]
    is_collecting = row.state == BookingState.OPEN.value
    # Whether places earn time counts while the booking collects, and where they are not kept now.
    asks = hold is not None and (is_collecting or _hold_state(hold, now) in HOLD_LAPSED)
    earns = asks and offers.hold_terms(session).earns
    if is_collecting and hold is not None:
        hold = _follow_hold(session, row, policy, party, now, earns=earns)
    return Snapshot(
        now=now,
        needs_hold=row.hold_id is not None,
        hold=_hold_state(hold, now),
        order=order.state if order else None,
        portions=tuple(_truth(portion) for portion in party),
        dropped=tuple(_truth(portion) for portion in portions if portion.is_dropped),
        has_tickets=order is not None and bool(order.tickets),
        deadline_at=row.deadline_at,
        has_looked=row.frozen_at is not None and not any(portion.is_unread for portion in party),
        recheck=rechecked(),
        confirm_by=row.confirm_by,
        budget_at=row.budget_at,
        cancel_asked=row.cancel_asked_at is not None,
        amendment=changed(),
        authorize_at=row.authorize_at,
        payer_quorum=policy.payer_quorum,
        extra_settled=parties.extra_settled(session, row, now) if policy.payer_quorum is not None else 0,
        has_shrunk=row.shrunk_at is not None,
        was_booked=row.finished_at is not None,
        hold_earns=earns,
        may_extend=policy.extension_seconds > 0 and row.extended_at is None,
        covers_shortfall=policy.shortfall == "receivable",
        settle_margin=policy.settle_margin,
        patience=timedelta(seconds=policy.settle_budget_seconds),
    )


def _hold_state(hold: Hold | None, now: datetime) -> HoldState | None:
    """Places whose time is over are gone, whether or not somebody has written that down yet."""
    if hold is None:
        return None
    is_over = hold.state is HoldState.LIVE and hold.expires_at is not None and hold.expires_at <= now
    return HoldState.EXPIRED if is_over else hold.state


def _truth(portion: LikePortions) -> PortionTruth:
    return PortionTruth(
        portion.state, portion.capture_before, portion.refund_failed, portion.dispute, count=portion.count
    )


def _recheck(session: Session, row: BookingRow) -> RecheckState | None:
    """The merchant's word since the freeze; one from before it is no word."""
    if row.hold_id is not None or row.state != BookingState.FREEZING.value or row.frozen_at is None:
        return None
    found = offers.recheck_of(session, row.id)
    return found.state if found is not None and found.at >= row.frozen_at else None


def _amendment(session: Session, row: BookingRow) -> AmendmentTruth | None:
    if row.state not in _CHANGED_IN:
        return None
    change = repository.open_amendment(session, row.id)
    if change is None:
        return None
    answer = offers.amendment_of(session, AmendmentId(change.id))
    incoming = payments.portion_view(session, PortionId(change.portion_id)) if change.portion_id else None
    return AmendmentTruth(
        stage=AmendmentStage(change.stage),
        incoming=incoming.state if incoming else None,
        capture_before=incoming.capture_before if incoming else None,
        is_asked_again=incoming is not None and incoming.is_asked_again,
        is_amended=answer.is_amended if answer is not None else None,
        pay_by=change.pay_by,
    )


def _follow_hold(
    session: Session, row: BookingRow, policy: Policy, party: list[LikePortions], now: datetime, *, earns: bool
) -> Hold | None:
    """A hold earns time as portions are authorized. One that does not bounds the deadline by its end; one that does
    may lapse and be asked for again, so the window alone counts.
    """
    settled = sum(portion.count for portion in party if portion.state in SETTLED)
    hold = offers.earn_time(session, row.id, settled=settled, of=sum(portion.count for portion in party), now=now)
    if row.opened_at is not None and row.extended_at is None:
        row.deadline_at = policy.deadline(row.opened_at, hold.expires_at if hold and not earns else None)
    return hold


def apply(session: Session, row: BookingRow, event: BookingEvent, now: datetime) -> None:
    """Take one step of the machine and make its effects, in this transaction."""
    before = BookingState(row.state)
    target, effects = step(before, event)
    if target is BookingState.PARKED:
        park(session, row, event.value, now)
        if event is BookingEvent.ORDER_STANDS:
            # The order cannot be undone, so what is left to mend is the change that was under way, or who has not paid:
            # resumed, the change goes on, or they are asked again.
            change = repository.open_amendment(session, row.id)
            is_changing = change is not None and change.stage != AmendmentStage.ASKED.value
            row.resume_state = (BookingState.AMENDING if is_changing else BookingState.RECOVERING).value
            row.cancel_asked_at = None
        make_effects(session, row, effects, now)
        return
    repository.add_step(session, row, event, target, now)
    row.state = target.value
    row.version += 1
    if target is not before:
        _set_times(row, target, now)
    if target in _FAILING and row.reason is None:
        row.reason = _cause(session, row, event)
    session.flush()
    make_effects(session, row, effects, now)
    if event not in _QUIET:
        announce(session, row, event.value, now)


def _set_times(row: BookingRow, target: BookingState, now: datetime) -> None:
    policy = Policy(**row.policy)
    row.look_at = None
    row.budget_at = now + timedelta(seconds=policy.settle_budget_seconds) if target in BUDGETED else None
    if target is BookingState.FREEZING:
        row.frozen_at = now
        row.budget_at = now + timedelta(seconds=policy.confirm_budget_seconds)
    elif target is BookingState.CONFIRMING:
        row.confirm_by = now + timedelta(seconds=policy.confirm_budget_seconds)
    elif target is BookingState.RECOVERING:
        row.budget_at = now + timedelta(seconds=policy.recovery_budget_seconds)
    elif target is BookingState.AMENDING:
        row.budget_at = now + timedelta(seconds=policy.amendment_window_seconds + policy.settle_budget_seconds)
    elif target is BookingState.BOOKED:
        row.finished_at = row.finished_at or now
        row.cancel_asked_at = None  # a merchant that will not take the order back has answered the wish
    elif target in (BookingState.ABORTED, BookingState.REFUNDED):
        row.finished_at = now


def _cause(session: Session, row: BookingRow, event: BookingEvent) -> str:
    """Why it failed, as a code: the merchant's own reason where it gave one (`offers.ports.REFUSALS`)."""
    if event is BookingEvent.HOLD_REFUSED:
        hold = offers.hold_of(session, row.id)
        return (hold.reason if hold else None) or event.value
    if event is BookingEvent.ORDER_REJECTED:
        order = offers.order_of(session, row.id)
        return (order.reason if order else None) or event.value
    return event.value
