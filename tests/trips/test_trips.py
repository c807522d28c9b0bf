"""The room on a real database: joining, voting, deciding, privacy, adoption, bookings' steps; refusals move nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from groupbook import discounts, people, trips
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.errors import Forbidden, Unauthenticated
from groupbook.kit.ids import BookingId, GuestId, MemberId, OptionId, PersonId, TripId, new_id, to_wire
from groupbook.offers.domain import OfferNotFound
from groupbook.people.domain import GuestAdopted, GuestNotFound, NameEmpty, NameTooLong
from groupbook.trips import NewOption, StartTrip, repository
from groupbook.trips.domain import (
    BookingOpen,
    DeadlineInPast,
    DecisionNotDue,
    DecisionRule,
    InviteNotFound,
    InviteRevoked,
    MembersShown,
    NotMember,
    NotOrganizer,
    OptionDecided,
    OptionNeedsSomething,
    OptionNotFound,
    OrganizerStays,
    Privacy,
    QuorumNotReached,
    Role,
    RosterFrozen,
    RuleKind,
    TooManyOptions,
    Trip,
    TripCanceled,
    TripChanged,
    TripFull,
    TripNotFound,
    TripState,
    TripStateForbids,
    TripTextInvalid,
    UndoTooLate,
    Visibility,
    VoteChoice,
    VotesShown,
    members_max,
    options_max,
    sight_of,
)
from groupbook.trips.schemas import TripOut
from tests.trips.conftest import House, Refuses

YES, MAYBE, NO = VoteChoice.YES, VoteChoice.IF_NEED_BE, VoteChoice.NO


def read(house: House, caller: Caller, trip_id: TripId) -> dict[str, Any]:
    """The document, which must be a valid TripOut."""
    document = trips.read_trip(house.database, caller, trip_id)
    TripOut.model_validate_json(document)
    loaded: dict[str, Any] = json.loads(document)
    return loaded


def trip_of(house: House, trip_id: TripId) -> Trip:
    with house.database.begin(house.kestrel.id) as session:
        return trips.trip_of(session, trip_id)


# --- starting and joining -------------------------------------------------------------------------------------------


def test_a_trip_starts_from_an_offer_an_occasion_or_nothing(house: House) -> None:
    ana = house.person("ana")
    offer_id = house.offer("6109")
    started = house.start(ana, title="Lyon!", options=[NewOption(offer_id=offer_id)])
    assert house.log(started.trip_id) == [(1, "trip.started"), (2, "option.added")]
    shown = read(house, ana, started.trip_id)
    assert (shown["state"], shown["seq"], shown["you"]["role"], shown["member_count"]) == ("open", 2, "organizer", 1)
    [option] = shown["options"]
    assert option["offer_id"] == to_wire("off", offer_id)
    assert option["snapshot"]["legs"][0]["origin"] == "Paris Gare de Lyon"
    nothing = trips.start_trip(house.database, house.sealer, house.key(), StartTrip(organizer_name="Zoé 🎻"))
    guest = house.caller(nothing.guest_token)
    assert read(house, guest, nothing.trip_id)["members"][0]["name"] == "Zoé 🎻"


def test_a_trip_that_cannot_be_is_not_started(house: House) -> None:
    ana = house.person("ana")
    wrong: list[tuple[type[Exception], Callable[[], StartTrip]]] = [
        (TripTextInvalid, lambda: StartTrip(title="x" * 10_000)),
        (OptionNeedsSomething, lambda: StartTrip(options=[NewOption()])),
        (OptionNeedsSomething, lambda: StartTrip(options=[NewOption(place="  ")])),
        (OfferNotFound, lambda: StartTrip(options=[NewOption(offer_id=new_id())])),  # type: ignore[arg-type]
        (TooManyOptions, lambda: StartTrip(options=[NewOption(place=str(i)) for i in range(options_max + 1)])),
        (DeadlineInPast, lambda: StartTrip(rule=DecisionRule(RuleKind.UNANIMOUS, None, house.rule_in(seconds=-1)))),
    ]
    for error, plan in wrong:
        with pytest.raises(error):
            trips.start_trip(house.database, house.sealer, ana, plan())
    for caller, error in ((house.key(), NameEmpty), (house.stranger(), Unauthenticated)):
        with pytest.raises(error):
            trips.start_trip(house.database, house.sealer, caller, StartTrip())
    assert house.rows("SELECT count(*) FROM trip") == [(0,)]
    assert house.rows("SELECT count(*) FROM guest") == [(0,)]


def test_guests_of_every_script_join_and_joining_twice_is_once(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    names = ["Bo", "محمد علي", "👩‍🚀 Freya", "Chloé"]
    guests = [house.join(started, name) for name in names]
    shown = read(house, ana, started.trip_id)
    assert [member["name"] for member in shown["members"]][1:] == names
    assert shown["member_count"] == shown["going_count"] == 5
    caller, first = guests[0]
    again = trips.join_by_invite(house.database, caller, started.invite_token, name="Bo again")
    assert (again.member.id, again.is_new, again.guest_token) == (first.member.id, False, None)
    dev = house.person("dev")
    seats = [trips.join_by_invite(house.database, dev, started.invite_token) for _ in range(2)]
    assert seats[0].member.id == seats[1].member.id
    assert [seat.is_new for seat in seats] == [True, False]
    for error, name in ((NameTooLong, "x" * 10_000), (NameEmpty, ""), (NameEmpty, None), (NameEmpty, "\u200b ")):
        refuses(
            error,
            started.trip_id,
            lambda name=name: trips.join_by_invite(house.database, None, started.invite_token, name=name),
        )
    for token in ("", "x", "x" * 5_000, started.invite_token[:-1], "é"):
        refuses(
            InviteNotFound,
            started.trip_id,
            lambda token=token: trips.join_by_invite(house.database, None, token, name="Eve"),
        )


def test_a_session_of_another_merchant_is_nobody_here(house: House, refuses: Refuses) -> None:
    started = house.start(house.person("ana"))
    foreign = house.person("bo", merchant_id=house.other.id)
    with pytest.raises(TripNotFound):
        trips.read_trip(house.database, foreign, started.trip_id)
    with pytest.raises(TripNotFound):
        trips.read_trip(house.database, house.key(house.other.id), started.trip_id)
    refuses(
        TripNotFound,
        started.trip_id,
        lambda: trips.cast_vote(house.database, foreign, started.trip_id, house.option_ids(started.trip_id)[0], YES),
    )
    joined = trips.join_by_invite(house.database, foreign, started.invite_token, name="Bo")
    assert joined.member.guest_id is not None
    assert joined.merchant_id == house.kestrel.id


def test_a_full_trip_takes_nobody_more(house: House, refuses: Refuses) -> None:
    started = house.start(house.person("ana"))
    for number in range(members_max - 1):
        house.join(started, f"G{number}")
    refuses(TripFull, started.trip_id, lambda: house.join(started, "one too many"))


def test_an_invite_ends_when_it_is_revoked_or_the_trip_turns_secret(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    named = trips.create_invite(house.database, house.sealer, ana, started.trip_id, for_name="Zoé")
    [link, personal] = trips.list_invites(house.database, house.sealer, ana, started.trip_id)
    assert (link.token, personal.token) == (started.invite_token, named.token)
    house.set_privacy(ana, started.trip_id, visibility=Visibility.SECRET)
    refuses(InviteRevoked, started.trip_id, lambda: house.join(started, "Bo"))
    assert trips.join_by_invite(house.database, None, named.token).member.name == "Zoé"
    trips.revoke_invite(house.database, ana, started.trip_id, named.invite.id)
    refuses(InviteRevoked, started.trip_id, lambda: trips.join_by_invite(house.database, None, named.token, name="Zoé"))
    stored = house.rows("SELECT token_sha256, sealed_token FROM invite")
    assert all(named.token.encode() not in column for row in stored for column in row)


def test_members_bring_friends_only_when_the_organizer_allows_it(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    bo, _ = house.join(started, "Bo")

    def create() -> trips.ShownInvite:
        return trips.create_invite(house.database, house.sealer, bo, started.trip_id)

    refuses(NotOrganizer, started.trip_id, create)
    house.set_privacy(ana, started.trip_id, visibility=Visibility.FRIENDS)
    create()
    assert len(trips.list_invites(house.database, house.sealer, bo, started.trip_id)) == 1
    assert len(trips.list_invites(house.database, house.sealer, ana, started.trip_id)) == 2


def test_a_public_trip_is_joined_without_an_invite_and_a_share_opens_what_is_not_secret(
    house: House, refuses: Refuses
) -> None:
    ana = house.person("ana")
    trip_id = house.start(ana).trip_id
    sharer = ana.require_traveler()
    refuses(TripNotFound, trip_id, lambda: trips.join_public(house.database, None, trip_id, name="Eve"))
    with house.database.begin(house.kestrel.id) as session:
        assert trips.join_by_share(session, trip_id, None, sharer=sharer, name="Gil").member.joined_via == "share"
    house.set_privacy(ana, trip_id, visibility=Visibility.PUBLIC)
    assert trips.join_public(house.database, None, trip_id, name="Eve").is_new
    house.set_privacy(ana, trip_id, visibility=Visibility.SECRET)

    def by_share() -> None:
        with house.database.begin(house.kestrel.id) as session:
            trips.join_by_share(session, trip_id, None, sharer=sharer, name="Hana")

    refuses(TripNotFound, trip_id, by_share)


# --- votes ----------------------------------------------------------------------------------------------------------


def test_the_last_word_on_an_option_stands_and_saying_it_twice_is_no_news(house: House) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    bo, _ = house.join(started, "Bo")
    lyon, nice = house.option_ids(started.trip_id)

    def vote(caller: Caller, option: OptionId, choice: VoteChoice | None) -> trips.VoteCast:
        return trips.cast_vote(house.database, caller, started.trip_id, option, choice)

    assert vote(ana, lyon, YES).seq is not None
    assert vote(bo, lyon, NO).seq is not None
    assert vote(bo, lyon, MAYBE).seq is not None
    before = house.log(started.trip_id)
    assert vote(bo, lyon, MAYBE).seq is None
    assert house.log(started.trip_id) == before
    trips.cast_votes(house.database, bo, started.trip_id, {lyon: MAYBE, nice: YES})
    shown = read(house, bo, started.trip_id)
    assert [option["counts"] for option in shown["options"]] == [
        {"yes": 1, "if_need_be": 1, "no": 0},
        {"yes": 1, "if_need_be": 0, "no": 0},
    ]
    assert [option["yours"] for option in shown["options"]] == ["if_need_be", "yes"]
    vote(bo, nice, None)
    assert read(house, bo, started.trip_id)["options"][1]["counts"] == {"yes": 0, "if_need_be": 0, "no": 0}
    seqs = [seq for seq, _ in house.log(started.trip_id)]
    assert seqs == list(range(1, len(seqs) + 1))


def test_who_may_not_vote_moves_nothing(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    elsewhere = house.start(ana)
    bo, joined = house.join(elsewhere, "Bo")
    trip_id, [lyon, _] = started.trip_id, house.option_ids(started.trip_id)
    other_option = house.option_ids(elsewhere.trip_id)[0]

    def voting(caller: Caller, option: OptionId = lyon) -> Callable[[], object]:
        return lambda: trips.cast_vote(house.database, caller, trip_id, option, YES)

    refuses(TripNotFound, trip_id, voting(bo))  # a member of another trip
    refuses(NotMember, trip_id, voting(house.key()))
    refuses(Unauthenticated, trip_id, voting(house.stranger()))
    refuses(OptionNotFound, trip_id, voting(ana, other_option))
    refuses(OptionNotFound, trip_id, voting(ana, OptionId(new_id())))
    cy, cy_seat = house.join(started, "Cy")
    with house.database.begin(house.kestrel.id) as session:
        repository.change_member(session, cy_seat.member.id, role=Role.VIEWER.value)
    refuses(NotMember, trip_id, voting(cy))
    trips.lock(house.database, ana, trip_id)
    refuses(TripStateForbids, trip_id, voting(ana))
    # Several votes are all or none.
    trips.unlock(house.database, ana, trip_id)
    refuses(
        OptionNotFound,
        trip_id,
        lambda: trips.cast_votes(house.database, ana, trip_id, {lyon: YES, other_option: YES}),
    )
    del joined


def race(count: int, act: Callable[[int], None]) -> list[BaseException]:
    """Run `act` in `count` threads at once; what they raised."""
    barrier = threading.Barrier(count)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            act(number)
        except (DBAPIError, AssertionError) as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_votes_at_the_same_time_number_the_log_without_a_gap(house: House) -> None:
    started = house.start(house.person("ana"))
    voters = [house.join(started, f"G{number}")[0] for number in range(4)]
    options = house.option_ids(started.trip_id)
    seqs: list[int | None] = []

    def act(number: int) -> None:
        for turn in range(6):
            choice = (YES, NO, MAYBE)[(turn + number) % 3]
            cast = trips.cast_vote(house.database, voters[number], started.trip_id, options[turn % 2], choice)
            seqs.append(cast.seq)

    assert race(4, act) == []
    log = [seq for seq, _ in house.log(started.trip_id)]
    assert log == list(range(1, len(log) + 1))
    told = [seq for seq in seqs if seq is not None]
    assert len(told) == len(set(told)) == 24
    counted = read(house, voters[0], started.trip_id)["options"]
    assert [sum(option["counts"].values()) for option in counted] == [4, 4]
    # The last event of each option tells the counts that stand.
    for option in counted:
        last = house.rows(
            "SELECT payload FROM trip_event WHERE payload->>'option_id' = :id AND type = 'vote.cast' "
            "ORDER BY seq DESC LIMIT 1",
            id=option["id"],
        )[0][0]
        assert last["counts"] == option["counts"]


def test_without_the_lock_the_same_race_breaks_the_log(house: House) -> None:
    """The twin with the lock taken out: what the row lock is for."""
    started = house.start(house.person("ana"))
    overlap = threading.Barrier(4)

    def act(number: int) -> None:
        with house.database.begin(house.kestrel.id) as session:
            seq = session.execute(
                text("SELECT event_seq + 1 FROM trip WHERE id = :id"), {"id": started.trip_id}
            ).scalar_one()
            overlap.wait()
            session.execute(
                text(
                    "INSERT INTO trip_event (merchant_id, trip_id, seq, type, payload, at) "
                    "VALUES (:merchant, :trip, :seq, 'vote.cast', '{}', now())"
                ),
                {"merchant": house.kestrel.id, "trip": started.trip_id, "seq": seq},
            )

    assert len(race(4, act)) == 3  # the same number four times: all but one are lost


# --- deciding -------------------------------------------------------------------------------------------------------


def test_the_organizer_decides_and_takes_it_back_within_ten_seconds(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    bo, _ = house.join(started, "Bo")
    trip_id, [lyon, nice] = started.trip_id, house.option_ids(started.trip_id)
    trips.cast_vote(house.database, bo, trip_id, nice, YES)
    refuses(NotOrganizer, trip_id, lambda: trips.decide(house.database, bo, trip_id, lyon))
    stale = trip_of(house, trip_id).version
    trips.rename_trip(house.database, ana, trip_id, title="Sea", starts_on=None, ends_on=None)
    refuses(TripChanged, trip_id, lambda: trips.decide(house.database, ana, trip_id, nice, expected_version=stale))
    trips.decide(house.database, ana, trip_id, nice)
    assert read(house, bo, trip_id)["decision"]["reason"] == "more_can_come"
    refuses(TripStateForbids, trip_id, lambda: trips.cast_vote(house.database, bo, trip_id, lyon, YES))
    refuses(OptionDecided, trip_id, lambda: trips.remove_option(house.database, ana, trip_id, nice))
    house.shift(seconds=9)
    trips.undo_decision(house.database, ana, trip_id)
    assert (trip_of(house, trip_id).state, trip_of(house, trip_id).decided_option_id) == (TripState.OPEN, None)
    trips.decide(house.database, ana, trip_id, lyon)
    assert read(house, bo, trip_id)["decision"]["reason"] == "organizer"
    house.shift(seconds=20)
    refuses(UndoTooLate, trip_id, lambda: trips.undo_decision(house.database, ana, trip_id))


def test_the_quorum_decides_at_the_deadline_and_a_tie_asks_the_organizer(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    rule = DecisionRule(RuleKind.QUORUM_AT_DEADLINE, 2, house.rule_in(hours=1))
    clear, tied = house.start(ana, rule=rule), house.start(ana, rule=rule)
    for started, choices in ((clear, (YES, NO)), (tied, (YES, YES))):
        bo, _ = house.join(started, "Bo")
        for option, choice in zip(house.option_ids(started.trip_id), choices, strict=True):
            trips.cast_vote(house.database, ana, started.trip_id, option, YES)
            trips.cast_vote(house.database, bo, started.trip_id, option, choice)
        house.join(started, "Cy has not voted")
    lyon = house.option_ids(clear.trip_id)[0]
    refuses(DecisionNotDue, clear.trip_id, lambda: trips.decide(house.database, ana, clear.trip_id, lyon))
    assert trips.decide_due(house.database, house.kestrel.id) == 0
    house.shift(hours=2)
    assert trips.decide_due(house.database, house.kestrel.id) == 2
    assert trips.decide_due(house.database, house.kestrel.id) == 0
    decided = trip_of(house, clear.trip_id)
    assert (decided.state, decided.decided_option_id) == (TripState.DECIDED, lyon)
    assert trip_of(house, tied.trip_id).state is TripState.LOCKED
    trips.decide(house.database, ana, tied.trip_id, house.option_ids(tied.trip_id)[1])
    assert trip_of(house, tied.trip_id).state is TripState.DECIDED
    facts = [name for (name,) in house.rows("SELECT name FROM fact WHERE name LIKE 'trip.%decided%' ORDER BY name")]
    assert facts == ["trip.decided", "trip.decided", "trip.undecided_at_deadline"]


def test_two_sweeps_at_once_decide_once(house: House) -> None:
    ana = house.person("ana")
    started = house.start(ana, rule=DecisionRule(RuleKind.QUORUM_AT_DEADLINE, 1, house.rule_in(hours=1)))
    trips.cast_vote(house.database, ana, started.trip_id, house.option_ids(started.trip_id)[0], YES)
    house.shift(hours=2)
    done: list[int] = []
    assert race(3, lambda _: done.append(trips.decide_due(house.database, house.kestrel.id))) == []
    assert sum(done) == 1
    assert [type for _, type in house.log(started.trip_id)].count("trip.decided") == 1


def test_too_few_votes_leave_the_decision_to_another_round(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana, rule=DecisionRule(RuleKind.QUORUM_AT_DEADLINE, 3, house.rule_in(hours=1)))
    trip_id, [lyon, _] = started.trip_id, house.option_ids(started.trip_id)
    trips.cast_vote(house.database, ana, trip_id, lyon, YES)
    house.shift(hours=2)
    trips.decide_due(house.database, house.kestrel.id)
    refuses(QuorumNotReached, trip_id, lambda: trips.decide(house.database, ana, trip_id, lyon))
    refuses(DeadlineInPast, trip_id, lambda: trips.reopen(house.database, ana, trip_id))
    trips.reopen(house.database, ana, trip_id, rule=DecisionRule())
    shown = read(house, ana, trip_id)["options"][0]
    assert (shown["yours"], shown["suggested"], shown["counts"]["yes"]) == (None, "yes", 0)
    trips.cast_vote(house.database, ana, trip_id, lyon, YES)
    trips.decide(house.database, ana, trip_id, lyon)


# --- privacy --------------------------------------------------------------------------------------------------------


def test_the_document_shows_what_the_pure_rule_says_for_every_switch_and_role(house: House) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    trip_id = started.trip_id
    voter, _ = house.join(started, "Voter")
    silent, _ = house.join(started, "Silent")
    viewer, viewer_seat = house.join(started, "Viewer")
    with house.database.begin(house.kestrel.id) as session:
        repository.change_member(session, viewer_seat.member.id, role=Role.VIEWER.value)
    trips.cast_vote(house.database, voter, trip_id, house.option_ids(trip_id)[0], YES)
    readers: list[tuple[Caller, Role | None, bool]] = [
        (ana, Role.ORGANIZER, False),
        (voter, Role.MEMBER, True),
        (silent, Role.MEMBER, False),
        (viewer, Role.VIEWER, False),
        (house.stranger(), None, False),
    ]
    for visibility, members_shown, votes_shown in product(Visibility, MembersShown, VotesShown):
        privacy = Privacy(visibility, members_shown, votes_shown)
        trips.change_privacy(house.database, ana, trip_id, privacy)
        for caller, role, has_voted in readers:
            sight = sight_of(privacy, role, has_voted=has_voted)
            if sight is None:
                with pytest.raises(TripNotFound):
                    trips.read_trip(house.database, caller, trip_id)
                with pytest.raises(TripNotFound):
                    trips.read_events(house.database, caller, trip_id, after=0, limit=10)
                continue
            shown = read(house, caller, trip_id)
            assert (shown["members"] is not None) == sight.member_ids
            assert (shown["member_count"] is not None) == sight.member_count
            option = shown["options"][0]
            assert (option["counts"] is not None) == sight.votes
            assert (option["votes"] is not None) == (sight.votes and sight.member_ids)
            events, _ = trips.read_events(house.database, caller, trip_id, after=0, limit=500)
            assert any("counts" in event.payload for event in events) == sight.votes
            assert any("member_id" in event.payload for event in events) == sight.member_ids
            assert any("member_count" in event.payload for event in events) == sight.member_count
    assert read(house, house.key(), trip_id)["members"] is not None


def test_a_preview_says_no_name_date_or_place_unless_the_trip_is_public(house: House) -> None:
    ana = house.person("ana")
    trip_id = house.start(ana, title="Surprise for Bo").trip_id

    def preview() -> Any:
        with house.database.begin(house.kestrel.id) as session:
            return trips.public_view(session, trip_id)

    generic = preview()
    assert (generic.is_generic, generic.title, generic.option_labels, generic.member_names) == (True, None, (), ())
    house.set_privacy(ana, trip_id, visibility=Visibility.PUBLIC, members_shown=MembersShown.COUNT)
    public = preview()
    assert (public.title, public.option_labels) == ("Surprise for Bo", ("Lyon", "Nice"))
    assert (public.member_count, public.member_names) == (1, ())
    house.set_privacy(ana, trip_id, visibility=Visibility.SECRET)
    assert preview() is None
    with house.database.begin(house.other.id) as session:
        assert trips.public_view(session, trip_id) is None


# --- a guest becomes a person ---------------------------------------------------------------------------------------


def belongings(house: House, trip_id: TripId, member_id: MemberId) -> Any:
    return (
        house.rows("SELECT option_id, choice FROM vote WHERE member_id = :id ORDER BY option_id", id=member_id),
        house.rows("SELECT body FROM comment WHERE member_id = :id ORDER BY id", id=member_id),
        house.rows("SELECT role, is_going, joined_via FROM member WHERE id = :id", id=member_id),
        trip_of(house, trip_id).organizer_id,
    )


def test_a_guest_who_logs_in_loses_nothing(house: House) -> None:
    started = trips.start_trip(
        house.database,
        house.sealer,
        house.key(),
        StartTrip(organizer_name="Bo the guest", options=[NewOption(place="Lyon"), NewOption(place="Nice")]),
    )
    trip_id, guest = started.trip_id, house.caller(started.guest_token)
    lyon, nice = house.option_ids(trip_id)
    trips.cast_votes(house.database, guest, trip_id, {lyon: YES, nice: NO})
    trips.add_comment(house.database, guest, trip_id, "I bring the 🎸")
    with house.database.begin(house.kestrel.id) as session:
        discounts.set_entitlements(session, guest.subject, cards=[], age=23, now=clock.now(session))  # type: ignore[arg-type]
    before = belongings(house, trip_id, started.member.id)
    bo = house.person("bo")
    for _ in range(2):  # by their own token, and once more by the step of a second log-in
        with house.database.begin(house.kestrel.id) as session:
            trips.adopt_guest(session, GuestId(guest.subject), PersonId(bo.subject))  # type: ignore[arg-type]
    assert belongings(house, trip_id, started.member.id) == before
    [seat] = house.rows("SELECT person_id, guest_id FROM member WHERE trip_id = :id", id=trip_id)
    assert seat == (bo.subject, None)
    assert read(house, bo, trip_id)["you"]["role"] == "organizer"
    with house.database.begin(house.kestrel.id) as session:
        assert discounts.entitlements_of(session, [bo.subject])[bo.subject].age == 23  # type: ignore[list-item,index]
    assert people.authenticate(house.database, started.guest_token or "") is None


def test_a_guest_who_is_in_already_as_a_person_keeps_one_seat_and_every_vote(house: House) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    trip_id, [lyon, nice] = started.trip_id, house.option_ids(started.trip_id)
    bo = house.person("bo")
    own = trips.join_by_invite(house.database, bo, started.invite_token).member
    trips.cast_vote(house.database, bo, trip_id, lyon, NO)
    guest, joined = house.join(started, "Bo")
    trips.cast_votes(house.database, guest, trip_id, {lyon: YES, nice: MAYBE})
    trips.add_comment(house.database, guest, trip_id, "it is me")
    adopted = trips.adopt(house.database, bo, joined.guest_token or "")
    assert adopted.member.id == own.id
    shown = read(house, ana, trip_id)
    assert [member["id"] for member in shown["members"]] == [to_wire("mem", i) for i in (started.member.id, own.id)]
    votes, comments, seat, _ = belongings(house, trip_id, own.id)
    assert dict(votes) == {lyon: "yes", nice: "if_need_be"}  # the later word on each option
    assert comments == [("it is me",)]
    assert seat[0][:2] == ("member", True)


def test_a_seat_is_taken_over_only_by_who_holds_its_token(house: House, refuses: Refuses) -> None:
    started = house.start(house.person("ana"))
    guest, joined = house.join(started, "Bo")
    eve = house.person("eve")
    foreign = house.person("gil", merchant_id=house.other.id)
    token = joined.guest_token or ""
    for caller, secret, error in (
        (eve, "guess", GuestNotFound),
        (foreign, token, GuestNotFound),
        (guest, token, Forbidden),
    ):
        refuses(
            error,
            started.trip_id,
            lambda caller=caller, secret=secret: trips.adopt(house.database, caller, secret),
        )
    bo = house.person("bo")
    trips.adopt(house.database, bo, token)

    def steal() -> None:
        with house.database.begin(house.kestrel.id) as session:
            trips.adopt_guest(session, GuestId(guest.subject), PersonId(eve.subject))  # type: ignore[arg-type]

    refuses(GuestAdopted, started.trip_id, steal)


# --- bookings' steps ------------------------------------------------------------------------------------------------


def test_a_frozen_roster_stops_joins_and_leaves_until_it_is_thawed(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    trip_id, [lyon, _] = started.trip_id, house.option_ids(started.trip_id)
    bo, bo_seat = house.join(started, "Bo")
    cy, _ = house.join(started, "Cy")
    trips.set_going(house.database, cy, trip_id, is_going=False)
    trips.decide(house.database, ana, trip_id, lyon)
    booking, second = BookingId(new_id()), BookingId(new_id())

    def step(call: Callable[..., Any], by: BookingId = booking) -> Any:
        with house.database.begin(house.kestrel.id) as session:
            return call(session, trip_id, by=by, now=clock.now(session))

    step(trips.mark_booking)
    roster = step(trips.freeze_roster)
    assert [member.id for member in roster.members] == [started.member.id, bo_seat.member.id]
    assert step(trips.freeze_roster).members == roster.members
    refuses(RosterFrozen, trip_id, lambda: step(trips.freeze_roster, second))
    refuses(BookingOpen, trip_id, lambda: step(trips.mark_booking, second))
    refuses(BookingOpen, trip_id, lambda: step(trips.mark_booked, second))
    refuses(RosterFrozen, trip_id, lambda: house.join(started, "Dev"))
    refuses(RosterFrozen, trip_id, lambda: trips.leave(house.database, bo, trip_id))
    refuses(RosterFrozen, trip_id, lambda: trips.set_going(house.database, cy, trip_id, is_going=True))
    refuses(BookingOpen, trip_id, lambda: trips.cancel_trip(house.database, ana, trip_id))
    refuses(BookingOpen, trip_id, lambda: trips.reopen(house.database, ana, trip_id))
    step(trips.thaw_roster)
    trips.leave(house.database, bo, trip_id)
    step(trips.mark_booking_failed)
    assert trip_of(house, trip_id).state is TripState.DECIDED
    step(trips.mark_booking, second)
    step(trips.mark_booked, second)
    step(trips.mark_booked, second)
    step(trips.mark_canceled, second)
    assert trip_of(house, trip_id).state is TripState.CANCELED
    refuses(TripCanceled, trip_id, lambda: house.join(started, "Dev"))
    types = [type for _, type in house.log(trip_id)]
    assert [types.count(f"trip.{name}") for name in ("booking", "booking_failed", "booked", "canceled")] == [2, 1, 1, 1]


def test_leaving_and_coming_back_keeps_the_seat_and_the_organizer_stays(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana)
    trip_id, lyon = started.trip_id, house.option_ids(started.trip_id)[0]
    bo, seat = house.join(started, "Bo")
    trips.cast_vote(house.database, bo, trip_id, lyon, YES)
    refuses(NotOrganizer, trip_id, lambda: trips.remove_member(house.database, bo, trip_id, started.member.id))
    refuses(OrganizerStays, trip_id, lambda: trips.leave(house.database, ana, trip_id))
    trips.remove_member(house.database, ana, trip_id, seat.member.id)
    assert read(house, ana, trip_id)["options"][0]["counts"]["yes"] == 0
    with pytest.raises(TripNotFound):
        trips.read_trip(house.database, bo, trip_id)
    back = trips.join_by_invite(house.database, bo, started.invite_token)
    assert (back.member.id, back.is_new) == (seat.member.id, True)
    assert read(house, ana, trip_id)["options"][0]["counts"]["yes"] == 1


def test_the_discussion_is_for_members_only(house: House, refuses: Refuses) -> None:
    ana = house.person("ana")
    started = house.start(ana, privacy=replace(Privacy(), visibility=Visibility.PUBLIC))
    bo, _ = house.join(started, "Bo")
    said = trips.add_comment(house.database, bo, started.trip_id, "السلام عليكم\nà demain 👋")
    cy, _ = house.join(started, "Cy")
    for outsider in (house.key(), house.stranger()):
        with pytest.raises(TripNotFound):
            trips.list_comments(house.database, outsider, started.trip_id, after=None, limit=10)
    assert [c.body for c in trips.list_comments(house.database, cy, started.trip_id, after=None, limit=10)] == [
        said.body
    ]
    refuses(NotOrganizer, started.trip_id, lambda: trips.remove_comment(house.database, cy, started.trip_id, said.id))
    trips.remove_comment(house.database, ana, started.trip_id, said.id)
    assert trips.list_comments(house.database, cy, started.trip_id, after=None, limit=10) == []


# --- prices ---------------------------------------------------------------------------------------------------------


def test_each_voter_sees_their_own_price_of_every_option(house: House) -> None:
    ana = house.person("ana")
    offer, gone = house.offer("6109", minor=5000), house.offer("1", hours=1)
    started = house.start(ana, options=[NewOption(offer_id=offer), NewOption(place="Nice"), NewOption(offer_id=gone)])
    bo, _ = house.join(started, "Bo")
    train, place, late = trips.read_prices(house.database, bo, started.trip_id)
    assert train.yours is not None
    assert (train.is_bookable, train.yours.minor, train.total and train.total.minor) == (True, 5000, 10_000)
    assert (place.is_bookable, place.reason) == (False, "not_an_offer")
    assert (late.is_bookable, late.reason) == (False, "offer_not_bookable")
    with pytest.raises(TripNotFound):
        trips.read_prices(house.database, house.key(), started.trip_id)


def test_a_tie_of_votes_is_proposed_for_the_cheaper_train_and_left_to_the_organizer(house: House) -> None:
    ana = house.person("ana")
    dear, cheap = house.offer("6109", minor=9000), house.offer("6111", minor=5000)
    rule = DecisionRule(RuleKind.QUORUM_AT_DEADLINE, 1, house.rule_in(hours=1))
    started = house.start(ana, rule=rule, options=[NewOption(offer_id=dear), NewOption(offer_id=cheap)])
    first, second = house.option_ids(started.trip_id)
    trips.cast_votes(house.database, ana, started.trip_id, {first: YES, second: YES})
    proposal = trips.read_proposal(house.database, ana, started.trip_id)
    assert (proposal.option_id, proposal.reason, proposal.is_clear) == (second, "lowest_price", False)
    house.shift(hours=2)
    assert trips.decide_due(house.database, house.kestrel.id) == 1
    assert trip_of(house, started.trip_id).state is TripState.LOCKED


def test_another_merchants_rows_are_not_there(house: House) -> None:
    started = house.start(house.person("ana"))
    for table in ("trip", "member", "trip_option", "vote", "invite", "comment", "trip_event"):
        with house.database.begin(house.other.id) as session:
            assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
    with house.database.begin(house.kestrel.id) as session, pytest.raises(DBAPIError):
        session.execute(text("UPDATE trip_event SET type = 'rewritten'"))
    assert isinstance(started.trip_id, UUID)


def test_a_personal_invite_is_for_one_person(house: House, refuses: Refuses) -> None:
    """Forwarded, it opens for nobody else; used again by the same person, it is the same seat."""
    ana, dana = house.person("ana"), house.person("dana")
    trip_id = house.start(ana).trip_id
    house.set_privacy(ana, trip_id, visibility=Visibility.SECRET)
    token = trips.create_invite(house.database, house.sealer, ana, trip_id, for_name="Dana").token
    first = trips.join_by_invite(house.database, dana, token)
    refuses(InviteRevoked, trip_id, lambda: trips.join_by_invite(house.database, None, token, name="Mallory"))
    assert trips.join_by_invite(house.database, dana, token).member.id == first.member.id
