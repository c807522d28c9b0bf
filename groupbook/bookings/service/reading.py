"""What each caller may see of a booking (P6): own lines, the group's total, the others' state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import offers, payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    COLLECTING,
    STOOD,
    AmendmentStage,
    BookingNotFound,
    BookingState,
    BookingView,
    ChangeView,
    PayRequestView,
    Policy,
    PortionKind,
    PortionLine,
    SplitView,
    TicketView,
)
from groupbook.bookings.models import BookingRow, PayRequestRow
from groupbook.bookings.service import party
from groupbook.bookings.service.splitting import amounts_of
from groupbook.kit import clock, paging
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import (
    AmendmentId,
    BookingId,
    ContributionId,
    MemberId,
    OfferId,
    PayRequestId,
    PortionId,
    QuoteId,
    SplitId,
    TripId,
)
from groupbook.kit.money import Money
from groupbook.offers.domain import PersonPrice, Quote, seats_are_together
from groupbook.payments.domain import PortionView
from groupbook.trips.domain import Member, Role, sight_of


def read_booking(database: Database, caller: Caller, booking_id: BookingId) -> BookingView:
    """A use case.

    Raises:
        BookingNotFound: no such booking for this caller.
    """
    with database.begin(caller.merchant_id) as session:
        return view(session, repository.read(session, booking_id), caller)


def booking_of_trip(database: Database, caller: Caller, trip_id: TripId) -> BookingView | None:
    """The trip's latest booking, whatever became of it. A use case."""
    with database.begin(caller.merchant_id) as session:
        row = repository.latest_of_trip(session, trip_id)
        return None if row is None else view(session, row, caller)


def trip_of_booking(session: Session, booking_id: BookingId) -> TripId:
    """The trip whose party this booking is for. A step.

    Raises:
        BookingNotFound
    """
    return TripId(repository.read(session, booking_id).trip_id)


def titles(session: Session, booking_ids: Iterable[BookingId]) -> dict[BookingId, str]:
    """What the trip of each booking is called; one that is not this merchant's is left out. A step."""
    trip_of = {id: TripId(trip_id) for id, trip_id in repository.trips_of(session, booking_ids).items()}
    called = trips.titles(session, trip_of.values())
    return {BookingId(id): called[trip_id] for id, trip_id in trip_of.items()}


def list_bookings(
    database: Database, caller: Caller, *, cursor: str | None = None, limit: int = paging.LIMIT_DEFAULT
) -> paging.Slice[BookingView]:
    """The merchant's bookings, newest first. A use case."""
    with database.begin(caller.merchant_id) as session:
        rows = repository.page(session, after=paging.decode_cursor(cursor), limit=limit + 1)
        found = paging.page(rows, [row.id for row in rows], limit)
        return paging.Slice([view(session, row, caller) for row in found.rows], found.next_cursor)


def travelers(session: Session, found: Iterable[BookingView]) -> dict[BookingId, frozenset[MemberId]]:
    """Who travels by each of these bookings, as the merchant sees them: the party that was priced, with every change
    that was made since. Who only pays does not; whoever a booking was for that came to nothing still counts. A step.
    """
    going = {one.id: {line.traveler for line in one.portions if line.price is not None} for one in found}
    for change in repository.made_changes(session, going):
        party_now = going[BookingId(change.booking_id)]
        party_now.discard(MemberId(change.member_id))
        if change.by_member_id is not None:
            party_now.add(MemberId(change.by_member_id))
    return {id: frozenset(party_now) for id, party_now in going.items()}


