"""Paying for each other while the booking is open: ask somebody, take a portion over, take the request back."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import payments, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import (
    COLLECTING,
    BookingClosed,
    BookingState,
    NotPayableNow,
    NotYourBooking,
    PayRequestNotFound,
    Policy,
    PortionGone,
)
from groupbook.bookings.models import BookingRow
from groupbook.bookings.service import party
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, together
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import BookingId, MemberId, MerchantId, PayRequestId, PortionId, TripId, to_wire
from groupbook.kit.runner import Runner
from groupbook.kit.sealing import Sealer
from groupbook.payments import OwnPage, PageFacts, PaymentPage, PaymentPageGone, Providers
from groupbook.payments.domain import PortionNotFound, PortionView
from groupbook.trips.domain import Member, Role


def may_pay(session: Session, caller: Caller, portion_id: PortionId) -> tuple[BookingId, Member]:
    """The caller's own portion in an open booking, ready to be paid. A step for whoever starts a payment.

    Raises:
        PortionNotFound: no such portion for this caller.
        PortionGone: its traveler has left.
        NotPayableNow: the booking takes no payment now.
    """
    row, portion, member = _portion_for(session, caller, portion_id)
    _require_payable(row, portion, member)
    return BookingId(row.id), member


def start_payment(
    database: Database,
    runner: Runner,
    caller: Caller,
    portion_id: PortionId,
    *,
    locale: str,
    public_url: str,
    in_window: bool = False,
) -> PaymentPage:
    """Where to send the caller to authorize their portion. A use case; asking again gives the same page.

    `page_address` says where it is, for it may be ours.

    `in_window`: the page opens in a window of its own, which closes on the way back.

    Raises:
        PortionNotFound, PortionGone, NotPayableNow, BookingClosed: as for `may_pay`.
        PaymentRefused, Unavailable, TooManyAttempts: as for `payments.start_attempt` and `page_of`.
    """
    with database.begin(caller.merchant_id) as session:
        row, portion = _lock_both(session, caller, portion_id)
        with together(session) as ask:
            payer = ask(_member_of, session, row, caller)
            trip = ask(trips.trip_of, session, TripId(row.trip_id))
        _require_payable(row, portion, payer())
        booking_id = BookingId(row.id)
        back = f"{public_url}/pay/return?portion={to_wire('por', portion_id)}&booking={to_wire('bkg', booking_id)}"
        back += "&window=1" if in_window else ""
        started = payments.start_attempt(
            session,
            runner,
            portion_id,
            payer=payer().id,
            success_url=f"{back}&outcome=done",
            cancel_url=f"{back}&outcome=back",
            title=trip().title,
            locale=locale,
        )
        if payments.lock_view(session, portion_id).state is not portion.state:
            # The fact of it is heard here: nothing moves by it, and the group's screens are told in this transaction.
            _tell(session, row, "portion.authorizing", portion)
    return payments.page_of(database, runner, caller.merchant_id, started)


_PAGE_PLACE: Final = "payment_page"
_id_bytes: Final = 16


def page_address(sealer: Sealer, merchant_id: MerchantId, page: PaymentPage, *, public_url: str) -> str:
    """Where the payer goes: the provider's page, or ours.

    The address of ours is the right to pay this one attempt, as the hosted page's is: a payer who comes from a frame,
    or through the API, brings no cookie of ours to the top level.
    """
    if page.url:
        return page.url
    sealed = sealer.seal(_PAGE_PLACE, merchant_id.bytes + page.page_ref.encode())
    return f"{public_url}/pay/{urlsafe_b64encode(sealed).decode().rstrip('=')}"


def page_of_address(sealer: Sealer, token: str) -> tuple[MerchantId, str]:
    """Whose page this address is, and its name at the provider.

    Raises:
        PaymentPageGone: we never gave such an address out.
    """
    try:
        opened = sealer.open(_PAGE_PLACE, urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (InvariantBroken, binascii.Error, ValueError):
        raise PaymentPageGone() from None
    return MerchantId(UUID(bytes=opened[:_id_bytes])), opened[_id_bytes:].decode()


@dataclass(frozen=True, slots=True)
class PayView:
    """What a payment page of ours says. `is_open`: it may be agreed to; `fields` None: the provider knows more."""

    facts: PageFacts
    portion: PortionView
    booking_id: BookingId
    booking_state: BookingState
    deadline_at: datetime | None
    has_quorum: bool
    is_open: bool
    fields: OwnPage | None = None


def read_pay_page(database: Database, providers: Providers, merchant_id: MerchantId, page_ref: str) -> PayView:
    """A payment page of ours, as it is now. A use case for whoever has its address.

    Raises:
        PaymentPageGone: there is none of this name, or it closed just now.
        Unavailable, Refused: as for `payments.show_page`.
    """
    with database.begin(merchant_id) as session:
        facts = payments.page_facts(session, page_ref)
        row = repository.read(session, payments.reference_of(session, facts.portion_id))
        view = PayView(
            facts=facts,
            portion=payments.portion_view(session, facts.portion_id),
            booking_id=BookingId(row.id),
            booking_state=BookingState(row.state),
            deadline_at=row.deadline_at,
            has_quorum=Policy(**row.policy).payer_quorum is not None,
            is_open=facts.is_open and row.state in COLLECTING,
        )
    if not view.is_open:
        return view
    return replace(view, fields=payments.show_page(providers, merchant_id, facts).fields)


def use_hosted_page(
    database: Database, runner: Runner, merchant_id: MerchantId, page_ref: str, *, locale: str
) -> PaymentPage:
    """The provider's page in place of ours, for a browser that runs no script. A use case; ours is closed by it.

    Raises:
        PaymentPageGone, BookingClosed: nobody may agree to it any more.
        PaymentRefused, Unavailable, TooManyAttempts: as for `payments.start_attempt` and `page_of`.
    """
    with database.begin(merchant_id) as session:
        facts = payments.page_facts(session, page_ref)
        row = repository.lock(session, payments.reference_of(session, facts.portion_id))
        _require_open(row)
        portion = payments.lock_view(session, facts.portion_id)
        started = payments.start_hosted_attempt(session, runner, facts, locale=locale)
        if payments.lock_view(session, facts.portion_id).state is not portion.state:
            _tell(session, row, "portion.authorizing", portion)  # heard here, as in `start_payment`
    return payments.page_of(database, runner, merchant_id, started)


def refresh_payment(database: Database, runner: Runner, caller: Caller, portion_id: PortionId) -> PortionView:
    """Read the provider's truth about the caller's portion now: they just came back from the page. A use case.

    Raises:
        PortionNotFound: not theirs.
    """
    with database.begin(caller.merchant_id) as session:
        _, portion, member = _portion_for(session, caller, portion_id)
        if member.id not in (portion.payer, portion.traveler):
            raise PortionNotFound()
    return payments.refresh_portion(database, runner, caller.merchant_id, portion_id)


def ask_to_pay(database: Database, caller: Caller, portion_id: PortionId, of: MemberId) -> PayRequestId:
    """Ask another member to pay my portion; only then do they see its amount. Asking twice is asking once.

    Raises:
        PortionNotFound, NotYourBooking, BookingClosed
    """
    with database.begin(caller.merchant_id) as session:
        row, portion, member = _portion_for(session, caller, portion_id)
        if member.id not in (portion.traveler, portion.payer):
            raise PortionNotFound()
        _require_open(row)
        others = {other.id: other for other in trips.members(session, TripId(row.trip_id))}
        if of not in others or of == member.id:
            raise NotYourBooking(member="unknown")
        for known in repository.open_requests(session, row.id):
            if known.portion_id == portion_id and known.asked_of == of:
                return PayRequestId(known.id)
        now = clock.now(session)
        request = repository.add_request(
            session, booking_id=row.id, portion_id=portion_id, asked_by=member.id, asked_of=of, asked_at=now
        )
        _tell(session, row, "portion.asked", portion, asked_of=of)
        return PayRequestId(request.id)


def withdraw_ask(database: Database, caller: Caller, request_id: PayRequestId) -> None:
    """Take a request back, or say no to it.

    Raises:
        PayRequestNotFound
    """
    with database.begin(caller.merchant_id) as session:
        row = repository.lock(session, repository.find_request(session, request_id).booking_id)
        request = repository.find_request(session, request_id)
        member = trips.member_of(session, TripId(row.trip_id), caller)
        if member is None or member.id not in (request.asked_by, request.asked_of):
            raise PayRequestNotFound()
        if request.state == "asked":
            request.state, request.answered_at = "withdrawn", clock.now(session)
            portion = next(one for one in payments.portions_of(session, row.id) if one.id == request.portion_id)
            _tell(session, row, "portion.ask_withdrawn", portion)


def take_over(database: Database, caller: Caller, portion_id: PortionId) -> None:
    """Become the payer of a portion: because I was asked, because I organize, or because it is my own again.

    The consent that counts is the payer's, and a refund goes to the payer.

    Raises:
        PortionNotFound: not mine to see. BookingClosed: too late. PortionNotPayable: already authorized.
    """
    with database.begin(caller.merchant_id) as session:
        row, portion, member = _portion_for(session, caller, portion_id)
        _require_open(row)
        requests = [one for one in repository.open_requests(session, row.id) if one.portion_id == portion_id]
        was_asked = any(request.asked_of == member.id for request in requests)
        if not (was_asked or portion.traveler == member.id or member.role is Role.ORGANIZER):
            raise PortionNotFound()
        now = clock.now(session)
        payments.assign_payer(session, portion_id, payer=member.id, now=now)
        for request in requests:
            request.state, request.answered_at = "taken" if request.asked_of == member.id else "withdrawn", now
        _tell(session, row, "portion.taken_over", portion, payer=member.id)


def hand_back(database: Database, caller: Caller, portion_id: PortionId) -> None:
    """Pay for somebody no more: their portion is theirs again. Only before a bank said yes.

    Raises:
        PortionNotFound: not mine to pay. BookingClosed: too late. PortionNotPayable: already authorized.
    """
    with database.begin(caller.merchant_id) as session:
        row, portion, member = _portion_for(session, caller, portion_id)
        _require_open(row)
        owner = _owner(session, row, portion)
        if portion.payer != member.id:
            raise PortionNotFound()
        if portion.payer == owner:
            return
        payments.assign_payer(session, portion_id, payer=owner, now=clock.now(session))
        _tell(session, row, "portion.handed_back", portion)


def _require_payable(row: BookingRow, portion: PortionView, member: Member) -> None:
    if portion.payer != member.id:
        raise PortionNotFound()
    if portion.is_dropped:
        raise PortionGone()
    _require_open(row)
    if not portion.is_payable:
        raise NotPayableNow(state=portion.state.value)


def _portion_for(session: Session, caller: Caller, portion_id: PortionId) -> tuple[BookingRow, PortionView, Member]:
    """The portion, its booking (locked) and the member who asks; strangers learn nothing."""
    row, portion = _lock_both(session, caller, portion_id)
    return row, portion, _member_of(session, row, caller)


def _lock_both(session: Session, caller: Caller, portion_id: PortionId) -> tuple[BookingRow, PortionView]:
    """Not to be told to the caller before `_member_of` says who that is."""
    caller.require_traveler()
    reference = payments.reference_of(session, portion_id)
    with together(session) as ask:
        locked = ask(repository.lock, session, reference)
        portion = ask(payments.lock_view, session, portion_id)
    return locked(), portion()


def _member_of(session: Session, row: BookingRow, caller: Caller) -> Member:
    member = trips.member_of(session, TripId(row.trip_id), caller)
    if member is None:
        raise PortionNotFound()
    return member


def _owner(session: Session, row: BookingRow, portion: PortionView) -> UUID:
    """Whose portion it is: its traveler's; of what is given, the giver's."""
    gifts = {gift.id: gift.by_member_id for gift in party.parts_of(session, row).gifts}
    return gifts.get(portion.traveler, portion.traveler)


def _require_open(row: BookingRow) -> None:
    if row.state not in COLLECTING:
        raise BookingClosed(state=row.state)


def _tell(session: Session, row: BookingRow, name: str, portion: PortionView, **members: UUID) -> None:
    payload = {"booking_id": f"bkg_{row.id.hex}", "member_id": f"mem_{_owner(session, row, portion).hex}"}
    payload |= {key: f"mem_{value.hex}" for key, value in members.items()}
    trips.append_event(session, TripId(row.trip_id), name, payload, now=clock.now(session))
