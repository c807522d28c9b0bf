"""Votes, and what becomes of them: the tally, the proposal, the decision, its undo, another round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from groupbook.kit import clock, facts
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.ids import MemberId, MerchantId, OptionId, TripId, to_wire
from groupbook.trips import repository
from groupbook.trips.domain import (
    VOTING_STATES,
    BookingOpen,
    DecisionRule,
    NotMember,
    OptionNotFound,
    OptionTally,
    Proposal,
    Role,
    Trip,
    TripMove,
    TripNotFound,
    TripState,
    TripStateForbids,
    UndoTooLate,
    VoteChoice,
    automatic_choice,
    check_decision,
    next_state,
    propose,
    undo_seconds,
)
from groupbook.trips.service.prices import tallies_of
from groupbook.trips.service.seats import may_see, require_living, sit_at_head

due_trips_max = 100


@dataclass(frozen=True, slots=True)
class VoteCast:
    """`seq` is the event that told the others; None when the vote was already so."""

    option_id: OptionId
    choice: VoteChoice | None
    seq: int | None


def cast_vote(
    database: Database, caller: Caller, trip_id: TripId, option_id: OptionId, choice: VoteChoice | None
) -> VoteCast:
    """Say yes, if need be or no to one option; the last word stands. None takes the vote back. Twice is once.

    Raises:
        TripStateForbids: voting is closed.
        OptionNotFound, NotMember (a viewer does not vote), TripNotFound, TripCanceled.
    """
    return cast_votes(database, caller, trip_id, {option_id: choice})[0]


def cast_votes(
    database: Database, caller: Caller, trip_id: TripId, votes: Mapping[OptionId, VoteChoice | None]
) -> list[VoteCast]:
    """Several votes of one member, all or none. Raises what `cast_vote` raises."""
    if caller.kind == "nobody":
        raise Unauthenticated()
    with database.begin(caller.merchant_id) as session:
        trip = repository.read_trip(session, trip_id, lock=True)
        return [_cast(session, trip, caller, option_id, choice) for option_id, choice in votes.items()]


def _cast(session: Session, trip: Trip, caller: Caller, option_id: OptionId, choice: VoteChoice | None) -> VoteCast:
    ballot = repository.ballot(session, trip, option_id, caller)
    if ballot.member_id is None:
        raise NotMember() if may_see(trip, caller, None) else TripNotFound()
    if ballot.role is Role.VIEWER:
        raise NotMember()
    _require_voting(trip)
    if not ballot.is_option:
        raise OptionNotFound()
    if ballot.choice is choice:
        return VoteCast(option_id, choice, None)
    seq = repository.save_vote(session, trip, option_id, ballot.member_id, choice, ballot.now)
    return VoteCast(option_id, choice, seq)


def _require_voting(trip: Trip) -> None:
    require_living(trip)
    if trip.state not in VOTING_STATES:
        raise TripStateForbids(state=trip.state.value)


# --- the tally ------------------------------------------------------------------------------------------------------


def tally_of(session: Session, trip_id: TripId) -> tuple[list[OptionTally], Proposal]:
    """A step: today's tally and what it proposes, best first in `ranking`. For pages; mind who may see the votes."""
    trip = repository.read_trip(session, trip_id)
    tallies = tallies_of(session, trip, now=clock.now(session))
    return tallies, propose(tallies, trip.rule.quorum)


# --- deciding -------------------------------------------------------------------------------------------------------


def decide(
    database: Database, caller: Caller, trip_id: TripId, option_id: OptionId, *, expected_version: int | None = None
) -> None:
    """The organizer makes the decision which the rule allows; it can be undone for 10 seconds.

    Raises:
        NotOrganizer, TripChanged, TripStateForbids, OptionNotFound.
        DecisionNotDue, QuorumNotReached, NotUnanimous: the rule fixed at the start does not allow it (yet).
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller, expected_version=expected_version)
        state = next_state(seat.trip.state, TripMove.DECIDE)
        tallies = tallies_of(session, seat.trip, now=seat.now)
        tally = next((tally for tally in tallies if tally.option_id == option_id), None)
        if tally is None:
            raise OptionNotFound()
        check_decision(
            seat.trip.rule,
            tally,
            voters=repository.headcount(session, trip_id).going,
            everybody_voted=repository.waited_for(session, seat.trip) == 0,
            now=seat.now,
        )
        proposal = propose(tallies, seat.trip.rule.quorum)
        reason = proposal.reason if proposal.option_id == option_id else "organizer"
        _write_decision(session, seat.trip, state, option_id, reason, by=seat.member.id, now=seat.now)


def _write_decision(
    session: Session,
    trip: Trip,
    state: TripState,
    option_id: OptionId,
    reason: str,
    *,
    by: MemberId | None,
    now: datetime,
) -> None:
    repository.change_trip(
        session,
        trip,
        state=state.value,
        decided_option_id=option_id,
        decided_at=now,
        decided_from=trip.state.value,
        decided_reason=reason,
    )
    payload = {"option_id": to_wire("opt", option_id), "reason": reason, "is_automatic": by is None}
    repository.append(session, trip.id, "trip.decided", payload, actor_id=by, at=now)
    facts.record(
        session,
        "trip.decided",
        subject=trip.id,
        payload={"trip_id": trip.id.hex, "option_id": option_id.hex, "reason": reason, "is_automatic": by is None},
    )


def undo_decision(database: Database, caller: Caller, trip_id: TripId) -> None:
    """Take the decision back within 10 seconds: the trip is as it was.

    Raises:
        UndoTooLate: after that, `reopen` starts another round.
        NotOrganizer, TripStateForbids.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller)
        trip = seat.trip
        state = next_state(trip.state, TripMove.UNDO, decided_from=trip.decided_from)
        if trip.decided_at is None or seat.now > trip.decided_at + timedelta(seconds=undo_seconds):
            raise UndoTooLate(undo_seconds=undo_seconds)
        _forget_decision(session, trip, state)
        repository.append(session, trip_id, "trip.undecided", {}, actor_id=seat.member.id, at=seat.now)
        facts.record(session, "trip.undecided", subject=trip_id, payload={"trip_id": trip_id.hex})