def read_tickets(database: Database, caller: Caller, booking_id: BookingId) -> list[TicketView]:
    """The caller's own ticket; the merchant's staff see all of them. A use case.

    Raises:
        BookingNotFound: no such booking for this caller.
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.read(session, booking_id)
        me = viewer(session, row, caller)
        issued = repository.tickets(session, row.id)
        return [ticket for ticket in issued if me is None or ticket.member_id == me.id]


def viewer(session: Session, row: BookingRow, caller: Caller) -> Member | None:
    """The member who looks; None for the merchant.

    Raises:
        BookingNotFound: a stranger, or a member of another trip.
    """
    if caller.kind in ("merchant", "staff"):
        return None
    member = trips.member_of(session, TripId(row.trip_id), caller) if caller.is_traveler else None
    if member is None:
        raise BookingNotFound()
    return member


def view(session: Session, row: BookingRow, caller: Caller) -> BookingView:
    """The booking through this caller's eyes. Who only waits or gives reads what is their own, and the total."""
    me = viewer(session, row, caller)
    watches = me is not None and me.role is Role.VIEWER
    quote = offers.read_quote(session, row.quote_id)
    hold = offers.hold_of(session, row.id)
    order = offers.order_of(session, row.id)
    requests = repository.open_requests(session, row.id)
    portions = _without_past(session, payments.portions_of(session, row.id))
    policy, parts = Policy(**row.policy), party.parts_of(session, row)
    extra = parts.extra
    names = names_for(session, TripId(row.trip_id), me, portions, requests)
    seats = () if watches else order.seats if order and order.seats else hold.seats if hold else ()
    lines = _lines(row, quote, [one for one in portions if one.traveler not in extra], me, requests, names)
    extras = _extras(row, parts, portions, me, names)
    return BookingView(
        id=BookingId(row.id),
        trip_id=TripId(row.trip_id),
        offer_id=OfferId(row.offer_id),
        quote_id=QuoteId(row.quote_id),
        state=BookingState(row.state),
        total=Money(row.total, row.currency),
        portions=tuple(one for one in lines if not watches or (me is not None and one.payer == me.id)),
        created_at=row.created_at,
        deadline_at=_deadline(session, row),
        finished_at=row.finished_at,
        reason=row.reason,
        hold_expires_at=hold.expires_at if hold else None,
        merchant_ref=order.merchant_ref if order else None,
        seats=seats,
        seats_are_together=bool(seats) and seats_are_together(seats),
        is_proven=quote.is_proven,
        bound=quote.bound,
        asks=tuple(
            PayRequestView(
                id=PayRequestId(request.id),
                portion_id=PortionId(request.portion_id),
                asked_by=MemberId(request.asked_by),
                asked_of=MemberId(request.asked_of),
                state=request.state,
            )
            for request in requests
            if me is None or me.id in (request.asked_by, request.asked_of)
        ),
        me=me.id if me else None,
        is_organizer=me is not None and me.role is Role.ORGANIZER,
        payer_quorum=policy.payer_quorum,
        authorize_at=row.authorize_at,
        lost_discount=policy.lost_discount,
        extras=tuple(one for one in extras if not watches or (me is not None and one.payer == me.id)),
        splits=_splits(row, parts, me),
        settles_by=row.confirm_by if row.state == BookingState.CONFIRMING.value else row.budget_at,
        changes=_changes(session, row, portions, me, names),
        traveling=frozenset() if watches else _traveling(session, row),
    )


def _deadline(session: Session, row: BookingRow) -> datetime | None:
    """Until when whoever is asked for money now has time."""
    if row.state == BookingState.RECOVERING.value:
        return row.budget_at
    change = repository.open_amendment(session, row.id) if row.state == BookingState.AMENDING.value else None
    if change is None:
        return row.deadline_at
    return row.budget_at if change.stage == AmendmentStage.SETTLING.value else change.pay_by


def _without_past(session: Session, portions: list[PortionView]) -> list[PortionView]:
    """`authorizes_at` is told while it is to come: from then on a page authorizes at once."""
    if all(portion.authorizes_at is None for portion in portions):
        return portions
    now = clock.now(session)
    return [
        replace(one, authorizes_at=None) if one.authorizes_at is not None and one.authorizes_at <= now else one
        for one in portions
    ]


