"""The rooms a saga composes besides its own: the trip it books, the price and the codes of its party, its merchant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from groupbook import discounts
from groupbook.discounts import code_repository as codes
from groupbook.discounts.domain import (
    CodeUse,
    DiscountCode,
    Line,
    LineKind,
    PartyPrice,
    PartyTraveler,
    PersonPrice,
    Proof,
    RedemptionState,
    TripFacts,
)
from groupbook.discounts.models import DiscountCodeRow, RedemptionRow
from groupbook.kit.callers import Caller
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import MemberId, OptionId, TripId, new_id
from groupbook.kit.money import Money
from groupbook.merchants import repository as merchants
from groupbook.merchants.domain import ConnectionKind, Merchant
from groupbook.merchants.models import ConnectionRow
from groupbook.trips import repository as trips
from groupbook.trips.domain import Member, Role, Trip, TripNotFound, TripOption
from groupbook.trips.models import MemberRow, TripOptionRow, TripRow
from tests.simulation.memory.store import MemorySession, Table, Values

# The group tariff: from so many people on, so many percent off for everybody.
TARIFF: Final = ((8, 20), (4, 10))
_COUNTING: Final = (RedemptionState.RESERVED.value, RedemptionState.REDEEMED.value)


def tables() -> list[Table]:
    return [
        Table(TripRow),
        Table(MemberRow, by=["trip_id"]),
        Table(TripOptionRow, by=["trip_id"]),
        Table(
            DiscountCodeRow,
            checks={
                "uses": lambda one: one["uses"] >= 0 and (one["uses_max"] is None or one["uses"] <= one["uses_max"])
            },
        ),
        Table(
            RedemptionRow,
            by=["reference"],
            unique={"use": lambda one: (one["reference"], one["code_id"], one["subject"])},
        ),
    ]


# --- trips ------------------------------------------------------------------------------------------------------------


@trips.read_trip.register(MemorySession)
def _read_trip(session: MemorySession, trip_id: TripId, *, lock: bool = False) -> Trip:
    row = session.find(TripRow, trip_id)
    if row is None:
        raise TripNotFound()
    return trips._trip(row)


@trips.insert_trip.register(MemorySession)
def _insert_trip(session: MemorySession, trip: Trip) -> None:
    session.put(
        TripRow,
        merchant_id=session.info["merchant_id"],
        id=trip.id,
        title=trip.title,
        state=trip.state.value,
        rule=trip.rule.kind.value,
        quorum=trip.rule.quorum,
        deadline_at=trip.rule.deadline_at,
        visibility=trip.privacy.visibility.value,
        members_shown=trip.privacy.members_shown.value,
        votes_shown=trip.privacy.votes_shown.value,
        organizer_id=trip.organizer_id,
        round=trip.round,
        version=trip.version,
        event_seq=trip.event_seq,
        created_at=trip.created_at,
    )


@trips.change_trip.register(MemorySession)
def _change_trip(session: MemorySession, /, trip: Trip, **values: Any) -> None:
    row = session.find(TripRow, trip.id)
    if row is None or row.version != trip.version:
        raise InvariantBroken(what="a locked trip changed", trip=str(trip.id))
    for name, value in values.items():
        setattr(row, name, value)
    row.version += 1


@trips.append_all.register(MemorySession)
def _append_all(
    session: MemorySession, trip_id: TripId, news: Sequence[tuple[str, Mapping[str, Any]]], *, at: datetime
) -> None:
    for type, payload in news:
        _append(session, trip_id, type, payload, actor_id=None, at=at)


@trips.append.register(MemorySession)
def _append(
    session: MemorySession,
    trip_id: TripId,
    type: str,
    payload: Mapping[str, Any],
    *,
    actor_id: MemberId | None,
    at: datetime,
) -> int:
    """The events of the live log are counted and not kept: browsers read them, nobody decides by them."""
    row = session.find(TripRow, trip_id)
    if row is None:
        raise TripNotFound()
    row.event_seq += 1
    return row.event_seq


def _seats(session: MemorySession, trip_id: UUID) -> list[Values]:
    return session.views(MemberRow, "trip_id", trip_id)


@trips.member_of_caller.register(MemorySession)
def _member_of_caller(
    session: MemorySession, trip_id: TripId, caller: Caller, *, even_left: bool = False
) -> Member | None:
    if caller.subject is None or not caller.is_traveler:
        return None
    column = "person_id" if caller.kind == "person" else "guest_id"
    for values in _seats(session, trip_id):
        if values[column] == caller.subject and (values["left_at"] is None or even_left):
            return trips._member(session.row(MemberRow, values))
    return None


@trips.read_member.register(MemorySession)
def _read_member(session: MemorySession, trip_id: TripId, member_id: MemberId) -> Member | None:
    row = session.find(MemberRow, member_id)
    return trips._member(row) if row is not None and row.trip_id == trip_id and row.left_at is None else None


@trips.members.register(MemorySession)
def _members(session: MemorySession, trip_id: TripId) -> list[Member]:
    present = [values for values in _seats(session, trip_id) if values["left_at"] is None]
    present.sort(key=lambda values: (values["joined_at"], values["id"]))
    return [trips._member(session.row(MemberRow, values)) for values in present]


@trips.headcount.register(MemorySession)
def _headcount(session: MemorySession, trip_id: TripId) -> trips.Headcount:
    present = [values for values in _seats(session, trip_id) if values["left_at"] is None]
    going = [values for values in present if values["is_going"] and values["role"] != Role.VIEWER.value]
    viewers = sum(values["role"] == Role.VIEWER.value for values in present)
    return trips.Headcount(len(present) - viewers, len(going), viewers)


@trips.insert_member.register(MemorySession)
def _insert_member(session: MemorySession, member: Member) -> None:
    session.put(
        MemberRow,
        merchant_id=session.info["merchant_id"],
        id=member.id,
        trip_id=member.trip_id,
        person_id=member.person_id,
        guest_id=member.guest_id,
        name=member.name,
        role=member.role.value,
        is_going=member.is_going,
        joined_via=member.joined_via.value,
        joined_at=member.joined_at,
        left_at=member.left_at,
    )


@trips.change_member.register(MemorySession)
def _change_member(session: MemorySession, /, member_id: MemberId, **values: Any) -> None:
    row = session.find(MemberRow, member_id)
    if row is not None:
        for name, value in values.items():
            setattr(row, name, value)


@trips.options.register(MemorySession)
def _options(session: MemorySession, trip_id: TripId) -> list[TripOption]:
    views = [one for one in session.views(TripOptionRow, "trip_id", trip_id) if one["removed_at"] is None]
    return [trips._option(row) for row in session.rows(TripOptionRow, views, order="position")]


@trips.read_option.register(MemorySession)
def _read_option(session: MemorySession, trip_id: TripId, option_id: OptionId) -> TripOption | None:
    row = session.find(TripOptionRow, option_id)
    return trips._option(row) if row is not None and row.trip_id == trip_id and row.removed_at is None else None


@trips.insert_option.register(MemorySession)
def _insert_option(session: MemorySession, option: TripOption, *, added_by: MemberId | None, now: datetime) -> None:
    session.put(
        TripOptionRow,
        merchant_id=session.info["merchant_id"],
        id=option.id,
        trip_id=option.trip_id,
        kind=option.kind.value,
        label=option.label,
        position=option.position,
        offer_id=option.offer_id,
        starts_at=option.starts_at,
        snapshot=dict(option.snapshot),
        added_by=added_by,
        added_at=now,
    )


# --- prices and codes -------------------------------------------------------------------------------------------------


@discounts.price_party.register(MemorySession)
def _price_party(
    session: MemorySession,
    facts: TripFacts,
    travelers: Sequence[PartyTraveler],
    *,
    currency: str,
    on: date,
    explain: bool = True,
) -> PartyPrice:
    """A small lawful tariff instead of the optimum: own concession first, then the group's percentage."""
    off = next((percent for size, percent in TARIFF if len(travelers) >= size), 0)
    concessions: Mapping[UUID, int] = session.database.settings.get("concessions", {})
    people = {}
    for one in travelers:
        family, fare = min(one.fares.items(), key=lambda offered: offered[1])
        alone = _payable(fare * (100 - concessions.get(one.subject, 0)) // 100, currency)
        pay = _payable(alone * (100 - off) // 100, currency)
        steps: tuple[tuple[str, int, LineKind], ...] = (
            (f"fare:{family}", fare, "fare"),
            ("concession", alone - fare, "offer"),
            ("group", pay - alone, "group"),
        )
        people[one.subject] = PersonPrice(
            one.subject,
            Money(pay, currency),
            Money(fare, currency),
            Money(alone, currency),
            family,
            tuple(Line(what, Money(delta, currency), kind) for what, delta, kind in steps if delta or kind == "fare"),
        )
    total = Money(sum(one.pay.minor for one in people.values()), currency)
    return PartyPrice(total, people, (), (), Proof(True, total, "tariff"))


def _payable(minor: int, currency: str) -> int:
    """Cards take no third decimal of a dinar (payments.md A8)."""
    return minor - minor % 10 if currency == "TND" else minor


@codes.lock_code.register(MemorySession)
def _lock_code(session: MemorySession, id: UUID) -> DiscountCode | None:
    row = session.find(DiscountCodeRow, id)
    return None if row is None else codes._code(row)


@codes.uses_by.register(MemorySession)
def _uses_by(session: MemorySession, code_id: UUID, subject: UUID) -> int:
    return sum(
        one["code_id"] == code_id and one["subject"] == subject and one["state"] in _COUNTING
        for one in session.every(RedemptionRow)
    )


@codes.add_redemption.register(MemorySession)
def _add_redemption(session: MemorySession, reference: UUID, subject: UUID, use: CodeUse, now: datetime) -> None:
    session.put(
        RedemptionRow,
        merchant_id=session.info["merchant_id"],
        id=new_id(),
        code_id=use.code_id,
        reference=reference,
        subject=subject,
        state=RedemptionState.RESERVED.value,
        saved=use.saved.minor,
        currency=use.saved.currency,
        reserved_at=now,
    )
    _count(session, use.code_id, 1)


@codes.counts_already.register(MemorySession)
def _counts_already(session: MemorySession, reference: UUID, subject: UUID, code_id: UUID) -> bool:
    return any(
        one["code_id"] == code_id and one["subject"] == subject and one["state"] in _COUNTING
        for one in session.views(RedemptionRow, "reference", reference)
    )


@codes.redeem.register(MemorySession)
def _redeem(session: MemorySession, reference: UUID, now: datetime) -> None:
    for row in session.rows(RedemptionRow, session.views(RedemptionRow, "reference", reference)):
        if row.state == RedemptionState.RESERVED.value:
            row.state, row.redeemed_at = RedemptionState.REDEEMED.value, now


@codes.release.register(MemorySession)
def _release(session: MemorySession, reference: UUID, now: datetime) -> list[UUID]:
    given_back = []
    for row in session.rows(RedemptionRow, session.views(RedemptionRow, "reference", reference)):
        if row.state in _COUNTING:
            row.state, row.released_at = RedemptionState.RELEASED.value, now
            given_back.append(row.code_id)
    return given_back


@codes.count.register(MemorySession)
def _count(session: MemorySession, code_id: UUID, uses: int) -> None:
    row = session.find(DiscountCodeRow, code_id)
    if row is not None:
        row.uses += uses


# --- the merchant -----------------------------------------------------------------------------------------------------


@merchants.read_merchant.register(MemorySession)
def _read_merchant(session: MemorySession) -> Merchant | None:
    return session.database.settings.get("merchant")


@merchants.find_connection.register(MemorySession)
def _find_connection(session: MemorySession, kind: ConnectionKind) -> ConnectionRow | None:
    return session.database.settings.get(kind)