def _forget_decision(session: Session, trip: Trip, state: TripState, **values: object) -> None:
    repository.change_trip(
        session,
        trip,
        state=state.value,
        decided_option_id=None,
        decided_at=None,
        decided_from=None,
        decided_reason=None,
        **values,
    )


def lock(database: Database, caller: Caller, trip_id: TripId, *, expected_version: int | None = None) -> None:
    """Close the voting without deciding. Raises NotOrganizer, TripChanged, TripStateForbids."""
    _move(database, caller, trip_id, TripMove.LOCK, "trip.locked", expected_version)


def unlock(database: Database, caller: Caller, trip_id: TripId, *, expected_version: int | None = None) -> None:
    """Let the voting go on. Raises NotOrganizer, TripChanged, TripStateForbids."""
    _move(database, caller, trip_id, TripMove.UNLOCK, "trip.unlocked", expected_version)


def _move(
    database: Database, caller: Caller, trip_id: TripId, move: TripMove, event: str, expected_version: int | None
) -> None:
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller, expected_version=expected_version)
        state = next_state(seat.trip.state, move)
        repository.change_trip(session, seat.trip, state=state.value)
        repository.append(session, trip_id, event, {}, actor_id=seat.member.id, at=seat.now)


def reopen(
    database: Database,
    caller: Caller,
    trip_id: TripId,
    *,
    rule: DecisionRule | None = None,
    expected_version: int | None = None,
) -> None:
    """Another round: old votes stay as suggestions and no longer count; the rule may be set anew.

    Raises:
        BookingOpen: a booking runs.
        DeadlineRequired, DeadlineInPast: the old deadline is over, so a vote with one needs another.
        NotOrganizer, TripChanged, TripStateForbids.
    """
    with database.begin(caller.merchant_id) as session:
        seat = sit_at_head(session, trip_id, caller, expected_version=expected_version)
        if seat.trip.state is TripState.BOOKING or seat.trip.frozen_by is not None:
            raise BookingOpen()
        state = next_state(seat.trip.state, TripMove.REOPEN)
        checked = (rule or seat.trip.rule).checked(seat.now)
        _forget_decision(
            session,
            seat.trip,
            state,
            round=seat.trip.round + 1,
            rule=checked.kind.value,
            quorum=checked.quorum,
            deadline_at=checked.deadline_at,
        )
        payload = {"round": seat.trip.round + 1}
        repository.append(session, trip_id, "trip.reopened", payload, actor_id=seat.member.id, at=seat.now)
        facts.record(session, "trip.reopened", subject=trip_id, payload={"trip_id": trip_id.hex} | payload)


# --- at the deadline ------------------------------------------------------------------------------------------------


def decide_due(database: Database, merchant_id: MerchantId) -> int:
    """The sweep: every open trip of this merchant whose deadline has come is decided by its rule, or its voting is
    closed and the organizer asked. Answers how many; running it twice, or in two places, changes nothing more."""
    with database.begin(merchant_id) as session:
        due = repository.due_trips(session, clock.now(session), limit=due_trips_max)
    return sum(_decide_one(database, merchant_id, trip_id) for trip_id in due)


def _decide_one(database: Database, merchant_id: MerchantId, trip_id: TripId) -> bool:
    with database.begin(merchant_id) as session:
        trip = repository.read_trip(session, trip_id, lock=True)
        now = clock.now(session)
        if trip.state is not TripState.OPEN or trip.rule.deadline_at is None or now < trip.rule.deadline_at:
            return False
        tallies = tallies_of(session, trip, now=now)
        chosen = automatic_choice(trip.rule, tallies, voters=repository.headcount(session, trip_id).going)
        proposal = propose(tallies, trip.rule.quorum)
        if chosen is not None:
            reason = proposal.reason if proposal.option_id == chosen else "unanimous"
            state = next_state(trip.state, TripMove.DECIDE)
            _write_decision(session, trip, state, chosen, reason, by=None, now=now)
        else:
            repository.change_trip(session, trip, state=next_state(trip.state, TripMove.LOCK).value)
            payload = {"reason": proposal.reason, "is_automatic": True}
            repository.append(session, trip_id, "trip.locked", payload, actor_id=None, at=now)
            facts.record(session, "trip.undecided_at_deadline", subject=trip_id, payload={"trip_id": trip_id.hex})
        return True