def names_for(
    session: Session,
    trip_id: TripId,
    me: Member | None,
    portions: Iterable[PortionView],
    requests: Iterable[PayRequestRow],
) -> dict[UUID, str]:
    """The names this caller may read. Where the organizer keeps them private: one's own, of whom one pays for, of who
    pays for one, and of who asks one to.
    """
    names: dict[UUID, str] = {member.id: member.name for member in trips.members(session, trip_id)}
    if me is None:
        return names
    sight = sight_of(trips.trip_of(session, trip_id).privacy, me.role)
    if sight is not None and sight.member_ids:
        return names
    near = {me.id} | {request.asked_by for request in requests if request.asked_of == me.id}
    for portion in portions:
        if me.id in (portion.traveler, portion.payer):
            near |= {portion.traveler, portion.payer}
    return {member_id: name for member_id, name in names.items() if member_id in near}


def _extras(
    row: BookingRow, parts: party.Parts, portions: Iterable[PortionView], me: Member | None, names: dict[UUID, str]
) -> tuple[PortionLine, ...]:
    """What is given and borne. A sponsor's amount is everybody's to read, since it lowers everybody's portion; the rest
    only the payer's, and of whom it is for.
    """
    by_traveler = {portion.traveler: portion for portion in portions if not portion.is_dropped}
    is_open = row.state in COLLECTING
    found = []
    for gift in parts.gifts:
        portion = by_traveler.get(gift.id)
        if portion is not None:
            whom = gift.for_member_id or gift.by_member_id
            kind: PortionKind = "sponsor" if gift.for_member_id is None else "part"
            line = _line(whom, None, portion, me, set(), names, is_open=is_open)
            is_told = kind == "sponsor" or line.amount is not None
            amount = portion.amount if is_told else None
            found.append(
                replace(line, kind=kind, amount=amount, is_mine=False, contribution_id=ContributionId(gift.id))
            )
    for one in parts.departures:
        portion = by_traveler.get(one.member_id)
        if portion is not None:
            line = _line(one.member_id, None, portion, me, set(), names, is_open=is_open)
            found.append(replace(line, kind="lost_discount"))
    return tuple(found)


def _traveling(session: Session, row: BookingRow) -> frozenset[MemberId]:
    if BookingState(row.state) not in STOOD:
        return frozenset()
    return frozenset(ticket.member_id for ticket in repository.tickets(session, row.id))


def _changes(
    session: Session, row: BookingRow, portions: Iterable[PortionView], me: Member | None, names: dict[UUID, str]
) -> tuple[ChangeView, ...]:
    """Those that concern this caller; the merchant sees all. Before the booking stands there are none."""
    if BookingState(row.state) not in STOOD:
        return ()
    payers = {portion.id.hex: portion.payer for portion in portions}
    paid_by_me = {portion.traveler for portion in portions if me is not None and portion.payer == me.id}
    found = []
    for one in repository.amendments_of(session, row.id):
        is_mine = me is not None and me.id == one.member_id
        near = me is None or is_mine or me.id == one.by_member_id or one.member_id in paid_by_me
        mine = [share for id, share in (one.returned or {}).items() if me is None or is_mine or payers.get(id) == me.id]
        if near or mine or me is None or me.role is Role.ORGANIZER:
            found.append(
                ChangeView(
                    id=AmendmentId(one.id),
                    kind=one.kind,  # type: ignore[arg-type]  # the table's check knows the three
                    member_id=MemberId(one.member_id),
                    name=names.get(one.member_id, ""),
                    by=MemberId(one.by_member_id) if one.by_member_id is not None else None,
                    by_name=names.get(one.by_member_id, "") if one.by_member_id is not None else "",
                    stage=AmendmentStage(one.stage),
                    reason=one.reason,
                    back=Money(sum(mine), row.currency) if mine or is_mine or me is None else None,
                    asked_at=one.asked_at,
                    pay_by=one.pay_by,
                    finished_at=one.finished_at,
                    can_withdraw=one.stage == AmendmentStage.COLLECTING.value
                    and (me is None or (one.kind == "replace" and (near or me.role is Role.ORGANIZER))),
                )
            )
    return tuple(found)


def _splits(row: BookingRow, parts: party.Parts, me: Member | None) -> tuple[SplitView, ...]:
    """Those that concern this caller; the merchant sees all. The proposer is told an amount when the others agreed."""
    found = []
    for split in parts.splits:
        agreed = frozenset(MemberId(UUID(hex=member)) for member in split.agreed)
        shares = {MemberId(UUID(hex=member)): number for member, number in split.parts.items()}
        if me is not None and me.id not in shares:
            continue
        others = set(shares) - {MemberId(split.by_member_id)}
        is_turn = me is not None and me.id not in agreed and (me.id != split.by_member_id or others <= agreed)
        amounts = amounts_of(split, row.currency)
        found.append(
            SplitView(
                id=SplitId(split.id),
                by=MemberId(split.by_member_id),
                parts=shares,
                agreed=agreed,
                state=split.state,
                mine=amounts[me.id] if me is not None and (is_turn or me.id in agreed) else None,
                is_my_turn=is_turn and split.state == "asked",
            )
        )
    return tuple(found)


def _lines(
    row: BookingRow,
    quote: Quote,
    portions: Iterable[PortionView],
    me: Member | None,
    requests: list[PayRequestRow],
    names: dict[UUID, str],
) -> tuple[PortionLine, ...]:
    """One line per traveler, in the party's order, then whoever came in later; before the portions are asked for, one
    per quoted person. Who left before the freeze has none.
    """
    asked = {request.portion_id for request in requests if me is not None and request.asked_of == me.id}
    by_traveler = {portion.traveler: portion for portion in portions if not portion.is_dropped}
    quoted = [person.member_id for person in quote.people]
    later = [traveler for traveler in by_traveler if traveler not in quoted]
    is_open = row.state in COLLECTING
    prices = {person.member_id: person for person in quote.people}
    return tuple(
        _line(traveler, prices.get(traveler), by_traveler.get(traveler), me, asked, names, is_open=is_open)
        for traveler in (*quoted, *later)
    )


def _line(
    traveler: UUID,
    price: PersonPrice | None,
    portion: PortionView | None,
    me: Member | None,
    asked: set[UUID],
    names: dict[UUID, str],
    *,
    is_open: bool,
) -> PortionLine:
    payer = portion.payer if portion else traveler
    is_mine = me is not None and me.id == traveler
    is_payer = me is not None and me.id == payer
    sees_amount = me is None or is_mine or is_payer or (portion is not None and portion.id in asked)
    told = price if price is None or me is None else price.told() if is_mine else None
    owed = portion.amount if portion else price.pay if price else None
    return PortionLine(
        portion_id=portion.id if portion else None,
        traveler=MemberId(traveler),
        name=names.get(traveler, ""),
        payer=MemberId(payer),
        payer_name=names.get(payer, ""),
        state=portion.state if portion else payments.PortionState.OPEN,
        is_mine=is_mine,
        is_payable_by_me=is_open and is_payer and portion is not None and portion.is_payable,
        amount=owed if sees_amount else None,
        price=told,
        attempt_id=portion.attempt_id if portion and is_payer else None,
        decline_reason=portion.decline_reason if portion and is_payer else None,
        card=f"{portion.card.brand} {portion.card.last4}" if portion and portion.card and is_payer else None,
        cap=portion.cap if portion and sees_amount else None,
        captured=portion.captured if portion and sees_amount else None,
        refunded=portion.refunded if portion and sees_amount else None,
        authorizes_at=portion.authorizes_at if portion else None,
        is_asked_again=portion is not None and portion.is_asked_again,
        refund_failed=portion is not None and portion.refund_failed and is_payer,
    )
